"""The proof of the infrared pair: what it finds of storms that it was never trained on.

::

    python benchmarks/infrared_pair.py train STORE --out pair/ [--seed 0]
    python benchmarks/infrared_pair.py baseline STORE --out plain/
    python benchmarks/infrared_pair.py folds STORE --out folds/ [--folds 5] [--plain]
    python benchmarks/infrared_pair.py test STORE --tracker DIR [--detector DIR] --out test/
    python benchmarks/infrared_pair.py pictures STORE --judged test/judged.parquet --out pictures/
    python benchmarks/infrared_pair.py gallery SIMULATED --tracker DIR --out gallery/
    python benchmarks/infrared_pair.py trials --run "real storms only=DIR" … --out trials/
    python benchmarks/infrared_pair.py cards --pair pair/ --test test/test.json --out model_cards/

STORE is what ``storm_store.py`` builds, with the simulated storms that ``medicane-train data
simulate`` adds. Each command leaves ``OUT/COMMAND.json``, from which cards are made. ``train``
makes the pair as the embedded ones were made: a tracker, and a detector that starts from it.
``baseline`` trains the plain convolutional net of ``plain_tracker.py`` on what the tracker trains
on. ``folds`` deals the named storms of typhoons, Himawari and ``cwb_ir1`` into folds, trains a
tracker without each (and without ``test_storms.txt``) and judges it there. A run that was
interrupted goes on, one that has ended is not repeated. ``test`` judges models by the fixed storms
of ``test_storms.txt``, by whole scenes and by changed pictures. ``gallery`` draws the worst clips
of a store of simulated storms, which may be passed on where real pictures may not. Bootstrap
intervals are over whole storms.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import yaml
from pair_cards import FAILURES, SHOWN, detector_card, tracker_card
from pair_judging import (
    PLAIN,
    aligned,
    changes,
    guided_errors,
    presence_scores,
    printed_changes,
    printed_scenes,
)
from pair_recipes import FRACTIONS, detection_recipe, tracking_recipe
from plain_tracker import PlainFlow, plain_recipe

from medicane_models.files import replacing, write_json
from medicane_models.network.modeling import MedicaneForTracking
from medicane_models.prediction.predictor import MedicanePredictor
from medicane_models.runtimes.interface import limit_threads
from medicane_training.flows.tracking import HEATMAP, TrackingFlow
from medicane_training.ranks import Ranks
from medicane_training.recipes.kinds import TrackingRecipe
from medicane_training.run.journal import show_table
from medicane_training.run.judging import judge_part
from medicane_training.run.loop import run_recipe
from medicane_training.scores.baselines import baseline_errors
from medicane_training.scores.centres import classes_of_clips
from medicane_training.scores.first_guess import first_guess_scores
from medicane_training.scores.intervals import (
    printable,
    weather_blocks,
)
from medicane_training.scores.scene_detection import SceneRules, scene_scores
from medicane_training.scores.storm_tables import error_table, judged_tables, printed_table
from medicane_training.store.clip_store import ClipStore

TEST_STORMS = Path(__file__).parent / "test_storms.txt"
JUDGED_SETS = ("typhoon_ir_hourly", "himawari_ir_png", "cwb_ir1")
MIRRORED = "INSAT-3D full disks"
TRACKER, DETECTOR = "medicane-ir-tracker", "medicane-ir-detector"
ALONE = Ranks(rank=0, local_rank=0, world_size=1)


def train(options: argparse.Namespace) -> None:
    """The pair: a tracker, and a detector that starts from it."""
    parts = {"by": "storm", "fractions": options.fractions}
    tracker = options.out / TRACKER
    run_recipe(tracking_recipe(options, parts), tracker, command=sys.argv)
    run_recipe(detection_recipe(options, parts, tracker), options.out / DETECTOR, command=sys.argv)


def judged_by(recipe: TrackingRecipe, out: Path, *, plain: bool) -> pd.DataFrame:
    """The test clips of a run, which is begun, gone on with or left as it is: tracked ones."""
    if not (out / "test.json").is_file():
        given, make = (plain_recipe(recipe), PlainFlow) if plain else (recipe, TrackingFlow)
        run_recipe(given, out, test=True, command=sys.argv, make=make.open)
    judged = pd.read_parquet(out / "test.parquet")
    return judged.loc[judged["error_km"].notna()].reset_index(drop=True)


def tell(tables: Mapping[str, Any], title: str) -> None:
    """Print the tables of errors."""
    counts = tables["counts"]
    for rows in tables["errors"].values():
        told = f"{title}, {counts['clips']} clips of {counts['storms']} storms, km"
        show_table(printed_table(rows), title=told)


def finish(options: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """Keep what a command has come to, and how it was called."""
    called = {name: str(value) for name, value in vars(options).items() if value is not None}
    write_json(options.out / f"{options.command}.json", {"options": called, **found})


def baseline(options: argparse.Namespace) -> None:
    """The plain net by the fixed test storms."""
    recipe = tracking_recipe(options, {"by": "storm", "fractions": FRACTIONS})
    judged, store = judged_by(recipe, options.out, plain=True), ClipStore(options.store)
    others = baseline_errors(store, judged["clip"].to_numpy(int))
    tables = judged_tables(store, judged, others, model=PLAIN)
    tell(tables, "plain net, fixed test storms")
    presence = presence_scores(store, pd.read_parquet(options.out / "test.parquet"))
    show_table(printable(presence["scores"]), title="is a cyclone in the tile?")
    finish(options, {**tables, "presence": presence})


def folds(options: argparse.Namespace) -> None:
    """Trackers of all folds, judged by the storms left out of each."""
    store = ClipStore(options.store)
    judged, guided, plain = [], [], []
    for fold in range(options.folds):
        recipe = tracking_recipe(options, {"by": "folds", "folds": options.folds, "fold": fold})
        out = options.out / f"fold-{fold}"
        judged.append(of_judged_sets(store, judged_by(recipe, out, plain=False)))
        guided.append(guided_errors(store, out, judged[-1]))
        if options.plain:
            plain.append(judged_by(recipe, options.out / f"plain-{fold}", plain=True))
    pooled = pd.concat(judged, ignore_index=True)
    others = baseline_errors(store, pooled["clip"].to_numpy(int))
    if plain:
        others = {PLAIN: aligned(pd.concat(plain), pooled), **others}
    keep(pooled, others, options.out)
    tables = judged_tables(store, pooled, others)
    tell(tables, f"{options.folds} folds")
    index = store.clips.iloc[pooled["clip"].to_numpy(int)]
    errors = {name: np.concatenate([one[name] for one in guided]) for name in guided[0]}
    beside = first_guess_scores(errors, classes_of_clips(index), weather_blocks(store, index))
    finish(options, {"folds": options.folds, **tables, "first_guess": beside})


def of_judged_sets(store: ClipStore, judged: pd.DataFrame) -> pd.DataFrame:
    """Those of storms whose names and times are told."""
    datasets = store.clips["dataset"].iloc[judged["clip"]].to_numpy()
    return judged.loc[np.isin(datasets, JUDGED_SETS)].reset_index(drop=True)


def test(options: argparse.Namespace) -> None:
    """Models by the fixed test storms, by changed pictures and, of a detector, by whole scenes."""
    flow = TrackingFlow.open(tracking_recipe(options, {"by": "storm", "fractions": FRACTIONS}))
    model = MedicaneForTracking.from_pretrained(options.tracker)
    judged = judge_part(flow, model, "test", ranks=ALONE, released=True)
    others = baseline_errors(flow.clips.store, judged["clip"].to_numpy(int))
    if options.plain is not None:
        plain = pd.read_parquet(options.plain / "test.parquet")
        clips = flow.clips.store.clips.iloc[judged["clip"].to_numpy(int)]
        others = {PLAIN: aligned(plain, clips), **others}
    keep(judged, others, options.out)
    tables = judged_tables(flow.clips.store, judged, others)
    tell(tables, f"{options.tracker}, fixed test storms")
    found = {**tables, "changes": changes(flow, model)}
    show_table(printed_changes(found["changes"]), title="median error with changed pictures, km")
    if options.detector is not None:
        found["scenes"] = scenes(options)
    finish(options, found)


def keep(judged: pd.DataFrame, others: Mapping[str, np.ndarray], out: Path) -> None:
    """``judged.parquet``: what the tracker said of each clip, and the errors of other methods."""
    named = {f"error of {name}": error for name, error in others.items()}
    kept = judged.drop(columns=HEATMAP, errors="ignore").assign(**named)
    kept.to_parquet(out / "judged.parquet")


def scenes(options: argparse.Namespace) -> dict[str, Any]:
    """What the pair finds in whole scenes, by scene and in all."""
    from pair_scenes import SCENES, judged_moments, known_storms, mirror_errors_km, opened

    pair = {"detector": options.detector, "tracker": options.tracker}
    predictor = MedicanePredictor.from_pretrained(**pair, threshold=options.threshold)
    storms, rules, judged = known_storms(), SceneRules(), {}
    read = {name: opened(scene, options.data, predictor) for name, scene in SCENES.items()}
    for name, scene in read.items():
        run = predictor.run(scene, every_minutes=SCENES[name].every_minutes)
        judged[name] = list(judged_moments(run, storms, rules))
    planes = [
        moment.planes.assign(scene=name, time=moment.time)
        for name, moments in judged.items()
        for moment in moments
    ]
    pd.concat(planes, ignore_index=True).to_parquet(options.out / "planes.parquet")
    told = {name: scene_scores(moments) for name, moments in judged.items()}
    told["all"] = scene_scores([moment for moments in judged.values() for moment in moments])
    show_table(printed_scenes(told), title=f"whole scenes at a threshold of {predictor.threshold}")
    apart = mirror_errors_km(read[MIRRORED], predictor)
    mirror = {"scene": MIRRORED, "fixes": len(apart), "greatest_km": float(apart.max(initial=0))}
    settings = {"threshold": predictor.threshold, "rules": vars(rules), "mirror": mirror}
    return {**settings, "scores": told}


def pictures(options: argparse.Namespace) -> None:
    """Calibration, errors by wind, the worst clips and, of a detector, maps of whole scenes."""
    from pair_pictures import draw_detections, draw_gallery, draw_maps, draw_scores, of_kind

    store = ClipStore(options.store)
    judged = pd.concat([pd.read_parquet(path) for path in options.judged], ignore_index=True)
    judged = judged.loc[judged["error_km"].notna()]
    draw_scores(store, judged, options.out)
    shown = judged if options.kind is None else of_kind(store, judged, options.kind)
    worst = draw_gallery(store, shown, options.out / "worst.png", worst=options.worst)
    show_table(worst.astype(str).to_dict("records"), title="the worst clip of each storm")
    found: dict[str, Any] = {"clips": len(judged), "worst": worst.to_dict("records")}
    if options.detector is not None:
        pair = {"detector": options.detector, "tracker": options.tracker}
        predictor = MedicanePredictor.from_pretrained(**pair, threshold=options.threshold)
        found["maps"] = [str(path) for path in draw_maps(predictor, options.data, options.out)]
        if options.planes is not None:
            draw_detections(pd.read_parquet(options.planes), predictor.threshold, options.out)
    finish(options, found)


def gallery(options: argparse.Namespace) -> None:
    """The worst clips of simulated storms that nobody trained on, of each storm one."""
    from pair_pictures import draw_gallery, judged_clips

    store, model = ClipStore(options.store), MedicaneForTracking.from_pretrained(options.tracker)
    judged = judged_clips(store, model)
    worst = draw_gallery(store, judged, options.out / FAILURES, worst=options.worst)
    show_table(worst.astype(str).to_dict("records"), title="the worst clip of each storm")
    errors = judged["error_km"].describe(percentiles=[0.5, 0.9]).to_dict()
    finish(options, {"errors_km": errors, "worst": worst.to_dict("records")})


def trials(options: argparse.Namespace) -> None:
    """What several trainings made of the validation storms, by class of wind."""
    told = []
    for name, folder in (given.rsplit("=", 1) for given in options.runs):
        recipe = yaml.safe_load((Path(folder) / "run.yaml").read_text("utf-8"))
        store = ClipStore(recipe["data"]["store"])
        judged = pd.read_parquet(Path(folder) / "validation.parquet")
        judged = judged.loc[judged["error_km"].notna()].reset_index(drop=True)
        index = store.clips.iloc[judged["clip"].to_numpy(int)]
        errors = {"model": judged["error_km"].to_numpy(float)}
        blocks = weather_blocks(store, index)
        rows = error_table(errors, classes_of_clips(index), blocks, "wind")
        seen = recipe["training"]["epochs"] * recipe["data"]["samples"]
        told.append({"name": name, "clips_seen": seen, "errors": rows})
    finish(options, {"trials": told})


def cards(options: argparse.Namespace) -> None:
    """The pair's cards, out of what ``train``, ``test`` and ``folds`` have left."""
    told = {
        TRACKER: tracker_card(
            options.pair / TRACKER,
            test=options.test,
            folds=options.fold_scores,
            trials=options.trial_scores,
            gallery=options.gallery and options.gallery / "gallery.json",
            with_pictures=options.pictures is not None,
        ),
        DETECTOR: detector_card(options.pair / DETECTOR, test=options.test),
    }
    for name, text in told.items():
        with replacing(options.out / f"{name}.md") as temporary:
            temporary.write_text(text, "utf-8")
    shown = [options.pictures / name for name in SHOWN] if options.pictures else []
    for picture in [*shown, *([options.gallery / FAILURES] if options.gallery else [])]:
        with replacing(options.out / f"{TRACKER}-{picture.name}") as temporary:
            shutil.copyfile(picture, temporary)


