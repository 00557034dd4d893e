"""The first sheet: what a wrong table costs, the log-density of a normal by hand, a table of them, an expectation with its error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp, log, pi, sqrt
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Normal
from torch.nn.functional import gaussian_nll_loss, kl_div, softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, Mistake, wrong
from vae_course.exercises.parts import Formula, Step, SumOf, named, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. the bits that a code for q wastes on outcomes from p

_wasted = Formula(
    "p q",
    log_p=lambda p: torch.where(p > 0, p, 1.0).log2(),
    log_q=lambda q: q.log2(),
    inside=lambda p, log_p, log_q: p * (log_p - log_q),
    wasted=lambda inside: inside.sum(-1),
)
_wasted_apart = _wasted.but(wasted=lambda inside: inside)
_of_lengths = _wasted.but(log_q=lambda q: -(-q.log2()).ceil())


def _bits_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, k: int, never: int = 0, rare: float = 0.0) -> Arguments:
        """never: how many outcomes p excludes; rare: the probability that q gives to the last one."""
        p, q = ((0.05 + uniform(generator, batch, k)) ** 2 for _ in range(2))
        p[:, :never] = 0
        q[:, -1] = torch.where(torch.tensor(rare > 0), rare, q[:, -1])
        return p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)

    return [case(4, 3), case(1, 5), case(3, 3), case(3, 4, never=1), case(2, 6, never=3), case(3, 4, rare=1e-13)]


def _kept(small: float) -> list[Answer]:
    """q with a constant added to it or a clamp, alone or with p."""
    return [
        _wasted.but(log_q=lambda q: (q + small).log2()),
        _wasted.but(log_q=lambda q: q.clamp(min=small).log2()),
        _wasted.but(log_q=lambda q: (q + small).log2(), log_p=lambda p: (p + small).log2()),
    ]


bits_wasted = Exercise(
    "bits_wasted",
    _wasted,
    _bits_cases,
    wrong(
        "p and q are exchanged: the outcomes come from p, and the code was made for q",
        lambda p, q: _wasted(q, p),
        lambda p, q: _wasted(q, p) * log(2),
        "this is in nats: divide by log 2, or take log2",
        _wasted.then(partial(torch.mul, other=log(2))),
        "this was multiplied by log 2 where it is to be divided: a nat is 1.44 bits",
        _wasted.then(partial(torch.mul, other=log(2) ** 2)),
        "the logarithm is to base 10: bits are counted with base 2",
        _wasted.then(partial(torch.mul, other=log(2) / log(10))),
        "this is the whole length of the code, −Σ p log₂ q: subtract what the right code would have taken",
        _wasted.but(inside=lambda p, log_q: -p * log_q),
        "this is the entropy of p, what the right code takes: q is not in it",
        _wasted.but(inside=lambda p, log_p: -p * log_p),
        "the two lengths were added: what is wasted is their difference",
        _wasted.but(inside=lambda p, log_p, log_q: -p * (log_p + log_q)),
        "the sign is flipped: a wrong table never saves anything on average",
        _wasted.then(torch.neg),
        "this is the difference of two entropies: the outcomes of the wrong code come from p too",
        _wasted.but(inside=lambda p, q, log_p, log_q: p * log_p - q * log_q),
        _wasted.but(inside=lambda p, q, log_p, log_q: q * log_q - p * log_p),
        "the outcomes were weighted with q: they come from p",
        _wasted.but(inside=lambda q, log_p, log_q: q * (log_p - log_q)),
        "the weights p(i) are missing: every outcome counts as often as it comes",
        _wasted.but(inside=lambda log_p, log_q: log_p - log_q),
        _wasted.but(inside=lambda log_p, log_q: log_p - log_q, wasted=lambda inside: inside.mean(-1)),
        "absolute values were summed: an outcome may cost less with the wrong table, and that counts",
        _wasted.but(inside=lambda p, log_p, log_q: p * (log_p - log_q).abs()),
        "the lengths were rounded up: here they need not be whole",
        _of_lengths,
        _of_lengths.but(log_p=lambda p: -(-torch.where(p > 0, p, 1.0).log2()).ceil()),
        "you took the logarithm of the sum: sum the logarithms, each with its weight",
        _wasted.but(inside=lambda p, q: p * p / q, wasted=lambda inside: inside.sum(-1).log2()),
        "the logarithm is missing: p/q or p − q stands where log₂ p − log₂ q belongs",
        _wasted.but(inside=lambda p, q: p * p / q),
        _wasted.but(inside=lambda p, q: p * (p - q)),
        "you averaged over the outcomes: the weights p(i) sum to 1 already, so sum",
        _wasted_apart.then(lambda inside: inside.mean(-1)),
        "you summed over the batch: sum over the outcomes, the last axis, for one number per row",
        *[
            _wasted_apart.then(change)
            for change in (torch.sum, torch.mean, partial(torch.sum, dim=0), partial(torch.mean, dim=0))
        ],
        "you did not sum over the outcomes: return one number for every row, [batch]",
        _wasted_apart,
        "0 · log 0 became NaN: an outcome that never comes costs nothing; torch.special.xlogy(p, p) knows that",
        _wasted.but(log_p=lambda p: p.log2()),
        _wasted.but(inside=lambda p, q: p * (p / q).log2()),
        "a small constant was added to q, or q was clamped: where q is small, that is another code",
        *[answer for small in SMALL for answer in _kept(small)],
        "kl_div takes log q first and then p, averages over everything unless told, and is in nats: reduction='none', sum over the last axis, divide by log 2",
        *[lambda p, q, r=r: kl_div(q.log(), p, reduction=r) for r in ("batchmean", "sum")],
        lambda p, q: kl_div(q.log(), p, reduction="none").mean(),
        lambda p, q: kl_div(q.log2(), p, reduction="none").sum(-1),
        lambda p, q: kl_div(q, p, reduction="none").sum(-1),
        lambda p, q: kl_div(q, p, reduction="none").sum(-1) / log(2),
        "softmax was taken of probabilities: they sum to 1 as they are",
        lambda p, q: _wasted(p.softmax(-1), q.softmax(-1)),
        _wasted.but(log_q=lambda q: q.log_softmax(-1) / log(2)),
    ),
    tolerance=1e-9,
    written=SumOf(
        "p q",
        right=lambda p: torch.special.xlogy(p, p).sum(-1) / log(2),
        spent=lambda p, q: -(p * q.log2()).sum(-1),
    ),
)


# 2. log N(x; μ, diag σ²) by hand

CONSTANT = -0.5 * log(2 * pi)
NATS = (1 / log(2), 1 / log(10))  # what makes of a natural logarithm one to another base


def _normal(
    factor: float = -0.5, power: int = 2, over: int = 2, log_std: float = -1, constant: float = CONSTANT
) -> Formula:
    """The log-density in steps, with numbers in it that can be wrong."""
    return Formula(
        "x mean std",
        square=lambda x, mean, std: factor * (x - mean) ** power / std**over,
        logarithm=lambda std: log_std * std.log(),
        constant=lambda: constant,
        terms=lambda square, logarithm, constant: square + logarithm + constant,
        result=lambda terms: terms.sum(-1),
    )


_log_density = _normal()
_written = SumOf(
    "x mean std",
    square=lambda x, mean, std: -((x - mean) ** 2 / (2 * std**2)).sum(-1),
    logarithm=lambda std: -std.log().sum(-1),
    constant=lambda x: x.shape[-1] * CONSTANT,
)
_parts = _log_density.but(result=lambda terms: terms)  # the coordinates apart
_density = Formula(
    "x mean std",
    bell=lambda x, mean, std: (-0.5 * ((x - mean) / std) ** 2).exp(),
    each=lambda bell, std: bell / (std * sqrt(2 * pi)),
    density=lambda each: each.prod(-1),
)
_DENSITIES = [
    _density,
    _density.but(density=lambda bell, std: bell.prod(-1) / (std * sqrt(2 * pi)).prod(-1)),
    _density.but(density=lambda bell, std: bell.prod(-1) / ((2 * pi) ** (std.shape[-1] / 2) * std.prod(-1))),
    _log_density.but(density=lambda result: result.exp()),
]


def _kept_from_0(small: float) -> list[Answer]:
    """The logarithm of densities, which round to 0, with a constant added to them or a clamp."""
    apart = _density.but(density=lambda each: each)
    return [
        _density.then(lambda d: (d + small).log()),
        _density.then(lambda d: d.clamp(min=small).log()),
        apart.then(lambda d: (d + small).log().sum(-1)),
        apart.then(lambda d: d.clamp(min=small).log().sum(-1)),
    ]


_UNDERFLOWS: list[Answer] = [
    *[d.then(torch.log) for d in _DENSITIES],
    *[a for small in (0, *SMALL) for a in _kept_from_0(small)],
]


def _less(whole: Callable[[Tensor], Tensor], constant: float = CONSTANT) -> Formula:
    """whole: of σ, what is subtracted for the sum of its logarithms."""
    return _normal(log_std=0, constant=constant).but(result=lambda terms, std: terms.sum(-1) - whole(std))


_LOGS_OF_PRODUCTS = [
    _less(lambda std: std.prod(-1).log()),
    _less(lambda std: 0.5 * std.square().prod(-1).log()),
    _less(lambda std: ((2 * pi) ** (std.shape[-1] / 2) * std.prod(-1)).log(), constant=0),
    _less(lambda std: (std * sqrt(2 * pi)).prod(-1).log(), constant=0),
]


def _without_log(times: float, power: int, constant: float = CONSTANT) -> Formula:
    return _normal(constant=constant).but(logarithm=lambda std: times * std**power)


def _once(times: float) -> Formula:
    """The constant counted so many times, whatever the number of coordinates."""
    return _normal(constant=0).but(result=lambda terms: terms.sum(-1) + times * CONSTANT)


_WITHOUT_LOG = [_without_log(*a) for a in ((0, 1), (-1, 1), (-1, 2), (-0.5, 2), (-1, -1), (-pi, 2, 0), (-2 * pi, 2, 0))]
_CONSTANTS = [
    *[_normal(constant=c * CONSTANT) for c in (2, -1, -2, 0.5, 4)],
    *[_normal(constant=c) for c in (-0.5 * log(pi), -log(pi), -pi, -2 * pi, -0.5 * log(2) * pi, -0.5 * log(2))],
    *[_normal(constant=c) for c in (-sqrt(2 * pi), -0.5 / log(2 * pi), -0.5, -1 / sqrt(2 * pi), 1 / sqrt(2 * pi))],
    *map(_once, (1, 2, -1)),
    _log_density.but(constant=lambda x: len(x) * CONSTANT),
    _log_density.but(constant=lambda x: x.shape[-1] * CONSTANT),
    _normal(constant=0).but(result=lambda terms, x: terms.sum(-1) + len(x) * CONSTANT),
    _normal(constant=0).but(result=lambda terms, mean: terms.sum(-1) + len(mean) * CONSTANT),
]


def _of_nll(full: bool, reduction: str, power: int = 2) -> Answer:
    return lambda x, mean, std: -gaussian_nll_loss(mean, x, std**power, full=full, reduction=reduction).sum(-1)


def _stabilised(small: float) -> list[Answer]:
    """σ with a constant added to it or a clamp, everywhere or in one term."""
    return [
        _log_density.given(std=lambda std: std + small),
        _log_density.given(std=lambda std: std.clamp(min=small, max=1 / small)),
        _log_density.given(std=lambda std: (std.square() + small).sqrt()),
        _log_density.but(logarithm=lambda std: -(std + small).log()),
        _log_density.but(square=lambda x, mean, std: -0.5 * (x - mean) ** 2 / (std**2 + small)),
        _log_density.but(square=lambda x, mean, std: -0.5 * ((x - mean) / (std + small)) ** 2),
    ]


_OF_TERMS = wrong(  # both of one density and of a table of them
    "(x − μ)² is to be divided by σ², and here it is not: ((x - mean) / std)**2 does it, with these brackets",
    *[_normal(over=o) for o in (1, 0, -2, -1, 4)],
    "the factor before the square ((x − μ)/σ)² is −½: yours is another, or has the wrong sign",
    *map(_normal, (-1, 0.5, 1, 2, -2, -0.125)),
    "the −½ was squared too: the square is of (x − μ)/σ alone",
    *map(_normal, (0.25, -0.25)),
    "(x − μ)/σ is not squared in every coordinate: square first, then sum",
    *[_normal(factor, 1, over) for factor in (-0.5, -1) for over in (1, 2)],
    _log_density.but(square=lambda x, mean, std: -0.5 * ((x - mean) / std).abs()),
    _log_density.but(square=lambda x, mean, std: -((x - mean) / std).abs()),
    _normal(0).but(result=lambda terms, x, mean, std: terms.sum(-1) - 0.5 * ((x - mean) / std).sum(-1) ** 2),
    _normal(0).but(result=lambda terms, x, mean, std: terms.sum(-1) - 0.5 * ((x - mean) / std).norm(dim=-1)),
    "a logarithm to another base was used: in nats every logarithm is the natural one, torch.log",
    *[_log_density.then(partial(torch.mul, other=k)) for k in NATS],
    *[_normal(log_std=-a, constant=b * CONSTANT) for k in NATS for a, b in ((k, 1), (1, k), (k, k))],
    "μ is subtracted from x before the square: here it is added, or missing",
    *[_log_density.given(mean=torch.neg), _log_density.given(mean=torch.zeros_like)],
    "mean and std are exchanged: μ is subtracted from x, and σ divides",
    lambda x, mean, std: _log_density(x, std, mean),
    "the normal has √σ for its standard deviation: Normal takes σ itself, gaussian_nll_loss σ², and MultivariateNormal a covariance matrix",
    *[_log_density.given(std=torch.sqrt), *[_of_nll(True, reduction, 1) for reduction in ("none", "sum", "mean")]],
    "the normal has σ² for its standard deviation: Normal takes σ itself, and so does the scale_tril of MultivariateNormal",
    _log_density.given(std=torch.square),
    "the normal has 1/σ or 1/√σ for its standard deviation: a precision is 1/σ², and Normal takes σ itself",
    *[_log_density.given(std=torch.reciprocal), _log_density.given(std=torch.rsqrt)],
    "std was taken for log σ or log σ², or for what softplus makes σ of: it is σ itself, as it stands",
    *[_log_density.given(std=change) for change in (torch.exp, softplus, lambda std: (std / 2).exp())],
    "the square is there alone: − log σ and − ½ log 2π belong to every coordinate",
    *[_normal(factor, over=over, log_std=0, constant=0) for factor in (-0.5, -1) for over in (0, 2)],
    "σ was changed by a small constant or a clamp (gaussian_nll_loss has one): where σ is small that is another normal",
    *[answer for small in (*SMALL, *map(exp, (-5, -10, -20))) for answer in _stabilised(small)],
    _of_nll(True, "none"),
)


def _log_density_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, dimension: int, scale: float = 1.0, away: float = 0.0) -> Arguments:
        """away: by how many standard deviations x is moved up."""
        x, mean = (normal(generator, batch, dimension, scale=scale) for _ in range(2))
        std = scale * (0.3 + 2 * uniform(generator, batch, dimension))
        return tuple(a.requires_grad_() for a in (x + away * std, mean, std))

    shapes = [(4, 3), (1, 5), (3, 1), (3, 3)]
    few = [*(case(*shape) for shape in shapes), case(2, 3, 100.0), case(3, 2, 1e-13)]
    # First the density rounds to 0, then the product of the σ does; (2π)^(d/2) is still a number.
    return [*few, case(2, 3, away=60.0), case(2, 384), case(2, 384, 0.01)]


normal_log_density = Exercise(
    "normal_log_density",
    _log_density,
    _log_density_cases,
    (
        *wrong(
            "`log` here is that of math, for a number: for a tensor write std.log() or torch.log(std)",
            lambda x, mean, std: std.new_tensor(log(std.detach())),
            "you took the mean or the product over the coordinates: densities of independent coordinates multiply, so their logarithms add up",
            *[_parts.then(lambda terms: terms.mean(-1)), _parts.then(lambda terms: terms.prod(-1))],
            _normal(constant=0).but(result=lambda terms: terms.mean(-1)),
            "you did not sum over the coordinates: return one number for every row of x, [batch]",
            _parts,
            "you reduced over the batch: the sum runs over the coordinates alone, the last axis, and the result is [batch]",
            *[_parts.then(torch.sum), _parts.then(torch.mean), _parts.then(lambda terms: terms.sum(-1).mean())],
            *[_parts.then(lambda terms: terms.sum(0)), _parts.then(lambda terms: terms.mean(0))],
            _less(lambda std: std.log().sum()),
            "row i of x met every row of mean and std, a table [batch, batch]: row i has a normal of its own",
            lambda x, mean, std: _log_density(x[:, None], mean, std),
            lambda x, mean, std: _log_density(x, mean[:, None], std[:, None]),
            "− ½ log 2π is missing: without it the density does not integrate to 1",
            _normal(constant=0),
            "the constant is another number than − ½ log 2π, about −0.919, or is not counted once for every coordinate",
            *_CONSTANTS,
            "log σ has a wrong factor: the ½ belongs to log σ², and ½ log σ² = log σ, so log σ is subtracted once",
            *[_normal(log_std=-2), _normal(log_std=-0.5)],
            "log σ has the wrong sign: the wider a normal, the lower its peak, so log σ is subtracted",
            *[_normal(log_std=factor) for factor in (0.5, 1, 2)],
            "− log σ is missing, or σ stands there without its logarithm: the wider a normal, the lower its peak, by log σ",
            *_WITHOUT_LOG,
            "the product of the σ rounds to 0 in many dimensions (and (2π)^(d/2) overflows): sum their logarithms",
            *_LOGS_OF_PRODUCTS,
            "you took the logarithm of the sum of the σ: sum their logarithms",
            _less(lambda std: std.sum(-1).log()),
            "this is the density: return its logarithm",
            *[*_DENSITIES, _density.but(density=lambda each: each)],
            "you took the logarithm of a density, which rounds to 0 far from the mean or in many dimensions: never compute the density, add up the three terms",
            *_UNDERFLOWS,
            "gaussian_nll_loss averages over everything, drops the constant and clamps the variance unless told: reduction='none', full=True, eps=0",
            *[_of_nll(full, reduction) for full in (False, True) for reduction in ("mean", "sum")],
            _of_nll(False, "none"),
        ),
        *_OF_TERMS,
    ),
    tolerance=1e-6,
    written=_written,
)


# 3. every point under every normal


def _paired(density: Answer, points: Any = (slice(None), None), rows: Any = ...) -> Answer:
    """density: of points and of parameters, with a new axis where the indices say so."""
    return lambda x, means, stds: density(x[points], means[rows], stds[rows])


_table = Formula("x means stds", table=lambda x, means, stds: _log_density(x[:, None], means, stds))
_AXES = ((..., ...), (..., None), (None, ...), (None, None))  # new axes of points and of parameters, none of them right


def _table_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, k: int, d: int, scale: float = 1.0, away: float = 0.0) -> Arguments:
        x, means = normal(generator, n, d, scale=2 * scale), normal(generator, k, d, scale=2 * scale)
        return x + away * scale, means, scale * (0.3 + 2 * uniform(generator, k, d))

    # Where n = k, or one of them is 1, faults of shape run and can be named.
    shapes = [(3, 3, 3), (4, 4, 4), (6, 1, 1), (1, 4, 1), (1, 3, 3), (5, 1, 3), (1, 1, 1)]
    far = [case(2, 2, 2, 1e-13), case(3, 3, 3, 1.0, 200.0)]
    return [*(case(*shape) for shape in shapes), *far, case(2, 1, 384), case(3, 1, 384, 0.01)]


log_density_table = Exercise(
    "log_density_table",
    _table,
    _table_cases,
    (
        *wrong(
            "the table is transposed: it has one row per point and one column per normal, [n, k]",
            _table.then(torch.t),
            "a table [k, n] was reshaped to [n, k]: reshape keeps the order of the numbers; transpose it with .T",
            _table.then(lambda table: table.T.reshape(table.shape)),
            "points and normals were repeated in the same order, so that not all pairs meet: repeat_interleave one of them",
            _table.then(lambda table: table.repeat(table.shape[::-1]).diagonal().reshape(table.shape)),
            "the coordinates are not summed: [n, k, d] is left; Independent(…, 1) makes d the event, and log_prob then sums over it",
            _paired(_parts),
            "you averaged over the coordinates: independent coordinates multiply, so their log-densities add up",
            _paired(_parts.then(lambda terms: terms.mean(-1))),
            "densities of independent coordinates multiply, their logarithms add up: sum, not prod",
            _paired(_parts.then(lambda terms: terms.prod(-1))),
            "point i met normal i alone, or the shapes clashed: x[:, None] is [n, 1, d], and meets each of the k normals",
            *[_paired(density, *axes) for density in (_log_density, _parts) for axes in _AXES],
            "the new axis of x stands at the end: it belongs in the middle, x[:, None] is [n, 1, d]",
            *[_paired(density, (..., None)) for density in (_log_density, _parts)],
            "you summed over the points, axis 0: sum over the coordinates, the last axis of [n, k, d]",
            _paired(_parts.then(lambda terms: terms.sum(0))),
            "you summed over the normals, axis 1: sum over the coordinates, the last axis of [n, k, d]",
            _paired(_parts.then(lambda terms: terms.sum(1))),
            "you summed over the normals as well as the coordinates: the event has one axis, d; Independent(…, 1), not 2",
            _table.then(lambda table: table.sum(-1)),
            "you normalised over the k normals: that says which of them x comes from; return the log-densities as they are",
            *[_table.then(partial(torch.log_softmax, dim=-1)), _table.then(partial(torch.softmax, dim=-1))],
            "you summed the densities of the k normals, as in a mixture: keep them apart, [n, k]",
            _table.then(lambda table: table.logsumexp(-1)),
            _table.then(lambda table: table.logsumexp(-1) - log(table.shape[1])),
            "these are densities: return their logarithms",
            *map(_paired, _DENSITIES),
            "you took the logarithm of a density, which rounds to 0 far from the mean or in many dimensions: add up log-densities",
            *map(_paired, _UNDERFLOWS),
            "− ½ log 2π is missing, or counted a wrong number of times: every coordinate brings one, d in all",
            *map(_paired, [_normal(constant=0), *_CONSTANTS]),
            "each normal subtracts the sum of its own d log σ: here it is missing, or that of all normals is subtracted",
            *map(_paired, _WITHOUT_LOG),
            *[_paired(_less(lambda std: std.log().sum())), _paired(_less(lambda std: std.log().sum(0)))],
            _paired(_less(lambda std: std.log().sum(-1)[:, None])),
            "log σ has a wrong factor or sign: the ½ belongs to log σ², and ½ log σ² = log σ, which is subtracted",
            *[_paired(_normal(log_std=factor)) for factor in (-0.5, -2, 0.5, 1, 2)],
            "the product of the σ rounds to 0 in many dimensions (and (2π)^(d/2) overflows): sum their logarithms",
            *map(_paired, _LOGS_OF_PRODUCTS),
        ),
        *[Mistake(message, tuple(map(_paired, answers))) for message, answers in _OF_TERMS],
    ),
    tolerance=1e-6,
    written=named(_paired(_written), "x means stds"),
)


# 4. an expectation from samples, and its standard error

Function = Callable[[Tensor], Tensor]

_expectation = Formula(
    "function mean std noise",
    x=lambda mean, std, noise: mean + std * noise,
    y=lambda function, x: function(x),
    n=lambda noise: len(noise),
    estimate=lambda y, n: y.sum() / n,
    centre=lambda y: y.mean(),
    variance=lambda y, centre, n: (y - centre).square().sum() / (n - 1),
    error=lambda variance, n: (variance / n).sqrt(),
    both=lambda estimate, error: (estimate, error),
)


def _error(power: int = 1, over: float = 0.5, less: int = 1, times: float = 1, of: str = "y") -> Formula:
    """s^power / n^over, with n − less in the denominator of s²."""
    return _expectation.but(error=named(lambda v, n: times * v.std(correction=less) ** power / n**over, f"{of} n"))


def _drawn(*draws: Callable[[float, float, Tensor], Tensor]) -> list[Answer]:
    """draws: of μ, σ and ε, where x = μ + σ ε belongs."""
    return [_expectation.but(x=named(draw, "mean std noise")) for draw in draws]


def _about(centre: Step, less: int) -> Formula:
    """centre: what deviations are taken from."""
    return _expectation.but(centre=centre, variance=lambda y, centre, n: (y - centre).square().sum() / (n - less))


def _at_mean(function: Function, mean: float) -> Tensor:
    return function(torch.tensor(float(mean), dtype=torch.float64))


def _weighted(rule: Callable[[Tensor, Tensor], Tensor]) -> Formula:
    """rule: of f(x) and the density of x."""
    return _expectation.but(estimate=lambda x, y, mean, std: rule(y, Normal(mean, std).log_prob(x).exp()))


def _expectation_cases(generator: Generator) -> list[Arguments]:
    square, exponential, cos = (lambda x: torch.square(x)), (lambda x: torch.exp(x)), (lambda x: torch.cos(x))

    def case(function: Function, mean: float, std: float, samples: int) -> Arguments:
        return function, mean, std, normal(generator, samples)

    indicator = case(lambda x: (x > 0).double(), 0.3, 1.2, 11)
    indicator[3][:2] = torch.tensor([-2.0, 2.0])  # some samples are 1 and some 0, else the spread is 0 for every s
    plain = [case(square, 1.0, 2.0, 9), case(exponential, -0.5, 0.7, 6), case(cos, 3.0, 1.5, 25)]
    few = [indicator, case(square, 0.0, 1.0, 2), case(cos, -2.0, 0.5, 4)]
    return [*plain, *few, case(exponential, 20.0, 3.0, 5), case(square, 0.01, 0.001, 8), case(exponential, 0, 1, 400)]


expectation = Exercise(
    "expectation",
    _expectation,
    _expectation_cases,
    wrong(
        "your estimate is f at one point, μ or the average draw: apply f to every draw, then average",
        _expectation.but(estimate=_at_mean),
        lambda function, mean, std, noise: function(mean),
        _expectation.but(estimate=lambda function, x: function(x.mean())),
        _expectation.but(estimate=lambda function, x: function(x.mean()), error=lambda x, n: x.std() / sqrt(n)),
        "f is not applied to the draws",
        *[_expectation.but(y=lambda x: x), _expectation.but(estimate=lambda x: x.mean())],
        "your error is the spread of single values f(x): that of their mean is √n times smaller, n the number of samples",
        *[_error(over=0, less=less) for less in (0, 1)],
        "s is taken with n in its denominator: the sample standard deviation has n − 1",
        _error(less=0),
        "you divided s by √(n − 1): the n − 1 belongs inside s, and s itself is divided by √n",
        _expectation.but(error=lambda y, n: y.std() / sqrt(n - 1)),
        "the root of the variance is not taken: the standard error is s/√n, the root of s²/n",
        *[_error(power=2, over=over, less=less) for over in (1, 0.5, 0) for less in (0, 1)],
        "you divided s by n: the standard error falls with √n",
        *[_error(over=over, less=less) for over in (1, 2) for less in (0, 1)],
        "`n**1/2` is (n**1)/2: write n**0.5",
        *[_error(over=1, less=less, times=times) for less in (0, 1) for times in (0.5, 2)],
        "you multiplied s by √n: the more samples, the smaller the error, so divide",
        *[_error(over=-0.5, less=less) for less in (0, 1)],
        "this is the half-width of an interval, about two standard errors: return s/√n itself",
        *[_error(times=width, less=less) for width in (1.96, 2, 1.645, 1.959964, 2.576, 3) for less in (0, 1)],
        "your spread was taken about 0, μ or f(μ): s measures deviations from the mean of f(x), not from μ",
        *[_about(centre, less) for centre in (lambda: 0, lambda mean: mean, _at_mean) for less in (0, 1)],
        "your error comes from the spread of x or of the noise: take the standard deviation of f(x)",
        *[_error(of=of, less=less) for of in ("x", "noise") for less in (0, 1)],
        _expectation.but(error=lambda noise, std, n: noise.new_tensor(std) / sqrt(n)),
        _expectation.but(error=lambda noise, std, n: noise.new_tensor(std) / n),
        "μ or σ is missing, or σ was squared or its root was taken: std is σ itself, and x = μ + σ ε",
        *_drawn(
            lambda m, s, e: m + s**2 * e, lambda m, s, e: m + sqrt(s) * e, lambda m, s, e: m + e, lambda m, s, e: s * e
        ),
        "std is σ itself, not log σ or log σ²: it needs no exp",
        *_drawn(lambda m, s, e: m + exp(s) * e, lambda m, s, e: m + exp(s / 2) * e),
        "f was applied to the noise, before μ and σ or without them: first x = μ + σ ε, then f(x)",
        *_drawn(lambda m, s, e: e),
        _expectation.but(y=lambda function, mean, std, noise: mean + std * function(noise)),
        "μ or σ stands in the wrong place: the noise alone is multiplied, by σ, and μ is added, x = μ + σ ε",
        *_drawn(lambda m, s, e: s * (m + e), lambda m, s, e: (m + s) * e, lambda m, s, e: s + m * e),
        *_drawn(lambda m, s, e: m + e / s, lambda m, s, e: (e - m) / s),
        "the noise was subtracted: the distribution is the same, but the exercise asks for x = μ + σ ε",
        *_drawn(lambda m, s, e: m - s * e),
        "your estimate is the median of f(x): the expectation is estimated by the mean",
        *[_expectation.but(estimate=lambda y: y.median()), _expectation.but(estimate=lambda y: y.quantile(0.5))],
        "you added up the values f(x) and did not divide by their number n: the estimate is their mean",
        _expectation.but(estimate=lambda y: y.sum()),
        "the values f(x) themselves were returned for the estimate: it is their mean, one number",
        _expectation.but(estimate=lambda y: y),
        "the estimate divides by n; the n − 1 belongs to s alone",
        _expectation.but(estimate=lambda y, n: y.sum() / (n - 1)),
        "f(x) was multiplied by the density of x: draws come more often where it is large, so all of them count alike",
        *[_weighted(lambda y, p: (y * p).mean()), _weighted(lambda y, p: (y * p).sum())],
        _weighted(lambda y, p: (y * p).sum() / p.sum()),
        "this is the error as a share of the estimate: return s/√n itself",
        _expectation.but(error=lambda variance, n, estimate: (variance / n).sqrt() / estimate.abs()),
        _expectation.but(error=lambda variance, n, estimate: (variance / n).sqrt() / estimate),
        "s is a root of squares: you averaged absolute deviations, or took the root of each",
        _expectation.but(error=lambda y, n: (y - y.mean()).abs().mean() / sqrt(n)),
        _expectation.but(error=lambda y, n: (y - y.mean()).abs().sum() / (n - 1) / sqrt(n)),
        _expectation.but(error=lambda y, n: ((y - y.mean()).square() / (n - 1) / n).sqrt()),
        "the two results are exchanged: return the estimate first, then its standard error",
        _expectation.then(lambda both: both[::-1]),
    ),
    results=("estimate", "standard error"),
    tolerance=1e-9,
)
