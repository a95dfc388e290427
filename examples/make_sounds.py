"""Makes the example sounds, from arithmetic and seeded chance alone: ``python make_sounds.py``.

Each function below paints one scene's sound. Spectra, levels and rhythms were shaped after what
real recordings have in common, so that a network taught on those recognises them; none of any
recording is in here. All sounds are circular: repeated end to end, they go on without a click.
"""

import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

Sound = NDArray[np.float64]  # (samples,), full scale is [-1, 1]
Bands = Mapping[int, float]  # Hz -> dB

RATE = 16_000  # Hz
SAMPLES = 5 * RATE
FOLDER = Path(__file__).parent / "sounds"


def rain(chance: Generator) -> Sound:
    """A dense hiss of drops far away, and thousands that can almost be told apart."""
    sound = noise(chance, {40: -30, 120: -16, 400: -7, 1500: -3, 4000: 0, 8000: -4})
    drops = np.zeros(SAMPLES)
    for _ in range(3500):
        pitch = chance.uniform(900, 6000)  # Hz, of the bubble that a drop traps
        drop = ring(tone(glide(0.02, pitch, pitch)), chance.uniform(0.001, 0.004))
        place(drops, chance.lognormal(-1, 0.9) * drop, chance.uniform(0, 5))
    return at_level(at_level(sound, -28) + at_level(drops, -30), -26)


def sea(chance: Generator) -> Sound:
    """Two waves roll in, break with a bright crash, and run out hissing over the sand."""
    sound = at_level(noise(chance, {40: -8, 150: -3, 500: 0, 2000: -8, 8000: -20}), -42)
    rumble = at_level(noise(chance, {40: -8, 150: 0, 600: -6, 2000: -24, 8000: -50}), 0)
    wash = at_level(noise(chance, {40: -40, 250: -12, 700: 0, 2500: -4, 8000: -18}), 0)
    hiss = at_level(noise(chance, {40: -60, 800: -24, 2500: -3, 5000: 0, 8000: -4}), 0)
    for start, strength in ((0.2, 1.0), (2.9, 0.6)):
        sound += strength * 0.03 * rumble * swell(start, rise=0.9, fall=1.0)
        sound += strength * 0.09 * wash * swell(start + 0.5, rise=0.5, fall=0.7)
        sound += strength * 0.02 * hiss * swell(start + 0.8, rise=0.6, fall=1.1)
    return at_level(sound, -23)


def fire(chance: Generator) -> Sound:
    """A low flutter of flames, and twigs that crack: many faint ones, a few sharp ones."""
    flames = noise(chance, {20: 0, 60: -2, 200: -12, 700: -24, 2500: -26, 8000: -26})
    sound = at_level(flames * (1 + 0.4 * flutter(chance, 6)), -43)
    for _ in range(160):
        loudness = min(0.006 * chance.pareto(1.1), 0.5)
        crack = ring(chance.normal(size=400), chance.uniform(0.0004, 0.004))
        place(sound, loudness * crack, chance.uniform(0, 5))
    return at_level(sound, -34)


def storm(chance: Generator) -> Sound:
    """A crack of thunder that rolls away, lower and lower, over distant rain."""
    sound = at_level(noise(chance, {40: -10, 300: -4, 1500: 0, 8000: -12}), -48)
    layers: tuple[tuple[Bands, float, float, float], ...] = (  # bands, rise, fall, strength
        ({40: -30, 250: -4, 700: 0, 2000: -10, 8000: -30}, 0.05, 0.5, 0.04),
        ({30: -6, 90: 0, 250: -6, 700: -20, 8000: -60}, 0.15, 1.3, 0.12),
        ({25: -3, 60: 0, 130: -3, 350: -20, 8000: -70}, 0.40, 2.0, 0.14),
    )
    for bands, rise, fall, strength in layers:  # the darker, the longer
        rolls = np.clip(1 + 0.5 * flutter(chance, 3), 0, None)
        sound += strength * at_level(noise(chance, bands), 0) * swell(0.3, rise, fall) * rolls
    return at_level(sound, -24)


def wind(chance: Generator) -> Sound:
    """Gusts over a ridge: dark noise that swells, and a whistle that follows the gusts."""
    gusts = np.clip(1 + 0.35 * flutter(chance, 0.8), 0.2, None)
    dark = noise(chance, {20: -2, 60: 0, 200: -2, 500: -6, 1000: -16, 2000: -28, 8000: -50})
    howl = noise(chance, {40: -60, 300: -20, 420: 0, 560: -16, 900: -40, 8000: -90})
    return at_level(at_level(dark * gusts, -30) + at_level(howl * gusts**3, -42), -34)


