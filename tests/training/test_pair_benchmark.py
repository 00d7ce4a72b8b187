"""The benchmark of the infrared pair, on a tiny store."""

import importlib
import json
from pathlib import Path

import pandas as pd
import pytest
from sample_stores import PROCESSOR, sample_store

from medicane_models.network.cards import license_of
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking
from medicane_training.scores import intervals
from medicane_training.scores.robustness import CHANGES

pytestmark = pytest.mark.slow

SMALL = {
    "model.changes.embed_dim": 24,
    "model.changes.depth": 1,
    "model.changes.num_heads": 2,
    "model.changes.mlp_hidden_dim": 48,
    "model.changes.stem_width": 4,
    "data.samples": 32,
    "data.augmentation.shift_px": "[0, 7]",
    "data.augmentation.center_margin_px": 2,
    "training.global_batch": 16,
    "optimizer.warmup_epochs": 0,
}
SETTINGS = [part for item in SMALL.items() for part in ("--set", "=".join(map(str, item)))]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    pair = importlib.import_module("infrared_pair")
    monkeypatch.setattr(pair, "JUDGED_SETS", ("himawari", "hursat"))

    def few(*arguments, samples, **options):
        return bootstrap(*arguments, samples=20, **options)

    bootstrap = intervals.bootstrap
    monkeypatch.setattr(intervals, "bootstrap", few)
    return pair


def test_the_pair_has_the_licence_of_the_embedded_one(benchmark):
    assert (
        importlib.import_module("pair_recipes").LICENSE
        == license_of("medicane-ir-tracker")
        == license_of("medicane-ir-detector")
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sample_store(tmp_path_factory.mktemp("store") / "s.zarr")


def run(benchmark, command: str, store, out: Path, *more: str) -> dict:
    epochs = ["--epochs", "1", "--test-storms", "[ana, bo]"]
    benchmark.main([command, str(store.path), "--out", str(out), *epochs, *SETTINGS, *more])
    return json.loads((out / f"{command}.json").read_text())


def test_the_plain_net_trains_tests_and_tells_presence(benchmark, store, tmp_path):
    fractions = "data.split.fractions=[0.5, 0.5, 0.0]"
    found = run(benchmark, "baseline", store, tmp_path, "--set", fractions)
    assert found["counts"] == {"clips": 20, "storms": 2}
    assert {row["method"] for row in found["errors"]["all"]} >= {"plain net", "tile centre"}
    assert found["presence"]["counts"] == {"clips": 20, "cyclones": 20}
    assert set(found["presence"]["scores"]) == {"plain net", "coldest 60 km"}
    judged = pd.read_parquet(tmp_path / "validation.parquet")
    assert judged["presence"].between(0, 1).all()
    assert judged["error_km"].isna().any()  # weather without a cyclone is judged for its presence


def test_folds_are_pooled_and_not_run_again(benchmark, store, tmp_path, monkeypatch):
    found = run(benchmark, "folds", store, tmp_path, "--folds", "3", "--plain")
    assert found["counts"]["storms"] == 4  # of six, two of which nobody may look at
    assert {"first guess", "refined"} <= set(found["first_guess"]["scores"])
    monkeypatch.delattr(benchmark, "run_recipe")
    assert run(benchmark, "folds", store, tmp_path, "--folds", "3", "--plain") == found


@pytest.fixture
def tracker(tmp_path):
    """A model that knows nothing."""
    frames, channels, size, _ = PROCESSOR.clip_shape
    config = MedicaneConfig(
        task="tracking",
        num_frames=frames,
        in_channels=channels,
        image_size=size,
        patch_size=8,
        tubelet_size=4,
        embed_dim=12,
        depth=1,
        num_heads=2,
        mlp_hidden_dim=24,
    )
    MedicaneForTracking(config).save_pretrained(tmp_path / "tracker")
    PROCESSOR.save_pretrained(tmp_path / "tracker")
    return tmp_path / "tracker"


def test_a_tracker_is_tested_with_changed_pictures_and_drawn(benchmark, store, tracker, tmp_path):
    out = tmp_path / "out"
    found = run(benchmark, "test", store, out, "--tracker", str(tracker))
    assert found["counts"] == {"clips": 20, "storms": 2}
    assert {row["change"] for row in found["changes"]} == set(CHANGES)
    judged = ["--judged", str(out / "judged.parquet"), "--worst", "2"]
    benchmark.main(["pictures", str(store.path), "--out", str(out), *judged])
    assert {"worst.png", "calibration.png", "errors.png"} <= {path.name for path in out.iterdir()}
    drawn = json.loads((out / "pictures.json").read_text())
    assert {row["storm"] for row in drawn["worst"]} == {"ana", "bo"}


def test_a_card_shows_the_worst_clips_with_what_a_person_saw(
    benchmark, store, tracker, tmp_path, monkeypatch
):
    command = ["gallery", str(store.path), "--tracker", str(tracker), "--worst", "2"]
    benchmark.main([*command, "--out", str(tmp_path)])
    assert (tmp_path / "failures.png").is_file()
    worst = json.loads((tmp_path / "gallery.json").read_text())["worst"]
    assert worst[0]["error_km"] >= worst[1]["error_km"] > 0
    cards = importlib.import_module("pair_cards")
    comments = tmp_path / "failures.yaml"
    comments.write_text("".join(f"{row['storm']}: a low cloud\n" for row in worst))
    monkeypatch.setattr(cards, "COMMENTS", comments)
    told = {"worst": worst, "errors_km": {"count": 20.0, "50%": 7.0}}
    assert cards._failures(told, "name")[-1].count("a low cloud") == 2


def test_a_detector_without_scenes_to_judge_is_wrong_use(benchmark, store, tmp_path, capsys):
    command = ["test", str(store.path), "--tracker", "x", "--detector", "y"]
    with pytest.raises(SystemExit):
        benchmark.main([*command, "--out", str(tmp_path)])
    assert "--data" in capsys.readouterr().err


def score(value: float) -> dict:
    return {"value": value, "low": value - 1, "high": value + 1}


def test_trials_are_told_by_class_of_wind(benchmark, store, tmp_path):
    run(benchmark, "baseline", store, tmp_path / "plain")
    named = f"a plain net={tmp_path / 'plain'}"
    benchmark.main(["trials", "--run", named, "--out", str(tmp_path)])
    told = json.loads((tmp_path / "trials.json").read_text())
    (trial,) = told["trials"]
    assert (trial["name"], trial["clips_seen"]) == (
        "a plain net",
        46,
    )  # of which seven tenths are cyclones
    assert {row["wind"] for row in trial["errors"]} == {"83 kt and more"}


def test_a_card_has_a_line_a_group_and_a_column_a_method(benchmark):
    names = ("mean_km", "median_km", "p90_km")
    rows = [
        {"wind": wind, "method": method, "clips": 3, "storms": 2} | dict.fromkeys(names, score(km))
        for wind, method, km in (
            ("0 … 35 kt", "model", 7.0),
            ("0 … 35 kt", "spiral", 9.0),
            ("35 … 64 kt", "model", 5.0),
        )
    ]
    table = importlib.import_module("pair_cards").errors_by_group(rows, "wind")
    assert table.splitlines() == [
        "| wind | clips / storms | model | 95 % | spiral |",
        "| --- | --- | --- | --- | --- |",
        "| 0 … 35 kt | 3 / 2 | 7 / 7 / 7 | (6 … 8) | 9 / 9 / 9 |",
        "| 35 … 64 kt | 3 / 2 | 5 / 5 / 5 | (4 … 6) | – |",
    ]
