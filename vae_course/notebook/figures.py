"""Figures that read from the back row: large type, colours that the colour-blind tell apart, axes with units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from IPython.core.getipython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

# Okabe & Ito, Color Universal Design (2008): eight colours that the colour-blind can tell apart.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
CLASSES = (
    *COLOURS[:7],
    "#A6A000",
    "#8C510A",
    "#999999",
)  # ten, for the ten digits; the class is also written on every map
DPI = 80

STYLE: dict[Any, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.constrained_layout.use": True,
    "font.size": 15,
    "axes.titlesize": 16,
    "axes.titlelocation": "left",
    "axes.labelsize": 15,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.5,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}


def use_course_style() -> None:
    """Give all figures of this process the style of the course, and let a notebook show them as PNG."""
    mpl.rcParams.update(STYLE)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=COLOURS)
    if (shell := get_ipython()) is not None:
        select_figure_formats(shell, {"png"})


def mosaic(images: Tensor, columns: int, gap: int = 1) -> NDArray[np.float32]:
    """Lay pictures out in rows: [n, channels, height, width] → one array, [rows, columns] or with colours last.

    The gap between them is half grey. Raises ValueError for another shape or fewer than one column.
    """
    if images.ndim != 4 or columns < 1:
        raise ValueError(
            f"mosaic needs pictures [n, channels, height, width] and columns >= 1, not {list(images.shape)}."
        )
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    canvas = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 0.5)
    for i, image in enumerate(images.detach().cpu().clamp(0, 1)):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = image
    array: NDArray[np.float32] = canvas.movedim(0, -1).numpy()
    return array[..., 0] if channels == 1 else array


def show_mosaic(axes: Axes, images: Tensor, columns: int, title: str = "") -> None:
    """Draw pictures as one mosaic, ink dark on white, without ticks."""
    axes.imshow(mosaic(images, columns), vmin=0, vmax=1)
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def image_rows(rows: Mapping[str, Tensor], title: str, width: float = 11.0) -> Figure:
    """One row of pictures under another, each with its name at the left."""
    shapes = [mosaic(images, len(images)).shape for images in rows.values()]
    inches = sum((width - 2.5) * shape[0] / shape[1] + 0.08 for shape in shapes)
    figure, axes = subplots(len(rows), 1, figsize=(width, inches + 0.5))
    for axis, (name, images) in zip(axes, rows.items(), strict=True):
        show_mosaic(axis, images, len(images))
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=14)
    figure.suptitle(title, x=0.01, ha="left", fontsize=16)
    return figure


def subplots(rows: int, columns: int, figsize: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure outside pyplot's books, so that none is kept open, and its axes in reading order."""
    use_course_style()
    figure = Figure(figsize=figsize)
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [axis for row in grid for axis in row]


def code_map(
    axes: Axes, codes: Tensor, labels: Tensor, title: str, names: tuple[str, str] = ("code 1", "code 2")
) -> None:
    """Points of the plane, coloured by class, with the class written where its points lie densest, or close to it."""
    points, classes = codes.detach().cpu(), labels.cpu()
    low, size = points.amin(0), (points.amax(0) - points.amin(0)).clamp(min=1e-12)
    present = classes.unique()
    spots = apart(torch.stack([densest((points[classes == c] - low) / size) for c in present]), 0.09)
    axes.scatter(points[:, 0], points[:, 1], s=6, alpha=0.6, linewidths=0, c=[CLASSES[int(c) % 10] for c in classes])
    for c, spot in zip(present, spots, strict=True):
        x, y = (low + spot * size).tolist()
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": CLASSES[int(c) % 10], "linewidth": 2}
        axes.text(x, y, str(int(c)), ha="center", va="center", fontsize=14, fontweight="bold", bbox=box)
    axes.set(title=title, xlabel=names[0], ylabel=names[1])


def densest(points: Tensor, neighbours: int = 10) -> Tensor:
    """The one of these points whose tenth nearest is closest: [n, 2] → [2]."""
    distance = torch.cdist(points, points).sort(1).values
    return points[distance[:, min(neighbours, len(points) - 1)].argmin()]


def apart(spots: Tensor, least: float) -> Tensor:
    """The same spots of the plane, moved until no two are closer than `least`: [k, 2] → [k, 2]."""
    moved = spots.clone()
    for _ in range(200):
        away = moved[:, None] - moved  # [k, k, 2]
        distance = away.norm(dim=-1).fill_diagonal_(least)
        turn = 2.4 * torch.arange(len(moved), dtype=moved.dtype)[:, None]  # equal spots part in directions of their own
        direction = torch.where(distance[..., None] > 1e-9, away, torch.cat([turn.cos(), turn.sin()], 1)[:, None])
        push = (
            (least - distance).clamp(min=0)[..., None]
            * direction
            / direction.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        )
        if not bool(push.any()):
            break
        moved = moved + 0.55 * push.sum(1)
    return moved


def curves(
    axes: Axes, x: Sequence[float], lines: Mapping[str, Sequence[float]], title: str, xlabel: str, ylabel: str
) -> None:
    """Lines over a common x, with a legend."""
    styles = ("-", "--", "-.", ":")
    for i, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, styles[i % 4], color=COLOURS[i % len(COLOURS)], label=name)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.legend()


def bars(axes: Axes, heights: Mapping[str, float], title: str, xlabel: str, log: bool = False) -> None:
    """Horizontal bars, or points on a logarithmic axis, the first on top, with their values written beside them."""
    names, values = list(heights), list(heights.values())
    axes.set(title=title, xlabel=xlabel)
    if log:  # a bar needs a zero to start from; a logarithm has none
        axes.plot(values, names, "o", markersize=14, color=BLUE)
        for name, value in heights.items():
            axes.annotate(f"{value:.3g}", (value, name), xytext=(12, -5), textcoords="offset points", fontsize=13)
        axes.set_xscale("log")
        axes.set_xlim(right=max(values) * 3)
        axes.margins(y=0.12)
    else:
        drawn = axes.barh(names, values, color=BLUE)
        axes.bar_label(drawn, fmt="%.3g", padding=4, fontsize=13)
        axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
