"""Draws from which the cases of the sheets are made, in float64."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def normal(generator: Generator, *shape: int, scale: float = 1.0, gradient: bool = False) -> Tensor:
    """Normal draws with mean 0 and standard deviation `scale`."""
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_(gradient)


def uniform(generator: Generator, *shape: int, gradient: bool = False) -> Tensor:
    """Uniform draws from [0, 1)."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_(gradient)


def bits(generator: Generator, *shape: int) -> Tensor:
    """Fair coin flips, 0 or 1."""
    return torch.randint(2, shape, generator=generator).double()
