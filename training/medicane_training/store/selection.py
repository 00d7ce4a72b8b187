"""Which clips a store has: their ends, their tiles, and how hours without storms are thinned."""

from dataclasses import dataclass, field, fields
from hashlib import blake2b

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.fields import from_mapping
from medicane_training.store.clip_store import ClipStore
from medicane_training.store.labels import IGNORE, LABEL_COLUMNS, NO_CYCLONE, LabelRule, label_clips

__all__ = ["SETTINGS_FILE", "BuildSettings", "choose_ends", "label", "tiles_of"]

SETTINGS_FILE = "build.json"


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Which clips a store has.

    Attributes:
        every_minutes: clips end at multiples of it since midnight.
        tile_stride: pixels from a tile to the next; None takes the fewest that cover the grid.
        calm_share: share of the clip ends without any storm that are kept, drawn by their time, so
            that all weather is there in affordable numbers; the clips' weights make up for it.
        seed: of that draw.
        rule: of the labels.
        max_gap_hours: see :func:`medicane_training.store.labels.label_clips`.
    """

    every_minutes: int = 60
    tile_stride: int | None = None
    calm_share: float = 1.0
    seed: int = 0
    rule: LabelRule = field(default_factory=LabelRule)
    max_gap_hours: float = 2.0

    def __post_init__(self) -> None:
        if self.every_minutes < 1 or (self.tile_stride is not None and self.tile_stride < 1):
            raise ConfigurationError(
                f"every_minutes is {self.every_minutes} and tile_stride {self.tile_stride}; "
                "give at least 1"
            )
        if not 0 < self.calm_share <= 1:
            raise ConfigurationError(f"calm_share is {self.calm_share}; give more than 0, up to 1")

    @classmethod
    def of(cls, store: ClipStore) -> "BuildSettings":
        """Those that a store was built with."""
        values = store.document(SETTINGS_FILE)
        if set(values) != {setting.name for setting in fields(cls)}:
            raise ConfigurationError(f"{store.path} was not built from scenes ({values})")
        try:
            return from_mapping(cls, values)
        except ConfigurationError as error:
            raise SceneError(f"{store.path / SETTINGS_FILE} is damaged: {error}") from error


def tiles_of(store: ClipStore, settings: BuildSettings) -> tuple[Tile, ...]:
    """The offsets at which every clip is cut."""
    grid, size = store.processor.grid, store.processor.tile_size
    if settings.tile_stride is None:
        return grid.tiles(size)
    rows = range(0, grid.height - size + 1, settings.tile_stride)
    columns = range(0, grid.width - size + 1, settings.tile_stride)
    return tuple(Tile(x, y) for y in rows for x in columns)


def label(store: ClipStore, clips: pd.DataFrame, settings: BuildSettings) -> pd.DataFrame:
    """LABEL_COLUMNS of clips with ``end, tile_x, tile_y``; all ignored where no storm is known."""
    if store.tracks is None:
        unknown = dict(zip(LABEL_COLUMNS, (IGNORE, "", np.nan, np.nan, np.nan), strict=True))
        return pd.DataFrame(unknown, index=clips.index)
    processor = store.processor
    return label_clips(
        clips,
        store.tracks,
        grid=processor.grid,
        tile_size=processor.tile_size,
        num_frames=processor.num_frames,
        cadence_minutes=processor.cadence_minutes,
        rule=settings.rule,
        max_gap_hours=settings.max_gap_hours,
    )


def choose_ends(
    store: ClipStore, ends: pd.DatetimeIndex, settings: BuildSettings
) -> Float[np.ndarray, " n"]:
    """How many clip ends of all weather each end stands for; 0 leaves it out."""
    share = settings.calm_share
    if share == 1:
        return np.ones(len(ends))
    drawn = [_uniform(settings.seed, end) < share for end in ends]
    return np.where(ends.isin(_stormy(store, ends, settings)), 1.0, np.array(drawn, float) / share)


def _stormy(store: ClipStore, ends: pd.DatetimeIndex, settings: BuildSettings) -> pd.DatetimeIndex:
    """Ends at which a storm is, or may be, in some tile."""
    if store.tracks is None:
        return ends[:0]
    tiles = pd.DataFrame(tiles_of(store, settings), columns=["tile_x", "tile_y"])
    clips = pd.DataFrame({"end": ends}).merge(tiles, how="cross")
    return pd.DatetimeIndex(clips.loc[label(store, clips, settings)["label"] != NO_CYCLONE, "end"])


def _uniform(seed: int, end: pd.Timestamp) -> float:
    """A number in [0, 1) that depends on the time alone, so that appended scenes fit in."""
    digest = blake2b(f"{seed} {end.isoformat()}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
