"""Videos of known pictures and sounds, as a camera or another program would write them."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    rate: Fraction | int = 10,
    wave: np.ndarray | None = None,
    hertz: int = 48_000,
    *,
    times_s: Sequence[float] | None = None,
    sound_late_s: float = 0.0,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    aspect: Fraction | None = None,
) -> Path:
    """A video by FFmpeg.

    Args:
        path: whose ending says which container.
        pictures: (H, W, 3) each.
        rate: pictures a second.
        wave: (samples, channels).
        hertz: of the wave.
        times_s: when each picture is shown, if not at a steady pace.
        sound_late_s: when the sound begins.
        codec: of the pictures.
        pixels: how they are stored.
        aspect: of a pixel, width to height.
    """
    lossless = {"libx264": {"crf": "4"}, "libvpx-vp9": {"crf": "4", "b": "0", "cpu-used": "8"}}
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=lossless.get(codec, {}))
        sound = None
        if wave is not None:
            voice = {".webm": "libopus", ".mkv": "pcm_s16le", ".mov": "pcm_s16le"}
            layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
            name = voice.get(path.suffix, "aac")
            sound = container.add_stream(name, rate=hertz, layout=layout)
            if name in ("aac", "libopus"):
                sound.bit_rate = 256_000
        for number, picture in enumerate(pictures):
            if not number:
                video.height, video.width, video.pix_fmt = *picture.shape[:2], pixels
                video.codec_context.time_base = Fraction(1, 1000) if times_s else 1 / Fraction(rate)
                if aspect:
                    video.codec_context.sample_aspect_ratio = aspect
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            if times_s:
                frame.pts, frame.time_base = round(1000 * times_s[number]), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            for begin in range(0, len(wave), 1024):
                piece = wave[begin : begin + 1024].astype(np.float32)
                block = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(piece.T), "fltp", sound.layout.name
                )
                block.sample_rate, block.time_base = hertz, Fraction(1, hertz)
                block.pts = begin + round(sound_late_s * hertz)
                for ready in av.AudioResampler(sound.format, sound.layout, hertz).resample(block):
                    container.mux(sound.encode(ready))
            container.mux(sound.encode(None))
    return path


def turn_by_metadata(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Let an MP4 or MOV say how its pictures lie: (a, b, c, d) of ISO 14496-12."""
    content = bytearray(path.read_bytes())
    a, b, c, d = matrix
    rows = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    begin = content.index(b"tkhd") + 44
    content[begin : begin + 36] = rows.tobytes()
    path.write_bytes(content)


def begin_behind(path: Path, samples: int, late_s: float) -> None:
    """Let an MP4 say that its sound, the second track, begins late and behind so many samples.

    Those prime the decoder. (ISO 14496-12, edit lists: FFmpeg's has no way to hide them then.)
    """
    content = bytearray(path.read_bytes())
    begin = content.rindex(b"elst") + 12
    (_, nothing, _), (lasts, _, rate) = np.frombuffer(content[begin : begin + 24], ">i4").reshape(
        2, 3
    )
    assert nothing == -1
    edits = [round(1000 * late_s), -1, rate, lasts, samples, rate]
    content[begin : begin + 24] = np.array(edits, ">i4").tobytes()
    path.write_bytes(content)


def shown(path: Path) -> np.ndarray:
    """All pictures as another player shows them, (frames, H, W, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def heard(path: Path) -> tuple[np.ndarray, int]:
    """(channels, samples) and the rate."""
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
    whole = [block.to_ndarray().reshape(-1, block.samples) for block in blocks]
    return np.concatenate(whole, 1), blocks[0].sample_rate


def barcode(number: int, height: int = 32, width: int = 48) -> np.ndarray:
    """A picture that tells its number in eight grey columns, and that codecs keep."""
    bits = [40 + 160 * (number >> k & 1) for k in range(8)]
    return (
        np.repeat(np.repeat(bits, width // 8)[None, :, None], height, 0)
        .repeat(3, 2)
        .astype(np.uint8)
    )


def number_of(picture: np.ndarray) -> int:
    """The number that a barcode tells."""
    columns = picture.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return sum(int(grey > 120) << k for k, grey in enumerate(columns))


def numbered(
    path: Path, seconds: float, wave: np.ndarray | None, first: int = 0, hertz: int = 16_000
) -> Path:
    """A video whose pictures, ten a second, tell the numbers from ``first`` on.

    wave: (samples,) int16, which .mkv and .mov keep bit by bit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (barcode((first + n) % 256) for n in range(round(10 * seconds)))
    sound = None if wave is None else wave[:, None] / 32768
    return write_video(path, pictures, 10, sound, hertz, pixels="yuv420p")
