"""Right answers to the sheet start_here, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import gaussian_nll_loss, kl_div

Function = Callable[[Tensor], Tensor]


def wasted_in_loops(p: Tensor, q: Tensor) -> Tensor:
    rows = []
    for i in range(len(p)):
        total = torch.zeros(())
        for j in range(p.shape[1]):
            if p[i, j] > 0:
                total = total + p[i, j] * math.log2(p[i, j] / q[i, j])
        rows.append(total)
    return torch.stack(rows)


def wasted_by_scipy(p: Tensor, q: Tensor) -> Tensor:
    return torch.from_numpy(scipy.stats.entropy(p.numpy(), q.numpy(), base=2, axis=1))


def wasted_by_distributions(p: Tensor, q: Tensor) -> Tensor:
    return kl_divergence(Categorical(probs=p), Categorical(probs=q)) / math.log(2)


def wasted_by_lengths(p: Tensor, q: Tensor) -> Tensor:
    right = torch.special.entr(p).sum(1)
    spent = -torch.einsum("bk,bk->b", p, torch.log(q))
    return (spent - right) / torch.log(torch.tensor(2.0))


def density_by_distributions(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return Independent(Normal(mean, std), 1).log_prob(x)


def density_in_loops(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    rows = []
    for point, centre, width in zip(x, mean, std, strict=True):
        total = torch.zeros(())
        for i in range(len(point)):
            distance = (point[i] - centre[i]) / width[i]
            total = total - distance**2 / 2 - torch.log(width[i]) - 0.5 * torch.log(torch.tensor(2 * torch.pi))
        rows.append(total)
    return torch.stack(rows)


def density_into_zeros(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    result = torch.zeros(x.shape[0])
    for i in range(x.shape[1]):
        variance = std[:, i] ** 2
        result = result - (x[:, i] - mean[:, i]) ** 2 / (2 * variance) - 0.5 * torch.log(2 * math.pi * variance)
    return result


def density_by_einsum(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    precision = std.pow(-2)
    squares = torch.einsum("bi,bi,bi->b", x - mean, x - mean, precision)
    return -0.5 * (squares + x.size(1) * math.log(2 * math.pi)) + 0.5 * precision.log().sum(dim=1)


def density_by_multivariate(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return MultivariateNormal(mean, scale_tril=torch.diag_embed(std)).log_prob(x)


def density_by_determinant(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    covariance = torch.diag_embed(std**2)
    squares = ((x - mean) ** 2 / std**2).sum(-1)
    return -0.5 * (squares + torch.logdet(covariance) + x.shape[-1] * math.log(2 * math.pi))


def density_by_standard_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    standard = Normal(torch.zeros(1), torch.ones(1))
    return (standard.log_prob((x - mean) / std) - std.log()).sum(-1)


def density_by_loss(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return -gaussian_nll_loss(mean, x, std**2, full=True, eps=0.0, reduction="none").sum(1)


def density_by_functions(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    terms = torch.div(torch.sub(x, mean), std).square().mul(-0.5) - torch.log(std * math.sqrt(2 * math.pi))
    return torch.sum(terms, dim=1)


def table_by_distributions(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return Independent(Normal(means, stds), 1).log_prob(x[:, None])


def table_in_loops(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    table = torch.zeros(len(x), len(means))
    for i in range(len(x)):
        for j in range(len(means)):
            table[i, j] = Normal(means[j], stds[j]).log_prob(x[i]).sum()
    return table


def table_by_columns(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return torch.stack([Independent(Normal(m, s), 1).log_prob(x) for m, s in zip(means, stds, strict=True)], dim=1)


def table_by_rows(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return torch.stack([Normal(means, stds).log_prob(row).sum(-1) for row in x])


def table_by_transpose(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return Normal(means.unsqueeze(1), stds.unsqueeze(1)).log_prob(x.unsqueeze(0)).sum(2).t()


def table_by_hand(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    z = (x[:, None, :] - means[None, :, :]) / stds[None, :, :]
    return -0.5 * (z * z).sum(-1) - stds.log().sum(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)


def table_by_scipy(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    columns = [
        scipy.stats.norm.logpdf(x.numpy(), m, s).sum(1) for m, s in zip(means.numpy(), stds.numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(columns, axis=1))


def table_by_multivariate(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return MultivariateNormal(means, torch.diag_embed(stds**2)).log_prob(x.unsqueeze(1))


def table_by_repetition(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    n, k = len(x), len(means)
    points = x.repeat_interleave(k, dim=0)
    return Normal(means.repeat(n, 1), stds.repeat(n, 1)).log_prob(points).sum(1).view(n, k)


def table_by_exchange(x: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    return Independent(Normal(x[:, None].expand(-1, len(means), -1), stds), 1).log_prob(means)


def expectation_in_a_loop(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    values = [function(mean + std * e) for e in noise]
    n = len(values)
    average = sum(values, torch.zeros(())) / n
    variance = sum(((v - average) ** 2 for v in values), torch.zeros(())) / (n - 1)
    return average, torch.sqrt(variance / n)


def expectation_by_torch(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    spread, average = torch.std_mean(function(torch.add(mean, noise, alpha=std)))
    return average, spread / len(noise) ** 0.5


def expectation_by_numpy(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    y = function(mean + std * noise).numpy()
    return torch.tensor(np.mean(y)), torch.tensor(np.std(y, ddof=1) / np.sqrt(y.size))


def expectation_by_scipy(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    y = function(torch.from_numpy(mean + std * noise.numpy())).numpy()
    return torch.tensor(y.mean()), torch.as_tensor(scipy.stats.sem(y))


def expectation_by_statistics(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    y = function(noise * std + mean).tolist()
    return torch.tensor(statistics.fmean(y)), torch.tensor(statistics.stdev(y) / math.sqrt(len(y)))


def expectation_in_other_terms(function: Function, mean: float, std: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    y = function(torch.tensor(mean) + torch.tensor(std) * noise)
    return y.sum() / y.numel(), y.std(unbiased=False) / torch.sqrt(torch.tensor(y.shape[0] - 1))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "bits_wasted": [
        wasted_in_loops,
        wasted_by_scipy,
        wasted_by_distributions,
        wasted_by_lengths,
        lambda p, q: kl_div(q.log(), p, reduction="none").sum(-1) / math.log(2),
        lambda p, q: torch.nan_to_num(p * (p / q).log2()).sum(dim=1),
    ],
    "normal_log_density": [
        density_by_distributions,
        density_in_loops,
        density_into_zeros,
        density_by_einsum,
        density_by_multivariate,
        density_by_determinant,
        density_by_standard_normal,
        density_by_loss,
        density_by_functions,
    ],
    "log_density_table": [
        table_by_distributions,
        table_in_loops,
        table_by_columns,
        table_by_rows,
        table_by_transpose,
        table_by_hand,
        table_by_scipy,
        table_by_multivariate,
        table_by_repetition,
        table_by_exchange,
    ],
    "expectation": [
        expectation_in_a_loop,
        expectation_by_torch,
        expectation_by_numpy,
        expectation_by_scipy,
        expectation_by_statistics,
        expectation_in_other_terms,
    ],
}
