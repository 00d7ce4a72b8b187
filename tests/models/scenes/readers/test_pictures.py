"""Grey pictures as scenes; places are held to pyproj, kelvin to a straight line."""

import warnings
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import yaml
from mutations import REMOVED, changed
from PIL import Image

from medicane_models.errors import (
    ConfigurationError,
    MedicaneError,
    SceneError,
    SceneWarning,
)
from medicane_models.scenes.opening import open_scene, scene_grid, scene_sources
from medicane_models.scenes.readers.georeference import Georeference, Overlay, read_georeference

EXAMPLES = Path(__file__).parents[4] / "benchmarks" / "georeferences"
WIDTH, HEIGHT = 40, 30
NAMES = ["20200516_0000.png", "20200516_0600.png", "20200516_1200.png"]
TOLD = {"extent": "10,20,50,50", "kelvin": {45: 295, 255: 190}}
GEOSTATIONARY = "+proj=geos +lon_0=82 +h=35785863 +a=6378137 +b=6356752.3142 +sweep=y"
DISK = {
    "projection": GEOSTATIONARY,
    "pixel": [19.5, 14.5],
    "place": [0, 0],
    "pixels_per_radian": 90,
}


def greys(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (height, width), np.uint8)


def write(folder, *names, pixels=None):
    folder.mkdir(exist_ok=True)
    for name in names or NAMES[:1]:
        Image.fromarray(greys() if pixels is None else pixels).save(folder / name)
    return folder


def georeferenced(folder, told=TOLD, **more):
    path = folder / "georeference.yaml"
    path.write_text(yaml.safe_dump({**told, **more}))
    return folder


def kelvin(pixels):
    return 295 - (pixels.astype(np.float64) - 45) / 2


def first(scene):
    return scene["IR_108"].to_numpy()[0]


def test_an_extent_is_the_outer_edges_of_the_picture(tmp_path):
    scene = open_scene(write(tmp_path / "p"), extent="10,20,50,50")
    grid = scene_grid(scene)
    np.testing.assert_allclose(grid.pixel_to_lonlat(0, 0), (10.5, 49.5))
    np.testing.assert_allclose(grid.pixel_to_lonlat(39, 29), (49.5, 20.5))
    np.testing.assert_allclose(first(scene), kelvin(greys()), atol=1e-4)
    assert scene.attrs["calibration"] == "grey"
    assert scene.attrs["platform"] == scene.attrs["sensor"] == "unknown"


def test_an_extent_may_cross_the_antimeridian(tmp_path):
    grid = scene_grid(open_scene(write(tmp_path / "p"), extent="170,-10,-150,20"))
    np.testing.assert_allclose(grid.pixel_to_lonlat([0, 39], 0)[0], (170.5, -150.5))


def test_a_georeference_beside_the_pictures_is_found(tmp_path):
    folder = georeferenced(write(tmp_path / "p", *NAMES), platform="A", sensor="b")
    scenes = [open_scene(given) for given in (folder, folder / NAMES[0])]
    assert [scene.sizes["time"] for scene in scenes] == [3, 1]
    assert {scene.attrs["platform"] for scene in scenes} == {"A"}
    np.testing.assert_allclose(first(scenes[0]), kelvin(greys()), atol=1e-4)


@pytest.mark.parametrize("pictures", ["../p", "../p/*_0[06]00.png", "{}/p"])
def test_a_georeference_names_pictures_elsewhere(tmp_path, pictures):
    write(tmp_path / "p", *NAMES[:2])
    (tmp_path / "y").mkdir()
    georeferenced(tmp_path / "y", pictures=pictures.format(tmp_path))
    for given in (tmp_path / "y", tmp_path / "y" / "georeference.yaml"):
        assert open_scene(given).sizes["time"] == 2


def test_pictures_without_a_place_are_told_both_remedies(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--extent .* georeference\.yaml"):
        open_scene(write(tmp_path / "p"))


def test_an_extent_beside_a_georeference_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="leave out one of the two"):
        open_scene(georeferenced(write(tmp_path / "p")), extent="10,20,50,50")


