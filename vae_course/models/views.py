"""A model with one of its three distributions exchanged: again a model.

A view holds the model, so that its parameters, its device, its state and its parts are those of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.distributions import Distribution

from vae_course.distributions.model import GenerativeModel, LatentVariableModel, part
from vae_course.distributions.tensors import mapped, modules_in


def register_owner(view: nn.Module, method: object, model: object) -> None:
    """Where a method of another module was given, that module's parameters are the view's too."""
    owner = getattr(method, "__self__", None)
    if isinstance(owner, nn.Module) and owner is not model:
        view.owner = owner


class WithPosterior(nn.Module):
    """A model's prior and likelihood beside another q(z|x): for bounds with a q that is not the posterior.

    posterior: x → q(z|x). Where it is a module, or a method of one, its parameters are those of the view too. Where it
    has a row for each example, it needs a method `part(rows)`, or to be a method of a model that has one.
    """

    def __init__(self, model: GenerativeModel, posterior: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.model, self.q = model, posterior
        register_owner(self, posterior, model)

    def prior(self) -> Distribution:
        """The model's p(z)."""
        return self.model.prior()

    def likelihood(self, z: Tensor) -> Distribution:
        """The model's p(x|z)."""
        return self.model.likelihood(z)

    def posterior(self, x: Tensor) -> Distribution:
        """The q(z|x) given."""
        return self.q(x)

    def part(self, rows: slice) -> WithPosterior:
        """The view for some of the examples."""
        return WithPosterior(part(self.model, rows), part(self.q, rows))


class WithPrior(nn.Module):
    """A model's posterior and likelihood beside another p(z): a mixture, a flow, a density fitted to the codes.

    prior: a distribution, or a function or module without arguments that returns one: a prior whose parameters are
    trained must be such a module, so that it is made anew at each step. Modules inside a distribution (those of a flow)
    are part of the view, and its tensors move with the view.
    """

    def __init__(self, model: LatentVariableModel, prior: Distribution | Callable[[], Distribution]) -> None:
        super().__init__()
        self.model, self.p = model, prior
        self.inside = nn.ModuleList(modules_in(prior)) if isinstance(prior, Distribution) else nn.ModuleList()
        register_owner(self, prior, model)

    def prior(self) -> Distribution:
        """The p(z) given."""
        return self.p if isinstance(self.p, Distribution) else self.p()

    def likelihood(self, z: Tensor) -> Distribution:
        """The model's p(x|z)."""
        return self.model.likelihood(z)

    def posterior(self, x: Tensor) -> Distribution:
        """The model's q(z|x)."""
        return self.model.posterior(x)

    def part(self, rows: slice) -> WithPrior:
        """The view for some of the examples."""
        return WithPrior(part(self.model, rows), part(self.p, rows))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What `.to(device)`, `.double()` and the like do to every tensor of a module."""
        if isinstance(self.p, Distribution):
            self.p = mapped(self.p, fn)
        made: Any = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return made  # type: ignore[no-any-return]
