"""Maps of detections and tracks on a satellite picture, with coastlines and graticule.

Needs matplotlib (extra ``plots``) only when a map is drawn, and no display.
"""

import textwrap
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyproj
from jaxtyping import Float

from medicane_models.domain import EARTH_RADIUS_KM, Grid
from medicane_models.errors import SceneError, require
from medicane_models.files import replacing
from medicane_models.maps.coastlines import coast_lines, graticule, land_mask, visible_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["airmass_map", "detection_map", "save", "track_map"]

MAP_INCHES = (11.2, 8.4)  # the largest map, width and height
NARROWEST_INCHES = 7.5  # of the figure, so that title and legend fit
LEFT_INCHES, RIGHT_INCHES, TITLE_INCHES = 0.6, 0.25, 0.45
BOTTOM_INCHES, BOTTOM_INCHES_OF_NARROW, NARROW_INCHES = 0.8, 1.05, 10  # the legend needs more rows
LINE_INCHES = 0.22  # height of a line of the caption
DPI = 150

DETECTED, CENTER = "#FFE04D", "#FF66D0"  # brighter than clouds and sea; told apart by shape too
QUIET, COAST, GRATICULE, PAGE, NO_DATA = "white", "black", "#C0C0C0", "#2B2B2B", "#808080"
LAND, SEA = (0.86, 0.84, 0.78), (0.95, 0.97, 0.99)
# the palette of Okabe and Ito (2008), made for all kinds of colour vision
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

# of labels from their points, in points, the best ones first
LABEL_OFFSETS = [(x, y) for r in (6, 18, 32, 48) for y in (r, -r) for x in (6, -6, r, -r)]

Picture = Float[np.ndarray, "height width 3"]
Label = tuple[float, float, str, str]  # pixel (x, y), text, colour
SPHERE = pyproj.Geod(a=EARTH_RADIUS_KM * 1000, f=0)


def detection_map(
    image: Picture,
    grid: Grid,
    detections: pd.DataFrame,
    *,
    tile_size: int,
    title: str,
    caption: str | None = None,
    threshold: float,
) -> "Figure":
    """Draw what was found at one time.

    Args:
        image: RGB in 0 … 1, NaN where missing, on ``grid``.
        grid: of the picture.
        detections: rows of one time with the columns of ``DETECTION_COLUMNS``.
        tile_size: pixels along a side of a tile.
        title: names the time, in UTC.
        caption: what the reader must know, such as that the model was never trained.
        threshold: least probability of a detection.
    """
    axes = _base_map(image, grid, title, caption)
    _draw_tiles(axes, detections, tile_size, threshold)
    _write_probabilities(axes, detections, tile_size)
    _draw_centers(axes, grid, detections)
    _add_legend(axes, _filled_frames(detections))
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def airmass_map(image: Picture, grid: Grid, *, title: str, caption: str | None = None) -> "Figure":
    """Draw a satellite picture (RGB in 0 … 1, NaN where missing) with coastlines and graticule."""
    axes = _base_map(image, grid, title, caption)
    _add_legend(axes)
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def track_map(
    image: Picture | None,
    grid: Grid,
    tracks: pd.DataFrame,
    *,
    title: str,
    caption: str | None = None,
) -> "Figure":
    """Draw tracks as lines with a dot a time, named where they start and dated every six hours.

    Args:
        image: RGB in 0 … 1, NaN where missing; None for plain land and sea.
        grid: of the picture.
        tracks: a track table; the column ``edge`` may be absent.
        title: what is shown.
        caption: what the reader must know.
    """
    axes = _base_map(_plain_picture(grid) if image is None else image, grid, title, caption)
    labels: list[Label] = []
    for (name, track), color in zip(tracks.groupby("track_id"), cycle(TRACK_COLORS), strict=False):
        labels += _draw_track(axes, grid, track.sort_values("time"), str(name), color)
    _write_apart(axes, labels, np.stack(grid.lonlat_to_pixel(tracks["lon"], tracks["lat"]), -1))
    _add_legend(axes, _period(tracks))
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure in the format of the name's suffix; a failure leaves no half file behind."""
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor=figure.get_facecolor())


