"""Right answers to the sheet failures, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torch.nn.functional import softplus


def shares_in_a_loop(counts: Tensor, z: float) -> tuple[Tensor, Tensor]:
    n, ends = float(counts.sum()), []
    for count in counts.tolist():
        middle = (count + z * z / 2) / (n + z * z)
        half = z / (n + z * z) * (count * (n - count) / n + z * z / 4) ** 0.5
        ends.append((middle - half, middle + half))
    low, high = zip(*ends, strict=True)
    return torch.tensor(low).double(), torch.tensor(high).double()


def shares_as_roots(counts: Tensor, z: float) -> tuple[Tensor, Tensor]:
    """The two shares p at which the observed one lies z deviations away: (s − p)² = z² p (1 − p) / n."""
    n = counts.sum()
    s = counts / n
    a, b, c = 1 + z**2 / n, -(2 * s + z**2 / n), s**2
    root = (b**2 - 4 * a * c).clamp(min=0).sqrt()
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def shares_by_numpy(counts: Tensor, z: float) -> tuple[Tensor, Tensor]:
    k, n = counts.numpy(), counts.numpy().sum()
    centre = (k / n + z**2 / 2 / n) / (1 + z**2 / n)
    half = z * np.sqrt(k / n * (1 - k / n) / n + (z / 2 / n) ** 2) / (1 + z**2 / n)
    return torch.from_numpy(centre - half), torch.from_numpy(centre + half)


def reach_by_kthvalue(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    def reach(points: Tensor) -> Tensor:
        apart = torch.linalg.vector_norm(points[:, None] - points, dim=-1)
        return apart.kthvalue(k + 1, dim=1).values

    between = torch.linalg.vector_norm(made[:, None] - real, dim=-1)
    precision = (between <= reach(real)).any(1).double().mean()
    return precision, (between <= reach(made)[:, None]).any(0).double().mean()


def reach_by_loops(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    def covered(points: Tensor, by: Tensor) -> Tensor:
        inside = []
        for point in points:
            found = False
            for i, centre in enumerate(by):
                others = torch.cat([by[:i], by[i + 1 :]])
                reach = (others - centre).square().sum(1).sort().values[k - 1]
                found |= bool((point - centre).square().sum() <= reach)
            inside.append(found)
        return torch.tensor(inside).double().mean()

    return covered(made, real), covered(real, made)


def reach_by_scipy(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    a, b = real.numpy(), made.numpy()
    reach_a, reach_b = (np.sort(cdist(points, points), axis=1)[:, k] for points in (a, b))
    apart = cdist(b, a)
    return (
        torch.tensor((apart <= reach_a[None]).any(1).mean()),
        torch.tensor((apart <= reach_b[:, None]).any(0).mean()),
    )


def noise_in_a_loop(log_good: Tensor, log_noise: Tensor, nats: float) -> Tensor:
    least = 1.0
    for good, noise in zip(log_good.tolist(), log_noise.tolist(), strict=True):
        if noise - good < -nats:
            least = min(least, float(np.expm1(-nats) / np.expm1(noise - good)))
    return torch.tensor(least).double()


def noise_by_masks(log_good: Tensor, log_noise: Tensor, nats: float) -> Tensor:
    ratio = (log_noise - log_good).exp()
    limited = ratio < exp(-nats)
    shares = -torch.expm1(torch.tensor(-nats).double()) / (1 - ratio[limited])
    return torch.cat([shares, shares.new_ones(1)]).min()


def noise_by_the_worst(log_good: Tensor, log_noise: Tensor, nats: float) -> Tensor:
    """The example where noise is farthest behind allows least."""
    behind = float((log_good - log_noise).max())
    if behind <= nats:
        return torch.ones(()).double()
    return torch.tensor(np.expm1(-nats) / np.expm1(-behind))


class HeadAsAttributes(nn.Module):
    def __init__(self, features: int, latent: int, low: float, high: float) -> None:
        super().__init__()
        self.linear, self.low, self.high = nn.Linear(features, latent), low, high

    def forward(self, x: Tensor) -> Tensor:
        below = self.high - softplus(self.high - self.linear(x))
        return self.low + softplus(below - self.low)


class HeadByLogarithms(nn.Module):
    """softplus(v) = log(1 + eᵛ) = logaddexp(0, v)."""

    def __init__(self, features: int, latent: int, low: float, high: float) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(features, latent))
        self.bounds = (low, high)

    def forward(self, x: Tensor) -> Tensor:
        low, high = (torch.tensor(b, dtype=x.dtype) for b in self.bounds)
        zero = torch.zeros((), dtype=x.dtype)
        bounded = high - torch.logaddexp(zero, high - self.layer(x))
        return torch.logaddexp(low, bounded)  # low + log(1 + e^(b − low)) = log(e^low + e^b)


class HeadWithBuffers(nn.Module):
    def __init__(self, features: int, latent: int, low: float, high: float) -> None:
        super().__init__()
        self.layer, self.soft = nn.Linear(features, latent), nn.Softplus()
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64))
        self.register_buffer("high", torch.tensor(high, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        raw = self.layer(x)
        return self.low + self.soft(self.high - self.soft(self.high - raw) - self.low)


def few_in_a_loop(bounds: Tensor) -> Tensor:
    means = [float(row.mean()) for row in bounds]
    best = means.index(max(means))
    change = sorted((bounds[-1] - bounds[best]).tolist())
    left_out = 0
    while sum(change[left_out:]) < 0:
        left_out += 1
    return torch.tensor(left_out)


def few_by_numpy(bounds: Tensor) -> Tensor:
    table = bounds.numpy()
    change = np.sort(table[-1] - table[table.mean(1).argmax()])[::-1]  # gains first
    sums = np.concatenate([[0.0], np.cumsum(change)])  # of the best 0, 1, … n
    return torch.tensor(len(change) - int(np.flatnonzero(sums >= 0)[-1]))


def few_by_trying(bounds: Tensor) -> Tensor:
    best = bounds.sum(1).max(0).indices
    change = bounds[-1] - bounds[best]
    order = change.argsort()
    for m in range(len(order)):
        if change[order[m:]].sum() >= 0:
            return torch.tensor(m)
    return torch.tensor(len(order))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "share_intervals": [shares_in_a_loop, shares_as_roots, shares_by_numpy],
    "precision_and_recall": [reach_by_kthvalue, reach_by_loops, reach_by_scipy],
    "noise_allowed": [noise_in_a_loop, noise_by_masks, noise_by_the_worst],
    "BoundedHead": [HeadAsAttributes, HeadByLogarithms, HeadWithBuffers],
    "decided_by": [few_in_a_loop, few_by_numpy, few_by_trying],
}
