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
STUB_MESSAGE = "your answer goes here"  # what the stub of a sheet raises NotImplementedError with
Arguments = tuple[Any, ...]


class ExerciseError(AssertionError):
    """An answer is not right; the message is one line that says why."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback through this file, which would tell a student nothing."""
        return [f"{type(self).__name__}: {self}"]


class NotDoneError(ExerciseError):
    """An exercise has not been attempted yet."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students give, as a function, and the sentence that names the error.

    also: other ways to write the same error, which get the same sentence.
    """

    answer: Answer
    message: str
    also: Sequence[Answer] = ()


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
    tolerance: float = 1e-7  # absolute, beside a relative one of 1e-5


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
    if failure is None and same(given, expected, exercise.tolerance):
        print(f"✓ {exercise.name}")
        return
    if isinstance(failure, NotDoneError):
        raise failure
    for mistake in exercise.mistakes:
        for wrong in (mistake.answer, *mistake.also):
            made, failed = attempt(exercise, wrong, seed)
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
            f"{exercise.name} is {a_or_an(type(answer).__name__)}, not a function: check where the name is defined"
        )
    wanted = list(inspect.signature(exercise.reference).parameters)
    try:
        inspect.signature(answer).bind(*wanted)
    except (TypeError, ValueError):
        raise ExerciseError(
            f"{exercise.name} must take the arguments ({', '.join(wanted)}); leave its first line as it was"
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
    except Exception as error:
        raise explain(error, exercise, answer, originals) from None
    if result is None:
        told = "it printed something: return it instead" if printed.getvalue() else "is there a return at its end?"
        raise ExerciseError(f"your function returned None; {told}")
    several = len(exercise.results) > 1
    if several and not isinstance(result, tuple | list):
        raise ExerciseError(
            f"your function returned {a_or_an(type(result).__name__)}; return a tuple: {', '.join(exercise.results)}"
        )
    values = list(result) if isinstance(result, tuple) or several else [result]
    for name, value in zip(exercise.results, values, strict=False):
        if not isinstance(value, Tensor):
            raise ExerciseError(f"the {name} {is_(name)} {a_or_an(type(value).__name__)}; return a torch.Tensor")
        if value.is_complex():
            raise ExerciseError(f"the {name} {is_(name)} complex; return real numbers")
    if len(values) != len(exercise.results):
        raise ExerciseError(
            f"your function returned {len(values)} value{'s' if len(values) > 1 else ''}; it should return {len(exercise.results)}: "
            + ", ".join(exercise.results)
        )
    for position, (before, after) in enumerate(zip(originals, passed, strict=True)):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            name = list(inspect.signature(exercise.reference).parameters)[position]
            raise ExerciseError(f"your function changed its argument {name} in place; work on a new tensor")
    return Outcome([v.detach() for v in values], gradients_of(values, leaves), states_of(passed))


def explain(error: Exception, exercise: Exercise, answer: Answer, originals: Arguments) -> ExerciseError:
    """What an exception inside an answer means."""
    reason = " ".join(str(error).split())
    if isinstance(error, NotImplementedError) and reason in ("", STUB_MESSAGE):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        raised_by = frame.tb_frame.f_code.co_name if frame is not None else ""
        if raised_by != getattr(answer, "__name__", raised_by):
            return ExerciseError(f"{raised_by}, which your function calls, is not done yet")
        return NotDoneError("not done yet")
    if "bitwise_xor" in reason:
        return ExerciseError("`^` is not a power in Python: use `**`")
    if len(reason) > 160:
        reason = reason[:160].rsplit(" ", 1)[0] + " …"
    told = f": {reason}" if reason else ""
    return ExerciseError(f"your function raised {type(error).__name__}{told} (for {describe_all(exercise, originals)})")


def gradients_of(values: list[Tensor], leaves: list[Tensor]) -> list[Tensor | None]:
    """The gradient of a fixed combination of the values by each leaf; None where there is no path."""
    live = [(k, v) for k, v in enumerate(values, 1) if v.requires_grad]
    if not leaves or not live:
        return [None] * len(leaves)
    total = torch.stack([k * (v * ramp(v)).sum() for k, v in live]).sum()  # k: or results that add up would hide faults
    return list(torch.autograd.grad(total, leaves, allow_unused=True))


def ramp(value: Tensor) -> Tensor:
    """Weights that differ from entry to entry."""
    return torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)


