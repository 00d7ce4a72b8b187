import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
import torch
from absent import run_without

from medicane_models.cli import main
from medicane_models.diagnosis import doctor, trials
from medicane_models.diagnosis.doctor import examine
from medicane_models.diagnosis.trials import THREE_NODES, Trial
from medicane_models.hub import DETECTOR
from medicane_models.runtimes import accelerators
from medicane_models.runtimes.accelerators import (
    NvidiaDriver,
    OnnxRuntimeBuild,
    nvidia_driver,
    provider_finding,
)

SMI = """#!/bin/sh
case "$*" in
*query-gpu*--id=1) echo "NVIDIA L4, 23034, 1000";;
*query-gpu*) echo "NVIDIA H100, 81559, 80000"; echo "NVIDIA L4, 23034, 1000";;
*) echo "| NVIDIA-SMI 535.54   Driver Version: 535.54.03   CUDA Version: 12.2  |";;
esac
"""
GPU = accelerators.Gpu(name="NVIDIA H100", memory_mib=80000, free_mib=70000)
DRIVER = NvidiaDriver(version="580.65", cuda="13.0", gpus=(GPU,))
OLD_DRIVER = NvidiaDriver(version="535.54", cuda="12.2", gpus=(GPU,))
GPU_BUILD = OnnxRuntimeBuild(
    package="onnxruntime-gpu",
    version="1.31",
    cuda="13.0",
    providers=("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    missing_libraries=(),
)
CPU_BUILD = OnnxRuntimeBuild(
    package="onnxruntime",
    version="1.32",
    cuda="",
    providers=("CPUExecutionProvider",),
    missing_libraries=(),
)


def doctor_without(*packages: str) -> tuple[int, dict]:
    code = "from medicane_models.cli import main\nmain()"
    done = run_without(packages, code, "doctor", "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_without_torch_the_rest_is_told():
    code, told = doctor_without("torch", "timm")
    notes = [finding["text"] for finding in told["findings"] if finding["level"] == "note"]
    assert code == 0, told["findings"]
    assert "timm and torch missing; only --runtime onnx works" in notes
    assert told["extras"]["torch"] == ["timm missing", "torch missing"]
    assert "torch" not in told["packages"]
    assert {trial["runtime"] for trial in told["trials"]} == {"onnxruntime"}
    assert [trial["model"] for trial in told["trials"]] == ["three nodes", DETECTOR]


def test_without_onnxruntime_the_rest_is_told():
    code, told = doctor_without("onnxruntime")
    remedies = [finding["remedy"] for finding in told["findings"]]
    assert code == 0, told["findings"]
    assert any('pip install "medicane-models[gpu]"' in remedy for remedy in remedies)
    assert told["extras"]["onnx"] == ["onnxruntime missing"]
    (trial,) = told["trials"]
    assert trial["runtime"] == "torch"
    assert trial["error"] is None
    assert trial["seconds"] > 0


def test_an_onnxruntime_that_cannot_be_imported_is_broken(quick):
    quick.setitem(sys.modules, "onnxruntime", None)  # what Python takes for a failed import
    quick.setattr(doctor, "onnxruntime_build", accelerators.onnxruntime_build.__wrapped__)
    (told,) = findings("broken")
    assert told.startswith("onnxruntime")
    assert 'pip install "medicane-models[onnx]"' in told


def test_without_both_no_model_runs_and_the_rest_works():
    code, told = doctor_without("torch", "timm", "onnxruntime")
    notes = {finding["text"]: finding["remedy"] for finding in told["findings"]}
    assert code == 0, told["findings"]
    assert 'pip install "medicane-models[torch]"' in notes["timm and torch missing; no model runs"]
    assert 'pip install "medicane-models[onnx]"' in " ".join(notes.values())
    assert told["trials"] == []


@pytest.fixture
def quick(monkeypatch):
    """An examination of this machine in which no model runs."""
    monkeypatch.setattr(doctor, "try_torch", lambda: Trial(runtime="torch", device="cpu", model=""))
    monkeypatch.setattr(doctor, "try_onnx", lambda: ())
    return monkeypatch


def findings(level: str) -> list[str]:
    return [f"{f.text}; {f.remedy}" for f in examine().findings if f.level == level]


def test_versions_are_those_installed(quick):
    told = examine()
    assert told.packages["numpy"] == np.__version__
    assert told.packages["onnxruntime"] == onnxruntime.__version__
    assert told.system["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "medicane-models" not in told.packages  # of the extra [dev], which names itself
    assert told.extras["plots"] == []


def test_a_package_below_the_floor_is_broken(quick):
    installed = metadata.version
    quick.setattr(metadata, "version", lambda name: "1.0.9" if name == "timm" else installed(name))
    assert findings("broken") == ['timm 1.0.9, needed >=1.0.26; run: pip install "timm>=1.0.26"']
    assert examine().broken


def test_a_source_tree_that_is_not_installed_is_a_note(quick, in_a_source_tree):
    told = examine()
    assert told.system["medicane-models"] == "not installed"
    assert not told.broken
    assert any("pip install --editable ." in note for note in findings("note"))


def test_two_onnxruntimes_are_broken(quick):
    for module in (accelerators, doctor):
        quick.setattr(
            module, "onnx_runtimes", lambda: {"onnxruntime": "1.32", "onnxruntime-gpu": "1.31"}
        )
    (told,) = findings("broken")
    assert "onnxruntime 1.32 and onnxruntime-gpu 1.31 are both installed" in told
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install" in told


def hardware(monkeypatch, *, cuda: str | None, driver: NvidiaDriver | None, sees: int = 0):
    """What torch was built for, the driver, and how many GPUs torch sees."""
    fake = ModuleType("torch")
    fake.__version__ = "2.99"
    fake.version = SimpleNamespace(cuda=cuda)
    fake.cuda = SimpleNamespace(is_available=lambda: sees > 0, device_count=lambda: sees)
    monkeypatch.setattr(doctor, "_imported", lambda _: (fake, None))
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: driver)
    monkeypatch.setattr(accelerators, "nvidia_driver", lambda: driver)


def test_torch_for_cuda_without_a_driver_is_a_note(quick):
    hardware(quick, cuda="13.0", driver=None)
    assert any("there is no NVIDIA driver; it runs on the CPU" in note for note in findings("note"))
    assert not examine().broken


def test_torch_for_cpus_beside_a_gpu_is_a_note(quick):
    hardware(quick, cuda=None, driver=DRIVER)
    assert any("leaves NVIDIA H100 idle" in note for note in findings("note"))


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (OLD_DRIVER, r"NVIDIA driver 535.54 (CUDA up to 12.2) is too old; update the driver"),
        (DRIVER, r"it sees no GPU through NVIDIA driver 580.65"),
    ],
)
def test_torch_that_sees_no_gpu_beside_one_is_broken(quick, driver, reason):
    hardware(quick, cuda="13.0", driver=driver)
    (told,) = findings("broken")
    assert reason in told


