"""A model with another q(z|x) than its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

from vae_course.objectives import GenerativeModel


class WithPosterior(nn.Module):
    """A model's prior and likelihood beside another q(z|x): for bounds with a q that is not the posterior."""

    def __init__(self, model: GenerativeModel, posterior: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.model, self.q = model, posterior

    def prior(self) -> Distribution:
        """The model's p(z)."""
        return self.model.prior()

    def likelihood(self, z: Tensor) -> Distribution:
        """The model's p(x|z)."""
        return self.model.likelihood(z)

    def posterior(self, x: Tensor) -> Distribution:
        """The q(z|x) given."""
        return self.q(x)
