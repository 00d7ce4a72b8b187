"""Samples of a store out of pictures around storms, named by best tracks where they tell a time."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Grid, great_circle_km, local_plane
from medicane_models.scenes.plane_sampling import PlaneSampler
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_training.store.known_storms import STRENGTH, KnownStorms
from medicane_training.store.plane_build import nearest_spot
from medicane_training.store.plane_index import PlaneSettings
from medicane_training.store.plane_samples import UNNAMED, PlaneSample, PlaneSampleWriter, Spot

PROCESSOR = MedicaneProcessor.planes()
SETTINGS = PlaneSettings(negatives_per_frame=12)
SAME_STORM_KM = 200.0
Kelvin = Float[np.ndarray, "y x"]


class Picture(NamedTuple):
    """Kelvin and where they lie."""

    kelvin: Kelvin
    grid: Grid


def on_plane(pictures: Sequence[Picture | None], plane: Grid) -> Float[np.ndarray, "T C S S"]:
    """Pictures of each slot, stretched, on the plane of the sample."""
    sampled = np.full((len(pictures), 1, plane.height, plane.width), np.nan, np.float32)
    for slot, picture in enumerate(pictures):
        if picture is not None:
            planes = PlaneSampler(picture.grid, [plane])([picture.kelvin])  # (1, C, S, S)
            sampled[slot] = PROCESSOR.bands_of({"IR_108": planes[0, 0]})
    return sampled


class Samples:
    """Makes samples of pictures, and adds those that the store lacks."""

    def __init__(self, writer: PlaneSampleWriter, tracks: pd.DataFrame, dataset: str) -> None:
        grid = writer.store.grid
        self.writer, self.dataset = writer, dataset
        self.size, self.km = grid.width, grid.x_step / 1000
        self.middle = Spot((self.size - 1) / 2, (self.size - 1) / 2)
        self.storms = KnownStorms(tracks=tracks, max_gap_hours=SETTINGS.max_gap_hours)

    def add_known(
        self,
        pictures: Sequence[Picture | None],
        end: pd.Timestamp,
        place: tuple[float, float],
        *,
        own_name: str,
        sensor: str,
        file: str,
        **strength: float,
    ) -> None:
        """A storm of which time and place are told; IBTrACS names the one that is there."""
        plane = local_plane(*place, size=self.size, km=self.km)
        storms = self.storms.at(end)
        apart = great_circle_km(*place, storms["lon"].to_numpy(), storms["lat"].to_numpy())
        near = storms.assign(apart=apart).sort_values("apart")
        own = near.loc[near["apart"] < SAME_STORM_KM].head(1)
        told = {name: float(own[name].iloc[0]) if len(own) else np.nan for name in STRENGTH}
        storm = own["track_id"].iloc[0] if len(own) else f"{UNNAMED}{own_name}"
        name = f"{self.dataset} {end:%Y-%m-%dT%H:%M} {storm}"
        if name in self.writer:
            return
        self.writer.add(
            PlaneSample(
                name=name,
                stretched=on_plane(pictures, plane),
                end=end,
                lon=place[0],
                lat=place[1],
                sensor=sensor,
                dataset=self.dataset,
                source=f"{self.dataset}: {file}",
                storm=storm,
                centre=self.middle,
                other=nearest_spot(plane, storms.drop(own.index)),
                storm_distance_km=0.0,
                gap_hours=gap_hours(end),
                wind_kt=strength.get("wind_kt", told["wind_kt"]),
                pressure_hpa=strength.get("pressure_hpa", told["pressure_hpa"]),
            )
        )

    def add_unknown(
        self,
        picture: Picture,
        file: str,
        *,
        sensor: str,
        hemisphere: Literal["north", "unknown"] = "north",
        lat: float = 0.0,
        is_centred: bool = True,
        wind_kt: float = np.nan,
    ) -> None:
        """A storm at 0°E and a latitude of the picture's grid, which is not where it truly was."""
        name = f"{self.dataset} {file}"
        self._add_timeless(
            name,
            picture,
            file,
            place=(0.0, lat),
            sensor=sensor,
            hemisphere=hemisphere,
            storm=f"{UNNAMED}{name}",
            centre=self.middle if is_centred else None,
            storm_distance_km=0.0,
            wind_kt=wind_kt,
        )

    def add_calm(
        self,
        picture: Picture,
        file: str,
        *,
        sensor: str,
        place: tuple[float, float],
        away_km: float,
    ) -> None:
        """A place without a storm, in degrees of the picture's grid, so far away from one."""
        self._add_timeless(
            f"{self.dataset} {file} {place[0]:.1f} {place[1]:.1f}",
            picture,
            file,
            place=place,
            sensor=sensor,
            hemisphere="north",
            storm="",
            centre=None,
            storm_distance_km=away_km,
        )

    def _add_timeless(
        self, name: str, picture: Picture, file: str, *, place: tuple[float, float], **told: Any
    ) -> None:
        """One frame of which neither time nor place on Earth is known."""
        if name in self.writer:
            return
        plane = local_plane(*place, size=self.size, km=self.km)
        empty = [None] * (PROCESSOR.num_frames - 1)
        self.writer.add(
            PlaneSample(
                name=name,
                stretched=on_plane([*empty, picture], plane),
                end=pd.NaT,
                lon=np.nan,
                lat=np.nan,
                dataset=self.dataset,
                source=f"{self.dataset}: {file}",
                **told,
            )
        )


def gap_hours(time: pd.Timestamp) -> float:
    """To the nearest synoptic hour, at which best tracks have their rows."""
    hours = time.hour + time.minute / 60
    return abs(hours - 6 * round(hours / 6))
