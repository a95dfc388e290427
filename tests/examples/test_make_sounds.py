"""The example sounds are what their script says, and are fit to be shown."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_script():
    spec = importlib.util.spec_from_file_location("make_sounds", EXAMPLES / "make_sounds.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_sounds = load_script()
NAMES = [scene.__name__ for scene in make_sounds.SCENES]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    make_sounds.make(folder)
    return folder


def test_every_committed_sound_has_its_function(made):
    committed = sorted(path.name for path in (EXAMPLES / "sounds").iterdir())
    assert committed == sorted(path.name for path in made.iterdir())


def test_the_same_bytes_come_out_each_time(made, tmp_path):
    make_sounds.make(tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.wav").read_bytes() == (made / f"{name}.wav").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_the_committed_sound(made, name):
    """To within one step of 16 bits, for processors differ in the last digit of a sine."""
    again, rate = soundfile.read(made / f"{name}.wav", dtype="int16")
    committed, committed_rate = soundfile.read(EXAMPLES / "sounds" / f"{name}.wav", dtype="int16")
    assert rate == committed_rate == 16_000
    assert np.abs(again.astype(int) - committed).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_is_small_loud_enough_and_loops(name):
    path = EXAMPLES / "sounds" / f"{name}.wav"
    wave, _ = soundfile.read(path)
    assert path.stat().st_size <= 160 * 1024
    assert wave.shape == (5 * 16_000,)
    assert -40 < 20 * np.log10(wave.std()) < -15
    assert np.mean(np.abs(wave) > 0.999) < 0.001  # hardly a sample is clipped
    steps = np.abs(np.diff(wave))
    assert abs(wave[0] - wave[-1]) <= steps.max()  # no click where it starts again
