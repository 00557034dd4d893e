"""Right answers to the sheet beta_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.distributions import Categorical as Weights
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, one_hot, pad


def bound_by_distributions(x: Tensor, logits: Tensor, mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    likelihood = Independent(Bernoulli(logits=logits), 1)
    q = Independent(Normal(mean, log_std.exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    return likelihood.log_prob(x) - beta * kl_divergence(q, prior)


def bound_by_cross_entropy(x: Tensor, logits: Tensor, mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    distortion = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)
    rate = -0.5 * torch.sum(1 + 2 * log_std - mean**2 - torch.exp(log_std) ** 2, dim=1)
    return -(distortion + beta * rate)


def bound_in_a_loop(x: Tensor, logits: Tensor, mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    value = torch.zeros(len(x))
    for i in range(x.shape[1]):
        value = value + x[:, i] * logsigmoid(logits[:, i]) + (1 - x[:, i]) * logsigmoid(-logits[:, i])
    for k in range(mean.shape[1]):
        value = value - beta * ((mean[:, k] ** 2 + (2 * log_std[:, k]).exp() - 1) / 2 - log_std[:, k])
    return value


def bound_in_single(x: Tensor, logits: Tensor, mean: Tensor, log_std: Tensor, beta: float) -> Tensor:
    value = torch.zeros(len(x))
    for i in range(len(x)):
        signs = 2 * x[i] - 1
        kl = 0.5 * (mean[i] @ mean[i] + (2 * log_std[i]).exp().sum() - mean.shape[1]) - log_std[i].sum()
        value[i] = logsigmoid(signs * logits[i]).sum() - beta * kl
    return value


def traverse_by_clones(z: Tensor, latent: int, values: Tensor) -> Tensor:
    rows = []
    for value in values:
        row = z.clone()
        row[latent] = value
        rows.append(row)
    return torch.stack(rows)


def traverse_in_single(z: Tensor, latent: int, values: Tensor) -> Tensor:
    rows = torch.zeros(len(values), len(z))
    rows[:] = z
    rows[:, latent] = values
    return rows


def traverse_by_columns(z: Tensor, latent: int, values: Tensor) -> Tensor:
    columns = [values if k == latent else z[k].expand(len(values)) for k in range(len(z))]
    return torch.stack(columns, dim=1)


def traverse_by_pieces(z: Tensor, latent: int, values: Tensor) -> Tensor:
    before, after = z[:latent], z[latent + 1 :]
    n = len(values)
    return torch.cat([before.expand(n, -1), values[:, None], after.expand(n, -1)], dim=-1)


def traverse_by_direction(z: Tensor, latent: int, values: Tensor) -> Tensor:
    direction = torch.eye(len(z), dtype=z.dtype)[latent]
    return z + torch.outer(values - z[latent], direction)


def information_in_loops(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    low, width = codes.min(), (codes.max() - codes.min()) / bins
    joint = torch.zeros(bins, int(factor.max()) + 1)
    for c, v in zip(codes, factor, strict=True):
        b = min(int((c - low) / width), bins - 1) if width > 0 else 0
        joint[b, v] += 1 / len(codes)
    total = torch.tensor(0.0)
    for b in range(joint.shape[0]):
        for v in range(joint.shape[1]):
            if joint[b, v] > 0:
                total += joint[b, v] * torch.log(joint[b, v] / (joint[b].sum() * joint[:, v].sum()))
    return total


def information_by_numpy(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    edges = np.arange(int(factor.max()) + 2) - 0.5
    joint, _, _ = np.histogram2d(codes.numpy(), factor.numpy(), bins=(bins, edges))
    joint /= joint.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    kept = joint > 0
    return torch.tensor(np.sum(joint[kept] * np.log(joint[kept] / product[kept])))


def information_by_scipy(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    table = np.stack(
        [
            np.histogram(codes[factor == v], bins, range=(float(codes.min()), float(codes.max())))[0]
            for v in factor.unique()
        ]
    )
    p = table / len(codes)
    entropies = [scipy.stats.entropy(q) for q in (p.sum(0), p.sum(1), p.ravel())]
    return torch.tensor(entropies[0] + entropies[1] - entropies[2])


def information_by_histc(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    low, high = float(codes.min()), float(codes.max())
    columns = [torch.histc(codes[factor == v], bins, low, high) for v in range(int(factor.max()) + 1)]
    p = torch.stack(columns, 1) / len(codes)
    ratio = p / (p.sum(1, keepdim=True) * p.sum(0))
    return (p * ratio.log()).nansum()


def information_by_one_hot(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    edges = torch.linspace(0, 1, bins + 1, dtype=codes.dtype) * (codes.max() - codes.min()) + codes.min()
    index = torch.bucketize(codes, edges[1:-1].contiguous(), right=True)
    p = one_hot(index, bins).double().T @ one_hot(factor).double() / len(codes)
    p_bin, p_value = p.sum(1), p.sum(0)
    return p[p > 0].mul((p / torch.outer(p_bin, p_value))[p > 0].log()).sum()


def information_with_a_tiny_number(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    edges = torch.linspace(float(codes.min()), float(codes.max()), bins + 1, dtype=codes.dtype)
    index = (torch.searchsorted(edges, codes, right=True) - 1).clamp(0, bins - 1)
    joint = torch.zeros(bins, int(factor.max()) + 1, dtype=torch.float64)
    joint.index_put_((index, factor), torch.tensor(1.0, dtype=torch.float64), accumulate=True)
    joint = joint / joint.sum()
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return (joint * ((joint + 1e-12) / (product + 1e-12)).log()).sum()


def gap_in_a_loop(information: Tensor, entropies: Tensor) -> Tensor:
    total = torch.tensor(0.0)
    for k in range(information.shape[1]):
        column = sorted(information[:, k].tolist(), reverse=True)
        total += (column[0] - column[1]) / entropies[k]
    return total / information.shape[1]


def gap_by_removal(information: Tensor, entropies: Tensor) -> Tensor:
    best, which = information.max(dim=0)
    others = information.clone()
    others[which, torch.arange(len(entropies))] = -torch.inf
    return torch.mean((best - others.max(dim=0).values) / entropies)


def gap_by_numpy(information: Tensor, entropies: Tensor) -> Tensor:
    ordered = np.sort(information.numpy() / entropies.numpy(), axis=0)
    return torch.tensor((ordered[-1] - ordered[-2]).mean())


def decompose_by_distributions(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, ...]:
    n, latents = z.shape
    even = Weights(torch.ones(n, dtype=z.dtype))
    q_x = Normal(mean, log_std.exp())
    q = MixtureSameFamily(even, Independent(q_x, 1))
    log_q = q.log_prob(z)
    each = [MixtureSameFamily(even, Normal(mean[:, k], log_std[:, k].exp())).log_prob(z[:, k]) for k in range(latents)]
    product = torch.stack(each).sum(0)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(1)
    log_own = q_x.log_prob(z).sum(1)
    return (log_own - log_q).mean(), (log_q - product).mean(), (product - log_p).mean()


def decompose_in_single(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, ...]:
    """Filled into float32 tensors, one draw after the other, without 2π, which cancels."""
    n = len(z)
    own, joint, marginals, prior = torch.zeros(n), torch.zeros(n), torch.zeros(n), torch.zeros(n)
    for i in range(n):
        log_q = -0.5 * (z[i] - mean) ** 2 / torch.exp(2 * log_std) - log_std  # [n, latents]
        own[i] = log_q[i].sum()
        joint[i] = torch.logsumexp(log_q.sum(1), 0) - log(n)
        marginals[i] = (torch.logsumexp(log_q, 0) - log(n)).sum()
        prior[i] = -0.5 * (z[i] ** 2).sum()
    return (own - joint).mean(), (joint - marginals).mean(), (marginals - prior).mean()


def decompose_by_softmax(z: Tensor, mean: Tensor, log_std: Tensor) -> list[Tensor]:
    """All pairs with the pictures first; log-sum-exp by the maximum."""

    def log_mean(values: Tensor) -> Tensor:
        top = values.amax(0)
        return top + (values - top).exp().mean(0).log()

    pairs = Normal(mean.unsqueeze(1), log_std.exp().unsqueeze(1)).log_prob(z.unsqueeze(0))  # [j, i, k]
    log_own = torch.einsum("iik->i", pairs)
    log_joint, log_marginals = log_mean(pairs.sum(2)), log_mean(pairs).sum(1)
    log_prior = Normal(0, 1).log_prob(z).sum(-1)
    return [
        log_own.mean() - log_joint.mean(),
        log_joint.mean() - log_marginals.mean(),
        log_marginals.mean() - log_prior.mean(),
    ]


def decompose_by_differences(z: Tensor, mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The total correlation as what is left of the whole."""
    q_x, p = Normal(mean, log_std.exp()), Normal(torch.zeros_like(z), 1.0)
    whole = (q_x.log_prob(z) - p.log_prob(z)).sum(1).mean()
    pairs = q_x.log_prob(z[:, None])
    index_code = (q_x.log_prob(z).sum(1) - pairs.sum(2).logsumexp(1)).mean() + log(len(z))
    dimension_wise = (pairs.logsumexp(1) - log(len(z)) - p.log_prob(z)).sum(1).mean()
    return index_code, whole - index_code - dimension_wise, dimension_wise


