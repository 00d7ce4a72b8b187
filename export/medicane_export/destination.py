"""The folder an export goes to: whole files, other people's left alone, failures kept apart."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medicane_models.errors import ConfigurationError, MedicaneError, OutputError
from medicane_models.files import json_text, replacing
from medicane_models.network.configuration import CONFIG_NAME, MedicaneConfig

__all__ = [
    "PARITY_FILE",
    "README",
    "REFUSED",
    "check_folder",
    "move_all",
    "present_files",
    "publish",
    "record",
    "staging",
    "write_readme",
]

PARITY_FILE = "parity.json"
README = "README.md"
REFUSED = "refused"
MARK = "<!-- medicane-export -->"


def check_folder(out: Path, config: MedicaneConfig) -> None:
    """Refuse a folder that holds anything but this model.

    Raises:
        ConfigurationError: naming what is there.
    """
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; give a folder with --out")
    present = present_files(out)
    if not present:
        return
    try:
        same = MedicaneConfig.from_pretrained(out) == config
    except MedicaneError:
        same = False
    if not same:
        raise ConfigurationError(
            f"{out} holds {present[0].name}, which is not of this model; give an empty or a new "
            "folder with --out"
        )


def present_files(out: Path) -> list[Path]:
    """What a folder holds, but for hidden files and refused exports."""
    return [path for path in out.glob("[!.]*") if path.name != REFUSED]


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A folder inside ``out`` for files that are not verified yet; gone at the end.

    Raises:
        OutputError: if nothing can be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror or error}); choose another folder"
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish(path: Path, out: Path, *, accepted: bool) -> str:
    """Move a staged file to its place, beside the accepted ones or below REFUSED.

    Returns:
        Its path relative to ``out``.
    """
    place = out if accepted else out / REFUSED
    place.mkdir(exist_ok=True)
    for part in (path.with_name(f"{path.name}.data"), path):  # data first: no file without its own
        if part.exists():
            part.replace(place / part.name)
    return str((place / path.name).relative_to(out))


def move_all(work: Path, place: Path) -> None:
    """Move all staged files; the configuration first, which says whose folder it is."""
    place.mkdir(exist_ok=True)
    for path in sorted(work.iterdir(), key=lambda path: path.name != CONFIG_NAME):
        path.replace(place / path.name)


def record(out: Path, about: Mapping[str, Any], variants: Mapping[str, Any]) -> None:
    """Add variants to ``parity.json``, which keeps what earlier exports wrote there."""
    path = out / PARITY_FILE
    known = json.loads(path.read_text("utf-8")).get("variants", {}) if path.is_file() else {}
    document = {**about, "variants": known | dict(variants)}
    with replacing(path) as temporary:
        temporary.write_text(json_text(document) + "\n", "utf-8")


def write_readme(out: Path, text: str) -> None:
    """Write ``README.md`` unless someone else did."""
    path = out / README
    if path.exists() and MARK not in path.read_text("utf-8"):
        return
    own = text.replace(MARK, "").rstrip()
    with replacing(path) as temporary:
        temporary.write_text(f"{own}\n\n{MARK}\n", "utf-8")
