"""Names of the same tensors in other code bases, both ways with Hugging Face VideoMAE.

Our names are those of VideoMAEv2, so its checkpoints only lose wrappers and prefixes.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from medicane_models.errors import CheckpointError

__all__ = [
    "Weights",
    "for_transformers",
    "from_2d_vit",
    "from_transformers",
    "from_videomae",
    "is_transformers",
    "legacy_regression_head",
    "strip_prefixes",
    "with_channels",
    "without_attention_bias",
]

Weights = dict[str, Tensor]

PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")
FIXED = ("pos_embed",)
"""Sinusoids that some versions store although they never change."""

_RENAMED = (
    (r"^cls_head\.fc_cls\.", "head."),
    (r"\bpatch_embed\.projection\.", "patch_embed.proj."),
    (r"\bmlp\.layers\.0\.0\.", "mlp.fc1."),
    (r"\bmlp\.layers\.1\.", "mlp.fc2."),
    (r"\bgamma_([12])$", r"ls\1.gamma"),
)
"""mmaction's names for VideoMAE's, and VideoMAE's for timm's LayerScale."""

_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_ALONE = ("embeddings.", "encoder.layer.", "layernorm.")
_STACKS = {"encoder.blocks": "videomae.encoder.layer", "decoder.blocks": "decoder.decoder_layers"}
_SINGLES = {
    "encoder.patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
    "encoder.norm": "videomae.layernorm",
    "encoder_to_decoder": "encoder_to_decoder",
    "decoder.norm": "decoder.norm",
    "decoder.head": "decoder.head",
    "fc_norm": "fc_norm",
    "head": "classifier",
}


def strip_prefixes(weights: Mapping[str, Tensor]) -> Weights:
    """Names without what wrappers put in front of them.

    Raises:
        CheckpointError: two names become one.
    """
    plain = {}
    for name, tensor in weights.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        if name in plain:
            raise CheckpointError(
                f"{name} is there twice, with and without {', '.join(PREFIXES)} in front of it; "
                "save one model's state_dict alone"
            )
        plain[name] = tensor
    return plain


def is_transformers(names: Iterable[str]) -> bool:
    """Whether these are names of Hugging Face's VideoMAE."""
    return any(name.startswith(("videomae.", "embeddings.patch_embeddings.")) for name in names)


def from_videomae(weights: Mapping[str, Tensor]) -> Weights:
    """Our names from VideoMAE's, VideoMAEv2's, mmaction's or the research code's."""
    weights = {_renamed(name): tensor for name, tensor in weights.items()}
    if not any(name.startswith(("decoder.", "mask_token")) for name in weights):
        weights = {name.removeprefix("encoder."): tensor for name, tensor in weights.items()}
    return split_qkv_bias(
        {k: v for k, v in weights.items() if k.removeprefix("encoder.") not in FIXED}
    )


def split_qkv_bias(weights: Weights) -> Weights:
    """Query and value biases from joint ones; the softmax cancels the key's."""
    result = {}
    for name, tensor in weights.items():
        if name.endswith("attn.qkv.bias") and tensor.ndim == 1 and len(tensor) % 3 == 0:
            query, _, value = tensor.chunk(3)
            stem = name.removesuffix("qkv.bias")
            result |= {f"{stem}q_bias": query, f"{stem}v_bias": value}
        else:
            result[name] = tensor
    return result


def from_2d_vit(weights: Mapping[str, Tensor], tubelet_size: int) -> Weights:
    """Backbone from a timm ViT for pictures.

    The patch embedding is repeated over the tubelet and divided by its length, so that a still
    scene gives the tokens of the picture.
    """
    kernel = weights["patch_embed.proj.weight"]  # (d, c, p, p)
    inflated = kernel[:, :, None].repeat(1, 1, tubelet_size, 1, 1) / tubelet_size
    kept = {k: v for k, v in weights.items() if k.startswith(("patch_embed.", "blocks."))}
    return split_qkv_bias(kept | {"patch_embed.proj.weight": inflated})


def without_attention_bias(weights: Weights) -> Weights:
    """Zeros for the biases of queries and values of a model that has neither anywhere."""
    if any(name.endswith(("attn.q_bias", "attn.v_bias", "attn.qkv.bias")) for name in weights):
        return weights
    zeros = {}
    for name, tensor in weights.items():
        if name.endswith("attn.qkv.weight") and tensor.ndim == 2:
            zero = tensor.new_zeros(tensor.shape[1])
            zeros |= {name.replace("qkv.weight", f"{part}_bias"): zero for part in "qv"}
    return weights | zeros


def with_channels(weights: Weights, channels: int) -> Weights:
    """The same model for clips of another number of channels.

    As timm does, one channel takes the sum of the patch embedding over channels, and more take
    its channels in turn, scaled so that grey gives about the same. Pixels that a pretraining
    decoder gives are averaged, or taken in turn.
    """
    name = next(name for name in weights if name.endswith("patch_embed.proj.weight"))
    kernel = weights[name]  # (d, c, frames, p, p)
    given = kernel.shape[1]
    turn = torch.arange(channels) % given
    changed = {name: kernel[:, turn] * (given / channels)}
    if channels == 1:
        changed = {name: kernel.sum(1, keepdim=True)}
    for name in ("decoder.head.weight", "decoder.head.bias"):
        if name in weights and weights[name].ndim and len(weights[name]) % given == 0:
            values = weights[name].unflatten(0, (-1, given))  # (values, c, …)
            values = values.mean(1, keepdim=True) if channels == 1 else values[:, turn]
            changed[name] = values.flatten(0, 1)
    return weights | changed


