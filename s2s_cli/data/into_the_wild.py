"""Into the Wild: 94 videos of hikes, on which avstyle was trained (arXiv:2205.05072, appendix A.1).

``metadata.xlsx`` (dataset/Into-the-Wild in github.com/Tinglok/avstyle) names them: a column of
YouTube's names or addresses, wherever it stands, and marks in columns Snow, Forest and Rain. The
videos may lie anywhere in the folder: ID.mp4, TITLE-ID.mp4 or TITLE [ID].mp4, as youtube-dl and its
heirs call them, or cut by the authors' split.py into NAME_clip1.mp4, NAME_clip2.mp4, ... of three
seconds. Without the table every video is taken.
"""

import re
from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path

from s2s_cli.choices import Layout
from s2s_cli.data.layouts import (
    TEST,
    UNNAMED,
    USUAL,
    Clip,
    Listing,
    Piece,
    Request,
    counted,
    drawn,
    key_of,
    pieces,
    read_csv,
    read_text,
)
from s2s_cli.errors import DataError
from s2s_cli.picture.video import VIDEO_SUFFIXES

CUT_S = USUAL[Layout.INTO_THE_WILD].seconds  # of the authors' clips
TEST_SHARE = 0.2  # of the clips (appendix A.2)
SCENES = ("rain", "snow", "forest")  # a video marked with several is in the first of them
UNMARKED = ("", "0", "no", "n", "false", "none")
LISTS = ("trainA.txt", "trainB.txt")
CUT = re.compile(r"(.+)_clip(\d+)")
ENDS_IN_NAME = re.compile(r".*?([\w-]{11})\]?", re.ASCII)  # ID, TITLE-ID, TITLE [ID]
NAME_OR_ADDRESS = re.compile(r"(?:.*[=/])?([\w-]{11})(?:[?&#].*)?", re.ASCII)


def read(request: Request) -> Listing:
    """All videos cut into clips, of which a fifth are for testing.

    As in the paper, clips are drawn for testing and not videos, so that a video may be trained and
    tested on. Or the clips for testing are those that the authors' lists trainA.txt and trainB.txt
    leave out, if both are in the folder. The others are parted by whole videos into training and
    validation.
    """
    table = request.table_called("metadata.xlsx", "metadata.csv")
    scenes = None if table is None else read_table(table)
    whole: dict[str, Path] = {}
    cut: dict[str, list[tuple[Path, Piece]]] = {}
    strangers = 0
    for path in request.files(VIDEO_SUFFIXES):
        mark = CUT.fullmatch(path.stem)
        video = _video(mark[1] if mark else path.stem, scenes)
        if video is None:
            strangers += 1
        elif mark:
            cut.setdefault(video, []).append((path, Piece(int(mark[2]), 0.0, CUT_S)))
        else:
            whole.setdefault(video, path)

    trained = _trained(request, scenes)
    clips, broken = [], 0
    for video in sorted(whole.keys() | cut.keys()):
        scene = UNNAMED if scenes is None else scenes[video]
        if not request.takes(scene):
            continue
        if video in whole:
            own = [(whole[video], piece) for piece in pieces(whole[video], request.seconds)]
            broken += not own
        else:
            own = cut[video]
        for path, piece in own:
            name = f"{video}_clip{piece.number:05d}"
            if trained:
                # The lists count pieces of three seconds.
                each_s = request.seconds if video in whole else CUT_S
                tested = (video, 1 + int((piece.number - 1) * each_s // CUT_S)) not in trained
            else:
                tested = drawn(request.seed, TEST, name) < TEST_SHARE
            split = TEST if tested else request.split(video)
            key = key_of(scene, name)
            clips.append(Clip(key, path, None, split, piece.start_s, piece.seconds))

    named = {video for video, scene in (scenes or {}).items() if request.takes(scene)}
    named |= set() if scenes else whole.keys() | cut.keys()
    remarks = [
        "trainA.txt and trainB.txt tell what is trained on; all other clips are for testing."
        if trained
        else "A fifth of the clips were drawn for testing, as in the paper: "
        "other clips of their videos are trained on."
    ]
    if strangers:
        remarks.append(f"Left out: {counted(strangers, 'video')} that '{table}' does not name.")
    if broken:
        remarks.append(f"Left out: {counted(broken, 'video')} that cannot be opened.")
    missing = named - whole.keys() - cut.keys()
    return Listing(tuple(clips), len(named), tuple(missing), tuple(remarks))


def read_table(table: Path) -> dict[str, str]:
    """Each video's scene, by YouTube's name of it; the table is metadata.xlsx, or saved as .csv.

    Raises:
        DataError: it cannot be read, or names no video.
    """
    header, *rows = _rows(table) or [()]
    named = [
        [NAME_OR_ADDRESS.fullmatch(str(value).strip()) for value in column]
        for column in zip(*rows, strict=True)
    ]
    # Some other cell may have eleven letters too; a whole column has not.
    matches = max(named, key=lambda column: sum(map(bool, column)), default=[])
    marked = [str(title).strip().lower() for title in header]
    videos = {}
    for match, row in zip(matches, rows, strict=True):
        if match is not None:
            values = dict(zip(marked, row, strict=True))
            marks = (scene for scene in SCENES if _is_marked(values.get(scene)))
            videos[match[1]] = next(marks, UNNAMED)
    if not videos:
        raise DataError(
            f"'{table}' has no column of YouTube's names of videos: get it again from "
            "dataset/Into-the-Wild in github.com/Tinglok/avstyle."
        )
    return videos


def _rows(table: Path) -> list[Sequence[object]]:
    """The cells of a table's first sheet; all rows are equally long."""
    if table.suffix.lower() == ".csv":
        rows = read_csv(table)
        width = max(map(len, rows), default=0)
        return [row + [""] * (width - len(row)) for row in rows]
    try:
        load_workbook = import_module("openpyxl").load_workbook
    except ImportError:
        raise DataError(
            f"Reading '{table}' needs openpyxl: install it with 'pip install \"s2s-cli[train]\"', "
            "or save the table as metadata.csv."
        ) from None
    try:
        return list(load_workbook(table, data_only=True).worksheets[0].values)
    except Exception:  # openpyxl lets through whatever zip and XML readers trip over
        raise DataError(f"'{table}' cannot be read as a table: get the file again.") from None


def _is_marked(value: object) -> bool:
    return bool(value) and str(value).strip().lower() not in UNMARKED


def _video(name: str, listed: Collection[str] | None) -> str | None:
    """YouTube's name at the end of a file's, if it is listed; without a list the file's name."""
    if listed is None:
        return name
    match = ENDS_IN_NAME.fullmatch(name)
    return match[1] if match and match[1] in listed else None


def _trained(request: Request, listed: Collection[str] | None) -> set[tuple[str, int]]:
    """Videos and numbers of their clips of which the authors' lists name frames.

    A line is the path of a frame, NAME_clip7-3.jpg (``unaligned_dataset.py`` in avstyle).
    """
    lists = [path for path in request.files({".txt"}) if path.name in LISTS]
    if {path.name for path in lists} != set(LISTS):
        return set()
    trained = set()
    for line in (line for path in lists for line in read_text(path).splitlines()):
        if match := re.fullmatch(r"(?:.*/)?(.+)_clip(\d+)-\d+\.\w+", line.strip()):
            trained.add((_video(match[1], listed) or match[1], int(match[2])))
    return trained
