"""Names to networks: find, save and load models.

A model is a folder: ``card.md``, one safetensors file per network, and ``SHA256SUMS`` as the
``sha256sum`` command writes it. Each file's header says which network it holds and its config, so
a network is rebuilt from its file alone, strictly, and without pickle. Finding a model imports
nothing heavy; torch loads with the first network.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import uuid4

import platformdirs

from s2s_cli.errors import ModelError, OutputError, nearest
from s2s_cli.networks.config import from_table, to_table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from s2s_cli.networks.audio_encoder import AudioEncoder
    from s2s_cli.networks.biggan import BigGAN
    from s2s_cli.networks.flow import Flow
    from s2s_cli.networks.image_encoder import ImageEncoder
    from s2s_cli.networks.judge import Judge
    from s2s_cli.networks.localiser import Localiser
    from s2s_cli.networks.stylizer import Stylizer

    Generator = BigGAN | Flow
    Network = TypeVar("Network", bound=nn.Module)

AUDIO_ENCODER = "audio_encoder.safetensors"
IMAGE_ENCODER = "image_encoder.safetensors"  # a model can do without it: sounds alone still paint
GENERATOR = "generator.safetensors"
STYLIZER = "stylizer.safetensors"  # restyles pictures; it and an audio encoder are a model too
JUDGE = "judge.safetensors"  # tells what pictures show; a model of its own
LOCALISER = "localiser.safetensors"  # tells where in pictures a sound comes from; likewise
# What a model is for.
DOES = {
    GENERATOR: "paints",
    STYLIZER: "restyles",
    JUDGE: "judges",
    LOCALISER: "localises sounds in",
}
CARD = "card.md"
SUMS = "SHA256SUMS"

Precision = Literal["float32", "float16"]  # of the weights on disk


# Where models are


def shipped_dir() -> Path:
    """The models that come with the package: inside it once installed, beside it in a checkout."""
    package = Path(__file__).parent
    zoo = package / "zoo"
    return zoo if zoo.is_dir() else package.parent / "models"


def user_dir() -> Path:
    """Where imported and pulled models go; it need not exist yet."""
    home = os.environ.get("S2S_HOME")
    return Path(home or platformdirs.user_data_dir("s2s")) / "models"


def metrics_dir() -> Path:
    """Where the published networks of metrics are, a folder each; it need not exist yet."""
    return user_dir().parent / "metrics"


def model_dirs() -> list[Path]:
    """The folders that hold models; the first that knows a name wins."""
    return [
        folder for folder in (shipped_dir(), user_dir()) if os.access(folder, os.R_OK | os.X_OK)
    ]


def is_model(folder: Path) -> bool:
    """Whether a folder holds at least one network. Hidden folders are downloads under way."""
    # os.path, because pathlib raises where a name is too long or a folder is closed.
    return (
        not folder.name.startswith(".")
        and os.path.isdir(folder)
        and any(folder.glob("*.safetensors"))
    )


def names() -> list[str]:
    """Every model that can be named, sorted."""
    return sorted({f.name for top in model_dirs() for f in top.iterdir() if is_model(f)})


def find(name_or_path: str | Path) -> Path:
    """The folder of a model.

    Raises:
        ModelError: no model has this name, and no folder of networks lies at this path.
    """
    for top in model_dirs():
        # Path("..") and Path("/etc") are no names: only what lies directly inside counts.
        folder = top / name_or_path
        if folder.parent == top and is_model(folder):
            return folder
    path = Path(name_or_path)
    if is_model(path):
        return path
    if os.path.isdir(path) and path.name != str(name_or_path):
        raise ModelError(f"{path} holds no model: it should contain one of {', '.join(DOES)}.")
    known = names()
    hint = nearest(str(name_or_path), known) if known else "None is installed; see s2s models pull."
    raise ModelError(f"There is no model called '{name_or_path}'. {hint}")


# One network, one file


def families() -> dict[str, tuple[type[nn.Module], type[Any]]]:
    """Every network that a file may hold, with its config; the name is what the header says."""
    from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
    from s2s_cli.networks.biggan import BigGAN, BigGANConfig
    from s2s_cli.networks.flow import Autoencoder, AutoencoderConfig, Flow, FlowConfig
    from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
    from s2s_cli.networks.judge import Judge, JudgeConfig
    from s2s_cli.networks.localiser import Localiser, LocaliserConfig
    from s2s_cli.networks.stylizer import Stylizer, StylizerConfig

    return {
        "audio_encoder": (AudioEncoder, AudioEncoderConfig),
        "image_encoder": (ImageEncoder, ImageEncoderConfig),
        "biggan": (BigGAN, BigGANConfig),
        "flow": (Flow, FlowConfig),
        "autoencoder": (Autoencoder, AutoencoderConfig),
        "stylizer": (Stylizer, StylizerConfig),
        "judge": (Judge, JudgeConfig),
        "localiser": (Localiser, LocaliserConfig),
    }


def save_network(path: Path, network: nn.Module, dtype: Precision = "float32") -> None:
    """Write a network to one file, whole or not at all.

    Args:
        path: ends in .safetensors; an existing file is replaced.
        network: of one of the ``families``.
        dtype: of matrices and kernels. Vectors (norms, biases) stay float32: they weigh little,
            and a variance may leave float16's range.

    Raises:
        ModelError: a weight is not finite, or no longer is in ``dtype``.
    """
    import torch
    from safetensors.torch import save

    family = next(name for name, (kind, _) in families().items() if type(network) is kind)
    tensors = {}
    for key, value in network.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        if tensor.is_floating_point():
            tensor = tensor.to(getattr(torch, dtype) if tensor.ndim > 1 else torch.float32)
        tensors[key] = tensor
    check_finite(tensors, path)
    # One entry only: safetensors shuffles them, and the same weights should be the same bytes.
    about = json.dumps({"network": family, "config": to_table(network.config)})
    with written_whole(path) as unfinished:
        # Not save_file, which hides what it writes from every other user of the machine.
        unfinished.write_bytes(save(tensors, metadata={"s2s": about}))


def load_network(path: Path) -> nn.Module:
    """Rebuild a network from its file alone: float32 on the CPU, frozen, ready to paint.

    Raises:
        ModelError: the file is missing or damaged, or its weights are not those of its config.
    """
    import torch
    from safetensors.torch import load_file

    family, config = read_header(path)
    kinds = families()
    if family not in kinds:
        raise ModelError(f"{path} holds a '{family}', which s2s does not know: a newer s2s may.")
    kind, config_kind = kinds[family]
    try:
        settings = from_table(config_kind, config)
        with torch.device("meta"):  # no memory yet, and no time lost on weights to be replaced
            network = kind(settings)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, IndexError) as error:
        raise ModelError(f"{path} asks for a network that cannot be built: {error}") from error
    with unreadable(path):
        tensors = load_file(path)
    fill(network, tensors, path)
    # Convolutions are faster with the channels last, here and on a GPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def read_header(path: Path) -> tuple[str, dict[str, object]]:
    """The family and the config that a weight file names; reads no weights, imports no torch."""
    with unreadable(path), path.open("rb") as file:
        # A safetensors file begins with the length of its header, which is JSON.
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > path.stat().st_size:
            raise ValueError("it is no safetensors file, or its end is missing")
        header = file.read(length)
    try:
        about = json.loads(json.loads(header)["__metadata__"]["s2s"])
        return str(about["network"]), dict(about["config"])
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} does not say which network it holds: only files that s2s wrote can be read."
        ) from error


def fill(network: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Give a network its weights: every one of them, nothing else, all finite.

    Args:
        network: on any device, the one without memory ("meta") included.
        tensors: in any precision; kept as float32.
        source: the file they came from, for the sentence.

    Raises:
        ModelError: a weight is missing, left over, of another shape, or not finite.
    """
    wanted = network.state_dict()
    for fault, keys in (
        ("lacks", wanted.keys() - tensors.keys()),
        ("does not belong in it:", tensors.keys() - wanted.keys()),
        ("misshapes", {k for k in wanted.keys() & tensors if wanted[k].shape != tensors[k].shape}),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(
                f"{source} does not fit its network: it {fault} {min(keys)}{more}; "
                "fetch or make the file again."
            )
    check_finite(tensors, source)
    fitting = {key: tensor.to(wanted[key].dtype) for key, tensor in tensors.items()}
    network.load_state_dict(fitting, assign=True)


def check_finite(tensors: dict[str, Tensor], source: Path) -> None:
    """One NaN paints every picture black, so none passes."""
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(f"{source}: {key} is not finite; the training or the file is broken.")


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """What safetensors and the disk complain about, as one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: the model is incomplete, get it again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): get the model again.") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write to; it becomes ``path`` at the end, or nothing is left behind."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    with unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """What the disk says against writing, as one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{path} cannot be written ({error}): make room or choose another place (S2S_HOME)."
        ) from error


