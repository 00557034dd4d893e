"""The terms of a bound over many examples: rate and distortion, their means, bits per dimension."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from vae_course.distributions.model import LatentVariableModel, part
from vae_course.objectives.bounds import elbo
from vae_course.processor import to_float64
from vae_course.refusals import refuse_no_examples, refuse_no_tensor, refuse_unusable


class RateDistortion(NamedTuple):
    """The two terms of the bound as costs, [n] nats each: -ELBO = distortion + rate."""

    rate: Tensor  # KL(q(z|x) || p(z))
    distortion: Tensor  # -E_q[log p(x|z)]


@torch.no_grad()
def rate_distortion(model: LatentVariableModel, x: Tensor, samples: int = 1, chunk: int = 1_000) -> RateDistortion:
    """What z costs, and what x costs once z is known; the distortion is a mean over `samples` draws of z.

    Alemi et al., arXiv:1711.00464, section 2: averaged over x, the rate bounds the information that z has about x
    from above. Where the rate has no closed form it is a mean over the same draws.
    x: [n, *event] → [n] nats each. Raises ValueError for fewer than one sample, or no examples.
    """
    if samples < 1:
        raise ValueError(f"rate_distortion was asked for {samples} samples; it needs at least 1.")
    refuse_no_examples("A bound", x)
    parts = []
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        draws = [elbo(part(model, rows), x[rows]) for _ in range(samples)]
        distortion, rate = -torch.stack([d.log_likelihood for d in draws]), torch.stack([d.kl for d in draws])
        parts.append(RateDistortion(rate.mean(0), distortion.mean(0)))
    return RateDistortion(*(torch.cat(column) for column in zip(*parts, strict=True)))


def mean_elbo(model: LatentVariableModel, x: Tensor, samples: int = 1, chunk: int = 1_000) -> dict[str, float]:
    """The ELBO and its two terms, averaged over x and over `samples` draws of z: nats per example.

    Returns {"elbo", "log_likelihood", "kl"}. Raises as `rate_distortion` does.
    """
    rate, distortion = (float(to_float64(term).mean()) for term in rate_distortion(model, x, samples, chunk))
    return {"elbo": -distortion - rate, "log_likelihood": -distortion, "kl": rate}


def bits_per_dimension(log_p: Tensor, dimensions: int, levels: int = 1) -> Tensor:
    """b = -(log p - D log L) / (D log 2): nats of a picture as bits for each of its D numbers, shape as log_p.

    levels: 1 where log p is a log-probability of grey levels. For the log-density of a dequantised picture
    x = (k + u) / L, u ~ U[0, 1), give L: by Jensen, the mean of b over u is then at least the bits of the grey levels
    themselves. Theis, van den Oord & Bethge, arXiv:1511.01844, section 3.1.
    Raises ValueError for fewer than one dimension or level, or numbers that are not finite.
    """
    if dimensions < 1 or levels < 1:
        raise ValueError(
            f"bits_per_dimension was given {dimensions} dimensions and {levels} levels; both must be >= 1."
        )
    refuse_no_tensor("bits_per_dimension", log_p)
    refuse_unusable("bits_per_dimension", log_p=log_p.flatten())
    return -(log_p / dimensions - log(levels)) / log(2)
