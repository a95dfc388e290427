"""A film moves with its sound, carries it to the sample, and goes on where it was stopped."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import RATE, tone
from memory import PEAK_BYTES
from scipy.ndimage import gaussian_filter1d

from s2s_cli import filming
from s2s_cli.audio.stream import open_stream
from s2s_cli.errors import OutputError
from s2s_cli.filming import Film, FilmPlan, moving_features, moving_noise, plan_of, windows
from s2s_cli.picture.provenance import Provenance, read_provenance
from s2s_cli.studio import Studio

CHEAP = FilmPlan(fps=8, window_s=1, drift_s=2)


@pytest.fixture(scope="module")
def studio(tiny_model) -> Studio:
    return Studio.open(tiny_model, "cpu", "float32")


@pytest.fixture
def short_parts(monkeypatch) -> None:
    """Of 8 frames."""
    monkeypatch.setattr(filming, "PART_S", 1.0)


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, wave, rate, subtype="FLOAT")
    return path


def noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """(samples, channels) below 5 kHz, where codecs keep all of it."""
    wave = np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    spectrum = np.fft.rfft(0.1 * wave, axis=0)
    spectrum[round(5000 * seconds) :] = 0
    return np.fft.irfft(spectrum, len(wave), axis=0).astype(np.float32)


@pytest.fixture
def low_then_high(tmp_path) -> Path:
    """Three seconds of each."""
    return write(tmp_path / "both.wav", np.concatenate([tone(200, 3), tone(3000, 3)]))


def seen(path: Path) -> np.ndarray:
    """(frames, H, W, 3)."""
    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def heard(path: Path) -> tuple[np.ndarray, int]:
    """(channels, samples) and the rate."""
    with av.open(str(path)) as film:
        blocks = list(film.decode(audio=0))
    return np.concatenate([block.to_ndarray() for block in blocks], 1), blocks[0].sample_rate


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What is heard


@pytest.mark.parametrize("pieces", [1, 7, 400])
@pytest.mark.parametrize("first", [-3, 0, 9])
def test_a_window_lies_around_its_moment_and_stays_inside_the_sound(pieces, first):
    wave = np.arange(10 * 100, dtype=np.float32)  # 10 s at 100 Hz: a sample says where it lies
    around = windows(iter(np.array_split(wave, pieces)), 100, 4.0, first)
    for hop, window in zip(range(first, first + 60), around, strict=False):
        middle_s = min(max(hop * filming.HOP_S, 2), 8)
        assert len(window) == 400
        assert window[0] == round((middle_s - 2) * 100)
        assert (np.diff(window) == 1).all()


def test_of_a_sound_that_is_shorter_than_the_window_all_is_heard():
    wave = np.arange(150, dtype=np.float32)
    for window in islice(windows(iter(np.split(wave, 3)), 100, 4.0, -2), 12):
        assert np.array_equal(window, wave)


def test_a_window_over_a_long_sound_holds_little_of_it():
    read = 0

    def waves() -> Iterator[np.ndarray]:
        nonlocal read
        while True:
            read += 1
            yield np.zeros(100, np.float32)

    around = windows(waves(), 100, 4.0, 4000)  # moment 1000 s
    next(around)
    assert read == 1002
    assert sum(map(len, around.gi_frame.f_locals["held"])) <= 500


def ear(**network) -> SimpleNamespace:
    """Hears the mean of a wave, as a direction in the plane."""
    config = SimpleNamespace(sample_rate=100, seconds=10, **network)

    def feature_of(wave: np.ndarray) -> torch.Tensor:
        angle = float(wave.mean())
        return 7 * torch.tensor([math.cos(angle), math.sin(angle)])

    model = SimpleNamespace(audio_encoder=SimpleNamespace(config=config))
    return SimpleNamespace(model=model, device="cpu", feature_of=feature_of)


@pytest.mark.parametrize("smooth_s", [0, 0.1, 1, 2.5])
def test_what_is_heard_is_smoothed_by_a_gaussian_around_the_moment(smooth_s):
    wave = np.cumsum(np.random.default_rng(0).normal(0, 0.02, 2000)).astype(np.float32)
    sound = SimpleNamespace(waves=lambda rate: iter(np.array_split(wave, 13)))
    plan = FilmPlan(fps=4, window_s=1, smooth_s=smooth_s)  # a frame a hop
    features = torch.stack(list(islice(moving_features(ear(), sound, plan), 80))).numpy()

    means = [
        wave[round(100 * (c - 0.5)) : round(100 * (c + 0.5))].mean()
        for c in np.clip(np.arange(-40, 120) / 4, 0.5, 19.5)
    ]
    raw = np.stack([np.cos(means), np.sin(means)], 1)
    sigma = smooth_s / 0.25
    smooth = gaussian_filter1d(raw, sigma, axis=0, radius=math.ceil(3 * sigma)) if sigma else raw
    assert np.abs(features - smooth[40:120]).max() < 1e-4


def test_between_two_moments_of_listening_a_frame_has_a_share_of_both():
    wave = np.linspace(0, 2, 2000, dtype=np.float32)
    sound = SimpleNamespace(waves=lambda rate: iter([wave]))

    def features(fps: float) -> torch.Tensor:
        return torch.stack(list(islice(moving_features(ear(), sound, FilmPlan(fps=fps)), 60)))

    fine, coarse = features(12), features(4)
    assert torch.equal(fine[::3], coarse[:20])
    assert torch.allclose(fine[1::3], (2 * coarse[:20] + coarse[1:21]) / 3, atol=1e-6)


def test_the_model_listens_once_where_nothing_changes(studio, low_wav):
    times = 0

    def feature_of(wave: np.ndarray) -> torch.Tensor:
        nonlocal times
        times += 1
        return studio.feature_of(wave)

    listening = SimpleNamespace(model=studio.model, device="cpu", feature_of=feature_of)
    with open_stream(low_wav) as sound:
        list(islice(moving_features(listening, sound, FilmPlan()), 24))
    assert times == 1


# How the noise moves


def generator(size: int = 20_000) -> SimpleNamespace:
    def some_noise(seeds: list[int], truncation: float = 1.0) -> torch.Tensor:
        made = [torch.randn(size, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return truncation * torch.stack(made)

    return SimpleNamespace(noise=some_noise)


def likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_noise_stays_standard_normal_all_the_way():
    plan = FilmPlan(drift_s=3, beat=1)
    for moment_s in np.arange(0, 9, 0.37):
        for pulse in (0, 0.3, 1):
            one = moving_noise(generator(), 7, moment_s, plan, pulse)
            assert float(one.mean()) == pytest.approx(0, abs=0.03)
            assert float(one.std()) == pytest.approx(1, abs=0.03)


def test_noise_begins_with_the_seed_and_reaches_others_at_an_even_pace():
    plan = FilmPlan(drift_s=3)
    path = [moving_noise(generator(), 7, t, plan) for t in np.linspace(0, 6, 25)]
    assert torch.equal(path[0], generator().noise([7])[0])
    for a, b in pairwise(path):  # a twelfth of a right angle each
        assert likeness(a, b) == pytest.approx(math.cos(math.pi / 24), abs=0.001)
    for a, b in ((0, 12), (0, 24), (12, 24)):
        assert abs(likeness(path[a], path[b])) < 0.03


def test_films_of_neighbouring_seeds_do_not_meet():
    plan = FilmPlan(drift_s=1)
    noises = [moving_noise(generator(), seed, t, plan) for seed in (0, 1, 2) for t in (0, 1, 2, 3)]
    assert all(abs(likeness(a, b)) < 0.04 for a in noises for b in noises if a is not b)


def test_still_noise_stays():
    plan = FilmPlan(drift_s=0)
    assert torch.equal(moving_noise(generator(), 7, 99, plan), generator().noise([7])[0])


def test_a_pulse_turns_the_noise_as_far_as_the_beat_says():
    still = FilmPlan(drift_s=0)
    here = moving_noise(generator(), 7, 0, still)
    for beat, pulse in ((1, 1), (0.5, 1), (1, 0.5)):
        there = moving_noise(generator(), 7, 0, replace(still, beat=beat), pulse)
        turn = beat * pulse * filming.PULSE_TURN
        assert likeness(here, there) == pytest.approx(math.cos(turn), abs=0.01)


def test_truncation_scales_the_noise():
    full, half = (moving_noise(generator(), 7, 1, FilmPlan(truncation=x)) for x in (1, 0.5))
    assert torch.allclose(half, full / 2)


# Beats


def clicks(*moments_s: float, seconds: float = 6) -> np.ndarray:
    wave = np.zeros(round(seconds * RATE), np.float32)
    for moment_s in moments_s:
        wave[round(moment_s * RATE) :][:80] = 0.5
    return wave


@pytest.mark.parametrize("pieces", [1, 50, 3000])
def test_an_onset_is_found_where_it_is(pieces):
    onset = filming.onsets(iter(np.array_split(clicks(1, 2.5, 5.52), pieces)), RATE)
    assert len(onset) == pytest.approx(300, abs=2)
    peaks = [k / 50 for k in range(1, len(onset)) if onset[k] > 0.9 and onset[k - 1] < 0.9]
    assert peaks == pytest.approx([1, 2.5, 5.52], abs=0.03)
    assert (onset > 0).sum() < 12


def test_steady_sounds_have_no_onsets_even_if_they_begin_loudly():
    steady = [tone(440, 3), 0.3 * np.random.default_rng(0).standard_normal(3 * RATE)]
    for wave in steady:
        assert filming.onsets(iter([wave.astype(np.float32)]), RATE).max() < 0.3


def test_a_quieter_recording_has_the_same_onsets():
    waves = [clicks(1, 2.5), clicks(1, 2.5) / 4]
    loud, quiet = (filming.onsets(iter([wave]), RATE) for wave in waves)
    assert np.array_equal(loud > 0.9, quiet > 0.9)


@pytest.mark.parametrize("fps", [0.5, 12, 29.97, 60])
def test_a_pulse_shows_in_the_frame_during_which_its_onset_is_heard(fps):
    onset = np.zeros(300, np.float32)
    onset[[60, 210]] = 1  # at 1.2 and 4.2 s
    plan = FilmPlan(fps=fps)
    pulse = filming.pulses(onset, math.ceil(6 * plan.rate), plan)
    full = set(np.flatnonzero(pulse > 0.99).tolist())
    assert {math.floor(1.2 * plan.rate), math.floor(4.2 * plan.rate)} <= full
    if fps > 1:
        assert pulse[math.floor((1.2 + filming.PULSE_S) * plan.rate)] == pytest.approx(
            math.exp(-1), abs=0.15
        )


# Films


def test_frames_are_the_same_wherever_one_begins(studio, low_then_high):
    """Else a run that goes on would show it."""
    with open_stream(low_then_high) as sound:
        film = Film(studio, sound, replace(CHEAP, beat=1), seed=3)
        whole = list(islice(film.pictures(), 48))
        for first in (8, 40):
            assert np.array_equal(list(islice(film.pictures(first), 8)), whole[first : first + 8])


def test_a_still_film_of_a_short_sound_shows_what_generate_paints(studio, low_wav):
    plan = FilmPlan(drift_s=0, fps=4)
    painted = studio.hear(low_wav).paint(5)
    with open_stream(low_wav) as sound:
        for frame in islice(Film(studio, sound, plan, seed=5).pictures(), 8):
            assert np.abs(frame.astype(int) - painted).max() <= 1  # painted one by one, there


def test_the_pictures_turn_when_the_sound_does(studio, low_then_high):
    plan = FilmPlan(fps=8, window_s=1, smooth_s=0.2, drift_s=0)
    with open_stream(low_then_high) as sound:
        frames = np.stack(list(islice(Film(studio, sound, plan).pictures(), 48))).astype(float)
    from_first, from_last = (np.abs(frames - frames[k]).mean((1, 2, 3)) for k in (0, 47))
    assert from_first[:18].max() < from_first[-1] / 50
    assert from_last[30:].max() < from_last[0] / 50
    turn = int(np.argmax(from_first > from_last))
    assert turn / 8 == pytest.approx(3, abs=0.3)  # one hop


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "fps"),
    [(44_100, 2, 3.3, 8), (16_000, 1, 2.01, 29.97), (11_025, 1, 0.9, 0.5), (48_000, 2, 2, 8)],
)
def test_a_film_is_as_long_as_its_sound_and_carries_it_to_the_sample(
    studio, short_parts, tmp_path, ending, rate, channels, seconds, fps
):
    wave, path = noise(seconds, rate, channels), tmp_path / f"film{ending}"
    with open_stream(write(tmp_path / "sound.wav", wave, rate)) as sound:
        Film(studio, sound, FilmPlan(fps=fps, window_s=1)).shoot(path)
    frames = math.ceil(len(wave) / rate * Fraction(fps).limit_denominator(1001))
    assert len(seen(path)) == frames
    with av.open(str(path)) as film:
        assert 0 <= film.duration / 1e6 - seconds <= 1 / fps + 0.01
    sound, hertz = heard(path)
    assert len(sound) == channels
    assert 0 <= sound.shape[1] / hertz - seconds <= 1 / fps + 0.07  # one packet
    middle = slice(round(0.25 * seconds * hertz), round(0.75 * seconds * hertz))
    for channel in range(channels):
        source = soxr.resample(wave[:, channel], rate, hertz)[middle]
        alike = [
            np.corrcoef(source, sound[channel, middle.start + lag : middle.stop + lag])[0, 1]
            for lag in range(-30, 31)
        ]
        assert np.argmax(alike) - 30 == 0
        assert max(alike) > 0.98
    assert names(tmp_path) == [path.name, "sound.wav"]


def test_a_part_of_a_sound_is_filmed_with_that_part_of_it(studio, tmp_path):
    wave = noise(4)
    plan = replace(CHEAP, start_s=1.5, length_s=2)
    path = write(tmp_path / "sound.wav", wave)
    with open_stream(path, start_s=1.5, seconds=2) as sound:
        Film(studio, sound, plan).shoot(tmp_path / "film.mp4")
    assert len(seen(tmp_path / "film.mp4")) == 16
    voice, hertz = heard(tmp_path / "film.mp4")
    source = wave[round(1.5 * hertz) :, 0][4000:28_000]
    assert np.corrcoef(source, voice[0, 4000:28_000])[0, 1] > 0.98


def test_what_is_seen_is_what_was_painted_across_all_parts(studio, short_parts, low_then_high):
    path = low_then_high.with_name("film.mp4")
    with open_stream(low_then_high) as sound:
        film = Film(studio, sound, replace(CHEAP, size_px=64))
        film.shoot(path)
        painted = np.stack(list(islice(film.pictures(), film.frames)))
    assert painted.shape == (48, 64, 64, 3)
    # Noise in colour is what a codec keeps worst, so it is about grey, and about which is which.
    shown, meant = (frames.mean(axis=3).reshape(48, -1) for frames in (seen(path), painted))
    distance = ((shown[:, None] - meant[None]) ** 2).mean(axis=2)
    assert distance.argmin(axis=1).tolist() == list(range(48))
    assert 10 * np.log10(255**2 / distance.diagonal().max()) > 24


def stop_after(frames: int, signal: type[BaseException] = KeyboardInterrupt):
    """What tells a film to stop, once so many frames are done."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if done >= frames:
            raise signal

    return advance


