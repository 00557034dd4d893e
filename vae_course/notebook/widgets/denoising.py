"""Noise of any level, taken away through bottlenecks of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_course.evaluation.pictures import peak_signal_to_noise
from vae_course.notebook.figures import image_rows
from vae_course.notebook.widgets.interactive import Interactive, slider

Denoiser = Callable[[Tensor], Tensor]


def draw_denoised(denoisers: Mapping[int, Denoiser], x: Tensor, noise: Tensor, std: float, size: int) -> Figure:
    """Pictures, the same with noise of standard deviation `std`, and what comes out through `size` numbers."""
    spoilt = x + std * noise
    with torch.no_grad():
        cleaned = denoisers[size](spoilt).clamp(0, 1)
    rows = {"clean": x, "noisy": spoilt.clamp(0, 1), "denoised": cleaned}
    before, after = (float(peak_signal_to_noise(rows[name], x).mean()) for name in ("noisy", "denoised"))
    return image_rows(rows, f"σ = {std:.2f}: {before:.1f} dB; through {size} numbers {after:.1f} dB")


def denoising_explorer(denoisers: Mapping[int, Denoiser], x: Tensor, noise: Tensor) -> Interactive:
    """Two sliders, the level of the noise and the size of the bottleneck, over a few pictures.

    denoisers: size → a function from noisy pictures to clean ones. x, noise: [n, channels, height, width] both, the noise
    standard normal: the slider scales it. Noisy pictures are cut off at 0 and 1 before they are shown and measured; the
    denoiser is given them uncut. Peak signal-to-noise ratios (dB) are means over the pictures.
    Raises ValueError if there is no denoiser, or if the noise has another shape than x.
    """
    if not denoisers or noise.shape != x.shape:
        raise ValueError(
            f"denoising_explorer was given {len(denoisers)} denoisers, pictures {list(x.shape)} and noise "
            f"{list(noise.shape)}: give one denoiser at least, and noise of the shape of the pictures."
        )
    sizes = sorted(denoisers)
    bottleneck = ipywidgets.SelectionSlider(
        options=sizes, value=sizes[len(sizes) // 2], description="bottleneck", layout={"width": "26em"}
    )
    controls = {"std": slider(0.05, 1.0, 0.5, "noise σ", step=0.05), "size": bottleneck}
    return Interactive(lambda std, size: draw_denoised(denoisers, x, noise, std, size), controls)
