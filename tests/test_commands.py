"""The three programs side by side: the same need, the same option, the same exit code."""

import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, get_args

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

from medicane_export import cli as export
from medicane_models import cli as models
from medicane_models import errors
from medicane_models.choices import DeviceName, OnnxDevice
from medicane_models.commands import run_program
from medicane_training import cli as training

PROGRAMS = {"medicane": models, "medicane-train": training, "medicane-export": export}

FLOWS = {f"medicane-train {flow}" for flow in ("specialize", "classify", "track")}
NAMES_A_MODEL = FLOWS | {
    "medicane predict", "medicane demo", "medicane convert", "medicane inspect",
    "medicane push",
    "medicane-train data build",
    "medicane-export onnx", "medicane-export safetensors", "medicane-export transformers",
}  # fmt: skip
REPLACES = {
    "medicane predict", "medicane demo", "medicane simulate", "medicane evaluate",
    "medicane convert",
    "medicane-export onnx", "medicane-export safetensors", "medicane-export transformers",
}  # fmt: skip
CONTINUES = FLOWS | {
    "medicane-train data build", "medicane-train data simulate", "medicane-train data download",
}  # fmt: skip
RUNS_A_MODEL = FLOWS | {"medicane predict", "medicane demo"}
COMPARES_ON_THE_CPU = {"medicane-export onnx", "medicane-export transformers"}
DRAWS = RUNS_A_MODEL - {"medicane predict"} | COMPARES_ON_THE_CPU | {
    "medicane simulate", "medicane evaluate", "medicane convert", "medicane-train data build",
    "medicane-train data simulate",
}  # fmt: skip
OPENS_SCENES = {"medicane predict", "medicane inspect", "medicane-train data build"}
REQUIRED = inspect.Parameter.empty
SHARED = {
    "--out": REQUIRED,
    "--overwrite": False,
    "--revision": None,
    "--tracker-revision": None,
    "--json": False,
    "--device": "auto",
    "--threads": None,
    "--seed": 0,
    "--start": None,
    "--end": None,
    "--domain": "model",
    "--extent": None,
    "--model": "auto",
    "--tracker": "auto",
    "--plot": None,
    "--reader": None,
}
"""What all programs mean by these names, and what they take where nothing is given."""

OWN_DEFAULTS = {
    ("medicane simulate", "--start"): "2021-10-01",
    ("medicane-train data download", "--start"): REQUIRED,
    ("medicane-train data download", "--end"): REQUIRED,
    **{(flow, "--out"): None for flow in FLOWS},  # a dry run needs none
    ("medicane evaluate", "--out"): None,  # the report is printed
    **{(flow, "--device"): None for flow in FLOWS},  # the recipe's
    **{(flow, "--seed"): None for flow in FLOWS},
}


class Option(NamedTuple):
    kind: Any
    declared: OptionInfo
    default: Any


def commands_of(app, program):
    for command in app.registered_commands:
        yield f"{program} {command.name or command.callback.__name__}", command.callback
    for group in app.registered_groups:
        yield from commands_of(group.typer_instance, f"{program} {group.name}")


def options_of(function):
    """By name: type, what is declared of it, and default."""
    for name, parameter in inspect.signature(function).parameters.items():
        kind, declared = get_args(parameter.annotation)
        if isinstance(declared, OptionInfo):
            option, *_ = (*declared.param_decls, f"--{name.replace('_', '-')}")
            yield option.partition("/")[0], Option(kind, declared, parameter.default)


COMMANDS = {
    name: dict(options_of(function))
    for program, module in PROGRAMS.items()
    for name, function in commands_of(module.app, program)
}


def having(option):
    return {name for name, options in COMMANDS.items() if option in options}


def values(kind):
    """A type, or the words of a Literal, without None."""
    words = [word for part in get_args(kind) or (kind,) for word in get_args(part) or (part,)]
    return tuple(word for word in words if word is not NoneType)


@pytest.mark.parametrize("option", SHARED)
def test_an_option_has_one_declaration_and_one_default_wherever_it_is(option):
    found = {name: COMMANDS[name][option] for name in having(option)}
    assert found
    assert len({id(given.declared) for given in found.values()}) == 1
    for name, given in found.items():
        assert given.default == OWN_DEFAULTS.get((name, option), SHARED[option])


