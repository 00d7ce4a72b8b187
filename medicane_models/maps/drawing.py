"""Maps of detections and tracks on a satellite picture, with coastlines and graticule.

Needs matplotlib (extra ``plots``) only when a map is drawn, and no display.
"""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import pandas as pd

from medicane_models.domain import Grid
from medicane_models.maps.annotations import Labels, bold, places_around
from medicane_models.maps.canvas import (
    Picture,
    add_legend,
    add_scale_bar,
    base_map,
    plain_picture,
    save,
)
from medicane_models.maps.colour_tables import infrared_colours
from medicane_models.maps.temperature_bar import add_temperature_bar
from medicane_models.maps.tile_marks import (
    draw_tiles,
    fixed_tiles,
    plane_tiles,
    write_probabilities,
)
from medicane_models.maps.track_marks import (
    CENTER,
    draw_ahead,
    draw_fix,
    draw_track,
    draw_truth,
    tracks_at,
    tracks_on,
    write_ends,
    write_hours,
)
from medicane_models.maps.wording import span_years

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["airmass_map", "detection_map", "save", "track_map"]

# of Okabe and Ito (2008) and of Tol's muted scheme those that stand out from land and sea in all
# kinds of colour vision
TRACK_COLORS = ("#0072B2", "#D55E00", "#009E73", "#882255", "#CC79A7", "#332288")


def detection_map(
    image: Picture,
    grid: Grid,
    detections: pd.DataFrame,
    *,
    tile_size: int,
    threshold: float,
    title: str,
    kelvin: tuple[float, float] | None = None,
    planes: Sequence[Grid] | None = None,
    tracks: pd.DataFrame | None = None,
    forecasts: pd.DataFrame | None = None,
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
        kelvin: what the picture shows as black and as white, if it shows one temperature; it gets
            the colours that forecasters know, and a bar of them.
        planes: the tiles themselves, one a row, where they are local planes; of many only the
            detected ones are drawn.
        tracks: a track table; what has a position at the time of the detections is drawn there,
            with its circles, and where it came from.
        forecasts: a table of them; those of these tracks from that time are drawn.
        truth: ``track_id, time, lon, lat`` of the true storms, where they are known.
        subtitle: names the models.
        caption: what the reader must know, such as that the model was never trained.
    """
    shown = image if kelvin is None else _coloured(image, kelvin)
    axes = base_map(shown, grid, title=title, subtitle=subtitle, warning=caption)
    if kelvin is not None:
        add_temperature_bar(axes, kelvin)
    time = _newest(detections)
    if planes is None:
        tiles = fixed_tiles(detections, tile_size)
    else:
        tiles = plane_tiles(detections, planes, grid)
    draw_tiles(axes, tiles, threshold, clip_on=planes is not None)
    labels = _labels(axes, grid)
    found = [] if tracks is None else tracks_at(tracks, time, grid)
    draw_truth(axes, grid, truth, time, labels)
    for track in found:
        draw_ahead(axes, track, forecasts, labels, color=CENTER, outline="black")
        draw_fix(axes, grid, track, labels)
    write_probabilities(labels, tiles)
    for track in found:
        at = places_around(*track.at(-1))
        labels.write(f"track {track.name}", at, color=CENTER, **bold("black"))
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
    forecasts: pd.DataFrame | None = None,
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
        forecasts: a table of them; those from the newest positions are drawn.
        truth: ``track_id, time, lon, lat`` of the true storms, where they are known.
        subtitle: names the models.
        caption: what the reader must know.
    """
    picture = plain_picture(grid) if image is None else image
    axes = base_map(picture, grid, title=title, subtitle=subtitle, warning=caption)
    labels = _labels(axes, grid)
    draw_truth(axes, grid, truth, _newest(tracks), labels)
    drawn = list(zip(tracks_on(tracks, grid), cycle(TRACK_COLORS), strict=False))
    for track, color in drawn:
        draw_ahead(axes, track, forecasts, labels, color=color, outline="white")
        draw_track(axes, grid, track, color, labels)
    year = span_years(tracks["time"])
    for track, color in drawn:
        write_ends(labels, track, color, year=year)
    for track, color in drawn:
        write_hours(labels, track, color, year=year)
    add_legend(axes, _period(tracks))
    return axes.figure  # pyright: ignore[reportReturnType] - not a subfigure


def _coloured(image: Picture, kelvin: tuple[float, float]) -> Picture:
    """What is black and white as the temperatures that these are."""
    warm, cold = kelvin
    return infrared_colours(warm + image[..., 0] * (cold - warm)).astype(image.dtype)


def _labels(axes: "Axes", grid: Grid) -> Labels:
    """The labels of a map that has its scale."""
    labels = Labels(axes)
    if (bar := add_scale_bar(axes, grid)) is not None:
        labels.keep_clear(bar)
    return labels


def _newest(table: pd.DataFrame) -> pd.Timestamp | None:
    return None if table.empty else max(table["time"])


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
