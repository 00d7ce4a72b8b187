import numpy as np
import pytest
from picture_files import (
    HEIGHT,
    NAMES,
    WIDTH,
    first_frame,
    georeferenced,
    temperatures,
    write_pictures,
)
from PIL import Image

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.opening import open_scene, scene_grid


def smooth():
    return np.tile(np.arange(60, 60 + WIDTH, dtype=np.uint8), (HEIGHT, 1))


def drawn_over(*, wide=False):
    """A slope of greys with a red graticule, and perhaps a red label of 10 × 12 pixels."""
    rgb = np.stack([smooth()] * 3, axis=-1)
    rgb[14:16] = rgb[:, 20:22] = (255, 40, 40)
    if wide:
        rgb[2:12, 3:15] = (255, 40, 40)
    return rgb


def test_coloured_lines_are_filled_from_their_neighbours(tmp_path):
    folder = georeferenced(write_pictures(tmp_path, pixels=drawn_over()), mask={"coloured": 20})
    np.testing.assert_allclose(first_frame(open_scene(folder)), temperatures(smooth()), atol=1.01)


def test_broad_drawn_areas_are_missing(tmp_path):
    folder = georeferenced(
        write_pictures(tmp_path, pixels=drawn_over(wide=True)), mask={"coloured": 20}
    )
    missing = np.isnan(first_frame(open_scene(folder)))
    assert missing[2:12, 3:15].all()
    assert missing.sum() == 120


def test_the_window_of_a_domain_has_the_pixels_of_the_whole(tmp_path):
    folder = georeferenced(write_pictures(tmp_path, pixels=drawn_over()), mask={"coloured": 20})
    whole = open_scene(folder)
    part = open_scene(folder, domain=scene_grid(whole).window(18, 10, 9, 8))
    np.testing.assert_allclose(first_frame(part), first_frame(whole)[10:18, 18:27], atol=1e-3)


def test_dark_lines_are_filled(tmp_path):
    pixels = smooth()
    pixels[7] = 3
    folder = georeferenced(write_pictures(tmp_path, pixels=pixels), mask={"darker": 12})
    np.testing.assert_allclose(first_frame(open_scene(folder)), temperatures(smooth()), atol=1.01)


def test_a_mask_picture_says_what_is_drawn(tmp_path):
    pixels, overlay = smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[9:11], overlay[9:11] = 130, 1
    Image.fromarray(overlay).save(tmp_path / "overlay.png")
    write_pictures(tmp_path, pixels=pixels)
    scene = open_scene(georeferenced(tmp_path, mask={"picture": "overlay.png"}))
    assert scene.sizes["time"] == 1
    np.testing.assert_allclose(first_frame(scene), temperatures(smooth()), atol=1.01)


def test_what_is_bright_in_all_pictures_is_drawn_and_clouds_are_not(tmp_path):
    for number, name in enumerate(NAMES):
        pixels = smooth()
        pixels[20:24, 8 * number : 8 * number + 6] = 240
        pixels[9:11] = 255
        write_pictures(tmp_path, name, pixels=pixels)
    scene = open_scene(georeferenced(tmp_path, mask={"bright_in_all": 200}))
    clear = first_frame(scene)[:18]
    np.testing.assert_allclose(clear, temperatures(smooth())[:18], atol=1.01)
    assert (first_frame(scene)[20:24, :6] == temperatures(np.array(240))).all()


def test_two_pictures_do_not_tell_lines_from_clouds(tmp_path):
    georeferenced(write_pictures(tmp_path, *NAMES[:2]), mask={"bright_in_all": 200})
    with pytest.raises(ConfigurationError, match="bright_in_all for 2 pictures"):
        open_scene(tmp_path)
