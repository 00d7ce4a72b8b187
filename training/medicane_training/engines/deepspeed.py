"""Steps carried out by DeepSpeed, which divides optimiser, gradients and weights among the ranks.

Stage 0 divides nothing, 1 the optimiser's state, 2 the gradients too, 3 the weights too
(arXiv:1910.02054). DeepSpeed's configuration is made from the recipe; there is no other source.
"""

import logging
import math
import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from medicane_models.errors import CheckpointError, ConfigurationError, require
from medicane_models.network.base import MedicaneModel
from medicane_training.engines.interface import Engine, evaluating
from medicane_training.engines.optim import Rates
from medicane_training.engines.state import (
    read_state,
    restore_random,
    together,
    torch_writing,
    write_state,
)
from medicane_training.ranks import Ranks, own_device
from medicane_training.recipes.kinds import Recipe

__all__ = ["DeepSpeedEngine", "deepspeed_config"]

TAG = "deepspeed"
"""Folder of DeepSpeed's own files in a checkpoint."""

PRECISIONS = {"fp32": None, "bf16": "bfloat16"}
UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, AssertionError, pickle.PickleError,
)  # fmt: skip


class DeepSpeedEngine(Engine):
    """A model trained by DeepSpeed; its parameters are empty between steps at stage 3."""

    def __init__(self, model: MedicaneModel, recipe: Recipe, ranks: Ranks, rates: Rates) -> None:
        config = deepspeed_config(recipe, ranks)
        self._deepspeed = load_deepspeed(own_device(recipe.engine, ranks))
        self._stage: int = config["zero_optimization"]["stage"]
        self._whole = deepcopy(model) if self._stage == 3 else model
        super().__init__(model, recipe, ranks, rates)
        self._module = _Named(model)
        with _quietly(), _told_local_rank(ranks):
            self._engine: Any = self._deepspeed.initialize(
                args=SimpleNamespace(device_rank=self.device.index or 0),
                model=self._module,
                optimizer=self._optimizer,
                config=config,
                dist_init_required=False,
            )[0]
        self._optimizer = self._engine.optimizer
        self._begin()

    def forward(self, *args: Any, **options: Any) -> Any:
        """The model, wrapped by DeepSpeed."""
        self._engine.set_gradient_accumulation_boundary(self._at_last_part)
        named = self._engine(*args, **options)
        return self._module.output(**named)

    def _add_gradients(self, loss: Tensor) -> None:
        self._engine.backward(loss)  # which divides by the number of parts

    def gradient_norm(self) -> float:
        """Of all ranks, as DeepSpeed has measured it where it divides gradients."""
        if self._stage == 0:
            gradients = [value.grad for value in self.model.parameters() if value.grad is not None]
            norms = [nn.utils.get_total_norm(gradients).item()]
        elif self._stage == 3:
            norms = [float(norm) for norm in self._optimizer._get_norm_groups()]
        else:
            norms = [float(self._optimizer.scaled_global_norm())]
        # DeepSpeed says −1 where a norm is not finite
        return math.hypot(*norms) if all(norm >= 0 for norm in norms) else math.inf

    def _update(self) -> None:
        self._engine.step()

    def skip(self) -> None:
        """Drop the gradients."""
        optimizer = self._optimizer
        if self._stage in (1, 2):  # as its own step does after an overflow
            optimizer.micro_step_id = -1
            for held in (optimizer.averaged_gradients, optimizer.all_grad_tensors):
                held.update(dict.fromkeys(held))
        optimizer.zero_grad(set_to_none=True)
        self._parts = 0

    @contextmanager
    def evaluated(self) -> Iterator[MedicaneModel]:
        """The model to judge with, in evaluation mode: the EMA's weights where there is one.

        At stage 3 a copy with all weights on every rank, so that ranks may judge different numbers
        of clips.
        """
        self._gather(keep=True)
        model = self._ema.module if self._ema else self._whole
        with evaluating(model.to(self.device)):
            yield model
        if self._stage == 3:
            model.cpu()

    def save(self, folder: Path) -> None:
        """Write the whole model by rank 0, and beside it what DeepSpeed needs to go on."""
        self._gather(keep=self._ranks.is_main)
        # first, since ranks wait for each other in it: none must have failed to write before
        with _quietly(), torch_writing():
            self._engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        state = {"zero_stage": self._stage}
        write_state(folder, state, steps=self._steps, ranks=self._ranks, device=self.device)
        if not self._ranks.is_main:
            return
        for script in folder.glob("zero_to_*.py"):  # the whole model is written here
            script.unlink()
        self._save_weights(folder, self._whole)

    def load(self, folder: Path) -> str | None:
        """Go on from :meth:`save` with as many ranks and the same stage.

        DeepSpeed's own files are pickles, which can hold any program: load only a checkpoint that a
        run of yours has written, never one that came from elsewhere.

        Raises:
            CheckpointError: a file is missing or damaged on some rank, or the checkpoint is of
                another number of ranks or stage.
        """
        with together(self._ranks, folder):
            own = self._read(folder)
            ema = self._read_ema(folder)
        with together(self._ranks, folder):
            try:
                with _quietly():
                    found, _ = self._engine.load_checkpoint(str(folder), tag=TAG)
                if found is None:
                    raise FileNotFoundError("files are missing")
            except UNREADABLE as error:
                reason = str(error).partition("\n")[0] or "files are missing"
                raise CheckpointError(
                    f"{folder / TAG} cannot be read ({reason}); resume from another checkpoint"
                ) from error
        self._load_ema(ema)
        self._steps, self._parts = own["steps"], 0
        restore_random(own["random"], self.device)
        return None

    def _read(self, folder: Path) -> dict[str, Any]:
        state = read_state(folder, 0)
        if (stage := state.get("zero_stage")) != self._stage:
            raise CheckpointError(
                f"{folder} was written with engine.zero_stage {stage} and the recipe says "
                f"{self._stage}; resume with the recipe in run.yaml"
            )
        if (count := state["world_size"]) != self._ranks.world_size:
            raise CheckpointError(
                f"{folder} was written by {count} processes and DeepSpeed cannot go on with "
                f"{self._ranks.world_size}; start {count}, or begin a new run from its weights "
                "with model.init"
            )
        return read_state(folder, self._ranks.rank)

    def _gather(self, *, keep: bool) -> None:
        """Collect all weights in the whole model on the ranks that ``keep`` them."""
        if self._stage < 3:
            return
        places = dict(self._whole.named_parameters())
        for name, parameter in self.model.named_parameters():
            with self._deepspeed.zero.GatheredParameters([parameter]):
                if keep:
                    places[name].data.copy_(parameter.data)
        for place, buffer in zip(self._whole.buffers(), self.model.buffers(), strict=True):
            place.copy_(buffer)  # running statistics, which every rank has


