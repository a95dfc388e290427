"""VEGAS: short videos in ten classes (Zhou et al. 2018, arXiv:1712.01393).

Copies of it lie as VEGAS/CLASS/videos/video_00000.mp4, with CLASS/video_info.csv, which has a line
for each of them below its header. Read is every video anywhere below a folder with a class's name;
where there is none, a video's class is the folder in which it lies.
"""

from pathlib import Path

from s2s_cli.data.layouts import (
    TEST,
    UNNAMED,
    Clip,
    Listing,
    Request,
    counted,
    drawn,
    key_of,
    read_csv,
)
from s2s_cli.picture.video import VIDEO_SUFFIXES

CLASSES = frozenset(
    (
        *("baby_cry", "chainsaw", "dog", "drum", "fireworks"),
        *("helicopter", "printer", "rail_transport", "snoring", "water_flowing"),
    )
)
# Sound2Scene, section 4: videos of each class; which ones was never published.
TO_TRAIN, TO_TEST = 800, 50


def read(request: Request) -> Listing:
    """800 videos of each class to train on and 50 to test on, drawn by the seed.

    Smaller classes are parted in the same proportion. Both are taken from the ends of one order, so
    that in classes of at least 850 a new video moves no other from training to testing or back.
    """
    found: dict[str, dict[str, Path]] = {}
    spare = 0
    for path in request.files(VIDEO_SUFFIXES):
        scene = _scene(request, path)
        if request.takes(scene):
            videos = found.setdefault(scene, {})
            spare += path.stem in videos
            videos.setdefault(path.stem, path)

    clips = []
    for scene, videos in found.items():
        order = sorted(videos, key=lambda name: drawn(request.seed, TEST, scene, name))
        tests = min(TO_TEST, round(len(order) * TO_TEST / (TO_TRAIN + TO_TEST)))
        splits = dict.fromkeys(order[:tests], TEST)
        splits |= {name: request.split(f"{scene}/{name}") for name in order[tests:][-TO_TRAIN:]}
        clips += [
            Clip(key_of(scene, name), videos[name], split=split) for name, split in splits.items()
        ]

    here = {f"{scene}/{name}" for scene, videos in found.items() for name in videos}
    named = here | _named(request)
    remarks = [
        f"VEGAS has no published split: {len(clips):,} of {len(here):,} videos were drawn by the "
        f"seed, at most {TO_TRAIN} to train on and {TO_TEST} to test on of each class."
    ]
    if spare:
        remarks.append(f"Left out: {counted(spare, 'video')} with the name of another.")
    return Listing(tuple(clips), len(named), tuple(named - here), tuple(remarks))


def _scene(request: Request, path: Path) -> str:
    folders = path.relative_to(request.folder).parts[:-1]
    spoken = [name.lower().replace(" ", "_") for name in (request.folder.name, *folders)]
    known = [name for name in spoken if name in CLASSES]
    own = [name for name in folders if name.lower() not in ("videos", "video")]
    return (known or own or [UNNAMED])[-1]


def _named(request: Request) -> set[str]:
    """CLASS/video_00000 and so on, as many as the class's video_info.csv has lines."""
    names = set()
    for path in request.files({".csv"}):
        scene = _scene(request, path)
        if path.name == "video_info.csv" and request.takes(scene):
            lines = [line for line in read_csv(path) if line]
            names |= {f"{scene}/video_{number:05d}" for number in range(len(lines) - 1)}
    return names
