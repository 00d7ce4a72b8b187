"""The ``config.json`` of Hugging Face's VideoMAE, both ways."""

from collections.abc import Mapping
from typing import Any

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import CONFIG_NAME, MedicaneConfig

__all__ = ["DECISIVE", "from_videomae_config", "transformers_config"]

NAMES = {
    "patch_size": "patch_size",
    "num_frames": "num_frames",
    "tubelet_size": "tubelet_size",
    "in_channels": "num_channels",
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "mlp_hidden_dim": "intermediate_size",
    "norm_eps": "layer_norm_eps",
    "proj_drop_rate": "hidden_dropout_prob",
    "attn_drop_rate": "attention_probs_dropout_prob",
    "decoder_embed_dim": "decoder_hidden_size",
    "decoder_depth": "decoder_num_hidden_layers",
    "decoder_num_heads": "decoder_num_attention_heads",
    "decoder_mlp_hidden_dim": "decoder_intermediate_size",
}

DEFAULTS = {
    "num_frames": 16,
    "image_size": 224,
    "num_heads": 12,
    "decoder_num_heads": 6,
    "norm_eps": 1e-12,
}
"""What its ``config.json`` leaves out and no tensor tells."""
OUTPUT_NORM_EPS = 1e-5
"""Of ``fc_norm`` and ``decoder.norm``, whatever ``layer_norm_eps`` says."""
DECISIVE = ("qkv_bias", "norm_pix_loss", "problem_type")
"""Fields of Hugging Face's that decide what can be converted."""


def from_videomae_config(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a ``config.json`` says, under our names, and the `DECISIVE` fields under its own.

    Args:
        config: of a Hugging Face VideoMAE.
        settings: fields of ours that are given besides.

    Raises:
        ConfigurationError: no model here is like that, or a setting contradicts it.
    """
    if (activation := config.get("hidden_act", "gelu")) != "gelu":
        raise ConfigurationError(f"hidden_act is {activation!r}; only 'gelu' is supported")
    known = DEFAULTS | {ours: config[theirs] for ours, theirs in NAMES.items() if theirs in config}
    for name in ("image_size", "norm_pix_loss", "problem_type"):
        if config.get(name) is not None:
            known[name] = config[name]
    if labels := config.get("id2label"):
        known["id2label"] = {int(index): label for index, label in labels.items()}
    known["output_norm_eps"] = OUTPUT_NORM_EPS
    known["qkv_bias"] = config.get("qv_bias", config.get("qkv_bias", True))  # transformers 5, 4
    patch = known.get("patch_size")
    if isinstance(patch, list):
        known["patch_size"] = patch[0] if len(set(patch)) == 1 else patch
    for name, given in settings.items():
        if name in known and known[name] != given:
            raise ConfigurationError(
                f"{name} is {given!r}, its {CONFIG_NAME} says {known[name]!r}; leave it out, and "
                "change it when the converted model is loaded"
            )
    return known


def transformers_config(config: MedicaneConfig) -> dict[str, Any]:
    """The ``config.json`` of a Hugging Face VideoMAE.

    Raises:
        ConfigurationError: it cannot express the model.
    """
    own = ("tracking", "sinusoid_3d", "convolutional", "residual")
    unset = ("position_grid", "layer_scale_init_value", "newest_only")
    for name in ("task", "stem", "position", *unset):
        value = getattr(config, name)
        if value in own or (name in unset and value):
            raise ConfigurationError(f"Hugging Face's VideoMAE has no {name} {value!r}; keep ours")
    pretraining = config.task == "pretraining"
    kind = "ForPreTraining" if pretraining else "ForVideoClassification"
    return {theirs: getattr(config, ours) for ours, theirs in NAMES.items()} | {
        "architectures": [f"VideoMAE{kind}"],
        "model_type": "videomae",
        "image_size": config.image_size,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "use_mean_pooling": not pretraining,
        "norm_pix_loss": True,
        "id2label": config.id2label,
        "label2id": config.label2id,
    }
