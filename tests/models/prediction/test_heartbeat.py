import json

from followed_folders import arrive, once


def test_the_status_is_for_machines(source, there, tmp_path):
    arrive(there, *source[:4], source[13])
    once(there, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "status.json").read_text())
    assert told["newest_frame"] == "2020-09-17T01:05:00Z"
    assert (told["state"], told["next_round"]) == ("ended", None)
    assert "frames missing" in told["skipped"]["2020-09-17T01:05:00"]
