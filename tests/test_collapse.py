"""The linear VAE's stationary points, the aggregate posterior from both sides, and priors that are trained."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal, kl_divergence

from vae_course.distributions.families import diagonal_normal
from vae_course.evaluation.aggregate import aggregate_divergence, log_mixture
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exact.linear_vae import (
    curvature_of_closed_unit,
    rate_of_unit,
    ratios_beside_context,
    spectrum,
    stationary_point,
    worth_of_unit,
)
from vae_course.inference.variational import mean_field_of_normal
from vae_course.models.priors import MixturePrior, VampPrior
from vae_course.models.vae import VAE, mlp_vae
from vae_course.models.views import WithPosterior, WithPrior
from vae_course.objectives.bounds import elbo, log_weights


def some_data(observed: int = 5, n: int = 400) -> Tensor:
    return torch.randn(n, observed).double() @ torch.randn(observed, observed).double()


def mean_log_p(x: Tensor, weight: Tensor, std: float) -> Tensor:
    return LinearGaussian(weight, x.mean(0), std).log_evidence(x).mean()


def test_the_spectrum_is_that_of_the_covariance() -> None:
    x = some_data()
    values, directions = spectrum(x)
    assert bool((values.diff() <= 0).all())
    assert torch.allclose(directions @ torch.diag(values) @ directions.T, torch.cov(x.T, correction=0))


@pytest.mark.parametrize("units", [[0, 1], [1, None, 0], [None, None], [2], [2, 0, None]])
def test_a_stationary_point_has_no_slope_no_gap_and_the_rates_said(units: list[int | None]) -> None:
    x = some_data()
    values, _ = spectrum(x)
    std = float((values[2] * 0.7).sqrt())
    model = stationary_point(x, std, units)
    weight = model.weight.clone().requires_grad_()
    (slope,) = torch.autograd.grad(mean_log_p(x, weight, std), weight)
    assert float(slope.abs().max()) < 1e-9
    q = mean_field_of_normal(model.posterior(x))
    assert torch.allclose(model.elbo(x, q), model.log_evidence(x))
    open_units = torch.tensor([j for j in units if j is not None], dtype=torch.int64)
    ratio = values[open_units] / std**2
    gained = mean_log_p(x, model.weight, std) - mean_log_p(x, 0 * model.weight, std)
    assert torch.allclose(gained, worth_of_unit(ratio).sum())
    rates = kl_divergence(q.base_dist, Normal(0.0, 1.0)).mean(0)
    assert torch.allclose(rates.sum(), rate_of_unit(ratio).sum())


def test_the_curvature_is_the_second_derivative() -> None:
    x = some_data()
    values, directions = spectrum(x)
    std = float(values[2].sqrt())
    for j in range(5):

        def along(t: Tensor, j: int = j) -> Tensor:
            return mean_log_p(x, t * directions[:, j : j + 1], std)

        found = torch.func.grad(torch.func.grad(along))(torch.zeros(()).double())
        assert torch.allclose(found, curvature_of_closed_unit(values[j], std), atol=1e-9)


def test_a_stationary_point_that_is_none_is_refused() -> None:
    x = some_data()
    values, _ = spectrum(x)
    with pytest.raises(ValueError, match="two units cannot hold one direction"):
        stationary_point(x, 0.01, [1, 1])
    with pytest.raises(ValueError, match="its unit is closed"):
        stationary_point(x, float(values[2].sqrt()), [0, 3])


def test_the_rate_of_a_closed_unit_is_zero() -> None:
    assert torch.equal(rate_of_unit(torch.tensor([0.5, 1.0])), torch.zeros(2))


def test_ratios_without_context_are_those_of_the_correlations_and_with_all_of_it_one() -> None:
    covariance = torch.cov(some_data().T)
    nothing = torch.zeros(5, 5).bool()
    everything = torch.ones(5, 5).tril(-1).bool()
    deviation = covariance.diagonal().sqrt()
    correlations = torch.linalg.eigvalsh(covariance / deviation / deviation[:, None]).flip(0)
    assert torch.allclose(ratios_beside_context(covariance, nothing), correlations)
    assert torch.allclose(ratios_beside_context(covariance, everything), torch.ones(5).double())
    with pytest.raises(ValueError, match="not earlier ones"):
        ratios_beside_context(covariance, torch.eye(5).bool())


def test_beside_context_a_closed_unit_opens_where_its_ratio_is_above_the_price() -> None:
    """The bound of one unit along the first direction, at a small length, with the context and the noise as they are."""
    covariance = torch.cov(some_data().T)
    seen = torch.ones(5, 5).tril(-1).triu(-1).bool()
    predict = torch.eye(5).double()
    for i in range(1, 5):
        predict[i, i - 1] = -covariance[i, i - 1] / covariance[i - 1, i - 1]
    left = predict @ covariance @ predict.T
    noise = left.diagonal().sqrt()
    whitened = left / noise / noise[:, None]
    values, directions = torch.linalg.eigh(whitened)
    found = ratios_beside_context(covariance, seen)
    assert torch.allclose(found, values.flip(0))
    for r, u in zip(values, directions.T, strict=True):
        for price in (0.8 * float(r), 1.2 * float(r)):
            assert (_priced_bound(r, u, 0.01, price) > _priced_bound(r, u, 0.0, price)) == (price < r)


def _priced_bound(r: Tensor, u: Tensor, length: float, price: float) -> float:
    """−D − βR of data with variance r along u, σ = 1 and a unit of this length, at its best q; up to a constant."""
    variance = price / (length**2 + price)  # of the best q
    slope = length / (length**2 + price)  # of its mean in the coordinate along u
    distortion = 0.5 * (float(r) * (1 - length * slope) ** 2 + length**2 * variance)
    rate = 0.5 * (float(r) * slope**2 + variance - 1 - log(variance))
    return -distortion - price * rate


def test_the_mixture_of_posteriors_is_the_mean_of_their_densities() -> None:
    q = diagonal_normal(torch.randn(7, 2).double(), 0.5)
    z = torch.randn(4, 2).double()
    expected = torch.stack([q.log_prob(one).exp().mean().log() for one in z])
    assert torch.allclose(log_mixture(q, z), expected)
    assert torch.allclose(log_mixture(q, z, memory=1), expected)


def a_spread(n: int, width: float = 1.5, std: float = 0.3) -> tuple[WithPosterior, Tensor]:
    """A model whose aggregate posterior is N(0, width²) over all x, and n of those x: KL(q(z) || p(z)) is known."""
    model = LinearGaussian(torch.eye(2).double(), torch.zeros(2).double(), 1.0)
    x = (width**2 - std**2) ** 0.5 * torch.randn(n, 2).double()
    return WithPosterior(model, lambda x: diagonal_normal(x, std)), x


def test_the_two_sides_hold_the_divergence_between_them() -> None:
    truth = 2 * float(kl_divergence(Normal(0.0, 1.5), Normal(0.0, 1.0)))
    for n in (30, 300):
        found = [aggregate_divergence(*a_spread(n)) for _ in range(60)]
        low, high = (torch.stack([getattr(f, side) for f in found]) for side in ("low", "high"))
        assert low.mean() < truth < high.mean()
        assert max(float(f.information) for f in found) <= log(n) + 1e-9
    assert high.mean() - low.mean() < 0.5  # with 300


def test_the_sides_are_by_hand_what_they_are() -> None:
    model, x = a_spread(6)
    torch.manual_seed(2)
    found = aggregate_divergence(model, x)
    torch.manual_seed(2)
    q = model.posterior(x)
    z = q.sample()
    pairs = torch.stack(
        [torch.stack([model.posterior(x[k : k + 1]).log_prob(z[i])[0] for k in range(6)]) for i in range(6)]
    )
    log_p = model.prior().log_prob(z)
    high = (pairs.exp().mean(1).log() - log_p).mean()
    low = ((pairs.exp() * (1 - torch.eye(6))).sum(1).div(5).log() - log_p).mean()
    assert torch.allclose(found.high, high)
    assert torch.allclose(found.low, low)
    assert torch.allclose(found.information, (pairs.diagonal() - pairs.exp().mean(1).log()).mean())


def test_one_example_has_no_others() -> None:
    model, x = a_spread(2)
    with pytest.raises(ValueError, match="given 1 example"):
        aggregate_divergence(model, x[:1])


def test_a_mixture_prior_is_the_mixture_said_and_all_of_it_is_trained() -> None:
    prior = MixturePrior(torch.randn(4, 3).double(), std=0.7)
    z = torch.randn(5, 3).double()
    expected = diagonal_normal(prior.means.detach(), 0.7).log_prob(z[:, None]).exp().mean(1).log()
    assert torch.allclose(prior().log_prob(z), expected)
    prior().log_prob(z).sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in prior.parameters())
    with pytest.raises(ValueError, match="it needs means"):
        MixturePrior(torch.randn(3))
    with pytest.raises(ValueError, match="a positive width"):
        MixturePrior(torch.randn(3, 2), std=0.0)


def a_vamp_model() -> tuple[WithPrior, VampPrior]:
    vae = mlp_vae((1, 4, 4), (8,), 2)
    prior = VampPrior(vae, torch.rand(6, 1, 4, 4).clamp(0.1, 0.9))
    return WithPrior(vae, prior), prior


def test_a_vamp_prior_is_the_mean_of_posteriors_at_its_pseudo_inputs() -> None:
    model, prior = a_vamp_model()
    z = torch.randn(5, 2)
    q = model.posterior(prior.pseudo_inputs)
    assert isinstance(q, Independent)
    assert isinstance(model.prior(), MixtureSameFamily)
    assert torch.allclose(model.prior().log_prob(z), log_mixture(q, z), atol=1e-5)
    with pytest.raises(ValueError, match=r"clamp them into \(0, 1\)"):
        VampPrior(model.model, torch.ones(2, 1, 4, 4))


def test_a_bound_with_a_vamp_prior_reaches_encoder_and_pseudo_inputs() -> None:
    model, prior = a_vamp_model()
    x = (torch.rand(9, 1, 4, 4) < 0.5).float()
    assert elbo(model, x).value.shape == (9,)
    assert log_weights(model, x, 3).shape == (3, 9)
    elbo(model, x).kl.sum().backward()
    assert prior.logits.grad is not None
    assert bool((prior.logits.grad != 0).any())
    names = [name for name, _ in model.named_parameters()]
    assert sum("pseudo" in name or "logits" in name for name in names) == 1  # once, though the prior holds the model


def test_the_models_gradient_through_the_prior_is_another() -> None:
    model, _ = a_vamp_model()
    x = (torch.rand(9, 1, 4, 4) < 0.5).float()
    assert isinstance(model.model, VAE)
    encoder = next(model.model.encoder.parameters())
    torch.manual_seed(0)
    (whole,) = torch.autograd.grad(elbo(model, x).kl.sum(), encoder)
    fixed = WithPrior(model.model, _detached(model.prior()))
    torch.manual_seed(0)
    (half,) = torch.autograd.grad(elbo(fixed, x).kl.sum(), encoder)
    assert not torch.allclose(whole, half, rtol=1e-3)


def _detached(p: Distribution) -> MixtureSameFamily:
    assert isinstance(p, MixtureSameFamily)
    base = p.component_distribution.base_dist  # type: ignore[attr-defined]
    return MixtureSameFamily(p.mixture_distribution, diagonal_normal(base.loc.detach(), base.scale.detach()))
