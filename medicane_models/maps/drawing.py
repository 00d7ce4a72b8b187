"""Maps of detections and tracks on a satellite picture, with coastlines and graticule.

Needs matplotlib (extra ``plots``) only when a map is drawn, and no display.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from medicane_models.domain import Grid, nearest_turn
from medicane_models.maps.annotations import LabelPlace, Labels, halo, places_around
from medicane_models.maps.canvas import (
    Picture,
    add_legend,
    add_scale_bar,
    base_map,
    plain_picture,
    save,
)
from medicane_models.maps.coastlines import circle_lines, cut_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["airmass_map", "detection_map", "save", "track_map"]

DETECTED, CENTER = "#FFE04D", "#FF66D0"  # brighter than clouds and sea; told apart by shape too
QUIET, TRUTH = "white", "black"
# of Okabe and Ito (2008) and of Tol's muted scheme those that stand out from land and sea in all
# kinds of colour vision
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#882255", "#CC79A7", "#332288")

MOST_QUIET_PLANES = 20
SIDE = 24  # points along a side of a plane's outline
MOTION_HOURS = 6
ARROW_POINTS = 34
DASHES = {50: "-", 95: (0, (4, 2))}


@dataclass(frozen=True, kw_only=True, eq=False)
class _TileMark:
    """A tile on a map.

    Attributes:
        probability: of a cyclone in it; NaN if unknown.
        detected: whether that counts.
        outline: pixels (x, y) of the picture around it, NaN beyond what the picture can show.
        places: where the probability may be written.
    """

    probability: float
    detected: bool
    outline: Float[np.ndarray, "2 n"]
    places: Sequence[LabelPlace]


@dataclass(frozen=True, kw_only=True)
class _Track:
    """A track on a map.

    Attributes:
        name: its id.
        rows: the positions to draw, sorted by time.
        grid: of the map.
        x: pixels of the positions.
        y: likewise.
    """

    name: str
    rows: pd.DataFrame
    grid: Grid
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]

    @property
    def times(self) -> pd.Series:
        return pd.Series(self.rows["time"])

    def at(self, row: int) -> tuple[float, float]:
        """Pixel (x, y) of a position."""
        return float(self.x[row]), float(self.y[row])

    @property
    def six_hourly(self) -> Int[np.ndarray, " k"]:
        """Rows of the first positions at or after 00, 06, 12 and 18 UTC, the start left out."""
        return np.flatnonzero(self.times.dt.floor("6h").diff() > pd.Timedelta(0))

    @property
    def motion(self) -> Float[np.ndarray, " 2"]:
        """Pixels (x, y) that the last hours led it; 0 where it has not moved."""
        recent = self.times >= self.times.iloc[-1] - pd.Timedelta(hours=MOTION_HOURS)
        first = int(np.argmax(recent))
        right = _short_way(self.grid, self.x[-1] - self.x[first])
        return np.array([right, self.y[-1] - self.y[first]])

    @property
    def line(self) -> Float[np.ndarray, "2 m"]:
        """Pixels from position to position, NaN where a world map is cut."""
        return cut_line(self.grid, self.x, self.y)


def detection_map(
    image: Picture,
    grid: Grid,
    detections: pd.DataFrame,
    *,
    tile_size: int,
    threshold: float,
    title: str,
    planes: Sequence[Grid] | None = None,
    tracks: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
    subtitle: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """Draw what was found at one time: tiles with probabilities, cyclones with their ids.

    Args:
        image: RGB in 0 … 1, NaN where missing, on ``grid``.
        grid: of the picture.
        detections: rows of one time with the columns of ``DETECTION_COLUMNS``.
        tile_size: pixels along a side of a tile.
        threshold: least probability of a detection.
        title: names the scene and the time, in UTC.
        planes: the tiles themselves, one a row, where they are local planes; of many only the
            detected ones are drawn.
        tracks: a track table; what has a position at the time of the detections is drawn there,
            with its circles, and where it came from.
        truth: ``track_id, time, lon, lat`` of the true storms, where they are known.
        subtitle: names the models.
        caption: what the reader must know, such as that the model was never trained.
    """
    axes = base_map(image, grid, title=title, subtitle=subtitle, warning=caption)
    time = _newest(detections)
    if planes is None:
        tiles = _fixed_tiles(detections, tile_size)
    else:
        tiles = _plane_tiles(detections, planes, grid)
    _draw_tiles(axes, tiles, threshold, clip_on=planes is not None)
    labels = _labels(axes, grid)
    found = [] if tracks is None else _tracks_at(tracks, time, grid)
    _draw_truth(axes, grid, truth, time, labels)
    for track in found:
        _draw_fix(axes, grid, track, labels)
    _write_probabilities(labels, tiles)
    for track in found:
        at = places_around(*track.at(-1))
        labels.write(f"track {track.name}", at, color=CENTER, **_bold("black"))
    add_legend(axes, _note(detections, len(tiles), are_planes=planes is not None))
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def airmass_map(image: Picture, grid: Grid, *, title: str, caption: str | None = None) -> "Figure":
    """Draw a satellite picture (RGB in 0 … 1, NaN where missing) with coastlines and graticule."""
    axes = base_map(image, grid, title=title, subtitle=None, warning=caption)
    add_scale_bar(axes, grid)
    add_legend(axes)
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def track_map(
    image: Picture | None,
    grid: Grid,
    tracks: pd.DataFrame,
    *,
    title: str,
    truth: pd.DataFrame | None = None,
    subtitle: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """Draw tracks with a dot a time, named at both ends and dated every six hours.

    The newest position has the circles that hold the centre and an arrow of the motion.

    Args:
        image: RGB in 0 … 1, NaN where missing; None for plain land and sea.
        grid: of the picture.
        tracks: a track table; the column ``edge`` may be absent.
        title: what is shown.
        truth: ``track_id, time, lon, lat`` of the true storms, where they are known.
        subtitle: names the models.
        caption: what the reader must know.
    """
    picture = plain_picture(grid) if image is None else image
    axes = base_map(picture, grid, title=title, subtitle=subtitle, warning=caption)
    labels = _labels(axes, grid)
    _draw_truth(axes, grid, truth, _newest(tracks), labels)
    drawn = list(zip(_tracks_on(tracks, grid), cycle(TRACK_COLORS), strict=False))
    for track, color in drawn:
        _draw_track(axes, grid, track, color, labels)
    for track, color in drawn:
        _write_ends(labels, track, color)
    for track, color in drawn:
        _write_hours(labels, track, color)
    add_legend(axes, _period(tracks))
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def _labels(axes: "Axes", grid: Grid) -> Labels:
    """The labels of a map that has its scale."""
    labels = Labels(axes)
    if (bar := add_scale_bar(axes, grid)) is not None:
        labels.keep_clear(bar)
    return labels


def _newest(table: pd.DataFrame) -> pd.Timestamp | None:
    return None if table.empty else max(table["time"])


def _tracks_on(tracks: pd.DataFrame, grid: Grid) -> list[_Track]:
    found = []
    for name, rows in tracks.groupby("track_id"):
        rows = rows.sort_values("time")
        x, y = np.stack(grid.lonlat_to_pixel(rows["lon"], rows["lat"]))
        found.append(_Track(name=str(name), rows=rows, grid=grid, x=x, y=y))
    return found


def _tracks_at(tracks: pd.DataFrame, time: pd.Timestamp | None, grid: Grid) -> list[_Track]:
    """Tracks with a position at a time, up to then."""
    if time is None:
        return []
    there = tracks.loc[tracks["time"] == time, "track_id"]
    until = (tracks["time"] <= time) & tracks["track_id"].isin(there)
    return _tracks_on(tracks.loc[until], grid)


def _draw_tiles(
    axes: "Axes", tiles: Sequence[_TileMark], threshold: float, *, clip_on: bool
) -> None:
    """Frames around tiles: the detected ones thick, bright and on top."""
    quiet = {"color": QUIET, "linewidth": 0.8, "label": f"tile, probability below {threshold:.2g}"}
    found = {"color": DETECTED, "linewidth": 2.4, "label": f"detection, {threshold:.2g} or more"}
    for tile in tiles:
        outline = halo(1.4 + 2 * tile.detected)
        style = found if tile.detected else quiet
        style |= {"clip_on": clip_on, "zorder": 4 + tile.detected, "path_effects": outline}
        axes.plot(*tile.outline, **style)


def _write_probabilities(labels: Labels, tiles: Sequence[_TileMark]) -> None:
    """Write each probability into a corner of its tile."""
    for tile in tiles:
        labels.write(
            "–" if np.isnan(tile.probability) else f"{tile.probability:.2f}",
            tile.places,
            color=DETECTED if tile.detected else QUIET,
            size=11 if tile.detected else 9,
            weight="bold" if tile.detected else "normal",
            path_effects=halo(2),
        )


def _fixed_tiles(detections: pd.DataFrame, size: int) -> list[_TileMark]:
    x, is_right = _label_sides(detections["tile_x"].to_numpy(), size)
    y, is_low = _label_sides(detections["tile_y"].to_numpy(), size)
    marks = []
    for i, row in enumerate(detections.to_dict("records")):
        left, top = row["tile_x"] - 0.5, row["tile_y"] - 0.5
        right, bottom = left + size, top + size
        first = LabelPlace(x[i], y[i], -4 if is_right[i] else 4, 4 if is_low[i] else -4)
        marks.append(
            _TileMark(
                probability=float(row["probability"]),
                detected=bool(row["detected"]),
                outline=np.array(
                    [[left, right, right, left, left], [top, top, bottom, bottom, top]]
                ),
                places=[first, *_corners(row["tile_x"], row["tile_y"], size)],
            )
        )
    return marks


def _plane_tiles(detections: pd.DataFrame, planes: Sequence[Grid], grid: Grid) -> list[_TileMark]:
    """Planes as they lie on a picture: curved, each with its probability at its corners."""
    marks = []
    for plane, row in zip(planes, detections.to_dict("records"), strict=True):
        if len(planes) > MOST_QUIET_PLANES and not row["detected"]:
            continue  # there are too many to be told apart
        outline = np.stack(grid.lonlat_to_pixel(*plane.pixel_to_lonlat(*_border(plane))))
        marks.append(
            _TileMark(
                probability=float(row["probability"]),
                detected=bool(row["detected"]),
                outline=cut_line(grid, *outline),
                places=_places_in(plane, grid, outline[:, :-1:SIDE]),
            )
        )
    return marks


def _places_in(plane: Grid, grid: Grid, corners: Float[np.ndarray, "2 n"]) -> list[LabelPlace]:
    """Places at the corners that can be seen, each towards the middle, and last that."""
    half = (plane.width - 1) / 2
    middle = np.stack(grid.lonlat_to_pixel(*plane.pixel_to_lonlat(half, half)))
    x, y = corners[:, np.isfinite(corners[0])]
    right, up = np.sign(_short_way(grid, middle[0] - x)), np.sign(y - middle[1])
    places = np.column_stack([x, y, 4 * right, 4 * up])
    return [LabelPlace(*place) for place in [*places.tolist(), [*middle.tolist(), 0, 0]]]


def _short_way(grid: Grid, columns: Any) -> Any:
    """Columns from one place to another, on a map of the world by the shorter way round."""
    if not grid.is_geographic:
        return columns
    return nearest_turn(columns * grid.x_step) / grid.x_step


def _border(plane: Grid) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Pixels around a plane from its first corner on, SIDE steps a side."""
    low, high = -0.5, plane.width - 0.5
    there, still = np.linspace(low, high, SIDE, endpoint=False), np.full(SIDE, low)
    back, beyond = there[::-1] + (high - low) / SIDE, np.full(SIDE, high)
    x = np.concatenate([there, beyond, back, still, [low]])
    y = np.concatenate([still, there, beyond, back, [low]])
    return x, y


