"""Slips: small errors that any answer can have, made on purpose in a right one while it runs.

A right answer is run again with one of its calls to torch changed: a logarithm gets a small constant, a sum becomes a
mean, a term of a sum is doubled or left out. What comes of it is compared with what the student's answer gave. So an
error that many exercises share is written down once, and is recognised whatever else the answer looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from vae_course.exercises.exercise import Answer, Arguments, Exercise
from vae_course.exercises.run import names_of

Change = Callable[..., Any]  # (the function, its arguments, its keywords) → what it returns instead
SMALL = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
ALIASES = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add", "__sub__": "sub", "__rsub__": "rsub", "subtract": "sub",
    "__mul__": "mul", "__rmul__": "mul", "multiply": "mul", "__truediv__": "div", "__rtruediv__": "rdiv",
    "true_divide": "div", "divide": "div", "__neg__": "neg", "negative": "neg", "__pow__": "pow", "__matmul__": "matmul",
}  # fmt: skip


@dataclass(frozen=True)
class Slip:
    """One call changed: which, counted from 0 within a run of the answer, how, and the sentence that names it.

    everywhere: the name of the calls that are all changed, instead of one.
    """

    site: int
    change: Change
    message: str
    everywhere: str = ""


@dataclass(frozen=True)
class Site:
    """A call of torch within a run: its name, its tensors' shapes, and the arguments of the answer that it depends on."""

    name: str
    operands: tuple[frozenset[str], ...]  # for each positional argument, the names of what it depends on
    tensors: tuple[bool, ...]
    size: int  # how many entries a reduction runs over; 0 for other calls


