"""The truth by integrating over a grid of one or two latents."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.model import GenerativeModel
from vae_course.distributions.operations import log_prob_each
from vae_course.processor import on_processor


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


def log_evidence_on_grid(model: GenerativeModel, x: Tensor, grid: Grid) -> Tensor:
    """log p(x) = log ∫ p(x|z) p(z) dz by the rectangle rule: [batch, *event] → [batch] nats.

    Exact up to the grid: it must reach beyond the posterior and be finer than it. For smooth functions that
    vanish at the edges with all their derivatives the error falls faster than any power of the spacing.
    """
    return torch.stack([joint.logsumexp(0) for joint in _log_joints(model, x, grid.points)]) + grid.log_cell


def _log_joints(model: GenerativeModel, x: Tensor, z: Tensor) -> Iterator[Tensor]:
    """log p(x, z) for one x after another at the same latents z [points, *event]: each [points] nats.

    Raises ValueError where log p(x|z) is not one number for each latent.
    """
    log_prior, likelihood = model.prior().log_prob(z), model.likelihood(z)
    for one in x:
        yield log_prob_each(likelihood, one, log_prior.shape) + log_prior


def log_posterior_on_grid(model: GenerativeModel, x: Tensor, grid: Grid) -> Tensor:
    """log p(z|x) at every point of the grid, by Bayes' rule: x [batch, *event] → [batch, points] nats.

    A log-density: its exp times the volume of a cell adds up to 1 over the points.
    """
    joint = torch.stack(list(_log_joints(model, x, grid.points)))
    return joint - joint.logsumexp(1, keepdim=True) - grid.log_cell


def log_prob_on_grid(q: Distribution, grid: Grid) -> Tensor:
    """log q(z) at every point of the grid: [*batch, points] nats, for q over one or two latents as its event."""
    points = grid.points.reshape(-1, *[1] * len(q.batch_shape), grid.points.shape[-1])
    log_density: Tensor = q.log_prob(points).movedim(0, -1)
    return log_density


def kl_on_grid(log_q: Tensor, log_p: Tensor, grid: Grid) -> Tensor:
    """KL(q || p) = ∫ q (log q − log p) dz by the rectangle rule: two log-densities [..., points] → [...] nats.

    Exact up to the grid, which must reach beyond q and be finer than it. Infinite where p vanishes and q does not.
    """
    q = log_q.exp()
    return torch.where(q == 0, 0.0, q * (log_q - log_p)).sum(-1) * exp(grid.log_cell)


class EvidenceSplit(NamedTuple):
    """log p(x) and the two parts it is split into by a q: [batch] nats each."""

    log_evidence: Tensor
    elbo: Tensor
    kl: Tensor  # KL(q(z) || p(z|x))


def split_evidence(model: GenerativeModel, x: Tensor, q: Distribution, grid: Grid) -> EvidenceSplit:
    """The three numbers of log p(x) = 𝓛 + KL(q || p(z|x)), each by its own integral on the grid.

    x: [batch, *event]; q: one distribution over the latents, for all x; the grid must reach beyond q and the posterior.
    """
    log_q = log_prob_on_grid(q, grid)  # [points]
    joint = torch.stack(list(_log_joints(model, x, grid.points)))  # [batch, points]
    posterior = log_posterior_on_grid(model, x, grid)
    return EvidenceSplit(
        log_evidence_on_grid(model, x, grid), -kl_on_grid(log_q, joint, grid), kl_on_grid(log_q, posterior, grid)
    )


def quantile_grid(steps: int) -> Tensor:
    """A square of latents with equal prior probability between neighbours: [steps, steps, 2].

    Entry [i, j] is (Φ⁻¹((j + ½)/steps), Φ⁻¹((steps − i − ½)/steps)), Φ the CDF of N(0, 1): the first latent runs
    along a row, the second upwards. Kingma & Welling, arXiv:1312.6114, figure 4.
    """
    axis = on_processor(torch.special.ndtri, (torch.arange(steps) + 0.5) / steps)
    return torch.stack([axis.expand(steps, steps), axis.flip(0)[:, None].expand(steps, steps)], -1)
