"""Where pictures go: their names, what is kept, and what is never overwritten."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from s2s_cli.errors import OutputError, PictureError
from s2s_cli.picture.image import format_of
from s2s_cli.picture.provenance import Provenance, read_provenance, same


@dataclass(frozen=True)
class Place:
    """Where the pictures of some sounds hang."""

    folder: Path
    file: Path | None  # the only picture's path, where the user named it

    def named(self, name: PurePath, mark: str = "") -> Path:
        """The path of a picture called ``name`` (it may lie in folders) with a mark behind it."""
        if self.file is not None:
            return self.file.with_name(f"{self.file.stem}{mark}{self.file.suffix}")
        return self.folder / name.with_name(f"{name.name}{mark}.png")


def place(out: str | None) -> Place:
    """What ``--out`` means: a file if it ends like a picture, else a folder.

    Raises:
        OutputError: it ends like a file that no picture can be.
    """
    path = Path(out or "")
    if out is None or path.is_dir() or out.endswith(("/", os.sep)) or not path.suffix:
        return Place(path, None)
    format_of(path)
    return Place(path.parent, path)


def distinct_names(sounds: Sequence[PurePath]) -> list[PurePath]:
    """A picture's name for each sound: without its ending, unless two would then be called alike.

    sounds: relative paths, as they shall lie below the output folder.
    """
    bare = [sound.with_suffix("") for sound in sounds]
    shared = Counter(str(name).casefold() for name in bare)  # some disks do not tell A from a
    return [
        name if shared[str(name).casefold()] == 1 else sound
        for name, sound in zip(bare, sounds, strict=True)
    ]


def hangs_already(path: Path, provenance: Provenance, force: bool) -> bool:
    """Whether this very picture is there, so that a batch can go on where it was stopped.

    Raises:
        OutputError: another file is there, and ``force`` is not set.
    """
    if not path.exists():
        return False
    try:
        if same(read_provenance(path), provenance):
            return True
    except PictureError:
        pass  # not ours, or unreadable: all the more reason not to overwrite it unasked
    if force:
        return False
    raise OutputError(
        f"'{path}' exists and was made in another way: "
        "replace it with --force, or choose another place with --out."
    )
