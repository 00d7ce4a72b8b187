"""What a model expects and returns, and what a scene holds, read without weights or pixels."""

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from medicane_models.diagnosis.headers import onnx_properties, tensor_shapes
from medicane_models.domain.projections import crs_text
from medicane_models.errors import CheckpointError, ConfigurationError, MissingFileError
from medicane_models.files import read_bytes, read_json, to_plain
from medicane_models.hub import WEIGHTS_NAME, HubOptions, local_folder, resolve_file, snapshot
from medicane_models.network.configuration import CONFIG_NAME, MODEL_TYPE, MedicaneConfig
from medicane_models.runtimes.onnx_metadata import OnnxMetadata, onnx_file_name
from medicane_models.runtimes.tensors import TensorInfo, clips_of, head_outputs, mask_of
from medicane_models.scenes.processing import ANY_SENSOR, Band, MedicaneProcessor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["description_of", "description_rows", "inspect_model", "inspect_scene"]

RUN_FILE = "run.yaml"
PARITY_FILE = "parity.json"
FOREIGN_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".safetensors"}
NESTED = {"inputs", "outputs", "clips", "grid", "files", "parity", "bands", "times"}

Description = dict[str, Any]


def description_of(
    source: str | Path,
    *,
    revision: str | None = None,
    extent: str | None = None,
    reader: str | None = None,
) -> Description:
    """Of a scene or else of a model, as :func:`inspect_scene` and :func:`inspect_model`.

    Raises:
        ConfigurationError: if a revision of a scene is asked for, or how to open a model.
    """
    from medicane_models.scenes.opening import is_scene

    opening = {"extent": extent, "reader": reader}
    of_scenes = [f"{name} is {value!r}" for name, value in opening.items() if value is not None]
    shows_a_scene = is_scene(source) or (reader is not None and Path(source).exists())
    if _is_model_folder(Path(source)) or not shows_a_scene:
        if of_scenes:
            raise ConfigurationError(f"{of_scenes[0]} and {source} is no scene; leave it out")
        return inspect_model(source, revision=revision)
    if revision is not None:
        raise ConfigurationError(
            f"revision is {revision!r} and {source} is a scene, which has none; leave it out"
        )
    return inspect_scene(source, **opening)


def _is_model_folder(folder: Path) -> bool:
    named = any((folder / name).is_file() for name in (CONFIG_NAME, RUN_FILE))
    return named or (folder.is_dir() and any(folder.glob("*.onnx")))


def inspect_model(source: str | Path, **hub_options: Unpack[HubOptions]) -> Description:
    """What a model is, takes and gives, ready for JSON.

    Args:
        source: a model's or training run's folder, an exported file, an embedded name or a Hub id.
        **hub_options: where to look.

    Raises:
        CheckpointError: there is no model, or its files are damaged.
        ConfigurationError: it is a file of weights alone, or another package's model.
    """
    path = Path(source)
    if path.suffix == ".onnx" and path.is_file():
        return {"source": str(source), "kind": "ONNX file", **_exported(path)}
    if path.suffix in FOREIGN_SUFFIXES and path.is_file():
        raise ConfigurationError(
            f"{path} holds weights alone; give its folder, or run: medicane convert {path} --out "
            "DIR"
        )
    folder = local_folder(source)
    if folder is not None and (folder / RUN_FILE).is_file():
        return {"source": str(source), "kind": "training run", **_run(folder)}
    kind = "folder" if folder is not None else "Hub repository"
    if folder is not None and not (folder / WEIGHTS_NAME).is_file() and any(folder.glob("*.onnx")):
        return {"source": str(source), "kind": kind, **_only_exported(source)}
    try:
        config = resolve_file(source, CONFIG_NAME, **hub_options)
    except MissingFileError:
        return {"source": str(source), "kind": kind, **_only_exported(source, **hub_options)}
    values = read_json(config)
    if values.get("model_type") == "videomae":
        return {"source": str(source), **_videomae(values, source)}
    if values.get("model_type", MODEL_TYPE) != MODEL_TYPE:
        raise ConfigurationError(
            f"{source} is a model of type {values['model_type']!r}, which this package does not "
            "know; medicane convert reads VideoMAE"
        )
    return {"source": str(source), "kind": kind, **_model(source, config, **hub_options)}


