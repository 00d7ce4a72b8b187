"""All that is asked of a GPU, in five minutes: inference, training, its loader, engines, ONNX.

    python -m benchmarks gpu
    python -m benchmarks gpu --smoke        on a CPU, with models too small to mean anything

Shares are of the rate of a large bf16 matrix product on the same device in the same turns. A part
that fails says so and leaves its lines out; the others go on, and the exit code is 1.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from forward_vs_transformers import forward_flops, our_model, peer_model
from measuring import interleave, keep, matmul, print_table, ratios, spread
from plane_views import build
from pretraining_step_vs_transformers import NAMES, our_step, peer_step, step_flops
from torch import Tensor
from torch.utils.data import DataLoader

from medicane_export.exporting import OnnxRequest, export_onnx
from medicane_export.loaded_model import LoadedModel
from medicane_models.domain import MEDITERRANEAN
from medicane_models.network.averaging import average_classification, average_tracking
from medicane_models.network.blocks import compile_blocks
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.runtimes.onnx_metadata import Precision, onnx_file_name
from medicane_models.runtimes.onnx_session import open_session
from medicane_models.scenes.opening import scene_grid
from medicane_models.scenes.processing import MedicaneProcessor
from medicane_models.simulation import simulate_scene
from medicane_training.clips.dataset import ClipDataset
from medicane_training.clips.sampling import ClipKey
from medicane_training.recipes.named import INFRARED_VIEWS
from medicane_training.store.build import build_store
from medicane_training.store.clip_store import ClipStore

Rows = dict[str, dict[str, float]]
WARM = 3
PEER, OURS = NAMES
COMPILED = " compiled"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is.

    Attributes:
        device: where all runs.
        turns: of each measurement.
        changes: of every model's configuration.
        base: clips of base in a batch.
        tiny: likewise; the best of them counts.
        giant: clips of giant in a batch.
        pretraining: clips in a batch of masked pretraining; the first is the peer's, too.
        onnx: clips in a batch of ONNX.
        embedded: models of the package that run as ONNX beside base.
        tracker: clips in a step of the infrared tracker's training.
        steps: of that training.
        workers: that read for it.
        compiler: backend of `torch.compile`.
    """

    device: str = "cuda"
    turns: int = 10
    changes: Mapping[str, Any]
    base: int = 32
    tiny: tuple[int, ...] = (64, 256)
    giant: int = 8
    pretraining: tuple[int, ...] = (32, 128)
    onnx: tuple[int, ...] = (1, 8, 32)
    embedded: tuple[str, ...] = ("medicane-ir-detector", "medicane-ir-tracker")
    tracker: int = 256
    steps: int = 40
    workers: int = 12
    compiler: str = "inductor"


WHOLE = Scale(changes={})
SMOKE = Scale(
    device="cpu",
    turns=2,
    changes={
        "embed_dim": 24, "depth": 1, "num_heads": 2, "mlp_hidden_dim": 48, "decoder_embed_dim": 24,
        "decoder_depth": 1, "decoder_num_heads": 2, "decoder_mlp_hidden_dim": 48,
        "image_size": 32, "patch_size": 16, "num_frames": 4,
    },
    base=2,
    tiny=(1, 2),
    giant=1,
    pretraining=(1, 2),
    onnx=(1, 8),
    embedded=("medicane-ir-tracker",),
    compiler="eager",
    tracker=4,
    steps=2,
    workers=0,
)  # fmt: skip


def config_of(size: str, scale: Scale) -> MedicaneConfig:
    """A preset, or its small stand-in."""
    return MedicaneConfig.preset(size, **scale.changes)


def shares(
    steps: Mapping[str, Callable[[], object]], flops: Mapping[str, float], scale: Scale
) -> tuple[Rows, dict[str, list[float]], float]:
    """Each step's rate over that of a matrix product; the seconds; the product's rate."""
    product, product_flops = matmul(scale.device, torch.bfloat16)
    seconds = interleave({**steps, "product": product}, scale.turns)
    products = seconds.pop("product")
    found = {
        name: spread(
            [
                flops[name] / own / (product_flops / other)
                for own, other in zip(values, products, strict=True)
            ]
        )
        for name, values in seconds.items()
    }
    return found, seconds, product_flops / min(products)


