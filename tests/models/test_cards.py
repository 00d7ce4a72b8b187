import huggingface_hub
import pytest

from medicane_models.cards import model_card
from medicane_models.configuration import MedicaneConfig


@pytest.mark.parametrize("task", ["pretraining", "classification", "tracking"])
def test_the_hub_reads_the_front_matter(task):
    card = huggingface_hub.ModelCard(
        model_card(MedicaneConfig(task=task), name="me/storms", base_model="me/base")
    )
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "medicane-models"
    assert card.data.base_model == "me/base"
    assert task in card.data.tags


def test_training_data_or_their_absence_is_stated():
    assert "UNTRAINED" in model_card(MedicaneConfig(), name="x")
    trained = model_card(MedicaneConfig(trained_on="Forty simulated storms."), name="x")
    assert "UNTRAINED" not in trained
    assert "Forty simulated storms." in trained


def test_use_is_shown_with_the_whole_name():
    assert 'from_pretrained("me/storms")' in model_card(MedicaneConfig(), name="me/storms")
