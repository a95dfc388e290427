"""The networks that look at pictures: what each sees is what the numbers are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from s2s_cli.data.pairs import scene_numbers
from s2s_cli.errors import DataError
from s2s_cli.networks.judge import Judge


@dataclass(frozen=True)
class Sight:
    """What was seen in a batch of pictures; None where a network does not see that."""

    similarities: Tensor | None = None  # (batch, scenes): how much each looks like each scene
    features: Tensor | None = None  # (batch, dim): in whose space sets of pictures are compared
    probabilities: Tensor | None = None  # (batch, classes), of the network's own classes


class Eye(Protocol):
    """One of them, made for the scenes that pictures may show."""

    name: str  # that stands beside every number

    def look(self, pictures: Tensor) -> Sight:
        """pictures: (batch, 3, h, w) in [-1, 1], of any size. On the CPU."""
        ...


class JudgesEye:
    """A judge's: it sees all three."""

    def __init__(self, judge: Judge, scenes: Sequence[str], name: str = "judge") -> None:
        """scenes: of the data, in the order of the similarities.

        Raises:
            DataError: the judge does not know one of them.
        """
        places = scene_numbers(scenes, judge.config.scenes)
        if (places < 0).any():
            unknown = ", ".join(s for s, at in zip(scenes, places.tolist(), strict=True) if at < 0)
            raise DataError(
                f"The judge '{name}' does not know {unknown}: train one with s2s train, "
                "or name another with --judge."
            )
        self.judge, self.places, self.name = judge, places, name

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> Sight:
        """As of ``Eye``."""
        features = self.judge.describe(pictures.to(self.judge.head.weight.device))
        logits = self.judge.head(features).cpu()
        return Sight(logits[:, self.places], features.cpu(), logits.softmax(dim=1))
