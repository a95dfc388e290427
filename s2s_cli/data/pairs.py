"""Which sound goes with which photo, and how often each scene is drawn."""

from collections.abc import Sequence

import torch
from torch import Tensor


def scene_numbers(scenes: Sequence[str], names: Sequence[str]) -> Tensor:
    """Each item's scene as its place in ``names``; -1 where it is not there. (items,), int64."""
    place = {name: number for number, name in enumerate(names)}
    return torch.tensor([place.get(scene, -1) for scene in scenes])


def balanced_weights(scenes: Sequence[str], evenness: float) -> Tensor:
    """How likely each item is to be drawn, (items,), summing to 1.

    Args:
        scenes: each item's scene.
        evenness: 0 draws items equally often, 1 draws scenes equally often.
    """
    names = sorted(set(scenes))
    numbers = scene_numbers(scenes, names)
    sizes = torch.bincount(numbers, minlength=len(names)).double()
    weights = sizes[numbers] ** -evenness
    return weights / weights.sum()


def draw(weights: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """``count`` items with replacement. Returns indices (count,)."""
    return torch.multinomial(weights, count, replacement=True, generator=chance)


def same_scene(numbers: Tensor, others: Tensor, chance: torch.Generator) -> Tensor:
    """For each scene number, one item of ``others`` with that number, each equally likely.

    Args:
        numbers: (batch,) scene numbers, each present in ``others``.
        others: (items,) scene numbers.

    Returns:
        (batch,) indices into ``others``.
    """
    order = torch.argsort(others, stable=True)
    in_order = others[order]
    first = torch.searchsorted(in_order, numbers)
    size = torch.searchsorted(in_order, numbers, right=True) - first
    place = (torch.rand(len(numbers), generator=chance) * size).long()
    return order[first + place]
