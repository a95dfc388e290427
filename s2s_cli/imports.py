"""Published checkpoints become models: read as pickle without running it, written as safetensors.

The layouts are the authors': a bare ``sound2scene.pth``, SwAV's ``swav.pth.tar``, and a folder of
IC-GAN's BigGAN (its ``inference/utils.py`` chooses between checkpoints as ``read_generator`` does);
and avstyle's bare ``latest_net_G.pth`` and ``latest_net_Audio.pth``.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from s2s_cli import registry
from s2s_cli.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from s2s_cli.networks.audio_encoder import AudioEncoder
    from s2s_cli.networks.biggan import BigGAN, BigGANConfig
    from s2s_cli.networks.image_encoder import ImageEncoder
    from s2s_cli.networks.stylizer import Stylizer

# Widths of BigGAN's maps from 4 px to full size, by the picture's side (arXiv:1809.11096, app. B).
MULTIPLIERS = {
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}

# What icgan_res128.json and the authors' command line set, where a checkpoint does not say.
ICGAN_DEFAULTS: dict[str, Any] = {
    "resolution": 128,
    "G_ch": 96,
    "dim_z": 120,
    "shared_dim_feat": 512,
    "G_attn": "64",
    "SN_eps": 1e-6,
    "BN_eps": 1e-5,
    "ema": True,
    "use_ema": True,
}

# Settings under which the checkpoint is another network than the paper's generator.
ICGAN_REQUIRED: dict[str, Any] = {
    "instance_cond": True,
    "class_cond": False,
    "hier": True,
    "G_shared": True,
    "G_shared_feat": True,
    "norm_style": "bn",
    "mybn": False,
    "cross_replica": False,
    "bottom_width": 4,
}

CARD = """# {name}

Imported from the files that the authors of Sound2Scene (arXiv:2303.17490) and IC-GAN
(arXiv:2109.05070) publish; their licences apply.

| network | read from | SHA-256 of that file |
|---|---|---|
{rows}
It paints pictures of {px} px from sounds of 10 s.
"""

STYLE_CARD = """# {name}

Imported from the files that the authors of "Learning Visual Styles from Audio-Visual Associations"
(avstyle) publish; their licence applies.

| network | read from | SHA-256 of that file |
|---|---|---|
{rows}
It restyles pictures by {seconds:g} s of sound, and was taught at 256 px. Its authors divide every
sound by 1.1 times its peak, so that volume says nothing; s2s does so too, and applies a gain that
you ask for after it. The sound acts through the border of the picture alone: the larger the
picture, the weaker.
"""

# avstyle's generator, part by part, under our names. Plain CUT keeps the same layers in one row.
STYLIZER_PARTS = {"model_up.1": "grow1.conv", "model_up.5": "grow2.conv", "model_up.9": "to_rgb"}
BLOCK_PARTS = {"conv_block.1": "conv1", "conv_block.5": "conv2"}


def import_sound2scene(
    audio: Path, image: Path, generator_dir: Path, name: str, force: bool = False
) -> Path:
    """Make a model of the paper's three published checkpoints, in the user's folder.

    Args:
        audio: ``sound2scene.pth``.
        image: ``swav.pth.tar``, or another state dict of SwAV's ResNet-50.
        generator_dir: IC-GAN's folder with ``state_dict_best0.pth`` and its like.
        name: of the new model: small letters, digits, ``.``, ``_`` and ``-``.
        force: replace a model of that name.

    Returns:
        The new model's folder; it appears complete or not at all.

    Raises:
        ModelError: a file is missing, is not what it should be, or holds more than tensors.
    """
    with new_model(name, force) as folder:
        registry.save_network(folder / registry.AUDIO_ENCODER, read_audio_encoder(audio))
        registry.save_network(folder / registry.IMAGE_ENCODER, read_image_encoder(image))
        generator, weights = read_generator(generator_dir)
        registry.save_network(folder / registry.GENERATOR, generator)
        registry.write_sums(folder)
        rows = source_rows({"audio encoder": audio, "image encoder": image, "generator": weights})
        card = CARD.format(name=name, rows=rows, px=generator.picture_px)
        (folder / registry.CARD).write_text(card, encoding="utf-8")
    return registry.user_dir() / name


def import_avstyle(generator: Path, audio: Path, name: str, force: bool = False) -> Path:
    """Make a model that restyles pictures of the two networks which avstyle's test loads.

    Args:
        generator: ``latest_net_G.pth``.
        audio: ``latest_net_Audio.pth``.
        name: of the new model: small letters, digits, ``.``, ``_`` and ``-``.
        force: replace a model of that name.

    Returns:
        The new model's folder; it appears complete or not at all.

    Raises:
        ModelError: a file is missing, is not what it should be, or holds more than tensors.
    """
    with new_model(name, force) as folder:
        stylizer, listener = read_stylizer(generator), read_style_audio_encoder(audio)
        if stylizer.features != listener.config.features:
            raise ModelError(
                f"{generator} obeys features of length {stylizer.features} and {audio} gives "
                f"{listener.config.features}: name two files of one training."
            )
        registry.save_network(folder / registry.STYLIZER, stylizer)
        registry.save_network(folder / registry.AUDIO_ENCODER, listener)
        registry.write_sums(folder)
        rows = source_rows({"stylizer": generator, "audio encoder": audio})
        card = STYLE_CARD.format(name=name, rows=rows, seconds=listener.config.seconds)
        (folder / registry.CARD).write_text(card, encoding="utf-8")
    return registry.user_dir() / name


def source_rows(sources: Mapping[str, Path]) -> str:
    """Where each network came from, as rows of a card's table."""
    return "".join(
        f"| {network} | `{path.name}` | `{registry.sha256(path)}` |\n"
        for network, path in sources.items()
    )


