"""Names of the same tensors in other code bases, both ways with Hugging Face VideoMAE.

Our names are those of VideoMAEv2, so its checkpoints only lose wrappers and prefixes.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from medicane_models.errors import CheckpointError

__all__ = [
    "for_transformers",
    "from_2d_vit",
    "from_transformers",
    "from_videomae",
    "legacy_regression_head",
    "strip_prefixes",
    "unwrap",
]

Weights = dict[str, Tensor]

WRAPPERS = ("model", "module", "state_dict")
PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")
FIXED = ("pos_embed",)
"""Sinusoids that some versions store although they never change."""

_RENAMED = (
    (r"^cls_head\.fc_cls\.", "head."),
    (r"\bpatch_embed\.projection\.", "patch_embed.proj."),
    (r"\bmlp\.layers\.0\.0\.", "mlp.fc1."),
    (r"\bmlp\.layers\.1\.", "mlp.fc2."),
)
"""mmaction's names for VideoMAE's."""

_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_STACKS = {"encoder.blocks": "videomae.encoder.layer", "decoder.blocks": "decoder.decoder_layers"}
_SINGLES = {
    "encoder.patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
    "encoder.norm": "videomae.layernorm",
    "encoder_to_decoder": "encoder_to_decoder",
    "decoder.norm": "decoder.norm",
    "decoder.head": "decoder.head",
    "fc_norm": "fc_norm",
    "head": "classifier",
}


def unwrap(checkpoint: object) -> Weights:
    """The dictionary of tensors inside a training checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    while isinstance(checkpoint, Mapping):
        inner = next((checkpoint[key] for key in WRAPPERS if _is_mapping(checkpoint, key)), None)
        if inner is None:
            tensors = {k: v for k, v in checkpoint.items() if isinstance(v, Tensor)}
            if tensors:
                return tensors
            break
        checkpoint = inner
    raise CheckpointError(
        f"the checkpoint holds no tensors, neither bare nor under {', '.join(WRAPPERS)}"
    )


def strip_prefixes(weights: Mapping[str, Tensor]) -> Weights:
    """Names without what wrappers put in front of them."""
    plain = {}
    for name, tensor in weights.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        plain[name] = tensor
    return plain


def from_videomae(weights: Mapping[str, Tensor]) -> Weights:
    """Our names from VideoMAE's, VideoMAEv2's, mmaction's or the research code's."""
    weights = {_renamed(name): tensor for name, tensor in weights.items()}
    if not any(name.startswith(("decoder.", "mask_token")) for name in weights):
        weights = {name.removeprefix("encoder."): tensor for name, tensor in weights.items()}
    return split_qkv_bias(
        {k: v for k, v in weights.items() if k.removeprefix("encoder.") not in FIXED}
    )


def split_qkv_bias(weights: Weights) -> Weights:
    """Query and value biases from joint ones; the softmax cancels the key's."""
    result = {}
    for name, tensor in weights.items():
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)
            stem = name.removesuffix("qkv.bias")
            result |= {f"{stem}q_bias": query, f"{stem}v_bias": value}
        else:
            result[name] = tensor
    return result


def from_2d_vit(weights: Mapping[str, Tensor], tubelet_size: int) -> Weights:
    """Backbone from a timm ViT for pictures.

    The patch embedding is repeated over the tubelet and divided by its length, so that a still
    scene gives the tokens of the picture.
    """
    kernel = weights["patch_embed.proj.weight"]  # (d, c, p, p)
    inflated = kernel[:, :, None].repeat(1, 1, tubelet_size, 1, 1) / tubelet_size
    kept = {k: v for k, v in weights.items() if k.startswith(("patch_embed.", "blocks."))}
    return split_qkv_bias(kept | {"patch_embed.proj.weight": inflated})


