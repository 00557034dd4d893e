"""The sheet on latent variable models: draws from a mixture, log p(x) by Monte Carlo, Bayes' rule on a grid, EM, a net's draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from math import log, log2, pi

import torch
from torch import Generator, Tensor
from torch.distributions import Normal
from torch.nn.functional import one_hot, softplus, threshold

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, bits, named, normal, uniform
from vae_course.exercises.slips import SMALL

Change = Callable[[Tensor], Tensor]

_HALF = 0.5 * log(2 * pi)
_TINY = (1e-300, torch.finfo(torch.float64).tiny, 1e-100, 1e-40, torch.finfo(torch.float32).tiny, 1e-30, 1e-20, 1e-16)
_SIZES = (*SMALL, *_TINY)


def _numbers(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _weights(generator: Generator, k: int) -> Tensor:
    weights = 0.1 + uniform(generator, k)
    return weights / weights.sum()


def _most_probable(scores: Tensor) -> Tensor:
    return one_hot(scores.argmax(-1), scores.shape[-1]).double()


def _after(base: Formula, **changes: Change) -> Formula:
    """With something done to what some steps give."""

    def changed(name: str) -> Step:
        step = base.steps[name]
        return named(lambda *given: changes[name](step(*given)), " ".join(signature(step).parameters))

    return base.but(**{name: changed(name) for name in changes})


def _plus(sizes: Sequence[float] = SMALL) -> list[Change]:
    """What adds a small number."""
    return [partial(torch.add, other=size) for size in sizes]


def _stabilised(sizes: Sequence[float] = SMALL) -> list[Change]:
    """What adds a small number, or takes it for a floor."""
    return [*_plus(sizes), *(partial(torch.clamp, min=size) for size in sizes)]


def _inside_log(change: Change) -> Change:
    """The change, of what a logarithm is of."""
    return lambda value: change(value.exp()).log()


# 1. ancestral sampling from a mixture

_MIXTURE = Formula(
    "weights means stds uniforms noise",
    edges=lambda weights: weights.cumsum(0),
    count=lambda edges, uniforms: (edges <= uniforms[:, None]).sum(-1),
    k=lambda count, weights: count.clamp(max=len(weights) - 1),
    mean=lambda k, means: means[k],
    std=lambda k, stds: stds[k, None],
    draw=lambda mean, std, noise: mean + std * noise,
)


def _sample_mixture_cases(generator: Generator) -> list[Arguments]:
    def case(weights: Tensor, uniforms: Tensor, dimension: int, scale: float = 2.0) -> Arguments:
        k = len(weights)
        means, stds = normal(generator, k, dimension, scale=scale), 0.3 + 2 * uniform(generator, k)
        return weights, means, stds, uniforms, normal(generator, len(uniforms), dimension)

    def drawn(weights: Tensor, n: int, dimension: int, scale: float = 2.0) -> Arguments:
        uniforms = uniform(generator, n)
        uniforms[0] = 1 - uniforms[0] / 500  # the first point comes from the end of the scale
        near = (uniforms[:, None] - weights.cumsum(0)).abs().amin(-1) < 1e-9
        return case(weights, torch.where(near, uniforms - 1e-6, uniforms), dimension, scale)

    return [
        case(_numbers(0.25, 0.75), _numbers(0.1, 0.2, 0.15), 2),  # all below every weight
        case(_numbers(0.5, 0.25, 0.25), _numbers(0.0, 0.5, 0.75, 0.3), 1),  # on the edges
        case(_numbers(0.0, 0.5, 0.25, 0.25), _numbers(0.0, 0.5, 0.75, 0.9, 0.1), 2),
        *(drawn(_weights(generator, k), n, d) for k, n, d in ((3, 30, 2), (5, 60, 3), (2, 1, 1), (6, 9, 1), (1, 4, 2))),
        drawn(_numbers(0.0, 0.6, 0.0, 0.4, 0.0), 20, 2),  # components of weight 0 are never drawn
        drawn(_numbers(0.98, 0.015, 0.005), 200, 2, 1e3),
    ]


sample_mixture = Exercise(
    "sample_mixture",
    _MIXTURE,
    _sample_mixture_cases,
    wrong(
        "you averaged the components by their weights: a draw comes from one component, which the uniform chooses",
        _MIXTURE.but(mean=lambda weights, means: weights @ means, std=lambda weights, stds: weights @ stds),
        "the mean is that of the whole mixture: take that of the chosen component, means[k]",
        _MIXTURE.but(mean=lambda weights, means: weights @ means),
        "you averaged the standard deviations by the weights: take that of the chosen component, stds[k]",
        _MIXTURE.but(std=lambda weights, stds: weights @ stds),
        "you multiplied the noise by the variance σ²; it takes the standard deviation σ",
        _MIXTURE.given(stds=torch.square),
        "you took the square root of stds: they are standard deviations already, not variances",
        _MIXTURE.given(stds=torch.sqrt),
        "you took exp of stds: here they are standard deviations, not their logarithms",
        _MIXTURE.given(stds=torch.exp),
        "you took softmax of the weights: they are probabilities already",
        _MIXTURE.given(weights=lambda w: w.softmax(0)),
        "you chose one component for all points, by the first uniform: every point has its own uniform",
        _MIXTURE.given(uniforms=lambda u: u[:1].expand(len(u))),
        "the noise is not scaled: multiply it by the standard deviation of the component",
        _MIXTURE.but(std=lambda: 1.0),
        "stds of the components is [n] and noise [n, d]: give it an axis more, stds[k, None]",
        _MIXTURE.but(std=lambda k, stds: stds[k]),
        "the mean is missing: add that of the chosen component",
        _MIXTURE.but(mean=lambda: 0.0),
        "these are the means of the chosen components: the noise within a component is missing",
        _MIXTURE.but(draw=lambda mean: mean),
        "you compared the uniform with the weights themselves: compare it with the cumulative weights",
        _MIXTURE.but(k=lambda weights, uniforms: (weights > uniforms[:, None]).int().argmax(-1)),
        "you searched in the weights themselves: search in the cumulative weights, which are in ascending order",
        _MIXTURE.but(count=lambda weights, uniforms: torch.searchsorted(weights, uniforms)),
        "you counted the weights that do not exceed u: count the cumulative weights, weights.cumsum(0)",
        _MIXTURE.but(edges=lambda weights: weights, k=lambda count: count),
        _MIXTURE.but(k=lambda weights, uniforms: (weights < uniforms[:, None]).sum(-1)),
        "you counted the weights that do not exceed u, and clamped the count: count the cumulative weights, and none is out of range",
        _MIXTURE.but(edges=lambda weights: weights),
        _MIXTURE.but(count=lambda weights, uniforms: (weights < uniforms[:, None]).sum(-1)),
        "u equal to a cumulative weight belongs to the next component: count the cumulative weights ≤ u, or search with right=True",
        _MIXTURE.but(count=lambda edges, uniforms: torch.searchsorted(edges, uniforms)),
        "u = 0 got the index −1, the last component, and u on an edge the component before it: search with right=True",
        _MIXTURE.but(k=lambda edges, uniforms: torch.searchsorted(torch.cat([edges[:1] * 0, edges]), uniforms) - 1),
        "you took the cumulative weight nearest to u: take the first that exceeds u",
        _MIXTURE.but(k=lambda edges, uniforms: (edges - uniforms[:, None]).abs().argmin(-1)),
        "you used the first row of the noise for all points: every point has its own",
        _MIXTURE.given(noise=lambda e: e[:1].expand_as(e)),
        "you indexed the noise by the component: every point has its own row, whatever component it comes from",
        _MIXTURE.but(draw=lambda mean, std, noise, k: mean + std * noise[k]),
        "you used one number of the noise for all coordinates of a point: each has its own",
        _MIXTURE.given(noise=lambda e: e[:, :1].expand_as(e)),
        "you compared 1 − u with the cumulative weights: the distribution is the same, but the exercise asks for u",
        *[mixture.given(uniforms=lambda u: 1 - u) for mixture in (_MIXTURE, _MIXTURE.but(k=lambda count: count))],
        "you counted the cumulative weights from the other end: the number of those not above u is the component",
        _MIXTURE.but(k=lambda count, weights: len(weights) - 1 - count),
        "you counted the cumulative weights above u: count those not above it",
        _MIXTURE.but(k=lambda count, weights: len(weights) - count),
        "this is the component before the right one (for the first one, index −1, the last): you subtracted 1 too many",
        _MIXTURE.but(k=lambda count: count - 1),
        "this is the component before the right one, clamped at the first: the count of cumulative weights is the index itself",
        _MIXTURE.but(k=lambda count: (count - 1).clamp(min=0)),
        "this is the component after the right one: components are counted from 0",
        *[_after(_MIXTURE, count=lambda k: k + 1), _MIXTURE.but(k=lambda count: count + 1)],
        "you drew every point from the heaviest component: the uniform chooses",
        _MIXTURE.but(k=lambda weights, uniforms: weights.argmax().expand(len(uniforms))),
        "every point comes from the last component: take the first whose cumulative weight exceeds u, not the last",
        _MIXTURE.but(k=lambda uniforms, weights: uniforms.new_full(uniforms.shape, len(weights) - 1).long()),
        "every point comes from the first component: the uniform chooses",
        _MIXTURE.but(k=lambda uniforms: (0 * uniforms).long()),
        "you chose all components with the same probability: component k has the probability weights[k]",
        _MIXTURE.but(k=lambda weights, uniforms: (uniforms * len(weights)).long()),
        "you scaled the mean as well; only the noise is multiplied by σ",
        _MIXTURE.but(draw=lambda mean, std, noise: (mean + noise) * std),
        "you divided the noise by σ: multiply",
        _MIXTURE.given(stds=torch.reciprocal),
        "the noise was subtracted: the distribution is the same, but the exercise asks for mean + σ ε",
        _MIXTURE.given(noise=torch.neg),
    ),
)


# 2. log p(x) of a linear-Gaussian model by Monte Carlo from the prior

_EVIDENCE = Formula(
    "x weight bias std noise",
    d=lambda x: x.shape[-1],
    log_std=lambda std: std.log(),
    mean=lambda weight, bias, noise: (noise @ weight.T + bias)[:, None],
    squares=lambda x, mean, std: ((x - mean) / std).square(),  # [K, batch, d]
    constant=lambda d, log_std: d * (log_std + _HALF),
    log_p=lambda squares, constant: -0.5 * squares.sum(-1) - constant,  # log p(x_i|z_k): [K, batch]
    top=lambda log_p: log_p.amax(0),
    average=lambda log_p, top: (log_p - top).exp().mean(0),
    evidence=lambda top, average: top + average.log(),
)
_LOG_P = _EVIDENCE.but(evidence=lambda log_p: log_p)
_APART = _EVIDENCE.but(log_p=lambda squares, log_std: -0.5 * squares - log_std - _HALF)  # of every coordinate
_UNDERFLOWING = _EVIDENCE.but(top=lambda: 0.0)
_UNDERFLOWING_SUM = _UNDERFLOWING.but(
    average=lambda log_p: log_p.exp().sum(0), evidence=lambda average, noise: average.log() - log(len(noise))
)


def _log_evidence_cases(generator: Generator) -> list[Arguments]:
    def of(x: Tensor, weight: Tensor, bias: Tensor, std: float, noise: Tensor) -> Arguments:
        leaves = weight, bias, torch.tensor(std, dtype=torch.float64)
        return x, *(leaf.requires_grad_() for leaf in leaves), noise

    def case(k: int, batch: int, observed: int, latent: int, std: float, scale: float = 1.0) -> Arguments:
        x, noise = normal(generator, batch, observed, scale=scale), normal(generator, k, latent)
        return of(x, normal(generator, observed, latent), normal(generator, observed), std, noise)

    shapes = (6, 4, 3, 2, 0.7), (9, 1, 2, 3, 1.6), (1, 3, 2, 1, 0.5), (5, 3, 1, 1, 0.4), (4, 4, 4, 4, 1.3)
    cases = [case(*shape) for shape in shapes]
    cases += [case(7, 3, 2, 2, 1e-3, 20.0), case(3, 2, 2, 1, 50.0)]  # every density of the first underflows
    draws = normal(generator, 1, 1) + _numbers(0, 9, 19, -14)[:, None]  # p(x) is near 1, all of it from one of the four
    near_one = of(draws[:1], torch.ones(1, 1).double(), torch.zeros(1).double(), 0.25 / (2 * pi) ** 0.5, draws)
    return [*cases, near_one]


log_evidence_monte_carlo = Exercise(
    "log_evidence_monte_carlo",
    _EVIDENCE,
    _log_evidence_cases,
    wrong(
        "this is the mean of log p(x|z), which never lies above the log of the mean (Jensen): average first, then take the log",
        _LOG_P.then(lambda v: v.mean(0)),
        "this is the sum of log p(x|z) over the draws, the logarithm of their product: take the log of their mean",
        *[_LOG_P.then(lambda v: v.sum(0)), _LOG_P.then(lambda v: v.sum(0) - log(len(v)))],
        "− log K is missing: this is the log of the sum over the draws, not of their mean",
        _LOG_P.then(lambda v: v.logsumexp(0)),
        "log K was subtracted twice: a mean is divided by K already",
        _LOG_P.then(lambda v: v.logsumexp(0) - 2 * log(len(v))),
        "you added log K: dividing by K subtracts it",
        _LOG_P.then(lambda v: v.logsumexp(0) + log(len(v))),
        "divide the sum by K inside the logarithm: subtract log K instead of dividing by K",
        _LOG_P.then(lambda v: v.logsumexp(0) / len(v)),
        "you subtracted the logarithm of the batch size: K is the number of draws, the first axis of noise",
        _LOG_P.then(lambda v: v.logsumexp(0) - log(v.shape[1])),
        "you subtracted the logarithm of the number of latents: K is the number of draws, the first axis of noise",
        _EVIDENCE.but(evidence=lambda log_p, noise: log_p.logsumexp(0) - log(noise.shape[1])),
        "you subtracted the logarithm to base 2: all logarithms here are natural",
        _LOG_P.then(lambda v: v.logsumexp(0) - log2(len(v))),
        "exp underflows where x is far from every draw: subtract the largest logarithm first, or use logsumexp",
        _UNDERFLOWING,
        "the largest logarithm was subtracted and not added again",
        _EVIDENCE.but(evidence=lambda average: average.log()),
        "the largest logarithm was added inside the logarithm: add it again after the logarithm",
        _EVIDENCE.but(evidence=lambda top, average: (top + average).log()),
        "you divided by the number of observed dimensions: return log p(x) itself, in nats",
        _EVIDENCE.but(evidence=lambda top, average, d: (top + average.log()) / d),
        "a small number added to p(x), or a floor under it, hides how improbable x is: use logsumexp, which does not underflow",
        *[_after(naive, average=f) for naive in (_UNDERFLOWING, _UNDERFLOWING_SUM) for f in _stabilised(_SIZES)],
        _UNDERFLOWING.then(torch.nan_to_num),
        "a small number is added after the largest logarithm was subtracted: leave it out, as the sum is at least 1 there",
        *[_after(_EVIDENCE, average=f) for f in _plus(SMALL[4:])],
        "you subtracted the largest logarithm of the whole batch: examples differ, subtract each one's own, max over the draws",
        _EVIDENCE.but(top=lambda log_p: log_p.max()),
        "this is the evidence p(x): take its logarithm, without underflow",
        _UNDERFLOWING.but(evidence=lambda average: average),
        "½ log 2π is missing, once per observed dimension: without it this is no density",
        _EVIDENCE.but(constant=lambda d, log_std: d * log_std),
        "½ log 2π was subtracted once: every observed dimension has its own",
        _EVIDENCE.but(constant=lambda d, log_std: d * log_std + _HALF),
        "½ log 2π was subtracted once per latent: p(x|z) has one per observed dimension",
        _EVIDENCE.but(constant=lambda d, log_std, weight: d * log_std + weight.shape[1] * _HALF),
        "½ log π was subtracted: the constant holds log 2π",
        _EVIDENCE.but(constant=lambda d, log_std: d * (log_std + 0.5 * log(pi))),
        "− log σ is missing: the density of a normal is divided by σ, once per observed dimension",
        _EVIDENCE.but(constant=lambda d: d * _HALF),
        "log σ was subtracted once: every observed dimension has its own",
        _EVIDENCE.but(constant=lambda d, log_std: log_std + d * _HALF),
        "the constant ½ log 2πσ² was subtracted once: every observed dimension has its own",
        _EVIDENCE.but(constant=lambda log_std: log_std + _HALF),
        "the constant ½ log 2πσ² was subtracted once per latent: every observed dimension has its own",
        _EVIDENCE.but(constant=lambda log_std, weight: weight.shape[1] * (log_std + _HALF)),
        "the constant −½ log 2πσ² of the density is missing, once per observed dimension",
        _EVIDENCE.but(constant=lambda: 0.0),
        "the constant ½ log 2πσ² was added: a density is divided by √(2πσ²), so subtract it",
        _after(_EVIDENCE, constant=torch.neg),
        "you subtracted log 2πσ² per dimension: its factor ½ is missing",
        _EVIDENCE.but(constant=lambda d, log_std: 2 * d * (log_std + _HALF)),
        "you subtracted log 2π per dimension: its factor ½ is missing",
        _EVIDENCE.but(constant=lambda d, log_std: d * (log_std + 2 * _HALF)),
        "you subtracted 2 log σ per dimension: ½ log σ² is log σ",
        _EVIDENCE.but(constant=lambda d, log_std: d * (2 * log_std + _HALF)),
        "the constant holds log 2πσ² with σ squared: you wrote σ there",
        _EVIDENCE.but(constant=lambda d, log_std: d * (0.5 * log_std + _HALF)),
        "you squared log σ: log σ² is 2 log σ, the logarithm of a square",
        _EVIDENCE.but(constant=lambda d, log_std: d * (0.5 * log_std**2 + _HALF)),
        "log σ² is 2 log σ: you squared log σ, and the ½ is missing too",
        _EVIDENCE.but(constant=lambda d, log_std: d * (log_std**2 + _HALF)),
        "log σ has the wrong sign: it is subtracted",
        _EVIDENCE.but(constant=lambda d, log_std: d * (_HALF - log_std)),
        "the ½ before the squared distance is missing",
        _EVIDENCE.but(log_p=lambda squares, constant: -squares.sum(-1) - constant),
        "the distance is not squared",
        *[_after(_EVIDENCE, squares=torch.sqrt), _EVIDENCE.but(squares=lambda x, mean, std: (x - mean) / std)],
        "you divided the squared distance by σ: divide it by σ²",
        _EVIDENCE.but(squares=lambda x, mean, std: (x - mean).square() / std),
        "the squared distance is not divided by σ²",
        _EVIDENCE.but(squares=lambda x, mean: (x - mean).square()),
        "the squared distance was multiplied by σ²: divide by it (a / 2 * b is (a / 2) · b, so set brackets round 2σ²)",
        _EVIDENCE.but(squares=lambda x, mean, std: ((x - mean) * std).square()),
        "you took the variance for the scale: here std is σ, and log_prob of a normal takes σ too",
        _EVIDENCE.given(std=torch.square),
        "you took std for the variance σ²; it is σ",
        _EVIDENCE.given(std=torch.sqrt),
        "you took exp of std: here it is σ, not its logarithm",
        _EVIDENCE.given(std=torch.exp),
        "σ is positive as it comes: softplus, a clamp or a small number added makes it another σ",
        *[_EVIDENCE.given(std=softplus), _EVIDENCE.given(std=partial(torch.clamp, min=1e-2))],
        *[_EVIDENCE.given(std=f) for f in _plus(SMALL[3:])],
        "this takes minus the squared error for log p(x|z): that is −½ ((x − mean)/σ)² − ½ log 2πσ², summed",
        _EVIDENCE.but(log_p=lambda x, mean: -(x - mean).square().sum(-1)),
        _EVIDENCE.but(log_p=lambda x, mean: -0.5 * (x - mean).square().sum(-1)),
        _EVIDENCE.but(log_p=lambda x, mean: -(x - mean).square().mean(-1)),
        "the bias is missing: the mean of x given z is W z + b",
        _EVIDENCE.given(bias=torch.zeros_like),
        "the bias has the wrong sign: the mean of x given z is W z + b",
        _EVIDENCE.given(bias=torch.neg),
        "every draw meets every example: give the means an axis more, (noise @ weight.T + bias)[:, None]",
        _EVIDENCE.but(mean=lambda weight, bias, noise: noise @ weight.T + bias),
        _EVIDENCE.but(log_p=lambda x, mean, std: Normal(mean[:, 0], std).log_prob(x).sum(-1)),
        "you averaged the draws before the density: average p(x|z) over the draws",
        _EVIDENCE.given(noise=lambda z: z.mean(0, keepdim=True)),
        "you multiplied by p(z): the draws come from the prior already, so that it counts twice",
        _EVIDENCE.but(
            constant=lambda d, log_std, noise: d * (log_std + _HALF) + (0.5 * noise**2 + _HALF).sum(-1, True)
        ),
        "you averaged over the draws dimension by dimension: all dimensions share one z, so sum over them first",
        _APART.then(lambda v: v.sum(-1)),
        "you averaged over the observed dimensions: given z they are independent, so their log-densities add up",
        _after(_APART, log_p=lambda v: v.mean(-1)),
        "you did not sum over the observed dimensions: return one number per example",
        _APART,
        "you summed log p(x|z) over the draws or the batch: sum over the observed dimensions, the last axis",
        *[_after(_APART, log_p=lambda v: v.sum(0)), _after(_APART, log_p=lambda v: v.sum(1))],
        _APART.but(evidence=lambda log_p: log_p.sum(0).logsumexp(0) - log(len(log_p))),
        "you reduced over the batch: average over the draws, and keep one number per example",
        *[_LOG_P.then(lambda v: v.logsumexp(1) - log(v.shape[1])), _LOG_P.then(lambda v: v.logsumexp(1) - log(len(v)))],
        _LOG_P.then(lambda v: v.logsumexp((0, 1)) - log(len(v))),
        _LOG_P.then(lambda v: v.logsumexp((0, 1)) - log(v.numel())),
        "you summed log p(x|z) over the batch before the mean over the draws: every example has its own log p(x)",
        _after(_APART, log_p=lambda v: v.sum((1, 2))),
        "an axis of size 1 is too many at the front: reduce over the draws without keepdim=True",
        _EVIDENCE.then(lambda v: v[None]),
        "you averaged over the batch: return one number per example",
        _EVIDENCE.then(torch.mean),
        "you summed over the batch too: return one number per example",
        _EVIDENCE.then(torch.sum),
        "this is the best draw only: average p(x|z) over all of them",
        _EVIDENCE.but(evidence=lambda top: top),
        "this is a weighted mean of log p(x|z): take the log of the plain mean of p(x|z)",
        _LOG_P.then(lambda v: (v.softmax(0) * v).sum(0)),
        "these are fixed weights times log p(x|z): the gradient is that of log p(x), the value is not; return log p(x) itself",
        _LOG_P.then(lambda v: (v.softmax(0).detach() * v).sum(0)),
        "the weights grow where p(x|z) is small, as of a loss: take the log of the plain mean of p(x|z)",
        _LOG_P.then(lambda v: ((-v).softmax(0) * v).sum(0)),
        "you averaged 1 / p(x|z), as exp of losses: average p(x|z) itself, exp of minus the losses",
        *[_after(_EVIDENCE, log_p=torch.neg), _after(_EVIDENCE, log_p=torch.neg, evidence=torch.neg)],
        "the sign is flipped: return log p(x), not a loss",
        _EVIDENCE.then(torch.neg),
    ),
)


# 3. Bayes' rule on a grid

_POSTERIOR = Formula(
    "log_prior log_likelihood spacing",
    joint=lambda log_prior, log_likelihood: log_prior + log_likelihood,
    top=lambda joint: joint.amax(-1, keepdim=True),
    p=lambda joint, top: (joint - top).exp(),
    total=lambda p: p.sum(-1, keepdim=True),
    probability=lambda p, total: p / total,
    density=lambda probability, spacing: probability / spacing,
)
_UNSTABLE = _POSTERIOR.but(top=lambda: 0.0)
_UNSTABLE_INTEGRAL = _UNSTABLE.but(
    total=lambda p, spacing: spacing * p.sum(-1, keepdim=True), density=lambda probability: probability
)


def _posterior_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, points: int, spacing: float, scale: float) -> Arguments:
        return normal(generator, points), normal(generator, batch, points, scale=scale), spacing

    shapes = (4, 7, 0.25, 2.0), (1, 5, 0.1, 2.0), (5, 5, 2.0, 2.0), (2, 9, 0.05, 30.0), (3, 1, 0.5, 2.0)
    log_prior, log_likelihood, spacing = case(3, 6, 0.5, 2.0)
    apart = _numbers(0.0, -2000.0, 900.0)[:, None]  # examples of very different densities
    barred = _numbers(0.0, -torch.inf, 0.0, 0.0, -torch.inf)  # a prior of 0 at two points
    return [
        *(case(*shape) for shape in shapes),
        (log_prior, log_likelihood + apart, spacing),
        (log_prior - 800, log_likelihood, spacing),
        (barred, normal(generator, 2, 5), 0.2),
    ]


posterior_on_grid = Exercise(
    "posterior_on_grid",
    _POSTERIOR,
    _posterior_cases,
    wrong(
        "these are probabilities of grid points, which sum to 1: a density is probability per length, so divide by spacing",
        _POSTERIOR.but(density=lambda probability: probability),
        "you multiplied by the spacing: a density is probability per length, so divide by it",
        _POSTERIOR.but(density=lambda probability, spacing: probability * spacing),
        "you divided by the spacing twice",
        _POSTERIOR.but(density=lambda probability, spacing: probability / spacing**2),
        "you multiplied by the number of points, which is 1 / spacing only on a grid of length 1: divide by spacing",
        _POSTERIOR.but(density=lambda probability: probability * probability.shape[-1]),
        "you multiplied by the number of intervals, n − 1, which is 1 / spacing only on a grid of length 1: divide by spacing",
        _POSTERIOR.but(density=lambda probability: probability * (probability.shape[-1] - 1)),
        "you divided by the length of the whole grid: each probability is spread over one spacing",
        _POSTERIOR.but(density=lambda probability, spacing: probability / spacing / probability.shape[-1]),
        "you normalised over the batch: for each x, the posterior is a density over the grid, the last axis",
        _POSTERIOR.but(probability=lambda joint: joint.softmax(0)),
        "you normalised over batch and grid together: every x has its own posterior, which integrates to 1",
        _POSTERIOR.but(probability=lambda joint: joint.flatten().softmax(0).reshape(joint.shape)),
        _POSTERIOR.but(total=lambda p: p.sum()),
        "you divided by the Euclidean norm, as F.normalize does: divide by the sum",
        _POSTERIOR.but(total=lambda p: p.norm(dim=-1, keepdim=True)),
        "the sum over the grid lost its axis: keep it with keepdim=True, so that each x is divided by its own",
        *[base.but(total=lambda p: p.sum(-1)) for base in (_POSTERIOR, _UNSTABLE)],
        _POSTERIOR.but(probability=lambda joint: (joint - joint.logsumexp(-1)).exp()),
        "the prior is missing: you normalised the likelihood alone",
        _POSTERIOR.given(log_prior=torch.zeros_like),
        "this is the prior: nothing of the likelihood is in it",
        _POSTERIOR.given(log_likelihood=torch.zeros_like),
        _POSTERIOR.but(joint=lambda log_prior: log_prior),
        "this is the joint density p(x, z): divide it by p(x), its integral over z",
        _POSTERIOR.but(density=lambda joint: joint.exp()),
        "this is the joint density divided by spacing: divide it by p(x) = spacing · Σ p(x, z)",
        _POSTERIOR.but(density=lambda joint, spacing: joint.exp() / spacing),
        "this is p(x), or its logarithm, which belongs in the denominator: return p(x, z) / p(x), one number per grid point",
        _POSTERIOR.but(density=lambda joint, spacing: joint.exp().sum(-1) * spacing),
        _POSTERIOR.but(density=lambda joint, spacing: joint.logsumexp(-1) + log(spacing)),
        "you normalised the likelihood before the prior came in: multiply first, then normalise",
        _POSTERIOR.but(probability=lambda log_prior, log_likelihood: log_likelihood.softmax(-1) * log_prior.exp()),
        "you normalised prior and likelihood apart: multiply first, then normalise the product",
        _POSTERIOR.but(
            probability=lambda log_prior, log_likelihood: log_likelihood.softmax(-1) * log_prior.softmax(-1)
        ),
        "this is the logarithm of the posterior density: return the density",
        _POSTERIOR.but(density=lambda joint, spacing: joint.log_softmax(-1) - log(spacing)),
        "these are the logarithms of the probabilities: return a density, exp of them divided by spacing",
        _POSTERIOR.but(density=lambda joint: joint.log_softmax(-1)),
        "you subtracted the spacing itself from a logarithm: subtract its logarithm, or divide after exp",
        _POSTERIOR.but(density=lambda joint, spacing: (joint.log_softmax(-1) - spacing).exp()),
        "exp underflows or overflows where log p(x, z) is far from 0: subtract each row's largest first, or use softmax",
        _UNSTABLE,
        "you replaced NaN after the fact: exp has underflowed or overflowed; subtract each row's largest logarithm before exp",
        _UNSTABLE.then(torch.nan_to_num),
        "all probability lies on the best grid point: every point has its share",
        _POSTERIOR.but(probability=lambda joint: _most_probable(joint)),
        "this is the cumulative distribution: return the density",
        _POSTERIOR.but(density=lambda probability: probability.cumsum(-1)),
        _POSTERIOR.then(lambda v: v.cumsum(-1)),
        "a small number in the denominator does not mend an underflow: subtract each row's largest logarithm before exp",
        *[_after(unstable, total=f) for unstable in (_UNSTABLE, _UNSTABLE_INTEGRAL) for f in _stabilised(_SIZES)],
        "you subtracted the largest logarithm of the whole batch: rows far below it underflow; subtract each row's own",
        _POSTERIOR.but(top=lambda joint: joint.max()),
        "you subtracted the largest over the batch, which differs from grid point to grid point: take each row's, amax(-1, keepdim=True)",
        _POSTERIOR.but(top=lambda joint: joint.amax(0)),
        "exp(log_prior) underflows: add the logarithms first, then subtract the largest",
        _POSTERIOR.but(p=lambda log_prior, log_likelihood: log_prior.exp() * log_likelihood.softmax(-1)),
        "you clamped log_prior, or added a small number to exp of it: −∞ is a right value, and so is −800; leave it",
        _POSTERIOR.given(log_prior=partial(torch.clamp, min=-100)),
        *[_POSTERIOR.given(log_prior=_inside_log(f)) for f in _stabilised(_SIZES)],
        "you clamped log p(x, z), so that rows far from 0 lose their shape: subtract each row's largest before exp, or use softmax",
        *[_after(_POSTERIOR, joint=partial(torch.clamp, min=-b)) for b in (20, 50, 80, 100, 500, 700)],
        *[_after(_POSTERIOR, joint=partial(torch.clamp, min=-b, max=b)) for b in (20, 50, 80, 100, 500, 700)],
        "you multiplied the logarithms: densities multiply, so their logarithms add up",
        _POSTERIOR.but(joint=lambda log_prior, log_likelihood: log_prior * log_likelihood),
        "you multiplied the prior by the logarithm of the likelihood: add both logarithms",
        _POSTERIOR.but(joint=lambda log_prior, log_likelihood: log_prior.exp() * log_likelihood),
        "the prior was divided out: Bayes' rule multiplies the likelihood by it",
        _POSTERIOR.given(log_prior=torch.neg),
        "you added the prior itself to a logarithm: add its logarithm",
        *[_POSTERIOR.given(log_prior=torch.exp), _POSTERIOR.given(log_prior=lambda v: v.softmax(-1))],
        "the prior counts twice",
        _POSTERIOR.given(log_prior=lambda v: 2 * v),
        "you divided by the largest value: divide by the integral, the sum times spacing",
        _POSTERIOR.but(density=lambda p: p),
        "you divided by the largest value and by spacing: that is not normalised; divide by the sum and by spacing",
        _POSTERIOR.but(probability=lambda p: p),
        "you normalised the logarithms: take exp first",
        _POSTERIOR.but(p=lambda joint: joint),
        "the sign of the logarithms is flipped: the most probable latents got the smallest density",
        _after(_POSTERIOR, joint=torch.neg),
        "you used the trapezoidal rule, which halves both ends: here every grid point counts in full, Σ p · spacing = 1",
        _POSTERIOR.but(density=lambda p, spacing: p / torch.trapezoid(p, dx=spacing)[:, None]),
    ),
)


# 4. Fisher's identity for the means of a mixture

_E_STEP = Formula(
    "x weights means sigma",
    d=lambda x: x.shape[-1],
    offset=lambda x, means: x[:, None] - means,  # [n, K, d]
    distance=lambda offset: offset.square().sum(-1),  # ‖x_n − μ_k‖²: [n, K]
    exponent=lambda distance, sigma: -0.5 * distance / sigma**2,
    density=lambda exponent, d, sigma: exponent - d * sigma.log(),  # log p(x_n|k), up to a constant
    joint=lambda weights, density: weights.log() + density,
    top=lambda joint: joint.amax(-1, keepdim=True),
    p=lambda joint, top: (joint - top).exp(),
    total=lambda p: p.sum(-1, keepdim=True),
    r=lambda p, total: p / total,
)
_GRADIENT = Formula(
    "x weights means std",
    sigma=lambda std: std,
    **_E_STEP.steps,
    pulls=lambda r, offset: r[..., None] * offset,  # [n, K, d]
    pull=lambda pulls: pulls.sum(0),
    gradient=lambda pull, std: pull / std**2,
)
_DENSITIES: tuple[Step, ...] = (  # log p(x|k), with more and more of its constants; all components share the last
    lambda exponent, d, sigma: exponent,
    lambda exponent, d, sigma: exponent - d * sigma.log(),
    lambda exponent, d, sigma: exponent - d * sigma.log() - d * _HALF,
)


def _of_the_responsibilities(base: Formula, densities: Sequence[Step]) -> list[str | Answer]:
    """What goes wrong with them in Fisher's identity as in EM. densities: log p(x|k), with all constants that do no harm."""
    full = [base.but(density=density) for density in densities]
    naive = [one.but(top=lambda: 0.0) for one in full]
    small = (*SMALL, 1e-15)
    return [
        "give x an axis more, x[:, None] - means: every point meets every mean",
        base.but(offset=lambda x, means: x - means),
        base.but(density=lambda x, means, sigma: Normal(means, sigma[..., None]).log_prob(x)),
        "you normalised over the points: the responsibilities of one point sum to 1 over the components",
        base.but(r=lambda joint: joint.softmax(0)),
        "you normalised over points and components together: the responsibilities of each point sum to 1",
        base.but(r=lambda joint: joint.flatten().softmax(0).reshape(joint.shape)),
        "exp underflows far from all means, and 0/0 is NaN: normalise the logarithms, with softmax or logsumexp",
        *naive,
        "a small number in the denominator, or 0 for NaN, leaves a far point without responsibilities: normalise the logarithms, with softmax",
        *[_after(one, r=torch.nan_to_num) for one in naive],
        *[_after(one, total=f) for one in naive for f in _stabilised(small)],
        *[_after(one, total=partial(threshold, threshold=size, value=torch.inf)) for one in naive for size in small],
        "a small number beside p(x|k), or equal shares where exp underflows, make all components alike to a far point: use softmax",
        *[_after(one, density=_inside_log(f)) for one in full for f in _stabilised()],
        *[_after(one, joint=_inside_log(f)) for one in full for f in _plus((*SMALL, 1e-300))],
        "you subtracted the largest logarithm of the whole table: a far point still underflows; subtract each point's own largest",
        base.but(top=lambda joint: joint.max()),
        "these are weights times densities, not normalised: divide by their sum over the components",
        *[one.but(r=lambda joint: joint.exp()) for one in full],
        "the responsibilities are not normalised, the largest of each point is 1: divide by their sum over the components",
        base.but(r=lambda p: p),
        "these are logarithms where responsibilities belong: take exp and normalise, which softmax does at once",
        base.but(r=lambda joint: joint.log_softmax(-1)),
        *[one.but(r=lambda joint: joint) for one in full],
        "the responsibilities grow where log p(x, z) is small, as softmax of losses does: take softmax of the logarithms themselves",
        *[_after(one, joint=torch.neg) for one in full],
        "the ½ before the squared distance is missing in the responsibilities",
        base.but(exponent=lambda distance, sigma: -distance / sigma**2),
        "the squared distance has the wrong sign in the responsibilities: the nearer mean is the likelier",
        _after(base, exponent=torch.neg),
        "the squared distance in the responsibilities was divided by σ: divide it by σ²",
        base.but(exponent=lambda distance, sigma: -0.5 * distance / sigma),
        "the squared distance in the responsibilities is not divided by σ²",
        base.but(exponent=lambda distance: -0.5 * distance),
        "the squared distance in the responsibilities was multiplied by σ²: divide by it, with brackets round 2σ²",
        base.but(exponent=lambda distance, sigma: -0.5 * distance * sigma**2),
        "the distance in the responsibilities is not squared",
        base.but(exponent=lambda distance, sigma: -0.5 * distance.sqrt() / sigma),
        "you took ‖x − μ‖ in the responsibilities where its square belongs",
        base.but(exponent=lambda distance, sigma: -0.5 * distance.sqrt() / sigma**2),
        "you averaged the squared distance in the responsibilities over the coordinates: sum them",
        base.but(exponent=lambda distance, sigma, d: -0.5 * distance / d / sigma**2),
        base.but(density=lambda exponent, sigma, d: exponent / d - sigma.log()),
        "you squared the sum of the offsets in the responsibilities: square each coordinate, then sum",
        base.but(distance=lambda offset: offset.sum(-1).square()),
        "you added the weights to log-densities: add their logarithms",
        *[one.but(joint=lambda weights, density: weights + density) for one in full],
    ]


