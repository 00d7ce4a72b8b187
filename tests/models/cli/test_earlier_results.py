"""What is left of earlier results, and of runs that are refused or interrupted."""

import json

import pytest
from written_files import QUICK_PRODUCTS, contents

from medicane_models.prediction.products import ProductWriter


def test_earlier_results_are_kept_unless_told_otherwise(medicane, predicted, frames):
    folder, _, _ = predicted
    (folder / "tracks.nc").touch()
    arguments = ["predict", frames, "--out", folder, "--start", "2011-11-02T10:00", "--no-plot"]
    code, _, err = medicane(*arguments)
    assert code == 2
    assert "holds results of an earlier run" in err
    code, _, err = medicane(*arguments, "--overwrite")
    assert code == 0, err
    assert not (folder / "tracks.nc").exists()
    assert not list((folder / "maps").iterdir())


@pytest.fixture
def earlier(quick) -> dict[str, bytes]:
    """Results of an earlier run in the folder that ``quick`` writes to."""
    files = ("detections.csv", "tracks.nc", "truth.csv", "maps/20200917_0030.png")
    for name in files:
        path = quick[3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return contents(quick[3])


def interrupt(monkeypatch) -> None:
    """Press Ctrl-C after the clip of 01:00."""

    def add(self, clip, run):
        if f"{clip.end:%H:%M}" == "01:00":
            raise KeyboardInterrupt

    monkeypatch.setattr(ProductWriter, "add", add)


REFUSALS = {
    "a scene that is not there": (["predict", "nowhere.zarr"], "nowhere.zarr"),
    "no clip in the time range": (["predict", "SCENE", "--start", "2020-09-18"], "no frame"),
    "too few frames": (["predict", "SCENE", "--end", "2020-09-17T00:04"], "frames missing"),
    "clips that do not divide a day": (["predict", "SCENE", "--every", "7"], "do not divide"),
    "no model": (["predict", "SCENE", "--model", "no/model"], "no/model is not on the Hub"),
    "a demo without a model": (["demo", "--model", "no/model"], "no/model is not on the Hub"),
}


def refused(name: str, quick: list) -> tuple[list, str]:
    arguments, complaint = REFUSALS[name]
    return [quick[1] if item == "SCENE" else item for item in arguments], complaint


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_run_leaves_earlier_results_as_they_were(medicane, quick, earlier, refusal):
    arguments, complaint = refused(refusal, quick)
    code, _, err = medicane(*arguments, "--out", quick[3], "--overwrite")
    assert code
    assert complaint in err
    assert contents(quick[3]) == earlier


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_run_leaves_no_folder_behind(medicane, quick, refusal, tmp_path):
    arguments, _ = refused(refusal, quick)
    assert medicane(*arguments, "--out", tmp_path / "a" / "b")[0]
    assert not (tmp_path / "a").exists()


def test_an_interrupted_run_writes_what_it_judged_to_a_folder_of_its_own(
    medicane, quick, monkeypatch
):
    interrupt(monkeypatch)
    code, _, _ = medicane(*quick, "--no-plot")
    told = json.loads((quick[3] / "interrupted" / "detections.json").read_text())
    assert code
    assert not told["provenance"]["complete"]
    assert {row["time"] for row in told["detections"]} == {
        "2020-09-17T00:30:00Z", "2020-09-17T01:00:00Z",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in contents(quick[3])} == {"interrupted"}


def test_the_same_command_goes_on_where_it_was_interrupted(medicane, quick, monkeypatch, tmp_path):
    assert medicane(*quick, "--no-plot", "--out", tmp_path / "at_once")[0] == 0
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--no-plot")[0]
    code, _, err = medicane(*quick, "--no-plot")
    assert code == 0, err
    assert "3 of 4 clips were judged before" in err
    assert sorted(contents(quick[3])) == QUICK_PRODUCTS
    for name in ("detections.csv", "tracks.csv", "forecasts.csv"):
        assert (quick[3] / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()


def test_another_command_does_not_go_on_unless_it_may_begin_anew(medicane, quick, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--no-plot")[0]
    other = [*quick, "--no-plot", "--end", "2020-09-17T01:00"]
    code, _, err = medicane(*other)
    assert code == 2
    assert "interrupted/hours was judged otherwise (settings" in err
    assert medicane(*other, "--overwrite")[0] == 0


def test_an_interrupted_run_replaces_no_earlier_results(medicane, quick, earlier, monkeypatch):
    out = quick[3]
    with monkeypatch.context() as patch:
        interrupt(patch)
        assert medicane(*quick, "--overwrite")[0]
    later = contents(out)
    assert not json.loads(later["interrupted/detections.json"])["provenance"]["complete"]
    assert {name: later[name] for name in earlier} == earlier
    assert medicane(*quick, "--overwrite", "--no-plot")[0] == 0
    assert sorted(contents(out)) == QUICK_PRODUCTS
    assert not (out / "interrupted").exists()
