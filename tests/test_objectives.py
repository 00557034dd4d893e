"""The bounds against exact answers, in float64: closed forms, a grid over the latents, finite differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from math import log

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.model import LatentVariableModel
from vae_course.exact.grids import Grid, latent_grid, log_evidence_on_grid
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.vae import VAE, mlp_vae
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import Elbo, elbo, iwae, log_joint, log_mean_exp, log_weights
from vae_course.objectives.decomposition import DecomposedElbo, decomposed_elbo
from vae_course.randomness import seeded


def known_model(observed: int = 4, latent: int = 2, n: int = 6) -> tuple[LinearGaussian, Tensor]:
    """A linear-Gaussian model and data [n, observed] drawn from it."""
    data = linear_gaussian(n, observed, latent, torch.Generator().manual_seed(1))
    return LinearGaussian(data.weight, data.bias, data.std), data.x


def diagonal_q(x: Tensor) -> Independent[Normal]:
    """A q(z|x) over two latents that is far from the posterior and differs between examples."""
    mean = torch.stack([0.3 * x[:, 0], -0.2 * x[:, 1]], -1)
    return diagonal_normal(mean, torch.stack([0.4 + 0.1 * x[:, 2].abs(), 0.5 + 0.0 * x[:, 3]], -1))


def small_vae() -> VAE:
    """An MLP VAE with two latents on 1×2×2 pictures, its decoder scaled so that z matters.

    Its q(z|x) is about as wide as the prior, so that the weights p(x, z) / q(z|x) have a finite variance.
    """
    with seeded(8):
        vae = mlp_vae((1, 2, 2), hidden=(8,), latent=2).double()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(4.0)
        vae.encoder.get_parameter("network.2.bias")[2:] += 0.4
    return vae


def all_pictures() -> Tensor:
    """The sixteen binary pictures of 1×2×2 pixels: [16, 1, 2, 2]."""
    return torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64).reshape(16, 1, 2, 2)


def grid_elbo(model: LatentVariableModel, x: Tensor, grid: Grid) -> Tensor:
    """E_q[log p(x, z) − log q(z|x)] by the rectangle rule: [batch] nats."""
    log_q = model.posterior(x).log_prob(grid.points[:, None])  # [points, batch]
    log_p = log_joint(model, x, grid.points[:, None].expand(-1, len(x), -1))  # [points, batch]
    return ((log_q + grid.log_cell).exp() * (log_p - log_q)).sum(0)


def assert_mean_is(draws: Tensor, expected: Tensor, sigmas: float = 5.0) -> None:
    """The mean over the first axis lies within five of its standard errors of what is expected."""
    standard_error = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - expected).abs() / standard_error
    assert (off < sigmas).all(), f"off by {off.max():.2f} standard errors"


def test_every_importance_weight_of_the_exact_posterior_is_log_p_x() -> None:
    model, x = known_model()
    weights = log_weights(model, x, samples=50)
    assert weights.shape == (50, len(x))
    torch.testing.assert_close(weights, model.log_evidence(x).expand(50, -1), atol=1e-10, rtol=0)


def test_the_iwae_bound_of_the_exact_posterior_is_log_p_x_at_every_k() -> None:
    model, x = known_model()
    for samples in (1, 2, 7):
        torch.testing.assert_close(iwae(model, x, samples), model.log_evidence(x), atol=1e-10, rtol=0)


def exact_elbo(model: LinearGaussian, x: Tensor) -> Tensor:
    """The ELBO of `diagonal_q`: E_q log N(x; Wz + b, σ²I) = log N(x; Wm + b, σ²I) − Σ_j s_j² ‖W_j‖² / 2σ²."""
    q = diagonal_q(x)
    spread = (q.variance * model.weight.square().sum(0)).sum(-1) / (2 * model.std**2)
    exact: Tensor = model.likelihood(q.mean).log_prob(x) - spread - kl_divergence(q, model.prior())
    return exact


def test_elbo_plus_kl_to_the_posterior_is_log_p_x() -> None:
    model, x = known_model()
    gap = kl_divergence(diagonal_q(x), model.posterior(x))
    assert (gap > 0.1).all()
    torch.testing.assert_close(exact_elbo(model, x) + gap, model.log_evidence(x), atol=1e-10, rtol=0)


def test_elbo_estimates_its_exact_expectation() -> None:
    model, x = known_model()
    bound = WithPosterior(model, diagonal_q)
    draws = torch.stack([elbo(bound, x).value for _ in range(4000)])
    assert_mean_is(draws, exact_elbo(model, x))


def test_the_terms_of_elbo_are_the_expected_log_likelihood_and_the_kl() -> None:
    model, x = known_model()
    bound = WithPosterior(model, diagonal_q)
    kl = kl_divergence(diagonal_q(x), model.prior())
    draws = [elbo(bound, x) for _ in range(4000)]
    torch.testing.assert_close(draws[0].kl, kl)
    assert_mean_is(torch.stack([draw.log_likelihood for draw in draws]), exact_elbo(model, x) + kl)


def test_the_value_of_an_elbo_is_log_likelihood_minus_kl() -> None:
    assert Elbo(torch.tensor([-3.0, 2.0]), torch.tensor([1.0, 0.5])).value.tolist() == [-4.0, 1.5]


def test_closed_form_and_monte_carlo_elbo_agree() -> None:
    vae, x = small_vae(), all_pictures()
    with torch.no_grad():
        closed_form = torch.stack([elbo(vae, x).value for _ in range(4000)])
        monte_carlo = log_weights(vae, x, 4000)
    error = ((closed_form.var(0) + monte_carlo.var(0)) / 4000).sqrt()
    assert ((closed_form.mean(0) - monte_carlo.mean(0)).abs() < 5 * error).all()


@torch.no_grad()
def test_the_mean_of_log_weights_is_the_elbo_on_a_grid() -> None:
    vae, x, grid = small_vae(), all_pictures(), latent_grid(2)
    exact = grid_elbo(vae, x, grid)
    assert (log_evidence_on_grid(vae, x, grid) - exact > 0.05).all(), "q must not be the posterior here"
    assert_mean_is(log_weights(vae, x, 20_000), exact)


@torch.no_grad()
def test_the_mean_of_the_weights_is_p_x_on_a_grid() -> None:
    vae, x = small_vae(), all_pictures()
    assert_mean_is(log_weights(vae, x, 20_000).exp(), log_evidence_on_grid(vae, x, latent_grid(2)).exp())


@torch.no_grad()
def test_the_log_mean_exp_of_the_weights_is_log_p_x_on_a_grid() -> None:
    vae, x = small_vae(), all_pictures()
    weights = log_weights(vae, x, 50_000)
    error = weights.exp().std(0) / (weights.exp().mean(0) * 50_000**0.5)  # of the logarithm
    off = log_mean_exp(weights) - log_evidence_on_grid(vae, x, latent_grid(2))
    assert (error < 0.02).all()
    assert (off.abs() < 5 * error).all()


@torch.no_grad()
def test_p_x_of_all_pictures_sums_to_one() -> None:
    assert float(log_evidence_on_grid(small_vae(), all_pictures(), latent_grid(2)).exp().sum()) == pytest.approx(1)


def test_the_iwae_bound_with_two_samples_is_its_double_integral() -> None:
    model, x = known_model(observed=3, latent=1, n=3)
    grid = latent_grid(1, limit=6.0, steps=601)

    def q(x: Tensor) -> Distribution:
        return diagonal_normal(0.1 * x[:, :1] + 0.5, 0.6)

    bound = WithPosterior(model, q)
    log_q = q(x).log_prob(grid.points[:, None])  # [points, batch]
    log_w = log_joint(model, x, grid.points[:, None].expand(-1, len(x), -1)) - log_q
    mass = (log_q + grid.log_cell).exp()
    pairs = torch.logaddexp(log_w[:, None], log_w[None]) - log(2)  # [points, points, batch]
    exact = (mass[:, None] * mass[None] * pairs).sum((0, 1))
    assert (model.log_evidence(x) - exact > 0.05).all(), "q must not be the posterior here"
    draws = torch.stack([iwae(bound, x, samples=2) for _ in range(5000)])
    assert_mean_is(draws, exact)


@torch.no_grad()
def test_the_iwae_bound_rises_with_k_and_stays_below_log_p_x() -> None:
    vae, x = small_vae(), all_pictures()
    log_p = log_evidence_on_grid(vae, x, latent_grid(2)).mean()
    means, errors = [], []
    for samples in (1, 3, 10):
        draws = torch.stack([iwae(vae, x, samples).mean() for _ in range(3000)])
        means.append(draws.mean())
        errors.append(draws.std() / 3000**0.5)
    for k in (0, 1):
        assert means[k + 1] - means[k] > 5 * (errors[k] ** 2 + errors[k + 1] ** 2).sqrt()
    assert all(mean < log_p + 5 * error for mean, error in zip(means, errors, strict=True))
    torch.testing.assert_close(means[0], grid_elbo(vae, x, latent_grid(2)).mean(), atol=5 * float(errors[0]), rtol=0)


def test_the_encoder_of_a_vae_gives_the_mean_and_the_log_of_the_standard_deviation() -> None:
    vae, x = small_vae(), all_pictures()
    output = vae.encoder(x)  # [16, 4]
    q, prior = vae.posterior(x), vae.prior()
    torch.testing.assert_close(q.mean, output[:, :2])
    torch.testing.assert_close(q.stddev, output[:, 2:].exp())
    assert (q.batch_shape, q.event_shape) == ((16,), (2,))
    assert (prior.mean.tolist(), prior.stddev.tolist()) == ([0, 0], [1, 1])
    assert (prior.batch_shape, prior.event_shape) == ((), (2,))


def test_posterior_draws_have_the_mean_and_the_variance_of_the_posterior() -> None:
    q = small_vae().posterior(all_pictures()[:3])
    with torch.no_grad():
        z = q.rsample((40_000,))
        assert_mean_is(z, q.mean)
        assert_mean_is((z - q.mean).square(), q.variance)
        assert_mean_is((z - q.mean).prod(-1), torch.zeros(3, dtype=torch.float64))  # independent latents


def test_gradients_of_draws_are_the_gradients_of_the_moments() -> None:
    """Of E[z] = μ: 1 and 0; of E[z²] = μ² + σ²: 2μ and 2σ; of E[z₁z₂] = μ₁μ₂ with respect to μ₁: μ₂."""
    n = 40_000
    mu, sigma = torch.tensor([0.7, -1.2]).double(), torch.tensor([0.5, 2.0]).double()
    means, stds = (value.expand(n, 2).clone().requires_grad_() for value in (mu, sigma))
    z = diagonal_normal(means, stds).rsample()

    def gradients(moment: Tensor) -> tuple[Tensor, Tensor]:
        by_mean, by_std = torch.autograd.grad(moment.sum(), (means, stds), retain_graph=True)  # one row a draw
        return by_mean, by_std

    by_mean, by_std = gradients(z)
    assert (by_mean == 1).all()
    assert_mean_is(by_std, torch.zeros(2))
    by_mean, by_std = gradients(z.square())
    assert_mean_is(by_mean, 2 * mu)
    assert_mean_is(by_std, 2 * sigma)
    by_mean, by_std = gradients(z.prod(-1))
    assert_mean_is(by_mean, mu.flip(0))
    assert_mean_is(by_std, torch.zeros(2))


def elbo_value(vae: VAE, x: Tensor) -> Tensor:
    return elbo(vae, x).value


def mean_log_weight(vae: VAE, x: Tensor) -> Tensor:
    return log_weights(vae, x, 3).mean(0)


def iwae_of_three(vae: VAE, x: Tensor) -> Tensor:
    return iwae(vae, x, 3)


@pytest.mark.parametrize("objective", [elbo_value, mean_log_weight, iwae_of_three])
def test_gradients_agree_with_finite_differences_at_fixed_draws(objective: Callable[[VAE, Tensor], Tensor]) -> None:
    vae, x = small_vae(), all_pictures()

    def value() -> Tensor:
        torch.manual_seed(5)  # the same draws of z at every call
        return objective(vae, x).mean()

    parameters = list(vae.parameters())
    gradients = torch.autograd.grad(value(), parameters)
    step = 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert gradient.abs().sum() > 0
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            parameter.add_(step * direction)
            above = value()
            parameter.sub_(2 * step * direction)
            below = value()
            parameter.add_(step * direction)
        slope = (above - below) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_every_objective_returns_one_number_per_example(batch: int) -> None:
    vae, x = small_vae(), all_pictures()[:batch]
    for value in (*elbo(vae, x), elbo(vae, x).value, iwae(vae, x, 4)):
        assert value.shape == (batch,)
    assert log_weights(vae, x, 4).shape == (4, batch)


def test_the_log_joint_is_log_prior_plus_log_likelihood() -> None:
    model, x = known_model()
    z = torch.randn(5, len(x), 2, dtype=torch.float64)
    by_hand = -0.5 * z.square().sum(-1) - log(2 * torch.pi)
    residual = x - z @ model.weight.T - model.bias
    by_hand = by_hand - 0.5 * residual.square().sum(-1) / model.std**2 - 4 * (model.std.log() + 0.5 * log(2 * torch.pi))
    torch.testing.assert_close(log_joint(model, x, z), by_hand)


def test_log_mean_exp_is_the_log_of_the_mean_and_does_not_overflow() -> None:
    values = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(log_mean_exp(values), values.exp().mean(0).log())
    torch.testing.assert_close(log_mean_exp(values, axis=1), values.exp().mean(1).log())
    torch.testing.assert_close(log_mean_exp(values + 5000) - 5000, log_mean_exp(values), atol=1e-10, rtol=0)
    torch.testing.assert_close(log_mean_exp(values - 5000) + 5000, log_mean_exp(values), atol=1e-10, rtol=0)


@pytest.mark.parametrize("samples", [0, -1])
def test_fewer_than_one_sample_is_refused(samples: int) -> None:
    model, x = known_model()
    for objective in (log_weights, iwae):
        with pytest.raises(ValueError, match=rf"{samples} samples.*at least 1"):
            objective(model, x, samples)


def known_q(n: int = 5) -> tuple[WithPosterior, Tensor, Tensor, Tensor]:
    """A model with a factorised posterior that it looks up by x, n examples, and the means and deviations of q."""
    model, x = known_model(n=n)
    q = diagonal_q(x)
    return WithPosterior(model, diagonal_q), x, q.mean, q.stddev


def log_normal(z: float | Tensor, mean: float | Tensor, std: float | Tensor) -> Tensor:
    z, mean, std = (torch.as_tensor(value, dtype=torch.float64) for value in (z, mean, std))
    return -0.5 * ((z - mean) / std).square() - std.log() - 0.5 * log(2 * torch.pi)


def test_the_pieces_of_a_whole_set_are_those_of_an_explicit_loop() -> None:
    model, x, mean, std = known_q()
    torch.manual_seed(3)
    found = decomposed_elbo(model, x, 5)
    torch.manual_seed(3)
    z = model.posterior(x).rsample()
    log_likelihood = model.likelihood(z).log_prob(x)
    for i in range(5):
        joint, marginal = torch.zeros(()).double(), torch.zeros(2).double()
        for k in range(5):
            density = log_normal(z[i], mean[k], std[k]).exp()
            joint += density.prod() / 5
            marginal += density / 5
        own = log_normal(z[i], mean[i], std[i]).sum()
        prior = log_normal(z[i], 0.0, 1.0).sum()
        expected = (log_likelihood[i], own - joint.log(), (joint / marginal.prod()).log(), marginal.log().sum() - prior)
        torch.testing.assert_close(torch.stack([piece[i] for piece in found]), torch.stack(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [5, 6, 1000])
def test_the_pieces_add_up_to_log_q_less_log_p(size: int) -> None:
    model, x, mean, std = known_q()
    torch.manual_seed(3)
    found = decomposed_elbo(model, x, size)
    torch.manual_seed(3)
    z = model.posterior(x).rsample()
    whole = log_normal(z, mean, std).sum(-1) - log_normal(z, 0.0, 1.0).sum(-1)
    assert all(piece.shape == (5,) for piece in found)
    torch.testing.assert_close(found.index_code + found.total_correlation + found.dimension_wise, whole)
    torch.manual_seed(3)
    torch.testing.assert_close(found.log_likelihood, elbo(model, x).log_likelihood)
    assert DecomposedElbo._fields == ("log_likelihood", "index_code", "total_correlation", "dimension_wise")


@pytest.mark.parametrize("batch", [2, 3, 5, 6])
def test_over_all_batches_with_the_example_the_mean_of_q_of_z_is_exact(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every example keeps its z in every batch; q(z) and each q(z_j) are unbiased."""
    model, x, mean, std = known_q(n=6)
    z = (mean + std * torch.randn(6, 2).double()).detach()
    joint: list[list[Tensor]] = [[] for _ in range(6)]
    dimension_wise: list[list[Tensor]] = [[] for _ in range(6)]
    for members in combinations(range(6), batch):
        chosen = list(members)
        monkeypatch.setattr(Independent, "rsample", lambda *_, chosen=chosen: z[chosen])
        found = decomposed_elbo(model, x[chosen], 6)
        log_q = log_normal(z[chosen], mean[chosen], std[chosen]).sum(-1) - found.index_code
        for place, i in enumerate(chosen):
            joint[i].append(log_q[place].exp())
            dimension_wise[i].append(found.dimension_wise[place])
    pairs = log_normal(z[:, None], mean, std)  # [6, 6, 2]
    exact = pairs.sum(-1).exp().mean(1)
    for i in range(6):
        torch.testing.assert_close(torch.stack(joint[i]).mean(), exact[i], atol=0, rtol=1e-6)
        assert torch.stack(joint[i]).log().mean() <= exact[i].log() + 1e-6, "its logarithm errs downwards"
    if batch == 6:
        marginals = (pairs.exp().mean(1).log() - log_normal(z, 0.0, 1.0)).sum(-1)
        torch.testing.assert_close(torch.stack([one[0] for one in dimension_wise]), marginals, atol=1e-6, rtol=0)