def new_folder(name: str, folder: Path) -> Path:
    """Where in ``folder`` a model of this name will lie.

    Raises:
        ModelError: it is no name, or among the user's models one that ``registry.find`` would never
            come to.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ModelError(
            f"'{name}' cannot name a model: use small letters, digits, '.', '_' and '-'."
        )
    if folder == registry.user_dir() and (registry.shipped_dir() / name).exists():
        raise ModelError(f"'{name}' is a model that comes with s2s: choose another name.")
    return folder / name


@contextmanager
def new_model(name: str, force: bool) -> Iterator[Path]:
    """A folder to fill; at the end it becomes the user's model ``name``, or nothing is left."""
    target = new_folder(name, registry.user_dir())
    if target.exists() and not force:
        raise ModelError(f"{target} exists: choose another name, or replace it with --force.")
    unfinished = target.with_name(f".{name}.{uuid4().hex[:8]}.part")
    with registry.unwritable(unfinished):
        unfinished.mkdir(parents=True)
    try:
        yield unfinished
        registry.replace_folder(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_audio_encoder(path: Path) -> AudioEncoder:
    """``sound2scene.pth``: ResNet-18 keys under ``audnet.``, whose ``fc`` is our head."""
    from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig

    def ours(key: str) -> str:
        key = key.removeprefix("audnet.")
        return key.replace("fc.", "head.", 1) if key.startswith("fc.") else f"trunk.{key}"

    encoder = AudioEncoder(AudioEncoderConfig())
    registry.fill(encoder, renamed(read_state(path), ours), path)
    return encoder


def read_image_encoder(path: Path) -> ImageEncoder:
    """``swav.pth.tar``: a ResNet-50 whose projection head and prototypes the paper drops."""
    from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig

    def ours(key: str) -> str | None:
        dropped = key.startswith(("projection_head.", "prototypes.", "fc."))
        return None if dropped else f"trunk.{key}"

    encoder = ImageEncoder(ImageEncoderConfig())
    tensors = renamed(read_state(path), ours)
    # SwAV's features are used as they come: their centre and scale stay 0 and 1.
    for key in ("feature_mean", "feature_std"):
        tensors[key] = encoder.state_dict()[key]
    registry.fill(encoder, tensors, path)
    return encoder


def read_generator(folder: Path) -> tuple[BigGAN, Path]:
    """IC-GAN's folder: of best0 and best1 the one with the lower FID, averaged weights if any.

    Returns:
        The generator with its spectral norm folded in, and the file it came from.
    """
    from s2s_cli.networks.biggan import BigGAN, fold_spectral_norm

    best, settings = best_checkpoint(folder)
    averaged = folder / f"G_ema_{best}.pth"
    wanted = settings["ema"] and settings["use_ema"] and averaged.is_file()
    path = averaged if wanted else folder / f"G_{best}.pth"
    # The class embedding is saved by the authors' code even where no class conditions anything.
    tensors = renamed(read_state(path), lambda k: None if k.startswith("shared.") else k)
    generator = BigGAN(generator_config(settings, folder))
    try:
        tensors = fold_spectral_norm(tensors, float(settings["SN_eps"]))
    except (RuntimeError, TypeError, ValueError) as error:  # shapes, or a number that is none
        raise ModelError(f"{path} has no spectral norm that fits its weights: {error}") from error
    registry.fill(generator, tensors, path)
    return generator, path


def best_checkpoint(folder: Path) -> tuple[str, dict[str, Any]]:
    """Which of ``best0`` and ``best1`` to use, and its settings over the defaults."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    for best in ("best0", "best1"):
        path = folder / f"state_dict_{best}.pth"
        if path.is_file():
            state = read_pickle(path)
            try:
                fid, config = float(state["best_FID"]), dict(state["config"])
            except (KeyError, TypeError, ValueError) as error:
                raise ModelError(
                    f"{path} is not IC-GAN's: it should hold best_FID and config."
                ) from error
            found.append((math.inf if math.isnan(fid) else fid, best, config))
    if not found:
        raise ModelError(
            f"{folder} holds neither state_dict_best0.pth nor state_dict_best1.pth: "
            "name the folder of an IC-GAN checkpoint."
        )
    _, best, config = min(found, key=lambda entry: entry[:2])
    return best, {**ICGAN_DEFAULTS, **config}


def generator_config(settings: Mapping[str, Any], folder: Path) -> BigGANConfig:
    """Our sizes from IC-GAN's settings."""
    from s2s_cli.networks.biggan import BigGANConfig

    for key, required in ICGAN_REQUIRED.items():
        if settings.get(key, required) != required:
            raise ModelError(
                f"{folder}: its {key} is {settings[key]!r}, but only {required!r} can be imported; "
                "the paper uses icgan_biggan_imagenet_res128."
            )
    try:
        resolution = int(settings["resolution"])
        if resolution not in MULTIPLIERS:
            raise ValueError(f"{resolution} px is none of {', '.join(map(str, MULTIPLIERS))}")
        multipliers = MULTIPLIERS[resolution]
        return BigGANConfig(
            channels=int(settings["G_ch"]),
            multipliers=multipliers,
            attention_px=tuple(int(px) for px in str(settings["G_attn"]).split("_")),
            slot=int(settings["dim_z"]) // len(multipliers),  # the rest is never used: 120 // 7 * 7
            condition=int(settings["shared_dim_feat"]),
            bn_eps=float(settings["BN_eps"]),
        )
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder} has settings that cannot be imported: {error}.") from error


