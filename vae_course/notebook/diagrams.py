"""Diagrams: boxes and arrows, graphs of computations, frames around events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch.distributions import Distribution

from vae_course.notebook.figures import SKY, VERMILION


def box_columns(axes: Axes, columns: Mapping[str, Sequence[str]], colours: Sequence[str]) -> None:
    """Columns of boxes with a title each, joined by arrows from left to right: the map of a course."""
    for column, (title, texts) in enumerate(columns.items()):
        colour = colours[column % len(colours)]
        axes.text(column, 0.6, title, ha="center", fontsize=15, fontweight="bold", color=colour)
        for row, text in enumerate(texts):
            box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
            axes.text(column, -row, text, ha="center", va="center", fontsize=13, bbox=box)
        if column:
            arrow = {"arrowstyle": "->", "linewidth": 2, "color": "0.4"}
            axes.annotate("", (column - 0.44, 0.7), (column - 0.58, 0.7), arrowprops=arrow)
    deepest = max(map(len, columns.values()))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(0.4 - deepest, 1.1))
    axes.axis("off")


FORWARD = {"arrowstyle": "-|>", "lw": 2.5, "color": "black"}
BACK = FORWARD | {"color": VERMILION, "linestyle": "--"}


def computation_graph(
    axes: Axes,
    nodes: Mapping[str, tuple[float, float]],
    edges: Sequence[str],
    drawn: Sequence[str] = (),
    back: Sequence[str] = (),
) -> None:
    """What is computed from what: boxes, and circles for what is `drawn` at random, joined by arrows "from → to".

    nodes: the place of each text. back: arrows that a gradient takes, dashed, a little beside the others.
    The axes must have their size and limits: arrows end at the boxes. Raises KeyError for an edge between texts that are
    no nodes.
    """
    axes.axis("off")
    sizes: dict[str, float | NDArray[np.float64]] = {}
    for text, (x, y) in nodes.items():
        shape, colour = ("circle", SKY) if text in drawn else ("round", "white")
        box = {"boxstyle": f"{shape},pad=0.35", "facecolor": colour, "edgecolor": "black"}
        label = axes.text(x, y, text, ha="center", va="center", fontsize=17, bbox=box, zorder=3)
        extent = np.asarray(label.get_window_extent().size)  # of the text alone, in pixels
        pad = 0.35 * 17 * axes.figure.dpi / 72
        sizes[text] = float(extent.max()) / 2 + pad if text in drawn else extent / 2 + pad
    for edge in (*edges, *back):
        start, end = edge.split(" → ")
        style, aside = (BACK, 0.16) if edge in back else (FORWARD, 0.0)
        (x, y), (x_end, y_end) = nodes[start], nodes[end]
        way = axes.transData.transform((x_end, y_end)) - axes.transData.transform((x, y))
        gaps = [_to_the_edge(size, way) * 72 / axes.figure.dpi + 3 for size in (sizes[start], sizes[end])]
        shrink = {"shrinkA": gaps[0], "shrinkB": gaps[1]}
        axes.annotate("", (x_end - aside, y_end), (x - aside, y), arrowprops=style | shrink)


def _to_the_edge(size: float | NDArray[np.float64], way: NDArray[np.float64]) -> float:
    """From the middle of a circle of this radius, or of a box of this half width and height, to its edge along a way."""
    if isinstance(size, float):
        return size
    direction = np.abs(way) / np.hypot(*way)
    return float(np.min(size / np.maximum(direction, 1e-9)))


def event_frames(axes: Axes, p: Distribution, name: str) -> None:
    """The numbers of one draw as squares, and a frame around each event: what one log-probability belongs to.

    Raises ValueError unless batch and event have two axes together.
    """
    shape = (*p.batch_shape, *p.event_shape)
    if len(shape) != 2:
        raise ValueError(f"event_frames draws two axes; this distribution has batch and event {list(shape)}.")
    height, width = (*[1] * len(p.batch_shape), *p.event_shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            axes.plot(column, -row, "s", markersize=34, color=SKY)
            if row % height == 0 and column % width == 0:
                corner, size = (column - 0.42, -row - height + 0.58), (width - 0.16, height - 0.16)
                axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=VERMILION, linewidth=4))
    title = f"{name}\nbatch {list(p.batch_shape)}, event {list(p.event_shape)}"
    axes.set(xlim=(-0.7, shape[1] - 0.3), ylim=(-shape[0] + 0.3, 0.7), aspect="equal")
    axes.set_title(title, loc="center")
    axes.axis("off")
