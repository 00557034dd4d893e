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


def complete_in_loops(
    bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    n, height, width = known.shape
    codes = known.clone()
    log_q, log_w = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for field in range(n):
        for place in range(height * width):
            r, c = divmod(place, width)
            logits = bias.clone()
            if c:
                logits += left[codes[field, r, c - 1]]
            if r:
                logits += above[codes[field, r - 1, c]]
            p = logits.softmax(0)
            if known[field, r, c] >= 0:
                log_w[field] += p[known[field, r, c]].log()
                continue
            code, total = 0, float(p[0])
            while total <= float(u[field, r, c]) and code < len(p) - 1:
                code += 1
                total += float(p[code])
            codes[field, r, c] = code
            log_q[field] += p[code].log()
    return codes, log_q, log_w


def complete_by_one_hot(bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor) -> list[Tensor]:
    n, height, width = known.shape
    size = len(bias)
    hot = torch.zeros(n, height + 1, width + 1, size, dtype=bias.dtype)  # a border of zeros above and at the left
    log_q, log_p = torch.zeros(n, dtype=bias.dtype), torch.zeros(n, dtype=bias.dtype)
    for r in range(height):
        for c in range(width):
            prior = Categorical(logits=bias + hot[:, r + 1, c] @ left + hot[:, r, c + 1] @ above)
            free = known[:, r, c] == -1
            code = torch.searchsorted(prior.probs.cumsum(-1), u[:, r, c, None].contiguous(), right=True)[:, 0].clamp(
                max=size - 1
            )
            code = code.where(free, known[:, r, c])
            hot[:, r + 1, c + 1] = one_hot(code, size).to(hot)
            log_q += prior.log_prob(code) * free
            log_p += prior.log_prob(code)
    return [hot[:, 1:, 1:].argmax(-1), log_q, log_p - log_q]


def complete_with_a_spare_code(
    bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = torch.zeros(1, len(bias), dtype=bias.dtype)
    left, above = torch.cat([left, nothing]), torch.cat([above, nothing])  # code K adds nothing
    n, height, width = known.shape
    spare = torch.full((n,), len(bias))
    rows: list[list[Tensor]] = [[spare] * (width + 1)]
    log_each: list[Tensor] = []
    for r in range(height):
        rows.append([spare])
        for c in range(width):
            log_p = torch.log_softmax(bias + left[rows[-1][-1]] + above[rows[-2][c + 1]], 1)
            cumulative = log_p.exp().cumsum(1)
            cumulative[:, -1] = 2.0
            drawn = (cumulative > u[:, r, c, None]).long().argmax(1)
            rows[-1].append(torch.where(known[:, r, c] < 0, drawn, known[:, r, c]))
            log_each.append(log_p[torch.arange(n), rows[-1][-1]])
    codes = torch.stack([torch.stack(row[1:], 1) for row in rows[1:]], 1)
    scores, free = torch.stack(log_each, 1), (known < 0).flatten(1)
    return codes, (scores * free).sum(1), (scores * ~free).sum(1)


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
    "complete_codes": [complete_in_loops, complete_by_one_hot, complete_with_a_spare_code],
}
