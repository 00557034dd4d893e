"""Interactive pictures. Each is a tested function of plain values, a few controls, and a static picture.

Where a kernel runs, the controls move the picture; where none does (a preview, a printed page), the notebook shows
the picture stored beside them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import ipywidgets
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.estimators import log_evidence
from vae_course.figures import BLUE, VERMILION, code_map, image_rows, show_mosaic, subplots, to_png
from vae_course.objectives import LatentVariableModel, elbo

Draw = Callable[..., Figure]


class Interactive(ipywidgets.VBox):  # type: ignore[misc]
    """Controls above a picture that follows them; `picture.value` holds it as PNG."""

    def __init__(self, draw: Draw, controls: Mapping[str, Any], layout: ipywidgets.Widget | None = None) -> None:
        """draw(**values) makes the picture; each control's `value` is passed under its key."""
        self.draw, self.controls = draw, dict(controls)
        self.picture = ipywidgets.Image(format="png", value=self.render())
        self.picture.add_class("vae-course-picture")
        for control in self.controls.values():
            control.observe(self.refresh, names="value")
        super().__init__([layout or ipywidgets.HBox(list(self.controls.values())), self.picture])

    def render(self) -> bytes:
        """The picture for the present values, as PNG."""
        return to_png(self.draw(**{name: control.value for name, control in self.controls.items()}))

    def refresh(self, change: object = None) -> None:
        """Draw anew after a control has moved."""
        self.picture.value = self.render()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        return {**data, "image/png": b64encode(self.picture.value).decode()}


def slider(low: float, high: float, value: float, name: str, step: float = 0.1) -> ipywidgets.FloatSlider:
    """A slider that is wide enough to be moved by hand."""
    wide = ipywidgets.Layout(width="26em")
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=name, layout=wide)


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


class DrawingReport(NamedTuple):
    """What a VAE makes of one drawing. Bounds and log p(x) in nats."""

    x: Tensor  # [1, 1, 28, 28] binary, centred
    mean: Tensor  # [latent]
    std: Tensor  # [latent]
    reconstruction: Tensor  # [1, 1, 28, 28] E[x|z] at one draw of z
    elbo: float
    log_evidence: float
    standard_error: float


def centre(image: Tensor) -> Tensor:
    """Move the centre of mass of the ink to the middle, as in MNIST: [1, 1, height, width], by whole pixels."""
    height, width = image.shape[-2:]
    ink = image[0, 0] / image.sum().clamp(min=1e-9)
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    down = height / 2 - float(ink.sum(1) @ rows)
    right = width / 2 - float(ink.sum(0) @ columns)
    return image.roll((round(down), round(right)), (-2, -1))


@torch.no_grad()
def report_on_drawing(
    model: LatentVariableModel, pixels: Sequence[float], side: int = 28, samples: int = 500
) -> DrawingReport | None:
    """Binarize a drawing at ½, centre it, and ask the model; None if there is no ink.

    pixels: side² numbers in [0, 1], row by row. log p(x) by importance sampling with `samples` draws.
    Raises ValueError for another number of pixels.
    """
    if len(pixels) != side * side:
        raise ValueError(f"A drawing has {side * side} pixels; this one has {len(pixels)}.")
    image = (torch.tensor(list(pixels)).reshape(1, 1, side, side) > 0.5).float()
    if not bool(image.any()):
        return None
    image = centre(image)
    q = model.posterior(image)
    bound = torch.stack([elbo(model, image).value for _ in range(20)]).mean()
    evidence = log_evidence(model, image, samples)
    return DrawingReport(
        image, q.mean[0], q.stddev[0], model.likelihood(q.sample()).mean,
        float(bound), float(evidence.value), float(evidence.standard_error),
    )  # fmt: skip


def draw_report(report: DrawingReport | None, typical: tuple[float, float]) -> Figure:
    """The drawing as the model sees it, its posterior latent by latent, its reconstruction, and log p(x)."""
    figure, axes = subplots(1, 3, figsize=(13, 4.8))
    if report is None:
        for axis, text in zip(axes, ("draw a digit on the pad", "its posterior", "its reconstruction"), strict=True):
            axis.set(title=text, xticks=[], yticks=[])
        return figure
    show_mosaic(axes[0], report.x, 1, "what the model sees")
    latents = range(1, len(report.mean) + 1)
    axes[1].axhspan(-1, 1, color="0.9", label="prior, ±1 σ")
    means, stds = report.mean.tolist(), report.std.tolist()
    axes[1].errorbar(latents, means, stds, fmt="o", color=BLUE, ecolor=VERMILION, elinewidth=2.5, label="q(z|x), ±1 σ")
    axes[1].set(title="its posterior", xlabel="latent", ylabel="z", ylim=(-4.5, 4.5))
    axes[1].legend(loc="lower center", ncols=2, fontsize=12, columnspacing=1.0)
    show_mosaic(axes[2], report.reconstruction, 1, "mean image E[x|z] of a draw z")
    figure.suptitle(
        f"log p(x) ≈ {report.log_evidence:.1f} ± {report.standard_error:.1f} nats (ELBO ≈ {report.elbo:.1f})\n"
        f"half of the held-out digits, made binary likewise: {typical[0]:.0f} to {typical[1]:.0f} nats",
        x=0.01,
        ha="left",
        fontsize=15,
    )
    return figure


class Pad(anywidget.AnyWidget):
    """A square of 28 × 28 pixels to draw on; `pixels` holds what was drawn, row by row, in [0, 1]."""

    _esm = Path(__file__).parent / "pad.js"
    pixels = traitlets.List(trait=traitlets.Float(), default_value=[0.0] * 784).tag(sync=True)

    @property
    def value(self) -> list[float]:
        """The pixels, under the name that other controls use."""
        return list(self.pixels)

    def observe(self, handler: Any, names: Any = traitlets.All, type: Any = "change") -> None:
        """As any control: a change of `value` is a change of the pixels."""
        super().observe(handler, names="pixels" if names == "value" else names, type=type)


def drawing_pad(model: LatentVariableModel, start: Tensor, typical: tuple[float, float]) -> Interactive:
    """A pad to draw a digit on, and what the model says of it: posterior, reconstruction, log p(x).

    start: the picture shown first, [1, 28, 28] in [0, 1]. typical: the middle half of log p(x) of held-out digits
    that were made binary as the drawing is, at ½.
    """
    pad = Pad(pixels=start.flatten().tolist())
    return Interactive(lambda pixels: draw_report(report_on_drawing(model, pixels), typical), {"pixels": pad})