def add_training(one: argparse.ArgumentParser) -> None:
    """Options of a recipe and its split."""
    one.add_argument("--epochs", type=int, help="default: the recipe's")
    one.add_argument("--set", dest="changes", action="append", default=[], metavar="A.B=VALUE")
    one.add_argument("--seed", type=int, default=0, help="of the training")
    one.add_argument("--test-storms", default=str(TEST_STORMS))


def add_train(one: argparse.ArgumentParser) -> None:
    """Options of ``train``."""
    add_training(one)
    one.add_argument("--fractions", default=FRACTIONS, help="of training, validation and test")
    one.add_argument(
        "--set-detector", dest="detection", action="append", default=[], metavar="A.B=VALUE"
    )


def add_folds(one: argparse.ArgumentParser) -> None:
    """Options of ``folds``."""
    add_training(one)
    one.add_argument("--folds", type=int, default=5)
    one.add_argument("--plain", action="store_true", help="train the plain net beside it")


def add_models(one: argparse.ArgumentParser, *, always: bool) -> None:
    """Options of what judges whole scenes; a tracker is asked for always, or with a detector."""
    one.add_argument("--tracker", required=always, help="folder, embedded name or Hub id")
    one.add_argument("--detector", help="likewise; with it whole scenes of --data are judged")
    one.add_argument("--threshold", type=float, help="default: the detector's own")
    one.add_argument("--data", type=Path, help="folder of the real data")


