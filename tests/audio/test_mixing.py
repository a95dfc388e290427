"""Gains and sums have closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.audio.mixing import apply_gain_db, bring_to_peak, level_db, limit_peak, mix
from s2s_cli.audio.sound import Wave


def wave(*values: float) -> Wave:
    return np.array(values, np.float32)


@pytest.mark.parametrize(("gain_db", "factor"), [(20, 10), (-20, 0.1), (0, 1), (-math.inf, 0)])
def test_twenty_decibels_are_ten_times_the_amplitude(gain_db, factor):
    louder = apply_gain_db(wave(0.5, -1), gain_db)
    assert louder == pytest.approx(factor * wave(0.5, -1))
    assert louder.dtype == np.float32


def test_a_mixture_is_the_weighted_sum_and_short_sounds_repeat():
    mixed = mix([wave(1, 2), wave(1, 1, 1, 1, 1)], [2, -1])
    assert mixed == pytest.approx([1, 3, 1, 3, 1])
    assert mixed.dtype == np.float32


def test_one_sound_of_weight_one_is_itself():
    assert np.array_equal(mix([wave(0.1, 0.2)], [1]), wave(0.1, 0.2))


@pytest.mark.parametrize(
    ("waves", "weights"), [([], []), ([wave(1)], []), ([wave(1), wave()], [1, 1])]
)
def test_what_cannot_be_mixed_is_refused(waves, weights):
    with pytest.raises(ValueError, match="expected"):
        mix(waves, weights)


def test_a_sound_within_the_limit_is_untouched():
    quiet = wave(0.5, -1)
    limited, gain_db = limit_peak(quiet)
    assert limited is quiet
    assert gain_db == 0


def test_the_gain_that_limits_is_reported():
    limited, gain_db = limit_peak(wave(1, -10))
    assert gain_db == pytest.approx(-20)
    assert limited == pytest.approx([0.1, -1])


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20), st.floats(0.125, 8, width=16))
def test_no_sample_passes_the_limit(values, peak):
    limited, gain_db = limit_peak(wave(*values), peak)
    assert np.abs(limited).max(initial=0) <= peak
    assert gain_db <= 0


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="peak > 0"):
        limit_peak(wave(1), 0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_every_sound_is_brought_to_one_peak_and_silence_stays_silence(values):
    brought = bring_to_peak(wave(*values), 0.5)
    assert brought.dtype == np.float32
    assert np.isfinite(brought).all()
    loudest = max(map(abs, values), default=0)
    if loudest > 1e-30:
        assert np.abs(brought).max() == pytest.approx(0.5)
    if not loudest:
        assert not brought.any()


def test_a_gain_is_heard_only_after_the_peak_was_set():
    sound = wave(0.1, -0.2)
    assert bring_to_peak(apply_gain_db(sound, 20), 1) == pytest.approx(bring_to_peak(sound, 1))
    assert apply_gain_db(bring_to_peak(sound, 1), -20) == pytest.approx(wave(0.05, -0.1))


def test_a_peak_of_nothing_is_refused():
    with pytest.raises(ValueError, match="peak > 0"):
        bring_to_peak(wave(1), 0)


@pytest.mark.parametrize(("amplitude", "expected_db"), [(1, -3.01), (0.1, -23.01), (0, -100)])
def test_a_sines_level_is_three_decibels_below_its_peak(amplitude, expected_db):
    sine = np.sin(2 * np.pi * np.arange(1600) / 16)
    assert level_db((amplitude * sine).astype(np.float32)) == pytest.approx(expected_db, abs=0.01)


def test_padding_is_silence_and_what_weighs_nothing_is_not_there():
    mixed = mix([wave(1, 2), wave(1, 1, 1, 1)], [2, -1], pad=True)
    assert mixed == pytest.approx([1, 3, -1, -1])
    assert mix([wave(1, 2), wave(1, 1, 1, 1)], [1, 0]) == pytest.approx([1, 2])
    with pytest.raises(ValueError, match="other than 0"):
        mix([wave(1), wave(2)], [0, 0])
