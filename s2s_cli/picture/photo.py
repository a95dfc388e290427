"""The user's own photos: any file becomes upright pixels that remember their colour space."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Literal
from warnings import catch_warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from s2s_cli.errors import PictureError
from s2s_cli.picture.image import Alpha, Picture, resize

MOST_PIXELS = 210_000_000  # the largest phone cameras take 200 megapixels; beyond lie bombs
MOST_BYTES = 2**30  # of a file: /dev/zero has no end
# What cameras, phones and painting programs write. Some of Pillow's other decoders start programs,
# and some take any file for theirs.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000")
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")  # elsewhere a second picture is a page or a preview
# What a file is called that is looked at rather than heard.
PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif")
)
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
OPAQUE = 255
PAPER = (255, 255, 255, OPAQUE)  # what transparent places are shown on


@dataclass(frozen=True)
class Photo:
    """A photo as its file shows it: upright, in its own colours."""

    pixels: Picture  # (H, W, 3), in the space that ``icc_profile`` describes
    alpha: Alpha | None  # (H, W); None where every pixel is opaque
    icc_profile: bytes | None  # an RGB profile, byte for byte the file's; None = sRGB
    name: str  # the path as it was given
    sha256: str  # of the whole file, in hexadecimal
    moves: bool = False  # whether the file is an animation, of which these pixels are the start

    def scaled(self, side_px: int) -> "Photo":
        """The same photo with its longer side ``side_px`` long."""
        pixels = resize(self.pixels, side_px)
        alpha = None
        if self.alpha is not None:
            size = pixels.shape[1], pixels.shape[0]
            alpha = np.asarray(Image.fromarray(self.alpha).resize(size, Image.Resampling.LANCZOS))
        return replace(self, pixels=pixels, alpha=alpha)

    def squashed(self, side_px: int) -> Picture:
        """The whole photo as a network sees it.

        It is squashed to a square, whatever its aspect, as Sound2Scene's loader does; transparent
        places are white; the colours are sRGB. Returns (side_px, side_px, 3).
        """
        layers = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        small = Image.fromarray(layers).resize((side_px, side_px), Image.Resampling.LANCZOS)
        if self.alpha is not None:
            paper = Image.new("RGBA", small.size, PAPER)
            small = Image.alpha_composite(paper, small).convert("RGB")
        return self.to_srgb(np.asarray(small))

    def to_srgb(self, pixels: Picture) -> Picture:
        """Pixels in the photo's own colours become sRGB; without a profile they are already."""
        return self._between_spaces(pixels, inward=True)

    def from_srgb(self, pixels: Picture) -> Picture:
        """sRGB pixels, such as a network paints, become the photo's own colours."""
        return self._between_spaces(pixels, inward=False)

    @cached_property
    def srgb(self) -> Picture:
        """All the pixels in sRGB, (H, W, 3); transparent ones too."""
        return self.to_srgb(self.pixels)

    def _between_spaces(self, pixels: Picture, inward: bool) -> Picture:
        if self.icc_profile is None:
            return pixels
        own = ImageCms.ImageCmsProfile(BytesIO(self.icc_profile))
        srgb = standard("sRGB")
        ends = (own, srgb) if inward else (srgb, own)
        return np.asarray(convert(Image.fromarray(pixels), *ends))


def begins_like_a_picture(path: Path) -> bool:
    """Whether a file's first bytes are those of a picture, whatever it is called."""
    try:
        with catch_warnings(action="ignore"), Image.open(path, formats=FORMATS):
            return True
    except Exception:  # Pillow's readers trip over whatever a foreign file makes them
        return False


def read_photo(path: Path | str) -> Photo:
    """Read any photo that Pillow knows; of a GIF its first frame.

    Orientation is applied. 16 bits a channel become 8. Grey and CMYK become sRGB, by their
    profile where there is one; RGB stays in its own space.

    Raises:
        PictureError: the file is missing, closed, no picture, broken, or too large.
    """
    content = read_bytes(path)
    try:
        with catch_warnings(action="ignore"), open_image(content) as image:
            moves = image.format in ANIMATED and getattr(image, "is_animated", False)
            # Turned before anything about its EXIF can fail: damaged EXIF leaves it as it lies.
            with suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            pixels, alpha, icc_profile = developed(image)
    except Image.DecompressionBombError:
        raise PictureError(
            f"'{path}' has more than {MOST_PIXELS // 10**6} megapixels: scale it down first."
        ) from None
    except UnidentifiedImageError:
        raise PictureError(f"'{path}' {why_no_picture(content)}") from None
    except NotColoursError:
        raise PictureError(
            f"'{path}' holds 32-bit measurements, not colours: "
            "save it as a PNG with 8 or 16 bits a channel."
        ) from None
    # Pillow's decoders raise whatever a broken file makes them trip over.
    except Exception:
        raise PictureError(
            f"'{path}' is damaged, or its end is missing: get the file again, "
            "or open it in another program and save it anew."
        ) from None
    return Photo(pixels, alpha, icc_profile, str(path), hashlib.sha256(content).hexdigest(), moves)


