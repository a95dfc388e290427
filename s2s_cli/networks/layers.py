"""Blocks that more than one network is made of."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ResNetConfig:
    """A residual trunk (arXiv:1512.03385). The defaults are ResNet-18."""

    block: Literal["basic", "bottleneck"] = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)  # blocks in each stage
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each stage, before any expansion
    in_channels: int = 3
    stem_padding: int = 3  # zeros around the input of the first, 7x7 convolution

    @property
    def features(self) -> int:
        """Length of the pooled feature."""
        return self.widths[-1] * EXPANSION[self.block]


EXPANSION = {"basic": 1, "bottleneck": 4}  # a bottleneck block widens its output four times

RESNET50 = ResNetConfig(block="bottleneck", depths=(3, 4, 6, 3))


def shortcut(channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """The 1x1 path around a block whose shape changes; None where the identity will do."""
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input may pass."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns (batch, width, h / stride, w / stride)."""
        around = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        return torch.relu(self.bn2(self.conv2(x)) + around)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the stride sits in the 3x3, as in torchvision and SwAV."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        wide = width * EXPANSION["bottleneck"]
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample = shortcut(channels, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns (batch, 4 * width, h / stride, w / stride)."""
        around = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return torch.relu(self.bn3(self.conv3(x)) + around)


class ResNet(nn.Module):
    """A ResNet without its classifier; parameter names are torchvision's."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        stem = config.widths[0]
        self.conv1 = nn.Conv2d(config.in_channels, stem, 7, 2, config.stem_padding, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        block = BasicBlock if config.block == "basic" else Bottleneck
        channels = stem
        for number, (depth, width) in enumerate(
            zip(config.depths, config.widths, strict=True), start=1
        ):
            stage = nn.Sequential()
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                stage.append(block(channels, width, stride))
                channels = width * EXPANSION[config.block]
            self.add_module(f"layer{number}", stage)
        self.stages = len(config.depths)

    def maps(self, x: Tensor) -> list[Tensor]:
        """x: (batch, in_channels, h, w). Returns the maps behind each stage, all >= 0.

        Those of the first are (batch, its features, h / 4, w / 4); each further one halves the
        sides.
        """
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        found = []
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, in_channels, h, w). Returns the pooled feature (batch, features), all >= 0."""
        return self.maps(x)[-1].mean(dim=(2, 3))


INSTANCE_EPS = 1e-5  # torch's own default, with which the published networks were trained


class InstanceNorm(nn.Module):
    """Every map of every picture to mean 0 and deviation 1 (arXiv:1607.08022); nothing learned.

    The tiles of one large picture must be normalised alike, or their seams would show. So it can
    ``learn`` mean and variance from a batch of crops of one picture, and normalise everything by
    these until it is told to ``forget``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Normalise every map by its own mean and variance again."""
        self.learns = False
        self.learnt: tuple[Tensor, Tensor] | None = None  # mean, and 1 / deviation, of each map

    def learn(self) -> None:
        """The next batch is crops of one picture: what is after it is normalised by them."""
        self.learns, self.learnt = True, None

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Same shape."""
        if self.learns:
            variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0, keepdim=True)
            self.learns, self.learnt = False, (mean, (variance + INSTANCE_EPS).rsqrt())
        if self.learnt is not None:
            mean, scale = self.learnt
            return torch.addcmul(-mean * scale, x, scale)
        # F.instance_norm rearranges channels-last maps, which makes a small stylizer slower by
        # half on a CPU; F.group_norm does not, but loses digits there.
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        variance = centred.square().mean(dim=(2, 3), keepdim=True)
        return centred * (variance + INSTANCE_EPS).rsqrt()


def reflected(x: Tensor, border_px: int) -> Tensor:
    """A map continued by its mirror image on all sides, as ``nn.ReflectionPad2d`` does.

    That one works in float32 only under autocast, and back and forth is slower than to compute.

    x: (batch, channels, h, w), sides above ``border_px``.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.pad(x, [border_px] * 4, mode="reflect")


class BlurDown(nn.Module):
    """Half the side without aliasing: blurred by (1, 2, 1) / 4 both ways (arXiv:1904.11486)."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w), sides at least 2. Returns (batch, channels, h / 2, w / 2)."""
        taps = x.new_tensor((0.25, 0.5, 0.25))
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(reflected(x, 1), kernel, stride=2, groups=x.shape[1])
