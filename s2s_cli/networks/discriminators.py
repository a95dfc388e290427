"""What judges a stylizer while it learns, and is waived afterwards (avstyle section 3.1).

The texture discriminator asks whether picture and sound belong together; the structure head asks
whether a restyled place is still the place that it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.networks.image_encoder import ImageEncoder, scale_pixels
from s2s_cli.networks.layers import BlurDown, InstanceNorm

# Of the spectrogram: with the "magnitude" front end below 8 kHz and the first 2.56 s, as published.
SEEN_BINS = SEEN_FRAMES = 256


@dataclass(frozen=True)
class PatchGANConfig:
    """A discriminator of overlapping patches (arXiv:1611.07004).

    The defaults are avstyle's, of the kind called 70 x 70; blurred halvings make that 84 px.
    """

    fusion: Literal["early", "late"] = "early"  # late is the ablation of Table 3
    widths: tuple[int, ...] = (64, 128, 256, 512)  # all but the last also halve the side


class PatchGAN(nn.Module):
    """A score for each patch of a picture: high where picture and sound occurred together.

    Early fusion lays the spectrogram beside the colours, as three more channels of the same size.
    Late fusion gives picture and spectrogram a trunk each and joins what they found; the authors
    name it (after arXiv:1905.12681) but publish no code, so the joint is ours.
    """

    def __init__(self, config: PatchGANConfig) -> None:
        super().__init__()
        self.config = config
        widest = config.widths[-1]
        if config.fusion == "early":
            self.trunk = trunk(6, config.widths)
        else:
            self.trunk = trunk(3, config.widths)
            # Without norms, which would hide how strong a frequency is from the mean that follows.
            self.ear = trunk(1, config.widths, norm=nn.Identity)
            # Without this layer a score would be a sum, in which any sound fits any picture.
            self.join = nn.Conv2d(2 * widest, widest, 1)
        self.score = nn.Conv2d(widest, 1, 4, padding=1)

    def forward(self, pictures: Tensor, spectrograms: Tensor) -> Tensor:
        """Judge every patch.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1], sides at least 32.
            spectrograms: (batch, frequencies, frames) as the front end gives it; of both axes the
                first 256 are seen, resized to the picture's size where that is another.

        Returns:
            Scores (batch, 1, about h / 8, about w / 8), without a sigmoid; 256 px give 30 x 30.
        """
        seen = spectrograms[:, None, :SEEN_BINS, :SEEN_FRAMES]
        if seen.shape[2:] != pictures.shape[2:]:
            seen = F.interpolate(seen, pictures.shape[2:], mode="bilinear", antialias=True)
        if self.config.fusion == "early":
            found = self.trunk(torch.cat([seen.expand(-1, 3, -1, -1), pictures], dim=1))
        else:
            found = self.trunk(pictures)
            heard = self.ear(seen).mean(dim=(2, 3), keepdim=True).expand_as(found)
            found = F.leaky_relu(self.join(torch.cat([found, heard], dim=1)), 0.2)
        scores: Tensor = self.score(found)
        return scores


class Connoisseur(nn.Module):
    """An image encoder that knows scenes before it judges, asked about every patch.

    Ours. A few hundred sounds do not teach a discriminator to read spectrograms, nor a few thousand
    steps to tell rain from snow. So it begins where a model's image encoder ends (as
    arXiv:2111.01007 does with a classifier), and hears what the model's audio encoder says, which
    means the same in the same places: at first, the better both agree, the higher the score. A sum
    of products lets the sound choose what counts (arXiv:1802.05637).
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        self.score = nn.Conv2d(encoder.features, 1, 1)
        self.wanted = nn.Linear(encoder.features, encoder.features)
        nn.init.eye_(self.wanted.weight)
        nn.init.zeros_(self.wanted.bias)
        for silent in self.score.parameters():
            nn.init.zeros_(silent)

    def train(self, mode: bool = True) -> "Connoisseur":
        """Its batch norms keep what they know: the few pictures of a step are no population."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, pictures: Tensor, heard: Tensor) -> Tensor:
        """Judge every patch.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1].
            heard: (batch, features), of mean 0 and deviation 1 over all sounds.

        Returns:
            Scores (batch, 1, about h / 32, about w / 32), without a sigmoid.
        """
        encoder = self.encoder
        found = encoder.trunk.maps(scale_pixels(pictures))[-1]
        mean, std = (v[:, None, None] for v in (encoder.feature_mean, encoder.feature_std))
        found = (found - mean) / std
        fitting = (found * self.wanted(heard)[:, :, None, None]).mean(dim=1, keepdim=True)
        scores: Tensor = self.score(found) + fitting
        return scores


def trunk(
    channels: int, widths: Sequence[int], norm: type[nn.Module] = InstanceNorm
) -> nn.Sequential:
    """4x4 convolutions, all but the last followed by half the side; no norm behind the first."""
    layers = nn.Sequential(
        nn.Conv2d(channels, widths[0], 4, padding=1), nn.LeakyReLU(0.2), BlurDown()
    )
    for number, (width, next_width) in enumerate(pairwise(widths), start=2):
        layers.append(nn.Conv2d(width, next_width, 4, padding=1))
        layers.append(norm())
        layers.append(nn.LeakyReLU(0.2))
        if number < len(widths):
            layers.append(BlurDown())
    return layers


@dataclass(frozen=True)
class StructureHeadConfig:
    """Sizes of the head behind PatchNCE. The defaults fit the published stylizer."""

    channels: tuple[int, ...] = (3, 128, 256, 256, 256)  # StylizerConfig.nce_channels
    width: int = 256  # of both layers


class StructureHead(nn.Module):
    """Maps of several layers become unit vectors of some of their places, by two layers each."""

    def __init__(self, config: StructureHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.mlps = nn.ModuleList(
            nn.Sequential(
                nn.Linear(channels, config.width), nn.ReLU(), nn.Linear(config.width, config.width)
            )
            for channels in config.channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Describe the same places of every picture of a batch.

        Args:
            maps: one a layer, (batch, channels, h, w), as ``Stylizer.encode`` gives them.
            places: one a layer, (patches,), as ``draw_places`` gives them.

        Returns:
            One tensor a layer, (batch, patches, width), of length 1.
        """
        described = []
        for mlp, grid, chosen in zip(self.mlps, maps, places, strict=True):
            patches = grid.flatten(2)[:, :, chosen].mT  # (batch, patches, channels)
            described.append(F.normalize(mlp(patches), dim=2))
        return described


def draw_places(
    maps: Sequence[Tensor], chance: torch.Generator, patches: int = 256
) -> list[Tensor]:
    """Which places of each layer to compare: ``h * w`` numbered by rows, none twice.

    Args:
        maps: one a layer, (batch, channels, h, w).
        chance: on the CPU.
        patches: so many at most (appendix A.2); a small map has fewer.

    Returns:
        One tensor a layer, (patches,), on the layer's device.
    """
    return [
        torch.randperm(grid.shape[2] * grid.shape[3], generator=chance)[:patches].to(grid.device)
        for grid in maps
    ]