def _evidence_gradient_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, k: int, dimension: int, std: float, away: float | Tensor = 0.0) -> Arguments:
        x, means = normal(generator, n, dimension, scale=2.0) + away, normal(generator, k, dimension, scale=1.5)
        return x, _weights(generator, k), means, torch.tensor(std).double()

    shapes = (8, 3, 2, 1.4), (1, 2, 3, 1.7), (6, 4, 1, 0.8), (4, 1, 2, 0.6), (4, 4, 4, 2.5)
    mean, x = normal(generator, 1, 2), 0.1 + 0.2 * uniform(generator, 3, 1)
    return [
        *(case(*shape) for shape in shapes),
        *(case(n, 3, 2, 1.3, away) for n, away in ((5, 200.0), (1, 200.0), (2, _numbers(0.0, 200.0)[:, None]))),
        # at seven deviations, where a small number in a denominator is no longer small
        (mean + _numbers(4.2, 0.0), _numbers(1.0), mean, _numbers(0.6)[0]),
        # the nearest mean is not that of the most probable component
        (x, _numbers(0.9, 0.1), _numbers(-1.0, 1.0)[:, None], _numbers(1.2)[0]),
    ]


evidence_gradient = Exercise(
    "evidence_gradient",
    _GRADIENT,
    _evidence_gradient_cases,
    wrong(
        *_of_the_responsibilities(_GRADIENT, _DENSITIES),
        "the responsibilities lack the weights: the posterior is proportional to weight times density",
        _GRADIENT.given(weights=torch.ones_like),
        "you gave each point to its most probable component: weigh all components by the posterior",
        _GRADIENT.but(r=lambda joint: _most_probable(joint)),
        "you gave each point to its nearest mean: weigh all components by the posterior",
        _GRADIENT.but(r=lambda distance: _most_probable(-distance)),
        "you averaged over the points: log p of independent points is a sum, and so is its gradient",
        _GRADIENT.but(pull=lambda pulls: pulls.mean(0)),
        "you divided by σ: divide by σ²",
        _GRADIENT.but(gradient=lambda pull, std: pull / std),
        "the division by σ² is missing",
        _GRADIENT.but(gradient=lambda pull: pull),
        "you multiplied by σ²: divide by it",
        _GRADIENT.but(gradient=lambda pull, std: pull * std**2),
        "you took std for the variance σ² throughout: it is σ, so divide by its square",
        _GRADIENT.given(std=torch.sqrt),
        "you squared σ twice: std is σ, so std**2 is the variance already",
        _GRADIENT.given(std=torch.square),
        "you took exp of std: here it is σ, not its logarithm",
        _GRADIENT.given(std=torch.exp),
        "the sign is flipped: log p grows when a mean moves towards its points, x − μ",
        _GRADIENT.then(torch.neg),
        "there is a factor 2 too much: the ½ of the log-density cancels the 2 of the square",
        _GRADIENT.then(lambda v: 2 * v),
        "there is a ½ too much: it cancels against the 2 of the square",
        _GRADIENT.then(lambda v: v / 2),
        "you averaged over the prior p(z): Fisher's identity averages over the posterior p(z|x)",
        _GRADIENT.but(r=lambda x, weights: weights.expand(len(x), -1)),
        "every component pulls at every point with weight 1: the responsibilities are missing",
        _GRADIENT.but(pulls=lambda offset: offset),
        "the weights count twice: the responsibilities hold them already",
        _GRADIENT.but(pull=lambda pulls, weights: (weights[:, None] * pulls).sum(0)),
        "you multiplied by the weights after normalising: the responsibilities no longer sum to 1",
        _GRADIENT.but(r=lambda density, weights: weights * density.softmax(-1)),
        "you computed responsibilities coordinate by coordinate: one component made the whole point, so sum over them first",
        _GRADIENT.but(
            r=lambda weights, offset, std: (weights.log()[:, None] - 0.5 * (offset / std).square()).softmax(1),
            pulls=lambda r, offset: r * offset,
        ),
        "the mean was not subtracted: the gradient of log N(x; μ, σ²) by μ is (x − μ)/σ²",
        _GRADIENT.but(pull=lambda r, x: r.T @ x),
        "μ_k was subtracted once: subtract it from every point, Σ_n r_nk (x_n − μ_k)",
        _GRADIENT.but(pull=lambda r, x, means: r.T @ x - means),
        "the gradient went through the responsibilities too: r must be held fixed, so detach it",
        torch.func.grad(_GRADIENT.but(gradient=lambda r, joint: (r * joint).sum()), argnums=2),
        torch.func.grad(_GRADIENT.but(gradient=lambda r, density: (r * density).sum()), argnums=2),
        "you divided by the sum of the responsibilities: this is a step of EM divided by σ², not the gradient",
        _GRADIENT.but(gradient=lambda pull, std, r: pull / std**2 / r.sum(0)[:, None]),
        "you divided by the sum of the responsibilities in place of σ²: this is a step of EM, not the gradient",
        _GRADIENT.but(gradient=lambda pull, r: pull / r.sum(0)[:, None]),
        "these are the new means of EM, not the gradient: it is Σ_n r_nk (x_n − μ_k) / σ²",
        _GRADIENT.but(gradient=lambda r, x: r.T @ x / r.sum(0)[:, None]),
        "you did not sum over the points: return one row per component",
        _GRADIENT.but(pull=lambda pulls: pulls),
        "you summed over the components: every mean has its own gradient",
        *[_after(_GRADIENT, gradient=lambda v: v.sum(0)), _GRADIENT.but(pull=lambda pulls: pulls.sum(1))],
    ),
)


