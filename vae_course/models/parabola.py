"""A model small enough to be integrated and curved enough to be interesting: a noisy parabola in the plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vae_course.distributions.families import diagonal_normal


class Parabola(nn.Module):
    """p(z) = N(0, 1), p(x|z) = N((1.5 z, z² − 1), σ² I): one latent, two observed dimensions.

    Its posterior has no closed form: its mean is not linear in x, and for x high enough inside the bowl it has two
    modes (at x₁ = 0: x₂ > ⅛ + σ²/2). On a grid everything about it is known (`vae_course.exact.grids`).
    std: σ. Raises ValueError unless σ > 0.
    """

    def __init__(self, std: float = 0.4) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f"Parabola was given σ = {std}; it must be positive.")
        self.std = std

    def prior(self) -> Independent[Normal]:
        """p(z) = N(0, 1), in float64."""
        return diagonal_normal(torch.zeros(1, dtype=torch.float64), 1.0)

    def likelihood(self, z: Tensor) -> Independent[Normal]:
        """p(x|z). z: [..., 1] → batch [...], event [2]."""
        return diagonal_normal(torch.cat([1.5 * z, z.square() - 1], -1), self.std)
