"""Clips to compare and to calibrate with: random, simulated, and from scenes and clip stores.

Letters: n clips, T frames, K channels in kelvin, C bands, H rows, W columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from medicane_models.domain import Grid, Tile, local_plane
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.scenes.clips import (
    ClipReader,
    SkippedClip,
    check_cadence,
    frame_times,
    plan_clips,
)
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import FixedTiles, LocalPlanes, PlaneCentre, TileName, Tiling

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["RANDOM", "ClipSet", "given_clips", "random_clips", "simulated_clips"]

RANDOM = "random"
STORE_INDEX = "clips.parquet"
KELVIN_RANGE = (190.0, 310.0)
HOURLY = 60
MOST_SCENES = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipSet:
    """Clips as the package itself prepares them and, where there are any, their temperatures.

    Attributes:
        name: where they come from.
        pixel_values: normalised.
        kelvin: the same clips before all preprocessing; None for pictures and clip stores.
        tile_offset: column and row of each tile, if they are fixed.
        plane_center: longitude and latitude of each plane in degrees, if they are local planes.
    """

    name: str
    pixel_values: Float[np.ndarray, "n T C H W"]
    kelvin: Float[np.ndarray, "n T K H W"] | None = None
    tile_offset: Int[np.ndarray, "n 2"] | None = None
    plane_center: Float[np.ndarray, "n 2"] | None = None

    def __len__(self) -> int:
        return len(self.pixel_values)

    @property
    def has_places(self) -> bool:
        """Whether the tiles have a place on Earth."""
        return self.tile_offset is not None or self.plane_center is not None

    @property
    def feeds(self) -> dict[str, np.ndarray | None]:
        """All that a graph may read, by the names of its inputs."""
        return {
            "pixel_values": self.pixel_values,
            "brightness_temperature": self.kelvin,
            "tile_offset": self.tile_offset,
            "plane_center": self.plane_center,
        }

    def grids(self, processor: MedicaneProcessor) -> list[Grid]:
        """Where the pixels of each clip lie on Earth; a clip without a place lies in the middle."""
        grid, size = processor.grid, processor.tile_size
        if self.plane_center is not None:
            km = grid.x_step / 1000
            return [local_plane(*at, size=size, km=km) for at in self.plane_center.tolist()]
        if self.tile_offset is not None:
            return [grid.window(x, y, size, size) for x, y in self.tile_offset.tolist()]
        left, top = (grid.width - size) // 2, (grid.height - size) // 2
        return [grid.window(left, top, size, size)] * len(self)


_Sample = tuple[np.ndarray, np.ndarray | None, TileName]


def random_clips(
    config: MedicaneConfig, processor: MedicaneProcessor | None, *, count: int, seed: int = 0
) -> ClipSet:
    """Noise, with missing pixels and frames where there is a processor to deal with them."""
    random = np.random.default_rng(seed)
    if processor is None:
        pixels = random.standard_normal((count, *config.clip_shape), np.float32)
        return ClipSet(name=RANDOM, pixel_values=pixels)
    places = _anywhere(processor)
    corner = _tiling_of_one(processor, [Tile(0, 0)])
    scenes = (_random_scene(processor, random) for _ in range(count))
    samples = [
        (pixels, kelvin, places[int(random.integers(len(places)))])
        for scene in scenes
        for pixels, kelvin, _ in _samples(scene, processor, corner)
    ]
    return _clip_set(RANDOM, samples)


def simulated_clips(processor: MedicaneProcessor, *, count: int, seed: int = 0) -> ClipSet | None:
    """Tiles around simulated medicanes; None if the simulation lacks a channel.

    A grid that hardly shows a whole tile gives fewer.
    """
    from medicane_models.simulation import CHANNELS, simulate_scene

    if not set(processor.channels) <= set(CHANNELS):
        return None
    hours = (processor.num_frames - 1) * processor.cadence_minutes / 60
    samples: list[_Sample] = []
    for number in range(seed, seed + MOST_SCENES + count):
        scene, truth = simulate_scene(
            hours=hours,
            grid=processor.grid,
            cadence_minutes=processor.cadence_minutes,
            seed=number,
        )
        around = _tiles_around(truth, processor, np.random.default_rng(number))
        tiling = _tiling_of_one(processor, around)
        samples += islice(_samples(scene, processor, tiling), count - len(samples))
        if len(samples) == count:
            break
    return _clip_set("simulated", samples) if samples else None


def given_clips(
    source: str, config: MedicaneConfig, processor: MedicaneProcessor | None, *, count: int
) -> ClipSet:
    """Clips of a clip store, or of any scene, spread evenly over it.

    Args:
        source: a store of ``medicane-train data build``, or what ``open_scene`` takes.
        config: of the model.
        processor: of the model.
        count: at most so many.

    Raises:
        ConfigurationError: the model has no processor.
        SceneError: the source cannot be read or has no clip that fits the model.
    """
    if processor is None:
        raise ConfigurationError(
            f"{source} cannot be read for a model without preprocessor_config.json; save the "
            "MedicaneProcessor of its channels beside the weights"
        )
    if (Path(source) / STORE_INDEX).is_file():
        samples = list(_store_samples(Path(source), processor, count))
    else:
        samples = _scene_samples(source, processor, count)
    if not samples:
        raise SceneError(
            f"{source} holds no clip of {config.num_frames} frames, "
            f"{processor.cadence_minutes:g} min apart, that shows a tile of the model's; give a "
            "longer or larger one"
        )
    return _clip_set(str(source), samples)


def _clip_set(name: str, samples: Sequence[_Sample]) -> ClipSet:
    pixels, kelvin, tiles = zip(*samples, strict=True)
    return ClipSet(
        name=name,
        pixel_values=np.stack(pixels),
        kelvin=None if any(k is None for k in kelvin) else np.stack(kelvin),
        **_place(tiles),
    )


def _tiling_of_one(processor: MedicaneProcessor, tiles: Sequence[Tile]) -> Tiling:
    """Tiles of the processor's grid; of local planes the one that stands for all."""
    if processor.uses_planes:
        return LocalPlanes(processor.grid, processor, [processor.grid])
    return FixedTiles(processor.grid, processor, tiles)


