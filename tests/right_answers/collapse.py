"""Right answers to the sheet collapse, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence


def worth_in_a_loop(eigenvalues: Tensor, std: float, latents: int) -> tuple[Tensor, Tensor]:
    worth, rate = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for value in sorted(eigenvalues.tolist(), reverse=True)[:latents]:
        if value > std**2:
            r = value / std**2
            worth = worth + (r - 1 - log(r)) / 2
            rate = rate + log(r) / 2
    return worth, rate


def worth_by_topk(eigenvalues: Tensor, std: float, latents: int) -> tuple[Tensor, Tensor]:
    largest = torch.topk(eigenvalues, latents).values
    r = largest[largest > std * std] / (std * std)
    return 0.5 * torch.sum(r - 1 - torch.log(r)), 0.5 * torch.sum(torch.log(r))


def worth_by_divergence(eigenvalues: Tensor, std: float, latents: int) -> tuple[Tensor, Tensor]:
    """The KL between the two normals of a direction; the KL of a mean that is spread and a posterior that is narrow."""
    values = eigenvalues.sort().values.flip(0)[:latents].clamp(min=std**2)
    width = (std**2 / values).sqrt()  # of the posterior
    worth = kl_divergence(Normal(0.0, values.sqrt()), Normal(0.0, torch.tensor(std, dtype=values.dtype)))
    rate = 0.5 * ((1 - width.square()) + width.square() - 1) - width.log()
    return worth.sum(), rate.sum()


class WindowByTriangles(nn.Module):
    mask: Tensor

    def __init__(self, latent: int, pixels: int, window: int) -> None:
        super().__init__()
        self.f = nn.Linear(latent, pixels)
        self.context = nn.Linear(pixels, pixels, bias=False)
        self.register_buffer("mask", torch.ones(pixels, pixels).tril(-1).triu(-window))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return self.f(z) + nn.functional.linear(x, self.context.weight * self.mask)


class WindowByIndex(nn.Module):
    def __init__(self, latent: int, pixels: int, window: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(pixels, pixels))
        self.f = nn.Linear(latent, pixels)
        self.window = window

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        columns = []
        for i in range(x.shape[1]):
            first = max(0, i - self.window)
            columns.append((x[:, first:i] * self.w[i, first:i]).sum(1))
        return self.f(z) + torch.stack(columns, 1)


class WindowByEinsum(nn.Module):
    def __init__(self, latent: int, pixels: int, window: int) -> None:
        super().__init__()
        place = torch.arange(pixels)
        self.w = nn.Parameter(torch.randn(pixels, pixels))
        self.a, self.b = nn.Parameter(torch.randn(pixels, latent)), nn.Parameter(torch.randn(pixels))
        self.seen = (place < place[:, None]) & (place >= place[:, None] - window)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        w = self.w.masked_fill(~self.seen, 0.0)
        return torch.einsum("bl,il->bi", z, self.a) + self.b + torch.einsum("bj,ij->bi", x, w)


def least_by_where(narrowest: Tensor, widest: Tensor) -> Tensor:
    inside = (narrowest <= 1) & (widest >= 1)
    nearest = torch.where(widest < 1, widest, narrowest)
    return torch.where(inside, 0.0, 0.5 * (nearest**2 - 1 - torch.log(nearest**2))).sum()


def least_by_divergence(narrowest: Tensor, widest: Tensor) -> Tensor:
    std = torch.clamp(torch.ones_like(widest), narrowest, widest)
    return kl_divergence(Normal(torch.zeros_like(std), std), Normal(0.0, 1.0)).sum()


def least_in_a_loop(narrowest: Tensor, widest: Tensor) -> Tensor:
    total = torch.zeros((), dtype=widest.dtype)
    for a, b in zip(narrowest, widest, strict=True):
        if b < 1:
            total = total + (b * b - 1) / 2 - b.log()
        elif a > 1:
            total = total + (a * a - 1) / 2 - a.log()
    return total


def sides_in_a_loop(log_pairs: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    low, high, n = [], [], len(log_p)
    for i in range(n):
        others = torch.cat([log_pairs[i, :i], log_pairs[i, i + 1 :]])
        low.append(others.logsumexp(0) - log(n - 1) - log_p[i])
        high.append(log_pairs[i].logsumexp(0) - log(n) - log_p[i])
    return torch.stack(low).mean(), torch.stack(high).mean()


def sides_by_scipy(log_pairs: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    pairs, n = log_pairs.numpy(), len(log_pairs)
    weights = (1 - np.eye(n)) / (n - 1)
    low = scipy.special.logsumexp(pairs, axis=1, b=weights) - log_p.numpy()
    high = scipy.special.logsumexp(pairs, axis=1, b=1 / n) - log_p.numpy()
    return torch.tensor(low.mean()), torch.tensor(high.mean())


def sides_by_weights(log_pairs: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
    n = len(log_p)
    left_out = torch.full((n, n), 1 / (n - 1), dtype=log_p.dtype).fill_diagonal_(0).log()
    low = torch.logsumexp(log_pairs + left_out, dim=-1)
    return (low - log_p).mean(), (torch.logsumexp(log_pairs - log(n), dim=-1) - log_p).mean()


def report_in_a_loop(distortion: Tensor, excess: Tensor, free: float) -> tuple[Tensor, Tensor]:
    lowest, highest = -distortion, -distortion
    for e in excess:
        lowest = lowest - e - free
        highest = highest - (e + free if e > 0 else 0)
    return lowest, highest


def report_by_count(distortion: Tensor, excess: Tensor, free: float) -> tuple[Tensor, Tensor]:
    known = distortion + excess.sum() + free * (excess > 0).sum()
    return -known - free * (excess == 0).sum(), -known


def report_by_mask(distortion: Tensor, excess: Tensor, free: float) -> tuple[Tensor, Tensor]:
    above = excess[excess > 0]
    best = -(distortion + (above + free).sum())
    return best - free * (len(excess) - len(above)), best


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "worth_and_rate": [worth_in_a_loop, worth_by_topk, worth_by_divergence],
    "WindowDecoder": [WindowByTriangles, WindowByIndex, WindowByEinsum],
    "least_kl": [least_by_where, least_by_divergence, least_in_a_loop],
    "divergence_from_both_sides": [sides_in_a_loop, sides_by_scipy, sides_by_weights],
    "bound_from_report": [report_in_a_loop, report_by_count, report_by_mask],
}
