"""How good the pictures of sounds are: Tables 1 and 2 of Sound2Scene for any model on any data.

A row of the table is a way to answer sounds with pictures, a column is a number and the network
that it was made with. All ways answer the same sounds equally often, so that none is favoured by
how many pictures it shows: Fréchet distances are larger where pictures are few.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

import torch
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.sound import Wave
from s2s_cli.chance import Chance
from s2s_cli.data.pairs import Pairing, PairsBy, scene_numbers
from s2s_cli.data.shards import (
    PHOTO_SUFFIXES,
    Photos,
    Sounds,
    find_shards,
    load_photos,
    load_sounds,
    members_of,
    scenes_of,
)
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.control import wave_of
from s2s_cli.evaluation.eyes import Eye
from s2s_cli.evaluation.judging import confusion_of
from s2s_cli.evaluation.metrics import (
    LEVEL,
    Interval,
    Moments,
    bootstrap_interval,
    found_within,
    frechet_distance,
    inception_score,
)
from s2s_cli.evaluation.published import SOUND2SCENE, VGGSOUND, Published, published
from s2s_cli.evaluation.report import Result
from s2s_cli.latents import unit
from s2s_cli.picture.image import Picture, to_uint8
from s2s_cli.picture.sheet import table
from s2s_cli.studio import Studio
from s2s_cli.training.augmentation import as_pictures
from s2s_cli.training.steps import encode_photos

BATCH = 32  # pictures that are looked at together
FOLDS = 10  # parts of the sounds, each of which is left out once to see how sure a distance is
DRAWS = 400  # of bootstraps
CELL_PX = 160  # of a picture on the page

IMAGE, SOUND, RETRIEVAL, REAL = "(A) image", "(B) sound", "(C) retrieval", "(D) real photos"
ROWS = {  # of Table 1, as the paper calls them
    IMAGE: "(A) ICGAN",
    SOUND: "(B) Ours",
    RETRIEVAL: "(C) Retrieval",
    REAL: "(D) Upper bound",
}

Item = tuple[int, int]  # the number of a sound, and a seed
Answer = Callable[[Item], Tensor]  # a picture (1, 3, h, w) in [-1, 1]
Watch = Callable[[], None]  # called after each picture


@dataclass
class Exam:
    """The sounds that are to be answered, and the photos that go with them."""

    studio: Studio  # of the model that is measured
    sounds: Sounds
    photos: Photos  # that go with these sounds
    known_photos: Photos  # that may be learned from
    known_bytes: Sequence[int]  # the size of each of their files
    seeds: int  # pictures of each sound
    seed: int  # the first of them, and of every draw
    pairs_by: PairsBy = "scene"
    items: list[Item] = field(init=False)

    def __post_init__(self) -> None:
        if self.studio.model.image_encoder is None:
            raise ModelError(
                f"The model '{self.studio.model.name}' has no image encoder, which (A) and (C) of "
                "the table ask for: name another with --model."
            )
        pairing = Pairing(self.sounds.keys, self.photos.keys, self.pairs_by)
        numbers = (~pairing.alone).nonzero()[:, 0]
        if not len(numbers):
            raise DataError(
                "No sound of the validation shards has a photo: see --pairs-by, or make them again."
            )
        seeds = range(self.seed, self.seed + self.seeds)
        self.items = [(number, seed) for number in numbers.tolist() for seed in seeds]
        several = numbers.repeat_interleave(self.seeds)
        drawn = pairing.partners(several, Chance(f"partners/{self.seed}"))
        self._photo_of = dict(zip(self.items, drawn.tolist(), strict=True))
        self._heard: dict[int, Tensor] = {}

    @cached_property
    def scenes(self) -> tuple[str, ...]:
        """Of the sounds that are answered, in alphabetical order."""
        return tuple(sorted({self.scene_of(item) for item in self.items}))

    @property
    def labels(self) -> Tensor:
        """The scene of each item, as its place in ``scenes``, (items,)."""
        return scene_numbers([self.scene_of(item) for item in self.items], self.scenes)

    def scene_of(self, item: Item) -> str:
        """Of its sound."""
        return scenes_of([self.sounds.keys[item[0]]])[0]

    @property
    def answers(self) -> dict[str, Answer]:
        """The rows of Table 1."""
        return {
            IMAGE: self.by_image,
            SOUND: self.by_sound,
            RETRIEVAL: self.by_retrieval,
            REAL: self.photo,
        }

    def by_image(self, item: Item) -> Tensor:
        """What the generator paints of a photo that goes with the sound, as ICGAN does."""
        assert self.studio.model.image_encoder is not None
        with torch.inference_mode():
            seen = self.studio.model.image_encoder(self.photo(item).to(self.studio.device))
        return painted(self.studio, seen[0], item[1])

    def by_sound(self, item: Item) -> Tensor:
        """What the model paints of the sound."""
        return painted(self.studio, self.heard(item), item[1])

    def by_model(self, studio: Studio) -> Answer:
        """What another model paints of the sound."""

        def answer(item: Item) -> Tensor:
            return painted(studio, studio.feature_of(self.wave(item)), item[1])

        return answer

    def by_retrieval(self, item: Item) -> Tensor:
        """The remembered photo that is nearest to what is heard; for further seeds the next."""
        kept, features = self.memory
        cosines = features @ unit(self.heard(item)).to(features.device)
        near = int(cosines.argsort(descending=True)[(item[1] - self.seed) % len(kept)])
        return as_pictures(self.known_photos.take([kept[near]]))

    def photo(self, item: Item) -> Tensor:
        """A real photo that goes with the sound."""
        return as_pictures(self.photos.take([self._photo_of[item]]))

    def wave(self, item: Item) -> Wave:
        """Of its sound, in full scale."""
        return wave_of(self.sounds.take([item[0]])[0])

    def heard(self, item: Item) -> Tensor:
        """What the measured model hears, (features,)."""
        if item[0] not in self._heard:
            self._heard[item[0]] = self.studio.feature_of(self.wave(item))
        return self._heard[item[0]]

    @cached_property
    def memory(self) -> tuple[list[int], Tensor]:
        """Known photos, as many as take the room of the generator's weights.

        Their numbers, and what the model sees in them, (photos, features), of length 1.
        """
        room = (self.studio.model.path / registry.GENERATOR).stat().st_size
        chance = Chance(f"memory/{self.seed}")
        kept: list[int] = []
        for number in torch.randperm(len(self.known_photos), generator=chance.shared).tolist():
            room -= self.known_bytes[number]
            if kept and room < 0:
                break
            kept.append(number)
        few = Photos(
            [self.known_photos.keys[number] for number in kept],
            self.known_photos.side_px,
            lambda place: self.known_photos.take([kept[place]])[0],
            memory_gb=0,
        )
        assert self.studio.model.image_encoder is not None
        return kept, unit(encode_photos(self.studio.model.image_encoder, few))

    def reference(self) -> Iterator[Tensor]:
        """Known photos with which sets of pictures are compared: of each scene as many as items.

        Where the known photos lack a scene, any of them stand in for its own.
        """
        chance = Chance(f"reference/{self.seed}")
        known = scene_numbers(self.known_photos.scenes, self.scenes)
        for scene, count in enumerate(self.labels.bincount(minlength=len(self.scenes)).tolist()):
            own = (known == scene).nonzero()[:, 0]
            if not len(own):
                own = torch.arange(len(known))
            order = own[torch.randperm(len(own), generator=chance.shared)]
            for number in order.repeat(-(-count // len(own)))[:count].tolist():
                yield as_pictures(self.known_photos.take([number]))


def open_exam(
    model: str, data: Path, device: str, *, seeds: int, seed: int, pairs_by: PairsBy = "scene"
) -> Exam:
    """A model and the shards of a data folder, to validate with and to learn from.

    Raises:
        ModelError: the model cannot be opened, or has no image encoder.
        DataError: the shards are not there, or no sound of them has a photo.
    """
    studio = Studio.open(model, device)
    side_px = studio.model.generator.picture_px
    known = find_shards(data, "photos/train-*.tar")
    hertz = studio.model.audio_encoder.config.sample_rate
    return Exam(
        studio=studio,
        sounds=load_sounds(find_shards(data, "sounds/val-*.tar"), hertz),
        photos=load_photos(find_shards(data, "photos/val-*.tar"), side_px),
        known_photos=load_photos(known, side_px),
        known_bytes=[member.size for member in members_of(known, PHOTO_SUFFIXES)],
        seeds=seeds,
        seed=seed,
        pairs_by=pairs_by,
    )


def painted(studio: Studio, feature: Tensor, seed: int) -> Tensor:
    """A picture, as a file of it would hold it."""
    return studio.as_tensor(studio.paint(feature, seed)).cpu()


class Within:
    """How far features of one scene lie from their mean, over all scenes, added up as they come."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, Tensor, float]] = {}  # by scene: count, sum, squares

    def update(self, features: Tensor, labels: Tensor) -> None:
        """More of them: (batch, dim), and their scenes (batch,)."""
        wide = features.double()
        for scene in labels.unique().tolist():
            own = wide[labels == scene]
            count, total, squares = self._sums.get(scene, (0, torch.zeros(wide.shape[1]), 0.0))
            squares += float(own.square().sum())
            self._sums[scene] = count + len(own), total + own.sum(dim=0), squares

    @property
    def deviation(self) -> float:
        """Root of the mean squared distance from the scene's mean."""
        counts = sum(count for count, _, _ in self._sums.values())
        scatter = sum(
            squares - float(total.square().sum()) / count
            for count, total, squares in self._sums.values()
        )
        return float(max(0.0, scatter / counts) ** 0.5)


