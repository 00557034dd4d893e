"""The first sheet: the log-density of a normal by hand, a table of log-densities, an expectation with its error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log, log2, log10, pi, sqrt

import torch
from torch import Generator, Tensor
from torch.nn.functional import gaussian_nll_loss

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. log N(x; μ, diag σ²) by hand

CONSTANT = -0.5 * log(2 * pi)


def _square(difference: Tensor, std: Tensor) -> Tensor:
    return -0.5 * (difference / std) ** 2


def _minus_log(std: Tensor) -> Tensor:
    return -std.log()


def _over_coordinates(terms: Tensor) -> Tensor:
    return terms.sum(-1)


def _by(
    square: Callable[[Tensor, Tensor], Tensor] = _square,
    logarithm: Callable[[Tensor], Tensor] = _minus_log,
    constant: float = CONSTANT,
    reduce: Callable[[Tensor], Tensor] = _over_coordinates,
) -> Answer:
    """A log-density from its parts; square is called with x − μ and σ."""
    return lambda x, mean, std: reduce(square(x - mean, std) + logarithm(std) + constant)


_log_density = _by()


def _with_std(change: Callable[[Tensor], Tensor]) -> Answer:
    return lambda x, mean, std: _log_density(x, mean, change(std))


def _with_base(logarithm: Callable[[Tensor], Tensor], number: Callable[[float], float]) -> list[Answer]:
    """Another logarithm than the natural one: in log σ, in log 2π, in both."""
    constant = -0.5 * number(2 * pi)
    both = _by(logarithm=lambda s: -logarithm(s), constant=constant)
    return [both, _by(logarithm=lambda s: -logarithm(s)), _by(constant=constant)]


def _scaled(factor: float) -> Answer:
    return lambda x, mean, std: factor * _log_density(x, mean, std)


def _density(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Of every coordinate."""
    return (-0.5 * ((x - mean) / std) ** 2).exp() / (std * sqrt(2 * pi))


