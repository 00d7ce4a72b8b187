"""The coordinates of a CF variable: which they are, and the grid that they make."""

from collections.abc import Hashable, Iterable

import numpy as np
import xarray as xr

from medicane_models.domain.projections import is_geographic, projection_of
from medicane_models.errors import MedicaneError, SceneError
from medicane_models.scenes.readers.attributes import text_of
from medicane_models.scenes.readers.mapping import LONLAT, mapping_crs
from medicane_models.scenes.readers.recording import Axes, Layout
from medicane_models.scenes.readers.swath import layout_of_places

__all__ = ["coordinate_of", "dataset_crs", "layout_of"]

METRES = {"m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0}
KILOMETRES = {"km": 1e3, "kilometre": 1e3, "kilometer": 1e3, "kilometres": 1e3, "kilometers": 1e3}
RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0}
MICRORADIANS = dict.fromkeys(
    ("microradian", "microradians", "micro_radian", "murad", "urad", "µrad", "μrad"), 1e-6
)
SPELLINGS = ("degrees_{0}", "degree_{0}", "degrees_{1}", "degree_{1}", "degrees{1}", "degree{1}")
DEGREES = {
    "x": {spelling.format("east", "e") for spelling in SPELLINGS},
    "y": {spelling.format("north", "n") for spelling in SPELLINGS},
}
WRITTEN = {"x": "degrees_east", "y": "degrees_north"}
AXIS_NAMES = {
    "x": {"x", "lon", "longitude", "x_geostationary"},
    "y": {"y", "lat", "latitude", "y_geostationary"},
    "time": {"time", "t"},
}
STANDARD_NAMES = {
    "x": {"projection_x_coordinate", "projection_x_angular_coordinate", "longitude"},
    "y": {"projection_y_coordinate", "projection_y_angular_coordinate", "latitude"},
    "time": {"time"},
}


def layout_of(
    dataset: xr.Dataset, variable: xr.DataArray, name: str, sensor: str
) -> tuple[xr.DataArray, Layout]:
    """A variable in the order (time, y, x), or (y, x) if it has no time, and where its pixels lie.

    Args:
        dataset: holds the coordinates.
        variable: in any order of dimensions.
        name: of the file, for messages.
        sensor: decides what a geostationary grid mapping leaves out.

    Raises:
        SceneError: if it has neither 1-D coordinates for x and y nor 2-D longitudes and latitudes,
            or they make no grid.
    """
    raster = _raster(dataset, variable)
    is_projected = len(raster) == 2 and _is_projected(dataset, variable, name)
    curved = None if is_projected else _curved(dataset, variable)
    if len(raster) == 2 and curved is None:
        return _ordered(dataset, variable, raster, name), _axes(dataset, variable, name, sensor)
    if curved is None:
        raise SceneError(
            f"{variable.name} of {name} has the dimensions {variable.dims} without 1-D "
            "coordinates for x and y or 2-D longitudes and latitudes; add those of its pixels, of "
            "pictures that move with a storm in a file each, or resample it onto a regular grid "
            "first"
        )
    raster = list(curved[1].dims)
    lon, lat = (values.transpose(*raster).to_numpy().astype(np.float64) for values in curved)
    return _ordered(dataset, variable, raster, name), layout_of_places(lon, lat, name)


def _raster(dataset: xr.Dataset, variable: xr.DataArray) -> list[Hashable]:
    """Dimensions of rows and columns, by 1-D coordinates; where a storm is over time is neither."""
    y, x, time = (coordinate_of(dataset, variable, role) for role in ("y", "x", "time"))
    along = [coordinate.dims[0] for coordinate in (y, x) if coordinate is not None]
    moving = () if time is None else time.dims
    return [dimension for dimension in dict.fromkeys(along) if dimension not in moving]