def _corners(x: float, y: float, size: int) -> list[LabelPlace]:
    """Places in the corners and at the middles of the sides of a tile."""
    middle, far = (size - 1) / 2, size - 1
    across = ((0, 4), (far, -4), (middle, 0))
    down = ((0, -4), (far, 4), (middle, 0))
    return [
        LabelPlace(x + right, y + low, dx, dy)
        for low, dy in down
        for right, dx in across
        if dx or dy
    ]


def _label_sides(
    offsets: np.ndarray, size: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Where labels of tiles start along an axis, and whether at the far side of their tile.

    Behind the strip shared with the tile before, or, where that is most of a tile, at the near
    side of the first tiles and the far side of the last ones.
    """
    distinct = np.unique(offsets)
    shared = max(size - np.diff(distinct).min(initial=size), 0)
    if shared <= size / 2:
        start = offsets + shared * (offsets > distinct[:1])
        return start.astype(float), np.zeros(len(offsets), dtype=bool)
    far = offsets > distinct.mean()
    return (offsets + (size - 1) * far).astype(float), far


def _draw_fix(axes: "Axes", grid: Grid, track: _Track, labels: Labels) -> None:
    """Where a cyclone is, with its circles, and where it came from."""
    style: dict[str, Any] = {"color": CENTER, "zorder": 6}
    if len(track.x) > 1:
        path = {"linewidth": 1.2, "marker": ".", "path_effects": halo(2.4)}
        axes.plot(*track.line, label="earlier positions", **path, **style)
    here = track.x[-1:], track.y[-1:]
    axes.plot(*here, "x", ms=10, mew=2.2, label="centre", path_effects=halo(3.6), **style)
    _draw_circles(axes, grid, track, outline="black", linewidth=1.8, **style)
    _draw_arrow(axes, track, labels, color=CENTER, outline="black")
    labels.keep_off(track.x, track.y, 2)
    labels.keep_off(*here, 6)


def _draw_track(axes: "Axes", grid: Grid, track: _Track, color: str, labels: Labels) -> None:
    x, y, outline = track.x, track.y, halo(4, "white")
    axes.plot(*track.line, color=color, linewidth=2, path_effects=outline, zorder=5)
    axes.plot(x, y, "o", color=color, ms=4, mec="white", mew=0.5, zorder=6)
    dot: dict[str, Any] = {"color": color, "mec": "white", "mew": 0.8, "zorder": 6}
    if len(x) > 1:
        axes.plot(x[:1], y[:1], "s", ms=7, label="start", **dot)
    if len(ticks := track.six_hourly):
        axes.plot(x[ticks], y[ticks], "D", ms=6, label="00, 06, 12, 18 UTC", **dot)
    if "edge" in track.rows and (edge := track.rows["edge"].to_numpy(dtype=bool)).any():
        hollow: dict[str, Any] = {"color": "white", "mec": color, "mew": 1.2}
        axes.plot(x[edge], y[edge], "o", label="may reach beyond the map", zorder=6, ms=5, **hollow)
    newest: dict[str, Any] = {"color": color, "path_effects": halo(4, "white"), "zorder": 7}
    axes.plot(x[-1:], y[-1:], "x", ms=9, mew=2.4, label="newest position", **newest)
    _draw_circles(axes, grid, track, outline="white", linewidth=1.2, color=color, zorder=5)
    _draw_arrow(axes, track, labels, color=color, outline="white")
    labels.keep_off(x, y, 3)
    labels.keep_off(x[-1:], y[-1:], 6)


def _draw_circles(
    axes: "Axes", grid: Grid, track: _Track, *, outline: str, linewidth: float, **style: Any
) -> None:
    """The circles that hold the newest centre in 50 and 95 % of cases, where they are known."""
    newest = track.rows.iloc[-1]
    here = float(newest["lon"]), float(newest["lat"])
    for share, dashes in DASHES.items():
        radius_km = newest[f"radius_{share}_km"]
        style |= {"label": f"{share} % circle of the centre", "linestyle": dashes}
        style |= {"path_effects": halo(2 * linewidth, outline), "linewidth": linewidth}
        if pd.notna(radius_km):
            for line in circle_lines(grid, *here, float(radius_km)):
                axes.plot(*line.T, **style)


def _draw_arrow(axes: "Axes", track: _Track, labels: Labels, *, color: str, outline: str) -> None:
    """An arrow from the newest position to where the cyclone was moving; none if it was not."""
    right, down = track.motion
    length = np.hypot(right, down)
    if not length > 0:
        return
    here = track.at(-1)
    tip = np.array([right, -down]) / length * ARROW_POINTS  # pixels are square
    style = {"arrowstyle": "<|-", "color": color, "linewidth": 2.2, "mutation_scale": 14}
    style |= {"shrinkA": 0, "shrinkB": 5, "path_effects": halo(4, outline)}
    axes.annotate("", here, tuple(tip), textcoords="offset points", arrowprops=style, zorder=7)
    label = f"motion, last {MOTION_HOURS} h at most"
    axes.plot([], [], marker=r"$\rightarrow$", ls="", ms=14, color=color, label=label)
    labels.keep_off_arrow(*here, *tip)


def _draw_truth(
    axes: "Axes", grid: Grid, truth: pd.DataFrame | None, time: pd.Timestamp | None, labels: Labels
) -> None:
    """The true tracks as dotted lines, and stars where the storms were at a time."""
    for track in [] if truth is None else _tracks_on(truth, grid):
        line: dict[str, Any] = {"color": TRUTH, "linestyle": ":", "linewidth": 1.6, "zorder": 6}
        outline = halo(3.6, "white")
        axes.plot(*track.line, label="true track", path_effects=outline, **line)
        now = (track.times == time).to_numpy()
        if now.any():
            star: dict[str, Any] = {"ms": 13, "color": "white", "mec": TRUTH, "zorder": 7}
            axes.plot(track.x[now], track.y[now], "*", label="true centre", **star)
            labels.keep_off(track.x[now], track.y[now], 6)


def _write_ends(labels: Labels, track: _Track, color: str) -> None:
    """The id and the time, at the newest position and at the start."""
    for row in (-1, 0) if len(track.x) > 1 else (-1,):
        text = f"{track.name} · {_moment(track.times.iloc[row])}"
        labels.write(text, places_around(*track.at(row)), color=color, **_bold("white"))


def _write_hours(labels: Labels, track: _Track, color: str) -> None:
    """The times of the six-hourly marks between the ends, dates first, as far as there is room."""
    rows = track.six_hourly[track.six_hourly < len(track.x) - 1]
    times = track.times.iloc[rows]
    for row in rows[np.argsort(times != times.dt.normalize(), kind="stable")].tolist():
        text, places = _hour(track.times.iloc[row]), places_around(*track.at(row), rings=2)
        labels.write(text, places, needed=False, color=color, **_bold("white"))


def _hour(time: pd.Timestamp) -> str:
    """The date at midnight, the time of day otherwise."""
    return f"{time.day} {time:%b}" if time == time.normalize() else f"{time:%H:%M}"


def _moment(time: pd.Timestamp) -> str:
    return f"{time.day} {time:%b %H:%M}"


def _bold(outline: str) -> dict[str, Any]:
    return {"size": 9, "weight": "bold", "path_effects": halo(2.5, outline)}


def _note(detections: pd.DataFrame, drawn: int, *, are_planes: bool) -> str:
    """What the marks do not show: frames that were missing, tiles that are not drawn."""
    most, quiet = max(detections["missing_frames"], default=0), len(detections) - drawn
    missing = f"up to {most:.0f} missing frames {'left empty' if are_planes else 'filled in'}"
    hidden = f"{quiet} tiles without a detection are not drawn"
    return " · ".join(text for text, told in ((missing, most), (hidden, quiet)) if told)


def _period(tracks: pd.DataFrame) -> str:
    if tracks.empty:
        return "no track"
    return f"{tracks['time'].min():%Y-%m-%d %H:%M} to {tracks['time'].max():%Y-%m-%d %H:%M} UTC"
