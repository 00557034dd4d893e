"""Angles of subspaces and of axes, and layouts in one piece or in several."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import subspace_angles
from scipy.ndimage import label
from torch import Tensor

from vae_course.processor import to_float64
from vae_course.refusals import refuse_unusable


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between the subspaces that the columns of a and b span, in degrees, largest first: [min(k, l)].

    Björck & Golub, 1973. a: [dimension, k], b: [dimension, l]. They do not depend on the bases chosen.
    Raises ValueError for other shapes or numbers that are not finite.
    """
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(
            f"principal_angles was given {list(a.shape)} and {list(b.shape)}: it needs [dimension, k] and [dimension, l]."
        )
    refuse_unusable("principal_angles", a=a, b=b)
    angles = subspace_angles(to_float64(a).numpy(), to_float64(b).numpy())
    return torch.from_numpy(np.rad2deg(angles))


def axial_error(cosine: Tensor, sine: Tensor, degrees: Tensor) -> Tensor:
    """How far the axis that cos 2α and sin 2α stand for is from one of this angle, in degrees, 0 to 90: [n].

    An axis has no direction: its angle counts modulo 180°. cosine, sine: [n], of any common length, as a regression
    gives them. Raises ValueError for unequal shapes or numbers that are not finite.
    """
    if not cosine.shape == sine.shape == degrees.shape:
        raise ValueError(
            f"axial_error was given {list(cosine.shape)}, {list(sine.shape)} and {list(degrees.shape)}: it needs three alike."
        )
    refuse_unusable("axial_error", cosine=cosine, sine=sine, degrees=degrees)
    apart = (torch.rad2deg(torch.atan2(sine, cosine)) / 2 - degrees) % 180
    return torch.minimum(apart, 180 - apart)


def connected_share(density: ArrayLike, threshold: float = 0.5) -> float:
    """The share of the solid elements that the largest piece holds: 1 for a layout in one piece, 0 for an empty one.

    density: [ny, nx]; an element is solid above `threshold`; pieces hang together by sides, not by corners.
    Raises ValueError for another shape, or densities that are not finite.
    """
    array = np.asarray(density, dtype=float)
    if array.ndim != 2:
        raise ValueError(f"connected_share needs one layout [ny, nx]; it was given {list(array.shape)}.")
    refuse_unusable("connected_share", density=torch.from_numpy(array))
    pieces = np.bincount(label(array > threshold)[0].ravel())[1:]
    return float(pieces.max() / pieces.sum()) if len(pieces) else 0.0
