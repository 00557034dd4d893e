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
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli


def top_in_loops(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    """One draw after another, the category found taken out each time."""
    drawn = []
    for scores in logits - torch.log(-torch.log(uniform)):
        left = {category: float(score) for category, score in enumerate(scores)}
        row = []
        for _ in range(k):
            row.append(max(left, key=lambda category: left[category]))
            del left[row[-1]]
        drawn.append(row)
    return torch.tensor(drawn)


def top_by_masking(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    scores = logits - torch.log(-torch.log(uniform + 1e-20) + 1e-20)
    drawn = torch.empty(len(logits), k, dtype=torch.long)
    for i in range(k):
        drawn[:, i] = scores.argmax(1)
        scores = scores.scatter(1, drawn[:, i : i + 1], -torch.inf)
    return drawn


def top_by_numpy(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    scores = logits.numpy() + gumbel_r.ppf(uniform.numpy())
    return torch.from_numpy(np.argsort(-scores, axis=1)[:, :k])


def top_by_race(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    """The first k of exponential clocks with the probabilities as rates."""
    times = -uniform.log() / logits.softmax(-1)
    return times.topk(k, largest=False).indices


def top_by_sort(logits: Tensor, uniform: Tensor, k: int) -> Tensor:
    noisy = Gumbel(logits, torch.ones_like(logits)).icdf(uniform)
    return noisy.sort(dim=-1).indices[:, -k:].flip(-1).int()


def bit_by_formula(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The density of the score, and then that of its sigmoid, with softplus."""
    score = (logits + uniform.log() - torch.log1p(-uniform)) / temperature
    left = logits - temperature * score
    log_of_score = log(temperature) + left - 2 * nn.functional.softplus(left)
    log_slope = -nn.functional.softplus(score) - nn.functional.softplus(-score)
    return torch.sigmoid(score), log_of_score - log_slope


def bit_by_distribution(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    score = (logits + torch.logit(uniform)) / temperature
    of_score = LogitRelaxedBernoulli(torch.tensor(temperature, dtype=logits.dtype), logits=logits)
    return score.sigmoid(), of_score.log_prob(score) - nn.functional.logsigmoid(score) - nn.functional.logsigmoid(
        -score
    )


def bit_by_choices(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """A relaxed choice between ℓ and 0, with the noise on one of them."""
    noisy = torch.stack([logits + torch.log(uniform / (1 - uniform)), torch.zeros_like(logits)], -1) / temperature
    log_y = noisy.log_softmax(-1)
    log_density = torch.log(temperature * uniform * (1 - uniform)) - log_y.sum(-1)
    return noisy.softmax(-1)[..., 0], log_density


def bit_in_single(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    draw, log_density = torch.zeros(logits.shape), torch.zeros(logits.shape)
    for i in range(len(logits)):
        score = (logits[i] - torch.log(1 / uniform[i] - 1)) / temperature
        draw[i] = torch.sigmoid(score)
        slope = -torch.abs(score) - 2 * torch.log1p(torch.exp(-torch.abs(score)))
        log_density[i] = log(temperature) + torch.log(uniform[i]) + torch.log(1 - uniform[i]) - slope
    return draw, log_density


def jacobian(p: Tensor) -> Tensor:
    """The derivative of a softmax where its value is p: [..., categories, categories]."""
    return torch.diag_embed(p) - p[..., :, None] * p[..., None, :]


def reinmax_by_matrices(logits: Tensor, drawn: Tensor) -> Tensor:
    """Linear in the logits, with the matrix held fixed."""
    q = logits.detach().softmax(-1)
    matrix = 2 * jacobian((drawn + q) / 2) - jacobian(q) / 2
    return drawn + (matrix @ (logits - logits.detach())[..., None]).squeeze(-1)


class SecondOrder(torch.autograd.Function):
    """The one-hot forward, 2 J(m) − ½ J(q) backward."""

    @staticmethod
    def forward(context: Any, *arguments: Tensor) -> Tensor:
        logits, drawn = arguments
        context.save_for_backward(logits.softmax(-1), drawn)
        return drawn.clone()

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Any:
        (g,), (q, drawn) = slopes, context.saved_tensors
        m = (drawn + q) / 2
        at_m = m * (g - (m * g).sum(-1, keepdim=True))
        at_q = q * (g - (q * g).sum(-1, keepdim=True))
        return 2 * at_m - at_q / 2, None


def reinmax_unhalved(logits: Tensor, drawn: Tensor) -> Tensor:
    """A softmax normalises, so that drawn + q serves in place of its half."""
    q = torch.softmax(logits, dim=-1)
    shift = (torch.log(drawn + q) - logits).detach()
    soft = 2 * torch.softmax(logits + shift, dim=-1) - 0.5 * q
    return soft + (drawn - soft).detach()


def reinmax_in_rows(logits: Tensor, drawn: Tensor) -> Tensor:
    flat, hard = logits.reshape(-1, logits.shape[-1]), drawn.reshape(-1, logits.shape[-1])
    rows = []
    for row, one in zip(flat, hard, strict=True):
        q = row.softmax(0)
        with torch.no_grad():
            centre = torch.log((one + q) / 2 + 1e-30)
        at_middle = (centre + row - row.detach()).softmax(0)
        rows.append(one - 2 * at_middle.detach() + 0.5 * q.detach() + 2 * at_middle - 0.5 * q)
    return torch.stack(rows).reshape(logits.shape)


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


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "gumbel_top_k": [
        top_in_loops,
        top_by_masking,
        top_by_numpy,
        top_by_race,
        top_by_sort,
        lambda logits, uniform, k: torch.topk(logits.log_softmax(-1) - (-uniform.log()).log(), k, dim=-1)[1],
        lambda logits, uniform, k: torch.argsort(logits - (-uniform.log()).log(), dim=1, descending=True)[:, :k],
    ],
    "relaxed_bit": [
        bit_by_formula,
        bit_by_distribution,
        bit_by_choices,
        bit_in_single,
    ],
    "reinmax": [
        reinmax_by_matrices,
        reinmax_unhalved,
        reinmax_in_rows,
        lambda logits, drawn: SecondOrder.apply(logits, drawn),
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
    "enumerated_elbo": [
        elbo_in_loops,
        elbo_by_digits,
        elbo_by_divergence,
        elbo_by_entropy,
        elbo_with_prior_outside,
        elbo_with_floor,
    ],
}
