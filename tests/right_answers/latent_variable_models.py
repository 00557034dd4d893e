"""Right answers to the sheet latent_variable_models, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal


def mixture_in_loops(weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor) -> Tensor:
    rows = []
    for u, e in zip(uniforms, noise, strict=True):
        k, total = 0, weights[0]
        while total <= u and k < len(weights) - 1:
            k += 1
            total = total + weights[k]
        rows.append(means[k] + stds[k] * e)
    return torch.stack(rows)


def mixture_by_one_hot(weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor) -> Tensor:
    edges = weights.cumsum(0)
    z = ((uniforms[:, None] < edges) & (uniforms[:, None] >= edges - weights)).double()
    return z @ means + (z @ stds)[:, None] * noise


def mixture_by_counting(weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor) -> Tensor:
    k = (torch.cumsum(weights, 0) <= uniforms.unsqueeze(-1)).sum(-1)
    return Normal(means[k], stds[k].unsqueeze(-1)).mean + noise * stds[k].unsqueeze(-1)


def mixture_by_numpy(weights: Tensor, means: Tensor, stds: Tensor, uniforms: Tensor, noise: Tensor) -> Tensor:
    k = np.searchsorted(np.cumsum(weights.numpy()), uniforms.numpy(), side="right")
    return torch.from_numpy(means.numpy()[k] + stds.numpy()[k][:, np.newaxis] * noise.numpy())


def evidence_by_distributions(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    likelihood = Independent(Normal((noise @ weight.T + bias)[:, None], std), 1)
    return likelihood.log_prob(x).logsumexp(0) - log(len(noise))


def evidence_in_a_loop(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    total = torch.full((len(x),), -torch.inf, dtype=x.dtype)
    for z in noise:
        residual = x - (weight @ z + bias)
        one = -0.5 * (residual @ residual.T).diagonal() / std**2 - x.shape[1] * (0.5 * log(2 * pi) + std.log())
        total = torch.logaddexp(total, one)
    return total - np.log(noise.shape[0])


def evidence_by_maximum(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    mean = torch.einsum("dl,kl->kd", weight, noise) + bias
    squares = (x.unsqueeze(1) - mean.unsqueeze(0)).pow(2).sum(-1)  # [batch, K]
    exponents = -squares / (2 * std**2)
    top = exponents.max(1, keepdim=True).values.detach()
    mixed = top.squeeze(1) + torch.log(torch.mean(torch.exp(exponents - top), dim=1))
    return mixed - 0.5 * x.shape[-1] * torch.log(2 * pi * std**2)


def evidence_by_multivariate(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    mean = torch.nn.functional.linear(noise, weight, bias)
    p = MultivariateNormal(mean, scale_tril=std * torch.eye(len(bias)).double())
    return torch.stack([p.log_prob(one).sub(log(len(noise))).logsumexp(0) for one in x])


def posterior_in_a_loop(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    rows = []
    for row in log_likelihood:
        joint = log_prior + row
        p = torch.exp(joint - joint.max())
        rows.append(p / (p.sum() * spacing))
    return torch.stack(rows)


def posterior_by_logsumexp(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    joint = log_prior[None] + log_likelihood
    log_evidence = torch.logsumexp(joint, dim=1, keepdim=True) + log(spacing)
    return (joint - log_evidence).exp()


def posterior_by_scipy(log_prior: Tensor, log_likelihood: Tensor, spacing: float) -> Tensor:
    return torch.from_numpy(scipy.special.softmax(log_prior.numpy() + log_likelihood.numpy(), axis=1) / spacing)


def gradient_by_autograd(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    free = means.detach().clone().requires_grad_()
    parts = Independent(Normal(free, std.expand_as(free)), 1)
    total = MixtureSameFamily(Categorical(weights), parts).log_prob(x).sum()
    return torch.autograd.grad(total, free)[0]


def gradient_by_logsumexp(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    means.requires_grad_()
    total = (weights.log() - torch.cdist(x, means).square() / (2 * std**2)).logsumexp(1).sum()
    return torch.autograd.grad(total, means)[0]


def gradient_in_a_loop(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    gradient = torch.zeros(means.shape, dtype=means.dtype)
    for point in x:
        log_joint = torch.stack(
            [w.log() - ((point - m) ** 2).sum() / (2 * std**2) for w, m in zip(weights, means, strict=True)]
        )
        r = (log_joint - log_joint.max()).exp()
        r = r / r.sum()
        for k in range(len(means)):
            gradient[k] += r[k] * (point - means[k]) / std**2
    return gradient


def gradient_by_moments(x: Tensor, weights: Tensor, means: Tensor, std: Tensor) -> Tensor:
    scores = x @ means.T / std**2 - 0.5 * (means**2).sum(1) / std**2 + weights.log()  # ‖x‖² is common to all
    r = torch.softmax(scores, dim=1)
    return (r.T @ x - r.sum(0)[:, None] * means) / std**2


Parameters = tuple[Tensor, Tensor, Tensor]


def em_by_distributions(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Parameters:
    parts = Independent(Normal(means, stds[:, None].expand_as(means)), 1)
    log_joint = parts.log_prob(x[:, None]) + weights.log()
    r = (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()
    counts = r.sum(0)
    new = torch.einsum("nk,nd->kd", r, x) / counts[:, None]
    squares = (x[:, None, :] - new[None]) ** 2
    return r.mean(0), new, torch.sqrt((r[..., None] * squares).sum((0, 2)) / (x.shape[1] * counts))


def em_in_loops(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Parameters:
    n, d = x.shape
    log_joint = torch.zeros(n, len(weights), dtype=x.dtype)
    for i in range(n):
        for k in range(len(weights)):
            eye = torch.eye(d, dtype=x.dtype)
            p = MultivariateNormal(means[k], stds[k] ** 2 * eye)
            log_joint[i, k] = weights[k].log() + p.log_prob(x[i])
    r = torch.softmax(log_joint, 1)
    new_weights, new_means, new_stds = [], [], []
    for k in range(len(weights)):
        count = r[:, k].sum()
        mean = sum(r[i, k] * x[i] for i in range(n)) / count
        variance = sum(r[i, k] * torch.dot(x[i] - mean, x[i] - mean) for i in range(n)) / (d * count)
        new_weights.append(count / n)
        new_means.append(mean)
        new_stds.append(variance**0.5)
    return torch.stack(new_weights), torch.stack(new_means), torch.stack(new_stds)


def em_by_second_moments(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Parameters:
    log_r = weights.log() - x.shape[1] * stds.log() - 0.5 * (torch.cdist(x, means) / stds) ** 2
    r = (log_r - log_r.max(1, keepdim=True).values).exp()
    r = r / r.sum(1, keepdim=True)
    counts = r.sum(0)
    mean = (r.T @ x) / counts.unsqueeze(1)
    second = (r.T @ (x**2).sum(1)) / counts - (mean**2).sum(1)
    return counts / r.sum(), mean, (second / x.shape[1]).sqrt()


def em_by_numpy(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Parameters:
    points, w, m, s = (a.numpy() for a in (x, weights, means, stds))
    d = points.shape[1]
    distances = ((points[:, None] - m) ** 2).sum(-1)
    r = scipy.special.softmax(np.log(w) - 0.5 * distances / s**2 - 0.5 * d * np.log(2 * np.pi * s**2), axis=-1)
    new = np.stack([np.average(points, axis=0, weights=r[:, k]) for k in range(len(w))])
    spread = ((points[:, None] - new) ** 2).mean(-1)
    variance = (r * spread).sum(0) / r.sum(0)
    return torch.from_numpy(r.mean(0)), torch.from_numpy(new), torch.from_numpy(np.sqrt(variance))


def completion_in_loops(x: Tensor, known: int, weight: Tensor, bias: Tensor, uniforms: Tensor) -> Tensor:
    rows = []
    for row, u in zip(x, uniforms, strict=True):
        pixels = [float(value) for value in row[:known]]
        while len(pixels) < len(row):
            i = len(pixels)
            logit = bias[i] + sum(weight[i, j] * pixels[j] for j in range(i))
            pixels.append(float(u[i] < torch.sigmoid(logit)))
        rows.append(torch.tensor(pixels, dtype=x.dtype))
    return torch.stack(rows)


def completion_by_masks(x: Tensor, known: int, weight: Tensor, bias: Tensor, uniforms: Tensor) -> Tensor:
    picture = x * (torch.arange(x.shape[1]) < known)
    for i in range(known, x.shape[1]):
        p = torch.sigmoid(picture @ torch.tril(weight, -1).T + bias)  # of all pixels, of which one is used
        picture = torch.where(torch.arange(x.shape[1]) == i, (uniforms < p).to(x), picture)
    return picture


def completion_by_logits(x: Tensor, known: int, weight: Tensor, bias: Tensor, uniforms: Tensor) -> Tensor:
    columns = list(x[:, :known].T)
    for i in range(known, x.shape[1]):
        earlier = torch.stack(columns, 1) if columns else x.new_zeros(len(x), 0)
        columns.append((torch.logit(uniforms[:, i]) < earlier @ weight[i, :i] + bias[i]).double())
    return torch.stack(columns, 1)


def completion_by_numpy(x: Tensor, known: int, weight: Tensor, bias: Tensor, uniforms: Tensor) -> Tensor:
    out, w, b, u = (a.numpy().copy() for a in (x, weight, bias, uniforms))
    for i in range(known, out.shape[1]):
        out[:, i] = u[:, i] < scipy.special.expit(out[:, :i] @ w[i, :i] + b[i])
    return torch.from_numpy(out)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "sample_mixture": [mixture_in_loops, mixture_by_one_hot, mixture_by_counting, mixture_by_numpy],
    "log_evidence_monte_carlo": [
        evidence_by_distributions,
        evidence_in_a_loop,
        evidence_by_maximum,
        evidence_by_multivariate,
    ],
    "posterior_on_grid": [posterior_in_a_loop, posterior_by_logsumexp, posterior_by_scipy],
    "evidence_gradient": [gradient_by_autograd, gradient_by_logsumexp, gradient_in_a_loop, gradient_by_moments],
    "em_step": [em_by_distributions, em_in_loops, em_by_second_moments, em_by_numpy],
    "complete_picture": [completion_in_loops, completion_by_masks, completion_by_logits, completion_by_numpy],
}
