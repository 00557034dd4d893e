"""Likelihoods of grey pixels: each sums or integrates to 1, is its closed form, and says what it refuses.

The partners are quadrature, scipy's logistic function and Python's decimal arithmetic, in which nothing underflows.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial
from itertools import product
from math import exp, inf, log, nan, pi

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Distribution

from tests.messages import message
from vae_course.data.images import quantize
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    continuous_bernoulli,
    discretized_logistic,
    grey_categorical,
    normal_with_std,
)
from vae_course.distributions.validation import validation
from vae_course.models.vae import mlp_vae
from vae_course.objectives.bounds import elbo

repeatable = settings(deadline=None, derandomize=True, max_examples=60, database=None)
Family = Callable[[Tensor], Distribution]

LOGITS = (-80.0, -20.0, -3.0, -0.21, -0.19, -1e-2, -1e-3, 0.0, 1e-6, 9e-3, 0.011, 0.06, 0.2, 1.0, 12.0, 80.0)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def greys(levels: int, *shape: int) -> Tensor:
    """Grey levels drawn at random, all equally likely."""
    return torch.randint(levels, shape).double() / (levels - 1)


def grid(levels: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The grey levels as pictures of one pixel: [levels, 1, 1, 1]."""
    return (torch.arange(levels, dtype=dtype) / (levels - 1)).reshape(-1, 1, 1, 1)


def quadrature(low: float, high: float, panels: int = 40) -> tuple[Tensor, Tensor]:
    """Points and weights of a composite Gauss-Legendre rule: pictures [n, 1, 1, 1], and [n]."""
    node, weight = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, panels + 1)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    points = edges[:-1, None] + half * (1 + node)
    return torch.from_numpy(points.reshape(-1, 1, 1, 1)), torch.from_numpy((half * weight).reshape(-1))


