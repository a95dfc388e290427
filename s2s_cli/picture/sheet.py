"""Contact sheets: what was heard above what was painted, on one page.

A page is built as one sets type: small pictures of text, sound and painting are put beside and
above one another by ``_grid``, and nobody computes coordinates.
"""

import math
import unicodedata
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from s2s_cli.picture.image import Picture, resize

Wave = npt.NDArray[np.float32]  # (samples,), in [-1, 1]

PAGE = (17, 18, 23)  # nearly black, so that pictures glow
PANEL = (27, 28, 36)  # silence: where nothing is heard
INK = (236, 234, 230)
PENCIL = (146, 148, 158)
# From silence to full scale, ever lighter, so that loudness reads without a legend and in grey.
HEAT = np.array(
    [PANEL, (56, 22, 92), (138, 34, 116), (222, 72, 94), (252, 158, 96), (252, 246, 206)]
)

CELL_PX = 256  # side of a picture on the page; the measures below are for it and grow with it
GAP_PX = 8
MARGIN_PX = 28
CORNER_PX = 6
LABEL_PX = 15
TITLE_PX = 26
WAVE_PX = 44
SPECTROGRAM_PX = 84
LONGEST_STRIP = 12  # square pictures in one row of a strip
WIDEST = 6  # pictures of one sound side by side
PAGE_SHAPE = 1.5  # width by height that a page aims for: it fits a screen and a README

N_FFT = 512  # samples in a window: 31 Hz apart at 16 kHz
LOWEST_HZ = 60  # below is rumble
QUIETEST_DB, LOUDEST_DB = -90, -15  # range of colours; a sine of amplitude 1 is 0 dB, but rare

# Pillow's own font is everywhere the same but knows little beyond ASCII; the first of these that
# can spell a whole name spells it. None is Pillow's own.
FONTS = (None, "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial.ttf")


@dataclass(frozen=True)
class SheetEntry:
    """One painted picture and the sound it was painted from."""

    picture: Picture
    label: str  # the name of the sound; too long a name is shortened in its middle
    detail: str  # what tells this picture from the others of its sound: "seed 7"
    wave: Wave
    sample_rate: int  # Hz


