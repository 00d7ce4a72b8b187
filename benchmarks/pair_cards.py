"""Cards of the infrared pair, out of what the commands of ``infrared_pair.py`` have left.

A card is the run's own, and then the proof: tables of storms that were never trained on. No number
is typed but those of others' publications.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medicane_training.scores.intervals import score_text

PUBLISHED = """\
Published by others, for another task: GeoCenter (Lagerquist et al. 2025, arXiv:2409.16507) reads
nine infrared channels of up to four hours around a **first guess** that is 48 km off on average:
mean, median and RMS 26.6, 22.2 and 32.4 km over all systems of the Atlantic and the Pacific, 14.6,
12.5 and 17.3 km for categories 2 to 5 (83 kt and more). ARCHER-2, the operational finder (Wimmers
and Velden 2016), has a median of 49 km from the infrared window alone. Without a first guess, as
above, the tile's middle is up to 300 km from the centre, which is the harder task."""

FAILURES = "failures.png"
COMMENTS = Path(__file__).parent / "failures.yaml"
"""What a person saw in each picture of the gallery, by the storm's name."""

SHOWN = {
    "calibration.png": "How many centres lie inside the circles, by class of wind:",
    "errors.png": "Errors by wind, beside other methods:",
}
"""Pictures of the card, which show no satellite picture: real ones may not be passed on."""

Rows = Sequence[Mapping[str, Any]]