def one_pixel(*numbers: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """What a decoder gives for one pixel: [numbers, 1, 1]."""
    return torch.tensor(numbers, dtype=dtype).reshape(-1, 1, 1)


# --- all families: shapes, and one number per picture

FAMILIES: list[tuple[str, Family, int]] = [
    ("continuous_bernoulli", continuous_bernoulli, 1),
    ("NormalWithLearnedStd", NormalWithLearnedStd(), 1),
    ("normal_with_std", normal_with_std, 2),
    ("grey_categorical", partial(grey_categorical, levels=4), 4),
    ("discretized_logistic", partial(discretized_logistic, levels=4), 2),
]
each_family = pytest.mark.parametrize(
    ("family", "numbers"), [pytest.param(family, numbers, id=name) for name, family, numbers in FAMILIES]
)
each_image = pytest.mark.parametrize("image", [(1, 2, 3), (3, 4, 2)])


@each_image
@each_family
def test_a_picture_has_one_log_probability_whatever_axes_lead(
    family: Family, numbers: int, image: tuple[int, int, int]
) -> None:
    x = greys(4, 5, *image)
    for leading in ((), (5,), (7, 5)):
        p = family(draw(*leading, numbers * image[0], *image[1:]))
        assert (p.batch_shape, p.event_shape) == (leading, image)
        assert p.log_prob(x if leading else x[0]).shape == leading
        assert p.sample((2,)).shape == (2, *leading, *image)
        assert p.mean.shape == (*leading, *image)


@each_image
@each_family
def test_the_log_probability_of_a_picture_is_the_sum_over_its_pixels(
    family: Family, numbers: int, image: tuple[int, int, int]
) -> None:
    parameters, x = draw(numbers * image[0], *image[1:]), greys(4, *image)
    total = torch.zeros((), dtype=torch.float64)
    for channel, row, column in product(*map(range, image)):
        numbers_of_levels = [numbers * channel + k for k in range(numbers)]  # next to one another
        which = numbers_of_levels if numbers == 4 else [image[0] * k + channel for k in range(numbers)]
        alone = parameters[which, row, column].reshape(numbers, 1, 1)
        total += family(alone).log_prob(x[channel, row, column].reshape(1, 1, 1)).detach()
    torch.testing.assert_close(family(parameters).log_prob(x).detach(), total)


@each_family
def test_one_batch_is_compared_with_draws_of_many_samples(family: Family, numbers: int) -> None:
    parameters = draw(5, numbers * 3, 2, 2)
    x = greys(4, 7, 5, 3, 2, 2)
    p = family(parameters)
    torch.testing.assert_close(p.log_prob(x), torch.stack([p.log_prob(one) for one in x]))
    many = family(parameters.expand(7, *parameters.shape).clone())
    torch.testing.assert_close(many.log_prob(x[0]), p.log_prob(x[0]).expand(7, 5))


@each_family
def test_an_expanded_family_gives_every_copy_the_same_probability(family: Family, numbers: int) -> None:
    p, x = family(draw(numbers, 2, 2)), greys(4, 5, 1, 2, 2)
    expanded = p.expand((5,))
    assert (expanded.batch_shape, expanded.event_shape) == ((5,), (1, 2, 2))
    torch.testing.assert_close(expanded.log_prob(x), p.log_prob(x))


@each_family
def test_values_keep_the_number_type_of_the_parameters(family: Family, numbers: int) -> None:
    for dtype in (torch.float32, torch.float64):
        p = family(torch.zeros(numbers, 2, 2, dtype=dtype))
        x = p.sample()
        if not isinstance(family, NormalWithLearnedStd):
            assert (x.dtype, p.mean.dtype, p.log_prob(x).dtype) == (dtype, dtype, dtype)


@each_image
@each_family
def test_a_vae_learns_through_every_family(family: Family, numbers: int, image: tuple[int, int, int]) -> None:
    vae = mlp_vae(image, (4,), latent=2, family=family, numbers=numbers)
    x = greys(4, 5, *image).float()
    value = elbo(vae, x).value
    assert value.shape == (5,)
    value.sum().backward()
    for parameter in vae.decoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@each_family
def test_means_are_those_of_the_draws(family: Family, numbers: int) -> None:
    p = family(draw(numbers * 2, 2, 2))
    with torch.no_grad():
        x = p.sample((20_000,))
        off = (x.mean(0) - p.mean).abs() / (x.std(0) / 20_000**0.5)
    assert (off < 5).all()


# --- a normal with a learned standard deviation


@pytest.mark.parametrize("std", [0.05, 1.0, 3.0])
def test_a_normal_with_learned_std_integrates_to_one(std: float) -> None:
    x, weight = quadrature(0.4 - 12 * std, 0.4 + 12 * std)
    family = NormalWithLearnedStd(std=std).double()
    with torch.no_grad():
        total = float((family(one_pixel(0.4)).log_prob(x).exp() * weight).sum())
    assert total == pytest.approx(1, abs=1e-12)


def test_a_normal_with_learned_std_is_its_formula() -> None:
    mean, x = draw(5, 3, 2, 2), draw(5, 3, 2, 2)
    family = NormalWithLearnedStd(std=0.7).double()
    sigma = float(family.std)
    by_hand = (-0.5 * ((x - mean) / sigma).square() - log(sigma) - 0.5 * log(2 * pi)).sum((1, 2, 3))
    torch.testing.assert_close(family(mean).log_prob(x), by_hand)
    assert sigma == pytest.approx(0.7, abs=1e-6)
    assert float(NormalWithLearnedStd().std) == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((), (0, 1, 2, 3)), ((3, 1, 1), (0, 2, 3)), ((4, 5), (0, 1)), ((3, 4, 5), (0,)), ((1, 4, 1), (0, 1, 3))],
)
def test_the_best_std_is_the_root_mean_squared_error(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """At log σ = ½ log(mean squared error) the gradient vanishes, and every other σ is worse."""
    mean, x = draw(50, 3, 4, 5), draw(50, 3, 4, 5) * torch.linspace(0.5, 2, 60).reshape(3, 4, 5)
    family = NormalWithLearnedStd(shape).double()
    with torch.no_grad():
        error = (x - mean).square().mean(axes, keepdim=True)[0]
        family.tenth.copy_(0.05 * error.reshape(shape).log())
    log_p = family(mean).log_prob(x).sum()
    (gradient,) = torch.autograd.grad(log_p, family.tenth)
    assert gradient.shape == family.std.shape == shape
    assert gradient.abs().max() < 1e-10 * x.numel()
    torch.testing.assert_close(family.std, error.sqrt().reshape(shape))
    for moved in (-0.1, 0.1):
        other = NormalWithLearnedStd(shape).double()
        with torch.no_grad():
            other.tenth.copy_(family.tenth + moved / 10)
            assert other(mean).log_prob(x).sum() < log_p


def test_the_learned_std_is_trained_inside_a_vae() -> None:
    family = NormalWithLearnedStd(std=2.0)
    vae = mlp_vae((1, 2, 2), (4,), latent=2, family=family)
    assert any(parameter is family.tenth for parameter in vae.parameters())
    assert "family.tenth" in vae.state_dict()
    x = torch.rand(200, 1, 2, 2)
    adam = torch.optim.Adam(vae.parameters(), lr=0.02)
    for _ in range(150):
        adam.zero_grad()
        (-elbo(vae, x).value.mean()).backward()
        adam.step()
    with torch.no_grad():
        error = float((vae.likelihood(vae.posterior(x).rsample()).mean - x).square().mean().sqrt())
    assert float(family.std) == pytest.approx(error, rel=0.2), "σ did not follow the error from 2 to about 0.3"
    assert not family.std.requires_grad


@pytest.mark.parametrize("std", [0.0, -1.0, nan])
def test_a_std_that_does_not_start_positive_is_refused(std: float) -> None:
    text = message(lambda: NormalWithLearnedStd(std=std))
    assert f"std = {std}" in text
    assert "positive" in text


# --- a normal whose standard deviation the decoder gives


@pytest.mark.parametrize("log_std", [-4.0, 0.0, 2.0])
def test_a_normal_with_std_integrates_to_one(log_std: float) -> None:
    x, weight = quadrature(0.4 - 12 * exp(log_std), 0.4 + 12 * exp(log_std))
    total = float((normal_with_std(one_pixel(0.4, log_std)).log_prob(x).exp() * weight).sum())
    assert total == pytest.approx(1, abs=1e-12)


def test_the_decoder_gives_all_means_first_and_then_the_logs_of_the_standard_deviations() -> None:
    mean, log_std = draw(5, 3, 2, 2), draw(5, 3, 2, 2)
    p = normal_with_std(torch.cat([mean, log_std], 1))
    torch.testing.assert_close(p.mean, mean)
    torch.testing.assert_close(p.stddev, log_std.exp())
    x = draw(5, 3, 2, 2)
    torch.testing.assert_close(p.log_prob(x), diagonal_normal(mean, log_std.exp(), event_axes=3).log_prob(x))


# --- the continuous Bernoulli


def exact_continuous_bernoulli(logit: float, x: float) -> float:
    """log λ^x (1-λ)^(1-x) C(λ), C = log((1-λ)/λ) / (1-2λ) or 2 at λ = ½, in 200 digits (Loaiza-Ganem & Cunningham)."""
    with localcontext(prec=200):
        p = 1 / (1 + (-Decimal(logit)).exp())
        log_normaliser = Decimal(2).ln() if logit == 0 else (((1 - p) / p).ln() / (1 - 2 * p)).ln()
        return float(Decimal(x) * p.ln() + (1 - Decimal(x)) * (1 - p).ln() + log_normaliser)


@pytest.mark.parametrize("logit", [*LOGITS, -400.0, 1e-12, -0.2, 0.2000001, 150.0])
def test_a_continuous_bernoulli_is_its_closed_form(logit: float) -> None:
    p = continuous_bernoulli(one_pixel(logit))
    for x in (0.0, 0.1, 0.5, 0.93, 1.0):
        exact = exact_continuous_bernoulli(logit, x)
        assert float(p.log_prob(one_pixel(x))) == pytest.approx(exact, rel=1e-13, abs=3e-13)


@pytest.mark.parametrize("logit", [-1e6, -2000.0, 2000.0, 1e6])
def test_a_continuous_bernoulli_does_not_overflow_at_huge_logits(logit: float) -> None:
    """There log p(x) = log |l| - |l| · distance from the likelier end."""
    logits = one_pixel(logit).requires_grad_()
    for x in (0.0, 0.25, 1.0):
        log_p = continuous_bernoulli(logits).log_prob(one_pixel(x))
        distance = 1 - x if logit > 0 else x
        assert float(log_p.detach()) == pytest.approx(log(abs(logit)) - abs(logit) * distance, rel=1e-9)
        (gradient,) = torch.autograd.grad(log_p, logits)
        assert float(gradient) == pytest.approx(x - float(logit > 0) + 1 / logit, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", LOGITS)
def test_a_continuous_bernoulli_integrates_to_one(logit: float, dtype: torch.dtype) -> None:
    x, weight = quadrature(0, 1)
    density = continuous_bernoulli(one_pixel(logit, dtype=dtype)).log_prob(x.to(dtype)).exp()
    total = float((density.double() * weight).sum())
    assert total == pytest.approx(1, abs=1e-12 if dtype == torch.float64 else 3e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", LOGITS)
def test_the_mean_of_a_continuous_bernoulli_is_that_of_its_density(logit: float, dtype: torch.dtype) -> None:
    x, weight = quadrature(0, 1)
    exact = float((continuous_bernoulli(one_pixel(logit)).log_prob(x).exp() * x.flatten() * weight).sum())
    mean = float(continuous_bernoulli(one_pixel(logit, dtype=dtype)).mean)
    assert mean == pytest.approx(exact, abs=3e-9 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("logit", [-1e4, -500.0, 500.0, 1e4])
def test_the_mean_of_a_continuous_bernoulli_does_not_overflow(logit: float) -> None:
    for dtype in (torch.float32, torch.float64):
        mean = float(continuous_bernoulli(one_pixel(logit, dtype=dtype)).mean)
        assert mean == pytest.approx(float(logit > 0) - 1 / logit, abs=2e-7 if dtype == torch.float32 else 1e-15)


@pytest.mark.parametrize("logit", [-500.0, -100.0, -5.0, 0.0, 5.0, 100.0, 500.0])
def test_the_mean_of_a_continuous_bernoulli_keeps_its_gradient(logit: float) -> None:
    """d mean / dl is the variance: 1/l² - 1 / (4 sinh²(l/2)), and 1/12 at 0."""
    variance = 1 / 12 if logit == 0 else 1 / logit**2 - exp(-abs(logit)) / (1 - exp(-abs(logit))) ** 2
    logits = one_pixel(logit, dtype=torch.float32).requires_grad_()
    (gradient,) = torch.autograd.grad(continuous_bernoulli(logits).mean.sum(), logits)
    assert float(gradient) == pytest.approx(variance, rel=1e-3)


def test_the_gradient_of_a_continuous_bernoulli_is_its_finite_difference_also_at_zero() -> None:
    logits = torch.tensor([[-30.0], [-1.0], [-0.15], [0.0], [0.05], [0.3], [40.0]]).double().requires_grad_()
    x = torch.rand(7, 1, dtype=torch.float64)

    def log_p(logits: Tensor) -> Tensor:
        value: Tensor = continuous_bernoulli(logits, event_axes=1).log_prob(x)
        return value

    assert torch.autograd.gradcheck(log_p, logits)
    assert torch.autograd.gradgradcheck(log_p, logits)


@pytest.mark.parametrize("logit", LOGITS)
def test_the_gradient_of_a_continuous_bernoulli_is_x_minus_its_mean(logit: float) -> None:
    logits = one_pixel(logit).requires_grad_()
    p = continuous_bernoulli(logits)
    (gradient,) = torch.autograd.grad(p.log_prob(one_pixel(0.3)), logits)
    assert float(gradient) == pytest.approx(0.3 - float(p.mean.detach()), abs=3e-9)


def test_the_gradient_of_a_continuous_bernoulli_is_exact_on_both_sides_of_its_seam() -> None:
    for logit in (0.19999999, 0.20000001, -0.19999999, -0.20000001):
        logits = one_pixel(logit).requires_grad_()
        (gradient,) = torch.autograd.grad(continuous_bernoulli(logits).log_prob(one_pixel(0.0)), logits)
        mean = 1 / (1 - exp(-logit)) - 1 / logit
        assert float(gradient) == pytest.approx(-mean, abs=1e-10)


def test_a_continuous_bernoulli_agrees_with_torch_at_moderate_logits() -> None:
    logits = torch.cat([torch.linspace(-12, 12, 41), torch.tensor([-1e-3, 1e-3])]).double()[:, None]
    x = torch.rand(43, 1, dtype=torch.float64)
    ours, theirs = continuous_bernoulli(logits, event_axes=1), ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x)[:, 0], atol=1e-8, rtol=0)
    torch.testing.assert_close(ours.mean, theirs.mean, atol=1e-8, rtol=0)
    assert ours.event_shape == (1,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-200.0, -80.0, -25.0, -14.0, -1.0, 0.0, 3.0, 14.0, 25.0, 80.0, 200.0])
def test_draws_of_a_continuous_bernoulli_have_its_mean(logit: float, dtype: torch.dtype) -> None:
    p = continuous_bernoulli(one_pixel(logit, dtype=dtype))
    x = p.sample((20_000,)).double()
    assert ((x >= 0) & (x <= 1)).all()
    assert abs(float(x.mean() - p.mean)) < 5 * float(x.std()) / 20_000**0.5


@pytest.mark.parametrize("logit", [-80.0, -5.0, 0.0, 2.0, 80.0])
def test_the_variance_and_entropy_of_a_continuous_bernoulli_are_those_of_its_density(logit: float) -> None:
    x, weight = quadrature(0, 1)
    p = continuous_bernoulli(one_pixel(logit))
    log_p = p.log_prob(x)
    mass = log_p.exp() * weight
    variance = float((mass * (x.flatten() - float((mass * x.flatten()).sum())).square()).sum())
    assert float(p.variance) == pytest.approx(variance, rel=1e-6)
    assert float(p.entropy()) == pytest.approx(-float((mass * log_p).sum()), rel=1e-6, abs=1e-9)


def test_a_value_outside_the_unit_interval_has_no_density() -> None:
    for value in (-0.1, 1.1, nan):
        with pytest.raises(ValueError, match="support"):
            continuous_bernoulli(one_pixel(0.5)).log_prob(one_pixel(value))


# --- any probabilities for the grey levels


@pytest.mark.parametrize("levels", [2, 3, 8, 50, 256])  # 1/49 · 49 < 1 in either precision
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_table_of_probabilities_is_a_grey_categorical(levels: int, dtype: torch.dtype) -> None:
    table = torch.rand(levels, dtype=dtype) ** 8
    table = table / table.sum()
    p = grey_categorical(table.log().reshape(levels, 1, 1), levels)
    x = grid(levels, dtype)
    torch.testing.assert_close(p.log_prob(x).exp(), table)
    shifted = grey_categorical(table.log().reshape(levels, 1, 1) + 7, levels)
    torch.testing.assert_close(shifted.log_prob(x).exp(), table)


def test_a_level_may_have_no_probability_at_all() -> None:
    p = grey_categorical(one_pixel(0.0, -inf, 0.0), 3)
    assert p.log_prob(grid(3)).tolist() == [pytest.approx(-log(2)), -inf, pytest.approx(-log(2))]
    assert set(p.sample((200,)).flatten().tolist()) == {0.0, 1.0}
    assert float(p.mean) == pytest.approx(0.5)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_grey_categorical_sums_to_one_at_any_logits(levels: int, size: float) -> None:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        p = grey_categorical((size * torch.randn(levels, 1, 1)).to(dtype), levels)
        assert float(p.log_prob(grid(levels, dtype)).exp().sum()) == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("family", ["categorical", "logistic"])
def test_the_probabilities_of_all_pictures_sum_to_one(family: str) -> None:
    pictures = torch.tensor(list(product([0.0, 0.5, 1.0], repeat=4))).double().reshape(81, 2, 1, 2)
    if family == "categorical":
        p: Distribution = grey_categorical(draw(5, 6, 1, 2), 3)
    else:
        p = discretized_logistic(draw(5, 4, 1, 2), 3)
    torch.testing.assert_close(p.log_prob(pictures[:, None]).exp().sum(0), torch.ones(5).double())


def test_the_levels_of_a_channel_lie_next_to_one_another() -> None:
    levels, channels = 4, 3
    tables = torch.rand(channels, levels, 2, 2, dtype=torch.float64).log()
    p = grey_categorical(tables.reshape(channels * levels, 2, 2), levels)
    number = torch.randint(levels, (channels, 2, 2))
    by_hand = tables.log_softmax(1).gather(1, number[:, None]).sum()
    torch.testing.assert_close(p.log_prob(number.double() / 3), by_hand)
    torch.testing.assert_close(p.mean, (tables.softmax(1) * grid(4)[:, 0]).sum(1))


def test_the_gradient_of_a_grey_categorical_is_the_level_minus_its_probability() -> None:
    logits = draw(5, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(grey_categorical(logits, 5).log_prob(one_pixel(0.75)), logits)
    expected = torch.tensor([0, 0, 0, 1, 0]).double() - logits.detach().flatten().softmax(0)
    torch.testing.assert_close(gradient.flatten(), expected)


def test_the_likeliest_grey_is_a_grey_level() -> None:
    assert grey_categorical(one_pixel(0.0, 1.0, 3.0, 2.0, 0.0), 5).mode.item() == 0.5


DISCRETE: list[tuple[str, Callable[[int], Distribution]]] = [
    ("categorical", lambda levels: grey_categorical(torch.linspace(-1, 1, levels).double().reshape(-1, 1, 1), levels)),
    ("logistic", lambda levels: discretized_logistic(one_pixel(0.4, -1.2), levels)),
    ("logistic outside", lambda levels: discretized_logistic(one_pixel(1.1, -2.0), levels)),
]
each_discrete = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in DISCRETE])


