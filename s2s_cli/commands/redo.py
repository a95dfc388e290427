"""``s2s redo``: make a picture again from what it knows of itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from filecmp import cmp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli import console, options
from s2s_cli.errors import ModelError, PictureError, S2SError, SoundError
from s2s_cli.options import LATEST_START_S

if TYPE_CHECKING:
    from s2s_cli.filming import Reel
    from s2s_cli.picture.image import Picture
    from s2s_cli.picture.photo import Photo
    from s2s_cli.picture.provenance import Provenance, Source
    from s2s_cli.studio import Heard, Look, Seen, Studio
    from s2s_cli.walks import Motion, Plan

Made = Annotated[
    Path, typer.Argument(metavar="FILE", help="A picture or film that s2s wrote.", readable=False)
]
SoundAt = Annotated[
    list[Path] | None,
    typer.Option(
        "--source",
        "--sound",
        metavar="FILE",
        readable=False,
        help="Where a sound or picture is now, if it was moved; once for each, in their order.",
        show_default=False,
    ),
]
ModelAt = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Where the model is now, if it moved.", show_default=False),
]
DeviceAt = Annotated[
    options.Device | None,
    typer.Option("--device", help="Default: where it was painted.", show_default=False),
]
OutAt = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="File of the same kind, or a folder. Default: NAME-redo, beside it.",
        show_default=False,
    ),
]


def redo(
    picture: Made,
    out: OutAt = None,
    sound: SoundAt = None,
    model: ModelAt = None,
    device: DeviceAt = None,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
) -> None:
    """Make a picture again, byte for byte.

    Pictures, sweeps, films and videos: what they were made from and the model must be the very
    same, which their hashes tell. The result is written beside the picture as NAME-redo, or to
    --out.
    """
    console.be_quiet(quiet)
    from s2s_cli.delivery import Delivery, spare
    from s2s_cli.filming import UNFINISHED
    from s2s_cli.footage import is_footage
    from s2s_cli.networks.hardware import Precision
    from s2s_cli.picture.gallery import place
    from s2s_cli.picture.image import FORMATS
    from s2s_cli.picture.motion import FILM_FORMATS, MOTION_FORMATS
    from s2s_cli.picture.provenance import read_provenance
    from s2s_cli.restyling import Restyler
    from s2s_cli.studio import Studio
    from s2s_cli.walks import Restyle

    made = read_provenance(picture)
    filmed = made.command == "film" or is_footage(made)
    recorded = None if filmed else understood(made, picture)
    again = picture.with_stem(f"{picture.stem}-redo")
    if out:
        moves = MOTION_FORMATS if recorded and recorded.motion else FORMATS
        wall = place(out, moves if recorded else FILM_FORMATS)
        again = wall.file or wall.folder / picture.name
    precision: Precision = "bfloat16" if made.precision == "bfloat16" else "float32"
    kind = Restyler if made.command == Restyle.command else Studio
    studio = kind.open(model or made.model, device.value if device else made.device, precision)
    if studio.model.sha256 != made.model_sha256:
        raise ModelError(
            f"The model '{studio.model.name}' is another than the one that made '{picture}': "
            f"name the one whose SHA-256 begins with {made.model_sha256[:12]} with --model."
        )
    delivery = Delivery(json=json, show=show, force=force)
    if recorded:
        ends = perceived(studio, made, picture, sound or [], recorded.look)
        paint = recorded.carried_out(ends)
        if recorded.motion:
            delivery.motion(again, made, paint, recorded.motion)
        else:
            delivery.picture(again, made, lambda: paint()[0], recorded.photo_of(ends))
    else:
        films = footage_again if is_footage(made) else film_again
        with films(studio, made, picture, sound or []) as (reel, sources):
            spare(again, sources)
            delivery.film(again, reel, float(reel.frames / reel.rate))
    whole = recorded or UNFINISHED not in made.options
    if whole and again.suffix == picture.suffix and not cmp(again, picture, shallow=False):
        console.note(
            f"The new picture differs from '{picture}' in some bytes: other versions of s2s, torch "
            "or Pillow, or another device, round differently."
        )


@contextmanager
def film_again(
    studio: "Studio", made: "Provenance", picture: Path, moved: Sequence[Path]
) -> "Iterator[tuple[Reel, list[Source]]]":
    """The film of a sound, as it was or was to be, and where its sound is now."""
    from s2s_cli.audio.stream import open_stream
    from s2s_cli.filming import Film, plan_of

    try:
        plan, (source,) = plan_of(made), made.sources
    except ValueError as fault:
        raise unrepeatable(made, picture, fault) from fault
    (path,) = places_now(made, picture, moved)
    with open_stream(path, start_s=plan.start_s, seconds=plan.length_s) as heard:
        require_same(heard.sha256, source, path, picture)
        film = Film(studio, replace(heard, name=source.name), plan, made.seed)
        yield film, [replace(source, name=str(path))]


@contextmanager
def footage_again(
    studio: "Studio", made: "Provenance", picture: Path, moved: Sequence[Path]
) -> "Iterator[tuple[Reel, list[Source]]]":
    """A restyled video, as it was or was to be, and where its video and sound are now."""
    from s2s_cli.footage import open_footage, plan_of
    from s2s_cli.restyling import Restyler

    try:
        plan = plan_of(made)
    except ValueError as fault:
        raise unrepeatable(made, picture, fault) from fault
    assert isinstance(studio, Restyler)  # as the command asks for
    video, *sounds = places_now(made, picture, moved)
    with open_footage(studio, video, sounds[0] if sounds else None, plan) as footage:
        for source, path, now in zip(made.sources, (video, *sounds), footage.sources, strict=True):
            require_same(now.sha256, source, path, picture)
        yield replace(footage, sources=made.sources), list(footage.sources)


def places_now(made: "Provenance", picture: Path, moved: Sequence[Path]) -> list[Path]:
    """Where the sources of a picture are now.

    Raises:
        SoundError: one of them was piped in.
    """
    places = []
    for number, source in enumerate(made.sources):
        path = moved[number] if number < len(moved) else place_of(source.name, picture)
        refuse_stdin(path, picture, moved)
        places.append(path)
    return places


@dataclass(frozen=True)
class Recorded:
    """What a provenance says about how to paint."""

    made: "Provenance"
    look: "Look"
    plan: "Plan | None"  # None: of `generate`
    motion: "Motion | None"  # None: a still picture
    form: Mapping[str, Any]

    def photo_of(self, ends: Sequence["Heard | Seen"]) -> "Photo | None":
        """Whose colours the picture has, if it is a single one in its photo's size."""
        from s2s_cli.walks import Walk

        if "rows" in self.form or self.form.get("strip"):
            return None
        return Walk(self.plan, tuple(ends), 0, self.look).photo if self.plan else None

    def carried_out(self, ends: Sequence["Heard | Seen"]) -> "Callable[[], list[Picture]]":
        """What paints it again: its frames, or the only picture."""
        from s2s_cli.studio import Heard, sheet
        from s2s_cli.walks import Walk

        seed, form = self.made.seed, self.form
        if self.plan is None:
            heard = [end for end in ends if isinstance(end, Heard)]
            if "sheet_of" in form:
                return lambda: [sheet(heard, seed, form["sheet_of"], self.look)]
            return lambda: [heard[0].paint(seed, self.look)]
        walk = Walk(self.plan, tuple(ends), seed, self.look)
        if "rows" in form:
            return lambda: [walk.table(form["rows"], form["columns"])]
        if form.get("strip"):
            return lambda: [walk.strip(form["at"], walk.frames(form["at"]))]
        if self.motion:
            return lambda: walk.frames(form["at"])
        return lambda: [walk.paint(form["at"])]


