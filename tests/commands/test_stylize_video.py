"""``s2s stylize`` with a video, as the shell meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RATE, tone
from PIL import Image
from videos import barcode, heard, shown, write_video

from s2s_cli.picture.provenance import read_provenance


@pytest.fixture
def stylize(s2s, style_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: s2s("stylize", "-m", style_model, *arguments)


@pytest.fixture
def clip(tmp_path) -> Path:
    """A second of ten frames with a sound."""
    return write_video(
        tmp_path / "clip.mp4",
        (barcode(k) for k in range(10)), 10, tone(300, 1)[:, None], RATE,
    )  # fmt: skip


@pytest.fixture
def mute(tmp_path) -> Path:
    return write_video(tmp_path / "mute.mp4", (barcode(k) for k in range(10)), 10)


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_a_video_is_restyled_by_its_own_sound_and_only_its_path_is_printed(stylize, clip):
    said = stylize("clip.mp4")
    assert (said.code, said.lines, said.err) == (0, ["clip-stylized.mp4"], "")
    assert shown("clip-stylized.mp4").shape == (10, 32, 48, 3)
    assert names() == ["clip-stylized.mp4", "clip.mp4"]


def test_a_video_is_restyled_by_another_sound_even_one_of_another_video(
    stylize, clip, mute, low_wav
):
    assert stylize("mute.mp4", "low.wav").lines == ["mute-low.mp4"]
    assert stylize("mute.mp4", "clip.mp4", "-o", "out/").lines == ["out/mute-clip.mp4"]
    assert heard("mute-low.mp4")[0].shape[1] == pytest.approx(RATE, abs=2048)


def test_the_ending_of_a_webm_stays_and_out_may_ask_for_another(stylize, tmp_path):
    write_video(
        tmp_path / "clip.webm", [barcode(1)] * 5, 10, tone(300, 1).repeat(3)[:, None],
        codec="libvpx-vp9", pixels="yuv420p",
    )  # fmt: skip
    assert stylize("clip.webm").lines == ["clip-stylized.webm"]
    assert stylize("clip.webm", "-o", "x.mp4").lines == ["x.mp4"]
    assert stylize("clip.webm", "-o", "x.gif").code == 1


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_redo_makes_the_same_bytes_and_info_tells_how(stylize, s2s, clip, low_wav, ending):
    path = Path(f"out.{ending}")
    said = stylize(
        clip, low_wav, "--gain-curve", "0:-24, 0.8:12", "--strength", 0.7, "--smooth", 0.4,
        "--steady", 0.3, "--start", 0.2, "--length", 0.5, "--size", 40, "-o", path, "--json",
    )  # fmt: skip
    told = json.loads(said.lines[0])
    assert (told["status"], told["seconds"]) == ("written", 0.5)
    made = json.loads(s2s("info", path, "--json").out)
    assert [source["role"] for source in made["sources"]] == ["video", "sound"]
    assert made["options"] == {
        "start_s": 0.2, "length_s": 0.5, "size_px": 40, "truncation": 1.0, "strength": 0.7,
        "moments_s": [0, 0.8], "gains_db": [-24, 12], "smooth_s": 0.4, "steady": 0.3,
    }  # fmt: skip
    again = s2s("redo", path)
    assert (again.code, again.lines) == (0, [f"out-redo.{ending}"]), again.err
    assert Path(again.lines[0]).read_bytes() == path.read_bytes()


def test_redo_wants_the_same_video_and_spares_it(stylize, s2s, clip, mute, tmp_path):
    stylize("clip.mp4", "-o", "out.mp4")
    said = s2s("redo", "out.mp4", "--source", "mute.mp4", "-o", "other.mp4")
    assert said.code == 1
    assert "no sound track" in said.err or "is another video" in said.err
    moved = clip.rename(tmp_path / "moved.mp4")
    before = moved.read_bytes()
    assert s2s("redo", "out.mp4", "--source", "moved.mp4", "-o", "moved.mp4", "-f").code == 1
    assert moved.read_bytes() == before
    assert s2s("redo", "out.mp4", "--source", "moved.mp4").code == 0
    assert Path("out-redo.mp4").read_bytes() == Path("out.mp4").read_bytes()


def test_what_is_there_is_kept_and_another_never_overwritten_unasked(stylize, clip):
    stylize(clip)
    assert json.loads(stylize(clip, "--json").out)["status"] == "kept"
    refused = stylize(clip, "--gain", 3)
    assert (refused.code, refused.out) == (1, "")
    assert "made in another way" in refused.err
    assert stylize(clip, "--gain", 3, "--force").code == 0
    assert read_provenance(Path("clip-stylized.mp4")).options["gains_db"] == [3]
    before = clip.read_bytes()
    assert stylize(clip, "-o", clip, "--force").code == 1
    assert clip.read_bytes() == before


def test_a_dry_run_writes_nothing(stylize, clip):
    assert json.loads(stylize(clip, "--dry-run", "--json").out)["status"] == "planned"
    assert names() == ["clip.mp4"]


def test_a_sound_too_loud_is_told(stylize, clip):
    assert "quieter in the video" in words(stylize(clip, "--gain", 20).err)


def test_a_video_without_sound_asks_for_one(stylize, mute):
    said = stylize("mute.mp4")
    assert (said.code, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert "'mute.mp4' has no sound track: name a sound behind it" in said.err
    assert names() == ["mute.mp4"]


@pytest.mark.parametrize(
    "options",
    [
        ["--sheet"], ["--volume-sweep", 3], ["--mix-sweep", 3], ["--mix", "low.wav"],
        ["--ratio", 0.5], ["--bounce"], ["--once"], ["--fps", 6], ["--show"], ["--from", -3],
    ],
    ids=lambda options: options[0],
)  # fmt: skip
def test_what_is_for_photos_is_refused_for_a_video(stylize, clip, low_wav, options):
    said = stylize(clip, *options)
    assert (said.code, said.out) == (2, "")
    assert "is for photos, not for a video" in words(said.err)


@pytest.mark.parametrize(
    "options", [["--gain-curve", "0:1"], ["--smooth", 1], ["--steady", 0], ["--length", 2]]
)
def test_what_is_for_a_video_is_refused_for_photos(stylize, low_wav, options):
    Image.fromarray(barcode(3)).save("photo.png")
    said = stylize("photo.png", low_wav, *options)
    assert (said.code, said.out) == (2, "")
    assert "is for a video, not for photos" in words(said.err)


@pytest.mark.parametrize(
    "curve",
    ["", "loud", "3", "0:nan", "nan:0", "0:-24,0:12", "5:0,1:3", "-1:0", "0:1:2", "0:99", "0:inf",
     "0:1,", "0:1,2"],
)  # fmt: skip
def test_nonsense_in_a_curve_is_wrong_usage(stylize, clip, curve):
    said = stylize(clip, f"--gain-curve={curve}")
    assert (said.code, said.out) == (2, "")
    assert "write decibels at seconds" in words(said.err)
    assert names() == ["clip.mp4"]


def test_sources_that_make_no_sense_together_are_wrong_usage(stylize, clip, mute, low_wav):
    Image.fromarray(barcode(3)).save("photo.png")
    for more in ([mute, low_wav], ["photo.png"], [low_wav, low_wav], [Path()]):
        assert stylize(clip, *more).code == 2, more
    assert stylize(clip, "--gain", 1, "--gain-curve", "0:1").code == 2
    for wrong in (("--steady", 0.95), ("--steady", "nan"), ("--smooth", -1), ("--length", "nan")):
        assert stylize(clip, *wrong).code == 2


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "sound", "1x1"])
def test_a_bad_video_is_one_sentence_and_leaves_nothing_behind(stylize, low_wav, kind):
    path = Path("bad.mp4")
    if kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "no video")
    elif kind == "cut":
        write_video(path, [barcode(k) for k in range(10)])
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "sound":
        write_video(path, [], wave=np.zeros((48_000, 1)))
    elif kind == "1x1":
        write_video(path, [np.zeros((1, 1, 3), np.uint8)] * 3)
    before = names()
    said = stylize(path, low_wav)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "bad.mp4" in said.err
    assert names() == before