@pytest.mark.parametrize("levels", [2, 3, 6, 256])
@each_discrete
def test_draws_lie_on_the_grid_with_their_probabilities(make: Callable[[int], Distribution], levels: int) -> None:
    p, n = make(levels), 40_000
    x = p.sample((n,))
    assert torch.isin(x, grid(levels)).all(), "a draw is not a grey level to the last bit"
    share = (x.flatten() * (levels - 1)).round().long().bincount(minlength=levels) / n
    expected = p.log_prob(grid(levels)).exp()
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt() + 2 / n).all()


@pytest.mark.parametrize("levels", [2, 5, 256])
@each_discrete
def test_the_mean_grey_is_the_sum_over_the_levels(make: Callable[[int], Distribution], levels: int) -> None:
    p = make(levels)
    exact = float((p.log_prob(grid(levels)).exp() * grid(levels).flatten()).sum())
    assert float(p.mean) == pytest.approx(exact, abs=1e-12)


# --- the discretised logistic


def exact_logistic(location: float, scale: float, level: int, levels: int) -> float:
    """log(S((x + h - μ) / s) - S((x - h - μ) / s)), the ends open, in as many digits as the tails need."""
    with localcontext(prec=60 + int(max(abs(location), abs(1 - location)) / scale / 2)):
        x, half = Decimal(level) / (levels - 1), Decimal(1) / (2 * (levels - 1))
        up = 1 / (1 + (-(x + half - Decimal(location)) / Decimal(scale)).exp()) if level < levels - 1 else Decimal(1)
        down = 1 / (1 + (-(x - half - Decimal(location)) / Decimal(scale)).exp()) if level > 0 else Decimal(0)
        return float((up - down).ln())


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("location", [-0.3, 0.0, 0.5, 1.2])
@pytest.mark.parametrize("log_scale", [-4.0, -1.0, 2.0])
def test_a_discretized_logistic_is_a_difference_of_the_logistic_function(
    levels: int, location: float, log_scale: float
) -> None:
    x = np.arange(levels) / (levels - 1)
    half = 0.5 / (levels - 1)
    up, down = (expit((x + step - location) / exp(log_scale)) for step in (half, -half))
    up[-1], down[0] = 1, 0
    p = discretized_logistic(one_pixel(location, log_scale), levels)
    torch.testing.assert_close(p.log_prob(grid(levels)).exp(), torch.from_numpy(up - down), atol=1e-14, rtol=1e-9)


