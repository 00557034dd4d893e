"""The area under the ROC curve and its interval, and clusters against classes: against loops and other formulas."""

from __future__ import annotations

from itertools import permutations, product
from math import inf, nan, sqrt
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tests.messages import message
from vae_course.evaluation.ranking import AreaUnderRoc, area_under_roc, cluster_accuracy

Array = NDArray[np.float64]


def examples(m: int = 20, n: int = 30, shift: float = 1.0, seed: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """Normal scores of m sought and n other examples, shuffled, the sought higher by the shift."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(m + n)
    sought = np.arange(m + n) < m
    return (rng.normal(size=m + n) + shift * sought)[order], sought[order]


def standard_error(area: float, m: int, n: int) -> float:
    """Hanley & McNeil's own formula for exponential scores, with (m + n)/2 - 1 in place of m - 1 and of n - 1."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    other = (m + n) / 2 - 1
    return sqrt((area * (1 - area) + other * (q1 - area**2) + other * (q2 - area**2)) / (m * n))


# --- the area

pairs = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12).filter(
    lambda found: len({sought for _, sought in found}) == 2
)


@settings(max_examples=200, deadline=None)
@given(pairs)
def test_the_area_is_the_share_of_pairs_won_with_ties_counted_one_half(found: list[tuple[int, bool]]) -> None:
    won = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for (high, sought), (low, other) in product(found, found)
        if sought and not other
    ]
    area = area_under_roc([score for score, _ in found], [sought for _, sought in found])
    assert area.value == sum(won) / len(won)
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert area.high - area.low > 0.1


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 40), (40, 1), (20, 30), (300, 200)])
@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_the_area_is_that_of_scikit_learn(m: int, n: int, decimals: int) -> None:
    score, sought = examples(m, n)
    score = score.round(decimals)
    assert area_under_roc(score, sought).value == pytest.approx(roc_auc_score(sought, score), abs=1e-12)


def test_an_increasing_map_of_the_scores_and_another_order_change_nothing() -> None:
    score, sought = examples()
    expected = area_under_roc(score.round(1), sought)
    assert 0.5 < expected.value < 1
    for mapped in (np.exp(score.round(1)), 1e6 * score.round(1) - 7, score.round(1) ** 3):
        assert area_under_roc(mapped, sought) == expected
    order = np.random.default_rng(1).permutation(50)
    assert area_under_roc(score.round(1)[order], sought[order]) == expected


def test_reversed_scores_and_swapped_labels_mirror_the_area_and_its_interval() -> None:
    for shift, (m, n) in product((-1.0, 0.3, 2.0, 50.0), ((20, 30), (5, 9))):
        score, sought = examples(m, n, shift)
        area = area_under_roc(score.round(1), sought)
        for other in (area_under_roc(-score.round(1), sought), area_under_roc(score.round(1), ~sought)):
            assert other == pytest.approx((1 - area.value, 1 - area.high, 1 - area.low), abs=1e-9)
        assert area_under_roc(-score.round(1), ~sought) == pytest.approx(area, abs=1e-9)


def test_constant_scores_have_the_area_one_half() -> None:
    area = area_under_roc(np.full(50, 0.1), examples()[1])
    assert area.value == 0.5
    assert area.low == pytest.approx(1 - area.high)


def test_a_perfect_ranking_has_the_area_one_and_a_reversed_one_zero() -> None:
    score, sought = examples(shift=100)
    assert area_under_roc(score, sought).value == 1.0
    assert area_under_roc(-score, sought).value == 0.0


