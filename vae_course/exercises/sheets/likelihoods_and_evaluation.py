"""The sheet on likelihoods and evaluation: one σ for all pixels, bits per dimension, active units, log p(x), the β of a loss."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log, log2, pi

import torch
from torch import Generator, Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. log N(x; μ, σ² I) of a picture

CONSTANT = 0.5 * log(2 * pi)


def _squares(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return ((x - mean) * (-log_std).exp()).square().flatten(1).sum(-1)


def _pixels(x: Tensor) -> int:
    return x[0].numel()


def _per_pixel(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return -0.5 * ((x - mean) * (-log_std).exp()).square() - log_std - CONSTANT


def _log_normal(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _per_pixel(x, mean, log_std).flatten(1).sum(-1)


def _log_normal_cases(generator: Generator) -> list[Arguments]:
    def fine(
        value: Tensor, step: float = 2**-14
    ) -> Tensor:  # float32 holds these, and their differences, without error
        return (value / step).round() * step

    def case(*shape: int, log_std: float, error: float) -> Arguments:
        x = fine(uniform(generator, *shape))
        mean = (x + fine(normal(generator, *shape, scale=error))).requires_grad_()
        return x, mean, fine(log_std + 0.3 * uniform(generator, 1)[0]).requires_grad_()

    def near_and_far(*shape: int, log_std: float) -> Arguments:  # densities that round to 0, and others far from it
        x, _, log_std_drawn = case(*shape, log_std=log_std, error=0.0)
        sign = 2 * uniform(generator, *shape).round() - 1
        size = 0.2 * uniform(generator, *shape) + 1.6 * uniform(generator, *shape).round()
        return x, (x + fine(sign * size)).requires_grad_(), log_std_drawn

    return [
        case(1, 1, 2, 2, log_std=0.3, error=1.0),  # the first: log σ may be taken for σ here
        case(4, 1, 3, 3, log_std=-1.5, error=0.4),
        case(3, 3, 2, 2, log_std=-2.0, error=0.1),
        case(3, 1, 1, 1, log_std=0.5, error=1.0),
        case(2, 3, 5, 4, log_std=-6.0, error=2e-3),
        case(2, 1, 3, 2, log_std=6.0, error=1.0),
        case(2, 1, 2, 3, log_std=-3.0, error=0.0),
        near_and_far(2, 1, 20, 20, log_std=-4.0),
    ]


def _density(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    std = log_std.exp()
    density: Tensor = (-0.5 * ((x - mean) / std).square()).exp() / (std * (2 * pi) ** 0.5)
    return density


def _std_is_the_log(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    log_density: Tensor = Normal(mean, log_std).log_prob(x)
    return log_density.flatten(1).sum(-1)


normal_log_likelihood = Exercise(
    "normal_log_likelihood",
    _log_normal,
    _log_normal_cases,
    wrong(
        "you averaged over pixels: independent pixels multiply, so their log-densities add up",
        lambda x, mean, log_std: _log_normal(x, mean, log_std) / _pixels(x),
        "you subtracted log σ + ½ log 2π once a picture: every pixel has its own",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - log_std - CONSTANT,
        "you subtracted log σ once a picture: every pixel is divided by σ, or the best σ comes out far too small",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - log_std - _pixels(x) * CONSTANT,
        "you subtracted ½ log 2π once a picture: every pixel has its own",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * log_std - CONSTANT,
        "½ log 2π is missing, once per pixel: without it this is not the log of a density",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * log_std,
        "½ log 2π is missing, and log σ is subtracted once a picture: both belong to every pixel",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - log_std,
        "− log σ is missing: without it a large σ costs nothing, and a learned σ grows without end",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * CONSTANT,
        "the ½ before the square and ½ log 2π for every pixel are missing",
        lambda x, mean, log_std: -_squares(x, mean, log_std) - _pixels(x) * log_std,
        "− log σ − ½ log 2π is missing, once per pixel: this is only the exponent of the density",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std),
        "the ½ before the square is missing",
        lambda x, mean, log_std: -_squares(x, mean, log_std) - _pixels(x) * (log_std + CONSTANT),
        "you subtracted log σ² with no ½ before it: ½ log σ² is log σ",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * (2 * log_std + CONSTANT),
        "you halved log σ: it is ½ log σ² that equals log σ",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * (0.5 * log_std + CONSTANT),
        "you subtracted log 2π for every pixel: the constant is ½ log 2π",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * (log_std + 2 * CONSTANT),
        "you divided by 2πσ² for every pixel: the density of one has its root, √(2π) σ",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * 2 * (log_std + CONSTANT),
        "you counted height × width pixels: every channel has its own",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - x[0, 0].numel() * (log_std + CONSTANT),
        "you counted the pixels of the whole batch: x.numel() includes every picture of it",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - x.numel() * (log_std + CONSTANT),
        "½ log 2π was added: it is subtracted",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) - _pixels(x) * (log_std - CONSTANT),
        "log σ was added: the density is divided by σ, so log σ is subtracted",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) + _pixels(x) * (log_std - CONSTANT),
        "log σ + ½ log 2π was added: it is subtracted",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) + _pixels(x) * (log_std + CONSTANT),
        "the square has the wrong sign: an error lowers the density",
        lambda x, mean, log_std: 0.5 * _squares(x, mean, log_std) - _pixels(x) * (log_std + CONSTANT),
        "you divided the square by σ: it is divided by σ²",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, 0.5 * log_std) - _pixels(x) * (log_std + CONSTANT),
        "you gave the variance where the standard deviation belongs: σ is exp(log_std), not its square",
        lambda x, mean, log_std: _log_normal(x, mean, 2 * log_std),
        "you took exp(log_std) for the variance, as if it were log σ²; here it is log σ",
        lambda x, mean, log_std: _log_normal(x, mean, 0.5 * log_std),
        "the error was multiplied by σ: it is divided by σ",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, -log_std) - _pixels(x) * (log_std + CONSTANT),
        "you used log σ as if it were σ: take exp first",
        _std_is_the_log,
        lambda x, mean, log_std: _log_normal(x, mean, log_std.log()),
        lambda x, mean, log_std: (
            -0.5 * ((x - mean) / log_std).square().flatten(1).sum(-1) - _pixels(x) * (log_std.log() + CONSTANT)
        ),
        lambda x, mean, log_std: (
            -0.5 * ((x - mean) / log_std).square().flatten(1).sum(-1) - _pixels(x) * (log_std + CONSTANT)
        ),
        "the error is not squared",
        lambda x, mean, log_std: (
            -0.5 * ((x - mean) / log_std.exp()).flatten(1).sum(-1) - _pixels(x) * (log_std + CONSTANT)
        ),
        *[
            lambda x, mean, log_std, power=power, size=size: (
                -0.5 * size((x - mean) / (power * log_std).exp()).flatten(1).sum(-1) - _pixels(x) * (log_std + CONSTANT)
            )
            for power, size in ((1, torch.neg), (1, torch.abs), (2, torch.clone), (2, torch.neg), (2, torch.abs))
        ],
        "you took softplus for σ: here log_std is log σ, so σ is its exp",
        lambda x, mean, log_std: _log_normal(x, mean, softplus(log_std).log()),
        "σ is not used: this is the log-density for σ = 1",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, 0 * log_std) - _pixels(x) * CONSTANT,
        "this is a squared error with its sign flipped, not a log-density: σ and the constant are missing",
        lambda x, mean, log_std: -_squares(x, mean, 0 * log_std),
        lambda x, mean, log_std: -0.5 * _squares(x, mean, 0 * log_std),
        "the square is a mean over pixels and the rest a sum: take the sum of both",
        lambda x, mean, log_std: -0.5 * _squares(x, mean, log_std) / _pixels(x) - _pixels(x) * (log_std + CONSTANT),
        "you cut the log-density off at 0: a density, unlike a probability, may exceed 1",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).clamp(max=0).flatten(1).sum(-1),
        lambda x, mean, log_std: _log_normal(x, mean, log_std).clamp(max=0),
        "you added a small number to σ: log_std.exp() is positive already",
        lambda x, mean, log_std: _log_normal(x, mean, (log_std.exp() + 1e-6).log()),
        *[
            lambda x, mean, log_std, small=small: _log_normal(x, mean, (log_std.exp() + small).log())
            for small in (1e-5, 1e-4, 1e-3)
        ],
        "the density rounds to 0 far from the mean, and its logarithm is −∞: write log p down without exp of the square",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).exp().log().flatten(1).sum(-1),
        lambda x, mean, log_std: _density(x, mean, log_std).log().flatten(1).sum(-1),
        "a product of many densities rounds to 0 or overflows: add their logarithms instead",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).exp().flatten(1).prod(-1).log(),
        lambda x, mean, log_std: _density(x, mean, log_std).flatten(1).prod(-1).log(),
        "you applied a sigmoid: mean is the mean of the pixels already, not a logit",
        lambda x, mean, log_std: _log_normal(x, mean.sigmoid(), log_std),
        "this is −log p, the loss: return the log-likelihood itself",
        lambda x, mean, log_std: -_log_normal(x, mean, log_std),
        "this is the density: return its logarithm",
        lambda x, mean, log_std: _log_normal(x, mean, log_std).exp(),
        "you summed over the batch too: return one number per picture",
        lambda x, mean, log_std: _log_normal(x, mean, log_std).sum(),
        "you averaged over the batch: return one number per picture",
        lambda x, mean, log_std: _log_normal(x, mean, log_std).mean(),
        "you averaged over all pixels of all pictures: sum over the pixels of each, and return one number per picture",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).mean(),
        "you did not sum over the pixels of a picture",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std),
        "you summed over the last axis only: a picture has three, channels, height and width",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).sum(-1),
        "you summed over height and width only: the channels belong to the picture too",
        lambda x, mean, log_std: _per_pixel(x, mean, log_std).sum((-2, -1)),
        "no gradient reaches log_std: float(), .item() or a detach cut its path, so σ could not be learned",
        lambda x, mean, log_std: _log_normal(x, mean, log_std.detach()),
        "no gradient reaches the mean: something cut its path",
        lambda x, mean, log_std: _log_normal(x, mean.detach(), log_std),
        "no gradient flows back from the result: a detach, .data or no_grad stands in the way",
        lambda x, mean, log_std: _log_normal(x, mean, log_std).detach(),
    ),
    tolerance=1e-5,  # float32 on the way rounds a sum over the pixels
)


# 2. nats of a dequantised picture → bits per dimension of its grey levels


def _bits_per_dimension(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    return (log(levels) - log_p / dimensions) / log(2)


def _bits_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, dimensions: int, levels: int, nats: float) -> Arguments:  # nats: about, per dimension
        return dimensions * (nats + normal(generator, batch, scale=0.3)), dimensions, levels

    uniform_density = (torch.zeros(2, dtype=torch.float64), 48, 256)
    return [
        case(4, 784, 256, 2.0),
        case(1, 12, 16, -1.0),
        case(3, 1, 2, 1.2),
        case(3, 784, 1, -0.1),
        case(5, 3072, 32, -3.0),
        uniform_density,
    ]


bits_per_dimension = Exercise(
    "bits_per_dimension",
    _bits_per_dimension,
    _bits_cases,
    wrong(
        "the sign is flipped: a large log p means few bits",
        lambda log_p, dimensions, levels: -_bits_per_dimension(log_p, dimensions, levels),
        "log p has the wrong sign: bits are minus the logarithm of a probability",
        lambda log_p, dimensions, levels: (log(levels) + log_p / dimensions) / log(2),
        "log 2 and log L are missing: these are nats per dimension, of a density on [0, 1]",
        lambda log_p, dimensions, levels: -log_p / dimensions,
        "exp(log p) overflows or underflows for a picture: to change the base of a logarithm divide by log 2",
        lambda log_p, dimensions, levels: -log_p.exp().log2() / dimensions + log2(levels),
        "log L has the wrong sign: a cell has the volume L^−D, so its probability is smaller than the density, and costs more",
        lambda log_p, dimensions, levels: (-log_p / dimensions - log(levels)) / log(2),
        "log L is missing: these are bits of a density on [0, 1], not of grey levels",
        lambda log_p, dimensions, levels: -log_p / dimensions / log(2),
        "you subtracted log L once a picture: the cell of D dimensions has the volume L^−D",
        lambda log_p, dimensions, levels: (-log_p + log(levels)) / dimensions / log(2),
        "you added D log₂ L after dividing by D: per dimension it is log₂ L",
        lambda log_p, dimensions, levels: -log_p / dimensions / log(2) + dimensions * log2(levels),
        "you added log L in nats to bits: divide it by log 2 as well",
        lambda log_p, dimensions, levels: -log_p / dimensions / log(2) + log(levels),
        "you added log L in bits to nats: divide log p by log 2 as well",
        lambda log_p, dimensions, levels: -log_p / dimensions + log2(levels),
        "log₂ L is in bits already, and you divided it by log 2 again",
        lambda log_p, dimensions, levels: (log2(levels) - log_p / dimensions) / log(2),
        "brackets: the division must cover log p as well",
        lambda log_p, dimensions, levels: -log_p - log2(levels),
        lambda log_p, dimensions, levels: -log_p + log2(levels),
        "these are nats per dimension: divide by log 2",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels) * log(2),
        "you multiplied by log 2: a nat is 1 / log 2 bits, so divide",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels) * log(2) ** 2,
        "you divided by 2: a nat is 1 / log 2 bits",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels) / 2 * log(2),
        "these are the bits of a whole picture: divide by the number of dimensions",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels) * dimensions,
        "you divided by the size of the batch: divide by the number of dimensions",
        lambda log_p, dimensions, levels: (dimensions * log(levels) - log_p) / log(2) / len(log_p),
        "you divided by log L: that is the unit of L-valued digits, bits take log 2",
        lambda log_p, dimensions, levels: (log(levels) - log_p / dimensions) / torch.tensor(levels).log(),
        lambda log_p, dimensions, levels: (log(levels) - log_p / dimensions) / log(levels),
        "you took L − 1: the pictures are (k + u) / L, so a cell is 1 / L wide",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels - 1),
        lambda log_p, dimensions, levels: (
            (torch.tensor(levels - 1.0, dtype=torch.float64).log() - log_p / dimensions) / log(2)
        ),
        "you added 8 bits always: that is log₂ 256; the number of levels is an argument",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, 256),
        "you added L itself: per dimension it is log₂ L",
        lambda log_p, dimensions, levels: -log_p / dimensions / log(2) + levels,
        "log p is not divided by the number of dimensions, though log L counts once",
        lambda log_p, dimensions, levels: (log(levels) - log_p) / log(2),
        "you took a logarithm of log p: it is one already, divide it by log 2",
        lambda log_p, dimensions, levels: (dimensions * log(levels) - log_p.log2()) / dimensions / log(2),
        lambda log_p, dimensions, levels: -log_p.log2() / dimensions + log2(levels),
        lambda log_p, dimensions, levels: (-log_p).log2() / dimensions + log2(levels),
        lambda log_p, dimensions, levels: -(log_p - dimensions * log(levels)).log2() / dimensions,
        lambda log_p, dimensions, levels: (dimensions * log(levels) - log_p).log2() / dimensions,
        "you averaged over the batch: return one number per picture",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels).mean(),
        "you summed over the batch: return one number per picture",
        lambda log_p, dimensions, levels: _bits_per_dimension(log_p, dimensions, levels).sum(),
    ),
)


# 3. active units


def _active_units(means: Tensor, threshold: float) -> Tensor:
    return means.var(0) > threshold


def _columns(generator: Generator, n: int, *columns: tuple[float, float]) -> Tensor:
    """Columns of n numbers in random order with the given (mean, variance): [n, columns].

    The numbers of a column are quantiles of a normal distribution, moved and scaled, so that no draw comes near a limit.
    """
    quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    standard = quantiles / quantiles.std()
    drawn = []
    for mean, variance in columns:
        drawn.append(mean + variance**0.5 * standard[torch.randperm(n, generator=generator)])
    return torch.stack(drawn, -1)


def _active_cases(generator: Generator) -> list[Arguments]:
    def factor() -> float:
        return float(0.9 + 0.2 * uniform(generator, 1)[0])

    usual = [
        (0.0, 1.0 * factor()),  # active
        (0.1, 0.2 * factor()),
        (-0.5, 0.03 * factor()),
        (0.0, 0.004 * factor()),  # not active; its standard deviation exceeds 0.01
        (0.004, 1.1e-4),  # so does this one, but not its mean absolute deviation
        (0.0, 5e-5 * factor()),  # its range does
        (0.0, 1e-5),  # and so does its range, though none of its numbers
        (0.05, 0.001 * factor()),  # its mean does, but not the square of its mean
        (3.0 * factor(), 0.0),  # the same for all x
        (-2.0 * factor(), 1e-6),
        (0.0, 0.0),
    ]
    order = torch.randperm(len(usual), generator=generator).tolist()
    shuffled = [usual[i] for i in order]
    # Powers of 2, whose sums are exact: their deviations average to 0 and not to a rounding error.
    exact = 2**-7 * (2.0 * (torch.randperm(8, generator=generator) % 2).double() - 1)
    square = [(0.0, 2.0), (4.0 * factor(), 0.01), (0.5, 0.02), (-4.0, 1.0 * factor())]
    return [
        (_columns(generator, 60, *shuffled), 0.01),
        (_columns(generator, 4, *square), 0.1),
        (_columns(generator, 30, (0.0, 0.1), (0.2, 0.8 * factor())), 0.5),
        (_columns(generator, 2, (1.0, 0.05), (1.0, 0.002)), 0.01),
        (_columns(generator, 500, (-1.0, 0.6 * factor())), 0.01),
        (torch.cat([_columns(generator, 8, (2.0, 0.0), (0.0, 0.0)), exact[:, None]], 1), 0.0),
    ]


def _squared_deviations(means: Tensor) -> Tensor:
    return (means - means.mean(0)).square()


def _over_latents(means: Tensor, count: int) -> Tensor:  # by hand: var() warns of a single latent
    return (means - means.mean(1, keepdim=True)).square().sum(1) / count


active_units = Exercise(
    "active_units",
    _active_units,
    _active_cases,
    wrong(
        "you took the variance over the latents: a unit is active if it differs from example to example, axis 0",
        lambda means, threshold: _over_latents(means, means.shape[1] - 1) > threshold,
        lambda means, threshold: _over_latents(means, means.shape[1]) > threshold,
        "you compared the standard deviation with the threshold (or the variance with its square): it is for the variance",
        lambda means, threshold: means.std(0) > threshold,
        lambda means, threshold: means.std(0, correction=0) > threshold,
        "you took the mean square: a unit with the same large mean for all x is not active; subtract the mean first",
        lambda means, threshold: means.square().mean(0) > threshold,
        "you summed the squares: subtract the mean of each unit first, and divide by the number of examples",
        lambda means, threshold: means.square().sum(0) > threshold,
        "you summed the squared deviations: the variance is their mean",
        lambda means, threshold: _squared_deviations(means).sum(0) > threshold,
        "you divided the variance by the number of examples once more",
        lambda means, threshold: means.var(0) / len(means) > threshold,
        lambda means, threshold: means.var(0, correction=0) / len(means) > threshold,
        "you subtracted a mean over the latents: each unit has its own mean over the examples, axis 0",
        lambda means, threshold: (means - means.mean()).square().mean(0) > threshold,
        lambda means, threshold: (means - means.mean(1, keepdim=True)).square().mean(0) > threshold,
        lambda means, threshold: means.square().mean(0) - means.mean().square() > threshold,
        "you took the mean absolute deviation: the threshold is for the variance",
        lambda means, threshold: (means - means.mean(0)).abs().mean(0) > threshold,
        "no unit is active in your result: deviations average to 0, so if you average them, square them first",
        lambda means, threshold: (means - means.mean(0)).mean(0) > threshold,
        "you took the range of the means: the threshold is for their variance",
        lambda means, threshold: means.amax(0) - means.amin(0) > threshold,
        "you compared the mean over x with the threshold: take the variance over x",
        lambda means, threshold: means.mean(0) > threshold,
        "you compared the size of the mean over x with the threshold: take the variance over x",
        lambda means, threshold: means.mean(0).abs() > threshold,
        "you asked whether some mean exceeds the threshold: take the variance over x",
        lambda means, threshold: (means.abs() > threshold).any(0),
        lambda means, threshold: means.amax(0) > threshold,
        "you took each unit's share of the whole variance: the threshold is for the variance itself",
        lambda means, threshold: means.var(0) / means.var(0).sum() > threshold,
        "the mean is not squared: the variance is the mean square minus the square of the mean",
        lambda means, threshold: means.square().mean(0) - means.mean(0) > threshold,
        "you averaged |E_q[z]|: that says how large the means are, not how they vary; take the variance over x",
        lambda means, threshold: means.abs().mean(0) > threshold,
        "you squared the mean: the variance is the mean of the squared deviations from it",
        lambda means, threshold: means.mean(0).square() > threshold,
        "you marked the units that are not active: True means a variance above the threshold",
        lambda means, threshold: means.var(0) < threshold,
        lambda means, threshold: means.var(0) <= threshold,
        "a variance equal to the threshold is not above it: write >, or a constant unit is active at threshold 0",
        lambda means, threshold: means.var(0) >= threshold,
        "you wrote 0.01 in: the threshold is an argument",
        lambda means, threshold: means.var(0) > 0.01,
        "this is one variance over all entries: take one for each unit, over axis 0",
        lambda means, threshold: means.var() > threshold,
        "this is the number of active units: return which they are, one bool per unit",
        lambda means, threshold: (means.var(0) > threshold).sum(),
        "this is the share of active units: return which they are, one bool per unit",
        lambda means, threshold: (means.var(0) > threshold).double().mean(),
        "these are the indices of the active units: return one bool per unit",
        lambda means, threshold: (means.var(0) > threshold).nonzero()[:, 0],
        lambda means, threshold: (means.var(0) > threshold).nonzero(),
        "these are the variances: compare them with the threshold",
        lambda means, threshold: means.var(0),
        lambda means, threshold: means.var(0, correction=0),
        "you compared every example with the threshold: average the squared deviations over the examples first",
        lambda means, threshold: _squared_deviations(means) > threshold,
    ),
)


# 4. log p(x) in chunks


NOTHING = torch.tensor(-torch.inf, dtype=torch.float64)  # the log of a sum that has not begun


class Sampler:
    """Hands out the rows of log-weights in order, [k, batch], as often as it is called."""

    def __init__(self, log_weights: Tensor, fits: int) -> None:
        self.log_weights, self.fits, self.used = log_weights, fits, 0

    def __call__(self, k: int) -> Tensor:
        """Raises MemoryError if k draws do not fit."""
        if k > self.fits:
            raise MemoryError(f"{k} draws at once do not fit; {self.fits} do")
        rows = torch.arange(self.used, self.used + k) % len(self.log_weights)
        self.used += k
        return self.log_weights[rows]


def _chunks(draw: Sampler, samples: int, chunk: int) -> list[Tensor]:
    return [draw(min(chunk, samples - start)) for start in range(0, samples, chunk)]


def _log_sum(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).logsumexp(0)


def _log_sums(parts: list[Tensor]) -> Tensor:
    return torch.stack([p.logsumexp(0) for p in parts])


def _log_mean(parts: list[Tensor]) -> Tensor:
    return torch.stack([p.logsumexp(0) - log(len(p)) for p in parts])


def _log_evidence(draw: Sampler, samples: int, chunk: int) -> Tensor:
    return _log_sum(_chunks(draw, samples, chunk)) - log(samples)


def _log_evidence_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, chunk: int, batch: int, centre: float = -5.0, scale: float = 2.0) -> Arguments:
        rows = centre + normal(generator, samples + chunk, batch, scale=scale)
        return Sampler(rows, chunk), samples, chunk

    def drifting(samples: int, chunk: int, slope: float) -> Arguments:  # each chunk far from the one before
        chunks_before = torch.arange(samples + chunk).double().div(chunk, rounding_mode="floor")[:, None]
        rows = slope * chunks_before + normal(generator, samples + chunk, 2)
        return Sampler(rows, chunk), samples, chunk

    apart = torch.tensor([-900.0, 0.0, 900.0], dtype=torch.float64)  # examples of very different sizes
    return [
        case(4, 4, 3),  # the first: all draws fit
        case(10, 4, 3),
        case(8, 4, 1),
        (Sampler(apart + normal(generator, 10, 3), 4), 6, 4),
        case(11, 5, 2, -900.0),
        case(11, 5, 2, 900.0),
        case(9, 4, 2, -1100.0),  # below a start of −1000
        drifting(7, 3, 800.0),
        drifting(7, 3, -800.0),
        case(5, 1, 2),
        case(100, 32, 3, scale=4.0),
        case(1, 1, 3),
        case(3, 8, 2),
    ]


def _whole_chunks(draw: Sampler, samples: int, chunk: int) -> list[Tensor]:
    return [draw(chunk) for _ in range(samples // chunk)]


def _with_whole_last(draw: Sampler, samples: int, chunk: int) -> list[Tensor]:
    return [draw(chunk) for _ in range(ceil(samples / chunk))]


def _running(parts: list[Tensor], start: Tensor) -> Tensor:
    for part in parts:
        start = torch.logaddexp(start, part.logsumexp(0))
    return start


def _without_the_last(draw: Sampler, samples: int, chunk: int) -> Tensor:
    total: Tensor = None  # type: ignore[assignment] # and it stays None where samples < chunk, as a student's does
    for part in _whole_chunks(draw, samples, chunk):
        total = part.logsumexp(0) if total is None else torch.logaddexp(total, part.logsumexp(0))
    return total - log(samples)


def _largest_of_the_first(draw: Sampler, samples: int, chunk: int) -> Tensor:
    parts = _chunks(draw, samples, chunk)
    top = parts[0].max(0).values
    return top + (torch.cat(parts) - top).exp().sum(0).log() - log(samples)


def _largest_so_far(draw: Sampler, samples: int, chunk: int) -> Tensor:
    top, total = NOTHING, torch.zeros((), dtype=torch.float64)
    for part in _chunks(draw, samples, chunk):
        top = torch.maximum(top, part.max(0).values)
        total = total + (part - top).exp().sum(0)
    return top + total.log() - log(samples)


def _largest_of_the_batch(draw: Sampler, samples: int, chunk: int) -> Tensor:
    log_weights = torch.cat(_chunks(draw, samples, chunk))
    return log_weights.max() + (log_weights - log_weights.max()).exp().mean(0).log()


def _log_of_samples_each_time(draw: Sampler, samples: int, chunk: int) -> Tensor:
    total = NOTHING
    for part in _chunks(draw, samples, chunk):
        total = torch.logaddexp(total, part.logsumexp(0)) - log(samples)
    return total


def _halving(draw: Sampler, samples: int, chunk: int) -> Tensor:
    running, *others = _log_mean(_chunks(draw, samples, chunk)).unbind()
    for other in others:
        running = torch.logaddexp(running, other) - log(2)
    return running


def _weighted(draw: Sampler, samples: int, chunk: int) -> Tensor:
    log_weights = torch.cat(_chunks(draw, samples, chunk))
    return (log_weights.softmax(0) * log_weights).sum(0)


def _own_largest(shift: Callable[[Tensor], Tensor]) -> Answer:
    """Sums of chunks each less its own largest, added as they are; shift: what is put back, of the largest [chunks, batch]."""

    def answer(draw: Sampler, samples: int, chunk: int) -> Tensor:
        parts = _chunks(draw, samples, chunk)
        tops = torch.stack([p.amax(0) for p in parts])
        total = torch.stack([(p - top).exp().sum(0) for p, top in zip(parts, tops, strict=True)]).sum(0)
        return shift(tops) + total.log() - log(samples)

    return answer


def _small_added(small: float) -> Answer:
    return lambda draw, samples, chunk: (torch.cat(_chunks(draw, samples, chunk)).exp().sum(0) / samples + small).log()


def _not_below(small: float) -> Answer:
    return lambda draw, samples, chunk: torch.cat(_chunks(draw, samples, chunk)).exp().mean(0).clamp(min=small).log()


def _starting_at(start: float) -> Answer:
    return lambda draw, samples, chunk: (
        _running(_chunks(draw, samples, chunk), torch.tensor(start, dtype=torch.float64)) - log(samples)
    )


log_evidence_in_chunks = Exercise(
    "log_evidence_in_chunks",
    _log_evidence,
    _log_evidence_cases,
    wrong(
        "you averaged the chunks' log-mean-exps: that is the bound for k = chunk draws, and more chunks do not tighten it; "
        "add up weights, not their logarithms",
        lambda draw, samples, chunk: _log_mean(_chunks(draw, samples, chunk)).mean(0),
        lambda draw, samples, chunk: _log_mean(_whole_chunks(draw, samples, chunk)).mean(0),
        lambda draw, samples, chunk: (_log_sums(_chunks(draw, samples, chunk)) - log(chunk)).mean(0),
        "you averaged the chunks' log-mean-exps, each by its size: that is still a bound for k = chunk draws; add up "
        "weights, not their logarithms",
        lambda draw, samples, chunk: torch.stack(
            [len(p) / samples * (p.logsumexp(0) - log(len(p))) for p in _chunks(draw, samples, chunk)]
        ).sum(0),
        "the last, smaller chunk is missing, though you divide by all samples",
        _without_the_last,
        lambda draw, samples, chunk: _log_sum(_whole_chunks(draw, samples, chunk)) - log(samples),
        lambda draw, samples, chunk: _running(_whole_chunks(draw, samples, chunk), NOTHING) - log(samples),
        lambda draw, samples, chunk: _log_sums(_whole_chunks(draw, samples, chunk)).logsumexp(0) - log(samples),
        "the last, smaller chunk is missing: all samples must be used",
        lambda draw, samples, chunk: (
            _log_mean(_whole_chunks(draw, samples, chunk)).logsumexp(0) - log(samples // chunk)
        ),
        lambda draw, samples, chunk: _log_sum(_whole_chunks(draw, samples, chunk)) - log(samples // chunk * chunk),
        lambda draw, samples, chunk: (
            _running(_whole_chunks(draw, samples, chunk), NOTHING) - log(samples // chunk * chunk)
        ),
        "you drew a whole chunk at the end, more weights than samples, and divide by samples: ask for what is left only",
        lambda draw, samples, chunk: _log_sum(_with_whole_last(draw, samples, chunk)) - log(samples),
        lambda draw, samples, chunk: (
            _log_sum([draw(min(chunk, samples)) for _ in range(0, samples, chunk)]) - log(samples)
        ),
        lambda draw, samples, chunk: _log_sum([draw(chunk) for _ in range(samples // chunk + 1)]) - log(samples),
        "you drew a whole chunk at the end: ask for what is left only, so that exactly samples weights are drawn",
        lambda draw, samples, chunk: (
            _log_mean(_with_whole_last(draw, samples, chunk)).logsumexp(0) - log(ceil(samples / chunk))
        ),
        lambda draw, samples, chunk: (
            _log_mean([draw(chunk) for _ in range(samples // chunk + 1)]).logsumexp(0) - log(samples // chunk + 1)
        ),
        "you counted every chunk alike, though the last may be smaller: add up the weights of all, then divide by samples",
        lambda draw, samples, chunk: _log_mean(_chunks(draw, samples, chunk)).logsumexp(0) - log(ceil(samples / chunk)),
        "− log samples is missing: this is the log of the sum of the weights, not of their mean",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)),
        "you added log samples: dividing by samples subtracts it",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)) + log(samples),
        "you subtracted log samples at every chunk, so that the first ones are divided again and again: once, at the end",
        _log_of_samples_each_time,
        "you divided by whole chunks, though the last may be smaller: divide the sum of all weights by samples",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)) - log(ceil(samples / chunk) * chunk),
        "you added the logarithms of the chunks' sums, which multiplies the sums: logaddexp or logsumexp adds them",
        lambda draw, samples, chunk: _log_sums(_chunks(draw, samples, chunk)).sum(0) - log(samples),
        "you divided by the size of a chunk: divide the sum of all weights by samples",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)) - log(chunk),
        "you divided by the number of chunks: divide the sum of all weights by samples",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)) - log(ceil(samples / chunk)),
        "you added up the means of the chunks: divide by samples once, at the end",
        lambda draw, samples, chunk: _log_mean(_chunks(draw, samples, chunk)).logsumexp(0),
        "you divided twice, by the size of each chunk and by samples: divide the sum of all weights once",
        lambda draw, samples, chunk: _log_mean(_chunks(draw, samples, chunk)).logsumexp(0) - log(samples),
        "exp overflows or underflows for weights far from 1: stay with logarithms, logsumexp in a chunk and logaddexp between them",
        lambda draw, samples, chunk: (
            torch.stack([p.exp().sum(0) for p in _chunks(draw, samples, chunk)]).sum(0).div(samples).log()
        ),
        lambda draw, samples, chunk: torch.stack([p.exp().mean(0).log() for p in _chunks(draw, samples, chunk)]).mean(
            0
        ),
        lambda draw, samples, chunk: (
            torch.stack([p.exp().mean(0) for p in _chunks(draw, samples, chunk)]).mean(0).log()
        ),
        lambda draw, samples, chunk: torch.stack(
            [len(p) / samples * p.exp().mean(0).log() for p in _chunks(draw, samples, chunk)]
        ).sum(0),
        *[_small_added(small) for small in (1e-12, 1e-6, 1e-8, 1e-10, 1e-16, 1e-20, 1e-30, 1e-300)],
        *[_not_below(small) for small in (1e-12, 1e-8, 1e-10, 1e-20, 1e-30, 1e-300)],
        "each chunk is shifted by its own largest log weight: bring the sums to one shift before you add them, or use logaddexp",
        _own_largest(lambda tops: tops[-1]),
        _own_largest(lambda tops: tops.amax(0)),
        _own_largest(lambda tops: tops[0]),
        _own_largest(lambda tops: tops.sum(0)),
        _own_largest(lambda tops: tops.mean(0)),
        _own_largest(lambda tops: 0 * tops[0]),
        "only the last chunk is left: each pass of a loop replaced the sum instead of adding to it",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)[-1:]) - log(samples),
        lambda draw, samples, chunk: _log_mean(_chunks(draw, samples, chunk)[-1:])[0],
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)[-1:]),
        "your sum starts at a finite log w, and log weights may lie below it: start at −∞, or with the first chunk",
        _starting_at(-1000.0),
        *[_starting_at(start) for start in (-100.0, -500.0, -700.0, -745.0, -800.0, -900.0, -999.0)],
        "you subtracted the largest log weight of the first chunk throughout: a later one may lie far from it; use logaddexp",
        _largest_of_the_first,
        "when a chunk brings a larger log weight, the sum so far must be scaled to it: use logaddexp, which does that",
        _largest_so_far,
        "you subtracted the largest log weight of the whole batch: examples differ, subtract each one's own, or use logsumexp",
        _largest_of_the_batch,
        "your sum starts at log w = 0, a weight of 1 that was never drawn: start at −∞, or with the first chunk",
        lambda draw, samples, chunk: (
            _running(_chunks(draw, samples, chunk), torch.zeros((), dtype=torch.float64)) - log(samples)
        ),
        "you halve at every chunk, so that the first ones count less and less: add all weights, then divide by samples",
        _halving,
        "this is the mean of the log weights, the ELBO: not the log of the mean",
        lambda draw, samples, chunk: torch.cat(_chunks(draw, samples, chunk)).mean(0),
        lambda draw, samples, chunk: torch.stack([p.mean(0) for p in _chunks(draw, samples, chunk)]).mean(0),
        "you asked for all samples at once: draw at most chunk of them at a time",
        lambda draw, samples, chunk: draw(samples).logsumexp(0) - log(samples),
        "this is the largest log weight alone: add up all the weights, and divide by their number",
        lambda draw, samples, chunk: torch.cat(_chunks(draw, samples, chunk)).amax(0),
        "you used one chunk only: go on until samples weights are drawn",
        lambda draw, samples, chunk: _log_mean([draw(min(chunk, samples))])[0],
        lambda draw, samples, chunk: _log_mean([draw(chunk)])[0],
        "you drew samples chunks: samples is the number of weights in all",
        lambda draw, samples, chunk: _log_sum([draw(chunk) for _ in range(samples)]) - log(samples * chunk),
        lambda draw, samples, chunk: _log_sum([draw(chunk) for _ in range(samples)]) - log(samples),
        "Σ w̃ log w is neither log p(x) nor a bound: take the log of the mean of w",
        _weighted,
        "the sign is flipped inside the exponential, as if log w were a loss: so the worst draw counts most",
        lambda draw, samples, chunk: -((-torch.cat(_chunks(draw, samples, chunk))).logsumexp(0) - log(samples)),
        "divide the sum inside the logarithm: subtract log samples instead of dividing by samples",
        lambda draw, samples, chunk: _log_sum(_chunks(draw, samples, chunk)) / samples,
        "you averaged over the batch: return one number per example",
        lambda draw, samples, chunk: _log_evidence(draw, samples, chunk).mean(),
        lambda draw, samples, chunk: (
            torch.cat([p.flatten() for p in _chunks(draw, samples, chunk)]).logsumexp(0) - log(samples)
        ),
        "you reduced over the batch: the draws are axis 0",
        lambda draw, samples, chunk: torch.cat(_chunks(draw, samples, chunk)).logsumexp(1) - log(samples),
        "this is p(x): return its logarithm",
        lambda draw, samples, chunk: _log_evidence(draw, samples, chunk).exp(),
    ),
)


# 5. the β of a loss


def _design(*columns: Tensor) -> Tensor:
    return torch.stack([*columns, torch.ones_like(columns[0])], -1)


def _fit(loss: Tensor, design: Tensor) -> tuple[Tensor, Tensor]:
    """The coefficients and what is left, by least squares."""
    coefficients: Tensor = torch.linalg.lstsq(design, loss[:, None]).solution[:, 0]
    return coefficients, loss - design @ coefficients


def _beta(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    (a, b, _), left = _fit(loss, _design(distortion, rate))
    return b / a, left


def _effective_beta(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    beta, left = _beta(loss, distortion, rate)
    return beta, left.std() / loss.std()


def _beta_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, a: float, b: float, c: float, noise: float = 0.0) -> Arguments:
        shared = normal(generator, n)  # where the rate is high, the distortion is low
        distortion = 100 + 20 * (0.8 * normal(generator, n) - 0.6 * shared)
        rate = 25 + 5 * (0.8 * normal(generator, n) + 0.6 * shared)
        return a * distortion + b * rate + c + normal(generator, n, scale=noise), distortion, rate

    return [
        # No c is 0, or what is divided by it would be a rounding error.
        case(60, 1.0, 1.0, 7.0),
        case(40, 2 / 784, 0.1 / 5, 0.4),  # means over 784 pixels and 5 latents: β = 7.84
        case(30, 2.0, 1.0, -20.0),  # a squared error without its ½
        case(50, 1.0, 4.0, 720.0),
        case(50, 1.0, 2.0, -30.0, noise=8.0),
        case(9, 0.5, 3.0, 300.0, noise=4.0),
        case(200, 1.0, -1.0, 10.0, noise=30.0),
    ]


def _slope(y: Tensor, x: Tensor) -> Tensor:
    return ((y - y.mean()) * (x - x.mean())).sum() / (x - x.mean()).square().sum()


def _each_alone(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _slope(loss, distortion), _slope(loss, rate)
    return b / a, (loss - a * distortion - b * rate).std() / loss.std()


def _one_after_the_other(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    a = _slope(loss, distortion)
    b = _slope(loss - a * distortion, rate)
    return b / a, (loss - a * distortion - b * rate).std() / loss.std()


def _rate_first(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    b = _slope(loss, rate)
    a = _slope(loss - b * rate, distortion)
    return b / a, (loss - a * distortion - b * rate).std() / loss.std()


def _with_residual(measure: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """The right β, and of (what is left, the loss) another measure than the right one."""

    def answer(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        beta, left = _beta(loss, distortion, rate)
        return beta, measure(left, loss)

    return answer


def _with_beta(measure: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Answer:
    """The right residual, and of (a, b, distortion, rate) another number than β."""

    def answer(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        (a, b, _), left = _fit(loss, _design(distortion, rate))
        return measure(a, b, distortion, rate), left.std() / loss.std()

    return answer


def _ratio_of(upper: int, lower: int) -> Answer:
    """The right residual, and the ratio of two coefficients: 0 is a, 1 is b, 2 is c."""

    def answer(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        coefficients, left = _fit(loss, _design(distortion, rate))
        return coefficients[upper] / coefficients[lower], left.std() / loss.std()

    return answer


def _without_constant(
    measure: Callable[[Tensor, Tensor], Tensor], of_loss: Callable[[Tensor], Tensor] = lambda loss: loss
) -> Answer:
    """A fit of the loss by the two parts alone, and a measure of (what is left, the loss)."""

    def answer(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        (a, b), left = _fit(of_loss(loss), torch.stack([distortion, rate], -1))
        return b / a, measure(left, loss)

    return answer


def _first_weight_one(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    b = _slope(loss - distortion, rate)
    return b, (loss - distortion - b * rate).std() / loss.std()


def _correlations(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    correlation = torch.corrcoef(torch.stack([loss, distortion, rate]))[0]
    return correlation[2] / correlation[1], _effective_beta(loss, distortion, rate)[1]


def _left_at_weight_one(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    beta, _ = _beta(loss, distortion, rate)
    return beta, (loss - distortion - beta * rate).std() / loss.std()


def _left_without_constant(
    measure: Callable[[Tensor, Tensor], Tensor],
) -> Answer:
    """The right fit, and a measure of (the loss without its two parts but with its constant, the loss)."""

    def answer(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        (a, b, _), _ = _fit(loss, _design(distortion, rate))
        return b / a, measure(loss - a * distortion - b * rate, loss)

    return answer


effective_beta = Exercise(
    "effective_beta",
    _effective_beta,
    _beta_cases,
    wrong(
        "this is a / b, which is 1 / β: β is the weight of the rate when the distortion has weight 1",
        _with_beta(lambda a, b, distortion, rate: a / b),
        "this is b: divide by a, the weight of the distortion, which a mean or a missing ½ changes as well",
        _with_beta(lambda a, b, distortion, rate: b),
        "this is a, the weight of the distortion: β is b / a",
        _with_beta(lambda a, b, distortion, rate: a),
        "you divided by c: look at the order of the columns of your design",
        _ratio_of(0, 2),
        _ratio_of(1, 2),
        "you divided c instead of b: look at the order of the columns of your design",
        _ratio_of(2, 0),
        _ratio_of(2, 1),
        "the sign of β is flipped: it is b / a",
        _with_beta(lambda a, b, distortion, rate: -b / a),
        "you compared how much the two terms vary, b sd(rate) and a sd(distortion): β is the ratio of the weights, b / a",
        _with_beta(lambda a, b, distortion, rate: b * rate.std() / (a * distortion.std())),
        _with_beta(lambda a, b, distortion, rate: (b * rate).std() / (a * distortion).std()),
        "you compared the sizes of the two terms: β is the ratio of their weights, b / a",
        _with_beta(lambda a, b, distortion, rate: (b * rate).mean() / (a * distortion).mean()),
        "the constant c is missing from the fit: a loss may hold terms that depend on neither part, such as ½ log 2π",
        _without_constant(lambda left, loss: left.std() / loss.std()),
        _without_constant(lambda left, loss: left.square().mean().sqrt() / loss.std()),
        _without_constant(lambda left, loss: left.square().mean().sqrt() / loss.std(correction=0)),
        _without_constant(lambda left, loss: left.norm() / loss.norm()),
        _without_constant(lambda left, loss: left.std()),
        _without_constant(lambda left, loss: left.std() / loss.std(), lambda loss: loss - loss.mean()),
        "you took 1 for the weight a of the distortion: a mean over pixels or a missing ½ gives it another; fit it too",
        _first_weight_one,
        "this is a ratio of two correlations: β is the ratio of the weights of a fit, b / a",
        _correlations,
        "you computed what is left with the weights 1 and β: the fit has a and b",
        _left_at_weight_one,
        "the constant c is still in what is left: subtract the whole fit from the loss",
        _left_without_constant(lambda left, loss: left.square().mean().sqrt() / loss.std(correction=0)),
        _left_without_constant(lambda left, loss: left.square().mean().sqrt() / loss.std()),
        _left_without_constant(lambda left, loss: left.norm() / loss.norm()),
        "you fitted each part alone: the two vary together, so fit both at once",
        _each_alone,
        "you fitted one part first and the other to what was left: the two vary together, so fit both at once",
        _one_after_the_other,
        _rate_first,
        "the residual is not relative: divide the standard deviation of what is left by that of the loss",
        _with_residual(lambda left, loss: left.std()),
        _with_residual(lambda left, loss: left.std(correction=0)),
        _with_residual(lambda left, loss: (left.square().sum() / (len(left) - 3)).sqrt()),
        "the residual is a mean or sum of squares: take the standard deviation of what is left, over that of the loss",
        _with_residual(lambda left, loss: left.square().mean()),
        _with_residual(lambda left, loss: left.square().sum()),
        _with_residual(lambda left, loss: left.var()),
        "this residual is 1 − R², a ratio of variances: take its root, the ratio of standard deviations",
        _with_residual(lambda left, loss: left.var() / loss.var()),
        "this residual is R², the share of the variance that the fit explains: return what it leaves, sd over sd",
        _with_residual(lambda left, loss: 1 - left.var() / loss.var()),
        "this residual is the correlation of fit and loss: return what the fit leaves, sd over sd",
        _with_residual(lambda left, loss: (1 - left.var() / loss.var()).sqrt()),
        _with_residual(lambda left, loss: (loss - left).std() / loss.std()),
        "the two standard deviations of the residual divide by different counts: n, n − 1 or n − 3, but the same for both",
        _with_residual(lambda left, loss: left.std() / loss.std(correction=0)),
        _with_residual(lambda left, loss: left.std(correction=0) / loss.std()),
        _with_residual(lambda left, loss: (left.square().sum() / (len(left) - 3)).sqrt() / loss.std()),
        _with_residual(lambda left, loss: (left.square().sum() / (len(left) - 3)).sqrt() / loss.std(correction=0)),
        "you took mean absolute values for the residual: take standard deviations",
        _with_residual(lambda left, loss: left.abs().mean() / (loss - loss.mean()).abs().mean()),
        _with_residual(lambda left, loss: left.abs().mean()),
        _with_residual(lambda left, loss: left.abs().mean() / loss.std()),
        _with_residual(lambda left, loss: left.abs().mean() / loss.std(correction=0)),
        _with_residual(lambda left, loss: left.abs().mean() / loss.abs().mean()),
        "you divided the residual by the size of the loss, its mean included: divide by its standard deviation",
        _with_residual(lambda left, loss: left.norm() / loss.norm()),
        _with_residual(lambda left, loss: left.std() / loss.mean()),
        _with_residual(lambda left, loss: left.std(correction=0) / loss.mean()),
        _with_residual(lambda left, loss: left.std() / loss.abs().mean()),
        "you divided by the standard deviation of the fit: divide by that of the loss",
        _with_residual(lambda left, loss: left.std() / (loss - left).std()),
        "[n] minus [n, 1] is [n, n], every loss against every fit: bring both to one shape before you subtract",
        _with_residual(lambda left, loss: (left[:, None] + loss - loss[:, None]).std() / loss.std()),
        _with_residual(
            lambda left, loss: (left[:, None] + loss - loss[:, None]).std(correction=0) / loss.std(correction=0)
        ),
        "the residual is the largest deviation over the spread of the loss: take the standard deviation of what is left",
        _with_residual(lambda left, loss: left.abs().max() / loss.std(correction=0)),
        _with_residual(lambda left, loss: left.abs().max() / loss.std()),
        "the residual is 0 everywhere: the mean of what is left always is, and lstsq may leave its .residuals empty; "
        "compute what is left, and take its standard deviation",
        _with_residual(lambda left, loss: left.mean()),
        _with_residual(lambda left, loss: left.mean() / loss.std()),
        _with_residual(lambda left, loss: torch.zeros((), dtype=loss.dtype)),
        "the two results are exchanged: return β first",
        lambda loss, distortion, rate: _effective_beta(loss, distortion, rate)[::-1],
    ),
    results=("β", "residual"),
    tolerance=1e-5,
)
