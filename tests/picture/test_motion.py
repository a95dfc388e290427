import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from s2s_cli.errors import OutputError, PictureError
from s2s_cli.picture.motion import (
    BT709,
    MOTION_FORMATS,
    FilmWriter,
    Soundtrack,
    encode_motion,
    join_films,
)
from s2s_cli.picture.provenance import Provenance, Source, read_provenance

MOTIONS = ["GIF", "WEBP", "MP4", "WEBM"]
FILMS = [".mp4", ".webm"]
RAIN = Provenance(
    command="film",
    sources=(Source("sound", "Köln/bad-\udcff.wav", hashlib.sha256(b"rain").hexdigest()),),
    model="pocket",
    model_sha256="",
    seed=7,
    device="cpu",
    precision="float32",
    options={"gains": [-24.0, 12.0]},
    version="0.1.0",
)
GREYS = (20, 60, 100, 140, 180, 220)
FPS = 25


def flat(*colours: int | tuple[int, int, int], side_px: int = 16) -> list[np.ndarray]:
    """One picture of each colour."""
    return [np.full((side_px, side_px, 3), colour, np.uint8) for colour in colours]


def dawn(frames: int, side_px: int = 96) -> list[np.ndarray]:
    """Smooth colours that change from frame to frame: what shows bands most easily."""
    y, x = np.mgrid[:side_px, :side_px] / side_px
    return [
        np.stack([255 * (x * (1 - t) + y * t), 120 + 60 * x * y, 255 * (1 - y)], -1).astype(
            np.uint8
        )
        for t in np.linspace(0, 1, frames)
    ]


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Sound without two moments alike, (samples, channels), below 5 kHz as codecs keep it best."""
    wave = np.random.default_rng(0).standard_normal((int(seconds * rate), channels))
    spectrum = np.fft.rfft(0.1 * wave, axis=0)
    spectrum[int(min(5000, 0.4 * rate) * seconds) :] = 0
    return np.fft.irfft(spectrum, len(wave), axis=0).astype(np.float32)


def shown(data: bytes, format: str) -> list[np.ndarray]:
    """The frames, as a viewer sees them."""
    if format in ("MP4", "WEBM"):
        with av.open(BytesIO(data)) as film:
            return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with Image.open(BytesIO(data)) as image:
        return [np.asarray(seek(image, k).convert("RGB")) for k in range(image.n_frames)]


def seek(image: Image.Image, frame: int) -> Image.Image:
    image.seek(frame)
    image.load()
    return image


def times(data: bytes, format: str) -> list[float]:
    """How long each frame is shown, in seconds."""
    if format in ("MP4", "WEBM"):
        with av.open(BytesIO(data)) as film:
            starts = [frame.time for frame in film.decode(video=0)]
            return np.diff([*starts, film.duration / 1e6]).tolist()
    with Image.open(BytesIO(data)) as image:
        return [seek(image, k).info["duration"] / 1000 for k in range(image.n_frames)]


def heard(path: Path) -> tuple[np.ndarray, int]:
    """The sound of a film, (channels, samples), and its rate."""
    with av.open(str(path)) as film:
        blocks = list(film.decode(audio=0))
        assert blocks[0].pts == 0
        return np.concatenate([block.to_ndarray() for block in blocks], 1), blocks[0].sample_rate


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise."""
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def from_afar(picture: np.ndarray) -> np.ndarray:
    """As the eye sees it, to which dithering is fair."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.2)))


def write_film(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float = FPS,
    then: BaseException | None = None,
) -> None:
    """A silent film, unless something happens at its end."""
    with FilmWriter(path, RAIN, fps=fps) as film:
        for frame in frames:
            film.add(frame)
        if then:
            raise then


def write_parts(
    folder: Path, ending: str, frames: Iterable[np.ndarray], *, fps: float = FPS, longest: int = 16
) -> list[Path]:
    """The same, in parts."""
    frames = list(frames)
    parts = []
    for first in range(0, len(frames), longest):
        parts.append(folder / "parts" / f"{first}{ending}")
        write_film(parts[-1], frames[first : first + longest], fps=fps)
    return parts


def join(path: Path, frames: Iterable[np.ndarray], sound: Soundtrack, *, fps: float = FPS) -> None:
    """A film with sound, joined of parts."""
    parts = write_parts(path.parent, path.suffix, frames, fps=fps)
    join_films(path, parts, RAIN, fps=fps, soundtrack=sound)


def black(frames: int) -> list[np.ndarray]:
    return flat(0) * frames


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format", MOTIONS)
@pytest.mark.parametrize("bounce", [False, True])
def test_frames_come_in_order_and_bounce_shows_both_ends_once(format, bounce):
    data = encode_motion(flat(*GREYS), format, RAIN, fps=4, bounce=bounce)
    expected = [*GREYS, *GREYS[-2:0:-1]] if bounce else list(GREYS)
    seen = [frame.mean() for frame in shown(data, format)]
    assert seen == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("format", MOTIONS)
@pytest.mark.parametrize(("count", "bounced"), [(1, 1), (2, 2), (3, 4)])
def test_the_shortest_sweeps_bounce_too(format, count, bounced):
    data = encode_motion(flat(*GREYS[:count]), format, RAIN, fps=4, bounce=True)
    assert len(shown(data, format)) == bounced


@pytest.mark.parametrize(
    ("format", "tick"), [("GIF", 0.01), ("WEBP", 0.001), ("MP4", 1e-4), ("WEBM", 0.001)]
)
@pytest.mark.parametrize("fps", [0.5, 8, 29.97, 48])
def test_each_frame_has_its_time_and_no_rounding_adds_up(format, tick, fps):
    seconds = times(encode_motion(flat(*GREYS), format, RAIN, fps=fps), format)
    assert seconds == pytest.approx([1 / fps] * len(GREYS), abs=tick * 1.01)
    assert sum(seconds) == pytest.approx(len(GREYS) / fps, abs=tick * 0.51)


@pytest.mark.parametrize(("loop", "gif", "webp"), [(True, 0, 0), (False, None, 1)])
def test_it_loops_for_ever_or_plays_once(loop, gif, webp):
    for format, expected in (("GIF", gif), ("WEBP", webp)):
        data = encode_motion(flat(*GREYS), format, RAIN, fps=4, loop=loop)
        with Image.open(BytesIO(data)) as image:
            assert image.info.get("loop") == expected, format


@pytest.mark.parametrize(("format", "least_db"), [("WEBP", 38), ("MP4", 38), ("WEBM", 38)])
def test_what_is_seen_is_what_was_painted(format, least_db):
    frames = dawn(5)
    seen = shown(encode_motion(frames, format, RAIN, fps=8), format)
    assert min(decibels(*pair) for pair in zip(frames, seen, strict=True)) > least_db


def test_a_gif_shows_no_bands():
    frames = dawn(5)
    seen = shown(encode_motion(frames, "GIF", RAIN, fps=8), "GIF")
    far = [decibels(from_afar(a), from_afar(b)) for a, b in zip(frames, seen, strict=True)]
    assert min(far) > 43  # a palette of averages alone reaches 40


def test_a_gif_keeps_the_colour_of_single_pixels():
    """A palette learned from shrunken pictures would see these stripes as purple."""
    stripes = np.zeros((192, 192, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    seen = shown(encode_motion([stripes, *dawn(5, 192)], "GIF", RAIN, fps=8), "GIF")[0]
    assert np.abs(seen.astype(int) - stripes).max() < 12


@pytest.mark.parametrize("frames", [dawn(5), flat(*GREYS), flat((255, 0, 0), 0)])
def test_all_frames_of_a_gif_share_one_palette(frames):
    data = encode_motion(frames, "GIF", RAIN, fps=8)

    def after_blocks(at: int) -> int:
        while data[at]:
            at += data[at] + 1
        return at + 1

    at, pictures = 13 + 3 * 2 ** ((data[10] & 7) + 1), 0
    assert data[10] & 0x80
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            pictures += 1
            assert not data[at + 9] & 0x80
            at = after_blocks(at + 11)
        else:
            at = after_blocks(at + 2)
    assert pictures == len(frames)


@pytest.mark.parametrize("format", ["MP4", "WEBM"])
def test_colours_are_those_that_a_screen_expects(format):
    """Without the right matrix green and red come out visibly off."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (255, 255, 255), (0, 0, 0)]
    data = encode_motion(flat(*colours), format, RAIN, fps=2)
    seen = [frame[8, 8].astype(int) for frame in shown(data, format)]
    assert np.abs(np.subtract(seen, colours)).max() <= 4
    with av.open(BytesIO(data)) as film:
        frame = next(film.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.format.name) == (BT709, 1, "yuv420p")