@dataclass
class Impression:
    """What one network saw in the pictures of one row, in bounded memory but for a few numbers."""

    eye: Eye
    similarities: list[Tensor] = field(default_factory=list)  # (batch, scenes)
    probabilities: list[Tensor] = field(default_factory=list)  # (batch, classes)
    folds: list[Moments] = field(default_factory=list)  # of the features, a fold of sounds each
    within: Within = field(default_factory=Within)  # of the features

    def look(self, pictures: Tensor, folds: Tensor, labels: Tensor) -> None:
        """At a batch, of whose pictures fold and scene are known, (batch,) each."""
        sight = self.eye.look(pictures)
        if sight.similarities is not None:
            self.similarities.append(sight.similarities)
        if sight.probabilities is not None:
            self.probabilities.append(sight.probabilities)
        if sight.features is not None:
            if not self.folds:
                self.folds = [Moments.none(sight.features.shape[1]) for _ in range(FOLDS)]
            for fold in folds.unique().tolist():
                self.folds[fold].update(sight.features[folds == fold])
            self.within.update(sight.features, labels)

    def moments(self, without: int | None = None) -> Moments:
        """Of all features, or of those outside one fold."""
        whole = Moments.none(len(self.folds[0].mean))
        for number, fold in enumerate(self.folds):
            if number != without:
                whole.merge(fold)
        return whole


