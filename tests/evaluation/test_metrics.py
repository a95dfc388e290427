"""Metrics against closed forms, numbers worked out by hand, and SciPy."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from s2s_cli.evaluation import metrics
from s2s_cli.evaluation.metrics import (
    Moments,
    audio_visual_correspondence,
    bootstrap_interval,
    correspondences,
    found_within,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall_density_coverage,
    recall_at,
    squared_mmd,
)


def drawn(items: int, dim: int, seed: int = 0) -> torch.Tensor:
    """Standard normal features."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(items, dim, generator=chance, dtype=torch.float64)


def with_moments(mean: list[float], covariance: list[list[float]]) -> Moments:
    """Of a set of 11 items with this mean and this unbiased covariance."""
    wanted = torch.tensor(covariance, dtype=torch.float64)
    return Moments(11, torch.tensor(mean, dtype=torch.float64), wanted * 10)


def scipy_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """As the reference of arXiv:1706.08500 computes it."""
    real, fake = real.numpy(), fake.numpy()
    one, other = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (real, fake))
    apart = real.mean(axis=0) - fake.mean(axis=0)
    return float(apart @ apart + np.trace(one + other - 2 * sqrtm(one @ other).real))


# Fréchet distance


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        # (m1 - m2)^2 + (s1 - s2)^2 in each direction, where both have the same axes
        (([0], [[1]]), ([3], [[4]]), 9 + 1),
        (([1, 2], [[4, 0], [0, 9]]), ([1, 2], [[1, 0], [0, 25]]), 1 + 4),
        # The axes at 45 degrees: a = [[5, 4], [4, 5]] has the roots 3 and 1 along (1, 1), (1, -1)
        (([0, 0], [[5, 4], [4, 5]]), ([0, 2], [[1, 0], [0, 1]]), 4 + (3 - 1) ** 2),
        # Flat sets that share no direction: nothing of the spread is shared
        (([0, 0], [[4, 0], [0, 0]]), ([0, 0], [[0, 0], [0, 9]]), 4 + 9),
    ],
)
def test_the_distance_of_two_gaussians_is_known(one, other, wanted):
    assert frechet_distance(with_moments(*one), with_moments(*other)) == pytest.approx(wanted)


@pytest.mark.parametrize(("dim", "items"), [(1, 50), (8, 40), (64, 200)])
def test_distance_agrees_with_scipy(dim, items):
    mixing = drawn(dim, dim, seed=1)
    real, fake = drawn(items, dim, seed=2) @ mixing, 0.7 * drawn(items + 9, dim, seed=3) + 0.3
    assert frechet_distance(real, fake) == pytest.approx(scipy_distance(real, fake), rel=1e-6)


@pytest.mark.parametrize("items", [2, 5, 30])
def test_distance_with_fewer_items_than_dimensions(items):
    """There trace(sqrt(A B)) is the sum of singular values of the products of the items."""
    real, fake = drawn(items, 64, seed=1), drawn(items + 3, 64, seed=2) * 2 + 1
    x, y = (s - s.mean(dim=0) for s in (real, fake))
    shared = torch.linalg.svdvals(x @ y.T / math.sqrt((len(x) - 1) * (len(y) - 1))).sum()
    wanted = (
        (real.mean(dim=0) - fake.mean(dim=0)).square().sum()
        + x.square().sum() / (len(x) - 1)
        + y.square().sum() / (len(y) - 1)
        - 2 * shared
    )
    assert frechet_distance(real, fake) == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("items", [4, 100])
def test_a_set_is_at_no_distance_from_itself_in_any_order(items):
    features = drawn(items, 32) * 50 + 7
    shuffled = features[torch.randperm(items, generator=torch.Generator().manual_seed(1))]
    # The trace of its covariance, 80,000, is what the rest is small beside.
    assert frechet_distance(features, shuffled) == pytest.approx(0, abs=1e-6)


