"""f_V: a picture becomes a feature (Sound2Scene section 3.2)."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.networks.layers import RESNET50, ResNet, ResNetConfig

# The statistics of ImageNet in [0, 1], by which every published trunk expects its input scaled.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Sizes and input of an image encoder. The defaults are the SwAV ResNet-50 of the paper."""

    resnet: ResNetConfig = field(default_factory=lambda: RESNET50)
    squash_px: int = 256  # first squashed to this square, as the authors' loader does; 0 = not
    picture_px: int = 224  # what the trunk sees


class ImageEncoder(nn.Module):
    """A ResNet trunk whose pooled output is centred and scaled by fixed statistics.

    The published encoder has mean 0 and deviation 1 there: its features stay as they are. Ours are
    standardised over the training photos, so that unit-norm features spread over the whole sphere
    and not over one of its corners.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNet(config.resnet)
        self.register_buffer("feature_mean", torch.zeros(config.resnet.features))
        self.register_buffer("feature_std", torch.ones(config.resnet.features))

    @property
    def features(self) -> int:
        """Length of the feature."""
        return self.config.resnet.features

    def prepare(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, h, w) in [-1, 1]. Returns the trunk's input, any size squashed."""
        side = self.config.picture_px
        pictures = squash(pictures, self.config.squash_px or side)
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side, side), mode="bicubic", align_corners=True)
        return scale_pixels(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, h, w) in [-1, 1]. Returns features (batch, features)."""
        pooled: Tensor = self.trunk(self.prepare(pictures))
        return (pooled - self.feature_mean) / self.feature_std


def squash(pictures: Tensor, side_px: int) -> Tensor:
    """Any size (batch, 3, h, w) brought to a square, smoothed where it shrinks."""
    if pictures.shape[-2:] == (side_px, side_px):
        return pictures
    return F.interpolate(pictures, (side_px, side_px), mode="bilinear", antialias=True)


def scale_pixels(pictures: Tensor) -> Tensor:
    """pictures in [-1, 1] become zero-mean, unit-deviation by ImageNet's statistics."""
    mean = pictures.new_tensor(PIXEL_MEAN)[:, None, None]
    std = pictures.new_tensor(PIXEL_STD)[:, None, None]
    return ((pictures + 1) / 2 - mean) / std
