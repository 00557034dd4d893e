"""Running an answer: what it returned on each case, or what went wrong, and when two runs are the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from vae_course.exercises.errors import explain
from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError
from vae_course.exercises.observe import Alien, Observation, observe
from vae_course.exercises.words import a_or_an, describe_all, is_


@dataclass
class Outcome:
    """What one call of an answer gave."""

    values: list[Tensor]
    gradients: list[Tensor | None] = field(default_factory=list)  # one per argument that requires a gradient
    states: list[Tensor] = field(default_factory=list)  # parameters of modules after the call


class Attempt(NamedTuple):
    """The outcomes up to the first case that fails, and that failure.

    at: where the failure is an exception inside the answer, whose text many errors share, the tensors in the call of torch
    that raised it, or those that the last one before it gave: what tells one such error from another.
    """

    outcomes: list[Outcome]
    failure: ExerciseError | None = None
    at: tuple[Tensor, ...] | None = None


@runtime_checkable
class Answering(Protocol):
    """Something that calls an answer where it lives, in this process or in another, and tells what came of it."""

    def observations(self, exercise: Exercise, seed: int) -> Iterable[Observation]:
        """Of the cases of a seed, in order; possibly ending with the first that raised an exception."""

    def swapped(self, exercise: Exercise, seed: int, position: int) -> Iterable[tuple[Observation, Observation]]:
        """Of the pairs of `swapped_cases`."""


class Here:
    """An answer in this process."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def observations(self, exercise: Exercise, seed: int) -> Iterator[Observation]:
        """Of the cases of a seed, in order."""
        for case, original in zip(draw_cases(exercise, seed), draw_cases(exercise, seed), strict=True):
            yield observe(self.answer, case, original)

    def swapped(self, exercise: Exercise, seed: int, position: int) -> Iterator[tuple[Observation, Observation]]:
        """Of the pairs of `swapped_cases`."""
        for case, changed in swapped_cases(exercise, seed, position):
            yield observe(self.answer, case, case), observe(self.answer, changed, changed)


def names_of(exercise: Exercise) -> list[str]:
    """The names of the arguments."""
    return list(inspect.signature(exercise.prepare(exercise.reference)).parameters)


def draw_cases(exercise: Exercise, seed: int) -> list[Arguments]:
    """The cases of a seed."""
    return exercise.cases(torch.Generator().manual_seed(seed))


def attempt(exercise: Exercise, answering: Answering, seed: int) -> Attempt:
    """Call the answer on each case of a seed, up to the first that fails."""
    found: list[Outcome] = []
    for observation, case in zip(answering.observations(exercise, seed), draw_cases(exercise, seed), strict=False):
        try:
            found.append(outcome_of(exercise, observation, case))
        except ExerciseError as error:
            unexplained = observation.raised is not None and not observation.raised.said
            return Attempt(found, error, observation.raised.at if observation.raised and unexplained else None)
    return Attempt(found)


def refuse_signature(exercise: Exercise, answer: Any) -> None:
    """Raise ExerciseError unless the answer is a function of as many arguments as the reference."""
    if not callable(answer):
        raise ExerciseError(
            f"{exercise.name} is {a_or_an(type(answer).__name__)}, not a function: check where the name is defined"
        )
    wanted = names_of(exercise)
    try:
        inspect.signature(answer).bind(*wanted)
    except (TypeError, ValueError):
        raise ExerciseError(
            f"{exercise.name} must take the arguments ({', '.join(wanted)}); leave its first line as it was"
        ) from None


def outcome_of(exercise: Exercise, given: Observation, case: Arguments) -> Outcome:
    """What a call gave. Raises ExerciseError for a result that cannot be compared, and for an exception."""
    names = names_of(exercise)
    if given.raised is not None:
        raise explain(given.raised, describe_all(names, case))
    values = checked(exercise, given)
    for name, before, after in zip(names, case, given.after, strict=True):
        if isinstance(before, Tensor) and (after is None or not torch.equal(before, after)):
            raise ExerciseError(f"your function changed its argument {name} in place; work on a new tensor")
    return Outcome(values, given.gradients, given.states)


