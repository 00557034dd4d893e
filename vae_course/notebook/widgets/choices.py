"""Choices to be relaxed by hand, and codebooks in the plane."""

from __future__ import annotations

import ipywidgets
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.distributions.discrete import relaxed_categorical
from vae_course.distributions.quantised import look_up, nearest_code, perplexity
from vae_course.inference.gradients import gradient_draws, pathwise
from vae_course.networks.codebook import MovingCodebook
from vae_course.notebook.figures import BLACK, BLUE, COLOURS, ORANGE, VERMILION, subplots
from vae_course.notebook.widgets.interactive import Interactive
from vae_course.randomness import seeded

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, 0.866))  # of the triangle that stands for three probabilities


def draw_temperature(logits: Tensor, cost: Tensor, temperature: float, draws: int = 1_000) -> Figure:
    """Relaxed draws of three categories in their triangle, and their gradients of E[z · cost] by the first logit."""
    with seeded():
        relaxed = relaxed_categorical(logits[None], temperature).sample((draws,))[:, 0]  # [draws, 3]
        f = lambda z: (z[..., 0, :] * cost).sum(-1)  # noqa: E731
        estimate = lambda rows: pathwise(relaxed_categorical(rows[:, None], temperature), f, 1)  # noqa: E731
        (gradients,) = gradient_draws(estimate, [logits], draws)
    p = logits.softmax(-1)
    truth = float(p[0] * (cost[0] - (p * cost).sum()))
    first = gradients[:, 0]
    figure, (left, right) = subplots(1, 2, figsize=(12, 4.8))
    x, y = (relaxed @ torch.tensor(CORNERS).to(relaxed)).T.tolist()
    left.fill(*zip(*CORNERS, strict=True), fill=False, linewidth=1)
    left.scatter(x, y, s=8, alpha=0.4, linewidths=0, color=BLUE, zorder=3)
    inside = (relaxed > 0.99).sum(0).tolist()  # draws in each corner, which its outline would hide
    for (across, up), count in zip(CORNERS, inside, strict=True):
        left.scatter([across], [up], s=2 * count, color=ORANGE, zorder=2)
        left.text(across, up + (0.08 if up else -0.16), f"{count} in the corner", ha="center", fontsize=11)
    left.set(title=f"{draws:,} draws at τ = {temperature:.2f}", xlim=(-0.2, 1.2), ylim=(-0.2, 1.05), aspect="equal")
    left.set_axis_off()
    edge = max(1.0, 4 * abs(truth))
    beyond = [int((first < -edge).sum()), int((first > edge).sum())]
    right.hist(first[first.abs() <= edge].tolist(), bins=60, range=(-edge, edge), color=BLUE)
    right.bar(
        [-1.08 * edge, 1.08 * edge], beyond, 0.06 * edge, color=ORANGE, label=f"beyond ±{edge:.1f}: {sum(beyond)}"
    )
    for at, count in zip((-1.08 * edge, 1.08 * edge), beyond, strict=True):
        right.text(at, count, str(count), ha="center", va="bottom", fontsize=11)
    right.axvline(truth, color=BLACK, linewidth=3, label=f"exact {truth:.3f}")
    right.axvline(float(first.mean()), color=VERMILION, linestyle="--", label=f"mean {float(first.mean()):.3f}")
    right.set(
        title=f"their gradients: sd {float(first.std()):.3f}", xlabel="gradient by the first logit", ylabel="draws"
    )
    right.legend()
    return figure


def temperature_explorer(logits: Tensor, cost: Tensor) -> Interactive:
    """A slider for the temperature of three categories with costs. Raises ValueError for other numbers of categories."""
    if logits.shape != (3,) or cost.shape != (3,):
        raise ValueError(
            f"temperature_explorer draws three categories; it was given {list(logits.shape)} and {list(cost.shape)}."
        )
    control = ipywidgets.FloatLogSlider(
        value=1.0, min=-1.3, max=0.7, step=0.05, description="temperature", layout={"width": "26em"}
    )
    return Interactive(lambda temperature: draw_temperature(logits, cost, temperature), {"temperature": control})


def draw_cells(points: Tensor, size: int, steps: int, decay: float) -> Figure:
    """Points of the plane, and the cells of a codebook after some steps of moving averages on all of them."""
    with seeded():
        book = MovingCodebook(size, 2, decay, std=0.5)
    book.vectors += points.mean(0)
    book.sums.copy_(book.vectors)
    z = points.T[None]  # [1, 2, n]: one field with a position for each point
    for _ in range(steps):
        book.update(z, nearest_code(z, book.vectors))
    codes = nearest_code(z, book.vectors)
    error = float((z - look_up(codes, book.vectors)).square().sum(1).mean())
    low, high = (points.amin(0) - 0.3).tolist(), (points.amax(0) + 0.3).tolist()
    across, up = torch.linspace(low[0], high[0], 220), torch.linspace(low[1], high[1], 160)
    plane = torch.stack(torch.meshgrid(across, up, indexing="xy"))[None]  # [1, 2, 160, 220]
    cell = nearest_code(plane, book.vectors)[0]  # [160, 220]
    shades = torch.tensor([to_rgb(c) for c in COLOURS])[cell % len(COLOURS)]
    edge = (cell.diff(dim=0, prepend=cell[:1]) != 0) | (cell.diff(dim=1, prepend=cell[:, :1]) != 0)
    shades[edge] = -1.0  # darker than any cell
    figure, (axis,) = subplots(1, 1, figsize=(10, 5.6))
    axis.imshow(
        (0.35 * shades + 0.65).numpy(), extent=(low[0], high[0], low[1], high[1]), origin="lower", aspect="auto"
    )
    axis.scatter(points[:, 0].tolist(), points[:, 1].tolist(), s=5, color=BLACK, alpha=0.4, linewidths=0)
    used = torch.bincount(codes.flatten(), minlength=size) > 0
    for chosen, style in ((used, "o"), (~used, "X")):
        axis.plot(*book.vectors[chosen].T.tolist(), style, markersize=13, color=VERMILION, markeredgecolor="white")
    axis.set(
        title=f"{int(used.sum())} of {size} codes used, perplexity {float(perplexity(codes, size)):.1f}, error {error:.3f}",
        xlabel="first number", ylabel="second number", xlim=(low[0], high[0]), ylim=(low[1], high[1]),
    )  # fmt: skip
    axis.grid(False)
    return figure


def codebook_explorer(points: Tensor) -> Interactive:
    """Codes moving to the points of a plane, step by step. points: [n, 2]. Raises ValueError for another shape."""
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"codebook_explorer needs points [n, 2]; it was given {list(points.shape)}.")
    wide = {"width": "26em"}
    controls = {
        "size": ipywidgets.SelectionSlider(options=[4, 8, 16, 32], value=16, description="codes", layout=wide),
        "steps": ipywidgets.IntSlider(5, min=0, max=40, description="steps", layout=wide),
        "decay": ipywidgets.FloatSlider(0.5, min=0, max=0.95, step=0.05, description="decay", layout=wide),
    }
    return Interactive(lambda **at: draw_cells(points, **at), controls)
