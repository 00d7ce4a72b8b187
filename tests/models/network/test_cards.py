import huggingface_hub
import pytest

from medicane_models.network.cards import license_of, model_card
from medicane_models.network.configuration import MedicaneConfig


@pytest.mark.parametrize("task", ["pretraining", "classification", "tracking"])
def test_the_hub_reads_the_front_matter(task):
    card = huggingface_hub.ModelCard(
        model_card(MedicaneConfig(task=task), name="me/storms", base_model="me/base")
    )
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "medicane-models"
    assert card.data.base_model == "me/base"
    assert task in card.data.tags


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n# Storms\n", "cc-by-nc-4.0"),
        ("---\ntags: [video]\n---\n# Storms\n", "unknown"),
        ("# Storms\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_weights_keep_the_licence_of_those_they_come_from(tmp_path, card, expected):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert license_of(str(tmp_path)) == expected


def test_random_weights_and_embedded_ones_are_free():
    assert license_of(None) == license_of("medicane-tiny-detector") == "apache-2.0"


def test_training_data_or_their_absence_is_stated():
    assert "UNTRAINED" in model_card(MedicaneConfig(), name="x")
    trained = model_card(MedicaneConfig(trained_on="Forty simulated storms."), name="x")
    assert "UNTRAINED" not in trained
    assert "Forty simulated storms." in trained


def test_use_is_shown_with_the_whole_name():
    assert 'from_pretrained("me/storms")' in model_card(MedicaneConfig(), name="me/storms")


REPORT = {
    "simulated": True,
    "counts": {"clips": 300, "storms": 4},
    "scores": {
        "model": {
            "csi": {"value": 0.5, "low": 0.4, "high": 0.6},
            "far": {"value": float("nan"), "low": float("nan"), "high": float("nan")},
        },
        "never": {"csi": {"value": 0.0, "low": 0.0, "high": 0.0}},
    },
    "table": [{"score": "csi", "model": "0.5 (0.4 … 0.6)", "never": "0"}],
}


def test_the_hub_lists_the_models_own_test_scores():
    text = model_card(MedicaneConfig(), name="me/storms", evaluation=REPORT)
    results = huggingface_hub.ModelCard(text).data.eval_results
    assert [(r.metric_type, r.metric_value, r.dataset_split) for r in results] == [
        ("csi", 0.5, "test")
    ]
    assert results[0].dataset_name == "Simulated clips"
    assert results[0].task_type == "video-classification"


def test_scores_stand_beside_counts_intervals_and_baselines():
    text = model_card(MedicaneConfig(), name="x", evaluation=REPORT)
    assert "| score | model | never |" in text
    assert "| csi | 0.5 (0.4 … 0.6) | 0 |" in text
    assert "300 clips, 4 storms" in text


def test_validation_scores_are_told_from_test_scores():
    text = model_card(MedicaneConfig(), name="x", evaluation={"clips": 80, "pr_area": 0.25})
    assert "validation clips (80 clips), which chose the model" in text
    assert "| pr_area | 0.25 |" in text
    assert huggingface_hub.ModelCard(text).data.eval_results is None


@pytest.mark.parametrize(
    ("trained_on", "evaluation"),
    [("9 clips of SIMULATED scenes.", None), ("9 clips.", REPORT)],
)
def test_simulated_data_are_called_so(trained_on, evaluation):
    config = MedicaneConfig(trained_on=trained_on)
    text = model_card(config, name="x", evaluation=evaluation)
    assert "A simulated score says nothing about real storms" in text


def test_real_data_are_not_called_simulated():
    config = MedicaneConfig(trained_on="9 clips of Meteosat-11.")
    report = {**REPORT, "simulated": False}
    assert "imulated" not in model_card(config, name="x", evaluation=report)
