"""The engine behind every check: run an answer, compare it with the reference, and name the error.

An exercise is data: a reference answer, cases, and wrong answers, each with the sentence that a student who gave it should
read. The check calls the student's function on cases drawn anew. If the results (values, gradients, and the state of any
module passed in) are those of the reference, it prints one line. Otherwise it says what is wrong, in this order:

1. a known mistake: the same results, at least the same values;
2. something done to the right result: averaged, its sign flipped, in bits (`faults`);
3. a slip: the results of a right answer in which one call of torch was changed (`slips`);
4. two of these at once: one done after the other, or two whose effects add up;
5. a fault that any answer can have, and at last the number that is farthest off (`faults`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from vae_course.exercises.exercise import Answer, Exercise, ExerciseError, NotDoneError
from vae_course.exercises.faults import (
    done_afterwards,
    generic,
    ignored_argument,
    lost_gradient,
    two_at_once,
    wrong_kind,
)
from vae_course.exercises.run import (
    Answering,
    Attempt,
    Here,
    Outcome,
    all_close,
    attempt,
    draw_cases,
    refuse_signature,
    same,
    same_values,
)
from vae_course.exercises.slips import slipping, slips
from vae_course.output import say

Effect = tuple[str, list[Outcome]]  # a sentence, and what the error gives


def check(exercise: Exercise, answer: Any, seed: int | None = None) -> None:
    """Print one line if the answer is right; otherwise raise ExerciseError with a line that names the error.

    seed: of the cases; None draws one.
    """
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    refuse_signature(exercise, prepared := exercise.prepare(answer))
    if failure := judge(exercise, prepared, seed):
        raise failure
    say(f"✓ {exercise.name}")


def judge(exercise: Exercise, answer: Answer | Answering, seed: int) -> ExerciseError | None:
    """What is wrong with an answer, in this process or in another, or None."""
    answering = answer if isinstance(answer, Answering) else Here(answer)
    given, right = attempt(exercise, answering, seed), reference(exercise, seed)
    if given.failure is None and same(given.outcomes, right, exercise.tolerance):
        return None
    if isinstance(given.failure, NotDoneError):
        return given.failure
    if message := known_mistake(exercise, given, seed):
        return ExerciseError(message)
    if given.failure is not None:
        return given.failure
    if not same(given.outcomes, attempt(exercise, answering, seed).outcomes, exercise.tolerance):
        return ExerciseError("two calls with the same arguments differ: draw nothing inside, use the arguments")
    return ExerciseError(
        named(exercise, answering, given.outcomes, right, seed) or generic(exercise, given.outcomes, right, seed)
    )


def named(
    exercise: Exercise, answering: Answering, given: list[Outcome], right: list[Outcome], seed: int
) -> str | None:
    """The sentence of one error, else those of two at once."""
    tolerance, cases = exercise.tolerance, draw_cases(exercise, seed)
    found: list[Effect] = []
    if not (only_gradient := same_values(given, right, tolerance)):
        if message := known_by_value(exercise, given, seed) or done_afterwards(given, right, cases, tolerance):
            return message
        found += [(message, made.outcomes) for message, made in mistakes(exercise, seed) if made.failure is None]
    elif message := lost_gradient(exercise, given, right, cases):
        return message
    made_slips: list[Effect] = []
    for message, made in slipped(exercise, seed):
        if same(given, made, tolerance) and not same(made, right, tolerance):
            return message
        made_slips.append((message, made))
    if only_gradient:
        return None
    for effects in (found, made_slips):
        for message, made in effects:
            if not same_values(made, right, tolerance) and (then := done_afterwards(given, made, cases, tolerance)):
                return f"two errors at once: {message}; and {then}"
        if message := wrong_kind(exercise, given, right, cases) or ignored_argument(exercise, answering, seed):
            return message
        if two := two_at_once(given, right, found, effects, tolerance):
            return f"two errors at once: {two[0]}; and {two[1]}"
    return None


@contextmanager
def _silently() -> Iterator[None]:
    """Without the warnings of wrong answers, which are not the student's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=64)
def reference(exercise: Exercise, seed: int) -> list[Outcome]:
    """The right outcomes."""
    made = attempt(exercise, Here(exercise.prepare(exercise.reference)), seed)
    if made.failure is not None:
        raise AssertionError(f"the reference of {exercise.name} fails: {made.failure}")
    return made.outcomes


@lru_cache(maxsize=64)
def mistakes(exercise: Exercise, seed: int) -> list[tuple[str, Attempt]]:
    """What every known wrong answer gives, with its sentence; run once for each seed."""
    with _silently():
        return [
            (mistake.message, attempt(exercise, Here(exercise.prepare(wrong)), seed))
            for mistake in exercise.mistakes
            for wrong in mistake.answers
        ]


def known_mistake(exercise: Exercise, given: Attempt, seed: int) -> str | None:
    """The sentence of a known wrong answer that gives the same, up to the case on which both fail."""
    for message, made in mistakes(exercise, seed):
        if (
            same(given.outcomes, made.outcomes, exercise.tolerance)
            and str(given.failure) == str(made.failure)
            and all_close(given.at or (), made.at or (), exercise.tolerance)
        ):
            return message
    return None


def known_by_value(exercise: Exercise, given: list[Outcome], seed: int) -> str | None:
    """The sentence of a known wrong answer with the same values and other gradients."""
    if same_values(given, reference(exercise, seed), exercise.tolerance):
        return None
    for message, made in mistakes(exercise, seed):
        if made.failure is None and same_values(given, made.outcomes, exercise.tolerance):
            return message
    return None


def slipped(exercise: Exercise, seed: int) -> Iterator[Effect]:
    """What the slips of a right answer give, each with its sentence; those left out on which it fails."""
    written = exercise.prepare(exercise.written or exercise.reference)
    for candidate in slips(exercise, written, draw_cases(exercise, seed)[0]):
        with _silently():
            made = attempt(exercise, Here(slipping(written, candidate)), seed)
        if made.failure is None:
            yield candidate.message, made.outcomes
