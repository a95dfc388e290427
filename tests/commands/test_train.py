"""``s2s train`` from shards to a model that paints, stopped and gone on with."""

import json

import pytest
import torch

from s2s_cli.errors import RecipeError
from s2s_cli.training.loop import SingleStage, train
from s2s_cli.training.recipe import Plan, read_recipe
from s2s_cli.training.state import learning_rate

FILES = [
    "SHA256SUMS",
    "audio_encoder.safetensors",
    "generator.safetensors",
    "image_encoder.safetensors",
]


@pytest.fixture
def train_s2s(s2s, tiny_recipe, tiny_data):
    return lambda run, *more: s2s("train", tiny_recipe, "--data", tiny_data, "-o", run, *more)


def test_a_recipe_becomes_a_model_that_paints(s2s, train_s2s, low_wav, tmp_path):
    said = train_s2s(tmp_path / "run")
    model = tmp_path / "run" / "model"
    assert (said.code, said.lines) == (0, [str(model)])
    assert sorted(path.name for path in model.iterdir()) == FILES
    assert s2s("generate", low_wav, "-m", model, "-o", tmp_path / "out.png").code == 0
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    assert {entry["stage"] for entry in logged} == {
        "image-encoder", "autoencoder", "generator", "audio-encoder",
    }  # fmt: skip


def test_a_run_that_is_stopped_again_and_again_gives_the_very_same_weights(train_s2s, tmp_path):
    train_s2s(tmp_path / "unbroken")
    stops = 0
    while not train_s2s(tmp_path / "broken", "--time-budget", "0.001s").lines:
        stops += 1
        assert stops < 100
    assert stops == 20  # after every step but the last of each of the four stages
    for name in FILES:
        broken, unbroken = (tmp_path / run / "model" / name for run in ("broken", "unbroken"))
        assert broken.read_bytes() == unbroken.read_bytes()


def test_what_was_frozen_stays_as_it_was(train_s2s, tmp_path):
    """The audio encoder learns last: the image encoder it looks at must not move."""
    train_s2s(tmp_path / "run")
    path = tmp_path / "run" / "image_encoder.safetensors"
    before = path.read_bytes()
    for name in ("audio_encoder.safetensors", "audio-encoder.checkpoint"):
        (tmp_path / "run" / name).unlink()
    train_s2s(tmp_path / "run")
    assert path.read_bytes() == before


def test_faults_of_a_recipe_are_told_at_once(s2s, tiny_recipe, tiny_data):
    text = (
        tiny_recipe.read_text()
        .replace("expander", "expandr")
        .replace("crop-px = 32", "crop-px = 'x'")
    )
    tiny_recipe.write_text(text)
    said = s2s("train", tiny_recipe, "--data", tiny_data)
    assert said.code == 1
    assert "image_encoder.expandr is unknown. Did you mean 'expander'?" in said.err
    assert "image_encoder.crop_px = 'x' must be a whole number" in said.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("name = ", "does not fit"), (None, "cannot be read (No such file")],
)
def test_a_broken_or_missing_recipe_is_a_sentence(s2s, tmp_path, text, sentence):
    path = tmp_path / "r.toml"
    if text is not None:
        path.write_text(text)
    said = s2s("train", path)
    assert said.code == 1
    assert sentence in said.err


def test_sizes_that_do_not_fit_together_are_refused(tiny_recipe):
    tiny_recipe.write_text(tiny_recipe.read_text().replace("features = 16", "features = 24", 1))
    with pytest.raises(RecipeError, match=r"features = 24 must equal the image encoder's 16"):
        read_recipe(tiny_recipe)


def test_missing_data_is_a_sentence(s2s, tiny_recipe, tmp_path):
    said = s2s("train", tiny_recipe, "--data", tmp_path)
    assert said.code == 1
    assert "There are no shards" in said.err


def test_a_checkpoint_of_another_recipe_is_refused(s2s, train_s2s, tiny_recipe, tmp_path):
    train_s2s(tmp_path / "run", "--time-budget", "0.01s")
    tiny_recipe.write_text(tiny_recipe.read_text().replace("expander = 16", "expander = 24"))
    said = train_s2s(tmp_path / "run")
    assert said.code == 1
    assert "holds a run of another recipe" in said.err


class Exploding(SingleStage):
    """A stage whose third step goes wrong."""

    name = "exploding"
    plan = Plan(steps=5, batch=1, learning_rate=0.1, checkpoint_every=1)

    def __init__(self):
        self.network = torch.nn.Linear(1, 1)
        self.step = 0

    def draw(self, chance):
        return {}

    def losses(self, batch, chance):
        self.step += 1
        return {
            "loss": self.network(torch.ones(1, 1)).sum() * (float("nan") if self.step == 3 else 1)
        }


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(RecipeError, match=r"is nan at step 2: lower its learning rate of 0\.1"):
        train(
            Exploding(), tmp_path, seed=0, device=torch.device("cpu"),
            watch=lambda *_: lambda _: None,
        )  # fmt: skip
    kept = torch.load(tmp_path / "exploding.checkpoint", weights_only=True)
    assert kept["step"] == 2
    assert all(weight.isfinite().all() for weight in kept["network"].values())


def test_the_learning_rate_warms_up_and_ends_at_nothing():
    plan = Plan(steps=100, batch=1, learning_rate=2.0, warmup_steps=10)
    assert learning_rate(0, plan) == pytest.approx(0.2, rel=0.01)
    assert learning_rate(50, plan) == pytest.approx(1.0)
    assert learning_rate(100, plan) == pytest.approx(0.0)
