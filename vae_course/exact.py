"""The truth where it is known: models with a known log p(x), and principal components.

`LinearGaussian` is probabilistic PCA (Tipping & Bishop, 1999): log p(x), the posterior and the
maximum-likelihood solution are closed forms. `log_evidence_on_grid` integrates any model with one or two
latents. Estimators are held against both, in tests and in notebooks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_course.distributions import diagonal_normal
from vae_course.objectives import LatentVariableModel


class LinearGaussian(nn.Module):
    """p(z) = N(0, I), p(x|z) = N(W z + b, σ² I), with the exact posterior.

    Tipping & Bishop, Probabilistic principal component analysis, J. R. Statist. Soc. B 61 (1999), section 3.
    weight: [observed, latent], bias: [observed], std: σ. Raises ValueError unless σ > 0.
    """

    weight: Tensor
    bias: Tensor
    std: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, std: float | Tensor) -> None:
        super().__init__()
        std = torch.as_tensor(std, dtype=weight.dtype, device=weight.device)
        if not bool(std > 0):
            raise ValueError(f"LinearGaussian was given σ = {std.item():.4g}; it must be positive.")
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("std", std)

    @property
    def latent(self) -> int:
        """The number of latent dimensions."""
        return self.weight.shape[1]

    def prior(self) -> Independent[Normal]:
        """p(z) = N(0, I)."""
        return diagonal_normal(self.weight.new_zeros(self.latent), 1.0)

    def likelihood(self, z: Tensor) -> Independent[Normal]:
        """p(x|z) = N(W z + b, σ² I). z: [..., latent] → batch [...], event [observed]."""
        return diagonal_normal(z @ self.weight.T + self.bias, self.std)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z|x) = N(M⁻¹Wᵀ(x − b), σ² M⁻¹) with M = WᵀW + σ² I, exactly (Tipping & Bishop, 1999)."""
        m = self.weight.T @ self.weight + self.std**2 * torch.eye(self.latent).to(self.weight)
        mean = torch.linalg.solve(m, self.weight.T @ (x - self.bias)[..., None])[..., 0]  # [batch, latent]
        return MultivariateNormal(mean, precision_matrix=(m / self.std**2).expand(*mean.shape[:-1], *m.shape))

    def evidence(self) -> MultivariateNormal:
        """p(x) = N(b, WWᵀ + σ² I) (Tipping & Bishop, 1999)."""
        identity = torch.eye(len(self.bias)).to(self.weight)
        return MultivariateNormal(self.bias, self.weight @ self.weight.T + self.std**2 * identity)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x): [batch, observed] → [batch] nats."""
        log_density: Tensor = self.evidence().log_prob(x)
        return log_density

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latent: int) -> LinearGaussian:
        """The parameters that maximise the mean log p(x) over the rows of x.

        W = U (Λ − σ² I)^½, σ² = the mean of the discarded eigenvalues of the covariance, up to a
        rotation of the latents (Tipping & Bishop, 1999, section 3.2).
        Raises ValueError unless 1 <= latent < observed and σ² > 0.
        """
        observed = x.shape[1]
        if not 1 <= latent < observed:
            raise ValueError(
                f"{latent} latents were asked for {observed} observed dimensions; give 1 to {observed - 1}."
            )
        bias = x.mean(0)
        eigenvalues, eigenvectors = torch.linalg.eigh((x - bias).T @ (x - bias) / len(x))  # ascending
        variance = eigenvalues[:-latent].mean()
        if not variance > 1e-12 * eigenvalues[-1]:
            raise ValueError(f"The data lie in {latent} dimensions exactly: σ² is 0 and the likelihood has no maximum.")
        weight = eigenvectors[:, -latent:] * (eigenvalues[-latent:] - variance).sqrt()
        return cls(weight.flip(1), bias, variance.sqrt())


class WithPosterior(nn.Module):
    """A model's prior and likelihood beside another q(z|x): for bounds with a q that is not the posterior."""

    def __init__(self, model: LatentVariableModel, posterior: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.model, self.q = model, posterior

    def prior(self) -> Distribution:
        """The model's p(z)."""
        return self.model.prior()

    def likelihood(self, z: Tensor) -> Distribution:
        """The model's p(x|z)."""
        return self.model.likelihood(z)

    def posterior(self, x: Tensor) -> Distribution:
        """The q(z|x) given."""
        return self.q(x)


class Grid(NamedTuple):
    """Equally spaced points over a latent space and the log of the volume that each stands for."""

    points: Tensor  # [points, latent]
    log_cell: float


def latent_grid(latent: int, limit: float = 8.0, steps: int = 401, like: Tensor | None = None) -> Grid:
    """`steps` points from −limit to limit along each of one or two latents.

    like: a tensor whose number type and device the points take. Raises ValueError for other latents.
    """
    if latent not in (1, 2):
        raise ValueError(f"A grid over {latent} latents was asked for; it is practical for 1 or 2 only.")
    like = torch.zeros((), dtype=torch.float64) if like is None else like
    axis = torch.linspace(-limit, limit, steps, dtype=like.dtype, device=like.device)
    points = torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)
    return Grid(points, latent * log(2 * limit / (steps - 1)))


def log_evidence_on_grid(model: LatentVariableModel, x: Tensor, grid: Grid) -> Tensor:
    """log p(x) = log ∫ p(x|z) p(z) dz by the rectangle rule: [batch, *event] → [batch] nats.

    Exact up to the grid: it must reach beyond the posterior and be finer than it. For smooth functions that
    vanish at the edges the error falls faster than any power of the spacing.
    """
    log_prior = model.prior().log_prob(grid.points)  # [points]
    likelihood = model.likelihood(grid.points)
    return torch.stack([(likelihood.log_prob(one) + log_prior).logsumexp(0) for one in x]) + grid.log_cell


class PrincipalComponents(nn.Module):
    """The affine map to `code` dimensions and back that has the least squared error on the data it is fitted to.

    Eckart & Young, 1936. A partner of the linear autoencoder, with the same `encode` and `decode`.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, x: Tensor, code: int) -> None:
        """Fit to x: [n, *event]. Raises ValueError unless 1 <= code <= min(n, event size)."""
        super().__init__()
        flat = x.flatten(1)
        if not 1 <= code <= min(flat.shape):
            raise ValueError(f"{code} components were asked of {flat.shape[0]} points in {flat.shape[1]} dimensions.")
        self.event = tuple(x.shape[1:])
        self.register_buffer("mean", flat.mean(0))
        _, _, directions = torch.linalg.svd(flat - self.mean, full_matrices=False)
        self.register_buffer("components", directions[:code].T.contiguous())  # [event size, code], orthonormal

    def encode(self, x: Tensor) -> Tensor:
        """[batch, *event] → [batch, code]."""
        code: Tensor = (x.flatten(1) - self.mean) @ self.components
        return code

    def decode(self, code: Tensor) -> Tensor:
        """[batch, code] → [batch, *event]."""
        flat: Tensor = code @ self.components.T + self.mean
        images: Tensor = flat.unflatten(-1, self.event)
        return images

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction decode(encode(x))."""
        return self.decode(self.encode(x))
