"""A clip becomes training pairs: frames, and the sounds around them.

A long clip is cut into stretches, each of which counts as one video of the papers. In each a few
moments are chosen, and around every one of them a window of sound is cut (Sound2Scene, section
3.3). Memory does not grow with the clip.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol

import numpy as np

from s2s_cli.audio.sound import SilentError, Wave, read_sound
from s2s_cli.choices import Select
from s2s_cli.data.layouts import TEST, Clip
from s2s_cli.data.samples import SAMPLE_RATE, Pcm, to_pcm
from s2s_cli.errors import S2SError
from s2s_cli.picture.image import Picture, resize_to
from s2s_cli.picture.photo import read_photo
from s2s_cli.picture.video import Glimpses, open_glimpses

SHORTEST_S = 0.5  # of a clip: there is little to hear in less
CHAPTER_S = 600.0  # of a long sound that is held at once: 40 MB


class Reason(StrEnum):
    """Why there are no pairs of a clip, or of a stretch of it."""

    MUTE = "no sound track"
    SILENT = "silent"
    SHORT = "too short"
    UNTOLD = "no annotated moment"
    BROKEN = "cannot be read"
    CRASHED = "crashes what reads it"
    HUNG = "is read without end"


@dataclass(frozen=True)
class Excerpt:
    """A sound and the frames that go with it."""

    start_s: float  # of the sound, from the video's beginning
    sound: Pcm
    frames: tuple[Picture, ...]  # the best first, where they were ranked
    frames_s: tuple[float, ...] = ()  # when each is shown; of a photo nobody knows
    scores: tuple[float, ...] = ()  # what the localiser gave each, if one was asked


@dataclass(frozen=True)
class Gap:
    """A stretch of a clip, or all of it, that gives nothing."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True)
class Choice:
    """All that decides the excerpts of a clip, beside the network that chooses moments.

    Raises:
        ValueError: a number is out of range.
    """

    select: Select = Select.LOCALISER
    top: int = 1  # moments of each stretch that are kept
    # Frames a second among which a localiser chooses: a hit is heard for less than half a second.
    rate: float = 2.0
    stretch_s: float = 10.0  # what counts as one video
    seconds: float = 10.0  # of sound around a moment
    size_px: int = 256  # a frame's shorter side; smaller ones stay as they are

    def __post_init__(self) -> None:
        ranges = {
            "top": (1, 100),
            "rate": (0.1, 30),
            "stretch_s": (SHORTEST_S, CHAPTER_S),
            "seconds": (SHORTEST_S, CHAPTER_S),
            "size_px": (16, 4096),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"expected {least:g} <= {name} <= {most:g}, got {value}")


class Scorer(Protocol):
    """Tells how well pictures go with sounds."""

    seconds: float  # of sound that it hears around a moment

    def score(self, pictures: Sequence[Picture], waves: Sequence[Wave]) -> Sequence[float]:
        """For each picture, all (H, W, 3), and its wave at ``SAMPLE_RATE``: higher goes better."""


def excerpts_of(
    clip: Clip, choice: Choice, scorer: Scorer | None = None
) -> Iterator[Excerpt | Gap]:
    """What a clip gives, in the order of time.

    Whatever is wrong with its files is a gap, and nothing follows it.

    Args:
        clip: of a video; or of a sound that a photo goes with, and then they are one excerpt.
        choice: how.
        scorer: which chooses, where ``choice`` wants a localiser to.
    """
    try:
        if clip.photo is not None:
            yield _matched(clip, choice)
            return
        with open_glimpses(clip.video) as video:
            size = frame_size(video.height, video.width, choice.size_px)
            yield from _Reader(clip, video.sized(*size), choice, scorer).parts()
    except SilentError as fault:
        yield Gap(Reason.SILENT, str(fault))
    except S2SError as fault:
        yield Gap(Reason.BROKEN, str(fault))
    except Exception as fault:  # decoders trip over whatever a broken file makes them
        yield Gap(Reason.BROKEN, f"'{clip.video}': {type(fault).__name__}: {fault}")


