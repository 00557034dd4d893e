"""The sheet on likelihoods: one σ for all pixels, a probability for each grey level, bits per dimension, free bits, the β of a loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp, inf, log, log2, log10, pi, sqrt
from typing import Any

import torch
from torch import Generator, Tensor, logaddexp
from torch.distributions import Normal
from torch.nn.functional import logsigmoid, softplus
from torch.special import log_ndtr

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, SumOf, named, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. log N(x; μ, σ² I) of a picture

CONSTANT = 0.5 * log(2 * pi)


def _summed(per_pixel: Tensor) -> Tensor:
    return per_pixel.flatten(1).sum(-1)


_NORMAL = SumOf(
    "x mean log_std",
    square=lambda x, mean, log_std: -_summed((x - mean).square() / (2 * (2 * log_std).exp())),
    scale=lambda x, log_std: -x[0].numel() * log_std,
    constant=lambda x: -x[0].numel() * CONSTANT,
)
_PIXEL = Formula("x mean log_std", log_p=lambda x, mean, log_std: Normal(mean, log_std.exp()).log_prob(x))
_LOW = (-10, -8, -7, -6, -5, -4, -3, -2, -1)  # bounds of log σ
_TERMS = (("scale", "constant"), ("scale",), ("constant",))  # those that stand once per pixel


def _log_normal_cases(generator: Generator) -> list[Arguments]:
    def fine(value: Tensor, step: float = 2**-14) -> Tensor:  # float32 holds these and their differences without error
        return (value / step).round() * step

    def case(shape: tuple[int, ...], log_std: float, error: float, spread: float = 0.3) -> Arguments:
        x = fine(uniform(generator, *shape))
        mean = (x + fine(normal(generator, *shape, scale=error))).requires_grad_()
        return x, mean, fine(log_std + spread * uniform(generator, 1)[0]).requires_grad_()

    x, _, log_std = case((2, 1, 20, 20), -4.0, 0.0)
    sign, far = (uniform(generator, *x.shape).round() for _ in range(2))
    apart = x + fine((2 * sign - 1) * (0.2 * uniform(generator, *x.shape) + 1.6 * far))
    return [
        case((1, 1, 2, 2), 0.3, 1.0),  # the first: log σ may be taken for σ here
        *[case((4, 1, 3, 3), -1.5, 0.4), case((3, 3, 2, 2), -2.0, 0.1), case((3, 1, 1, 1), 0.5, 1.0)],
        *[case((2, 3, 5, 4), -6.0, 2e-3), case((2, 1, 3, 2), 6.0, 1.0)],
        *[case((2, 1, 2, 3), -13.0, 0.0, 0.0), case((2, 2, 2, 1), -13.0, 1e-4, 0.0)],  # a constant beside σ tells
        (x, apart.requires_grad_(), log_std),  # densities that round to 0, and others far from it
    ]


def _counted(count: Callable[[Tensor], float], *terms: str) -> Answer:
    """With terms that count `count(x)` times in a picture, where they stand once per pixel."""
    return lambda x, *others: _NORMAL.times(**dict.fromkeys(terms, count(x) / x[0].numel()))(x, *others)


def _square(other: Callable[[Tensor, Tensor], Tensor]) -> SumOf:
    """With another square; other: of the errors and σ, per pixel."""
    return _NORMAL.but(square=lambda x, mean, log_std: -0.5 * _summed(other(x - mean, log_std.exp())))


def _squared_error(of: Callable[[Tensor], Tensor], factor: float) -> Answer:
    return lambda x, mean, log_std: factor * of((x - mean).square())


def _log_std(*changes: Callable[[Tensor], Tensor]) -> list[Answer]:
    """With another log σ: everywhere, and in one term alone."""
    everywhere = [_NORMAL.given(log_std=change) for change in changes]
    return everywhere + [_NORMAL.within(term, log_std=c) for term in ("square", "scale") for c in changes]


def _with_small(small: float, power: int) -> list[Answer]:
    """With a small number beside σ or its square, or that clamped, where it tells: σ is e^-13 at least."""
    added = _log_std(lambda s: ((power * s).exp() + small).log() / power)
    clamped = _NORMAL.given(log_std=lambda s: (power * s).exp().clamp(min=small).log() / power)
    return added * (small > 1e-5 * exp(-13 * power)) + [clamped] * (small > exp(-13 * power))


normal_log_likelihood = Exercise(
    "normal_log_likelihood",
    _NORMAL,
    _log_normal_cases,
    wrong(
        "you averaged over pixels: independent pixels multiply, so their log-densities add up",
        _counted(lambda x: 1, "square", "scale", "constant"),
        *map(_PIXEL.then, (lambda log_p: log_p.mean((2, 3)).sum(1), lambda log_p: log_p.mean(1).sum((1, 2)))),
        "you subtracted log σ + ½ log 2π once a picture: every pixel has its own",
        _counted(lambda x: 1, "scale", "constant"),
        "you subtracted log σ once a picture: every pixel is divided by σ, or the best σ comes out far too small",
        _counted(lambda x: 1, "scale"),
        "you subtracted ½ log 2π once a picture: every pixel has its own",
        _counted(lambda x: 1, "constant"),
        "you multiplied by the number of pixels what is summed over the pixels as well: do one of the two",
        *[_counted(lambda x: x[0].numel() ** 2, *terms) for terms in _TERMS],
        "½ log 2π is missing, once per pixel: without it this is not the log of a density",
        _NORMAL.times(constant=0),
        "½ log 2π is missing, and log σ is subtracted once a picture: both belong to every pixel",
        _NORMAL.but(scale=lambda log_std: -log_std, constant=lambda: 0),
        "− log σ is missing: without it a large σ costs nothing, and a learned σ grows without end",
        _NORMAL.times(scale=0),
        "the ½ before the square and ½ log 2π for every pixel are missing",
        _NORMAL.times(square=2, constant=0),
        "− log σ − ½ log 2π is missing, once per pixel: this is only the exponent of the density",
        _NORMAL.times(scale=0, constant=0),
        "the ½ before the square is missing",
        _NORMAL.times(square=2),
        "you subtracted log σ² with no ½ before it: ½ log σ² is log σ",
        _NORMAL.times(scale=2),
        "you halved log σ: it is ½ log σ² that equals log σ",
        _NORMAL.times(scale=0.5),
        "you squared log σ: ½ log σ² is log σ, not ½ (log σ)²",
        *[_NORMAL.within("scale", log_std=change) for change in (torch.square, lambda s: 0.5 * s.square())],
        "you subtracted log 2π for every pixel: the constant is ½ log 2π",
        _NORMAL.times(constant=2),
        "the constant is another: it is ½ log 2π = 0.919 for every pixel, half the natural logarithm of 2π",
        *(_NORMAL.times(constant=c / CONSTANT) for c in (log(pi) / 2, log(2) / 2, log(2) * pi / 2, 2 * log(2 * pi))),
        *(_NORMAL.times(constant=of(2 * pi) / CONSTANT) for of in (sqrt, log10, log2, lambda v: log10(v) / 2)),
        "you divided by 2πσ² for every pixel: the density of one has its root, √(2π) σ",
        _NORMAL.times(scale=2, constant=2),
        "you counted height × width pixels: every channel has its own",
        *[_counted(lambda x: x[0, 0].numel(), *terms) for terms in _TERMS],
        "you counted the pixels of the whole batch: x.numel() includes every picture of it",
        *[_counted(lambda x: x.numel(), *terms) for terms in _TERMS],
        "½ log 2π was added: it is subtracted",
        _NORMAL.times(constant=-1),
        "log σ was added: the density is divided by σ, so log σ is subtracted",
        _NORMAL.times(scale=-1),
        "log σ + ½ log 2π was added: it is subtracted",
        _NORMAL.times(scale=-1, constant=-1),
        "the square has the wrong sign: an error lowers the density",
        _NORMAL.times(square=-1),
        "you divided the square by σ: it is divided by σ²",
        _NORMAL.within("square", log_std=lambda s: 0.5 * s),
        "you gave the variance where the standard deviation belongs: σ is exp(log_std), not its square",
        *[_NORMAL.given(log_std=lambda s: 2 * s), _NORMAL.within("square", log_std=lambda s: 2 * s)],
        "you took exp(log_std) for the variance, as if it were log σ²; here it is log σ",
        _NORMAL.given(log_std=lambda s: 0.5 * s),
        "the error was multiplied by σ: it is divided by σ",
        _NORMAL.within("square", log_std=torch.neg),
        "you used log σ as if it were σ: take exp first",
        _PIXEL.but(log_p=lambda x, mean, log_std: Normal(mean, log_std).log_prob(x)).then(_summed),
        *[_NORMAL.given(log_std=torch.log), _NORMAL.given(log_std=lambda s: s.abs().log())],
        _square(lambda error, std: (error / std.log()).square()),
        _square(lambda e, std: (e / std.log()).square()).but(scale=lambda x, log_std: -x[0].numel() * log_std.log()),
        "you took exp twice, or subtracted σ for log σ: σ = exp(log_std), and log σ is log_std",
        *_log_std(torch.exp),
        "the error is not squared",
        *map(_square, (lambda e, std: e / std, lambda e, std: -e / std, lambda e, std: e.abs() / std)),
        *map(_square, (lambda e, std: e / std**2, lambda e, std: -e / std**2, lambda e, std: e.abs() / std**2)),
        _square(lambda error, std: (error.flatten(1) / std).norm(dim=-1, keepdim=True)),
        "you summed the errors before the square: square that of each pixel, then sum",
        _square(lambda error, std: _summed(error / std).square()[:, None]),
        "you took softplus for σ: here log_std is log σ, so σ is its exp",
        *_log_std(lambda s: softplus(s).log(), lambda s: (softplus(s) + 1e-6).log()),
        "σ is not used: this is the log-density for σ = 1",
        _NORMAL.given(log_std=torch.zeros_like),
        "you put the σ in that suits these pictures best, from their errors: log_std is given",
        lambda x, mean, log_std: _NORMAL(x, mean, (x - mean).square().mean().sqrt().log()),
        lambda x, mean, log_std: _NORMAL(x, mean, (x - mean).detach().square().mean().sqrt().log()),
        "this is a squared error, or minus one, not a log-density: σ and the constant are missing",
        *[_squared_error(of, factor) for of in (_summed, torch.mean) for factor in (1.0, 0.5, -0.5, -1.0)],
        *[_squared_error(partial(torch.mean, dim=(1, 2, 3)), factor) for factor in (1.0, 0.5, -0.5, -1.0)],
        "the square is a mean over pixels and the rest a sum: take the sum of both",
        _counted(lambda x: 1, "square"),
        "you cut the log-density off at 0: a density, unlike a probability, may exceed 1",
        *[_PIXEL.then(lambda log_p: _summed(log_p.clamp(max=0))), _NORMAL.then(partial(torch.clamp, max=0))],
        "you added a small number to σ: log_std.exp() is positive already",
        *[answer for small in SMALL for power in (1, 2) for answer in _with_small(small, power)],
        "you bounded log_std, by a clamp or softly: take it as it is, a small σ is no error",
        *[_NORMAL.given(log_std=partial(torch.clamp, min=low, max=b)) for low in (-20, *_LOW) for b in (2, 5)],
        *[_NORMAL.given(log_std=partial(torch.clamp, min=low, max=b)) for low in _LOW for b in (-low, inf)],
        *[_NORMAL.given(log_std=partial(logaddexp, torch.tensor(float(low)))) for low in _LOW],
        "the density rounds to 0 far from the mean, and its logarithm is −∞: write log p down without exp of the square",
        _PIXEL.then(lambda log_p: _summed(log_p.exp().log())),
        "a product of many densities rounds to 0 or overflows: add their logarithms instead",
        _PIXEL.then(lambda log_p: log_p.exp().flatten(1).prod(-1).log()),
        "you applied a sigmoid: mean is the mean of the pixels already, not a logit",
        _NORMAL.given(mean=torch.sigmoid),
        "you clamped the mean: take it as it is, a normal likelihood has room outside [0, 1]",
        *[_NORMAL.given(mean=partial(torch.clamp, min=small, max=1 - small)) for small in (0.0, *SMALL[4:])],
        "this is −log p, the loss: return the log-likelihood itself",
        _NORMAL.then(torch.neg),
        "this is the density: return its logarithm",
        _NORMAL.then(torch.exp),
        "you summed over the batch too: return one number per picture",
        _NORMAL.then(torch.sum),
        *[_PIXEL.then(partial(torch.sum, dim=d)) for d in ((0,), (0, 1), (0, 2), (0, 1, 2), (0, 1, 3), (0, 2, 3))],
        "you averaged over the batch: return one number per picture",
        _NORMAL.then(torch.mean),
        "you averaged over all pixels of all pictures: sum over the pixels of each, and return one number per picture",
        _PIXEL.then(torch.mean),
        "you did not sum over the pixels of a picture",
        _PIXEL,
        "you summed over the last axis only: a picture has three, channels, height and width",
        _PIXEL.then(partial(torch.sum, dim=-1)),
        "you summed over height and width only: the channels belong to the picture too",
        _PIXEL.then(partial(torch.sum, dim=(-2, -1))),
        "no gradient reaches log_std: float(), .item() or a detach cut its path, so σ could not be learned",
        _NORMAL.given(log_std=torch.detach),
        "no gradient reaches the mean: something cut its path",
        _NORMAL.given(mean=torch.detach),
        "no gradient flows back from the result: a detach, .data or no_grad stands in the way",
        _NORMAL.then(torch.detach),
    ),
    tolerance=1e-5,  # float32 on the way rounds a sum over the pixels
)


# 2. the log-probability of a grey level under a discretised logistic

_LEVEL = Formula(
    "x location log_scale levels",
    half=lambda levels: 0.5 / (levels - 1),
    scale=lambda log_scale: log_scale.exp(),
    upper=lambda x, half, location, scale: (x + half - location) / scale,
    lower=lambda x, half, location, scale: (x - half - location) / scale,
    lowest=lambda x, half: x < half,
    highest=lambda x, half: x > 1 - half,
    below=lambda upper: logsigmoid(upper),  # log S: all the mass up to this level
    above=lambda lower: logsigmoid(-lower),  # all the mass from this level on
    within=lambda below, above, upper, lower: below + above + torch.log(-torch.expm1(lower - upper)),
    high=lambda highest, above, within: torch.where(highest, above, within),
    log_p=lambda lowest, below, high: torch.where(lowest, below, high),
)
_PLAIN = _LEVEL.but(  # the difference of two values of S, as the table of the lecture has it
    at_most=lambda upper, highest: torch.where(highest, torch.ones_like(upper), upper.sigmoid()),
    under=lambda lower, lowest: torch.where(lowest, torch.zeros_like(lower), lower.sigmoid()),
    p=lambda at_most, under: at_most - under,
    log_p=lambda p: p.log(),
)


def _normal_within(upper: Tensor, lower: Tensor) -> Tensor:
    right = upper + lower > 0  # there the mass is that of the mirrored interval
    far, near = torch.where(right, -lower, upper), torch.where(right, -upper, lower)
    log_p: Tensor = log_ndtr(far) + torch.log(-torch.expm1(log_ndtr(near) - log_ndtr(far)))
    return log_p


def _log_density(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    away = (x - location) / scale
    return logsigmoid(away) + logsigmoid(-away) - scale.log()


def _level_cases(generator: Generator) -> list[Arguments]:
    def case(levels: int, *shape: int, low: float = -2.5, high: float = -0.5) -> Arguments:
        x = torch.randint(levels, shape, generator=generator).double() / (levels - 1)
        location = uniform(generator, *shape) * 1.4 - 0.2
        log_scale = low + (high - low) * uniform(generator, *shape)
        return x, location.requires_grad_(), log_scale.requires_grad_(), levels

    ends = torch.tensor([[0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    beyond = torch.tensor([[-0.4, 1.5, 0.9, 0.2]], dtype=torch.float64).requires_grad_()
    scales = (normal(generator, 1, 4, scale=0.1) - 1.5).requires_grad_()
    sharp = case(16, 1, 12, low=-6.0, high=-5.0)  # a level far from the location has a probability that rounds to 0
    return [case(16, 3, 5), case(4, 2, 6), case(2, 1, 8), case(256, 2, 10), (ends, beyond, scales, 4), sharp]


_within = _LEVEL.instead("within")


def _difference(upper: Tensor, lower: Tensor, change: Callable[[Tensor], Tensor] = torch.clone) -> Tensor:
    """The logarithm of the difference of two values of S, changed."""
    return change(upper.sigmoid() - lower.sigmoid()).log()


def _density_where_small(
    x: Tensor, location: Tensor, scale: Tensor, upper: Tensor, lower: Tensor, half: float, width: Any = None
) -> Tensor:
    """As in PixelCNN++: below 1e-5 the difference gives way to a density times a width."""
    p = upper.sigmoid() - lower.sigmoid()
    density = _log_density(x, location, scale) + log(width(half))
    return torch.where(p > 1e-5, p.clamp(min=1e-12).log(), density)


level_probability = Exercise(
    "level_probability",
    _LEVEL,
    _level_cases,
    wrong(
        "the lowest level has no tail here: it takes all the mass below it as well, S((h − μ)/s)",
        _LEVEL.but(log_p=lambda high: high),
        "the highest level has no tail here: it takes all the mass above it as well, 1 − S((1 − h − μ)/s)",
        _LEVEL.but(high=lambda within: within),
        "an end level has the wrong edge: the lowest reaches up to h, and the highest begins at 1 − h",
        _LEVEL.but(high=lambda highest, upper, within: torch.where(highest, logsigmoid(-upper), within)),
        _LEVEL.but(log_p=lambda lowest, lower, high: torch.where(lowest, logsigmoid(lower), high)),
        _LEVEL.but(
            high=lambda highest, upper, within: torch.where(highest, logsigmoid(-upper), within),
            log_p=lambda lowest, lower, high: torch.where(lowest, logsigmoid(lower), high),
        ),
        "the two end levels have no tails here: they take the mass beyond them, or the levels do not sum to 1",
        _LEVEL.but(log_p=lambda within: within),
        "the tails are exchanged: the lowest level takes what lies below, the highest what lies above",
        _LEVEL.but(
            high=lambda highest, below, within: torch.where(highest, below, within),
            log_p=lambda lowest, above, high: torch.where(lowest, above, high),
        ),
        "log S(a) + log S(−b) is not yet the difference S(a) − S(b): the factor 1 − exp(b − a) is missing",
        _LEVEL.but(within=lambda below, above: below + above),
        "every level takes the whole lower tail: subtract what lies below the level",
        _LEVEL.but(log_p=lambda below: below),
        "h is half the distance of two levels, ½ / (levels − 1): you took the whole distance",
        _LEVEL.but(half=lambda levels: 1 / (levels - 1)),
        "the levels lie 1 / (levels − 1) apart, from 0 to 1: you took 1 / levels",
        _LEVEL.but(half=lambda levels: 0.5 / levels),
        "the levels lie 1 / (levels − 1) apart, from 0 to 1, and h is half of that: you took 1 / levels",
        _LEVEL.but(half=lambda levels: 1 / levels),
        "h is 1/255 here whatever the number of levels: it is ½ / (levels − 1)",
        _LEVEL.but(half=lambda: 1 / 255),
        "h is ½/255 here whatever the number of levels: it is ½ / (levels − 1)",
        _LEVEL.but(half=lambda: 0.5 / 255),
        "the interval lies above the level, from x to x + 2h: the level stands in its middle, from x − h to x + h",
        _LEVEL.but(
            upper=lambda x, half, location, scale: (x + 2 * half - location) / scale,
            lower=lambda x, location, scale: (x - location) / scale,
        ),
        "the interval lies below the level, from x − 2h to x: the level stands in its middle, from x − h to x + h",
        _LEVEL.but(
            upper=lambda x, location, scale: (x - location) / scale,
            lower=lambda x, half, location, scale: (x - 2 * half - location) / scale,
        ),
        "h was not divided by s: the bracket (x ± h − μ) is divided as a whole",
        _LEVEL.but(
            upper=lambda x, half, location, scale: (x - location) / scale + half,
            lower=lambda x, half, location, scale: (x - location) / scale - half,
        ),
        "you multiplied by s: the distance from μ is divided by it",
        _LEVEL.but(scale=lambda log_scale: (-log_scale).exp()),
        "you took log s for s: take exp first",
        _LEVEL.but(scale=lambda log_scale: log_scale),
        "you took exp(½ log s), as if the number were the logarithm of a square",
        _LEVEL.given(log_scale=lambda s: s / 2),
        "you took s², as if s were a standard deviation to be squared: a logistic is divided by s",
        _LEVEL.given(log_scale=lambda s: 2 * s),
        "you took softplus for s: here the number is log s, so s is its exp",
        _LEVEL.but(scale=lambda log_scale: softplus(log_scale)),
        "log s is clamped: take it as it is, a small s is no error",
        *[_LEVEL.given(log_scale=partial(torch.clamp, min=b)) for b in (-5, -4, -3, -2, -1)],
        "μ was added: the distance from it is x − μ",
        _LEVEL.given(location=torch.neg),
        "the location is squashed by a sigmoid: take it as it is, it may lie outside [0, 1]",
        _LEVEL.given(location=torch.sigmoid),
        "the location is clamped to [0, 1]: take it as it is, it may lie outside",
        _LEVEL.given(location=lambda m: m.clamp(0, 1)),
        "this is the density times the width of a level, not the probability between its edges",
        _LEVEL.but(log_p=lambda x, location, scale, half: _log_density(x, location, scale) + log(2 * half)),
        "this is the log-density at x: the probability of a level lies between its edges",
        _LEVEL.but(log_p=lambda x, location, scale: _log_density(x, location, scale)),
        "far from μ the difference of two values of S rounds to 0, and its logarithm is −∞, or that of a small number beside it: build log P from logsigmoid",
        _PLAIN,
        *[_PLAIN.but(log_p=lambda p, small=small: (p + small).log()) for small in SMALL],
        *[_PLAIN.but(log_p=lambda p, small=small: p.clamp(min=small).log()) for small in SMALL],
        *_within(lambda upper, lower: (upper.sigmoid() - lower.sigmoid()).log()),
        *_within(*[partial(_difference, change=partial(torch.add, other=small)) for small in SMALL]),
        *_within(*[partial(_difference, change=partial(torch.clamp, min=small)) for small in SMALL]),
        "where S(a) − S(b) is small you took the density in the middle, times a width, as some programs do: it is no probability between edges",
        *_within(*[partial(_density_where_small, width=width) for width in (lambda h: 2 * h, lambda h: 4 * h)]),
        *_within(*[partial(_density_where_small, width=width) for width in (lambda h: h, lambda h: 1 / 127.5)]),
        "this is a normal, not a logistic: its distribution function is S, the sigmoid",
        _LEVEL.but(below=lambda upper: log_ndtr(upper), above=lambda lower: log_ndtr(-lower), within=_normal_within),
        "this is the probability: return its logarithm",
        _LEVEL.then(torch.exp),
        "the sign is flipped: this is the loss, return log P itself",
        _LEVEL.then(torch.neg),
        "this is in bits: return nats, the natural logarithm",
        _LEVEL.then(lambda log_p: log_p / log(2)),
        "you summed over the pixels: return one number per pixel",
        _LEVEL.then(lambda log_p: log_p.sum(-1)),
        "you averaged over the pixels: return one number per pixel",
        _LEVEL.then(lambda log_p: log_p.mean(-1)),
        "you summed over everything: return one number per pixel",
        _LEVEL.then(torch.sum),
        "no gradient reaches log s: something cut its path",
        _LEVEL.given(log_scale=torch.detach),
        "no gradient reaches the location: something cut its path",
        _LEVEL.given(location=torch.detach),
    ),
)


# 3. nats of a dequantised picture → bits per dimension of its grey levels

_BITS = Formula(
    "log_p dimensions levels",
    cells=lambda levels: log2(levels),
    nats=lambda log_p, dimensions: -log_p / dimensions,
    density=lambda nats: nats / log(2),
    bits=lambda cells, density: cells + density,
)


def _bits_cases(generator: Generator) -> list[Arguments]:
    # batch, dimensions, levels, and about how many nats a dimension
    drawn = [(4, 784, 256, 2.0), (1, 12, 16, -1.0), (3, 1, 2, 1.2), (3, 784, 1, -0.1), (5, 3072, 32, -3.0)]
    flat = torch.zeros(2, dtype=torch.float64), 48, 256  # the uniform density
    return [*[(d * (nats + normal(generator, n, scale=0.3)), d, levels) for n, d, levels, nats in drawn], flat]


bits_per_dimension = Exercise(
    "bits_per_dimension",
    _BITS,
    _bits_cases,
    wrong(
        "the sign is flipped: a large log p means few bits",
        _BITS.then(torch.neg),
        "log p has the wrong sign: bits are minus the logarithm of a probability",
        _BITS.but(bits=lambda cells, density: cells - density),
        "log 2 and log L are missing: these are nats per dimension, of a density on [0, 1]",
        _BITS.but(bits=lambda nats: nats),
        "exp(log p) overflows or underflows for a picture: to change the base of a logarithm divide by log 2",
        _BITS.but(density=lambda log_p, dimensions: -log_p.exp().log2() / dimensions),
        "log L has the wrong sign: a cell has the volume L^−D, so its probability is smaller than the density, and costs more",
        _BITS.but(bits=lambda cells, density: density - cells),
        "log L is missing: these are bits of a density on [0, 1], not of grey levels",
        _BITS.but(bits=lambda density: density),
        "you subtracted log L once a picture: the cell of D dimensions has the volume L^−D",
        _BITS.but(cells=lambda dimensions, levels: log2(levels) / dimensions),
        "you added D log₂ L after dividing by D: per dimension it is log₂ L",
        _BITS.but(cells=lambda dimensions, levels: dimensions * log2(levels)),
        "you added log L in nats to bits: divide it by log 2 as well",
        _BITS.but(cells=lambda levels: log(levels)),
        "you added log L in bits to nats: divide log p by log 2 as well",
        _BITS.but(density=lambda nats: nats),
        "log₂ L is in bits already, and you divided it by log 2 again",
        _BITS.but(cells=lambda levels: log2(levels) / log(2)),
        "brackets: the division must cover log p as well",
        *_BITS.each(bits=[lambda cells, log_p: cells - log_p, lambda cells, log_p: -cells - log_p]),
        "these are nats per dimension: divide by log 2",
        _BITS.then(lambda bits: bits * log(2)),
        "you multiplied by log 2: a nat is 1 / log 2 bits, so divide",
        _BITS.then(lambda bits: bits * log(2) ** 2),
        "you divided by 2: a nat is 1 / log 2 bits",
        _BITS.then(lambda bits: bits * log(2) / 2),
        "you divided by log 10: bits are logarithms to base 2, so divide by log 2",
        _BITS.then(lambda bits: bits * log(2) / log(10)),
        "these are the bits of a whole picture: divide by the number of dimensions",
        _BITS.but(picture=lambda bits, dimensions: bits * dimensions),
        "you divided by the number of dimensions twice",
        _BITS.but(again=lambda bits, dimensions: bits / dimensions),
        _BITS.but(density=lambda nats, dimensions: nats / dimensions / log(2)),
        "you divided by the size of the batch: divide by the number of dimensions",
        _BITS.but(share=lambda bits, dimensions, log_p: bits * dimensions / len(log_p)),
        "you divided by log L: that is the unit of L-valued digits, bits take log 2",
        _BITS.but(digits=lambda bits, cells: bits / cells),
        _BITS.but(digits=lambda bits, levels: bits / torch.tensor(levels).log2()),
        "you took L − 1: the pictures are (k + u) / L, so a cell is 1 / L wide",
        _BITS.given(levels=lambda levels: levels - 1),
        *_BITS.each(cells=[lambda levels: log2(levels - 1), lambda levels: torch.tensor(levels - 1).double().log2()]),
        "you added 8 bits always: that is log₂ 256; the number of levels is an argument",
        _BITS.given(levels=lambda _: 256),
        "you added L itself: per dimension it is log₂ L",
        *_BITS.each(cells=[lambda levels: levels, lambda levels: levels / log(2)]),
        "log p is not divided by the number of dimensions, though log L counts once",
        _BITS.but(density=lambda log_p: -log_p / log(2)),
        "you took a logarithm of log p: it is one already, divide it by log 2",
        _BITS.but(density=lambda log_p, dimensions: -log_p.log2() / dimensions / log(2)),
        _BITS.but(density=lambda log_p, dimensions: -log_p.log2() / dimensions),
        _BITS.but(density=lambda log_p, dimensions: (-log_p).log2() / dimensions),
        lambda log_p, dimensions, levels: -(log_p - dimensions * log(levels)).log2() / dimensions,
        lambda log_p, dimensions, levels: (dimensions * log(levels) - log_p).log2() / dimensions,
        "you took an absolute value, or cut the bits off at 0: a density above 1 may cost fewer than none",
        *[_BITS.then(torch.abs), _BITS.then(torch.relu)],
        "you averaged over the batch: return one number per picture",
        _BITS.then(torch.mean),
        "you summed over the batch: return one number per picture",
        _BITS.then(torch.sum),
    ),
)


# 4. free bits, for a batch

_FREE = Formula(
    "kl beta free",
    rates=lambda kl: kl.mean(0),  # [latents]
    counted=lambda rates, free: rates.clamp(min=free),
    total=lambda counted: counted.sum(),
    penalty=lambda total, beta: beta * total,
)
_rates, _counted_kl, _total = _FREE.instead("rates"), _FREE.instead("counted"), _FREE.instead("total")
_penalty = _FREE.instead("penalty")


def _free_bits_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, levels: list[float], beta: float, free: float) -> Arguments:
        # Each latent has its level, and its pictures scatter around it: some above the threshold, some below.
        scatter = 0.1 + 1.8 * uniform(generator, batch, len(levels))
        mixed = (
            torch.tensor(levels, dtype=torch.float64) * scatter / scatter.mean(0) * (1 + 0.01 * uniform(generator, 1))
        )
        return mixed.requires_grad_(), beta, free

    cases = [case(5, [0.1, 0.4, 0.7, 1.5], 4.0, 0.5), case(4, [0.02, 0.3, 2.0, 0.2], 0.25, 0.1)]
    cases += [case(1, [0.2, 3.0, 0.7], 1.5, 1.0), case(6, [1.2, 0.3], 10.0, 2.0), case(3, [0.1, 0.2, 0.3], 3.0, 0.0)]
    return [*cases, case(3, [0.9, 40.0, 0.001, 2.2, 1.4, 0.6], 2.0, 1.0), case(7, [0.6], 3.0, 0.4)]


free_bits = Exercise(
    "free_bits",
    _FREE,
    _free_bits_cases,
    wrong(
        "you compared β times the KL with λ: λ is nats of the KL itself, so clamp first, then multiply by β",
        _FREE.but(counted=lambda rates, beta, free: (beta * rates).clamp(min=free), penalty=lambda total: total),
        "β multiplies only a part here: it multiplies the whole sum, what is counted for the latents below λ too",
        _FREE.but(
            counted=lambda rates, beta, free: rates.where(rates < free, beta * rates).clamp(min=free),
            penalty=lambda total: total,
        ),
        _FREE.but(
            counted=lambda rates, beta, free: torch.where(rates > free, beta * rates, free), penalty=lambda total: total
        ),
        _FREE.but(counted=lambda rates, beta, free: rates.clamp(min=beta * free), penalty=lambda total: total),
        "you compared the sum over the latents with λ: every latent has its own λ, so that none may be closed for another",
        *_total(lambda rates, free: rates.sum().clamp(min=free)),
        *_total(lambda rates, free: rates.sum().clamp(min=free * len(rates))),
        *_total(lambda rates, free: (rates.sum() - free).clamp(min=0)),
        *_total(lambda rates, free: (rates.sum() - free * len(rates)).clamp(min=0)),
        "you compared the mean over the latents with λ: every latent has its own λ",
        *_total(lambda rates, free: rates.mean().clamp(min=free)),
        "you compared the KL of each picture with λ: the batch's mean first, so that a latent may cost one picture nothing and another much",
        *_rates(lambda kl, free: kl.clamp(min=free).mean(0)),
        "this is one number for each picture, as in the lecture, where each picture is compared alone: compare the batch's mean, which gives one for all",
        _FREE.but(rates=lambda kl: kl, total=lambda counted: counted.sum(1)),
        "you summed over the batch: the mean over its pictures is compared with λ, and counted",
        _FREE.but(rates=lambda kl: kl),
        "you compared the KL of each picture, all latents together, with λ: the mean over the batch, for each latent, is compared",
        *_total(lambda kl, free: kl.sum(1).clamp(min=free).mean()),
        *_total(lambda kl, free: kl.sum(1).clamp(min=free * kl.shape[1]).mean()),
        "you took the smaller of the two: max(λ, KL), clamp(min=λ), counts at least λ; the smaller one would press on the idle latents only",
        *_counted_kl(lambda rates, free: rates.clamp(max=free)),
        "this counts only what lies above λ: the same gradient, but max(λ, KL) is λ for a latent below it, and not less",
        *_counted_kl(lambda rates, free: (rates - free).clamp(min=0)),
        "latents below λ count 0 here: they count λ, or the loss would jump where a latent crosses it",
        *_counted_kl(lambda rates, free: torch.where(rates > free, rates, 0)),
        "latents above λ count 0 here, or λ: they count their KL",
        *_counted_kl(lambda rates, free: torch.where(rates > free, 0, free)),
        *_counted_kl(lambda rates, free: torch.where(rates > free, 0, rates)),
        *_counted_kl(lambda rates, free: 0 * rates + free),
        "λ was added to the KL: the larger of the two counts",
        *_counted_kl(lambda rates, free: rates + free),
        "the value is right, but a latent below λ still feels a gradient, and is pressed on to 0: where λ counts, no gradient reaches the KL",
        *_counted_kl(lambda rates, free: rates + (rates.clamp(min=free) - rates).detach()),
        "the value is right, but no gradient reaches the latents above λ: .detach(), .item() and torch.tensor cut it off",
        *_counted_kl(lambda rates, free: rates.clamp(min=free).detach()),
        *_counted_kl(lambda rates, free: rates.detach() + 0 * rates + (free - rates.detach()).clamp(min=0)),
        "you averaged over the latents: the KL of a code is the sum over its latents",
        *_total(lambda counted: counted.mean()),
        "you summed over the batch before the clamp: λ is compared with the batch's mean",
        *_rates(lambda kl: kl.sum(0)),
        _FREE.but(rates=lambda kl: kl.sum(0), penalty=lambda total, beta, kl: beta * total / len(kl)),
        "the mean runs over the latents, and the sum over the pictures: kl is [batch, latents], so the mean runs over axis 0",
        *_rates(lambda kl: kl.mean(1)),
        "you shared λ out among the latents: every latent has all of λ",
        *_counted_kl(lambda rates, free: rates.clamp(min=free / len(rates))),
        "you took λ for bits: the name is old, λ is in nats as the KL is",
        *_counted_kl(
            lambda rates, free: rates.clamp(min=free * log(2)), lambda rates, free: rates.clamp(min=free / log(2))
        ),
        "β is missing",
        *_penalty(lambda total: total),
        "β was applied twice, or divides: it multiplies the sum, once",
        *_penalty(lambda total, beta: beta**2 * total, lambda total, beta: total / beta),
        "this is β times the KL as it is: λ has no effect",
        *_counted_kl(lambda rates: rates),
        "these are numbers for each latent: add them up",
        *_total(lambda counted: counted),
        "the sign is flipped: a penalty is added to a loss, and is not negative",
        _FREE.then(torch.neg),
    ),
)


# 5. the β of a loss

_FIT = Formula(
    "loss distortion rate",
    columns=lambda distortion, rate: [distortion, rate, torch.ones_like(rate)],
    design=lambda columns: torch.stack(columns, -1),
    abc=lambda loss, design: torch.linalg.lstsq(design, loss[:, None]).solution[:, 0],
    a=lambda abc: abc[0],
    b=lambda abc: abc[1],
    fitted=lambda design, abc: design @ abc,
    left=lambda loss, fitted: loss - fitted,
    beta=lambda a, b: b / a,
    residual=lambda left, loss: left.std() / loss.std(),
    both=lambda beta, residual: (beta, residual),
)
_CONSTANT_LEFT = _FIT.but(fitted=lambda distortion, rate, a, b: a * distortion + b * rate)
_ALONE = _CONSTANT_LEFT.but(columns=lambda distortion, rate: [distortion, rate])
_betas, _residuals = _FIT.instead("beta"), _FIT.instead("residual")
MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "sd": lambda v: v.std(),
    "sd0": lambda v: v.std(correction=0),
    "sd3": lambda v: (v.square().sum() / (len(v) - 3)).sqrt(),
    "rms": lambda v: v.square().mean().sqrt(),
    "norm": lambda v: v.norm(),
    "var": lambda v: v.var(),
    "square": lambda v: v.square().mean(),
    "squares": lambda v: v.square().sum(),
    "size": lambda v: v.abs().mean(),
    "mad": lambda v: (v - v.mean()).abs().mean(),
    "mean": lambda v: v.mean(),
    "max": lambda v: v.abs().max(),
    "1": lambda v: torch.ones_like(v[0]),
}


def _beta_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, a: float, b: float, c: float, noise: float = 0.0) -> Arguments:
        shared = normal(generator, n)  # where the rate is high, the distortion is low
        distortion = 100 + 20 * (0.8 * normal(generator, n) - 0.6 * shared)
        rate = 25 + 5 * (0.8 * normal(generator, n) + 0.6 * shared)
        return a * distortion + b * rate + c + normal(generator, n, scale=noise), distortion, rate

    # Neither c nor the noise is 0, or what is divided by them would be a rounding error.
    ordinary = [case(60, 1.0, 1.0, 7.0, 0.1), case(50, 1.0, 4.0, 720.0, 0.1), case(30, 2.0, 1.0, -20.0, 0.1)]
    means = case(40, 2 / 784, 0.1 / 5, 0.4, 1e-3)  # over 784 pixels and 5 latents: β = 7.84
    noisy = [case(50, 1.0, 2.0, -30.0, 8.0), case(9, 0.5, 3.0, 300.0, 4.0), case(200, 1.0, -1.0, 10.0, 30.0)]
    return [*ordinary, means, *noisy]


def _slope(y: Tensor, x: Tensor) -> Tensor:
    return ((y - y.mean()) * (x - x.mean())).sum() / (x - x.mean()).square().sum()


def _ratios(uppers: str, lowers: str, of: Formula = _FIT) -> list[Formula]:
    """The residual as ratios of two MEASURES, of what is left and of the loss."""
    pairs = [(MEASURES[upper], MEASURES[lower]) for upper in uppers.split() for lower in lowers.split()]
    return [of.but(residual=named(lambda left, loss, u=u, v=v: u(left) / v(loss), "left loss")) for u, v in pairs]


_BY_SLOPES = _ALONE.but(a=lambda loss, distortion: _slope(loss, distortion), b=lambda loss, rate: _slope(loss, rate))
_TABLE = _FIT.but(fitted=lambda design, abc: (design @ abc)[:, None])

effective_beta = Exercise(
    "effective_beta",
    _FIT,
    _beta_cases,
    wrong(
        "this is a / b, which is 1 / β: β is the weight of the rate when the distortion has weight 1",
        *_betas(lambda a, b: a / b),
        "this is b: divide by a, the weight of the distortion, which a mean or a missing ½ changes as well",
        *_betas(lambda b: b),
        "this is a, the weight of the distortion: β is b / a",
        *_betas(lambda a: a),
        "you divided by c: look at the order of the columns of your design",
        *_betas(lambda a, abc: a / abc[2], lambda b, abc: b / abc[2]),
        "you divided c instead of b: look at the order of the columns of your design",
        *_betas(lambda a, abc: abc[2] / a, lambda b, abc: abc[2] / b),
        "the sign of β is flipped: it is b / a",
        *_betas(lambda a, b: -b / a),
        "β was kept from being negative: return it as the fit gives it",
        *_betas(lambda a, b: (b / a).abs(), lambda a, b: (b / a).clamp(min=0)),
        "this is the share of b in a + b: β is b / a",
        *_betas(lambda a, b: b / (a + b)),
        "you compared how much the two terms vary, b sd(rate) and a sd(distortion): β is the ratio of the weights, b / a",
        *_betas(lambda a, b, distortion, rate: b * rate.std() / (a * distortion.std())),
        *_betas(lambda a, b, distortion, rate: (b * rate).std() / (a * distortion).std()),
        "you compared the sizes of the two terms: β is the ratio of their weights, b / a",
        *_betas(lambda a, b, distortion, rate: b * rate.mean() / (a * distortion.mean())),
        "the constant c is missing from the fit: a loss may hold terms that depend on neither part, such as ½ log 2π",
        *[*_ratios("sd sd0 rms", "sd sd0", _ALONE), *_ratios("norm", "norm", _ALONE), *_ratios("sd", "1", _ALONE)],
        _ALONE.given(loss=lambda loss: loss - loss.mean()),
        "you took 1 for the weight a of the distortion: a mean over pixels or a missing ½ gives it another; fit it too",
        _BY_SLOPES.but(a=lambda: 1, b=lambda loss, distortion, rate: _slope(loss - distortion, rate)),
        "this is a ratio of two correlations, or covariances: β is the ratio of the weights of a fit, b / a",
        *_betas(lambda columns, loss: torch.div(*torch.corrcoef(torch.stack([*columns[1::-1], loss]))[2, :2])),
        *_betas(lambda columns, loss: torch.div(*torch.cov(torch.stack([*columns[1::-1], loss]))[2, :2])),
        "you computed what is left with the weights 1 and β: the fit has a and b",
        _FIT.but(fitted=lambda distortion, rate, a, b: distortion + b / a * rate),
        "the constant c is still in what is left: subtract the whole fit from the loss",
        *[*_ratios("rms", "sd sd0", _CONSTANT_LEFT), *_ratios("norm", "norm", _CONSTANT_LEFT)],
        "you fitted each part alone: the two vary together, so fit both at once",
        _BY_SLOPES,
        "you fitted one part first and the other to what was left: the two vary together, so fit both at once",
        _BY_SLOPES.but(b=lambda loss, distortion, rate, a: _slope(loss - a * distortion, rate)),
        _BY_SLOPES.but(a=lambda loss, distortion, rate: _slope(loss - _slope(loss, rate) * rate, distortion)),
        "your design is [3, n], or one row, as stack and cat put their parts along axis 0: the columns belong along axis 1, [n, 3]",
        *_FIT.each(design=[lambda columns: torch.stack(columns), lambda columns: torch.cat(columns)]),
        _FIT.but(abc=lambda loss, columns: torch.linalg.lstsq(torch.stack(columns), loss)),
        "lstsq was given its two arguments in the wrong order: the design comes first, then what it is to fit",
        _FIT.but(abc=lambda loss, design: torch.linalg.lstsq(loss[:, None], design).solution[0]),
        _FIT.but(abc=lambda loss, design: torch.linalg.lstsq(loss[:, None], design).solution[:, 0]),
        "the residual is not relative: divide the standard deviation of what is left by that of the loss",
        *_ratios("sd sd0 sd3 norm", "1"),
        "the residual is a mean or sum of squares, or over one: take the standard deviation of what is left, over that of the loss",
        *[*_ratios("var square squares", "1 sd sd0"), *_ratios("sd sd0", "var square squares")],
        "this residual is 1 − R², a ratio of variances: take its root, the ratio of standard deviations",
        *[*_ratios("var", "var"), *_ratios("square", "var")],
        "this residual is R², the share of the variance that the fit explains: return what it leaves, sd over sd",
        *_residuals(lambda left, loss: 1 - left.var() / loss.var()),
        "this residual is the correlation of fit and loss: return what the fit leaves, sd over sd",
        *_residuals(lambda left, loss: (1 - left.var() / loss.var()).sqrt()),
        *_residuals(lambda fitted, loss: fitted.std() / loss.std()),
        "the two standard deviations of the residual divide by different counts: n, n − 1 or n − 3, but the same for both",
        *[*_ratios("sd sd3 norm", "sd0"), *_ratios("sd0 sd3 norm", "sd")],
        "you took mean absolute values for the residual: take standard deviations",
        *_ratios("mad size", "mad 1 sd sd0 size"),
        "you divided the residual by the size of the loss, its mean included: divide by its standard deviation",
        *[*_ratios("sd sd0", "mean size rms"), *_ratios("norm", "norm")],
        "you divided by the standard deviation of the fit: divide by that of the loss",
        *_residuals(lambda left, fitted: left.std() / fitted.std()),
        "this residual is upside down: the standard deviation of what is left stands over that of the loss",
        *_residuals(lambda left, loss: loss.std() / left.std()),
        "[n] minus [n, 1] is [n, n], every loss against every fit: bring both to one shape before you subtract",
        *[*_ratios("sd", "sd", _TABLE), *_ratios("sd0", "sd0", _TABLE)],
        _FIT.but(abc=lambda loss, design: torch.linalg.lstsq(design, loss[:, None]).solution),
        "the residual is the largest deviation over the spread of the loss: take the standard deviation of what is left",
        *_ratios("max", "1 sd sd0"),
        "the residual is 0 everywhere, or empty: the mean of what is left always is 0, and lstsq may leave its .residuals empty; "
        "compute what is left, and take its standard deviation",
        *[*_ratios("mean", "1 sd"), *_residuals(lambda loss: torch.zeros_like(loss[0]), lambda loss: loss[:0])],
        "the two results are exchanged: return β first",
        _FIT.then(lambda both: both[::-1]),
    ),
    results=("β", "residual"),
    tolerance=1e-5,
)
