"""What training keeps: recipes, checkpoints, clip stores; and what following keeps."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from hostile.damage import Draw, Kind
from hostile.models import model_folder, trapped
from hostile.tables import spoil_json
from medicane_models.errors import CheckpointError
from medicane_models.prediction.arrivals import Arrivals
from medicane_models.prediction.judged_hours import JudgedHour, JudgedHours
from medicane_training.clips.check import check_store
from medicane_training.engines.state import read_state, write_state
from medicane_training.ranks import Ranks
from medicane_training.recipes.loading import load_recipe, to_yaml
from medicane_training.run.checkpoint import (
    MANIFEST,
    RunProgress,
    _seal,
    newest_sound,
    read_progress,
)  # fmt: skip
from medicane_training.store.clip_store import ClipStore

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE_YAML = (
    "!!python/object/apply:pathlib.Path.touch\n- !!python/object/apply:pathlib.Path [code-ran]\n",
    "training: !!python/object/apply:os.system [touch code-ran]\n",
    "!!python/object/new:os.system [touch code-ran]\n",
    "data: !!python/name:os.system\n",
    LAUGHS,
    LAUGHS + "training: {epochs: *i}\n",
    LAUGHS.replace("a: ", "optimizer: {lr: 1, betas: ", 1).replace("x]\n", "x]}\n", 1),
    f"model:\n  preset: &a [x,x,x,x,x,x,x,x,x]\n  init: {'[' * 9}{'*a,' * 9}{']' * 9}\n",
    "training:\n"
    + "".join(f"  {line}\n" for line in LAUGHS.splitlines())
    .replace("a:", "epochs:", 1)
    .replace("i:", "seed:", 1),
    "training:\n  epochs: &x [*x]\n",
    "&x {training: *x}\n",
    "[" * 100_000,
    "{a: " * 50_000,
    "- " * 50_000,
    "training: {<<: {epochs: 3}, epochs: 4}\n",
    "? [1, 2]\n: 3\n",
    "? {a: 1}\n: 3\n",
    "training:\n\tepochs: 3\n",
    "--- 1\n--- 2\n",
    "%YAML 9.9\n--- {}\n",
    "training: {epochs: 0x7fffffffffffffffffffffff}\n",
    "training: {epochs: " + "9" * 5000 + "}\n",
    "training: {epochs: 1:2:3}\n",
    "training: {epochs: .inf}\n",
    "training: {epochs: !!int x}\n",
    "training: {epochs: !!float x}\n",
    "training: {epochs: !!timestamp x}\n",
    "training: {epochs: !!binary x}\n",
    "training: !!set {a, b}\n",
    "training: !!omap [1]\n",
    "!unknown 3\n",
    "=\n",
    "\0",
    "\x85",
)


def recipe_file(folder: Path) -> Path:
    text = to_yaml(load_recipe("classify", name="tiny", store="s.zarr"))
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def hostile_yaml(given: Path, draw: Draw) -> str:
    number = int(draw.integers(len(HOSTILE_YAML)))
    own = given / "georeference.yaml" if given.is_dir() else given
    before = own.read_text() if draw.random() < 0.3 else ""
    own.write_text(before + HOSTILE_YAML[number])
    return f"document {number}"


def spoil_yaml(given: Path, draw: Draw) -> str:
    """As a value of JSON."""
    document = Path("recipe.json")
    document.write_text(json.dumps(yaml.safe_load(given.read_text())))
    what = spoil_json(document, draw)
    given.write_text(document.read_text())
    return what


def checkpoints(folder: Path) -> Path:
    for step in (10, 20):
        place = folder / f"step-{step:08d}"
        place.mkdir()
        model_folder(place)
        progress = {**vars(RunProgress(step=step)), "best": None}
        (place / "progress.json").write_text(json.dumps(progress))
        seal(place)
    return folder


def seal(place: Path) -> None:
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.name != MANIFEST)
    sums = {path.relative_to(place).as_posix(): _seal(path) for path in files}
    (place / MANIFEST).write_text(json.dumps(sums))


def newest(given: Path) -> Any:
    found = newest_sound(given, lambda text: None)
    if found is None:
        raise CheckpointError(f"no checkpoint in {given}")
    return read_progress(found)


def engine_state(folder: Path) -> Path:
    state = {"optimizer": {"param_groups": [{"params": [0, 1]}], "state": {0: torch.rand(3)}}}
    write_state(
        folder,
        state,
        steps=3,
        ranks=Ranks(rank=0, local_rank=0, world_size=1),
        device=torch.device("cpu"),
    )
    return next(folder.iterdir())


def manifest_outside(given: Path, draw: Draw) -> str:
    """A manifest that names what lies elsewhere, or documents that are sealed as they are."""
    place = given / "step-00000020"
    names = ["../../../../etc/passwd", "/dev/zero", "..", "", "a\0b", "x" * 5000]
    name = names[draw.integers(len(names))]
    (place / MANIFEST).write_text(json.dumps({name: "0"}))
    return f"a manifest with {name[:40]!r}"


def sealed_again(given: Path, draw: Draw) -> str:
    place = given / "step-00000020"
    what = spoil_json(place / "progress.json", draw)
    seal(place)
    return what


def clip_store(folder: Path) -> Path:
    from clip_stores import PROCESSOR, SETTINGS, TRACKS, frame_times, scene

    from medicane_training.store.build import build_store

    build_store(
        [scene(frame_times(24))], folder / "store.zarr", processor=PROCESSOR, settings=SETTINGS,
        tracks=TRACKS,
    )  # fmt: skip
    return folder / "store.zarr"


def read_store(given: Path) -> ClipStore:
    store = ClipStore(given)
    for clip in range(0, len(store.clips), max(len(store.clips) // 4, 1)):
        store.read(clip)
    store.names(store.clips.index.to_numpy()[:3])
    _ = store.tracks, store.grid, store.frames, store.document("build.json")
    return store


def checked_store(given: Path) -> Any:
    return check_store(ClipStore(given))


def hours(folder: Path) -> Path:
    from cold_spots import predictor, scene

    found = predictor()
    kept = JudgedHours(folder, found.processor)
    for clip in found.run(scene(), every_minutes=30):
        kept.add(JudgedHour(clip=clip, times=(None, clip.end), digests=(None, "a"), provenance={}))
    return folder


def read_hours(given: Path) -> list[JudgedHour]:
    from cold_spots import infrared

    return list(JudgedHours(given, infrared()))


def arrivals(folder: Path) -> Path:
    images = {
        f"{number}.nc": {
            "marks": [[f"/data/{number}.nc", 1000, 5]], "first_seen": 1.0, "state": "read",
            "reason": None, "convention": "end_of_scan", "place": "ab",
            "frames": {f"2020-09-17T0{number}:00:00": "cd"},
        }
        for number in range(3)
    }  # fmt: skip
    (folder / "arrivals.json").write_text(json.dumps(images))
    return folder / "arrivals.json"


def read_arrivals(given: Path) -> list[Any]:
    known = Arrivals(given, lambda files: None)  # pyright: ignore[reportArgumentType]
    _ = known.newest, known.reasons("waiting")
    return known.frames()


def wrong_hours(found: list[Any]) -> str:
    ends = [hour.clip.end for hour in found]
    return "hours at no time" if any(pd.isna(end) for end in ends) else ""


def following(folder: Path) -> Path:
    """The folder of results of what was followed, two rounds long."""
    from cold_spots import scene

    (folder / "in").mkdir()
    moving = scene()
    for row in range(6):
        moving.isel(time=[row]).to_netcdf(folder / "in" / f"{row}.nc")
    _ = follow_again(folder)
    return folder


def follow_again(given: Path) -> Any:
    import threading

    from cold_spots import predictor

    from medicane_models.prediction.follow import Follower

    folders, out = [given / "in"], given / "out"
    for file in sorted(out.glob("follow/*.json")):  # as if it had always been here
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 10**6:
            parts = re.split(rb'/[^"]*/given-files', file.read_bytes())
            file.write_bytes(json.dumps(str(given.resolve()))[1:-1].encode().join(parts))
    options = {"products": {"plot": False}, "every_minutes": 15, "patience_seconds": 0.0}
    return Follower(predictor(), folders, out, **options).round(threading.Event())


def wrong_status(status: Any) -> str:
    return "" if status.pending == 0 else f"{status.pending} hours were not judged"


TRAINING = {
    "recipe": Kind(
        make=recipe_file, read=lambda p: load_recipe("classify", file=p, store="s.zarr"),
        is_text=True, others=(hostile_yaml, spoil_yaml, spoil_yaml), share=2,
    ),
    "checkpoints": Kind(
        make=checkpoints, read=newest, is_text=True,
        others=(spoil_json, manifest_outside, sealed_again, trapped), share=3,
    ),
    "state of a run": Kind(
        make=engine_state, read=lambda p: read_state(p.parent, 0), others=(trapped,), share=2
    ),
    "clip store": Kind(
        make=clip_store, read=read_store, is_text=True, others=(spoil_json,), share=1
    ),
    "clip store, checked": Kind(
        make=clip_store, read=checked_store, is_text=True, others=(spoil_json,), share=0.05
    ),
    "judged hours": Kind(
        make=hours, read=read_hours, wrong=wrong_hours, is_text=True, others=(spoil_json,), share=3
    ),
    "arrivals": Kind(
        make=arrivals, read=read_arrivals, is_text=True, others=(spoil_json,), share=4
    ),
    "followed folder": Kind(
        make=following, read=follow_again, wrong=wrong_status, is_text=True, others=(spoil_json,),
        share=0.3,
    ),
}  # fmt: skip
