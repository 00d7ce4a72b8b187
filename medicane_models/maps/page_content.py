"""What a page and animations show of a prediction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.domain import great_circle_km
from medicane_models.maps.overview import Overview
from medicane_models.maps.storm_tracks import ShownTrack, StormPicture
from medicane_models.maps.wording import Fix, Forecast

__all__ = ["PageContent", "shown_tracks", "storms_of"]

HERE, THERE = ("lon", "lat"), ("true_lon", "true_lat")
FARTHEST_KM = 300.0  # from a true centre, beyond which a fix is none of its own
MOST_STORMS = 40
# what the enhanced colours of infrared pictures lack, told apart by lightness, too
STORM_COLOURS = ("#FF66D0", "#7CFF6B", "#D2B0FF", "#00E5FF")


@dataclass(frozen=True, kw_only=True, eq=False)
class PageContent:
    """What a page tells.

    Attributes:
        scene: the satellite, or what else it is of.
        models: what found the cyclones.
        caution: what must be known of scene and models, if there is anything.
        highest: the highest probability of a clip's tiles, by the clip's time, sorted.
        tracks: a track table, its rows numbered from 0.
        forecasts: from the fixes of these, a table of ``track_id, issued, lead_hours, valid_time,
            lon, lat, radius_50_km, radius_95_km``.
        standing: those of them that hold now.
        pictures: around fixes, by number of the row of ``tracks``.
        overview: the newest picture of the scene, if there is one.
        kelvin: what the pictures show as black and as white, if they show one temperature.
        truth: ``track_id, time, lon, lat`` of the true storms, where they are known.
        skipped: times of clips or tiles that were not judged, by reason.
        provenance: of the run, ready for JSON.
    """

    scene: str
    models: str
    caution: str | None
    highest: Mapping[pd.Timestamp, float]
    tracks: pd.DataFrame
    forecasts: pd.DataFrame
    standing: pd.DataFrame
    pictures: Mapping[int, StormPicture]
    overview: Overview | None
    kelvin: tuple[float, float] | None
    truth: pd.DataFrame | None
    skipped: Mapping[str, Sequence[pd.Timestamp]]
    provenance: Mapping[str, Any]


def shown_tracks(tracks: pd.DataFrame) -> pd.DataFrame:
    """The rows of the tracks that a page has room for: those seen last."""
    newest_first = tracks.sort_values("time", ascending=False, kind="stable")["track_id"]
    return tracks.loc[tracks["track_id"].isin(list(dict.fromkeys(newest_first))[:MOST_STORMS])]


def storms_of(content: PageContent) -> list[ShownTrack]:
    """The tracks to show: those seen last come first, of these the most probable."""
    tracks = _with_errors(shown_tracks(content.tracks), content.truth).sort_values("time")
    fixes: defaultdict[str, dict[int, Fix]] = defaultdict(dict)
    for row, fix in zip(tracks.index.to_list(), tracks.to_dict("records"), strict=True):
        fixes[str(fix["track_id"])][row] = {str(name): value for name, value in fix.items()}
    forecasts, standing = (_by_track(table) for table in (content.forecasts, content.standing))
    found = sorted(fixes.items(), key=lambda item: _importance([*item[1].values()][-1]))
    return [
        ShownTrack(
            name=name,
            anchor=f"track-{number + 1}",
            fixes=list(own.values()),
            pictures=[content.pictures.get(row) for row in own],
            forecasts=_by_issue(forecasts[name]),
            standing=standing[name],
            color=STORM_COLOURS[number % len(STORM_COLOURS)],
        )
        for number, (name, own) in enumerate(found[::-1])
    ]


def _by_track(forecasts: pd.DataFrame) -> defaultdict[str, list[Forecast]]:
    found: defaultdict[str, list[Forecast]] = defaultdict(list)
    for row in forecasts.to_dict("records"):
        found[str(row["track_id"])].append({str(name): value for name, value in row.items()})
    return found


def _by_issue(forecasts: Sequence[Forecast]) -> dict[pd.Timestamp, list[Forecast]]:
    found: defaultdict[pd.Timestamp, list[Forecast]] = defaultdict(list)
    for forecast in forecasts:
        found[forecast["issued"]].append(forecast)
    return dict(found)


def _importance(newest: Fix) -> tuple[pd.Timestamp, float]:
    return newest["time"], float(np.nan_to_num(newest["probability"]))


def _with_errors(tracks: pd.DataFrame, truth: pd.DataFrame | None) -> pd.DataFrame:
    """Tracks with the nearest true centre of the same time, if one is near, and its distance."""
    if truth is None:
        return tracks
    true = truth[["time", "lon", "lat"]].set_axis(["time", "true_lon", "true_lat"], axis=1)
    pairs = tracks.assign(row=tracks.index).merge(true, on="time", how="left")
    here, there = (pairs[list(names)].to_numpy().T for names in (HERE, THERE))
    pairs["error_km"] = great_circle_km(*here, *there)
    far = ~(pairs["error_km"] <= FARTHEST_KM)
    pairs.loc[far, ["error_km", *THERE]] = np.nan
    return pairs.sort_values("error_km").drop_duplicates("row").set_index("row")
