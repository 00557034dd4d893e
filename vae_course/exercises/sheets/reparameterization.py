"""The sheet on the reparameterization trick: two pathwise draws, the score function and its baselines, a path derivative."""

from __future__ import annotations

from functools import partial
from math import log, pi

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import softplus

from vae_course.distributions.families import diagonal_normal
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, SumOf, named, normal, uniform
from vae_course.exercises.slips import SMALL

_HALF_LOG = 0.5 * log(2 * pi)


def _log_normal(
    arguments: str, square: float = -0.5, over: int = 2, log_std: float = -1, constant: float = -_HALF_LOG
) -> Answer:
    """log N(z; μ, diag σ²), given the names of its z, μ and σ, with numbers in it that can be wrong."""

    def log_density(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return (square * (z - mean) ** 2 / std**over + log_std * std.log() + constant).sum(-1)

    return named(log_density, arguments)


# 1. z = μ + L ε

_DRAW = SumOf(
    "mean scale_tril noise",
    centre=lambda mean: mean,
    spread=lambda scale_tril, noise: torch.einsum("bij,sbj->sbi", scale_tril, noise),
)


def _correlated_draw_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, latent: int, scale: float = 1.0) -> Arguments:
        below = normal(generator, batch, latent, latent, scale=scale).tril(-1)
        diagonal = normal(generator, batch, latent, scale=0.5).exp() * scale
        scale_tril = (below + diagonal.diag_embed()).requires_grad_()
        scale_tril.register_hook(torch.tril)  # whether a gradient reaches the zeros above the diagonal is no matter
        return normal(generator, batch, latent, gradient=True), scale_tril, normal(generator, samples, batch, latent)

    # No shape makes an error of what squeeze() takes away.
    return [case(5, 4, 3), case(1, 1, 2), case(2, 2, 1), case(3, 3, 3), case(2, 3, 4, 100.0), case(4, 1, 2, 1e-3)]


correlated_draw = Exercise(
    "correlated_draw",
    _DRAW,
    _correlated_draw_cases,
    wrong(
        "you multiplied by the transpose: ε @ L is Lᵀ ε, and Lᵀ L is another covariance than L Lᵀ",
        _DRAW.given(scale_tril=lambda L: L.mT),
        "you used the diagonal of L only: the entries below it carry the correlations",
        _DRAW.but(spread=lambda scale_tril, noise: scale_tril.diagonal(dim1=-2, dim2=-1) * noise),
        "these are the standard deviations of z times the noise, without correlations: L ε is a matrix product",
        _DRAW.but(spread=lambda scale_tril, noise: scale_tril.norm(dim=-1) * noise),
        "you multiplied the noise by the covariance L Lᵀ: it takes the factor L",
        _DRAW.given(scale_tril=lambda L: L @ L.mT),
        "L multiplies the mean as well; it multiplies only the noise",
        lambda mean, scale_tril, noise: _DRAW(0 * mean, scale_tril, mean + noise),
        "the mean is missing: z = μ + L ε",
        _DRAW.times(centre=0),
        "L is missing: the noise must be multiplied by it",
        _DRAW.but(spread=lambda noise: noise),
        "the noise was subtracted: the distribution is the same, but the exercise asks for μ + L ε",
        _DRAW.times(spread=-1),
        "the mean was subtracted: z = μ + L ε",
        _DRAW.times(centre=-1),
        "each noise was multiplied by a whole row of L: in the product with ε the columns of L meet the entries of ε",
        _DRAW.but(spread=lambda scale_tril, noise: scale_tril.sum(-1) * noise),
        "each noise was multiplied by a whole column of L and not spread over the rows: use a matrix product",
        _DRAW.but(spread=lambda scale_tril, noise: scale_tril.sum(-2) * noise),
        "you used the L of the first example for all: every example has its own",
        _DRAW.given(scale_tril=lambda L: L[:1].expand_as(L)),
        "you used the first noise for all samples: every sample has its own",
        _DRAW.given(noise=lambda e: e[:1].expand_as(e)),
        "you divided by L, which turns correlated draws into white noise: multiply by it",
        _DRAW.given(scale_tril=torch.inverse),
        "no gradient reaches the mean: something cut its path; z must be computed from the mean itself",
        _DRAW.given(mean=torch.detach),
        "no gradient reaches L: something cut its path; z must be computed from scale_tril itself",
        _DRAW.given(scale_tril=torch.detach),
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        _DRAW.then(torch.detach),
        "you averaged over the samples: return every draw",
        _DRAW.then(lambda z: z.mean(0)),
        "the axes are exchanged: samples come first, then the batch",
        _DRAW.then(lambda z: z.transpose(0, 1)),
        "squeeze() takes away every axis of size 1, that of one sample or one example too: name the last, squeeze(-1)",
        _DRAW.but(spread=lambda scale_tril, noise: (scale_tril @ noise[..., None]).squeeze()),
    ),
)


