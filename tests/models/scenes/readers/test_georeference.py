"""Where pictures lie, held to pyproj, and every wrong georeference.yaml."""

import warnings
from dataclasses import fields
from itertools import islice

import numpy as np
import pyproj
import pytest
import yaml
from mutations import REMOVED, changed
from picture_files import (
    EXAMPLES,
    NAMES,
    TOLD,
    example,
    first_frame,
    georeferenced,
    greys,
    write_pictures,
)
from PIL import Image

from medicane_models.errors import ConfigurationError, MedicaneError
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.scenes.readers.georeference import Georeference, Overlay, read_georeference

GEOSTATIONARY = "+proj=geos +lon_0=82 +h=35785863 +a=6378137 +b=6356752.3142 +sweep=y"
DISK = {
    "projection": GEOSTATIONARY,
    "pixel": [19.5, 14.5],
    "place": [0, 0],
    "pixels_per_radian": 90,
}


def test_a_geostationary_picture_lies_where_pyproj_says(tmp_path):
    folder = georeferenced(
        write_pictures(tmp_path / "p"), {"raster": DISK, "kelvin": TOLD["kelvin"]}
    )
    grid = scene_grid(open_scene(folder))
    x, y = np.meshgrid(np.arange(15, 25), np.arange(10, 20))
    step = 35785863 / 90
    expected = pyproj.Proj(GEOSTATIONARY)((x - 19.5) * step, (14.5 - y) * step, inverse=True)
    np.testing.assert_allclose(grid.pixel_to_lonlat(x, y), expected, atol=1e-6)
    assert grid.sub_satellite_longitude == 82


def test_what_is_beside_the_earth_is_missing(tmp_path):
    folder = georeferenced(
        write_pictures(tmp_path / "p"), {"raster": DISK, "kelvin": TOLD["kelvin"]}
    )
    seen = np.isfinite(first_frame(open_scene(folder)))
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
    folder = georeferenced(
        write_pictures(tmp_path / "p"), {"raster": raster, "kelvin": TOLD["kelvin"]}
    )
    lon, lat = scene_grid(open_scene(folder)).pixel_to_lonlat(8, 4)
    proj = pyproj.Proj("+proj=lcc +lat_0=30 +lon_0=120 +lat_1=20 +lat_2=40 +ellps=WGS84")
    np.testing.assert_allclose(proj(lon, lat), (1000 + 3 * 8e3, -2000 + 2 * 9e3), atol=0.1)


def test_a_crop_moves_no_pixel(tmp_path):
    raster = {"projection": "+proj=longlat +datum=WGS84", "pixel": [-0.5, -0.5], "place": [90, 35]}
    told = {"raster": raster | {"size": 0.5}, "kelvin": TOLD["kelvin"]}
    folder = georeferenced(write_pictures(tmp_path / "p"), told)
    whole = open_scene(folder).load()
    cut = open_scene(georeferenced(folder, told, crop={"left": 3, "top": 4, "bottom": 5}))
    assert scene_grid(cut).offset_in(scene_grid(whole)) == (3, 4)
    np.testing.assert_array_equal(first_frame(cut), first_frame(whole)[4:-5, 3:])


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
    write_pictures(tmp_path, *NAMES)
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
    write_pictures(tmp_path)
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
        write_pictures(tmp_path, name, pixels=greys(0, 120, 220))
    Image.fromarray(np.zeros((220, 120), np.uint8)).save(tmp_path / "m.png")
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, value, mutant in islice(wrong_documents(), 0, None, stride):
            result = outcome(tmp_path, mutant)
            if result.startswith("raw"):
                found.append((path, value, result))
    assert found == []
