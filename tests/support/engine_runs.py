"""Steps of a tiny classifier on drawn clips, in this process or in several."""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import multiprocessing

from medicane_models.errors import CheckpointError
from medicane_models.network.auto import model_class
from medicane_models.network.base import MedicaneModel
from medicane_models.network.configuration import MedicaneConfig, Task
from medicane_models.network.masking import tube_mask
from medicane_training.engines import deepspeed as deepspeed_engine
from medicane_training.engines.choice import make_engine
from medicane_training.engines.deepspeed import deepspeed_config
from medicane_training.engines.interface import Engine
from medicane_training.engines.optim import Rates
from medicane_training.ranks import Ranks, any_of, barrier, gathered, joined, mean, shared
from medicane_training.recipes.data_sections import DataSettings
from medicane_training.recipes.kinds import ClassificationRecipe
from medicane_training.recipes.sections import (
    EngineSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
)

ALONE = Ranks(rank=0, local_rank=0, world_size=1)
GLOBAL_BATCH = 8


SIZES = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_hidden_dim": 48}
DECODER = {
    "decoder_embed_dim": 12,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "decoder_mlp_hidden_dim": 24,
}


def tiny_model(task: Task = "classification", seed: int = 3, **changes: Any) -> MedicaneModel:
    torch.manual_seed(seed)
    fields = {"image_size": 16, "num_frames": 4, "in_channels": 1, "pixel_std": (0.25,)}
    config = MedicaneConfig(task=task, **fields | SIZES | DECODER | changes)
    return model_class(task)(config).train()


def make_recipe(
    engine: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    **optimizer: Any,
) -> ClassificationRecipe:
    return ClassificationRecipe(
        model=ModelSettings(),
        data=DataSettings(store="none"),
        optimizer=OptimizerSettings(
            **{"lr": 1e-2, "warmup_epochs": 1, "layer_decay": 0.8, "clip_norm": 1.0} | optimizer
        ),
        training=TrainingSettings(epochs=5, global_batch=GLOBAL_BATCH, **(training or {})),
        engine=EngineSettings(**{"device": "cpu"} | (engine or {})),
    )


def engine_for(
    recipe: ClassificationRecipe, ranks: Ranks = ALONE, *, frozen: bool = False, **changes: Any
) -> Engine:
    """An engine around a tiny model, of which only the head may learn where it is frozen."""
    model = tiny_model(**changes)
    if frozen:
        model.requires_grad_(False).get_submodule("head").requires_grad_(True)
    return make_engine(model, recipe, ranks, rates_of(recipe))


def rates_of(recipe: ClassificationRecipe) -> Rates:
    return Rates(recipe.optimizer, recipe.optimizer.highest_lr(GLOBAL_BATCH), 4, 5)


def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The clips and labels of all ranks; classes differ in brightness."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(0, 2, (GLOBAL_BATCH,), generator=generator)
    noise = torch.randn(GLOBAL_BATCH, 4, 1, 16, 16, generator=generator)
    return noise + labels[:, None, None, None, None], labels


def take_steps(
    engine: Engine, recipe: ClassificationRecipe, first: int, last: int, ranks: Ranks = ALONE
) -> tuple[list[float], list[float]]:
    """This rank's losses and the gradients' norms of steps ``first`` … ``last`` − 1."""
    losses, norms = [], []
    for number in range(first, last):
        losses.append(add_gradients(engine, recipe, number, ranks))
        norms.append(engine.gradient_norm())
        engine.step(number)
    return losses, norms


def add_gradients(
    engine: Engine, recipe: ClassificationRecipe, number: int, ranks: Ranks = ALONE
) -> float:
    clips, labels = (values[ranks.rank :: ranks.world_size] for values in draw(number))
    parts = recipe.training.accumulation
    losses = []
    for part, (some, labelled) in enumerate(
        zip(clips.chunk(parts), labels.chunk(parts), strict=True)
    ):
        with engine.autocast():
            loss = engine.forward(some, **targets(engine, labelled)).loss
        engine.backward(loss, last=part == parts - 1)
        losses.append(loss.item())
    return sum(losses) / parts