def test_a_gpu_that_both_use_is_no_finding(quick):
    hardware(quick, cuda="13.0", driver=DRIVER, sees=1)
    quick.setattr(doctor, "onnxruntime_build", lambda: GPU_BUILD)
    assert not [f for f in examine().findings if "missing" not in f.text]


def test_onnxruntime_for_cpus_beside_a_gpu_is_a_note(quick):
    hardware(quick, cuda="13.0", driver=DRIVER, sees=1)
    for module in (doctor, accelerators):
        quick.setattr(module, "onnxruntime_build", lambda: CPU_BUILD)
    assert any("onnxruntime 1.32 offers only CPU" in note for note in findings("note"))


@pytest.mark.parametrize(("driver", "level"), [(DRIVER, "broken"), (None, "note")])
def test_a_provider_that_does_not_load_counts_where_there_is_a_gpu(quick, driver, level):
    hardware(quick, cuda=None, driver=driver)
    failed = Trial(runtime="onnxruntime", device="cuda", model="three nodes", error="no libcudart")
    quick.setattr(doctor, "try_onnx", lambda: (failed,))
    assert any("onnxruntime on cuda fails: no libcudart" in text for text in findings(level))


@pytest.mark.parametrize(
    ("build", "driver", "found", "remedy"),
    [
        ({"providers": ("CPUExecutionProvider",)}, DRIVER, "offers only CPU", "[gpu]"),
        ({}, None, "finds no NVIDIA driver", "nvidia.com/drivers"),
        (
            {"missing_libraries": ("libcudnn.so.9",)},
            DRIVER,
            "does not find libcudnn.so.9",
            'pip install "onnxruntime-gpu[cuda,cudnn]"',
        ),
        ({}, replace(DRIVER, gpus=()), "shows no GPU", "CUDA_VISIBLE_DEVICES"),
        ({}, OLD_DRIVER, "driver 535.54 (CUDA up to 12.2) is too old for", "nvidia.com/drivers"),
        ({}, DRIVER, "580.65 (CUDA up to 13.0) are there", "lines above"),
    ],
)
def test_what_keeps_cuda_from_loading_is_found(monkeypatch, build, driver, found, remedy):
    made = OnnxRuntimeBuild(**(vars(GPU_BUILD) | build))
    monkeypatch.setattr(accelerators, "onnxruntime_build", lambda: made)
    monkeypatch.setattr(accelerators, "onnx_runtimes", lambda: {"onnxruntime-gpu": "1.31"})
    monkeypatch.setattr(accelerators, "nvidia_driver", lambda: driver)
    problem = provider_finding("cuda")
    assert found in problem.text
    assert remedy in problem.remedy