def test_arrays_lists_and_tensors_of_every_number_type_are_alike() -> None:
    score, sought = examples()
    score = score.round(1).astype(np.float32).astype(np.float64)
    expected = area_under_roc(score, sought)
    scores = [score.tolist(), score.astype(np.float32), torch.from_numpy(score), torch.from_numpy(score).float()]
    numbers = [np.int64, np.uint8, np.float32, np.float64]
    labels = [sought.tolist(), torch.from_numpy(sought), *(sought.astype(kind) for kind in numbers)]
    labels += [torch.from_numpy(sought).long(), torch.from_numpy(sought).float(), sought.astype(int).tolist()]
    for one, other in product(scores, labels):
        assert area_under_roc(one, other) == expected
    assert area_under_roc(torch.from_numpy(score).requires_grad_(), sought) == expected
    assert all(type(number) is float for number in expected)


def test_whole_numbers_and_infinite_scores_are_ranked() -> None:
    assert area_under_roc([3, 1, 2, 2], [True, False, True, False]).value == 3.5 / 4
    assert area_under_roc([inf, -inf, 0.0, inf], [1, 0, 1, 0]).value == 2.5 / 4


# --- its interval


def repeated(score: Array, sought: NDArray[np.bool_], times: int) -> AreaUnderRoc:
    """Every example several times: the area is the same, exactly."""
    return area_under_roc(np.tile(score, times), np.tile(sought, times))


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("shift", [-50.0, -1.0, 0.0, 0.7, 2.0, 50.0])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 7), (20, 30), (30, 20), (400, 10)])
def test_the_ends_lie_as_many_of_their_own_standard_errors_from_the_count_as_the_confidence_asks(
    m: int, n: int, shift: float, confidence: float
) -> None:
    score, sought = examples(m, n, shift)
    area = area_under_roc(score, sought, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    for end, edge in ((area.low, 0.0), (area.high, 1.0)):
        if area.value == edge:
            assert end == edge
        else:
            assert abs(area.value - end) == pytest.approx(z * standard_error(end, m, n), abs=1e-9)
            assert end != area.value
    assert 0 <= area.low <= area.value <= area.high <= 1


def test_the_standard_error_of_the_test_is_known_for_equal_numbers_at_one_half() -> None:
    """For chance and m = n it is that of Mann and Whitney: √((2n + 1)/(12 n²))."""
    assert standard_error(0.5, 10, 10) == pytest.approx(sqrt(21 / 1200))


def test_the_interval_is_narrower_for_more_examples_and_wider_for_more_confidence() -> None:
    for shift in (-50.0, -0.5, 0.0, 1.0, 50.0):
        score, sought = examples(10, 15, shift)
        areas = [repeated(score, sought, times) for times in (1, 2, 4, 100)]
        assert len({area.value for area in areas}) == 1
        widths = [area.high - area.low for area in areas]
        assert widths == sorted(set(widths), reverse=True)
        assert widths[-1] < widths[0] / 5
        levels = [area_under_roc(score, sought, level) for level in (0.1, 0.5, 0.9, 0.95, 0.9999)]
        widths = [area.high - area.low for area in levels]
        assert widths == sorted(set(widths))
        assert levels[3] == area_under_roc(score, sought)


def test_the_interval_of_a_perfect_ranking_has_a_width() -> None:
    score, sought = examples(shift=100)
    best, worst = area_under_roc(score, sought), area_under_roc(-score, sought)
    assert best.high == 1.0
    assert 0.85 < best.low < 0.97
    assert worst.low == 0.0
    assert worst.high == pytest.approx(1 - best.low, abs=1e-9)


def test_the_interval_of_a_ranking_with_one_pair_lost_ends_inside() -> None:
    sought = np.arange(40) >= 20
    score = np.arange(40.0)
    score[[19, 20]] = score[[20, 19]]
    almost, hardly = area_under_roc(score, sought), area_under_roc(-score, sought)
    assert almost.value == 399 / 400
    assert almost.value < almost.high < 1
    assert hardly.value == 1 / 400
    assert 0 < hardly.low < hardly.value


def test_the_interval_counts_both_numbers_alike() -> None:
    """The same area from 6 and 24 examples, the many being sought or the others."""
    few, many = np.repeat([1.0, 2.0, 3.0], 2), np.repeat([0.0, 1.5, 1.5, 2.5], 6)
    score, label = np.concatenate([few, many]), np.arange(30) < 6
    area, mirrored = area_under_roc(score, label), area_under_roc(-score, ~label)
    assert area == pytest.approx(mirrored, abs=1e-9)


@pytest.mark.parametrize(("kind", "true"), [("exponential", 0.9), ("normal", 0.9)])
def test_the_interval_holds_the_true_area_of_twenty_and_thirty_examples_in_93_to_98_percent(
    kind: str, true: float
) -> None:
    """Its own claim is 95 %. Of exponential scores with means λ and 1 the area is λ/(1 + λ); of normal, Φ(d/√2)."""
    rng, sought, repetitions = np.random.default_rng(0), np.arange(50) < 20, 2000
    if kind == "exponential":
        scores = rng.exponential(np.where(sought, true / (1 - true), 1.0), (repetitions, 50))
    else:
        scores = rng.normal(np.where(sought, NormalDist().inv_cdf(true) * sqrt(2), 0.0), 1, (repetitions, 50))
    areas = [area_under_roc(row, sought) for row in scores]
    values = np.array([area.value for area in areas])
    assert abs(values.mean() - true) < 5 * values.std() / sqrt(repetitions)
    assert 0.93 <= np.mean([area.low <= true <= area.high for area in areas]) <= 0.98


# --- what has no area


@pytest.mark.parametrize(
    ("scores", "sought"),
    [
        ([0.1, 0.2], [0, 1, 1]),
        ([0.1, 0.2, 0.3], [0, 1]),
        ([[0.1], [0.2]], [[0], [1]]),
        ([[0.1], [0.2]], [0, 1]),
        ([0.1, 0.2], [[0, 1]]),
        (0.5, True),
    ],
)
def test_other_than_two_lists_of_one_length_are_refused(scores: object, sought: object) -> None:
    text = message(lambda: area_under_roc(np.asarray(scores), np.asarray(sought)))
    assert str(np.shape(np.asarray(scores))) in text
    assert str(np.shape(np.asarray(sought))) in text


@pytest.mark.parametrize(
    ("scores", "sought"),
    [
        ([0.1, nan, 0.3], [0, 1, 1]),
        ([0.1, 0.2, 0.3], [0, 1, 2]),
        ([0.1, 0.2, 0.3], [-1, 1, 1]),
        ([0.1, 0.2, 0.3], [0, 0.5, 1]),
        ([0.1, 0.2, 0.3], [0, nan, 1]),
    ],
)
def test_scores_that_are_missing_and_labels_that_are_neither_are_refused(
    scores: list[float], sought: list[float]
) -> None:
    assert "without NaN" in message(lambda: area_under_roc(scores, sought))
    assert "1 or 0" in message(lambda: area_under_roc(torch.tensor(scores), torch.tensor(sought)))


@pytest.mark.parametrize(("sought", "m"), [([], 0), ([1, 1, 1], 3), ([0, 0, 0], 0)])
def test_examples_of_one_kind_alone_are_refused(sought: list[int], m: int) -> None:
    text = message(lambda: area_under_roc(np.arange(len(sought)) * 1.0, np.array(sought, dtype=int)))
    assert f"{m} sought and {len(sought) - m} other" in text


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, nan])
def test_a_confidence_outside_zero_to_one_is_refused(confidence: float) -> None:
    assert f"the confidence {confidence}" in message(lambda: area_under_roc(*examples(), confidence))


