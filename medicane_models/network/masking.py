"""Which tokens the pretraining encoder sees and which the decoder is asked for.

A mask is boolean, one value a token in (t, h, w) order: True is masked, that is not seen or not
decoded. Tube and running-cell masks are those of VideoMAEv2 (Wang et al. 2023, arXiv:2303.16727).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import TokenGrid

__all__ = [
    "Targets",
    "TokenPlan",
    "decoder_mask",
    "make_targets",
    "masked_mean_square",
    "no_data_share",
    "plan_tokens",
    "running_cell_mask",
    "tube_mask",
]


def tube_mask(
    grid: TokenGrid,
    ratio: float,
    *,
    clips: int = 1,
    no_data: Float[Tensor, "clips tokens"] | None = None,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "clips tokens"]:
    """The same int(ratio · h · w) cells masked in all token frames.

    Args:
        grid: tokens along (t, h, w).
        ratio: masked share, 0 ≤ ratio < 1.
        clips: number of masks.
        no_data: share of missing pixels a token; cells with more of them are masked first, so
            that the encoder looks at data.
        generator: source of random numbers.
    """
    frames, rows, columns = grid
    empty = None if no_data is None else no_data.unflatten(1, (frames, -1)).mean(1)
    cells = _masked(clips, rows * columns, ratio, empty, generator)
    return cells.repeat(1, frames)  # (clips, t · h · w)


def running_cell_mask(
    grid: TokenGrid,
    ratio: float,
    *,
    clips: int = 1,
    start: int | None = None,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "clips tokens"]:
    """Cells of 2 × 2 tokens with int(4 · ratio) masked ones, rotating by one slot a token frame.

    Args:
        grid: tokens along (t, h, w); h and w even.
        ratio: masked share, 0 ≤ ratio < 1.
        clips: number of masks.
        start: 0 … 3, where the pattern starts; None draws one a clip.
        generator: source of random numbers.

    Raises:
        ConfigurationError: h or w is odd, or the ratio is out of range.
    """
    _check_ratio(ratio)
    frames, rows, columns = grid
    if rows % 2 or columns % 2:
        raise ConfigurationError(
            f"a running-cell mask needs an even token grid, not {rows} × {columns}; change "
            "image_size or patch_size, or use decoder ratio 0"
        )
    if start is None:
        starts = torch.randint(4, (clips, 1, 1), generator=generator)
    else:
        starts = torch.full((clips, 1, 1), start)
    # the pointer advances before a frame is read
    pointer = starts + torch.arange(1, frames + 1)[:, None] + torch.arange(4)  # (clips, t, slots)
    cell = pointer % 4 < int(4 * ratio)
    tiled = cell.view(clips, frames, 2, 2).repeat(1, 1, rows // 2, columns // 2)  # (clips, t, h, w)
    return tiled.flatten(1)


def decoder_mask(
    encoder_mask: Bool[Tensor, "clips tokens"],
    grid: TokenGrid,
    ratio: float,
    *,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "clips tokens"]:
    """A running-cell mask, or for ratio 0 one that decodes exactly what the encoder did not see."""
    if ratio == 0:
        return ~encoder_mask
    return running_cell_mask(grid, ratio, clips=len(encoder_mask), generator=generator)


def no_data_share(
    no_data: Bool[Tensor, "b t h w"], tubelet_size: int, patch_size: int
) -> Float[Tensor, "b tokens"]:
    """Share of missing pixels of each token."""
    tubelets = no_data.float().unflatten(1, (-1, tubelet_size))
    patches = tubelets.unflatten(3, (-1, patch_size)).unflatten(5, (-1, patch_size))
    return patches.mean((2, 4, 6)).flatten(1)  # (b, t' · h' · w')


@dataclass(frozen=True, kw_only=True)
class TokenPlan:
    """Token indices of one pretraining step, the same number in each clip.

    Attributes:
        visible: what the encoder sees.
        decoded: what the decoder gets mask tokens for, the scored ones last.
        scored: whether each of the last of `decoded` counts in the loss; it leaves out those
            that no clip of the batch needs.
    """

    visible: Int[Tensor, "b seen"]
    decoded: Int[Tensor, "b decoded"]
    scored: Bool[Tensor, "b last"]

    def to(self, device: torch.device) -> "TokenPlan":
        """The same plan on another device."""
        visible, decoded, scored = (
            tensor.to(device, non_blocking=True)
            for tensor in (self.visible, self.decoded, self.scored)
        )
        return TokenPlan(visible=visible, decoded=decoded, scored=scored)

    @property
    def targets(self) -> Int[Tensor, "b last"]:
        """Indices of the tokens that are reconstructed."""
        return self.decoded[:, -self.scored.shape[1] :]


def plan_tokens(
    bool_masked_pos: Bool[Tensor, "b tokens"],
    decode_masked_pos: Bool[Tensor, "b tokens"] | None = None,
) -> TokenPlan:
    """Indices from masks; masks on the CPU save waiting for the GPU here.

    Args:
        bool_masked_pos: True where the encoder does not see a token.
        decode_masked_pos: True where the decoder is not asked for a token; None asks for what
            the encoder does not see. Tokens that are asked for and seen are decoded, as in
            VideoMAEv2, but not scored.

    Raises:
        ConfigurationError: clips differ in their number of visible or of decoded tokens, or a
            mask leaves nothing to see or to score.
    """
    decoded_mask = bool_masked_pos if decode_masked_pos is None else ~decode_masked_pos
    visible = _indices(~bool_masked_pos, "bool_masked_pos")
    decoded = _indices(decoded_mask, "decode_masked_pos")
    hidden = bool_masked_pos.gather(1, decoded)  # (b, decoded)
    last = int(hidden.sum(1).max())
    if last == 0:
        raise ConfigurationError("the decoder is asked only for tokens the encoder sees")
    order = torch.argsort(hidden.to(torch.uint8), dim=1, stable=True)
    return TokenPlan(
        visible=visible,
        decoded=decoded.gather(1, order),
        scored=hidden.gather(1, order)[:, -last:],
    )


def _masked(
    clips: int,
    count: int,
    ratio: float,
    empty: Float[Tensor, "clips count"] | None,
    generator: torch.Generator | None,
) -> Bool[Tensor, "clips count"]:
    _check_ratio(ratio)
    score = torch.rand(clips, count, generator=generator)
    if empty is not None:
        score = score + empty.to(score.device)
    masked = score.argsort(1, descending=True)[:, : int(ratio * count)]
    return torch.zeros(clips, count, dtype=torch.bool).scatter(1, masked, True)


def _check_ratio(ratio: float) -> None:
    if not 0 <= ratio < 1:
        raise ConfigurationError(f"mask ratio is {ratio}; give 0 or more, under 1")


def _indices(mask: Bool[Tensor, "b tokens"], name: str) -> Int[Tensor, "b chosen"]:
    counts = mask.sum(1)
    if (counts != counts[0]).any() or counts[0] == 0:
        raise ConfigurationError(
            f"{name} must leave the same number of tokens in each clip, at least one; it leaves "
            f"{counts.tolist()}"
        )
    return mask.nonzero()[:, 1].view(len(mask), -1)


EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Normalised pixels and what they were normalised with: pixels = values · scale + mean."""

    values: Float[Tensor, "b m p c"]
    mean: Float[Tensor, "b m 1 c"]
    scale: Float[Tensor, "b m 1 c"]


