"""Codebooks: K vectors that training moves, by gradients or by moving averages."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    """K vectors of d numbers, a parameter: `vectors` [K, d], moved by the gradient of the codebook term."""

    def __init__(self, size: int, d: int, std: float = 1.0) -> None:
        super().__init__()
        self.vectors = nn.Parameter(std * torch.randn(size, d))


class MovingCodebook(nn.Module):
    """K vectors of d numbers, each the moving average of the encoder's outputs that chose it: online k-means.

    N_k ← γ N_k + (1 − γ) n_k,   m_k ← γ m_k + (1 − γ) Σ_{i chose k} z_i,   e_k = m_k / N_k.
    Van den Oord et al., arXiv:1711.00937, appendix A.1; published code also smooths N, this does not. γ = decay. The averages are buffers:
    they are saved with the model, and no optimizer moves them. Raises ValueError unless 0 <= γ < 1.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, size: int, d: int, decay: float = 0.95, std: float = 1.0) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"MovingCodebook was given the decay {decay}; it must be at least 0 and below 1.")
        self.decay = decay
        self.register_buffer("vectors", std * torch.randn(size, d))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.vectors.clone())

    @torch.no_grad()
    def update(self, z: Tensor, codes: Tensor) -> None:
        """One step of the averages. z: [batch, d, *grid] the encoder's output; codes: int64 [batch, *grid]."""
        points, chosen = z.detach().movedim(1, -1).flatten(0, -2), codes.flatten()  # [n, d], [n]
        points = points.to(self.sums)  # under autocast they are of another number type
        n = torch.bincount(chosen, minlength=len(self.vectors)).to(self.counts)
        total = torch.zeros_like(self.sums).index_add_(0, chosen, points)
        self.counts.lerp_(n, 1 - self.decay)
        self.sums.lerp_(total, 1 - self.decay)
        used = self.counts > 1e-6
        self.vectors[used] = self.sums[used] / self.counts[used, None]

    @torch.no_grad()
    def restart(self, z: Tensor, least: float) -> int:
        """Put every code whose average count is below `least` on one of the encoder's outputs, drawn at random.

        z: [batch, d, *grid]. Returns how many were moved. Its average starts anew, as if chosen `least` times.
        """
        dead = (self.counts < least).nonzero()[:, 0]
        points = z.detach().movedim(1, -1).flatten(0, -2)
        drawn = points[torch.randint(len(points), (len(dead),), device=points.device)].to(self.vectors)
        self.vectors[dead], self.counts[dead], self.sums[dead] = drawn, least, least * drawn
        return len(dead)
