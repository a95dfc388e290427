"""How data sets of videos lie on disk: which clips a folder holds, and in which split each is.

Every layout is read by a module beside this one, and all by ``list_clips``. Nothing depends on the
order in which a disk gives its files.
"""

import csv
import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from s2s_cli.choices import Layout, Select
from s2s_cli.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"
UNNAMED = "unnamed"  # the scene of what lies in no folder
LONGEST_S = 7 * 86_400  # a header that claims more of a video is broken


@dataclass(frozen=True)
class Clip:
    """A stretch of a video from which frames and sounds are taken."""

    key: str  # SCENE/NAME: no other clip's, and without dots and blanks; see ``key_of``
    video: Path  # in layout "pairs" the sound
    photo: Path | None = None  # in layout "pairs" the picture that goes with the sound
    split: str = TRAIN  # or VAL or TEST
    start_s: float = 0.0  # from the video's beginning
    seconds: float | None = None  # at most; None = to the end
    moments_s: tuple[float, ...] = ()  # annotated, from the video's beginning, the best first


@dataclass(frozen=True)
class Listing:
    """What was found of a data set."""

    clips: tuple[Clip, ...]  # sorted by key
    named: int  # how many items the data set's lists name; without lists, how many were found
    missing: tuple[str, ...] = ()  # those of them that are not in the folder, sorted
    remarks: tuple[str, ...] = ()  # whole sentences about what the user may not expect


@dataclass(frozen=True)
class Usual:
    """What is usually taken of a layout's clips, and what lies in its folder."""

    holds: str  # for a sentence: "There are no ... below"
    seconds: float = 10.0  # of sound (Sound2Scene, section 4)
    frames: int = 1  # of each clip
    select: Select = Select.LOCALISER


USUAL: Mapping[Layout, Usual] = {
    Layout.FOLDER: Usual("videos"),
    Layout.VGGSOUND: Usual("videos called like ID_000030.mp4 that vggsound.csv names"),
    Layout.VEGAS: Usual("videos in folders of classes"),
    # avstyle, section 4.1 and appendix A.2
    Layout.INTO_THE_WILD: Usual("videos that metadata.xlsx names", 3.0, 8, Select.EVEN),
    Layout.GREATEST_HITS: Usual("videos ID_denoised.mp4 with ID_times.txt", 3.0, 8, Select.EVEN),
    Layout.PAIRS: Usual("pictures in 'images' and sounds of the same names in 'audios'"),
}


@dataclass(frozen=True)
class Request:
    """What is asked of the reader of a layout."""

    folder: Path
    seed: int
    val_share: float
    seconds: float  # of a clip, where the layout has videos cut
    classes: frozenset[str] | None
    table: Path | None
    annotations: Path | None

    def files(self, suffixes: Collection[str]) -> list[Path]:
        """The files below the folder that end so, in any case; sorted."""
        below, _ = self._below
        return [path for path in below if path.suffix.lower() in suffixes and os.path.isfile(path)]

    @property
    def closed(self) -> list[str]:
        """The folders that cannot be looked into; sorted."""
        return self._below[1]

    def table_called(self, *names: str) -> Path | None:
        """The table that the user named, or one of these names below the folder or beside it."""
        if self.table is not None:
            if not os.path.isfile(self.table):
                raise DataError(f"There is no file '{self.table}': name the {names[0]} to be read.")
            return self.table
        beside = [self.folder.absolute().parent / name for name in names]
        found = [path for path in self._below[0] if path.name in names] + beside
        return next((path for path in found if os.path.isfile(path)), None)

    def takes(self, scene: str, usual: Collection[str] = ()) -> bool:
        """Whether a class is wanted: among those asked for, else the usual ones; none is all."""
        wanted = usual if self.classes is None else self.classes
        return not wanted or scene in wanted

    def split(self, video: str) -> str:
        """TRAIN or VAL, by a whole video's name alone, so that its clips stay together."""
        return VAL if drawn(self.seed, VAL, video) < self.val_share else TRAIN

    @cached_property
    def _below(self) -> tuple[list[Path], list[str]]:
        seen: set[str] = set()
        files: list[Path] = []
        closed: list[str] = []
        tree = os.walk(
            self.folder, followlinks=True, onerror=lambda fault: closed.append(str(fault.filename))
        )
        for here, folders, names in tree:
            real = os.path.realpath(here)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if real in seen:  # by a link, which may lead in a circle
                folders.clear()
                continue
            seen.add(real)
            if not os.access(here, os.X_OK):  # its names can be listed, and no more
                closed.append(here)
                folders.clear()
                continue
            files += [Path(here, name) for name in names if not name.startswith(".")]
        return sorted(files, key=Path.as_posix), sorted(closed)


