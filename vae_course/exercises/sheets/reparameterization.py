"""The sheet on the reparameterization trick: two pathwise draws, the score function and its baselines, a path derivative."""

from __future__ import annotations

from math import log, pi

import torch
from torch import Generator, Tensor
from torch.distributions import kl_divergence
from torch.nn.functional import softplus

from vae_course.distributions.families import diagonal_normal
from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. z = μ + L ε


def _correlated_draw(mean: Tensor, scale_tril: Tensor, noise: Tensor) -> Tensor:
    return mean + torch.einsum("bij,sbj->sbi", scale_tril, noise)


def _correlated_draw_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, latent: int, scale: float = 1.0) -> Arguments:
        below = normal(generator, batch, latent, latent, scale=scale).tril(-1)
        diagonal = normal(generator, batch, latent, scale=0.5).exp() * scale
        scale_tril = (below + diagonal.diag_embed()).requires_grad_()
        scale_tril.register_hook(torch.tril)  # whether a gradient reaches the zeros above the diagonal is no matter
        mean = normal(generator, batch, latent, gradient=True)
        return mean, scale_tril, normal(generator, samples, batch, latent)

    return [case(5, 4, 3), case(1, 1, 2), case(3, 2, 1), case(3, 3, 3), case(2, 3, 4, 100.0), case(4, 1, 2, 1e-3)]


correlated_draw = Exercise(
    "correlated_draw",
    _correlated_draw,
    _correlated_draw_cases,
    wrong(
        "you multiplied by the transpose: ε @ L is Lᵀ ε, and Lᵀ L is another covariance than L Lᵀ",
        lambda mean, scale_tril, noise: mean + torch.einsum("bji,sbj->sbi", scale_tril, noise),
        "you used the diagonal of L only: the entries below it carry the correlations",
        lambda mean, scale_tril, noise: mean + scale_tril.diagonal(dim1=-2, dim2=-1) * noise,
        "you multiplied the noise by the covariance L Lᵀ: it takes the factor L",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril @ scale_tril.mT, noise),
        "L multiplies the mean as well; it multiplies only the noise",
        lambda mean, scale_tril, noise: _correlated_draw(torch.zeros_like(mean), scale_tril, mean + noise),
        "the mean is missing: z = μ + L ε",
        lambda mean, scale_tril, noise: _correlated_draw(torch.zeros_like(mean), scale_tril, noise),
        "L is missing: the noise must be multiplied by it",
        lambda mean, scale_tril, noise: mean + noise,
        "the noise was subtracted: the distribution is the same, but the exercise asks for μ + L ε",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril, -noise),
        "the mean was subtracted: z = μ + L ε",
        lambda mean, scale_tril, noise: _correlated_draw(-mean, scale_tril, noise),
        "each noise was multiplied by a whole row of L: in the product with ε the columns of L meet the entries of ε",
        lambda mean, scale_tril, noise: mean + scale_tril.sum(-1) * noise,
        "each noise was multiplied by a whole column of L and not spread over the rows: use a matrix product",
        lambda mean, scale_tril, noise: mean + scale_tril.sum(-2) * noise,
        "you used the L of the first example for all: every example has its own",
        lambda mean, scale_tril, noise: mean + torch.einsum("ij,sbj->sbi", scale_tril[0], noise),
        "you used the first noise for all samples: every sample has its own",
        lambda mean, scale_tril, noise: mean + torch.einsum("bij,bj->bi", scale_tril, noise[0]) + 0 * noise,
        "you divided by L, which turns correlated draws into white noise: multiply by it",
        lambda mean, scale_tril, noise: (
            mean + torch.linalg.solve_triangular(scale_tril, noise[..., None], upper=False)[..., 0]
        ),
        "no gradient reaches the mean: something cut its path; z must be computed from the mean itself",
        lambda mean, scale_tril, noise: _correlated_draw(mean.detach(), scale_tril, noise),
        "no gradient reaches L: something cut its path; z must be computed from scale_tril itself",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril.detach(), noise),
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril, noise).detach(),
        "you averaged over the samples: return every draw",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril, noise).mean(0),
        "the axes are exchanged: samples come first, then the batch",
        lambda mean, scale_tril, noise: _correlated_draw(mean, scale_tril, noise).transpose(0, 1),
    ),
)


# 2. a logistic draw through the inverse CDF


def _logistic(location: Tensor, log_scale: Tensor, uniforms: Tensor) -> Tensor:
    return location + log_scale.exp() * _logit(uniforms)


def _logit(uniforms: Tensor) -> Tensor:
    return uniforms.log() - (-uniforms).log1p()


def _logistic_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        location = normal(generator, batch, latent, gradient=True)
        log_scale = normal(generator, batch, latent, scale=scale, gradient=True)
        return location, log_scale, 0.01 + 0.98 * uniform(generator, batch, latent)

    at_the_ends = torch.tensor([[1e-12, 1 - 1e-9], [1e-9, 0.5]], dtype=torch.float64)
    location, log_scale, _ = case(2, 2, 0.3)
    return [case(4, 3, 1.0), case(1, 2, 1.0), case(5, 1, 3.0), case(3, 3, 1e-3), (location, log_scale, at_the_ends)]


