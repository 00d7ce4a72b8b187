import pandas as pd
import pytest
from sample_tracks import path_of

from medicane_models.errors import ConfigurationError
from medicane_models.prediction.track_files.storm_ids import StormId, number_storms
from medicane_models.prediction.tracks import as_tracks


def ids(*paths):
    return [str(name) for name in number_storms(as_tracks(pd.concat(paths))).values()]


def test_tracks_are_numbered_by_their_first_times_in_basin_and_season():
    late = path_of("first by name", [18.0, 19.0], [37.0, 37.0], "2020-09-18")
    early = path_of("second", [5.0, 6.0], [40.0, 40.0], "2020-09-17")
    pacific = path_of("third", [130.0, 131.0], [20.0, 20.0], "2020-09-19")
    assert ids(late, early, pacific) == ["ALA02020", "ALB02020", "WPA02020"]


def test_numbers_do_not_end():
    paths = [path_of(n, [18.0], [37.0], f"2020-09-{1 + n // 24}T{n % 24}:00") for n in range(300)]
    names = ids(*paths)
    assert names[25:27] == ["ALZ02020", "ALA12020"]
    assert names[260] == "ALA102020"
    assert len(set(names)) == 300


@pytest.mark.parametrize(("start", "season"), [("2021-02-10", "2021"), ("2021-11-10", "2022")])
def test_the_southern_season_is_called_by_the_year_it_ends_in(start, season):
    assert ids(path_of(1, [125.0], [-17.0], start)) == ["SHA0" + season]


def test_a_best_track_stays_the_storm_it_is():
    refined = path_of("SH032012", [125.0], [-17.0], "2011-08-10")
    assert ids(refined, path_of("Irene", [-75.0], [25.0])) == ["SH032012", "ALA02020"]


def test_what_is_no_name_of_a_storm_is_refused():
    with pytest.raises(ConfigurationError, match="Mediterranean12020 is no storm of ATCF"):
        StormId(basin="Mediterranean", number="1", season=2020)
