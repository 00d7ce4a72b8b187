"""Every attribute and coordinate of small valid files, wrong in every way.

Each mutant opens with the right values, with what its own number or text says, or not at all.
"""

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import xarray as xr
from mutations import INF, NAN, OTHERS, REMOVED
from mutations import changed as all_changed
from scene_files import archive_dataset, cf_dataset, kelvin, shares, times, write_archive

from medicane_models.errors import MedicaneError
from medicane_models.scenes.opening import open_scene, scene_grid

ARRAYS = (
    np.array([1.0, 2.0]),
    np.array([]),
    np.float32(2.5),
    np.int16(-1),
    b"x",
    b"",
    np.array("x"),
)
FACTS = ("sensor", "platform", "time_convention", "sub_satellite_longitude")
SAID = ("sensor", "platform", "platform_name", "instrument", "sub_satellite_longitude")
PLACES = ("area", "longitude_of_projection_origin", "false_easting", "false_northing")
Mutant = tuple[str, Any, xr.Dataset]


def geostationary() -> xr.Dataset:
    """As ABI's files: packed, scan angles, no WKT, the end of the scan told."""
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["IR_108"])
    for name in "xy":
        angles = dataset[name].values / 35785831
        dataset[name] = (name, angles, dataset[name].attrs | {"units": "rad"})
    del dataset["projection"].attrs["crs_wkt"]
    dataset["IR_108"].encoding = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 250.0}
    dataset["IR_108"].encoding["_FillValue"] = -32768
    told = {"platform": "Meteosat-11", "sensor": "SEVIRI", "time_convention": "start_of_scan"}
    return dataset.assign_attrs(told)


def with_wkt() -> xr.Dataset:
    dataset = cf_dataset(kelvin(1), times("2020", 1), names=["IR_108"])
    told = {"platform_name": "GOES-16", "instrument": "Imager", "sub_satellite_longitude": 9.5}
    period = {"time_coverage_start": "2020-01-01", "time_coverage_end": "2020-01-01T00:05:00Z"}
    return dataset.assign_attrs(told | period)


def lonlat() -> xr.Dataset:
    coordinates = {
        "time": times("2020", 1),
        "lat": ("lat", 35 + 0.5 * np.arange(6), {"units": "degrees_north"}),
        "lon": ("lon", 5 + 0.5 * np.arange(8), {"units": "degrees_east", "axis": "X"}),
    }
    variable = (("time", "lat", "lon"), kelvin(1), {"units": "K"})
    return xr.Dataset({"IR_108": variable}, coordinates, {"sensor": "x", "platform": "y"})


def attribute_mutants(dataset: xr.Dataset) -> Iterator[Mutant]:
    for name in ("", *map(str, dataset.variables)):
        for key in (dataset[name] if name else dataset).attrs:
            for value in (*OTHERS, *ARRAYS):
                new = dataset.copy()
                attributes = dict(dataset[name].attrs if name else dataset.attrs)
                if value is REMOVED:
                    del attributes[key]
                else:
                    attributes[key] = value
                (new[name] if name else new).attrs = attributes
                yield f"{name}:{key}", value, new


def coordinate_mutants(dataset: xr.Dataset) -> Iterator[Mutant]:
    for name in ("x", "y", "lat", "lon"):
        if name not in dataset.coords:
            continue
        for what, values in wrong_axes(dataset[name].values):
            kept = dataset.isel({name: slice(len(values))})
            yield (
                f"{name}={what}",
                None,
                kept.assign_coords({name: (name, values, dataset[name].attrs)}),
            )


def wrong_axes(right: np.ndarray) -> Iterator[tuple[str, Any]]:
    for value in (NAN, INF, -INF, 0.0, -1.0, 1e30, -1e30, 1e308):
        for place in (0, 2, -1):
            wrong = right.copy()
            wrong[place] = value
            yield f"{value} at {place}", wrong
        yield f"all {value}", np.full_like(right, value)
    for factor in (1e-9, 1e-6, 1e3, 1e6, 1e9, 1e300):
        yield f"times {factor}", right * factor
    yield "shuffled", np.roll(right, 3)
    yield "text", right.astype(str)
    yield "flags", right > right[0]
    yield "complex", right.astype(complex)
    yield "dates", times("2020", len(right)).to_numpy()
    yield "alone", right[:1]
    yield "none", right[:0]


