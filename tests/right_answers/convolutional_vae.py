"""Right answers to the sheet convolutional_vae, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, unfold


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


def compliance_in_loops(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    stiffness = torch.zeros(len(force), len(force), dtype=density.dtype)
    for e, numbers in enumerate(unknowns.tolist()):
        modulus = 1e-9 + density[e] ** 3 * (1 - 1e-9)
        for i, a in enumerate(numbers):
            for j, b in enumerate(numbers):
                if a >= 0 and b >= 0:
                    stiffness[a, b] += modulus * element[i, j]
    return force @ torch.linalg.solve(stiffness, force)


def compliance_by_placement(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    place = torch.nn.functional.one_hot(unknowns + 1, len(force) + 1)[..., 1:].double()  # [elements, 8, free]
    modulus = 1e-9 + (1 - 1e-9) * density.pow(3)
    stiffness = torch.einsum("e,eia,ij,ejb->ab", modulus, place, element, place)
    u = torch.linalg.inv(stiffness) @ force
    return u @ stiffness @ u


def compliance_by_cholesky(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    n = len(force)
    flat = torch.zeros(n * n, dtype=torch.float64)
    modulus = 1e-9 + density**3 * (1 - 1e-9)
    for e in range(len(density)):
        kept = unknowns[e] >= 0
        free = unknowns[e][kept]
        entries = modulus[e] * element[kept][:, kept]
        flat = flat.index_add(0, (free[:, None] * n + free).flatten(), entries.flatten())
    factor = torch.linalg.cholesky(flat.reshape(n, n))
    return torch.linalg.solve_triangular(factor, force[:, None], upper=False).square().sum()


def compliance_of_all_nodes(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    """The clamped in a last row and column, whose displacement is set to 0."""
    n = len(force)
    whole = torch.zeros(n + 1, n + 1, dtype=element.dtype)
    for modulus, numbers in zip(1e-9 + density**3 * (1 - 1e-9), unknowns, strict=True):
        rows, columns = torch.meshgrid(numbers % (n + 1), numbers % (n + 1), indexing="ij")
        whole.index_put_((rows, columns), modulus * element, accumulate=True)
    u = torch.linalg.solve(whole[:n, :n], force.unsqueeze(1)).squeeze(1)
    return (u * force).sum()


class Compliance(torch.autograd.Function):
    """The adjoint gradient by hand: -3 ρ² (1 - E_min) u·k u, with SciPy's solver."""

    @staticmethod
    def forward(context: Any, *arguments: Tensor) -> Tensor:
        density, element, unknowns, force = (a.detach().numpy() for a in arguments)
        n = len(force)
        kept = unknowns >= 0
        modulus = 1e-9 + density**3 * (1 - 1e-9)
        stiffness = scipy.sparse.lil_matrix((n, n))
        for e, numbers in enumerate(unknowns):
            stiffness[np.ix_(numbers[kept[e]], numbers[kept[e]])] += modulus[e] * element[np.ix_(kept[e], kept[e])]
        u = scipy.sparse.linalg.spsolve(stiffness.tocsc(), force)
        of_element = np.append(u, 0.0)[unknowns]  # -1 finds the 0
        energies = np.einsum("ei,ij,ej->e", of_element, element, of_element)
        context.save_for_backward(torch.from_numpy(-3 * density**2 * (1 - 1e-9) * energies))
        return torch.tensor(force @ u, dtype=torch.float64)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        return slopes[0] * context.saved_tensors[0], None, None, None


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
    "compliance_of": [
        compliance_in_loops,
        compliance_by_placement,
        compliance_by_cholesky,
        compliance_of_all_nodes,
        lambda density, element, unknowns, force: Compliance.apply(density, element, unknowns, force),
    ],
}