@pytest.mark.parametrize("format", MOTIONS)
def test_an_odd_size_is_kept_or_gets_its_edge_twice(format):
    frames = [np.full((17, 33, 3), grey, np.uint8) for grey in GREYS]
    for frame in frames:
        frame[-1] = frame[:, -1] = 255
    seen = shown(encode_motion(frames, format, RAIN, fps=4), format)[2]
    if format in ("GIF", "WEBP"):
        assert seen.shape == (17, 33, 3)
    else:
        assert seen.shape == (18, 34, 3)
        assert seen[-1].mean() == pytest.approx(255, abs=6)
        assert seen[:, -1].mean() == pytest.approx(255, abs=6)


@pytest.mark.parametrize("format", MOTIONS)
def test_a_moving_picture_says_how_it_was_made(tmp_path, format):
    sounds = RAIN.sources * 500  # some 60 kB of text
    many = Provenance(**{**vars(RAIN), "sources": sounds})
    for made in (RAIN, many):
        (tmp_path / "sweep").write_bytes(encode_motion(flat(*GREYS), format, made, fps=4))
        assert read_provenance(tmp_path / "sweep") == made


@pytest.mark.parametrize("format", MOTIONS)
def test_a_moving_picture_by_others_is_told_apart(tmp_path, format):
    path = tmp_path / "holiday"
    if format in ("GIF", "WEBP"):
        Image.new("RGB", (8, 8)).save(path, format, comment=b"a day at the sea")
    else:
        with av.open(str(path), "w", format=format.lower()) as film:
            film.metadata["comment"] = "a day at the sea"
            stream = film.add_stream("libx264" if format == "MP4" else "libvpx-vp9", rate=1)
            stream.width = stream.height = 16
            film.mux(stream.encode(av.VideoFrame(16, 16)))
            film.mux(stream.encode(None))
    with pytest.raises(PictureError, match="was not made by s2s, or its metadata was stripped"):
        read_provenance(path)


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A file of each format."""
    return {format: encode_motion(flat(20, 200), format, RAIN, fps=4) for format in MOTIONS}


@pytest.mark.parametrize("format", MOTIONS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_film_is_read_or_refused_but_never_trips(tmp_path_factory, whole, format, data):
    damaged = bytearray(whole[format])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("out") / "film"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    try:
        read_provenance(path)
    except PictureError as error:
        assert str(path) in str(error)  # noqa: PT017 - any number of outcomes but this is the rule


@pytest.mark.parametrize("format", MOTIONS)
def test_same_frames_are_the_same_bytes_however_many_cores_there_are(format):
    frames = dawn(6, 256)
    expected = encode_motion(frames, format, RAIN, fps=8)
    assert encode_motion(frames, format, RAIN, fps=8) == expected
    if hasattr(os, "sched_setaffinity") and len(cores := os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {min(cores)})
        try:
            assert encode_motion(frames, format, RAIN, fps=8) == expected
        finally:
            os.sched_setaffinity(0, cores)


def test_what_lay_in_memory_before_does_not_change_a_film():
    """x264 reads a little of it unless told not to, and then one film in a hundred differs."""
    script = (
        "import sys, numpy as np; from s2s_cli.picture.motion import encode_motion;"
        "from s2s_cli.picture.provenance import Provenance;"
        "none = Provenance('film', (), '', '', 0, '', '', {}, '');"
        "slope = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)[..., None];"
        "frames = [np.roll(slope, 5 * k, 1).repeat(3, 2) for k in range(12)];"
        "film = encode_motion(frames, 'MP4', none, fps=8);"
        "sys.stdout.buffer.write(film)"
    )
    films = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "MALLOC_PERTURB_": rubbish},  # glibc fills what it hands out
            capture_output=True,
            check=True,
        ).stdout
        for rubbish in ("1", "170")
    ]
    assert films[0] == films[1] != b""


def test_a_gif_that_browsers_would_slow_down_is_refused():
    encode_motion(flat(*GREYS), "GIF", RAIN, fps=50)
    with pytest.raises(OutputError, match=r"at most 50 frames a second, not 60: .*\.webp or \.mp4"):
        encode_motion(flat(*GREYS), "GIF", RAIN, fps=60)


@pytest.mark.parametrize(
    ("frames", "fps", "words"),
    [
        ([], 4, "frames of one size, got none"),
        (flat(0) + flat(0, side_px=8), 4, "frames of one size"),
        (flat(0), 0, "fps > 0, got 0"),
        (flat(0), -1, "fps > 0"),
    ],
)
def test_what_cannot_be_shown_is_refused(frames, fps, words):
    for format in MOTION_FORMATS.values():
        with pytest.raises(ValueError, match=words):
            encode_motion(frames, format, RAIN, fps=fps)


@pytest.mark.parametrize("ending", FILMS)
def test_a_flash_and_its_click_meet(tmp_path, ending):
    """One frame is white at each second, and one click is heard at its start."""
    path, rate = tmp_path / f"film{ending}", 44_100
    wave = np.zeros(4 * rate, np.float32)
    wave[rate::rate] = 1
    frames = [*black(FPS), *(flat(255) + black(FPS - 1)) * 3]
    join(path, frames, Soundtrack([wave], rate))
    with av.open(str(path)) as film:
        flashes = [f.time for f in film.decode(video=0) if f.to_ndarray(format="gray").mean() > 128]
    sound, hertz = heard(path)
    clicks = [(k * hertz + np.abs(sound[0, k * hertz :][:hertz]).argmax()) / hertz for k in (1, 2)]
    assert flashes == pytest.approx([1, 2, 3], abs=1e-3)
    assert clicks == pytest.approx([1, 2], abs=1e-3)  # an encoder smears a click over some samples


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize(
    ("rate", "channels", "fps", "aac_rate"),
    [
        (16_000, 1, 25, 16_000),
        (44_100, 2, 29.97, 44_100),
        (11_000, 2, 12, 48_000),
        (96_000, 1, 25, 48_000),
    ],
)
def test_the_sound_starts_to_the_sample(tmp_path, ending, rate, channels, fps, aac_rate):
    """Codecs put silence before the sound; the container must tell players to skip it."""
    path, wave = tmp_path / f"film{ending}", noise(2.2, rate, channels)
    pieces = np.split(wave, [1, 1, 900, 5000])  # of any length, one of them empty
    join(path, black(round(2 * fps)), Soundtrack(pieces, rate, channels), fps=fps)
    sound, hertz = heard(path)
    assert (len(sound), hertz) == (channels, aac_rate if ending == ".mp4" else 48_000)
    window = slice(hertz // 2, 3 * hertz // 2)  # of the second in the middle
    for channel in range(channels):
        source = soxr.resample(wave[:, channel], rate, hertz)[window]
        likeness = [
            np.corrcoef(source, sound[channel, window.start + lag : window.stop + lag])[0, 1]
            for lag in range(-40, 41)
        ]
        assert np.argmax(likeness) - 40 == 0
        assert max(likeness) > 0.98


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("seconds", [0.5, 2, 3])
def test_the_sound_is_as_long_as_the_pictures(tmp_path, ending, seconds):
    path, rate = tmp_path / f"film{ending}", 48_000
    join(path, black(2 * FPS), Soundtrack([noise(seconds, rate)], rate))
    ends = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as film:
        assert film.duration / 1e6 == pytest.approx(2, abs=1 / FPS)
        for packet in film.demux():
            if packet.pts is not None:
                ends[packet.stream.type] = float((packet.pts + packet.duration) * packet.time_base)
    assert ends["video"] == pytest.approx(2, abs=1 / FPS)
    assert ends["audio"] == pytest.approx(2, abs=1 / FPS)
    sound, hertz = heard(path)
    assert sound.shape[1] / hertz == pytest.approx(2, abs=1 / FPS)
    loud = np.abs(sound[0, : 2 * hertz]).reshape(100, -1).max(axis=1) > 0.03
    assert loud.sum() == pytest.approx(50 * min(seconds, 2), abs=1)


@pytest.mark.parametrize("ending", FILMS)
def test_sound_and_pictures_lie_side_by_side(tmp_path, ending):
    """Else a player must hold one until it finds the other."""
    path, rate = tmp_path / f"film{ending}", 16_000
    frames = flat(*range(8 * FPS))
    join(path, frames, Soundtrack([noise(8, rate)], rate))
    reached = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as film:
        for packet in film.demux():
            if packet.dts is not None:
                reached[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(reached["video"] - reached["audio"]) < 1
    assert min(reached.values()) > 7


@pytest.mark.parametrize("ending", FILMS)
def test_a_film_takes_no_more_memory_the_longer_it_is(tmp_path, ending):
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    chance, rate = np.random.default_rng(0), 48_000

    def blocks() -> Iterator[np.ndarray]:
        while True:
            yield 0.1 * chance.standard_normal((rate // 10, 2)).astype(np.float32)

    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    def grown_by_writing(frames: int) -> float:
        with FilmWriter(tmp_path / f"part{ending}", RAIN, fps=FPS) as film:
            for _ in range(frames):
                film.add(chance.integers(0, 256, (32, 32, 3), np.uint8))
            return megabytes()

    def grown_by_joining(parts: int) -> float:
        heard = Soundtrack(blocks(), rate, 2)
        many = [tmp_path / f"part{ending}"] * parts
        join_films(tmp_path / f"film{ending}", many, RAIN, fps=FPS, soundtrack=heard)
        return megabytes()

    for grown, few, many in ((grown_by_writing, 100, 1000), (grown_by_joining, 1, 3)):
        grown(few)
        assert grown(many) - grown(few) < 5  # its sound alone would be 15 MB


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("fps", [0.5, 12, 29.97])
def test_no_seam_shows_where_parts_were_joined(tmp_path, ending, fps):
    """Pictures that lean on later ones lie out of order, of which a short part has fewer."""
    path, frames = tmp_path / f"film{ending}", flat(*range(20, 71))
    parts = []
    for number, (a, b) in enumerate([(0, 16), (16, 32), (32, 33), (33, 49), (49, 51)]):
        parts.append(tmp_path / f"{number}{ending}")
        write_film(parts[-1], frames[a:b], fps=fps)
    assert join_films(path, parts, RAIN, fps=fps) == 51
    assert read_provenance(path) == RAIN
    with av.open(str(path)) as film:
        seen = list(film.decode(video=0))
    assert [f.to_ndarray(format="rgb24").mean() for f in seen] == pytest.approx(
        [frame.mean() for frame in frames], abs=2
    )
    tick = 0.001 if ending == ".webm" else 1e-9
    assert [f.time for f in seen] == pytest.approx([k / fps for k in range(51)], abs=tick)


def test_joining_encodes_no_picture_again(tmp_path):
    parts = write_parts(tmp_path, ".mp4", dawn(40))
    join_films(tmp_path / "film.mp4", parts, RAIN, fps=FPS)

    def pictures(path: Path) -> list[bytes]:
        with av.open(str(path)) as film:
            return [bytes(packet) for packet in film.demux(video=0) if packet.size]

    assert pictures(tmp_path / "film.mp4") == [p for part in parts for p in pictures(part)]


def test_the_index_of_an_mp4_comes_first(tmp_path):
    """So that a browser need not load all of it before it plays."""
    join(tmp_path / "film.mp4", dawn(20), Soundtrack([noise(1, 16_000)], 16_000))
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("ending", FILMS)
def test_a_film_says_how_it_was_made(tmp_path, ending):
    path = tmp_path / "new" / f"film{ending.upper()}"
    with FilmWriter(path, RAIN, fps=FPS) as film:
        film.add(black(1)[0])
        film.finish()
        film.finish()
    assert read_provenance(path) == RAIN
    assert names(path.parent) == [path.name]
    with av.open(str(path)) as film:
        assert not film.streams.audio
        assert film.streams.video[0].average_rate == Fraction(FPS)


@pytest.mark.parametrize("ending", FILMS)
def test_the_same_film_is_the_same_bytes(tmp_path, ending):
    for name in "ab":
        with FilmWriter(tmp_path / (name + ending), RAIN, fps=FPS) as film:
            for frame in dawn(25, 32):
                film.add(frame)
                frame[:] = 0  # its array may be used again at once
        sound = Soundtrack([noise(1, 16_000)], 16_000)
        join_films(
            tmp_path / f"{name}-joined{ending}",
            [tmp_path / (name + ending)] * 2,
            RAIN,
            fps=FPS,
            soundtrack=sound,
        )
    for name in (ending, f"-joined{ending}"):
        assert (tmp_path / f"a{name}").read_bytes() == (tmp_path / f"b{name}").read_bytes()
    assert shown((tmp_path / f"a{ending}").read_bytes(), ending[1:].upper())[3].mean() > 50


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("delay_s", [0.01, 0.05, 0.1, 0.15, 0.2])
def test_ctrl_c_can_leave_a_playable_film(tmp_path, ending, delay_s):
    path = tmp_path / f"film{ending}"
    film = FilmWriter(path, RAIN, fps=FPS)

    def paint_until_ctrl_c() -> None:
        with film:
            film.add(black(1)[0])
            try:
                threading.Timer(delay_s, signal.raise_signal, [signal.SIGINT]).start()
                for frame in itertools.cycle(flat(*GREYS)):
                    film.add(frame)
            except KeyboardInterrupt:
                film.finish()
                raise

    with pytest.raises(KeyboardInterrupt):
        paint_until_ctrl_c()
    seen = shown(path.read_bytes(), ending[1:].upper())
    assert len(seen) == film.frames >= 1
    expected = [0, *(GREYS[k % len(GREYS)] for k in range(film.frames - 1))]
    assert [frame.mean() for frame in seen] == pytest.approx(expected, abs=3)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more paint")])
def test_a_failed_film_leaves_what_was_there(tmp_path, ending, error):
    path = tmp_path / f"film{ending}"
    path.write_bytes(b"before")
    with pytest.raises(type(error)):
        write_film(path, flat(*GREYS), then=error)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", FILMS)
def test_a_full_disk_ends_in_a_sentence(tmp_path, ending):
    resource = pytest.importorskip("resource")
    frames = np.random.default_rng(0).integers(0, 256, (200, 64, 64, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"Cannot write '.*film\..*': File too large"):
            write_film(tmp_path / f"film{ending}", frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("ending", FILMS)
def test_a_disk_that_fills_up_while_parts_are_joined(tmp_path, ending):
    resource = pytest.importorskip("resource")
    frames = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), np.uint8)
    part = tmp_path / f"part{ending}"
    write_film(part, frames)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (part.stat().st_size * 3 // 2, hard))
    try:
        with pytest.raises(OutputError, match=r"Cannot write '.*film\..*': File too large"):
            join_films(tmp_path / f"film{ending}", [part] * 3, RAIN, fps=FPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == [part.name]


def test_a_sound_that_breaks_off_stops_the_film(tmp_path):
    def broken() -> Iterator[np.ndarray]:
        yield noise(0.1, 16_000)
        raise PictureError("the sound broke off")

    with pytest.raises(PictureError, match="broke off"):
        join(tmp_path / "film.mp4", black(6), Soundtrack(broken(), 16_000))
    assert names(tmp_path) == ["parts"]


def test_a_film_refuses_what_it_cannot_show(tmp_path):
    path = tmp_path / "film.mp4"
    for refused in (write_film, lambda path, _: join_films(path, [path], RAIN, fps=FPS)):
        with pytest.raises(OutputError, match=r"film\.gif' .* end in \.mp4, \.webm"):
            refused(tmp_path / "film.gif", black(1))
    with pytest.raises(ValueError, match="fps > 0"):
        write_film(path, black(1), fps=0)
    with pytest.raises(ValueError, match="1 or 2 channels, got 6"):
        join(path, black(1), Soundtrack([], 16_000, 6))
    with pytest.raises(ValueError, match="cannot reshape"):
        join(path, black(9), Soundtrack([noise(1, 16_000, 2)], 16_000, 1))
    with pytest.raises(ValueError, match="at least one picture"):
        write_film(path, [])
    with pytest.raises(ValueError, match="at least one part"):
        join_films(path, [], RAIN, fps=FPS)
    with pytest.raises(ValueError, match=r"expected a picture of shape \(16, 16, 3\)"):
        write_film(path, black(1) + flat(0, side_px=8))
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match="part of that path is a file"):
        write_film(tmp_path / "file" / "film.mp4", black(1))
    assert names(tmp_path) == ["file", "parts"]


def test_another_programs_film_stays_unless_it_may_be_replaced(tmp_path):
    path, parts = tmp_path / "film.mp4", write_parts(tmp_path, ".mp4", black(1))
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="written by another program meanwhile"):
        join_films(path, parts, RAIN, fps=FPS, replace=False)
    assert path.read_bytes() == b"mine"
    join_films(path, parts, RAIN, fps=FPS)
    assert read_provenance(path) == RAIN
