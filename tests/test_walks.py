"""Plans by themselves: what reaches the model, and from where an edit begins."""

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE
from PIL import Image

from s2s_cli.audio.spectrogram import PSD_FLOOR, power_density
from s2s_cli.choices import Through
from s2s_cli.picture.image import psnr_db, to_uint8
from s2s_cli.studio import Studio
from s2s_cli.walks import Volume, evenly, unsquashed


@pytest.fixture
def heard(deaf_model, tmp_path):
    """Ten seconds of noise, far from full scale and from the floor."""
    path = tmp_path / "noise.wav"
    wave = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE).clip(-3, 3)
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    return Studio.open(deaf_model).hear(path)


def test_through_clip_a_sweep_begins_at_full_scale_and_nothing_passes_it(heard):
    plan = Volume(from_db=-6, to_db=6, through=Through.CLIP)
    first, last = (plan.wave(heard, gain_db) for gain_db in (-6, 6))
    assert np.abs(first).max() == pytest.approx(1)
    assert np.abs(last).max() == 1
    # 12 dB more is nearly four times as much, wherever that is not beyond full scale.
    grown = 10 ** (12 / 20) * first
    assert last == pytest.approx(grown.clip(-1, 1), abs=1e-5)
    assert (np.abs(last) == 1).mean() > 0.05


def test_through_the_floor_half_is_hidden_in_the_middle_and_more_of_what_is_quieter(heard):
    plan = Volume(from_db=-12, to_db=12, through=Through.FLOOR)
    hidden = [
        (power_density(torch.from_numpy(plan.wave(heard, gain_db))[None]) < PSD_FLOOR)
        for gain_db in (-12, 0, 12)
    ]
    quiet, middle, loud = (share.float().mean().item() for share in hidden)
    assert middle == pytest.approx(0.5, abs=0.02)
    assert quiet > 0.9
    assert loud < 0.1


def test_an_inversion_loses_no_more_than_the_autoencoder_does(tiny_model, tmp_path):
    path = tmp_path / "photo.png"
    ramp = np.linspace(0, 255, 32)
    pixels = np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (32, 1)), 128 + 0 * np.eye(32)])
    Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8)).save(path)
    studio = Studio.open(tiny_model)
    found = studio.see(path).inversion(0)
    flow = studio.model.generator
    with torch.inference_mode():
        pictures = studio.as_tensor(np.asarray(Image.open(path)))
        kept = flow.autoencoder.decode(flow.autoencoder.encode(pictures)).clamp(-1, 1)
    assert psnr_db(found.painted, to_uint8(kept[0].numpy())) > 45


@pytest.mark.parametrize(
    ("size", "longer_px", "expected"),
    [
        ((3000, 4000), None, (32, 43)),
        ((400, 100), None, (128, 32)),
        ((10, 1000), None, (3, 256)),  # no longer than eight times the painting
        ((3000, 4000), 100, (75, 100)),
        ((1, 1), 16, (16, 16)),
    ],
)
def test_a_painting_takes_the_aspect_of_its_photo(size, longer_px, expected):
    assert unsquashed(32, *size, longer_px) == expected


def test_places_are_even_and_the_ends_exact():
    assert evenly(0.1, 0.3, 3) == [0.1, 0.2, 0.3]
    third = 1 / 3
    assert evenly(third, 1, 2) == [third, 1]
