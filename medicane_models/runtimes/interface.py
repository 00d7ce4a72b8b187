"""What runs a detector and a tracker on clips: numpy in, numpy out.

Letters: B clips, T frames, C bands, H rows, W columns, R and K rows and columns of heatmap cells.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float

from medicane_models.choices import DeviceName
from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig

if TYPE_CHECKING:
    import torch

    from medicane_models.network.averaging import View
    from medicane_models.network.base import MedicaneModel

__all__ = [
    "Centres",
    "DeviceName",
    "PixelValues",
    "Runtime",
    "TorchRuntime",
    "limit_threads",
    "pick_device",
]

CYCLONE = "cyclone"
PixelValues = Float[np.ndarray, "T C H W"]  # of one clip, normalised


class Centres(NamedTuple):
    """Centres in tile pixels (x, y) and their covariance in px², NaN where it is unknown.

    With them, of a tracker that tells it, the probability of each cell of its heatmap.
    """

    center: Float[np.ndarray, "B 2"]
    covariance: Float[np.ndarray, "B 2 2"]
    heatmap: Float[np.ndarray, "B R K"] | None = None


@runtime_checkable
class Runtime(Protocol):
    """What a predictor needs: a detector and, for centres, a tracker on some device."""

    @property
    def device(self) -> object:
        """Where they run."""
        ...

    @property
    def threads(self) -> int:
        """How many of the CPU's they compute on, as does all that prepares their clips."""
        ...

    def probabilities(
        self, clips: Iterable[PixelValues], *, rough_below: float = 0.0
    ) -> Float[np.ndarray, " B"]:
        """Calibrated probability of each clip that a cyclone's centre is in the tile.

        Of a clip that comes out below ``rough_below`` fewer views may have been asked.
        """
        ...

    def centres(self, clips: Iterable[PixelValues]) -> Centres:
        """Where the centre is in each clip, given that its tile holds one."""
        ...


class TorchRuntime:
    """A detector and, for centres, a tracker in PyTorch on one device.

    Their stems are taken as they are now: make another runtime of models that change.
    """

    def __init__(
        self,
        detector: "MedicaneModel",
        tracker: "MedicaneModel | None",
        *,
        device: DeviceName = "auto",
    ) -> None:
        from medicane_models.network.stems import with_folded_norms

        self.device = pick_device(device)
        self.batch_size = 16 if self.device.type == "cuda" else 4
        self._cyclone = cyclone_index(detector.config)
        self._detector = with_folded_norms(detector.to(self.device).eval())
        self._tracker = tracker and with_folded_norms(tracker.to(self.device).eval())

    @property
    def threads(self) -> int:
        """As :attr:`Runtime.threads`."""
        import torch

        return torch.get_num_threads()

    def probabilities(
        self, clips: Iterable[PixelValues], *, rough_below: float = 0.0
    ) -> Float[np.ndarray, " B"]:
        """As :meth:`Runtime.probabilities`: below ``rough_below`` it is that of the plain view."""
        from medicane_models.network.averaging import VIEWS

        views = VIEWS[self._detector.config.views]
        if rough_below <= 0 or len(views) == 1:
            return self._classified(clips, views)
        remaining, found = iter(clips), []
        while batch := list(islice(remaining, self.batch_size * len(views))):
            found.append(self._classified(batch, views[:1], batch_size=len(batch)))
            worth = np.flatnonzero(found[-1] >= rough_below)
            if worth.size:
                found[-1][worth] = self._classified([batch[row] for row in worth], views)
        return np.concatenate(found)

    def centres(self, clips: Iterable[PixelValues]) -> Centres:
        """As :meth:`Runtime.centres`."""
        from medicane_models.network.averaging import average_tracking

        assert self._tracker is not None
        outputs = list(self._run(average_tracking, self._tracker, clips, self.batch_size))
        maps = [_numpy(out.heatmap) for out in outputs if out.heatmap is not None]
        return Centres(
            np.concatenate([_numpy(out.center) for out in outputs]),
            np.concatenate([_numpy(out.covariance) for out in outputs]),
            np.concatenate(maps) if maps else None,
        )

    def _classified(
        self,
        clips: Iterable[PixelValues],
        views: "Sequence[View]",
        *,
        batch_size: int | None = None,
    ) -> Float[np.ndarray, " B"]:
        """Probabilities of a cyclone by the mean over views."""
        from medicane_models.network.averaging import average_classification

        average = partial(average_classification, views=views)
        outputs = self._run(average, self._detector, clips, batch_size or self.batch_size)
        return np.concatenate([_numpy(out.probabilities[:, self._cyclone]) for out in outputs])

    def _run(
        self,
        average: Callable[..., Any],
        model: "MedicaneModel",
        clips: Iterable[PixelValues],
        batch_size: int,
    ) -> Iterator[Any]:
        """Outputs of batches of at least one clip; no more than one batch is held."""
        import torch

        remaining = iter(clips)
        while batch := list(islice(remaining, batch_size)):
            pixels = torch.from_numpy(np.stack(batch)).to(self.device)  # B T C H W
            with torch.inference_mode():
                yield average(model, pixels)


def _numpy(tensor: "torch.Tensor") -> np.ndarray:
    return tensor.double().cpu().numpy()


def limit_threads(threads: int | None) -> None:
    """Let PyTorch compute on so many threads of the CPU; None leaves it as it is."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def pick_device(name: DeviceName | str) -> "torch.device":
    """The device asked for; "auto" is the GPU where there is one.

    Raises:
        ConfigurationError: if the name is another one, or "cuda" is asked for and PyTorch finds
            no GPU.
    """
    import torch

    if name not in get_args(DeviceName):
        raise ConfigurationError(f"device {name!r} is none of {', '.join(get_args(DeviceName))}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        build = torch.version.cuda or "no CUDA"
        raise ConfigurationError(
            f"device cuda was asked for, but torch {torch.__version__} (built for {build}) "
            "finds no GPU; check the driver with nvidia-smi or use --device cpu"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def cyclone_index(config: MedicaneConfig) -> int:
    """The class that means: the centre is in this tile (not in its neighbour)."""
    if CYCLONE not in config.label2id:
        raise ConfigurationError(
            f"the detector's classes are {list(config.label2id)}; one must be {CYCLONE!r}"
        )
    return config.label2id[CYCLONE]
