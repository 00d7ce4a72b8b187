"""Changes of what a netCDF file says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from mutations import OTHERS, REMOVED

from hostile.damage import Draw, files_of


def spoil_dataset(given: Path, draw: Draw) -> str:
    """An attribute, a coordinate, a dimension, a type or the values of a netCDF file."""
    files = files_of(given, "*.nc*")
    path = files[draw.integers(len(files))]
    content = path.read_bytes()
    with xr.open_dataset(path, decode_cf=False) as opened:
        dataset = opened.load()
    change = DATASETS[draw.integers(len(DATASETS))]
    try:
        new, what = change(dataset, draw)
        path.unlink()
        new.to_netcdf(path)
    except Exception as error:  # what netCDF cannot hold is no input
        path.write_bytes(content)
        return f"as it was ({type(error).__name__})"
    return f"{path.name}: {what}"


def _name(dataset: xr.Dataset, draw: Draw) -> str:
    names = list(map(str, dataset.variables))
    return names[draw.integers(len(names))]


def attribute(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    place = dataset[_name(dataset, draw)] if draw.random() < 0.8 else dataset
    keys = [*place.attrs, "units", "grid_mapping", "calendar", "scale_factor", "_FillValue",
            "valid_range", "valid_min", "standard_name", "coordinates", "bounds"]  # fmt: skip
    key = keys[draw.integers(len(keys))]
    values = [*OTHERS, np.array([1.0, 2.0]), np.int16(-1), "K", "degC", "rad", "noleap", "360_day",
              "days since 0000-00-00", "seconds since 1e9", "months since 2020-01-01"]  # fmt: skip
    value = values[draw.integers(len(values))]
    if value is REMOVED:
        place.attrs.pop(key, None)
    else:
        place.attrs[key] = value
    return dataset, f"{getattr(place, 'name', '')}:{key} is {value!r}"


def values_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    variable = dataset[name].variable
    other = np.array([np.nan, np.inf, -np.inf, 0, -1, 1e30, 1e-30, 2**31, 1e300])[draw.integers(9)]
    values = variable.values.astype(float) if variable.dtype.kind in "iufM" else variable.values
    flat = np.array(values).ravel()
    if draw.random() < 0.5:
        flat[:] = other
    elif flat.size:
        flat[draw.integers(flat.size)] = other
    return replaced(dataset, name, flat.reshape(variable.shape)), f"{name} has {other}"


def type_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    kind = str(draw.choice(["i1", "u1", "i2", "i8", "f4", "f8", "S3", "U"]))
    return replaced(dataset, name, dataset[name].values.astype(kind)), f"{name} as {kind}"


def shape_of(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    names = list(dataset.sizes)
    name = names[draw.integers(len(names))]
    match draw.integers(5):
        case 0:
            return dataset.isel({name: slice(0, 0)}), f"no {name}"
        case 1:
            return dataset.isel({name: slice(0, 1)}), f"one {name}"
        case 2:
            return dataset.isel({name: 0}), f"{name} is gone"
        case 3:
            return dataset.rename({name: "other"}), f"{name} is called other"
        case _:
            return dataset.isel({name: draw.permutation(dataset.sizes[name])}), f"{name} shuffled"


def variable_gone(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    name = _name(dataset, draw)
    return dataset.drop_vars(name), f"no {name}"


def swapped(dataset: xr.Dataset, draw: Draw) -> tuple[xr.Dataset, str]:
    one, other = _name(dataset, draw), _name(dataset, draw)
    aside = dataset.rename_vars({one: "x-x"})
    return aside.rename_vars({other: one, "x-x": other}), f"{one} is {other}"


def replaced(dataset: xr.Dataset, name: str, values: np.ndarray) -> xr.Dataset:
    told = dataset[name].variable
    attributes = {k: v for k, v in told.attrs.items() if k != "_FillValue"}
    return dataset.drop_vars(name).assign({name: xr.Variable(told.dims, values, attributes)})


DATASETS: tuple[Callable[[xr.Dataset, Draw], tuple[xr.Dataset, str]], ...] = (
    *[attribute] * 3, *[values_of] * 2, type_of, shape_of, variable_gone, swapped,
)  # fmt: skip
