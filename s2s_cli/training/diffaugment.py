"""DiffAugment: a discriminator of few photos sees each one, and each fake, a little changed.

It then cannot learn the photos by heart, and the generator learns through the changes, which are
therefore differentiable (arXiv:2006.10738). Widths of the changes are the paper's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s_cli.chance import Chance

Change = Literal["colour", "translation", "cutout"]

FARTHEST = 1 / 8  # shift, as a share of the side
HIDDEN = 1 / 2  # side of what is cut out, as a share of the picture's


def diffaugment(pictures: Tensor, policy: Sequence[Change], chance: Chance) -> Tensor:
    """Pictures (batch, 3, h, w) in [-1, 1], each changed in its own way; colours may leave [-1, 1].

    policy: the kinds of change, in their order; none leaves the pictures as they are.
    """
    for change in policy:
        pictures = CHANGES[change](pictures, chance)
    return pictures


def change_colours(pictures: Tensor, chance: Chance) -> Tensor:
    """Brightness by at most a quarter of the range, saturation 0 to 2, contrast 0.5 to 1.5."""
    brightness, saturation, contrast = (
        chance.uniform(len(pictures), 1, 1, 1, low=low, high=high).to(pictures)
        for low, high in ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5))
    )
    pictures = pictures + brightness
    pictures = torch.lerp(pictures.mean(dim=1, keepdim=True), pictures, saturation)
    return torch.lerp(pictures.mean(dim=(1, 2, 3), keepdim=True), pictures, contrast)


def translate(pictures: Tensor, chance: Chance) -> Tensor:
    """Shift by whole pixels, up to an eighth of the side; what comes in is grey."""
    count, _, high, wide = pictures.shape
    farthest_y, farthest_x = (round(FARTHEST * side) for side in (high, wide))
    tops = chance.below(2 * farthest_y + 1, count).tolist()
    lefts = chance.below(2 * farthest_x + 1, count).tolist()
    framed = F.pad(pictures, (farthest_x, farthest_x, farthest_y, farthest_y))
    return torch.stack(
        [
            picture[:, top : top + high, left : left + wide]
            for picture, top, left in zip(framed.unbind(), tops, lefts, strict=True)
        ]
    )


def cut_out(pictures: Tensor, chance: Chance) -> Tensor:
    """Grey over a rectangle of half the sides, whose middle is anywhere in the picture."""
    count, _, *sides = pictures.shape
    hidden = []
    for side in sides:
        length = round(HIDDEN * side)
        start = chance.below(side + 1 - length % 2, count, 1) - length // 2
        place = torch.arange(side)
        hidden.append((place >= start) & (place < start + length))  # (count, side)
    rows, columns = hidden
    seen = ~(rows[:, None, :, None] & columns[:, None, None, :])
    return pictures * seen.to(pictures.device)


CHANGES: Mapping[Change, Callable[[Tensor, Chance], Tensor]] = {
    "colour": change_colours,
    "translation": translate,
    "cutout": cut_out,
}
