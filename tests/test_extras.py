"""What is not installed is told in one line, and what does not need it works."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from absent import run_without
from documents import READ
from onnx_files import cold_scene, write_onnx
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import medicane_models
from medicane_models import errors

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("medicane_models", "training/medicane_training", "export/medicane_export")
BROUGHT_BY_ANOTHER = {"numcodecs": "zarr", "onnx_ir": "onnxscript"}
DISTRIBUTIONS = packages_distributions()


def brought(extra: str) -> set[str]:
    """Distributions that an extra brings, those of the extras that it names included."""
    found = set()
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            found = found.union(*map(brought, requirement.extras))
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def distributions(module: str) -> set[str]:
    top = module.partition(".")[0]
    top = BROUGHT_BY_ANOTHER.get(top, top)
    return {canonicalize_name(name) for name in DISTRIBUTIONS.get(top, [top])}


def nodes(kind: type[ast.AST]):
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield from (
                node for node in ast.walk(ast.parse(path.read_text())) if type(node) is kind
            )


def imported() -> set[str]:
    names = {alias.name.partition(".")[0] for node in nodes(ast.Import) for alias in node.names}
    names |= {node.module.partition(".")[0] for node in nodes(ast.ImportFrom) if not node.level}
    own = {Path(package).name for package in PACKAGES}
    return names - own - sys.stdlib_module_names


def required() -> set[tuple[str, str]]:
    calls = [node for node in nodes(ast.Call) if ast.unparse(node.func) == "require"]
    constants = [[arg.value for arg in call.args if type(arg) is ast.Constant] for call in calls]
    return {tuple(given) for given in constants if len(given) == 2}


def test_every_import_is_a_dependency_or_has_an_extra():
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    named = imported() | ({module for module, _ in required()} & set(errors.EXTRAS))
    optional = {module for module in named if not distributions(module) & core}
    assert optional == set(errors.EXTRAS)


@pytest.mark.parametrize(("module", "extra"), sorted(required() | set(errors.EXTRAS.items())))
def test_the_extra_that_is_named_brings_the_module(module, extra):
    assert distributions(module) & brought(extra)


@pytest.mark.parametrize("program", ["train", "export"])
def test_what_trains_and_exports_brings_torch(program):
    assert brought("torch") == {"torch", "timm"}
    assert brought("torch") < brought(program)


LINES = """
import contextlib, io, json, sys
from medicane_export import cli as export
from medicane_models import cli as models
from medicane_training import cli as training
programs = {"medicane": models, "medicane-train": training, "medicane-export": export}
for line in sys.stdin.read().splitlines():
    sys.argv = line.split()
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            programs[sys.argv[0]].main()
        except SystemExit as left:
            code = left.code or 0
        except BaseException as error:
            code = repr(error)
    print(json.dumps([code, told.getvalue()]), flush=True)
"""

RAW = "MSG3-SEVI-MSG15-0100-NA-20200917121241.000000000Z-NA.nat"
NEEDS = {
    ("torch", "timm"): {
        "medicane predict scene.nc --out o --model medicane-tiny-detector": "torch",
        "medicane predict scene.nc --out o --runtime torch": "torch",
        "medicane demo --out o --model medicane-tiny-detector --threads 1": "torch",
        "medicane convert file.pth --out o": "torch",
        "medicane-train specialize --data store --out o": "train",
        "medicane-train classify --data store --dry-run": "train",
        "medicane-train track --data store --out o": "train",
        "medicane-export onnx medicane-tiny-detector --out o": "export",
        "medicane-export safetensors medicane-tiny-detector --out o": "export",
        "medicane-export transformers medicane-tiny-detector --out o": "export",
    },
    ("timm",): {
        "medicane predict scene.nc --out o": "torch",
        "medicane-train classify --data store --dry-run": "train",
        "medicane-export onnx medicane-tiny-detector --out o": "export",
    },
    ("onnxruntime",): {
        "medicane predict scene.nc --out o --model exported/model.onnx --tracker none": "onnx",
        "medicane predict scene.nc --out o --model exported": "onnx",
        "medicane demo --out o --model exported --runtime onnx": "onnx",
        "medicane-export onnx medicane-tiny-detector --out o": "export",
    },
    ("onnx", "onnxscript", "transformers"): {
        "medicane-export onnx medicane-tiny-detector --out o": "export",
        "medicane-export transformers medicane-tiny-detector --out o": "export",
    },
    ("cattrs",): {"medicane-train classify --data store --out o": "train"},
    ("pyarrow",): {
        "medicane-train data check store": "train",
        "medicane-train classify --data store --out o": "train",
    },
    ("matplotlib",): {
        "medicane predict scene.nc --out o --plot": "plots",
        "medicane demo --out o --plot": "plots",
    },
    ("satpy",): {f"medicane predict {RAW} --out o --model exported": "satellite"},
    ("gcsfs",): {"medicane predict gs://bucket/2020.zarr --out o --model exported": "satellite"},
    ("eumdac",): {
        "medicane-train data download --source eumetsat --out o --start 2020-09-17 "
        "--end 2020-09-18": "satellite",
    },
}
"""Without which modules, which command lines name which extra."""

WORKS = (
    "medicane --help",
    "medicane predict --help",
    "medicane inspect medicane-tiny-detector",
    "medicane inspect exported/model.onnx",
    "medicane doctor --json",
    "medicane simulate --out simulated.zarr --hours 0.25",
    "medicane evaluate positions.csv positions.csv",
    "medicane predict scene.nc --out judged --model exported --tracker none",
    "medicane demo --out shown --hours 2 --no-report",
    "medicane-train --help",
    "medicane-train classify --help",
    "medicane-export --help",
    "medicane-export onnx --help",
)
"""What works with the core alone and, for predict, onnxruntime."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    write_onnx(folder / "exported" / "model.onnx", "classification")
    cold_scene().to_netcdf(folder / "scene.nc")
    for name in ("file.pth", RAW):
        (folder / name).touch()
    (folder / "store").mkdir()
    (folder / "store" / "frames.parquet").touch()
    row = "a,2020-09-17T0{hour}:00:00Z,37.0,18.0\n"
    rows = [row.format(hour=hour) for hour in range(4)]
    (folder / "positions.csv").write_text("track_id,time,lat,lon\n" + "".join(rows))
    return folder


