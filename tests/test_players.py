"""Wake-sleep and Monte Carlo EM against the linear-Gaussian model, and log p(x) from draws of its posterior."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vae_course.data.batches import Batches
from vae_course.distributions.families import diagonal_normal
from vae_course.evaluation.posterior_draws import (
    defended_log_evidence,
    fitted_normal,
    posterior_draws,
    reciprocal_log_evidence,
)
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.monte_carlo_em import PosteriorChains
from vae_course.inference.wake_sleep import sleep, wake
from vae_course.models.vae import VAE
from vae_course.objectives.bounds import elbo
from vae_course.training.loop import Player, fit


def linear_gaussian() -> LinearGaussian:
    weight = torch.tensor([[1.0, 0.4], [-0.5, 0.8], [0.3, 0.3]], dtype=torch.float64)
    return LinearGaussian(weight, torch.tensor([0.2, -0.1, 0.5], dtype=torch.float64), 0.6)


class Linear(VAE):
    """A VAE of linear maps in float64, whose posterior can be that of `linear_gaussian` only in its mean."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 4).double(), nn.Linear(2, 3).double(), 2, lambda mean: diagonal_normal(mean, 0.6))
        self.double()


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(module.parameters()), allow_unused=True))


def test_the_wake_phase_has_the_gradient_of_the_bound_by_the_decoder_and_none_by_the_encoder() -> None:
    torch.manual_seed(0)
    model, x = Linear(), torch.randn(50, 3, dtype=torch.float64)
    torch.manual_seed(1)
    own = gradients(wake(model, x).mean(), model.decoder)
    torch.manual_seed(1)
    of_bound = gradients(-elbo(model, x).value.mean(), model.decoder)
    assert all(torch.allclose(a, b) for a, b in zip(own, of_bound, strict=True) if a is not None and b is not None)
    assert all(grad is None for grad in gradients(wake(model, x).mean(), model.encoder))


def test_the_sleep_phase_is_least_for_the_exact_posterior_and_has_no_gradient_by_the_decoder() -> None:
    """There it is the entropy of p(z|x), the same for every x in this model."""
    torch.manual_seed(0)
    exact = linear_gaussian()
    at_best = sleep(exact, torch.zeros(40_000, 3))
    entropy = exact.posterior(torch.zeros(1, 3, dtype=torch.float64)).entropy()[0]
    assert (at_best.mean() - entropy).abs() < 5 * at_best.std() / 200
    model = Linear()
    assert all(grad is None for grad in gradients(sleep(model, torch.zeros(5, 3)).mean(), model.decoder))
    player = Player(lambda x: sleep(model, x), torch.optim.Adam(model.encoder.parameters(), lr=0.01))
    fit([player], Batches(torch.zeros(1000, 3), size=200, seed=0), 60)
    with torch.no_grad():
        z = torch.randn(20_000, 2, dtype=torch.float64)
        dreamt = model.likelihood(z).sample()
        decoder = model.decoder
        assert isinstance(decoder, nn.Linear)
        truth = LinearGaussian(decoder.weight, decoder.bias, 0.6).posterior(dreamt)
        assert (model.posterior(dreamt).mean - truth.mean).square().mean() < 0.01 * truth.mean.square().mean()


def test_the_chains_of_monte_carlo_em_come_to_the_posterior_and_to_the_acceptance_asked_for() -> None:
    torch.manual_seed(0)
    exact = linear_gaussian()
    x = torch.tensor([[1.0, 0.5, -0.2]], dtype=torch.float64).expand(4000, 3)
    chains, rows = PosteriorChains(exact, 4100), torch.arange(4000)
    chains.z = chains.z.double()
    still = chains.z[4000:].clone()
    for _ in range(80):
        z = chains.move(x, rows)
    truth = exact.posterior(x[:1])
    assert (z.mean(0) - truth.mean[0]).abs().max() < 0.06
    assert (torch.cov(z.T) - truth.covariance_matrix[0]).abs().max() < 0.04
    moved = chains.step.clone()
    chains.move(x, rows)
    assert (chains.step / moved).log().abs() < 0.03  # it was accepted 9 times in 10, give or take 3 %
    assert torch.equal(chains.z[4000:], still)


def test_the_losses_of_monte_carlo_em_are_minus_the_joint_at_the_present_draws() -> None:
    torch.manual_seed(0)
    exact = linear_gaussian()
    x, rows = torch.randn(5, 3, dtype=torch.float64), torch.arange(5)
    chains = PosteriorChains(exact, 5)
    chains.z = chains.z.double()
    moved = chains.expect(x, rows)
    assert torch.equal(moved, chains.maximise(x, rows))
    log_joint = exact.prior().log_prob(chains.z) + exact.likelihood(chains.z).log_prob(x)
    assert torch.allclose(moved, -log_joint)


def test_the_posteriors_draws_have_its_mean_and_covariance() -> None:
    torch.manual_seed(0)
    exact = linear_gaussian()
    x = torch.tensor([[1.0, 0.5, -0.2]], dtype=torch.float64).expand(200, 3)
    chain = posterior_draws(exact, x, 100)
    assert chain.z.shape == (100, 200, 2)
    assert chain.accepted.mean() == pytest.approx(0.9, abs=0.05)
    truth, z = exact.posterior(x[:1]), chain.z.flatten(0, 1)
    assert (z.mean(0) - truth.mean[0]).abs().max() < 0.03
    assert (torch.cov(z.T) - truth.covariance_matrix[0]).abs().max() < 0.02


def test_both_estimators_reach_log_p_and_err_to_their_sides() -> None:
    """With exact draws: 8 of them each, of 4,000 examples, so that the bias stands out from the noise."""
    torch.manual_seed(0)
    exact = linear_gaussian()
    x = exact.evidence().sample((4000,))
    q, log_p = exact.posterior(x), exact.log_evidence(x)
    many = q.sample((3000,))[:, :50]
    rough = fitted_normal(many)
    assert torch.allclose(rough.mean, q.mean[:50], atol=0.1)
    for estimate in (
        reciprocal_log_evidence(exact, x[:50], many, q.sample((3000,))[:, :50]),
        defended_log_evidence(exact, x[:50], many, 3000),
    ):
        assert (estimate - log_p[:50]).abs().max() < 0.1
    few, others = q.sample((8,)), q.sample((8,))
    above = reciprocal_log_evidence(exact, x, few, others) - log_p
    below = defended_log_evidence(exact, x, few, 20) - log_p
    assert above.mean() > 5 * above.std() / 4000**0.5
    assert below.mean() < -5 * below.std() / 4000**0.5


def test_fewer_samples_than_the_prior_needs_are_refused() -> None:
    exact = linear_gaussian()
    x = torch.zeros(2, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="was asked for 5 samples; it needs at least 10"):
        defended_log_evidence(exact, x, torch.randn(6, 2, 2, dtype=torch.float64), 5)
    assert isinstance(exact.prior(), Independent)
    assert isinstance(exact.prior().base_dist, Normal)
