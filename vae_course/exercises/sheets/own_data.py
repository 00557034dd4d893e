"""The sheet on your own data: groups kept together, errors over groups, two kinds of columns with gaps, bits, an encoder of sets."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid, relu, silu, softplus

from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, normal, uniform


def _drawn(generator: Generator, *sizes: int) -> Tensor:
    """A number for each example, every group with its size, in a random order of the examples."""
    group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return group[torch.randperm(len(group), generator=generator)]


# 1. whole groups held out

_SPLIT = Formula(
    "group order share",
    sizes=lambda group, order: group.bincount(minlength=len(order))[order],  # in the order in which groups are taken
    before=lambda sizes: sizes.cumsum(0) - sizes,  # held out before each group
    taken=lambda before, group, share: before < share * len(group),
    by_group=lambda taken, order: torch.zeros(len(order), dtype=torch.bool).scatter(0, order, taken),
    held=lambda by_group, group: by_group[group],
)


def _split_cases(generator: Generator) -> list[Arguments]:
    def case(share: float, *sizes: int) -> Arguments:
        """The sizes are those in the order taken."""
        order = torch.randperm(len(sizes), generator=generator)
        while bool((order == torch.arange(len(order))).any()) or torch.equal(order, order.argsort()):
            order = torch.randperm(len(sizes), generator=generator)
        by_number = torch.tensor(sizes)[order.argsort()].tolist()
        return _drawn(generator, *by_number), order, share

    return [
        case(0.25, 3, 2, 5, 1, 4, 1, 9, 7),
        case(0.25, 2, 1, 1, 3, 4, 5),
        case(0.5, 1, 1, 9, 2, 3, 4),
        case(0.4, 6, 1, 2, 3, 2),
    ]


_of_groups, _taken, _held = (_SPLIT.instead(step) for step in ("by_group", "taken", "held"))

keep_groups_together = Exercise(
    "keep_groups_together",
    _SPLIT,
    _split_cases,
    wrong(
        "you held out single examples: two of one group then stand on either side; take whole groups",
        *_held(
            lambda group, share: torch.arange(len(group)) < share * len(group),
            lambda group, order, share: order.argsort()[group].argsort().argsort() < share * len(group),
        ),
        "you held out a share of the groups: groups differ in size, and the share is one of the examples",
        *_taken(lambda order, share: torch.arange(len(order)) < share * len(order)),
        *_taken(lambda order, share: torch.arange(len(order)) < round(share * len(order))),
        "you stopped before the share was reached: take groups until at least that many examples are held out",
        *_taken(lambda before, sizes, group, share: before + sizes <= share * len(group)),
        "you take one more group where the share is reached exactly: then it is enough",
        *_taken(lambda before, group, share: before <= share * len(group)),
        "you took only the group that reaches the share: those before it are held out too",
        *_taken(lambda before, sizes, group, share: (before < share * len(group)) & (before + sizes >= share * len(group))),
        "these are the examples to train on: true means held out",
        _SPLIT.then(torch.logical_not),
        "you took the groups by their numbers: order says which comes first",
        _SPLIT.but(sizes=lambda group, order: group.bincount(minlength=len(order)), by_group=lambda taken: taken),
        "the sizes stand by number and the decisions by order: bring the sizes into the order first",
        _SPLIT.but(sizes=lambda group, order: group.bincount(minlength=len(order))),
        "a decision was looked up by the group's number: entry i is about the group order[i]",
        *_of_groups(lambda taken: taken),
        "order was used the wrong way round: order[i] is the group at place i, not the place of group i",
        *_of_groups(lambda taken, order: taken[order]),
        "you took the groups from the end of the order",
        _SPLIT.given(order=lambda order: order.flip(0)),
        "this is one decision for each group: return one for each example",
        *_held(lambda by_group: by_group, lambda taken: taken),
        "these are the numbers of the held-out examples or groups: return a bool for each example",
        _SPLIT.then(lambda held: held.nonzero()[:, 0]),
        *_held(lambda by_group: by_group.nonzero()[:, 0]),
    ),
)  # fmt: skip


# 2. the error of a difference over examples that come in groups


def _sums(values: Tensor, group: Tensor) -> Tensor:
    """[groups]: of the values of each group."""
    return torch.zeros(int(group.max()) + 1, dtype=values.dtype).index_add(0, group, values)


_PAIRED = Formula(
    "a b group",
    d=lambda a, b: a - b,
    mean=lambda d: d.mean(),
    deviation=lambda d, mean: d - mean,
    sums=lambda deviation, group: _sums(deviation, group),  # [groups]
    correction=lambda sums: len(sums) / (len(sums) - 1),
    squares=lambda sums, correction: correction * sums.square().sum(),
    error=lambda squares, d: squares.sqrt() / len(d),
    both=lambda mean, error: (mean, error),
)


def _paired_cases(generator: Generator) -> list[Arguments]:
    def case(*sizes: int) -> Arguments:
        group = _drawn(generator, *sizes)
        hard = normal(generator, len(sizes), scale=20.0)[group]  # what makes an example hard is common to both models
        ahead = 1.5 + normal(generator, len(sizes), scale=2.0)[group]
        a = hard + ahead + normal(generator, len(group), scale=0.5)
        return a, hard + normal(generator, len(group), scale=0.5), group

    return [case(4, 2, 7, 1, 3), case(1, 1, 1, 1, 1, 1), case(5, 3), case(2, 9, 4, 4, 1, 6, 8, 2)]


def _group_means(values: Tensor, group: Tensor) -> Tensor:
    return _sums(values, group) / _sums(torch.ones_like(values), group)


_error, _squares = _PAIRED.instead("error"), _PAIRED.instead("squares")

paired_by_group = Exercise(
    "paired_by_group",
    _PAIRED,
    _paired_cases,
    wrong(
        "this is the error for independent examples: those of a group go together, so add up each group's deviations before squaring",
        *_error(lambda d: d.std() / len(d) ** 0.5, lambda d: d.std(correction=0) / len(d) ** 0.5),
        *_squares(lambda deviation: deviation.square().sum(), lambda deviation, correction: correction * deviation.square().sum()),
        "you added up the sizes of the deviations: with their signs, those of a group partly cancel; add up, then square",
        _PAIRED.but(sums=lambda deviation, group: _sums(deviation.abs(), group)),
        "you did not subtract the mean before the groups were added up",
        _PAIRED.but(deviation=lambda d: d),
        "a factor is missing: G / (G − 1) for G groups, as their deviations add up to 0",
        _PAIRED.but(correction=lambda: 1.0),
        "the factor is that of n examples: there are G groups, so it is G / (G − 1)",
        _PAIRED.but(correction=lambda d: len(d) / (len(d) - 1)),
        "the factor stands upside down: G / (G − 1) is above 1",
        _PAIRED.but(correction=lambda sums: (len(sums) - 1) / len(sums)),
        "you divided by the number of groups: the mean is one over examples, so divide by their number",
        *_error(lambda squares, sums: squares.sqrt() / len(sums)),
        "you divided by the root of the number of examples: the sum of the squares has grown with it already",
        *_error(lambda squares, d: squares.sqrt() / len(d) ** 0.5),
        "this is the square of the error: take the root",
        *_error(lambda squares, d: squares / len(d) ** 2, lambda squares, d: squares / len(d)),
        "you averaged the means of the groups: a large group would count no more than a small one",
        _PAIRED.but(mean=lambda d, group: _group_means(d, group).mean()),
        "this is the error of the mean over groups, of which each counts alike; here each example does",
        *_error(lambda d, group, sums: _group_means(d, group).std() / len(sums) ** 0.5),
        "these errors are unpaired: what makes an example hard is common to both models; subtract first",
        *_error(lambda a, b: (a.var() / len(a) + b.var() / len(b)).sqrt()),
        "you subtracted a from b: the difference is a − b",
        _PAIRED.but(d=lambda a, b: b - a),
        "this is a sum of differences: return their mean",
        _PAIRED.but(both=lambda d, error: (d.sum(), error)),
        "this is twice the error, or the half-width of an interval: return one standard error",
        *_error(lambda squares, d: 2 * squares.sqrt() / len(d), lambda squares, d: 1.96 * squares.sqrt() / len(d)),
    ),
    results=("mean difference", "standard error"),
)  # fmt: skip


# 3. numbers and yes-or-no columns, with gaps in both

_TWO_KINDS = Formula(
    "x observed mean log_std logits",
    gaps=lambda observed: ~observed,
    known=lambda x, gaps: torch.where(gaps, 0.0, x),  # nothing infinite enters what gradients go through
    number=lambda known, mean: known[:, : mean.shape[1]],
    yes=lambda known, mean: known[:, mean.shape[1] :],
    of_number=lambda number, mean, log_std: -0.5 * ((number - mean) / log_std.exp()).square() - log_std - 0.5 * log(2 * pi),
    of_yes=lambda yes, logits: yes * logits - softplus(logits),
    each=lambda of_number, of_yes: torch.cat([of_number, of_yes], 1),
    counted=lambda each, gaps: torch.where(gaps, 0.0, each),
    total=lambda counted: counted.sum(1),
)  # fmt: skip


def _two_kinds_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, numbers: int, yes: int, share: float, anything: float) -> Arguments:
        """anything: what stands at gaps."""
        x = torch.cat(
            [normal(generator, batch, numbers, scale=2.0), (uniform(generator, batch, yes) < 0.5).double()], 1
        )
        gaps = uniform(generator, batch, numbers + yes) < share
        gaps[0] = torch.arange(numbers + yes) % 2 == 0  # some of both kinds
        mean, logits = normal(generator, batch, numbers, gradient=True), normal(generator, batch, yes, gradient=True)
        log_std = normal(generator, numbers, scale=0.5, gradient=True)
        return torch.where(gaps, anything, x), ~gaps, mean, log_std, logits

    return [
        case(5, 3, 2, 0.3, -999.0),
        case(1, 2, 3, 0.0, 7.0),
        case(4, 4, 3, 0.7, torch.inf),
        case(3, 3, 4, 1.0, 0.25),
    ]


_of_number, _of_yes, _counted, _total = (_TWO_KINDS.instead(s) for s in ("of_number", "of_yes", "counted", "total"))
_filled = _TWO_KINDS.but(counted=lambda each: each)


def _scaled(number: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return ((number - mean) / log_std.exp()).square()


log_likelihood_of_two_kinds = Exercise(
    "log_likelihood_of_two_kinds",
    _TWO_KINDS,
    _two_kinds_cases,
    wrong(
        "what stands at a gap was counted as a reading: leave its term out of the sum",
        _filled.but(known=lambda x: x),
        "a gap was counted as a reading of 0: leave its term out of the sum",
        _filled,
        "a gap was counted as a reading at its mean: it still adds −log σ − ½ log 2π, and log P of a yes or no; leave its term out",
        _filled.but(
            number=lambda x, gaps, mean: torch.where(gaps[:, : mean.shape[1]], mean, x[:, : mean.shape[1]]),
            yes=lambda x, gaps, mean, logits: torch.where(gaps[:, mean.shape[1] :], logits.sigmoid(), x[:, mean.shape[1] :]),
        ),
        "the value is right, but the gradient is NaN: ∞ went into the formula, and 0 · ∞ is NaN on the way back; put a number in "
        "place of each gap first, and leave its term out afterwards",
        _TWO_KINDS.but(known=lambda x: x),
        _TWO_KINDS.but(known=lambda x, gaps: x * ~gaps),
        "0 · ∞ is NaN: a mask that multiplies does not take away what is infinite; put a number in place of each gap first",
        _TWO_KINDS.but(known=lambda x: x, counted=lambda each, gaps: each * ~gaps),
        "a row with a gap was left out whole: what was observed in it counts",
        *_total(lambda counted, gaps: torch.where(gaps.any(1), 0.0, counted.sum(1))),
        "a gap among the yes-or-no columns still counts: leave out its term too",
        *_counted(lambda each, gaps, mean: torch.where(gaps & (torch.arange(each.shape[1]) < mean.shape[1]), 0.0, each)),
        "a gap among the numbers still counts: leave out its term too",
        *_counted(lambda each, gaps, mean: torch.where(gaps & (torch.arange(each.shape[1]) >= mean.shape[1]), 0.0, each)),
        "you averaged over what was observed: log p of several readings is the sum of theirs",
        *_total(lambda counted, gaps: counted.sum(1) / (~gaps).sum(1).clamp(min=1)),
        "you averaged over the columns: log p of several readings is the sum of theirs",
        *_total(lambda counted: counted.mean(1)),
        "you scaled the sum up to all columns, as if what is missing were like the rest: that is no log p of what was observed",
        *_total(lambda counted, gaps: counted.sum(1) * counted.shape[1] / (~gaps).sum(1).clamp(min=1)),
        "− ½ log 2π is missing, once for each number observed",
        *_of_number(lambda number, mean, log_std: -0.5 * _scaled(number, mean, log_std) - log_std),
        "− log σ is missing, once for each number observed",
        *_of_number(lambda number, mean, log_std: -0.5 * _scaled(number, mean, log_std) - 0.5 * log(2 * pi)),
        "the ½ of the square is missing",
        *_of_number(lambda number, mean, log_std: -_scaled(number, mean, log_std) - log_std - 0.5 * log(2 * pi)),
        "½ log σ was subtracted: with σ, not σ², it is log σ",
        *_of_number(lambda number, mean, log_std: -0.5 * _scaled(number, mean, log_std) - 0.5 * log_std - 0.5 * log(2 * pi)),
        "log_std was taken for the log of the variance: σ = exp(log σ)",
        _TWO_KINDS.given(log_std=lambda log_std: log_std / 2),
        "log_std was taken for σ itself: σ = exp(log σ)",
        *_of_number(lambda number, mean, log_std: -0.5 * ((number - mean) / log_std).square() - log_std - 0.5 * log(2 * pi)),
        "logits were taken for probabilities, or the other way round: log P(1) = log sigmoid(l), log P(0) = log sigmoid(−l)",
        *_of_yes(lambda yes, logits: yes * logits + (1 - yes) * (1 - logits)),
        *_of_yes(lambda yes, logits: yes * logits.sigmoid() + (1 - yes) * (1 - logits.sigmoid())),
        "log P(0) is missing: a column that says no has log sigmoid(−l)",
        *_of_yes(lambda yes, logits: yes * logsigmoid(logits)),
        "yes and no are exchanged: log P(1) = log sigmoid(l)",
        *_of_yes(lambda yes, logits: (1 - yes) * logits - softplus(logits)),
        "the yes-or-no columns got the normal's formula, with σ = 1: they have two values, and probabilities",
        *_of_yes(lambda yes, logits: -0.5 * (yes - logits).square() - 0.5 * log(2 * pi)),
        "the yes-or-no columns are missing from the sum",
        *_total(lambda counted, mean: counted[:, : mean.shape[1]].sum(1)),
        "the numbers are missing from the sum",
        *_total(lambda counted, mean: counted[:, mean.shape[1] :].sum(1)),
    ),
)  # fmt: skip


# 4. bits for each reading, from nats of scaled ones

_BITS = Formula(
    "log_p std step observed",
    seen=lambda observed: observed.double(),
    scales=lambda seen, std: seen @ std.log(),  # [n]: Σ_o log s_j
    steps=lambda seen, step: seen @ step.log(),
    count=lambda seen: seen.sum(1),
    nats=lambda log_p, scales, steps: log_p - scales + steps,  # log P of the recorded levels
    bits=lambda nats, count: -nats / (count * log(2)),
)


def _bits_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, columns: int, share: float) -> Arguments:
        observed = uniform(generator, n, columns) >= share
        observed[:, 0] |= ~observed.any(1)  # a reading in each row at least
        std, step = normal(generator, columns, scale=3.0).exp(), (normal(generator, columns) - 4).exp()
        return normal(generator, n, scale=10.0) - 5, std, step, observed

    return [case(5, 4, 0.4), case(1, 3, 0.0), case(6, 1, 0.0), case(8, 16, 0.7)]


_nats, _bits = _BITS.instead("nats"), _BITS.instead("bits")

bits_per_reading = Exercise(
    "bits_per_reading",
    _BITS,
    _bits_cases,
    wrong(
        "log s was added: if x = s · u, then p(x) = p(u) / s, so log s is subtracted",
        *_nats(lambda log_p, scales, steps: log_p + scales + steps),
        "log s is missing: the density of x differs from that of x / s",
        *_nats(lambda log_p, steps: log_p + steps),
        "the step was divided out: the probability of a level is the density times its step",
        *_nats(lambda log_p, scales, steps: log_p - scales - steps),
        "the step is missing: a density is no probability; a level gets the density times its step",
        *_nats(lambda log_p, scales: log_p - scales),
        "both signs are flipped: log P = log p − Σ log s + Σ log step",
        *_nats(lambda log_p, scales, steps: log_p + scales - steps),
        "log s and log step were summed over all columns: a gap has neither",
        _BITS.but(scales=lambda std: std.log().sum(), steps=lambda step: step.log().sum()),
        "log s was summed over all columns: a gap has none",
        _BITS.but(scales=lambda std: std.log().sum()),
        "log step was summed over all columns: a gap has none",
        _BITS.but(steps=lambda step: step.log().sum()),
        "log s and log step count once a row here: once for each reading observed",
        _BITS.but(scales=lambda seen, std: seen @ std.log() / seen.sum(1), steps=lambda seen, step: seen @ step.log() / seen.sum(1)),
        "you took the logarithm of a sum: add up logarithms",
        _BITS.but(scales=lambda seen, std: (seen @ std).log(), steps=lambda seen, step: (seen @ step).log()),
        "you subtracted s and added the step: their logarithms are meant",
        _BITS.but(scales=lambda seen, std: seen @ std, steps=lambda seen, step: seen @ step),
        "you divided by the number of columns: divide by how many were observed in the row",
        *_bits(lambda nats, seen: -nats / (seen.shape[1] * log(2))),
        "you divided by the number observed in all rows, or in the mean row: each row has its own",
        *_bits(lambda nats, count: -nats / (count.sum() * log(2)), lambda nats, count: -nats / (count.mean() * log(2))),
        "these are nats: divide by log 2",
        *_bits(lambda nats, count: -nats / count),
        "you multiplied by log 2: a bit is log 2 nats, so there are nats / log 2 of them",
        *_bits(lambda nats, count: -nats * log(2) / count),
        "these are bits for each row: divide by how many readings were observed in it",
        *_bits(lambda nats: -nats / log(2)),
        "the sign is flipped: a length is minus the log-probability",
        *_bits(lambda nats, count: nats / (count * log(2))),
        "gaps and readings are exchanged: True means observed",
        _BITS.but(seen=lambda observed: 1 - observed.double(), count=lambda observed: observed.sum(1)),
    ),
)  # fmt: skip


# 5. an encoder that adds up over what was observed


def _parts(net: Any, x: Tensor, reading: Tensor) -> Tensor:
    """[batch, columns, 1 + names]: each reading beside its column's vector."""
    return torch.cat([reading[..., None], net.names.expand(len(x), *net.names.shape)], -1)


