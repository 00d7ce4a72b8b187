import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.tracks import (
    TRACK_COLUMNS,
    as_tracks,
    read_csv,
    save_tracks,
    write_csv,
    write_geojson,
    write_netcdf,
)

PROVENANCE = {"model": "tiny", "seed": 3, "scenes": ["a.zarr", "b.zarr"], "trained": True}


def path_of(track_id, lon, lat, start="2020-09-17"):
    return pd.DataFrame(
        {
            "track_id": track_id,
            "time": pd.date_range(start, periods=len(lon), freq="h"),
            "lon": lon,
            "lat": lat,
            "probability": np.linspace(0.5, 0.9, len(lon)),
            "radius_50_km": [np.nan, *[40.0] * (len(lon) - 1)],
            "radius_95_km": [np.nan, *[90.0] * (len(lon) - 1)],
            "edge": [True] + [False] * (len(lon) - 1),
        }
    )


@pytest.fixture
def tracks():
    ianos = path_of(2, [18.0, 18.5, 19.12345678], [37.0, 37.2, 37.4])
    return pd.concat([ianos, path_of(1, [5.0, 5.1], [40.0, 40.0], "2020-09-16T22:00")])


@pytest.fixture
def nothing():
    return as_tracks(pd.DataFrame(columns=list(TRACK_COLUMNS)))


def geojson(tracks, path):
    write_geojson(tracks, path, provenance=PROVENANCE)
    return json.loads(path.read_text())


def lines(collection):
    return [f for f in collection["features"] if f["geometry"]["type"] != "Point"]


def test_csv_comes_back_to_the_fifth_decimal(tracks, tmp_path):
    write_csv(tracks, tmp_path / "tracks.csv")
    back = read_csv(tmp_path / "tracks.csv")
    expected = as_tracks(tracks).astype({"track_id": "str"})
    pd.testing.assert_frame_equal(back, expected, rtol=0, atol=0.5e-5)
    assert tuple(back.columns) == TRACK_COLUMNS
    assert list(back["track_id"]) == ["1", "1", "2", "2", "2"]


def test_huracanpy_reads_csv_and_netcdf_alike(tracks, tmp_path):
    huracanpy = pytest.importorskip("huracanpy")
    paths = save_tracks(tracks, tmp_path, ["csv", "netcdf"])
    from_csv, from_netcdf = (huracanpy.load(str(paths[name])) for name in ("csv", "netcdf"))
    for loaded in (from_csv, from_netcdf):
        assert loaded.track_id.data.tolist() == [1, 1, 2, 2, 2]
        assert loaded.lon.data == pytest.approx([5.0, 5.1, 18.0, 18.5, 19.12346], abs=1e-5)
        assert loaded.time.data[0] == np.datetime64("2020-09-16T22:00")


