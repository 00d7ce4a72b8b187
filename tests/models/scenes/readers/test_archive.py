import shutil
import sys
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from scene_files import (
    AREA,
    CHANNELS,
    GRID,
    HOSTILE,
    archive_dataset,
    shares,
    slot_zip,
    times,
    write_archive,
)

from medicane_models.errors import MissingExtraError, SceneError, SceneWarning
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.scenes.readers import archive

# FACTS §3: brightness temperatures that are stored as 0 and 1 (as 0 and 1023).
LIMITS = {
    "WV_062": (199.57048, 249.91806),
    "WV_073": (198.95093, 286.96323),
    "IR_097": (2.844452, 317.86752),
    "IR_108": (199.10002, 313.2767),
}


def expected(stored: np.ndarray) -> dict[str, np.ndarray]:
    return {
        name: low + stored[..., layer] * (high - low)
        for layer, (name, (low, high)) in enumerate(LIMITS.items())
    }


def test_integers_become_kelvin_to_full_precision(tmp_path):
    stored = np.random.default_rng(0).integers(700, 1024, (1, 6, 8, 4)).astype(np.int16)
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    )
    for name, values in expected(stored / 1023).items():
        np.testing.assert_allclose(scene[name], values, rtol=6e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-7), (np.float16, 1e-3)])
def test_shares_become_kelvin(tmp_path, dtype, tolerance):
    stored = shares(2).astype(dtype)
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 2)))
    )
    for name, values in expected(shares(2)).items():
        np.testing.assert_allclose(scene[name], values, rtol=tolerance)


def test_negative_integers_and_nan_are_missing(tmp_path):
    stored = (1023 * shares(1)).astype(np.int16)
    stored[0, 2, 3] = -1
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    )
    assert int(scene["IR_108"].isnull().sum()) == 1
    assert np.isnan(scene["IR_108"].values[0, 2, 3])


def test_jpeg_xl_keeps_an_offset_and_its_missing_value(tmp_path):
    codecs = pytest.importorskip("imagecodecs.numcodecs")
    numcodecs.registry.register_codec(codecs.Jpegxl)
    true = shares(1).astype(np.float32)
    stored = true / np.float32(1.075) + np.float32(0.075)
    stored[0, 2, 3] = 0.025
    path = write_archive(
        tmp_path / "a.zarr",
        archive_dataset(stored, times("2020", 1)),
        compressors=[codecs.Jpegxl(lossless=True)],
    )
    del numcodecs.registry.codec_registry["imagecodecs_jpegxl"]
    scene = open_scene(path)
    values = expected(true)["IR_108"]
    values[0, 2, 3] = np.nan
    np.testing.assert_allclose(scene["IR_108"], values, rtol=1e-6)


def blosc2_store(path: Path) -> Path:
    """A store compressed as the public ones are."""
    codec = pytest.importorskip("ocf_blosc2").Blosc2("zstd", clevel=5)
    dataset = archive_dataset(shares(2).astype(np.float16), times("2020", 2))
    return write_archive(path, dataset, compressors=[codec], chunk_frames=2)


def test_the_codec_of_public_stores_is_found(tmp_path, monkeypatch):
    path = blosc2_store(tmp_path / "2020_nonhrv.zarr")
    monkeypatch.delitem(numcodecs.registry.codec_registry, "blosc2", raising=False)
    assert np.isfinite(open_scene(path)["IR_108"]).all()


def test_without_their_codec_public_stores_name_the_extra(tmp_path, monkeypatch):
    path = blosc2_store(tmp_path / "2020_nonhrv.zarr")
    monkeypatch.delitem(numcodecs.registry.codec_registry, "blosc2", raising=False)
    monkeypatch.delitem(numcodecs.registry.entries, "blosc2")
    monkeypatch.setitem(sys.modules, "ocf_blosc2", None)
    with pytest.raises(MissingExtraError, match=r"medicane-models\[satellite\]"):
        open_scene(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_columns_run_eastwards_and_rows_southwards(tmp_path, zarr_format):
    stored = shares(1).astype(np.float32)
    path = write_archive(
        tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)), zarr_format=zarr_format
    )
    scene = open_scene(path)
    assert scene_grid(scene).offset_in(GRID) == (0, 0)
    np.testing.assert_allclose(scene["WV_073"], expected(stored)["WV_073"], rtol=2e-7)


def test_attributes_tell_the_satellite(tmp_path):
    path = write_archive(tmp_path / "a.zarr", archive_dataset(shares(1), times("2020", 1)))
    assert open_scene(path).attrs == {
        "platform": "Meteosat-11",
        "sensor": "seviri",
        "sub_satellite_longitude": 9.5,
        "time_convention": "end_of_scan",
        "calibration": "kelvin",
        "source": "1 frame of a.zarr",
    }