class Watch(TorchFunctionMode):
    """Notes the calls of torch in a run, and which arguments of the answer each depends on."""

    def __init__(self, arguments: Sequence[Any], names: Sequence[str]) -> None:
        super().__init__()
        self.sites: list[Site] = []
        self.kept: list[Any] = list(arguments)  # so that no id is used twice
        self.depends: dict[int, frozenset[str]] = {
            id(leaf): frozenset([name]) for a, name in zip(arguments, names, strict=True) for leaf in tree_leaves(a)
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        operands = tuple(self._names(a) for a in args)
        given, leaves = [a for a in args if isinstance(a, Tensor)], tree_leaves(made)
        size = 0
        if given and leaves and isinstance(leaves[0], Tensor) and leaves[0].numel():
            size = given[0].numel() // leaves[0].numel()
        name = getattr(func, "__name__", "")
        tensors = tuple(isinstance(a, Tensor) for a in args)
        self.sites.append(Site(ALIASES.get(name, name), operands, tensors, size))
        everything = frozenset().union(*operands, *(self._names(v) for v in (kwargs or {}).values()))
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                self.kept.append(leaf)
                self.depends[id(leaf)] = everything
        return made

    def _names(self, value: Any) -> frozenset[str]:
        return frozenset().union(*(self.depends.get(id(leaf), frozenset()) for leaf in tree_leaves(value)))


class Slipping(TorchFunctionMode):
    """Changes one call of torch in a run."""

    def __init__(self, slip: Slip) -> None:
        super().__init__()
        self.slip, self.count = slip, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        wanted = self.slip.everywhere
        mine = ALIASES.get(name, name) == wanted if wanted else self.count == self.slip.site
        self.count += 1
        return self.slip.change(func, args, kwargs or {}) if mine else func(*args, **(kwargs or {}))


def slipping(answer: Answer, slip: Slip) -> Answer:
    """The answer with one of its calls changed, at every call of the answer."""

    def slipped(*arguments: Any) -> Any:
        before, gradients = Distribution._validate_args, torch.is_grad_enabled()
        Distribution.set_default_validate_args(False)  # what validation calls is not part of the answer
        try:
            with Slipping(slip):
                return answer(*arguments)
        finally:
            Distribution.set_default_validate_args(before)
            torch.set_grad_enabled(gradients)  # a slip in the call that restores them would leave them off

    return slipped


def watched(exercise: Exercise, answer: Answer, arguments: Arguments) -> list[Site]:
    """The calls of torch in one run of the answer."""
    watch, before = Watch(arguments, names_of(exercise)), Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with watch:
            answer(*arguments)
    finally:
        Distribution.set_default_validate_args(before)
    return watch.sites


def slips(exercise: Exercise, answer: Answer, arguments: Arguments) -> Iterator[Slip]:
    """The slips that a run of a right answer has room for, the likeliest first."""
    sites = watched(exercise, answer, arguments)
    for make in (reductions, terms, exponents, logarithms, detached, stabilisers):
        for number, site in enumerate(sites):
            yield from make(number, site)


def reductions(number: int, site: Site) -> Iterator[Slip]:
    """A mean for a sum, and a sum for a mean."""
    if site.size > 1 and site.name in ("sum", "mean"):
        given, other = ("sum", "mean") if site.name == "sum" else ("mean", "sum")

        def change(func: Any, args: Any, kwargs: Any) -> Any:
            made = func(*args, **kwargs)
            size = args[0].numel() / max(1, made.numel())
            return made / size if given == "sum" else made * size

        yield Slip(number, change, f"a {other} was taken where a {given} is meant{_over(site.operands[:1])}")
    if site.name == "logsumexp" and site.size > 1:
        yield Slip(
            number, _averaged, "the log of a mean was taken where the log of a sum is meant: − log n is too much"
        )


def _averaged(func: Any, args: Any, kwargs: Any) -> Any:
    made = func(*args, **kwargs)
    return made - log(args[0].numel() / made.numel())


FACTORS = (
    (0.0, "{term} is missing"),
    (-1.0, "{term} has the wrong sign"),
    (2.0, "{term} is twice what it should be"),
    (0.5, "{term} is half what it should be"),
)


def terms(number: int, site: Site) -> Iterator[Slip]:
    """A term of a sum that is missing, doubled, halved, or has the other sign."""
    if site.name not in ("add", "sub", "rsub") or len(site.operands) < 2:
        return
    for which in (0, 1):
        others = site.operands[1 - which]
        own = site.operands[which]
        if not own and not others:
            continue
        for factor, said in FACTORS:
            term = f"a term that holds {_and(own)}" if own else "a constant term"
            yield Slip(number, partial(_scaled, which, factor), said.format(term=term))


def _scaled(which: int, factor: float, func: Any, args: Any, kwargs: Any) -> Any:
    changed = list(args)
    changed[which] = factor * changed[which]
    return func(*changed, **kwargs)


def exponents(number: int, site: Site) -> Iterator[Slip]:
    """σ for σ² or the other way round, a square forgotten."""
    if site.name == "exp":
        of = _of(site.operands[0])
        yield Slip(
            number,
            lambda func, args, kwargs: func(args[0] / 2, *args[1:], **kwargs),
            f"the exponent is half what it should be, exp(s){of}: the variance is exp(2 log σ), and exp(log σ) is the standard deviation",
        )
        yield Slip(
            number,
            lambda func, args, kwargs: func(2 * args[0], *args[1:], **kwargs),
            f"the exponent is twice what it should be, exp(2s){of}: the standard deviation is exp(log σ), and exp(2 log σ) the variance",
        )
        yield Slip(
            number,
            lambda func, args, kwargs: args[0],
            f"exp is missing{of}: a logarithm was taken for the number itself",
        )
    if site.name in ("square", "pow") and not (site.name == "pow" and not all(site.tensors[:1])):
        of = _of(site.operands[0])
        yield Slip(number, lambda func, args, kwargs: args[0], f"a square is missing{of}")
        yield Slip(
            number, lambda func, args, kwargs: args[0].abs(), f"an absolute value was taken where a square is meant{of}"
        )
        yield Slip(
            number,
            lambda func, args, kwargs: func(func(*args, **kwargs), *args[1:], **kwargs),
            f"a square was squared again{of}",
        )
    if site.name == "sqrt":
        yield Slip(number, lambda func, args, kwargs: args[0], f"a square root is missing{_of(site.operands[0])}")


def logarithms(number: int, site: Site) -> Iterator[Slip]:
    """Another base, or no logarithm at all."""
    if site.name in ("log", "log_softmax", "logsumexp", "xlogy", "special_xlogy", "log1p", "logaddexp"):
        yield Slip(
            number,
            lambda func, args, kwargs: func(*args, **kwargs) / log(2),
            "a logarithm to base 2 stands beside natural ones: nats throughout (torch.log)",
        )
        yield Slip(
            number,
            lambda func, args, kwargs: func(*args, **kwargs) / log(10),
            "a logarithm to base 10 stands beside natural ones: nats throughout (torch.log)",
        )
    if site.name == "log":
        yield Slip(number, lambda func, args, kwargs: args[0], f"a logarithm is missing{_of(site.operands[0])}")


def detached(number: int, site: Site) -> Iterator[Slip]:
    """A part of the path through which no gradient flows, and one through which it should not."""
    names = frozenset().union(*site.operands)
    if site.name == "detach":
        yield Slip(
            number,
            lambda func, args, kwargs: args[0],
            f"a gradient flows through what should be held fixed{_of(names)}: detach it",
        )
    elif names and site.name not in ("shape", "__get__", "dim", "size", "numel", "__len__"):

        def change(func: Any, args: Any, kwargs: Any) -> Any:
            made = func(*args, **kwargs)
            return made.detach() if isinstance(made, Tensor) else made

        yield Slip(
            number, change, f"the value is right, but a part of {_and(names)} was detached, so its gradient is not"
        )


def stabilisers(number: int, site: Site) -> Iterator[Slip]:
    """A small constant inside a logarithm, a root or a denominator, or a clamp there."""
    if site.name in ("log", "sqrt", "rsqrt", "xlogy", "special_xlogy", "reciprocal"):
        where = 1 if "xlogy" in site.name else 0
        inside = {"sqrt": "a root", "rsqrt": "a root", "reciprocal": "a denominator"}.get(site.name, "a logarithm")
    elif site.name == "div" and len(site.tensors) > 1 and site.tensors[1]:
        where, inside = 1, "a denominator"
    elif site.name == "rdiv":
        where, inside = 0, "a denominator"
    else:
        return
    said = (
        f"a small constant was added inside {inside}, or its argument clamped{_of(site.operands[where])}: it changes the "
        "result where the argument is small; give the limit at 0 itself (torch.xlogy, torch.where), or stay in logarithms"
    )
    for small in SMALL:
        for added in (True, False):
            change = partial(_stabilised, where, small, added)
            yield Slip(number, change, said)
            yield Slip(number, change, said, everywhere=site.name)


def _stabilised(where: int, small: float, added: bool, func: Any, args: Any, kwargs: Any) -> Any:
    changed = list(args)
    changed[where] = changed[where] + small if added else changed[where].clamp(min=small)
    return func(*changed, **kwargs)


def _and(names: frozenset[str]) -> str:
    ordered = sorted(names)
    return ordered[0] if len(ordered) == 1 else f"{', '.join(ordered[:-1])} and {ordered[-1]}"


def _of(names: frozenset[str]) -> str:
    return f" (of {_and(names)})" if names else ""


def _over(operands: Sequence[frozenset[str]]) -> str:
    names = frozenset().union(*operands)
    return f", over what holds {_and(names)}" if names else ""
