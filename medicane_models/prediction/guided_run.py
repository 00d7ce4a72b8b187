"""A scene judged around first guesses of where its cyclones are, and nowhere else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medicane_models.domain import great_circle_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.prediction.detections import FIX_COLUMNS
from medicane_models.prediction.lifetimes import usual_step_hours, with_lifetimes
from medicane_models.prediction.linking import at_edge
from medicane_models.prediction.refinement import FirstGuess, HeatMaps, HeatMapTrust, refined
from medicane_models.prediction.run import PredictionRun
from medicane_models.prediction.smoothing import smoothed
from medicane_models.prediction.tracks import (
    GUESS_COLUMNS,
    TRACK_COLUMNS,
    as_tracks,
    known_sights,
)
from medicane_models.runtimes.interface import Centres
from medicane_models.scenes.clips import Clip, ClipPlan, ClipReader, HeldFrames, SkippedClip
from medicane_models.scenes.tiles import FixedTiles, LocalPlanes, Tiling

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["GuidedRun"]


@dataclass(frozen=True, kw_only=True)
class GuidedClip(Clip):
    """A clip with the first guess of each of its tiles.

    Attributes:
        guesses: ``track_id, lon, lat``, a row a tile.
    """

    guesses: pd.DataFrame


class GuidedRun(PredictionRun):
    """A run that seeks each cyclone around its first guess, whether the detector fires or not.

    A model of local planes gets one around each guess, one of fixed tiles that whose middle is
    nearest to the guess.

    Args:
        scene: as ``MedicanePredictor.open`` returned it.
        first_guess: where cyclones are thought to be.
        **settings: as of `PredictionRun`.

    Raises:
        ConfigurationError: if there is no tracker, or none with a heat map.
        SceneError: if the first guess says nothing about the times of the scene.
    """

    glance = 0.0  # every row becomes a position, whatever its probability

    def __init__(
        self, scene: "xr.Dataset", *args: Any, first_guess: FirstGuess, **settings: Any
    ) -> None:
        self.first_guess = first_guess
        self._guesses = pd.DataFrame()
        super().__init__(scene, *args, **settings)
        if self.tracker is None:
            raise ConfigurationError(
                f"a tracker refines a first guess, and {self.untracked}; give one with --tracker"
            )
        self._trust = HeatMapTrust.of(self.tracker.config)
        # radii were calibrated on maps without a guess; those of a product are its own
        self._geolocator = replace(self._geolocator, radius_calibration=None)

    def provenance(self) -> dict[str, Any]:
        """As of `PredictionRun`, with the first guess among the settings."""
        told = super().provenance()
        guess = {"source": self.first_guess.source, "mean_km": self.first_guess.mean_km}
        return told | {"settings": told["settings"] | {"first_guess": guess | vars(self._trust)}}

    def _plans(self) -> list[ClipPlan]:
        plans = super()._plans()
        ends = pd.DatetimeIndex([plan.end for plan in plans])
        self._guesses = self.first_guess.at(ends)
        known = set(self._guesses["time"])
        if plans and not known:
            raise SceneError(
                f"{self.first_guess.source} has no position between {ends[0]} and {ends[-1]} UTC, "
                "when the clips of the scene end; give tracks of that time"
            )
        return [plan for plan in plans if plan.end in known]

    def _read(self, plans: Sequence[ClipPlan]) -> Iterator[Clip | SkippedClip]:
        """Frames are cut anew for each clip, and held while the next ones need them."""
        looking = self._second_look
        frames = HeldFrames(self.scene) if looking is None else looking.frames
        for plan in plans:
            guesses = self._guesses.loc[self._guesses["time"] == plan.end]
            held = self._held(guesses)
            outside = _outside(plan, guesses.loc[~held])
            if not held.any():
                yield from outside
                continue
            guesses = guesses.loc[held]
            tiling = self._tiling(guesses)
            (clip,) = ClipReader(self.scene, self.processor, tiling, frames).read([plan])
            yield _guided(clip, guesses, outside)

    def _held(self, guesses: pd.DataFrame) -> Bool[np.ndarray, " guesses"]:
        """Which guesses lie in the scene and, where tiles are fixed, in one of them."""
        x, y = self.grid.lonlat_to_pixel(guesses["lon"], guesses["lat"])
        inside = self.grid.contains(x, y)
        if self.processor.uses_planes:
            return inside
        return inside & (self._away(guesses).min(axis=1) <= self.processor.tile_size / 2)

    def _tiling(self, guesses: pd.DataFrame) -> Tiling:
        """A tile for each guess."""
        if not self.processor.uses_planes:
            nearest = self._away(guesses).argmin(axis=1)
            tiles = self.grid.tiles(self.processor.tile_size)
            return FixedTiles(self.grid, self.processor, [tiles[number] for number in nearest])
        return LocalPlanes.around(
            guesses[["lon", "lat"]].to_numpy(float),
            self.grid,
            self.processor,
            sub_satellite_longitude=self._satellite_longitude,
            threads=self.runtime.threads,
        )

    def _away(self, guesses: pd.DataFrame) -> Float[np.ndarray, "guesses tiles"]:
        """Columns or rows, whichever are more, from guesses to the middles of fixed tiles."""
        size = self.processor.tile_size
        middles = np.array(self.grid.tiles(size)) + (size - 1) / 2
        pixels = np.stack(self.grid.lonlat_to_pixel(guesses["lon"], guesses["lat"]), axis=-1)
        return abs(pixels[:, None] - middles).max(axis=2)

    def _locate(self, table: pd.DataFrame, clip: Clip) -> None:
        """Fill in the product of heat map and first guess for every row."""
        assert isinstance(clip, GuidedClip)
        found = self.runtime.centres(self._pixels(clip.tiles))
        product = refined(self._maps(found), self._in_pixels(clip), self._trust)
        fixes = self._geolocator.fixes(product, clip.tiles, clip.newest_row)
        table[list(FIX_COLUMNS)] = fixes
        guess = clip.guesses[["lon", "lat"]].to_numpy(float)
        table["track_id"] = clip.guesses["track_id"].to_numpy()
        table[["guess_lon", "guess_lat"]] = guess
        here = table[["lon", "lat"]].to_numpy(float)
        table["guess_distance_km"] = great_circle_km(*here.T, *guess.T)

    def _maps(self, found: Centres) -> HeatMaps:
        assert self.tracker is not None
        if found.heatmap is None:
            raise ConfigurationError(
                f"{self.tracker.name} was exported without its heat map, which a first guess "
                "needs; export it again with medicane-export onnx"
            )
        return HeatMaps.of(self.tracker.config, found.heatmap)

    def _in_pixels(self, clip: GuidedClip) -> Centres:
        """The first guesses in pixels of their tiles."""
        lonlat = clip.guesses[["lon", "lat"]].to_numpy(float)
        pairs = list(zip((tile.grid for tile in clip.tiles), lonlat, strict=True))
        center = np.array([np.stack(grid.lonlat_to_pixel(*point)) for grid, point in pairs])
        to_km = [grid.jacobian_km(*c) for (grid, _), c in zip(pairs, center, strict=True)]
        to_px = np.linalg.inv(np.stack(to_km)) * self.first_guess.sigma_km
        return Centres(center, to_px @ np.swapaxes(to_px, 1, 2))

    def _tracks(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows as they are: what belongs together is known."""
        columns = [*TRACK_COLUMNS, *GUESS_COLUMNS, "missing_frames", *known_sights(table)]
        tracks = table.loc[:, [name for name in columns if name != "edge"]]
        edge = at_edge(tracks, self.grid, self.link_settings.edge_km)
        tracks = with_lifetimes(
            smoothed(tracks.assign(edge=edge)),
            step_hours=usual_step_hours(pd.Series(table["time"])),
            start_probability=self.link_settings.start_probability,
        )
        return as_tracks(tracks)

    def _nothing_judged(self) -> str:
        if not self._skipped:
            return super()._nothing_judged()
        first = self._skipped[0]
        return (
            f"no position of {self.first_guess.source} could be refined: the clip ending "
            f"{first.end} has {first.reason}; give tracks of storms that the scene shows"
        )


def _guided(
    clip: Clip | SkippedClip,
    guesses: pd.DataFrame,
    outside: tuple[SkippedClip, ...],
) -> Clip | SkippedClip:
    """The clip with the guesses of those tiles that it has."""
    if isinstance(clip, SkippedClip):
        return clip
    return GuidedClip(
        plan=clip.plan,
        newest=clip.newest,
        newest_time=clip.newest_time,
        newest_row=clip.newest_row,
        tiles=clip.tiles,
        skipped=(*clip.skipped, *outside),
        guesses=guesses.iloc[[tile.number for tile in clip.tiles]],
    )


def _outside(plan: ClipPlan, guesses: pd.DataFrame) -> tuple[SkippedClip, ...]:
    """What is said of guesses that no tile holds, if there are any."""
    if guesses.empty:
        return ()
    named = guesses[["track_id", "lon", "lat"]].to_numpy().tolist()
    places = [f"{name} at {lon:.2f}°E {lat:.2f}°N" for name, lon, lat in named]
    reason = f"a first guess outside the scene: {', '.join(places)}"
    return (SkippedClip(end=plan.end, tile=None, reason=reason),)
