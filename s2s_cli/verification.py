"""Whether a model is what it says of itself, and does what it is for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.errors import ModelError
from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig


@dataclass(frozen=True)
class Check:
    """One thing that was verified about a model."""

    what: str
    fault: str = ""  # empty: it is as it should be

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.fault


def verify(name_or_path: str | Path) -> list[Check]:
    """Compare a model with what it says of itself, and let it paint, restyle or judge once.

    Raises:
        ModelError: there is no such model. What is wrong with one that exists is in the checks.
    """
    folder = registry.find(name_or_path)
    present = registry.weight_files(folder)
    checks = [check_sum(folder, name) for name in sorted({*registry.stated_sums(folder), *present})]
    for name in present:
        what = f"{name} fits its config, and its weights are finite"
        try:
            registry.load_network(folder / name)
            checks.append(Check(what))
        except ModelError as error:
            checks.append(Check(what, str(error)))
    # What has no network of any use is said to lack what most models have.
    for file in [name for name in TRIALS if name in present] or [registry.GENERATOR]:
        what, fault_of = TRIALS[file]
        try:
            checks.append(Check(what, fault_of(folder)))
        except ModelError as error:
            checks.append(Check(what, str(error)))
    return checks


def check_sum(folder: Path, name: str) -> Check:
    """Whether a file is the one that SHA256SUMS states."""
    what = f"{name} has the hash that {registry.SUMS} states"
    stated = registry.stated_sums(folder).get(name)
    if stated is None:
        return Check(what, f"{folder / registry.SUMS} does not list it")
    if not (folder / name).is_file():
        return Check(what, f"{folder / name} is missing")
    return Check(what, "" if registry.sha256(folder / name) == stated else "the bytes are others")


def fault_in_picture(folder: Path) -> str:
    """Paint what noise sounds like; returns what is wrong with the picture, or nothing."""
    model = registry.open_model(folder)
    with torch.inference_mode():
        feature = feature_of_noise(model.audio_encoder)
        picture = model.generator.paint(model.generator.noise([0]), feature)
    px = model.generator.picture_px
    return fault_in_pixels(picture, (1, 3, px, px))


def fault_in_restyled(folder: Path) -> str:
    """Restyle noise by noise; returns what is wrong with the picture, or nothing."""
    model = registry.open_stylizer(folder)
    picture = noise_to_look_at()
    with torch.inference_mode():
        restyled = model.stylizer(picture, feature_of_noise(model.audio_encoder))
    return fault_in_pixels(restyled, tuple(picture.shape))


def fault_in_verdict(folder: Path) -> str:
    """Judge noise; returns what is wrong with the logits, or nothing."""
    judge = registry.open_judge(folder)
    with torch.inference_mode():
        logits: Tensor = judge(noise_to_look_at())
    return "" if logits.isfinite().all() else "some of its logits are not finite"


def fault_in_score(folder: Path) -> str:
    """Look for noise in noise; returns what is wrong with the score, or nothing."""
    localiser = registry.open_localiser(folder)
    with torch.inference_mode():
        score = localiser.score(noise_to_look_at(), spectrogram_of_noise(localiser.config.audio))
    return "" if score.isfinite().all() else "its score is not finite"


def noise_to_look_at() -> Tensor:
    """A picture of noise, (1, 3, 45, 62): no side is a multiple of 4, as most photos'."""
    return torch.rand((1, 3, 45, 62), generator=torch.Generator().manual_seed(0)) * 2 - 1


def feature_of_noise(audio_encoder: AudioEncoder) -> Tensor:
    """What an audio encoder hears in noise, (1, features)."""
    feature: Tensor = audio_encoder(spectrogram_of_noise(audio_encoder.config))
    return feature


def spectrogram_of_noise(config: AudioEncoderConfig) -> Tensor:
    """Noise as an audio encoder of this kind wants it, (1, frequencies, frames)."""
    samples = round(config.seconds * config.sample_rate)
    wave = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    return FRONT_ENDS[config.front_end](wave)


def fault_in_pixels(picture: Tensor, shape: tuple[int, ...]) -> str:
    """What is wrong with a picture that should have this shape, or nothing."""
    if picture.shape != shape:
        return f"its shape is {tuple(picture.shape)}, not {shape}"
    return "" if picture.isfinite().all() else "some of its values are not finite"


# By the network that makes a model what it is: what is tried, and what is wrong with the outcome.
TRIALS: dict[str, tuple[str, Callable[[Path], str]]] = {
    registry.JUDGE: ("a picture is judged, and every number is finite", fault_in_verdict),
    registry.LOCALISER: (
        "a sound is looked for in a picture, and every number is finite",
        fault_in_score,
    ),
    registry.STYLIZER: ("a sound restyles a picture, and it stays finite", fault_in_restyled),
    registry.GENERATOR: ("a sound becomes a finite picture", fault_in_picture),
}
