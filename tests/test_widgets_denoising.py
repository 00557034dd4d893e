"""The widgets of the lectures: their numbers, that a moved control changes what is shown, and bad input."""

from __future__ import annotations

import re
from math import pi, sqrt

import pytest
import torch

from vae_course.evaluation.pictures import peak_signal_to_noise
from vae_course.notebook.widgets.denoising import denoising_explorer, draw_denoised
from vae_course.notebook.widgets.questions import Question, SelfTest
from vae_course.notebook.widgets.self_test import QUESTIONS, self_test

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(4, 1, 8, 8, generator=GENERATOR)
NOISE = torch.randn(4, 1, 8, 8, generator=GENERATOR)
HALVES = {2: lambda y: 0.5 * y, 8: lambda y: y}


def test_the_title_holds_the_ratios_before_and_after() -> None:
    title = draw_denoised(HALVES, X, NOISE, 0.2, 2).get_suptitle()
    spoilt = X + 0.2 * NOISE
    before = float(peak_signal_to_noise(spoilt.clamp(0, 1), X).mean())
    after = float(peak_signal_to_noise((0.5 * spoilt).clamp(0, 1), X).mean())
    assert title == f"σ = 0.20: {before:.1f} dB; through 2 numbers {after:.1f} dB"


@pytest.mark.parametrize(("control", "value"), [("std", 0.9), ("size", 2)])
def test_every_control_of_the_denoising_explorer_changes_the_picture(control: str, value: float) -> None:
    explorer = denoising_explorer(HALVES, X, NOISE)
    before = explorer.picture.value
    explorer.controls[control].value = value
    assert explorer.picture.value != before


def test_without_noise_the_identity_returns_the_pictures() -> None:
    title = draw_denoised(HALVES, X, NOISE, 0.0, 8).get_suptitle()
    assert "inf dB; through 8 numbers inf dB" in title


@pytest.mark.parametrize(("denoisers", "noise"), [({}, NOISE), (HALVES, NOISE[:2])])
def test_no_denoiser_and_other_noise_are_refused(denoisers: dict, noise: torch.Tensor) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="give one denoiser at least, and noise of the shape of the pictures"):
        denoising_explorer(denoisers, X, noise)


def test_a_right_choice_counts_and_a_wrong_one_says_what_to_read() -> None:
    test = self_test()
    assert test.score == 0
    assert all(reply.value == "" for reply in test.replies)
    question = test.questions[0]
    wrong = next(choice for choice in question.replies if choice != question.right)
    test.choices[0].value = wrong
    assert "Not so." in test.replies[0].value
    assert "Read again" in test.replies[0].value
    assert "0 of 8 right" in test.total.value
    test.choices[0].value = question.right
    assert "Right." in test.replies[0].value
    assert "1 of 8 right" in test.total.value
    assert test.score == 1


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.text[:40])
def test_every_wrong_choice_points_to_something_to_read_again(question: Question) -> None:
    for choice, reply in question.replies.items():
        assert ("Read again: " in reply) == (choice != question.right)


def test_the_right_choices_are_not_all_in_one_place() -> None:
    places = [list(q.replies).index(q.right) for q in QUESTIONS]
    assert {0, 1, 2} == set(places)


def test_what_the_right_choices_say_is_true() -> None:
    p = torch.distributions.Normal(0.0, 0.1)
    assert float(p.log_prob(torch.tensor(0.0)).exp()) == pytest.approx(3.99, abs=0.005) == 1 / (0.1 * sqrt(2 * pi))
    assert str(list((torch.zeros(5, 1) + torch.zeros(3)).shape)) == right("shape of torch.zeros")
    parameter = torch.ones((), requires_grad=True)
    (2 * parameter).backward()
    (3 * parameter).backward()
    assert parameter.grad == 2 + 3
    assert right("loss_1.backward()") == "the sum of both gradients"
    values = torch.ones(2, requires_grad=True) * 1
    detached = values.detach()
    detached[0] = 7
    assert values[0] == 7
    assert not detached.requires_grad


def right(start: str) -> str:
    return next(q.right for q in QUESTIONS if start in q.text)


def test_where_no_kernel_runs_the_choices_unfold() -> None:
    test = self_test()
    page = test._repr_mimebundle_()["text/html"]
    assert page.count("<details>") == sum(len(q.replies) for q in QUESTIONS)
    assert len(re.findall("<b>Right.</b>", page)) == len(QUESTIONS)
    assert "p(x) ≤ 1" in page


def test_markup_in_a_question_is_shown_as_text() -> None:
    page = SelfTest([Question("a < b?", {"<b>": "no", "&": "yes"}, "&")]).static()
    assert "a &lt; b?" in page
    assert "<summary>&lt;b&gt;</summary>" in page


def test_questions_without_a_choice_and_an_empty_test_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one of at least two choices"):
        Question("?", {"a": "", "b": ""}, "c")
    with pytest.raises(ValueError, match="must be one of at least two choices"):
        Question("?", {"a": ""}, "a")
    with pytest.raises(ValueError, match="give at least one"):
        SelfTest([])
