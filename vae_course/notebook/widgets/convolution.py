"""A filter to be painted by hand, and what a convolution with it makes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import conv2d

from vae_course.notebook.figures import show_mosaic, subplots
from vae_course.notebook.widgets.interactive import Interactive

EDGE = (1, 0, -1, 1, 0, -1, 1, 0, -1)


def filtered(image: Tensor, weights: Sequence[float]) -> Tensor:
    """What torch calls a convolution with a square kernel: [1, height, width] → [1, height - k + 1, width - k + 1].

    weights: the kernel row by row. Raises ValueError unless they are k² numbers.
    """
    side = isqrt(len(weights))
    if side * side != len(weights) or side == 0:
        raise ValueError(f"A square kernel has k × k weights; {len(weights)} were given.")
    kernel = torch.tensor(list(weights), dtype=image.dtype).reshape(1, 1, side, side)
    result: Tensor = conv2d(image[None], kernel)[0]
    return result


def draw_filter(image: Tensor, weights: Sequence[float]) -> Figure:
    """The picture, the kernel, and what results: blue where it is positive, red where negative."""
    made, side = filtered(image, weights)[0], isqrt(len(weights))
    reach = max(1e-6, float(made.abs().max()))
    figure, (before, kernel, after) = subplots(1, 3, figsize=(13, 4.6))
    show_mosaic(before, image[None], 1, "picture")
    kernel.imshow(np.reshape(weights, (side, side)), cmap="RdBu", vmin=-1.5, vmax=1.5)
    for i, weight in enumerate(weights):
        kernel.text(i % side, i // side, f"{weight:g}".replace("-", "−"), ha="center", va="center", fontsize=18)
    kernel.set(title="kernel", xticks=[], yticks=[])
    kernel.grid(False)
    shown = after.imshow(made.numpy(), cmap="RdBu", vmin=-reach, vmax=reach)
    after.set(title=f"result, {made.shape[0]} × {made.shape[1]}", xticks=[], yticks=[])
    after.grid(False)
    figure.colorbar(shown, ax=after, shrink=0.8)
    return figure


class KernelPad(anywidget.AnyWidget):
    """A square of weights to click on: each goes from 0 to 1 to -1 and back; `weights` holds them row by row."""

    _esm = Path(__file__).parent / "kernel.js"
    weights = traitlets.List(trait=traitlets.Float(), default_value=[float(w) for w in EDGE]).tag(sync=True)

    @property
    def value(self) -> list[float]:
        """The weights, under the name that other controls use."""
        return list(self.weights)

    def observe(self, handler: Any, names: Any = traitlets.All, type: Any = "change") -> None:
        """As any control: a change of `value` is a change of the weights."""
        super().observe(handler, names="weights" if names == "value" else names, type=type)


def filter_pad(image: Tensor, weights: Sequence[float] = EDGE) -> Interactive:
    """A kernel to paint, and what a convolution with it makes of one picture, [1, height, width].

    Raises ValueError unless the weights make a square no larger than the picture.
    """
    if image.ndim != 3 or image.shape[0] != 1 or isqrt(len(weights)) > min(image.shape[1:]):
        raise ValueError(
            f"filter_pad needs a grey picture [1, height, width] larger than its kernel, not {list(image.shape)}."
        )
    filtered(image, weights)
    pad = KernelPad(weights=[float(w) for w in weights])
    return Interactive(lambda weights: draw_filter(image, weights), {"weights": pad})