@pytest.fixture
def unbroken(studio, short_parts, low_then_high, tmp_path) -> bytes:
    """The film that no one interrupts: 48 frames in 6 parts."""
    (tmp_path / "unbroken").mkdir()
    with open_stream(low_then_high) as sound:
        Film(studio, sound, CHEAP).shoot(tmp_path / "unbroken" / "film.mp4")
    return (tmp_path / "unbroken" / "film.mp4").read_bytes()


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 20, 47])
@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_leaves_a_film_and_the_next_run_goes_on(
    studio, low_then_high, tmp_path, unbroken, frames, signal
):
    path, told = tmp_path / "film.mp4", []
    with open_stream(low_then_high) as sound:
        film = Film(studio, sound, CHEAP)
        with pytest.raises(signal):
            film.shoot(path, advance=stop_after(frames, signal), stopped=told.append)
        reached = len(seen(path))
        assert frames <= reached <= frames + 1  # one may be in the encoder already
        assert told == [reached / 8] == [film.unfinished_s(path)]
        voice, hertz = heard(path)
        assert voice.shape[1] / hertz == pytest.approx(reached / 8, abs=0.07)
        whole = seen(tmp_path / "unbroken" / "film.mp4")
        assert np.abs(seen(path).astype(int) - whole[:reached]).mean() < 8

        assert not film.hangs_already(path)
        repainted = 0

        def pictures(first: int = 0) -> Iterator[np.ndarray]:
            nonlocal repainted
            for picture in Film.pictures(film, first):
                repainted += 1
                yield picture

        object.__setattr__(film, "pictures", pictures)
        film.shoot(path)
    assert repainted == 48 - (frames - 1) // 8 * 8  # a part of 8 is kept once it is closed
    assert path.read_bytes() == unbroken
    assert names(tmp_path) == ["both.wav", "film.mp4", "unbroken"]


