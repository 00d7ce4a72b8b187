"""Heat maps that are kept."""

import numpy as np
import pytest
import torch
from sample_stores import PROCESSOR, sample_store

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForTracking
from medicane_training.scores.heatmaps import HeatMaps, heat_maps


def test_heat_maps_are_kept_with_their_cells_and_in_the_order_asked(tmp_path):
    torch.manual_seed(0)
    store = sample_store(tmp_path / "s.zarr")
    frames, channels, size, _ = PROCESSOR.clip_shape
    shape = {"num_frames": frames, "in_channels": channels, "image_size": size}
    small = {"embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_hidden_dim": 24, "patch_size": 8}
    model = MedicaneForTracking(MedicaneConfig(**shape, **small, tubelet_size=4)).eval()
    found = heat_maps(model, store, np.array([7, 3]))
    found.save(tmp_path / "maps.npz")
    kept = HeatMaps.load(tmp_path / "maps.npz")
    assert kept.clip.tolist() == [7, 3]
    assert (kept.cell_px, kept.origin_px) == (model.head.cell_px, model.head.origin_px)
    assert kept.probability.sum(axis=(1, 2), dtype=float) == pytest.approx([1, 1], abs=0.01)
    np.testing.assert_array_equal(
        kept.probability[1], heat_maps(model, store, np.array([3])).probability[0]
    )
