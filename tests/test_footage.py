"""A restyled video shows its frames in order, in the look of what is heard, and sounds in step."""

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, tone
from memory import PEAK_BYTES
from videos import barcode, heard, number_of, shown, turn_by_metadata, write_video

from s2s_cli import filming, restyling
from s2s_cli.audio.mixing import bring_to_peak
from s2s_cli.audio.sound import fit
from s2s_cli.errors import OutputError, PictureError, SoundError
from s2s_cli.filming import HOP_S
from s2s_cli.footage import FootagePlan, Steadied, open_footage, plan_of
from s2s_cli.picture.photo import Photo
from s2s_cli.picture.provenance import read_provenance
from s2s_cli.restyling import Restyler

HERTZ = 48_000


@pytest.fixture(scope="module")
def restyler(style_model) -> Restyler:
    return Restyler.open(style_model, "cpu", "float32")


@pytest.fixture(scope="module")
def peaking(peak_model) -> Restyler:
    return Restyler.open(peak_model, "cpu", "float32")


def clicks(*moments_s: float, seconds: float, channels: int = 1) -> np.ndarray:
    """(samples, channels): short bursts in hardly audible noise; a second channel is as loud."""
    chance = np.random.default_rng(0)
    wave = 0.001 * chance.standard_normal((round(seconds * HERTZ), channels))
    for moment_s in moments_s:
        begin = round(moment_s * HERTZ)
        wave[begin : begin + 480] += 0.4 * chance.standard_normal((480, 1)).clip(-2, 2)
    return wave