def frame_size(height: int, width: int, size_px: int) -> tuple[int, int]:
    """Height and width in the same aspect, with the shorter side at most ``size_px``."""
    scale = min(1.0, size_px / min(height, width))
    return round(height * scale), round(width * scale)


def _matched(clip: Clip, choice: Choice) -> Excerpt | Gap:
    """A photo and the beginning of its sound, as Sound2Scene's loader takes it."""
    assert clip.photo is not None
    wave = read_sound(
        clip.video,
        sample_rate=SAMPLE_RATE,
        seconds=choice.seconds,
        start_s=clip.start_s,
        hashed=False,
    ).wave
    if len(wave) < SHORTEST_S * SAMPLE_RATE:
        return Gap(Reason.SHORT)
    photo = read_photo(clip.photo).srgb
    size = frame_size(photo.shape[0], photo.shape[1], choice.size_px)
    frame = photo if photo.shape[:2] == size else resize_to(photo, *size)
    sound = to_pcm(wave)
    return Excerpt(clip.start_s, sound, (frame,)) if sound.any() else Gap(Reason.SILENT)


@dataclass(frozen=True)
class Span:
    """From one sample to another, at ``SAMPLE_RATE``, counted from a video's first picture on."""

    first: int
    last: int  # behind the last one

    @classmethod
    def of(cls, first_s: float, last_s: float) -> "Span":
        """The nearest samples."""
        return cls(round(first_s * SAMPLE_RATE), round(last_s * SAMPLE_RATE))

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    @property
    def first_s(self) -> float:
        """When it begins."""
        return self.first / SAMPLE_RATE

    @property
    def last_s(self) -> float:
        """When it is over."""
        return self.last / SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self) / SAMPLE_RATE

    def within(self, other: "Span") -> "Span":
        """What both have in common."""
        return Span(max(self.first, other.first), min(self.last, other.last))

    def around(self, moment_s: float, seconds: float) -> "Span":
        """So many seconds with a moment in their middle, moved so as to stay inside."""
        length = min(round(seconds * SAMPLE_RATE), len(self))
        first = round((moment_s - seconds / 2) * SAMPLE_RATE)
        first = max(self.first, min(first, self.last - length))
        return Span(first, first + length)

    def cut(self, seconds: float) -> list["Span"]:
        """Equal pieces; what remains joins the last one if it is shorter than half a piece."""
        count = max(1, math.floor(self.seconds / seconds + 0.5))
        cuts = [self.first + round(n * seconds * SAMPLE_RATE) for n in range(1, count)]
        return [Span(*ends) for ends in zip([self.first, *cuts], [*cuts, self.last], strict=True)]

    def moments_s(self, count: int) -> list[float]:
        """The middles of so many equal parts."""
        return [self.first_s + (part + 0.5) * self.seconds / count for part in range(count)]


@dataclass(frozen=True)
class _Heard:
    """What is heard in a span."""

    wave: Wave
    span: Span

    def cut(self, span: Span) -> Wave:
        """The part of it that lies in ``span``."""
        return self.wave[span.first - self.span.first : span.last - self.span.first]


@dataclass(frozen=True)
class _Moment:
    """At which a frame may be taken, and what is heard around it."""

    at_s: float
    window: Span


