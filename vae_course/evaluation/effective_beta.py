"""What β a loss really has: a loss found in code, held against the two terms of the bound of a declared model."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from vae_course.distributions.families import diagonal_normal
from vae_course.randomness import seeded

ModelLoss = Callable[[Any, Tensor], Tensor]
PROBES = 64
TOLERANCE = 1e-6


class EffectiveBeta(NamedTuple):
    """loss = a · (-log p(x|z)) + b · KL(q(z|x) || p(z)) + c, and how much of the loss that leaves unexplained."""

    beta: float  # b / a
    likelihood_weight: float  # a
    kl_weight: float  # b
    constant: float  # c
    residual: float  # sd of what is left over sd of the loss


def effective_beta(loss: ModelLoss, model: nn.Module, batch: int = 10) -> EffectiveBeta:
    """Fit loss = a · (-log p(x|z)) + b · KL + c for the model's declared likelihood, and return b / a.

    The loss a · (-log p(x|z)) + b · KL has the minima of -log p(x|z) + β KL with β = b / a: the β of a β-VAE (Higgins
    et al., 2017) *beside this likelihood*. Another likelihood gives the same loss another β, or none.

    loss: a function (model, x) that draws z once, by `model.posterior(x).rsample()`, and returns [batch] numbers or
    one number for the batch; it may use `model.prior()` and `model.likelihood(z)`, nothing else of the model. It is
    called in float64 for batches of `batch` pictures drawn from the model, with diagonal normals drawn at random in
    place of the model's posterior.
    For one that sums one term over the batch and averages the other, β depends on `batch`.

    Raises ValueError for a loss that is not of this form (the residual is above a millionth), for a ≤ 0, and for one
    that draws another number of z a picture; TypeError unless the prior is a diagonal normal; AttributeError for a
    loss that asks the model for anything else.
    """
    with seeded():
        exact = deepcopy(model).cpu().double()
        probes = [_probe(loss, exact, batch) for _ in range(PROBES)]
    losses, distortions, rates = (torch.cat(column) for column in zip(*probes, strict=True))
    design = torch.stack([distortions, rates, torch.ones_like(rates)], 1)  # [n, 3]
    scale = design.abs().amax(0)
    weights = torch.linalg.lstsq(design / scale, losses[:, None]).solution[:, 0] / scale
    left = (losses - design @ weights).std() / losses.std().clamp(min=torch.finfo(losses.dtype).tiny)
    a, b, c = weights.tolist()
    residual = float(left)
    if not residual < TOLERANCE:
        raise ValueError(
            f"This loss is not a·(-log p(x|z)) + b·KL + c for the model's likelihood: the best fit leaves {residual:.2g} "
            "of its spread. Declare the likelihood that the loss belongs to, or take the loss for what it is."
        )
    if not a > 1e-9 * abs(b):
        raise ValueError(
            f"This loss weights -log p(x|z) by {a:.3g}: it does not reward a good reconstruction, so no β describes it; "
            "look at the sign of its first term."
        )
    return EffectiveBeta(b / a, a, b, c, residual)


def _probe(loss: ModelLoss, model: nn.Module, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, -log p(x|z) and the KL of one batch: [batch] each, or [1] each where the loss is one number."""
    with torch.no_grad():
        stand_in = _StandIn(model, batch)
        x = stand_in.pictures
        values = loss(stand_in, x)
        if stand_in.latents is None:
            raise ValueError("The loss never called model.likelihood(z): there is no reconstruction in it.")
        if values.shape not in ((), (batch,)):
            raise ValueError(
                f"The loss returned {list(values.shape)} for {batch} pictures: return one number, or one a picture."
            )
        distortion = -model.likelihood(stand_in.latents).log_prob(x)  # type: ignore[operator]
        rate = kl_divergence(stand_in.q, stand_in.prior())
        if distortion.shape != (batch,):
            raise ValueError("The loss drew several z for a picture: let it draw z once.")
        if values.ndim == 0:
            return values[None], distortion.mean()[None], rate.mean()[None]
        return values, distortion, rate


class _StandIn:
    """The model with a posterior drawn at random, which remembers the z that the loss drew."""

    def __init__(self, model: Any, batch: int) -> None:
        self.model = model
        prior = self.prior()
        (latent,) = prior.event_shape
        mean = torch.randn(batch, latent, dtype=torch.float64) * (0.2 + 2 * torch.rand(batch, 1, dtype=torch.float64))
        std = (0.7 * torch.randn(batch, latent, dtype=torch.float64) - 0.5).exp()
        self.q = diagonal_normal(mean, std)
        self.latents: Tensor | None = None
        self.pictures: Tensor = model.likelihood(prior.sample((batch,))).sample()

    def prior(self) -> Distribution:
        p: Distribution = self.model.prior()
        if not (isinstance(p, Independent) and isinstance(p.base_dist, Normal)):
            raise TypeError(f"effective_beta needs a model whose prior is a diagonal normal, not {type(p).__name__}.")
        return p

    def posterior(self, x: Tensor) -> Distribution:
        return self.q

    def likelihood(self, z: Tensor) -> Distribution:
        if self.latents is not None and not torch.equal(z, self.latents):
            raise ValueError("The loss asked for the likelihood of two different z: let it draw z once.")
        self.latents = z
        p: Distribution = self.model.likelihood(z)
        return p

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"The loss asked the model for {name!r}: let it use prior(), posterior(x) and likelihood(z) only."
        )
