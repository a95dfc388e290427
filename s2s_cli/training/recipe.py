"""A recipe: every setting that trained a model, in one TOML file, checked before anything runs."""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.data.shards import MEMORY_GB
from s2s_cli.errors import RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig, published_avstyle
from s2s_cli.networks.biggan import BigGANConfig
from s2s_cli.networks.config import from_table, to_table
from s2s_cli.networks.critic import BigGANCriticConfig
from s2s_cli.networks.discriminators import PatchGANConfig
from s2s_cli.networks.flow import GROUPS, AutoencoderConfig, FlowConfig
from s2s_cli.networks.hardware import Precision
from s2s_cli.networks.image_encoder import ImageEncoderConfig
from s2s_cli.networks.judge import JudgeConfig
from s2s_cli.networks.localiser import LocaliserConfig
from s2s_cli.networks.stylizer import SHRINKS, StylizerConfig
from s2s_cli.training.diffaugment import Change


@dataclass(frozen=True)
class Data:
    """Which shards, below the folder given with ``--data``."""

    photos: str = "photos/train-*.tar"
    sounds: str = "sounds/train-*.tar"
    photo_px: int = 144  # photos are kept at this side, and cropped from there
    # What makes a sound and a photo a pair: that their folder is called alike, or that they are of
    # one moment of a video, as `s2s pairs` writes them, which needs no labels.
    pairs_by: Literal["scene", "key"] = "scene"
    validation_photos: str = "photos/val-*.tar"  # for stages that stop early
    validation_sounds: str = "sounds/val-*.tar"
    memory_gb: float = MEMORY_GB  # of photos and of sounds, so much is kept decoded


@dataclass(frozen=True)
class Pace:
    """An optimiser's settings."""

    learning_rate: float = 2e-4  # at its highest
    betas: tuple[float, float] = (0.5, 0.999)  # of its averages; 0.5 is usual among adversaries
    weight_decay: float = 0.0
    # AdamW, or Adam with the decay in the gradient; without decay they are the same.
    optimiser: Literal["adamw", "adam"] = "adamw"


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns: linear warm-up, then a cosine to zero."""

    steps: int
    batch: int  # of all processes and all their parts together
    learning_rate: float
    warmup_steps: int = 200
    decay_steps: int | None = None  # None = the cosine; else constant, these last steps linear to 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    optimiser: Literal["adamw", "adam"] = "adamw"
    clip_norm: float = 1.0  # gradients longer than this are shortened to it; 0 = none are
    ema_decay: float = 0.0  # 0 = the last weights are kept, else their moving average
    precision: Precision | None = None  # None = the faster that the hardware has
    parts: int = 1  # that a process works its share of a batch through in, to save memory
    checkpoint_every: int = 200  # steps
    sheet_every: int = 1000  # steps; 0 = no pictures are painted meanwhile
    # After so many steps the loss of pictures and sounds that nothing is learned from is measured;
    # the best weights are kept, and it ends when ``patience`` measurements were no better. 0 = no.
    validate_every: int = 0
    patience: int = 5

    @property
    def pace(self) -> Pace:
        """Its optimiser's settings."""
        return Pace(self.learning_rate, self.betas, self.weight_decay, self.optimiser)


