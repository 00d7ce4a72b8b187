"""The map under the marks: picture, coastlines, graticule, scale, title, captions and legend.

Needs matplotlib (extra ``plots``) only when a map is drawn, and no display.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from medicane_models.domain import Grid, nearest_turn
from medicane_models.errors import SceneError, require
from medicane_models.files import replacing
from medicane_models.maps.annotations import halo
from medicane_models.maps.coastlines import DegreeLine, coast_lines, graticule, land_mask

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.offsetbox import AnchoredOffsetbox

__all__ = [
    "Picture",
    "add_legend",
    "add_scale_bar",
    "base_map",
    "draw_lines",
    "grow",
    "plain_picture",
    "round_length",
    "save",
    "short_way",
]

MAP_INCHES = (11.2, 8.4)  # the largest map, width and height
NARROWEST_INCHES = 7.5  # of the figure, so that title and legend fit
LEFT_INCHES, RIGHT_INCHES, GAP_INCHES = 0.6, 0.25, 0.12
LEGEND_ROW_INCHES, TICKS_INCHES = 0.24, 0.35
DPI = 150

TITLE = {"size": 13, "weight": "bold"}
SUBTITLE = {"size": 10, "color": "#404040"}
WARNING_BOX = {"facecolor": "#FFE04D", "edgecolor": "black", "boxstyle": "round,pad=0.3"}
WARNING = {"size": 10, "weight": "bold", "bbox": WARNING_BOX}
EMS_PER_LETTER = 0.62  # width of bold letters, rather too much
LINE_HEIGHT = 1.35

GRATICULE, PAGE, NO_DATA = "#C0C0C0", "#2B2B2B", "#808080"
COAST = ("black", "#FFFFFFA0")  # the line and its outline; the other way round on dark pictures
DARK = 0.5  # mean of a picture, below which it is dark
LAND, SEA = (0.86, 0.84, 0.78), (0.95, 0.97, 0.99)
CLOSEST_TICKS = 0.04  # of the map's longer side
LABELS_APART = 0.055  # likewise, of names of meridians and parallels within the map
WIDEST_SCALE = 0.2  # of the map's width
LEGEND = {"fontsize": 9, "facecolor": PAGE, "labelcolor": "white", "framealpha": 1}

Picture = Float[np.ndarray, "height width 3"]


def base_map(
    image: Picture, grid: Grid, *, title: str, subtitle: str | None, warning: str | None
) -> "Axes":
    """A figure of the map's shape, with square pixels, and all that is under the marks."""
    if image.shape[:2] != (grid.height, grid.width):
        raise SceneError(f"a picture of shape {image.shape} does not fit the grid: {grid}")
    axes = _framed_axes(grid, [(title, TITLE), (subtitle, SUBTITLE), (warning, WARNING)])
    _draw_picture(axes, image, grid)
    color, outline = COAST if np.nan_to_num(image, nan=1.0).mean() > DARK else COAST[::-1]
    coast = {"colors": color, "linewidths": 0.8, "path_effects": halo(1.8, outline)}
    draw_lines(axes, coast_lines(grid), **coast)
    _draw_graticule(axes, grid)
    axes.set(xlim=(-0.5, grid.width - 0.5), ylim=(grid.height - 0.5, -0.5))
    return axes


def plain_picture(grid: Grid) -> Picture:
    """Land and sea in two light colours; NaN off the disk."""
    lon, _ = grid.pixel_to_lonlat(*np.meshgrid(np.arange(grid.width), np.arange(grid.height)))
    picture = np.where(land_mask(grid)[..., None], LAND, SEA)
    picture[~np.isfinite(lon)] = np.nan
    return picture


def draw_lines(axes: "Axes", lines: list[np.ndarray], **style: Any) -> None:
    """Draw polylines of pixels (x, y)."""
    collection = require("matplotlib.collections", "plots").LineCollection
    axes.add_collection(collection(lines, **style), autolim=False)


def add_scale_bar(axes: "Axes", grid: Grid) -> "AnchoredOffsetbox | None":
    """A bar as long as a round number of kilometres in the middle of the map.

    None where the middle is off the disk.
    """
    across_km = float(grid.pixel_size_km((grid.width - 1) / 2, (grid.height - 1) / 2)[0])
    if not across_km > 0:
        return None
    length_km = round_length(WIDEST_SCALE * grid.width * across_km)
    artists = require("mpl_toolkits.axes_grid1.anchored_artists", "plots")
    bar = artists.AnchoredSizeBar(
        axes.transData,
        length_km / across_km,
        f"{length_km:g} km in the map's middle",
        "lower left",
        size_vertical=grid.height / 150,
        fontproperties=require("matplotlib.font_manager", "plots").FontProperties(size=8),
        pad=0.3,
        sep=3,
    )
    bar.patch.set(linewidth=0.5)
    bar.set_zorder(9)
    return axes.add_artist(bar)  # pyright: ignore[reportReturnType]


def add_legend(axes: "Axes", note: str = "") -> None:
    """A note and one entry a kind of mark, under the map; the page grows by what it needs."""
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels[::-1], handles[::-1], strict=True))
    if not entries and not note:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    marks, names = list(entries.values())[::-1], list(entries)[::-1]
    rows = _rows_that_fit(figure, marks, names)
    grow(axes, LEGEND_ROW_INCHES * (rows + bool(note)) + GAP_INCHES)
    legend = _legend(figure, marks, names, rows)
    if note:
        legend.set_title(note)
        legend.get_title().set(color="white", size=9)


