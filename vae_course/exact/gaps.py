"""A normal distribution of which only some coordinates were observed, exactly: log p, what is missing, the best fit."""

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
