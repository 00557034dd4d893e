"""Objectives: functions of (model, x) that return nats, one number per example (or per draw and example).

A model is anything with `prior()`, `posterior(x)` and `likelihood(z)`. Nothing here knows a network,
and nothing here averages over the batch: that happens once, in `vae_course.training.step`.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vae_course.distributions import sample_with_log_prob


class GenerativeModel(Protocol):
    """What draws x: two distributions."""

    def prior(self) -> Distribution:
        """p(z)."""
        ...

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z)."""
        ...


class LatentVariableModel(GenerativeModel, Protocol):
    """A model is three distributions."""

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x)."""
        ...


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound, each [batch] nats."""

    log_likelihood: Tensor  # log p(x|z), z ~ q(z|x)
    kl: Tensor  # KL(q(z|x) || p(z))

    @property
    def value(self) -> Tensor:
        """𝓛 = E_q[log p(x|z)] − KL(q(z|x) || p(z)), estimated with one draw of z: [batch] nats."""
        return self.log_likelihood - self.kl


def elbo(model: LatentVariableModel, x: Tensor) -> Elbo:
    """The evidence lower bound with the KL term in closed form and one reparameterized draw of z.

    𝓛(θ, φ; x) = E_q(z|x)[log p(x|z)] − KL(q(z|x) || p(z)) <= log p(x).
    Kingma & Welling, arXiv:1312.6114, eq. 7 (eq. 10 when prior and posterior are normal).
    x: [batch, *event] → two terms, each [batch] nats.
    """
    q = model.posterior(x)
    z = q.rsample()  # [batch, latent]
    return Elbo(model.likelihood(z).log_prob(x), kl_divergence(q, model.prior()))


def log_joint(model: GenerativeModel, x: Tensor, z: Tensor) -> Tensor:
    """log p(x, z) = log p(z) + log p(x|z). x: [batch, *event], z: [..., batch, latent] → [..., batch] nats."""
    return model.prior().log_prob(z) + model.likelihood(z).log_prob(x)


def log_weights(model: LatentVariableModel, x: Tensor, samples: int) -> Tensor:
    """log w = log p(x, z) − log q(z|x) for z ~ q(z|x): [samples, batch] nats.

    Their mean over samples estimates the ELBO (Kingma & Welling, eq. 6), their log-mean-exp the
    importance-weighted bound, and every one equals log p(x) when q is the exact posterior.
    Raises ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"log_weights was asked for {samples} samples; it needs at least 1.")
    z, log_q = sample_with_log_prob(model.posterior(x), (samples,))  # [samples, batch, latent], [samples, batch]
    return log_joint(model, x, z) - log_q


def log_mean_exp(log_values: Tensor, axis: int = 0) -> Tensor:
    """log of the mean of exp(log_values) along one axis, without overflow."""
    return log_values.logsumexp(axis) - log(log_values.shape[axis])


def iwae(model: LatentVariableModel, x: Tensor, samples: int) -> Tensor:
    """The importance-weighted bound 𝓛_k = E[log (1/k) Σ w_i] <= log p(x), one estimate per example: [batch] nats.

    Burda, Grosse & Salakhutdinov, arXiv:1509.00519, eq. 8. k = samples; k = 1 is the ELBO.
    """
    return log_mean_exp(log_weights(model, x, samples))
