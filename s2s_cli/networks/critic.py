"""What judges the paper's generator while it learns, and is waived afterwards.

BigGAN's discriminator (arXiv:1809.11096, appendix B) that is told an instance's feature in place of
a class (IC-GAN, arXiv:2109.05070). Parameter names are those of the published checkpoints.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.networks.biggan import BOTTOM_PX, Attention, Conv


@dataclass(frozen=True)
class BigGANCriticConfig:
    """Sizes of the discriminator. The defaults are IC-GAN's at 128 px."""

    channels: int = 96  # feature maps behind the first block
    # Of ``channels``, fine to coarse, one a block: all but the last also halve the side.
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 16, 16)
    attention_px: tuple[int, ...] = (64,)  # feature maps of these sides attend to themselves
    features: int = 2048  # length of the image encoder's feature

    @property
    def picture_px(self) -> int:
        """Side of the pictures that it was made for, in pixels."""
        return BOTTOM_PX << (len(self.multipliers) - 1)


def published_critic_128() -> BigGANCriticConfig:
    """Of icgan_biggan_imagenet_res128."""
    return BigGANCriticConfig()


def published_critic_256() -> BigGANCriticConfig:
    """Of icgan_biggan_imagenet_res256."""
    return BigGANCriticConfig(multipliers=(1, 2, 4, 8, 8, 16, 16))


class ShrinkBlock(nn.Module):
    """Two convolutions around which the input may pass; halves the side of the feature maps."""

    def __init__(
        self, channels: int, out_channels: int, *, sees_colours: bool, halves: bool
    ) -> None:
        """sees_colours: its input are pictures, whose negative values a ReLU must not drop."""
        super().__init__()
        self.sees_colours, self.halves = sees_colours, halves
        self.conv1 = Conv(channels, out_channels, 3)
        self.conv2 = Conv(out_channels, out_channels, 3)
        self.conv_sc = (
            Conv(channels, out_channels, 1) if halves or channels != out_channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns (batch, out_channels, h / 2, w / 2), or h and w."""
        around = F.avg_pool2d(x, 2) if self.halves else x
        if self.conv_sc is not None:  # it commutes with the mean of pixels: a quarter of the work
            around = self.conv_sc(around)
        x = self.conv2(self.conv1(x if self.sees_colours else x.relu()).relu_())
        return around + (F.avg_pool2d(x, 2) if self.halves else x)


class BigGANCritic(nn.Module):
    """A score for a picture: high where it is a photo, and of the instance's neighbourhood."""

    def __init__(self, config: BigGANCriticConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList()
        px, width = config.picture_px, 3
        for number, times in enumerate(config.multipliers, start=1):
            halves = number < len(config.multipliers)
            next_width = config.channels * times
            block = ShrinkBlock(width, next_width, sees_colours=number == 1, halves=halves)
            px, width = px // 2 if halves else px, next_width
            attention = [Attention(width)] if px in config.attention_px else []
            self.blocks.append(nn.ModuleList([block, *attention]))
        self.linear = nn.Linear(width, 1)
        self.linear_feat = nn.Linear(config.features, width)

    def forward(self, pictures: Tensor, feature: Tensor) -> Tensor:
        """Judge pictures by themselves and by how they fit (projection, arXiv:1802.05637).

        Args:
            pictures: (batch, 3, picture_px, picture_px) in [-1, 1].
            feature: (batch, features) of length 1.

        Returns:
            Scores (batch,), float32, without a sigmoid.
        """
        x = pictures.contiguous(memory_format=torch.channels_last)
        for stage in self.blocks:
            for layer in stage.children():
                x = layer(x)
        found = x.relu().sum(dim=(2, 3), dtype=torch.float32)  # (batch, width)
        with torch.autocast(x.device.type, enabled=False):
            fitting = (self.linear_feat(feature) * found).sum(dim=1)
            scores: Tensor = self.linear(found)[:, 0] + fitting
        return scores