# --- clusters against classes


def best_of_all_matches(clusters: Tensor, labels: Tensor) -> float:
    """The share of examples in the right cluster, under the best of all one-to-one matches."""
    size = max(int(clusters.max()), int(labels.max())) + 1
    right: list[int] = [
        sum(match[c] == k for c, k in zip(clusters.tolist(), labels.tolist(), strict=True))
        for match in permutations(range(size))
    ]
    return max(right) / len(labels)


@pytest.mark.parametrize("classes", [3, 4])
def test_classes_under_another_name_are_all_right(classes: int) -> None:
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (20,))])
    for names in permutations(range(classes)):
        assert cluster_accuracy(torch.tensor(names)[labels], labels) == 1.0


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("clusters", [1, 2, 3, 4, 5])
def test_the_accuracy_is_that_of_the_best_of_all_matches(clusters: int, classes: int) -> None:
    for n in (1, 7, 30):
        found, labels = torch.randint(clusters, (n,)), torch.randint(classes, (n,))
        assert cluster_accuracy(found, labels) == pytest.approx(best_of_all_matches(found, labels), abs=1e-6)
        mixed = torch.where(torch.rand(n) < 0.6, (2 * labels + 1) % clusters, found)
        assert cluster_accuracy(mixed, labels) == pytest.approx(best_of_all_matches(mixed, labels), abs=1e-6)


