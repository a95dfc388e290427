"""A long sound becomes a film: what is heard moves the pictures, and all of it stays in step.

A window moves along the sound, and what the model hears in it is smoothed over time. The noise
wanders meanwhile, and an onset may push it. Pictures are painted in batches of one size at fixed
places, and encoded in parts that lie in a hidden folder until the film is whole. So memory does not
grow with the sound, a run that was killed goes on from its parts, and the film it ends in has the
bytes of one that was never interrupted.
"""

import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import count, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s_cli.audio.sound import STDIN, Wave
from s2s_cli.audio.stream import SoundStream
from s2s_cli.errors import OutputError, PictureError
from s2s_cli.latents import unit
from s2s_cli.networks.config import from_table
from s2s_cli.picture.gallery import hangs_already
from s2s_cli.picture.image import Picture, format_of, resize, to_uint8
from s2s_cli.picture.motion import (
    FILM_FORMATS,
    FilmWriter,
    Soundtrack,
    frame_rate,
    join_films,
    video_encoder,
)
from s2s_cli.picture.provenance import Provenance, Source, read_provenance, same
from s2s_cli.studio import Look, Studio

if TYPE_CHECKING:
    from s2s_cli.registry import Generator

# Painted at once, the last of a film filled up: how many are painted together moves the last bits
# of a picture, so it is always this many, wherever a run begins.
BATCH = 8
PART_S = 20.0  # of a film that is lost at most when a run is killed
HOP_S = 0.25  # between the moments at which the model listens
SMOOTH_REACH = 3  # standard deviations on either side; what lies beyond weighs 0.3 %

# Onsets: how much louder the spectrum became within 40 ms, in decibels, so that the same sound has
# the same onsets whatever comes before or after it.
ONSET_FFT = 512  # samples of a spectrum
ONSET_HOPS_A_SECOND = 50
ONSET_BANDS = 32  # of 8 frequencies each, since the loudness of a single one in noise is a lottery
ONSET_FLOOR_DB = -70.0  # of full scale; what rises from below this only rises from here
ONSET_FAINT_DB, ONSET_FULL_DB = 3.0, 12.0  # of rise: where a pulse begins, and where it is full
PULSE_S = 0.25  # in which a pulse falls to 37 %
PULSE_TURN = math.pi / 3  # of the noise, at a full pulse of a full beat
ASIDE = 2**32  # number of the noise towards which a pulse turns: no film has so many waypoints

UNFINISHED = "unfinished_s"  # the option by which a film's provenance tells that it broke off


@dataclass(frozen=True)
class FilmPlan:
    """All that decides a film beside its sound, its model and its seed.

    Raises:
        ValueError: a number is out of range.
    """

    start_s: float = 0.0  # where in the sound the film begins
    length_s: float | None = None  # of the film; None: as long as the sound
    fps: float = 12.0  # frames a second
    window_s: float = 4.0  # how much of the sound a picture hears, at most as much as the model can
    smooth_s: float = 1.0  # standard deviation of the Gaussian that smooths what is heard; 0 = none
    drift_s: float = 12.0  # in which the noise wanders from one seeded noise to the next; 0 = still
    beat: float = 0.0  # how far an onset pushes the noise: 0 = not at all, 1 = by PULSE_TURN
    truncation: float = 1.0  # scale of the noise; below 1 more typical and less varied
    size_px: int | None = None  # side of the picture; None as the model paints it

    def __post_init__(self) -> None:
        ranges = {
            "start_s": (0, math.inf),
            "length_s": (0.001, math.inf),
            "fps": (0.1, 60),
            "window_s": (0.1, math.inf),
            "smooth_s": (0, 60),
            "drift_s": (0, math.inf),
            "beat": (0, 1),
            "truncation": (0, math.inf),
            "size_px": (1, math.inf),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"expected {least} <= {name} <= {most}, got {value}")

    @property
    def look(self) -> Look:
        """The part of it that pictures have too."""
        return Look(self.start_s, self.truncation, self.size_px)

    @property
    def rate(self) -> Fraction:
        """Frames a second, exactly as the container counts them."""
        return frame_rate(self.fps)