@pytest.mark.parametrize(
    ("location", "scale", "level", "levels"),
    [
        (5.0, 0.01, 128, 256),
        (-3.0, 0.005, 255, 256),
        (-3.0, 0.005, 200, 256),
        (0.1, 2.0**-10, 60, 64),
        (9.0, 0.02, 0, 8),
    ],
)
def test_the_logarithm_is_right_where_the_difference_underflows(
    location: float, scale: float, level: int, levels: int
) -> None:
    parameters = one_pixel(location, log(scale)).requires_grad_()
    log_p = discretized_logistic(parameters, levels).log_prob(one_pixel(level / (levels - 1)))
    exact = exact_logistic(location, exp(log(scale)), level, levels)
    assert float(log_p.detach()) == pytest.approx(exact, rel=1e-12)
    assert exact < -300
    (gradient,) = torch.autograd.grad(log_p, parameters)
    assert gradient.isfinite().all()
    half = 0.5 / (levels - 1)
    towards = -1.0 if location > 0.5 else 1.0  # far out, log P = ∓(edge - μ) / s + log(1 - e^(-2h/s))
    edge = level / (levels - 1) - towards * half
    assert float(gradient[0, 0, 0]) == pytest.approx(towards / scale)
    inner = 0.0 if level in (0, levels - 1) else 2 * half / scale / np.expm1(2 * half / scale)
    assert float(gradient[1, 0, 0]) == pytest.approx(towards * (edge - location) / scale - inner)


