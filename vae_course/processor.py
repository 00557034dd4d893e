"""What is computed on the processor whatever the device, in float64: Apple's devices have no float64 and little linear algebra.

Everything in this package that decides so calls one of these two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from torch import Tensor


def to_float64(x: Tensor) -> Tensor:
    """The values of x on the processor, in float64, without a gradient: moved first, converted then."""
    return x.detach().cpu().double()


@overload
def on_processor(compute: Callable[..., Tensor], *given: Tensor) -> Tensor: ...
@overload
def on_processor(compute: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]: ...
def on_processor(compute: Callable[..., Tensor | tuple[Tensor, ...]], *given: Tensor) -> Tensor | tuple[Tensor, ...]:
    """compute(*given) on the processor and in float64, its results back where the first of `given` is, in its number type.

    Gradients pass through. compute: for instance `torch.linalg.cholesky`.
    """
    made = compute(*(x.cpu().double() for x in given))
    if isinstance(made, Tensor):
        return made.to(given[0])
    return tuple(result.to(given[0]) for result in made)
