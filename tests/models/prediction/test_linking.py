import numpy as np
import pandas as pd
import pyproj
import pytest

from medicane_models.domain import MEDITERRANEAN, Grid, Tile, great_circle_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.linking import LinkSettings, link_detections, pair_nearest
from medicane_models.prediction.merging import merge_detections

START = pd.Timestamp("2020-09-17")
KM = 1 / 111.195  # degrees of latitude


def rows(*centres, hour=0.0):
    """Detections (lon, lat, probability, radius_50_km) of one time."""
    names = ["lon", "lat", "probability", "radius_50_km"]
    table = pd.DataFrame([(c + (0.9, 20.0)[len(c) - 2 :]) for c in centres], columns=names)
    return table.assign(
        time=START + pd.Timedelta(hours=hour), radius_95_km=2.0789 * table["radius_50_km"]
    )


def moving(lon, lat, *, hours, step_km=20.0):
    """One cyclone that moves northwards."""
    parts = [rows((lon, lat + h * step_km * KM), hour=h) for h in hours]
    return pd.concat(parts)


def link(*tables, **settings):
    return link_detections(pd.concat(tables), grid=MEDITERRANEAN, settings=LinkSettings(**settings))


def lengths(tracks):
    return tracks.groupby("track_id").size().tolist()


def test_centres_of_one_cyclone_merge_at_their_weighted_midpoint():
    merged = merge_detections(
        rows((10.0, 40.0, 0.9, 50.0), (12.0, 40.0, 0.9, 50.0)), merge_km=300, min_probability=0.3
    )
    forward, _, length = pyproj.Geod(a=6371008.8, b=6371008.8).inv(10, 40, 12, 40)
    lon, lat, _ = pyproj.Geod(a=6371008.8, b=6371008.8).fwd(10, 40, forward, length / 2)
    assert merged[["lon", "lat"]].to_numpy() == pytest.approx(np.array([[lon, lat]]), abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [((0.8, 50.0), (0.4, 50.0), 2 / 3), ((0.8, 50.0), (0.8, 100.0), 4 / 5)],
    ids=["by probability", "by inverse variance"],
)
def test_likelier_and_surer_centres_weigh_more(first, second, share):
    merged = merge_detections(
        rows((10.0, 40.0, *first), (10.0, 41.0, *second)), merge_km=300, min_probability=0.3
    )
    assert merged["lat"].item() == pytest.approx(41 - share, abs=1e-3)
    assert merged["probability"].item() == 0.8


def test_a_merged_cyclone_keeps_when_it_was_seen_and_its_shift():
    one, two = rows((10.0, 40.0, 0.8, 50.0)), rows((10.0, 41.0, 0.4, 50.0))
    seen = pd.Timestamp("2020-09-17T00:07"), pd.Timestamp("2020-09-17T00:08")
    one = one.assign(observed=seen[0], parallax_east_km=-3.0, parallax_north_km=np.nan)
    two = two.assign(observed=seen[1], parallax_east_km=-6.0, parallax_north_km=-1.5)
    track = link(one, two).iloc[0]
    assert track["observed"] == seen[1]
    assert track["parallax_east_km"] == pytest.approx(-4.0)
    assert track["parallax_north_km"] == pytest.approx(-1.5)


def test_nothing_is_said_of_sights_that_no_detection_tells():
    silent = rows((10.0, 40.0)).assign(observed=pd.NaT, parallax_east_km=np.nan)
    assert not {"observed", "parallax_east_km"} & set(link(silent).columns)


