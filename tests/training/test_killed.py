"""A run that is killed at any moment and gone on with gives the weights of an unbroken one."""

import random

import pytest
from killed import start, start_and_die_at_write

FILES = ["audio_encoder.safetensors", "generator.safetensors", "image_encoder.safetensors"]


@pytest.fixture
def train(tiny_recipe, tiny_data):
    """The words of the command, with a checkpoint after every step."""
    changes = []
    for stage in ("image-encoder", "autoencoder", "generator", "audio-encoder"):
        changes += ["--set", f"{stage}.plan.checkpoint-every=1"]
    return lambda run: ("train", tiny_recipe, "--data", tiny_data, "-o", run, "-q", *changes)


@pytest.fixture
def unbroken(train, tmp_path):
    process = start(*train(tmp_path / "unbroken"))
    process.join()
    assert process.exitcode == 0
    return weights(tmp_path / "unbroken")


def weights(run):
    return [(run / "model" / name).read_bytes() for name in FILES]


def test_killed_at_random_moments(train, unbroken, tmp_path):
    chance, kills, longest_s = random.Random(0), 0, 0.4
    while True:
        process = start(*train(tmp_path / "broken"))
        process.join(chance.uniform(0, longest_s))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills, longest_s = kills + 1, longest_s * 1.2  # or a slow machine would never end
    assert process.exitcode == 0
    assert kills >= 3
    assert weights(tmp_path / "broken") == unbroken


def test_killed_in_the_middle_of_writing(train, unbroken, tmp_path):
    """Files are the origin, the recipe, the log, and then checkpoints and features."""
    run = tmp_path / "broken"
    for number in (1, 2, 3, 4, 5, 7, 9):
        process = start_and_die_at_write(number, *train(run))
        process.join()
        assert process.exitcode == -9
    process = start(*train(run))
    process.join()
    assert process.exitcode == 0
    assert weights(run) == unbroken
