"""The optimiser with its parameter groups, and the rates it uses at each step."""

import math
from difflib import get_close_matches
from typing import Any

import torch
from timm.optim import (
    create_optimizer_v2,  # pyright: ignore[reportPrivateImportUsage]
    get_optimizer_info,  # pyright: ignore[reportPrivateImportUsage]
    list_optimizers,  # pyright: ignore[reportPrivateImportUsage]
)
from torch import nn

from medicane_models.errors import ConfigurationError
from medicane_training.recipes.sections import OptimizerSettings

__all__ = ["Rates", "apply", "make_optimizer"]


def make_optimizer(
    model: nn.Module, settings: OptimizerSettings, lr: float
) -> torch.optim.Optimizer:
    """An optimiser of timm for the parameters that are not frozen.

    Vectors, biases and what ``model.no_weight_decay()`` names have no weight decay. With layer
    decay the rate of layer i of L blocks is scaled by layer_decay^(L+1−i), the patch embedding
    being layer 0 and all that comes after the blocks layer L+1 (arXiv:2106.08254, as in timm).

    Args:
        model: with ``group_matcher`` and ``no_weight_decay``, on its device.
        settings: of the recipe.
        lr: highest learning rate.

    Raises:
        ConfigurationError: there is no such optimiser, it does not take a setting, or every
            parameter is frozen.
    """
    _check(settings)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigurationError("every parameter of the model is frozen; leave some to train")
    decays = settings.weight_decay or settings.final_weight_decay or 0.0
    optimizer = create_optimizer_v2(
        model,
        opt=settings.name,
        lr=lr,
        weight_decay=decays,  # which a schedule may start from 0
        layer_decay=settings.layer_decay if settings.layer_decay < 1 else None,
        **_options(model, settings),
    )
    for group in optimizer.param_groups:
        group["decays"] = group["weight_decay"] > 0
    return optimizer


def _check(settings: OptimizerSettings) -> None:
    known = [str(name) for name in list_optimizers()]
    if settings.name not in known:
        close = get_close_matches(settings.name, known, n=3) or ["adamw", "sgd"]
        raise ConfigurationError(
            f"optimizer.name {settings.name!r} is no optimiser of timm; did you mean "
            f"{', '.join(close)}?"
        )
    info = get_optimizer_info(settings.name)
    if info.second_order:
        raise ConfigurationError(
            f"optimizer.name {settings.name} needs second derivatives, which are not computed; "
            "take another, for example adamw"
        )
    count = info.num_betas if info.has_betas else 0
    if settings.betas is not None and count != 2:
        raise ConfigurationError(
            f"optimizer.name {settings.name} takes {count} betas, not {len(settings.betas)}; set "
            "optimizer.betas to null for its own"
        )
    if settings.eps is not None and not info.has_eps:
        raise ConfigurationError(
            f"optimizer.name {settings.name} takes no eps; set optimizer.eps to null"
        )


def _options(model: nn.Module, settings: OptimizerSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"betas": settings.betas, "eps": settings.eps}
    options = {name: value for name, value in options.items() if value is not None}
    on_gpu = all(parameter.is_cuda for parameter in model.parameters())
    if on_gpu and settings.name in ("adam", "adamw"):
        options["fused"] = True  # one kernel, and no copies of the moments
    return options


class Rates:
    """Learning rate and weight decay as functions of the number of steps taken before.

    They hold no state, so that a run that resumes at a step has its rates. The warm-up takes W
    steps, the run S. Linear: start + step·(highest − start)/W, reached at step W, and start is 0 if
    none is given, as in timm. Power law: start·x^a of x = step + 1 with a = ln(highest/start)/ln W,
    which gives start at the first and highest at the last step of the warm-up. Then a cosine from
    the highest to the final rate over the S − W steps that remain, or the highest.

    Args:
        settings: of the recipe.
        lr: highest learning rate.
        steps_per_epoch: optimiser steps.
        epochs: of the whole run.

    Raises:
        ConfigurationError: the warm-up is longer than the run.
    """

    def __init__(
        self, settings: OptimizerSettings, lr: float, steps_per_epoch: int, epochs: int
    ) -> None:
        self._settings = settings
        self._highest = lr
        self._steps = steps_per_epoch * epochs
        self._warmup = round(settings.warmup_epochs * steps_per_epoch)
        if settings.warmup_epochs > 0:
            self._warmup = max(1, self._warmup)
        if self._warmup > self._steps:
            raise ConfigurationError(
                f"optimizer.warmup_epochs is {settings.warmup_epochs:g} and training.epochs "
                f"{epochs}; make the warm-up shorter than the run"
            )

    def lr(self, step: int) -> float:
        """Learning rate of a layer that is not scaled, at step 0 and on."""
        if step < self._warmup:
            return self._warming_up(step)
        if self._settings.schedule == "constant":
            return self._highest
        share = (step - self._warmup) / max(1, self._steps - self._warmup)
        return _cosine(self._highest, self._settings.final_lr or 0.0, share)

    def weight_decay(self, step: int) -> float:
        """Of the parameters that have any; a cosine over all steps where it has an end value."""
        start, end = self._settings.weight_decay, self._settings.final_weight_decay
        return start if end is None else _cosine(start, end, step / self._steps)

    def _warming_up(self, step: int) -> float:
        start = self._settings.warmup_start_lr or 0.0
        if self._settings.warmup == "linear":
            return start + step * (self._highest - start) / self._warmup
        if self._warmup == 1:
            return start
        return start * (step + 1) ** (math.log(self._highest / start) / math.log(self._warmup))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def apply(optimizer: torch.optim.Optimizer, rates: Rates, step: int) -> None:
    """Give every parameter group its rates of a step."""
    for group in optimizer.param_groups:
        group["lr"] = rates.lr(step) * group.get("lr_scale", 1.0)
        if group["decays"]:
            group["weight_decay"] = rates.weight_decay(step)
