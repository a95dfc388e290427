"""Random changes to training pictures and sounds; every draw comes from the chance passed in."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s_cli.chance import Chance

EQUALISER_KNOTS = 6  # frequencies with a gain of their own
EQUALISER_OCTAVES = 7  # below the highest frequency: from 62 Hz, at a sample rate of 16 kHz
GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


def as_pictures(photos: Tensor) -> Tensor:
    """uint8 photos as pictures in [-1, 1]."""
    return photos.float() / 127.5 - 1


def random_crops(photos: Tensor, side_px: int, chance: Chance) -> Tensor:
    """A random square of each photo at its own scale, every second one mirrored.

    photos: (batch, 3, h, w) uint8. Returns (batch, 3, side_px, side_px) in [-1, 1].
    """
    count, _, high, wide = photos.shape
    tops = chance.below(high - side_px + 1, count).tolist()
    lefts = chance.below(wide - side_px + 1, count).tolist()
    mirrored = (chance.uniform(count) < 0.5).tolist()
    crops = []
    for photo, top, left, mirror in zip(photos, tops, lefts, mirrored, strict=True):
        crop = photo[:, top : top + side_px, left : left + side_px]
        crops.append(crop.flip(2) if mirror else crop)
    return as_pictures(torch.stack(crops))


def random_views(photos: Tensor, side_px: int, smallest_crop: float, chance: Chance) -> Tensor:
    """Crop, mirror, and change colours, as label-free learning wants it (arXiv:2002.05709).

    photos: (batch, 3, h, w) uint8. Returns (batch, 3, side_px, side_px) in [-1, 1].
    """
    count, device = len(photos), photos.device
    area = chance.uniform(count, low=smallest_crop)
    stretch = chance.uniform(count, low=-0.288, high=0.288).exp()  # sides 3:4 to 4:3
    wide, high = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    mirror = torch.where(chance.uniform(count) < 0.5, -1.0, 1.0)
    corners = torch.zeros(count, 2, 3)
    corners[:, 0, 0] = wide * mirror
    corners[:, 1, 1] = high
    corners[:, 0, 2] = chance.uniform(count, low=-1) * (1 - wide)
    corners[:, 1, 2] = chance.uniform(count, low=-1) * (1 - high)
    grid = F.affine_grid(corners.to(device), [count, 3, side_px, side_px], align_corners=False)
    views = F.grid_sample(as_pictures(photos), grid, padding_mode="reflection", align_corners=False)
    return random_colours(views, chance)


def random_colours(pictures: Tensor, chance: Chance) -> Tensor:
    """Brightness, contrast and saturation change by up to 40 %; one in ten loses its colour."""
    count, device = len(pictures), pictures.device

    def factors() -> Tensor:
        return chance.uniform(count, low=0.6, high=1.4).to(device)[:, None, None, None]

    grey_only = (chance.uniform(count) < 0.1).to(device)[:, None, None, None]
    pictures = (pictures + 1) * factors() - 1
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * factors()
    weights = pictures.new_tensor(GREY)[:, None, None]
    grey = (pictures * weights).sum(dim=1, keepdim=True)
    saturation = torch.where(grey_only, 0.0, factors())
    return (grey + (pictures - grey) * saturation).clamp(-1, 1)


def random_windows(waves: Sequence[Tensor], samples: int, chance: Chance) -> Tensor:
    """A part of each int16 wave, (waves, samples) in [-1, 1]; a short one is repeated."""
    shares = chance.uniform(len(waves)).tolist()
    windows = [window(wave, samples, share) for wave, share in zip(waves, shares, strict=True)]
    return torch.stack(windows) if windows else torch.empty(0, samples)


def window(wave: Tensor, samples: int, share: float) -> Tensor:
    """Where to begin is a share of all beginnings, from 0 to below 1. Returns (samples,)."""
    wave = wave.float() / 32_768
    if len(wave) >= samples:  # one of just this length is whole: rolled, it had a seam in it
        start = int(share * (len(wave) - samples + 1))
        return wave[start : start + samples]
    start = int(share * len(wave))
    return wave.roll(-start).repeat(-(-samples // len(wave)))[:samples]


def first_window(wave: Tensor, samples: int) -> Tensor:
    """The beginning of an int16 wave, (samples,) in [-1, 1]; a short one is repeated."""
    return (wave.float() / 32_768).repeat(-(-samples // len(wave)))[:samples]


def random_equaliser(waves: Tensor, most_db: float, chance: Chance) -> Tensor:
    """Every sound as if another microphone and room had coloured it (FilterAugment, 2110.03282).

    A gain of up to ``most_db`` either way is drawn for each of a few frequencies, evenly apart on
    a logarithmic scale, and for those between them it runs straight. waves: (batch, samples).
    """
    count, samples = waves.shape
    knots = chance.uniform(count, EQUALISER_KNOTS, low=-most_db, high=most_db).to(waves.device)
    octaves = torch.arange(samples // 2 + 1, device=waves.device).clamp_min(1).log2()
    lowest = octaves[-1] - EQUALISER_OCTAVES
    place = ((octaves - lowest) / EQUALISER_OCTAVES).clamp_min(0) * (EQUALISER_KNOTS - 1)
    below = place.long().clamp(max=EQUALISER_KNOTS - 2)
    gain_db = torch.lerp(knots[:, below], knots[:, below + 1], place - below)
    equalised: Tensor = torch.fft.irfft(torch.fft.rfft(waves) * 10 ** (gain_db / 20), samples)
    return equalised


def random_masks(spectrograms: Tensor, masks: int, widest: float, chance: Chance) -> Tensor:
    """Hide bands of frequency and of time behind each clip's mean (SpecAugment).

    spectrograms: (batch, frequencies, frames). Returns the same shape.
    """
    count, frequencies, frames = spectrograms.shape
    hidden = torch.zeros(spectrograms.shape, dtype=torch.bool)
    for _ in range(masks):
        for axis, length in ((1, frequencies), (2, frames)):
            width = chance.uniform(count, high=widest * length)
            start = chance.uniform(count) * (length - width)
            place = torch.arange(length)[None]
            band = (place >= start[:, None]) & (place < (start + width)[:, None])
            hidden |= band[:, :, None] if axis == 1 else band[:, None, :]
    mean = spectrograms.mean(dim=(1, 2), keepdim=True)
    return torch.where(hidden.to(spectrograms.device), mean, spectrograms)


def beside(count: int) -> Tensor:
    """Each item's neighbour, (count,): 0 and 1 are each other's, 2 and 3, and so on.

    The last of an odd number is its own. Not the item before: that of the first would be the last
    of the whole batch, which another process may hold.
    """
    return (torch.arange(count) ^ 1).clamp(max=count - 1)