def test_a_film_that_was_interrupted_sooner_does_not_replace_more_of_it(
    studio, short_parts, low_then_high, tmp_path
):
    path = tmp_path / "film.mp4"
    with open_stream(low_then_high) as sound:
        film = Film(studio, sound, CHEAP)
        for frames, there in ((15, 15), (9, 15), (17, 17)):
            with pytest.raises(KeyboardInterrupt):
                film.shoot(path, advance=stop_after(frames))
            assert len(seen(path)) in (there, there + 1)


def test_an_interruption_before_the_first_frame_leaves_what_was_there(
    studio, low_then_high, tmp_path
):
    path = tmp_path / "film.mp4"

    def struck(*_: object) -> None:
        raise KeyboardInterrupt

    with open_stream(low_then_high) as sound:
        film = Film(studio, sound, CHEAP)
        object.__setattr__(film, "pictures", struck)
        with pytest.raises(KeyboardInterrupt):
            film.shoot(path)
    assert not path.exists()


@pytest.mark.parametrize("fault", ["missing", "damaged", "of another film"])
def test_a_part_that_is_not_as_it_should_be_is_painted_again(
    studio, low_then_high, tmp_path, unbroken, fault
):
    path = tmp_path / "film.mp4"
    part = tmp_path / ".film.mp4.parts" / "00001.mp4"
    with open_stream(low_then_high) as sound:
        if fault == "of another film":
            with pytest.raises(KeyboardInterrupt):
                Film(studio, sound, CHEAP, seed=1).shoot(path, advance=stop_after(30), force=True)
            path.unlink()
        film = Film(studio, sound, CHEAP)
        if fault != "of another film":
            with pytest.raises(KeyboardInterrupt):
                film.shoot(path, advance=stop_after(30))
            if fault == "missing":
                part.unlink()
            else:
                part.write_bytes(part.read_bytes()[:300])
        film.shoot(path)
    assert path.read_bytes() == unbroken


