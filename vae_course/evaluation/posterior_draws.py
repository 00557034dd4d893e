"""log p(x) from draws of the posterior p(z|x): the estimator of the AEVB paper, and a sound one from the same draws."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_course.distributions.model import GenerativeModel
from vae_course.distributions.validation import validation
from vae_course.inference.hamiltonian import hamiltonian_step
from vae_course.objectives.bounds import log_joint, log_mean_exp
from vae_course.processor import on_processor


class Chain(NamedTuple):
    """Draws of p(z|x), [draws, batch, latent], and the share of proposals accepted after the first half of the chain, [batch]."""

    z: Tensor
    accepted: Tensor


def posterior_draws(
    model: GenerativeModel,
    x: Tensor,
    draws: int,
    apart: int = 5,
    leapfrogs: int = 4,
    burn_in: int = 100,
    accept: float = 0.9,
) -> Chain:
    """Draws of z ~ p(z|x) by Hamiltonian Monte Carlo, a chain an example with a step size of its own, `apart` steps from draw to draw.

    Each chain starts with a draw of p(z); during `burn_in` its step size is tuned towards the acceptance asked for, then kept.
    x: [batch, *event].
    """
    with torch.no_grad():
        z = model.prior().sample((len(x),))  # [batch, latent]
    step = torch.full((len(x), 1), 0.1, dtype=z.dtype, device=z.device)
    kept, accepted = [], torch.zeros(len(x), dtype=z.dtype, device=z.device)
    with validation(False):
        for number in range(1, burn_in + draws * apart + 1):
            z, probability = hamiltonian_step(lambda z: log_joint(model, x, z), z, step, leapfrogs)
            if number <= burn_in:
                step = step * (0.2 * (probability - accept)).exp()[:, None]
                continue
            accepted += probability / (draws * apart)
            if (number - burn_in) % apart == 0:
                kept.append(z)
    return Chain(torch.stack(kept), accepted)


def fitted_normal(z: Tensor) -> MultivariateNormal:
    """The normal with the mean and covariance of the draws, one for each example: [draws, batch, latent] → batch [batch]."""
    centred = z - z.mean(0)
    covariance = torch.einsum("dbi,dbj->bij", centred, centred) / (len(z) - 1)
    tiny = 1e-6 * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    root = on_processor(torch.linalg.cholesky, covariance + tiny)
    return MultivariateNormal(z.mean(0), scale_tril=root, validate_args=False)


@torch.no_grad()
def reciprocal_log_evidence(model: GenerativeModel, x: Tensor, fitted_to: Tensor, z: Tensor) -> Tensor:
    """−log (1/L) Σ q(z_l) / p(x, z_l), z_l ~ p(z|x), with q a normal fitted to other draws: [batch] nats.

    Kingma & Welling, arXiv:1312.6114, appendix D. The mean of q/p(x, z) under the posterior is 1/p(x), so that by Jensen's inequality the
    estimate is too high in expectation, if q has not seen the draws: fit it to those of another chain. x: [batch, *event]; both
    draws [draws, batch, latent].
    """
    log_q = fitted_normal(fitted_to).log_prob(z)  # [draws, batch]
    return -log_mean_exp(log_q - log_joint(model, x, z))


@torch.no_grad()
def defended_log_evidence(model: GenerativeModel, x: Tensor, fitted_to: Tensor, samples: int) -> Tensor:
    """log (1/L) Σ p(x, z_l) / r(z_l), a tenth of the z_l from the prior and the others from a fitted normal q, r = p(z)/10 + 9 q/10: [batch] nats.

    Importance sampling with a proposal that draws of the posterior have shaped. A weight is at most 10 p(x|z), however badly q fits: the prior's
    tenth defends it (Hesterberg, 1995, Technometrics 37). Too low in expectation, by Jensen's inequality. Raises ValueError for fewer than 10 samples.
    """
    if samples < 10:
        raise ValueError(
            f"defended_log_evidence was asked for {samples} samples; it needs at least 10, one of them the prior's."
        )
    q, p = fitted_normal(fitted_to), model.prior()
    tenth = samples // 10
    z = torch.cat([p.sample((tenth, len(x))), q.sample((samples - tenth,))])  # [samples, batch, latent]
    share = tenth / samples
    log_r = torch.logaddexp(p.log_prob(z) + log(share), q.log_prob(z) + log(1 - share))
    return log_mean_exp(log_joint(model, x, z) - log_r)
