"""Seeded noise; knows no network."""

from collections.abc import Sequence

import torch
from torch import Tensor


def seeded_noise(seeds: Sequence[int], shape: Sequence[int], truncation: float = 1.0) -> Tensor:
    """One standard normal tensor per seed; a seed means the same in any batch and on any device.

    Args:
        seeds: one whole number per picture, 0 <= seed < 2**63.
        shape: of one picture's noise.
        truncation: scale of the noise: 0 gives the most typical picture, 1 the full variety.

    Returns:
        (len(seeds), *shape), float32 on the CPU.
    """
    noise = [torch.randn(*shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return truncation * torch.stack(noise)


def unit(features: Tensor) -> Tensor:
    """Features of length 1 along the last axis; a zero feature stays zero."""
    return torch.nn.functional.normalize(features, dim=-1)
