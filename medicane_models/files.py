"""Files that are whole or absent, and JSON that every reader takes."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from medicane_models.errors import CheckpointError, OutputError

__all__ = [
    "json_text",
    "move_all",
    "parse_json",
    "read_json",
    "replacing",
    "staging",
    "to_plain",
    "write_json",
]


def json_text(value: Any) -> str:
    """Strict JSON of anything that `to_plain` takes."""
    return json.dumps(to_plain(value), indent=2, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `json_text` of a value, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json_text(value) + "\n", "utf-8")


def to_plain(value: Any) -> Any:
    """A value in the types that JSON has.

    Dataclasses become mappings, keys text, arrays and tuples lists, times ISO 8601 in UTC with Z,
    paths text, and what is not finite or no time None.
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        is_time = str(value.dtype).startswith("datetime64")
        return to_plain((value.astype("datetime64[s]") if is_time else value).tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, datetime) and value == value:  # pandas' NaT is one and equals nothing
        utc = value.astimezone(UTC) if value.tzinfo else value
        return utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Path):
        return str(value)
    missing = value != value or (isinstance(value, float) and math.isinf(value))
    return None if missing else value


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, of the same suffix; rename it when all went well.

    A full disk or a killed process leaves the former file as it was. Missing folders are made.

    Raises:
        OutputError: if the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path} cannot be written ({reason}); free space there or choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A folder inside ``out`` for files that are not whole or verified yet; gone at the end.

    Raises:
        OutputError: if nothing can be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".staging-", dir=out))
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def move_all(work: Path, place: Path, *, first: str) -> None:
    """Move all staged files; first the one of that name, which says whose folder it is."""
    place.mkdir(exist_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name != first):
        path.replace(place / path.name)


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        CheckpointError: it is not JSON.
    """
    return parse_json(path.read_bytes(), path)


def parse_json(text: bytes, path: Path) -> Any:
    """JSON that was read from a file; errors as :func:`read_json`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy it again") from error