def asked(model: torch.nn.Module, clips: Tensor) -> Callable[[], Any]:
    """One forward pass."""

    @torch.inference_mode()
    def step() -> Any:
        return model(clips)

    return step


def clips_of(config: MedicaneConfig, count: int, scale: Scale) -> Tensor:
    """Random clips in bf16."""
    return torch.randn(count, *config.clip_shape, device=scale.device, dtype=torch.bfloat16)


def base(scale: Scale) -> Rows:
    """Inference of base beside transformers."""
    config = config_of("base", scale)
    peer = peer_model(config)
    ours = our_model(peer, config)
    for model in (peer, ours):
        torch.nn.Module.to(model, device=scale.device, dtype=torch.bfloat16)
    clips = clips_of(config, scale.base, scale)
    steps = {PEER: asked(peer, clips), **eager_and_compiled(OURS, ours, clips, scale)}
    flops = scale.base * forward_flops(config)
    found, seconds, rate = shares(steps, dict.fromkeys(steps, flops), scale)
    return {
        "gpu matmul": {"value": rate / 1e12},
        "gpu base": found[OURS],
        "gpu base compiled": found[OURS + COMPILED],
        "gpu base peer": ratios(seconds, OURS, PEER),
    }


def eager_and_compiled(
    name: str, model: torch.nn.Module, clips: Tensor, scale: Scale
) -> dict[str, Callable[[], Any]]:
    """A model's pass, and that of a copy whose blocks are compiled."""
    compiled = deepcopy(model)
    compile_blocks(compiled, backend=scale.compiler, dynamic=False)
    return {name: asked(model, clips), name + COMPILED: asked(compiled, clips)}


def of_size(size: str, counts: tuple[int, ...], scale: Scale) -> Rows:
    """Inference at the best of some batches; the weights are made where they live."""
    config = config_of(size, scale)
    with torch.device(scale.device):
        model = MedicaneForVideoClassification(config).eval().to(torch.bfloat16)
    steps, flops = {}, {}
    for count in counts:
        clips = clips_of(config, count, scale)
        named = eager_and_compiled(str(count), model, clips, scale)
        steps |= named
        flops |= dict.fromkeys(named, count * forward_flops(config))
    return best_of(shares(steps, flops, scale)[0], f"gpu {size}")


def best_of(found: Rows, name: str) -> Rows:
    """The best batch of the eager steps, and of the compiled ones."""
    print({one: round(row["value"], 3) for one, row in found.items()})
    compiled = {one for one in found if one.endswith(COMPILED)}
    kinds = {name: found.keys() - compiled, name + COMPILED: compiled}
    return {
        kind: max((found[one] for one in ones), key=lambda row: row["value"])
        for kind, ones in kinds.items()
    }