@dataclass(frozen=True)
class ImageEncoderRecipe:
    """Without labels: two views of a photo get the same embedding (VICReg, arXiv:2105.04906)."""

    plan: Plan
    network: ImageEncoderConfig
    begin_from: str | None = None  # the model whose image encoder is gone on from; None = scratch
    crop_px: int = 96  # side of a view
    smallest_crop: float = 0.2  # share of the photo's area
    expander: int = 768  # width of the three layers behind the feature; dropped after training
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    # Of telling scenes apart, where photos and sounds are paired by scene: what the audio encoder
    # will be taught by these names, the features should then tell apart too. 0 = without labels.
    scene_weight: float = 0.0
    evenness: float = 0.0  # 0 draws photos equally often, 1 draws scenes equally often


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Pictures to latents and back."""

    plan: Plan
    network: AutoencoderConfig
    begin_from: str | None = None  # the model whose autoencoder is gone on from; None = scratch
    latent_noise: float = 0.05  # added to the latents, so that near latents mean near pictures
    pyramid: tuple[float, ...] = (3.0, 2.0, 1.5, 1.0)  # weights of the Laplacian levels, fine first


@dataclass(frozen=True)
class TextureRecipe:
    """A discriminator of patches asks the finished autoencoder for grain; latents stay theirs."""

    plan: Plan  # of the decoder
    network: AutoencoderConfig
    critic_widths: tuple[int, ...] = (32, 64, 128)  # as PatchGANConfig's
    critic_pace: Pace = field(default_factory=Pace)
    weight: float = 0.5  # of the discriminator's gradient beside that of likeness, in its length
    latent_noise: float = 0.1  # added to the latents, for a flow's are not exact either
    pyramid: tuple[float, ...] = (3.0, 2.0, 1.5, 1.0)  # as AutoencoderRecipe's
    # How far the finished decoder's weights are from the old ones to those that were learned:
    # half-way pictures are sharper already, and do not show the lattice of pixels yet.
    share: float = 0.5


@dataclass(frozen=True)
class GeneratorRecipe:
    """The flow: each photo is painted from the features of its neighbours (IC-GAN, section 3)."""

    plan: Plan
    network: FlowConfig
    begin_from: str | None = None  # the model whose flow is gone on from; None = scratch
    neighbours: int = 20  # photos nearest in feature space that count as the same instance
    blend: int = 8  # up to so many neighbours' features are averaged: sounds point at such averages
    drop_feature: float = 0.1  # share of pictures painted from no feature, for guidance
    evenness: float = 0.7  # 0 draws photos equally often, 1 draws scenes equally often
    # Scenes that are hard to paint and drawn twice as often as that, three times if named twice.
    favoured: tuple[str, ...] = ()
    family: Literal["flow"] = "flow"

    @property
    def picture_px(self) -> int:
        """Side of the pictures it learns to paint."""
        return self.network.autoencoder.picture_px


@dataclass(frozen=True)
class BigGANRecipe:
    """The paper's generator. The defaults are IC-GAN's published settings at 128 px."""

    plan: Plan  # of the generator
    network: BigGANConfig = field(default_factory=BigGANConfig)
    critic: BigGANCriticConfig = field(default_factory=BigGANCriticConfig)
    critic_pace: Pace = field(default_factory=lambda: Pace(1e-4, betas=(0.0, 0.999)))
    critic_steps: int = 1  # updates of the discriminator before each one of the generator
    neighbours: int = 50  # photos nearest in feature space that count as the same instance
    diffaugment: tuple[Change, ...] = ()  # changes that help where photos are few, in their order
    settling_batches: int = 16  # by which the norms of the finished generator settle
    evenness: float = 0.0  # 0 draws instances equally often, 1 draws their scenes equally often
    family: Literal["biggan"] = "biggan"

    @property
    def picture_px(self) -> int:
        """Side of the pictures it learns to paint."""
        return self.network.picture_px

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        for name in ("features", "picture_px"):
            ours, theirs = getattr(self.network, name), getattr(self.critic, name)
            if ours != theirs:
                yield f"critic.{name} = {theirs} must equal network.{name} = {ours}"
        for name in ("network", "critic"):
            sizes = getattr(self, name)
            if sizes.attention_px and sizes.channels < 8:
                yield f"{name}.channels = {sizes.channels} must be at least 8 for attention"


@dataclass(frozen=True)
class LocaliserRecipe:
    """Which place of a picture a sound comes from (arXiv:2104.02691)."""

    plan: Plan
    network: LocaliserConfig = field(default_factory=LocaliserConfig)
    # The model whose image encoder is gone on from, as the published one goes on from ImageNet's;
    # None = scratch.
    image_from: str | None = None
    temperature: float = 0.07  # by which similarities are divided


@dataclass(frozen=True)
class AudioEncoderRecipe:
    """Sounds into the image encoder's space (Sound2Scene Eq. 2)."""

    plan: Plan
    network: AudioEncoderConfig
    begin_from: str | None = None  # the model whose audio encoder is gone on from; None = scratch
    loss: Literal["total", "l2", "nce"] = "total"  # as Table 2 calls Eq. 2 and its ablations
    temperature: float = 1.0  # of Eq. 1; the paper has none
    photos_per_sound: int = 4  # features of so many photos of the scene are averaged to one target
    window_s: float | None = None  # how much of a sound is heard at once; None = as in the network
    gain_db: float = 9.0  # sounds are made louder or quieter by up to this
    equaliser_db: float = 0.0  # each frequency is made louder or quieter by up to this
    mixed: float = 0.25  # mixtures of two sounds beside the sounds themselves, as a share of these
    pull: float = 0.0  # how much the distance to the own target counts beside the contrast
    closeness: float = 0.0  # how far 12 dB move a target towards the middle of its photos
    close_crop: float = 0.55  # side of that middle, as a share of the photo's
    masks: int = 2  # bands hidden in frequency and in time each (SpecAugment, arXiv:1904.08779)
    mask_share: float = 0.15  # widest band, as a share of the axis
    evenness: float = 0.8