def checked(exercise: Exercise, given: Observation) -> list[Tensor]:
    """The parts of a result, as tensors. Raises ExerciseError where it is something else."""
    if given.container == "NoneType":
        told = "it printed something: return it instead" if given.printed else "is there a return at its end?"
        raise ExerciseError(f"your function returned None; {told}")
    several = len(exercise.results) > 1
    if several and given.container not in ("tuple", "list"):
        raise ExerciseError(
            f"your function returned {a_or_an(given.container)}; return a tuple: {', '.join(exercise.results)}"
        )
    values = [Alien("list", "builtins")] if given.container == "list" and not several else given.values
    for name, value in zip(exercise.results, values, strict=False):
        if isinstance(value, Alien) and value.module == "torch" and value.type in ("complex", "sparse"):
            wanted = "real numbers" if value.type == "complex" else "a dense tensor, by .to_dense()"
            raise ExerciseError(f"the {name} {is_(name)} {value.type}; return {wanted}")
        if isinstance(value, Alien):
            stay = ": stay in torch, NumPy knows no gradients" if value.module == "numpy" else ""
            raise ExerciseError(f"the {name} {is_(name)} {a_or_an(value.type)}; return a torch.Tensor{stay}")
    if len(values) != len(exercise.results):
        raise ExerciseError(
            f"your function returned {len(values)} value{'s' if len(values) > 1 else ''}; it should return {len(exercise.results)}: "
            + ", ".join(exercise.results)
        )
    return [value for value in values if isinstance(value, Tensor)]


def same(a: list[Outcome], b: list[Outcome], tolerance: float = 1e-7) -> bool:
    """Whether two answers cannot be told apart: values, gradients and states agree on every case."""
    return len(a) == len(b) and all(same_outcome(x, y, tolerance) for x, y in zip(a, b, strict=True))


def same_values(a: list[Outcome], b: list[Outcome], tolerance: float = 1e-7) -> bool:
    """Whether the values agree on every case, whatever the gradients and states."""
    return len(a) == len(b) and all(all_close(x.values, y.values, tolerance) for x, y in zip(a, b, strict=True))


def same_outcome(a: Outcome, b: Outcome, tolerance: float) -> bool:
    """Whether values, gradients and states agree."""
    pairs = ((a.values, b.values), (a.gradients, b.gradients), (a.states, b.states))
    return all(all_close(ours, theirs, tolerance) for ours, theirs in pairs)


def all_close(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None], tolerance: float) -> bool:
    """Whether two lists of tensors agree, one by one."""
    return len(ours) == len(theirs) and all(close(x, y, tolerance) for x, y in zip(ours, theirs, strict=True))


def close(a: Tensor | None, b: Tensor | None, tolerance: float = 1e-7) -> bool:
    """Equal up to rounding, and in shape; a missing gradient equals one of zeros.

    Answers may pass through float32 on their way (a `torch.zeros(n)` to be filled): rounding to it is no error.
    """
    if a is None or b is None:
        present = b if a is None else a
        return present is None or not bool(present.any())
    if a.shape != b.shape or a.is_floating_point() != b.is_floating_point():
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    single = a.dtype != torch.float64 or b.dtype != torch.float64
    relative, absolute = (1e-4, max(1e-5, tolerance)) if single else (1e-5, tolerance)
    return torch.allclose(a.double(), b.double(), rtol=relative, atol=absolute, equal_nan=True)


def swapped_cases(exercise: Exercise, seed: int, position: int) -> Iterator[tuple[Arguments, Arguments]]:
    """Each case of a seed, and the same with one argument from another seed's: to see whether a result depends on it."""
    for case, other in zip(draw_cases(exercise, seed), draw_cases(exercise, seed + 1), strict=True):
        yield case, (*case[:position], other[position], *case[position + 1 :])
