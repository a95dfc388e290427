"""A recipe: every setting that trained a model, in one TOML file, checked before anything runs."""

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from s2s_cli.errors import RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.config import from_table
from s2s_cli.networks.flow import GROUPS, AutoencoderConfig, FlowConfig
from s2s_cli.networks.image_encoder import ImageEncoderConfig


@dataclass(frozen=True)
class Data:
    """Which shards, below the folder given with ``--data``."""

    photos: str = "photos/train-*.tar"
    sounds: str = "sounds/train-*.tar"
    photo_px: int = 144  # photos are kept at this side, and cropped from there


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns: AdamW, linear warm-up, then a cosine to zero."""

    steps: int
    batch: int
    learning_rate: float
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0  # gradients longer than this are shortened to it
    ema_decay: float = 0.0  # 0 = the last weights are kept, else their moving average
    checkpoint_every: int = 200  # steps


@dataclass(frozen=True)
class ImageEncoderRecipe:
    """Without labels: two views of a photo get the same embedding (VICReg, arXiv:2105.04906)."""

    plan: Plan
    network: ImageEncoderConfig
    crop_px: int = 96  # side of a view
    smallest_crop: float = 0.2  # share of the photo's area
    expander: int = 768  # width of the three layers behind the feature; dropped after training
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Pictures to latents and back."""

    plan: Plan
    network: AutoencoderConfig
    latent_noise: float = 0.05  # added to the latents, so that near latents mean near pictures
    pyramid: tuple[float, ...] = (3.0, 2.0, 1.5, 1.0)  # weights of the Laplacian levels, fine first


@dataclass(frozen=True)
class GeneratorRecipe:
    """The flow: each photo is painted from the features of its neighbours (IC-GAN, section 3)."""

    plan: Plan
    network: FlowConfig
    neighbours: int = 20  # photos nearest in feature space that count as the same instance
    blend: int = 8  # up to so many neighbours' features are averaged: sounds point at such averages
    drop_feature: float = 0.1  # share of pictures painted from no feature, for guidance
    evenness: float = 0.7  # 0 draws photos equally often, 1 draws scenes equally often


@dataclass(frozen=True)
class AudioEncoderRecipe:
    """Sounds into the image encoder's space (Sound2Scene Eq. 2)."""

    plan: Plan
    network: AudioEncoderConfig
    temperature: float = 1.0  # of Eq. 1; the paper has none
    photos_per_sound: int = 4  # features of so many photos of the scene are averaged to one target
    window_s: float | None = None  # how much of a sound is heard at once; None = as in the network
    gain_db: float = 9.0  # sounds are made louder or quieter by up to this
    mixed: float = 0.25  # mixtures of two sounds beside the sounds themselves, as a share of these
    pull: float = 0.0  # how much the distance to the own target counts beside the contrast
    closeness: float = 0.0  # how far 12 dB move a target towards the middle of its photos
    close_crop: float = 0.55  # side of that middle, as a share of the photo's
    masks: int = 2  # bands hidden in frequency and in time each (SpecAugment, arXiv:1904.08779)
    mask_share: float = 0.15  # widest band, as a share of the axis
    evenness: float = 0.8


@dataclass(frozen=True)
class Recipe:
    """A whole model: image encoder, autoencoder, generator and audio encoder, in this order."""

    name: str
    image_encoder: ImageEncoderRecipe
    autoencoder: AutoencoderRecipe
    generator: GeneratorRecipe
    audio_encoder: AudioEncoderRecipe
    seed: int = 0
    data: Data = field(default_factory=Data)

    def __post_init__(self) -> None:
        faults = list(self.misfits())
        if faults:
            raise ValueError("; ".join(faults))

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        feature = self.image_encoder.network.resnet.features
        for place, width in (
            ("generator.network.features", self.generator.network.features),
            ("audio_encoder.network.features", self.audio_encoder.network.features),
        ):
            if width != feature:
                yield f"{place} = {width} must equal the image encoder's {feature}"
        pictures = self.autoencoder.network
        if self.generator.network.autoencoder != pictures:
            yield "generator.network.autoencoder must equal autoencoder.network"
        for place, side in (
            ("image_encoder.crop_px", self.image_encoder.crop_px),
            ("autoencoder.network.picture_px", pictures.picture_px),
        ):
            if not 0 < side <= self.data.photo_px:
                yield f"{place} = {side} must be at most data.photo_px = {self.data.photo_px}"
        for width in (*pictures.widths, self.generator.network.velocity.width):
            if width % GROUPS:
                yield f"a width of {width} channels must be divisible by {GROUPS}"
        if self.generator.blend > self.generator.neighbours:
            yield "generator.blend must be at most generator.neighbours"


def read_recipe(path: Path) -> Recipe:
    """The recipe of a TOML file.

    Raises:
        RecipeError: the file is missing or not TOML, or settings do not fit: all of them, at once.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        # The generator decodes with the very autoencoder that was trained before it.
        with suppress(AttributeError, KeyError, TypeError):  # not tables: from_table will say so
            shared = table.get("autoencoder", {}).get("network", {})
            table["generator"].setdefault("network", {}).setdefault("autoencoder", shared)
        return from_table(Recipe, table)
    except OSError as fault:
        raise RecipeError(
            f"The recipe {path} cannot be read ({fault.strerror}): check the path."
        ) from fault
    except ValueError as fault:  # TOMLDecodeError is one too
        raise RecipeError(f"The recipe {path} does not fit: {fault}.") from fault