def read_stylizer(path: Path) -> Stylizer:
    """``latest_net_G.pth``; its widths, blocks and length of feature follow from its tensors."""
    import torch

    from s2s_cli.networks.stylizer import Stylizer, StylizerConfig

    state = two_rows(read_state(path))
    try:
        widths = [len(state[f"model_down.{layer}.weight"]) for layer in (1, 4, 8)]
        half, full = (len(state[f"model_up.{layer}.weight"]) for layer in (1, 5))
        features = state["model_up.1.weight"].shape[1] - widths[2]
    except (KeyError, IndexError, TypeError) as error:
        raise ModelError(
            f"{path} is not avstyle's generator: it should be the file that ends in _net_G.pth."
        ) from error
    if features < 1:
        raise ModelError(
            f"{path} is a generator that hears nothing, such as CUT's: name one of avstyle's."
        )
    config = StylizerConfig(
        features=features,
        down=(widths[0], widths[1], widths[2]),
        blocks=sum(key.endswith("conv_block.1.weight") for key in state),
        up=(half, full),
    )

    def ours(key: str) -> str | None:
        layer, _, kind = key.rpartition(".")
        if kind == "filt":  # the blur's fixed kernel
            return None
        if layer in STYLIZER_PARTS:
            return f"{STYLIZER_PARTS[layer]}.{kind}"
        for theirs, name in BLOCK_PARTS.items():
            layer = layer.replace(theirs, name)
        return f"{layer.replace('model_down', 'encoder')}.{kind}"

    with torch.device("meta"):  # sizes that a file only claims cost nothing
        stylizer = Stylizer(config)
    registry.fill(stylizer, renamed(state, ours), path)
    return stylizer


