import errno
import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s2s_cli.errors import OutputError
from s2s_cli.picture.image import encode, format_of, resize, to_uint8, write_atomically
from s2s_cli.picture.provenance import Provenance

NOTHING = Provenance("generate", (), "pocket", "", 0, "cpu", "float32", {}, "0.1.0")
NOISE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def decoded(data: bytes) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)


@given(st.integers(0, 255))
def test_every_step_is_met_by_the_values_nearest_to_it(step):
    value = step / 127.5 - 1
    near = np.full((3, 1, 1), value) + np.array([-0.0039, 0, 0.0039])[:, None, None]
    assert to_uint8(near).tolist() == [[[step] * 3]]


def test_colour_moves_last_and_batches_stay():
    pictures = np.zeros((2, 5, 3, 4, 6))
    pictures[..., 0, :, :] = 2  # brighter than white: clipped
    pictures[..., 2, :, :] = -np.inf
    assert to_uint8(pictures).shape == (2, 5, 4, 6, 3)
    assert to_uint8(pictures)[1, 4, 3, 5].tolist() == [255, 128, 0]


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3)), np.zeros(3), np.full((3, 1, 1), np.nan)])
def test_what_is_no_picture_is_refused(bad):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 3, H, W\)|not numbers"):
        to_uint8(bad)


def test_resizing_keeps_the_shape_and_flat_colours():
    assert resize(NOISE, 48).shape == (32, 48, 3)
    assert resize(NOISE, 1).shape == (1, 1, 3)
    assert (resize(np.full((8, 8, 3), 77, np.uint8), 64) == 77).all()


def test_the_name_tells_the_format():
    assert [format_of(Path(name)) for name in ("a.PNG", "a.jpg", "a.jpeg", "a.b.webp")] == [
        "PNG",
        "JPEG",
        "JPEG",
        "WEBP",
    ]


@pytest.mark.parametrize("name", ["picture", "picture.bmp", ".png"])
def test_an_unknown_ending_lists_the_known_ones(name):
    with pytest.raises(OutputError, match=rf"'{name}' .*\.png, \.jpg, \.jpeg, \.webp"):
        format_of(Path(name))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_png_and_webp_keep_every_pixel(format):
    assert (decoded(encode(NOISE, format, NOTHING)) == NOISE).all()


def test_jpeg_keeps_the_colour_of_single_pixels():
    """With chroma subsampling these red and blue stripes would come out purple."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    error = np.abs(decoded(encode(stripes, "JPEG", NOTHING)).astype(int) - stripes)
    assert error.mean() < 10


def test_a_file_is_written_whole_with_its_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "rain.png"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["rain.png"]


def test_others_may_read_a_picture_as_they_may_read_any_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "picture", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "picture")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("failing", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "you may not write there"),
        (OSError(errno.EROFS, "Read-only file system"), "you may not write there"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error, so choose another"),
    ],
    ids=str,
)
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, failing, error, words):
    path = tmp_path / "rain.png"
    path.write_bytes(b"before")

    def fail(*_):
        raise error

    monkeypatch.setattr(Path if failing == "replace" else os, failing, fail)
    with pytest.raises(OutputError, match=rf"Cannot write '.*rain\.png': {words}"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["rain.png"]


def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "rain.png", b"")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "folder", "file/rain.png", "file/more/rain.png"])
def test_something_in_the_way_is_left_alone(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"Cannot write '.*': (a|part of that path is a) "):
        write_atomically(tmp_path / name, b"picture")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is no plain file")
def test_a_device_is_never_replaced(tmp_path):
    """A pipe stands for it: were this broken, trying it on /dev/null would take that away."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="a directory or a device has that name"):
        write_atomically(pipe, b"picture")
    assert pipe.is_fifo()


def test_of_two_programs_that_want_one_name_the_second_is_told(tmp_path):
    path = tmp_path / "out.png"
    write_atomically(path, b"first", replace=False)
    with pytest.raises(OutputError, match="written by another program meanwhile"):
        write_atomically(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
