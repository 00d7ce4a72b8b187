import io
import shutil
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
from scene_files import GRID, archive_dataset, cf_dataset, kelvin, shares, times, write_archive

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_training.store import download
from medicane_training.store.download import (
    PACKING,
    data_store_products,
    download_archive,
    download_products,
)

DOMAIN = GRID.window(3, 2, 2, 1)  # with its margin of two pixels: columns 1 … 6, rows 0 … 4


@pytest.fixture
def archive(tmp_path) -> str:
    """Two years of a few frames around the new year, in the layout of the public archive."""
    for year, first in ((2020, "2020-12-31 23:50"), (2021, "2021-01-01 00:00")):
        path = tmp_path / "archive" / f"{year}_nonhrv.zarr"
        count = 2 if year == 2020 else 4
        write_archive(path, archive_dataset(shares(count, seed=year), times(first, count)))
    return (tmp_path / "archive").as_uri() + "/{year}_nonhrv.zarr"


def fetch(archive: str, out: Path, **options) -> list[Path]:
    options = {"start": "2020-12-31", "end": "2021-01-02", "domain": DOMAIN, **options}
    return download_archive(out, archive=archive, **options)


def test_days_become_files_with_the_temperatures_of_the_archive(archive, tmp_path):
    files = fetch(archive, tmp_path / "out")
    assert [path.name for path in files] == ["seviri_20201231.nc", "seviri_20210101.nc"]
    scene = open_scene(tmp_path / "out")
    assert scene.sizes["time"] == 6
    expected = 199.10002 + (313.2767 - 199.10002) * shares(4, seed=2021)[..., 3]
    np.testing.assert_allclose(scene["IR_108"][2:], expected[:, 0:5, 1:7], atol=0.0051)


def test_only_the_domain_and_its_margin_are_kept_on_their_own_pixels(archive, tmp_path):
    scene = open_scene(fetch(archive, tmp_path / "out")[0])
    assert scene_grid(scene).offset_in(GRID) == (1, 0)
    assert (scene.sizes["x"], scene.sizes["y"]) == (6, 5)
    kept = ("platform", "sensor", "sub_satellite_longitude", "time_convention")
    assert [scene.attrs[name] for name in kept] == ["Meteosat-11", "seviri", 9.5, "end_of_scan"]


def test_days_that_are_there_are_not_fetched_again(archive, tmp_path):
    first = fetch(archive, tmp_path / "out", end="2020-12-31")
    written = first[0].stat().st_mtime_ns
    shutil.rmtree(tmp_path / "archive" / "2020_nonhrv.zarr")
    files = fetch(archive, tmp_path / "out")
    assert len(files) == 2
    assert files[0].stat().st_mtime_ns == written


def test_an_interrupted_day_leaves_no_file(archive, tmp_path, monkeypatch):
    def interrupted(frames, path, **options):
        Path(path).write_bytes(b"half a day")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xarray.Dataset.to_netcdf", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert len(fetch(archive, tmp_path / "out")) == 2


def test_frames_are_written_one_after_the_other(archive, tmp_path, monkeypatch):
    seen = []
    original = download.open_scene
    monkeypatch.setattr(
        download, "open_scene", lambda *a, **k: seen.append(original(*a, **k)) or seen[-1]
    )
    fetch(archive, tmp_path / "out", start="2021-01-01")
    assert seen[-1]["IR_108"].chunks[0] == (1, 1, 1, 1)
    assert dask.config.get("scheduler", None) is None


def test_missing_pixels_stay_missing(tmp_path):
    values = kelvin(2)
    values[0, 2, 3] = np.nan
    product = Product("p", cf_dataset(values, times("2020-01-01", 2)), tmp_path)
    (path,) = download_products([product], tmp_path / "out", domain=GRID)
    scene = open_scene(path)
    assert np.isnan(scene["IR_108"][0]).sum() == 1
    assert PACKING["scale_factor"] == 0.01
    np.testing.assert_allclose(scene["WV_062"], values, atol=0.0051)


def test_a_domain_beside_the_archive_is_refused(archive, tmp_path):
    with pytest.raises(SceneError, match="does not overlap"):
        fetch(archive, tmp_path / "out", domain=GRID.window(100, 0, 5, 5))


