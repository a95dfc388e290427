"""How far a stylizer turns photos into the looks of sounds, and what it keeps (avstyle, section 4).

A judge that saw only photos says which scene a restyled one shows. Structure is what is left of the
photo's drawing, whatever its colours. Both mean little alone, since a photo that stays as it is
keeps all of its structure: so methods are compared at the same change of style.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.mixing import apply_gain_db
from s2s_cli.data.shards import Photos, Sounds, find_shards, load_photos, load_sounds
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.baselines import Labels, adain
from s2s_cli.evaluation.control import Measure, Watch, draw, share, wave_of
from s2s_cli.evaluation.eyes import Eye
from s2s_cli.evaluation.metrics import bootstrap_interval
from s2s_cli.evaluation.openl3 import OpenL3
from s2s_cli.evaluation.published import AVSTYLE, WILD, Published, published
from s2s_cli.evaluation.report import Result
from s2s_cli.evaluation.scene import DRAWS, FOLDS, Impression, results_of
from s2s_cli.networks.flow import Autoencoder, Flow
from s2s_cli.networks.judge import Judge
from s2s_cli.picture.photo import Photo
from s2s_cli.restyling import Restyler
from s2s_cli.training.augmentation import GREY, as_pictures

SOURCES = ("sea", "forest", "mountain", "snow", "city")  # whose photos are restyled
TARGETS = ("rain", "snow", "storm", "fire", "dusk")  # whose looks are wanted
PRINTED = {  # the methods of Table 1, as the paper calls them
    "target": "Target",
    "class prediction": "Class Pred.",
    "AdaIN": "AdaIN",
    "keyword": "Keyword",
    "by its sound": "Ours",
}
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
LOUDER = ("rain", "fire", "snow")  # scenes in which more sound should mean more look
GAIN_DB = 9.0  # up and down from the recording, where louder is compared with quieter
WINDOW_PX, SIGMA_PX = 11, 1.5  # of structure (SSIM)
STRUCTURE_FLOOR = 0.03**2 / 2  # of full scale squared: what is fainter than that is no structure


@dataclass(frozen=True)
class Pair:
    """A photo of one scene that shall take on the look of a sound of another."""

    photo: int  # its number
    sound: int  # its number
    style: int  # number of a training photo that goes with the sound
    scene: str  # of the sound


@dataclass
class Trial:
    """Photos and sounds that a stylizer never met, and everything it is judged by."""

    restyler: Restyler
    judge: Judge
    autoencoder: Autoencoder  # of a model that paints, for AdaIN
    photos: Photos
    sounds: Sounds
    known_photos: Photos  # what could be learned from: for labels and styles
    known_sounds: Sounds
    sources: Sequence[str]  # scenes whose photos are restyled
    targets: Sequence[str]  # scenes whose looks are wanted
    pairs_per_scene: int
    seed: int  # of every choice
    pairs: list[Pair] = field(init=False)

    def __post_init__(self) -> None:
        for what, wanted, there in (
            ("photos", self.sources, self.photos.scenes),
            ("sounds", self.targets, self.sounds.scenes),
            ("training sounds", self.targets, self.known_sounds.scenes),
            ("training photos", self.targets, self.known_photos.scenes),
        ):
            if missing := sorted(set(wanted) - set(there)):
                raise DataError(
                    f"The shards hold no {what} of {', '.join(missing)}: name other scenes."
                )
        if unknown := sorted(set(self.targets) - set(self.judge.config.scenes)):
            raise ModelError(
                f"The judge does not know {', '.join(unknown)}: name other scenes or another judge."
            )
        chance = torch.Generator().manual_seed(self.seed)
        self.pairs = []
        for scene in self.targets:
            sources = numbers(self.photos.scenes, [s for s in self.sources if s != scene])
            sounds = numbers(self.sounds.scenes, [scene])
            styles = numbers(self.known_photos.scenes, [scene])
            if not sources:
                raise DataError(f"Only photos of {scene} itself are there to restyle: name more.")
            for _ in range(self.pairs_per_scene):
                photo, sound, style = (
                    among[draw(1, len(among), chance)[0]] for among in (sources, sounds, styles)
                )
                self.pairs.append(Pair(photo, sound, style, scene))

    @cached_property
    def labels(self) -> Labels:
        """What is heard in the training sounds of each scene."""
        return self.hear_labels(lambda: None)

    def hear_labels(self, watch: Watch) -> Labels:
        """The same, heard anew; ``watch`` is called after each sound."""
        features = []
        for number in range(len(self.known_sounds)):
            (wave,) = self.known_sounds.take([number])
            features.append(self.restyler.feature_of(wave_of(wave)))
            watch()
        return Labels.of(torch.stack(features), self.known_sounds.scenes)

    def feature(self, pair: Pair, gain_db: float = 0.0) -> Tensor:
        """Of the pair's sound, as recorded or louder."""
        prepared = self.restyler.prepared(wave_of(self.sounds.take([pair.sound])[0]))
        return self.restyler.feature_of(apply_gain_db(prepared, gain_db))

    def original(self, pair: Pair) -> Tensor:
        """The pair's photo, (3, px, px) in [-1, 1]."""
        return as_pictures(self.photos.take([pair.photo])[0])

    def restyled(self, pair: Pair, feature: Tensor) -> Tensor:
        """It in the look of a feature, (3, px, px) in [-1, 1]."""
        pixels = self.photos.take([pair.photo])[0].permute(1, 2, 0).numpy()
        photo = Photo(np.ascontiguousarray(pixels), None, None, "", "")
        return as_pictures(torch.from_numpy(self.restyler.restyle(photo, feature)).movedim(2, 0))

    def adain(self, pair: Pair, strength: float = 1.0) -> Tensor:
        """It in the look of a picture that goes with the sound, (3, px, px) in [-1, 1]."""
        device = self.restyler.device  # where all networks are
        style = as_pictures(self.known_photos.take([pair.style])).to(device)
        original = self.original(pair)[None].to(device)
        return adain(self.autoencoder, original, style, strength)[0].cpu()

    def answers(self, pair: Pair) -> dict[str, Tensor]:
        """What each method makes of it, (3, px, px) in [-1, 1] each."""
        feature = self.feature(pair)
        return {
            "by its sound": self.restyled(pair, feature),
            "class prediction": self.restyled(pair, self.labels.class_prediction(feature)),
            "keyword": self.restyled(pair, self.labels.keyword(pair.scene)),
            "AdaIN": self.adain(pair),
        }

    def likely(self, picture: Tensor) -> dict[str, float]:
        """How likely the judge thinks each scene is; all together 1."""
        shares = self.judge(picture[None].to(self.restyler.device))[0].softmax(dim=0)
        return dict(zip(self.judge.config.scenes, shares.tolist(), strict=True))

    def change(self, picture: Tensor, original: Tensor) -> float:
        """How far the judge's description moved: 1 - cosine, from 0 to 2."""
        both = torch.stack([picture, original]).to(self.restyler.device)
        here, there = self.judge.describe(both)
        return 1 - float(F.cosine_similarity(here, there, dim=0))


