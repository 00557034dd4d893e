"""Right answers to the sheet own_data, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits


def together_in_a_loop(group: Tensor, order: Tensor, share: float) -> Tensor:
    held = torch.zeros(len(group), dtype=torch.bool)
    for number in order.tolist():
        if int(held.sum()) >= share * len(group):
            break
        held |= group == number
    return held


def together_by_sets(group: Tensor, order: Tensor, share: float) -> Tensor:
    chosen: list[int] = []
    while sum(int((group == c).sum()) for c in chosen) < share * len(group):
        chosen.append(int(order[len(chosen)]))
    return torch.isin(group, torch.tensor(chosen))


def together_by_numpy(group: Tensor, order: Tensor, share: float) -> Tensor:
    place = np.argsort(order.numpy())[group.numpy()]  # of each example's group in the order
    sizes = np.bincount(place, minlength=len(order))
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return torch.from_numpy(before[place] < share * len(group))


def grouped_in_a_loop(a: Tensor, b: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    d = a - b
    mean, names = d.mean(), group.unique()
    total = torch.stack([(d[group == g] - mean).sum() ** 2 for g in names]).sum()
    return mean, torch.sqrt(total * len(names) / (len(names) - 1)) / len(d)


def grouped_by_one_hot(a: Tensor, b: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    member = torch.nn.functional.one_hot(group).double()
    d = a - b
    sums = (d - d.mean()) @ member
    return d.mean(), (sums.square().sum() / (len(sums) - 1) * len(sums)) ** 0.5 / d.numel()


def grouped_by_std(a: Tensor, b: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of the groups average to 0, so that their standard deviation is what is asked for."""
    d = a - b
    sums = torch.stack([(d[group == g] - d.mean()).sum() for g in group.unique()])
    return torch.mean(d), sums.std() * len(sums) ** 0.5 / len(d)


def two_kinds_by_families(x: Tensor, observed: Tensor, mean: Tensor, log_std: Tensor, logits: Tensor) -> Tensor:
    k, seen = mean.shape[1], observed
    known = torch.where(seen, x, torch.zeros_like(x))
    numbers = Normal(mean, log_std.exp()).log_prob(known[:, :k])
    answers = Bernoulli(logits=logits).log_prob(known[:, k:])
    return (numbers * seen[:, :k]).sum(1) + (answers * seen[:, k:]).sum(1)


def two_kinds_row_by_row(x: Tensor, observed: Tensor, mean: Tensor, log_std: Tensor, logits: Tensor) -> Tensor:
    rows = []
    for i, row in enumerate(x):
        number, answer = row[: mean.shape[1]], row[mean.shape[1] :]
        o, u = observed[i, : mean.shape[1]], observed[i, mean.shape[1] :]
        first = Normal(mean[i][o], log_std[o].exp()).log_prob(number[o]).sum()
        rows.append(first - binary_cross_entropy_with_logits(logits[i][u], answer[u], reduction="sum"))
    return torch.stack(rows)


def two_kinds_filled_by_mean(x: Tensor, observed: Tensor, mean: Tensor, log_std: Tensor, logits: Tensor) -> Tensor:
    gaps = observed.logical_not()
    inside = torch.where(gaps, torch.cat([mean, torch.ones_like(logits)], 1).detach(), x)
    numbers, answers = inside.split([mean.shape[1], logits.shape[1]], dim=1)
    terms = torch.cat(
        [
            -((numbers - mean) ** 2) / (2 * torch.exp(2 * log_std)) - log_std - 0.9189385332046727,
            torch.nn.functional.logsigmoid((2 * answers - 1) * logits),
        ],
        dim=1,
    )
    return terms.masked_fill(gaps, 0).sum(-1)


def bits_row_by_row(log_p: Tensor, std: Tensor, step: Tensor, observed: Tensor) -> Tensor:
    bits = []
    for value, seen in zip(log_p, observed, strict=True):
        nats = value + sum(log(float(t) / float(s)) for s, t in zip(std[seen], step[seen], strict=True))
        bits.append(-nats / log(2) / int(seen.sum()))
    return torch.stack(bits)


def bits_by_log2(log_p: Tensor, std: Tensor, step: Tensor, observed: Tensor) -> Tensor:
    each = torch.where(observed, torch.log2(std / step), 0.0)
    return (each.sum(-1) - log_p / log(2)) / observed.sum(-1)


def bits_by_numpy(log_p: Tensor, std: Tensor, step: Tensor, observed: Tensor) -> Tensor:
    o = observed.numpy()
    nats = log_p.numpy() - np.where(o, np.log(std.numpy()), 0).sum(1) + np.where(o, np.log(step.numpy()), 0).sum(1)
    return torch.from_numpy(-nats / np.log(2) / o.sum(1))


class SumByWhere(nn.Module):
    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, outputs)
        self.vectors = nn.Parameter(torch.randn(columns, names))
        self.first = nn.Sequential(nn.Linear(names + 1, width), nn.SiLU())

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        gaps = ~observed
        known = torch.where(gaps, torch.zeros_like(x), x)
        pairs = torch.cat([known.unsqueeze(2), self.vectors.unsqueeze(0).repeat(len(x), 1, 1)], dim=2)
        return self.out(self.first(pairs).masked_fill(gaps.unsqueeze(2), 0).sum(dim=1))


class SumByLoop(nn.Module):
    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(columns, names)
        self.shared, self.last = nn.Linear(1 + names, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for j in range(x.shape[1]):
            vector = self.embedding(torch.tensor(j)).expand(len(x), -1)
            reading = x[:, j].masked_fill(~observed[:, j], 0)
            pair = torch.cat([reading[:, None], vector], 1)
            total = total + observed[:, j, None] * torch.nn.functional.silu(self.shared(pair))
        return self.last(total)


class SumByRows(nn.Module):
    """Only what was observed goes through the shared layer."""

    def __init__(self, columns: int, names: int, width: int, outputs: int) -> None:
        super().__init__()
        self.e = nn.Parameter(torch.empty(columns, names))
        self.h, self.o = nn.Linear(names + 1, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        row, column = observed.nonzero(as_tuple=True)
        pairs = torch.cat([x[row, column][:, None], self.e[column]], 1)
        hidden = self.h(pairs)
        hidden = hidden * torch.sigmoid(hidden)
        return self.o(torch.zeros(len(x), hidden.shape[1], dtype=x.dtype).index_add(0, row, hidden))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "keep_groups_together": [together_in_a_loop, together_by_sets, together_by_numpy],
    "paired_by_group": [grouped_in_a_loop, grouped_by_one_hot, grouped_by_std],
    "log_likelihood_of_two_kinds": [two_kinds_by_families, two_kinds_row_by_row, two_kinds_filled_by_mean],
    "bits_per_reading": [bits_row_by_row, bits_by_log2, bits_by_numpy],
    "SumOverObserved": [SumByWhere, SumByLoop, SumByRows],
}
