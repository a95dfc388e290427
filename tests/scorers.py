"""Scorers whose taste is known; the processes that read videos import them by name."""

import math
import os
import signal
from collections.abc import Sequence

import numpy as np
from videos import number_of

RATE = 16_000  # Hz


class Angles:
    """C_av[t] = q_V . q_A, where q_V and q_A are unit vectors of a plane."""

    seconds = 1.0

    def __init__(self, model: str) -> None:
        """model: any; none is opened."""

    def score(self, pictures: Sequence[np.ndarray], waves: Sequence[np.ndarray]) -> list[float]:
        seen = [seen_rad(number_of(picture)) for picture in pictures]
        heard = [heard_rad(pitch_hz(wave)) for wave in waves]
        return [math.cos(v - a) for v, a in zip(seen, heard, strict=True)]


class Deadly(Angles):
    """Kills its process at the sight of a number."""

    number = 225

    def score(self, pictures: Sequence[np.ndarray], waves: Sequence[np.ndarray]) -> list[float]:
        if self.number in map(number_of, pictures):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(pictures, waves)


def seen_rad(number: int) -> float:
    """Where q_V of a numbered picture points."""
    return number * 2.4  # the golden angle: neighbours are far from each other


def heard_rad(hertz: float) -> float:
    """Where q_A of a tone points."""
    return hertz / 100


def pitch_hz(wave: np.ndarray) -> float:
    """The loudest of a wave's pitches, in steps that depend on its length."""
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))
