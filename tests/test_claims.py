"""Claims print their sentence or raise it with the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_course.notebook.claims import ClaimError, claim, readable

TRUE = [True, torch.tensor(True), torch.tensor([[True]]), np.bool_(True), torch.ones(3).gt(0).all()]
FALSE = [False, torch.tensor(False), np.bool_(False)]


@pytest.mark.parametrize("holds", TRUE)
def test_a_claim_that_holds_prints_its_sentence_and_no_figure(
    holds: bool | torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    claim("the bound is below log p(x)", holds, gap=0.123)
    assert capsys.readouterr().out == "✓ the bound is below log p(x)\n"


@pytest.mark.parametrize("holds", FALSE)
def test_a_claim_that_fails_raises_the_sentence_and_the_numbers(
    holds: bool | torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ClaimError) as caught:
        claim("the gap closes", holds, gap=0.123456789, k=50, each=torch.tensor([1.0, 2.5]))
    assert str(caught.value) == "does not hold: the gap closes (gap = 0.12346; k = 50; each = [1, 2.5])"
    assert isinstance(caught.value, AssertionError)
    assert capsys.readouterr().out == ""


def test_a_claim_that_fails_without_numbers_raises_the_sentence() -> None:
    with pytest.raises(ClaimError, match=r"^does not hold: the gap closes$"):
        claim("the gap closes", False)


@pytest.mark.parametrize(
    "holds", [torch.tensor([True, True]), torch.tensor(1.0), torch.tensor([]), torch.tensor([], dtype=torch.bool)]
)
def test_a_tensor_that_is_no_single_truth_value_is_refused(holds: torch.Tensor) -> None:
    with pytest.raises(TypeError, match=r"tensor \[\d?\] .*\.all\(\)"):
        claim("all are above", holds)


@pytest.mark.parametrize("holds", [1, 0.5, "yes", None, [True], np.array([True, False])])
def test_what_is_no_truth_value_is_refused(holds: object) -> None:
    with pytest.raises(TypeError, match="one truth value"):
        claim("all are above", holds)  # type: ignore[arg-type] # the mistake that is tested


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.33333"),
        (123456.0, "1.2346e+05"),
        (7, "7"),
        ("MNIST-5k", "MNIST-5k"),
        (torch.tensor(2.0, requires_grad=True), "2"),
        ((0.5, [1.25]), "[0.5, [1.25]]"),
        (torch.zeros(5, 5), "tensor [5, 5]"),
        (np.float64(0.25), "0.25"),
    ],
)
def test_numbers_are_shown_with_five_digits(value: object, text: str) -> None:
    assert readable(value) == text
