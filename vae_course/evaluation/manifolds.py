"""Whether pictures lie where data lie, and whether data lie where pictures lie: precision and recall in features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vae_course.refusals import refuse_unusable


class PrecisionRecall(NamedTuple):
    """precision: the share of made points within reach of real ones; recall: of real points within reach of made ones."""

    precision: float
    recall: float


def precision_recall(real: Tensor, made: Tensor, k: int = 3) -> PrecisionRecall:
    """Kynkäänniemi, Karras, Laine, Lehtinen & Aila (2019), arXiv:1904.06991, with k = 3 as there.

    The reach of a point is the distance to its k-th nearest other point of the same set; a set covers what lies within reach of
    one of its points. real, made: features, [n, d] and [m, d]. Two sets of the same kind do not reach 1: put a second half of the
    real points beside the made ones, and compare only with the same numbers of points. Points that occur more than k times
    have a reach of 0. Raises ValueError unless both have more than k points and the same d.
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or k < 1 or min(len(real), len(made)) <= k:
        raise ValueError(
            f"precision_recall was given {list(real.shape)} and {list(made.shape)} with k = {k}: it needs two sets [n, d] of "
            "more than k points each, and k >= 1."
        )
    refuse_unusable("precision_recall", real=real)
    refuse_unusable("precision_recall", made=made)
    return PrecisionRecall(covered(made, real, k), covered(real, made, k))


def covered(points: Tensor, by: Tensor, k: int) -> float:
    """The share of `points` within reach of one of `by`: [n, d] and [m, d]."""
    exact = "donot_use_mm_for_euclid_dist"  # a point must lie at 0 from itself
    among = torch.cdist(by, by, compute_mode=exact).fill_diagonal_(0)
    reach = among.kthvalue(k + 1, dim=1).values  # [m]; the nearest of all is the point itself
    return float((torch.cdist(points, by, compute_mode=exact) <= reach).any(1).float().mean())
