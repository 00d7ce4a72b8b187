"""Clips as the research system keeps them: folders of PNG files and a CSV file that lists them.

A clip is a folder ``DD-MM-YYYY_HHMM_x_y/`` (time of the last frame, offset of the tile) of
``img_00001.png`` …, oldest first. The CSV has ``path,start,end`` (first and last number of an
image) and ``label``, or ``x_pix,y_pix`` (empty without a cyclone), or nothing more. Its ``y_pix``
are counted from one row too many, see :func:`medicane_models.domain.legacy_pixel`: imported ones
move up by a pixel and exported ones down again. Letters: T frames, C bands, H rows, W columns.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8
from PIL import Image

from medicane_models.domain import Tile
from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.files import alone_in, replacing
from medicane_models.prediction.tracks import require_columns
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.tables import numbers, parse_table, read_text, whole_numbers
from medicane_training.store.clip_store import LEVELS, ClipStore
from medicane_training.store.index import describe_clip, save_index
from medicane_training.store.labels import CYCLONE, IGNORE
from medicane_training.store.selection import SETTINGS_FILE
from medicane_training.store.shards import MISSING
from medicane_training.store.writer import FrameWriter, create_store

__all__ = ["ResearchTable", "export_research", "import_research"]

ResearchTable = Literal["classification", "tracking", "unlabelled"]
FOLDER = re.compile(r"(\d{2}-\d{2}-\d{4}_\d{4})_(\d+)_(\d+)")
STAMP = "%d-%m-%Y_%H%M"
LEGACY_ROW = 1
SAME_STORM = timedelta(hours=24)


class Piece(NamedTuple):
    """One image and where it lies in its frame."""

    path: Path
    tile: Tile


def import_research(
    table: str | Path,
    out: str | Path,
    *,
    processor: MedicaneProcessor | None = None,
    folder: str | Path | None = None,
) -> ClipStore:
    """Make a store of the clips that a CSV lists; images of the same time share a frame.

    The files name no storms: cyclones within a day of each other count as one, named by its first
    hour, so that splits by storm keep them together. An interrupted import continues.

    Args:
        table: the CSV file.
        out: folder of the store.
        processor: grid and shape of the clips; the Airmass RGB of SEVIRI if None.
        folder: where the clips are, if no longer at the paths that the file gives.

    Raises:
        SceneError: if a folder's name tells no time and tile, or an image is missing or broken.
    """
    processor = processor or MedicaneProcessor.airmass()
    if len(processor.bands) != 3:
        raise ConfigurationError(f"a PNG holds 3 bands, not {len(processor.bands)}")
    clips = _listed(Path(table), None if folder is None else Path(folder))
    store = create_store(out, processor)
    with alone_in(store.path):
        store.save_document(SETTINGS_FILE, {"imported": Path(table).name})
        _import_frames(store, clips)
        _import_index(store, clips)
    return store


def _listed(table: Path, folder: Path | None) -> pd.DataFrame:
    """``path, start, end, tile_x, tile_y, label, target_x, target_y`` of each clip."""
    listed, source = parse_table(read_text(table), source=str(table)), str(table)
    require_columns(listed, ("path", "start", "end"), source=source)
    names = [FOLDER.fullmatch(Path(path).name) for path in listed["path"]]
    wrong = next((p for p, n in zip(listed["path"], names, strict=True) if n is None), None)
    if wrong is not None:
        raise SceneError(f"{table}: {wrong} is not named DD-MM-YYYY_HHMM_x_y")
    stamps, x, y = zip(*(name.groups() for name in names if name), strict=True)
    fields = listed.reindex(columns=["x_pix", "y_pix"], fill_value="")
    centres = pd.DataFrame(
        {name: numbers(pd.Series(fields[name]), source=source) for name in fields}
    )
    whole = ["start", "end", *({"label"} & set(listed.columns))]
    told = pd.DataFrame(
        {name: whole_numbers(pd.Series(listed[name]), source=source) for name in whole}
    )
    located = np.where(centres["x_pix"].notna(), CYCLONE, IGNORE)
    return pd.DataFrame(
        {
            "path": [folder / Path(p).name if folder else Path(p) for p in listed["path"]],
            "start": told["start"],
            "count": told["end"] - told["start"] + 1,
            "end": pd.to_datetime(list(stamps), format=STAMP),
            "tile_x": [int(value) for value in x],
            "tile_y": [int(value) for value in y],
            "label": told.get("label", located),
            "target_x": centres["x_pix"],
            "target_y": centres["y_pix"] - LEGACY_ROW,
        }
    ).drop_duplicates(["end", "tile_x", "tile_y"], ignore_index=True)


def _import_frames(store: ClipStore, clips: pd.DataFrame) -> None:
    """Paste images of each time into a frame that is missing elsewhere; one shard in memory."""
    pieces = _pieces(clips, store.processor)
    known = set(store.frames["time"])
    times = [time for time in sorted(pieces) if time not in known]
    writer = FrameWriter(store)
    while times:
        block, times = times[: writer.room], times[writer.room :]
        codes = np.stack([_paste(pieces[time], store.processor) for time in block])
        sources = [pieces[time][0].path.parent.name for time in block]
        writer.append(codes, np.array(block, "datetime64[ns]"), sources)


def _pieces(clips: pd.DataFrame, processor: MedicaneProcessor) -> dict[pd.Timestamp, list[Piece]]:
    pieces: dict[pd.Timestamp, dict[Tile, Path]] = {}
    cadence = timedelta(minutes=processor.cadence_minutes)
    for clip in clips.to_dict("records"):
        if clip["count"] != processor.num_frames:
            raise SceneError(
                f"{clip['path']} has {clip['count']} images, a clip {processor.num_frames}"
            )
        tile = Tile(clip["tile_x"], clip["tile_y"])
        for number in range(processor.num_frames):
            time = clip["end"] - (processor.num_frames - 1 - number) * cadence
            path = clip["path"] / f"img_{clip['start'] + number:05d}.png"
            pieces.setdefault(time, {}).setdefault(tile, path)
    return {time: [Piece(p, t) for t, p in found.items()] for time, found in pieces.items()}


def _paste(pieces: Sequence[Piece], processor: MedicaneProcessor) -> UInt8[np.ndarray, "C H W"]:
    grid, size = processor.grid, processor.tile_size
    frame = np.full((3, grid.height, grid.width), MISSING, np.uint8)
    for path, tile in pieces:
        colours = _colours(path)
        if colours.shape != (size, size, 3):
            raise SceneError(f"{path} has the shape {colours.shape}, a tile {(size, size, 3)}")
        codes = np.rint(colours * (LEVELS / 255)).astype(np.uint8)
        frame[:, tile.y : tile.y + size, tile.x : tile.x + size] = np.moveaxis(codes, -1, 0)
    return frame


def _colours(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise SceneError(f"{path} cannot be read: {error}") from error


def _import_index(store: ClipStore, clips: pd.DataFrame) -> None:
    row = {time: number for number, time in enumerate(store.frames["time"])}
    span = [timedelta(minutes=store.processor.cadence_minutes) * n for n in _back(store)]
    found: list[tuple[Any, ...]] = []
    for clip in clips.to_dict("records"):
        plan = [row[clip["end"] - back] for back in span]
        contents = describe_clip(store, plan, Tile(clip["tile_x"], clip["tile_y"]))
        if contents is None:
            raise SceneError(f"{clip['path']} lacks too many pixels")
        found.append(contents)
    contents = pd.DataFrame(found, columns=["rows", "missing", "cloud_index", "checksum"])
    index = pd.concat([clips, contents], axis=1)
    storms = _storms(index)
    save_index(store, index.assign(weight=1.0, storm=storms, storm_distance_km=np.nan))


def _back(store: ClipStore) -> range:
    return range(store.processor.num_frames - 1, -1, -1)


def _storms(index: pd.DataFrame) -> pd.Series:
    """Names of the storms of cyclones, from the times alone; "" for other clips."""
    ends = pd.Series(index.loc[index["label"] == CYCLONE, "end"].sort_values().unique())
    first = ends.where(ends.diff().isna() | (ends.diff() > SAME_STORM)).ffill()
    names = dict(zip(ends, first.dt.strftime("%Y%m%d%H"), strict=True))
    storms = [names[e] if c == CYCLONE else "" for e, c in index[["end", "label"]].to_numpy()]
    return pd.Series(storms, index=index.index, dtype="str")


def export_research(
    store: ClipStore,
    out: str | Path,
    *,
    task: ResearchTable,
    clips: Sequence[int] | Int[np.ndarray, " n"] | None = None,
) -> Path:
    """Write clips as PNG folders and list them in ``<task>.csv``; missing pixels become black.

    ``classification`` leaves out clips without a label, ``tracking`` those without a centre.

    Args:
        store: of three bands.
        out: folder, made if absent.
        task: which CSV to write.
        clips: rows of the index; all if None.
    """
    if len(store.processor.bands) != 3:
        raise ConfigurationError(f"a PNG holds 3 bands, {store.path} has other")
    index = store.clips if clips is None else store.clips.iloc[list(clips)]
    keep = {
        "classification": index["label"] != IGNORE,
        "tracking": (index["label"] == CYCLONE) & index["target_x"].notna(),
        "unlabelled": index["label"].notna(),
    }
    chosen = index.loc[keep[task]]
    folders = [_export_clip(store, int(clip), Path(out)) for clip in chosen.index]
    listed = pd.DataFrame({"path": folders, "start": 1, "end": store.processor.num_frames})
    columns = {
        "classification": {"label": chosen["label"].to_numpy()},
        "tracking": {
            "x_pix": chosen["target_x"].to_numpy(),
            "y_pix": chosen["target_y"].to_numpy() + LEGACY_ROW,
        },
        "unlabelled": {},
    }
    path = Path(out) / f"{task}.csv"
    with replacing(path) as temporary:
        listed.assign(**columns[task]).to_csv(temporary, index=False)
    return path


def _export_clip(store: ClipStore, clip: int, out: Path) -> Path:
    tile = store.tile(clip)
    folder = out / f"{store.clips['end'].iloc[clip]:{STAMP}}_{tile.x}_{tile.y}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, colours in enumerate(_pictures(store.read(clip)), start=1):
        Image.fromarray(colours).save(folder / f"img_{number:05d}.png")
    return folder


def _pictures(codes: UInt8[np.ndarray, "T C H W"]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    for frame in codes:
        seen = np.where(frame == MISSING, 0, frame)
        yield np.ascontiguousarray(
            np.moveaxis(np.rint(seen * (255 / LEVELS)), 0, -1).astype(np.uint8)
        )