def test_an_hourly_chunk_is_read_once(tmp_path, monkeypatch):
    dataset = archive_dataset(shares(24).astype(np.float32), times("2020", 24))
    path = write_archive(tmp_path / "a.zarr", dataset, chunk_frames=12)
    reads = []
    read = archive._Store._read
    monkeypatch.setattr(archive._Store, "_read", lambda *args: reads.append(args[1]) or read(*args))
    scene = open_scene(path)
    assert reads == []
    for row in range(24):
        scene.isel(time=row).compute(scheduler="synchronous")
    assert reads == [0, 12]


def test_years_are_joined_in_order(tmp_path):
    for year, platform in (("2021", "Meteosat-11"), ("2020", "Meteosat-10")):
        dataset = archive_dataset(shares(2), times(year, 2), platform_name=platform)
        write_archive(tmp_path / f"{year}.zarr", dataset)
    scene = open_scene([tmp_path / "2021.zarr", tmp_path / "2020.zarr"])
    assert scene["time"].dt.year.values.tolist() == [2020, 2020, 2021, 2021]
    assert scene.attrs["platform"] == "Meteosat-10, Meteosat-11"


def test_stores_of_different_satellites_are_refused(tmp_path):
    write_archive(tmp_path / "a.zarr", archive_dataset(shares(1), times("2020", 1)))
    other = archive_dataset(shares(1), times("2021", 1), area=AREA.format(longitude=45.5))
    write_archive(tmp_path / "b.zarr", other)
    with pytest.raises(SceneError, match=r"a\.zarr and b\.zarr have different"):
        open_scene(tmp_path)


def test_folder_of_single_slots(tmp_path):
    for time in ("2023-12-20 11:40", "2023-12-20 11:35"):
        slot_zip(tmp_path, time)
    scene = open_scene(tmp_path)
    assert scene["time"].values.tolist() == times("2023-12-20 11:35", 2).asi8.tolist()
    assert scene.attrs["source"] == "2 frames of 202312201135.zarr.zip … 202312201140.zarr.zip"


def test_a_truncated_zip_is_named_with_its_time(tmp_path):
    slot_zip(tmp_path, "2023-12-20 11:35")
    broken = slot_zip(tmp_path, "2023-12-20 11:40")
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.warns(SceneWarning, match=r"202312201140\.zarr\.zip \(2023-12-20 11:40 UTC\)"):
        scene = open_scene(tmp_path)
    assert scene.sizes["time"] == 1


def test_only_truncated_zips_are_an_error(tmp_path):
    (tmp_path / "202312201140.zarr.zip").write_bytes(b"PK")
    with (
        pytest.warns(SceneWarning, match="202312201140"),
        pytest.raises(SceneError, match="can be read"),
    ):
        open_scene(tmp_path)


def test_a_broken_chunk_makes_the_frame_missing_when_read(tmp_path):
    path = write_archive(
        tmp_path / "a.zarr", archive_dataset(shares(2).astype(np.float32), times("2020", 2))
    )
    (path / "data" / "1.0.0.3").write_bytes(b"no chunk")
    scene = open_scene(path)
    with pytest.warns(SceneWarning, match=r"a\.zarr \(2020-01-01 00:05 UTC\) cannot be read"):
        scene = scene.load()
    assert scene["IR_108"].isnull().all(["y", "x"]).values.tolist() == [False, True]


def test_a_zip_that_breaks_after_opening_is_missing_when_read(tmp_path):
    path = slot_zip(tmp_path, "2023-12-20 11:35")
    scene = open_scene(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.warns(SceneWarning, match="202312201135"):
        assert scene["IR_108"].isnull().all()


def test_black_frames_are_missing(tmp_path):
    stored = (1023 * shares(2)).astype(np.int16)
    stored[1] = 0
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 2)))
    )
    with pytest.warns(SceneWarning, match=r"a\.zarr \(2020-01-01 00:05 UTC\) is black"):
        assert scene["WV_062"].isnull().all(["y", "x"]).values.tolist() == [False, True]


def test_black_pixels_are_missing_in_all_channels(tmp_path):
    stored = (1023 * shares(1)).astype(np.int16)
    stored[0, 1:] = 0
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    )
    assert scene["WV_062"].isnull().all("x").values.tolist() == [[False, *[True] * 5]]


def test_impossible_pixels_are_missing_in_all_channels(tmp_path):
    stored = shares(1)
    stored[0, 1, 2, 2] = 0.1  # IR_097 of 34 K
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    )
    with pytest.warns(SceneWarning, match="1 pixels outside 100 … 400 K"):
        assert np.argwhere(np.isnan(scene["WV_062"].values)).tolist() == [[0, 1, 2]]


