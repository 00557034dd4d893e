"""The sheet on what else fails: intervals of shares, precision and recall, a price of noise, a bounded log σ, a few examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import LEFT_BEHIND, RESULTS, behaviour
from vae_course.exercises.parts import Formula, normal, uniform

# 1. Wilson's interval for the shares of classes

_SHARES = Formula(
    "counts z",
    n=lambda counts: counts.sum(),
    share=lambda counts, n: counts / n,
    shrink=lambda n, z: 1 + z**2 / n,
    centre=lambda share, n, z, shrink: (share + z**2 / (2 * n)) / shrink,
    under=lambda share, n, z: share * (1 - share) / n + z**2 / (4 * n**2),
    half=lambda under, z, shrink: z * under.sqrt() / shrink,
    ends=lambda centre, half: (centre - half, centre + half),
)


def _shares_cases(generator: Generator) -> list[Arguments]:
    def case(classes: int, most: int, z: float) -> Arguments:
        return torch.randint(most + 1, (classes,), generator=generator).double() + 1, z

    none, all_of_one = torch.tensor([0.0, 7.0, 5.0]).double(), torch.tensor([9.0, 0.0]).double()
    return [case(10, 60, 3.29), case(4, 20, 1.96), (none, 2.5), (all_of_one, 1.5), case(3, 900, 0.7)]


_half, _centre, _under = (_SHARES.instead(step) for step in ("half", "centre", "under"))
share_intervals = Exercise(
    "share_intervals",
    _SHARES,
    _shares_cases,
    wrong(
        "this is the plain interval, share ± z √(share (1 − share) / n): it has no width for a class never drawn; divide and shift as Wilson",
        _SHARES.but(ends=lambda share, n, z: (share - z * (share * (1 - share) / n).sqrt(), share + z * (share * (1 - share) / n).sqrt())),
        "the middle is the share itself: Wilson's lies nearer to a half, (share + z²/2n) / (1 + z²/n)",
        *_centre(lambda share: share),
        "the middle is not divided by 1 + z²/n",
        *_centre(lambda share, n, z: share + z**2 / (2 * n)),
        "the middle has z²/n where z²/2n belongs: it goes towards a half, not towards 1",
        *_centre(lambda share, n, z, shrink: (share + z**2 / n) / shrink),
        "the half width is not divided by 1 + z²/n",
        *_half(lambda under, z: z * under.sqrt()),
        "the root is missing: the half width is a deviation, not a variance",
        *_half(lambda under, z, shrink: z * under / shrink),
        "z is missing before the root",
        *_half(lambda under, shrink: under.sqrt() / shrink),
        "z²/4n² is missing under the root: without it a class never drawn has an interval that ends too early",
        *_under(lambda share, n: share * (1 - share) / n),
        "under the root stands z²/4n: it is divided by n twice",
        *_under(lambda share, n, z: share * (1 - share) / n + z**2 / (4 * n)),
        "share (1 − share) is not divided by n",
        *_under(lambda share, n, z: share * (1 - share) + z**2 / (4 * n**2)),
        "1 − share is missing under the root",
        *_under(lambda share, n, z: share / n + z**2 / (4 * n**2)),
        "z is not squared in 1 + z²/n",
        _SHARES.but(shrink=lambda n, z: 1 + z / n),
        "n is the number of classes in your answer: it is the number of draws, the sum of the counts",
        _SHARES.but(n=lambda counts: torch.tensor(float(len(counts))).double(), share=lambda counts: counts / counts.sum()),
        "n is the count of the class in your answer: it is the number of all draws",
        _SHARES.but(n=lambda counts: counts.clamp(min=1), share=lambda counts: counts / counts.sum()),
        "you divided by the number of classes to get shares: divide by the number of draws",
        _SHARES.but(share=lambda counts: counts / len(counts) / counts.max()),
        "the ends are exchanged: the lower one first",
        _SHARES.then(lambda ends: ends[::-1]),
        "these are middle and half width: return the two ends",
        _SHARES.but(ends=lambda centre, half: (centre, half)),
        "these are numbers of draws: return shares",
        _SHARES.but(ends=lambda centre, half, n: ((centre - half) * n, (centre + half) * n)),
        "you clamped the ends, and by more than there is need for: Wilson's ends never leave [0, 1] as they are",
        _SHARES.then(lambda ends: tuple(end.clamp(0.05, 0.95) for end in ends)),
    ),
    results=("lower end", "upper end"),
)  # fmt: skip


# 2. precision and recall by k nearest neighbours

_REACH = Formula(
    "real made k",
    reach_real=lambda real, k: _reach(real, k),
    reach_made=lambda made, k: _reach(made, k),
    apart=lambda real, made: _apart(made, real),  # [made, real]
    precision=lambda apart, reach_real: (apart <= reach_real).any(1).double().mean(),
    recall=lambda apart, reach_made: (apart <= reach_made[:, None]).any(0).double().mean(),
    both=lambda precision, recall: (precision, recall),
)


def _apart(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, None] - b).square().sum(-1).sqrt()


def _reach(points: Tensor, k: int) -> Tensor:
    return _apart(points, points).sort(1).values[:, k]


def _reach_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, m: int, d: int, k: int, wide: float, away: float) -> Arguments:
        return normal(generator, n, d), away + normal(generator, m, d, scale=wide), k

    return [
        case(40, 30, 2, 3, 1.5, 0.5),
        case(25, 25, 3, 1, 0.5, 0.3),
        case(12, 50, 2, 5, 1.0, 1.0),
        case(60, 20, 4, 2, 1.2, 0.0),
        case(9, 9, 1, 3, 2.0, 1.0),
    ]


_scores = _REACH.instead("both")
precision_and_recall = Exercise(
    "precision_and_recall",
    _REACH,
    _reach_cases,
    wrong(
        "a point counts itself as its nearest neighbour: the k-th of the others is wanted, the (k + 1)-th of the sorted distances",
        _REACH.but(reach_real=lambda real, k: _reach(real, k - 1), reach_made=lambda made, k: _reach(made, k - 1)),
        "the reach goes one neighbour too far: the k-th of the others",
        _REACH.but(
            reach_real=lambda real, k: _reach(real, min(k + 1, len(real) - 1)),
            reach_made=lambda made, k: _reach(made, min(k + 1, len(made) - 1)),
        ),
        "precision and recall are exchanged: precision is the share of made points",
        *_scores(lambda precision, recall: (recall, precision)),
        "the reach belongs to the other point: a made point is covered if it lies within the reach of a *real* one",
        _REACH.but(precision=lambda apart, reach_made: (apart <= reach_made[:, None]).any(1).double().mean()),
        "the reach belongs to the other point: a real point is covered if it lies within the reach of a *made* one",
        _REACH.but(recall=lambda apart, reach_real: (apart <= reach_real).any(0).double().mean()),
        "both were judged by the reach of the point itself: it is the other set's points that have the reach",
        _REACH.but(
            precision=lambda apart, reach_made: (apart <= reach_made[:, None]).any(1).double().mean(),
            recall=lambda apart, reach_real: (apart <= reach_real).any(0).double().mean(),
        ),
        "a point must lie within the reach of one other point, not of all",
        _REACH.but(
            precision=lambda apart, reach_real: (apart <= reach_real).all(1).double().mean(),
            recall=lambda apart, reach_made: (apart <= reach_made[:, None]).all(0).double().mean(),
        ),
        "you counted pairs: a point that is within reach of many counts once",
        _REACH.but(
            precision=lambda apart, reach_real: (apart <= reach_real).double().mean(),
            recall=lambda apart, reach_made: (apart <= reach_made[:, None]).double().mean(),
        ),
        "the reach was taken across the two sets: it is the distance to a neighbour of the same set",
        _REACH.but(
            reach_real=lambda apart, k: apart.sort(0).values[min(k, len(apart)) - 1],
            reach_made=lambda apart, k: apart.sort(1).values[:, min(k, apart.shape[1]) - 1],
        ),
        "the reach is the mean of the distances to the k nearest: the k-th alone is wanted",
        _REACH.but(
            reach_real=lambda real, k: _apart(real, real).sort(1).values[:, 1 : k + 1].mean(1),
            reach_made=lambda made, k: _apart(made, made).sort(1).values[:, 1 : k + 1].mean(1),
        ),
        "all points have one reach in your answer, the mean: each has its own",
        _REACH.but(
            reach_real=lambda real, k: _reach(real, k).mean().expand(len(real)),
            reach_made=lambda made, k: _reach(made, k).mean().expand(len(made)),
        ),
        "distances were squared on one side only: compare like with like",
        _REACH.but(apart=lambda real, made: _apart(made, real).square()),
        "distances are sums of absolute differences in your answer: Euclidean ones are wanted",
        _REACH.but(
            apart=lambda real, made: (made[:, None] - real).abs().sum(-1),
            reach_real=lambda real, k: (real[:, None] - real).abs().sum(-1).sort(1).values[:, k],
            reach_made=lambda made, k: (made[:, None] - made).abs().sum(-1).sort(1).values[:, k],
        ),
        "these are numbers of points: return shares",
        *_scores(lambda precision, recall, real, made: (precision * len(made), recall * len(real))),
        "these are the shares that are not covered",
        *_scores(lambda precision, recall: (1 - precision, 1 - recall)),
    ),
    results=("precision", "recall"),
)


# 3. how much noise a model may hide

_NOISE = Formula(
    "log_good log_noise nats",
    kept=lambda nats: -torch.expm1(-torch.as_tensor(nats, dtype=torch.float64)),  # 1 − e^−c
    short=lambda log_good, log_noise: (log_noise - log_good).clamp(max=0),
    room=lambda short: torch.expm1(short).abs(),  # 1 − p_noise / p_good; 0 where noise is as good
    allowed=lambda kept, room: kept / room,
    share=lambda allowed: allowed.amin().clamp(max=1.0),
)


def _noise_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, ahead: float, spread: float, nats: float) -> Arguments:
        log_noise = -30 + 3 * normal(generator, batch)
        return log_noise + ahead + spread * uniform(generator, batch), log_noise, nats

    digits = -100 + 20 * normal(generator, 5), torch.full((5,), -543.4).double(), 4.6
    return [case(6, 0.5, 2.0, 0.3), case(4, 0.2, 0.3, 0.1), case(1, 1.0, 0.1, 0.5), digits, case(5, 0.01, 0.02, 0.5),
            case(7, -1.0, 3.0, 0.2)]  # fmt: skip


_allowed, _share = _NOISE.instead("allowed"), _NOISE.instead("share")
noise_allowed = Exercise(
    "noise_allowed",
    _NOISE,
    _noise_cases,
    wrong(
        "the noise's own probability is left out: at share λ an example keeps (1 − λ) p_good + λ p_noise, not the first alone",
        *_allowed(lambda kept, room: kept.expand_as(room)),
        "this is what is left of the good model, 1 − λ: return the share of noise",
        *_share(lambda allowed: 1 - allowed.amin().clamp(max=1.0)),
        "this is the share for the example that allows most: none may lose more, so take the least",
        *_share(lambda allowed: allowed.amax().clamp(max=1.0)),
        "this is a mean over the examples: none may lose more than the nats, so take the least",
        *_share(lambda allowed: allowed.clamp(max=1.0).mean()),
        "these are the shares of single examples: return the one share that all allow",
        *_share(lambda allowed: allowed.clamp(max=1.0)),
        "a share above 1 is none: where noise alone loses no more than the nats, all may be noise",
        *_share(lambda allowed: allowed.amin()),
        "you kept e^−nats of noise: that is what must be left of the good model",
        _NOISE.but(kept=lambda nats: torch.exp(-torch.as_tensor(nats, dtype=torch.float64))),
        "the sign of the nats is flipped: a loss of c nats leaves e^−c",
        _NOISE.but(kept=lambda nats: torch.expm1(torch.as_tensor(nats, dtype=torch.float64))),
        "nats were taken for the share: a loss of c nats leaves e^−c of the probability",
        _NOISE.but(kept=lambda nats: torch.as_tensor(nats, dtype=torch.float64)),
        "nats were taken for bits: the logarithms are natural",
        _NOISE.but(kept=lambda nats: 1 - torch.exp2(-torch.as_tensor(nats, dtype=torch.float64))),
        "you multiplied by 1 − p_noise / p_good: solve (1 − λ) + λ p_noise / p_good = e^−nats for λ",
        *_allowed(lambda kept, room: kept * room),
        "you divided by 1 + p_noise / p_good: solve (1 − λ) + λ p_noise / p_good = e^−nats for λ",
        *_allowed(lambda kept, short: kept / (1 + short.exp())),
        "p_noise / p_good was formed of log-probabilities by division: subtract them, then exp",
        _NOISE.but(short=lambda log_good, log_noise: (log_good / log_noise).log().clamp(max=0)),
    ),
)


# 4. a head whose log σ stays within bounds


_HEAD = Formula(
    "x layer low high",
    raw=lambda x, layer: layer(x),
    above=lambda raw, high: high - softplus(high - raw),
    log_std=lambda above, low: low + softplus(above - low),
)


def _head(output: Answer = _HEAD, kept: Any = nn.ModuleList, bias: bool = True, free: bool = False) -> type[nn.Module]:
    class Head(nn.Module):
        def __init__(self, features: int, latent: int, low: float, high: float) -> None:
            super().__init__()
            self.layers = kept([nn.Linear(features, latent, bias=bias)])
            self.low: Any = nn.Parameter(torch.tensor(low)) if free else low
            self.high = high

        def forward(self, x: Tensor) -> Any:
            return output(x, self.layers[0], self.low, self.high)

    return Head


def _head_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, features: int, latent: int, low: float, high: float, scale: float) -> Arguments:
        return features, latent, low, high, normal(generator, batch, features, scale=scale, gradient=True)

    return [case(8, 5, 3, -4.0, 1.0, 3.0), case(1, 4, 2, -1.0, 0.5, 1.0), case(6, 3, 4, -3.0, 2.0, 4.0), case(5, 6, 1, 0.5, 1.0, 2.0)]  # fmt: skip


_log_std, _above = _HEAD.instead("log_std"), _HEAD.instead("above")
BoundedHead = Exercise(
    "BoundedHead",
    _head(),
    _head_cases,
    wrong(
        "log σ is clamped: beyond a bound no gradient flows, and a σ that has left does not come back; use softplus",
        _head(_HEAD.but(above=lambda raw: raw, log_std=lambda above, low, high: above.clamp(low, high))),
        "the upper bound is clamped: softplus serves there as below",
        _head(_HEAD.but(above=lambda raw, high: raw.clamp(max=high))),
        "the lower bound is clamped: softplus serves there as above",
        _head(_HEAD.but(log_std=lambda above, low: above.clamp(min=low))),
        "the upper bound is missing: high − softplus(high − raw)",
        *map(_head, _above(lambda raw: raw)),
        "the lower bound is missing: low + softplus(… − low)",
        *map(_head, _log_std(lambda above: above)),
        "the bounds are laid on in the other order: first from above, then from below",
        _head(_HEAD.but(above=lambda raw, low: low + softplus(raw - low), log_std=lambda above, high: high - softplus(high - above))),
        "a sign is flipped inside the upper softplus: far below `high`, raw must come through as it is",
        *map(_head, _above(lambda raw, high: high - softplus(raw - high))),
        "a sign is flipped inside the lower softplus: far above `low`, the number must come through as it is",
        *map(_head, _log_std(lambda above, low: low + softplus(low - above))),
        "the lower softplus was subtracted: from below, low + softplus",
        *map(_head, _log_std(lambda above, low: low - softplus(above - low))),
        "the two bounds are exchanged",
        _head(_HEAD.but(above=lambda raw, low: low - softplus(low - raw), log_std=lambda above, high: high + softplus(above - high))),
        "a sigmoid lays log σ between the bounds: near the middle its slope is not 1; two softplus are asked for",
        _head(_HEAD.but(log_std=lambda raw, low, high: low + (high - low) * torch.sigmoid(raw))),
        "a tanh lays log σ between the bounds: two softplus are asked for",
        _head(_HEAD.but(log_std=lambda raw, low, high: low + (high - low) * (torch.tanh(raw) + 1) / 2)),
        "you returned σ: return log σ",
        _head(_HEAD.then(torch.exp)),
        "σ was bounded, and the bounds are for log σ",
        _head(_HEAD.but(raw=lambda x, layer: layer(x).exp())),
        "the bounds are trained: they are numbers that stay",
        _head(free=True),
        "the layer has no bias: nn.Linear as it is",
        _head(bias=False),
        "the numbers are right, but no gradient flows back to x: something was detached, or made anew from numbers",
        _head(_HEAD.given(x=torch.detach)),
        LEFT_BEHIND,
        _head(kept=list),
    ),
    results=RESULTS,
    prepare=behaviour(4),
)  # fmt: skip


# 5. how few examples decide a fall

_FEW = Formula(
    "bounds",
    best=lambda bounds: bounds.mean(1).argmax(),
    change=lambda bounds, best: bounds[-1] - bounds[best],  # [n]
    order=lambda change: change.sort().values,  # those that lost most first
    left=lambda order: order.flip(0).cumsum(0).flip(0),  # [n]: the sum without the first 0, 1, … n − 1
    few=lambda left: (torch.cat([left, left.new_zeros(1)]) >= 0).int().argmax(),
)


def _few_cases(generator: Generator) -> list[Arguments]:
    def case(epochs: int, n: int, ill: int, depth: float, turn: int) -> Arguments:
        """All rise from epoch to epoch; after the turn, `ill` of them fall, by amounts of their own."""
        rise = (0.3 + uniform(generator, epochs, n)).cumsum(0) + 0.8 * normal(generator, epochs, n)
        fall = torch.zeros(epochs, n).double()
        who = torch.randperm(n, generator=generator)[:ill]
        amounts = depth * (0.5 + uniform(generator, ill))
        fall[:, who] = amounts * (torch.arange(epochs) - turn).clamp(min=0).double()[:, None]
        return (-100 + 5 * normal(generator, n) + rise - fall,)

    healthy = case(5, 8, 1, 0.0, 0)
    late = (torch.tensor([[0.0, 0, 0], [5, 5, 5], [-30, 6, 6], [-29.5, 6.2, 6.2]]).double(),)
    all_fall = (torch.tensor([[1.0, 3.0], [0.0, 2.5], [-1.0, 2.0]]).double(),)
    return [case(8, 40, 4, 20.0, 3), case(6, 12, 5, 6.0, 2), case(9, 30, 1, 90.0, 4), healthy, all_fall, late, case(4, 1, 1, 9.0, 1),
            case(7, 25, 9, 8.0, 1)]  # fmt: skip


_fewest, _change, _order = (_FEW.instead(step) for step in ("few", "change", "order"))


def _count(which: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda change: which(change).sum()


decided_by = Exercise(
    "decided_by",
    _FEW,
    _few_cases,
    wrong(
        "you counted all examples that lost: fewer may be enough, since others gained",
        _FEW.but(few=_count(lambda change: change < 0)),
        "the examples that gained most were left out first: leave out those that lost most",
        *_order(lambda change: change.sort(descending=True).values),
        "the examples were left out in the order in which they stand: begin with the one that lost most",
        *_order(lambda change: change),
        "the losses were measured from the first epoch: from the epoch whose mean is highest",
        *_change(lambda bounds: bounds[-1] - bounds[0]),
        "the losses were measured from each example's own best epoch: the epoch whose *mean* is highest serves for all",
        *_change(lambda bounds: bounds[-1] - bounds.amax(0)),
        "the losses were measured from the epoch with the best median: the mean is asked for",
        _FEW.but(best=lambda bounds: bounds.quantile(0.5, 1).argmax()),
        "the losses were measured from the last epoch but one",
        *_change(lambda bounds: bounds[-1] - bounds[-2]),
        "a sign is flipped: the change is the last epoch's bound minus the best one's",
        *_change(lambda bounds, best: bounds[best] - bounds[-1]),
        "this is the number of examples that are left: return how many are left out",
        _FEW.but(few=lambda left: len(left) - (torch.cat([left, left.new_zeros(1)]) >= 0).int().argmax()),
        "this is a share: return the number of examples",
        _FEW.then(lambda few: few.double()),
        "one example more than needed: a sum of 0 or more is no fall",
        *_fewest(lambda left: (torch.cat([left, left.new_zeros(1)]) >= 0).int().argmax() + 1),
        "one example too few: the rest must not fall",
        *_fewest(lambda left: ((torch.cat([left, left.new_zeros(1)]) >= 0).int().argmax() - 1).clamp(min=0)),
        "this is the epoch with the highest mean: it is only the start of the way",
        *_fewest(lambda best: best),
    ),
    results=("number of examples",),
)
