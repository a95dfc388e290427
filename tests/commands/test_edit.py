"""``s2s edit`` on tiny models: its own picture stays recognisable, and a photo stays a photo."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from s2s_cli.studio import Look, Studio
from s2s_cli.walks import Blend, Edit, Walk


@pytest.fixture
def edit(s2s, tiny_model):
    return lambda *arguments: s2s("edit", "-m", tiny_model, *arguments)


@pytest.fixture
def picture(s2s, tiny_model, low_wav, tmp_path) -> Path:
    """What the tiny model itself painted: it must find that again."""
    path = tmp_path / "own.png"
    s2s("generate", low_wav, "-m", tiny_model, "-o", path)
    return path


def pixels(path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def test_strength_zero_is_the_reconstruction_whatever_the_sound(
    edit, picture, low_wav, high_wav, tmp_path, tiny_model
):
    edit(picture, low_wav, "--strength", 0, "-o", tmp_path / "a.png")
    edit(picture, high_wav, "--strength", 0, "--from", 3, "--to", 9, "-o", tmp_path / "b.png")
    edit(picture, low_wav, "--strength", 1, "--sweep", 3, "-o", tmp_path / "sweep/")
    first = pixels(tmp_path / "sweep/own-low-000.png")
    studio = Studio.open(tiny_model)
    found = studio.see(picture).inversion(1)
    for zero in (tmp_path / "a.png", tmp_path / "b.png"):
        assert np.array_equal(pixels(zero), found.painted)
    assert np.array_equal(first, found.painted)


def test_a_strength_moves_the_picture_and_its_opposite_the_other_way(
    edit, picture, low_wav, high_wav, tmp_path
):
    for strength in (0, 0.4, -0.4):
        edit(
            picture, low_wav, "--against", high_wav, "--strength", strength,
            "-o", tmp_path / f"{strength}.png",
        )  # fmt: skip
    none, more, less = (pixels(tmp_path / f"{s}.png").astype(int) for s in (0, 0.4, -0.4))
    assert np.abs(more - none).max() > 2
    # To first order the two differences are opposite.
    towards, away = (more - none).ravel(), (less - none).ravel()
    assert np.corrcoef(towards, away)[0, 1] < 0


def test_the_way_backwards_is_the_opposite_strength(edit, picture, low_wav, tmp_path):
    edit(picture, low_wav, "--from", -20, "--to", 6, "--strength", 1.5, "-o", tmp_path / "a.png")
    edit(picture, low_wav, "--from", 6, "--to", -20, "--strength", -1.5, "-o", tmp_path / "b.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_the_error_of_the_reconstruction_is_said_and_told(edit, picture, low_wav, tmp_path):
    said = edit(picture, low_wav, "--json", "-o", tmp_path / "e.png")
    told = json.loads(said.out)
    assert f"found again with {told['psnr_db']:.1f} dB" in said.err.replace("\n", "")
    # The independent truth: the definition, on the files.
    edit(picture, low_wav, "--strength", 0, "-o", tmp_path / "zero.png")
    difference = pixels(tmp_path / "zero.png").astype(float) - pixels(picture)
    assert told["psnr_db"] == pytest.approx(
        10 * np.log10(255**2 / (difference**2).mean()), abs=0.01
    )


def test_what_is_hardly_the_same_picture_is_a_warning_even_when_quiet(edit, low_wav, tmp_path):
    chance = np.random.default_rng(0)
    noise = tmp_path / "noise.png"  # which no autoencoder keeps
    Image.fromarray(chance.integers(0, 256, (32, 32, 3), np.uint8)).save(noise)
    said = edit(noise, low_wav, "--quiet", "-o", tmp_path / "e.png")
    assert said.code == 0
    assert "warning:" in said.err
    assert "hardly the same picture" in said.err


@pytest.fixture
def photo(tmp_path) -> Path:
    """Twelve megapixels as a phone writes them: lying down, in its own colours."""
    path = tmp_path / "photo.jpg"
    x, y = np.meshgrid(np.arange(4000, dtype=np.float32), np.arange(3000, dtype=np.float32))
    ramp = np.stack([x / 4000 * 255, y / 3000 * 255, 128 + 60 * np.sin(x / 90)], -1)
    exif = Image.Exif()
    exif[274] = 6  # upright after a quarter turn
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(ramp.astype(np.uint8)).save(path, exif=exif, icc_profile=profile, quality=85)
    return path


def test_a_photo_of_twelve_megapixels_stays_one(edit, photo, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = edit(photo, low_wav, "--blend", "low", "--strength", 3)
    assert said.lines == ["photo-low.jpg"], said.err
    with Image.open("photo-low.jpg") as after, Image.open(photo) as before:
        assert after.size == (3000, 4000)
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert after.getexif().get(274, 1) == 1  # upright as it is


@pytest.mark.parametrize("way", ["low", "mask"])
def test_no_change_leaves_the_photos_own_bytes(edit, photo, low_wav, tmp_path, way):
    out = tmp_path / "same.png"
    edit(photo, low_wav, "--blend", way, "--strength", 0, "-o", out)
    with Image.open(photo) as file:
        upright = np.asarray(file.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(pixels(out), upright)


def test_transparency_stays(edit, low_wav, tmp_path):
    path = tmp_path / "clear.png"
    layers = np.full((60, 90, 4), 128, np.uint8)
    layers[:, :45, 3] = 0
    Image.fromarray(layers).save(path)
    out = tmp_path / "out.png"
    edit(path, low_wav, "--blend", "low", "-o", out)
    with Image.open(out) as file:
        assert file.mode == "RGBA"
        assert np.array_equal(np.asarray(file)[..., 3], layers[..., 3])


@pytest.mark.parametrize(("size", "expected"), [(None, (48, 32)), (90, (90, 60))])
def test_without_blending_the_painting_has_the_photos_aspect(
    edit, low_wav, tmp_path, size, expected
):
    path, out = tmp_path / "wide.png", tmp_path / "out.png"
    Image.new("RGB", (600, 400), (90, 120, 40)).save(path)
    edit(path, low_wav, "-o", out, *(["--size", size] if size else []))
    with Image.open(out) as file:
        assert file.size == expected


@pytest.mark.parametrize(
    "options",
    [
        ["--strength", 1.5, "-o", "x.png"],
        ["--sweep", 3, "--bounce", "-o", "x.gif"],
        ["--sweep", 3, "-o", "x.jpg"],
        ["--blend", "mask", "--strength", 2, "-o", "x.webp"],
    ],
    ids=str,
)
def test_redo_makes_the_same_bytes(edit, s2s, picture, low_wav, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    assert edit(picture, low_wav, *options).code == 0
    made = Path(options[-1])
    again = s2s("redo", made)
    assert again.code == 0, again.err
    assert Path(again.lines[0]).read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--from", "3", "--to", "3"],
        ["--blend", "low", "--size", "64"],
        ["--blend", "low", "--sweep", "3"],
        ["--blend", "low", "--sweep", "3", "-o", "x.png"],
        ["--strength", "nan"],
    ],
    ids=" ".join,
)
def test_wrong_usage(edit, picture, low_wav, options):
    assert edit(picture, low_wav, *options).code == 2


def test_a_difference_that_is_not_heard_edits_nothing(edit, picture, low_wav, tmp_path):
    for way in (["--from", 0, "--to", 0.001], ["--against", low_wav]):
        said = edit(picture, low_wav, *way, "-o", tmp_path / "x.png")
        assert said.code == 1
        assert "hears no difference" in said.err
    assert not (tmp_path / "x.png").exists()


def test_only_what_decides_the_picture_is_recorded(edit, picture, low_wav, high_wav, tmp_path):
    """A flow searches for nothing, and gains do not matter between two sounds."""
    out = ("--against", high_wav, "-o", tmp_path / "x.png", "--json")
    assert json.loads(edit(picture, low_wav, *out).out)["status"] == "written"
    again = edit(picture, low_wav, "--steps", 7, "--from", 1, *out)
    assert json.loads(again.out)["status"] == "kept"
    assert "found again" not in again.err  # nothing was inverted for what was there


def test_a_sound_is_no_picture(edit, low_wav, tmp_path):
    said = edit(low_wav, low_wav, "-o", tmp_path / "x.png")
    assert said.code == 1
    assert "low.wav" in said.err
    assert not (tmp_path / "x.png").exists()


def test_an_imported_generator_is_searched(biggan_model, low_wav, tmp_path, s2s):
    """The paper's generator: more steps find a picture better, and strength 0 is what was found."""
    studio = Studio.open(biggan_model)
    picture = tmp_path / "own.png"
    s2s("generate", low_wav, "-m", biggan_model, "-o", picture)
    few, many = (studio.invert(studio.see(picture), steps) for steps in (1, 60))
    assert many.psnr_db > few.psnr_db
    said = s2s(
        "edit", picture, low_wav, "-m", biggan_model, "--steps", 5, "--strength", 0,
        "-o", tmp_path / "zero.png",
    )  # fmt: skip
    assert said.code == 0, said.err
    walk = Walk(
        Edit(search_steps=5, blend=Blend.NONE),
        (studio.see(picture), studio.hear(low_wav)),
        0,
        Look(),
    )
    assert np.array_equal(pixels(tmp_path / "zero.png"), walk.paint(0))


def test_a_plain_profile_is_readable(photo):
    """What the fixture writes is what a phone would: otherwise the tests above test nothing."""
    with Image.open(photo) as file:
        assert ImageCms.ImageCmsProfile(io.BytesIO(file.info["icc_profile"]))
        assert file.getexif()[274] == 6
        assert file.size == (4000, 3000)