def _laplace(uniforms: Tensor) -> Tensor:
    centred = uniforms - 0.5
    return -centred.sign() * (-2 * centred.abs()).log1p()


logistic_from_uniform = Exercise(
    "logistic_from_uniform",
    _logistic,
    _logistic_cases,
    wrong(
        "this is the CDF: it takes z to a probability; you need its inverse, from u to z",
        lambda location, log_scale, uniforms: ((uniforms - location) / log_scale.exp()).sigmoid(),
        "the sigmoid is the CDF: you need its inverse, the logit log(u / (1 − u))",
        lambda location, log_scale, uniforms: location + log_scale.exp() * uniforms.sigmoid(),
        "you took log((1 − u) / u): the distribution is the same, but the inverse CDF rises with u, log(u / (1 − u))",
        lambda location, log_scale, uniforms: location - log_scale.exp() * _logit(uniforms),
        "log(1 − u) is missing: log u alone gives a flipped exponential distribution",
        lambda location, log_scale, uniforms: location + log_scale.exp() * uniforms.log(),
        "−log u gives an exponential distribution: the logit is log u − log(1 − u)",
        lambda location, log_scale, uniforms: location - log_scale.exp() * uniforms.log(),
        "−log(1 − u) is the inverse CDF of an exponential distribution: the logit is log u − log(1 − u)",
        lambda location, log_scale, uniforms: location - log_scale.exp() * (-uniforms).log1p(),
        "log(1 − u) has the wrong sign: the logit is log u − log(1 − u)",
        lambda location, log_scale, uniforms: location + log_scale.exp() * (uniforms.log() + (-uniforms).log1p()),
        "you took log(1 + u): log(1 − u) is torch.log1p(-uniforms), with the minus inside",
        lambda location, log_scale, uniforms: location + log_scale.exp() * (uniforms.log() - uniforms.log1p()),
        "brackets: s multiplies both logarithms, log u and log(1 − u)",
        lambda location, log_scale, uniforms: location + log_scale.exp() * uniforms.log() - (-uniforms).log1p(),
        "the logarithm is missing: u / (1 − u) are the odds, the logit is their log",
        lambda location, log_scale, uniforms: location + log_scale.exp() * uniforms / (1 - uniforms),
        "you multiplied by log s: take exp to get s, which must be positive",
        lambda location, log_scale, uniforms: location + log_scale * _logit(uniforms),
        "you took exp(log s / 2) for the scale: s = exp(log s)",
        lambda location, log_scale, uniforms: location + (0.5 * log_scale).exp() * _logit(uniforms),
        "you multiplied by s²: the inverse CDF has the scale s",
        lambda location, log_scale, uniforms: location + (2 * log_scale).exp() * _logit(uniforms),
        "you took softplus for the scale: here s = exp(log s)",
        lambda location, log_scale, uniforms: location + softplus(log_scale) * _logit(uniforms),
        "you divided by the scale: the inverse CDF multiplies by it",
        lambda location, log_scale, uniforms: location + (-log_scale).exp() * _logit(uniforms),
        "this is the inverse CDF of a normal distribution: that of a logistic one is the logit",
        lambda location, log_scale, uniforms: location + log_scale.exp() * torch.special.ndtri(uniforms),
        "this is a Gumbel draw, −log(−log u): the logistic one is log u − log(1 − u)",
        lambda location, log_scale, uniforms: location - log_scale.exp() * (-uniforms.log()).log(),
        "this is a Laplace draw: the inverse CDF of the logistic distribution is the logit",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _laplace(uniforms),
        "you scaled the uniform numbers themselves: map them through the inverse CDF first",
        lambda location, log_scale, uniforms: location + log_scale.exp() * uniforms,
        "you centred and scaled the uniform numbers themselves: map them through the inverse CDF, the logit, first",
        lambda location, log_scale, uniforms: location + log_scale.exp() * (uniforms - 0.5),
        "you made s the standard deviation: the scale of a logistic distribution is not, its standard deviation is π s / √3",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms) * 3**0.5 / pi,
        "clamping u at 1e-6, as torch.logit does with eps=1e-6, cuts the tails: log u − log(1 − u) needs no clamp",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms.clamp(1e-6, 1 - 1e-6)),
        "clamping u at 1e-7 suits float32 draws, which may be 0: here u is float64 and comes nearer, so leave it whole",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms.clamp(1e-7, 1 - 1e-7)),
        "clamping u at 1e-10 still cuts the tails: u may be 1e-12, and its logarithm is finite",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms.clamp(1e-10, 1 - 1e-10)),
        "1e-8 added inside the logarithms cuts the tails: u is never 0 or 1 here, so its logit is finite without",
        lambda location, log_scale, uniforms: (
            location + log_scale.exp() * ((uniforms + 1e-8).log() - (1 - uniforms + 1e-8).log())
        ),
        "1e-10 added inside the logarithms is not small beside u = 1e-12: its logit is finite without",
        lambda location, log_scale, uniforms: (
            location + log_scale.exp() * ((uniforms + 1e-10).log() - (1 - uniforms + 1e-10).log())
        ),
        "clamping the logit at ±20 cuts the tails: at u = 1e-12 it is −27.6",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms).clamp(-20, 20),
        "artanh(2u − 1) is half the logit",
        lambda location, log_scale, uniforms: location + log_scale.exp() * (2 * uniforms - 1).atanh(),
        "you took the logarithm to base 10: all logarithms here are natural",
        lambda location, log_scale, uniforms: location + log_scale.exp() * _logit(uniforms) / log(10),
        "you scaled the location as well: only the logit is multiplied by s",
        lambda location, log_scale, uniforms: (location + _logit(uniforms)) * log_scale.exp(),
        "the location is missing: z = μ + s log(u / (1 − u))",
        lambda location, log_scale, uniforms: log_scale.exp() * _logit(uniforms),
        "the location was subtracted: z = μ + s log(u / (1 − u))",
        lambda location, log_scale, uniforms: log_scale.exp() * _logit(uniforms) - location,
        "the scale s is missing: the logit must be multiplied by it",
        lambda location, log_scale, uniforms: location + _logit(uniforms),
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        lambda location, log_scale, uniforms: _logistic(location, log_scale, uniforms).detach(),
    ),
)


