"""The aggregate posterior q(z) = E_x[q(z|x)] against the prior: how far apart they are, from two sides.

KL(q(z) || p(z)) is what a better prior could gain in the mean bound, at most (Hoffman & Johnson, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.model import LatentVariableModel
from vae_course.distributions.operations import log_prior
from vae_course.refusals import refuse_no_examples


def log_mixture(q: Distribution, z: Tensor, memory: int = 4_000_000) -> Tensor:
    """log (1/n) Σ_k q(z|x_k) at latents z: q of batch [n], z [m, latent] → [m] nats.

    memory: the most numbers that one tensor holds.
    """
    each = torch.cat([rows.logsumexp(1) for rows in _log_pairs(q, z, memory)])
    return each - log(q.batch_shape[0])


def _log_pairs(q: Distribution, z: Tensor, memory: int = 4_000_000) -> Iterator[Tensor]:
    """log q(z_i|x_k) for some latents after others: each [rows, n] nats."""
    rows = max(1, memory // (q.batch_shape[0] * q.event_shape.numel()))
    for some in z.split(rows):
        yield q.log_prob(some[:, None])


class Between(NamedTuple):
    """KL(q(z) || p(z)) over all x, of which n examples are a sample, from two sides: nats."""

    low: Tensor  # q(z) from the other examples: too small in expectation
    high: Tensor  # q(z) from all, the draw's own among them: too large in expectation
    information: Tensor  # an estimate of I(x; z): too small in expectation, and never above log n


@torch.no_grad()
def aggregate_divergence(model: LatentVariableModel, x: Tensor) -> Between:
    """KL(q(z) || p(z)) from both sides, with one draw of z for each example: [n, *event] → three numbers, nats.

    With z_i ~ q(z|x_i), the mean over the others' q(z_i|x_k) is an unbiased estimate of q(z_i), and its logarithm errs
    downwards by Jensen's inequality; with its own term among them E log q(z|x) / q(z) is at most I(x; z) (van den Oord et
    al., arXiv:1807.03748; Poole et al., arXiv:1905.06922), so the divergence errs upwards.
    Raises ValueError for fewer than 2 examples.
    """
    refuse_no_examples("aggregate_divergence", x)
    n = len(x)
    if n < 2:
        raise ValueError(
            "aggregate_divergence was given 1 example; each draw needs the posterior of another, give 2 or more."
        )
    q, p = model.posterior(x), model.prior()
    z = q.sample()  # [n, latent]
    pairs = torch.cat(list(_log_pairs(q, z)))  # [n, n]
    with_own = pairs.logsumexp(1) - log(n)
    without = pairs.fill_diagonal_(-torch.inf).logsumexp(1) - log(n - 1)
    log_p = log_prior(p, q, z)
    return Between((without - log_p).mean(), (with_own - log_p).mean(), (q.log_prob(z) - with_own).mean())