def plan_of(made: Provenance) -> FilmPlan:
    """The plan of a film that was made before, whole or not.

    Raises:
        ValueError: it is no film, or one that this version cannot repeat.
    """
    if made.command != "film" or [source.role for source in made.sources] != ["sound"]:
        raise ValueError(f"s2s {made.command}")
    return from_table(FilmPlan, {k: v for k, v in made.options.items() if k != UNFINISHED})


def ignore(_: float) -> None:
    """What nobody wants to be told."""


class Reel(ABC):
    """What becomes a film part by part: its frames, its sound, and how it is made."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """How many pictures it has."""

    @property
    @abstractmethod
    def rate(self) -> Fraction:
        """Frames a second, exactly as the container counts them."""

    @property
    @abstractmethod
    def soundtrack(self) -> Soundtrack:
        """What is heard with it."""

    @property
    @abstractmethod
    def provenance(self) -> Provenance:
        """How the whole film is made."""

    @abstractmethod
    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Its frames from a multiple of ``BATCH`` on, (H, W, 3) each, and perhaps more behind them.

        A frame is the same wherever one begins.
        """

    def hangs_already(self, path: Path, force: bool = False) -> bool:
        """Whether this very film is there, whole.

        Raises:
            OutputError: another file is there, and ``force`` is not set; or it is no plain file,
                or one of its sources.
        """
        if os.path.lexists(path):
            if not os.path.isfile(path):
                raise OutputError(f"'{path}' is no file: choose another place with --out.")
            for source in self.provenance.sources:
                there = Path(source.name)
                if there != STDIN and there.exists() and path.samefile(there):
                    raise OutputError(
                        f"'{path}' is the {source.role} itself: "
                        "choose another place for its film with --out."
                    )
        return hangs_already(path, self.provenance, force or self.unfinished_s(path) > 0)

    def unfinished_s(self, path: Path) -> float:
        """How many seconds of this very film are there, broken off; 0 for any other file."""
        try:
            made = read_provenance(path)
        except PictureError:
            return 0.0
        options = dict(made.options)
        reached_s = options.pop(UNFINISHED, None)
        if not isinstance(reached_s, float) or not same(
            replace(made, options=options), self.provenance
        ):
            return 0.0
        return reached_s

    def shoot(
        self,
        path: Path,
        *,
        force: bool = False,
        advance: Callable[[int], object] = ignore,
        stopped: Callable[[float], object] = ignore,
    ) -> None:
        """Paint what is not painted yet, and put the film in its place.

        Ctrl-C and SIGTERM put what is there so far in its place, and then go on.

        Args:
            path: ends in .mp4 or .webm; what is there is another film only with ``force``.
            force: replace any file.
            advance: told of more frames that are done.
            stopped: told how many seconds were put in place when the work was interrupted.

        Raises:
            OutputError: it cannot be written, or another file is there.
        """
        if self.hangs_already(path, force):
            _Parts(path, self).clear()
            return
        format_of(path, FILM_FORMATS)  # before a part of it, whose name nobody knows, says so
        parts, pictures = _Parts(path, self), None
        number = painted = 0
        try:
            for number in range(parts.count):
                painted, frames = 0, parts.frames(number)
                if parts.is_whole(number):
                    pictures = None
                    advance(frames)
                    continue
                if pictures is None:
                    pictures = self.pictures(number * parts.longest)
                with parts.writer(number) as part:
                    try:
                        for picture in islice(pictures, frames):
                            part.add(picture)
                            painted += 1
                            advance(1)
                    except (KeyboardInterrupt, SystemExit):
                        if painted:
                            part.finish()
                            painted = part.frames
                        raise
                parts.keep(number)
        except (KeyboardInterrupt, SystemExit):
            # Where the signal struck is anybody's guess, so the disk says what there is.
            whole = number + parts.is_whole(number)
            reels = [parts.path(n) for n in range(whole)]
            reached = whole * parts.longest
            if whole == number and painted and parts.unfinished.exists():
                reels.append(parts.unfinished)
                reached += painted
            reached_s = float(min(reached, self.frames) / self.rate)
            if reached_s > self.unfinished_s(path):
                self._join(path, reels, {UNFINISHED: reached_s}, force)
                stopped(reached_s)
            parts.unfinished.unlink(missing_ok=True)
            parts.leave()
            raise
        self._join(path, [parts.path(n) for n in range(parts.count)], {}, force)
        parts.clear()

    def _join(self, path: Path, reels: list[Path], also: dict[str, float], force: bool) -> None:
        join_films(
            path,
            reels,
            replace(self.provenance, options={**self.provenance.options, **also}),
            fps=float(self.rate),
            soundtrack=self.soundtrack,
            replace=force or self.unfinished_s(path) > 0,
        )


