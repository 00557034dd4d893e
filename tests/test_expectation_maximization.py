"""Expectation maximisation of the linear-Gaussian model: by loops, at its fixed point, and never downwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae_course.data.toys import linear_gaussian
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exact.mixture import NormalMixture
from vae_course.inference.expectation_maximization import expectation_maximization

repeatable = settings(deadline=None, derandomize=True, max_examples=60, database=None)


def data(n: int = 40, observed: int = 4, latent: int = 2) -> Tensor:
    return linear_gaussian(n, observed, latent, torch.Generator().manual_seed(6)).x


def a_start(observed: int = 4, latent: int = 2, std: float = 0.8) -> LinearGaussian:
    return LinearGaussian(torch.randn(observed, latent).double(), torch.randn(observed).double(), std)


def test_a_step_is_the_m_step_by_loops_over_the_points() -> None:
    x, start = data(15), a_start()
    after, identity = start.em_step(x), torch.eye(2).double()
    bias = sum(x.unbind(), torch.zeros(4).double()) / 15
    inverse = torch.linalg.inv(start.weight.T @ start.weight + start.std**2 * identity)
    means = [inverse @ start.weight.T @ (one - bias) for one in x]
    moments = [start.std**2 * inverse + torch.outer(m, m) for m in means]
    cross, second = torch.zeros(4, 2).double(), torch.zeros(2, 2).double()
    for one, m, moment in zip(x, means, moments, strict=True):
        cross += torch.outer(one - bias, m)
        second += moment
    weight = cross @ torch.linalg.inv(second)
    variance = 0.0
    for one, m, moment in zip(x, means, moments, strict=True):
        off = one - bias
        variance += float(off @ off - 2 * m @ weight.T @ off + (moment @ weight.T @ weight).trace()) / (15 * 4)
    torch.testing.assert_close(after.bias, bias)
    torch.testing.assert_close(after.weight, weight)
    assert float(after.std) == pytest.approx(variance**0.5)


def expected_log_joint(model: LinearGaussian, mean: Tensor, moment: Tensor, x: Tensor) -> Tensor:
    """E[log p(x, z)] summed over x, up to a constant, under posteriors with these first and second moments."""
    off = x - model.bias
    squares = off.square().sum() - 2 * ((off @ model.weight) * mean).sum()
    squares = squares + (model.weight.T @ model.weight * moment.sum(0)).sum()
    return -0.5 * squares / model.std**2 - x.numel() * model.std.log()


def test_a_step_leaves_no_gradient_in_what_it_maximises() -> None:
    x, start = data(), a_start()
    after = start.em_step(x)
    posterior = LinearGaussian(start.weight, x.mean(0), start.std).posterior(x)
    moment = posterior.covariance_matrix + posterior.mean[:, :, None] * posterior.mean[:, None]
    weight, std = (value.clone().requires_grad_() for value in (after.weight, after.std))
    value = expected_log_joint(LinearGaussian(weight, after.bias, std), posterior.mean, moment, x)
    for gradient in torch.autograd.grad(value, [weight, std]):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


@pytest.mark.parametrize("which", ["weight", "bias", "std"])
def test_the_gradient_of_log_p_x_is_the_posterior_mean_of_the_gradient_of_the_joint(which: str) -> None:
    """Fisher's identity."""
    x, start = data(), a_start()
    values = {name: value.clone().requires_grad_() for name, value in start.named_buffers()}
    model = LinearGaussian(**values)
    (by_autograd,) = torch.autograd.grad(model.log_evidence(x).sum(), [values[which]])
    posterior, off = start.posterior(x), x - start.bias
    mean = posterior.mean
    second = posterior.covariance_matrix.sum(0) + mean.T @ mean
    variance = start.std**2
    squares = off.square().sum() - 2 * (off @ start.weight * mean).sum()
    squares = squares + (start.weight.T @ start.weight * second).sum()
    by_fisher = {
        "weight": (off.T @ mean - start.weight @ second) / variance,
        "bias": (off - mean @ start.weight.T).sum(0) / variance,
        "std": squares / start.std**3 - x.numel() / start.std,
    }
    torch.testing.assert_close(by_autograd, by_fisher[which], atol=1e-9, rtol=1e-9)