# 2. a logistic draw through the inverse CDF

_LOGISTIC = Formula(
    "location log_scale uniforms",
    scale=lambda log_scale: log_scale.exp(),
    log_u=lambda uniforms: uniforms.log(),
    log_rest=lambda uniforms: (1 - uniforms).log(),
    logit=lambda log_u, log_rest: log_u - log_rest,
    draw=lambda location, scale, logit: location + scale * logit,
)


def _logistic_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        location = normal(generator, batch, latent, gradient=True)
        log_scale = normal(generator, batch, latent, scale=scale, gradient=True)
        return location, log_scale, 0.01 + 0.98 * uniform(generator, batch, latent)

    ends = [[1e-12, 1 - 1e-12, 1e-9], [1e-5, 0.5, 0.9]], [[0.3, -0.4, 0.1], [-10.0, 3.0, 6.0]]
    uniforms, log_scale = (torch.tensor(rows, dtype=torch.float64) for rows in ends)
    at_the_ends = torch.zeros_like(uniforms, requires_grad=True), log_scale.requires_grad_(), uniforms
    return [case(4, 3, 1.0), case(1, 2, 1.0), case(5, 1, 3.0), case(3, 3, 1e-3), at_the_ends]


def _laplace(uniforms: Tensor) -> Tensor:
    centred = uniforms - 0.5
    return -centred.sign() * (-2 * centred.abs()).log1p()


def _clamped(size: float) -> Answer:
    return _LOGISTIC.given(uniforms=partial(torch.clamp, min=size, max=1 - size))


def _scale_raised(size: float) -> Answer:
    return _LOGISTIC.but(scale=lambda log_scale: log_scale.exp() + size)


def _with_small(size: float) -> Answer:
    return _LOGISTIC.but(
        log_u=lambda uniforms: (uniforms + size).log(), log_rest=lambda uniforms: (1 - uniforms + size).log()
    )


