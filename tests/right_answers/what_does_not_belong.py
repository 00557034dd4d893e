"""Right answers to the sheet what_does_not_belong, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.stats
import torch
from sklearn.metrics import auc, roc_auc_score, roc_curve
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad, silu, unfold


def allowed_in_steps(base_rate: Tensor, caught: Tensor, precision: Tensor) -> Tensor:
    true_alarms = base_rate * caught
    alarms = true_alarms / precision
    return ((alarms - true_alarms) / (1 - base_rate)).clip(max=1)


def allowed_by_odds(base_rate: Tensor, caught: Tensor, precision: Tensor) -> Tensor:
    before = base_rate / (1 - base_rate)
    return torch.minimum(caught * before * (1 / precision - 1), torch.ones(()))


def allowed_by_numpy(base_rate: Tensor, caught: Tensor, precision: Tensor) -> Tensor:
    b, c, p = (v.numpy() for v in (base_rate, caught, precision))
    return torch.as_tensor(np.minimum(1, b * c * (1 - p) / (p - p * b)))


def map_in_loops(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares, reach = (reconstruction - x).pow(2).sum(1), window // 2
    result = torch.zeros(squares.shape)
    for i in range(squares.shape[1]):
        for j in range(squares.shape[2]):
            near = squares[:, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            result[:, i, j] = near.mean(dim=(1, 2))
    return result


def map_by_convolution(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1, keepdim=True)
    ones = torch.ones(1, 1, window, window, dtype=x.dtype)
    total = conv2d(squares, ones, padding=window // 2)
    return (total / conv2d(torch.ones_like(squares), ones, padding=window // 2)).squeeze(1)


def map_by_unfold(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1, keepdim=True)
    patches = unfold(squares, window, padding=window // 2)
    there = unfold(torch.ones_like(squares), window, padding=window // 2)
    return (patches.sum(1) / there.sum(1)).reshape(len(x), *x.shape[2:])


def map_by_cumulative_sums(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1)
    table = pad(squares.cumsum(1).cumsum(2), (1, 0, 1, 0))
    ends = []
    for length in squares.shape[1:]:
        i = torch.arange(length)
        ends += [(i - window // 2).clamp(min=0), (i + window // 2 + 1).clamp(max=length)]
    top, bottom, left, right = ends
    total = table[:, bottom][:, :, right] - table[:, top][:, :, right] - table[:, bottom][:, :, left]
    return (total + table[:, top][:, :, left]) / ((bottom - top)[:, None] * (right - left))


def map_by_nanmean(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = pad((reconstruction - x).square().sum(1), [window // 2] * 4, value=torch.nan)
    return squares.unfold(1, window, 1).unfold(2, window, 1).nanmean((-2, -1))


def map_by_scipy(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = ((reconstruction - x) ** 2).sum(1).numpy()

    def box(values: Any) -> Any:
        return scipy.ndimage.uniform_filter(values, size=(1, window, window), mode="constant")

    return torch.from_numpy(box(squares) / box(np.ones_like(squares)))


def area_in_loops(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    won, pairs = 0.0, 0.0
    examples = list(zip(scores.tolist(), anomalous.tolist(), weight.tolist(), strict=True))
    for a, is_a, of_a in examples:
        for b, is_b, of_b in examples:
            if is_a and not is_b:
                won += of_a * of_b * (1.0 if a > b else 0.5 if a == b else 0.0)
                pairs += of_a * of_b
    return torch.tensor(won / pairs)


def area_by_signs(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    sign = (scores[anomalous].unsqueeze(1) - scores[~anomalous].unsqueeze(0)).sign()
    p, q = weight[anomalous] / weight[anomalous].sum(), weight[~anomalous] / weight[~anomalous].sum()
    return (1 + p @ sign @ q) / 2


def area_by_trapezoids(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    thresholds = torch.cat([torch.tensor([inf], dtype=scores.dtype), scores.unique().flip(0)])
    hits, false = (
        torch.stack([weight[group & (scores >= t)].sum() / weight[group].sum() for t in thresholds])
        for group in (anomalous, ~anomalous)
    )
    return torch.trapezoid(hits, false)


def area_by_groups(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    _, group = scores.unique(return_inverse=True)
    a, b = (torch.bincount(group[g], weight[g], minlength=int(group.max()) + 1) for g in (anomalous, ~anomalous))
    below = b.cumsum(0) - b
    return (a * (below + b / 2)).sum() / (a.sum() * b.sum())


def area_by_steps(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    false, hits, _ = roc_curve(anomalous.numpy(), scores.numpy(), sample_weight=weight.numpy())
    return torch.tensor(auc(false, hits))


def area_by_repeating(scores: Tensor, anomalous: Tensor, weight: Tensor) -> Tensor:
    """Every example as often as it stands for; the weights of the cases are whole numbers."""
    times = weight.round().long()
    s, flags = scores.repeat_interleave(times).numpy(), anomalous.repeat_interleave(times).numpy()
    m, k = int(flags.sum()), int((~flags).sum())
    return torch.tensor((scipy.stats.rankdata(s)[flags].sum() - m * (m + 1) / 2) / (m * k))


class InSequence(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, records: Tensor, width: int, code: int) -> None:
        super().__init__()
        std = records.std(0)
        std[std == 0] = 1
        self.register_buffer("mean", records.mean(0))
        self.register_buffer("std", std)
        columns = records.shape[1]
        self.encoder = nn.Sequential(nn.Linear(columns, width), nn.SiLU(), nn.Linear(width, code))
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.SiLU(), nn.Linear(width, columns))

    def forward(self, x: Tensor) -> Tensor:
        return self.mean + self.std * self.decoder(self.encoder((x - self.mean) / self.std))


class ByOneSequence(nn.Module):
    """Layers in one row; the statistics in one buffer; the square root of a mean of squares."""

    statistics: Tensor

    def __init__(self, records: Tensor, width: int, code: int) -> None:
        super().__init__()
        n, columns = records.shape
        mean = records.sum(0) / n
        variance = (records - mean).pow(2).sum(0) / (n - 1)
        self.register_buffer("statistics", torch.stack([mean, torch.where(variance > 1e-20, variance.sqrt(), 1)]))
        self.network = nn.Sequential(
            nn.Linear(columns, width), nn.SiLU(), nn.Linear(width, code),
            nn.Linear(code, width), nn.SiLU(), nn.Linear(width, columns),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.statistics
        return self.network((x - mean) / std) * std + mean


class ByFunctions(nn.Module):
    """Layers as attributes, the activation written out, buffers of one row, the constant column found by its range."""

    centre: Tensor
    scale: Tensor

    def __init__(self, records: Tensor, width: int, code: int) -> None:
        super().__init__()
        std, mean = torch.std_mean(records, dim=0, keepdim=True)
        constant = records.amax(0, keepdim=True) == records.amin(0, keepdim=True)
        self.register_buffer("centre", mean, persistent=True)
        self.register_buffer("scale", std.masked_fill(constant, 1.0))
        self.a, self.b = nn.Linear(records.shape[1], width), nn.Linear(width, code)
        self.c, self.d = nn.Linear(code, width), nn.Linear(width, records.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        h = self.a((x - self.centre) / self.scale)
        h = self.c(self.b(h * h.sigmoid()))
        return torch.addcmul(self.centre, self.d(silu(h)), self.scale)


def error_in_loops(scores: Tensor, anomalous: Tensor) -> Tensor:
    a, b = scores[anomalous].tolist(), scores[~anomalous].tolist()
    below = [sum(1.0 if s > t else 0.5 if s == t else 0.0 for t in b) / len(b) for s in a]
    above = [sum(1.0 if s > t else 0.5 if s == t else 0.0 for s in a) / len(a) for t in b]
    squares = [sum((v - sum(group) / len(group)) ** 2 for v in group) for group in (below, above)]
    return torch.tensor(
        sqrt(squares[0] / (len(a) - 1) / len(a) + squares[1] / (len(b) - 1) / len(b)), dtype=torch.float64
    )


def error_by_ranks(scores: Tensor, anomalous: Tensor) -> Tensor:
    """Ranks among all less ranks among one's own kind."""
    s, flags = scores.numpy(), anomalous.numpy()
    m, k = flags.sum(), (~flags).sum()
    everywhere = scipy.stats.rankdata(s)
    below = (everywhere[flags] - scipy.stats.rankdata(s[flags])) / k
    above = 1 - (everywhere[~flags] - scipy.stats.rankdata(s[~flags])) / m
    return torch.tensor(np.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / k))