def legacy_regression_head(weights: Weights) -> Weights:
    """A tracking head from the research code's older one, a linear map right after ``fc_norm``.

    The new head has a second norm. Normalising twice changes nothing (up to its epsilon, 5e-6
    of the output), so ``fc_norm``'s scale and shift move into the second one.
    """
    scale, shift = weights["fc_norm.weight"], weights["fc_norm.bias"]
    others = {k: v for k, v in weights.items() if k not in ("head.weight", "head.bias")}
    return others | {
        "fc_norm.weight": torch.ones_like(scale),
        "fc_norm.bias": torch.zeros_like(shift),
        "head.mlp.0.weight": scale,
        "head.mlp.0.bias": shift,
        "head.mlp.1.weight": weights["head.weight"],
        "head.mlp.1.bias": weights["head.bias"],
    }


def from_transformers(weights: Mapping[str, Tensor]) -> Weights:
    """Our names from those of Hugging Face's VideoMAE, of older versions too."""
    result = {
        ours: weights[theirs] for ours, theirs in _names(weights).items() if theirs in weights
    }
    for ours, theirs in _blocks(weights):
        attention = f"{theirs}.attention.attention"
        parts = [weights[f"{attention}.{part}.weight"] for part in ("query", "key", "value")]
        result[f"{ours}.attn.qkv.weight"] = torch.cat(parts)
        for letter, part in (("q", "query"), ("v", "value")):
            old, new = f"{attention}.{letter}_bias", f"{attention}.{part}.bias"
            result[f"{ours}.attn.{letter}_bias"] = weights[old if old in weights else new]
    return _without_encoder(result)


def for_transformers(weights: Mapping[str, Tensor]) -> Weights:
    """Hugging Face VideoMAE's names from ours."""
    weights = _with_encoder(weights)
    names = {
        ours: theirs
        for ours, theirs in _names(_hugging_face_stacks(weights)).items()
        if ours in weights
    }
    result = {theirs: weights[ours].clone() for ours, theirs in names.items()}
    for ours, theirs in _blocks(_hugging_face_stacks(weights)):
        attention = f"{theirs}.attention.attention"
        chunks = weights[f"{ours}.attn.qkv.weight"].chunk(3)
        for part, chunk in zip(("query", "key", "value"), chunks, strict=True):
            result[f"{attention}.{part}.weight"] = chunk.clone()
        result[f"{attention}.query.bias"] = weights[f"{ours}.attn.q_bias"].clone()
        result[f"{attention}.value.bias"] = weights[f"{ours}.attn.v_bias"].clone()
    return result


def _is_mapping(checkpoint: Mapping, key: str) -> bool:
    return isinstance(checkpoint.get(key), Mapping)


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _blocks(names: object) -> list[tuple[str, str]]:
    """Our and their names of the blocks that occur in their names."""
    pairs = []
    for ours, theirs in _STACKS.items():
        pattern = re.compile(re.escape(theirs) + r"\.(\d+)\.")
        found = {int(m[1]) for name in names if (m := pattern.match(name))}  # pyright: ignore
        pairs += [(f"{ours}.{index}", f"{theirs}.{index}") for index in sorted(found)]
    return pairs


def _names(weights: object) -> dict[str, str]:
    """Their name by our name of everything but queries, keys and values."""
    pairs = dict(_SINGLES)
    for ours, theirs in _blocks(weights):
        pairs |= {f"{ours}.{part}": f"{theirs}.{other}" for part, other in _BLOCK.items()}
    both = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in pairs.items()
        for kind in ("weight", "bias")
    }
    return both | {"mask_token": "mask_token"}


def _without_encoder(weights: Weights) -> Weights:
    """Fine-tuned models have their backbone at the top."""
    if "mask_token" in weights:
        return weights
    return {name.removeprefix("encoder."): tensor for name, tensor in weights.items()}


def _with_encoder(weights: Mapping[str, Tensor]) -> Weights:
    top = ("patch_embed.", "blocks.")
    return {f"encoder.{k}" if k.startswith(top) else k: v for k, v in weights.items()}


def _hugging_face_stacks(weights: Mapping[str, Tensor]) -> list[str]:
    names = []
    for name in weights:
        for ours, theirs in _STACKS.items():
            name = re.sub("^" + re.escape(ours), theirs, name)
        names.append(name)
    return names