@repeatable
@given(
    location=st.one_of(st.floats(-0.5, 1.5), st.floats(-1000, 1000)),
    log_scale=st.floats(log(1e-4), log(1e2)),
    levels=st.sampled_from([2, 3, 5, 16, 256]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_discretized_logistic_sums_to_one_at_any_location_and_scale(
    location: float, log_scale: float, levels: int, dtype: torch.dtype
) -> None:
    parameters = one_pixel(location, log_scale, dtype=dtype).requires_grad_()
    log_p = discretized_logistic(parameters, levels).log_prob(grid(levels, dtype))
    tolerance = 1e-9 if dtype == torch.float64 else 1e-5 + 5e-7 * exp(-log_scale)  # x - μ is rounded, then divided
    assert float(log_p.detach().double().exp().sum()) == pytest.approx(1, abs=tolerance)
    assert log_p.isfinite().all()
    assert (log_p <= 0).all()
    (gradient,) = torch.autograd.grad(log_p.sum(), parameters)
    assert gradient.isfinite().all()


def test_the_gradient_of_a_discretized_logistic_is_its_finite_difference() -> None:
    parameters = torch.cat([draw(3, 1, 2, 2), 0.5 * draw(3, 1, 2, 2) - 1], 1).requires_grad_()
    for level in (0.0, 0.25, 1.0):
        x = torch.full((1, 2, 2), level, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda p, x=x: discretized_logistic(p, 5).log_prob(x), parameters)


def test_the_locations_come_first_and_then_the_logs_of_the_scales() -> None:
    location, log_scale = torch.rand(3, 2, 2).double(), draw(3, 2, 2)
    p = discretized_logistic(torch.cat([location, log_scale]), 4)
    x = greys(4, 3, 2, 2)
    total = 0.0
    for place in product(range(3), range(2), range(2)):
        total += exact_logistic(float(location[place]), float(log_scale[place].exp()), round(3 * float(x[place])), 4)
    assert float(p.log_prob(x)) == pytest.approx(total, rel=1e-12)


def test_two_levels_are_a_bernoulli() -> None:
    """P(x = 1) = S((μ - ½) / s)."""
    p = discretized_logistic(one_pixel(0.8, -0.5), 2)
    assert p.log_prob(grid(2)).exp().tolist() == pytest.approx([expit((0.5 - 0.8) / exp(-0.5)), expit(0.3 * exp(0.5))])


def test_a_location_far_outside_draws_the_nearest_end() -> None:
    for location, end in ((-50.0, 0.0), (50.0, 1.0)):
        assert (discretized_logistic(one_pixel(location, -1.0), 8).sample((100,)) == end).all()


# --- what is refused


@pytest.mark.parametrize("levels", [1, 0, -3])
def test_fewer_than_two_levels_are_refused(levels: int) -> None:
    for call in (
        lambda: grey_categorical(torch.zeros(6, 2, 2), levels),
        lambda: discretized_logistic(torch.zeros(6, 2, 2), levels),
    ):
        text = message(call)
        assert f"{levels} grey levels" in text
        assert "at least 2" in text


@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (1, 2, 2), (4, 4), (2,)])
def test_two_numbers_a_pixel_cannot_be_halved_from_an_odd_number_of_channels(shape: tuple[int, ...]) -> None:
    for name, call in (
        ("normal_with_std", lambda: normal_with_std(torch.zeros(shape))),
        ("discretized_logistic", lambda: discretized_logistic(torch.zeros(shape), 4)),
    ):
        text = message(call)
        assert text.startswith(f"{name} was given {list(shape)}")
        assert "two numbers a pixel" in text