def replace_folder(complete: Path, target: Path) -> None:
    """Rename a folder to ``target``; one that stands there goes, but only once this one is in."""
    replaced = target.with_name(f".{target.name}.{uuid4().hex[:8]}.old")
    with unwritable(target):
        if target.exists():
            target.rename(replaced)
        try:
            complete.rename(target)
        except OSError:
            if replaced.exists():
                replaced.rename(target)
            raise
    shutil.rmtree(replaced, ignore_errors=True)


# Hashes


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with unreadable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weight_files(folder: Path) -> list[str]:
    """The names of the networks' files in a model's folder, sorted."""
    return sorted(path.name for path in folder.glob("*.safetensors"))


def measured_sums(folder: Path) -> dict[str, str]:
    """File name to SHA-256, of every network in a model's folder."""
    return {name: sha256(folder / name) for name in weight_files(folder)}


def write_sums(folder: Path) -> None:
    """State the hashes of a model's networks beside them, as ``sha256sum`` would."""
    with written_whole(folder / SUMS) as unfinished:
        unfinished.write_text(sums_text(measured_sums(folder)))


def stated_sums(folder: Path) -> dict[str, str]:
    """What the folder's SHA256SUMS states; empty if there is none."""
    path = folder / SUMS
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelError(f"{path} is not a list of hashes and names: get the model again.")
    return {name.removeprefix("*"): digest for digest, name in pairs}


