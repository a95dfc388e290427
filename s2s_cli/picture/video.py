"""A video's pictures, one after another: upright, at a steady pace, and never all in memory."""

import hashlib
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from s2s_cli.errors import PictureError
from s2s_cli.picture.image import Picture, resize_to, scaled_size
from s2s_cli.picture.photo import readable

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What a file is called whose pictures move and that may carry a sound.
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".wmv", ".flv", ".ogv"),
        *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    )
)
FASTEST_FPS = 1000  # what claims to be faster counts its clock's ticks, not its pictures
UNTOLD = 2  # how H.273 calls a matrix that nobody named
HD_LINES = 720  # from which a matrix that nobody named is BT.709
STUDIO_RANGE, FULL_RANGE = 1, 2
HDR_CURVES = {16: "PQ", 18: "HLG"}  # as H.273 counts them
UPRIGHT: tuple[int, ...] = (1, 0, 0, 1)
JUMP_S = 1.0  # what is wanted from later than this on is jumped to
# Containers with a list of their key frames. In others FFmpeg guesses, and may land between two.
INDEXED = ("mov", "matroska", "avi")


@dataclass(frozen=True)
class Video:
    """The pictures of a video, as often as they are wanted, but only by one reader at a time."""

    name: str  # as it was given
    sha256: str  # of the whole file, in hexadecimal
    height: int  # of a picture, upright, of square pixels
    width: int
    rate: Fraction  # pictures a second: exactly as the file counts them, or on average
    frames: int  # exactly as many as ``pictures`` gives from 0 on
    sounds: bool  # whether there is a sound track
    sound_late_s: float  # by how much the sound track begins after the first picture; may be < 0
    remarks: tuple[str, ...]  # whole sentences about what the user may not expect
    _file: BufferedReader

    def scaled(self, side_px: int) -> "Video":
        """The same video with its longer side ``side_px`` long."""
        height, width = scaled_size(self.height, self.width, side_px)
        return replace(self, height=height, width=width)

    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Picture ``first`` and all after it, (height, width, 3) in sRGB.

        Each is the one that the video shows in the middle of its time, so that clocks which count
        whole milliseconds lose and double none.
        """
        number, held, shown = 0, None, None
        for at_s, frame, matrix in _decoded(self._file):
            due = min(math.ceil(at_s * self.rate - Fraction(1, 2)), self.frames)
            while held is not None and number < due:
                if number >= first:
                    shown = _upright(*held, self.height, self.width) if shown is None else shown
                    yield shown
                number += 1
            held, shown = (frame, matrix), None
        while held is not None and number < self.frames:
            if number >= first:
                shown = _upright(*held, self.height, self.width) if shown is None else shown
                yield shown
            number += 1


@dataclass(frozen=True)
class Glimpses:
    """A video of which a picture now and then is wanted, and which is not looked through before.

    Moments are counted from its first picture on. Only for one reader at a time, and decoded by one
    thread, since whoever wants single pictures has many videos to look at.
    """

    height: int  # of a picture, upright, of square pixels
    width: int
    sounds: bool  # whether there is a sound track
    sound_late_s: float  # by how much the sound track begins after the first picture; may be < 0
    _file: BufferedReader
    _origin_s: Fraction  # when the first picture is shown, on the container's clock
    _indexed: bool  # whether one can jump into it

    def pictures(self, moments_s: Sequence[float]) -> Iterator[Picture]:
        """What is shown at each of these moments, (height, width, 3) in sRGB.

        moments_s: rising. Those from the video's end on have no picture.
        """
        number, held, over_s = 0, None, Fraction(0)
        for at_s, frame, matrix in self._decoded_from(moments_s[0] if moments_s else 0.0):
            while held is not None and number < len(moments_s) and moments_s[number] < at_s:
                yield _upright(*held, self.height, self.width)
                number += 1
            if number == len(moments_s):
                return
            held = frame, matrix
            over_s = at_s + _lasts_s(frame)
        while held is not None and number < len(moments_s) and moments_s[number] < over_s:
            yield _upright(*held, self.height, self.width)
            number += 1

    def sized(self, height: int, width: int) -> "Glimpses":
        """The same video with pictures of another size."""
        return replace(self, height=height, width=width)

    def ends_s(self, from_s: float = 0.0, until_s: float = math.inf) -> float:
        """When its pictures or its sound are over, whichever is first, but at most ``until_s``.

        Headers may guess, so all packets from ``from_s`` on are read; none of them is decoded.
        """
        import av

        with _opened(self._file) as container:
            stream = _pictures_of(container)
            assert stream is not None  # it was there before
            tracks = [stream, *container.streams.audio[:1]]
            ends_s = {track.index: Fraction(0) for track in tracks}
            try:
                if self._indexed and from_s > JUMP_S:
                    container.seek(int((self._origin_s + Fraction(from_s)) * av.time_base))
                for packet in container.demux(tracks):
                    begins = packet.dts if packet.pts is None else packet.pts
                    if begins is not None:
                        over_s = (begins + (packet.duration or 0)) * packet.time_base
                        over_s -= self._origin_s
                        ends_s[packet.stream_index] = max(ends_s[packet.stream_index], over_s)
                    if min(ends_s.values()) >= until_s:
                        break
            except (av.FFmpegError, ValueError):  # the file ends in the middle of a packet
                pass
        return min(float(min(ends_s.values())), until_s)

    def _decoded_from(
        self, first_s: float
    ) -> Iterator[tuple[Fraction, "VideoFrame", tuple[int, ...]]]:
        """``_decoded``, from a picture on that is shown at ``first_s`` or before."""
        if self._indexed and first_s > JUMP_S:
            frames = _decoded(self._file, self._origin_s, first_s, threads=1)
            landed = next(frames, None)
            if landed is not None and landed[0] <= first_s:  # not every container finds its way
                return chain([landed], frames)
        return _decoded(self._file, threads=1)


@contextmanager
def open_glimpses(source: Path | str) -> Iterator[Glimpses]:
    """Open a video, to look at single pictures of it.

    Raises:
        PictureError: missing, unreadable, no video, or its first picture cannot be decoded.
    """
    with ExitStack() as exits:
        file = exits.enter_context(readable(source, "video"))
        glimpses = _look_at(file, source)
        file_open = exits.pop_all()
    with closing(file_open):  # and not in its context: what fails in the block is not this file
        yield glimpses


def _look_at(file: BufferedReader, source: Path | str) -> Glimpses:
    import av

    try:
        with _opened(file) as container:
            stream = _pictures_of(container)
            if stream is None:
                raise _still(source)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            indexed = container.format.name.split(",")[0] in INDEXED
        first = next(_decoded(file, threads=1), None)
        sound_at_s = _sound_begins(file)
    except (av.FFmpegError, ValueError):
        raise _unreadable(source) from None
    if first is None:
        raise _pictureless(source)
    _, frame, matrix = first
    height, width = _upright_size(frame, aspect, matrix)
    origin_s = _time_of(frame)
    return Glimpses(
        height=height,
        width=width,
        sounds=sound_at_s is not None,
        sound_late_s=float((sound_at_s or 0) - (origin_s or 0)),
        _file=file,
        _origin_s=origin_s or Fraction(0),
        _indexed=indexed and origin_s is not None,
    )


@contextmanager
def open_video(source: Path | str) -> Iterator[Video]:
    """Open a video, to be looked at picture by picture.

    It is looked through once before the block begins. So the number of its pictures and their pace
    are known however its container counts, and a damaged end does not come as a surprise.

    Raises:
        PictureError: missing, unreadable, empty, no video, or nothing of it can be decoded.
    """
    with ExitStack() as exits:
        file = exits.enter_context(readable(source, "video"))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PictureError(f"'{source}' is no plain file: save the video in one, and name it.")
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not file.tell():
            raise PictureError(f"'{source}' is empty (0 bytes): get the file again.")
        video = _look_through(file, source, sha256)
        file_open = exits.pop_all()
    with closing(file_open):  # and not in its context: what fails in the block is not this file
        yield video


def _look_through(file: BufferedReader, source: Path | str, sha256: str) -> Video:
    import av  # 64 ms that photos do not need

    try:
        with _opened(file) as container:
            stream = _pictures_of(container)
            if stream is None:
                raise _still(source)
            promised = stream.frames
            paces = [_Pace(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate]
            aspect = stream.sample_aspect_ratio or Fraction(1)
        frames, size, curve = 0, (0, 0), 0
        origin_s = last_s = ends_s = Fraction(0)
        for at_s, frame, matrix in _decoded(file):
            if not frames:
                origin_s = _time_of(frame) or Fraction(0)
                size = _upright_size(frame, aspect, matrix)
                curve = int(frame.color_trc)
            for pace in paces:
                pace.keeps &= round(at_s * pace.rate) == frames
            ends_s = max(ends_s, at_s + _lasts_s(frame))
            last_s, frames = at_s, frames + 1
        sound_at_s = _sound_begins(file)
    except (av.FFmpegError, ValueError):
        raise _unreadable(source) from None
    if not frames:
        raise _pictureless(source)
    remarks = []
    steady = [pace.rate for pace in paces if pace.keeps and pace.rate <= FASTEST_FPS]
    if steady:
        rate, count = counted_rate(steady[0]), frames
    else:
        ends_s = max(ends_s, last_s * Fraction(frames, max(1, frames - 1)))
        rate = counted_rate(Fraction(frames) / ends_s)
        count = max(1, round(ends_s * rate))
        remarks.append(
            f"'{source}' has no steady pace: it is shown at its average of {float(rate):.4g} "
            "pictures a second."
        )
    if promised and frames < promised * 0.98 - 2:
        remarks.append(
            f"'{source}' is damaged or breaks off early: {frames} of {promised} pictures are used."
        )
    if curve in HDR_CURVES:
        remarks.append(
            f"'{source}' has high dynamic range ({HDR_CURVES[curve]}), which is not understood: "
            "its colours come out pale; export it in standard range for better ones."
        )
    return Video(
        name=str(source),
        sha256=sha256,
        height=size[0],
        width=size[1],
        rate=rate,
        frames=count,
        sounds=sound_at_s is not None,
        sound_late_s=0.0 if sound_at_s is None else float(sound_at_s - origin_s),
        remarks=tuple(remarks),
        _file=file,
    )


def _unreadable(source: Path | str) -> PictureError:
    return PictureError(
        f"'{source}' cannot be read as a video: it is none, or a part of it is missing; "
        "try another copy of it."
    )


def _still(source: Path | str) -> PictureError:
    return PictureError(
        f"'{source}' has no moving pictures: give a video, or a photo before the sound."
    )


def _pictureless(source: Path | str) -> PictureError:
    return PictureError(f"'{source}' shows no picture that can be decoded: try another copy of it.")


@dataclass
class _Pace:
    """A rate that a container tells, and whether every picture so far has kept to it."""

    rate: Fraction
    keeps: bool = True


def counted_rate(rate: Fraction) -> Fraction:
    """The nearest rate that a film of ours can have: its denominator is at most 1001."""
    return max(rate.limit_denominator(1001), Fraction(1, 1001))


@contextmanager
def _opened(file: BufferedReader) -> Iterator["InputContainer"]:
    import av

    file.seek(0)
    # No protocol but the open file: a playlist named .mp4 must not reach for other files.
    options = {"protocol_whitelist": "none"}
    with av.open(file, "r", options=options, metadata_errors="replace") as container:
        yield container


def _pictures_of(container: "InputContainer") -> "VideoStream | None":
    """The first stream of moving pictures; the cover of an album is none."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _decoded(
    file: BufferedReader,
    origin_s: Fraction | None = None,
    first_s: float = 0.0,
    *,
    threads: int = 0,
) -> Iterator[tuple[Fraction, "VideoFrame", tuple[int, ...]]]:
    """Every picture that can be decoded, when it is shown after the first, and how it lies.

    Where the first is known to be shown at ``origin_s`` of the clock, those long before ``first_s``
    may be left out. threads: 0 is as many as the machine has cores.
    """
    import av

    with _opened(file) as container:
        stream = _pictures_of(container)
        assert stream is not None  # it was there before
        stream.codec_context.thread_count = threads
        before_s = Fraction(-1)
        each_s = 1 / Fraction(stream.average_rate or 25)
        matrix = UPRIGHT
        try:
            if origin_s is not None:
                container.seek(int((origin_s + Fraction(first_s)) * av.time_base))
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue  # what is missing shows in the number of pictures
                for frame in frames:
                    at_s = _time_of(frame)
                    if at_s is None:
                        at_s = before_s + each_s if origin_s is not None else Fraction(0)
                    origin_s = at_s if origin_s is None else origin_s
                    before_s = at_s
                    matrix = _matrix(frame) or matrix
                    yield at_s - origin_s, frame, matrix
        except (av.FFmpegError, ValueError):  # the file ends in the middle of a packet
            return


