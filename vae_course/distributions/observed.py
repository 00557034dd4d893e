"""A likelihood of what was observed: gaps count nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, constraints


class Observed(Distribution):
    """p(x) of independent coordinates, some of which were not observed: log p(x_observed) = Σ_observed log p(x_j).

    An x holds NaN where it was not observed. Where the coordinates are independent, integrating over one that is missing leaves the
    others' product, so that a bound with this likelihood is a bound on log p of what was observed (Mattei & Frellsen,
    arXiv:1812.02633). That the gaps say nothing about the values themselves is assumed, not checked.

    whole: an Independent distribution over all coordinates; a draw of it, and its mean, have no gaps.
    `log_prob`: [..., *event] with NaN at gaps → [...] nats, 0 where nothing was observed.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, whole: Independent[Any], inside: float = 0.0) -> None:
        """inside: a value that the family takes, to stand where a reading is missing; its log-probability is left out.

        Raises TypeError for a distribution whose coordinates are not independent.
        """
        if not isinstance(whole, Independent):
            raise TypeError(
                f"Observed was given {type(whole).__name__}: a gap can be left out only where the coordinates are independent; "
                "give torch.distributions.Independent(…), as diagonal_normal returns."
            )
        self.whole, self.inside = whole, inside
        super().__init__(whole.batch_shape, whole.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As of the whole."""
        return bool(self.whole.has_rsample)

    @property
    def support(self) -> Any:
        """Of the whole."""
        return self.whole.support

    @property
    def mean(self) -> Tensor:
        """E[x], without gaps."""
        return self.whole.mean

    @property
    def variance(self) -> Tensor:
        """Of each coordinate."""
        return self.whole.variance

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """A draw without gaps."""
        return self.whole.sample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008 - torch's own signature
        """A draw without gaps, differentiable where the whole is."""
        return self.whole.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ over what is not NaN of log p(x_j), [...] nats."""
        gaps = value.isnan()
        each = self.whole.base_dist.log_prob(
            torch.where(gaps, self.inside, value)
        )  # no NaN enters: its gradient would be NaN
        observed = torch.where(gaps, 0.0, each)
        axes = self.whole.reinterpreted_batch_ndims
        return observed.flatten(observed.ndim - axes).sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Observed:
        """The same for a larger batch."""
        return Observed(self.whole.expand(batch_shape), self.inside)
