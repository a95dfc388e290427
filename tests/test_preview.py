import sys
from io import StringIO
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from s2s_cli.preview import WIDEST, HalfBlocks, show

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FOUR = np.array([[RED, GREEN], [BLUE, WHITE]], dtype=np.uint8)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def console(file: StringIO | None = None, **settings) -> Console:
    return Console(
        file=file or Terminal(),
        **{"color_system": "truecolor", "width": 80, "height": 24, "_environ": {}} | settings,
    )


def shown(console: Console, picture: np.ndarray = FOUR) -> str:
    show(picture, console)
    return console.file.getvalue()


def test_four_pixels_are_two_cells_of_exact_colours():
    terminal = console()
    terminal.print(HalfBlocks(FOUR, 2))
    assert terminal.file.getvalue() == (
        "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m"  # red above blue
        "\x1b[38;2;0;255;0;48;2;255;255;255m▀\x1b[0m\n"  # green above white
    )


@pytest.mark.parametrize(("shape", "rows"), [((64, 64), 10), ((32, 64), 5), ((1, 64), 1)])
def test_a_picture_keeps_its_shape(shape, rows):
    lines = console().render_lines(HalfBlocks(np.zeros((*shape, 3), np.uint8), 20), pad=False)
    assert [len(line) for line in lines] == [20] * rows


@pytest.mark.parametrize(
    ("size", "cells"), [((80, 24), 44), ((30, 24), 30), ((300, 100), WIDEST), ((1, 1), 1)]
)
def test_it_fits_the_terminal(size, cells):
    first, *rest = shown(console(width=size[0], height=size[1])).splitlines()
    assert first.count("▀") == cells
    assert 1 + len(rest) <= max(1, size[1] - 2)


@pytest.mark.parametrize(
    ("file", "settings"),
    [(StringIO(), {}), (Terminal(), {"no_color": True}), (Terminal(), {"color_system": None})],
    ids=["a file", "no colour wanted", "no colour known"],
)
def test_where_there_is_nothing_to_see_nothing_is_written(file, settings):
    assert shown(console(file, **settings)) == ""


def test_a_file_that_is_forced_to_be_a_terminal_gets_the_picture():
    assert "▀" in shown(console(StringIO(), force_terminal=True))


@pytest.fixture
def real_pixels(monkeypatch):
    """A stand-in for textual_image on a terminal that shows real pixels."""
    library, renderable = ModuleType("textual_image"), ModuleType("textual_image.renderable")

    class Pixels:
        def __init__(self, image, width):
            self.text = Text(f"{image.size} pixels in {width} cells")

        def __rich__(self):
            return self.text

    renderable.Image = renderable.SixelImage = renderable.TGPImage = Pixels
    library.renderable = renderable
    monkeypatch.setitem(sys.modules, "textual_image", library)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", renderable)
    for stream in "__stdin__", "__stdout__":
        monkeypatch.setattr(sys, stream, Terminal())
    return renderable


def test_real_pixels_are_used_where_the_terminal_has_them(real_pixels):
    assert shown(console()) == "(2, 2) pixels in 44 cells\n"


def test_the_library_is_not_asked_when_a_standard_stream_is_no_terminal(real_pixels, monkeypatch):
    """It writes its questions to standard output, which carries the answers of `s2s`."""
    monkeypatch.setattr(sys, "__stdout__", StringIO())
    assert "▀" in shown(console())


def test_a_closed_stream_is_no_reason_to_fail(real_pixels, monkeypatch):
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "__stdin__", closed)
    assert "▀" in shown(console())


def test_a_terminal_without_a_size_is_no_reason_to_fail(real_pixels, monkeypatch):
    monkeypatch.setattr(real_pixels.Image, "__rich__", lambda self: 1 / 0)
    assert "▀" in shown(console())


def test_coarser_terminals_get_our_own_half_blocks(real_pixels):
    real_pixels.Image = SimpleNamespace
    assert "▀" in shown(console())
