"""The sheet on evaluation: active units, two models, what the mean hides, log p(x) in chunks, annealed weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import ceil, inf, log, pi

import torch
from torch import Generator, Tensor, logaddexp

from vae_course.exercises.exercise import Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.parts import Formula, Step, named, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. active units

_ACTIVE = Formula(
    "means threshold",
    variance=lambda means: means.var(0),
    active=lambda variance, threshold: variance > threshold,
)
_above = _ACTIVE.instead("variance")


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


# 2. two models on the same examples

_PAIRED = Formula(
    "a b",
    difference=lambda a, b: a - b,
    mean=lambda difference: difference.mean(),
    std=lambda difference: difference.std(),
    error=lambda std, a: std / len(a) ** 0.5,
    both=lambda mean, error: (mean, error),
)


def _paired_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, apart: float, spread: float) -> Arguments:
        hard = -100 + 25 * normal(generator, n)  # what makes an example hard is common to both
        return hard + apart + normal(generator, n, scale=spread), hard + normal(generator, n, scale=spread)

    return [case(40, 1.5, 2.0), case(300, -0.4, 1.0), case(2, 3.0, 1.0), case(9, 0.0, 5.0)]


_errors = _PAIRED.instead("error")
paired_difference = Exercise(
    "paired_difference",
    _PAIRED,
    _paired_cases,
    wrong(
        "this is the error of two means of different examples: here both models saw the same, so take the deviation of the differences",
        *_errors(
            lambda a, b: ((a.var() + b.var()) / len(a)).sqrt(),
            lambda a, b: (a.var() / len(a) + b.var() / len(b)).sqrt(),
            lambda a, b: ((a.var(correction=0) + b.var(correction=0)) / len(a)).sqrt(),
        ),
        "you added the two errors: take the deviation of the differences",
        *_errors(lambda a, b: (a.std() + b.std()) / len(a) ** 0.5),
        "you subtracted the two errors: take the deviation of the differences",
        *_errors(
            lambda a, b: (a.std() - b.std()) / len(a) ** 0.5, lambda a, b: (a.std() - b.std()).abs() / len(a) ** 0.5
        ),
        "this is the error of the first model's mean: take the deviation of the differences",
        *_errors(lambda a: a.std() / len(a) ** 0.5),
        "this is the error of the second model's mean: take the deviation of the differences",
        *_errors(lambda b: b.std() / len(b) ** 0.5),
        "this is the deviation of single differences: the error of their mean is smaller by √n",
        *_errors(lambda std: std, lambda difference: difference.std(correction=0)),
        "you divided the deviation by n: the error of a mean falls as 1/√n",
        *_errors(lambda std, a: std / len(a)),
        "this is the variance of the mean: its error is the root",
        *_errors(lambda difference: difference.var() / len(difference)),
        "you divided the variance by √n: the error is the standard deviation over √n",
        *_errors(lambda difference: difference.var() / len(difference) ** 0.5),
        "the variance divides by n: with n − 1 it is unbiased, and the task asks for that",
        *_errors(lambda difference: difference.std(correction=0) / len(difference) ** 0.5),
        "you divided by √(n − 1): with a deviation over n − 1 the mean's error has √n",
        *_errors(lambda std, a: std / (len(a) - 1) ** 0.5),
        "you doubled the error, or took 1.96 of them: return one standard error",
        *_errors(lambda std, a: 2 * std / len(a) ** 0.5, lambda std, a: 1.96 * std / len(a) ** 0.5),
        "you took the mean absolute deviation: a standard error comes from the standard deviation",
        *_errors(lambda difference: (difference - difference.mean()).abs().mean() / len(difference) ** 0.5),
        "you took the root of the mean square: subtract the mean of the differences first",
        *_errors(lambda difference: difference.square().mean().sqrt() / len(difference) ** 0.5),
        "the difference has the wrong sign: a minus b, above 0 where the first model is better",
        *_PAIRED.each(mean=[lambda difference: -difference.mean()]),
        "you took absolute differences: their mean says how far apart the models are, not which is better",
        _PAIRED.but(difference=lambda a, b: (a - b).abs()),
        *_PAIRED.each(mean=[lambda difference: difference.abs().mean()]),
        "this is the sum of the differences: return their mean",
        *_PAIRED.each(mean=[lambda difference: difference.sum()]),
        "this is the median of the differences: return their mean",
        *_PAIRED.each(mean=[lambda difference: difference.median()]),
        "you divided the mean by its error: return both, not their ratio",
        *_PAIRED.each(mean=[lambda difference, error: difference.mean() / error]),
    ),
    results=("mean difference", "standard error"),
)


# 3. what decoding the mean hides

_HIDDEN = Formula(
    "std weight noise_std",
    norms=lambda weight: weight.square().sum(0),  # [latent]: of the columns, squared
    spread=lambda std, norms: std.square() * norms,  # [batch, latent]
    total=lambda spread: spread.sum(-1),
    scale=lambda noise_std: 2 * noise_std**2,
    gain=lambda total, scale: total / scale,
)


def _hidden_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, pixels: int, latent: int, noise_std: float) -> Arguments:
        std = (0.2 + uniform(generator, batch, latent)).requires_grad_()
        return std, normal(generator, pixels, latent, gradient=True), noise_std

    # First a square one, on which a sum over the wrong axis runs.
    return [case(4, 3, 3, 0.7), case(5, 8, 2, 0.3), case(1, 2, 5, 2.0), case(3, 1, 1, 0.5), case(2, 6, 4, 1.0)]


hidden_by_the_mean = Exercise(
    "hidden_by_the_mean",
    _HIDDEN,
    _hidden_cases,
    wrong(
        "the ½ is missing: log N has −½ (x − mean)² / s²",
        _HIDDEN.but(scale=lambda noise_std: noise_std**2),
        "s is not squared: log N divides by 2 s²",
        _HIDDEN.but(scale=lambda noise_std: 2 * noise_std),
        "s is missing: the squared error is divided by 2 s²",
        _HIDDEN.but(scale=lambda: 2),
        "you multiplied by s²: log N divides by 2 s²",
        _HIDDEN.but(scale=lambda noise_std: 2 / noise_std**2),
        "your ½ is squared with s, or was taken twice: the whole is divided by 2 s²",
        *_HIDDEN.each(scale=[lambda noise_std: (2 * noise_std) ** 2, lambda noise_std: noise_std**2 / 2]),
        "σ is not squared: the mean of (σ ε)² is σ²",
        _HIDDEN.but(spread=lambda std, norms: std * norms),
        "`std` is σ itself, not its logarithm: take no exp",
        *[_HIDDEN.given(std=f) for f in (torch.exp, lambda std: (0.5 * std).exp())],
        "the columns' lengths are not squared: the error is squared, and so are they",
        _HIDDEN.but(norms=lambda weight: weight.square().sum(0).sqrt()),
        "you added up the entries of a column: add their squares",
        _HIDDEN.but(norms=lambda weight: weight.sum(0)),
        _HIDDEN.but(norms=lambda weight: weight.abs().sum(0)),
        _HIDDEN.but(norms=lambda weight: weight.sum(0).square()),
        "you summed over the latents' axis of the weights: a latent's column runs over the pixels, axis 0",
        _HIDDEN.but(norms=lambda weight: weight.square().sum(1)),
        "you added the deviations before squaring: the ε are independent, so their squares add up and no product of two is left",
        _HIDDEN.but(total=lambda std, weight: (std @ weight.T).square().sum(-1)),
        "the weights are missing: a latent matters as much as its column is long",
        _HIDDEN.but(norms=lambda weight: torch.ones_like(weight[0])),
        "you took one length for all latents: each σ goes with its own column",
        _HIDDEN.but(norms=lambda weight: weight.square().sum().expand(weight.shape[1])),
        _HIDDEN.but(norms=lambda weight: weight.square().sum(0).mean().expand(weight.shape[1])),
        "the sign is wrong: at the mean the log-likelihood is higher than on average",
        _HIDDEN.then(torch.neg),
        "you averaged over the pixels: log p(x|z) is a sum over them",
        _HIDDEN.but(norms=lambda weight: weight.square().mean(0)),
        "you averaged over the latents: their contributions add up",
        _HIDDEN.but(total=lambda spread: spread.mean(-1)),
        "this is the mean of the batch, or its sum: return one number per example",
        *[_HIDDEN.then(f) for f in (Tensor.mean, Tensor.sum)],
        "these are the contributions of the latents: sum over them",
        _HIDDEN.but(total=lambda spread: spread, gain=lambda total, scale: total / scale),
        "these are the contributions of the pixels: sum over them",
        _HIDDEN.but(total=lambda std, weight: std.square() @ weight.square().T),
        "you summed over the examples: axis 0 is the batch",
        _HIDDEN.but(total=lambda spread: spread.sum(0)),
        "log (2π s²) cancels in the difference: only the squared errors differ",
        _HIDDEN.but(gain=lambda total, scale, weight: total / scale + 0.5 * len(weight) * log(pi)),
        _HIDDEN.but(
            gain=lambda total, scale, weight, noise_std: total / scale + 0.5 * len(weight) * log(2 * pi * noise_std**2)
        ),
        "the value is right, but no gradient flows back: something was detached, or made anew from numbers",
        _HIDDEN.then(torch.detach),
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
_totals, _estimates, _sizes = (_ESTIMATE.instead(step) for step in ("total", "estimate", "sizes"))
_of_chunks = _CHUNKS.instead("estimate")
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


# 5. log p(x) from the weights of annealed chains

_ANNEALED = Formula(
    "log_q log_joint temperatures",
    gain=lambda log_q, log_joint: log_joint - log_q,  # [temperatures, chains, batch]
    steps=lambda temperatures: temperatures.diff()[:, None, None],
    log_w=lambda gain, steps: (steps * gain).sum(0),
    total=lambda log_w: log_w.logsumexp(0),
    estimate=lambda total, log_w: total - log(len(log_w)),
)


def _annealed_cases(generator: Generator) -> list[Arguments]:
    def case(steps: int, chains: int, batch: int, at: float = -100.0) -> Arguments:
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        between = uniform(generator, steps - 1).sort().values
        temperatures = torch.cat([ends[:1], between, ends[1:]])
        log_q, gain = (
            normal(generator, steps, chains, batch, scale=3.0),
            at + normal(generator, steps, chains, batch, scale=4.0),
        )
        return log_q, log_q + gain, temperatures

    return [case(5, 4, 3), case(1, 6, 2), case(8, 1, 2), case(3, 7, 1), case(4, 3, 2, -1000.0), case(6, 5, 5, 900.0)]


_estimate, _log_w, _steps = (_ANNEALED.instead(step) for step in ("estimate", "log_w", "steps"))
annealed_log_evidence = Exercise(
    "annealed_log_evidence",
    _ANNEALED,
    _annealed_cases,
    wrong(
        "the steps of the temperature are missing: each gain counts t' − t only, and these sum to 1",
        *_log_w(lambda gain: gain.sum(0)),
        "you averaged over the temperatures: each gain counts its own step t' − t, and the steps are not equal",
        *_log_w(lambda gain: gain.mean(0)),
        "you weighted by the temperature itself: a gain counts the step from it to the next, t' − t",
        *_steps(lambda temperatures: temperatures[:-1, None, None]),
        "you weighted by the next temperature: a gain counts the step to it, t' − t",
        *_steps(lambda temperatures: temperatures[1:, None, None]),
        "the steps stand in the wrong order: z at temperature t counts the step that leaves t",
        *_steps(lambda temperatures: temperatures.diff().flip(0)[:, None, None]),
        "you used the gain at the first temperature only: that is importance sampling from q; each temperature has its step",
        *_log_w(lambda gain: gain[0]),
        "you used the gain at the last temperature only: every step of the way counts",
        *_log_w(lambda gain: gain[-1]),
        "log q was subtracted once, at the first temperature: it belongs to every gain, at that chain's own z",
        *_ANNEALED.each(log_w=[lambda log_joint, log_q, steps: (steps * log_joint).sum(0) - log_q[0]]),
        "log q is missing: the gain is log p(x, z) − log q(z|x)",
        _ANNEALED.but(gain=lambda log_joint: log_joint),
        "a sign is flipped: the gain is log p(x, z) − log q(z|x), and its step t' − t, as t grows from 0 to 1",
        *_steps(lambda temperatures: -temperatures.diff()[:, None, None]),
        _ANNEALED.but(gain=lambda log_q, log_joint: log_q - log_joint),
        "log q was added: the gain is log p(x, z) − log q(z|x)",
        _ANNEALED.but(gain=lambda log_q, log_joint: log_q + log_joint),
        "you averaged the log weights of the chains: that is a lower bound; take the log of the mean weight",
        *_estimate(lambda log_w: log_w.mean(0)),
        "the number of chains is not divided out: take the log of the mean weight",
        *_estimate(lambda total: total),
        "you added the log of the number of chains: dividing by it subtracts",
        *_estimate(lambda total, log_w: total + log(len(log_w))),
        "you divided by the number of temperatures: the mean is over the chains",
        *_estimate(lambda total, gain: total - log(len(gain))),
        "you divided by the size of the batch: the mean is over the chains",
        *_estimate(lambda total, log_w: total - log(log_w.shape[1])),
        "exp overflows or underflows for weights far from 1: use logsumexp",
        *_estimate(lambda log_w: log_w.exp().mean(0).log()),
        "the largest log weight was subtracted and not added again",
        *_estimate(lambda log_w: (log_w - log_w.amax(0)).exp().mean(0).log()),
        "you took the log of the mean over the chains at each temperature, then summed: sum along a chain first",
        _ANNEALED.but(estimate=lambda gain, steps: ((steps * gain).logsumexp(1) - log(gain.shape[1])).sum(0)),
        "you returned the log weights of the chains: take the log of their mean, one number per example",
        *_estimate(lambda log_w: log_w),
        "this is the best chain alone: take the log of the mean weight",
        *_estimate(lambda log_w: log_w.amax(0)),
        "you averaged over the batch too: return one number per example",
        _ANNEALED.then(torch.mean),
        "you reduced over the batch: the chains are axis 1 of what is given",
        *_estimate(lambda log_w: log_w.logsumexp(1) - log(log_w.shape[1])),
        "this is p(x): return its logarithm",
        _ANNEALED.then(torch.exp),
    ),
)
