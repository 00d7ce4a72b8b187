import math

import numpy as np
import pandas as pd
import pyproj
import pytest
import torch
from clip_stores import PROCESSOR, SETTINGS, frame_times, scene, track

from medicane_models.errors import ConfigurationError
from medicane_models.network.averaging import FLIPS, average_tracking
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.verification.matching import Blocks
from medicane_training.clips.dataset import ClipDataset
from medicane_training.flows.interface import Step
from medicane_training.flows.tracking import JUDGED_COLUMNS, TrackingFlow, trackable
from medicane_training.recipes.data_sections import Augmentation, DataSettings, SplitSettings
from medicane_training.recipes.kinds import TrackingRecipe
from medicane_training.recipes.sections import (
    ModelSettings,
    OptimizerSettings,
    TrackingSettings,
    TrainingSettings,
)
from medicane_training.run.loop import run_recipe
from medicane_training.scores.centres import (
    JudgedCentres,
    by_group,
    error_scores,
    intensity_classes,
    radii_km,
)
from medicane_training.store.build import build_store

SIZE = {"tubelet_size": 4, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
SIZE |= {"mlp_hidden_dim": 48}
FINE = {"stem": "residual", "stem_width": 4, "heatmap_features": True, "heatmap_stride": 2}
STORMS = (("a", 20.25, 12.5, 1), ("b", 80.0, 50.0, 7), ("c", 40.0, 40.0, 13), ("d", 60.0, 30.0, 19))
STEP = Step(number=0, part=0, seed=0, rank=0, world_size=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    tracks = pd.concat(
        [track(name, x, y, f"2020-09-17 {hour:02}:00", 3) for name, x, y, hour in STORMS],
        ignore_index=True,
    )
    tracks["pressure_hpa"] = tracks["track_id"].map({"a": 980.0, "b": 990.0, "c": 1003.0})
    return build_store(
        [scene(frame_times())],
        tmp_path_factory.mktemp("tracking") / "s.zarr",
        processor=PROCESSOR,
        tracks=tracks,
        settings=SETTINGS,
    )


def recipe(store, *, init=None, tracking=None, **changes):
    return TrackingRecipe(
        model=ModelSettings(
            preset=None if init else "tiny",
            init=None if init is None else str(init),
            changes=changes if init else SIZE | changes,
        ),
        data=DataSettings(
            store=str(store.path),
            split=SplitSettings(fractions=(0.5, 0.25, 0.25), guard_hours=0.9),
            augmentation=Augmentation(shift_px=(1, 8), center_margin_px=2),
        ),
        optimizer=OptimizerSettings(lr=1e-3),
        training=TrainingSettings(epochs=1, global_batch=4),
        tracking=tracking or TrackingSettings(),
    )


def flow_of(store, **options):
    return TrackingFlow.open(recipe(store, **options))


def judged(flow, model, rows):
    batch = ClipDataset(flow.clips.store).__getitems__(rows.tolist())
    with torch.no_grad():
        columns = flow.judge(model.eval(), batch)
    return batch, pd.DataFrame({"clip": rows, **columns})


def untrained(flow, seed=0):
    torch.manual_seed(seed)
    model, _ = flow.make_model()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def test_only_cyclones_with_a_known_centre_are_tracked(store):
    clips = store.clips
    chosen = trackable(clips)
    assert (clips.loc[chosen, "label"] == 1).all()
    assert clips.loc[chosen, ["target_x", "target_y"]].notna().all(axis=None)
    assert set(clips.loc[chosen, "storm"]) == {"a", "b", "c", "d"}
    flow = flow_of(store)
    parts = [flow.clips.rows(part) for part in ("train", "validation", "test")]
    assert chosen[np.concatenate(parts)].all()


def test_judged_errors_are_distances_on_the_ground(store):
    flow = flow_of(store)
    rows = flow.clips.rows("train")
    _, table = judged(flow, untrained(flow), rows)
    assert tuple(table.columns) == ("clip", *JUDGED_COLUMNS)
    grid = store.processor.grid
    offsets = store.clips.iloc[rows][["tile_x", "tile_y"]].to_numpy(float)
    lonlat = [
        grid.pixel_to_lonlat(*(offsets + table[[f"{which}x", f"{which}y"]]).to_numpy().T)
        for which in ("", "true_")
    ]
    sphere = pyproj.Geod(a=6371008.8, f=0)
    metres = sphere.inv(*lonlat[0], *lonlat[1])[2]
    np.testing.assert_allclose(table["error_km"], metres / 1000, rtol=1e-3)
    targets = store.clips.iloc[rows][["target_x", "target_y"]].to_numpy()
    np.testing.assert_allclose(table[["true_x", "true_y"]], targets, rtol=1e-6)
    apart = table[["x", "y"]].to_numpy() - targets
    np.testing.assert_allclose(table["error_px"], np.hypot(*apart.T), rtol=1e-4)


@pytest.mark.parametrize(
    "kind",
    [{"head": "heatmap"}, {"head": "regression"}, FINE],
    ids=["heatmap", "regression", "stem"],
)
def test_the_losses_of_clips_average_to_the_models(store, kind):
    flow = flow_of(store, **kind)
    model = untrained(flow)
    batch, table = judged(flow, model, flow.clips.rows("train"))
    pixels, centers = batch.pixel_values(store.processor)
    with torch.no_grad():
        expected = model(pixels, labels=centers).loss
    assert table["loss"].mean() == pytest.approx(expected.item(), rel=1e-5)
    assert table["loss"].std() > 0


def test_predictions_are_not_rounded(store):
    flow = flow_of(store)
    _, table = judged(flow, untrained(flow), flow.clips.rows("train"))
    assert (table[["x", "y"]].to_numpy() % 1 > 1e-4).mean() > 0.9


@pytest.mark.parametrize("head", ["heatmap", "regression"])
def test_gradients_reach_every_weight(store, head):
    flow = flow_of(store, head=head)
    torch.manual_seed(0)
    model, _ = flow.make_model()
    batch = next(iter(flow.clips.training(global_batch=4, rank=0, world_size=1)))
    assert batch.views is not None
    flow.loss(model, batch, STEP).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_a_heatmap_learns_where_blobs_are():
    """16 clips with a bright blob each, until all are found to a twentieth of the tile."""
    torch.manual_seed(0)
    config = MedicaneConfig.preset(
        "tiny", task="tracking", image_size=64, num_frames=4, in_channels=1, pixel_std=(1.0,),
        **SIZE,
    )  # fmt: skip
    model = MedicaneForTracking(config)
    centers = 8 + 48 * torch.rand(16, 2)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    apart = (x - centers[:, 0, None, None]) ** 2 + (y - centers[:, 1, None, None]) ** 2
    clips = (3 * torch.exp(-apart / 50))[:, None, None].expand(16, 4, 1, 64, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = model(clips, labels=centers).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (model.eval()(clips).center - centers).norm(dim=1)
    assert error.max() < 3
    assert error.mean() < 2  # half a cell of 4 pixels


def test_a_regression_head_takes_its_units_from_the_training_centres(store):
    flow = flow_of(store, head="regression")
    model, _ = flow.make_model()
    targets = flow.clips.table("train")[["target_x", "target_y"]].to_numpy()
    assert model.config.center_mean_px == pytest.approx(tuple(targets.mean(0)))
    assert model.config.center_scale_px == pytest.approx(tuple(targets.std(0)))


def test_the_research_recipes_loss_is_in_pixels(store):
    units = {"center_mean_px": (0.0, 0.0), "center_scale_px": (1.0, 1.0)}
    flow = flow_of(store, head="regression", **units)
    _, table = judged(flow, untrained(flow), flow.clips.rows("train"))
    np.testing.assert_allclose(table["loss"], table["error_px"] ** 2 / 2, rtol=1e-4)


def test_units_are_refused_where_the_head_does_not_read_them(store, tmp_path):
    flow = flow_of(store)
    flow.make_model()[0].save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="center_mean_px, which the heatmap head"):
        flow_of(store, init=tmp_path, center_mean_px=(1.0, 1.0)).make_model()


def test_a_classifiers_backbone_is_taken_over(store, tmp_path):
    torch.manual_seed(3)
    clips = {"image_size": 32, "num_frames": 4, "in_channels": 1, "pixel_std": (0.25,)}
    classifier = MedicaneForVideoClassification(MedicaneConfig(**clips, **SIZE))
    classifier.processor = store.processor
    classifier.save_pretrained(tmp_path)
    model, report = flow_of(store, init=tmp_path, head="regression").make_model()
    assert report is not None
    assert {name.partition(".")[0] for name in report.fresh} == {"head"}
    torch.testing.assert_close(
        model.state_dict()["blocks.0.attn.qkv.weight"],
        classifier.state_dict()["blocks.0.attn.qkv.weight"],
    )


def test_a_tracker_that_trains_on_keeps_its_units_and_head(store, tmp_path):
    units = {"center_mean_px": (3.0, 4.0), "center_scale_px": (5.0, 6.0)}
    flow = flow_of(store, head="regression", **units)
    before = untrained(flow)
    before.save_pretrained(tmp_path)
    model, _ = flow_of(store, init=tmp_path).make_model()
    assert model.config.center_mean_px == (3.0, 4.0)
    torch.testing.assert_close(model.head.mlp[1].weight, before.head.mlp[1].weight)


def test_a_regression_heads_error_is_that_of_validation_storms_alike(store):
    flow = flow_of(store, head="regression")
    model = untrained(flow)
    clips = flow.clips.store.clips
    one, other = (np.flatnonzero((clips["storm"] == s) & (clips["label"] == 1)) for s in "ab")
    rows = np.array([one[0], *other[:3]])
    _, table = judged(flow, model, rows)
    apart = np.array([[2, 0], [0, 4], [0, 4], [0, 4]])
    table[["x", "y"]] = table[["true_x", "true_y"]].to_numpy() + apart
    released, rejudged = flow.finish(model, table)
    expected = np.array([[2.0, 0], [0, 8]]) + np.eye(2) / 12
    np.testing.assert_allclose(released.config.error_covariance_px, expected, rtol=1e-5)
    covariance = released.head.decode(torch.zeros(1, 2)).covariance
    np.testing.assert_allclose(covariance[0], expected, rtol=1e-5)
    np.testing.assert_allclose(rejudged["variance_y"], expected[1, 1], rtol=1e-5)
    assert "2 storms" in (released.config.trained_on or "")


def test_a_released_model_may_average_mirrored_views(store):
    flow = flow_of(store)
    model = untrained(flow)
    model.config = model.config.replace(views="flips")
    rows = flow.clips.rows("train")
    batch, plain = judged(flow, model, rows)
    pixels, _ = batch.pixel_values(store.processor)
    with torch.no_grad():
        columns = flow.judge_released(model, batch)
        expected = average_tracking(model, pixels, FLIPS).center
    np.testing.assert_allclose(np.stack([columns["x"], columns["y"]], 1), expected, rtol=1e-5)
    np.testing.assert_allclose(columns["loss"], plain["loss"])
    assert not np.allclose(columns["x"], plain["x"])


def of_normal_errors(count=20000, scale=1.0):
    covariance = np.array([[9.0, 3.0], [3.0, 4.0]])
    apart = np.random.default_rng(0).multivariate_normal((0, 0), covariance, count) * scale
    grid, middle = PROCESSOR.grid, np.array([[15.5, 15.5]])
    to_km = np.asarray(grid.jacobian_km(15.5, 15.5))
    radii = radii_km(grid, np.zeros((1, 2)), middle, covariance[None])
    return JudgedCentres(
        found=middle + apart,
        truth=np.repeat(middle, count, axis=0),
        covariance=np.broadcast_to(covariance, (count, 2, 2)),
        error_km=np.hypot(*(to_km @ apart.T)),
        radii_km=np.repeat(radii, count, axis=0),
        loss=np.zeros(count),
    )


def test_honest_radii_hold_the_share_they_promise():
    scores = of_normal_errors().scores()
    assert scores["coverage_50"] == pytest.approx(0.5, abs=0.01)
    assert scores["coverage_95"] == pytest.approx(0.95, abs=0.005)
    assert scores["radius_factor"] == pytest.approx(1, abs=0.01)


def test_radii_that_are_too_small_are_told_by_how_much():
    assert of_normal_errors(scale=2.5).scores()["radius_factor"] == pytest.approx(2.5, abs=0.03)


def test_radii_that_were_never_measured_are_unknown(store):
    flow = flow_of(store, head="regression")
    _, table = judged(flow, untrained(flow), flow.clips.rows("train"))
    scores = flow.score(table)
    assert all(math.isnan(scores[name]) for name in ("coverage_50", "coverage_95", "radius_factor"))
    assert math.isfinite(scores["mean_km"])


def test_a_method_that_says_nothing_has_no_errors():
    scores = error_scores(np.full(2, np.nan), Blocks(np.array(["a", "b"]), np.array([True, True])))
    assert all(math.isnan(score["value"]) for score in scores.values())


def test_strength_comes_from_the_nearest_time_of_the_track(store):
    clips = store.clips.loc[trackable(store.clips)]
    classes = intensity_classes(store.tracks, clips["end"], clips["storm"])
    by_storm = {storm: set(classes[clips["storm"] == storm]) for storm in "abcd"}
    assert by_storm == {
        "a": {"0 … 985 hPa"},
        "b": {"985 … 1000 hPa"},
        "c": {"1000 hPa and more"},
        "d": {""},
    }
    bare = intensity_classes(store.tracks[["track_id", "time"]], clips["end"], clips["storm"])
    assert set(bare) == {""}


def test_groups_leave_out_what_belongs_to_none():
    errors = {"model": np.array([1.0, 3.0, 100.0])}
    (row,) = by_group(errors, np.array(["x", "x", ""]), "storm")
    assert (row["storm"], row["clips"], row["model"]["mean_km"]) == ("x", 2, 2.0)


def test_the_report_sets_the_model_beside_the_baselines(store):
    flow = flow_of(store)
    model = untrained(flow)
    _, table = judged(flow, model, flow.clips.rows("train"))
    report = flow.report(model, table)
    assert [row["method"] for row in report["table"]] == [
        *("model", "tile centre", "cold-cloud centroid", "coldest 60 km"),
        *("spiral gradient", "centre 1 h ago"),
    ]
    mean = report["scores"]["model"]["mean_km"]
    assert mean["value"] == pytest.approx(table["error_km"].mean(), rel=1e-6)
    assert mean["low"] <= mean["value"] <= mean["high"]
    assert report["counts"] == {"clips": len(table), "storms": 2}
    by_storm = {row["storm"]: row["model"]["mean_km"] for row in report["by_storm"]}
    storms = store.clips["storm"].iloc[table["clip"]].to_numpy()
    expected = table["error_km"].groupby(storms).mean()
    assert by_storm == pytest.approx(expected.to_dict(), rel=1e-6)
    alone = flow_of(store, tracking=TrackingSettings(baselines=False)).report(model, table)
    assert list(alone["scores"]) == ["model"]


def test_a_run_trains_draws_and_tests(store, tmp_path):
    small = recipe(store, views="eight")
    run_recipe(small, tmp_path / "run", test=True)
    model = MedicaneForTracking.from_pretrained(tmp_path / "run")
    assert model.config.trained_on is not None
    assert list((tmp_path / "run" / "pictures").glob("*.png"))
    report = pd.read_parquet(tmp_path / "run" / "test.parquet")
    assert {"x", "y", "error_km", "tile_x"} <= set(report.columns)
    assert (tmp_path / "run" / "test.json").is_file()
