"""The exact partners against each other: closed forms, a grid, Bayes' rule, the likelihood's maximum, PCA."""

from __future__ import annotations

from math import log, nan

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from vae_course.data.batches import Batches
from vae_course.data.toys import linear_gaussian
from vae_course.distributions import diagonal_normal
from vae_course.exact import (
    LinearGaussian,
    PrincipalComponents,
    WithPosterior,
    latent_grid,
    log_evidence_on_grid,
)
from vae_course.models.vae import VAE, mlp_vae
from vae_course.objectives import elbo, log_joint
from vae_course.training import Player, fit


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


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