# 3. the score-function gradient with a leave-one-out baseline


def _score_function_gradient(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    return ((cost - _leave_one_out(cost))[:, None] * (z - mean)).mean(0) / std**2


def _leave_one_out(cost: Tensor) -> Tensor:
    return (cost.sum() - cost) / (len(cost) - 1)


def _weighted_scores(weights: Tensor, z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (weights[:, None] * (z - mean)).mean(0) / std**2


def _score_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, d: int, std: float, offset: float = 0.0) -> Arguments:
        mean, scale = normal(generator, d), torch.tensor(std, dtype=torch.float64)
        z = mean + scale * normal(generator, n, d)
        return z, mean, scale, normal(generator, n, scale=3.0) + offset

    z, mean, std, cost = case(4, 2, 0.7)
    equal = (z, mean, std, torch.full_like(cost, 5.0))  # a constant cost has no gradient
    return [case(5, 3, 0.5), case(2, 1, 2.0), case(8, 1, 0.1), case(4, 4, 3.0), case(6, 2, 1.5, 1000.0), equal]


score_function_gradient = Exercise(
    "score_function_gradient",
    _score_function_gradient,
    _score_cases,
    wrong(
        "the baseline is missing: subtract from each cost the mean of the others",
        lambda z, mean, std, cost: _weighted_scores(cost, z, mean, std),
        "the baseline is missing, and you divided by n − 1: subtract from each cost the mean of the others, and average over n",
        lambda z, mean, std, cost: _weighted_scores(cost, z, mean, std) * len(cost) / (len(cost) - 1),
        "your baseline contains the sample's own cost, which shrinks the estimate by (n − 1)/n in expectation: leave it out",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.mean(), z, mean, std),
        "the baseline was added: subtract it",
        lambda z, mean, std, cost: _weighted_scores(cost + _leave_one_out(cost), z, mean, std),
        "the sign is flipped: it is cost − baseline, times z − μ",
        lambda z, mean, std, cost: _weighted_scores(_leave_one_out(cost) - cost, z, mean, std),
        "your baseline is the sum of the other costs: divide it by n − 1",
        lambda z, mean, std, cost: _weighted_scores(cost - (cost.sum() - cost), z, mean, std),
        "brackets: you divided only the sample's own cost by n − 1; write (cost.sum() - cost) / (n - 1)",
        lambda z, mean, std, cost: _weighted_scores(cost - (cost.sum() - cost / (len(cost) - 1)), z, mean, std),
        "you divided the sum of the other costs by n: there are n − 1 of them",
        lambda z, mean, std, cost: _weighted_scores(cost - (cost.sum() - cost) / len(cost), z, mean, std),
        "you divided the sum of all costs by n − 1: leave the sample's own cost out of the sum",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.sum() / (len(cost) - 1), z, mean, std),
        "you divided by σ: the score of the mean is (z − μ) / σ²",
        lambda z, mean, std, cost: std * _score_function_gradient(z, mean, std, cost),
        "1/σ² is missing: the score of the mean is (z − μ) / σ²",
        lambda z, mean, std, cost: std**2 * _score_function_gradient(z, mean, std, cost),
        "you divided by 2σ²: the derivative of (z − μ)² / 2σ² cancels the 2",
        lambda z, mean, std, cost: 0.5 * _score_function_gradient(z, mean, std, cost),
        "you summed over the samples: take the mean",
        lambda z, mean, std, cost: _score_function_gradient(z, mean, std, cost) * len(cost),
        "you summed over the samples, and your baseline contains the sample's own cost: take the mean, and leave it out",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.mean(), z, mean, std) * len(cost),
        "you divided by σ⁴: the score of the mean is (z − μ) / σ²",
        lambda z, mean, std, cost: _score_function_gradient(z, mean, std, cost) / std**2,
        "you squared (z − μ) / σ: in the score only σ is squared, (z − μ) / σ²",
        lambda z, mean, std, cost: ((cost - _leave_one_out(cost))[:, None] * ((z - mean) / std).square()).mean(0),
        "this is the gradient by σ: the score of the mean is (z − μ) / σ²",
        lambda z, mean, std, cost: (
            (cost - _leave_one_out(cost))[:, None] * ((z - mean).square() / std**2 - 1) / std
        ).mean(0),
        "you multiplied by log q(z): the score is its derivative by the mean, (z − μ) / σ²",
        lambda z, mean, std, cost: (
            (cost - _leave_one_out(cost))[:, None] * diagonal_normal(mean.expand_as(z), std).base_dist.log_prob(z)
        ).mean(0),
        "you standardised the costs: that changes the length of the gradient, and equal costs divide 0 by 0",
        lambda z, mean, std, cost: _weighted_scores((cost - cost.mean()) / cost.std(), z, mean, std),
        "you divided by n − 1 outside too: the estimate is the mean over n terms, n − 1 stands only in the baseline",
        lambda z, mean, std, cost: _score_function_gradient(z, mean, std, cost) * len(cost) / (len(cost) - 1),
        "you subtracted the median of all costs: the baseline is the mean of the other n − 1",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.median(), z, mean, std),
        "you subtracted the first cost from all: the baseline of a sample is the mean of all others",
        lambda z, mean, std, cost: _weighted_scores(cost - cost[0], z, mean, std),
        "you subtracted the smallest cost: the baseline of a sample is the mean of all others",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.min(), z, mean, std),
        "you subtracted one other sample's cost: that is unbiased but noisier; take the mean of all n − 1 others",
        lambda z, mean, std, cost: _weighted_scores(cost - cost.roll(1), z, mean, std),
        "you standardised the costs: dividing by their standard deviation changes the length of the gradient",
        lambda z, mean, std, cost: _weighted_scores((cost - cost.mean()) / cost.std().clamp(min=1e-8), z, mean, std),
        "you did not average over the samples: the gradient has one entry per coordinate of the mean",
        lambda z, mean, std, cost: (cost - _leave_one_out(cost))[:, None] * (z - mean) / std**2,
        "you averaged over the coordinates: average over the samples, the first axis",
        lambda z, mean, std, cost: ((cost - _leave_one_out(cost))[:, None] * (z - mean)).mean(1) / std**2,
        "you averaged over the coordinates too, to one number: average over the samples only, the first axis",
        lambda z, mean, std, cost: _score_function_gradient(z, mean, std, cost).mean(),
        "you averaged the costs and the scores apart: multiply sample by sample, then average",
        lambda z, mean, std, cost: (cost - _leave_one_out(cost)).mean() * ((z - mean) / std**2).mean(0),
        "the baseline is missing, and μ too: the score is (z − μ) / σ², its weight the cost minus the mean of the others",
        lambda z, mean, std, cost: _weighted_scores(cost, z, torch.zeros_like(mean), std),
        "the baseline is missing and the sign is flipped: (z − μ) / σ² times the cost minus its baseline",
        lambda z, mean, std, cost: -_weighted_scores(cost, z, mean, std),
    ),
)