def tracker_card(
    run: Path,
    *,
    test: Path,
    folds: Path | None = None,
    trials: Path | None = None,
    gallery: Path | None = None,
    with_pictures: bool = False,
) -> str:
    """The tracker's card.

    Args:
        run: folder of the run, whose card begins this one.
        test: ``test.json``.
        folds: ``folds.json``, if folds have been run.
        trials: ``trials.json``, if other trainings are told of.
        gallery: ``gallery.json``, if failures are shown.
        with_pictures: whether those of SHOWN lie beside the card, after its name.
    """
    told = _json(test)
    parts = [
        _run_card(run),
        "## Storms never trained on\n",
        f"{_counts(told)} of the fixed list `benchmarks/test_storms.txt`: other imagers, both "
        "hemispheres, none used for training, for choosing or for a threshold. The centre lies up "
        "to 300 km from the tile's middle, and no first guess is given. Kilometres: mean / median "
        "/ 90th percentile, with the 95 % interval of the model's median over whole storms. Wind "
        "is that of one minute.",
        *(
            errors_by_group(told["errors"][what], what)
            for what in ("wind", "organisation", "dataset")
        ),
        *([] if folds is None else _folds(_json(folds))),
        PUBLISHED,
        "## Radii\n",
        "Share of the centres inside the circles, by wind, on the fixed list.",
        _radii(told["radii"]["wind"]),
        "## Changed pictures\n",
        "Median error of the test and validation clips when every picture is changed.",
        _changes(told["changes"]),
        *(_pictures(run.name) if with_pictures else []),
        *([] if gallery is None else _failures(_json(gallery), run.name)),
        *([] if trials is None else _trials(_json(trials))),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def detector_card(run: Path, *, test: Path) -> str:
    """The detector's card; arguments as those of `tracker_card`."""
    scenes = _json(test)["scenes"]
    parts = [
        _run_card(run),
        "## Whole scenes\n",
        "The disks of INSAT-3D were never trained on; of the two of SEVIRI calm planes may have "
        "been. Every plane of the scenes at the shipped threshold of "
        f"{scenes['threshold']:.3g}; where a plane shows a cyclone, the lower probability "
        "of it and of the plane around its fix. A "
        f"storm is found if a fix lies within {scenes['rules']['match_km']:g} km; storms under "
        f"{scenes['rules']['least_kt']:g} kt are neither hits nor misses.",
        _scenes(scenes["scores"]),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"), object_hook=_with_nan)


def _with_nan(read: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {name: math.nan if value is None else value for name, value in read.items()}


def _run_card(run: Path) -> str:
    return (run / "README.md").read_text("utf-8")


def _counts(told: Mapping[str, Any]) -> str:
    return f"{told['counts']['clips']} clips of {told['counts']['storms']} storms"


def _folds(told: Mapping[str, Any]) -> list[str]:
    text = (
        f"In {told['folds']} folds by storm over typhoons, Himawari and `cwb_ir1`, a network a "
        f"fold: {_counts(told)}."
    )
    rows = told["first_guess"]["by_intensity"]
    guided = [
        (
            row["intensity"],
            row["clips"],
            *(
                "/".join(f"{row[method][score]['value']:.1f}" for score in row[method])
                for method in ("first guess", "refined")
            ),
        )
        for row in rows
    ]
    return [
        "## Folds\n",
        text,
        errors_by_group(told["errors"]["wind"], "wind"),
        _radii(told["radii"]["wind"]),
        "With drawn first guesses, 48 km off on average: mean / median / RMS km.",
        _table(("wind", "clips", "first guess", "refined"), guided),
    ]


def _pictures(name: str) -> list[str]:
    parts = ["## Pictures\n"]
    for picture, caption in SHOWN.items():
        parts += [caption, f"![{caption}]({name}-{picture})"]
    return parts


def _failures(told: Mapping[str, Any], name: str) -> list[str]:
    comments = yaml.safe_load(COMMENTS.read_text("utf-8"))
    rows = [
        (row["storm"], f"{row['wind_kt']:.0f}", row["organisation"], f"{row['error_km']:.0f}")
        for row in told["worst"]
    ]
    errors = told["errors_km"]
    return [
        "## Failures\n",
        f"The worst clips of {errors['count']:.0f} of simulated storms that nobody trained on, of "
        f"each storm one; the median of all is {errors['50%']:.0f} km. A plus is the truth, a "
        "cross the model's centre in its 50 and 95 % circles.",
        f"![The worst clips of simulated storms]({name}-{FAILURES})",
        _table(
            ("storm", "kt", "organisation", "km", "what happened"),
            [(*row, comments[row[0]]) for row in rows],
        ),
    ]


def _trials(told: Mapping[str, Any]) -> list[str]:
    classes = list(dict.fromkeys(row["wind"] for one in told["trials"] for row in one["errors"]))
    rows = []
    for one in told["trials"]:
        by_class = {row["wind"]: row for row in one["errors"]}
        found = [by_class.get(name) for name in classes]
        told_each = (f"{_kilometres(row)} ({row['clips']})" if row else "–" for row in found)
        rows.append((one["name"], f"{one['clips_seen'] / 1000:.0f} k", *told_each))
    return [
        "## What was tried\n",
        "On validation storms, by which checkpoints were chosen; one training each, so that "
        "classes of few storms differ by chance, too. Kilometres as above, and how many clips.",
        _table(("training", "clips seen", *classes), rows),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return f"{counts['clips']} / {counts['storms']}"


def errors_by_group(rows: Rows, what: str) -> str:
    """A line a group, a column a method."""
    groups = list(dict.fromkeys(row[what] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    by_both = {(row[what], row["method"]): row for row in rows}
    told = []
    for group in groups:
        first = by_both[group, methods[0]]
        interval = score_text(first["median_km"], ".0f").partition(" ")[2] or "–"
        kilometres = (_kilometres(by_both.get((group, method))) for method in methods)
        told.append((group, _counted(first), next(kilometres), interval, *kilometres))
    return _table((what, "clips / storms", methods[0], "95 %", *methods[1:]), told)


def _kilometres(row: Mapping[str, Any] | None) -> str:
    """Mean / median / 90th percentile."""
    if row is None:
        return "–"
    return " / ".join(f"{row[name]['value']:.0f}" for name in ("mean_km", "median_km", "p90_km"))


def _radii(rows: Rows) -> str:
    names = ("coverage_50", "coverage_95")
    told = [
        (row["wind"], row["clips"], *(score_text(row[name], ".2f") for name in names))
        for row in rows
    ]
    return _table(("wind", "clips", "50 % circle", "95 % circle"), told)


def _changes(rows: Rows) -> str:
    told = [
        (row["change"], row["clips"], *(score_text(row[name], ".0f") for name in NAMES))
        for row in rows
    ]
    return _table(("change", "clips", "as it is, km", "changed, km", "percent"), told)


NAMES = ("plain_km", "changed_km", "percent")


def _scenes(told: Mapping[str, Any]) -> str:
    rows = [
        (name, *(found["counts"][name] for found in told.values()))
        for name in told["all"]["counts"]
    ]
    rows += [
        (name, *(score_text(found["scores"][name], ".2f") for found in told.values()))
        for name in told["all"]["scores"]
    ]
    return _table(("", *told), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
