"""Tiny networks and sounds that the tests make themselves."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from shell import Shell

from s2s_cli import registry
from s2s_cli.data.samples import SHARD_END, sample_files
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
from s2s_cli.networks.biggan import BigGAN, BigGANConfig
from s2s_cli.networks.flow import AutoencoderConfig, Flow, FlowConfig, VelocityConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig

RATE = 16_000  # Hz

TINY_RESNET = ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16))
TINY_FLOW = FlowConfig(
    features=16,
    autoencoder=AutoencoderConfig(picture_px=32, widths=(8, 8, 16), depth=1, latent_channels=4),
    velocity=VelocityConfig(width=8, depth=1, middle_depth=1, heads=2, condition=16),
    steps=2,
)


@pytest.fixture(autouse=True)
def _no_models_of_the_users(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("S2S_HOME", str(tmp_path_factory.mktemp("home")))
    for variable in (
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
        "TTY_COMPATIBLE",
    ):  # they make Rich write ANSI
        monkeypatch.delenv(variable, raising=False)


def randomise(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights with no zero matrix among them, so that every input reaches the output."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                scale = (2 / parameter[0].numel()) ** 0.5
                parameter.copy_(scale * torch.randn(parameter.shape, generator=chance))
            elif name.endswith("bias"):
                parameter.zero_()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a seeded model that paints 32 px pictures in milliseconds."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", "loudness")


@pytest.fixture(scope="session")
def deaf_model(tmp_path_factory) -> Path:
    """The same, but to its front end all clips are equally loud, as to the published one."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "deaf", "standardised")


@pytest.fixture(scope="session")
def biggan_model(tmp_path_factory) -> Path:
    """A seeded model with the paper's generator, which paints 16 px pictures."""
    generator = BigGAN(
        BigGANConfig(
            channels=8, multipliers=(2, 2, 1), attention_px=(8,), slot=4, features=16, condition=8
        )
    )
    folder = tmp_path_factory.mktemp("models") / "biggan"
    return make_tiny_model(folder, "standardised", generator)


def make_tiny_model(folder: Path, front_end: str, generator: torch.nn.Module | None = None) -> Path:
    """Seeded networks, as a model's folder."""
    networks = {
        registry.AUDIO_ENCODER: AudioEncoder(
            AudioEncoderConfig(
                resnet=ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16), in_channels=1),
                features=16,
                front_end=front_end,
                relu=False,
            )
        ),
        registry.IMAGE_ENCODER: ImageEncoder(
            ImageEncoderConfig(resnet=TINY_RESNET, squash_px=0, picture_px=32)
        ),
        registry.GENERATOR: generator or Flow(TINY_FLOW),
    }
    for seed, (name, network) in enumerate(networks.items()):
        registry.save_network(folder / name, randomise(network, seed))
    registry.write_sums(folder)
    (folder / registry.CARD).write_text("# tiny\n")
    return folder


@pytest.fixture(scope="session")
def style_model(tmp_path_factory) -> Path:
    """The folder of a seeded model that restyles, and hears how loud a sound is."""
    return make_tiny_style_model(tmp_path_factory.mktemp("models") / "style")


@pytest.fixture(scope="session")
def peak_model(tmp_path_factory) -> Path:
    """The same, but it brings every sound to one peak, as the published one."""
    return make_tiny_style_model(tmp_path_factory.mktemp("models") / "peak", peak=1 / 1.1)


def make_tiny_style_model(folder: Path, peak: float = 0.0) -> Path:
    """Seeded networks that restyle, as a model's folder."""
    networks = {
        registry.AUDIO_ENCODER: AudioEncoder(
            AudioEncoderConfig(
                resnet=ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16), in_channels=1),
                features=16,
                front_end="loudness",
                seconds=3.0,
                relu=False,
                peak=peak,
            )
        ),
        registry.STYLIZER: Stylizer(
            StylizerConfig(features=16, down=(4, 6, 8), blocks=1, up=(6, 4), fusion="modulated")
        ),
    }
    for seed, (name, network) in enumerate(networks.items()):
        registry.save_network(folder / name, randomise(network, seed))
    registry.write_sums(folder)
    (folder / registry.CARD).write_text("# style\n")
    return folder


