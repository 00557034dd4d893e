"""Priors that are trained: functions without arguments that return p(z), for `WithPrior`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.model import LatentVariableModel


class MixturePrior(nn.Module):
    """p(z) = Σ_k π_k N(z; μ_k, diag σ_k²), all of it trained.

    means: [components, latent], where training starts; std: the width of every component then. The weights start equal.
    Raises ValueError for means that are no matrix, or a width that is not positive.
    """

    def __init__(self, means: Tensor, std: float = 1.0) -> None:
        super().__init__()
        if means.ndim != 2 or not std > 0:
            raise ValueError(
                f"MixturePrior was given means {list(means.shape)} and a width of {std}; it needs means "
                "[components, latent] and a positive width."
            )
        self.means = nn.Parameter(means.detach().clone())
        self.log_std = nn.Parameter(torch.full_like(means, std).log())
        self.logits = nn.Parameter(means.new_zeros(len(means)))

    def forward(self) -> MixtureSameFamily:
        """The mixture: batch [], event [latent]."""
        return MixtureSameFamily(Categorical(logits=self.logits), diagonal_normal(self.means, self.log_std.exp()))


class VampPrior(nn.Module):
    """p(z) = (1/K) Σ_k q(z|u_k): the encoder's own posteriors at K pseudo-inputs, which are trained.

    Tomczak & Welling, arXiv:1705.07120. model: its posterior must be a diagonal normal; pseudo_inputs:
    [K, *event], pictures in (0, 1) where training starts; they are kept there by a sigmoid. The encoder's parameters get a
    second gradient through the prior. Raises ValueError for pseudo-inputs outside (0, 1).
    """

    def __init__(self, model: LatentVariableModel, pseudo_inputs: Tensor) -> None:
        super().__init__()
        if not bool(((pseudo_inputs > 0) & (pseudo_inputs < 1)).all()):
            raise ValueError(
                f"VampPrior was given pseudo-inputs from {float(pseudo_inputs.min()):.4g} to "
                f"{float(pseudo_inputs.max()):.4g}; clamp them into (0, 1), they are held as logits."
            )
        self.model, self.logits = model, nn.Parameter(pseudo_inputs.detach().logit())

    @property
    def pseudo_inputs(self) -> Tensor:
        """[K, *event], in (0, 1)."""
        return self.logits.sigmoid()

    def forward(self) -> MixtureSameFamily:
        """The mixture of posteriors, with equal weights: batch [], event [latent]."""
        q = self.model.posterior(self.pseudo_inputs)
        assert isinstance(q, Independent)
        assert isinstance(q.base_dist, Normal)
        return MixtureSameFamily(Categorical(logits=q.mean.new_zeros(len(q.mean))), q)
