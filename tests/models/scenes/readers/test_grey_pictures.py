"""Folders of grey pictures as scenes; kelvin are held to a straight line."""

import numpy as np
import pytest
import yaml
from picture_files import (
    HEIGHT,
    NAMES,
    TOLD,
    WIDTH,
    first_frame,
    georeferenced,
    greys,
    temperatures,
    write_pictures,
)
from PIL import Image

from medicane_models.errors import ConfigurationError, SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid, scene_sources


def test_an_extent_is_the_outer_edges_of_the_picture(tmp_path):
    scene = open_scene(write_pictures(tmp_path / "p"), extent="10,20,50,50")
    grid = scene_grid(scene)
    np.testing.assert_allclose(grid.pixel_to_lonlat(0, 0), (10.5, 49.5))
    np.testing.assert_allclose(grid.pixel_to_lonlat(39, 29), (49.5, 20.5))
    np.testing.assert_allclose(first_frame(scene), temperatures(greys()), atol=1e-4)
    assert scene.attrs["calibration"] == "grey"
    assert scene.attrs["platform"] == scene.attrs["sensor"] == "unknown"


def test_an_extent_may_cross_the_antimeridian(tmp_path):
    grid = scene_grid(open_scene(write_pictures(tmp_path / "p"), extent="170,-10,-150,20"))
    np.testing.assert_allclose(grid.pixel_to_lonlat([0, 39], 0)[0], (170.5, -150.5))


def test_a_georeference_beside_the_pictures_is_found(tmp_path):
    folder = georeferenced(write_pictures(tmp_path / "p", *NAMES), platform="A", sensor="b")
    scenes = [open_scene(given) for given in (folder, folder / NAMES[0])]
    assert [scene.sizes["time"] for scene in scenes] == [3, 1]
    assert {scene.attrs["platform"] for scene in scenes} == {"A"}
    np.testing.assert_allclose(first_frame(scenes[0]), temperatures(greys()), atol=1e-4)


@pytest.mark.parametrize("pictures", ["../p", "../p/*_0[06]00.png", "{}/p"])
def test_a_georeference_names_pictures_elsewhere(tmp_path, pictures):
    write_pictures(tmp_path / "p", *NAMES[:2])
    (tmp_path / "y").mkdir()
    georeferenced(tmp_path / "y", pictures=pictures.format(tmp_path))
    for given in (tmp_path / "y", tmp_path / "y" / "georeference.yaml"):
        assert open_scene(given).sizes["time"] == 2


def test_pictures_without_a_place_are_told_both_remedies(tmp_path):
    with pytest.raises(ConfigurationError, match=r"georeference\.yaml .* --extent"):
        open_scene(write_pictures(tmp_path / "p"))


def test_an_extent_beside_a_georeference_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="leave out one of the two"):
        open_scene(georeferenced(write_pictures(tmp_path / "p")), extent="10,20,50,50")


def test_an_extent_of_what_says_its_place_is_refused(tmp_path):
    scene = open_scene(write_pictures(tmp_path / "p"), extent="10,20,50,50")
    with pytest.raises(ConfigurationError, match="only grey pictures need it"):
        open_scene(scene, extent="10,20,50,50")


def palette(pixels):
    image = Image.fromarray(pixels)
    return image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=256)


def transparent(pixels):
    return Image.merge("LA", (Image.fromarray(pixels), Image.new("L", (WIDTH, HEIGHT), 255)))


FORMS = {
    "grey.png": Image.fromarray,
    "grey.gif": Image.fromarray,
    "grey.tif": Image.fromarray,
    "grey.bmp": Image.fromarray,
    "palette.png": palette,
    "rgb.png": lambda pixels: Image.fromarray(pixels).convert("RGB"),
    "rgba.png": lambda pixels: Image.fromarray(pixels).convert("RGBA"),
    "alpha.png": transparent,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_grey_picture_gives_its_greys(tmp_path, form):
    FORMS[form](greys()).save(tmp_path / f"20200516_0000_{form}")
    scene = open_scene(tmp_path, extent="10,20,50,50")
    np.testing.assert_allclose(first_frame(scene), temperatures(greys()), atol=1e-4)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path, suffix):
    stored = (greys().astype(np.uint16) * 100) + 2345
    told = {"extent": "10,20,50,50", "kelvin": {0: 100, 30000: 400}, "calibration": "kelvin"}
    scene = open_scene(
        georeferenced(write_pictures(tmp_path / "p", f"2020136T0000.{suffix}", pixels=stored), told)
    )
    np.testing.assert_allclose(first_frame(scene), 100 + stored / 100, atol=1e-3)
    assert scene.attrs["calibration"] == "kelvin"


def test_sixteen_bits_are_not_guessed(tmp_path):
    write_pictures(tmp_path / "p", pixels=greys().astype(np.uint16) * 100)
    with pytest.raises(SceneError, match="more than 8 bits"):
        open_scene(tmp_path / "p", extent="10,20,50,50").load()


