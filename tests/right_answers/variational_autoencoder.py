"""Right answers to the sheet variational_autoencoder, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def kl_in_a_loop(mean: Tensor, log_std: Tensor) -> Tensor:
    total = torch.zeros(len(mean), dtype=mean.dtype)
    for j in range(mean.shape[1]):
        total = total + (mean[:, j] ** 2 + torch.exp(2 * log_std[:, j])) / 2 - 0.5 - log_std[:, j]
    return total


def elbo_by_distributions(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    q, p = Normal(mean, log_std.exp()), Normal(0.0, 1.0)
    return (log_likelihood + p.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)).mean(0)


def elbo_by_hand(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    noise = (z - mean) / log_std.exp()
    log_ratio = -0.5 * z**2 + 0.5 * noise**2 + log_std  # the constants cancel
    return torch.mean(log_likelihood + torch.sum(log_ratio, dim=2), dim=0)


def elbo_in_a_loop(log_likelihood: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    q = Independent(Normal(mean, log_std.exp()), 1)
    p = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    draws = [log_p + p.log_prob(one) - q.log_prob(one) for log_p, one in zip(log_likelihood, z, strict=True)]
    return torch.stack(draws).sum(0) / len(draws)


class HeadsInSequence(nn.Module):
    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(pixels, width), nn.SiLU())
        self.mean = nn.Linear(width, latent)
        self.log_std = nn.Linear(width, latent)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return torch.cat((self.mean(h), self.log_std(h)), dim=1)


class HeadsInAList(nn.Module):
    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.first = nn.Linear(pixels, width)
        self.heads = nn.ModuleList(nn.Linear(width, latent) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h = h * torch.sigmoid(h)
        return torch.hstack([head(h) for head in self.heads])


class HeadsFilled(nn.Module):
    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.hidden, self.act = nn.Linear(pixels, width), nn.SiLU()
        self.mu = nn.Linear(width, latent)
        self.s = nn.Linear(width, latent)
        self.latent = latent

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.hidden(x))
        out = x.new_zeros(len(x), 2 * self.latent)
        out[:, : self.latent] = self.mu(h)
        out[:, self.latent :] = self.s(h)
        return out


def grid_by_loops(steps: int) -> Tensor:
    z = [scipy.special.ndtri((i + 0.5) / steps) for i in range(steps)]
    return torch.tensor([[[z[j], z[steps - 1 - i]] for j in range(steps)] for i in range(steps)], dtype=torch.float64)


def grid_by_linspace(steps: int) -> Tensor:
    axis = torch.special.ndtri(torch.linspace(0.5 / steps, 1 - 0.5 / steps, steps, dtype=torch.float64))
    across, down = torch.meshgrid(axis, axis.flip(0), indexing="xy")
    return torch.stack((across, down), dim=2)


def grid_by_numpy(steps: int) -> Tensor:
    axis = scipy.special.ndtri((np.arange(steps) + 0.5) / steps)
    return torch.from_numpy(np.dstack(np.meshgrid(axis, axis[::-1])))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "reparameterize": [
        lambda mean, log_std, noise: torch.exp(log_std) * noise + mean,
        lambda mean, log_std, noise: torch.addcmul(mean, log_std.exp(), noise),
        lambda mean, log_std, noise: Normal(0.0, 1.0).mean + mean + noise * (2 * log_std).exp().sqrt(),
    ],
    "kl_to_standard_normal": [
        kl_in_a_loop,
        lambda mean, log_std: kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum(-1),
        lambda mean, log_std: -0.5 * torch.sum(1 + 2 * log_std - mean**2 - torch.exp(log_std) ** 2, dim=1),
    ],
    "bernoulli_log_likelihood": [
        lambda logits, x: Independent(Bernoulli(logits=logits), 3).log_prob(x),
        lambda logits, x: -binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3)),
        lambda logits, x: (x * logsigmoid(logits) + (1 - x) * logsigmoid(-logits)).flatten(1).sum(1),
        lambda logits, x: logsigmoid((2 * x - 1) * logits).sum(dim=(-3, -2, -1)),
    ],
    "elbo_from_samples": [elbo_by_distributions, elbo_by_hand, elbo_in_a_loop],
    "TwoHeads": [HeadsInSequence, HeadsInAList, HeadsFilled],
    "manifold_grid": [grid_by_loops, grid_by_linspace, grid_by_numpy],
}
