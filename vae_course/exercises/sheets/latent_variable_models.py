"""The sheet on latent variable models: draws from a mixture, log p(x) by Monte Carlo, Bayes' rule on a grid, EM."""

from __future__ import annotations

from math import log, log2, pi

import torch
from torch import Generator, Tensor

from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. ancestral sampling from a mixture


def _components(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The first component whose cumulative weight exceeds the uniform: [n]."""
    return torch.searchsorted(weights.cumsum(0), uniforms.contiguous(), right=True).clamp(max=len(weights) - 1)


def _draw(chosen: Tensor, means: Tensor, stds: Tensor, noise: Tensor) -> Tensor:
    return means[chosen] + stds[chosen, None] * noise


def _sample_mixture(weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor) -> Tensor:
    return _draw(_components(weights, uniforms), means, stds, noise)


def _weights(generator: Generator, k: int) -> Tensor:
    weights = 0.1 + uniform(generator, k)
    return weights / weights.sum()


def _sample_mixture_cases(generator: Generator) -> list[Arguments]:
    def case(weights: Tensor, dimension: int, n: int, scale: float = 2.0) -> Arguments:
        k = len(weights)
        means, stds = normal(generator, k, dimension, scale=scale), 0.3 + 2 * uniform(generator, k)
        uniforms = uniform(generator, n)
        uniforms[0] = 1 - uniforms[0] / 500  # the first point comes from the end of the scale
        near = (uniforms[:, None] - weights.cumsum(0)).abs().amin(-1) < 1e-9
        return weights, means, stds, torch.where(near, uniforms - 1e-6, uniforms), normal(generator, n, dimension)

    def drawn(k: int) -> Tensor:
        return _weights(generator, k)

    def placed(weights: list[float], uniforms: list[float], dimension: int) -> Arguments:
        k, n = len(weights), len(uniforms)
        means, stds = normal(generator, k, dimension, scale=2.0), 0.3 + 2 * uniform(generator, k)
        shares, places = torch.tensor(weights, dtype=torch.float64), torch.tensor(uniforms, dtype=torch.float64)
        return shares, means, stds, places, normal(generator, n, dimension)

    without = torch.tensor([0.0, 0.6, 0.0, 0.4, 0.0], dtype=torch.float64)  # components of weight 0 are never drawn
    rare = torch.tensor([0.98, 0.015, 0.005], dtype=torch.float64)
    return [
        placed([0.25, 0.75], [0.1, 0.2, 0.15], 2),  # all below every weight
        placed([0.5, 0.25, 0.25], [0.0, 0.5, 0.75, 0.3], 1),  # on the edges
        placed([0.0, 0.5, 0.25, 0.25], [0.0, 0.5, 0.75, 0.9, 0.1], 2),
        case(drawn(3), 2, 30),
        case(drawn(5), 3, 60),
        case(drawn(2), 1, 1),
        case(drawn(6), 1, 9),
        case(drawn(1), 2, 4),
        case(without, 2, 20),
        case(rare, 2, 200, 1e3),
    ]


sample_mixture = Exercise(
    "sample_mixture",
    _sample_mixture,
    _sample_mixture_cases,
    wrong(
        "you averaged the components by their weights: a draw comes from one component, which the uniform chooses",
        lambda weights, means, stds, uniforms, noise: weights @ means + (weights @ stds) * noise,
        "you multiplied the noise by the variance σ²; it takes the standard deviation σ",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, stds**2, uniforms, noise),
        "you took the square root of stds: they are standard deviations already, not variances",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, stds.sqrt(), uniforms, noise),
        "you took exp of stds: here they are standard deviations, not their logarithms",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, stds.exp(), uniforms, noise),
        "you chose one component for all points, by the first uniform: every point has its own uniform",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(
            weights, means, stds, uniforms[:1].expand(len(uniforms)), noise
        ),
        "the noise is not scaled: multiply it by the standard deviation of the component",
        lambda weights, means, stds, uniforms, noise: means[_components(weights, uniforms)] + noise,
        "stds of the components is [n] and noise [n, d]: give it an axis more, stds[k, None]",
        lambda weights, means, stds, uniforms, noise: (
            means[_components(weights, uniforms)] + stds[_components(weights, uniforms)] * noise
        ),
        "the mean is missing: add that of the chosen component",
        lambda weights, means, stds, uniforms, noise: stds[_components(weights, uniforms), None] * noise,
        "these are the means of the chosen components: the noise within a component is missing",
        lambda weights, means, stds, uniforms, noise: means[_components(weights, uniforms)],
        "you compared the uniform with the weights themselves: compare it with the cumulative weights",
        lambda weights, means, stds, uniforms, noise: _draw(
            (weights > uniforms[:, None]).int().argmax(-1), means, stds, noise
        ),
        "you searched in the weights themselves: search in the cumulative weights, which are in ascending order",
        lambda weights, means, stds, uniforms, noise: _draw(
            torch.searchsorted(weights, uniforms).clamp(max=len(weights) - 1), means, stds, noise
        ),
        "you counted the weights that do not exceed u: count the cumulative weights, weights.cumsum(0)",
        lambda weights, means, stds, uniforms, noise: _draw((weights <= uniforms[:, None]).sum(-1), means, stds, noise),
        "you counted the weights that do not exceed u, and clamped the count: count the cumulative weights, and none is out of range",
        lambda weights, means, stds, uniforms, noise: _draw(
            (weights <= uniforms[:, None]).sum(-1).clamp(max=len(weights) - 1), means, stds, noise
        ),
        "u equal to a cumulative weight belongs to the next component: count the cumulative weights ≤ u, or search with right=True",
        lambda weights, means, stds, uniforms, noise: _draw(
            torch.searchsorted(weights.cumsum(0), uniforms), means, stds, noise
        ),
        "u = 0 got the index −1, the last component, and u on an edge the component before it: search with right=True",
        lambda weights, means, stds, uniforms, noise: _draw(
            torch.searchsorted(torch.cat([weights.new_zeros(1), weights.cumsum(0)]), uniforms) - 1,
            means,
            stds,
            noise,
        ),
        "you used the first row of the noise for all points: every point has its own",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(
            weights, means, stds, uniforms, noise[:1].expand_as(noise)
        ),
        "you compared 1 − u with the cumulative weights: the distribution is the same, but the exercise asks for u",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, stds, 1 - uniforms, noise),
        "you counted the cumulative weights from the other end: the number of those not above u is the component",
        lambda weights, means, stds, uniforms, noise: _draw(
            len(weights) - 1 - _components(weights, uniforms), means, stds, noise
        ),
        "you counted the cumulative weights above u: count those not above it",
        lambda weights, means, stds, uniforms, noise: _draw(
            (weights.cumsum(0) > uniforms[:, None]).sum(-1), means, stds, noise
        ),
        "this is the component before the right one (for the first one, index −1, the last): you subtracted 1 too many",
        lambda weights, means, stds, uniforms, noise: _draw(_components(weights, uniforms) - 1, means, stds, noise),
        "this is the component after the right one: components are counted from 0",
        lambda weights, means, stds, uniforms, noise: _draw(
            (_components(weights, uniforms) + 1).clamp(max=len(weights) - 1), means, stds, noise
        ),
        "you drew every point from the heaviest component: the uniform chooses",
        lambda weights, means, stds, uniforms, noise: _draw(weights.argmax().expand(len(uniforms)), means, stds, noise),
        "every point comes from the last component: take the first whose cumulative weight exceeds u, not the last",
        lambda weights, means, stds, uniforms, noise: means[-1] + stds[-1] * noise,
        "every point comes from the first component: the uniform chooses",
        lambda weights, means, stds, uniforms, noise: means[0] + stds[0] * noise,
        "you chose all components with the same probability: component k has the probability weights[k]",
        lambda weights, means, stds, uniforms, noise: _draw((uniforms * len(weights)).long(), means, stds, noise),
        "you scaled the mean as well; only the noise is multiplied by σ",
        lambda weights, means, stds, uniforms, noise: (
            (means[_components(weights, uniforms)] + noise) * stds[_components(weights, uniforms), None]
        ),
        "you divided the noise by σ: multiply",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, 1 / stds, uniforms, noise),
        "the noise was subtracted: the distribution is the same, but the exercise asks for mean + σ ε",
        lambda weights, means, stds, uniforms, noise: _sample_mixture(weights, means, stds, uniforms, -noise),
    ),
)


# 2. log p(x) of a linear-Gaussian model by Monte Carlo from the prior


def _squares(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """((x − mean) / σ)² for every draw: [K, batch, observed]."""
    return ((x - (noise @ weight.T + bias)[:, None]) / std).square()


def _log_densities(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """Log p(x_i|z_k), for every observed dimension: [K, batch, observed]."""
    return -0.5 * _squares(x, weight, bias, std, noise) - std.log() - 0.5 * log(2 * pi)


def _log_mean_exp(values: Tensor) -> Tensor:
    return values.logsumexp(0) - log(len(values))


def _log_evidence(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    return _log_mean_exp(_log_densities(x, weight, bias, std, noise).sum(-1))


def _log_evidence_cases(generator: Generator) -> list[Arguments]:
    def case(k: int, batch: int, observed: int, latent: int, std: float, scale: float = 1.0) -> Arguments:
        return (
            normal(generator, batch, observed, scale=scale),
            normal(generator, observed, latent, gradient=True),
            normal(generator, observed, gradient=True),
            torch.tensor(std, dtype=torch.float64, requires_grad=True),
            normal(generator, k, latent),
        )

    return [
        case(6, 4, 3, 2, 0.7),
        case(9, 1, 2, 3, 1.6),
        case(1, 3, 2, 1, 0.5),
        case(5, 3, 1, 1, 0.4),
        case(4, 4, 4, 4, 1.3),
        case(7, 3, 2, 2, 1e-3, 20.0),  # every density underflows
        case(3, 2, 2, 1, 50.0),
    ]


def _log_prior(noise: Tensor) -> Tensor:
    return (-0.5 * noise.square() - 0.5 * log(2 * pi)).sum(-1)


def _under_one_maximum(values: Tensor) -> Tensor:
    return values.max() + (values - values.max()).exp().mean(0).log()


def _under_own_maximum(values: Tensor) -> Tensor:
    return (values - values.max(0).values).exp().mean(0).log()


log_evidence_monte_carlo = Exercise(
    "log_evidence_monte_carlo",
    _log_evidence,
    _log_evidence_cases,
    wrong(
        "this is the mean of log p(x|z), which never lies above the log of the mean (Jensen): average first, then take the log",
        lambda *a: _log_densities(*a).sum(-1).mean(0),
        "− log K is missing: this is the log of the sum over the draws, not of their mean",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0),
        "you added log K: dividing by K subtracts it",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0) + log(len(a[-1])),
        "divide the sum by K inside the logarithm: subtract log K instead of dividing by K",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0) / len(a[-1]),
        "you subtracted the logarithm of the batch size: K is the number of draws, the first axis of noise",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0) - log(len(a[0])),
        "you subtracted the logarithm of the number of latents: K is the number of draws, the first axis of noise",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0) - log(a[-1].shape[1]),
        "you subtracted the logarithm to base 2: all logarithms here are natural",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(0) - log2(len(a[-1])),
        "exp underflows where x is far from every draw: subtract the largest logarithm first, or use logsumexp",
        lambda *a: _log_densities(*a).sum(-1).exp().mean(0).log(),
        "the largest logarithm was subtracted and not added again",
        lambda *a: _under_own_maximum(_log_densities(*a).sum(-1)),
        "you divided by the number of observed dimensions: return log p(x) itself, in nats",
        lambda *a: _log_evidence(*a) / a[0].shape[-1],
        "a small number inside the logarithm hides how improbable x is: use logsumexp, which does not underflow",
        lambda *a: (_log_densities(*a).sum(-1).exp().mean(0) + 1e-12).log(),
        "a floor under p(x) hides how improbable x is: use logsumexp, which does not underflow",
        lambda *a: _log_densities(*a).sum(-1).exp().mean(0).clamp(min=1e-300).log(),
        "you subtracted the largest logarithm of the whole batch: examples differ, subtract each one's own, max over the draws",
        lambda *a: _under_one_maximum(_log_densities(*a).sum(-1)),
        "this is the evidence p(x): take its logarithm, without underflow",
        lambda *a: _log_densities(*a).sum(-1).exp().mean(0),
        "½ log 2π is missing, once per observed dimension: without it this is no density",
        lambda *a: _log_evidence(*a) + 0.5 * log(2 * pi) * a[0].shape[-1],
        "½ log 2π was subtracted once: every observed dimension has its own",
        lambda *a: _log_evidence(*a) + 0.5 * log(2 * pi) * (a[0].shape[-1] - 1),
        "½ log 2π was subtracted once per latent: p(x|z) has one per observed dimension",
        lambda *a: _log_evidence(*a) + 0.5 * log(2 * pi) * (a[0].shape[-1] - a[1].shape[-1]),
        "− log σ is missing: the density of a normal is divided by σ, once per observed dimension",
        lambda *a: _log_evidence(*a) + a[3].log() * a[0].shape[-1],
        "log σ was subtracted once: every observed dimension has its own",
        lambda *a: _log_evidence(*a) + a[3].log() * (a[0].shape[-1] - 1),
        "the constant ½ log 2πσ² was subtracted once: every observed dimension has its own",
        lambda *a: _log_evidence(*a) + (a[3].log() + 0.5 * log(2 * pi)) * (a[0].shape[-1] - 1),
        "the constant −½ log 2πσ² of the density is missing, once per observed dimension",
        lambda *a: _log_evidence(*a) + (a[3].log() + 0.5 * log(2 * pi)) * a[0].shape[-1],
        "you subtracted log 2πσ² per dimension: its factor ½ is missing",
        lambda *a: _log_evidence(*a) - (a[3].log() + 0.5 * log(2 * pi)) * a[0].shape[-1],
        "you subtracted log 2π per dimension: its factor ½ is missing",
        lambda *a: _log_evidence(*a) - 0.5 * log(2 * pi) * a[0].shape[-1],
        "you subtracted 2 log σ per dimension: ½ log σ² is log σ",
        lambda *a: _log_evidence(*a) - a[3].log() * a[0].shape[-1],
        "the constant holds log 2πσ² with σ squared: you wrote σ there",
        lambda *a: _log_evidence(*a) + 0.5 * a[3].log() * a[0].shape[-1],
        "log σ has the wrong sign: it is subtracted",
        lambda *a: _log_evidence(*a) + 2 * a[3].log() * a[0].shape[-1],
        "the ½ before the squared distance is missing",
        lambda *a: _log_mean_exp((-_squares(*a) - a[3].log() - 0.5 * log(2 * pi)).sum(-1)),
        "the distance is not squared",
        lambda *a: _log_mean_exp((-0.5 * _squares(*a).sqrt() - a[3].log() - 0.5 * log(2 * pi)).sum(-1)),
        "you divided the squared distance by σ: divide it by σ²",
        lambda *a: _log_mean_exp((-0.5 * a[3] * _squares(*a) - a[3].log() - 0.5 * log(2 * pi)).sum(-1)),
        "the squared distance is not divided by σ²",
        lambda *a: _log_mean_exp((-0.5 * a[3] ** 2 * _squares(*a) - a[3].log() - 0.5 * log(2 * pi)).sum(-1)),
        "you took the variance for the scale: here std is σ, and log_prob of a normal takes σ too",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, bias, std**2, noise),
        "you took std for the variance σ²; it is σ",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, bias, std.sqrt(), noise),
        "you took exp of std: here it is σ, not its logarithm",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, bias, std.exp(), noise),
        "the bias is missing: the mean of x given z is W z + b",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, torch.zeros_like(bias), std, noise),
        "the bias has the wrong sign: the mean of x given z is W z + b",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, -bias, std, noise),
        "you averaged the draws before the density: average p(x|z) over the draws",
        lambda x, weight, bias, std, noise: _log_evidence(x, weight, bias, std, noise.mean(0, keepdim=True)),
        "you multiplied by p(z): the draws come from the prior already, so that it counts twice",
        lambda *a: _log_mean_exp(_log_densities(*a).sum(-1) + _log_prior(a[-1])[:, None]),
        "you averaged over the draws dimension by dimension: all dimensions share one z, so sum over them first",
        lambda *a: _log_mean_exp(_log_densities(*a)).sum(-1),
        "you averaged over the observed dimensions: given z they are independent, so their log-densities add up",
        lambda *a: _log_mean_exp(_log_densities(*a).mean(-1)),
        "you did not sum over the observed dimensions: return one number per example",
        lambda *a: _log_mean_exp(_log_densities(*a)),
        "you reduced over the batch: average over the draws, and keep one number per example",
        lambda *a: _log_densities(*a).sum(-1).logsumexp(1) - log(len(a[0])),
        "you averaged over the batch: return one number per example",
        lambda *a: _log_evidence(*a).mean(),
        "you summed over the batch too: return one number per example",
        lambda *a: _log_evidence(*a).sum(),
        "this is the best draw only: average p(x|z) over all of them",
        lambda *a: _log_densities(*a).sum(-1).max(0).values,
        "this is a weighted mean of log p(x|z): take the log of the plain mean of p(x|z)",
        lambda *a: (_log_densities(*a).sum(-1).softmax(0) * _log_densities(*a).sum(-1)).sum(0),
        "the sign is flipped: return log p(x), not a loss",
        lambda *a: -_log_evidence(*a),
    ),
)


# 3. Bayes' rule on a grid


def _log_joint_on_grid(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
    return log_prior + log_likelihood


def _posterior(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    return _log_joint_on_grid(log_prior, log_likelihood).softmax(-1) / spacing


def _posterior_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, points: int, spacing: float, scale: float = 2.0) -> Arguments:
        return normal(generator, points), normal(generator, batch, points, scale=scale), spacing

    log_prior, log_likelihood, _ = case(3, 6, 0.5)
    apart = torch.tensor([0.0, -2000.0, 900.0], dtype=torch.float64)[:, None]  # examples of very different densities
    barred = torch.tensor([0.0, -torch.inf, 0.0, 0.0, -torch.inf], dtype=torch.float64)  # a prior of 0 at two points
    return [
        case(4, 7, 0.25),
        case(1, 5, 0.1),
        case(5, 5, 2.0),
        case(2, 9, 0.05, 30.0),
        case(3, 1, 0.5),
        (log_prior, log_likelihood + apart, 0.5),
        (log_prior - 800, log_likelihood, 0.5),
        (barred, normal(generator, 2, 5), 0.2),
    ]


def _under_one_maximum_on_grid(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    joint = _log_joint_on_grid(log_prior, log_likelihood)
    p = (joint - joint.max()).exp()
    return p / p.sum(-1, keepdim=True) / spacing


def _unstable(log_prior: Tensor, log_likelihood: Tensor, spacing: float, least: float = 0.0) -> Tensor:
    p = _log_joint_on_grid(log_prior, log_likelihood).exp()
    return p / (p.sum(-1, keepdim=True) + least) / spacing


def _prior_underflows(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    p = log_prior.exp() * (log_likelihood - log_likelihood.amax(-1, keepdim=True)).exp()
    return p / p.sum(-1, keepdim=True) / spacing


def _trapezoidal(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    p = _posterior(log_prior, log_likelihood, spacing)
    return p / torch.trapezoid(p, dx=spacing, dim=-1)[..., None]


posterior_on_grid = Exercise(
    "posterior_on_grid",
    _posterior,
    _posterior_cases,
    wrong(
        "these are probabilities of grid points, which sum to 1: a density is probability per length, so divide by spacing",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(-1),
        "you multiplied by the spacing: a density is probability per length, so divide by it",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(-1) * spacing,
        "you divided by the spacing twice",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(-1) / spacing**2,
        "you multiplied by the number of points, which is 1 / spacing only on a grid of length 1: divide by spacing",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(-1) * log_prior.shape[-1],
        "you normalised over the batch: for each x, the posterior is a density over the grid, the last axis",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(0) / spacing,
        "you normalised over batch and grid together: every x has its own posterior, which integrates to 1",
        lambda log_prior, log_likelihood, spacing: (
            (log_prior + log_likelihood).flatten().softmax(0).reshape(log_likelihood.shape) / spacing
        ),
        "the prior is missing: you normalised the likelihood alone",
        lambda log_prior, log_likelihood, spacing: log_likelihood.softmax(-1) / spacing,
        "this is the prior: nothing of the likelihood is in it",
        lambda log_prior, log_likelihood, spacing: log_prior.softmax(-1).expand_as(log_likelihood) / spacing,
        "this is the joint density p(x, z): divide it by p(x), its integral over z",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).exp(),
        "you normalised the likelihood before the prior came in: multiply first, then normalise",
        lambda log_prior, log_likelihood, spacing: log_likelihood.softmax(-1) / spacing * log_prior.exp(),
        "you normalised prior and likelihood apart: multiply first, then normalise the product",
        lambda log_prior, log_likelihood, spacing: log_likelihood.softmax(-1) * log_prior.softmax(-1) / spacing,
        "this is the logarithm of the posterior density: return the density",
        lambda log_prior, log_likelihood, spacing: (
            (log_prior + log_likelihood).log_softmax(-1) - torch.tensor(spacing).double().log()
        ),
        "these are the logarithms of the probabilities: return a density, exp of them divided by spacing",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).log_softmax(-1),
        "exp underflows or overflows where log p(x, z) is far from 0: subtract each row's largest first, or use softmax",
        _unstable,
        "you replaced NaN after the fact: exp has underflowed or overflowed; subtract each row's largest logarithm before exp",
        lambda log_prior, log_likelihood, spacing: _unstable(log_prior, log_likelihood, spacing).nan_to_num(),
        "all probability lies on the best grid point: every point has its share",
        lambda log_prior, log_likelihood, spacing: _one_hot(log_prior + log_likelihood) / spacing,
        "this is the cumulative distribution: return the density",
        lambda log_prior, log_likelihood, spacing: (log_prior + log_likelihood).softmax(-1).cumsum(-1),
        "a small number in the denominator does not mend an underflow: subtract each row's largest logarithm before exp",
        lambda log_prior, log_likelihood, spacing: _unstable(log_prior, log_likelihood, spacing, 1e-12),
        "you subtracted the largest logarithm of the whole batch: rows far below it underflow; subtract each row's own",
        _under_one_maximum_on_grid,
        "exp(log_prior) underflows: add the logarithms first, then subtract the largest",
        _prior_underflows,
        "you clamped log_prior: −∞ is a right value, and so is −800; leave it",
        lambda log_prior, log_likelihood, spacing: _posterior(log_prior.clamp(min=-100), log_likelihood, spacing),
        "you multiplied the logarithms: densities multiply, so their logarithms add up",
        lambda log_prior, log_likelihood, spacing: (log_prior * log_likelihood).softmax(-1) / spacing,
        "the prior was divided out: Bayes' rule multiplies the likelihood by it",
        lambda log_prior, log_likelihood, spacing: (log_likelihood - log_prior).softmax(-1) / spacing,
        "you added the prior itself to a logarithm: add its logarithm",
        lambda log_prior, log_likelihood, spacing: (log_prior.exp() + log_likelihood).softmax(-1) / spacing,
        "the prior counts twice",
        lambda log_prior, log_likelihood, spacing: (2 * log_prior + log_likelihood).softmax(-1) / spacing,
        "you divided by the largest value: divide by the integral, the sum times spacing",
        lambda log_prior, log_likelihood, spacing: (
            log_prior + log_likelihood - (log_prior + log_likelihood).max(-1, keepdim=True).values
        ).exp(),
        "you divided by the largest value and by spacing: that is not normalised; divide by the sum and by spacing",
        lambda log_prior, log_likelihood, spacing: (
            (log_prior + log_likelihood - (log_prior + log_likelihood).amax(-1, keepdim=True)).exp() / spacing
        ),
        "you normalised the logarithms: take exp first",
        lambda log_prior, log_likelihood, spacing: (
            (log_prior + log_likelihood) / (log_prior + log_likelihood).sum(-1, keepdim=True) / spacing
        ),
        "the sign of the logarithms is flipped: the most probable latents got the smallest density",
        lambda log_prior, log_likelihood, spacing: (-log_prior - log_likelihood).softmax(-1) / spacing,
        "you used the trapezoidal rule, which halves both ends: here every grid point counts in full, Σ p · spacing = 1",
        _trapezoidal,
    ),
)


# 4. Fisher's identity for the means of a mixture


def _log_joint(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    """Log p(x_n, z = k), up to a constant that all components share: [n, K]."""
    return weights.log() - 0.5 * _distances(x, means) / std**2


def _distances(x: Tensor, means: Tensor) -> Tensor:
    """‖x_n − μ_k‖²: [n, K]."""
    return (x[:, None] - means).square().sum(-1)


def _pull(r: Tensor, x: Tensor, means: Tensor, std: Tensor) -> Tensor:
    return torch.einsum("nk,nkd->kd", r, x[:, None] - means) / std**2


def _evidence_gradient(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    return _pull(_log_joint(x, weights, means, std).softmax(-1), x, means, std)


def _evidence_gradient_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, weights: Tensor, dimension: int, std: float, away: float | Tensor = 0.0) -> Arguments:
        means = normal(generator, len(weights), dimension, scale=1.5)
        return normal(generator, n, dimension, scale=2.0) + away, weights, means, torch.tensor(std).double()

    def drawn(k: int) -> Tensor:
        return _weights(generator, k)

    def at_seven_deviations() -> Arguments:  # where a small number in a denominator is no longer small
        mean = normal(generator, 1, 2)
        x = mean + torch.tensor([[4.2, 0.0]], dtype=torch.float64)
        return x, torch.ones(1, dtype=torch.float64), mean, torch.tensor(0.6, dtype=torch.float64)

    def nearer_the_light() -> Arguments:  # the nearest mean is not that of the most probable component
        ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        x = 0.1 + 0.2 * uniform(generator, 3, 1)
        return x, torch.tensor([0.9, 0.1], dtype=torch.float64), ends, torch.tensor(1.2, dtype=torch.float64)

    near_and_far = torch.tensor([[0.0], [200.0]], dtype=torch.float64)
    return [
        case(8, drawn(3), 2, 1.4),
        case(1, drawn(2), 3, 1.7),
        case(6, drawn(4), 1, 0.8),
        case(4, drawn(1), 2, 0.6),
        case(4, drawn(4), 4, 2.5),
        case(5, drawn(3), 2, 1.3, 200.0),  # every density underflows
        case(1, drawn(3), 2, 1.3, 200.0),
        case(2, drawn(3), 2, 1.3, near_and_far),
        at_seven_deviations(),
        nearer_the_light(),
    ]


def _one_hot(scores: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).double()


def _shares(p: Tensor, least: float = 0.0) -> Tensor:
    return p / (p.sum(-1, keepdim=True) + least)


def _under_one_maximum_of_the_table(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    log_joint = _log_joint(x, weights, means, std)
    return _pull(_shares((log_joint - log_joint.max()).exp()), x, means, std)


def _new_means(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    r = _log_joint(x, weights, means, std).softmax(-1)
    return r.T @ x / r.sum(0)[:, None]


def _through_the_responsibilities(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    free = means.clone().requires_grad_()
    log_joint = _log_joint(x, weights, free, std)
    return torch.autograd.grad((log_joint.softmax(-1) * log_joint).sum(), free)[0]


def _by_coordinate(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    offsets = x[:, None] - means
    r = (weights.log()[:, None] - 0.5 * (offsets / std).square()).softmax(1)
    return (r * offsets).sum(0) / std**2


evidence_gradient = Exercise(
    "evidence_gradient",
    _evidence_gradient,
    _evidence_gradient_cases,
    wrong(
        "the responsibilities lack the weights: the posterior is proportional to weight times density",
        lambda x, weights, means, std: _evidence_gradient(x, torch.ones_like(weights), means, std),
        "you gave each point to its most probable component: weigh all components by the posterior",
        lambda x, weights, means, std: _pull(_one_hot(_log_joint(x, weights, means, std)), x, means, std),
        "you gave each point to its nearest mean: weigh all components by the posterior",
        lambda x, weights, means, std: _pull(_one_hot(-_distances(x, means)), x, means, std),
        "you averaged over the points: log p of independent points is a sum, and so is its gradient",
        lambda x, weights, means, std: _evidence_gradient(x, weights, means, std) / len(x),
        "you divided by σ: divide by σ²",
        lambda x, weights, means, std: _evidence_gradient(x, weights, means, std) * std,
        "the division by σ² is missing",
        lambda x, weights, means, std: _evidence_gradient(x, weights, means, std) * std**2,
        "the sign is flipped: log p grows when a mean moves towards its points, x − μ",
        lambda x, weights, means, std: -_evidence_gradient(x, weights, means, std),
        "there is a factor 2 too much: the ½ of the log-density cancels the 2 of the square",
        lambda x, weights, means, std: 2 * _evidence_gradient(x, weights, means, std),
        "there is a ½ too much: it cancels against the 2 of the square",
        lambda x, weights, means, std: _evidence_gradient(x, weights, means, std) / 2,
        "you averaged over the prior p(z): Fisher's identity averages over the posterior p(z|x)",
        lambda x, weights, means, std: _pull(weights.expand(len(x), -1), x, means, std),
        "you normalised over the points: the responsibilities of one point sum to 1 over the components",
        lambda x, weights, means, std: _pull(_log_joint(x, weights, means, std).softmax(0), x, means, std),
        "every component pulls at every point with weight 1: the responsibilities are missing",
        lambda x, weights, means, std: _pull(torch.ones(len(x), len(means)).double(), x, means, std),
        "exp underflows far from all means, and 0/0 is NaN: normalise the logarithms, with softmax or logsumexp",
        lambda x, weights, means, std: _pull(_shares(_log_joint(x, weights, means, std).exp()), x, means, std),
        "a small number in the denominator makes the responsibilities of a far point 0: normalise the logarithms, with softmax",
        lambda x, weights, means, std: _pull(_shares(_log_joint(x, weights, means, std).exp(), 1e-12), x, means, std),
        "a small number added to the sum takes from the responsibilities of far points: normalise the logarithms, with softmax",
        lambda x, weights, means, std: _pull(_shares(_log_joint(x, weights, means, std).exp(), 1e-10), x, means, std),
        "you subtracted the largest logarithm of the whole table: a far point still underflows; subtract each point's own largest",
        _under_one_maximum_of_the_table,
        "these are weights times densities, not normalised: divide by their sum over the components",
        lambda x, weights, means, std: _pull(_log_joint(x, weights, means, std).exp(), x, means, std),
        "the ½ before the squared distance is missing in the responsibilities",
        lambda x, weights, means, std: _pull(
            (weights.log() - _distances(x, means) / std**2).softmax(-1), x, means, std
        ),
        "the squared distance in the responsibilities was divided by σ: divide it by σ²",
        lambda x, weights, means, std: _pull(
            (weights.log() - 0.5 * _distances(x, means) / std).softmax(-1), x, means, std
        ),
        "the squared distance in the responsibilities is not divided by σ²",
        lambda x, weights, means, std: _pull((weights.log() - 0.5 * _distances(x, means)).softmax(-1), x, means, std),
        "the distance in the responsibilities is not squared",
        lambda x, weights, means, std: _pull(
            (weights.log() - 0.5 * _distances(x, means).sqrt() / std).softmax(-1), x, means, std
        ),
        "you took ‖x − μ‖ in the responsibilities where its square belongs",
        lambda x, weights, means, std: _pull(
            (weights.log() - 0.5 * _distances(x, means).sqrt() / std**2).softmax(-1), x, means, std
        ),
        "you averaged the squared distance in the responsibilities over the coordinates: sum them",
        lambda x, weights, means, std: _pull(
            (weights.log() - 0.5 * _distances(x, means) / x.shape[-1] / std**2).softmax(-1), x, means, std
        ),
        "you added the weights to log-densities: add their logarithms",
        lambda x, weights, means, std: _pull(
            (weights - 0.5 * _distances(x, means) / std**2).softmax(-1), x, means, std
        ),
        "the weights count twice: the responsibilities hold them already",
        lambda x, weights, means, std: _pull(_log_joint(x, weights, means, std).softmax(-1) * weights, x, means, std),
        "you multiplied by the weights after normalising: the responsibilities no longer sum to 1",
        lambda x, weights, means, std: _pull(
            weights * (-0.5 * _distances(x, means) / std**2).softmax(-1), x, means, std
        ),
        "you computed responsibilities coordinate by coordinate: one component made the whole point, so sum over them first",
        _by_coordinate,
        "the mean was not subtracted: the gradient of log N(x; μ, σ²) by μ is (x − μ)/σ²",
        lambda x, weights, means, std: torch.einsum(
            "nk,nd->kd", _log_joint(x, weights, means, std).softmax(-1), x / std**2
        ),
        "μ_k was subtracted once: subtract it from every point, Σ_n r_nk (x_n − μ_k)",
        lambda x, weights, means, std: (_log_joint(x, weights, means, std).softmax(-1).T @ x - means) / std**2,
        "the gradient went through the responsibilities too: r must be held fixed, so detach it",
        _through_the_responsibilities,
        "you divided by the sum of the responsibilities: this is a step of EM divided by σ², not the gradient",
        lambda x, weights, means, std: (
            _evidence_gradient(x, weights, means, std) / _log_joint(x, weights, means, std).softmax(-1).sum(0)[:, None]
        ),
        "you divided by the sum of the responsibilities in place of σ²: this is a step of EM, not the gradient",
        lambda x, weights, means, std: (
            _evidence_gradient(x, weights, means, std)
            * std**2
            / _log_joint(x, weights, means, std).softmax(-1).sum(0)[:, None]
        ),
        "these are the new means of EM, not the gradient: it is Σ_n r_nk (x_n − μ_k) / σ²",
        _new_means,
        "you did not sum over the points: return one row per component",
        lambda x, weights, means, std: (
            torch.einsum("nk,nkd->nkd", _log_joint(x, weights, means, std).softmax(-1), x[:, None] - means) / std**2
        ),
        "you summed over the components: every mean has its own gradient",
        lambda x, weights, means, std: _evidence_gradient(x, weights, means, std).sum(0),
    ),
)


# 5. one step of EM


def _responsibilities(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return (_exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).softmax(-1)


def _exponents(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """Log p(x_n, z = k) without the constant −d log σ_k: [n, K]."""
    return weights.log() - 0.5 * _distances(x, means) / stds**2


def _maximize(r: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = r.sum(0)
    means = r.T @ x / counts[:, None]
    return counts / len(x), means, _spread(r, x, means)


def _spread(r: Tensor, x: Tensor, means: Tensor) -> Tensor:
    return ((r * _distances(x, means)).sum(0) / r.sum(0) / x.shape[-1]).sqrt()


def _em_step(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _maximize(_responsibilities(x, weights, means, stds), x)


def _em_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, k: int, dimension: int) -> Arguments:
        means = normal(generator, k, dimension)
        return (
            normal(generator, n, dimension, scale=2.0),
            _weights(generator, k),
            means,
            0.7 + 1.5 * uniform(generator, k),
        )

    def clusters(dimension: int) -> Arguments:  # far from both means, so that every density underflows
        signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None]
        x = 10 * signs.repeat(4, 1) + normal(generator, 8, dimension)
        means = (7 * signs).expand(2, dimension).clone()
        return x, _weights(generator, 2), means, torch.tensor([0.05, 0.04], dtype=torch.float64)

    def tiny() -> Arguments:
        x, weights, means, stds = case(9, 2, 2)
        return 1e-2 * x, weights, 1e-2 * means, 1e-2 * stds

    return [case(12, 3, 2), case(20, 4, 3), case(9, 2, 1), case(5, 1, 3), case(6, 4, 4), clusters(2), tiny()]


def _with_spread(spread: Tensor, r: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return r.mean(0), r.T @ x / r.sum(0)[:, None], spread


def _by_dimension(r: Tensor, x: Tensor) -> Tensor:
    """Variances of every coordinate: [K, d]."""
    means = r.T @ x / r.sum(0)[:, None]
    return torch.einsum("nk,nkd->kd", r, (x[:, None] - means).square()) / r.sum(0)[:, None]


def _old_mean(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    return _with_spread(_spread(r, x, means), r, x)


def _new_responsibilities(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    new_weights, new_means, _ = _em_step(x, weights, means, stds)
    r = _responsibilities(x, weights, new_means, stds)
    return new_weights, new_means, _spread(r, x, new_means)


def _unbiased(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    return _with_spread(_spread(r, x, _maximize(r, x)[1]) * (r.sum(0) / (r.sum(0) - 1)).sqrt(), r, x)


def _pooled(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    new_weights, new_means, new_stds = _em_step(x, weights, means, stds)
    return new_weights, new_means, (new_weights @ new_stds**2).sqrt().expand(len(stds))


def _not_squared(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    distances = _distances(x, _maximize(r, x)[1]).sqrt()
    return _with_spread(((r * distances).sum(0) / r.sum(0) / x.shape[-1]).sqrt(), r, x)


def _unweighted(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    return r.mean(0), x.mean(0).expand(len(means), -1), _spread(r, x, x.mean(0).expand(len(means), -1))


def _before_each_update(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    new_weights = _responsibilities(x, weights, means, stds).mean(0)
    new_means = _maximize(_responsibilities(x, new_weights, means, stds), x)[1]
    return new_weights, new_means, _spread(_responsibilities(x, new_weights, new_means, stds), x, new_means)


def _root_inside(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    distances = (_distances(x, _maximize(r, x)[1]) / x.shape[-1]).sqrt()
    return _with_spread((r * distances).sum(0) / r.sum(0), r, x)


def _means_not_divided(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    return r.mean(0), r.T @ x, _spread(r, x, r.T @ x)


def _means_by_n(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r = _responsibilities(x, weights, means, stds)
    return r.mean(0), r.T @ x / len(x), _spread(r, x, r.T @ x / len(x))


em_step = Exercise(
    "em_step",
    _em_step,
    _em_cases,
    wrong(
        "the standard deviations were computed about the old means: use the new ones",
        _old_mean,
        "the division by d is missing: ‖x − μ‖² holds d squares, and σ² is the variance of one coordinate",
        lambda x, weights, means, stds: _with_spread(
            _em_step(x, weights, means, stds)[2] * x.shape[-1] ** 0.5,
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "you returned variances: take the square root",
        lambda x, weights, means, stds: _with_spread(
            _em_step(x, weights, means, stds)[2] ** 2, _responsibilities(x, weights, means, stds), x
        ),
        "you returned the mean squared distances: divide by d and take the square root",
        lambda x, weights, means, stds: _with_spread(
            _em_step(x, weights, means, stds)[2] ** 2 * x.shape[-1], _responsibilities(x, weights, means, stds), x
        ),
        "you divided the standard deviation by d, or the variance twice: σ² is the mean squared distance divided by d, once",
        lambda x, weights, means, stds: _with_spread(
            _em_step(x, weights, means, stds)[2] / x.shape[-1] ** 0.5,
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "the responsibilities lack the factor σ_k⁻ᵈ of the density: it differs from component to component",
        lambda x, weights, means, stds: _maximize(_exponents(x, weights, means, stds).softmax(-1), x),
        "the density in the responsibilities was divided by σ once: in d dimensions it is divided by σᵈ",
        lambda x, weights, means, stds: _maximize((_exponents(x, weights, means, stds) - stds.log()).softmax(-1), x),
        "the density in the responsibilities was divided by σ²ᵈ: log σ² stands there with a factor ½",
        lambda x, weights, means, stds: _maximize(
            (_exponents(x, weights, means, stds) - 2 * x.shape[-1] * stds.log()).softmax(-1), x
        ),
        "log σ has the wrong sign in the responsibilities: a density is divided by σᵈ",
        lambda x, weights, means, stds: _maximize(
            (_exponents(x, weights, means, stds) + x.shape[-1] * stds.log()).softmax(-1), x
        ),
        "the means were divided by n: divide by N_k, the points that the component answers for",
        _means_by_n,
        "the means are not divided by N_k: a weighted mean is divided by the sum of its weights",
        _means_not_divided,
        "you gave each point to its most probable component: EM shares it among all",
        lambda x, weights, means, stds: _maximize(_one_hot(_responsibilities(x, weights, means, stds)), x),
        "this is a step of k-means: EM shares each point among all components",
        lambda x, weights, means, stds: _maximize(_one_hot(-_distances(x, means)), x),
        "the responsibilities lack the old weights: the posterior is proportional to weight times density",
        lambda x, weights, means, stds: _maximize(_responsibilities(x, torch.ones_like(weights), means, stds), x),
        "you added the weights to log-densities: add their logarithms",
        lambda x, weights, means, stds: _maximize(
            (weights - weights.log() + _exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).softmax(-1),
            x,
        ),
        "log π_k was added before the sum over the coordinates, so that it counts d times: add it after",
        lambda x, weights, means, stds: _maximize(
            (x.shape[-1] * (weights.log() - stds.log()) - 0.5 * _distances(x, means) / stds**2).softmax(-1), x
        ),
        "the weights sum to n: divide N_k by n",
        lambda x, weights, means, stds: (
            _responsibilities(x, weights, means, stds).sum(0),
            *_em_step(x, weights, means, stds)[1:],
        ),
        "the weights are the old ones: the new ones are N_k / n",
        lambda x, weights, means, stds: (weights.clone(), *_em_step(x, weights, means, stds)[1:]),
        "only the means moved: EM updates weights and standard deviations too",
        lambda x, weights, means, stds: (weights.clone(), _em_step(x, weights, means, stds)[1], stds.clone()),
        "the standard deviations are the old ones: EM updates them too",
        lambda x, weights, means, stds: (*_em_step(x, weights, means, stds)[:2], stds.clone()),
        "you normalised over the points: the responsibilities of one point sum to 1 over the components",
        lambda x, weights, means, stds: _maximize(
            (_exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).softmax(0), x
        ),
        "exp underflows far from all means, and 0/0 is NaN: normalise the logarithms, with softmax or logsumexp",
        lambda x, weights, means, stds: _maximize(
            _shares((_exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).exp()), x
        ),
        "these are weights times densities, not normalised: divide by their sum over the components",
        lambda x, weights, means, stds: _maximize(
            (_exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).exp(), x
        ),
        "the ½ before the squared distance is missing in the responsibilities",
        lambda x, weights, means, stds: _maximize(
            (2 * _exponents(x, weights, means, stds) - weights.log() - x.shape[-1] * stds.log()).softmax(-1), x
        ),
        "the squared distance in the responsibilities was divided by σ: divide it by σ²",
        lambda x, weights, means, stds: _maximize(
            (weights.log() - 0.5 * _distances(x, means) / stds - x.shape[-1] * stds.log()).softmax(-1), x
        ),
        "you took stds for variances in the responsibilities: they are standard deviations",
        lambda x, weights, means, stds: _maximize(_responsibilities(x, weights, means, stds.sqrt()), x),
        "half of log σ is missing in the responsibilities: the constant of the density is −½ d log 2πσ², with σ squared",
        lambda x, weights, means, stds: _maximize(
            (_exponents(x, weights, means, stds) - 0.5 * x.shape[-1] * stds.log()).softmax(-1), x
        ),
        "a small number in the denominator makes the responsibilities of a far point 0: normalise the logarithms, with softmax",
        lambda x, weights, means, stds: _maximize(
            _shares((_exponents(x, weights, means, stds) - x.shape[-1] * stds.log()).exp(), 1e-12), x
        ),
        "the mean was not subtracted in the variance",
        lambda x, weights, means, stds: _with_spread(
            _spread(_responsibilities(x, weights, means, stds), x, torch.zeros_like(means)),
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "you divided by N_k − 1: EM maximises the likelihood, which divides by N_k",
        _unbiased,
        "the distance in the variance is not squared",
        _not_squared,
        "you took the root before the mean over the points: average the squared distances, then take the root",
        _root_inside,
        "all components got one standard deviation: each has its own",
        _pooled,
        "you averaged standard deviations over the coordinates: average the variances, then take the square root",
        lambda x, weights, means, stds: _with_spread(
            _by_dimension(_responsibilities(x, weights, means, stds), x).sqrt().mean(-1),
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "you returned one standard deviation per coordinate: the components are round, so average the variances over them",
        lambda x, weights, means, stds: _with_spread(
            _by_dimension(_responsibilities(x, weights, means, stds), x).sqrt(),
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "the variances were divided by n: divide by N_k, the points that the component answers for",
        lambda x, weights, means, stds: _with_spread(
            _em_step(x, weights, means, stds)[2] * _em_step(x, weights, means, stds)[0].sqrt(),
            _responsibilities(x, weights, means, stds),
            x,
        ),
        "every component got the mean of all points: weigh the points by the responsibilities",
        _unweighted,
        "you computed the responsibilities anew after moving the means: one step of EM uses those of the old parameters",
        _new_responsibilities,
        "you computed the responsibilities anew before each update: weights, means and deviations share those of the old parameters",
        _before_each_update,
        "weights and means are exchanged: return the weights first, then the means, then the standard deviations",
        lambda x, weights, means, stds: tuple(_em_step(x, weights, means, stds)[i] for i in (1, 0, 2)),
        "you returned the weights last: the order is weights, means, standard deviations",
        lambda x, weights, means, stds: tuple(_em_step(x, weights, means, stds)[i] for i in (1, 2, 0)),
    ),
    results=("weights", "means", "standard deviations"),
)
