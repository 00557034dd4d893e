"""Precision and recall in features, against sets whose answer is known and a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vae_course.evaluation.manifolds import precision_recall


def by_loops(points: Tensor, by: Tensor, k: int) -> float:
    """The share of points within the reach of some other, one distance at a time."""
    inside = 0
    for point in points:
        for i, centre in enumerate(by):
            others = sorted(float((centre - other).norm()) for j, other in enumerate(by) if j != i)
            if float((point - centre).norm()) <= others[k - 1]:
                inside += 1
                break
    return inside / len(points)


def test_it_is_what_a_plain_loop_finds() -> None:
    torch.manual_seed(0)
    real, made = torch.randn(30, 3).double(), 1.3 * torch.randn(25, 3).double() + 0.4
    for k in (1, 3):
        found = precision_recall(real, made, k)
        assert found.precision == pytest.approx(by_loops(made, real, k))
        assert found.recall == pytest.approx(by_loops(real, made, k))
        assert precision_recall(made, real, k) == found[::-1]  # exchanged, they exchange


def test_missing_modes_cost_recall_and_points_elsewhere_precision() -> None:
    torch.manual_seed(0)
    far = torch.tensor([100.0, 0.0])
    real = torch.cat([torch.randn(200, 2), far + torch.randn(200, 2)])
    one = precision_recall(real, torch.randn(400, 2))
    assert one.precision > 0.9
    assert one.recall < 0.55
    elsewhere = precision_recall(real, torch.cat([real[::2] + 0.01, torch.randn(200, 2) - far]))
    assert elsewhere.precision == pytest.approx(0.5)
    assert elsewhere.recall > 0.9


def test_copies_reach_one_and_points_repeated_often_reach_nothing() -> None:
    torch.manual_seed(0)
    real = torch.randn(50, 2)
    assert precision_recall(real, real.clone()) == (1.0, 1.0)
    repeated = torch.randn(10, 2).repeat(5, 1)
    assert precision_recall(real, repeated).recall == 0.0  # each has four others at distance 0


@pytest.mark.parametrize(
    ("real", "made", "k"),
    [(torch.zeros(5, 2), torch.zeros(5, 3), 3), (torch.zeros(3, 2), torch.zeros(5, 2), 3), (torch.zeros(5, 2), torch.zeros(5, 2), 0)],
)  # fmt: skip
def test_other_shapes_and_too_few_points_are_refused(real: Tensor, made: Tensor, k: int) -> None:
    with pytest.raises(ValueError, match="more than k points"):
        precision_recall(real, made, k)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="precision_recall"):
        precision_recall(torch.full((5, 2), torch.nan), torch.zeros(5, 2))
