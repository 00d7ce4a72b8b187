import pytest
import torch
from foreign_checkpoints import SMALL


@pytest.fixture
def clips():
    """Two for the small models of foreign checkpoints."""
    return torch.randn(2, *SMALL.clip_shape)
