"""Small data whose density or whose factors are known."""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal


class LinearGaussianData(NamedTuple):
    """Draws of z ~ N(0, I) and x = W z + b + σ ε, with the parameters that made them."""

    x: Tensor  # [n, observed]
    z: Tensor  # [n, latent]
    weight: Tensor  # [observed, latent]
    bias: Tensor  # [observed]
    std: float


def linear_gaussian(
    n: int, observed: int, latent: int, generator: torch.Generator, std: float = 0.5
) -> LinearGaussianData:
    """n draws from a random linear-Gaussian model, in float64; W and b are standard normal draws themselves.

    Raises ValueError unless std > 0 and 1 <= latent.
    """
    if std <= 0 or latent < 1:
        raise ValueError(f"linear_gaussian was given std {std} and {latent} latents; std must be > 0, latents >= 1.")

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight, bias, z = draw(observed, latent), draw(observed), draw(n, latent)
    return LinearGaussianData(z @ weight.T + bias + std * draw(n, observed), z, weight, bias, std)


def ring_of_normals(modes: int = 8, radius: float = 2.0, std: float = 0.2) -> MixtureSameFamily:
    """An equal mixture of round normals on a circle in the plane: its density is known, its modes are apart."""
    angles = [2 * pi * k / modes for k in range(modes)]
    means = torch.tensor([[radius * cos(a), radius * sin(a)] for a in angles])
    normals = Independent(Normal(means, torch.full_like(means, std)), 1)
    return MixtureSameFamily(Categorical(torch.ones(modes)), normals)


def two_moons(n: int, generator: torch.Generator, std: float = 0.08) -> tuple[Tensor, Tensor]:
    """Two interleaving half circles in the plane with normal noise: points [n, 2] and which moon [n]."""
    moon = torch.randint(2, (n,), generator=generator)
    angle = pi * torch.rand(n, generator=generator)
    upper = torch.stack([angle.cos(), angle.sin()], -1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], -1)
    points = torch.where(moon[:, None] == 0, upper, lower)
    return points + std * torch.randn(n, 2, generator=generator), moon
