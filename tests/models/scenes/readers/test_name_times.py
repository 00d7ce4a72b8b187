import numpy as np
import pandas as pd
import pytest
from picture_files import NAMES, georeferenced, write_pictures

from medicane_models.errors import ConfigurationError
from medicane_models.scenes.opening import open_scene


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("20200516_0600_insat3d_tir1_amphan", "2020-05-16 06:00"),
        ("3DIMG_09OCT2018_1430_L1B_STD_IR1", "2018-10-09 14:30"),
        ("2016160N.HAIMA.2016.10.18.1800.HIMARAWI-8-9", "2016-10-18 18:00"),
        ("ir_2020-05-16T06:30:15", "2020-05-16 06:30:15"),
        ("goes_20200516063015", "2020-05-16 06:30:15"),
        ("gridsat.2020.05.16.06.30", None),
        ("GOES2020137_0630", "2020-05-16 06:30"),
        ("storm_01", None),
    ],
)
def test_usual_times_in_names(tmp_path, name, time):
    write_pictures(tmp_path, f"{name}.png")
    if time is None:
        with pytest.raises(ConfigurationError, match=f"{name}.png does not tell its time"):
            open_scene(tmp_path, extent="10,20,50,50")
    else:
        found = open_scene(tmp_path, extent="10,20,50,50")["time"].to_numpy()
        assert found == np.datetime64(pd.Timestamp(time))


def test_a_pattern_of_times_goes_before_the_usual_ones(tmp_path):
    write_pictures(tmp_path, "20200101_0000_valid-16.05.20+06Z.png")
    scene = open_scene(georeferenced(tmp_path, time="valid-%d.%m.%y+%HZ"))
    assert scene["time"].to_numpy() == np.datetime64("2020-05-16T06:00")


def test_a_wrong_name_is_corrected_by_the_table_of_times(tmp_path):
    write_pictures(tmp_path, *NAMES)
    scene = open_scene(georeferenced(tmp_path, times={NAMES[0]: "2019-05-01T01:00"}))
    assert scene["time"].to_numpy()[0] == np.datetime64("2019-05-01T01:00")
    assert scene.sizes["time"] == 3