def test_an_example_weighs_one_over_the_size_and_the_others_the_rest_in_equal_parts() -> None:
    model, x, mean, std = known_q(n=3)
    for size in (3, 4, 50):
        torch.manual_seed(3)
        found = decomposed_elbo(model, x, size)
        torch.manual_seed(3)
        z = model.posterior(x).rsample()
        for i in range(3):
            others = [k for k in range(3) if k != i]
            density = log_normal(z[i], mean, std).exp()  # [3, 2]
            marginal = density[i] / size + density[others].sum(0) * (size - 1) / (2 * size)
            expected = marginal.log().sum() - log_normal(z[i], 0.0, 1.0).sum()
            torch.testing.assert_close(found.dimension_wise[i], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [6, 200])
def test_latents_that_know_nothing_of_x_carry_no_index_code(size: int) -> None:
    model, x = known_model()
    same = WithPosterior(model, lambda x: diagonal_normal(torch.tensor([0.3, -1.0]).double().expand(len(x), 2), 0.7))
    found = decomposed_elbo(same, x, size)
    zero = torch.zeros(6).double()
    torch.testing.assert_close(found.index_code, zero, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.total_correlation, zero, atol=1e-6, rtol=0)
    prior = WithPosterior(model, lambda x: diagonal_normal(torch.zeros(len(x), 2).double(), 1.0))
    torch.testing.assert_close(decomposed_elbo(prior, x, size).dimension_wise, zero, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_mean_pieces_of_many_examples_are_those_of_the_normal_aggregate() -> None:
    """q(z|x) = N(Ax + c, diag s²) with x normal: q(z) is normal, and every piece is a closed form."""
    model, x = known_model(n=2000)
    matrix = torch.tensor([[0.5, 0.2, 0.1, 0.0], [0.4, 0.3, 0.0, 0.2]]).double()
    std = torch.tensor([0.6, 0.9]).double()
    bound = WithPosterior(model, lambda x: diagonal_normal(x @ matrix.T, std))
    found = decomposed_elbo(bound, x, 2000)
    means = x @ matrix.T
    covariance = torch.cov(means.T, correction=0) + torch.diag(std.square())
    variance = covariance.diag()
    information = 0.5 * (torch.logdet(covariance) - 2 * std.log().sum())
    correlation = 0.5 * (variance.log().sum() - torch.logdet(covariance))
    wise = 0.5 * (variance + means.mean(0).square() - 1 - variance.log()).sum()
    assert float(correlation) > 0.01
    for piece, exact in ((found.index_code, information), (found.total_correlation, correlation)):
        assert abs(float(piece.mean() - exact)) < 5 * float(piece.std()) / 2000**0.5 + 0.01
    assert abs(float(found.dimension_wise.mean() - wise)) < 5 * float(found.dimension_wise.std()) / 2000**0.5 + 0.01


def test_one_example_that_is_the_whole_set_has_no_index_code() -> None:
    model, x = known_model(n=1)
    found = decomposed_elbo(WithPosterior(model, diagonal_q), x, 1)
    torch.testing.assert_close(found.index_code, torch.zeros(1).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(found.total_correlation, torch.zeros(1).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("batch", "size"), [(6, 5), (2, 0), (1, 2), (1, 100)])
def test_a_batch_larger_than_the_set_or_of_one_out_of_more_is_refused(batch: int, size: int) -> None:
    model, x = known_model()
    with pytest.raises(ValueError, match=f"a batch of {batch} out of {size} examples") as caught:
        decomposed_elbo(WithPosterior(model, diagonal_q), x[:batch], size)
    assert "\n" not in str(caught.value)


def test_a_posterior_that_does_not_factorise_is_refused() -> None:
    model, x = known_model()
    with pytest.raises(TypeError, match=r"MultivariateNormal does not factorise.*use elbo or log_weights"):
        decomposed_elbo(model, x, 6)


def test_the_pieces_carry_the_gradient_of_the_bound() -> None:
    """Of log q(z|x) − log p(z) the gradient is that of its pieces; the training loss of a β-TC-VAE weighs them."""
    vae, x = small_vae(), all_pictures()
    parameters = list(vae.encoder.parameters())
    torch.manual_seed(3)
    found = decomposed_elbo(vae, x, 40)
    pieces = (found.index_code + found.total_correlation + found.dimension_wise).sum()
    gradients = torch.autograd.grad(pieces, parameters, retain_graph=True)
    torch.manual_seed(3)
    q = vae.posterior(x)
    z = q.rsample()
    whole = (q.log_prob(z) - vae.prior().log_prob(z)).sum()
    for found_one, expected in zip(gradients, torch.autograd.grad(whole, parameters), strict=True):
        torch.testing.assert_close(found_one, expected)
    assert all(bool((g != 0).any()) for g in torch.autograd.grad(found.total_correlation.sum(), parameters))
