"""Two commands that write to one place at once: one has it, the other is refused in a sentence."""

import subprocess
import sys
from collections import Counter

import pytest
from clip_stores import small_store
from documented_files import write_haiyan
from safetensors.torch import save_file
from toy_runs import toy_recipe, toy_run
from typer.testing import CliRunner

from medicane_export.cli import app as export
from medicane_models import MedicaneConfig, MedicaneForVideoClassification
from medicane_models.cli import app as models
from medicane_models.errors import ConfigurationError
from medicane_models.files import alone_in, locked
from medicane_models.prediction.follow import following_alone
from medicane_training.cli import app as training
from medicane_training.store.clip_store import ClipStore

SIZES = {"embed_dim": 24, "depth": 1, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 32}
LINES = {
    "predict haiyan --no-plot": models,
    "predict haiyan --once --no-plot": models,
    "demo": models,
    "evaluate haiyan/ibtracs.WP.list.v04r01.csv haiyan/ibtracs.WP.list.v04r01.csv": models,
    "convert w.safetensors --set num_heads=3 --set image_size=32": models,
    "data build haiyan --processor planes": training,
    "data simulate --storms 1 --calm 0": training,
    "onnx medicane-tiny-detector": export,
    "safetensors medicane-tiny-detector": export,
    "transformers medicane-tiny-detector": export,
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    (folder / "haiyan").mkdir()
    write_haiyan(folder / "haiyan")
    model = MedicaneForVideoClassification(MedicaneConfig(**SIZES))
    save_file(model.state_dict(), folder / "w.safetensors")
    return folder


def refusal(app, line, out):
    result = CliRunner().invoke(app, [*line.split(), "--out", str(out)])
    assert isinstance(result.exception, ConfigurationError), result.exception
    return str(result.exception)


@pytest.mark.parametrize("line", LINES)
def test_a_command_leaves_a_folder_to_the_one_that_writes_there(
    line, material, tmp_path, monkeypatch
):
    monkeypatch.chdir(material)
    out = tmp_path / "out"
    with alone_in(out):
        said = refusal(LINES[line], line, out)
    assert said == f"another process writes into {out}; wait for it, or choose another folder"
    assert not out.exists()


@pytest.mark.parametrize("line", ["predict haiyan --no-plot", "predict haiyan --once", "demo"])
def test_a_command_leaves_a_folder_to_the_one_that_follows_into_it(
    line, material, tmp_path, monkeypatch
):
    monkeypatch.chdir(material)
    with following_alone(tmp_path):
        said = refusal(models, line, tmp_path)
    assert said.startswith(f"another process writes into {tmp_path}; ")


def test_a_simulation_leaves_a_store_to_the_one_that_writes_it(tmp_path):
    with locked(tmp_path / ".a.zarr.lock", "busy"):
        said = refusal(models, "simulate --hours 0.1", tmp_path / "a.zarr")
    assert said.startswith(f"another process writes {tmp_path / 'a.zarr'}; ")
    assert list(tmp_path.iterdir()) == []


def test_a_run_leaves_a_folder_to_the_one_that_trains_there(tmp_path):
    recipe = toy_recipe(small_store(tmp_path / "s.zarr").path, epochs=1)
    with alone_in(tmp_path / "run"), pytest.raises(ConfigurationError, match="another process"):
        toy_run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    toy_run(recipe, tmp_path / "run")
    with alone_in(tmp_path / "run"):  # what is through may be looked at meanwhile
        toy_run(recipe, tmp_path / "run")
        with pytest.raises(ConfigurationError, match="another process"):
            toy_run(recipe, tmp_path / "run", test=True)


WRITE = """
from medicane_models.checks import check_free
from medicane_models.files import move_all, staging
def work(out, number):
    with staging(out) as folder:
        check_free(out / "a", overwrite=False)
        for name in "ab":
            (folder / name).write_text(number)
        move_all(folder, out, first="a")
"""
CREATE = """
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.writer import create_store
def work(out, number):
    create_store(out, MedicaneProcessor.planes())
"""
AT_ONCE = """
import sys
from pathlib import Path
from medicane_models.errors import ConfigurationError
print("ready", flush=True)
input()
try:
    work(Path(sys.argv[1]), sys.argv[2])
    print("written")
except ConfigurationError as error:
    print("refused" if "\\n" not in str(error) else error)
"""


def at_once(work, out, count):
    """What becomes of some processes that do the same as soon as all are ready."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", work + AT_ONCE, out, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * count
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return Counter(process.communicate()[0].strip() for process in processes)


def test_of_several_that_begin_at_once_one_writes_all_that_is_there(tmp_path):
    out = tmp_path / "out"
    assert at_once(WRITE, out, 4) == {"written": 1, "refused": 3}
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]
    assert (out / "a").read_text() == (out / "b").read_text()


def test_a_store_that_several_begin_at_once_is_whole(tmp_path):
    counts = at_once(CREATE, tmp_path / "s.zarr", 2)
    assert counts["written"] >= 1
    assert set(counts) <= {"written", "refused"}
    assert len(ClipStore(tmp_path / "s.zarr").frames) == 0
