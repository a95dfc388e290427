"""A change painted small, back in the photo: what must stay and what must come."""

import numpy as np
import pytest
from PIL import Image

from s2s_cli.choices import Blend
from s2s_cli.picture.blend import STRIP_PX, blend, evened
from s2s_cli.picture.photo import Photo

WAYS = [Blend.LOW, Blend.MASK]
SIDE = 64
CHANCE = np.random.default_rng(0)


def photo(pixels: np.ndarray) -> Photo:
    return Photo(pixels.astype(np.uint8), None, None, "a.jpg", "")


@pytest.fixture
def grainy() -> Photo:
    """Grey with grain of single pixels, taller than one strip, and wider than high."""
    return photo(CHANCE.integers(100, 150, (STRIP_PX + 44, 500, 3)))


def flat(*colour: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


@pytest.mark.parametrize("way", WAYS)
def test_no_change_gives_back_the_photo_byte_for_byte(grainy, way):
    painting = CHANCE.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert np.array_equal(blend(grainy, painting, painting, way), grainy.pixels)


def test_an_even_change_moves_every_pixel_alike(grainy):
    blended = blend(grainy, flat(100, 100, 100), flat(120, 100, 70), Blend.LOW)
    assert (blended.astype(int) - grainy.pixels == (20, 0, -30)).all()


def test_a_change_is_never_wrapped_around():
    white = photo(np.full((40, 40, 3), 250))
    assert (blend(white, flat(0, 0, 0), flat(200, 200, 200), Blend.LOW) == 255).all()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_far_from_the_change_stays(grainy, way):
    after = flat(100, 100, 100)
    after[:, :16] = (220, 60, 20)  # the left quarter burns
    blended = blend(grainy, flat(100, 100, 100), after, way)
    assert np.array_equal(blended[:, 250:], grainy.pixels[:, 250:])
    assert (blended[:, :90].astype(int) - grainy.pixels[:, :90]).mean(axis=(0, 1))[0] > 50


def test_the_mask_takes_the_paintings_colour_and_keeps_the_photos_grain(grainy):
    after = flat(100, 100, 100)
    after[:, :16] = (200, 60, 20)
    blended = blend(grainy, flat(100, 100, 100), after, "mask").astype(float)
    burning, before = blended[20:-20, 10:80], grainy.pixels[20:-20, 10:80].astype(float)
    assert burning.mean(axis=(0, 1)) == pytest.approx([200, 60, 20], abs=6)
    grains = np.corrcoef(burning[..., 0].ravel(), before[..., 0].ravel())[0, 1]
    assert grains > 0.95


@pytest.mark.parametrize("way", WAYS)
def test_a_change_keeps_to_the_edges_of_the_photo(way):
    """A bright window in a dark wall is repainted; the frame is 3 px of 960 off in the painting."""
    pixels = np.full((960, 960, 3), 40)
    pixels[:, 483:] = 200
    before = np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((SIDE, SIDE)))
    after = before.copy()
    after[:, 32:] = (200, 120, 40)
    change = blend(photo(pixels), before, after, way).astype(int)[480, :, 2] - pixels[480, :, 2]
    assert change[460:480] == pytest.approx(0, abs=25)  # a pixel of the painting is 15 here
    assert change[493:513] == pytest.approx(-160, abs=25)


@pytest.mark.parametrize("way", WAYS)
def test_a_change_lies_where_it_was_painted(way):
    """In a panorama, each quarter of the painting belongs to a quarter of the photo."""
    panorama = photo(np.full((100, 900, 3), 128))
    after = flat(128, 128, 128)
    after[: SIDE // 2, SIDE // 2 :] = 200
    change = blend(panorama, flat(128, 128, 128), after, way).astype(int) - 128
    quarters = change.reshape(2, 50, 2, 450, 3).mean(axis=(1, 3, 4))
    assert quarters[0, 1] > 55
    assert abs(quarters[[0, 1, 1], [0, 0, 1]]).max() < 12


@pytest.mark.parametrize("way", WAYS)
def test_strips_leave_no_seam(way):
    grey = photo(np.full((3 * STRIP_PX, 50, 3), 128))
    after = np.linspace(28, 228, SIDE).astype(np.uint8)[:, None, None] * np.ones((1, SIDE, 3), "u1")
    rows = blend(grey, flat(128, 128, 128), after, way)[:, 25, 0].astype(int)
    assert np.abs(np.diff(rows)).max() <= 2


def test_a_change_of_srgb_is_one_of_the_photos_own_colours():
    """With red and green swapped, sRGB's red is the photo's green."""
    swapping = Photo(np.full((40, 40, 3), 128, np.uint8), None, b"swap", "a.jpg", "")
    vars(swapping)["from_srgb"] = lambda pixels: pixels[..., [1, 0, 2]]
    blended = blend(swapping, flat(100, 100, 100), flat(150, 100, 100), Blend.LOW)
    assert (blended == (128, 178, 128)).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(1, 1), (3, 700), (5, 4)])
def test_even_the_smallest_photo_can_be_changed(way, size):
    blended = blend(photo(np.full((*size, 3), 100)), flat(0, 0, 0), flat(90, 90, 90), way)
    assert blended.shape == (*size, 3)
    assert blended.dtype == np.uint8


def test_evening_out_is_the_mean_of_the_surroundings():
    field = np.zeros((7, 7, 1))
    field[3, 3] = 25
    expected = np.zeros((7, 7))
    expected[1:6, 1:6] = 1
    assert evened(field, 2)[..., 0] == pytest.approx(expected)