# 4. a surrogate whose gradient is the score-function estimator


def _score_function_loss(mean: Tensor, log_std: Tensor, z: Tensor, cost: Tensor) -> Tensor:
    return cost.detach() * _log_normal(z.detach(), mean, log_std.exp())


def _log_normal(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    log_density: Tensor = diagonal_normal(mean, std).log_prob(z)
    return log_density


def _loss_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, d: int, scale: float = 0.5) -> Arguments:
        mean, log_std = normal(generator, d), normal(generator, d, scale=scale)
        z = mean + log_std.exp() * normal(generator, n, d)
        cost = normal(generator, n, scale=3.0) + 2
        return tuple(a.requires_grad_() for a in (mean, log_std, z, cost))

    mean, log_std, z, cost = case(3, 2)
    free = (mean, log_std, z, torch.zeros_like(cost).requires_grad_())
    return [case(5, 3), case(1, 2), case(4, 1, 2.0), case(3, 3), free]


score_function_loss = Exercise(
    "score_function_loss",
    _score_function_loss,
    _loss_cases,
    wrong(
        "a gradient flows into z: detach it, the score function moves the density and leaves the draws where they are",
        lambda mean, log_std, z, cost: cost.detach() * _log_normal(z, mean, log_std.exp()),
        "a gradient flows into the cost: detach it, it is a weight here",
        lambda mean, log_std, z, cost: cost * _log_normal(z.detach(), mean, log_std.exp()),
        "gradients flow into z and into the cost: detach both",
        lambda mean, log_std, z, cost: cost * _log_normal(z, mean, log_std.exp()),
        "no gradient reaches the mean and log σ: log q(z) must keep its path to its parameters",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std, z, cost).detach(),
        "no gradient reaches the mean: only z and the cost are constants",
        lambda mean, log_std, z, cost: _score_function_loss(mean.detach(), log_std, z, cost),
        "no gradient reaches log σ: only z and the cost are constants",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std.detach(), z, cost),
        "the parameters were detached and the draws were not: it is the other way round here",
        lambda mean, log_std, z, cost: cost * _log_normal(z, mean.detach(), log_std.exp().detach()),
        "z is detached, but so are the parameters, and the cost is not: detach z and the cost only",
        lambda mean, log_std, z, cost: cost * _log_normal(z.detach(), mean.detach(), log_std.detach().exp()),
        "the cost is detached, but so are the parameters, and z is not: detach z and the cost only",
        lambda mean, log_std, z, cost: cost.detach() * _log_normal(z, mean.detach(), log_std.detach().exp()),
        "you reparameterized z: for the score function z is a constant, without a path from the parameters",
        lambda mean, log_std, z, cost: (
            cost.detach()
            * _log_normal(mean + log_std.exp() * ((z - mean) / log_std.exp()).detach(), mean, log_std.exp())
        ),
        "you took log σ for σ: the scale of the normal is exp(log σ)",
        lambda mean, log_std, z, cost: (
            cost.detach() * (-0.5 * ((z.detach() - mean) / log_std).square() - log_std.abs().log()).sum(-1)
            - cost.detach() * 0.5 * log(2 * pi) * mean.shape[-1]
        ),
        "you took the variance for the scale of q: a normal takes the standard deviation σ",
        lambda mean, log_std, z, cost: _score_function_loss(mean, 2 * log_std, z, cost),
        "you took exp(log_std / 2) for σ in q: log_std is log σ, not log σ²",
        lambda mean, log_std, z, cost: _score_function_loss(mean, 0.5 * log_std, z, cost),
        "− log σ is missing in log q(z): the density of a normal is divided by σ",
        lambda mean, log_std, z, cost: cost.detach() * _without_log_std(z.detach(), mean, log_std),
        "½ log 2π is missing, once per coordinate: the gradient does not notice, but the exercise asks for log q(z)",
        lambda mean, log_std, z, cost: (
            _score_function_loss(mean, log_std, z, cost) + cost.detach() * 0.5 * log(2 * pi) * mean.shape[-1]
        ),
        "½ log 2π stands outside the sum: every coordinate has its own",
        lambda mean, log_std, z, cost: (
            _score_function_loss(mean, log_std, z, cost) + cost.detach() * 0.5 * log(2 * pi) * (mean.shape[-1] - 1)
        ),
        "log q(z) lacks −log σ and −½ log 2π: the first has a gradient, the second belongs to the value",
        lambda mean, log_std, z, cost: cost.detach() * (-0.5 * ((z.detach() - mean) / log_std.exp()).square()).sum(-1),
        "you divided the squared distance by σ: the variance is exp(2 log σ)",
        lambda mean, log_std, z, cost: (
            cost.detach() * (-0.5 * (z.detach() - mean).square() / log_std.exp() - log_std - 0.5 * log(2 * pi)).sum(-1)
        ),
        "the gradient is right and the value is 0: the exercise asks for the value cost · log q(z)",
        lambda mean, log_std, z, cost: (
            _score_function_loss(mean, log_std, z, cost) - _score_function_loss(mean, log_std, z, cost).detach()
        ),
        "the gradient is right and the value is the cost: the exercise asks for cost · log q(z)",
        lambda mean, log_std, z, cost: cost.detach() * _one_with_the_score(mean, log_std, z.detach()),
        "log σ has the wrong sign in log q(z): it is subtracted",
        lambda mean, log_std, z, cost: (
            cost.detach()
            * (-0.5 * ((z.detach() - mean) / log_std.exp()).square() + log_std - 0.5 * log(2 * pi)).sum(-1)
        ),
        "the ½ before the squared noise is missing in log q(z)",
        lambda mean, log_std, z, cost: (
            cost.detach() * (-((z.detach() - mean) / log_std.exp()).square() - log_std - 0.5 * log(2 * pi)).sum(-1)
        ),
        "the ½ before log 2π is missing in log q(z)",
        lambda mean, log_std, z, cost: (
            cost.detach() * (-0.5 * ((z.detach() - mean) / log_std.exp()).square() - log_std - log(2 * pi)).sum(-1)
        ),
        "you subtracted ½ log σ in log q(z): ½ log 2πσ² holds log σ whole",
        lambda mean, log_std, z, cost: (
            cost.detach()
            * (-0.5 * ((z.detach() - mean) / log_std.exp()).square() - 0.5 * log_std - 0.5 * log(2 * pi)).sum(-1)
        ),
        "the sign is flipped: a cost is descended, so its surrogate is + cost · log q(z)",
        lambda mean, log_std, z, cost: -_score_function_loss(mean, log_std, z, cost),
        "you subtracted a baseline, the mean cost: it would help, but the exercise asks for cost · log q(z)",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std, z, cost - cost.mean()),
        "you multiplied by the density q(z): it is the logarithm whose gradient is the score",
        lambda mean, log_std, z, cost: cost.detach() * _log_normal(z.detach(), mean, log_std.exp()).exp(),
        "you added the cost: it multiplies log q(z)",
        lambda mean, log_std, z, cost: cost.detach() + _log_normal(z.detach(), mean, log_std.exp()),
        "you added the cost to cost · log q(z): the product alone is asked for",
        lambda mean, log_std, z, cost: cost.detach() + _score_function_loss(mean, log_std, z, cost),
        "you added the cost, gradient and all, to cost · log q(z): the product alone is asked for",
        lambda mean, log_std, z, cost: cost + _score_function_loss(mean, log_std, z, cost),
        "you averaged the costs first: each draw's log-density is multiplied by its own cost",
        lambda mean, log_std, z, cost: cost.mean().detach() * _log_normal(z.detach(), mean, log_std.exp()),
        "you averaged log q(z) over the draws first: each draw's log-density is multiplied by its own cost",
        lambda mean, log_std, z, cost: cost.detach() * _log_normal(z.detach(), mean, log_std.exp()).mean(),
        "you multiplied each cost by the log-density of all draws: each draw has its own",
        lambda mean, log_std, z, cost: cost.detach() * _log_normal(z.detach(), mean, log_std.exp()).sum(),
        "you averaged log q(z) over the coordinates: log-densities of independent coordinates add up",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std, z, cost) / mean.shape[-1],
        "cost[:, None] against [n] gives a table of all pairs: both have one entry per draw already",
        lambda mean, log_std, z, cost: cost.detach()[:, None] * _log_normal(z.detach(), mean, log_std.exp()),
        "you did not sum over the coordinates: a draw has one log-density",
        lambda mean, log_std, z, cost: (
            cost.detach()[:, None] * diagonal_normal(mean, log_std.exp()).base_dist.log_prob(z.detach())
        ),
        "you averaged over the draws: return one number per draw; the mean is taken where the loss is used",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std, z, cost).mean(),
        "you summed over the draws: return one number per draw",
        lambda mean, log_std, z, cost: _score_function_loss(mean, log_std, z, cost).sum(),
    ),
)


