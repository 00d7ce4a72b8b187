from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from clip_stores import PROCESSOR
from tiny_flows import SIZES, classification, judged, step, train, visible_store
from torch.nn import functional as F  # noqa: N812

from medicane_models.errors import ConfigurationError
from medicane_models.files import json_text
from medicane_models.verification.scores import roc_area
from medicane_training.clips.batches import ClipBatch
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.classification import ClassificationFlow, drawn_frequencies
from medicane_training.recipes.sections import ModelSettings
from medicane_training.store.clip_store import save_table


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return visible_store(tmp_path_factory.mktemp("classification"))


@pytest.fixture(scope="module")
def learned(store):
    """A flow, and a model that has learned 16 of its training clips."""
    flow = ClassificationFlow.open(classification(store, keep=("predictions", "logits")))
    torch.manual_seed(0)
    model = flow.make_model()[0]
    losses = train(flow, model, sixteen(flow), 60)
    return flow, model.eval(), losses


def sixteen(flow: ClassificationFlow) -> ClipBatch:
    """Training clips, as many cyclones as there are up to eight."""
    table = flow.clips.table("train")
    cyclones = table.index[table["label"] == 1][:8]
    others = table.index[table["label"] == 0][:: len(table) // 16]
    return clips(flow, *[*cyclones, *others][:16])


def clips(flow: ClassificationFlow, *numbers: int) -> ClipBatch:
    return ClipDataset(flow.clips.store).__getitems__([int(number) for number in numbers])


def test_sixteen_clips_are_learned(learned):
    *_, losses = learned
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert np.mean(losses[-5:]) < 0.05


def test_what_was_learned_holds_for_another_storm(learned):
    flow, model, _ = learned
    table = judged(flow, model)
    truth = (flow.clips.table("validation")["label"] == 1).to_numpy()
    assert roc_area(table["probability"].to_numpy(float), truth) > 0.95


def test_the_loss_is_torchs_with_smoothing_and_weights(store):
    flow = ClassificationFlow.open(
        classification(store, label_smoothing=0.2, class_weights=(0.5, 3.0))
    )
    model, _ = flow.make_model()
    batch = sixteen(flow)
    logits = model(batch.pixel_values(PROCESSOR)[0]).logits
    weight = torch.tensor([0.5, 3.0])
    expected = F.cross_entropy(
        logits, batch.label, weight=weight, label_smoothing=0.2, reduction="sum"
    )
    torch.testing.assert_close(flow.loss(model, batch, step()), expected / 16)


def test_mixing_depends_on_the_step_alone(store):
    flow = ClassificationFlow.open(classification(store, mixup=0.8, cutmix=1.0))
    model, _ = flow.make_model()
    first, again, other = (flow.loss(model, sixteen(flow), step(n)).item() for n in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("order", ["shuffled", "balanced"])
def test_balanced_weights_undo_how_often_classes_are_drawn(store, order):
    recipe = classification(store, class_weights="balanced", data={"order": order, "samples": None})
    flow = ClassificationFlow.open(recipe)
    drawn = [flow.clips._order()(epoch) for epoch in range(5)]
    labels = flow.clips.store.clips["label"].to_numpy()[np.concatenate(drawn)]
    frequency = np.bincount(labels, minlength=2) / len(labels)
    np.testing.assert_allclose(drawn_frequencies(flow.clips, 2), frequency, atol=0.02)
    np.testing.assert_allclose(flow.class_weights * frequency, 0.5, atol=0.05)


def with_neighbours(store, tmp_path):
    """The same clips, every fifth one without a cyclone being beside one."""
    for path in store.iterdir():
        (tmp_path / store.name).mkdir(exist_ok=True)
        if path.name != "clips.parquet":
            (tmp_path / store.name / path.name).symlink_to(path)
    index = pd.read_parquet(store / "clips.parquet")
    index.loc[(index.index % 5 == 0) & (index["label"] == 0), "label"] = 2
    save_table(index, tmp_path / store.name / "clips.parquet")
    (tmp_path / "split.csv").write_text((store.parent / "split.csv").read_text())
    return tmp_path / store.name


def test_tiles_beside_a_cyclone_are_a_class_of_their_own_or_none(store, tmp_path):
    path = with_neighbours(store, tmp_path)
    tables = {}
    for classes in (2, 3):
        flow = ClassificationFlow.open(classification(path, classes=classes))
        model, _ = flow.make_model()
        assert len(model.config.id2label) == classes
        assert model.config.id2label[1] == "cyclone"
        assert flow.loss(model, sixteen(flow), step()).isfinite()
        tables[classes] = judged(flow, model)
        assert np.isfinite(list(flow.score(tables[classes]).values())[:1]).all()
    assert set(tables[2]["label"]) == {0, 1}
    assert set(tables[3]["label"]) == {0, 1, 2}
    assert "logit_2" in tables[3]
    assert flow.score(tables[3])["neighbour_as_neighbour"] >= 0


def test_clips_without_a_label_are_never_read(store):
    flow = ClassificationFlow.open(classification(store))
    ignored = flow.clips.store.clips.index[flow.clips.store.clips["label"] == -1]
    assert len(ignored)
    for part in ("train", "validation"):
        assert not set(ignored) & set(flow.clips.rows(part))


def test_a_class_without_training_clips_is_refused(store):
    with pytest.raises(ConfigurationError, match="of class neighbour"):
        ClassificationFlow.open(classification(store, classes=3))


def test_a_linear_probe_trains_the_head_alone(store):
    flow = ClassificationFlow.open(classification(store, train="head"))
    model, _ = flow.make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(flow, model, sixteen(flow), 2)
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"head.weight", "head.bias"}
    assert model.config.drop_path_rate == 0


def test_dropout_of_a_linear_probe_is_refused(store):
    recipe = classification(store, train="head")
    settings = ModelSettings(preset="tiny", changes={**SIZES, "drop_path_rate": 0.1})
    flow = ClassificationFlow.open(replace(recipe, model=settings))
    with pytest.raises(ConfigurationError, match="sets drop_path_rate"):
        flow.make_model()


def test_columns_are_kept_as_asked(store, learned):
    _, model, _ = learned
    for keep, expected in {
        ("predictions",): {"label", "probability"},
        ("logits",): {"logit_0", "logit_1"},
        ("embeddings",): {"embedding"},
    }.items():
        flow = ClassificationFlow.open(classification(store, keep=keep))
        table = flow.kept(judged(flow, model))
        assert set(table.columns) == {"clip", "loss", *expected}
    embedding = torch.tensor(np.stack(table["embedding"]))
    row = clips(flow, table["clip"][0]).pixel_values(PROCESSOR)[0]
    torch.testing.assert_close(model.head(embedding[:1]), model(row).logits, rtol=1e-3, atol=1e-4)


def test_scores_of_the_sample_by_hand(learned):
    flow, _, _ = learned
    rows = flow.clips.rows("validation")
    truth = (flow.clips.table("validation")["label"] == 1).to_numpy()
    found = truth.copy()
    found[np.flatnonzero(truth)[0]] = False
    found[np.flatnonzero(~truth)[:3]] = True
    logit = np.where(found, 2.0, -2.0)
    table = pd.DataFrame(
        {
            "clip": rows,
            "label": truth.astype(int),
            "loss": 0.5,
            "probability": 1 / (1 + np.exp(-2 * logit)),
            "logit_0": -logit,
            "logit_1": logit,
        }
    )
    scores, hits = flow.score(table), truth.sum() - 1
    assert scores["pod"] == pytest.approx(hits / (hits + 1))
    assert scores["far"] == pytest.approx(3 / (hits + 3))
    assert scores["csi"] == pytest.approx(hits / (hits + 4))
    assert scores["accuracy"] == pytest.approx(1 - 4 / len(rows))
    assert scores["no_cyclone_as_cyclone"] == 3
    assert scores["loss"] == 0.5


def test_the_released_model_is_calibrated_at_the_deployment_rate(store):
    flow = ClassificationFlow.open(classification(store, deployment_rate=0.01))
    torch.manual_seed(0)
    model = flow.make_model()[0]
    train(flow, model, sixteen(flow), 12)
    finished, released = flow.finish(model, judged(flow, model))
    after = judged(flow, finished)
    columns = ["loss", "probability", "logit_0", "logit_1"]
    np.testing.assert_allclose(released[columns], after[columns], rtol=1e-3, atol=1e-5)
    truth = (after["label"] == 1).to_numpy()
    weight = np.where(truth, 0.01 / truth.sum(), 0.99 / (~truth).sum())
    assert np.average(after["probability"], weights=weight) == pytest.approx(0.01, rel=0.01)
    alarms = after["probability"] >= finished.config.threshold
    chosen = truth[alarms].sum()
    assert chosen
    assert finished.config.trained_on.endswith("1 storm; split by file.")


def test_weights_of_the_loss_count_where_validation_cannot_tell(store):
    """Balanced weights teach a prior of one half, whatever was drawn."""
    recipe = classification(store, class_weights="balanced", deployment_rate=0.01)
    flow = ClassificationFlow.open(recipe)
    model = flow.make_model()[0]
    table = judged(flow, model)
    before = model.head.bias[1].item()
    finished, _ = flow.finish(model, table[table["label"] == 0].reset_index(drop=True))
    assert finished.head.bias[1].item() - before == pytest.approx(np.log(0.01 / 0.99), rel=1e-5)


def test_views_are_averaged_as_probabilities(learned, monkeypatch):
    flow, model, _ = learned
    monkeypatch.setattr(model, "config", model.config.replace(views="flips"))
    batch = clips(flow, 30, 31)
    pixels = batch.pixel_values(PROCESSOR)[0]
    with torch.no_grad():
        found = flow.judge_released(model, batch)["probability"]
        flipped = [pixels.flip(axes) for axes in ([], [3], [4], [3, 4])]
        likely = torch.stack([model(view).logits.softmax(1) for view in flipped]).mean(0)
        expected = (likely.log() / model.config.temperature).softmax(1)[:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_report_stands_beside_baselines(learned):
    flow, model, _ = learned
    table = judged(flow, model, flow.judge_released)
    report = flow.report(model, table)
    truth = (table["label"] == 1).to_numpy()
    alarms = (table["probability"] >= model.config.threshold).to_numpy()
    scores = report["scores"]
    assert scores["model"]["pod"]["value"] == pytest.approx(alarms[truth].mean())
    assert scores["never"]["pod"]["value"] == 0
    assert scores["coldest_60_km"]["roc_area"]["value"] == pytest.approx(
        roc_area(table["coldness"].to_numpy(float), truth)
    )
    assert report["counts"]["cyclones"] == truth.sum()
    assert report["by_storm"] == [
        {"storm": "second", "n": truth.sum(), "pod": pytest.approx(alarms[truth].mean())}
    ]
    assert report["data_kind"] == "real"
    assert {"score", "model", "coldest_60_km", "never"} == set(report["table"][0])
    assert json_text(report)


def test_one_storm_gives_no_interval(learned):
    flow, model, _ = learned
    report = flow.report(model, judged(flow, model, flow.judge_released))
    score = report["scores"]["model"]["pod"]
    assert np.isnan([score["low"], score["high"]]).all()