def error_by_sem(scores: Tensor, anomalous: Tensor) -> Tensor:
    won = (torch.sign(scores[anomalous][:, None] - scores[~anomalous][None]) + 1) / 2
    return torch.hypot(won.mean(1).std() / len(won) ** 0.5, won.mean(0).std() / won.shape[1] ** 0.5)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "allowed_false_alarms": [allowed_in_steps, allowed_by_odds, allowed_by_numpy],
    "area_under_roc": [
        area_in_loops,
        area_by_signs,
        area_by_trapezoids,
        area_by_groups,
        area_by_steps,
        area_by_repeating,
        lambda scores, anomalous, weight: torch.tensor(roc_auc_score(anomalous, scores, sample_weight=weight)),
        lambda scores, anomalous, weight: torch.einsum(
            "i,j,ij->",
            weight[anomalous] / weight[anomalous].sum(),
            weight[~anomalous] / weight[~anomalous].sum(),
            torch.heaviside(scores[anomalous][:, None] - scores[~anomalous], torch.tensor(0.5, dtype=scores.dtype)),
        ),
    ],
    "error_map": [
        map_in_loops,
        map_by_convolution,
        map_by_unfold,
        map_by_cumulative_sums,
        map_by_nanmean,
        map_by_scipy,
        lambda reconstruction, x, window: avg_pool2d(
            (reconstruction - x) ** 2, window, 1, window // 2, count_include_pad=False
        ).sum(1),
    ],
    "StandardizingAutoencoder": [InSequence, ByOneSequence, ByFunctions],
    "standard_error_of_area": [error_in_loops, error_by_ranks, error_by_sem],
}