def inspect_scene(
    source: str | Path, *, extent: str | None = None, reader: str | None = None
) -> Description:
    """What satellite files hold, ready for JSON; no pixel is read.

    Args:
        source: files, a folder or an URL.
        extent: where grey pictures lie, as ``open_scene`` takes it.
        reader: of satpy, for raw files; default is told by their names.

    Raises:
        SceneError: as ``open_scene``.
    """
    from medicane_models.scenes.clips import frame_times
    from medicane_models.scenes.instruments import band_text
    from medicane_models.scenes.opening import open_scene, scene_grid

    scene = open_scene(source, extent=extent, reader=reader)
    times, told, grid = frame_times(scene), scene.attrs, scene_grid(scene)
    return {
        "source": str(source),
        "kind": "scene",
        **{name: told[name] for name in ("platform", "sensor", "time_convention")},
        "bands": {
            name: band_text(told["sensor"], told["platform"], str(name)) for name in scene.data_vars
        },
        "times": {
            "frames": len(times),
            "first": f"{times[0]:%Y-%m-%dT%H:%M:%SZ}",
            "last": f"{times[-1]:%Y-%m-%dT%H:%M:%SZ}",
            **_spacing(times),
        },
        "extent": dict(zip(("west", "south", "east", "north"), grid.borders, strict=True)),
        "grid": grid.to_dict(),
    }


