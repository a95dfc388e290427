"""From a clip come the right frames, with the sound around them to the sample, and no more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from videos import barcode, begin_behind, number_of, write_video

from s2s_cli.choices import Select
from s2s_cli.data import excerpts
from s2s_cli.data.excerpts import Choice, Excerpt, Gap, Reason, Span, excerpts_of
from s2s_cli.data.layouts import TEST, Clip
from s2s_cli.picture.image import to_uint8

RATE = 16_000  # Hz
FPS = 10
MIDDLE = Choice(Select.MIDDLE)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """(samples,) int16 of which no two windows are alike."""
    return np.random.default_rng(seed).integers(-8000, 8000, round(seconds * RATE)).astype(np.int16)


def film(path: Path, wave: np.ndarray | None, seconds: float, **how) -> Path:
    """Frame n of ten a second shows the number n; the sound is kept bit by bit."""
    pictures = (barcode(number % 256) for number in range(round(seconds * FPS)))
    sound = None if wave is None else wave[:, None] / 32768
    return write_video(path, pictures, FPS, sound, RATE, pixels="yuv420p", **how)


def numbers(excerpt: Excerpt) -> list[int]:
    return [number_of(frame) for frame in excerpt.frames]


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return noise(24)


@pytest.fixture(scope="module")
def long(tmp_path_factory, wave) -> Clip:
    """24 seconds."""
    path = tmp_path_factory.mktemp("videos") / "long.mkv"
    return Clip("scene/long", film(path, wave, 24))


@pytest.fixture(scope="module")
def short(tmp_path_factory, wave) -> Clip:
    """3 seconds."""
    path = tmp_path_factory.mktemp("videos") / "short.mkv"
    return Clip("scene/short", film(path, wave[: 3 * RATE], 3))


class Taste:
    """Likes some numbers best, and remembers what it was asked."""

    seconds = 1.0

    def __init__(self, *likes: int) -> None:
        self.likes = likes
        self.asked: list[tuple[int, np.ndarray]] = []

    def score(self, pictures, waves):
        assert len(pictures) == len(waves)
        seen = [number_of(picture) for picture in pictures]
        self.asked += zip(seen, waves, strict=True)
        return [1.0 if number in self.likes else 0.0 for number in seen]


# Which moments


def test_the_middle_of_each_stretch_with_the_sound_of_the_stretch(long, wave):
    first, second = excerpts_of(long, MIDDLE)
    assert (numbers(first), first.frames_s, first.start_s) == ([50], (5.0,), 0.0)
    assert np.array_equal(first.sound, wave[: 10 * RATE])
    # The rest of 4 s is no stretch of its own.
    assert (numbers(second), second.frames_s, second.start_s) == ([170], (17.0,), 12.0)
    assert np.array_equal(second.sound, wave[12 * RATE : 22 * RATE])


def test_frames_spread_evenly_share_the_sound_of_their_stretch(long, short, wave):
    """avstyle: eight of each three seconds."""
    choice = Choice(Select.EVEN, top=8, stretch_s=3, seconds=3)
    (one,) = excerpts_of(short, choice)
    assert one.frames_s == pytest.approx([3 / 16 + 3 / 8 * n for n in range(8)])
    assert numbers(one) == [1, 5, 9, 13, 16, 20, 24, 28]
    assert np.array_equal(one.sound, wave[: 3 * RATE])
    many = list(excerpts_of(long, choice))
    assert [excerpt.start_s for excerpt in many] == [3.0 * n for n in range(8)]
    assert {len(excerpt.frames) for excerpt in many} == {8}


def test_a_localiser_chooses_among_all_moments_by_the_sound_around_each(short, wave):
    taste = Taste(22)
    (one,) = excerpts_of(short, Choice(rate=2.0), taste)
    assert (numbers(one), one.frames_s, one.scores) == ([22], (2.25,), (1.0,))
    assert np.array_equal(one.sound, wave[: 3 * RATE])
    assert [number for number, _ in taste.asked] == [2, 7, 12, 17, 22, 27]
    for number, heard in taste.asked:  # a second of it, moved to where there is one
        first = round((min(max(number / FPS + 0.05 - 0.5, 0), 2)) * RATE)
        assert np.array_equal(np.rint(heard * 32768), wave[first : first + RATE])


def test_the_best_come_first_and_of_equals_the_earlier(short):
    (one,) = excerpts_of(short, Choice(top=3), Taste(17, 12))
    assert numbers(one) == [12, 17, 2]
    assert one.scores == (1.0, 1.0, 0.0)


def test_moments_with_different_sounds_are_different_samples(long, wave):
    some = list(excerpts_of(long, Choice(top=2, seconds=1), Taste(92, 3, 7, 132)))
    assert [numbers(one) for one in some] == [[7], [92], [102], [132]]
    starts = [0.25, 8.75, 9.85, 12.75]
    assert [one.start_s for one in some] == pytest.approx(starts, abs=0.2)
    for one in some:
        first = round(one.start_s * RATE)
        assert np.array_equal(one.sound, wave[first : first + RATE])
        assert one.start_s + 0.5 == pytest.approx(one.frames_s[0], abs=0.5)


def test_a_sound_longer_than_its_stretch_reaches_into_the_neighbours(long, wave):
    some = list(excerpts_of(long, Choice(Select.MIDDLE, stretch_s=4, seconds=8)))
    assert [one.start_s for one in some] == [0, 2, 6, 10, 14, 16]
    assert np.array_equal(some[2].sound, wave[6 * RATE : 14 * RATE])


def test_annotated_moments_are_taken_best_first_and_none_where_none_is_told(long):
    choice = Choice(Select.ANNOTATED, top=2)
    told = replace(long, moments_s=(9.05, 3.05, 6.05, 99.0))
    first, gap = excerpts_of(told, choice)
    assert (numbers(first), first.scores) == ([90, 30], ())
    assert gap == Gap(Reason.UNTOLD)
    assert list(excerpts_of(long, choice)) == [Gap(Reason.UNTOLD)] * 2


def test_what_is_for_testing_shows_its_middle_where_no_moment_is_annotated(short):
    (one,) = excerpts_of(replace(short, split=TEST), Choice(Select.ANNOTATED))
    assert numbers(one) == [15]


# Which part of the file


def test_a_clip_may_be_a_piece_of_a_video(long, wave):
    piece = replace(long, start_s=9.0, seconds=4.0)
    (one,) = excerpts_of(piece, MIDDLE)
    assert (numbers(one), one.start_s) == ([110], 9.0)
    assert np.array_equal(one.sound, wave[9 * RATE : 13 * RATE])
    (rest,) = excerpts_of(replace(long, start_s=20.0, seconds=10.0), MIDDLE)
    assert (numbers(rest), len(rest.sound)) == ([220], 4 * RATE)
    assert list(excerpts_of(replace(long, start_s=99.0, seconds=1.0), MIDDLE)) == [
        Gap(Reason.SHORT)
    ]


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mp4 with its priming hidden"])
def test_a_sound_that_begins_late_stays_with_its_pictures(tmp_path, kind):
    """A burst at the moment of picture 20, whatever the tracks begin with."""
    sound = noise(3) // 1000
    sound[24_000:24_160] = 20_000  # at 1.5 s of a sound that begins at 0.5 s
    path = film(tmp_path / f"late.{kind[:3]}", sound, 3.5, sound_late_s=0.5)
    begins_s = 0.5
    if kind == "mp4":  # FFmpeg lets a late track begin with what primes AAC: it is heard before
        begins_s -= 1024 / RATE
    elif "hidden" in kind:
        begin_behind(path, samples=1024, late_s=0.5)
    (one,) = excerpts_of(Clip("a/b", path), Choice(Select.EVEN, top=3, seconds=10))
    assert one.start_s == pytest.approx(begins_s, abs=0.001)
    loudest = one.start_s + np.argmax(np.abs(one.sound.astype(int)) > 10_000) / RATE
    assert loudest == pytest.approx(2.0, abs=0.001)
    thirds_s = [begins_s + (3.5 - begins_s) * part / 6 for part in (1, 3, 5)]
    assert one.frames_s == pytest.approx(thirds_s, abs=0.02)
    assert numbers(one) == [int(at_s * FPS + 1e-3) for at_s in one.frames_s]


def test_a_long_clip_is_the_same_however_little_of_it_is_held(long, monkeypatch):
    choice = Choice(Select.EVEN, top=2, stretch_s=2, seconds=3)
    whole = list(excerpts_of(long, choice))
    asked, read_sound = [], excerpts.read_sound

    def counted(*args, **how):
        asked.append(how["seconds"])
        return read_sound(*args, **how)

    monkeypatch.setattr(excerpts, "read_sound", counted)
    monkeypatch.setattr(excerpts, "CHAPTER_S", 4.0)
    parts = list(excerpts_of(long, choice))
    assert len(asked) == 6
    assert max(asked) == pytest.approx(10.0)
    assert [one.start_s for one in parts] == [one.start_s for one in whole]
    for one, other in zip(parts, whole, strict=True):
        assert np.array_equal(one.sound, other.sound)
        assert np.array_equal(one.frames, other.frames)


# What gives nothing


def test_a_silent_stretch_is_left_out_and_the_others_are_not(tmp_path):
    sound = noise(9)
    sound[3 * RATE : 6 * RATE] = 0
    clip = Clip("a/b", film(tmp_path / "v.mkv", sound, 9))
    parts = list(excerpts_of(clip, Choice(Select.MIDDLE, stretch_s=3, seconds=3)))
    assert [isinstance(part, Gap) for part in parts] == [False, True, False]
    assert parts[1] == Gap(Reason.SILENT)
    assert numbers(parts[2]) == [75]


def test_a_silent_moment_is_not_chosen_though_it_looks_best(tmp_path):
    sound = noise(4)
    sound[: 2 * RATE] = 0
    clip = Clip("a/b", film(tmp_path / "v.mkv", sound, 4))
    (one,) = excerpts_of(clip, Choice(seconds=1), Taste(2, 7))
    assert one.frames_s[0] > 1.5


def test_no_picture_is_looked_at_where_nothing_is_heard(tmp_path, monkeypatch):
    path = film(tmp_path / "v.mkv", np.zeros(48_000, np.int16), 3)
    looked_at = []
    monkeypatch.setattr(
        excerpts.Glimpses, "pictures", lambda _, moments_s: looked_at.append(moments_s) or iter(())
    )
    assert list(excerpts_of(Clip("a/b", path), MIDDLE)) == [Gap(Reason.SILENT)]
    assert looked_at == [[]]


def bad(path: Path, kind: str) -> Path:
    if kind == "mute":
        return film(path, None, 2)
    if kind == "short":
        return film(path, noise(2)[:6000], 0.4)
    if kind == "text":
        path.write_text("a video, honestly")
    elif kind == "empty":
        path.touch()
    elif kind == "sound":
        write_video(path, [], wave=np.ones((48_000, 1)) / 9)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("mute", Reason.MUTE), ("short", Reason.SHORT), ("text", Reason.BROKEN),
        ("empty", Reason.BROKEN), ("missing", Reason.BROKEN), ("sound", Reason.BROKEN),
    ],
)  # fmt: skip
def test_what_gives_nothing_says_why(tmp_path, kind, reason):
    (gap,) = excerpts_of(Clip("a/b", bad(tmp_path / "v.mkv", kind)), MIDDLE)
    assert gap.reason is reason
    assert ("v.mkv" in gap.detail) == (reason is Reason.BROKEN)


def test_of_a_truncated_video_what_is_there_is_used(long, tmp_path, wave):
    path = tmp_path / "cut.mkv"
    content = long.video.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    some = list(excerpts_of(Clip("a/b", path), Choice(Select.MIDDLE, stretch_s=5, seconds=5)))
    assert 2 <= len(some) <= 3
    assert [numbers(one) for one in some[:2]] == [[25], [75]]
    assert np.array_equal(some[1].sound, wave[5 * RATE : 10 * RATE])


def test_a_decoder_that_trips_is_a_gap_too(short, monkeypatch):
    def trip(*_args, **_how):
        raise RecursionError("too deep")

    monkeypatch.setattr(excerpts, "read_sound", trip)
    (gap,) = excerpts_of(short, MIDDLE)
    assert gap == Gap(Reason.BROKEN, f"'{short.video}': RecursionError: too deep")


# Photos with sounds


def test_a_photo_goes_with_the_beginning_of_its_sound(tmp_path, wave):
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    photo = np.zeros((60, 100, 3), np.uint8)
    photo[:, 50:] = 200
    Image.fromarray(photo).save(tmp_path / "a.png")
    clip = Clip("x/a", tmp_path / "a.wav", tmp_path / "a.png")
    (one,) = excerpts_of(clip, Choice(seconds=5, size_px=30), Taste())
    assert np.array_equal(one.sound, wave[: 5 * RATE])
    assert one.frames[0].shape == (30, 50, 3)
    assert (one.frames[0][:, :20].max(), one.frames[0][:, 30:].min()) == (0, 200)
    assert (one.frames_s, one.scores, one.start_s) == ((), (), 0.0)
    soundfile.write(tmp_path / "a.wav", wave[:100], RATE)
    assert list(excerpts_of(clip, Choice())) == [Gap(Reason.SHORT)]
    soundfile.write(tmp_path / "a.wav", 0 * wave, RATE)
    (gap,) = excerpts_of(clip, Choice())
    assert gap.reason is Reason.SILENT


# Arithmetic


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [(3, [3]), (10, [10]), (14.9, [14.9]), (15, [10, 15]), (20, [10, 20]), (24.9, [10, 24.9])],
)
def test_a_rest_shorter_than_half_a_stretch_joins_the_one_before(seconds, ends):
    pieces = Span.of(2, 2 + seconds).cut(10)
    assert [piece.last_s - 2 for piece in pieces] == pytest.approx(ends)
    assert [piece.first for piece in pieces[1:]] == [piece.last for piece in pieces[:-1]]


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1080, 1920), (256, 455)), ((640, 360), (455, 256)), ((144, 96), (144, 96))],
)
def test_the_shorter_side_is_brought_down_and_never_up(size, shown):
    assert excerpts.frame_size(*size, 256) == shown


def test_frames_are_of_one_size_upright_and_in_their_colours(tmp_path):
    flat = np.broadcast_to(to_uint8(np.full((3, 1, 1), 0.2)), (120, 200, 3)).copy()
    flat[..., 0] = 30
    path = write_video(tmp_path / "v.mkv", [flat] * 20, FPS, noise(2)[:, None] / 32768, RATE)
    (one,) = excerpts_of(Clip("a/b", path), Choice(Select.MIDDLE, size_px=60))
    assert one.frames[0].shape == (60, 100, 3)
    assert np.abs(one.frames[0].astype(int) - flat[0, 0]).max() < 6


@pytest.mark.parametrize(
    "wrong",
    [{"top": 0}, {"rate": 0}, {"stretch_s": 0.1}, {"seconds": float("nan")}, {"size_px": 1}],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Choice(**wrong)
