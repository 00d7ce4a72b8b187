import json

import numpy as np
import pytest
from sample_tracks import path_of

from medicane_models.prediction.track_files.geojson import write_geojson

PROVENANCE = {"model": "tiny", "seed": 3, "scenes": ["a.zarr", "b.zarr"], "trained": True}


def geojson(tracks, path):
    write_geojson(tracks, path, provenance=PROVENANCE)
    return json.loads(path.read_text())


def lines(collection):
    return [f for f in collection["features"] if f["geometry"]["type"] != "Point"]


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
