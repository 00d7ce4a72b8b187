import numpy as np
import pandas as pd
import pyproj
import pytest
from drawn_maps import (
    SQUARE,
    WORLD,
    boxes,
    detections_figure,
    detections_table,
    lines,
    moving,
    overlapping_pairs,
    picture,
    points,
    texts,
    tracks_table,
)
from matplotlib.patches import ArrowStyle

from medicane_models.domain import MEDITERRANEAN
from medicane_models.maps.drawing import track_map


@pytest.mark.parametrize("share", [50, 95])
def test_circles_have_their_radius_on_the_ellipsoid(share):
    detections = detections_table(MEDITERRANEAN, found=(3,))
    figure = detections_figure(MEDITERRANEAN, detections)
    x, y = np.concatenate(
        [points(line) for line in lines(figure, f"{share} % circle of the centre")]
    ).T
    lon, lat = MEDITERRANEAN.pixel_to_lonlat(x, y)
    row = detections[detections["detected"]].iloc[0]
    centre = np.full_like(lon, row["lon"]), np.full_like(lat, row["lat"])
    distance = pyproj.Geod(ellps="WGS84").inv(*centre, lon, lat)[2] / 1000
    np.testing.assert_allclose(distance, row[f"radius_{share}_km"], rtol=4e-3)


def test_the_centre_is_marked_in_its_tile():
    figure = detections_figure(MEDITERRANEAN, detections_table(MEDITERRANEAN, found=(8,)))
    (mark,) = lines(figure, "centre")
    np.testing.assert_allclose(points(mark), [[426 + 100, 196 + 120]], atol=1e-6)


def test_a_centre_without_radii_has_no_circle():
    detections = detections_table(SQUARE, found=(0,), radius_50_km=np.nan, radius_95_km=np.nan)
    figure = detections_figure(SQUARE, detections)
    assert len(lines(figure, "centre")) == 1
    assert not [text for text in texts(figure) if "circle" in text]


def test_no_centre_is_marked_where_nothing_was_detected():
    figure = detections_figure(SQUARE, detections_table(SQUARE))
    assert not lines(figure, "centre")


def test_a_track_across_the_border_of_a_world_map_does_not_cross_the_map():
    tracks = tracks_table([(178.9, 10.0)]).assign(speed_kt=12.0, heading=80.0)
    tracks["lon"] = (tracks["lon"] + 180) % 360 - 180
    figure = track_map(None, WORLD, tracks, title="tracks")
    steps = [np.diff(points(line)[:, 0]) for line in figure.axes[0].lines if line.get_ls() == "-"]
    assert max(np.nanmax(abs(step), initial=0) for step in steps) < 20
    arrows = [note for note in figure.axes[0].texts if note.arrow_patch and not note.get_text()]
    assert arrows[0].xyann[0] > 0  # it moves eastwards


def test_tracks_pass_their_positions():
    tracks = tracks_table([(12.0, 36.0)])
    figure = track_map(picture(MEDITERRANEAN), MEDITERRANEAN, tracks, title="tracks")
    crs = pyproj.Proj(MEDITERRANEAN.crs)
    easting, northing = crs(tracks["lon"].to_numpy(), tracks["lat"].to_numpy())
    x = (easting - MEDITERRANEAN.x_origin) / MEDITERRANEAN.x_step
    y = (northing - MEDITERRANEAN.y_origin) / MEDITERRANEAN.y_step
    drawn = [points(line) for line in figure.axes[0].lines if len(points(line)) == 13]
    np.testing.assert_allclose(drawn[0], np.stack([x, y], axis=-1), atol=1e-3)


def test_tracks_are_named_at_the_start_and_dated_every_six_hours():
    written = texts(track_map(None, SQUARE, tracks_table([(14.0, 35.5)]), title="tracks"))
    assert {"1 · 6 Nov 22:00", "7 Nov", "06:00"} <= set(written)
    assert "2011-11-06 22:00 to 2011-11-07 10:00 UTC" in written
    assert "12:00" not in written


def test_tracks_of_several_years_tell_theirs():
    tracks = tracks_table([(14.0, 35.5), (18.0, 37.0)])
    second = tracks["track_id"] == tracks["track_id"].max()
    tracks.loc[second, "time"] += pd.DateOffset(years=2)
    ends = [text for text in texts(track_map(None, SQUARE, tracks, title="")) if " · " in text]
    years = tracks["time"].dt.year.unique()
    assert len(ends) == 4
    assert all(any(f" {year} " in text for year in years) for text in ends)


def test_labels_of_neighbouring_tracks_do_not_collide():
    tracks = tracks_table([(12.0, 36.0), (12.3, 36.4), (11.7, 35.6), (25.0, 34.0)])
    figure = track_map(picture(MEDITERRANEAN), MEDITERRANEAN, tracks, title="tracks")
    labels = boxes(figure, lambda text: ":" in text or text == "7 Nov")
    assert len(boxes(figure, lambda text: " · " in text)) == 8
    assert overlapping_pairs(labels) == 0


