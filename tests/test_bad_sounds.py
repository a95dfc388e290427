"""Every sound that cannot be painted, through the installed command: one sentence, exit code 1."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from shell import installed_s2s as s2s

RATE = 16_000
NOISE = 0.3 * np.random.default_rng(0).standard_normal(2 * RATE).clip(-3, 3) / 3


def silent_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for shade in range(5):
            pixels = np.full((32, 32, 3), shade * 40, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def broken_mp4(path: Path) -> None:
    silent_video(path)
    path.write_bytes(path.read_bytes()[:200])


def with_nan(path: Path) -> None:
    wave = NOISE.copy()
    wave[RATE : RATE + 3] = np.nan
    soundfile.write(path, wave, RATE, subtype="FLOAT")


def secret(path: Path) -> None:
    soundfile.write(path, NOISE, RATE)
    path.chmod(0)


# What the file is called, how it is made, and what its sentence must say.
BAD = {
    "silence": ("silence.wav", lambda p: soundfile.write(p, 0 * NOISE, RATE), "is silent"),
    "nan": ("nan.wav", with_nan, "holds 3 samples that are NaN or infinite, the first at 1 s"),
    "no samples": ("none.wav", lambda p: soundfile.write(p, NOISE[:0], RATE), "holds 0 samples"),
    "no bytes": ("empty.wav", lambda p: p.touch(), "is empty (0 bytes)"),
    "text": ("text.wav", lambda p: p.write_text("hello"), "cannot be decoded"),
    "broken mp4": ("broken.mp4", broken_mp4, "cannot be decoded"),
    "no sound track": ("mute.mp4", silent_video, "has no sound track"),
    "missing": ("missing.wav", lambda p: None, "There is no file"),
    "no permission": ("secret.wav", secret, "may not be read"),
    "empty folder": ("folder", lambda p: p.mkdir(), "holds no sounds"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_sound_ends_in_one_sentence_and_leaves_nothing(what, tiny_model, tmp_path):
    name, make, sentence = BAD[what]
    make(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    said = s2s("generate", name, "--model", tiny_model, cwd=tmp_path)
    assert said.returncode == 1
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    assert said.stderr.startswith("error: ")
    assert said.stderr.count("\n") == 1
    assert name in said.stderr
    assert sentence in said.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_may_not_be_written_to(tiny_model, tmp_path):
    soundfile.write(tmp_path / "noise.wav", NOISE, RATE)
    (tmp_path / "closed").mkdir(mode=0o500)
    said = s2s("generate", "noise.wav", "-o", "closed/", "--model", tiny_model, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (1, "")
    assert "Cannot write 'closed/noise.png': you may not write there" in said.stderr
    assert list((tmp_path / "closed").iterdir()) == []


def ten_ms(path: Path) -> None:
    soundfile.write(path, NOISE[: RATE // 100], RATE)


def an_hour(path: Path) -> None:
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(360):
            file.write(np.resize(NOISE, 10 * RATE))


def truncated(path: Path) -> None:
    soundfile.write(path, NOISE, RATE)
    path.write_bytes(path.read_bytes()[: 44 + RATE])


# Sounds that are odd, but can be painted; what is said on standard error.
ODD = {
    "10 ms": ("short.wav", ten_ms, "gives 0.01 s, repeated where 10 s are wanted"),
    "one hour": ("hour.wav", an_hour, "lasts 3600 s; 10 s of it were heard, from 0 s on"),
    "truncated": ("cut.wav", truncated, "breaks off early"),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_sound_is_painted_with_a_remark(what, tiny_model, tmp_path):
    name, make, remark = ODD[what]
    make(tmp_path / name)
    said = s2s("generate", name, "--model", tiny_model, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (0, f"{Path(name).stem}.png\n")
    assert remark in said.stderr
    assert "error" not in said.stderr