def test_transparent_pixels_and_told_greys_are_missing(tmp_path):
    pixels = greys()
    pixels[3, 4], pixels[5, 6] = 7, 255
    alpha = np.full_like(pixels, 255)
    alpha[8, 9] = 0
    image = Image.merge("LA", [Image.fromarray(band) for band in (pixels, alpha)])
    image.save(tmp_path / NAMES[0])
    missing = np.isnan(first_frame(open_scene(georeferenced(tmp_path, missing=[7, 255]))))
    assert {tuple(place) for place in np.argwhere(missing).tolist()} == {(3, 4), (5, 6), (8, 9)}


def test_greys_outside_the_two_points_go_on_along_the_line(tmp_path):
    pixels = greys()
    pixels[0, 0] = 5
    assert (
        first_frame(open_scene(georeferenced(write_pictures(tmp_path, pixels=pixels))))[0, 0] == 315
    )


def test_impossible_temperatures_are_counted_as_everywhere(tmp_path):
    pixels = greys()
    pixels[0, :5] = 255
    georeferenced(write_pictures(tmp_path, pixels=pixels), kelvin={0: 330, 200: 180})
    with pytest.warns(SceneWarning, match=r"5 pixels outside 150 … 340 K are doubtful"):
        open_scene(tmp_path).load()


def test_saturated_greys_are_no_missing_frame(tmp_path):
    scene = open_scene(
        write_pictures(tmp_path, pixels=np.full((HEIGHT, WIDTH), 255, np.uint8)),
        extent="10,20,50,50",
    )
    assert (first_frame(scene) == 190).all()


def test_colour_pictures_are_refused_by_name(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(SceneError, match=r"20200516_0000\.png is in colours"):
        open_scene(write_pictures(tmp_path, pixels=rgb), extent="10,20,50,50").load()


def test_pictures_of_the_same_time_are_said(tmp_path):
    write_pictures(tmp_path, "a20200516_0000.png", "b20200516_0000.png")
    with pytest.warns(SceneWarning, match="the same time twice"):
        assert open_scene(tmp_path, extent="10,20,50,50").sizes["time"] == 1


def test_pictures_of_different_sizes_are_refused_by_name(tmp_path):
    write_pictures(tmp_path, NAMES[0])
    write_pictures(tmp_path, NAMES[1], pixels=greys(0, 20, 30))
    with pytest.raises(SceneError, match=rf"{NAMES[0]} has 40 × 30 and {NAMES[1]} 20 × 30"):
        open_scene(tmp_path, extent="10,20,50,50")


def test_broken_pictures_are_missing_with_a_warning(tmp_path):
    write_pictures(tmp_path, *NAMES)
    (tmp_path / NAMES[0]).write_bytes(b"no picture")
    half = (tmp_path / NAMES[1]).read_bytes()
    (tmp_path / NAMES[1]).write_bytes(half[: len(half) // 2])
    with pytest.warns(SceneWarning, match=f"{NAMES[0]} .*cannot be read"):
        scene = open_scene(tmp_path, extent="10,20,50,50")
    with pytest.warns(SceneWarning, match=f"{NAMES[1]} .*cannot be read"):
        missing = np.isnan(scene["IR_108"].to_numpy()).all((1, 2))
    assert missing.tolist() == [True, False]


def test_animations_are_refused(tmp_path):
    frames = [Image.fromarray(greys(seed)) for seed in range(2)]
    frames[0].save(tmp_path / "20200516_0000.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(SceneError, match="is an animation"):
        open_scene(tmp_path, extent="10,20,50,50")


def test_other_channels_are_refused(tmp_path):
    with pytest.raises(SceneError, match="has no WV_062; a grey picture holds only IR_108"):
        open_scene(write_pictures(tmp_path), extent="10,20,50,50", channels="WV_062")


def test_any_imagers_name_of_the_window_is_understood(tmp_path):
    assert "IR_108" in open_scene(write_pictures(tmp_path), extent="10,20,50,50", channels=["B13"])


def test_quick_looks_beside_data_are_passed_over(tmp_path):
    scene = open_scene(write_pictures(tmp_path / "p"), extent="10,20,50,50")
    write_pictures(tmp_path / "data")
    scene.to_netcdf(tmp_path / "data" / "scene.nc")
    (tmp_path / "data" / "notes.yaml").write_text("a: b")
    assert open_scene(tmp_path / "data", channels="IR_108").sizes == scene.sizes


def test_a_grey_scene_stays_grey_in_a_file(tmp_path):
    open_scene(write_pictures(tmp_path / "p"), extent="10,20,50,50").to_netcdf(
        tmp_path / "scene.nc"
    )
    scene = open_scene(tmp_path / "scene.nc", channels="IR_108")
    assert scene.attrs["calibration"] == "grey"


def test_folders_and_georeferences_are_a_scene_each(tmp_path):
    one, two = (georeferenced(write_pictures(tmp_path / name, *NAMES[:2])) for name in "ab")
    three, four = tmp_path / "c.yaml", tmp_path / "d.yaml"
    for path in (three, four):
        path.write_text(yaml.safe_dump({**TOLD, "pictures": "a"}))
    scenes = scene_sources([one, two, three, four])
    assert [open_scene(scene).sizes["time"] for scene in scenes] == [2, 2, 2, 2]
