"""Detections of whole scenes held against every storm that is known there and then.

A storm is found if an alarm lies within ``match_km`` of it. Storms under ``least_kt``, of unknown
wind, not well seen or in no plane that was judged are neither hits nor misses, and alarms near them
neither hits nor false.
Alarms of overlapping planes that lie within ``match_km`` of a surer one are one alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from medicane_models.domain import great_circle_km
from medicane_models.domain.azimuthal import to_azimuthal
from medicane_models.verification.matching import Blocks
from medicane_models.verification.scores import Contingency, precision_recall_area
from medicane_training.scores.intervals import with_intervals

__all__ = ["JudgedScene", "SceneRules", "judge_scene", "mirrored_apart_km", "scene_scores"]

WEEK = "datetime64[W]"


@dataclass(frozen=True, kw_only=True)
class SceneRules:
    """What counts in a scene.

    Attributes:
        match_km: farthest that an alarm lies from the storm it is of.
        least_kt: wind from which on a storm must be found.
        far_km: farther than this from every storm of a day, a plane holds nothing of one.
        plane_km: along a side of a plane.
    """

    match_km: float = 300.0
    least_kt: float = 25.0
    far_km: float = 1200.0
    plane_km: float = 1120.0


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedScene:
    """One moment of a scene.

    Attributes:
        time: UTC.
        storms: ``track_id, lon, lat, wind_kt, hit``, of those that count.
        alarms: ``lon, lat, probability, kind``: "hit", "false" or "other", near what does not
            count.
        planes: ``lon, lat, probability, detected, far``; ``truth``, whether a storm that counts is
            in it; ``counts``, whether no other one is.
    """

    time: pd.Timestamp
    storms: pd.DataFrame
    alarms: pd.DataFrame
    planes: pd.DataFrame


def judge_scene(
    table: pd.DataFrame,
    storms: pd.DataFrame,
    away_km: Float[np.ndarray, " n"],
    rules: SceneRules,
) -> JudgedScene:
    """Hold the detections of one moment against its storms.

    Args:
        table: of `medicane_models.prediction.detections.Detections`, of one time.
        storms: ``track_id, lon, lat, wind_kt, seen``: all at that time, ``seen`` where the scene
            shows them well.
        away_km: of each row of the table, from the plane's middle to the nearest storm of a day.
        rules: what counts.
    """
    held = _held(table, storms, rules.plane_km)  # (planes, storms)
    counted = storms["seen"].to_numpy(bool) & (storms["wind_kt"].to_numpy() >= rules.least_kt)
    counted &= held.any(0)
    alarms = _merged(table.loc[table["detected"].astype(bool)], rules.match_km)
    apart = _apart_km(alarms, storms)
    near = apart <= rules.match_km  # (alarms, storms)
    kind = np.where(near[:, counted].any(1), "hit", np.where(near.any(1), "other", "false"))
    planes = pd.DataFrame(
        {
            "lon": table["tile_lon"].to_numpy(),
            "lat": table["tile_lat"].to_numpy(),
            "probability": table["probability"].to_numpy(float),
            "detected": table["detected"].to_numpy(bool),
            "truth": held[:, counted].any(1),
            "counts": held[:, counted].any(1) | ~held.any(1),
            "far": away_km >= rules.far_km,
        }
    )
    return JudgedScene(
        time=table["time"].iloc[0],
        storms=storms.loc[counted].assign(hit=near[:, counted].any(0)),
        alarms=alarms.assign(kind=kind),
        planes=planes,
    )


def _merged(found: pd.DataFrame, within_km: float) -> pd.DataFrame:
    """The surest of the fixes that are near one another."""
    order = found.sort_values("probability", ascending=False)
    lon, lat = (order[name].to_numpy(float) for name in ("lon", "lat"))
    kept: list[int] = []
    for row in range(len(order)):
        if (great_circle_km(lon[row], lat[row], lon[kept], lat[kept]) > within_km).all():
            kept.append(row)
    return order.iloc[kept][["lon", "lat", "probability"]].reset_index(drop=True)


def _apart_km(alarms: pd.DataFrame, storms: pd.DataFrame) -> Float[np.ndarray, "alarms storms"]:
    ours, theirs = (table[["lon", "lat"]].to_numpy(float).T for table in (alarms, storms))
    return np.asarray(great_circle_km(*ours[:, :, None], *theirs[:, None, :]))


def _held(
    table: pd.DataFrame, storms: pd.DataFrame, plane_km: float
) -> Bool[np.ndarray, "planes storms"]:
    """Which planes hold which storms' centres."""
    tile_lon, tile_lat = (table[name].to_numpy(float)[:, None] for name in ("tile_lon", "tile_lat"))
    lon, lat = (storms[name].to_numpy(float) for name in ("lon", "lat"))
    metres = np.abs(to_azimuthal((tile_lon, tile_lat), lon, lat)).max(axis=0)
    return metres <= 500 * plane_km


