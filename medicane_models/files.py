"""Files that are whole or absent, and JSON that every reader takes."""

import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from medicane_models.errors import CheckpointError, ConfigurationError, OutputError

__all__ = [
    "MOST_BYTES",
    "alone_in",
    "as_os_error",
    "clear_left_overs",
    "json_text",
    "locked",
    "making",
    "move_all",
    "output_errors",
    "parse_json",
    "read_bytes",
    "read_json",
    "remove",
    "replacing",
    "require_regular",
    "staging",
    "to_plain",
    "write_json",
]


MOST_BYTES = 1 << 29  # of a file that is read as a whole
MACHINE = re.sub(r"[^\w-]", "-", platform.node()) or "unknown"
LEFT_OVER = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[\w-]+)\.(?P<process>\d+)\.(?P<kind>part|former)(?P<suffix>(\.[^.]*)?)"
)
"""Names of what is not whole yet: whose it is stands in them."""


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

    What is made there may be a file or a folder. A full disk or a killed process leaves the former
    one as it was. Missing folders are made.

    Raises:
        OutputError: if it cannot be written.
    """
    temporary = _beside(path, "part")
    try:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            clear_left_overs(path.parent)
            remove(temporary)
            yield temporary
            _take_place(temporary, path)
    finally:
        remove(temporary)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Tell of an OSError as what keeps a file or folder from being written.

    Raises:
        OutputError: if it cannot be.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path} cannot be written ({reason}); free space there or choose another folder"
        ) from error


@contextmanager
def as_os_error(kind: type[Exception], saying: str = "") -> Iterator[None]:
    """What a library raises where it cannot write, as the OSError that `replacing` tells of.

    Args:
        kind: of its errors.
        saying: a regular expression, where errors of that kind tell of other things, too.
    """
    try:
        yield
    except kind as error:
        if not re.search(saying, str(error)):
            raise
        raise OSError(str(error)) from error


@contextmanager
def staging(out: Path, *, alone: bool = True) -> Iterator[Path]:
    """A hidden folder inside ``out`` for files that are not whole or verified yet; gone at the end.

    Folders that had to be made for it go too, unless they are used.

    Args:
        out: the folder.
        alone: whether other processes are kept from staging there meanwhile.

    Raises:
        OutputError: if nothing can be written there.
        ConfigurationError: if it is a file, or another process writes there.
    """
    with ExitStack() as held:
        held.enter_context(alone_in(out) if alone else making(out))
        try:
            clear_left_overs(out)
            work = Path(tempfile.mkdtemp(prefix=".staging-", suffix=_mark("part"), dir=out))
        except OSError as error:
            raise _unwritable(out, error) from error
        try:
            yield work
        finally:
            remove(work)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep other processes from writing into a folder, made if absent and gone again if unused.

    Raises:
        OutputError: if nothing can be written there.
        ConfigurationError: if it is a file, or another process writes there.
    """
    busy = f"another process writes into {out}; wait for it, or choose another folder"
    with making(out), locked(out / ".lock", busy):
        yield


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Make a folder and all above it; those that had to be made go again, unless they are used.

    Raises:
        ConfigurationError: if it is a file.
        OutputError: if it cannot be made.
    """
    made: list[Path] = []
    try:
        try:
            made += [each for each in (folder, *folder.parents) if not each.exists()]
            if not made and not folder.is_dir():
                raise ConfigurationError(f"{folder} is a file; choose another folder")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield
    finally:
        with suppress(OSError):
            for each in made:
                each.rmdir()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or error
    return OutputError(f"{folder} cannot be written ({reason}); choose another folder")


@contextmanager
def locked(lock: Path, busy: str) -> Iterator[None]:
    """Keep other processes out; the lock of a killed process is gone with it.

    Args:
        lock: a file for it, in a folder that is there; it is there as long as the lock is held.
        busy: what to say to the others.

    Raises:
        ConfigurationError: if another process has it.
        OutputError: if the file cannot be made.
    """
    from filelock import FileLock, Timeout  # it brings asyncio, which few commands need

    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise ConfigurationError(busy) from None
    except OSError as error:
        raise _unwritable(lock.parent, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # first, so that none is removed that another process has
        held.release()


@lru_cache(maxsize=1024)  # once for each folder that a process writes to
def clear_left_overs(folder: Path) -> None:
    """Remove what killed processes of this machine have left half written in a folder.

    Their names tell machine and process; what is of a living process or another machine stays. A
    folder or file whose replacement was cut off between two renames gets its name back.
    """
    for path in folder.glob(".*"):
        left = LEFT_OVER.fullmatch(path.name)
        if left is None or left["machine"] != MACHINE or _is_alive(int(left["process"])):
            continue
        final = path.with_name(left["name"] + left["suffix"])
        if left["kind"] == "former" and not final.exists():
            path.rename(final)
        else:
            remove(path)


def _mark(kind: str) -> str:
    return f".{MACHINE}.{os.getpid()}.{kind}"


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.stem}{_mark(kind)}{path.suffix}")


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _take_place(temporary: Path, path: Path) -> None:
    """Rename; a folder takes the place of a folder in two steps, for which there is no one call."""
    if not (temporary.is_dir() and path.is_dir()):
        temporary.replace(path)
        return
    former = _beside(path, "former")
    path.rename(former)
    temporary.rename(path)
    remove(former)


def remove(path: Path) -> None:
    """Remove a file or folder, if there is one and it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def move_all(work: Path, place: Path, *, first: str) -> None:
    """Move all staged files; first the one of that name, which says whose folder it is."""
    place.mkdir(exist_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name != first):
        path.replace(place / path.name)


def require_regular(path: Path) -> None:
    """Refuse pipes and devices, which may never end, and folders.

    Raises:
        OSError: it is no regular file, or not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is a pipe, a device or a folder; give a file")


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """All of a file that is not too large for it.

    Raises:
        OSError: it cannot be read, is no regular file, or larger than ``most``.
    """
    require_regular(path)
    with path.open("rb") as file:
        content = file.read(min(path.stat().st_size, most) + 1)
    if len(content) > most:
        raise OSError(f"it has more than {most:,} bytes")
    return content


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        CheckpointError: it is not JSON, or cannot be read.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror or error}); copy it again"
        ) from error
    return parse_json(content, path)


def parse_json(text: bytes, path: Path) -> Any:
    """JSON that was read from a file; errors as :func:`read_json`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy it again") from error
