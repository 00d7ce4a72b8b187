"""Classification by PyTorch, onnxruntime and Hugging Face VideoMAE, same weights and inputs.

    python -m benchmarks onnx_inference --size base --batches 1 8 32 --repetitions 7
    python -m benchmarks onnx_inference --device cuda --precisions fp32 fp16

Goals on a CPU: ONNX fp32 at most 0.85, int8 at most 0.40 of the peer's time (0.90 and 0.60 without
VNNI), with the same decisions on 99 % of clips. Decisions mean something for trained weights only:
they are counted for ``--detector``, on simulated clips at its own threshold.

In batches of more than 8 clips on a CPU, onnxruntime gives its memory back after each run, for
which a few percent of the time go: what two sessions keep would not fit beside one another.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from forward_vs_transformers import our_model, peer_model, step_of
from measuring import interleave, keep, print_table, ratios, summary

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.loaded_model import LoadedModel
from medicane_models.hub import DETECTOR
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes.onnx_metadata import Precision, onnx_file_name
from medicane_models.runtimes.onnx_session import OnnxSettings, open_session
from medicane_models.scenes.processing import MedicaneProcessor

KEPT_BATCH = 8  # the largest whose memory sessions keep
COLD_STARTS = {
    "torch": """
import sys, torch
from medicane_models import AutoMedicaneModel
model = AutoMedicaneModel.from_pretrained(sys.argv[1])
with torch.inference_mode():
    model(torch.zeros(1, *model.config.clip_shape)).probabilities.numpy()
""",
    "onnx": """
import sys, numpy, onnxruntime
path = sys.argv[1] + "/model.onnx"
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape[1:]
session.run(None, {"pixel_values": numpy.zeros([1, *shape], "float32")})
""",
}


def session_of(path: Path, options: argparse.Namespace) -> onnxruntime.InferenceSession:
    """With as many threads as PyTorch has, and like it without TF32."""
    threads = 1 if options.clock == "cpu" else torch.get_num_threads()
    return open_session(path, options.device, OnnxSettings(threads=threads))[0]


def onnx_step(
    session: onnxruntime.InferenceSession, pixels: torch.Tensor
) -> Callable[[], np.ndarray]:
    """One pass with inputs and outputs where PyTorch has its own."""
    device = pixels.device.type
    options = onnxruntime.RunOptions()
    if device == "cpu" and len(pixels) > KEPT_BATCH:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    binding = session.io_binding()
    place = {"device_type": device, "device_id": 0}
    binding.bind_input(
        name="pixel_values",
        **place,
        element_type=np.float32,
        shape=tuple(pixels.shape),
        buffer_ptr=pixels.data_ptr(),
    )
    for output in session.get_outputs():
        binding.bind_output(output.name, **place)

    def step() -> np.ndarray:
        session.run_with_iobinding(binding, options)
        return binding.get_outputs()[0].numpy() if device == "cpu" else np.empty(0)

    return step


def cold_start(kind: str, folder: Path, repetitions: int = 5) -> float:
    """Seconds from starting Python to the first answer, with files in the page cache."""
    seconds = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD_STARTS[kind], str(folder)], check=True)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def decisions(name: str, count: int) -> dict[str, Any]:
    """What int8 changes in the decisions of a detector on simulated clips."""
    with tempfile.TemporaryDirectory() as folder:
        request = OnnxRequest(
            precisions=("fp32", "int8"), count=count, tolerances={"same_decisions": 0.0}
        )
        variants = export_onnx(LoadedModel.load(name), Path(folder) / "out", request, print)
    return {
        variant.details["precision"]: variant.details["sets"].get("simulated")
        for variant in variants
    }


def export(source: LoadedModel, folder: Path, precisions: list[Precision]) -> None:
    """Files of all precisions beside the weights, whatever they lose."""
    tolerances = {"logits": sys.float_info.max}
    request = OnnxRequest(precisions=tuple(precisions), count=0, tolerances=tolerances)
    export_onnx(source, folder, request, print)
    source.model.save_pretrained(folder)


def steps_for(
    models: Mapping[str, torch.nn.Module],
    sessions: Mapping[str, onnxruntime.InferenceSession],
    pixels: torch.Tensor,
) -> dict[str, Callable[[], Any]]:
    """Everything that is compared, on one batch."""
    steps: dict[str, Callable[[], Any]] = {
        name: step_of(model, pixels, torch.float32) for name, model in models.items()
    }
    return steps | {name: onnx_step(session, pixels) for name, session in sessions.items()}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times by batch size, and how far the logits are apart."""
    config = MedicaneConfig.preset(options.size)
    peer = peer_model(config)
    ours = our_model(peer, config)
    processor = MedicaneProcessor.airmass()
    source = LoadedModel(model=ours, processor=processor, name=options.size, revision=None)
    export(source, folder, options.precisions)
    models: dict[str, Any] = {"transformers": peer, "torch eager": ours}
    if options.compile:
        models["torch compiled"] = torch.compile(ours)
    sessions = {
        f"onnx {kind}": session_of(folder / onnx_file_name(precision=kind), options)
        for kind in options.precisions
    }
    times, repetitions, apart, rows = {}, {}, {}, {}
    for batch in options.batches:
        pixels = torch.randn(batch, *config.clip_shape, device=options.device)
        steps = steps_for(models, sessions, pixels)
        repetitions[batch] = max(options.repetitions // batch, 3)
        seconds = interleave(steps, repetitions[batch], clock=options.clock)
        times[batch] = summary(seconds)
        rows |= {f"{one} {batch}": ratios(seconds, one, "transformers") for one in sessions}
        print_table(rows_of({"times": {batch: times[batch]}}))
        if options.device == "cpu":
            logits = {name: np.asarray(step()) for name, step in steps.items()}
            apart[batch] = {
                name: float(np.abs(value - logits["transformers"]).max())
                for name, value in logits.items()
            }
    return {
        "rows": rows,
        "times": times,
        "repetitions": repetitions,
        "largest_difference_of_logits": apart,
    }


def rows_of(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The printed table."""
    rows = [("what", "batch", "median s", "clips/s", "ratio", "of fastest")]
    for batch, times in result["times"].items():
        rows += [
            (
                name,
                str(batch),
                f"{found['median_s']:.3f}",
                f"{batch / found['median_s']:.2f}",
                f"{found['ratio']:.3f}",
                f"{found['ratio_of_fastest']:.3f}",
            )
            for name, found in times.items()
        ]
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="base")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--repetitions", type=int, default=15, help="Of batches of one clip.")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--detector", default=DETECTOR, help="Whose decisions are counted.")
    parser.add_argument("--decisions", type=int, default=100, help="Simulated clips; 0 for none.")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "export"
        result = {
            "onnxruntime": onnxruntime.__version__,
            "size": options.size,
            "clock": options.clock,
            **measure(options, folder),
            "cold_start_s": {kind: cold_start(kind, folder) for kind in COLD_STARTS},
            "file_mb": {
                path.name: path.stat().st_size / 1e6
                for path in sorted(folder.iterdir())
                if path.suffix in (".onnx", ".safetensors")
            },
        }
    if options.decisions:
        result["decisions"] = decisions(options.detector, options.decisions)
        result["detector"] = options.detector
    print_table(rows_of(result))
    keep(f"onnx_inference_{options.size}", result.pop("rows"), result, options.device)
    for key in ("cold_start_s", "file_mb", "decisions"):
        print(key, result.get(key))


if __name__ == "__main__":
    main()
