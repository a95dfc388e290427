"""A long sound, block by block: an hour of it needs no more memory than a minute."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from s2s_cli.audio.sound import (
    COUNTING_CONTAINERS,
    SILENCE,
    OpenFile,
    Wave,
    beyond_full_scale,
    breaks_off,
    broken_off,
    called,
    digest,
    no_track,
    not_finite,
    nothing,
    opened,
    silent,
    source_path,
    spares_mpg123,
    undecodable,
)

if TYPE_CHECKING:
    from av.container import InputContainer

Block = NDArray[np.float32]  # (samples, channels), full scale is [-1, 1]

BLOCK = 1 << 16  # samples that libsndfile reads at once; FFmpeg gives a packet at a time
NO_END = sys.maxsize  # a sample that no file reaches


@dataclass(frozen=True)
class SoundStream:
    """A part of a sound, as often as it is wanted, but only by one reader at a time."""

    name: str  # as it was given
    sha256: str  # of the whole file's bytes
    sample_rate: int  # Hz, the file's own
    channels: int  # 1 or 2; more are averaged into one, since nobody told where they stand
    samples: int  # in each channel: exactly as many as ``blocks`` gives
    remarks: tuple[str, ...]  # whole sentences about what the user may not expect
    _track: "_Track"
    _first: int  # sample of the file

    @property
    def seconds(self) -> float:
        """How long it is heard."""
        return self.samples / self.sample_rate

    def blocks(self) -> Iterator[Block]:
        """All of it from its start, without gaps: (samples, channels) each, of any lengths."""
        for block in _part(self._track.blocks(), self._first, self._first + self.samples):
            yield block if self.channels == block.shape[1] else _mono(block)[:, None]

    def waves(self, sample_rate: int) -> Iterator[Wave]:
        """``blocks`` with the channels averaged, at another rate: (samples,) each, some empty."""
        return _monos(self.blocks(), self.sample_rate, sample_rate)


@dataclass(frozen=True)
class Underlay:
    """A sound as it lies under pictures: it may begin late, and fills their time to the sample."""

    sound: SoundStream
    samples: int  # of its whole time, at the sound's own rate
    late: int = 0  # samples of silence before the sound
    repeats: bool = False  # a sound that is over begins again; else silence follows it

    @property
    def sample_rate(self) -> int:
        """Hz, the sound's own."""
        return self.sound.sample_rate

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self.sound.channels

    def blocks(self) -> Iterator[Block]:
        """All of its time, without gaps: (samples, channels) each, of any lengths."""
        return _part(self._endless(), 0, self.samples)

    def waves(self, sample_rate: int) -> Iterator[Wave]:
        """``blocks`` with the channels averaged, at another rate: (samples,) each, some empty."""
        return _monos(self.blocks(), self.sample_rate, sample_rate)

    def _endless(self) -> Iterator[Block]:
        yield from self._silence(self.late)
        yield from self.sound.blocks()
        while self.repeats:
            yield from self.sound.blocks()
        yield from self._silence(self.samples)

    def _silence(self, samples: int) -> Iterator[Block]:
        for begin in range(0, samples, BLOCK):
            yield np.zeros((min(BLOCK, samples - begin), self.channels), np.float32)


@contextmanager
def open_stream(
    source: Path | str, *, start_s: float = 0.0, seconds: float | None = None
) -> Iterator[SoundStream]:
    """Open a sound file, or the sound track of a video, to be heard from one moment to another.

    It is heard through once before the block begins. So its length is known to the sample however
    its container counts, and no fault comes to light when half of a long work is done.

    Args:
        source: a file, or "-" for standard input, which is spooled to an unnamed temporary file.
        start_s: where to begin, at the source's nearest sample.
        seconds: the most to hear; None for all of it.

    Raises:
        SoundError: as for ``read_sound``; "silent" only if all of it is.
        ValueError: ``seconds`` is not positive, or ``start_s`` is negative.
    """
    if not start_s >= 0 or (seconds is not None and not seconds > 0):
        raise ValueError(f"expected start_s >= 0 and seconds > 0, got {start_s} and {seconds}")
    source = source_path(source)
    where = called(source)
    with ExitStack() as exits:
        file = exits.enter_context(opened(source, where))
        sha256 = digest(file, where)
        track, heard = _listen(file, where, start_s, seconds)
        rate = track.sample_rate
        if not heard.samples:
            raise nothing(where, start_s, heard.before / rate, heard.before)
        if heard.broken:
            raise not_finite(where, heard.broken, start_s + heard.first_broken / rate)
        if heard.peak < SILENCE:
            raise silent(where, start_s, start_s + heard.samples / rate)
        remarks = []
        if track.damaged:
            remarks.append(breaks_off(where))
        if track.floating and heard.peak > 1:
            remarks.append(beyond_full_scale(where, heard.peak))
        file_open = exits.pop_all()
    with closing(file_open):  # and not in its context: what fails in the block is not this file
        yield SoundStream(
            name=str(source),
            sha256=sha256,
            sample_rate=rate,
            channels=heard.channels if heard.channels <= 2 else 1,
            samples=heard.samples,
            remarks=tuple(remarks),
            _track=track,
            _first=round(start_s * rate),
        )


class _Track(Protocol):
    """What a decoder makes of a file."""

    sample_rate: int  # Hz
    floating: bool  # stored as floating point, so that values beyond 1 were meant
    damaged: bool  # whether ``blocks`` met less so far than the header promises

    def blocks(self) -> Iterator[Block]:
        """The file from its start, all of its channels."""


