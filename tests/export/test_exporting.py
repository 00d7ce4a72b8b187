"""The command as a whole: what is written, what is refused, what is left alone."""

import json
import shutil
import subprocess
import sys

import pytest
from export_models import tiny_folder, tiny_source
from typer.testing import CliRunner

from medicane_export import exporting
from medicane_export.cli import app
from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.loaded_model import LoadedModel
from medicane_models.diagnosis.headers import onnx_properties
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MissingExtraError,
    OutputError,
)


def test_every_variant_is_there_and_accepted(every_precision):
    out, variants = every_precision
    assert [variant.file for variant in variants] == [
        "model.onnx",
        "model_fp16.onnx",
        "model_bf16.onnx",
        "model_int8.onnx",
    ]
    assert all((out / variant.file).is_file() and not variant.faults for variant in variants)
    assert {path.name for path in out.iterdir() if path.suffix != ".onnx"} == {
        "README.md",
        "config.json",
        "parity.json",
        "preprocessor_config.json",
    }


def test_a_refused_variant_is_kept_apart_and_what_was_there_stays(every_precision, tmp_path):
    out = shutil.copytree(every_precision[0], tmp_path / "out")
    before = (out / "model.onnx").read_bytes()
    model = tiny_folder(tmp_path / "model")
    options = ["--out", str(out), "--clip-count", "0", "--tolerance-logits", "1e-12", "--overwrite"]
    done = CliRunner().invoke(app, ["onnx", str(model), *options])
    assert done.exit_code == 1
    assert "logits differs by" in done.output
    assert (out / "model.onnx").read_bytes() == before
    assert (out / "refused" / "model.onnx").is_file()
    variants = json.loads((out / "parity.json").read_text())["variants"]
    assert variants["model.onnx"]["accepted"]
    assert not variants["refused/model.onnx"]["accepted"]


def test_an_interrupted_export_leaves_whole_files_and_can_be_repeated(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    out, request = tmp_path / "out", OnnxRequest(precisions=("fp32", "fp16"), count=0)
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "in_half", interrupt)
        with pytest.raises(KeyboardInterrupt):
            export_onnx(tiny_source(), out, request, lambda _: None)
    found = {path.name for path in out.iterdir()}
    assert found == {"config.json", "preprocessor_config.json", "parity.json", "model.onnx"}
    assert len(export_onnx(tiny_source(), out, request, lambda _: None, overwrite=True)) == 2


def test_a_variant_is_replaced_only_when_told_and_others_are_added(tmp_path):
    def export(*precisions, **options):
        request = OnnxRequest(precisions=precisions, count=0, seed=1)
        return export_onnx(tiny_source(), tmp_path, request, lambda _: None, **options)

    export("fp32")
    export("fp16")
    (tmp_path / "model.onnx").write_text("old")
    (tmp_path / "model.onnx.data").write_text("old")
    with pytest.raises(ConfigurationError, match=r"model\.onnx exists; .* --overwrite"):
        export("fp32")
    assert (tmp_path / "model.onnx").read_text() == "old"
    export("fp32", overwrite=True)
    assert onnx_properties(tmp_path / "model.onnx")
    assert {path.name for path in tmp_path.glob("*.onnx*")} == {"model.onnx", "model_fp16.onnx"}


def test_what_was_compared_is_printed_as_json(tmp_path):
    model = tiny_folder(tmp_path / "model")
    arguments = ["onnx", str(model), "--out", str(tmp_path / "out"), "--clip-count", "0", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--threads", "1"])
    assert done.exit_code == 0, done.exception
    printed = json.loads(done.stdout)
    assert printed["model.onnx"]["faults"] == []
    assert set(printed["model.onnx"]["sets"]) == {"random"}


def test_a_card_keeps_the_licence_of_the_weights(tmp_path):
    model = tiny_folder(tmp_path / "model")
    (model / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    export_onnx(LoadedModel.load(model), tmp_path / "out", OnnxRequest(count=0), lambda _: None)
    assert "license: cc-by-nc-4.0" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"thesis\.tex"):
        export_onnx(tiny_source(), tmp_path, OnnxRequest(count=0), lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onnx_ir.save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_onnx(tiny_source(), tmp_path / "out", OnnxRequest(count=0), lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r'pip install "medicane-models\[export\]"'):
        exporting.trace(tiny_source(), input_form="normalised")


def test_an_unknown_precision_is_refused_before_anything_is_loaded(tmp_path):
    done = CliRunner().invoke(
        app, ["onnx", "medicane-tiny-detector", "--out", str(tmp_path), "--precision", "fp8"]
    )
    assert isinstance(done.exception, ConfigurationError)
    assert "'fp8'" in str(done.exception)


def test_an_unknown_model_is_told(tmp_path):
    done = CliRunner().invoke(app, ["onnx", "./nowhere", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, CheckpointError)
    assert "./nowhere is not a folder" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_help_is_light():
    code = (
        "import sys\nfrom medicane_export.cli import app\n"
        "try: app(['onnx', '--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "onnx", "onnxruntime", "numpy"}
