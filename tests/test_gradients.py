"""Gradient estimators: unbiased against exact gradients, with the variance that the formulas say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent

from vae_course.distributions.families import diagonal_normal
from vae_course.inference.gradients import gradient_draws, leave_one_out, no_baseline, pathwise, score_function

Baseline = Callable[[Tensor], Tensor]
TARGET = torch.tensor([1.0, -0.5]).double()


def cost(z: Tensor) -> Tensor:
    """‖z − t‖², whose mean under N(m, diag s²) is ‖m − t‖² + Σ s²."""
    return (z - TARGET).square().sum(-1)


def constant(cost: Tensor) -> Tensor:
    return torch.full_like(cost, 3.0)


def assert_unbiased(draws: Tensor, exact: Tensor) -> None:
    """The mean over the first axis lies within five of its standard errors."""
    error = draws.std(0) / len(draws) ** 0.5
    assert (error > 0).all()
    assert ((draws.mean(0) - exact).abs() < 5 * error).all()


def with_baseline(baseline: Baseline) -> Callable[[Distribution, Callable[[Tensor], Tensor], int], Tensor]:
    return lambda q, f, samples: score_function(q, f, samples, baseline)


ESTIMATORS = {
    "pathwise": pathwise,
    "no baseline": with_baseline(no_baseline),
    "constant": with_baseline(constant),
    "leave one out": with_baseline(leave_one_out),
}


@pytest.mark.parametrize("samples", [2, 5])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimate_is_unbiased_for_a_quadratic_cost(name: str, samples: int) -> None:
    mean, std = torch.tensor([0.3, 0.8]).double(), torch.tensor([0.6, 1.2]).double()

    def estimate(means: Tensor, stds: Tensor) -> Tensor:
        return ESTIMATORS[name](diagonal_normal(means, stds), cost, samples)

    by_mean, by_std = gradient_draws(estimate, [mean, std], 50_000)
    assert_unbiased(by_mean, 2 * (mean - TARGET))
    assert_unbiased(by_std, 2 * std)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_values_are_the_costs_of_the_draws(name: str) -> None:
    q = diagonal_normal(torch.randn(4, 2).double().requires_grad_(), 0.7)
    torch.manual_seed(1)
    values = ESTIMATORS[name](q, cost, 6)
    torch.manual_seed(1)
    expected = cost(q.sample((6,)))
    assert values.shape == (6, 4)
    assert values.requires_grad
    torch.testing.assert_close(values.detach(), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_at_the_optimum_the_variances_are_those_of_the_formulas(dimensions: int) -> None:
    """With x = t + σε the pathwise draw is 2σε; the score-function draw is σ²‖ε‖² ε/σ, of variance
    σ² E[‖ε‖⁴ ε_i²] = σ² E‖ε‖⁶ / d = σ² (d + 2)(d + 4) per coordinate."""
    std, target = 0.7, torch.randn(dimensions).double()

    def at_optimum(name: str) -> Tensor:
        def estimate(means: Tensor) -> Tensor:
            return ESTIMATORS[name](diagonal_normal(means, std), lambda x: (x - target).square().sum(-1), 1)

        (draws,) = gradient_draws(estimate, [target], 400_000)
        return draws.var(0)

    expected = torch.full((dimensions,), 1.0).double()
    torch.testing.assert_close(at_optimum("pathwise"), 4 * std**2 * expected, rtol=0.05, atol=0)
    by_formula = std**2 * (dimensions + 2) * (dimensions + 4) * expected
    torch.testing.assert_close(at_optimum("no baseline"), by_formula, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ["pathwise", "no baseline"])
def test_more_draws_in_an_estimate_divide_its_variance(name: str) -> None:
    def spread(samples: int) -> Tensor:
        def estimate(means: Tensor) -> Tensor:
            return ESTIMATORS[name](diagonal_normal(means, 0.7), cost, samples)

        (draws,) = gradient_draws(estimate, [torch.zeros(2).double()], 40_000)
        return draws.var(0)

    torch.testing.assert_close(spread(10), spread(1) / 10, rtol=0.1, atol=0)


def test_a_baseline_lowers_the_variance_far_from_the_optimum() -> None:
    def spread(baseline: Baseline) -> float:
        def estimate(means: Tensor) -> Tensor:
            return score_function(diagonal_normal(means, 0.5), cost, 4, baseline)

        (draws,) = gradient_draws(estimate, [TARGET + 4], 20_000)
        return float(draws.var(0).sum())

    assert spread(leave_one_out) < 0.2 * spread(no_baseline)


def test_a_draw_of_the_score_function_is_cost_less_baseline_times_the_score() -> None:
    mean = torch.tensor([0.2, -0.3]).double().requires_grad_()
    q = diagonal_normal(mean, 0.7)
    torch.manual_seed(3)
    (gradient,) = torch.autograd.grad(score_function(q, cost, 4, leave_one_out).sum(), mean)
    torch.manual_seed(3)
    z = q.sample((4,))
    costs, expected = cost(z).tolist(), torch.zeros(2).double()
    for i in range(4):
        others = sum(c for j, c in enumerate(costs) if j != i) / 3
        expected += (costs[i] - others) * (z[i] - mean.detach()) / 0.7**2
    torch.testing.assert_close(gradient, expected)


def test_leave_one_out_is_the_mean_of_the_others() -> None:
    costs = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]]).double()
    expected = torch.tensor([[4.0, 40.0], [3.5, 35.0], [1.5, 15.0]]).double()
    torch.testing.assert_close(leave_one_out(costs), expected)


@pytest.mark.parametrize("samples", [0, 1])
def test_leave_one_out_needs_another_draw(samples: int) -> None:
    with pytest.raises(ValueError, match=rf"^leave_one_out was given {samples} draws; .*at least 2\.$"):
        leave_one_out(torch.zeros(samples, 3))


def test_one_draw_has_no_leave_one_out_estimate() -> None:
    with pytest.raises(ValueError, match="given 1 draws"):
        score_function(diagonal_normal(torch.zeros(2).double(), 1.0), cost, 1, leave_one_out)


def test_no_baseline_is_zero() -> None:
    assert torch.equal(no_baseline(torch.ones(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_cost_that_depends_on_the_parameter_itself_adds_its_own_gradient(name: str) -> None:
    """E[a z²] under N(a, 1) is a (a² + 1), its derivative 3a² + 1."""
    a = torch.tensor(0.7).double()

    def estimate(rows: Tensor) -> Tensor:
        return ESTIMATORS[name](diagonal_normal(rows[:, None], 1.0), lambda z: rows * z[..., 0].square(), 3)

    (draws,) = gradient_draws(estimate, [a], 50_000)
    assert_unbiased(draws, 3 * a.square() + 1)


def test_a_cost_of_the_parameter_alone_has_its_exact_gradient_from_the_second_term() -> None:
    """With the cost as its own baseline the score-function term is gone, and ∇f remains."""
    a = torch.tensor([0.5, 2.0]).double().requires_grad_()
    values = score_function(diagonal_normal(a, 1.0), lambda z: a.square().sum().expand(len(z)), 4, lambda cost: cost)
    torch.testing.assert_close(torch.autograd.grad(values.mean(), a)[0], 2 * a.detach())


@pytest.mark.parametrize("baseline", [no_baseline, constant, leave_one_out])
def test_the_score_function_is_unbiased_for_binary_latents(baseline: Baseline) -> None:
    logits, weights = torch.tensor([0.3, -1.0, 0.8]).double(), torch.tensor([1.0, -2.0, 3.0]).double()

    def steps(z: Tensor) -> Tensor:
        """Neither linear nor differentiable."""
        return ((z @ weights) > 0.5).double() + (z @ weights).square()

    def estimate(rows: Tensor) -> Tensor:
        return score_function(Independent(Bernoulli(logits=rows), 1), steps, 4, baseline)

    free = logits.clone().requires_grad_()
    values = torch.tensor(list(product([0.0, 1.0], repeat=3))).double()
    mean = (Independent(Bernoulli(logits=free), 1).log_prob(values).exp() * steps(values)).sum()
    (draws,) = gradient_draws(estimate, [logits], 50_000)
    assert_unbiased(draws, torch.autograd.grad(mean, free)[0])


@pytest.mark.parametrize("baseline", [no_baseline, constant, leave_one_out])
def test_the_score_function_is_unbiased_for_a_categorical_latent(baseline: Baseline) -> None:
    logits, table = torch.tensor([0.3, -1.0, 0.8, 0.0]).double(), torch.tensor([1.0, -2.0, 5.0, 0.5]).double()

    def estimate(rows: Tensor) -> Tensor:
        return score_function(Categorical(logits=rows), lambda z: table[z], 4, baseline)

    free = logits.clone().requires_grad_()
    (exact,) = torch.autograd.grad(free.softmax(0) @ table, free)
    (draws,) = gradient_draws(estimate, [logits], 50_000)
    assert_unbiased(draws, exact)


@pytest.mark.parametrize("q", [Bernoulli(torch.tensor([0.5])), Categorical(torch.ones(3))])
def test_a_discrete_latent_has_no_pathwise_gradient(q: Distribution) -> None:
    name = type(q).__name__
    with pytest.raises(NotImplementedError, match=rf"^{name} has no reparameterized draw.*use the score function"):
        pathwise(q, lambda z: z.double(), 2)


def test_draws_of_a_gradient_have_the_shapes_of_their_parameters() -> None:
    parameters = [torch.randn(()), torch.randn(3), torch.randn(2, 3)]

    def estimate(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        assert (a.shape, b.shape, c.shape) == ((7,), (7, 3), (7, 2, 3))
        return (a + b.sum(-1) + c.square().sum((-1, -2))).expand(5, 7)

    draws = gradient_draws(estimate, parameters, 7)
    assert [d.shape for d in draws] == [(7,), (7, 3), (7, 2, 3)]
    torch.testing.assert_close(draws[0], torch.ones(7))
    torch.testing.assert_close(draws[2], 2 * parameters[2].expand(7, 2, 3))


def test_each_draw_of_a_gradient_is_that_of_its_own_column() -> None:
    scale = torch.arange(1.0, 7.0).double()  # column i has a cost of its own
    parameter = torch.randn(3).double()

    def estimate(rows: Tensor) -> Tensor:
        return torch.stack([scale * rows.square().sum(-1), 3 * scale * rows.square().sum(-1)])

    (draws,) = gradient_draws(estimate, [parameter], 6)
    torch.testing.assert_close(draws, 2 * scale[:, None] * 2 * parameter)


def test_each_draw_of_a_gradient_has_noise_of_its_own() -> None:
    mean = torch.randn(2).double()

    def estimate(rows: Tensor) -> Tensor:
        return pathwise(diagonal_normal(rows, 0.7), cost, 3)

    torch.manual_seed(5)
    (draws,) = gradient_draws(estimate, [mean], 10)
    torch.manual_seed(5)
    z = diagonal_normal(mean.expand(10, 2), 0.7).sample((3,))  # [samples, draws, 2]
    torch.testing.assert_close(draws, 2 * (z - TARGET).mean(0))
    assert len(draws.unique(dim=0)) == 10


def test_draws_of_a_gradient_leave_the_parameters_alone() -> None:
    parameter = torch.randn(2).double().requires_grad_()
    gradient_draws(lambda rows: rows.square().sum(-1)[None], [parameter], 4)
    assert parameter.grad is None
    assert parameter.requires_grad
