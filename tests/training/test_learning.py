"""Each stage learns what it is there for, on two scenes that a few steps can tell apart."""

import pytest
import torch
from conftest import TINY_FLOW, TINY_RESNET, photos_of, tone

from s2s_cli.audio.spectrogram import loudness
from s2s_cli.chance import Chance
from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.latents import unit
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.flow import Autoencoder
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.training.loop import train
from s2s_cli.training.recipe import (
    AudioEncoderRecipe,
    AutoencoderRecipe,
    GeneratorRecipe,
    ImageEncoderRecipe,
    Plan,
)
from s2s_cli.training.steps import (
    LearnAudioEncoder,
    LearnAutoencoder,
    LearnGenerator,
    LearnImageEncoder,
    SeenPhotos,
    encode_photos,
)

CPU = torch.device("cpu")


class Colour(torch.nn.Module):
    """An image encoder that needs no learning: a photo's mean colour."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(2, 3))


@pytest.fixture
def photos(tiny_data):
    return load_photos(find_shards(tiny_data, "photos/*.tar"), 40)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def seen(photos):
    return SeenPhotos(photos.keys, "scene", unit(encode_photos(Colour(), photos)))


def learn(stage, folder):
    """The learned network, and its loss at every step."""
    losses = []
    network = train(
        stage,
        folder,
        seed=0,
        device=CPU,
        watch=lambda *_: lambda measures: losses.append(measures["loss"]),
    )
    return network, losses


def fell(losses, share: float) -> bool:
    """Whether the loss of the last steps is at most this share of that of the first."""
    return sum(losses[-5:]) <= share * sum(losses[:5])


def test_sounds_learn_to_point_at_their_own_photos(photos, tiny_data, tmp_path):
    resnet = ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16), in_channels=1)
    recipe = AudioEncoderRecipe(
        plan=Plan(steps=40, batch=8, learning_rate=3e-3, warmup_steps=5, ema_decay=0.0),
        network=AudioEncoderConfig(
            resnet, features=3, front_end="loudness", seconds=1.0, relu=False
        ),
        mixed=0.0,
    )
    sounds = load_sounds(find_shards(tiny_data, "sounds/*.tar"), 16_000)
    network, losses = learn(LearnAudioEncoder(recipe, seen(photos), sounds), tmp_path)
    assert fell(losses, 0.98)  # Eq. 2 moves between ln 8 and a floor not far below
    heard = network(loudness(torch.from_numpy(tone(200, 1))[None]))
    heard = torch.cat([heard, network(loudness(torch.from_numpy(tone(3000, 1))[None]))])
    colours = encode_photos(Colour(), photos)
    scenes = torch.stack([unit(colours[:8]).mean(dim=0), unit(colours[8:]).mean(dim=0)])
    assert (unit(heard) @ unit(scenes).T).argmax(dim=1).tolist() == [0, 1]


def test_the_image_encoder_keeps_photos_apart_and_standardises_their_features(photos, tmp_path):
    recipe = ImageEncoderRecipe(
        plan=Plan(steps=30, batch=16, learning_rate=3e-3, warmup_steps=5),
        network=ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=32),
        crop_px=32,
        expander=16,
    )
    stage = LearnImageEncoder(recipe, photos)
    network, losses = learn(stage, tmp_path)
    assert fell(losses, 0.9)
    encoder = stage.finish(network)
    assert isinstance(encoder, ImageEncoder)
    features = encode_photos(encoder, photos)
    assert torch.allclose(features.mean(dim=0), torch.zeros(16), atol=1e-3)
    spread = features.std(dim=0)
    assert torch.allclose(spread[spread > 0.5], torch.ones(1), atol=1e-2)


def eye_of(scene_weight, vicreg=1.0, evenness=0.0) -> ImageEncoderRecipe:
    return ImageEncoderRecipe(
        plan=Plan(steps=20, batch=16, learning_rate=3e-3, warmup_steps=2),
        network=ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=32),
        crop_px=32, expander=16, scene_weight=scene_weight, evenness=evenness,
        invariance=25 * vicreg, variance=25 * vicreg, covariance=vicreg,
    )  # fmt: skip


def learned_eye(photos, folder, *settings):
    """A finished encoder, the network that it was learned in, and what the steps measured."""
    torch.manual_seed(0)
    stage, seen = LearnImageEncoder(eye_of(*settings), photos), []
    network = train(stage, folder, seed=0, device=CPU, watch=lambda *_: seen.append)
    return stage.finish(network), network, seen


def apart(encoder, photos) -> float:
    """Variance between the two scenes over that within them, of features of length 1."""
    features = unit(encode_photos(encoder, photos)).unflatten(0, (2, 8))
    middles = features.mean(dim=1)
    within = (features - middles[:, None]).square().sum(dim=2).mean()
    return ((middles[0] - middles[1]).square().sum() / 4 / within).item()


def test_with_a_scene_weight_features_tell_scenes_apart_and_the_head_is_dropped(photos, tmp_path):
    """By that alone: views, which are of two colours here, are left out of the loss."""
    plain, without, unmeasured = learned_eye(photos, tmp_path / "0", 0.0, 0.0)
    named, within, measures = learned_eye(photos, tmp_path / "1", 1.0, 0.0)
    assert apart(named, photos) > 5 * apart(plain, photos)
    # One view in ten has no colour left, by which half of them are told right.
    assert sum(step["right"] for step in measures[-5:]) / 5 > 0.85
    assert "right" not in unmeasured[-1]
    assert {key.split(".")[0] for key in within.state_dict()} == {"trunk", "expander", "head"}
    assert {key.split(".")[0] for key in without.state_dict()} == {"trunk", "expander"}
    assert within["head"].weight.shape == (2, 16)
    keys = ImageEncoder(eye_of(0.0).network).state_dict().keys()
    assert named.state_dict().keys() == plain.state_dict().keys() == keys


@pytest.mark.parametrize(("scene_weight", "same"), [(0.0, True), (20.0, False)])
def test_what_the_scenes_are_is_learned_by_weight_alone(scene_weight, same, photos, tmp_path):
    """The very same photos, but every second one of each scene is called by the other's name."""
    swapped = [f"{('deep', 'shrill')[number % 2]}/{number}" for number in range(16)]
    renamed = photos_of(swapped, photos.pictures)
    ours, theirs = (
        learned_eye(some, tmp_path / name, scene_weight)[0].state_dict()
        for name, some in (("a", photos), ("b", renamed))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours) == same


