"""The sheet on the β-VAE: a weight on the rate, traversals, mutual information, its gap, the parts of the KL, q(z) of a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log, pi
from operator import itemgetter
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy, logsigmoid, softplus
from torch.special import entr

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, bits, named, normal, uniform
from vae_course.exercises.slips import SMALL

One = Callable[[Tensor], Tensor]
Two = Callable[[Tensor, Tensor], Tensor]


def _other(step: str, of: str, *formulas: Formula) -> Callable[..., list[Formula]]:
    """What makes wrong answers of functions: each stands where the step was in the formulas, and is given what `of` names."""
    return lambda *others: [f.but(**{step: named(partial(other), of)}) for f in formulas for other in others]


# 1. the β-weighted bound

_KL = Formula(
    "mean log_std",
    variance=lambda log_std: (2 * log_std).exp(),
    latents=lambda mean, variance, log_std: 0.5 * (mean.square() + variance - 1) - log_std,
    kl=lambda latents: latents.sum(-1),
)
_BOUND = Formula(
    "x logits mean log_std beta",
    pixels=lambda x, logits: x * logits - softplus(logits),
    log_p=lambda pixels: pixels.sum(-1),
    **_KL.steps,
    objective=lambda log_p, kl, beta: log_p - beta * kl,
)
_OF_P = Formula(
    "x logits mean log_std beta",
    p=lambda logits: logits.sigmoid(),
    **_BOUND.but(pixels=lambda x, p: x * p.log() + (1 - x) * (1 - p).log()).steps,
)
_pixels, _log_p = _other("pixels", "x logits", _BOUND), _other("log_p", "pixels", _BOUND)
_pixels_of_p, _p = _other("pixels", "x p", _OF_P), _other("p", "logits", _OF_P)
_variance, _latents = _other("variance", "log_std", _BOUND), _other("latents", "mean variance log_std", _BOUND)
_kl, _objective = _other("kl", "latents", _BOUND), _other("objective", "log_p kl beta", _BOUND)


def _beta_elbo_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, pixels: int, latent: int, beta: float, scale: float = 2.0) -> Arguments:
        logits = normal(generator, batch, pixels, scale=scale, gradient=True)
        mean, log_std = (normal(generator, batch, latent, gradient=True) for _ in range(2))
        return bits(generator, batch, pixels), logits, mean, log_std, beta

    def sure(ink: float, sign: float) -> Arguments:  # the probability of a wrong pixel underflows
        logits = torch.full((2, 3), 800.0 * sign, dtype=torch.float64, requires_grad=True)
        return torch.full((2, 3), ink, dtype=torch.float64), logits, *case(2, 3, 2, 2.5)[2:]

    cases = [case(3, 3, 3, 4.0), case(5, 7, 2, 0.25), case(1, 4, 1, 10.0), case(4, 1, 3, 1.5, 0.01)]
    far = torch.tensor([[3.0, -6.0, 0.01], [0.02, -0.01, 0.03]], dtype=torch.float64)  # a clamp shows, and a least KL
    wide = tuple(a.requires_grad_() for a in (0.01 * far.flip(0), far.clone()))
    return [*cases, sure(0, 1), sure(1, -1), sure(1, 1), case(2, 5, 2, 0.0), (*case(2, 4, 3, 1.0)[:2], *wide, 2.0)]


beta_elbo = Exercise(
    "beta_elbo",
    _BOUND,
    _beta_elbo_cases,
    wrong(
        "you averaged over the pixels: log p(x|z) is their sum, and the mean makes β larger by the number of pixels",
        *_log_p(lambda pixels: pixels.mean(-1)),
        "you averaged over the latents: the KL is their sum, and the mean makes β smaller by the number of latents",
        *_kl(lambda latents: latents.mean(-1)),
        "you averaged over pixels and latents: both are sums, and two means change β by pixels / latents",
        _BOUND.but(log_p=lambda pixels: pixels.mean(-1), kl=lambda latents: latents.mean(-1)),
        "β was scaled by latents / pixels here: it multiplies the KL as it is, since both terms are sums",
        _BOUND.but(kl=lambda latents, pixels: latents.shape[-1] / pixels.shape[-1] * latents.sum(-1)),
        "β multiplies the likelihood here: it is the weight of the KL",
        *_objective(lambda log_p, kl, beta: beta * log_p - kl),
        "β multiplies both terms here, which leaves their balance as it was: it is the weight of the KL alone",
        *_objective(lambda log_p, kl, beta: beta * (log_p - kl)),
        "the KL was added: β times it is subtracted",
        *_objective(lambda log_p, kl, beta: log_p + beta * kl),
        "this is the loss, minus the objective: return the objective itself",
        _BOUND.then(torch.neg),
        "β is squared here: it enters as it is, once",
        _BOUND.given(beta=lambda beta: beta**2),
        "you divided by β: it multiplies the KL, and a larger β makes the rate dearer",
        *_objective(lambda log_p, kl, beta: log_p - kl / beta, lambda log_p, kl, beta: log_p - 1 / beta * kl),
        *_objective(lambda log_p, kl, beta: (log_p + 0) - 1 / beta * kl),  # log p(x|z) made last, before 1/0
        "β is missing: this is the ELBO, the case β = 1",
        _BOUND.given(beta=lambda beta: 1),
        "the ½ of the KL is missing: it acts as twice the β",
        _BOUND.given(beta=lambda beta: 2 * beta),
        "log_std is log σ, not log σ²: σ² is exp(2 log_std), and log σ² is 2 log_std",
        _BOUND.given(log_std=lambda s: 0.5 * s),
        *_variance(torch.exp),
        *_latents(lambda mean, variance, log_std: 0.5 * (mean.square() + variance - 1 - log_std)),
        "you took (log σ)² for log σ²: log σ² is 2 log_std",
        *_latents(lambda mean, variance, log_std: 0.5 * (mean.square() + variance - 1 - log_std.square())),
        "you took the variance for the scale of q: a normal takes its standard deviation exp(log_std)",
        _BOUND.given(log_std=lambda s: 2 * s),
        "σ is exp(log_std), once: exp was taken twice, log_std taken for σ itself, or σ made by softplus",
        *[_BOUND.given(log_std=change) for change in (torch.exp, torch.log, lambda s: softplus(s).log())],
        *_variance(lambda log_std: (2 * log_std.exp()).exp(), torch.square),
        "log_std, or a KL, was clamped, as for free bits: the task takes both as they are",
        *[_BOUND.given(log_std=partial(torch.clamp, min=low, max=2)) for low in (-20, -10, -5, -4)],
        *[_BOUND.given(log_std=partial(torch.clamp, min=low, max=high)) for low in (-5, -4) for high in (4, 10)],
        *_kl(*[lambda latents, c=c: latents.clamp(min=c).sum(-1) for c in (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2)]),
        "this is KL(p || q), the other direction: the expectation is over q",
        _BOUND.but(latents=lambda mean, log_std: log_std + 0.5 * (1 + mean.square()) * (-2 * log_std).exp() - 0.5),
        'your log p(x|z) is one number for all pictures: ask for reduction="none" and sum over the pixels of each',
        *_log_p(torch.sum, torch.mean, lambda pixels: pixels.sum(-1).mean()),
        "your KL is one number for all pictures: sum over the latents of each",
        *_kl(torch.sum, torch.mean, lambda latents: latents.sum(-1).mean()),
        "a term was not summed, or kept an axis of 1: sum over pixels and over latents first, to [batch] each",
        *_kl(lambda latents: latents, lambda latents: latents.sum(-1, keepdim=True)),
        *_log_p(lambda pixels: pixels, lambda pixels: pixels.sum(-1, keepdim=True)),
        "β misses − log σ: it multiplies the whole KL, put brackets around it",
        _BOUND.but(objective=lambda log_p, kl, log_std, beta: log_p - beta * kl + (1 - beta) * log_std.sum(-1)),
        "this is one number for the whole batch: return one for each picture, the mean is taken in fit",
        *[_BOUND.then(torch.mean), _BOUND.then(torch.sum)],
        "log p(x|z) is infinite or NaN where the network is sure: compute it from the logits (softplus, logsigmoid)",
        *[_OF_P, *_pixels(lambda x, logits: x * logits - logits.exp().log1p())],
        "a clamp, or a number added inside the logarithm, hides how wrong a sure network is (binary_cross_entropy clamps too): compute from the logits",
        *_pixels_of_p(lambda x, p: -binary_cross_entropy(p, x, reduction="none")),
        *_pixels_of_p(*[lambda x, p, e=e: x * (p + e).log() + (1 - x) * (1 - p + e).log() for e in SMALL]),
        *_p(*[lambda logits, e=e: logits.sigmoid().clamp(e, 1 - e) for e in (torch.finfo(torch.double).eps, *SMALL)]),
        *[_BOUND.given(logits=partial(torch.clamp, min=-most, max=most)) for most in (10, 20, 30, 50, 80, 88, 100)],
        "the sigmoid was applied twice: softplus, Bernoulli(logits=…) and binary_cross_entropy_with_logits apply it themselves",
        _BOUND.given(logits=torch.sigmoid),
        "binary_cross_entropy takes probabilities: give the logits to binary_cross_entropy_with_logits",
        *_pixels(lambda x, logits: -binary_cross_entropy(logits, x, reduction="none")),
        "x and the logits are exchanged: the cross-entropy takes the logits first, then the pixels x",
        *_pixels(lambda x, logits: x * logits - softplus(x)),
        "ink and paper are exchanged: a logit is that of ink, x = 1",
        *[_BOUND.given(x=lambda x: 1 - x), _BOUND.given(logits=torch.neg)],
        "only ink counts here, or only paper: a pixel has two terms, x log p + (1 − x) log(1 − p)",
        *_pixels(lambda x, logits: x * logsigmoid(logits), lambda x, logits: (1 - x) * logsigmoid(-logits)),
        "this is a squared error, the likelihood of real numbers: a binary pixel has x log p + (1 − x) log(1 − p)",
        *_pixels_of_p(lambda x, p: -(x - p).square(), lambda x, p: -0.5 * (x - p).square()),
        *_pixels(lambda x, logits: -(x - logits).square(), lambda x, logits: -0.5 * (x - logits).square()),
    ),
)


# 2. a traversal

_TRAVERSAL = Formula(
    "z latent values",
    here=lambda z, latent: torch.arange(len(z)) == latent,  # nowhere, for an index outside
    column=lambda values: values[:, None],
    rows=lambda z, here, column: torch.where(here, column, z),
)
_IN_PLACE = Formula(
    "z latent values",
    n=lambda values: len(values),
    copies=lambda z, n: z.repeat(n, 1),
    rows=lambda copies, latent, values: _set(copies, (slice(None), latent), values),
)
_rows, _copies = _other("rows", "z here column", _TRAVERSAL), _other("copies", "z n", _IN_PLACE)


def _set(rows: Tensor, where: Any, values: Tensor) -> Tensor:
    rows[where] = values
    return rows


def _traverse_cases(generator: Generator) -> list[Arguments]:
    def case(latents: int, latent: int, n: int, scale: float = 1.0) -> Arguments:
        z, values = (normal(generator, size, scale=scale, gradient=True) for size in (latents, n))
        return z, latent, values

    # Where there are as many values as latents, rows for columns run.
    return [case(4, 1, 4), case(5, 2, 3), case(3, 1, 7, 100.0), case(6, 0, 1), case(2, 1, 3), case(1, 0, 2)]


traverse = Exercise(
    "traverse",
    _TRAVERSAL,
    _traverse_cases,
    wrong(
        "you added the values: set the coordinate to them",
        *_rows(lambda z, here, column: z + column * here),
        "the other coordinates are 0 here: keep them as in z",
        *_rows(lambda z, here, column: column * here),
        "this is transposed: one row for each value, [n, latents]",
        _TRAVERSAL.then(torch.t),
        "every coordinate is set to the value: set only the one numbered latent",
        *_rows(lambda z, here, column: column + 0 * z),
        "you added the values to every coordinate: set the one numbered latent, keep the others",
        *_rows(lambda z, here, column: column + z),
        "you multiplied by the values: set the coordinate to them",
        *_rows(lambda z, here, column: torch.where(here, column * z, z)),
        "this is the coordinate before: latents are counted from 0, as Python's indices are",
        *[formula.given(latent=lambda k: k - 1) for formula in (_TRAVERSAL, _IN_PLACE)],
        "this is the coordinate after: latents are counted from 0, as Python's indices are",
        *[formula.given(latent=lambda k: k + 1) for formula in (_TRAVERSAL, _IN_PLACE)],
        "you set a row: the coordinate is a column, [:, latent]",
        _IN_PLACE.but(rows=lambda copies, latent, values: _set(copies, latent, values)),
        "every row has the last value: they are one tensor; clone z for each",
        _TRAVERSAL.given(values=lambda v: v[-1:].expand_as(v)),
        "every row has the first value: row i has values[i]",
        _TRAVERSAL.given(values=lambda v: v[:1].expand_as(v)),
        "you sorted the values: keep their order",
        _TRAVERSAL.given(values=lambda v: v.sort().values),
        "the rows stand in the reverse order: row i has values[i]",
        _TRAVERSAL.given(values=lambda v: v.flip(0)),
        "your steps are equal, from one value to another: take the values themselves",
        _TRAVERSAL.given(values=lambda v: torch.linspace(v.min().item(), v.max().item(), len(v), dtype=v.dtype)),
        _TRAVERSAL.given(values=lambda v: torch.linspace(v[0].item(), v[-1].item(), len(v), dtype=v.dtype)),
        "expand makes one row look like many, which cannot be written to: repeat copies it",
        *_copies(lambda z, n: z.expand(n, -1)),
        "repeat(n) makes one long row, and repeat(1, n) too: n rows are repeat(n, 1)",
        *_copies(lambda z, n: z.repeat(n), lambda z, n: z.repeat(1, n)),
        "repeat_interleave repeats number by number: rows that are copies of z are z.repeat(n, 1)",
        *_copies(lambda z, n: z.repeat_interleave(n).reshape(n, -1)),
    ),
)


# 3. mutual information from a histogram


def _bincount(index: Tensor, column: Tensor, rows: int, columns: int) -> Tensor:
    """How often each pair occurs, [rows, columns]."""
    return torch.bincount(index * columns + column, minlength=rows * columns).reshape(rows, columns).double()


def _index_put(index: Tensor, column: Tensor, rows: int, columns: int) -> Tensor:
    ones = torch.ones(len(index), dtype=torch.float64)
    return torch.zeros(rows, columns, dtype=torch.float64).index_put((index, column), ones, accumulate=True)


_BINS = Formula(
    "codes bins",
    low=lambda codes: codes.min(),
    high=lambda codes: codes.max(),
    relative=lambda codes, low, high: (codes - low) / (high - low).clamp(min=1e-300),  # 0 for a constant code
    index=lambda relative, bins: (relative * bins).long().clamp(max=bins - 1),
)
_INFORMATION = Formula(
    "codes factor bins",
    **_BINS.steps,
    column=lambda factor: factor,
    rows=lambda bins: bins,
    columns=lambda factor: int(factor.max()) + 1,
    counts=_bincount,
    p=lambda counts, codes: counts / len(codes),
    p_bin=lambda p: p.sum(1, keepdim=True),
    p_value=lambda p: p.sum(0),
    product=lambda p_bin, p_value: p_bin * p_value,
    log_ratio=lambda p, product: (p / product).log(),
    mi=lambda p, log_ratio: torch.nansum(p * log_ratio),
)
_ENTROPIES = _INFORMATION.but(
    h=lambda p: entr(p).sum(), h_bin=lambda p_bin: entr(p_bin).sum(), h_value=lambda p_value: entr(p_value).sum()
)
_TABLES = _INFORMATION, _INFORMATION.but(counts=_index_put)  # they differ where an index lies outside
# A row for codes that are in no interval, which is left out.
_SPARE = _INFORMATION.but(rows=lambda bins: bins + 1, p=lambda counts, codes: counts[:-1] / len(codes))
_relative, _binned = _other("relative", "codes low high", *_TABLES), _other("index", "codes relative bins", *_TABLES)
_index, _mi = _other("index", "relative bins", _INFORMATION), _other("mi", "p product log_ratio", _INFORMATION)
_of_entropies = _other("result", "h h_bin h_value", _ENTROPIES)
_divided = _other("by", "h_bin h_value", _ENTROPIES.but(by=lambda h_value: h_value, share=lambda mi, by: mi / by))
_UNGUARDED = _relative(lambda codes, low, high: (codes - low) / (high - low))
_NAN_IS_NO_INDEX = bool((torch.full((7,), torch.nan).double().long() < 0).all())  # some processors turn it into 0


def _mutual_information_cases(generator: Generator) -> list[Arguments]:
    def whole(values: int, n: int) -> Tensor:
        return torch.cat([torch.randint(values, (n - 1,), generator=generator), torch.tensor([values - 1])])

    def noisy(values: int, n: int, noise: float) -> tuple[Tensor, Tensor]:
        factor = whole(values, n)
        return factor - 1.3 + normal(generator, n, scale=noise), factor

    exact, gaps = whole(3, 20), whole(2, 30) * 2
    edges = torch.arange(9).repeat(2)[torch.randperm(18, generator=generator)]  # some on the edge of two intervals
    return [
        (*noisy(4, 60, 0.7), 5),
        (*noisy(2, 25, 0.3), 9),
        (normal(generator, 50).exp(), whole(3, 50), 6),  # skewed: bins of equal width are not of equal count
        (100 + 10 * normal(generator, 40), whole(2, 40), 4),
        (2.0 * exact.double() - 5, exact, 5),
        (edges.double(), (edges // 2).clamp(max=3), 4),
        (gaps + normal(generator, 30), gaps, 4),  # the value 1 does not occur
        (*noisy(5, 30, 1.0), 2),  # fewer bins than values
        (uniform(generator, 10), torch.zeros(10, dtype=torch.int64), 3),
        (*noisy(3, 12, 1.0), 1),
        (torch.arange(64).double(), torch.arange(64) // 8, 50),  # many empty cells: what is added to each shows
        (torch.full((7,), 0.7, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 2]), 4),  # constant
    ]


def _quantile_bin(codes: Tensor, bins: int) -> Tensor:
    levels = torch.linspace(0, 1, bins + 1, dtype=codes.dtype)
    return torch.bucketize(codes, codes.quantile(levels)[1:-1].contiguous(), right=True)


def _with_epsilon(e: float) -> list[Answer]:
    """A small number inside the logarithm, or in every cell before the marginals."""
    return [
        _INFORMATION.but(log_ratio=lambda p, product: ((p + e) / (product + e)).log()),
        _INFORMATION.but(log_ratio=lambda p, product: (p / (product + e) + e).log()),
        _INFORMATION.but(log_ratio=lambda p, p_bin, p_value: ((p + e) / (p_bin + e) / (p_value + e)).log()),
        _INFORMATION.but(p=lambda counts, codes: counts / len(codes) + e),
        _INFORMATION.but(p=lambda counts, codes: (counts / len(codes) + e) / (1 + e * counts.numel())),
    ]


mutual_information = Exercise(
    "mutual_information",
    _INFORMATION,
    _mutual_information_cases,
    wrong(
        "this is in bits: take natural logarithms, for nats",
        _INFORMATION.then(lambda information: information / log(2)),
        "your bins hold equally many codes: cut the range into intervals of equal width",
        _INFORMATION.but(index=_quantile_bin),
        _INFORMATION.but(index=lambda codes, bins: codes.argsort().argsort() * bins // len(codes)),
        "your intervals are closed on the right: each holds its left end, so that a code on an inner edge belongs above it",
        *_index(lambda relative, bins: (relative * bins).ceil().long().sub(1).clamp(min=0)),
        _INFORMATION.but(index=lambda relative, bins: (relative * bins).ceil().long(), rows=lambda bins: bins + 1),
        "the codes were not cut into bins: each distinct code counts as a bin here",
        _INFORMATION.but(index=lambda codes: codes.unique(return_inverse=True)[1], rows=lambda codes: len(codes)),
        "the codes were not scaled by their range to bins: an interval's number is (code − least) / (greatest − least) · bins, rounded down",
        *_binned(lambda codes, _, bins: codes.long(), lambda codes, _, bins: codes.long() - codes.long().min()),
        *_binned(lambda codes, _, bins: codes.long().clamp(0, bins - 1)),
        *_binned(lambda codes, _, bins: (codes * bins).long().clamp(0, bins - 1)),
        *_binned(lambda codes, relative, bins: relative.long().clamp(max=bins - 1)),
        *_relative(lambda codes, low, high: codes / (high - low), lambda codes, low, high: codes / high),
        *_relative(lambda codes, low, high: codes - low, lambda codes, low, high: (codes - low) / high),
        *_relative(lambda codes, low, high: (codes - low) / high.clamp(1e-12)),
        *_binned(lambda codes, relative, bins: (codes / codes.max() * bins).long().clamp(0, bins - 1)),
        "you rounded to the nearest whole number: round down, as .long() does",
        *_index(lambda relative, bins: (relative * bins).round().long().clamp(max=bins - 1)),
        *_index(lambda relative, bins: (relative * (bins - 1)).round().long()),
        "table[b, v] += … with tensors b and v counts a pair once, however often it occurs: add all up (a loop, bincount or index_put_ with accumulate=True)",
        _INFORMATION.but(p=lambda counts, codes: counts.clamp(max=1) / len(codes)),
        _INFORMATION.but(p=lambda counts: counts.clamp(max=1) / counts.clamp(max=1).sum()),
        "the greatest code has a bin of its own, number bins: it belongs to the last one, number bins − 1",
        _INFORMATION.but(index=lambda relative, bins: (relative * bins).long(), rows=lambda bins: bins + 1),
        *_binned(lambda codes, relative, bins: (relative * bins).long()),
        "the greatest code came back to the first bin, as % bins makes 0 of bins: it belongs to the last one",
        *_index(lambda relative, bins: (relative * bins).long() % bins),
        "the greatest code is alone in the last bin and the others share bins − 1: each interval has the width (greatest − least) / bins",
        *_index(lambda relative, bins: (relative * (bins - 1)).long()),
        "a code at an end of the range is in no bin: the least belongs to the first, the greatest to the last",
        _SPARE.but(index=lambda relative, bins: (relative * bins).long()),
        _SPARE.but(index=lambda relative, bins: (relative * bins).long().clamp(max=bins - 1).where(relative > 0, bins)),
        "these are bins − 1 intervals, between as many edges as bins: make bins + 1 edges",
        *_index(lambda relative, bins: (relative * (bins - 1)).long().clamp(max=max(bins - 2, 0))),
        "these are bins + 1 intervals: bins of them have bins + 1 edges, the ends counted",
        _INFORMATION.given(bins=lambda bins: bins + 1),
        "this is a conditional entropy: subtract it from the entropy of the same variable without the condition",
        *_of_entropies(lambda h, h_bin, h_value: h - h_bin, lambda h, h_bin, h_value: h - h_value),
        "this is the joint entropy: the marginals are missing inside the logarithm",
        *_of_entropies(lambda h, h_bin, h_value: h),
        "this is the entropy of the factor or of the bins alone: of one, the information is the part that the other tells",
        *_of_entropies(lambda h, h_bin, h_value: h_bin, lambda h, h_bin, h_value: h_value),
        "you divided by an entropy: return the information itself, in nats",
        *_divided(lambda h_bin, h_value: h_value, lambda h_bin, h_value: h_bin, torch.maximum, torch.minimum),
        *_divided(lambda h_bin, h_value: (h_bin * h_value).sqrt(), lambda h_bin, h_value: (h_bin + h_value) / 2),
        "one entropy is in bits and another in nats: natural logarithms throughout",
        *_of_entropies(lambda h, h_bin, h_value: h_value / log(2) + h_bin - h),
        *_of_entropies(lambda h, h_bin, h_value: h_value + (h_bin - h) / log(2)),
        "you subtracted the bias of the estimate: return the information of the table as it is",
        _INFORMATION.but(less=lambda mi, codes, bins, columns: mi - (bins - 1) * (columns - 1) / 2 / len(codes)),
        "the terms are weighted by p(b) p(v): the weight is the joint frequency p(b, v)",
        *_mi(lambda p, product, log_ratio: (product * log_ratio).nan_to_num(0, 0, 0).sum()),
        *_mi(lambda p, product, log_ratio: (product * log_ratio).sum()),
        "the weight is missing: each logarithm counts p(b, v) times",
        *_mi(lambda p, product, log_ratio: log_ratio.nan_to_num(0, 0, 0).sum()),
        "you took all values of the factor, or all bins, for equally probable: p(v) and p(b) are sums of the table",
        _INFORMATION.but(p_value=lambda p: torch.full_like(p[0], 1 / p.shape[1])),
        _INFORMATION.but(p_bin=lambda p: torch.full_like(p[:, :1], 1 / len(p))),
        "the logarithm is missing: this is the mean of p(b, v) / p(b) p(v), not of its logarithm",
        _INFORMATION.but(log_ratio=lambda p, product: p / product),
        "counts stand where frequencies belong: divide the table by n first",
        _INFORMATION.but(p=lambda counts: counts),
        _INFORMATION.but(last=lambda mi, codes: len(codes) * mi),
        _INFORMATION.but(p=lambda counts: counts, last=lambda mi, codes: mi / len(codes)),
        "the factor was cut into bins as well: each of its values is a column of its own",
        _INFORMATION.but(column=lambda factor, bins: _BINS(factor.double(), bins), columns=lambda bins: bins),
        "an empty cell gives 0 · log 0, which is NaN: leave it out, it counts 0",
        *_mi(lambda p, product, log_ratio: (p * log_ratio).sum()),
        _INFORMATION.but(mi=lambda p, p_bin, p_value: (p * (p.log() - p_bin.log() - p_value.log())).sum()),
        "a number added to every cell or inside the logarithm changes the result: leave empty cells out instead",
        *[answer for e in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6) for answer in _with_epsilon(e)],
        *[*_with_epsilon(1e-7)[:2], *_with_epsilon(1e-7)[3:], *_with_epsilon(1e-8)[3:]],
        "you counted the distinct values that occur: some may not, so take factor.max() + 1 columns",
        _INFORMATION.but(columns=lambda factor: len(factor.unique()), counts=_index_put),
        "values run from 0 to factor.max(), which makes factor.max() + 1 columns: one is missing",
        *[table.but(columns=lambda factor: int(factor.max())) for table in _TABLES],
        "a constant code has no width, and 0/0 is NaN, which is no index: then put all codes into one bin",
        _UNGUARDED[0].but(index=lambda relative, bins: torch.tensor([min(int(r * bins), bins - 1) for r in relative])),
        *(_UNGUARDED if _NAN_IS_NO_INDEX else ()),
    ),
    tolerance=4e-7,
)


# 4. the mutual information gap

_GAP = Formula(
    "information entropies",
    pair=lambda information: information.topk(2, dim=0).values,
    first=lambda pair: pair[0],
    second=lambda pair: pair[1],
    gaps=lambda entropies, first, second: (first - second) / entropies,
    gap=lambda gaps: gaps.mean(),
)
_pair, _second = _other("pair", "information", _GAP), _other("second", "information first", _GAP)
_gaps = _other("gaps", "information entropies first second", _GAP)


def _gap_cases(generator: Generator) -> list[Arguments]:
    def case(latents: int, factors: int) -> Arguments:
        entropies = uniform(generator, factors) + 0.5
        return uniform(generator, latents, factors) * entropies, entropies

    tied = case(4, 3)
    rows = tied[0][[0, 1, 0, 1]]  # each latent has a twin
    three = torch.cat([tied[0][:1], tied[0][:1], tied[0][:1] * 0.25])  # two best, and one below
    # In square matrices the wrong axis runs.
    return [case(4, 4), case(2, 2), case(5, 3), case(3, 5), (rows, tied[1]), (three, tied[1])]


def _of_rows(count: Callable[[Tensor], int]) -> Answer:
    """The gaps between the factors of the first latents, as many as are counted in the table."""
    return lambda i, h: _GAP(i[range(count(i))].T, h[range(count(i))])


def _unpacked(information: Tensor) -> tuple[Tensor, Tensor]:
    first, second = information.topk(2).values  # fails unless there are two latents
    return first, second


mutual_information_gap = Exercise(
    "mutual_information_gap",
    _GAP,
    _gap_cases,
    wrong(
        "you compared factors for each latent: for each factor, compare the latents, which are the rows",
        *[lambda i, h: _GAP(i.T, h), lambda i, h: _GAP((i / h).T, torch.ones(len(i)))],
        *map(_of_rows, (len, lambda i: i.shape[1], lambda i: min(i.shape))),
        "the second largest is sought along the factors of a latent: for each factor, compare the latents, both times",
        *_second(lambda i, first: i.topk(2).values[i.argmax(0), 1], lambda i, first: i.topk(2).values[:, 1]),
        "reshape does not transpose: it cuts the same numbers into other rows; use .T, or dim=0",
        lambda i, h: _GAP(i.reshape(len(h), len(i)).T, h),
        "the entropies are missing: each gap is divided by the entropy of its factor",
        _GAP.given(entropies=torch.ones_like),
        "you multiplied by the entropies: each gap is divided by the entropy of its factor",
        _GAP.given(entropies=torch.reciprocal),
        "you divided by the logarithm of the number of latents: divide by the entropy of the factor",
        *_gaps(lambda i, h, first, second: (first - second) / log(len(i))),
        "you divided by the largest information: divide by the entropy of the factor",
        *_gaps(lambda i, h, first, second: (first - second) / first),
        "you subtracted the smallest, not the second one",
        *_second(lambda i, first: i.amin(0)),
        "you subtracted the mean or the sum of the others, or of all: the second largest alone",
        *_second(lambda i, first: (i.sum(0) - first) / (len(i) - 1), lambda i, first: i.mean(0)),
        *_second(lambda i, first: i.sum(0) - first, lambda i, first: i.sum(0)),
        "this is the largest alone: subtract the second largest",
        *_second(lambda i, first: 0 * first),
        "this is one gap for each factor: take the mean over the factors",
        _GAP.but(gap=lambda gaps: gaps),
        "you summed over the factors: take their mean",
        _GAP.but(gap=lambda gaps: gaps.sum()),
        "you divided the sum by the number of latents: the mean is over the factors",
        _GAP.but(gap=lambda gaps, information: gaps.sum() / len(information)),
        "sort and topk run along the last axis, the factors, unless told: give them dim=0, the latents",
        *_pair(lambda i: i.sort(descending=True).values, lambda i: i.sort().values.flip(0), lambda i: i.topk(2).values),
        *_pair(_unpacked),
        "these are the two largest of the whole table: every factor has its own",
        *_pair(lambda i: i.flatten().topk(2).values),
        "you divided the mean gap by the mean entropy: divide each gap by its own entropy, then take the mean",
        *_gaps(lambda i, h, first, second: (first - second) / h.mean()),
        "you compared the first two latents: sort them, for every factor anew",
        *[*_pair(lambda i: i), *_gaps(lambda i, h, first, second: (i[0] - i[1]).abs() / h)],
        "where two latents tie, the gap is 0: the second largest equals the largest",
        *_second(lambda i, first: i.masked_fill(i == first, 0).amax(0)),
        "the entropies run along the latents: they belong to the factors, the columns",
        lambda i, h: _GAP(i / h[:, None], torch.ones_like(h)),
        "the entropies have an axis too many, so that every gap met every entropy: both are [factors]",
        _GAP.given(entropies=lambda entropies: entropies[:, None]),
        "these are the two smallest: sort puts the largest last, unless descending=True",
        *_pair(lambda i: i.sort(0).values, lambda i: i.sort(0).values[:2].flip(0)),
    ),
)


# 5. the three parts of the mean KL

_CONSTANT = -0.5 * log(2 * pi)
_SUM = partial(torch.sum, dim=-1)


def _log_normal(d: Tensor, log_std: Tensor) -> Tensor:
    """Per coordinate, at the distance d from the mean, without the constant."""
    return -0.5 * (d / log_std.exp()).square() - log_std


def _log_mean_exp(pairs: Tensor) -> Tensor:
    """[i, j, ...] → [i, ...]."""
    return pairs.logsumexp(1) - log(len(pairs))


def _decomposed(
    mix: One = _log_mean_exp, mix_k: One = _log_mean_exp, q: Two = _log_normal, p: Two = _log_normal, total: One = _SUM
) -> Formula:
    """The parts. mix: from log q(z|x_j) to log q(z), and mix_k for every coordinate; q and p: log-densities."""
    return Formula(
        "z mean log_std",
        pairs=lambda z, mean, log_std: q(z[:, None] - mean, log_std) + _CONSTANT,  # log q(z_ik|x_j), [i, j, k]
        prior=lambda z: total(p(z, torch.zeros_like(z)) + _CONSTANT),
        own=lambda z, mean, log_std: total(q(z - mean, log_std) + _CONSTANT),
        joint=lambda pairs: mix(total(pairs)),
        marginals=lambda pairs: total(mix_k(pairs)),
        terms=lambda own, joint, marginals, prior: (own - joint, joint - marginals, marginals - prior),
        parts=lambda terms: tuple(map(torch.mean, terms)),
    )


_PARTS = _decomposed()
_own, _prior = _other("own", "prior mean log_std", _PARTS), _other("prior", "z mean", _PARTS)
_joint, _marginals = _other("joint", "pairs", _PARTS), _other("marginals", "pairs", _PARTS)
_terms = _other("terms", "own joint marginals prior", _PARTS)


def _posteriors(generator: Generator, n: int, latents: int, spread: float = 1.0, shift: float = 0.0) -> Arguments:
    """One draw of each posterior, their means and log σ."""
    mean = normal(generator, n, latents, scale=spread)
    log_std = normal(generator, n, latents, scale=0.5) + shift
    z = mean + log_std.exp() * normal(generator, n, latents)
    return tuple(a.requires_grad_() for a in (z, mean, log_std))


def _decompose_cases(generator: Generator) -> list[Arguments]:
    case = partial(_posteriors, generator)
    # Densities of 200 latents underflow or overflow; where n = latents, the wrong axis runs.
    few = [case(5, 3), case(3, 3), case(8, 2, 20.0, -2.0), case(6, 1)]
    return [*few, case(3, 200, 1.0, 4.0), case(3, 200, 0.01, -6.0), case(2, 4)]


def _mixed(*mixes: One) -> list[Answer]:
    """Another way from log q(z|x_j) to log q(z): for q(z) and the marginals, and for one of them alone."""
    return [f for mix in mixes for f in (_decomposed(mix, mix), _decomposed(mix), _decomposed(mix_k=mix))]


def _densities(*densities: Two) -> list[Answer]:
    """Another log-density, of the distance and log σ: of q(z|x), and of the prior too."""
    return [f for q in densities for f in (_decomposed(q=q), _decomposed(q=q, p=q))]


def _weighted(weights: Callable[[int], Tensor], pairs: Tensor) -> Tensor:
    """log Σ_j w_ij q(z_i|x_j), the weights [n, n] made of n."""
    logarithms = weights(len(pairs)).log()
    return (pairs + logarithms.reshape(*logarithms.shape, *[1] * (pairs.ndim - 2))).logsumexp(1)


def _stratified(n: int) -> Tensor:
    """Of a batch of n from a data set of n, in their usual layout."""
    weights = torch.full((n, n), 1 / (n - 1))
    weights.view(-1)[::n] = 1 / n
    weights.view(-1)[1::n] = weights[n - 2, 0] = 1 / (n * (n - 1))
    return weights


decompose_kl = Exercise(
    "decompose_kl",
    _PARTS,
    _decompose_cases,
    wrong(
        "log n is missing, in q(z), in the marginals or in both: q(z) and every q(z_k) are means over the n posteriors",
        *_mixed(lambda pairs: pairs.logsumexp(1)),
        "you subtracted log n once from the sum of the marginals: each of the latents has its own",
        *_marginals(lambda pairs: pairs.logsumexp(1).sum(-1) - log(len(pairs))),
        "you subtracted log n once for each latent in q(z): q(z) is one mean, so once",
        *_joint(lambda pairs: (pairs - log(len(pairs))).sum(-1).logsumexp(1)),
        "log n was subtracted twice, added, or taken to base 2: the logarithm of a mean of n is logsumexp − log n",
        *_mixed(*[lambda pairs, k=k: pairs.logsumexp(1) - k * log(len(pairs)) for k in (2, -1, 1 / log(2))]),
        "these are weights for a batch out of a larger data set: here all n posteriors are given, and each has the weight 1/n",
        *_mixed(partial(_weighted, _stratified), lambda pairs: pairs.logsumexp(1) - log(len(pairs) - 1)),
        "the parts are right, but their order is not: index-code information, total correlation, dimension-wise KL",
        *[_PARTS.then(itemgetter(*order)) for order in ((1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1))],
        "you summed over the draws: each of the three parts is a mean over them",
        _PARTS.but(parts=lambda terms: tuple(map(torch.sum, terms))),
        "these are numbers for each draw: each of the three parts is their mean",
        _PARTS.but(parts=lambda terms: terms),
        "you averaged over the latents: the log-densities of a code's coordinates add up",
        _decomposed(total=lambda latents: latents.mean(-1)),
        "your third part compares q(z|x) with the prior, which is the sum of all three: it compares the q(z_k) with it",
        _PARTS.but(parts=lambda terms, mean, log_std: (terms[0].mean(), terms[1].mean(), _KL(mean, log_std).mean())),
        *_terms(lambda own, joint, marginals, prior: (own - joint, joint - marginals, own - prior)),
        "your third part compares q(z) with the prior: it compares the product of the q(z_k) with it",
        *_terms(lambda own, joint, marginals, prior: (own - joint, joint - marginals, joint - prior)),
        "your first part compares q(z|x) with the product of the q(z_k): it compares it with q(z)",
        *_terms(lambda own, joint, marginals, prior: (own - marginals, joint - marginals, marginals - prior)),
        "for the marginals you summed over k before logsumexp, which gives q(z) again: first logsumexp over j, then sum over k",
        *_marginals(lambda pairs: _log_mean_exp(pairs.sum(-1))),
        "for q(z) you took logsumexp of every coordinate, which gives the product of the marginals: first sum over k, then logsumexp over j",
        *_joint(lambda pairs: _log_mean_exp(pairs).sum(-1)),
        "q(z) and the product of its marginals are exchanged: for q(z), sum over k before logsumexp",
        *_terms(lambda own, joint, marginals, prior: (own - marginals, marginals - joint, joint - prior)),
        "you took the mean of the logarithms: q(z) is a mean of densities, its logarithm logsumexp − log n",
        *_mixed(lambda pairs: pairs.mean(1)),
        "your logsumexp runs over the draws z_i: q(z_i) is a mean over the pictures x_j, at one draw",
        *_mixed(lambda pairs: pairs.logsumexp(0) - log(len(pairs))),
        "your sum or logsumexp runs over another axis of [i, j, k]: sum over the latents k, the last, logsumexp over the pictures j",
        *_joint(lambda pairs: _log_mean_exp(pairs.sum(1)), lambda pairs: _log_mean_exp(pairs.sum(0))),
        *_marginals(lambda pairs: _log_mean_exp(pairs).sum(0)),
        *_marginals(lambda pairs: (pairs.logsumexp(2) - log(len(pairs))).sum(1)),
        "every draw meets its own posterior only: q(z_i) needs log q(z_i|x_j) for all pairs, [n, n, latents]",
        *_mixed(lambda pairs: pairs[range(len(pairs)), range(len(pairs))].logsumexp(0) - log(len(pairs))),
        "the total correlation has the wrong sign: log q(z) comes first, and its mean over q(z) is at least 0",
        *_terms(lambda own, joint, marginals, prior: (own - joint, marginals - joint, marginals - prior)),
        "the index-code information has the wrong sign: log q(z|x) comes first",
        *_terms(lambda own, joint, marginals, prior: (joint - own, joint - marginals, marginals - prior)),
        "the dimension-wise KL has the wrong sign: the marginals come first, and log p(z) is subtracted",
        *_terms(lambda own, joint, marginals, prior: (own - joint, joint - marginals, prior - marginals)),
        "exp under- or overflows with many latents: use logsumexp",
        *_mixed(lambda pairs: pairs.exp().mean(1).log())[:2],  # in the marginals alone it does not
        "you used log_std as log σ²: it is log σ, so σ is exp(log_std)",
        _PARTS.given(log_std=lambda s: 0.5 * s),
        *_densities(lambda d, s: -0.5 * d.square() / s.exp() - s, lambda d, s: -0.5 * (d / s.exp()).square() - 0.5 * s),
        "you took the variance for the scale of a posterior: a normal takes its standard deviation exp(log_std)",
        *[_PARTS.given(log_std=lambda s: 2 * s), *_densities(lambda d, s: -0.5 * (d / (2 * s).exp()).square() - s)],
        "− log σ is missing in log q(z|x): the density of a normal is divided by σ",
        *_densities(lambda d, s: -0.5 * (d / s.exp()).square()),
        "log σ has the wrong sign in log q(z|x): the density of a normal is divided by σ",
        *_densities(lambda d, s: -0.5 * (d / s.exp()).square() + s),
        "the square in log q(z|x) is wrong: it is −½ ((z − mean) / σ)²",
        *_densities(lambda d, s: -(d / s.exp()).square() - s, lambda d, s: -0.5 * d.square() - s),
        *_densities(lambda d, s: -0.5 * d / s.exp() - s, lambda d, s: 0.5 * (d / s.exp()).square() - s),
        "you used log_std as σ: it is log σ, so σ is exp(log_std)",
        *_densities(lambda d, s: -0.5 * (d / s).square() - s, lambda d, s: -0.5 * (d / s).square() - s.log()),
        _decomposed(q=lambda d, s: Normal(0 * s, s).log_prob(d) - _CONSTANT),
        "you left out j = i: q(z_i) is the mean over all n posteriors, its own among them",
        *_mixed(partial(_weighted, lambda n: (1 - torch.eye(n)) / (n - 1))),
        *_mixed(partial(_weighted, lambda n: (1 - torch.eye(n)) / n)),
        "log p(z) is missing in the dimension-wise KL",
        *_prior(lambda z, mean: 0 * z.sum(-1)),
        "log p(z) was added in the dimension-wise KL: it is subtracted",
        *_terms(lambda own, joint, marginals, prior: (own - joint, joint - marginals, marginals + prior)),
        "log p was taken at the mean: all terms are at the draw z_i",
        *_prior(lambda z, mean: (_log_normal(mean, 0 * mean) + _CONSTANT).sum(-1)),
        "the constants differ: log p(z) and log q(z|x) have the same ½ log 2π, once for each latent",
        *_prior(lambda z, mean: -0.5 * z.square().sum(-1), lambda z, mean: -0.5 * z.square().sum(-1) + _CONSTANT),
        _decomposed(q=lambda d, s: _log_normal(d, s) - _CONSTANT),
        "a part of this is an expectation in closed form: the exercise asks for log q and log p at the draw z_i",
        *_own(lambda prior, m, s: (-s + _CONSTANT - 0.5).sum(-1), lambda prior, m, s: _KL(m, s) + prior),
    ),
    results=("index_code", "total_correlation", "dimension_wise"),
    tolerance=2e-4,  # log-densities of 200 latents, filled into a float32 tensor, round by that much
)


# 6. log q(z) of a batch that stands for the whole set

Weights = Callable[[int, int], Tensor]  # (pictures in the batch, in the set) → [i, j]


def _uneven(own: Callable[[int, int], float], other: Callable[[int, int], float]) -> Weights:
    """One weight for j = i, another for all others."""
    return lambda n, size: torch.full((n, n), other(n, size), dtype=torch.float64).fill_diagonal_(own(n, size))


def _even(weight: Callable[[int, int], float]) -> Weights:
    return _uneven(weight, weight)


def _one_of_all(n: int, size: int) -> float:
    return 1 / size


def _one_of_the_rest(n: int, size: int) -> float:
    return (size - 1) / (size * (n - 1))


_STANDING_IN = _uneven(_one_of_all, _one_of_the_rest)


def _estimated(
    weights: Weights = _STANDING_IN, each: Weights | None = None, q: Two = _log_normal, constant: float = _CONSTANT
) -> Formula:
    """Both estimates. each: other weights for the marginals."""
    return Formula(
        "z mean log_std size",
        pairs=lambda z, mean, log_std: q(z[:, None] - mean, log_std) + constant,  # log q(z_ik|x_j), [i, j, k]
        log_w=lambda pairs, size: weights(len(pairs), size).log(),
        log_w_k=lambda pairs, size, log_w: each(len(pairs), size).log() if each else log_w,
        joint=lambda pairs, log_w: (pairs.sum(-1) + log_w).logsumexp(1),
        marginals=lambda pairs, log_w_k: (pairs + log_w_k[..., None]).logsumexp(1).sum(-1),
        both=lambda joint, marginals: (joint, marginals),
    )


_ESTIMATES = _estimated()
_estimate, _product = _other("joint", "pairs log_w", _ESTIMATES), _other("marginals", "pairs log_w", _ESTIMATES)
_estimated_pairs = _other("pairs", "z mean log_std", _ESTIMATES)


def _minibatch_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, latents: int, size: int, spread: float = 1.0, shift: float = 0.0) -> Arguments:
        z, mean, log_std = _posteriors(generator, n, latents, spread, shift)
        return z, mean, log_std, size

    # Where the batch is the set both are exact; where n = latents, the wrong axis runs; 200 latents under- and overflow.
    few = [case(5, 3, 40), case(3, 3, 1000), case(4, 2, 4), case(2, 3, 7), case(6, 1, 600), case(6, 2, 50, 20.0, -2.0)]
    return [*few, case(3, 200, 50, 1.0, 4.0), case(3, 200, 50, 0.01, -6.0)]


def _weights(*weights: Weights) -> list[Answer]:
    """Other weights: in both results, and in one of them alone."""
    return [f for w in weights for f in (_estimated(w), _estimated(w, _STANDING_IN), _estimated(each=w))]


def _published(n: int, size: int) -> Tensor:
    """Of stratified sampling, in the layout of public code: the own weight stands in column 0."""
    others = n - 1
    weights = torch.full((n, n), 1 / others, dtype=torch.float64)
    weights.view(-1)[::n] = 1 / size
    weights.view(-1)[1::n] = weights[others - 1, 0] = (size - others) / (size * others)
    return weights


def _published_mended(n: int, size: int) -> Tensor:
    """The same with the own weight on the diagonal, and the smaller one for the next picture, or the last one."""
    weights = torch.full((n, n), 1 / (n - 1), dtype=torch.float64).fill_diagonal_(1 / size)
    weights[range(n), [(i + 1) % n for i in range(n)]] = (size - n + 1) / (size * (n - 1))
    return weights


minibatch_log_q = Exercise(
    "minibatch_log_q",
    _ESTIMATES,
    _minibatch_cases,
    wrong(
        "your weights are 1 / (N B): they add up to 1 / N, so that the estimate of q(z) is N times too small",
        *_weights(_even(lambda n, size: 1 / (n * size))),
        "your weights are 1 / B: that is the q(z) of another data set, which is this batch alone",
        *_weights(_even(lambda n, size: 1 / n)),
        "your weights are 1 / N for all B pictures of the batch: the others stand for more than themselves, and the weights must add up to 1",
        *_weights(_even(_one_of_all)),
        "the weights are missing: this is the log of a sum of densities, and q(z) is their mean over N",
        *_weights(_even(lambda n, size: 1)),
        "you left out the own posterior, j = i: it is one of the N, and the largest at its own draw",
        *_weights(
            _uneven(lambda n, size: 0, _one_of_the_rest), _uneven(lambda n, size: 0, lambda n, size: 1 / (n - 1))
        ),
        "the own posterior is counted once too often: it has its 1 / N, and is not among those that stand for the rest",
        *_weights(_uneven(lambda n, size: 1 / size + _one_of_the_rest(n, size), _one_of_the_rest)),
        *_weights(_uneven(lambda n, size: 1 / size + (size - 1) / (size * n), lambda n, size: (size - 1) / (size * n))),
        "you shared the rest's weight among B pictures: only B − 1 are others",
        *_weights(_uneven(_one_of_all, lambda n, size: (size - 1) / (size * n))),
        "after the own 1 / N, the others share (N − 1) / N: yours share 1, or nearly",
        *_weights(_uneven(_one_of_all, lambda n, size: 1 / (n - 1)), _uneven(_one_of_all, lambda n, size: 1 / n)),
        "the others stand for all N − 1 pictures that are not the own one, also for themselves: not for N − B",
        *_weights(_uneven(_one_of_all, lambda n, size: max(size - n, 1e-9) / (size * (n - 1)))),
        *_weights(_uneven(_one_of_all, lambda n, size: max(size - n, 1e-9) / (size * n))),
        "each of the others has 1 / (N − 1) here: there are B − 1 of them, and they share (N − 1) / N",
        *_weights(_uneven(_one_of_all, lambda n, size: 1 / (size - 1))),
        "the others share 1 / N here, no more than the own picture has: they share (N − 1) / N",
        *_weights(_uneven(_one_of_all, lambda n, size: 1 / (size * (n - 1)))),
        "the own weight stands among logarithms as 1 / N: fill the diagonal before .log(), or with −log N",
        _ESTIMATES.but(log_w=lambda pairs, size: _STANDING_IN(len(pairs), size).log().fill_diagonal_(1 / size)),
        "the own posterior has too much weight: it is one of N pictures, not one of B",
        *_weights(_uneven(lambda n, size: 1 / n, _one_of_the_rest), _uneven(lambda n, size: 1, _one_of_the_rest)),
        "the two weights are exchanged: 1 / N belongs to the own posterior, on the diagonal",
        *_weights(_uneven(_one_of_the_rest, _one_of_all)),
        "the others count B / N or N / B here: each of the B − 1 stands for (N − 1) / (B − 1) pictures, of N",
        *_weights(_uneven(_one_of_all, lambda n, size: n / size), _uneven(_one_of_all, lambda n, size: size / n)),
        *_weights(_uneven(_one_of_all, lambda n, size: (size - 1) / (n - 1))),
        "1 / N stands in column 0 here, as in much public code: view(-1)[::M + 1] with M = B − 1 is no diagonal",
        *_weights(_published),
        "in your weights one of the others has less than the rest: unbiased too, but here all others weigh the same",
        *_weights(_published_mended),
        "you added the weights themselves: among logarithms, a weight w is + log w",
        _ESTIMATES.but(log_w=lambda pairs, size: _STANDING_IN(len(pairs), size)),
        "you subtracted log w: a weight w is + log w",
        _ESTIMATES.but(log_w=lambda pairs, size: -_STANDING_IN(len(pairs), size).log()),
        "in q(z) the weights were added before the sum over the latents, so that each counts as often as there are latents",
        *_estimate(lambda pairs, log_w: (pairs + log_w[..., None]).sum(-1).logsumexp(1)),
        "for the marginals you summed over k before logsumexp, which gives q(z) again: first logsumexp over j, then sum over k",
        *_product(lambda pairs, log_w: (pairs.sum(-1) + log_w).logsumexp(1)),
        "for q(z) you took logsumexp of every coordinate, which gives the product of the marginals: first sum over k, then logsumexp over j",
        *_estimate(lambda pairs, log_w: (pairs + log_w[..., None]).logsumexp(1).sum(-1)),
        "the two results are exchanged: return log q(z) first",
        _ESTIMATES.then(itemgetter(1, 0)),
        "mean i met draw j: this is the table transposed, and every density stands where that of another pair belongs; give z the new axis, z[:, None]",
        *_estimated_pairs(lambda z, mean, s: _log_normal(z - mean[:, None], s[:, None]) + _CONSTANT),
        _ESTIMATES.but(
            joint=lambda pairs, log_w: (pairs.sum(-1) + log_w).logsumexp(0),
            marginals=lambda pairs, log_w: (pairs + log_w[..., None]).logsumexp(0).sum(-1),
        ),
        "σ of picture i met the mean of picture j: both belong to the posterior j",
        *_estimated_pairs(lambda z, mean, s: _log_normal(z[:, None] - mean, s[:, None]) + _CONSTANT),
        "every draw meets its own posterior only, log q(z_i|x_i): q(z_i) needs all pairs, [batch, batch, latents]",
        *_other("both", "z mean log_std", _ESTIMATES)(
            lambda z, mean, s: 2 * ((_log_normal(z - mean, s) + _CONSTANT).sum(-1),),
        ),
        "you took the mean of the logarithms: q(z) is a mean of densities, its logarithm logsumexp of log w + log q",
        *_estimate(lambda pairs, log_w: (log_w.exp() * pairs.sum(-1)).sum(1)),
        *_product(lambda pairs, log_w: (log_w.exp()[..., None] * pairs).sum(1).sum(-1)),
        _ESTIMATES.but(
            joint=lambda pairs, log_w: (log_w.exp() * pairs.sum(-1)).sum(1),
            marginals=lambda pairs, log_w: (log_w.exp()[..., None] * pairs).sum(1).sum(-1),
        ),
        "exp under- or overflows with many latents: use logsumexp",
        *_estimate(lambda pairs, log_w: (log_w.exp() * pairs.sum(-1).exp()).sum(1).log()),
        _ESTIMATES.but(
            joint=lambda pairs, log_w: (log_w.exp() * pairs.sum(-1).exp()).sum(1).log(),
            marginals=lambda pairs, log_w: (log_w.exp()[..., None] * pairs.exp()).sum(1).log().sum(-1),
        ),
        "you averaged over the latents: log-densities of coordinates add up",
        _ESTIMATES.but(
            joint=lambda pairs, log_w: (pairs.mean(-1) + log_w).logsumexp(1),
            marginals=lambda pairs, log_w: (pairs + log_w[..., None]).logsumexp(1).mean(-1),
        ),
        *_product(lambda pairs, log_w: (pairs + log_w[..., None]).logsumexp(1).mean(-1)),
        "the marginals were not summed over the latents: return the logarithm of their product, [batch]",
        *_product(lambda pairs, log_w: (pairs + log_w[..., None]).logsumexp(1)),
        "these are means over the batch: return both for every draw, [batch]",
        _ESTIMATES.then(lambda both: tuple(map(torch.mean, both))),
        "the constant is missing or has the wrong sign: log q(z|x) has − ½ log 2π for each latent",
        _estimated(constant=0),
        _estimated(constant=-_CONSTANT),
        "you used log_std as log σ²: it is log σ, so σ is exp(log_std)",
        _ESTIMATES.given(log_std=lambda s: 0.5 * s),
        _estimated(q=lambda d, s: -0.5 * d.square() / s.exp() - s),
        _estimated(q=lambda d, s: -0.5 * (d / s.exp()).square() - 0.5 * s),
        "you took the variance for the scale of a posterior: a normal takes its standard deviation exp(log_std)",
        _ESTIMATES.given(log_std=lambda s: 2 * s),
        "− log σ is missing in log q(z|x): the density of a normal is divided by σ",
        _estimated(q=lambda d, s: -0.5 * (d / s.exp()).square()),
    ),
    results=("log q(z)", "product of marginals"),
    tolerance=2e-4,  # as in decompose_kl
)