# 5. one step of EM

_EM = Formula(
    "x weights means stds",
    sigma=lambda stds: stds,
    **_E_STEP.steps,
    count=lambda r: r.sum(0),
    new_weights=lambda count, x: count / len(x),
    share=lambda count: count,
    new_means=lambda r, x, share: r.T @ x / share[:, None],
    squares=lambda x, new_means: (x[:, None] - new_means).square(),  # [n, K, d]
    spread=lambda r, squares: (r[..., None] * squares).sum(0),  # [K, d]
    divisor=lambda d, count: d * count,
    variance=lambda spread, divisor: spread.sum(-1) / divisor,
    new_stds=lambda variance: variance.sqrt(),
    result=lambda new_weights, new_means, new_stds: (new_weights, new_means, new_stds),
)
_ABOUT_THE_OLD = _EM.but(squares=lambda offset: offset.square())
_UNSQUARED = _EM.but(spread=lambda r, squares: (r * squares.sum(-1).sqrt()).sum(0)[:, None])  # of ‖x − μ‖


def _em_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, k: int, dimension: int) -> Arguments:
        x, means = normal(generator, n, dimension, scale=2.0), normal(generator, k, dimension)
        return x, _weights(generator, k), means, 0.7 + 1.5 * uniform(generator, k)

    def around(x: Tensor, means: Tensor, *stds: float) -> Arguments:
        return x, torch.ones_like(means) / len(means), means[:, None].expand(-1, x.shape[-1]).clone(), _numbers(*stds)

    ends = _numbers(-1.0, 1.0)
    return [
        *(case(*shape) for shape in ((12, 3, 2), (20, 4, 3), (9, 2, 1), (5, 1, 3), (6, 4, 4))),
        # every density underflows, for all points alike the second time
        around(10 * ends.repeat(4)[:, None] + normal(generator, 8, 2), 7 * ends, 0.05, 0.04),
        around(40 + 0.01 * ends[:, None], 0.01 * ends, 1.0, 1.0),
        around(2e-5 * ends[:, None], _numbers(0.0), 1e-4),  # a very narrow component
        around(5 + 0.1 * ends[:, None], _numbers(5.0, 11.65), 1.0, 1.0),  # one that answers for almost no point
    ]


