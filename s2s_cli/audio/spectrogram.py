"""What the audio encoders see of a sound. Both front ends give (batch, 257, frames)."""

from collections.abc import Callable

import torch
from torch import Tensor

N_FFT = 512  # 32 ms at 16 kHz: 257 frequencies, 31.25 Hz apart
SAMPLE_RATE = 16_000  # Hz, of both front ends

PSD_HOP = 159  # samples; 512 with an overlap of 353, as the authors' code has it
PSD_FLOOR = 1e-7  # added before the logarithm

LOUDNESS_HOP = 320  # samples: 50 frames a second
QUIETEST_DB = -100.0  # of full scale; below this we hear nothing
DB_SPREAD = 25.0  # about the deviation over real recordings: brings decibels near unit scale


def standardised(waves: Tensor) -> Tensor:
    """The published front end: log power density, each clip scaled to mean 0 and deviation 1.

    Equal to ``scipy.signal.spectrogram(wave, 16000, nperseg=512, noverlap=353)`` (periodic Tukey
    window, each frame's mean removed, one-sided density), then log(p + 1e-7) and standardisation.
    A gain therefore acts only through the floor and through clipping to [-1, 1].

    Args:
        waves: (batch, samples >= 512) at 16 kHz; values beyond [-1, 1] are clipped.

    Returns:
        (batch, 257, frames), frames = (samples - 353) // 159; 10 s give 1004.
    """
    frames = waves.clamp(-1, 1).unfold(1, N_FFT, PSD_HOP)  # (batch, frames, 512)
    frames = frames - frames.mean(dim=2, keepdim=True)
    window = tukey(N_FFT, 0.25).to(waves)
    power = torch.fft.rfft(frames * window).abs().square() / (SAMPLE_RATE * window.square().sum())
    power[..., 1:-1] *= 2  # one-sided: every frequency but 0 and Nyquist stands for two
    log: Tensor = (power + PSD_FLOOR).log().transpose(1, 2)
    mean = log.mean(dim=(1, 2), keepdim=True)
    std = log.std(dim=(1, 2), keepdim=True, correction=0)
    log = (log - mean) / (std + 1e-9)
    return log


def tukey(samples: int, cosine_share: float) -> Tensor:
    """A periodic Tukey window: flat, with half a cosine on ``cosine_share / 2`` of either end."""
    position = torch.arange(samples, dtype=torch.float64) / samples  # [0, 1)
    edge = torch.minimum(position, 1 - position) / (
        cosine_share / 2
    )  # 1 where the flat part begins
    return 0.5 - 0.5 * torch.cos(torch.pi * edge.clamp(max=1))


def loudness(waves: Tensor) -> Tensor:
    """Decibels below full scale, nothing normalised away: louder sounds give larger numbers.

    Args:
        waves: (batch, samples >= 512) at 16 kHz.

    Returns:
        (batch, 257, frames), frames = samples // 320 + 1; (dB + 50) / 25 with dB in [-100, ...],
        so a sine of amplitude 1 reads 2 and silence reads -2.
    """
    window = torch.hann_window(N_FFT, device=waves.device)
    spectrum = torch.stft(waves, N_FFT, LOUDNESS_HOP, window=window, return_complex=True)
    amplitude = spectrum.abs() / (window.sum() / 2)  # 1 = a full-scale sine
    decibels = 20 * amplitude.clamp_min(10 ** (QUIETEST_DB / 20)).log10()
    return (decibels - QUIETEST_DB / 2) / DB_SPREAD


FRONT_ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "standardised": standardised,
    "loudness": loudness,
}