def legacy_regression_head(weights: Weights) -> Weights:
    """A tracking head from the research code's older one, a linear map right after ``fc_norm``.

    The new head has a second norm. Normalising twice changes nothing (up to its epsilon, 5e-6
    of the output), so ``fc_norm``'s scale and shift move into the second one.
    """
    names = ("fc_norm.weight", "fc_norm.bias", "head.bias")
    if missing := [name for name in names if name not in weights]:
        raise CheckpointError(f"the tracker lacks {', '.join(missing)}; give a whole checkpoint")
    scale, shift = weights["fc_norm.weight"], weights["fc_norm.bias"]
    others = {k: v for k, v in weights.items() if k not in ("head.weight", "head.bias")}
    return others | {
        "fc_norm.weight": torch.ones_like(scale),
        "fc_norm.bias": torch.zeros_like(shift),
        "head.mlp.0.weight": scale,
        "head.mlp.0.bias": shift,
        "head.mlp.1.weight": weights["head.weight"],
        "head.mlp.1.bias": weights["head.bias"],
    }


def from_transformers(weights: Mapping[str, Tensor]) -> Weights:
    """Our names from those of Hugging Face's VideoMAE, of older versions too."""
    rest = {_alone(name): tensor for name, tensor in weights.items()}
    names = _names(rest)
    blocks = _blocks(rest)
    result = {ours: rest.pop(theirs) for ours, theirs in names.items() if theirs in rest}
    for ours, theirs in blocks:
        result |= _attention(rest, f"{ours}.attn", f"{theirs}.attention.attention")
    return _without_encoder(result | rest)  # what is left is unexpected


def _alone(name: str) -> str:
    """The name in a model with a head of what a ``VideoMAEModel`` alone calls it."""
    return f"videomae.{name}" if name.startswith(_ALONE) else name


def _attention(rest: Weights, ours: str, theirs: str) -> Weights:
    """Take queries, keys and values out of ``rest``; the softmax cancels a key's bias."""
    rest.pop(f"{theirs}.key.bias", None)
    result = {}
    names = [f"{theirs}.{part}.weight" for part in ("query", "key", "value")]
    parts = [rest[name] for name in names if name in rest]
    if [part.ndim for part in parts] == [2] * 3 and len({part.shape[1] for part in parts}) == 1:
        result[f"{ours}.qkv.weight"] = torch.cat([rest.pop(name) for name in names])
    for letter, part in (("q", "query"), ("v", "value")):
        for name in (f"{theirs}.{letter}_bias", f"{theirs}.{part}.bias"):  # older, newer
            if name in rest:
                result[f"{ours}.{letter}_bias"] = rest.pop(name)
    return result


def for_transformers(weights: Mapping[str, Tensor]) -> Weights:
    """Hugging Face VideoMAE's names from ours."""
    weights = _with_encoder(weights)
    names = {
        ours: theirs
        for ours, theirs in _names(_hugging_face_stacks(weights)).items()
        if ours in weights
    }
    result = {theirs: weights[ours].clone() for ours, theirs in names.items()}
    for ours, theirs in _blocks(_hugging_face_stacks(weights)):
        attention = f"{theirs}.attention.attention"
        chunks = weights[f"{ours}.attn.qkv.weight"].chunk(3)
        for part, chunk in zip(("query", "key", "value"), chunks, strict=True):
            result[f"{attention}.{part}.weight"] = chunk.clone()
        result[f"{attention}.query.bias"] = weights[f"{ours}.attn.q_bias"].clone()
        result[f"{attention}.value.bias"] = weights[f"{ours}.attn.v_bias"].clone()
    return result


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _blocks(names: object) -> list[tuple[str, str]]:
    """Our and their names of the blocks that occur in their names."""
    pairs = []
    for ours, theirs in _STACKS.items():
        pattern = re.compile(re.escape(theirs) + r"\.(\d+)\.")
        found = {int(m[1]) for name in names if (m := pattern.match(name))}  # pyright: ignore
        pairs += [(f"{ours}.{index}", f"{theirs}.{index}") for index in sorted(found)]
    return pairs


def _names(weights: object) -> dict[str, str]:
    """Their name by our name of everything but queries, keys and values."""
    pairs = dict(_SINGLES)
    for ours, theirs in _blocks(weights):
        pairs |= {f"{ours}.{part}": f"{theirs}.{other}" for part, other in _BLOCK.items()}
    both = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in pairs.items()
        for kind in ("weight", "bias")
    }
    return both | {"mask_token": "mask_token"}


def _without_encoder(weights: Weights) -> Weights:
    """Fine-tuned models have their backbone at the top."""
    if "mask_token" in weights:
        return weights
    return {name.removeprefix("encoder."): tensor for name, tensor in weights.items()}


def _with_encoder(weights: Mapping[str, Tensor]) -> Weights:
    top = ("patch_embed.", "blocks.")
    return {f"encoder.{k}" if k.startswith(top) else k: v for k, v in weights.items()}


def _hugging_face_stacks(weights: Mapping[str, Tensor]) -> list[str]:
    names = []
    for name in weights:
        for ours, theirs in _STACKS.items():
            name = re.sub("^" + re.escape(ours), theirs, name)
        names.append(name)
    return names
