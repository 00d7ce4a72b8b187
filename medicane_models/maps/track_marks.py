"""Marks of tracks on a map: fixes, circles, motion, names and times."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medicane_models.domain import Grid
from medicane_models.maps.annotations import Labels, bold, halo, places_around
from medicane_models.maps.canvas import short_way
from medicane_models.maps.coastlines import SPHERE, circle_lines, cut_line
from medicane_models.maps.wording import date_text, tick_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CENTER",
    "TrackMarks",
    "draw_ahead",
    "draw_fix",
    "draw_track",
    "draw_truth",
    "tracks_at",
    "tracks_on",
    "write_ends",
    "write_hours",
]

CENTER, TRUTH = "#FF66D0", "black"
ARROW_POINTS = 34
AHEAD_KM = 20.0  # along which a heading is drawn
DASHES = {50: "-", 95: (0, (4, 2))}


@dataclass(frozen=True, kw_only=True)
class TrackMarks:
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
        """Of the positions."""
        return pd.Series(self.rows["time"])

    def at(self, row: int) -> tuple[float, float]:
        """Pixel (x, y) of a position."""
        return float(self.x[row]), float(self.y[row])

    @property
    def six_hourly(self) -> Int[np.ndarray, " k"]:
        """Rows of the first positions at or after 00, 06, 12 and 18 UTC, the start left out."""
        return np.flatnonzero(self.times.dt.floor("6h").diff() > pd.Timedelta(0))

    @property
    def motion(self) -> Float[np.ndarray, " 2"] | None:
        """Where the cyclone goes from the newest position, as a step of pixels (x, y) of length 1.

        None where it stands still or that is unknown.
        """
        newest = self.rows.iloc[-1]
        speed, heading = newest.get("speed_kt", np.nan), newest.get("heading", np.nan)
        if not (speed > 0 and np.isfinite(heading)):
            return None
        lon, lat, _ = SPHERE.fwd(newest["lon"], newest["lat"], heading, 1000 * AHEAD_KM)
        x, y = (float(v) for v in self.grid.lonlat_to_pixel(lon, lat))
        step = np.array([short_way(self.grid, x - self.x[-1]), y - self.y[-1]])
        return step / np.hypot(*step)

    @property
    def line(self) -> Float[np.ndarray, "2 m"]:
        """Pixels from position to position, NaN where a world map is cut."""
        return cut_line(self.grid, self.x, self.y)


def tracks_on(tracks: pd.DataFrame, grid: Grid) -> list[TrackMarks]:
    """Marks of all tracks of a table."""
    found = []
    for name, rows in tracks.groupby("track_id"):
        rows = rows.sort_values("time")
        x, y = np.stack(grid.lonlat_to_pixel(rows["lon"], rows["lat"]))
        found.append(TrackMarks(name=str(name), rows=rows, grid=grid, x=x, y=y))
    return found


def tracks_at(tracks: pd.DataFrame, time: pd.Timestamp | None, grid: Grid) -> list[TrackMarks]:
    """Tracks with a position at a time, up to then."""
    if time is None:
        return []
    there = tracks.loc[tracks["time"] == time, "track_id"]
    until = (tracks["time"] <= time) & tracks["track_id"].isin(there)
    return tracks_on(tracks.loc[until], grid)


def draw_fix(axes: "Axes", grid: Grid, track: TrackMarks, labels: Labels) -> None:
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


def draw_track(axes: "Axes", grid: Grid, track: TrackMarks, color: str, labels: Labels) -> None:
    """All of a track: its line, its fixes, the newest with circles and motion."""
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


def draw_ahead(
    axes: "Axes",
    track: TrackMarks,
    forecasts: pd.DataFrame | None,
    labels: Labels,
    *,
    color: str,
    outline: str,
) -> None:
    """Where its newest fix leads, dotted, with hollow marks and the 95 % circles; if that is known.

    Args:
        axes: the map.
        track: up to that fix.
        forecasts: of any tracks and times, the nearest of a fix first.
        labels: of the map, which keep off the marks.
        color: of the lines.
        outline: of these.
    """
    if forecasts is None:
        return
    names, issued = forecasts["track_id"].astype(str), track.times.iloc[-1]
    ahead = forecasts.loc[(names == track.name) & (forecasts["issued"] == issued)]
    if ahead.empty:
        return
    grid, dots = track.grid, {"color": color, "linestyle": ":", "zorder": 6}
    x, y = np.stack(grid.lonlat_to_pixel(ahead["lon"], ahead["lat"]))
    line = cut_line(grid, np.append(track.x[-1], x), np.append(track.y[-1], y))
    axes.plot(*line, linewidth=2, path_effects=halo(3.6, outline), **dots)
    hours = ", ".join(f"{lead:g}" for lead in ahead["lead_hours"])
    label = f"extrapolated {hours} h, 95 % circles"
    marks = {"ms": 6, "mfc": outline, "mew": 1.6, "label": label, "path_effects": halo(3, outline)}
    axes.plot(x, y, "o", **marks, **dots)
    labels.keep_off(x, y, 4)
    for lon, lat, radius_km in ahead[["lon", "lat", "radius_95_km"]].to_numpy(float):
        for circle in circle_lines(grid, lon, lat, radius_km):
            axes.plot(*circle.T, linewidth=1.4, path_effects=halo(2.8, outline), **dots)


def _draw_circles(
    axes: "Axes", grid: Grid, track: TrackMarks, *, outline: str, linewidth: float, **style: Any
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


def _draw_arrow(
    axes: "Axes", track: TrackMarks, labels: Labels, *, color: str, outline: str
) -> None:
    """An arrow from the newest position to where the cyclone goes; none if it does not."""
    if track.motion is None:
        return
    here = track.at(-1)
    tip = track.motion * (ARROW_POINTS, -ARROW_POINTS)  # pixels are square
    style = {"arrowstyle": "<|-", "color": color, "linewidth": 2.2, "mutation_scale": 14}
    style |= {"shrinkA": 0, "shrinkB": 5, "path_effects": halo(4, outline)}
    axes.annotate("", here, tuple(tip), textcoords="offset points", arrowprops=style, zorder=7)
    axes.plot([], [], marker=r"$\rightarrow$", ls="", ms=14, color=color, label="motion")
    labels.keep_off_arrow(*here, *tip)


def draw_truth(
    axes: "Axes", grid: Grid, truth: pd.DataFrame | None, time: pd.Timestamp | None, labels: Labels
) -> None:
    """The true tracks as dotted lines, and stars where the storms were at a time."""
    for track in [] if truth is None else tracks_on(truth, grid):
        line: dict[str, Any] = {"color": TRUTH, "linestyle": ":", "linewidth": 1.6, "zorder": 6}
        outline = halo(3.6, "white")
        axes.plot(*track.line, label="true track", path_effects=outline, **line)
        now = (track.times == time).to_numpy()
        if now.any():
            star: dict[str, Any] = {"ms": 13, "color": "white", "mec": TRUTH, "zorder": 7}
            axes.plot(track.x[now], track.y[now], "*", label="true centre", **star)
            labels.keep_off(track.x[now], track.y[now], 6)


def write_ends(labels: Labels, track: TrackMarks, color: str, *, year: bool) -> None:
    """The id and the time, at the newest position and at the start."""
    for row in (-1, 0) if len(track.x) > 1 else (-1,):
        time = track.times.iloc[row]
        text = f"{track.name} · {date_text(time, year=year)} {time:%H:%M}"
        labels.write(text, places_around(*track.at(row)), color=color, **bold("white"))


def write_hours(labels: Labels, track: TrackMarks, color: str, *, year: bool) -> None:
    """The times of the six-hourly marks between the ends, dates first, as far as there is room."""
    rows = track.six_hourly[track.six_hourly < len(track.x) - 1]
    times = track.times.iloc[rows]
    for row in rows[np.argsort(times != times.dt.normalize(), kind="stable")].tolist():
        text = tick_text(track.times.iloc[row], year=year)
        places = places_around(*track.at(row), rings=2)
        labels.write(text, places, needed=False, color=color, **bold("white"))
