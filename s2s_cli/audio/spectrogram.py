"""What the audio encoders see of a sound. Every front end gives (batch, frequencies, frames)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

N_FFT = 512  # 32 ms at 16 kHz: 257 frequencies, 31.25 Hz apart
SAMPLE_RATE = 16_000  # Hz, of every front end

PSD_HOP = 159  # samples; 512 with an overlap of 353, as the authors' code has it
PSD_FLOOR = 1e-7  # added before the logarithm

LOUDNESS_HOP = 320  # samples: 50 frames a second
QUIETEST_DB = -100.0  # of full scale; below this we hear nothing
DB_SPREAD = 25.0  # about the deviation over real recordings: brings decibels near unit scale
MEL_BANDS = 64

MAGNITUDE_WINDOW = 400  # samples: 25 ms, in the middle of the 512 that are transformed
MAGNITUDE_HOP = 160  # samples: 10 ms


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
    log: Tensor = (power_density(waves) + PSD_FLOOR).log()
    mean = log.mean(dim=(1, 2), keepdim=True)
    std = log.std(dim=(1, 2), keepdim=True, correction=0)
    return (log - mean) / (std + 1e-9)


def power_density(waves: Tensor) -> Tensor:
    """waves: (batch, samples), clipped. Returns their power a hertz, (batch, 257, frames)."""
    frames = waves.clamp(-1, 1).unfold(1, N_FFT, PSD_HOP)  # (batch, frames, 512)
    frames = frames - frames.mean(dim=2, keepdim=True)
    window = tukey(N_FFT, 0.25).to(waves)
    power = torch.fft.rfft(frames * window).abs().square() / (SAMPLE_RATE * window.square().sum())
    power[..., 1:-1] *= 2  # one-sided: every frequency but 0 and Nyquist stands for two
    density: Tensor = power.transpose(1, 2)
    return density


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
    return scaled_decibels(power(waves))


def mel(waves: Tensor) -> Tensor:
    """As ``loudness``, of 64 bands as wide as the ear's, which blurs what tells recordings apart.

    Args:
        waves: (batch, samples >= 512) at 16 kHz.

    Returns:
        (batch, 64, frames), frames = samples // 320 + 1; each the power in its band.
    """
    return scaled_decibels(mel_power(waves))


def scaled_decibels(powers: Tensor) -> Tensor:
    """Powers, 1 at full scale, as decibels of which all that recordings hold lies in about +-2."""
    decibels = 10 * powers.clamp_min(10 ** (QUIETEST_DB / 10)).log10()
    return (decibels - QUIETEST_DB / 2) / DB_SPREAD


def power(waves: Tensor) -> Tensor:
    """waves: (batch, samples). Returns (batch, 257, frames); a full-scale sine reads 1."""
    window = torch.hann_window(N_FFT, device=waves.device)
    spectrum = torch.stft(waves, N_FFT, LOUDNESS_HOP, window=window, return_complex=True)
    powers: Tensor = (spectrum.abs() / (window.sum() / 2)).square()
    return powers


def mel_power(waves: Tensor) -> Tensor:
    """The same, summed over bands that overlap: (batch, 64, frames)."""
    bands = melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, MEL_BANDS, SAMPLE_RATE)
    powers = power(waves)
    banded: Tensor = bands.T.to(powers) @ powers
    return banded


def magnitude(waves: Tensor) -> Tensor:
    """avstyle's front end: how strong each frequency is, linear, nothing normalised away.

    Equal to nnAudio 0.2.2's ``STFT(n_fft=512, win_length=400, hop_length=160)``: periodic Hann
    window, frames centred on multiples of the hop, the ends reflected. Twice the amplitude reads
    twice the number; that the published encoder hears no volume is its loader's doing
    (``audio.mixing.bring_to_peak``), not this function's.

    Args:
        waves: (batch, samples >= 257) at 16 kHz.

    Returns:
        (batch, 257, frames), frames = samples // 160 + 1; 3 s give 301. At least 0; a full-scale
        sine reads 100, half the window's sum.
    """
    window = torch.hann_window(MAGNITUDE_WINDOW, device=waves.device)
    spectrum = torch.stft(
        waves, N_FFT, MAGNITUDE_HOP, MAGNITUDE_WINDOW, window, return_complex=True
    )
    return spectrum.abs()


def median_above_floor_db(waves: Tensor, front_end: str) -> float:
    """How far the middle of all that a front end sees lies above what it takes for silence.

    At 0 half of the sound is hidden; infinite where a front end takes nothing for silence.
    waves: (batch, samples).
    """
    if front_end == "magnitude":
        return math.inf
    if front_end == "standardised":
        return 10 * math.log10(float(power_density(waves).median().clamp_min(1e-30)) / PSD_FLOOR)
    powers = mel_power(waves) if front_end == "mel" else power(waves)
    return 10 * math.log10(float(powers.median().clamp_min(1e-30))) - QUIETEST_DB


FRONT_ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "standardised": standardised,
    "loudness": loudness,
    "mel": mel,
    "magnitude": magnitude,
}
