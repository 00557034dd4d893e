"""Scores of disentanglement against scikit-learn, scipy, and codes whose score is known."""

from __future__ import annotations

from itertools import product
from math import log

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from tests.messages import message
from vae_course.evaluation.disentanglement import (
    binned,
    entropy,
    factor_vae_score,
    mutual_information,
    mutual_information_gap,
)


def all_factors(*sizes: int, times: int = 1) -> Tensor:
    """Every combination of factors equally often: int64 [n, factors]."""
    return torch.tensor(list(product(*map(range, sizes)))).repeat(times, 1)


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mutual_information_is_that_of_scikit_learn() -> None:
    a = torch.randint(5, (300, 2))
    b = torch.stack([a[:, 0] // 2, (a.sum(1) + torch.randint(2, (300,))) % 4, torch.randint(7, (300,))], 1)
    found = mutual_information(a, b)
    assert found.shape == (2, 3)
    for i, j in product(range(2), range(3)):
        assert float(found[i, j]) == pytest.approx(mutual_info_score(a[:, i].numpy(), b[:, j].numpy()), abs=1e-12)
    torch.testing.assert_close(mutual_information(b, a), found.T)


def test_the_information_of_a_variable_about_itself_is_its_entropy() -> None:
    a = torch.randint(5, (300, 2))
    torch.testing.assert_close(mutual_information(a, a).diag(), entropy(a))


def test_the_entropy_is_that_of_scipy() -> None:
    a = torch.stack([torch.randint(5, (300,)), torch.randint(2, (300,)) * 4, torch.full((300,), 3)], 1)
    expected = [scipy.stats.entropy(np.bincount(column.numpy())) for column in a.T]
    torch.testing.assert_close(entropy(a), torch.tensor(expected).double())
    assert float(entropy(all_factors(6))) == pytest.approx(log(6))


def test_independent_variables_seem_to_know_each_other_by_about_the_stated_size() -> None:
    n, values, others = 400, 5, 4
    a, b = torch.randint(values, (n, 100)), torch.randint(others, (n, 100))
    found = mutual_information(a, b).diag()  # the pairs are independent
    stated = (values - 1) * (others - 1) / (2 * n)
    assert abs(float(found.mean()) - stated) < 5 * float(found.std()) / 10 + 0.1 * stated
    exactly = all_factors(values, others)
    assert float(mutual_information(exactly[:, :1], exactly[:, 1:])) == pytest.approx(0, abs=1e-12)


def test_mutual_information_is_never_negative() -> None:
    both = all_factors(3, 7, times=11)
    assert (mutual_information(both, both) >= 0).all()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.zeros(5, 1), torch.zeros(5, 1).long()),
        (torch.zeros(5, 1).long(), torch.zeros(5, 1)),
        (torch.zeros(5, 1).long(), torch.zeros(4, 1).long()),
        (torch.zeros(5).long(), torch.zeros(5, 1).long()),
        (torch.zeros(5, 1).long(), torch.zeros(5).long()),
    ],
)
def test_other_than_whole_numbers_for_the_same_examples_are_refused(a: Tensor, b: Tensor) -> None:
    text = message(lambda: mutual_information(a, b))
    assert str(list(a.shape)) in text
    assert "binned" in text


def test_numbers_below_zero_are_refused() -> None:
    a = torch.tensor([[-1], [0], [1], [1]])
    message(lambda: mutual_information(a, a))


@pytest.mark.parametrize("bins", [1, 4, 20])
def test_bins_are_intervals_of_equal_width_from_the_least_to_the_greatest(bins: int) -> None:
    codes = torch.randn(200, 3).double() * torch.tensor([1.0, 50.0, 0.01]).double() + 7
    cut = binned(codes, bins)
    assert cut.dtype == torch.int64
    for j in range(3):
        column = codes[:, j].numpy()
        edges = np.linspace(column.min(), column.max(), bins + 1)
        expected = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, bins - 1)
        assert (cut[:, j].numpy() == expected).all()
        assert set(cut[:, j].tolist()) <= set(range(bins))
        assert {0, bins - 1} <= set(cut[:, j].tolist())


