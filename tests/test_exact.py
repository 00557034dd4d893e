"""The exact partners against each other: closed forms, a grid, Bayes' rule, the likelihood's maximum, PCA."""

from __future__ import annotations

from math import log, nan

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, Uniform, kl_divergence

from vae_course.data.batches import Batches
from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.enumeration import log_joint_by_enumeration
from vae_course.exact.grids import (
    kl_on_grid,
    latent_grid,
    log_evidence_on_grid,
    log_posterior_on_grid,
    log_prob_on_grid,
)
from vae_course.exact.linear_gaussian import LinearGaussian, LinearGaussianChain
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.models.vae import VAE, mlp_vae
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import elbo, log_joint, log_weights
from vae_course.training.loop import Player, fit


def known_model(observed: int, latent: int, n: int = 6, std: float = 0.5) -> tuple[LinearGaussian, Tensor]:
    data = linear_gaussian(n, observed, latent, torch.Generator().manual_seed(2), std)
    return LinearGaussian(data.weight, data.bias, data.std), data.x


@pytest.mark.parametrize("latent", [1, 2])
def test_log_p_x_of_the_linear_gaussian_is_its_integral_on_a_grid(latent: int) -> None:
    model, x = known_model(3, latent)
    on_grid = log_evidence_on_grid(model, x, latent_grid(latent))
    torch.testing.assert_close(on_grid, model.log_evidence(x), atol=1e-8, rtol=0)


def test_log_p_x_is_the_normal_density_written_out() -> None:
    model, x = known_model(4, 2, std=0.3)
    covariance = model.weight @ model.weight.T + 0.3**2 * torch.eye(4).double()
    off = x - model.bias
    squares = (off * torch.linalg.solve(covariance, off.T).T).sum(-1)
    by_hand = -0.5 * (squares + torch.logdet(covariance) + 4 * log(2 * torch.pi))
    torch.testing.assert_close(model.log_evidence(x), by_hand, atol=1e-10, rtol=0)


@pytest.mark.parametrize("latent", [1, 2])
def test_the_posterior_is_the_joint_over_the_evidence_at_every_grid_point(latent: int) -> None:
    model, x = known_model(3, latent)
    points = latent_grid(latent, limit=3.0, steps=31).points[:, None]  # [points, 1, latent]
    by_bayes = log_joint(model, x, points.expand(-1, len(x), -1)) - model.log_evidence(x)
    torch.testing.assert_close(model.posterior(x).log_prob(points), by_bayes, atol=1e-9, rtol=1e-10)


def test_draws_from_the_model_have_the_moments_of_its_evidence() -> None:
    model, _ = known_model(3, 2)
    x = model.likelihood(model.prior().sample((200_000,))).sample()
    torch.testing.assert_close(x.mean(0), model.bias, atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), model.evidence().covariance_matrix, atol=0.06, rtol=0)


def off_posterior(model: LinearGaussian, x: Tensor) -> Independent[Normal]:
    """A factorised q(z|x) that is neither at the posterior's mean nor of its width, and differs between examples."""
    mean = model.posterior(x).mean
    return diagonal_normal(mean + 0.3 * torch.randn_like(mean), 0.2 + torch.rand_like(mean))


@pytest.mark.parametrize(("observed", "latent", "n"), [(3, 1, 6), (4, 2, 1), (2, 3, 5), (1, 1, 4), (9, 5, 2)])
def test_elbo_and_divergence_from_the_posterior_add_up_to_log_p_x(observed: int, latent: int, n: int) -> None:
    model, x = known_model(observed, latent, n)
    q = off_posterior(model, x)
    value = model.elbo(x, q)
    assert value.shape == (n,)
    torch.testing.assert_close(
        value + kl_divergence(q, model.posterior(x)), model.log_evidence(x), atol=1e-9, rtol=1e-12
    )


def test_the_elbo_is_the_mean_of_importance_weights_and_of_its_one_draw_estimate() -> None:
    model, x = known_model(4, 2)
    q = off_posterior(model, x)
    bound = WithPosterior(model, lambda x: q)
    many = WithPosterior(model, lambda x: diagonal_normal(q.mean.repeat(20_000, 1), q.stddev.repeat(20_000, 1)))
    for draws in (log_weights(bound, x, 20_000), elbo(many, x.repeat(20_000, 1)).value.reshape(20_000, 6)):
        off = (draws.mean(0) - model.elbo(x, q)).abs()
        assert (off < 5 * draws.std(0) / 20_000**0.5).all()


