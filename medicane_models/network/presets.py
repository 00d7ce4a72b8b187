"""Sizes of models by name, and what an untrained one has not found out yet."""

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS", "UNTRAINED"]


def _size(dim: int, depth: int, heads: int, decoder: tuple[int, int, int], **more: Any) -> dict:
    sizes = {"embed_dim": dim, "depth": depth, "num_heads": heads, "mlp_hidden_dim": 4 * dim}
    names = ("decoder_embed_dim", "decoder_num_heads", "decoder_mlp_hidden_dim")
    return sizes | dict(zip(names, decoder, strict=True)) | more


UNTRAINED: Mapping[str, Any] = {
    "temperature": 1.0,
    "threshold": 0.5,
    "error_covariance_px": None,
    "guess_power": 1.0,
    "guess_slope": 0.0,
    "trained_on": None,
    "data_kind": None,
}
"""What training finds out, as it stands in a model that is yet to be trained."""

INFRARED: Mapping[str, Any] = {
    "image_size": 112,
    "num_frames": 4,
    "tubelet_size": 4,
    "in_channels": 2,
    "stem": "residual",
    "position": "sinusoid_3d",
    "decoder_depth": 2,
    "heatmap_stride": 2,
    "heatmap_features": True,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": _size(192, 12, 3, (96, 3, 384)),
    "small": _size(384, 12, 6, (192, 3, 768)),
    "base": _size(768, 12, 12, (384, 6, 1536)),
    "large": _size(1024, 24, 16, (512, 8, 2048)),
    "huge": _size(1280, 32, 16, (512, 8, 2048)),
    "giant": _size(1408, 40, 16, (512, 8, 2234), patch_size=14, mlp_hidden_dim=6144),
    "infrared": _size(192, 2, 3, (96, 3, 384), **INFRARED, stem_width=16),
    "infrared-light": _size(192, 2, 3, (96, 3, 384), **INFRARED, stem_width=8),
}
"""Sizes as published with VideoMAE and VideoMAEv2; tiny is DeiT's, with a decoder half as wide.

The infrared ones are ours, for training on CPUs: four frames of a local plane and a channel that
says what was seen, most of the computation in the stem, cells of two pixels.
"""
