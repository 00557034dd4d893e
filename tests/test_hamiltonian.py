"""Hamiltonian Monte Carlo leaves a density as it is; annealed importance sampling reaches log p(x) from a poor q."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.messages import message
from vae_course.distributions.families import diagonal_normal
from vae_course.evaluation.annealed import annealed_log_evidence
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.hamiltonian import hamiltonian_step
from vae_course.models.views import WithPosterior

MEAN, STD = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.5, 1.0, 3.0])


def log_density(z: Tensor) -> Tensor:
    log_p: Tensor = diagonal_normal(MEAN, STD).log_prob(z)
    return log_p + 7  # known up to a factor


def steps(z: Tensor, step: float | Tensor, leapfrogs: int, number: int) -> tuple[Tensor, Tensor]:
    accepted = []
    for _ in range(number):
        z, probability = hamiltonian_step(log_density, z, step, leapfrogs)
        accepted.append(probability)
    return z, torch.stack(accepted)


@pytest.mark.parametrize(("step", "leapfrogs"), [(0.3, 5), (0.9, 1), (0.8 * STD, 4)])
def test_draws_of_the_density_stay_draws_of_it_even_where_many_steps_are_refused(
    step: float | Tensor, leapfrogs: int
) -> None:
    torch.manual_seed(0)
    z, accepted = steps(MEAN + STD * torch.randn(20_000, 3), step, leapfrogs, 4)
    assert ((z.mean(0) - MEAN) / STD).abs().max() < 0.04
    assert (z.std(0) / STD - 1).abs().max() < 0.03
    assert accepted.min() >= 0
    assert accepted.max() <= 1
    assert accepted.mean() > 0.5


def test_from_elsewhere_it_comes_to_the_density() -> None:
    torch.manual_seed(0)
    z, _ = steps(torch.full((5_000, 3), 5.0), 0.3 * STD, 5, 40)
    assert ((z.mean(0) - MEAN) / STD).abs().max() < 0.08
    assert (z.std(0) / STD - 1).abs().max() < 0.06


def test_small_steps_are_accepted_and_move_without_a_gradient() -> None:
    torch.manual_seed(0)
    start = torch.randn(100, 3, requires_grad=True)
    moved = hamiltonian_step(log_density, start, 1e-3, 3)
    assert moved.accepted.min() > 0.999
    assert not moved.z.requires_grad
    assert not torch.equal(moved.z, start)


def test_a_proposal_without_a_density_is_refused() -> None:
    start = torch.zeros(50, 1)
    moved = hamiltonian_step(
        lambda z: torch.where(z[..., 0].abs() < 1e-9, 0.0 * z[..., 0], z[..., 0] * torch.nan), start, 1.0, 1
    )
    assert torch.equal(moved.z, start)
    assert torch.equal(moved.accepted, torch.zeros(50))


def test_no_leapfrog_is_refused() -> None:
    assert "asked for 0 leapfrogs" in message(lambda: hamiltonian_step(log_density, MEAN[None], 0.1, 0))


def linear(width: float, off: float) -> tuple[LinearGaussian, WithPosterior, Tensor]:
    weight = torch.tensor([[1.0, 0.3], [0.5, -1.0], [0.2, 0.8]]).double()
    truth = LinearGaussian(weight, torch.zeros(3).double(), 0.5)
    x = truth.likelihood(truth.prior().sample((40,))).sample()

    def q(x: Tensor) -> torch.distributions.Distribution:
        exact = truth.posterior(x)
        return diagonal_normal(exact.mean + off, width * exact.stddev)

    return truth, WithPosterior(truth, q), x


@pytest.mark.parametrize(("width", "off"), [(1.0, 0.0), (0.5, 0.2), (2.0, -0.5)])
def test_annealing_gives_log_p_within_its_error_whatever_q(width: float, off: float) -> None:
    torch.manual_seed(0)
    truth, poor, x = linear(width, off)
    found = annealed_log_evidence(poor, x, chains=64, temperatures=40, step=0.6)
    deviations = (found.value - truth.log_evidence(x)) / found.standard_error
    assert found.accepted.min() > 0.3
    assert abs(float((found.value - truth.log_evidence(x)).mean())) < 0.06
    assert deviations.abs().median() < 1.2


def test_annealing_mends_what_a_narrow_q_hides_from_importance_sampling() -> None:
    torch.manual_seed(0)
    truth, narrow, x = linear(0.3, 0.3)
    exact = truth.log_evidence(x)
    off = (log_evidence(narrow, x, 2_000).value - exact).abs().mean()
    assert (annealed_log_evidence(narrow, x, 50, 40, step=1.0).value - exact).abs().mean() < off / 2


def test_one_temperature_is_importance_sampling() -> None:
    _, poor, x = linear(1.5, 0.1)
    torch.manual_seed(0)
    annealed = annealed_log_evidence(poor, x, 200, 1)
    torch.manual_seed(0)
    sampled = log_evidence(poor, x, 200)
    torch.testing.assert_close(annealed.value, sampled.value, atol=0.3, rtol=0)


def test_chunks_change_no_shape_and_too_little_is_refused() -> None:
    _, poor, x = linear(1.0, 0.0)
    assert annealed_log_evidence(poor, x, 4, 3, memory=50).value.shape == (40,)
    assert "1 chains" in message(lambda: annealed_log_evidence(poor, x, 1, 3))
    assert "0 temperatures" in message(lambda: annealed_log_evidence(poor, x, 4, 0))
