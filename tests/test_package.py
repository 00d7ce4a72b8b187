import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import medicane_models

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "xarray", "pandas", "scipy", "timm", "pyproj", "matplotlib", "satpy"}
PUBLIC = [
    "MEDITERRANEAN",
    "AutoMedicaneModel",
    "Grid",
    "MedicaneConfig",
    "MedicaneForPreTraining",
    "MedicaneForTracking",
    "MedicaneForVideoClassification",
    "MedicanePredictor",
    "MedicaneProcessor",
    "OnnxPredictor",
    "open_scene",
]


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_public_names_are_listed_and_there():
    assert sorted(medicane_models.__all__) == sorted(PUBLIC)
    assert all(getattr(medicane_models, name) is not None for name in PUBLIC)


@pytest.mark.parametrize("statement", ["import medicane_models", "import medicane_models.cli"])
def test_importing_is_light(statement):
    assert not modules_after(statement) & HEAVY


@pytest.mark.parametrize(
    "module",
    [
        "prediction.predictor",
        "prediction.products",
        "runtimes.onnx",
        "diagnosis.doctor",
        "diagnosis.inspection",
    ],
)
def test_what_onnx_users_need_does_not_load_torch(module):
    assert "torch" not in modules_after(f"import medicane_models.{module}")


def test_help_is_light():
    code = "from medicane_models.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    assert not modules_after(code) & HEAVY


def test_one_version_stands_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    changes = re.findall(r"^## (\d\S*) – ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    cited = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    assert (changes[0], cited) == (project["version"], [project["version"]])


def test_links_of_the_readme_lead_into_the_repository_where_it_is_shown_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (change,) = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.sub(change["pattern"], change["replacement"], readme)
    targets = re.findall(r"\]\(([^)]+)\)", shown)
    repository = project["project"]["urls"]["Changelog"].removesuffix("CHANGELOG.md")
    inside = [target for target in targets if target.startswith(repository)]
    assert len(inside) > 20
    assert all((ROOT / t.removeprefix(repository).partition("#")[0]).exists() for t in inside)
    assert all(target.startswith(("https://", "#")) for target in targets)
