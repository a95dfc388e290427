"""The front door for Python users: open a model, let it hear, let it paint.

>>> studio = Studio.open("pocket")
>>> picture = studio.hear("rain.wav").paint(seed=0)
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

import torch
from torch import Tensor

from s2s_cli import __version__, registry
from s2s_cli.audio.sound import STDIN, SUFFIXES, Sound, Wave, fit, read_sound
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.errors import ModelError
from s2s_cli.latents import angle_degrees
from s2s_cli.networks.flow import EDITING, Flow
from s2s_cli.networks.hardware import Precision, fast_precision
from s2s_cli.picture.image import Picture, psnr_db, resize, to_uint8
from s2s_cli.picture.photo import PICTURE_SUFFIXES, Photo, begins_like_a_picture, read_photo
from s2s_cli.picture.provenance import Provenance, Scalar, Source
from s2s_cli.picture.sheet import SheetEntry, contact_sheet


@dataclass(frozen=True)
class Look:
    """What can be chosen about a picture beside its sound, model and seed."""

    start_s: float = 0.0  # where in a long sound to begin listening
    truncation: float = 1.0  # scale of the noise; below 1 more typical and less varied
    size_px: int | None = None  # side of the picture; None as the model paints it


DEFAULT_LOOK = Look()


class Studio:
    """A model on a device.

    Every picture is painted by itself, so that its bytes depend on its sound, its seed and the
    model, and never on how many others were asked for beside it.
    """

    def __init__(self, model: registry.Model, device: str, precision: Precision) -> None:
        self.model, self.device, self.precision = model, device, precision
        model.generator.set_precision(precision)

    @classmethod
    def open(
        cls, name: str | Path, device: str = "auto", precision: Precision | None = None
    ) -> "Studio":
        """Load a model by name or folder.

        Args:
            name: as ``s2s models list`` shows it, or a folder.
            device: "cpu", "cuda", "mps", or "auto" for the best at hand.
            precision: of the generator; None for the faster that the hardware has.

        Raises:
            ModelError: there is no such model, or it is damaged; or no such device.
        """
        device = choose_device(device)
        return cls(registry.open_model(name, device), device, precision or fast_precision(device))

    def hear(self, source: str | Path, start_s: float = 0.0) -> "Heard":
        """Read the part of a sound that the model listens to.

        Args:
            source: any sound or video file, or "-" for standard input.
            start_s: where in a long sound to begin.

        Raises:
            SoundError: the sound cannot be heard.
        """
        config = self.model.audio_encoder.config
        sound = read_sound(
            source, sample_rate=config.sample_rate, seconds=config.seconds, start_s=start_s
        )
        return Heard(self, str(source), sound)

    def perceive(self, source: str, start_s: float = 0.0) -> "Heard | Seen":
        """Look at what is a picture, and hear everything else.

        Its name tells, or where that does not, its first bytes.

        Raises:
            SoundError: the sound cannot be heard.
            PictureError: the picture cannot be read.
            ModelError: the model cannot look at pictures.
        """
        return self.see(source) if is_picture(source) else self.hear(source, start_s)

    @torch.inference_mode()
    def feature_of(self, wave: Wave) -> Tensor:
        """What the model hears in a wave.

        wave: (samples,) at the model's rate; tiled or cut to its length. Returns (features,), in
        the image encoder's space.
        """
        config = self.model.audio_encoder.config
        samples = round(config.seconds * config.sample_rate)
        whole = torch.from_numpy(fit(wave, samples)).to(self.device)
        seen = FRONT_ENDS[config.front_end](whole[None])
        feature: Tensor = self.model.audio_encoder(seen)[0]
        return feature

    def see(self, source: str | Path) -> "Seen":
        """Read a picture that the model shall look at.

        Raises:
            PictureError: the file cannot be read as a picture.
            ModelError: the model has no image encoder.
        """
        if self.model.image_encoder is None:
            raise ModelError(
                f"The model '{self.model.name}' has no image encoder, so it cannot look at "
                f"'{source}': name another with --model."
            )
        return Seen(self, str(source), read_photo(source))

    @torch.inference_mode()
    def feature_of_picture(self, picture: Picture) -> Tensor:
        """What the model sees in a picture, (H, W, 3). Returns (features,)."""
        assert self.model.image_encoder is not None
        feature: Tensor = self.model.image_encoder(self.as_tensor(picture))[0]
        return feature

    @torch.inference_mode()
    def paint(self, feature: Tensor, seed: int, look: Look = DEFAULT_LOOK) -> Picture:
        """One picture.

        Args:
            feature: (features,), of a sound or a picture, or anything between.
            seed: of the picture's own noise.
            look: how much of the noise counts, and the size.

        Returns:
            (side, side, 3) uint8.
        """
        generator = self.model.generator
        noise = generator.noise([seed], look.truncation)
        picture = to_uint8(generator.paint(noise, feature[None])[0].cpu().numpy())
        return picture if look.size_px is None else resize(picture, look.size_px)

    def invert(
        self, seen: "Seen", search_steps: int, watch: Callable[[float], None] = lambda _: None
    ) -> "Inversion":
        """Find the noise and the feature from which a picture paints itself again (section 5.2).

        For a flow the noise is found by running it backwards, for the paper's generator both are
        searched for by Adam.

        Args:
            seen: the picture.
            search_steps: of Adam; a flow needs none.
            watch: told the loss after each of them.
        """
        generator, encoder = self.model.generator, self.model.image_encoder
        assert encoder is not None  # else it could not have been seen
        original = seen.photo.squashed(generator.picture_px)
        pictures, feature = self.as_tensor(original), seen.feature
        if isinstance(generator, Flow):
            with torch.inference_mode():
                noise = generator.invert(pictures, feature[None])
        else:
            noise, found = generator.invert(pictures, feature[None], encoder, search_steps, watch)
            feature = found[0]
        painted = self.repaint(noise, feature)
        return Inversion(
            noise=noise,
            feature=feature,
            painted=painted,
            psnr_db=psnr_db(painted, original),
            feature_degrees=angle_degrees(self.feature_of_picture(painted), seen.feature),
        )

    @property
    def searches(self) -> bool:
        """Whether an inversion is a search, with steps to wait for."""
        return not isinstance(self.model.generator, Flow)

    @torch.inference_mode()
    def repaint(self, noise: Tensor, feature: Tensor) -> Picture:
        """A picture from a noise that ``invert`` found, (1, ...), and a feature, (features,)."""
        generator = self.model.generator
        painted = (
            generator.paint(noise, feature[None], EDITING)
            if isinstance(generator, Flow)
            else generator.paint(noise, feature[None])
        )
        return to_uint8(painted[0].cpu().numpy())

    def as_tensor(self, picture: Picture) -> Tensor:
        """(H, W, 3) uint8 as networks take it: (1, 3, H, W) in [-1, 1]."""
        pixels = torch.tensor(picture, device=self.device).permute(2, 0, 1)[None]
        return pixels / 127.5 - 1

    def provenance(
        self,
        command: str,
        sources: tuple[Source, ...],
        seed: int,
        look: Look,
        **options: Scalar | Sequence[Scalar],
    ) -> Provenance:
        """All that decides a picture painted here."""
        return Provenance(
            command=command,
            sources=sources,
            model=self.model.name,
            model_sha256=self.model.sha256,
            seed=seed,
            device=self.device,
            precision=self.precision,
            options={**asdict(look), **options},
            version=__version__,
        )


@dataclass(frozen=True, eq=False)
class Heard:
    """A sound that a studio has heard, and what the model makes of it."""

    studio: Studio
    name: str  # as it was given
    sound: Sound

    @cached_property
    def feature(self) -> Tensor:
        """(features,), in the image encoder's space; computed when first asked for."""
        return self.studio.feature_of(self.sound.wave)

    @property
    def source(self) -> Source:
        """What a picture's provenance says of it."""
        return Source("sound", self.name, self.sound.sha256)

    def paint(self, seed: int, look: Look = DEFAULT_LOOK) -> Picture:
        """Its picture."""
        return self.studio.paint(self.feature, seed, look)


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that a studio has looked at, and what the model makes of it."""

    studio: Studio
    name: str  # as it was given
    photo: Photo
    inversions: dict[int, "Inversion"] = field(default_factory=dict)  # by their search steps

    def inversion(
        self, search_steps: int, watch: Callable[[float], None] = lambda _: None
    ) -> "Inversion":
        """As ``Studio.invert`` gives it, once: it takes its time, and every strength wants it."""
        if search_steps not in self.inversions:
            self.inversions[search_steps] = self.studio.invert(self, search_steps, watch)
        return self.inversions[search_steps]

    @cached_property
    def feature(self) -> Tensor:
        """(features,), in the image encoder's space; computed when first asked for."""
        encoder = self.studio.model.image_encoder
        assert encoder is not None
        side = encoder.config.squash_px or encoder.config.picture_px
        return self.studio.feature_of_picture(self.photo.squashed(side))

    @property
    def source(self) -> Source:
        """What a picture's provenance says of it."""
        return Source("picture", self.name, self.photo.sha256)