def contact_sheet(
    entries: Sequence[SheetEntry],
    *,
    columns: int | None = None,
    cell_px: int = CELL_PX,
    title: str = "",
) -> Picture:
    """One page that shows each sound once, as waveform and spectrogram, above its pictures.

    Args:
        entries: in the order in which they shall be seen; those of one sound are brought together.
        columns: pictures side by side; by default as many as make a page that fits a screen.
        cell_px: longer side of a picture on the page; text and spacing grow with it.
        title: heading of the page, or nothing.

    Returns:
        Shape (H, W, 3).

    Raises:
        ValueError: there are no entries.
    """
    if not entries:
        raise ValueError("a contact sheet needs at least one picture")
    sounds: dict[tuple[str, int], list[SheetEntry]] = {}
    for entry in entries:  # two sounds may share a name, so the wave counts as well
        key = entry.label, zlib.crc32(entry.wave.tobytes())
        sounds.setdefault(key, []).append(entry)

    most = max(map(len, sounds.values()))
    across = min(most, columns or math.ceil(most / math.ceil(most / WIDEST)))
    cards = [_card(sound, across, cell_px) for sound in sounds.values()]
    side_by_side = max(1, columns // across) if columns else _side_by_side(cards)
    unit = cell_px / CELL_PX
    page = _grid(cards, side_by_side, round(3 * GAP_PX * unit))
    if title:
        heading = _line(title, "", page.shape[1], TITLE_PX * unit, INK)
        page = _grid([heading, page], 1, round(2 * GAP_PX * unit))
    return _framed(page, unit)


def strip(pictures: Sequence[Picture], labels: Sequence[str], *, cell_px: int = CELL_PX) -> Picture:
    """Pictures in a row with a word under each: what changes as a sound gets louder, say.

    Many or wide ones take several rows.

    Returns:
        Shape (H, W, 3).

    Raises:
        ValueError: there is not one label for each picture, or no picture.
    """
    if not pictures:
        raise ValueError("a strip needs at least one picture")
    cells = [_cell(p, label, cell_px) for p, label in zip(pictures, labels, strict=True)]
    unit = cell_px / CELL_PX
    height, width = pictures[0].shape[:2]
    columns = max(1, min(LONGEST_STRIP, round(LONGEST_STRIP * height / width)))
    return _framed(_grid(cells, columns, round(GAP_PX * unit)), unit)


def table(
    pictures: Sequence[Sequence[Picture]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    cell_px: int = CELL_PX,
) -> Picture:
    """Rows and columns of pictures, each row with a word before it, each column with one above.

    Returns:
        Shape (H, W, 3).

    Raises:
        ValueError: there is not one label for each row and column, or no picture.
    """
    if not pictures or not pictures[0]:
        raise ValueError("a table needs at least one picture")
    unit = cell_px / CELL_PX
    gap, px = round(GAP_PX * unit), LABEL_PX * unit
    rows = []
    for label, row in zip(row_labels, pictures, strict=True):
        cells = [_rounded(resize(p, cell_px), CORNER_PX * unit) for p in row]
        # Read from below, as the axis of a diagram, so that a long name takes no room.
        name = np.rot90(_line(label, "", cells[0].shape[0], px, PENCIL))
        rows.append(_beside(name, _grid(cells, len(column_labels), gap), gap))
    heads = [_line(label, "", cell_px, px, PENCIL) for label in column_labels]
    corner = _blank(1, name.shape[1])
    head = _beside(corner, _grid(heads, len(heads), gap), gap)
    return _framed(_grid([head, *rows], 1, gap), unit)


def draw_waveform(wave: Wave, width: int, height: int) -> Picture:
    """How far the air swings over time, shape (height, width, 3); louder is lighter.

    The swing is drawn as its square root: a recording at a tenth of full scale is plainly seen and
    yet plainly quieter than one at full scale. ``wave`` has at least one sample.
    """
    starts = np.linspace(0, len(wave), width, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)
    swings = np.sqrt(np.abs([low, high]).clip(0, 1)) * np.sign([low, high])  # (2, width)
    # Half a pixel thicker on either side, so that silence is a line and not a gap.
    bottom, top = height / 2 - (height / 2 - 1) * swings + [[0.5], [-0.5]]
    row = np.arange(height)[:, None]
    ink = (np.minimum(bottom, row + 1) - np.maximum(top, row)).clip(0, 1)[..., None]  # coverage
    colours = _heat(0.45 + 0.45 * np.abs(swings).max(axis=0))  # (width, 3)
    return np.asarray(np.rint(ink * colours + (1 - ink) * PANEL), dtype=np.uint8)


def draw_spectrogram(wave: Wave, sample_rate: int, width: int, height: int) -> Picture:
    """How loud each pitch is over time, shape (height, width, 3); high pitches are on top.

    Pitch is spaced by octaves, as we hear it. The cost does not grow with the length of the sound.
    """
    wave = np.pad(wave, (0, max(0, N_FFT - len(wave))))
    windows = np.lib.stride_tricks.sliding_window_view(wave, N_FFT)
    # Four looks for each column of pixels, so that a short bark does not fall between two of them.
    looks = windows[np.linspace(0, len(windows) - 1, 4 * width).astype(int)]
    window = np.hanning(N_FFT)
    power = np.abs(np.fft.rfft(looks * window) / (window.sum() / 2)) ** 2
    decibels = 10 * np.log10(power.reshape(width, 4, -1).mean(axis=1) + 1e-12)  # (width, pitches)

    pitch = np.geomspace(sample_rate / 2, LOWEST_HZ, height) * N_FFT / sample_rate
    below = np.minimum(pitch.astype(int), N_FFT // 2 - 1)
    above = pitch - below  # share of the next bin
    smooth = decibels[:, below] * (1 - above) + decibels[:, below + 1] * above  # (width, height)
    return np.rint(_heat((smooth.T - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB))).astype(np.uint8)


def _card(entries: Sequence[SheetEntry], across: int, cell_px: int) -> Picture:
    """One sound and its pictures, ``across`` of them side by side."""
    unit = cell_px / CELL_PX
    gap = round(GAP_PX * unit)
    width = across * cell_px + (across - 1) * gap
    wave, rate, label = entries[0].wave, entries[0].sample_rate, entries[0].label
    heard = np.concatenate(
        [
            draw_waveform(wave, width, round(WAVE_PX * unit)),
            draw_spectrogram(wave, rate, width, round(SPECTROGRAM_PX * unit)),
        ]
    )
    seconds = f"{len(wave) / rate:.1f} s"
    return _grid(
        [
            _line(label, seconds, width, LABEL_PX * unit, INK),
            _rounded(heard, CORNER_PX * unit),
            _grid([_cell(e.picture, e.detail, cell_px) for e in entries], across, gap),
        ],
        1,
        gap,
    )


def _cell(picture: Picture, caption: str, cell_px: int) -> Picture:
    """One picture, and what tells it from the others, written below."""
    unit = cell_px / CELL_PX
    painted = _rounded(resize(picture, cell_px), CORNER_PX * unit)
    below = _line(caption, "", painted.shape[1], 0.87 * LABEL_PX * unit, PENCIL)
    return _grid([painted, below], 1, round(GAP_PX * unit / 2))


def _side_by_side(cards: Sequence[Picture]) -> int:
    """How many cards in a row make a page of about ``PAGE_SHAPE`` with few places left empty."""
    height, width = np.max([card.shape[:2] for card in cards], axis=0)

    def misfit(columns: int) -> float:
        rows = math.ceil(len(cards) / columns)
        empty = 1 - len(cards) / (rows * columns)
        return abs(math.log(columns * width / (rows * height) / PAGE_SHAPE)) + 2 * empty

    return min(range(1, len(cards) + 1), key=misfit)


def _grid(blocks: Sequence[Picture], columns: int, gap: int) -> Picture:
    """Blocks in reading order; each row as high as its highest block, all columns equally wide."""
    width = max(block.shape[1] for block in blocks)
    rows = [blocks[at : at + columns] for at in range(0, len(blocks), columns)]
    heights = [max(block.shape[0] for block in row) for row in rows]
    columns = min(columns, len(blocks))
    page = _blank(sum(heights) + gap * (len(rows) - 1), columns * (width + gap) - gap)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, block in enumerate(row):
            left = column * (width + gap)
            page[top : top + block.shape[0], left : left + block.shape[1]] = block
        top += height + gap
    return page


def _beside(left: Picture, right: Picture, gap: int) -> Picture:
    """Two blocks of unlike width side by side, aligned at their tops."""
    width = left.shape[1] + gap + right.shape[1]
    page = _blank(max(left.shape[0], right.shape[0]), width)
    page[: left.shape[0], : left.shape[1]] = left
    page[: right.shape[0], width - right.shape[1] :] = right
    return page


def _framed(page: Picture, unit: float) -> Picture:
    """The page with a margin around it."""
    margin = round(MARGIN_PX * unit)
    framed = _blank(page.shape[0] + 2 * margin, page.shape[1] + 2 * margin)
    framed[margin : margin + page.shape[0], margin : margin + page.shape[1]] = page
    return framed


def _blank(height: int, width: int) -> Picture:
    return np.full((height, width, 3), PAGE, dtype=np.uint8)


def _rounded(picture: Picture, radius: float) -> Picture:
    """The picture with its corners rounded off into the page."""
    height, width = picture.shape[:2]
    mask = Image.new("L", (4 * width, 4 * height))  # drawn large, since Pillow draws jagged edges
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, 4 * width - 1, 4 * height - 1), 4 * radius, fill=255
    )
    page = Image.new("RGB", (width, height), PAGE)
    page.paste(Image.fromarray(picture), mask=mask.reduce(4))
    return np.asarray(page)


def _line(left: str, right: str, width: int, px: float, colour: tuple[int, int, int]) -> Picture:
    """One line of text, ``left`` shortened in its middle where the width is not enough."""
    px = max(9, px)  # smaller than this is not read
    line = Image.new("RGB", (width, math.ceil(1.3 * px)), PAGE)
    draw = ImageDraw.Draw(line)
    right, font = _spelt(right, px)
    room = width - font.getlength(right + "  ") if right else width
    draw.text((width, px), right, PENCIL, font, anchor="rs")
    left, font = _spelt(left, px)
    draw.text((0, px), _shortened(left, font, room), colour, font, anchor="ls")
    return np.asarray(line)


def _shortened(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text without as much of its middle as needed: names differ at their ends."""

    def keep(letters: int) -> str:
        return f"{text[: (letters + 1) // 2]}…{text[len(text) - letters // 2 :]}"

    if font.getlength(text) <= room:
        return text
    too_many = bisect_right(range(len(text)), room, key=lambda n: font.getlength(keep(n)))
    return keep(max(0, too_many - 1))


def _spelt(text: str, px: float) -> tuple[str, ImageFont.FreeTypeFont]:
    """The text in a font that can spell it, or without accents and with "?" if there is none."""
    text = unicodedata.normalize("NFC", text)
    for name in FONTS:
        if (font := _font(name, px)) and all(_can_draw(font, letter) for letter in text):
            return text, font
    fonts = [font for name in FONTS if (font := _font(name, px))]
    best = max(fonts, key=lambda font: sum(_can_draw(font, letter) for letter in text))
    bare = (c if _can_draw(best, c) else unicodedata.normalize("NFKD", c)[0] for c in text)
    return "".join(letter if _can_draw(best, letter) else "?" for letter in bare), best


@cache
def _font(name: str | None, px: float) -> ImageFont.FreeTypeFont | None:
    """A font of the system, or Pillow's own; None where it is not installed."""
    try:
        font = ImageFont.truetype(name, px) if name else ImageFont.load_default(px)
    except OSError:
        return None
    return font if isinstance(font, ImageFont.FreeTypeFont) else None


@cache
def _can_draw(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether the font has this letter, rather than the box that stands for a missing one."""
    return letter.isprintable() and bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def _heat(loudness: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Colours of ``HEAT`` for loudness in [0, 1], shape (..., 3), values in [0, 255]."""
    stops = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(loudness, stops, channel) for channel in HEAT.T], axis=-1)