def birds(chance: Generator) -> Sound:
    """Two birds in turn, one that whistles and one that trills, in a quiet garden."""
    sound = at_level(noise(chance, {40: -6, 200: -8, 1000: -12, 4000: -16, 8000: -24}), -50)
    for start in (0.2, 1.8, 3.4):
        at = start + chance.uniform(0, 0.2)
        for _ in range(int(chance.integers(4, 7))):
            low, high = chance.uniform(2600, 3600), chance.uniform(3800, 5200)
            whistle = tone(glide(chance.uniform(0.06, 0.13), low, high, low), (1, 0.05))
            place(sound, 0.12 * whistle * window(whistle, 0.2, 0.6), at)
            at += chance.uniform(0.11, 0.19)
    for start in (1.1, 4.3):
        for i in range(12):
            note = tone(glide(0.03, 6200, 5000))
            place(sound, 0.06 * note * window(note, 0.2, 0.6), start + 0.04 * i)
    return at_level(sound, -29)


def crickets(chance: Generator) -> Sound:
    """Three crickets after sunset, each with its own pitch, loudness and pause."""
    sound = at_level(noise(chance, {40: 0, 150: -4, 600: -12, 2500: -24, 8000: -34}), -56)
    for i, pause in enumerate((5 / 7, 5 / 8, 5 / 6)):  # divides 5 s, so that the loop closes
        pitch, loudness = chance.uniform(4000, 4700), 0.1 / (1 + 2 * i)
        for chirp in np.arange(chance.uniform(0, pause), 5, pause):
            for pulse in range(4):
                song = tone(glide(0.02, pitch, pitch * 0.985), (1, 0.05))
                place(sound, loudness * song * window(song, 0.3, 0.5), chirp + 0.045 * pulse)
    return at_level(reverberant(chance, sound, 0.3, 0.2), -33)