def list_clips(
    layout: Layout,
    folder: Path,
    *,
    seed: int = 0,
    val_share: float = 0.1,
    seconds: float | None = None,
    classes: Collection[str] | None = None,
    table: Path | None = None,
    annotations: Path | None = None,
) -> Listing:
    """Every clip that a data set's folder holds.

    Args:
        layout: how it lies; the module of that name says what is read.
        folder: where; links are followed, hidden files are not seen.
        seed: of every draw; a draw depends on it and on a name, never on what else is there.
        val_share: from 0 to below 1, of the whole videos that would be trained on.
        seconds: the clips' length where the layout has videos cut; None = the usual.
        classes: of which clips are wanted; none at all is all of them, None the usual ones.
        table: vggsound.csv or metadata.xlsx, where it is not in the folder or beside it.
        annotations: Sound2Scene's top1_boxes_top10_moments.json.

    Raises:
        DataError: there is no such folder or no clip in it, or a table cannot be read.
        ValueError: ``val_share`` or ``seconds`` is out of its range.
    """
    from s2s_cli.data import greatest_hits, into_the_wild, stems, vegas, vggsound

    readers = {
        Layout.FOLDER: stems.read_folder,
        Layout.VGGSOUND: vggsound.read,
        Layout.VEGAS: vegas.read,
        Layout.INTO_THE_WILD: into_the_wild.read,
        Layout.GREATEST_HITS: greatest_hits.read,
        Layout.PAIRS: stems.read_pairs,
    }
    usual = USUAL[layout]
    seconds = usual.seconds if seconds is None else seconds
    if not 0 <= val_share < 1 or not seconds > 0:
        raise ValueError(f"expected 0 <= val_share < 1 and seconds > 0, got {val_share}, {seconds}")
    if not os.path.isdir(folder):
        raise DataError(f"There is no folder '{folder}': name the one that the videos lie in.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"'{folder}' may not be looked into: check its permissions.")
    if annotations is not None and layout is not Layout.VGGSOUND:
        raise DataError(
            f"'{annotations}' is about clips of VGGSound: give it with --layout vggsound."
        )
    if table is not None and layout not in (Layout.VGGSOUND, Layout.INTO_THE_WILD):
        raise DataError(f"--layout {layout} reads no table: leave '{table}' out.")
    wanted = None if classes is None else frozenset(classes)
    request = Request(folder, seed, val_share, seconds, wanted, table, annotations)
    listing = readers[layout](request)
    clips: dict[str, Clip] = {}
    for clip in listing.clips:
        clips.setdefault(clip.key, clip)
    if not clips:
        of_classes = " of the classes asked for" if classes else ""
        nothing = f"There are no {usual.holds}{of_classes} below '{folder}'"
        if request.closed:
            raise DataError(
                f"{nothing}, but {counted(len(request.closed), 'folder')} may not be looked into, "
                f"such as '{request.closed[0]}': check its permissions."
            )
        raise DataError(f"{nothing}: is it the right folder, and is --layout {layout} how it lies?")
    remarks = list(listing.remarks)
    if twice := len(listing.clips) - len(clips):
        remarks.append(f"Left out: {counted(twice, 'clip')} with the name of another.")
    if request.closed:
        remarks.append(
            f"Left out: {counted(len(request.closed), 'folder')} that may not be looked into, "
            f"such as '{request.closed[0]}'."
        )
    return replace(
        listing,
        clips=tuple(clips[key] for key in sorted(clips)),
        missing=tuple(sorted(listing.missing)),
        remarks=tuple(remarks),
    )


def read_classes(path: Path) -> frozenset[str]:
    """The names of classes in a text file, one a line.

    Raises:
        DataError: it cannot be read, or holds none.
    """
    names = frozenset(line.strip() for line in read_text(path).splitlines()) - {""}
    if not names:
        raise DataError(f"'{path}' names no class: write one name a line.")
    return names


def read_text(path: Path) -> str:
    """A text file, in UTF-8.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as fault:
        raise DataError(
            f"'{path}' cannot be read ({fault.strerror}): check its path and its permissions."
        ) from None


def read_csv(path: Path) -> list[list[str]]:
    """The cells of a table in text.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return list(csv.reader(read_text(path).splitlines()))
    except csv.Error:
        raise DataError(f"'{path}' is no table of values and commas: get the file again.") from None


def key_of(scene: str, name: str) -> str:
    """A clip's key, SCENE/NAME, from names with any characters in them.

    WebDataset cuts a name at its first dot.
    """
    # As in web addresses, and the dot too (%2E): what differs stays different, and can be had back.
    return "/".join(quote(os.fsencode(part), safe="").replace(".", "%2E") for part in (scene, name))


def whole_video(name: str) -> str:
    """The name of the video from which a file was cut, if its name tells that it was.

    VGGSound's tools write ID_000030 or ID_30000_40000, avstyle's NAME_clip7.
    """
    cut = re.fullmatch(r"([\w-]{11})_\d+(?:_\d+)?|(.+)_clip\d+", name, re.ASCII)
    return name if cut is None else cut[1] or cut[2]


def drawn(*names: object) -> float:
    """A number from 0 to below 1 that follows from names alone, evenly spread over all names."""
    name = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big") / 2**48


@dataclass(frozen=True)
class Piece:
    """One of the equal pieces of a video."""

    number: int  # from 1
    start_s: float
    seconds: float


def pieces(video: Path, seconds: float) -> Iterator[Piece]:
    """A video cut into equal pieces; the last is shorter, and dropped if less than half is left.

    avstyle keeps rests of any length; there is little to hear in a tenth of a second. A video whose
    header cannot be read gives none.
    """
    lasts_s = duration_s(video)
    if lasts_s is not None:
        for number in range(max(1, round(lasts_s / seconds))):
            start_s = number * seconds
            yield Piece(number + 1, start_s, min(seconds, lasts_s - start_s))


def duration_s(video: Path) -> float | None:
    """How long a video says that it is, from its header alone; None if that cannot be read."""
    import av

    # No protocol but the open file: a playlist named .mp4 must not reach for other files.
    options = {"protocol_whitelist": "none"}
    try:
        with (
            video.open("rb") as file,
            av.open(file, "r", options=options, metadata_errors="replace") as container,
        ):
            lasts_s = (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None
    return lasts_s if 0 < lasts_s < LONGEST_S else None


def counted(number: int, noun: str) -> str:
    """``3 clips``, ``1 clip``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
