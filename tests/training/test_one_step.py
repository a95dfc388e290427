"""One step of learning, written out by hand; and what is frozen, which no step may move."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from conftest import TINY_FLOW, TINY_RESNET, photos_of, randomise, sounds_of
from torch import Tensor, nn
from torch.nn.functional import normalize

from s2s_cli import registry
from s2s_cli.audio.spectrogram import loudness
from s2s_cli.chance import Chance
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.flow import Autoencoder
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.training import loop
from s2s_cli.training.loop import Drawer, Stage, learn_step
from s2s_cli.training.recipe import AudioEncoderRecipe, GeneratorRecipe, Plan, StylizerRecipe
from s2s_cli.training.state import State
from s2s_cli.training.steps import LearnAudioEncoder, LearnGenerator, SeenPhotos, encode_photos
from s2s_cli.training.style import LearnStylizer

CPU = torch.device("cpu")
SEED, PAIRS, FEATURES, SAMPLES = 7, 9, 6, 4000

# As section 4.1 has it, but for a decay that is large enough to be seen.
PAPER = Plan(
    steps=10, batch=5, learning_rate=1e-3, warmup_steps=0, decay_steps=0, weight_decay=0.02,
    optimiser="adam", clip_norm=0.0,
)  # fmt: skip
OURS = Plan(
    steps=10, batch=5, learning_rate=2e-3, warmup_steps=4, weight_decay=0.3, clip_norm=0.05,
    betas=(0.8, 0.9),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch):
    """Whatever this machine is fast with."""
    monkeypatch.setattr(loop, "fast_precision", lambda _: "float32")


def steps_of(stage: Stage, count: int) -> State:
    """The first few steps of a stage, as the loop takes them."""
    state, drawer = State(stage.network.train(), stage.learners, stage.plan), Drawer(stage, SEED)
    for _ in range(count):
        learn_step(stage, state, drawer, CPU)
        state.finish_step()
    drawer.close()
    return state


# By hand


@pytest.fixture
def seen() -> Tensor:
    """Features of photos as an image encoder gives them, of no particular length."""
    return 3 * torch.randn(PAIRS, FEATURES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def begin(seen):
    """A stage in which nothing is left to chance but which pairs are drawn."""
    chance = torch.Generator().manual_seed(0)
    longer = SAMPLES + 500  # so that it is drawn which part is heard
    waves = [torch.randint(-9000, 9000, (longer,), generator=chance).short() for _ in range(PAIRS)]
    keys = [f"video/{number}" for number in range(PAIRS)]

    def begin(loss: str, plan: Plan) -> LearnAudioEncoder:
        recipe = AudioEncoderRecipe(
            plan,
            AudioEncoderConfig(
                ResNetConfig(depths=(1, 1), widths=(4, 6), in_channels=1),
                features=FEATURES, front_end="loudness", seconds=SAMPLES / 16_000, relu=False,
            ),
            loss=loss, photos_per_sound=1, gain_db=0.0, mixed=0.0, masks=0, evenness=0.0,
        )  # fmt: skip
        torch.manual_seed(2)
        taught = SeenPhotos(keys, "key", seen if loss == "l2" else normalize(seen))
        return LearnAudioEncoder(recipe, taught, sounds_of(keys, waves))

    return begin


def total(heard: Tensor, taught: Tensor) -> Tensor:
    """Sound2Scene Eq. 1 and 2, term by term."""
    a = [row / (row * row).sum().sqrt() for row in heard]
    v = [row / (row * row).sum().sqrt() for row in taught]

    def d(one: Tensor, other: Tensor) -> Tensor:
        return ((one - other) ** 2).sum().sqrt()

    def info_nce(own: Tensor, others: list[Tensor], j: int) -> Tensor:
        return -torch.log((-d(own, others[j])).exp() / sum((-d(own, b)).exp() for b in others))

    terms = [info_nce(a[j], v, j) + info_nce(v[j], a, j) for j in range(len(a))]
    return sum(terms) / (2 * len(a))


def nce(heard: Tensor, taught: Tensor) -> Tensor:
    """The same with the cosine in place of the negative distance."""
    cosine = torch.stack(
        [torch.stack([(a @ v) / (a.norm() * v.norm()) for v in taught]) for a in heard]
    ).exp()
    own = cosine.diagonal()
    return -((own / cosine.sum(dim=0)).log() + (own / cosine.sum(dim=1)).log()).mean() / 2


def l2(heard: Tensor, taught: Tensor) -> Tensor:
    return ((heard - taught) ** 2).sum() / heard.numel()


def adam_by_hand(
    weights: list[Tensor],
    gradients: list[Tensor],
    moments: list[list[Tensor]],
    step: int,
    plan: Plan,
) -> None:
    """arXiv:1412.6980, algorithm 1, or with the decay beside it (arXiv:1711.05101)."""
    rate = plan.learning_rate
    if plan.decay_steps is None:  # warmed up and then half a cosine
        rate *= min(1, (step + 1) / plan.warmup_steps)
        rate *= (1 + math.cos(math.pi * step / plan.steps)) / 2
    if plan.clip_norm:
        length = math.sqrt(sum((g * g).sum().item() for g in gradients))
        assert length > plan.clip_norm  # or nothing would be shown
        gradients = [g * plan.clip_norm / length for g in gradients]
    (b1, b2), t = plan.betas, step + 1
    for w, g, (m, v) in zip(weights, gradients, moments, strict=True):
        if plan.optimiser == "adam":
            g = g + plan.weight_decay * w
        else:
            w *= 1 - rate * plan.weight_decay
        m += (1 - b1) * (g - m)
        v += (1 - b2) * (g * g - v)
        w -= rate * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + 1e-8)


@pytest.mark.parametrize(
    ("loss", "plan"), [(total, PAPER), (nce, PAPER), (l2, PAPER), (total, OURS)],
    ids=["total", "nce", "l2", "ours"],
)  # fmt: skip
def test_steps_of_the_audio_encoder_are_those_by_hand(loss, plan, begin, seen, monkeypatch):
    """Every weight after two steps, by the loss written out and Adam written out."""
    stage = begin(loss.__name__, plan)
    network = deepcopy(stage.network).train()
    weights = list(network.parameters())
    moments = [[torch.zeros_like(weight), torch.zeros_like(weight)] for weight in weights]
    for step in range(2):
        drawn = stage.draw(Chance(f"{SEED}/audio-encoder/{step}"))
        assert drawn["waves"].shape == (5, SAMPLES)
        heard = network(loudness(drawn["waves"]))
        cost = loss(heard, seen[drawn["photos"]])
        gradients = torch.autograd.grad(cost, weights)
        with torch.no_grad():
            adam_by_hand(weights, list(gradients), moments, step, plan)

    before = deepcopy(stage.network.state_dict())
    steps_of(stage, 2)
    for name, by_hand in network.state_dict().items():
        learned = stage.network.state_dict()[name]
        torch.testing.assert_close(learned, by_hand, rtol=1e-4, atol=2e-6, msg=name)
        assert not torch.equal(learned, before[name]), name


def test_a_step_in_parts_is_the_step_of_the_whole(begin):
    """Where nothing compares the items of a batch, as in L_2 with settled norms."""
    learned = []
    for parts in (1, 5):
        stage = begin("l2", replace(PAPER, parts=parts))
        for norm in stage.network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 0.0
                norm.train = lambda mode=True, norm=norm: norm  # as it is
                norm.training = False
        steps_of(stage, 2)
        learned.append(stage.network.state_dict())
    for name, whole in learned[0].items():
        torch.testing.assert_close(learned[1][name], whole, rtol=1e-4, atol=2e-6, msg=name)


# What is frozen


def frozen_in(network: nn.Module, before: dict[str, Tensor]) -> bool:
    """Whether a network has no gradients, and the very weights and statistics that it had."""
    assert all(weight.grad is None for weight in network.parameters())
    return all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_every_network_that_a_later_stage_looks_at_stays_as_it_was(
    s2s, tiny_recipe, tiny_data, tmp_path, monkeypatch
):
    """Image encoder and autoencoder, as every stage of a whole run got them from their files."""
    looked_at = []
    load = registry.load_network_as

    def remembered(kind, path):
        network = load(kind, path)
        looked_at.append((path, network))
        return network

    monkeypatch.setattr(registry, "load_network_as", remembered)
    assert s2s("train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run").code == 0
    files = [path.name for path, _ in looked_at]
    assert files.count("image_encoder.safetensors") >= 3  # its own stage, and two that look at it
    assert files.count("autoencoder.safetensors") >= 2
    for path, network in looked_at:
        assert not any(weight.requires_grad for weight in network.parameters())
        assert frozen_in(network, load(nn.Module, path).state_dict()), path


@pytest.fixture
def photos():
    pictures = torch.randint(
        0, 255, (8, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return photos_of([f"{scene}/{n}" for scene in ("dim", "bright") for n in range(4)], pictures)


def test_the_flow_learns_in_latents_that_stay_where_they_were(photos):
    """The autoencoder is a part of the generator, and no part of what learns."""
    torch.manual_seed(0)
    autoencoder = randomise(Autoencoder(TINY_FLOW.autoencoder), 0)
    eye = randomise(ImageEncoder(ImageEncoderConfig(TINY_RESNET, 0, 32)), 1)
    features = normalize(encode_photos(eye, photos))
    plan = Plan(steps=5, batch=4, learning_rate=1e-2, warmup_steps=0)
    stage = LearnGenerator(
        GeneratorRecipe(plan, TINY_FLOW, neighbours=2, blend=2, drop_feature=0.5),
        photos,
        features,
        autoencoder,
    )
    learns = [stage.flow.latent_mean, stage.flow.latent_std, features, stage.latents]
    told = [tensor.clone() for tensor in learns]
    velocity = deepcopy(stage.flow.velocity.state_dict())
    steps_of(stage, 2)
    assert not features.requires_grad
    assert frozen_in(stage.flow.autoencoder, autoencoder.state_dict())
    assert all(torch.equal(*pair) for pair in zip(learns, told, strict=True))
    still = {
        n for n, value in stage.network.state_dict().items() if torch.equal(value, velocity[n])
    }
    assert not still


@pytest.fixture
def stylizing(photos, tiny_model) -> LearnStylizer:
    """On what another model knows: frozen ears, a frozen eye, and a critic that goes on from it."""
    ears = registry.load_audio_encoder(tiny_model).config
    recipe = StylizerRecipe(
        Plan(steps=5, batch=4, learning_rate=1e-2, warmup_steps=0),
        sources=("dim",), targets=("bright",), crop_px=32, patches=16, head_width=8,
        audio=replace(ears, seconds=0.5), audio_from=str(tiny_model), audio_learns=False,
        critic_from=str(tiny_model), statistics_weight=1.0, photos_per_sound=2,
    )  # fmt: skip
    small = replace(recipe.network, features=16, down=(4, 6, 8), blocks=2, up=(6, 4))
    chance = torch.Generator().manual_seed(3)
    waves = [torch.randint(-9000, 9000, (9000,), generator=chance).short() for _ in range(8)]
    torch.manual_seed(0)
    return LearnStylizer(replace(recipe, network=small), photos, sounds_of(photos.keys, waves))


def test_a_stylizer_learns_from_ears_and_an_eye_that_stay_as_they_were(stylizing, tiny_model):
    learned = registry.load_network(tiny_model / registry.IMAGE_ENCODER).state_dict()
    ears = deepcopy(stylizing.audio_encoder.state_dict())
    critic = deepcopy(stylizing.critic.encoder.state_dict())
    steps_of(stylizing, 2)
    assert stylizing.eye is not None
    assert frozen_in(stylizing.eye, learned)
    assert frozen_in(stylizing.audio_encoder, ears)
    # The critic's own copy is what learns, but for the statistics of its norms.
    moved = {
        name
        for name, value in stylizing.critic.encoder.state_dict().items()
        if not torch.equal(value, critic[name])
    }
    assert moved == {name for name, _ in stylizing.critic.encoder.named_parameters()}
