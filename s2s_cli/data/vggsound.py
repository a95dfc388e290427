"""VGGSound: ten seconds of each of 200,000 YouTube videos, in 309 classes (arXiv:2004.14368).

``vggsound.csv`` (https://www.robots.ox.ac.uk/~vgg/data/vggsound/) names them, without a header:
YouTube's name, where the ten seconds begin, the class, train or test. The videos may lie anywhere
in the folder. They are called ID_000030.mp4, as the data set's authors do, ID_30.mp4, or
ID_30_40.mp4 and ID_30000_40000.mp4, as downloaders do, and then are the ten seconds alone; or
ID.mp4 or TITLE [ID].mp4, and then are whole. Of the csv's test videos none is trained on.
"""

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from s2s_cli.data.layouts import (
    TEST,
    TRAIN,
    Clip,
    Listing,
    Request,
    counted,
    duration_s,
    key_of,
    read_csv,
    read_text,
)
from s2s_cli.errors import DataError
from s2s_cli.picture.video import VIDEO_SUFFIXES

CLIP_S = 10.0
# On which Sound2Scene was trained: samples/categories.txt in github.com/postech-ami/Sound2Scene.
SOUND2SCENE_CLASSES = frozenset(
    (
        *("airplane flyby", "ambulance siren", "baby crying", "baby laughter"),
        *("baltimore oriole calling", "car engine idling", "car engine knocking", "cat purring"),
        *("chainsawing trees", "church bell ringing", "cow lowing", "dog barking"),
        *("driving snowmobile", "elk bugling", "fire truck siren", "gibbon howling", "hail"),
        *("hedge trimmer running", "ice cream truck, ice cream van", "lawn mowing", "orchestra"),
        *("owl hooting", "people cheering", "people crowd", "people marching", "playing bassoon"),
        *("playing drum kit", "playing harp", "playing harpsichord", "playing snare drum"),
        *("playing timbales", "printer printing", "railroad car, train wagon", "scuba diving"),
        *("sea waves", "sheep bleating", "singing choir", "skiing", "slot machine"),
        *("snake hissing", "stream burbling", "tractor digging", "train horning"),
        *("train wheels squealing", "train whistling", "underwater bubbling", "volcano explosion"),
        *("waterfall burbling", "wood thrush calling", "woodpecker pecking tree"),
    )
)
ANNOTATED_FPS = 10  # at which Sound2Scene's authors numbered frames
# ID_000030, ID_30.0_40.0, ID_30000_40000, ID_000030_anything
CUT = re.compile(r"([\w-]{11})_(\d+)(?:\D.*)?", re.ASCII)
WHOLE = re.compile(r"(?:.*\[)?([\w-]{11})\]?", re.ASCII)  # ID, or TITLE [ID]

Name = tuple[str, int]  # YouTube's name of a video, and the second at which the clip begins in it


@dataclass(frozen=True)
class Row:
    """What the csv says of a clip."""

    label: str
    split: str  # TRAIN or TEST


def read(request: Request) -> Listing:
    """The clips of Sound2Scene's 50 classes, or of those asked for."""
    table = request.table_called("vggsound.csv")
    if table is None:
        raise DataError(
            f"There is no vggsound.csv in '{request.folder}' or beside it: get it from "
            "https://www.robots.ox.ac.uk/~vgg/data/vggsound/ and put it there."
        )
    rows, twice = read_table(table)
    labels = {row.label for row in rows.values()}
    for label in sorted((request.classes or frozenset()) - labels):
        close = get_close_matches(label, sorted(labels), n=1)
        hint = f"did you mean '{close[0]}'?" if close else "its third column has the right names."
        raise DataError(f"'{table}' has no class '{label}': {hint}")
    rows = {
        name: row for name, row in rows.items() if request.takes(row.label, SOUND2SCENE_CLASSES)
    }
    moments = {} if request.annotations is None else read_moments(request.annotations)

    found = [
        Clip(
            # Classes are told apart by their words alone, and names by YouTube.
            key=key_of("_".join(re.findall(r"\w+", rows[name].label)), _called(name)),
            video=video,
            split=TEST if rows[name].split == TEST else request.split(name[0]),
            start_s=start_s,
            seconds=CLIP_S,
            moments_s=tuple(start_s + moment_s for moment_s in moments.get(name, ())),
        )
        for video, name, start_s in _matches(request.files(VIDEO_SUFFIXES), rows)
    ]
    missing = {_called(name) for name in rows} - {clip.key.split("/")[1] for clip in found}
    remarks = []
    if twice:
        remarks.append(f"Left out: {counted(twice, 'line')} of '{table}' that name a clip again.")
    if request.annotations is not None:
        training = [clip for clip in found if clip.split != TEST]
        annotated = sum(bool(clip.moments_s) for clip in training)
        remarks.append(
            f"'{request.annotations}' tells moments of {annotated:,} of the "
            f"{counted(len(training), 'clip')} for training."
        )
    return Listing(tuple(found), len(rows), tuple(missing), tuple(remarks))


