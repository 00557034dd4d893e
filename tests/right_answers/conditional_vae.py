"""Right answers to the sheet conditional_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.nn.functional import cross_entropy, one_hot, silu


class InSequence(nn.Module):
    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.classes = classes
        self.network = nn.Sequential(nn.Linear(latent + classes, width), nn.SiLU(), nn.Linear(width, pixels))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        code = one_hot(y, self.classes).to(z.dtype) * self.classes**0.5
        return self.network(torch.cat([z, code.expand(*z.shape[:-1], self.classes)], -1))


class ByIdentity(nn.Module):
    """The codes as a buffer; layers as attributes; the activation as a function."""

    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.register_buffer("codes", math.sqrt(classes) * torch.eye(classes))
        self.output, self.hidden = nn.Linear(width, pixels), nn.Linear(latent + classes, width)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        codes = self.codes[y.expand(z.shape[:-1])]  # type: ignore[index]
        return self.output(silu(self.hidden(torch.cat((z, codes), dim=z.ndim - 1))))


class ByScatter(nn.Module):
    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.latent, self.size, self.scale = latent, latent + classes, classes**0.5
        self.layers = nn.ModuleList([nn.Linear(latent + classes, width), nn.Linear(width, pixels)])

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        first, last = self.layers
        joined = z.new_zeros(*z.shape[:-1], self.size)
        joined[..., : self.latent] = z
        joined.scatter_(-1, self.latent + y.expand(z.shape[:-1])[..., None], self.scale)
        h = first(joined)
        return last(h * h.sigmoid())


class ByOwnWeights(nn.Module):
    """The linear maps written out; the class adds a row of the weights."""

    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.latent, self.classes = latent, classes
        self.weight, self.bias = nn.Parameter(torch.randn(width, latent + classes)), nn.Parameter(torch.zeros(width))
        self.out_weight, self.out_bias = nn.Parameter(torch.randn(pixels, width)), nn.Parameter(torch.zeros(pixels))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        of_class = self.classes**0.5 * self.weight[:, self.latent + y].T
        h = silu(z @ self.weight[:, : self.latent].T + of_class + self.bias)
        return h @ self.out_weight.T + self.out_bias


def request_in_a_loop(fraction: Tensor, training: Tensor) -> Tensor:
    n = len(training)
    mean = sum(training.tolist()) / n
    std = (sum((v - mean) ** 2 for v in training.tolist()) / (n - 1)) ** 0.5
    return torch.tensor([[(v - mean) / std] for v in fraction.tolist()])


def request_by_numpy(fraction: Tensor, training: Tensor) -> Tensor:
    v, seen = fraction.numpy(), training.numpy()
    return torch.from_numpy((v - seen.mean()) / np.std(seen, ddof=1)).reshape(-1, 1)


def request_by_torch(fraction: Tensor, training: Tensor) -> Tensor:
    std, mean = torch.std_mean(training)
    return (fraction.unsqueeze(1) - mean).div(std)


def posterior_in_a_loop(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    rows = []
    for row in log_likelihood:
        joint = row + log_prior
        total = joint[0]
        for one in joint[1:]:
            total = torch.logaddexp(total, one)
        rows.append(joint - total)
    return torch.stack(rows)


def posterior_by_maximum(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    joint = log_likelihood + log_prior
    shifted = joint - joint.amax(1, keepdim=True)
    return shifted - shifted.exp().sum(1, keepdim=True).log()


def posterior_by_filling(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    found = torch.zeros(log_likelihood.shape)
    for c in range(log_likelihood.shape[1]):
        evidence = torch.logsumexp(log_likelihood + log_prior, 1)
        found[:, c] = log_likelihood[:, c] + log_prior[c] - evidence
    return found


def value_in_a_loop(log_likelihood: Tensor, log_prior: Tensor, y: Tensor) -> Tensor:
    values = torch.zeros(len(y))
    for i, label in enumerate(y):
        values[i] = log_likelihood[i, label] - torch.logsumexp(log_likelihood[i] + log_prior, 0)
    return values


def value_by_scipy(log_likelihood: Tensor, log_prior: Tensor, y: Tensor) -> Tensor:
    table = log_likelihood.numpy()
    evidence = scipy.special.logsumexp(table, axis=1, b=np.exp(log_prior.numpy()))
    return torch.from_numpy(table[np.arange(len(table)), y.numpy()] - evidence)


def elbo_in_loops(log_likelihood: Tensor, m: Tensor, s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    bounds = []
    for i in range(len(m)):
        total = log_likelihood[i]
        for j in range(m.shape[1]):
            own, other = torch.exp(s[i, j]), torch.exp(b[i, j])
            total = total - (torch.log(other / own) + (own**2 + (m[i, j] - a[i, j]) ** 2) / (2 * other**2) - 0.5)
        bounds.append(total)
    return torch.stack(bounds)


def elbo_by_distributions(log_likelihood: Tensor, m: Tensor, s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    q, p = Independent(Normal(m, s.exp()), 1), Independent(Normal(a, b.exp()), 1)
    return log_likelihood - kl_divergence(q, p)


def elbo_by_sums(log_likelihood: Tensor, m: Tensor, s: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Minus the cross-entropy, plus the entropy; the constants cancel."""
    cross = 0.5 * (log(2 * math.pi) + 2 * b + (s.mul(2).exp() + (m - a).square()) / b.mul(2).exp())
    entropy = 0.5 * (log(2 * math.pi) + 1) + s
    return log_likelihood - (cross - entropy).sum(-1)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "ConditionalDecoder": [InSequence, ByIdentity, ByScatter, ByOwnWeights],
    "request": [
        request_in_a_loop,
        request_by_numpy,
        request_by_torch,
        lambda fraction, training: ((fraction - training.mean()) / (training.std() + 1e-8)).unsqueeze(-1),
        lambda fraction, training: (fraction.float() - training.float().mean()).view(-1, 1) / training.float().std(),
    ],
    "class_posterior": [
        posterior_in_a_loop,
        posterior_by_maximum,
        posterior_by_filling,
        lambda log_likelihood, log_prior: Categorical(logits=log_likelihood + log_prior).logits,
        lambda log_likelihood, log_prior: (
            (log_likelihood.log_softmax(1) + log_prior)
            - (log_likelihood.log_softmax(1) + log_prior).logsumexp(1)[:, None]
        ),
        lambda log_likelihood, log_prior: torch.log_softmax(log_prior[None] + log_likelihood, dim=1),
    ],
    "label_value": [
        value_in_a_loop,
        value_by_scipy,
        lambda log_likelihood, log_prior, y: (
            -cross_entropy(log_likelihood + log_prior, y, reduction="none") - log_prior[y]
        ),
        lambda log_likelihood, log_prior, y: (
            log_likelihood[torch.arange(len(y)), y] - (log_likelihood + log_prior).logsumexp(1)
        ),
        lambda log_likelihood, log_prior, y: (
            Categorical(logits=log_likelihood + log_prior).log_prob(y) - Categorical(logits=log_prior).log_prob(y)
        ),
        lambda log_likelihood, log_prior, y: (
            ((log_likelihood + log_prior).log_softmax(1) - log_prior).gather(1, y[:, None]).squeeze(1)
        ),
    ],
    "elbo_given": [
        elbo_in_loops,
        elbo_by_distributions,
        elbo_by_sums,
        lambda log_likelihood, m, s, a, b: (
            log_likelihood - 0.5 * (2 * (b - s) - 1 + (s.exp() ** 2 + (m - a) ** 2) / b.exp() ** 2).sum(1)
        ),
    ],
}
