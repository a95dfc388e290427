"""Pictures that move: a sweep becomes one small file, a long sound becomes a film.

A sweep is a few dozen frames in memory. A film is as long as its sound, so it is written in silent
parts, frame by frame, and joined with the sound at the end, packet by packet. Nothing grows with it
but the index of an MP4.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from io import BytesIO
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from s2s_cli.errors import OutputError
from s2s_cli.picture.image import Picture, draft_of, format_of
from s2s_cli.picture.provenance import FILMS, Provenance, embedding

if TYPE_CHECKING:
    from av.container import OutputContainer

Samples = npt.NDArray[np.float32]  # (samples,) or (samples, channels), full scale is [-1, 1]

FILM_FORMATS = {".mp4": "MP4", ".webm": "WEBM"}
MOTION_FORMATS = {".gif": "GIF", ".webp": "WEBP", **FILM_FORMATS}

# A GIF's clock ticks 100 times a second, and browsers slow down a frame of a single tick to ten.
TICKS = {"GIF": 100, "WEBP": 1000}  # a second
GIF_FASTEST_FPS = 50
WEBP_QUALITY = 90

# The palette is learned from this many frames and pixels of each, since one look at all takes long.
PALETTE_FRAMES = 48
PALETTE_PX = 47  # a prime, so that no pattern of stripes falls between the pixels looked at
PALETTE_EDGES = 128  # of its 256 colours: those that lie farthest apart


@dataclass(frozen=True)
class _Codecs:
    video: Literal["libx264", "libvpx-vp9"]
    video_options: Mapping[str, str]
    decoded_ahead: int  # frames by which a picture may be needed before it is shown
    audio: Literal["aac", "libopus"]


# Hard to tell from the source: 38 dB on cross-faded photos. The same film must be the same bytes:
# x264's depend on how many threads it has, and its mbtree reads memory that nobody wrote (met in
# core 165, at most widths that 128 does not divide), so the one is fixed and the other off (+8 %).
CODECS = {
    "MP4": _Codecs(
        "libx264",
        {"crf": "18", "preset": "medium", "x264-params": "threads=4:sliced-threads=0:mbtree=0"},
        2,  # of three between two others, the middle one serves its neighbours
        "aac",
    ),
    "WEBM": _Codecs(
        "libvpx-vp9",
        {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4", "threads": "4"},
        0,  # VP9 packs a picture that is needed early into the packet of another
        "libopus",
    ),
}
BITS_PER_CHANNEL = 96_000  # a second, of sound: as music is usually sold
CHANNELS = {1: "mono", 2: "stereo"}
BT709 = 1  # how H.273 calls the primaries, curve and matrix that screens expect
STUDIO_HZ = 48_000  # of sound whose own rate is higher, or unknown to the codec


@dataclass(frozen=True)
class Soundtrack:
    """What is heard during a film, piece by piece, so that an hour of it needs no room."""

    blocks: Iterable[Samples]  # one after another, of any lengths; a whole wave is ``[wave]``
    sample_rate: int  # Hz
    channels: int = 1  # or 2


def require_possible(format: str, fps: float) -> None:
    """Ask before the work is done.

    Raises:
        OutputError: a GIF cannot be that fast.
    """
    if format == "GIF" and fps > GIF_FASTEST_FPS:
        raise OutputError(
            f"A GIF shows at most {GIF_FASTEST_FPS} frames a second, not {fps:g}: "
            "choose fewer, or a name that ends in .webp or .mp4."
        )


def encode_motion(
    frames: Sequence[Picture],
    format: str,
    provenance: Provenance,
    *,
    fps: float,
    bounce: bool = False,
    loop: bool = True,
) -> bytes:
    """The bytes of a file that shows pictures one after another: same input, same bytes.

    Frames that equal the one before them are not stored twice in GIF and WebP: the first is shown
    for longer. Frames of MP4 and WebM are as in ``FilmWriter``.

    Args:
        frames: shape (H, W, 3) each, all of one size.
        format: one of the values of ``MOTION_FORMATS``.
        provenance: how the pictures were made; it travels inside the file.
        fps: frames a second; a frame's time is rounded to the container's clock without drift.
        bounce: show them there and back again, the frames at both ends once.
        loop: start over at the end. MP4 and WebM leave that to the player.

    Raises:
        OutputError: a GIF cannot be that fast.
        ValueError: there are no frames, or they differ in size, or ``fps`` is not positive.
    """
    rate, sizes = frame_rate(fps), {frame.shape for frame in frames}
    if len(sizes) != 1:
        raise ValueError(f"expected frames of one size, got {sizes or 'none'}")
    if bounce:
        frames = [*frames, *frames[-2:0:-1]]
    file = BytesIO()
    if format in FILMS:
        film = _Film(file, format, provenance, rate)
        for frame in frames:
            film.add(frame)
        film.close()
        return file.getvalue()
    require_possible(format, fps)
    images = [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"loop": 0} if loop else {}  # 0 is forever, and nothing once in GIF
    if format == "GIF":
        palette = _palette(images)
        # Error diffusion turns the palette's steps into noise too fine to see.
        images = [i.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for i in images]
        options["palette"] = palette.palette  # else each frame brings its own copy
    else:
        options = {"loop": 1, "quality": WEBP_QUALITY, "method": 4} | options
    images[0].save(
        file,
        format,
        save_all=True,
        append_images=images[1:],
        duration=_milliseconds(len(images), fps, TICKS[format]),
        **options,
        **embedding(provenance, format),
    )
    return file.getvalue()


class FilmWriter:
    """Writes a silent film frame by frame, in memory that does not grow with its length.

    H.264 in MP4, VP9 in WebM, in BT.709 colours. Both codecs share colour among 2 x 2 pixels, so a
    picture with an odd side gets its last row or column twice, rather than being resampled.

    Leaving the block finishes the film; an error or Ctrl-C leaves nothing of it, and what was at
    ``path`` before, unless ``finish`` is called first. The encoder has a thread of its own. So it
    works while the next frame is painted, and Ctrl-C, which strikes the main thread only, never
    meets it with half a frame written.
    """

    def __init__(self, path: Path, provenance: Provenance, *, fps: float) -> None:
        """Nothing is written yet.

        Raises:
            OutputError: ``path`` ends in neither .mp4 nor .webm.
            ValueError: ``fps`` is not positive.
        """
        self.finished = False
        self._path = path
        self._new_film = partial(
            _Film, format=format_of(path, FILM_FORMATS), provenance=provenance, rate=frame_rate(fps)
        )
        self._exits = ExitStack()
        self._shape: tuple[int, ...] = ()
        self._job: Future[None] | None = None

    def __enter__(self) -> "FilmWriter":
        """Open the file.

        Raises:
            OutputError: it cannot be written.
        """
        with ExitStack() as exits:
            self._film = self._new_film(exits.enter_context(draft_of(self._path)))
            self._thread = exits.enter_context(ThreadPoolExecutor(1))
            self._exits = exits.pop_all()
        return self

    @property
    def frames(self) -> int:
        """How many pictures the encoder has taken; all of them once the film is finished."""
        return self._film.frames

    def add(self, picture: Picture) -> None:
        """Show one more picture, shape (H, W, 3); its array may be used again at once.

        Raises:
            OSError: the file cannot be written; the end of the block makes it an ``OutputError``.
            ValueError: its size is not that of the pictures before.
        """
        self._shape = self._shape or picture.shape
        if picture.shape != self._shape:
            raise ValueError(f"expected a picture of shape {self._shape}, got {picture.shape}")
        own = picture.copy()
        self._wait()  # so that no more than one picture is in flight
        self._job = self._thread.submit(self._film.add, own)

    def finish(self) -> None:
        """End the film here, and put it in its place. A second call does nothing.

        Raises:
            OutputError: it cannot be written; what was there before is still there.
            ValueError: it has no pictures.
        """
        if self.finished:
            return
        self.finished = True
        with self._exits.pop_all():
            self._wait()
            self._thread.submit(self._film.close).result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        self._exits.__exit__(kind, error, trace)
        # A thread that vanishes runs a callback, and Ctrl-C is lost if it strikes in there: so it
        # vanishes here, and not when the caller, who has just made a part known, lets go of us.
        del self._thread

    def _wait(self) -> None:
        """Until the encoder has taken the last picture; what went wrong there is raised here."""
        if self._job:
            self._job.result()


def join_films(
    path: Path,
    parts: Sequence[Path],
    provenance: Provenance,
    *,
    fps: float,
    soundtrack: Soundtrack | None = None,
    replace: bool = True,
) -> int:
    """One film of many, shown one behind another: no picture is encoded again.

    Frame k is shown from k / fps on, and the sound's first sample is heard with frame 0. Sound ends
    with the pictures: what is longer is cut, what is shorter ends in silence. It is AAC in MP4 and
    Opus in WebM. An MP4's index comes first, so that a browser plays it while it still loads.

    Args:
        path: where; it is there once it is whole.
        parts: silent films of this ``fps`` and of one size, as ``FilmWriter`` makes them, each with
            the ending of ``path``.
        provenance: how the whole was made.
        fps: frames a second.
        soundtrack: what is heard meanwhile.
        replace: whether a file that is there gives way.

    Returns:
        How many frames it shows.

    Raises:
        OutputError: ``path`` is no film's name, or cannot be written.
        ValueError: no parts, ``fps`` is not positive, or a soundtrack of neither 1 nor 2 channels.
    """
    import av  # 64 ms that pictures do not need

    format, rate = format_of(path, FILM_FORMATS), frame_rate(fps)
    if not parts:
        raise ValueError("expected at least one part, got none")
    if soundtrack and soundtrack.channels not in CHANNELS:
        raise ValueError(f"expected 1 or 2 channels, got {soundtrack.channels}")
    frames = 0
    with draft_of(path, replace) as file, ExitStack() as exits:
        # By its name, since FFmpeg must read what it wrote to make room for the index in front.
        options = {"movflags": "+faststart"} if format == "MP4" else {}
        film = exits.enter_context(_container(file.name, format, provenance, options))
        for part in parts:
            with av.open(str(part), options={"protocol_whitelist": "file"}) as reel:
                source, first = reel.streams.video[0], frames
                if not first:
                    video = film.add_stream_from_template(source)
                    video.time_base = 1 / rate
                    voice = soundtrack and _Voice(film, soundtrack, format, rate)
                per_tick = (source.time_base or 1 / rate) * rate  # frames
                for packet in reel.demux(source):
                    if packet.pts is None:  # the end is an empty packet
                        continue
                    # A container rounds its clock, but a frame's number is exact in every part.
                    packet.pts = first + round(packet.pts * per_tick)
                    packet.dts = frames - CODECS[format].decoded_ahead  # a short part counts less
                    packet.duration, packet.time_base = 1, 1 / rate
                    packet.stream = video
                    film.mux(packet)
                    frames += 1
                    if voice:
                        voice.speak(frames)
        if voice:
            voice.close()
    return frames


class _Film:
    """Pictures on their way into a container."""

    def __init__(self, file: BinaryIO, format: str, provenance: Provenance, rate: Fraction) -> None:
        from av.video.reformatter import VideoReformatter

        codecs = CODECS[format]
        self._container = _container(file, format, provenance)
        self._colours = VideoReformatter()
        self._rate, self.frames = rate, 0
        self._video = self._container.add_stream(
            codecs.video, rate=rate, options=dict(codecs.video_options)
        )

    def add(self, picture: Picture) -> None:
        """One picture."""
        import av
        from av.video.reformatter import ColorRange, Colorspace

        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        if not self.frames:
            self._video.height, self._video.width = even.shape[:2]
            self._video.pix_fmt = "yuv420p"
            codec = self._video.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = BT709
            codec.color_range = ColorRange.MPEG
        frame = self._colours.reformat(
            av.VideoFrame.from_ndarray(even, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._container.mux(self._video.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, and the container's index.

        Raises:
            ValueError: there was no picture.
        """
        if not self.frames:
            raise ValueError("a film needs at least one picture")
        self._container.mux(self._video.encode(None))
        self._container.close()


