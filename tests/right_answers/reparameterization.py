"""Right answers to the sheet reparameterization, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Independent,
    MultivariateNormal,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
    Uniform,
)


def draw_in_loops(mean: Tensor, scale_tril: Tensor, noise: Tensor) -> Tensor:
    return torch.stack(
        [torch.stack([m + L @ e for m, L, e in zip(mean, scale_tril, one, strict=True)]) for one in noise]
    )


def draw_by_columns(mean: Tensor, scale_tril: Tensor, noise: Tensor) -> Tensor:
    z = mean.expand_as(noise)
    for j in range(noise.shape[-1]):
        z = z + scale_tril[:, :, j] * noise[:, :, j : j + 1]
    return z


def draw_below_the_diagonal(mean: Tensor, scale_tril: Tensor, noise: Tensor) -> Tensor:
    columns = []
    for i in range(mean.shape[1]):
        z = mean[:, i].expand(noise.shape[:2])
        for j in range(i + 1):
            z = z + scale_tril[:, i, j] * noise[:, :, j]
        columns.append(z)
    return torch.stack(columns, dim=-1)


def logistic_by_transforms(location: Tensor, log_scale: Tensor, uniforms: Tensor) -> Tensor:
    base = Uniform(torch.zeros((), dtype=torch.float64), 1.0)
    logistic = TransformedDistribution(base, [SigmoidTransform().inv, AffineTransform(location, log_scale.exp())])
    return logistic.icdf(uniforms)


def score_in_a_loop(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    n = len(cost)
    total = torch.zeros_like(mean)
    for i in range(n):
        others = torch.cat([cost[:i], cost[i + 1 :]])
        total += (cost[i] - others.mean()) * (z[i] - mean) / std**2
    return total / n


def score_by_autograd(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    parameter = mean.clone().requires_grad_()
    log_q = Normal(parameter, std).log_prob(z).sum(-1)
    baseline = (cost.sum() - cost) / (len(cost) - 1)
    return torch.autograd.grad(((cost - baseline) * log_q).mean(), parameter)[0]


def score_by_numpy(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    f, s = cost.numpy(), (z.numpy() - mean.numpy()) / std.item() ** 2
    return torch.from_numpy(
        np.einsum("i,ij->j", f - f.mean(), s) / (len(f) - 1)
    )  # the factor n / (n − 1) of a covariance


def score_by_matrix(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    n = len(cost)
    baseline = (torch.ones(n, n, dtype=z.dtype) - torch.eye(n, dtype=z.dtype)) @ cost / (n - 1)
    return (cost - baseline) @ ((z - mean) / std.square()) / n


def loss_by_hand(mean: Tensor, log_std: Tensor, z: Tensor, cost: Tensor) -> Tensor:
    noise = (z.detach() - mean) * torch.exp(-log_std)
    log_q = -0.5 * (noise**2).sum(1) - log_std.sum() - 0.5 * len(mean) * log(2 * pi)
    return log_q * cost.detach()


def loss_by_multivariate(mean: Tensor, log_std: Tensor, z: Tensor, cost: Tensor) -> Tensor:
    with torch.no_grad():
        draws, weights = z.clone(), cost.clone()
    return weights * MultivariateNormal(mean, scale_tril=torch.diag(log_std.exp())).log_prob(draws)


def loss_in_a_loop(mean: Tensor, log_std: Tensor, z: Tensor, cost: Tensor) -> Tensor:
    q = Normal(mean, log_std.exp())
    return torch.stack([c * q.log_prob(one).sum() for c, one in zip(cost.data, z.data, strict=True)])


def baseline_in_a_loop(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    out = []
    for j in range(z.shape[1]):
        weights = [((one[j] - mean[j]) / std**2) ** 2 for one in z]
        out.append(sum(w * f for w, f in zip(weights, cost, strict=True)) / sum(weights))
    return torch.stack(out)


def baseline_by_lstsq(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    score = ((z - mean) / std**2).numpy()
    target = cost.numpy()[:, None] * score
    fits = [np.linalg.lstsq(score[:, j : j + 1], target[:, j], rcond=None)[0][0] for j in range(z.shape[1])]
    return torch.tensor(fits, dtype=torch.float64)


def baseline_by_average(z: Tensor, mean: Tensor, std: Tensor, cost: Tensor) -> Tensor:
    columns = [np.average(cost.numpy(), weights=w) for w in ((z - mean).numpy().T) ** 2]
    return torch.tensor(columns, dtype=torch.float64)


def path_by_distributions(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    z = mean + log_std.exp() * noise
    frozen = Independent(Normal(mean.detach(), log_std.exp().detach()), 1)
    return Independent(Normal(target_mean, target_log_std.exp()), 1).log_prob(z) - frozen.log_prob(z)


def path_by_hand(mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor) -> Tensor:
    z = mean + log_std.exp() * noise
    m, s = mean.data, log_std.data
    from_q = ((z - m) / s.exp()) ** 2
    from_target = ((z - target_mean) / target_log_std.exp()) ** 2
    return (0.5 * (from_q - from_target) + s - target_log_std).sum(-1)


def path_by_adding_the_score(
    mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor
) -> Tensor:
    # the full estimator, plus a term of value 0 whose gradient is the score
    z = mean + log_std.exp() * noise
    q = Normal(mean, log_std.exp())
    full = (Normal(target_mean, target_log_std.exp()).log_prob(z) - q.log_prob(z)).sum(-1)
    score = q.log_prob(z.detach()).sum(-1)
    return full + score - score.detach()


def path_in_a_loop(mean: Tensor, log_std: Tensor, noise: Tensor, target_mean: Tensor, target_log_std: Tensor) -> Tensor:
    with torch.no_grad():
        q = MultivariateNormal(mean.clone(), scale_tril=log_std.exp().diag())
    target = MultivariateNormal(target_mean, covariance_matrix=(2 * target_log_std).exp().diag())
    draws = [mean + log_std.exp() * one for one in noise]
    return torch.stack([target.log_prob(z) - q.log_prob(z) for z in draws])


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "correlated_draw": [
        draw_in_loops,
        draw_by_columns,
        draw_below_the_diagonal,
        lambda mean, scale_tril, noise: mean + torch.einsum("bij,sbj->sbi", torch.tril(scale_tril), noise),
        lambda mean, scale_tril, noise: (
            mean + (torch.linalg.cholesky(scale_tril @ scale_tril.mT) @ noise[..., None])[..., 0]
        ),
        lambda mean, scale_tril, noise: mean + (scale_tril @ noise.unsqueeze(-1)).squeeze(-1),
        lambda mean, scale_tril, noise: torch.matmul(noise[..., None, :], scale_tril.mT)[..., 0, :] + mean,
        lambda mean, scale_tril, noise: mean + (scale_tril * noise[..., None, :]).sum(-1),
    ],
    "logistic_from_uniform": [
        logistic_by_transforms,
        lambda location, log_scale, uniforms: location + torch.exp(log_scale) * torch.logit(uniforms),
        lambda location, log_scale, uniforms: location + log_scale.exp() * (uniforms / (1 - uniforms)).log(),
        lambda location, log_scale, uniforms: location - log_scale.exp() * torch.log(1 / uniforms - 1),
        lambda location, log_scale, uniforms: torch.addcmul(
            location, log_scale.exp(), uniforms.log() - torch.log1p(-uniforms)
        ),
    ],
    "score_function_gradient": [score_in_a_loop, score_by_autograd, score_by_numpy, score_by_matrix],
    "score_function_loss": [
        loss_by_hand,
        loss_by_multivariate,
        loss_in_a_loop,
        lambda mean, log_std, z, cost: cost.detach() * Independent(Normal(mean, log_std.exp()), 1).log_prob(z.detach()),
    ],
    "optimal_baseline": [
        baseline_in_a_loop,
        baseline_by_lstsq,
        baseline_by_average,
        lambda z, mean, std, cost: torch.einsum("i,ij->j", cost, (z - mean) ** 2) / ((z - mean) ** 2).sum(0),
    ],
    "path_derivative": [path_by_distributions, path_by_hand, path_by_adding_the_score, path_in_a_loop],
}
