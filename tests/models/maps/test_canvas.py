from dataclasses import replace

import numpy as np
import pyproj
import pytest
from drawn_maps import (
    BRITAIN,
    SQUARE,
    detections_figure,
    detections_table,
    drawn_picture,
    moving,
    overlapping_pairs,
    picture,
    texts,
    tracks_table,
)
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import SceneError
from medicane_models.maps.canvas import add_legend
from medicane_models.maps.drawing import airmass_map, save, track_map


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
    figure = detections_figure(
        grid, detections_table(grid).assign(missing_frames=1), **words, truth=truth
    )
    figure = track_map(None, grid, tracks, **words, truth=truth) if grid is SQUARE else figure
    figure.draw_without_rendering()
    parts = [*(text.get_window_extent() for text in figure.texts)]
    parts += [figure.axes[0].get_tightbbox(), figure.legends[0].get_window_extent()]
    assert len(parts) == 5
    assert overlapping_pairs(parts) == 0
    edges = np.array([part.extents for part in parts])
    assert (edges[:, :2] >= 0).all()
    assert (edges[:, 2:] <= figure.bbox.extents[2:]).all()


@pytest.mark.parametrize("words", [2, 6, 12])
def test_a_legend_is_no_wider_than_its_page_and_no_higher_than_it_need_be(words):
    figure = Figure(figsize=(7.5, 4))
    axes = figure.add_subplot()
    for number in range(7):
        axes.plot([0, 1], label=f"{number} {'mark ' * words}".strip())
    add_legend(axes, "a note")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 7
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.height < (3 if words == 2 else 8) * 0.3 * figure.dpi


def disk(longitude: float, pixels: int) -> Grid:
    """The full disk of SEVIRI from another place and with fewer pixels."""
    whole = Grid.full_disk(longitude)
    times = whole.width / pixels
    return replace(
        whole, width=pixels, height=pixels, x_step=whole.x_step * times, y_step=whole.y_step * times
    )


@pytest.mark.parametrize("longitude", [-75, 0, 82])
def test_names_of_meridians_that_meet_at_the_limb_do_not_touch(longitude):
    grid = disk(longitude, pixels=464)
    figure = track_map(None, grid, tracks_table([(longitude, 30.0)]).iloc[:0], title="")
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if text.get_text().endswith(("°E", "°W"))]
    assert len(names) > 4
    assert overlapping_pairs([name.get_window_extent() for name in names]) == 0


def test_the_plain_map_shows_no_sea_off_the_earth():
    grid = Grid.full_disk(0).window(0, 0, 400, 400)
    figure = track_map(None, grid, tracks_table([(12.0, 36.0)]).iloc[:0], title="")
    assert (drawn_picture(figure)[:200, :200, 3] == 0).all()


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
