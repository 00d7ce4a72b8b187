"""Satellite frames from public sources, cropped to a domain, as CF netCDF that open_scene reads.

Both sources continue where they stopped: a file is there as a whole or not at all. One frame at a
time is in memory.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

import dask.config
import pandas as pd

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.errors import ConfigurationError, SceneError, require
from medicane_models.files import as_os_error, replacing, staging
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.times import interval, utc

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "ARCHIVE",
    "RAPID_SCAN",
    "DataStoreProduct",
    "data_store_products",
    "download_archive",
    "download_products",
]

log = logging.getLogger(__name__)

ARCHIVE = (
    "gs://public-datasets-eumetsat-solar-forecasting/satellite/EUMETSAT/SEVIRI_RSS/v4/"
    "{year}_nonhrv.zarr"
)
"""Open Climate Fix's public archive of the rapid scan, a store a year, open to everyone."""

RAPID_SCAN = "EO:EUM:DAT:MSG:MSG15-RSS"
"""EUMETSAT's collection of rapid-scan level 1.5 files."""

KEY, SECRET = "EUMETSAT_CONSUMER_KEY", "EUMETSAT_CONSUMER_SECRET"
MARGIN_PIXELS = 2  # around the domain, for interpolation onto its own pixels
PACKING = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 250.0, "_FillValue": -32768}
"""Kelvin in steps of 0.01 K, a fifth of the finest step of the instrument's 10 bits."""


def download_archive(
    out: str | Path,
    *,
    start: Any,
    end: Any,
    domain: Grid | None = MEDITERRANEAN,
    archive: str = ARCHIVE,
) -> list[Path]:
    """Copy whole days of the public archive, a file a day; days that are there are skipped.

    Args:
        out: folder of the files, ``seviri_YYYYMMDD.nc``.
        start: first day, UTC.
        end: last day, UTC.
        domain: what to keep, on the archive's own pixels; None keeps all.
        archive: URL of the stores, with ``{year}``.

    Returns:
        The files of all days that have frames.

    Raises:
        SceneError: if the archive cannot be reached; run it again.
        MissingExtraError: without gcsfs or ocf_blosc2, for gs://.
    """
    interval(start, end)
    days = pd.date_range(utc(start).normalize(), utc(end).normalize(), freq="D")
    files = {day: Path(out) / f"seviri_{day:%Y%m%d}.nc" for day in days}
    wanted = [day for day, path in files.items() if not path.exists()]
    for year in sorted({day.year for day in wanted}):
        scene = _cropped(archive.format(year=year), domain)
        for day in (day for day in wanted if day.year == year):
            _save_day(scene, day, files[day])
    return [path for path in files.values() if path.exists()]


def _cropped(source: str | Path, domain: Grid | None) -> "xr.Dataset":
    """A scene on its own pixels around the domain, or all of it."""
    whole = open_scene(source)
    if domain is None:
        return whole
    return open_scene(whole, domain=_window(scene_grid(whole), domain)).assign_attrs(whole.attrs)


def _window(grid: Grid, domain: Grid) -> Grid:
    """The pixels of ``grid`` that the domain needs, as far as there are any.

    Raises:
        SceneError: if there are none.
    """
    needed = grid.covering(domain, margin=MARGIN_PIXELS)
    x, y = needed.offset_in(grid) or (0, 0)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + needed.width, grid.width), min(y + needed.height, grid.height)
    if right <= left or bottom <= top:
        raise SceneError(f"the domain ({domain}) does not overlap the scene ({grid})")
    return grid.window(left, top, right - left, bottom - top)


def _save_day(scene: "xr.Dataset", day: pd.Timestamp, path: Path) -> None:
    times = pd.DatetimeIndex(scene["time"].to_numpy())
    frames = scene.isel(time=(times >= day) & (times < day + timedelta(days=1)))
    if frames.sizes["time"]:
        _save(frames, path)
    log.info("%s: %d frames", f"{day:%Y-%m-%d}", frames.sizes["time"])


def _save(scene: "xr.Dataset", path: Path) -> None:
    """Write frames one after the other, packed and compressed."""
    names = [str(name) for name in scene.data_vars]
    shape = (1, scene.sizes["y"], scene.sizes["x"])
    encoding = {n: {**PACKING, "zlib": True, "complevel": 1, "chunksizes": shape} for n in names}
    encoding["time"] = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    here = dask.config.set(scheduler="synchronous")
    with replacing(path) as temporary, as_os_error(RuntimeError, "^NetCDF: "), here:
        scene.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


@runtime_checkable
class DataStoreProduct(Protocol):
    """What is used of eumdac's Product; its text is the product's identifier."""

    @property
    def entries(self) -> Iterable[str]:
        """Names of the files in it."""
        ...

    def open(self, entry: str) -> IO[bytes]:
        """One of its files."""
        ...


def data_store_products(
    *, start: Any, end: Any, collection: str = RAPID_SCAN
) -> Iterator[DataStoreProduct]:
    """Search EUMETSAT's Data Store; the credentials are read from the environment.

    Args:
        start: first sensing time, UTC.
        end: last sensing time, UTC.
        collection: identifier, the rapid scan by default.

    Raises:
        ConfigurationError: without credentials.
        MissingExtraError: without eumdac.
    """
    credentials = os.environ.get(KEY), os.environ.get(SECRET)
    if not all(credentials):
        raise ConfigurationError(
            f"set {KEY} and {SECRET} to the key and secret of https://api.eumetsat.int/api-key"
        )
    interval(start, end)
    eumdac = require("eumdac", "satellite")
    store = eumdac.DataStore(eumdac.AccessToken(credentials))
    first, last = (datetime.fromisoformat(utc(time).isoformat()) for time in (start, end))
    yield from store.get_collection(collection).search(dtstart=first, dtend=last)


def download_products(
    products: Iterable[DataStoreProduct], out: str | Path, *, domain: Grid | None = MEDITERRANEAN
) -> list[Path]:
    """Fetch products one by one, keep the domain, drop the rest; those that are there are skipped.

    Args:
        products: as :func:`data_store_products` finds them.
        out: folder of the files, ``seviri_<product>.nc``.
        domain: what to keep, on the satellite's own pixels; None keeps all.
    """
    files = []
    for product in products:
        path = Path(out) / f"seviri_{product}.nc"
        if not path.exists():
            with staging(path.parent, alone=False) as folder:
                _save(_cropped(_fetched(product, folder), domain), path)
            log.info("%s", path.name)
        files.append(path)
    return files


def _fetched(product: DataStoreProduct, folder: Path) -> Path:
    """The image file of a product, without its metadata."""
    entries = [entry for entry in product.entries if entry.endswith((".nat", ".nc"))]
    if not entries:
        raise SceneError(f"product {product} holds no .nat or .nc file, only {[*product.entries]}")
    path = folder / Path(entries[0]).name
    with product.open(entries[0]) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path
