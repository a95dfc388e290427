"""Videos of which it is known when the thing that sounds is on screen, and where.

Six coloured shapes have a sound each. One of them is heard throughout a video, but seen for about
half of it only: another shape, which is not heard, stands in for it otherwise, and a third one
comes and goes. Which shape makes which sound is nowhere written down for those who learn: it shows
only in what is seen and heard together more often than chance would have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from videos import write_video

RATE = 16_000  # Hz
FPS = 2

COLOURS = {
    "disc": (220, 50, 40),
    "square": (50, 180, 60),
    "triangle": (60, 90, 230),
    "ring": (230, 200, 40),
    "cross": (200, 60, 200),
    "bars": (240, 240, 240),
}
SHAPES = tuple(COLOURS)


@dataclass(frozen=True)
class MadeVideo:
    """Pictures, a sound, and the truth about them."""

    shape: str  # that is heard
    pictures: np.ndarray  # (frames, side, side, 3) uint8
    wave: np.ndarray  # (samples,) float32 at ``RATE``
    masks: np.ndarray  # (frames, side, side) bool: where the shape is that is heard

    @property
    def times_s(self) -> np.ndarray:
        """When each picture is shown, (frames,)."""
        return np.arange(len(self.pictures)) / FPS

    @property
    def shown(self) -> np.ndarray:
        """When it is on screen, (frames,) bool."""
        return self.masks.any(axis=(1, 2))

    def write(self, path: Path) -> Path:
        """As a file with sound; its ending says which container."""
        return write_video(path, self.pictures, FPS, self.wave[:, None], RATE, pixels="yuv420p")


def make_videos(
    count: int, first_seed: int = 0, side_px: int = 48, seconds: float = 6.0
) -> Iterator[MadeVideo]:
    """Videos of consecutive seeds, each shape heard as often as every other."""
    for seed in range(first_seed, first_seed + count):
        yield make_video(seed, side_px, seconds)


def make_video(seed: int, side_px: int = 48, seconds: float = 6.0) -> MadeVideo:
    """The video of a seed; ``SHAPES[seed % 6]`` is heard."""
    chance = np.random.default_rng(seed)
    heard = SHAPES[seed % len(SHAPES)]
    stand_in, visitor = chance.permutation([shape for shape in SHAPES if shape != heard])[:2]
    frames = round(seconds * FPS)
    shown = on_screen(frames, chance)
    pictures = backdrop(side_px, chance) + chance.normal(0, 6, (frames, side_px, side_px, 3))
    for shape, when in (
        (visitor, on_screen(frames, chance)),
        (stand_in, ~shown),
        (heard, shown),  # last, so that nothing hides it
    ):
        masks = drawn(shape, when, side_px, chance)
        colour = np.array(COLOURS[shape]) + chance.normal(0, 12, 3)
        pictures = np.where(masks[..., None], colour, pictures)
    return MadeVideo(
        shape=heard,
        pictures=pictures.clip(0, 255).astype(np.uint8),
        wave=sound(heard, seconds, chance),
        masks=masks,
    )


def on_screen(frames: int, chance: np.random.Generator) -> np.ndarray:
    """One stay of about half the time, which may begin before the end and last over the start."""
    stay = round(frames * chance.uniform(0.4, 0.6))
    return np.roll(np.arange(frames) < stay, chance.integers(frames))


def backdrop(side_px: int, chance: np.random.Generator) -> np.ndarray:
    """A dim gradient, (side, side, 3)."""
    corners = chance.uniform(20, 130, (4, 3))
    x = np.linspace(0, 1, side_px)[None, :, None]
    y = np.linspace(0, 1, side_px)[:, None, None]
    top, bottom = (corners[k] * (1 - x) + corners[k + 1] * x for k in (0, 2))
    return top * (1 - y) + bottom * y


def drawn(shape: str, when: np.ndarray, side_px: int, chance: np.random.Generator) -> np.ndarray:
    """Where a shape that drifts about covers a picture, (frames, side, side) bool."""
    radius = side_px * chance.uniform(0.13, 0.19)
    room = side_px - 2 * radius
    begin, step = chance.uniform(0, 2 * room, 2), chance.normal(0, 0.03 * side_px, 2)
    way = begin + step * np.arange(len(when))[:, None]
    centres = radius + np.abs((way + room) % (2 * room) - room)  # turned back at the borders
    grid = np.arange(side_px) + 0.5
    x, y = (
        (grid[None, None, :] - centres[:, 0, None, None]) / radius,
        (grid[None, :, None] - centres[:, 1, None, None]) / radius,
    )
    far, wide = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    inside = {
        "disc": far < 1,
        "square": wide < 0.85,
        "triangle": (y < 0.8) & (np.abs(x) < (y + 1) / 1.8),
        "ring": (far < 1) & (far > 0.55),
        "cross": (wide < 1) & (np.minimum(np.abs(x), np.abs(y)) < 0.3),
        "bars": (wide < 0.9) & (x % 0.6 < 0.3),
    }[shape]
    return inside & when[:, None, None]


def sound(shape: str, seconds: float, chance: np.random.Generator) -> np.ndarray:
    """What a shape sounds like: never twice the same, and some noise is always there."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = chance.normal(0, 1, len(time))
    pitch, pace = chance.uniform(0.9, 1.1, 2)
    beat = (time * pace + chance.uniform()) % 0.25 / 0.25  # four a second, each from 0 to 1
    if shape == "disc":
        wave = np.sin(2 * np.pi * 300 * pitch * time)
    elif shape == "square":
        wave = noise * (beat < 0.4)
    elif shape == "triangle":
        wave = np.sin(2 * np.pi * np.cumsum(500 * pitch * 6**beat) / RATE)
    elif shape == "ring":
        wave = np.sin(2 * np.pi * 1200 * pitch * time) * np.exp(-12 * beat)
    elif shape == "cross":
        wave = np.sin(2 * np.pi * 3500 * pitch * time + 20 * np.sin(2 * np.pi * 6 * pace * time))
    else:
        wave = np.convolve(noise, np.hanning(65) / 8, mode="same")
    level = chance.uniform(0.2, 0.5) / np.abs(wave).max()
    return (level * wave + 0.003 * chance.normal(0, 1, len(time))).astype(np.float32)