def test_only_the_same_film_unfinished_gives_way_unasked(
    studio, short_parts, low_then_high, tmp_path
):
    path = tmp_path / "film.mp4"
    with open_stream(low_then_high) as sound:
        one, other = Film(studio, sound, CHEAP), Film(studio, sound, CHEAP, seed=1)
        with pytest.raises(KeyboardInterrupt):
            other.shoot(path, advance=stop_after(9))
        before = path.read_bytes()
        for film in (one, Film(studio, sound, replace(CHEAP, beat=0.5), seed=1)):
            with pytest.raises(OutputError, match="made in another way"):
                film.shoot(path)
        assert path.read_bytes() == before
        other.shoot(path)
        assert other.hangs_already(path)
        with pytest.raises(OutputError, match="made in another way"):
            one.shoot(path)
        one.shoot(path, force=True)
        assert one.hangs_already(path)


def test_the_sound_itself_and_what_is_no_file_are_never_replaced(studio, low_wav, tmp_path):
    with open_stream(low_wav) as sound:
        with pytest.raises(OutputError, match="is the sound itself"):
            Film(studio, sound).shoot(low_wav, force=True)
        (tmp_path / "film.mp4").mkdir()
        with pytest.raises(OutputError, match="is no file"):
            Film(studio, sound).shoot(tmp_path / "film.mp4", force=True)


