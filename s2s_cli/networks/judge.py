"""A judge tells which scene a picture shows; it paints nothing, and so is partial to nothing."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from s2s_cli.networks.image_encoder import scale_pixels, squash
from s2s_cli.networks.layers import ResNet, ResNetConfig


@dataclass(frozen=True)
class JudgeConfig:
    """What a judge knows, its sizes, and its input."""

    scenes: tuple[str, ...]  # in the order of its logits
    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    picture_px: int = 144  # what the trunk sees

    def __post_init__(self) -> None:
        if len(set(self.scenes)) != len(self.scenes) or len(self.scenes) < 2:
            raise ValueError("scenes must be at least two different names")
        if self.picture_px < 1:
            raise ValueError(f"picture_px = {self.picture_px} must be at least 1")


class Judge(nn.Module):
    """A ResNet trunk and one linear layer behind its pooled feature."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNet(config.resnet)
        self.head = nn.Linear(config.resnet.features, len(config.scenes))

    @property
    def features(self) -> int:
        """Length of the feature that ``describe`` gives."""
        return self.config.resnet.features

    def prepare(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, h, w) in [-1, 1]. Returns the trunk's input, any size squashed."""
        return scale_pixels(squash(pictures, self.config.picture_px))

    def describe(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, h, w) in [-1, 1]. Returns features (batch, features), all >= 0.

        They lie before the last layer, and say more of a picture than its scene: how like two sets
        of pictures are shows in them (arXiv:1706.08500).
        """
        described: Tensor = self.trunk(self.prepare(pictures))
        return described

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, h, w) in [-1, 1]. Returns logits (batch, scenes)."""
        logits: Tensor = self.head(self.describe(pictures))
        return logits