def states_of(arguments: Arguments) -> list[Tensor]:
    """The parameters of every module among the arguments."""
    return [p.detach().clone() for a in arguments if isinstance(a, nn.Module) for p in a.parameters()]


def same(a: list[Outcome], b: list[Outcome], tolerance: float = 1e-7) -> bool:
    """Whether two answers cannot be told apart: values, gradients and states agree on every case."""
    return len(a) == len(b) and all(same_outcome(x, y, tolerance) for x, y in zip(a, b, strict=True))


def same_outcome(a: Outcome, b: Outcome, tolerance: float) -> bool:
    """Whether values, gradients and states agree."""
    return all(
        len(ours) == len(theirs) and all(close(x, y, tolerance) for x, y in zip(ours, theirs, strict=True))
        for ours, theirs in ((a.values, b.values), (a.gradients, b.gradients), (a.states, b.states))
    )


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


def diagnosis(exercise: Exercise, answer: Answer, given: list[Outcome], expected: list[Outcome], seed: int) -> str:
    """The generic fault of an answer that is wrong and not a known mistake."""
    arguments = exercise.cases(torch.Generator().manual_seed(seed))
    if message := wrong_kind(exercise, given, expected, arguments):
        return message
    pairs = [(g.values[i], e.values[i]) for g, e in zip(given, expected, strict=True) for i in range(len(e.values))]
    if all(close(g, e, exercise.tolerance) for g, e in pairs):
        return wrong_gradient_or_state(exercise, given, expected, arguments)
    if not same(given, attempt(exercise, answer, seed)[0]):
        return "two calls with the same arguments differ: draw nothing inside, use the arguments"
    if name := ignored_argument(exercise, answer, seed):
        return f"your function's result does not depend on {name}; it should"
    if message := off_by_a_rule(pairs):
        return message
    for outcome, truth, case in zip(given, expected, arguments, strict=True):
        for name, value, right in zip(exercise.results, outcome.values, truth.values, strict=True):
            if not close(value, right):
                apart = (value.double() - right.double()).abs().nan_to_num(torch.inf)
                index = [int(i) for i in torch.unravel_index(apart.argmax(), apart.shape)]
                got, wanted = float(value[tuple(index)]), float(right[tuple(index)])
                digits = 6 if f"{got:.6g}" != f"{wanted:.6g}" else 12
                place = f"at {index}, " if index else ""
                return (
                    f"the {name} {is_(name)} {got:.{digits}g} where {wanted:.{digits}g} is right "
                    f"({place}for {describe_all(exercise, case)})"
                )
    raise AssertionError("a wrong answer without a difference")


def wrong_kind(exercise: Exercise, given: list[Outcome], expected: list[Outcome], cases: list[Arguments]) -> str | None:
    """A wrong shape or number type, or NaN."""
    for outcome, truth, case in zip(given, expected, cases, strict=True):
        for name, value, right in zip(exercise.results, outcome.values, truth.values, strict=True):
            if value.shape != right.shape:
                hint = ": you reduced over every axis, or squeezed one away" if value.ndim == 0 else ""
                return (
                    f"the {name} {has(name)} the shape {shape_of(value)} where {shape_of(right)} is right{hint} "
                    f"(for {describe_all(exercise, case)})"
                )
            if value.is_floating_point() != right.is_floating_point():
                return f"the {name} {has(name)} the number type {value.dtype}; return {right.dtype}"
            if right.is_floating_point() and bool(value.isfinite().logical_not().any() & right.isfinite().all()):
                return f"the {name} {is_(name)} NaN or infinite where all should be finite (for {describe_all(exercise, case)})"
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
                return f"the value is right, but its gradient with respect to {name} is not: part of the path was detached, or overflows"
        if not all(map(close, outcome.states, truth.states)):
            return "the returned value is right, but the model's parameters afterwards are not"
    raise AssertionError("a wrong answer without a difference")


