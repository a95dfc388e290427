"""f_A: a spectrogram becomes a feature in the image encoder's space (Sound2Scene section 3.2)."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from s2s_cli.networks.layers import ResNet, ResNetConfig


@dataclass(frozen=True)
class AudioEncoderConfig:
    """Sizes and input of an audio encoder. The defaults are the paper's."""

    resnet: ResNetConfig = field(default_factory=lambda: ResNetConfig(in_channels=1))
    features: int = 2048  # length of the image encoder's feature
    front_end: str = "standardised"  # a name in audio.spectrogram.FRONT_ENDS
    sample_rate: int = 16_000  # Hz
    seconds: float = 10.0  # every sound is tiled or cut to this
    # The paper ends in one linear layer; its code and its published weights have a ReLU behind it.
    relu: bool = True


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