def test_distance_does_not_know_which_set_is_which():
    real, fake = drawn(20, 6, seed=1), drawn(30, 6, seed=2) * 3
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-12)


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(lambda s: sum(s) >= 2),
    shift=st.sampled_from([0.0, 1e6]),
)
@settings(deadline=None, max_examples=40)
def test_moments_are_the_same_however_features_arrive(sizes, shift):
    features = drawn(sum(sizes), 4) + shift
    streamed = Moments.none(4)
    parts = [Moments.of(part) for part in features.split(sizes)]
    for part in features.split(sizes):
        streamed.update(part)
    merged = Moments.none(4)
    for part in reversed(parts):
        merged.merge(part)
    wanted = torch.from_numpy(np.cov(features.numpy(), rowvar=False))
    for moments in (streamed, merged):
        assert moments.count == len(features)
        # Of a mean of a million float64 keeps ten digits after the point.
        assert torch.allclose(moments.mean, features.mean(dim=0), rtol=1e-14)
        assert torch.allclose(moments.covariance, wanted, atol=1e-8, rtol=1e-8)


def test_streamed_moments_give_the_distance_of_the_whole():
    real, fake = drawn(90, 8, seed=1), drawn(70, 8, seed=2) + 1
    streamed = Moments.none(8)
    for batch in fake.split(16):
        streamed.update(batch.float())  # as networks give them
    assert frechet_distance(real, streamed) == pytest.approx(frechet_distance(real, fake), rel=1e-5)


def test_moments_hold_as_much_after_many_pictures_as_after_a_few():
    moments = Moments.none(5)
    for seed in range(100):
        moments.update(drawn(50, 5, seed))
    held = [v for v in vars(moments).values() if isinstance(v, torch.Tensor)]
    assert (moments.count, sum(v.numel() for v in held)) == (5000, 5 + 25)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: frechet_distance(drawn(1, 3), drawn(5, 3)), "at least 2 items, got 1"),
        (lambda: frechet_distance(drawn(5, 3), drawn(5, 4)), "got 3 and 4"),
        (lambda: frechet_distance(drawn(5, 3) / 0, drawn(5, 3)), "not finite"),
        (lambda: frechet_distance(drawn(5, 3)[0], drawn(5, 3)), r"\(items, dim\)"),
        (lambda: Moments.none(3).update(drawn(5, 4)), "expected 3 numbers a feature, got 4"),
    ],
)
def test_what_is_no_set_of_features_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# Kernel distance


def test_kernel_distance_by_hand():
    """Of 1-D points the kernel is (x y + 1)^3: 0, 1 against 2 gives 1, and 27, and 125 of 2, 2."""
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [2.0], [0.0]])
    # within real: k(0, 1) = 1; within fake: (k(2, 2) + 2 k(2, 0)) / 3 = (125 + 2) / 3
    # between: (k(0, 2) + k(0, 2) + k(0, 0) + k(1, 2) + k(1, 2) + k(1, 0)) / 6
    wanted = 1 + 127 / 3 - 2 * (1 + 1 + 1 + 27 + 27 + 1) / 6
    assert squared_mmd(real, fake) == pytest.approx(wanted)


def test_the_kernel_is_scaled_by_the_dimension():
    """Copies of the same numbers in more dimensions change nothing."""
    real, fake = drawn(6, 2, seed=1), drawn(7, 2, seed=2)
    assert squared_mmd(real.repeat(1, 3), fake.repeat(1, 3)) == pytest.approx(
        squared_mmd(real, fake)
    )


def test_kernel_distance_is_unbiased():
    """Over many draws of 5 from one distribution the mean is 0 within four standard errors."""
    found = [squared_mmd(drawn(5, 3, 2 * s), drawn(5, 3, 2 * s + 1)) for s in range(500)]
    mean, error = np.mean(found), np.std(found) / math.sqrt(len(found))
    assert abs(mean) < 4 * error
    assert min(found) < 0 < max(found)
    apart = [squared_mmd(drawn(5, 3, 2 * s), drawn(5, 3, 2 * s + 1) + 2) for s in range(50)]
    assert np.mean(apart) > 10 * error


def test_blocks_of_rows_change_nothing(monkeypatch):
    real, fake = drawn(11, 3, seed=1), drawn(9, 3, seed=2) + 0.2
    mmd, lie = squared_mmd(real, fake), precision_recall_density_coverage(real, fake, 2)
    monkeypatch.setattr(metrics, "BLOCK", 4)
    assert squared_mmd(real, fake) == pytest.approx(mmd)
    assert precision_recall_density_coverage(real, fake, 2) == lie


