"""How a frame is cut into what a model sees: fixed tiles of a raster, or local planes.

Letters: C bands, K channels in kelvin, H rows, W columns, P planes of S × S pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float

from medicane_models.domain import Grid, Tile, local_plane
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.planes import planes_covering
from medicane_models.scenes.processing import MedicaneProcessor

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CutFrame",
    "FixedTiles",
    "LocalPlanes",
    "PlaneCentre",
    "TileName",
    "Tiling",
    "is_present",
    "overview_grid",
    "plane_bands",
    "share_of_a_frame",
    "tiling_of",
]

FULL = 0.9  # a tile's frame is present when this share of its pixels is
HALF = 0.5  # the same where a channel tells the model which pixels those are
OVERVIEW_PIXELS = 2000  # along the longer side


class PlaneCentre(NamedTuple):
    """Longitude and latitude of a local plane's centre, in degrees."""

    lon: float
    lat: float


TileName = Tile | PlaneCentre


@dataclass(frozen=True, kw_only=True, eq=False)
class CutFrame:
    """A frame cut into tiles, stretched to 0…1 with NaN for missing.

    Attributes:
        pixels: of each tile; views where tiles are parts of the frame.
        present: which tiles have the frame.
        show: makes the overview, which few frames are asked for.
    """

    pixels: Sequence[Float[np.ndarray, "C H W"]]
    present: Bool[np.ndarray, " tiles"]
    show: Callable[[], Float[np.ndarray, "C rows columns"]]

    @cached_property
    def overview(self) -> Float[np.ndarray, "C rows columns"]:
        """The whole frame as a person sees it; of local planes on the `overview_grid`."""
        return self.show()


class FixedTiles:
    """Tiles at fixed offsets of the scene's grid.

    Attributes:
        tiles: what each is called.
        grids: where the pixels of each lie on Earth.

    Args:
        grid: the scene's.
        processor: how channels become bands, and the size of a tile.
        tiles: their offsets; those that cover the grid if None.
    """

    def __init__(
        self, grid: Grid, processor: MedicaneProcessor, tiles: Sequence[Tile] | None = None
    ) -> None:
        size = processor.tile_size
        self.processor = processor
        self.tiles = grid.tiles(size) if tiles is None else tuple(tiles)
        self.grids = tuple(grid.window(tile.x, tile.y, size, size) for tile in self.tiles)

    def cut(self, frame: "xr.Dataset") -> CutFrame:
        """Cut one frame of the scene, in memory."""
        whole, size = self.processor.stretch(frame), self.processor.tile_size
        pixels = [whole[:, t.y : t.y + size, t.x : t.x + size] for t in self.tiles]
        return CutFrame(pixels=pixels, present=_present(pixels, self.processor), show=lambda: whole)

    def kelvin(self, frame: "xr.Dataset") -> Sequence[Float[np.ndarray, "K H W"]]:
        """The channels of each tile."""
        whole, size = _channels(frame, self.processor), self.processor.tile_size
        return [whole[:, t.y : t.y + size, t.x : t.x + size] for t in self.tiles]


class LocalPlanes:
    """Planes of the processor's pixel size, all over the extent of the scene's grid.

    Attributes are those of `FixedTiles`.

    Args:
        grid: the scene's.
        processor: how channels become bands, and what a plane is.
        planes: their grids; those that cover the scene's if None.
        sub_satellite_longitude: where the satellite stands, in degrees, if the grid does not tell.
        threads: planes that are sampled at once.
    """

    def __init__(
        self,
        grid: Grid,
        processor: MedicaneProcessor,
        planes: Sequence[Grid] | None = None,
        *,
        sub_satellite_longitude: float | None = None,
        threads: int = 1,
    ) -> None:
        self.processor = processor
        self.grids = tuple(
            _covering(grid, processor, sub_satellite_longitude) if planes is None else planes
        )
        self.tiles = tuple(map(_centre, self.grids))
        self._sampler = PlaneSampler(
            grid, self.grids, sub_satellite_longitude=sub_satellite_longitude, threads=threads
        )

    @classmethod
    def around(
        cls,
        lonlat: Float[np.ndarray, "planes 2"],
        grid: Grid,
        processor: MedicaneProcessor,
        **options: Any,
    ) -> Self:
        """A plane around each of some points, in degrees; ``options`` are those of the class."""
        size, km = processor.tile_size, processor.grid.x_step / 1000
        planes = [local_plane(*point, size=size, km=km) for point in lonlat.tolist()]
        return cls(grid, processor, planes, **options)

    def cut(self, frame: "xr.Dataset") -> CutFrame:
        """Cut one frame of the scene, in memory."""
        pixels = list(plane_bands(frame, self._sampler, self.processor))
        thin = {name: _thinned(layer) for name, layer in self.processor.layers(frame).items()}
        return CutFrame(
            pixels=pixels,
            present=_present(pixels, self.processor),
            show=lambda: self.processor.bands_of(thin),
        )

    def kelvin(self, frame: "xr.Dataset") -> Sequence[Float[np.ndarray, "K H W"]]:
        """The channels of each plane."""
        return list(self._sampler(_channels(frame, self.processor)))


