"""Which fields of a model's configuration a recipe may set."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import Task

__all__ = ["SIZE_FIELDS", "check_changes", "did_you_mean"]

DECODER = ("decoder_depth", "decoder_embed_dim", "decoder_mlp_hidden_dim", "decoder_num_heads")
SIZE_FIELDS = (
    "depth", "embed_dim", "layer_scale_init_value", "mlp_hidden_dim", "norm_eps", "num_heads",
    "output_norm_eps", "patch_size", "position", "stem", "stem_width", "tubelet_size", *DECODER,
)  # fmt: skip
"""What an initial model brings with it."""

BACKBONE = (
    *SIZE_FIELDS[: -len(DECODER)],
    *("attn_drop_rate", "drop_path_rate", "newest_only", "proj_drop_rate"),
)
REGRESSION = ("center_mean_px", "center_scale_px")
HEATMAP = ("heatmap_center", "heatmap_features", "heatmap_offset", "heatmap_stride")
FREE: Mapping[Task, tuple[str, ...]] = {
    "pretraining": (*BACKBONE, *DECODER),
    "classification": (*BACKBONE, "head_drop_rate", "id2label", "views"),
    "tracking": (*BACKBONE, "head", "head_drop_rate", "views", *HEATMAP, *REGRESSION),
}
"""For each task the fields that its model reads, and that neither store nor training decides."""


def check_changes(task: Task, changes: Mapping[str, Any], *, from_scratch: bool) -> None:
    """Refuse fields that are unknown, or that the model would not read.

    Args:
        task: of the model.
        changes: ``model.changes`` of a recipe.
        from_scratch: there is no initial model, which might have another head.
    """
    for name in changes:
        if name not in FREE[task]:
            raise ConfigurationError(
                f"model.changes.{name} means nothing for {task}{did_you_mean(name, FREE[task])}; "
                f"a recipe can set {', '.join(sorted(FREE[task]))}"
            )
    head = changes.get("head", "heatmap" if from_scratch else None)
    unread = {"heatmap": REGRESSION, "regression": HEATMAP}.get(head, ())
    if found := sorted(set(unread) & set(changes)):
        raise ConfigurationError(
            f"model.changes sets {', '.join(found)}, which the {head} head does not read; leave it "
            "out or change model.changes.head"
        )


def did_you_mean(name: str, known: Any) -> str:
    """A guess in parentheses, or nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""
