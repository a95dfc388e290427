"""Whatever a camera, a phone or a painting program wrote, becomes upright pixels or a sentence."""

import hashlib
import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from s2s_cli.errors import OutputError, PictureError
from s2s_cli.picture.blend import blend
from s2s_cli.picture.image import encode, psnr_db
from s2s_cli.picture.photo import Photo, read_photo
from s2s_cli.picture.provenance import Provenance

NOTHING = Provenance("edit", (), "pocket", "", 0, "cpu", "float32", {}, "0.1.0")
CORNERS = np.array(  # red, green / blue, white: every orientation shows
    [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8
)
SCENE = CORNERS.repeat(16, axis=0).repeat(24, axis=1)  # 32 px high, 48 px wide


def swapped_profile() -> bytes:
    """An RGB profile that nobody takes for sRGB: its red is sRGB's green, and the reverse."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"~XYZ"), (b"gXYZ", b"rXYZ"), (b"~XYZ", b"gXYZ")):
        content = content.replace(old, new, 1)
    return content


SWAPPED = swapped_profile()


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def near(pixels: np.ndarray, expected: np.ndarray, off: float = 8) -> bool:
    return pixels.shape == expected.shape and abs(pixels.astype(int) - expected).mean() < off


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "a.jpg",
        "a.webp",
        "a.tif",
        "a.bmp",
        "a.gif",
        "a.avif",
        "a.jp2",
        "a.ppm",
        "wrong.jpg",
    ],
)
def test_any_format_gives_its_pixels(tmp_path, name):
    path = tmp_path / name
    options = {"format": "PNG"} if name == "wrong.jpg" else {"quality": 95}
    save(path, SCENE, **options)
    photo = read_photo(path)
    assert near(photo.pixels, SCENE)
    assert photo.pixels.dtype == np.uint8
    assert (photo.alpha, photo.icc_profile, photo.name) == (None, None, str(path))
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "I;16", "YCbCr", "LAB"])
def test_any_mode_gives_its_colours(tmp_path, mode):
    grey = mode in ("1", "L", "LA", "I;16")
    shown = (
        np.where(SCENE.sum(axis=2, keepdims=True) > 255, 255, 0).repeat(3, axis=2)
        if grey
        else SCENE
    )
    if mode == "I;16":
        Image.fromarray(shown[..., 0].astype(np.uint16) * 257).save(tmp_path / "a.tif")
    elif mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(
            Image.fromarray(shown), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
        image.save(tmp_path / "a.tif")
    else:
        save(tmp_path / "a.tif", shown.astype(np.uint8), mode)
    assert near(read_photo(tmp_path / "a.tif").pixels, shown)


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.array([[0, 128, 129, 257 * 100, 65_535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").pixels[0, :, 0].tolist() == [0, 0, 1, 100, 255]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_read_upright(tmp_path, orientation, suffix):
    """The eight values of EXIF 2.3: where the stored first row and column are shown."""
    stored = {  # the stored pixels whose upright view is SCENE
        1: SCENE,
        2: SCENE[:, ::-1],
        3: SCENE[::-1, ::-1],
        4: SCENE[::-1],
        5: SCENE.transpose(1, 0, 2),
        6: SCENE.transpose(1, 0, 2)[::-1],
        7: SCENE[::-1, ::-1].transpose(1, 0, 2),
        8: SCENE.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save(tmp_path / f"a{suffix}", np.ascontiguousarray(stored), quality=95, exif=exif)
    assert near(read_photo(path).pixels, SCENE)


def test_damaged_exif_does_not_cost_the_photo(tmp_path):
    path = save(tmp_path / "a.jpg", SCENE, quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert near(read_photo(path).pixels, SCENE)


def test_a_profile_stays_and_the_networks_see_srgb(tmp_path):
    path = save(tmp_path / "a.png", SCENE, icc_profile=SWAPPED)
    photo = read_photo(path)
    assert photo.icc_profile == SWAPPED
    assert (photo.pixels == SCENE).all()
    assert near(photo.srgb[..., :2], SCENE[..., 1::-1], off=1)
    assert near(photo.from_srgb(photo.srgb), SCENE, off=1)
    assert near(photo.squashed(8)[:2, :2], np.broadcast_to([0, 255, 0], (2, 2, 3)), off=2)


def test_grey_becomes_srgb_by_its_own_profile(tmp_path):
    grey = np.full((4, 4), 128, np.uint8)
    photo = read_photo(save(tmp_path / "a.png", grey, icc_profile=grey_profile(gamma=1.0)))
    assert photo.icc_profile is None
    half_the_light = 188  # in sRGB's code
    assert abs(photo.pixels.astype(int) - half_the_light).max() <= 1


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of version 2 (ICC.1:2001-04): white point, a gamma, and two texts."""

    white = struct.pack(">3I", *(round(value * 65_536) for value in (0.9642, 1, 0.8249)))
    tags = {
        b"desc": struct.pack(">4s4xI2s78x", b"desc", 2, b"g"),
        b"cprt": b"text" + bytes(4) + b"none" + bytes(4),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": struct.pack(">4s4xIH2x", b"curv", 1, round(gamma * 256)),
    }
    begins = 128 + 4 + 12 * len(tags)  # after the header and the table
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4s2I", name, begins + len(body), len(content))
        body += content
    size = begins + len(body)
    header = struct.pack(">I4x4s12s12x4s28x", size, b"\2\x10", b"mntrGRAYXYZ ", b"acsp") + white
    return header.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("profile", [b"junk", grey_profile(2.2)], ids=["damaged", "of grey"])
def test_a_profile_that_cannot_be_meant_counts_for_nothing(tmp_path, profile):
    photo = read_photo(save(tmp_path / "a.png", SCENE, icc_profile=profile))
    assert photo.icc_profile is None
    assert (photo.pixels == SCENE).all()


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_transparency_is_kept_beside_the_colours(tmp_path, kind):
    alpha = np.zeros((32, 48), np.uint8)
    alpha[:, :24] = 255
    if kind == "palette":
        image = Image.fromarray((alpha == 0).astype(np.uint8))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save(tmp_path / "a.png", transparency=1)
        colour = (10, 20, 30)
    else:
        colour = (10, 20, 30) if kind == "RGBA" else (10, 10, 10)
        layers = [np.full((32, 48), value, np.uint8) for value in dict.fromkeys(colour)]
        Image.fromarray(np.dstack([*layers, alpha])).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.alpha is not None
    assert (photo.alpha == alpha).all()
    assert (photo.pixels[:, :24] == colour).all()
    assert (photo.squashed(8)[:, 7] == 255).all()  # a network sees paper where nothing is
    assert (photo.squashed(8)[:, 0] == colour).all()


def test_alpha_that_hides_nothing_is_dropped(tmp_path):
    photo = read_photo(save(tmp_path / "a.png", SCENE, "RGBA"))
    assert photo.alpha is None


def test_of_a_film_the_first_picture_counts(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_photo(tmp_path / "a.gif").pixels == 10).all()


def test_a_panorama_is_squashed_whole(tmp_path):
    wide = np.zeros((8, 400, 3), np.uint8)
    wide[:, 200:] = 255
    small = read_photo(save(tmp_path / "a.png", wide)).squashed(16)
    assert small.shape == (16, 16, 3)
    assert small[:, 0].max() < 10
    assert small[:, -1].min() > 245


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "There is no picture '.*': check the path"),
        (lambda path: path.mkdir(), "is a directory: name one of the pictures in it"),
        (lambda path: path.write_bytes(b""), "is empty: get the file again"),
        (lambda path: path.write_text("a poem"), "is not a picture: give a JPEG"),
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9), "is not a picture"),
        (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(64)), "HEIC|is not a picture"),
        (
            lambda path: Image.fromarray(np.ones((4, 4), np.float32)).save(path, "TIFF"),
            "32-bit measurements, not colours: save it as a PNG",
        ),
    ],
    ids=["missing", "directory", "empty", "text", "program", "heic", "float"],
)
def test_what_is_no_photo_ends_in_a_sentence(tmp_path, make, words):
    make(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match=words):
        read_photo(tmp_path / "a.jpg")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_half_a_file_is_refused(tmp_path, format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, format)
    content = file.getvalue()
    (tmp_path / "a").write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureError, match=r"damaged|not a picture"):
        read_photo(tmp_path / "a")


