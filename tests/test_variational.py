"""Variational inference: fitted families end at the exact answer, and coordinate ascent never goes downhill."""

from __future__ import annotations

from itertools import pairwise
from math import log

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MultivariateNormal, Normal, kl_divergence
from torch.optim import LBFGS

from vae_course.data.batches import Batches
from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exact.mixture import BayesianMixture
from vae_course.inference.variational import (
    DiagonalNormalFamily,
    MixtureMeanField,
    NormalFamily,
    coordinate_ascent_mixture,
    coordinate_ascent_normal,
    mean_field_of_normal,
)
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import Player, adam_player, fit


def known_model(n: int = 3) -> tuple[LinearGaussian, Tensor]:
    """Four observed dimensions, two latents that are correlated in the posterior."""
    data = linear_gaussian(n, 4, 2, torch.Generator().manual_seed(7), std=0.8)
    return LinearGaussian(data.weight, data.bias, data.std), data.x


def correlated(latent: int = 3) -> MultivariateNormal:
    root = torch.randn(latent, latent).double()
    return MultivariateNormal(torch.randn(latent).double(), root @ root.T + 0.2 * torch.eye(latent).double())


@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 5, 1)])
def test_a_diagonal_family_starts_where_it_is_told(shape: tuple[int, ...]) -> None:
    start = torch.randn(shape).double()
    q = DiagonalNormalFamily(start, std=0.3)(None)
    assert isinstance(q, Independent)
    assert (q.batch_shape, q.event_shape) == (shape[:-1], shape[-1:])
    torch.testing.assert_close(q.mean, start)
    torch.testing.assert_close(q.stddev, torch.full_like(start, 0.3))


@pytest.mark.parametrize("shape", [(2,), (5, 2), (3, 5, 1)])
def test_a_normal_family_starts_round_where_it_is_told(shape: tuple[int, ...]) -> None:
    start = torch.randn(shape).double()
    q = NormalFamily(start, std=0.3)(None)
    assert isinstance(q, MultivariateNormal)
    assert (q.batch_shape, q.event_shape) == (shape[:-1], shape[-1:])
    torch.testing.assert_close(q.mean, start)
    torch.testing.assert_close(q.covariance_matrix, 0.09 * torch.eye(shape[-1]).double().expand(*shape, -1))


def test_a_family_does_not_move_the_tensor_it_starts_from() -> None:
    start = torch.zeros(2)
    for family in (DiagonalNormalFamily(start), NormalFamily(start)):
        with torch.no_grad():
            family.mean.add_(1.0)
        assert start.tolist() == [0.0, 0.0]


def test_a_normal_family_is_a_distribution_at_any_parameters() -> None:
    family = NormalFamily(torch.zeros(4, 3).double())
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.copy_(torch.randn_like(parameter))
    q = family()
    scale = q.scale_tril
    assert torch.equal(scale, scale.tril())
    torch.testing.assert_close(scale.diagonal(dim1=-2, dim2=-1), family.log_diagonal.exp())
    torch.testing.assert_close(scale[:, 2, 0], family.below[:, 2, 0])


