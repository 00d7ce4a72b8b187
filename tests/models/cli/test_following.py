import json
import os
import signal

import pytest
from written_files import QUICK_PRODUCTS, contents

from medicane_models.prediction.follow import Follower


@pytest.fixture
def followed(quick, tmp_path):
    """Arguments of predict for a folder that a scene has arrived in."""
    (tmp_path / "in").mkdir()
    (tmp_path / "scene.nc").rename(tmp_path / "in" / "scene.nc")
    return [quick[0], tmp_path / "in", *quick[2:], "--no-plot"]


def test_predict_once_goes_on_from_the_last_round(medicane, followed):
    for judged in (4, 0):
        code, out, err = medicane(*followed, "--once", "--json")
        assert code == 0, err
        assert f"hours judged {judged}, in all 4, skipped 1" in err
        assert json.loads(out)["judged"] == judged
    assert set(QUICK_PRODUCTS) < set(contents(followed[3]))


def test_predict_follow_ends_when_it_is_told_to(medicane, followed, monkeypatch):
    tell = Follower._tell

    def told(self, state, *counts):
        if state == "waiting":
            os.kill(os.getpid(), signal.SIGTERM)
        return tell(self, state, *counts)

    monkeypatch.setattr(Follower, "_tell", told)
    code, _, err = medicane(*followed, "--follow", "--poll", "600")
    assert code == 0, err
    assert "next round" in err
    assert json.loads((followed[3] / "status.json").read_text())["state"] == "ended"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--follow", "--overwrite"], "--follow goes on with earlier results"),
        (["--once", "--overwrite"], "--once goes on with earlier results"),
        (["--follow", "--first-guess", "."], "leave one of them out"),
        (["--once", "--poll", "5"], "--once is a single round"),
        (["--poll", "5"], "give --follow"),
        (["--once", "--workers", "2"], "files that arrive are judged by one process"),
        (["--follow", "--dask", "a:1"], "files that arrive are judged by one process"),
        (["--dask", "a:1", "--workers", "2"], "give one of them"),
    ],
)
def test_what_has_no_meaning_while_following_is_refused(medicane, followed, options, complaint):
    code, _, err = medicane(*followed, *options)
    assert code == 2
    assert complaint in err
    assert not followed[3].exists()