logistic_from_uniform = Exercise(
    "logistic_from_uniform",
    _LOGISTIC.but(log_rest=lambda uniforms: (-uniforms).log1p()),
    _logistic_cases,
    wrong(
        "this is the CDF: it takes z to a probability; you need its inverse, from u to z",
        _LOGISTIC.but(draw=lambda location, scale, uniforms: ((uniforms - location) / scale).sigmoid()),
        "the sigmoid is the CDF: you need its inverse, the logit log(u / (1 − u))",
        _LOGISTIC.but(logit=lambda uniforms: uniforms.sigmoid()),
        "you took log((1 − u) / u): the distribution is the same, but the inverse CDF rises with u, log(u / (1 − u))",
        _LOGISTIC.but(logit=lambda log_u, log_rest: log_rest - log_u),
        "log(1 − u) is missing: log u alone gives a flipped exponential distribution",
        _LOGISTIC.but(logit=lambda log_u: log_u),
        "−log u gives an exponential distribution: the logit is log u − log(1 − u)",
        _LOGISTIC.but(logit=lambda log_u: -log_u),
        "−log(1 − u) is the inverse CDF of an exponential distribution: the logit is log u − log(1 − u)",
        _LOGISTIC.but(logit=lambda log_rest: -log_rest),
        "log(1 − u) has the wrong sign: the logit is log u − log(1 − u)",
        _LOGISTIC.but(logit=lambda log_u, log_rest: log_u + log_rest),
        "you took log(1 + u): log(1 − u) is torch.log1p(-uniforms), with the minus inside",
        _LOGISTIC.but(log_rest=lambda uniforms: uniforms.log1p()),
        "you divided the two logarithms: the logit is their difference, log u − log(1 − u)",
        _LOGISTIC.but(logit=lambda log_u, log_rest: log_u / log_rest),
        "brackets: s multiplies both logarithms, log u and log(1 − u)",
        _LOGISTIC.but(draw=lambda location, scale, log_u, log_rest: location + scale * log_u - log_rest),
        "the logarithm is missing: u / (1 − u) are the odds, the logit is their log",
        _LOGISTIC.but(logit=lambda uniforms: uniforms / (1 - uniforms)),
        "you multiplied by log s: take exp to get s, which must be positive",
        _LOGISTIC.but(scale=lambda log_scale: log_scale),
        "you took exp(log s / 2) for the scale: s = exp(log s)",
        _LOGISTIC.given(log_scale=lambda s: s / 2),
        "you multiplied by s²: the inverse CDF has the scale s",
        _LOGISTIC.given(log_scale=lambda s: 2 * s),
        "you took softplus for the scale: here s = exp(log s)",
        _LOGISTIC.but(scale=lambda log_scale: softplus(log_scale)),
        "you divided by the scale: the inverse CDF multiplies by it",
        _LOGISTIC.given(log_scale=torch.neg),
        "this is the inverse CDF of a normal distribution: that of a logistic one is the logit",
        _LOGISTIC.but(logit=lambda uniforms: torch.special.ndtri(uniforms)),
        _LOGISTIC.but(logit=lambda uniforms: torch.erfinv(2 * uniforms - 1)),
        "this is a Gumbel draw, −log(−log u): the logistic one is log u − log(1 − u)",
        _LOGISTIC.but(logit=lambda log_u: -(-log_u).log()),
        "this is a Laplace draw: the inverse CDF of the logistic distribution is the logit",
        _LOGISTIC.but(logit=lambda uniforms: _laplace(uniforms)),
        "you scaled the uniform numbers themselves: map them through the inverse CDF first",
        _LOGISTIC.but(logit=lambda uniforms: uniforms),
        "you centred and scaled the uniform numbers themselves: map them through the inverse CDF, the logit, first",
        _LOGISTIC.but(logit=lambda uniforms: uniforms - 0.5),
        "you made s the standard deviation: the scale of a logistic distribution is not, its standard deviation is π s / √3",
        _LOGISTIC.but(logit=lambda log_u, log_rest: (log_u - log_rest) * 3**0.5 / pi),
        "clamping u at 1e-6, as torch.logit does with eps=1e-6, cuts the tails: log u − log(1 − u) needs no clamp",
        _clamped(1e-6),
        "clamping u at 1e-7 suits float32 draws, which may be 0: here u is float64 and comes nearer, so leave it whole",
        _clamped(1e-7),
        "clamping u at 1e-10 still cuts the tails: u may be 1e-12, and its logarithm is finite",
        _clamped(1e-10),
        "clamping u cuts the tails: u is never 0 or 1 here, so its logit is finite without",
        *map(_clamped, (1e-11, 1e-9, 1e-8, 1e-5, 1e-4, 1e-3, 1e-2)),
        "1e-8 added inside the logarithms cuts the tails: u is never 0 or 1 here, so its logit is finite without",
        _with_small(1e-8),
        "1e-10 added inside the logarithms is not small beside u = 1e-12: its logit is finite without",
        _with_small(1e-10),
        "clamping the logit at ±20 cuts the tails: at u = 1e-12 it is −27.6",
        _LOGISTIC.but(logit=lambda log_u, log_rest: (log_u - log_rest).clamp(-20, 20)),
        "artanh(2u − 1) is half the logit",
        _LOGISTIC.but(logit=lambda log_u, log_rest: (log_u - log_rest) / 2),
        "you took the logarithm to base 10: all logarithms here are natural",
        _LOGISTIC.but(logit=lambda log_u, log_rest: (log_u - log_rest) / log(10)),
        "you took the logarithm to base 2: all logarithms here are natural",
        _LOGISTIC.but(logit=lambda log_u, log_rest: (log_u - log_rest) / log(2)),
        "you scaled the location as well: only the logit is multiplied by s",
        _LOGISTIC.but(draw=lambda location, scale, logit: (location + logit) * scale),
        "the location is missing: z = μ + s log(u / (1 − u))",
        _LOGISTIC.given(location=torch.zeros_like),
        "the location was subtracted: z = μ + s log(u / (1 − u))",
        _LOGISTIC.given(location=torch.neg),
        "the scale s is missing: the logit must be multiplied by it",
        _LOGISTIC.given(log_scale=torch.zeros_like),
        "a small number was added to s, or s was clamped: exp is positive already",
        *map(_scale_raised, (1e-6, 1e-5, 1e-4, 1e-3)),
        *(_LOGISTIC.given(log_scale=partial(torch.clamp, min=log(c))) for c in (1e-4, 1e-3, 1e-2)),
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        _LOGISTIC.then(torch.detach),
    ),
    written=_LOGISTIC,
)


# 3. the score-function gradient with a leave-one-out baseline

_SCORE = Formula(
    "z mean std cost",
    others=lambda cost: cost.sum() - cost,
    baseline=lambda others: others / (len(others) - 1),
    weights=lambda cost, baseline: cost - baseline,
    score=lambda z, mean, std: (z - mean) / std**2,
    terms=lambda weights, score: weights[:, None] * score,
    gradient=lambda terms: terms.mean(0),
)
_PLAIN = _SCORE.but(baseline=lambda: 0)
_OWN_COST_IN = _SCORE.but(baseline=lambda cost: cost.mean())


def _draws(generator: Generator, n: int, d: int, std: float, level: float = 0.0, spread: float = 3.0) -> Arguments:
    """Draws of a normal, its mean and standard deviation, and costs, all `level` where their spread is 0."""
    mean, scale = normal(generator, d), torch.tensor(std, dtype=torch.float64)
    z = mean + scale * normal(generator, n, d)
    return z, mean, scale, normal(generator, n, scale=spread) + level