def test_a_column_that_does_not_vary_goes_into_one_bin() -> None:
    for dtype in (torch.float32, torch.float64):
        assert binned(torch.full((9, 2), 0.1, dtype=dtype)).unique().numel() == 1


@pytest.mark.parametrize(("shape", "bins"), [((5,), 20), ((5, 2, 2), 20), ((5, 2), 0), ((5, 2), -3)])
def test_other_shapes_and_fewer_than_one_bin_are_refused(shape: tuple[int, ...], bins: int) -> None:
    text = message(lambda: binned(torch.randn(shape), bins))
    assert str(list(shape)) in text
    assert f"{bins} bins" in text


def perfect() -> tuple[Tensor, Tensor]:
    """Codes that hold each factor in one latent alone, and the factors."""
    factors = all_factors(5, 4, 3, times=4)
    return factors.double(), factors


def test_a_code_of_each_factor_in_one_latent_has_a_gap_of_one() -> None:
    codes, factors = perfect()
    torch.testing.assert_close(mutual_information_gap(codes, factors), torch.ones(3).double())


def test_permuted_shifted_scaled_and_mirrored_codes_have_the_same_gap() -> None:
    codes, factors = perfect()
    noisy = codes + 0.3 * torch.randn_like(codes)
    gap = mutual_information_gap(noisy, factors)
    assert ((gap > 0.2) & (gap < 0.99)).all()
    changed = noisy[:, [2, 0, 1]] * torch.tensor([3.0, 0.01, 100.0]).double() + 5
    torch.testing.assert_close(mutual_information_gap(changed, factors), gap)
    torch.testing.assert_close(mutual_information_gap(noisy, factors[:, [1, 2, 0]]), gap[[1, 2, 0]])
    torch.testing.assert_close(
        mutual_information_gap(-codes, factors), torch.ones(3).double()
    )  # the greatest value joins the last bin, so that noise need not mirror


def test_a_rotation_by_forty_five_degrees_leaves_no_gap() -> None:
    factors = all_factors(5, 5, times=4)
    centred = factors.double() - 2
    rotated = torch.stack([centred.sum(1), centred[:, 0] - centred[:, 1]], 1) / 2**0.5
    torch.testing.assert_close(mutual_information_gap(rotated, factors), torch.zeros(2).double(), atol=1e-12, rtol=0)
    little = torch.tensor([[0.995, -0.0998], [0.0998, 0.995]]).double()
    gap = mutual_information_gap(centred @ little, factors)
    assert ((gap > 0.1) & (gap < 1)).all()


def test_constant_and_duplicated_codes_leave_no_gap() -> None:
    codes, factors = perfect()
    zero = torch.zeros(3).double()
    torch.testing.assert_close(mutual_information_gap(torch.full_like(codes, 0.1), factors), zero)
    twice = torch.cat([codes, codes], 1)
    torch.testing.assert_close(mutual_information_gap(twice, factors), zero, atol=1e-12, rtol=0)
    once_more = torch.cat([codes, 3 - codes[:, :1]], 1)
    torch.testing.assert_close(mutual_information_gap(once_more, factors), torch.tensor([0.0, 1.0, 1.0]).double())


def test_the_gap_is_that_between_the_two_best_latents_over_the_entropy() -> None:
    factors = torch.randint(4, (500, 2))
    codes = torch.randn(500, 3).double() + factors[:, [0, 0, 1]] * torch.tensor([2.0, 1.0, 0.5])
    cut = binned(codes, 7)
    expected = []
    for v in factors.T:
        known = sorted((mutual_info_score(column.numpy(), v.numpy()) for column in cut.T), reverse=True)
        expected.append((known[0] - known[1]) / scipy.stats.entropy(np.bincount(v.numpy())))
    torch.testing.assert_close(mutual_information_gap(codes, factors, bins=7), torch.tensor(expected).double())


def test_the_gap_of_float32_codes_is_that_of_float64() -> None:
    codes, factors = perfect()
    torch.testing.assert_close(mutual_information_gap(codes.float(), factors).double(), torch.ones(3).double())