def mirrored_apart_km(table: pd.DataFrame, mirrored: pd.DataFrame) -> Float[np.ndarray, " planes"]:
    """How far the fixes of a scene lie from those of its image mirrored at the equator.

    Args:
        table: of the detections of one moment.
        mirrored: of the same moment of the mirrored scene.

    Returns:
        Of the planes with a fix in either; inf where the other one has none.
    """
    names = ["tile_lon", "tile_lat", "lon", "lat"]
    one, other = (rows.loc[rows["lon"].notna(), names].astype(float) for rows in (table, mirrored))
    here, there = (
        rows.round({"tile_lon": 3, "tile_lat": 3}) for rows in (one, other * [1, -1, 1, -1])
    )
    pairs = here.merge(there, "outer", on=["tile_lon", "tile_lat"], suffixes=("", "_mirrored"))
    ours, theirs = (pairs[[f"lon{end}", f"lat{end}"]].to_numpy().T for end in ("", "_mirrored"))
    return np.nan_to_num(np.asarray(great_circle_km(*ours, *theirs)), nan=np.inf)


def scene_scores(scenes: Sequence[JudgedScene]) -> dict[str, Any]:
    """Scores of scenes with counts and intervals over weeks, whose weather is alike.

    Returns:
        ``counts`` of scenes, storms, planes, false alarms and such; ``scores``: ``pod`` of storms,
        ``far`` of alarms, ``pr_area`` of planes by whether a storm is in them, ``far_alarm_share``
        of planes far from all storms.
    """
    weeks = np.array([scene.time for scene in scenes], "datetime64[ns]").astype(WEEK).astype(str)
    blocks = Blocks(weeks, np.full(len(scenes), fill_value=True))

    def statistic(rows: Int[np.ndarray, " _"]) -> dict[str, float]:
        return _scores([scenes[row] for row in rows])

    return {"counts": _counts(scenes), "scores": with_intervals(statistic, blocks)}


def _counts(scenes: Sequence[JudgedScene]) -> dict[str, int]:
    storms, alarms, planes = (
        pd.concat([getattr(scene, name) for scene in scenes], ignore_index=True)
        for name in ("storms", "alarms", "planes")
    )
    kinds, far = alarms["kind"].to_numpy(str), planes["far"].to_numpy(bool)
    return {
        "scenes": len(scenes),
        "storms": len(set(storms["track_id"])),
        "storm moments": len(storms),
        "hits": int(storms["hit"].to_numpy(bool).sum()),
        **{f"{kind} alarms": int((kinds == kind).sum()) for kind in ("false", "other")},
        "planes": len(planes),
        "far planes": int(far.sum()),
        "alarms in far planes": int((far & planes["detected"].to_numpy(bool)).sum()),
    }


def _scores(scenes: Sequence[JudgedScene]) -> dict[str, float]:
    counts = _counts(scenes)
    planes = pd.concat([scene.planes for scene in scenes], ignore_index=True)
    planes = planes.loc[planes["counts"]]
    hits, false = counts["hits"], counts["false alarms"]
    told = Contingency(
        hits=hits, misses=counts["storm moments"] - hits, false_alarms=false, correct_negatives=0
    ).scores()
    far = counts["far planes"]
    return {
        "pod": told["pod"],
        "far": told["far"],
        "pr_area": precision_recall_area(
            planes["probability"].to_numpy(float), planes["truth"].to_numpy(bool)
        ),
        "far_alarm_share": counts["alarms in far planes"] / far if far else np.nan,
    }