def _one_with_the_score(mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    log_q = _log_normal(z, mean, log_std.exp())
    return (log_q - log_q.detach()).exp()


def _without_log_std(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return (-0.5 * ((z - mean) / log_std.exp()).square() - 0.5 * log(2 * pi)).sum(-1)


# 5. the constant baseline of least variance


def _optimal_baseline(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    squares = _score(z, mean, std).square()
    return (cost[:, None] * squares).sum(0) / squares.sum(0)


def _score(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (z - mean) / std**2


def _baseline_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, d: int, std: float, offset: float = 0.0) -> Arguments:
        mean, scale = normal(generator, d), torch.tensor(std, dtype=torch.float64)
        z = mean + scale * normal(generator, n, d)
        return z, mean, scale, normal(generator, n, scale=3.0) + offset

    z, mean, std, cost = case(5, 2, 0.7)
    equal = (z, mean, std, torch.full_like(cost, 5.0))  # the best baseline of a constant cost is that constant
    return [case(6, 3, 0.5), case(2, 1, 2.0), case(20, 1, 0.01), case(4, 4, 30.0), case(3, 2, 1.5, 1000.0), equal]


def _weighted_cost(weights: Tensor, cost: Tensor) -> Tensor:
    return (cost[:, None] * weights).sum(0) / weights.sum(0)


def _covariance_over_variance(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    score = _score(z, mean, std)
    gradient = cost[:, None] * score
    centred = score - score.mean(0)
    return ((gradient - gradient.mean(0)) * centred).sum(0) / centred.square().sum(0)


optimal_baseline = Exercise(
    "optimal_baseline",
    _optimal_baseline,
    _baseline_cases,
    wrong(
        "this is the mean cost: the best constant weights each cost by the square of its score",
        lambda z, mean, std, cost: cost.mean().expand(z.shape[1]),
        "this is the mean cost, one number: the best constant weights each cost by s², and every coordinate has its own",
        lambda z, mean, std, cost: cost.mean(),
        "you weighted by |s|: the variance is quadratic, so the weights are s²",
        lambda z, mean, std, cost: _weighted_cost(_score(z, mean, std).abs(), cost),
        "the score is not squared: the weights are s²",
        lambda z, mean, std, cost: _weighted_cost(_score(z, mean, std), cost),
        "you divided by n: divide by the sum of the weights, Σ s²",
        lambda z, mean, std, cost: (cost[:, None] * _score(z, mean, std).square()).mean(0),
        "the division by Σ s² is missing",
        lambda z, mean, std, cost: (cost[:, None] * _score(z, mean, std).square()).sum(0),
        "you divided by the sum of the costs: divide by the sum of the weights, Σ s²",
        lambda z, mean, std, cost: (cost[:, None] * _score(z, mean, std).square()).sum(0) / cost.sum(),
        "you subtracted the mean cost first, and did not add it again",
        lambda z, mean, std, cost: _optimal_baseline(z, mean, std, cost - cost.mean()),
        "you divided by the exact mean of s², 1/σ²: divide by the sample's Σ s², so that a constant cost gives itself",
        lambda z, mean, std, cost: (cost[:, None] * _score(z, mean, std).square()).mean(0) * std**2,
        "you divided by the sample variance of s: the formula has E[s²], the mean of the squares",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).mean(0) / _score(z, mean, std).var(0)
        ),
        "the sum below the fraction bar runs over all coordinates: each has its own Σ s²",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).sum(0) / _score(z, mean, std).square().sum()
        ),
        "you squared the sum of the scores: sum their squares",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).sum(0) / _score(z, mean, std).sum(0).square()
        ),
        "you summed over the coordinates too: every coordinate of the gradient has its own baseline",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).sum() / _score(z, mean, std).square().sum()
        ).expand(z.shape[1]),
        "you summed over the coordinates too, to one number: return a baseline per coordinate",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).sum() / _score(z, mean, std).square().sum()
        ),
        "you summed over the coordinates: sum over the draws, the first axis",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std).square()).sum(1) / _score(z, mean, std).square().sum(1)
        ),
        "you subtracted sample means, as in Cov(f s, s) / Var(s): the mean of s is known to be 0, so use Σ f s² / Σ s²",
        _covariance_over_variance,
        "this is the slope of the cost over the score: the baseline is the coefficient of f s over s, Σ f s² / Σ s²",
        lambda z, mean, std, cost: (
            ((cost - cost.mean())[:, None] * _score(z, mean, std)).sum(0) / _score(z, mean, std).square().sum(0)
        ),
        "s is squared below only: the numerator is Σ f s²",
        lambda z, mean, std, cost: (cost[:, None] * _score(z, mean, std)).sum(0) / _score(z, mean, std).square().sum(0),
        "you weighted by z²: the score is (z − μ) / σ²",
        lambda z, mean, std, cost: _weighted_cost(z.square(), cost),
        "you centred z by the mean of the draws: the score has μ itself",
        lambda z, mean, std, cost: _weighted_cost((z - z.mean(0)).square(), cost),
        "the cost is squared: only the score is",
        lambda z, mean, std, cost: (
            (cost.square()[:, None] * _score(z, mean, std).square()).sum(0) / _score(z, mean, std).square().sum(0)
        ),
        "you weighted by f s²: the weights are s² alone",
        lambda z, mean, std, cost: (
            (cost[:, None] * _score(z, mean, std)).square().sum(0)
            / (cost[:, None] * _score(z, mean, std).square()).sum(0)
        ),
        "σ² divides the score below only: it stands in both sums, and cancels",
        lambda z, mean, std, cost: (cost[:, None] * (z - mean).square()).sum(0) / _score(z, mean, std).square().sum(0),
        "you weighted by the fourth power of the score: the weights are s²",
        lambda z, mean, std, cost: _weighted_cost(_score(z, mean, std).square().square(), cost),
        "the sign is flipped: the baseline is what is subtracted from the cost",
        lambda z, mean, std, cost: -_optimal_baseline(z, mean, std, cost),
        "these are the costs minus the baseline: return the baseline",
        lambda z, mean, std, cost: cost[:, None] - _optimal_baseline(z, mean, std, cost),
    ),
)


