"""The Greatest Hits: a drumstick on 17 materials in 977 videos (Owens et al., arXiv:1512.08512).

As published (https://andrewowens.com/vis/): 2015-02-16-16-49-06_denoised.mp4 and its like, or
_denoised_thumb.mp4 where the small videos were fetched, or _mic.mp4 with the sound as it was
recorded; and 2015-02-16-16-49-06_times.txt with a line "seconds material action reaction" for each
touch, where "None" is what nobody could tell. They may lie anywhere in the folder.
"""

import re
from collections import Counter
from pathlib import Path

from s2s_cli.data.layouts import (
    TEST,
    Clip,
    Listing,
    Request,
    counted,
    drawn,
    key_of,
    pieces,
    read_text,
)
from s2s_cli.picture.video import VIDEO_SUFFIXES

OUTDOORS = frozenset(("dirt", "grass", "gravel", "leaf", "water"))  # avstyle, appendix A.2
TEST_SHARE = 0.15  # of the clips (same place)
# Of one recording the first of these is taken.
KINDS = ("denoised", "denoised_thumb", "mic", "mic_thumb")
VIDEO = re.compile(rf"(.+?)_({'|'.join(KINDS)})")
TIMES = re.compile(r"(.+)_times")


def read(request: Request) -> Listing:
    """Clips of the videos in which an outdoor material, or one asked for, is touched most.

    As in avstyle, clips are drawn for testing and not videos, so that a video may be trained and
    tested on; the others are parted by whole videos into training and validation. Moments are the
    touches of that material, in their order.
    """
    videos: dict[str, dict[str, Path]] = {}
    for path in request.files(VIDEO_SUFFIXES):
        if match := VIDEO.fullmatch(path.stem):
            videos.setdefault(match[1], {}).setdefault(match[2], path)
    touches: dict[str, list[tuple[float, str]]] = {}
    for path in request.files({".txt"}):
        if match := TIMES.fullmatch(path.stem):
            touches.setdefault(match[1], read_touches(path))

    clips, named, broken = [], [], 0
    for video, touched in sorted(touches.items()):
        material = most_touched(touched)
        if material is None or not request.takes(material, OUTDOORS):
            continue
        named.append(video)
        if video not in videos:
            continue
        path = next(videos[video][kind] for kind in KINDS if kind in videos[video])
        own = list(pieces(path, request.seconds))
        broken += not own
        for piece in own:
            name = f"{video}_clip{piece.number:05d}"
            tested = drawn(request.seed, TEST, name) < TEST_SHARE
            ends_s = piece.start_s + piece.seconds
            clips.append(
                Clip(
                    key=key_of(material, name),
                    video=path,
                    split=TEST if tested else request.split(video),
                    start_s=piece.start_s,
                    seconds=piece.seconds,
                    moments_s=tuple(
                        at_s
                        for at_s, what in touched
                        if what == material and piece.start_s <= at_s < ends_s
                    ),
                )
            )

    remarks = [
        f"{TEST_SHARE:.0%} of the clips were drawn for testing, as in avstyle: "
        "other clips of their videos are trained on."
    ]
    if untold := len(videos.keys() - touches.keys()):
        remarks.append(f"Left out: {counted(untold, 'video')} without a _times.txt.")
    if broken:
        remarks.append(f"Left out: {counted(broken, 'video')} that cannot be opened.")
    missing = tuple(video for video in named if video not in videos)
    return Listing(tuple(clips), len(named), missing, tuple(remarks))


def read_touches(times: Path) -> list[tuple[float, str]]:
    """When the drumstick touches which material, where a line tells both."""
    touches = []
    for line in read_text(times).splitlines():
        seconds, material, *_ = [*line.split(), "None", "None"]
        if re.fullmatch(r"\d+(\.\d*)?", seconds) and material != "None":
            touches.append((float(seconds), material))
    return touches


def most_touched(touches: list[tuple[float, str]]) -> str | None:
    """The material of most touches; of equals the first by name; None if there are no touches."""
    counts = Counter(material for _, material in touches)
    return min(counts, key=lambda material: (-counts[material], material), default=None)
