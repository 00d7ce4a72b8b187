import re
from typing import get_args

import huggingface_hub
import pytest

from medicane_models.network.cards import license_of, model_card
from medicane_models.network.configuration import MedicaneConfig, Task
from medicane_models.scenes.processing import MedicaneProcessor

LINK = "https://example.org/terms"


def infrared(**settings) -> MedicaneProcessor:
    return MedicaneProcessor.infrared(low=300, high=200, mean=(0.0,), std=(1.0,), **settings)


@pytest.mark.parametrize("task", ["pretraining", "classification", "tracking"])
def test_the_hub_reads_the_front_matter(task):
    card = huggingface_hub.ModelCard(
        model_card(MedicaneConfig(task=task), name="me/storms", base_model="me/base")
    )
    assert card.data.license == "unknown"
    assert card.data.library_name == "medicane-models"
    assert card.data.base_model == "me/base"
    assert task in card.data.tags


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n# Storms\n", "cc-by-nc-4.0"),
        ("---\nlicense: other\nlicense_name: by-request\n---\n", "other:by-request"),
        (
            f"---\nlicense: other\nlicense_name: ours\nlicense_link: {LINK}\n---\n",
            f"other:ours <{LINK}>",
        ),
        ("---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\n---\n", "other:ours"),
        ("---\ntags: [video]\n---\n# Storms\n", "unknown"),
        ("# Storms\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_weights_keep_the_licence_of_those_they_come_from(tmp_path, card, expected):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert license_of(str(tmp_path)) == expected


def test_licences_of_embedded_weights_are_told():
    assert license_of("medicane-tiny-detector") == "apache-2.0"
    for name in ("medicane-ir-detector", "medicane-ir-tracker"):
        assert license_of(name).startswith("other:research-use-only <https://")


@pytest.mark.parametrize("name", ["by-request", "a:b", "Our Terms"])
@pytest.mark.parametrize("link", [None, LINK])
def test_a_licence_that_the_hub_does_not_list_has_a_name(name, link, tmp_path):
    stated = f"other:{name} <{link}>" if link else f"other:{name}"
    card = model_card(MedicaneConfig(), name="x", license_id=stated)
    told = huggingface_hub.ModelCard(card).data
    assert (told.license, told.license_name, told.get("license_link")) == ("other", name, link)
    assert f"## Licence\n\nOf the weights: {name}." in card
    (tmp_path / "README.md").write_text(card)
    assert license_of(str(tmp_path)) == stated


@pytest.mark.parametrize("task", get_args(Task))
def test_nobody_but_the_user_chooses_a_licence(task):
    config = MedicaneConfig(task=task, trained_on="Storms.")
    untold, told = model_card(config, name="x"), model_card(config, name="x", license_id="mit")
    assert "license: unknown" in untold
    assert "## Licence\n\nNot stated" in untold
    assert "license: mit" in told
    assert "## Licence\n\nOf the weights: mit." in told


def test_no_region_and_no_storms_are_taken_for_granted():
    for task in get_args(Task):
        text = model_card(MedicaneConfig(task=task), name="x", processor=infrared())
        assert re.search(r"medicanes|mediterranean|- medicane$", text, re.M | re.I) is None


def test_classes_are_those_of_the_labels():
    config = MedicaneConfig(id2label={index: f"dance {index}" for index in range(400)})
    text = model_card(config, name="x")
    assert "dance 0, dance 1, dance 2, dance 3, dance 4 and 395 more classes" in text
    assert "cyclone" not in text.partition("\n# x")[2].partition("```")[0]


def test_a_processor_tells_sensor_bands_grid_gaps_and_times():
    processor = infrared(time_convention="start_of_scan", max_missing=3)
    text = model_card(MedicaneConfig(in_channels=1), name="x", processor=processor)
    assert f"Grid: {processor.grid}." in text
    assert f"From {processor.sensor}, a frame every 5 minutes" in text
    assert str(processor.bands[0]) in text
    assert "when its scan begins" in text
    assert "Up to 3 of the 16 frames may be missing" in text
    assert "parallax" in text


def test_without_a_processor_nothing_is_said_of_scenes():
    text = model_card(MedicaneConfig(), name="x")
    assert "Sensor, channels, cadence and region are not stated" in text
    assert "satellite" not in text


def test_training_data_or_their_absence_is_stated():
    assert "UNTRAINED" in model_card(MedicaneConfig(), name="x")
    trained = model_card(MedicaneConfig(trained_on="Forty simulated storms."), name="x")
    assert "UNTRAINED" not in trained
    assert "Forty simulated storms." in trained


def test_use_is_shown_with_the_whole_name():
    assert 'from_pretrained("me/storms")' in model_card(MedicaneConfig(), name="me/storms")


REPORT = {
    "data_kind": "simulated",
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
    assert results[0].dataset_args == {"clips": 300, "storms": 4}
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


@pytest.mark.parametrize(("data_kind", "evaluation"), [("simulated", None), ("real", REPORT)])
def test_simulated_data_are_called_so(data_kind, evaluation):
    config = MedicaneConfig(trained_on="9 clips.", data_kind=data_kind)
    text = model_card(config, name="x", evaluation=evaluation)
    assert "A simulated score says nothing about real storms" in text


def test_real_data_are_not_called_simulated():
    config = MedicaneConfig(trained_on="9 clips of Meteosat-11.", data_kind="real")
    report = {**REPORT, "data_kind": "real"}
    assert "imulated" not in model_card(config, name="x", evaluation=report)


def test_simulated_storms_among_the_training_are_told_beside_real_scores():
    config = MedicaneConfig(trained_on="9 clips.", data_kind="mixed")
    text = model_card(config, name="x", evaluation={**REPORT, "data_kind": "real"})
    assert "Trained on real scenes and on simulated ones; judged by real ones alone." in text
    assert "Partly simulated" not in text


@pytest.mark.parametrize(
    ("data_kind", "said"),
    [(None, "real or simulated is not stated"), ("mixed", "**Partly simulated data.**")],
)
def test_what_kind_the_data_were_is_not_read_off_a_sentence(data_kind, said):
    config = MedicaneConfig(trained_on="Real storms, none simulated.", data_kind=data_kind)
    text = model_card(config, name="x")
    assert said in text
    assert "**Simulated data.**" not in text
