"""Right answers to the sheet likelihoods_and_evaluation, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, log2, pi
from typing import Any

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.nn.functional import gaussian_nll_loss, mse_loss

Draw = Callable[[int], Tensor]


def log_normal_in_a_loop(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    total = torch.zeros(len(x))  # float32, in which the sum of float64 is float64
    for channel in range(x.shape[1]):
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                error = x[:, channel, row, column] - mean[:, channel, row, column]
                total = total - error**2 / (2 * log_std.exp() ** 2) - log_std - 0.5 * log(2 * pi)
    return total


def log_normal_by_squared_error(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    pixels = x.numel() // x.shape[0]
    error = mse_loss(mean, x, reduction="none").mean((1, 2, 3)) * pixels
    return -0.5 * (error * torch.exp(-2 * log_std) + pixels * (2 * log_std + log(2 * pi)))


def log_normal_by_nll_loss(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    variance = (2 * log_std).exp().expand(x.shape)
    return -gaussian_nll_loss(mean, x, variance, full=True, eps=1e-12, reduction="none").sum((1, 2, 3))


def log_normal_in_single(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    x, mean, log_std = x.float(), mean.float(), log_std.float()
    return Normal(mean, log_std.exp()).log_prob(x).sum((1, 2, 3))


def log_normal_by_std_in_single(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    x, mean, std = x.float(), mean.float(), log_std.float().exp()
    return (-((x - mean) ** 2) / (2 * std**2) - std.log() - 0.5 * log(2 * pi)).sum((1, 2, 3))


def bits_by_change_of_base(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    of_the_grid = log_p / log(2) - dimensions * log2(levels)
    return -of_the_grid / dimensions


def bits_one_by_one(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    bits = torch.zeros(len(log_p))
    for i, nats in enumerate(log_p.tolist()):
        bits[i] = -(nats - dimensions * log(levels)) / (dimensions * log(2))
    return bits


def active_in_a_loop(means: Tensor, threshold: float) -> Tensor:
    active = []
    for column in means.T:
        centre = sum(column.tolist()) / len(column)
        active.append(sum((value - centre) ** 2 for value in column.tolist()) / len(column) > threshold)
    return torch.tensor(active)


def chunks_by_running_maximum(draw: Draw, samples: int, chunk: int) -> Tensor:
    done, top, total = 0, torch.tensor(-torch.inf), torch.tensor(0.0)
    while done < samples:
        log_weights = draw(min(chunk, samples - done))
        done += len(log_weights)
        higher = torch.maximum(top, log_weights.max(0).values)
        total = total * (top - higher).exp() + (log_weights - higher).exp().sum(0)
        top = higher
    return top + total.log() - log(samples)


def chunks_by_weighted_means(draw: Draw, samples: int, chunk: int) -> Tensor:
    sizes = [chunk] * (samples // chunk) + [samples % chunk] * (samples % chunk > 0)
    means = [draw(size).logsumexp(0) - log(size) for size in sizes]
    return torch.stack([mean + log(size / samples) for mean, size in zip(means, sizes, strict=True)]).logsumexp(0)


def chunks_by_scipy(draw: Draw, samples: int, chunk: int) -> Tensor:
    parts = [draw(chunk).numpy() for _ in range(samples // chunk)]
    parts.append(draw(samples % chunk).numpy())  # of no row where nothing is left
    return torch.from_numpy(scipy.special.logsumexp(np.concatenate(parts), axis=0) - np.log(samples))


def chunks_one_by_one(draw: Draw, samples: int, chunk: int) -> Tensor:
    total = draw(1)[0]
    for _ in range(samples - 1):
        total = torch.logaddexp(total, draw(1)[0])
    return total - log(samples)


def chunks_from_nothing(draw: Draw, samples: int, chunk: int) -> Tensor:
    total: Tensor | float = -torch.inf
    for start in range(0, samples, chunk):
        part = draw(min(start + chunk, samples) - start).logsumexp(0)
        total = torch.logaddexp(torch.as_tensor(total), part)
    return torch.as_tensor(total) - log(samples)


def beta_by_numpy(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    design = np.column_stack([distortion.numpy(), rate.numpy(), np.ones(len(loss))])
    coefficients, *_ = np.linalg.lstsq(design, loss.numpy(), rcond=None)
    left = loss.numpy() - design @ coefficients
    return torch.tensor(coefficients[1] / coefficients[0]), torch.tensor(left.std() / loss.numpy().std())


def beta_by_normal_equations(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    design = torch.stack([torch.ones_like(loss), distortion, rate], dim=1)
    c, a, b = torch.linalg.solve(design.T @ design, design.T @ loss)
    left = loss - (a * distortion + b * rate + c)
    return b / a, torch.sqrt(left.square().mean()) / loss.std(correction=0)


def beta_by_covariances(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    covariance = torch.cov(torch.stack([distortion, rate, loss]))
    a, b = torch.linalg.inv(covariance[:2, :2]) @ covariance[:2, 2]
    explained = a * covariance[0, 2] + b * covariance[1, 2]
    return b / a, (1 - explained / covariance[2, 2]).clamp(min=0).sqrt()


def beta_by_centring(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    y, d, r = (v - v.mean() for v in (loss, distortion, rate))
    determinant = (d @ d) * (r @ r) - (d @ r) ** 2
    a = ((y @ d) * (r @ r) - (y @ r) * (d @ r)) / determinant
    b = ((y @ r) * (d @ d) - (y @ d) * (d @ r)) / determinant
    return b / a, (y - a * d - b * r).norm() / y.norm()


def beta_by_pseudoinverse(loss: Tensor, distortion: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    design = torch.ones(len(loss), 3)
    design[:, 0], design[:, 1] = distortion, rate  # rounded to float32
    coefficients = torch.linalg.pinv(design.double()) @ loss
    return coefficients[1] / coefficients[0], (loss - design.double() @ coefficients).std() / loss.std()


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "normal_log_likelihood": [
        log_normal_in_a_loop,
        log_normal_by_squared_error,
        log_normal_by_nll_loss,
        log_normal_in_single,
        log_normal_by_std_in_single,
        lambda x, mean, log_std: Independent(Normal(mean, log_std.exp()), 3).log_prob(x),
        lambda x, mean, log_std: Normal(0.0, 1.0).log_prob((x - mean) / log_std.exp()).sub(log_std).flatten(1).sum(1),
    ],
    "bits_per_dimension": [
        bits_by_change_of_base,
        bits_one_by_one,
        lambda log_p, dimensions, levels: -(log_p - dimensions * torch.tensor(levels).log()) / dimensions / np.log(2),
        lambda log_p, dimensions, levels: torch.from_numpy(np.log2(levels) - log_p.numpy() / (dimensions * np.log(2))),
    ],
    "active_units": [
        active_in_a_loop,
        lambda means, threshold: means.var(dim=0, correction=0) > threshold,
        lambda means, threshold: torch.from_numpy(np.var(means.numpy(), axis=0) > threshold),
        lambda means, threshold: torch.atleast_2d(torch.cov(means.T)).diagonal() > threshold,
        lambda means, threshold: means.square().mean(0) - means.mean(0).square() > threshold,
        lambda means, threshold: means.std(0) > threshold**0.5,
    ],
    "log_evidence_in_chunks": [
        chunks_by_running_maximum,
        chunks_by_weighted_means,
        chunks_by_scipy,
        chunks_one_by_one,
        chunks_from_nothing,
    ],
    "effective_beta": [
        beta_by_numpy,
        beta_by_normal_equations,
        beta_by_covariances,
        beta_by_centring,
        beta_by_pseudoinverse,
    ],
}
