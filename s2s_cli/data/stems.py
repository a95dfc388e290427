"""A user's own files: a folder of videos, or pictures and sounds that are matched by name."""

from collections.abc import Iterable
from pathlib import Path

from s2s_cli.audio.sound import SUFFIXES as SOUND_SUFFIXES
from s2s_cli.data.layouts import UNNAMED, Clip, Listing, Request, counted, key_of, whole_video
from s2s_cli.picture.photo import PICTURE_SUFFIXES
from s2s_cli.picture.video import VIDEO_SUFFIXES


def read_folder(request: Request) -> Listing:
    """Every video below the folder; its scene is the first folder on the way to it."""
    clips = []
    for path in request.files(VIDEO_SUFFIXES):
        relative = path.relative_to(request.folder)
        scene, name = _parted(relative)
        if request.takes(scene):
            # Only .mp4 is left out of a name: walk.mov beside walk.mp4 is another video, and so is
            # walk.mov.mp4.
            plain = name.removesuffix(".mp4")
            if Path(plain).suffix.lower() in VIDEO_SUFFIXES:
                plain = name
            split = request.split(_whole(relative.with_suffix("")))
            clips.append(Clip(key_of(scene, plain), path, split=split))
    return Listing(tuple(clips), len(clips))


def read_pairs(request: Request) -> Listing:
    """images/NAME.jpg goes with audios/NAME.wav: Sound2Scene's own layout.

    (``--data_path`` in github.com/postech-ami/Sound2Scene, whose loader ends a name at its first
    dot; here it ends at its last.) There may be folders in both, the first of which is the scene.
    """
    photos, spare_photos = _by_name(request, "images", PICTURE_SUFFIXES)
    sounds, spare_sounds = _by_name(request, "audios", SOUND_SUFFIXES)
    clips = []
    for path in sorted(photos.keys() & sounds.keys()):
        scene, name = _parted(path)
        if request.takes(scene):
            split = request.split(_whole(path))
            clips.append(Clip(key_of(scene, name), sounds[path], photos[path], split))
    lonely = photos.keys() ^ sounds.keys()
    remarks = []
    if spare := spare_photos + spare_sounds:
        remarks.append(f"Left out: {counted(spare, 'file')} with the name of another.")
    missing = tuple(path.as_posix() for path in lonely)
    return Listing(tuple(clips), len(photos.keys() | sounds.keys()), missing, tuple(remarks))


def _by_name(request: Request, below: str, suffixes: Iterable[str]) -> tuple[dict[Path, Path], int]:
    """The first file of each name, by its path from ``below`` on, and how many others there are."""
    root = request.folder / below
    files = [path for path in request.files(frozenset(suffixes)) if root in path.parents]
    first: dict[Path, Path] = {}
    for path in files:
        first.setdefault(path.relative_to(root).with_suffix(""), path)
    return first, len(files) - len(first)


def _parted(path: Path) -> tuple[str, str]:
    """Scene and name: the first folder, and the path from there on."""
    scene, *rest = path.as_posix().split("/", 1)
    return (scene, rest[0]) if rest else (UNNAMED, scene)


def _whole(path: Path) -> str:
    """A name for the whole video, wherever pieces of it lie."""
    whole = whole_video(path.name)
    return path.as_posix() if whole == path.name else whole
