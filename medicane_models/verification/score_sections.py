"""What is scored of judged detections and tracks: measures by title."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from medicane_models.verification.block_bootstrap import BlockRows, Draws, Measure, Statistic
from medicane_models.verification.judged_detections import JudgedDetections
from medicane_models.verification.judged_tracks import JudgedTracks
from medicane_models.verification.matching import Blocks, independent_blocks
from medicane_models.verification.measures import (
    distance_scores,
    joint,
    mean_of,
    probabilities,
    yes_no,
)
from medicane_models.verification.pairing import METHODS
from medicane_models.verification.scores import ratio

__all__ = [
    "detection_groups",
    "detection_sections",
    "of_each_time",
    "track_groups",
    "track_sections",
]

POSITION_SCORES = ("pod", "far", "csi", "frequency_bias")  # positions have no correct negatives
BEFORE = "true_centre_1h_before_error_km"


def detection_sections(judged: JudgedDetections) -> dict[str, Measure]:
    """By tile and time, by time, and the centres."""
    tiles, times = judged.tiles, of_each_time(judged.tiles)
    blocks = blocks_of(tiles, judged.storms)
    of_times = blocks_of(times, judged.storms)
    return {
        "tiles and times": yes_no(*_flags(tiles), blocks, always=True),
        "any alarm while any storm": yes_no(*_flags(times), of_times, always=True),
        "probabilities": probabilities(*_probability(tiles), blocks, what="tiles_and_times"),
        "highest probability of each time": probabilities(
            *_probability(times), of_times, what="times"
        ),
        "centres": centres_measure(judged.centres, judged.storms),
    }


def track_sections(judged: JudgedTracks) -> dict[str, Measure]:
    """By position, by time, by storm, the centres and the forecasts."""
    positions, times, storms = judged.positions, judged.times, judged.storms
    found = positions.loc[positions["happened"] & positions["forecast"]]
    by_position = yes_no(*_flags(positions), blocks_of(positions, storms), only=POSITION_SCORES)
    sections = {"positions": by_position}
    if judged.looked:
        sections["any track while any storm"] = yes_no(
            *_flags(times), blocks_of(times, storms), always=True
        )
    sections["storms and tracks"] = _events(judged)
    sections["centres"] = centres_measure(found, storms)
    by_lead = _by_lead(judged.forecasts)
    return sections | {title: _forecasts(table, storms) for title, table in by_lead.items()}


def detection_groups(judged: JudgedDetections) -> dict[str, dict[str, Measure]]:
    """Centres by intensity and organisation, detections by sensor where there are several."""
    tiles, centres, storms = judged.tiles, judged.centres, judged.storms
    return {
        what: {
            name: centres_measure(centres.loc[centres[what] == name], storms)
            for name in ordered(centres[what])
        }
        for what, ordered in STORM_CLASSES.items()
    } | {
        "sensor": {
            name: _group(tiles.loc[tiles["sensor"] == name], storms)
            for name in _several(tiles["sensor"])
        },
    }


def track_groups(judged: JudgedTracks) -> dict[str, dict[str, Measure]]:
    """Positions by intensity and organisation, and by sensor where there are several.

    Forecasts likewise, by what the storm is at the time that they are for.
    """
    positions, storms = judged.positions, judged.storms
    of_positions = {
        what: {
            name: _group(positions.loc[positions[what] == name], storms, ("pod",))
            for name in ordered(positions[what])
        }
        for what, ordered in STORM_CLASSES.items()
    }
    of_forecasts = {
        f"{what}, {title}": {
            name: _forecasts(table.loc[table[what] == name], storms)
            for name in ordered(table[what])
        }
        for what, ordered in STORM_CLASSES.items()
        for title, table in _by_lead(judged.forecasts).items()
    }
    return (
        of_positions
        | of_forecasts
        | {
            "sensor": {
                name: _group(
                    positions.loc[positions["sensor"] == name], storms, ("pod", "far", "csi")
                )
                for name in _several(positions["sensor"])
            },
        }
    )


def _by_lead(forecasts: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Forecasts of each lead, from short to long, by their title."""
    if forecasts.empty:
        return {}
    groups = forecasts.groupby("lead_hours")
    return {f"forecasts of {lead:g} h": table for lead, table in groups}


def _forecasts(table: pd.DataFrame, storms: pd.DataFrame) -> Measure:
    """Errors of forecasts, and of the fixes that they start from."""
    blocks = blocks_of(table, storms, "issued")
    counts = {"forecasts": len(table), "storms": len(set(table["storm"]))}
    return joint(blocks, list(error_parts(table, blocks)), counts)


def of_each_time(tiles: pd.DataFrame) -> pd.DataFrame:
    """A row a time: a storm in any tile, an alarm in any, the highest probability."""
    times = tiles.groupby(["run", "time"], as_index=False)
    return times.agg({"happened": "any", "detected": "any", "probability": "max"})


