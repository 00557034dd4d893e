"""A model with one of its three distributions exchanged: again a model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

from vae_course.objectives import GenerativeModel, LatentVariableModel


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


class WithPrior(nn.Module):
    """A model's posterior and likelihood beside another p(z): for priors fitted after the model."""

    def __init__(self, model: LatentVariableModel, prior: Distribution) -> None:
        super().__init__()
        self.model, self.p = model, prior

    def prior(self) -> Distribution:
        """The p(z) given."""
        return self.p

    def likelihood(self, z: Tensor) -> Distribution:
        """The model's p(x|z)."""
        return self.model.likelihood(z)

    def posterior(self, x: Tensor) -> Distribution:
        """The model's q(z|x)."""
        return self.model.posterior(x)
