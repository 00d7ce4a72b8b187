"""Tiny models to export: two blocks, 32 pixels, four frames, weights far from their start."""

from pathlib import Path

import torch

from medicane_export.loaded_model import LoadedModel
from medicane_models.domain import MEDITERRANEAN
from medicane_models.network.auto import model_class
from medicane_models.network.base import MedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.scenes.processing import MedicaneProcessor

GRID = MEDITERRANEAN.window(600, 200, 100, 70)
PROCESSOR = MedicaneProcessor.airmass(tile_size=32, num_frames=4, max_missing=1, grid=GRID)
SIZES = {
    "image_size": 32,
    "num_frames": 4,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 3,
    "mlp_hidden_dim": 96,
    "decoder_embed_dim": 24,
    "decoder_depth": 2,
    "decoder_num_heads": 3,
    "decoder_mlp_hidden_dim": 48,
}
QUICK = {"count": 3}  # clips to compare on


def tiny_model(task: str = "classification", **settings: object) -> MedicaneModel:
    """A model whose every tensor is random, so that none can be mistaken for another."""
    torch.manual_seed(0)
    model = model_class(task)(MedicaneConfig.from_dict({**SIZES, "task": task, **settings})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return model


def tiny_source(
    task: str = "classification",
    processor: MedicaneProcessor | None = PROCESSOR,
    **settings: object,
) -> LoadedModel:
    return LoadedModel(
        model=tiny_model(task, **settings), processor=processor, name=f"tiny-{task}", revision=None
    )


def tiny_folder(path: Path, task: str = "classification", **settings: object) -> Path:
    model = tiny_model(task, **settings)
    model.processor = PROCESSOR
    model.save_pretrained(path)
    return path
