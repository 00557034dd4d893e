"""The evidence lower bound, and what importance weights make of it. A model is `prior()`, `posterior(x)`, `likelihood(z)`."""

from __future__ import annotations

from math import log
from typing import NamedTuple

from torch import Tensor

from vae_course.distributions.draws import draw, sample_with_log_prob
from vae_course.distributions.model import GenerativeModel, LatentVariableModel
from vae_course.distributions.operations import divergence, log_prior, log_prob_each
from vae_course.refusals import refuse_no_examples


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound, each [batch] nats."""

    log_likelihood: Tensor  # log p(x|z), z ~ q(z|x)
    kl: Tensor  # KL(q(z|x) || p(z))

    @property
    def value(self) -> Tensor:
        """𝓛 = E_q[log p(x|z)] − KL(q(z|x) || p(z)), estimated with one draw of z: [batch] nats."""
        return self.log_likelihood - self.kl


def elbo(model: LatentVariableModel, x: Tensor) -> Elbo:
    """The evidence lower bound at one draw of z, the KL term in closed form where there is one.

    𝓛(θ, φ; x) = E_q(z|x)[log p(x|z)] − KL(q(z|x) || p(z)) <= log p(x).
    Kingma & Welling, arXiv:1312.6114, eq. 7 (eq. 10 when prior and posterior are normal); eq. 6 where there is none.
    x: [batch, *event] → two terms, each [batch] nats.
    Raises ValueError without an example, or where a term is not one number for each; NotImplementedError where gradients are on and z
    cannot be differentiated by the posterior's parameters.
    """
    refuse_no_examples("elbo", x)
    q, p = model.posterior(x), model.prior()
    z = draw(q)  # [batch, latent]
    return Elbo(log_prob_each(model.likelihood(z), x, q.batch_shape), divergence(q, p, z))


def log_joint(model: GenerativeModel, x: Tensor, z: Tensor) -> Tensor:
    """log p(x, z) = log p(z) + log p(x|z). x: [batch, *event], z: [..., batch, latent] → [..., batch] nats.

    Raises ValueError where log p(x|z) is not one number for each example and latent.
    """
    log_prior: Tensor = model.prior().log_prob(z)
    return log_prior + log_prob_each(model.likelihood(z), x, log_prior.shape)


def log_weights(model: LatentVariableModel, x: Tensor, samples: int) -> Tensor:
    """log w = log p(x, z) − log q(z|x) for z ~ q(z|x): [samples, batch] nats.

    Their mean over samples estimates the ELBO (Kingma & Welling, eq. 6), their log-mean-exp the
    importance-weighted bound, and every one equals log p(x) when q is the exact posterior.
    Raises ValueError for fewer than one sample, or no examples.
    """
    if samples < 1:
        raise ValueError(f"log_weights was asked for {samples} samples; it needs at least 1.")
    refuse_no_examples("log_weights", x)
    q = model.posterior(x)
    z, log_q = sample_with_log_prob(q, (samples,))  # [samples, batch, latent], [samples, batch]
    return log_prior(model.prior(), q, z) + log_prob_each(model.likelihood(z), x, log_q.shape) - log_q


def log_mean_exp(log_values: Tensor, axis: int = 0) -> Tensor:
    """log of the mean of exp(log_values) along one axis, without overflow."""
    return log_values.logsumexp(axis) - log(log_values.shape[axis])


def iwae(model: LatentVariableModel, x: Tensor, samples: int) -> Tensor:
    """The importance-weighted bound 𝓛_k = E[log (1/k) Σ w_i] <= log p(x), one estimate per example: [batch] nats.

    Burda, Grosse & Salakhutdinov, arXiv:1509.00519, eq. 8. k = samples; k = 1 is the ELBO.
    """
    return log_mean_exp(log_weights(model, x, samples))
