"""Right answers to the sheet likelihoods, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, log2, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.nn.functional import gaussian_nll_loss, logsigmoid, mse_loss, relu

from vae_course.distributions.pixels import discretized_logistic


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


def level_by_the_package(x: Tensor, location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    parameters = torch.stack([location, log_scale], 1)[:, :, None]  # [batch, 2, 1, pixels]
    p = discretized_logistic(parameters, levels).base_dist
    return p.log_prob(x[:, None, None])[:, 0, 0]


def level_by_edges(x: Tensor, location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    number = (x * (levels - 1)).round()
    upper = ((number + 0.5) / (levels - 1) - location) * torch.exp(-log_scale)
    lower = ((number - 0.5) / (levels - 1) - location) * torch.exp(-log_scale)
    below, above = -torch.nn.functional.softplus(-upper), -torch.nn.functional.softplus(lower)
    between = below + above + torch.log1p(-torch.exp(lower - upper))
    first, last = number == 0, number == levels - 1
    return torch.where(first, below, torch.where(last, above, between))


def level_in_a_loop(x: Tensor, location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    h = 1 / (2 * (levels - 1))
    rows = []
    for value, m, s in zip(x.flatten(), location.flatten(), log_scale.exp().flatten(), strict=True):
        below, above = logsigmoid((value + h - m) / s), logsigmoid(-(value - h - m) / s)
        if value < h:
            rows.append(below)
        elif value > 1 - h:
            rows.append(above)
        else:
            rows.append(below + above + torch.log(-torch.expm1(-2 * h / s)))
    return torch.stack(rows).view_as(x)


def bits_by_change_of_base(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    of_the_grid = log_p / log(2) - dimensions * log2(levels)
    return -of_the_grid / dimensions


def bits_one_by_one(log_p: Tensor, dimensions: int, levels: int) -> Tensor:
    bits = torch.zeros(len(log_p))
    for i, nats in enumerate(log_p.tolist()):
        bits[i] = -(nats - dimensions * log(levels)) / (dimensions * log(2))
    return bits


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


def free_bits_in_a_loop(kl: Tensor, beta: float, free: float) -> Tensor:
    penalty = torch.zeros(())
    for column in kl.T:
        rate = sum(column) / len(column)
        penalty = penalty + (rate if rate > free else torch.tensor(free))
    return beta * penalty


def free_bits_by_excess(kl: Tensor, beta: float, free: float) -> Tensor:
    return beta * (relu(kl.mean(dim=0) - free) + free).sum()


def free_bits_by_mask(kl: Tensor, beta: float, free: float) -> Tensor:
    open_latents = kl.detach().mean(0) > free
    return beta * kl[:, open_latents].sum(1).mean() + beta * free * int((~open_latents).sum())


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
    "level_probability": [level_by_the_package, level_by_edges, level_in_a_loop],
    "bits_per_dimension": [
        bits_by_change_of_base,
        bits_one_by_one,
        lambda log_p, dimensions, levels: -(log_p - dimensions * torch.tensor(levels).log()) / dimensions / np.log(2),
        lambda log_p, dimensions, levels: torch.from_numpy(np.log2(levels) - log_p.numpy() / (dimensions * np.log(2))),
    ],
    "free_bits": [
        free_bits_in_a_loop,
        free_bits_by_excess,
        free_bits_by_mask,
        lambda kl, beta, free: beta * torch.maximum(kl.mean(0), torch.full_like(kl[0], free)).sum(),
        lambda kl, beta, free: (beta * torch.einsum("bj->j", kl) / len(kl)).clamp(min=beta * free).sum(),
    ],
    "effective_beta": [
        beta_by_numpy,
        beta_by_normal_equations,
        beta_by_covariances,
        beta_by_centring,
        beta_by_pseudoinverse,
    ],
}