class _Voice:
    """A film's sound on its way into the container, in step with the pictures."""

    def __init__(
        self, film: "OutputContainer", soundtrack: Soundtrack, format: str, rate: Fraction
    ) -> None:
        import av

        codec = CODECS[format].audio
        rates = [hz for hz in av.Codec(codec, "w").audio_rates or () if hz <= STUDIO_HZ]
        hertz = soundtrack.sample_rate if soundtrack.sample_rate in rates else STUDIO_HZ
        self._film, self._rate, self._heard = film, rate, 0
        self._track = film.add_stream(
            codec,
            rate=hertz,
            bit_rate=BITS_PER_CHANNEL * soundtrack.channels,
            layout=CHANNELS[soundtrack.channels],
        )
        self._blocks = _at_rate(soundtrack, hertz)
        self._rest = np.zeros((0, soundtrack.channels), np.float32)

    def speak(self, frames: int) -> None:
        """The sound up to the end of so many frames."""
        import av

        hertz = self._track.rate
        start, self._heard = self._heard, round(frames * hertz / self._rate)
        heard = np.ascontiguousarray(self._hear(self._heard - start).T)
        sound = av.AudioFrame.from_ndarray(heard, "fltp", self._track.layout.name)
        sound.sample_rate, sound.pts, sound.time_base = hertz, start, Fraction(1, hertz)
        self._film.mux(self._track.encode(sound))

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._film.mux(self._track.encode(None))

    def _hear(self, samples: int) -> Samples:
        """The next samples of the sound, shape (samples, channels); after its end, silence."""
        pieces = [self._rest[:0]]
        while samples:
            if not len(self._rest):
                silence = np.zeros((samples, self._rest.shape[1]), np.float32)
                self._rest = next(self._blocks, silence)
            pieces.append(self._rest[:samples])
            self._rest = self._rest[samples:]
            samples -= len(pieces[-1])
        return np.concatenate(pieces)


