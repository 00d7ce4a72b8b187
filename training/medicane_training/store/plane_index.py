"""The index of a store of local planes: tiles of its samples, displaced by draws of their own.

Letters: T frames, C bands, H rows, W columns, S rows and columns of a sample.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medicane_models.domain import Tile, great_circle_km
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.fields import from_mapping
from medicane_training.store.clip_store import (
    CLIP_COLUMNS,
    PLANE_COLUMNS,
    ClipStore,
    decode,
    save_table,
)
from medicane_training.store.cloud_bands import CloudBand
from medicane_training.store.hardness import coldest_kelvin, spirality
from medicane_training.store.index import CONTENTS_COLUMNS, describe_clip
from medicane_training.store.labels import CYCLONE, IGNORE, NO_CYCLONE
from medicane_training.store.selection import SETTINGS_FILE
from medicane_training.store.strata import rates, strata_of

__all__ = ["PlaneSettings", "build_plane_index", "draw_by", "require_same_settings"]

OFFSET = ["tile_x", "tile_y"]
HARDNESS = ["coldness", "spirality"]


@dataclass(frozen=True, kw_only=True)
class PlaneSettings:
    """Which samples and clips a store of local planes has.

    Attributes:
        every_minutes: clips end at frames nearest to multiples of it since midnight.
        negatives_per_frame: samples without a storm that are kept of a frame at most, the more
            likely the harder they are; their weights make up for it.
        tiles: clips of a sample at most, which share its weight.
        displacement_km: from a sample's centre to that of its tiles at most.
        border_margin_px: a centre nearer than this to a tile's border, inside or outside, makes
            the clip ignored.
        max_gap_hours: see :func:`medicane_models.verification.best_tracks.positions_at`.
        seed: of all draws, each of which depends on nothing else but a sample's name.
    """

    every_minutes: int = 60
    negatives_per_frame: int = 4
    tiles: int = 3
    displacement_km: float = 300.0
    border_margin_px: float = 5.0
    max_gap_hours: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.every_minutes, self.tiles) < 1 or self.negatives_per_frame < 0:
            raise ConfigurationError(
                f"every_minutes is {self.every_minutes}, tiles {self.tiles} and "
                f"negatives_per_frame {self.negatives_per_frame}; give at least 1, 1 and 0"
            )
        if min(self.displacement_km, self.border_margin_px, self.max_gap_hours) < 0:
            raise ConfigurationError(
                f"displacement_km is {self.displacement_km}, border_margin_px "
                f"{self.border_margin_px} and max_gap_hours {self.max_gap_hours}; give at least 0"
            )


def require_same_settings(store: ClipStore, settings: PlaneSettings) -> None:
    """Keep the settings of a new store.

    Raises:
        ConfigurationError: if the store was built with others.
    """
    if not (store.path / SETTINGS_FILE).exists():
        store.save_document(SETTINGS_FILE, asdict(settings))
    built = from_mapping(PlaneSettings, store.document(SETTINGS_FILE))
    if built != settings:
        raise ConfigurationError(f"{store.path} was built with {built}, not with {settings}")


def draw_by(name: str, settings: PlaneSettings) -> np.random.Generator:
    """Random numbers that depend on a name and the seed alone, so that other scenes fit in."""
    digest = blake2b(f"{settings.seed} {name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest))


def build_plane_index(store: ClipStore, settings: PlaneSettings) -> None:
    """Write ``clips.parquet`` and ``rates.json`` for the samples that the store has.

    Clips of samples that are in the index already are not read again.

    Raises:
        SceneError: if no sample makes a clip.
        ConfigurationError: if the store was built with other settings.
    """
    require_same_settings(store, settings)
    known = _known(store)
    new = store.samples.loc[~store.samples["sample"].isin(known["sample"])]
    found = [
        (sample, *tile, *contents, *_hardness(store, contents.rows[-1], tile))
        for sample, rows in zip(new["sample"], new["rows"], strict=True)
        for tile in dict.fromkeys(_tiles(store, sample, settings))
        if (contents := describe_clip(store, rows.tolist(), tile)) is not None
    ]
    columns = ["sample", *OFFSET, *CONTENTS_COLUMNS, *HARDNESS]
    contents = pd.concat([known, pd.DataFrame(found, columns=columns)], ignore_index=True)
    if contents.empty:
        raise SceneError(
            f"none of the {len(store.samples)} samples of {store.path} make a clip; add more scenes"
        )
    index = contents.merge(store.samples.drop(columns="rows"), on="sample")
    share = index.groupby("sample")["sample"].transform("size")
    index = index.assign(weight=index["weight"] / share, **_labels(index, store, settings))
    index["stratum"] = strata_of(index, store.processor.tile_size)
    index = index.sort_values(["end", "sample", *OFFSET[::-1]], ignore_index=True)
    kept = list(dict.fromkeys([*CLIP_COLUMNS, *PLANE_COLUMNS]))
    save_table(index.loc[:, kept], store.path / "clips.parquet")
    store.save_document("rates.json", rates(index))
    store.refresh()


def _known(store: ClipStore) -> pd.DataFrame:
    """What the present index says of the pixels of its clips."""
    columns = ["sample", *OFFSET, *CONTENTS_COLUMNS, *HARDNESS]
    if not (store.path / "clips.parquet").exists():
        return pd.DataFrame(columns=columns)
    return store.clips.assign(rows=store.rows.tolist()).loc[:, columns]


def _tiles(store: ClipStore, sample: str, settings: PlaneSettings) -> Iterator[Tile]:
    """Offsets around the middle of a sample, drawn evenly from a disk, each once."""
    draw, grid, size = draw_by(sample, settings), store.grid, store.processor.tile_size
    farthest, middle = grid.width - size, (grid.width - size) / 2
    for _ in range(settings.tiles):
        reach = settings.displacement_km * 1000 / grid.x_step * np.sqrt(draw.random())
        angle = 2 * np.pi * draw.random()
        x, y = middle + reach * np.cos(angle), middle + reach * np.sin(angle)
        yield Tile(*(int(np.clip(round(value), 0, farthest)) for value in (x, y)))


def _hardness(store: ClipStore, row: int, tile: Tile) -> tuple[float, float]:
    """Coldness and spirality of a frame of a tile."""
    stretched, km = decode(store.read_frames([row], tile)[0]), store.grid.x_step / 1000
    kelvin = CloudBand.of(store.processor).kelvin(stretched)
    return coldest_kelvin(kelvin, km), spirality(kelvin, km)


def _labels(index: pd.DataFrame, store: ClipStore, settings: PlaneSettings) -> dict[str, Any]:
    """LABEL_COLUMNS of the index but the storm, which is the sample's."""
    size, margin = store.processor.tile_size, settings.border_margin_px
    offset = index[OFFSET].to_numpy(float)
    centre = index[["centre_x", "centre_y"]].to_numpy() - offset
    other = index[["other_x", "other_y"]].to_numpy() - offset
    has_storm = (index["storm"] != "").to_numpy()
    inside = _depth(centre, size) >= margin
    unsure = has_storm & ~np.isnan(centre[:, 0]) & ~inside | (_depth(other, size) > -margin)
    shown = inside & ~unsure
    return {
        "label": np.where(unsure, IGNORE, np.where(has_storm, CYCLONE, NO_CYCLONE)),
        "target_x": np.where(shown, centre[:, 0], np.nan),
        "target_y": np.where(shown, centre[:, 1], np.nan),
        "storm_distance_km": _distances(index, store),
    }


def _depth(point: Float[np.ndarray, "n 2"], size: int) -> Float[np.ndarray, " n"]:
    """Pixels to the nearest border of a tile, negative outside; NaN without a point."""
    return size / 2 - abs(point - (size - 1) / 2).max(axis=1)


def _distances(index: pd.DataFrame, store: ClipStore) -> Float[np.ndarray, " n"]:
    """From the tile's centre to the nearest storm in the sample, else as the sample says."""
    middle = index[OFFSET].to_numpy() + (store.processor.tile_size - 1) / 2
    here = store.grid.pixel_to_lonlat(*middle.T)
    apart = [
        great_circle_km(*here, *store.grid.pixel_to_lonlat(index[f"{name}_x"], index[f"{name}_y"]))
        for name in ("centre", "other")
    ]
    nearest = np.fmin.reduce(apart)
    return np.where(np.isnan(nearest), index["storm_distance_km"], nearest)