def tone(hertz: float, seconds: float, amplitude: float = 0.5) -> np.ndarray:
    """A sine, (samples,) float32 at 16 kHz."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.fixture
def low_wav(tmp_path) -> Path:
    """Two seconds of a low tone."""
    path = tmp_path / "low.wav"
    soundfile.write(path, tone(200, 2), RATE)
    return path


@pytest.fixture
def high_wav(tmp_path) -> Path:
    """Two seconds of a high tone."""
    path = tmp_path / "high.wav"
    soundfile.write(path, tone(3000, 2), RATE)
    return path


def add_to_tar(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """One file of a shard."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def photos_of(keys: Sequence[str], pictures: torch.Tensor) -> Photos:
    """Photos that lie in no shard; pictures: (photos, 3, side, side), uint8."""
    return Photos(keys, pictures.shape[-1], lambda number: pictures[number])


def sounds_of(keys: Sequence[str], waves: Sequence[torch.Tensor]) -> Sounds:
    """Sounds that lie in no shard; waves: each (samples,), int16."""
    return Sounds(keys, RATE, lambda number: waves[number])


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Shards of two scenes: blue photos sound low, red photos sound high."""
    root = tmp_path_factory.mktemp("data")
    chance = np.random.default_rng(0)
    for kind in ("photos", "sounds"):
        (root / kind).mkdir()
    with tarfile.open(root / "photos" / "train-000.tar", "w") as archive:
        for scene, colour in (("deep", (20, 30, 200)), ("shrill", (200, 30, 20))):
            for number in range(8):
                pixels = colour + chance.integers(-20, 20, (40, 40, 3))
                file = io.BytesIO()
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG")
                add_to_tar(archive, f"{scene}/{number}.jpg", file.getvalue())
    with tarfile.open(root / "sounds" / "train-000.tar", "w") as archive:
        for scene, hertz in (("deep", 200), ("shrill", 3000)):
            for number in range(6):
                file = io.BytesIO()
                wave = tone(hertz * (1 + number / 50), 1 + number / 5)
                soundfile.write(file, wave, RATE, format="WAV")
                add_to_tar(archive, f"{scene}/{number}.wav", file.getvalue())
    return root


@pytest.fixture(scope="session")
def made_pairs(tmp_path_factory) -> Path:
    """Shards as ``s2s pairs`` writes them: a shade and a tone, to learn and to validate."""
    root, chance = tmp_path_factory.mktemp("made-pairs"), np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        samples = []
        for number in range(count):
            frame = np.full((40, 40, 3), chance.integers(0, 255, 3), np.uint8)
            wave = (20_000 * tone(200 * (number + 1), 1)).astype(np.int16)
            samples.append(sample_files(f"own/{split}{number}", wave, [frame]))
        (root / f"{split}-00000.tar").write_bytes(b"".join(samples) + SHARD_END)
    return root


TINY_RECIPE = """
name = "tiny"
[data]
photo-px = 40
[image-encoder]
crop-px = 32
expander = 16
[image-encoder.plan]
steps = 6
batch = 8
learning-rate = 1e-3
checkpoint-every = 2
[image-encoder.network]
squash-px = 0
picture-px = 32
[image-encoder.network.resnet]
depths = [1, 1, 1, 1]
widths = [8, 8, 8, 16]
[autoencoder.plan]
steps = 6
batch = 4
learning-rate = 1e-3
checkpoint-every = 2
[autoencoder.network]
picture-px = 32
widths = [8, 8, 16]
depth = 1
latent-channels = 4
[generator]
neighbours = 4
blend = 2
[generator.plan]
steps = 6
batch = 4
learning-rate = 1e-3
checkpoint-every = 2
ema-decay = 0.5
[generator.network]
features = 16
steps = 2
[generator.network.velocity]
width = 8
depth = 1
middle-depth = 1
heads = 2
condition = 16
[audio-encoder.plan]
steps = 6
batch = 4
learning-rate = 1e-3
checkpoint-every = 2
[audio-encoder.network]
features = 16
front-end = "loudness"
seconds = 1.0
relu = false
[audio-encoder.network.resnet]
depths = [1, 1, 1, 1]
widths = [8, 8, 8, 16]
in-channels = 1
"""


@pytest.fixture
def tiny_recipe(tmp_path) -> Path:
    """A recipe that trains every stage in seconds."""
    path = tmp_path / "recipe.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture
def s2s(monkeypatch, capsys) -> Shell:
    """``s2s("generate", "rain.wav")`` as the shell would run it."""
    return Shell(monkeypatch, capsys)
