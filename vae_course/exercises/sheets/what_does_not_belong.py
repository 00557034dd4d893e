"""The sheet on what does not belong: false alarms, the area under a curve, a map of errors, a module for records, an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from math import inf
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.modules import LEFT_BEHIND, RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, normal, uniform

# 1. how few false alarms

_allowed = Formula(
    "base_rate caught precision",
    true=lambda base_rate, caught: base_rate * caught,
    odds=lambda precision: (1 - precision) / precision,
    normal=lambda base_rate: 1 - base_rate,
    share=lambda true, odds, normal: true * odds / normal,
    most=lambda share: share.clamp(max=1),
)


def _allowed_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, rare: float) -> Arguments:
        base_rate = rare * (0.2 + 0.8 * uniform(generator, *shape))
        return base_rate, 0.3 + 0.7 * uniform(generator, *shape), 0.1 + 0.85 * uniform(generator, *shape)

    half = torch.tensor(0.001, dtype=torch.float64), torch.tensor(0.98, dtype=torch.float64)
    often = torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    return [
        case(5, rare=0.01), case(3, 2, rare=0.3), case(1, rare=1e-6),
        (*half, torch.tensor(0.5, dtype=torch.float64)),
        (*often, torch.tensor([0.5, 0.3, 0.9], dtype=torch.float64)),
    ]  # fmt: skip


allowed_false_alarms = Exercise(
    "allowed_false_alarms",
    _allowed,
    _allowed_cases,
    wrong(
        "the share is among normal signals, of which there are 1 − base_rate: divide by that",
        _allowed.but(normal=lambda: 1),
        "only base_rate of the signals are faulty: true alarms are base_rate × caught of all signals",
        _allowed.but(true=lambda caught: caught),
        "not every faulty signal is caught: true alarms are base_rate × caught of all signals",
        _allowed.but(true=lambda base_rate: base_rate),
        "caught is the share that is found: you took the share that is missed, 1 − caught",
        _allowed.but(true=lambda base_rate, caught: base_rate * (1 - caught)),
        "the odds are upside down: for `precision` true alarms there are 1 − precision false ones",
        _allowed.but(odds=lambda precision: precision / (1 - precision)),
        "this counts all alarms, true / precision: take the true ones away to get the false ones",
        _allowed.but(odds=lambda precision: 1 / precision),
        "1 − precision is the share of false alarms among all alarms, not for each true one: divide by precision",
        _allowed.but(odds=lambda precision: 1 - precision),
        "you multiplied by 1 − base_rate: divide the false alarms by it, to get their share among normal signals",
        _allowed.but(share=lambda true, odds, normal: true * odds * normal),
        "the base rate is upside down: faulty signals are base_rate of all, normal ones 1 − base_rate",
        _allowed.given(base_rate=lambda base_rate: 1 - base_rate),
        "a share is at most 1: where faults are frequent, even an alarm for every signal is right often enough",
        _allowed.but(most=lambda share: share),
        "this is the share of true alarms that `precision` as a share of false alarms would give: the third argument is what you want to reach",
        _allowed.but(
            most=lambda true, precision, base_rate: true / (true + precision * (1 - base_rate)),
        ),
        "the share is exact: nothing is to be rounded",
        _allowed.then(lambda share: (1000 * share).round() / 1000),
    ),
)


# 2. the area under the ROC curve, weighted

_area = Formula(
    "scores anomalous weight",
    a=lambda scores, anomalous: scores[anomalous][:, None],
    b=lambda scores, anomalous: scores[~anomalous],
    of_a=lambda weight, anomalous: weight[anomalous][:, None],
    of_b=lambda weight, anomalous: weight[~anomalous],
    apart=lambda a, b: a - b,
    won=lambda apart: (apart > 0).double(),
    tied=lambda apart: (apart == 0).double(),
    tie=lambda: 0.5,
    pairs=lambda of_a, of_b: of_a * of_b,
    total=lambda pairs: pairs.sum(),
    area=lambda won, tied, tie, pairs, total: (pairs * (won + tie * tied)).sum() / total,
)
_tie_as_lost, _tie_as_won = _area.but(tie=lambda: 0), _area.but(tie=lambda: 1)
_decision = Formula(
    "scores anomalous weight",
    threshold=lambda: 0.5,
    alarms=lambda scores, threshold: scores > threshold,
    share=lambda alarms, anomalous, weight: (weight * (alarms == anomalous)).sum() / weight.sum(),
)
_DECISIONS = [
    _decision,
    _decision.but(alarms=lambda scores, threshold: scores >= threshold),
    _decision.but(share=lambda alarms, anomalous, weight: (weight * alarms)[anomalous].sum() / weight[anomalous].sum()),
]
_THRESHOLDS: list[Step] = [lambda: 0.5, lambda: 0.0, lambda scores: scores.mean(), lambda scores: scores.median()]


def _share(alarms: Tensor, weight: Tensor, group: Tensor) -> Tensor:
    """The weighted share of alarms in a group, at every threshold: [thresholds]."""
    return alarms[:, group].double() @ weight[group] / weight[group].sum()


_curve = Formula(
    "scores anomalous weight",
    thresholds=lambda scores: scores,
    ends=lambda scores: scores.new_tensor([inf, -inf]),  # no alarm, and alarm for all
    falling=lambda thresholds, ends: torch.cat([thresholds, ends]).sort(descending=True).values[:, None],
    alarms=lambda scores, falling: scores >= falling,
    hits=lambda alarms, anomalous, weight: _share(alarms, weight, anomalous),
    false_alarms=lambda alarms, anomalous, weight: _share(alarms, weight, ~anomalous),
    area=lambda hits, false_alarms: torch.trapezoid(hits, false_alarms),
)
_without_ends = _curve.but(ends=lambda scores: scores[:0])
_average_precision = _without_ends.but(
    precision=lambda alarms, anomalous, weight: (
        alarms[:, anomalous].double() @ weight[anomalous] / (alarms.double() @ weight)
    ),
    average=lambda precision, hits: (precision * hits.diff(prepend=hits.new_zeros(1))).sum(),
)


def _nearly(close: Callable[[Tensor, Tensor], Tensor]) -> list[Formula]:
    """Pairs that are close count as ties, without and with a win beside."""
    near = _area.but(tied=lambda a, b: close(a, b).double())
    return [near, near.but(won=lambda a, b: ((a > b) & ~close(a, b)).double())]


def _in_order(order: Callable[[Tensor], Tensor]) -> Answer:
    """order: from the lowest score to the highest, one place for each example even where scores are equal."""
    return _area.given(scores=lambda scores: order(scores).argsort().double())


def _grid(steps: int, scores: Tensor) -> Tensor:
    """Thresholds from the least score to the largest."""
    return torch.linspace(float(scores.min()), float(scores.max()), steps, dtype=torch.float64)


def _area_cases(generator: Generator) -> list[Arguments]:
    def weights(n: int) -> Tensor:
        """Whole numbers, from 1 to 9."""
        return torch.randint(1, 10, (n,), generator=generator).double()

    def case(n: int, anomalies: int, step: float, shift: float) -> Arguments:
        """Errors with a heavy tail; step > 0 rounds them, which makes ties."""
        anomalous = torch.zeros(n, dtype=torch.bool)
        anomalous[torch.randperm(n, generator=generator)[:anomalies]] = True
        scores = (normal(generator, n) + shift * anomalous).exp() - 0.5
        return ((scores / step).round() * step if step else scores), anomalous, weights(n)

    shuffled = torch.randperm(12, generator=generator)
    rising = torch.arange(12, dtype=torch.float64)
    late = rising >= 7
    whole = torch.tensor([1.0, 1, 1, 0, 0, 1, 2, 2], dtype=torch.float64)
    flags = torch.tensor([1, 0, 0, 1, 0, 1, 0, 1], dtype=torch.bool)
    near = 0.5 + 1e-9 * torch.arange(8, dtype=torch.float64)  # one number in float32
    order = torch.randperm(8, generator=generator)
    flat = torch.full((6,), 3.0, dtype=torch.float64), flags[:6], weights(6)
    two = torch.tensor([1e6, -1e6], dtype=torch.float64), torch.tensor([True, False]), weights(2)
    alike = case(30, 12, 0.5, 0.7)
    plain = [case(30, 10, 0.0, 1.0), case(40, 16, 0.5, 0.8), (whole, flags, weights(8))]
    uneven = [case(25, 1, 1.0, 0.5), case(400, 60, 0.0, 0.6), case(60, 30, 1.0, -0.7)]
    apart = [(rising[shuffled], late[shuffled], weights(12)), (rising[shuffled] - 20, ~late[shuffled], weights(12))]
    kept = alike[0], alike[1], torch.where(alike[1], 1.0, 10.0).double()  # every anomaly, one in ten of the rest
    return [*plain, *uneven, *apart, (near[order], flags[order], weights(8)), kept, flat, two]


area_under_roc = Exercise(
    "area_under_roc",
    _area,
    _area_cases,
    wrong(
        "anomalous and normal are exchanged (it counts that the anomaly has the *higher* score), or the arguments of torch.trapezoid: y (hits) comes first, x (false alarms) second",
        _area.then(lambda area: 1 - area),
        _curve.but(area=lambda hits, false_alarms: torch.trapezoid(false_alarms, hits)),
        _without_ends.but(area=lambda hits, false_alarms: torch.trapezoid(false_alarms, hits)),
        _tie_as_lost.but(won=lambda apart: (apart < 0).double()),
        _tie_as_won.but(won=lambda apart: (apart < 0).double()),
        "ties were counted 0, as by > alone or by a staircase under the curve: a tie counts ½",
        _tie_as_lost,
        "ties were counted 1, as by ≥ or by a staircase over the curve: a tie counts ½",
        _tie_as_won,
        "scores that differ a little are no tie: compare them as they are, in float64, with > and ==",
        *_nearly(torch.isclose),
        *(a for size in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3) for a in _nearly(partial(torch.isclose, rtol=0, atol=size))),
        _area.given(scores=lambda scores: scores.float()),
        "the weights have no say: a pair counts weight of the anomaly × weight of the normal example",
        _area.but(pairs=lambda apart: torch.ones_like(apart)),
        "only the anomalies' weights count here: a pair stands for weight × weight pairs",
        _area.but(pairs=lambda of_a, of_b: of_a * torch.ones_like(of_b)),
        "only the normal examples' weights count here: a pair stands for weight × weight pairs",
        _area.but(pairs=lambda of_a, of_b: torch.ones_like(of_a) * of_b),
        "the two weights of a pair were added: it stands for their product, as many pairs as there are",
        _area.but(pairs=lambda of_a, of_b: of_a + of_b),
        "a pair was given the larger, the smaller or the root of its weights: it stands for their product",
        _area.but(pairs=lambda of_a, of_b: torch.maximum(of_a, of_b)),
        _area.but(pairs=lambda of_a, of_b: torch.minimum(of_a, of_b)),
        _area.but(pairs=lambda of_a, of_b: (of_a * of_b).sqrt()),
        "the weights stand upside down: an example of weight 10 stands for 10, and counts ten times",
        _area.given(weight=lambda weight: 1 / weight),
        "the scores were multiplied by the weights: weights count examples, and do not change what is higher",
        lambda scores, anomalous, weight: _area(scores * weight, anomalous, weight),
        lambda scores, anomalous, weight: _area(scores * weight, anomalous, torch.ones_like(weight)),
        "divide by the number of pairs that the examples stand for, not by the number of pairs at hand",
        _area.but(total=lambda pairs: pairs.numel()),
        "you divided by the weight of all pairs of examples: only pairs of an anomaly and a normal example count",
        _area.but(total=lambda weight: weight.sum() ** 2),
        _area.but(total=lambda weight: weight.sum() ** 2 / 2),
        "divide the weight of the pairs won by the weight of all pairs of an anomaly and a normal example",
        _area.but(total=lambda: 1),
        _area.but(total=lambda weight: weight.sum()),
        _area.but(total=lambda of_a: of_a.sum()),
        _area.but(total=lambda of_b: of_b.sum()),
        "a and b met entry by entry: a[:, None] against b makes all pairs",
        lambda scores, anomalous, weight: (scores[anomalous] > scores[~anomalous]).double().mean(),
        "equal scores were put in some order: count all pairs of equal scores one half, or move along the curve over all of them at once",
        *[_in_order(lambda s: s.argsort(stable=True)), _in_order(lambda s: s.argsort())],
        _in_order(lambda s: s.argsort(descending=True, stable=True).flip(0)),
        _in_order(lambda s: s.argsort(descending=True).flip(0)),
        "argsort returns positions, not ranks: the ranks are the argsort of the argsort",
        _area.given(scores=lambda scores: scores.argsort().double()),
        "this is the share of right decisions, or of hits, at one threshold: the area takes all of them, and false alarms too",
        *(decision.but(threshold=threshold) for decision in _DECISIONS for threshold in _THRESHOLDS),
        "this is the average precision, the area under the precision-recall curve: it changes with the share of anomalies",
        _average_precision,
        "only the two means were compared: count the pairs in which the anomaly has the higher score",
        _area.but(area=lambda a, b: a.mean() - b.mean()),
        _area.but(area=lambda a, b: (a.mean() > b.mean()).double()),
        "this runs from −1 to 1 (Gini's coefficient is 2 A − 1): return the probability A",
        _area.then(lambda area: 2 * area - 1),
        "an area below ½ was turned round: it says that the score is worse than chance, so keep it",
        _area.then(lambda area: torch.maximum(area, 1 - area)),
        "the curve does not reach both of its corners: it runs from (0, 0), no alarm, to (1, 1), alarm for all",
        _without_ends,
        "the area is negative: the false alarms fall along your curve, so sort the thresholds from the highest score down",
        *[_area.then(torch.neg), _without_ends.then(torch.neg)],
    ),
)


# 3. the map of errors


def _smooth(values: Tensor, height: int, width: int, stride: int = 1) -> Tensor:
    """The mean over a window about each pixel, of those that lie in the picture."""
    return avg_pool2d(values, (height, width), stride, (height // 2, width // 2), count_include_pad=False)


_error_map = Formula(
    "reconstruction x window",
    difference=lambda reconstruction, x: reconstruction - x,
    squares=lambda difference: difference.square().sum(1),
    height=lambda window: window,
    width=lambda window: window,
    stride=lambda: 1,
    reach=lambda window: window // 2,
    means=lambda squares, height, width, stride: _smooth(squares, height, width, stride),
)


def _filled(mode: str, squares: Tensor, window: int, reach: int) -> Tensor:
    """The means where the border is filled with copies of other pixels."""
    return avg_pool2d(pad(squares[:, None], [reach] * 4, mode=mode)[:, 0], window, 1)


def _slices(e: Tensor, before: int, after: int, wrap: bool = False) -> Tensor:
    """Means over slices from i − before to i + after, the end excluded."""

    def span(i: int) -> slice:
        return slice(i - before if wrap else max(0, i - before), max(0, i + after))

    rows = [[e[:, span(i), span(j)].mean((1, 2)) for j in range(e.shape[2])] for i in range(e.shape[1])]
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def _error_map_cases(generator: Generator) -> list[Arguments]:
    def case(window: int, *shape: int, scale: float = 1.0) -> Arguments:
        return scale * uniform(generator, *shape), scale * uniform(generator, *shape), window

    sizes = [(3, 3, 1, 6, 5), (3, 2, 3, 4, 7), (5, 1, 2, 5, 5), (1, 2, 3, 4, 3), (7, 2, 1, 28, 28), (1, 1, 1, 1, 1)]
    extreme = [case(3, 1, 1, 3, 9, scale=100.0), case(5, 4, 1, 7, 6, scale=0.01)]
    return [*(case(*size) for size in sizes), *extreme]


error_map = Exercise(
    "error_map",
    _error_map,
    _error_map_cases,
    wrong(
        "the squared errors were not averaged over the window",
        _error_map.but(means=lambda squares: squares),
        "you averaged over the channels: the squared errors of a pixel's channels are summed",
        _error_map.but(squares=lambda difference: difference.square().mean(1)),
        "these are absolute errors: square the differences",
        _error_map.but(squares=lambda difference: difference.abs().sum(1)),
        "the channels' differences were summed with their signs before the square: square first, then sum over the channels",
        _error_map.but(squares=lambda difference: difference.sum(1).square()),
        "you smoothed before the square, the pictures or their difference, so that errors of opposite sign cancel: square first",
        _error_map.but(means=lambda difference, window: _smooth(difference, window, window).square().sum(1)),
        _error_map.but(means=lambda difference, window: _smooth(difference.sum(1), window, window).square()),
        "at the border zeros beyond the picture were counted: divide by the number of pixels that exist (count_include_pad=False)",
        _error_map.but(means=lambda squares, window, reach: avg_pool2d(squares, window, 1, reach)),
        "you summed over the window: divide by the number of its pixels that lie in the picture",
        _error_map.but(means=lambda squares, window, reach: window**2 * avg_pool2d(squares, window, 1, reach)),
        "the map is smaller than the picture: pad by window // 2 on each side, so that the borders have their pixels too",
        _error_map.but(means=lambda squares, window: avg_pool2d(squares, window, 1)),
        "the windows do not overlap: avg_pool2d steps by a whole window unless it is given stride=1",
        _error_map.but(stride=lambda window: window),
        _error_map.but(means=lambda squares, window, reach: avg_pool2d(squares, window, padding=reach)),
        _error_map.but(means=lambda squares, window: avg_pool2d(squares, window)),
        "the border was filled with copies of other pixels (replicate, reflect or circular): average over those that exist",
        *(_error_map.but(means=partial(_filled, mode)) for mode in ("replicate", "reflect", "circular")),
        "the window is a line: it is square, as many rows high as columns wide",
        *[_error_map.but(height=lambda: 1), _error_map.but(width=lambda: 1)],
        "you averaged over the pictures of the batch too: every picture has its own map",
        _error_map.then(lambda means: means.mean(0).expand_as(means)),
        _error_map.then(lambda means: means.mean(0)),
        "the border is left 0: near it the window is cut off, and its mean is over the pixels that exist",
        _error_map.but(means=lambda squares, window, reach: pad(avg_pool2d(squares, window, 1), [reach] * 4)),
        "a root was taken, of every pixel or of the means: average the squared errors as they are",
        _error_map.but(squares=lambda difference: difference.square().sum(1).sqrt()),
        _error_map.then(torch.sqrt),
        "this is the largest error in the window: take the mean",
        _error_map.but(means=lambda squares, window, reach: max_pool2d(squares, window, 1, reach)),
        "`window` was taken for how far it reaches to each side: it is the whole width, and reaches window // 2",
        _error_map.given(window=lambda window: 2 * window + 1),
        "the result still has a channel axis: return [batch, height, width]",
        _error_map.then(lambda means: means[:, None]),
        _error_map.but(squares=lambda difference: difference.square()),
        "the window ends a pixel early: a slice excludes its end, so from the centre it goes to window // 2 + 1",
        _error_map.but(means=lambda squares, reach: _slices(squares, reach, reach)),
        "the window begins or ends at the pixel: the pixel is its centre, with window // 2 on either side",
        _error_map.but(means=lambda squares, window: _slices(squares, 0, window)),
        _error_map.but(means=lambda squares, window: _slices(squares, window - 1, 1)),
        "the start of a slice is negative near the border, and counts from the other end: take max(0, …)",
        _error_map.but(means=lambda squares, reach: _slices(squares, reach, reach + 1, wrap=True)),
    ),
)


# 4. an autoencoder for records in their own units

_NO_BUFFER = "the means or the standard deviations are plain attributes: they are neither saved nor moved with the module; use self.register_buffer"

_RECORDS = Formula(
    "x mean std first second third last",
    scaled=lambda x, mean, std: (x - mean) / std,
    hidden=lambda scaled, first: silu(first(scaled)),
    code=lambda hidden, second: second(hidden),
    wide=lambda code, third: silu(third(code)),
    out=lambda wide, last: last(wide),
    back=lambda out, mean, std: out * std + mean,
)


def _of_module(handed_in: Any) -> Answer:
    """What the module does, with a sentence of its own for numbers that are no buffers."""
    answer = behaviour(3)(handed_in)

    @wraps(answer)
    def told(*arguments: Any) -> Any:
        observed = answer(*arguments)
        if any(isinstance(value, Tensor) for value in vars(handed_in(*arguments[:3])).values()):
            raise ExerciseError(_NO_BUFFER)
        return observed

    return told


def _std(records: Tensor) -> Tensor:
    spread = records.std(0)
    return torch.where(spread > 0, spread, 1.0)


def _nearly_std(records: Tensor, least: float, added: bool = False) -> Tensor:
    """With a tiny number in place of 0, or added to all."""
    return records.std(0) + least if added else records.std(0).clamp(min=least)


def _autoencoder(
    forward: Answer = _RECORDS,
    mean: Callable[[Tensor], Tensor] = lambda records: records.mean(0),
    std: Callable[[Tensor], Tensor] = _std,
    stored: str = "buffer",
    kept: Any = nn.ModuleList,
    bias: bool = True,
) -> type[nn.Module]:
    """forward: of the Formula's arguments; stored: how the statistics are; kept: what the layers are in."""

    class Records(nn.Module):
        def __init__(self, records: Tensor, width: int, code: int) -> None:
            super().__init__()
            columns = records.shape[1]
            for name, value in (("mean", mean(records)), ("std", std(records))):
                if stored == "buffer":
                    self.register_buffer(name, value)
                elif stored == "parameter":
                    setattr(self, name, nn.Parameter(value.clone()))
                else:
                    setattr(self, name, value)
            sizes = [(columns, width), (width, code), (code, width), (width, columns)]
            self.layers = kept([nn.Linear(*size, bias=bias) for size in sizes])

        def forward(self, x: Tensor) -> Any:
            return forward(x, self.mean, self.std, *self.layers)

    return Records


