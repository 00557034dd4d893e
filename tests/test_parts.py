"""Answers in named steps, and modules made comparable."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from vae_course.exercises.engine import check
from vae_course.exercises.exercise import Exercise, ExerciseError, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, SumOf, normal

MEAN = Formula("x", total=lambda x: x.sum(-1), mean=lambda total, x: total / x.shape[-1])
LINE = SumOf("a x b", slope=lambda a, x: a * x, level=lambda b: b)


def test_a_formula_is_its_last_step_and_names_its_arguments() -> None:
    x = torch.tensor([[1.0, -2.0, 4.0]])
    assert MEAN(x).tolist() == [1.0]
    assert MEAN.but(mean=lambda total: total)(x).tolist() == [3.0]
    assert MEAN.given(x=torch.abs)(x).item() == pytest.approx(7 / 3)
    assert MEAN.then(torch.neg)(x).tolist() == [-1.0]
    assert list(inspect.signature(LINE).parameters) == ["a", "x", "b"]


def test_a_sum_of_terms_can_lose_double_and_change_each() -> None:
    assert LINE(2.0, 3.0, 1.0) == 7
    assert LINE.times(level=0)(2.0, 3.0, 1.0) == 6
    assert LINE.times(slope=-1)(2.0, 3.0, 1.0) == -5
    assert LINE.but(level=lambda b: 10 * b)(2.0, 3.0, 1.0) == 16
    assert LINE.given(x=lambda x: -x)(2.0, 3.0, 1.0) == -5
    assert LINE.within("level", b=lambda b: b / 2)(2.0, 3.0, 1.0) == 6.5
    assert LINE.but(off=lambda: 100)(2.0, 3.0, 1.0) == 107


def test_a_list_of_wrong_answers_is_read_in_groups() -> None:
    first, second = wrong("one", abs, min, "two", max)
    assert (first.message, first.answers) == ("one", (abs, min))
    assert (second.message, second.answers) == ("two", (max,))
    for bad in ((abs, "one"), ("one", "two", abs), ("one", abs, "one", min)):
        with pytest.raises(ValueError, match=r"begins with the sentence|needs wrong answers behind it"):
            wrong(*bad)


class Reference(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(inputs, 8), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.outer(torch.tanh(self.inner(x)))
        return made


class WithoutActivation(Reference):
    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.outer(self.inner(x))
        return made


class InOneList(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made


class Detached(Reference):
    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.outer(torch.tanh(self.inner(x)).detach())
        return made


class WithoutBias(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 8, bias=False), nn.Tanh(), nn.Linear(8, outputs))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return made


class NotSetUp(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layer(x)
        return made


class NotDone(Reference):
    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError("your answer goes here")


NETWORK = Exercise(
    "Network",
    Reference,
    lambda g: [(3, 2, normal(g, 5, 3)), (2, 1, normal(g, 1, 2))],
    wrong("the activation is missing", WithoutActivation),
    results=RESULTS,
    prepare=behaviour(2),
)


@pytest.mark.parametrize("right", [Reference, InOneList])
def test_a_module_is_judged_by_what_it_does(right: type[nn.Module]) -> None:
    for seed in range(3):
        check(NETWORK, right, seed)


@pytest.mark.parametrize(
    ("handed_in", "said"),
    [
        (WithoutActivation, "the activation is missing"),
        (WithoutBias, "the number of parameters is 42 where 50 is right"),
        (Detached, "the number of parameters that a gradient reaches is 18 where 50 is right"),
        (NotSetUp, r"call super\(\).__init__\(\) first"),
        (NotDone, "not done yet"),
        (abs, "a class is wanted here"),
        (int, "your class is no module"),
    ],
)
def test_what_is_wrong_with_a_module_is_named(handed_in: object, said: str) -> None:
    with pytest.raises(ExerciseError, match=said):
        check(NETWORK, handed_in, seed=0)


def test_a_step_may_have_parameters_with_defaults() -> None:
    doubled = MEAN.but(mean=lambda total, x, factor=2: factor * total / x.shape[-1])
    assert doubled(torch.tensor([1.0, 3.0])) == 4