em_step = Exercise(
    "em_step",
    _EM,
    _em_cases,
    wrong(
        *_of_the_responsibilities(_EM, _DENSITIES[1:]),
        "the standard deviations were computed about the old means: use the new ones",
        _ABOUT_THE_OLD,
        "the division by d is missing: ‖x − μ‖² holds d squares, and σ² is the variance of one coordinate",
        _EM.but(divisor=lambda count: count),
        "you returned variances: take the square root",
        _EM.but(new_stds=lambda variance: variance),
        "you returned the mean squared distances: divide by d and take the square root",
        _EM.but(new_stds=lambda spread, count: spread.sum(-1) / count),
        "you divided the standard deviation by d, or the variance twice: σ² is the mean squared distance divided by d, once",
        _EM.but(divisor=lambda d, count: d**2 * count),
        "you took the number of points, x.shape[0], for d: the coordinates are the last axis",
        *[_EM.but(d=lambda x: len(x)), _EM.but(divisor=lambda x, count: len(x) * count)],
        _EM.but(d=lambda x: len(x), divisor=lambda x, count: x.shape[-1] * count),
        "the responsibilities lack the factor σ_k⁻ᵈ of the density: it differs from component to component",
        _EM.but(density=lambda exponent: exponent),
        "the density in the responsibilities was divided by σ once: in d dimensions it is divided by σᵈ",
        _EM.but(density=lambda exponent, sigma: exponent - sigma.log()),
        "the density in the responsibilities was divided by σ²ᵈ: log σ² stands there with a factor ½",
        _EM.but(density=lambda exponent, sigma, d: exponent - 2 * d * sigma.log()),
        "log σ has the wrong sign in the responsibilities: a density is divided by σᵈ",
        _EM.but(density=lambda exponent, sigma, d: exponent + d * sigma.log()),
        "half of log σ is missing in the responsibilities: the constant of the density is −½ d log 2πσ², with σ squared",
        _EM.but(density=lambda exponent, sigma, d: exponent - 0.5 * d * sigma.log()),
        "you took stds for variances in the responsibilities: they are standard deviations",
        _EM.given(stds=torch.sqrt),
        "you squared stds before the responsibilities: they are standard deviations, as Normal takes them",
        _EM.given(stds=torch.square),
        "you took exp of stds: here they are standard deviations, not their logarithms",
        _EM.given(stds=torch.exp),
        "the means were divided by n: divide by N_k, the points that the component answers for",
        _EM.but(new_means=lambda r, x: r.T @ x / len(x)),
        "the means are not divided by N_k: a weighted mean is divided by the sum of its weights",
        _EM.but(new_means=lambda r, x: r.T @ x),
        "N_k needs an axis more beside the means, count[:, None]: each row is divided by its own",
        _EM.but(new_means=lambda r, x, count: r.T @ x / count),
        "N_k is the sum of the responsibilities over the points, not their mean: n must come out, added up over k",
        _EM.but(count=lambda r: r.mean(0)),
        "a small number in N_k moves a component that answers for few points: N_k is above 0, so divide by it as it is",
        *[_after(_EM, count=f) for f in (*_plus(SMALL[:2]), *_stabilised(SMALL[2:]))],
        *[_after(_EM.but(new_weights=lambda r: r.mean(0)), count=f) for f in _stabilised(SMALL[2:])],
        *[_after(_EM, share=f, divisor=f) for f in _plus()],
        "you gave each point to its most probable component: EM shares it among all",
        _EM.but(r=lambda joint: _most_probable(joint)),
        "this is a step of k-means: EM shares each point among all components",
        _EM.but(r=lambda distance: _most_probable(-distance)),
        "the responsibilities lack the old weights: the posterior is proportional to weight times density",
        _EM.given(weights=torch.ones_like),
        "log π_k was added before the sum over the coordinates, so that it counts d times: add it after",
        _EM.but(joint=lambda weights, density, d: d * weights.log() + density),
        "the weights sum to n: divide N_k by n",
        _EM.but(new_weights=lambda count: count),
        "you divided N_k by the number of components: divide it by n, the number of points",
        _EM.but(new_weights=lambda count: count / len(count)),
        "the weights are the old ones: the new ones are N_k / n",
        _EM.but(new_weights=lambda weights: weights),
        "only the means moved: EM updates weights and standard deviations too",
        _EM.but(new_weights=lambda weights: weights, new_stds=lambda stds: stds),
        "the standard deviations are the old ones: EM updates them too",
        _EM.but(new_stds=lambda stds: stds),
        "the mean was not subtracted in the variance",
        _EM.but(squares=lambda x: x[:, None].square()),
        "you divided by N_k − 1: EM maximises the likelihood, which divides by N_k",
        *[_EM.but(divisor=lambda d, count: d * (count - 1)), _EM.but(divisor=lambda d, count: d * count - 1)],
        "the distance in the variance is not squared",
        _UNSQUARED,
        "you took the root before the mean over the points: average the squared distances, then take the root",
        _UNSQUARED.but(new_stds=lambda spread, d, count: spread.sum(-1) / d**0.5 / count),
        "these are mean distances: average the squared distances, divide by d, then take the root",
        _UNSQUARED.but(new_stds=lambda variance, d: d * variance),
        _UNSQUARED.but(new_stds=lambda variance: variance),
        "all components got one standard deviation: each has its own",
        _EM.but(new_stds=lambda new_weights, variance: (new_weights @ variance).sqrt().expand_as(variance)),
        "you averaged standard deviations over the coordinates: average the variances, then take the square root",
        _EM.but(new_stds=lambda spread, count: (spread / count[:, None]).sqrt().mean(-1)),
        "you returned one standard deviation per coordinate: the components are round, so average the variances over them",
        _EM.but(new_stds=lambda spread, count: (spread / count[:, None]).sqrt()),
        "the variances were divided by n: divide by N_k, the points that the component answers for",
        _EM.but(divisor=lambda d, x: d * len(x)),
        "the variances are not divided by N_k: a weighted mean is divided by the sum of its weights",
        _EM.but(divisor=lambda d: d),
        "the variances are divided neither by N_k nor by d: divide the weighted sum of ‖x − μ‖² by both",
        _EM.but(divisor=lambda: 1.0),
        "you multiplied by N_k, as a / d * N is (a / d) · N: set brackets round d N_k",
        _EM.but(divisor=lambda d, count: d / count),
        "the squared distances are not weighted by the responsibilities in the variance",
        _EM.but(variance=lambda squares: squares.mean((0, 2))),
        "you squared the responsibilities too: square the offset, then weigh it",
        _EM.but(spread=lambda r, squares: (r[..., None].square() * squares).sum(0)),
        "a small number in the variance, or a floor, keeps a component from its own width: return the root of it as it is",
        *[_after(_EM, variance=f) for f in (*_plus(SMALL[1:2]), *_stabilised(SMALL[2:]))],
        *[_after(_EM, new_stds=f) for f in _plus(SMALL[5:])],
        "you returned logarithms of the standard deviations or variances: return the standard deviations themselves",
        *[_after(_EM, new_stds=torch.log), _EM.but(new_stds=lambda variance: variance.log())],
        "every component got the mean of all points: weigh the points by the responsibilities",
        _EM.but(new_means=lambda x, means: x.mean(0).expand_as(means)),
        "you computed the responsibilities anew after moving the means: one step of EM uses those of the old parameters",
        _EM.but(new_stds=lambda x, weights, new_means, stds: _ABOUT_THE_OLD(x, weights, new_means, stds)[2]),
        "you computed the responsibilities anew before each update: weights, means and deviations share those of the old parameters",
        _EM.but(
            new_means=lambda x, new_weights, means, stds: _EM(x, new_weights, means, stds)[1],
            new_stds=lambda x, new_weights, new_means, stds: _ABOUT_THE_OLD(x, new_weights, new_means, stds)[2],
        ),
        "weights and means are exchanged: return the weights first, then the means, then the standard deviations",
        _EM.then(lambda v: (v[1], v[0], v[2])),
        "you returned the weights last: the order is weights, means, standard deviations",
        _EM.then(lambda v: (v[1], v[2], v[0])),
        "means and standard deviations are exchanged: the order is weights, means, standard deviations",
        _EM.then(lambda v: (v[0], v[2], v[1])),
        "the means are transposed: every row is a component, [K, d]",
        _EM.then(lambda v: (v[0], v[1].T, v[2])),
    ),
    results=("weights", "means", "standard deviations"),
)


