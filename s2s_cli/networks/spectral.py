"""Spectral norm: weights divided by their largest singular value while they learn.

arXiv:1802.05957, algorithm 1. BigGAN's generator and discriminator learn so, layer by layer.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

Network = TypeVar("Network", bound=nn.Module)

EPS = 1e-6  # smallest length by which a power step divides: SN_eps of IC-GAN's published code


class SpectralNorm(_SpectralNorm):
    """torch's own, in float32 always: it fails under autocast (pytorch#125544)."""

    def forward(self, weight: Tensor) -> Tensor:
        """weight: (outputs, ...). Returns the same shape; in training after one power step."""
        with torch.autocast(weight.device.type, enabled=False):
            normal: Tensor = super().forward(weight)
        return normal


def normalise(network: Network) -> Network:
    """Divide the weights of every convolution and linear layer from now on, on each call.

    While it trains, each call is also one power step towards the largest singular value.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(
                layer, "weight", SpectralNorm(layer.weight, eps=EPS)
            )
    return network


@torch.no_grad()
def baked(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a plain network that computes the same as this one in eval.

    Copies, divided once and for all. torch's own ``remove_parametrizations`` would undo it for
    every copy of the network, too, such as the moving average.
    """
    weights = {}
    for key, value in network.state_dict().items():
        layer, inside, kind = key.partition(".parametrizations.weight.")
        if not inside:
            weights[key] = value.clone()
        elif kind == "original":
            spectral = deepcopy(network.get_submodule(f"{layer}{inside}0"))
            weights[f"{layer}.weight"] = spectral.eval()(value)
    return weights
