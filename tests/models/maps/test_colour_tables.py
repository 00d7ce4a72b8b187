import numpy as np
import pytest

from medicane_models.maps.colour_tables import COLOUR_TABLES, infrared_colours

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lightness(rgb: np.ndarray, vision: np.ndarray) -> np.ndarray:
    """L* of CIE 1976, as an eye of that kind sees a colour of sRGB."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = (linear @ vision.T).clip(0, 1) @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("vision", VISION)
def test_neighbours_of_the_enhanced_table_differ_in_lightness_in_all_kinds_of_vision(vision):
    celsius = np.array([-29, -31, -40, -51, -53, -60, -66, -72, -78, -83, -86])
    seen = lightness(infrared_colours(celsius + 273.15), VISION[vision])
    steps = abs(np.diff(seen))
    assert (steps[1:] > 6).all()


@pytest.mark.parametrize(
    ("celsius", "grey"),
    [
        (8.9, 109),
        (-29.9, 202),
        (-35, 60),
        (-47, 110),
        (-58, 160),
        (-66, 0),
        (-72, 255),
        (-78, 135),
        (-90, 85),
    ],
)
def test_the_bd_curve_has_the_greys_of_dvorak(celsius, grey):
    np.testing.assert_allclose(infrared_colours(celsius + 273.15, "dvorak") * 255, grey, atol=1)


@pytest.mark.parametrize("table", COLOUR_TABLES)
def test_every_temperature_has_a_colour_and_what_is_missing_has_none(table):
    colours = infrared_colours(np.array([150.0, 250.0, 340.0, np.nan]), table)
    assert ((colours[:3] >= 0) & (colours[:3] <= 1)).all()
    assert np.isnan(colours[3]).all()


@pytest.mark.parametrize("table", COLOUR_TABLES)
def test_knots_run_from_warm_to_cold(table):
    celsius = [knot for knot, _ in COLOUR_TABLES[table]]
    assert celsius == sorted(celsius, reverse=True)
