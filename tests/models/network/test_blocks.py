import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining

CONFIG = MedicaneConfig.preset("tiny", depth=2, layer_scale_init_value=0.1)
MODELS = (MedicaneForVideoClassification, MedicaneForTracking, MedicaneForPreTraining)


class Drawn(TorchDispatchMode):
    """Counts the random numbers that are drawn for tensors with memory."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default):
            self.count += 0 if result.is_meta else result.numel()
        return result


def test_weights_follow_the_truncated_normal_distribution():
    torch.manual_seed(0)
    blocks = MedicaneForVideoClassification(CONFIG).blocks
    weights = torch.cat([p.detach().flatten() for p in blocks.parameters() if p.ndim == 2])
    expected = stats.truncnorm(-100, 100, scale=0.02)  # VideoMAE's: cut off at ± 2
    assert stats.kstest(weights[::20].numpy(), expected.cdf).pvalue > 0.01
    assert stats.moment(weights.numpy(), 4) == pytest.approx(expected.moment(4), rel=0.02)


@pytest.mark.parametrize("model", MODELS)
def test_all_else_in_a_block_starts_as_it_should(model):
    torch.randn(10**6).fill_(torch.nan)  # what memory without start values would show
    blocks = dict(model(CONFIG).named_parameters())
    vectors = {name: p for name, p in blocks.items() if "blocks." in name and p.ndim == 1}
    assert len(vectors) >= 2 * 10
    for name, vector in vectors.items():
        norm = "norm" in name and name.endswith("weight")
        expected = 0.1 if "gamma" in name else float(norm)
        assert (vector == torch.tensor(expected)).all(), name


def test_each_weight_is_drawn_once():
    with Drawn() as drawn:
        model = MedicaneForVideoClassification(CONFIG)
    once = sum(parameter.numel() for parameter in model.blocks.parameters())
    rest = sum(parameter.numel() for parameter in model.parameters()) - once
    assert drawn.count <= once + 2 * rest


def test_models_are_built_where_they_will_live():
    with torch.device("meta"):
        assert {p.device.type for p in MedicaneForTracking(CONFIG).parameters()} == {"meta"}