def _rows_that_fit(figure: "Figure", marks: "list[Artist]", names: list[str]) -> int:
    """The fewest rows of a legend no wider than the page; 0 without entries."""
    for rows in range(1, len(names)):
        tried = _legend(figure, marks, names, rows)
        width = tried.get_window_extent().width
        tried.remove()
        if width <= figure.bbox.width:
            return rows
    return len(names)


def _legend(figure: "Figure", marks: "list[Artist]", names: list[str], rows: int) -> "Legend":
    columns = -(-len(names) // max(rows, 1)) or 1
    return figure.legend(marks, names, loc="lower center", ncols=columns, **LEGEND)


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure in the format of the name's suffix; a failure leaves no half file behind."""
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor=figure.get_facecolor())


def _framed_axes(grid: Grid, head: list[tuple[str | None, dict[str, Any]]]) -> "Axes":
    inches_per_pixel = min(MAP_INCHES[0] / grid.width, MAP_INCHES[1] / grid.height)
    width, height = grid.width * inches_per_pixel, grid.height * inches_per_pixel
    full_width = max(width + LEFT_INCHES + RIGHT_INCHES, NARROWEST_INCHES)
    blocks = [_wrapped(text, style, full_width) for text, style in head if text]
    top = GAP_INCHES + sum(inches for _, _, inches in blocks)
    full_height = height + top + TICKS_INCHES
    figure = _new_figure(full_width, full_height)
    left = LEFT_INCHES + (full_width - LEFT_INCHES - RIGHT_INCHES - width) / 2
    axes = figure.add_axes(
        (left / full_width, TICKS_INCHES / full_height, width / full_width, height / full_height),
        facecolor=NO_DATA,
    )
    below = GAP_INCHES
    for text, style, inches in blocks:
        _write_head(axes, text, height + top - below, height, style)
        below += inches
    return axes


def _wrapped(text: str, style: dict[str, Any], width: float) -> tuple[str, dict[str, Any], float]:
    """A text in lines that fit a page of so many inches, and how high it is."""
    letters = int((width - 0.4) * 72 / (style["size"] * EMS_PER_LETTER))
    lines = textwrap.wrap(text, letters)
    inches = len(lines) * LINE_HEIGHT * style["size"] / 72
    return "\n".join(lines), style, inches + (0.22 if "bbox" in style else 0.06)


def _write_head(
    axes: "Axes", text: str, inches: float, map_inches: float, style: dict[str, Any]
) -> None:
    """Write so many inches above the map's lower border, in the middle of the page."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    transforms = require("matplotlib.transforms", "plots")
    place = transforms.blended_transform_factory(figure.transFigure, axes.transAxes)
    down = 0.06 if "bbox" in style else 0
    figure.text(
        0.5, (inches - down) / map_inches, text, ha="center", va="top", transform=place, **style
    )


def grow(axes: "Axes", inches: float) -> None:
    """Add space at the foot of the page, without a change of the map's size."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    places = [(each, each.get_position().bounds) for each in figure.axes]
    figure.set_size_inches(width, height + inches)
    share = height / (height + inches)
    for each, (left, bottom, across, up) in places:
        each.set_position((left, bottom * share + 1 - share, across, up * share))


def _new_figure(width: float, height: float) -> "Figure":
    figure = require("matplotlib.figure", "plots").Figure(figsize=(width, height), dpi=DPI)
    require("matplotlib.backends.backend_agg", "plots").FigureCanvasAgg(figure)
    return figure


def _draw_picture(axes: "Axes", image: Picture, grid: Grid) -> None:
    seen = ~np.isnan(image.sum(axis=-1))
    axes.imshow(np.dstack([np.where(seen[..., None], image, 0).clip(0, 1), seen]))
    row, column = np.nonzero(~seen)
    if np.isfinite(grid.pixel_to_lonlat(column, row)[0]).any():
        axes.plot([], [], "s", color=NO_DATA, markersize=9, label="no data")


def _draw_graticule(axes: "Axes", grid: Grid) -> None:
    """Meridians labelled at the lower border, parallels at the left one; else in the middle."""
    meridians, parallels = graticule(grid)
    closest = CLOSEST_TICKS * max(grid.width, grid.height)
    for family, set_ticks in ((meridians, axes.set_xticks), (parallels, axes.set_yticks)):
        ticks = [(tick, line.label) for line in family for tick in line.ticks]
        if np.diff(sorted(tick for tick, _ in ticks)).min(initial=np.inf) < closest:
            ticks = []  # meridians that meet at the limb
        set_ticks([tick for tick, _ in ticks], [label for _, label in ticks], size=9)
        for line in family:
            draw_lines(axes, line.lines, colors=GRATICULE, linewidths=0.6, linestyles="--")
        if not ticks:
            _label_within(axes, family, apart=LABELS_APART * max(grid.width, grid.height))


def _label_within(axes: "Axes", lines: Sequence[DegreeLine], *, apart: float) -> None:
    """Names half-way along the lines, but for those too near to one that stands."""
    standing: list[np.ndarray] = []
    for line in lines:
        if not line.lines:
            continue
        longest = max(line.lines, key=len)
        place = longest[len(longest) // 2]
        if all(np.hypot(*(place - other)) > apart for other in standing):
            style = {"color": "white", "size": 8, "path_effects": halo(2)}
            axes.annotate(line.label, place, ha="center", **style)
            standing.append(place)


def round_length(most: float) -> float:
    """The largest of 1, 2, 5, 10, 20 … up to a number."""
    power = 10.0 ** np.floor(np.log10(most))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= most)


def short_way(grid: Grid, columns: Any) -> Any:
    """Columns from one place to another, on a map of the world by the shorter way round."""
    if not grid.is_geographic:
        return columns
    return nearest_turn(columns * grid.x_step) / grid.x_step