def centres_measure(centres: pd.DataFrame, storms: pd.DataFrame) -> Measure:
    """Errors of fixes, smoothed centres and baselines, and the shares inside the radii."""
    blocks = blocks_of(centres, storms)
    counts = {"centres": len(centres), "storms": len(set(centres["storm"]))}
    columns = {
        "with_a_true_centre_an_hour_before": BEFORE,
        "with_a_fix_an_hour_before": "fix_1h_before_error_km",
        "smoothed": "smooth_error_km",
        "with_radii": "radius_95_km",
    }
    for name, column in columns.items():
        if column in centres:
            counts[name] = int(np.isfinite(centres[column].to_numpy(float)).sum())
    return joint(blocks, list(error_parts(centres, blocks)), counts)


def error_parts(table: pd.DataFrame, blocks: Blocks) -> Iterator[Statistic]:
    """Scores of every method that the table has errors of."""
    for prefix in METHODS:
        if f"{prefix}error_km" not in table:
            continue
        error = table[f"{prefix}error_km"].to_numpy(float)
        yield distance_scores(error, blocks, prefix)
        means = {}
        if f"{prefix}along_km" in table:
            for part in ("along", "across"):
                values = table[f"{prefix}{part}_km"].to_numpy(float)
                means |= {f"{prefix}{part}_mean_km": values, f"{prefix}{part}_abs_km": abs(values)}
        for share in (50, 95):
            if f"{prefix}radius_{share}_km" in table:
                radius = table[f"{prefix}radius_{share}_km"].to_numpy(float)
                known = ~np.isnan(radius) & ~np.isnan(error)
                inside = np.where(known, error <= radius, np.nan)
                means[f"{prefix}within_radius_{share}"] = inside
        yield mean_of(means, blocks)


def blocks_of(table: pd.DataFrame, storms: pd.DataFrame, time: str = "time") -> Blocks:
    """The storm or calm week of each row."""
    return independent_blocks(table[time].to_numpy(), storms)


def _events(judged: JudgedTracks) -> Measure:
    """Hit rate of storms, false tracks, and how late tracks begin and end."""
    events = judged.events.rename(columns={"first": "time"})
    rows = [
        events.assign(storm=1, hit=events["pod"] > 0),
        judged.false.rename(columns={"first": "time"}).assign(false=1),
        judged.times,
    ]
    table = pd.concat([part for part in rows if len(part)], ignore_index=True)
    blocks = blocks_of(table, judged.storms)
    numbers = table.reindex(columns=["storm", "hit", "false", "hours"]).fillna(0).to_numpy(float)
    sums = BlockRows.of(blocks).sums(numbers)

    def statistic(draws: Draws) -> Mapping[str, Shaped[np.ndarray, " s"]]:
        storms, hits, false_tracks, hours = (draws @ sums).T
        return {
            "storm_pod": ratio(hits, storms),
            "false_tracks_per_100_h": ratio(100 * false_tracks, hours),
        }

    late = {}
    for end in ("onset", "decay"):
        error = table.reindex(columns=[f"{end}_error_h"]).to_numpy(float)[:, 0]
        late |= {f"{end}_mean_h": error, f"{end}_abs_h": abs(error)}
    return joint(blocks, [statistic, mean_of(late, blocks)], _event_counts(judged))


def _event_counts(judged: JudgedTracks) -> dict[str, float]:
    events, positions = judged.events, judged.positions
    ours = positions.loc[positions["forecast"]]
    pairs = ours.loc[ours["happened"]].drop_duplicates(["run", "track_id", "storm"])
    return {
        "storms": len(events),
        "storms_found": _count(events["pod"] > 0),
        "tracks": len(ours.drop_duplicates(["run", "track_id"])),
        "tracks_without_a_storm": len(judged.false),
        "pairs_of_track_and_storm": len(pairs),
        "scene_hours": float(judged.times["hours"].to_numpy(float).sum()),
    }


def _group(table: pd.DataFrame, storms: pd.DataFrame, scores: Sequence[str] = ()) -> Measure:
    """Contingency of some positions or tiles and the errors of their centres."""
    blocks = blocks_of(table, storms)
    contingency = yes_no(*_flags(table), blocks, only=scores)
    counts = {**contingency.counts, "centres": _count(table["error_km"].notna())}
    return joint(blocks, [contingency.statistic, *error_parts(table, blocks)], counts)


def _count(cases: Any) -> int:
    return int(np.count_nonzero(cases))


def _flags(
    table: pd.DataFrame,
) -> tuple[Shaped[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
    forecast = "forecast" if "forecast" in table else "detected"
    return table["happened"].to_numpy(bool), table[forecast].to_numpy(bool)


def _probability(
    table: pd.DataFrame,
) -> tuple[Shaped[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
    return table["probability"].to_numpy(float), table["happened"].to_numpy(bool)


def _classes(intensity: Iterable[str]) -> list[str]:
    """Classes from weak to strong, one unit after the other."""
    words = {name: name.removesuffix(" and more").split() for name in set(intensity) - {""}}
    return sorted(words, key=lambda name: (words[name][-1], float(words[name][0])))


def _several(names: Iterable[str]) -> list[str]:
    return sorted(set(names)) if len(set(names)) > 1 else []


def _organisations(names: Iterable[str]) -> list[str]:
    return sorted(set(names) - {""})


STORM_CLASSES = {"intensity": _classes, "organisation": _organisations}
"""What storms are told apart by, and the order of its classes; those of "" are left out."""
