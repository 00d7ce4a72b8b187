import subprocess
import sys

import pytest

PREPARE = """
import torch
from medicane_models.network.blocks import compile_blocks
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.masking import plan_tokens, running_cell_mask, tube_mask
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.network.pretraining import MedicaneForPreTraining

config = MedicaneConfig(
    image_size=32, num_frames=4, embed_dim=24, depth=2, num_heads=2, mlp_hidden_dim=48,
    decoder_embed_dim=12, decoder_depth=2, decoder_num_heads=2, decoder_mlp_hidden_dim=24,
)
clips = torch.randn(2, *config.clip_shape)
compiled = lambda function: torch.compile(function, fullgraph=True, backend="aot_eager")
"""
CASES = {
    "classifier": """
model = MedicaneForVideoClassification(config)
labels = torch.tensor([0, 1])
torch.testing.assert_close(compiled(model)(clips, labels).loss, model(clips, labels).loss)
""",
    "regression": """
model = MedicaneForTracking(config.replace(head="regression")).eval()
torch.testing.assert_close(compiled(model)(clips).center, model(clips).center)
""",
    "heatmap": """
model = MedicaneForTracking(config)
centers = torch.zeros(2, 2)
torch.testing.assert_close(compiled(model)(clips, centers).loss, model(clips, centers).loss)
""",
    "stem": """
fine = {"stem": "residual", "heatmap_features": True, "heatmap_stride": 2, "heatmap_offset": True}
model = MedicaneForTracking(config.replace(**fine))
told = {"label_sigma": torch.ones(2), "label_weight": torch.ones(2)}
torch.testing.assert_close(
    compiled(model)(clips, centers, **told).loss, model(clips, centers, **told).loss
)
model = MedicaneForPreTraining(config.replace(stem="residual"))
plan = plan_tokens(tube_mask(config.token_grid, 0.5, clips=2))
torch.testing.assert_close(
    compiled(model.forward_plan)(clips, plan).loss, model.forward_plan(clips, plan).loss
)
""",
    "pretraining": """
model = MedicaneForPreTraining(config)
plan = plan_tokens(
    tube_mask(config.token_grid, 0.5, clips=2), running_cell_mask(config.token_grid, 0.5, clips=2)
)
torch.testing.assert_close(
    compiled(model.forward_plan)(clips, plan).loss, model.forward_plan(clips, plan).loss
)
""",
    "blocks": """
masks = [
    (tube_mask(grid, share, clips=2), running_cell_mask(grid, 0.5, clips=2))
    for grid, share in ((config.token_grid, 0.5), (config.token_grid, 0.75))
]
expected = [model(clips, *some).loss for some in masks]
names = list(model.state_dict())
fast = model.compiled(backend="aot_eager")
torch.testing.assert_close([fast(clips, *some).loss for some in masks], expected)
assert list(model.state_dict()) == names
assert all(block._compiled_call_impl is not None for block in model.encoder.blocks)
""",
    "depth": """
from copy import deepcopy
from torch._dynamo.testing import CompileCounterWithBackend
def compilations(depth):
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    model = MedicaneForVideoClassification(config.replace(depth=depth, drop_path_rate=0.2)).train()
    compile_blocks(model, backend=counter)
    model(clips)
    copied = deepcopy(model).eval()
    with torch.compiler.set_stance("force_eager"):
        torch.testing.assert_close(copied(clips).logits, copied(clips).logits)
    return counter.frame_count
assert compilations(3) == compilations(10)
""",
}


@pytest.mark.slow
def test_all_models_compile_without_graph_breaks():
    # in a process of its own: the checks of shapes that the tests install cannot be traced
    program = PREPARE + "".join(CASES.values())
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