def add_test(one: argparse.ArgumentParser) -> None:
    """Options of ``test``."""
    add_training(one)
    add_models(one, always=True)
    one.add_argument("--plain", type=Path, help="what the command baseline left")


def add_cards(one: argparse.ArgumentParser) -> None:
    """Options of ``cards``."""
    one.add_argument("--pair", type=Path, required=True, help="what the command train left")
    one.add_argument("--test", type=Path, required=True, help="test.json")
    one.add_argument("--folds", dest="fold_scores", type=Path, help="folds.json")
    one.add_argument("--trials", dest="trial_scores", type=Path, help="trials.json")
    one.add_argument("--pictures", type=Path, help="what the command pictures left")
    one.add_argument("--gallery", type=Path, help="what the command gallery left")


def add_trials(one: argparse.ArgumentParser) -> None:
    """Options of ``trials``."""
    told = "a finished training of a tracker, and what to call it"
    one.add_argument(
        "--run", dest="runs", action="append", required=True, metavar="NAME=DIR", help=told
    )


def add_pictures(one: argparse.ArgumentParser) -> None:
    """Options of ``pictures``."""
    add_models(one, always=False)
    one.add_argument("--judged", type=Path, nargs="+", required=True, help="judged.parquet")
    one.add_argument("--planes", type=Path, help="planes.parquet of the command test")
    one.add_argument("--kind", choices=("simulated", "real"), help="of the worst clips")
    one.add_argument("--worst", type=int, default=9)


