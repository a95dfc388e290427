"""How a picture was made, written into its file, so that it can be told and made again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar, get_origin, get_type_hints
from warnings import catch_warnings

from PIL import ExifTags, Image, PngImagePlugin

from s2s_cli.errors import OutputError, PictureError

Scalar = str | int | float | bool | None
Record = TypeVar("Record")

PNG_KEYWORD = "s2s"  # of the text chunk that holds the JSON
ASCII_COMMENT = b"ASCII\0\0\0"  # EXIF wants a UserComment to name its character set in 8 bytes
FILMS = ("MP4", "WEBM")  # what FFmpeg reads and writes; the other containers are Pillow's
JPEG_ROOM = 65_533  # bytes of EXIF: a JPEG segment counts its length in 16 bits


@dataclass(frozen=True)
class Source:
    """One file that went into a picture."""

    role: str  # what it was used as: "sound", "picture", "style", ...
    name: str  # the path as the user gave it, so that `s2s redo` finds it again
    sha256: str  # of the whole file, in hexadecimal: a renamed or edited file is noticed


@dataclass(frozen=True)
class Provenance:
    """All that decides a picture: the same provenance on the same machine is the same picture."""

    command: str  # the verb that painted it: "generate", "mix", ...
    sources: tuple[Source, ...]  # in the order in which they were given
    model: str
    model_sha256: str
    seed: int
    device: str  # "cpu", "cuda" or "mps": they round differently
    precision: str  # "float32" or "bfloat16", for the same reason
    options: Mapping[str, Scalar | Sequence[Scalar]]  # everything else the user could set
    version: str  # of s2s

    def to_json(self) -> str:
        """One line of ASCII with sorted keys: the same provenance is always the same text.

        ASCII, because file names need not be valid Unicode and containers differ in what they
        allow; JSON's own escapes carry any name through all of them.
        """
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Provenance":
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: ``text`` is not JSON, or a field is missing, unknown or of the wrong type.
        """
        try:
            fields = json.loads(text)
            sources = tuple(_checked(Source(**source)) for source in fields.pop("sources"))
            return _checked(cls(sources=sources, **fields))
        except (AttributeError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"not a provenance: {error}") from error

    @property
    def software(self) -> str:
        """What painted the picture, for other people's programs to show."""
        return f"s2s {self.version}"

    @property
    def description(self) -> str:
        """One line about the picture for a human reader, without the private part of any path."""
        names = ", ".join(PurePath(source.name).name for source in self.sources)
        made = f"s2s {self.command} {names} (model {self.model}, seed {self.seed})"
        return made.encode("utf-8", "replace").decode()  # a name that is not Unicode shows as "?"


def same(a: Provenance, b: Provenance) -> bool:
    """Whether both tell of the same picture, so that one may stand for the other.

    Everything counts except the folders in which the sources lay: a batch that is started again
    from another directory, or after its sounds were moved, keeps what it has.
    """
    return _without_folders(a).to_json() == _without_folders(b).to_json()


def embedding(provenance: Provenance, format: str) -> dict[str, Any]:
    """What to hand to Pillow's ``save``, or to a film's metadata, to make the file carry it.

    Args:
        provenance: how the picture was made.
        format: one of the keys of ``CARRIERS``.

    Raises:
        OutputError: the container has no room for so many sources.
    """
    return CARRIERS[format](provenance)


