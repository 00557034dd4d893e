"""The sheet on likelihoods and evaluation: one σ for all pixels, bits per dimension, active units, log p(x), the β of a loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from math import ceil, exp, inf, log, log2, log10, pi, sqrt

import torch
from torch import Generator, Tensor, logaddexp
from torch.distributions import Normal
from torch.nn.functional import softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.parts import Formula, Step, SumOf, named, normal, uniform
from vae_course.exercises.slips import SMALL


def _instead(formula: Formula, step: str) -> Callable[..., list[Formula]]:
    """What puts each of several others in the place of a step."""
    return lambda *others: formula.each(**{step: others})


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


# 2. nats of a dequantised picture → bits per dimension of its grey levels

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


# 3. active units

_ACTIVE = Formula(
    "means threshold",
    variance=lambda means: means.var(0),
    active=lambda variance, threshold: variance > threshold,
)
_above = _instead(_ACTIVE, "variance")


def _deviations(means: Tensor, axis: int = 0) -> Tensor:
    return means - means.mean(axis, keepdim=True)


def _active_cases(generator: Generator) -> list[Arguments]:
    def columns(n: int, *moments: tuple[float, float]) -> Tensor:
        """[n, columns] of the given (mean, variance): normal quantiles, so that no draw comes near a limit."""
        quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
        standard = quantiles / quantiles.std()
        drawn = [mean + variance**0.5 * standard[torch.randperm(n, generator=generator)] for mean, variance in moments]
        return torch.stack(drawn, -1)

    def factor() -> float:
        return float(0.9 + 0.2 * uniform(generator, 1)[0])

    usual = [(0.0, 1.0 * factor()), (0.1, 0.2 * factor()), (-0.5, 0.015 * factor())]  # active
    # Not active, but its standard deviation exceeds 0.01; that too but not its mean absolute deviation; its range does;
    # its range does, but none of its numbers; its mean does, but not the square of its mean; the same for all x.
    usual += [(0.0, 0.007 * factor()), (0.004, 1.1e-4), (0.0, 5e-5 * factor()), (0.0, 1e-5), (0.05, 0.001 * factor())]
    usual += [(3.0 * factor(), 0.0), (-2.0 * factor(), 1e-6), (0.0, 0.0)]
    shuffled = [usual[int(i)] for i in torch.randperm(len(usual), generator=generator)]
    exact = 2**-7 * (2.0 * (torch.randperm(8, generator=generator) % 2).double() - 1)  # whose deviations average to 0
    square = [(0.0, 2.0), (4.0 * factor(), 0.01), (0.5, 0.02), (-4.0, 1.0 * factor())]
    return [
        *[(columns(60, *shuffled), 0.01), (columns(4, *square), 0.1), (columns(500, (-1.0, 0.6 * factor())), 0.01)],
        *[(columns(30, (0.0, 0.1), (0.2, 0.8 * factor())), 0.5), (columns(2, (1.0, 0.05), (1.0, 0.002)), 0.01)],
        (torch.cat([columns(8, (2.0, 0.0), (0.0, 0.0)), exact[:, None]], 1), 0.0),
    ]


active_units = Exercise(
    "active_units",
    _ACTIVE,
    _active_cases,
    wrong(
        "you took the variance over the latents: a unit is active if it differs from example to example, axis 0",
        *_above(lambda means: _deviations(means, 1).square().mean(1)),  # var() warns of a single latent
        *_above(lambda means: _deviations(means, 1).square().sum(1) / (means.shape[1] - 1)),
        "you compared the standard deviation with the threshold (or the variance with its square or root): it is for the variance",
        *_above(lambda means: means.std(0), lambda means: means.std(0, correction=0), lambda means: means.var(0) ** 2),
        "you took the mean square: a unit with the same large mean for all x is not active; subtract the mean first",
        *_above(lambda means: means.square().mean(0), lambda means: means.square().mean(0) / 2),
        "you summed the squares: subtract the mean of each unit first, and divide by the number of examples",
        *_above(lambda means: means.square().sum(0)),
        "you summed the squared deviations: the variance is their mean",
        *_above(lambda means: _deviations(means).square().sum(0)),
        "you divided the variance by the number of examples once more",
        *_above(lambda means: means.var(0) / len(means), lambda means: means.var(0, correction=0) / len(means)),
        "you subtracted a mean over the latents: each unit has its own mean over the examples, axis 0",
        *_above(lambda means: (means - means.mean()).square().mean(0)),
        *_above(lambda means: _deviations(means, 1).square().mean(0)),
        *_above(lambda means: means.square().mean(0) - means.mean().square()),
        "you took the mean absolute deviation: the threshold is for the variance",
        *_above(lambda means: _deviations(means).abs().mean(0)),
        "no unit is active in your result: deviations average to 0, so if you average them, square them first",
        *_above(lambda means: _deviations(means).mean(0)),
        "you took the range of the means: the threshold is for their variance",
        *_above(lambda means: means.amax(0) - means.amin(0)),
        "you compared the mean over x with the threshold: take the variance over x",
        *_above(lambda means: means.mean(0)),
        "you compared the size of the mean over x with the threshold: take the variance over x",
        *_above(lambda means: means.mean(0).abs()),
        "you asked whether some mean exceeds the threshold: take the variance over x",
        *_above(lambda means: means.abs().amax(0), lambda means: means.amax(0)),
        "you took each unit's share of the whole variance, or of the largest: the threshold is for the variance itself",
        *_above(lambda means: means.var(0) / means.var(0).sum(), lambda means: means.var(0) / means.var(0).amax()),
        "you divided by the mean: the threshold is for the variance itself",
        *_above(lambda means: means.var(0) / means.mean(0).abs(), lambda means: means.std(0) / means.mean(0).abs()),
        "the mean is not squared: the variance is the mean square minus the square of the mean",
        *_above(lambda means: means.square().mean(0) - means.mean(0)),
        "you averaged |E_q[z]|: that says how large the means are, not how they vary; take the variance over x",
        *_above(lambda means: means.abs().mean(0)),
        "you squared the mean: the variance is the mean of the squared deviations from it",
        *_above(lambda means: means.mean(0).square()),
        "you marked the units that are not active: True means a variance above the threshold",
        *_ACTIVE.each(active=[lambda variance, threshold: variance < threshold]),
        *_ACTIVE.each(active=[lambda variance, threshold: variance <= threshold]),
        "a variance equal to the threshold is not above it: write >, or a constant unit is active at threshold 0",
        *_ACTIVE.each(active=[lambda variance, threshold: variance >= threshold]),
        "you wrote a number in, such as 0.01 or 0: the threshold is an argument",
        *_ACTIVE.each(active=[lambda variance: variance > 0.01, lambda variance: variance > 0]),
        "this is one variance over all entries: take one for each unit, over axis 0",
        *_above(lambda means: means.var()),
        "this is the number of active units: return which they are, one bool per unit",
        _ACTIVE.then(torch.sum),
        "this is the share of active units: return which they are, one bool per unit",
        _ACTIVE.then(lambda active: active.double().mean()),
        "this says whether any unit is active, or all are: return which they are, one bool per unit",
        *map(_ACTIVE.then, (torch.any, torch.all)),
        "these are the indices of the active units: return one bool per unit",
        *map(_ACTIVE.then, (lambda active: active.nonzero()[:, 0], lambda active: active.nonzero())),
        "these are the variances: compare them with the threshold",
        *_ACTIVE.each(active=[lambda variance: variance, lambda means: means.var(0, correction=0)]),
        "you compared every example with the threshold: average the squared deviations over the examples first",
        *_above(lambda means: _deviations(means).square(), lambda means: means, lambda means: means.abs()),
    ),
)


# 4. log p(x) in chunks

ZERO = torch.tensor(-inf, dtype=torch.float64)  # in logarithms


def _draw_from(log_weights: Tensor, fits: int) -> Callable[[int], Tensor]:
    """A function that hands out the rows of log-weights in order, [k, batch], as often as it is called."""
    used = 0

    def draw(k: int) -> Tensor:
        nonlocal used
        if not 0 <= k <= fits:
            raise ExerciseError(
                f"you asked for {k} draws at once: at most chunk = {fits} can be made, and no fewer than 0"
            )
        used += k
        return log_weights[torch.arange(used - k, used) % len(log_weights)]

    return draw


def _log_evidence_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, chunk: int, batch: int, centre: float | Tensor = -5.0, scale: float = 2.0) -> Arguments:
        return _draw_from(centre + normal(generator, samples + chunk, batch, scale=scale), chunk), samples, chunk

    def drifting(samples: int, chunk: int, slope: float) -> Arguments:  # each chunk far from the one before
        chunks_before = torch.arange(samples + chunk).double().div(chunk, rounding_mode="floor")[:, None]
        return case(samples, chunk, 2, slope * chunks_before, 1.0)

    apart = torch.tensor([-900.0, 0.0, 900.0], dtype=torch.float64)  # examples of very different sizes
    return [
        case(4, 4, 3),  # the first: all draws fit
        *[case(10, 4, 3), case(8, 4, 1), case(6, 4, 3, apart, 1.0), case(11, 5, 2, -900.0), case(11, 5, 2, 900.0)],
        case(9, 4, 2, -1100.0),  # below a start of −1000
        *[drifting(7, 3, 800.0), drifting(7, 3, -800.0), case(5, 1, 2), case(100, 32, 3, scale=4.0)],
        *[case(1, 1, 3), case(3, 8, 2)],
    ]


def _loop(start: int = 0, early: int = 0) -> Step:
    """The sizes of the chunks of a loop; it may start too late, or end so many chunks too early."""
    return lambda samples, chunk: [min(chunk, samples - done) for done in range(start, samples - early * chunk, chunk)]


def _running(start: Tensor = ZERO) -> Step:
    """The chunks' sums added one after the other, to a first one."""
    return lambda draws: reduce(logaddexp, [part.logsumexp(0) for part in draws], start)


