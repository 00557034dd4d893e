"""Right answers to the sheet discrete_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log
from typing import Any

import numpy as np
import torch
from scipy.stats import gumbel_r
from torch import Tensor, nn
from torch.distributions import Categorical, Gumbel, kl_divergence


def draw_row_by_row(logits: Tensor, uniform: Tensor) -> Tensor:
    categories = logits.shape[-1]
    rows = []
    for scores, u in zip(logits.reshape(-1, categories), uniform.reshape(-1, categories), strict=True):
        row = torch.zeros(categories)
        row[int((scores - torch.log(-torch.log(u))).argmax())] = 1
        rows.append(row)
    return torch.stack(rows).reshape(logits.shape)


def draw_by_scatter(logits: Tensor, uniform: Tensor) -> Tensor:
    noise = -torch.log(-torch.log(uniform + 1e-20) + 1e-20)
    index = (logits + noise).max(dim=-1, keepdim=True).indices
    return torch.zeros_like(logits).scatter_(-1, index, 1.0)


def draw_by_scipy(logits: Tensor, uniform: Tensor) -> Tensor:
    index = np.argmax(logits.numpy() + gumbel_r.ppf(uniform.numpy()), axis=-1)
    return torch.from_numpy(np.eye(logits.shape[-1])[index])


def draw_by_race(logits: Tensor, uniform: Tensor) -> Tensor:
    """The first of exponential clocks with the probabilities as rates."""
    times = -uniform.log() / logits.softmax(-1)
    return nn.functional.one_hot(times.argmin(-1), logits.shape[-1]).to(logits.dtype)


def relaxed_by_hand(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    scores = (logits - (-uniform.log()).log()) / temperature
    weights = (scores - scores.max(-1, keepdim=True).values).exp()
    return weights / weights.sum(-1, keepdim=True)


def relaxed_by_quantile(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    noisy = Gumbel(logits, torch.ones_like(logits)).icdf(uniform)
    return nn.Softmax(dim=-1)(noisy / temperature)


def relaxed_by_logarithms(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    noise = -torch.log(-torch.log(uniform + 1e-20) + 1e-20)
    scores = (log_p + noise) / temperature
    return (scores - torch.logsumexp(scores, dim=-1, keepdim=True)).exp()


def relaxed_in_single(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    flat, noise = logits.reshape(-1, logits.shape[-1]), uniform.reshape(-1, logits.shape[-1])
    out = torch.zeros(flat.shape)
    for i in range(len(flat)):
        out[i] = torch.softmax((flat[i] - torch.log(-torch.log(noise[i]))) / temperature, dim=0)
    return out.reshape(logits.shape)


class Through(torch.autograd.Function):
    """One-hot forward, identity backward."""

    @staticmethod
    def forward(context: Any, *arguments: Tensor) -> Tensor:
        (soft,) = arguments
        return torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Tensor:
        return slopes[0]


def through_single(soft: Tensor) -> Tensor:
    hard = torch.zeros(soft.shape)
    hard.scatter_(-1, soft.argmax(-1, keepdim=True), 1)
    return hard - soft.detach() + soft


def through_rows(soft: Tensor) -> Tensor:
    rows = soft.reshape(-1, soft.shape[-1])
    hard = torch.stack([torch.eye(len(row), dtype=soft.dtype)[row.argmax()] for row in rows]).view_as(soft)
    return soft + (hard - soft).detach()


def elbo_in_loops(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    batch, variables, categories = logits.shape
    log_q = torch.log_softmax(logits, dim=2)
    bounds = torch.zeros(batch)
    for i in range(batch):
        for code, z in enumerate(product(range(categories), repeat=variables)):
            log_q_z = sum(log_q[i, v, k] for v, k in enumerate(z))
            assert isinstance(log_q_z, Tensor)
            bounds[i] += log_q_z.exp() * (log_likelihood[i, code] - variables * log(categories) - log_q_z)
    return bounds


def elbo_by_digits(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    _, variables, categories = logits.shape
    places = categories ** torch.arange(variables - 1, -1, -1)
    digits = torch.arange(categories**variables)[:, None] // places % categories  # [codes, V]
    log_q = logits.log_softmax(-1)[:, torch.arange(variables), digits].sum(-1)  # [batch, codes]
    log_prior = torch.full_like(log_likelihood, 1 / categories**variables).log()
    return torch.einsum("bz,bz->b", log_q.exp(), log_likelihood + log_prior - log_q.detach())


def elbo_by_divergence(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    """The mean taken out variable by variable, less the KL to the uniform prior."""
    batch, variables, categories = logits.shape
    q = Categorical(logits=logits)
    left = log_likelihood
    for v in range(variables - 1, -1, -1):
        left = torch.einsum("bzk,bk->bz", left.reshape(batch, -1, categories), q.probs[:, v])
    return left[:, 0] - kl_divergence(q, Categorical(logits=torch.zeros_like(logits))).sum(1)


def elbo_by_entropy(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    _, variables, categories = logits.shape
    q = torch.ones(len(logits), 1, dtype=logits.dtype)
    for v in range(variables):
        q = torch.einsum("bz,bk->bzk", q, logits[:, v].softmax(-1)).flatten(1)
    return (q * log_likelihood).sum(1) - variables * log(categories) + Categorical(logits=logits).entropy().sum(1)


def elbo_with_prior_outside(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    """The weights sum to 1, so that log p(z) may stand outside the sum."""
    variables, categories = logits.shape[1:]
    log_q = torch.zeros(len(logits), 1, dtype=logits.dtype)
    for log_p in logits.log_softmax(-1).unbind(1):
        log_q = (log_q[:, :, None] + log_p[:, None]).flatten(1)
    return (log_q.exp() * (log_likelihood - log_q)).sum(1) - variables * log(categories)


def elbo_with_floor(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    _, variables, categories = logits.shape
    p = torch.softmax(logits, -1)
    q = p[:, 0]
    for v in range(1, variables):
        q = (q[:, :, None] * p[:, v, None]).reshape(len(q), -1)
    return (q * (log_likelihood - variables * log(categories) - torch.log(q + 1e-12))).sum(-1)


def score_in_loops(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    n, probabilities = len(cost), logits.softmax(-1)
    gradient = torch.zeros(len(logits))
    for i in range(n):
        others = [float(cost[j]) for j in range(n) if j != i]
        for k in range(len(logits)):
            gradient[k] += (float(cost[i]) - sum(others) / (n - 1)) * (float(codes[i] == k) - probabilities[k]) / n
    return gradient


def score_by_surrogate(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = logits.detach().clone().requires_grad_()
        baseline = (cost.sum() - cost) / (len(cost) - 1)
        surrogate = ((cost - baseline) * Categorical(logits=leaf).log_prob(codes)).mean()
        return torch.autograd.grad(surrogate, leaf)[0]


def score_by_index(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    """The softmax cancels, because the weights sum to 0."""
    weights = (cost - cost.mean()) / (len(cost) - 1)
    return torch.zeros_like(logits).index_add(0, codes, weights)


def score_by_numpy(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    f, n = cost.numpy(), len(cost)
    mask = 1 - np.eye(n)
    score = np.eye(len(logits))[codes.numpy()] - logits.softmax(0).numpy()
    return torch.from_numpy((f - mask @ f / (n - 1)) @ score / n)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "gumbel_max": [
        draw_row_by_row,
        draw_by_scatter,
        draw_by_scipy,
        draw_by_race,
        lambda logits, uniform: nn.functional.one_hot(
            (logits.log_softmax(-1) - (-uniform.log()).log()).argmax(-1), logits.shape[-1]
        ).float(),
    ],
    "relaxed_sample": [
        relaxed_by_hand,
        relaxed_by_quantile,
        relaxed_by_logarithms,
        relaxed_in_single,
        lambda logits, uniform, temperature: torch.softmax(
            logits.div(temperature) - uniform.log().neg().log() / temperature, dim=-1
        ),
    ],
    "straight_through": [
        through_single,
        through_rows,
        lambda soft: Through.apply(soft),
        lambda soft: soft + (torch.eye(soft.shape[-1])[soft.max(-1).indices] - soft).detach(),
        lambda soft: nn.functional.one_hot(soft.argmax(-1), soft.size(-1)) - soft.detach() + soft,
    ],
    "enumerated_elbo": [
        elbo_in_loops,
        elbo_by_digits,
        elbo_by_divergence,
        elbo_by_entropy,
        elbo_with_prior_outside,
        elbo_with_floor,
    ],
    "score_gradient": [
        score_in_loops,
        score_by_surrogate,
        score_by_index,
        score_by_numpy,
        lambda logits, codes, cost: (
            torch.einsum(
                "n,nk->k",
                cost - (cost.sum() - cost) / (len(cost) - 1),
                nn.functional.one_hot(codes, len(logits)) - torch.softmax(logits, 0),
            )
            / len(cost)
        ),
    ],
}
