"""Running an answer: what it returned on each case, or what went wrong, and when two runs are the same."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from vae_course.exercises.exercise import STUB_MESSAGE, Answer, Arguments, Exercise, ExerciseError, NotDoneError


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


def names_of(exercise: Exercise) -> list[str]:
    """The names of the arguments."""
    return list(inspect.signature(exercise.prepare(exercise.reference)).parameters)


def draw_cases(exercise: Exercise, seed: int) -> list[Arguments]:
    """The cases of a seed."""
    return exercise.cases(torch.Generator().manual_seed(seed))


def attempt(exercise: Exercise, answer: Answer, seed: int) -> Attempt:
    """Call the answer on each case of a seed, up to the first that fails."""
    return attempt_on(exercise, answer, draw_cases(exercise, seed), draw_cases(exercise, seed))


def attempt_on(exercise: Exercise, answer: Answer, cases: list[Arguments], originals: list[Arguments]) -> Attempt:
    """Call the answer on given cases. originals: the same again, untouched."""
    found: list[Outcome] = []
    for arguments, untouched in zip(cases, originals, strict=True):
        try:
            found.append(call(exercise, answer, arguments, untouched))
        except ExerciseError as error:
            return Attempt(found, error, where_it_fails(answer, untouched) if error.__cause__ is not None else None)
    return Attempt(found)


class Last(TorchFunctionMode):
    """Keeps the tensors in the call of torch that raised an exception, or those that the last call gave."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: tuple[Tensor, ...] = ()
        self.raised = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            made = func(*args, **(kwargs or {}))
        except Exception:
            if not self.raised:
                self.raised, self.tensors = True, self._of((args, kwargs))
            raise
        if not self.raised:
            self.tensors = self._of(made) or self.tensors
        return made

    def _of(self, value: Any) -> tuple[Tensor, ...]:
        return tuple(leaf.detach() for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def where_it_fails(answer: Answer, arguments: Arguments) -> tuple[Tensor, ...]:
    """Call an answer that raises an exception once more, and look where."""
    passed = tuple(a.clone() if isinstance(a, Tensor) else a for a in arguments)
    last = Last()
    with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()), last:
        answer(*passed)
    return last.tensors


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


