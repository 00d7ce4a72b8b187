"""The table of the README, out of what the benchmarks have kept of each machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- speed: python -m benchmarks table --write -->", "<!-- /speed -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        what: is measured.
        goal: that is to be reached; "" for none.
        form: how its values are printed.
    """

    what: str
    goal: str = ""
    form: str = ".2f"


PEER = "of transformers' time"
FORWARDS = {
    f"forward {size} {batch}": Row(
        what=f"classification, {size}, {batch} clip{'s' * (batch > 1)}, {PEER}", goal=goal
    )
    for size, goal in (("tiny", "≤ 0.90"), ("small", "≤ 0.85"), ("base", "≤ 0.85; AVX2 0.92"))
    for batch in (1, 4, 16)
}
ONNX = {
    f"onnx {kind} {batch}": Row(
        what=f"the same by ONNX {kind}, base, {batch} clip{'s' * (batch > 1)}, {PEER}", goal=goal
    )
    for kind, goal in (("fp32", "≤ 0.85; AVX2 0.90"), ("int8", "≤ 0.40; AVX2 0.60"))
    for batch in (1, 8)
}
PRETRAINING = {
    f"pretraining {measure} {batch}": Row(
        what=f"masked pretraining step, base, {batch} clip{'s' * (batch > 1)}, {of}", goal=goal
    )
    for batch in (1, 4)
    for measure, of, goal in (
        ("time", PEER, "≤ 0.55"),
        ("memory", "of transformers' memory beyond weights and gradients", "≤ 0.60"),
    )
}
ROWS: Mapping[str, Row] = {
    "matmul": Row(what="matrix product, float32, GFLOP/s", form=".0f"),
    "copy": Row(what="memory copy, GB/s", form=".1f"),
    **FORWARDS,
    **ONNX,
    **PRETRAINING,
    "tracking": Row(what="infrared tracker with stem and heat map, clips/s", form=".0f"),
    "tracker training": Row(
        what="training of the infrared tracker, loader included, clips/s a core",
        goal="≥ 40",
        form=".1f",
    ),
    "mediterranean s": Row(what="a day of the Mediterranean, s", goal="≤ 30", form=".0f"),
    "mediterranean GB": Row(what="the same, peak GB", goal="≤ 1.2"),
    "disk s": Row(what="a day of a full disk, hourly, s", goal="≤ 180", form=".0f"),
    "disk GB": Row(what="the same, peak GB", goal="≤ 1.5"),
    "help": Row(what="`medicane --help`, s", goal="≤ 0.3"),
    "import": Row(what="`import medicane_models`, s", goal="≤ 0.05", form=".3f"),
    "first answer": Row(what="first answer from the shell beyond reading, s", goal="≤ 2"),
    "giant new": Row(what="a new giant, s", goal="< 10", form=".1f"),
    "giant loaded": Row(what="giant loaded, s", form=".1f"),
    "giant memory": Row(what="the same, peak memory over that of its weights"),
    "gpu matmul": Row(what="matrix product, bf16, TFLOP/s", form=".0f"),
    "gpu base": Row(what="base, 32 clips, bf16, of the matrix product's rate"),
    "gpu base compiled": Row(what="the same, blocks compiled", goal="≥ 0.65"),
    "gpu tiny": Row(what="tiny, best batch, bf16, of that rate"),
    "gpu tiny compiled": Row(what="the same, blocks compiled", goal="≥ 0.50"),
    "gpu giant": Row(what="giant, best batch, bf16, of that rate"),
    "gpu giant compiled": Row(what="the same, blocks compiled", goal="≥ 0.65"),
    "gpu base peer": Row(what=f"base, 32 clips, bf16, {PEER}", goal="≤ 0.75"),
    "gpu pretraining": Row(what="pretraining step, base, best batch, bf16, of that rate"),
    "gpu pretraining compiled": Row(what="the same, blocks compiled", goal="≥ 0.45", form=".3f"),
    "gpu pretraining peer": Row(
        what=f"pretraining step, base, 32 clips, bf16, {PEER}", goal="≤ 0.30"
    ),
    "gpu pretraining compiled peer": Row(what="the same, blocks compiled", goal="≤ 0.30"),
    "gpu tracker training": Row(
        what="training of the infrared tracker, clips/s", goal="≥ 8000", form=".0f"
    ),
    "gpu loader idle": Row(what="waiting for the loader, share of that", goal="< 0.10"),
    **{
        f"gpu onnx {name} {kind}": Row(
            what=f"ONNX {kind}, {name}, 8 clips, of eager PyTorch's time in fp32"
        )
        for name in ("base", "medicane-ir-detector", "medicane-ir-tracker")
        for kind in ("fp32", "fp16")
    },
}
"""All lines, in order, by the names under which benchmarks keep their values."""


def kept(folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """What each machine's files say, by the machine's folder."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    return {
        one.name: [json.loads(path.read_text("utf-8")) for path in sorted(one.glob("*.json"))]
        for one in folders
    }


def table(machines: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: a table a kind of device, a column a machine, a line a row that any has measured.

    Raises:
        KeyError: a file tells of a row that `ROWS` does not have.
    """
    told = [file for files in machines.values() for file in files]
    if unknown := {name for file in told for name in file["rows"]} - set(ROWS):
        raise KeyError(f"rows without a line in ROWS: {', '.join(sorted(unknown))}")
    devices = dict.fromkeys(file["machine"]["device"] for file in told)
    return "\n\n".join(
        _of_device([files for files in machines.values() if _device(files) == device])
        for device in devices
    )


def _device(files: Sequence[Mapping[str, Any]]) -> str:
    return files[-1]["machine"]["device"]


def _of_device(machines: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    columns = [
        {name: value for told in files for name, value in told["rows"].items()}
        for files in machines
    ]
    heads = [mode(_head(file["machine"]) for file in files) for files in machines]
    lines = [["", "goal", *heads], ["---"] * (2 + len(heads))]
    lines += [
        [row.what, row.goal, *(_cell(column.get(name), row.form) for column in columns)]
        for name, row in ROWS.items()
        if any(name in column for column in columns)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _head(machine: Mapping[str, Any]) -> str:
    place = "" if machine["device"] == "cuda" else f", {machine['threads']} threads"
    return f"{machine['processor']}, {machine['instructions']}{place}, torch {machine['torch']}"


def _cell(value: Mapping[str, float] | None, form: str) -> str:
    if value is None:
        return "–"
    if "low" not in value:
        return f"{value['value']:{form}}"
    return f"{value['value']:{form}} ({value['low']:{form}}–{value['high']:{form}})"


def with_table(text: str, made: str) -> str:
    """A text with another table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"