@pytest.mark.parametrize("shape", [(60, 1), (60,), (60, 2, 1)])
def test_a_gap_needs_two_latents(shape: tuple[int, ...]) -> None:
    text = message(lambda: mutual_information_gap(torch.randn(shape), all_factors(5, 4, 3)))
    assert str(list(shape)) in text


def test_a_factor_that_does_not_vary_is_refused() -> None:
    codes, factors = perfect()
    factors = factors.clone()
    factors[:, 1] = 2
    assert "does not vary" in message(lambda: mutual_information_gap(codes, factors))


def test_the_score_of_a_perfect_code_is_one() -> None:
    codes, factors = perfect()
    assert factor_vae_score(codes, factors, generator()) == 1.0
    changed = codes[:, [2, 0, 1]] * torch.tensor([2.0, -0.5, 1.0]).double() - 7
    assert factor_vae_score(changed, factors, generator()) == 1.0


def test_a_latent_is_judged_relative_to_its_own_variance() -> None:
    """The narrow latent always varies least in its own unit."""
    codes, factors = perfect()
    noisy = (codes + 0.4 * torch.randn_like(codes)) * torch.tensor([1.0, 0.15, 1.0]).double()
    assert factor_vae_score(noisy, factors, generator()) > 0.97


def test_a_latent_that_hardly_varies_does_not_vote() -> None:
    """It is the same for all examples but one: relative to its own variance it varies least in most batches."""
    codes, factors = perfect()
    noisy = codes + 0.2 * torch.randn_like(codes)
    spike = torch.zeros(len(codes), 1).double()
    spike[7] = 1.0
    assert factor_vae_score(torch.cat([noisy, 0.1 * spike], 1), factors, generator()) > 0.97
    assert factor_vae_score(torch.cat([noisy, 100 * spike], 1), factors, generator()) < 0.8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_score_of_a_constant_code_is_zero_whatever_the_constant(dtype: torch.dtype) -> None:
    _, factors = perfect()
    for value in (0.1, -0.7, 123.456):
        assert factor_vae_score(torch.full((len(factors), 3), value, dtype=dtype), factors, generator()) == 0.0


@pytest.mark.parametrize("sizes", [(3, 3), (2, 3, 2, 4)])
def test_the_score_of_a_random_code_is_about_one_over_the_factors(sizes: tuple[int, ...]) -> None:
    factors = all_factors(*sizes, times=1200 // torch.Size(sizes).numel())
    scores = [factor_vae_score(torch.randn(len(factors), 3), factors, generator(seed), 400) for seed in range(6)]
    chance = 1 / len(sizes)
    assert abs(sum(scores) / 6 - chance) < 5 * (chance * (1 - chance) / 1200) ** 0.5


def test_a_score_is_measured_on_votes_that_did_not_fit_it() -> None:
    """Of two votes one fits; on a random code the other is named rightly about half the time, not always."""
    factors, codes = all_factors(4, 4, times=20), torch.randn(320, 40)
    scores = [factor_vae_score(codes, factors, generator(seed), votes=2) for seed in range(100)]
    assert set(scores) == {0.0, 1.0}
    assert 25 <= sum(scores) <= 75


def test_one_latent_for_two_factors_scores_between_chance_and_one() -> None:
    factors = all_factors(4, 4, 4, times=5)
    codes = torch.stack([factors[:, 0].double(), factors[:, 1] + factors[:, 2] * 1.0], 1)
    assert 0.5 < factor_vae_score(codes, factors, generator()) < 0.9


def test_the_score_is_the_same_for_the_same_generator_and_moves_no_other() -> None:
    factors = all_factors(4, 4, times=20)
    codes = torch.randn(320, 3)
    state = torch.get_rng_state()
    first = factor_vae_score(codes, factors, generator(1), 100)
    assert factor_vae_score(codes, factors, generator(1), 100) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert len({factor_vae_score(codes, factors, generator(seed), 100) for seed in range(6)}) > 1


@pytest.mark.parametrize("votes", [1, 0, -2])
def test_fewer_than_two_votes_are_refused(votes: int) -> None:
    codes, factors = perfect()
    assert f"{votes} votes" in message(lambda: factor_vae_score(codes, factors, generator(), votes))