def read_bytes(path: Path | str) -> bytes:
    """The whole file.

    Raises:
        PictureError: there is none, it may not be read, or it is too large.
    """
    with readable(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PictureError(f"'{path}' is larger than 1 GB: scale the picture down first.")
    return content


@contextmanager
def readable(path: Path | str, kind: str = "picture") -> Iterator[BufferedReader]:
    """An open file; what goes wrong with it is said in a sentence.

    Raises:
        PictureError: there is none, or it may not or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a NUL is no part of any path
        raise PictureError(f"There is no {kind} '{path}': check the path.") from None
    except IsADirectoryError:
        raise PictureError(f"'{path}' is a directory: name one of the {kind}s in it.") from None
    except PermissionError:
        raise PictureError(f"You may not read '{path}': change its permissions.") from None
    except OSError as error:
        raise PictureError(
            f"'{path}' cannot be read ({error.strerror or error}): copy it to another disk first."
        ) from None


class NotColoursError(Exception):
    """Numbers of which nobody says which is white."""


def open_image(content: bytes) -> Image.Image:
    """Pillow's image, its pixels not read yet; HEIC by pillow-heif where that is installed."""
    formats: tuple[str, ...] = FORMATS
    if is_heif(content):
        with suppress(ImportError):
            import_module("pillow_heif").register_heif_opener()
            formats = ("HEIF",)
    bound = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns beyond it, and refuses beyond twice it
    try:
        image = Image.open(BytesIO(content), formats=formats)
        image.load()
    finally:
        Image.MAX_IMAGE_PIXELS = bound
    return image


def is_heif(content: bytes) -> bool:
    """Whether a file says that it is what phones call HEIC."""
    return content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS


def why_no_picture(content: bytes) -> str:
    """The rest of the sentence about a file that no decoder knows."""
    if is_heif(content):
        known = "HEIF" in Image.OPEN
        wish = "get the file again" if known else "pip install pillow-heif"
        return f"is a HEIC photo that cannot be read: {wish}, or export it as a JPEG."
    if not content:
        return "is empty: get the file again."
    return "is not a picture: give a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC file."


def developed(image: Image.Image) -> tuple[Picture, Alpha | None, bytes | None]:
    """Pixels, alpha and profile as ``Photo`` holds them, from an image of any mode.

    Raises:
        NotColoursError: it has 32 bits a channel.
    """
    content: bytes | None = image.info.get("icc_profile")
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        image = eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        # Grey stays grey, for its profile's sake.
        image = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
        alpha = np.array(image.getchannel("A"))
        image = image.convert(image.mode.removesuffix("A"))
    if image.mode not in ("L", "LAB", "CMYK"):
        image = image.convert("RGB")
    image, kept = in_rgb(image, content)
    return np.array(image), None if alpha is None or alpha.min() == OPAQUE else alpha, kept


def eight_bits(image: Image.Image) -> Image.Image:
    """16 bits of grey, rounded to 8.

    Raises:
        NotColoursError: the numbers are larger, negative or fractional.
    """
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65_535:
        raise NotColoursError
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def in_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """An RGB, L, LAB or CMYK image as RGB, and the profile that describes it; None = sRGB.

    A profile that is damaged, or is for another kind of colour, counts for nothing.
    """
    srgb = standard("sRGB")
    if image.mode == "LAB":
        return convert(image, standard("LAB"), srgb), None
    with suppress(ImageCms.PyCMSError, OSError):
        own = ImageCms.ImageCmsProfile(BytesIO(profile or b""))
        space = own.profile.xcolor_space.strip()
        if space == {"L": "GRAY"}.get(image.mode, image.mode):
            if image.mode == "RGB" and leads_back(own):
                return image, profile
            return convert(image, own, srgb), None
        if image.mode == "L" and space == "RGB" and leads_back(own):
            return image.convert("RGB"), profile
    return image.convert("RGB"), None


def standard(space: Literal["LAB", "sRGB"]) -> ImageCms.ImageCmsProfile:
    """The profile of a colour space that needs no file."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space))


def leads_back(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether colours can be brought into an RGB profile too: those of scanners only lead out."""
    srgb = standard("sRGB")
    pixel = Image.new("RGB", (1, 1))
    try:
        convert(pixel, profile, srgb)
        convert(pixel, srgb, profile)
    except ImageCms.PyCMSError:
        return False
    return True


def convert(
    image: Image.Image,
    source: ImageCms.ImageCmsProfile,
    target: ImageCms.ImageCmsProfile,
) -> Image.Image:
    """An image whose colours one profile describes, as RGB that another describes."""
    converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    assert converted is not None  # it is only where the image itself is changed
    return converted