_SET = Formula(
    "net x observed",
    seen=lambda x, observed: observed.to(x.dtype)[..., None],  # [batch, columns, 1]
    reading=lambda x, observed: torch.where(observed, x, 0.0),
    parts=lambda net, x, reading: _parts(net, x, reading),
    hidden=lambda net, parts: silu(net.shared(parts)),  # [batch, columns, width]
    total=lambda hidden, seen: (hidden * seen).sum(1),
    out=lambda net, total: net.out(total),
)


def _set(
    result: Callable[..., Any] = _SET, trained: bool = True, alone: bool = False, more: int = 0
) -> type[nn.Module]:
    """alone: readings without the vector of their column; more: further inputs of the shared layer."""

    class Set(nn.Module):
        def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
            super().__init__()
            if not alone:
                self.names = nn.Parameter(torch.zeros(columns, names), requires_grad=trained)
            self.shared = nn.Linear(1 + more + (0 if alone else names), width)
            self.out = nn.Linear(width, outputs)

        def forward(self, x: Tensor, observed: Tensor) -> Any:
            return result(self, x, observed)

    return Set


def _set_with(**steps: Step) -> type[nn.Module]:
    return _set(_SET.but(**steps))


class _OwnLayers(nn.Module):
    """A layer for each column."""

    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(1, width) for _ in range(columns)])
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor, observed: Tensor) -> Any:
        """Both [batch, columns]."""
        known = torch.where(observed, x, 0.0)
        each = torch.stack([silu(layer(known[:, j : j + 1])) for j, layer in enumerate(self.layers)], 1)
        return self.out((each * observed[..., None]).sum(1))


