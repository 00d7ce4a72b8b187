import sys

import numpy as np
import pandas as pd
import pyproj
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.patches import ArrowStyle
from matplotlib.text import Text
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from medicane_models.domain import MEDITERRANEAN, Grid, geostationary_crs, local_plane
from medicane_models.errors import MissingExtraError, SceneError
from medicane_models.maps.colour_tables import infrared_colours
from medicane_models.maps.drawing import airmass_map, detection_map, save, track_map

BRITAIN = Grid.from_corners(
    geostationary_crs(9.5), lower_left=(-9, 48), upper_right=(9, 60), width=574, height=229
)
SQUARE = MEDITERRANEAN.window(600, 150, 224, 224)


def picture(grid):
    return np.full((grid.height, grid.width, 3), 0.4, dtype=np.float32)


def table(grid, *, found=(), radius_50_km=80.0, radius_95_km=190.0):
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
    detections = table(grid, found=(0,)) if detections is None else detections
    options = {
        "tile_size": 224, "title": "09:00 UTC", "threshold": 0.5, "tracks": fixes(detections)
    } | options  # fmt: skip
    return detection_map(picture(grid), grid, detections, **options)


def tracks_table(starts, hours=13):
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
    return [line for line in figure.axes[0].lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def boxes(figure, wanted):
    figure.draw_without_rendering()
    notes = [t for t in figure.axes[0].texts if wanted(t.get_text())]
    return [Text.get_window_extent(note) for note in notes]


def overlapping_pairs(found):
    return sum(box.count_overlaps(found) - 1 for box in found) // 2


@pytest.mark.parametrize("share", [50, 95])
def test_circles_have_their_radius_on_the_ellipsoid(share):
    detections = table(MEDITERRANEAN, found=(3,))
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
    figure = detections_figure(MEDITERRANEAN, table(MEDITERRANEAN, found=(8,)))
    (mark,) = lines(figure, "centre")
    np.testing.assert_allclose(points(mark), [[426 + 100, 196 + 120]], atol=1e-6)


def test_a_centre_without_radii_has_no_circle():
    detections = table(SQUARE, found=(0,), radius_50_km=np.nan, radius_95_km=np.nan)
    figure = detections_figure(SQUARE, detections)
    assert len(lines(figure, "centre")) == 1
    assert not [text for text in texts(figure) if "circle" in text]


def test_no_centre_is_marked_where_nothing_was_detected():
    figure = detections_figure(SQUARE, table(SQUARE))
    assert not lines(figure, "centre")


def test_each_tile_is_framed_and_detections_stand_out():
    figure = detections_figure(MEDITERRANEAN, table(MEDITERRANEAN, found=(2, 9)))
    found, quiet = (
        lines(figure, "detection, 0.5 or more"),
        lines(figure, "tile, probability below 0.5"),
    )
    assert (len(found), len(quiet)) == (2, 10)
    assert found[0].get_linewidth() > 2 * quiet[0].get_linewidth()
    assert found[0].get_color() != quiet[0].get_color()
    np.testing.assert_allclose(points(found[0]).min(axis=0), [425.5, -0.5])
    np.testing.assert_allclose(points(found[0]).max(axis=0), [649.5, 223.5])


def test_every_probability_is_written_and_an_unknown_one_dashed():
    detections = table(MEDITERRANEAN, found=(0,))
    detections.loc[1, "probability"] = np.nan
    written = texts(detections_figure(MEDITERRANEAN, detections))
    assert {"0.90", "–", "0.02", "0.11"} <= set(written)


@pytest.mark.parametrize("grid", [MEDITERRANEAN, BRITAIN], ids=["mediterranean", "britain"])
def test_probabilities_of_overlapping_tiles_do_not_collide(grid):
    detections = table(grid, found=range(len(grid.tiles(224))))
    labels = boxes(detections_figure(grid, detections), lambda text: text == "0.90")
    assert len(labels) == len(detections)
    assert overlapping_pairs(labels) == 0


@pytest.mark.parametrize(
    "grid", [MEDITERRANEAN, BRITAIN, SQUARE], ids=["wide", "britain", "square"]
)
def test_pixels_are_square_and_the_map_fills_its_frame(grid):
    figure = detections_figure(grid)
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(grid.width / grid.height, rel=1e-3)
    assert 7 < figure.get_figwidth() <= 12.1


def test_title_and_caption_are_written():
    figure = detections_figure(title="2 November 09:00 UTC", caption="UNTRAINED MODEL: noise")
    assert {"2 November 09:00 UTC", "UNTRAINED MODEL: noise"} <= set(texts(figure))


def test_a_long_caption_stays_on_the_page():
    figure = detections_figure(caption="model of somewhere " * 20)
    figure.draw_without_rendering()
    (caption,) = [t for t in figure.texts if "somewhere" in t.get_text()]
    box, page, axes = caption.get_window_extent(), figure.bbox, figure.axes[0].get_window_extent()
    assert page.x0 < box.x0
    assert box.x1 < page.x1
    assert box.y0 > axes.y1


def test_filled_frames_are_mentioned():
    detections = table(SQUARE).assign(missing_frames=4)
    assert "up to 4 missing frames filled in" in texts(detections_figure(SQUARE, detections))


WORLD = Grid.lonlat(west=-180, south=-60, east=179.5, north=60, step_degrees=0.5)


def planes_figure(grid, centres, probabilities, **options):
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


def test_missing_frames_of_planes_are_left_empty_and_tiles_that_are_not_drawn_counted():
    centres = [(10.0 * column, 5.0) for column in range(25)]
    figure = planes_figure(WORLD, centres, [0.9, *[0.1] * 24])
    note = "up to 3 missing frames left empty · 24 tiles without a detection are not drawn"
    assert note in texts(figure)
    assert len(lines(figure, "detection, 0.5 or more")) == 1


def test_a_plane_across_the_border_of_a_world_map_is_drawn_on_both_sides():
    (outline,) = lines(planes_figure(WORLD, [(180.0, 10.0)], [0.9]), "detection, 0.5 or more")
    x = points(outline)[:, 0]
    assert np.nanmin(x) < 15
    assert np.nanmax(x) > WORLD.width - 15
    assert np.nanmax(abs(np.diff(x))) < 5


def test_a_track_across_the_border_of_a_world_map_does_not_cross_the_map():
    tracks = tracks_table([(178.9, 10.0)]).assign(speed_kt=12.0, heading=80.0)
    tracks["lon"] = (tracks["lon"] + 180) % 360 - 180
    figure = track_map(None, WORLD, tracks, title="tracks")
    steps = [np.diff(points(line)[:, 0]) for line in figure.axes[0].lines if line.get_ls() == "-"]
    assert max(np.nanmax(abs(step), initial=0) for step in steps) < 20
    arrows = [note for note in figure.axes[0].texts if note.arrow_patch and not note.get_text()]
    assert arrows[0].xyann[0] > 0  # it moves eastwards


def test_each_of_crowded_planes_has_a_place_for_its_probability():
    grid = Grid.lonlat(west=0, south=0, east=15, north=15, step_degrees=0.05)
    crowded = [(7.5, 7.5)] * 5
    figure = planes_figure(grid, crowded, [0.9] * len(crowded))
    labels = boxes(figure, lambda text: text == "0.90")
    assert len(labels) == len(crowded)
    assert overlapping_pairs(labels) == 0


def test_an_empty_table_still_gives_a_map():
    assert "09:00 UTC" in texts(detections_figure(SQUARE, table(SQUARE).iloc[:0]))


def test_missing_pixels_are_transparent_and_explained():
    image = picture(SQUARE)
    image[:50, :60, 1] = np.nan
    figure = airmass_map(image, SQUARE, title="air mass")
    alpha = drawn_picture(figure)[..., 3]
    assert (alpha[:50, :60] == 0).all()
    assert alpha.sum() == 224 * 224 - 50 * 60
    assert "no data" in texts(figure)


def test_pixels_off_the_disk_are_not_called_missing():
    grid = Grid.full_disk(0).window(300, 300, 400, 400)
    image = np.full((400, 400, 3), np.nan)
    image[np.isfinite(grid.pixel_to_lonlat(*np.meshgrid(range(400), range(400)))[0])] = 0.5
    assert "no data" not in texts(airmass_map(image, grid, title="corner"))


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(SceneError, match=r"\(10, 20, 3\) does not fit the grid: 224 × 224 px"):
        airmass_map(np.zeros((10, 20, 3)), SQUARE, title="")


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


def moving(lon_step, lat_step, hours=13):
    tracks = tracks_table([(15.0, 36.0)], hours=hours)
    step = np.arange(hours)
    heading = np.degrees(np.arctan2(lon_step, lat_step)) % 360
    motion = {"speed_kt": 100 * np.hypot(lon_step, lat_step), "heading": heading}
    places = {"lon": 15 + lon_step * step, "lat": 36 + lat_step * step}
    return tracks.assign(**places, radius_95_km=130.0, **motion)


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


def test_a_detection_map_names_the_tracks_of_its_time_and_draws_them_up_to_then():
    gone = tracks_table([(13.5, 35.0)], hours=3).assign(track_id=7)
    tracks = pd.concat([gone, moving(0.1, 0.1)])
    detections = table(SQUARE, found=(0,)).assign(time=pd.Timestamp("2011-11-07 05:00"))
    figure = detections_figure(SQUARE, detections, tracks=tracks)
    (trail,) = lines(figure, "earlier positions")
    assert len(points(trail)) == 8
    assert "track 1" in texts(figure)
    assert "track 7" not in texts(figure)


def test_no_probability_or_name_covers_a_centre():
    x, y = SQUARE.pixel_to_lonlat(np.array([6.0, 217.0]), np.array([5.0, 5.0]))
    tracks = pd.DataFrame({"track_id": [1, 2], "time": pd.Timestamp("2011-11-02 09:00")})
    tracks = tracks.assign(lon=x, lat=y, radius_50_km=80.0, radius_95_km=190.0)
    figure = detections_figure(SQUARE, tracks=tracks)
    marks = np.concatenate([points(line) for line in lines(figure, "centre")])
    dots = figure.axes[0].transData.transform(marks)
    labels = boxes(figure, lambda text: text == "0.90" or text.startswith("track"))
    assert len(labels) == 3
    assert sum(box.count_contains(dots) for box in labels) == 0


@pytest.mark.parametrize("draw", ["tiles", "tracks"])
def test_the_truth_is_a_dotted_line_with_a_star_at_the_time_of_the_map(draw):
    tracks = moving(0.1, 0.1)
    truth = tracks.assign(track_id="true", lon=tracks["lon"] + 0.3)
    if draw == "tracks":
        figure, row = track_map(None, SQUARE, tracks, title="", truth=truth), 12
    else:
        detections = table(SQUARE, found=(0,)).assign(time=tracks["time"].iloc[5])
        figure, row = detections_figure(SQUARE, detections, truth=truth), 5
    (star,), (path,) = lines(figure, "true centre"), lines(figure, "true track")
    expected = SQUARE.lonlat_to_pixel(truth["lon"].iloc[row], truth["lat"].iloc[row])
    np.testing.assert_allclose(points(star), [expected])
    assert len(points(path)) == 13
    assert {"true centre", "true track"} <= set(texts(figure))


@pytest.mark.parametrize(
    "grid", [MEDITERRANEAN, BRITAIN, SQUARE], ids=["wide", "britain", "square"]
)
def test_the_scale_bar_is_as_long_as_it_says(grid):
    figure = airmass_map(picture(grid), grid, title="")
    figure.draw_without_rendering()
    (bar,) = figure.axes[0].findobj(AnchoredSizeBar)
    length_km = float(bar.txt_label.get_text().partition(" km")[0])
    middle, half = (grid.height - 1) / 2, bar.size_bar.get_children()[0].get_width() / 2
    ends = (grid.width - 1) / 2 + np.array([-half, half])
    lon, lat = grid.pixel_to_lonlat(ends, np.full(2, middle))
    distance = pyproj.Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2] / 1000
    assert distance == pytest.approx(length_km, rel=0.01)
    assert bar.get_window_extent().width < figure.axes[0].bbox.width / 3


