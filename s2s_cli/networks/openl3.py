"""OpenL3 (Cramer et al., ICASSP 2019): what sounds and pictures of one moment have in common.

Two networks of one kind were taught to tell whether a second of sound and a picture are from the
same video. These are the ones that hear a linear spectrogram, whose features have 512 numbers.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_RATE = 48_000  # Hz
WINDOW = SAMPLE_RATE  # samples that are heard at once
FRAME, HOP = 512, 242  # samples of the spectrogram
SOFTEST_DB = -80.0  # below the loudest of a window
SIDE_PX = 224  # of the pictures that it sees
FEATURES = 512

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)  # channels behind each convolution
EPS = 1e-3  # of the norms, as Keras sets it

Sense = Literal["hearing", "sight"]


class Stream(nn.Module):
    """One of the two: eight convolutions, of which the last makes the feature."""

    def __init__(self, sense: Sense) -> None:
        super().__init__()
        self.sense = sense
        widths = (1 if sense == "hearing" else 3, *WIDTHS)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=EPS) for width in widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(width, wider, 3, padding=1) for width, wider in pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 1, 257, 197) in dB, or (batch, 3, 224, 224) in [-1, 1].

        Returns features (batch, 512), which are maxima over the whole of x.
        """
        x = self.norms[0](x)
        for place, (conv, norm) in enumerate(
            zip(self.convs[:-1], self.norms[1:], strict=True), start=1
        ):
            x = conv(x)
            # So are the published layers: this once the other way round.
            odd = self.sense == "sight" and place == 2
            x = norm(x.relu()) if odd else norm(x).relu()
            if place in (2, 4, 6):
                x = F.max_pool2d(x, 2)
        last: Tensor = self.convs[-1](x)
        return last.amax(dim=(2, 3))


def spectrogram(windows: Tensor) -> Tensor:
    """How loud each frequency is, in dB below the loudest of its window.

    Args:
        windows: (batch, 48000), mono at 48 kHz.

    Returns:
        (batch, 1, 257, 197), in [-80, 0]: 10 times, not 20 times, the logarithm of an amplitude,
        as the network was taught.
    """
    hann = torch.hann_window(FRAME, device=windows.device)
    amplitude = torch.stft(
        windows, FRAME, HOP, window=hann, center=False, return_complex=True
    ).abs()
    level_db = 10 * amplitude.clamp(min=1e-10).log10()
    loudest_db = level_db.amax(dim=(1, 2), keepdim=True)
    return (level_db - loudest_db).clamp(min=SOFTEST_DB)[:, None]
