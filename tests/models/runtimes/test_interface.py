import numpy as np
import pytest
import torch
from torch import nn

from medicane_models.network.averaging import (
    EIGHT_WAYS,
    average_classification,
    average_tracking,
)
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from medicane_models.runtimes.interface import Runtime, TorchRuntime

SMALL = MedicaneConfig(
    image_size=32, patch_size=8, num_frames=3, tubelet_size=1, in_channels=2, stem="residual",
    stem_width=4, embed_dim=24, depth=1, num_heads=2, mlp_hidden_dim=48, views="eight",
    heatmap_features=True, heatmap_stride=2,
)  # fmt: skip


def decided(config: MedicaneConfig) -> MedicaneForVideoClassification:
    """A detector whose clips and views differ, as those of new ones hardly do."""
    torch.manual_seed(0)
    detector = MedicaneForVideoClassification(config).eval()
    nn.init.normal_(detector.head.weight, std=0.3)
    return detector


@pytest.mark.parametrize("newest_only", [False, True])
def test_what_runs_computes_what_the_models_compute(newest_only):
    config = SMALL.replace(newest_only=newest_only)
    detector, tracker = decided(config), MedicaneForTracking(SMALL)
    runtime = TorchRuntime(detector, tracker, device="cpu")
    clips = np.random.default_rng(0).normal(size=(5, *SMALL.clip_shape)).astype(np.float32)
    with torch.inference_mode():
        classes = average_classification(detector, torch.from_numpy(clips))
        places = average_tracking(tracker, torch.from_numpy(clips))
    found = runtime.probabilities(clips)
    np.testing.assert_allclose(found, classes.probabilities[:, 1], atol=1e-6)
    np.testing.assert_allclose(runtime.centres(clips).center, places.center, atol=1e-3)


def test_what_one_view_gives_little_is_not_looked_at_from_the_others():
    detector = decided(SMALL)
    runtime = TorchRuntime(detector, None, device="cpu")
    clips = np.random.default_rng(1).normal(size=(70, *SMALL.clip_shape)).astype(np.float32)
    with torch.inference_mode():
        looks = [
            average_classification(detector, torch.from_numpy(clips), views).probabilities[:, 1]
            for views in (EIGHT_WAYS[:1], EIGHT_WAYS)
        ]
    first, whole = (look.numpy() for look in looks)
    limit = float(np.median(first))
    expected = np.where(first < limit, first, whole)
    assert abs(first - whole).max() > 1e-3
    np.testing.assert_allclose(runtime.probabilities(clips, rough_below=limit), expected, atol=1e-6)
    np.testing.assert_allclose(runtime.probabilities(clips), whole, atol=1e-6)


def test_a_detector_of_one_view_is_asked_once():
    detector = MedicaneForVideoClassification(SMALL.replace(views="one"))
    runtime = TorchRuntime(detector, None, device="cpu")
    asked = []
    runtime._detector.register_forward_hook(lambda *_: asked.append(1))
    runtime.probabilities(np.zeros((4, *SMALL.clip_shape), np.float32), rough_below=1e-9)
    assert len(asked) == 1


def test_a_runtime_tells_the_threads_of_torch():
    runtime = TorchRuntime(MedicaneForVideoClassification(SMALL), None, device="cpu")
    assert runtime.threads == torch.get_num_threads()
    assert isinstance(runtime, Runtime)


def test_what_runs_has_no_norms_of_its_own_in_its_stem():
    detector = MedicaneForVideoClassification(SMALL)
    runtime = TorchRuntime(detector, None, device="cpu")
    kinds = [type(module) for module in runtime._detector.modules()]
    assert not any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    assert any(isinstance(module, nn.BatchNorm2d) for module in detector.modules())
