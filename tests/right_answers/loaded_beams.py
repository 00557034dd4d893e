"""Right answers to the sheet loaded_beams, in different styles."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse.linalg
import scipy.special
import torch
from torch import Tensor


def error_by_least(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    found = torch.rad2deg(torch.atan2(sine, cosine)) / 2 % 180
    apart = (found - angle).abs()
    return torch.minimum(apart, 180 - apart)


def error_between_vectors(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    twice = torch.deg2rad(2 * angle)
    found = torch.stack([cosine, sine], -1)
    true = torch.stack([twice.cos(), twice.sin()], -1)
    return 90 / math.pi * torch.cosine_similarity(found, true, dim=-1).clamp(-1, 1).acos()


def error_by_numpy(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    twice = np.degrees(np.arctan2(sine.numpy(), cosine.numpy()))
    gap = (twice - 2 * angle.numpy() + 180) % 360 - 180
    return torch.from_numpy(np.abs(gap) / 2)


def error_by_turning(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    """The doubled difference, from its own cosine and sine."""
    twice = 2 * angle * math.pi / 180
    difference = torch.atan2(sine * twice.cos() - cosine * twice.sin(), cosine * twice.cos() + sine * twice.sin())
    return difference.abs() / 2 * 180 / math.pi


def error_in_a_loop(cosine: Tensor, sine: Tensor, angle: Tensor) -> Tensor:
    errors = []
    for c, s, a in zip(cosine.tolist(), sine.tolist(), angle.tolist(), strict=True):
        found = math.degrees(math.atan2(s, c)) / 2
        errors.append(min(abs(found + turn - a) for turn in (-180, 0, 180, 360)))
    return torch.tensor(errors, dtype=torch.float64)


def volume_one_by_one(logits: Tensor, volume: float) -> Tensor:
    found = torch.zeros_like(logits)
    for i, one in enumerate(logits):
        low, high = -25.0, 25.0
        while high - low > 1e-8:
            middle = (low + high) / 2
            if torch.sigmoid(one + middle).mean() > volume:
                high = middle
            else:
                low = middle
        found[i] = torch.sigmoid(one + low)
    return found


def volume_until_near(logits: Tensor, volume: float) -> Tensor:
    low, high = torch.full((len(logits),), -100.0), torch.full((len(logits),), 100.0)
    b = torch.zeros(len(logits), dtype=torch.float64)
    for _ in range(200):
        means = (logits + b[:, None, None]).sigmoid().mean((1, 2))
        if ((means - volume).abs() < 1e-6).all():
            break
        low, high = torch.where(means < volume, b, low), torch.where(means < volume, high, b)
        b = (low + high) / 2
    return torch.sigmoid(logits + b[:, None, None])


def volume_by_bracket(logits: Tensor, volume: float) -> Tensor:
    """Between the shifts that would do if all logits were the largest, or the least."""
    goal = math.log(volume / (1 - volume))
    flat = logits.flatten(1)
    low, high = goal - flat.amax(1, keepdim=True), goal - flat.amin(1, keepdim=True)
    for _ in range(50):
        middle = 0.5 * (low + high)
        full = torch.sigmoid(flat + middle).mean(1, keepdim=True) >= volume
        high, low = torch.where(full, middle, high), torch.where(full, low, middle)
    return torch.sigmoid(flat + high).view_as(logits)


def volume_by_scipy(logits: Tensor, volume: float) -> Tensor:
    made = []
    for one in logits.numpy():
        shift = scipy.optimize.bisect(lambda b, one=one: scipy.special.expit(one + b).mean() - volume, -30, 30)
        made.append(scipy.special.expit(one + shift))
    return torch.from_numpy(np.stack(made))


def filtered_in_loops(design: Tensor, radius: float) -> Tensor:
    ny, nx = design.shape
    rows = []
    for i in range(ny):
        for j in range(nx):
            total, weights = torch.zeros((), dtype=design.dtype), 0.0
            for k in range(ny):
                for m in range(nx):
                    weight = max(0.0, radius - math.hypot(i - k, j - m))
                    total, weights = total + weight * design[k, m], weights + weight
            rows.append(total / weights)
    return torch.stack(rows).reshape(ny, nx)


def filtered_by_pairs(design: Tensor, radius: float) -> Tensor:
    places = torch.cartesian_prod(*[torch.arange(n, dtype=design.dtype) for n in design.shape])
    weights = (radius - torch.cdist(places, places)).relu()
    return ((weights / weights.sum(1, keepdim=True)) @ design.flatten()).reshape(design.shape)


def filtered_by_shifts(design: Tensor, radius: float) -> Tensor:
    ny, nx = design.shape
    reach = math.floor(radius)
    around = torch.nn.functional.pad(torch.stack([design, torch.ones_like(design)]), [reach] * 4)
    sums = torch.zeros(2, ny, nx, dtype=design.dtype)
    for a in range(2 * reach + 1):
        for b in range(2 * reach + 1):
            weight = max(0.0, 1 - ((a - reach) ** 2 + (b - reach) ** 2) ** 0.5 / radius)
            sums = sums + weight * around[:, a : a + ny, b : b + nx]
    return sums[0] / sums[1]


def filtered_by_layer(design: Tensor, radius: float) -> Tensor:
    reach = math.ceil(radius) + 2  # more than is needed
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.clamp(radius - (steps[:, None] ** 2 + steps**2).double().sqrt(), min=0)[None, None]
    both = torch.nn.functional.conv2d(torch.stack((design, torch.ones_like(design)))[:, None], kernel, padding="same")
    return (both[0] / both[1]).squeeze(0)


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
    "angle_error": [error_by_least, error_between_vectors, error_by_numpy, error_by_turning, error_in_a_loop],
    "to_volume": [volume_one_by_one, volume_until_near, volume_by_bracket, volume_by_scipy],
    "filtered": [filtered_in_loops, filtered_by_pairs, filtered_by_shifts, filtered_by_layer],
    "compliance_of": [
        compliance_in_loops,
        compliance_by_placement,
        compliance_by_cholesky,
        compliance_of_all_nodes,
        lambda density, element, unknowns, force: Compliance.apply(density, element, unknowns, force),
    ],
}
