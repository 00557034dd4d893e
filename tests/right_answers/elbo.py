"""Right answers to the sheet elbo, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import e, log, pi
from typing import Any

import numpy as np
import torch
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


def above_by_loops(log_joint: Tensor, log_q: Tensor) -> Tensor:
    bounds = []
    for row, log_weights in zip(log_joint, log_q, strict=True):
        log_p = torch.logsumexp(row, 0)
        bounds.append(
            sum(torch.exp(value - log_p) * (value - other) for value, other in zip(row, log_weights, strict=True))
        )
    return torch.stack([torch.as_tensor(bound) for bound in bounds])


def above_by_divergence(log_joint: Tensor, log_q: Tensor) -> Tensor:
    # log p(x) + KL(posterior || q)
    return log_joint.logsumexp(-1) + kl_divergence(Categorical(logits=log_joint), Categorical(logits=log_q))


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
    "evidence_upper_bound": [
        above_by_loops,
        above_by_divergence,
        lambda log_joint, log_q: torch.einsum("bk,bk->b", torch.softmax(log_joint, -1), log_joint - log_q),
        lambda log_joint, log_q: (
            ((log_joint.log_softmax(1)).exp() * log_joint).sum(1) - (Categorical(logits=log_joint).probs * log_q).sum(1)
        ),
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
}