def make_targets(
    tubelets: Float[Tensor, "b m c frames rows columns"],
    channel_std: Sequence[float],
    valid: Bool[Tensor, "b m p 1"] | None = None,
) -> Targets:
    """(v − mean) / (√(unbiased variance) + 1e-6) of each token and channel, v in 0 … 1.

    Args:
        tubelets: pixels as the model gets them, that is (v − channel mean) / channel_std.
        channel_std: what the pixels were divided by; only the epsilon depends on it.
        valid: pixels that hold data, where not all do.
    """
    pixels = tubelets.float().flatten(3).transpose(2, 3)  # (b, m, p, c)
    if valid is None:
        variance, mean = torch.var_mean(pixels, 2, keepdim=True)
    else:
        variance, mean = _masked_var_mean(pixels, valid)
    scale = variance.sqrt() + EPS / pixels.new_tensor(channel_std)
    return Targets(values=(pixels - mean) / scale, mean=mean, scale=scale)


def masked_mean_square(
    prediction: Float[Tensor, "b m values"],
    targets: Targets,
    scored: Bool[Tensor, "b m"],
    valid: Bool[Tensor, "b m p 1"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error over the values of scored tokens that hold data."""
    error = prediction.float().view_as(targets.values) - targets.values
    counted = scored[:, :, None, None]
    if valid is not None:
        counted = counted & valid  # (b, m, p, 1)
        return (error.square() * counted).sum() / (counted.sum() * error.shape[3]).clamp_min(1)
    by_token = error.square().flatten(2).mean(2)  # (b, m)
    return (by_token * scored).sum() / scored.sum()


def _masked_var_mean(
    pixels: Float[Tensor, "b m p c"], valid: Bool[Tensor, "b m p 1"]
) -> tuple[Float[Tensor, "b m 1 c"], Float[Tensor, "b m 1 c"]]:
    count = valid.sum(2, keepdim=True)
    mean = (pixels * valid).sum(2, keepdim=True) / count.clamp_min(1)
    squares = ((pixels - mean).square() * valid).sum(2, keepdim=True)
    return squares / (count - 1).clamp_min(1), mean