@pytest.mark.parametrize(
    "grid", [MEDITERRANEAN, BRITAIN, SQUARE], ids=["wide", "britain", "square"]
)
def test_title_captions_map_and_legend_share_no_space(grid):
    words = {"title": "name of a scene " * 7, "subtitle": "model " * 40, "caption": "mind " * 60}
    tracks, truth = moving(0.1, 0.1), moving(0.1, 0.2)
    figure = detections_figure(grid, table(grid).assign(missing_frames=1), **words, truth=truth)
    figure = track_map(None, grid, tracks, **words, truth=truth) if grid is SQUARE else figure
    figure.draw_without_rendering()
    parts = [*(text.get_window_extent() for text in figure.texts)]
    parts += [figure.axes[0].get_tightbbox(), figure.legends[0].get_window_extent()]
    assert len(parts) == 5
    assert overlapping_pairs(parts) == 0
    edges = np.array([part.extents for part in parts])
    assert (edges[:, :2] >= 0).all()
    assert (edges[:, 2:] <= figure.bbox.extents[2:]).all()


def test_the_plain_map_shows_no_sea_off_the_earth():
    grid = Grid.full_disk(0).window(0, 0, 400, 400)
    figure = track_map(None, grid, tracks_table([(12.0, 36.0)]).iloc[:0], title="")
    assert (drawn_picture(figure)[:200, :200, 3] == 0).all()


