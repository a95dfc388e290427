"""What belongs together, as files of a WebDataset shard: the same sample is the same bytes."""

import io
import tarfile
from collections.abc import Sequence

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from s2s_cli.audio.sound import Wave
from s2s_cli.picture.image import Picture

Pcm = NDArray[np.int16]  # (samples,), mono at ``SAMPLE_RATE``

SAMPLE_RATE = 16_000  # Hz, of every sound in a shard
# 92 is hardly seen, and a small picture cannot spare half of its colour resolution.
JPEG = {"quality": 92, "subsampling": 0}
SHARD_END = bytes(2 * tarfile.BLOCKSIZE)  # what closes a tar file


def sample_files(key: str, sound: Pcm, frames: Sequence[Picture]) -> bytes:
    """KEY.flac, KEY.0.jpg, KEY.1.jpg, ... as a tar file holds them, without its end.

    FLAC, because libsndfile draws a random number for every Vorbis file.
    """
    wave = io.BytesIO()
    soundfile.write(wave, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    files = [_entry(f"{key}.flac", wave.getvalue())]
    for number, frame in enumerate(frames):
        picture = io.BytesIO()
        Image.fromarray(frame).save(picture, "JPEG", **JPEG)
        files.append(_entry(f"{key}.{number}.jpg", picture.getvalue()))
    return b"".join(files)


def to_pcm(wave: Wave) -> Pcm:
    """In steps of 1/32768; beyond full scale it is clipped."""
    return np.rint(wave * 32768).clip(-32768, 32767).astype(np.int16)


def _entry(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)  # of nobody, from 1970
    header.size = len(content)
    return header.tobuf() + content + bytes(-len(content) % tarfile.BLOCKSIZE)
