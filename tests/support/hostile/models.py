"""Models: configurations, processors, weights in every format, exported files."""

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hostile.damage import WORDS, Draw, Kind, files_of
from hostile.tables import spoil_json
from medicane_models.diagnosis.inspection import inspect_model
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.checkpoints import check_values, read_file, read_folder
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.runtimes.onnx import OnnxModel
from medicane_models.runtimes.onnx_session import OnnxSettings
from medicane_models.scenes.processing import MedicaneProcessor

SIZES = {
    "image_size": 32, "patch_size": 16, "num_frames": 4, "tubelet_size": 2, "in_channels": 1,
    "pixel_std": [0.25], "embed_dim": 8, "depth": 1, "num_heads": 2, "mlp_hidden_dim": 8,
}  # fmt: skip


class Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("code-ran"),)


def model_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    model = MedicaneForVideoClassification(MedicaneConfig(task="classification", **SIZES))
    model.processor = MedicaneProcessor.infrared(
        low=300.0, high=200.0, mean=(0.5,), std=(0.25,), num_frames=4, tile_size=32
    )
    model.save_pretrained(folder)
    return folder


def described(given: Path) -> tuple[MedicaneConfig, MedicaneProcessor, Any]:
    return (
        MedicaneConfig.from_pretrained(given),
        MedicaneProcessor.from_pretrained(given),
        inspect_model(given),
    )


def wrong_model(model: Any) -> str:
    finite = all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    return "" if finite else "weights are not finite"


def pickled(folder: Path) -> Path:
    torch.manual_seed(0)
    weights = {"a.weight": torch.rand(5, 4), "a.bias": torch.rand(5)}
    torch.save({"model": weights, "epoch": 3, "args": {"lr": 0.1}}, folder / "checkpoint.pth")
    return folder / "checkpoint.pth"


def legacy_pickled(folder: Path) -> Path:
    weights = {"a.weight": torch.rand(5, 4), "a.bias": torch.rand(5)}
    torch.save(weights, folder / "old.bin", _use_new_zipfile_serialization=False)
    return folder / "old.bin"


