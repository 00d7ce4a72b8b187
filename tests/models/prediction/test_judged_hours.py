import json
from dataclasses import replace

import cold_spots
import pandas as pd
import plane_scenes
import pytest

from medicane_models.domain import great_circle_km
from medicane_models.prediction.judged_hours import JudgedHour, JudgedHours

AT = (20.0, -36.0)


def runs(kind: str):
    if kind == "planes":
        found = plane_scenes.predictor()
        return found, found.run(plane_scenes.scene(AT, plane_scenes.grid_around(*AT)))
    found = cold_spots.predictor()
    return found, found.run(cold_spots.scene(), every_minutes=30)


@pytest.fixture(params=["tiles", "planes"])
def kept(request, tmp_path):
    """The hours of a run, in memory and as they are read again."""
    predictor, run = runs(request.param)
    hours = JudgedHours(tmp_path, predictor.processor)
    for clip in run:
        hours.add(
            JudgedHour(clip=clip, times=(None, clip.end), digests=(None, "a"), provenance={"a": 1})
        )
    return list(hours), list(JudgedHours(tmp_path, predictor.processor))


def test_what_is_read_again_is_the_very_same(kept):
    written, read = kept
    assert len(written) == len(read) > 2
    for one, other in zip(written, read, strict=True):
        assert list(one.clip.table.columns) == list(other.clip.table.columns)
        pd.testing.assert_frame_equal(one.clip.table, other.clip.table, check_exact=True)
        plain = [replace(hour.clip, table=pd.DataFrame(), planes=None) for hour in (one, other)]
        assert repr(plain[0]) == repr(plain[1])
        assert (one.times, one.digests, one.provenance) == (
            other.times, other.digests, other.provenance,
        )  # fmt: skip


def test_planes_lie_where_they_were(kept):
    for one, other in zip(*kept, strict=True):
        for plane, again in zip(one.clip.planes or (), other.clip.planes or (), strict=True):
            assert (again.y_step, again.width) == (plane.y_step, plane.width)
            assert (
                great_circle_km(*again.pixel_to_lonlat(0, 0), *plane.pixel_to_lonlat(0, 0)) < 0.01
            )


def test_a_damaged_hour_is_judged_again_and_told(tmp_path, caplog):
    (tmp_path / "20200917T000000.json").write_text('{"end": ')
    assert len(JudgedHours(tmp_path, cold_spots.infrared())) == 0
    assert "20200917T000000.json is damaged" in caplog.text


def test_pictures_wait_beside_their_hour_until_they_are_forgotten(tmp_path):
    predictor = cold_spots.predictor()
    *_, clip = predictor.run(cold_spots.scene(), every_minutes=30, pictures=True)
    hours = JudgedHours(tmp_path, predictor.processor)
    hours.add(JudgedHour(clip=clip, times=(clip.end,), digests=("a",), provenance={}))
    (hour,) = JudgedHours(tmp_path, predictor.processor)
    waiting = hours.with_pictures(hour)
    assert waiting.picture is not None
    assert len(waiting.close_ups) == len(clip.close_ups) == 1
    hours.forget_pictures(clip.end)
    assert hours.with_pictures(hour).picture is None
    assert hours.with_pictures(hour).close_ups == ()


@pytest.mark.parametrize(
    "change",
    [{"end": "2020-09-18"}, {"table": {"probability": [None, [1]]}}, {"times": 3}, {"skipped": 1}],
)
def test_an_hour_that_says_something_else_is_judged_again(change, tmp_path, caplog):
    predictor, run = runs("tiles")
    hours = JudgedHours(tmp_path, predictor.processor)
    clip = next(iter(run))
    hours.add(JudgedHour(clip=clip, times=(clip.end,), digests=("a",), provenance={}))
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert len(JudgedHours(tmp_path, predictor.processor)) == 0
    assert f"{path.name} is damaged" in caplog.text
