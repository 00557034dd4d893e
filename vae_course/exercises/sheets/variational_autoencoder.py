"""The sheet on the variational autoencoder: from one reparameterized draw to the ELBO and a picture of the latents."""

from __future__ import annotations

from math import log, log2

import torch
from torch import Generator, Tensor
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy, softplus

from vae_course.distributions.families import diagonal_normal
from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import bits, normal

# 1. z = μ + σ ε


def _reparameterize(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    return mean + log_std.exp() * noise


def _reparameterize_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        parameters = [normal(generator, batch, latent, scale=scale, gradient=True) for _ in range(2)]
        return (*parameters, normal(generator, batch, latent))

    return [case(4, 3, 1.0), case(1, 2, 1.0), case(5, 1, 3.0), case(2, 2, 1e-3)]


reparameterize = Exercise(
    "reparameterize",
    _reparameterize,
    _reparameterize_cases,
    wrong(
        "you multiplied the noise by log σ; take exp to get σ, which must be positive",
        lambda mean, log_std, noise: mean + log_std * noise,
        "you took exp(s/2) for σ: that is right when s is log σ², but here s is log σ",
        lambda mean, log_std, noise: mean + (0.5 * log_std).exp() * noise,
        "you multiplied the noise by the variance σ²; it takes the standard deviation σ",
        lambda mean, log_std, noise: mean + (2 * log_std).exp() * noise,
        "no gradient reaches the mean: something cut its path; z must be computed from the mean itself",
        lambda mean, log_std, noise: mean.detach() + log_std.exp() * noise,
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        lambda mean, log_std, noise: (mean + log_std.exp() * noise).detach(),
        "you scaled the mean as well; only the noise is multiplied by σ",
        lambda mean, log_std, noise: (mean + noise) * log_std.exp(),
        "the noise was subtracted: the distribution is the same, but the exercise asks for μ + σ ε",
        lambda mean, log_std, noise: mean - log_std.exp() * noise,
        "you took softplus for σ: here s is log σ, so σ = exp(s)",
        lambda mean, log_std, noise: mean + softplus(log_std) * noise,
        "σ is missing: the noise must be multiplied by it",
        lambda mean, log_std, noise: mean + noise,
    ),
)


# 2. KL(N(μ, σ²) || N(0, 1)), summed over the latents


def _kl(mean: Tensor, log_std: Tensor) -> Tensor:
    return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(-1)


def _kl_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        return (
            normal(generator, batch, latent, scale=scale, gradient=True),
            normal(generator, batch, latent, scale=scale, gradient=True),
        )

    zero = torch.zeros(3, 2, dtype=torch.float64)
    return [case(4, 3, 1.0), case(1, 5, 1.0), case(3, 1, 2.0), case(2, 4, 1e-3), (zero, zero.clone())]


kl_to_standard_normal = Exercise(
    "kl_to_standard_normal",
    _kl,
    _kl_cases,
    wrong(
        "the ½ stands before μ² only: it multiplies the whole bracket",
        lambda mean, log_std: (0.5 * mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(-1),
        "− log σ² is missing: without it σ is pulled to 0, not to 1",
        lambda mean, log_std: (0.5 * (mean.square() + (2 * log_std).exp() - 1)).sum(-1),
        "one of the two is doubled only: σ² is exp(2s) where the logarithm is 2s (here s is log σ)",
        lambda mean, log_std: (0.5 * (mean.square() + log_std.exp() - 1) - log_std).sum(-1),
        "log σ² is 2 log σ: you subtracted half of it",
        lambda mean, log_std: (0.5 * (mean.square() + (2 * log_std).exp() - 1 - log_std)).sum(-1),
        "log σ² has the wrong sign: it is subtracted",
        lambda mean, log_std: (0.5 * (mean.square() + (2 * log_std).exp() - 1) + log_std).sum(-1),
        "the −1 stands outside the sum: every latent has its own",
        lambda mean, log_std: 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std).sum(-1) - 0.5,
        "μ is not squared",
        lambda mean, log_std: (0.5 * (mean + (2 * log_std).exp() - 1) - log_std).sum(-1),
        "you averaged over the latents: the KL of independent coordinates is a sum",
        lambda mean, log_std: _kl(mean, log_std) / mean.shape[-1],
        "you averaged over the batch: return one number per example; the mean is taken in fit",
        lambda mean, log_std: _kl(mean, log_std).mean(),
        "you summed over the batch too: return one number per example",
        lambda mean, log_std: _kl(mean, log_std).sum(),
        "the sign is flipped: a KL divergence is never negative",
        lambda mean, log_std: -_kl(mean, log_std),
        "the factor ½ is missing",
        lambda mean, log_std: 2 * _kl(mean, log_std),
        "you used exp(s) for the variance, as if s were log σ²; here s is log σ, and σ² is exp(2s)",
        lambda mean, log_std: _kl(mean, 0.5 * log_std),
        "you wrote (log σ)² where log σ² = 2 log σ belongs",
        lambda mean, log_std: (0.5 * (mean.square() + (2 * log_std).exp() - 1 - log_std.square())).sum(-1),
        "this is KL(p || q), the other direction: the expectation is over q",
        lambda mean, log_std: (log_std + 0.5 * (1 + mean.square()) * (-2 * log_std).exp() - 0.5).sum(-1),
        "the −1 is missing: at μ = 0, σ = 1 the divergence must be 0",
        lambda mean, log_std: (0.5 * (mean.square() + (2 * log_std).exp()) - log_std).sum(-1),
        "you did not sum over the latents: the last axis is the event",
        lambda mean, log_std: 0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std,
    ),
)


# 3. log p(x|z) of a Bernoulli with logits


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return (x * logits - softplus(logits)).flatten(1).sum(-1)


def _bernoulli_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, scale: float = 2.0) -> Arguments:
        return normal(generator, *shape, scale=scale, gradient=True), bits(generator, *shape)

    def sure(sign: float) -> Tensor:  # the probability of a wrong pixel underflows
        return torch.full((2, 1, 2, 2), 800.0 * sign, dtype=torch.float64).requires_grad_()

    zeros, ones = torch.zeros(2, 1, 2, 2, dtype=torch.float64), torch.ones(2, 1, 2, 2, dtype=torch.float64)
    extreme = [(sure(1), zeros), (sure(-1), ones), (sure(1), ones)]
    return [case(4, 1, 3, 3), case(1, 1, 2, 2), case(3, 3, 2, 2), *extreme]