def test_radii_of_a_merged_cyclone_are_those_of_the_mixture():
    rng = np.random.default_rng(0)
    sigma, apart = np.array([40.0, 60.0]), 120.0
    pair = rows((10.0, 40.0, 0.9, 1.1774 * 40), (10.0, 40 + apart * KM, 0.9, 1.1774 * 60))
    merged = merge_detections(pair, merge_km=300, min_probability=0.3)
    weight = sigma**-2.0 / (sigma**-2.0).sum()
    member = rng.choice(2, 200_000, p=weight)
    cloud = rng.normal(0, sigma[member][:, None], (200_000, 2)) + apart * np.outer(member, [0, 1])
    variance = cloud.var(axis=0).mean()
    assert merged["radius_50_km"].item() == pytest.approx(
        np.sqrt(variance * 2 * np.log(2)), rel=0.01
    )
    assert merged["radius_95_km"].item() == pytest.approx(
        np.sqrt(variance * 2 * np.log(20)), rel=0.01
    )


def test_unknown_radii_stay_unknown_and_do_not_hide_known_ones():
    unknown = rows((10.0, 40.0, 0.9, np.nan), (10.0, 40.0, 0.5, 30.0), (30.0, 33.0, 0.9, np.nan))
    merged = merge_detections(unknown, merge_km=300, min_probability=0.3)
    assert merged["radius_50_km"].tolist() == pytest.approx([30.0, np.nan], nan_ok=True)


def test_what_is_near_the_most_probable_centre_is_one_cyclone_with_it():
    chain = rows((10.0, 38.0, 0.8), (10.0, 40.0, 0.9), (10.0, 42.0, 0.8), (25.0, 35.0, 0.9))
    assert len(merge_detections(chain, merge_km=230, min_probability=0.3)) == 2
    assert len(merge_detections(chain, merge_km=200, min_probability=0.3)) == 4


def between(one, other, count, *, strong=0.9, weak=0.4):
    """Two strong centres with weak ones at even distances between them, as tiles that overlap."""
    geod = pyproj.Geod(a=6371008.8, f=0)
    way = geod.npts(*one, *other, count)
    return rows((*one, strong, 20.0), *((*p, weak, 60.0) for p in way), (*other, strong, 20.0))


@pytest.mark.parametrize("weak", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((10.0, 38.0), (10.0, 43.117)),
        ((10.0, 38.0), (16.5, 38.0)),
        ((177.4, -15.0), (-177.3, -15.0)),
        ((0.0, 84.0), (50.5, 84.0)),
    ],
    ids=["569 km northwards", "569 km eastwards", "antimeridian", "near the pole"],
)
def test_weak_centres_between_two_cyclones_do_not_join_them(one, other, weak):
    pair = between(one, other, weak)
    assert great_circle_km(*one, *other) == pytest.approx(569, abs=30)
    merged = merge_detections(pair, merge_km=300, min_probability=0.3)
    assert len(merged) == 2
    nearest = np.asarray(
        great_circle_km(
            merged["lon"].to_numpy()[:, None],
            merged["lat"].to_numpy()[:, None],
            np.array([one[0], other[0]]),
            np.array([one[1], other[1]]),
        )
    ).min(axis=0)
    assert (nearest < 30).all()  # the weak ones hardly move the centres


def test_three_cyclones_in_a_row_stay_three():
    first = between((5.0, 38.0), (11.5, 38.0), 1)
    row = pd.concat([first, between((11.5, 38.0), (18.0, 38.0), 1)])
    assert len(merge_detections(row, merge_km=300, min_probability=0.3)) == 3


def test_a_centre_belongs_to_the_nearest_of_two_cyclones():
    pair = rows((10.0, 38.0, 0.9), (10.0, 40.6, 0.4), (10.0, 40.8, 0.8))
    merged = merge_detections(pair, merge_km=300, min_probability=0.3)
    assert sorted(merged["lat"]) == pytest.approx([38.0, 40.733], abs=1e-3)


def test_two_cyclones_with_a_weak_tile_between_them_have_two_tracks():
    hours = [between((10.0, 38.0), (16.5, 38.0), 1) for _ in range(6)]
    for hour, table in enumerate(hours):
        table["time"] += pd.Timedelta(hours=hour)
    assert lengths(link(*hours)) == [6, 6]


