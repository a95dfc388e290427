"""The paper's generator learns to paint a photo's neighbours, and becomes a plain model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from s2s_cli import registry
from s2s_cli.chance import Chance
from s2s_cli.data.shards import Photos
from s2s_cli.networks.biggan import BigGAN, BigGANConfig, published_128, published_256
from s2s_cli.networks.critic import (
    BigGANCriticConfig,
    published_critic_128,
    published_critic_256,
)
from s2s_cli.training import processes
from s2s_cli.training.gan import LearnBigGAN, orthogonal
from s2s_cli.training.loop import train
from s2s_cli.training.losses import hinge_discriminator, hinge_generator
from s2s_cli.training.recipe import BigGANRecipe, Pace, Plan, read_recipe
from s2s_cli.training.state import State, learning_rate
from s2s_cli.training.steps import nearest

CPU = torch.device("cpu")
COLOURS = {"deep": (-0.8, -0.8, 0.6), "shrill": (0.6, -0.8, -0.8)}  # in [-1, 1]
EACH = 6  # photos of each colour
TINY = BigGANRecipe(
    Plan(
        steps=40, batch=8, learning_rate=2e-3, warmup_steps=0, decay_steps=0, betas=(0.0, 0.999),
        weight_decay=0.0, clip_norm=0.0, ema_decay=0.8, checkpoint_every=100, sheet_every=0,
    ),
    BigGANConfig(channels=8, multipliers=(2, 1), attention_px=(), slot=4, features=4, condition=4),
    BigGANCriticConfig(channels=8, multipliers=(1, 2), attention_px=(), features=4),
    Pace(4e-3, betas=(0.0, 0.999)),
    neighbours=3,
    settling_batches=2,
)  # fmt: skip


@pytest.fixture
def photos() -> Photos:
    """Photos of 8 px in two colours; the number of each is in its first pixel's green."""

    def decode(number: int) -> Tensor:
        colour = torch.tensor(list(COLOURS.values())[number // EACH])
        photo = (127.5 * (colour + 1))[:, None, None].expand(3, 8, 8).round().to(torch.uint8)
        photo = photo.clone()
        photo[1, 0, :] = number
        return photo

    scenes = [scene for scene in COLOURS for _ in range(EACH)]
    return Photos([f"{scene}/{n}" for n, scene in enumerate(scenes)], 8, decode)


@pytest.fixture
def features() -> Tensor:
    """Features of two kinds; each has its own number, so that it can be told from the others."""
    kinds = torch.eye(4)[:2].repeat_interleave(EACH, 0)
    kinds[:, 2] = torch.linspace(-0.1, 0.1, 2 * EACH)
    return normalize(kinds)


@pytest.fixture
def begin(photos, features):
    """A stage of a recipe, its first weights always the same."""

    def begin(recipe: BigGANRecipe = TINY) -> LearnBigGAN:
        torch.manual_seed(0)
        stage = LearnBigGAN(recipe, photos, features, nearest(features, recipe.neighbours))
        stage.network.train()
        return stage

    return begin


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def unchanged(network: torch.nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# Losses


def test_hinge_losses_are_the_papers():
    real, fake = torch.tensor([2.0, 1.0, 0.5, -1.0]), torch.tensor([-3.0, -1.0, 0.0, 2.0])
    assert hinge_discriminator(real, fake).item() == pytest.approx((0.5 + 2) / 4 + (1 + 3) / 4)
    assert hinge_generator(fake).item() == pytest.approx(0.5)
    scores = torch.tensor([2.0, 0.5], requires_grad=True)
    hinge_discriminator(scores, fake).backward()
    assert scores.grad.tolist() == [0.0, -0.5]  # what is good enough teaches nothing
    scores = torch.tensor([[2.0], [0.5]], requires_grad=True)
    hinge_generator(scores).backward()
    assert scores.grad.flatten().tolist() == [-0.5, -0.5]


# What a batch is


def test_the_discriminator_sees_neighbours_of_the_instances_that_both_are_told(begin, features):
    stage = begin(replace(TINY, plan=replace(TINY.plan, batch=400), critic_steps=2))
    batch = stage.draw(Chance("step"))
    assert batch["photos"].shape == (2, 400, 3, 8, 8)
    assert batch["noise"].shape == (3, 400, TINY.network.dim_z)
    assert batch["features"].shape == (3, 400, 4)
    instances = (batch["features"] @ features.T).argmax(dim=2)
    assert torch.equal(features[instances], batch["features"])
    assert not torch.equal(instances[0], instances[1])
    assert set(instances.flatten().tolist()) == set(range(12))
    seen = batch["photos"][:, :, 1, 0, 0].long()
    for told, shown in zip(instances[:2].flatten(), seen.flatten(), strict=True):
        assert shown in stage.neighbours[told]
    places = (stage.neighbours[instances[:2]] == seen[..., None]).flatten(0, 1).float().mean(dim=0)
    assert places.tolist() == pytest.approx([1 / 3] * 3, abs=0.06)  # each neighbour as often


def test_a_batch_does_not_depend_on_how_it_is_shared_out(begin):
    stage = begin()
    whole, *halves = (stage.draw(Chance("step", *part)) for part in ((), (0, 2), (1, 2)))
    for name, rows in whole.items():
        assert torch.equal(torch.cat([half[name] for half in halves], dim=1), rows)


def test_scenes_can_be_drawn_equally_often(photos, features):
    unequal = Photos(photos.keys[: EACH + 2], 8, lambda n: photos.take([n])[0])
    recipe = replace(TINY, evenness=1.0, plan=replace(TINY.plan, batch=1000))
    stage = LearnBigGAN(recipe, unequal, features[: EACH + 2], nearest(features[: EACH + 2], 2))
    told = stage.draw(Chance("step"))["features"][..., 1] > 0.5  # shrill
    assert told.float().mean().item() == pytest.approx(0.5, abs=0.05)


# Who learns what


def test_each_network_is_taught_by_its_own_lesson_alone(begin):
    stage = begin(replace(TINY, critic_steps=2, diffaugment=("colour", "translation", "cutout")))
    chance = Chance("step")
    lessons = stage.lessons(stage.draw(chance), chance)
    for teaches, learns, rests in (
        ("critic", stage.critic, stage.generator),
        ("critic", stage.critic, stage.generator),
        ("generator", stage.generator, stage.critic),
    ):
        stage.network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            lesson = next(lessons)
        lesson.loss.backward()
        assert lesson.taught == (teaches,)
        assert lesson.loss.dtype == torch.float32
        assert all(weight.grad is None for weight in rests.parameters())
        assert all(weight.grad.isfinite().all() for weight in learns.parameters())
        assert all(weight.requires_grad for weight in rests.parameters())
    assert next(lessons, None) is None


def test_no_gradient_reaches_what_is_told(photos, features):
    given = features.clone().requires_grad_()
    stage = LearnBigGAN(TINY, photos, given, nearest(features, 3))
    stage.network.train()
    chance = Chance("step")
    batch = stage.draw(chance)
    for lesson in stage.lessons(batch, chance):
        lesson.loss.backward()
    assert given.grad is None
    assert not any(rows.requires_grad for rows in batch.values())


def test_the_discriminator_moves_at_its_own_pace(begin):
    """The first step of Adam moves every weight by the learning rate."""
    stage = begin()
    state, chance = State(stage.network, stage.learners, stage.plan), Chance("step")
    before = {name: list(map(torch.clone, learner.network.parameters()))
              for name, learner in stage.learners.items()}  # fmt: skip
    for lesson in stage.lessons(stage.draw(chance), chance):
        state.forget_gradients()
        lesson.loss.backward()
        state.update(lesson.taught)
    for name, rate in (("generator", 2e-3), ("critic", 4e-3)):
        now = stage.learners[name].network.parameters()
        moved = max((a - b).abs().max().item() for a, b in zip(now, before[name], strict=True))
        assert moved == pytest.approx(rate, rel=0.02)


def test_the_norms_see_what_other_processes_hold(monkeypatch, begin):
    monkeypatch.setattr(processes, "count", lambda: 4)
    stage = begin()
    assert {norm.processes for norm in stage.generator.norms} == {4}
    assert {norm.share for norm in stage.generator.norms} == {processes.averaged}


def test_first_weights_are_orthogonal():
    generator = orthogonal(BigGAN(TINY.network))
    kernel = generator.blocks[0][0].conv1.weight.flatten(1)  # (8, 16 * 9)
    torch.testing.assert_close(kernel @ kernel.T, torch.eye(8), rtol=0, atol=1e-5)
    tall = generator.linear.weight  # (256, 4)
    torch.testing.assert_close(tall.T @ tall, torch.eye(4), rtol=0, atol=1e-5)


# What is learned


def painted(generator: BigGAN) -> Tensor:
    """Mean colours of 16 paintings of each of the two kinds, (2, 3)."""
    told = torch.eye(4)[:2].repeat_interleave(16, 0)
    pictures = generator.paint(generator.noise(range(16)).repeat(2, 1), told)
    return pictures.mean(dim=(2, 3)).unflatten(0, (2, 16)).mean(dim=1)


def test_it_paints_the_colour_that_it_is_told_of(begin, tmp_path):
    """Blue outweighs red by 1.4 in one kind of photos, and red blue in the other."""
    stage = begin(replace(TINY, plan=replace(TINY.plan, steps=150)))
    learned = train(stage, tmp_path, seed=0, device=CPU, watch=lambda *_: lambda _: None)
    deep, shrill = painted(stage.finish(learned))
    assert (deep[2] - deep[0]) - (shrill[2] - shrill[0]) > 1.4  # half of what it should be


def test_a_discriminator_learns_to_tell_photos_from_paintings(begin, tmp_path):
    """With the generator held still."""
    still = replace(TINY.plan, steps=20, learning_rate=1e-9, ema_decay=0.0)
    told: list[dict[str, float]] = []
    stage = begin(replace(TINY, plan=still))
    train(stage, tmp_path, seed=0, device=CPU, watch=lambda *_: told.append)
    assert sum(measures["told_apart"] for measures in told[-5:]) / 5 > 0.95
    assert sum(measures["critic"] for measures in told[-5:]) / 5 < 0.5


def test_a_run_that_was_interrupted_gives_the_very_same_weights(begin, tmp_path):
    """Spectral norm's vectors and the norms' statistics are part of a checkpoint."""
    short = replace(TINY, plan=replace(TINY.plan, steps=3), diffaugment=("translation",))

    def learn(folder: Path, deadline: float) -> Iterator[torch.nn.Module]:
        folder.mkdir(exist_ok=True)
        learned = train(
            begin(short), folder, seed=0, device=CPU, watch=lambda *_: lambda _: None,
            deadline=deadline,
        )  # fmt: skip
        if learned is not None:
            yield learned

    (unbroken,) = learn(tmp_path / "unbroken", float("inf"))
    assert not list(learn(tmp_path / "broken", 0))
    assert not list(learn(tmp_path / "broken", 0))
    (broken,) = learn(tmp_path / "broken", 0)
    assert unchanged(broken, weights_of(unbroken))


# What remains


@pytest.fixture
def taught(begin) -> LearnBigGAN:
    """A stage after a step, its weights and norms no longer as they began."""
    stage = begin()
    chance = Chance("step")
    state = State(stage.network, stage.learners, stage.plan)
    for lesson in stage.lessons(stage.draw(chance), chance):
        state.forget_gradients()
        lesson.loss.backward()
        state.update(lesson.taught)
    return stage


def test_a_finished_generator_is_a_plain_one_that_paints_alike(taught, tmp_path):
    """As the learned one does in eval, when that knows the same statistics."""
    finished = taught.finish(taught.network.eval())
    path = tmp_path / "generator.safetensors"
    registry.save_network(path, finished)
    loaded = registry.load_network_as(BigGAN, path)
    assert loaded.config == TINY.network
    for norm, settled in zip(taught.generator.norms, finished.norms, strict=True):
        assert not torch.equal(norm.stored_mean, settled.stored_mean)
        norm.stored_mean.copy_(settled.stored_mean)
        norm.stored_var.copy_(settled.stored_var)
    noise, told = finished.noise(range(3)), torch.eye(4)[:3]
    pictures = taught.generator.eval().paint(noise, told)
    torch.testing.assert_close(finished.paint(noise, told), pictures, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loaded.paint(noise, told), pictures, rtol=1e-4, atol=1e-5)


def test_finishing_and_looking_change_nothing(taught):
    before, chance = weights_of(taught.network), torch.get_rng_state()
    for _ in range(2):  # the second time the network must be whole still
        taught.finish(taught.network)
        with torch.no_grad():
            sheet, columns = taught.samples(taught.network)
    assert unchanged(taught.network, before)
    assert torch.equal(torch.get_rng_state(), chance)
    assert sheet.shape == (16, 3, 8, 8)
    assert sheet.abs().max() <= 1
    assert columns == 4
    assert torch.equal(taught.samples(taught.network)[0], sheet)
    rows = sheet.unflatten(0, (4, 4))
    assert (rows[:, 0] - rows[:, 1]).abs().amax(dim=(1, 2, 3)).min() > 1e-3  # other noise


def test_one_process_alone_may_look(taught, monkeypatch):
    """The first one paints sheets, and the others do not wait for it."""

    def together(own: Tensor) -> Tensor:
        raise AssertionError

    taught.generator.share_norms(together, 2)
    assert taught.samples(taught.network)[0].isfinite().all()


# Published settings


EXAMPLES = Path(__file__).parents[2] / "examples" / "icgan"


def generator_of(name: str) -> BigGANRecipe:
    recipe = read_recipe(EXAMPLES / name)
    assert isinstance(recipe.generator, BigGANRecipe)
    return recipe.generator


@pytest.mark.parametrize(
    ("name", "network", "critic", "parts"),
    [
        ("128.toml", published_128(), published_critic_128(), 1),
        ("256.toml", published_256(), published_critic_256(), 4),
    ],
)
def test_the_recipes_are_the_published_settings(name, network, critic, parts):
    recipe = generator_of(name)
    assert recipe == BigGANRecipe(recipe.plan, network, critic)
    plan = recipe.plan
    assert (plan.batch, plan.parts) == (2048, parts)
    assert (plan.learning_rate, plan.betas) == (4e-5, (0, 0.999))
    assert (plan.weight_decay, plan.clip_norm, plan.ema_decay) == (0, 0, 0.9999)
    assert recipe.critic_pace == Pace(1e-4, (0, 0.999), 0.0)
    assert (recipe.critic_steps, recipe.neighbours, recipe.diffaugment) == (1, 50, ())
    assert {learning_rate(step, plan) for step in (0, 999, plan.steps - 1)} == {4e-5}


def test_the_small_recipe_fits():
    recipe = generator_of("small.toml")
    assert list(recipe.misfits()) == []
    assert recipe.diffaugment == ("colour", "translation", "cutout")


def test_what_does_not_fit_is_told_at_once():
    recipe = replace(TINY, critic=BigGANCriticConfig())
    assert list(recipe.misfits()) == [
        "critic.features = 2048 must equal network.features = 4",
        "critic.picture_px = 128 must equal network.picture_px = 8",
    ]
