"""Pictures for a page, taken while a run streams: around each cyclone, and the newest of all."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Grid, great_circle_km, local_plane
from medicane_models.maps.animation import ScenePicture
from medicane_models.maps.overview import Overview
from medicane_models.maps.storm_views import StormPicture
from medicane_models.maps.web_pictures import eight_bits, webp
from medicane_models.prediction.merging import merge_detections
from medicane_models.prediction.run import DetectedClip
from medicane_models.scenes.plane_sampling import PlaneSampler

__all__ = ["PagePictures"]

SIZE, PIXEL_KM = 320, 3.0
SCENE_PIXELS = 1600  # along the width of a whole scene
MOST_AT_A_TIME = 8  # cyclones of a clip that have a picture, the most probable
FARTHEST_KM = 200.0  # from the middle of a picture to the fix it is shown for
MOST_PICTURES, MOST_BYTES = 360, 3_600_000  # of a page


class _Kept(NamedTuple):
    """Where a picture is in the file, and around what."""

    lon: float
    lat: float
    taken: pd.Timestamp
    start: int
    length: int


class PagePictures:
    """Keeps pictures on disk until it is known which of them belong to tracks.

    Memory holds the newest picture of the scene at eight bits, and some numbers a cyclone.

    Args:
        path: the file, which is made with the first picture and goes with :meth:`remove`.
        animate: whether that of the whole scene is kept for each clip.
    """

    def __init__(self, path: Path, *, animate: bool = False) -> None:
        self.path = path
        self.animate = animate
        self._scenes: list[tuple[pd.Timestamp, _Kept]] = []
        self.overview: Overview | None = None
        self._kept: defaultdict[pd.Timestamp, list[_Kept]] = defaultdict(list)

    def add(self, clip: DetectedClip, grid: Grid, *, merge_km: float, in_colour: bool) -> None:
        """Take the pictures of a clip, if there is one to take them from.

        Args:
            clip: with its picture.
            grid: of that.
            merge_km: centres this close to a more probable one are the same cyclone.
            in_colour: whether its three bands differ.
        """
        if clip.picture is None or clip.newest_time is None:
            return
        picture = clip.picture if in_colour else clip.picture[..., :1]
        self.overview = Overview(taken=clip.newest_time, pixels=eight_bits(picture), grid=grid)
        if self.animate:
            place = self._append(webp(self.overview.pixels, widest=SCENE_PIXELS))
            self._scenes.append((clip.end, _Kept(np.nan, np.nan, clip.newest_time, *place)))
        cyclones = merge_detections(clip.table, merge_km=merge_km, min_probability=0.0)
        for row in cyclones.nlargest(MOST_AT_A_TIME, "probability").to_dict("records"):
            lon, lat = row["lon"], row["lat"]
            place = self._append(_around(picture, grid, lon, lat))
            self._kept[clip.end].append(_Kept(lon, lat, clip.newest_time, *place))

    def of(self, tracks: pd.DataFrame) -> dict[int, StormPicture]:
        """Pictures of the fixes of tracks, by row; of too many, every so many from the newest."""
        found = self._nearest(tracks)
        total = sum(kept.length for kept in found.values())
        every = max(-(-len(found) // MOST_PICTURES), -(-total // MOST_BYTES), 1)
        from_newest = tracks.loc[list(found)].groupby("track_id").cumcount(ascending=False)
        chosen = from_newest.index[from_newest % every == 0]
        return {row: self._storm_picture(found[row]) for row in chosen}

    def scenes(self) -> Iterator[ScenePicture]:
        """The whole scene, clip by clip."""
        for time, kept in self._scenes:
            yield ScenePicture(time=time, taken=kept.taken, content=self._read(kept))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _storm_picture(self, kept: _Kept) -> StormPicture:
        plane = _plane(kept.lon, kept.lat)
        return StormPicture(taken=kept.taken, content=self._read(kept), plane=plane)

    def _append(self, content: bytes) -> tuple[int, int]:
        """Where a picture is in the file, and how long it is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            start = file.tell()
            return start, file.write(content)

    def _nearest(self, tracks: pd.DataFrame) -> dict[int, _Kept]:
        """The picture that shows each fix, where there is one."""
        places = zip(tracks["time"], tracks["lon"], tracks["lat"], strict=True)
        found = {
            row: self._showing(*place) for row, place in zip(tracks.index, places, strict=True)
        }
        return {row: kept for row, kept in found.items() if kept}

    def _showing(self, time: pd.Timestamp, lon: float, lat: float) -> _Kept | None:
        kept = self._kept.get(time, [])
        away = [float(great_circle_km(lon, lat, each.lon, each.lat)) for each in kept]
        if not away or min(away) > FARTHEST_KM:
            return None
        return kept[int(np.argmin(away))]

    def _read(self, kept: _Kept) -> bytes:
        with self.path.open("rb") as file:
            file.seek(kept.start)
            return file.read(kept.length)


def _around(picture: Float[np.ndarray, "y x bands"], grid: Grid, lon: float, lat: float) -> bytes:
    """WebP of a picture around a point."""
    sampled = PlaneSampler(grid, [_plane(lon, lat)])(np.moveaxis(picture, -1, 0))[0]
    return webp(eight_bits(np.moveaxis(sampled, 0, -1)), widest=SIZE)


def _plane(lon: float, lat: float) -> Grid:
    """The plane around a point, the north on top on both hemispheres."""
    plane = local_plane(lon, lat, size=SIZE, km=PIXEL_KM)
    if plane.y_step < 0:
        return plane
    return replace(plane, y_origin=-plane.y_origin, y_step=-plane.y_step)
