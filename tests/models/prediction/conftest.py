from pathlib import Path

import pytest
from cold_spots import predictor, scene
from followed_folders import FRAMES, tables

from medicane_models.prediction.run import PredictionRun


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> list[Path]:
    """A file a frame."""
    folder = tmp_path_factory.mktemp("source")
    moving = scene(frames=FRAMES)
    paths = [folder / f"frame_{row:02}.nc" for row in range(FRAMES)]
    for row, path in enumerate(paths):
        moving.isel(time=[row]).to_netcdf(path)
    return paths


@pytest.fixture
def there(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def judged(monkeypatch) -> list[str]:
    """The ends of the clips that are judged, as they are."""
    ends, detect = [], PredictionRun._detect

    def noted(self, clip):
        ends.append(f"{clip.end:%H:%M}")
        return detect(self, clip)

    monkeypatch.setattr(PredictionRun, "_detect", noted)
    return ends


@pytest.fixture
def at_once(source, tmp_path) -> dict[str, bytes]:
    """What one run over everything writes."""
    found = predictor().predict([*source], every_minutes=15)
    found.write(tmp_path / "at_once")
    return tables(tmp_path / "at_once")
