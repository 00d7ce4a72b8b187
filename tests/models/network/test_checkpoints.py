"""Files of other code bases: what is read of them, and what is refused."""

import os

import numpy as np
import pytest
import torch
from foreign_checkpoints import SIZES, classifier_weights, prefixed, saved
from safetensors.torch import save_file

from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.network.conversion import from_foreign


def test_pickled_code_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": {"head.weight": torch.zeros(2, 2)}, "x": Bomb()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        from_foreign(tmp_path / "c.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3}, "holds no tensors"),
        ({"model": {"conv1.weight": torch.zeros(3)}}, "no patch embedding among conv1"),
    ],
)
def test_other_checkpoints_are_refused_by_name(content, words, tmp_path):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=words):
        from_foreign(tmp_path / "c.pth")


def test_unreadable_files_are_refused_by_name(tmp_path):
    (tmp_path / "c.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"c\.pth"):
        from_foreign(tmp_path / "c.pth")
    (tmp_path / "c.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"neither \.safetensors nor"):
        from_foreign(tmp_path / "c.tar")


AVERAGES = {
    "model_ema": lambda last, mean: {"model": last, "model_ema": prefixed(mean, "module.")},
    "state_dict_ema": lambda last, mean: {"state_dict_ema": mean, "state_dict": last},
    "ema": lambda last, mean: {"model": last, "ema": {"module": mean, "decay": 0.999}},
    "ema_state_dict": lambda last, mean: {"module": last, "ema_state_dict": mean},
    "deepspeed": lambda last, mean: {"module": prefixed(last, "module."), "model_ema": mean},
    "swa": lambda last, mean: {
        "model": last,
        "ema_model": prefixed(mean, "module.") | {"n_averaged": torch.tensor(7)},
    },
    "mmengine": lambda last, mean: {
        "meta": {"mmengine_version": "0.10.7"},
        "state_dict": mean,
        "ema_state_dict": prefixed(last, "module.") | {"steps": torch.tensor(7)},
    },
}


@pytest.mark.parametrize(("weights", "value"), [(None, 2.0), ("averaged", 2.0), ("last", 1.0)])
@pytest.mark.parametrize("layout", AVERAGES)
def test_averaged_weights_are_preferred_and_named(layout, weights, value, tmp_path):
    checkpoint = AVERAGES[layout](classifier_weights(1.0), classifier_weights(2.0))
    path = saved(tmp_path, checkpoint | {"epoch": 3})
    model, report = from_foreign(path, weights=weights, **SIZES)
    assert model.head.weight.unique().tolist() == [value]
    kind = "last" if value == 1 else "averaged"
    assert f"the {kind} weights were taken" in str(report)


def test_one_set_of_weights_needs_no_choice(tmp_path):
    path = saved(tmp_path, {"model": classifier_weights()})
    assert "weights were taken" not in str(from_foreign(path, **SIZES)[1])
    with pytest.raises(ConfigurationError, match=r"c\.pth: it holds no averaged weights"):
        from_foreign(path, weights="averaged", **SIZES)
    path = saved(tmp_path, {"model_ema": classifier_weights()})
    with pytest.raises(ConfigurationError, match=r"c\.pth: it holds no last weights"):
        from_foreign(path, weights="last", **SIZES)


@pytest.mark.parametrize("nameless", [{"shadow_params": [torch.zeros(2)]}, [torch.zeros(2)]])
def test_averages_without_names_are_not_passed_over(nameless, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "ema": nameless})
    with pytest.raises(CheckpointError, match="no tensors by name under ema"):
        from_foreign(path, **SIZES)
    assert from_foreign(path, weights="last", **SIZES)


@pytest.mark.parametrize(
    "beside", [np.float64(3), np.int64(3), np.arange(3), np.datetime64(3, "D")]
)
def test_numpy_s_numbers_beside_the_weights_are_read(beside, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "best": beside})
    assert from_foreign(path, **SIZES)


def test_numpy_s_objects_are_not_read(tmp_path):
    path = saved(tmp_path, {"model": classifier_weights(), "x": np.array([print], dtype=object)})
    with pytest.raises(CheckpointError, match="could run code"):
        from_foreign(path, **SIZES)


@pytest.mark.parametrize("reader", [os.system, eval, exec, os.mkdir])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_named_and_not_run(reader, zipped, tmp_path):
    class Bomb:
        def __reduce__(self):
            return reader, (str(tmp_path / "ran"),)

    torch.save({"x": Bomb()}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=rf"could run code: \w*\.?{reader.__name__}"):
        from_foreign(tmp_path / "c.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_truncated_files_are_unreadable_not_dangerous(kind, share, tmp_path):
    path = tmp_path / ("c.safetensors" if kind == "safetensors" else "c.pth")
    if kind == "safetensors":
        save_file(classifier_weights(), path)
    else:
        torch.save(classifier_weights(), path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="not a readable"):
        from_foreign(path, **SIZES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 192, dtype=torch.int8), "head.weight is int8 strided on cpu, not floating"),
        (torch.zeros(2, 192, dtype=torch.bool), "not floating"),
        (torch.zeros(2, 192, dtype=torch.complex64), "not floating"),
        (torch.zeros(2, 192).to_sparse(), "sparse_coo"),
        (torch.zeros(2, 192, device="meta"), "on meta"),
        (torch.full((2, 192), torch.nan), "holds NaN or infinity in head.weight"),
        (torch.full((2, 192), -torch.inf), "holds NaN or infinity in head.weight"),
        (
            torch.full((2, 192), torch.inf, dtype=torch.float16),
            "holds NaN or infinity in head.weight",
        ),
    ],
)
def test_weights_are_finite_floating_point(value, words, tmp_path):
    path = saved(tmp_path, {"model": classifier_weights() | {"head.weight": value}})
    with pytest.raises(CheckpointError, match=words):
        from_foreign(path, **SIZES)


def cycle():
    checkpoint = {"epoch": torch.tensor(3.0)}
    checkpoint["model"] = checkpoint
    return checkpoint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no tensors, only nothing"),
        ([torch.zeros(2)], "holds no tensors"),
        (torch.zeros(2), "holds no tensors"),
        ({"model": {}}, "only model"),
        ({"model": {"encoder": {"w": torch.zeros(2)}}}, "under model, only encoder"),
        ({3: torch.zeros(2)}, "holds no tensors, only 3"),
        (cycle(), "no patch embedding"),
        ({"module.a": torch.zeros(2), "a": torch.zeros(2)}, "a is there twice"),
    ],
)
def test_checkpoints_of_another_form_are_refused(content, words, tmp_path):
    with pytest.raises(CheckpointError, match=words):
        from_foreign(saved(tmp_path, content))