def lag(before: np.ndarray, after: np.ndarray) -> int:
    """By how many samples the second comes later: where they correlate most."""
    size = 2 * max(len(before), len(after))
    spectra = np.fft.rfft(before, size).conj() * np.fft.rfft(after, size)
    most = int(np.argmax(np.fft.irfft(spectra, size)))
    return most - size if most > size // 2 else most


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Four seconds at 10 frames a second, quiet and low and then loud and high."""
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    wave = np.concatenate([tone(200, 2, 0.01), tone(3000, 2)]).repeat(3)[:, None]
    return write_video(path, (barcode(k) for k in range(40)), 10, wave)


def shot(restyler: Restyler, path: Path, out: Path, sound: Path | None = None, **plan) -> Path:
    with open_footage(restyler, path, sound, FootagePlan(**plan)) as footage:
        footage.shoot(out)
    return out


# What is seen


def test_a_frame_is_its_picture_restyled_by_what_is_heard_meanwhile(restyler, clip):
    with open_footage(restyler, clip, plan=FootagePlan(smooth_s=0)) as footage:
        features = list(islice(footage.features(), 40))
        originals = list(footage.video.pictures())
        pictures = list(footage.pictures())
    assert len(pictures) == 40
    for own, feature, picture in zip(originals, features, pictures, strict=True):
        alone = restyler.restyle(Photo(own, None, None, "", ""), feature)
        assert np.abs(alone.astype(int) - picture).max() <= 1  # eight are rounded together, there
    assert torch.linalg.norm(features[0] - features[-1]) > 0.1  # else any feature would do


@pytest.mark.parametrize("side_px", [30, 40, 80, 1000])
def test_frames_are_the_same_wherever_one_begins(restyler, clip, monkeypatch, side_px):
    """In tiles, one at a time, some at a time, and all of a batch; steadied, too."""
    allowed = side_px**2 * restyler.model.stylizer.config.bytes_per_px
    monkeypatch.setattr(restyling, "WORKING_BYTES", allowed)
    monkeypatch.setattr(restyling, "OVERLAP_PX", 8)
    monkeypatch.setattr(restyling, "EDGE_PX", 2)
    monkeypatch.setattr(restyling, "CROP_PX", 16)
    plan = FootagePlan(steady=0.5, smooth_s=0.5, start_s=0.3, length_s=1.2)
    with open_footage(restyler, clip, plan=plan) as footage:
        whole = list(footage.pictures())
        assert len(whole) == 12
        assert np.array_equal(list(footage.pictures(8)), whole[8:])


def test_strength_zero_is_the_video(restyler, clip):
    with open_footage(restyler, clip, plan=FootagePlan(strength=0, steady=0.5)) as footage:
        assert np.array_equal(list(footage.pictures()), list(footage.video.pictures()))


def test_half_the_strength_is_half_the_change(restyler, clip):
    looks = []
    for strength in (0, 0.5, 1):
        plan = FootagePlan(strength=strength, smooth_s=0)
        with open_footage(restyler, clip, plan=plan) as footage:
            looks.append(np.stack(list(islice(footage.pictures(), 8))).astype(float))
    assert np.abs(looks[1] - (looks[0] + looks[2]) / 2).max() <= 0.5


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_all_frames_come_in_order_at_their_pace_with_their_sound(
    restyler, clip, tmp_path, ending, monkeypatch
):
    monkeypatch.setattr(filming, "PART_S", 1.0)
    path = shot(restyler, clip, tmp_path / f"out.{ending}", strength=0)
    assert [number_of(picture) for picture in shown(path)] == list(range(40))
    with open_footage(restyler, path) as again:
        assert (again.video.rate, again.frames) == (10, 40)
        assert again.video.sound_late_s == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("height", "width", "size_px", "matrix", "shape"),
    [
        (32, 48, None, (1, 0, 0, 1), (32, 48)),
        (33, 47, None, (1, 0, 0, 1), (34, 48)),  # as H.264 must have it
        (32, 48, None, (0, 1, -1, 0), (48, 32)),
        (32, 64, 96, (0, 1, -1, 0), (96, 48)),
    ],
)
def test_size_and_orientation_stay(restyler, tmp_path, height, width, size_px, matrix, shape):
    pixels = np.full((height, width, 3), 30, np.uint8)
    pixels[: height // 2, : width // 2] = 220  # the corner that tells where it is
    sound = 0.1 * np.random.default_rng(0).standard_normal((HERTZ // 2, 1))
    path = write_video(tmp_path / "in.mp4", [pixels] * 5, 10, sound)
    turn_by_metadata(path, matrix)
    out = shot(restyler, path, tmp_path / "out.mp4", strength=0, size_px=size_px)
    first = shown(out)[0].mean(axis=2)
    assert first.shape == shape
    bright = np.argwhere(first > 125).mean(axis=0) / shape
    across = 0.75 if matrix[0] == 0 else 0.25  # a quarter turn clockwise brings it to the right
    assert bright == pytest.approx([0.25, across], abs=0.03)


# What is heard


@pytest.mark.parametrize("ending", ["mp4", "webm"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_stays_in_step_to_the_sample(restyler, tmp_path, ending, channels):
    wave = clicks(0.5, 1.73, 2.9, seconds=3, channels=channels)
    source = write_video(tmp_path / "in.mkv", [barcode(0)] * 36, 12, wave)
    out = shot(restyler, source, tmp_path / f"out.{ending}", strength=0)
    sound, hertz = heard(out)
    assert (len(sound), hertz) == (channels, HERTZ)
    assert sound.shape[1] / hertz == pytest.approx(3, abs=1 / 12)
    for channel in range(channels):
        assert lag(wave[:, channel], sound[channel]) == 0
        loud = [np.abs(sound[channel][round(at * hertz) :][:480]).max() for at in (0.5, 1.73, 2.9)]
        assert min(loud) > 0.3


def test_stereo_stays_stereo(restyler, tmp_path):
    wave = np.stack([tone(300, 2).repeat(3), 0.1 * tone(2000, 2).repeat(3)], 1)
    source = write_video(tmp_path / "in.mov", [barcode(0)] * 20, 10, wave)
    sound, _ = heard(shot(restyler, source, tmp_path / "out.mp4", strength=0))
    for channel, loudness in enumerate((0.5, 0.05)):
        assert np.abs(sound[channel][10_000:80_000]).max() == pytest.approx(loudness, rel=0.15)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("late_s", [0.4, 0.0])
@pytest.mark.parametrize("start_s", [0.0, 1.0])
def test_a_click_is_heard_with_its_picture_whatever_the_source_counts_from(
    restyler, tmp_path, ending, late_s, start_s
):
    """Picture 15 is shown at 1.5 s; the sound track begins late, and the click is at 1.5 s."""
    wave = clicks(1.5 - late_s, seconds=2.2 - late_s)
    source = write_video(
        tmp_path / f"in.{ending}", (barcode(k) for k in range(22)), 10, wave, sound_late_s=late_s
    )
    out = shot(restyler, source, tmp_path / "out.mp4", strength=0, start_s=start_s)
    first = [number_of(picture) for picture in shown(out)].index(15)
    assert first == 15 - 10 * start_s
    sound, hertz = heard(out)
    begins = int(np.argmax(np.abs(sound[0]) > 0.1)) / hertz
    assert begins == pytest.approx(first / 10, abs=0.005)  # AAC lets it sound a little before


def test_another_sound_is_repeated_or_cut_and_its_gain_works(restyler, clip, tmp_path):
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    wave = clicks(0.3, seconds=1.5)[:, 0]
    soundfile.write(short, wave, HERTZ)
    soundfile.write(long, np.tile(wave, 9), HERTZ)
    tracks = []
    for sound in (short, long):
        out = shot(restyler, clip, tmp_path / "out.mp4", sound, strength=0, gains_db=(-6.0,))
        tracks.append(heard(out)[0][0])
        (tmp_path / "out.mp4").unlink()
        assert len(tracks[-1]) / HERTZ == pytest.approx(4, abs=0.1)
    assert np.array_equal(*tracks)
    expected = np.tile(wave, 3)[: 4 * HERTZ] * 10 ** (-6 / 20)
    assert lag(expected, tracks[0]) == 0
    kept = tracks[0][: 4 * HERTZ]
    assert np.corrcoef(expected, kept)[0, 1] > 0.9  # AAC has its trouble with clicks
    assert kept.std() == pytest.approx(expected.std(), rel=0.1)


def test_the_gain_follows_its_curve_in_what_is_heard(restyler, tmp_path):
    wave = tone(440, 6, 0.2).repeat(3)[:, None]
    source = write_video(tmp_path / "in.mov", [barcode(0)] * 60, 10, wave)
    out = shot(
        restyler, source, tmp_path / "out.mp4", strength=0,
        moments_s=(1.0, 4.0), gains_db=(-24.0, 6.0),
    )  # fmt: skip
    sound, hertz = heard(out)
    for at_s, gain_db in ((0.5, -24), (1.0, -24), (2.0, -14), (3.0, -4), (4.0, 6), (5.5, 6)):
        around = sound[0][round((at_s - 0.05) * hertz) : round((at_s + 0.05) * hertz)]
        level_db = 20 * math.log10(around.std() * math.sqrt(2) / 0.2)
        assert level_db == pytest.approx(gain_db, abs=0.7), at_s


def test_what_would_pass_full_scale_is_turned_down_evenly(restyler, clip):
    with open_footage(restyler, clip, plan=FootagePlan(gains_db=(20.0,))) as footage:
        loud = np.concatenate(list(footage.soundtrack.blocks))
        own = np.concatenate(list(footage.sound.blocks()))
        assert footage.headroom_db == pytest.approx(-20 - 20 * math.log10(np.abs(own).max()))
        assert np.abs(loud).max() == pytest.approx(1, abs=1e-5)
        assert np.corrcoef(own[:, 0], loud[:, 0])[0, 1] == pytest.approx(1, abs=1e-6)


# What the model hears


@pytest.mark.parametrize("smooth_s", [0.0, 0.7])
@pytest.mark.parametrize("fps", [4, Fraction(30_000, 1001)])
def test_features_are_smoothed_by_falling_weights_on_both_sides(restyler, clip, smooth_s, fps):
    with open_footage(restyler, clip, plan=FootagePlan(smooth_s=smooth_s)) as footage:
        footage = replace(footage, video=replace(footage.video, rate=Fraction(fps)))
        whole = np.concatenate(list(footage.sound.waves(RATE)))
        frames = [0, 3, 8, 15]
        features = torch.stack(list(islice(footage.features(), 16)))[frames].numpy()

    def at(hop: int) -> np.ndarray:
        begin = min(max(0, round(hop * HOP_S * RATE) - 24_000), len(whole) - 48_000)
        return restyler.feature_of(whole[begin : begin + 48_000]).numpy()

    raw = {hop: at(hop) for hop in range(-20, 40)}
    for frame, feature in zip(frames, features, strict=True):
        place = frame / float(fps) / HOP_S

        def mean(middle: int) -> np.ndarray:
            if not smooth_s:
                return raw[middle]
            reach = math.ceil(4 * smooth_s / HOP_S)
            weights = {k: math.exp(-abs(k) * HOP_S / smooth_s) for k in range(-reach, reach + 1)}
            total = sum(weight * raw[middle + k] for k, weight in weights.items())
            return total / sum(weights.values())

        before, share = math.floor(place), place % 1
        expected = (1 - share) * mean(before) + share * mean(before + 1)
        assert np.abs(feature - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("which", ["restyler", "peaking"])
def test_the_gain_acts_after_the_peak_that_a_model_was_taught(which, request, clip):
    restyler = request.getfixturevalue(which)
    window = tone(500, 2, 0.03)  # shorter than the model hears: it is repeated
    plan = FootagePlan(moments_s=(1.0, 3.0), gains_db=(0.0, -20.0))
    with open_footage(restyler, clip, plan=plan) as footage:
        heard_as = footage.as_heard(window, 1.5)
    peak = restyler.model.audio_encoder.config.peak
    whole = bring_to_peak(window, peak) if peak else window
    assert np.allclose(heard_as, fit(whole, 3 * RATE) * 10 ** (-5 / 20), atol=1e-6)


def test_how_loud_a_video_is_counts_only_for_a_model_that_hears_it(restyler, peaking, clip):
    turn = {}
    for model in (restyler, peaking):
        for gain_db in (0.0, -10.0):
            with open_footage(model, clip, plan=FootagePlan(gains_db=(gain_db,))) as footage:
                turn[model, gain_db] = next(footage.features())
    for model in (restyler, peaking):  # a gain is heard by both
        assert torch.linalg.norm(turn[model, 0.0] - turn[model, -10.0]) > 0.01


# Steadiness


def test_a_change_is_a_mean_over_the_frames_before_it_and_begins_anew_with_a_scene():
    chance = np.random.default_rng(0)
    own = chance.integers(100, 130, (30, 4, 6, 3), np.uint8)
    own[20:] += 100  # another scene
    change = chance.integers(-20, 20, own.shape)
    steady = Steadied(0.5)
    for k, (frame, restyled) in enumerate(zip(own, (own + change).astype(np.uint8), strict=True)):
        picture = steady.after(frame, restyled)
        back = range(min(k - 20 if k >= 20 else k, steady.reach) + 1)
        weights = np.array([0.5**j for j in back])
        mean = sum(w * change[k - j] for j, w in zip(back, weights / weights.sum(), strict=True))
        assert np.abs(picture - (own[k] + mean)).max() <= 0.501
    assert 0.5**steady.reach <= 0.05


# Runs


def stop_after(frames: int):
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if done >= frames:
            raise KeyboardInterrupt

    return advance


def test_a_run_that_was_stopped_goes_on_and_ends_in_the_same_bytes(
    restyler, clip, tmp_path, monkeypatch
):
    monkeypatch.setattr(filming, "PART_S", 0.8)
    plan = {"steady": 0.5, "gains_db": (12.0,), "length_s": 3.0}
    unbroken = shot(restyler, clip, tmp_path / "unbroken.mp4", **plan).read_bytes()
    path, told = tmp_path / "out.mp4", []
    with open_footage(restyler, clip, plan=FootagePlan(**plan)) as footage:
        with pytest.raises(KeyboardInterrupt):
            footage.shoot(path, advance=stop_after(19), stopped=told.append)
        assert told == [footage.unfinished_s(path)]
        assert 19 <= len(shown(path)) <= 20
        footage.shoot(path)
        assert footage.hangs_already(path)
    assert path.read_bytes() == unbroken
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "unbroken.mp4"]


def test_a_plan_comes_back_from_the_video(restyler, clip, low_wav, tmp_path):
    plan = FootagePlan(
        start_s=0.5, length_s=1, size_px=64, moments_s=(0.0, 2.0), gains_db=(-3.0, 3.0),
        strength=0.5, smooth_s=0, steady=0.2,
    )  # fmt: skip
    with open_footage(restyler, clip, low_wav, plan) as footage:
        footage.shoot(tmp_path / "out.mp4")
    made = read_provenance(tmp_path / "out.mp4")
    assert plan_of(made) == plan
    assert [(s.role, s.name) for s in made.sources] == [
        ("video", str(clip)),
        ("sound", str(low_wav)),
    ]
    assert len(shown(tmp_path / "out.mp4")) == 10
    with pytest.raises(ValueError, match="stylize"):
        plan_of(replace(made, sources=made.sources[1:]))


def test_neither_the_video_nor_the_sound_is_ever_replaced(restyler, clip, low_wav, tmp_path):
    sound = tmp_path / "sound.mp4"
    sound.write_bytes(clip.read_bytes())
    with open_footage(restyler, clip, sound) as footage:
        for path, role in ((clip, "video"), (sound, "sound")):
            with pytest.raises(OutputError, match=f"is the {role} itself"):
                footage.shoot(path, force=True)


@pytest.mark.parametrize(
    ("size", "seconds", "plan", "fault", "words"),
    [
        ((2, 2), 1, {}, PictureError, "too few to keep"),
        ((32, 48), 1, {"start_s": 5.0}, PictureError, "over before 5 s"),
        ((16, 32), 1, {"size_px": 16}, PictureError, "too few to keep"),
        ((32, 48), 0, {}, SoundError, "no sound track: name a sound behind it"),
    ],
)
def test_what_cannot_be_restyled_is_said_in_a_sentence(
    restyler, tmp_path, size, seconds, plan, fault, words
):
    wave = 0.1 * np.random.default_rng(0).standard_normal((HERTZ, 1)) if seconds else None
    path = write_video(tmp_path / "in.mp4", [np.zeros((*size, 3), np.uint8)] * 10, 10, wave)
    with (
        pytest.raises(fault, match=words),
        open_footage(restyler, path, plan=FootagePlan(**plan)),
    ):
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 2}, {"smooth_s": -1}, {"steady": 0.95}, {"steady": math.nan}, {"size_px": 4},
        {"gains_db": ()}, {"moments_s": (1.0, 1.0), "gains_db": (0.0, 0.0)},
        {"gains_db": (math.inf,)},
    ],
)  # fmt: skip
def test_a_plan_out_of_range_is_the_callers_mistake(wrong):
    with pytest.raises(ValueError, match="expected"):
        FootagePlan(**wrong)


MEASURE = (
    PEAK_BYTES
    + """
from s2s_cli import filming
from s2s_cli.footage import FootagePlan, open_footage
from s2s_cli.restyling import Restyler

filming.HOP_S = 10.0  # to save time
restyler = Restyler.open(sys.argv[1], "cpu")
with open_footage(restyler, sys.argv[2], plan=FootagePlan(smooth_s=0, steady=0.5)) as footage:
    footage.shoot(Path(sys.argv[3]))
print(footage.frames, peak_bytes())
"""
)


def test_ten_minutes_take_no_more_memory_than_one(style_model, tmp_path):
    peaks = []
    for minutes in (1, 10):
        wave = 0.1 * np.random.default_rng(0).standard_normal((60 * minutes * 16_000, 1))
        path = write_video(
            tmp_path / f"{minutes}.mp4",
            (barcode(k % 256, 32, 32) for k in range(60 * minutes)), 1, wave, 16_000,
        )  # fmt: skip
        command = [
            sys.executable,
            "-c",
            MEASURE,
            style_model,
            path,
            tmp_path / f"{minutes}-out.mp4",
        ]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=True
        ).stdout.split()
        assert int(done[0]) == 60 * minutes
        peaks.append(int(done[1]))
    assert peaks[1] < 1.1 * peaks[0], peaks
