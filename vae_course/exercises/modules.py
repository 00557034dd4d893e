"""Exercises in which a student writes a module: what it does, from a fixed start, made comparable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vae_course.exercises.exercise import Answer, ExerciseError
from vae_course.exercises.words import a_or_an

RESULTS = ("number of parameters", "number of parameters that a gradient reaches", "output", "loss after three steps")
RATE, STEPS = 0.05, 3
LEFT_BEHIND = (
    "a layer stayed behind in float32: make layers in __init__, as attributes or in nn.Sequential or nn.ModuleList, never in a plain "
    "list or in forward; and turn nothing into float32"
)


def behaviour(built_with: int) -> Callable[[Any], Answer]:
    """What a class of modules does, as an answer: built with the first arguments of a case, called with the others.

    Its results are RESULTS: how many numbers it may train, and how many of them a gradient of the output reaches; the
    output; and the mean square of the output after three steps of gradient descent on it. It starts from weights that
    depend on their shapes and order only, in float64, so that two modules of the same layers start alike.
    """

    def prepare(handed_in: Any) -> Answer:
        if not inspect.isclass(handed_in):
            raise ExerciseError(
                f"a class is wanted here, a module of your own; this is {a_or_an(type(handed_in).__name__)}"
            )

        if not issubclass(handed_in, nn.Module):
            raise ExerciseError("your class is no module: let it inherit from nn.Module")

        def answer(*arguments: Any) -> tuple[Tensor, ...]:
            try:
                return _observed(lambda: handed_in(*arguments[:built_with]).double(), arguments[built_with:])
            except RuntimeError as error:
                if any(
                    said in str(error) for said in ("same dtype", "should be the same")
                ):  # `double` did not reach it
                    raise ExerciseError(LEFT_BEHIND) from None
                raise

        parameters = [*_parameters(handed_in), *_parameters(handed_in.forward)[1:]]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = dict.fromkeys(p.name for p in parameters)
        answer.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
        answer.__name__ = handed_in.__name__
        return answer

    return prepare


def _parameters(of: Any) -> list[inspect.Parameter]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in inspect.signature(of).parameters.values() if p.kind not in variable]


def _observed(build: Callable[[], nn.Module], inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    module = build()
    trained = _started(module)
    output = module(*inputs)
    if not isinstance(output, Tensor):
        raise ExerciseError(f"your module returned {a_or_an(type(output).__name__)}; return a torch.Tensor")
    count = torch.tensor(sum(p.numel() for p in trained))
    reached = torch.zeros((), dtype=torch.int64)
    if trained and output.requires_grad:
        gradients = torch.autograd.grad(output.square().mean(), trained, allow_unused=True, retain_graph=True)
        reached = torch.tensor(sum(int((g != 0).sum()) for g in gradients if g is not None))
    return count, reached, output, _descended(build(), inputs)  # another module: the output keeps its graph


def _started(module: nn.Module) -> list[nn.Parameter]:
    """Set the parameters to numbers that depend on their shapes and order only; returns those that are trained."""
    named = sorted(module.named_parameters(), key=lambda item: tuple(item[1].shape))
    trained = [p for _, p in named if p.requires_grad]
    with torch.no_grad():
        for number, p in enumerate(trained):
            fan_in = max(1, p[0].numel()) if p.ndim else 1
            drawn = torch.randn(p.shape, generator=torch.Generator().manual_seed(number), dtype=p.dtype)
            p.copy_(drawn / fan_in**0.5)
    return trained


def _descended(module: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    """The loss after a few steps; the inputs are held fixed."""
    trained = _started(module)
    fixed = tuple(v.detach() if isinstance(v, Tensor) else v for v in inputs)
    loss: Tensor = module(*fixed).square().mean()
    for _ in range(STEPS):
        if not (trained and loss.requires_grad):
            break
        gradients = torch.autograd.grad(loss, trained, allow_unused=True)
        with torch.no_grad():
            for p, gradient in zip(trained, gradients, strict=True):
                if gradient is not None:
                    p.sub_(RATE * gradient)
        loss = module(*fixed).square().mean()
    return loss.detach()