@repeatable
@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(4, 2), (3, 1), (6, 5), (2, 2)]),
    log_std=st.floats(-5, 6),
    log_weight=st.floats(-9, 4),
    bias=st.sampled_from([0.0, 1.0, 1e3]),
)
def test_log_p_x_never_falls_from_any_start(
    seed: int, shape: tuple[int, int], log_std: float, log_weight: float, bias: float
) -> None:
    observed, latent = shape
    generator = torch.Generator().manual_seed(seed)
    x = linear_gaussian(30, 5, 2, generator).x[:, :1].repeat(1, observed)
    x = x + torch.randn(30, observed, generator=generator, dtype=torch.float64)
    weight = torch.randn(observed, latent, generator=generator, dtype=torch.float64) * 10**log_weight
    start = LinearGaussian(weight, torch.full((observed,), bias).double(), 10**log_std)
    climb = expectation_maximization(start, x, steps=8).log_evidence
    for before, after in pairwise(climb):
        assert after >= before - 1e-8 * max(1.0, abs(before))


def test_the_bias_is_the_mean_after_one_step() -> None:
    x = data()
    torch.testing.assert_close(a_start().em_step(x).bias, x.mean(0))


@pytest.mark.parametrize(("observed", "latent"), [(4, 2), (3, 1), (7, 6)])
def test_the_maximum_of_the_likelihood_is_a_fixed_point(observed: int, latent: int) -> None:
    x = data(100, observed, latent)
    best = LinearGaussian.maximum_likelihood(x, latent)
    after = best.em_step(x)
    for name, value in best.named_buffers():
        torch.testing.assert_close(after.get_buffer(name), value, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_em_converges_to_the_maximum_of_the_likelihood(seed: int) -> None:
    x = data(200)
    torch.manual_seed(seed)
    climb = expectation_maximization(a_start(), x, steps=600)
    best = LinearGaussian.maximum_likelihood(x, latent=2)
    assert climb.log_evidence[-1] == pytest.approx(float(best.log_evidence(x).mean()), abs=1e-9)
    torch.testing.assert_close(climb.model.std, best.std, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        climb.model.weight @ climb.model.weight.T, best.weight @ best.weight.T, atol=1e-4, rtol=0
    )  # the weight itself is known up to a rotation of the latents


def test_a_weight_of_zero_stays_zero() -> None:
    """A saddle: no gradient leads away from it."""
    x = data()
    after = LinearGaussian(torch.zeros(4, 2).double(), torch.zeros(4).double(), 1.0).em_step(x)
    assert torch.equal(after.weight, torch.zeros(4, 2).double())
    torch.testing.assert_close(after.std, (x - x.mean(0)).square().mean().sqrt())


def test_em_does_not_change_the_model_it_starts_from() -> None:
    start = a_start()
    before = {name: value.clone() for name, value in start.named_buffers()}
    start.em_step(data())
    for name, value in start.named_buffers():
        assert torch.equal(value, before[name])


def test_the_climb_has_one_value_more_than_steps_and_ends_at_its_model() -> None:
    x, start = data(), a_start()
    climb = expectation_maximization(start, x, steps=7)
    assert len(climb.log_evidence) == 8
    assert climb.log_evidence[0] == pytest.approx(float(start.log_evidence(x).mean()))
    assert climb.log_evidence[-1] == pytest.approx(float(climb.model.log_evidence(x).mean()))
    by_hand = start
    for _ in range(7):
        by_hand = by_hand.em_step(x)
    torch.testing.assert_close(climb.model.weight, by_hand.weight)


def test_the_climb_keeps_the_kind_of_its_model() -> None:
    x = data(observed=2)
    mixture = NormalMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    assert isinstance(expectation_maximization(mixture, x, 1).model, NormalMixture)


@pytest.mark.parametrize("steps", [0, -3])
def test_a_climb_needs_a_step(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"^expectation_maximization was asked for {steps} steps; .*at least 1\.$"):
        expectation_maximization(a_start(), data(), steps)
