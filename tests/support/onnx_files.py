"""Tiny exported models whose answers are known: the coldest pixel of the last frame."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.parser
import pandas as pd
import xarray as xr
from scene_files import cf_dataset, kelvin

from medicane_models.domain import MEDITERRANEAN
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.runtimes.onnx_metadata import OnnxMetadata
from medicane_models.runtimes.tensors import TensorInfo
from medicane_models.scenes.processing import MedicaneProcessor

GRID = MEDITERRANEAN.window(600, 190, 80, 48)
PROCESSOR = MedicaneProcessor.infrared(
    low=300.0, high=200.0, mean=(0.0,), std=(1.0,), tile_size=32, num_frames=4, grid=GRID
)
COLDEST = (41, 20)  # column and row in GRID of the coldest pixel of the scene
SIZES = {
    "image_size": 32,
    "num_frames": 4,
    "in_channels": 1,
    "embed_dim": 24,
    "depth": 1,
    "num_heads": 2,
    "mlp_hidden_dim": 48,
    "trained_on": "a closed form",
    "data_kind": "real",
}
LAST_FRAME = """
  three = Constant<value_int = 3>()
  frame = Gather<axis = 1>(pixel_values, three)
"""
DETECTOR = f"""
<ir_version: 8, opset_import: ["" : 18]>
detector (float[batch,4,1,32,32] pixel_values) => (float[batch,2] probabilities) {{
  {LAST_FRAME}
  axes = Constant<value_ints = [1, 2, 3]>()
  highest = ReduceMax<keepdims = 0>(frame, axes)
  second = Constant<value_ints = [1]>()
  yes = Unsqueeze(highest, second)
  one = Constant<value_float = 1.0>()
  no = Sub(one, yes)
  probabilities = Concat<axis = 1>(no, yes)
}}"""
TRACKER = f"""
<ir_version: 8, opset_import: ["" : 18]>
tracker (float[batch,4,1,32,32] pixel_values)
  => (float[batch,2] center, float[batch,2,2] covariance) {{
  {LAST_FRAME}
  flat = Flatten<axis = 1>(frame)
  place = ArgMax<axis = 1, keepdims = 1>(flat)
  width = Constant<value_int = 32>()
  x = Mod(place, width)
  y = Div(place, width)
  xy = Concat<axis = 1>(x, y)
  center = Cast<to = 1>(xy)
  four = Constant<value_floats = [4.0, 0.0, 0.0, 4.0]>()
  shape = Constant<value_ints = [1, 2, 2]>()
  square = Reshape(four, shape)
  rows = Shape<start = 0, end = 1>(place)
  pair = Constant<value_ints = [2, 2]>()
  size = Concat<axis = 0>(rows, pair)
  covariance = Expand(square, size)
}}"""
GRAPHS = {"classification": DETECTOR, "tracking": TRACKER}


def tensor(name: str, *shape: int) -> TensorInfo:
    axes = tuple(f"axis {number}" for number in range(len(shape) + 1))
    return TensorInfo(
        name=name, dtype="float32", shape=("batch", *shape), axes=axes, units="1", description=name
    )


OUTPUTS = {
    "classification": (tensor("probabilities", 2),),
    "tracking": (tensor("center", 2), tensor("covariance", 2, 2)),
}


def metadata(task: str, **changes: object) -> OnnxMetadata:
    values = {
        "contents": "head",
        "input_form": "normalised",
        "precision": "fp32",
        "config": MedicaneConfig(task=task, **SIZES),
        "processor": PROCESSOR,
        "inputs": (tensor("pixel_values", 4, 1, 32, 32),),
        "outputs": OUTPUTS[task],
        "model": f"coldest-{task}",
        "revision": None,
        "opset": 18,
    }
    return OnnxMetadata(**(values | changes))


def write_onnx(
    path: Path, task: str, properties: Mapping[str, str] | None = None, **changes: object
) -> Path:
    """A file with metadata of the exporter's, or with the given ``properties``."""
    model = onnx.parser.parse_model(GRAPHS[task])
    told = metadata(task, **changes).to_properties() if properties is None else properties
    onnx.helper.set_model_props(model, dict(told))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def cold_scene(frames: int = 14) -> xr.Dataset:
    """Warm at 290 … 300 K but for one pixel of 210 K."""
    values = 290 + kelvin(frames, GRID) % 10
    x, y = COLDEST
    values[:, y, x] = 210
    index = pd.date_range("2020-09-17", periods=frames, freq="5min", unit="ns")
    scene = cf_dataset(values, index, grid=GRID, names=["IR_108"])
    return scene.assign_attrs(
        platform="Meteosat-11", sensor="seviri", time_convention="end_of_scan"
    )


def cold_position() -> tuple[float, float]:
    """Longitude and latitude of the pixel, by PROJ."""
    lon, lat = (float(v) for v in GRID.pixel_to_lonlat(*COLDEST))
    return lon, lat
