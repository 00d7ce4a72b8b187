"""What goes wrong, in one sentence that names the file, the value and the remedy."""

import importlib
from types import ModuleType

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "MedicaneError",
    "MissingExtraError",
    "MissingFileError",
    "OutputError",
    "SceneError",
    "SceneWarning",
    "require",
]


class MedicaneError(Exception):
    """Base of every error this package raises on purpose; the commands print it and exit with 1."""


class SceneError(MedicaneError, ValueError):
    """Satellite input cannot be read, or does not fit what a model expects."""


class SceneWarning(UserWarning):
    """Part of the satellite input was left out; the message names the file, the time and why."""


class ConfigurationError(MedicaneError, ValueError):
    """A setting is unknown, impossible or contradicts another one."""


class CheckpointError(MedicaneError, ValueError):
    """Weights cannot be read, or do not fit the model they are loaded into."""


class MissingFileError(CheckpointError):
    """A model's folder or repository is there, the file in it is not."""


class OutputError(MedicaneError, OSError):
    """A file cannot be written."""


class MissingExtraError(MedicaneError, ImportError):
    """An optional dependency is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional ``module``; if it is absent, say which ``extra`` brings it.

    Raises:
        MissingExtraError: with the exact ``pip install`` line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f'{module} is not installed; run: pip install "medicane-models[{extra}]"'
        ) from None
