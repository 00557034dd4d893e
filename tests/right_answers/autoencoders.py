"""Right answers to the sheet autoencoders, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import mse_loss
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
}
