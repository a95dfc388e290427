"""Losses against closed forms; those of the paper stand in tests/networks/test_golden.py."""

import math

import pytest
import torch
import torch.nn.functional as F

from s2s_cli.training.losses import (
    cosine_nce,
    flow_matching,
    info_nce,
    laplacian_l1,
    lsgan_discriminator,
    lsgan_generator,
    moments,
    patch_nce,
    style_statistics,
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


def test_a_discriminator_is_right_at_one_and_zero_and_the_generator_wants_one():
    real, fake = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert lsgan_discriminator(real, fake).item() == 0
    assert lsgan_discriminator(fake, real).item() == 1
    assert lsgan_discriminator(real / 2, real / 2).item() == pytest.approx(1 / 4)
    assert lsgan_generator(real).item() == 0
    assert lsgan_generator(-real).item() == 4


def test_places_that_are_known_again_cost_what_the_temperature_leaves():
    """Similarity 1 with itself and 0 with 7 others: log(1 + 7 exp(-1 / temperature))."""
    layer = torch.eye(8).repeat(3, 1, 1)
    assert patch_nce([layer], [layer]).item() == pytest.approx(0, abs=1e-5)
    expected = math.log1p(7 * math.exp(-1 / 0.5))
    assert patch_nce([layer], [layer], 0.5).item() == pytest.approx(expected, rel=1e-5)
    # A second layer, at which every place looks like every other, counts as much as the first.
    alike = torch.ones(2, 8, 4) / 2
    both = patch_nce([layer, alike], [layer, alike], 0.5).item()
    assert both == pytest.approx((expected + math.log(8)) / 2, rel=1e-5)


def test_a_place_has_its_negatives_in_its_own_picture_alone():
    """Written as Eq. 2 writes it, place by place."""
    chance = torch.Generator().manual_seed(0)
    q, v = F.normalize(torch.randn(2, 3, 5, 4, generator=chance), dim=3)
    costs = []
    for picture in range(3):
        for place in range(5):
            scores = (q[picture, place] @ v[picture].T / 0.07).exp()
            costs.append(-(scores[place] / scores.sum()).log())
    assert patch_nce([q], [v]).item() == pytest.approx(torch.stack(costs).mean().item(), rel=1e-5)


def test_only_the_restyled_picture_is_taught_by_the_comparison():
    restyled, source = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    restyled, source = restyled.requires_grad_(), source.requires_grad_()
    patch_nce([restyled], [source]).backward()
    assert restyled.grad is not None
    assert source.grad is None


def test_style_statistics_by_hand():
    """One map of mean 3 and deviation 4 where mean 0 and deviation 5 are wanted: 10 of 25."""
    rows = torch.tensor([-1.0, 7.0]).repeat(8).reshape(1, 1, 4, 4)
    found, wanted = moments(rows), torch.tensor([[0.0, 5.0]])
    torch.testing.assert_close(found, torch.tensor([[3.0, 4.0]]))
    far = style_statistics([found], [wanted])
    torch.testing.assert_close(far, torch.tensor([(9 + 1) / 25]))
    # Layers count alike, whatever their size; where nothing is left to change it is 0.
    both = style_statistics([found, 100 * wanted], [wanted, 100 * wanted])
    torch.testing.assert_close(both, far / 2)


def test_style_statistics_teach_only_what_is_restyled():
    made, given = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    style_statistics([made.requires_grad_()], [given.requires_grad_()]).sum().backward()
    assert made.grad is not None
    assert given.grad is None
