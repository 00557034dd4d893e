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
from torch.distributions import Categorical, kl_divergence
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


def value_in_a_loop(log_likelihood: Tensor, y: Tensor) -> Tensor:
    classes = log_likelihood.shape[1]
    values = torch.zeros(len(y))
    for i, label in enumerate(y):
        values[i] = log_likelihood[i, label] - (torch.logsumexp(log_likelihood[i], 0) - log(classes))
    return values


def value_by_scipy(log_likelihood: Tensor, y: Tensor) -> Tensor:
    table = log_likelihood.numpy()
    evidence = scipy.special.logsumexp(table, axis=1, b=1 / table.shape[1])
    return torch.from_numpy(table[np.arange(len(table)), y.numpy()] - evidence)


def bound_in_loops(logits: Tensor, bounds: Tensor) -> Tensor:
    classes = logits.shape[1]
    totals = []
    for i in range(len(logits)):
        log_q = logits[i] - torch.logsumexp(logits[i], 0)
        total = torch.zeros(())
        for c in range(classes):
            total = total + log_q[c].exp() * (bounds[i, c] + log(1 / classes) - log_q[c])
        totals.append(total)
    return torch.stack(totals)


def bound_by_distributions(logits: Tensor, bounds: Tensor) -> Tensor:
    q = Categorical(logits=logits)
    prior = Categorical(logits=torch.zeros_like(logits))
    return (q.probs * bounds).sum(-1) - kl_divergence(q, prior)


def bound_below_the_best(logits: Tensor, bounds: Tensor) -> Tensor:
    """log p(x) of the bounds, less KL(q || softmax(bounds))."""
    log_q, log_r = logits.log_softmax(1), bounds.log_softmax(1)
    best = bounds.logsumexp(1) - log(bounds.shape[1])
    return best - torch.einsum("ij,ij->i", log_q.exp(), log_q - log_r)


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
        lambda log_likelihood, y: log(log_likelihood.shape[1]) - cross_entropy(log_likelihood, y, reduction="none"),
        lambda log_likelihood, y: (
            log_likelihood[torch.arange(len(y)), y] - log_likelihood.logsumexp(1) + log(log_likelihood.shape[1])
        ),
        lambda log_likelihood, y: (
            Categorical(logits=log_likelihood).log_prob(y)
            - Categorical(logits=torch.zeros_like(log_likelihood)).log_prob(y)
        ),
        lambda log_likelihood, y: (
            torch.einsum("ij,ij->i", one_hot(y, log_likelihood.shape[1]).double(), log_likelihood.log_softmax(1))
            + np.log(log_likelihood.shape[1])
        ),
    ],
    "unlabelled_bound": [
        bound_in_loops,
        bound_by_distributions,
        bound_below_the_best,
        lambda logits, bounds: (
            (logits.softmax(-1) * bounds).sum(-1) + Categorical(logits=logits).entropy() - log(logits.shape[-1])
        ),
        lambda logits, bounds: (
            torch.einsum("bc,bc->b", logits.softmax(1), bounds - logits.log_softmax(1).detach())
            - torch.tensor(float(bounds.shape[1])).log()
        ),
        lambda logits, bounds: (
            (logits.softmax(-1) * (bounds - logits.softmax(-1).clamp(min=1e-30).log())).sum(-1) - log(bounds.shape[-1])
        ),
    ],
}
