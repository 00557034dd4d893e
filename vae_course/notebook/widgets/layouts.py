"""Beams to be moved by hand: along directions of the latent space, with their volume and their compliance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from vae_course.data.finite_elements import Load, compliance
from vae_course.evaluation.geometry import connected_share
from vae_course.notebook.figures import VERMILION, subplots
from vae_course.notebook.widgets.interactive import Interactive, slider


def draw_layout(axis: Axes, density: NDArray[np.float64], load: Load | None = None, title: str = "") -> None:
    """A density [ny, nx], solid dark, clamped at the left; the load as an arrow that ends where it acts."""
    ny, nx = density.shape
    axis.imshow(density, vmin=0, vmax=1, extent=(0, nx, 0, ny))
    axis.plot([0, 0], [0, ny], color="black", linewidth=6, solid_capstyle="butt")
    axis.set(title=title, xticks=[], yticks=[], xlim=(-1.5, nx * 1.22), ylim=(-0.34 * ny, 1.34 * ny))
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if load is not None:
        angle = np.deg2rad(load.angle)
        tip = (nx + 0.02 * nx, load.point * ny)
        tail = (
            tip[0] + 0.16 * nx * abs(np.cos(angle)),
            tip[1] + 0.16 * nx * np.sin(angle) * np.sign(np.cos(angle) or 1),
        )
        arrow = {"arrowstyle": "-|>", "color": VERMILION, "linewidth": 3, "mutation_scale": 22}
        axis.annotate("", xy=tip, xytext=tail, arrowprops=arrow)


def draw_beam(density: NDArray[np.float64], load: Load) -> Figure:
    """One layout under its load, with its volume fraction, its compliance and whether it hangs together."""
    figure, (axis,) = subplots(1, 1, figsize=(11, 5))
    pieces = "one piece" if connected_share(density) > 0.99 else "several pieces"
    draw_layout(axis, density, load)
    axis.set_title(f"volume {density.mean():.2f}, compliance {compliance(density, load):.0f} under this load, {pieces}")
    return figure


def beam_explorer(
    decode: Callable[[Tensor], Tensor],
    start: Tensor,
    directions: Mapping[str, Tensor],
    load_of: Callable[[Tensor], Load],
    reach: float = 2.0,
) -> Interactive:
    """One slider for each direction of the latent space; the layout, its volume and its compliance follow.

    decode: [1, latent] → densities [1, 1, ny, nx]. start: [latent], where all sliders are 0. directions: name → [latent].
    load_of: the load that a latent [latent] stands for. Raises ValueError without a direction, or one of another shape.
    """
    wrong = {name: list(d.shape) for name, d in directions.items() if d.shape != start.shape}
    if wrong or not directions:
        raise ValueError(
            f"beam_explorer needs directions of shape {list(start.shape)}; it was given {wrong or 'none'}."
        )

    def draw(**amounts: float) -> Figure:
        z = start + torch.stack([amounts[f"d{i}"] * d for i, d in enumerate(directions.values())]).sum(0)
        with torch.no_grad():
            density = decode(z[None])[0, 0].double().clamp(0, 1).cpu().numpy()
        return draw_beam(density, load_of(z))

    controls = {f"d{i}": slider(-reach, reach, 0.0, name, 0.1) for i, name in enumerate(directions)}
    return Interactive(draw, controls)