def _place(tiles: Sequence[TileName]) -> dict[str, np.ndarray]:
    if isinstance(tiles[0], PlaneCentre):
        return {"plane_center": np.array(tiles, np.float32)}
    return {"tile_offset": np.array(tiles, np.int64)}


def _anywhere(processor: MedicaneProcessor) -> Sequence[TileName]:
    """Tiles of the grid, or planes at places where formulas may go wrong."""
    if processor.uses_planes:
        return [
            PlaneCentre(*at) for at in ((0.0, 0.0), (179.9, -30.0), (-75.0, 18.0), (10.0, 80.0))
        ]
    return processor.grid.tiles(processor.tile_size)


def _random_scene(processor: MedicaneProcessor, random: np.random.Generator) -> "xr.Dataset":
    """One tile: noise with a strip without data and, if allowed, a frame without any."""
    import pandas as pd
    import xarray as xr

    size, frames = processor.tile_size, processor.num_frames
    shape = (len(processor.channels), frames, size, size)
    low, high = KELVIN_RANGE
    values = low + (high - low) * random.random(shape, np.float32)
    values[:, :, : size // 20] = np.nan
    if processor.max_missing:
        values[:, random.integers(frames)] = np.nan
    step = pd.Timedelta(minutes=processor.cadence_minutes)
    times = pd.date_range("2020-01-01", periods=frames, freq=step, unit="ns")
    channels = {
        name: (("time", "y", "x"), layer)
        for name, layer in zip(processor.channels, values, strict=True)
    }
    return xr.Dataset(channels, {"time": times})


def _samples(
    scene: "xr.Dataset", processor: MedicaneProcessor, tiling: Tiling, ends: int = 1
) -> Iterator[_Sample]:
    """Every tile of the ``ends`` clips spread over a scene, the newest among them."""
    plans = plan_clips(
        frame_times(scene),
        num_frames=processor.num_frames,
        cadence_minutes=processor.cadence_minutes,
        every_minutes=HOURLY,
        ends_with_frame=processor.marks_missing,
    )
    fit = [p for p in plans if sum(r is None for r in p.rows) <= processor.max_missing]
    chosen = [fit[place] for place in _spread(len(fit), ends)]
    has_kelvin = set(processor.channels) <= set(map(str, scene.data_vars))
    for plan, clip in zip(chosen, ClipReader(scene, processor, tiling).read(chosen), strict=True):
        if isinstance(clip, SkippedClip):
            continue
        kelvin = _kelvin_clips(scene, plan.rows, tiling) if has_kelvin else None
        for tile in clip.tiles:
            pixels = processor.normalise(np.stack(tile.frames))
            own = None if kelvin is None else kelvin[tiling.tiles.index(tile.tile)]
            yield pixels, own, tile.tile


def _kelvin_clips(
    scene: "xr.Dataset", rows: Sequence[int | None], tiling: Tiling
) -> Sequence[np.ndarray]:
    """(T, K, H, W) of each tile; all NaN where a slot has no frame."""
    read = {
        row: np.stack(tiling.kelvin(scene.isel(time=row).compute(scheduler="synchronous")))
        for row in rows
        if row is not None
    }
    nothing = np.full_like(next(iter(read.values())), np.nan)
    return list(np.stack([nothing if row is None else read[row] for row in rows], axis=1))


def _tiles_around(
    truth: Any, processor: MedicaneProcessor, random: np.random.Generator, count: int = 6
) -> list[Tile]:
    """Tiles that hold the storm's last position anywhere inside."""
    last = truth.sort_values("time").iloc[-1]
    x, y = processor.grid.lonlat_to_pixel(last["lon"], last["lat"])
    size, grid = processor.tile_size, processor.grid
    share = random.uniform(0.15, 0.85, (count, 2))
    corners = np.rint(np.array([float(x), float(y)]) - share * size).astype(int)
    corners = np.clip(corners, 0, (grid.width - size, grid.height - size))
    return [Tile(int(column), int(row)) for column, row in corners]


def _scene_samples(source: str, processor: MedicaneProcessor, count: int) -> list[_Sample]:
    from medicane_models.scenes.opening import open_scene, scene_grid

    channels = None if processor.recipe == "airmass" else processor.channels
    if processor.uses_planes:
        scene = open_scene(source, channels=channels)
        own = processor.for_sensor(scene.attrs["sensor"])
        planes = LocalPlanes(scene_grid(scene), own)
        ends = -(-count // len(planes.tiles))
        found = islice(_samples(scene, own, planes, ends), count)
        return [
            (pixels, kelvin if own == processor else None, tile) for pixels, kelvin, tile in found
        ]
    native = scene_grid(open_scene(source, channels=channels))
    grid = processor.grid
    domain = grid if _overlap(native, grid) else grid.covering(native, margin=-1)
    scene = open_scene(source, domain=domain, channels=channels)
    check_cadence(scene, processor)
    own = processor.for_sensor(scene.attrs["sensor"])
    tiling = FixedTiles(domain, own)
    ends = -(-count // len(tiling.tiles))
    column = round((domain.x_origin - grid.x_origin) / grid.x_step)
    row = round((domain.y_origin - grid.y_origin) / grid.y_step)
    return [
        # a graph in kelvin stretches as its own sensor needs
        (
            pixels,
            kelvin if own == processor else None,
            Tile(int(tile[0]) + column, int(tile[1]) + row),
        )
        for pixels, kelvin, tile in islice(_samples(scene, own, tiling, ends), count)
    ]


def _overlap(native: Grid, grid: Grid) -> bool:
    """Whether a scene shows any of the model's grid."""
    inside = grid.contains(*grid.lonlat_to_pixel(*native.pixel_to_lonlat(*native.outline())))
    return bool(inside.any())


def _store_samples(path: Path, processor: MedicaneProcessor, count: int) -> Iterator[_Sample]:
    """Clips spread evenly over a store's index; its frames are stretched already."""
    import pandas as pd
    import xarray as xr

    stored = MedicaneProcessor.from_pretrained(path)
    differing = [name for name in _SAME if getattr(stored, name) != getattr(processor, name)]
    if differing:
        raise SceneError(
            f"{path} was built for another processor ({', '.join(differing)} differ); build a "
            "store with the model's own, or give a scene"
        )
    index = pd.read_parquet(path / STORE_INDEX)
    frames = xr.open_zarr(path)["frames"]
    size = processor.tile_size
    for place in _spread(len(index), count):
        row = index.iloc[place]
        tile, rows = Tile(int(row["tile_x"]), int(row["tile_y"])), np.asarray(row["rows"])
        window = frames.isel(y=slice(tile.y, tile.y + size), x=slice(tile.x, tile.x + size))
        clip = window.isel(time=rows).to_numpy().astype(np.float32)
        clip[rows < 0] = np.nan  # a slot without a frame, which isel takes for the last one
        name = _plane_of(row, tile, frames.sizes["y"], processor) if processor.uses_planes else tile
        yield processor.normalise(clip), None, name


def _plane_of(row: Any, tile: Tile, sample_size: int, processor: MedicaneProcessor) -> PlaneCentre:
    """The centre of a tile in a stored sample; that of the plane for all where it is not known."""
    if not np.isfinite(row["plane_lon"]):
        return PlaneCentre(0.0, 0.0)
    km, middle = processor.grid.x_step / 1000, (processor.tile_size - 1) / 2
    sample = local_plane(row["plane_lon"], row["plane_lat"], size=sample_size, km=km)
    lon, lat = sample.pixel_to_lonlat(tile.x + middle, tile.y + middle)
    return PlaneCentre(float(lon), float(lat))


def _spread(length: int, count: int) -> list[int]:
    """At most ``count`` places in a sequence, the last among them."""
    return sorted({round(place) for place in np.linspace(length - 1, 0, count) if length})


_SAME = ("bands", "tile_size", "num_frames", "cadence_minutes")
