"""Feature matrices -> numbers: how alike sets of pictures are, and how well they are found again.

Pure arithmetic: nothing here knows a network, though every number means something only together
with the one whose features it was made of. All of it is computed in float64 on the CPU, so that it
is the same on every device. Two sets are compared as sets: the order of items changes nothing, but
where items are drawn or dealt out, and there the seed says how.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

LEVEL = 0.95  # of intervals: how often they should hold the truth
BLOCK = 1024  # rows of a matrix of all pairs that are held at once


class Interval(NamedTuple):
    """Where the truth lies with a probability that was asked for."""

    low: float
    high: float


class Spread(NamedTuple):
    """What several parts of the data say."""

    mean: float
    std: float  # population standard deviation over the parts; not how far the mean is off


@dataclass
class Moments:
    """Count, mean and scatter of features: all that a Fréchet distance needs to know of a set.

    They grow batch by batch, so that any number of pictures takes the memory of one batch.
    """

    count: int
    mean: Tensor  # (dim,)
    scatter: Tensor  # (dim, dim): sum of outer products of deviations from the mean

    @classmethod
    def none(cls, dim: int) -> "Moments":
        """Of no feature at all."""
        return cls(
            0,
            torch.zeros(dim, dtype=torch.float64),
            torch.zeros(dim, dim, dtype=torch.float64),
        )

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Of one batch, (items, dim)."""
        features = wide(features)
        if not len(features):
            return cls.none(features.shape[1])
        mean = features.mean(dim=0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    def update(self, features: Tensor) -> None:
        """More features, (items, dim)."""
        self.merge(Moments.of(features))

    def merge(self, other: "Moments") -> None:
        """What another process saw; by Chan's formula, which loses no digits to large means."""
        if other.mean.shape != self.mean.shape:
            raise ValueError(f"expected {len(self.mean)} numbers a feature, got {len(other.mean)}")
        if not other.count:
            return
        count = self.count + other.count
        apart = other.mean - self.mean
        self.scatter = (
            self.scatter
            + other.scatter
            + torch.outer(apart, apart) * (self.count * other.count / count)
        )
        self.mean = self.mean + apart * (other.count / count)
        self.count = count

    @property
    def covariance(self) -> Tensor:
        """(dim, dim), unbiased.

        Raises:
            ValueError: there are fewer than 2 items.
        """
        if self.count < 2:
            raise ValueError(f"expected at least 2 items, got {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(real: Tensor | Moments, fake: Tensor | Moments) -> float:
    """Fréchet distance of two sets as if they were Gaussian (FID of arXiv:1706.08500); 0 = alike.

    Args:
        real, fake: features (items, dim) of at least 2 items each, or their moments. With fewer
            items than dimensions it works too, but is biased upwards the more, the fewer they are:
            compare only numbers from equally many pictures.
    """
    one, other = (s if isinstance(s, Moments) else Moments.of(s) for s in (real, fake))
    if one.mean.shape != other.mean.shape:
        raise ValueError(f"expected as many numbers, got {len(one.mean)} and {len(other.mean)}")
    covariances = one.covariance, other.covariance
    # The eigenvalues of sqrt(A) B sqrt(A) are the squares of the singular values of
    # sqrt(A) sqrt(B). The latter are taken, since a root makes 1e-8 of a rounding error of 1e-16,
    # and where items are few, nearly all eigenvalues are such errors.
    shared = torch.linalg.svdvals(root_of(covariances[0]) @ root_of(covariances[1])).sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * shared
    return max(0.0, float((one.mean - other.mean).square().sum() + spread))


def root_of(matrix: Tensor) -> Tensor:
    """The symmetric square root of a covariance, (dim, dim); singular ones have one too."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # zeros come as -1e-16
    return root


def squared_mmd(real: Tensor, fake: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / dim + 1)^3, of whole sets.

    That is KID (arXiv:1801.01401) without its subsets. It is 0 on average for sets of the same
    distribution however few they are, and so below 0 about as often as above.

    real, fake: (items, dim), at least 2 items each.
    """
    real, fake = wide(real), wide(fake)
    if min(len(real), len(fake)) < 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"expected two (items >= 2, dim), got {tuple(real.shape)} and {tuple(fake.shape)}"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> float:
        """Mean over pairs of different items."""
        total = sum(float(kernel(rows, x).sum()) for rows in x.split(BLOCK))
        own = float(((x.square().sum(dim=1) / x.shape[1] + 1) ** 3).sum())
        return (total - own) / (len(x) * (len(x) - 1))

    between = sum(float(kernel(rows, fake).sum()) for rows in real.split(BLOCK))
    return within(real) + within(fake) - 2 * between / (len(real) * len(fake))


def kernel_distance(
    real: Tensor, fake: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Spread:
    """KID (arXiv:1801.01401): ``squared_mmd`` of random subsets, as most tools print it.

    Args:
        real, fake: (items, dim).
        subsets: how many.
        subset_size: items in each, drawn from either set without replacement.
        seed: of the draws.

    Raises:
        ValueError: a set has fewer items than ``subset_size``.
    """
    if subset_size > min(len(real), len(fake)):
        raise ValueError(f"expected {subset_size} items or more, got {len(real)} and {len(fake)}")
    if subsets < 1:
        raise ValueError(f"expected at least 1 subset, got {subsets}")
    real, fake = wide(real), wide(fake)
    chance = torch.Generator().manual_seed(seed)

    def some(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=chance)[:subset_size]]

    return spread_of([squared_mmd(some(real), some(fake)) for _ in range(subsets)])


def inception_score(probabilities: Tensor, *, splits: int = 10, seed: int = 0) -> Spread:
    """Inception score (arXiv:1606.03498): 1 if all pictures look the same to the classifier, and
    the number of classes if each is surely of one and all are equally often seen.

    Args:
        probabilities: (items, classes), rows that sum to 1, from any classifier.
        splits: parts that the items are dealt into, each scored alone. The fewer items a part has,
            the lower it scores.
        seed: of the dealing, since pictures come sorted by class and no part should lack one.
    """
    probabilities = wide(probabilities)
    if not 1 <= splits <= len(probabilities):
        raise ValueError(f"expected 1 to {len(probabilities)} splits, got {splits}")
    if (probabilities < 0).any() or (probabilities.sum(dim=1) - 1).abs().max() > 1e-4:
        raise ValueError("expected rows of probabilities that sum to 1")
    chance = torch.Generator().manual_seed(seed)
    dealt = probabilities[torch.randperm(len(probabilities), generator=chance)]
    scores = []
    for part in dealt.tensor_split(splits):
        marginal = part.mean(dim=0)
        divergence = (torch.xlogy(part, part) - torch.xlogy(part, marginal)).sum(dim=1)
        scores.append(float(divergence.mean().exp()))
    return spread_of(scores)


def found_within(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether each item's true class is among the ``k`` that it is most similar to, (items,) bool.

    Args:
        scores: (items, classes), similarities; higher = more alike.
        labels: (items,), the true classes.
        k: how many count. A tie counts as lost, so that a blind model finds nothing.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"expected (items, classes) and (items,), got {tuple(scores.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"expected 1 to {scores.shape[1]} classes, got {k}")
    own = scores.gather(1, labels[:, None])
    return (scores >= own).sum(dim=1) <= k


def recall_at(scores: Tensor, labels: Tensor, k: int) -> float:
    """R@k: the share of ``found_within``, 0 to 1 (CLIP retrieval of Sound2Scene, section 4.1)."""
    return float(found_within(scores, labels, k).double().mean())


def correspondences(sounds: Tensor, pictures: Tensor) -> Tensor:
    """Cosine of each sound's and its picture's feature, (items,) in [-1, 1]. Both: (items, dim)."""
    if sounds.shape != pictures.shape:
        raise ValueError(
            f"expected one picture a sound, got {tuple(pictures.shape)} for {tuple(sounds.shape)}"
        )
    return torch.nn.functional.cosine_similarity(wide(sounds), wide(pictures), dim=1)


def audio_visual_correspondence(sounds: Tensor, pictures: Tensor) -> float:
    """AVC: the mean of ``correspondences`` (avstyle, section 4.1), in [-1, 1]."""
    return float(correspondences(sounds, pictures).mean())


@dataclass(frozen=True)
class Coverage:
    """How two sets lie in one another, each by the neighbourhoods of the other's items."""

    precision: float  # share of fake items within a real one's neighbourhood
    recall: float  # share of real items within a fake one's neighbourhood
    density: float  # in how many real neighbourhoods a fake item lies, of k; may pass 1
    coverage: float  # share of real neighbourhoods with a fake item inside


def precision_recall_density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> Coverage:
    """Precision and recall (arXiv:1904.06991), density and coverage (arXiv:2002.09797).

    An item's neighbourhood is the ball around it, rim included, that just reaches the ``k``th
    nearest other item of its own set.

    Args:
        real, fake: (items, dim), more than ``k`` items each.
    """
    real, fake = wide(real), wide(fake)
    if k < 1 or min(len(real), len(fake)) <= k or real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"expected two (items > {k}, dim) and k >= 1, got {tuple(real.shape)} and "
            f"{tuple(fake.shape)}"
        )

    def radii(features: Tensor) -> Tensor:
        # The nearest of all is the item itself, at distance 0.
        rows = [apart.kthvalue(k + 1, dim=1).values for apart in distances(features, features)]
        return torch.cat(rows)

    real_radii, fake_radii = radii(real), radii(fake)
    inside = torch.zeros(len(fake), dtype=torch.int64)  # in how many real neighbourhoods
    recalled, covered, start = 0, 0, 0
    for apart in distances(real, fake):
        near = apart <= real_radii[start : start + len(apart), None]
        inside += near.sum(dim=0)
        covered += int(near.any(dim=1).sum())
        recalled += int((apart <= fake_radii).any(dim=1).sum())
        start += len(apart)
    return Coverage(
        precision=float((inside > 0).double().mean()),
        recall=recalled / len(real),
        density=float(inside.double().mean()) / k,
        coverage=covered / len(real),
    )


def distances(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Euclidean distances, (some rows, columns) at a time."""
    for some in rows.split(BLOCK):
        yield torch.cdist(some, columns)


def mean(values: Tensor) -> float:
    """Of all values."""
    return float(values.double().mean())


def bootstrap_interval(
    values: Tensor,
    statistic: Callable[[Tensor], float] = mean,
    *,
    seed: int = 0,
    level: float = LEVEL,
    groups: Sequence[Hashable] | None = None,
    draws: int = 2000,
) -> Interval:
    """Percentile bootstrap (Efron 1979): how a statistic would vary, had other items been met.

    Args:
        values: (items, ...), what the statistic takes.
        statistic: of as many items, or nearly, drawn with replacement.
        seed: of the draws.
        level: share of the draws between both ends.
        groups: of each item. Items of one group, as pictures of one sound or answers of one
            person, are alike, so that groups are drawn whole; without it, every item is its own.
        draws: how often.

    Raises:
        ValueError: there are no items, not one group for each, or the level is not within (0, 1).
    """
    if not len(values) or (groups is not None and len(groups) != len(values)):
        raise ValueError(
            f"expected items and one group for each, got {len(values)} and "
            f"{'none' if groups is None else len(groups)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    places: dict[Hashable, list[int]] = {}
    for place, group in enumerate(range(len(values)) if groups is None else groups):
        places.setdefault(group, []).append(place)
    members = [torch.tensor(own) for own in places.values()]
    chance = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        drawn = torch.randint(len(members), (len(members),), generator=chance)
        # One item a group needs no gathering, and that is the common case.
        taken = drawn if groups is None else torch.cat([members[d] for d in drawn.tolist()])
        found.append(statistic(values[taken]))
    tail = (1 - level) / 2
    ends = torch.tensor(found, dtype=torch.float64).quantile(
        torch.tensor([tail, 1 - tail], dtype=torch.float64)
    )
    return Interval(*ends.tolist())


def spread_of(values: Sequence[float]) -> Spread:
    """Mean and population standard deviation."""
    numbers = torch.tensor(values, dtype=torch.float64)
    return Spread(float(numbers.mean()), float(numbers.std(correction=0)))


def wide(features: Tensor) -> Tensor:
    """Features as they are reckoned with: (items, dim), float64, on the CPU.

    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    if features.ndim != 2:
        raise ValueError(f"expected (items, dim), got {tuple(features.shape)}")
    features = features.detach().to("cpu", torch.float64)
    if not features.isfinite().all():
        raise ValueError("the features hold values that are not finite")
    return features
