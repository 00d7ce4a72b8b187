import sys

import numpy as np
import pandas as pd
import pytest
from drawn_maps import (
    SQUARE,
    WORLD,
    boxes,
    detections_figure,
    detections_table,
    lines,
    moving,
    picture,
    planes_figure,
    points,
    texts,
    tracks_table,
)
from matplotlib._pylab_helpers import Gcf

from medicane_models.errors import MissingExtraError
from medicane_models.maps.drawing import airmass_map, track_map


def test_filled_frames_are_mentioned():
    detections = detections_table(SQUARE).assign(missing_frames=4)
    assert "up to 4 missing frames filled in" in texts(detections_figure(SQUARE, detections))


def test_missing_frames_of_planes_are_left_empty_and_tiles_that_are_not_drawn_counted():
    centres = [(10.0 * column, 5.0) for column in range(25)]
    figure = planes_figure(WORLD, centres, [0.9, *[0.1] * 24])
    note = "up to 3 missing frames left empty · 24 tiles without a detection are not drawn"
    assert note in texts(figure)
    assert len(lines(figure, "detection, 0.5 or more")) == 1


def test_an_empty_table_still_gives_a_map():
    assert "09:00 UTC" in texts(detections_figure(SQUARE, detections_table(SQUARE).iloc[:0]))


def test_a_detection_map_names_the_tracks_of_its_time_and_draws_them_up_to_then():
    gone = tracks_table([(13.5, 35.0)], hours=3).assign(track_id=7)
    tracks = pd.concat([gone, moving(0.1, 0.1)])
    detections = detections_table(SQUARE, found=(0,)).assign(time=pd.Timestamp("2011-11-07 05:00"))
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
        detections = detections_table(SQUARE, found=(0,)).assign(time=tracks["time"].iloc[5])
        figure, row = detections_figure(SQUARE, detections, truth=truth), 5
    (star,), (path,) = lines(figure, "true centre"), lines(figure, "true track")
    expected = SQUARE.lonlat_to_pixel(truth["lon"].iloc[row], truth["lat"].iloc[row])
    np.testing.assert_allclose(points(star), [expected])
    assert len(points(path)) == 13
    assert {"true centre", "true track"} <= set(texts(figure))


def test_a_map_without_tracks_says_so():
    figure = track_map(None, SQUARE, tracks_table([(12.0, 36.0)]).iloc[:0], title="tracks")
    assert "no track" in texts(figure)


def test_no_figure_is_left_with_pyplot():
    detections_figure()
    assert not Gcf.get_all_fig_managers()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"medicane-models\[plots\]"):
        airmass_map(picture(SQUARE), SQUARE, title="")
