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
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import conv2d, embedding, mse_loss, one_hot, pad, unfold
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.prune import custom_from_mask


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


class WithBuffer(nn.Module):
    mask: Tensor

    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding="same")
        mask = torch.ones_like(self.conv.weight)
        mask[:, :, kernel // 2, kernel // 2 + centre :] = 0
        mask[:, :, kernel // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.mask * self.conv.weight, self.conv.bias, padding="same")


class OfConv2d(nn.Conv2d):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=(kernel // 2, kernel // 2))
        places = torch.arange(kernel**2).view(kernel, kernel)
        self.hidden = places >= kernel**2 // 2 + centre

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.masked_fill(self.hidden, 0.0), self.bias)


class ShiftedSums(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        self.kernel, self.centre = kernel, centre
        self.bias = nn.Parameter(torch.zeros(channels_out, 1, 1))
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        half = self.kernel // 2
        padded = pad(x, (half, half, half, half))
        total: Any = 0
        for place in range(self.kernel**2 // 2 + self.centre):
            i, j = divmod(place, self.kernel)
            shifted = padded[:, :, i : i + height, j : j + width]
            total = total + torch.einsum("oc,bchw->bohw", self.weight[:, :, i, j], shifted)
        return total + self.bias


class RowsAboveAndOwnRow(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        self.middle, self.seen = kernel // 2, kernel // 2 + centre
        self.whole = nn.Conv2d(channels_in, channels_out, kernel)

    def forward(self, x: Tensor) -> Tensor:
        m, weight = self.middle, self.whole.weight
        above = conv2d(pad(x, (m, m, m, 0))[:, :, :-1], weight[:, :, :m], self.whole.bias)
        left = conv2d(pad(x, (m, 0, 0, 0)), weight[:, :, m : m + 1, : self.seen])
        return above + left[..., : x.shape[-1]]


class ByUnfolding(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        mask = np.zeros((kernel, kernel), dtype=np.float32)
        mask[: kernel // 2] = 1
        mask[kernel // 2, : kernel // 2 + int(centre)] = 1
        self.mask = nn.Parameter(torch.from_numpy(mask), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        columns = unfold(x, kernel, padding=kernel // 2)
        made = (self.weight * self.mask).flatten(1) @ columns + self.bias[:, None]
        return made.unflatten(-1, x.shape[2:])


class Pruned(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        super().__init__()
        mask = torch.zeros(channels_out, channels_in, kernel, kernel)
        for i in range(kernel):
            for j in range(kernel):
                if i < kernel // 2 or (i == kernel // 2 and j < kernel // 2 + centre):
                    mask[:, :, i, j] = 1
        self.conv = custom_from_mask(nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2), "weight", mask)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Past(nn.Module):
    def __init__(self, kernel: int, centre: bool) -> None:
        super().__init__()
        self.seen = kernel**2 // 2 + centre

    def forward(self, weight: Tensor) -> Tensor:
        flat = weight.flatten(2)
        return torch.cat([flat[..., : self.seen], torch.zeros_like(flat[..., self.seen :])], -1).view_as(weight)


class Parametrized(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
        layer = nn.Conv2d(channels_in, channels_out, kernel)
        register_parametrization(layer, "weight", Past(kernel, centre))
        super().__init__(nn.ZeroPad2d(kernel // 2), layer)

    def forward(self, x: Tensor) -> Tensor:
        padding, layer = self
        made: Tensor = layer(padding(x))
        return made


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, z: Tensor, codebook: Tensor) -> Tensor:
        return codebook[nearest_by_cdist(z, codebook)].movedim(-1, 1)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return slopes[0], None


def quantise_flat(z: Tensor, codebook: Tensor) -> Tensor:
    flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    hot = one_hot(torch.cdist(flat, codebook).argmin(1), len(codebook)).to(z.dtype)
    chosen = (hot @ codebook).reshape(z.shape[0], z.shape[2], z.shape[3], z.shape[1]).permute(0, 3, 1, 2)
    return z + (chosen - z).detach()


def quantise_without_grad(z: Tensor, codebook: Tensor) -> Tensor:
    with torch.no_grad():
        step = embedding(nearest_by_expansion(z, codebook), codebook).permute(0, 3, 1, 2) - z
    return z + step


def quantise_the_other_way(z: Tensor, codebook: Tensor) -> Tensor:
    e = codebook.detach()[nearest_in_loops(z, codebook)]
    return torch.einsum("nhwd->ndhw", e) + z - z.detach()


def quantise_in_single(z: Tensor, codebook: Tensor) -> Tensor:
    chosen = torch.zeros(z.shape)
    for n, one in enumerate(nearest_by_inner_product(z, codebook)):
        chosen[n] = codebook[one].permute(2, 0, 1)
    return z + (chosen - z).detach()


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
    "CausalConvolution": [
        WithBuffer,
        OfConv2d,
        ShiftedSums,
        RowsAboveAndOwnRow,
        ByUnfolding,
        Pruned,
        Parametrized,
    ],
    "quantise": [
        quantise_flat,
        quantise_without_grad,
        quantise_the_other_way,
        quantise_in_single,
        lambda z, codebook: StraightThrough.apply(z, codebook),
        lambda z, codebook: (
            z + (nn.Embedding.from_pretrained(codebook)(nearest_by_cdist(z, codebook)).movedim(3, 1) - z).data
        ),
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
}
