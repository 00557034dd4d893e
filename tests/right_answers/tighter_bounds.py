"""Right answers to the sheet tighter_bounds, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, sqrt
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor


def iwae_in_a_loop(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    bounds = [torch.logsumexp(w, dim=0) - log(k) for w in (log_joint - log_q).split(k)]
    return torch.stack(bounds).sum(0) / len(bounds)


def iwae_by_maximum(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    samples, batch = log_q.shape
    log_w = (log_joint - log_q).view(samples // k, k, batch)
    top = log_w.max(dim=1, keepdim=True).values.detach()
    return (top.squeeze(1) + (log_w - top).exp().mean(1).log()).mean(0)


def iwae_by_chunks(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    chunks = torch.stack((log_joint - log_q).chunk(len(log_q) // k))
    total = chunks[:, 0]
    for i in range(1, k):
        total = torch.logaddexp(total, chunks[:, i])
    return torch.mean(total - torch.tensor(float(k), dtype=total.dtype).log(), dim=0)


def iwae_by_transpose(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    log_w = (log_joint - log_q).T.reshape(log_q.shape[1], -1, k)
    return torch.logsumexp(log_w - log(k), dim=2).mean(1)


def gap_by_numpy(log_weights: Tensor, k: int) -> Tensor:
    w = log_weights.numpy()
    w = np.exp(w - w.max(0))
    return torch.from_numpy(np.var(w, axis=0, ddof=1) / np.mean(w, axis=0) ** 2 / (2 * k))


def gap_by_log_moments(log_weights: Tensor, k: int) -> Tensor:
    n = len(log_weights)
    log_w = log_weights.numpy()
    relative = n * np.exp(logsumexp(2 * log_w, axis=0) - 2 * logsumexp(log_w, axis=0)) - 1
    return torch.from_numpy(relative * n / (n - 1) / (2 * k))


def gap_by_loops(log_weights: Tensor, k: int) -> Tensor:
    gaps = []
    for column in log_weights.T:
        w = torch.exp(column - max(column))
        p = w.sum() / len(w)
        gaps.append(((w - p) ** 2).sum() / (len(w) - 1) / p**2 / 2 / k)
    return torch.stack(gaps)


def effective_by_loops(log_weights: Tensor) -> Tensor:
    numbers = []
    for column in log_weights.T:
        w = torch.exp(column - max(column))
        numbers.append(w.sum() ** 2 / (w * w).sum())
    return torch.stack(numbers)


def variance_by_precisions(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    precision_p, precision_q = std_p**-2, std_q**-2
    excess = 2 * precision_p - precision_q
    exponent = precision_p * precision_q * (mean_p - mean_q) ** 2 / excess
    found = precision_p / (precision_q * excess).sqrt() * exponent.exp() - 1
    return torch.where(excess > 0, found, torch.inf)


def variance_by_loops(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    found = []
    for a, s, b, t in zip(mean_p.tolist(), std_p.tolist(), mean_q.tolist(), std_q.tolist(), strict=True):
        rest = 2 * t * t - s * s
        found.append(inf if rest <= 0 else t * t / s / sqrt(rest) * exp((a - b) ** 2 / rest) - 1)
    return torch.tensor(found, dtype=mean_p.dtype)


def variance_in_logarithms(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    rest = 2 * std_q.square() - std_p.square()
    safe = rest.clamp(min=1e-300)
    log_square = 2 * std_q.log() - std_p.log() - 0.5 * safe.log() + (mean_p - mean_q).square() / safe
    return torch.where(rest > 0, log_square.expm1(), torch.full_like(rest, float("inf")))


def double_by_logsumexp(log_w_model: Tensor, log_w_path: Tensor) -> Tensor:
    """The bound's own gradient serves θ."""
    weights = log_w_model.detach().softmax(0)
    bound = torch.logsumexp(log_w_model, 0) - log(len(log_w_model))
    return bound + (weights**2 * (log_w_path - log_w_path.detach())).sum(0)


def double_in_one_logsumexp(log_w_model: Tensor, log_w_path: Tensor) -> Tensor:
    """logsumexp weighs by w̃ once more what has w̃ already."""
    share = log_w_path.softmax(0).detach()
    slowed = share * (log_w_path - log_w_path.detach())
    return (log_w_model + slowed).logsumexp(0) - log(len(log_w_path))


def double_in_a_loop(log_w_model: Tensor, log_w_path: Tensor) -> Tensor:
    found = []
    for a, b in zip(log_w_model.T, log_w_path.T, strict=True):
        with torch.no_grad():
            top = a.max()
            w = (a - top).exp()
            bound, share = top + w.mean().log(), w / w.sum()
        of_theta, of_phi = share @ a, share.square() @ b
        found.append(bound + of_theta - of_theta.detach() + of_phi - of_phi.detach())
    return torch.stack(found)


def double_by_hook(log_w_model: Tensor, log_w_path: Tensor) -> Tensor:
    """The gradient that comes to the path is multiplied by w̃ on its way."""
    share = log_w_model.detach().softmax(0)
    path = log_w_path * 1.0
    path.register_hook(lambda gradient: share * gradient)
    return (log_w_model + path - path.detach()).logsumexp(0) - log(len(log_w_model))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "effective_draws": [
        effective_by_loops,
        lambda log_weights: 1 / log_weights.softmax(0).square().sum(0),
        lambda log_weights: (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp(),
    ],
    "doubly_reparameterized": [
        double_by_logsumexp,
        double_in_one_logsumexp,
        double_in_a_loop,
        double_by_hook,
    ],
    "relative_variance": [variance_by_precisions, variance_by_loops, variance_in_logarithms],
    "iwae_bound": [iwae_in_a_loop, iwae_by_maximum, iwae_by_chunks, iwae_by_transpose],
    "predicted_gap": [
        gap_by_numpy,
        gap_by_log_moments,
        gap_by_loops,
        lambda log_weights, k: (log_weights.softmax(0) * len(log_weights)).var(0) / (2 * k),
        lambda log_weights, k: (
            (torch.exp(log_weights - log_weights.logsumexp(0) + log(len(log_weights))).std(0)) ** 2 / k / 2
        ),
    ],
}
