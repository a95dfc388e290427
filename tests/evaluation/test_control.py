"""What ``s2s eval control`` counts, on encoders whose answers are known, and as a command."""

import io
import json
import math
import tarfile
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
import torch
from conftest import add_to_tar, photos_of, sounds_of
from PIL import Image

from s2s_cli.audio.mixing import apply_gain_db
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError
from s2s_cli.evaluation import control
from s2s_cli.studio import Studio

SCENES = ("a", "b", "c", "d")
RATE = 16_000


@dataclass
class KnownStudio:
    """Hears which of four tones sounds, and how loud; paints that as a colour."""

    volume: float = 1.0  # how far loudness moves a feature
    deaf_to_mixtures: bool = False

    def feature_of(self, wave):
        spectrum = np.abs(np.fft.rfft(wave[:RATE])) / RATE
        amplitudes = spectrum[[200, 400, 800, 1600]].round(4)  # 16-bit noise is no tone
        if self.deaf_to_mixtures:
            amplitudes = np.eye(4)[amplitudes.argmax()]
        heard = amplitudes / np.linalg.norm(amplitudes)
        level_db = 20 * math.log10(float(np.linalg.norm(amplitudes)))
        return torch.tensor([*heard, self.volume * level_db / 100], dtype=torch.float32)

    def paint(self, feature, seed, look):
        return np.full((8, 8, 3), 128 + 100 * float(feature[-1]), np.uint8)


def tones(repeats: int = 2) -> Sounds:
    time = np.arange(RATE) / RATE
    keys, waves = [], []
    for scene, hertz in zip(SCENES, (200, 400, 800, 1600), strict=True):
        for number in range(repeats):
            keys.append(f"{scene}/{number}")
            wave = 0.05 * (1 + number) * np.sin(2 * np.pi * hertz * time)
            waves.append(torch.from_numpy((wave * 32_768).astype(np.int16)))
    return sounds_of(keys, waves)


def colours() -> Photos:
    keys = tuple(f"{scene}/{number}" for scene in SCENES for number in range(3))
    return photos_of(keys, torch.zeros(len(keys), 3, 32, 32, dtype=torch.uint8))


def examples(studio) -> control.Examples:
    return control.Examples(studio, tones(), colours(), per_scene=1, seed=0)


def no_watch() -> None:
    pass


def test_an_ear_for_volume_is_monotonic_and_a_deaf_one_is_not():
    monotonic, degrees, visible = control.volume(examples(KnownStudio(volume=1)), no_watch)
    assert (monotonic.value, visible.value) == (1, 1)
    assert degrees.value > 5
    monotonic, degrees, visible = control.volume(examples(KnownStudio(volume=0)), no_watch)
    assert (monotonic.value, visible.value) == (0, 0)
    assert degrees.value == pytest.approx(0, abs=0.1)


def test_a_mixture_heard_as_both_is_near_both_and_one_heard_as_one_is_not():
    average, every, latent = control.mixture(examples(KnownStudio(volume=0)), 20, no_watch)
    assert (average.value, every.value, latent.value) == (1, 1, 1)
    deaf = KnownStudio(volume=0, deaf_to_mixtures=True)
    average, every, latent = control.mixture(examples(deaf), 20, no_watch)
    assert (average.value, every.value) == (0, 0)
    assert latent.value == 1  # the features themselves were heard alone


def test_sounds_are_mixed_at_one_level():
    heard = examples(KnownStudio()).heard[0]
    for gain_db in (-20, 10):
        sound = control.as_sound(apply_gain_db(heard.sound.wave, gain_db), tones(), "x")
        wave = control.levelled(control.Heard(heard.studio, "x", sound)).sound.wave
        level_db = 10 * np.log10(np.square(wave, dtype=np.float64).mean())
        assert level_db == pytest.approx(control.EQUAL_DB, abs=0.01)


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 1, 2], True), ([0, 1, 1], False), ([0, 2, 1], False)]
)
def test_rising_is_rising_at_every_step(values, expected):
    assert control.rises(values) is expected


def test_two_scenes_are_too_few():
    sounds = tones()
    with pytest.raises(DataError, match="at least 3"):
        control.Examples(
            KnownStudio(),
            sounds_of(sounds.keys[:4], sounds.waves[:4]),
            colours(),
            per_scene=1,
            seed=0,
        )


def test_an_inversion_is_counted_by_what_the_encoder_sees(tiny_model):
    studio = Studio.open(tiny_model)
    chance = torch.Generator().manual_seed(0)
    keys = tuple(f"{scene}/{number}" for scene in SCENES for number in range(3))
    shades = torch.arange(len(SCENES)).repeat_interleave(3)[:, None, None, None] * 60.0
    noise = 20 * torch.rand(len(keys), 3, 32, 32, generator=chance)
    photos = photos_of(keys, (shades + noise).to(torch.uint8))
    some = control.Examples(studio, tones(), photos, per_scene=2, seed=0)
    psnr, survives, itself = control.inversion(some, 1, no_watch)
    assert psnr.of == "8 photos"
    truth = []
    for k in range(len(keys)):
        found = studio.invert(control.as_seen(some, k), 1)
        difference = found.painted.astype(float) - photos.pictures[k].permute(1, 2, 0).numpy()
        truth.append(10 * np.log10(255**2 / np.square(difference).mean()))
    assert min(truth) <= psnr.value <= max(truth)
    assert 0 <= survives.value <= 1
    assert itself.value >= 0.5  # the shades are far apart, even to a random encoder


@pytest.fixture
def validation(tmp_path):
    """A data folder with the validation shards of four scenes."""
    sounds, photos = tones(), colours()
    for kind in ("sounds", "photos"):
        (tmp_path / kind).mkdir()
    with tarfile.open(tmp_path / "sounds" / "val-000.tar", "w") as archive:
        for key, wave in zip(sounds.keys, sounds.waves, strict=True):
            file = io.BytesIO()
            soundfile.write(file, wave.numpy(), RATE, format="WAV")
            add_to_tar(archive, f"{key}.wav", file.getvalue())
    with tarfile.open(tmp_path / "photos" / "val-000.tar", "w") as archive:
        for shade, key in enumerate(photos.keys):
            file = io.BytesIO()
            Image.new("RGB", (40, 40), (20 * shade, 99, 200 - 10 * shade)).save(file, "PNG")
            add_to_tar(archive, f"{key}.png", file.getvalue())
    return tmp_path


def test_the_command_prints_a_line_a_measure_and_again_the_same(s2s, tiny_model, validation):
    arguments = (
        "eval", "control", "-m", tiny_model, "--data", validation,
        "--pairs", 3, "--photos", 1, "--json",
    )  # fmt: skip
    said = s2s(*arguments)
    assert said.code == 0, said.err
    told = [json.loads(line) for line in said.lines]
    assert len(told) == 10
    assert s2s(*arguments).out == said.out
    plain = s2s(*arguments[:-1])
    assert plain.lines[0].startswith(told[0]["measure"])


def test_data_that_is_not_there_is_a_sentence(s2s, tiny_model, tmp_path):
    said = s2s("eval", "control", "-m", tiny_model, "--data", tmp_path)
    assert said.code == 1
    assert "There are no shards" in said.err
