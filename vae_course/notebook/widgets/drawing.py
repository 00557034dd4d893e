"""A pad to draw a digit on, and what a model says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.distributions.model import LatentVariableModel
from vae_course.evaluation.evidence import log_evidence
from vae_course.notebook.figures import BLUE, VERMILION, show_mosaic, subplots
from vae_course.notebook.widgets.interactive import Interactive
from vae_course.objectives.bounds import elbo


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