@dataclass(frozen=True, eq=False)
class Inversion:
    """A picture as its model would have painted it, and how much of it that is."""

    noise: Tensor  # (1, ...)
    feature: Tensor  # (features,)
    painted: Picture  # the reconstruction, (side, side, 3)
    psnr_db: float  # to the picture, squashed to the same square
    feature_degrees: float  # between what the model sees in the two


def sheet(heard: Sequence[Heard], seed: int, count: int, look: Look = DEFAULT_LOOK) -> Picture:
    """One page with ``count`` pictures of each sound, from ``seed`` on."""
    return contact_sheet(
        [
            SheetEntry(
                picture=one.paint(number, look),
                label="stdin" if one.name == "-" else Path(one.name).name,
                detail=f"seed {number}",
                wave=one.sound.wave,
                sample_rate=one.sound.sample_rate,
            )
            for one in heard
            for number in range(seed, seed + count)
        ]
    )


def is_picture(source: str) -> bool:
    """Whether a file is to be looked at: its name tells, or where it does not, its first bytes."""
    suffix = PurePath(source).suffix.lower()
    return suffix in PICTURE_SUFFIXES or (
        suffix not in SUFFIXES and source != str(STDIN) and begins_like_a_picture(Path(source))
    )


def choose_device(device: str) -> str:
    """The device to work on.

    Raises:
        ModelError: the one asked for is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, available in there.items() if available)
    if not there[device]:
        raise ModelError(
            f"There is no {device} device here that torch {torch.__version__} can use: "
            "choose --device cpu or auto."
        )
    return device
