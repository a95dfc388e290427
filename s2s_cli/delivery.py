"""Hands pictures to the user: keep or write, then say where; one failure does not stop the rest."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import typer
from PIL import Image

from s2s_cli import console
from s2s_cli.audio.sound import STDIN, Wave, encode_wav, find_sounds, source_path
from s2s_cli.errors import OutputError, S2SError
from s2s_cli.filming import Reel
from s2s_cli.picture.gallery import distinct_names, hangs_already, place
from s2s_cli.picture.image import FORMATS, Picture, encode, format_of, write_atomically
from s2s_cli.picture.motion import MOTION_FORMATS, encode_motion, require_possible
from s2s_cli.picture.photo import Photo
from s2s_cli.picture.provenance import Provenance, Source
from s2s_cli.studio import Heard, Seen, Studio
from s2s_cli.walks import Motion, Walk

MOST_PIXELS = 300_000_000  # of pictures that must be in memory together: almost 1 GB


@dataclass
class Delivery:
    """How the pictures of one command are handed over."""

    json: bool = False
    show: bool = False
    force: bool = False
    dry_run: bool = False
    failed: bool = False  # whether anything went wrong so far

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Work whose failure is told, and remembered for the exit code, while the rest goes on."""
        try:
            yield
        except S2SError as error:
            self.failure(error)

    def failure(self, error: S2SError) -> None:
        """Tell what went wrong, and remember it for the exit code."""
        self.failed = True
        console.error(str(error))

    def picture(
        self,
        path: Path,
        provenance: Provenance,
        paint: Callable[[], Picture],
        photo: Photo | None = None,
        **facts: Any,
    ) -> None:
        """Paint one picture and write it, unless it is there already.

        Args:
            path: where it goes; its ending says which kind of file.
            provenance: all that decides it.
            paint: called only if the picture is not there.
            photo: whose colour profile and transparency it takes over.
            facts: what else ``--json`` tells of it.

        Raises:
            OutputError: it cannot be written, or another file is there.
        """
        format = format_of(path)
        profile, alpha = (photo.icc_profile, photo.alpha) if photo else (None, None)

        def make() -> bytes:
            return encode(paint(), format, provenance, icc_profile=profile, alpha=alpha)

        self.file(path, provenance, make, **facts)

    def motion(
        self,
        path: Path,
        provenance: Provenance,
        paint: Callable[[], Sequence[Picture]],
        motion: Motion,
        **facts: Any,
    ) -> None:
        """Paint frames and write them as one GIF, WebP or film, unless it is there already."""
        format = format_of(path, MOTION_FORMATS)
        how = asdict(motion)
        self.file(
            path, provenance, lambda: encode_motion(paint(), format, provenance, **how), **facts
        )

    def film(self, path: Path, reel: Reel, seconds: float) -> None:
        """Shoot a film, unless it is there already, and say where.

        Ctrl-C leaves what is done; the same command goes on from there.

        Args:
            path: where it goes.
            reel: what becomes a film.
            seconds: how long it will be.

        Raises:
            OutputError: it cannot be written, or another file is there.
        """

        def stopped(reached_s: float) -> None:
            self.tell(path, reel.provenance, "unfinished", seconds=reached_s)
            console.note(
                f"The film breaks off at {reached_s:.4g} of {seconds:.4g} s: "
                "the same command goes on from there."
            )

        status = "kept" if reel.hangs_already(path, self.force) else "written"
        if status == "written" and self.dry_run:
            status = "planned"
        if status != "planned":  # what is kept may have parts that are no longer needed
            with console.progress("filming", reel.frames, "frames") as bar:
                reel.shoot(path, force=self.force, advance=bar.advance, stopped=stopped)
        self.tell(path, reel.provenance, status, seconds=seconds)

    def sound(self, path: Path, wave: Wave, sample_rate: int, sources: Sequence[Source]) -> None:
        """Write a sound that was made of others, unless it is there already.

        Raises:
            OutputError: it cannot be written, or another file is there.
        """
        spare(path, sources)
        data = encode_wav(wave, sample_rate)
        there = path.is_file() and path.read_bytes() == data
        if os.path.lexists(path) and not there and not self.force:
            raise OutputError(
                f"'{path}' exists and is another sound: "
                "replace it with --force, or choose another place with --out."
            )
        status = "kept" if there else "planned" if self.dry_run else "written"
        if status == "written":
            write_atomically(path, data, replace=self.force)
        if self.json:
            console.answer_json({"path": str(path), "status": status})
        else:
            console.answer(path)

    def file(
        self, path: Path, provenance: Provenance, make: Callable[[], bytes], **facts: Any
    ) -> None:
        """Write what ``make`` gives, unless it is there already, and say where."""
        spare(path, provenance.sources)
        status = "kept" if hangs_already(path, provenance, self.force) else "written"
        if status == "written" and self.dry_run:
            status = "planned"
        if status == "written":
            write_atomically(path, make(), replace=self.force)
        self.tell(path, provenance, status, **facts)
        if self.show and status != "planned" and path.suffix.lower() in FORMATS:
            with Image.open(path) as file:
                console.preview(np.asarray(file.convert("RGB")))

    def tell(self, path: Path, provenance: Provenance, status: str, **facts: Any) -> None:
        """One line on standard output."""
        if not self.json:
            console.answer(path)
            return
        console.answer_json(
            {
                "path": str(path),
                "status": status,
                "sources": [source.name for source in provenance.sources],
                "seed": provenance.seed,
                "model": provenance.model,
                **facts,
            }
        )

    def close(self) -> None:
        """End the command: exit code 1 if anything failed."""
        if self.failed:
            raise typer.Exit(1)


