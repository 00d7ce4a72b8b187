import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medicane_models.domain import Grid, local_plane
from medicane_models.maps import films
from medicane_models.maps.animation import ScenePicture, basin_frames, storm_frames
from medicane_models.maps.films import write_film
from medicane_models.maps.storm_tracks import ShownTrack, StormPicture
from medicane_models.maps.web_pictures import eight_bits, webp

TIMES = pd.date_range("2020-09-17", periods=3, freq="h")
GRID = Grid.lonlat(west=-150, south=0, east=-120, north=25.1, step_degrees=0.1)
GREY = eight_bits(np.full((64, 64, 1), 0.5))


def storm(pictures: int = 3, **changes) -> ShownTrack:
    """A cyclone over open sea that moves eastwards."""
    fix = {"lat": 12.0, "probability": 0.9, "radius_50_km": 60.0, "radius_95_km": 150.0}
    fixes = [
        {"time": time, "lon": -136.0 + number, "edge": False, **fix, **changes}
        for number, time in enumerate(TIMES)
    ]
    taken = [
        StormPicture(
            taken=fix["time"],
            content=webp(GREY, widest=64),
            plane=local_plane(fix["lon"], fix["lat"], size=64, km=15),
        )
        for fix in fixes[:pictures]
    ]
    shown = [*taken, *[None] * (3 - pictures)]
    told = {"pictures": shown, "forecasts": {}, "standing": ()}
    return ShownTrack(name="7", anchor="a", fixes=fixes, color="#E69F00", **told)


def scenes() -> list[ScenePicture]:
    grey = eight_bits(np.full((GRID.height, GRID.width, 1), 0.5))
    return [ScenePicture(time=t, taken=t, content=webp(grey, widest=200)) for t in TIMES]


def coloured(frame: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels of about a colour."""
    return np.argwhere(abs(frame.astype(int) - colour).max(axis=-1) < 30)


def test_a_storm_has_a_frame_a_picture():
    frames = list(storm_frames(storm(pictures=2), None, note="n"))
    assert [frame.shape for frame in frames] == [(640, 640, 3)] * 2


def test_the_marks_are_around_the_centre():
    (frame, *_) = storm_frames(storm(), None, note="n")
    magenta = coloured(frame, (255, 102, 208))
    np.testing.assert_allclose(magenta.mean(axis=0), 320, atol=4)
    radius_95 = np.hypot(*(magenta - 320).T).max()
    assert radius_95 == pytest.approx(150 / 15 * 10, abs=3)


def test_temperatures_are_shown_in_enhanced_colours():
    (grey, *_) = storm_frames(storm(), None, note="n")
    (enhanced, *_) = storm_frames(storm(), (310.0, 150.0), note="n")
    assert np.ptp(grey[560, 290].astype(int)) <= 2
    assert np.ptp(enhanced[560, 290].astype(int)) > 50


def test_an_unknown_radius_has_no_circle():
    bare = storm(radius_50_km=np.nan, radius_95_km=np.nan)
    (frame, *_) = storm_frames(bare, None, note="n")
    assert abs(coloured(frame, (255, 102, 208)) - 320).max() < 20


def test_a_basin_has_a_frame_a_scene_of_even_size_and_the_track_grows():
    frames = list(basin_frames(GRID, [storm()], scenes(), None, note="n"))
    assert len(frames) == 3
    assert not any(length % 2 for length in frames[0].shape[:2])
    reach = [np.ptp(coloured(frame, (230, 159, 0))[:, 1]) for frame in frames]
    assert reach[0] < reach[1] < reach[2]


def test_a_basin_has_meridians_and_parallels():
    (frame, *_) = basin_frames(GRID, [], scenes(), None, note="n")
    grey = coloured(frame, (160, 160, 160))
    columns, counts = np.unique(grey[:, 1], return_counts=True)
    meridians = columns[counts > 400]
    west, width = np.array([10, 15, 20, 25]), frame.shape[1]  # 140, 135 …°W
    expected = (west + 0.05) / 30.1 * width
    assert {round(at) for at in expected} <= {at + d for at in meridians for d in (-1, 0, 1)}


def test_a_basin_without_a_track_is_all_of_the_scene():
    assert len(list(basin_frames(GRID, [], scenes(), None, note="n"))) == 3


def test_without_an_encoder_a_film_is_a_gif(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "_encoder", lambda: None)
    path = write_film(tmp_path / "track_1.5", storm_frames(storm(), None, note="n"))
    assert path == tmp_path / "track_1.5.gif"
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (3, (640, 640))


def test_a_film_is_an_mp4_that_has_every_frame(tmp_path):
    encoder = pytest.importorskip("imageio_ffmpeg")
    path = write_film(tmp_path / "a", storm_frames(storm(), None, note="n"))
    assert path.suffix == ".mp4"
    shown, _ = encoder.count_frames_and_secs(str(path))
    assert shown == 3 + films.LAST_FRAMES - 1
