"""The sheet on the β-VAE: a weight on the rate, traversals, mutual information, its gap, and the three parts of the KL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, pi

import torch
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy, logsigmoid, softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import bits, normal, uniform

Two = Callable[[Tensor, Tensor], Tensor]
Three = Callable[[Tensor, Tensor, Tensor], Tensor]

# 1. the β-weighted bound


def _bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - softplus(logits)).sum(-1)


def _kl(mean: Tensor, log_std: Tensor) -> Tensor:
    return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(-1)


def _weighted(likelihood: Two = _bernoulli, kl: Two = _kl) -> Answer:
    return lambda x, logits, mean, log_std, beta: likelihood(x, logits) - beta * kl(mean, log_std)


_beta_elbo = _weighted()


def _beta_elbo_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, pixels: int, latent: int, beta: float, scale: float = 2.0) -> Arguments:
        logits = normal(generator, batch, pixels, scale=scale, gradient=True)
        mean, log_std = (normal(generator, batch, latent, gradient=True) for _ in range(2))
        return bits(generator, batch, pixels), logits, mean, log_std, beta

    def sure(ink: float, sign: float) -> Arguments:  # the probability of a wrong pixel underflows
        logits = torch.full((2, 3), 800.0 * sign, dtype=torch.float64, requires_grad=True)
        return torch.full((2, 3), ink, dtype=torch.float64), logits, *case(2, 3, 2, 2.5)[2:]

    cases = [case(3, 3, 3, 4.0), case(5, 7, 2, 0.25), case(1, 4, 1, 10.0), case(4, 1, 3, 1.5, 0.01)]
    return [*cases, sure(0, 1), sure(1, -1), sure(1, 1), case(2, 5, 2, 0.0)]


def _of_probability(lowest: float, added: float = 0.0) -> Two:
    """log p(x|z) from the probability, clamped or with a number added inside the logarithms."""

    def log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
        p = logits.sigmoid()
        p = p.clamp(lowest, 1 - lowest) if lowest else p
        return (x * (p + added).log() + (1 - x) * (1 - p + added).log()).sum(-1)

    return log_likelihood


beta_elbo = Exercise(
    "beta_elbo",
    _beta_elbo,
    _beta_elbo_cases,
    wrong(
        "you averaged over the pixels: log p(x|z) is their sum, and the mean makes β larger by the number of pixels",
        _weighted(likelihood=lambda x, logits: _bernoulli(x, logits) / x.shape[-1]),
        "you averaged over the latents: the KL is their sum, and the mean makes β smaller by the number of latents",
        _weighted(kl=lambda mean, log_std: _kl(mean, log_std) / mean.shape[-1]),
        "you averaged over pixels and latents: both are sums, and two means change β by pixels / latents",
        _weighted(lambda x, logits: _bernoulli(x, logits) / x.shape[-1], lambda m, s: _kl(m, s) / m.shape[-1]),
        "β multiplies the likelihood here: it is the weight of the KL",
        lambda x, logits, m, s, beta: beta * _bernoulli(x, logits) - _kl(m, s),
        "β multiplies both terms here, which leaves their balance as it was: it is the weight of the KL alone",
        lambda *some: some[4] * _beta_elbo(*some[:4], 1),
        "the KL was added: β times it is subtracted",
        _weighted(kl=lambda m, s: -_kl(m, s)),
        "this is the loss, minus the objective: return the objective itself",
        lambda *some: -_beta_elbo(*some),
        "β is squared here: it enters as it is, once",
        lambda *some: _beta_elbo(*some[:4], some[4] ** 2),
        "you divided by β: it multiplies the KL, and a larger β makes the rate dearer",
        lambda x, logits, m, s, beta: _bernoulli(x, logits) - _kl(m, s) / beta,
        lambda x, logits, m, s, beta: _bernoulli(x, logits) - 1 / beta * _kl(m, s),
        "β is missing: this is the ELBO, the case β = 1",
        lambda *some: _beta_elbo(*some[:4], 1),
        "the ½ of the KL is missing: it acts as twice the β",
        _weighted(kl=lambda m, s: 2 * _kl(m, s)),
        "log_std is log σ, not log σ²: σ² is exp(2 log_std), and log σ² is 2 log_std",
        _weighted(kl=lambda m, s: _kl(m, 0.5 * s)),
        _weighted(kl=lambda m, s: (0.5 * (m.square() + s.exp() - 1) - s).sum(-1)),
        _weighted(kl=lambda m, s: 0.5 * (m.square() + (2 * s).exp() - 1 - s).sum(-1)),
        "you took the variance for the scale of q: a normal takes its standard deviation exp(log_std)",
        _weighted(kl=lambda m, s: _kl(m, 2 * s)),
        "this is KL(p || q), the other direction: the expectation is over q",
        _weighted(kl=lambda m, s: (s + 0.5 * (1 + m.square()) * (-2 * s).exp() - 0.5).sum(-1)),
        'your log p(x|z) is one number for all pictures: ask for reduction="none" and sum over the pixels of each',
        _weighted(lambda x, logits: _bernoulli(x, logits).sum() / x.numel()),
        _weighted(lambda x, logits: _bernoulli(x, logits).sum()),
        "β misses − log σ: it multiplies the whole KL, put brackets around it",
        lambda x, logits, m, s, beta: _beta_elbo(x, logits, m, s, beta) + (1 - beta) * s.sum(-1),
        "this is one number for the whole batch: return one for each picture, the mean is taken in fit",
        lambda *some: _beta_elbo(*some).mean(),
        lambda *some: _beta_elbo(*some).sum(),
        "log p(x|z) is infinite or NaN where the network is sure: compute it from the logits (softplus, logsigmoid)",
        _weighted(_of_probability(0)),
        _weighted(lambda x, logits: (x * logits - logits.exp().log1p()).sum(-1)),
        "a clamp, or a number added inside the logarithm, hides how wrong a sure network is (binary_cross_entropy clamps too): "
        "compute from the logits",
        _weighted(lambda x, logits: -binary_cross_entropy(logits.sigmoid(), x, reduction="none").sum(-1)),
        *[_weighted(_of_probability(e)) for e in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, torch.finfo(torch.double).eps)],
        *[_weighted(_of_probability(0, added)) for added in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)],
        "the sigmoid was applied twice: softplus, Bernoulli(logits=…) and binary_cross_entropy_with_logits apply it themselves",
        _weighted(lambda x, logits: _bernoulli(x, logits.sigmoid())),
        _weighted(lambda x, logits: logsigmoid((2 * x - 1) * logits.sigmoid()).sum(-1)),
    ),
)


# 2. a traversal


def _traverse(z: Tensor, latent: int, values: Tensor) -> Tensor:
    rows = z.repeat(len(values), 1)
    rows[:, latent] = values
    return rows


def _traverse_cases(generator: Generator) -> list[Arguments]:
    def case(latents: int, latent: int, n: int, scale: float = 1.0) -> Arguments:
        z, values = (normal(generator, size, scale=scale, gradient=True) for size in (latents, n))
        return z, latent, values

    # Where there are as many values as latents, rows for columns run.
    return [case(4, 1, 4), case(5, 2, 3), case(3, 1, 7, 100.0), case(6, 0, 1), case(2, 1, 3), case(1, 0, 2)]


def _only(z: Tensor, latent: int) -> Tensor:
    """1 for the latent, 0 for the others; an index outside has no 1."""
    return (torch.arange(len(z)) == latent).double()


def _set_row(z: Tensor, latent: int, values: Tensor) -> Tensor:
    rows = z.repeat(len(values), 1)
    rows[latent] = values
    return rows


def _evenly(first: Tensor, last: Tensor, n: int) -> Tensor:
    return torch.linspace(float(first.detach()), float(last.detach()), n, dtype=first.dtype)


traverse = Exercise(
    "traverse",
    _traverse,
    _traverse_cases,
    wrong(
        "you added the values: set the coordinate to them",
        lambda z, k, v: z + v[:, None] * _only(z, k),
        "the other coordinates are 0 here: keep them as in z",
        lambda z, k, v: v[:, None] * _only(z, k),
        "this is transposed: one row for each value, [n, latents]",
        lambda z, k, v: _traverse(z, k, v).T,
        "every coordinate is set to the value: set only the one numbered latent",
        lambda z, k, v: v[:, None].expand(-1, len(z)),
        lambda z, k, v: v[:, None] + 0 * z,
        "you added the values to every coordinate: set the one numbered latent, keep the others",
        lambda z, k, v: z + v[:, None],
        "you multiplied by the values: set the coordinate to them",
        lambda z, k, v: z * (1 + (v[:, None] - 1) * _only(z, k)),
        "this is the coordinate before: latents are counted from 0, as Python's indices are",
        lambda z, k, v: _traverse(z, k - 1, v),
        lambda z, k, v: torch.where(_only(z, k - 1) > 0, v[:, None], z),
        "this is the coordinate after: latents are counted from 0, as Python's indices are",
        lambda z, k, v: _traverse(z, k + 1, v),
        lambda z, k, v: torch.where(_only(z, k + 1) > 0, v[:, None], z),
        "you set a row: the coordinate is a column, [:, latent]",
        _set_row,
        "every row has the last value: they are one tensor; clone z for each",
        lambda z, k, v: _traverse(z, k, v[-1:].expand_as(v)),
        "you sorted the values: keep their order",
        lambda z, k, v: _traverse(z, k, v.sort().values),
        "your steps are equal, from one value to another: take the values themselves",
        lambda z, k, v: _traverse(z, k, _evenly(v.min(), v.max(), len(v))),
        lambda z, k, v: _traverse(z, k, _evenly(v[0], v[-1], len(v))),
    ),
)


# 3. mutual information from a histogram


def _bin(codes: Tensor, bins: int) -> Tensor:
    """The number of each code's interval, counted from 0; 0 for a constant code."""
    return (_relative(codes) * bins).long().clamp(max=bins - 1)


