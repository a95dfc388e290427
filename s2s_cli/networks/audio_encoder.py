"""f_A: a spectrogram becomes a feature.

In Sound2Scene (section 3.2) it is one of the image encoder's space; in avstyle ("Learning Visual
Styles from Audio-Visual Associations", section 3.1) one that the stylizer learns to obey.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from s2s_cli.networks.layers import ResNet, ResNetConfig


@dataclass(frozen=True)
class AudioEncoderConfig:
    """Sizes and input of an audio encoder. The defaults are Sound2Scene's."""

    resnet: ResNetConfig = field(default_factory=lambda: ResNetConfig(in_channels=1))
    features: int = 2048  # length of the feature
    front_end: str = "standardised"  # a name in audio.spectrogram.FRONT_ENDS
    sample_rate: int = 16_000  # Hz
    seconds: float = 10.0  # every sound is tiled or cut to this
    # The paper ends in one linear layer; its code and its published weights have a ReLU behind it.
    relu: bool = True
    # What every sound's peak is brought to before any gain that the user asks for: full scale is
    # 1, and 0 leaves sounds as loud as they are. See audio.mixing.bring_to_peak.
    peak: float = 0.0


def published_avstyle() -> AudioEncoderConfig:
    """avstyle's latest_net_Audio: a ResNet-18 on 3 s of linear magnitude, and a projection."""
    return AudioEncoderConfig(
        resnet=ResNetConfig(in_channels=1, stem_padding=1),
        features=256,
        front_end="magnitude",
        seconds=3.0,
        relu=False,
        peak=1 / 1.1,  # the authors' loader divides by 1.1 times the peak
    )


class AudioEncoder(nn.Module):
    """A one-channel ResNet and a linear layer."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResNet(config.resnet)
        self.head = nn.Linear(config.resnet.features, config.features)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """spectrograms: (batch, frequencies, frames). Returns features (batch, features)."""
        feature: Tensor = self.head(self.trunk(spectrograms[:, None]))
        return feature.relu() if self.config.relu else feature
