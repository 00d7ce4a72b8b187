import json
import sys

import numpy as np
import pandas as pd
import pytest
from cold_spots import predictor, scene
from PIL import Image

from medicane_models import MedicanePredictor
from medicane_models.cli import main
from medicane_models.errors import CheckpointError

FULL_FRAME = (1290, 420)


@pytest.fixture
def medicane(monkeypatch, capsys):
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["medicane", *map(str, arguments)])
        monkeypatch.setattr("warnings.showwarning", lambda *_: None)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
    """A folder of 16 Airmass frames ending at 10:00."""
    folder = tmp_path_factory.mktemp("airmass")
    random = np.random.default_rng(0)
    for time in pd.date_range("2011-11-02 08:45", "2011-11-02 10:00", freq="5min"):
        coarse = Image.fromarray(random.integers(40, 200, (21, 65, 3), dtype=np.uint8))
        picture = coarse.resize(FULL_FRAME, Image.Resampling.BILINEAR)
        picture.save(folder / f"airmass_rgb_{time:%Y%m%d_%H%M}.png")
    return folder


@pytest.fixture
def predicted(medicane, frames, tmp_path):
    code, out, err = medicane(
        "predict", frames, "--out", tmp_path / "out", "--start", "2011-11-02T10:00",
        "--formats", "csv,geojson", "--json", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    return tmp_path / "out", json.loads(out), err


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Arguments of predict for a scene of three clips whose models take no time."""
    made = predictor()

    def load(detector, *_, **__):
        if detector == "no/model":
            raise CheckpointError("no/model is not on the Hub")
        return made

    monkeypatch.setattr(MedicanePredictor, "from_pretrained", load)
    scene().to_netcdf(tmp_path / "scene.nc")
    return ["predict", tmp_path / "scene.nc", "--out", tmp_path / "a" / "out", "--every", "30"]