def _score_cases(generator: Generator) -> list[Arguments]:
    case = partial(_draws, generator)
    equal = case(4, 2, 0.7, 5.0, 0.0)  # a constant cost has no gradient
    return [case(5, 3, 0.5), case(2, 1, 2.0), case(8, 1, 0.1), case(4, 4, 3.0), case(6, 2, 1.5, 1000.0), equal]


def _over_spread(formula: Formula, small: float) -> Answer:
    """With costs less their baseline over the standard deviation of the costs."""
    return formula.but(weights=lambda cost, baseline: (cost - baseline) / (cost.std() + small))


score_function_gradient = Exercise(
    "score_function_gradient",
    _SCORE,
    _score_cases,
    wrong(
        "the baseline is missing: subtract from each cost the mean of the others",
        _PLAIN,
        "the baseline is missing, and you divided by n − 1: subtract from each cost the mean of the others, and average over n",
        _PLAIN.but(gradient=lambda terms: terms.sum(0) / (len(terms) - 1)),
        "your baseline contains the sample's own cost, which shrinks the estimate by (n − 1)/n in expectation: leave it out",
        _OWN_COST_IN,
        "the baseline was added: subtract it",
        _SCORE.but(weights=lambda cost, baseline: cost + baseline),
        "the sign is flipped: it is cost − baseline, times z − μ",
        _SCORE.but(weights=lambda cost, baseline: baseline - cost),
        "your baseline is the sum of the other costs: divide it by n − 1",
        _SCORE.but(baseline=lambda others: others),
        "brackets: you divided only the sample's own cost by n − 1; write (cost.sum() - cost) / (n - 1)",
        _SCORE.but(baseline=lambda cost: cost.sum() - cost / (len(cost) - 1)),
        "you divided the sum of the other costs by n: there are n − 1 of them",
        _SCORE.but(baseline=lambda others: others / len(others)),
        "you divided the sum of all costs by n − 1: leave the sample's own cost out of the sum",
        _SCORE.but(baseline=lambda cost: cost.sum() / (len(cost) - 1)),
        "you divided by σ: the score of the mean is (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: (z - mean) / std),
        "1/σ² is missing: the score of the mean is (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean: z - mean),
        "you multiplied by σ²: the score of the mean is (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: (z - mean) * std**2),
        "you divided by 2σ²: the derivative of (z − μ)² / 2σ² cancels the 2",
        _SCORE.but(score=lambda z, mean, std: (z - mean) / (2 * std**2)),
        "you summed over the samples: take the mean",
        _SCORE.but(gradient=lambda terms: terms.sum(0)),
        "you summed over the samples, and your baseline contains the sample's own cost: take the mean, and leave it out",
        _OWN_COST_IN.but(gradient=lambda terms: terms.sum(0)),
        "you divided by σ⁴: the score of the mean is (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: (z - mean) / std**4),
        "you squared (z − μ) / σ: in the score only σ is squared, (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: ((z - mean) / std).square()),
        "this is the gradient by σ: the score of the mean is (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: ((z - mean).square() / std**2 - 1) / std),
        "you multiplied by log q(z): the score is its derivative by the mean, (z − μ) / σ²",
        _SCORE.but(score=lambda z, mean, std: -0.5 * ((z - mean) / std).square() - std.log() - _HALF_LOG),
        "you standardised the costs: that changes the length of the gradient, and equal costs divide 0 by 0",
        _over_spread(_OWN_COST_IN, 0),
        "you divided by n − 1 outside too: the estimate is the mean over n terms, n − 1 stands only in the baseline",
        _SCORE.but(gradient=lambda terms: terms.sum(0) / (len(terms) - 1)),
        "you subtracted the median of all costs: the baseline is the mean of the other n − 1",
        _SCORE.but(baseline=lambda cost: cost.median()),
        "you subtracted the first cost from all: the baseline of a sample is the mean of all others",
        _SCORE.but(baseline=lambda cost: cost[0]),
        "you subtracted the smallest cost: the baseline of a sample is the mean of all others",
        _SCORE.but(baseline=lambda cost: cost.min()),
        "you subtracted one other sample's cost: that is unbiased but noisier; take the mean of all n − 1 others",
        _SCORE.but(baseline=lambda cost: cost.roll(1)),
        _SCORE.but(baseline=lambda cost: cost.roll(-1)),
        "you standardised the costs: dividing by their standard deviation changes the length of the gradient",
        _SCORE.but(weights=lambda cost: (cost - cost.mean()) / cost.std().clamp(min=1e-8)),
        *(_over_spread(_OWN_COST_IN, small) for small in SMALL),
        "the costs less their baseline are divided by their standard deviation: leave them in the units of the cost",
        *(_over_spread(_SCORE, small) for small in (0, *SMALL)),
        "you did not average over the samples: the gradient has one entry per coordinate of the mean",
        _SCORE.but(gradient=lambda terms: terms),
        "you averaged over the coordinates: average over the samples, the first axis",
        _SCORE.but(gradient=lambda terms: terms.mean(1)),
        "you averaged over the coordinates too, to one number: average over the samples only, the first axis",
        _SCORE.but(gradient=lambda terms: terms.mean()),
        "you averaged the costs and the scores apart: multiply sample by sample, then average",
        _SCORE.but(gradient=lambda weights, score: weights.mean() * score.mean(0)),
        "the baseline is missing, and μ too: the score is (z − μ) / σ², its weight the cost minus the mean of the others",
        _PLAIN.given(mean=torch.zeros_like),
        "the baseline is missing and the sign is flipped: (z − μ) / σ² times the cost minus its baseline",
        _PLAIN.then(torch.neg),
    ),
)


