"""A photo keeps its size and itself; tiles cannot be seen, and memory does not grow with them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import RATE, randomise, tone
from memory import PEAK_BYTES
from PIL import Image

from s2s_cli import restyling
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig
from s2s_cli.picture.image import psnr_db
from s2s_cli.picture.photo import Photo
from s2s_cli.restyling import OVERLAP_PX, Restyler, tiles


@pytest.fixture
def restyler(style_model) -> Restyler:
    return Restyler.open(style_model, "cpu", "float32")


def landscape(height: int, width: int) -> Photo:
    """A pale sky above dark, rough ground: no two parts of it have the same statistics."""
    chance = np.random.default_rng(0)
    rough = chance.normal(0, 1, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)
    down, across = np.mgrid[:height, :width] / [[[height]], [[width]]]
    ground = (down > 0.5) * (70 + 25 * rough[:height, :width])
    sky = (down <= 0.5) * (230 - 120 * down + 30 * across)
    pixels = (ground + sky)[..., None] * [0.9, 1, 1.05 - 0.2 * down.mean()]
    return Photo(pixels.clip(0, 255).astype(np.uint8), None, None, "photo.png", "")


def feature(seed: int = 0) -> torch.Tensor:
    return torch.randn(16, generator=torch.Generator().manual_seed(seed))


def in_tiles(restyler: Restyler, side_px: int, monkeypatch) -> None:
    """From now on no tile has more pixels than a square of this side."""
    allowed = side_px**2 * restyler.model.stylizer.config.bytes_per_px
    monkeypatch.setattr(restyling, "WORKING_BYTES", allowed)


@pytest.mark.parametrize("size", [(600, 900), (300, 1500)])
def test_a_photo_in_tiles_is_the_photo_in_one_piece(restyler, monkeypatch, size):
    photo = landscape(*size)
    whole = restyler.restyle(photo, feature())
    in_tiles(restyler, 512, monkeypatch)
    assert psnr_db(restyler.restyle(photo, feature()), whole) > 30
    assert psnr_db(photo.pixels, whole) < 10  # it did change


def test_normalised_alike_the_tiles_are_one_picture(restyler, monkeypatch):
    """Without the sampling of statistics nothing but rounding is left of the tiles: no seams."""
    photo = landscape(500, 700)
    stylizer = restyler.model.stylizer
    whole = restyler._as_input(photo, slice(None), slice(None))
    monkeypatch.setattr(restyler, "_sample", lambda *_: whole)
    in_one_piece = restyler.restyle(photo, feature())
    in_tiles(restyler, 256, monkeypatch)
    assert stylizer.config.fusion == "modulated"
    assert psnr_db(restyler.restyle(photo, feature()), in_one_piece) > 45


def test_a_deep_stylizer_shows_no_seams_either(restyler, monkeypatch):
    """A seam would be a step between two columns that is larger than any that the photo has."""
    config = StylizerConfig(features=16, down=(4, 6, 8), blocks=9, up=(6, 4), fusion="modulated")
    restyler.model = replace(restyler.model, stylizer=randomise(Stylizer(config), 0))
    photo = landscape(300, 600)
    in_tiles(restyler, 220, monkeypatch)
    restyled = restyler.restyle(photo, feature()).astype(float)
    steps = np.abs(np.diff(restyled, axis=1)).mean(axis=(0, 2))
    edges = [cut for rows, _ in tiles(600, 220) for cut in (rows.start, rows.stop) if 0 < cut < 600]
    assert edges
    near = max(steps[cut - 3 : cut + 3].max() for cut in edges)
    assert near <= np.quantile(steps, 0.999) * 1.05


@pytest.mark.parametrize("side", [1, 97, 256, 257, 1000, 6000])
def test_the_weights_of_all_tiles_sum_to_one(side):
    total = np.zeros(side)
    for number, (rows, weight) in enumerate(tiles(side, 256)):
        assert rows.stop - rows.start <= 256
        assert rows.start % 4 == 0
        assert not number or len(weight) > OVERLAP_PX
        total[rows] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_photo_is_normalised_by_itself_after_one_in_tiles(restyler, monkeypatch):
    small, large = landscape(64, 64), landscape(400, 400)
    before = restyler.restyle(small, feature())
    in_tiles(restyler, 256, monkeypatch)
    restyler.restyle(large, feature())
    assert np.array_equal(restyler.restyle(small, feature()), before)


def test_strength_leads_from_the_photo_to_the_look(restyler):
    photo = landscape(40, 60)
    none, half, full = (restyler.restyle(photo, feature(), s).astype(float) for s in (0, 0.5, 1))
    assert np.array_equal(none, photo.pixels)
    np.testing.assert_allclose(half, (none + full) / 2, atol=0.5)


def test_a_wave_is_brought_to_the_peak_that_was_taught(style_model, peak_model):
    loud, quiet = tone(440, 1), tone(440, 1, 0.05)
    taught = Restyler.open(peak_model, "cpu")
    np.testing.assert_allclose(taught.prepared(quiet), taught.prepared(loud), atol=1e-6)
    assert np.abs(taught.prepared(quiet)).max() == pytest.approx(1 / 1.1)
    plain = Restyler.open(style_model, "cpu").prepared(quiet)
    assert np.abs(plain).max() == pytest.approx(0.05, rel=1e-3)
    assert len(plain) == 3 * RATE


MEASURE = f"""
{PEAK_BYTES}
import torch
from s2s_cli import restyling
restyling.WORKING_BYTES = 2 * 10**7
restyler = restyling.Restyler.open(sys.argv[1], "cpu")
restyler.restyle(restyler.see(sys.argv[2]).photo, torch.zeros(16))
print(peak_bytes())
"""


def test_memory_grows_with_the_photo_itself_only(style_model, tmp_path):
    """Its pixels, Pillow's, and those of the picture; the network's maps would be 88 bytes each."""
    peaks = []
    for height in (500, 2000):
        path = tmp_path / f"{height}.jpg"
        Image.fromarray(landscape(height, 1000).pixels).save(path)
        command = [sys.executable, "-c", MEASURE, str(style_model), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 30 * 1500 * 1000, peaks


def test_narrow_numbers_paint_the_same_picture_and_the_provenance_tells(style_model):
    photo = landscape(64, 96)
    exact, narrow = (
        Restyler.open(style_model, "cpu", precision) for precision in ("float32", "bfloat16")
    )
    wanted, found = (studio.restyle(photo, feature()) for studio in (exact, narrow))
    assert psnr_db(found, wanted) > 40
    assert not np.array_equal(found, wanted)
    assert narrow.precision == "bfloat16"
