"""The networks that look at pictures: what each sees is what the numbers are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from s2s_cli.data.pairs import scene_numbers
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.weights import open_clip, open_inception
from s2s_cli.latents import unit
from s2s_cli.networks.inception import SIDE_PX
from s2s_cli.networks.judge import Judge
from s2s_cli.picture.image import Picture, to_uint8

# Sound2Scene gives CLIP "the texts from the name of the audio category" (section 4.1) and prints no
# words around it; avstyle speaks of "labels" (A.3). These are CLIP's own (arXiv:2103.00020, 3.1.4).
PROMPT = "a photo of {name}"


@dataclass(frozen=True)
class Sight:
    """What was seen in a batch of pictures; None where a network does not see that."""

    similarities: Tensor | None = None  # (batch, scenes): how much each looks like each scene
    features: Tensor | None = None  # (batch, dim): in whose space sets of pictures are compared
    probabilities: Tensor | None = None  # (batch, classes), of the network's own classes


class Eye(Protocol):
    """One of them, made for the scenes that pictures may show."""

    name: str  # that stands beside every number

    def look(self, pictures: Tensor) -> Sight:
        """pictures: (batch, 3, h, w) in [-1, 1], of any size. On the CPU."""
        ...


class JudgesEye:
    """A judge's: it sees all three."""

    def __init__(self, judge: Judge, scenes: Sequence[str], name: str = "judge") -> None:
        """scenes: of the data, in the order of the similarities.

        Raises:
            DataError: the judge does not know one of them.
        """
        places = scene_numbers(scenes, judge.config.scenes)
        if (places < 0).any():
            unknown = ", ".join(s for s, at in zip(scenes, places.tolist(), strict=True) if at < 0)
            raise DataError(
                f"The judge '{name}' does not know {unknown}: train one with s2s train, "
                "or name another with --judge."
            )
        self.judge, self.places, self.name = judge, places, name

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> Sight:
        """As of ``Eye``."""
        features = self.judge.describe(pictures.to(self.judge.head.weight.device))
        logits = self.judge.head(features).cpu()
        return Sight(logits[:, self.places], features.cpu(), logits.softmax(dim=1))


class ClipsEye:
    """CLIP's: how much pictures look like the names of scenes (R@k, and avstyle's CLIP score)."""

    name = "CLIP ViT-B/32"

    def __init__(
        self,
        folder: Path | None,
        scenes: Sequence[str],
        prompt: str = PROMPT,
        device: str = "cpu",
    ) -> None:
        """From a folder as Hugging Face publishes it; None = where ``s2s models pull`` puts it.

        Args:
            folder: with weights, config, vocabulary, and the settings for pictures.
            scenes: of the data, in the order of the similarities.
            prompt: what is said of each; ``{name}`` stands for it.
            device: where CLIP shall be.

        Raises:
            ModelError: a file is missing, damaged, or of another network.
        """
        self.network, words, self.looks = open_clip(folder, device)
        # In names of folders a line stands for a blank.
        said = [prompt.format(name=scene.replace("_", " ")) for scene in scenes]
        longest = self.network.config.text_config.max_position_embeddings
        tokens = words(
            said, padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(device)
        with torch.inference_mode():
            texts = self.network.get_text_features(**tokens).pooler_output
        self.texts = unit(texts).cpu()  # (scenes, dim)

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> Sight:
        """As of ``Eye``. Similarities are cosines; features have length 1."""
        shown = self.looks(images=[Image.fromarray(one) for one in in_bytes(pictures)])
        pixels = torch.from_numpy(np.stack(shown["pixel_values"]))
        seen = self.network.get_image_features(pixel_values=pixels.to(self.network.device))
        features = unit(seen.pooler_output).cpu()
        return Sight(similarities=features @ self.texts.T, features=features)


class InceptionsEye:
    """Inception-V3's: features for FID, and probabilities of its 1008 classes for IS."""

    def __init__(self, path: Path | None, clean: bool = False, device: str = "cpu") -> None:
        """From the file of pytorch-fid; None = where ``s2s models pull`` puts it.

        Args:
            path: of the file, or of the folder it is in.
            clean: whether pictures are brought to 299 px without aliasing, as Clean-FID does
                (arXiv:2104.11222, which avstyle uses), and not as pytorch-fid does.
            device: where Inception shall be.

        Raises:
            ModelError: the file is missing, damaged, or of another network.
        """
        self.network, self.clean = open_inception(path, device), clean
        self.name = "Inception-V3, clean" if clean else "Inception-V3"

    @torch.inference_mode()
    def look(self, pictures: Tensor) -> Sight:
        """As of ``Eye``. Features: (batch, 2048); probabilities: (batch, 1008)."""
        brought = cleanly(pictures) if self.clean else bilinearly(pictures)
        features = self.network.describe(brought.to(self.network.fc.weight.device))
        probabilities = self.network.classify(features).softmax(dim=1)
        return Sight(features=features.cpu(), probabilities=probabilities.cpu())


def bilinearly(pictures: Tensor) -> Tensor:
    """Any size brought to 299 px as pytorch-fid does it: quickly, and aliasing where it shrinks."""
    return F.interpolate(pictures, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)


def cleanly(pictures: Tensor) -> Tensor:
    """Any size brought to 299 px as Clean-FID does it.

    Files of 256 steps are resized by Pillow's bicubic filter, each colour by itself and without
    rounding, and scaled so that 128 becomes 0 and 256 would become 1.
    """
    size = (SIDE_PX, SIDE_PX)
    brought = [
        [
            np.asarray(Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC))
            for colour in np.moveaxis(one, -1, 0).astype(np.float32)
        ]
        for one in in_bytes(pictures)
    ]
    return (torch.from_numpy(np.array(brought)) - 128) / 128


def in_bytes(pictures: Tensor) -> Picture:
    """(batch, 3, h, w) in [-1, 1] as files hold them, (batch, h, w, 3)."""
    return to_uint8(pictures.float().cpu().numpy())


def eyes_at_hand(
    scenes: Sequence[str],
    clip: Path | None = None,
    inception: Path | None = None,
    *,
    clean: bool = False,
    device: str = "cpu",
) -> tuple[list[Eye], list[str]]:
    """The published eyes that can be opened here.

    Args:
        scenes: of the data, in the order of the similarities.
        clip: the folder of CLIP; None = where ``s2s models pull`` puts it.
        inception: the file of Inception-V3, likewise.
        clean: as of ``InceptionsEye``.
        device: where they shall be.

    Returns:
        The eyes, and a sentence for each that is not here, which says how to get it.

    Raises:
        ModelError: one was named by its path, and cannot be opened.
    """
    openings: list[tuple[Path | None, Callable[[], Eye]]] = [
        (clip, lambda: ClipsEye(clip, scenes, device=device)),
        (inception, lambda: InceptionsEye(inception, clean, device)),
    ]
    eyes: list[Eye] = []
    lacking: list[str] = []
    for named, opening in openings:
        try:
            eyes.append(opening())
        except ModelError as fault:
            if named is not None:
                raise
            lacking.append(str(fault))
    return eyes, lacking