def test_an_absent_archive_is_an_error(tmp_path):
    with pytest.raises((SceneError, OSError), match=r"2020_nonhrv\.zarr"):
        fetch((tmp_path / "nowhere").as_uri() + "/{year}_nonhrv.zarr", tmp_path / "out")


class Product:
    """A product of the Data Store, holding a netCDF file beside its manifest."""

    def __init__(self, name: str, dataset, folder: Path) -> None:
        self.name, self.opened = name, 0
        dataset.to_netcdf(folder / f"{name}-source.nc")
        self.content = (folder / f"{name}-source.nc").read_bytes()

    def __str__(self) -> str:
        return self.name

    @property
    def entries(self) -> list[str]:
        return ["manifest.xml", f"{self.name}/image.nc"]

    def open(self, entry: str) -> io.BytesIO:
        self.opened += entry == f"{self.name}/image.nc"
        return io.BytesIO(self.content)


def test_products_are_cropped_and_fetched_once(tmp_path):
    products = [
        Product(f"MSG3-{n}", cf_dataset(kelvin(1, seed=n), times(f"2020-01-0{n}", 1)), tmp_path)
        for n in (1, 2)
    ]
    for _ in range(2):
        files = download_products(products, tmp_path / "out", domain=DOMAIN)
    assert [path.name for path in files] == ["seviri_MSG3-1.nc", "seviri_MSG3-2.nc"]
    assert [product.opened for product in products] == [1, 1]
    scene = open_scene(tmp_path / "out")
    assert scene.sizes["time"] == 2
    np.testing.assert_allclose(scene["WV_062"][1], kelvin(1, seed=2)[0, 0:5, 1:7], atol=0.0051)


def test_a_product_without_an_image_is_named(tmp_path):
    product = Product("odd", cf_dataset(kelvin(1), times("2020-01-01", 1)), tmp_path)
    product.__class__ = type("Bare", (Product,), {"entries": property(lambda self: ["a.xml"])})
    with pytest.raises(SceneError, match=r"product odd holds no \.nat or \.nc file"):
        download_products([product], tmp_path / "out")


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2020-09-18", "2020-09-17", r"start 2020-09-18.* end 2020-09-17"),
        ("17/09/2020", "2020-09-18", "'17/09/2020' is no time"),
        ("2020-09-17", "18sep", "'18sep' is no time"),
    ],
)
def test_days_are_iso_8601_and_in_order(start, end, message, archive, tmp_path, monkeypatch):
    monkeypatch.setenv("EUMETSAT_CONSUMER_KEY", "k")
    monkeypatch.setenv("EUMETSAT_CONSUMER_SECRET", "s")
    with pytest.raises(ConfigurationError, match=message):
        download_archive(tmp_path / "out", archive=str(archive), start=start, end=end)
    with pytest.raises(ConfigurationError, match=message):
        list(data_store_products(start=start, end=end))


def test_the_data_store_asks_for_credentials(monkeypatch):
    monkeypatch.delenv("EUMETSAT_CONSUMER_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="EUMETSAT_CONSUMER_SECRET"):
        next(iter(data_store_products(start="2020-01-01", end="2020-01-02")))


def test_the_data_store_is_searched_with_the_key_of_the_environment(monkeypatch):
    asked = {}

    class Eumdac:
        AccessToken = staticmethod(lambda credentials: asked.update(credentials=credentials))
        DataStore = staticmethod(lambda token: Eumdac)
        get_collection = staticmethod(lambda name: asked.update(name=name) or Eumdac)
        search = staticmethod(lambda **times: asked.update(times) or ["product"])

    monkeypatch.setenv("EUMETSAT_CONSUMER_KEY", "k")
    monkeypatch.setenv("EUMETSAT_CONSUMER_SECRET", "s")
    monkeypatch.setattr(download, "require", lambda module, extra: Eumdac)
    found = list(data_store_products(start="2020-01-01", end="2020-01-02T12:00"))
    assert found == ["product"]
    assert asked["credentials"] == ("k", "s")
    assert asked["name"] == "EO:EUM:DAT:MSG:MSG15-RSS"
    assert asked["dtend"] == pd.Timestamp("2020-01-02 12:00").to_pydatetime()
