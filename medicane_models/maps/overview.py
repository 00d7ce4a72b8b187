"""The newest picture of a scene with all tracks on it, for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from medicane_models.domain import Grid
from medicane_models.maps.elements import node
from medicane_models.maps.outlook import lines_ahead
from medicane_models.maps.sheets import Sheet
from medicane_models.maps.storm_tracks import ShownTrack
from medicane_models.maps.web_pictures import webp
from medicane_models.maps.wording import date_text, moment_text, span_years

__all__ = ["Overview", "overview_map", "part_around", "window_of"]

WIDTH = 1000  # units of the drawing
WIDEST = 1400  # pixels of the picture
MARGIN_KM, LEAST_KM = 600, np.array([3200, 2200])  # of the part that is shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """A picture of the whole scene.

    Attributes:
        taken: when.
        pixels: at eight bits, as `web_pictures.eight_bits` makes them.
        grid: of the pixels.
    """

    taken: pd.Timestamp
    pixels: UInt8[np.ndarray, "y x bands"]
    grid: Grid


def overview_map(
    overview: Overview,
    storms: Sequence[ShownTrack],
    truth: pd.DataFrame | None,
    newest: pd.Timestamp,
) -> ET.Element:
    """The part of the scene around all tracks, or all of it where there is none."""
    rows, columns = part_around(overview.grid, storms)
    part = window_of(overview.grid, rows, columns)
    pixels = overview.pixels[rows, columns]
    sheet = Sheet(grid=part, width=WIDTH)
    year = span_years([newest, *(time for storm in storms for time in storm.times)])
    drawing = sheet.drawing(
        sheet.picture(webp(pixels, widest=WIDEST), class_="ir"),
        sheet.coasts(),
        sheet.graticule(),
        *_truths(sheet, truth),
        *(_track(sheet, storm, newest, year=year) for storm in storms),
        sheet.scale_bar(),
        label=f"Map of {len(storms)} tracks on the picture of {moment_text(overview.taken)}",
    )
    keys = (
        "Dots are fixes, lines the tracks smoothed through them; the newest fix has its 50 % "
        "circle (solid) and 95 % circle (dashed)."
    )
    if any(storm.standing for storm in storms):
        keys += " Dotted, with hollow marks: extrapolated by 6 and 12 h, within their 95 % circles."
    if truth is not None:
        keys += " Black and white: the true track."
    caption = f"Picture of {moment_text(overview.taken)}. {keys if storms else ''}"
    wide = f"max-width:min(56rem, {90 * sheet.width / sheet.height:.0f}vh)"
    return node("figure", drawing, node("figcaption", caption), class_="map", style=wide)


def part_around(grid: Grid, storms: Sequence[ShownTrack]) -> tuple[slice, slice]:
    """Rows and columns around all tracks, enough of them to see where that is; else all."""
    everything = slice(0, grid.height), slice(0, grid.width)
    if not storms:
        return everything
    lonlat = np.concatenate([storm.lonlat for storm in storms], axis=1)
    points = np.stack(grid.lonlat_to_pixel(*lonlat), axis=-1)
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    pixel_km = np.stack(grid.pixel_size_km(*((low + high) / 2)))
    if not np.isfinite(pixel_km).all():
        return everything
    wide, tall = np.maximum((high - low) * pixel_km + 2 * MARGIN_KM, LEAST_KM)
    spare = (np.array([max(wide, tall), tall]) / pixel_km - (high - low)) / 2
    start = np.maximum(np.floor(low - spare), 0).astype(int)
    stop = np.minimum(np.ceil(high + spare) + 1, (grid.width, grid.height)).astype(int)
    left, top = start.tolist()
    right, bottom = stop.tolist()
    return slice(top, bottom), slice(left, right)


def window_of(grid: Grid, rows: slice, columns: slice) -> Grid:
    """The part of a grid that has these rows and columns."""
    width, height = columns.stop - columns.start, rows.stop - rows.start
    return grid.window(columns.start, rows.start, width, height)


def _track(sheet: Sheet, storm: ShownTrack, newest: pd.Timestamp, *, year: bool) -> ET.Element:
    """A line with a dot a fix, with its name and circles at the last, dated if that is not new."""
    lonlat, last = storm.lonlat, storm.fixes[-1]
    radii = [(share, last[f"radius_{share}_km"]) for share in (95, 50)]
    placed = sheet.points(*lonlat)
    x, y = placed[-1].tolist()
    is_left = x > 0.8 * sheet.width or 0.2 * sheet.width < x < np.nanmean(placed[:, 0])
    date = f" · {date_text(last['time'], year=year)} {last['time']:%H:%M}"
    since = "" if last["time"] == newest else date
    name = node(
        "text",
        f"{storm.name}{since}",
        x=x,
        y=y,
        dx="-.7em" if is_left else ".7em",
        dy="-.6em",
        class_="name left" if is_left else "name",
    )
    return node(
        "g",
        *(sheet.circle(last["lon"], last["lat"], km, class_=f"halo r{s}") for s, km in radii),
        *(sheet.circle(last["lon"], last["lat"], km, class_=f"r{s}") for s, km in radii),
        lines_ahead(sheet, storm.way[:, -1], storm.standing),
        sheet.track(*storm.way, class_="halo"),
        sheet.track(*storm.way, class_="line"),
        sheet.dots(*lonlat, class_="dots"),
        sheet.dots(*lonlat[:, -1:], class_="newest"),
        name,
        class_="track",
        style=f"color:{storm.color}",
    )


def _truths(sheet: Sheet, truth: pd.DataFrame | None) -> list[ET.Element]:
    if truth is None:
        return []
    ordered = truth.sort_values("time").groupby("track_id")[["lon", "lat"]]
    return [
        sheet.track(*rows.to_numpy(float).T, class_=kind)
        for kind in ("true", "truth")
        for _, rows in ordered
    ]
