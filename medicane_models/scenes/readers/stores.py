"""Zarr stores in folders, zip files and on the network."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
import zarr.errors
import zarr.storage
from numcodecs.errors import UnknownCodecError

from medicane_models.errors import SceneError, require

__all__ = ["Location", "dimensions", "opened_group", "unreachable", "values", "zarr_store"]


Location = str | Path


def zarr_store(location: Location) -> Any:
    """What zarr opens for a folder, a zip file or a URL.

    Raises:
        MissingExtraError: for gs:// without gcsfs.
    """
    if isinstance(location, Path):
        return zarr.storage.ZipStore(location) if location.suffix == ".zip" else str(location)
    if location.startswith("gs://"):
        require("gcsfs", "satellite")
        require("ocf_blosc2", "satellite")
    options = {"token": "anon"} if location.startswith("gs://") else {}
    return zarr.storage.FsspecStore.from_url(location, read_only=True, storage_options=options)


@contextmanager
def opened_group(location: Location) -> Iterator[zarr.Group]:
    """An open store, closed again so that thousands of zip files can be read.

    Raises:
        SceneError: if a URL cannot be reached.
    """
    store = zarr_store(location)
    with warnings.catch_warnings():
        # Text in Zarr v3 is not specified yet; channel names have no other form.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        group = _opened(store, location)
        try:
            yield group
        finally:
            if isinstance(store, zarr.storage.ZipStore):
                store.close()


def _opened(store: Any, location: Location) -> zarr.Group:
    try:
        return zarr.open_group(store, mode="r")
    except UnknownCodecError as error:
        _provide_codec(str(error))
        return zarr.open_group(store, mode="r")
    except OSError as error:
        raise unreachable(location, error) from error


def unreachable(location: Location, error: OSError) -> Exception:
    """For files the error itself; a network that fails does not make frames missing."""
    if isinstance(location, Path):
        return error
    return SceneError(f"{location} cannot be reached: {error}; try again later")


def _provide_codec(message: str) -> None:
    if "blosc2" in message:
        require("ocf_blosc2", "satellite")  # where it is installed, numcodecs finds it by itself
    if "jpegxl" in message:
        require("imagecodecs.numcodecs", "satellite").register_codecs(verbose=False)


def dimensions(array: zarr.Array) -> list[str]:
    """Names of the dimensions, in Zarr v2 (as xarray keeps them) and v3."""
    names = array.attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
    return [str(name) for name in cast(Sequence[str], names or ())]


def values(group: zarr.Group, name: str) -> np.ndarray:
    """All values of an array."""
    return np.asarray(cast(zarr.Array, group[name])[:])