def pretraining(scale: Scale) -> Rows:
    """Forward and backward of a masked step under autocast, beside transformers."""
    config = config_of("base", scale)
    tokens, cells = config.num_tokens, config.num_tokens // config.token_grid[0]
    seen = (cells - int(0.9 * cells)) * config.token_grid[0]
    hidden = tokens - seen
    flops = step_flops(config, seen, tokens // 2, hidden // 2)
    steps, work = {}, {}
    for count in scale.pretraining:
        clips = torch.randn(count, *config.clip_shape, device=scale.device)
        for name, compiler in (("", None), (COMPILED, scale.compiler)):
            step = our_step(config, count, scale.device, compiler)
            steps[f"{count}{name}"] = stepped(step, clips, scale)
            work[f"{count}{name}"] = count * flops
    count = scale.pretraining[0]
    clips = torch.randn(count, *config.clip_shape, device=scale.device)
    steps[PEER] = stepped(peer_step(config, count, scale.device), clips, scale)
    work[PEER] = count * step_flops(config, seen, hidden, hidden)
    found, seconds, _ = shares(steps, work, scale)
    print(f"transformers, {count} clips: {found.pop(PEER)}")
    return {
        **best_of(found, "gpu pretraining"),
        "gpu pretraining peer": ratios(seconds, str(count), PEER),
        "gpu pretraining compiled peer": ratios(seconds, f"{count}{COMPILED}", PEER),
    }


def stepped(step: Callable[[Tensor], None], clips: Tensor, scale: Scale) -> Callable[[], None]:
    """A training step in mixed precision."""

    def run() -> None:
        with torch.autocast(scale.device, torch.bfloat16):
            step(clips)

    return run


def tracker(scale: Scale) -> Rows:
    """Training of the infrared tracker as its recipe does it, and how long it waits for clips."""
    config = MedicaneConfig.preset("infrared", task="tracking", num_frames=4, tubelet_size=4)
    model = MedicaneForTracking(config).train().to(scale.device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    waited, began = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder) / "noise.zarr", 4)
        batches = iter(batches_of(store, scale))
        for number in range(WARM + scale.steps):
            if number == WARM:
                synchronise(scale)
                waited, began = 0.0, time.perf_counter()
            asked_at = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked_at
            pixels, centers = batch.to(scale.device).pixel_values(store.processor)
            with torch.autocast(scale.device, torch.bfloat16):
                loss = model(pixels, centers, label_sigma=torch.full_like(centers[:, 0], 2.0)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        synchronise(scale)
    seconds = time.perf_counter() - began
    return {
        "gpu tracker training": {"value": scale.steps * scale.tracker / seconds},
        "gpu loader idle": {"value": waited / seconds},
    }


def batches_of(store: ClipStore, scale: Scale) -> DataLoader[Any]:
    """Batches of random views, read ahead by workers."""
    count, clips = scale.tracker, len(store.clips)
    keys = [
        [ClipKey(n % clips, 0, n) for n in range(step * count, (step + 1) * count)]
        for step in range(WARM + scale.steps)
    ]
    return DataLoader(
        ClipDataset(store, augmentation=INFRARED_VIEWS),
        batch_sampler=keys,
        num_workers=scale.workers,
        collate_fn=lambda batch: batch,
        pin_memory=scale.device == "cuda",
    )


def synchronise(scale: Scale) -> None:
    """Wait for the device."""
    if scale.device == "cuda":
        torch.cuda.synchronize()


def engines(scale: Scale) -> Rows:
    """A tiny specialization by DDP and, on a GPU, by DeepSpeed: do they run?"""
    with tempfile.TemporaryDirectory() as folder:
        grid = MEDITERRANEAN.window(400, 100, 448, 224)
        scene, _ = simulate_scene(start="2021-10-29", hours=18, grid=grid)
        processor = replace(MedicaneProcessor.airmass(), grid=scene_grid(scene))
        build_store([scene], Path(folder) / "s.zarr", processor=processor)
        for backend in ("ddp", "deepspeed") if scale.device == "cuda" else ("ddp",):
            settings = (
                f"engine.backend={backend}", f"engine.device={scale.device}", "training.epochs=1",
                "training.global_batch=4", "data.split.by=dates",
                "data.split.validation_from=2021-10-29 10:00",
                "data.split.test_from=2021-10-29 15:00", "data.split.guard_hours=2",
            )  # fmt: skip
            command = ["-m", "medicane_training.cli", "specialize", "--recipe", "tiny"]
            command += ["--data", f"{folder}/s.zarr", "--out", f"{folder}/{backend}"]
            command += [part for one in settings for part in ("--set", one)]
            subprocess.run([sys.executable, *command], check=True)
    return {}


def onnx(scale: Scale) -> Rows:
    """ONNX with inputs and outputs on the device, beside PyTorch in float32; and parity."""
    rows: Rows = {}
    for name in ("base", *scale.embedded):
        with tempfile.TemporaryDirectory() as folder:
            found = onnx_of(loaded(name, scale), Path(folder), scale)
        rows |= {f"gpu onnx {name} {kind}": row for kind, row in found.items()}
    return rows


def loaded(name: str, scale: Scale) -> LoadedModel:
    """A model of the package, or base with random weights."""
    if name != "base":
        return LoadedModel.load(name)
    config = config_of(name, scale)
    processor = MedicaneProcessor.airmass().resized(
        tile_size=config.frame_size[0], num_frames=config.num_frames
    )
    model = MedicaneForVideoClassification(config).eval()
    return LoadedModel(model=model, processor=processor, name=name, revision=None)


def onnx_of(source: LoadedModel, folder: Path, scale: Scale) -> Rows:
    """Each precision's time at 8 clips, of eager PyTorch's; the other batches are printed."""
    from onnx_inference import onnx_step

    precisions: tuple[Precision, ...] = ("fp32", "fp16") if scale.device == "cuda" else ("fp32",)
    request = OnnxRequest(precisions=precisions, count=0, tolerances={"logits": sys.float_info.max})
    export_onnx(source, folder, request, print)
    sessions: dict[Precision, onnxruntime.InferenceSession] = {
        kind: open_session(folder / onnx_file_name(precision=kind), scale.device)[0]
        for kind in precisions
    }
    model: Any = source.model.to(scale.device)
    rows: Rows = {}
    for count in scale.onnx:
        clips = torch.randn(count, *model.config.clip_shape, device=scale.device)
        steps: dict[str, Callable[[], object]] = {"eager": averaged(model, clips)}
        steps |= {kind: onnx_step(session, clips) for kind, session in sessions.items()}
        seconds = interleave(steps, scale.turns)
        check_parity(sessions, averaged(model, clips)(), clips)
        told = {kind: ratios(seconds, kind, "eager") for kind in steps}
        print(source.name, f"onnxruntime {onnxruntime.__version__}, {count} clips", told)
        if count == 8:
            rows = {kind: told[kind] for kind in precisions}
    return rows


def averaged(model: Any, clips: Tensor) -> Callable[[], Any]:
    """The mean over the model's views, which is what its graph computes."""
    average = average_tracking if model.task == "tracking" else average_classification

    @torch.inference_mode()
    def step() -> Any:
        return average(model, clips)

    return step


def check_parity(
    sessions: Mapping[Precision, onnxruntime.InferenceSession], output: Any, clips: Tensor
) -> None:
    """Refuse outputs that are further from PyTorch's than the precision explains."""
    for kind, session in sessions.items():
        name = session.get_outputs()[0].name
        (found,) = session.run([name], {"pixel_values": clips.cpu().numpy()})
        limit = {"fp32": 1e-4, "fp16": 2e-2}[kind] * (100 if name == "center" else 1)
        expected = getattr(output, name).cpu()
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=limit, rtol=limit)


