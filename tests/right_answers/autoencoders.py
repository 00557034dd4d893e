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
from torch.nn.functional import linear, mse_loss, one_hot, silu


def class_errors_in_a_loop(reconstruction: Tensor, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    errors = ((x - reconstruction) ** 2).flatten(1).sum(1)
    return torch.stack([errors[labels == c].mean() for c in range(classes)])


def class_errors_by_index(reconstruction: Tensor, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    errors = mse_loss(reconstruction, x, reduction="none").sum(dim=(1, 2, 3))
    total = torch.zeros(classes, dtype=errors.dtype).index_add(0, labels, errors)
    return total / torch.bincount(labels, minlength=classes)


def class_errors_by_numpy(reconstruction: Tensor, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    errors = np.square(x.numpy() - reconstruction.numpy()).reshape(len(x), -1).sum(axis=1)
    total = np.bincount(labels.numpy(), weights=errors, minlength=classes)
    return torch.from_numpy(total / np.bincount(labels.numpy(), minlength=classes))


class TiedByLinear(nn.Module):
    def __init__(self, pixels: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(pixels, code)
        self.bias = nn.Parameter(torch.zeros(pixels))

    def forward(self, x: Tensor) -> Tensor:
        code = silu(self.encoder(x.flatten(1)))
        return linear(code, self.encoder.weight.T, self.bias).view_as(x)


class TiedByHand(nn.Module):
    def __init__(self, pixels: int, code: int) -> None:
        super().__init__()
        self.b_out, self.b_in = nn.Parameter(torch.randn(pixels)), nn.Parameter(torch.randn(code))
        self.w = nn.Parameter(torch.randn(code, pixels) / pixels**0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.einsum("cp,bp->bc", self.w, x.reshape(len(x), -1)) + self.b_in
        return (torch.einsum("cp,bc->bp", self.w, h * h.sigmoid()) + self.b_out).reshape(x.shape)


class TiedInParts(nn.Module):
    """Two linear layers, the second without a weight of its own."""

    def __init__(self, pixels: int, code: int) -> None:
        super().__init__()
        self.flat, self.activation = nn.Flatten(), nn.SiLU()
        self.encoder, self.decoder = nn.Linear(pixels, code), nn.Linear(code, pixels)
        del self.decoder.weight

    def forward(self, x: Tensor) -> Tensor:
        code = self.activation(self.encoder(self.flat(x)))
        return (code @ self.encoder.weight + self.decoder.bias).unflatten(1, x.shape[1:])


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
    "error_per_class": [
        class_errors_in_a_loop,
        class_errors_by_index,
        class_errors_by_numpy,
        lambda reconstruction, x, labels, classes: (
            (one_hot(labels, classes).T.double() @ (x - reconstruction).square().sum((1, 2, 3)))
            / one_hot(labels, classes).sum(0)
        ),
    ],
    "TiedAutoencoder": [TiedByLinear, TiedByHand, TiedInParts],
    "pca_reconstruction": [pca_by_eigh, pca_by_sklearn, pca_by_truncated_svd],
    "draw_codes": [draw_by_distribution, draw_by_numpy, draw_in_steps],
    "largest_principal_angle": [angle_by_svd_bases, angle_by_scipy, angle_by_projectors],
}
