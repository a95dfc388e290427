"""Weights are divided by their largest singular value, by one power step a call."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from s2s_cli.networks.spectral import EPS, SpectralNorm, baked, normalise


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network() -> nn.Module:
    """Two layers that learn normalised, and one of another kind between them."""
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Flatten())
    network.append(nn.Linear(5 * 4 * 4, 2))
    network[0].weight = nn.Parameter(drawn(5, 3, 3, 3))
    network[3].weight = nn.Parameter(drawn(2, 80, seed=1))
    return normalise(network)


def largest(weight: Tensor) -> float:
    return torch.linalg.matrix_norm(weight.flatten(1), ord=2).item()


def test_after_some_calls_no_input_is_stretched(network):
    for _ in range(50):
        network(drawn(2, 3, 4, 4))
    network.eval()
    for layer in (network[0], network[3]):
        assert largest(layer.weight) == pytest.approx(1, rel=1e-5)
        assert largest(layer.parametrizations.weight.original) > 2
    assert not parametrize.is_parametrized(network[1])


def test_a_call_is_one_power_step_and_in_eval_none(network):
    """The step by hand (arXiv:1802.05957, algorithm 1); the power step has a rank of its own."""
    conv = network[0]
    spectral, original = conv.parametrizations.weight[0], conv.parametrizations.weight.original
    assert isinstance(spectral, SpectralNorm)
    assert (spectral.eps, EPS) == (1e-6, 1e-6)
    matrix = original.detach().flatten(1)
    right = drawn(27, seed=2)
    spectral._v.copy_(right / right.norm())
    left = matrix @ spectral._v
    left = left / left.norm()
    right = matrix.T @ left
    right = right / right.norm()
    network(drawn(1, 3, 4, 4))
    torch.testing.assert_close(spectral._u, left)
    torch.testing.assert_close(spectral._v, right)
    network.eval()
    network(drawn(1, 3, 4, 4))
    torch.testing.assert_close(spectral._u, left)
    torch.testing.assert_close(conv.weight, original / (left @ matrix @ right))


def test_it_stays_exact_under_autocast(network):
    network.eval()
    exact = network[3].weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network[3].weight, exact)
        assert network.train()(drawn(2, 3, 4, 4)).dtype == torch.bfloat16
    assert network[3].parametrizations.weight[0]._u.dtype == torch.float32


def test_baked_weights_compute_the_same_and_leave_the_network_as_it_is(network):
    network(drawn(4, 3, 4, 4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = baked(network)
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Flatten())
    plain.append(nn.Linear(5 * 4 * 4, 2))
    plain.load_state_dict(weights)
    pictures = drawn(2, 3, 4, 4, seed=3)
    assert torch.equal(plain.eval()(pictures), network.eval()(pictures))
    for value in weights.values():
        value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
