"""Pictures as arrays, and the files that hold them."""

import errno
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from s2s_cli.errors import OutputError
from s2s_cli.picture.provenance import Provenance, embedding

Picture = npt.NDArray[np.uint8]  # (H, W, 3), red, green, blue in 0..255 (sRGB)
Alpha = npt.NDArray[np.uint8]  # (H, W), 0 = transparent, 255 = opaque

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# PNG and WebP keep every pixel, and WebP does so in fewer bytes. JPEG is for those who want a small
# file: 4:4:4 (subsampling 0), because a small picture cannot spare half of its colour resolution.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}

LONGEST_PX = {"JPEG": 65_500, "WEBP": 16_383}  # what the encoders take


def to_uint8(pictures: npt.ArrayLike) -> Picture:
    """The colours of painted pictures in 256 steps, each rounded to the nearest.

    Args:
        pictures: shape (..., 3, H, W), values in [-1, 1]; those outside are clipped. A tensor
            comes as ``tensor.float().cpu().numpy()``.

    Returns:
        Shape (..., H, W, 3): -1 becomes 0 and 1 becomes 255.

    Raises:
        ValueError: the shape is another, or a value is not a number.
    """
    values = np.asarray(pictures, dtype=np.float32)
    if values.ndim < 3 or values.shape[-3] != 3:
        raise ValueError(f"expected (..., 3, H, W), got {values.shape}")
    if np.isnan(values).any():
        raise ValueError("the picture holds values that are not numbers")
    steps = np.rint((values.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(steps, -3, -1))


def resize(picture: Picture, side_px: int) -> Picture:
    """The same picture with its longer side ``side_px`` long, by a Lanczos filter.

    Lanczos keeps edges crisp on the way up and does not alias on the way down.
    """
    return resize_to(picture, *scaled_size(picture.shape[0], picture.shape[1], side_px))


def scaled_size(height: int, width: int, side_px: int) -> tuple[int, int]:
    """Height and width in the same aspect, the longer one ``side_px``."""
    scale = side_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_to(picture: Picture, height: int, width: int) -> Picture:
    """The picture stretched to another size, by a Lanczos filter."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def psnr_db(a: Picture, b: Picture) -> float:
    """How alike two pictures of one size are: peak signal to noise; infinite if they are equal.

    30 dB is hard to tell apart, 20 dB is easy.
    """
    error = np.square(a.astype(np.float32) - b).mean(dtype=np.float64)
    return math.inf if error == 0 else float(10 * np.log10(255**2 / error))


def format_of(path: Path, formats: Mapping[str, str] = FORMATS) -> str:
    """The format that a file's name asks for, one of the values of ``formats``.

    Raises:
        OutputError: the name ends in nothing we can write.
    """
    try:
        return formats[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"'{path}' does not say which kind of picture to write: "
            f"let the name end in {', '.join(formats)}, or in / for a folder."
        ) from None


def encode(
    picture: Picture,
    format: str,
    provenance: Provenance,
    *,
    icc_profile: bytes | None = None,
    alpha: Alpha | None = None,
) -> bytes:
    """The bytes of a picture file that knows how it was made: same input, same bytes.

    Args:
        picture: shape (H, W, 3).
        format: one of the values of ``FORMATS``.
        provenance: how the picture was made; it travels inside the file.
        icc_profile: the space of its colours; None = sRGB.
        alpha: shape (H, W), how opaque it is; a JPEG cannot hold it and shows the plain colours.

    Raises:
        OutputError: the format has no room for the provenance, or for so many pixels.
    """
    options = {**SAVE_OPTIONS[format], **embedding(provenance, format)}
    longest = LONGEST_PX.get(format, math.inf)
    if max(picture.shape) > longest:
        raise OutputError(
            f"A {format} picture is at most {longest} pixels a side, and this one is "
            f"{picture.shape[1]} x {picture.shape[0]}: choose a name that ends in .png."
        )
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    if alpha is not None and format != "JPEG":
        picture = np.dstack([picture, alpha])
    if alpha is not None and format == "WEBP":
        options["exact"] = True  # transparent pixels keep their colours too
    file = BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def write_atomically(path: Path, data: bytes, replace: bool = True) -> None:
    """Write a whole file or none: a reader, a crash or Ctrl-C never meets half of it.

    Args:
        path: where; missing folders are made on the way.
        data: the whole content.
        replace: whether a file that is there gives way.

    Raises:
        OutputError: it cannot be written; what was there before is still there, and nothing else.
    """
    with draft_of(path, replace) as file:
        file.write(data)


@contextmanager
def draft_of(path: Path, replace: bool = True) -> Iterator[BinaryIO]:
    """A file to fill, which takes its place at ``path`` if the block ends well, else vanishes.

    Raises:
        OutputError: as for ``write_atomically``; any ``OSError`` of the block counts as its own.
    """
    try:
        if path.exists() and not path.is_file():  # replace() would put a picture over /dev/null
            raise IsADirectoryError
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, since a file moves in one step only within one disk. Opened plainly,
        # not by tempfile, since that would hide the finished picture from other users.
        draft = path.with_name(f".s2s-{secrets.token_hex(8)}.tmp")
        try:
            with draft.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if replace:
                draft.replace(path)
            else:
                _move_if_free(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write '{path}': {_reason(error)}.") from None


def _move_if_free(draft: Path, path: Path) -> None:
    """Give a draft its name, unless another program has taken it since we looked."""
    try:
        os.link(draft, path)  # which, unlike a move, fails where something is
    except FileExistsError:
        raise OutputError(
            f"'{path}' was written by another program meanwhile: "
            "replace it with --force, or choose another place with --out."
        ) from None
    except OSError:  # a disk that knows no links
        draft.replace(path)


def _reason(error: OSError) -> str:
    """Why a file could not be written and what to do about it, to end a sentence."""
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "you may not write there, so choose another place with --out"
    if isinstance(error, IsADirectoryError):
        return "a directory or a device has that name, so choose another with --out"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "part of that path is a file, not a directory, so choose another with --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full, so free some space and run the command again"
    return f"{error.strerror or error}, so choose another place with --out"
