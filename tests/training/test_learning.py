"""Each stage learns what it is there for, on two scenes that a few steps can tell apart."""

import pytest
import torch
from conftest import TINY_FLOW, TINY_RESNET, tone

from s2s_cli.audio.spectrogram import loudness
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