class _Named(nn.Module):
    """A model whose outputs are a dictionary, in which DeepSpeed finds the tensors.

    It stands in for the model's own call, since at stage 3 DeepSpeed fetches a module's weights for
    the backward pass when it has seen the module's outputs.
    """

    output: type

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **options: Any) -> dict[str, Any]:
        output = self.model.forward(*args, **options)
        self.output = type(output)
        return {item.name: getattr(output, item.name) for item in fields(output)}


def deepspeed_config(recipe: Recipe, ranks: Ranks) -> dict[str, Any]:
    """What DeepSpeed is told.

    Raises:
        ConfigurationError: it cannot do what the recipe says.
    """
    _check(recipe)
    training, parts = recipe.training, recipe.training.accumulation
    if training.global_batch % (ranks.world_size * parts):
        raise ConfigurationError(
            f"training.global_batch is {training.global_batch}, which {ranks.world_size} processes "
            f"cannot share in {parts} equal parts; make it a multiple of {ranks.world_size * parts}"
        )
    config: dict[str, Any] = {
        "train_batch_size": training.global_batch,
        "train_micro_batch_size_per_gpu": training.global_batch // (ranks.world_size * parts),
        "gradient_accumulation_steps": parts,
        "gradient_clipping": recipe.optimizer.clip_norm or 0.0,
        "zero_optimization": {"stage": _stage(recipe)},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
    }
    if (dtype := PRECISIONS[recipe.engine.precision]) is not None:
        # no modules whose gradients travel in 16 bits, as with DDP
        config["torch_autocast"] = {
            "enabled": True,
            "dtype": dtype,
            "lower_precision_safe_modules": [],
        }
    return config


def _stage(recipe: Recipe) -> int:
    return 1 if recipe.engine.zero_stage is None else recipe.engine.zero_stage


def _check(recipe: Recipe) -> None:
    if recipe.engine.precision not in PRECISIONS:
        raise ConfigurationError(
            f"engine.precision is {recipe.engine.precision}, with which DeepSpeed would round the "
            "parameters too; set it to bf16 or fp32, or engine.backend to ddp"
        )
    if recipe.engine.compile:
        raise ConfigurationError(
            "engine.compile does not go with engine.backend deepspeed; set compile to false, or "
            "the backend to ddp"
        )
    if recipe.training.ema_decay is not None and _stage(recipe) == 3:
        raise ConfigurationError(
            "training.ema_decay needs all weights on every rank, which engine.zero_stage 3 does "
            "not keep there; set ema_decay to null, or zero_stage to 2"
        )


def load_deepspeed(device: torch.device) -> ModuleType:
    """DeepSpeed, silent except for errors, which go to stderr.

    Raises:
        MissingExtraError: it is not installed.
        ConfigurationError: it runs on other devices here.
    """
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    with _quietly():
        deepspeed = require("deepspeed", "deepspeed")
        accelerator = deepspeed.accelerator.get_accelerator().device_name()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if accelerator != device.type:
        raise ConfigurationError(
            f"DeepSpeed runs on {accelerator} here, and engine.device is {device.type}; set the "
            f"variable DS_ACCELERATOR to {device.type} before the start"
        )
    # DeepSpeed calls operators that newer versions of torch rename
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed\.")
    if device.type == "cpu":  # where gloo does the same without compiling for minutes
        with _quietly():
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what DeepSpeed says for developers from the results and the log."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)


@contextmanager
def _told_local_rank(ranks: Ranks) -> Iterator[None]:
    """Set the one variable that DeepSpeed insists on; mpirun and srun have their own."""
    former = os.environ.get("LOCAL_RANK")
    os.environ["LOCAL_RANK"] = str(ranks.local_rank)
    try:
        yield
    finally:
        if former is None:
            del os.environ["LOCAL_RANK"]
        else:
            os.environ["LOCAL_RANK"] = former
