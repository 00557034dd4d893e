"""The tensors inside a distribution: moved to a device, cut to some of the examples; and the modules inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

from torch import Size, Tensor, nn
from torch.distributions import Distribution, Transform


def mapped(p: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """A copy of p with every tensor inside it changed, also those of the distributions and transforms it is made of.

    Modules inside it stay as they are: who holds p moves them, as `modules_in` finds them.
    """
    changed: Distribution = _mapped(p, change, {})
    return changed


def rows_of(p: Distribution, rows: slice) -> Distribution:
    """p for some of the examples: one whose batch is [n, ...] cut to [rows, ...]; one without a batch stays whole."""
    if not p.batch_shape:
        return p
    n = p.batch_shape[0]
    cut = mapped(p, lambda t: t[rows] if t.shape[:1] == (n,) else t)
    for inner in _parts(cut, {}):
        if isinstance(inner, Distribution) and inner.batch_shape[:1] == (n,):
            inner._batch_shape = Size((len(range(n)[rows]), *inner.batch_shape[1:]))
    return cut


def modules_in(p: Distribution) -> list[nn.Module]:
    """The modules that a distribution is made of, such as the networks of a flow's transforms."""
    return [part for part in _parts(p, {}) if isinstance(part, nn.Module)]


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """The distributions, transforms and modules that something is made of, itself included, each once."""
    if isinstance(value, list | tuple):
        for element in value:
            yield from _parts(element, seen)
    elif isinstance(value, Distribution | Transform | nn.Module) and id(value) not in seen:
        seen[id(value)] = value
        yield value
        if not isinstance(value, nn.Module):
            yield from _parts(list(vars(value).values()), seen)


def _mapped(value: Any, change: Callable[[Tensor], Tensor], made: dict[int, Any]) -> Any:
    """made: what has been copied so far; a transform and its inverse hold one another."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple) and not isinstance(value, Size):
        return type(value)(_mapped(element, change, made) for element in value)
    if isinstance(value, nn.Module) or not isinstance(value, Distribution | Transform):
        return value
    if id(value) not in made:
        made[id(value)] = copy(value)
        for key, part in vars(value).items():
            made[id(value)].__dict__[key] = _mapped(part, change, made)
    return made[id(value)]
