"""Folders of data sets, of files in which nothing is, and of videos as long as they are wanted."""

from pathlib import Path

from videos import barcode, write_video


def tree(root: Path, *names: str) -> Path:
    """Empty files below a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def film(path: Path, seconds: int) -> Path:
    """A silent video, a picture a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, [barcode(number) for number in range(seconds)], rate=1)