def _base_map(image: Picture, grid: Grid, title: str, caption: str | None) -> "Axes":
    """Picture, coastlines, graticule, title and caption."""
    if image.shape[:2] != (grid.height, grid.width):
        raise SceneError(f"a picture of shape {image.shape} does not fit the grid: {grid}")
    axes = _framed_axes(grid, title, caption)
    _draw_picture(axes, image, grid)
    halo = _halo(1.8, "#FFFFFF80")
    _draw_lines(axes, coast_lines(grid), colors=COAST, linewidths=0.8, path_effects=halo)
    _draw_graticule(axes, grid)
    axes.set(xlim=(-0.5, grid.width - 0.5), ylim=(grid.height - 0.5, -0.5))
    return axes


def _draw_picture(axes: "Axes", image: Picture, grid: Grid) -> None:
    seen = ~np.isnan(image.sum(axis=-1))
    axes.imshow(np.dstack([np.where(seen[..., None], image, 0).clip(0, 1), seen]))
    row, column = np.nonzero(~seen)
    if np.isfinite(grid.pixel_to_lonlat(column, row)[0]).any():
        axes.plot([], [], "s", color=NO_DATA, markersize=9, label="no data")


def _framed_axes(grid: Grid, title: str, caption: str | None) -> "Axes":
    """A figure whose size follows from the map's, with square pixels."""
    inches_per_pixel = min(MAP_INCHES[0] / grid.width, MAP_INCHES[1] / grid.height)
    width, height = grid.width * inches_per_pixel, grid.height * inches_per_pixel
    full_width = max(width + LEFT_INCHES + RIGHT_INCHES, NARROWEST_INCHES)
    lines = textwrap.wrap(caption or "", int(full_width * 11))
    head = TITLE_INCHES + (LINE_INCHES * len(lines) + 0.15 if lines else 0)
    bottom = BOTTOM_INCHES if full_width > NARROW_INCHES else BOTTOM_INCHES_OF_NARROW
    full_height = height + bottom + head
    figure = _new_figure(full_width, full_height)
    left = LEFT_INCHES + (full_width - LEFT_INCHES - RIGHT_INCHES - width) / 2
    axes = figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height),
        facecolor=NO_DATA,
    )
    figure.text(0.5, 1 - 0.12 / full_height, title, ha="center", va="top", size=13, weight="bold")
    if lines:
        _write_caption(figure, lines, 1 - (TITLE_INCHES + 0.05) / full_height)
    return axes


def _new_figure(width: float, height: float) -> "Figure":
    figure = require("matplotlib.figure", "plots").Figure(figsize=(width, height), dpi=DPI)
    require("matplotlib.backends.backend_agg", "plots").FigureCanvasAgg(figure)
    return figure


def _write_caption(figure: "Figure", lines: list[str], top: float) -> None:
    box = {"facecolor": DETECTED, "edgecolor": "black", "boxstyle": "round,pad=0.3"}
    text = "\n".join(lines)
    figure.text(0.5, top, text, ha="center", va="top", size=10, weight="bold", bbox=box)


def _plain_picture(grid: Grid) -> Picture:
    """Land and sea in two light colours."""
    return np.where(land_mask(grid)[..., None], LAND, SEA)


