"""Angles of subspaces, and layouts in one piece or in several."""

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
