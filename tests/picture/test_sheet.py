import numpy as np
import pytest

from s2s_cli.picture import sheet
from s2s_cli.picture.sheet import (
    HEAT,
    PAGE,
    PANEL,
    SheetEntry,
    contact_sheet,
    draw_spectrogram,
    draw_waveform,
    strip,
    table,
)

RATE = 16_000
RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)
SILENCE = np.zeros(RATE, np.float32)


def tone(hertz: float, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def entry(label: str = "rain.wav", seed: int = 0, wave: np.ndarray = SILENCE) -> SheetEntry:
    return SheetEntry(RED, label, f"seed {seed}", wave, RATE)


def spots(page: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int]:
    """How many separate areas of a colour lie below and beside one another."""
    there = (page == colour).all(axis=-1)
    return tuple(int((np.diff(there.any(axis=a).astype(int)) == 1).sum()) for a in (1, 0))


def test_every_picture_is_there_once():
    page = contact_sheet([entry(seed=s) for s in range(4)], columns=2, cell_px=64)
    assert spots(page, (255, 0, 0)) == (2, 2)
    assert (page == (255, 0, 0)).all(axis=-1).sum() == pytest.approx(4 * 64 * 64, rel=0.01)


def test_pictures_of_one_sound_share_one_panel():
    apart = [entry("rain.wav", 0), entry("sea.wav", 0), entry("rain.wav", 1), entry("sea.wav", 1)]
    assert spots(contact_sheet(apart, columns=2, cell_px=64), PANEL)[0] == 4  # 2 on either side
    assert spots(contact_sheet(apart, columns=4, cell_px=64), (255, 0, 0)) == (1, 4)


def test_two_sounds_of_one_name_stay_two():
    one, two = entry(wave=tone(440)), entry(wave=tone(880))
    assert contact_sheet([one, two], columns=1).shape[0] > 1.9 * contact_sheet([one]).shape[0]


@pytest.mark.parametrize("sounds", [1, 2, 3, 4, 6, 8, 12, 20, 30])
def test_a_page_fits_a_screen(sounds):
    page = contact_sheet([entry(f"{n}.wav") for n in range(sounds)], cell_px=128)
    assert sounds < 3 or 0.8 < page.shape[1] / page.shape[0] < 2.4


def test_a_page_grows_with_its_cells():
    small, large = (contact_sheet([entry()], cell_px=px).shape for px in (256, 512))
    assert large == pytest.approx((2 * small[0], 2 * small[1], 3), abs=4)


def test_a_title_stands_above():
    plain, titled = contact_sheet([entry()]), contact_sheet([entry()], title="Four rains")
    assert titled.shape[0] > plain.shape[0]
    assert (titled[-200:] == plain[-200:]).all()


def test_an_empty_page_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(ValueError, match="at least one picture"):
        strip([], [])


def test_a_long_strip_and_a_wide_one_take_several_rows():
    assert spots(strip([RED] * 14, ["x"] * 14, cell_px=32), (255, 0, 0)) == (2, 12)
    wide = np.repeat(RED, 6, axis=1)  # a panorama, which would be a sliver among twelve
    assert spots(strip([wide] * 4, ["x"] * 4, cell_px=60), (255, 0, 0)) == (2, 2)


def test_a_table_has_its_rows_and_columns_where_they_were_given():
    blue = RED[..., ::-1]
    page = table([[RED, blue], [blue, RED], [RED, RED]], list("abc"), ["left", "right"])
    there = (page == (255, 0, 0)).all(axis=-1)
    assert there.sum() == pytest.approx(4 * 256 * 256, rel=0.01)
    high, wide = page.shape[:2]
    cells = [(row, column) for row in (0.2, 0.5, 0.8) for column in (0.3, 0.75)]
    seen = [bool(there[round(high * row), round(wide * column)]) for row, column in cells]
    assert seen == [True, False, False, True, True, True]


@pytest.mark.parametrize(
    ("pictures", "rows", "columns"),
    [([], [], []), ([[]], ["a"], []), ([[RED]], [], ["a"]), ([[RED]], ["a"], [])],
)
def test_a_table_needs_pictures_and_a_label_for_each_row_and_column(pictures, rows, columns):
    with pytest.raises(ValueError, match=r"."):
        table(pictures, rows, columns)


def test_a_strip_needs_a_label_for_each_picture():
    assert spots(strip([RED] * 3, ["gain 0.5", "gain 1", "gain 2"]), (255, 0, 0)) == (1, 3)
    with pytest.raises(ValueError, match="shorter"):
        strip([RED] * 3, ["gain 0.5"])


def test_pictures_need_not_be_square():
    wide, high = np.full((4, 8, 3), 255, np.uint8), np.full((8, 4, 3), 255, np.uint8)
    assert strip([wide, high, RED], ["a", "b", "c"], cell_px=64).shape[0] > 64


@pytest.mark.parametrize(
    "label",
    ["", "Жук и дождь.wav", "雨.wav", "🌧", "e\u0301te\u0301", "a\nb\t", "\udcff", "x" * 5000],
    ids=["empty", "cyrillic", "han", "emoji", "combined", "control", "not unicode", "endless"],
)
def test_any_name_can_be_drawn(label):
    assert contact_sheet([entry(label)]).shape == contact_sheet([entry()]).shape


def test_without_a_font_for_it_a_name_loses_its_accents(monkeypatch):
    """Pillow's own font, the only one that is always there, knows little beyond ASCII."""
    monkeypatch.setattr(sheet, "FONTS", (None,))
    assert sheet._spelt("Übung 雨\n.wav", 15)[0] == "Ubung ??.wav"


def test_a_long_name_loses_its_middle():
    text, font = sheet._spelt("recording of the north sea in november 0042.wav", 15)
    short = sheet._shortened(text, font, 150)
    head, tail = short.split("…")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert 120 < font.getlength(short) <= 150
    assert sheet._shortened("sea.wav", font, 150) == "sea.wav"


def ink(wave: np.ndarray) -> float:
    return float((draw_waveform(wave, 64, 40) != PANEL).any(axis=-1).mean())


def test_a_waveform_is_higher_where_it_is_louder():
    assert ink(SILENCE) < ink(tone(440, 0.01)) < ink(tone(440, 0.1)) < ink(tone(440, 1))
    assert ink(tone(440, 1)) > 0.9


def test_a_waveform_shows_which_way_the_air_moved():
    drawn = (draw_waveform(np.full(500, 0.8, np.float32), 64, 40) != PANEL).any(axis=-1)
    assert drawn[:19].any()
    assert not drawn[21:].any()


@pytest.mark.parametrize("samples", [1, 7, 512, 100_000])
def test_sounds_of_any_length_fill_their_thumbnails(samples):
    wave = np.ones(samples, np.float32)
    assert draw_waveform(wave, 64, 40).shape == (40, 64, 3)
    assert draw_spectrogram(wave, RATE, 64, 40).shape == (40, 64, 3)


def test_high_pitches_are_on_top_and_octaves_are_equally_far_apart():
    rows = [
        draw_spectrogram(tone(hertz), RATE, 16, 200).sum(axis=(1, 2), dtype=int).argmax()
        for hertz in (500, 1000, 2000, 4000)
    ]
    octave = 200 / np.log2(RATE / 2 / sheet.LOWEST_HZ)
    assert -np.diff(rows) == pytest.approx(octave, abs=3)


def test_louder_is_lighter_and_silence_is_the_panel():
    light = [
        draw_spectrogram(tone(1000, gain), RATE, 16, 64).sum(dtype=int) for gain in (0.01, 0.1, 1)
    ]
    assert light == sorted(set(light))
    assert (draw_spectrogram(SILENCE, RATE, 16, 64) == PANEL).all()


def test_a_click_does_not_fall_between_two_columns():
    wave = SILENCE.copy()
    wave[9_000:9_010] = 1
    column = (draw_spectrogram(wave, RATE, 64, 40) != PANEL).any(axis=(0, 2))
    assert column[9_000 * 64 // RATE - 2 : 9_000 * 64 // RATE + 3].any()
    assert column.sum() < 8


def test_colours_grow_lighter_all_the_way():
    """So the picture still reads in grey, and for those who see fewer colours."""
    linear = (np.vstack([PAGE, HEAT]) / 255) ** 2.2
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) > 0).all()
