"""The published networks of the metrics: where they lie, and how they are read.

None of them comes with s2s, and none is fetched unasked. A file is looked for where the user says,
or else in the folder ``registry.metrics_dir``, where ``s2s models pull`` puts what it can fetch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from s2s_cli import registry
from s2s_cli.errors import ModelError
from s2s_cli.imports import read_state
from s2s_cli.networks.inception import Inception
from s2s_cli.networks.openl3 import Sense, Stream

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

CLIP, INCEPTION, OPENL3 = "clip", "inception", "openl3"  # their folders, and what to pull
CLIP_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # either; the first that is there is read
CLIP_FILES = ("config.json", "vocab.json", "merges.txt", "preprocessor_config.json")
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
OPENL3_FILES: dict[Sense, str] = {
    "hearing": "openl3_audio_linear_env.h5",
    "sight": "openl3_image_linear_env.h5",
}

EXTRA = "pip install 's2s-cli[eval]'"

Network = TypeVar("Network", bound=nn.Module)

# Keras's names of weights, and torch's.
CONVOLUTION = {"kernel": "weight", "bias": "bias"}
NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def open_inception(path: Path | None = None, device: str = "cpu") -> Inception:
    """Inception-V3 from the file that pytorch-fid and torch-fidelity share.

    Args:
        path: of the file, or of the folder it is in.
        device: where it shall be.

    Raises:
        ModelError: it is missing, damaged, or another network.
    """
    path = path or registry.metrics_dir() / INCEPTION
    file = path if path.is_file() else path / INCEPTION_FILE
    if not file.is_file():
        raise ModelError(
            f"Inception-V3 is not here ({file} is missing): fetch it with "
            f"s2s models pull {INCEPTION}, or name its file with --inception."
        )
    with torch.device("meta"):  # no memory yet, and no time lost on weights to be replaced
        network = Inception()
    return filled(network, read_state(file), file).to(device)


def open_clip(
    folder: Path | None = None, device: str = "cpu"
) -> "tuple[CLIPModel, CLIPTokenizer, CLIPImageProcessorPil]":
    """CLIP from a folder as Hugging Face publishes it, and what prepares texts and pictures.

    Raises:
        ModelError: a file is missing, damaged, or of another network; or transformers is missing.
    """
    folder = folder or registry.metrics_dir() / CLIP
    # Of these the readers would make up the vocabulary, and tell it to nobody.
    lacking = [name for name in CLIP_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in CLIP_WEIGHTS):
        lacking.append(CLIP_WEIGHTS[-1])
    if lacking:
        raise ModelError(
            f"CLIP is not here ({folder} lacks {', '.join(lacking)}): fetch it with "
            f"s2s models pull {CLIP}, or name its folder with --clip."
        )
    try:
        from transformers import CLIPModel, CLIPTokenizer
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    except ImportError as fault:
        raise ModelError(f"CLIP is read by transformers, which is not here: {EXTRA}.") from fault
    try:
        with hushed():
            network, found = CLIPModel.from_pretrained(
                str(folder),
                dtype=torch.float32,
                local_files_only=True,
                weights_only=True,
                output_loading_info=True,
            )
            words = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
            looks = CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
    except Exception as fault:  # of many kinds, from those of JSON to those of pickle
        why = (str(fault).strip() or type(fault).__name__).splitlines()[0].rstrip(".:")
        raise ModelError(
            f"{folder} holds no CLIP that can be read ({why}): get it again."
        ) from fault
    # What is not in the file would be drawn by chance.
    if found["missing_keys"]:
        raise ModelError(
            f"{folder} does not fit its network: it lacks {min(found['missing_keys'])}; "
            "fetch it again."
        )
    registry.check_finite(dict(network.named_parameters()), folder)
    return network.eval().requires_grad_(False).to(device), words, looks


@contextmanager
def hushed() -> Iterator[None]:
    """While transformers reads, it neither warns of misfits nor shows a bar."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()


def open_openl3(sense: Sense, folder: Path | None = None, device: str = "cpu") -> Stream:
    """One of OpenL3's two networks, from its file of Keras.

    Args:
        sense: which of them.
        folder: that holds ``OPENL3_FILES``.
        device: where it shall be.

    Raises:
        ModelError: the file is missing, damaged, or of another network; or h5py is missing.
    """
    file = (folder or registry.metrics_dir() / OPENL3) / OPENL3_FILES[sense]
    if not file.is_file():
        raise ModelError(
            f"OpenL3 is not here ({file} is missing): its authors (github.com/marl/openl3, branch "
            f"'models') publish it as {file.stem}-v0_4_0.h5.gz, which is to be unpacked."
        )
    with torch.device("meta"):
        network = Stream(sense)
    return filled(network, numbered(keras_layers(file)), file).to(device)


def keras_layers(file: Path) -> list[dict[str, Tensor]]:
    """The layers that have weights, in the order of the network: name to tensor.

    Raises:
        ModelError: the file is damaged, or no file of Keras; or h5py is missing.
    """
    try:
        import h5py
    except ImportError as fault:
        raise ModelError(f"OpenL3 is read by h5py, which is not here: {EXTRA}.") from fault

    def listed(group: Any, attribute: str) -> list[str]:
        names = group.attrs[attribute]
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]

    layers = []
    try:
        with h5py.File(file) as opened:
            network = opened.get("model_weights", opened)  # whole models have their weights there
            for layer in listed(network, "layer_names"):
                group = network[layer]
                weights = {
                    # "conv2d_1/kernel:0"
                    name.split("/")[-1].split(":")[0]: torch.from_numpy(np.array(group[name]))
                    for name in listed(group, "weight_names")
                }
                if weights:
                    layers.append(weights)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as fault:
        raise ModelError(f"{file} is no whole file of Keras weights: get it again.") from fault
    return layers


def numbered(layers: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Keras's layers as a ``Stream`` knows them: convolutions and norms are counted apart."""
    tensors: dict[str, Tensor] = {}
    counts = {"convs": 0, "norms": 0}
    for layer in layers:
        kind, names = ("convs", CONVOLUTION) if "kernel" in layer else ("norms", NORM)
        for name, tensor in layer.items():
            if tensor.ndim == 4:  # height, width, from, to
                tensor = tensor.permute(3, 2, 0, 1)
            tensors[f"{kind}.{counts[kind]}.{names.get(name, name)}"] = tensor.contiguous()
        counts[kind] += 1
    return tensors


def filled(network: Network, tensors: Mapping[str, Tensor], source: Path) -> Network:
    """A network with these weights, frozen.

    Norms count how often they were taught. Some files say so and some do not, and nothing asks.

    Raises:
        ModelError: the weights are not those of the network, or not finite.
    """
    counters = {
        name: torch.zeros(buffer.shape, dtype=buffer.dtype)
        for name, buffer in network.named_buffers()
        if name.endswith("num_batches_tracked")
    }
    registry.fill(network, {**tensors, **counters}, source)
    # Convolutions are faster with the channels last.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