@pytest.mark.parametrize("shape", [(5, 6, 2, 2), (3, 2, 2), (4, 4), (4,)])
def test_levels_that_do_not_divide_the_channels_are_refused(shape: tuple[int, ...]) -> None:
    text = message(lambda: grey_categorical(torch.zeros(shape), 4))
    assert f"{list(shape)} for 4 levels" in text
    assert "4 × channels" in text


def four_levels() -> list[Distribution]:
    return [grey_categorical(torch.zeros(4, 2, 2), 4), discretized_logistic(torch.zeros(2, 2, 2), 4)]


@pytest.mark.parametrize("value", [0.5, 1 / 6, 0.335, -1 / 3, 4 / 3, 2.0, 255.0, nan])
@pytest.mark.parametrize("expanded", [False, True])
def test_a_value_that_is_no_grey_level_is_refused(value: float, expanded: bool) -> None:
    x = torch.ones(3, 1, 2, 2)
    x[1, 0, 1, 0] = value
    for p in four_levels():
        likelihood = p.expand((3,)) if expanded else p
        text = message(lambda likelihood=likelihood: likelihood.log_prob(x))  # type: ignore[misc]
        assert "4 grey levels" in text
        assert "quantize(images, 4)" in text
        assert f"{min(value, 1):.4g}" in text or f"{max(value, 1):.4g}" in text