def test_a_normal_family_fitted_by_its_elbo_ends_at_the_posterior() -> None:
    model, x = known_model(n=1)
    family = NormalFamily(torch.zeros(2).double())

    def q(x: Tensor) -> Distribution:
        """The one q, a draw from it for every repeat of x."""
        q: Distribution = family(x).expand(x.shape[:1])
        return q

    bound = WithPosterior(model, q)
    player = adam_player(lambda x: -elbo(bound, x).value, family, rate=0.05)
    history = fit([player], Batches(x.repeat(128, 1), size=128, seed=0), epochs=800)
    exact, fitted = model.posterior(x[0]), family()
    torch.testing.assert_close(fitted.mean, exact.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(fitted.covariance_matrix, exact.covariance_matrix, atol=0.02, rtol=0)
    assert abs(float(exact.covariance_matrix[0, 1])) > 0.05  # there was a correlation to find
    assert history["loss"][-1] == pytest.approx(-float(model.log_evidence(x)), abs=0.1)


def test_a_diagonal_family_fitted_by_its_elbo_ends_at_the_mean_field_optimum() -> None:
    model, x = known_model(n=3)
    family = DiagonalNormalFamily(torch.zeros(3, 2).double())
    optimizer = LBFGS(family.parameters(), 1.0, 50, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")
    fit([Player(lambda x: -model.elbo(x, family(x)), optimizer)], [(x,)], epochs=10)
    best = mean_field_of_normal(model.posterior(x))
    torch.testing.assert_close(family().mean, best.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(family().stddev, best.stddev, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1e-3, 1e-1, 1.0])
def test_no_perturbation_of_the_mean_field_optimum_is_nearer(size: float) -> None:
    p = correlated()
    best = mean_field_of_normal(p)
    least = kl_divergence(best, p)
    for _ in range(50):
        mean, log_std = (value + size * torch.randn_like(value) for value in (best.mean, best.stddev.log()))
        assert kl_divergence(diagonal_normal(mean, log_std.exp()), p) > least


def test_the_mean_field_optimum_has_no_gradient() -> None:
    p = correlated()
    best = mean_field_of_normal(p)
    mean, std = best.mean.clone().requires_grad_(), best.stddev.clone().requires_grad_()
    for gradient in torch.autograd.grad(kl_divergence(diagonal_normal(mean, std), p), [mean, std]):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


def test_the_mean_field_optimum_is_narrower_than_the_marginals_and_exact_without_correlation() -> None:
    p = correlated()
    assert (mean_field_of_normal(p).variance < p.variance).all()
    plain = MultivariateNormal(torch.randn(3).double(), torch.diag(torch.rand(3).double() + 0.1))
    torch.testing.assert_close(mean_field_of_normal(plain).variance, plain.variance)


def test_the_mean_field_optimum_has_the_batch_of_its_target() -> None:
    model, x = known_model(n=5)
    q = mean_field_of_normal(model.posterior(x))
    assert isinstance(q.base_dist, Normal)
    assert (q.batch_shape, q.event_shape) == ((5,), (2,))
    torch.testing.assert_close(q.mean[3], mean_field_of_normal(model.posterior(x[3])).mean)


@pytest.mark.parametrize("latent", [1, 2, 5])
def test_coordinate_ascent_never_raises_the_divergence_and_converges(latent: int) -> None:
    p = correlated(latent)
    best, start = mean_field_of_normal(p), 3 * torch.randn(latent).double()
    path = coordinate_ascent_normal(p, start, sweeps=1000)
    assert path.shape == (1 + 1000 * latent, latent)
    assert torch.equal(path[0], start)
    divergences = kl_divergence(diagonal_normal(path, best.stddev), p)
    assert (divergences[1:] <= divergences[:-1] + 1e-10).all()
    torch.testing.assert_close(path[-1], p.mean, atol=1e-6, rtol=0)


def test_an_update_moves_one_mean_to_its_best_value() -> None:
    p = correlated(3)
    best = mean_field_of_normal(p)
    path = coordinate_ascent_normal(p, torch.randn(3).double(), sweeps=2)
    for update, (before, after) in enumerate(pairwise(path)):
        i = update % 3
        others = [j for j in range(3) if j != i]
        assert torch.equal(after[others], before[others])
        free = after.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(kl_divergence(diagonal_normal(free, best.stddev), p), free)
        assert float(gradient[i]) == pytest.approx(0, abs=1e-9)


def test_coordinate_ascent_without_sweeps_stays_at_its_start() -> None:
    start = torch.randn(3).double()
    assert torch.equal(coordinate_ascent_normal(correlated(3), start, sweeps=0), start[None])


def points(n: int = 9) -> Tensor:
    """Points around −2, 0 and 2, in turn."""
    return torch.tensor([-2.0, 0.0, 2.0]).double()[torch.arange(n) % 3] + 0.5 * torch.randn(n).double()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("components", [1, 2, 3])
def test_the_elbo_of_a_mixture_never_falls_and_stays_below_log_p_x(components: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, model = points(), BayesianMixture(components, prior_std=2.0, std=0.7)
    q = coordinate_ascent_mixture(model, x, 3 * torch.randn(components).double(), sweeps=40)
    assert len(q.elbo) == 40
    assert all(after >= before - 1e-10 for before, after in pairwise(q.elbo))
    assert q.elbo[-1] <= float(model.log_evidence(x)) + 1e-9


def test_mean_field_is_exact_for_one_component() -> None:
    x, model = points(), BayesianMixture(1, prior_std=2.0, std=0.7)
    q = coordinate_ascent_mixture(model, x, torch.tensor([5.0]).double(), sweeps=1)
    precision = 1 / 2.0**2 + 9 / 0.7**2
    assert q.elbo == pytest.approx([float(model.log_evidence(x))], abs=1e-9)
    assert float(q.means) == pytest.approx(float(x.sum()) / 0.7**2 / precision)
    assert float(q.stds) == pytest.approx(precision**-0.5)
    assert torch.equal(q.assignments, torch.ones(9, 1).double())


def test_between_clusters_far_apart_only_the_order_of_the_components_is_lost() -> None:
    """The posterior has K! equal modes, mean field holds one of them: log K! nats are missing."""
    centres = torch.tensor([-20.0, 0.0, 20.0]).double()
    x, model = centres.repeat(3) + 0.5 * torch.randn(9).double(), BayesianMixture(3, prior_std=15.0, std=0.5)
    q = coordinate_ascent_mixture(model, x, centres, sweeps=3)
    assert float(model.log_evidence(x)) - q.elbo[-1] == pytest.approx(log(6), abs=1e-5)


def one_draw_elbos(model: BayesianMixture, x: Tensor, q: MixtureMeanField, draws: int) -> Tensor:
    """log p(x, μ, c) − log q(μ, c) for draws from q, from the densities of torch: [draws] nats."""
    q_means, q_assignments = Normal(q.means, q.stds), Categorical(q.assignments)
    means, assignments = q_means.sample((draws,)), q_assignments.sample((draws,))  # [draws, components], [draws, n]
    log_p = Normal(0.0, model.prior_std).log_prob(means).sum(1) - len(x) * log(model.components)
    log_p = log_p + Normal(means.gather(1, assignments), model.std).log_prob(x).sum(1)
    value: Tensor = log_p - q_means.log_prob(means).sum(1) - q_assignments.log_prob(assignments).sum(1)
    return value


@pytest.mark.parametrize("sweeps", [1, 2, 30])
def test_the_elbo_of_a_mixture_is_the_mean_of_its_draws(sweeps: int) -> None:
    x, model = points(), BayesianMixture(3, prior_std=2.0, std=0.7)
    q = coordinate_ascent_mixture(model, x, torch.tensor([-1.0, 0.1, 0.5]).double(), sweeps)
    assert (q.means.shape, q.stds.shape, q.assignments.shape) == ((3,), (3,), (9, 3))
    torch.testing.assert_close(q.assignments.sum(1), torch.ones(9).double())
    draws = one_draw_elbos(model, x, q, 50_000)
    assert abs(float(draws.mean()) - q.elbo[-1]) < 5 * float(draws.std()) / 50_000**0.5


def test_after_convergence_no_perturbation_of_a_factor_is_better() -> None:
    x, model = points(), BayesianMixture(2, prior_std=2.0, std=0.7)
    q = coordinate_ascent_mixture(model, x, torch.tensor([-1.0, 1.0]).double(), sweeps=400)

    def closed_form(means: Tensor, log_stds: Tensor, logits: Tensor) -> Tensor:
        """The ELBO from torch's closed forms."""
        assignments = logits.softmax(1)
        squares = (x[:, None] - means).square() + (2 * log_stds).exp()
        log_p = -squares / (2 * model.std**2) - 0.5 * log(2 * torch.pi * model.std**2)
        uniform = Categorical(torch.ones(2).double())
        kl = kl_divergence(Normal(means, log_stds.exp()), Normal(0.0, model.prior_std)).sum()
        value: Tensor = (assignments * log_p).sum() - kl - kl_divergence(Categorical(assignments), uniform).sum()
        return value

    best = (q.means, q.stds.log(), q.assignments.log())
    reached = float(closed_form(*best))
    assert reached == pytest.approx(q.elbo[-1], abs=1e-6)
    for size in (1e-2, 1e-1, 1.0):
        for which in range(3):
            moved = [part + (i == which) * size * torch.randn_like(part) for i, part in enumerate(best)]
            assert float(closed_form(*moved)) < reached


@pytest.mark.parametrize("sweeps", [0, -1])
def test_coordinate_ascent_of_a_mixture_needs_a_sweep(sweeps: int) -> None:
    with pytest.raises(ValueError, match=rf"^coordinate_ascent_mixture was asked for {sweeps} sweeps; .*at least 1\.$"):
        coordinate_ascent_mixture(BayesianMixture(2, 1.0, 1.0), points(), torch.zeros(2).double(), sweeps)


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_coordinate_ascent_of_a_mixture_needs_a_mean_for_each_component(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^2 starting means were expected, not the shape \["):
        coordinate_ascent_mixture(BayesianMixture(2, 1.0, 1.0), points(), torch.zeros(shape).double(), 1)
