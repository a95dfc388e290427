"""A look at a picture without leaving the terminal."""

import sys

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

WIDEST = 64  # cells; finer than that, a preview of a small picture shows nothing new


class HalfBlocks:
    """A picture of two pixels per character cell: the upper half block and what is behind it.

    Cells are about twice as high as wide, so these pixels are square.
    """

    def __init__(self, picture: npt.NDArray[np.uint8], width_cells: int) -> None:
        """Picture: shape (H, W, 3); it is scaled to ``width_cells`` and keeps its shape."""
        height, width = picture.shape[:2]
        rows = max(1, round(height / width * width_cells / 2))
        size = width_cells, 2 * rows
        pixels = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
        self.pairs = pixels.reshape(rows, 2, width_cells, 3).swapaxes(1, 2)  # (row, cell, 2, 3)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self.pairs.tolist():
            for upper, lower in row:
                yield Segment(
                    "▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
                )
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.pairs.shape[1], self.pairs.shape[1])


def show(picture: npt.NDArray[np.uint8], console: Console) -> None:
    """Show a picture, shape (H, W, 3), as finely as the terminal can; elsewhere do nothing.

    ``Console(force_terminal=True)`` or ``FORCE_COLOR`` make any file count as a terminal.
    """
    if not console.is_terminal or console.no_color or console.color_system is None:
        return
    height, width = picture.shape[:2]
    lines = max(1, console.height - 2)  # the prompt and the path stay in sight
    cells = max(1, min(WIDEST, console.width, 2 * lines * width // height))
    if not _shown_in_pixels(picture, cells, console):
        console.print(HalfBlocks(picture, cells))


def _shown_in_pixels(picture: npt.NDArray[np.uint8], width_cells: int, console: Console) -> bool:
    """Show the picture in real pixels, where the terminal and an optional library can do that."""
    try:
        # As soon as it is imported, the library asks the terminal what it can do, through the
        # standard streams: were one of them a file or a pipe, the question would end up in there.
        if not all(
            stream and stream.isatty() for stream in (sys.__stdin__, sys.__stdout__, console.file)
        ):
            return False
        from textual_image import renderable

        if renderable.Image not in (renderable.SixelImage, renderable.TGPImage):
            return False
        console.print(renderable.Image(Image.fromarray(picture), width=width_cells))
        return True
    # A stream is closed, the library is not installed or stumbles over a terminal without a size:
    # a preview is never a reason to fail.
    except Exception:
        return False
