"""The decoder is asked for grain by a discriminator, and the latents stay what they were."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_FLOW, photos_of
from safetensors.torch import load_file

from s2s_cli.chance import Chance
from s2s_cli.networks.flow import Autoencoder
from s2s_cli.training.loop import train
from s2s_cli.training.recipe import Pace, Plan, TextureRecipe
from s2s_cli.training.texture import LearnTexture, balanced

CPU = torch.device("cpu")
PLAN = Plan(steps=60, batch=8, learning_rate=5e-3, warmup_steps=0, weight_decay=0.0, sheet_every=0)
RECIPE = TextureRecipe(
    PLAN, TINY_FLOW.autoencoder, critic_widths=(8, 16), critic_pace=Pace(5e-3), latent_noise=0.0,
    share=1.0,
)  # fmt: skip


@pytest.fixture
def photos():
    """Grey photos with a grain of their own each, black or white from pixel to pixel."""
    chance = torch.Generator().manual_seed(0)
    grain = 255 * torch.randint(0, 2, (32, 1, 36, 36), generator=chance)
    return photos_of([f"sand/{n}" for n in range(32)], grain.expand(-1, 3, -1, -1).byte())


def begun(photos, recipe=RECIPE):
    torch.manual_seed(0)
    return LearnTexture(recipe, photos, Autoencoder(TINY_FLOW.autoencoder))


def learned(stage, folder):
    network = train(stage, folder, seed=0, device=CPU, watch=lambda *_: lambda _: None)
    return stage.finish(network)


def test_both_pushes_have_the_lengths_that_the_weight_says():
    """Of losses whose gradients are known: 2, 0 and 0, 30 in two pictures of two numbers."""
    painted = torch.zeros(2, 1, 1, 2, requires_grad=True)

    def pushed(weight: float) -> list[list[float]]:
        near, real = (
            (painted * torch.tensor(steep)[:, None, None]).sum()
            for steep in ([[2.0, 0.0], [4.0, 0.0]], [[0.0, 30.0], [0.0, -0.1]])
        )
        return balanced(near, real, painted, weight)[:, 0, 0].tolist()

    assert pushed(0.5) == [[2.0, 1.0], [4.0, -2.0]]
    assert pushed(0.0) == [[2.0, 0.0], [4.0, 0.0]]


def test_a_discriminator_brings_the_grain_that_likeness_alone_paints_grey(photos, tmp_path):
    """Four numbers for each 8 x 8 pixels cannot hold which of them are white."""
    spread = {}
    for weight in (0.0, 4.0):
        recipe = replace(RECIPE, weight=weight, pyramid=(1.0,))
        autoencoder = learned(begun(photos, recipe), tmp_path / str(weight))
        few = photos.take(range(8))[:, :, :32, :32].float() / 127.5 - 1
        spread[weight] = autoencoder.decode(autoencoder.encode(few)).std().item()
    assert spread[4.0] > 1.4 * spread[0.0]


def test_the_encoder_and_what_was_gone_on_from_stay_as_they_were(photos, tmp_path):
    torch.manual_seed(0)
    soft = Autoencoder(TINY_FLOW.autoencoder)
    before = {name: weight.clone() for name, weight in soft.state_dict().items()}
    stage = LearnTexture(replace(RECIPE, plan=replace(PLAN, steps=3)), photos, soft)
    after = learned(stage, tmp_path).state_dict()
    assert all(torch.equal(weight, before[name]) for name, weight in soft.state_dict().items())
    for name, weight in after.items():
        if name.startswith("encoder."):
            assert torch.equal(weight, before[name])
    assert any(not torch.equal(after[name], before[name]) for name in after)


def test_the_finished_decoder_is_so_far_on_the_way_to_the_learned_one(photos, tmp_path):
    plan = replace(PLAN, steps=3)
    old, quarter, whole = (
        learned(begun(photos, replace(RECIPE, plan=plan, share=share)), tmp_path / str(share))
        for share in (0.0, 0.25, 1.0)
    )
    moved = False
    for name, weight in quarter.state_dict().items():
        first, last = old.state_dict()[name], whole.state_dict()[name]
        assert torch.allclose(weight, 0.75 * first + 0.25 * last, atol=1e-6)
        moved |= not torch.equal(first, last)
    assert moved
    untouched = begun(photos).autoencoder.state_dict()
    assert all(torch.equal(untouched[name], weight) for name, weight in old.state_dict().items())


def test_each_lesson_is_for_one_side(photos):
    stage = begun(photos)
    lessons = stage.lessons(stage.draw(Chance(0)), Chance(0))
    moved = []
    for lesson in lessons:
        stage.network.zero_grad(set_to_none=True)
        lesson.loss.backward()
        moved.append(
            {n.split(".")[0] for n, w in stage.network.named_parameters() if w.grad is not None}
        )
        assert lesson.taught == tuple(moved[-1])
    assert moved == [{"critic"}, {"decoder"}]


TEXTURE = """
[texture]
critic-widths = [8, 8]
[texture.plan]
steps = 6
batch = 4
learning-rate = 1e-3
checkpoint-every = 2
[texture.network]
picture-px = 32
widths = [8, 8, 16]
depth = 1
latent-channels = 4
"""


def test_a_recipe_with_texture_paints_with_the_decoder_that_it_gave(
    s2s, tiny_recipe, tiny_data, tmp_path
):
    tiny_recipe.write_text(tiny_recipe.read_text() + TEXTURE)
    said = s2s("train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run", "--dry-run")
    stages = ["image-encoder", "autoencoder", "texture", "generator", "audio-encoder"]
    told = [line.split("\t")[0] for line in said.lines]
    assert [name for name in told if name in stages] == stages
    assert s2s("train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run").code == 0
    soft, grainy, flow = (
        load_file(tmp_path / "run" / f"{name}.safetensors")
        for name in ("autoencoder", "texture", "generator")
    )
    for name, weight in grainy.items():
        assert torch.equal(flow[f"autoencoder.{name}"], weight)
        assert torch.equal(soft[name], weight) or name.startswith("decoder.")
    assert any(not torch.equal(soft[name], grainy[name]) for name in soft)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("depth = 1\nlatent-channels = 4\n", "", "texture.network must equal autoencoder.network"),
        ("[8, 8]", "[]", "texture.critic_widths must not be empty"),
        ("[texture]", "[texture]\npyramid = [1, 1, 1, 1, 1, 1, 1]", "pyramid halves 32 px 6 times"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(
    before, after, sentence, s2s, tiny_recipe, tiny_data, tmp_path
):
    tiny_recipe.write_text(tiny_recipe.read_text() + TEXTURE.replace(before, after))
    said = s2s("train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run")
    assert said.code == 1
    assert sentence in said.err