def test_two_cyclones_at_once_keep_their_tracks():
    tracks = link(moving(5.0, 38.0, hours=range(12)), moving(20.0, 34.0, hours=range(3, 9)))
    assert lengths(tracks) == [12, 6]
    assert tracks.groupby("track_id")["lon"].mean().tolist() == pytest.approx([5, 20])
    assert tracks["track_id"].iloc[0] == 1


def test_order_and_repetition_of_rows_do_not_matter():
    noise = np.random.default_rng(0).normal(0, 0.5, (40, 2))
    table = pd.concat([rows((15 + dx, 37 + dy), hour=i // 3) for i, (dx, dy) in enumerate(noise)])
    expected = link(table)
    for seed in range(5):
        shuffled = pd.concat([table, table.iloc[:7]]).sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(link(shuffled), expected)


def test_a_jump_faster_than_any_cyclone_starts_a_new_track():
    here, near, far = rows((10.0, 38.0)), rows((10.0, 39.2), hour=1), rows((10.0, 40.0), hour=1)
    assert lengths(link(here, near)) == [2]  # 133 km: 100 by movement, the rest by error
    assert lengths(link(here, far)) == [1, 1]  # 222 km


def on_line(start, towards, *, hours, km_per_hour, radius_50_km=20.0):
    """One cyclone that goes along a great circle; ``start`` is where it is at hour 0."""
    geod = pyproj.Geod(a=6371008.8, f=0)
    places = [geod.fwd(*start, towards, h * km_per_hour * 1000)[:2] for h in hours]
    tables = [rows((*p, 0.9, radius_50_km), hour=h) for h, p in zip(hours, places, strict=True)]
    return pd.concat(tables)


def names_of(tracks, *cyclones):
    """The tracks that hold the fixes of each cyclone, none of which merged with another's."""
    place = ["time", "lon", "lat"]
    tracks = tracks.round({"lon": 6, "lat": 6})
    both = [c.round({"lon": 6, "lat": 6}).merge(tracks, on=place) for c in cyclones]
    return [part["track_id"].unique().tolist() for part in both]


@pytest.mark.parametrize("gap", [(), (12,), (11, 12, 13)], ids=["seen", "an hour", "three hours"])
@pytest.mark.parametrize("missed", [30.0, 60.0, 120.0])
def test_cyclones_that_cross_do_not_swap(missed, gap):
    hours = [h for h in range(25) if h not in gap]
    geod = pyproj.Geod(a=6371008.8, f=0)
    west = geod.fwd(15.0, 38.0, 270, 360_000)[:2]
    south = geod.fwd(15.0, 38.0, 180, 360_000 + 1000 * missed)[:2]
    eastward = on_line(west, 90, hours=hours, km_per_hour=30.0)
    northward = on_line(south, 0, hours=hours, km_per_hour=30.0)
    tracks = link(eastward, northward, merge_km=20.0)
    assert names_of(tracks, eastward, northward) == [[1], [2]]


def test_crossing_cyclones_have_the_same_tracks_in_any_order_of_rows():
    one = on_line((12.0, 38.0), 90, hours=range(20), km_per_hour=25.0)
    other = on_line((17.5, 38.3), 270, hours=range(20), km_per_hour=25.0)
    noise = np.random.default_rng(0).normal(0, 0.1, (40, 2))
    table = pd.concat([one, other], ignore_index=True)
    table[["lon", "lat"]] += noise
    expected = link(table, merge_km=20.0)
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(link(shuffled, merge_km=20.0), expected)


@pytest.mark.parametrize("missed", [25.0, 60.0])
def test_cyclones_that_pass_each_other_do_not_swap(missed):
    eastward = on_line((12.0, 38.0), 90, hours=range(20), km_per_hour=25.0)
    westward = on_line((17.5, 38.0 + missed * KM), 270, hours=range(20), km_per_hour=25.0)
    tracks = link(eastward, westward, merge_km=20.0)
    assert names_of(tracks, eastward, westward) == [[1], [2]]


@pytest.mark.parametrize("unseen", [1, 2, 4])
def test_missing_hours_do_not_break_a_track(unseen):
    hours = [h for h in range(20) if not 8 <= h < 8 + unseen]
    assert lengths(link(on_line((8.0, 37.0), 80, hours=hours, km_per_hour=60.0))) == [len(hours)]


def test_another_cyclone_near_the_old_place_is_not_joined():
    gone = on_line((8.0, 38.0), 90, hours=range(9), km_per_hour=50.0)
    place = gone.iloc[-1]
    other = pd.concat([rows((place.lon, place.lat), hour=h) for h in range(13, 18)])
    assert lengths(link(gone, other)) == [9, 5]
    back = on_line((8.0, 38.0), 90, hours=range(13, 18), km_per_hour=50.0)
    assert lengths(link(gone, back)) == [14]


def test_a_centre_may_jump_once_but_not_over_a_gap():
    here = moving(10.0, 38.0, hours=range(8), step_km=0.0)
    beside = moving(11.5, 38.0, hours=range(8, 12), step_km=0.0)  # 131 km
    assert lengths(link(here, beside)) == [12]
    after_a_gap = beside.loc[beside["time"] > here["time"].max() + pd.Timedelta("1h")]
    assert lengths(link(here, after_a_gap)) == [8, 3]


def test_a_gap_is_bridged_up_to_the_memory():
    before, after = moving(10.0, 38.0, hours=range(3)), moving(10.0, 38.0, hours=range(7, 10))
    assert lengths(link(before, after, max_gap_hours=5)) == [6]
    assert lengths(link(before, after, max_gap_hours=4.9)) == [3, 3]


def test_weak_rows_continue_a_track_but_do_not_make_one():
    strong, weak = moving(10.0, 38.0, hours=[2]), moving(10.0, 38.0, hours=[0, 1, 3])
    weak["probability"] = 0.35
    assert lengths(link(strong, weak)) == [4]
    assert link(weak).empty
    assert lengths(link(strong, weak.assign(probability=0.29))) == [1]


def test_short_tracks_can_be_dropped():
    tables = moving(5.0, 38.0, hours=range(7)), moving(20.0, 34.0, hours=range(3))
    assert lengths(link(*tables, min_duration_hours=6)) == [7]
    assert lengths(link(*tables, min_duration_hours=6.5)) == []


def test_close_pairs_are_not_broken_up_to_make_more_pairs():
    distance = np.array([[10.0, 190.0], [180.0, 400.0]])
    row, column = pair_nearest(distance, np.full((2, 2), 200.0))
    assert list(zip(row, column, strict=True)) == [(0, 0)]


def test_crossing_cyclones_are_paired_for_the_least_total_distance():
    distance = np.array([[50.0, 60.0], [40.0, 100.0]])
    row, column = pair_nearest(distance, np.full((2, 2), 200.0))
    assert list(zip(row, column, strict=True)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("pixel", "radius_50_km", "edge"),
    [
        ((645, 210), 20, False),
        ((10, 210), 20, True),
        ((645, 400), 20, True),
        ((645, 330), 300, True),
    ],
    ids=["middle", "west", "south", "by uncertainty"],
)
def test_cyclones_near_the_border_are_flagged(pixel, radius_50_km, edge):
    lon, lat = (float(v) for v in MEDITERRANEAN.pixel_to_lonlat(*pixel))
    assert link(rows((lon, lat, 0.9, float(radius_50_km))))["edge"].item() is edge


def test_tracks_cross_the_antimeridian():
    pacific = Grid.lonlat(west=150, south=-40, east=210, north=10, step_degrees=0.1)
    table = pd.concat([rows((x, -15.0), hour=h) for h, x in enumerate([179.6, -179.9, -179.4])])
    tracks = link_detections(table, grid=pacific)
    assert lengths(tracks) == [3]
    assert not tracks["edge"].any()


def test_rows_without_a_centre_are_skipped_and_nothing_gives_no_track():
    table = moving(10.0, 38.0, hours=range(3))
    untracked = table.assign(lon=np.nan, lat=np.nan)
    assert lengths(link(table, untracked)) == [3]
    assert link(untracked).empty
    assert link(table.iloc[:0]).empty


def test_times_with_a_zone_link_with_times_without():
    table = moving(10.0, 38.0, hours=range(3))
    zoned = table.assign(time=table["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    pd.testing.assert_frame_equal(link(zoned), link(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 1.2}, r"probability 1\.2"),
        ({"probability": np.nan}, "probability nan"),
        ({"radius_95_km": -1.0}, "negative radius"),
        ({"lat": 99.0}, "no valid position"),
        ({"time": pd.NaT}, "no time"),
    ],
)
def test_impossible_detections_are_refused(change, message):
    with pytest.raises(SceneError, match=message):
        link(moving(10.0, 38.0, hours=range(2)).assign(**change))


def test_missing_columns_and_impossible_settings_are_named():
    with pytest.raises(SceneError, match="no column lon, lat"):
        link(rows((10.0, 38.0)).drop(columns=["lon", "lat"]))
    with pytest.raises(ConfigurationError, match=r"continue_probability 0\.6"):
        LinkSettings(continue_probability=0.6)
    with pytest.raises(ConfigurationError, match="merge_km is nan"):
        LinkSettings(merge_km=np.nan)


def observed(truth, tiles, *, noise_km, seed=0):
    """Detections of true tracks: one a tile that shows the centre, displaced, a tenth missing."""
    rng = np.random.default_rng(seed)
    x, y = MEDITERRANEAN.lonlat_to_pixel(truth["lon"].to_numpy(), truth["lat"].to_numpy())
    seen = [truth[(x >= t.x) & (x < t.x + 224) & (y >= t.y) & (y < t.y + 224)] for t in tiles]
    table = pd.concat(seen, ignore_index=True)
    table = table[rng.random(len(table)) > 0.1]
    east, north = rng.normal(0, noise_km, (2, len(table)))
    table["lon"] += east * KM / np.cos(np.radians(table["lat"]))
    table["lat"] += north * KM
    return table.assign(
        probability=rng.uniform(0.35, 1, len(table)),
        radius_50_km=1.1774 * noise_km,
        radius_95_km=2.4477 * noise_km,
    )


@pytest.mark.parametrize(("noise_km", "most_tracks", "whole"), [(15, 24, 16), (40, 24, 16)])
def test_real_tracks_are_recovered_from_noisy_overlapping_tiles(
    shared_data, noise_km, most_tracks, whole
):
    truth = pd.read_csv(
        shared_data / "tracks" / "more_medicanes_time_updated.csv", parse_dates=["time"]
    )
    tiles = [Tile(x, y) for y in (0, 98, 196) for x in range(0, 1066, 71)]
    seen = observed(truth, tiles, noise_km=noise_km)
    tracks = link_detections(seen, grid=MEDITERRANEAN)
    both = tracks.merge(
        truth[["time", "id_final", "lon", "lat"]], on="time", suffixes=("", "_true")
    )
    places = (both[name].to_numpy() for name in ("lon", "lat", "lon_true", "lat_true"))
    both["error_km"] = great_circle_km(*places)
    times_seen = seen.drop_duplicates(["id_final", "time"]).groupby("id_final").size()
    longest = both.groupby(["id_final", "track_id"]).size().groupby("id_final").max()
    assert len(times_seen) == 19
    assert tracks["track_id"].nunique() <= most_tracks
    assert both.groupby("track_id")["id_final"].nunique().max() == 1
    assert (longest / times_seen > 0.95).sum() >= whole
    assert both["error_km"].mean() < 0.7 * noise_km  # merging several tiles beats one
