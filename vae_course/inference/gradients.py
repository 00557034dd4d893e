"""Two estimators of the gradient of an expectation, ∇_φ E_q(z)[f(z)], and how to look at their spread.

Each returns the values f(z), [samples, *batch]; the gradient of their mean is the estimate. They differ in what
autograd sees of z.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.draws import name_of

Integrand = Callable[[Tensor], Tensor]


def pathwise(q: Distribution, f: Integrand, samples: int) -> Tensor:
    """f(z) with z a differentiable function of q's parameters: ∇_φ E_q[f(z)] = E_ε[∇_z f(z) ∂z/∂φ].

    Kingma & Welling, arXiv:1312.6114, section 2.4. f: [samples, *batch, *event] → [samples, *batch], differentiable.
    Raises NotImplementedError, with what to do, for a q without a reparameterized draw.
    """
    if not q.has_rsample:
        raise NotImplementedError(
            f"{name_of(q)} has no reparameterized draw, so no pathwise gradient: use the score function, or relax it."
        )
    return f(q.rsample((samples,)))


def no_baseline(cost: Tensor) -> Tensor:
    """0 for every draw."""
    return torch.zeros_like(cost)


def leave_one_out(cost: Tensor) -> Tensor:
    """For every draw the mean cost of the others: independent of the draw, so that it adds no bias.

    Kool, van Hoof & Welling, Buy 4 REINFORCE samples, get a baseline for free! (2019). cost: [samples, ...].
    Raises ValueError for fewer than 2 draws.
    """
    if len(cost) < 2:
        raise ValueError(f"leave_one_out was given {len(cost)} draws; the mean of the others needs at least 2.")
    return (cost.sum(0) - cost) / (len(cost) - 1)


def score_function(
    q: Distribution, f: Integrand, samples: int, baseline: Callable[[Tensor], Tensor] = no_baseline
) -> Tensor:
    """f(z) with the gradient of the score-function estimator: ∇_φ E_q[f(z)] = E_q[(f(z) − b) ∇_φ log q(z)] + E_q[∇_φ f(z)].

    Williams, Machine Learning 8 (1992), REINFORCE. f need not be differentiable in z; the second term is there where f
    itself depends on φ. baseline: costs [samples, *batch] → b of the same shape, independent of the draw itself.
    """
    z = q.sample((samples,))
    cost = f(z)  # [samples, *batch]
    log_q = q.log_prob(z)
    return cost + (cost - baseline(cost)).detach() * (log_q - log_q.detach())


def gradient_draws(estimate: Callable[..., Tensor], parameters: Sequence[Tensor], draws: int) -> tuple[Tensor, ...]:
    """Independent draws of a gradient estimate, to see their mean and spread: [draws, *shape] for each parameter.

    estimate: takes the parameters, each with a leading axis of `draws` equal rows, and returns values
    [samples, draws], column i a function of row i alone; draw i is the gradient of the mean of column i.
    """
    rows = [p.detach().expand(draws, *p.shape).clone().requires_grad_() for p in parameters]
    return torch.autograd.grad(estimate(*rows).mean(0).sum(), rows)
