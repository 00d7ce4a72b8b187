import json

import pandas as pd
import pytest


@pytest.fixture
def guess(tmp_path):
    """A storm that stands still, in the middle of the frames."""
    path = tmp_path / "guess.csv"
    times = ("2011-11-02T06:00Z", "2011-11-02T12:00Z")
    rows = "".join(f"Rolf,{time},39.5,9.0\n" for time in times)
    path.write_text("track_id,time,lat,lon\n" + rows)
    return path


def test_predict_refines_a_first_guess(medicane, frames, guess, tmp_path):
    out = tmp_path / "out"
    code, printed, err = medicane(
        "predict", frames, "--out", out, "--first-guess", guess, "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    rows = pd.read_csv(out / "tracks.csv")
    assert rows["time"].tolist() == ["2011-11-02T09:00:00Z", "2011-11-02T10:00:00Z"]
    assert rows["track_id"].eq("Rolf").all()
    assert rows["guess_distance_km"].between(0, 500, inclusive="neither").all()
    row = rows.iloc[-1]
    assert (row["guess_lon"], row["guess_lat"]) == (9.0, 39.5)
    assert (out / "tracks.png").is_file()
    settings = json.loads(printed)["provenance"]["settings"]
    assert settings["first_guess"]["mean_km"] == 48.0


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"2011-11-02T06": "1999-11-02T06", "2011-11-02T12": "1999-11-02T12"},
            1,
            "has no position",
        ),
        ({"39.5,9.0": "10.0,9.0"}, 1, "outside the scene: Rolf at 9.00°E 10.00°N"),
        ({"track_id": "place"}, 1, "does not say which storm a row belongs to"),
    ],
)
def test_a_first_guess_of_elsewhere_is_one_sentence(
    medicane, frames, guess, tmp_path, changes, code, message
):
    for old, new in changes.items():
        guess.write_text(guess.read_text().replace(old, new))
    exit_code, _, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--first-guess", guess, "--device", "cpu"
    )
    errors = [line for line in err.splitlines() if line.startswith("Error")]
    assert (exit_code, len(errors)) == (code, 1)
    assert message in errors[0]


def test_how_far_off_a_first_guess_is_needs_one(medicane, frames, tmp_path):
    code, _, err = medicane("predict", frames, "--out", tmp_path, "--first-guess-km", "30")
    assert code == 2
    assert "there is no --first-guess" in err