def _log_of_sigmoid(logits: Tensor, x: Tensor) -> Tensor:
    p = logits.sigmoid()
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(-1)


def _clamped(logits: Tensor, x: Tensor) -> Tensor:
    p = logits.sigmoid().clamp(1e-6, 1 - 1e-6)
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(-1)


bernoulli_log_likelihood = Exercise(
    "bernoulli_log_likelihood",
    _bernoulli,
    _bernoulli_cases,
    wrong(
        "you averaged over pixels: independent pixels multiply, so their log-probabilities add up",
        lambda logits, x: (x * logits - softplus(logits)).flatten(1).mean(-1),
        "you averaged over the batch: return one number per picture",
        lambda logits, x: _bernoulli(logits, x).mean(),
        "you summed over the batch too: return one number per picture",
        lambda logits, x: _bernoulli(logits, x).sum(),
        "this is the cross-entropy, the log-likelihood with its sign flipped",
        lambda logits, x: -_bernoulli(logits, x),
        "the probability rounds to 0 or 1 where the network is sure, and its logarithm becomes −∞ or NaN: compute from "
        "the logits (softplus, logsigmoid)",
        _log_of_sigmoid,
        "exp(800) overflows: log(1 + exp(ℓ)) is softplus(ℓ), which does not",
        lambda logits, x: (x * logits - logits.exp().log1p()).flatten(1).sum(-1),
        "binary_cross_entropy clamps log p at −100: give the logits to binary_cross_entropy_with_logits",
        lambda logits, x: -binary_cross_entropy(logits.sigmoid(), x, reduction="none").flatten(1).sum(-1),
        "ink and paper are exchanged: the logits are those of x = 1",
        lambda logits, x: _bernoulli(logits, 1 - x),
        "the sign inside softplus is wrong: log(1 − p) = −softplus(ℓ)",
        lambda logits, x: (x * logits - softplus(-logits)).flatten(1).sum(-1),
        "you did not sum over the pixels of a picture",
        lambda logits, x: x * logits - softplus(logits),
        "you summed over the last axis only: a picture has three, channels, height and width",
        lambda logits, x: (x * logits - softplus(logits)).sum(-1),
        "this is the probability: return its logarithm",
        lambda logits, x: _bernoulli(logits, x).exp(),
        "clamping the probability hides how wrong a sure network is: compute from the logits (softplus, logsigmoid)",
        _clamped,
        "the sigmoid was applied twice: binary_cross_entropy_with_logits and Bernoulli(logits=…) apply it themselves",
        lambda logits, x: (x * logits.sigmoid() - softplus(logits.sigmoid())).flatten(1).sum(-1),
        "only the ink pixels count here: a paper pixel has the log-probability log(1 − p)",
        lambda logits, x: torch.nn.functional.logsigmoid(logits).mul(x).flatten(1).sum(-1),
        "this is a squared error, not the log-probability of a binary pixel",
        lambda logits, x: -(x - logits.sigmoid()).square().flatten(1).sum(-1),
    ),
)


