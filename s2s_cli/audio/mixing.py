"""Arithmetic on waves: louder and quieter, and several at once."""

from collections.abc import Sequence

import numpy as np

from s2s_cli.audio.sound import Wave, fit


def apply_gain_db(wave: Wave, gain_db: float) -> Wave:
    """The wave made louder (positive) or quieter (negative); nothing is clipped.

    +20 dB is ten times the amplitude, and ``-math.inf`` is silence.
    """
    return wave * np.float32(10 ** (gain_db / 20))


def mix(waves: Sequence[Wave], weights: Sequence[float]) -> Wave:
    """The weighted sum of waves at one sample rate, as long as the longest; shorter ones repeat.

    The sum is plain, so two loud sounds may pass full scale: ``limit_peak`` is the caller's choice.

    Raises:
        ValueError: no waves, an empty wave, or not one weight for each.
    """
    if not waves or len(waves) != len(weights):
        raise ValueError(f"expected one weight a wave, got {len(waves)} and {len(weights)}")
    samples = max(wave.size for wave in waves)
    mixed: Wave = np.zeros(samples, np.float32)
    for wave, weight in zip(waves, weights, strict=True):
        mixed += np.float32(weight) * fit(wave, samples)
    return mixed


def limit_peak(wave: Wave, peak: float = 1.0) -> tuple[Wave, float]:
    """The wave turned down, if it must be, until no sample passes ``peak``.

    Returns:
        The wave, and the gain it took in dB: at most 0, and exactly 0 where nothing was changed.

    Raises:
        ValueError: ``peak`` is not positive.
    """
    if not peak > 0:
        raise ValueError(f"expected peak > 0, got {peak}")
    loudest = float(np.abs(wave).max(initial=0))
    if loudest <= peak:
        return wave, 0.0
    gain_db = 20 * float(np.log10(peak / loudest))
    return apply_gain_db(wave, gain_db).clip(-peak, peak), gain_db  # clips rounding, nothing more
