"""Cards: each is raised by its sign, stays down on the healthy side of it, and says something in every field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.messages import message
from vae_course.data.looking import look, overlap
from vae_course.evaluation.cards import CARDS, Measured, paired, recognise, sharpness


def names(**measured: Any) -> list[str]:
    return [raised.card.name for raised in recognise(Measured(**measured))]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": i, "loss": loss} for i, loss in enumerate(losses, start=1)]


SIGNS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[], dict[str, Any]]]] = {  # ill, healthy
    "diverged": (lambda: {"rows": rows(5.0, float("nan"))}, lambda: {"rows": rows(5.0, 3.0, 2.0, 2.1)}),
    "collapsed": (lambda: {"kl": torch.full((20,), 1e-3)}, lambda: {"kl": torch.tensor([0.0, 0.0, 2.0])}),
    "blurred": (lambda: {"sharpness": 0.3}, lambda: {"sharpness": 0.8}),
    "dead codes": (lambda: {"usage": torch.tensor([5, 0, 3, 9])}, lambda: {"usage": torch.tensor([5, 1, 3, 9])}),
    "bound above log p": (
        lambda: {"bound": drawn(100) + 0.5, "log_p": drawn(100) + 0.1 * drawn(100, seed=1)},
        lambda: {"bound": drawn(100) - 0.5, "log_p": drawn(100) + 0.1 * drawn(100, seed=1)},
    ),
    "held out behind": (
        lambda: {"train": drawn(300), "held_out": drawn(300, seed=1) - 1},
        lambda: {"train": drawn(300), "held_out": drawn(300, seed=1) - 0.2},
    ),
    "yardstick not beaten": (
        lambda: {"held_out": drawn(100), "yardstick": drawn(100) + 0.1 * drawn(100, seed=1)},
        lambda: {"held_out": drawn(100) + 0.2, "yardstick": drawn(100) + 0.1 * drawn(100, seed=1)},
    ),
    "leak": (
        lambda: {"parts": overlap(drawn(200, 6), drawn(200, 6)[:20] + 1e-4)},
        lambda: {"parts": overlap(drawn(200, 6), drawn(50, 6, seed=1))},
    ),
    "repeated examples": (
        lambda: {"data": look(torch.cat([drawn(50, 3), drawn(50, 3)[:2]]))},
        lambda: {"data": look(drawn(50, 3))},
    ),
    "constant columns": (
        lambda: {"data": look(torch.cat([drawn(50, 2), torch.ones(50, 1)], 1))},
        lambda: {"data": look(drawn(50, 3))},
    ),
    "filled gaps": (
        lambda: {"data": look(torch.where(drawn(200, 3, seed=1) > 1, 0.0, drawn(200, 3)))},
        lambda: {"data": look((drawn(200, 3) > 0).float() + 1e-3 * torch.arange(200)[:, None] % 0.0071)},
    ),
    "gaps": (
        lambda: {"data": look(torch.where(drawn(50, 3, seed=1) > 1, torch.nan, drawn(50, 3)))},
        lambda: {"data": look(torch.where(drawn(50, 3, seed=1) > 1, torch.nan, drawn(50, 3))), "masked": True},
    ),
    "range": (lambda: {"data": look(1e5 * drawn(50, 3))}, lambda: {"data": look(drawn(50, 3))}),
    "grid": (
        lambda: {"data": look((drawn(300, 1, 4, 4) * 4).round() / 16), "density": True},
        lambda: {"data": look((drawn(300, 1, 4, 4) * 4).round() / 16)},
    ),
}


def test_every_card_has_a_case_and_words_in_every_field() -> None:
    assert list(SIGNS) == list(CARDS)
    for name, card in CARDS.items():
        assert card.name == name
        assert card.sign
        for field in (card.may_be, card.measure, card.do):
            assert field
            assert all(field)
        assert len(card.may_be) >= 2


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_raises_its_card_and_its_absence_does_not(name: str) -> None:
    ill, healthy = SIGNS[name]
    assert name in names(**ill())
    assert name not in names(**healthy())


def test_what_was_not_measured_raises_nothing() -> None:
    assert recognise(Measured()) == []
    assert names(bound=drawn(10)) == names(train=drawn(10)) == names(held_out=drawn(10)) == []


def test_evidence_holds_the_numbers() -> None:
    (raised,) = recognise(Measured(usage=torch.tensor([0, 0, 1, 2])))
    assert raised.evidence == "2 of 4 codes were never chosen"
    (raised,) = recognise(Measured(rows=rows(9.0, 4.0, 8.0)))
    assert "began at 9, was 4 at its lowest, and ended at 8" in raised.evidence
    (raised,) = recognise(Measured(std_over_error=2.5))
    assert raised.evidence.startswith("σ is 2.5 times")


@pytest.mark.parametrize("losses", [(5.0, 4.0, 4.4), (5.0, 5.0, 5.0), (3.0, 2.9), (5.0,), ()])
def test_a_loss_that_wavers_has_not_diverged(losses: tuple[float, ...]) -> None:
    assert names(rows=rows(*losses)) == []


def test_a_loss_under_another_name_is_found() -> None:
    assert names(rows=[{"elbo": float("inf")}], loss="elbo") == ["diverged"]


def test_a_bound_equal_to_log_p_is_possible() -> None:
    exact = drawn(50).double()
    assert names(bound=exact + 1e-12, log_p=exact) == []


def test_pictures_have_margins() -> None:
    pictures = torch.cat([torch.zeros(50, 1, 4, 3), drawn(50, 1, 4, 1).sigmoid()], 3)
    assert names(data=look(pictures)) == []


def test_several_cards_come_in_the_order_of_the_table() -> None:
    found = names(sharpness=0.1, kl=torch.zeros(3), rows=rows(float("nan")), usage=torch.zeros(4))
    assert found == ["diverged", "collapsed", "blurred", "dead codes"]


def test_unusable_numbers_are_refused() -> None:
    assert "Measured was given" in message(lambda: Measured(bound=drawn(3), log_p=drawn(4)))
    assert "NaN" in message(lambda: Measured(kl=torch.tensor([float("nan")])))


def test_a_paired_difference_has_the_error_of_the_difference() -> None:
    a, b = drawn(400).double(), drawn(400).double() - 1 + 0.1 * drawn(400, seed=2)
    mean, error = paired(a, b)
    assert mean == pytest.approx(1, abs=0.05)
    assert error == pytest.approx(0.1 / 20, rel=0.2)


def test_sharpness_is_one_for_the_data_and_falls_with_smoothing() -> None:
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert sharpness(x, x) == 1
    assert sharpness(0.5 * x, x) == pytest.approx(0.25)
    assert sharpness(torch.nn.functional.avg_pool2d(x, 3, 1, 1), x) < 0.2
    assert "without a step" in message(lambda: sharpness(x, torch.ones(2, 1, 4, 4)))