# 4. a surrogate whose gradient is the score-function estimator

_LOSS = Formula(
    "mean log_std z cost",
    z=lambda z: z.detach(),
    cost=lambda cost: cost.detach(),
    std=lambda log_std: log_std.exp(),
    log_q=_log_normal("z mean std"),
    loss=lambda cost, log_q: cost * log_q,
)
_ATTACHED = _LOSS.but(z=lambda z: z, cost=lambda cost: cost)


def _loss_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, d: int, scale: float = 0.5) -> Arguments:
        mean, log_std = normal(generator, d), normal(generator, d, scale=scale)
        z = mean + log_std.exp() * normal(generator, n, d)
        cost = normal(generator, n, scale=3.0) + 2
        return tuple(a.requires_grad_() for a in (mean, log_std, z, cost))

    free = *case(3, 2)[:3], torch.zeros(3, dtype=torch.float64, requires_grad=True)
    return [case(5, 3), case(1, 2), case(4, 1, 2.0), case(3, 3), free]


score_function_loss = Exercise(
    "score_function_loss",
    _LOSS,
    _loss_cases,
    wrong(
        "a gradient flows into z: detach it, the score function moves the density and leaves the draws where they are",
        _LOSS.but(z=lambda z: z),
        "a gradient flows into the cost: detach it, it is a weight here",
        _LOSS.but(cost=lambda cost: cost),
        "gradients flow into z and into the cost: detach both",
        _ATTACHED,
        "no gradient reaches the mean and log σ: log q(z) must keep its path to its parameters",
        _LOSS.then(torch.detach),
        "no gradient reaches the mean: only z and the cost are constants",
        _LOSS.given(mean=torch.detach),
        "no gradient reaches log σ: only z and the cost are constants",
        _LOSS.given(log_std=torch.detach),
        "the parameters were detached and the draws were not: it is the other way round here",
        _ATTACHED.given(mean=torch.detach, log_std=torch.detach),
        "z is detached, but so are the parameters, and the cost is not: detach z and the cost only",
        _ATTACHED.given(z=torch.detach, mean=torch.detach, log_std=torch.detach),
        "the cost is detached, but so are the parameters, and z is not: detach z and the cost only",
        _ATTACHED.given(cost=torch.detach, mean=torch.detach, log_std=torch.detach),
        "you reparameterized z: for the score function z is a constant, without a path from the parameters",
        _LOSS.but(z=lambda z, mean, log_std: mean + log_std.exp() * ((z - mean) / log_std.exp()).detach()),
        "you took log σ for σ: the scale of the normal is exp(log σ)",
        _LOSS.but(std=lambda log_std: log_std.abs()),
        "you took the variance for the scale of q: a normal takes the standard deviation σ",
        _LOSS.given(log_std=lambda s: 2 * s),
        "you took exp(log_std / 2) for σ in q: log_std is log σ, not log σ²",
        _LOSS.given(log_std=lambda s: s / 2),
        "− log σ is missing in log q(z): the density of a normal is divided by σ",
        _LOSS.but(log_q=_log_normal("z mean std", log_std=0)),
        "½ log 2π is missing, once per coordinate: the gradient does not notice, but the exercise asks for log q(z)",
        _LOSS.but(log_q=_log_normal("z mean std", constant=0)),
        "½ log 2π stands outside the sum: every coordinate has its own",
        _LOSS.but(loss=lambda cost, log_q, mean: cost * (log_q + _HALF_LOG * (len(mean) - 1))),
        "log q(z) lacks −log σ and −½ log 2π: the first has a gradient, the second belongs to the value",
        _LOSS.but(log_q=_log_normal("z mean std", log_std=0, constant=0)),
        "you divided the squared distance by σ: the variance is exp(2 log σ)",
        _LOSS.but(log_q=_log_normal("z mean std", over=1)),
        "the gradient is right and the value is 0: the exercise asks for the value cost · log q(z)",
        _LOSS.then(lambda loss: loss - loss.detach()),
        "the gradient is right and the value is the cost: the exercise asks for cost · log q(z)",
        _LOSS.but(loss=lambda cost, log_q: cost * (log_q - log_q.detach()).exp()),
        "log σ has the wrong sign in log q(z): it is subtracted",
        _LOSS.but(log_q=_log_normal("z mean std", log_std=1)),
        "the ½ before the squared noise is missing in log q(z)",
        _LOSS.but(log_q=_log_normal("z mean std", square=-1)),
        "the ½ before log 2π is missing in log q(z)",
        _LOSS.but(log_q=_log_normal("z mean std", constant=-2 * _HALF_LOG)),
        "you subtracted ½ log σ in log q(z): ½ log 2πσ² holds log σ whole",
        _LOSS.but(log_q=_log_normal("z mean std", log_std=-0.5)),
        "the sign is flipped: a cost is descended, so its surrogate is + cost · log q(z)",
        _LOSS.then(torch.neg),
        "you subtracted a baseline, the mean cost: it would help, but the exercise asks for cost · log q(z)",
        _LOSS.given(cost=lambda cost: cost - cost.mean()),
        "you multiplied by the density q(z): it is the logarithm whose gradient is the score",
        _LOSS.but(loss=lambda cost, log_q: cost * log_q.exp()),
        "you added the cost: it multiplies log q(z)",
        _LOSS.but(loss=lambda cost, log_q: cost + log_q),
        "you added the cost to cost · log q(z): the product alone is asked for",
        _LOSS.but(loss=lambda cost, log_q: cost + cost * log_q),
        "you added the cost, gradient and all, to cost · log q(z): the product alone is asked for",
        _LOSS.but(cost=lambda cost: cost, loss=lambda cost, log_q: cost + cost.detach() * log_q),
        "you averaged the costs first: each draw's log-density is multiplied by its own cost",
        _LOSS.but(loss=lambda cost, log_q: cost.mean() * log_q),
        "you averaged log q(z) over the draws first: each draw's log-density is multiplied by its own cost",
        _LOSS.but(loss=lambda cost, log_q: cost * log_q.mean()),
        "you multiplied each cost by the log-density of all draws: each draw has its own",
        _LOSS.but(loss=lambda cost, log_q: cost * log_q.sum()),
        "you averaged log q(z) over the coordinates: log-densities of independent coordinates add up",
        _LOSS.but(loss=lambda cost, log_q, mean: cost * log_q / len(mean)),
        "cost[:, None] against [n] gives a table of all pairs: both have one entry per draw already",
        _LOSS.but(loss=lambda cost, log_q: cost[:, None] * log_q),
        "you did not sum over the coordinates: a draw has one log-density",
        _LOSS.but(loss=lambda cost, z, mean, std: cost[:, None] * Normal(mean, std).log_prob(z)),
        "you averaged over the draws: return one number per draw; the mean is taken where the loss is used",
        _LOSS.then(torch.mean),
        "you summed over the draws: return one number per draw",
        _LOSS.then(torch.sum),
    ),
)


