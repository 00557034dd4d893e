"""What spoils pictures and sounds: noise, pixels that fail, fewer pixels. For training with a clean target.

Wrapped in a lambda (x, generator) → x spoilt, each is what `Batches(..., augment=...)` takes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def gaussian_noise(x: Tensor, std: float | Tensor, generator: torch.Generator) -> Tensor:
    """x + σ ε, ε ~ N(0, I): the same shape, no longer within [0, 1].

    std: one σ for all, or one for each example, [n]. Raises ValueError for a negative σ, NaN, or another shape.
    """
    sigma = torch.as_tensor(std, dtype=x.dtype, device=x.device)
    if sigma.shape not in ((), x.shape[:1]) or not bool((sigma >= 0).all()):  # also true of NaN
        given = (
            f"σ = {float(sigma):g}"
            if sigma.ndim == 0
            else f"{list(sigma.shape)} values of σ, the least {sigma.min():g}"
        )
        raise ValueError(f"gaussian_noise was given {given}: give one number >= 0, or one for each of the {len(x)}.")
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + sigma.reshape(-1, *[1] * (x.ndim - 1)) * noise if sigma.ndim else x + sigma * noise


def salt_and_pepper(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Every number becomes 0 with probability share/2, 1 with probability share/2, and else stays: the same shape.

    Raises ValueError unless 0 <= share <= 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"salt_and_pepper was given the share {share}: it must lie in [0, 1].")
    u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return torch.where(u < share / 2, 0.0, torch.where(u >= 1 - share / 2, 1.0, x))


def downscale(x: Tensor, factor: int) -> Tensor:
    """The mean of every factor × factor block: [n, c, height, width] → [n, c, height/factor, width/factor].

    Raises ValueError unless the factor divides both sides.
    """
    if x.ndim != 4 or factor < 1 or x.shape[-1] % factor or x.shape[-2] % factor:
        raise ValueError(
            f"downscale cannot divide {list(x.shape)} by {factor}: it needs [n, channels, height, width] with sides that "
            "the factor divides."
        )
    return avg_pool2d(x, factor)