@dataclass(frozen=True)
class StylizerRecipe:
    """Photos take on the look of sounds ("Learning Visual Styles from Audio-Visual Associations").

    The defaults are the published settings, of which an ablation changes one.
    """

    plan: Plan  # of the stylizer and its audio encoder, which learn as one
    # Scenes whose photos are restyled, and scenes whose sounds are heard and whose photos show
    # their look. Data paired by key may do without: then they are all photos, and all sounds.
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    network: StylizerConfig = field(default_factory=StylizerConfig)
    audio: AudioEncoderConfig = field(default_factory=published_avstyle)
    critic: PatchGANConfig = field(default_factory=PatchGANConfig)
    critic_from: str | None = None  # the model whose image encoder judges; None = a critic, above
    critic_pace: Pace = field(default_factory=Pace)
    structure_pace: Pace = field(default_factory=Pace)  # of the head behind PatchNCE, or the cycle
    crop_px: int = 256  # side of what is cut out of a photo
    window: Literal["random", "first"] = "random"  # as the paper says, or as its code does
    audio_from: str | None = None  # the model whose audio encoder is gone on from; None = scratch
    audio_learns: bool = True  # with the stylizer; else it is only brought to unit features
    init_gain: float = 0.02  # of the Xavier-normal first weights of all but the audio encoder
    structure: Literal["nce", "cycle"] = "nce"  # what keeps the photo's structure
    adversarial_weight: float = 1.0
    structure_weight: float = 0.5
    # How far means and deviations of the maps of critic_from's image encoder are from those of
    # photos that go with the sound: what most of a look is, learned much sooner than to deceive.
    statistics_weight: float = 0.0
    photos_per_sound: int = 8  # whose means and deviations are averaged
    mismatch_weight: float = 0.0  # of photos with another scene's sound, which shall look wrong
    identity_weight: float = 0.5  # a photo that goes with the sound already should stay as it is
    patches: int = 256  # places that PatchNCE compares in each layer
    head_width: int = 256  # of the layers in which it compares
    temperature: float = 0.07
    # How loud is how far. Published sounds have no loudness. Where the audio encoder's peak is 0,
    # windows are brought to levels between these two, in dB from the sounds' median. At the loud
    # end a sound wants its own scene's look, at the quiet end any source photo goes with it.
    quiet_db: float = 0.0
    loud_db: float = 0.0  # equal to quiet_db = sounds stay as they are, and all are loud
    # Weight of the squared distance from the source: all of it at the quiet end, a tenth at the
    # loud end. Squared, because few large changes are blots and many small ones are a look.
    stillness: float = 0.0
    evenness: float = 1.0  # 0 draws sounds and source photos equally often, 1 draws their scenes

    @property
    def by_loudness(self) -> bool:
        """Whether louder sounds are to move photos further."""
        return self.loud_db > self.quiet_db