@pytest.mark.parametrize("levels", [2, 4, 256, 65_536])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_quantize_returns_is_accepted(levels: int, dtype: torch.dtype) -> None:
    x = quantize(torch.rand(1, 1, 100, 100, dtype=dtype), levels)
    assert discretized_logistic(torch.zeros(2, 100, 100, dtype=dtype), levels).log_prob(x).isfinite().all()
    if levels <= 256:
        assert grey_categorical(torch.zeros(levels, 100, 100, dtype=dtype), levels).log_prob(x).isfinite().all()


def test_nothing_is_checked_where_validation_is_off() -> None:
    with validation(False):
        for p in four_levels():
            assert p.log_prob(torch.full((1, 2, 2), 0.4)).isfinite()
            assert p.expand((3,)).log_prob(torch.full((3, 1, 2, 2), 0.4)).isfinite().all()
        continuous_bernoulli(torch.full((1, 2, 2), nan)).log_prob(torch.full((1, 2, 2), 1.5))
        normal_with_std(torch.full((2, 2, 2), nan)).log_prob(torch.zeros(1, 2, 2))


@each_family
def test_parameters_with_nan_are_refused(family: Family, numbers: int) -> None:
    with pytest.raises(ValueError, match=r"nan|NaN"):
        family(torch.full((numbers, 2, 2), nan))


def test_a_std_that_underflows_is_refused() -> None:
    assert "must be positive" in message(lambda: normal_with_std(one_pixel(0.0, -1000.0)))