def test_positions_at_the_edge_are_hollow_and_explained():
    tracks = tracks_table([(12.0, 36.0)]).assign(edge=[True] * 2 + [False] * 11)
    figure = track_map(picture(MEDITERRANEAN), MEDITERRANEAN, tracks, title="tracks")
    (mark,) = lines(figure, "may reach beyond the map")
    assert len(points(mark)) == 2
    assert mark.get_markerfacecolor() == "white"


def test_a_map_without_tracks_says_so():
    figure = track_map(None, SQUARE, tracks_table([(12.0, 36.0)]).iloc[:0], title="tracks")
    assert "no track" in texts(figure)


def test_the_plain_map_shows_land_and_sea():
    figure = track_map(None, SQUARE, tracks_table([(14.0, 35.5)]), title="tracks")
    rgb = drawn_picture(figure)[..., :3]
    x, y = np.rint(SQUARE.lonlat_to_pixel([14.5, 16.0], [37.5, 35.0])).astype(int)
    land, sea = rgb[y, x]
    assert land[2] < land[0]
    assert sea[2] > sea[0]


def test_save_writes_a_picture_of_the_figure_size(tmp_path):
    figure = airmass_map(picture(SQUARE), SQUARE, title="air mass")
    save(figure, tmp_path / "maps" / "a.png")
    with Image.open(tmp_path / "maps" / "a.png") as image:
        assert image.size == pytest.approx(figure.get_size_inches() * 150, abs=1)


