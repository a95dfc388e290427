"""The second paper's generator: a photo takes on the look of a sound and keeps its structure.

Architecture: the generator of CUT (arXiv:2007.15651) with a sound's feature beside the maps of its
bottleneck ("Learning Visual Styles from Audio-Visual Associations", section 3.1; avstyle).
``encoder`` has the layers of the published one in their order, because the losses name them by
number.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.networks.hardware import Precision
from s2s_cli.networks.layers import BlurDown, InstanceNorm, reflected

SHRINKS = 4  # the bottleneck's side is a quarter of the picture's
# Reflecting borders ask for two pixels a side at the bottleneck.
SMALLEST_PX = 2 * SHRINKS

# Full black and white have no finite logits; these are half a grey level from them.
NEAR_FULL = 1 - 0.5 / 127.5
# How far a colour can move, in logits: from middle grey almost to white, but not from black to it.
# Without this bound, training painted glaring blots.
REACH = 1.5


@dataclass(frozen=True)
class StylizerConfig:
    """Sizes of a stylizer. The defaults are avstyle's."""

    features: int = 256  # length of the audio encoder's feature
    down: tuple[int, int, int] = (64, 128, 256)  # maps at 1, 1/2 and 1/4 of the side, going down
    blocks: int = 9  # residual blocks at 1/4 of the side
    up: tuple[int, int] = (256, 128)  # maps at 1/2 and at the whole side, going up
    # Concatenated, as published, the feature is the same number at every place, and the instance
    # norm behind the next convolution removes what is the same everywhere. It acts only through
    # the zeros around the map: about half as much on a picture of twice the side. Modulated, it
    # chooses contrast and mean of each map on the way up, after the norm, and acts alike at any
    # size (conditional instance normalisation, arXiv:1610.07629).
    fusion: Literal["concatenated", "modulated"] = "concatenated"
    # The published one paints every pixel anew. Over the picture, it paints only what changes: how
    # far each colour moves in logits. Details need not pass through the bottleneck then, a change
    # of nothing is what it begins with, and much less learning gives a sharp picture.
    painting: Literal["anew", "over"] = "anew"

    @property
    def nce_layers(self) -> tuple[int, ...]:
        """Where PatchNCE compares (appendix A.2): 0, 4, 8, 12 and 16 of nine blocks.

        The pixels, both convolutions that widen, the first block and the middle one.
        """
        return (0, 4, 8, 12, 12 + self.blocks // 2)

    @property
    def bytes_per_px(self) -> int:
        """About how much memory a pixel needs on its way, at the widest place.

        That is at its own side: on the way down or up, the maps that come in, the convolved ones,
        and what their norm makes of them.
        """
        (coming_down, down, _), (coming_up, up) = self.down, self.up
        return 4 * max(coming_down + 4 * down, coming_up + 4 * up)

    @property
    def nce_channels(self) -> tuple[int, ...]:
        """How many maps there are at each of the ``nce_layers``."""
        return (3, *self.down[1:], self.down[2], self.down[2])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflected borders, around which the input passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.norm1, self.norm2 = InstanceNorm(), InstanceNorm()

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w), sides at least 2. Same shape."""
        y: Tensor = self.norm1(self.conv1(reflected(x, 1))).relu()
        y = self.norm2(self.conv2(reflected(y, 1)))
        return x + y


class GrowBlock(nn.Module):
    """Doubles the side without aliasing and convolves, and may hear a sound.

    Its feature stands beside the maps (``beside`` numbers of it), or chooses the contrast and mean
    of each map afterwards (``modulating``).
    """

    def __init__(
        self, channels: int, out_channels: int, *, beside: int = 0, modulating: int = 0
    ) -> None:
        super().__init__()
        self.channels, self.beside = channels, beside
        self.conv = nn.Conv2d(channels + beside, out_channels, 3, padding=1)
        self.norm = InstanceNorm()
        self.modulate = nn.Linear(modulating, 2 * out_channels) if modulating else None

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """x: (batch, channels, h, w); feature: (batch, features). (batch, out_channels, 2h, 2w)."""
        # The published blur (1, 3, 3, 1) / 4 between repeated borders is bilinear interpolation.
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        of_maps, of_feature = self.conv.weight.split((self.channels, self.beside), dim=1)
        x = F.conv2d(x, of_maps, self.conv.bias, padding=1)
        if self.beside:
            x = x + heard_at_border(feature, of_feature, x.shape[2], x.shape[3])
        x = self.norm(x)
        if self.modulate is not None:
            scale, shift = self.modulate(feature)[:, :, None, None].chunk(2, dim=1)
            x = torch.addcmul(shift, x, 1 + scale)
        return x.relu()


def heard_at_border(feature: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """What a convolution sees of a feature that is the same at every place, short of a constant.

    That is where the zeros around the map reach in: at the outermost pixels. The constant inside
    is left out, because the norm that follows would remove it, with digits of everything else.

    Args:
        feature: (batch, features).
        weight: (out_channels, features, 3, 3).
        height, width: of the map, at least 2.

    Returns:
        (batch, out_channels, height, width), 0 inside.
    """
    everywhere = feature[:, :, None, None].expand(-1, -1, 3, 3)
    seen = F.conv2d(everywhere, weight, padding=1)  # corners, edges and, in the middle, the inside
    seen = seen - seen[:, :, 1:2, 1:2]
    rows, columns = (
        torch.ones(side, dtype=torch.long, device=seen.device) for side in (height, width)
    )
    rows[0] = columns[0] = 0
    rows[-1] = columns[-1] = 2
    return seen[:, :, rows][:, :, :, columns]


class Stylizer(nn.Module):
    """A picture and a sound's feature become the picture restyled, at the picture's own size."""

    def __init__(self, config: StylizerConfig) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.down
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, full, 7),
            InstanceNorm(),
            nn.ReLU(),
            nn.Conv2d(full, half, 3, padding=1),
            InstanceNorm(),
            nn.ReLU(),
            BlurDown(),
            nn.Conv2d(half, quarter, 3, padding=1),
            InstanceNorm(),
            nn.ReLU(),
            BlurDown(),
            *(ResidualBlock(quarter) for _ in range(config.blocks)),
        )
        beside = config.features if config.fusion == "concatenated" else 0
        modulating = config.features if config.fusion == "modulated" else 0
        half, full = config.up
        self.grow1 = GrowBlock(quarter, half, beside=beside, modulating=modulating)
        self.grow2 = GrowBlock(half, full, modulating=modulating)
        self.to_rgb = nn.Conv2d(full, 3, 7)
        self.precision: Precision = "float32"

    def set_precision(self, precision: Precision) -> "Stylizer":
        """Convolve in this precision from now on; what goes in and comes out stays float32."""
        self.precision = precision
        return self

    @property
    def features(self) -> int:
        """Length of the feature that it obeys."""
        return self.config.features

    def encode(self, pictures: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The maps behind some layers of the encoder, which no sound has touched yet.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1], sides at least ``SMALLEST_PX``.
            layers: their numbers, ascending, as in ``StylizerConfig.nce_layers``.

        Returns:
            One tensor a layer, (batch, channels, sides of that layer), with its gradient.
        """
        maps, x = [], pictures
        for number in range(max(layers) + 1):
            x = self.encoder[number](x)
            if number in layers:
                maps.append(x)
        return maps

    def forward(self, pictures: Tensor, feature: Tensor) -> Tensor:
        """Restyle pictures of any size.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1]. Sides that are no multiples of 4, or below 8,
                are continued by repeating the last pixels, and what is painted there is cut off.
            feature: (batch, features), one sound a picture, as the audio encoder gives it.

        Returns:
            (batch, 3, h, w) in [-1, 1].
        """
        height, width = pictures.shape[2:]
        below, right = fill_up(height) - height, fill_up(width) - width
        if below or right:
            pictures = F.pad(pictures, (0, right, 0, below), mode="replicate")
        narrow = self.precision == "bfloat16" or torch.is_autocast_enabled(pictures.device.type)
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=narrow):
            painted = self.paint(pictures, self.encoder(pictures), feature)
        return painted[:, :, :height, :width].float()

    def paint(self, pictures: Tensor, maps: Tensor, feature: Tensor) -> Tensor:
        """The way back up, which hears the sound.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1], sides multiples of 4.
            maps: of them, behind the last layer of the encoder, (batch, channels, h / 4, w / 4).
            feature: (batch, features).

        Returns:
            (batch, 3, h, w) in [-1, 1].
        """
        x = self.grow2(self.grow1(maps, feature), feature)
        painted: Tensor = self.to_rgb(reflected(x, 3))
        if self.config.painting == "over":
            change = REACH * (painted / REACH).tanh()
            painted = (pictures * NEAR_FULL).atanh() + change
        return painted.tanh()

    @contextmanager
    def sharing(self, crops: Tensor, feature: Tensor) -> Iterator[None]:
        """Restyle the tiles of a large picture as parts of one.

        Instance norms divide by what they find in the whole picture. Within this context they all
        divide by what they find in a sample of it, so that equal places of two tiles stay equal.

        Args:
            crops: from all over the picture, (batch, 3, h, w) in [-1, 1].
            feature: (1, features), of the sound.
        """
        norms = [layer for layer in self.modules() if isinstance(layer, InstanceNorm)]
        try:
            for norm in norms:
                norm.learn()
            self(crops, feature.expand(len(crops), -1))
            yield
        finally:
            for norm in norms:
                norm.forget()


def fill_up(side_px: int) -> int:
    """The smallest side from this one up that the network can halve twice."""
    return max(SMALLEST_PX, -(-side_px // SHRINKS) * SHRINKS)
