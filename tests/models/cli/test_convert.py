import pytest
import torch

from medicane_models import MedicaneConfig, MedicaneForVideoClassification, MedicaneProcessor
from medicane_models.network.pretraining import MedicaneForPreTraining


def test_convert_makes_a_folder_that_predict_accepts(medicane, tmp_path):
    sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 32}
    model = MedicaneForVideoClassification(MedicaneConfig(**sizes, num_frames=4))
    torch.save({"module": model.state_dict()}, tmp_path / "checkpoint-9.pth")
    code, out, err = medicane(
        "convert", tmp_path / "checkpoint-9.pth", "--out", tmp_path / "model",
        "--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4",
        "--trained-on", "Twelve storms.", "--data-kind", "real",
    )  # fmt: skip
    assert code == 0, err
    assert "classification" in out
    restored = MedicaneForVideoClassification.from_pretrained(tmp_path / "model")
    assert torch.equal(restored.head.weight, model.head.weight)
    assert (restored.config.trained_on, restored.config.data_kind) == ("Twelve storms.", "real")
    assert MedicaneProcessor.from_pretrained(tmp_path / "model").tile_size == 32


def pretraining_checkpoint(folder):
    """A file of last and averaged weights of a model for clips of three channels."""
    sizes = {"embed_dim": 24, "depth": 1, "num_heads": 3, "mlp_hidden_dim": 48, "image_size": 112}
    decoder = {"decoder_embed_dim": 12, "decoder_depth": 1, "decoder_num_heads": 3}
    config = MedicaneConfig(**sizes, **decoder, num_frames=4)
    last, averaged = (MedicaneForPreTraining(config).state_dict() for _ in range(2))
    torch.save({"model": last, "model_ema": averaged}, folder / "c.pth")
    settings = ("num_heads=3", "decoder_num_heads=3", "image_size=112", "num_frames=4")
    return last, averaged, [text for setting in settings for text in ("--set", setting)]


@pytest.mark.parametrize("choice", [None, "averaged", "last"])
def test_convert_says_which_weights_it_takes(choice, medicane, tmp_path):
    last, averaged, options = pretraining_checkpoint(tmp_path)
    options += ["--weights", choice] if choice else []
    code, out, err = medicane("convert", tmp_path / "c.pth", "--out", tmp_path / "m", *options)
    assert code == 0, err
    restored = MedicaneForPreTraining.from_pretrained(tmp_path / "m")
    expected = last if choice == "last" else averaged
    assert torch.equal(restored.mask_token, expected["mask_token"])
    assert f"the {choice or 'averaged'} weights were taken" in out


def test_convert_saves_the_processor_it_is_told(medicane, tmp_path):
    _, _, options = pretraining_checkpoint(tmp_path)
    processor = MedicaneProcessor.infrared(tile_size=112, num_frames=4)
    processor.save_pretrained(tmp_path / "other")
    options += ["--processor", tmp_path / "other"]
    arguments = ("convert", tmp_path / "c.pth", "--out", tmp_path / "m", *options)
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "makes clips of (4, 1, 112, 112)" in err
    assert not (tmp_path / "m").exists()
    code, _, err = medicane(*arguments, "--in-channels", 1)
    assert code == 0, err
    assert MedicaneProcessor.from_pretrained(tmp_path / "m") == processor


@pytest.mark.parametrize(
    ("setting", "complaint"), [("num_heads", "key=value"), ("num_head=3", "names no setting")]
)
def test_convert_refuses_an_unknown_setting(medicane, tmp_path, setting, complaint):
    (tmp_path / "x.pth").touch()
    code, _, err = medicane("convert", tmp_path / "x.pth", "--out", tmp_path, "--set", setting)
    assert code == 2
    assert complaint in err


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of two channels, for which there is no processor, and one of three."""
    paths = []
    for channels in (3, 2):
        sizes = {"embed_dim": 24, "depth": 2, "num_heads": 3, "mlp_hidden_dim": 48}
        config = MedicaneConfig(**sizes, image_size=32, num_frames=4, in_channels=channels)
        paths.append(tmp_path / f"{channels}.pth")
        torch.save(MedicaneForVideoClassification(config).state_dict(), paths[-1])
    return paths


SIZES = ("--set", "num_heads=3", "--set", "image_size=32", "--set", "num_frames=4")


def test_convert_replaces_a_model_only_when_told_and_leaves_nothing_of_it(
    medicane, checkpoint, tmp_path
):
    three, two = checkpoint
    out = ("--out", tmp_path / "model")
    assert medicane("convert", three, *out, *SIZES)[0] == 0
    code, _, err = medicane("convert", two, *out, *SIZES)
    assert code == 2
    assert "config.json exists; choose another --out, or replace it with --overwrite" in err
    assert medicane("convert", two, *out, *SIZES, "--overwrite")[0] == 0
    assert MedicaneConfig.from_pretrained(tmp_path / "model").in_channels == 2
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["config.json", "model.safetensors"]


def test_a_fresh_head_is_drawn_by_the_seed(medicane, checkpoint, tmp_path):
    def head(name, seed):
        tracker = (*SIZES, "--task", "pretraining", "--seed", seed)
        code, _, err = medicane("convert", checkpoint[0], "--out", tmp_path / name, *tracker)
        assert code == 0, err
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert head("a", 1) == head("b", 1) != head("c", 2)
