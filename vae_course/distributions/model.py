"""The contract of the course: a model is three distributions, and a part of a model is a model."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.tensors import rows_of


class GenerativeModel(Protocol):
    """What draws x: two distributions."""

    def prior(self) -> Distribution:
        """p(z)."""
        ...

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z)."""
        ...


class LatentVariableModel(GenerativeModel, Protocol):
    """A model is three distributions."""

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x)."""
        ...


T = TypeVar("T")


def part(of: T, rows: slice) -> T:
    """The same for some of the examples, so that estimators can take examples in parts.

    A model that knows a condition for each example, a q with free parameters for each, or a view on one of them, has a
    method `part(rows)`; a method of such a model (`given.posterior`) is that method of its part; a distribution with
    one row for each example is cut. Anything else is the same for all examples, and stays whole.
    """
    found: Any = of
    if isinstance(found, Distribution):
        return rows_of(found, rows)  # type: ignore[return-value]
    owner = getattr(found, "__self__", None)
    if hasattr(owner, "part"):
        return getattr(part(owner, rows), found.__name__)  # type: ignore[no-any-return]
    return found.part(rows) if hasattr(found, "part") else of
