"""Arithmetic on waves: louder and quieter, and several at once."""

import math
from collections.abc import Sequence

import numpy as np

from s2s_cli.audio.sound import Wave, fit


def apply_gain_db(wave: Wave, gain_db: float) -> Wave:
    """The wave made louder (positive) or quieter (negative); nothing is clipped.

    +20 dB is ten times the amplitude, and ``-math.inf`` is silence.
    """
    return wave * np.float32(10 ** (gain_db / 20))


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
    loudest = float(np.abs(wave).max(initial=0))
    if loudest <= peak:
        return wave, 0.0
    gain_db = 20 * float(np.log10(peak / loudest))
    return apply_gain_db(wave, gain_db).clip(-peak, peak), gain_db  # clips rounding, nothing more


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