def test_a_plan_comes_back_from_the_film(studio, low_then_high, tmp_path):
    plan = FilmPlan(fps=8, length_s=2, window_s=1, smooth_s=0, drift_s=0, beat=0.5, size_px=48)
    with open_stream(low_then_high, seconds=2) as sound:
        film = Film(studio, sound, plan, seed=9)
        with pytest.raises(KeyboardInterrupt):
            film.shoot(tmp_path / "film.mp4", advance=stop_after(9))
        assert plan_of(read_provenance(tmp_path / "film.mp4")) == plan
        film.shoot(tmp_path / "film.mp4")
    made = read_provenance(tmp_path / "film.mp4")
    assert plan_of(made) == plan
    assert made == film.provenance
    assert (made.command, made.seed, made.sources[0].role) == ("film", 9, "sound")


@pytest.mark.parametrize(
    "change",
    [{"command": "generate"}, {"sources": []}, {"options": {"mood": 1}}, {"options": {"fps": -1}}],
)
def test_what_is_no_film_of_ours_has_no_plan(change):
    made = {
        "command": "film",
        "sources": [{"role": "sound", "name": "rain.wav", "sha256": ""}],
        **{"model": "", "model_sha256": "", "seed": 0, "device": "cpu", "precision": "float32"},
        "options": {},
        "version": "1",
    }
    assert plan_of(Provenance.from_json(json.dumps(made))) == FilmPlan()
    with pytest.raises(ValueError, match=r"."):
        plan_of(Provenance.from_json(json.dumps({**made, **change})))


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0}, {"fps": math.nan}, {"beat": 2}, {"window_s": 0}, {"drift_s": -1}, {"length_s": 0}],
)
def test_a_plan_out_of_range_is_the_callers_mistake(wrong):
    with pytest.raises(ValueError, match=f"<= {next(iter(wrong))} <="):
        FilmPlan(**wrong)