def _autoencoders(**steps: list[Step]) -> list[type[nn.Module]]:
    return [_autoencoder(changed) for changed in _RECORDS.each(**steps)]


def _records_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, columns: int, width: int, code: int, batch: int, constant: bool = False) -> Arguments:
        units = torch.linspace(0.3, 2.0, columns, dtype=torch.float64)
        records = units * normal(generator, n, columns) + torch.linspace(-1.0, 2.0, columns, dtype=torch.float64)
        if constant:
            records[:, -1] = 0.7
        return records, width, code, records[:batch] + 0.1 * normal(generator, batch, columns)

    return [case(8, 4, 6, 2, 3), case(5, 3, 4, 1, 5), case(30, 6, 5, 3, 1), case(6, 3, 7, 2, 4, constant=True)]


StandardizingAutoencoder = Exercise(
    "StandardizingAutoencoder",
    _autoencoder(),
    _records_cases,
    wrong(
        "the reconstruction is in standard units: times the standard deviations, plus the means, it has the records' units again",
        *_autoencoders(back=[lambda out: out]),
        "the means are not added back",
        *_autoencoders(back=[lambda out, std: out * std]),
        "the means were added before the standard deviations were multiplied: undo the last step first",
        *_autoencoders(back=[lambda out, mean, std: (out + mean) * std]),
        "the standard deviations are not multiplied back",
        *_autoencoders(back=[lambda out, mean: out + mean]),
        "the means are not subtracted from what goes in",
        *_autoencoders(scaled=[lambda x, std: x / std]),
        "what goes in is not divided by the standard deviations",
        *_autoencoders(scaled=[lambda x, mean: x - mean]),
        "what goes in is multiplied by the standard deviations: divide",
        *_autoencoders(scaled=[lambda x, mean, std: (x - mean) * std]),
        "what goes in is not standardized at all",
        *_autoencoders(scaled=[lambda x: x]),
        "neither on the way in nor on the way out are the records standardized",
        _autoencoder(_RECORDS.but(scaled=lambda x: x, back=lambda out: out)),
        "the mean and the standard deviation are those of all numbers together: every column has its own",
        _autoencoder(mean=lambda r: r.mean().expand(r.shape[1]), std=lambda r: r.std().expand(r.shape[1])),
        "you divided by the variance: divide by its root",
        _autoencoder(std=lambda r: torch.where(r.var(0) > 0, r.var(0), 1.0)),
        "the standard deviation divides by n here: torch.std divides by n − 1",
        _autoencoder(std=lambda r: torch.where(r.std(0, correction=0) > 0, r.std(0, correction=0), 1.0)),
        "the batch was standardized by its own mean and standard deviation: a record's reconstruction must not depend on what is beside it",
        _autoencoder(
            _RECORDS.but(
                scaled=lambda x: (x - x.mean(0)) / (x.std(0, correction=0) + 1e-8),
                back=lambda out, x: out * (x.std(0, correction=0) + 1e-8) + x.mean(0),
            )
        ),
        "a column that never changes has the standard deviation 0: divide it by 1",
        _autoencoder(std=lambda r: r.std(0)),
        "a column that never changes is divided by a tiny number, which makes the least difference huge: divide it by 1",
        *[_autoencoder(std=partial(_nearly_std, least=least)) for least in (1e-8, 1e-6)],
        *[_autoencoder(std=partial(_nearly_std, least=least, added=True)) for least in (1e-8, 1e-6)],
        "means and standard deviations are trained here: they are measured, so use self.register_buffer, not nn.Parameter",
        _autoencoder(stored="parameter"),
        _NO_BUFFER,
        _autoencoder(stored="attribute"),
        "SiLU is missing between the layers: without it the whole map is affine",
        _autoencoder(_RECORDS.but(hidden=lambda scaled, first: first(scaled), wide=lambda code, third: third(code))),
        "SiLU is missing in the encoder",
        *_autoencoders(hidden=[lambda scaled, first: first(scaled)]),
        "SiLU is missing in the decoder",
        *_autoencoders(wide=[lambda code, third: third(code)]),
        "an activation stands on the code: the code may take any value",
        *_autoencoders(code=[lambda hidden, second, f=f: f(second(hidden)) for f in (silu, torch.relu, torch.tanh)]),
        "an activation stands at the output: a standardized column takes any value",
        *_autoencoders(
            out=[lambda wide, last, f=f: f(last(wide)) for f in (silu, torch.relu, torch.sigmoid, torch.tanh)]
        ),
        "another activation stands where SiLU is asked for",
        *[
            _autoencoder(
                _RECORDS.but(
                    hidden=lambda scaled, first, f=f: f(first(scaled)), wide=lambda code, third, f=f: f(third(code))
                )
            )
            for f in (torch.relu, torch.tanh, torch.sigmoid)
        ],
        "the layers have no biases: nn.Linear has them unless told otherwise",
        _autoencoder(bias=False),
        LEFT_BEHIND,
        _autoencoder(kept=list),
    ),
    results=RESULTS,
    prepare=_of_module,
)


