"""Mixup and cutmix of clips, with draws that depend on the training step alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from medicane_models.errors import ConfigurationError

__all__ = ["ClipMixer"]


class ClipMixer:
    """Blends each clip of a batch with its mirror place in the batch, all frames alike.

    The first clip is mixed with the last, so which clips meet depends on the number of ranks; how
    much they are mixed, and where a window is pasted, does not.
    """

    def __init__(
        self, *, classes: int, label_smoothing: float, mixup: float = 0.0, cutmix: float = 0.0
    ) -> None:
        """Set up mixing.

        Args:
            classes: of the labels.
            label_smoothing: share of a label that is spread over all classes.
            mixup: alpha of the blending; 0 for none.
            cutmix: alpha of pasting a window; 0 for none. With both, either is drawn half the time.
        """
        self.classes = classes
        self.label_smoothing = label_smoothing
        self._mix = (
            Mixup(
                mixup_alpha=mixup,
                cutmix_alpha=cutmix,
                label_smoothing=label_smoothing,
                num_classes=classes,
            )
            if mixup or cutmix
            else None
        )

    def __call__(
        self,
        pixels: Float[Tensor, "b t c h w"],
        labels: Int[Tensor, " b"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b t c h w"], Float[Tensor, "b classes"]]:
        """Mixed clips, and the distribution over the classes of each.

        Args:
            pixels: they are written to.
            labels: class indices.
            generator: source of random numbers.

        Raises:
            ConfigurationError: if an odd number of clips is to be mixed.
        """
        if self._mix is None:
            return pixels, mixup_target(labels, self.classes, smoothing=self.label_smoothing)
        if len(pixels) % 2:
            raise ConfigurationError(
                f"mixup and cutmix mix pairs, and a process computes {len(pixels)} clips at once; "
                "make training.global_batch an even multiple of training.accumulation and the "
                "number of processes, or set both to 0"
            )
        with _numpy_seeded(generator):
            folded, targets = self._mix(pixels.flatten(1, 2), labels)  # as images of t · c channels
        return folded.view_as(pixels), targets


@contextmanager
def _numpy_seeded(generator: torch.Generator) -> Iterator[None]:
    """Numpy's global generator, from which timm draws, seeded for a while."""
    before = np.random.get_state()  # noqa: NPY002 - the one that timm uses
    seed = int(torch.randint(2**31, (), generator=generator))
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
