"""A tiny store of local planes: cold discs for storms of many oceans, and weather without any."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.plane_index import PlaneSettings, build_plane_index
from medicane_training.store.plane_samples import PlaneSample, PlaneSampleWriter, Spot
from medicane_training.store.writer import create_store

KM = 40.0
SIZE, SAMPLE_SIZE, FRAMES = 32, 92, 4
PROCESSOR = MedicaneProcessor.planes(size=SIZE, km=KM, num_frames=FRAMES)
SETTINGS = PlaneSettings(tiles=2, border_margin_px=2.0)
MIDDLE = (SAMPLE_SIZE - 1) / 2
COLD, WARM, DISC_PX = 0.85, 0.25, 4.0
STORMS = ("ana", "bo", "cy", "di", "ed", "flo")


def picture(
    seed: int, centre: Spot | None = None, *, frames: int = FRAMES, size: int = SAMPLE_SIZE
) -> np.ndarray:
    """Stretched frames (T, 1, S, S): a cold disc on noise; fewer frames leave the older absent."""
    values = WARM + 0.1 * np.random.default_rng(seed).random((FRAMES, 1, size, size))
    if centre is not None:
        rows, columns = np.mgrid[:size, :size]
        values[:, :, np.hypot(rows - centre.y, columns - centre.x) < DISC_PX] = COLD
    values[: FRAMES - frames] = np.nan
    return values.astype(np.float32)


def sample(name: str, seed: int, **changes: Any) -> PlaneSample:
    """Calm weather in the Pacific unless told otherwise."""
    centre = changes.get("centre")
    values: dict[str, Any] = {
        "name": name,
        "stretched": picture(seed, centre),
        "end": pd.Timestamp("2020-08-01"),
        "lon": 140.0,
        "lat": 15.0,
        "sensor": "ahi",
        "dataset": "himawari",
        "source": "Himawari-8: made up",
        **changes,
    }
    return PlaneSample(**values)


def storm_samples() -> list[PlaneSample]:
    """Five hours of each storm, two weeks apart, every other one in the south and of old GOES."""
    start = pd.Timestamp("2020-08-01")
    return [
        sample(
            f"{storm} {hour}",
            seed=100 * number + hour,
            centre=Spot(MIDDLE + number - 2, MIDDLE + hour - 2),
            storm=storm,
            end=start + pd.Timedelta(days=14 * number, hours=hour),
            lat=15.0 if number % 2 else -15.0,
            wind_kt=25.0 + 20 * number,
            gap_hours=0.0,
            storm_distance_km=0.0,
            **({} if number % 2 else {"dataset": "hursat", "sensor": "goes"}),
        )
        for number, storm in enumerate(STORMS)
        for hour in range(5)
    ]


def calm_samples(count: int = 36) -> list[PlaneSample]:
    """Weather without storms on the other side of the Earth, every other day."""
    start = pd.Timestamp("2020-08-01 06:00")
    return [
        sample(f"calm {n}", seed=n, end=start + pd.Timedelta(days=2 * n), lon=-30.0)
        for n in range(count)
    ]


def sample_store(path: Path, samples: list[PlaneSample] | None = None) -> ClipStore:
    """A store of these samples, or of all that are above."""
    store = create_store(path, PROCESSOR, sample_size=SAMPLE_SIZE)
    with PlaneSampleWriter(store) as writer:
        for one in [*storm_samples(), *calm_samples()] if samples is None else samples:
            writer.add(one)
    build_plane_index(store, SETTINGS)
    return store
