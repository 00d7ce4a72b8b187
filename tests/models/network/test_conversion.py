import json

import pytest
import torch
from foreign_checkpoints import REGRESSION, SIZES, SMALL, classifier_weights, perturbed, saved

from medicane_models.errors import CheckpointError, ConfigurationError, MedicaneError
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.conversion import export_transformers, from_foreign
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining


def test_pretraining_checkpoint_becomes_a_classifier(tmp_path):
    model = perturbed(MedicaneForPreTraining(SMALL))
    torch.save({"model": model.state_dict()}, tmp_path / "c.pth")
    classifier, report = from_foreign(tmp_path / "c.pth", task="classification", **SIZES)
    assert torch.equal(classifier.blocks[1].attn.v_bias, model.encoder.blocks[1].attn.v_bias)
    assert set(report.tensors.fresh) == {
        "fc_norm.weight",
        "fc_norm.bias",
        "head.weight",
        "head.bias",
    }
    assert "encoder.norm.weight" in report.tensors.dropped
    assert classifier.config.trained_on is None


def test_two_outputs_are_taken_for_classes_with_a_note(tmp_path):
    torch.save(MedicaneForVideoClassification(SMALL).state_dict(), tmp_path / "c.pth")
    model, report = from_foreign(tmp_path / "c.pth", **SIZES)
    assert model.config.id2label == {0: "no_cyclone", 1: "cyclone"}
    assert "task=tracking" in str(report)


def test_many_classes_keep_their_numbers_or_given_names(tmp_path):
    many = SMALL.replace(id2label={0: "a", 1: "b", 2: "c"})
    torch.save(MedicaneForVideoClassification(many).state_dict(), tmp_path / "c.pth")
    assert from_foreign(tmp_path / "c.pth", **SIZES)[0].config.id2label[2] == "2"
    named, _ = from_foreign(tmp_path / "c.pth", id2label={0: "x", 1: "cyclone", 2: "z"}, **SIZES)
    assert named.config.label2id["cyclone"] == 1
    with pytest.raises(ConfigurationError, match="names 1 classes"):
        from_foreign(tmp_path / "c.pth", id2label={0: "x"}, **SIZES)


def test_incomplete_checkpoint_is_refused(tmp_path):
    weights = MedicaneForVideoClassification(SMALL).state_dict()
    del weights["blocks.1.mlp.fc2.bias"]
    torch.save(weights, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"missing blocks\.1\.mlp\.fc2\.bias"):
        from_foreign(tmp_path / "c.pth", **SIZES)


def test_heads_of_an_unusual_width_must_be_given(tmp_path):
    odd = SMALL.replace(embed_dim=24, num_heads=2)
    torch.save(MedicaneForVideoClassification(odd).state_dict(), tmp_path / "c.pth")
    with pytest.raises(ConfigurationError, match="give num_heads"):
        from_foreign(tmp_path / "c.pth", **SIZES)
    assert from_foreign(tmp_path / "c.pth", num_heads=2, **SIZES)[0].config.num_heads == 2


def test_converted_folder_loads(tmp_path, clips):
    model = perturbed(MedicaneForVideoClassification(SMALL))
    torch.save(model.state_dict(), tmp_path / "c.pth")
    told = {"trained_on": "Twelve storms.", "data_kind": "real"}
    model, _ = from_foreign(tmp_path / "c.pth", **told, **SIZES)
    model.save_pretrained(tmp_path / "out")
    again = AutoMedicaneModel.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(again(clips).logits, model(clips).logits)
    assert (again.config.trained_on, again.config.data_kind) == ("Twelve storms.", "real")


def test_data_that_nobody_stated_are_not_made_up(tmp_path):
    torch.save(MedicaneForVideoClassification(SMALL).state_dict(), tmp_path / "c.pth")
    model, _ = from_foreign(tmp_path / "c.pth", **SIZES)
    assert model.config.trained_on == "Not stated; converted from c.pth."
    assert model.config.data_kind is None


def test_only_videomae_folders_are_converted(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(CheckpointError, match="is a vit model"):
        from_foreign(tmp_path)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (REGRESSION.replace(task="tracking"), "tracking"),
        (SMALL.replace(position="sinusoid_3d"), "sinusoid_3d"),
        (SMALL.replace(layer_scale_init_value=0.1), "layer_scale"),
        (SMALL.resized(num_frames=8), "position_grid"),
        (SMALL.replace(newest_only=True), "newest_only"),
        (SMALL.replace(stem="residual"), "stem 'residual'; keep ours"),
    ],
)
def test_what_transformers_lacks_is_not_exported(config, word, tmp_path):
    cls = MedicaneForTracking if config.task == "tracking" else MedicaneForVideoClassification
    with pytest.raises(ConfigurationError, match=word):
        export_transformers(cls(config), tmp_path)


def test_a_stem_is_nothing_to_be_converted(tmp_path):
    model = MedicaneForPreTraining(SMALL.replace(stem="convolutional"))
    for source, settings in (
        (saved(tmp_path, model.state_dict()), {}),
        (saved(tmp_path, classifier_weights(), "plain.pth"), {"stem": "residual"}),
    ):
        with pytest.raises(ConfigurationError, match="with a stem is this package's own"):
            from_foreign(source, **SIZES, **settings)


MODELS = {
    "classifier": MedicaneForVideoClassification(SMALL),
    "tracker": MedicaneForTracking(REGRESSION),
    "pretraining": MedicaneForPreTraining(SMALL),
}
DAMAGES = {
    "missing": lambda weights, name: {k: v for k, v in weights.items() if k != name},
    "scalar": lambda weights, name: weights | {name: torch.tensor(0.5)},
    "cube": lambda weights, name: weights | {name: torch.zeros(2, 2, 2)},
    "empty": lambda weights, name: weights | {name: torch.zeros(0)},
    "far": lambda weights, name: weights | {name.replace(".0.", ".999999999."): torch.zeros(2)},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("kind", "channels"), [*((kind, None) for kind in MODELS), ("pretraining", 4)]
)
def test_one_damaged_tensor_is_refused_in_one_sentence(kind, channels, damage, tmp_path):
    weights = MODELS[kind].state_dict()
    for name in weights:
        damaged = DAMAGES[damage](weights, name)
        if damage == "far" and ".0." not in name:
            continue
        path = saved(tmp_path, damaged)
        with pytest.raises(MedicaneError) as refused:
            from_foreign(path, task=MODELS[kind].task, in_channels=channels, **SIZES)
        assert "medicane convert" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_learned_positions_are_refused(tmp_path):
    path = saved(tmp_path, classifier_weights() | {"pos_embed": torch.randn(1, 8, 192)})
    with pytest.raises(CheckpointError, match="pos_embed was learned"):
        from_foreign(path, **SIZES)
    with pytest.raises(CheckpointError, match=r"pos_embed is \(1, 8, 192\), the clips have 16 tok"):
        from_foreign(path, image_size=32, num_frames=8)


def test_names_of_classes_are_for_classifiers(tmp_path):
    path = saved(tmp_path, MODELS["pretraining"].state_dict())
    with pytest.raises(ConfigurationError, match="classes are named for a pretraining model"):
        from_foreign(path, id2label={0: "a"}, **SIZES)