class WholeRecipe(ABC):
    """What a file holds; settings that do not fit together are told at once, as ``ValueError``."""

    name: str
    seed: int
    data: Data

    def __post_init__(self) -> None:
        faults = list(out_of_range(to_table(self)))
        if Path(self.name).name != self.name or self.name in ("", ".."):
            faults.append(f"name = {self.name!r} must be usable as a folder's name")
        if not faults:
            faults.extend(self.misfits())
            for stage, plan in self.stages.items():
                faults.extend(f"{stage}: {fault}" for fault in misfits_of(stage, plan))
        if faults:
            raise ValueError("; ".join(faults))

    @property
    @abstractmethod
    def stages(self) -> Mapping[str, Plan]:
        """What is learned, in its order, and for how long."""

    @abstractmethod
    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""


def misfits_of(stage: str, plan: Plan) -> Iterator[str]:
    """What is wrong with a stage's plan as a whole."""
    if plan.batch % plan.parts:
        yield f"batch = {plan.batch} must be divisible by parts = {plan.parts}"
    if plan.validate_every and stage != "audio-encoder":
        yield "validate_every is for the audio encoder alone"


# What numbers may be, by their names, wherever they stand in a recipe.
LEVELS = frozenset(("loud_db", "quiet_db"))  # no other number is negative
MAY_BE_0 = frozenset(  # no other whole number is; of those that are not whole, all but ABOVE_0
    (
        "attention_px",
        "decay_steps",
        "depth",
        "masks",
        "middle_depth",
        "seed",
        "sheet_every",
        "squash_px",
        "stem_padding",
        "validate_every",
        "warmup_steps",
    )
)
ABOVE_0 = frozenset(("close_crop", "latent_bound", "learning_rate", "temperature"))
SHARES = frozenset(("drop_feature", "evenness", "mask_share", "mixed", "share", "smallest_crop"))
BELOW_1 = frozenset(("betas", "ema_decay", "smoothing"))
NEEDED = frozenset(("critic_widths", "depths", "multipliers", "pyramid", "widths"))
TIMES = frozenset(("seconds", "window_s"))


