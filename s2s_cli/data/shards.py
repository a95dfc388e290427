"""Training data in WebDataset form: tar shards of ``SCENE/NAME.jpg`` and ``SCENE/NAME.ogg``.

The sets of one small model fit in memory: photos as one uint8 tensor, sounds as 16-bit waves.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from s2s_cli.errors import DataError


def find_shards(root: Path, pattern: str) -> list[Path]:
    """The shards of one set, sorted, so that a set means the same in every run."""
    shards = sorted(root.glob(pattern))
    if not shards:
        raise DataError(
            f"There are no shards {root / pattern}: give the data's folder with --data."
        )
    return shards


def read_shards(shards: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file in the shards, in their order."""
    for shard in shards:
        try:
            with tarfile.open(shard) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file is not None:
                        yield member.name, file.read()
        except (OSError, tarfile.TarError) as fault:
            raise DataError(
                f"The shard {shard} cannot be read ({fault}): fetch it again."
            ) from fault


@contextmanager
def decoded(name: str) -> Iterator[None]:
    """What a decoder trips over, as one sentence."""
    try:
        yield
    except Exception as fault:
        raise DataError(f"{name} in the shards cannot be decoded: leave it out.") from fault


@dataclass(frozen=True)
class Photos:
    """Square photos of one size."""

    keys: tuple[str, ...]  # SCENE/NAME
    pictures: Tensor  # (photos, 3, side, side), uint8

    @property
    def scenes(self) -> tuple[str, ...]:
        """Each photo's scene: its folder."""
        return tuple(key.split("/")[0] for key in self.keys)

    def to(self, device: torch.device) -> "Photos":
        """The same photos in a device's memory."""
        return Photos(self.keys, self.pictures.to(device))


def load_photos(shards: Sequence[Path], side_px: int) -> Photos:
    """Every photo of the shards, centre-cropped to a square and brought to ``side_px``."""
    keys, pictures = [], []
    for name, content in read_shards(shards):
        if not name.endswith((".jpg", ".jpeg", ".png", ".webp")):
            continue
        with decoded(name), Image.open(io.BytesIO(content)) as file:
            photo = file.convert("RGB")
        short = min(photo.size)
        left, top = (photo.width - short) // 2, (photo.height - short) // 2
        box = (left, top, left + short, top + short)
        if photo.size != (side_px, side_px):
            photo = photo.resize((side_px, side_px), Image.Resampling.LANCZOS, box=box)
        keys.append(name.rsplit(".", 1)[0])
        pictures.append(torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous())
    if not keys:
        raise DataError(f"The shards {shards[0].parent} hold no photos.")
    return Photos(tuple(keys), torch.stack(pictures))


@dataclass(frozen=True)
class Sounds:
    """Mono recordings of unequal length."""

    keys: tuple[str, ...]  # SCENE/NAME
    waves: tuple[Tensor, ...]  # each (samples,), int16
    sample_rate: int

    @property
    def scenes(self) -> tuple[str, ...]:
        """Each sound's scene: its folder."""
        return tuple(key.split("/")[0] for key in self.keys)


def load_sounds(shards: Sequence[Path], sample_rate: int) -> Sounds:
    """Every recording of the shards, which must have been written at ``sample_rate``."""
    import soundfile  # here, so that training on photos alone needs no sound library

    keys, waves = [], []
    for name, content in read_shards(shards):
        if not name.endswith((".ogg", ".wav", ".flac")):
            continue
        with decoded(name):
            wave, rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
        if rate != sample_rate:
            raise DataError(f"{name} is at {rate} Hz: write the shards at {sample_rate} Hz.")
        keys.append(name.rsplit(".", 1)[0])
        waves.append(torch.from_numpy(wave.mean(axis=1).astype(np.int16)))
    if not keys:
        raise DataError(f"The shards {shards[0].parent} hold no sounds.")
    return Sounds(tuple(keys), tuple(waves), sample_rate)
