"""How far reconstructions are from pictures: over a set, a picture at a time, and pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from vae_course.refusals import refuse_unusable


def mean_squared_error(reconstruction: Tensor, x: Tensor) -> float:
    """The squared error of a pixel, averaged over pixels and pictures (unit: grey level squared).

    Raises ValueError if the shapes differ, the numbers are not floating point or not finite, or there are none.
    """
    _check_shapes(reconstruction, x)
    refuse_unusable("mean_squared_error", reconstruction=reconstruction, x=x)
    return float((reconstruction - x).detach().square().mean())


def peak_signal_to_noise(reconstruction: Tensor, x: Tensor, peak: float = 1.0) -> Tensor:
    """10 log₁₀(peak² / MSE), with the mean squared error of each picture: [n, *picture] twice → [n] decibels.

    peak: the largest value that a pixel can take. Equal pictures give infinity. The mean over pictures is not the value
    of the mean error: −log is convex in the MSE, so the mean is the higher one, and one nearly perfect picture lifts it.
    Raises ValueError if the shapes differ, the numbers are not floating point, or unless peak > 0.
    """
    _check_shapes(reconstruction, x)
    if not peak > 0:
        raise ValueError(f"peak_signal_to_noise was given the peak {peak}: give the largest value of a pixel, > 0.")
    return 10 * (peak**2 / (reconstruction - x).square().flatten(1).mean(1)).log10()


def structural_similarity(reconstruction: Tensor, x: Tensor, peak: float = 1.0) -> Tensor:
    """The mean over windows of (2 μ_a μ_b + c₁)(2 σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂)): → [n], at most 1.

    Wang, Bovik, Sheikh & Simoncelli (2004), *Image quality assessment: from error visibility to structural similarity*,
    eq. 13 to 17: means, variances and covariance under a Gaussian window of 11 × 11 with σ = 1.5, c₁ = (0.01 peak)²,
    c₂ = (0.03 peak)². Only windows that lie inside the picture count; channels are averaged.
    reconstruction, x: [n, channels, height, width], sides at least 11.
    Raises ValueError if the shapes differ or are others, for numbers that are not floating point, or unless peak > 0.
    """
    _check_shapes(reconstruction, x)
    if x.ndim != 4 or min(x.shape[-2:]) < _WINDOW or not peak > 0:
        raise ValueError(
            f"structural_similarity was given {list(x.shape)} and the peak {peak}: it needs [n, channels, height, width] "
            f"with sides of at least {_WINDOW} pixels, and a peak > 0."
        )
    a, b = reconstruction.flatten(0, 1)[:, None], x.flatten(0, 1)[:, None]  # [n · channels, 1, height, width]
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    similarity: Tensor = (luminance * structure).mean((1, 2, 3)).unflatten(0, x.shape[:2]).mean(1)
    return similarity


def error_map(reconstruction: Tensor, x: Tensor, window: int = 1) -> Tensor:
    """Where the error is: squared, summed over channels, averaged over window × window pixels: → [n, height, width].

    reconstruction, x: [n, channels, height, width]. At the borders the average runs over the pixels that exist.
    Raises ValueError if the shapes differ or are others, for numbers that are not floating point, or unless the window is odd and positive.
    """
    _check_shapes(reconstruction, x)
    if x.ndim != 4 or window < 1 or window % 2 == 0:
        raise ValueError(
            f"error_map was given {list(x.shape)} and the window {window}: it needs [n, channels, height, width] and "
            "an odd window, 1, 3, 5, …"
        )
    error = (reconstruction - x).square().sum(1, keepdim=True)
    return avg_pool2d(error, window, stride=1, padding=window // 2, count_include_pad=False)[:, 0]


_WINDOW = 11


def _windowed(x: Tensor) -> Tensor:
    """Averages of [m, 1, height, width] under the window, wherever it fits."""
    distance = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weights = torch.softmax(-distance.square() / (2 * 1.5**2), 0)  # e^(-d²/2σ²), summing to 1
    return conv2d(conv2d(x, weights[None, None, None, :]), weights[None, None, :, None])


def _check_shapes(reconstruction: Tensor, x: Tensor) -> None:
    if not (reconstruction.is_floating_point() and x.is_floating_point()):
        raise ValueError(
            f"Pictures of type {reconstruction.dtype} and {x.dtype} were compared: convert both by .float()."
        )
    if reconstruction.shape != x.shape:
        raise ValueError(f"A reconstruction {list(reconstruction.shape)} was compared with pictures {list(x.shape)}.")
    if len(x):
        refuse_unusable("A measure of pictures", reconstruction=reconstruction, x=x)
