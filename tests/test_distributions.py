"""Families: their densities sum to 1, their event axes are declared, their divergences agree with draws."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log, nan, pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from tests.messages import message
from vae_course.distributions.draws import sample_with_log_prob
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.validation import validation

repeatable = settings(deadline=None, derandomize=True, max_examples=60, database=None)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**31)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_a_bernoulli_sums_to_one_over_all_pictures() -> None:
    pictures = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64).reshape(16, 1, 1, 2, 2)
    likelihood = bernoulli(3 * draw(5, 1, 2, 2))  # five of them
    total = likelihood.log_prob(pictures).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(5, dtype=torch.float64))


def test_a_diagonal_normal_integrates_to_one() -> None:
    axis = torch.linspace(-8, 8, 321, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)[:, None]  # [points, 1, 2]
    family = diagonal_normal(draw(4, 2), torch.tensor([[0.3, 1.0], [0.5, 0.7], [1.0, 1.0], [0.2, 0.9]]).double())
    total = family.log_prob(points).exp().sum(0) * (16 / 320) ** 2
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64), atol=1e-8, rtol=0)


def test_a_unit_normal_at_its_mean_has_minus_half_log_two_pi_per_dimension() -> None:
    mean = draw(3, 1, 4, 4)
    expected = torch.full((3,), -0.5 * 16 * log(2 * pi), dtype=torch.float64)
    torch.testing.assert_close(diagonal_normal(mean, 1.0, event_axes=3).log_prob(mean), expected)


def test_a_narrow_normal_has_a_positive_log_density() -> None:
    mean = draw(1, 5)
    log_density = float(diagonal_normal(mean, 0.1).log_prob(mean))
    assert log_density > 0
    assert log_density == pytest.approx(-5 * (log(0.1) + 0.5 * log(2 * pi)))


def unit_normal_over_pictures(parameter: Tensor) -> Distribution:
    return diagonal_normal(parameter, 1.0, event_axes=3)


@pytest.mark.parametrize("family", [bernoulli, unit_normal_over_pictures])
def test_the_log_density_of_pictures_is_one_number_per_example(family: Callable[[Tensor], Distribution]) -> None:
    x = torch.ones(4, 1, 2, 3)
    assert family(torch.zeros(4, 1, 2, 3)).event_shape == (1, 2, 3)
    assert family(torch.zeros(4, 1, 2, 3)).log_prob(x).shape == (4,)
    assert family(torch.zeros(7, 4, 1, 2, 3)).log_prob(x).shape == (7, 4)


def test_event_axes_say_how_many_axes_are_one_event() -> None:
    assert diagonal_normal(torch.zeros(5, 3), 1.0).event_shape == (3,)
    assert diagonal_normal(torch.zeros(5, 3), 1.0).log_prob(torch.zeros(5, 3)).shape == (5,)
    assert diagonal_normal(torch.zeros(5, 3), 1.0, event_axes=2).log_prob(torch.zeros(5, 3)).shape == ()
    assert bernoulli(torch.zeros(5, 3), event_axes=1).log_prob(torch.ones(2, 5, 3)).shape == (2, 5)


def test_the_log_density_of_an_event_is_the_sum_over_its_axes() -> None:
    logits, x = draw(4, 1, 2, 3), torch.bernoulli(torch.full((4, 1, 2, 3), 0.5, dtype=torch.float64))
    torch.testing.assert_close(bernoulli(logits).log_prob(x), Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3)))


@pytest.mark.parametrize("std", [0.5, torch.tensor(0.5), torch.full((3,), 0.5), torch.full((5, 3), 0.5)])
def test_a_standard_deviation_broadcasts_to_the_mean(std: Tensor | float) -> None:
    family = diagonal_normal(torch.zeros(5, 3, dtype=torch.float64), std)
    torch.testing.assert_close(family.stddev, torch.full((5, 3), 0.5, dtype=torch.float64))


def test_a_learned_standard_deviation_receives_a_gradient() -> None:
    log_std = torch.zeros((), dtype=torch.float64, requires_grad=True)
    x = draw(6, 3)
    diagonal_normal(torch.zeros(6, 3).double(), log_std.exp()).log_prob(x).sum().backward()
    assert log_std.grad is not None
    torch.testing.assert_close(log_std.grad, (x.square() - 1).sum())


def test_draws_come_with_their_own_log_density_and_with_gradients() -> None:
    mean, std = draw(5, 3).requires_grad_(), draw(5, 3).exp().requires_grad_()
    z, log_q = sample_with_log_prob(diagonal_normal(mean, std), (7,))
    assert z.shape == (7, 5, 3)
    by_hand = (-0.5 * ((z - mean) / std).square() - std.log() - 0.5 * log(2 * pi)).sum(-1)
    torch.testing.assert_close(log_q, by_hand)
    by_mean, by_std = torch.autograd.grad(log_q.sum(), (mean, std))
    # log q(z) = −ε²/2 − log σ − …: along a draw only the scale matters.
    torch.testing.assert_close(by_mean, torch.zeros(5, 3, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(by_std, -7 / std.detach())


def test_one_draw_keeps_the_batch_shape() -> None:
    z, log_q = sample_with_log_prob(diagonal_normal(torch.zeros(5, 3), 1.0))
    assert (z.shape, log_q.shape) == ((5, 3), (5,))


def full_normal(batch: int, latent: int) -> MultivariateNormal:
    below = (0.4 * draw(batch, latent, latent)).tril(-1)
    return MultivariateNormal(draw(batch, latent), scale_tril=below + torch.eye(latent).double())


def a_diagonal_normal(batch: int, latent: int) -> Independent[Normal]:
    return diagonal_normal(draw(batch, latent), (0.3 * draw(batch, latent)).exp())


@pytest.mark.parametrize(
    ("first", "second"),
    [(a_diagonal_normal, full_normal), (full_normal, a_diagonal_normal), (a_diagonal_normal, a_diagonal_normal)],
)
def test_a_divergence_agrees_with_draws(
    first: Callable[[int, int], Distribution], second: Callable[[int, int], Distribution]
) -> None:
    q, p = first(4, 3), second(4, 3)
    z = q.sample((40_000,))
    ratio = q.log_prob(z) - p.log_prob(z)  # [samples, batch]
    off = (ratio.mean(0) - kl_divergence(q, p)).abs() / (ratio.std(0) / 40_000**0.5)
    assert (off < 5).all()


def test_diagonal_and_full_normals_have_the_same_divergences_in_both_directions() -> None:
    a, b = a_diagonal_normal(4, 3), a_diagonal_normal(4, 3)
    full_a, full_b = (MultivariateNormal(d.mean, torch.diag_embed(d.variance)) for d in (a, b))
    for q, p, full_q, full_p in ((a, b, full_a, full_b), (b, a, full_b, full_a)):
        expected = kl_divergence(q, p)
        assert expected.shape == (4,)
        for divergence in (kl_divergence(q, full_p), kl_divergence(full_q, p), kl_divergence(full_q, full_p)):
            torch.testing.assert_close(divergence, expected)
    assert (kl_divergence(a, b) - kl_divergence(b, a)).abs().min() > 1e-3, "the two directions must differ here"


def test_the_divergence_from_the_standard_normal_is_the_closed_form_of_the_paper() -> None:
    """Kingma & Welling, appendix B: KL = −½ Σ (1 + log σ² − μ² − σ²)."""
    mean, std = draw(4, 3), draw(4, 3).exp()
    by_hand = -0.5 * (1 + 2 * std.log() - mean.square() - std.square()).sum(-1)
    prior = diagonal_normal(torch.zeros(3).double(), 1.0)
    torch.testing.assert_close(kl_divergence(diagonal_normal(mean, std), prior), by_hand)


def test_a_batch_of_full_normals_is_compared_with_one_prior() -> None:
    prior = diagonal_normal(torch.zeros(3).double(), 1.0)
    full_prior = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    q = full_normal(4, 3)
    torch.testing.assert_close(kl_divergence(q, prior), kl_divergence(q, full_prior))
    torch.testing.assert_close(kl_divergence(prior, q), kl_divergence(full_prior, q))


def test_a_divergence_without_a_closed_form_says_so() -> None:
    full = MultivariateNormal(torch.zeros(3), torch.eye(3))
    with pytest.raises(NotImplementedError, match="diagonal normal"):
        kl_divergence(bernoulli(torch.zeros(3), event_axes=1), full)
    with pytest.raises(NotImplementedError, match="diagonal normal"):
        kl_divergence(full, bernoulli(torch.zeros(3), event_axes=1))
    with pytest.raises(NotImplementedError, match="over vectors"):
        kl_divergence(diagonal_normal(torch.zeros(2, 3), 1.0, event_axes=2), full)


def test_grey_pixels_under_a_bernoulli_are_refused() -> None:
    grey = torch.tensor([0.0, 0.25, 0.5, 0.75]).reshape(1, 1, 2, 2)
    text = message(lambda: bernoulli(torch.zeros(1, 1, 2, 2)).log_prob(grey))
    assert "from 0 to 0.75" in text
    assert "binarize" in text
    assert "grey" in text


@pytest.mark.parametrize("value", [nan, -1.0, 2.0, 255.0])
def test_pixels_that_are_neither_zero_nor_one_are_refused(value: float) -> None:
    x = torch.ones(2, 1, 2, 2)
    x[1, 0, 0, 0] = value
    assert "0 or 1" in message(lambda: bernoulli(torch.zeros(2, 1, 2, 2)).log_prob(x))


def test_an_expanded_bernoulli_still_refuses_grey_pixels() -> None:
    expanded = bernoulli(torch.zeros(1, 2, 2)).expand((5,))
    assert expanded.log_prob(torch.ones(5, 1, 2, 2)).shape == (5,)
    assert "binarize" in message(lambda: expanded.log_prob(torch.full((5, 1, 2, 2), 0.5)))


def test_parameters_with_nan_are_refused() -> None:
    bad = torch.tensor([[0.0, nan, 1.0]])
    for text in (message(lambda: bernoulli(bad, event_axes=1)), message(lambda: diagonal_normal(bad, 1.0))):
        assert "NaN in 1 of 3" in text
        assert "learning rate" in text
    assert "logits" in message(lambda: bernoulli(bad, event_axes=1))
    assert "mean" in message(lambda: diagonal_normal(bad, 1.0))


@pytest.mark.parametrize("std", [nan, torch.tensor([1.0, nan, 1.0])], ids=["number", "tensor"])
def test_a_standard_deviation_with_nan_is_refused(std: float | Tensor) -> None:
    text = message(lambda: diagonal_normal(torch.zeros(2, 3), std))
    assert "standard deviation" in text
    assert "NaN in 1 of" in text


@pytest.mark.parametrize("std", [0.0, -0.5])
def test_a_standard_deviation_that_is_not_positive_is_refused(std: float) -> None:
    for given_std in (std, torch.tensor([1.0, std, 1.0])):
        text = message(lambda given_std=given_std: diagonal_normal(torch.zeros(2, 3), given_std))  # type: ignore[misc]
        assert "must be positive" in text
        assert f"{std:.4g}" in text
        assert "exp" in text


def test_nothing_is_refused_where_validation_is_off() -> None:
    with validation(False):
        bernoulli(torch.zeros(1, 1, 2, 2)).log_prob(torch.full((1, 1, 2, 2), 0.5))
        diagonal_normal(torch.zeros(2, 3), 0.0)
        diagonal_normal(torch.full((2, 3), nan), 1.0)


@repeatable
@given(shape=shapes, dtype=dtypes, seed=seeds, scale=st.sampled_from([0.0, 1.0, 30.0, 100.0, 1e4]))
def test_a_bernoulli_is_finite_and_not_positive_at_extreme_logits(
    shape: tuple[int, ...], dtype: torch.dtype, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * (2 * torch.rand(5, *shape, generator=generator, dtype=dtype) - 1)
    x = torch.randint(2, (5, *shape), generator=generator).to(dtype)
    log_p = bernoulli(logits, event_axes=len(shape)).log_prob(x)
    assert log_p.shape == (5,)
    assert log_p.dtype == dtype
    assert log_p.isfinite().all()
    assert (log_p <= 0).all()


@pytest.mark.parametrize(
    ("logit", "x", "expected"), [(1e4, 1.0, 0.0), (1e4, 0.0, -1e4), (-1e4, 1.0, -1e4), (-1e4, 0.0, 0.0)]
)
def test_a_bernoulli_keeps_its_gradient_at_extreme_logits(logit: float, x: float, expected: float) -> None:
    logits = torch.tensor([[logit]], requires_grad=True)
    log_p = bernoulli(logits, event_axes=1).log_prob(torch.tensor([[x]]))
    assert log_p.tolist() == [expected]
    (gradient,) = torch.autograd.grad(log_p.sum(), logits)
    assert gradient.item() == pytest.approx(x - (logit > 0))


@repeatable
@given(shape=shapes, dtype=dtypes, seed=seeds, log_std=st.floats(-8, 8), distance=st.floats(-100, 100))
def test_a_diagonal_normal_is_its_formula_for_any_shape_and_scale(
    shape: tuple[int, ...], dtype: torch.dtype, seed: int, log_std: float, distance: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(5, *shape, generator=generator, dtype=dtype)
    std = torch.full_like(mean, log_std).exp()
    x = mean + distance * std
    log_p = diagonal_normal(mean, std, event_axes=len(shape)).log_prob(x)
    standardised = (x.double() - mean.double()) / std.double()
    by_hand = (-0.5 * standardised.square() - std.double().log() - 0.5 * log(2 * pi)).flatten(1).sum(-1)
    assert (log_p.shape, log_p.dtype) == ((5,), dtype)
    torch.testing.assert_close(log_p.double(), by_hand, rtol=1e-4, atol=1e-3)


@repeatable
@given(shape=shapes, seed=seeds, samples=st.integers(1, 4))
def test_samples_and_densities_carry_the_declared_shapes(shape: tuple[int, ...], seed: int, samples: int) -> None:
    mean = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed))
    families: list[Distribution] = [
        bernoulli(mean, event_axes=len(shape)),
        diagonal_normal(mean, 1.0, event_axes=len(shape)),
    ]
    for family in families:
        x = family.sample((samples,))
        assert x.shape == (samples, 3, *shape)
        assert family.log_prob(x).shape == (samples, 3)