def out_of_range(table: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """With what no network could be built or taught, in tables and in the tables in them."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from out_of_range(value, f"{place}{name}.")
        elif name == "front_end" and value not in FRONT_ENDS:
            yield f"{place}{name} must be one of {', '.join(FRONT_ENDS)}"
        elif value == () and name in NEEDED:
            yield f"{place}{name} must not be empty"
        for number in value if isinstance(value, tuple) else (value,):
            wrong = fault_in(name, number)
            if wrong is not None:
                yield f"{place}{name} = {number:g} {wrong}"
    if len(table.get("depths", ())) != len(table.get("widths", ())) and "depths" in table:
        yield f"{place}widths must be as many as {place}depths"
    if "resnet" in table:
        channels, why = (1, "a spectrogram") if "front_end" in table else (3, "red, green and blue")
        if table["resnet"]["in_channels"] != channels:
            yield f"{place}resnet.in_channels must be {channels}, for {why}"


def fault_in(name: str, number: Any) -> str | None:
    """What is wrong with a setting, if it is a number."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if not abs(number) < 2**63:  # or no number at all
        return "must be a finite number"
    if name in TIMES and not 0.1 <= number <= 3600:
        return "must be between 0.1 and 3600"
    if name in SHARES and not 0 <= number <= 1:
        return "must be between 0 and 1"
    if name in BELOW_1 and not 0 <= number < 1:
        return "must be from 0 to below 1"
    if name in ABOVE_0 and number <= 0:
        return "must be above 0"
    if isinstance(number, int) and name not in MAY_BE_0 and number < 1:
        return "must be at least 1"
    if number < 0 and name not in LEVELS:
        return "must not be negative"
    return None


@dataclass(frozen=True)
class StyleRecipe(WholeRecipe):
    """A model that restyles photos: a stylizer and its audio encoder."""

    name: str
    stylizer: StylizerRecipe
    seed: int = 0
    data: Data = field(default_factory=Data)

    @property
    def stages(self) -> Mapping[str, Plan]:
        """One, in which everything learns together."""
        return {"stylizer": self.stylizer.plan}

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        recipe = self.stylizer
        if recipe.audio.features != recipe.network.features:
            yield (
                f"stylizer.audio.features = {recipe.audio.features} must equal "
                f"stylizer.network.features = {recipe.network.features}"
            )
        if not recipe.audio_learns and (recipe.audio_from is None or recipe.audio.relu):
            yield "stylizer.audio_learns = false asks for stylizer.audio_from, and for no relu"
        if recipe.critic_from is not None and recipe.audio_learns:
            yield "stylizer.critic_from asks for stylizer.audio_learns = false"
        if recipe.statistics_weight and recipe.critic_from is None:
            yield "stylizer.statistics_weight asks for stylizer.critic_from"
        if not 32 <= recipe.crop_px <= self.data.photo_px or recipe.crop_px % SHRINKS:
            yield (
                f"stylizer.crop_px = {recipe.crop_px} must be a multiple of {SHRINKS} "
                f"from 32 to data.photo_px = {self.data.photo_px}"
            )
        for place, scenes in (("sources", recipe.sources), ("targets", recipe.targets)):
            if not scenes and self.data.pairs_by == "scene":
                yield f"stylizer.{place} must name a scene"
        if recipe.loud_db < recipe.quiet_db:
            yield "stylizer.loud_db must not be below stylizer.quiet_db"
        if recipe.by_loudness and (recipe.audio.peak or recipe.audio.front_end == "standardised"):
            yield "stylizer.loud_db asks for an audio encoder that hears loudness"
        if recipe.stillness and not recipe.by_loudness:
            yield "stylizer.stillness asks for stylizer.loud_db above stylizer.quiet_db"


@dataclass(frozen=True)
class JudgeRecipe:
    """Photos are told apart by their scenes, which the shards' folders name."""

    plan: Plan
    network: JudgeConfig
    crop_px: int = 96  # side of a view
    smallest_crop: float = 0.25  # share of the photo's area
    mixed: float = 0.5  # share of the views that are blended with another (mixup, arXiv:1710.09412)
    smoothing: float = 0.1  # of each label, spread over all scenes
    evenness: float = 0.5  # 0 draws photos equally often, 1 draws scenes equally often


@dataclass(frozen=True)
class JudgingRecipe(WholeRecipe):
    """A model that judges pictures: nothing but a judge."""

    name: str
    judge: JudgeRecipe
    seed: int = 0
    data: Data = field(default_factory=Data)

    @property
    def stages(self) -> Mapping[str, Plan]:
        """One."""
        return {"judge": self.judge.plan}

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        recipe = self.judge
        if not 0 < recipe.crop_px <= self.data.photo_px:
            yield (
                f"judge.crop_px = {recipe.crop_px} must be "
                f"at most data.photo_px = {self.data.photo_px}"
            )


@dataclass(frozen=True)
class Recipe(WholeRecipe):
    """A model that paints: image encoder, generator and audio encoder, in this order.

    Image encoder and generator may be another model's, as the paper's are.
    """

    name: str
    audio_encoder: AudioEncoderRecipe
    image_encoder: ImageEncoderRecipe | None = None
    image_encoder_from: str | None = None  # the model whose image encoder is taken
    autoencoder: AutoencoderRecipe | None = None  # in whose latents a flow paints
    texture: TextureRecipe | None = None  # more of its pictures; None = they stay soft
    generator: GeneratorRecipe | BigGANRecipe | None = None
    generator_from: str | None = None  # the model whose generator is taken
    seed: int = 0
    data: Data = field(default_factory=Data)

    @property
    def stages(self) -> Mapping[str, Plan]:
        """Those of them that are learned here."""
        stages = {
            "image-encoder": self.image_encoder,
            "autoencoder": self.autoencoder,
            "texture": self.texture,
            "generator": self.generator,
            "audio-encoder": self.audio_encoder,
        }
        return {name: recipe.plan for name, recipe in stages.items() if recipe is not None}

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        for name in ("image_encoder", "generator"):
            if (getattr(self, name) is None) == (getattr(self, f"{name}_from") is None):
                yield f"either a table {name} is needed or {name}_from, the name of a model"
        if isinstance(self.generator, GeneratorRecipe) != (self.autoencoder is not None):
            yield "a table autoencoder is needed where the generator is a flow, and only there"
        if self.texture is not None:
            if self.autoencoder is None:
                yield "a table texture is for a table autoencoder"
            elif self.texture.network != self.autoencoder.network:
                yield "texture.network must equal autoencoder.network"
        generator = self.generator
        if isinstance(generator, BigGANRecipe):
            yield from (f"generator.{fault}" for fault in generator.misfits())
        if self.image_encoder is not None:
            feature = self.image_encoder.network.resnet.features
            widths = {"audio_encoder": self.audio_encoder.network.features}
            if generator is not None:
                widths["generator"] = generator.network.features
            for place, width in widths.items():
                if width != feature:
                    yield (
                        f"{place}.network.features = {width} must equal "
                        f"the image encoder's {feature}"
                    )
            plan = self.image_encoder.plan
            if plan.batch // plan.parts < 2:
                yield (
                    f"image_encoder.plan.batch = {plan.batch} must be at least "
                    f"{2 * plan.parts}, two photos in each part, for VICReg compares them"
                )
            if not 0 < self.image_encoder.crop_px <= self.data.photo_px:
                yield (
                    f"image_encoder.crop_px = {self.image_encoder.crop_px} must be at most "
                    f"data.photo_px = {self.data.photo_px}"
                )
        if generator is not None and not 0 < generator.picture_px <= self.data.photo_px:
            yield (
                f"the generator's picture_px = {generator.picture_px} must be at most "
                f"data.photo_px = {self.data.photo_px}"
            )
        if isinstance(generator, GeneratorRecipe):
            pictures = generator.network.autoencoder
            if self.autoencoder is not None and self.autoencoder.network != pictures:
                yield "generator.network.autoencoder must equal autoencoder.network"
            for width in (*pictures.widths, generator.network.velocity.width):
                if width % GROUPS:
                    yield f"a width of {width} channels must be divisible by {GROUPS}"
            if pictures.picture_px % 16:
                yield f"the generator's picture_px = {pictures.picture_px} must be divisible by 16"
            for name in ("autoencoder", "texture"):
                stage = getattr(self, name)
                halvings = 0 if stage is None else len(stage.pyramid) - 1
                if pictures.picture_px % 2**halvings:
                    yield f"{name}.pyramid halves {pictures.picture_px} px {halvings} times"
            heads, middle = generator.network.velocity.heads, 2 * generator.network.velocity.width
            if middle % heads:
                yield (
                    f"generator.network.velocity.heads = {heads} must divide "
                    f"twice its width, {middle}"
                )
            if generator.blend > generator.neighbours:
                yield "generator.blend must be at most generator.neighbours"


@dataclass(frozen=True)
class LocalisingRecipe(WholeRecipe):
    """A model that tells which moments of a video go with their sound: nothing but a localiser."""

    name: str
    localiser: LocaliserRecipe
    seed: int = 0
    data: Data = field(default_factory=lambda: Data(pairs_by="key"))

    @property
    def stages(self) -> Mapping[str, Plan]:
        """One."""
        return {"localiser": self.localiser.plan}

    def misfits(self) -> Iterator[str]:
        """Settings that are right alone, but not together."""
        if self.data.pairs_by != "key":
            yield "data.pairs_by must be 'key': a localiser learns from moments of videos"


AnyRecipe = Recipe | StyleRecipe | JudgingRecipe | LocalisingRecipe

# What a recipe is for shows in the table that it holds; one without any of these paints.
KINDS: Mapping[str, type[AnyRecipe]] = {
    "stylizer": StyleRecipe,
    "judge": JudgingRecipe,
    "localiser": LocalisingRecipe,
}


def read_recipe(path: Path, changes: Sequence[str] = ()) -> AnyRecipe:
    """The recipe of a TOML file, which tells what it trains by its tables.

    With a table ``stylizer`` that is a model that restyles photos, with ``judge`` one that judges
    pictures, with ``localiser`` one that finds what sounds, else one that paints. A recipe that
    ``extends`` another, named by its path from here, holds only what differs.

    Args:
        path: of the file.
        changes: each ``table.setting=value``, laid over the file, the last one last.

    Raises:
        RecipeError: the file is missing or not TOML, or settings do not fit: all of them, at once.
    """
    try:
        table = read_tables(path)
        if changes:
            with suppress(ValueError):  # what does not fit yet may do so with the changes
                table = tables_of(recipe_of(table))
        for change in changes:
            table = laid_over(table, changed(change))
        return recipe_of(table)
    except OSError as fault:
        raise RecipeError(
            f"The recipe {fault.filename or path} cannot be read ({fault.strerror}): "
            "check the path."
        ) from fault
    except ValueError as fault:  # TOMLDecodeError is one too
        told = str(fault)
        end = "" if told.endswith(("?", ".")) else "."
        raise RecipeError(f"The recipe {path} does not fit: {told}{end}") from fault


def tables_of(recipe: AnyRecipe) -> dict[str, Any]:
    """Every setting of a recipe, also those that its file leaves out, so that one alone can change.

    A file's table is laid over its kind's defaults, which are not always those of the place where
    it stands: of audio encoders in general, but not of avstyle's.
    """
    tables = to_table(recipe)
    if isinstance(recipe, Recipe) and recipe.autoencoder is not None:
        del tables["generator"]["network"]["autoencoder"]  # the same again
    return tables


def recipe_of(table: dict[str, Any]) -> AnyRecipe:
    """The recipe of tables that extend nothing.

    Raises:
        ValueError: settings do not fit: all of them, at once.
    """
    kind = next((KINDS[name] for name in table if name in KINDS), Recipe)
    if kind is Recipe:
        # The flow decodes with the very autoencoder that was trained before it.
        with suppress(AttributeError, KeyError, TypeError):  # no tables: from_table says so
            if table["generator"].get("family", "flow") == "flow":
                shared = table["autoencoder"].get("network", {})
                table["generator"].setdefault("network", {}).setdefault("autoencoder", shared)
    return from_table(kind, table)


def changed(change: str) -> dict[str, Any]:
    """``generator.plan.steps=10`` as tables; a value that is no TOML is a text.

    Raises:
        ValueError: there is no name or no value.
    """
    names, equals, value = change.partition("=")
    if not names.strip() or not equals:
        raise ValueError(f"--set {change} must be like generator.plan.steps=500")
    try:
        table: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table = value.strip()
    for name in reversed(names.strip().split(".")):
        table = {name: table}
    changes: dict[str, Any] = table
    return changes


def read_tables(path: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a TOML file over those of the one that it extends.

    Raises:
        ValueError: a recipe extends itself, or what it extends is no path.
    """
    if path.resolve() in extending:
        raise ValueError(f"{path} extends itself")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    extended = table.pop("extends", None)
    if extended is None:
        return table
    if not isinstance(extended, str):
        raise ValueError(f"extends = {extended!r} must be the path of a recipe")
    return laid_over(read_tables(path.parent / extended, (*extending, path.resolve())), table)


def laid_over(table: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with some entries replaced, table by table; names may be spelt with - or _."""
    spelt = {name.replace("-", "_"): name for name in table}
    for name, value in changes.items():
        known = spelt.get(name.replace("-", "_"), name)
        if isinstance(value, Mapping) and isinstance(table.get(known), dict):
            value = laid_over(table[known], value)
        table[known] = value
    return table