def minibatch_by_mixtures(z: Tensor, mean: Tensor, log_std: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Own term and the mean of the others, in a loop."""
    n, latents = z.shape
    joint, product = [], []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        log_q = Normal(mean, log_std.exp()).log_prob(z[i])  # [n, latents]
        terms = torch.stack(
            [log_q[i].sum() - log(size), *(log_q[j].sum() + log(1 - 1 / size) - log(n - 1) for j in others)]
        )
        joint.append(torch.logsumexp(terms, 0))
        total = torch.zeros(())
        for k in range(latents):
            rest = torch.logsumexp(log_q[others, k], 0) + log((size - 1) / (size * (n - 1)))
            total = total + torch.logaddexp(log_q[i, k] - log(size), rest)
        product.append(total)
    return torch.stack(joint), torch.stack(product)


def minibatch_by_distributions(z: Tensor, mean: Tensor, log_std: Tensor, size: int) -> list[Tensor]:
    """Mixtures with the weights of each draw."""
    n, latents = z.shape
    weights = (size - 1) / size / (n - 1) * (1 - torch.eye(n, dtype=z.dtype)) + torch.eye(n, dtype=z.dtype) / size
    q = Normal(mean.expand(n, n, latents), log_std.exp().expand(n, n, latents))
    joint = MixtureSameFamily(Weights(probs=weights), Independent(q, 1)).log_prob(z)
    each = Normal(mean.T.expand(n, latents, n), log_std.exp().T.expand(n, latents, n))
    repeated = weights[:, None].expand(n, latents, n)
    return [joint, MixtureSameFamily(Weights(probs=repeated), each).log_prob(z).sum(-1)]


def minibatch_by_maximum(z: Tensor, mean: Tensor, log_std: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The pictures first, in numbers relative to the largest."""
    n = len(z)
    own = torch.eye(n, dtype=torch.bool)
    weights = torch.where(own, 1 / size, (1 - 1 / size) / (n - 1)).double()  # [j, i]
    pairs = -((z - mean[:, None]) ** 2) / (2 * (2 * log_std[:, None]).exp()) - log_std[:, None] - 0.5 * log(2 * np.pi)

    def log_mean(values: Tensor, weights: Tensor) -> Tensor:
        top = values.amax(0).detach()
        return top + ((values - top).exp() * weights).sum(0).log()

    return log_mean(pairs.sum(2), weights), log_mean(pairs, weights[..., None]).sum(1)


def minibatch_in_single(z: Tensor, mean: Tensor, log_std: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Weights made in float32."""
    n = len(z)
    log_w = torch.full((n, n), log((size - 1) / (size * (n - 1))))
    log_w[range(n), range(n)] = -log(size)
    pairs = Normal(mean, log_std.exp()).log_prob(z.unsqueeze(1))
    return (pairs.sum(2) + log_w).logsumexp(1), (pairs + log_w.unsqueeze(2)).logsumexp(1).sum(1)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "beta_elbo": [bound_by_distributions, bound_by_cross_entropy, bound_in_a_loop, bound_in_single],
    "traverse": [
        traverse_by_clones,
        traverse_in_single,
        traverse_by_columns,
        traverse_by_pieces,
        traverse_by_direction,
        lambda z, latent, values: torch.where(torch.arange(len(z)) == latent, values[:, None], z[None]),
        lambda z, latent, values: z.expand(len(values), -1).index_copy(1, torch.tensor([latent]), values[:, None]),
        lambda z, latent, values: (
            pad(values[:, None], (latent, len(z) - latent - 1)) + z * (torch.arange(len(z)) != latent)
        ),
    ],
    "mutual_information": [
        information_in_loops,
        information_by_numpy,
        information_by_scipy,
        information_by_histc,
        information_by_one_hot,
        information_with_a_tiny_number,
    ],
    "mutual_information_gap": [
        gap_in_a_loop,
        gap_by_removal,
        gap_by_numpy,
        lambda information, entropies: (
            information.T.sort(descending=True).values[:, :2].diff().neg().squeeze(1).div(entropies).mean()
        ),
        lambda information, entropies: (information.topk(2, 0).values / entropies).diff(dim=0).abs().mean(),
    ],
    "decompose_kl": [
        decompose_by_distributions,
        decompose_in_single,
        decompose_by_softmax,
        decompose_by_differences,
    ],
    "minibatch_log_q": [
        minibatch_by_mixtures,
        minibatch_by_distributions,
        minibatch_by_maximum,
        minibatch_in_single,
    ],
}