@dataclass(frozen=True)
class _Reader:
    """A clip of an open video."""

    clip: Clip
    video: Glimpses
    choice: Choice
    scorer: Scorer | None

    def parts(self) -> Iterator[Excerpt | Gap]:
        """All of it."""
        if not self.video.sounds:
            yield Gap(Reason.MUTE)
            return
        begins_s, seconds = self.clip.start_s, self.clip.seconds
        until_s = math.inf if seconds is None else begins_s + seconds
        whole = Span.of(
            max(0.0, begins_s, self.video.sound_late_s), self.video.ends_s(begins_s, until_s)
        )
        if whole.seconds < SHORTEST_S:
            yield Gap(Reason.SHORT)
            return
        stretches = iter(whole.cut(self.choice.stretch_s))
        reach_s = max(self.choice.seconds, self.scorer.seconds if self.scorer else 0.0)
        while chapter := list(islice(stretches, math.ceil(CHAPTER_S / self.choice.stretch_s))):
            near = Span.of(chapter[0].first_s - reach_s, chapter[-1].last_s + reach_s)
            yield from self._chapter(chapter, self._listen(whole.within(near)))

    def _listen(self, span: Span) -> _Heard:
        try:
            wave = read_sound(
                self.clip.video,
                sample_rate=SAMPLE_RATE,
                seconds=span.seconds,
                start_s=max(0.0, span.first_s - self.video.sound_late_s),
                hashed=False,
            ).wave
        except SilentError:
            wave = np.zeros(len(span), np.float32)
        return _Heard(wave, Span(span.first, span.first + len(wave)))

    def _chapter(self, stretches: Sequence[Span], heard: _Heard) -> Iterator[Excerpt | Gap]:
        parts = [self._audible(stretch, heard) for stretch in stretches]
        # Where nothing is heard, no picture is decoded.
        wanted = [part for part in parts if not isinstance(part, Gap)]
        pictures = self.video.pictures([moment.at_s for part in wanted for moment in part])
        for part in parts:
            if isinstance(part, Gap):
                yield part
                continue
            frames = list(islice(pictures, len(part)))
            if not frames:
                yield Gap(Reason.BROKEN, f"'{self.clip.video}' shows fewer pictures than it says.")
                continue
            yield from self._chosen(part[: len(frames)], frames, heard)

    def _audible(self, stretch: Span, heard: _Heard) -> list[_Moment] | Gap:
        """The moments of a stretch at which to look, in their order."""
        # A sound that is longer than the stretch reaches into its neighbours.
        bounds = stretch.within(heard.span)
        if bounds.seconds < self.choice.seconds:
            bounds = heard.span
        moments = [
            _Moment(at_s, bounds.around(at_s, self.choice.seconds))
            for at_s in sorted(self._looked_at(stretch))
        ]
        audible = [moment for moment in moments if to_pcm(heard.cut(moment.window)).any()]
        return audible or Gap(Reason.SILENT if moments else Reason.UNTOLD)

    def _looked_at(self, stretch: Span) -> list[float]:
        told_s = self.clip.moments_s
        match self.choice.select:
            case Select.LOCALISER:
                return stretch.moments_s(max(1, round(stretch.seconds * self.choice.rate)))
            case Select.EVEN:
                return stretch.moments_s(self.choice.top)
            # Sound2Scene's authors annotated what is trained on, and test with middle frames.
            case Select.ANNOTATED if told_s or self.clip.split != TEST:
                inside_s = [at_s for at_s in told_s if stretch.first_s <= at_s < stretch.last_s]
                return inside_s[: self.choice.top]
            case _:
                return stretch.moments_s(1)

    def _chosen(
        self, moments: Sequence[_Moment], frames: Sequence[Picture], heard: _Heard
    ) -> Iterator[Excerpt]:
        """One excerpt for each window of sound, with all frames whose window it is."""
        kept, scores = list(range(len(moments))), None
        if self.choice.select is Select.LOCALISER:
            assert self.scorer is not None
            hears_s = self.scorer.seconds
            waves = [heard.cut(heard.span.around(m.at_s, hears_s)) for m in moments]
            scores = self.scorer.score(frames, waves)
            # C_av[t] is sorted, and the top k are taken; of equals the earlier ones.
            kept = sorted(kept, key=lambda n: -scores[n])[: self.choice.top]
        elif self.choice.select is Select.ANNOTATED and self.clip.moments_s:
            kept.sort(key=lambda n: self.clip.moments_s.index(moments[n].at_s))
        windows: dict[Span, list[int]] = {}
        for number in kept:
            windows.setdefault(moments[number].window, []).append(number)
        for window in sorted(windows, key=lambda window: window.first):
            numbers = windows[window]
            yield Excerpt(
                start_s=window.first_s,
                sound=to_pcm(heard.cut(window)),
                frames=tuple(frames[n] for n in numbers),
                frames_s=tuple(moments[n].at_s for n in numbers),
                scores=tuple(scores[n] for n in numbers) if scores is not None else (),
            )