# 5. the constant baseline of least variance

_BASELINE = Formula(
    "z mean std cost",
    score=lambda z, mean, std: (z - mean) / std**2,
    f=lambda cost: cost[:, None],
    weights=lambda score: score.square(),
    above=lambda f, weights: (f * weights).sum(0),
    below=lambda weights: weights.sum(0),
    baseline=lambda above, below: above / below,
)
_ONE_FOR_ALL = _BASELINE.but(above=lambda f, weights: (f * weights).sum(), below=lambda weights: weights.sum())


def _baseline_cases(generator: Generator) -> list[Arguments]:
    case = partial(_draws, generator)
    equal = case(5, 2, 0.7, 5.0, 0.0)  # the best baseline of a constant cost is that constant
    return [case(6, 3, 0.5), case(2, 1, 2.0), case(20, 1, 0.01), case(4, 4, 30.0), case(3, 2, 1.5, 1000.0), equal]


optimal_baseline = Exercise(
    "optimal_baseline",
    _BASELINE,
    _baseline_cases,
    wrong(
        "this is the mean cost: the best constant weights each cost by the square of its score",
        _BASELINE.but(baseline=lambda cost, z: cost.mean().expand(z.shape[1])),
        "this is the mean cost, one number: the best constant weights each cost by s², and every coordinate has its own",
        _BASELINE.but(baseline=lambda cost: cost.mean()),
        "you weighted by |s|: the variance is quadratic, so the weights are s²",
        _BASELINE.but(weights=lambda score: score.abs()),
        "the score is not squared: the weights are s²",
        _BASELINE.but(weights=lambda score: score),
        "you divided by n: divide by the sum of the weights, Σ s²",
        _BASELINE.but(below=lambda cost: len(cost)),
        "the division by Σ s² is missing",
        _BASELINE.but(below=lambda: 1),
        "you divided by the sum of the costs: divide by the sum of the weights, Σ s²",
        _BASELINE.but(below=lambda cost: cost.sum()),
        "you subtracted the mean cost first, and did not add it again",
        _BASELINE.given(cost=lambda cost: cost - cost.mean()),
        "you divided by the exact mean of s², 1/σ²: divide by the sample's Σ s², so that a constant cost gives itself",
        _BASELINE.but(below=lambda cost, std: len(cost) / std**2),
        "you divided by the sample variance of s: the formula has E[s²], the mean of the squares",
        _BASELINE.but(below=lambda score: len(score) * score.var(0)),
        "the sum below the fraction bar runs over all coordinates: each has its own Σ s²",
        _BASELINE.but(below=lambda weights: weights.sum()),
        "you squared the sum of the scores: sum their squares",
        _BASELINE.but(below=lambda score: score.sum(0).square()),
        "you summed over the coordinates too: every coordinate of the gradient has its own baseline",
        _ONE_FOR_ALL.but(baseline=lambda above, below, z: (above / below).expand(z.shape[1])),
        "you summed over the coordinates too, to one number: return a baseline per coordinate",
        _ONE_FOR_ALL,
        "you summed over the coordinates: sum over the draws, the first axis",
        _BASELINE.but(above=lambda f, weights: (f * weights).sum(1), below=lambda weights: weights.sum(1)),
        "you subtracted sample means, as in Cov(f s, s) / Var(s): the mean of s is known to be 0, so use Σ f s² / Σ s²",
        _BASELINE.but(weights=lambda score: score * (score - score.mean(0))),
        "this is the slope of the cost over the score: the baseline is the coefficient of f s over s, Σ f s² / Σ s²",
        _BASELINE.but(above=lambda f, score: ((f - f.mean()) * score).sum(0)),
        "s is squared below only: the numerator is Σ f s²",
        _BASELINE.but(above=lambda f, score: (f * score).sum(0)),
        "you weighted by z²: the score is (z − μ) / σ²",
        _BASELINE.but(weights=lambda z: z.square()),
        "you centred z by the mean of the draws: the score has μ itself",
        _BASELINE.but(weights=lambda z: (z - z.mean(0)).square()),
        "the cost is squared: only the score is",
        _BASELINE.given(cost=torch.square),
        "you weighted by f s²: the weights are s² alone",
        _BASELINE.but(weights=lambda f, score: f * score.square()),
        "σ² divides the score below only: it stands in both sums, and cancels",
        _BASELINE.but(above=lambda f, z, mean: (f * (z - mean).square()).sum(0)),
        "you weighted by the fourth power of the score: the weights are s²",
        _BASELINE.but(weights=lambda score: score**4),
        "the sign is flipped: the baseline is what is subtracted from the cost",
        _BASELINE.then(torch.neg),
        "these are the costs minus the baseline: return the baseline",
        _BASELINE.but(baseline=lambda f, above, below: f - above / below),
    ),
)