def open_trial(
    model: str,
    judge: str,
    painter: str,
    data: Path,
    device: str,
    *,
    sources: Sequence[str] = SOURCES,
    targets: Sequence[str] = TARGETS,
    pairs_per_scene: int,
    seed: int,
) -> Trial:
    """A model that restyles, everything that judges it, and the shards of a data folder.

    Raises:
        ModelError: a model cannot be opened, or is for something else.
        DataError: the shards are not there, or lack a scene.
    """
    restyler = Restyler.open(model, device)
    flow = registry.open_model(painter, restyler.device).generator
    if not isinstance(flow, Flow):
        raise ModelError(f"The model '{painter}' has no autoencoder: name another with --painter.")
    hertz = restyler.model.audio_encoder.config.sample_rate
    return Trial(
        restyler=restyler,
        judge=registry.open_judge(judge, restyler.device),
        autoencoder=flow.autoencoder,
        photos=load_photos(find_shards(data, "photos/val-*.tar"), flow.picture_px),
        sounds=load_sounds(find_shards(data, "sounds/val-*.tar"), hertz),
        known_photos=load_photos(find_shards(data, "photos/train-*.tar"), flow.picture_px),
        known_sounds=load_sounds(find_shards(data, "sounds/train-*.tar"), hertz),
        sources=sources,
        targets=targets,
        pairs_per_scene=pairs_per_scene,
        seed=seed,
    )