def impressions(
    eyes: Sequence[Eye],
    pictures: Iterable[Tensor],
    folds: Tensor,
    labels: Tensor,
    watch: Watch,
) -> list[Impression]:
    """Show pictures, each (1, 3, h, w) and of one size, to every eye, a batch at a time.

    folds, labels: (pictures,), which fold and which scene each is of.
    """
    seen = [Impression(eye) for eye in eyes]
    coming = iter(pictures)
    for some, scenes in zip(folds.split(BATCH), labels.split(BATCH), strict=True):
        batch = []
        for _ in some:
            batch.append(next(coming))
            watch()
        for impression in seen:
            impression.look(torch.cat(batch), some, scenes)
    return seen


@dataclass
class Outcome:
    """Each row's numbers, and what the measured model's pictures were seen as."""

    scenes: tuple[str, ...]
    rows: dict[str, list[Result]] = field(default_factory=dict)
    by_scene: dict[str, list[Result]] = field(default_factory=dict)  # by network: R@1 of (B)
    confusion: dict[str, Tensor] = field(
        default_factory=dict
    )  # by network: (scenes, scenes) of (B)


def answered(
    exam: Exam,
    eyes: Sequence[Eye],
    others: Mapping[str, Studio],
    watch: Watch,
) -> Outcome:
    """Table 1 of Sound2Scene, and a row for each other model, as the ablations of Table 2.

    Args:
        exam: what is asked.
        eyes: made for the scenes of ``exam``, in their order.
        others: models, by the name of their row.
        watch: called after each of ``pictures_of`` pictures.
    """
    groups = [number for number, _ in exam.items]
    places = {number: place for place, number in enumerate(dict.fromkeys(groups))}
    folds = torch.tensor([places[number] % FOLDS for number in groups])
    labels = exam.labels
    # Of the reference there is as much of each scene, but not in this order.
    known = impressions(eyes, exam.reference(), folds, labels.sort().values, watch)
    told = Outcome(exam.scenes)
    answers = exam.answers | {name: exam.by_model(studio) for name, studio in others.items()}
    for name, answer in answers.items():
        seen = impressions(eyes, map(answer, exam.items), folds, labels, watch)
        told.rows[name] = [
            result
            for impression, reference in zip(seen, known, strict=True)
            for result in results_of(impression, reference, labels, groups, name)
        ]
        if name == SOUND:
            for impression in seen:
                if impression.similarities:
                    tell_scenes(told, impression, labels)
    return told