def test_names_of_tracks_stay_as_they_are(tracks, tmp_path):
    write_csv(tracks.replace({"track_id": {1: "001", 2: "NA"}}), tmp_path / "tracks.csv")
    write_netcdf(read_csv(tmp_path / "tracks.csv"), tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.track_id.data.tolist() == ["001", "NA"]
        assert data.row_size.data.tolist() == [2, 3]


def test_csv_says_that_its_times_are_utc(tracks, tmp_path):
    write_csv(tracks, tmp_path / "tracks.csv")
    times = pd.read_csv(tmp_path / "tracks.csv")["time"]
    assert times.tolist()[0] == "2020-09-16T22:00:00Z"
    assert times.str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([1, 2], [1, 2]),
        ([1.0, 2.0], ["1", "2"]),
        ([1, "a"], ["1", "a"]),
        (["v2.0", 1], ["1", "v2.0"]),
    ],
)
def test_names_are_whole_numbers_or_text(given, names, tmp_path):
    parts = [path_of(name, [5.0, 6.0], [40.0, 40.0]) for name in given]
    tracks = as_tracks(pd.concat(parts))
    assert tracks["track_id"].unique().tolist() == names
    write_netcdf(tracks, tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.track_id.data.tolist() == names


@pytest.mark.parametrize("form", ["csv", "netcdf"])
def test_huracanpy_opens_a_day_without_a_cyclone(form, nothing, tmp_path):
    huracanpy = pytest.importorskip("huracanpy")
    loaded = huracanpy.load(str(save_tracks(nothing, tmp_path, [form])[form]))
    assert not np.isfinite(loaded.lon.data.astype(float)).any()
    assert set(TRACK_COLUMNS) <= set(loaded.variables)


def test_netcdf_is_a_contiguous_ragged_array_of_trajectories(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc", provenance=PROVENANCE)
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.attrs["Conventions"] == "CF-1.11"
        assert data.attrs["featureType"] == "trajectory"
        assert data.track_id.attrs["cf_role"] == "trajectory_id"
        assert data.row_size.attrs["sample_dimension"] == data.lon.dims[0]
        assert data.row_size.data.tolist() == [2, 3]
        assert {"time", "lon", "lat"} <= set(data.probability.coords)


def test_netcdf_variables_have_standard_names_units_and_no_gaps(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc")
    with xr.open_dataset(tmp_path / "tracks.nc", decode_cf=False) as raw:
        assert [raw[v].attrs["standard_name"] for v in ("time", "lat", "lon")] == [
            "time",
            "latitude",
            "longitude",
        ]
        assert raw.lat.attrs["units"] == "degrees_north"
        assert raw.time.attrs["units"] == "seconds since 1970-01-01"
        assert raw.radius_50_km.attrs["units"] == "km"
        assert not any("_FillValue" in raw[v].attrs for v in ("time", "lon", "lat", "track_id"))
        assert raw.time.data[0] == pd.Timestamp("2020-09-16T22:00").timestamp()


def test_provenance_becomes_global_attributes(tracks, tmp_path):
    write_netcdf(tracks, tmp_path / "tracks.nc", provenance=PROVENANCE)
    with xr.open_dataset(tmp_path / "tracks.nc") as data:
        assert data.attrs["model"] == "tiny"
        assert data.attrs["seed"] == 3
        assert json.loads(data.attrs["scenes"]) == ["a.zarr", "b.zarr"]
        assert json.loads(data.attrs["trained"]) is True


def test_geojson_has_a_line_a_track_and_a_point_a_row(tracks, tmp_path):
    collection = geojson(tracks, tmp_path / "tracks.geojson")
    assert collection["type"] == "FeatureCollection"
    assert collection["provenance"] == PROVENANCE
    assert [f["geometry"]["type"] for f in collection["features"]] == [
        *["LineString", "Point", "Point"],
        *["LineString", "Point", "Point", "Point"],
    ]
    point = collection["features"][1]
    assert point["geometry"]["coordinates"] == [5.0, 40.0]
    assert point["properties"]["time"] == "2020-09-16T22:00:00Z"
    assert point["properties"]["radius_50_km"] is None


@pytest.mark.parametrize(
    ("lon", "parts"),
    [
        ([178, -178], [[178, 180], [-180, -178]]),
        ([-179, 177], [[-179, -180], [180, 177]]),
        ([180, -178], [[-180, -178]]),
        ([178, 180, -178], [[178, 180], [-180, -178]]),
        ([179, -179, 179], [[179, 180], [-180, -179, -180], [180, 179]]),
    ],
)
def test_geojson_lines_are_cut_at_the_antimeridian(lon, parts, tmp_path):
    track = path_of(1, np.array(lon, float), np.linspace(10, 12, len(lon)))
    geometry = lines(geojson(track, tmp_path / "t.geojson"))[0]["geometry"]
    found = geometry["coordinates"]
    found = found if geometry["type"] == "MultiLineString" else [found]
    assert [[x for x, _ in part] for part in found] == parts


def test_the_cut_lies_on_the_line(tmp_path):
    track = path_of(1, [177.0, -179.0], [10.0, 14.0])
    cut = lines(geojson(track, tmp_path / "t.geojson"))[0]["geometry"]["coordinates"]
    assert cut[0][-1] == [180, 13]
    assert cut[1][0] == [-180, 13]


def test_one_position_is_a_point_without_a_line(tmp_path):
    collection = geojson(path_of(1, [5.0], [40.0]), tmp_path / "t.geojson")
    assert [f["geometry"]["type"] for f in collection["features"]] == ["Point"]


def test_no_track_at_all_can_be_written_and_read(nothing, tmp_path):
    paths = save_tracks(nothing, tmp_path)
    assert read_csv(paths["csv"]).empty
    assert json.loads(paths["geojson"].read_text())["features"] == []
    with xr.open_dataset(paths["netcdf"]) as data:
        assert dict(data.sizes) == {"obs": 0, "trajectory": 0}
        assert np.issubdtype(data.time.dtype, np.datetime64)


def test_a_failed_write_leaves_the_former_file(tracks, tmp_path, monkeypatch):
    path = tmp_path / "tracks.csv"
    write_csv(tracks, path)
    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_csv(tracks, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_times_with_a_zone_become_utc(tracks):
    tracks["time"] = tracks["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Athens")
    assert as_tracks(tracks)["time"].iloc[0] == pd.Timestamp("2020-09-16T22:00")


def test_longitudes_are_brought_to_180_degrees():
    assert as_tracks(path_of(1, [190.0, 359.0], [0.0, 0.0]))["lon"].tolist() == [-170, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lat": 91.0}, "no valid position"),
        ({"lon": 361.0}, "no valid position"),
        ({"track_id": np.nan}, "2 rows have no track_id"),
        ({"track_id": ""}, "2 rows have no track_id"),
        ({"lon": np.nan}, "no valid position"),
        ({"time": pd.NaT}, "no time"),
        ({"time": "yesterday"}, "ISO 8601"),
        ({"time": pd.Timestamp("2020-09-17")}, "two positions"),
    ],
)
def test_impossible_tables_are_refused(change, message):
    with pytest.raises(SceneError, match=message):
        as_tracks(path_of(1, [5.0, 6.0], [40.0, 41.0]).assign(**change))


def test_what_is_missing_or_unknown_is_named(tracks, tmp_path):
    with pytest.raises(SceneError, match="has no column lat"):
        as_tracks(tracks.drop(columns="lat"))
    with pytest.raises(SceneError, match=r"absent\.csv"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(ConfigurationError, match=r"kml.*csv, netcdf, geojson"):
        save_tracks(tracks, tmp_path, ["kml"])
