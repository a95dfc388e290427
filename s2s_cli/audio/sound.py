"""Any file that sounds -> a mono wave at the rate a network wants, holding one window in memory."""

import hashlib
import io
import math
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from s2s_cli.errors import SoundError

if TYPE_CHECKING:
    from av.container import InputContainer

Wave = NDArray[np.float32]  # (samples,), full scale is [-1, 1]
OpenFile = io.BufferedReader | io.BufferedRandom  # seekable, at any place

STDIN = Path("-")  # stands for standard input, here and on the command line
STDIN_BYTES = 2 * 1024**3  # the most that is spooled from a pipe: three hours of CD-quality wav
SILENCE = 1e-5  # a peak below this, -100 dB of full scale, is digital silence

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mka", ".wma")
OTHER_SUFFIXES = (".aif", ".aiff", ".au", ".caf", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
SUFFIXES = frozenset(SOUND_SUFFIXES + OTHER_SUFFIXES)  # what a folder is searched for

# The resampler's filter reaches a few milliseconds; without neighbours it would ring at both ends.
CONTEXT_S = 0.1
# Compressed sound is decoded from this far ahead, so that frames which lean on earlier ones
# (MP3's bit reservoir, AAC's overlap, Opus's 80 ms of convergence) come out as in a whole read.
PREROLL_S = 0.5
# Containers whose header counts the samples; elsewhere FFmpeg's length may be a guess by bit rate.
COUNTING_CONTAINERS = ("mov", "flac", "wav")


@dataclass(frozen=True)
class Sound:
    """What was heard of a file, and what a picture's provenance needs to know about it."""

    wave: Wave  # (samples,), at most the seconds asked for; float files may go beyond [-1, 1]
    sample_rate: int  # Hz, of the wave
    name: str  # of the file, without folders; "stdin" for standard input
    sha256: str  # of the file's bytes
    start_s: float  # where the wave begins in the file
    source_seconds: float | None  # length of the whole file, where its container tells
    remarks: tuple[str, ...]  # whole sentences about what the user may not expect


@dataclass(frozen=True)
class _Heard:
    """What a decoder hears: the window asked for, and a little around it for the resampler."""

    channels: NDArray[np.float32]  # (samples, channels), at ``rate``
    rate: int  # Hz
    lead: int  # how many samples come before the window
    length: int | None  # samples in the whole file, where known
    cut_short: bool  # less is there than the header promises, or pieces of it do not decode
    floating: bool  # stored as floating point, so that values beyond 1 were meant


class SilentError(SoundError):
    """A sound in which there is nothing to hear."""


def read_sound(
    source: Path | str,
    *,
    sample_rate: int,
    seconds: float,
    start_s: float = 0.0,
    hashed: bool = True,
) -> Sound:
    """Hear one window of any sound file, or of the sound track of a video.

    Channels are averaged, integers scaled to [-1, 1], and the rate changed by soxr's HQ filter
    (-143 dB of aliasing, measured), which sees the file's own samples on either side of the window.
    Memory depends on the window, never on the file's length.

    Args:
        source: a file, or "-" for standard input, which is spooled to an unnamed temporary file.
        sample_rate: Hz, of the wave returned.
        seconds: the most to return; fewer come back where the sound ends earlier (see ``fit``).
        start_s: where to begin. The window starts at the source's nearest sample; in Matroska and
            WebM, which count milliseconds, a start after ``PREROLL_S`` is exact to one of those.
        hashed: whether to read the whole file for its SHA-256, which takes long for a long video;
            else that is empty.

    Raises:
        SoundError: missing, unreadable, empty, not a sound, without a sound track, silent, not
            finite, or over before ``start_s``.
        ValueError: ``seconds`` is not positive, or ``start_s`` is negative.
    """
    if not seconds > 0 or not start_s >= 0:
        raise ValueError(f"expected seconds > 0 and start_s >= 0, got {seconds} and {start_s}")
    source = source_path(source)
    where = called(source)
    with opened(source, where) as file:
        sha256 = digest(file, where) if hashed else ""
        heard = _decoded(file, where, _Window(start_s, seconds, sample_rate))

    rate, lead = heard.rate, heard.lead
    length_s = None if heard.length is None else heard.length / rate
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported below
        mono = heard.channels.mean(axis=1, dtype=np.float32)
    wave = _resampled(mono, rate, sample_rate)[lead * sample_rate // rate :]
    wave = wave[: round(seconds * sample_rate)]
    if not wave.size:
        raise nothing(where, start_s, length_s, mono.size)
    broken = np.flatnonzero(~np.isfinite(mono))
    if broken.size:
        raise not_finite(where, broken.size, start_s + (broken[0] - lead) / rate)
    window = mono[lead : lead + math.ceil(seconds * rate)]
    peak = float(np.abs(window).max())
    window_s = len(window) / rate
    if peak < SILENCE:
        raise silent(where, start_s, start_s + window_s)

    remarks = []
    if heard.cut_short:
        remarks.append(breaks_off(where))
    if len(wave) < round(seconds * sample_rate):
        remarks.append(f"{where} gives {window_s:.3g} s, repeated where {seconds:g} s are wanted.")
    elif length_s is None or length_s > window_s:
        whole = "is longer" if length_s is None else f"lasts {length_s:.6g} s"
        remarks.append(f"{where} {whole}; {seconds:g} s of it were heard, from {start_s:g} s on.")
    if heard.floating and peak > 1:
        remarks.append(beyond_full_scale(where, peak))
    return Sound(
        wave=wave,
        sample_rate=sample_rate,
        name="stdin" if source == STDIN else source.name,
        sha256=sha256,
        start_s=start_s,
        source_seconds=length_s,
        remarks=tuple(remarks),
    )


def source_path(source: Path | str) -> Path:
    """What the user named: a file, or ``STDIN`` where it is exactly "-".

    Raises:
        SoundError: it is empty: an unset variable in a script, most likely.
    """
    if not str(source):
        raise SoundError("An empty name is no sound: name a file, a folder, or -.")
    path = Path(source)
    # "./-" is a file that is called so, which pathlib would take for "-".
    return path.absolute() if path == STDIN and str(source) != str(STDIN) else path


def refuse(fault: SoundError) -> None:
    """End at the first fault."""
    raise fault


def find_sounds(
    paths: Sequence[Path], refused: Callable[[SoundError], None] = refuse
) -> list[Path]:
    """The sounds that arguments stand for, in the order given; folders are walked in sorted order.

    A file is passed on untouched, as is ``STDIN``, whether or not it exists: ``read_sound`` says
    what is wrong with it, so that one bad file does not stop the others. In a folder only names
    with one of ``SUFFIXES`` count; hidden files and folders are left out.

    Args:
        paths: files, folders, or ``STDIN``.
        refused: told of each folder inside one of them that may not be read.

    Raises:
        SoundError: a folder holds no sounds.
    """
    found: list[Path] = []
    for path in paths:
        if os.path.isdir(path):  # which, unlike pathlib's, never raises
            inside = sorted(_walk(path, refused))
            if not inside:
                raise SoundError(
                    f"'{path}' holds no sounds; choose a folder with files such as .wav or .mp3."
                )
            found += inside
        else:
            found.append(path)
    return found


def fit(wave: Wave, samples: int) -> Wave:
    """The wave repeated end to end, without a fade, and cut so that it has ``samples`` samples.

    Raises:
        ValueError: ``wave`` is empty.
    """
    if not wave.size:
        raise ValueError("expected at least one sample to repeat, got none")
    return np.resize(wave, samples)


def encode_wav(wave: Wave, sample_rate: int) -> bytes:
    """The bytes of a wav file: 24 bits a sample, or floats where the wave passes full scale."""
    file = io.BytesIO()
    subtype = "PCM_24" if np.abs(wave).max(initial=0) <= 1 else "FLOAT"
    soundfile.write(file, wave, sample_rate, subtype=subtype, format="WAV")
    return file.getvalue()


def _walk(folder: Path, refused: Callable[[SoundError], None]) -> Iterator[Path]:
    def closed(error: OSError) -> None:
        refused(
            SoundError(
                f"'{error.filename}' cannot be searched ({error.strerror}); check its permissions."
            )
        )

    for parent, folders, names in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


@contextmanager
def opened(source: Path, where: str) -> Iterator[OpenFile]:
    """The file, opened once for hashing and decoding; pipes are spooled, for decoders must seek."""
    try:
        if source == STDIN:
            if sys.stdin is None or sys.stdin.isatty():
                raise SoundError("Standard input is empty; pipe a sound into it, or name a file.")
            with _spooled(sys.stdin.buffer, where) as spool:
                yield spool
            return
        with source.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield file
            else:
                with _spooled(file, where) as spool:
                    yield spool
    except FileNotFoundError:
        raise SoundError(f"There is no file {where}; check the path.") from None
    except IsADirectoryError:
        raise SoundError(f"{where} is a folder; name a file inside it.") from None
    except PermissionError:
        raise SoundError(f"{where} may not be read; check its permissions.") from None
    except OSError as error:
        reason = error.strerror or error
        raise SoundError(f"{where} cannot be read ({reason}); try a copy of it.") from None


@contextmanager
def _spooled(pipe: BinaryIO, where: str) -> Iterator[OpenFile]:
    """What a pipe gives, in a temporary file that has no name and so cannot be left behind."""
    with tempfile.TemporaryFile() as spool:
        while chunk := pipe.read(1 << 20):
            if spool.tell() + len(chunk) > STDIN_BYTES:
                raise SoundError(
                    f"{where} gives more than {STDIN_BYTES >> 30} GiB; "
                    "save it to a file and name that instead."
                )
            spool.write(chunk)
        spool.seek(0)
        yield spool


@dataclass(frozen=True)
class _Window:
    start_s: float
    seconds: float
    sample_rate: int  # Hz, after resampling

    def span(self, rate: int) -> tuple[int, int, int]:
        """First and last (exclusive) source sample to decode, and how many lead up to the window.

        The lead is a whole number of samples at both rates, so that it can be cut off again after
        resampling without moving the sound by a fraction of a sample.
        """
        start = round(self.start_s * rate)
        step = rate // math.gcd(rate, self.sample_rate)
        context = 0 if step == 1 else math.ceil(CONTEXT_S * rate / step) * step
        lead = min(context, start // step * step)
        return start - lead, start + math.ceil(self.seconds * rate) + context, lead


def _decoded(file: OpenFile, where: str, window: _Window) -> _Heard:
    if spares_mpg123(file):
        try:
            heard = _by_soundfile(file, window)
            if heard.length:  # an unfinished recording claims to hold nothing; FFmpeg looks closer
                return heard
        except (soundfile.LibsndfileError, TypeError):  # TypeError: a suffix .raw wants parameters
            pass
    file.seek(0)
    return _by_pyav(file, where, window)


def _by_soundfile(file: OpenFile, window: _Window) -> _Heard:
    with soundfile.SoundFile(file) as sound:
        first, last, lead = window.span(sound.samplerate)
        sound.seek(min(first, sound.frames))
        channels = sound.read(last - first, dtype="float32", always_2d=True)
        missing = len(channels) < min(last, sound.frames) - first
        return _Heard(
            channels=channels,
            rate=sound.samplerate,
            lead=lead,
            length=sound.frames,
            cut_short=broken_off(sound) or missing,
            floating=sound.subtype in ("FLOAT", "DOUBLE"),
        )


def _by_pyav(file: OpenFile, where: str, window: _Window) -> _Heard:
    import av  # 64 ms that most sounds do not need; it keeps FFmpeg's log to itself unless asked

    for seek in (True, False):
        file.seek(0)
        try:
            # No protocol but the open file: a playlist named .m4a must not reach for other files.
            options = {"protocol_whitelist": "none"}
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                if not container.streams.audio:
                    raise no_track(where)
                heard = _by_track(container, window, seek=seek)
        except (av.FFmpegError, ValueError):
            raise undecodable(where) from None
        if heard is not None:
            return heard
    raise undecodable(where)


def _by_track(container: "InputContainer", window: _Window, *, seek: bool) -> _Heard | None:
    """The window of the first sound track; None if seeking missed it, or if all of it is broken."""
    import av

    track = container.streams.audio[0]
    if track.codec_context is None or not track.codec_context.sample_rate:
        raise ValueError("a codec that FFmpeg does not know")
    rate, origin = track.codec_context.sample_rate, track.start_time or 0
    per_tick = (track.time_base or Fraction(1, rate)) * rate  # samples
    first, last, lead = window.span(rate)
    length = round(container.duration * rate / av.time_base) if container.duration else None
    counted = None
    if track.duration and container.format.name.split(",")[0] in COUNTING_CONTAINERS:
        length = counted = round(track.duration * per_tick)
        last = min(last, counted)  # what follows is the encoder's padding

    early = int((first - PREROLL_S * rate) / per_tick) + origin  # no packet before this is decoded
    if seek and early > origin and length is not None:
        container.seek(int(early * per_tick / rate * av.time_base))

    resampler = av.AudioResampler(format="fltp", rate=rate)
    pieces: list[NDArray[np.float32]] = []  # (samples, channels) each, without gaps
    end = None  # how far the track has been decoded, in samples
    damaged = over = False
    try:
        for packet in container.demux(track):
            if packet.pts is not None and packet.pts < early:
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                damaged |= packet.pts is None or (packet.pts - origin) * per_tick >= first
                continue
            for frame in frames:
                if end is None:
                    end = round(((frame.pts or 0) - origin) * per_tick)
                    if seek and end > first:
                        return None
                for part in resampler.resample(frame):
                    end += part.samples
                    if end > first:
                        pieces.append(part.to_ndarray().T.astype(np.float32, copy=False))
            if end is not None and end >= last:
                break
        else:
            over = True
    except (av.FFmpegError, ValueError):  # the file ends in the middle of a packet
        damaged = over = True
    if end is None and damaged:
        return None

    channels = np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)
    begin = (end or 0) - len(channels)
    if over and end is not None:
        damaged |= counted is not None and end < counted - rate // 10
        length = end if counted is None else min(end, counted)
    return _Heard(
        channels=channels[max(first - begin, 0) : max(last - begin, 0)],
        rate=rate,
        lead=lead,
        length=length,
        cut_short=damaged,
        floating=track.codec_context.name.startswith("pcm_f"),
    )


def _resampled(mono: Wave, rate: int, sample_rate: int) -> Wave:
    if rate == sample_rate:
        return mono
    import soxr

    resampled: Wave = soxr.resample(mono, rate, sample_rate)  # HQ is its default
    return resampled


# What a file that is opened in blocks (``stream``) and one that is read in a piece have in common


def called(source: Path) -> str:
    """What a sentence calls a sound."""
    return "Standard input" if source == STDIN else f"'{source}'"


def digest(file: OpenFile, where: str) -> str:
    """The SHA-256 of a whole file, in hexadecimal; leaves it at its end.

    Raises:
        SoundError: it has no bytes.
    """
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not file.tell():
        raise SoundError(f"{where} is empty (0 bytes); choose another sound.")
    return sha256


def spares_mpg123(file: OpenFile) -> bool:
    """Whether libsndfile may try: it hands MP3 to mpg123, which complains to stderr of damage."""
    file.seek(0)
    head = file.read(3)
    file.seek(0)
    return not head.startswith((b"ID3", b"\xff"))


def broken_off(sound: soundfile.SoundFile) -> bool:
    """Whether a wav's header promised more than is there.

    libsndfile quietly corrects it; only its log tells. A length of 2 GiB or more is what programs
    write into a pipe, where they cannot come back to correct it.
    """
    corrected = re.search(r"^data : (\d+) \(should be", sound.extra_info, re.MULTILINE)
    return corrected is not None and int(corrected[1]) < 2**31 - 2**16


def undecodable(where: str) -> SoundError:
    """No decoder makes anything of it."""
    return SoundError(
        f"{where} cannot be decoded: it is not a sound, or a part of it is missing; "
        "try another copy of it, or another sound."
    )


def no_track(where: str) -> SoundError:
    """A film without sound, or a picture."""
    return SoundError(f"{where} has no sound track; choose a file that has one.")


def nothing(where: str, start_s: float, length_s: float | None, samples: int) -> SoundError:
    """Nothing is heard from ``start_s`` on."""
    if start_s == 0:
        return SoundError(
            f"{where} holds {samples} samples, too few to hear; choose another sound."
        )
    length = "" if length_s is None else f" (it lasts {length_s:.6g} s)"
    return SoundError(f"{where} is over before {start_s:g} s{length}; choose an earlier --start.")


def not_finite(where: str, samples: int, first_s: float) -> SoundError:
    """So many samples are no numbers."""
    return SoundError(
        f"{where} holds {samples} samples that are NaN or infinite, the first at "
        f"{first_s:.6g} s; export it again, or choose another part with --start."
    )


def silent(where: str, start_s: float, end_s: float) -> SilentError:
    """Digital silence."""
    return SilentError(
        f"{where} is silent from {start_s:g} s to {end_s:.6g} s (peak below "
        "-100 dB); choose another part with --start, or another sound."
    )


def breaks_off(where: str) -> str:
    """A remark: less was heard than the file promises."""
    return f"{where} is damaged or breaks off early; what can be heard of it was used."


def beyond_full_scale(where: str, peak: float) -> str:
    """A remark: a player will clip this."""
    return f"{where} reaches {peak:.3g} times full scale, and was kept as it is."