def understood(made: "Provenance", picture: Path) -> Recorded:
    """What a provenance says, checked.

    Raises:
        PictureError: it was written by a version of s2s that knew other ways.
    """
    from s2s_cli.networks.config import from_table
    from s2s_cli.studio import Look
    from s2s_cli.walks import PLANS, Motion

    def fields_of(kind: Any) -> dict[str, Any]:
        return {f.name: told.pop(f.name) for f in fields(kind) if f.name in told}

    told: dict[str, Any] = dict(made.options)
    try:
        look = from_table(Look, fields_of(Look))
        moves = from_table(Motion, fields_of(Motion)) if "fps" in told else None
        kind = PLANS.get(made.command)
        plan = from_table(kind, fields_of(kind)) if kind else None
        known = plan or made.command == "generate"
        if not known or not made.sources or not 0 <= look.start_s <= LATEST_START_S:
            raise ValueError(f"s2s {made.command}")
        if (plan and not {"at", "rows"} & told.keys()) or told.keys() - FORMS:
            raise ValueError(f"s2s {made.command} with {', '.join(told) or 'nothing'}")
    except ValueError as fault:
        raise unrepeatable(made, picture, fault) from fault
    return Recorded(made, look, plan, moves, told)


def unrepeatable(made: "Provenance", picture: Path, fault: ValueError) -> S2SError:
    """The sentence about a picture of another version."""
    return PictureError(
        f"'{picture}' was made in a way that this version of s2s cannot repeat ({fault}): "
        f"install version {made.version}."
    )


FORMS = {"at", "rows", "columns", "strip", "sheet_of"}


def perceived(
    studio: "Studio", made: "Provenance", picture: Path, moved: Sequence[Path], look: "Look"
) -> "list[Heard | Seen]":
    """The very sounds and pictures of which a picture was made.

    Args:
        studio: of the model that made it.
        made: how it was made.
        picture: its file, beside which moved sources are looked for.
        moved: where they are now, as far as the user says.
        look: of the picture.

    Raises:
        SoundError, PictureError: one is missing, or another than it was.
    """
    ends: list[Heard | Seen] = []
    for source, path in zip(made.sources, places_now(made, picture, moved), strict=True):
        looked = source.role == "picture"
        end = studio.see(path) if looked else studio.hear(path, look.start_s)
        require_same(end.source.sha256, source, path, picture)
        ends.append(replace(end, name=source.name))  # a sheet is labelled as it was
    return ends


def refuse_stdin(path: Path, picture: Path, moved: Sequence[Path]) -> None:
    """What was piped in once cannot be read again.

    Raises:
        SoundError: that is what is asked for.
    """
    from s2s_cli.audio.sound import STDIN

    if path == STDIN and not moved:
        raise SoundError(
            f"'{picture}' was painted from standard input: say with --source where it is now."
        )


def require_same(sha256: str, source: "Source", path: Path, picture: Path) -> None:
    """Only the very same file makes the very same picture.

    Raises:
        SoundError, PictureError: ``path`` has another hash than ``source``.
    """
    if sha256 != source.sha256:
        kind = SoundError if source.role == "sound" else PictureError
        raise kind(
            f"'{path}' is another {source.role} than the one that made '{picture}': "
            "say with --source where that one is now."
        )


def place_of(source: str, picture: Path) -> Path:
    """Where a sound was when its picture was made, or else beside the picture."""
    path, beside = Path(source), picture.parent / Path(source).name
    return beside if not path.exists() and beside.exists() else path
