"""The sheet on tighter bounds: effective draws, the importance-weighted bound, its gap, the variance of weights, its gradients."""

from __future__ import annotations

from functools import partial
from math import log, log2

import torch
from torch import Generator, Tensor

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, named, normal, uniform
from vae_course.exercises.slips import SMALL


def _reduced(bound: Formula) -> list[str | Answer]:
    """What may be done to a bound that is right."""
    minus = "this is minus the bound, a loss: return the bound itself"
    mean, total = (f"you {did} over the batch: return one number per example" for did in ("averaged", "summed"))
    return [minus, bound.then(torch.neg), mean, bound.then(torch.mean), total, bound.then(torch.sum)]


def _badly_scaled(formula: Formula) -> list[str | Answer]:
    """What goes wrong on the way from log weights to weights, for a result that is a ratio."""
    return [
        "exp overflows or underflows for weights far from 1: subtract the largest log weight first, it cancels in the ratio",
        formula.but(w=lambda log_weights: log_weights.exp()),
        "you subtracted the largest log weight of the whole batch: examples differ, subtract each one's own, max over axis 0",
        formula.but(w=lambda log_weights: (log_weights - log_weights.max()).exp()),
    ]


# 1. how many equal weights the weights are worth

_EFFECTIVE = Formula(
    "log_weights",
    w=lambda log_weights: (log_weights - log_weights.amax(0)).exp(),  # the largest is 1
    above=lambda w: w.sum(0).square(),
    below=lambda w: w.square().sum(0),
    number=lambda above, below: above / below,
)


def _entropy(share: Tensor) -> Tensor:
    return -torch.xlogy(share, share).sum(0)


def _effective_draws_cases(generator: Generator) -> list[Arguments]:
    apart = torch.tensor([0.0, -2000.0, 1500.0, 20.0], dtype=torch.float64)
    shapes = (7, 3, 0), (3, 5, 0), (5, 1, 0), (6, 2, -900), (6, 2, 900), (4, 3, apart[:3]), (4, 2, apart[:, None])
    drawn = [(normal(generator, n, batch, scale=1.5) + at,) for n, batch, at in shapes]
    return [*drawn, (torch.full((4, 2), -3.0, dtype=torch.float64),), (normal(generator, 1, 3),)]


effective_draws = Exercise(
    "effective_draws",
    _EFFECTIVE,
    _effective_draws_cases,
    wrong(
        *_badly_scaled(_EFFECTIVE),
        "you subtracted the mean log weight: a draw far above it still overflows, subtract the largest",
        _EFFECTIVE.but(w=lambda log_weights: (log_weights - log_weights.mean(0)).exp()),
        "the draws run along axis 0: you took the weights of one draw over the examples",
        _EFFECTIVE.but(number=lambda log_weights: 1 / log_weights.softmax(1).square().sum(0)),
        _EFFECTIVE.but(w=lambda log_weights: (log_weights - log_weights.amax(1, keepdim=True)).exp()),
        "this is Σ w̃², one over the effective number: equal weights must give the number of draws",
        _EFFECTIVE.but(number=lambda above, below: below / above),
        "the sum is not squared: the ratio must not change when all weights are multiplied by a constant",
        _EFFECTIVE.but(above=lambda w: w.sum(0)),
        "the weights below are not squared, or you divided by the largest weight alone: below stands Σ w²",
        _EFFECTIVE.but(below=lambda w: w.sum(0)),
        "you squared the sum below as well: there the squares are summed",
        _EFFECTIVE.but(below=lambda w: w.sum(0).square()),
        "you took the mean above: (Σ w)² is the square of the sum",
        _EFFECTIVE.but(above=lambda w: w.mean(0).square()),
        "you took means above and below, which loses a factor n: this is the share of draws that count, not their number",
        _EFFECTIVE.but(above=lambda w: w.mean(0).square(), below=lambda w: w.square().mean(0)),
        "you used the mean square below: Σ w² is a sum",
        _EFFECTIVE.but(below=lambda w: w.square().mean(0)),
        "you took the root of Σ w²: it stands below as it is",
        _EFFECTIVE.but(below=lambda w: w.square().sum(0).sqrt()),
        "you used the log weights where the weights belong",
        _EFFECTIVE.but(w=lambda log_weights: log_weights),
        "you took the weights' signs turned: exp(−log w) gives the worst draw the most weight",
        _EFFECTIVE.but(w=lambda log_weights: (log_weights.amin(0) - log_weights).exp()),
        "this is exp of the entropy of the normalised weights, another effective number: here it is (Σ w)² / Σ w²",
        _EFFECTIVE.but(number=lambda log_weights: _entropy(log_weights.softmax(0)).exp()),
        "this is the entropy of the normalised weights: here it is (Σ w)² / Σ w²",
        _EFFECTIVE.but(number=lambda log_weights: _entropy(log_weights.softmax(0))),
        "with logsumexp: 2 logsumexp(log w) − logsumexp(2 log w); the 2 within the second is missing",
        _EFFECTIVE.but(number=lambda log_weights: log_weights.logsumexp(0).exp()),
        "this is the logarithm of the effective number: take exp",
        _EFFECTIVE.but(number=lambda above, below: (above / below).log()),
        "you used the variance with n − 1: n / (1 + Var(w) / mean²) is the effective number with the variance over n",
        _EFFECTIVE.but(
            number=lambda w: len(w) / (1 + (w - w.mean(0)).square().sum(0) / max(len(w) - 1, 1) / w.mean(0) ** 2)
        ),
        _EFFECTIVE.but(number=lambda w: len(w) / (1 + w.var(0) / w.mean(0) ** 2)),
        "you rounded: the effective number is whole for equal weights only",
        _EFFECTIVE.but(number=lambda above, below: (above / below).round()),
        "you summed over the whole batch: each example has its own weights",
        _EFFECTIVE.but(above=lambda w: w.sum().square(), below=lambda w: w.square().sum()),
        "you averaged over the batch: return one number per example",
        _EFFECTIVE.then(torch.mean),
        "the axis that was summed is still there: sum without keepdim=True",
        _EFFECTIVE.then(lambda number: number[None]),
    ),
)