def test_a_store_in_kelvin_is_missing_and_named_when_read(tmp_path):
    stored = 200 + 100 * shares(1)
    scene = open_scene(
        write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    )
    with pytest.warns(SceneWarning, match=r"a\.zarr .* WV_062 .* no brightness temperature"):
        assert scene["WV_062"].isnull().all()


def test_black_pixels_are_missing_in_a_channel_asked_for_alone(tmp_path):
    stored = shares(1)
    stored[..., :3, :] = 0  # the first columns, in all channels
    path = write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    scene = open_scene(path, channels=["IR_108"]).load()
    assert scene["IR_108"].isnull().sum() == open_scene(path).load()["IR_108"].isnull().sum() > 0


def test_duplicated_times_keep_the_first(tmp_path):
    index = times("2020", 2).append(times("2020", 1))
    path = write_archive(tmp_path / "a.zarr", archive_dataset(shares(3), index))
    with pytest.warns(SceneWarning, match=r"same time twice.*a\.zarr \(2020-01-01 00:00 UTC\)"):
        scene = open_scene(path)
    np.testing.assert_allclose(
        scene["IR_108"], expected(shares(3))["IR_108"][:2].astype(np.float32), rtol=1e-7
    )


def test_a_missing_channel_is_an_error_that_says_what_is_there(tmp_path):
    dataset = archive_dataset(shares(1), times("2020", 1), names=["IR_108", "a", "b", "WV_062"])
    path = write_archive(tmp_path / "a.zarr", dataset)
    with pytest.raises(SceneError, match=r"WV_073, IR_097 .*there: IR_108, WV_062"):
        open_scene(path)
    assert list(open_scene(path, channels=["IR_108"]).data_vars) == ["IR_108"]


def test_attributes_with_code_are_never_run(tmp_path):
    touched = tmp_path / "touched"
    hostile = HOSTILE.format(path=touched)
    dataset = archive_dataset(shares(1), times("2020", 1), area=hostile, IR_108__satpy_id=hostile)
    path = write_archive(tmp_path / "a.zarr", dataset)
    with pytest.raises(SceneError, match="does not tell its projection"):
        open_scene(path)
    assert not touched.exists()


def test_public_buckets_need_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match=r"medicane-models\[satellite\]"):
        open_scene("gs://public/2020_nonhrv.zarr")


def test_stores_are_read_from_urls(tmp_path):
    path = write_archive(tmp_path / "a.zarr", archive_dataset(shares(1), times("2020", 1)))
    scene = open_scene(path.as_uri())
    assert np.isfinite(scene["IR_108"]).all()


def test_a_url_that_cannot_be_reached_is_an_error(tmp_path):
    missing = (tmp_path / "2020_nonhrv.zarr").as_uri()
    with pytest.raises(SceneError, match=r"2020_nonhrv\.zarr cannot be reached"):
        open_scene(missing)


def test_a_network_that_fails_while_reading_is_an_error(tmp_path):
    path = write_archive(tmp_path / "a.zarr", archive_dataset(shares(1), times("2020", 1)))
    scene = open_scene(path.as_uri())
    shutil.rmtree(path)
    with pytest.raises(SceneError, match=r"a\.zarr cannot be reached"):
        scene.load()


def test_only_the_domain_is_kept(tmp_path):
    stored = shares(1).astype(np.float32)
    path = write_archive(tmp_path / "a.zarr", archive_dataset(stored, times("2020", 1)))
    scene = open_scene(path, domain=GRID.window(2, 1, 3, 4))
    np.testing.assert_allclose(scene["IR_108"], expected(stored)["IR_108"][:, 1:5, 2:5], rtol=2e-7)


def test_real_slots_keep_their_values_and_their_place(shared_data):
    path = shared_data / "seviri_rss_20231220" / "202312201200.zarr.zip"
    store = zarr.storage.ZipStore(path)
    raw = xr.open_zarr(store, consolidated=False, chunks=None)["data"].isel(time=0)
    scene = open_scene(path).isel(time=0)
    raw = raw.sel(x_geostationary=scene["x"].values, y_geostationary=scene["y"].values)
    for name in CHANNELS:
        low, high = LIMITS[name]
        told = raw.sel(variable=name).values / 1023 * (high - low) + low
        np.testing.assert_allclose(scene[name], told, rtol=6e-8)
    store.close()
    assert scene.attrs["platform"] == "Meteosat-11"
    assert scene_grid(scene).extent == pytest.approx((-36.8, 47.5, 10.0, 65.5), abs=0.1)
