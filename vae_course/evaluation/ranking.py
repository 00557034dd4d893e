"""How well a score ranks what was sought above the rest, and how well clusters agree with classes."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import brentq, linear_sum_assignment
from scipy.stats import norm, rankdata
from torch import Tensor


class AreaUnderRoc(NamedTuple):
    """The area under the ROC curve, and the ends of its interval."""

    value: float
    low: float
    high: float


def area_under_roc(scores: ArrayLike | Tensor, sought: ArrayLike | Tensor, confidence: float = 0.95) -> AreaUnderRoc:
    """P(the score of a random sought example > that of a random other) + ½ P(equal), counted over all pairs.

    The count is that of Mann and Whitney; Hanley & McNeil (1982), *The meaning and use of the area under a receiver
    operating characteristic (ROC) curve*. The interval holds the areas A that lie within z standard errors of the count,
    the standard error being theirs for an area A; so it stays in [0, 1] and has a width also where the ranking is perfect
    (Newcombe, 2006, *Confidence intervals for an effect size measure based on the Mann–Whitney statistic, part 2*, method 5).
    It speaks of other examples of the same kind, not of another training run.

    scores: [n], higher where the sought is suspected; sought: [n], true or 1 for what is sought.
    Raises ValueError for other shapes, NaN, labels other than 0 and 1, no example on one side, a confidence outside [0.01, 0.9999].
    """
    score, label = (np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v) for v in (scores, sought))
    if score.ndim != 1 or score.shape != label.shape:
        raise ValueError(f"area_under_roc needs two lists of one length; they are {score.shape} and {label.shape}.")
    if np.isnan(score).any() or not np.isin(label, (0, 1)).all():
        raise ValueError("area_under_roc needs scores without NaN, and labels that are true or false (1 or 0).")
    label = label.astype(bool)
    m, n = int(label.sum()), int((~label).sum())
    if min(m, n) < 1 or not 0.01 <= confidence <= 0.9999:
        raise ValueError(
            f"area_under_roc was given {m} sought and {n} other examples and the confidence {confidence}: it needs one "
            "example of each at least, and a confidence from 0.01 to 0.9999."
        )
    above = rankdata(score)[label].sum() - m * (m + 1) / 2  # pairs won, ties counted one half
    area = float(above / (m * n))
    z = float(norm.ppf((1 + confidence) / 2))

    def excess(true: float) -> float:
        return abs(true - area) - z * _standard_error(true, m, n)

    inside = min(max(area, 1e-9), 1 - 1e-9)  # at 0 and 1 the standard error is 0, just inside it is not
    low = 0.0 if area == 0 else float(brentq(excess, 0, inside))
    high = 1.0 if area == 1 else float(brentq(excess, inside, 1))
    return AreaUnderRoc(area, low, high)


def _standard_error(area: float, m: int, n: int) -> float:
    """Hanley & McNeil's, for exponential scores, with (m + n)/2 in place of either number but in the product m n."""
    average = (m + n) / 2
    spread = 2 * average - 1 - (3 * average - 3) / ((2 - area) * (1 + area))
    return sqrt(area * (1 - area) * spread / (m * n))


def cluster_accuracy(clusters: Tensor, labels: Tensor) -> float:
    """The share of examples in the right cluster, under the best one-to-one match of clusters with classes.

    The match solves the assignment problem of Kuhn (1955). clusters, labels: int64 [n], any numbers from 0; where
    there are more clusters than classes, those without a class count as wrong.
    Raises ValueError for other shapes or number types, no examples or negative numbers.
    """
    if clusters.shape != labels.shape or clusters.ndim != 1 or len(clusters) == 0:
        raise ValueError(
            f"cluster_accuracy was given {list(clusters.shape)} clusters and {list(labels.shape)} classes: it needs two "
            "lists of one length, with one example at least."
        )
    if clusters.dtype != torch.int64 or labels.dtype != torch.int64:
        raise ValueError(
            f"cluster_accuracy was given numbers of type {clusters.dtype} and {labels.dtype}: convert both to torch.int64."
        )
    if min(int(clusters.min()), int(labels.min())) < 0:
        raise ValueError("cluster_accuracy was given negative numbers of clusters or classes: count from 0.")
    together = torch.zeros(int(clusters.max()) + 1, int(labels.max()) + 1, dtype=torch.int64, device="cpu")
    together.index_put_(
        (clusters.cpu(), labels.cpu()), torch.ones((), dtype=torch.int64, device="cpu"), accumulate=True
    )
    rows, columns = linear_sum_assignment(together.numpy(), maximize=True)
    return float(together[rows, columns].sum() / len(labels))