def plane_bands(
    frame: "xr.Dataset", sampler: PlaneSampler, processor: MedicaneProcessor
) -> Float[np.ndarray, "P C S S"]:
    """The bands of a frame, in memory, on the sampler's planes, stretched to 0…1."""
    layers = processor.layers(frame)
    planes = sampler(list(layers.values())).swapaxes(0, 1)  # (layer, plane, S, S)
    return processor.bands_of(dict(zip(layers, planes, strict=True)))


Tiling = FixedTiles | LocalPlanes


def tiling_of(grid: Grid, processor: MedicaneProcessor, **options: Any) -> Tiling:
    """The tiles that a processor makes of scenes on a grid.

    Args:
        grid: the scene's.
        processor: which says what kind of tiles.
        **options: of `LocalPlanes`, if it is these.

    Raises:
        SceneError: if the grid is smaller than a fixed tile, or no plane of it can be seen.
    """
    if not processor.uses_planes:
        return FixedTiles(grid, processor)
    return LocalPlanes(grid, processor, **options)


def is_present(seen: Bool[np.ndarray, "C H W"], *, share: float = FULL) -> bool:
    """Whether a tile has a frame: enough of its pixels are seen in every band.

    The one rule of what is missing. A frame of the whole grid is there if any tile has it.

    Args:
        seen: which pixels are.
        share: how many that must be; nine tenths, or half where missing pixels are marked.
    """
    return bool(seen.all(axis=0).mean() >= share)


def _channels(
    frame: "xr.Dataset", processor: MedicaneProcessor
) -> Float[np.ndarray, "K rows columns"]:
    return np.stack([frame[name].to_numpy() for name in processor.channels]).astype(np.float32)


def share_of_a_frame(processor: MedicaneProcessor) -> float:
    """How many of a tile's pixels make its frame present, as a share."""
    return HALF if processor.marks_missing else FULL


def _present(
    pixels: Sequence[Float[np.ndarray, "C H W"]], processor: MedicaneProcessor
) -> Bool[np.ndarray, " tiles"]:
    share = share_of_a_frame(processor)
    return np.array([is_present(np.isfinite(tile), share=share) for tile in pixels], bool)


def _covering(
    grid: Grid, processor: MedicaneProcessor, sub_satellite_longitude: float | None
) -> tuple[Grid, ...]:
    assert processor.plane_overlap is not None  # or tiles would be fixed
    return planes_covering(
        grid,
        size=processor.tile_size,
        km=processor.grid.x_step / 1000,
        overlap=processor.plane_overlap,
        sub_satellite_longitude=sub_satellite_longitude,
        latitude_limit=processor.latitude_limit,
    )


def overview_grid(grid: Grid) -> Grid:
    """The pixels of a scene's grid that a person looks at: all, or every so many."""
    step = _step(grid.height, grid.width)
    return replace(
        grid,
        width=-(-grid.width // step),
        height=-(-grid.height // step),
        x_step=step * grid.x_step,
        y_step=step * grid.y_step,
    )


def _thinned(pixels: Float[np.ndarray, "*n y x"]) -> Float[np.ndarray, "*n rows columns"]:
    step = _step(*pixels.shape[-2:])
    return pixels[..., ::step, ::step]


def _step(height: int, width: int) -> int:
    return -(-max(height, width) // OVERVIEW_PIXELS)


def _centre(plane: Grid) -> PlaneCentre:
    lon, lat = plane.pixel_to_lonlat((plane.width - 1) / 2, (plane.height - 1) / 2)
    return PlaneCentre(round(float(lon), 5), round(float(lat), 5))
