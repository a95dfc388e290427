"""A video's pictures come in order, at their time, upright and in their colours."""

from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from videos import barcode, number_of, turn_by_metadata, write_video

from s2s_cli.errors import PictureError
from s2s_cli.picture.image import psnr_db
from s2s_cli.picture.video import open_video

CORNERS = np.zeros((32, 48, 3), np.uint8)
CORNERS[:8, :8], CORNERS[:8, -8:], CORNERS[-8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.mark.parametrize("rate", [Fraction(30_000, 1001), Fraction(25), Fraction(2997, 100)])
@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx-vp9")]
)
def test_every_picture_once_and_in_order(tmp_path, rate, ending, codec):
    path = tmp_path / f"video.{ending}"
    write_video(path, (barcode(k) for k in range(41)), rate, codec=codec, pixels="yuv420p")
    with open_video(path) as video:
        assert video.frames == 41
        assert float(video.rate) == pytest.approx(float(rate), rel=1e-6)
        assert (video.height, video.width, video.sounds) == (32, 48, False)
        assert video.remarks == ()
        assert [number_of(picture) for picture in video.pictures()] == list(range(41))
        assert [number_of(picture) for picture in video.pictures(17)] == list(range(17, 41))
        assert [number_of(picture) for picture in islice(video.pictures(), 3)] == [0, 1, 2]


def test_an_unsteady_pace_becomes_its_average_and_every_moment_shows_what_it_did(tmp_path):
    times_s = np.cumsum([0, *np.random.default_rng(0).uniform(0.02, 0.2, 59)]).round(3)
    path = write_video(
        tmp_path / "phone.mkv", (barcode(k) for k in range(60)), 10, times_s=times_s.tolist()
    )
    with open_video(path) as video:
        assert any("no steady pace" in remark for remark in video.remarks)
        assert float(video.rate) == pytest.approx(59 / times_s[-1], rel=0.02)
        assert video.frames / float(video.rate) == pytest.approx(times_s[-1], abs=0.3)
        told = [number_of(picture) for picture in video.pictures()]
        assert len(told) == video.frames
        for number, picture in enumerate(told):
            middle_s = (number + 0.5) / float(video.rate)
            assert picture == int(np.searchsorted(times_s, middle_s + 1e-6)) - 1


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # a quarter clockwise, as phones held upright
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),  # a mirror, as selfies
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    ],
)
def test_pictures_are_upright(tmp_path, matrix, turned):
    path = write_video(tmp_path / "turned.mp4", [CORNERS] * 3)
    turn_by_metadata(path, matrix)
    with open_video(path) as video:
        picture = next(video.pictures())
        assert (video.height, video.width) == picture.shape[:2] == turned(CORNERS).shape[:2]
        assert psnr_db(picture, turned(CORNERS)) > 30


def test_pixels_become_square_by_stretching_never_by_losing_any(tmp_path):
    for aspect, size in ((Fraction(2), (32, 96)), (Fraction(1, 2), (64, 48))):
        path = write_video(tmp_path / "wide.mp4", [CORNERS] * 2, aspect=aspect)
        with open_video(path) as video:
            assert next(video.pictures()).shape[:2] == size == (video.height, video.width)
    turn_by_metadata(path, (0, 1, -1, 0))
    with open_video(path) as video:
        assert next(video.pictures()).shape[:2] == (48, 64)


def test_a_size_is_of_the_longer_side(tmp_path):
    with open_video(write_video(tmp_path / "v.mp4", [CORNERS] * 2)) as video:
        assert next(video.scaled(24).pictures()).shape == (16, 24, 3)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le"])
def test_colours_are_those_that_went_in(tmp_path, pixels):
    """Flat ones, which no sharing of colour among pixels can change."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (250, 250, 250), (128, 128, 128)]
    flat = [np.full((32, 32, 3), colour, np.uint8) for colour in colours]
    with open_video(write_video(tmp_path / "v.mp4", flat, pixels=pixels)) as video:
        for picture, colour in zip(video.pictures(), colours, strict=True):
            assert np.abs(picture.reshape(-1, 3).mean(axis=0) - colour).max() < 6


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "webm"])
@pytest.mark.parametrize("late_s", [0.0, 0.5])
def test_a_sound_track_that_begins_late_is_known_to(tmp_path, ending, late_s):
    codec = "libvpx-vp9" if ending == "webm" else "libx264"
    wave = np.zeros((48_000, 1))
    path = write_video(
        tmp_path / f"v.{ending}", [CORNERS] * 20, 10, wave,
        sound_late_s=late_s, codec=codec, pixels="yuv420p",
    )  # fmt: skip
    with open_video(path) as video:
        assert video.sounds
        assert video.sound_late_s == pytest.approx(late_s, abs=0.025)  # 1024 samples of AAC


def test_of_a_truncated_video_what_is_there_is_shown(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 48, 3), np.uint8)
    path = write_video(tmp_path / "v.mkv", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(path) as video:
        assert 10 <= video.frames < 30
        assert sum(1 for _ in video.pictures()) == video.frames


def bad(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("a video, honestly")
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut":
        write_video(path, [CORNERS] * 20)
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "playlist":
        path.write_text("#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    elif kind == "sound":
        write_video(path, [], wave=np.zeros((48_000, 1)))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "There is no video"), ("empty", "is empty"), ("folder", "is a directory"),
        ("text", "cannot be read as a video"), ("cut", "cannot be read as a video"),
        ("playlist", "cannot be read as a video"), ("sound", "no moving pictures"),
    ],
)  # fmt: skip
def test_what_is_no_video_is_said_in_a_sentence(tmp_path, kind, words):
    path = bad(tmp_path / "v.mp4", kind)
    with pytest.raises(PictureError, match=words) as error, open_video(path):
        pass
    assert str(path) in str(error.value)
