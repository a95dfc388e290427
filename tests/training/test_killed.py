"""A run that is killed at any moment and gone on with gives the weights of an unbroken one."""

import random
import time

import pytest
from conftest import TINY_RECIPE
from killed import start, start_and_die_at_write

FILES = ["audio_encoder.safetensors", "generator.safetensors", "image_encoder.safetensors"]
KILLS = 5

pytestmark = pytest.mark.timeout(900)  # a busy machine may be many times slower


@pytest.fixture(scope="module")
def train(tmp_path_factory, tiny_data):
    """The words of the command, with a checkpoint after each of a few steps."""
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(TINY_RECIPE)
    changes = []
    for stage in ("image-encoder", "autoencoder", "generator", "audio-encoder"):
        changes += ["--set", f"{stage}.plan.checkpoint-every=1", "--set", f"{stage}.plan.steps=3"]
    return lambda run: ("train", path, "--data", tiny_data, "-o", run, "-q", *changes)


@pytest.fixture(scope="module")
def unbroken(train, tmp_path_factory):
    """Weights, and how long it took to learn them: the second time, when torch is loaded."""
    for _ in range(2):
        run, began = tmp_path_factory.mktemp("unbroken"), time.monotonic()
        process = start(*train(run))
        process.join()
        assert process.exitcode == 0
    return weights(run), time.monotonic() - began


def weights(run):
    return [(run / "model" / name).read_bytes() for name in FILES]


def test_killed_at_random_moments(train, unbroken, tmp_path):
    """Whoever comes to the end before the next kill begins anew."""
    wanted, took_s = unbroken
    chance, kills, run = random.Random(0), 0, 0
    while kills < KILLS:
        process = start(*train(tmp_path / str(run)))
        process.join(chance.uniform(0, 0.7) * took_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        else:
            assert process.exitcode == 0
            assert weights(tmp_path / str(run)) == wanted
            run += 1
    process = start(*train(tmp_path / str(run)))
    process.join()
    assert process.exitcode == 0
    assert weights(tmp_path / str(run)) == wanted


def test_killed_in_the_middle_of_writing(train, unbroken, tmp_path):
    """Written are the origin, the recipe, the log, and then checkpoints and features."""
    for number in (1, 3, 4, 5, 7):
        process = start_and_die_at_write(number, *train(tmp_path))
        process.join()
        assert process.exitcode == -9
    process = start(*train(tmp_path))
    process.join()
    assert process.exitcode == 0
    assert weights(tmp_path) == unbroken[0]