def test_the_gradient_of_the_elbo_is_that_of_log_p_x_minus_the_divergence() -> None:
    start, x = known_model(4, 2)
    parameters = [p.clone().requires_grad_() for p in (start.weight, start.bias, start.std)]
    free = [torch.randn(6, 2).double().requires_grad_(), (0.1 * torch.randn(6, 2).double()).requires_grad_()]
    model, q = LinearGaussian(*parameters), diagonal_normal(free[0], free[1].exp())
    ours = torch.autograd.grad(model.elbo(x, q).sum(), [*parameters, *free], retain_graph=True)
    split = model.log_evidence(x) - kl_divergence(q, model.posterior(x))
    for one, other in zip(ours, torch.autograd.grad(split.sum(), [*parameters, *free]), strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_where_the_posterior_is_factorised_the_elbo_reaches_log_p_x() -> None:
    weight = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 0.5]]).double()  # orthogonal columns
    model, x = LinearGaussian(weight, torch.zeros(3).double(), 0.7), torch.randn(5, 3).double()
    exact = model.posterior(x)
    q = diagonal_normal(exact.mean, exact.stddev)
    torch.testing.assert_close(model.elbo(x, q), model.log_evidence(x), atol=1e-12, rtol=0)


def test_the_maximum_of_the_likelihood_has_no_gradient() -> None:
    x = linear_gaussian(400, 6, 2, torch.Generator().manual_seed(3)).x
    best = LinearGaussian.maximum_likelihood(x, latent=2)
    parameters = [value.clone().requires_grad_() for value in (best.weight, best.bias, best.std)]
    log_p = LinearGaussian(*parameters).log_evidence(x).mean()
    for gradient in torch.autograd.grad(log_p, parameters):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


@pytest.mark.parametrize("size", [1e-3, 1e-2, 1e-1, 1.0])
def test_no_perturbation_of_the_maximum_is_better(size: float) -> None:
    x = linear_gaussian(400, 6, 2, torch.Generator().manual_seed(3)).x
    best = LinearGaussian.maximum_likelihood(x, latent=2)
    maximum = best.log_evidence(x).mean()
    for _ in range(50):
        weight, bias, log_std = (
            value + size * torch.randn_like(value) for value in (best.weight, best.bias, best.std.log())
        )
        assert LinearGaussian(weight, bias, log_std.exp()).log_evidence(x).mean() < maximum


def test_the_maximum_is_no_worse_than_the_parameters_that_made_the_data() -> None:
    data = linear_gaussian(400, 6, 2, torch.Generator().manual_seed(3))
    made_by = LinearGaussian(data.weight, data.bias, data.std)
    best = LinearGaussian.maximum_likelihood(data.x, latent=2)
    assert best.log_evidence(data.x).mean() > made_by.log_evidence(data.x).mean()
    assert float(best.std) == pytest.approx(0.5, abs=0.05)


def test_data_that_vary_equally_in_all_directions_need_no_weight() -> None:
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    best = LinearGaussian.maximum_likelihood(corners, latent=1)
    torch.testing.assert_close(best.weight, torch.zeros(3, 1).double(), atol=1e-7, rtol=0)


class UnitFree(nn.Module):
    """N(mean, σ² I) with one learned σ."""

    def __init__(self) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(()))

    def forward(self, mean: Tensor) -> Independent[Normal]:
        return diagonal_normal(mean, self.log_std.exp())


def exact_elbo(vae: VAE, family: UnitFree, slope: Tensor, x: Tensor) -> Tensor:
    """The ELBO of a linear decoder without a draw: E_q log p(x|z) = log p(x|μ) − Σ_j s_j² ‖W_j‖² / 2σ²."""
    q = vae.posterior(x)
    spread = (q.variance * slope.square().sum(0)).sum(-1) / (2 * (2 * family.log_std).exp())
    return vae.likelihood(q.mean).log_prob(x) - spread - kl_divergence(q, vae.prior())


def test_a_trained_linear_vae_reaches_the_maximum_of_probabilistic_pca() -> None:
    x = linear_gaussian(400, 5, 2, torch.Generator().manual_seed(4)).x
    family = UnitFree()
    vae = mlp_vae((5,), hidden=(), latent=2, family=family).double()
    slope = vae.decoder.get_parameter("network.0.weight")  # [observed, latent]
    optimizer = torch.optim.LBFGS(vae.parameters(), max_iter=20, line_search_fn="strong_wolfe")
    fit([Player(lambda x: -exact_elbo(vae, family, slope, x), optimizer)], Batches(x, size=400, seed=0), epochs=40)
    maximum = float(LinearGaussian.maximum_likelihood(x, latent=2).log_evidence(x).mean())
    with torch.no_grad():
        reached = float(exact_elbo(vae, family, slope, x).mean())
        assert maximum - 0.01 < reached < maximum + 1e-9
        draws = torch.stack([elbo(vae, x).value.mean() for _ in range(1000)])
    assert abs(float(draws.mean()) - reached) < 5 * float(draws.std()) / 1000**0.5