def sharded(folder: Path) -> Path:
    from safetensors.torch import save_file

    for number in (1, 2):
        save_file({f"{number}.weight": torch.rand(3, 4)}, folder / f"model-{number}.safetensors")
    places = {f"{n}.weight": f"model-{n}.safetensors" for n in (1, 2)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def bare(folder: Path) -> Path:
    from safetensors.torch import save_file

    save_file({"a.weight": torch.rand(3, 4), "b": torch.rand(2)}, folder / "w.safetensors")
    return folder / "w.safetensors"


def read_foreign(given: Path) -> Any:
    found = read_folder(str(given)) if given.is_dir() else read_file(given)
    check_values(found.weights, str(given))
    return found


def wrong_foreign(found: Any) -> str:
    bad = [name for name, tensor in found.weights.items() if not torch.isfinite(tensor).all()]
    return f"{bad} are not finite" if bad else ""


def trapped(given: Path, draw: Draw) -> str:
    """A pickle that runs code."""
    files = files_of(given)
    path = files[draw.integers(len(files))]
    match draw.integers(3):
        case 0:
            path.write_bytes(pickle.dumps(Trap(), protocol=int(draw.integers(6))))
        case 1:
            torch.save({"model": {"a": torch.zeros(1)}, "x": Trap()}, path)
        case _:
            torch.save(Trap(), path, _use_new_zipfile_serialization=False)
    return f"{path.name}: a pickle with code"


def spoil_header(given: Path, draw: Draw) -> str:
    """The JSON that heads a safetensors file says something else."""
    files = files_of(given, "*.safetensors")
    path = files[draw.integers(len(files))]
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    name = sorted(set(header) - {"__metadata__"})[0]
    what = str(
        draw.choice(["shape", "dtype", "offsets", "name", "metadata", "long", "deep", "values"])
    )
    match what:
        case "shape":
            header[name]["shape"] = [int(draw.choice([0, 1, 2**31, 2**62])), 2]
        case "dtype":
            header[name]["dtype"] = str(draw.choice(["F64", "I8", "BOOL", "F8_E4M3", "X", "BF16"]))
        case "offsets":
            header[name]["data_offsets"] = [int(x) for x in draw.choice([0, 4, 2**40, 80], size=2)]
        case "name":
            header["../../outside"] = header.pop(name)
        case "metadata":
            header["__metadata__"] = [1] if draw.random() < 0.5 else {"format": "x" * 10**6}
        case "values":
            numbers = np.frombuffer(content[8 + length :], "<f4").copy()
            numbers[draw.integers(numbers.size)] = draw.choice([np.nan, np.inf])
            path.write_bytes(content[: 8 + length] + numbers.tobytes())
            return f"{path.name}: not finite"
    text = json.dumps(header).encode()
    told = len(text)
    if what == "long":
        told = int(draw.choice([2**63, 2**40, 10**8 - 1]))
    if what == "deep":
        text = b"[" * 10**6
        told = len(text)
    path.write_bytes(struct.pack("<Q", told) + text + content[8 + length :])
    return f"{path.name}: another {what} in the header"


def shard_outside(given: Path, draw: Draw) -> str:
    index = given / "model.safetensors.index.json"
    names = [
        "../outside.safetensors",
        "/etc/passwd",
        "..",
        "",
        ".",
        "a\nb",
        "C:\\x",
        "model-1.safetensors\0",
    ]
    name = names[draw.integers(len(names))]
    index.write_text(json.dumps({"weight_map": {"1.weight": name}}))
    return f"a shard called {name!r}"


def exported(folder: Path) -> Path:
    from onnx_files import write_onnx

    return write_onnx(folder / "model.onnx", "classification")


SETTINGS = OnnxSettings(threads=1, batch_size=1)


def run_exported(given: Path) -> np.ndarray:
    inspect_model(given)
    model = OnnxModel(given, ["probabilities"], device="cpu", settings=SETTINGS)
    clip = np.full(model.metadata.config.clip_shape, 0.25, np.float32)
    return next(iter(model.run([clip])))["probabilities"]


def spoil_metadata(given: Path, draw: Draw) -> str:
    """A value of what the file says about itself."""
    import onnx

    model = onnx.load(given)
    entry = model.metadata_props[draw.integers(len(model.metadata_props))]
    if entry.value[:1] in ("{", "[") and draw.random() < 0.7:
        document = Path("metadata.json")
        document.write_text(entry.value)
        what = spoil_json(document, draw)
        entry.value = document.read_text()
    else:
        what = WORDS[draw.integers(len(WORDS))].encode("utf-8", "replace").decode()
        entry.value = what
    onnx.save(model, given)
    return f"{entry.key}: {what[:100]}"


def external_data(given: Path, draw: Draw) -> str:
    """Weights that lie outside of the folder."""
    import onnx

    model = onnx.load(given)
    tensor = onnx.TensorProto(name="outside", data_type=1, dims=[4], data_location=1)
    places = ["../../../../etc/passwd", "/etc/passwd", "/dev/zero", "nowhere.data", "model.onnx"]
    for key, value in (
        ("location", places[draw.integers(len(places))]),
        ("length", "16"),
        ("offset", str(draw.choice([0, 2**40, -1]))),
    ):
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    given.write_bytes(model.SerializeToString())
    return "weights that lie elsewhere"


MODELS = {
    "configuration and processor": Kind(
        make=model_folder, read=described, is_text=True, others=(spoil_json,), share=3
    ),
    "model folder": Kind(
        make=model_folder, read=AutoMedicaneModel.from_pretrained, wrong=wrong_model,
        others=(spoil_header, spoil_json, trapped),
    ),
    "foreign safetensors": Kind(
        make=bare, read=read_foreign, wrong=wrong_foreign, others=(spoil_header, trapped), share=3
    ),
    "sharded safetensors": Kind(
        make=sharded, read=read_foreign, wrong=wrong_foreign,
        others=(spoil_header, shard_outside, spoil_json), share=2,
    ),
    "foreign .pth": Kind(
        make=pickled, read=read_foreign, wrong=wrong_foreign, others=(trapped,), share=3
    ),
    "foreign .bin of old": Kind(
        make=legacy_pickled, read=read_foreign, wrong=wrong_foreign, others=(trapped,), share=3
    ),
    "ONNX": Kind(
        make=exported, read=run_exported, others=(spoil_metadata, spoil_metadata, external_data),
    ),
}  # fmt: skip
