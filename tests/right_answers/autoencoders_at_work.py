"""Right answers to the sheet autoencoders_at_work, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import inf, log10
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.stats
import torch
from sklearn.metrics import auc, roc_auc_score, roc_curve
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, mse_loss, pad, unfold


def salt_in_a_loop(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    pixels = torch.zeros(x.numel())
    for i, (pixel, u) in enumerate(zip(x.flatten().tolist(), uniforms.flatten().tolist(), strict=True)):
        pixels[i] = 0 if u < share / 2 else 1 if u >= 1 - share / 2 else pixel
    return pixels.reshape(x.shape)


def salt_by_assignment(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    y = x.clone()
    y[uniforms < share / 2] = 0
    y[uniforms >= 1 - share / 2] = 1
    return y


def salt_by_masks(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    pepper, salt = (uniforms < 0.5 * share).to(x), (uniforms >= 1 - 0.5 * share).to(x)
    return x * (1 - pepper - salt) + salt


def salt_by_clamp(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    kinds = uniforms.ge(1 - share / 2).double() - uniforms.lt(share / 2).double()
    return (x + kinds).clamp(0, 1)


def salt_by_numpy(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    u = uniforms.numpy()
    return torch.from_numpy(np.select([u < share / 2, u >= 1 - share / 2], [0.0, 1.0], x.numpy()))


def salt_then_coin(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    kept = (uniforms >= share / 2) & (uniforms < 1 - share / 2)
    return torch.where(kept, x, uniforms.round())


def psnr_in_a_loop(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    found = []
    for ours, theirs in zip(reconstruction, x, strict=True):
        error = float(((ours - theirs) ** 2).mean())
        found.append(10 * log10(peak**2 / error) if error > 0 else inf)
    return torch.tensor(found)


def psnr_by_roots(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    root = (reconstruction - x).flatten(1).norm(dim=1) / x[0].numel() ** 0.5
    return 20 * torch.log10(peak / root)


def psnr_by_difference(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    error = mse_loss(reconstruction, x, reduction="none").mean(dim=(1, 2, 3))
    return 20 * log10(peak) - 10 * torch.log10(error)


def psnr_of_scaled(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    unit = ((reconstruction / peak - x / peak) ** 2).flatten(1).mean(1)
    return -10 * unit.log() / np.log(10)


def psnr_by_numpy(reconstruction: Tensor, x: Tensor, peak: float) -> Tensor:
    error = np.square(reconstruction.numpy() - x.numpy()).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return torch.from_numpy(10 * np.log10(peak**2 / error))


def map_in_loops(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares, reach = (reconstruction - x).pow(2).sum(1), window // 2
    result = torch.zeros(squares.shape)
    for i in range(squares.shape[1]):
        for j in range(squares.shape[2]):
            near = squares[:, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            result[:, i, j] = near.mean(dim=(1, 2))
    return result


def map_by_convolution(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1, keepdim=True)
    ones = torch.ones(1, 1, window, window, dtype=x.dtype)
    total = conv2d(squares, ones, padding=window // 2)
    return (total / conv2d(torch.ones_like(squares), ones, padding=window // 2)).squeeze(1)


def map_by_unfold(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1, keepdim=True)
    patches = unfold(squares, window, padding=window // 2)
    there = unfold(torch.ones_like(squares), window, padding=window // 2)
    return (patches.sum(1) / there.sum(1)).reshape(len(x), *x.shape[2:])


def map_by_cumulative_sums(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = (reconstruction - x).square().sum(1)
    table = pad(squares.cumsum(1).cumsum(2), (1, 0, 1, 0))
    ends = []
    for length in squares.shape[1:]:
        i = torch.arange(length)
        ends += [(i - window // 2).clamp(min=0), (i + window // 2 + 1).clamp(max=length)]
    top, bottom, left, right = ends
    total = table[:, bottom][:, :, right] - table[:, top][:, :, right] - table[:, bottom][:, :, left]
    return (total + table[:, top][:, :, left]) / ((bottom - top)[:, None] * (right - left))


def map_by_nanmean(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = pad((reconstruction - x).square().sum(1), [window // 2] * 4, value=torch.nan)
    return squares.unfold(1, window, 1).unfold(2, window, 1).nanmean((-2, -1))


def map_by_scipy(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    squares = ((reconstruction - x) ** 2).sum(1).numpy()

    def box(values: Any) -> Any:
        return scipy.ndimage.uniform_filter(values, size=(1, window, window), mode="constant")

    return torch.from_numpy(box(squares) / box(np.ones_like(squares)))


def loss_in_a_loop(model: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
    pairs = zip(model(x + noise), x, strict=True)
    return torch.stack([((ours - clean) ** 2).sum() for ours, clean in pairs])


def loss_one_by_one(model: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
    total = []
    for clean, epsilon in zip(x.split(1), noise.split(1), strict=True):
        total.append(nn.MSELoss(reduction="sum")(model(clean + epsilon), clean))
    return torch.stack(total)


def loss_with_detached_input(model: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
    with torch.no_grad():
        noisy, clean = x + noise, x.clone()
    return mse_loss(model(noisy), clean, reduction="none").flatten(1).sum(1)


def loss_by_einsum(model: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
    difference = x.detach() - model(torch.add(x, noise.detach()))
    return torch.einsum("bchw,bchw->b", difference, difference)


def loss_in_single(model: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor) -> Tensor:
    output = model(x + noise)
    loss = torch.zeros(len(x))
    for i in range(len(x)):
        loss[i] = (output[i] - x[i]).square().sum()
    return loss


def area_in_loops(scores: Tensor, anomalous: Tensor) -> Tensor:
    won, pairs = 0.0, 0
    for a, is_a in zip(scores.tolist(), anomalous.tolist(), strict=True):
        for b, is_b in zip(scores.tolist(), anomalous.tolist(), strict=True):
            if is_a and not is_b:
                won, pairs = won + (1.0 if a > b else 0.5 if a == b else 0.0), pairs + 1
    return torch.tensor(won / pairs)


def area_by_signs(scores: Tensor, anomalous: Tensor) -> Tensor:
    sign = (scores[anomalous].unsqueeze(1) - scores[~anomalous].unsqueeze(0)).sign()
    return (1 + sign.mean()) / 2


def area_by_ranks(scores: Tensor, anomalous: Tensor) -> Tensor:
    ranks, flags = scipy.stats.rankdata(scores.numpy()), anomalous.numpy()
    m, k = flags.sum(), (~flags).sum()
    return torch.tensor((ranks[flags].sum() - m * (m + 1) / 2) / (m * k))


def area_by_trapezoids(scores: Tensor, anomalous: Tensor) -> Tensor:
    thresholds = torch.cat([torch.tensor([inf], dtype=scores.dtype), scores.unique().flip(0)])
    hits = torch.stack([(scores[anomalous] >= t).double().mean() for t in thresholds])
    false = torch.stack([(scores[~anomalous] >= t).double().mean() for t in thresholds])
    return torch.trapezoid(hits, false)


def area_by_falling_thresholds(scores: Tensor, anomalous: Tensor) -> Tensor:
    alarms = scores >= scores.sort(descending=True).values[:, None]
    first = torch.zeros(1, dtype=torch.float64)
    hits, false = (torch.cat([first, alarms[:, g].double().mean(1)]) for g in (anomalous, ~anomalous))
    return torch.trapezoid(y=hits, x=false)


def area_by_groups(scores: Tensor, anomalous: Tensor) -> Tensor:
    _, group = scores.unique(return_inverse=True)
    a = torch.bincount(group[anomalous], minlength=int(group.max()) + 1).double()
    b = torch.bincount(group[~anomalous], minlength=len(a)).double()
    below = b.cumsum(0) - b
    return (a * (below + b / 2)).sum() / (a.sum() * b.sum())


def area_by_searching(scores: Tensor, anomalous: Tensor) -> Tensor:
    normal = scores[~anomalous].sort().values
    ends = [torch.searchsorted(normal, scores[anomalous], right=right) for right in (False, True)]
    return (ends[0] + ends[1]).double().mean() / (2 * len(normal))


def area_by_steps(scores: Tensor, anomalous: Tensor) -> Tensor:
    false, hits, _ = roc_curve(anomalous.numpy(), scores.numpy())
    return torch.tensor(auc(false, hits))


def area_by_mann_whitney(scores: Tensor, anomalous: Tensor) -> Tensor:
    a, b = scores[anomalous].numpy(), scores[~anomalous].numpy()
    return torch.tensor(scipy.stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "salt_and_pepper": [
        salt_in_a_loop,
        salt_by_assignment,
        salt_by_masks,
        salt_by_clamp,
        salt_by_numpy,
        salt_then_coin,
        lambda x, uniforms, share: torch.where(
            uniforms < share / 2, 0.0, torch.where(1 - uniforms > share / 2, x, torch.ones_like(x))
        ),
    ],
    "peak_signal_to_noise": [psnr_in_a_loop, psnr_by_roots, psnr_by_difference, psnr_of_scaled, psnr_by_numpy],
    "error_map": [
        map_in_loops,
        map_by_convolution,
        map_by_unfold,
        map_by_cumulative_sums,
        map_by_nanmean,
        map_by_scipy,
        lambda reconstruction, x, window: avg_pool2d(
            (reconstruction - x) ** 2, window, 1, window // 2, count_include_pad=False
        ).sum(1),
    ],
    "denoising_loss": [
        loss_in_a_loop,
        loss_one_by_one,
        loss_with_detached_input,
        loss_by_einsum,
        loss_in_single,
        lambda model, x, noise: (model(x + noise).flatten(1) - x.flatten(1)).pow(2).sum(-1),
        lambda model, x, noise: torch.linalg.vector_norm(model(x + noise) - x, dim=(1, 2, 3)) ** 2,
    ],
    "area_under_roc": [
        area_in_loops,
        area_by_signs,
        area_by_ranks,
        area_by_trapezoids,
        area_by_falling_thresholds,
        area_by_groups,
        area_by_searching,
        area_by_steps,
        area_by_mann_whitney,
        lambda scores, anomalous: torch.tensor(roc_auc_score(anomalous, scores)),
        lambda scores, anomalous: torch.heaviside(
            scores[anomalous][:, None] - scores[~anomalous], torch.tensor(0.5, dtype=scores.dtype)
        ).mean(),
    ],
}