def dog(chance: Generator) -> Sound:
    """A dog in a yard barks: two, one, two; each bark leaps up in pitch and drops."""
    sound = at_level(noise(chance, {40: -10, 200: 0, 1000: -12, 8000: -30}), -52)
    for start in (0.25, 0.7, 1.9, 3.1, 3.55):
        pitch = chance.uniform(0.93, 1.07) * np.array([330, 560, 480, 300])  # Hz
        voice = tone(glide(chance.uniform(0.16, 0.22), *pitch), 1 / np.arange(1, 14))
        hoarse = voice * (1 + 0.5 * resampled(chance.normal(size=len(voice) // 40), len(voice)))
        bark = at_level(formants(hoarse, {800: 300, 1500: 200, 2600: 200}), -8)
        bark += at_level(formants(chance.normal(size=len(voice)), {900: 400, 1900: 700}), -26)
        place(sound, bark * window(bark, 0.08, 0.55), start)
    return at_level(reverberant(chance, sound, 0.25, 0.25), -19)


def cat(chance: Generator) -> Sound:
    """A cat asks twice: the pitch rises and falls, the mouth opens and closes."""
    sound = at_level(noise(chance, {40: -6, 200: 0, 1000: -10, 8000: -26}), -54)
    closed, opened = {650: 250, 2400: 400}, {1350: 350, 2800: 400}  # Hz: resonances and widths
    for start, length in ((0.4, 0.95), (2.7, 1.2)):
        voice = tone(glide(length, 480, 640, 690, 620, 430), 1 / np.arange(1, 13) ** 0.8)
        mouth = window(voice, 0.35, 0.75)
        meow = at_level(formants(voice, opened), -10) * mouth
        meow += at_level(formants(voice, closed), -16) * (1 - mouth)
        meow += at_level(formants(chance.normal(size=len(voice)), opened), -34)
        place(sound, meow * window(meow, 0.12, 0.7), start)
    return at_level(reverberant(chance, sound, 0.2, 0.15), -21)


def city(chance: Generator) -> Sound:
    """Traffic that never stops, a motor that passes, and someone who leans on the horn."""
    hum = noise(chance, {25: 0, 60: 2, 150: 0, 400: -5, 1000: -7, 2000: -15, 8000: -36})
    sound = at_level(hum * (1 + 0.25 * flutter(chance, 4)), -30)
    motor = tone(resampled(np.array([62.0, 78, 74, 96, 60]), SAMPLES), 1 / np.arange(1, 30) ** 0.6)
    sound += at_level(motor, -22) * swell(0.8, rise=1.4, fall=0.8)
    for start, length in ((2.3, 0.3), (2.75, 0.8)):
        for pitch in (415.0, 520.0):  # Hz; a car's horn is two notes
            horn = tone(glide(length, pitch, pitch), 1 / np.arange(1, 11) ** 0.9)
            place(sound, 0.03 * horn * window(horn, 0.05, 0.9), start)
    return at_level(reverberant(chance, sound, 0.4, 0.4), -27)


def snow(chance: Generator) -> Sound:
    """Someone walks through deep snow: each step gives way twice, under the heel and the toe."""
    bands = {40: -12, 90: -3, 180: 0, 400: 0, 800: -1, 1500: -5, 3000: -14, 5000: -21, 8000: -26}
    crunching = at_level(noise(chance, bands) * (1 + 0.7 * flutter(chance, 60)), 0)
    tread = np.zeros(SAMPLES)
    for step in np.arange(8) * 5 / 8:
        early, loud = chance.uniform(0, 0.05), chance.uniform(0.7, 1)
        tread += loud * swell(step + early, rise=0.06, fall=0.05)
        tread += 0.8 * loud * swell(step + early + 0.17, rise=0.08, fall=0.06)
    return at_level(at_level(crunching * tread, -30) + at_level(noise(chance, bands), -44), -30)


def noise(chance: Generator, bands: Bands) -> Sound:
    """Circular noise; ``bands`` gives its density in dB at some Hz, straight lines between."""
    spectrum = np.fft.rfft(chance.normal(size=SAMPLES))
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    decibels = np.interp(np.log(np.maximum(hertz, 1)), np.log(list(bands)), list(bands.values()))
    return np.fft.irfft(spectrum * 10 ** (decibels / 20) * (hertz > 15))


def flutter(chance: Generator, hertz: float) -> Sound:
    """A circular random curve of mean 0 and deviation 1 that wanders no faster than ``hertz``."""
    spectrum = np.fft.rfft(chance.normal(size=SAMPLES))
    spectrum[0] = 0
    spectrum[np.fft.rfftfreq(SAMPLES, 1 / RATE) > hertz] = 0
    return at_level(np.fft.irfft(spectrum), 0)


def swell(start: float, rise: float, fall: float) -> Sound:
    """A circular envelope: up to 1 within ``rise`` seconds, then down to 1/e in each ``fall``."""
    seconds = (np.arange(SAMPLES) / RATE - start) % (SAMPLES / RATE)
    up = np.sin(np.pi / 2 * np.minimum(seconds / rise, 1)) ** 2
    envelope: Sound = up * np.exp(-np.maximum(seconds - rise, 0) / fall)
    return envelope


def window(event: Sound, rise: float, fall: float) -> Sound:
    """An envelope as long as ``event``: up until the share ``rise``, down from ``fall`` on."""
    share = np.linspace(0, 1, len(event))
    ramp = np.minimum(share / rise, (1 - share) / (1 - fall)).clip(0, 1)
    envelope: Sound = np.sin(np.pi / 2 * ramp) ** 2
    return envelope


def ring(event: Sound, decay: float) -> Sound:
    """An event that begins at once and falls to 1/e in each ``decay`` seconds."""
    return event * np.exp(-np.arange(len(event)) / (decay * RATE))


def resampled(curve: Sound, samples: int) -> Sound:
    """A curve through evenly spaced points, straight lines between."""
    return np.interp(np.linspace(0, len(curve) - 1, samples), np.arange(len(curve)), curve)


def glide(seconds: float, *hertz: float) -> Sound:
    """A pitch in Hz over time, through evenly spaced points."""
    return resampled(np.array(hertz), round(seconds * RATE))


def tone(pitch: Sound, harmonics: Sequence[float] | Sound = (1,)) -> Sound:
    """A voice at ``pitch`` Hz; ``harmonics`` are the amplitudes of its multiples below 8 kHz."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    audible = [(n, a) for n, a in enumerate(harmonics, 1) if n * pitch.max() < RATE / 2]
    voice: Sound = np.sum([a * np.sin(n * phase) for n, a in audible], axis=0)
    return voice


def formants(event: Sound, resonances: Mapping[int, float]) -> Sound:
    """An event heard through a mouth: each Hz in ``resonances`` rings, as wide as its value."""
    hertz = np.fft.rfftfreq(len(event), 1 / RATE)
    mouth = sum(1 / (1 + ((hertz - at) / (width / 2)) ** 2) for at, width in resonances.items())
    return np.fft.irfft(np.fft.rfft(event) * mouth, len(event))


def reverberant(chance: Generator, sound: Sound, decay: float, share: float) -> Sound:
    """A sound with a circular echo of that ``share``, which falls to 1/e in ``decay`` seconds."""
    echo = ring(chance.normal(size=SAMPLES), decay)
    wet = np.fft.irfft(np.fft.rfft(sound) * np.fft.rfft(echo / np.linalg.norm(echo)))
    return sound + share * wet


def place(sound: Sound, event: Sound, at: float) -> None:
    """Adds an event at some second, in place; what passes the end goes on at the beginning."""
    sound[(round(at * RATE) + np.arange(len(event))) % len(sound)] += event


def at_level(sound: Sound, decibels: float) -> Sound:
    """The sound scaled to that root mean square, in dB of full scale."""
    scaled: Sound = sound * 10 ** (decibels / 20) / np.sqrt(np.mean(sound**2))
    return scaled


SCENES: tuple[Callable[[Generator], Sound], ...] = (
    rain,
    sea,
    fire,
    storm,
    wind,
    birds,
    crickets,
    dog,
    cat,
    city,
    snow,
)


def make(folder: Path) -> None:
    """Writes every scene as 16-bit mono WAV; the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, scene in enumerate(SCENES):
        sound = scene(default_rng(seed))
        with wave.open(str(folder / f"{scene.__name__}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.round(sound.clip(-1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    make(FOLDER)
