"""Arithmetic on waves: louder and quieter, and several at once."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2s_cli.audio.sound import Wave, fit

Block = NDArray[np.float32]  # (samples, channels), full scale is [-1, 1]


def apply_gain_db(wave: Wave, gain_db: float) -> Wave:
    """The wave made louder (positive) or quieter (negative); nothing is clipped.

    +20 dB is ten times the amplitude, and ``-math.inf`` is silence.
    """
    return wave * np.float32(10 ** (gain_db / 20))


@dataclass(frozen=True)
class GainCurve:
    """A gain that changes: straight lines in decibels, level before the first moment and after the
    last.

    Raises:
        ValueError: there are no moments, they do not rise, or a number is not finite.
    """

    moments_s: tuple[float, ...] = (0.0,)
    gains_db: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not self.moments_s or len(self.moments_s) != len(self.gains_db):
            raise ValueError("expected one gain for each moment, and at least one")
        if not np.isfinite([*self.moments_s, *self.gains_db]).all():
            raise ValueError("expected finite moments and gains")
        if not (np.diff(self.moments_s) > 0).all():
            raise ValueError("expected moments that rise")

    def at(self, moment_s: float) -> float:
        """The gain in dB at one moment."""
        return float(np.interp(moment_s, self.moments_s, self.gains_db))

    def applied(self, blocks: Iterable[Block], sample_rate: int) -> Iterator[Block]:
        """Blocks that follow one another from moment 0 on, made louder and quieter."""
        begin = 0
        for block in blocks:
            at_s = np.arange(begin, begin + len(block)) / sample_rate
            amplitudes = 10 ** (np.interp(at_s, self.moments_s, self.gains_db) / 20)
            yield block * amplitudes.astype(np.float32)[:, None]
            begin += len(block)


def level_db(wave: Wave) -> float:
    """How loud a wave is on average (root mean square), in dB of full scale; silence is -100."""
    return 10 * math.log10(float(np.square(wave, dtype=np.float64).mean()) + 1e-10)


def mix(waves: Sequence[Wave], weights: Sequence[float], pad: bool = False) -> Wave:
    """The weighted sum of waves at one sample rate, as long as the longest that counts.

    Shorter ones repeat, or with ``pad`` end in silence. A wave of weight 0 is as if it were not
    there, its length included: with a single weight of 1 the result is that very wave. The order
    does not matter. The sum is plain, so two loud sounds may pass full scale: ``limit_peak`` is
    the caller's choice.

    Raises:
        ValueError: no waves, an empty wave, not one weight for each, or only weights of 0.
    """
    if not waves or len(waves) != len(weights):
        raise ValueError(f"expected one weight a wave, got {len(waves)} and {len(weights)}")
    parts = [(wave, weight) for wave, weight in zip(waves, weights, strict=True) if weight]
    samples = max((wave.size for wave, _ in parts), default=0)
    if not samples:
        raise ValueError(f"expected a weight other than 0 and a wave that is not empty: {weights}")
    mixed = np.zeros(samples, np.float64)  # in which sums of float32 do not depend on their order
    for wave, weight in parts:
        same_length = np.pad(wave, (0, samples - wave.size)) if pad else fit(wave, samples)
        mixed += weight * same_length.astype(np.float64)
    return mixed.astype(np.float32)


def limit_peak(wave: Wave, peak: float = 1.0) -> tuple[Wave, float]:
    """The wave turned down, if it must be, until no sample passes ``peak``.

    Returns:
        The wave, and the gain it took in dB: at most 0, and exactly 0 where nothing was changed.

    Raises:
        ValueError: ``peak`` is not positive.
    """
    if not peak > 0:
        raise ValueError(f"expected peak > 0, got {peak}")
    gain_db = headroom_db([wave], peak)
    if not gain_db:
        return wave, 0.0
    return apply_gain_db(wave, gain_db).clip(-peak, peak), gain_db  # clips rounding, nothing more


def headroom_db(blocks: Iterable[NDArray[np.float32]], peak: float = 1.0) -> float:
    """The gain that a sound takes until no sample passes ``peak``: at most 0, often exactly 0.

    All of it is turned down by the same, so that its loud and quiet places stay as they were to
    each other. Only one block is held at a time.
    """
    loudest = max((float(np.abs(block).max(initial=0)) for block in blocks), default=0.0)
    return 20 * float(np.log10(peak / loudest)) if loudest > peak else 0.0


def bring_to_peak(wave: Wave, peak: float) -> Wave:
    """The wave made louder or quieter until its loudest sample is ``peak``; silence stays silence.

    What an audio encoder was taught with (``AudioEncoderConfig.peak``) comes first, and a gain that
    the user asks for after it: the other way round no gain would be heard.

    Raises:
        ValueError: ``peak`` is not positive.
    """
    if not peak > 0:
        raise ValueError(f"expected peak > 0, got {peak}")
    loudest = np.abs(wave).max(initial=0)
    return wave / loudest * np.float32(peak) if loudest else wave
