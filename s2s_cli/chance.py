"""Chance: a number is drawn for every item of a batch, though a process may hold only some of them.

So it changes nothing how many processes share a batch, nor in how many parts one works through it.
"""

import zlib

import torch
from torch import Tensor


class Chance:
    """Draws that follow from a name alone, for whole batches, of which a part is given out.

    The batch is cut into ``parts`` equal parts. Every draw of ``n`` rows is made as ``n * parts``
    rows, and rows ``part * n`` to ``(part + 1) * n`` are given: all parts draw the same, in the
    same order. Everything is drawn on the CPU, so that it means the same on every device.
    """

    def __init__(self, name: object = 0, part: int = 0, parts: int = 1) -> None:
        """name: whatever tells this chance from all others, such as ``f"{seed}/{step}"``."""
        self.part, self.parts = part, parts
        # Of draws that are one for the whole batch, as which places of a picture are compared.
        self.shared = torch.Generator().manual_seed(zlib.crc32(str(name).encode()))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``shape`` numbers from ``low`` to below ``high``; ``shape[0]`` counts items."""
        drawn = torch.rand(self._whole(shape), generator=self.shared)
        return low + (high - low) * self._own(drawn)

    def normal(self, *shape: int) -> Tensor:
        """``shape`` numbers of mean 0 and deviation 1; ``shape[0]`` counts items."""
        return self._own(torch.randn(self._whole(shape), generator=self.shared))

    def below(self, end: int, *shape: int) -> Tensor:
        """``shape`` whole numbers from 0 to below ``end``; ``shape[0]`` counts items."""
        return self._own(torch.randint(end, self._whole(shape), generator=self.shared))

    def items(self, weights: Tensor, count: int) -> Tensor:
        """``count`` places in ``weights``, each as likely as it is heavy, with replacement."""
        if not count:
            return torch.empty(0, dtype=torch.int64)
        drawn = torch.multinomial(weights, count * self.parts, True, generator=self.shared)
        return self._own(drawn)

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] * self.parts, *shape[1:])

    def _own(self, drawn: Tensor) -> Tensor:
        count = len(drawn) // self.parts
        return drawn[self.part * count : (self.part + 1) * count]