# 6. the path derivative


def _path_derivative(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    return _log_ratio(z, mean.detach(), log_std.detach(), target_mean, target_log_std)


def _log_ratio(z: Tensor, mean: Tensor, log_std: Tensor, target_mean: Tensor, target_log_std: Tensor) -> Tensor:
    return _log_normal(z, target_mean, target_log_std.exp()) - _log_normal(z, mean, log_std.exp())


def _path_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, latent: int, scale: float = 0.5, at: float = 0.0) -> Arguments:
        mean, target_mean = normal(generator, latent, gradient=True), normal(generator, latent)
        log_std = (normal(generator, latent, scale=scale) + at).requires_grad_()
        return mean, log_std, normal(generator, n, latent), target_mean, normal(generator, latent, scale=0.5)

    mean, log_std, noise, _, _ = case(4, 2)
    at_the_target = (mean, log_std, noise, mean.detach().clone(), log_std.detach().clone())
    return [case(4, 3), case(1, 2), case(5, 1), case(3, 3), case(2, 2, 0.5, -5.0), at_the_target]


def _full_gradient(mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor) -> Tensor:
    return _log_ratio(mean + log_std.exp() * noise, mean, log_std, target_mean, target_log_std)


def _minus_kl(mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor) -> Tensor:
    q, target = diagonal_normal(mean, log_std.exp()), diagonal_normal(target_mean, target_log_std.exp())
    kl: Tensor = kl_divergence(q, target)
    return -kl.expand(len(noise))