def two_rows(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """CUT's single row of layers, ``model.N``, as avstyle's ``model_down.N`` and ``model_up.N``."""
    if not any(key.startswith("model.") for key in state):
        return state
    blocks = [int(key.split(".")[1]) for key in state if re.match(r"model\.\d+\.conv_block", key)]
    first_up = max(blocks, default=-1) + 1

    def place(key: str) -> str:
        row, _, rest = key.partition(".")
        number, _, rest = rest.partition(".")
        if row != "model" or not number.isdecimal():
            return key
        layer = int(number)
        down = layer < first_up
        return f"model_down.{layer}.{rest}" if down else f"model_up.{layer - first_up}.{rest}"

    return {place(key): value for key, value in state.items()}


def read_style_audio_encoder(path: Path) -> AudioEncoder:
    """``latest_net_Audio.pth``: a ResNet-18 in parts, whose ``proj`` is our head."""
    from s2s_cli.networks.audio_encoder import AudioEncoder, published_avstyle

    parts = {"AudioInconv.0": "trunk.conv1", "AudioInconv.1": "trunk.bn1", "proj": "head"}

    def ours(key: str) -> str | None:
        if key.startswith("stft."):  # the kernels of the spectrogram, which we compute
            return None
        layer, _, kind = key.rpartition(".")
        return f"{parts.get(layer, layer.replace('AudioLayer', 'trunk.layer'))}.{kind}"

    encoder = AudioEncoder(published_avstyle())
    registry.fill(encoder, renamed(read_state(path), ours), path)
    return encoder


def renamed(state: Mapping[str, Tensor], ours: Callable[[str], str | None]) -> dict[str, Tensor]:
    """A state dict under our keys, without those for which ``ours`` is None."""
    return {key: value for old, value in state.items() if (key := ours(old)) is not None}


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict, bare or under ``state_dict``, without the prefix of parallel training."""
    import torch

    state = read_pickle(path)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state:
        raise ModelError(f"{path} holds no state dict: name one of the authors' files.")
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise ModelError(f"{path} holds more than named tensors: name one of the authors' files.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def read_pickle(path: Path) -> Any:
    """What ``torch.save`` wrote, as long as it is tensors, numbers, texts and their containers.

    Raises:
        ModelError: the file is missing, damaged, or asks for any other Python object; nothing of
            such an object is run.
    """
    import torch

    if not path.is_file():
        raise ModelError(f"{path} does not exist: name the file that the authors publish.")
    with torch.serialization.safe_globals(numpy_numbers()):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # on foreign bytes it may raise anything, from EOFError up
            objects = foreign_objects(path, error)
            if objects:
                raise ModelError(
                    f"{path} is refused, and nothing of it was run: beside tensors it holds "
                    f"{', '.join(objects)}; export its state dict alone."
                ) from error
            raise ModelError(
                f"{path} is not a whole PyTorch checkpoint: download it again."
            ) from error


def foreign_objects(path: Path, error: Exception) -> list[str]:
    """The Python names that a refused pickle asks for."""
    import torch

    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # files from before torch 1.6 cannot be listed, but the refusal names one
        names = re.findall(r"GLOBAL ([\w.]+)", str(error))
    allowed = {"numpy.dtype", "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"}
    return sorted(set(names) - allowed)


def numpy_numbers() -> list[Any]:
    """NumPy's scalars, in which IC-GAN keeps its scores: harmless, so they may be unpickled."""
    import numpy as np

    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    dtypes = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8", "?")}
    # Files written with NumPy 1 know the scalar under its old address.
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *dtypes]
