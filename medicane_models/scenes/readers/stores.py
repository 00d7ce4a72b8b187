"""Zarr stores in folders, zip files and on the network."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

import numcodecs.registry
import numpy as np
import zarr
import zarr.errors
import zarr.storage
from numcodecs.errors import UnknownCodecError

from medicane_models.errors import SceneError, require
from medicane_models.files import MOST_BYTES, require_regular
from medicane_models.scenes.readers.sizes import MOST_ALONG

__all__ = ["Location", "dimensions", "opened_group", "unreachable", "values", "zarr_store"]

CODEC_MODULES = {"blosc2": "ocf_blosc2", "imagecodecs": "imagecodecs.numcodecs"}
"""By a word in what is said of a codec that is not there."""

# numcodecs finds by themselves those of packages that announce them, which imagecodecs does not
_announced: dict[str, Any] = numcodecs.registry.entries
_announced.setdefault(
    "imagecodecs_jpegxl",
    EntryPoint("imagecodecs_jpegxl", "imagecodecs.numcodecs:Jpegxl", "numcodecs.codecs"),
)

Location = str | Path


def zarr_store(location: Location) -> Any:
    """What zarr opens for a folder, a zip file or a URL.

    Raises:
        MissingExtraError: for gs:// without gcsfs.
    """
    if isinstance(location, Path):
        require_regular(location) if location.suffix == ".zip" else None
        return (
            _ZipFile(location) if location.suffix == ".zip" else _Folder(location, read_only=True)
        )
    if location.startswith("gs://"):
        require("gcsfs", "satellite")
        require("ocf_blosc2", "satellite")
    options = {"token": "anon"} if location.startswith("gs://") else {}
    return zarr.storage.FsspecStore.from_url(location, read_only=True, storage_options=options)


class _Folder(zarr.storage.LocalStore):
    """A folder of which only files are read, and none that would not fit into memory."""

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        """As the class above has it."""
        path = self.root / key
        if path.exists() and not path.is_dir():
            require_regular(path)
            _refuse_large(key, path.stat().st_size)
        return await super().get(key, *args, **options)


class _ZipFile(zarr.storage.ZipStore):
    """A zip file of which nothing is unpacked that would not fit into memory."""

    def _get(self, key: str, *args: Any, **options: Any) -> Any:
        if not self._is_open:
            self._sync_open()
        if key in self._zf.NameToInfo:
            _refuse_large(key, self._zf.getinfo(key).file_size)
        return super()._get(key, *args, **options)


def _refuse_large(key: str, size: int) -> None:
    if size > MOST_BYTES:
        raise OSError(f"{key} has {size:,} bytes, more than the {MOST_BYTES:,} that are read")


@contextmanager
def opened_group(location: Location) -> Iterator[zarr.Group]:
    """An open store, closed again so that thousands of zip files can be read.

    Raises:
        SceneError: if a URL cannot be reached.
    """
    store = zarr_store(location)
    with warnings.catch_warnings(), _naming_codecs():
        # Text in Zarr v3 is not specified yet; channel names have no other form.
        warnings.simplefilter("ignore", zarr.errors.UnstableSpecificationWarning)
        try:
            group = zarr.open_group(store, mode="r")
        except OSError as error:
            raise unreachable(location, error) from error
        try:
            yield group
        finally:
            if isinstance(store, zarr.storage.ZipStore):
                store.close()


@contextmanager
def _naming_codecs() -> Iterator[None]:
    """Tell which extra brings the codec of an array that cannot be decoded.

    Raises:
        MissingExtraError: if it is one of the public archive's that is not installed.
    """
    try:
        yield
    except (UnknownCodecError, zarr.errors.UnknownCodecError, ModuleNotFoundError) as error:
        for word, module in CODEC_MODULES.items():
            if word in str(error):
                require(module, "satellite")
        raise


def unreachable(location: Location, error: OSError) -> Exception:
    """For files the error itself; a network that fails does not make frames missing."""
    if isinstance(location, Path):
        return error
    return SceneError(f"{location} cannot be reached: {error}; try again later")


def dimensions(array: zarr.Array) -> list[str]:
    """Names of the dimensions, in Zarr v2 (as xarray keeps them) and v3."""
    names = array.attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
    return [str(name) for name in cast(Sequence[str], names or ())]


def values(group: zarr.Group, name: str) -> np.ndarray:
    """All values of an array.

    Raises:
        ValueError: if they are more than those along an axis can be.
    """
    array = cast(zarr.Array, group[name])
    if array.size > MOST_ALONG:
        raise ValueError(
            f"{name} has {array.size:,} values, more than the {MOST_ALONG:,} of an axis"
        )
    return np.asarray(array[:])