# 6. pixels drawn one after another by a fully visible sigmoid belief net, from the first ones on


def _one_by_one(begin: Tensor, pixels: Sequence[int], uniforms: Tensor, chance: Step, bit: Step) -> Tensor:
    out = begin.clone()
    for i in pixels:
        out[:, i] = bit(uniforms[:, i], chance(out, i))
    return out


def _chance(part: Callable[[Tensor, Tensor, int], Tensor], squash: Change = torch.sigmoid) -> Step:
    """How the probability of a pixel comes from the picture and W: part makes the sum over pixels."""
    return lambda weight, bias: lambda out, i: squash(part(out, weight, i) + bias[i])


_COMPLETION = Formula(
    "x known weight bias uniforms",
    begin=lambda x: x,
    pixels=lambda known, x: range(known, x.shape[1]),
    chance=_chance(lambda out, weight, i: out[:, :i] @ weight[i, :i]),
    bit=lambda: lambda u, p: (u < p).double(),
    out=_one_by_one,
)


def _frozen(chance: Step, begin: Tensor, known: int) -> Step:
    """As if no pixel after the known ones had been drawn."""
    given = begin * (torch.arange(begin.shape[1]) < known)
    return lambda _, i: chance(given, i)


def _probabilities(begin: Tensor, pixels: Sequence[int], uniforms: Tensor, chance: Step, bit: Step) -> Tensor:
    """The pictures as they should be drawn, with probabilities in place of the bits drawn."""
    drawn, out = _one_by_one(begin, pixels, uniforms, chance, bit), begin.clone()
    for i in pixels:
        out[:, i] = chance(drawn, i)
    return out


