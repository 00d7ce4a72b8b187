import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from medicane_models.maps.annotations import SIDES, Labels, places_around


@pytest.fixture
def axes():
    figure = Figure(figsize=(6, 6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 100), ylim=(100, 0))
    return axes


def corners(axes):
    """Of each label, in pixels from the middle of the map: left, bottom, right, top."""
    axes.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(note).extents for note in axes.texts if note.get_text()]
    return np.array(boxes) - 300


def leaders(axes):
    return [note for note in axes.texts if not note.get_text()]


def block(labels, axes, sides):
    """Put marks where a label on these sides of the middle would stand."""
    for right, up in sides:
        labels.keep_off(50 + 4 * right, 50 - 4 * up, 4)


def test_the_first_place_is_above_on_the_right(axes):
    Labels(axes).write("name", places_around(50, 50))
    left, bottom, *_ = corners(axes)[0]
    assert (left, bottom) == pytest.approx((12.5, 12.5), abs=2)


@pytest.mark.parametrize("number", range(8))
def test_each_side_is_tried_in_turn(axes, number):
    labels = Labels(axes)
    block(labels, axes, SIDES[:number])
    labels.write("8", places_around(50, 50))
    left, bottom, right, top = corners(axes)[0]
    assert (np.sign(left + right) * (abs(left + right) > 4)) == SIDES[number][0]
    assert (np.sign(bottom + top) * (abs(bottom + top) > 8)) == SIDES[number][1]


def test_a_label_off_its_mark_has_a_line_to_it(axes):
    labels = Labels(axes)
    labels.write("near", places_around(20, 20))
    assert not leaders(axes)
    block(labels, axes, SIDES)
    labels.write("far", places_around(50, 50))
    assert len(leaders(axes)) == 1


def test_where_all_is_taken_only_what_is_needed_is_written(axes):
    labels = Labels(axes)
    labels.keep_off(50, 50, 500)
    labels.write("needed", places_around(50, 50))
    labels.write("left out", places_around(50, 50), needed=False)
    assert [note.get_text() for note in axes.texts] == ["needed"]


def test_labels_stay_on_the_map(axes):
    labels = Labels(axes)
    for x, y in ((0, 0), (100, 0), (0, 100), (100, 100)):
        labels.write("corner", places_around(x, y))
    assert abs(corners(axes)).max() <= 300


def test_no_label_covers_a_mark_an_arrow_or_another_label(axes):
    labels, random = Labels(axes), np.random.default_rng(0)
    x, y = random.uniform(10, 90, (2, 25))
    labels.keep_off(x, y, 4)
    labels.keep_off_arrow(50, 50, 30, 30)
    for place in zip(x, y, strict=True):
        labels.write("06:00", places_around(*place))
    boxes = np.array(labels.taken)
    covered = (boxes[:, None, :2] < boxes[None, :, 2:]).all(axis=-1)
    covered &= (boxes[:, None, 2:] > boxes[None, :, :2]).all(axis=-1)
    assert not np.triu(covered, 1)[:, -25:].any()