def test_kernel_distance_of_subsets():
    real, fake = drawn(30, 4, seed=1), drawn(40, 4, seed=2) + 1
    found = kernel_distance(real, fake, subsets=200, subset_size=20, seed=3)
    assert found.mean == pytest.approx(squared_mmd(real, fake), rel=0.05)
    assert found.std > 0.05 * found.mean
    assert found == kernel_distance(real, fake, subsets=200, subset_size=20, seed=3)
    assert found != kernel_distance(real, fake, subsets=200, subset_size=20, seed=4)
    # A subset of everything is everything, whatever the order.
    whole = kernel_distance(real, fake[:30], subsets=3, subset_size=30)
    assert whole.mean == pytest.approx(squared_mmd(real, fake[:30]))
    assert whole.std == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="expected 31 items or more, got 30 and 40"):
        kernel_distance(real, fake, subset_size=31)


# Inception score


def test_pictures_that_all_look_the_same_score_1():
    assert inception_score(torch.full((20, 5), 0.2), splits=4) == pytest.approx((1, 0), abs=1e-9)
    assert inception_score(torch.eye(5)[[2] * 20], splits=4) == pytest.approx((1, 0), abs=1e-9)


def test_sure_and_even_verdicts_score_the_number_of_classes():
    sure = torch.eye(5).repeat_interleave(4, dim=0)  # sorted by class, as pictures come
    assert inception_score(sure, splits=1) == pytest.approx((5, 0))


def test_inception_score_by_hand():
    """exp of the mutual information of picture and class."""
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    terms = [(0.9, 0.6), (0.1, 0.4), (0.3, 0.6), (0.7, 0.4)]
    wanted = math.exp(sum(p * math.log(p / marginal) for p, marginal in terms) / 2)
    assert inception_score(probabilities, splits=1).mean == pytest.approx(wanted, rel=1e-6)


def test_parts_are_dealt_by_a_seed():
    probabilities = drawn(60, 4).softmax(dim=1)
    found = inception_score(probabilities, splits=5, seed=1)
    assert found == inception_score(probabilities, splits=5, seed=1)
    assert found != inception_score(probabilities, splits=5, seed=2)
    # Undealt, pictures sorted by class would leave each part but one class.
    sure = torch.eye(3).repeat_interleave(30, dim=0)
    assert inception_score(sure, splits=3).mean > 2.5
    with pytest.raises(ValueError, match="sum to 1"):
        inception_score(drawn(5, 4), splits=1)
    with pytest.raises(ValueError, match="expected 1 to 5 splits"):
        inception_score(torch.full((5, 2), 0.5), splits=6)


# Recall and correspondence

SCORES = torch.tensor(
    [
        [0.9, 0.5, 0.1, 0.2],  # class 0 is first
        [0.9, 0.5, 0.1, 0.2],  # class 1 is second
        [0.3, 0.2, 0.1, 0.4],  # class 2 is last
        [0.5, 0.5, 0.5, 0.5],  # all alike
    ]
)
TRUTH = torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(("k", "wanted"), [(1, 0.25), (2, 0.5), (3, 0.5), (4, 1.0)])
def test_recall_by_hand(k, wanted):
    assert recall_at(SCORES, TRUTH, k) == wanted


def test_recall_by_item():
    assert found_within(SCORES, TRUTH, 2).tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match="expected 1 to 4 classes, got 5"):
        recall_at(SCORES, TRUTH, 5)
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(3,\)"):
        recall_at(SCORES, TRUTH[:3], 1)


def test_recall_does_not_know_the_names_of_classes():
    for order in permutations(range(4)):
        renamed = torch.tensor(order)
        assert recall_at(SCORES[:, renamed], torch.argsort(renamed)[TRUTH], 2) == 0.5