def call(exercise: Exercise, answer: Answer, arguments: Arguments, originals: Arguments) -> Outcome:
    """Call the answer once. Raises ExerciseError for a result that cannot be compared, from an exception if it raised one."""
    leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
    # A copy of a leaf may be changed in place without an error from torch, so that the change can be named.
    passed = tuple(a.clone() if isinstance(a, Tensor) else a for a in arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            result = answer(*passed)
    except ExerciseError:
        raise
    except Exception as error:
        raise explain(error, exercise, answer, originals) from error
    values = checked(exercise, result, bool(printed.getvalue()))
    for name, before, after in zip(names_of(exercise), originals, passed, strict=True):
        if isinstance(before, Tensor) and not torch.equal(before, after):
            raise ExerciseError(f"your function changed its argument {name} in place; work on a new tensor")
    return Outcome([v.detach() for v in values], gradients_of(values, leaves), states_of(passed))


def checked(exercise: Exercise, result: Any, printed: bool) -> list[Tensor]:
    """The parts of a result, as tensors. Raises ExerciseError where it is something else."""
    if result is None:
        told = "it printed something: return it instead" if printed else "is there a return at its end?"
        raise ExerciseError(f"your function returned None; {told}")
    several = len(exercise.results) > 1
    if several and not isinstance(result, tuple | list):
        raise ExerciseError(
            f"your function returned {a_or_an(type(result).__name__)}; return a tuple: {', '.join(exercise.results)}"
        )
    values = list(result) if isinstance(result, tuple) or several else [result]
    for name, value in zip(exercise.results, values, strict=False):
        if not isinstance(value, Tensor):
            stay = ": stay in torch, NumPy knows no gradients" if type(value).__module__ == "numpy" else ""
            kind = a_or_an(type(value).__name__)
            raise ExerciseError(f"the {name} {is_(name)} {kind}; return a torch.Tensor{stay}")
        if value.is_complex():
            raise ExerciseError(f"the {name} {is_(name)} complex; return real numbers")
    if len(values) != len(exercise.results):
        raise ExerciseError(
            f"your function returned {len(values)} value{'s' if len(values) > 1 else ''}; it should return {len(exercise.results)}: "
            + ", ".join(exercise.results)
        )
    return values


EXPLAINED: Sequence[tuple[str, str]] = (  # of an exception's text, and what it means; \1, \2: what was found
    (
        r"before Module.__init__\(\) call",
        "call super().__init__() first: a module must be set up before it is given parts",
    ),
    (r"bitwise_xor", "`^` is not a power in Python: use `**`"),
    (
        r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
        r"tensors whose shapes do not fit were combined, an axis of \1 with one of \2: write the shape beside each line",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)|size mismatch, got",
        r"a matrix product of [\1, \2] and [\3, \4] does not exist, as its inner sizes differ: check each transpose",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
        r"axis \3 was named of a tensor that has none (its axes go from \1 to \2): was one squeezed or reduced away before?",
    ),
    (
        r"Expected parameter (?:scale|rate|concentration)\b.*GreaterThan|Expected parameter (?:scale|rate)\b.*[Pp]ositive",
        "a distribution was given a scale that is not positive: Normal takes the standard deviation, exp(log σ), not its logarithm",
    ),
    (
        r"Expected parameter probs\b",
        "a distribution was given probabilities outside [0, 1]: pass logits by name, logits=…",
    ),
    (
        r"[Cc]an't call numpy\(\) on Tensor that requires grad|Can't convert .* to numpy",
        "stay in torch: NumPy knows no gradients, and what goes through it is cut off",
    ),
    (
        r"leaf Variable that requires grad is being used in an in-place|modified by an inplace operation",
        "a tensor that gradients flow through was changed in place: make a new one",
    ),
    (
        r"Boolean value of Tensor with more than one|only one element tensors can be converted|a Tensor with \d+ elements cannot be converted",
        "many numbers were taken for one, in an `if` or by float(): use torch.where, or reduce them first",
    ),
    (
        r"expected scalar type|expected m1 and m2 to have the same dtype|must have the same dtype|expected .* to have the same dtype",
        "float32 meets float64 here: make new tensors like the arguments, by torch.zeros_like(x) or x.new_zeros(…)",
    ),
    (
        r"one_hot|Class values must be",
        "one_hot was given other classes than it was told of: give it the number of classes as its second argument",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "backward was called on something that no gradient flows through",
    ),
    (
        r"backward through the graph a second time",
        "a graph was gone back through twice: compute the loss anew for each step",
    ),
    (r"shape '.*' is invalid for input of size (\d+)", r"\1 numbers cannot be laid out so: reshape keeps their number"),
)


def explain(error: Exception, exercise: Exercise, answer: Answer, originals: Arguments) -> ExerciseError:
    """What an exception inside an answer means."""
    reason = " ".join(str(error).split())
    if isinstance(error, NotImplementedError) and reason in ("", STUB_MESSAGE):
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        raised_by = frame.tb_frame.f_code.co_name if frame is not None else ""
        own = {getattr(answer, "__name__", raised_by), "__init__", "forward"}
        if raised_by not in own:
            return ExerciseError(f"{raised_by}, which your function calls, is not done yet")
        return NotDoneError("not done yet")
    where = f"(for {describe_all(exercise, originals)})"
    if isinstance(error, NameError | ModuleNotFoundError):
        return ExerciseError(
            f"your function raised {type(error).__name__}: {reason}; import or define it in a cell above"
        )
    for pattern, said in EXPLAINED:
        if found := re.search(pattern, reason):
            told = found.expand(said) if None not in found.groups() else said
            return ExerciseError(f"{told} {where}")
    if len(reason) > 160:
        reason = reason[:160].rsplit(" ", 1)[0] + " …"
    told = f": {reason}" if reason else ""
    return ExerciseError(f"your function raised {type(error).__name__}{told} {where}")


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


def describe_all(exercise: Exercise, arguments: Arguments) -> str:
    """The arguments by name, with their shapes, for a message."""
    return ", ".join(f"{name} {describe(a)}" for name, a in zip(names_of(exercise), arguments, strict=True))


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
    return "are" if name.endswith("s") and not name.startswith("number of") else "is"


def has(name: str) -> str:
    """The verb for one result or for several."""
    return "have" if name.endswith("s") and not name.startswith("number of") else "has"


def a_or_an(noun: str) -> str:
    """The noun with its article; an abbreviation is read letter by letter."""
    vowel = noun[:1] in "AEFHILMNORSX" if noun.isupper() else noun[:1] in "aeioAEIO" or noun == "ndarray"
    return f"{'an' if vowel else 'a'} {noun}"
