"""``s2s stylize`` on a tiny stylizer: a photo stays a photo, and every sound leaves its mark."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8).repeat(7, 0).repeat(7, 1)


@pytest.fixture
def stylize(s2s, style_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: s2s("stylize", "-m", style_model, *arguments)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A small photo as a phone writes it: lying down, in its own colours."""
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[274] = 6  # upright after a quarter turn
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(PIXELS).save(path, exif=exif, icc_profile=profile)
    return path


@pytest.fixture
def plain(tmp_path) -> Path:
    path = tmp_path / "plain.png"
    Image.fromarray(PIXELS).save(path)
    return path


def pixels(path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def test_a_photo_keeps_its_size_its_kind_and_its_colour_profile(stylize, photo, low_wav):
    said = stylize(photo, low_wav)
    assert said.lines == ["photo-low.jpg"], said.err
    with Image.open("photo-low.jpg") as after, Image.open(photo) as before:
        assert after.size == (42, 63)
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert after.getexif().get(274, 1) == 1  # upright as it is


def test_transparency_stays(stylize, low_wav, tmp_path):
    layers = np.dstack([PIXELS, np.arange(63, dtype=np.uint8)[None].repeat(42, 0) * 4])
    Image.fromarray(layers).save("clear.png")
    stylize("clear.png", low_wav, "-o", "out.png")
    with Image.open("out.png") as file:
        assert np.array_equal(np.asarray(file)[..., 3], layers[..., 3])


def test_strength_zero_is_the_photo(stylize, plain, low_wav):
    stylize(plain, low_wav, "--strength", 0, "-o", "same.png")
    assert np.array_equal(pixels("same.png"), PIXELS)


def test_sounds_and_volumes_are_different_looks(stylize, plain, low_wav, high_wav):
    ways = {
        "low": [low_wav],
        "quiet": [low_wav, "--gain", -20],
        "high": [high_wav],
        "both": [low_wav, "--mix", high_wav, "--ratio", 0.3],
        "first": [low_wav, "--mix", high_wav, "--ratio", 0],
        "second": [low_wav, "--mix", high_wav, "--ratio", 1],
    }
    for name, way in ways.items():
        assert stylize(plain, *way, "-o", f"{name}.png").code == 0
    look = {name: pixels(f"{name}.png").tobytes() for name in ways}
    assert len({look[name] for name in ("low", "quiet", "high", "both")}) == 4
    assert look["first"] == look["low"]
    assert look["second"] == look["high"]


def test_a_model_that_brings_sounds_to_one_peak_says_so_and_obeys_a_gain(
    s2s, peak_model, plain, low_wav, tmp_path
):
    for gain in (0, -20):
        said = s2s(
            "stylize", plain, low_wav, "-m", peak_model, "--gain", gain,
            "-o", tmp_path / f"{gain}.png",
        )  # fmt: skip
        assert "the same peak" in " ".join(said.err.split())
    assert not np.array_equal(pixels(tmp_path / "0.png"), pixels(tmp_path / "-20.png"))


def test_every_photo_by_every_sound_and_the_page_of_all(stylize, photo, plain, low_wav, high_wav):
    arguments = (photo, plain, low_wav, high_wav, "--sheet", "--json", "-o", "out/")
    told = [json.loads(line) for line in stylize(*arguments).lines]
    assert [each["path"] for each in told] == [
        "out/photo-low.jpg",
        "out/photo-high.jpg",
        "out/plain-low.png",
        "out/plain-high.png",
        "out/sheet.png",
    ]
    assert {each["status"] for each in told} == {"written"}
    Path("out/plain-low.png").unlink()
    statuses = [json.loads(line)["status"] for line in stylize(*arguments).lines]
    assert statuses == ["kept", "kept", "written", "kept", "kept"]


def test_the_page_begins_with_the_photo_itself(stylize, tmp_path, low_wav):
    colour = (31, 120, 200)
    path = tmp_path / "sky.png"
    Image.new("RGB", (32, 32), colour).save(path)
    stylize(path, low_wav, "--sheet", "-o", "out/")
    page = pixels("out/sheet.png")
    is_photo = (page == colour).all(axis=2)
    columns = np.flatnonzero(is_photo.any(axis=0))
    assert is_photo.sum() > 0.3 * page.shape[0] * page.shape[1] / 2  # one cell of two
    assert columns.max() < page.shape[1] / 2 + 20  # the left one


@pytest.mark.parametrize("sweep", ["volume", "mix"])
@pytest.mark.parametrize("out", ["x.gif", "x.png", "x.mp4"])
def test_a_sweep_moves_or_is_a_strip(stylize, s2s, photo, low_wav, high_wav, sweep, out):
    said = stylize(photo, low_wav, "--mix", high_wav, f"--{sweep}-sweep", 3, "-o", out)
    assert said.lines == [out], said.err
    again = s2s("redo", out)
    assert again.code == 0, again.err
    assert Path(again.lines[0]).read_bytes() == Path(out).read_bytes()


def test_the_frames_of_a_sweep_are_the_single_pictures(stylize, plain, low_wav):
    said = stylize(plain, low_wav, "--volume-sweep", 3, "-o", "out/")
    assert said.lines == [f"out/plain-low-volume-{n:03}.png" for n in range(3)]
    stylize(plain, low_wav, "--gain", -6, "-o", "one.png")
    assert np.array_equal(pixels("out/plain-low-volume-001.png"), pixels("one.png"))


def test_redo_makes_the_same_bytes(stylize, s2s, photo, plain, low_wav, high_wav):
    stylize(photo, low_wav, "--gain", 3, "--size", 40, "--strength", 0.7, "-o", "one.webp")
    stylize(photo, plain, low_wav, high_wav, "--mix", low_wav, "--sheet", "-o", "out/")
    for made in (Path("one.webp"), Path("out/photo-low.jpg"), Path("out/sheet.png")):
        again = s2s("redo", made)
        assert again.code == 0, again.err
        assert Path(again.lines[0]).read_bytes() == made.read_bytes(), made


def test_a_dry_run_writes_nothing(stylize, plain, low_wav):
    assert stylize(plain, low_wav, "--dry-run", "--sheet", "-o", "none/").code == 0
    assert not Path("none").exists()


def bad_picture(kind: str) -> Path:
    """A picture that cannot be restyled."""
    path = Path("bad.png" if kind != "svg" else "bad.svg")
    if kind == "truncated":
        Image.fromarray(PIXELS).save(path)
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "animated":
        frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    elif kind == "empty":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    elif kind == "svg":
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    elif kind == "bomb":
        Image.new("1", (20_000, 12_000)).save(path)
    else:
        width, height = map(int, kind.split("x"))
        Image.new("RGB", (width, height)).save(path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["truncated", "1x1", "100000x2", "bomb", "animated", "svg", "empty", "directory", "missing.png"]
)  # fmt: skip
def test_a_bad_picture_is_one_sentence_and_leaves_nothing_behind(stylize, low_wav, kind):
    path = Path(kind) if kind == "missing.png" else bad_picture(kind)
    before = set(Path().iterdir())
    said = stylize(path, low_wav)
    assert said.code == 1
    assert said.err.count("error:") == 1
    assert path.name in said.err
    assert said.out == ""
    assert set(Path().iterdir()) == before


def test_a_bad_picture_and_a_bad_sound_do_not_stop_the_others(stylize, plain, low_wav):
    Path("empty.png").touch()
    Path("empty.wav").touch()
    said = stylize("empty.png", plain, "empty.wav", low_wav, "-o", "out/")
    assert said.code == 1
    assert said.lines == ["out/plain-low.png"]


@pytest.mark.parametrize(
    "options",
    [
        ["--mix-sweep", "3"],
        ["--volume-sweep", "3", "--from", "1", "--to", "1"],
        ["--bounce"],
        ["--strength", "1.5"],
        ["--gain", "nan"],
    ],
    ids=" ".join,
)
def test_wrong_usage(stylize, plain, low_wav, options):
    assert stylize(plain, low_wav, *options).code == 2


def test_pictures_without_a_sound_are_wrong_usage(stylize, plain):
    assert stylize(plain, plain).code == 2


def test_a_model_that_paints_cannot_restyle(s2s, tiny_model, plain, low_wav):
    said = s2s("stylize", plain, low_wav, "-m", tiny_model)
    assert said.code == 1
    assert "cannot restyle yours" in " ".join(said.err.split())
