"""Variational inference to be moved by hand: the directions of KL, the gap of the ELBO, clouds of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import ipywidgets
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.model import GenerativeModel
from vae_course.exact.grids import (
    EvidenceSplit,
    Grid,
    kl_on_grid,
    latent_grid,
    log_posterior_on_grid,
    log_prob_on_grid,
    split_evidence,
)
from vae_course.inference.gradients import Integrand, gradient_draws, pathwise, score_function
from vae_course.notebook.figures import BLUE, GREEN, VERMILION, subplots
from vae_course.notebook.widgets.interactive import Interactive, slider
from vae_course.randomness import seeded


def normal_at(mean: float, std: float) -> Distribution:
    """N(mean, std²) over one latent, in float64."""
    return diagonal_normal(torch.tensor([mean], dtype=torch.float64), std)


def draw_kl_directions(target: Distribution, grid: Grid, mean: float, std: float) -> Figure:
    """p and q = N(mean, std²), and for both directions of KL the integrand whose area it is."""
    z = grid.points[:, 0]
    log_p, log_q = log_prob_on_grid(target, grid), log_prob_on_grid(normal_at(mean, std), grid)
    figure, (densities, reverse, forward) = subplots(1, 3, figsize=(14, 4.6))
    densities.fill_between(z, log_p.exp(), color="0.75", label="target p")
    densities.plot(z, log_q.exp(), color=BLUE, label="q")
    densities.set(title=f"q = N({mean:.2f}, {std:.2f}²)", xlabel="z", ylabel="density", ylim=(0, 0.9), xlim=(-8, 8))
    densities.legend()
    for axis, name, first, second, colour in (
        (reverse, "KL(q || p)", log_q, log_p, BLUE),
        (forward, "KL(p || q)", log_p, log_q, VERMILION),
    ):
        integrand = first.exp() * (first - second)
        axis.fill_between(z, integrand, color=colour, alpha=0.6)
        value = float(kl_on_grid(first, second, grid))
        axis.set(
            title=f"{name} = {value:.2f} nats", xlabel="z", ylabel="integrand, nats", ylim=(-0.6, 1.6), xlim=(-8, 8)
        )
    return figure


def kl_directions(target: Distribution, mean: float = 0.0, std: float = 1.0, limit: float = 26.0) -> Interactive:
    """Two sliders move a normal q under a target p over one latent; both divergences follow.

    target: event [1], float64, its mass well within ±limit. The default limit reaches 5 σ beyond the widest q of the
    sliders.
    """
    grid = latent_grid(1, limit, steps=5201)
    controls = {"mean": slider(-4.0, 4.0, mean, "mean of q", 0.05), "std": slider(0.2, 4.0, std, "σ of q", 0.05)}
    return Interactive(lambda mean, std: draw_kl_directions(target, grid, mean, std), controls)


def draw_elbo_bar(model: GenerativeModel, x: Tensor, grid: Grid, mean: float, std: float) -> Figure:
    """q = N(mean, std²) over the posterior of one x, and the bar that it splits log p(x) into."""
    q = normal_at(mean, std)
    split = EvidenceSplit(*(part[0] for part in split_evidence(model, x[None], q, grid)))
    z = grid.points[:, 0]
    figure, (densities, bar) = subplots(1, 2, figsize=(12, 5.2))
    densities.fill_between(
        z, log_posterior_on_grid(model, x[None], grid)[0].exp(), color="0.75", label="posterior p(z|x)"
    )
    densities.plot(z, log_prob_on_grid(q, grid).exp(), color=BLUE, label="q(z)")
    densities.set(title=f"q = N({mean:.2f}, {std:.2f}²)", xlabel="z", ylabel="density", xlim=(-3.5, 3.5), ylim=(0, 1.6))
    densities.legend(loc="upper left")
    draw_split(bar, split)
    return figure


def draw_split(axis: Axes, split: EvidenceSplit, reach: float = 5.0) -> None:
    """One bar on an axis in nats: 𝓛 up to its value, and the KL from there up to log p(x)."""
    top, elbo, kl = (float(part) for part in split)
    bottom = top - reach
    level = max(elbo, bottom)
    axis.bar(0, level - bottom, bottom=bottom, width=0.6, color=BLUE)
    axis.bar(0, top - level, bottom=level, width=0.6, color=VERMILION)
    axis.axhline(top, color="black", linestyle="--")
    below = "" if elbo >= bottom else ", below the axis"
    axis.text(0.36, min(level, top - 0.5), f"ELBO = {elbo:.2f}{below}", color=BLUE, va="top", fontsize=14)
    axis.text(-0.36, top - 0.12, f"KL(q || p(z|x))\n= {kl:.2f}", color=VERMILION, ha="right", va="top", fontsize=14)
    axis.text(0.36, top + 0.08, f"log p(x) = {top:.2f}", va="bottom", fontsize=14)
    axis.set(title="log p(x) = ELBO + KL", ylabel="nats", xticks=[], xlim=(-1.4, 1.6), ylim=(bottom, top + 0.7))
    axis.grid(axis="x", visible=False)


def elbo_bar(model: GenerativeModel, x: Tensor, mean: float = 0.0, std: float = 1.0) -> Interactive:
    """Two sliders move a normal q; the bar of log p(x) is split into ELBO and KL anew. x: one example, [*event].

    For a model with one latent, in float64.
    """
    grid = latent_grid(1, limit=15.0, steps=6001)
    controls = {"mean": slider(-2.5, 2.5, mean, "mean of q", 0.02), "std": slider(0.1, 2.0, std, "σ of q", 0.02)}
    return Interactive(lambda mean, std: draw_elbo_bar(model, x, grid, mean, std), controls)


TARGET = (5.0, 5.0)


class Clouds(NamedTuple):
    """Draws of two estimates of the gradient of E‖x − (5, 5)‖², x ~ N(μ, σ² I), by μ: [draws, 2] each, and the truth [2]."""

    pathwise: Tensor
    score_function: Tensor
    exact: Tensor


def gradients_toward_target(mean: Tensor, std: float, samples: int, draws: int, seed: int = 0) -> Clouds:
    """Both estimates, `draws` times, each from `samples` draws of x. mean: μ, [2]. The same seed gives the same clouds."""
    target = torch.tensor(TARGET).to(mean)
    cost = lambda x: (x - target).square().sum(-1)  # noqa: E731

    def cloud(estimator: Callable[[Distribution, Integrand, int], Tensor]) -> Tensor:
        estimate = lambda rows: estimator(diagonal_normal(rows, std), cost, samples)  # noqa: E731
        return gradient_draws(estimate, [mean], draws)[0]

    with seeded(seed):
        return Clouds(cloud(pathwise), cloud(score_function), 2 * (mean - target))


def draw_gradient_clouds(distance: float, std: float, samples: int, draws: int = 300) -> Figure:
    """Both clouds at a μ that lies `distance` from (5, 5) along the diagonal, on the same axes."""
    mean = torch.tensor(TARGET, dtype=torch.float64) - distance / 2**0.5
    clouds = gradients_toward_target(mean, std, samples, draws)
    figure, axes = subplots(1, 2, figsize=(12, 5.6))
    reach = 1.1 * float((clouds.score_function - clouds.exact).abs().quantile(0.99))
    (first, second) = clouds.exact.tolist()
    names = ("pathwise", "score function")
    for axis, name, cloud, colour in zip(axes, names, clouds, (GREEN, VERMILION), strict=False):
        axis.scatter(cloud[:, 0], cloud[:, 1], s=14, alpha=0.5, linewidths=0, color=colour)
        axis.plot(first, second, "X", markersize=14, color="black", markeredgecolor="white", label="exact gradient")
        spread = float(cloud.var(0).sum().sqrt())
        axis.set(title=f"{name}: spread {spread:.2g}", xlabel="∂/∂μ₁", ylabel="∂/∂μ₂")
        axis.set(xlim=(first - reach, first + reach), ylim=(second - reach, second + reach))
        axis.legend(loc="upper left")
    return figure


def gradient_clouds(distance: float = 3.0, std: float = 1.0, samples: int = 1) -> Interactive:
    """Sliders over the distance to the target, σ, and the number of draws of x in one estimate."""
    controls = {
        "distance": slider(0.0, 7.0, distance, "distance", 0.1),
        "std": slider(0.2, 3.0, std, "σ", 0.1),
        "samples": ipywidgets.IntSlider(samples, 1, 100, description="draws", layout={"width": "26em"}),
    }
    return Interactive(draw_gradient_clouds, controls, layout=ipywidgets.VBox(list(controls.values())))
