"""How well sounds steer pictures: volume, mixture, passage and edit (Sound2Scene, section 5).

Everything is judged in the model's own feature space, by its own encoders: the numbers say whether
the handles turn what they claim to turn, and not how good the pictures are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

import numpy as np
import torch
from torch import Tensor

from s2s_cli.audio.mixing import apply_gain_db, level_db
from s2s_cli.audio.sound import Sound, Wave
from s2s_cli.choices import Space
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError
from s2s_cli.latents import angle_degrees, unit
from s2s_cli.picture.photo import Photo
from s2s_cli.studio import Heard, Look, Seen, Studio
from s2s_cli.walks import Mixture, Passage, Volume, Walk, evenly, waves_of

GAINS_DB = tuple(evenly(-24, 12, 7))
PASSAGE = tuple(evenly(0, 1, 5))
EQUAL_DB = -26.0  # the level at which sounds are mixed, so that neither drowns the other
VISIBLE = 4.0  # of 255, the mean over all pixels: a smaller change is not noticed side by side

Watch = Callable[[], None]  # called after each item


@dataclass(frozen=True)
class Measure:
    """One number, and what it is of."""

    name: str
    value: float
    unit: str  # "" for shares between 0 and 1
    of: str  # how many of what


@dataclass
class Examples:
    """Sounds and photos of known scenes, as a studio perceives them."""

    studio: Studio
    sounds: Sounds
    photos: Photos
    per_scene: int  # how many photos of each scene are inverted
    seed: int  # of every choice
    heard: list[Heard] = field(init=False)
    scenes: list[str] = field(init=False)  # that both sounds and photos have

    def __post_init__(self) -> None:
        self.scenes = sorted(set(self.sounds.scenes) & set(self.photos.scenes))
        lonely = [name for name in self.scenes if self.photos.scenes.count(name) < 2]
        if lonely:
            raise DataError(
                f"The scene '{lonely[0]}' has a single photo: at least 2 are needed to find one "
                "again among others."
            )
        if len(self.scenes) < 3:
            raise DataError(
                f"The data has {len(self.scenes)} scenes with both sounds and photos: "
                "at least 3 are needed to tell near from far."
            )
        self.heard = [
            Heard(
                self.studio,
                key,
                as_sound(wave_of(wave), self.sounds, key),
            )
            for key, wave in zip(self.sounds.keys, self.sounds.waves, strict=True)
        ]

    def centres(self, features: Tensor, scenes: Sequence[str]) -> Tensor:
        """The mean unit feature of each scene, (scenes, features), of unit length."""
        rows = [[s == name for s in scenes] for name in self.scenes]
        return unit(torch.stack([unit(features)[torch.tensor(row)].mean(dim=0) for row in rows]))


def draw(count: int, below: int, chance: torch.Generator) -> list[int]:
    """So many different numbers below a bound, or all of them if there are fewer."""
    chosen: list[int] = torch.randperm(below, generator=chance)[:count].tolist()
    return chosen


def wave_of(kept: Tensor) -> Wave:
    """A wave as a shard keeps it, in full scale."""
    wave: Wave = (kept.float() / 32_768).numpy()
    return wave


def as_sound(wave: Wave, sounds: Sounds, key: str) -> Sound:
    """A wave of a shard as if it had been read from a file."""
    return Sound(wave, sounds.sample_rate, key, "", 0.0, None, ())


def volume(examples: Examples, watch: Watch) -> list[Measure]:
    """Whether louder is further, step by step, along the way from a sound quiet to the sound loud.

    Each sound is heard at ``GAINS_DB``. It counts as monotonic if its feature's projection on
    loud - quiet grows at every step.
    """
    plan = Volume(from_db=GAINS_DB[0], to_db=GAINS_DB[-1])
    monotonic, degrees, changes = [], [], []
    for heard in examples.heard:
        features = unit(torch.stack([plan.feature([heard], gain) for gain in GAINS_DB]))
        along = features @ unit(features[-1] - features[0])
        monotonic.append(rises(along.tolist()))
        degrees.append(angle_degrees(features[0], features[-1]))
        walk = Walk(plan, (heard,), seed=0, look=Look())
        quiet, loud = (walk.paint(at).astype(float) for at in (GAINS_DB[0], GAINS_DB[-1]))
        changes.append(float(np.abs(loud - quiet).mean()))
        watch()
    of = f"{len(monotonic)} sounds at {', '.join(f'{gain:+g}' for gain in GAINS_DB)} dB"
    return [
        Measure("volume moves the feature one way", share(monotonic), "", of),
        Measure("volume, from end to end", median(degrees), "degrees", "median"),
        Measure(
            "volume changes the picture visibly",
            share([change >= VISIBLE for change in changes]),
            "",
            f"mean change of {VISIBLE:g}/255 or more; median {median(changes):.1f}",
        ),
    ]


def mixture(examples: Examples, pairs: int, watch: Watch) -> list[Measure]:
    """Whether a mixture of two scenes is nearer to both of its sounds than to the other scenes.

    Nearer than to the other scenes on average is the weaker claim, nearer than to every one of them
    the stronger; what the stronger is worth shows beside features that are mixed instead of waves.
    The sounds are brought to one level and mixed half and half; a scene is the mean unit feature of
    its sounds.
    """
    chance = torch.Generator().manual_seed(examples.seed)
    features = torch.stack([heard.feature for heard in examples.heard])
    centres = examples.centres(features, examples.sounds.scenes)
    by_scene = {
        name: [k for k, scene in enumerate(examples.sounds.scenes) if scene == name]
        for name in examples.scenes
    }
    than_average, than_any, latent_than_any = [], [], []
    for _ in range(pairs):
        names = [examples.scenes[k] for k in draw(2, len(examples.scenes), chance)]
        ends = [
            levelled(examples.heard[by_scene[name][draw(1, len(by_scene[name]), chance)[0]]])
            for name in names
        ]
        own = unit(torch.stack([end.feature for end in ends]))
        others = centres[[k for k, name in enumerate(examples.scenes) if name not in names]]
        mixed = unit(Mixture().feature(ends, 0.5))
        farther, elsewhere = float((own @ mixed).min()), others @ mixed
        than_average.append(farther > float(elsewhere.mean()))
        than_any.append(farther > float(elsewhere.max()))
        latent = unit(Mixture(space=Space.LATENT).feature(ends, 0.5))
        latent_than_any.append(float((own @ latent).min()) > float((others @ latent).max()))
        watch()
    of = f"{pairs} pairs at one level"
    return [
        Measure(
            "a mixture is nearer to both its sounds than to the others", share(than_average), "", of
        ),
        Measure("  than to every single other scene", share(than_any), "", "the same pairs"),
        Measure("  the same, with features mixed", share(latent_than_any), "", "the same pairs"),
    ]


def passage(examples: Examples, pairs: int, watch: Watch) -> list[Measure]:
    """Whether pictures on the way from a photo to a sound look ever more like the sound's picture.

    Judged by the image encoder on the pictures painted.
    """
    studio, plan, monotonic = examples.studio, Passage(), []
    chance = torch.Generator().manual_seed(examples.seed)
    for _ in range(pairs):
        (photo,) = draw(1, len(examples.photos.keys), chance)
        (sound,) = draw(1, len(examples.heard), chance)
        ends = (as_seen(examples, photo), examples.heard[sound])
        walk = Walk(plan, ends, seed=0, look=Look())
        looked = [studio.feature_of_picture(walk.paint(at)) for at in PASSAGE]
        seen = unit(torch.stack(looked))
        monotonic.append(rises((seen @ unit(seen[-1] - seen[0])).tolist()))
        watch()
    of = f"{pairs} photos to sounds, {len(PASSAGE)} pictures each"
    return [Measure("pictures of a passage change one way", share(monotonic), "", of)]


def inversion(examples: Examples, search_steps: int, watch: Watch) -> list[Measure]:
    """How much of a photo is found again, and whether it still shows its scene.

    A scene is the mean feature of the photos that are not inverted.
    """
    studio, photos = examples.studio, examples.photos
    chance = torch.Generator().manual_seed(examples.seed)
    chosen: list[int] = []
    for name in examples.scenes:
        own = [k for k, scene in enumerate(photos.scenes) if scene == name]
        chosen += [own[k] for k in draw(min(examples.per_scene, len(own) - 1), len(own), chance)]
    rest = sorted(set(range(len(photos.keys))) - set(chosen))
    features = torch.stack([as_seen(examples, k).feature for k in rest])
    centres = examples.centres(features, [photos.scenes[k] for k in rest])

    def nearest(feature: Tensor) -> str:
        return examples.scenes[int((centres @ unit(feature)).argmax())]

    psnr, survives, told = [], [], []
    for k in chosen:
        seen = as_seen(examples, k)
        found = studio.invert(seen, search_steps)
        psnr.append(found.psnr_db)
        survives.append(nearest(studio.feature_of_picture(found.painted)) == photos.scenes[k])
        told.append(nearest(seen.feature) == photos.scenes[k])
        watch()
    of = f"{len(chosen)} photos"
    return [
        Measure("a photo found again, median PSNR", median(psnr), "dB", of),
        Measure("its scene survives", share(survives), "", of),
        Measure("the photo itself is seen as its scene", share(told), "", of),
    ]


def as_seen(examples: Examples, number: int) -> Seen:
    """A photo of a shard as if it had been read from a file."""
    pixels = examples.photos.take([number])[0].permute(1, 2, 0).numpy()
    photo = Photo(pixels, None, None, examples.photos.keys[number], "")
    return Seen(examples.studio, photo.name, photo)


def levelled(heard: Heard) -> Heard:
    """The sound at ``EQUAL_DB`` of full scale, root mean square."""
    (wave,) = waves_of([heard])
    louder = apply_gain_db(wave, EQUAL_DB - level_db(wave))
    sound = replace(heard.sound, wave=louder)
    return replace(heard, sound=sound)


def rises(values: Sequence[float]) -> bool:
    """Whether each value is greater than the one before."""
    return all(after > before for before, after in pairwise(values))


def share(outcomes: Sequence[bool]) -> float:
    """How many of all, 0 to 1."""
    return sum(outcomes) / len(outcomes)