def video_encoder() -> str:
    """Which FFmpeg encodes the pictures: films of different ones do not join."""
    import av

    return "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))


def frame_rate(fps: float) -> Fraction:
    """Frames a second as a container counts them: 29.97 is 2997/100.

    Raises:
        ValueError: ``fps`` is not positive.
    """
    rate = Fraction(fps).limit_denominator(1001)
    if rate <= 0:
        raise ValueError(f"expected fps > 0, got {fps}")
    return rate


def _container(
    file: BinaryIO | str,
    format: str,
    provenance: Provenance,
    options: Mapping[str, str] = MappingProxyType({}),
) -> "OutputContainer":
    import av  # 64 ms that pictures do not need

    # Without bitexact a WebM gets a random number, and the same film other bytes.
    options = {"fflags": "+bitexact", **options}
    container = av.open(file, "w", format=format.lower(), options=options)
    container.metadata.update(embedding(provenance, format))
    return container


def _at_rate(soundtrack: Soundtrack, hertz: int) -> Iterator[Samples]:
    """The soundtrack's blocks at another rate, shape (samples, channels) each, without delay."""
    channels = soundtrack.channels
    blocks = (block.reshape(len(block), channels) for block in soundtrack.blocks)
    if hertz == soundtrack.sample_rate:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(soundtrack.sample_rate, hertz, channels)
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _milliseconds(frames: int, fps: float, ticks: int) -> list[int]:
    """How long each frame is shown, in whole ticks of a clock that ticks so often a second."""
    ends = np.rint(np.arange(frames + 1) * ticks / fps).astype(int)
    milliseconds: list[int] = (np.diff(ends) * 1000 // ticks).tolist()
    return milliseconds


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """An image whose palette suits all of these: most colours where they are most used.

    A palette of averages alone has no pure blue for one blue flag, and no dithering can mix it.
    """
    some = images[:: math.ceil(len(images) / PALETTE_FRAMES)]
    # Nearest, since averaging over an area would mute what is most vivid.
    thumbnails = [i.resize((PALETTE_PX, PALETTE_PX), Image.Resampling.NEAREST) for i in some]
    sheet = Image.fromarray(np.concatenate([np.asarray(thumbnail) for thumbnail in thumbnails]))
    used = sheet.quantize(256 - PALETTE_EDGES, Image.Quantize.MEDIANCUT, kmeans=4)
    outermost = sheet.quantize(PALETTE_EDGES, Image.Quantize.MAXCOVERAGE)
    colours = [np.reshape(image.getpalette() or [], (-1, 3)) for image in (used, outermost)]
    palette = Image.new("P", (1, 1))
    # Pillow mixes up a palette that names a colour twice.
    palette.putpalette(np.unique(np.concatenate(colours), axis=0).astype(np.uint8).tobytes())
    return palette
