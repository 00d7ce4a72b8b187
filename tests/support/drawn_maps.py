"""Maps of made-up detections and tracks, and what is drawn in them."""

import numpy as np
import pandas as pd
from matplotlib.text import Text

from medicane_models.domain import MEDITERRANEAN, Grid, geostationary_crs, local_plane
from medicane_models.maps.drawing import detection_map

BRITAIN = Grid.from_corners(
    geostationary_crs(9.5), lower_left=(-9, 48), upper_right=(9, 60), width=574, height=229
)
SQUARE = MEDITERRANEAN.window(600, 150, 224, 224)
WORLD = Grid.lonlat(west=-180, south=-60, east=179.5, north=60, step_degrees=0.5)


def picture(grid):
    return np.full((grid.height, grid.width, 3), 0.4, dtype=np.float32)


def detections_table(grid, *, found=(), radius_50_km=80.0, radius_95_km=190.0):
    """One row a tile; a detection has its centre at pixel (100, 120) of the tile."""
    time, rows = pd.Timestamp("2011-11-02 09:00"), []
    for i, tile in enumerate(grid.tiles(224)):
        lon, lat = grid.pixel_to_lonlat(tile.x + 100, tile.y + 120)
        centre = [100.0, 120.0, float(lon), float(lat), radius_50_km, radius_95_km]
        result = [0.9, True, *centre] if i in found else [0.01 * i, False, *[np.nan] * 6]
        rows.append([time, tile.x, tile.y, *result, 0])
    columns = "time tile_x tile_y probability detected center_x center_y lon lat"
    columns += " radius_50_km radius_95_km missing_frames"
    return pd.DataFrame(rows, columns=columns.split())


def fixes(detections):
    """A track for each detection."""
    rows = detections[detections["lon"].notna()]
    return rows.assign(track_id=range(1, len(rows) + 1), edge=False)


def detections_figure(grid=SQUARE, detections=None, **options):
    detections = detections_table(grid, found=(0,)) if detections is None else detections
    options = {
        "tile_size": 224, "title": "09:00 UTC", "threshold": 0.5, "tracks": fixes(detections)
    } | options  # fmt: skip
    return detection_map(picture(grid), grid, detections, **options)


def tracks_table(starts, hours=13):
    """A position an hour of cyclones that go the same way from each start (lon, lat)."""
    times = pd.date_range("2011-11-06 22:00", periods=hours, freq="h")
    parts = [
        pd.DataFrame(
            {
                "track_id": number,
                "time": times,
                "lon": lon + 0.2 * np.arange(hours),
                "lat": lat + 0.05 * np.arange(hours),
                "probability": 0.8,
                "radius_50_km": 60.0,
                "radius_95_km": np.nan,
            }
        )
        for number, (lon, lat) in enumerate(starts, start=1)
    ]
    return pd.concat(parts, ignore_index=True)


def points(line):
    return np.asarray(line.get_xydata())


def drawn_picture(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def lines(figure, label):
    """Those that the legend calls so."""
    return [line for line in figure.axes[0].lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def boxes(figure, wanted):
    """Where the notes stand whose text is wanted, in pixels of the page."""
    figure.draw_without_rendering()
    notes = [t for t in figure.axes[0].texts if wanted(t.get_text())]
    return [Text.get_window_extent(note) for note in notes]


def overlapping_pairs(found):
    return sum(box.count_overlaps(found) - 1 for box in found) // 2


def planes_figure(grid, centres, probabilities, **options):
    """A map of local planes around centres (lon, lat)."""
    planes = [local_plane(*centre, size=112, km=10.0) for centre in centres]
    detections = pd.DataFrame(
        {
            "time": pd.Timestamp("2011-11-02 09:00"),
            "probability": probabilities,
            "detected": np.array(probabilities) >= 0.5,
            "missing_frames": 3,
            "lon": np.nan,
        }
    )
    return detections_figure(grid, detections, planes=planes, tracks=None, **options)


def moving(lon_step, lat_step, hours=13):
    """One cyclone that moves so many degrees an hour, and knows it."""
    tracks = tracks_table([(15.0, 36.0)], hours=hours)
    step = np.arange(hours)
    heading = np.degrees(np.arctan2(lon_step, lat_step)) % 360
    motion = {"speed_kt": 100 * np.hypot(lon_step, lat_step), "heading": heading}
    places = {"lon": 15 + lon_step * step, "lat": 36 + lat_step * step}
    return tracks.assign(**places, radius_95_km=130.0, **motion)
