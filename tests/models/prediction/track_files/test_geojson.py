import json

import numpy as np
import pytest
from sample_tracks import path_of

from medicane_models.prediction.track_files.geojson import write_geojson

PROVENANCE = {"model": "tiny", "seed": 3, "scenes": ["a.zarr", "b.zarr"], "trained": True}
WITH_RADII = ("Polygon", "Polygon", "Point")


def geojson(tracks, path):
    write_geojson(tracks, path, provenance=PROVENANCE)
    return json.loads(path.read_text())


def lines(collection):
    return [f for f in collection["features"] if "Line" in f["geometry"]["type"]]


def circles(track, path):
    return [f for f in geojson(track, path)["features"] if "Polygon" in f["geometry"]["type"]]


def test_geojson_has_a_line_a_track_and_circles_and_a_point_a_row(tracks, tmp_path):
    collection = geojson(tracks, tmp_path / "tracks.geojson")
    assert collection["type"] == "FeatureCollection"
    assert collection["provenance"] == PROVENANCE
    assert [f["geometry"]["type"] for f in collection["features"]] == [
        *["LineString", "Point", *WITH_RADII],
        *["LineString", "Point", *WITH_RADII, *WITH_RADII],
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


def test_circles_tell_their_radius_the_larger_one_first(tracks, tmp_path):
    outer, inner = circles(tracks, tmp_path / "t.geojson")[:2]
    told = {"track_id": 1, "time": "2020-09-16T23:00:00Z"}
    assert outer["properties"] == told | {"radius_95_km": 90.0}
    assert inner["properties"] == told | {"radius_50_km": 40.0}


@pytest.mark.parametrize(
    ("lon", "lat", "kind"),
    [
        (18.0, 37.0, "Polygon"),
        (179.9, -17.0, "MultiPolygon"),
        (-179.99999, 65.0, "MultiPolygon"),
        (179.19, 0.0, "Polygon"),
        (10.0, 89.7, "Polygon"),
        (10.0, -89.7, "Polygon"),
    ],
)
def test_circles_are_valid_polygons_everywhere(lon, lat, kind, tmp_path):
    shapely = pytest.importorskip("shapely")
    track = path_of(1, [lon, lon], [lat, lat])
    outer, inner = circles(track, tmp_path / "t.geojson")
    assert outer["geometry"]["type"] == kind
    outer, inner = (shapely.geometry.shape(circle["geometry"]) for circle in (outer, inner))
    for circle in (outer, inner):
        assert circle.is_valid
        assert all(part.exterior.is_ccw for part in getattr(circle, "geoms", [circle]))
        assert max(map(abs, circle.bounds[::2])) <= 180
    assert outer.contains(inner)
    assert outer.contains(shapely.Point(lon, lat))


def test_a_position_of_unknown_radius_has_no_circle(tmp_path):
    assert circles(path_of(1, [5.0], [40.0]), tmp_path / "t.geojson") == []
