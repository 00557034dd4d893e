"""Hamiltonian Monte Carlo: a Markov chain that follows gradients and leaves a density as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class Moved(NamedTuple):
    """Where a step ended: z [..., latent], and the probability with which its proposal was accepted, [...]."""

    z: Tensor
    accepted: Tensor


def hamiltonian_step(log_density: LogDensity, z: Tensor, step: Tensor | float, leapfrogs: int) -> Moved:
    """One step of Hamiltonian Monte Carlo on a density that is known up to a factor.

    Momentum r ~ N(0, I); `leapfrogs` times r ← r + ε/2 ∇ log p(z), z ← z + ε r, r ← r + ε/2 ∇ log p(z); accepted with
    probability min(1, exp(H(z, r) − H(z', r'))), H = −log p(z) + |r|²/2, which leaves p as it is whatever ε.
    Neal (2011), *MCMC using Hamiltonian dynamics*, arXiv:1206.1901, sections 2.3 and 3.1.

    log_density: [..., latent] → [...] nats; step: ε, a number or [..., latent], one for each coordinate.
    Raises ValueError for leapfrogs < 1.
    """
    if leapfrogs < 1:
        raise ValueError(f"hamiltonian_step was asked for {leapfrogs} leapfrogs; it needs at least 1.")
    start, momentum = z.detach(), torch.randn_like(z)
    log_p, slope = _with_slope(log_density, start)
    before = log_p - 0.5 * momentum.square().sum(-1)
    moved = start
    for _ in range(leapfrogs):
        momentum = momentum + 0.5 * step * slope
        moved = moved + step * momentum
        log_p, slope = _with_slope(log_density, moved)
        momentum = momentum + 0.5 * step * slope
    after = log_p - 0.5 * momentum.square().sum(-1)
    accepted = torch.nan_to_num((after - before).clamp(max=0).exp())  # a proposal without a density is refused
    taken = torch.rand_like(accepted) < accepted
    return Moved(torch.where(taken[..., None], moved, start), accepted)


def _with_slope(log_density: LogDensity, z: Tensor) -> tuple[Tensor, Tensor]:
    """log p(z) and its gradient by z, both detached."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        log_p = log_density(z)
        (slope,) = torch.autograd.grad(log_p.sum(), z)
    return log_p.detach(), slope
