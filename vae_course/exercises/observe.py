"""What one call of an answer gave, as data that another process can be told: tensors, words and truth values.

Nothing is decided here; `run` decides.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from vae_course.exercises.exercise import ExerciseError

Answer = Callable[..., Any]
CONTAINERS = ((tuple, "tuple"), (list, "list"))


class Alien(NamedTuple):
    """A part of a result that is no tensor of real numbers: its type, and the module of that."""

    type: str
    module: str


class Raised(NamedTuple):
    """An exception inside an answer.

    kinds: the names of its classes, from its own upwards; by: the function that raised it; own: the name of the answer;
    at: the tensors in the call of torch that raised it, or those that the last one before it gave, which tells one error from
    another where many share a text; said: whether its text is for students as it stands.
    """

    kinds: tuple[str, ...]
    text: str
    by: str
    own: str
    at: tuple[Tensor, ...]
    said: bool


class Observation(NamedTuple):
    """What one call gave.

    container: the type of what was returned; values: its parts, if it is a tuple or a list, else itself; after: the tensors
    among the arguments as they are after the call, None for the others; gradients: of a fixed combination of the values, one
    for each argument that requires a gradient, None where there is no path; states: parameters of the modules among the
    arguments after the call; printed: whether it wrote to the standard output.
    """

    container: str
    values: list[Tensor | Alien]
    after: list[Tensor | None]
    gradients: list[Tensor | None]
    states: list[Tensor]
    printed: bool
    raised: Raised | None = None


def observe(answer: Answer, arguments: Sequence[Any], originals: Sequence[Any]) -> Observation:
    """Call an answer once. originals: the arguments again, untouched, for a second look at an answer that fails."""
    leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
    # A copy of a leaf may be changed in place without an error from torch, so that the change can be named.
    passed = tuple(a.clone() if isinstance(a, Tensor) else a for a in arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            result = answer(*passed)
            parts = list(result) if isinstance(result, tuple | list) else [result]
            gradients = gradients_of(parts, leaves)
    except (Exception, SystemExit) as error:
        return Observation("", [], [], [], [], bool(printed.getvalue()), described(error, answer, originals))
    return Observation(
        container=next((name for kind, name in CONTAINERS if isinstance(result, kind)), type(result).__name__),
        values=[part.detach() if _is_real(part) else _alien(part) for part in parts],
        after=[a.detach() if isinstance(a, Tensor) else None for a in passed],
        gradients=gradients,
        states=states_of(passed),
        printed=bool(printed.getvalue()),
    )


def _is_real(part: Any) -> bool:
    return isinstance(part, Tensor) and not part.is_complex() and part.layout == torch.strided


def _alien(part: Any) -> Alien:
    if isinstance(part, Tensor):
        return Alien("complex" if part.is_complex() else "sparse", "torch")
    return Alien(type(part).__name__, type(part).__module__)


def described(error: BaseException, answer: Answer, originals: Sequence[Any]) -> Raised:
    """An exception as data."""
    if isinstance(error, ExerciseError):
        return Raised((type(error).__name__,), str(error), "", "", (), said=True)
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    by = frame.tb_frame.f_code.co_name if frame is not None else ""
    kinds = tuple(kind.__name__ for kind in type(error).__mro__)
    own = getattr(answer, "__name__", by)
    return Raised(kinds, " ".join(str(error).split()), by, own, where_it_fails(answer, originals), said=False)


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


def where_it_fails(answer: Answer, arguments: Sequence[Any]) -> tuple[Tensor, ...]:
    """Call an answer that raises an exception once more, and look where."""
    passed = tuple(a.clone() if isinstance(a, Tensor) else a for a in arguments)
    last = Last()
    with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stdout(io.StringIO()), last:
        answer(*passed)
    return last.tensors


def gradients_of(parts: Sequence[Any], leaves: list[Tensor]) -> list[Tensor | None]:
    """The gradient of a fixed combination of the values by each leaf; None where there is no path."""
    live = [(k, v) for k, v in enumerate(parts, 1) if _is_real(v) and v.requires_grad]
    if not leaves or not live:
        return [None] * len(leaves)
    total = torch.stack([k * (v * ramp(v)).sum() for k, v in live]).sum()  # k: or results that add up would hide faults
    return list(torch.autograd.grad(total, leaves, allow_unused=True))


def ramp(value: Tensor) -> Tensor:
    """Weights that differ from entry to entry."""
    return torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)


def states_of(arguments: Sequence[Any]) -> list[Tensor]:
    """The parameters of every module among the arguments."""
    return [p.detach().clone() for a in arguments if isinstance(a, nn.Module) for p in a.parameters()]
