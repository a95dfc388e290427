"""Which photos go with which sound, and how often each scene is drawn."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from s2s_cli.chance import Chance
from s2s_cli.data.shards import scenes_of
from s2s_cli.errors import DataError

PairsBy = Literal["scene", "key"]


def scene_numbers(scenes: Sequence[str], names: Sequence[str]) -> Tensor:
    """Each item's scene as its place in ``names``; -1 where it is not there. (items,), int64."""
    place = {name: number for number, name in enumerate(names)}
    return torch.tensor([place.get(scene, -1) for scene in scenes])


def balanced_weights(
    scenes: Sequence[str], evenness: float, favoured: Sequence[str] = ()
) -> Tensor:
    """How likely each item is to be drawn, (items,), summing to 1.

    Args:
        scenes: each item's scene.
        evenness: 0 draws items equally often, 1 draws scenes equally often.
        favoured: scenes that are drawn twice as often as that, three times if named twice.
    """
    names = sorted(set(scenes))
    numbers = scene_numbers(scenes, names)
    sizes = torch.bincount(numbers, minlength=len(names)).double()
    times = torch.tensor([1.0 + favoured.count(name) for name in names], dtype=torch.float64)
    weights = times[numbers] * sizes[numbers] ** -evenness
    return weights / weights.sum()


def same_scene(numbers: Tensor, others: Tensor, chance: Chance) -> Tensor:
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
    place = (chance.uniform(len(numbers)) * size).long()
    return order[first + place]


class Pairing:
    """Which photos go with which sound: those of its scene, or those of its own moment."""

    def __init__(self, sounds: Sequence[str], photos: Sequence[str], by: PairsBy) -> None:
        """sounds, photos: their keys, ``SCENE/NAME``."""
        self.by = by
        if by == "scene":
            sounds, photos = scenes_of(sounds), scenes_of(photos)
        names = sorted(set(sounds) & set(photos))
        self.sounds = scene_numbers(sounds, names)
        self.photos = scene_numbers(photos, names)

    @property
    def alone(self) -> Tensor:
        """Whether a sound has no photo, (sounds,)."""
        return self.sounds < 0

    def weigh(self, weights: Tensor, shards: str = "shards") -> Tensor:
        """How likely each sound is to be drawn, but never one that is alone: it teaches nothing.

        Args:
            weights: (sounds,), 0 for those that are not wanted.
            shards: what they are called in the sentence.

        Raises:
            DataError: no sound is left.
        """
        weights = torch.where(self.alone, 0, weights)
        if not weights.any():
            raise DataError(
                f"No sound of the {shards} has a photo of the same {self.by} (data.pairs-by): "
                "name them alike, or make them with s2s pairs."
            )
        return weights

    def partners(self, sounds: Tensor, chance: Chance) -> Tensor:
        """A photo for each of these sounds, none of which is alone. (sounds,) numbers."""
        return same_scene(self.sounds[sounds], self.photos, chance)
