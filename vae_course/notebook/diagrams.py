"""Diagrams: boxes and arrows, graphs of computations, frames around events, places of a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def convolution(
    axes: Axes, size: int, kernel: int, stride: int = 1, padding: int = 0, inputs: int = 1, outputs: int = 1
) -> None:
    """A convolution of a picture with size × size pixels: its channels left, what it makes right, two places of the kernel.

    The frame and the output pixel of one colour belong together; `padding` rows of zeros are drawn dashed around the picture.
    """
    made = (size + 2 * padding - kernel) // stride + 1
    left, low = size + padding + 0.5 * inputs + 3, (size - made) / 2
    places = [(0, 0, VERMILION), (min(1, made - 1), made - 1, SKY)]  # row and column in what is made
    for back in range(inputs):
        _sheet(axes, (0, 0), size, back)
        for row, column, colour in places:
            corner = (stride * column - padding, size + padding - stride * row - kernel)
            _square(axes, corner, kernel, back, edgecolor=colour, linewidth=2 if back else 4)
    for back in range(outputs):
        _sheet(axes, (left, low), made, back)
    for row, column, colour in places:
        _square(axes, (left + column, low + made - 1 - row), 1, 0, facecolor=colour, edgecolor="black")
    if padding:
        _square(axes, (-padding, -padding), size + 2 * padding, 0, edgecolor="0.4", linestyle="--", linewidth=1.5)
    arrow = {"arrowstyle": "-|>", "linewidth": 2.5, "color": "black"}
    axes.annotate("", (left - 0.4, size / 2), (left - 2.6, size / 2), arrowprops=arrow)
    for x, y, number, side in ((size / 2, -padding, inputs, size), (left + made / 2, low, outputs, made)):
        text = f"{number} channel{'s' * (number > 1)}, {side} × {side}"
        axes.text(x, y - 0.5, text, ha="center", va="top", fontsize=15)
    reach, height = left + made + 0.5 * outputs, size + padding + 0.5 * inputs
    axes.set(xlim=(-padding - 0.3, reach + 1.3), ylim=(-padding - 1.6, height), aspect="equal")
    axes.axis("off")


def _sheet(axes: Axes, corner: tuple[float, float], side: int, back: int) -> None:
    """One channel: side × side pixels, the more to the back the farther up and right."""
    _square(axes, corner, side, back, facecolor="white", edgecolor="black", linewidth=1.5)
    x, y = (at + 0.5 * back for at in corner)
    for line in range(1, side):
        ways = ([x, x + side], [y + line] * 2), ([x + line] * 2, [y, y + side])
        for way in ways:
            axes.plot(*way, color="0.8", linewidth=1, zorder=20 - 2 * back)


def _square(axes: Axes, corner: tuple[float, float], side: float, back: int, **style: Any) -> None:
    at = (corner[0] + 0.5 * back, corner[1] + 0.5 * back)
    order = 20 - 2 * back - (style.get("facecolor") == "white")
    style = {"facecolor": "none", "zorder": order + 0.5, **style}
    axes.add_patch(Rectangle(at, side, side, **style))
