"""The georeferences of benchmarks/, against storms whose centres are known."""

import warnings

import numpy as np
import pandas as pd
import yaml
from picture_files import example

from medicane_models.errors import SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid


def opened(shared_data, name, folder, tmp_path):
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(example(name) | {"pictures": str(shared_data / folder)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)  # two storms of one time
        return open_scene(path)


def around(scene, time, lon, lat, half):
    frame = scene["IR_108"].sel(time=time).to_numpy()
    x, y = (round(float(v)) for v in scene_grid(scene).lonlat_to_pixel(lon, lat))
    return frame[y - half : y + half + 1, x - half : x + half + 1]


def test_the_eyes_of_real_typhoons_are_at_their_centres(shared_data, tmp_path):
    scene = opened(shared_data, "himawari", "himawari_ir_png", tmp_path)
    centres = pd.read_csv(shared_data / "himawari_ir_png" / "centres.csv", parse_dates=["time"])
    assert set(centres["time"]) <= set(pd.DatetimeIndex(scene["time"]))
    for storm in centres[centres["pressure_hpa"] < 910].itertuples():
        box = around(scene, storm.time, storm.lon, storm.lat, 8)
        eye = np.unravel_index(np.argmax(box), box.shape)
        assert np.hypot(*(np.array(eye) - 8)) < 2.5  # pixels of 9 km


def test_real_full_disks_are_cold_at_their_centres(shared_data, tmp_path):
    scene = opened(shared_data, "insat3d", "insat3d_full_disk", tmp_path)
    for time, lat, lon in (
        ("2018-10-11T00:30", 18.83, 84.36),
        ("2021-05-15T23:00", 14.92, 72.80),
        ("2019-10-29T11:00", 19.57, 63.13),
        ("2019-05-01T01:00", 13.95, 84.08),
    ):
        assert np.nanmedian(around(scene, time, lon, lat, 2)) < 215
    assert scene.attrs["time_convention"] == "start_of_scan"


def test_a_real_storm_is_followed_through_full_disks(shared_data, tmp_path):
    scene = opened(shared_data, "amphan", "insat3d_amphan", tmp_path)
    centres = pd.read_csv(shared_data / "insat3d_amphan" / "centres.csv", parse_dates=["time_utc"])
    assert len(centres) == scene.sizes["time"] == 15
    for storm in centres[centres["wind_kt"] > 100].itertuples():
        assert np.nanmedian(around(scene, storm.time_utc, storm.lon, storm.lat, 3)) < 205
