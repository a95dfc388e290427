"""A photo takes on the look of a sound, at its own size: the second paper's front door.

>>> restyler = Restyler.open("avstyle")
>>> photo, snow = restyler.see("forest.jpg"), restyler.hear("snow.wav")
>>> picture = restyler.restyle(photo.photo, restyler.feature_of(restyler.prepared(snow.sound.wave)))

A large photo is restyled in tiles. They overlap and fade into each other, and all of them are
normalised by what was found in crops from all over the photo, so that no seam shows. Memory does
not grow with the photo, but for the photo itself and its picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.mixing import bring_to_peak
from s2s_cli.audio.sound import Wave, fit
from s2s_cli.errors import PictureError
from s2s_cli.networks.hardware import Precision, fast_precision, keep_memory
from s2s_cli.networks.stylizer import SHRINKS
from s2s_cli.picture.image import Picture, to_uint8
from s2s_cli.picture.photo import Photo, read_photo
from s2s_cli.studio import Seen, Studio, choose_device

SMALLEST_PX = 16  # a side; in fewer pixels there is no structure to keep
# Of memory for the maps of one tile.
WORKING_BYTES = 700 * 10**6

OVERLAP_PX = 96  # of two tiles
EDGE_PX = 24  # of the overlap that a tile leaves to its neighbour, since it knows no more beyond it
# Side of a crop in the sample by which tiles are normalised. Larger ones see less of the photo,
# smaller ones see too much of their own borders: measured on 32, 64 and 128.
CROP_PX = 64

Colours = npt.NDArray[np.float32]  # (h, w, 3) in [-1, 1]


class Restyler(Studio):
    """A studio whose model restyles a picture instead of painting one."""

    model: registry.StyleModel  # type: ignore[assignment]  # all that is shared is how it hears

    def __init__(self, model: registry.StyleModel, device: str, precision: Precision) -> None:
        self.model, self.device, self.precision = model, device, precision
        model.stylizer.set_precision(precision)
        model.stylizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def open(
        cls,
        name: str | Path,
        device: str = "auto",
        precision: Precision | None = None,
    ) -> "Restyler":
        """Load a model by name or folder.

        Args:
            name: as ``s2s models list`` shows it, or a folder.
            device: "cpu", "cuda", "mps", or "auto" for the best at hand.
            precision: of the stylizer; None for the faster that the hardware has.

        Raises:
            ModelError: there is no such model, or it is damaged, or it only paints; or no such
                device.
        """
        device = choose_device(device)
        keep_memory()
        model = registry.open_stylizer(name, device)
        return cls(model, device, precision or fast_precision(device))

    def see(self, source: str | Path) -> Seen:
        """Read a photo that shall be restyled.

        Raises:
            PictureError: it cannot be read as a picture, is an animation, or too small.
        """
        photo = read_photo(source)
        height, width = photo.pixels.shape[:2]
        if photo.moves:
            raise PictureError(f"'{source}' moves: save one of its frames as a PNG.")
        if min(height, width) < SMALLEST_PX:
            raise PictureError(
                f"'{source}' has {width} x {height} pixels, too few to keep any structure of: "
                f"give a picture of at least {SMALLEST_PX} x {SMALLEST_PX}."
            )
        return Seen(self, str(source), photo)

    def prepared(self, wave: Wave) -> Wave:
        """A wave as the model was taught to hear it, before any gain: its length, and its peak."""
        config = self.model.audio_encoder.config
        whole = fit(wave, round(config.seconds * config.sample_rate))
        return bring_to_peak(whole, config.peak) if config.peak else whole

    @torch.inference_mode()
    def restyle(
        self,
        photo: Photo,
        feature: Tensor,
        strength: float = 1.0,
        advance: Callable[[float], object] = lambda _: None,
    ) -> Picture:
        """A photo in the look of a sound, and otherwise as it was.

        Args:
            photo: of any size and aspect.
            feature: (features,), of the sound.
            strength: 0 is the photo itself, bit by bit; 1 is all of the new look.
            advance: told of more rows that are done, as a share of all.

        Returns:
            (H, W, 3) in the photo's own colours.
        """
        restyled = photo.pixels.copy()
        for rows, colours in self._strips(photo, feature) if strength else ():
            new = photo.from_srgb(to_uint8(np.moveaxis(colours, 2, 0)))
            restyled[rows] = partly(photo.pixels[rows], new, strength)
            advance(len(colours) / len(restyled))
        return restyled

    @torch.inference_mode()
    def restyle_batch(
        self, frames: Sequence[Picture], features: Tensor, strength: float = 1.0
    ) -> list[Picture]:
        """Pictures of one size, each in the look of its own sound.

        How many there are moves the last bits of each.

        Args:
            frames: (H, W, 3) each, in sRGB, sides of at least ``SMALLEST_PX``; as many as
                ``together`` allows, or they are restyled one after another.
            features: (as many, features).
            strength: as for ``restyle``.

        Returns:
            (H, W, 3) each.
        """
        if not strength:
            return list(frames)
        if len(frames) > self.together(*frames[0].shape[:2]):
            return [
                self.restyle(Photo(frame, None, None, "", ""), feature, strength)
                for frame, feature in zip(frames, features, strict=True)
            ]
        pictures = torch.cat([self.as_tensor(frame) for frame in frames])
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        restyled = to_uint8(self.model.stylizer(pictures, features).cpu().numpy())
        return [partly(frame, new, strength) for frame, new in zip(frames, restyled, strict=True)]

    def together(self, height: int, width: int) -> int:
        """How many pictures of one size are in the network at once; 0 if one must be tiled."""
        return self._most_px // (height * width)

    @property
    def _most_px(self) -> int:
        """Pixels that are in the network at once."""
        return WORKING_BYTES // self.model.stylizer.config.bytes_per_px

    def _strips(self, photo: Photo, feature: Tensor) -> Iterator[tuple[slice, Colours]]:
        """The restyled photo from top to bottom, some rows at a time."""
        height, width = photo.pixels.shape[:2]
        stylizer, most_px = self.model.stylizer, self._most_px
        if height * width <= most_px:
            yield (
                slice(0, height),
                self._restyled(photo, slice(0, height), slice(0, width), feature),
            )
            return
        with stylizer.sharing(self._sample(photo, most_px), feature[None]):
            side_px = math.isqrt(most_px)
            columns = tiles(width, side_px)
            below: Colours = np.zeros((0, width, 3), np.float32)  # what fades into the next strip
            for rows, down in tiles(height, side_px):
                strip = np.zeros((len(down), width, 3), np.float32)
                for across, weight in columns:
                    restyled = self._restyled(photo, rows, across, feature)
                    strip[:, across] += weight[:, None] * restyled
                strip *= down[:, None, None]
                strip[: len(below)] += below
                done = rows.stop if rows.stop == height else rows.stop - OVERLAP_PX
                below = strip[done - rows.start :]
                yield slice(rows.start, done), strip[: done - rows.start]

    def _restyled(self, photo: Photo, rows: slice, columns: slice, feature: Tensor) -> Colours:
        """One tile, as a picture of its own."""
        tile = self._as_input(photo, rows, columns)
        restyled = self.model.stylizer(tile, feature[None])[0]
        return np.asarray(restyled.permute(1, 2, 0).cpu().numpy(), np.float32)

    def _as_input(self, photo: Photo, rows: slice, columns: slice) -> Tensor:
        colours = photo.to_srgb(np.ascontiguousarray(photo.pixels[rows, columns]))
        return self.as_tensor(colours).contiguous(memory_format=torch.channels_last)

    def _sample(self, photo: Photo, most_px: int) -> Tensor:
        """Crops from all over a photo, evenly spread from edge to edge, as one batch."""
        crops = max(1, most_px // CROP_PX**2)
        height, width = photo.pixels.shape[:2]
        down = max(1, min(-(-height // CROP_PX), round(math.sqrt(crops * height / width))))
        across = max(1, min(-(-width // CROP_PX), crops // down))
        return torch.cat(
            [
                self._as_input(photo, rows, columns)
                for rows in spread(height, down)
                for columns in spread(width, across)
            ]
        )


def partly(own: Picture, new: Picture, strength: float) -> Picture:
    """So much of the way from one picture to another, (H, W, 3); 0 is the first, 1 the second."""
    mixed = own + np.float32(strength) * (new.astype(np.float32) - own)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def spread(side_px: int, count: int) -> list[slice]:
    """Where crops lie on one side of a photo."""
    crop_px = min(CROP_PX, side_px // SHRINKS * SHRINKS)
    last = side_px - crop_px
    begins = np.linspace(0, last, count) if count > 1 else np.array([last / 2])
    return [slice(round(begin), round(begin) + crop_px) for begin in begins]


def tiles(side_px: int, tile_px: int) -> list[tuple[slice, npt.NDArray[np.float32]]]:
    """How one side of a photo is divided.

    Args:
        side_px: of the photo.
        tile_px: the longest that a tile may be.

    Returns:
        For each tile where it lies, and how much each of its pixels counts, (length,): the weights
        of all tiles at a pixel sum to 1. Every tile begins where the network's coarsest map has a
        place, so that a tile is painted as it would be in the whole.
    """
    count = max(1, math.ceil((side_px - OVERLAP_PX) / (tile_px - OVERLAP_PX - SHRINKS)))
    step = math.ceil((side_px - OVERLAP_PX) / count / SHRINKS) * SHRINKS
    fade = (np.arange(OVERLAP_PX) + 0.5 - EDGE_PX) / (OVERLAP_PX - 2 * EDGE_PX)
    rise = np.sin(np.pi / 2 * fade.clip(0, 1)).astype(np.float32) ** 2
    divided = []
    for number in range(count):
        begin = number * step
        end = side_px if number == count - 1 else begin + step + OVERLAP_PX
        weight = np.ones(end - begin, np.float32)
        if number:
            weight[:OVERLAP_PX] = rise
        if number < count - 1:
            weight[-OVERLAP_PX:] = rise[::-1]
        divided.append((slice(begin, end), weight))
    return divided