def _relative(codes: Tensor) -> Tensor:
    """From 0 at the least code to 1 at the greatest."""
    return (codes - codes.min()) / (codes.max() - codes.min()).clamp(min=1e-300)


def _bincount(index: Tensor, factor: Tensor, bins: int, values: int) -> Tensor:
    """How often each pair occurs, [bins, values]."""
    return torch.bincount(index * values + factor, minlength=bins * values).reshape(bins, values).double()


def _index_put(index: Tensor, factor: Tensor, bins: int, values: int) -> Tensor:
    ones = torch.ones(len(index), dtype=torch.float64)
    return torch.zeros(bins, values, dtype=torch.float64).index_put((index, factor), ones, accumulate=True)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum()


def _information(p: Tensor) -> Tensor:
    return _entropy(p.sum(0)) + _entropy(p.sum(1)) - _entropy(p)


def _of_table(
    score: Callable[[Tensor], Tensor] = _information,
    binned: Callable[[Tensor, int], Tensor] = _bin,
    count: Callable[[Tensor, Tensor, int, int], Tensor] = _bincount,
    values: Callable[[Tensor], int] = lambda factor: int(factor.max()) + 1,
    more: int = 0,
) -> Answer:
    """An answer from the frequencies [bins + more, values]."""
    return lambda codes, factor, bins: score(
        count(binned(codes, bins), factor, bins + more, values(factor)) / len(codes)
    )


