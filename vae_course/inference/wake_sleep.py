"""Wake-sleep: the decoder learns from data that the encoder explains, the encoder from data that the decoder dreams.

Hinton, Dayan, Frey & Neal (1995), *The wake-sleep algorithm for unsupervised neural networks*, Science 268. Each loss moves its own
half of the model and is a player of its own; the two descend no common objective.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vae_course.distributions.model import LatentVariableModel
from vae_course.objectives.bounds import log_joint


def wake(model: LatentVariableModel, x: Tensor) -> Tensor:
    """−log p(x, z), z ~ q(z|x) with q held still: what the decoder lowers, [batch] nats.

    Its gradient by θ is that of the ELBO, since q's entropy does not depend on θ. x: [batch, *event].
    """
    with torch.no_grad():
        z = model.posterior(x).sample()  # [batch, latent]
    return -log_joint(model, x, z)


def sleep(model: LatentVariableModel, x: Tensor, means: bool = False) -> Tensor:
    """−log q(z|x̃), (z, x̃) ~ p(z) p(x|z) with p held still: what the encoder lowers, [batch] nats.

    In expectation KL(p(z|x̃) || q(z|x̃)) and a constant, over what the model dreams: the other direction of the divergence, and
    no data. x gives the number of dreams. means: dream E[x|z] instead of a draw, which looks like data whose pixels are grey; the
    loss is then no such divergence.
    """
    with torch.no_grad():
        z = model.prior().sample((len(x),))  # [batch, latent]
        p = model.likelihood(z)
        dreamt = p.mean if means else p.sample()  # [batch, *event]
    log_q: Tensor = model.posterior(dreamt).log_prob(z)
    return -log_q
