"""What a command line names, looked at before anything heavy is imported."""

from pathlib import Path
from typing import get_args

from medicane_models.choices import ProcessorName
from medicane_models.domain.boxes import degrees_of_box
from medicane_models.errors import ConfigurationError, MissingInputError
from medicane_models.hub import check_name

__all__ = [
    "check_box",
    "check_detector",
    "check_extent",
    "check_folder",
    "check_free",
    "check_model",
    "check_present",
    "check_processor",
    "check_store_name",
    "check_time",
    "check_tracker",
]


def check_present(*names: str | Path | None) -> None:
    """Refuse files and folders that are not there; URLs are left to their readers.

    Raises:
        MissingInputError: naming the first.
    """
    for name in names:
        if name is not None and "://" not in str(name) and not Path(name).expanduser().exists():
            raise MissingInputError(f"{name} does not exist; correct its name")


def check_model(name: str | None) -> None:
    """Refuse what is neither here, nor embedded, nor of the form of a Hub id.

    Raises:
        MissingModelError: naming the embedded models.
    """
    if name is not None and not Path(name).is_file():
        check_name(name)


def check_detector(name: str) -> None:
    """As `check_model`, for a detector, which "auto" chooses.

    Raises:
        MissingModelError: naming the embedded models.
    """
    if name != "auto":
        check_model(name)


def check_processor(name: str | None) -> None:
    """Refuse what is neither a processor's own name, nor that of a place that may hold one.

    Raises:
        MissingModelError: naming the embedded models.
    """
    if name is not None and name not in get_args(ProcessorName):
        check_name(name)


def check_tracker(name: str) -> None:
    """As `check_model`, for a tracker, of which there may be none.

    Raises:
        MissingModelError: naming the embedded models.
    """
    if name not in ("auto", "none"):
        check_model(name)


def check_folder(out: Path | None) -> None:
    """Refuse a file where a folder is to be written.

    Raises:
        ConfigurationError: it is one.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; choose another folder with --out")


def check_free(*paths: Path, overwrite: bool) -> None:
    """Refuse to replace what is there, unless that is asked for.

    Raises:
        ConfigurationError: naming the first.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise ConfigurationError(
                f"{path} exists; choose another --out, or replace it with --overwrite"
            )


def check_store_name(path: Path) -> None:
    """Refuse a name that no reader would take for a Zarr store.

    Raises:
        ConfigurationError: it does not end in .zarr.
    """
    if path.suffix != ".zarr":
        raise ConfigurationError(f"{path} does not end in .zarr; call the store NAME.zarr")


def check_time(text: str | None) -> None:
    """Refuse what is no time.

    Raises:
        ConfigurationError: naming it.
    """
    if text is not None:
        from medicane_models.times import utc

        utc(text)


def check_box(text: str) -> None:
    """Refuse what is neither "model", nor "native", nor a box in degrees.

    Raises:
        ConfigurationError: naming it.
    """
    if text not in ("model", "native"):
        degrees_of_box(text)


def check_extent(text: str | None) -> None:
    """Refuse what is no box in degrees.

    Raises:
        ConfigurationError: naming it.
    """
    if text is not None:
        degrees_of_box(text, "extent")
