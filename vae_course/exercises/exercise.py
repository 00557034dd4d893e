"""What an exercise is: a reference answer, cases, and wrong answers with what a student who gave them should read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

Answer = Callable[..., Any]
Arguments = tuple[Any, ...]
STUB_MESSAGE = "your answer goes here"  # what the stub of a sheet raises NotImplementedError with


class ExerciseError(AssertionError):
    """An answer is not right; the message is one line that says why."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback through this file, which would tell a student nothing."""
        return [f"{type(self).__name__}: {self}"]


class NotDoneError(ExerciseError):
    """An exercise has not been attempted yet."""


class Mistake(NamedTuple):
    """The sentence that names an error, and the wrong answers, as functions, that a student who made it gives."""

    message: str
    answers: tuple[Answer, ...]


def wrong(*said: str | Answer) -> tuple[Mistake, ...]:
    """Mistakes, written as a list: a sentence, then the wrong answers that get it, then the next sentence.

    Raises ValueError for a list that does not begin with a sentence, and for a sentence without an answer or said twice.
    """
    groups: list[tuple[str, list[Answer]]] = []
    for item in said:
        if isinstance(item, str):
            groups.append((item, []))
        elif not groups:
            raise ValueError("A list of wrong answers begins with the sentence for the first.")
        else:
            groups[-1][1].append(item)
    messages = [message for message, _ in groups]
    for message, answers in groups:
        if not answers or messages.count(message) > 1:
            raise ValueError(f"{message!r} needs wrong answers behind it, and to be said once.")
    return tuple(Mistake(message, tuple(answers)) for message, answers in groups)


def as_it_is(answer: Any) -> Answer:
    """What a student hands in is the answer itself: a function."""
    return answer  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise.

    cases: draws a list of argument tuples from a generator, the same list for the same state of the generator.
    Tensors in them are float64 unless the exercise is about something else; one that requires a gradient is
    compared by its gradient too. A module among the arguments is compared by its parameters after the call.
    results: names of the parts of the result, where there are several. tolerance: absolute, beside a relative one of 1e-5.
    written: a right answer as a student would write it, from which slips are made; the reference, unless that takes
    another route. prepare: makes a function of what is handed in (`modules.behaviour` does so of a class).
    """

    name: str
    reference: Answer
    cases: Callable[[torch.Generator], list[Arguments]]
    mistakes: Sequence[Mistake]
    results: Sequence[str] = ("result",)
    tolerance: float = 1e-7
    written: Answer | None = None
    prepare: Callable[[Any], Answer] = as_it_is