def _time_of(frame: Any) -> Fraction | None:
    """When a frame begins, on the container's clock."""
    return None if frame.pts is None else frame.pts * Fraction(frame.time_base)


def _sound_begins(file: BufferedReader) -> Fraction | None:
    """When the first sample of ``SoundStream`` is heard, on the container's clock."""
    import av

    with _opened(file) as container:
        if not container.streams.audio:
            return None
        track = container.streams.audio[0]
        origin_s = (track.start_time or 0) * Fraction(track.time_base or 0)
        try:
            for frame in container.decode(track):
                # What an encoder put in front to prime itself is left out there.
                return max(origin_s, _time_of(frame) or origin_s)
        except (av.FFmpegError, ValueError):
            pass  # whoever listens to it will say so
        return origin_s


def _lasts_s(frame: "VideoFrame") -> Fraction:
    """How long a picture is shown; 0 if nobody tells."""
    return Fraction(frame.duration or 0) * (frame.time_base or 0)


def _matrix(frame: "VideoFrame") -> tuple[int, ...] | None:
    """How a frame lies, as the rows of a 2 x 2 matrix of -1, 0 and 1; None if nobody told."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    turn = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].astype(np.int64)
    a, b, c, d = np.where(turn < 0, -1, 1).tolist()
    # What was turned by less than an eighth is left as it is.
    return (0, b, c, 0) if abs(turn[1]) > abs(turn[0]) else (a, 0, 0, d)


def turned(picture: Picture, matrix: tuple[int, ...]) -> Picture:
    """A stored picture as it is shown: quarter turns and mirror images.

    Args:
        picture: (H, W, 3).
        matrix: (a, b, c, d): the pixel at column x and row y is shown at column a x + c y and row
            b x + d y, as ISO 14496-12 has it.
    """
    a, b, c, d = matrix
    if a == 0:
        picture = picture.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(picture[::down, ::across])


def _upright_size(
    frame: "VideoFrame", aspect: Fraction, matrix: tuple[int, ...]
) -> tuple[int, int]:
    """Height and width as shown: pixels that are not square are made so by making one side longer.

    aspect: of a stored pixel, width to height.
    """
    height, width = frame.height, frame.width
    if not Fraction(1, 100) < aspect < 100:  # nonsense
        aspect = Fraction(1)
    if aspect > 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return (width, height) if matrix[0] == 0 else (height, width)


def _upright(frame: "VideoFrame", matrix: tuple[int, ...], height: int, width: int) -> Picture:
    """A frame as it is shown, (height, width, 3)."""
    picture = turned(_rgb(frame), matrix)
    return picture if picture.shape[:2] == (height, width) else resize_to(picture, height, width)


def _rgb(frame: "VideoFrame") -> Picture:
    """(H, W, 3), by the matrix and range that the frame names, or that are usual for its size."""
    from av.video.reformatter import ColorRange, Colorspace

    if frame.format.is_rgb:
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    untold = int(frame.colorspace) == UNTOLD
    matrix = Colorspace.ITU709 if untold and frame.height >= HD_LINES else None
    full = int(frame.color_range) == FULL_RANGE
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(rgb.to_ndarray(), np.uint8)