@dataclass
class _Heard:
    """What the first time through has shown of the part that is wanted."""

    before: int = 0  # samples in front of it
    samples: int = 0
    channels: int = 0
    peak: float = 0.0  # of the average of the channels, as the networks hear it
    broken: int = 0  # samples that are not finite
    first_broken: int = 0


def _listen(
    file: OpenFile, where: str, start_s: float, seconds: float | None
) -> tuple[_Track, _Heard]:
    """The first decoder that comes through, and what it heard."""
    if spares_mpg123(file):
        try:
            track = _BySoundfile(file)
            heard = _hear(track, start_s, seconds)
            if heard.before or heard.samples:  # else an unfinished recording: FFmpeg looks closer
                return track, heard
        except (soundfile.LibsndfileError, TypeError):  # TypeError: a suffix .raw wants parameters
            pass
    import av  # 64 ms that most sounds do not need; it keeps FFmpeg's log to itself unless asked

    try:
        by_av = _ByPyav(file, where)
        heard = _hear(by_av, start_s, seconds)
    except (av.FFmpegError, ValueError):
        raise undecodable(where) from None
    if by_av.damaged and not heard.before and not heard.samples:
        raise undecodable(where)
    return by_av, heard


def _hear(track: _Track, start_s: float, seconds: float | None) -> _Heard:
    first = round(start_s * track.sample_rate)
    last = NO_END if seconds is None else first + max(1, round(seconds * track.sample_rate))
    heard = _Heard()

    def counted() -> Iterator[Block]:
        for block in track.blocks():
            heard.before = min(first, heard.before + len(block))
            heard.channels = heard.channels or block.shape[1]
            yield block

    for block in _part(counted(), first, last):
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            if not heard.broken:
                heard.first_broken = heard.samples + int(np.argmin(finite))
            heard.broken += int(np.count_nonzero(~finite))
        else:
            heard.peak = max(heard.peak, float(np.abs(_mono(block)).max()))
        heard.samples += len(block)
    return heard


def _part(blocks: Iterator[Block], first: int, last: int) -> Iterator[Block]:
    """Samples ``first`` to ``last`` (exclusive); none of the blocks is empty."""
    at = 0
    for block in blocks:
        piece = block[max(first - at, 0) : max(last - at, 0)]
        at += len(block)
        if len(piece):
            yield piece
        if at >= last:
            return


def _mono(block: Block) -> Wave:
    mono: Wave = block.mean(axis=1, dtype=np.float32)
    return mono


def _monos(blocks: Iterator[Block], rate: int, sample_rate: int) -> Iterator[Wave]:
    monos = (_mono(block) for block in blocks)
    if sample_rate == rate:
        yield from monos
        return
    import soxr

    resampler = soxr.ResampleStream(rate, sample_rate, 1)  # HQ is its default
    for mono in monos:
        yield resampler.resample_chunk(mono)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


class _BySoundfile:
    def __init__(self, file: OpenFile) -> None:
        self._file = file
        file.seek(0)
        with soundfile.SoundFile(file) as sound:
            self.sample_rate: int = sound.samplerate
            self.floating = sound.subtype in ("FLOAT", "DOUBLE")
            self.damaged = broken_off(sound)

    def blocks(self) -> Iterator[Block]:
        self._file.seek(0)
        with soundfile.SoundFile(self._file) as sound:
            promised = sound.frames
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                promised -= len(block)
                yield block
            self.damaged |= promised > 0


class _ByPyav:
    """The first sound track, by FFmpeg."""

    def __init__(self, file: OpenFile, where: str) -> None:
        self._file, self._where = file, where
        self.damaged = False
        with self._open() as container:
            track = container.streams.audio[0]
            if track.codec_context is None or not track.codec_context.sample_rate:
                raise ValueError("a codec that FFmpeg does not know")
            self.sample_rate = track.codec_context.sample_rate
            self.floating = track.codec_context.name.startswith("pcm_f")

    def blocks(self) -> Iterator[Block]:
        import av

        with self._open() as container:
            track, rate = container.streams.audio[0], self.sample_rate
            origin = track.start_time or 0
            per_tick = (track.time_base or Fraction(1, rate)) * rate  # samples
            counts = container.format.name.split(",")[0] in COUNTING_CONTAINERS
            counted = round(track.duration * per_tick) if counts and track.duration else None
            resampler = av.AudioResampler(format="fltp", rate=rate)
            end = None  # how far the track has been decoded, in samples
            try:
                for packet in container.demux(track):
                    try:
                        frames = packet.decode()
                    except av.InvalidDataError:
                        self.damaged = True
                        continue
                    for frame in frames:
                        if end is None:
                            end = round(((frame.pts or 0) - origin) * per_tick)
                        for part in resampler.resample(frame):
                            block = part.to_ndarray().T.astype(np.float32, copy=False)
                            if end < 0:  # what an encoder puts in front to prime itself
                                block = block[-end:]
                            end += part.samples
                            if counted is not None and end > counted:  # and behind, to fill up
                                block = block[: max(0, len(block) - (end - counted))]
                            yield block
            except (av.FFmpegError, ValueError):  # the file ends in the middle of a packet
                self.damaged = True
            if counted is not None and end is not None:
                self.damaged |= end < counted - rate // 10

    @contextmanager
    def _open(self) -> Iterator["InputContainer"]:
        import av

        self._file.seek(0)
        # No protocol but the open file: a playlist named .m4a must not reach for other files.
        options = {"protocol_whitelist": "none"}
        with av.open(self._file, "r", options=options, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise no_track(self._where)
            yield container