@pytest.fixture
def told(workplace, monkeypatch):
    """A function that runs command lines where some modules are absent."""
    for name in ("EUMETSAT_CONSUMER_KEY", "EUMETSAT_CONSUMER_SECRET"):
        monkeypatch.setenv(name, "of nobody")

    def run(modules, lines) -> dict[str, tuple[int, str]]:
        done = run_without(modules, LINES, cwd=workplace, input="\n".join(lines))
        answers = map(json.loads, done.stdout.splitlines())
        return dict(zip(lines, answers, strict=True))

    return run


@pytest.mark.parametrize("modules", NEEDS, ids=",".join)
def test_what_is_absent_is_one_line_with_the_extra(modules, told):
    for line, (code, err) in told(modules, NEEDS[modules]).items():
        (error,) = [text for text in err.splitlines() if text.startswith("Error: ")]
        assert code == 1, line
        assert error.partition(" is not installed")[0].removeprefix("Error: ") in modules, line
        assert f'; run: pip install "medicane-models[{NEEDS[modules][line]}]"' in error, line


def test_without_torch_and_the_other_extras_the_rest_works(told):
    absent = {*errors.EXTRAS, "gcsfs", "ocf_blosc2", "pyarrow", "tensorboard"} - {"onnxruntime"}
    answers = told(sorted(absent), WORKS)
    for line, (code, err) in answers.items():
        assert code == 0, f"{line}: {err}"
    (judged,) = [err for line, (_, err) in answers.items() if "--out judged" in line]
    assert (
        'No maps: matplotlib is not installed; run: pip install "medicane-models[plots]"' in judged
    )


def test_public_names_are_there_or_name_the_extra():
    code = """
import json, medicane_models
told = {}
for name in medicane_models.__all__:
    try:
        getattr(medicane_models, name)
    except ImportError as error:
        told[name] = str(error)
print(json.dumps(told))
"""
    told = json.loads(run_without(["torch", "timm"], code).stdout)
    line = 'torch is not installed; run: pip install "medicane-models[torch]"'
    assert told == {
        name: line for name in medicane_models.__all__ if name.startswith(("Auto", "MedicaneFor"))
    }


def test_an_absent_module_of_others_is_not_explained():
    with pytest.raises(ModuleNotFoundError, match="no_such"), errors.naming_extras():
        import no_such  # noqa: F401


def lines_told() -> list[str]:
    """What stands in brackets after the package's name, in sources, pages and messages."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    texts = [path.read_text("utf-8") for path in [*files, *READ]]
    return [told for text in texts for told in re.findall(r"medicane-models\[([^\]{]+)\]", text)]


def test_every_line_that_installs_names_extras_that_there_are():
    told = {extra for line in lines_told() for extra in line.split(",")}
    assert {"onnx", "torch", "plots"} <= told
    assert told <= set(PROJECT["optional-dependencies"])