@pytest.mark.parametrize("option", SHARED)
def test_an_option_has_one_type_wherever_it_is(option):
    kinds = {values(COMMANDS[name][option].kind) for name in having(option)}
    devices = {get_args(DeviceName), get_args(OnnxDevice)}  # tensorrt is for exported models alone
    assert kinds == devices if option == "--device" else len(kinds) == 1


@pytest.mark.parametrize(
    ("option", "commands"),
    [
        ("--revision", NAMES_A_MODEL),
        ("--json", set(COMMANDS)),
        ("--out", REPLACES | CONTINUES),
        ("--overwrite", REPLACES),
        ("--device", RUNS_A_MODEL),
        ("--threads", RUNS_A_MODEL | COMPARES_ON_THE_CPU),
        ("--seed", DRAWS),
        ("--extent", OPENS_SCENES),
        ("--tracker-revision", having("--tracker")),
        ("--reader", OPENS_SCENES),
    ],
)
def test_every_command_that_needs_an_option_has_it_and_no_other(option, commands):
    assert having(option) == commands


@pytest.mark.parametrize("option", ["--start", "--end"])
def test_times_say_what_a_date_alone_means(option):
    for name in having(option):
        assert "a date alone is its 00:00" in COMMANDS[name][option].declared.help


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_version_is_told(program):
    result = CliRunner().invoke(PROGRAMS[program].app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"{program} {version('medicane-models')}\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_source_tree_tells_that_it_has_no_version(program, in_a_source_tree):
    result = CliRunner().invoke(PROGRAMS[program].app, ["--version"])
    told = f"{program} of a source tree, not installed\n"
    assert (result.exit_code, result.output) == (0, told)


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "medicane_models", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("medicane ")


MISTYPED = {
    "medicane predict no.nc --out o": "no.nc does not exist",
    "medicane predict . --out o --model no": "no is not a folder",
    "medicane predict . --out o --model no/model.onnx": "no/model.onnx is not a folder",
    "medicane predict . --out o --tracker no": "no is not a folder",
    "medicane predict . --out file": "file is a file",
    "medicane demo --out /dev/null": "/dev/null is a file",
    "medicane predict . --out o --domain 1,2": "WEST,SOUTH,EAST,NORTH",
    "medicane predict . --out o --extent 1,2": "extent '1,2' is not WEST,SOUTH,EAST,NORTH",
    "medicane predict . --out o --formats pdf": "pdf; choose from csv",
    "medicane predict . --out o --reader ahi_hds": "such as ahi_hsd",
    "medicane predict . --out o --start someday": "'someday' is no time",
    "medicane predict . --out o --end someday": "'someday' is no time",
    "medicane demo --out o --model no": "no is not a folder",
    "medicane simulate --out o.zar --hours 1": "does not end in .zarr",
    "medicane simulate --out o.zarr": "--hours",
    "medicane simulate --out there.zarr --hours 1": "there.zarr exists",
    "medicane evaluate no.csv file": "no.csv does not exist",
    "medicane evaluate file no.csv": "no.csv does not exist",
    "medicane convert no.pth --out o": "no.pth is not a folder",
    "medicane convert file --out o --set num_head=3": "num_head",
    "medicane convert file --out model": "config.json exists",
    "medicane inspect no": "no is not a folder",
    "medicane inspect model --extent 1,2,3,4": "model is no scene",
    "medicane push no me/model": "no is not a folder",
    "medicane push . me/model": "holds no config.json",
    "medicane-train data build no.nc --out o": "no.nc does not exist",
    "medicane-train data build . --out o --tracks no.csv": "no.csv does not exist",
    "medicane-train data build . --out o --processor no": "no is not a folder",
    "medicane-train data build . --out o --reader seviri_hrit": "seviri_l1b_hrit",
    "medicane-train data build . --out o --domain 1,2": "WEST,SOUTH,EAST,NORTH",
    "medicane-train data build . --out o --extent 1,9,2,3": "south below",
    "medicane-train data check no.zarr": "no.zarr does not exist",
    "medicane-train data download --out o --start x --end 2020-01-01": "'x' is no time",
    "medicane-train classify --data . --out o --recipe no": "classify has no recipe no",
    "medicane-train classify --data . --out o --config no.yaml": "no.yaml cannot be read",
    "medicane-train classify --data . --out o --set training.epoch=3": "training.epoch",
    "medicane-train classify --data no.zarr --out o": "no.zarr does not exist",
    "medicane-train classify --data model --out o": "model is no clip store",
    "medicane-train classify --data store --out o --init no": "no is not a folder",
    "medicane-train classify --data store": "--out",
    "medicane-train classify --data store --out file": "file is a file",
    "medicane-train classify --data store --out o --resume no": "no does not exist",
    "medicane-export onnx no --out o": "no is not a folder",
    "medicane-export onnx medicane-tiny-detector --out o --precision fp8": "'fp8'",
    "medicane-export onnx medicane-tiny-detector --out o --clips no.nc": "no.nc does not exist",
    "medicane-export onnx medicane-tiny-detector --out o --calibrate no.nc": "does not exist",
    "medicane-export onnx medicane-tiny-detector --out model": "model.onnx exists",
    "medicane-export safetensors no --out o": "no is not a folder",
    "medicane-export safetensors medicane-tiny-detector --out model": "model.safetensors exists",
    "medicane-export transformers medicane-tiny-detector --out model": "exists",
}  # fmt: skip
"""Command lines with one mistake each, and what is said of it."""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place in ("there.zarr", "model", "store"):
        (tmp_path / place).mkdir()
    for name in ("config.json", "model.onnx", "model.safetensors"):
        (tmp_path / "model" / name).touch()
    (tmp_path / "store" / "frames.parquet").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("line", MISTYPED)
def test_a_mistake_is_one_sentence_and_exit_code_2(line, workplace, monkeypatch, capsys):
    program, *arguments = line.split()
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr("warnings.showwarning", print)
    with pytest.raises(SystemExit) as stop:
        PROGRAMS[program].main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert MISTYPED[line] in err
    assert err.startswith("Error: ")
    assert len(err.strip().splitlines()) == 1


LIGHTLY = """
import sys
from medicane_export import cli as export
from medicane_models import cli as models
from medicane_models import errors
from medicane_training import cli as training
programs = {"medicane": models, "medicane-train": training, "medicane-export": export}
for line in sys.stdin.read().splitlines():
    program, *sys.argv[1:] = line.split()
    sys.argv[0] = program
    try:
        programs[program].main()
    except SystemExit:
        pass
    for name in HEAVY & set(sys.modules):
        sys.exit(f"{line} imports {name}")
"""


def test_mistakes_are_found_before_anything_heavy_is_imported(workplace):
    code = LIGHTLY.replace("HEAVY", repr({"torch", "timm"}))
    command, lines = [sys.executable, "-c", code], "\n".join(MISTYPED)
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ConfigurationError", 2),
        ("MissingInputError", 2),
        ("MissingModelError", 2),
        ("MissingFileError", 2),
        ("SceneError", 1),
        ("CheckpointError", 1),
        ("OutputError", 1),
        ("MissingExtraError", 1),
    ],
)
def test_wrong_use_exits_with_2_and_a_failed_run_with_1(name, code, monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def fail():
        raise getattr(errors, name)("a sentence")

    monkeypatch.setattr("warnings.showwarning", print)
    monkeypatch.setattr(sys, "argv", ["fail"])
    with pytest.raises(SystemExit) as stop:
        run_program(app, "medicane_models")
    assert stop.value.code == code
    assert capsys.readouterr().err == "Error: a sentence\n"


@pytest.mark.parametrize(
    "line",
    [
        "medicane inspect damaged",
        "medicane evaluate file file",
        "medicane-train data check damaged",
        "medicane-export onnx damaged --out o",
        "medicane-export safetensors damaged --out o",
    ],
)
def test_what_is_there_and_damaged_is_a_failed_run(line, workplace, monkeypatch, capsys):
    Path("damaged").mkdir()
    for name in ("config.json", "frames.parquet"):
        Path("damaged", name).write_text("{")
    program, *arguments = line.split()
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr("warnings.showwarning", print)
    with pytest.raises(SystemExit) as stop:
        PROGRAMS[program].main()
    assert stop.value.code == 1
    assert "Error: " in capsys.readouterr().err


def test_a_full_disk_is_a_failed_run():
    assert errors.exit_code(OSError(28, "No space left on device")) == 1