# 5. the standard error of the area

_error = Formula(
    "scores anomalous",
    apart=lambda scores, anomalous: scores[anomalous][:, None] - scores[~anomalous],
    won=lambda apart: (apart > 0).double() + 0.5 * (apart == 0).double(),
    m=lambda apart: apart.shape[0],
    k=lambda apart: apart.shape[1],
    area=lambda won: won.mean(),
    of_anomalies=lambda won: won.mean(1).var(),
    of_normal=lambda won: won.mean(0).var(),
    variance=lambda of_anomalies, of_normal, m, k: of_anomalies / m + of_normal / k,
    error=lambda variance: variance.sqrt(),
)
_MODEL = _error.but(
    variance=lambda area, m, k: (
        area * (1 - area) / (m * k) * (1 + (m - 1) * (1 - area) / (2 - area) + (k - 1) * area / (1 + area))
    )
)


def _error_cases(generator: Generator) -> list[Arguments]:
    def case(m: int, k: int, step: float, shift: float) -> Arguments:
        anomalous = torch.zeros(m + k, dtype=torch.bool)
        anomalous[torch.randperm(m + k, generator=generator)[:m]] = True
        scores = (normal(generator, m + k) + shift * anomalous).exp() - 0.5
        return ((scores / step).round() * step if step else scores), anomalous

    return [
        case(12, 9, 0, 0.8),
        case(8, 30, 0.5, 0.5),
        case(40, 7, 0.5, 1.0),
        case(2, 5, 1.0, 0.2),
        case(60, 90, 0, -0.5),
    ]