def sums_text(sums: dict[str, str]) -> str:
    """Hashes in the format of ``sha256sum``."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def model_sha256(folder: Path) -> str:
    """One hash for the whole model: that of its networks' ``sha256sum`` lines."""
    return hashlib.sha256(sums_text(measured_sums(folder)).encode()).hexdigest()


# A whole model


@dataclass(frozen=True)
class Model:
    """Networks that paint together, on one device."""

    name: str  # as it was asked for, so that it can be found again
    path: Path
    audio_encoder: AudioEncoder
    image_encoder: ImageEncoder | None
    generator: Generator
    sha256: str  # of all its networks; goes into the provenance of every picture


@dataclass(frozen=True)
class StyleModel:
    """Networks that restyle pictures together, on one device."""

    name: str  # as it was asked for, so that it can be found again
    path: Path
    audio_encoder: AudioEncoder
    stylizer: Stylizer
    sha256: str  # of all its networks; goes into the provenance of every picture


def open_model(name_or_path: str | Path, device: str = "cpu") -> Model:
    """Load the networks of a model that paints.

    Raises:
        ModelError: there is no such model, or it is incomplete, damaged, or does not fit together;
            or it is for something else.
    """
    from s2s_cli.networks.biggan import BigGAN
    from s2s_cli.networks.flow import Flow
    from s2s_cli.networks.image_encoder import ImageEncoder

    folder = find(name_or_path)
    require_use(name_or_path, folder, GENERATOR, "paint new ones")
    audio_encoder = load_audio_encoder(folder).to(device)
    generator = load_network(folder / GENERATOR).to(device)
    if not isinstance(generator, BigGAN | Flow):
        raise ModelError(f"{folder / GENERATOR} holds another network: get the model again.")
    has_eyes = (folder / IMAGE_ENCODER).is_file()
    image_encoder = (
        load_network_as(ImageEncoder, folder / IMAGE_ENCODER).to(device) if has_eyes else None
    )
    lengths = {audio_encoder.config.features, generator.features}
    if image_encoder is not None:
        lengths.add(image_encoder.features)
    require_one_length(lengths, folder)
    return Model(
        name=str(name_or_path),
        path=folder,
        audio_encoder=audio_encoder,
        image_encoder=image_encoder,
        generator=generator,
        sha256=model_sha256(folder),
    )


