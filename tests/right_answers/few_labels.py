"""Right answers to the sheet few_labels, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence


def prequential_in_a_loop(bounds: Tensor, sizes: list[int]) -> Tensor:
    total, start = torch.zeros(()), 0
    for k, size in enumerate(sizes):
        for i in range(start, start + size):
            total = total - bounds[k, i]
        start += size
    return total


def prequential_by_index(bounds: Tensor, sizes: list[int]) -> Tensor:
    block = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return -bounds[block, torch.arange(bounds.shape[1])].sum()


def prequential_by_split(bounds: Tensor, sizes: list[int]) -> Tensor:
    parts = bounds.split(sizes, dim=1)
    return sum(-part[k].sum() for k, part in enumerate(parts))


def mixture_in_a_loop(lengths: Tensor) -> Tensor:
    log_w = torch.full((len(lengths),), -log(len(lengths)), dtype=lengths.dtype)
    found = []
    for block in lengths.T:
        found.append(-torch.logsumexp(log_w - block, 0))
        log_w = log_w - block
        log_w = log_w - torch.logsumexp(log_w, 0)
    return torch.stack(found)


def mixture_by_totals(lengths: Tensor) -> Tensor:
    """What has been sent by the end of each block is −log of a mean; differences of that."""
    sent = log(len(lengths)) - (-lengths.cumsum(1)).logsumexp(0)
    return torch.diff(sent, prepend=torch.zeros(1, dtype=lengths.dtype))


def mixture_by_weights(lengths: Tensor) -> Tensor:
    before = torch.cat([torch.zeros_like(lengths[:, :1]), lengths[:, :-1]], 1).cumsum(1)
    log_weights = Categorical(logits=-before.T).logits.T
    return -torch.logsumexp(log_weights - lengths, dim=0)


def bound_in_loops(logits: Tensor, bounds: Tensor, log_prior: Tensor) -> Tensor:
    totals = []
    for i in range(len(logits)):
        log_q = logits[i] - torch.logsumexp(logits[i], 0)
        total = torch.zeros(())
        for c in range(logits.shape[1]):
            total = total + log_q[c].exp() * (bounds[i, c] + log_prior[c] - log_q[c])
        totals.append(total)
    return torch.stack(totals)


def bound_by_distributions(logits: Tensor, bounds: Tensor, log_prior: Tensor) -> Tensor:
    q, prior = Categorical(logits=logits), Categorical(logits=log_prior.expand_as(logits))
    return (q.probs * bounds).sum(-1) - kl_divergence(q, prior)


def bound_below_the_best(logits: Tensor, bounds: Tensor, log_prior: Tensor) -> Tensor:
    """log p(x) of the bounds, less KL(q || p(y|x) of the bounds)."""
    log_q, log_r = logits.log_softmax(1), (bounds + log_prior).log_softmax(1)
    return (bounds + log_prior).logsumexp(1) - torch.einsum("ij,ij->i", log_q.exp(), log_q - log_r)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "prequential_length": [prequential_in_a_loop, prequential_by_index, prequential_by_split],
    "mixture_code": [mixture_in_a_loop, mixture_by_totals, mixture_by_weights],
    "unlabelled_bound": [
        bound_in_loops,
        bound_by_distributions,
        bound_below_the_best,
        lambda logits, bounds, log_prior: (
            (logits.softmax(-1) * (bounds + log_prior)).sum(-1) + Categorical(logits=logits).entropy()
        ),
        lambda logits, bounds, log_prior: (
            logits.softmax(-1) * (bounds + log_prior - logits.softmax(-1).clamp(min=1e-30).log())
        ).sum(-1),
    ],
}