class _Mask(nn.Module):
    """The readings beside a mask, in one vector."""

    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(2 * columns, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor, observed: Tensor) -> Any:
        """Both [batch, columns]."""
        return self.out(silu(self.first(torch.cat([torch.where(observed, x, 0.0), observed.to(x.dtype)], 1))))


def _set_cases(generator: Generator) -> list[Arguments]:
    def case(
        columns: int, names: int, width: int, outputs: int, batch: int, share: float, anything: float
    ) -> Arguments:
        """anything: what stands at gaps."""
        gaps = uniform(generator, batch, columns) < share
        gaps[0] = torch.arange(columns) == 1  # one gap
        x = torch.where(gaps, anything, normal(generator, batch, columns))
        return columns, names, width, outputs, x, ~gaps

    return [case(4, 3, 7, 5, 6, 0.4, -9.0), case(3, 2, 6, 4, 1, 0.0, 2.0), case(6, 4, 9, 2, 5, 0.8, torch.inf)]


SumOverObserved = Exercise(
    "SumOverObserved",
    _set(),
    _set_cases,
    wrong(
        "what stands at a gap was taken for a reading: leave gaps out of the sum",
        _set_with(reading=lambda x: x, total=lambda hidden: hidden.sum(1)),
        "a gap counts as a reading of 0: its column still adds to the sum; leave it out after the shared layer",
        _set_with(total=lambda hidden: hidden.sum(1)),
        _set_with(parts=lambda net, x, reading, seen: _parts(net, x, reading) * seen, total=lambda hidden: hidden.sum(1)),
        "∞ reached a layer: put a number in place of each gap before it, as 0 · ∞ is NaN, in gradients too",
        _set_with(reading=lambda x: x),
        _set_with(reading=lambda x, seen: x * seen[..., 0]),
        _set_with(reading=lambda x: x, total=lambda hidden, seen: torch.where(seen.bool(), hidden, 0.0).sum(1)),
        "you averaged over what was observed: a sum also tells how much that was",
        _set_with(total=lambda hidden, seen: (hidden * seen).sum(1) / seen.sum(1).clamp(min=1)),
        "you averaged over the columns: add up",
        _set_with(total=lambda hidden, seen: (hidden * seen).mean(1)),
        "you took the largest over the columns: add up",
        _set_with(total=lambda hidden, seen: (hidden * seen).amax(1)),
        "the reading comes first, then the vector of its column: [x_j, e_j]",
        _set_with(parts=lambda net, x, reading: _parts(net, x, reading).roll(-1, -1)),
        "the vectors of the columns are missing: after a sum nobody knows which column a reading came from",
        _set(_SET.but(parts=lambda reading: reading[..., None]), alone=True),
        "the vectors of the columns are not trained: make them an nn.Parameter",
        _set(trained=False),
        "the reading was multiplied into the vector as well: it stands beside it, [x_j, e_j]",
        _set_with(parts=lambda net, x, reading: torch.cat([reading[..., None], reading[..., None] * net.names], -1)),
        "the reading was added to the vector as well: it stands beside it, [x_j, e_j]",
        _set_with(parts=lambda net, x, reading: torch.cat([reading[..., None], reading[..., None] + net.names], -1)),
        "SiLU is missing after the shared layer: without it the sum of the readings would be all that gets through",
        _set_with(hidden=lambda net, parts: net.shared(parts)),
        "ReLU stands where SiLU is asked for",
        _set_with(hidden=lambda net, parts: relu(net.shared(parts))),
        "SiLU stands after the sum: it belongs to each column, before",
        _set_with(
            hidden=lambda net, parts: net.shared(parts), out=lambda net, total: net.out(silu(total)),
        ),
        "there is a SiLU too many after the sum",
        _set_with(out=lambda net, total: net.out(silu(total))),
        "there is a SiLU after the last layer: means and log σ need all numbers",
        _set_with(out=lambda net, total: silu(net.out(total))),
        "the mask went into the shared layer too: it needs only to leave gaps out of the sum",
        _set(_SET.but(parts=lambda net, x, reading, seen: torch.cat([_parts(net, x, reading), seen], -1)), more=1),
        "each column has a layer of its own: one layer is shared by all, and told the column by its vector",
        _OwnLayers,
        "readings and mask went in as one vector: that is the lecture's encoder; here each reading goes through the same layer",
        _Mask,
        "you reduced over the batch: the columns are axis 1",
        _set_with(total=lambda hidden, seen: (hidden * seen).sum(0)),
    ),
    results=RESULTS,
    tolerance=1e-6,
    prepare=behaviour(4),
)  # fmt: skip
