"""Right answers to the sheet evaluation, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
import torch
from torch import Tensor

Draw = Callable[[int], Tensor]


def active_in_a_loop(means: Tensor, threshold: float) -> Tensor:
    active = []
    for column in means.T:
        centre = sum(column.tolist()) / len(column)
        active.append(sum((value - centre) ** 2 for value in column.tolist()) / len(column) > threshold)
    return torch.tensor(active)


def paired_by_numpy(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    d = a.numpy() - b.numpy()
    return torch.tensor(d.mean()), torch.tensor(np.std(d, ddof=1) / np.sqrt(len(d)))


def paired_by_variances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    covariance = torch.cov(torch.stack([a, b]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return a.mean() - b.mean(), torch.sqrt(variance / a.numel())


def paired_by_scipy(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.mean(a - b), torch.tensor(scipy.stats.sem(a.numpy() - b.numpy()))


def hidden_by_einsum(std: Tensor, weight: Tensor, noise_std: float) -> Tensor:
    return 0.5 * torch.einsum("bj,ij->b", (std / noise_std) ** 2, weight**2)


def hidden_by_covariance(std: Tensor, weight: Tensor, noise_std: float) -> Tensor:
    """Half the trace of W Σ Wᵀ / s², one example at a time."""
    return torch.stack([torch.trace(weight @ torch.diag(s**2) @ weight.T) / (2 * noise_std**2) for s in std])


def hidden_by_pixels(std: Tensor, weight: Tensor, noise_std: float) -> Tensor:
    variance = std.square() @ weight.square().T  # [batch, pixels]: of the means of the pixels
    return variance.sum(1) * 0.5 / noise_std / noise_std


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


def annealed_in_a_loop(log_q: Tensor, log_joint: Tensor, temperatures: Tensor) -> Tensor:
    log_w = torch.zeros_like(log_q[0])
    for k in range(len(log_q)):
        log_w = log_w + (temperatures[k + 1] - temperatures[k]) * (log_joint[k] - log_q[k])
    return torch.logsumexp(log_w, 0) - log(log_w.shape[0])


def annealed_by_einsum(log_q: Tensor, log_joint: Tensor, temperatures: Tensor) -> Tensor:
    log_w = torch.einsum("t,tcb->cb", temperatures[1:] - temperatures[:-1], log_joint - log_q)
    top = log_w.max(0, keepdim=True).values
    return (top + (log_w - top).exp().mean(0, keepdim=True).log())[0]


def annealed_by_scipy(log_q: Tensor, log_joint: Tensor, temperatures: Tensor) -> Tensor:
    log_w = np.tensordot(np.diff(temperatures.numpy()), (log_joint - log_q).numpy(), axes=1)
    return torch.from_numpy(scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w)))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "active_units": [
        active_in_a_loop,
        lambda means, threshold: means.var(dim=0, correction=0) > threshold,
        lambda means, threshold: torch.from_numpy(np.var(means.numpy(), axis=0) > threshold),
        lambda means, threshold: torch.atleast_2d(torch.cov(means.T)).diagonal() > threshold,
        lambda means, threshold: means.square().mean(0) - means.mean(0).square() > threshold,
        lambda means, threshold: means.std(0) > threshold**0.5,
    ],
    "paired_difference": [paired_by_numpy, paired_by_variances, paired_by_scipy],
    "hidden_by_the_mean": [hidden_by_einsum, hidden_by_covariance, hidden_by_pixels],
    "log_evidence_in_chunks": [
        chunks_by_running_maximum,
        chunks_by_weighted_means,
        chunks_by_scipy,
        chunks_one_by_one,
        chunks_from_nothing,
    ],
    "annealed_log_evidence": [annealed_in_a_loop, annealed_by_einsum, annealed_by_scipy],
}
