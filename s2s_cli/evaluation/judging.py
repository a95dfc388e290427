"""How often a judge sees which scene a photo shows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s_cli.data.pairs import scene_numbers
from s2s_cli.data.shards import Photos
from s2s_cli.errors import DataError
from s2s_cli.evaluation.control import Measure
from s2s_cli.networks.judge import Judge
from s2s_cli.training.augmentation import as_pictures

Watch = Callable[[int], None]  # called with how many more were judged


@dataclass(frozen=True)
class Verdicts:
    """What photos of known scenes were seen as."""

    scenes: tuple[str, ...]
    confusion: Tensor  # (scenes, scenes), counts: row = what a photo shows, column = seen as

    @property
    def shares(self) -> Tensor:
        """(scenes,) How many of each scene's photos were seen as it, 0 to 1."""
        return self.confusion.diagonal() / self.confusion.sum(dim=1)

    def measures(self) -> list[Measure]:
        """Over all photos, over all scenes, and of each scene."""
        photos = self.confusion.sum(dim=1).tolist()
        right = int(self.confusion.diagonal().sum())
        return [
            Measure("photos seen as their scene", right / sum(photos), "", f"{sum(photos)} photos"),
            Measure("mean over scenes", float(self.shares.mean()), "", f"{len(photos)} scenes"),
            *(
                Measure(f"  {scene}", share, "", f"{count} photos")
                for scene, share, count in zip(
                    self.scenes, self.shares.tolist(), photos, strict=True
                )
            ),
        ]

    def table(self) -> str:
        """The confusion in columns as wide as the longest name, the scenes beside and above it."""
        wide = max(map(len, self.scenes)) + 1
        counts = zip(self.scenes, self.confusion.tolist(), strict=True)
        rows = [("", self.scenes), *counts]
        return "\n".join(
            f"{name:<{wide}}" + "".join(f"{cell:>{wide}}" for cell in cells) for name, cells in rows
        )


@torch.inference_mode()
def verdicts_of(judge: Judge, photos: Photos, watch: Watch, batch: int = 64) -> Verdicts:
    """Let a judge see every photo.

    Raises:
        DataError: the judge and the photos are not of the same scenes.
    """
    scenes = judge.config.scenes
    apart = [
        f"only {who} {', '.join(names)}"
        for who, names in (
            ("the judge knows", sorted(set(scenes) - set(photos.scenes))),
            ("the photos show", sorted(set(photos.scenes) - set(scenes))),
        )
        if names
    ]
    if apart:
        raise DataError(
            f"The judge and the photos differ in scenes ({'; '.join(apart)}): "
            "give other data with --data, or name another judge with --model."
        )
    device = judge.head.weight.device
    seen = []
    for part in photos.parts(batch):
        seen.append(judge(as_pictures(part.to(device))).argmax(dim=1).cpu())
        watch(len(part))
    return Verdicts(
        scenes, confusion_of(scene_numbers(photos.scenes, scenes), torch.cat(seen), len(scenes))
    )


def confusion_of(shown: Tensor, seen: Tensor, scenes: int) -> Tensor:
    """Counts (scenes, scenes) of two lists of scene numbers (photos,): row shown, column seen."""
    return torch.bincount(shown * scenes + seen, minlength=scenes**2).view(scenes, scenes)
