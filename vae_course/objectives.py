"""Objectives: functions of (model, x) that return nats, one number per example (or per draw and example).

A model is anything with `prior()`, `posterior(x)` and `likelihood(z)`. Nothing here knows a network,
and nothing here averages over the batch: that happens once, in `vae_course.training.step`.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

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


class KlPieces(NamedTuple):
    """log q(z|x) − log p(z) in three pieces, each [batch] nats."""

    index_code: Tensor  # log q(z|x) − log q(z): in the mean, what z says about which x it came from
    total_correlation: Tensor  # log q(z) − Σ_j log q(z_j): in the mean, how far the latents are from independent
    dimension_wise: Tensor  # Σ_j [log q(z_j) − log p(z_j)]: in the mean, each latent's distance from its prior


def decompose_kl(q: Distribution, z: Tensor, p: Distribution, size: int) -> KlPieces:
    """KL(q(z|x)||p(z)) = I(x; z) + KL(q(z)||Π_j q(z_j)) + Σ_j KL(q(z_j)||p(z_j)), in the mean over x and z, at one draw each.

    Chen, Li, Grosse & Duvenaud, arXiv:1802.04942, eq. 2. q(z) = (1/size) Σ q(z|x_j) over a set; of its terms the
    batch holds the example's own, with weight 1/size, and others that stand for the rest, with equal weights: an
    unbiased estimate of q(z), hence one of its logarithm that errs downwards. Exact where the batch is the set.

    q: batch [batch], event [latent], factorised, as p; z: [batch, latent], drawn from q; size: of the set.
    Raises ValueError for size < batch or a batch of one out of more; TypeError for q or p that do not factorise.
    """
    batch = len(z)
    if size < batch or (batch == 1 and size > 1):
        raise ValueError(
            f"decompose_kl was given a batch of {batch} out of {size} examples; it needs 2 to all of them."
        )
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        raise TypeError(f"decompose_kl needs factorised posterior and prior, not {type(q).__name__}.")
    pairs = q.base_dist.log_prob(z[:, None])  # [batch, batch, latent]: log q(z_ij | x_k)
    others = (size - 1) / (size * max(1, batch - 1))
    log_weight = z.new_full((batch, batch), others).fill_diagonal_(1 / size).log()
    log_q = (pairs.sum(-1) + log_weight).logsumexp(1)  # [batch]: log q(z)
    log_marginals = (pairs + log_weight[..., None]).logsumexp(1).sum(-1)  # [batch]: Σ_j log q(z_j)
    return KlPieces(q.log_prob(z) - log_q, log_q - log_marginals, log_marginals - p.log_prob(z))


class DecomposedElbo(NamedTuple):
    """The bound with its KL term in three pieces, each [batch] nats."""

    log_likelihood: Tensor  # log p(x|z), z ~ q(z|x)
    index_code: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


def decomposed_elbo(model: LatentVariableModel, x: Tensor, size: int) -> DecomposedElbo:
    """The terms of the ELBO with one reparameterized draw of z, the KL as `decompose_kl` splits it.

    x: [batch, *event], drawn from a set of `size` examples → four terms, [batch] nats each. Raises as `decompose_kl`.
    """
    q = model.posterior(x)
    z = q.rsample()  # [batch, latent]
    pieces = decompose_kl(q, z, model.prior(), size)
    return DecomposedElbo(model.likelihood(z).log_prob(x), *pieces)