def numbers(scenes: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Of all items of these scenes."""
    return [number for number, scene in enumerate(scenes) if scene in wanted]


@torch.inference_mode()
def looks(trial: Trial, watch: Watch) -> list[Measure]:
    """How often the judge sees the sound's scene, for each method and each scene (Tables 1, 2).

    How likely it thinks the scene on average tells apart what it sees as another scene alike.
    """
    found: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for pair in trial.pairs:
        pictures = {"the photo itself": trial.original(pair)} | trial.answers(pair)
        for method, picture in pictures.items():
            likely = trial.likely(picture)
            right = max(likely, key=lambda scene: likely[scene]) == pair.scene
            found.setdefault((pair.scene, method), []).append((right, likely[pair.scene]))
        watch()
    methods = list(dict.fromkeys(method for _, method in found))
    measures = []
    for scene in (*trial.targets, "all"):
        for method in methods:
            told = [one for s in trial.targets if scene in (s, "all") for one in found[s, method]]
            seen = share([outcome for outcome, _ in told])
            of = f"{len(told)} photos; {np.mean([likely for _, likely in told]):.3f} likely"
            measures.append(Measure(f"seen as {scene}: {method}", seen, "", of))
    return measures


@torch.inference_mode()
def structure_kept(trial: Trial, watch: Watch) -> list[Measure]:
    """What is left of the drawing, beside AdaIN at the same change of style.

    Both methods are tried at several strengths. That gives each a line of structure over change,
    averaged over all pairs; the lines are read where the weaker of both ends.
    """
    lines: dict[str, list[list[tuple[float, float]]]] = {"by its sound": [], "AdaIN": []}
    for pair in trial.pairs:
        original = trial.original(pair)
        full = trial.restyled(pair, trial.feature(pair))
        for method, line in lines.items():
            tried = [
                trial.adain(pair, strength)
                if method == "AdaIN"
                else torch.lerp(original, full, strength)
                for strength in STRENGTHS
            ]
            line.append([(trial.change(one, original), structure(one, original)) for one in tried])
        watch()
    means = {method: np.mean(line, axis=0) for method, line in lines.items()}
    change = min(line[-1, 0] for line in means.values())
    measures = []
    for method, line in means.items():
        changed, kept = line[-1].tolist()
        at_same = structure_at(line, change)
        measures += [
            Measure(f"structure kept: {method}", kept, "", f"changed by {changed:.2f}"),
            Measure("  at the same change", at_same, "", f"changed by {change:.2f}"),
        ]
    return measures


def structure_at(line: NDArray[np.float64], change: float) -> float:
    """Where a line of change and structure, (strengths, 2), is at some change.

    It begins at the photo itself, which has changed by nothing and keeps everything.
    """
    changes, kept = np.concatenate([[[0.0, 1.0]], line]).T
    return float(np.interp(change, changes, kept))


@torch.inference_mode()
def louder_is_further(trial: Trial, watch: Watch) -> list[Measure]:
    """Whether a louder sound moves a photo further from itself than the same sound quieter."""
    measures = []
    for scene in (scene for scene in trial.targets if scene in LOUDER):
        further, distances = [], []
        for pair in (pair for pair in trial.pairs if pair.scene == scene):
            original = trial.original(pair)
            quiet, loud = (
                float((trial.restyled(pair, trial.feature(pair, gain)) - original).abs().mean())
                for gain in (-GAIN_DB, GAIN_DB)
            )
            further.append(loud > quiet)
            distances.append((loud - quiet) * 127.5)
            watch()
        measures.append(
            Measure(
                f"louder {scene} moves a photo further",
                share(further),
                "",
                f"{len(further)} photos, {GAIN_DB:+g} beside {-GAIN_DB:+g} dB; "
                f"by {np.median(distances):.1f}/255 at the median",
            )
        )
    return measures


@torch.inference_mode()
def compared(
    trial: Trial, eyes: Sequence[Eye], openl3: OpenL3 | None, watch: Watch
) -> dict[str, list[Result]]:
    """Table 1 of avstyle: each method's numbers by every network that is at hand.

    Sets of pictures are compared with training photos of the scenes that were heard. "target" are
    validation photos of these scenes, as far as there are any.

    Args:
        trial: what is tried.
        eyes: made for the trial's targets, in their order.
        openl3: for the correspondence of sounds and pictures (AVC); None = it is not here.
        watch: called after each pair.
    """
    scenes, chance = tuple(trial.targets), torch.Generator().manual_seed(trial.seed)
    labels = torch.tensor([scenes.index(pair.scene) for pair in trial.pairs])
    groups = [pair.sound for pair in trial.pairs]
    known = [Impression(eye) for eye in eyes]
    seen: dict[str, list[Impression]] = {}
    corresponds: dict[str, list[float]] = {}
    for pair, label in zip(trial.pairs, labels, strict=True):
        place = torch.tensor([pair.sound % FOLDS])
        pictures = trial.answers(pair)
        targets = numbers(trial.photos.scenes, [pair.scene])
        if targets:
            (one,) = draw(1, len(targets), chance)
            pictures = {"target": as_pictures(trial.photos.take([targets[one]])[0])} | pictures
        heard = None
        if openl3 is not None:
            wave = wave_of(trial.sounds.take([pair.sound])[0])
            heard = openl3.hear(wave, trial.sounds.sample_rate)
        for impression in known:
            style = as_pictures(trial.known_photos.take([pair.style]))
            impression.look(style, place, label[None])
        for name, picture in pictures.items():
            for impression in seen.setdefault(name, [Impression(eye) for eye in eyes]):
                impression.look(picture[None], place, label[None])
            if openl3 is not None and heard is not None:
                cosine = F.cosine_similarity(heard, openl3.see(picture), dim=0)
                corresponds.setdefault(name, []).append(float(cosine))
        watch()
    rows = {}
    for name, impressions in seen.items():
        if len(impressions[0].similarities) < len(labels):
            continue  # of some scenes there are no target photos
        results = []
        for impression, reference in zip(impressions, known, strict=True):
            results += list(results_of(impression, reference, labels, groups, name))
            if impression.similarities and not impression.probabilities:
                alike = torch.cat(impression.similarities).gather(1, labels[:, None])[:, 0]
                results.append(scored("CLIP", alike.double(), impression.eye.name, groups))
        if name in corresponds:
            cosines = torch.tensor(corresponds[name], dtype=torch.float64)
            results.append(scored("AVC", cosines, OpenL3.name, groups))
        rows[name] = [replace(one, published=in_paper(name, one.name)) for one in results]
    return rows


def scored(name: str, values: Tensor, network: str, groups: Sequence[int]) -> Result:
    """The mean of a number of each picture, and its interval over sounds."""
    interval = bootstrap_interval(values, groups=groups, draws=DRAWS)
    return Result(name, float(values.mean()), "", f"{len(values)} pictures", interval, network)


def in_paper(method: str, column: str) -> Published | None:
    """The number of Table 1 that stands in this place, if one does."""
    try:
        return published(AVSTYLE, "Table 1", PRINTED[method], column, WILD)
    except LookupError:
        return None


def structure(pictures: Tensor, originals: Tensor) -> float:
    """How alike two pictures are drawn, whatever their light and contrast, from -1 to 1.

    That is the structure term of SSIM (Wang et al. 2004, Eq. 10) on luma: the correlation within a
    Gaussian window around each pixel, averaged over all.

    pictures, originals: (3, h, w) in [-1, 1], sides of at least 11.
    """
    weights = pictures.new_tensor(GREY)[:, None, None]
    x, y = (((p + 1) / 2 * weights).sum(dim=0) for p in (pictures, originals))
    place = torch.arange(WINDOW_PX, device=x.device) - WINDOW_PX // 2
    bell = torch.softmax(-(place**2) / (2 * SIGMA_PX**2), dim=0)
    window = (bell[:, None] * bell)[None, None]

    def around(values: Tensor) -> Tensor:
        return F.conv2d(values[None, None], window)[0, 0]

    mean_x, mean_y = around(x), around(y)
    covariance = around(x * y) - mean_x * mean_y
    variance_x = (around(x * x) - mean_x**2).clamp(min=0)
    variance_y = (around(y * y) - mean_y**2).clamp(min=0)
    alike = (covariance + STRUCTURE_FLOOR) / ((variance_x * variance_y).sqrt() + STRUCTURE_FLOOR)
    return float(alike.mean())
