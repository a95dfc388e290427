"""What was painted small goes back into a photo of any size, which stays as sharp as it was."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from s2s_cli.choices import Blend
from s2s_cli.picture.image import Picture
from s2s_cli.picture.photo import Photo

Field = npt.NDArray[np.floating]  # (h, w, values): something about every place of a picture
Strip = tuple[slice, Field]  # some rows of a picture, and something about every place in them

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32) / 255  # brightness of a colour, 0 to 1
EDGE = 0.05  # of brightness: a smaller step in the photo is texture, across which a change is even
REACH = 1 / 32  # of the side: how far a change is evened out
FINER = 4  # smooth interpolation up to this scale, straight lines beyond
STRIP_PX = 256  # rows in work at a time, so that 50 megapixels need little more memory than 5
FAINT = 16  # of 255: a painting that changes nowhere more than this changes nothing much anywhere
FROM, TO = 0.2, 0.6  # of the largest change: where the mask begins to open, where it is open


def blend(photo: Photo, before: Picture, after: Picture, way: Blend = Blend.LOW) -> Picture:
    """Change a photo as a painting of it was changed.

    ``LOW`` adds the change to the whole photo, without its finest detail, which a painting of 128
    pixels does not have. ``MASK`` leaves the photo alone except where the painting changed most;
    there it takes the painting, under the photo's own fine detail. Both keep to the photo's edges.

    Args:
        photo: of any size and aspect.
        before: the whole photo repainted without any change, squashed to (side, side, 3), sRGB.
        after: the same with the change.
        way: ``LOW`` or ``MASK``.

    Returns:
        (H, W, 3) in the photo's own colours; where nothing changed, its own bytes.
    """
    old, new = (photo.from_srgb(each).astype(np.float32) for each in (before, after))
    squashed = Image.fromarray(photo.pixels).resize(old.shape[:2], Image.Resampling.BOX)
    small = np.asarray(squashed, np.float32)
    if way is Blend.LOW:
        changes = along_edges(photo, small, new - old)
    else:
        changes = masked(photo, small, old, new)
    blended = np.empty_like(photo.pixels)
    for rows, change in changes:
        blended[rows] = np.rint(photo.pixels[rows] + change).clip(0, 255)
    return blended


def masked(photo: Photo, small: Field, old: Field, new: Field) -> Iterator[Strip]:
    """What ``MASK`` adds to a photo: the way from its coarse colours to the painting's."""
    size = evened(np.sqrt(np.square(new - old).mean(axis=2, keepdims=True)), len(old) // 64)
    opened = smooth_step((size / max(float(size.max()), FAINT) - FROM) / (TO - FROM))
    masks = along_edges(photo, small, opened)
    ways = enlarged(new - small, photo.pixels.shape[:2])
    for (rows, mask), (_, way) in zip(masks, ways, strict=True):
        # Pushed a little beyond both ends, so that shut is shut to the last bit.
        yield rows, (mask * 1.04 - 0.02).clip(0, 1) * way


def smooth_step(x: Field) -> Field:
    """From 0 to 1 without a corner."""
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)


def along_edges(photo: Photo, small: Field, field: Field) -> Iterator[Strip]:
    """A field at the photo's size and with the photo's edges: a fast guided filter.

    Around every place the field is taken for a straight line in the photo's brightness, which is
    then evaluated with the brightness at full size (arXiv:1505.00996).

    Args:
        photo: whose edges.
        small: the same squashed, (side, side, 3).
        field: (side, side, n).
    """
    reach = max(1, round(REACH * len(field)))
    guide = brightness(small)
    mean, field_mean = evened(guide, reach), evened(field, reach)
    variance = evened(guide * guide, reach) - mean * mean
    slope = (evened(guide * field, reach) - mean * field_mean) / (variance + EDGE**2)
    offset = field_mean - slope * mean
    lines = evened(np.concatenate([slope, offset], axis=2), reach)
    for rows, line in enlarged(lines, photo.pixels.shape[:2]):
        slopes, offsets = np.split(line, 2, axis=2)
        yield rows, slopes * brightness(photo.pixels[rows]) + offsets


def brightness(pixels: Picture | Field) -> Field:
    """pixels: (h, w, 3), 0 to 255. Returns (h, w, 1), 0 to 1."""
    bright: Field = pixels.astype(np.float32) @ LUMA
    return bright[..., None]


def evened(field: Field, reach: int) -> Field:
    """The mean over the square of ``2 * reach + 1`` places around each."""
    window = 2 * reach + 1
    padded = np.pad(field, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=axis)
        padded = windows.mean(axis=-1)
    return padded


def enlarged(field: Field, size: tuple[int, int]) -> Iterator[Strip]:
    """A field at a photo's size (height, width), strip by strip."""
    height, width = size
    finer = FINER * field.shape[0], FINER * field.shape[1]
    layers = [
        Image.fromarray(layer).resize(finer[::-1], Image.Resampling.BICUBIC)
        for layer in np.moveaxis(field, 2, 0)
    ]
    fine = np.stack([np.asarray(layer) for layer in layers], axis=2)
    wide = interpolated(fine.swapaxes(0, 1), np.arange(width), width).swapaxes(0, 1)
    for top in range(0, height, STRIP_PX):
        rows = slice(top, min(height, top + STRIP_PX))
        yield rows, interpolated(wide, np.arange(rows.start, rows.stop), height)


def interpolated(field: Field, rows: npt.NDArray[np.int64], height: int) -> Field:
    """Some rows of a field that is stretched to ``height`` rows, by straight lines."""
    last = len(field) - 1
    places = ((rows + 0.5) * len(field) / height - 0.5).clip(0, last)
    above = places.astype(np.int64)
    below = np.minimum(above + 1, last)
    share = (places - above).astype(np.float32)[:, None, None]
    start = field[above]
    start += share * (field[below] - start)
    return start
