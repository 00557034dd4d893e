"""Codes to be moved by hand: through bottlenecks of several sizes, and over a plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.notebook.figures import code_map, image_rows, show_mosaic, subplots
from vae_course.notebook.widgets.interactive import Interactive, slider


def draw_bottleneck(reconstructions: Mapping[int, Tensor], x: Tensor, size: int) -> Figure:
    """The pictures above their reconstructions through a bottleneck of `size` numbers, with the error."""
    error = float((reconstructions[size] - x).square().mean())
    rows = {"original": x, "reconstruction": reconstructions[size]}
    numbers = "number" if size == 1 else "numbers"
    return image_rows(rows, f"{size} {numbers} a picture: mean squared error {error:.4f} a pixel")


def bottleneck_slider(reconstructions: Mapping[int, Tensor], x: Tensor) -> Interactive:
    """A slider over bottleneck sizes. reconstructions: size → pictures of the shape of x.

    Raises ValueError if there is none, or if one has another shape than x.
    """
    wrong = {size: list(r.shape) for size, r in reconstructions.items() if r.shape != x.shape}
    if wrong or not reconstructions:
        raise ValueError(
            f"bottleneck_slider needs reconstructions of shape {list(x.shape)}; it was given {wrong or 'none'}."
        )
    control = ipywidgets.SelectionSlider(
        options=sorted(reconstructions), description="bottleneck", layout={"width": "26em"}
    )
    return Interactive(lambda size: draw_bottleneck(reconstructions, x, size), {"size": control})


def draw_code(
    decode: Callable[[Tensor], Tensor], codes: Tensor, labels: Tensor, first: float, second: float, name: str
) -> Figure:
    """The map of the codes with the chosen point, beside the picture that it decodes to."""
    with torch.no_grad():
        image = decode(torch.tensor([[first, second]]).to(codes))
    figure, (left, right) = subplots(1, 2, figsize=(11, 5))
    code_map(left, codes, labels, "where real digits lie", (f"{name} 1", f"{name} 2"))
    left.plot(first, second, "X", markersize=18, color="black", markeredgecolor="white", markeredgewidth=2)
    show_mosaic(right, image, 1, f"decoded from ({first:.1f}, {second:.1f})")
    return figure


def code_explorer(decode: Callable[[Tensor], Tensor], codes: Tensor, labels: Tensor, name: str = "code") -> Interactive:
    """Two sliders over a plane of codes (or latents), with the picture decoded from the point chosen.

    decode: [1, 2] → [1, channels, height, width]. codes: [n, 2], labels: [n].
    Raises ValueError unless the codes are points of the plane.
    """
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"code_explorer needs codes [n, 2]; it was given {list(codes.shape)}.")
    low, high = (codes.amin(0) * 1.1).tolist(), (codes.amax(0) * 1.1).tolist()
    start = codes[labels == labels.min()].median(0).values.tolist()
    controls = {
        key: slider(low[i], high[i], start[i], f"{name} {i + 1}", step=(high[i] - low[i]) / 100)
        for i, key in enumerate(("first", "second"))
    }
    return Interactive(lambda first, second: draw_code(decode, codes, labels, first, second, name), controls)
