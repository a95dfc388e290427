"""``s2s film`` on a tiny model, as the shell meets it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from conftest import RATE, tone

from s2s_cli.picture.provenance import read_provenance

CHEAP = ("--fps", 4, "--window", 1)


@pytest.fixture
def film(s2s, tiny_model):
    """``s2s film`` with the tiny model."""
    return lambda *arguments: s2s("film", "--model", tiny_model, *CHEAP, *arguments)


def shown(path) -> tuple[int, float]:
    """How many frames, and for how long."""
    with av.open(str(path)) as container:
        assert [s.type for s in container.streams] == ["video", "audio"]
        return sum(1 for _ in container.decode(video=0)), container.duration / 1e6


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sound_becomes_a_film_named_after_it_and_only_its_path_is_printed(
    film, low_wav, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = film("low.wav")
    assert (said.code, said.lines, said.err) == (0, ["low.mp4"], "")
    assert shown("low.mp4") == (8, 2.0)
    assert names(tmp_path) == ["low.mp4", "low.wav"]


@pytest.mark.parametrize(
    ("out", "written"),
    [("a", "a/low.mp4"), ("b.d/", "b.d/low.mp4"), ("c/d.webm", "c/d.webm"), ("E.MP4", "E.MP4")],
)
def test_out_is_a_folder_unless_it_ends_like_a_film(
    film, low_wav, tmp_path, monkeypatch, out, written
):
    monkeypatch.chdir(tmp_path)
    assert film(low_wav, "-o", out).lines == [written]
    assert shown(written)[0] == 8


def test_a_film_knows_its_making(s2s, film, low_wav, tiny_model, tmp_path):
    path = tmp_path / "film.webm"
    said = film(
        low_wav, "-o", path, "-s", 7, "--still", "--beat", 0.5, "--smooth", 0, "--size", 48,
        "--start", 0.5, "--length", 1, "--truncation", 0.5, "--json",
    )  # fmt: skip
    assert json.loads(said.out) == {
        "path": str(path),
        "status": "written",
        "sources": [str(low_wav)],
        "seed": 7,
        "model": str(tiny_model),
        "seconds": 1.0,
    }
    made = json.loads(s2s("info", path, "--json").out)
    assert made["command"] == "film"
    assert made["seed"] == 7
    assert made["options"] == {
        "start_s": 0.5, "length_s": 1.0, "fps": 4.0, "window_s": 1.0, "smooth_s": 0.0,
        "drift_s": 0.0, "beat": 0.5, "truncation": 0.5, "size_px": 48,
    }  # fmt: skip
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (48, 48)


def test_a_film_that_is_there_is_kept_and_another_never_overwritten_unasked(
    film, low_wav, tmp_path
):
    path = tmp_path / "film.mp4"
    film(low_wav, "-o", path)
    before = path.stat().st_mtime_ns
    assert json.loads(film(low_wav, "-o", path, "--json").out)["status"] == "kept"
    refused = film(low_wav, "-o", path, "--seed", 1)
    assert (refused.code, refused.out) == (1, "")
    assert "made in another way: replace it with --force" in refused.err
    assert path.stat().st_mtime_ns == before
    assert film(low_wav, "-o", path, "--seed", 1, "--force").code == 0
    assert read_provenance(path).seed == 1
    assert names(tmp_path) == ["film.mp4", "low.wav"]


def test_the_same_command_gives_the_same_bytes(film, low_wav, tmp_path):
    for name in "ab":
        film(low_wav, "-o", tmp_path / f"{name}.mp4", "--beat", 1)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_video_is_filmed_by_its_sound_track(film, low_wav, tmp_path):
    first = film(low_wav, "-o", tmp_path / "first.mp4").lines[0]
    said = film(first, "-o", tmp_path / "second.mp4")
    assert (said.code, shown(said.lines[0])) == (0, (8, 2.0))


def test_a_film_does_not_replace_its_own_sound(film, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(low_wav)
    before = Path("low.mp4").read_bytes()
    said = film("low.mp4", "--force", "--seed", 1)
    assert said.code == 1
    assert "is the sound itself: choose another place for its film with --out" in said.err
    assert Path("low.mp4").read_bytes() == before


def test_standard_input_is_a_sound(film, low_wav, tmp_path, monkeypatch):
    with low_wav.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file, isatty=lambda: False))
        said = film("-", "-o", f"{tmp_path}/")
    assert said.lines == [f"{tmp_path}/stdin.mp4"]
    assert shown(said.lines[0]) == (8, 2.0)


def test_a_dry_run_hears_the_sound_and_writes_nothing(film, low_wav, tmp_path):
    said = film(low_wav, "-o", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(said.out)["status"] == "planned"
    assert names(tmp_path) == ["low.wav"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "There is no file"), ("", "is empty"), ("not a sound", "cannot be decoded")],
)
def test_a_bad_sound_ends_in_one_sentence_and_leaves_nothing(film, tmp_path, content, words):
    path = tmp_path / "sound.wav"
    if content is not None:
        path.write_text(content)
    before = names(tmp_path)
    said = film(path, "-o", tmp_path / "out")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert names(tmp_path) == before


def test_a_film_is_of_one_sound(film, low_wav, high_wav, tmp_path):
    said = film(tmp_path, "-o", tmp_path / "out")
    assert said.code == 2
    assert "a film is of one" in " ".join(said.err.replace("│", " ").split())
    assert film("").code == 1


def test_an_ending_that_is_no_film_is_a_sentence(film, low_wav, tmp_path):
    said = film(low_wav, "-o", tmp_path / "out.gif")
    assert said.code == 1
    assert "let the name end in .mp4, .webm, or in / for a folder" in said.err


@pytest.mark.parametrize(
    "wrong",
    [("--fps", 0), ("--fps", "nan"), ("--length", 0), ("--length", "nan"), ("--window", 0),
     ("--smooth", -1), ("--drift", 0), ("--beat", 2), ("--beat", "nan")],
)  # fmt: skip
def test_a_value_out_of_range_is_wrong_usage(film, low_wav, wrong):
    said = film(low_wav, *wrong)
    assert (said.code, said.out) == (2, "")


def test_a_folder_that_may_not_be_written_to_is_said_before_anything_is_painted(
    film, low_wav, tmp_path
):
    (tmp_path / "file").touch()
    said = film(low_wav, "-o", tmp_path / "file" / "film.mp4")
    assert said.code == 1
    assert "part of that path is a file" in said.err


# Real signals, in a process of its own

RUN = "from s2s_cli import filming; filming.PART_S = 1; from s2s_cli.app import main; main()"


def start(tiny_model, sound: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, "film", sound, "-o", out, "-m", tiny_model, "--fps", 24]
    return subprocess.Popen(
        [str(word) for word in [*command, "--window", 1, "--json"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets its background jobs ignore Ctrl-C, and these tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="module")
def long_wav(tmp_path_factory) -> Path:
    """Six seconds: six parts."""
    path = tmp_path_factory.mktemp("sounds") / "long.wav"
    soundfile.write(path, np.concatenate([tone(h, 2) for h in (200, 900, 3000)]), RATE)
    return path


@pytest.fixture(scope="module")
def unbroken(tiny_model, long_wav, tmp_path_factory) -> bytes:
    """The film that no one interrupts."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    start(tiny_model, long_wav, path).communicate(timeout=120)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_run_that_was_stopped_goes_on_and_its_film_is_the_unbroken_one(
    tiny_model, tmp_path, long_wav, unbroken, sent, code
):
    path, parts = tmp_path / "film.mp4", tmp_path / ".film.mp4.parts"
    process = start(tiny_model, long_wav, path)
    patience = time.monotonic() + 60
    while not (parts / "00001.mp4").exists() and time.monotonic() < patience:
        time.sleep(0.01)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    if sent == signal.SIGKILL:
        assert not path.exists()
    else:
        told = json.loads(out)
        assert told["status"] == "unfinished"
        frames, seconds = shown(path)
        assert 48 <= frames < 6 * 24
        assert seconds == pytest.approx(told["seconds"], abs=0.07)
        assert "the same command goes on from there" in err
    assert {"00000.mp4", "00001.mp4"} <= set(names(parts))

    again = start(tiny_model, long_wav, path)
    out, err = again.communicate(timeout=120)
    assert (again.returncode, json.loads(out)["status"]) == (0, "written")
    assert path.read_bytes() == unbroken
    assert names(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_redo_films_the_same_bytes(s2s, film, low_wav, tmp_path, ending):
    path = tmp_path / f"film.{ending}"
    film(low_wav, "--beat", 0.5, "--seed", 3, "-o", path)
    said = s2s("redo", path)
    assert (said.code, said.lines) == (0, [str(tmp_path / f"film-redo.{ending}")]), said.err
    assert Path(said.lines[0]).read_bytes() == path.read_bytes()


def test_redo_of_a_film_wants_the_same_sound(s2s, film, low_wav, high_wav, tmp_path):
    film(low_wav, "-o", tmp_path / "film.mp4")
    said = s2s("redo", tmp_path / "film.mp4", "--sound", high_wav)
    assert said.code == 1
    assert "is another sound" in said.err