_DRAWS = Formula("draw samples chunk", sizes=_loop(), draws=lambda draw, sizes: [draw(size) for size in sizes])
_ESTIMATE = _DRAWS.but(
    log_w=lambda draws: torch.cat(draws),
    total=lambda log_w: log_w.logsumexp(0),
    estimate=lambda total, samples: total - log(samples),
)
_CHUNKS = _DRAWS.but(
    log_sums=lambda draws: torch.stack([part.logsumexp(0) for part in draws]),  # [chunks, batch]
    log_means=lambda log_sums, sizes: log_sums - torch.tensor(sizes, dtype=torch.float64).log()[:, None],
    total=lambda log_sums: log_sums.logsumexp(0),
    estimate=lambda total, samples: total - log(samples),
)
_SHIFTED = _DRAWS.but(
    tops=lambda draws: torch.stack([part.amax(0) for part in draws]),
    sums=lambda draws, tops: torch.stack([(part - top).exp().sum(0) for part, top in zip(draws, tops, strict=True)]),
    total=lambda sums: sums.sum(0),
    shift=lambda tops: tops[-1],
    estimate=lambda shift, total, samples: shift + total.log() - log(samples),
)
_LARGEST_SO_FAR = _SHIFTED.but(tops=lambda draws: torch.stack([part.amax(0) for part in draws]).cummax(0).values)
_RUNNING = _DRAWS.but(total=_running(), estimate=lambda total, samples: total - log(samples))
_MEAN_OF_CHUNKS = _CHUNKS.but(estimate=lambda log_means: log_means.mean(0))
_ALL_ALIKE = _CHUNKS.but(estimate=lambda log_means: log_means.logsumexp(0) - log(len(log_means)))
_OF_THE_DRAWN = _ESTIMATE.but(estimate=lambda total, sizes: total - log(sum(sizes)))
_BY_WHOLE = _ESTIMATE.but(estimate=lambda total, sizes, chunk: total - log(len(sizes) * chunk))
_WEIGHTS = _DRAWS.but(means=lambda draws: torch.stack([part.exp().mean(0) for part in draws]))
_totals, _estimates, _sizes = (_instead(_ESTIMATE, step) for step in ("total", "estimate", "sizes"))
_of_chunks = _instead(_CHUNKS, "estimate")
_TINY = (*SMALL, 1e-16, 1e-20, 1e-30, 1e-300)
_NO_LAST: list[Step] = [
    lambda samples, chunk: [chunk] * (samples // chunk),
    lambda samples, chunk: [chunk] * max(samples // chunk, 1),
    lambda samples, chunk: [min(chunk, samples)] * max(samples // chunk, 1),
]
_LAST_WHOLE: list[Step] = [
    lambda samples, chunk: [chunk] * ceil(samples / chunk),
    lambda samples, chunk: [chunk] * (samples // chunk + 1),
]

log_evidence_in_chunks = Exercise(
    "log_evidence_in_chunks",
    _ESTIMATE,
    _log_evidence_cases,
    wrong(
        "you averaged the chunks' log-mean-exps: that is the bound for k = chunk draws, and more chunks do not tighten it; "
        "add up weights, not their logarithms",
        *[_MEAN_OF_CHUNKS, *_MEAN_OF_CHUNKS.each(sizes=[*_NO_LAST, *_LAST_WHOLE])],
        *_of_chunks(lambda log_sums, chunk: log_sums.mean(0) - log(chunk)),
        *_of_chunks(lambda log_sums, samples, chunk: (log_sums - log(chunk)).sum(0) * chunk / samples),
        "you averaged the chunks' log-mean-exps, each by its size: that is still a bound for k = chunk draws; add up "
        "weights, not their logarithms",
        *_estimates(lambda draws, samples: sum(len(p) / samples * (p.logsumexp(0) - log(len(p))) for p in draws)),
        "the last, smaller chunk is missing, though you divide by all samples",
        *(a for formula in (_ESTIMATE, _CHUNKS, _RUNNING) for a in formula.each(sizes=[*_NO_LAST])),
        _RUNNING.but(sizes=_NO_LAST[0], total=lambda draws: _running()(draws) if draws else None),
        "the last, smaller chunk is missing: all samples must be used",
        *(a for formula in (_ALL_ALIKE, _OF_THE_DRAWN, _BY_WHOLE) for a in formula.each(sizes=[*_NO_LAST])),
        _RUNNING.but(sizes=_NO_LAST[0], estimate=lambda total, sizes: total - log(sum(sizes))),
        "your loop ends one chunk early: range(0, samples, chunk) begins a chunk wherever some samples are left",
        *(formula.but(sizes=_loop(early=1)) for formula in (_RUNNING, _ESTIMATE, _OF_THE_DRAWN)),
        "you drew one weight too few, as your loop starts at 1: range(0, samples, chunk)",
        *(formula.but(sizes=_loop(start=1)) for formula in (_RUNNING, _ESTIMATE)),
        "you drew a whole chunk at the end, more weights than samples, and divide by samples: ask for what is left only",
        *_sizes(*_LAST_WHOLE, lambda samples, chunk: [min(chunk, samples)] * ceil(samples / chunk)),
        "you drew a whole chunk at the end: ask for what is left only, so that exactly samples weights are drawn",
        *(a for formula in (_ALL_ALIKE, _OF_THE_DRAWN) for a in formula.each(sizes=[*_LAST_WHOLE])),
        "you counted every chunk alike, though the last may be smaller: add up the weights of all, then divide by samples",
        _ALL_ALIKE,
        "− log samples is missing: this is the log of the sum of the weights, not of their mean",
        *_estimates(lambda total: total),
        "you added log samples: dividing by samples subtracts it",
        *_estimates(lambda total, samples: total + log(samples)),
        "you subtracted log samples twice: divide the sum of all weights once",
        *_estimates(lambda total, samples: total - 2 * log(samples)),
        "you subtracted log samples at every chunk, so that the first ones are divided again and again: once, at the end",
        *_of_chunks(lambda log_sums, samples: reduce(lambda t, s: logaddexp(t, s) - log(samples), log_sums, ZERO)),
        "you divided by whole chunks, though the last may be smaller: divide the sum of all weights by samples",
        _BY_WHOLE,
        "you added logarithms, of weights or of the chunks' sums, which multiplies them: logaddexp or logsumexp adds",
        *_CHUNKS.each(total=[lambda log_sums: log_sums.sum(0), lambda log_sums: log_sums.mean(0)]),
        *_totals(lambda log_w: log_w.sum(0), lambda draws: torch.stack([part.sum(0) for part in draws]).logsumexp(0)),
        *_of_chunks(lambda log_sums: log_sums.mean(0)),
        "you divided by the size of a chunk: divide the sum of all weights by samples",
        *_estimates(lambda total, chunk: total - log(chunk)),
        "you divided by the number of chunks: divide the sum of all weights by samples",
        *_estimates(lambda total, sizes: total - log(len(sizes))),
        *_estimates(lambda total, samples, chunk: total - log(samples // chunk + 1)),
        "you added up the means of the chunks: divide by samples once, at the end",
        *_of_chunks(lambda log_means: log_means.logsumexp(0)),
        "you divided twice, by the size of each chunk and by samples: divide the sum of all weights once",
        _CHUNKS.but(total=lambda log_means: log_means.logsumexp(0)),
        "exp overflows or underflows for weights far from 1: stay with logarithms, logsumexp in a chunk and logaddexp between them",
        *(_ESTIMATE.but(estimate=named(lambda w, s=s: (w.exp().mean(0) + s).log(), "log_w")) for s in (0, *_TINY)),
        *(_ESTIMATE.but(estimate=named(lambda w, s=s: w.exp().mean(0).clamp(min=s).log(), "log_w")) for s in _TINY),
        *map(_WEIGHTS.then, (lambda means: means.log().mean(0), lambda means: means.mean(0).log())),
        *_estimates(lambda draws, samples: sum(len(part) / samples * part.exp().mean(0).log() for part in draws)),
        "each chunk is shifted by its own largest log weight: bring the sums to one shift before you add them, or use logaddexp",
        *_SHIFTED.each(shift=[lambda tops: tops[-1], lambda tops: tops[0], lambda tops: tops.amax(0)]),
        *_SHIFTED.each(shift=[lambda tops: tops.sum(0), lambda tops: tops.mean(0), lambda: 0]),
        "the largest log weight, subtracted before exp, must be added again after the logarithm",
        *_estimates(lambda log_w: (log_w - log_w.amax(0)).exp().mean(0).log()),
        *_estimates(lambda log_w: (log_w - log_w.amax(0)).exp().mean(0).log() - log_w.amax(0)),
        *_estimates(lambda log_w: ((log_w - log_w.amax(0)).exp().mean(0) + log_w.amax(0)).log()),
        "only the last chunk is left: each pass of a loop replaced the sum instead of adding to it",
        _CHUNKS.but(total=lambda log_sums: log_sums[-1]),
        *_of_chunks(lambda log_sums: log_sums[-1], lambda log_means: log_means[-1]),
        "your sum starts at a finite log w, and log weights may lie below it: start at −∞, or with the first chunk",
        *_RUNNING.each(total=[*map(_running, torch.tensor([-1e3, -999, -900, -800, -745, -700, -500, -100]))]),
        "you subtracted the largest log weight of the first chunk throughout: a later one may lie far from it; use logaddexp",
        *_totals(lambda draws, log_w: draws[0].amax(0) + (log_w - draws[0].amax(0)).exp().sum(0).log()),
        "when a chunk brings a larger log weight, the sum so far must be scaled to it: use logaddexp, which does that",
        *[_LARGEST_SO_FAR, _LARGEST_SO_FAR.but(total=lambda sums, tops: (sums * (tops[-1] - tops).exp()).sum(0))],
        "you subtracted the largest log weight of the whole batch: examples differ, subtract each one's own, or use logsumexp",
        *_estimates(lambda log_w: log_w.max() + (log_w - log_w.max()).exp().mean(0).log()),
        "your sum starts at log w = 0, a weight of 1 that was never drawn: start at −∞, or with the first chunk",
        _RUNNING.but(total=_running(torch.tensor(0.0))),
        "you halve at every chunk, so that the first ones count less and less: add all weights, then divide by samples",
        *_of_chunks(lambda log_means: reduce(lambda one, two: logaddexp(one, two) - log(2), log_means)),
        "this is the mean of the log weights, the ELBO: not the log of the mean",
        *_estimates(lambda log_w: log_w.mean(0), lambda draws: torch.stack([part.mean(0) for part in draws]).mean(0)),
        "you asked for all samples at once: draw at most chunk of them at a time",
        *_sizes(lambda samples: [samples]),
        "a number of chunks is whole: // rounds down, ceil rounds up, and / gives a fraction, which range does not take",
        lambda draw, samples, chunk: range(samples / chunk),
        lambda draw, samples, chunk: (ZERO + 0, range(samples / chunk)),
        "the last chunk may be smaller, and torch.stack takes equal ones only: torch.cat joins them along the draws",
        *_estimates(lambda draws, samples: torch.stack(draws).logsumexp((0, 1)) - log(samples)),
        "this is the largest log weight alone: add up all the weights, and divide by their number",
        *_estimates(lambda log_w: log_w.amax(0)),
        "you used one chunk only: go on until samples weights are drawn",
        *_OF_THE_DRAWN.each(sizes=[lambda samples, chunk: [min(chunk, samples)], lambda chunk: [chunk]]),
        "you drew samples chunks: samples is the number of weights in all",
        *(formula.but(sizes=lambda samples, chunk: [chunk] * samples) for formula in (_OF_THE_DRAWN, _ESTIMATE)),
        "Σ w̃ log w is neither log p(x) nor a bound: take the log of the mean of w",
        *_estimates(lambda log_w: (log_w.softmax(0) * log_w).sum(0)),
        "the sign is flipped inside the exponential, as if log w were a loss: so the worst draw counts most",
        *_estimates(lambda log_w, samples: log(samples) - (-log_w).logsumexp(0)),
        "divide the sum inside the logarithm: subtract log samples instead of dividing by samples",
        *_estimates(lambda total, samples: total / samples, lambda total, sizes: total / len(sizes)),
        "you averaged over the batch: return one number per example",
        _ESTIMATE.then(torch.mean),
        *_totals(lambda log_w: log_w.flatten().logsumexp(0)),
        "you reduced over the batch: the draws are axis 0",
        *_totals(lambda log_w: log_w.logsumexp(1)),
        "this is p(x): return its logarithm",
        _ESTIMATE.then(torch.exp),
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
_betas, _residuals = _instead(_FIT, "beta"), _instead(_FIT, "residual")
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

    # No c is 0, or what is divided by it would be a rounding error.
    ordinary = [case(60, 1.0, 1.0, 7.0), case(50, 1.0, 4.0, 720.0), case(30, 2.0, 1.0, -20.0)]
    means = case(40, 2 / 784, 0.1 / 5, 0.4)  # over 784 pixels and 5 latents: β = 7.84
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
