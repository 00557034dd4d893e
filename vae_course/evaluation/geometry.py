"""Angles of subspaces, and layouts in one piece or in several."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import subspace_angles
from scipy.ndimage import label
from torch import Tensor


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between the subspaces that the columns of a and b span, in degrees, largest first: [min(k, l)].

    Björck & Golub, 1973. a: [dimension, k], b: [dimension, l]. They do not depend on the bases chosen.
    """
    angles = subspace_angles(a.detach().cpu().double().numpy(), b.detach().cpu().double().numpy())
    return torch.from_numpy(np.rad2deg(angles))


def connected_share(density: ArrayLike, threshold: float = 0.5) -> float:
    """The share of the solid elements that the largest piece holds: 1 for a layout in one piece, 0 for an empty one.

    density: [ny, nx]; an element is solid above `threshold`; pieces hang together by sides, not by corners.
    Raises ValueError for another shape.
    """
    array = np.asarray(density)
    if array.ndim != 2:
        raise ValueError(f"connected_share needs one layout [ny, nx]; it was given {list(array.shape)}.")
    pieces = np.bincount(label(array > threshold)[0].ravel())[1:]
    return float(pieces.max() / pieces.sum()) if len(pieces) else 0.0