def ignored_argument(exercise: Exercise, answer: Answer, seed: int) -> str | None:
    """The first tensor argument whose values can be replaced by others without any effect, though there should be one."""
    names = list(inspect.signature(exercise.reference).parameters)
    for position, name in enumerate(names):
        changes, right_changes = False, False
        draws = (exercise.cases(torch.Generator().manual_seed(s)) for s in (seed, seed + 1))
        for case, other in zip(*draws, strict=True):
            here, there = case[position], other[position]
            if any(isinstance(a, nn.Module | Optimizer) for a in case) or not isinstance(here, Tensor):
                continue
            changed = (*case[:position], there, *case[position + 1 :])
            for function, is_right in ((answer, False), (exercise.reference, True)):
                before, after = (call(exercise, function, c, c).values for c in (case, changed))
                moved = not all(map(close, before, after))
                changes, right_changes = changes or (moved and not is_right), right_changes or (moved and is_right)
        if right_changes and not changes:
            return name
    return None


def off_by_a_rule(pairs: list[tuple[Tensor, Tensor]]) -> str | None:
    """A flipped sign, a mean for a sum, a constant factor or a constant, common to all cases; None for whole numbers."""
    if not all(right.is_floating_point() for _, right in pairs):
        return None
    given = torch.cat([g.flatten().double() for g, _ in pairs])
    right = torch.cat([e.flatten().double() for _, e in pairs])
    telling = right.abs() > 1e-6
    if int(telling.sum()) < 3:
        return None
    ratio = given[telling] / right[telling]
    if close(ratio, torch.full_like(ratio, -1.0)):
        return "the sign is flipped"
    right_there = close(ratio, torch.ones_like(ratio))  # wrong only where 0 is right
    if close(ratio, ratio[:1].expand_as(ratio)) and not right_there:
        return f"your result is {float(ratio[0]):.6g} times the right one, everywhere: a constant factor is off"
    difference = given - right
    if close(difference, difference[:1].expand_as(difference)):
        return f"your result is the right one plus {float(difference[0]):.6g}, everywhere: a constant is off"
    whole = [(g[e.abs() > 1e-6] / e[e.abs() > 1e-6]) for g, e in pairs]
    if not right_there and all(len(r) == 0 or close(r, r[:1].expand_as(r)) for r in whole):
        sizes = [round(1 / float(r[0]), 6) for r in whole if len(r) and float(r[0]) != 0]
        if all(size == round(size) and size > 1 for size in sizes) and len(set(sizes)) > 1:
            return "your result is the right one divided by a size of the input: you took a mean where a sum is meant"
    return None


def describe_all(exercise: Exercise, arguments: Arguments) -> str:
    """The arguments by name, with their shapes, for a message."""
    names = inspect.signature(exercise.reference).parameters
    return ", ".join(f"{name} {describe(a)}" for name, a in zip(names, arguments, strict=True))


def describe(argument: Any) -> str:
    """One argument, for a message."""
    if isinstance(argument, Tensor) and argument.ndim and argument.dtype == torch.int64 and argument.numel() <= 6:
        return f"= {argument.tolist()}"
    if isinstance(argument, Tensor):
        return shape_of(argument) if argument.ndim else f"{float(argument.detach()):.4g}"
    return repr(argument) if isinstance(argument, int | float | str) else a_or_an(type(argument).__name__)


def shape_of(tensor: Tensor) -> str:
    """The shape in brackets, or a word where there is none."""
    return str(list(tensor.shape)) if tensor.ndim else "without axes"


def is_(name: str) -> str:
    """The verb for one result or for several."""
    return "are" if name.endswith("s") else "is"


def has(name: str) -> str:
    """The verb for one result or for several."""
    return "have" if name.endswith("s") else "has"


def a_or_an(noun: str) -> str:
    """The noun with its article; an abbreviation is read letter by letter."""
    vowel = noun[:1] in "AEFHILMNORSX" if noun.isupper() else noun[:1] in "aeioAEIO" or noun == "ndarray"
    return f"{'an' if vowel else 'a'} {noun}"
