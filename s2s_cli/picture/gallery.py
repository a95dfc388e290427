"""Where pictures go: their names, what is kept, and what is never overwritten."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePath

from s2s_cli.errors import OutputError, PictureError
from s2s_cli.picture.image import FORMATS, format_of
from s2s_cli.picture.provenance import Provenance, read_provenance, same


@dataclass(frozen=True)
class Place:
    """Where the pictures of some sounds hang."""

    folder: Path
    file: Path | None  # the only picture's path, where the user named it

    def named(self, name: PurePath, mark: str = "", suffix: str = ".png") -> Path:
        """The path of a picture called ``name`` (it may lie in folders) with a mark behind it.

        ``suffix`` is its ending where the user named no file.
        """
        if self.file is not None:
            return self.file.with_name(f"{self.file.stem}{mark}{self.file.suffix}")
        return self.folder / name.with_name(f"{name.name}{mark}{suffix}")


def place(out: str | None, formats: Mapping[str, str] = FORMATS) -> Place:
    """What ``--out`` means: a file if it ends like a picture, else a folder.

    Args:
        out: as the user wrote it; None is the folder in which they are.
        formats: the endings that a file may have.

    Raises:
        OutputError: it ends like a file that cannot be written.
    """
    path = Path(out or "")
    # os.path, because pathlib raises where a name is too long or a folder is closed.
    if out is None or os.path.isdir(path) or out.endswith(("/", os.sep)) or not path.suffix:
        return Place(path, None)
    format_of(path, formats)
    return Place(path.parent, path)


def distinct_names(sounds: Sequence[PurePath], reserved: Sequence[str] = ()) -> list[PurePath]:
    """A picture's name for each sound, no two alike: without its ending where that will do.

    Args:
        sounds: relative paths, as they shall lie below the output folder.
        reserved: names that something else goes by.
    """
    bare = [sound.with_suffix("") for sound in sounds]
    shared = Counter(_folded(name) for name in bare)
    taken = {name.casefold() for name in reserved}
    names = []
    for name, sound in zip(bare, sounds, strict=True):
        numbered = (sound.with_name(f"{sound.name}-{number}") for number in count(2))
        wishes = [name, sound] if shared[_folded(name)] == 1 else [sound]
        free = next(wish for wish in chain(wishes, numbered) if _folded(wish) not in taken)
        taken.add(_folded(free))
        names.append(free)
    return names


def _folded(name: PurePath) -> str:
    return str(name).casefold()  # some disks do not tell A from a


def hangs_already(path: Path, provenance: Provenance, force: bool) -> bool:
    """Whether this very picture is there, so that a batch can go on where it was stopped.

    Raises:
        OutputError: another file is there, and ``force`` is not set.
    """
    if not os.path.lexists(path):
        return False
    try:
        # Nothing but a file is opened: a pipe would wait for ever.
        if os.path.isfile(path) and same(read_provenance(path), provenance):
            return True
    except PictureError:
        pass  # not ours, or unreadable: all the more reason not to overwrite it unasked
    if force:
        return False
    raise OutputError(
        f"'{path}' exists and was made in another way: "
        "replace it with --force, or choose another place with --out."
    )
