import math

import pytest
import torch

from medicane_models.network.positions import position_table


def test_sinusoid_is_the_published_formula():
    table = position_table("sinusoid", (2, 3, 4), 8)
    for position, feature in ((0, 0), (5, 4), (23, 7)):
        angle = position / 10000 ** (2 * (feature // 2) / 8)
        expected = math.cos(angle) if feature % 2 else math.sin(angle)
        assert table[position, feature].item() == pytest.approx(expected, abs=1e-6)


def test_factorised_positions_share_what_the_axes_share():
    table = position_table("sinusoid_3d", (2, 3, 4), 32).unflatten(0, (2, 3, 4))
    assert torch.equal(table[0, 1, 2, 12:22], table[1, 1, 3, 12:22])  # the row's
    assert torch.equal(table[0, 0, 2, 22:], table[1, 2, 2, 22:])  # the column's
    assert len(table.flatten(0, 2).unique(dim=0)) == 24


@pytest.mark.parametrize("kind", ["sinusoid", "sinusoid_3d"])
def test_interpolation_to_the_same_grid_changes_nothing(kind):
    plain = position_table(kind, (2, 4, 4), 12)
    assert torch.equal(position_table(kind, (2, 4, 4), 12, (2, 4, 4)), plain)


def test_halving_a_grid_averages_neighbours():
    fine = position_table("sinusoid", (2, 2, 2), 12)
    coarse = position_table("sinusoid", (1, 1, 1), 12, (2, 2, 2))
    torch.testing.assert_close(coarse[0], fine.mean(0))
