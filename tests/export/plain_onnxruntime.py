"""Run an exported model on temperatures in kelvin: plain_onnxruntime.py MODEL.onnx CLIP.npz

The clip has an array (time, y, x) a channel and, for trackers, the tile_offset of its first pixel.
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
stored = np.load(sys.argv[2])
clip = np.stack([stored[name] for name in json.loads(about["medicane.channels"])], axis=1)
feeds = {"brightness_temperature": clip[None].astype(np.float32)}
if "tile_offset" in [tensor.name for tensor in session.get_inputs()]:
    feeds["tile_offset"] = stored["tile_offset"][None]
names = [tensor["name"] for tensor in json.loads(about["medicane.outputs"])]
values = dict(zip(names, session.run(names, feeds), strict=True))
if about["medicane.task"] == "classification":
    shares = dict(
        zip(json.loads(about["medicane.labels"]), values["probabilities"][0], strict=True)
    )
    values["detected"] = shares["cyclone"] >= float(about["medicane.threshold"])
json.dump({name: np.asarray(value).tolist() for name, value in values.items()}, sys.stdout)