@dataclass(frozen=True, eq=False)
class Film(Reel):
    """A sound, a model, a seed and a plan: everything that decides a film.

    >>> with open_stream("concert.ogg") as sound:
    ...     Film(Studio.open("pocket"), sound).shoot(Path("concert.mp4"))
    """

    studio: Studio
    sound: SoundStream  # opened from ``plan.start_s`` for ``plan.length_s``
    plan: FilmPlan = FilmPlan()
    seed: int = 0

    @property
    def frames(self) -> int:
        """How many pictures it has: the last begins before the sound ends."""
        return math.ceil(self.sound.samples * self.rate / self.sound.sample_rate)

    @property
    def rate(self) -> Fraction:
        """Frames a second, exactly as the container counts them."""
        return self.plan.rate

    @property
    def soundtrack(self) -> Soundtrack:
        """The sound itself."""
        return Soundtrack(self.sound.blocks(), self.sound.sample_rate, self.sound.channels)

    @cached_property
    def provenance(self) -> Provenance:
        """How the whole film is made."""
        look = self.plan.look
        source = Source("sound", self.sound.name, self.sound.sha256)
        own = {k: v for k, v in asdict(self.plan).items() if k not in asdict(look)}
        return self.studio.provenance("film", (source,), self.seed, look, **own)

    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Its frames from a multiple of ``BATCH`` on, (H, W, 3) each, and then the last for ever.

        A frame is the same wherever one begins.
        """
        plan, generator = self.plan, self.studio.model.generator
        features = moving_features(self.studio, self.sound, plan, first)
        pulses = self.pulses
        for start in count(first, BATCH):
            moments = [min(k, self.frames - 1) for k in range(start, start + BATCH)]
            noise = torch.stack(
                [
                    moving_noise(generator, self.seed, float(k / plan.rate), plan, pulses[k])
                    for k in moments
                ]
            )
            with torch.inference_mode():
                feature = torch.stack(list(islice(features, BATCH)))
                painted = generator.paint(noise, feature).cpu().numpy()
            for picture in to_uint8(painted):
                yield picture if plan.size_px is None else resize(picture, plan.size_px)

    @cached_property
    def pulses(self) -> NDArray[np.float32]:
        """How strong the pulse is in each frame, (frames,) in [0, 1]; without a beat all 0."""
        if not self.plan.beat:
            return np.zeros(self.frames, np.float32)
        sample_rate = self.studio.model.audio_encoder.config.sample_rate
        return pulses(onsets(self.sound.waves(sample_rate), sample_rate), self.frames, self.plan)


def moving_features(
    studio: Studio, sound: SoundStream, plan: FilmPlan, first: int = 0
) -> Iterator[Tensor]:
    """What is heard at frame ``first`` and at each one after it, (features,), without end.

    The model listens every ``HOP_S``; the direction of what it hears is smoothed by a Gaussian over
    ``smooth_s`` on either side of the moment.
    """
    config = studio.model.audio_encoder.config
    seconds = min(plan.window_s, config.seconds)

    def heard(moment: int) -> Iterator[Tensor]:
        around = windows(sound.waves(config.sample_rate), config.sample_rate, seconds, moment)
        return each_once(lambda wave: unit(studio.feature_of(wave)), around)

    reach = math.ceil(SMOOTH_REACH * plan.smooth_s / HOP_S)
    distance_s = HOP_S * torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (distance_s / (plan.smooth_s or 1)) ** 2)
    return smoothed(heard, weights.to(studio.device), plan.rate, first)


def smoothed(
    heard: Callable[[int], Iterator[Tensor]], weights: Tensor, rate: Fraction, first: int
) -> Iterator[Tensor]:
    """A weighted mean of what is heard around frame ``first`` and each one after it, without end.

    Args:
        heard: the features from a moment on, without end; moments are counted in ``HOP_S``.
        weights: (odd number,) of the moments around the frame's own, which is in the middle.
        rate: frames a second; one between two moments gets its share of both.
        first: frame.
    """
    weights, reach = weights / weights.sum(), len(weights) // 2
    newest = math.floor(first / rate / Fraction(HOP_S)) - reach - 1
    features = heard(newest + 1)
    around: deque[Tensor] = deque(maxlen=2 * reach + 2)
    for frame in count(first):
        place = frame / rate / Fraction(HOP_S)  # in hops
        before = math.floor(place)
        while newest < before + 1 + reach:
            around.append(next(features))
            newest += 1
        near = torch.stack(tuple(around))
        yield torch.lerp(weights @ near[:-1], weights @ near[1:], float(place - before))


def windows(waves: Iterator[Wave], sample_rate: int, seconds: float, first: int) -> Iterator[Wave]:
    """What is heard around moment ``first * HOP_S`` and each ``HOP_S`` after it, without end.

    Near its ends a window stays inside the sound rather than hearing less of it, and so it does
    around moments outside; of a sound that is shorter than the window, all is heard always.
    """
    length = round(seconds * sample_rate)
    held: deque[Wave] = deque()  # the sound from sample ``begin`` to ``end``
    begin = end = 0
    for hop in count(first):
        start = max(0, round(hop * HOP_S * sample_rate) - length // 2)
        while end < start + length and (wave := next(waves, None)) is not None:
            held.append(wave)
            end += len(wave)
            while begin + len(held[0]) <= min(start, end - length):
                begin += len(held.popleft())
        start = max(0, min(start, end - length))
        yield np.concatenate(held)[start - begin :][:length]


def each_once(hear: Callable[[Wave], Tensor], waves: Iterator[Wave]) -> Iterator[Tensor]:
    """What is heard in each wave; the same one twice in a row is heard once."""
    before, feature = None, torch.empty(0)
    for wave in waves:
        if before is None or not np.array_equal(wave, before):
            before, feature = wave, hear(wave)
        yield feature


def moving_noise(
    generator: "Generator", seed: int, moment_s: float, plan: FilmPlan, pulse: float = 0.0
) -> Tensor:
    """The noise of one moment: standard normal at every moment, times ``plan.truncation``.

    It wanders along a quarter of a great circle from one seeded noise to the next; the first is the
    seed's own. A pulse turns it towards one more noise, and lets it come back.
    """
    waypoint, share = divmod(moment_s / plan.drift_s, 1) if plan.drift_s else (0, 0.0)
    seeds = [waypoint_seed(seed, int(waypoint)), waypoint_seed(seed, int(waypoint) + 1)]
    here, there, aside = generator.noise([*seeds, waypoint_seed(seed, ASIDE)], plan.truncation)
    noise = _turned(here, there, share * math.pi / 2)
    return _turned(noise, aside, float(plan.beat * pulse) * PULSE_TURN)


def waypoint_seed(seed: int, number: int) -> int:
    """The seed of one of the noises that belong to a film's; number 0 is its own.

    They are scattered over 32 bits, for torch ignores the bits above, and films of neighbouring
    seeds should not meet.
    """
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) if number else seed


def _turned(here: Tensor, there: Tensor, angle: float) -> Tensor:
    """Of two independent noises, one on the great circle through both."""
    return math.cos(angle) * here + math.sin(angle) * there


def onsets(waves: Iterator[Wave], sample_rate: int) -> NDArray[np.float32]:
    """How strongly something sets in, 50 times a second: 0 where nothing does, 1 for a clap.

    Each is the rise of the loudness within two hops, averaged over bands of frequencies. An hour
    takes 0.7 MB.
    """
    hop = sample_rate // ONSET_HOPS_A_SECOND
    window = np.hanning(ONSET_FFT + 1)[:-1].astype(np.float32)
    rest = np.zeros(ONSET_FFT // 2, np.float32)  # so that a spectrum lies around its moment
    before = np.zeros((0, ONSET_BANDS), np.float32)
    strengths = []
    for wave in waves:
        rest = np.concatenate([rest, wave])
        if len(rest) < ONSET_FFT:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(rest, ONSET_FFT)[::hop]
        rest = rest[len(frames) * hop :]
        power = (np.abs(np.fft.rfft(frames * window)) / (window.sum() / 2)) ** 2
        bands = power[:, 1:].reshape(len(frames), ONSET_BANDS, -1).mean(axis=2)
        loud_db = 10 * np.log10(np.maximum(bands, 10 ** (ONSET_FLOOR_DB / 10)))
        if not len(before):
            before = loud_db[[0, 0]]  # a sound that begins loudly does not set in
        loud_db = np.concatenate([before, loud_db])
        rise_db = np.maximum(loud_db[2:] - loud_db[:-2], 0).mean(axis=1)
        before = loud_db[-2:]
        strength = (rise_db - ONSET_FAINT_DB) / (ONSET_FULL_DB - ONSET_FAINT_DB)
        strengths.append(strength.clip(0, 1).astype(np.float32))
    return np.concatenate(strengths) if strengths else np.zeros(1, np.float32)


def pulses(onset: NDArray[np.float32], frames: int, plan: FilmPlan) -> NDArray[np.float32]:
    """What onsets leave behind them, as each frame shows it: the most of its own time.

    onset: as ``onsets`` gives it. Returns (frames,) in [0, 1].
    """
    glow, fall = np.zeros(len(onset), np.float32), math.exp(-1 / (ONSET_HOPS_A_SECOND * PULSE_S))
    now = 0.0
    for at, strength in enumerate(onset):
        glow[at] = now = max(float(strength), now * fall)
    per_frame = ONSET_HOPS_A_SECOND / plan.rate
    edges = [min(math.ceil(k * per_frame), len(glow)) for k in range(frames + 1)]
    # Above 50 frames a second some have no moment of their own, and show the one before.
    shown = [glow[a:b].max() if b > a else glow[a - 1] for a, b in pairwise(edges)]
    return np.array(shown, np.float32)


class _Parts:
    """The pieces of a film, in a hidden folder beside it, until they are joined."""

    def __init__(self, path: Path, film: Reel) -> None:
        self._film, self._suffix = film, path.suffix.lower()
        self._folder = path.with_name(f".{path.name}.parts")
        self.longest = max(1, round(PART_S * film.rate / BATCH)) * BATCH  # frames
        self.count = math.ceil(film.frames / self.longest)
        self.unfinished = self._folder / f"unfinished{self._suffix}"

    def path(self, number: int) -> Path:
        return self._folder / f"{number:05}{self._suffix}"

    def frames(self, number: int) -> int:
        return min(self.longest, self._film.frames - number * self.longest)

    def provenance(self, number: int) -> Provenance:
        """That of the film, and what makes parts fit together."""
        whole = self._film.provenance
        mine: dict[str, int | str] = {"part": number, "encoder": video_encoder()}
        return replace(whole, options={**whole.options, **mine})

    def is_whole(self, number: int) -> bool:
        """Whether an earlier run has painted this part."""
        try:
            return same(read_provenance(self.path(number)), self.provenance(number))
        except PictureError:
            return False

    def writer(self, number: int) -> FilmWriter:
        with suppress(OSError):  # what stands in the way, the writer says in a sentence
            self.unfinished.unlink()  # of a run that was killed
        return FilmWriter(self.unfinished, self.provenance(number), fps=float(self._film.rate))

    def keep(self, number: int) -> None:
        """What was written is whole; only now it gets its name."""
        self.unfinished.replace(self.path(number))

    def leave(self) -> None:
        """A folder without a part is of no use."""
        with suppress(OSError):  # it is not empty
            self._folder.rmdir()

    def clear(self) -> None:
        """Nothing is needed any more; what others may have put there stays."""
        with suppress(OSError):
            for name in (f"*{self._suffix}", ".s2s-*.tmp"):
                for path in self._folder.glob(name):
                    path.unlink()
            self._folder.rmdir()
