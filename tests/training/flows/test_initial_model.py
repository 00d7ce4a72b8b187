from dataclasses import replace

import pytest
import torch
from clip_stores import PROCESSOR
from safetensors.torch import load_file, save_file

from medicane_models.errors import CheckpointError, ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_training.flows.initial_model import start_model
from medicane_training.recipes.sections import ModelSettings

SIZES = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_hidden_dim": 48}
CLIPS = {"image_size": 32, "num_frames": 4, "in_channels": 1, "pixel_std": (0.25,)}


def saved(folder, cls, processor=PROCESSOR, **fields):
    """A model whose tensors all differ from a fresh one's, and its state."""
    torch.manual_seed(1)
    model = cls(MedicaneConfig(task=cls.task, **{**CLIPS, **SIZES, **fields}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    model.processor = processor
    model.save_pretrained(folder)
    return model.state_dict()


def start(cls, folder, processor=PROCESSOR, **changes):
    settings = ModelSettings(init=str(folder), changes=changes)
    return start_model(cls, settings, processor=processor)


def test_a_preset_reads_the_stores_clips():
    settings = ModelSettings(preset="tiny", changes={"depth": 1, "drop_path_rate": 0.1})
    model, report = start_model(MedicaneForPreTraining, settings, processor=PROCESSOR)
    config = model.config
    assert report is None
    assert config.clip_shape == (4, 1, 32, 32)
    assert (config.pixel_std, config.depth, config.embed_dim) == ((0.25,), 1, 192)
    assert model.processor is PROCESSOR
    assert model.training


def test_a_flow_sets_defaults_that_changes_override():
    settings = ModelSettings(preset="tiny", changes={"head": "regression"})
    defaults = {"head": "heatmap", "heatmap_stride": 8}
    config = start_model(MedicaneForTracking, settings, processor=PROCESSOR, defaults=defaults)[
        0
    ].config
    assert (config.head, config.heatmap_stride) == ("regression", 8)


def test_a_model_of_the_same_task_is_taken_over_whole_without_its_calibration(tmp_path):
    before = saved(
        tmp_path, MedicaneForVideoClassification, temperature=3.0, threshold=0.2, trained_on="x"
    )
    model, report = start(MedicaneForVideoClassification, tmp_path, drop_path_rate=0.2)
    assert set(report.loaded) == set(before)
    assert not report.fresh
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    config = model.config
    assert (config.temperature, config.threshold, config.trained_on) == (1.0, 0.5, None)
    assert config.drop_path_rate == 0.2
    assert model.training


@pytest.mark.parametrize(
    ("source", "cls", "changes"),
    [
        (MedicaneForPreTraining, MedicaneForVideoClassification, {}),
        (MedicaneForVideoClassification, MedicaneForTracking, {}),
        (MedicaneForVideoClassification, MedicaneForPreTraining, {}),
        (
            MedicaneForVideoClassification,
            MedicaneForVideoClassification,
            {"id2label": {0: "calm", 1: "storm", 2: "beside"}},
        ),
        (MedicaneForTracking, MedicaneForTracking, {"head": "regression"}),
    ],
)
def test_another_head_starts_fresh_on_the_backbone(tmp_path, source, cls, changes):
    before = saved(tmp_path, source)
    model, report = start(cls, tmp_path, **changes)
    plain = {name.removeprefix("encoder."): value for name, value in model.state_dict().items()}
    taken = {name.removeprefix("encoder."): value for name, value in before.items()}
    names = [name for name in plain if name.startswith(("patch_embed", "blocks"))]
    assert len(names) > 20
    assert all(torch.equal(plain[name], taken[name]) for name in names)
    assert report.fresh
    assert report.dropped


def test_a_regression_head_for_another_tile_size_starts_fresh(tmp_path):
    saved(tmp_path, MedicaneForTracking, head="regression", image_size=64)
    _, report = start(MedicaneForTracking, tmp_path)
    assert any(name.startswith("head.") for name in report.fresh)


def test_positions_are_interpolated_for_clips_of_another_shape(tmp_path):
    saved(tmp_path, MedicaneForVideoClassification, image_size=64, num_frames=8)
    model, report = start(MedicaneForVideoClassification, tmp_path)
    assert model.config.clip_shape == (4, 1, 32, 32)
    assert model.config.position_grid == (4, 8, 8)
    assert not report.fresh


def test_a_backbone_with_a_hole_is_refused(tmp_path):
    saved(tmp_path, MedicaneForPreTraining)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.blocks.1.mlp.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.mlp\.fc1\.weight"):
        start(MedicaneForVideoClassification, tmp_path)


def test_clips_that_mean_something_else_are_refused_by_name(tmp_path):
    saved(tmp_path, MedicaneForVideoClassification)
    band = replace(PROCESSOR.bands[0], high=180.0)
    other = replace(PROCESSOR, bands=(band,), cadence_minutes=60.0)
    with pytest.raises(ConfigurationError) as raised:
        start(MedicaneForVideoClassification, tmp_path, processor=other)
    assert "to 200 K (1) there and IR_108 from 300 K (0) to 180 K (1) here" in str(raised.value)
    assert "cadence_minutes 15.0 there and 60.0 here" in str(raised.value)


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    (tmp_path / "run.yaml").write_text("flow: classify")
    with pytest.raises(CheckpointError, match="has not finished"):
        start(MedicaneForTracking, tmp_path)


def test_nothing_to_start_from_is_refused():
    with pytest.raises(ConfigurationError, match=r"model\.preset nor model\.init"):
        start_model(MedicaneForTracking, ModelSettings(), processor=PROCESSOR)


def test_a_width_without_a_stem_is_refused():
    settings = ModelSettings(preset="tiny", changes={"tubelet_size": 1, "stem_width": 8})
    with pytest.raises(ConfigurationError, match="sets stem_width, and the model has no stem"):
        start_model(MedicaneForTracking, settings, processor=PROCESSOR)


@pytest.mark.parametrize(
    "changes", [{"heatmap_offset": True}, {"heatmap_features": False}, {"heatmap_stride": 4}]
)
def test_another_kind_of_cells_starts_a_fresh_head(tmp_path, changes):
    fine = {"stem": "residual", "heatmap_features": True, "heatmap_stride": 2}
    before = saved(tmp_path, MedicaneForTracking, **fine)
    model, report = start(MedicaneForTracking, tmp_path, **changes)
    assert "head.conv.weight" in report.fresh
    name = "patch_embed.stem.stages.0.halving.bn.running_mean"
    assert torch.equal(model.state_dict()[name], before[name])
