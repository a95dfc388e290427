"""Ways between features have closed forms."""

import math

import pytest
import torch

from s2s_cli.choices import Curve
from s2s_cli.latents import angle_degrees, interpolate, seeded_noise, unit

EAST, NORTH = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.5])


@pytest.mark.parametrize("curve", Curve)
def test_the_ends_are_the_very_features(curve):
    assert interpolate(EAST, NORTH, 0, curve) is EAST
    assert interpolate(EAST, NORTH, 1, curve) is NORTH


def test_a_line_cuts_through_the_sphere_and_lengths_do_not_matter():
    assert interpolate(EAST, NORTH, 0.25).tolist() == pytest.approx([0.75, 0.25])


def test_a_great_circle_turns_at_an_even_pace():
    for share in (0.25, 0.5, 0.75):
        between = interpolate(EAST, NORTH, share, Curve.SPHERICAL)
        assert between.norm().item() == pytest.approx(1)
        assert angle_degrees(EAST, between) == pytest.approx(90 * share, abs=1e-4)


@pytest.mark.parametrize("other", [EAST, 2 * EAST, -EAST])
def test_where_no_great_circle_is_best_the_line_is_taken(other):
    between = interpolate(EAST, other, 0.25, Curve.SPHERICAL)
    assert between.isfinite().all()


@pytest.mark.parametrize(("degrees"), [0, 0.001, 30, 90, 179.999, 180])
def test_an_angle_is_measured_exactly_even_where_it_is_small(degrees):
    turned = torch.tensor(
        [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64
    )
    measured = angle_degrees(torch.tensor([5.0, 0.0], dtype=torch.float64), 0.1 * turned)
    assert measured == pytest.approx(degrees, abs=1e-6)


def test_a_seed_means_the_same_in_any_batch():
    alone, among = seeded_noise([7], (3, 2)), seeded_noise([1, 7], (3, 2))
    assert torch.equal(alone[0], among[1])
    assert unit(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]
