"""The truth for a discrete model by a sum over every value of its latents."""

from __future__ import annotations

from torch import Tensor

from vae_course.distributions import enumerate_one_hot
from vae_course.exact.grids import EvidenceSplit
from vae_course.objectives import LatentVariableModel


def log_joint_of_codes(model: LatentVariableModel, x: Tensor) -> Tensor:
    """log p(x, z) for every one-hot z of the model: x [batch, *event] → [batch, values] nats.

    The last variable changes fastest. Raises ValueError for more than 100,000 values.
    """
    prior = model.prior()
    variables, categories = prior.event_shape
    z = enumerate_one_hot(variables, categories, like=x)  # [values, variables, categories]
    log_likelihood = model.likelihood(z[:, None]).log_prob(x)  # [values, batch]
    return (log_likelihood + prior.log_prob(z)[:, None]).T


def split_evidence_of_codes(model: LatentVariableModel, x: Tensor) -> EvidenceSplit:
    """log p(x) = 𝓛 + KL(q(z|x) || p(z|x)), all three exact, [batch] nats each; differentiable.

    x: [batch, *event]. Raises ValueError for more than 100,000 values of z.
    """
    log_joint = log_joint_of_codes(model, x)  # [batch, values]
    q = model.posterior(x)
    variables, categories = q.event_shape
    log_q = q.log_prob(enumerate_one_hot(variables, categories, like=x)[:, None]).T  # [batch, values]
    log_evidence = log_joint.logsumexp(1)
    log_posterior = log_joint - log_evidence[:, None]
    weight = log_q.exp()
    gap = (weight * (log_q - log_posterior)).sum(1)
    return EvidenceSplit(log_evidence, (weight * (log_joint - log_q)).sum(1), gap)
