import numpy as np
import pytest
from drawn_maps import detections_figure, drawn_picture

from medicane_models.maps.colour_tables import infrared_colours


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
