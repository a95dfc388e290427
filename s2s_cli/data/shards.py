"""Training data in WebDataset form: tar shards of photos and sounds, on disk or behind a URL.

A name up to the first dot of its last part is its key: ``SCENE/NAME.jpg`` is a photo of a scene,
and ``SCENE/NAME.flac`` and ``SCENE/NAME.0.jpg`` are a sound and a frame that belong together.
Shards are only listed at first; what is wanted is read where it lies and decoded then, so that a
set may be larger than the memory.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from s2s_cli.errors import DataError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SOUND_SUFFIXES = (".flac", ".ogg", ".wav")
MEMORY_GB = 4.0  # of what was decoded, so much of each set is kept

Item = TypeVar("Item")


@cache
def file_system(root: str) -> tuple[Any, str]:
    """What reads there, and the path as it knows it: of a folder, or of a URL such as s3://."""
    import fsspec

    return fsspec.core.url_to_fs(root)  # type: ignore[no-any-return]


@contextmanager
def readable(shard: str) -> Iterator[None]:
    """What goes wrong while a shard is read, as one sentence; each protocol has its own faults."""
    try:
        yield
    except DataError:
        raise
    except Exception as fault:
        raise DataError(f"The shard {shard} cannot be read ({fault}): fetch it again.") from fault


def find_shards(
    root: str | Path, pattern: str, remedy: str = "give the data's folder with --data"
) -> list[str]:
    """The shards of one set, sorted, so that a set means the same in every run.

    Args:
        root: a folder, or a URL that fsspec opens.
        pattern: of names below it, with ``*``.
        remedy: what the user can do where there are none.
    """
    place = f"{str(root).rstrip('/')}/{pattern}"
    try:
        files, path = file_system(place)
        shards = sorted(files.glob(path))
    except Exception as fault:
        raise DataError(f"{place} cannot be listed ({fault}): check --data.") from fault
    if not shards:
        raise DataError(f"There are no shards {place}: {remedy}.")
    return [shard if Path(shard).exists() else files.unstrip_protocol(shard) for shard in shards]


@dataclass(frozen=True)
class Member:
    """A file in a shard."""

    shard: str
    name: str
    offset: int  # of its first byte in the shard
    size: int  # bytes

    @property
    def key(self) -> str:
        """What it has in common with what belongs to it."""
        folder, slash, name = self.name.rpartition("/")
        return folder + slash + name.split(".")[0]

    def read(self) -> bytes:
        """Its content; from several threads at once, too."""
        with readable(self.shard):
            files, path = file_system(self.shard)
            content: bytes = files.cat_file(path, start=self.offset, end=self.offset + self.size)
            return content


def members_of(shards: Sequence[str], suffixes: tuple[str, ...]) -> list[Member]:
    """The files of one kind in the shards, in their order."""
    return [
        member
        for shard in shards
        for member in listed(shard)
        if member.name.lower().endswith(suffixes)
    ]


@cache
def listed(shard: str) -> tuple[Member, ...]:
    """Every file in a shard."""
    files, path = file_system(shard)
    with readable(shard), files.open(path, "rb") as file, tarfile.open(fileobj=file) as archive:
        return tuple(
            Member(shard, entry.name, entry.offset_data, entry.size)
            for entry in archive
            if entry.isfile()
        )


def fingerprint(shards: Sequence[str]) -> str:
    """SHA-256 of what the shards list: names and sizes, in their order, but not where they lie."""
    digest = hashlib.sha256()
    for shard in shards:
        for member in listed(shard):
            digest.update(f"{member.name}\t{member.size}\n".encode())
    return digest.hexdigest()


class Shelf(Generic[Item]):
    """Items that are decoded when they are first wanted, and kept while there is room."""

    def __init__(self, decode: Callable[[int], Item], count: int, kept: float) -> None:
        """decode: an item by its number; kept: how many items to keep, those first wanted."""
        self.decode, self.room = decode, kept
        self.items: list[Item | None] = [None] * count

    def __getitem__(self, number: int) -> Item:
        item = self.items[number]
        if item is None:
            item = self.decode(number)
            if self.room > 0:  # threads may keep a few more than there is room for
                self.room -= 1
                self.items[number] = item
        return item