def read_table(table: Path) -> tuple[dict[Name, Row], int]:
    """vggsound.csv, and how many of its lines name a clip that another has named.

    Raises:
        DataError: it cannot be read, or a line (but the first) says something else.
    """
    rows: dict[Name, Row] = {}
    twice = 0
    for number, line in enumerate(read_csv(table), start=1):
        if not line:
            continue
        try:
            video, start, label, split = (column.strip() for column in line)
            name = video, int(float(start))
            if split not in (TRAIN, TEST):
                raise ValueError(split)
        except (ValueError, OverflowError):
            if number == 1:
                continue  # a header, which some copies have
            raise DataError(
                f"Line {number} of '{table}' is not 'YouTube's name, seconds, class, train or "
                "test': get the file again."
            ) from None
        twice += name in rows
        rows.setdefault(name, Row(label, split))
    return rows, twice


def read_moments(annotations: Path) -> dict[Name, tuple[float, ...]]:
    """Sound2Scene's top1_boxes_top10_moments.json: when to look at each clip.

    Their README (github.com/postech-ami/Sound2Scene) shows a table: of a clip, ID_44000_54000,
    whose name ends in its beginning and end in milliseconds, the numbers of ten frames at 10 a
    second, the best first. Others have found it to be the second table of a list in the file. Both
    the list and the table alone are read.

    Returns:
        Seconds from the clip's beginning, the best first: the middle of each frame's tenth. The
        README speaks of the "47th frame", so they are taken to count from 1.

    Raises:
        DataError: it cannot be read, or has another structure.
    """
    try:
        content = json.loads(read_text(annotations))
    except (ValueError, RecursionError):
        content = None
    table = content[1] if isinstance(content, list) and len(content) > 1 else content
    if not isinstance(table, dict):
        raise DataError(
            f"'{annotations}' is not a table of clips and their moments: "
            "get top1_boxes_top10_moments.json from github.com/postech-ami/Sound2Scene."
        )
    moments: dict[Name, tuple[float, ...]] = {}
    for clip, frames in table.items():
        cut = re.fullmatch(r"([\w-]{11})_(\d{1,9})_\d+", clip, re.ASCII)
        if cut is None or not _are_frames(frames):
            raise DataError(
                f"'{annotations}' says {frames!r:.60} of '{clip:.60}', where a clip like "
                "'9fhhMaXTraI_44000_54000' and frames like [47, 46] were expected: "
                "get the file again."
            )
        middles_s = ((frame - 0.5) / ANNOTATED_FPS for frame in frames)
        moments[cut[1], int(cut[2]) // 1000] = tuple(max(0.0, at_s) for at_s in middles_s)
    return moments


def _are_frames(frames: Any) -> bool:
    return isinstance(frames, list) and all(type(n) is int and n >= 0 for n in frames)


def _matches(videos: list[Path], rows: dict[Name, Row]) -> list[tuple[Path, Name, float]]:
    """Which file holds which clip, and from which second on; first the files cut from a video."""
    starts: dict[str, list[int]] = {}
    for video, start in rows:
        starts.setdefault(video, []).append(start)
    cut, whole = [], []
    for path in videos:
        if match := CUT.fullmatch(path.stem):
            seconds = int(match[2])
            in_s, in_ms = (match[1], seconds), (match[1], seconds // 1000)
            cut += [(path, name, 0.0) for name in (in_s, in_ms) if name in rows][:1]
        elif match := WHOLE.fullmatch(path.stem):
            for start in starts.get(match[1], ()):
                lasts_s = duration_s(path)
                # Some leave the start out of the name of a clip.
                at_s = 0.0 if lasts_s is not None and lasts_s <= start else float(start)
                whole.append((path, (match[1], start), at_s))
    return cut + whole


def _called(name: Name) -> str:
    video, start = name
    return f"{video}_{start:06d}"
