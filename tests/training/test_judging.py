"""A judge learns what shards name, and its recipe is checked before anything runs."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET, photos_of

from s2s_cli import registry
from s2s_cli.chance import Chance
from s2s_cli.data.shards import Photos, find_shards, load_photos
from s2s_cli.errors import DataError, RecipeError
from s2s_cli.networks.judge import JudgeConfig
from s2s_cli.training import judging
from s2s_cli.training.augmentation import as_pictures
from s2s_cli.training.judging import LearnJudge
from s2s_cli.training.loop import train
from s2s_cli.training.recipe import JudgeRecipe, Plan, read_recipe

RECIPE = JudgeRecipe(
    plan=Plan(steps=20, batch=8, learning_rate=1e-2, warmup_steps=2),
    network=JudgeConfig(("shrill", "deep"), TINY_RESNET, picture_px=32),
    crop_px=32,
)

TABLE = """
name = "bench"
[data]
photo-px = 40
[judge]
crop-px = 32
[judge.plan]
steps = 4
batch = 4
learning-rate = 1e-3
checkpoint-every = 2
ema-decay = 0.5
[judge.network]
scenes = ["deep", "shrill"]
picture-px = 32
[judge.network.resnet]
depths = [1, 1, 1, 1]
widths = [8, 8, 8, 16]
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TABLE)
    return path


def plain(colour: tuple[int, int, int], side: int = 50) -> torch.Tensor:
    """A picture of one colour, (1, 3, side, side) in [-1, 1]."""
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, side, side) / 127.5 - 1


def test_a_judge_learns_to_tell_two_colours_apart(tiny_data, tmp_path):
    torch.manual_seed(0)
    photos = load_photos(find_shards(tiny_data, "photos/*.tar"), 40)
    judge = train(
        LearnJudge(RECIPE, photos), tmp_path, seed=0, device=torch.device("cpu"),
        watch=lambda *_: lambda _: None,
    )  # fmt: skip
    red, blue = judge(plain((200, 30, 20))), judge(plain((20, 30, 200)))
    assert judge.config.scenes == ("shrill", "deep")  # in this order, whatever the shards'
    assert (red.argmax().item(), blue.argmax().item()) == (0, 1)


def black_and_white(count: int) -> Photos:
    """As many white photos as black ones."""
    pictures = torch.tensor([0, 255] * count, dtype=torch.uint8).view(-1, 1, 1, 1)
    keys = [f"{scene}/{number}" for number in range(count) for scene in ("black", "white")]
    return photos_of(keys, pictures.expand(-1, 3, 8, 8))