class Photos:
    """Square photos of one size."""

    def __init__(
        self,
        keys: Sequence[str],
        side_px: int,
        decode: Callable[[int], Tensor],
        memory_gb: float = MEMORY_GB,
    ) -> None:
        """decode: a photo by its number, (3, side_px, side_px) uint8."""
        self.keys, self.side_px = tuple(keys), side_px
        self._shelf = Shelf(decode, len(keys), memory_gb * 1e9 / (3 * side_px**2))

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Each photo's scene: its folder."""
        return scenes_of(self.keys)

    def take(self, numbers: Sequence[int] | Tensor) -> Tensor:
        """Some of them, (numbers, 3, side_px, side_px), uint8, on the CPU."""
        return torch.stack([self._shelf[int(number)] for number in numbers])

    @property
    def pictures(self) -> Tensor:
        """All of them; for sets that fit into the memory."""
        return self.take(range(len(self)))

    def parts(self, size: int) -> Iterator[Tensor]:
        """All of them in their order, at most ``size`` at once."""
        for first in range(0, len(self), size):
            yield self.take(range(first, min(first + size, len(self))))


def scenes_of(keys: Sequence[str]) -> tuple[str, ...]:
    """Each key's scene: its first folder."""
    return tuple(key.split("/")[0] for key in keys)


def load_photos(shards: Sequence[str], side_px: int, memory_gb: float = MEMORY_GB) -> Photos:
    """Every photo of the shards, centre-cropped to a square and brought to ``side_px``."""
    members = members_of(shards, PHOTO_SUFFIXES)
    if not members:
        raise DataError(f"The shards {Path(shards[0]).parent} hold no photos.")

    def decode(number: int) -> Tensor:
        name, content = members[number].name, members[number].read()
        with decoded(name), Image.open(io.BytesIO(content)) as file:
            return squared(file.convert("RGB"), side_px)

    return Photos([member.key for member in members], side_px, decode, memory_gb)


def squared(photo: Image.Image, side_px: int) -> Tensor:
    """The middle of a photo, (3, side_px, side_px) uint8."""
    short = min(photo.size)
    left, top = (photo.width - short) // 2, (photo.height - short) // 2
    box = (left, top, left + short, top + short)
    if photo.size != (side_px, side_px):
        photo = photo.resize((side_px, side_px), Image.Resampling.LANCZOS, box=box)
    return torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous()


class Sounds:
    """Mono recordings of unequal length."""

    def __init__(
        self,
        keys: Sequence[str],
        sample_rate: int,
        decode: Callable[[int], Tensor],
        memory_gb: float = MEMORY_GB,
    ) -> None:
        """decode: a recording by its number, (samples,) int16."""
        self.keys, self.sample_rate = tuple(keys), sample_rate
        # Lengths are not known before they are decoded; ten seconds is what they usually are.
        self._shelf = Shelf(decode, len(keys), memory_gb * 1e9 / (2 * 10 * sample_rate))

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Each sound's scene: its folder."""
        return scenes_of(self.keys)

    def take(self, numbers: Sequence[int] | Tensor) -> list[Tensor]:
        """Some of them, each (samples,) int16."""
        return [self._shelf[int(number)] for number in numbers]

    @property
    def waves(self) -> list[Tensor]:
        """All of them; for sets that fit into the memory."""
        return self.take(range(len(self)))


def load_sounds(shards: Sequence[str], sample_rate: int, memory_gb: float = MEMORY_GB) -> Sounds:
    """Every recording of the shards, which must have been written at ``sample_rate``."""
    members = members_of(shards, SOUND_SUFFIXES)
    if not members:
        raise DataError(f"The shards {Path(shards[0]).parent} hold no sounds.")

    def decode(number: int) -> Tensor:
        import soundfile  # here, so that training on photos alone needs no sound library

        name, content = members[number].name, members[number].read()
        with decoded(name):
            wave, rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
        if rate != sample_rate:
            raise DataError(f"{name} is at {rate} Hz: write the shards at {sample_rate} Hz.")
        return torch.from_numpy(wave.mean(axis=1).astype(np.int16))

    sounds = Sounds([member.key for member in members], sample_rate, decode, memory_gb)
    sounds.take([0])  # a wrong rate is told at once
    return sounds


@contextmanager
def decoded(name: str) -> Iterator[None]:
    """What a decoder trips over, as one sentence."""
    try:
        yield
    except Exception as fault:
        raise DataError(f"{name} in the shards cannot be decoded: leave it out.") from fault
