"""Stages that halve or double the sides of a picture or a sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn


def stages(
    layer: Callable[..., nn.Module], channels: Sequence[int], kernel: int, activation: type[nn.Module]
) -> list[nn.Module]:
    """A layer with stride 2 and an activation for each step from one number of channels to the next.

    layer: a convolution (kernel 3 or 4 halves the sides) or a transposed one (kernel 4 doubles them), padding 1.
    """
    made: list[nn.Module] = []
    for before, after in pairwise(channels):
        made += [layer(before, after, kernel_size=kernel, stride=2, padding=1), activation()]
    return made


def halved(sides: Sequence[int], times: int) -> tuple[int, ...]:
    """The sides after that many halvings. Raises ValueError where one does not divide."""
    whole = 2**times
    if any(side % whole for side in sides):
        raise ValueError(
            f"Sides of {' × '.join(map(str, sides))} cannot be halved {times} times: each must be divisible by {whole}; pad or "
            "crop, or give fewer channels."
        )
    return tuple(side // whole for side in sides)
