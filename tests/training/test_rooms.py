import re
from pathlib import Path

import pytest

import medicane_training

PACKAGE = Path(medicane_training.__path__[0])
ROOMS = [
    "interrupts", "store", "recipes", "ranks", "clips", "scores", "engines", "flows", "run", "cli",
]  # fmt: skip
"""Folders and single modules of the package, from the lowest."""


def imported(path: Path) -> set[str]:
    """Where a module imports from, at its top or in a function."""
    return set(re.findall(r"^\s*from medicane_training\.(\w+)", path.read_text(), re.MULTILINE))


def test_every_room_has_its_place():
    there = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert {name.removesuffix(".py") for name in there} == {*ROOMS, "__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_itself_and_those_below(room):
    files = [*(PACKAGE / room).glob("*.py"), *PACKAGE.glob(f"{room}.py")]
    found = set().union(*map(imported, files))
    assert found <= set(ROOMS[: ROOMS.index(room) + 1])