PARTS: Mapping[str, Callable[[Scale], Rows]] = {
    "base": base,
    "tiny": lambda scale: of_size("tiny", scale.tiny, scale),
    "giant": lambda scale: of_size("giant", (scale.giant,), scale),
    "pretraining": pretraining,
    "tracker": tracker,
    "engines": engines,
    "onnx": onnx,
}


@contextmanager
def told(part: str, failed: list[str]) -> Iterator[None]:
    """Say how long a part took; one that fails is noted, and the others go on."""
    begin = time.perf_counter()
    try:
        yield
    except Exception:
        traceback.print_exc()
        failed.append(part)
    print(f"== {part}: {time.perf_counter() - begin:.0f} s", flush=True)


def main() -> int:
    """Measure all parts, print and keep; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    options = parser.parse_args()
    scale, rows, failed = SMOKE if options.smoke else WHOLE, {}, []
    for part in options.parts:
        with told(part, failed):
            found = PARTS[part](scale)
            rows |= found
            if not options.smoke:
                keep(f"gpu_{part}", found, {}, scale.device)
        torch.compiler.reset()  # which counts what it compiles, and gives up at eight
        if scale.device == "cuda":
            torch.cuda.empty_cache()
    print_table([("", "median"), *((name, f"{row['value']:.3f}") for name, row in rows.items())])
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