def _draw_graticule(axes: "Axes", grid: Grid) -> None:
    """Meridians labelled at the lower border, parallels at the left one; else in the middle."""
    meridians, parallels = graticule(grid)
    for family, set_ticks in ((meridians, axes.set_xticks), (parallels, axes.set_yticks)):
        ticks = [(tick, line.label) for line in family for tick in line.ticks]
        set_ticks([tick for tick, _ in ticks], [label for _, label in ticks], size=9)
        for line in family:
            _draw_lines(axes, line.lines, colors=GRATICULE, linewidths=0.6, linestyles="--")
            if line.lines and not ticks:
                longest = max(line.lines, key=len)
                style = {"color": "white", "size": 8, "path_effects": _halo(2)}
                axes.annotate(line.label, longest[len(longest) // 2], ha="center", **style)


def _draw_lines(axes: "Axes", lines: list[np.ndarray], **style: Any) -> None:
    collection = require("matplotlib.collections", "plots").LineCollection
    axes.add_collection(collection(lines, **style), autolim=False)


def _draw_tiles(axes: "Axes", detections: pd.DataFrame, size: int, threshold: float) -> None:
    """Frames around tiles: the detected ones thick, bright and on top."""
    quiet = {"color": QUIET, "linewidth": 0.8, "label": f"tile, probability below {threshold:.2g}"}
    found = {"color": DETECTED, "linewidth": 2.4, "label": f"detection, {threshold:.2g} or more"}
    for is_found, style in ((False, quiet), (True, found)):
        rows = detections[detections["detected"].astype(bool) == is_found]
        halo = _halo(1.4 + 2 * is_found)
        for x, y in zip(rows["tile_x"] - 0.5, rows["tile_y"] - 0.5, strict=True):
            square = ([x, x + size, x + size, x, x], [y, y, y + size, y + size, y])
            axes.plot(*square, **style, clip_on=False, zorder=4 + is_found, path_effects=halo)


def _write_probabilities(axes: "Axes", detections: pd.DataFrame, size: int) -> None:
    """Write each probability into a corner of its tile."""
    x, is_right = _label_sides(detections["tile_x"].to_numpy(), size)
    y, is_low = _label_sides(detections["tile_y"].to_numpy(), size)
    for i, (probability, found) in enumerate(
        zip(detections["probability"], detections["detected"].astype(bool), strict=True)
    ):
        axes.annotate(
            "–" if pd.isna(probability) else f"{probability:.2f}",
            (x[i], y[i]),
            (-4 if is_right[i] else 4, 4 if is_low[i] else -4),
            textcoords="offset points",
            ha="right" if is_right[i] else "left",
            va="bottom" if is_low[i] else "top",
            color=DETECTED if found else QUIET,
            size=11 if found else 9,
            weight="bold" if found else "normal",
            path_effects=_halo(2),
            zorder=7,
        )


def _label_sides(offsets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where labels of tiles start along an axis, and whether at the far side of their tile.

    Behind the strip shared with the tile before, or, where that is most of a tile, at the near
    side of the first tiles and the far side of the last ones.
    """
    distinct = np.unique(offsets)
    shared = max(size - np.diff(distinct).min(initial=size), 0)
    if shared <= size / 2:
        return offsets + shared * (offsets > distinct[:1]), np.zeros(len(offsets), dtype=bool)
    far = offsets > distinct.mean()
    return offsets + (size - 1) * far, far


def _draw_centers(axes: "Axes", grid: Grid, detections: pd.DataFrame) -> None:
    """Crosses where something was detected, with the circles that hold 50 and 95 % of centres."""
    found = detections["detected"].astype(bool) & detections["lon"].notna()
    rows = detections.loc[found]
    if rows.empty:
        return
    style: dict[str, Any] = {"color": CENTER, "zorder": 6}
    x, y = grid.lonlat_to_pixel(rows["lon"], rows["lat"])
    halo = _halo(3.6)
    axes.plot(x, y, "x", ms=10, mew=2.2, label="centre", path_effects=halo, **style)
    for row in rows.to_dict("records"):
        _draw_circle(axes, grid, row, 50, linewidth=1.8, path_effects=halo, **style)
        _draw_circle(axes, grid, row, 95, linewidth=1.8, linestyle=(0, (4, 2)), **style)


def _draw_circle(axes: "Axes", grid: Grid, row: dict[Any, Any], share: int, **style: Any) -> None:
    """Draw the circle of a radius in km on the sphere; nothing where the radius is unknown."""
    radius_km = row[f"radius_{share}_km"]
    if pd.isna(radius_km):
        return
    azimuth = np.linspace(0, 360, 181)
    lon, lat, radius = (np.full(181, v) for v in (row["lon"], row["lat"], radius_km * 1000))
    lon, lat, _ = SPHERE.fwd(lon, lat, azimuth, radius)
    for line in visible_lines(grid, lon, lat):
        axes.plot(*line.T, label=f"{share} % circle", **style)


def _draw_track(
    axes: "Axes", grid: Grid, track: pd.DataFrame, name: str, color: str
) -> list[Label]:
    """Draw a track and return its labels."""
    x, y = np.stack(grid.lonlat_to_pixel(track["lon"], track["lat"]))
    axes.plot(x, y, color=color, linewidth=2, path_effects=_halo(4, "white"), zorder=5)
    axes.plot(x, y, "o", color=color, ms=4, mec="white", mew=0.5, zorder=6)
    if "edge" in track and (edge := track["edge"].to_numpy(dtype=bool)).any():
        style: dict[str, Any] = {"color": "white", "mec": color, "mew": 1.2}
        axes.plot(x[edge], y[edge], "o", label="may reach beyond the map", zorder=6, ms=5, **style)
    texts = _time_labels(pd.Series(track["time"]), name)
    for row, text in zip(track.to_dict("records"), texts, strict=True):
        if text:
            halo = _halo(2, "#FFFFFF90")
            _draw_circle(axes, grid, row, 50, color=color, linewidth=1, path_effects=halo)
    return [(*at, text, color) for *at, text in zip(x, y, texts, strict=True) if text]


def _time_labels(times: pd.Series, name: str) -> list[str]:
    """Name and date at the first time, then 06:00, 12:00, 18:00 and the date at midnight."""
    hours = times.dt.strftime("%H:%M").where(times == times.dt.floor("6h"), "")
    hours = hours.where(hours != "00:00", times.dt.strftime("%-d %b"))
    return [f"{name} · {times.iloc[0]:%-d %b %H:%M}", *hours.iloc[1:]]


def _write_apart(axes: "Axes", labels: list[Label], points: np.ndarray) -> None:
    """Write labels beside their points, each close by and where it covers little."""
    points = axes.transData.transform(points)
    style: dict[str, Any] = {"size": 9, "weight": "bold", "path_effects": _halo(2.5, "white")}
    taken: list[Any] = []
    for x, y, text, color in labels:
        style |= {"color": color, "textcoords": "offset points", "zorder": 8}
        leader = {"arrowstyle": "-", "color": color, "linewidth": 1, "shrinkB": 2}
        note = axes.annotate(text, (x, y), LABEL_OFFSETS[0], arrowprops=leader, **style)
        boxes = [_place(note, offset) for offset in LABEL_OFFSETS]
        cost = [
            100 * box.count_overlaps(taken)
            + box.count_contains(points)
            + 1000 * _sticks_out(box, axes)
            for box in boxes
        ]
        distance = np.abs(LABEL_OFFSETS).max(axis=1)
        taken.append(_place(note, LABEL_OFFSETS[int(np.argmin(cost + distance / 8))]))


def _sticks_out(box: Any, axes: "Axes") -> bool:
    left, bottom, right, top = axes.bbox.extents
    return bool(box.x0 < left or box.x1 > right or box.y0 < bottom or box.y1 > top)


def _place(note: Any, offset: tuple[int, int]) -> Any:
    """Move a label by an offset in points and return the box it fills, in dots."""
    note.xyann = offset
    note.set(ha="left" if offset[0] > 0 else "right", va="bottom" if offset[1] > 0 else "top")
    note.update_positions(note.figure.canvas.get_renderer())
    return require("matplotlib.text", "plots").Text.get_window_extent(note)  # without its leader


def _filled_frames(detections: pd.DataFrame) -> str:
    most = max(detections["missing_frames"], default=0)
    return f"up to {most:.0f} missing frames filled in" if most else ""


def _period(tracks: pd.DataFrame) -> str:
    if tracks.empty:
        return "no track"
    return f"{tracks['time'].min():%Y-%m-%d %H:%M} to {tracks['time'].max():%Y-%m-%d %H:%M} UTC"


def _add_legend(axes: "Axes", note: str = "") -> None:
    """A note and one entry a kind of mark, under the map."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels[::-1], handles[::-1], strict=True))
    if not entries and not note:
        return
    style = {"fontsize": 9, "facecolor": PAGE, "labelcolor": "white", "framealpha": 1}
    per_row = 6 if axes.figure.bbox.width > NARROW_INCHES * DPI else 3
    marks, names = list(entries.values())[::-1], list(entries)[::-1]
    legend = axes.figure.legend(marks, names, loc="lower center", ncols=per_row, **style)
    if note:
        legend.set_title(note)
        legend.get_title().set(color="white", size=9)


def _halo(width: float, color: str = "black") -> list[Any]:
    """An outline that keeps a mark legible on any background."""
    stroke = require("matplotlib.patheffects", "plots").withStroke
    return [stroke(linewidth=width, foreground=color)]