def _spacing(times: "pd.DatetimeIndex") -> dict[str, Any]:
    """Minutes from a frame to the next; regular are times of which most are one step apart."""
    apart = sorted((later - time).total_seconds() / 60 for time, later in pairwise(times))
    if not apart:
        return dict.fromkeys(("median_minutes", "least_minutes", "most_minutes", "regular"))
    median = apart[len(apart) // 2]
    near = [abs(step - median) <= median / 10 for step in apart]
    return {
        "median_minutes": median,
        "least_minutes": apart[0],
        "most_minutes": apart[-1],
        "regular": 2 * sum(near) > len(near),
    }


def _model(source: str | Path, config_file: Path, **hub_options: Unpack[HubOptions]) -> Description:
    config = MedicaneConfig.from_pretrained(source, **hub_options)
    try:
        processor = MedicaneProcessor.from_pretrained(source, **hub_options)
    except MissingFileError:
        processor = None
    return {
        **_facts(config, processor),
        "inputs": to_plain(_inputs(config)),
        "outputs": to_plain(_outputs(config)),
        "revision": snapshot(config_file),
        **_weights(source, **hub_options),
        **_beside(config_file.parent),
    }


def _run(folder: Path) -> Description:
    """A run through training is a model's folder; one that is not has checkpoints."""
    import yaml

    newest = max(folder.glob("checkpoints/step-*"), default=folder)
    place = folder if (folder / CONFIG_NAME).is_file() else newest
    if not (place / CONFIG_NAME).is_file():
        raise CheckpointError(f"{folder} is a run without a checkpoint yet; look again later")
    try:
        told = yaml.safe_load(read_bytes(folder / RUN_FILE).decode("utf-8")).get("run", {})
    except (OSError, ValueError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{folder / RUN_FILE} is damaged ({reason}); copy it again"
        ) from error
    state = "finished" if place == folder else f"unfinished, newest is {newest.name}"
    scores = folder / "scores.json"
    return {
        "state": state,
        "run": told,
        **_model(place, place / CONFIG_NAME),
        "scores": read_json(scores) if scores.is_file() else None,
    }


def _exported(path: Path) -> Description:
    metadata = OnnxMetadata.from_properties(onnx_properties(path), str(path))
    return {
        **_facts(metadata.config, metadata.processor),
        "contents": metadata.contents,
        "input_form": metadata.input_form,
        "precision": metadata.precision,
        "quantisation": metadata.quantisation or None,
        "inputs": to_plain(metadata.inputs),
        "outputs": to_plain(metadata.outputs),
        "exported_from": metadata.model,
        "revision": snapshot(path) or metadata.revision,
        "opset": metadata.opset,
        "versions": dict(metadata.versions),
        **_beside(path.parent, f"{path.stem}.onnx*"),
    }


def _only_exported(source: str | Path, **hub_options: Unpack[HubOptions]) -> Description:
    folder = local_folder(source)
    names = sorted(path.name for path in folder.glob("*.onnx")) if folder else []
    try:
        path = resolve_file(source, (names or [onnx_file_name()])[0], **hub_options)
    except MissingFileError:
        raise MissingFileError(
            f"{source} holds neither {CONFIG_NAME} nor {onnx_file_name()}; give a model's folder, "
            "a training run, an .onnx file or a Hub id"
        ) from None
    return _exported(path) | _beside(path.parent)


def _videomae(values: Mapping[str, Any], source: str | Path) -> Description:
    told = ("architectures", "image_size", "patch_size", "num_frames", "tubelet_size",
            "num_channels", "hidden_size", "num_hidden_layers", "num_attention_heads")  # fmt: skip
    return {
        "kind": "transformers VideoMAE",
        **{name: values[name] for name in told if name in values},
        "labels": list(values["id2label"].values()) if "id2label" in values else None,
        "hint": f"run: medicane convert {source} --out DIR, and use DIR",
    }


def _facts(config: MedicaneConfig, processor: MedicaneProcessor | None) -> Description:
    """What the configuration and the processor say, in the words of their users."""
    facts: Description = {
        "task": config.task,
        "trained_on": config.trained_on,
        "data_kind": config.data_kind,
    }
    if config.task == "classification":
        facts["labels"] = [config.id2label[index] for index in sorted(config.id2label)]
        facts |= {"threshold": config.threshold, "temperature": config.temperature}
    if config.task == "tracking":
        facts["head"] = config.head
    told = ("stem", "depth", "embed_dim", "num_heads", "mlp_hidden_dim", "patch_size")
    facts["network"] = {name: getattr(config, name) for name in told} | {
        "tubelet_size": config.tubelet_size,
        "tokens": config.num_tokens,
    }
    if processor is None:
        return facts | {"clips": None, "grid": None}
    clips = processor.to_dict() | {"channels": list(processor.channels)}
    grid = clips.pop("grid")
    if processor.uses_planes:
        return facts | {"clips": clips | {"plane_km": processor.grid.x_step / 1000}, "grid": None}
    return facts | {"clips": clips, "grid": grid}


def _inputs(config: MedicaneConfig) -> tuple[TensorInfo, ...]:
    masks = (mask_of(config, "bool_masked_pos"),) if config.task == "pretraining" else ()
    return clips_of(config), *masks


def _outputs(config: MedicaneConfig) -> tuple[TensorInfo, ...]:
    if config.task != "pretraining":
        return head_outputs(config)
    shape, axes = ("tokens", config.token_values), ("token", "value")
    text = "Normalised pixels of the decoded tokens."
    return (TensorInfo.of_clips("reconstruction", shape, axes, text),)


def _weights(source: str | Path, **hub_options: Unpack[HubOptions]) -> Description:
    """Number and type of the parameters, from the header of the weights alone."""
    try:
        shapes = tensor_shapes(source, **hub_options)
    except MissingFileError:
        return {"parameters": None, "precision": None}
    types: dict[str, int] = {}
    for dtype, shape in shapes:
        types[dtype] = types.get(dtype, 0) + prod(shape)
    names = sorted(types, key=types.__getitem__, reverse=True)
    return {"parameters": sum(types.values()), "precision": ", ".join(names)}


def _beside(folder: Path, pattern: str = "*") -> Description:
    """Files with their sizes in bytes, and the exported ones' comparison with torch."""
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    sizes = {path.name: path.stat().st_size for path in files}
    parity = folder / PARITY_FILE
    variants = read_json(parity)["variants"] if parity.is_file() else {}
    compared = {name: variants[name] for name in variants if name in sizes}
    return {"files": sizes, "parity": compared if pattern != "*" else variants}


def description_rows(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A description as labels and lines for a person."""
    rows = [(key, _text(key, value)) for key, value in description.items() if key not in NESTED]
    for key in ("inputs", "outputs"):
        rows += [(key[:-1], _tensor_text(info)) for info in description.get(key, ())]
    rows += [("parity", _parity_text(*item)) for item in description.get("parity", {}).items()]
    rows += [("band", f"{name} = {text}") for name, text in description.get("bands", {}).items()]
    if times := description.get("times"):
        rows.append(("times", _times_text(times)))
    if clips := description.get("clips"):
        rows += _clip_rows(clips)
    if grid := description.get("grid"):
        size = f"{grid['width']} × {grid['height']} px"
        step = f"{abs(grid['x_step']):g} × {abs(grid['y_step']):g}"
        rows.append(("grid", f"{size} of {step} in {crs_text(grid['crs'])}"))
    rows += [("file", f"{name}, {_size(n)}") for name, n in description.get("files", {}).items()]
    return [(label.replace("_", " "), text) for label, text in rows]


def _times_text(times: Mapping[str, Any]) -> str:
    told = f"{times['frames']} from {times['first']} to {times['last']}"
    if times["median_minutes"] is None:
        return told
    if times["regular"]:
        return f"{told}, every {times['median_minutes']:g} min"
    least, most = (_duration(times[which]) for which in ("least_minutes", "most_minutes"))
    return f"{told}, irregular, from {least} to {most} apart"


def _duration(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.3g} min"
    return f"{minutes / 60:.3g} h" if minutes < 48 * 60 else f"{minutes / 1440:,.0f} days"


def _clip_rows(clips: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "clips",
            f"{clips['num_frames']} frames every {clips['cadence_minutes']:g} min, "
            f"{_tile_text(clips)}, at most {clips['max_missing']} frames missing; times mean "
            f"{clips['time_convention'].replace('_', ' ')}",
        ),
        ("channels", f"{', '.join(clips['channels'])} of {_sensor_text(clips)}, in kelvin"),
        *(("band", f"{band['name']} = {Band(**band)}") for band in clips["bands"]),
    ]


def _tile_text(clips: Mapping[str, Any]) -> str:
    if "plane_km" not in clips:
        return f"tiles of {clips['tile_size']} px"
    return f"planes of {clips['tile_size']} px of {clips['plane_km']:g} km anywhere on Earth"


def _sensor_text(clips: Mapping[str, Any]) -> str:
    return "any imager" if clips["sensor"] == ANY_SENSOR else clips["sensor"]


def _text(key: str, value: Any) -> str:
    if key == "trained_on" and value is None:
        return "nothing: UNTRAINED, its outputs mean nothing"
    if key == "data_kind" and value is None:
        return "not stated"
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text('', item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text("", item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if key == "parameters" else f"{value}"


def _parity_text(name: str, variant: Mapping[str, Any]) -> str:
    sets = [f"{found['clips']} {kind}" for kind, found in variant.get("sets", {}).items()]
    verdict = "like torch" if variant["accepted"] else f"refused: {'; '.join(variant['faults'])}"
    return f"{name} {verdict}, on {' and '.join(sets) or 'no'} clips"


def _tensor_text(info: Mapping[str, Any]) -> str:
    shape = " × ".join(
        str(size) if size == axis else f"{axis} {size}"
        for size, axis in zip(info["shape"], info["axes"], strict=True)
    )
    units = "" if info["units"] == "1" else f" in {info['units']}"
    return f"{info['name']} {info['dtype']}{units} ({shape}): {info['description']}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
