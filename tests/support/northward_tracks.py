"""Cyclones that go north on one day, and what judges them."""

import json

import numpy as np
import pandas as pd

from medicane_models.verification.cases import EvaluationSettings

HOURS = pd.date_range("2020-09-17", periods=24, freq="h")
DAY = EvaluationSettings(start=HOURS[0], end=HOURS[-1], samples=20)
STORMS = {"a": (18, range(3)), "b": (5, range(6, 9)), "c": (12, range(12, 15))}


def track(name, lon, hours):
    """A cyclone that goes north by a tenth of a degree an hour."""
    lat = 37 + 0.1 * np.asarray(hours)
    return pd.DataFrame({"track_id": name, "time": HOURS[list(hours)], "lon": lon, "lat": lat})


def write(table, path):
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False)
    return path


def judged_folder(folder, grid, *, hours=HOURS, tile_size=224):
    """Every tile of a grid at every hour, a cyclone in the first, with provenance."""
    tiles = [(t, x, y) for t in hours for x, y in grid.tiles(tile_size)]
    table = pd.DataFrame(tiles, columns=["time", "tile_x", "tile_y"])
    detected = (table["tile_x"] == 0) & (table["tile_y"] == 0)
    table = table.assign(probability=np.where(detected, 0.9, 0.1), detected=detected)
    lon, lat = grid.pixel_to_lonlat(112, 112)
    table = table.assign(lon=float(lon), lat=float(lat), radius_50_km=np.nan, radius_95_km=np.nan)
    table.loc[~detected, ["lon", "lat"]] = np.nan
    write(table, folder / "detections.csv")
    provenance = {"scene": {"grid": grid.to_dict()}, "processor": {"tile_size": tile_size}}
    records = table.assign(time=table["time"].astype(str)).astype(object)
    rows = records.where(records.notna(), None).to_dict("records")
    text = json.dumps({"provenance": provenance, "detections": rows})
    (folder / "detections.json").write_text(text)
    return folder
