"""Frames of animations: the basin with all tracks, and what is around each cyclone."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image

from medicane_models.domain import Grid
from medicane_models.maps.colour_tables import infrared_colours
from medicane_models.maps.films import FilmFrame
from medicane_models.maps.overview import part_around, window_of
from medicane_models.maps.painting import Painting
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.storm_tracks import ShownTrack, StormPicture
from medicane_models.maps.wording import Fix, known, moment_text

__all__ = ["ScenePicture", "basin_frames", "storm_frames"]

STORM_PIXELS, BASIN_PIXELS = 640, 960  # of frames, along their width
CENTRE = "#FF66D0"
SEEN, MISSING = 128, np.uint8(128)

_Stretch = tuple[float, float] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePicture:
    """A picture of the whole scene.

    Attributes:
        time: of the fixes it belongs to.
        taken: when the picture was.
        content: WebP of all the grid, perhaps of fewer pixels.
    """

    time: pd.Timestamp
    taken: pd.Timestamp
    content: bytes


def storm_frames(storm: ShownTrack, kelvin: _Stretch, *, note: str) -> Iterator[FilmFrame]:
    """A frame a fix that has a picture, with centre, circles, time and scale."""
    for fix, picture in zip(storm.fixes, storm.pictures, strict=True):
        if picture is not None:
            yield _storm_frame(storm.name, fix, picture, kelvin, note)


def basin_frames(
    grid: Grid,
    storms: Sequence[ShownTrack],
    pictures: Iterable[ScenePicture],
    kelvin: _Stretch,
    *,
    note: str,
) -> Iterator[FilmFrame]:
    """A frame a picture, with the tracks up to then.

    Args:
        grid: of the scene as it is looked at.
        storms: all tracks.
        pictures: sorted by time.
        kelvin: what they show as black and as white, if they show one temperature.
        note: what must be known.
    """
    rows, columns = part_around(grid, storms)
    sheet = Sheet(grid=window_of(grid, rows, columns), width=BASIN_PIXELS)
    box = np.array([columns.start, rows.start, columns.stop, rows.stop])
    for picture in pictures:
        shown = _opened(picture.content, sheet, kelvin=kelvin, box=box / grid.width)
        painting = Painting(shown, sheet)
        painting.coasts()
        painting.graticule(size=15)
        for storm in storms:
            _draw_track(painting, storm, picture.time)
        yield _finished(painting, moment_text(picture.taken), note)


def _storm_frame(
    name: str, fix: Fix, picture: StormPicture, kelvin: _Stretch, note: str
) -> FilmFrame:
    sheet = Sheet(grid=picture.plane, width=STORM_PIXELS)
    painting = Painting(_opened(picture.content, sheet, kelvin=kelvin), sheet)
    painting.coasts()
    painting.graticule(size=15)
    _draw_fix(painting, fix, CENTRE)
    if known(fix.get("true_lon")):
        painting.ring(*_place(sheet, fix["true_lon"], fix["true_lat"]), "white")
    return _finished(painting, f"{moment_text(picture.taken)} · track {name}", note)


def _draw_track(painting: Painting, storm: ShownTrack, time: pd.Timestamp) -> None:
    """What a track was up to a time, with centre, circles and name if it has a fix then."""
    fixes = [fix for fix in storm.fixes if fix["time"] <= time]
    if not fixes:
        return
    painting.lines(painting.sheet.way(*storm.way[:, : len(fixes)]), storm.color)
    if fixes[-1]["time"] == time:
        _draw_fix(painting, fixes[-1], storm.color)
        x, y = _place(painting.sheet, fixes[-1]["lon"], fixes[-1]["lat"])
        painting.text(x + 16, y - 16, storm.name, size=20, color=storm.color, anchor="ls")


def _draw_fix(painting: Painting, fix: Fix, color: str) -> None:
    lon, lat, sheet = fix["lon"], fix["lat"], painting.sheet
    painting.dashes(sheet.around(lon, lat, fix["radius_95_km"]), color)
    painting.lines(sheet.around(lon, lat, fix["radius_50_km"]), color)
    painting.cross(*_place(sheet, lon, lat), color)


def _finished(painting: Painting, title: str, note: str) -> FilmFrame:
    height = painting.picture.height
    painting.scale(size=18)
    painting.text(12, 10, title, size=24)
    painting.text(12, height - 12, note, size=15, anchor="ls")
    return painting.pixels()


def _opened(
    content: bytes,
    sheet: Sheet,
    *,
    kelvin: _Stretch = None,
    box: Float[np.ndarray, " 4"] | None = None,
) -> Image.Image:
    """A picture of an even size, in its own colours or in the enhanced ones of temperatures.

    Args:
        content: WebP.
        sheet: whose size it is to have, but for a pixel.
        kelvin: what is black and white, if it shows a temperature.
        box: left, top, right and bottom of the part that is shown, in widths of the picture.
    """
    size = 2 * round(sheet.width / 2), 2 * round(sheet.height / 2)
    with Image.open(io.BytesIO(content)) as image:
        part = None if box is None else (box * image.width).clip(max=[*image.size] * 2)
        shown = image.convert("RGBA").resize(
            size, box=None if part is None else tuple(part.tolist())
        )
    pixels = np.asarray(shown)
    colours = pixels[..., :3] if kelvin is None else _table(kelvin)[pixels[..., 0]]
    return Image.fromarray(np.where(pixels[..., 3:] >= SEEN, colours, MISSING))


def _table(kelvin: tuple[float, float]) -> UInt8[np.ndarray, "256 3"]:
    return np.rint(255 * infrared_colours(np.linspace(*kelvin, 256))).astype(np.uint8)


def _place(sheet: Sheet, lon: float, lat: float) -> tuple[float, float]:
    x, y = sheet.points([lon], [lat])[0].tolist()
    return x, y
