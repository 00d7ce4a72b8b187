"""Fixes looked at again from local planes around them, until they stay where they are.

A plane that holds a cyclone near its border sees half of it and misses its centre by far. Seen from
planes around their fixes, all planes that a cyclone lies in come to agree, and what does not look
like a cyclone from there was none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medicane_models.domain import Grid
from medicane_models.domain.distances import Array
from medicane_models.runtimes.interface import Centres, Runtime
from medicane_models.scenes.clips import Clip, ClipReader, HeldFrames, SkippedClip, TileClip
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.scenes.tiles import LocalPlanes

__all__ = ["SecondLook", "centres_in"]

SETTLED_PX = 1.0  # a fix so near to the middle of its plane stays
MOST_LOOKS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondLook:
    """Looks again at the fixes of a scene's clips.

    Attributes:
        frames: of the scene, in memory.
        grid: of the scene.
        processor: how frames become planes.
        runtime: the tracker.
        sub_satellite_longitude: where the satellite stands, in degrees, if the scene tells.
    """

    frames: HeldFrames
    grid: Grid
    processor: MedicaneProcessor
    runtime: Runtime
    sub_satellite_longitude: float | None

    def settled(
        self, clip: Clip, tiles: Sequence[TileClip], centres: Centres
    ) -> tuple[list[TileClip], Centres]:
        """The planes in whose middle the centres come to lie, and the centres there.

        A fix around which too little of the scene is seen stays as it is.
        """
        planes, center, covariance = list(tiles), centres.center.copy(), centres.covariance.copy()
        middle = (self.processor.tile_size - 1) / 2
        for _ in range(MOST_LOOKS):
            (away,) = np.nonzero(np.hypot(*(center - middle).T) > SETTLED_PX)
            again = self._around([(planes[row], center[row]) for row in away], clip)
            if not again:
                break
            rows = away[[plane.number for plane in again]]
            seen = self.runtime.centres(plane.pixel_values(self.processor) for plane in again)
            center[rows], covariance[rows] = seen.center, seen.covariance
            for row, plane in zip(rows, again, strict=True):
                planes[row] = plane
        return planes, Centres(center, covariance)

    def _around(
        self, fixes: Sequence[tuple[TileClip, Float[np.ndarray, " 2"]]], clip: Clip
    ) -> tuple[TileClip, ...]:
        """The frames of a clip on planes around fixes, those that are seen."""
        if not fixes:
            return ()
        tiling = LocalPlanes.around(
            np.array([tile.grid.pixel_to_lonlat(*center) for tile, center in fixes]),
            self.grid,
            self.processor,
            sub_satellite_longitude=self.sub_satellite_longitude,
            threads=self.runtime.threads,
        )
        reader = ClipReader(self.frames.scene, self.processor, tiling, self.frames)
        (again,) = reader.read([clip.plan])
        return () if isinstance(again, SkippedClip) else again.tiles


def centres_in(
    tiles: Sequence[TileClip], planes: Sequence[TileClip], centres: Centres
) -> list[tuple[Array, Array]]:
    """Centres found in planes, in pixels of tiles."""
    found = zip(tiles, planes, centres.center, strict=True)
    return [
        tile.grid.lonlat_to_pixel(*plane.grid.pixel_to_lonlat(*center))
        for tile, plane, center in found
    ]
