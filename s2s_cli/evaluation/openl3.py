"""What OpenL3 hears and sees, for the audio-visual correspondence of avstyle (section 4.1, A.3)."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s2s_cli.audio.sound import Wave
from s2s_cli.evaluation.weights import open_openl3
from s2s_cli.networks.openl3 import SAMPLE_RATE, SIDE_PX, WINDOW, spectrogram

HOP_SECONDS = 0.1  # between windows, OpenL3's default
SHORTER_SIDE_PX = 256  # what pictures are brought to before their middle is seen
BATCH = 8  # windows that are heard together


class OpenL3:
    """Both networks: content "env", linear spectrogram, 512 numbers, as avstyle has them."""

    name = "OpenL3"  # stands beside every number

    def __init__(self, folder: Path | None = None, device: str = "cpu") -> None:
        """From the folder of the two files of Keras; None = among the metrics' networks.

        Raises:
            ModelError: a file is missing, damaged, or of another network; or h5py is missing.
        """
        self.hearing = open_openl3("hearing", folder, device)
        self.sight = open_openl3("sight", folder, device)
        self.device = device

    @torch.inference_mode()
    def hear(self, wave: Wave, hertz: int, hop_seconds: float = HOP_SECONDS) -> Tensor:
        """What is heard in a sound, (512,): the mean over windows of one second.

        The windows are laid as OpenL3 does it: the first has its middle at the beginning of the
        sound, silence fills what is missing at both ends. avstyle does not say how it makes one
        feature of several, nor of which hop; a mean leaves no window out.

        Args:
            wave: (samples,).
            hertz: its sample rate.
            hop_seconds: from window to window.
        """
        import soxr

        if hertz != SAMPLE_RATE:
            wave = soxr.resample(wave, hertz, SAMPLE_RATE)
        features = [
            self.hearing(spectrogram(some.to(self.device)))
            for some in windows_of(wave, round(hop_seconds * SAMPLE_RATE)).split(BATCH)
        ]
        return torch.cat(features).mean(dim=0).cpu()

    @torch.inference_mode()
    def see(self, picture: Tensor) -> Tensor:
        """What is seen in a picture, (3, h, w) in [-1, 1] of any size. Returns (512,)."""
        feature: Tensor = self.sight(middle(picture[None]).to(self.device))[0]
        return feature.cpu()


def windows_of(wave: Wave, hop: int) -> Tensor:
    """Every window of a sound at 48 kHz, (windows, 48000); the last ends at or after its end."""
    padded = np.pad(wave, (WINDOW // 2, 0))
    beyond = max(0, len(padded) - WINDOW)
    padded = np.pad(padded, (0, WINDOW + -(-beyond // hop) * hop - len(padded)))
    return torch.from_numpy(padded).float().unfold(0, WINDOW, hop)


def middle(pictures: Tensor) -> Tensor:
    """The middle 224 px of pictures whose shorter side is brought to 256 px.

    Those of 224 x 224 stay as they are. OpenL3 lets some other sizes through in [0, 1]; here all
    are in [-1, 1], as the network was taught.

    pictures: (batch, 3, h, w). Returns (batch, 3, 224, 224).
    """
    height, width = pictures.shape[-2:]
    if (height, width) == (SIDE_PX, SIDE_PX):
        return pictures
    scale = SHORTER_SIDE_PX / min(height, width)
    size = round(height * scale), round(width * scale)
    pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
    top, left = ((side - SIDE_PX) // 2 for side in size)
    return pictures[..., top : top + SIDE_PX, left : left + SIDE_PX]
