"""Normals, and mixtures of them, of which only some coordinates were observed, exactly: log p, what is missing, the best fit."""

from __future__ import annotations

from math import log, pi
from typing import NamedTuple

import torch
from torch import Tensor

from vae_course.refusals import refuse_no_examples


class GivenObserved(NamedTuple):
    """What N(mean, covariance) says of rows with gaps.

    log_p: [n] nats, of what was observed; filled: [n, d], E[x | observed]; left: [n, d, d], Cov[x | observed], 0 where observed.
    """

    log_p: Tensor
    filled: Tensor
    left: Tensor


class Fitted(NamedTuple):
    """A fit: mean [d], covariance [d, d], and the mean of log p of what was observed before each step."""

    mean: Tensor
    covariance: Tensor
    climb: list[float]


class Mixture(NamedTuple):
    """K normals: weight [K], mean [K, d], covariance [K, d, d], and the mean of log p of what was observed before each step."""

    weight: Tensor
    mean: Tensor
    covariance: Tensor
    climb: list[float]


def given_observed(x: Tensor, mean: Tensor, covariance: Tensor) -> GivenObserved:
    """log p(x_o), E[x | x_o] and Cov[x | x_o] under N(mean, covariance): x [n, d] with NaN at gaps, in float64.

    With Σ_oo the block of what was observed, E[x_m | x_o] = μ_m + Σ_mo Σ_oo⁻¹ (x_o − μ_o). On the processor.
    Raises ValueError for no rows, or another number of coordinates than the mean's.
    """
    refuse_no_examples("given_observed", x)
    if x.shape[1:] != mean.shape:
        raise ValueError(f"given_observed was given rows {list(x.shape)} for a mean {list(mean.shape)}.")
    x, mean, covariance = (t.detach().cpu().double() for t in (x, mean, covariance))
    seen = (~x.isnan()).double()  # [n, d]
    both = seen[:, :, None] * seen[:, None]
    block = both * covariance + torch.diag_embed(1 - seen)  # Σ_oo, and the identity at gaps
    apart = (x.nan_to_num(0.0) - mean) * seen
    solved = torch.linalg.solve(block, apart)  # [n, d], 0 at gaps
    log_p = -0.5 * ((apart * solved).sum(1) + block.logdet() + seen.sum(1) * log(2 * pi))
    left = covariance - covariance @ (both * block.inverse()) @ covariance
    return GivenObserved(log_p, mean + solved @ covariance, left)


def fit_normal(x: Tensor, steps: int = 30) -> Fitted:
    """The normal that makes what was observed likeliest, by expectation maximisation from N(0, I): x [n, d], NaN at gaps.

    Dempster, Laird & Rubin, J. R. Statist. Soc. B 39 (1977). The mean of the filled rows, and their covariance plus the mean of what
    filling leaves out. Raises ValueError for fewer than one step, or no rows.
    """
    refuse_no_examples("fit_normal", x)
    if steps < 1:
        raise ValueError(f"fit_normal was asked for {steps} steps; it needs at least 1.")
    d = x.shape[1]
    mean, covariance = torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    climb = []
    for _ in range(steps):
        log_p, filled, left = given_observed(x, mean, covariance)
        mean = filled.mean(0)
        apart = filled - mean
        covariance = apart.T @ apart / len(x) + left.mean(0)
        climb.append(float(log_p.mean()))
    return Fitted(mean, covariance, climb)


def fit_mixture(x: Tensor, components: int, steps: int, generator: torch.Generator) -> Mixture:
    """A mixture of normals that makes what was observed likely, by expectation maximisation: x [n, d], NaN at gaps.

    It begins at rows that the generator draws, their gaps filled by the one normal of all rows, and at half that normal's deviations.
    A component's moments are those of fit_normal, each row weighted by p(k | x_o). Nothing holds a component that closes on a few rows:
    take many more rows than numbers. Raises ValueError for fewer than one step or component, or fewer rows than components.
    """
    refuse_no_examples("fit_mixture", x)
    if steps < 1 or not 1 <= components <= len(x):
        raise ValueError(f"fit_mixture was asked for {components} components and {steps} steps with {len(x)} rows.")
    normal = fit_normal(x)
    drawn = torch.randperm(len(x), generator=generator)[:components].to(x.device)
    mean = given_observed(x[drawn], *normal[:2]).filled  # [K, d]
    covariance = normal.covariance.expand(components, -1, -1) / 4
    mixture = Mixture(torch.full((components,), 1 / components).double(), mean, covariance, [])
    for _ in range(steps):
        mixture = _mixture_step(x, mixture)
    return mixture


def mixture_given(x: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """log p(x_o) [n] and E[x | x_o] [n, d] under a mixture of normals: the components' own, mixed by p(k | x_o)."""
    each, log_joint = _each_component(x, mixture)
    share = log_joint.softmax(0)  # [K, n], p(k | x_o)
    filled = torch.stack([part.filled for part in each])
    return log_joint.logsumexp(0), (share[..., None] * filled).sum(0)


def _each_component(x: Tensor, mixture: Mixture) -> tuple[list[GivenObserved], Tensor]:
    """What each component says of the rows, and log p(k, x_o) [K, n]."""
    each = [given_observed(x, *moments) for moments in zip(mixture.mean, mixture.covariance, strict=True)]
    return each, torch.stack([part.log_p for part in each]) + mixture.weight.log()[:, None]


def _mixture_step(x: Tensor, mixture: Mixture) -> Mixture:
    """One step of expectation maximisation."""
    each, log_joint = _each_component(x, mixture)
    share = log_joint.softmax(0)  # [K, n]
    means, covariances = [], []
    for part, weight in zip(each, share / share.sum(1, keepdim=True), strict=True):  # weight [n], of sum 1
        means.append(weight @ part.filled)
        apart = part.filled - means[-1]
        left = torch.einsum("n,nij->ij", weight, part.left)
        covariances.append((weight[:, None] * apart).T @ apart + left)
    climb = [*mixture.climb, float(log_joint.logsumexp(0).mean())]
    return Mixture(share.mean(1), torch.stack(means), torch.stack(covariances), climb)