def test_an_extent_of_what_says_its_place_is_refused(tmp_path):
    scene = open_scene(write(tmp_path / "p"), extent="10,20,50,50")
    with pytest.raises(ConfigurationError, match="only grey pictures need it"):
        open_scene(scene, extent="10,20,50,50")


def test_a_geostationary_picture_lies_where_pyproj_says(tmp_path):
    folder = georeferenced(write(tmp_path / "p"), {"raster": DISK, "kelvin": TOLD["kelvin"]})
    grid = scene_grid(open_scene(folder))
    x, y = np.meshgrid(np.arange(15, 25), np.arange(10, 20))
    step = 35785863 / 90
    expected = pyproj.Proj(GEOSTATIONARY)((x - 19.5) * step, (14.5 - y) * step, inverse=True)
    np.testing.assert_allclose(grid.pixel_to_lonlat(x, y), expected, atol=1e-6)
    assert grid.sub_satellite_longitude == 82


def test_what_is_beside_the_earth_is_missing(tmp_path):
    folder = georeferenced(write(tmp_path / "p"), {"raster": DISK, "kelvin": TOLD["kelvin"]})
    seen = np.isfinite(first(open_scene(folder)))
    assert not seen[0, 0]
    assert seen[14, 20]
    assert 0.3 < seen.mean() < 0.7


@pytest.mark.parametrize(
    "projection",
    [
        "+proj=lcc +lat_0=30 +lon_0=120 +lat_1=20 +lat_2=40 +datum=WGS84",
        pyproj.CRS("+proj=lcc +lat_0=30 +lon_0=120 +lat_1=20 +lat_2=40 +datum=WGS84").to_cf(),
    ],
    ids=["PROJ", "CF"],
)
def test_pixel_and_place_lay_any_projection(tmp_path, projection):
    if isinstance(projection, dict):
        kept = ("grid_mapping_name", "standard_parallel", "longitude_of_central_meridian",
                "latitude_of_projection_origin", "false_easting", "false_northing")  # fmt: skip
        told = {key: projection[key] for key in kept}
        projection = told | {"standard_parallel": list(told["standard_parallel"])}
        projection |= {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}
    raster = {"projection": projection, "pixel": [5, 6], "place": [1000, -2000], "size": [8e3, 9e3]}
    folder = georeferenced(write(tmp_path / "p"), {"raster": raster, "kelvin": TOLD["kelvin"]})
    lon, lat = scene_grid(open_scene(folder)).pixel_to_lonlat(8, 4)
    proj = pyproj.Proj("+proj=lcc +lat_0=30 +lon_0=120 +lat_1=20 +lat_2=40 +ellps=WGS84")
    np.testing.assert_allclose(proj(lon, lat), (1000 + 3 * 8e3, -2000 + 2 * 9e3), atol=0.1)


def test_a_crop_moves_no_pixel(tmp_path):
    raster = {"projection": "+proj=longlat +datum=WGS84", "pixel": [-0.5, -0.5], "place": [90, 35]}
    told = {"raster": raster | {"size": 0.5}, "kelvin": TOLD["kelvin"]}
    folder = georeferenced(write(tmp_path / "p"), told)
    whole = open_scene(folder).load()
    cut = open_scene(georeferenced(folder, told, crop={"left": 3, "top": 4, "bottom": 5}))
    assert scene_grid(cut).offset_in(scene_grid(whole)) == (3, 4)
    np.testing.assert_array_equal(first(cut), first(whole)[4:-5, 3:])


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
    np.testing.assert_allclose(first(scene), kelvin(greys()), atol=1e-4)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path, suffix):
    stored = (greys().astype(np.uint16) * 100) + 2345
    told = {"extent": "10,20,50,50", "kelvin": {0: 100, 30000: 400}, "calibration": "kelvin"}
    scene = open_scene(
        georeferenced(write(tmp_path / "p", f"2020136T0000.{suffix}", pixels=stored), told)
    )
    np.testing.assert_allclose(first(scene), 100 + stored / 100, atol=1e-3)
    assert scene.attrs["calibration"] == "kelvin"


def test_sixteen_bits_are_not_guessed(tmp_path):
    write(tmp_path / "p", pixels=greys().astype(np.uint16) * 100)
    with pytest.raises(SceneError, match="more than 8 bits"):
        open_scene(tmp_path / "p", extent="10,20,50,50").load()