class Unmoved(torch.nn.Module):
    """Finds every scene as likely as it always does; keeps what it saw."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits
        self.head = torch.nn.Identity()

    def trunk(self, views):
        self.views = views
        return self.logits.expand(len(views), -1)


@pytest.mark.parametrize("mixed", [0.0, 0.5, 1.0])
def test_a_blend_of_two_photos_counts_as_much_for_each_as_it_shows_of_it(mixed, monkeypatch):
    """Mixup: how white a view is says how much of its label is white."""
    monkeypatch.setattr(judging, "random_views", lambda photos, *_: as_pictures(photos))
    monkeypatch.setattr(judging, "scale_pixels", lambda pictures: pictures)
    plan = Plan(steps=1, batch=64, learning_rate=0.1)
    network = JudgeConfig(("black", "white"), TINY_RESNET, picture_px=8)
    stage = LearnJudge(
        JudgeRecipe(plan, network, crop_px=8, mixed=mixed, smoothing=0), black_and_white(20)
    )
    stage.network = Unmoved(torch.tensor([0.3, -0.9]))
    chance = Chance()
    loss = stage.losses(stage.draw(chance), chance)["loss"]
    white = (stage.network.views.mean(dim=(1, 2, 3)) + 1) / 2
    black_odds, white_odds = torch.tensor([0.3, -0.9]).softmax(dim=0)
    expected = -(white * white_odds.log() + (1 - white) * black_odds.log()).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    grey = ((white > 1e-6) & (white < 1 - 1e-6)).float().mean().item()
    assert grey == pytest.approx(mixed / 2, abs=0.2)  # half the neighbours are of the own scene


def test_smoothed_labels_leave_a_little_to_every_scene(monkeypatch):
    monkeypatch.setattr(judging, "random_views", lambda photos, *_: as_pictures(photos))
    plan = Plan(steps=1, batch=16, learning_rate=0.1)
    network = JudgeConfig(("black", "white"), TINY_RESNET, picture_px=8)
    recipe = JudgeRecipe(plan, network, crop_px=8, mixed=0, smoothing=0.2)
    only_black = photos_of(("black/0", "white/0"), torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    stage = LearnJudge(recipe, only_black)
    stage.weights = torch.tensor([1.0, 0.0])
    stage.network = Unmoved(torch.tensor([2.0, 0.0]))
    sure, unsure = torch.tensor([2.0, 0.0]).log_softmax(dim=0).tolist()
    chance = Chance()
    loss = stage.losses(stage.draw(chance), chance)["loss"]
    assert loss.item() == pytest.approx(-(0.9 * sure + 0.1 * unsure), abs=1e-6)


def test_photos_of_other_scenes_are_never_drawn():
    photos = black_and_white(4)
    other = photos_of((*photos.keys, "grey/0"), torch.cat([photos.pictures, photos.take([0])]))
    network = JudgeConfig(("white", "black"), TINY_RESNET, picture_px=8)
    stage = LearnJudge(replace(RECIPE, network=network, crop_px=8), other)
    assert stage.weights[-1] == 0
    assert stage.scenes.tolist() == [1, 0] * 4 + [-1]


def test_scenes_without_photos_are_told_at_once():
    network = JudgeConfig(("black", "sea", "fire"), TINY_RESNET)
    with pytest.raises(DataError, match="The shards hold no photos of fire, sea: name other"):
        LearnJudge(replace(RECIPE, network=network), black_and_white(2))


def test_photos_alone_become_a_judge_and_a_stopped_run_the_very_same(
    s2s, recipe, tiny_data, tmp_path
):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photos").symlink_to(tiny_data / "photos")  # and no sounds
    run = ["train", recipe, "--data", tmp_path / "data", "-o"]
    said = s2s(*run, tmp_path / "unbroken")
    model = tmp_path / "unbroken" / "model"
    assert (said.code, said.lines) == (0, [str(model)])
    assert "s2s eval judge --data" in said.err
    assert sorted(path.name for path in model.iterdir()) == ["SHA256SUMS", registry.JUDGE]
    assert registry.open_judge(model).config.scenes == ("deep", "shrill")

    stops = 0
    while not s2s(*run, tmp_path / "broken", "--time-budget", "0.001s").lines:
        stops += 1
    assert stops == 3
    broken = tmp_path / "broken" / "model" / registry.JUDGE
    assert broken.read_bytes() == (model / registry.JUDGE).read_bytes()
    logged = [json.loads(line) for line in (tmp_path / "unbroken" / "log.jsonl").open()]
    assert [entry["stage"] for entry in logged] == ["judge"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("crop-px = 32", "crop-px = 41", "crop_px = 41 must be at most data.photo_px = 40"),
        ("crop-px = 32", "mixed = 1.5", "judge.mixed = 1.5 must be between 0 and 1"),
        ("crop-px = 32", "crop-pix = 3", "judge.crop_pix is unknown. Did you mean 'crop_px'?"),
        ('"shrill"', '"deep"', "scenes must be at least two different names"),
        ("depths", "in-channels = 1\ndepths", "in_channels must be 3"),
        ('["deep", "shrill"]', "7", "judge.network.scenes = 7 must be a list"),
    ],
)
def test_faults_of_a_recipe_are_sentences(recipe, old, new, sentence):
    recipe.write_text(TABLE.replace(old, new))
    with pytest.raises(RecipeError) as stop:
        read_recipe(recipe)
    assert sentence in str(stop.value)
    assert "\n" not in str(stop.value)
