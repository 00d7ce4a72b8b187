"""What goes wrong, in one sentence that names the file, the value and the remedy."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from reprlib import Repr
from types import ModuleType
from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "MedicaneError",
    "MissingExtraError",
    "MissingFileError",
    "MissingInputError",
    "MissingModelError",
    "NoFrameError",
    "OutputError",
    "SceneError",
    "SceneWarning",
    "UnjudgedWarning",
    "WorkerError",
    "WrongUseError",
    "exit_code",
    "naming_extras",
    "require",
    "shown",
]

LONGEST_SHOWN = 300  # of a value within a sentence
EXTRAS = {
    "cattrs": "train",
    "distributed": "dask",
    "matplotlib": "plots",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxruntime": "onnx",
    "satpy": "satellite",
    "timm": "torch",
    "torch": "torch",
    "transformers": "export",
}
"""The extra that brings a module which is imported somewhere and not always installed."""


class MedicaneError(Exception):
    """Base of every error this package raises on purpose; the commands print it."""


class WrongUseError(MedicaneError):
    """What was asked for is not there or cannot be meant; any other error is of a failed run."""


class SceneError(MedicaneError, ValueError):
    """Satellite input cannot be read, or does not fit what a model expects."""


class NoFrameError(SceneError):
    """The scene has frames, and none in the time range asked for."""


class SceneWarning(UserWarning):
    """Part of the satellite input was left out; the message names the file, the time and why."""


class UnjudgedWarning(SceneWarning):
    """Much of what was asked for is not judged, whatever is there; the message tells the share."""


class MissingInputError(WrongUseError, SceneError):
    """There is no scene, table, clip store or other file of the name that was given."""


class ConfigurationError(WrongUseError, ValueError):
    """A setting is unknown, impossible or contradicts another one."""


class CheckpointError(MedicaneError, ValueError):
    """Weights cannot be read, or do not fit the model they are loaded into."""


class MissingModelError(WrongUseError, CheckpointError):
    """There is no model of the name that was given."""


class MissingFileError(MissingModelError):
    """A model's folder or repository is there, the file in it is not."""


class OutputError(MedicaneError, OSError):
    """A file cannot be written."""


class WorkerError(MedicaneError):
    """Processes that judge for another one keep dying."""


class MissingExtraError(MedicaneError, ImportError):
    """An optional dependency is not installed."""


def exit_code(error: Exception) -> int:
    """What a command that ended in an error leaves with: 2 for wrong use, 1 for a failed run."""
    return 2 if isinstance(error, WrongUseError) else 1


def shown(value: Any) -> str:
    """A value as a sentence shows it, however long it is."""
    shortening = Repr()
    shortening.maxstring = shortening.maxother = 60
    text = shortening.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional ``module``; if it is absent, say which ``extra`` brings it.

    Raises:
        MissingExtraError: with the exact ``pip install`` line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if _top_level(error.name) != _top_level(module):
            raise
        raise _missing(module, extra) from None


@contextmanager
def naming_extras(program: str = "torch") -> Iterator[None]:
    """Say which extra brings an optional module that an import in the body did not find.

    Args:
        program: the extra to name for torch and timm: "train" and "export" bring them too, with
            all else that those programs need.

    Raises:
        MissingExtraError: with the exact ``pip install`` line.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = _top_level(error.name)
        if module not in EXTRAS:
            raise
        extra = EXTRAS[module]
        raise _missing(module, program if extra == "torch" else extra) from None


def _top_level(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _missing(module: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f'{module} is not installed; run: pip install "medicane-models[{extra}]"'
    )
