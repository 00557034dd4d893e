"""Variational inference: families with free parameters, and the best factorised q where it is known.

To fit a family, let `fit` lower minus the ELBO of `WithPosterior(model, family)`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from vae_course.distributions.families import diagonal_normal
from vae_course.exact.mixture import BayesianMixture


class DiagonalNormalFamily(nn.Module):
    """q(z) = N(m, diag σ²), one for each row, with free m and log σ: no network, no amortisation.

    start: the first m, [*batch, latent]; σ starts at `std`. Called with anything (an x), it returns the whole batch.
    """

    def __init__(self, start: Tensor, std: float = 1.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(start.clone())
        self.log_std = nn.Parameter(torch.full_like(start, log(std)))

    def forward(self, x: object = None) -> Independent[Normal]:
        """The present q."""
        return diagonal_normal(self.mean, self.log_std.exp())

    def part(self, rows: slice) -> Callable[[object], Independent[Normal]]:
        """The q of some of the rows."""
        return lambda _: diagonal_normal(self.mean[rows], self.log_std[rows].exp())


class NormalFamily(nn.Module):
    """q(z) = N(m, L Lᵀ), one for each row, with free m and lower triangular L whose diagonal is positive.

    start: the first m, [*batch, latent]; L starts at std · I. Called with anything (an x), it returns the whole batch.
    """

    def __init__(self, start: Tensor, std: float = 1.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(start.clone())
        self.log_diagonal = nn.Parameter(torch.full_like(start, log(std)))
        self.below = nn.Parameter(start.new_zeros(*start.shape, start.shape[-1]))

    def forward(self, x: object = None) -> MultivariateNormal:
        """The present q."""
        return self._rows(slice(None))

    def part(self, rows: slice) -> Callable[[object], MultivariateNormal]:
        """The q of some of the rows."""
        return lambda _: self._rows(rows)

    def _rows(self, rows: slice) -> MultivariateNormal:
        scale = self.below[rows].tril(-1) + torch.diag_embed(self.log_diagonal[rows].exp())
        return MultivariateNormal(self.mean[rows], scale_tril=scale)


def mean_field_of_normal(p: MultivariateNormal) -> Independent[Normal]:
    """The factorised normal q that minimises KL(q || p): N(μ, diag 1/Λ_ii), Λ the precision matrix of p.

    Bishop, Pattern Recognition and Machine Learning (2006), section 10.1.2.
    """
    precision = torch.diagonal(p.precision_matrix, dim1=-2, dim2=-1)
    return diagonal_normal(p.mean, precision.rsqrt())


def coordinate_ascent_normal(p: MultivariateNormal, start: Tensor, sweeps: int) -> Tensor:
    """The means of a factorised q under coordinate ascent of −KL(q || p), after each update: [1 + sweeps · latent, latent].

    m_i ← μ_i − Λ_ii⁻¹ Σ_{j≠i} Λ_ij (m_j − μ_j); the variance of a factor is 1/Λ_ii from its first update on.
    Bishop (2006), eq. 10.12 to 10.15. start: [latent].
    """
    mean, precision = p.mean, p.precision_matrix
    path = [start]
    for _ in range(sweeps):
        for i in range(len(start)):
            m = path[-1].clone()
            pull = precision[i] @ (m - mean) - precision[i, i] * (m[i] - mean[i])
            m[i] = mean[i] - pull / precision[i, i]
            path.append(m)
    return torch.stack(path)


class MixtureMeanField(NamedTuple):
    """q(μ, c) = Π_k N(μ_k; m_k, s_k²) Π_i Cat(c_i; φ_i), and its ELBO after each sweep, nats."""

    means: Tensor  # [components]
    stds: Tensor  # [components]
    assignments: Tensor  # [n, components]
    elbo: list[float]


def coordinate_ascent_mixture(model: BayesianMixture, x: Tensor, start: Tensor, sweeps: int) -> MixtureMeanField:
    """Mean-field inference in a conjugate mixture: each factor is set to its optimum in turn, so that the ELBO never falls.

    Blei, Kucukelbir & McAuliffe, arXiv:1601.00670, algorithm 2. x: [n]; start: the first m, [components]; s starts at σ.
    Raises ValueError for another number of starting means, and for sweeps < 1.
    """
    if sweeps < 1:
        raise ValueError(f"coordinate_ascent_mixture was asked for {sweeps} sweeps; it needs at least 1.")
    if start.shape != (model.components,):
        raise ValueError(f"{model.components} starting means were expected, not the shape {list(start.shape)}.")
    prior_precision, precision = model.prior_std**-2, model.std**-2
    means, variances = start, torch.full_like(start, model.std**2)
    history: list[float] = []
    for _ in range(sweeps):
        assignments = _expected_log_likelihood(model, x, means, variances).softmax(1)  # [n, components]
        precisions = prior_precision + precision * assignments.sum(0)
        means, variances = precision * (assignments.T @ x) / precisions, 1 / precisions
        expected = (assignments * _expected_log_likelihood(model, x, means, variances)).sum() - len(x) * log(len(means))
        entropy = -torch.xlogy(assignments, assignments).sum()
        kl = 0.5 * (prior_precision * (variances + means**2) - 1 - (variances * prior_precision).log()).sum()
        history.append(float(expected + entropy - kl))
    return MixtureMeanField(means, variances.sqrt(), assignments, history)


def _expected_log_likelihood(model: BayesianMixture, x: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """E_q[log N(x_i; μ_k, σ²)] for every point and component: [n, components] nats."""
    squares = (x[:, None] - means) ** 2 + variances
    return -0.5 * squares / model.std**2 - 0.5 * log(2 * torch.pi * model.std**2)
