"""Folders of grey pictures, placed on Earth by an extent or a georeference.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Integer
from PIL import Image

from medicane_models.domain import Grid
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.files import require_regular
from medicane_models.scenes.instruments import meanings
from medicane_models.scenes.readers.channels import WINDOW
from medicane_models.scenes.readers.georeference import (
    GREY_GUESS,
    Georeference,
    named_in_errors,
    placed_by_extent,
    read_georeference,
)
from medicane_models.scenes.readers.overlays import (
    bright_in_all,
    coloured,
    evenly,
    without_overlay,
)
from medicane_models.scenes.readers.recording import (
    UNREADABLE,
    Axes,
    Frame,
    Recording,
    longitude_under,
    warn_unreadable,
)

__all__ = ["GEOREFERENCE", "is_georeference", "is_picture", "read_pictures"]

GEOREFERENCE = "georeference.yaml"
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp"}
COLOUR = 30  # difference of channels that no grey has
FEWEST_COMPARED, MOST_COMPARED = 3, 24  # clouds stay where they are in fewer

Size = tuple[int, int]  # width, height
Greys = Float32[np.ndarray, "y x"]
Colours = Integer[np.ndarray, "y x rgb"] | None
Drawn = Bool[np.ndarray, "y x"]


def is_picture(path: str | Path) -> bool:
    """Whether a file of this name holds one."""
    return Path(path).suffix.lower() in SUFFIXES


def is_georeference(path: str | Path) -> bool:
    """Whether a file of this name may say where pictures lie."""
    return Path(path).suffix.lower() in (".yaml", ".yml")


def read_pictures(
    paths: Sequence[Path], channels: Sequence[str] | None, *, extent: str | None = None
) -> Recording:
    """Frames of grey pictures, or of those that a georeference names.

    Args:
        paths: pictures, one YAML file, or a YAML file and some of its pictures.
        channels: the infrared window at most.
        extent: WEST,SOUTH,EAST,NORTH, the outer edges of all pictures, where no YAML file is.

    Raises:
        ConfigurationError: if nothing places the pictures, or what does is wrong.
        SceneError: if their sizes differ, none can be read, or another channel is wanted.
    """
    source = _by_extent(paths, extent) if extent is not None else _by_georeference(paths)
    told, files = source.told, source.files
    if channels is not None and any(WINDOW not in meanings(name) for name in channels):
        raise SceneError(
            f"{files[0].name} has no {', '.join(channels)}; a grey picture holds only {WINDOW}"
        )
    size, files = _of_one_size(files)
    with named_in_errors(source.name):
        grid = told.grid(*size)
        axes = Axes.from_coordinates(grid.crs, grid.x, grid.y)
        reader = PictureReader(source, axes, size, source.compared())
        frames = [Frame(told.time_of(f.name), f.name, partial(reader, f)) for f in files]
    return Recording(
        grid=axes.grid,
        layers=(WINDOW,),
        frames=tuple(frames),
        platform=told.platform,
        sensor=told.sensor,
        sub_satellite_longitude=longitude_under(axes.grid),
        time_convention=told.time_convention,
        calibration=told.calibration,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedPictures:
    """Pictures and what places them.

    Attributes:
        told: about all of them.
        name: of what tells it, for messages.
        files: to read.
        all_files: that what tells it holds for.
        overlay: picture of what is drawn in.
    """

    told: Georeference
    name: str
    files: list[Path]
    all_files: list[Path]
    overlay: Path | None = None

    def compared(self) -> tuple[Path, ...]:
        """Pictures in which what is always bright is drawn.

        Raises:
            ConfigurationError: if they are too few.
        """
        if self.told.mask.bright_in_all is None:
            return ()
        if len(self.all_files) < FEWEST_COMPARED:
            raise ConfigurationError(
                f"mask has bright_in_all for {len(self.all_files)} pictures, in which clouds stay "
                f"where they are; have {FEWEST_COMPARED} or more, or give picture"
            )
        return tuple(evenly(self.all_files, MOST_COMPARED))


def _by_extent(paths: Sequence[Path], extent: str) -> PlacedPictures:
    if told := _georeferences(paths):
        raise ConfigurationError(
            f"--extent is {extent} and {told[0].name} says where the pictures lie, too; leave out "
            "one of the two"
        )
    files = list(paths)
    told = placed_by_extent(extent)
    return PlacedPictures(told=told, name=f"extent {extent}", files=files, all_files=files)


def _by_georeference(paths: Sequence[Path]) -> PlacedPictures:
    told = _georeferences(paths)
    if not told:
        raise ConfigurationError(
            f"{paths[0].name} does not say where it lies; put a {GEOREFERENCE} beside it, or "
            "to predict, inspect or data build give --extent WEST,SOUTH,EAST,NORTH"
        )
    if len(told) > 1:
        raise ConfigurationError(f"{told[0]} and {told[1]} place pictures each; open one at a time")
    path, given = told[0], [path for path in paths if is_picture(path)]
    georeference = read_georeference(path)
    with named_in_errors(path.name):
        named = _named(georeference, path.parent)
        if strange := sorted(set(georeference.times) - {file.name for file in named}):
            raise ConfigurationError(f"times names {strange[0]}, which is none of its pictures")
    files = [file for file in named if file in given] if given else named
    if not files:
        raise ConfigurationError(
            f"{path.name} says nothing of {given[0].name}; name its folder by pictures"
        )
    overlay = georeference.mask.picture
    return PlacedPictures(
        told=georeference,
        name=path.name,
        files=files,
        all_files=named,
        overlay=None if overlay is None else path.parent / overlay,
    )


def _georeferences(paths: Sequence[Path]) -> list[Path]:
    """YAML files that are given, else those beside the pictures."""
    given = [path for path in paths if is_georeference(path)]
    beside = dict.fromkeys(path.parent / GEOREFERENCE for path in paths)
    return given or [path for path in beside if path.exists()]


def _named(told: Georeference, folder: Path) -> list[Path]:
    """The pictures that a georeference holds for."""
    where = folder / Path(told.pictures or "").expanduser()
    overlay = None if told.mask.picture is None else folder / told.mask.picture
    try:
        found = list(where.iterdir() if where.is_dir() else where.parent.glob(where.name))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"pictures is {told.pictures!r}: {error}") from error
    pictures = sorted(path for path in found if is_picture(path) and path != overlay)
    if not pictures:
        raise ConfigurationError(
            f"no picture is at {where}; correct pictures, a folder or a pattern of names"
        )
    return pictures


def _of_one_size(files: Sequence[Path]) -> tuple[Size, list[Path]]:
    """Width and height of all, and those that can be read."""
    sizes = {file: size for file in files if (size := _size(file)) is not None}
    if not sizes:
        raise SceneError(f"none of {len(files)} pictures can be read ({files[0].name} …)")
    first, size = next(iter(sizes.items()))
    for file, other in sizes.items():
        if other != size:
            raise SceneError(
                f"{first.name} has {size[0]} × {size[1]} and {file.name} {other[0]} × {other[1]} "
                "pixels; open them separately"
            )
    return size, list(sizes)


def _size(path: Path) -> Size | None:
    """Width and height; None, with a warning, if the file is broken."""
    try:
        require_regular(path)
        with Image.open(path) as image:
            size, is_animated = image.size, getattr(image, "is_animated", False)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        warn_unreadable(path.name, error)
        return None
    if is_animated:
        raise SceneError(f"{path.name} is an animation; save its pictures as a file each")
    return size


# no repr: as that of frames.FrameReader
@dataclass(frozen=True, eq=False, repr=False)
class PictureReader:
    """From a picture to kelvin on its window, without what is drawn in."""

    source: PlacedPictures
    axes: Axes
    size: Size
    compared: tuple[Path, ...]

    def __call__(self, path: Path, window: Grid) -> Float32[np.ndarray, "layer y x"]:
        """Kelvin; NaN where the picture shows no Earth, or says that it has no data."""
        told, cropped = self.source.told, self.source.told.crop.slices(*self.size)
        greys, colours = _greys(path)
        if greys.shape[::-1] != self.size:
            raise ValueError(f"it has {greys.shape[1]} × {greys.shape[0]} pixels now")
        self._refuse_other_pictures(path, colours)
        drawn = self._drawn(greys, colours)[cropped]
        greys[np.isin(greys, told.missing)] = np.nan
        kelvin = np.where(_on_earth(self.axes.grid), told.to_kelvin(greys[cropped]), np.nan)
        kelvin = kelvin.astype(np.float32)
        if drawn.any():
            kelvin = without_overlay(kelvin, drawn, widest=told.mask.widest)
        return kelvin[None, *self.axes.slices(window)]

    def _refuse_other_pictures(self, path: Path, colours: Colours) -> None:
        told = self.source.told
        if colours is None and told.kelvin == GREY_GUESS:
            raise SceneError(
                f"{path.name} has more than 8 bits; say in a {GEOREFERENCE} what its greys mean"
            )
        if colours is not None and coloured(colours, COLOUR).mean() > 0.5:
            raise SceneError(f"{path.name} is in colours; only grey pictures are read as kelvin")

    def _drawn(self, greys: Greys, colours: Colours) -> Drawn:
        mask, drawn = self.source.told.mask, np.zeros(greys.shape, bool)
        if mask.coloured is not None and colours is not None:
            drawn |= coloured(colours, mask.coloured)
        if mask.darker is not None:
            drawn |= greys < mask.darker
        if self.source.overlay is not None:
            drawn |= _overlay(self.source.overlay, self.size)
        if mask.bright_in_all is not None:
            drawn |= _always_bright(self.compared, self.size, mask.bright_in_all)
        return drawn


def _greys(path: Path) -> tuple[Greys, Colours]:
    """Greys, NaN where transparent; and the colours they come from, None of more than 8 bits."""
    with Image.open(path) as image:
        if image.mode.startswith(("I", "F")):
            return np.array(image, np.float32), None
        colours = np.asarray(image.convert("RGBA"))
        greys = np.array(image.convert("RGBA").convert("L"), np.float32)
    greys[colours[..., 3] == 0] = np.nan
    return greys, colours[..., :3]


@lru_cache(maxsize=4)
def _on_earth(grid: Grid) -> Drawn:
    lon, lat = grid.pixel_to_lonlat(*np.meshgrid(np.arange(grid.width), np.arange(grid.height)))
    return np.isfinite(lon) & np.isfinite(lat)


@lru_cache(maxsize=4)
def _overlay(path: Path, size: Size) -> Drawn:
    """Where a picture of the overlay is drawn on.

    Raises:
        SceneError: if it cannot be read or has another size.
    """
    try:
        greys, _ = _greys(path)
    except UNREADABLE as error:
        raise SceneError(f"the mask {path.name} cannot be read: {error}") from error
    if greys.shape[::-1] != size:
        raise SceneError(
            f"the mask {path.name} has {greys.shape[1]} × {greys.shape[0]} pixels and the pictures "
            f"{size[0]} × {size[1]}; give one of the whole picture"
        )
    return greys > 0


@lru_cache(maxsize=4)
def _always_bright(paths: tuple[Path, ...], size: Size, grey: int) -> Drawn:
    """Where all that can be read are brighter than a grey."""
    pictures = []
    for path in paths:
        try:
            pictures.append(_greys(path)[0])
        except UNREADABLE:  # said where its frame is read
            continue
    fitting = [picture for picture in pictures if picture.shape[::-1] == size]
    return bright_in_all(fitting, grey) if fitting else np.zeros(size[::-1], bool)