MEASURE = (
    PEAK_BYTES
    + """
from s2s_cli.audio.stream import open_stream
from s2s_cli import filming
from s2s_cli.filming import Film, FilmPlan
from s2s_cli.studio import Studio

filming.HOP_S = 1.0  # to save time
studio = Studio.open(sys.argv[1], "cpu", "float32")
with open_stream(sys.argv[2]) as sound:
    film = Film(studio, sound, FilmPlan(fps=1, window_s=1, beat=1))
    film.shoot(Path(sys.argv[3]))
print(film.frames, peak_bytes())
"""
)


@pytest.fixture(scope="module")
def hasty_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny one, which listens to one second only."""
    from s2s_cli import registry

    folder = tmp_path_factory.mktemp("models") / "hasty"
    shutil.copytree(tiny_model, folder)
    network = registry.load_network(folder / registry.AUDIO_ENCODER)
    network.config = replace(network.config, seconds=1.0)
    registry.save_network(folder / registry.AUDIO_ENCODER, network)
    registry.write_sums(folder)
    return folder


def test_ten_minutes_take_no_more_memory_than_one(hasty_model, tmp_path):
    peaks = []
    for minutes in (1, 10):
        path = write(tmp_path / f"{minutes}.wav", np.tile(noise(10), (6 * minutes, 1)))
        film = tmp_path / f"{minutes}.mp4"
        command = [sys.executable, "-c", MEASURE, hasty_model, path, film]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=True
        ).stdout.split()
        assert int(done[0]) == 60 * minutes
        peaks.append(int(done[1]))
    assert peaks[1] < 1.1 * peaks[0], peaks  # kB
