"""Right answers to the sheet cleaning, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf, log10
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, mse_loss, silu
from torch.optim import Optimizer


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


def step_by_the_book(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = ((model(x + noise) - x) ** 2).sum((1, 2, 3))
    loss.mean().backward()
    optimizer.step()
    return loss


def step_with_closure(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def closure() -> float:
        model.zero_grad()
        seen.append(mse_loss(model(x + noise), x, reduction="none").flatten(1).sum(1))
        total = seen[-1].sum() / len(x)
        total.backward()
        return float(total.detach())

    optimizer.step(closure)
    return seen[0].detach()


def step_with_autograd(model: nn.Module, optimizer: Optimizer, x: Tensor, noise: Tensor) -> Tensor:
    corrupted = torch.add(x, noise)
    loss = (x - model(corrupted)).flatten(1).pow(2).sum(-1)
    gradients = torch.autograd.grad(loss.mean(), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.detach()


class ToldInSequence(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(2, channels, 3, padding=1), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding="same")]
        self.network = nn.Sequential(*layers)

    def forward(self, y: Tensor, std: Tensor) -> Tensor:
        level = std.view(-1, 1, 1, 1)
        return self.network(torch.cat((y, level * torch.ones_like(y)), 1)) * level + y


class ToldByAttributes(nn.Module):
    """The planes filled one by one; the activation as a function."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out = nn.Conv2d(channels, 1, (3, 3), padding=(1, 1))
        self.into = nn.Conv2d(2, channels, (3, 3), padding=(1, 1))

    def forward(self, y: Tensor, std: Tensor) -> Tensor:
        both = y.new_empty(len(y), 2, *y.shape[-2:])
        both[:, :1] = y
        for i in range(len(y)):
            both[i, 1] = std[i]
        found = self.out(silu(self.into(both)))
        return y + torch.einsum("b,bchw->bchw", std, found)


class ToldByOwnWeights(nn.Module):
    """The weights as parameters, the padding written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(channels, 2, 3, 3)), nn.Parameter(torch.zeros(channels))
        self.w2, self.b2 = nn.Parameter(torch.randn(1, channels, 3, 3)), nn.Parameter(torch.zeros(1))

    def forward(self, y: Tensor, std: Tensor) -> Tensor:
        level = std.reshape(len(y), 1, 1, 1).repeat(1, 1, *y.shape[2:])
        h = conv2d(nn.functional.pad(torch.cat([y, level], dim=-3), (1, 1, 1, 1)), self.w1, self.b1)
        return y.add(level * conv2d(nn.functional.pad(h * h.sigmoid(), (1, 1, 1, 1)), self.w2, self.b2))


class ToldByList(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [2, channels, 1]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 1, 1) for a, b in pairwise(sizes))

    def forward(self, y: Tensor, std: Tensor) -> Tensor:
        answers = []
        for picture, s in zip(y, std, strict=True):  # one picture after another
            h = torch.cat([picture, torch.full_like(picture, float(s))])[None]
            answers.append(picture + s * self.layers[1](silu(self.layers[0](h)))[0])
        return torch.stack(answers)


def stein_in_a_loop(model: Callable[[Tensor], Tensor], y: Tensor, std: float, probe: Tensor) -> Tensor:
    found = []
    for picture, b in zip(y, probe, strict=True):
        one = picture[None].clone().requires_grad_(True)
        answer = model(one)
        (gradient,) = torch.autograd.grad(answer, one, grad_outputs=b[None])
        step = float(((answer - one) ** 2).sum().detach())
        found.append(step - picture.numel() * std**2 + 2 * std**2 * float((gradient[0] * b).sum()))
    return torch.tensor(found)


def stein_by_jvp(model: Callable[[Tensor], Tensor], y: Tensor, std: float, probe: Tensor) -> Tensor:
    answer, along, *_ = torch.func.jvp(model, (y,), (probe,))
    trace = torch.einsum("bchw,bchw->b", along, probe)
    return mse_loss(answer, y, reduction="none").flatten(1).sum(1) + std**2 * (2 * trace - y[0].numel())


def stein_of_the_step(model: Callable[[Tensor], Tensor], y: Tensor, std: float, probe: Tensor) -> Tensor:
    """With the step's Jacobian, whose trace is smaller by n."""
    start = y.clone().requires_grad_()
    step = model(start) - start
    (gradient,) = torch.autograd.grad(step, start, probe)
    n = y.shape[1] * y.shape[2] * y.shape[3]
    return (step.pow(2) + 2 * std**2 * gradient * probe).sum((1, 2, 3)).detach() + n * std**2


def stein_by_differences(model: Callable[[Tensor], Tensor], y: Tensor, std: float, probe: Tensor) -> Tensor:
    h = 1e-4
    trace = ((model(y + h * probe) - model(y - h * probe)) / (2 * h) * probe).flatten(1).sum(1)
    return (model(y) - y).flatten(1).norm(dim=1) ** 2 - y[0].numel() * std**2 + 2 * std * std * trace


def stein_with_backward(model: Callable[[Tensor], Tensor], y: Tensor, std: float, probe: Tensor) -> Tensor:
    leaf = y.detach().clone().requires_grad_()
    answer = model(leaf)
    answer.backward(probe)
    assert leaf.grad is not None
    with torch.no_grad():
        per_pixel = (answer - leaf).square() - std**2 + 2 * std**2 * leaf.grad * probe
        return per_pixel.sum(dim=(1, 2, 3))


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
    "denoising_step": [step_by_the_book, step_with_closure, step_with_autograd],
    "ToldDenoiser": [ToldInSequence, ToldByAttributes, ToldByOwnWeights, ToldByList],
    "stein_risk": [stein_in_a_loop, stein_by_jvp, stein_of_the_step, stein_by_differences, stein_with_backward],
}