def open_stylizer(name_or_path: str | Path, device: str = "cpu") -> StyleModel:
    """Load the networks of a model that restyles pictures.

    Raises:
        ModelError: there is no such model, or it is incomplete, damaged, or does not fit together;
            or it is for something else.
    """
    from s2s_cli.networks.stylizer import Stylizer

    folder = find(name_or_path)
    require_use(name_or_path, folder, STYLIZER, "restyle yours")
    audio_encoder = load_audio_encoder(folder).to(device)
    stylizer = load_network_as(Stylizer, folder / STYLIZER).to(device)
    require_one_length({audio_encoder.config.features, stylizer.features}, folder)
    return StyleModel(
        name=str(name_or_path),
        path=folder,
        audio_encoder=audio_encoder,
        stylizer=stylizer,
        sha256=model_sha256(folder),
    )


def open_judge(name_or_path: str | Path, device: str = "cpu") -> Judge:
    """Load the network of a model that judges pictures.

    Raises:
        ModelError: there is no such model, or it is damaged, or it is for something else.
    """
    from s2s_cli.networks.judge import Judge

    folder = find(name_or_path)
    require_use(name_or_path, folder, JUDGE, "judge any")
    return load_network_as(Judge, folder / JUDGE).to(device)


def open_localiser(name_or_path: str | Path, device: str = "cpu") -> Localiser:
    """Load a localiser, or make one of a model whose two encoders share a space.

    Raises:
        ModelError: there is no such model, or it is damaged, or it has neither.
    """
    from s2s_cli.networks.image_encoder import ImageEncoder
    from s2s_cli.networks.localiser import Localiser

    folder = find(name_or_path)
    if (folder / LOCALISER).is_file():
        return load_network_as(Localiser, folder / LOCALISER).to(device)
    if not (folder / IMAGE_ENCODER).is_file():
        require_use(name_or_path, folder, LOCALISER, "localise sounds in any")
    image = load_network_as(ImageEncoder, folder / IMAGE_ENCODER)
    audio = load_audio_encoder(folder)
    require_one_length({image.features, audio.config.features}, folder)
    return Localiser.of(image, audio).requires_grad_(False).to(device)


def require_use(name_or_path: str | Path, folder: Path, file: str, use: str) -> None:
    """A model that is whole, but for something else, is no damaged one."""
    does = [verb for name, verb in DOES.items() if (folder / name).is_file()]
    if does and not (folder / file).is_file():
        raise ModelError(
            f"The model '{name_or_path}' {' and '.join(does)} pictures and cannot {use}: "
            "name another with --model."
        )


def load_network_as(kind: type[Network], path: Path) -> Network:
    """``load_network``, of one family alone."""
    network = load_network(path)
    if not isinstance(network, kind):
        raise ModelError(f"{path} holds another network: get the model again.")
    return network


def load_audio_encoder(folder: Path) -> AudioEncoder:
    """The audio encoder of a model's folder, if s2s can let it hear."""
    from s2s_cli.audio.spectrogram import FRONT_ENDS
    from s2s_cli.networks.audio_encoder import AudioEncoder

    audio_encoder = load_network_as(AudioEncoder, folder / AUDIO_ENCODER)
    listening = audio_encoder.config
    if listening.front_end not in FRONT_ENDS or not 0.1 <= listening.seconds <= 3600:
        raise ModelError(
            f"{folder / AUDIO_ENCODER} wants {listening.seconds:g} s of sound by "
            f"'{listening.front_end}', which s2s does not know: a newer s2s may."
        )
    return audio_encoder


def require_one_length(lengths: set[int], folder: Path) -> None:
    """Networks that speak to each other do so in features of one length."""
    if len(lengths) > 1:
        told = " and ".join(str(length) for length in sorted(lengths))
        raise ModelError(f"{folder} mixes networks for features of length {told}: get it again.")
