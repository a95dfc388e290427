"""Inception-V3 as the Fréchet inception distance knows it (arXiv:1512.00567, arXiv:1706.08500).

Its layers are named as in ``pt_inception-2015-12-05-6726825d.pth``, the PyTorch form of the weights
that Google published in 2015 and that nearly every printed FID was made with. Those were learned in
another network than most libraries build: averages leave out what lies beyond the border, the
last block takes maxima where the one before takes averages, and there are 1008 classes.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE_PX = 299  # of the pictures that it sees
FEATURES = 2048
CLASSES = 1008  # the 1000 of ImageNet, and 8 that were never used

Kernel = int | tuple[int, int]  # height and width, if they differ
Pool = Literal["average", "max", "shrink"]  # of 3 x 3; "shrink" takes every second maximum


class Conv(nn.Module):
    """A convolution, a norm and a ReLU."""

    def __init__(
        self, channels: int, width: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns (batch, width, smaller h, smaller w), >= 0."""
        normed: Tensor = self.bn(self.conv(x))
        return normed.relu()


class Layer(NamedTuple):
    """One convolution of a branch."""

    name: str
    width: int
    kernel: Kernel = 1
    stride: int = 1  # 1 keeps the size by zeros around it; 2 adds none


class Fork(NamedTuple):
    """Two convolutions that see the same, and are joined."""

    left: Layer
    right: Layer


Branches = Sequence[Sequence[Layer | Fork]]