def test_transparent_pixels_and_told_greys_are_missing(tmp_path):
    pixels = greys()
    pixels[3, 4], pixels[5, 6] = 7, 255
    alpha = np.full_like(pixels, 255)
    alpha[8, 9] = 0
    image = Image.merge("LA", [Image.fromarray(band) for band in (pixels, alpha)])
    image.save(tmp_path / NAMES[0])
    missing = np.isnan(first(open_scene(georeferenced(tmp_path, missing=[7, 255]))))
    assert {tuple(place) for place in np.argwhere(missing).tolist()} == {(3, 4), (5, 6), (8, 9)}


def test_greys_outside_the_two_points_go_on_along_the_line(tmp_path):
    pixels = greys()
    pixels[0, 0] = 5
    assert first(open_scene(georeferenced(write(tmp_path, pixels=pixels))))[0, 0] == 315


def test_impossible_temperatures_are_counted_as_everywhere(tmp_path):
    pixels = greys()
    pixels[0, :5] = 255
    georeferenced(write(tmp_path, pixels=pixels), kelvin={0: 330, 200: 180})
    with pytest.warns(SceneWarning, match=r"5 pixels outside 150 … 340 K are doubtful"):
        open_scene(tmp_path).load()


def test_saturated_greys_are_no_missing_frame(tmp_path):
    scene = open_scene(
        write(tmp_path, pixels=np.full((HEIGHT, WIDTH), 255, np.uint8)), extent="10,20,50,50"
    )
    assert (first(scene) == 190).all()


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
    folder = georeferenced(write(tmp_path, pixels=drawn_over()), mask={"coloured": 20})
    np.testing.assert_allclose(first(open_scene(folder)), kelvin(smooth()), atol=1.01)


def test_broad_drawn_areas_are_missing(tmp_path):
    folder = georeferenced(write(tmp_path, pixels=drawn_over(wide=True)), mask={"coloured": 20})
    missing = np.isnan(first(open_scene(folder)))
    assert missing[2:12, 3:15].all()
    assert missing.sum() == 120


def test_the_window_of_a_domain_has_the_pixels_of_the_whole(tmp_path):
    folder = georeferenced(write(tmp_path, pixels=drawn_over()), mask={"coloured": 20})
    whole = open_scene(folder)
    part = open_scene(folder, domain=scene_grid(whole).window(18, 10, 9, 8))
    np.testing.assert_allclose(first(part), first(whole)[10:18, 18:27], atol=1e-3)


def test_dark_lines_are_filled(tmp_path):
    pixels = smooth()
    pixels[7] = 3
    folder = georeferenced(write(tmp_path, pixels=pixels), mask={"darker": 12})
    np.testing.assert_allclose(first(open_scene(folder)), kelvin(smooth()), atol=1.01)


def test_a_mask_picture_says_what_is_drawn(tmp_path):
    pixels, overlay = smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[9:11], overlay[9:11] = 130, 1
    Image.fromarray(overlay).save(tmp_path / "overlay.png")
    write(tmp_path, pixels=pixels)
    scene = open_scene(georeferenced(tmp_path, mask={"picture": "overlay.png"}))
    assert scene.sizes["time"] == 1
    np.testing.assert_allclose(first(scene), kelvin(smooth()), atol=1.01)


def test_what_is_bright_in_all_pictures_is_drawn_and_clouds_are_not(tmp_path):
    for number, name in enumerate(NAMES):
        pixels = smooth()
        pixels[20:24, 8 * number : 8 * number + 6] = 240
        pixels[9:11] = 255
        write(tmp_path, name, pixels=pixels)
    scene = open_scene(georeferenced(tmp_path, mask={"bright_in_all": 200}))
    clear = first(scene)[:18]
    np.testing.assert_allclose(clear, kelvin(smooth())[:18], atol=1.01)
    assert (first(scene)[20:24, :6] == kelvin(np.array(240))).all()


