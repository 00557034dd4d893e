"""Right answers to the sheet vq_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import scipy.spatial
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.nn.functional import mse_loss, one_hot


def nearest_in_loops(z: Tensor, codebook: Tensor) -> Tensor:
    batch, _, height, width = z.shape
    codes = torch.zeros(batch, height, width, dtype=torch.long)
    for n in range(batch):
        for i in range(height):
            for j in range(width):
                codes[n, i, j] = (z[n, :, i, j] - codebook).norm(dim=1).argmin()
    return codes


def nearest_by_expansion(z: Tensor, codebook: Tensor) -> Tensor:
    flat = z.permute(0, 2, 3, 1).contiguous().view(-1, z.shape[1])
    squares = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ codebook.t() + codebook.pow(2).sum(1)
    return squares.argmin(dim=1).view(z.shape[0], z.shape[2], z.shape[3])


def nearest_by_cdist(z: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(z.flatten(2).mT, codebook[None]).argmin(-1).unflatten(-1, z.shape[2:])


def nearest_by_inner_product(z: Tensor, codebook: Tensor) -> Tensor:
    scores = torch.einsum("ndhw,kd->nkhw", z, codebook) - 0.5 * codebook.square().sum(1)[:, None, None]
    return scores.max(dim=1).indices


def nearest_by_tree(z: Tensor, codebook: Tensor) -> Tensor:
    return torch.as_tensor(scipy.spatial.KDTree(codebook.numpy()).query(z.movedim(1, -1).numpy())[1])


def nearest_in_single(z: Tensor, codebook: Tensor) -> Tensor:
    best = torch.full((len(z), *z.shape[2:]), float("inf"))
    codes = torch.zeros(len(z), *z.shape[2:]).long()
    for k, code in enumerate(codebook):
        far = (z - code[None, :, None, None]).square().sum(1).float()
        codes = torch.where(far < best, k, codes)
        best = torch.minimum(far, best)
    return codes


def perplexity_in_a_loop(codes: Tensor, size: int) -> Tensor:
    entropy = torch.zeros(())
    for k in range(size):
        p = (codes == k).double().mean()
        if p > 0:
            entropy = entropy - p * p.log()
    return entropy.exp()


def perplexity_by_counter(codes: Tensor, size: int) -> Tensor:
    counts = Counter(codes.flatten().tolist())
    return torch.tensor(exp(-sum(n / codes.numel() * log(n / codes.numel()) for n in counts.values())))


def perplexity_of_used(codes: Tensor, size: int) -> Tensor:
    _, counts = codes.unique(return_counts=True)
    p = counts / counts.sum()
    return 1 / (p**p).prod()


def perplexity_by_scipy(codes: Tensor, size: int) -> Tensor:
    counts = np.bincount(codes.numpy().ravel(), minlength=size)
    return torch.tensor(np.exp(scipy.stats.entropy(counts)))


def perplexity_with_epsilon(codes: Tensor, size: int) -> Tensor:
    p = one_hot(codes.flatten(), size).float().mean(0)
    return torch.exp(-torch.sum(p * torch.log(p + 1e-10)))


def perplexity_of_mean_frequencies(codes: Tensor, size: int) -> Tensor:
    p = torch.stack([torch.bincount(batch.flatten(), minlength=size) / batch.numel() for batch in codes]).mean(0)
    return torch.special.entr(p).sum().exp()


def terms_by_loss(z: Tensor, nearest: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    codebook = mse_loss(nearest, z.detach(), reduction="none").sum((1, 2, 3))
    commitment = mse_loss(z, nearest.detach(), reduction="none").sum((1, 2, 3))
    return codebook, beta * commitment


def terms_one_by_one(z: Tensor, nearest: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    pairs = list(zip(z, nearest, strict=True))
    codebook = torch.stack([((a.detach() - e) ** 2).sum() for a, e in pairs])
    return codebook, torch.stack([beta * ((a - e.detach()) ** 2).sum() for a, e in pairs])


def terms_by_squared_norm(z: Tensor, nearest: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    to_code, to_encoder = (nearest - z.data).flatten(1), (z - nearest.data).flatten(1)
    return torch.einsum("ni,ni->n", to_code, to_code), beta * to_encoder.norm(dim=1) ** 2


def terms_by_inner_products(z: Tensor, nearest: Tensor, beta: float) -> list[Tensor]:
    def square(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vector_norm(a - b, dim=(1, 2, 3)).square()

    return [square(z.detach(), nearest), square(z, nearest.detach()).mul(beta)]


def ema_in_loops(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> tuple[Tensor, Tensor, Tensor]:
    new_counts, new_sums, codebook = torch.zeros(len(counts)), torch.zeros(sums.shape), torch.zeros(sums.shape)
    for k in range(len(counts)):
        mine = z[codes == k].detach()
        new_counts[k] = decay * counts[k] + (1 - decay) * len(mine)
        new_sums[k] = decay * sums[k] + (1 - decay) * mine.sum(0)
        codebook[k] = new_sums[k] / new_counts[k] if new_counts[k] > 0 else new_sums[k]
    return new_counts, new_sums, codebook


def ema_by_index(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        n = torch.bincount(codes, minlength=len(counts))
        s = torch.zeros_like(sums).index_add_(0, codes, z)
        counts, sums = decay * counts + (1 - decay) * n, torch.lerp(s, sums, decay)
        return counts, sums, sums / torch.where(counts == 0, torch.ones_like(counts), counts).unsqueeze(1)


def ema_by_one_hot(
    counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    hot = one_hot(codes, num_classes=len(counts)).to(z)
    counts = counts * decay + hot.sum(0) * (1 - decay)
    sums = sums * decay + torch.einsum("nk,nd->kd", hot, z.data) * (1 - decay)
    return counts, sums, torch.where(counts[:, None] == 0, sums, sums / counts[:, None])


def ema_by_numpy(counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float) -> tuple[Tensor, Tensor, Tensor]:
    n, s = np.zeros(len(counts)), np.zeros(sums.shape)
    np.add.at(n, codes.numpy(), 1)
    np.add.at(s, codes.numpy(), z.detach().numpy())
    n, s = decay * counts.numpy() + (1 - decay) * n, decay * sums.numpy() + (1 - decay) * s
    e = np.divide(s, n[:, None], out=s.copy(), where=n[:, None] > 0)
    return torch.from_numpy(n), torch.from_numpy(s), torch.from_numpy(e)


def ema_with_mended_rows(
    counts: Tensor, sums: Tensor, z: Tensor, codes: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    counts, sums = counts.clone(), sums.clone()
    counts.mul_(decay).scatter_add_(0, codes, torch.full_like(z[:, 0], 1 - decay))
    sums.mul_(decay)
    for vector, code in zip(z.detach(), codes, strict=True):
        sums[code] += (1 - decay) * vector
    codebook = sums / counts.unsqueeze(1)
    codebook[counts == 0] = sums[counts == 0]
    return counts.detach(), sums, codebook


def step_by_functions(z: Tensor, counts: Tensor, sums: Tensor, decay: float, training: bool) -> tuple[Tensor, ...]:
    book = sums / counts.unsqueeze(1)
    codes = ((z[:, None] - book) ** 2).sum(-1).argmin(-1)
    quantised = z + (book[codes] - z).detach()
    if not training:
        return codes, quantised, counts, sums
    hot = one_hot(codes, len(counts)).to(z.dtype)
    with torch.no_grad():
        counts = decay * counts + (1 - decay) * hot.sum(0)
        sums = decay * sums + (1 - decay) * hot.T @ z
    return codes, quantised, counts, sums


def step_with_copies(z: Tensor, counts: Tensor, sums: Tensor, decay: float, training: bool) -> tuple[Tensor, ...]:
    counts, sums = counts.clone(), sums.clone()
    codes = torch.cdist(z.detach(), sums / counts[:, None]).min(1).indices
    e = (sums / counts[:, None])[codes].detach()
    if training:
        counts.mul_(decay).scatter_add_(0, codes, torch.full_like(z[:, 0], 1 - decay).detach())
        sums.mul_(decay).index_add_(0, codes, z.detach(), alpha=1 - decay)
    return codes, e + (z - z.detach()), counts, sums


def step_in_loops(z: Tensor, counts: Tensor, sums: Tensor, decay: float, training: bool) -> list[Tensor]:
    book = [m / n for m, n in zip(sums, counts, strict=True)]
    codes = torch.tensor([min(range(len(book)), key=lambda k: float((row - book[k]).norm())) for row in z.detach()])
    e = torch.stack([book[k] for k in codes.tolist()])
    n, m = counts, sums
    if training:
        n = torch.stack([decay * counts[k] + (1 - decay) * (codes == k).sum() for k in range(len(book))])
        m = torch.stack([decay * sums[k] + (1 - decay) * z.detach()[codes == k].sum(0) for k in range(len(book))])
    return [codes, z + (e - z).detach(), n, m]


def residual_in_a_loop(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    codes = torch.zeros(len(z), len(codebooks), dtype=torch.long)
    total = torch.zeros_like(z)
    for r in range(len(codebooks)):
        codes[:, r] = torch.cdist(z.detach() - total, codebooks[r]).argmin(1)
        total = total + codebooks[r][codes[:, r]]
    return codes, z + (total - z).detach()


def residual_by_recursion(z: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    first, *others = codebooks
    with torch.no_grad():
        k = (z[:, None] - first).square().sum(-1).argmin(-1)
        codes, vectors = k[:, None], first[k]
        if others:
            more, rest = residual_by_recursion(z - vectors, torch.stack(others))
            codes, vectors = torch.cat([codes, more], 1), vectors + rest
    return codes, vectors + z - z.detach()


def residual_in_place(z: Tensor, codebooks: Tensor) -> list[Tensor]:
    left, found = z.detach().clone(), []
    for book in codebooks.detach():
        k = scipy.spatial.KDTree(book.numpy()).query(left.numpy())[1]
        found.append(torch.as_tensor(k))
        left -= book[found[-1]]
    return [torch.stack(found, -1), z + (z.detach() - left - z).detach()]


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "nearest_code": [
        nearest_in_loops,
        nearest_by_expansion,
        nearest_by_cdist,
        nearest_by_inner_product,
        nearest_by_tree,
        nearest_in_single,
        lambda z, codebook: (z.unsqueeze(1) - codebook[:, :, None, None]).pow(2).sum(2).argmin(1),
        lambda z, codebook: torch.min((z.movedim(1, -1)[..., None, :] - codebook).norm(dim=-1), dim=-1)[1],
    ],
    "perplexity": [
        perplexity_in_a_loop,
        perplexity_by_counter,
        perplexity_of_used,
        perplexity_by_scipy,
        perplexity_with_epsilon,
        perplexity_of_mean_frequencies,
        lambda codes, size: Categorical(probs=torch.bincount(codes.view(-1), minlength=size).double()).perplexity(),
        lambda codes, size: 2 ** Categorical(torch.bincount(codes.flatten()).double()).entropy().div(log(2)),
    ],
    "vq_terms": [
        terms_by_loss,
        terms_one_by_one,
        terms_by_squared_norm,
        terms_by_inner_products,
        lambda z, nearest, beta: (
            (z.detach() - nearest).pow(2).sum(dim=[1, 2, 3]),
            beta * (z - nearest.detach()).pow(2).sum(dim=[1, 2, 3]),
        ),
    ],
    "ema_update": [ema_in_loops, ema_by_index, ema_by_one_hot, ema_by_numpy, ema_with_mended_rows],
    "vq_step": [step_by_functions, step_with_copies, step_in_loops],
    "residual_codes": [residual_in_a_loop, residual_by_recursion, residual_in_place],
}
