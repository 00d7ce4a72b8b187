"""Small models whose weights are saved as other code bases save them."""

import torch

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification

SIZES = {"image_size": 32, "num_frames": 4}
SMALL = MedicaneConfig(
    embed_dim=192, depth=2, num_heads=3, mlp_hidden_dim=48, decoder_embed_dim=96, decoder_depth=1,
    decoder_num_heads=3, decoder_mlp_hidden_dim=24, **SIZES,
)  # fmt: skip
REGRESSION = SMALL.replace(head="regression", center_mean_px=(0, 0), center_scale_px=(1, 1))


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


def perturbed(model):
    """Every tensor different from its initial value, so that none can be mixed up."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def saved(tmp_path, content, name="c.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def classifier_weights(value=None):
    """Of a new classifier, or all of one value."""
    weights = MedicaneForVideoClassification(SMALL).state_dict()
    return weights if value is None else {k: torch.full_like(v, value) for k, v in weights.items()}