def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch):
    monkeypatch.setattr("s2s_cli.picture.photo.MOST_PIXELS", 1000)
    path = save(tmp_path / "a.png", SCENE)
    bound = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PictureError, match="megapixels: scale it down"):
        read_photo(path)
    assert bound == Image.MAX_IMAGE_PIXELS


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such device")
def test_a_file_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr("s2s_cli.picture.photo.MOST_BYTES", 10_000)
    with pytest.raises(PictureError, match="is larger than 1 GB"):
        read_photo("/dev/zero")


def test_twelve_megapixels_come_out_as_they_went_in(tmp_path):
    """A phone's photo, held upright: read, not changed, written again."""
    stored = np.asarray(Image.fromarray(SCENE).resize((4000, 3000), Image.Resampling.BILINEAR))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = save(tmp_path / "a.jpg", stored, quality=95, exif=exif, icc_profile=SWAPPED)
    photo = read_photo(path)
    small = photo.squashed(32)
    blended = blend(photo, small, small)
    data = encode(blended, "JPEG", NOTHING, icc_profile=photo.icc_profile, alpha=photo.alpha)
    with Image.open(BytesIO(data)) as image:
        assert image.size == (3000, 4000)
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.info["icc_profile"] == SWAPPED
        written = np.asarray(image)
    assert psnr_db(written, np.rot90(stored, -1)) > 40


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_and_profile_are_written(format):
    alpha = np.arange(32 * 48, dtype=np.uint32).reshape(32, 48).astype(np.uint8)
    data = encode(SCENE, format, NOTHING, icc_profile=SWAPPED, alpha=alpha)
    with Image.open(BytesIO(data)) as image:
        assert (np.asarray(image) == np.dstack([SCENE, alpha])).all()
        assert image.info["icc_profile"] == SWAPPED


def test_a_jpeg_has_no_alpha():
    data = encode(SCENE, "JPEG", NOTHING, alpha=np.full((32, 48), 7, np.uint8))
    with Image.open(BytesIO(data)) as image:
        assert near(np.asarray(image), SCENE)


@pytest.mark.parametrize(("format", "width"), [("JPEG", 65_501), ("WEBP", 16_384)])
def test_a_panorama_too_long_for_its_format_is_told_so(format, width):
    with pytest.raises(OutputError, match=r"at most \d+ pixels a side.*\.png"):
        encode(np.zeros((1, width, 3), np.uint8), format, NOTHING)


def test_a_photo_without_profile_is_srgb():
    photo = Photo(SCENE, None, None, "a", "")
    assert photo.srgb is SCENE
    assert photo.from_srgb(SCENE) is SCENE