# 6. the path derivative

_PATH = Formula(
    "mean log_std noise target_mean target_log_std",
    std=lambda log_std: log_std.exp(),
    target_std=lambda target_log_std: target_log_std.exp(),
    z=lambda mean, std, noise: mean + std * noise,
    held_mean=lambda mean: mean.detach(),
    held_std=lambda std: std.detach(),
    log_target=_log_normal("z target_mean target_std"),
    log_q=_log_normal("z held_mean held_std"),
    log_w=lambda log_target, log_q: log_target - log_q,
)
_FULL = _PATH.but(log_q=_log_normal("z mean std"))  # no parameter is held, and the score of q stays in
_OF_NOISE = _PATH.but(log_q=lambda noise: (-0.5 * noise.square() - _HALF_LOG).sum(-1))
_Q_WITHOUT_LOG = _log_normal("z held_mean held_std", log_std=0)
_TARGET_WITHOUT_LOG = _log_normal("z target_mean target_std", log_std=0)


def _path_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, latent: int, scale: float = 0.5, at: float = 0.0) -> Arguments:
        mean, target_mean = normal(generator, latent, gradient=True), normal(generator, latent)
        log_std = (normal(generator, latent, scale=scale) + at).requires_grad_()
        return mean, log_std, normal(generator, n, latent), target_mean, normal(generator, latent, scale=0.5)

    mean, log_std, noise, _, _ = case(4, 2)
    at_the_target = (mean, log_std, noise, mean.detach().clone(), log_std.detach().clone())
    return [case(4, 3), case(1, 2), case(5, 1), case(3, 3), case(2, 2, 0.5, -5.0), at_the_target]


def _held_draw(arguments: str) -> Answer:
    """log N with no path through z: its gradient is the score."""
    log_normal = _log_normal(arguments)
    return named(lambda z, mean, std: log_normal(z.detach(), mean, std), arguments)


def _minus_kl(mean: Tensor, std: Tensor, noise: Tensor, target_mean: Tensor, target_std: Tensor) -> Tensor:
    kl: Tensor = kl_divergence(diagonal_normal(mean, std), diagonal_normal(target_mean, target_std))
    return -kl.expand(len(noise))


