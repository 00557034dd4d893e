"""Right answers in different styles, which every check must accept."""

# mypy: disable-error-code="no-any-return"
# Students do not annotate what torch leaves open; these answers do not either.

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, mse_loss
from torch.optim import Optimizer


def mse_loop(reconstruction: Tensor, x: Tensor) -> Tensor:
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(reconstruction, x, strict=True)])


def pca_by_eigh(x: Tensor, k: int) -> Tensor:
    centred = x - x.mean(0, keepdim=True)
    components = torch.linalg.eigh(centred.T @ centred)[1][:, -k:]
    return centred @ (components @ components.T) + x.mean(0)


def pca_by_sklearn(x: Tensor, k: int) -> Tensor:
    model = PCA(k, svd_solver="full")
    return torch.from_numpy(model.inverse_transform(model.fit_transform(x.numpy())))


def pca_by_truncated_svd(x: Tensor, k: int) -> Tensor:
    mean = x.mean(0)
    u, s, v = torch.linalg.svd(x - mean, full_matrices=False)
    s = torch.where(torch.arange(len(s)) < k, s, torch.zeros_like(s))
    return u @ torch.diag(s) @ v + mean


def step_by_the_book(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = ((model(x + noise) - x) ** 2).sum((1, 2, 3))
    loss.mean().backward()
    optimizer.step()
    return loss


def step_with_closure(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def closure() -> float:
        model.zero_grad()
        seen.append(mse_loss(model(x + noise), x, reduction="none").flatten(1).sum(1))
        total = seen[-1].sum() / len(x)
        total.backward()
        return float(total.detach())

    optimizer.step(closure)
    return seen[0].detach()


def step_with_autograd(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    corrupted = torch.add(x, noise)
    loss = (x - model(corrupted)).flatten(1).pow(2).sum(-1)
    gradients = torch.autograd.grad(loss.mean(), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.detach()


def draw_by_distribution(codes: Tensor, noise: Tensor) -> Tensor:
    fitted = MultivariateNormal(codes.mean(0), torch.cov(codes.T))
    return fitted.loc + (fitted.scale_tril @ noise[..., None])[..., 0]


def draw_by_numpy(codes: Tensor, noise: Tensor) -> Tensor:
    factor = np.linalg.cholesky(np.cov(codes.numpy(), rowvar=False))
    return torch.from_numpy(codes.numpy().mean(0) + np.einsum("ij,nj->ni", factor, noise.numpy()))


def draw_in_steps(codes: Tensor, noise: Tensor) -> Tensor:
    centred = codes - codes.mean(0)
    covariance = centred.T @ centred / (codes.shape[0] - 1)
    return (torch.linalg.cholesky(covariance) @ noise.T).T + codes.mean(0)


def angle_by_svd_bases(a: Tensor, b: Tensor) -> Tensor:
    bases = [torch.linalg.svd(m, full_matrices=False)[0] for m in (a, b)]
    return torch.acos(torch.linalg.svd(bases[0].T @ bases[1])[1][-1].clamp(0, 1)) * 180 / torch.pi


def angle_by_scipy(a: Tensor, b: Tensor) -> Tensor:
    return torch.tensor(np.rad2deg(scipy.linalg.subspace_angles(a.numpy(), b.numpy())).max())


def angle_by_projectors(a: Tensor, b: Tensor) -> Tensor:
    p, q = (m @ torch.linalg.pinv(m) for m in (a, b))
    return torch.rad2deg(torch.linalg.matrix_norm(p - q, 2).clamp(max=1).asin())


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


def log_mean_exp_by_maximum(log_weights: Tensor) -> Tensor:
    top = log_weights.max(dim=0, keepdim=True).values
    return (top + (log_weights - top).exp().mean(0, keepdim=True).log())[0]


def log_mean_exp_pairwise(log_weights: Tensor) -> Tensor:
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.tensor(float(len(log_weights)), dtype=torch.float64).log()


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
    "squared_error_per_image": [
        mse_loop,
        lambda reconstruction, x: ((reconstruction - x) ** 2).sum(dim=(1, 2, 3)),
        lambda reconstruction, x: mse_loss(reconstruction, x, reduction="none").flatten(1).mean(1) * x[0].numel(),
    ],
    "pca_reconstruction": [pca_by_eigh, pca_by_sklearn, pca_by_truncated_svd],
    "denoising_step": [step_by_the_book, step_with_closure, step_with_autograd],
    "draw_codes": [draw_by_distribution, draw_by_numpy, draw_in_steps],
    "largest_principal_angle": [angle_by_svd_bases, angle_by_scipy, angle_by_projectors],
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
    "importance_weighted_bound": [
        log_mean_exp_by_maximum,
        log_mean_exp_pairwise,
        lambda log_weights: torch.logsumexp(log_weights - log(log_weights.shape[0]), dim=0),
    ],
    "manifold_grid": [grid_by_loops, grid_by_linspace, grid_by_numpy],
}