def test_principal_components_are_those_of_scikit_learn() -> None:
    x = linear_gaussian(50, 7, 4, torch.Generator().manual_seed(5)).x
    ours, theirs = PrincipalComponents(x, code=3), PCA(3, svd_solver="full").fit(x.numpy())
    expected = torch.from_numpy(theirs.inverse_transform(theirs.transform(x.numpy())))
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.components.T @ ours.components, torch.eye(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.encode(x).abs(), torch.from_numpy(theirs.transform(x.numpy())).abs())


def test_principal_components_keep_the_shape_of_pictures() -> None:
    pictures = torch.rand(30, 1, 3, 4)
    pca = PrincipalComponents(pictures, code=12)
    assert pca.encode(pictures[:5]).shape == (5, 12)
    torch.testing.assert_close(pca(pictures), pictures, atol=1e-5, rtol=0)  # all twelve: nothing is lost


def test_another_posterior_leaves_prior_and_likelihood_alone() -> None:
    model, x = known_model(3, 2)

    def wide(x: Tensor) -> Distribution:
        return diagonal_normal(x[:, :2], 3.0)

    changed, z = WithPosterior(model, wide), torch.randn(6, 2).double()
    torch.testing.assert_close(log_joint(changed, x, z), log_joint(model, x, z))
    torch.testing.assert_close(changed.posterior(x).mean, x[:, :2])
    assert isinstance(model.posterior(x), MultivariateNormal)


@pytest.mark.parametrize("latent", [1, 2])
def test_the_posterior_on_a_grid_is_the_exact_one_and_adds_up_to_one(latent: int) -> None:
    model, x = known_model(3, latent)
    grid = latent_grid(latent)
    on_grid = log_posterior_on_grid(model, x, grid)
    total = on_grid.logsumexp(1) + grid.log_cell
    torch.testing.assert_close(total, torch.zeros(6).double(), atol=1e-12, rtol=0)
    exact = model.posterior(x).log_prob(grid.points[:, None]).T
    torch.testing.assert_close(on_grid, exact, atol=1e-8, rtol=1e-10)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
@pytest.mark.parametrize("latent", [1, 2])
def test_a_density_on_a_grid_has_the_batch_first_and_the_points_last(batch: tuple[int, ...], latent: int) -> None:
    grid = latent_grid(latent, limit=2.0, steps=5)
    mean = torch.randn(*batch, latent).double()
    on_grid = log_prob_on_grid(diagonal_normal(mean, 0.5), grid)
    assert on_grid.shape == (*batch, 5**latent)
    for i, point in enumerate(grid.points):
        torch.testing.assert_close(on_grid[..., i], diagonal_normal(mean, 0.5).log_prob(point))


def a_normal(latent: int, std: float) -> MultivariateNormal:
    """Three normals whose latents are correlated."""
    scale = std * (torch.eye(latent) + 0.6 * torch.ones(latent, latent).tril(-1)).double()
    return MultivariateNormal(torch.randn(3, latent).double(), scale_tril=scale)


@pytest.mark.parametrize("latent", [1, 2])
def test_the_divergence_on_a_grid_is_the_closed_form_for_normals(latent: int) -> None:
    grid, q, p = latent_grid(latent), a_normal(latent, 0.5), a_normal(latent, 0.8)
    on_grid = kl_on_grid(log_prob_on_grid(q, grid), log_prob_on_grid(p, grid), grid)
    assert on_grid.shape == (3,)
    torch.testing.assert_close(on_grid, kl_divergence(q, p), atol=1e-9, rtol=1e-9)


def test_the_divergence_of_a_density_from_itself_is_zero() -> None:
    grid = latent_grid(1)
    log_q = log_prob_on_grid(diagonal_normal(torch.zeros(2, 1).double(), 0.7), grid)
    assert kl_on_grid(log_q, log_q, grid).tolist() == [0.0, 0.0]


def test_the_divergence_is_infinite_where_p_vanishes_and_finite_where_q_does() -> None:
    grid = latent_grid(1, limit=4.0, steps=8001)
    box = Independent(Uniform(-torch.ones(1).double(), torch.ones(1).double(), validate_args=False), 1)
    log_box = log_prob_on_grid(box, grid)
    log_normal = log_prob_on_grid(diagonal_normal(torch.zeros(1).double(), 1.0), grid)
    assert log_box.min() == float("-inf")
    assert float(kl_on_grid(log_normal, log_box, grid)) == float("inf")
    exact = -log(2) + 0.5 * log(2 * torch.pi) + 1 / 6
    assert float(kl_on_grid(log_box, log_normal, grid)) == pytest.approx(exact, abs=2e-3)  # a jump: order of a cell