def test_a_failed_save_keeps_the_former_file(tmp_path):
    path = tmp_path / "map.unknown"
    path.write_text("former")
    with pytest.raises(ValueError, match="unknown"):
        save(airmass_map(picture(SQUARE), SQUARE, title=""), path)
    assert [p.name for p in tmp_path.iterdir()] == ["map.unknown"]
    assert path.read_text() == "former"


def test_no_figure_is_left_with_pyplot():
    detections_figure()
    assert not Gcf.get_all_fig_managers()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"medicane-models\[plots\]"):
        airmass_map(picture(SQUARE), SQUARE, title="")


def test_temperatures_have_the_colours_that_forecasters_know_and_a_bar():
    figure = detections_figure(kelvin=(310.0, 190.0))
    expected = infrared_colours(310 - 0.4 * 120)
    np.testing.assert_allclose(drawn_picture(figure)[5, 5, :3], expected, atol=1e-6)
    (bar,) = [axes for axes in figure.axes if axes.get_label() == "temperatures"]
    assert [label.get_text() for label in bar.get_xticklabels()][:3] == ["30 °C", "0 °C", "-30 °C"]
    assert bar.get_xlim() == pytest.approx((36.85, -83.15))


def test_pictures_without_a_temperature_keep_their_colours():
    figure = detections_figure()
    np.testing.assert_allclose(drawn_picture(figure)[5, 5, :3], 0.4, atol=1e-6)
    assert len(figure.axes) == 1


def test_the_bar_is_as_wide_as_the_map_which_fills_its_frame():
    figure = detections_figure(kelvin=(310.0, 190.0))
    whole, bar = (axes.get_position() for axes in figure.axes)
    assert (bar.x0, bar.x1) == pytest.approx((whole.x0, whole.x1))
    assert whole.width * figure.get_figwidth() == pytest.approx(8.4)


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
