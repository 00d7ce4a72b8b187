"""Pictures for a page, taken while a run streams: around each cyclone, and the newest of all."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medicane_models.domain import Grid, great_circle_km
from medicane_models.maps.animation import ScenePicture
from medicane_models.maps.overview import Overview
from medicane_models.maps.storm_tracks import StormPicture
from medicane_models.maps.web_pictures import eight_bits, webp
from medicane_models.prediction.detected_clips import DetectedClip

__all__ = ["PagePictures"]

SCENE_PIXELS = 1600  # along the width of a whole scene
FARTHEST_KM = 200.0  # from the middle of a picture to the fix it is shown for
MOST_PICTURES, MOST_BYTES = 360, 3_600_000  # of a page


class _Part(NamedTuple):
    """Where a picture is in the file."""

    start: int
    length: int


class _Kept(NamedTuple):
    """A picture around a point, and where it is."""

    lon: float
    lat: float
    plane: Grid
    taken: pd.Timestamp
    part: _Part


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
        self._scenes: list[tuple[pd.Timestamp, pd.Timestamp, _Part]] = []
        self.overview: Overview | None = None
        self._kept: defaultdict[pd.Timestamp, list[_Kept]] = defaultdict(list)

    def add(self, clip: DetectedClip, grid: Grid, *, in_colour: bool) -> None:
        """Take the pictures of a clip, if there is one to take them from.

        Args:
            clip: with its pictures.
            grid: of that of the scene.
            in_colour: whether its three bands differ.
        """
        if clip.picture is None or clip.newest_time is None:
            return
        picture = clip.picture if in_colour else clip.picture[..., :1]
        self.overview = Overview(taken=clip.newest_time, pixels=eight_bits(picture), grid=grid)
        if self.animate:
            part = self._append(webp(self.overview.pixels, widest=SCENE_PIXELS))
            self._scenes.append((clip.end, clip.newest_time, part))
        for near in clip.close_ups:
            part = self._append(webp(near.pixels, widest=len(near.pixels)))
            kept = _Kept(near.lon, near.lat, near.plane, clip.newest_time, part)
            self._kept[clip.end].append(kept)

    def of(self, tracks: pd.DataFrame) -> dict[int, StormPicture]:
        """Pictures of the fixes of tracks, by row; of too many, every so many from the newest."""
        found = self._nearest(tracks)
        total = sum(kept.part.length for kept in found.values())
        every = max(-(-len(found) // MOST_PICTURES), -(-total // MOST_BYTES), 1)
        from_newest = tracks.loc[list(found)].groupby("track_id").cumcount(ascending=False)
        chosen = from_newest.index[from_newest % every == 0]
        return {row: self._storm_picture(found[row]) for row in chosen}

    def scenes(self) -> Iterator[ScenePicture]:
        """The whole scene, clip by clip."""
        for time, taken, part in self._scenes:
            yield ScenePicture(time=time, taken=taken, content=self._read(part))

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _storm_picture(self, kept: _Kept) -> StormPicture:
        return StormPicture(taken=kept.taken, content=self._read(kept.part), plane=kept.plane)

    def _append(self, content: bytes) -> _Part:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            start = file.tell()
            return _Part(start, file.write(content))

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

    def _read(self, part: _Part) -> bytes:
        with self.path.open("rb") as file:
            file.seek(part.start)
            return file.read(part.length)