def test_two_pictures_do_not_tell_lines_from_clouds(tmp_path):
    georeferenced(write(tmp_path, *NAMES[:2]), mask={"bright_in_all": 200})
    with pytest.raises(ConfigurationError, match="bright_in_all for 2 pictures"):
        open_scene(tmp_path)


def test_colour_pictures_are_refused_by_name(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(SceneError, match=r"20200516_0000\.png is in colours"):
        open_scene(write(tmp_path, pixels=rgb), extent="10,20,50,50").load()


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("20200516_0600_insat3d_tir1_amphan", "2020-05-16 06:00"),
        ("3DIMG_09OCT2018_1430_L1B_STD_IR1", "2018-10-09 14:30"),
        ("2016160N.HAIMA.2016.10.18.1800.HIMARAWI-8-9", "2016-10-18 18:00"),
        ("ir_2020-05-16T06:30:15", "2020-05-16 06:30:15"),
        ("goes_20200516063015", "2020-05-16 06:30:15"),
        ("gridsat.2020.05.16.06.30", None),
        ("GOES2020137_0630", "2020-05-16 06:30"),
        ("storm_01", None),
    ],
)
def test_usual_times_in_names(tmp_path, name, time):
    write(tmp_path, f"{name}.png")
    if time is None:
        with pytest.raises(ConfigurationError, match=f"{name}.png does not tell its time"):
            open_scene(tmp_path, extent="10,20,50,50")
    else:
        found = open_scene(tmp_path, extent="10,20,50,50")["time"].to_numpy()
        assert found == np.datetime64(pd.Timestamp(time))


def test_a_pattern_of_times_goes_before_the_usual_ones(tmp_path):
    write(tmp_path, "20200101_0000_valid-16.05.20+06Z.png")
    scene = open_scene(georeferenced(tmp_path, time="valid-%d.%m.%y+%HZ"))
    assert scene["time"].to_numpy() == np.datetime64("2020-05-16T06:00")


def test_a_wrong_name_is_corrected_by_the_table_of_times(tmp_path):
    write(tmp_path, *NAMES)
    scene = open_scene(georeferenced(tmp_path, times={NAMES[0]: "2019-05-01T01:00"}))
    assert scene["time"].to_numpy()[0] == np.datetime64("2019-05-01T01:00")
    assert scene.sizes["time"] == 3


def test_pictures_of_the_same_time_are_said(tmp_path):
    write(tmp_path, "a20200516_0000.png", "b20200516_0000.png")
    with pytest.warns(SceneWarning, match="the same time twice"):
        assert open_scene(tmp_path, extent="10,20,50,50").sizes["time"] == 1


def test_pictures_of_different_sizes_are_refused_by_name(tmp_path):
    write(tmp_path, NAMES[0])
    write(tmp_path, NAMES[1], pixels=greys(0, 20, 30))
    with pytest.raises(SceneError, match=rf"{NAMES[0]} has 40 × 30 and {NAMES[1]} 20 × 30"):
        open_scene(tmp_path, extent="10,20,50,50")


def test_broken_pictures_are_missing_with_a_warning(tmp_path):
    write(tmp_path, *NAMES)
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
        open_scene(write(tmp_path), extent="10,20,50,50", channels="WV_062")


def test_any_imagers_name_of_the_window_is_understood(tmp_path):
    assert "IR_108" in open_scene(write(tmp_path), extent="10,20,50,50", channels=["B13"])


def test_quick_looks_beside_data_are_passed_over(tmp_path):
    scene = open_scene(write(tmp_path / "p"), extent="10,20,50,50")
    write(tmp_path / "data")
    scene.to_netcdf(tmp_path / "data" / "scene.nc")
    (tmp_path / "data" / "notes.yaml").write_text("a: b")
    assert open_scene(tmp_path / "data", channels="IR_108").sizes == scene.sizes


def test_a_grey_scene_stays_grey_in_a_file(tmp_path):
    open_scene(write(tmp_path / "p"), extent="10,20,50,50").to_netcdf(tmp_path / "scene.nc")
    scene = open_scene(tmp_path / "scene.nc", channels="IR_108")
    assert scene.attrs["calibration"] == "grey"


