"""The rooms of the house: what may import what, and that the plan of them is true."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "medicane_models": ROOT / "medicane_models",
    "medicane_training": ROOT / "training" / "medicane_training",
    "medicane_export": ROOT / "export" / "medicane_export",
}
SHARED_NAMES = {"app", "cli", "main", "interface", "choice"}
"""What each program or room has of its own under the name that everyone expects."""


def module_name(path: Path) -> str:
    package, folder = next(item for item in PACKAGES.items() if item[1] in path.parents)
    parts = [package, *path.relative_to(folder).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


SOURCES = {
    module_name(path): ast.parse(path.read_text("utf-8"))
    for folder in PACKAGES.values()
    for path in sorted(folder.rglob("*.py"))
}


def imported(tree: ast.Module) -> Iterator[str]:
    """Our own modules that a module imports anywhere, also only for its types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name and name not in SOURCES:
                name = name.rpartition(".")[0]
            if name:
                yield name


MODULES = {name: set(imported(tree)) - {name} for name, tree in SOURCES.items()}


def room(module: str) -> str:
    """The folder a module lies in; modules at the top are rooms of their own."""
    parts = module.split(".")
    return ".".join(parts[:2])


def without_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' ← '.join(error.args[1])}")


def test_no_module_imports_itself_through_others():
    without_circle(MODULES)


def test_no_room_imports_itself_through_others():
    rooms = defaultdict(set)
    for module, others in MODULES.items():
        rooms[room(module)] |= {room(other) for other in others} - {room(module)}
    for package in PACKAGES:  # a bare package imports nothing and stands for no room
        rooms.pop(package, None)
    without_circle(rooms)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_towards_medicane_models_only(package):
    used = {
        other.partition(".")[0]
        for module, others in MODULES.items()
        if module.partition(".")[0] == package
        for other in others
    }
    assert used <= {package, "medicane_models"}


def private_names_reached_for(tree: ast.Module) -> Iterator[str]:
    """Names with an underscore that a module takes from another one of ours."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            own |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in own:
                if re.match(r"_(?!_)", name):
                    yield f"{owner}.{name}"


def test_no_module_reaches_for_private_names_of_another():
    reached = {module: list(private_names_reached_for(tree)) for module, tree in SOURCES.items()}
    assert not {module: names for module, names in reached.items() if names}


def public_names() -> dict[str, list[str]]:
    """Where each module, class, function or type is called so."""
    places = defaultdict(list)
    for module, tree in SOURCES.items():
        if not any(other.startswith(f"{module}.") for other in SOURCES):  # a room is no module
            places[module.rpartition(".")[2]].append(module)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                places[node.name].append(f"{module}.{node.name}")
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if re.match(r"[A-Z][a-z]", name):  # a type
                    places[name].append(f"{module}.{name}")
    return {name: where for name, where in places.items() if not name.startswith("_")}


def is_command(place: str) -> bool:
    return ".cli." in place


def test_one_name_means_one_thing():
    doubled = {
        name: meant
        for name, where in public_names().items()
        if len(meant := [place for place in where if not is_command(place)]) > 1
    }
    assert not {name: doubled[name] for name in doubled.keys() - SHARED_NAMES}


PLAN = ROOT / "ARCHITECTURE.md"
FILE_NAME = re.compile(r"`([\w./-]+(?:/|\.(?:py|md|toml|json|csv|npz)))`")


def test_the_plan_names_what_is_there():
    named = FILE_NAME.findall(PLAN.read_text("utf-8"))
    bases = (ROOT, *PACKAGES.values())
    assert len(named) > 30
    assert not [name for name in named if not any((base / name).exists() for base in bases)]


def test_the_plan_names_every_room():
    named = set(FILE_NAME.findall(PLAN.read_text("utf-8")))
    rooms = {
        f"{path.parent.name}/"
        for folder in PACKAGES.values()
        for path in folder.glob("*/__init__.py")
    }
    assert rooms <= {name.split("/")[-2] + "/" for name in named if name.endswith("/")}