def outcome(source: Any, right: xr.Dataset, what: str, value: Any) -> str:
    """right, refused, missing, said (what the file itself says), raw or wrong."""
    try:
        scene = open_scene(source, channels=["IR_108"]).load()
        grid = scene_grid(scene)
    except MedicaneError:
        return "refused"
    except Exception as error:
        return f"raw {type(error).__name__}: {error}"
    if scene["IR_108"].isnull().all():
        return "missing"
    changed = {k for k in FACTS if not same(scene.attrs[k], right.attrs[k])}
    key = what.partition(":")[2]
    if value is REMOVED or value is None or (isinstance(value, str | bytes) and not value.strip()):
        changed -= {k for k in FACTS if scene.attrs[k] in ("unknown", "end_of_scan")}
    if key in SAID and not isinstance(value, bool):
        changed = set()
    if key in PLACES and is_number(value):  # another place, and the satellite over it
        changed -= {"sub_satellite_longitude"}
    elif key != "sweep_angle_axis" or np.asarray(value).dtype.kind not in "US":
        changed |= {"place"} if grid.offset_in(scene_grid(right)) != (0, 0) else set()
    if not scene["time"].equals(right["time"]):
        changed.add("time")
    if not np.allclose(scene["IR_108"], right["IR_108"], atol=0.006):
        changed.add("kelvin")
    return f"wrong {sorted(changed)}" if changed else "right"


def is_number(value: Any) -> bool:
    """Whether it is one, or the text of one, as PROJ strings have it."""
    is_text = isinstance(value, str) and value.replace(".", "").isdigit()
    return is_text or (np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf")


def same(one: Any, other: Any) -> bool:
    return one == other or (one != one and other != other)


def bad(mutants: Iterator[Mutant], right: xr.Dataset) -> list[tuple[str, Any, str]]:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, value, mutant in mutants:
            result = outcome(mutant, right, what, value)
            if result.startswith(("raw", "wrong")):
                found.append((what, "removed" if value is REMOVED else value, result))
    return found


@pytest.mark.parametrize("make", [geostationary, with_wkt, lonlat])
def test_every_coordinate_of_a_dataset(make):
    right = open_scene(make(), channels=["IR_108"]).load()
    assert bad(coordinate_mutants(make()), right) == []


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", [geostationary, with_wkt, lonlat])
def test_every_attribute_of_a_dataset(make, stride):
    right = open_scene(make(), channels=["IR_108"]).load()
    assert bad(islice(attribute_mutants(make()), 0, None, stride), right) == []


def written(mutants: Iterator[Mutant], path: Any) -> Iterator[Mutant]:
    """Those that a netCDF file can hold, as files, with all attributes as they are stored."""
    for what, value, mutant in mutants:
        try:
            mutant.to_netcdf(path)
        except Exception:
            continue
        yield what, value, path


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", [geostationary, with_wkt, lonlat])
def test_every_attribute_of_a_file(make, stride, tmp_path):
    make().to_netcdf(tmp_path / "right.nc")
    right = open_scene(tmp_path / "right.nc", channels=["IR_108"]).load()
    stored = xr.open_dataset(tmp_path / "right.nc", decode_cf=False).load()
    mutants = islice(attribute_mutants(stored), 0, None, stride)
    assert bad(written(mutants, tmp_path / "mutant.nc"), right) == []


def area(**changes: Any) -> dict[str, Any]:
    projection = {"proj": "geos", "lon_0": 9.5, "h": 35785831, "a": 6378137, "b": 6356752.3142}
    return {"msg": {"description": "RSS", "projection": projection | changes}}


def archive_mutants(dataset: xr.Dataset) -> Iterator[Mutant]:
    """The texts of a store, and the fields of its area definition."""
    attributes = dataset["data"].attrs
    for key in attributes:
        for value in (*OTHERS, b"x"):
            new = {k: v for k, v in attributes.items() if k != key or value is not REMOVED}
            told = {} if value is REMOVED else {key: value}
            yield key, value, with_attributes(dataset, new | told)
    for _, value, wrong in all_changed(area()):
        yield "area", value, with_attributes(dataset, attributes | {"area": wrong})


def with_attributes(dataset: xr.Dataset, attributes: dict[str, Any]) -> xr.Dataset:
    new = dataset.copy()
    new["data"].attrs = attributes
    return new


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_every_attribute_of_an_archive(stride, tmp_path):
    dataset = archive_dataset(shares(1), times("2020", 1), area=area())
    right = open_scene(write_archive(tmp_path / "right.zarr", dataset), channels=["IR_108"]).load()
    found = []
    for number, (what, value, mutant) in enumerate(
        islice(archive_mutants(dataset), 0, None, stride)
    ):
        path = tmp_path / f"{number}.zarr"
        try:
            write_archive(path, mutant)
        except (TypeError, ValueError, OverflowError):  # no JSON
            continue
        found += bad(iter([(f":{what}", value, path)]), right)
    assert found == []