def test_correspondence_is_the_mean_cosine_of_pairs():
    sounds = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    pictures = torch.tensor([[5.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    wanted = [1, -1, math.sqrt(0.5)]
    assert correspondences(sounds, pictures).tolist() == pytest.approx(wanted)
    assert audio_visual_correspondence(sounds, pictures) == pytest.approx(sum(wanted) / 3)
    with pytest.raises(ValueError, match="one picture a sound"):
        correspondences(sounds, pictures[:2])


# Precision, recall, density and coverage


def test_neighbourhoods_of_points_on_a_line_by_hand():
    """Real 0, 1, 3, 7 reach (k = 1) 1, 1, 2, 4; fake 0.5, 2, 20 reach 1.5, 1.5, 18."""
    real, fake = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([[0.5], [2], [20]])
    # Balls of the real: [-1, 1], [0, 2], [1, 5], [3, 11]. 0.5 lies in two, 2 in two, 20 in none.
    # Balls of the fake: [-1, 2], [0.5, 3.5], [2, 38]. 0, 1 are in the first, 3 and 7 in the last.
    found = precision_recall_density_coverage(real, fake, k=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1)
    assert found.density == pytest.approx((2 + 2 + 0) / 3)
    assert found.coverage == pytest.approx(3 / 4)


def test_the_kth_neighbour_is_counted_without_the_item_itself():
    """k = 2: real 0, 1, 3, 7 reach 3, 2, 3, 6, and 0 is reached from 3, whose rim it lies on."""
    real, fake = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([[-3.5], [-3.0], [0.0]])
    found = precision_recall_density_coverage(real, fake, k=2)
    # Balls: [-3, 3], [-1, 3], [0, 6], [1, 13]: -3.5 is in none, -3 in one, 0 in three, of k = 2.
    assert found.precision == pytest.approx(2 / 3)
    assert found.density == pytest.approx((0 + 1 + 3) / (2 * 3))
    assert found.coverage == pytest.approx(3 / 4)


def test_a_set_covers_itself_and_nothing_far_away():
    features = drawn(40, 8) + 1000
    same = precision_recall_density_coverage(features, features.flip(0))
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    far = precision_recall_density_coverage(features, features + 100)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    # Ever the same good picture is precise, and covers next to nothing.
    one = precision_recall_density_coverage(features, features[:1].repeat(40, 1))
    assert one.precision == 1
    assert one.recall == 1 / 40
    with pytest.raises(ValueError, match="items > 5"):
        precision_recall_density_coverage(features[:5], features)


# Intervals


def test_the_interval_of_a_mean_is_the_normal_one():
    values = drawn(400, 1)[:, 0] * 3 + 10
    low, high = bootstrap_interval(values, seed=1)
    reach = 1.96 * float(values.std()) / 20
    assert low == pytest.approx(float(values.mean()) - reach, abs=0.1 * reach)
    assert high == pytest.approx(float(values.mean()) + reach, abs=0.1 * reach)
    narrower = bootstrap_interval(values, seed=1, level=0.5)
    assert low < narrower.low < narrower.high < high


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(drawn(40, 1, seed)[:, 0], seed=seed, level=0.8, draws=200)
        held += low <= 0 <= high
    assert 0.7 < held / 200 < 0.88  # four standard errors around a little less than 0.8


def test_items_of_one_group_are_drawn_together():
    """Ten copies of each of 20 values say no more than the 20 values."""
    values = drawn(20, 1)[:, 0]
    copies, groups = values.repeat(10), list(range(20)) * 10
    alone = bootstrap_interval(values, seed=5)
    assert bootstrap_interval(copies, groups=groups, seed=5) == pytest.approx(alone)
    blind = bootstrap_interval(copies, seed=5)
    assert blind.high - blind.low < 0.5 * (alone.high - alone.low)


def test_groups_may_differ_in_size_and_names():
    values = torch.tensor([0.0, 0, 0, 12])
    groups = ["rain", "rain", "rain", "sea"]
    # Both groups, or either one twice: means 3, 0 or 12.
    found = set()
    for seed in range(20):
        low, high = bootstrap_interval(values, groups=groups, seed=seed, draws=1)
        assert low == high
        found.add(low)
    assert found == {0, 3, 12}


def test_any_statistic_will_do_and_a_seed_is_an_interval():
    values = drawn(50, 2)
    gap = bootstrap_interval(values, lambda drawn: float((drawn[:, 0] - drawn[:, 1]).median()))
    assert gap.low < float((values[:, 0] - values[:, 1]).median()) < gap.high
    assert bootstrap_interval(values[:, 0], seed=3) == bootstrap_interval(values[:, 0], seed=3)
    assert bootstrap_interval(values[:, 0], seed=3) != bootstrap_interval(values[:, 0], seed=4)
    for bad in ({"groups": [1]}, {"level": 1.0}):
        with pytest.raises(ValueError, match="expected"):
            bootstrap_interval(values, **bad)
