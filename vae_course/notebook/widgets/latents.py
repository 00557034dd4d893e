"""Latents to be moved by hand: of several models beside one another, and of a class in a style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.evaluation.latents import posterior_means
from vae_course.models.conditional import ConditionalVAE
from vae_course.models.vae import VAE
from vae_course.notebook.figures import show_mosaic, subplots
from vae_course.notebook.widgets.interactive import Interactive, slider


@torch.no_grad()
def draw_traversal(model: VAE, x: Tensor, offsets: Sequence[float], name: str) -> Figure:
    """A picture beside what the model decodes from its posterior mean, each latent moved by its offset."""
    z = posterior_means(model, x[None])[0]
    moved = model.likelihood((z + torch.tensor(offsets).to(z))[None]).mean
    figure, (left, right) = subplots(1, 2, figsize=(9, 4.6))
    show_mosaic(left, x[None], 1, "given")
    show_mosaic(right, moved, 1, f"decoded by the {name}")
    return figure


def traversal_explorer(models: Mapping[str, VAE], x: Tensor, reach: float = 3.0) -> Interactive:
    """A choice of model and a slider a latent, from the posterior mean of one picture x [*image].

    Raises ValueError without a model, or for models of different numbers of latents.
    """
    sizes = {int(model.zero.numel()) for model in models.values()}
    if len(sizes) != 1:
        raise ValueError(f"traversal_explorer needs models with equally many latents; it was given {sorted(sizes)}.")
    choice = ipywidgets.ToggleButtons(options=list(models), description="model")
    controls: dict[str, ipywidgets.Widget] = {"name": choice}
    controls |= {f"d{j}": slider(-reach, reach, 0.0, f"latent {j + 1}", 0.25) for j in range(sizes.pop())}
    draw = lambda name, **offsets: draw_traversal(models[name], x, list(offsets.values()), name)  # noqa: E731
    return Interactive(draw, controls, ipywidgets.VBox(list(controls.values())))


@torch.no_grad()
def draw_class_and_style(model: ConditionalVAE, classes: int, first: float, second: float, seed: int) -> Figure:
    """One z, decoded for every class: its first two coordinates given, the others drawn from the prior by the seed."""
    z = torch.randn(model.zero.numel(), generator=torch.Generator().manual_seed(seed))
    z[:2] = torch.tensor([first, second])
    y = torch.arange(classes, device=model.zero.device)
    images = model.given(y).likelihood(z.to(model.zero).expand(classes, -1)).mean
    figure, (axis,) = subplots(1, 1, figsize=(11, 2.2))
    show_mosaic(axis, images, classes, f"one style, {classes} classes: z = ({first:.1f}, {second:.1f}, …)")
    return figure


def class_and_style_explorer(model: ConditionalVAE, classes: int = 10) -> Interactive:
    """Two sliders for the first two latents and one that draws the others; a picture for each class."""
    controls = {
        "first": slider(-3, 3, 0.0, "latent 1"),
        "second": slider(-3, 3, 0.0, "latent 2"),
        "seed": ipywidgets.IntSlider(0, min=0, max=20, description="the others", layout={"width": "26em"}),
    }
    return Interactive(lambda **at: draw_class_and_style(model, classes, **at), controls)
