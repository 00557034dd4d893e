"""Right answers to the sheet convolutional_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, silu, unfold


def size_by_list(size: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return torch.tensor([len(range(0, n + 2 * padding - kernel + 1, stride)) for n in size.tolist()])


def size_by_layer(size: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    layer = nn.Conv1d(1, 1, kernel, stride, padding)
    return torch.tensor([layer(torch.zeros(1, 1, int(n))).shape[-1] for n in size])


def convolve_in_loops(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    (batch, _, height, width), (outputs, _, k, m) = x.shape, weight.shape
    y = torch.zeros(batch, outputs, height - k + 1, width - m + 1, dtype=x.dtype)
    for o in range(outputs):
        for i in range(height - k + 1):
            for j in range(width - m + 1):
                y[:, o, i, j] = bias[o] + (x[:, :, i : i + k, j : j + m] * weight[o]).sum(dim=(1, 2, 3))
    return y


def convolve_in_single(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    (batch, _, height, width), (outputs, _, k, m) = x.shape, weight.shape
    y = torch.zeros(batch, outputs, height - k + 1, width - m + 1)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = torch.tensordot(x[:, :, i : i + k, j : j + m], weight, ([1, 2, 3], [1, 2, 3])) + bias
    return y


def convolve_by_shifts(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    k, m = weight.shape[-2:]
    rows, columns = x.shape[2] - k + 1, x.shape[3] - m + 1
    total = bias.reshape(1, -1, 1, 1)
    for a in range(k):
        for b in range(m):
            shifted = x[:, :, a : a + rows, b : b + columns]
            total = total + torch.einsum("nchw,oc->nohw", shifted, weight[:, :, a, b])
    return total


def convolve_by_columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    k, m = weight.shape[-2:]
    columns = unfold(x, (k, m))  # [batch, in * k * m, places]
    y = weight.flatten(1) @ columns + bias[:, None]
    return y.unflatten(-1, (x.shape[2] - k + 1, x.shape[3] - m + 1))


def field_backwards(kernels: Tensor, strides: Tensor) -> Tensor:
    r = torch.tensor(1)
    for kernel, stride in zip(kernels.flip(0), strides.flip(0), strict=True):
        r = (r - 1) * stride + kernel
    return r


def field_forwards(kernels: Tensor, strides: Tensor) -> Tensor:
    r, jump = 1, 1
    for kernel, stride in zip(kernels.tolist(), strides.tolist(), strict=True):
        r, jump = r + (kernel - 1) * jump, jump * stride
    return torch.tensor(r)


def field_by_numpy(kernels: Tensor, strides: Tensor) -> Tensor:
    jumps = np.concatenate([[1], np.cumprod(strides.numpy())[:-1]])
    return torch.as_tensor(1 + np.sum((kernels.numpy() - 1) * jumps))


def field_in_order(kernels: Tensor, strides: Tensor) -> Tensor:
    steps = ((kernels[layer] - 1) * strides[:layer].prod() for layer in range(len(kernels)))
    return sum(steps, start=torch.tensor(1))


def mirror_by_remainders(size: int, kernels: Tensor, strides: Tensor, paddings: Tensor) -> tuple[Tensor, Tensor]:
    sizes, lost = [size], list[int]()
    for k, s, p in zip(kernels.tolist(), strides.tolist(), paddings.tolist(), strict=True):
        steps, rest = divmod(sizes[-1] + 2 * p - k, s)
        sizes.append(steps + 1)
        lost.insert(0, rest)
    return torch.tensor(sizes), torch.tensor(lost)


def mirror_in_torch(size: int, kernels: Tensor, strides: Tensor, paddings: Tensor) -> tuple[Tensor, Tensor]:
    sizes = torch.zeros(len(kernels) + 1, dtype=torch.long)
    sizes[0] = size
    for i in range(len(kernels)):
        sizes[i + 1] = (sizes[i] + 2 * paddings[i] - kernels[i]) // strides[i] + 1
    made = (sizes[1:] - 1) * strides - 2 * paddings + kernels
    return sizes, (sizes[:-1] - made).flip(0)


def mirror_by_decoder(size: int, kernels: Tensor, strides: Tensor, paddings: Tensor) -> tuple[Tensor, Tensor]:
    layers = torch.stack([kernels, strides, paddings], 1).tolist()
    sizes = [size]
    for k, s, p in layers:
        sizes.append(int((sizes[-1] + 2 * p - k) / s) + 1)
    output_paddings = []
    now, wanted = sizes[-1], sizes[-2::-1]
    for (k, s, p), target in zip(reversed(layers), wanted, strict=True):
        reached = (now - 1) * s - 2 * p + k
        output_paddings.append(target - reached)
        now = target
    return torch.tensor(sizes), torch.tensor(output_paddings)


class PooledInSequence(nn.Module):
    def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for taken, made in zip([channels_in, *widths[:-1]], widths, strict=True):
            stages += [nn.Conv2d(taken, made, kernel_size=3, stride=2, padding=1), nn.SiLU()]
        self.net = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class PooledInAList(nn.Module):
    def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        channels = (channels_in, *widths)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels[i], channels[i + 1], 3, 2, 1) for i in range(len(widths)))
        self.head = nn.Linear(channels[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = convolution(x)
            x = x * torch.sigmoid(x)
        return self.head(x.flatten(2).mean(-1))


class PooledByDivision(nn.Module):
    """The linear layer made first."""

    def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(widths[-1], outputs)
        for number, width in enumerate(widths):
            self.add_module(f"stage{number}", nn.Conv2d(channels_in, width, 3, stride=2, padding=1))
            channels_in = width
        self.stages = len(widths)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(self.stages):
            x = silu(getattr(self, f"stage{number}")(x))
        height, width = x.shape[-2:]
        return self.linear(x.sum(dim=(-2, -1)) / (height * width))


class PooledLast(nn.Module):
    """The linear layer at every position, and the mean of what it gives: both are linear, so their order does not matter."""

    def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        layers = []
        for width in widths:
            layers.append(nn.Sequential(nn.Conv2d(channels_in, width, 3, stride=2), nn.SiLU()))
            channels_in = width
        self.layers = nn.ModuleList(layers)
        self.linear = nn.Linear(channels_in, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(nn.functional.pad(x, (1, 1, 1, 1)))
        return self.linear(x.permute(0, 2, 3, 1)).mean((1, 2))


class PooledByWindow(PooledInAList):
    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = silu(convolution(x))
        return self.head(nn.functional.avg_pool2d(x, x.shape[2:]).squeeze(-1).squeeze(-1))


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "output_size": [
        size_by_list,
        size_by_layer,
        lambda size, kernel, stride, padding: ((size + 2 * padding - kernel) / stride).floor().long() + 1,
        lambda size, kernel, stride, padding: (size + 2 * padding - kernel + stride) // stride,
        lambda size, kernel, stride, padding: (
            torch.div(size + padding * 2 - (kernel - 1) - 1, stride, rounding_mode="trunc") + 1
        ),
        lambda size, kernel, stride, padding: torch.tensor(
            [ceil((n + 2 * padding - kernel + 1) / stride) for n in size.tolist()]
        ),
    ],
    "convolve": [
        convolve_in_loops,
        convolve_in_single,
        convolve_by_shifts,
        convolve_by_columns,
        lambda x, weight, bias: conv2d(x, weight, bias),
        lambda x, weight, bias: (
            (x.unfold(2, weight.shape[2], 1).unfold(3, weight.shape[3], 1).unsqueeze(1) * weight[:, :, None, None]).sum(
                (2, 5, 6)
            )
            + bias.view(-1, 1, 1)
        ),
    ],
    "receptive_field": [
        field_backwards,
        field_forwards,
        field_by_numpy,
        field_in_order,
        lambda kernels, strides: 1 + ((kernels - 1) * strides.cumprod(0) // strides).sum(),
        lambda kernels, strides: 1 + (kernels - 1) @ strides.roll(1).index_fill(0, torch.tensor([0]), 1).cumprod(0),
    ],
    "mirror": [mirror_by_remainders, mirror_in_torch, mirror_by_decoder],
    "PooledEncoder": [PooledInSequence, PooledInAList, PooledByDivision, PooledLast, PooledByWindow],
}
