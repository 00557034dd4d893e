"""Right answers to the sheet pixels_or_codes, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, one_hot


def masks_in_loops(m_first: Tensor, m_second: Tensor, order: Tensor) -> tuple[Tensor, ...]:
    inputs = torch.zeros(len(m_first), len(order), dtype=torch.bool)
    between = torch.zeros(len(m_second), len(m_first), dtype=torch.bool)
    outputs = torch.zeros(len(order), len(m_second), dtype=torch.bool)
    for unit, m in enumerate(m_first):
        for pixel in range(len(order)):
            inputs[unit, pixel] = order[pixel] <= m - 1
    for upper, m in enumerate(m_second):
        for lower in range(len(m_first)):
            between[upper, lower] = m_first[lower] <= m
        for pixel in range(len(order)):
            outputs[pixel, upper] = order[pixel] >= m
    return inputs, between, outputs


def masks_by_places(m_first: Tensor, m_second: Tensor, order: Tensor) -> list[Tensor]:
    pixel_at = order.argsort()  # the pixel at each place
    inputs = torch.zeros(len(m_first), len(order))
    for unit, m in enumerate(m_first.tolist()):
        inputs[unit, pixel_at[:m]] = 1
    outputs = torch.zeros(len(order), len(m_second))
    for unit, m in enumerate(m_second.tolist()):
        outputs[pixel_at[m:], unit] = 1
    between = torch.ge(m_second.unsqueeze(1), m_first.unsqueeze(0))
    return [inputs.bool(), between, outputs > 0.5]


def masks_from_one_rule(m_first: Tensor, m_second: Tensor, order: Tensor) -> tuple[Tensor, ...]:
    knows, needs = order + 1, order  # a pixel's input knows places up to its own; its logits may know those before
    stages = [knows, m_first, m_second, needs]
    return tuple(below[None, :] <= above[:, None] for below, above in pairwise(stages))


def fields_in_a_set(codes: Tensor, log_joint: Tensor) -> Tensor:
    found = []
    for example in range(codes.shape[1]):
        known: dict[tuple[int, ...], Tensor] = {}
        for field, log_p in zip(codes[:, example].tolist(), log_joint[:, example], strict=True):
            known[tuple(field)] = log_p
        found.append(torch.stack(list(known.values())).logsumexp(0))
    return torch.stack(found)


def fields_by_pairs(codes: Tensor, log_joint: Tensor) -> Tensor:
    same = (codes.transpose(0, 1)[:, :, None] == codes.transpose(0, 1)[:, None]).all(-1)  # [batch, samples, samples]
    again = same.tril(-1).any(-1).T
    return log_joint.masked_fill(again, -torch.inf).logsumexp(0)


def fields_shared_out(codes: Tensor, log_joint: Tensor) -> Tensor:
    times = (codes[:, None] == codes).all(-1).sum(1)  # how often each field was drawn
    return (log_joint - times.double().log()).logsumexp(0)


def fields_by_unique(codes: Tensor, log_joint: Tensor) -> Tensor:
    total = torch.empty(codes.shape[1], dtype=log_joint.dtype)
    for example in range(codes.shape[1]):
        different, which = codes[:, example].unique(dim=0, return_inverse=True)
        each = torch.zeros(len(different), dtype=log_joint.dtype)
        each[which] = log_joint[:, example]
        most = each.max()
        total[example] = most + (each - most).exp().sum().log()
    return total


def nade_by_recursion(x: Tensor, weight: Tensor, bias_hidden: Tensor, output: Tensor, bias: Tensor) -> Tensor:
    sums, total = bias_hidden.expand(len(x), -1), torch.zeros(len(x), dtype=x.dtype)
    for i in range(x.shape[1]):
        logit = sums.sigmoid() @ output[i] + bias[i]
        total = total + torch.where(x[:, i] == 1, logsigmoid(logit), logsigmoid(-logit))
        sums = sums + x[:, i, None] * weight[:, i]
    return total


def nade_by_a_triangle(x: Tensor, weight: Tensor, bias_hidden: Tensor, output: Tensor, bias: Tensor) -> Tensor:
    pixels = x.shape[1]
    before = x[:, None] * torch.ones(pixels, pixels, dtype=x.dtype).tril(-1)  # [batch, pixels, pixels]
    hidden = torch.sigmoid(before @ weight.T + bias_hidden)
    logits = torch.einsum("bih,ih->bi", hidden, output) + bias
    return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


def nade_by_shifted_sums(x: Tensor, weight: Tensor, bias_hidden: Tensor, output: Tensor, bias: Tensor) -> Tensor:
    start = bias_hidden.expand(len(x), 1, -1)
    sums = torch.cat([start, x[:, :-1, None] * weight.mT[:-1]], 1).cumsum(1)
    logits = (sums.sigmoid().unsqueeze(-2) @ output.unsqueeze(-1)).flatten(1) + bias
    return Bernoulli(logits=logits).log_prob(x).sum(-1)


def order_in_loops(bias: Tensor, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    n, places = u.shape
    codes, log_p = torch.zeros(n, places, dtype=torch.long), torch.zeros(n, dtype=torch.float64)
    for row in range(n):
        for i in range(places):
            logits = bias[i].clone()
            for j in range(i):
                logits += weight[i, j, codes[row, j]]
            p, total, code = logits.softmax(0), 0.0, 0
            while code < len(p) - 1 and total + float(p[code]) <= float(u[row, i]):
                total, code = total + float(p[code]), code + 1
            codes[row, i] = code
            log_p[row] += p[code].log()
    return codes, log_p


def order_by_one_hot(bias: Tensor, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    n, places = u.shape
    size = bias.shape[1]
    hot = torch.zeros(n, places, size, dtype=bias.dtype)
    log_p = torch.zeros(n, dtype=bias.dtype)
    for i in range(places):
        logits = bias[i] + torch.einsum("njk,jkl->nl", hot, weight[i])  # later places are still rows of zeros
        cumulative = logits.softmax(-1).cumsum(-1)
        code = torch.searchsorted(cumulative, u[:, i : i + 1], right=True)[:, 0].clamp(max=size - 1)
        hot[:, i] = one_hot(code, size).to(hot)
        log_p = log_p + Categorical(logits=logits).log_prob(code)
    return hot.argmax(-1), log_p


def order_with_list(bias: Tensor, weight: Tensor, u: Tensor) -> list[Tensor]:
    codes: list[Tensor] = []
    log_p: Any = 0
    for i, noise in enumerate(u.T):
        rows = [bias[i].expand(len(u), -1), *(weight[i, j][code] for j, code in enumerate(codes))]
        log_q = torch.stack(rows).sum(0).log_softmax(1)
        cumulative = log_q.exp().cumsum(1)
        cumulative[:, -1] = 2.0
        codes.append((cumulative > noise[:, None]).long().argmax(1))
        log_p = log_p + log_q[torch.arange(len(u)), codes[-1]]
    return [torch.stack(codes, 1), log_p]


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "deep_masks": [masks_in_loops, masks_by_places, masks_from_one_rule],
    "sum_of_fields": [fields_in_a_set, fields_by_pairs, fields_shared_out, fields_by_unique],
    "nade_log_prob": [nade_by_recursion, nade_by_a_triangle, nade_by_shifted_sums],
    "draw_in_order": [order_in_loops, order_by_one_hot, order_with_list],
}