@pytest.mark.parametrize(("evenness", "share"), [(0.0, 0.25), (1.0, 0.5)])
def test_an_even_image_encoder_draws_small_scenes_as_often(evenness, share, photos):
    few = photos_of([f"{'few' if n < 4 else 'many'}/{n}" for n in range(16)], photos.pictures)
    stage = LearnImageEncoder(eye_of(1.0, evenness=evenness), few)
    scenes = torch.cat([stage.draw(Chance(number))["scenes"] for number in range(100)])
    assert (scenes == 0).double().mean().item() == pytest.approx(share, abs=0.05)


def test_the_autoencoder_learns_to_give_pictures_back(photos, tmp_path):
    plan = Plan(steps=60, batch=8, learning_rate=3e-3, warmup_steps=5)
    recipe = AutoencoderRecipe(plan=plan, network=TINY_FLOW.autoencoder)
    _, losses = learn(LearnAutoencoder(recipe, photos), tmp_path)
    assert fell(losses, 0.7)


def test_the_flow_learns_to_leave_the_noise(photos, tmp_path):
    """A velocity of 0 costs the variance of latents plus that of noise, 2."""
    plan = Plan(steps=80, batch=16, learning_rate=3e-3, warmup_steps=5)
    network = type(TINY_FLOW)(**{**vars(TINY_FLOW), "features": 3})
    recipe = GeneratorRecipe(plan=plan, network=network, neighbours=4, blend=2)
    autoencoder = Autoencoder(TINY_FLOW.autoencoder)
    stage = LearnGenerator(recipe, photos, unit(encode_photos(Colour(), photos)), autoencoder)
    whitened = stage.flow.whiten(stage.latents.float().flatten(0, 1))
    assert torch.allclose(whitened.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.02)
    assert torch.allclose(whitened.std(dim=(0, 2, 3)), torch.ones(4), atol=0.02)
    _, losses = learn(stage, tmp_path)
    assert fell(losses, 0.8)