def test_the_best_match_is_not_that_of_the_largest_cell_first() -> None:
    """Taking the 5 first leaves 1: 6 of 14; the best match has 4 + 4."""
    table = torch.tensor([[5, 4], [4, 1]])
    clusters, labels = (
        torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat_interleave(table.flatten(), 0).unbind(1)
    )
    assert cluster_accuracy(clusters, labels) == pytest.approx(8 / 14)


def test_clusters_without_a_class_count_as_wrong_and_so_do_classes_without_a_cluster() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    assert cluster_accuracy(torch.tensor([0, 0, 0, 3, 1, 1, 4, 2]), labels) == 6 / 8
    assert cluster_accuracy(torch.arange(8), labels) == 3 / 8
    assert cluster_accuracy(torch.tensor([1, 1, 1, 1, 0, 0, 0, 0]), labels) == 7 / 8


def test_one_cluster_is_right_about_the_most_frequent_class() -> None:
    labels = torch.tensor([2, 2, 0, 1, 2, 0, 2, 1])
    assert cluster_accuracy(torch.zeros(8).long(), labels) == 4 / 8
    assert cluster_accuracy(torch.full((8,), 5), labels) == 4 / 8
    assert cluster_accuracy(torch.arange(8), torch.zeros(8).long()) == 1 / 8


def test_numbers_that_do_not_occur_do_not_matter() -> None:
    clusters, labels = torch.randint(3, (40,)), torch.randint(3, (40,))
    gaps = torch.tensor([7, 0, 100])
    assert cluster_accuracy(gaps[clusters], labels) == cluster_accuracy(clusters, gaps[labels])
    assert cluster_accuracy(gaps[clusters], gaps[labels]) == cluster_accuracy(clusters, labels)


def test_the_accuracy_is_the_same_with_clusters_and_classes_exchanged() -> None:
    clusters, labels = torch.randint(5, (40,)), torch.randint(3, (40,))
    before = clusters.clone(), labels.clone()
    assert cluster_accuracy(clusters, labels) == cluster_accuracy(labels, clusters)
    assert torch.equal(clusters, before[0])
    assert torch.equal(labels, before[1])
    assert type(cluster_accuracy(clusters, labels)) is float


@pytest.mark.parametrize(
    ("clusters", "labels"), [((3,), (4,)), ((3, 1), (3, 1)), ((3,), (3, 1)), ((), ()), ((0,), (0,)), ((0,), (3,))]
)
def test_other_than_two_lists_of_clusters_and_classes_are_refused(
    clusters: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    text = message(lambda: cluster_accuracy(torch.zeros(clusters).long(), torch.zeros(labels).long()))
    assert str(list(clusters)) in text
    assert str(list(labels)) in text


def test_negative_clusters_and_classes_are_refused() -> None:
    some, negative = torch.tensor([0, 1, 2]), torch.tensor([0, -1, 2])
    assert "negative" in message(lambda: cluster_accuracy(negative, some))
    assert "negative" in message(lambda: cluster_accuracy(some, negative))
