import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import Grid
from medicane_models.maps.overview import part_around, window_of
from medicane_models.maps.storm_tracks import ShownTrack

DISK = Grid.full_disk(82.0)


def shown(*lonlat: tuple[float, float]) -> ShownTrack:
    times = pd.date_range("2020-09-17", periods=len(lonlat), freq="h")
    fixes = [{"time": t, "lon": x, "lat": y} for t, (x, y) in zip(times, lonlat, strict=True)]
    pictures = [None] * len(fixes)
    return ShownTrack(
        name="1", anchor="a", fixes=fixes, pictures=pictures, forecasts={}, standing=(), color="red"
    )


@pytest.mark.parametrize(
    "tracks",
    [
        [shown((87.0, 18.0))],
        [shown((87.0, 18.0), (87.5, -40.0))],
        [shown((60.0, 0.0)), shown((110.0, 5.0))],
    ],
)
def test_the_map_holds_all_tracks_and_is_never_taller_than_wide(tracks):
    part = window_of(DISK, *part_around(DISK, tracks))
    for track in tracks:
        assert part.contains(*part.lonlat_to_pixel(*track.lonlat)).all()
    assert part.width / part.height + 0.01 >= 1
    assert part.width * 3 > 2400


def test_the_map_is_all_of_the_scene_without_a_track():
    assert part_around(DISK, []) == (slice(0, DISK.height), slice(0, DISK.width))


def test_the_map_ends_where_the_scene_does():
    small = Grid.lonlat(west=10, south=30, east=20, north=40, step_degrees=0.1)
    rows, columns = part_around(small, [shown((11.0, 31.0))])
    assert (rows, columns) == (slice(0, small.height), slice(0, small.width))
    assert np.isfinite(window_of(small, rows, columns).extent).all()