def test_a_density_that_underflows_adds_nothing_to_the_divergence() -> None:
    grid = latent_grid(1, steps=6401)
    narrow, wide = (log_prob_on_grid(diagonal_normal(torch.zeros(1).double(), std), grid) for std in (0.02, 1.0))
    assert (narrow.exp() == 0).any()
    exact = -log(0.02) + 0.5 * 0.02**2 - 0.5
    assert float(kl_on_grid(narrow, wide, grid)) == pytest.approx(exact, abs=1e-9)
    nowhere = torch.where(grid.points[:, 0] > 1, float("-inf"), narrow)
    assert float(kl_on_grid(nowhere, nowhere, grid)) == 0.0  # −inf − (−inf) where both vanish


def test_a_continuous_latent_cannot_be_enumerated() -> None:
    model, x = known_model(3, 2)
    with pytest.raises(TypeError, match=r"Only a discrete latent.*Independent"):
        log_joint_by_enumeration(model, x)


@pytest.mark.parametrize("steps", [11, 12])
def test_a_grid_covers_its_square_evenly(steps: int) -> None:
    grid = latent_grid(2, limit=2.0, steps=steps)
    assert grid.points.shape == (steps**2, 2)
    assert grid.points.dtype == torch.float64
    assert (float(grid.points.min()), float(grid.points.max())) == (-2.0, 2.0)
    assert len(grid.points.unique(dim=0)) == steps**2
    assert grid.log_cell == pytest.approx(2 * log(4 / (steps - 1)))
    assert latent_grid(1, steps=steps, like=torch.zeros(1)).points.dtype == torch.float32


@pytest.mark.parametrize("std", [0.0, -1.0, nan])
def test_a_noise_that_is_not_positive_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LinearGaussian(torch.eye(2), torch.zeros(2), std)


@pytest.mark.parametrize("latent", [0, 3, 4])
def test_a_maximum_needs_fewer_latents_than_dimensions(latent: int) -> None:
    with pytest.raises(ValueError, match=f"{latent} latents.*give 1 to 2"):
        LinearGaussian.maximum_likelihood(torch.randn(10, 3), latent)


def test_data_in_a_plane_have_no_maximum_with_two_latents() -> None:
    flat = torch.randn(20, 2).double() @ torch.randn(2, 4).double()
    with pytest.raises(ValueError, match="2 dimensions exactly"):
        LinearGaussian.maximum_likelihood(flat, latent=2)


@pytest.mark.parametrize("latent", [0, 3])
def test_a_grid_is_for_one_or_two_latents(latent: int) -> None:
    with pytest.raises(ValueError, match="1 or 2 only"):
        latent_grid(latent)


@pytest.mark.parametrize("code", [0, 4, 9])
def test_more_components_than_dimensions_or_points_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code} components"):
        PrincipalComponents(torch.randn(3, 9), code)


def known_chain() -> tuple[LinearGaussianChain, Tensor]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    bottom, top = LinearGaussian(draw(4, 3), draw(4), 0.5), LinearGaussian(draw(3, 2), torch.zeros(3).double(), 0.7)
    return LinearGaussianChain(bottom, top), draw(6, 4)


def test_every_weight_of_the_exact_posterior_of_a_chain_is_log_p_x() -> None:
    """The posterior runs up and the prior down: an error in either, or in their order, would show."""
    model, x = known_chain()
    weights = log_weights(model, x, 50)
    torch.testing.assert_close(weights, model.log_evidence(x).expand(50, -1), atol=1e-10, rtol=0)


@torch.no_grad()
def test_draws_of_a_chain_have_its_moments() -> None:
    model, _ = known_chain()
    z = model.prior().sample((100_000,))
    z1, z2 = z[:, :3], z[:, 3:]
    noise = 0.7**2 * torch.eye(3).double()
    torch.testing.assert_close(torch.cov(z2.T), torch.eye(2).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(z1.T), model.top.weight @ model.top.weight.T + noise, atol=0.1, rtol=0.03)
    x = model.likelihood(z).sample()
    torch.testing.assert_close(
        MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x[:5]), model.log_evidence(x[:5]), atol=0.05, rtol=0.01
    )


def test_a_top_that_does_not_fit_the_bottom_is_refused() -> None:
    model, _ = known_chain()
    with pytest.raises(ValueError, match=r"observed variable is z₁, \[3\], with bias 0; it was given \[4\]"):
        LinearGaussianChain(model.bottom, model.bottom)