class Mixed(nn.Module):
    """Branches that see the same, and are joined; the last of them pools."""

    def __init__(self, channels: int, branches: Branches, how: Pool, pooled: int = 0) -> None:
        """how: to pool. pooled: channels of the convolution behind it; 0 = there is none."""
        super().__init__()
        self.branches = [
            [[layer.name for layer in layers_of(step)] for step in branch] for branch in branches
        ]
        self.how = how
        self.channels = pooled or channels  # of all branches together, when they are counted
        for branch in branches:
            width = channels
            for step in branch:
                for layer in layers_of(step):
                    self.add_module(layer.name, conv_of(width, layer))
                width = sum(layer.width for layer in layers_of(step))
            self.channels += width
        self.branch_pool = Conv(channels, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns all branches, (batch, self.channels, ...)."""
        joined = []
        for branch in self.branches:
            seen = x
            for names in branch:
                seen = torch.cat([self.get_submodule(name)(seen) for name in names], dim=1)
            joined.append(seen)
        return torch.cat([*joined, self.branch_pool(pool(x, self.how))], dim=1)


def layers_of(step: Layer | Fork) -> tuple[Layer, ...]:
    """Those that are side by side in it."""
    return (step,) if isinstance(step, Layer) else tuple(step)


def conv_of(channels: int, layer: Layer) -> Conv:
    """The convolution that a layer asks for."""
    height, width = layer.kernel if isinstance(layer.kernel, tuple) else (layer.kernel,) * 2
    padding = (height // 2, width // 2) if layer.stride == 1 else 0
    return Conv(channels, layer.width, (height, width), layer.stride, padding)


def pool(x: Tensor, how: Pool) -> Tensor:
    """3 x 3 neighbourhoods of (batch, channels, h, w); what lies beyond the border counts not."""
    if how == "shrink":
        return F.max_pool2d(x, 3, stride=2)
    if how == "max":
        return F.max_pool2d(x, 3, stride=1, padding=1)
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def mixed5(channels: int, pooled: int) -> Mixed:
    """At 35 x 35: 1 x 1, 5 x 5, and two of 3 x 3 in a row."""
    branches: Branches = (
        [Layer("branch1x1", 64)],
        [Layer("branch5x5_1", 48), Layer("branch5x5_2", 64, 5)],
        [
            Layer("branch3x3dbl_1", 64),
            Layer("branch3x3dbl_2", 96, 3),
            Layer("branch3x3dbl_3", 96, 3),
        ],
    )
    return Mixed(channels, branches, "average", pooled)


def mixed6a(channels: int) -> Mixed:
    """From 35 x 35 to 17 x 17."""
    branches: Branches = (
        [Layer("branch3x3", 384, 3, stride=2)],
        [
            Layer("branch3x3dbl_1", 64),
            Layer("branch3x3dbl_2", 96, 3),
            Layer("branch3x3dbl_3", 96, 3, stride=2),
        ],
    )
    return Mixed(channels, branches, "shrink")


def mixed6(channels: int, inner: int) -> Mixed:
    """At 17 x 17: 7 x 7 as rows and columns of 7, once and twice in a row."""
    row, column = (1, 7), (7, 1)
    branches: Branches = (
        [Layer("branch1x1", 192)],
        [
            Layer("branch7x7_1", inner),
            Layer("branch7x7_2", inner, row),
            Layer("branch7x7_3", 192, column),
        ],
        [
            Layer("branch7x7dbl_1", inner),
            Layer("branch7x7dbl_2", inner, column),
            Layer("branch7x7dbl_3", inner, row),
            Layer("branch7x7dbl_4", inner, column),
            Layer("branch7x7dbl_5", 192, row),
        ],
    )
    return Mixed(channels, branches, "average", pooled=192)


def mixed7a(channels: int) -> Mixed:
    """From 17 x 17 to 8 x 8."""
    branches: Branches = (
        [Layer("branch3x3_1", 192), Layer("branch3x3_2", 320, 3, stride=2)],
        [
            Layer("branch7x7x3_1", 192),
            Layer("branch7x7x3_2", 192, (1, 7)),
            Layer("branch7x7x3_3", 192, (7, 1)),
            Layer("branch7x7x3_4", 192, 3, stride=2),
        ],
    )
    return Mixed(channels, branches, "shrink")


def mixed7(channels: int, how: Pool) -> Mixed:
    """At 8 x 8: 3 x 3 as a row beside a column, alone and behind a whole one."""
    row, column = (1, 3), (3, 1)
    branches: Branches = (
        [Layer("branch1x1", 320)],
        [
            Layer("branch3x3_1", 384),
            Fork(Layer("branch3x3_2a", 384, row), Layer("branch3x3_2b", 384, column)),
        ],
        [
            Layer("branch3x3dbl_1", 448),
            Layer("branch3x3dbl_2", 384, 3),
            Fork(Layer("branch3x3dbl_3a", 384, row), Layer("branch3x3dbl_3b", 384, column)),
        ],
    )
    return Mixed(channels, branches, how, pooled=192)


class Inception(nn.Module):
    """From pictures to features and to logits of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)  # to 149 x 149
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = mixed5(192, pooled=32)
        self.Mixed_5c = mixed5(256, pooled=64)
        self.Mixed_5d = mixed5(288, pooled=64)
        self.Mixed_6a = mixed6a(288)
        self.Mixed_6b = mixed6(768, inner=128)
        self.Mixed_6c = mixed6(768, inner=160)
        self.Mixed_6d = mixed6(768, inner=160)
        self.Mixed_6e = mixed6(768, inner=192)
        self.Mixed_7a = mixed7a(768)
        self.Mixed_7b = mixed7(1280, "average")
        self.Mixed_7c = mixed7(2048, "max")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def describe(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, 299, 299) in [-1, 1]. Returns features (batch, 2048), all >= 0."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures)))
        x = pool(x, "shrink")  # to 73 x 73
        x = pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), "shrink")  # to 35 x 35
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6a(x)  # to 17 x 17
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7a(x)  # to 8 x 8
        x = self.Mixed_7c(self.Mixed_7b(x))
        features: Tensor = x.mean(dim=(2, 3))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """features: (batch, 2048). Returns logits (batch, 1008), without the layer's bias.

        The first program for inception scores (arXiv:1606.03498) left the bias out, and so have
        all that wish to print the same numbers.
        """
        return F.linear(features, self.fc.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, 299, 299) in [-1, 1]. Returns logits (batch, 1008), with bias."""
        logits: Tensor = self.fc(self.describe(pictures))
        return logits
