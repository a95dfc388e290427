"""Any file becomes the same wave, and every file that cannot becomes one sentence."""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import PEAK_BYTES
from PIL import Image

from s2s_cli.audio import sound
from s2s_cli.audio.sound import STDIN, find_sounds, fit, read_sound
from s2s_cli.errors import SoundError

RATE = 44_100  # Hz, of the files written here
OUT = 16_000  # Hz, as the networks hear

WAV = {"wav-" + kind.lower(): kind for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")}
CODECS = {
    ".mp3": "libmp3lame",
    ".m4a": "aac",
    ".aac": "aac",
    ".mp4": "aac",
    ".mov": "pcm_s16le",
    ".mkv": "flac",
    ".webm": "libopus",
}
VIDEO = {".mp4": "mpeg4", ".mov": "mpeg4", ".mkv": "mpeg4", ".webm": "libvpx"}
FORMATS = [*WAV, ".flac", ".ogg", ".opus", *CODECS]
EXACT = {".mov", ".mkv", ".flac", *WAV}  # no more than rounding lies between wave and file


def tone(seconds=3.0, rate=RATE, channels=2, hz=1000.0, amplitude=0.5):
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def noise(seconds=3.0, rate=RATE, seed=0):
    """Noise below 5 kHz, where every format keeps all of it; a delay of one sample would show."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 0.2, round(seconds * rate)))
    spectrum[round(5000 * seconds) :] = 0
    return np.fft.irfft(spectrum)[:, None].repeat(2, axis=1).astype(np.float32)


def write(folder: Path, kind: str, wave: np.ndarray, rate: int = RATE, **options: str) -> Path:
    """A file of one of ``FORMATS``; Opus knows no 44.1 kHz, so that FFmpeg resamples for it."""
    if kind in WAV:
        path = folder / f"{kind}.wav"
        soundfile.write(path, wave, rate, subtype=WAV[kind])
        return path
    path = folder / f"sound{kind}"
    if kind in CODECS:
        mux(path, wave, rate, CODECS[kind], VIDEO.get(kind), options)
        return path
    subtype = {".ogg": "VORBIS", ".opus": "OPUS", ".flac": "PCM_16"}[kind]
    if kind == ".opus":
        wave, rate = np.asarray(resample(wave, rate, 48_000)), 48_000
    with soundfile.SoundFile(
        path, "w", rate, wave.shape[1], subtype, format="FLAC" if kind == ".flac" else "OGG"
    ) as file:
        for i in range(0, len(wave), 4096):  # libsndfile 1.2.2 crashes on long Vorbis in one call
            file.write(wave[i : i + 4096])
    return path


def resample(wave, rate, to):
    import soxr

    return soxr.resample(wave, rate, to)


def draw(container, track, frames):
    track.width = track.height = 64
    track.pix_fmt = "yuv420p"
    for i in range(frames):
        frame = av.VideoFrame(64, 64, "yuv420p")
        frame.pts = i
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


def mux(path, wave, rate, codec, video, options, **tags):
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(tags)
        pictures = video and container.add_stream(video, rate=10)
        track = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate)
        track.layout = "stereo"
        if pictures:
            draw(container, pictures, len(wave) * 10 // rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, 0
        context = track.codec_context
        fitting = av.AudioResampler(
            context.format, "stereo", context.sample_rate, context.frame_size or 0
        )
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(track.encode(part))
        container.mux(track.encode(None))


def delay(late, early):
    """Seconds by which one wave lags the other, at ``OUT``."""
    likeness = np.fft.irfft(np.fft.rfft(late) * np.conj(np.fft.rfft(early)))
    lag = likeness.argmax()
    return (lag if lag < len(late) / 2 else lag - len(late)) / OUT


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tone_is_the_same_tone_in_every_format(tmp_path, kind):
    heard = read_sound(write(tmp_path, kind, tone()), sample_rate=OUT, seconds=10)

    # Raw AAC has no header that could tell how much of its last frame is padding.
    padding = 0.08 if kind == ".aac" else 0.0
    assert 3 <= len(heard.wave) / OUT <= 3 + padding + 1e-9
    assert heard.source_seconds == pytest.approx(3, abs=padding + 1e-9)
    assert heard.wave.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(heard.wave[OUT : 2 * OUT])) / (OUT / 2)  # 1 Hz a bin
    assert spectrum.argmax() == 1000
    assert spectrum[1000] == pytest.approx(0.5, rel=0.06 if kind == ".mp3" else 0.01)  # LAME's 5 %
    assert np.delete(spectrum, range(990, 1011)).max() < 0.01


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("start_s", [0.3, 1.7])
def test_a_window_is_that_part_of_the_whole(tmp_path, kind, start_s):
    """Seeking and resampling must not show, wherever the window begins."""
    path = write(tmp_path, kind, noise())
    whole = read_sound(path, sample_rate=OUT, seconds=10).wave
    part = read_sound(path, sample_rate=OUT, seconds=1, start_s=start_s).wave
    there = whole[round(start_s * OUT) :][:OUT]
    assert len(part) == OUT
    if kind in (".mkv", ".webm"):  # they count milliseconds
        assert abs(delay(part, there)) <= 0.001
    else:
        tolerance = 0.05 if "aac" in (kind, CODECS.get(kind)) else 1e-5  # AAC decodes with dither
        assert np.abs(part - there).max() < tolerance


@pytest.mark.parametrize("kind", sorted(EXACT - {"wav-pcm_u8"}))
def test_lossless_formats_lose_nothing(tmp_path, kind):
    wave = noise()
    heard = read_sound(write(tmp_path, kind, wave), sample_rate=RATE, seconds=10)
    assert np.abs(heard.wave - wave[:, 0]).max() < 2**-14


def test_a_delay_between_picture_and_sound_is_not_introduced(tmp_path):
    """Encoders prepend silence to prime themselves; it must be gone again."""
    wave = noise()
    for kind in (".mp3", ".m4a", ".mp4", ".webm", ".ogg", ".opus"):
        heard = read_sound(write(tmp_path, kind, wave), sample_rate=OUT, seconds=10).wave
        assert delay(heard[:OUT], resample(wave[:, 0], RATE, OUT)[:OUT]) == 0, kind


def test_channels_are_averaged(tmp_path):
    path = write(tmp_path, "wav-float", np.stack([0.5 * np.ones(RATE), np.zeros(RATE)], axis=1))
    assert read_sound(path, sample_rate=RATE, seconds=1).wave == pytest.approx(0.25)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 48_000, 96_000])
def test_any_rate_arrives_at_the_networks_rate(tmp_path, rate):
    path = write(tmp_path, "wav-pcm_16", tone(1, rate, channels=1), rate)
    heard = read_sound(path, sample_rate=OUT, seconds=1).wave
    assert len(heard) == OUT
    expected = tone(1, OUT, channels=1)[:, 0]
    assert np.abs(heard - expected)[800:-800].max() < 1e-3  # away from where the sound breaks off


def test_what_was_heard_is_recorded(tmp_path):
    path = write(tmp_path, "wav-pcm_16", tone())
    heard = read_sound(str(path), sample_rate=OUT, seconds=1, start_s=0.5)
    assert (heard.name, heard.start_s, heard.source_seconds) == ("wav-pcm_16.wav", 0.5, 3)
    assert heard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert heard.sample_rate == OUT


def pipe_in(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("kind", ["wav-pcm_16", ".mp3", ".mp4"])
def test_standard_input_is_a_file_like_any_other(tmp_path, monkeypatch, kind):
    path = write(tmp_path, kind, noise())
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    pipe_in(monkeypatch, path.read_bytes())
    piped = read_sound("-", sample_rate=OUT, seconds=1, start_s=1)
    named = read_sound(path, sample_rate=OUT, seconds=1, start_s=1)
    assert piped.name == "stdin"
    assert piped.sha256 == named.sha256
    assert np.array_equal(piped.wave, named.wave)
    assert not list(spool.iterdir())


def test_a_named_pipe_is_heard_too(tmp_path):
    """As in `s2s generate <(curl ...)`."""
    path, pipe = write(tmp_path, "wav-pcm_16", tone()), tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    heard = read_sound(pipe, sample_rate=OUT, seconds=1)
    writer.join()
    assert np.array_equal(heard.wave, read_sound(path, sample_rate=OUT, seconds=1).wave)


def test_a_pipe_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sound, "STDIN_BYTES", 3 << 20)
    pipe_in(monkeypatch, bytes(5 << 20))
    assert "gives more than" in refusal(STDIN)


REMARKS = [
    ("repeated", tone(0.01), {"seconds": 2}, "gives 0.01 s, repeated where 2 s are wanted"),
    ("long", tone(3), {"seconds": 1, "start_s": 1}, "lasts 3 s; 1 s of it were heard, from 1 s on"),
    ("hot", tone(1, amplitude=4), {"seconds": 1}, "reaches 4 times full scale"),
    ("plain", tone(1), {"seconds": 1}, None),
]


@pytest.mark.parametrize(("name", "wave", "window", "words"), REMARKS, ids=[r[0] for r in REMARKS])
def test_the_unexpected_is_remarked_upon(tmp_path, name, wave, window, words):
    heard = read_sound(write(tmp_path, "wav-float", wave), sample_rate=OUT, **window)
    if words is None:
        assert heard.remarks == ()
    else:
        assert len(heard.remarks) == 1
        assert words in heard.remarks[0]
        assert_one_sentence(heard.remarks[0])


def test_float_files_keep_what_lies_beyond_full_scale(tmp_path):
    path = write(tmp_path, "wav-float", tone(1, amplitude=4))
    assert np.array_equal(
        read_sound(path, sample_rate=RATE, seconds=1).wave, tone(1, amplitude=4)[:, 0]
    )


@pytest.mark.parametrize("kind", ["wav-pcm_16", ".flac", ".ogg", ".mp3", ".aac", ".webm", ".mkv"])
def test_of_a_truncated_file_is_heard_what_is_there(tmp_path, kind, capfd):
    path = write(tmp_path, kind, noise())
    whole = read_sound(path, sample_rate=OUT, seconds=10).wave
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    heard = read_sound(path, sample_rate=OUT, seconds=10)
    assert 0.2 < len(heard.wave) / len(whole) < 0.7
    assert np.abs(heard.wave - whole[: len(heard.wave)])[: OUT // 2].max() < 1e-4
    if kind in ("wav-pcm_16", ".flac"):  # whose headers count the samples
        assert any("breaks off early" in remark for remark in heard.remarks)
    assert capfd.readouterr().err == ""


def test_a_film_with_its_index_in_front_may_break_off(tmp_path):
    path = write(tmp_path, ".mp4", tone(), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    heard = read_sound(path, sample_rate=OUT, seconds=10)
    assert 0.5 < len(heard.wave) / OUT < 3
    assert any("breaks off early" in remark for remark in heard.remarks)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_recording_whose_header_was_never_finished_is_heard(tmp_path, size):
    """Programs that write into a pipe, or were killed, leave no length in the header."""
    path = write(tmp_path, "wav-pcm_16", tone())
    content, unknown = path.read_bytes(), size.to_bytes(4, "little")
    path.write_bytes(content[:4] + unknown + content[8:40] + unknown + content[44:])
    heard = read_sound(path, sample_rate=OUT, seconds=3)
    assert len(heard.wave) == 3 * OUT
    assert heard.remarks == ()


def test_a_damaged_mp3_is_heard_in_silence(tmp_path, capfd):
    """mpg123 would print to standard error; whoever pipes that would not thank us."""
    path = write(tmp_path, ".mp3", noise())
    content = bytearray(path.read_bytes())
    chance = np.random.default_rng(1)
    for place in chance.integers(2000, len(content), 60):
        content[place] = chance.integers(256)
    path.write_bytes(content)
    assert len(read_sound(path, sample_rate=OUT, seconds=10).wave) > OUT
    assert capfd.readouterr().err == ""


def test_tags_in_an_old_encoding_do_not_matter(tmp_path):
    """FFmpeg hands titles on as bytes; half the world's old files are not UTF-8."""
    path = tmp_path / "sound.avi"
    mux(path, tone(), RATE, "pcm_s16le", None, {}, title="Glocken")
    path.write_bytes(path.read_bytes().replace(b"Glocken", b"Gl\xf6cken"))
    assert len(read_sound(path, sample_rate=OUT, seconds=1).wave) == OUT


def assert_one_sentence(text: str) -> None:
    assert len(re.findall(r"[.!?](?=\s|$)", text)) == 1, text
    assert text.endswith(".")
    assert "\n" not in text


def refusal(path: Path, **window: float) -> str:
    with pytest.raises(SoundError) as caught:
        read_sound(path, sample_rate=OUT, **{"seconds": 2.0, **window})
    assert_one_sentence(str(caught.value))
    return str(caught.value)


def missing(folder):
    return folder / "sound.wav"


def directory(folder):
    return folder


def empty(folder):
    (folder / "sound.wav").touch()
    return folder / "sound.wav"


def text(folder):
    (folder / "sound.wav").write_text("I am not a sound.\n" * 99)
    return folder / "sound.wav"


def raw(folder):
    (folder / "sound.raw").write_bytes(bytes(999))
    return folder / "sound.raw"


def playlist(folder):
    """Hearing it would mean to open another file than the one named."""
    other = write(folder, ".aac", tone())
    (folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{other}\n#EXT-X-ENDLIST\n"
    )
    return folder / "list.m3u8"


def picture(folder):
    Image.new("RGB", (64, 64)).save(folder / "photo.png")
    return folder / "photo.png"


def silent_film(folder):
    with av.open(str(folder / "film.mp4"), "w") as container:
        draw(container, container.add_stream("mpeg4", rate=10), 10)
    return folder / "film.mp4"


def header(folder):
    return write(folder, "wav-pcm_16", tone(0))


def truncated_film(folder):
    path = write(folder, ".mp4", tone())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def not_numbers(folder):
    wave = tone(1)
    wave[RATE // 4, 0], wave[RATE // 2] = np.nan, np.inf
    return write(folder, "wav-float", wave)


def cancelling_infinities(folder):
    return write(folder, "wav-float", np.array([[np.inf, -np.inf]] * RATE, np.float32))


def silence(folder):
    return write(folder, "wav-pcm_24", tone(1, amplitude=5e-6))


def short(folder):
    return write(folder, "wav-pcm_16", tone(1))


def short_film(folder):
    return write(folder, ".webm", tone(1))


def locked(folder):
    path = write(folder, "wav-pcm_16", tone(1))
    path.chmod(0)
    return path


BAD = [
    (missing, {}, "There is no file .*check the path"),
    (directory, {}, "is a folder; name a file inside it"),
    (empty, {}, r"is empty \(0 bytes\)"),
    (text, {}, "cannot be decoded: it is not a sound"),
    (raw, {}, "cannot be decoded|no sound track"),
    (playlist, {}, "cannot be decoded|no sound track"),
    (picture, {}, "has no sound track"),
    (silent_film, {}, "has no sound track"),
    (header, {}, "holds 0 samples"),
    (truncated_film, {}, "cannot be decoded.*a part of it is missing"),
    (not_numbers, {}, r"holds 2 samples that are NaN or infinite, the first at 0.25 s"),
    (cancelling_infinities, {}, f"holds {RATE} samples that are NaN or infinite, the first at 0 s"),
    (silence, {}, r"is silent from 0 s to 1 s \(peak below -100 dB\).*--start"),
    (short, {"start_s": 1}, r"is over before 1 s \(it lasts 1 s\)"),
    (short, {"start_s": 1e9}, r"is over before 1e\+09 s \(it lasts 1 s\)"),
    (short_film, {"start_s": 7}, r"is over before 7 s \(it lasts 1\.0\d* s\)"),
]


@pytest.mark.parametrize(("make", "window", "words"), BAD, ids=[b[0].__name__ for b in BAD])
@pytest.mark.filterwarnings("error")
def test_a_bad_file_is_one_sentence(tmp_path, monkeypatch, capfd, make, window, words):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    message = refusal(path, **window)
    assert re.search(words, message)
    assert f"'{path}'" in message
    assert sorted(tmp_path.rglob("*")) == before
    assert capfd.readouterr().err == ""


def test_a_locked_file_says_so(tmp_path):
    path, user = locked(tmp_path), os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything, so be nobody for a moment
    try:
        assert "may not be read; check its permissions" in refusal(path)
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("content", [b"", b"not a sound"])
def test_bad_standard_input_is_one_sentence(tmp_path, monkeypatch, content):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pipe_in(monkeypatch, content)
    assert "Standard input" in refusal(STDIN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("window", [{"seconds": 0}, {"start_s": -1}, {"seconds": float("nan")}])
def test_a_window_that_cannot_be_is_the_callers_mistake(tmp_path, window):
    with pytest.raises(ValueError, match="expected seconds > 0"):
        read_sound(tmp_path / "any", sample_rate=OUT, **{"seconds": 1, **window})


MEASURE = (
    PEAK_BYTES
    + """
import av, soxr
from s2s_cli.audio.sound import read_sound

read_sound(sys.argv[1], sample_rate=16000, seconds=10)
before = peak_bytes()
heard = read_sound(sys.argv[2], sample_rate=16000, seconds=10, start_s=float(sys.argv[3]))
assert len(heard.wave) == 160000, len(heard.wave)
print(peak_bytes() - before)
"""
)


def long_wav(folder):
    """Twenty minutes, of which the disk holds only the last ten seconds."""
    path, silent = write(folder, "wav-pcm_16", tone(10)), 1190 * RATE * 4  # bytes
    content = path.read_bytes()
    size = silent + len(content) - 44
    header = content[:4] + (36 + size).to_bytes(4, "little") + content[8:40]
    with path.open("wb") as file:
        file.write(header + size.to_bytes(4, "little"))
        file.seek(44 + silent)
        file.write(content[44:])
    return path


def long_mp3(folder):
    """An hour of the same ten seconds, in frames that no header counts."""
    path = write(folder, ".mp3", tone(10), write_xing="0", id3v2_version="0")
    path.write_bytes(path.read_bytes() * 360)
    return path


@pytest.mark.parametrize(("make", "start_s"), [(long_wav, 1190), (long_mp3, 3000)])
def test_memory_does_not_grow_with_the_file(tmp_path, make, start_s):
    short_file = write(tmp_path, "wav-float", tone(10))
    arguments = [str(short_file), str(make(tmp_path)), str(start_s)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 20e6  # the wave alone would be 200 MB of wav, or 1.3 GB of MP3
    assert done.stderr == ""


def test_folders_are_walked_in_order_and_files_are_passed_on(tmp_path):
    for name in ("b/2.MP3", "b/1.wav", "a.flac", "notes.txt", ".hidden.wav", ".git/x.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    gone = tmp_path / "gone.xyz"
    found = find_sounds([gone, tmp_path, STDIN])
    assert found == [gone, *(tmp_path / n for n in ("a.flac", "b/1.wav", "b/2.MP3")), STDIN]


def test_a_folder_without_sounds_is_one_sentence(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SoundError) as caught:
        find_sounds([tmp_path])
    assert "holds no sounds" in str(caught.value)
    assert_one_sentence(str(caught.value).replace("such as .wav or .mp3.", "such as sounds."))


def test_a_short_sound_repeats_and_a_long_one_is_cut():
    wave = np.array([1, 2, 3], np.float32)
    assert fit(wave, 7).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert fit(wave, 2).tolist() == [1, 2]
    with pytest.raises(ValueError, match="at least one sample"):
        fit(wave[:0], 2)


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.dictionaries(st.integers(0, 400), st.integers(0, 255), max_size=6))
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_damaged_sound_is_heard_or_refused_in_a_sentence(tmp_path, ending, changes):
    path = tmp_path / f"noise.{ending}"
    wave = 0.1 * np.random.default_rng(0).standard_normal(1600)
    soundfile.write(path, wave, 16_000)
    content = bytearray(path.read_bytes())
    for place, value in changes.items():
        content[place % len(content)] = value
    path.write_bytes(content)
    with suppress(SoundError):  # and nothing else
        read_sound(path, sample_rate=16_000, seconds=1)