def pictures_of(exam: Exam, others: int) -> int:
    """How many a table looks at."""
    return len(exam.items) * (1 + len(exam.answers) + others)


def results_of(
    seen: Impression, known: Impression, labels: Tensor, groups: Sequence[int], row: str
) -> Iterator[Result]:
    """A row's numbers by one network. R@k in %, as in the paper.

    Args:
        seen: the row's pictures.
        known: the reference.
        labels: of the pictures, (items,).
        groups: of each picture, its sound: pictures of one are alike.
        row: its name.
    """
    of = f"{len(labels)} pictures"
    network = seen.eye.name
    if seen.similarities:
        similarities = torch.cat(seen.similarities)
        for k in (1, 5):
            if k < similarities.shape[1]:
                found = 100 * found_within(similarities, labels, k).double()
                yield Result(
                    f"R@{k}", float(found.mean()), "%", of,
                    bootstrap_interval(found, groups=groups, draws=DRAWS),
                    network, printed_in_paper(row, f"R@{k}"),
                )  # fmt: skip
    # Similarities alone are retrieval, as CLIP does it; who also knows classes compares sets.
    if seen.folds and seen.probabilities:
        distance, interval = distance_of(seen, known)
        yield Result("FID", distance, "", of, interval, network, printed_in_paper(row, "FID"))
        if known.within.deviation:  # else the reference is one photo again and again
            variety = 100 * seen.within.deviation / known.within.deviation
            yield Result("variety", variety, "%", "of known photos', within scenes", None, network)
    if seen.probabilities:
        probabilities = torch.cat(seen.probabilities)

        def score(some: Tensor) -> float:
            return inception_score(some, splits=1).mean

        interval = bootstrap_interval(probabilities, score, groups=groups, draws=DRAWS)
        published_score = printed_in_paper(row, "IS")
        yield Result("IS", score(probabilities), "", of, interval, network, published_score)


def distance_of(seen: Impression, known: Impression) -> tuple[float, Interval]:
    """Fréchet distance, and its interval by the jackknife over folds of sounds (Efron 1982).

    A bootstrap would show each picture several times, which makes sets look smaller than they are.
    """
    distance = frechet_distance(known.moments(), seen.moments())
    filled = [number for number, fold in enumerate(seen.folds) if fold.count]
    without = [
        frechet_distance(known.moments(number), seen.moments(number))
        for number in filled
        if min(known.moments(number).count, seen.moments(number).count) > 1
    ]
    if len(without) < 2:
        return distance, Interval(float("nan"), float("nan"))
    left = torch.tensor(without, dtype=torch.float64)
    variance = (len(left) - 1) / len(left) * (left - left.mean()).square().sum()
    reach = NormalDist().inv_cdf(0.5 + LEVEL / 2) * float(variance.sqrt())
    return distance, Interval(max(0.0, distance - reach), distance + reach)


def printed_in_paper(row: str, column: str) -> Published | None:
    """The number of Table 1 that stands in this place, if one does."""
    try:
        return published(SOUND2SCENE, "Table 1 (a)", ROWS[row], column, VGGSOUND)
    except LookupError:
        return None


def tell_scenes(told: Outcome, seen: Impression, labels: Tensor) -> None:
    """How each scene fares by itself, and what it was seen as."""
    similarities = torch.cat(seen.similarities)
    confusion = confusion_of(labels, similarities.argmax(dim=1), len(told.scenes))
    told.confusion[seen.eye.name] = confusion
    found = 100 * found_within(similarities, labels, 1).double()
    told.by_scene[seen.eye.name] = [
        Result(f"R@1 of {scene}", float(found[labels == place].mean()), "%",
               f"{int((labels == place).sum())} pictures", network=seen.eye.name)
        for place, scene in enumerate(told.scenes)
    ]  # fmt: skip


def shown(exam: Exam) -> Picture:
    """A page to look at: a sound of each scene, and how each row of Table 1 answers it."""
    first = {exam.scene_of(item): item for item in reversed(exam.items)}
    rows = [
        [to_uint8(answer(first[scene])[0].numpy()) for scene in exam.scenes]
        for answer in exam.answers.values()
    ]
    return table(rows, list(exam.answers), exam.scenes, cell_px=CELL_PX)
