"""The front door for Python users: open a model, let it hear, let it paint.

>>> studio = Studio.open("pocket")
>>> picture = studio.hear("rain.wav").paint(seed=0)
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from s2s_cli import __version__, registry
from s2s_cli.audio.sound import Sound, Wave, fit, read_sound
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.errors import ModelError
from s2s_cli.networks.layers import Precision
from s2s_cli.picture.image import Picture, resize, to_uint8
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
        return cls(registry.open_model(name, device), device, precision or choose_precision(device))

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

    def provenance(
        self, command: str, sources: tuple[Source, ...], seed: int, look: Look, **options: Scalar
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


@dataclass(frozen=True)
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


def choose_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it faster than float32."""
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    fast = (
        device == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return "bfloat16" if fast else "float32"