def _density_whole(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Of all coordinates by one fraction. In many dimensions Python raises an error: the power is too large for it."""
    d = x.shape[-1]
    density: Tensor = (-0.5 * ((x - mean) / std) ** 2).sum(-1).exp() / ((2 * pi) ** (d / 2) * std.prod(-1))
    return density


def _over_product(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The density of all coordinates, with its products taken apart."""
    return (-0.5 * ((x - mean) / std) ** 2).exp().prod(-1) / (std * sqrt(2 * pi)).prod(-1)


def _with_sum_of_logs(whole: Answer) -> Answer:
    """whole: of σ, what stands for the sum of its logarithms."""
    return lambda x, mean, std: _by(logarithm=torch.zeros_like)(x, mean, std) - whole(std)


def _minus_log_of_whole(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Less the logarithm of all that the exponential is divided by, where Python raises the same error."""
    divisor: Tensor = (2 * pi) ** (x.shape[-1] / 2) * std.prod(-1)
    return (-0.5 * ((x - mean) / std) ** 2).sum(-1) - divisor.log()


_LOGS_OF_PRODUCTS: list[Answer] = [
    _with_sum_of_logs(lambda std: std.prod(-1).log()),
    _with_sum_of_logs(lambda std: 0.5 * std.square().prod(-1).log()),
    _minus_log_of_whole,
    lambda x, mean, std: (-0.5 * ((x - mean) / std) ** 2).sum(-1) - (std * sqrt(2 * pi)).prod(-1).log(),
]


# The logarithm of a density that has rounded to 0 or was kept from it.
_UNDERFLOWS: list[Answer] = [
    lambda x, mean, std: _density(x, mean, std).prod(-1).log(),
    lambda x, mean, std: _density(x, mean, std).log().sum(-1),
    lambda x, mean, std: _log_density(x, mean, std).exp().log(),
    lambda x, mean, std: _density_whole(x, mean, std).log(),
    lambda x, mean, std: _over_product(x, mean, std).log(),
    *[
        answer
        for e in (1e-6, 1e-8, 1e-10, 1e-12)
        for answer in (
            lambda x, mean, std, e=e: (_density(x, mean, std) + e).log().sum(-1),
            lambda x, mean, std, e=e: (_density(x, mean, std).prod(-1) + e).log(),
        )
    ],
]


def _log_density_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, dimension: int, scale: float = 1.0, away: float = 0.0) -> Arguments:
        """away: by how many standard deviations x is moved up."""
        x, mean = (normal(generator, batch, dimension, scale=scale) for _ in range(2))
        std = scale * (0.3 + 2 * uniform(generator, batch, dimension))
        return tuple(a.requires_grad_() for a in (x + away * std, mean, std))

    shapes = [(4, 3), (1, 5), (3, 1), (3, 3)]
    few = [*(case(*shape) for shape in shapes), case(2, 3, 100.0), case(3, 2, 1e-6)]
    # First the density rounds to 0, then in 784 dimensions some answers raise, then the product of the σ rounds to 0.
    return [*few, case(2, 3, away=60.0), case(2, 784), case(2, 784, 0.1)]


normal_log_density = Exercise(
    "normal_log_density",
    _log_density,
    _log_density_cases,
    wrong(
        "`log` here is that of math, for a number: for a tensor write std.log() or torch.log(std)",
        lambda x, mean, std: std.new_tensor(log(std.detach())),
        "you took the mean or the product over the coordinates: densities of independent coordinates multiply, so their logarithms add up",
        _by(reduce=lambda terms: terms.mean(-1)),
        _by(reduce=lambda terms: terms.prod(-1)),
        "you did not sum over the coordinates: return one number for every row of x, [batch]",
        _by(reduce=lambda terms: terms),
        "you reduced over the batch: the sum runs over the coordinates alone, the last axis, and the result is [batch]",
        _by(reduce=torch.sum),
        _by(reduce=torch.mean),
        _by(reduce=lambda terms: terms.sum(0)),
        _by(reduce=lambda terms: terms.mean(0)),
        _by(reduce=lambda terms: terms.sum(-1).mean()),
        "− ½ log 2π is missing: without it the density does not integrate to 1",
        _by(constant=0.0),
        "the constant is another number than − ½ log 2π, about −0.919, or is not counted once for every coordinate",
        _by(constant=2 * CONSTANT),
        lambda x, mean, std: _by(constant=0.0)(x, mean, std) + CONSTANT,
        lambda x, mean, std: _by(constant=0.0)(x, mean, std) + len(x) * CONSTANT,
        *[_by(constant=c) for c in (-CONSTANT, -2 * CONSTANT, CONSTANT / 2, -0.5 * log(pi), -log(pi), -pi)],
        *[_by(constant=c) for c in (-0.5 * log(2) * pi, -0.5 * log(2), -sqrt(2 * pi), -0.5 / log(2 * pi))],
        lambda x, mean, std: _by(constant=0.0)(x, mean, std) + 2 * CONSTANT,
        lambda x, mean, std: _by(constant=0.0)(x, mean, std) - CONSTANT,
        "log σ has a wrong factor: the ½ belongs to log σ², and ½ log σ² = log σ, so log σ is subtracted once",
        _by(logarithm=lambda s: -2 * s.log()),
        _by(logarithm=lambda s: -0.5 * s.log()),
        "log σ has the wrong sign: the wider a normal, the lower its peak, so log σ is subtracted",
        _by(logarithm=torch.log),
        _by(logarithm=lambda s: 0.5 * s.log()),
        _by(logarithm=lambda s: 2 * s.log()),
        "− log σ is missing, or σ stands there without its logarithm: the wider a normal, the lower its peak, by log σ",
        _by(logarithm=torch.zeros_like),
        _by(logarithm=lambda s: -s),
        _by(logarithm=lambda s: -(s**2)),
        _by(logarithm=lambda s: -0.5 * s**2),
        "the product of the σ rounds to 0 in many dimensions (and (2π)^(d/2) overflows): sum their logarithms",
        _LOGS_OF_PRODUCTS[0],
        *_LOGS_OF_PRODUCTS[1:],
        "you took the logarithm of the sum of the σ: sum their logarithms",
        _with_sum_of_logs(lambda std: std.sum(-1).log()),
        "(x − μ)² is to be divided by σ², and here it is not: ((x - mean) / std)**2 does it, with these brackets",
        _by(lambda r, s: -0.5 * r**2 / s),
        _by(lambda r, s: -0.5 * r**2),
        _by(lambda r, s: -0.5 * r**2 * s**2),
        _by(lambda r, s: -0.5 * r**2 * s),
        _by(lambda r, s: -0.5 * (r / s**2) ** 2),
        "the factor before the square ((x − μ)/σ)² is −½: yours is another, or has the wrong sign",
        _by(lambda r, s: -((r / s) ** 2)),
        _by(lambda r, s: 0.5 * (r / s) ** 2),
        "the −½ was squared too: the square is of (x − μ)/σ alone",
        _by(lambda r, s: (-0.5 * r / s) ** 2),
        _by(lambda r, s: -((0.5 * r / s) ** 2)),
        "(x − μ)/σ is not squared in every coordinate: square first, then sum",
        _by(lambda r, s: -0.5 * r / s),
        lambda x, mean, std: _by(lambda r, s: 0 * r)(x, mean, std) - 0.5 * ((x - mean) / std).sum(-1) ** 2,
        lambda x, mean, std: _by(lambda r, s: 0 * r)(x, mean, std) - 0.5 * ((x - mean) / std).norm(dim=-1),
        _by(lambda r, s: -0.5 * (r / s).abs()),
        _by(lambda r, s: -0.5 * r / s**2),
        _by(lambda r, s: -r / s),
        _by(lambda r, s: -(r / s).abs()),
        "a logarithm to another base was used: in nats every logarithm is the natural one, torch.log",
        _scaled(1 / log(2)),
        _scaled(1 / log(10)),
        *_with_base(torch.log2, log2),
        *_with_base(torch.log10, log10),
        "this is the density: return its logarithm",
        lambda x, mean, std: _log_density(x, mean, std).exp(),
        lambda x, mean, std: _density(x, mean, std).prod(-1),
        _density,
        _density_whole,
        _over_product,
        "you took the logarithm of a density, which rounds to 0 far from the mean or in many dimensions: never compute the density, add up the three terms",
        _UNDERFLOWS[0],
        *_UNDERFLOWS[1:],
        "you put a root or a square in place of σ: std is the standard deviation σ itself, and the variance is its square",
        _with_std(torch.sqrt),
        _with_std(torch.square),
        "σ was changed by a small constant or a clamp (gaussian_nll_loss has one): where σ is small that is another normal",
        _with_std(lambda std: std + 1e-8),
        *[_with_std(partial(torch.add, other=e)) for e in (1e-6, 1e-7)],
        *[_with_std(partial(torch.clamp, min=e)) for e in (1e-3, 1e-5)],
        _by(logarithm=lambda s: -(s + 1e-8).log()),
        _by(lambda r, s: -0.5 * r**2 / (s**2 + 1e-8)),
        lambda x, mean, std: -gaussian_nll_loss(mean, x, std**2, full=True, reduction="none").sum(-1),
    ),
    tolerance=1e-6,
)


# 2. every point under every normal


def _times_log(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda s: factor * s.log()


def _wide(errors: float) -> Callable[[Tensor, int], Tensor]:
    return lambda y, n: errors * y.std() / sqrt(n)


def _table_by(density: Answer) -> Answer:
    """density: of points [n, 1, d], means [k, d] and standard deviations [k, d]."""
    return lambda x, means, stds: density(x[:, None], means, stds)


_table = _table_by(_log_density)
_parts = _by(reduce=lambda terms: terms)  # the coordinates apart


def _tables_of(reduce: Callable[[Tensor], Tensor]) -> Answer:
    """reduce: what is done to [n, k, d]."""
    return _table_by(_by(reduce=reduce))


def _by_torch(event_axes: int, point: Callable[[Tensor], Tensor], sum_too: bool = False) -> Answer:
    """Through torch.distributions, with x passed through `point` first."""

    def table(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
        normals = torch.distributions.Normal(means, stds)
        values: Tensor = torch.distributions.Independent(normals, event_axes).log_prob(point(x))
        return values.sum(-1) if sum_too else values

    return table


def _by_torch_of_rows(event_axes: int, sum_too: bool = False) -> Answer:
    """Through torch.distributions, with the new axis at the parameters."""
    by_torch = _by_torch(event_axes, _unchanged, sum_too)
    return lambda x, means, stds: by_torch(x, means[None], stds[None])


def _unchanged(x: Tensor) -> Tensor:
    return x


def _multivariate_diagonal(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    normals = torch.distributions.MultivariateNormal(means, scale_tril=torch.diag_embed(stds))
    values: Tensor = normals.log_prob(x)
    return values


def _table_with_stds(change: Callable[[Tensor], Tensor]) -> Answer:
    return lambda x, means, stds: _table(x, means, change(stds))


def _table_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, k: int, d: int, scale: float = 1.0, away: float = 0.0) -> Arguments:
        x, means = normal(generator, n, d, scale=2 * scale), normal(generator, k, d, scale=2 * scale)
        return x + away * scale, means, scale * (0.3 + 2 * uniform(generator, k, d))

    # The first is square in every respect: there most faults of shape run, and can be named.
    shapes = [(3, 3, 3), (5, 3, 2), (4, 4, 2), (6, 2, 1), (1, 4, 2), (5, 1, 3), (1, 1, 1)]
    far = [case(3, 2, 4, 1e-2), case(4, 2, 3, 1.0, 200.0)]
    return [*(case(*shape) for shape in shapes), *far, case(2, 3, 784), case(3, 2, 784, 0.1)]


log_density_table = Exercise(
    "log_density_table",
    _table,
    _table_cases,
    wrong(
        "the table is transposed: it has one row per point and one column per normal, [n, k]",
        lambda x, means, stds: _table(x, means, stds).T,
        "a table [k, n] was reshaped to [n, k]: reshape keeps the order of the numbers; transpose it with .T",
        lambda x, means, stds: _table(x, means, stds).T.reshape(len(x), len(means)),
        "the coordinates are not summed: [n, k, d] is left; Independent(…, 1) makes d the event, and log_prob then sums over it",
        _table_by(_parts),
        "you averaged over the coordinates: independent coordinates multiply, so their log-densities add up",
        _tables_of(lambda terms: terms.mean(-1)),
        "densities of independent coordinates multiply, their logarithms add up: sum, not prod",
        _tables_of(lambda terms: terms.prod(-1)),
        "point i met normal i alone, or the shapes clashed: x[:, None] is [n, 1, d], and meets each of the k normals",
        _by_torch(1, _unchanged),
        _by_torch(0, _unchanged),
        _by_torch(0, _unchanged, sum_too=True),
        _by_torch(1, lambda x: x[None]),
        _by_torch_of_rows(1),
        _by_torch_of_rows(0),
        _by_torch_of_rows(0, sum_too=True),
        lambda x, means, stds: _log_density(x, means[None], stds[None]),
        _log_density,
        _parts,
        lambda x, means, stds: _log_density(x[None], means, stds),
        lambda x, means, stds: _log_density(means, x, stds),
        lambda x, means, stds: _parts(means, x, stds),
        _multivariate_diagonal,
        "the new axis of x stands at the end: it belongs in the middle, x[:, None] is [n, 1, d]",
        _by_torch(1, lambda x: x[..., None]),
        _by_torch(0, lambda x: x[..., None], sum_too=True),
        lambda x, means, stds: _log_density(x[..., None], means, stds),
        "you summed over the points, axis 0: sum over the coordinates, the last axis of [n, k, d]",
        _tables_of(lambda terms: terms.sum(0)),
        "you summed over the normals, axis 1: sum over the coordinates, the last axis of [n, k, d]",
        _tables_of(lambda terms: terms.sum(1)),
        "you summed over the normals as well as the coordinates: the event has one axis, d; Independent(…, 1), not 2",
        _by_torch(2, lambda x: x[:, None]),
        "you normalised over the k normals: that says which of them x comes from; return the log-densities as they are",
        lambda x, means, stds: _table(x, means, stds).log_softmax(-1),
        lambda x, means, stds: _table(x, means, stds).softmax(-1),
        "you summed the densities of the k normals, as in a mixture: keep them apart, [n, k]",
        lambda x, means, stds: _table(x, means, stds).logsumexp(-1),
        lambda x, means, stds: _table(x, means, stds).logsumexp(-1) - log(len(means)),
        "these are densities: return their logarithms",
        lambda x, means, stds: _table(x, means, stds).exp(),
        _table_by(lambda x, means, stds: _density(x, means, stds).prod(-1)),
        _table_by(_density_whole),
        _table_by(_over_product),
        "you took the logarithm of a density, which rounds to 0 far from the mean or in many dimensions: add up log-densities",
        _table_by(_UNDERFLOWS[0]),
        *[_table_by(underflows) for underflows in _UNDERFLOWS[1:]],
        "you took the root of stds or squared them: they are standard deviations, which a normal of torch.distributions takes",
        _table_with_stds(torch.sqrt),
        _table_with_stds(torch.square),
        "− ½ log 2π is missing, or counted a wrong number of times: every coordinate brings one, d in all",
        _table_by(_by(constant=0.0)),
        lambda x, means, stds: _table_by(_by(constant=0.0))(x, means, stds) + CONSTANT,
        lambda x, means, stds: _table_by(_by(constant=0.0))(x, means, stds) + len(x) * CONSTANT,
        lambda x, means, stds: _table_by(_by(constant=0.0))(x, means, stds) + len(means) * CONSTANT,
        "each normal subtracts the sum of its own d log σ: here it is missing, or that of all normals is subtracted",
        _table_by(_by(logarithm=torch.zeros_like)),
        lambda x, m, s: _table_by(_by(logarithm=torch.zeros_like))(x, m, s) - s.log().sum(),
        "log σ has a wrong factor or sign: the ½ belongs to log σ², and ½ log σ² = log σ, which is subtracted",
        _table_by(_by(logarithm=lambda s: -0.5 * s.log())),
        *[_table_by(_by(logarithm=_times_log(f))) for f in (-2, 0.5, 1, 2)],
        "the product of the σ rounds to 0 in many dimensions (and (2π)^(d/2) overflows): sum their logarithms",
        _table_by(_LOGS_OF_PRODUCTS[0]),
        *[_table_by(answer) for answer in _LOGS_OF_PRODUCTS[1:]],
        "the ½ before the square is missing: a normal has − ½ ((x − μ)/σ)²",
        _table_by(_by(lambda r, s: -((r / s) ** 2))),
    ),
    tolerance=1e-6,
)


# 3. an expectation from samples, and its standard error

Function = Callable[[Tensor], Tensor]
Draw = Callable[[float, float, Tensor], Tensor]
Spread = Callable[[Tensor, int], Tensor]


def _draw(mean: float, std: float, noise: Tensor) -> Tensor:
    return mean + std * noise


def _standard_error(y: Tensor, n: int) -> Tensor:
    return y.std() / sqrt(n)


def _expectation_by(draw: Draw = _draw, centre: Function = torch.mean, spread: Spread = _standard_error) -> Answer:
    """spread: of f(x) and its number."""

    def expectation(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        y = function(draw(mean, std, noise))
        return centre(y), spread(y, len(y))

    return expectation


_expectation = _expectation_by()


def _at(point: Draw, spread: Callable[[Tensor, Tensor], Tensor] = lambda x, y: _standard_error(y, len(y))) -> Answer:
    """f at one point as the estimate; spread: of x and f(x)."""

    def expectation(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        x = _draw(mean, std, noise)
        return function(point(mean, std, noise)), spread(x, function(x))

    return expectation


def _not_of_f(spread: Callable[[float, Tensor], Tensor]) -> Answer:
    """spread: of σ and the noise, over √n the error."""

    def expectation(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        return function(_draw(mean, std, noise)).mean(), spread(std, noise) / sqrt(len(noise))

    return expectation


def _at_draws(rule: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Answer:
    """rule: of x and f(x)."""

    def expectation(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        x = _draw(mean, std, noise)
        return rule(x, function(x))

    return expectation


def _about(centre: Callable[[Function, float], Tensor | float], correction: int) -> Answer:
    """centre: of f and μ, what deviations are taken from."""

    def expectation(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
        y = function(_draw(mean, std, noise))
        variance = (y - centre(function, mean)).square().sum() / (len(y) - correction)
        return y.mean(), (variance / len(y)).sqrt()

    return expectation


def _at_mean(function: Function, mean: float) -> Tensor:
    return function(torch.tensor(float(mean), dtype=torch.float64))


def _after(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    y = _draw(mean, std, function(noise))
    return y.mean(), _standard_error(y, len(y))


def _with_spread(spread: Spread) -> Answer:
    return _expectation_by(spread=spread)


def _middle(y: Tensor) -> Tensor:
    """The median, halfway between the two middle numbers if there are two."""
    return y.quantile(0.5)


def _expectation_cases(generator: Generator) -> list[Arguments]:
    def square(x: Tensor) -> Tensor:
        return torch.square(x)

    def exp(x: Tensor) -> Tensor:
        return torch.exp(x)

    def cos(x: Tensor) -> Tensor:
        return torch.cos(x)

    def positive(x: Tensor) -> Tensor:
        return (x > 0).double()

    def case(function: Function, mean: float, std: float, samples: int) -> Arguments:
        return function, mean, std, normal(generator, samples)

    def mixed(noise: Arguments) -> Arguments:
        """An indicator of which some samples are 1 and some 0, else its spread is 0 for every s."""
        noise[3][:2] = torch.tensor([-2.0, 2.0])
        return noise

    plain = [case(square, 1.0, 2.0, 9), case(exp, -0.5, 0.7, 6), case(cos, 3.0, 1.5, 25)]
    few = [mixed(case(positive, 0.3, 1.2, 11)), case(square, 0.0, 1.0, 2), case(cos, -2.0, 0.5, 4)]
    return [*plain, *few, case(exp, 20.0, 3.0, 5), case(square, 0.01, 0.001, 8), case(exp, 0, 1, 400)]


expectation = Exercise(
    "expectation",
    _expectation,
    _expectation_cases,
    wrong(
        "your estimate is f at one point, μ or the average draw: apply f to every draw, then average",
        _at(lambda mean, std, noise: noise.new_tensor(float(mean))),
        _at(lambda mean, std, noise: _draw(mean, std, noise).mean()),
        _at(lambda mean, std, noise: _draw(mean, std, noise).mean(), lambda x, y: x.std() / sqrt(len(x))),
        "f is not applied to the draws",
        _at_draws(lambda x, y: (x.mean(), _standard_error(x, len(x)))),
        _at_draws(lambda x, y: (x.mean(), _standard_error(y, len(y)))),
        "your error is the spread of single values f(x): that of their mean is √n times smaller, n the number of samples",
        _with_spread(lambda y, n: y.std()),
        _with_spread(lambda y, n: y.std(correction=0)),
        "s is taken with n in its denominator: the sample standard deviation has n − 1",
        _with_spread(lambda y, n: y.std(correction=0) / sqrt(n)),
        "you divided s by √(n − 1): the n − 1 belongs inside s, and s itself is divided by √n",
        _with_spread(lambda y, n: y.std() / sqrt(n - 1)),
        "the root of the variance is not taken: the standard error is s/√n, the root of s²/n",
        _with_spread(lambda y, n: y.var() / n),
        _with_spread(lambda y, n: y.var() / sqrt(n)),
        _with_spread(lambda y, n: y.var()),
        _with_spread(lambda y, n: y.var(correction=0) / n),
        "you divided s by n: the standard error falls with √n",
        _with_spread(lambda y, n: y.std() / n),
        _with_spread(lambda y, n: y.std(correction=0) / n),
        "`n**1/2` is (n**1)/2: write n**0.5",
        _with_spread(lambda y, n: y.std() / n**1 / 2),
        _with_spread(lambda y, n: y.std() / (n**1 / 2)),
        _with_spread(lambda y, n: y.std(correction=0) / n**1 / 2),
        "you multiplied s by √n: the more samples, the smaller the error, so divide",
        _with_spread(lambda y, n: y.std() * sqrt(n)),
        "this is the half-width of an interval, about two standard errors: return s/√n itself",
        _with_spread(lambda y, n: 1.96 * y.std() / sqrt(n)),
        *[_with_spread(_wide(w)) for w in (2, 1.645, 1.959964, 2.576, 3)],
        "your spread was taken about 0, μ or f(μ): s measures deviations from the mean of f(x), not from μ",
        _about(lambda function, mean: 0.0, 0),
        _about(lambda function, mean: 0.0, 1),
        *[_about(lambda function, mean: mean, correction) for correction in (0, 1)],
        *[_about(_at_mean, correction) for correction in (0, 1)],
        "your error comes from the spread of x or of the noise: take the standard deviation of f(x)",
        _not_of_f(lambda std, noise: (std * noise).std()),
        _not_of_f(lambda std, noise: (std * noise).std(correction=0)),
        _not_of_f(lambda std, noise: noise.std()),
        _not_of_f(lambda std, noise: noise.new_tensor(std)),
        "μ or σ is missing, or σ was squared or its root was taken: std is σ itself, and x = μ + σ ε",
        _expectation_by(lambda mean, std, noise: mean + std**2 * noise),
        _expectation_by(lambda mean, std, noise: mean + sqrt(std) * noise),
        _expectation_by(lambda mean, std, noise: mean + noise),
        _expectation_by(lambda mean, std, noise: std * noise),
        "f was applied to the noise, before μ and σ or without them: first x = μ + σ ε, then f(x)",
        _expectation_by(lambda mean, std, noise: noise),
        _after,
        "μ or σ stands in the wrong place: the noise alone is multiplied, by σ, and μ is added, x = μ + σ ε",
        _expectation_by(lambda mean, std, noise: std * (mean + noise)),
        _expectation_by(lambda mean, std, noise: (mean + std) * noise),
        _expectation_by(lambda mean, std, noise: std + mean * noise),
        _expectation_by(lambda mean, std, noise: mean + noise / std),
        _expectation_by(lambda mean, std, noise: (noise - mean) / std),
        "the noise was subtracted: the distribution is the same, but the exercise asks for x = μ + σ ε",
        _expectation_by(lambda mean, std, noise: mean - std * noise),
        "your estimate is the median of f(x): the expectation is estimated by the mean",
        _expectation_by(centre=torch.median),
        _expectation_by(centre=_middle),
        "you added up the values f(x) and did not divide by their number n: the estimate is their mean",
        _expectation_by(centre=torch.sum),
        "the estimate divides by n; the n − 1 belongs to s alone",
        _expectation_by(centre=lambda y: y.sum() / (len(y) - 1)),
        "the two results are exchanged: return the estimate first, then its standard error",
        lambda function, mean, std, noise: _expectation(function, mean, std, noise)[::-1],
    ),
    results=("estimate", "standard error"),
    tolerance=1e-9,
)
