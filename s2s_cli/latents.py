"""Seeded noise, and ways between features; knows no network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from s2s_cli.choices import Curve


def seeded_noise(seeds: Sequence[int], shape: Sequence[int], truncation: float = 1.0) -> Tensor:
    """One standard normal tensor per seed; a seed means the same in any batch and on any device.

    Args:
        seeds: one whole number per picture, 0 <= seed < 2**32: torch ignores higher bits.
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


def interpolate(start: Tensor, end: Tensor, share: float, curve: Curve = Curve.LINEAR) -> Tensor:
    """What lies between two features: lambda z_V + (1 - lambda) z_A of Sound2Scene section 5.2.

    Both are brought to length 1 first, as where they were aligned, so that the share does not
    depend on how long an encoder's features happen to be.

    Args:
        start, end: (features,).
        share: of the end: 0 gives the start itself, 1 the end, bit for bit.
        curve: straight through the sphere, or along its surface at an even pace.

    Returns:
        (features,).
    """
    if share in (0, 1):
        return end if share else start
    start, end = unit(start), unit(end)
    if curve is Curve.LINEAR:
        return torch.lerp(start, end, share)
    angle = math.radians(angle_degrees(start, end))
    if math.sin(angle) < 1e-6:  # the same direction, or opposite ones between which no way is best
        return torch.lerp(start, end, share)
    return (math.sin((1 - share) * angle) * start + math.sin(share * angle) * end) / math.sin(angle)


def angle_degrees(a: Tensor, b: Tensor) -> float:
    """How far apart two features point, 0 to 180; exact where they hardly differ."""
    a, b = unit(a.double()), unit(b.double())
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))
