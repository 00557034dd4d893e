"""Right answers to the sheet priors_over_codes, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import log, log2
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import conv2d, one_hot, pad, unfold
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.prune import custom_from_mask


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


def split_at_once(log_likelihood: Tensor, log_prior: Tensor, dimensions: int, levels: int) -> tuple[Tensor, ...]:
    both = -torch.stack([log_likelihood, log_prior]) / (dimensions * log(2))
    return (both + torch.tensor([[log2(levels)], [0.0]])).unbind()


def split_of_probability(
    log_likelihood: Tensor, log_prior: Tensor, dimensions: int, levels: int
) -> tuple[Tensor, Tensor]:
    log_p = log_likelihood - dimensions * log(levels)
    return log_p / log(0.5) / dimensions, log_prior / log(0.5) / dimensions


def split_by_numpy(log_likelihood: Tensor, log_prior: Tensor, dimensions: int, levels: int) -> list[Tensor]:
    nats = np.log(levels) - log_likelihood.numpy() / dimensions
    return [torch.from_numpy(nats / np.log(2)), torch.from_numpy(-log_prior.numpy() / np.log(2) / dimensions)]


def order_in_loops(bias: Tensor, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    n, places = u.shape
    codes, log_p = torch.zeros(n, places, dtype=torch.long), torch.zeros(n, dtype=torch.float64)
    for row in range(n):
        for i in range(places):
            logits = bias[i].clone()
            for j in range(i):
                logits += weight[i, j, codes[row, j]]
            p, total, code = logits.softmax(0), 0.0, 0
            while code < len(p) - 1 and total + float(p[code]) <= float(u[row, i]):
                total, code = total + float(p[code]), code + 1
            codes[row, i] = code
            log_p[row] += p[code].log()
    return codes, log_p


def order_by_one_hot(bias: Tensor, weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    n, places = u.shape
    size = bias.shape[1]
    hot = torch.zeros(n, places, size, dtype=bias.dtype)
    log_p = torch.zeros(n, dtype=bias.dtype)
    for i in range(places):
        logits = bias[i] + torch.einsum("njk,jkl->nl", hot, weight[i])  # later places are still rows of zeros
        cumulative = logits.softmax(-1).cumsum(-1)
        code = torch.searchsorted(cumulative, u[:, i : i + 1], right=True)[:, 0].clamp(max=size - 1)
        hot[:, i] = one_hot(code, size).to(hot)
        log_p = log_p + Categorical(logits=logits).log_prob(code)
    return hot.argmax(-1), log_p


def order_with_list(bias: Tensor, weight: Tensor, u: Tensor) -> list[Tensor]:
    codes: list[Tensor] = []
    log_p: Any = 0
    for i, noise in enumerate(u.T):
        rows = [bias[i].expand(len(u), -1), *(weight[i, j][code] for j, code in enumerate(codes))]
        log_q = torch.stack(rows).sum(0).log_softmax(1)
        cumulative = log_q.exp().cumsum(1)
        cumulative[:, -1] = 2.0
        codes.append((cumulative > noise[:, None]).long().argmax(1))
        log_p = log_p + log_q[torch.arange(len(u)), codes[-1]]
    return [torch.stack(codes, 1), log_p]


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "split_bits": [split_at_once, split_of_probability, split_by_numpy],
    "CausalConvolution": [
        WithBuffer,
        OfConv2d,
        ShiftedSums,
        RowsAboveAndOwnRow,
        ByUnfolding,
        Pruned,
        Parametrized,
    ],
    "draw_in_order": [order_in_loops, order_by_one_hot, order_with_list],
}
