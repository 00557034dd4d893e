"""Likelihoods to be moved by hand: what a family and its σ say of one pixel, and of a picture."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.pixels import continuous_bernoulli, discretized_logistic
from vae_course.evaluation.bounds import bits_per_dimension
from vae_course.notebook.figures import BLUE, show_mosaic, subplots
from vae_course.notebook.widgets.interactive import Interactive, slider
from vae_course.randomness import seeded

Maker = Callable[[Tensor, float, int], Distribution]  # mean image, σ, levels → p(x)
FAMILIES: dict[str, Maker] = {
    "normal": lambda mean, std, levels: diagonal_normal(mean, std, event_axes=3),
    "discretised logistic": lambda mean, std, levels: discretized_logistic(
        torch.cat([mean, torch.full_like(mean, std * sqrt(3) / pi).log()], -3), levels
    ),
    "continuous Bernoulli": lambda mean, std, levels: continuous_bernoulli(mean.logit(eps=1e-4)),
    "Bernoulli": lambda mean, std, levels: bernoulli(mean.logit(eps=1e-4)),
}


def pixel_values(family: str, levels: int) -> Tensor:
    """The values of a pixel that a family speaks of: a fine grid for a density, else the values themselves, [n]."""
    if family == "normal":
        return torch.linspace(-1.0, 2.0, 601)
    if family == "continuous Bernoulli":
        return torch.linspace(0.0, 1.0, 401)
    return torch.linspace(0.0, 1.0, levels if family == "discretised logistic" else 2)


def observed(family: str, x: Tensor, levels: int) -> Tensor:
    """The picture x of grey levels as the family takes it: spread over each level, as it is, or black and white.

    Without noise: each level lies in the middle of its share.
    """
    if family == "normal":
        return (x * (levels - 1) + 0.5) / levels
    return (x > 0.5).to(x.dtype) if family == "Bernoulli" else x


def draw_likelihood(x: Tensor, mean: Tensor, levels: int, family: str, pixel: float, std: float) -> Figure:
    """The family at a pixel where the decoder's image says `pixel`, and x, that image and a draw around it.

    x, mean: [1, height, width]. The image is the mean of the normal, the location of the logistic, λ of the others.
    """
    make = FAMILIES[family]
    p = make(mean, std, levels)
    with seeded():
        drawn = p.sample()
    seen = observed(family, x, levels)
    nats = float(p.log_prob(seen))
    figure, (at_pixel, given, middle, sample) = subplots(1, 4, figsize=(15, 4.4))
    draw_pixel(at_pixel, make, levels, family, pixel, std)
    for axis, image, title in ((given, seen, "x"), (middle, mean, "decoder's image"), (sample, drawn, "a draw")):
        show_mosaic(axis, image[None], 1, title)
    unit = "log p(x|z)" if family in ("normal", "continuous Bernoulli") else "log P(x|z)"
    said = f"{unit} = {nats:.0f} nats"
    if family in ("normal", "discretised logistic"):
        bits = bits_per_dimension(torch.tensor(nats), x.numel(), levels if family == "normal" else 1)
        said += f": {'about ' if family == 'normal' else ''}{float(bits):.2f} bits per dimension of the {levels} grey levels"
    figure.suptitle(f"{family}: {said}", x=0.01, ha="left", fontsize=16)
    return figure


def draw_pixel(axis: Axes, make: Maker, levels: int, family: str, pixel: float, std: float) -> None:
    """Density or probabilities of one pixel."""
    values = pixel_values(family, levels)
    p = make(torch.full((len(values), 1, 1, 1), pixel), std, levels)
    height = p.log_prob(values[:, None, None, None]).exp()
    if family in ("normal", "continuous Bernoulli"):
        axis.fill_between(values.tolist(), height.tolist(), color=BLUE, alpha=0.6)
        axis.set(ylabel="density", xlim=(-0.5, 1.5))
    else:
        axis.bar(values.tolist(), height.tolist(), width=0.8 / len(values), color=BLUE)
        axis.set(ylabel="probability", xlim=(-0.5, 1.5), ylim=(0, 1.05))
    axis.set(title=f"where that says {pixel:.2f}", xlabel="value of the pixel")


def likelihood_explorer(x: Tensor, mean: Tensor, levels: int = 16) -> Interactive:
    """Choose a family, what the decoder's image says of a pixel, and σ; see the pixel's distribution and the picture's.

    x: a picture of grey levels, mean: its mean image under a model, both [1, height, width] in [0, 1].
    Raises ValueError unless they have one shape.
    """
    if x.shape != mean.shape or x.ndim != 3:
        raise ValueError(
            f"likelihood_explorer needs two pictures [1, height, width]; these are {list(x.shape)} and {list(mean.shape)}."
        )
    controls = {
        "family": ipywidgets.SelectionSlider(options=list(FAMILIES), description="family", layout={"width": "26em"}),
        "pixel": slider(0.02, 0.98, 0.3, "mean", 0.02),
        "std": slider(0.02, 1.0, 0.3, "σ", 0.02),
    }
    return Interactive(lambda family, pixel, std: draw_likelihood(x, mean, levels, family, pixel, std), controls)
