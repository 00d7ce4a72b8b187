"""A repository that transformers opens by itself, verified by opening it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from medicane_export.comparing.parity import machine
from medicane_export.destination import (
    PARITY_FILE,
    REFUSED,
    present_files,
    write_readme,
)
from medicane_export.export_cards import transformers_card
from medicane_export.loaded_model import LoadedModel
from medicane_export.sample_clips import ClipSet, random_clips, simulated_clips
from medicane_models.checks import check_free
from medicane_models.errors import ConfigurationError, require
from medicane_models.files import json_text, move_all, read_json, replacing, staging
from medicane_models.hub import WEIGHTS_NAME
from medicane_models.network.configuration import CONFIG_NAME
from medicane_models.network.conversion import export_transformers
from medicane_models.network.pretraining import MedicaneForPreTraining
from medicane_models.network.videomae import transformers_config
from medicane_models.scenes.processing import PREPROCESSOR_FILE, MedicaneProcessor

__all__ = ["export_to_transformers"]

TOLERANCE = 1e-4
CLIPS = 4


def export_to_transformers(
    source: LoadedModel, out: Path, *, seed: int = 0, overwrite: bool = False
) -> tuple[Path, tuple[str, ...]]:
    """Write the repository and ``parity.json``.

    Args:
        source: a classifier or a pretraining model.
        out: new or empty, or an earlier export of the same model.
        seed: of the clips to compare on.
        overwrite: replace a repository that is there, if the new one is accepted.

    Returns:
        Where the files are, and what differs by more than TOLERANCE, in words; then they lie in
        ``out/refused``, and what was there stays.

    Raises:
        ConfigurationError: transformers cannot express the model, or the folder holds something
            else, or a repository not to be replaced, or another process writes there.
        MissingExtraError: transformers is not installed.
    """
    require("transformers", "export")
    config = transformers_config(source.model.config)
    with staging(out) as work:
        check_free(out / WEIGHTS_NAME, overwrite=overwrite)
        _check_folder(out, config)
        export_transformers(source.model, work)
        if source.processor is not None:
            _write_processor(source.processor, work)
        measured = [_compare(source, work, clips) for clips in _clips(source, seed)]
        faults = tuple(_faults(measured))
        place = out / REFUSED if faults else out
        _record(source, work, measured, faults)
        move_all(work, place, first=CONFIG_NAME)
        write_readme(place, transformers_card(source, out.name))
    return place, faults


def _faults(measured: list[dict[str, Any]]) -> Iterator[str]:
    for found in measured:
        if not found["max"] <= TOLERANCE:
            yield (
                f"logits differ by {found['max']:.2g} on {found['set']} clips, "
                f"more than {TOLERANCE:g}"
            )


def _check_folder(out: Path, config: dict[str, Any]) -> None:
    present = present_files(out)
    if not present:
        return
    path = out / CONFIG_NAME
    as_stored = json.loads(json.dumps(config))
    if not path.is_file() or read_json(path) != as_stored:
        raise ConfigurationError(
            f"{out} holds {present[0].name}, which is not of this model; give an empty or a new "
            "folder with --out"
        )


def _clips(source: LoadedModel, seed: int) -> list[ClipSet]:
    config, processor = source.model.config, source.processor
    chosen = {"count": CLIPS, "seed": seed}
    simulated = None if processor is None else simulated_clips(processor, **chosen)
    sets = (random_clips(config, processor, **chosen), simulated)
    return [clips for clips in sets if clips is not None]


@torch.inference_mode()
def _compare(source: LoadedModel, folder: Path, clips: ClipSet) -> dict[str, Any]:
    """Logits, or for pretraining the reconstruction, through the public way in."""
    import transformers

    pixels = torch.from_numpy(clips.pixel_values)
    if isinstance(source.model, MedicaneForPreTraining):
        peer = transformers.AutoModelForPreTraining.from_pretrained(folder).eval()
        tokens = source.model.config.num_tokens
        masks = (torch.arange(tokens) % 4 != 0).expand(len(pixels), -1)
        theirs = peer(pixels, bool_masked_pos=masks).logits
        ours = source.model(pixels, masks).reconstruction
    else:
        peer = transformers.AutoModelForVideoClassification.from_pretrained(folder).eval()
        theirs, ours = peer(pixels).logits, source.model(pixels).logits
    apart = (theirs - ours).abs()
    return {
        "set": clips.name,
        "clips": len(clips),
        "max": float(apart.max()),
        "mean": float(apart.mean()),
    }


def _write_processor(processor: MedicaneProcessor, folder: Path) -> None:
    """What transformers' own processor does with pictures stretched to 0 … 255."""
    values = {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": False,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": processor.mean,
        "image_std": processor.std,
    }
    with replacing(folder / PREPROCESSOR_FILE) as path:
        path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def _record(
    source: LoadedModel, out: Path, measured: list[dict[str, Any]], faults: tuple[str, ...]
) -> None:
    document = {
        "model": source.name,
        "revision": source.revision,
        "tolerance": TOLERANCE,
        "accepted": not faults,
        "sets": measured,
        "machine": machine("transformers"),
    }
    with replacing(out / PARITY_FILE) as path:
        path.write_text(json_text(document) + "\n", "utf-8")
