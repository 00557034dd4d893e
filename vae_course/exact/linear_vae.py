"""The linear VAE with a fixed noise: every stationary point of its likelihood, and what each unit of it is worth.

The data enter by the eigenvalues λ_j and directions u_j of their covariance. Lucas, Tucker, Grosse & Norouzi,
arXiv:1911.02469; Tipping & Bishop, J. R. Statist. Soc. B 61 (1999), appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.processor import on_processor


def spectrum(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the covariance of the rows, falling, and their directions: [n, d] → [d], [d, d] (columns)."""
    off = x - x.mean(0)
    values, directions = on_processor(torch.linalg.eigh, off.T @ off / len(x))
    return values.flip(0), directions.flip(1)


def stationary_point(x: Tensor, std: float, units: Sequence[int | None]) -> LinearGaussian:
    """The model whose unit k holds the direction units[k] with length √(λ − σ²), or nothing where that is None.

    There the gradient of the mean log p(x) by W is zero, whichever directions are chosen; up to a rotation of the latents
    there are no other such points. Its columns are orthogonal, so the posterior is factorised and the ELBO has no gap.
    Raises ValueError for a direction named twice, and for one with λ <= σ², which has no such length.
    """
    values, directions = spectrum(x)
    open_units = [j for j in units if j is not None]
    if len(set(open_units)) < len(open_units):
        raise ValueError(f"stationary_point was given {list(units)}; two units cannot hold one direction.")
    weight = x.new_zeros(x.shape[1], len(units))
    for unit, j in enumerate(units):
        if j is None:
            continue
        if not bool(values[j] > std**2):
            raise ValueError(
                f"Direction {j} has the variance {float(values[j]):.4g}, not above the noise σ² = {std**2:.4g}: its unit is "
                "closed at every stationary point; give None."
            )
        weight[:, unit] = (values[j] - std**2).sqrt() * directions[:, j]
    return LinearGaussian(weight, x.mean(0), std)


def worth_of_unit(ratio: Tensor) -> Tensor:
    """½ (r − 1 − log r): what the mean log p(x) gains when a unit opens to a direction with r = λ / σ² > 1. Shape kept, nats."""
    return 0.5 * (ratio - 1 - ratio.log())


def rate_of_unit(ratio: Tensor) -> Tensor:
    """½ log r for r = λ / σ² > 1, else 0: the KL of an open unit at its best, in the mean over x. Shape kept, nats."""
    return 0.5 * ratio.clamp(min=1).log()


def curvature_of_closed_unit(value: Tensor, std: float) -> Tensor:
    """(λ − σ²) / σ⁴: the second derivative of the mean log p(x) along u_j, where a unit is closed. Shape kept.

    Above 0 the closed unit lies on a saddle, and opens; below 0 it is a maximum, and stays closed.
    """
    return (value - std**2) / std**4


def ratios_beside_context(covariance: Tensor, context: Tensor) -> Tensor:
    """r_j for a decoder that sees some of the earlier pixels: variances left over that z can explain, against its noise.

    Each pixel i is predicted by least squares from the pixels j < i with context[i, j], what is left is e, and the noise of pixel i
    is Var(e_i). Returns the eigenvalues of the correlation matrix of e, falling: [d]. Where all are at most β, the state with every unit
    closed is a maximum of the bound with the price β on the KL. Without context they are those of the pixels; with all earlier
    pixels the e are uncorrelated and every r_j is 1.
    covariance: [d, d], positive definite; context: [d, d] of bool. Raises ValueError where context looks ahead.
    """
    if bool(context.triu().any()):
        raise ValueError("ratios_beside_context was given a context with pixels that are not earlier ones.")
    predict = torch.eye(len(covariance)).to(covariance)  # e = predict @ x
    for i, seen in enumerate(context):
        if bool(seen.any()):
            inner = covariance[seen][:, seen]
            predict[i, seen] = -on_processor(torch.linalg.solve, inner, covariance[seen, i])
    left = predict @ covariance @ predict.T
    noise = left.diagonal().sqrt()
    ratios: Tensor = on_processor(torch.linalg.eigvalsh, left / noise / noise[:, None])
    return ratios.flip(0)
