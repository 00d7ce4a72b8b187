import numpy as np
import pytest
from drawn_maps import (
    BRITAIN,
    WORLD,
    boxes,
    detections_figure,
    detections_table,
    lines,
    overlapping_pairs,
    planes_figure,
    points,
    texts,
)

from medicane_models.domain import MEDITERRANEAN, Grid


def test_each_tile_is_framed_and_detections_stand_out():
    figure = detections_figure(MEDITERRANEAN, detections_table(MEDITERRANEAN, found=(2, 9)))
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
    detections = detections_table(MEDITERRANEAN, found=(0,))
    detections.loc[1, "probability"] = np.nan
    written = texts(detections_figure(MEDITERRANEAN, detections))
    assert {"0.90", "–", "0.02", "0.11"} <= set(written)


@pytest.mark.parametrize("grid", [MEDITERRANEAN, BRITAIN], ids=["mediterranean", "britain"])
def test_probabilities_of_overlapping_tiles_do_not_collide(grid):
    detections = detections_table(grid, found=range(len(grid.tiles(224))))
    labels = boxes(detections_figure(grid, detections), lambda text: text == "0.90")
    assert len(labels) == len(detections)
    assert overlapping_pairs(labels) == 0


def test_a_plane_across_the_border_of_a_world_map_is_drawn_on_both_sides():
    (outline,) = lines(planes_figure(WORLD, [(180.0, 10.0)], [0.9]), "detection, 0.5 or more")
    x = points(outline)[:, 0]
    assert np.nanmin(x) < 15
    assert np.nanmax(x) > WORLD.width - 15
    assert np.nanmax(abs(np.diff(x))) < 5


def test_each_of_crowded_planes_has_a_place_for_its_probability():
    grid = Grid.lonlat(west=0, south=0, east=15, north=15, step_degrees=0.05)
    crowded = [(7.5, 7.5)] * 5
    figure = planes_figure(grid, crowded, [0.9] * len(crowded))
    labels = boxes(figure, lambda text: text == "0.90")
    assert len(labels) == len(crowded)
    assert overlapping_pairs(labels) == 0