def read_provenance(path: Path) -> Provenance:
    """How the picture or film in this file was made.

    Raises:
        PictureError: the file is missing or no picture, or it carries no provenance of ours.
    """
    try:
        with path.open("rb") as file:
            text = _film_text(file) if _is_film(file) else _picture_text(file)
    except FileNotFoundError:
        raise PictureError(f"There is no picture '{path}': check the path.") from None
    except IsADirectoryError:
        raise PictureError(f"'{path}' is a directory: name one of the pictures in it.") from None
    except PermissionError:
        raise PictureError(f"You may not read '{path}': change its permissions.") from None
    # Pillow's decoders raise whatever a broken file makes them trip over.
    except Exception:
        raise PictureError(
            f"'{path}' cannot be read as a picture: "
            "give a PNG, JPEG, WebP, GIF, MP4 or WebM file made by s2s."
        ) from None
    if not text:
        raise PictureError(
            f"'{path}' was not made by s2s, or its metadata was stripped on the way: "
            "give the file just as s2s wrote it."
        )
    try:
        return Provenance.from_json(text)
    except ValueError:
        raise PictureError(
            f"How '{path}' was made cannot be understood, because its metadata was damaged or "
            "comes from another version of s2s: give the original file, or update s2s."
        ) from None


def _checked(record: Record) -> Record:
    for field, kind in get_type_hints(type(record)).items():
        if not isinstance(getattr(record, field), get_origin(kind) or kind):
            raise TypeError(f"{field} is not {kind}")
    return record


def _without_folders(provenance: Provenance) -> Provenance:
    sources = (replace(s, name=PurePath(s.name).name) for s in provenance.sources)
    return replace(provenance, sources=tuple(sources), model="")


def _text_chunks(provenance: Provenance) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", provenance.software)
    chunks.add_itxt("Description", provenance.description)
    chunks.add_itxt(PNG_KEYWORD, provenance.to_json())
    return {"pnginfo": chunks}


def _exif(provenance: Provenance) -> dict[str, Any]:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = provenance.software
    exif[ExifTags.Base.ImageDescription] = provenance.description.encode()  # str would lose accents
    comment = ASCII_COMMENT + provenance.to_json().encode("ascii")
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return {"exif": exif}


def _jpeg_exif(provenance: Provenance) -> dict[str, Any]:
    embedded = _exif(provenance)
    if len(embedded["exif"].tobytes()) > JPEG_ROOM:
        raise OutputError(
            f"A JPEG has no room to name the {len(provenance.sources)} files that this picture was "
            "made from: choose a name that ends in .png or .webp."
        )
    return embedded


def _comment(provenance: Provenance) -> dict[str, Any]:
    return {"comment": provenance.to_json().encode("ascii")}


def _tags(provenance: Provenance) -> dict[str, Any]:
    return {"comment": provenance.to_json(), "description": provenance.description}


def _is_film(file: BinaryIO) -> bool:
    head = file.read(8)
    file.seek(0)
    return head[4:] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3")  # MP4, or Matroska and WebM


def _film_text(file: BinaryIO) -> str | None:
    import av  # 64 ms that pictures do not need

    # No protocol but the open file: a film must not reach for other files.
    options = {"protocol_whitelist": "none"}
    with av.open(file, "r", options=options, metadata_errors="replace") as film:
        tags = {name.lower(): value for name, value in film.metadata.items()}  # WebM shouts
    return _ours(tags.get("comment", ""))


def _picture_text(file: BinaryIO) -> str | None:
    formats = [format for format in CARRIERS if format not in FILMS]
    with catch_warnings(action="ignore"), Image.open(file, formats=formats) as image:
        comment = image.info.get("comment", b"") if image.format == "GIF" else b""
        return (
            image.info.get(PNG_KEYWORD)
            or _user_comment(image)
            or _ours(comment.decode("ascii", "replace"))
        )


def _ours(comment: str) -> str | None:
    return comment if comment.startswith("{") else None  # else someone else's


def _user_comment(image: Image.Image) -> str | None:
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if not isinstance(comment, bytes) or not comment.startswith(ASCII_COMMENT):
        return None
    return _ours(comment.removeprefix(ASCII_COMMENT).decode("ascii", "replace"))


# One line for each container that can carry a provenance.
CARRIERS: dict[str, Callable[[Provenance], dict[str, Any]]] = {
    "PNG": _text_chunks,
    "JPEG": _jpeg_exif,
    "WEBP": _exif,
    "GIF": _comment,
    "MP4": _tags,
    "WEBM": _tags,
}
