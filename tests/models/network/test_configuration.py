import json

import pytest

from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = MedicaneConfig.preset(
        name, image_size=(224, 448), error_covariance_px=((9, 1), (1, 4))
    )
    assert MedicaneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_saved_configuration_is_read_back(tmp_path):
    config = MedicaneConfig.preset("tiny", id2label={0: "no_cyclone", 1: "cyclone", 2: "near"})
    config.save_pretrained(tmp_path)
    assert MedicaneConfig.from_pretrained(tmp_path) == config


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"depht": 12}, "depht"),
        ({"model_type": "videomae"}, "medicane convert"),
        ({"image_size": 225}, "patch_size"),
        ({"image_size": (224, 100)}, "image width"),
        ({"num_frames": 15}, "tubelet_size"),
        ({"num_heads": 5}, "num_heads"),
        ({"depth": 0}, "depth"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature is nan; give a number above 0"),
        ({"pixel_std": (1.0, float("inf"), 1.0)}, "pixel_std"),
        ({"error_covariance_px": ((1.0, 0.0), (0.0, float("nan")))}, "error_covariance_px"),
        ({"threshold": 1.5}, "threshold"),
        ({"in_channels": 2, "pixel_std": (1.0,)}, "pixel_std"),
        ({"id2label": {1: "cyclone"}}, "id2label"),
        ({"task": "tracking", "heatmap_stride": 5}, "heatmap_stride"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, word):
    with pytest.raises(ConfigurationError, match=word):
        MedicaneConfig.from_dict(changes)


def test_unknown_preset_lists_the_known():
    with pytest.raises(
        ConfigurationError, match="tiny, small, base, large, huge, giant, infrared, infrared-light"
    ):
        MedicaneConfig.preset("medium")


def test_broken_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        MedicaneConfig.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        MedicaneConfig.from_pretrained(tmp_path.parent)


def test_resizing_keeps_the_grid_of_the_training():
    config = MedicaneConfig.preset("base").resized(num_frames=8).resized(image_size=112)
    assert config.position_grid == (8, 14, 14)
    assert config.token_grid == (4, 7, 7)
    assert config.resized(depth=6).position_grid == (8, 14, 14)


def test_untrained_by_default():
    assert MedicaneConfig().trained_on is None
    assert MedicaneConfig().error_covariance_px is None


def test_a_tile_that_is_not_square_cannot_be_turned():
    assert MedicaneConfig(image_size=(32, 48), views="flips").views == "flips"
    with pytest.raises(ConfigurationError, match=r"views is 'eight', and a tile of 32 × 48"):
        MedicaneConfig(image_size=(32, 48), views="eight")
