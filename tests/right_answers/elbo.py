"""Right answers to the sheet elbo, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import e, log, pi
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, kl_divergence


def discrete_by_loops(log_joint: Tensor, q: Tensor) -> Tensor:
    bounds = []
    for row, weights in zip(log_joint, q, strict=True):
        terms = [p * (value - p.log()) for value, p in zip(row, weights, strict=True) if p > 0]
        bounds.append(torch.stack(terms).sum())
    return torch.stack(bounds)


def discrete_by_where(log_joint: Tensor, q: Tensor) -> Tensor:
    log_q = torch.where(q > 0, q, torch.ones_like(q)).log()
    return torch.einsum("bk,bk->b", q, log_joint - log_q)


def discrete_by_gap(log_joint: Tensor, q: Tensor) -> Tensor:
    # log p(x) − KL(q || posterior)
    log_evidence = log_joint.logsumexp(-1, keepdim=True)
    log_ratio = q.clamp(min=1e-300).log() - (log_joint - log_evidence)
    return log_evidence[:, 0] - (q * log_ratio).sum(-1)


def closed_form(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    variance = (2 * log_std).exp()
    error = (x - mean @ weight.T - bias).square().sum(-1)
    spread = variance @ weight.square().sum(0)
    log_likelihood = -(error + spread) / (2 * std**2) - 0.5 * x.shape[-1] * torch.log(2 * pi * std**2)
    return log_likelihood - 0.5 * (mean**2 + variance - 1 - 2 * log_std).sum(-1)


def linear_by_distributions(
    x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    q, prior = Normal(mean, log_std.exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    at_mean = Normal(torch.einsum("ol,bl->bo", weight, mean) + bias, std).log_prob(x).sum(-1)
    trace = torch.einsum("bl,ol,ol->b", q.variance, weight, weight) / (2 * std**2)
    return at_mean - trace - kl_divergence(q, prior).sum(-1)


def linear_by_entropy(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    # E_q of a quadratic: its value at the mean plus half the trace of Hessian times covariance
    latent = weight.shape[1]
    hessian = -weight.T @ weight / std**2 - torch.eye(latent, dtype=x.dtype)
    log_joint = Independent(Normal(mean @ weight.T + bias, std), 1).log_prob(x)
    log_joint = log_joint + MultivariateNormal(torch.zeros_like(mean), torch.eye(latent, dtype=x.dtype)).log_prob(mean)
    curvature = 0.5 * ((2 * log_std).exp() * hessian.diagonal()).sum(-1)
    return log_joint + curvature + log_std.sum(-1) + latent / 2 * log(2 * pi * e)


def linear_in_a_loop(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    bounds = []
    for i in range(len(x)):
        total = torch.zeros((), dtype=x.dtype)
        for d in range(x.shape[1]):
            residual = x[i, d] - bias[d] - weight[d] @ mean[i]
            second = residual**2 + (weight[d] ** 2 * torch.exp(2 * log_std[i])).sum()
            total = total - second / (2 * std**2) - std.log() - 0.5 * log(2 * pi)
        for j in range(mean.shape[1]):
            total = total - 0.5 * (mean[i, j] ** 2 + torch.exp(2 * log_std[i, j]) - 1) + log_std[i, j]
        bounds.append(total)
    return torch.stack(bounds)


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


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "elbo_discrete": [
        discrete_by_loops,
        discrete_by_where,
        discrete_by_gap,
        lambda log_joint, q: (q * log_joint + torch.special.entr(q)).sum(-1),
        lambda log_joint, q: (q * log_joint).sum(-1) + Categorical(probs=q).entropy(),
        lambda log_joint, q: (q * (log_joint - q.log())).nansum(-1),
        lambda log_joint, q: (q * (log_joint - q.log())).nan_to_num(0.0).sum(-1),
        lambda log_joint, q: (q * (log_joint - q.clamp(min=1e-8).log())).sum(-1),
        lambda log_joint, q: (q * (log_joint - (q + 1e-12).log())).sum(dim=1),
    ],
    "entropy_split": [
        lambda expected_log_joint, log_std: (
            expected_log_joint + log_std.sum(1) + log_std.shape[1] / 2 * log(2 * pi * e)
        ),
        lambda expected_log_joint, log_std: (
            expected_log_joint
            + torch.stack([log_std[:, j] + (log(2 * pi) + 1) / 2 for j in range(log_std.shape[1])]).sum(0)
        ),
        lambda expected_log_joint, log_std: expected_log_joint - torch.sum(-log_std - 0.5 * log(2 * pi) - 0.5, dim=-1),
        lambda expected_log_joint, log_std: (
            torch.einsum("bl->b", log_std) + expected_log_joint + 0.5 * log_std.shape[-1] * np.log(2 * np.pi * np.e)
        ),
    ],
    "elbo_linear_gaussian": [closed_form, linear_by_distributions, linear_by_entropy, linear_in_a_loop],
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