def _mutual_information(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    return _information(_bincount(_bin(codes, bins), factor, bins, int(factor.max()) + 1) / len(codes))


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
        (torch.full((7,), 0.7, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 2]), 4),  # constant
    ]


def _quantile_bin(codes: Tensor, bins: int) -> Tensor:
    levels = torch.linspace(0, 1, bins + 1, dtype=codes.dtype)
    return torch.bucketize(codes, codes.quantile(levels)[1:-1].contiguous(), right=True)


def _closed_right(codes: Tensor, bins: int) -> Tensor:
    return (_relative(codes) * bins).ceil().long().sub(1).clamp(min=0)


def _not_added_up(index: Tensor, factor: Tensor, bins: int, values: int) -> Tensor:
    """What table[index, factor] += 1 leaves: every pair that occurs counts once."""
    return _index_put(index, factor, bins, values).clamp(max=1)


def _unclamped(codes: Tensor, bins: int) -> Tensor:
    return (_relative(codes) * bins).long()


def _without(end: float) -> Answer:
    """No code at this end, 0 or 1, of the range is in the table."""

    def answer(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
        kept, values = _relative(codes) != end, int(factor.max()) + 1
        return _as_it_stands(_bincount(_bin(codes, bins)[kept], factor[kept], bins, values) / len(codes))

    return answer


def _careless(codes: Tensor, bins: int) -> Tensor:
    return ((codes - codes.min()) / (codes.max() - codes.min()) * bins).clamp(max=bins - 1)


def _product(p: Tensor) -> Tensor:
    return p.sum(1, keepdim=True) * p.sum(0, keepdim=True)


def _as_it_stands(p: Tensor) -> Tensor:
    """The formula, for entries that need not add up to 1."""
    return torch.nansum(p * (p / _product(p)).log())


def _with_epsilon(epsilon: float) -> Sequence[Answer]:
    """A small number inside the logarithm, or in every cell before the marginals."""
    return [
        _of_table(lambda p: (p * ((p + epsilon) / (_product(p) + epsilon)).log()).sum()),
        _of_table(lambda p: (p * (p / (_product(p) + epsilon) + epsilon).log()).sum()),
        _of_table(
            lambda p: (p * ((p + epsilon) / (p.sum(1, keepdim=True) + epsilon) / (p.sum(0) + epsilon)).log()).sum()
        ),
        _of_table(lambda p: _as_it_stands(p + epsilon)),
        _of_table(lambda p: _as_it_stands((p + epsilon) / (p + epsilon).sum())),
    ]


mutual_information = Exercise(
    "mutual_information",
    _mutual_information,
    _mutual_information_cases,
    wrong(
        "this is in bits: take natural logarithms, for nats",
        _of_table(lambda p: _information(p) / log(2)),
        "your bins hold equally many codes: cut the range into intervals of equal width",
        _of_table(binned=_quantile_bin),
        _of_table(binned=lambda codes, bins: codes.argsort().argsort() * bins // len(codes)),
        "your intervals are closed on the right: each holds its left end, so that a code on an inner edge belongs above it",
        _of_table(binned=_closed_right),
        "table[b, v] += … with tensors b and v counts a pair once, however often it occurs: add all up (a loop, bincount or "
        "index_put_ with accumulate=True)",
        _of_table(_as_it_stands, count=_not_added_up),
        _of_table(lambda p: _information(p / p.sum()), count=_not_added_up),
        "the greatest code has a bin of its own, number bins: it belongs to the last one, number bins − 1",
        _of_table(binned=_unclamped, more=1),
        _of_table(binned=_unclamped),
        _of_table(binned=_unclamped, count=_index_put),
        "the greatest code is alone in the last bin and the others share bins − 1: each interval has the width (greatest − least) / "
        "bins",
        _of_table(binned=lambda codes, bins: (_relative(codes) * (bins - 1)).long()),
        "a code at an end of the range is in no bin: the least belongs to the first, the greatest to the last",
        _without(1),
        _without(0),
        "these are bins − 1 intervals, between as many edges as bins: make bins + 1 edges",
        _of_table(binned=lambda codes, bins: (_relative(codes) * (bins - 1)).long().clamp(max=max(bins - 2, 0))),
        "this is a conditional entropy: subtract it from the entropy of the same variable without the condition",
        _of_table(lambda p: _entropy(p) - _entropy(p.sum(1))),
        _of_table(lambda p: _entropy(p) - _entropy(p.sum(0))),
        "this is the joint entropy: the marginals are missing inside the logarithm",
        _of_table(_entropy),
        "you divided by an entropy: return the information itself, in nats",
        _of_table(lambda p: _information(p) / _entropy(p.sum(0))),
        _of_table(lambda p: _information(p) / _entropy(p.sum(1))),
        _of_table(lambda p: _information(p) / (_entropy(p.sum(0)) * _entropy(p.sum(1))).sqrt()),
        _of_table(lambda p: 2 * _information(p) / (_entropy(p.sum(0)) + _entropy(p.sum(1)))),
        "the terms are weighted by p(b) p(v): the weight is the joint frequency p(b, v)",
        _of_table(lambda p: (_product(p) * (p / _product(p)).log()).nan_to_num(0, 0, 0).sum()),
        _of_table(lambda p: (_product(p) * (p / _product(p)).log()).sum()),
        "the weight is missing: each logarithm counts p(b, v) times",
        _of_table(lambda p: (p / _product(p)).log().nan_to_num(0, 0, 0).sum()),
        "counts stand where frequencies belong: divide the table by n first",
        lambda codes, factor, bins: _of_table(lambda p: _as_it_stands(p * len(codes)))(codes, factor, bins),
        lambda codes, factor, bins: len(codes) * _mutual_information(codes, factor, bins),
        lambda codes, *rest: _of_table(lambda p: _as_it_stands(p * len(codes)) / len(codes))(codes, *rest),
        "the factor was cut into bins as well: each of its values is a column of its own",
        lambda codes, factor, bins: _mutual_information(codes, _bin(factor.double(), bins), bins),
        "an empty cell gives 0 · log 0, which is NaN: leave it out, it counts 0",
        _of_table(lambda p: (p * (p / _product(p)).log()).sum()),
        _of_table(lambda p: (p * (p.log() - p.sum(1, keepdim=True).log() - p.sum(0).log())).sum()),
        "a number added to every cell or inside the logarithm changes the result: leave empty cells out instead",
        _with_epsilon(1e-3)[0],
        *[wrong for epsilon in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6) for wrong in _with_epsilon(epsilon)],
        "you counted the distinct values that occur: some may not, so take factor.max() + 1 columns",
        _of_table(values=lambda factor: len(factor.unique()), count=_index_put),
        "a constant code has no width, and 0/0 is NaN, which is no index: then put all codes into one bin",
        _of_table(binned=lambda codes, bins: torch.tensor([int(index) for index in _careless(codes, bins)])),
        *[  # some processors turn NaN into 0, and this is right there
            _of_table(binned=lambda codes, bins: _careless(codes, bins).long(), count=count)
            for count in (_bincount, _index_put)
            if bool((torch.full((7,), torch.nan, dtype=torch.float64).long() < 0).all())
        ],
    ),
    tolerance=4e-7,
)


# 4. the mutual information gap


def _gap(information: Tensor, entropies: Tensor) -> Tensor:
    top = information.topk(2, dim=0).values
    return ((top[0] - top[1]) / entropies).mean()


def _gap_cases(generator: Generator) -> list[Arguments]:
    def case(latents: int, factors: int) -> Arguments:
        entropies = uniform(generator, factors) + 0.5
        return uniform(generator, latents, factors) * entropies, entropies

    tied = case(4, 3)
    rows = tied[0][[0, 1, 0, 1]]  # each latent has a twin
    three = torch.cat([tied[0][:1], tied[0][:1], tied[0][:1] * 0.25])  # two best, and one below
    # In square matrices the wrong axis runs.
    return [case(4, 4), case(2, 2), case(5, 3), case(3, 5), (rows, tied[1]), (three, tied[1])]


def _of_top_two(score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Answer:
    """An answer from the largest, the second largest and the entropies, each [factors]."""
    return lambda i, h: score(i.topk(2, dim=0).values[0], i.topk(2, dim=0).values[1], h)


def _row_by_row(information: Tensor, entropies: Tensor, rows: Sequence[int]) -> Tensor:
    tops = [(information[row].topk(2).values, entropies[row]) for row in rows]
    return torch.stack([(top[0] - top[1]) / entropy for top, entropy in tops]).mean()


def _unpacked(information: Tensor, entropies: Tensor) -> Tensor:
    largest, second = information.topk(2).values  # fails unless there are two latents
    gaps: Tensor = (largest - second) / entropies
    return gaps.mean()


def _second_distinct(information: Tensor, entropies: Tensor) -> Tensor:
    largest = information.amax(0)
    return ((largest - information.masked_fill(information == largest, 0).amax(0)) / entropies).mean()


mutual_information_gap = Exercise(
    "mutual_information_gap",
    _gap,
    _gap_cases,
    wrong(
        "you compared factors for each latent: for each factor, compare the latents, which are the rows",
        lambda i, h: _gap(i.T, h),
        lambda i, h: _gap((i / h).T, torch.ones(len(i))),
        lambda i, h: _row_by_row(i, h, range(len(i))),
        lambda i, h: _row_by_row(i, h, range(len(h))),
        lambda i, h: _row_by_row(i, h, range(min(i.shape))),
        "reshape does not transpose: it cuts the same numbers into other rows; use .T, or dim=0",
        lambda i, h: _gap(i.reshape(len(h), len(i)).T, h),
        "the entropies are missing: each gap is divided by the entropy of its factor",
        _of_top_two(lambda first, second, h: (first - second).mean()),
        "you divided by the logarithm of the number of latents: divide by the entropy of the factor",
        lambda i, h: _gap(i, torch.full_like(h, log(len(i)))),
        "you divided by the largest information: divide by the entropy of the factor",
        _of_top_two(lambda first, second, h: ((first - second) / first).mean()),
        "you subtracted the smallest, not the second one",
        lambda i, h: ((i.amax(0) - i.amin(0)) / h).mean(),
        "this is the largest alone: subtract the second largest",
        lambda i, h: (i.amax(0) / h).mean(),
        "you summed over the factors: take their mean",
        lambda i, h: len(h) * _gap(i, h),
        "you divided the sum by the number of latents: the mean is over the factors",
        lambda i, h: _gap(i, h) * len(h) / len(i),
        "sort and topk run along the last axis, the factors, unless told: give them dim=0, the latents",
        lambda i, h: ((i.sort(descending=True).values[0] - i.sort(descending=True).values[1]) / h).mean(),
        lambda i, h: ((i.sort().values[-1] - i.sort().values[-2]) / h).mean(),
        lambda i, h: ((i.topk(2).values[0] - i.topk(2).values[1]) / h).mean(),
        _unpacked,
        "you divided the mean gap by the mean entropy: divide each gap by its own entropy, then take the mean",
        _of_top_two(lambda first, second, h: (first - second).mean() / h.mean()),
        "you compared the first two latents: sort them, for every factor anew",
        lambda i, h: ((i[0] - i[1]).abs() / h).mean(),
        lambda i, h: ((i[0] - i[1]) / h).mean(),
        "where two latents tie, the gap is 0: the second largest equals the largest",
        _second_distinct,
        "the entropies run along the latents: they belong to the factors, the columns",
        lambda i, h: _gap(i / h[:, None], torch.ones_like(h)),
        "these are the two smallest: sort puts the largest last, unless descending=True",
        lambda i, h: ((i.sort(0).values[1] - i.sort(0).values[0]) / h).mean(),
        lambda i, h: ((i.sort(0).values[0] - i.sort(0).values[1]) / h).mean(),
    ),
)


# 5. the three parts of the mean KL


def _log_normal(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Per coordinate."""
    return -0.5 * ((z - mean) / log_std.exp()).square() - log_std - 0.5 * log(2 * pi)


def _log_own(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _log_normal(z, mean, log_std).sum(-1)


def _log_mean_exp(pairs: Tensor) -> Tensor:
    """[i, j, ...] → [i, ...]."""
    return pairs.logsumexp(1) - log(pairs.shape[1])


def _pairs(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log q(z_ik|x_j), [i, j, k]."""
    return _log_normal(z[:, None], mean, log_std)


def _log_joint(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _log_mean_exp(_pairs(z, mean, log_std).sum(-1))


def _log_marginals(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _log_mean_exp(_pairs(z, mean, log_std)).sum(-1)


def _log_prior(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(-1)


def _decomposed(
    own: Three = _log_own, joint: Three = _log_joint, marginals: Three = _log_marginals, prior: Three = _log_prior
) -> Answer:
    """The three terms from log q(z_i|x_i), log q(z_i), Σ log q(z_ik) and log p(z_i), each [n]."""

    def answer(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, ...]:
        q_x, q, q_k, p = (part(z, mean, log_std) for part in (own, joint, marginals, prior))
        return (q_x - q).mean(), (q - q_k).mean(), (q_k - p).mean()

    return answer


_decompose = _decomposed()


def _decompose_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, latents: int, spread: float = 1.0, shift: float = 0.0) -> Arguments:
        mean = normal(generator, n, latents, scale=spread)
        log_std = normal(generator, n, latents, scale=0.5) + shift
        z = mean + log_std.exp() * normal(generator, n, latents)
        return tuple(a.requires_grad_() for a in (z, mean, log_std))

    # Densities of 200 latents underflow or overflow; where n = latents, the wrong axis runs.
    few = [case(5, 3), case(3, 3), case(8, 2, 20.0, -2.0), case(6, 1)]
    return [*few, case(3, 200, 1.0, 4.0), case(3, 200, 0.01, -6.0), case(2, 4)]


def _mixed(mix: Callable[[Tensor], Tensor] = _log_mean_exp, density: Three = _log_normal) -> Answer:
    """The terms with another log-density per coordinate, or another way from log q(z_i|x_j) to log q(z_i)."""
    return _decomposed(
        lambda z, m, s: density(z, m, s).sum(-1),
        lambda z, m, s: mix(density(z[:, None], m, s).sum(-1)),
        lambda z, m, s: mix(density(z[:, None], m, s)).sum(-1),
    )


def _of_others(pairs: Tensor) -> Tensor:
    """The logarithm of the sum over j ≠ i."""
    diagonal = torch.eye(len(pairs), dtype=torch.bool).reshape(len(pairs), -1, *[1] * (pairs.ndim - 2))
    return pairs.masked_fill(diagonal, -torch.inf).logsumexp(1)


def _parts(*order: int) -> Answer:
    """The parts in another order."""
    return lambda z, mean, log_std: tuple(_decompose(z, mean, log_std)[i] for i in order)


def _minus_entropy(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return (-log_std - 0.5 * log(2 * pi) - 0.5).sum(-1)


decompose_kl = Exercise(
    "decompose_kl",
    _decompose,
    _decompose_cases,
    wrong(
        "log n is missing, in q(z), in the marginals or in both: q(z) and every q(z_k) are means over the n posteriors",
        _mixed(lambda pairs: pairs.logsumexp(1)),
        _decomposed(marginals=lambda z, m, s: _log_marginals(z, m, s) + log(len(z)) * z.shape[-1]),
        _decomposed(joint=lambda z, m, s: _log_joint(z, m, s) + log(len(z))),
        "you subtracted log n once from the sum of the marginals: each of the latents has its own",
        _decomposed(marginals=lambda z, m, s: _log_marginals(z, m, s) + log(len(z)) * (z.shape[-1] - 1)),
        "the parts are right, but their order is not: index-code information, total correlation, dimension-wise KL",
        _parts(1, 0, 2),
        _parts(0, 2, 1),
        _parts(2, 1, 0),
        _parts(1, 2, 0),
        _parts(2, 0, 1),
        "your third part compares q(z|x) with the prior, which is the sum of all three: it compares the q(z_k) with it",
        lambda z, m, s: (*_decompose(z, m, s)[:2], _kl(m, s).mean()),
        lambda z, m, s: (*_decompose(z, m, s)[:2], (_log_own(z, m, s) - _log_prior(z, m, s)).mean()),
        "for the marginals you summed over k before logsumexp, which gives q(z) again: first logsumexp over j, then sum over k",
        _decomposed(marginals=_log_joint),
        "for q(z) you took logsumexp of every coordinate, which gives the product of the marginals: first sum over k, then "
        "logsumexp over j",
        _decomposed(joint=_log_marginals),
        "q(z) and the product of its marginals are exchanged: for q(z), sum over k before logsumexp",
        _decomposed(_log_own, _log_marginals, _log_joint),
        "you took the mean of the logarithms: q(z) is a mean of densities, its logarithm logsumexp − log n",
        _mixed(lambda pairs: pairs.mean(1)),
        "your logsumexp runs over the draws z_i: q(z_i) is a mean over the pictures x_j, at one draw",
        _mixed(lambda pairs: pairs.logsumexp(0) - log(len(pairs))),
        "every draw meets its own posterior only: q(z_i) needs log q(z_i|x_j) for all pairs, [n, n, latents]",
        _mixed(lambda pairs: pairs[range(len(pairs)), range(len(pairs))].logsumexp(0) - log(len(pairs))),
        "the total correlation has the wrong sign: log q(z) comes first, and its mean over q(z) is at least 0",
        lambda z, m, s: tuple(a * b for a, b in zip((1, -1, 1), _decompose(z, m, s), strict=True)),
        "exp under- or overflows with many latents: use logsumexp",
        _mixed(lambda pairs: pairs.exp().mean(1).log()),
        _decomposed(joint=lambda z, m, s: _log_normal(z[:, None], m, s).sum(-1).exp().mean(1).log()),
        "you used log_std as log σ²: it is log σ, so σ is exp(log_std)",
        lambda z, m, s: _decompose(z, m, 0.5 * s),
        _mixed(density=lambda z, m, s: -0.5 * (z - m).square() / s.exp() - s - 0.5 * log(2 * pi)),
        "you took the variance for the scale of a posterior: a normal takes its standard deviation exp(log_std)",
        lambda z, m, s: _decompose(z, m, 2 * s),
        _mixed(density=lambda z, m, s: -0.5 * ((z - m) / (2 * s).exp()).square() - s - 0.5 * log(2 * pi)),
        "− log σ is missing in log q(z|x): the density of a normal is divided by σ",
        _mixed(density=lambda z, m, s: _log_normal(z, m, s) + s),
        "you used log_std as σ: it is log σ, so σ is exp(log_std)",
        _mixed(density=lambda z, m, s: -0.5 * ((z - m) / s).square() - s - 0.5 * log(2 * pi)),
        _mixed(density=lambda z, m, s: -0.5 * ((z - m) / s).square() - s.log() - 0.5 * log(2 * pi)),
        _mixed(density=lambda z, m, s: torch.distributions.Normal(m, s).log_prob(z)),
        "you left out j = i: q(z_i) is the mean over all n posteriors, its own among them",
        _mixed(lambda pairs: _of_others(pairs) - log(len(pairs) - 1)),
        _mixed(lambda pairs: _of_others(pairs) - log(len(pairs))),
        _decomposed(joint=lambda z, m, s: _of_others(_pairs(z, m, s).sum(-1)) - log(len(z) - 1)),
        "log p(z) is missing in the dimension-wise KL",
        _decomposed(prior=lambda z, m, s: 0 * z.sum(-1)),
        "the constants differ: log p(z) and log q(z|x) have the same ½ log 2π, once for each latent",
        _decomposed(prior=lambda z, m, s: -0.5 * z.square().sum(-1)),
        _mixed(density=lambda z, m, s: -0.5 * ((z - m) / s.exp()).square() - s),
        "a part of this is an expectation in closed form: the exercise asks for log q and log p at the draw z_i",
        _decomposed(own=_minus_entropy),
        lambda z, m, s: (_kl(m, s).mean() - sum(_decompose(z, m, s)[1:]), *_decompose(z, m, s)[1:]),
    ),
    results=("index_code", "total_correlation", "dimension_wise"),
    tolerance=2e-4,  # log-densities of 200 latents, filled into a float32 tensor, round by that much
)