# 2. the importance-weighted bound from groups of k draws

_IWAE = Formula(
    "log_joint log_q k",
    log_w=lambda log_joint, log_q: log_joint - log_q,
    groups=lambda log_w, k: log_w.reshape(-1, k, log_w.shape[1]),  # [groups, k, batch]
    total=lambda groups: groups.logsumexp(1),
    logs=lambda total, k: total - log(k),
    bound=lambda logs: logs.mean(0),
)


def _iwae_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, k: int, at: float | Tensor = 0.0) -> Arguments:
        log_q = normal(generator, samples, batch)
        return (log_q + normal(generator, samples, batch, scale=2.0) + at).requires_grad_(), log_q.requires_grad_(), k

    # examples of very different sizes, and draws
    apart = torch.tensor([0.0, -2000.0, 1500.0, 20.0], dtype=torch.float64)
    extreme = case(8, 2, 4, -900.0), case(6, 2, 3, 900.0), case(6, 3, 2, apart[:3]), case(4, 1, 2, apart[:, None])
    return [case(12, 4, 3), case(5, 2, 5), case(6, 1, 2), case(4, 3, 1), *extreme]


_CLAMPS = (10, 20, 30, 50, 60, 80, 88, 100, 500, 700)


def _log_mean(log_w: Tensor, small: float = 0.0) -> Tensor:
    """The log of the mean weight of a group by exp and log, with a constant added."""
    return (log_w.exp().mean(1) + small).log()


