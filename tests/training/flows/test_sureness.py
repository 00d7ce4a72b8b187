"""Labels are as sure as their storm is strong."""

import numpy as np
import pandas as pd
import pytest
import torch
from sample_stores import KM, SIZE, sample_store
from tiny_flows import step

from medicane_models.errors import ConfigurationError
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.sureness import label_weights, label_widths_km, strength
from medicane_training.flows.tracking import TrackingFlow
from medicane_training.recipes.data_sections import Augmentation, DataSettings
from medicane_training.recipes.kinds import TrackingRecipe
from medicane_training.recipes.sections import (
    ModelSettings,
    OptimizerSettings,
    TrackingSettings,
    TrainingSettings,
)

NAN = float("nan")
VIEWS = Augmentation(shift_px=(0, 5), scale=(0.5, 2.0), center_margin_px=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sample_store(tmp_path_factory.mktemp("sure") / "s.zarr")


def flow(store, **tracking) -> TrackingFlow:
    recipe = TrackingRecipe(
        model=ModelSettings(preset="infrared"),
        data=DataSettings(store=str(store.path), augmentation=VIEWS),
        optimizer=OptimizerSettings(lr=1e-3),
        training=TrainingSettings(epochs=1, global_batch=4),
        tracking=TrackingSettings(**tracking),
    )
    return TrackingFlow.open(recipe)


class Recorder:
    """Stands in for the model and keeps what it is given."""

    def __call__(self, pixels, labels, label_sigma, label_weight):
        self.sigma, self.weight = label_sigma, label_weight
        return self

    loss = torch.zeros(())


@pytest.mark.parametrize(
    ("wind", "pressure", "expected"),
    [
        (115, NAN, 1.0),
        (140, 1005, 1.0),
        (75, NAN, 0.5),
        (20, 930, 0.0),
        (NAN, 930, 1.0),
        (NAN, 1005, 0.0),
        (NAN, NAN, 0.5),
    ],
)
def test_wind_comes_before_pressure_and_the_unknown_lies_between(wind, pressure, expected):
    clips = pd.DataFrame({"wind_kt": [float(wind)], "pressure_hpa": [float(pressure)]})
    assert strength(clips).tolist() == pytest.approx([expected])
    assert label_widths_km(clips, (15, 60)).tolist() == pytest.approx([60 - 45 * expected])
    assert label_weights(clips, (1, 0.5)).tolist() == pytest.approx([0.5 + 0.5 * expected])


def test_widths_are_in_pixels_of_the_view_and_grow_with_it(store):
    tracking = flow(store, label_km=(15.0, 60.0), label_weights=(1.0, 0.5))
    rows = np.flatnonzero(store.clips["label"] == 1)[::4]
    batch = ClipDataset(store, augmentation=VIEWS).__getitems__(rows.tolist())
    given = Recorder()
    tracking.loss(given, batch, step())
    assert batch.views is not None
    km = label_widths_km(store.clips.iloc[rows], (15, 60))
    scale = batch.views.matrix.numpy()[:, :, 0]
    expected = km / KM * np.hypot(*scale.T)
    np.testing.assert_allclose(given.sigma, expected, rtol=1e-3)
    assert given.weight.std() > 0
    assert batch.codes.shape[-1] > SIZE


def test_weights_are_one_on_average_over_the_training_clips(store):
    tracking = flow(store, label_weights=(1.0, 0.2))
    train = torch.from_numpy(tracking.clips.rows("train"))
    batch = ClipDataset(store).__getitems__(train.tolist())
    sigma, weight = tracking._sureness(batch)
    assert sigma is None
    assert weight is not None
    assert weight.mean().item() == pytest.approx(1, abs=1e-6)


def test_exact_labels_of_one_weight_leave_the_loss_as_it_is(store):
    assert flow(store)._sureness(ClipDataset(store)[0]) == (None, None)


def test_a_head_that_knows_no_width_is_refused(store):
    tracking = flow(store, label_km=(15.0, 60.0))
    changes = ModelSettings(preset="tiny", changes={"head": "regression"})
    recipe = TrackingRecipe(**{**vars(tracking.recipe), "model": changes})
    with pytest.raises(ConfigurationError, match="a regression head knows no width of a target"):
        TrackingFlow(recipe, tracking.clips).make_model()


def test_impossible_widths_are_refused():
    with pytest.raises(ConfigurationError, match="give two numbers above 0"):
        TrackingSettings(label_km=(0.0, 60.0))