# 4. the ELBO of one draw


def _log_normal(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    log_density: Tensor = diagonal_normal(mean, std).log_prob(z)
    return log_density


def _log_joint(log_likelihood: Tensor, z: Tensor) -> Tensor:
    return log_likelihood + _log_normal(z, torch.zeros_like(z), torch.ones_like(z))


def _elbo(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    return _log_joint(log_likelihood, z) - _log_normal(z, mean, log_std.exp())


def _elbo_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, latent: int) -> Arguments:
        mean, log_std = normal(generator, batch, latent), normal(generator, batch, latent, scale=0.5)
        z = mean + log_std.exp() * normal(generator, samples, batch, latent)
        log_likelihood = normal(generator, samples, batch, scale=10.0) - 100
        return tuple(a.requires_grad_() for a in (log_likelihood, mean, log_std, z))

    return [case(6, 4, 3), case(1, 3, 2), case(5, 1, 1)]


def _estimator_a(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    return _elbo(log_likelihood, mean, log_std, z).mean(0)


def _without_constant(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    log_prior = -0.5 * z.square().sum(-1)
    return (log_likelihood + log_prior - _log_normal(z, mean, log_std.exp())).mean(0)


elbo_from_samples = Exercise(
    "elbo_from_samples",
    _estimator_a,
    _elbo_cases,
    wrong(
        "− log σ is missing in log q(z|x): the density of a normal is divided by σ",
        lambda log_likelihood, mean, log_std, z: (_elbo(log_likelihood, mean, log_std, z) - log_std.sum(-1)).mean(0),
        "this is the reconstruction term alone: log p(z) − log q(z|x) is missing",
        lambda log_likelihood, mean, log_std, z: log_likelihood.mean(0),
        "you did not average over the samples: 𝓛 is the mean over the first axis",
        lambda log_likelihood, mean, log_std, z: _elbo(log_likelihood, mean, log_std, z),
        "you summed over the samples: the expectation over q is their mean",
        lambda log_likelihood, mean, log_std, z: _elbo(log_likelihood, mean, log_std, z).sum(0),
        "you averaged over the batch too: return one number per example",
        lambda log_likelihood, mean, log_std, z: _elbo(log_likelihood, mean, log_std, z).mean(),
        "this is the importance-weighted bound, log of the mean weight; the ELBO is the mean of the log weights",
        lambda log_likelihood, mean, log_std, z: (
            _elbo(log_likelihood, mean, log_std, z).logsumexp(0) - log(len(log_likelihood))
        ),
        "this is estimator B, with the KL in closed form; the exercise asks for estimator A, from the densities at z",
        lambda log_likelihood, mean, log_std, z: (log_likelihood - _kl(mean, log_std)).mean(0),
        "the signs of log p(z) and log q(z|x) are exchanged: the weight is p(x|z) p(z) / q(z|x)",
        lambda log_likelihood, mean, log_std, z: (2 * log_likelihood - _elbo(log_likelihood, mean, log_std, z)).mean(0),
        "log q(z|x) is missing: without it this is the mean of log p(x, z)",
        lambda log_likelihood, mean, log_std, z: (_log_joint(log_likelihood, z)).mean(0),
        "log p(z) is missing: the joint density is p(x|z) p(z)",
        lambda log_likelihood, mean, log_std, z: (log_likelihood - _log_normal(z, mean, log_std.exp())).mean(0),
        "log q(z|x) has the wrong sign: it is subtracted",
        lambda log_likelihood, mean, log_std, z: (
            _log_joint(log_likelihood, z) + _log_normal(z, mean, log_std.exp())
        ).mean(0),
        "you took the variance for the scale of q: a normal takes the standard deviation σ",
        lambda log_likelihood, mean, log_std, z: (
            _log_joint(log_likelihood, z) - _log_normal(z, mean, (2 * log_std).exp())
        ).mean(0),
        "log p(z) was evaluated at the mean: evaluate it at the draws z",
        lambda log_likelihood, mean, log_std, z: (
            log_likelihood
            + _log_normal(mean, torch.zeros_like(mean), torch.ones_like(mean))
            - _log_normal(z, mean, log_std.exp())
        ).mean(0),
        "you used the first draw only: average over all",
        lambda log_likelihood, mean, log_std, z: _elbo(log_likelihood, mean, log_std, z)[0],
        "½ log 2π is missing in log p(z), once per latent: densities do not cancel their constants by themselves",
        _without_constant,
        "you took exp(s/2) for σ in q: here s is log σ, not log σ²",
        lambda log_likelihood, mean, log_std, z: (
            _log_joint(log_likelihood, z) - _log_normal(z, mean, (0.5 * log_std).exp())
        ).mean(0),
        "this is the loss, minus the ELBO: return the bound itself",
        lambda log_likelihood, mean, log_std, z: -_estimator_a(log_likelihood, mean, log_std, z),
    ),
)


# 5. log-mean-exp: the importance-weighted bound


def _log_mean_exp(log_weights: Tensor) -> Tensor:
    return log_weights.logsumexp(0) - log(len(log_weights))


def _log_mean_exp_cases(generator: Generator) -> list[Arguments]:
    apart = torch.tensor([0.0, -2000.0, 1500.0], dtype=torch.float64)  # pictures of very different sizes
    draws = [
        normal(generator, 5, 3, scale=2.0),
        normal(generator, 1, 4),
        normal(generator, 7, 1, scale=5.0),
        normal(generator, 6, 2) - 900,
        normal(generator, 6, 2) + 900,
        normal(generator, 4, 3) + apart,
        normal(generator, 3, 1) + apart[:, None],  # and draws of very different weights
    ]
    return [(log_weights.requires_grad_(),) for log_weights in draws]


def _max_over_all(log_weights: Tensor) -> Tensor:
    top = log_weights.max(0).values
    return top + (log_weights - top).exp().sum(0).log()


importance_weighted_bound = Exercise(
    "importance_weighted_bound",
    _log_mean_exp,
    _log_mean_exp_cases,
    wrong(
        "you subtracted the logarithm to base 2: all logarithms here are natural",
        lambda log_weights: log_weights.logsumexp(0) - log2(len(log_weights)),
        "exp overflows or underflows for weights far from 1: subtract the largest first, or use logsumexp",
        lambda log_weights: log_weights.exp().mean(0).log(),
        "you subtracted the largest weight of the whole batch: pictures differ, subtract each one's own, max over axis 0",
        lambda log_weights: log_weights.max() + (log_weights - log_weights.max()).exp().mean(0).log(),
        "this is the mean weight: take its logarithm, without overflow",
        lambda log_weights: log_weights.exp().mean(0),
        "you added log K: dividing by K subtracts it",
        lambda log_weights: log_weights.logsumexp(0) + log(len(log_weights)),
        "you subtracted the logarithm of the batch size: K is the number of samples, the first axis",
        lambda log_weights: log_weights.logsumexp(0) - log(log_weights.shape[-1]),
        "the largest log weight was subtracted and not added again",
        lambda log_weights: (log_weights - log_weights.max(0).values).exp().mean(0).log(),
        "this is the mean of the log weights, the ELBO: not the log of the mean",
        lambda log_weights: log_weights.mean(0),
        "− log K is missing: this is the log of the sum of the weights, not of their mean",
        _max_over_all,
        "Σ w̃ log w is not a bound: it is the weighted mean of log w; take the log of the mean of w",
        lambda log_weights: (log_weights.softmax(0) * log_weights).sum(0),
        "you reduced over the batch: samples are the first axis",
        lambda log_weights: log_weights.logsumexp(-1) - log(log_weights.shape[-1]),
        "the sign is flipped inside the exponential: you used the loss where log w belongs, so the worst draw counts most",
        lambda log_weights: -((-log_weights).logsumexp(0) - log(len(log_weights))),
        "divide the sum by K inside the logarithm: subtract log K instead of dividing by K",
        lambda log_weights: log_weights.logsumexp(0) / len(log_weights),
        "this is the largest log weight only; all K draws count",
        lambda log_weights: log_weights.max(0).values,
    ),
)


# 6. the grid of latents whose prior probability is uniform


def _latent_grid(steps: int) -> Tensor:
    quantiles = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    axis = Normal(torch.zeros((), dtype=torch.float64), 1.0).icdf(quantiles)
    return torch.stack(torch.meshgrid(axis.flip(0), axis, indexing="ij")[::-1], -1)


def _icdf(probability: Tensor) -> Tensor:
    return 2**0.5 * torch.erfinv(2 * probability - 1)


def _square(axis: Tensor) -> Tensor:
    return torch.stack([axis.expand(len(axis), -1), axis.flip(0)[:, None].expand(-1, len(axis))], -1)


def _middles(steps: int) -> Tensor:
    return (torch.arange(steps, dtype=torch.float64) + 0.5) / steps


manifold_grid = Exercise(
    "manifold_grid",
    _latent_grid,
    lambda generator: [(5,), (2,), (1,), (20,)],
    wrong(
        "the latents are equally spaced: space the *probabilities* equally and map them through the inverse CDF",
        lambda steps: _square(torch.linspace(-3, 3, steps, dtype=torch.float64)),
        "these are the probabilities themselves: map them through the inverse CDF of N(0, 1)",
        lambda steps: _square(_middles(steps)),
        "the probabilities 0 and 1 map to −∞ and ∞: take the middles of equal intervals, (i + ½) / steps",
        lambda steps: _square(_icdf(torch.linspace(0, 1, steps, dtype=torch.float64))),
        "u = i / steps begins at 0, which maps to −∞: take the middles of the intervals, (i + ½) / steps",
        lambda steps: _square(_icdf(torch.arange(steps, dtype=torch.float64) / steps)),
        "u = (i + 1) / steps ends at 1, which maps to ∞: take the middles of the intervals, (i + ½) / steps",
        lambda steps: _square(_icdf(torch.arange(1, steps + 1, dtype=torch.float64) / steps)),
        "√2 is missing: the inverse CDF of N(0, 1) is √2 erfinv(2u − 1)",
        lambda steps: _square(torch.erfinv(2 * _middles(steps) - 1)),
        "both axes run backwards: the first latent grows to the right, the second upwards",
        lambda steps: _square(_icdf(_middles(steps))).flip(0, 1),
        "the first latent runs from right to left: it must grow with the column",
        lambda steps: _square(_icdf(_middles(steps))).flip(1),
        "the latents are equally spaced: space the *probabilities* equally, and map them through the inverse CDF",
        lambda steps: _square(torch.linspace(-2, 2, steps, dtype=torch.float64)),
        "you left out 0 and 1 but did not take the middles: each of the steps intervals has its centre at (i + ½) / steps",
        lambda steps: _square(_icdf(torch.linspace(0, 1, steps + 2, dtype=torch.float64)[1:-1])),
        "you used the CDF where its inverse belongs: probabilities go in, latents come out",
        lambda steps: _square(Normal(0.0, 1.0).cdf(_middles(steps))),
        "the picture is upside down: row 0 is the top, where the second latent is largest",
        lambda steps: _square(_icdf(_middles(steps))).flip(0),
        "the two latents are exchanged: the first runs along a row, the second down a column",
        lambda steps: _square(_icdf(_middles(steps))).flip(-1),
        "rows and columns are exchanged, a meshgrid's doing: the first latent runs along a row, from left to right",
        lambda steps: _square(_icdf(_middles(steps))).flip(0).transpose(0, 1),
        "the grid is flattened: return [steps, steps, 2]",
        lambda steps: _square(_icdf(_middles(steps))).reshape(-1, 2),
        "this is not the inverse CDF of N(0, 1): use torch.special.ndtri or Normal(0, 1).icdf",
        lambda steps: _square((-2 * _middles(steps).log()).sqrt()),
    ),
)