def _log_density_detached(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    return _log_normal(z, target_mean, target_log_std.exp()) - _log_normal(z, mean, log_std.exp()).detach()


def _detached_in_the_target(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    log_target = _log_normal(z.detach(), target_mean, target_log_std.exp())
    return log_target - _log_normal(z, mean.detach(), log_std.detach().exp())


def _detached_draw_in_q(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    return _log_normal(z, target_mean, target_log_std.exp()) - _log_normal(z.detach(), mean, log_std.exp())


def _q_at_the_noise(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    log_q = _log_normal(noise, mean.detach(), log_std.detach().exp())
    return _log_normal(mean + log_std.exp() * noise, target_mean, target_log_std.exp()) - log_q


def _density_of_the_noise(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    standard = _log_normal(noise, torch.zeros_like(noise), torch.ones_like(noise))
    return _log_normal(z, target_mean, target_log_std.exp()) - standard


def _score_added_with_its_value(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = (mean + log_std.exp() * noise).detach()
    return _full_gradient(mean, log_std, noise, target_mean, target_log_std) + _log_normal(z, mean, log_std.exp())


path_derivative = Exercise(
    "path_derivative",
    _path_derivative,
    _path_cases,
    wrong(
        "the gradient still holds the score of q: write log q with z, not with ε, and detach the parameters inside it",
        _full_gradient,
        "you detached z: what is left is the score alone, the very term that is to go",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            (mean + log_std.exp() * noise).detach(), mean, log_std, target_mean, target_log_std
        ),
        "no gradient is left: detach the parameters inside log q only, z keeps its path to them",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, log_std, noise, target_mean, target_log_std
        ).detach(),
        "log q(z) has no gradient left, so its path through z is gone: write it with z, not with ε, and detach only its parameters",
        _log_density_detached,
        "log σ inside log q was not detached: the mean is, but both are parameters of q",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean + log_std.exp() * noise, mean.detach(), log_std, target_mean, target_log_std
        ),
        "the mean inside log q was not detached: log σ is, but both are parameters of q",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean + log_std.exp() * noise, mean, log_std.detach(), target_mean, target_log_std
        ),
        "the mean was detached in z as well: z keeps its path to both parameters",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean.detach() + log_std.exp() * noise, mean.detach(), log_std.detach(), target_mean, target_log_std
        ),
        "σ was detached in z as well: z keeps its path to both parameters",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean + log_std.exp().detach() * noise, mean.detach(), log_std.detach(), target_mean, target_log_std
        ),
        "you detached z in log p̃(z): the gradient of the target flows through z",
        _detached_in_the_target,
        "inside log q you detached z and kept the parameters: it is the other way round",
        _detached_draw_in_q,
        "you added log q at a detached z for its gradient, and left its value in: subtract it again, detached",
        _score_added_with_its_value,
        "log q was evaluated at ε: evaluate it at z = μ + σ ε",
        _q_at_the_noise,
        "− log σ is missing in both densities, and ½ ε² has no path through z: write log q(z) with z and held parameters",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _density_of_the_noise(mean, log_std, noise, target_mean, target_log_std) + target_log_std.sum()
        ),
        "the sign is flipped: log w = log p̃(z) − log q(z)",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            -_path_derivative(mean, log_std, noise, target_mean, target_log_std)
        ),
        "log q(z) was added: it is subtracted",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _log_normal(mean + log_std.exp() * noise, target_mean, target_log_std.exp())
            + _log_normal(mean + log_std.exp() * noise, mean.detach(), log_std.detach().exp())
        ),
        "log q(z) is missing: its parameters are constants, but its value and its path through z count",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_normal(
            mean + log_std.exp() * noise, target_mean, target_log_std.exp()
        ),
        "log p̃(z) is missing: this is −log q(z) alone",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            -_log_normal(mean + log_std.exp() * noise, mean.detach(), log_std.detach().exp())
        ),
        "− log σ is missing in log q(z): it is a constant for the gradient, but part of the value",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _path_derivative(mean, log_std, noise, target_mean, target_log_std) - log_std.detach().sum()
        ),
        "− log σ of the target is missing in log p̃(z): a density has its constants",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _path_derivative(mean, log_std, noise, target_mean, target_log_std) + target_log_std.sum()
        ),
        "− log σ is missing in both densities: they differ, so they do not cancel",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _path_derivative(mean, log_std, noise, target_mean, target_log_std)
            - log_std.detach().sum()
            + target_log_std.sum()
        ),
        "your log q(z) is the density of ε: − log σ is missing, and a gradient must flow through z while the parameters are held",
        _density_of_the_noise,
        "this is −D_KL(q‖p̃) in closed form, the mean over all draws: return log w of each draw",
        _minus_kl,
        "you took the variance for σ in q and in z: σ = exp(log_std)",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, 2 * log_std, noise, target_mean, target_log_std
        ),
        "you took exp(log_std / 2) for σ in q and in z: log_std is log σ, not log σ²",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, 0.5 * log_std, noise, target_mean, target_log_std
        ),
        "you took the variance for the scale of the target: a normal takes the standard deviation",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, log_std, noise, target_mean, 2 * target_log_std
        ),
        "you took a standard normal for the target: it has its own mean and standard deviation",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, log_std, noise, torch.zeros_like(target_mean), torch.zeros_like(target_log_std)
        ),
        "σ is missing in z: z = μ + σ ε",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean + noise, mean.detach(), log_std.detach(), target_mean, target_log_std
        ),
        "you took log σ for σ in z: σ = exp(log_std)",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            mean + log_std * noise, mean.detach(), log_std.detach(), target_mean, target_log_std
        ),
        "you evaluated the densities at the noise ε: evaluate them at z = μ + σ ε",
        lambda mean, log_std, noise, target_mean, target_log_std: _log_ratio(
            noise + 0 * mean, mean.detach(), log_std.detach(), target_mean, target_log_std
        ),
        "you averaged over the latents: log-densities of independent coordinates add up",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _path_derivative(mean, log_std, noise, target_mean, target_log_std) / noise.shape[-1]
        ),
        "this is the weight w: return its logarithm",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, log_std, noise, target_mean, target_log_std
        ).exp(),
        "this is the log of the mean weight over the draws: return log w of each draw",
        lambda mean, log_std, noise, target_mean, target_log_std: (
            _path_derivative(mean, log_std, noise, target_mean, target_log_std).logsumexp(0) - log(len(noise))
        ),
        "you averaged over the draws: return one number per draw",
        lambda mean, log_std, noise, target_mean, target_log_std: _path_derivative(
            mean, log_std, noise, target_mean, target_log_std
        ).mean(),
    ),
)
