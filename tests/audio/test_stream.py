"""A sound heard in blocks is the sound heard at once, and a fault is told before the first."""

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from s2s_cli.audio.sound import read_sound
from s2s_cli.audio.stream import open_stream
from s2s_cli.errors import SoundError

RATE = 44_100  # Hz, of the files written here
CODECS = {
    ".m4a": "aac",
    ".mp4": "aac",
    ".mp3": "libmp3lame",
    ".mkv": "flac",
    ".webm": "libopus",
}
FORMATS = [".wav", ".flac", ".ogg", *CODECS]
EXACT = [".wav", ".flac", ".mkv"]


def noise(seconds: float = 3.0, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Noise below 5 kHz, (samples, channels): a sample too early or too late would show."""
    wave = np.random.default_rng(0).normal(0, 0.2, (round(seconds * rate), channels))
    spectrum = np.fft.rfft(wave, axis=0)
    spectrum[round(5000 * seconds) :] = 0
    return np.fft.irfft(spectrum, len(wave), axis=0).astype(np.float32)


def write(folder: Path, ending: str, wave: np.ndarray, rate: int = RATE) -> Path:
    path = folder / f"sound{ending}"
    if ending not in CODECS:
        with soundfile.SoundFile(path, "w", rate, wave.shape[1]) as file:
            for at in range(0, len(wave), 4096):  # libsndfile 1.2.2 crashes on long Vorbis
                file.write(wave[at : at + 4096])
        return path
    with av.open(str(path), "w") as container:
        hertz = 48_000 if CODECS[ending] == "libopus" else rate
        track = container.add_stream(CODECS[ending], rate=hertz, layout="stereo")
        context = track.codec_context
        fitting = av.AudioResampler(context.format, "stereo", hertz, context.frame_size or 0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), "fltp", "stereo")
        frame.sample_rate, frame.pts = rate, 0
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(track.encode(part))
        container.mux(track.encode(None))
    return path


def wav(folder: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """Of floats, which keep what no integer can."""
    soundfile.write(folder / "sound.wav", wave, rate, subtype="FLOAT")
    return folder / "sound.wav"


@pytest.mark.parametrize("ending", FORMATS)
def test_blocks_are_the_whole_without_gaps(tmp_path, ending):
    path = write(tmp_path, ending, noise())
    with open_stream(path) as sound:
        whole = np.concatenate(list(sound.blocks()))
        again = np.concatenate(list(sound.blocks()))
    assert whole.shape == (sound.samples, sound.channels)
    assert np.array_equal(whole, again)
    at_once = read_sound(path, sample_rate=sound.sample_rate, seconds=99).wave
    assert np.abs(whole.mean(axis=1) - at_once).max() < 1e-6
    if ending in EXACT:
        assert np.abs(whole - noise()).max() < 2**-14


@pytest.mark.parametrize("ending", FORMATS)
def test_it_is_as_long_as_it_says(tmp_path, ending):
    """Frames are counted by this length before the first is painted."""
    with open_stream(write(tmp_path, ending, noise())) as sound:
        assert sum(map(len, sound.blocks())) == sound.samples
        assert sound.seconds == pytest.approx(3, abs=1e-9)
        assert np.isclose(sum(map(len, sound.waves(16_000))), 16_000 * sound.seconds, atol=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_the_networks_hear_what_they_hear_of_a_short_sound(tmp_path, rate):
    path = wav(tmp_path, noise(rate=rate), rate)
    with open_stream(path) as sound:
        streamed = np.concatenate(list(sound.waves(16_000)))
    at_once = read_sound(path, sample_rate=16_000, seconds=99).wave
    assert abs(len(streamed) - len(at_once)) <= 1
    assert np.abs(streamed[:47_000] - at_once[:47_000]).max() < 1e-5


def test_a_part_is_that_part_to_the_sample(tmp_path):
    wave = noise()
    with open_stream(wav(tmp_path, wave), start_s=1.25, seconds=0.5) as sound:
        part = np.concatenate(list(sound.blocks()))
    assert (sound.samples, sound.seconds) == (22_050, 0.5)
    assert np.array_equal(part, wave[55_125:77_175])


def test_a_part_may_be_longer_than_the_rest(tmp_path):
    with open_stream(wav(tmp_path, noise()), start_s=2, seconds=99) as sound:
        assert sound.seconds == 1


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 2), (6, 1)])
def test_mono_and_stereo_stay_and_more_channels_are_averaged(tmp_path, channels, kept):
    wave = noise(1, channels=channels)
    with open_stream(wav(tmp_path, wave)) as sound:
        blocks = np.concatenate(list(sound.blocks()))
    assert sound.channels == kept == blocks.shape[1]
    expected = wave if kept == channels else wave.mean(axis=1, keepdims=True)
    assert np.abs(blocks - expected).max() < 1e-6


def test_standard_input_is_heard_twice(tmp_path, monkeypatch):
    content = write(tmp_path, ".mp4", noise()).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with open_stream("-") as piped:
        blocks = np.concatenate(list(piped.blocks()))
        assert np.array_equal(blocks, np.concatenate(list(piped.blocks())))
    with open_stream(tmp_path / "sound.mp4") as named:
        assert np.array_equal(blocks, np.concatenate(list(named.blocks())))
    assert piped.sha256 == named.sha256
    assert piped.name == "-"


@pytest.mark.parametrize("ending", [".wav", ".flac", ".mkv", ".webm"])
def test_of_a_truncated_file_is_heard_what_is_there(tmp_path, ending, capfd):
    path = write(tmp_path, ending, noise())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_stream(path) as sound:
        heard = np.concatenate(list(sound.blocks()))
    assert 0.6 < sound.seconds < 2.1
    assert len(heard) == sound.samples
    if ending in (".wav", ".flac"):  # whose headers count the samples
        assert any("breaks off early" in remark for remark in sound.remarks)
    assert capfd.readouterr().err == ""


def test_what_lies_beyond_full_scale_is_remarked_upon(tmp_path):
    with open_stream(wav(tmp_path, 20 * noise(1))) as sound:
        assert "times full scale" in sound.remarks[0]


def empty(folder: Path) -> None:
    (folder / "sound.wav").touch()


def text(folder: Path) -> None:
    (folder / "sound.wav").write_text("I am not a sound.\n" * 99)


def broken(folder: Path) -> None:
    wave = noise()
    wave[[66_150, 100_000], 1] = np.nan
    wav(folder, wave)


def silence(folder: Path) -> None:
    wav(folder, 0 * noise())


def mute(folder: Path) -> None:
    with av.open(str(folder / "sound.wav"), "w", format="mp4") as film:
        track = film.add_stream("mpeg4", rate=10)
        track.width = track.height = 64
        film.mux(track.encode(av.VideoFrame(64, 64, "yuv420p")))
        film.mux(track.encode(None))


BAD = [
    (lambda folder: None, {}, "There is no file .*check the path"),
    (lambda folder: (folder / "sound.wav").mkdir(), {}, "is a folder"),
    (empty, {}, r"is empty \(0 bytes\)"),
    (text, {}, "cannot be decoded"),
    (mute, {}, "has no sound track"),
    (lambda folder: wav(folder, noise(1)[:0]), {}, "holds 0 samples"),
    (silence, {}, r"is silent from 0 s to 3 s"),
    (silence, {"start_s": 1, "seconds": 0.5}, r"is silent from 1 s to 1.5 s"),
    (broken, {}, "holds 2 samples that are NaN or infinite, the first at 1.5 s"),
    (broken, {"start_s": 2}, "holds 1 samples that are NaN or infinite, the first at 2.26757 s"),
    (lambda folder: wav(folder, noise()), {"start_s": 3}, r"is over before 3 s \(it lasts 3 s\)"),
]


@pytest.mark.parametrize(("make", "part", "words"), BAD, ids=range(len(BAD)))
def test_a_bad_sound_is_one_sentence_before_the_first_block(tmp_path, make, part, words):
    make(tmp_path)
    path = tmp_path / "sound.wav"
    with pytest.raises(SoundError, match=words) as fault, open_stream(path, **part):
        pytest.fail("the block began")
    assert f"'{path}'" in str(fault.value)


def test_silence_before_the_sound_is_no_fault(tmp_path):
    with open_stream(wav(tmp_path, np.concatenate([0 * noise(), noise()]))) as sound:
        assert sound.seconds == 6


@pytest.mark.parametrize("fault", [FileNotFoundError("part.mp4"), BrokenPipeError()])
def test_what_fails_in_the_block_is_not_blamed_on_the_sound(tmp_path, fault):
    with pytest.raises(type(fault)), open_stream(wav(tmp_path, noise(1))):
        raise fault


@pytest.mark.parametrize("part", [{"seconds": 0}, {"start_s": -1}, {"start_s": float("nan")}])
def test_a_part_that_cannot_be_is_the_callers_mistake(tmp_path, part):
    with pytest.raises(ValueError, match="expected start_s >= 0"), open_stream(tmp_path, **part):
        pass


MEASURE = """
import sys
from pathlib import Path
import av, soxr
from s2s_cli.audio.stream import open_stream

def peak_bytes():  # not getrusage, whose peak is that of the parent at first
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def hear(path):
    with open_stream(path) as sound:
        assert sum(map(len, sound.blocks())) == sound.samples
        sum(map(len, sound.waves(16_000)))
        return sound.seconds

hear(sys.argv[1])
before = peak_bytes()
assert hear(sys.argv[2]) > 500
print(peak_bytes() - before)
"""


@pytest.mark.parametrize("ending", [".wav", ".mp3"])
def test_memory_does_not_grow_with_the_sound(tmp_path, ending):
    """Ten minutes are 200 MB of samples."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    (tmp_path / "long").mkdir()
    short = write(tmp_path, ending, noise(10))
    if ending == ".mp3":  # frames may follow one another for ever
        long = tmp_path / "long" / "sound.mp3"
        long.write_bytes(short.read_bytes() * 60)
    else:
        long = write(tmp_path / "long", ending, np.tile(noise(10), (60, 1)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(short), str(long)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 10e6


def test_the_rate_is_changed_as_soxr_does_it(tmp_path):
    wave = noise(channels=1)
    with open_stream(wav(tmp_path, wave)) as sound:
        streamed = np.concatenate(list(sound.waves(16_000)))
    expected = soxr.resample(wave[:, 0], RATE, 16_000)
    assert np.abs(streamed[: len(expected)] - expected[: len(streamed)]).max() < 1e-5