def _is_projected(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> bool:
    """Whether 1-D coordinates mean more than the number of a row and a column."""
    told = _mapping_name(variable, name) is not None
    return told or _units(coordinate_of(dataset, variable, "x"), name).startswith("degree")


def _mapping_name(variable: xr.DataArray, name: str) -> str | None:
    return text_of({**variable.encoding, **variable.attrs}, "grid_mapping", file=name)


def _ordered(
    dataset: xr.Dataset, variable: xr.DataArray, raster: list[Hashable], name: str
) -> xr.DataArray:
    time = coordinate_of(dataset, variable, "time")
    kept = [*(() if time is None else time.dims), *raster]
    extra = [dimension for dimension in variable.dims if dimension not in kept]
    if any(variable.sizes[dimension] > 1 for dimension in extra):
        raise SceneError(
            f"{variable.name} of {name} has the unknown dimensions {extra}; "
            "choose one of each first"
        )
    return variable.isel(dict.fromkeys(extra, 0)).transpose(*kept)


def _curved(
    dataset: xr.Dataset, variable: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Longitudes and latitudes of the pixels, along two of the variable's dimensions."""
    found: dict[str, xr.DataArray] = {}
    for name, stored in dataset.variables.items():
        if stored.ndim < 2 or not set(stored.dims) <= set(variable.dims):
            continue
        values = dataset[name] if stored.ndim == 2 else dataset[name].squeeze()
        if values.ndim == 2 and _geographic(values):
            found.setdefault(_geographic(values), values)
    if set(found) != {"x", "y"} or set(found["x"].dims) != set(found["y"].dims):
        return None
    return found["x"], found["y"]


def _geographic(values: xr.DataArray) -> str:
    """Whether values are longitudes ("x") or latitudes ("y"); "" if neither."""
    units = str(values.attrs.get("units", "")).lower()
    told = f"{values.name} {values.attrs.get('standard_name', '')}".lower()
    role = _role(values) or ""
    is_named = {"x": "lon", "y": "lat"}.get(role, "?") in told
    return role if is_named or units in DEGREES.get(role, ()) else ""


def _axes(dataset: xr.Dataset, variable: xr.DataArray, name: str, sensor: str) -> Axes:
    crs = dataset_crs(dataset, variable, name, sensor)
    along = [coordinate_of(dataset, variable, role) for role in "yx"]
    if is_geographic(crs):
        _require_degrees([one for one in along if one is not None], name)
    y, x = (_metres(coordinate, crs, name) for coordinate in along)
    try:
        return Axes.from_coordinates(crs, x, y)
    except MedicaneError as error:
        raise SceneError(f"{name}: {error}") from error


def dataset_crs(
    dataset: xr.Dataset, variable: xr.DataArray, name: str, sensor: str = "unknown"
) -> str:
    """The projection of a variable, from its CF grid mapping or its lon/lat coordinates.

    Raises:
        SceneError: if it has neither.
    """
    mapping = _mapping_name(variable, name)
    if mapping is None:
        _require_places(dataset, variable, name)
        return LONLAT
    mapping = mapping.split(":")[0].split()[0]
    if mapping not in dataset.variables:
        raise SceneError(f"{name} lacks the variable {mapping} that {variable.name} names")
    return mapping_crs(dataset[mapping].attrs, sensor, f"{mapping} of {name}")


def _require_places(dataset: xr.Dataset, variable: xr.DataArray, name: str) -> None:
    """Of a variable without a grid mapping, whose axes must be latitude and longitude."""
    along = [coordinate_of(dataset, variable, role) for role in "yx"]
    places = [one for one in along if one is not None and _geographic(one)]
    if len(places) == len(along):
        _require_degrees(places, name)
    elif not _units(along[-1], name).startswith("degree"):
        raise SceneError(
            f"{variable.name} of {name} has no grid_mapping and no 1-D longitude and latitude; "
            "add the CF grid mapping of its projection"
        )


def _require_degrees(places: Iterable[xr.DataArray], name: str) -> None:
    """Of longitudes and latitudes, whose names do not stand in for units."""
    wrong = [one for one in places if not _units(one, name).startswith("degree")]
    if wrong:
        names = " and ".join(str(one.name) for one in wrong)
        wanted = " and ".join(WRITTEN[_role(one) or "x"] for one in wrong)
        told = " and ".join(dict.fromkeys(_told_units(one, name) for one in wrong))
        have = "has" if len(wrong) == 1 else "have"
        raise SceneError(f"{names} of {name} {have} {told}; give units {wanted}")


def _told_units(coordinate: xr.DataArray, name: str) -> str:
    return f"the units {coordinate.attrs['units']!r}" if _units(coordinate, name) else "no units"


def coordinate_of(dataset: xr.Dataset, variable: xr.DataArray, role: str) -> xr.DataArray | None:
    """The 1-D coordinate of a role: one with units, and of those a dimension's own, goes first."""
    along = [
        dataset[name]
        for dimension in variable.dims
        for name, values in dataset.variables.items()
        if values.dims == (dimension,)
    ]
    along.sort(key=lambda found: ("units" not in found.attrs, (found.name,) != found.dims))
    return next((coordinate for coordinate in along if _role(coordinate) == role), None)


def _role(coordinate: xr.DataArray) -> str | None:
    """What a coordinate says that it is: by standard name, units, axis or its own name."""
    attributes = {key: str(value).lower() for key, value in coordinate.attrs.items()}
    told = {
        "standard_name": STANDARD_NAMES,
        "units": DEGREES,
        "axis": {"x": {"x"}, "y": {"y"}, "time": {"t"}},
    }
    for key, roles in told.items():
        for role, values in roles.items():
            if attributes.get(key) in values:
                return role
    named = str(coordinate.name).lower()
    return next((role for role, names in AXIS_NAMES.items() if named in names), None)


def _metres(coordinate: xr.DataArray | None, crs: str, name: str) -> np.ndarray:
    """Projection coordinates in metres, or degrees where the grid is in longitude and latitude."""
    if coordinate is None or coordinate.dtype.kind not in "iuf":
        raise SceneError(f"the coordinates of {name} are no numbers; give each axis its values")
    values = coordinate.to_numpy().astype(np.float64)
    units = _units(coordinate, name)
    projection = projection_of(crs)
    if projection.is_geographic:
        return values
    if not projection.is_geographic and units in METRES | KILOMETRES:
        return values * (METRES | KILOMETRES)[units]
    angles = RADIANS | MICRORADIANS
    if units in angles and "perspective_point_height" in projection.to_cf():
        return values * angles[units] * projection.to_cf()["perspective_point_height"]
    raise SceneError(
        f"coordinate {coordinate.name} of {name} has the units {units or 'missing'!r}; projections "
        "need m, km or (geostationary) rad or microradian"
    )


def _units(coordinate: xr.DataArray | None, name: str) -> str:
    if coordinate is None:
        return ""
    units = text_of(coordinate.attrs, "units", file=f"{coordinate.name} of {name}")
    return (units or "").lower()
