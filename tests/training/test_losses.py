"""Losses against closed forms; those of the paper stand in tests/networks/test_golden.py."""

import math

import pytest
import torch

from s2s_cli.training.losses import (
    cosine_nce,
    flow_matching,
    info_nce,
    laplacian_l1,
    vicreg,
)


def test_perfect_pairs_with_orthogonal_negatives_reach_the_known_floor():
    """d = 0 for the pair and sqrt(2) for the 63 others: log(1 + 63 exp(-sqrt 2)), about 2.79."""
    features = torch.eye(64)
    expected = math.log(1 + 63 * math.exp(-math.sqrt(2)))
    assert info_nce(features, features).item() == pytest.approx(expected, abs=1e-5)


def test_equal_features_leave_only_guessing():
    features = torch.ones(64, 8)
    assert info_nce(features, features).item() == pytest.approx(math.log(64), abs=1e-5)
    assert cosine_nce(features, features).item() == pytest.approx(math.log(64), abs=1e-5)


def test_only_directions_count():
    chance = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 8, 4, generator=chance)
    assert info_nce(3 * a, b).item() == pytest.approx(info_nce(a, 0.1 * b).item(), abs=1e-5)


def test_whitened_equal_embeddings_cost_nothing():
    """Orthogonal columns of deviation 1: nothing is invariant, spread or correlated amiss."""
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    parts = vicreg(signs, signs)
    assert all(part.item() == pytest.approx(0, abs=1e-6) for part in parts.values())


def test_each_part_of_vicreg_sees_its_own_fault():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    collapsed, copied = 0 * signs, signs[:, :1].repeat(1, 2)
    assert vicreg(signs, -signs)["invariance"].item() == pytest.approx(4)
    assert vicreg(collapsed, collapsed)["variance"].item() == pytest.approx(0.99, abs=1e-5)
    # Two equal columns of variance 4/3: two off-diagonal entries of 16/9, over 2 dimensions, twice.
    assert vicreg(copied, copied)["covariance"].item() == pytest.approx(32 / 9, abs=1e-5)


def test_a_shade_is_seen_at_the_coarsest_level_only():
    pictures = torch.zeros(1, 3, 16, 16)
    loss = laplacian_l1(pictures + 0.25, pictures, (100.0, 10.0, 1.0))
    assert loss.item() == pytest.approx(0.25)


def test_a_chessboard_is_seen_at_the_finest_level_only():
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    loss = laplacian_l1(board.expand(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), (100.0, 10.0, 1.0))
    assert loss.item() == pytest.approx(100)


def test_the_straight_velocity_costs_nothing():
    noise, latents = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert flow_matching(latents - noise, noise, latents).item() == 0