path_derivative = Exercise(
    "path_derivative",
    _PATH,
    _path_cases,
    wrong(
        "the gradient still holds the score of q: write log q with z, not with ε, and detach the parameters inside it",
        _FULL,
        "you detached z: what is left is the score alone, the very term that is to go",
        _FULL.but(z=lambda mean, std, noise: (mean + std * noise).detach()),
        "no gradient is left: detach the parameters inside log q only, z keeps its path to them",
        _PATH.then(torch.detach),
        "log q(z) has no gradient left, so its path through z is gone: write it with z, not with ε, and detach only its parameters",
        _PATH.but(log_w=lambda log_target, log_q: log_target - log_q.detach()),
        "log σ inside log q was not detached: the mean is, but both are parameters of q",
        _PATH.but(log_q=_log_normal("z held_mean std")),
        "the mean inside log q was not detached: log σ is, but both are parameters of q",
        _PATH.but(log_q=_log_normal("z mean held_std")),
        "the mean was detached in z as well: z keeps its path to both parameters",
        _PATH.given(mean=torch.detach),
        "σ was detached in z as well: z keeps its path to both parameters",
        _PATH.given(log_std=torch.detach),
        "you detached z in log p̃(z): the gradient of the target flows through z",
        _PATH.but(log_target=_held_draw("z target_mean target_std")),
        "inside log q you detached z and kept the parameters: it is the other way round",
        _PATH.but(log_q=_held_draw("z mean std")),
        "you added log q at a detached z for its gradient, and left its value in: subtract it again, detached",
        _FULL.but(score=_held_draw("z mean std"), both=lambda log_w, score: log_w + score),
        "log q was evaluated at ε: evaluate it at z = μ + σ ε",
        _PATH.but(log_q=_log_normal("noise held_mean held_std")),
        "− log σ is missing in both densities, and ½ ε² has no path through z: write log q(z) with z and held parameters",
        _OF_NOISE.but(log_target=_TARGET_WITHOUT_LOG),
        "the sign is flipped: log w = log p̃(z) − log q(z)",
        _PATH.then(torch.neg),
        "log q(z) was added: it is subtracted",
        _PATH.but(log_w=lambda log_target, log_q: log_target + log_q),
        "log q(z) is missing: its parameters are constants, but its value and its path through z count",
        _PATH.but(log_w=lambda log_target: log_target),
        "log p̃(z) is missing: this is −log q(z) alone",
        _PATH.but(log_w=lambda log_q: -log_q),
        "− log σ is missing in log q(z): it is a constant for the gradient, but part of the value",
        _PATH.but(log_q=_Q_WITHOUT_LOG),
        "− log σ of the target is missing in log p̃(z): a density has its constants",
        _PATH.but(log_target=_TARGET_WITHOUT_LOG),
        "− log σ is missing in both densities: they differ, so they do not cancel",
        _PATH.but(log_target=_TARGET_WITHOUT_LOG, log_q=_Q_WITHOUT_LOG),
        "your log q(z) is the density of ε: − log σ is missing, and a gradient must flow through z while the parameters are held",
        _OF_NOISE,
        "this is −D_KL(q‖p̃) in closed form, the mean over all draws: return log w of each draw",
        _PATH.but(log_w=_minus_kl),
        "you took the variance for σ in q and in z: σ = exp(log_std)",
        _PATH.given(log_std=lambda s: 2 * s),
        "you took exp(log_std / 2) for σ in q and in z: log_std is log σ, not log σ²",
        _PATH.given(log_std=lambda s: s / 2),
        "you took the variance for the scale of the target: a normal takes the standard deviation",
        _PATH.given(target_log_std=lambda s: 2 * s),
        "you took a standard normal for the target: it has its own mean and standard deviation",
        _PATH.given(target_mean=torch.zeros_like, target_log_std=torch.zeros_like),
        "σ is missing in z: z = μ + σ ε",
        _PATH.but(z=lambda mean, noise: mean + noise),
        "you took log σ for σ in z: σ = exp(log_std)",
        _PATH.but(z=lambda mean, log_std, noise: mean + log_std * noise),
        "you evaluated the densities at the noise ε: evaluate them at z = μ + σ ε",
        _PATH.but(z=lambda noise, mean: noise + 0 * mean),
        "you averaged over the latents: log-densities of independent coordinates add up",
        _PATH.but(average=lambda log_w, noise: log_w / noise.shape[-1]),
        "this is the weight w: return its logarithm",
        _PATH.then(torch.exp),
        "this is the log of the mean weight over the draws: return log w of each draw",
        _PATH.then(lambda log_w: log_w.logsumexp(0) - log(len(log_w))),
        "you averaged over the draws: return one number per draw",
        _PATH.then(torch.mean),
    ),
)
