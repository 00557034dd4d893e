"""Parts of sheets: draws from which cases are made, in float64, and answers in named steps, to write wrong ones from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Generator, Tensor

from vae_course.exercises.exercise import Answer

Step = Callable[..., Any]


def normal(generator: Generator, *shape: int, scale: float = 1.0, gradient: bool = False) -> Tensor:
    """Normal draws with mean 0 and standard deviation `scale`."""
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_(gradient)


def uniform(generator: Generator, *shape: int, gradient: bool = False) -> Tensor:
    """Uniform draws from [0, 1)."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_(gradient)


def bits(generator: Generator, *shape: int) -> Tensor:
    """Fair coin flips, 0 or 1."""
    return torch.randint(2, shape, generator=generator).double()


class Formula:
    """An answer in named steps, each a function of the arguments and of the steps before it that it names; the last is the
    result. A wrong answer is written as what differs: `but` exchanges steps, `given` changes arguments.

        mean = Formula("x", total=lambda x: x.sum(-1), mean=lambda total, x: total / x.shape[-1])
        mean.but(mean=lambda total: total)        # the division forgotten
        mean.given(x=torch.abs)                   # of the absolute values
    """

    def __init__(self, arguments: str, **steps: Step) -> None:
        self.arguments, self.steps = arguments.split(), steps
        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature([inspect.Parameter(name, positional) for name in self.arguments])

    def __call__(self, *given: Any) -> Any:
        """The result of the steps for these arguments."""
        values = dict(zip(self.arguments, given, strict=True))
        for name, step in self.steps.items():
            values[name] = call_by_name(step, values)
        return self.result(values)

    def result(self, values: dict[str, Any]) -> Any:
        """What is made of all steps: the last."""
        return values[next(reversed(self.steps))]

    def but(self, **steps: Step) -> Self:
        """With some steps exchanged, where they stand, or more of them at the end."""
        return type(self)(" ".join(self.arguments), **{**self.steps, **steps})

    def each(self, **others: Sequence[Step]) -> list[Self]:
        """With one step exchanged, for each of several others in its place."""
        return [self.but(**{name: other}) for name, steps in others.items() for other in steps]

    def instead(self, step: str) -> Callable[..., list[Self]]:
        """What puts each of several others in the place of one step."""
        return lambda *others: self.each(**{step: others})

    def given(self, **changed: Callable[[Any], Any]) -> Answer:
        """With arguments changed everywhere: name=a function of the argument."""
        return lambda *given: self(*self._changed(given, changed))

    def then(self, change: Callable[[Any], Any]) -> Answer:
        """With something done to the result."""
        return lambda *given: change(self(*given))

    def _changed(self, given: tuple[Any, ...], changed: dict[str, Callable[[Any], Any]]) -> list[Any]:
        return [changed[n](v) if n in changed else v for n, v in zip(self.arguments, given, strict=True)]


class SumOf(Formula):
    """An answer Σ_t terms[t]: a formula whose steps are added up. A term does not see the others."""

    def result(self, values: dict[str, Any]) -> Any:
        """The sum of the terms."""
        return sum(values[name] for name in self.steps)

    def term(self, name: str) -> SumOf:
        """One term alone."""
        return SumOf(" ".join(self.arguments), **{name: self.steps[name]})

    def times(self, **factors: float) -> Answer:
        """With some terms multiplied: 0 forgets one, -1 flips its sign, 2 forgets a ½."""
        return lambda *given: self(*given) + sum((f - 1) * self.term(name)(*given) for name, f in factors.items())

    def within(self, only: str, **changed: Callable[[Any], Any]) -> Answer:
        """With arguments changed in one term alone."""
        one = self.term(only)
        return lambda *given: self(*given) - one(*given) + one(*self._changed(given, changed))


def call_by_name(step: Step, values: dict[str, Any]) -> Any:
    """Call a function with the values that its parameters name, but those with defaults."""
    parameters = inspect.signature(step).parameters.values()
    return step(*(values[p.name] for p in parameters if p.default is inspect.Parameter.empty))


def named(function: Answer, arguments: str) -> Answer:
    """A function that takes any arguments, given the names of those it is called with."""
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, positional) for name in arguments.split()]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function
