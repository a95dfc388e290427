"""Where in a picture a sound comes from, and so whether it comes from there at all.

Sound2Scene section 3.3 trains on the moments at which picture and sound agree best, as a network of
this kind tells it (arXiv:2104.02691).
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig

# The published tri-map: places more similar to a sound than the one make it, less than the other
# do not, and between them nobody knows.
SOUNDING, SILENT = 0.65, 0.4
SOFTNESS = 0.03  # of both edges


@dataclass(frozen=True)
class LocaliserConfig:
    """Both towers. The defaults are two ResNet-18s, 224 px, and 3 s of sound, as published."""

    image: ImageEncoderConfig = field(
        default_factory=lambda: ImageEncoderConfig(ResNetConfig(), squash_px=0)
    )
    audio: AudioEncoderConfig = field(  # its features are the space that both share
        default_factory=lambda: AudioEncoderConfig(features=512, seconds=3.0, relu=False)
    )


class Localiser(nn.Module):
    """Every place of a picture, and a sound, as unit vectors of one space.

    A place is what one number of the image trunk's last map stands for: about 32 px of what the
    trunk sees, and their surroundings.
    """

    def __init__(self, config: LocaliserConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageEncoder(config.image)
        self.audio = AudioEncoder(config.audio)
        self.project = nn.Conv2d(self.image.features, config.audio.features, 1)

    @classmethod
    def of(cls, image: ImageEncoder, audio: AudioEncoder) -> "Localiser":
        """One of two encoders that share a space already, as those of a model that paints.

        Raises:
            ValueError: their features differ in length.
        """
        if image.features != audio.config.features:
            raise ValueError(f"{image.features} and {audio.config.features} features share nothing")
        localiser = cls(LocaliserConfig(image.config, audio.config))
        localiser.image, localiser.audio = image, audio
        nn.init.dirac_(localiser.project.weight)  # the identity
        nn.init.zeros_(localiser.project.get_parameter("bias"))
        device = image.feature_mean.device
        return localiser.to(device).train(image.training)

    def maps(self, pictures: Tensor) -> Tensor:
        """q_V of each place.

        pictures: (batch, 3, h, w) in [-1, 1]. Returns (batch, features, h', w'), of length 1.
        """
        image = self.image
        found = image.trunk.maps(image.prepare(pictures))[-1]
        mean, std = (v[:, None, None] for v in (image.feature_mean, image.feature_std))
        return F.normalize(self.project((found - mean) / std).float())

    def hear(self, spectrograms: Tensor) -> Tensor:
        """q_A: (batch, frequencies, frames) becomes (batch, features), of length 1."""
        return F.normalize(self.audio(spectrograms).float())

    def similarity(self, pictures: Tensor, spectrograms: Tensor) -> Tensor:
        """How much each place looks like the sound, as cosines.

        Args:
            pictures: (batch, 3, h, w) in [-1, 1].
            spectrograms: (batch, frequencies, frames), as the front end gives them.

        Returns:
            (batch, h', w').
        """
        return torch.einsum("bchw,bc->bhw", self.maps(pictures), self.hear(spectrograms))

    def score(self, pictures: Tensor, spectrograms: Tensor) -> Tensor:
        """C_av[t] = q_V . q_A: how well each picture goes with its sound, from -1 to 1, (batch,).

        Of the places, those that ``response`` asks.
        """
        return response(self.similarity(pictures, spectrograms))


def response(similarity: Tensor) -> Tensor:
    """Mean over the places that make the sound (P_i of arXiv:2104.02691).

    Where no place is as similar as ``SOUNDING``, the most similar one counts, and those that are
    nearly so.

    similarity: (..., h, w). Returns (...).
    """
    return mean_where(similarity, F.logsigmoid((similarity - SOUNDING) / SOFTNESS))


def background(similarity: Tensor) -> Tensor:
    """Mean over the places that do not make it: the hard negative in N_i, (..., h, w) to (...)."""
    return mean_where(similarity, F.logsigmoid((SILENT - similarity) / SOFTNESS))


def mean_where(similarity: Tensor, log_mask: Tensor) -> Tensor:
    """<m, S> / |m|, with the logarithm of m given, since m itself may be too small to divide by."""
    return (log_mask.flatten(-2).softmax(dim=-1) * similarity.flatten(-2)).sum(dim=-1)
