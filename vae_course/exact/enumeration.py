"""The truth for a discrete latent by a sum over every one of its values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, OneHotCategorical

from vae_course.distributions.discrete import enumerate_one_hot
from vae_course.distributions.model import GenerativeModel, LatentVariableModel
from vae_course.distributions.operations import log_prob_each
from vae_course.exact.grids import EvidenceSplit


def every_value(prior: Distribution) -> Tensor:
    """Every value of a discrete latent, the last variable or position changing fastest: [values, *event].

    Raises TypeError for a prior that cannot be enumerated, ValueError for more than 100,000 values.
    """
    if isinstance(prior, MixtureSameFamily):
        return every_value(prior.component_distribution)
    if isinstance(prior, Independent) and isinstance(prior.base_dist, OneHotCategorical):
        variables, categories = prior.event_shape
        return enumerate_one_hot(variables, categories, like=prior.base_dist.logits)
    if not prior.has_enumerate_support:
        raise TypeError(f"Only a discrete latent can be enumerated, and this prior is {type(prior).__name__}.")
    values: Tensor = prior.enumerate_support()
    return values


def log_joint_by_enumeration(model: GenerativeModel, x: Tensor) -> Tensor:
    """log p(x, z) for every value of a discrete latent: x [batch, *event] → [batch, values] nats.

    The values are in the order of `every_value`; log p(x) is the logsumexp over them. Raises as `every_value` does.
    """
    prior = model.prior()
    z = every_value(prior)
    table = log_prob_each(model.likelihood(z[:, None]), x, (len(z), len(x)))  # [values, batch]
    return (table + prior.log_prob(z)[:, None]).T


def split_evidence_by_enumeration(model: LatentVariableModel, x: Tensor) -> EvidenceSplit:
    """log p(x) = 𝓛 + KL(q(z|x) || p(z|x)), all three exact, [batch] nats each; differentiable.

    x: [batch, *event]. Raises as `every_value` does.
    """
    log_joint = log_joint_by_enumeration(model, x)  # [batch, values]
    log_q = model.posterior(x).log_prob(every_value(model.prior())[:, None]).T  # [batch, values]
    log_evidence = log_joint.logsumexp(1)
    log_posterior = log_joint - log_evidence[:, None]
    weight = log_q.exp()
    elbo = torch.where(weight > 0, weight * (log_joint - log_q), 0.0).sum(1)
    gap = torch.where(weight > 0, weight * (log_q - log_posterior), 0.0).sum(1)
    return EvidenceSplit(log_evidence, elbo, gap)