@pytest.fixture
def smi(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_the_driver_is_read_from_nvidia_smi(smi):
    found = nvidia_driver()
    assert (found.version, found.cuda) == ("535.54.03", "12.2")
    assert [(gpu.name, gpu.memory_mib) for gpu in found.gpus] == [
        ("NVIDIA H100", 81559),
        ("NVIDIA L4", 23034),
    ]


def test_only_visible_gpus_count(smi):
    smi.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu.name for gpu in nvidia_driver().gpus] == ["NVIDIA L4"]
    assert accelerators.free_memory_bytes("cuda") == 1000 * 2**20


def test_an_empty_list_hides_all_gpus(smi):
    smi.setenv("CUDA_VISIBLE_DEVICES", "")
    assert nvidia_driver().gpus == ()


def test_libraries_that_onnxruntime_only_prints_are_kept(monkeypatch, capsys):
    def preload():
        print("Failed to load libcurand.so.10: cannot open shared object file")  # noqa: T201

    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    assert accelerators.onnxruntime_build.__wrapped__().missing_libraries == ("libcurand.so.10",)
    assert capsys.readouterr().out == ""


def test_the_three_nodes_are_what_they_are_said_to_be():
    model = onnx.load_from_string(THREE_NODES)
    onnx.checker.check_model(model)
    x = np.array([-0.5, 1, 3], np.float32)
    (y,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    assert len(model.graph.node) == 3
    assert y.tolist() == np.maximum(x * x + x, 0).tolist()


def test_a_wrong_answer_is_a_failure(monkeypatch):
    monkeypatch.setattr(trials, "_three", lambda device: (device, np.zeros(3)))
    (trial, *_) = trials.try_onnx()
    assert "answers [0.0, 0.0, 0.0], which cannot be" in trial.error


def test_the_command_prints_lines_and_leaves_with_0_or_1(quick, capsys):
    quick.setattr(sys, "argv", ["medicane", "doctor"])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capsys.readouterr().out
    assert left.value.code == 0
    assert f"torch            {torch.__version__}, built for" in printed
    assert printed.splitlines()[-1].split() == ["verdict", "works"]
