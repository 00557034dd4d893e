"""Diagrams: boxes and arrows, frames around events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
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