def test_folders_and_georeferences_are_a_scene_each(tmp_path):
    one, two = (georeferenced(write(tmp_path / name, *NAMES[:2])) for name in "ab")
    three, four = tmp_path / "c.yaml", tmp_path / "d.yaml"
    for path in (three, four):
        path.write_text(yaml.safe_dump({**TOLD, "pictures": "a"}))
    scenes = scene_sources([one, two, three, four])
    assert [open_scene(scene).sizes["time"] for scene in scenes] == [2, 2, 2, 2]


WRONG = {
    "kelvin: {45: 295}": "two greys",
    "kelvin: {45: 295, 255: 295}": "two greys",
    "kelvin: {45: 22, 255: -83}": "kelvin is",
    "kelvin: cold is bright": "give a mapping",
    "size: 3": "unknown setting size",
    "raster: {projection: +proj=longlat, pixel: [0, 0], place: [0, 0], size: 1}": "both are there",
    "extent: null": "neither is there",
    "extent: 1,2,3": "extent '1,2,3'",
    "extent: 50,20,10,15": "south below",
    "crop: {left: 39}": "crop leaves 1 × 30",
    "crop: {side: 3}": "unknown setting side",
    "crop: 7": "crop: ",
    "mask: {coloured: red}": "coloured is 'red'",
    "mask: {picture: absent.png}": "absent.png cannot be read",
    "missing: 0": "give a list",
    "time: '%H'": "strptime pattern",
    "time: '%Q'": "strptime pattern",
    "time: '%'": "strptime pattern",
    "times: {20200516_0000.png: noon}": "'noon' is no time",
    "times: {other.png: 2020-01-01T00:00}": "other.png, which is none",
    "pictures: nowhere": "no picture is at",
    "pictures: '**x'": "picture",
    "calibration: guessed": "grey",
    "time_convention: middle": "start_of_scan",
}
OF_RASTER = {
    "projection: +proj=nothing": "no projection that PROJ knows",
    "projection: +proj=longlat +a=3396190 +b=3376200": "semi_major_axis",
    "projection: +proj=utm +zone=33 +units=us-ft": "in metres or degrees",
    "projection: {grid_mapping_name: geostationary}": "sweep_angle_axis",
    "place: [400, 0]": "longitude and latitude",
    "place: [0, 4000]": "no pixel lies on Earth",
    "place: 7": "place is 7",
    "pixel: null": "pixel is None",
    "size: 0": "size is 0",
    "size: 90": "which no imager has",
    "size: null": "give one",
    "pixels_per_radian: 100": "give one",
    "{size: null, pixels_per_radian: 100}": "not geostationary",
}
RASTER = {"projection": "+proj=longlat", "pixel": [0, 0], "place": [10, 20], "size": 0.5}


@pytest.mark.parametrize("line", [*WRONG, *OF_RASTER])
def test_a_wrong_georeference_is_one_sentence_with_its_name(tmp_path, line):
    write(tmp_path, *NAMES)
    told = yaml.safe_load(line)
    if line in OF_RASTER:
        raster = RASTER | told
        told = {"raster": raster, "kelvin": TOLD["kelvin"]}
    else:
        told = TOLD | told
    georeferenced(tmp_path, told)
    with pytest.raises(MedicaneError) as raised:
        open_scene(tmp_path).load()
    assert (WRONG | OF_RASTER)[line] in str(raised.value)
    assert "absent" in line or "georeference.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: [", "kelvin: !!python/object:os.system {}", "\0"]
)
def test_what_is_no_georeference_is_refused_by_name(tmp_path, text):
    write(tmp_path)
    (tmp_path / "georeference.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"^georeference\.yaml") as raised:
        open_scene(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_georeference_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no picture is at"):
        open_scene(georeferenced(tmp_path))


FULL = {
    **TOLD,
    "time": "%Y%m%d_%H%M",
    "times": {NAMES[0]: "2019-05-01T01:00"},
    "missing": [0],
    "crop": {"left": 1, "top": 1, "right": 1, "bottom": 1},
    "mask": {"coloured": 6, "darker": 12, "bright_in_all": 250, "picture": "m.png", "widest": 4},
    "platform": "P",
    "sensor": "s",
    "time_convention": "end_of_scan",
    "calibration": "grey",
}


def wrong_documents():
    """Every value of the examples, and of a file with all settings, gone or another."""
    for document in (*map(example, ("himawari", "insat3d", "amphan")), FULL):
        for path, value, mutant in changed(document):
            yield path, "removed" if value is REMOVED else value, mutant


def test_the_page_on_pictures_explains_every_setting(tmp_path):
    page = (EXAMPLES.parents[1] / "docs" / "pictures.md").read_text("utf-8")
    told = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    assert set(told) | {"extent", "calibration"} == {f.name for f in fields(Georeference)}
    assert set(told["mask"]) == {f.name for f in fields(Overlay)}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(told))
    assert read_georeference(tmp_path / "a.yaml").crop.top == 92


def example(name):
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))