def test_labels_at_the_border_stay_on_the_map():
    tracks = tracks_table([(34.5, 31.0)], hours=3)
    figure = track_map(None, MEDITERRANEAN, tracks, title="tracks")
    labels = boxes(figure, lambda text: text.startswith("1 ·"))
    assert len(labels) == 2
    assert all(label.x1 <= figure.axes[0].bbox.x1 for label in labels)


def arrows(figure):
    """The arrows of motion among the annotations."""
    figure.draw_without_rendering()
    notes = [note for note in figure.axes[0].texts if note.arrow_patch]
    with_head = ArrowStyle.get_styles()["<|-"]
    return [note for note in notes if isinstance(note.arrow_patch.get_arrowstyle(), with_head)]


def test_the_newest_position_is_marked():
    tracks = moving(0.1, 0.1)
    (mark,) = lines(track_map(None, SQUARE, tracks, title=""), "newest position")
    expected = SQUARE.lonlat_to_pixel(tracks["lon"].iloc[-1], tracks["lat"].iloc[-1])
    np.testing.assert_allclose(points(mark), [expected])


@pytest.mark.parametrize(("east", "north"), [(0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)])
def test_the_arrow_points_where_the_cyclone_moves(east, north):
    (arrow,) = arrows(track_map(None, SQUARE, moving(east, north), title=""))
    right, up = arrow.xyann
    assert np.hypot(right, up) == pytest.approx(34)
    along = right * np.sign(east) if east else up * np.sign(north)
    assert along > 30  # of the graticule, which is nearly upright here


def test_the_motion_is_what_the_columns_say():
    turned = moving(0.1, 0).assign(heading=270.0)
    (arrow,) = arrows(track_map(None, SQUARE, turned, title=""))
    assert arrow.xyann[0] < -30


UNKNOWN = moving(0.1, 0).drop(columns=["speed_kt", "heading"])


@pytest.mark.parametrize("tracks", [UNKNOWN, moving(0, 0)], ids=["unknown", "still"])
def test_what_does_not_move_has_no_arrow(tracks):
    assert not arrows(track_map(None, SQUARE, tracks, title=""))


def test_both_radii_of_the_newest_position_are_drawn_and_told_apart():
    figure = track_map(None, SQUARE, moving(0.1, 0), title="")
    (inner,), (outer,) = (lines(figure, f"{p} % circle of the centre") for p in (50, 95))
    assert inner.get_linestyle() != outer.get_linestyle()
    assert {"50 % circle of the centre", "95 % circle of the centre"} <= set(texts(figure))


def test_six_hourly_positions_are_marked_even_where_the_clock_is_missed():
    late = moving(0.1, 0).assign(time=lambda t: t["time"] + pd.Timedelta(minutes=15))
    figure = track_map(None, SQUARE, late, title="")
    (ticks,) = lines(figure, "00, 06, 12, 18 UTC")
    expected = SQUARE.lonlat_to_pixel(late["lon"].iloc[[2, 8]], late["lat"].iloc[[2, 8]])
    np.testing.assert_allclose(points(ticks), np.transpose(expected))
    assert {"00:15", "06:15"} <= set(texts(figure))


def test_no_label_of_a_track_covers_a_position():
    tracks = pd.concat([moving(0.1, 0.1), moving(0.1, -0.1).assign(track_id=2)])
    figure = track_map(None, SQUARE, tracks, title="")
    labels = boxes(figure, lambda text: ":" in text or text == "7 Nov")
    pixels = np.stack(SQUARE.lonlat_to_pixel(tracks["lon"], tracks["lat"]), axis=-1)
    dots = figure.axes[0].transData.transform(pixels)
    assert len(labels) == 8
    assert sum(box.count_contains(dots) for box in labels) == 0


def test_positions_at_the_edge_are_hollow_and_explained():
    tracks = tracks_table([(12.0, 36.0)]).assign(edge=[True] * 2 + [False] * 11)
    figure = track_map(picture(MEDITERRANEAN), MEDITERRANEAN, tracks, title="tracks")
    (mark,) = lines(figure, "may reach beyond the map")
    assert len(points(mark)) == 2
    assert mark.get_markerfacecolor() == "white"


def test_what_lies_ahead_is_dotted_with_hollow_marks_and_circles():
    tracks = moving(0.1, 0)
    newest = tracks.iloc[-1]
    ahead = {"track_id": 1, "issued": newest["time"], "lead_hours": [6.0, 12.0], "lat": 36.0}
    places = {"lon": [16.8, 17.4], "radius_95_km": [100.0, 200.0]}
    forecasts = pd.DataFrame(ahead | places)
    earlier = forecasts.assign(issued=tracks["time"].iloc[-2], lon=20.0)
    figure = track_map(None, SQUARE, tracks, title="", forecasts=pd.concat([earlier, forecasts]))
    (marks,) = lines(figure, "extrapolated 6, 12 h, 95 % circles")
    expected = np.stack(SQUARE.lonlat_to_pixel([16.8, 17.4], [36.0, 36.0]), axis=-1)
    np.testing.assert_allclose(points(marks), expected)
    assert sum(line.get_linestyle() == ":" for line in figure.axes[0].lines) == 4
