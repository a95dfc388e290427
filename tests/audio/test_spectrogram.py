"""What the encoders see: loudness kept in ours, standardised away in Sound2Scene's."""

import numpy as np
import pytest
import scipy.signal
import torch
import torchaudio
from conftest import tone

from s2s_cli.audio.spectrogram import (
    LOUDNESS_HOP,
    N_FFT,
    PSD_FLOOR,
    loudness,
    magnitude,
    median_above_floor_db,
    mel,
    power_density,
    standardised,
)

WAVE = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, 16_000))).float()


def test_the_published_front_end_is_scipys_spectrogram():
    """nperseg 512, noverlap 353, log(p + 1e-7), each clip to mean 0 and deviation 1."""
    _, _, power = scipy.signal.spectrogram(WAVE[0].numpy(), 16_000, nperseg=512, noverlap=353)
    log = np.log(power + 1e-7)
    expected = (log - log.mean()) / (log.std() + 1e-9)
    assert standardised(WAVE)[0].numpy() == pytest.approx(expected, abs=1e-3)


def test_a_gain_well_above_the_floor_leaves_the_published_front_end_as_it_was():
    both = torch.stack([standardised(2 * WAVE).flatten(), standardised(WAVE).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.98  # what is left is the floor


def test_decibels_are_torchaudios():
    spectrogram = torchaudio.transforms.Spectrogram(N_FFT, hop_length=LOUDNESS_HOP, power=1)
    amplitude = spectrogram(WAVE) / (torch.hann_window(N_FFT).sum() / 2)
    expected = 20 * amplitude.clamp_min(1e-5).log10()
    assert torch.allclose(loudness(WAVE), (expected + 50) / 25, atol=1e-5)


def test_mel_bands_are_torchaudios():
    spectrogram = torchaudio.transforms.MelSpectrogram(
        16_000, N_FFT, hop_length=LOUDNESS_HOP, n_mels=64
    )
    power = spectrogram(WAVE) / (torch.hann_window(N_FFT).sum() / 2) ** 2
    expected = 10 * power.clamp_min(1e-10).log10()
    assert torch.allclose(mel(WAVE), (expected + 50) / 25, atol=1e-4)
    assert (mel(torch.zeros(1, 16_000)) == -2).all()


def test_a_full_scale_sine_reads_0_db_and_silence_the_floor():
    sine = torch.from_numpy(tone(1000, 1, amplitude=1))[None]
    assert loudness(sine)[0, 32, 25].item() == pytest.approx(2, abs=0.001)  # 32 * 31.25 Hz = 1 kHz
    assert (loudness(torch.zeros(1, 16_000)) == -2).all()


@pytest.mark.parametrize("front_end", [loudness, mel])
@pytest.mark.parametrize("gain_db", [-20, -6, 12])
def test_volume_survives(gain_db, front_end):
    """Otherwise every picture of a volume sweep would be the same."""
    before = front_end(WAVE)
    change = (front_end(10 ** (gain_db / 20) * WAVE) - before)[before > 0]  # well above the floor
    assert torch.allclose(change, torch.tensor(gain_db / 25), atol=1e-3)


@pytest.mark.parametrize(
    ("front_end", "shape"),
    [(loudness, (257, 501)), (mel, (64, 501)), (standardised, (257, 1004))],
)
def test_ten_seconds_have_the_documented_shape(front_end, shape):
    assert front_end(WAVE.repeat(1, 10)).shape == (1, *shape)


def test_magnitudes_are_torchaudios():
    spectrogram = torchaudio.transforms.Spectrogram(
        512, win_length=400, hop_length=160, power=1, window_fn=torch.hann_window
    )
    torch.testing.assert_close(magnitude(WAVE), spectrogram(WAVE), rtol=1e-4, atol=1e-5)
    assert magnitude(WAVE.repeat(1, 3)).shape == (1, 257, 301)


def test_a_full_scale_sine_has_half_the_windows_sum_and_half_of_it_half_of_that():
    sine = torch.from_numpy(tone(1000, 1, amplitude=1))[None]
    assert magnitude(sine)[0, 32, 50].item() == pytest.approx(100, abs=0.1)
    assert magnitude(sine / 2)[0, 32, 50].item() == pytest.approx(50, abs=0.1)
    assert median_above_floor_db(sine, "magnitude") == np.inf  # nothing is hidden


@pytest.mark.parametrize("front_end", ["standardised", "loudness", "mel"])
def test_at_its_floor_half_of_a_sound_is_hidden(front_end):
    """The independent truth: a count of what lies below the floor, after the gain."""
    chance = torch.Generator().manual_seed(0)
    wave = 0.02 * torch.randn(1, 32_000, generator=chance)
    gain_db = -median_above_floor_db(wave, front_end)
    lowered = 10 ** (gain_db / 20) * wave
    if front_end == "standardised":
        hidden = (power_density(lowered) < PSD_FLOOR).float().mean()
    else:
        hidden = ({"loudness": loudness, "mel": mel}[front_end](lowered) <= -2).float().mean()
    assert hidden.item() == pytest.approx(0.5, abs=0.01)
