"""Right answers to the sheet variational_inference, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, log2
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import kl_div


def excess_in_a_loop(q: Tensor, p: Tensor) -> Tensor:
    total = 0.0
    for a, b in zip(q.tolist(), p.tolist(), strict=True):
        if a > 0:
            total += a * (log2(a) - log2(b))
    return torch.tensor(total, dtype=torch.float64)


def excess_as_difference(q: Tensor, p: Tensor) -> Tensor:
    drawn = q > 0
    entropy = -(q[drawn] * q[drawn].log2()).sum()
    return -(q * p.log2()).sum() - entropy


def excess_by_where(q: Tensor, p: Tensor) -> Tensor:
    safe = torch.where(q > 0, q, torch.ones_like(q))
    return torch.dot(q, torch.log2(safe / p))


def excess_by_scipy(q: Tensor, p: Tensor) -> Tensor:
    return torch.as_tensor(scipy.stats.entropy(q.numpy(), p.numpy(), base=2))


def kl_in_a_loop(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    total = torch.zeros(len(mean_q), dtype=mean_q.dtype)
    for j in range(mean_q.shape[1]):
        variance_q, variance_p = torch.exp(2 * log_std_q[:, j]), torch.exp(2 * log_std_p[:, j])
        square = (mean_q[:, j] - mean_p[:, j]) ** 2
        total = total + 0.5 * (torch.log(variance_p / variance_q) + (variance_q + square) / variance_p - 1)
    return total


def kl_by_multivariate(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    q = MultivariateNormal(mean_q, scale_tril=torch.diag_embed(log_std_q.exp()))
    return kl_divergence(q, MultivariateNormal(mean_p, scale_tril=torch.diag_embed(log_std_p.exp())))


def kl_as_cross_entropy(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    q, p = Independent(Normal(mean_q, log_std_q.exp()), 1), Independent(Normal(mean_p, log_std_p.exp()), 1)
    cross = -p.log_prob(mean_q) + 0.5 * ((log_std_q - log_std_p).exp() ** 2).sum(-1)
    return cross - q.entropy()


def moments_by_centring(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.einsum("k,k->", weights, means)
    return mean, torch.sqrt(torch.einsum("k,k->", weights, stds**2 + (means - mean) ** 2))


def moments_in_a_loop(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    first, second = torch.zeros((), dtype=weights.dtype), torch.zeros((), dtype=weights.dtype)
    for w, m, s in zip(weights, means, stds, strict=True):
        first = first + w * m
        second = second + w * (m**2 + s**2)
    return first, (second - first**2) ** 0.5


def moments_by_pairs(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    pairs = torch.outer(weights, weights) * (means[:, None] - means) ** 2
    return (weights * means).sum(), ((weights * stds.square()).sum() + pairs.sum() / 2).sqrt()


def moments_by_numpy(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    w, m, s = (a.numpy() for a in (weights, means, stds))
    mean = np.average(m, weights=w)
    return torch.as_tensor(mean), torch.as_tensor(np.sqrt(np.average(s**2 + (m - mean) ** 2, weights=w)))


def mean_field_by_cholesky(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    return mean, 1 / torch.sqrt(torch.diag(inverse))


def mean_field_by_schur(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    stds = []
    for i in range(len(mean)):
        others = [j for j in range(len(mean)) if j != i]
        across = covariance[i, others]
        left = covariance[i, i] - across @ torch.linalg.solve(covariance[others][:, others], across)
        stds.append(left.sqrt())
    return mean.clone(), torch.stack(stds)


def mean_field_by_distribution(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    p = MultivariateNormal(mean, covariance)
    return p.mean, p.precision_matrix.diagonal() ** -0.5


def mean_field_by_numpy(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = np.linalg.eigh(covariance.numpy())
    precision = vectors @ np.diag(1 / values) @ vectors.T
    return mean, torch.from_numpy(1 / np.sqrt(precision.diagonal()))


def sweep_in_loops(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    m = [float(one) for one in start]
    for i in range(len(m)):
        pull = sum(float(precision[i, j]) * (m[j] - float(mean[j])) for j in range(len(m)) if j != i)
        m[i] = float(mean[i]) - pull / float(precision[i, i])
    return torch.tensor(m, dtype=start.dtype)


def sweep_by_triangles(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    # Gauss-Seidel: (D + L) (new − μ) = −U (old − μ)
    right = -precision.triu(1) @ (start - mean)
    return mean + torch.linalg.solve_triangular(precision.tril(), right[:, None], upper=False)[:, 0]


def sweep_by_mask(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    m = start
    for i in range(len(start)):
        keep = torch.arange(len(start)) != i
        new = mean[i] - precision[i][keep] @ (m - mean)[keep] / precision[i, i]
        m = torch.cat([m[:i], new[None], m[i + 1 :]])
    return m


def sweep_by_gradient(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    m = start.clone()
    for i in range(m.numel()):
        m[i] -= precision[i].dot(m - mean) / precision[i, i]  # one Newton step along coordinate i
    return m


def sweep_of_two_by_sums(x: Tensor, mu_0: Tensor, lambda_0: Tensor, a_0: Tensor, b_0: Tensor, precision: Tensor) -> Any:
    n, total, squares = len(x), x.sum(), x.square().sum()
    m = (lambda_0 * mu_0 + total) / (lambda_0 + n)
    v = 1 / ((lambda_0 + n) * precision)
    second = m**2 + v  # E[μ²]
    spread = squares - 2 * m * total + n * second + lambda_0 * (second - 2 * m * mu_0 + mu_0**2)
    return m, v, a_0 + 0.5 * (n + 1), b_0 + 0.5 * spread


def sweep_of_two_in_a_loop(
    x: Tensor, mu_0: Tensor, lambda_0: Tensor, a_0: Tensor, b_0: Tensor, precision: Tensor
) -> Any:
    weights, values = [float(lambda_0)] + [1.0] * len(x), [float(mu_0), *x.tolist()]  # the prior as one more point
    m = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
    v = 1 / (sum(weights) * float(precision))
    a, b = float(a_0) + 0.5, float(b_0) + 0.5 * weights[0] * ((m - values[0]) ** 2 + v)
    for value in values[1:]:
        a, b = a + 0.5, b + 0.5 * ((value - m) ** 2 + v)
    return tuple(torch.tensor(one, dtype=torch.float64) for one in (m, v, a, b))


def sweep_of_two_by_gradients(
    x: Tensor, mu_0: Tensor, lambda_0: Tensor, a_0: Tensor, b_0: Tensor, precision: Tensor
) -> Any:
    def energy(mu: Tensor) -> Tensor:  # what stands before −τ in the logarithm of the joint density, without b₀
        return ((x - mu).square().sum() + lambda_0 * (mu - mu_0) ** 2) / 2

    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(energy(zero), zero, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, zero)
    m, v = -slope.detach() / curvature, 1 / (precision * curvature)
    return m, v, a_0 + (len(x) + 1) / 2, b_0 + energy(m) + curvature * v / 2


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "excess_code_length": [
        excess_in_a_loop,
        excess_as_difference,
        excess_by_where,
        excess_by_scipy,
        lambda q, p: kl_div(p.log(), q, reduction="sum") / log(2),
        lambda q, p: kl_divergence(Categorical(probs=q), Categorical(probs=p)) / log(2),
        lambda q, p: torch.from_numpy(scipy.special.rel_entr(q.numpy(), p.numpy())).sum() / log(2),
    ],
    "kl_diagonal_normals": [
        kl_in_a_loop,
        kl_by_multivariate,
        kl_as_cross_entropy,
        lambda mean_q, log_std_q, mean_p, log_std_p: kl_divergence(
            Normal(mean_q, log_std_q.exp()), Normal(mean_p, log_std_p.exp())
        ).sum(-1),
    ],
    "moment_match": [moments_by_centring, moments_in_a_loop, moments_by_pairs, moments_by_numpy],
    "mean_field_of_normal": [
        mean_field_by_cholesky,
        mean_field_by_schur,
        mean_field_by_distribution,
        mean_field_by_numpy,
    ],
    "coordinate_ascent_sweep": [sweep_in_loops, sweep_by_triangles, sweep_by_mask, sweep_by_gradient],
    "mean_and_precision_sweep": [sweep_of_two_by_sums, sweep_of_two_in_a_loop, sweep_of_two_by_gradients],
}
