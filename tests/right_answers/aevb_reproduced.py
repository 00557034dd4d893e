"""Right answers to the sheet aevb_reproduced, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, pi
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_course.evaluation.posterior_draws import fitted_normal
from vae_course.objectives.bounds import log_mean_exp

Density = Callable[[Tensor], Tensor]


def map_by_distribution(bounds: Tensor, weights: Tensor, biases: Tensor, prior_std: float, examples: int) -> Tensor:
    prior = Normal(0.0, prior_std)
    return bounds.mean() + (prior.log_prob(weights).sum() + prior.log_prob(biases).sum()) / examples


def map_of_one_vector(bounds: Tensor, weights: Tensor, biases: Tensor, prior_std: float, examples: int) -> Tensor:
    w = torch.cat([weights.flatten(), biases])
    log_prior = -0.5 * (w / prior_std) @ (w / prior_std) - len(w) * (log(prior_std) + 0.5 * log(2 * pi))
    return torch.mean(bounds) + log_prior / examples


def map_of_all_examples(bounds: Tensor, weights: Tensor, biases: Tensor, prior_std: float, examples: int) -> Tensor:
    """The objective of all N examples, estimated from the minibatch, and divided by N."""
    whole = examples / len(bounds) * bounds.sum()
    for w in (weights, biases):
        whole = whole - (w**2 / (2 * prior_std**2) + 0.5 * log(2 * pi * prior_std**2)).sum()
    return whole / examples


def move_by_loops(
    log_p: Density, slope: Density, z: Tensor, momentum: Tensor, uniform: Tensor, step: Tensor, leapfrogs: int
) -> tuple[Tensor, Tensor]:
    """One chain after another."""
    ends, probabilities = [], []
    for i in range(len(z)):
        at, r, e = z[i : i + 1], momentum[i : i + 1], float(step[i])
        for _ in range(leapfrogs):
            at = at + 0.5 * e * r
            r = r + e * slope(at)
            at = at + 0.5 * e * r
        before = float(-log_p(z[i : i + 1]) + 0.5 * (momentum[i] ** 2).sum())
        after = float(-log_p(at) + 0.5 * (r**2).sum())
        probabilities.append(exp(min(0.0, before - after)))
        ends.append(at[0] if float(uniform[i]) <= probabilities[-1] else z[i])
    return torch.stack(ends), torch.tensor(probabilities).double()


def move_with_joined_halves(
    log_p: Density, slope: Density, z: Tensor, momentum: Tensor, uniform: Tensor, step: Tensor, leapfrogs: int
) -> tuple[Tensor, Tensor]:
    """Two half steps of z between two slopes are a whole one; the momentum is turned round at the end, which changes nothing."""
    e, r = step.unsqueeze(-1), momentum
    at = z + e / 2 * r
    for k in range(leapfrogs):
        r = r + e * slope(at)
        at = at + (e if k < leapfrogs - 1 else e / 2) * r
    r = -r
    energy = log_p(z) - log_p(at) + (r.pow(2).sum(1) - momentum.pow(2).sum(1)) / 2
    probability = torch.exp(-energy).clamp(max=1.0)
    taken = (uniform < probability).double()[:, None]
    return taken * at + (1 - taken) * z, probability


def move_by_index(
    log_p: Density, slope: Density, z: Tensor, momentum: Tensor, uniform: Tensor, step: Tensor, leapfrogs: int
) -> tuple[Tensor, Tensor]:
    at, r = z.clone(), momentum.clone()
    for _ in range(leapfrogs):
        at += 0.5 * step[:, None] * r
        r += step[:, None] * slope(at)
        at += 0.5 * step[:, None] * r
    log_ratio = (log_p(at) - (r * r).sum(-1) / 2) - (log_p(z) - (momentum * momentum).sum(-1) / 2)
    result = z.clone()
    accepted = uniform.log() < log_ratio
    result[accepted] = at[accepted]
    return result, torch.minimum(torch.ones_like(log_ratio), log_ratio.exp())


def wake_sleep_by_distributions(
    x: Tensor,
    prior_mean: Tensor,
    decoder: Tensor,
    encoder: Tensor,
    log_std: Tensor,
    noise: Tensor,
    noise_z: Tensor,
    noise_x: Tensor,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        z = x @ encoder.T + log_std.exp() * noise
        dream = prior_mean + noise_z
        dreamt = dream @ decoder.T + noise_x
    prior, likelihood = Independent(Normal(prior_mean, 1.0), 1), Independent(Normal(z @ decoder.T, 1.0), 1)
    q = Independent(Normal(dreamt @ encoder.T, log_std.exp()), 1)
    return -prior.log_prob(z) - likelihood.log_prob(x), -q.log_prob(dream)


def wake_sleep_by_formula(
    x: Tensor,
    prior_mean: Tensor,
    decoder: Tensor,
    encoder: Tensor,
    log_std: Tensor,
    noise: Tensor,
    noise_z: Tensor,
    noise_x: Tensor,
) -> tuple[Tensor, Tensor]:
    """The parameters are detached where a draw is made of them."""
    z = torch.addmm(log_std.detach().exp() * noise, x, encoder.detach().T)
    off = torch.cat([z - prior_mean, x - z @ decoder.T], 1)
    wake = 0.5 * (off**2 + log(2 * pi)).sum(1)
    z = prior_mean.detach() + noise_z
    x = z @ decoder.detach().T + noise_x
    r = (z - x @ encoder.T) * torch.exp(-log_std)
    return wake, (0.5 * r**2 + log_std + 0.5 * log(2 * pi)).sum(1)


def wake_sleep_in_loops(
    x: Tensor,
    prior_mean: Tensor,
    decoder: Tensor,
    encoder: Tensor,
    log_std: Tensor,
    noise: Tensor,
    noise_z: Tensor,
    noise_x: Tensor,
) -> tuple[Tensor, Tensor]:
    def log_p(at: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return MultivariateNormal(mean, torch.diag(std**2)).log_prob(at)

    wakes, sleeps, std = [], [], log_std.exp()
    one = torch.ones_like
    for row, e in zip(x, noise, strict=True):
        z = (encoder @ row + std * e).detach()
        wakes.append(-log_p(z, prior_mean, one(z)) - log_p(row, decoder @ z, one(row)))
    for e, f in zip(noise_z, noise_x, strict=True):
        z = (prior_mean + e).detach()
        dreamt = (decoder @ z + f).detach()
        sleeps.append(-log_p(z, encoder @ dreamt, std))
    return torch.stack(wakes), torch.stack(sleeps)


def draws_by_torch(first: Tensor, second: Tensor, log_joint: Tensor) -> Tensor:
    q = MultivariateNormal(first.mean(0), torch.atleast_2d(torch.cov(first.T)))
    return -(torch.logsumexp(q.log_prob(second) - log_joint, 0) - log(len(second)))


def draws_by_scipy(first: Tensor, second: Tensor, log_joint: Tensor) -> Tensor:
    fit, z = first.numpy(), second.numpy()
    q = scipy.stats.multivariate_normal(fit.mean(0), np.atleast_2d(np.cov(fit.T)))
    log_ratio = np.atleast_1d(q.logpdf(z)) - log_joint.numpy()
    return torch.tensor(np.log(len(z)) - scipy.special.logsumexp(log_ratio))


def draws_by_cholesky(first: Tensor, second: Tensor, log_joint: Tensor) -> Tensor:
    """The largest term taken out before exp, and put back."""
    centred = first - first.mean(0)
    root = torch.linalg.cholesky(centred.T @ centred / (len(first) - 1))
    white = torch.linalg.solve_triangular(root, (second - first.mean(0)).T, upper=False)  # [latent, L]
    log_q = -0.5 * white.square().sum(0) - root.diagonal().log().sum() - 0.5 * len(root) * log(2 * pi)
    terms = log_joint - log_q
    least = terms.min()
    return least - (least - terms).exp().mean().log()


def draws_by_the_package(first: Tensor, second: Tensor, log_joint: Tensor) -> Tensor:
    log_q = fitted_normal(first[:, None]).log_prob(second[:, None])[:, 0]
    return -log_mean_exp(log_q - log_joint)


def off_in_loops(z: Tensor, slope: Tensor) -> Tensor:
    draws, chains, latent = z.shape
    found = []
    for j in range(latent):
        means = [sum(float(z[t, c, j] * slope[t, c, j]) for t in range(draws)) / draws for c in range(chains)]
        mean = sum(means) / chains
        variance = sum((m - mean) ** 2 for m in means) / (chains - 1)
        found.append((mean + 1) / (variance / chains) ** 0.5)
    return torch.tensor(found).double()


def off_by_numpy(z: Tensor, slope: Tensor) -> Tensor:
    means = np.einsum("tcj,tcj->cj", z.numpy(), slope.numpy()) / len(z)
    return torch.from_numpy(scipy.stats.ttest_1samp(means, -1.0, axis=0).statistic)


def off_by_covariance(z: Tensor, slope: Tensor) -> Tensor:
    of_chains = (z * slope).mean(dim=0)
    error = torch.sqrt(torch.atleast_2d(torch.cov(of_chains.T)).diagonal() / of_chains.shape[0])
    return (of_chains.mean(0) + 1) / error


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "map_objective": [map_by_distribution, map_of_one_vector, map_of_all_examples],
    "leapfrog_move": [move_by_loops, move_with_joined_halves, move_by_index],
    "wake_and_sleep": [wake_sleep_by_distributions, wake_sleep_by_formula, wake_sleep_in_loops],
    "evidence_from_draws": [draws_by_torch, draws_by_scipy, draws_by_cholesky, draws_by_the_package],
    "errors_off": [off_in_loops, off_by_numpy, off_by_covariance],
}