def add_gallery(one: argparse.ArgumentParser) -> None:
    """Options of ``gallery``."""
    one.add_argument("--tracker", required=True, help="folder, embedded name or Hub id")
    one.add_argument("--worst", type=int, default=9)


COMMANDS: Mapping[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "train": (train, add_train),
    "baseline": (baseline, add_training),
    "folds": (folds, add_folds),
    "test": (test, add_test),
    "pictures": (pictures, add_pictures),
    "gallery": (gallery, add_gallery),
    "trials": (trials, add_trials),
    "cards": (cards, add_cards),
}
"""What each does, and what adds its options."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(dest="command", required=True)
    for name, (command, add_options) in COMMANDS.items():
        one = commands.add_parser(name, help=command.__doc__)
        if command not in (cards, trials):
            one.add_argument("store", type=Path)
        one.add_argument("--out", type=Path, required=True)
        one.add_argument("--threads", type=int, default=1)
        add_options(one)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command."""
    made = parser()
    options = made.parse_args(arguments)
    asked = vars(options)
    if asked.get("detector") and not (asked["data"] and asked["tracker"]):
        made.error("--detector judges whole scenes with --tracker out of --data; give both")
    limit_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    command, _ = COMMANDS[options.command]
    command(options)


if __name__ == "__main__":
    main()