def spare(path: Path, sources: Sequence[Source]) -> None:
    """Never write over what is read, whatever the user allows to be replaced.

    Raises:
        OutputError: ``path`` is one of the sources.
    """
    for source in sources:
        with suppress(OSError):  # one of them is not there, so they are not the same
            if path.samefile(source.name):
                raise OutputError(
                    f"'{path}' is what the picture is made from: choose another place with --out."
                )


def perceived(
    studio: Studio, sources: Sequence[str], start_s: float, see: bool = False
) -> tuple[Heard | Seen, ...]:
    """Sounds, or with ``see`` also pictures, as the model perceives them; remarks are told once.

    Raises:
        SoundError, PictureError: one of them cannot be read.
    """
    ends = [
        studio.perceive(source, start_s) if see else studio.hear(source, start_s)
        for source in sources
    ]
    remarks = [remark for end in ends if isinstance(end, Heard) for remark in end.sound.remarks]
    for remark in dict.fromkeys(remarks):
        console.note(remark)
    return tuple(ends)


def named_sounds(
    arguments: Sequence[str], delivery: Delivery, reserved: Sequence[str] = ()
) -> list[tuple[Path, PurePath]]:
    """Each sound that the arguments stand for, and the name of its picture below the output folder.

    What lies in a folder keeps its place below it; standard input is called "stdin". A sound that
    is named twice counts once.
    """
    places: dict[Path, PurePath] = {}
    for argument in arguments:
        with delivery.attempt():
            path = source_path(argument)
            for sound in find_sounds([path], refused=delivery.failure):
                inside = sound.relative_to(path) if sound != path else PurePath(sound.name)
                places[sound] = PurePath("stdin") if sound == STDIN else inside
    return list(zip(places, distinct_names(list(places.values()), reserved), strict=True))


class Exhibition:
    """In which form the pictures of a walk are handed over: what ``--out``'s ending asks for."""

    def __init__(
        self, delivery: Delivery, out: str | None, name: str, motion: Motion, sheet: bool
    ) -> None:
        """Look where the user wants it.

        Args:
            delivery: who writes and tells.
            out: as the user wrote it; None is a GIF called ``name``, here.
            name: of what the user gave no name.
            motion: of GIF, WebP and film.
            sheet: whether the labelled strip is wanted besides.

        Raises:
            OutputError: ``out`` ends like a file that cannot be written.
        """
        self.delivery, self.name, self.motion, self.sheet = delivery, PurePath(name), motion, sheet
        self.wall = place(out, {**FORMATS, **MOTION_FORMATS})
        self.moves = out is None
        if self.wall.file is not None:
            self.moves = self.wall.file.suffix.lower() in MOTION_FORMATS
        if self.moves:
            suffix = self.wall.file.suffix.lower() if self.wall.file else ".gif"
            require_possible(MOTION_FORMATS[suffix], motion.fps)

    @property
    def of_frames(self) -> bool:
        """Whether it is a folder of single pictures."""
        return self.wall.file is None and not self.moves

    def walk(
        self, walk: Walk, places: Sequence[float], advance: Callable[[], None], **facts: Any
    ) -> None:
        """Paint a walk and write it, unless it is there already.

        A folder gets one PNG a place; .gif, .webp, .mp4 and .webm move; .png and .jpg are the
        labelled strip, which ``--sheet`` writes beside the others.

        Args:
            walk: what is painted.
            places: where.
            advance: called after each picture.
            facts: sequences of one value for each place, told by ``--json``.
        """

        still = self.wall.file is not None and not self.moves
        together = self.moves or still or self.sheet  # all pictures are needed at once
        if together and len(places) * walk.picture_px > MOST_PIXELS:
            raise OutputError(
                f"{len(places)} pictures of that size are too much for one file: "
                "name a folder, which gets them one by one, or ask for fewer or smaller ones."
            )
        painted: dict[float, Picture] = {}

        def paint(at: float) -> Picture:
            if at in painted:
                return painted[at]
            picture = walk.paint(at)
            advance()
            if together:
                painted[at] = picture
            return picture

        def frames() -> list[Picture]:
            return [walk.frame(paint(at)) for at in places]

        of_all = {"places": list(places), **facts}
        if self.moves:
            how = walk.provenance(at=list(places), **asdict(self.motion))
            path = self.wall.named(self.name, suffix=".gif")
            self.delivery.motion(path, how, frames, self.motion, **of_all)
        elif self.of_frames:
            for number, at in enumerate(places):
                of_one = {fact: values[number] for fact, values in facts.items()}
                path = self.wall.named(self.name, f"-{number:03}")
                with self.delivery.attempt():
                    self.delivery.picture(
                        path,
                        walk.provenance(at=at),
                        partial(paint, at),
                        walk.photo,
                        place=at,
                        **of_one,
                    )
        if still or self.sheet:
            path = self.wall.named(self.name, "" if still else "-sheet")
            if path.suffix.lower() not in FORMATS:
                path = path.with_suffix(".png")
            strip = walk.provenance(at=list(places), strip=True)
            with self.delivery.attempt():
                self.delivery.picture(path, strip, lambda: walk.strip(places, frames()), **of_all)
