"""The folder an export goes to: whole files, other people's left alone, failures kept apart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicane_models.errors import ConfigurationError, MedicaneError
from medicane_models.fields import json_object
from medicane_models.files import json_text, replacing
from medicane_models.hub import local_folder
from medicane_models.network.configuration import MedicaneConfig

__all__ = [
    "PARITY_FILE",
    "README",
    "REFUSED",
    "check_destination",
    "check_not_itself",
    "present_files",
    "publish",
    "record",
    "write_readme",
]

PARITY_FILE = "parity.json"
README = "README.md"
REFUSED = "refused"
MARK = "<!-- medicane-export -->"


def check_destination(out: Path, config: MedicaneConfig) -> None:
    """Refuse a folder that holds anything but this model.

    Raises:
        ConfigurationError: naming what is there.
    """
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


def check_not_itself(name: str, out: Path) -> None:
    """Refuse to write over the weights that are read, perhaps in a smaller type.

    Raises:
        ConfigurationError: the folder is the model's own.
    """
    folder = local_folder(name)
    if folder is not None and out.resolve() == folder.resolve():
        raise ConfigurationError(f"{out} is the model itself; give another folder with --out")


def present_files(out: Path) -> list[Path]:
    """What a folder holds, but for hidden files and refused exports."""
    return [path for path in out.glob("[!.]*") if path.name != REFUSED]


def publish(path: Path, out: Path, *, accepted: bool) -> str:
    """Move a staged file to its place, beside the accepted ones or below REFUSED.

    Returns:
        Its path relative to ``out``.
    """
    place = out if accepted else out / REFUSED
    place.mkdir(exist_ok=True)
    data = path.with_name(f"{path.name}.data")
    replaced = place / data.name
    if has_data := data.exists():
        data.replace(replaced)  # first: no file without its own
    path.replace(place / path.name)
    if not has_data:
        replaced.unlink(missing_ok=True)
    return str((place / path.name).relative_to(out))


def record(out: Path, about: Mapping[str, Any], variants: Mapping[str, Any]) -> None:
    """Add variants to ``parity.json``, which keeps what earlier exports wrote there."""
    path = out / PARITY_FILE
    known = json_object(path).get("variants", {}) if path.is_file() else {}
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