iwae_bound = Exercise(
    "iwae_bound",
    _IWAE,
    _iwae_cases,
    wrong(
        "you took the log of the mean weight over all draws: that is the bound of k = samples; average the logs of the groups",
        _IWAE.but(bound=lambda log_w: log_w.logsumexp(0) - log(len(log_w))),
        "you summed the weights of all draws and divided by k: sum within each group of k, then average the logs of the groups",
        _IWAE.but(bound=lambda log_w, k: log_w.logsumexp(0) - log(k)),
        "this is the mean of the log weights, the ELBO or k = 1: within a group take the log of the mean weight",
        _IWAE.but(bound=lambda log_w: log_w.mean(0)),
        "− log k is missing: this is the log of the sum of k weights, not of their mean",
        _IWAE.but(logs=lambda total: total),
        "you added log k: dividing by k subtracts it",
        _IWAE.but(logs=lambda total, k: total + log(k)),
        "you subtracted log k twice: a mean has divided by k already",
        _IWAE.but(logs=lambda total, k: total - 2 * log(k)),
        "you subtracted the log of the number of all draws: a group has k",
        _IWAE.but(logs=lambda total, log_w: total - log(len(log_w))),
        "you subtracted the log of the number of groups: the mean within a group divides by k",
        _IWAE.but(logs=lambda total, groups: total - log(len(groups))),
        "you subtracted the log of the number of examples: the mean within a group divides by k",
        _IWAE.but(logs=lambda total: total - log(total.shape[-1])),
        "you subtracted the logarithm to base 2: all logarithms here are natural",
        _IWAE.but(logs=lambda total, k: total - log2(k)),
        "divide the sum by k inside the logarithm: subtract log k instead of dividing by k",
        _IWAE.but(logs=lambda total, k: total / k),
        "Σ w̃ log w is not a bound: it is a mean of log w under normalised weights; take the log of the mean of w",
        _IWAE.but(logs=lambda groups: (groups.softmax(1) * groups).sum(1)),
        "Σ w̃ log w is not a bound, and you divided it by k too: take the log of the mean of w",
        _IWAE.but(logs=lambda groups: (groups.softmax(1) * groups).mean(1)),
        "softmax of the losses, −log w, gives the worst draw the most weight; and Σ w̃ log w is not a bound",
        _IWAE.but(logs=lambda groups: ((-groups).softmax(1) * groups).sum(1)),
        "you averaged log w with softmax weights over all draws: take the log of the mean weight within each group of k",
        _IWAE.but(bound=lambda log_w: (log_w.softmax(0) * log_w).sum(0)),
        "log q(z|x) has the wrong sign: the weight is p(x, z) / q(z|x)",
        _IWAE.given(log_q=torch.neg),
        "the weight is upside down: it is p(x, z) / q(z|x)",
        _IWAE.but(log_w=lambda log_joint, log_q: log_q - log_joint),
        "you divided the logarithms: log w is log p(x, z) − log q(z|x)",
        _IWAE.but(log_w=lambda log_joint, log_q: log_joint / log_q),
        "the sign is flipped inside the exponential: you used the loss where log w belongs, so the worst draw counts most",
        _IWAE.but(log_w=lambda log_joint, log_q: log_q - log_joint, bound=lambda logs: -logs.mean(0)),
        "log q(z|x) is missing: the weight is p(x, z) / q(z|x)",
        _IWAE.given(log_q=torch.zeros_like),
        "this is a ratio of means, Σ p(x, z) / Σ q(z|x): divide draw by draw, then average",
        lambda log_joint, log_q, k: _IWAE(log_joint, 0 * log_q, k) - _IWAE(log_q, 0 * log_q, k),
        "your groups take every (samples/k)-th row: k consecutive rows form a group, so reshape to [groups, k, batch]",
        _IWAE.but(groups=lambda log_w, k: log_w.unflatten(0, (k, -1)).transpose(0, 1)),
        "you made k groups of samples/k rows (chunk does that): make groups of k rows, as split does",
        _IWAE.but(groups=lambda log_w, k: log_w.unflatten(0, (k, -1))),
        "you made k groups and took the mean of the samples/k weights in each: a group holds k",
        lambda log_joint, log_q, k: _IWAE(log_joint, log_q, len(log_q) // k),
        "your groups take every (samples/k)-th row, and you divided by the number of groups: k consecutive rows form a group",
        _IWAE.but(logs=lambda log_w, k: log_w.unflatten(0, (k, -1)).logsumexp(0) - log(len(log_w) // k)),
        "the reshape to [groups, batch, k] mixes the examples: the draws run slowest, so the shape is [groups, k, batch]",
        _IWAE.but(groups=lambda log_w, k: log_w.reshape(-1, log_w.shape[1], k).transpose(1, 2)),
        "the reshape to [batch, groups, k] mixes the examples: transpose first, or reshape to [groups, k, batch]",
        _IWAE.but(groups=lambda log_w, k: log_w.reshape(log_w.shape[1], -1, k).permute(1, 2, 0)),
        "the log weights were transposed, and reshaped as if they were not: in [samples, batch] reshape gives [groups, k, batch]",
        _IWAE.but(groups=lambda log_w, k: log_w.T.reshape(-1, k, log_w.shape[1])),
        "your groups overlap: each row belongs to one group, so start a new one every k rows",
        _IWAE.but(groups=lambda log_w, k: log_w.unfold(0, k, 1).transpose(1, 2)),
        "exp overflows or underflows for weights far from 1: subtract the largest first, or use logsumexp",
        _IWAE.but(logs=lambda groups: _log_mean(groups)),
        "a small constant inside the logarithm hides the underflow and exp still overflows: subtract the largest first, or use logsumexp",
        *(_IWAE.but(logs=named(lambda groups, s=s: _log_mean(groups, s), "groups")) for s in SMALL),
        "clamping the log weights changes them, and the bound with them: subtract the largest first, or use logsumexp",
        *(_IWAE.but(logs=named(lambda groups, c=c: _log_mean(groups.clamp(-c, c)), "groups")) for c in _CLAMPS),
        *(_IWAE.but(logs=named(lambda groups, c=c: _log_mean(groups.clamp(max=c)), "groups")) for c in _CLAMPS),
        "you subtracted the largest log weight of all: examples and groups differ, subtract the largest of each group",
        _IWAE.but(logs=lambda groups: groups.max() + _log_mean(groups - groups.max())),
        "you subtracted the largest log weight of an example's draws: a group without it underflows, subtract each group's own",
        _IWAE.but(logs=lambda groups: groups.amax((0, 1)) + _log_mean(groups - groups.amax((0, 1)))),
        "the largest log weight was subtracted and not added back: add it to the log of the mean",
        _IWAE.but(logs=lambda groups: _log_mean(groups - groups.amax(1, keepdim=True))),
        "the largest log weight belongs outside the logarithm: add it to the log of the mean",
        _IWAE.but(logs=lambda groups: (groups.amax(1) + (groups - groups.amax(1, keepdim=True)).exp().mean(1)).log()),
        "the two means are exchanged: the log of the mean weight is within a group, the mean of the logs over the groups",
        _IWAE.but(bound=lambda groups: groups.mean(1).logsumexp(0) - log(len(groups))),
        "you summed over the groups: average them",
        _IWAE.but(bound=lambda logs: logs.sum(0)),
        "you divided the sum over the groups by k: there are samples/k groups",
        _IWAE.but(bound=lambda logs, k: logs.sum(0) / k),
        "you summed over the groups, and subtracted log k once: take log k from each group, and average the groups",
        _IWAE.but(bound=lambda total, k: total.sum(0) - log(k)),
        "the two axes are exchanged: in [groups, k, batch] logsumexp runs over axis 1, the mean over axis 0",
        _IWAE.but(total=lambda groups: groups.logsumexp(0)),
        "logsumexp ran over the examples: in [groups, k, batch] it runs over axis 1",
        _IWAE.but(total=lambda groups: groups.logsumexp(2)),
        "you averaged over the examples: in [groups, batch] the mean runs over the groups, axis 0",
        _IWAE.but(bound=lambda logs: logs.mean(1)),
        "this is the log of the mean weight over all draws, with an exp that overflows: take logsumexp within each group of k",
        _IWAE.but(bound=lambda log_w: log_w.exp().mean(0).log()),
        "you used the first group only: average over all groups",
        _IWAE.but(bound=lambda logs: logs[0]),
        "the last group is missing: a loop over range(0, len(log_w), k) reaches it, one to len(log_w) - k does not",
        _IWAE.but(groups=lambda log_w, k: torch.stack(log_w.split(k)[:-1])),
        "this is the largest log weight of each group; all k draws count",
        _IWAE.but(logs=lambda groups: groups.amax(1)),
        "you did not average over the groups",
        _IWAE.but(bound=lambda logs: logs),
        "the axis that was reduced is still there: reduce without keepdim=True, or take it away",
        _IWAE.but(bound=lambda logs: logs.mean(0, keepdim=True)),
        _IWAE.but(logs=lambda groups: _log_mean(groups - groups.amax(1, keepdim=True)) + groups.amax(1, keepdim=True)),
        *_reduced(_IWAE),
    ),
)


# 3. the leading term of the gap of the importance-weighted bound

_PREDICTED = Formula(
    "log_weights k",
    w=lambda log_weights: (log_weights - log_weights.amax(0)).exp(),  # the largest is 1
    above=lambda w: w.var(0),
    below=lambda w: w.mean(0).square(),
    log_mean=lambda log_weights: log_weights.logsumexp(0) - log(len(log_weights)),
    gap=lambda above, below, k: above / below / (2 * k),
)


def _predicted_gap_cases(generator: Generator) -> list[Arguments]:
    apart = torch.tensor([0.0, -2000.0, 1500.0, 0.0, 20.0], dtype=torch.float64)
    shapes = (7, 3, 4, 0), (2, 1, 1, 0), (10, 2, 10, 0), (6, 2, 3, -900), (6, 2, 2, 900), (4, 3, 5, apart[:3])
    log_weights = [
        (normal(generator, n, batch, scale=1.5) + at, k) for n, batch, k, at in (*shapes, (5, 2, 2, apart[:, None]))
    ]
    return [*log_weights, (torch.full((4, 2), -3.0, dtype=torch.float64), 2)]  # q is the posterior: no variance, no gap


predicted_gap = Exercise(
    "predicted_gap",
    _PREDICTED,
    _predicted_gap_cases,
    wrong(
        *_badly_scaled(_PREDICTED),
        "you subtracted less than the largest log weight, such as the mean or the first: a draw far above still overflows",
        _PREDICTED.but(w=lambda log_weights: (log_weights - log_weights.mean(0)).exp()),
        "you subtracted the largest log weight of each row, over the examples: the draws run along axis 0, max over that one",
        _PREDICTED.but(w=lambda log_weights: (log_weights - log_weights.amax(1, keepdim=True)).exp()),
        "you divided by the largest weight after exp, which had overflowed: subtract each example's largest log weight before exp",
        _PREDICTED.but(w=lambda log_weights: log_weights.exp() / log_weights.exp().max()),
        "the variance is that of scaled weights, the mean is not: both must be of the same weights, for the scale to cancel",
        _PREDICTED.but(below=lambda log_weights: (2 * (log_weights.logsumexp(0) - log(len(log_weights)))).exp()),
        "this is the variance of log w: the formula has that of the weights w themselves, relative to their squared mean",
        _PREDICTED.but(gap=lambda log_weights, k: log_weights.var(0) / (2 * k)),
        "you used the log weights: the variance and the mean are those of the weights w",
        _PREDICTED.but(w=lambda log_weights: log_weights),
        "the 2 is missing: the second-order term of the logarithm has ½",
        _PREDICTED.but(gap=lambda above, below, k: above / below / k),
        "k is missing: the mean of k weights has a variance k times smaller",
        _PREDICTED.but(gap=lambda above, below: above / below / 2),
        "/ 2 * k multiplies by k: write / (2 * k)",
        _PREDICTED.but(gap=lambda above, below, k: above / below / 2 * k),
        "you divided by k²: the variance of a mean of k weights is Var(w) / k",
        _PREDICTED.but(gap=lambda above, below, k: above / below / (2 * k**2)),
        "you squared 2k as well: only the mean weight, p(x), is squared",
        _PREDICTED.but(gap=lambda above, below, k: above / below / (2 * k) ** 2),
        "you divided by the number of samples: k is the number of draws in the bound, another number",
        _PREDICTED.but(gap=lambda above, below, w: above / below / (2 * len(w))),
        "p(x)² is missing: only the variance relative to the squared mean weight counts (and exp overflows here)",
        _PREDICTED.but(w=lambda log_weights: log_weights.exp(), below=lambda: 1.0),
        "you scaled the weights by the largest and did not divide by their squared mean: p(x)² takes the scale out again",
        _PREDICTED.but(below=lambda: 1.0),
        "the mean weight is not squared: Var(w) / p(x)² has no unit",
        _PREDICTED.but(below=lambda w: w.mean(0)),
        "you squared the variance too: in Var(w) / p(x)² only the mean is squared",
        _PREDICTED.but(above=lambda w: w.var(0).square()),
        "you divided by the mean of w²: p(x)² is the square of the mean",
        _PREDICTED.but(below=lambda w: w.square().mean(0)),
        "you divided by the squared sum of the weights, as softmax does: p(x) is their mean, a factor n² away",
        _PREDICTED.but(below=lambda w: w.sum(0).square()),
        "this is the mean of w²: the variance subtracts the squared mean, and equal weights have no gap",
        _PREDICTED.but(above=lambda w: w.square().mean(0)),
        "this holds Σ w̃², one over the effective sample size: the variance of w / p(x) is n Σ w̃² − 1, up to n / (n − 1)",
        _PREDICTED.but(above=lambda w: w.square().sum(0), below=lambda w: w.sum(0).square()),
        "you divided by n in the variance: the unbiased sample variance divides by n − 1",
        _PREDICTED.but(above=lambda w: w.var(0, correction=0)),
        "the variance is a sum of squares here: divide it by n − 1",
        _PREDICTED.but(above=lambda w: (w - w.mean(0)).square().sum(0)),
        "you took the standard deviation: the gap goes with the variance",
        _PREDICTED.but(above=lambda w: w.std(0), below=lambda w: w.mean(0)),
        "you divided the standard deviation by the squared mean: the variance stands above",
        _PREDICTED.but(above=lambda w: w.std(0)),
        "this is the standard error of log p(x) with k draws, its scatter: the gap is its mean shortfall, half the square of that",
        _PREDICTED.but(gap=lambda above, below, k: (above / below / k).sqrt()),
        "this is the gap of the ELBO divided by k: the leading term comes from the variance of the weights",
        _PREDICTED.but(gap=lambda log_mean, log_weights, k: (log_mean - log_weights.mean(0)) / k),
        "this is the gap of the ELBO as the samples show it, k = 1: predict that of k draws from the variance of the weights",
        _PREDICTED.but(gap=lambda log_mean, log_weights: log_mean - log_weights.mean(0)),
        "the sign is flipped: log p(x) − 𝓛_k is not negative",
        _PREDICTED.then(torch.neg),
        "this is the predicted bound, log p(x) minus the gap: return the gap",
        _PREDICTED.but(gap=lambda log_mean, above, below, k: log_mean - above / below / (2 * k)),
        "you reduced over the examples: the draws run along axis 0",
        _PREDICTED.but(
            above=lambda w: (w.T - w.mean(1)).square().sum(0) / (w.shape[1] - 1), below=lambda w: w.mean(1) ** 2
        ),
        "you reduced over the whole batch: each example has its own variance and mean",
        _PREDICTED.but(above=lambda w: w.var(), below=lambda w: w.mean().square()),
        *[_PREDICTED.but(below=lambda w: w.mean().square()), _PREDICTED.but(above=lambda w: w.var())],
        "only the first k samples were used: k is the number of draws in the bound, and every sample tells of the variance",
        _PREDICTED.but(w=lambda log_weights, k: (log_weights[:k] - log_weights[:k].amax(0)).exp()),
        "you averaged over the batch: return one number per example",
        _PREDICTED.then(torch.mean),
    ),
)


# 4. Var(w) / p(x)² for normals with different means

_VARIANCE = Formula(
    "mean_p std_p mean_q std_q",
    rest=lambda std_p, std_q: 2 * std_q**2 - std_p**2,
    exponent=lambda mean_p, mean_q, rest: (mean_p - mean_q) ** 2 / rest,
    factor=lambda std_p, std_q, rest: std_q**2 / (std_p * rest.sqrt()),
    square=lambda factor, exponent: factor * exponent.exp(),
    relative=lambda square: square - 1,
    guarded=lambda relative, rest: relative.where(rest > 0, torch.full_like(rest, torch.inf)),
)


def _relative_variance_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, least: float, most: float) -> Arguments:
        mean_p, std_p = normal(generator, batch), 0.5 + uniform(generator, batch)
        wider = least + (most - least) * uniform(generator, batch)
        return mean_p, std_p, mean_p + 0.7 * normal(generator, batch), std_p * wider

    def of(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    same = normal(generator, 3), 0.5 + uniform(generator, 3)
    some_infinite = (of(0, 1, -1, 2), of(1, 1, 2, 2), of(0.5, 1, 0, 2), of(0.7, 1.5, 1.0, 1.0))
    edge = (of(0, 0), of(2.0, 2.0), of(0, 0), of(2.0**0.5 * 0.99, 2.0))  # 2 σ_q² a little below σ_p²
    return [case(4, 0.9, 2.0), case(1, 1.0, 3.0), case(5, 0.8, 1.2), (*same, *same), some_infinite, edge]


def _not_below(small: float, mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    """With 2σ_q² − σ_p² raised to a small number."""
    raised = _VARIANCE.but(
        rest=lambda std_p, std_q: (2 * std_q**2 - std_p**2).clamp(min=small), guarded=lambda relative: relative
    )
    return raised(mean_p, std_p, mean_q, std_q)  # type: ignore[no-any-return]


relative_variance = Exercise(
    "relative_variance",
    _VARIANCE,
    _relative_variance_cases,
    wrong(
        "where 2 σ_q² ≤ σ_p² the integral is infinite: return inf there, not the NaN of a root",
        _VARIANCE.but(guarded=lambda relative: relative),
        "where 2 σ_q² ≤ σ_p² the integral is infinite: return inf there, not what the formula gives with the sign taken away",
        _VARIANCE.but(
            factor=lambda std_p, std_q, rest: std_q**2 / (std_p * rest.abs().sqrt()), guarded=lambda relative: relative
        ),
        _VARIANCE.but(rest=lambda std_p, std_q: (2 * std_q**2 - std_p**2).abs(), guarded=lambda relative: relative),
        "where 2 σ_q² ≤ σ_p² the integral is infinite: return inf there, not what a least value of 2σ_q² − σ_p² gives",
        *[partial(_not_below, small) for small in SMALL],
        "where 2 σ_q² ≤ σ_p² the integral is infinite: return inf there, not 0",
        _VARIANCE.but(guarded=lambda relative, rest: relative.where(rest > 0, torch.zeros_like(rest))),
        "the variance is finite for some q narrower than the posterior too: the border is 2 σ_q² = σ_p²",
        _VARIANCE.but(
            guarded=lambda relative, std_p, std_q: relative.where(std_q > std_p, torch.full_like(std_p, torch.inf))
        ),
        "the border is 2 σ_q² = σ_p², between variances: you compared 2 σ_q with σ_p",
        _VARIANCE.but(
            guarded=lambda relative, std_p, std_q: relative.where(2 * std_q > std_p, torch.full_like(std_p, torch.inf))
        ),
        "this is ∫ p² / q, the mean of the square: subtract the square of the mean, 1",
        _VARIANCE.but(relative=lambda square: square),
        "this is ∫ p² / q + 1: subtract the square of the mean, 1",
        _VARIANCE.but(relative=lambda square: square + 1),
        "the posterior and q are exchanged: it is the posterior that is squared",
        lambda mean_p, std_p, mean_q, std_q: _VARIANCE(mean_q, std_q, mean_p, std_p),
        "the means are not used: a q beside the posterior has more variance",
        _VARIANCE.but(exponent=lambda rest: 0 * rest),
        "the exponent has the wrong sign: the further q lies from the posterior, the larger the variance",
        _VARIANCE.but(exponent=lambda mean_p, mean_q, rest: -((mean_p - mean_q) ** 2) / rest),
        "the exponent has no ½: completing the square, ½ (1/σ_q²) (2/σ_p²) / (2/σ_p² − 1/σ_q²) is 1 / (2σ_q² − σ_p²)",
        _VARIANCE.but(exponent=lambda mean_p, mean_q, rest: (mean_p - mean_q) ** 2 / (2 * rest)),
        "the exponent is twice too large: it is (μ_p − μ_q)² / (2σ_q² − σ_p²)",
        _VARIANCE.but(exponent=lambda mean_p, mean_q, rest: 2 * (mean_p - mean_q) ** 2 / rest),
        "the difference of the means is not squared",
        _VARIANCE.but(exponent=lambda mean_p, mean_q, rest: (mean_p - mean_q) / rest),
        "you divided the squared distance by σ_q², or by another variance: completing the square leaves 2σ_q² − σ_p²",
        _VARIANCE.but(exponent=lambda mean_p, mean_q, std_q: (mean_p - mean_q) ** 2 / std_q**2),
        _VARIANCE.but(exponent=lambda mean_p, mean_q, std_p: (mean_p - mean_q) ** 2 / std_p**2),
        _VARIANCE.but(exponent=lambda mean_p, mean_q, std_q: (mean_p - mean_q) ** 2 / (2 * std_q**2)),
        "exp is missing: the exponent was multiplied as it is",
        _VARIANCE.but(square=lambda factor, exponent: factor * exponent),
        "the exponent was added to the factor: the exponential of it multiplies",
        _VARIANCE.but(square=lambda factor, exponent: factor + exponent.exp()),
        "the factor before the exponential is missing: it holds the normalising constants and the integral's",
        _VARIANCE.but(factor=lambda rest: torch.ones_like(rest)),
        "the factor is upside down",
        _VARIANCE.but(factor=lambda std_p, std_q, rest: std_p * rest.sqrt() / std_q**2),
        "the root is missing: an integral over one dimension brings one root of 2σ_q² − σ_p²",
        _VARIANCE.but(factor=lambda std_p, std_q, rest: std_q**2 / (std_p * rest)),
        "σ_p is missing below: the posterior is squared, so that its constant 1/σ_p stands twice",
        _VARIANCE.but(factor=lambda std_q, rest: std_q**2 / rest.sqrt()),
        "σ_p stands squared below: the posterior's constant is 1/σ_p², and the integral brings one σ_p back",
        _VARIANCE.but(factor=lambda std_p, std_q, rest: std_q**2 / (std_p**2 * rest.sqrt())),
        "σ_q stands once above: one comes from the constant of q, one from the integral, so it is σ_q²",
        _VARIANCE.but(factor=lambda std_p, std_q, rest: std_q / (std_p * rest.sqrt())),
        "the posterior was not squared: ∫ p / q is wanted nowhere, ∫ p² / q is",
        _VARIANCE.but(rest=lambda std_p, std_q: std_q**2 - std_p**2),
        "2σ_q² − σ_p² is a difference of variances: you subtracted σ_p, or doubled σ_q inside the square",
        _VARIANCE.but(rest=lambda std_p, std_q: 2 * std_q**2 - std_p),
        _VARIANCE.but(rest=lambda std_p, std_q: 2 * std_q - std_p),
        _VARIANCE.but(rest=lambda std_p, std_q: (2 * std_q) ** 2 - std_p**2),
        "the 2 belongs to σ_q², not to σ_p²: in precisions it is 2/σ_p² − 1/σ_q²",
        _VARIANCE.but(rest=lambda std_p, std_q: 2 * std_p**2 - std_q**2),
        "std_p and std_q are standard deviations: you took them for variances",
        _VARIANCE.given(std_p=torch.sqrt, std_q=torch.sqrt),
        "this is the standard deviation of w / p(x): the variance is its square",
        _VARIANCE.then(torch.sqrt),
        "this is the divergence KL(q ‖ p(z|x)), another measure of how far q is",
        lambda mean_p, std_p, mean_q, std_q: (
            (std_p / std_q).log() + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5
        ),
        "you averaged over the batch: return one number per example",
        _VARIANCE.then(torch.mean),
    ),
)


# 5. one number with the bound for its value, and a gradient for θ and one for φ


def _moved(term: Tensor) -> Tensor:
    """0, with the gradient of the term."""
    return term - term.detach()


_DOUBLE = Formula(
    "log_w_model log_w_path",
    log_w=lambda log_w_model: log_w_model.detach(),
    share=lambda log_w: log_w.softmax(0),  # w̃
    value=lambda log_w: log_w.logsumexp(0) - log(len(log_w)),
    theta=lambda share: share,  # the factor of ∇ log w for θ
    phi=lambda share: share.square(),  # and that for φ
    model=lambda theta, log_w_model: (theta * log_w_model).sum(0),
    path=lambda phi, log_w_path: (phi * log_w_path).sum(0),
    result=lambda value, model, path: value + _moved(model) + _moved(path),
)
_theta, _phi, _of_path = _DOUBLE.instead("theta"), _DOUBLE.instead("phi"), _DOUBLE.instead("path")
_share, _result = _DOUBLE.instead("share"), _DOUBLE.instead("result")


def _double_cases(generator: Generator) -> list[Arguments]:
    apart = torch.tensor([0.0, -2000.0, 1500.0, 20.0], dtype=torch.float64)
    shapes = (
        (5, 3, 0),
        (4, 4, 0),
        (1, 3, 0),
        (6, 2, -900),
        (6, 2, 900),
        (2, 1, 0),
        (4, 3, apart[:3]),
        (4, 2, apart[:, None]),
    )
    drawn = [normal(generator, k, batch, scale=1.5) + at for k, batch, at in shapes]
    drawn.append(torch.full((4, 2), -3.0, dtype=torch.float64))
    return [(log_w.clone().requires_grad_(), log_w.clone().requires_grad_()) for log_w in drawn]


doubly_reparameterized = Exercise(
    "doubly_reparameterized",
    _DOUBLE,
    _double_cases,
    wrong(
        "the path has the weights w̃: the noisy term was cut out, and its mean not put back, which takes w̃²",
        *_phi(lambda share: share),
        "the model's part has the weights w̃²: nothing was cut out of the gradient in θ, its weights are w̃",
        *_theta(lambda share: share.square()),
        "the two weights are exchanged: w̃ for θ, w̃² for the path of φ",
        _DOUBLE.but(theta=lambda share: share.square(), phi=lambda share: share),
        "the weights of the model's part were not detached: their own gradient comes on top",
        *_theta(lambda log_w_model: log_w_model.softmax(0)),
        "the weights of the path were not detached: their own gradient comes on top",
        *_phi(lambda log_w_path: log_w_path.softmax(0).square()),
        *_phi(lambda log_w_model: log_w_model.softmax(0).square()),
        _DOUBLE.but(
            theta=lambda log_w_model: log_w_model.softmax(0), phi=lambda log_w_path: log_w_path.softmax(0).square()
        ),
        _DOUBLE.but(
            theta=lambda log_w_model: log_w_model.softmax(0), phi=lambda log_w_model: log_w_model.softmax(0).square()
        ),
        "the weights add up to 1 over the examples here: they do over the draws of one example, softmax(0)",
        *_share(lambda log_w: log_w.softmax(1)),
        *_phi(lambda log_w: log_w.softmax(1).square()),
        "the weights add up to 1 over the whole batch here: they do over the draws of one example, softmax(0)",
        *_share(lambda log_w: log_w.flatten().softmax(0).reshape(log_w.shape)),
        "all draws count alike here: that is the gradient of the ELBO, not of 𝓛_k",
        *_share(lambda log_w: torch.full_like(log_w, 1 / len(log_w))),
        *_theta(lambda share: torch.full_like(share, 1 / len(share))),
        "these are the weights w themselves, which overflow: w̃ = w / Σ w",
        *_share(lambda log_w: log_w.exp()),
        "you averaged over the draws: w̃ adds up to 1 already, so the terms are summed",
        _DOUBLE.but(
            model=lambda theta, log_w_model: (theta * log_w_model).mean(0),
            path=lambda phi, log_w_path: (phi * log_w_path).mean(0),
        ),
        *_of_path(lambda phi, log_w_path: (phi * log_w_path).mean(0)),
        "the squares were made to add up to 1: w̃² adds up to less, and that is right",
        *_phi(lambda log_w: (2 * log_w).softmax(0), lambda share: share / share.square().sum(0).sqrt()),
        "w̃ (1 − w̃) is what the cut term puts in: w̃ − w̃ (1 − w̃) = w̃² stays",
        *_phi(lambda share: share * (1 - share)),
        "the square is of the whole term, log w among it: only the weight is squared",
        *_of_path(lambda share, log_w_path: (share * log_w_path).square().sum(0)),
        "the square is of the sum: each weight is squared by itself",
        *_of_path(lambda share, log_w_path: (share * log_w_path).sum(0).square()),
        "the gradients are right, the value is not: it is the bound, log (1/k) Σ w; subtract each term's own value, t − t.detach()",
        *_result(lambda model, path: model + path, lambda value, model, path: value + model + path),
        *_result(lambda value, model, path: value + _moved(model) + path),
        *_result(lambda value, model, path: value + model + _moved(path)),
        "the value is the self-normalised average, which is no bound: it is log (1/k) Σ w",
        *_result(lambda model, path: model + _moved(path)),
        "the value is the mean of log w, the ELBO's estimate: it is log (1/k) Σ w",
        *_result(lambda log_w, model, path: log_w.mean(0) + _moved(model) + _moved(path)),
        "log k is missing: the value is the log of the mean weight",
        *_result(lambda log_w, model, path: log_w.logsumexp(0) + _moved(model) + _moved(path)),
        "exp overflows or underflows on the way to the value: use logsumexp",
        _DOUBLE.but(value=lambda log_w: log_w.exp().mean(0).log()),
        "the value's own gradient, w̃, comes on top in θ: detach it, or leave the model's part to it",
        _DOUBLE.but(log_w=lambda log_w_model: log_w_model, share=lambda log_w: log_w.detach().softmax(0)),
        "the value's own gradient, w̃, comes on top in φ: compute it from log_w_model, or detach it",
        _DOUBLE.but(log_w=lambda log_w_path: log_w_path, share=lambda log_w: log_w.detach().softmax(0)),
        "no gradient reaches log_w_path: the path of φ is missing",
        *_result(lambda value, model: value + _moved(model)),
        "no gradient reaches log_w_model: the part of θ is missing",
        *_result(lambda value, path: value + _moved(path)),
        "the value is right, but no gradient reaches either argument: detach the weights alone, not what they weigh",
        *_result(lambda value: value),
        *_reduced(_DOUBLE),
    ),
)