def targets(engine: Engine, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    if engine.model.task == "classification":
        return {"labels": labels}
    grid = engine.model.config.token_grid
    masked = tube_mask(grid, 0.5, generator=torch.Generator().manual_seed(0))
    return {"bool_masked_pos": masked.expand(len(labels), -1)}


def in_ranks(count: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(ranks, *arguments)`` in joined processes on this host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_join, (count, port, function, arguments), nprocs=count)


def _join(rank: int, count: int, port: int, function: Callable[..., None], arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with joined(EngineSettings(device="cpu")) as ranks:
        function(ranks, *arguments)


def state_of(engine: Engine) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


def record(folder: Path, ranks: Ranks, name: str, value: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(value, folder / f"{name}-{ranks.rank}.pt")


def recorded(folder: Path, name: str, rank: int = 0) -> Any:
    return torch.load(folder / f"{name}-{rank}.pt", weights_only=True)


def mean_losses(folder: Path, name: str) -> torch.Tensor:
    """Of two ranks, step by step."""
    return torch.tensor([recorded(folder, name, rank)[0] for rank in (0, 1)]).mean(0)


def exchange(ranks: Ranks, folder: Path) -> None:
    """What `medicane_training.ranks` makes of two ranks."""
    rank = ranks.rank
    record(folder, ranks, "mean", mean({"loss": 1.0 + rank, "rate": 0.1}, ranks))
    flags = [(False, False), (True, False), (False, True)]
    record(folder, ranks, "any", [any_of(pair[rank], ranks) for pair in flags])
    rows = {"clip": [10 * rank, 10 * rank + 1], "embedding": [np.full(2, rank)] * 2}
    table = gathered(pd.DataFrame(rows), ranks)
    lists = None if table is None else {name: np.stack(table[name]).tolist() for name in table}
    record(folder, ranks, "gathered", lists)
    record(folder, ranks, "shared", shared({"from": rank}, ranks))
    barrier(ranks)


DDP = {
    "whole": make_recipe(),
    "parts": make_recipe(training={"accumulation": 2, "ema_decay": 0.9}),
}


def take_ddp_steps(ranks: Ranks, folder: Path) -> None:
    """Six steps of each recipe, then from a checkpoint two more, twice."""
    for name, recipe in DDP.items():
        engine = engine_for(recipe, ranks, seed=3 + ranks.rank)  # rank 0's weights are taken
        record(folder, ranks, name, take_steps(engine, recipe, 0, 6, ranks))
        record(folder, ranks, f"{name}-state", state_of(engine))
        engine.save(folder / f"{name}-checkpoint")
        record(folder, ranks, f"{name}-later", take_steps(engine, recipe, 6, 8, ranks))
    clips, labels = draw(ranks.rank)
    engine.backward(engine.forward(clips, labels=labels).loss, last=False)
    record(folder, ranks, "partial", engine.model.head.weight.grad)
    resume_in_ranks(ranks, folder)


def resume_in_ranks(ranks: Ranks, folder: Path) -> None:
    recipe, dropout = DDP["parts"], {"head_drop_rate": 0.2, "drop_path_rate": 0.2}
    engine = engine_for(recipe, ranks, **dropout)
    record(folder, ranks, "drawn", torch.rand(3).tolist())
    take_steps(engine, recipe, 0, 2, ranks)
    engine.save(folder / "dropout")
    record(folder, ranks, "without a break", take_steps(engine, recipe, 2, 4, ranks))
    record(folder, ranks, "unbroken-state", state_of(engine))
    barrier(ranks)
    resumed = engine_for(recipe, ranks, seed=9, **dropout)
    resumed.load(folder / "dropout")
    record(folder, ranks, "again", take_steps(resumed, recipe, 2, 4, ranks))
    record(folder, ranks, "again-state", state_of(resumed))
    if ranks.rank == 1:
        (folder / "dropout" / "state-rank1.pt").unlink()
    try:
        resumed.load(folder / "dropout")
    except CheckpointError as error:
        record(folder, ranks, "failure", str(error))


STEM = {"stem": "residual", "stem_width": 4}
STEM_RECIPES = {
    "ddp": make_recipe({"backend": "ddp"}, {"ema_decay": 0.5}),
    "stage2": make_recipe({"backend": "deepspeed", "zero_stage": 2}, {"ema_decay": 0.5}),
    "stage3": make_recipe({"backend": "deepspeed", "zero_stage": 3}),
}


def take_steps_with_stems(ranks: Ranks, folder: Path) -> None:
    """Two steps of each recipe, and from a checkpoint two more, twice."""
    keep_output(folder / f"stems-printed-{ranks.rank}")
    for name, recipe in STEM_RECIPES.items():
        engine = engine_for(recipe, ranks, **STEM)
        take_steps(engine, recipe, 0, 2, ranks)
        engine.save(folder / name / "checkpoint")
        record(folder / name, ranks, "state", running_statistics(engine.model))
        with engine.evaluated() as model:
            record(folder / name, ranks, "evaluated", running_statistics(model))
        record(folder / name, ranks, "last", take_steps(engine, recipe, 2, 4, ranks))
        barrier(ranks)
        resumed = engine_for(recipe, ranks, seed=4, **STEM)
        resumed.load(folder / name / "checkpoint")
        record(folder / name, ranks, "again", take_steps(resumed, recipe, 2, 4, ranks))


def running_statistics(model: MedicaneModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if "running" in name}


DEEPSPEED = {
    "stage1": make_recipe({"backend": "deepspeed", "zero_stage": 1}, {"accumulation": 2}),
    "stage2": make_recipe({"backend": "deepspeed", "zero_stage": 2}, {"accumulation": 2}),
    "stage3": make_recipe({"backend": "deepspeed", "zero_stage": 3}, {"accumulation": 2}),
    "stage0": make_recipe({"backend": "deepspeed", "zero_stage": 0}),
    "ema": make_recipe({"backend": "deepspeed", "zero_stage": 2}, {"ema_decay": 0.5}),
    "bf16": make_recipe({"backend": "deepspeed", "zero_stage": 2, "precision": "bf16"}),
    "frozen": make_recipe({"backend": "deepspeed", "zero_stage": 1, "precision": "bf16"}),
    "pretraining": make_recipe(
        {"backend": "deepspeed", "zero_stage": 3, "gradient_checkpointing": True}
    ),
}
TASKS: dict[str, Task] = {"pretraining": "pretraining"}


def kind_of(name: str) -> dict[str, Any]:
    """What `engine_for` is told of the model of a recipe."""
    return {"task": TASKS.get(name, "classification"), "frozen": name == "frozen"}


def divide_all(recipe: ClassificationRecipe, ranks: Ranks) -> dict[str, Any]:
    """DeepSpeed's configuration, but not sparing small tensors."""
    config = deepspeed_config(recipe, ranks)
    config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return config


def take_deepspeed_steps(ranks: Ranks, folder: Path) -> None:
    """Four steps of each recipe; the last two again from a checkpoint."""
    keep_output(folder / f"printed-{ranks.rank}")
    deepspeed_engine.deepspeed_config = divide_all
    for name, recipe in DEEPSPEED.items():
        engine = engine_for(recipe, ranks, **kind_of(name))
        record(folder / name, ranks, "first", take_steps(engine, recipe, 0, 2, ranks))
        engine.save(folder / name / "checkpoint")
        record(folder / name, ranks, "last", take_steps(engine, recipe, 2, 4, ranks))
        with engine.evaluated() as model:
            record(folder / name, ranks, "evaluated", model.state_dict())
        resumed = engine_for(recipe, ranks, seed=4, **kind_of(name))
        add_gradients(resumed, recipe, 0, ranks)
        resumed.skip()
        record(folder / name, ranks, "skipped", resumed.load(folder / name / "checkpoint"))
        record(folder / name, ranks, "again", take_steps(resumed, recipe, 2, 4, ranks))
    fail_to_go_on(ranks, folder)


def keep_output(path: Path) -> None:
    """Let all that this process prints, also below Python, go to a file."""
    sys.stdout.flush()
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def fail_to_go_on(ranks: Ranks, folder: Path) -> None:
    """Try checkpoints that do not fit."""
    if ranks.is_main:
        spoil(folder)
    barrier(ranks)
    engine = engine_for(DEEPSPEED["stage2"], ranks)
    for name in ("stage1", "more-ranks", "damaged", "no-files"):
        try:
            engine.load(folder / name / "checkpoint")
        except CheckpointError as error:
            record(folder, ranks, f"refused-{name}", str(error))


def spoil(folder: Path) -> None:
    """Make checkpoints of three processes, with half a file, and without DeepSpeed's files."""
    for name in ("more-ranks", "damaged", "no-files"):
        shutil.copytree(folder / "stage2" / "checkpoint", folder / name / "checkpoint")
    path = folder / "more-ranks" / "checkpoint" / "state-rank0.pt"
    torch.save(torch.load(path, weights_only=True) | {"world_size": 3}, path)
    for file in (folder / "damaged" / "checkpoint" / "deepspeed").glob("*rank_1*"):
        file.write_bytes(file.read_bytes()[:100])
    shutil.rmtree(folder / "no-files" / "checkpoint" / "deepspeed")
