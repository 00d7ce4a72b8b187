import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from medicane_models.domain import Grid, local_plane
from medicane_models.maps.overview import Overview
from medicane_models.maps.page import report_page
from medicane_models.maps.page_content import PageContent
from medicane_models.maps.storm_tracks import StormPicture
from medicane_models.maps.web_pictures import eight_bits, webp
from medicane_models.prediction.extrapolation import FORECAST_COLUMNS
from medicane_models.prediction.page_pictures import MOST_BYTES, MOST_PICTURES

VOID = {"meta", "input", "br"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;$title"
START = pd.Timestamp("2020-09-17")
GRID = Grid.lonlat(west=10, south=30, east=30, north=45, step_degrees=0.1)
PICTURE = webp(eight_bits(np.full((8, 8, 1), 0.5)), widest=8)


class Parsed(HTMLParser):
    """The elements of a page, and that each is closed by its own end tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, tag: str, kind: str | None = None) -> list[dict]:
        """Attributes of all elements of a tag and, if it is given, a class."""
        return [a for t, a in self.elements if t == tag and kind in (None, a.get("class"))]


def track(name: object = 1, fixes: int = 4, lon: float = 18.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "track_id": name,
            "time": pd.date_range(START, periods=fixes, freq="h"),
            "lon": lon + 0.1 * np.arange(fixes),
            "lat": 36.0,
            "probability": 0.9,
            "radius_50_km": 20.0,
            "radius_95_km": 60.0,
            "edge": False,
        }
    )


def content(*tracks: pd.DataFrame, picture: bytes = PICTURE, **changes) -> PageContent:
    table = pd.concat(tracks or [track().iloc[:0]], ignore_index=True)
    pictures = {
        row: StormPicture(taken=time, content=picture, plane=local_plane(lon, lat, size=320, km=3))
        for row, (time, lon, lat) in enumerate(table[["time", "lon", "lat"]].to_numpy())
    }
    grey = np.full((GRID.height, GRID.width, 1), 0.5)
    told = PageContent(
        scene="Meteosat-11",
        models="found by oracle@abc",
        caution=None,
        highest=dict.fromkeys(pd.date_range(START, periods=4, freq="h"), 0.9),
        tracks=table,
        forecasts=pd.DataFrame(columns=FORECAST_COLUMNS),
        standing=pd.DataFrame(columns=FORECAST_COLUMNS),
        pictures=pictures,
        overview=Overview(taken=START, pixels=eight_bits(grey), grid=GRID),
        kelvin=(310.0, 190.0),
        truth=None,
        skipped={},
        provenance={
            "settings": {"threshold": 0.5},
            "scene": {"calibration": "kelvin"},
            "tracker": {"name": "oracle"},
            "complete": True,
        },
    )
    return replace(told, **changes)


def parsed(*tracks: pd.DataFrame, **changes) -> Parsed:
    return Parsed(report_page(content(*tracks, **changes)))


@pytest.mark.parametrize("tracks", [(), (track(),), (track(1), track("b", 2, 25.0))])
def test_every_element_is_closed(tracks):
    assert parsed(*tracks).all("svg")


def test_the_same_content_gives_the_same_bytes():
    assert report_page(content(track())) == report_page(content(track()))


def test_what_files_and_models_say_is_text():
    page = parsed(
        track(HOSTILE),
        scene=HOSTILE,
        models=HOSTILE,
        caution=HOSTILE,
        skipped={HOSTILE: [START]},
        provenance={**content().provenance, "scene": {HOSTILE: HOSTILE}},
    )
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert page.text.count(HOSTILE) >= 8


def test_nothing_is_asked_of_anyone():
    page = parsed(track())
    links = [
        attributes[name]
        for _, attributes in page.elements
        for name in ("href", "src", "action", "data", "xlink:href", "srcset")
        if name in attributes
    ]
    assert links
    assert all(link.startswith(("#", "data:image/webp;")) for link in links)
    assert set(re.findall(r"url\((.)", report_page(content(track())))) == {"#"}


def test_the_policy_forbids_requests_and_all_scripts_but_this_one():
    html = report_page(content(track()))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = next(a["content"] for a in Parsed(html).all("meta") if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_a_slider_has_a_stop_a_picture_and_the_newest_is_shown():
    page = parsed(track(1, 4), track(2, 3, 25.0))
    stops = [int(a["max"]) + 1 for a in page.all("input") if a["type"] == "range"]
    frames = page.all("figure", "frame")
    assert sorted(stops) == [3, 4]
    assert len(frames) == 7
    shown = [frame["data-time"] for frame in frames if "hidden" not in frame]
    assert sorted(shown) == ["2020-09-17 02:00 UTC", "2020-09-17 03:00 UTC"]


def test_a_fix_without_a_picture_has_no_stop():
    told = content(track())
    page = Parsed(report_page(replace(told, pictures={0: told.pictures[0]})))
    assert len(page.all("figure", "frame")) == 1
    assert [a["type"] for a in page.all("input")] == ["radio"] * 3 + ["checkbox"]


def test_the_summary_says_where_each_cyclone_is():
    text = parsed(track().assign(speed_kt=4.9, heading=91.0)).text
    assert "4 clips judged, 4 with a detection; 1 cyclone track." in text
    assert "36.00°N 18.30°E · 50 % within 20 km · 95 % within 60 km · probability 0.90" in text
    assert "probability 0.90 (a detection from 0.5 on) · moving E at 5 kt" in text
    assert "1 cyclone track at the newest time" in text
    assert "not for warnings" in text


@pytest.mark.parametrize(
    ("missing", "said"),
    [(3, "on) · 3 frames of its clip missing."), (0, "on)."), (np.nan, "on).")],
)
def test_the_summary_says_how_many_frames_were_missing(missing, said):
    text = parsed(track().assign(missing_frames=missing)).text
    assert f"probability 0.90 (a detection from 0.5 {said}" in text


@pytest.mark.parametrize(
    ("years", "label"), [(0, "1 · 17 Sep 01:00"), (3, "1 · 17 Sep 2017 01:00")]
)
def test_labels_of_several_years_tell_theirs(years, label):
    earlier = track(1, 2).assign(time=lambda t: t["time"] - pd.DateOffset(years=years))
    assert label in parsed(earlier, track(2, 4, 25.0), pictures={}).texts


@pytest.mark.parametrize("width", ["stroke-width", "stroke-dasharray"])
def test_dots_of_curves_are_wide_and_whole_whatever_their_line_is(width):
    style = (files("medicane_models.maps") / "page.css").read_text("utf-8")
    rules = re.findall(r"^([^{\n]+) \{([^}]*)\}", style, re.MULTILINE)
    told = [names for names, rule in rules if width in rule]
    assert ".curves .dots" in told
    assert ".dots" not in told  # as weak as the rules of lines, which come later


def ahead(hour: int, lon: float = 19.0) -> pd.DataFrame:
    """A forecast of 6 h from a fix."""
    issued = START + pd.Timedelta(hours=hour)
    values = [1, issued, 6.0, issued + pd.Timedelta(hours=6), lon, 36.5, 80.0, 160.0]
    return pd.DataFrame([dict(zip(FORECAST_COLUMNS, values, strict=True))])


def test_forecasts_are_marked_as_extrapolated():
    standing = ahead(3)
    page = parsed(track(), forecasts=pd.concat([ahead(2), standing]), standing=standing)
    said = "Extrapolated, if it keeps its motion: 36.50°N 19.00°E in 6 h (95 % within 160 km)"
    assert said in page.text
    assert "extrapolated by 6 and 12 h" in page.text
    assert len(page.all("g", "ahead")) == 3  # on the map, and on two pictures


def test_the_smoothed_track_leads_beside_the_fixes():
    smooth = track().assign(smooth_lon=lambda t: t["lon"], smooth_lat=36.5)
    lines = {kind: parsed(smooth).all("path", kind)[-1]["d"] for kind in ("way", "fixes")}
    heights = {kind: float(d.split("l")[0].split("h")[0].split()[1]) for kind, d in lines.items()}
    assert heights["way"] < heights["fixes"] - 10


def test_a_cyclone_that_has_gone_was_last_seen_before():
    assert "Track 1 was last seen at 2020-09-17 01:00 UTC" in parsed(track(1, 2)).text


def test_errors_are_of_the_true_centre_of_that_time_if_one_is_near():
    times = pd.date_range(START, periods=2, freq="h")
    truth = pd.DataFrame({"track_id": "a", "time": times, "lon": [18.0, 28.0], "lat": [36.09, 36]})
    text = parsed(track(1, 2), truth=truth).text
    assert text.count("10 km from the true centre") == 1
    assert text.count("km from the true centre") == 1


def test_it_is_told_how_often_the_circles_held_the_true_centre():
    times = pd.date_range(START, periods=2, freq="h")
    truth = pd.DataFrame({"track_id": "a", "time": times, "lon": [18.0, 18.1], "lat": [36.3, 36]})
    told = "The true centre lies in the 50 % circle at 1 of 2 fixes and in the 95 % circle at 2 of"
    assert told in parsed(track(1, 2), truth=truth).text
    assert "The true centre lies" not in parsed(track()).text


def test_cyclones_of_now_come_before_those_that_have_gone():
    page = parsed(track("new", 4), track("old", 2, 25.0))
    assert page.text.index("Track new") < page.text.index("1 earlier trackTrack old")


@pytest.mark.parametrize(("calibration", "warned"), [("kelvin", False), ("grey", True)])
def test_temperatures_that_are_guessed_are_said_to_be(calibration, warned):
    told = {**content().provenance, "scene": {"calibration": calibration}}
    assert ("guessed from the greys" in parsed(track(), provenance=told).text) == warned


def test_distances_from_a_first_guess_are_told():
    guessed = track().assign(guess_lon=18.0, guess_lat=36.0, guess_distance_km=12.3)
    page = parsed(guessed)
    assert "12 km from the first guess" in page.text
    assert page.all("path", "curve guess-distance")


def test_what_was_skipped_is_told_by_reason():
    skipped = {"no newest frame": [START, START + pd.Timedelta(hours=2)]}
    assert "2020-09-17 00:00–02:00 UTC: no newest frame (2 times)" in parsed(skipped=skipped).text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tracker": None}, "without a tracker there are no centres"),
        ({"complete": False}, "run was"),
    ],
)
def test_a_page_says_what_a_run_lacked(change, said):
    assert said in parsed(provenance={**content().provenance, **change}).text


def test_pictures_in_colour_have_no_choice_of_colour_tables():
    page = parsed(track(), kelvin=None)
    assert not page.all("filter")
    assert [a["type"] for a in page.all("input")] == ["checkbox", "range"]


def test_the_tracks_seen_last_come_first_and_the_rest_is_counted():
    tracks = [track(f"n{number}", 1 + number % 4) for number in range(45)]
    page = parsed(*tracks, pictures={})
    assert len(page.all("section", "storm")) == 40
    assert "5 earlier tracks in tracks.csv" in page.text
    assert "45 cyclone tracks, the 40 seen last shown here and all of them in" in page.text


def test_as_many_pictures_as_there_may_be_fit_into_ten_megabytes():
    of_islands = track(1, 12, 25.0)
    large = bytes(MOST_BYTES // MOST_PICTURES)
    added = len(report_page(content(of_islands, picture=large)))
    added -= len(report_page(content(of_islands, pictures={})))
    assert added / 12 * MOST_PICTURES < 9e6
