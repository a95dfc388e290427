"""Hands pictures to the user: keep or write, then say where; one failure does not stop the rest."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import typer
from PIL import Image

from s2s_cli import console
from s2s_cli.audio.sound import STDIN, find_sounds
from s2s_cli.errors import S2SError, SoundError
from s2s_cli.picture.gallery import distinct_names, hangs_already
from s2s_cli.picture.image import Picture, encode, format_of, write_atomically
from s2s_cli.picture.provenance import Provenance


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

    def picture(self, path: Path, provenance: Provenance, paint: Callable[[], Picture]) -> None:
        """Paint one picture and write it, unless it is there already.

        Args:
            path: where it goes; its ending says which kind of file.
            provenance: all that decides it.
            paint: called only if the picture is not there.

        Raises:
            OutputError: it cannot be written, or another file is there.
        """
        format = format_of(path)
        status = "kept" if hangs_already(path, provenance, self.force) else "written"
        if status == "written" and self.dry_run:
            status = "planned"
        if status == "written":
            write_atomically(path, encode(paint(), format, provenance), replace=self.force)
        self.tell(path, provenance, status)
        if self.show and status != "planned":
            with Image.open(path) as file:
                console.preview(np.asarray(file.convert("RGB")))

    def tell(self, path: Path, provenance: Provenance, status: str) -> None:
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
            }
        )

    def close(self) -> None:
        """End the command: exit code 1 if anything failed."""
        if self.failed:
            raise typer.Exit(1)


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
            if not argument:  # an unset variable in a script, most likely: not this whole folder
                raise SoundError("An empty name is no sound: name a file, a folder, or -.")
            path = Path(argument)
            if path == STDIN and argument != str(STDIN):
                path = path.absolute()  # "./-" is a file that is called so
            for sound in find_sounds([path], refused=delivery.failure):
                inside = sound.relative_to(path) if sound != path else PurePath(sound.name)
                places[sound] = PurePath("stdin") if sound == STDIN else inside
    return list(zip(places, distinct_names(list(places.values()), reserved), strict=True))
