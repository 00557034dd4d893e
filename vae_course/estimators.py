"""Estimators of what cannot be computed, each with its error: log p(x), active units, the parts of a bound."""

from __future__ import annotations

from math import log, prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from vae_course.models.conditional import GivenVAE
from vae_course.objectives import LatentVariableModel, elbo, log_weights
from vae_course.training import validation


class LogEvidence(NamedTuple):
    """An estimate of log p(x), [batch] nats, and its standard error, [batch] nats."""

    value: Tensor
    standard_error: Tensor


@torch.no_grad()
def log_evidence(model: LatentVariableModel, x: Tensor, samples: int, memory: int = 2_000_000) -> LogEvidence:
    """log p(x) by importance sampling from q(z|x): log of the mean of `samples` weights, in bounded memory.

    Burda et al., arXiv:1509.00519, eq. 8, used as an estimate. In expectation it lies below log p(x), the less so
    the more samples. The standard error is sd(w) / (√samples · mean(w)) (the delta method): it means something only
    where the weights' variance is finite, that is, where q is wide enough.

    x: [batch, *event]; memory: the most numbers that one tensor of [samples, examples, *event] may hold; two million are
    fastest on two processor cores. Every example is validated at one draw of z; the others go without, which saves a third.
    Raises ValueError for fewer than 2 samples.
    """
    if samples < 2:
        raise ValueError(f"log_evidence was asked for {samples} samples; an estimate with an error needs at least 2.")
    pixels = prod(x.shape[1:])
    draws = max(1, min(samples, memory // pixels))  # per chunk of one example
    examples = max(1, memory // (draws * pixels))
    rate_distortion(model, x, chunk=examples)  # refuses what the families refuse
    found = LogEvidence(x.new_empty(len(x)), x.new_empty(len(x)))  # filled in place: small results would lie in the way
    with validation(False):
        for start in range(0, len(x), examples):
            part = slice(start, start + examples)
            found.value[part], found.standard_error[part] = _log_evidence(_part(model, part), x[part], samples, draws)
    return found


def _part(model: LatentVariableModel, rows: slice) -> LatentVariableModel:
    """The model for some of the examples: a conditional one knows a condition for each."""
    return model.part(rows) if isinstance(model, GivenVAE) else model


def _log_evidence(model: LatentVariableModel, x: Tensor, samples: int, draws: int) -> LogEvidence:
    log_sum = x.new_full((len(x),), -torch.inf)  # log Σ w
    log_squares = log_sum.clone()  # log Σ w²
    for start in range(0, samples, draws):
        log_w = log_weights(model, x, min(draws, samples - start))  # [draws, batch]
        log_sum = torch.logaddexp(log_sum, log_w.logsumexp(0))
        log_squares = torch.logaddexp(log_squares, (2 * log_w).logsumexp(0))
    relative_second_moment = (log_squares - 2 * log_sum + log(samples)).exp()  # mean(w²) / mean(w)², at least 1
    standard_error = ((relative_second_moment - 1).clamp(min=0) / (samples - 1)).sqrt()
    return LogEvidence(log_sum - log(samples), standard_error)


class RateDistortion(NamedTuple):
    """The two terms of the bound as costs, [n] nats each: -ELBO = distortion + rate."""

    rate: Tensor  # KL(q(z|x) || p(z))
    distortion: Tensor  # -E_q[log p(x|z)]


@torch.no_grad()
def rate_distortion(model: LatentVariableModel, x: Tensor, samples: int = 1, chunk: int = 1_000) -> RateDistortion:
    """What z costs, and what x costs once z is known; the distortion is a mean over `samples` draws of z.

    Alemi et al., arXiv:1711.00464, section 2: averaged over x, the rate bounds the information that z has about x
    from above. x: [n, *event] → [n] nats each. Raises ValueError for fewer than one sample.
    """
    if samples < 1:
        raise ValueError(f"rate_distortion was asked for {samples} samples; it needs at least 1.")
    parts = []
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        draws = [elbo(_part(model, rows), x[rows]) for _ in range(samples)]
        distortion = -torch.stack([draw.log_likelihood for draw in draws]).mean(0)
        parts.append(RateDistortion(draws[0].kl, distortion))
    return RateDistortion(*(torch.cat(column) for column in zip(*parts, strict=True)))


def mean_elbo(model: LatentVariableModel, x: Tensor, samples: int = 1, chunk: int = 1_000) -> dict[str, float]:
    """The ELBO and its two terms, averaged over x and over `samples` draws of z: nats per example.

    Returns {"elbo", "log_likelihood", "kl"}.
    """
    rate, distortion = (float(part.cpu().double().mean()) for part in rate_distortion(model, x, samples, chunk))
    return {"elbo": -distortion - rate, "log_likelihood": -distortion, "kl": rate}


def bits_per_dimension(log_p: Tensor, dimensions: int, levels: int = 1) -> Tensor:
    """b = -(log p - D log L) / (D log 2): nats of a picture as bits for each of its D numbers, shape as log_p.

    levels: 1 where log p is a log-probability of grey levels. For the log-density of a dequantised picture
    x = (k + u) / L, u ~ U[0, 1), give L: by Jensen, the mean of b over u is then at least the bits of the grey levels
    themselves. Theis, van den Oord & Bethge, arXiv:1511.01844, section 3.1.
    Raises ValueError for fewer than one dimension or level.
    """
    if dimensions < 1 or levels < 1:
        raise ValueError(
            f"bits_per_dimension was given {dimensions} dimensions and {levels} levels; both must be >= 1."
        )
    return -(log_p / dimensions - log(levels)) / log(2)


@torch.no_grad()
def posterior_means(model: LatentVariableModel, x: Tensor, chunk: int = 1_000) -> Tensor:
    """E_q(z|x)[z]: [n, *event] → [n, latent]."""
    parts = [slice(start, start + chunk) for start in range(0, len(x), chunk)]
    return torch.cat([_part(model, rows).posterior(x[rows]).mean for rows in parts])


def active_units(model: LatentVariableModel, x: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latents carry something about x: Var_x(E_q(z|x)[z]) > threshold, [latent] of bool.

    Burda et al., arXiv:1509.00519, section 5.2. Raises ValueError for fewer than 2 examples.
    """
    if len(x) < 2:
        raise ValueError(f"active_units was given {len(x)} examples; a variance over x needs at least 2.")
    return posterior_means(model, x).var(0) > threshold


@torch.no_grad()
def kl_per_latent(model: LatentVariableModel, x: Tensor) -> Tensor:
    """KL(q(z_j|x) || p(z_j)) averaged over x, for each latent j: [latent] nats.

    For factorised normal posterior and prior; their sum is the KL term of the ELBO.
    Raises TypeError for other families.
    """
    q, p = model.posterior(x), model.prior()
    if not (isinstance(q, Independent) and isinstance(p, Independent) and isinstance(q.base_dist, Normal)):
        raise TypeError(f"kl_per_latent needs factorised posterior and prior, not {type(q).__name__}.")
    return kl_divergence(q.base_dist, p.base_dist.expand(q.base_dist.batch_shape)).mean(0)