def outcome(folder, document):
    """Opened, refused, or a raw error."""
    try:
        (folder / "georeference.yaml").write_text(yaml.safe_dump(document))
    except ValueError:  # a whole number longer than Python writes
        return "refused"
    try:
        scene = open_scene(folder)
        scene_grid(scene)
        scene.load()
    except MedicaneError as error:
        return "raw lines" if "\n" in str(error) else "refused"
    except Exception as error:
        return f"raw {type(error).__name__}: {error}"
    return "opened"


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_every_value_of_a_georeference(stride, tmp_path):
    for name in (
        "3DIMG_08OCT2018_1100_L1B_STD_IR1.png",
        "a.2016.10.18.1800.20200516_0000.png",
        *NAMES,
    ):
        write(tmp_path, name, pixels=greys(0, 120, 220))
    Image.fromarray(np.zeros((220, 120), np.uint8)).save(tmp_path / "m.png")
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, value, mutant in islice(wrong_documents(), 0, None, stride):
            result = outcome(tmp_path, mutant)
            if result.startswith("raw"):
                found.append((path, value, result))
    assert found == []


def opened(shared_data, name, folder, tmp_path):
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(example(name) | {"pictures": str(shared_data / folder)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)  # two storms of one time
        return open_scene(path)


def around(scene, time, lon, lat, half):
    frame = scene["IR_108"].sel(time=time).to_numpy()
    x, y = (round(float(v)) for v in scene_grid(scene).lonlat_to_pixel(lon, lat))
    return frame[y - half : y + half + 1, x - half : x + half + 1]


def test_the_eyes_of_real_typhoons_are_at_their_centres(shared_data, tmp_path):
    scene = opened(shared_data, "himawari", "himawari_ir_png", tmp_path)
    centres = pd.read_csv(shared_data / "himawari_ir_png" / "centres.csv", parse_dates=["time"])
    assert set(centres["time"]) <= set(pd.DatetimeIndex(scene["time"]))
    for storm in centres[centres["pressure_hpa"] < 910].itertuples():
        box = around(scene, storm.time, storm.lon, storm.lat, 8)
        eye = np.unravel_index(np.argmax(box), box.shape)
        assert np.hypot(*(np.array(eye) - 8)) < 2.5  # pixels of 9 km


def test_real_full_disks_are_cold_at_their_centres(shared_data, tmp_path):
    scene = opened(shared_data, "insat3d", "insat3d_full_disk", tmp_path)
    for time, lat, lon in (
        ("2018-10-11T00:30", 18.83, 84.36),
        ("2021-05-15T23:00", 14.92, 72.80),
        ("2019-10-29T11:00", 19.57, 63.13),
        ("2019-05-01T01:00", 13.95, 84.08),
    ):
        assert np.nanmedian(around(scene, time, lon, lat, 2)) < 215
    assert scene.attrs["time_convention"] == "start_of_scan"


def test_a_real_storm_is_followed_through_full_disks(shared_data, tmp_path):
    scene = opened(shared_data, "amphan", "insat3d_amphan", tmp_path)
    centres = pd.read_csv(shared_data / "insat3d_amphan" / "centres.csv", parse_dates=["time_utc"])
    assert len(centres) == scene.sizes["time"] == 15
    for storm in centres[centres["wind_kt"] > 100].itertuples():
        assert np.nanmedian(around(scene, storm.time_utc, storm.lon, storm.lat, 3)) < 205
