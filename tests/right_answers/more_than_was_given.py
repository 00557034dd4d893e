"""Right answers to the sheet more_than_was_given, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def shuffle_in_a_loop(x: Tensor, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    out = x.new_zeros(batch, channels // factor**2, factor * height, factor * width)
    for u in range(factor):
        for v in range(factor):
            out[:, :, u::factor, v::factor] = x[:, factor * u + v :: factor**2]
    return out


def shuffle_by_view(x: Tensor, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    y = x.view(batch, channels // factor**2, factor, factor, height, width)
    y = y.permute(0, 1, 4, 2, 5, 3).contiguous()
    return y.view(batch, channels // factor**2, height * factor, width * factor)


def shuffle_by_numpy(x: Tensor, factor: int) -> Tensor:
    n, c, h, w = x.shape
    y = x.numpy().reshape(n, c // factor**2, factor, factor, h, w).transpose(0, 1, 4, 2, 5, 3)
    return torch.from_numpy(np.ascontiguousarray(y).reshape(n, c // factor**2, h * factor, w * factor))


def shuffle_by_convolution(x: Tensor, factor: int) -> Tensor:
    one = torch.eye(factor**2, dtype=x.dtype).reshape(factor**2, 1, factor, factor)
    y = x.reshape(-1, factor**2, *x.shape[2:])
    return functional.conv_transpose2d(y, one, stride=factor).reshape(
        len(x), -1, factor * x.shape[2], factor * x.shape[3]
    )


def recolour_by_channel(grey: Tensor, colour: Tensor) -> Tensor:
    red, green, blue = colour.unbind(1)
    lacks = grey[:, 0] - 0.299 * red - 0.587 * green - 0.114 * blue
    return torch.stack([red + lacks, green + lacks, blue + lacks], 1)


def recolour_by_differences(grey: Tensor, colour: Tensor) -> Tensor:
    red, green, blue = colour.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    c_b, c_r, y = (blue - luma) / 1.772, (red - luma) / 1.402, grey[:, 0]
    r, b = y + 1.402 * c_r, y + 1.772 * c_b
    return torch.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], 1)


def recolour_by_einsum(grey: Tensor, colour: Tensor) -> Tensor:
    weights = colour.new_tensor([0.299, 0.587, 0.114])
    return colour + grey - torch.einsum("c,bchw->bhw", weights, colour).unsqueeze(1)


def window_in_a_loop(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    found = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        w = weights.tolist()
        mx = sum(wi * xi for wi, xi in zip(w, x, strict=True))
        my = sum(wi * yi for wi, yi in zip(w, y, strict=True))
        vx = sum(wi * (xi - mx) ** 2 for wi, xi in zip(w, x, strict=True))
        vy = sum(wi * (yi - my) ** 2 for wi, yi in zip(w, y, strict=True))
        xy = sum(wi * (xi - mx) * (yi - my) for wi, xi, yi in zip(w, x, y, strict=True))
        light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        found.append(light * (2 * xy + 9e-4) / (vx + vy + 9e-4))
    return torch.tensor(found, dtype=a.dtype)


def window_by_moments(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    mean_a, mean_b = a @ weights, b @ weights
    var_a, var_b = a**2 @ weights - mean_a**2, b**2 @ weights - mean_b**2
    covariance = (a * b) @ weights - mean_a * mean_b
    top = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
    return top / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))


def window_by_numpy(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    x, y, w = a.numpy(), b.numpy(), weights.numpy()
    mx, my = np.average(x, 1, w), np.average(y, 1, w)

    def covariance(p: Any, q: Any) -> Any:
        return np.average((p - np.average(p, 1, w)[:, None]) * (q - np.average(q, 1, w)[:, None]), 1, w)

    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    return torch.from_numpy(light * (2 * covariance(x, y) + 9e-4) / (covariance(x, x) + covariance(y, y) + 9e-4))


class ByLayers(nn.Module):
    """Layers as attributes; the mean taken away after the shuffle, by pooling."""

    def __init__(self, factor: int, channels: int) -> None:
        super().__init__()
        self.factor = factor
        self.one = nn.Conv2d(1, channels, 3, padding=1)
        self.two = nn.Conv2d(channels, factor**2, kernel_size=3, padding="same")

    def forward(self, small: Tensor) -> Tensor:
        made = functional.pixel_shuffle(self.two(functional.silu(self.one(small))), self.factor)
        lacks = small - functional.avg_pool2d(made, self.factor)
        return made + functional.interpolate(lacks, scale_factor=self.factor, mode="nearest")


class ByProjection(nn.Module):
    """The mean taken away by a matrix."""

    def __init__(self, factor: int, channels: int) -> None:
        super().__init__()
        size = factor**2
        self.layers = nn.ModuleList([nn.Conv2d(1, channels, 3, 1, 1), nn.SiLU(), nn.Conv2d(channels, size, 3, 1, 1)])
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, small: Tensor) -> Tensor:
        made = small
        for layer in self.layers:
            made = layer(made)
        centre = torch.eye(made.shape[1], dtype=made.dtype) - 1 / made.shape[1]
        return self.shuffle(torch.einsum("uv,bvhw->buhw", centre, made) + small)


class ByRepeating(nn.Module):
    """The picture repeated, and what is left open added to it."""

    def __init__(self, factor: int, channels: int) -> None:
        super().__init__()
        convolutions = nn.Conv2d(1, channels, 3, padding=1), nn.Conv2d(channels, factor**2, 3, padding=1)
        self.network = nn.Sequential(convolutions[0], nn.SiLU(), convolutions[1])
        self.factor = factor

    def forward(self, small: Tensor) -> Tensor:
        left_open = self.network(small)
        left_open = left_open - left_open.sum(1, keepdim=True) / self.factor**2
        repeated = small.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)
        return repeated + nn.PixelShuffle(self.factor)(left_open)


Three = tuple[Tensor, Tensor, Tensor]


def choice_in_a_loop(p: Tensor, colours: Tensor) -> Three:
    found = []
    for row in p:
        mean = sum(weight * colour for weight, colour in zip(row, colours, strict=True))
        likely = colours[int(row.argmax())]
        of_mean = sum(w * ((c - mean) ** 2).sum() for w, c in zip(row, colours, strict=True))
        of_draw = sum(
            w * v * ((c - d) ** 2).sum()
            for w, c in zip(row, colours, strict=True)
            for v, d in zip(row, colours, strict=True)
        )
        of_likely = sum(w * ((c - likely) ** 2).sum() for w, c in zip(row, colours, strict=True))
        found.append(torch.stack([torch.as_tensor(v) for v in (of_mean, of_draw, of_likely)]))
    of_mean, of_draw, of_likely = torch.stack(found).unbind(1)
    return of_mean, of_draw, of_likely


def choice_by_variance(p: Tensor, colours: Tensor) -> Three:
    mean = p @ colours
    variance = p @ colours.square().sum(1) - mean.square().sum(1)
    return variance, 2 * variance, variance + (colours[p.argmax(1)] - mean).square().sum(1)


def choice_by_einsum(p: Tensor, colours: Tensor) -> Three:
    apart = (colours[:, None] - colours[None]).pow(2).sum(-1)
    of_draw = torch.einsum("bj,bk,jk->b", p, p, apart)
    one = functional.one_hot(p.argmax(1), p.shape[1]).to(p.dtype)
    return of_draw / 2, of_draw, torch.einsum("bj,bk,jk->b", one, p, apart)


RIGHT_ANSWERS: dict[str, list[Callable[..., Any]]] = {
    "pixel_shuffle": [
        shuffle_in_a_loop,
        shuffle_by_view,
        shuffle_by_numpy,
        shuffle_by_convolution,
        lambda x, factor: functional.pixel_shuffle(x, factor),
    ],
    "recolour": [recolour_by_channel, recolour_by_differences, recolour_by_einsum],
    "window_similarity": [window_in_a_loop, window_by_moments, window_by_numpy],
    "ExactEnlarger": [ByLayers, ByProjection, ByRepeating],
    "mean_or_choice": [choice_in_a_loop, choice_by_variance, choice_by_einsum],
}