standard_error_of_area = Exercise(
    "standard_error_of_area",
    _error,
    _error_cases,
    wrong(
        "this takes the pairs for independent: pairs that share an example are not, so average within each example first",
        _error.but(variance=lambda area, m, k: area * (1 - area) / (m * k)),
        _error.but(variance=lambda won: won.var() / won.numel()),
        _error.but(variance=lambda won: won.var(correction=0) / won.numel()),
        "this is the error of a share of m examples, or of n: the area is a mean over pairs",
        _error.but(variance=lambda area, m: area * (1 - area) / m),
        _error.but(variance=lambda area, k: area * (1 - area) / k),
        _error.but(variance=lambda area, m, k: area * (1 - area) / (m + k)),
        "this is the lecture's formula, which supposes exponential scores: here the shares are counted",
        _MODEL,
        "this is the variance: return its root",
        _error.but(error=lambda variance: variance),
        "the variances of the shares are not divided by how many shares were averaged: that is the variance of a mean",
        _error.but(variance=lambda of_anomalies, of_normal: of_anomalies + of_normal),
        "both variances were divided by the number of all examples: each mean has its own number",
        _error.but(variance=lambda of_anomalies, of_normal, m, k: (of_anomalies + of_normal) / (m + k)),
        "m and the number of normal examples are exchanged: each variance is divided by how many shares it is the variance of",
        _error.but(variance=lambda of_anomalies, of_normal, m, k: of_anomalies / k + of_normal / m),
        "only the anomalies vary here: the normal examples were drawn as well",
        _error.but(variance=lambda of_anomalies, m: of_anomalies / m),
        "only the normal examples vary here: the anomalies were drawn as well",
        _error.but(variance=lambda of_normal, k: of_normal / k),
        "two standard errors were added: variances add up, so add before the root",
        _error.but(error=lambda of_anomalies, of_normal, m, k: (of_anomalies / m).sqrt() + (of_normal / k).sqrt()),
        "the variance divides by the number of shares less one: they vary around their own mean",
        _error.but(
            of_anomalies=lambda won: won.mean(1).var(correction=0), of_normal=lambda won: won.mean(0).var(correction=0)
        ),
        "ties were counted 0: a tie counts ½",
        _error.but(won=lambda apart: (apart > 0).double()),
        "ties were counted 1: a tie counts ½",
        _error.but(won=lambda apart: (apart >= 0).double()),
        "this is the half-width of an interval: return the standard error itself",
        _error.then(lambda error: 1.96 * error),
        "this is the spread of the scores' difference, not of the area: only who is higher counts",
        _error.but(variance=lambda scores, anomalous, m, k: scores[anomalous].var() / m + scores[~anomalous].var() / k),
        "the division by how many shares were averaged was done twice",
        _error.but(variance=lambda of_anomalies, of_normal, m, k: of_anomalies / m**2 + of_normal / k**2),
    ),
)