def _thresholded(x: Tensor, known: int, out: Tensor, uniforms: Tensor) -> Tensor:
    """Bits drawn from probabilities after the known pixels."""
    return torch.where(torch.arange(x.shape[1]) < known, x, (uniforms < out).double())


def _complete_picture_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, size: int, known: int, scale: float = 1.0) -> Arguments:
        weight, bias = normal(generator, size, size, scale=scale), normal(generator, size)
        return bits(generator, n, size), known, weight, bias, uniform(generator, n, size)

    return [
        case(40, 8, 3),
        case(30, 6, 0),  # nothing is known
        case(5, 4, 4),  # all is known
        case(1, 9, 2),
        case(60, 12, 5, 3.0),
        case(20, 5, 4),
    ]


complete_picture = Exercise(
    "complete_picture",
    _COMPLETION,
    _complete_picture_cases,
    wrong(
        "later pixels are not drawn yet: of row i of W only the part before i counts, weight[i, :i]",
        _COMPLETION.but(chance=_chance(lambda out, weight, i: out @ weight[i])),
        "pixel i does not depend on itself: the sum ends at i − 1, weight[i, :i]",
        _COMPLETION.but(chance=_chance(lambda out, weight, i: out[:, : i + 1] @ weight[i, : i + 1])),
        "the sum lacks pixel i − 1: it runs over all before i, weight[i, :i]",
        _COMPLETION.but(chance=_chance(lambda out, weight, i: out[:, : max(i - 1, 0)] @ weight[i, : max(i - 1, 0)])),
        "you took a column of W: row i holds the weights of pixel i",
        _COMPLETION.given(weight=lambda w: w.T),
        "only the pixel just before was used: the sum runs over all before i",
        _COMPLETION.but(
            chance=_chance(lambda out, weight, i: out[:, i - 1] * weight[i, i - 1] if i else out[:, 0] * 0)
        ),
        "only the known pixels were used: a drawn pixel counts for those after it",
        _COMPLETION.but(
            out=lambda begin, known, pixels, uniforms, chance, bit: _one_by_one(
                begin, pixels, uniforms, _frozen(chance, begin, known), bit
            )
        ),
        "you used what x holds after the known pixels: a pixel depends on those that were drawn before it",
        _COMPLETION.but(
            out=lambda begin, pixels, uniforms, chance, bit: _one_by_one(
                begin, pixels, uniforms, lambda _, i: chance(begin, i), bit
            )
        ),
        "the known pixels were drawn anew: keep them",
        _COMPLETION.given(known=lambda known: 0),
        "pixel `known` was kept: the first `known` pixels are 0 to known − 1",
        _COMPLETION.given(known=lambda known: known + 1),
        "the last known pixel was drawn anew: keep the first `known` pixels, 0 to known − 1",
        _COMPLETION.given(known=lambda known: max(known - 1, 0)),
        "these are probabilities: draw, with 1 where the uniform is below",
        _COMPLETION.but(out=_probabilities),
        "probabilities were put into the sum: a pixel depends on the pixels drawn, which are 0 or 1",
        _COMPLETION.but(bit=lambda: lambda u, p: p, thresholded=_thresholded),
        "you took the more probable value: draw, by the uniform",
        _COMPLETION.but(bit=lambda: lambda u, p: (p > 0.5).double()),
        "1 and 0 are exchanged: a pixel is 1 where its uniform is below the probability",
        _COMPLETION.but(bit=lambda: lambda u, p: (u > p).double()),
        "the bias is missing",
        _COMPLETION.given(bias=torch.zeros_like),
        "the weights were not used: the sum over earlier pixels is missing",
        _COMPLETION.given(weight=torch.zeros_like),
        "the sum was compared with the uniform: take its sigmoid first",
        _COMPLETION.but(chance=_chance(lambda out, weight, i: out[:, :i] @ weight[i, :i], lambda logit: logit)),
        "sigmoid, not exp, makes a probability of the sum",
        _COMPLETION.but(chance=_chance(lambda out, weight, i: out[:, :i] @ weight[i, :i], torch.exp)),
        "sigmoid, not softmax: each pixel of each picture has a probability of its own",
        _COMPLETION.but(
            chance=_chance(lambda out, weight, i: out[:, :i] @ weight[i, :i], lambda logit: logit.softmax(0))
        ),
        "all pixels of a picture share one uniform: each has its own, uniforms[:, i]",
        _COMPLETION.given(uniforms=lambda u: u[:, :1].expand_as(u)),
        "all pictures share the uniforms of the first: each has its own row",
        _COMPLETION.given(uniforms=lambda u: u[:1].expand_as(u)),
    ),
)
