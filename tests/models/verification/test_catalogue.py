import pandas as pd

from medicane_models.domain import MEDITERRANEAN, geodesic_km
from medicane_models.verification.best_tracks import positions_at, read_tracks
from medicane_models.verification.catalogue import named_medicanes

TRACKS = {  # the windows file names only the storms of ERA5
    "Rolf": "7001328",
    "Qendresa": "7001461",
    "Trixie": "7001542",
    "Numa": "7001575",
    "Ianos": "7001702",
}


def test_every_medicane_is_complete_and_sourced():
    table = named_medicanes()
    assert table["name"].is_unique
    assert (table["start"] >= "2010").all()
    assert table["start"].is_monotonic_increasing
    assert table["time"].between(table["start"], table["end"] + pd.Timedelta(days=1)).all()
    assert table["url"].str.startswith("https://").all()
    assert (table["source"].str.len() > 10).all()
    assert table["disputed"].dtype == bool


def test_positions_lie_on_the_mediterranean_grid():
    table = named_medicanes()
    assert MEDITERRANEAN.contains(*MEDITERRANEAN.lonlat_to_pixel(table["lon"], table["lat"])).all()


def test_positions_are_where_independent_tracks_have_them(shared_data):
    table = named_medicanes().set_index("name")
    tracks = read_tracks(shared_data / "tracks" / "more_medicanes_time_updated.csv")
    named = tracks["name"].where(tracks["name"] != "", tracks["track_id"])
    for name, storm in table.drop(index=["Zorbas", "Scott"]).iterrows():  # in no file at hand
        track = tracks[named == TRACKS.get(name, name)]
        there = positions_at(track, pd.DatetimeIndex([storm["time"]])).iloc[0]
        assert geodesic_km(storm["lon"], storm["lat"], there["lon"], there["lat"]) < 80
        assert track["time"].min() < storm["end"] + pd.Timedelta(days=1)
        assert track["time"].max() > storm["start"]
