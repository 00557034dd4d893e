"""The engine behind every check: run an answer, compare it with the reference, and name the error.

An exercise is data: a reference answer, cases, and mistakes. A mistake is a wrong answer that runs, with the
sentence that a student who made it should read. The check calls the student's function on cases drawn anew. If
the results (values, gradients, and the state of any module passed in) are those of the reference, it prints one
line. If they are those of a mistake, it raises that mistake's sentence. Otherwise it looks for faults that any
answer can have.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Answer = Callable[..., Any]
Arguments = tuple[Any, ...]


class ExerciseError(AssertionError):
    """An answer is not right; the message is one line that says why."""


class NotDoneError(ExerciseError):
    """An exercise has not been attempted yet."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students give, as a function, and the sentence that names the error."""

    answer: Answer
    message: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    cases: draws a list of argument tuples from a generator, the same list for the same state of the generator.
    Tensors in them are float64 unless the exercise is about something else; one that requires a gradient is
    compared by its gradient too. A module among the arguments is compared by its parameters after the call.
    `results` names the parts of the result, where there are several.
    """

    name: str
    reference: Answer
    cases: Callable[[torch.Generator], list[Arguments]]
    mistakes: Sequence[Mistake]
    results: Sequence[str] = ("result",)


@dataclass
class Outcome:
    """What one call of an answer gave."""

    values: list[Tensor]
    gradients: list[Tensor | None] = field(default_factory=list)  # one per argument that requires a gradient
    states: list[Tensor] = field(default_factory=list)  # parameters of modules after the call


def check(exercise: Exercise, answer: Answer, seed: int | None = None) -> None:
    """Print one line if the answer is right; otherwise raise ExerciseError with a line that names the error.

    seed: of the cases; None draws one.
    """
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    examine_signature(exercise, answer)
    expected = outcomes(exercise, exercise.reference, seed)
    # An answer may fail on an awkward case only: a mistake that fails likewise names it better than the failure does.
    given, failure = attempt(exercise, answer, seed)
    if failure is None and same(given, expected):
        print(f"✓ {exercise.name}")
        return
    if isinstance(failure, NotDoneError):
        raise failure
    for mistake in exercise.mistakes:
        made, failed = attempt(exercise, mistake.answer, seed)
        if same(given, made) and str(failure) == str(failed):
            raise ExerciseError(mistake.message)
    if failure is not None:
        raise failure
    raise ExerciseError(diagnosis(exercise, answer, given, expected, seed))


def attempt(exercise: Exercise, answer: Answer, seed: int) -> tuple[list[Outcome], ExerciseError | None]:
    """The outcomes up to the first case that fails, and that failure."""
    found: list[Outcome] = []
    try:
        for outcome in run_cases(exercise, answer, seed):
            found.append(outcome)
    except ExerciseError as error:
        return found, error
    return found, None


def outcomes(exercise: Exercise, answer: Answer, seed: int) -> list[Outcome]:
    """The outcome of every case. Raises ExerciseError where the answer cannot be judged at all."""
    return list(run_cases(exercise, answer, seed))


def run_cases(exercise: Exercise, answer: Answer, seed: int) -> Iterator[Outcome]:
    """Call the answer on each case, drawn from `seed`."""
    fresh = exercise.cases(torch.Generator().manual_seed(seed))
    untouched = exercise.cases(torch.Generator().manual_seed(seed))
    for arguments, originals in zip(fresh, untouched, strict=True):
        yield call(exercise, answer, arguments, originals)


def examine_signature(exercise: Exercise, answer: Answer) -> None:
    """Raise ExerciseError unless the answer is a function of as many arguments as the reference."""
    if not callable(answer):
        raise ExerciseError(
            f"{exercise.name} is a {type(answer).__name__}, not a function: check the name's definition."
        )
    wanted = list(inspect.signature(exercise.reference).parameters)
    try:
        inspect.signature(answer).bind(*wanted)
    except (TypeError, ValueError):
        raise ExerciseError(
            f"{exercise.name} must take the arguments ({', '.join(wanted)}); leave its first line as it was."
        ) from None


def call(exercise: Exercise, answer: Answer, arguments: Arguments, originals: Arguments) -> Outcome:
    """Call the answer once. Raises ExerciseError for a result that cannot be compared."""
    leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
    # A copy of a leaf may be changed in place without an error from torch, so that the change can be named.
    passed = tuple(a.clone() if isinstance(a, Tensor) else a for a in arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            result = answer(*passed)
    except NotImplementedError:
        raise NotDoneError("not done yet") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExerciseError(
            f"your function raised {type(error).__name__}: {reason} (for {describe_all(originals)})"
        ) from error
    if result is None:
        told = "it printed something: return it instead" if printed.getvalue() else "is there a return at its end?"
        raise ExerciseError(f"your function returned None; {told}")
    values = list(result) if isinstance(result, tuple) else [result]
    for name, value in zip(exercise.results, values, strict=False):
        if not isinstance(value, Tensor):
            raise ExerciseError(f"the {name} is a {type(value).__name__}; return a torch.Tensor")
    if len(values) != len(exercise.results):
        raise ExerciseError(
            f"your function returned {len(values)} values; it should return {len(exercise.results)}: "
            + ", ".join(exercise.results)
        )
    for position, (before, after) in enumerate(zip(originals, passed, strict=True)):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            name = list(inspect.signature(exercise.reference).parameters)[position]
            raise ExerciseError(f"your function changed its argument {name} in place; work on a new tensor")
    return Outcome([v.detach() for v in values], gradients_of(values, leaves), states_of(passed))


def gradients_of(values: list[Tensor], leaves: list[Tensor]) -> list[Tensor | None]:
    """The gradient of a fixed combination of the values by each leaf; None where there is no path."""
    live = [v for v in values if v.requires_grad]
    if not leaves or not live:
        return [None] * len(leaves)
    total = torch.stack([(v * ramp(v)).sum() for v in live]).sum()
    return list(torch.autograd.grad(total, leaves, allow_unused=True))


def ramp(value: Tensor) -> Tensor:
    """Weights that differ from entry to entry."""
    return torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)


def states_of(arguments: Arguments) -> list[Tensor]:
    """The parameters of every module among the arguments."""
    return [p.detach().clone() for a in arguments if isinstance(a, nn.Module) for p in a.parameters()]


def same(a: list[Outcome], b: list[Outcome]) -> bool:
    """Whether two answers cannot be told apart: values, gradients and states agree on every case."""
    return len(a) == len(b) and all(same_outcome(x, y) for x, y in zip(a, b, strict=True))


def same_outcome(a: Outcome, b: Outcome) -> bool:
    """Whether values, gradients and states agree."""
    return (
        len(a.values) == len(b.values)
        and all(map(close, a.values, b.values))
        and all(map(close, a.gradients, b.gradients))
        and all(map(close, a.states, b.states))
    )


def close(a: Tensor | None, b: Tensor | None) -> bool:
    """Equal up to rounding, in shape and number type too; a missing gradient equals one of zeros."""
    if a is None or b is None:
        present = b if a is None else a
        return present is None or not bool(present.any())
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    tolerance = 1e-7 if a.dtype == torch.float64 else 1e-4
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * 1e-2, equal_nan=True)


def diagnosis(exercise: Exercise, answer: Answer, given: list[Outcome], expected: list[Outcome], seed: int) -> str:
    """The generic fault of an answer that is wrong and not a known mistake."""
    arguments = exercise.cases(torch.Generator().manual_seed(seed))
    if message := wrong_kind(exercise, given, expected, arguments):
        return message
    pairs = [(g.values[i], e.values[i]) for g, e in zip(given, expected, strict=True) for i in range(len(e.values))]
    if all(close(g, e) for g, e in pairs):
        return wrong_gradient_or_state(exercise, given, expected, arguments)
    if name := ignored_argument(exercise, answer, arguments):
        return f"your function's result does not depend on {name}; it should"
    if message := off_by_a_rule(pairs):
        return message
    for outcome, truth, case in zip(given, expected, arguments, strict=True):
        for name, value, right in zip(exercise.results, outcome.values, truth.values, strict=True):
            if not close(value, right):
                at = (
                    int((value - right).abs().flatten().nan_to_num(torch.inf).argmax())
                    if value.is_floating_point()
                    else 0
                )
                return (
                    f"the {name} is {float(value.flatten()[at]):.6g} where {float(right.flatten()[at]):.6g} is right "
                    f"(entry {at} for {describe_all(case)})"
                )
    raise AssertionError("a wrong answer without a difference")


def wrong_kind(exercise: Exercise, given: list[Outcome], expected: list[Outcome], cases: list[Arguments]) -> str | None:
    """A wrong shape or number type, or NaN."""
    for outcome, truth, case in zip(given, expected, cases, strict=True):
        for name, value, right in zip(exercise.results, outcome.values, truth.values, strict=True):
            if value.shape != right.shape:
                hint = ": you reduced over the batch too" if value.ndim == 0 else ""
                return (
                    f"the {name} has the shape {list(value.shape)} where {list(right.shape)} is right{hint} "
                    f"(for {describe_all(case)})"
                )
            if value.dtype != right.dtype:
                return f"the {name} has the number type {value.dtype} where {right.dtype} is right; keep the input's"
            if right.is_floating_point() and bool(value.isfinite().logical_not().any() & right.isfinite().all()):
                return f"the {name} is NaN or infinite where it should be finite (for {describe_all(case)})"
    return None


def wrong_gradient_or_state(
    exercise: Exercise, given: list[Outcome], expected: list[Outcome], cases: list[Arguments]
) -> str:
    """The values are right: it must be the gradients, or what was done to a module."""
    names = list(inspect.signature(exercise.reference).parameters)
    for outcome, truth, case in zip(given, expected, cases, strict=True):
        live = [n for n, a in zip(names, case, strict=True) if isinstance(a, Tensor) and a.requires_grad]
        for name, gradient, right in zip(live, outcome.gradients, truth.gradients, strict=True):
            if not close(gradient, right):
                if gradient is None:
                    return (
                        f"the value is right, but no gradient flows back to {name}: something was detached or made anew"
                    )
                return f"the value is right, but its gradient by {name} is not: part of the path was detached"
        if not all(map(close, outcome.states, truth.states)):
            return "the returned value is right, but the model's parameters afterwards are not"
    raise AssertionError("a wrong answer without a difference")


def ignored_argument(exercise: Exercise, answer: Answer, cases: list[Arguments]) -> str | None:
    """The first tensor argument whose rows can be reversed without any effect, though there should be one."""
    names = list(inspect.signature(exercise.reference).parameters)
    for position, name in enumerate(names):
        for case in cases:
            argument = case[position]
            if not isinstance(argument, Tensor) or argument.ndim == 0 or len(argument) < 2:
                continue
            if any(isinstance(a, nn.Module | Optimizer) for a in case):
                continue
            other = (*case[:position], argument.detach().flip(0), *case[position + 1 :])
            before, after = call(exercise, answer, case, case), call(exercise, answer, other, other)
            right_before, right_after = (call(exercise, exercise.reference, c, c) for c in (case, other))
            moved = not all(map(close, right_before.values, right_after.values))
            if moved and all(map(close, before.values, after.values)):
                return name
            break
    return None


def off_by_a_rule(pairs: list[tuple[Tensor, Tensor]]) -> str | None:
    """A flipped sign, a mean for a sum, a constant factor or a constant, common to all cases."""
    given = torch.cat([g.flatten().double() for g, _ in pairs])
    right = torch.cat([e.flatten().double() for _, e in pairs])
    telling = right.abs() > 1e-6
    if int(telling.sum()) < 3:
        return None
    ratio = given[telling] / right[telling]
    if close(ratio, torch.full_like(ratio, -1.0)):
        return "the sign is flipped"
    if close(ratio, ratio[:1].expand_as(ratio)):
        return f"your result is {float(ratio[0]):.6g} times the right one, everywhere: a constant factor is off"
    difference = given - right
    if close(difference, difference[:1].expand_as(difference)):
        return f"your result is the right one plus {float(difference[0]):.6g}, everywhere: a constant is off"
    whole = [(g[e.abs() > 1e-6] / e[e.abs() > 1e-6]) for g, e in pairs]
    if all(len(r) == 0 or close(r, r[:1].expand_as(r)) for r in whole):
        sizes = [round(1 / float(r[0]), 6) for r in whole if len(r) and float(r[0]) != 0]
        if all(size == round(size) and size > 1 for size in sizes) and len(set(sizes)) > 1:
            return "your result is the right one divided by a size of the input: you took a mean where a sum is meant"
    return None


def describe_all(arguments: Arguments) -> str:
    """The shapes of the arguments, for a message."""
    return ", ".join(describe(a) for a in arguments)


def describe(argument: Any) -> str:
    """One argument, for a message."""
    if isinstance(argument, Tensor):
        return f"a tensor {list(argument.shape)}" if argument.ndim else f"{float(argument):.4g}"
    return repr(argument) if isinstance(argument, int | float | str) else f"a {type(argument).__name__}"
