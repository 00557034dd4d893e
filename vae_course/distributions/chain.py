"""Two latents as one: a distribution over (z₁, z₂) that is drawn in two steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from vae_course.distributions.draws import draw


class Chain(Distribution):
    """z = (a, b) with a ~ first and b ~ second(a): log p(z) = log first(a) + log second(a)(b).

    So a hierarchy is one latent, and every objective takes it. The event is a vector: the numbers of a, then those of b.
    Where the prior runs down a hierarchy and the posterior up, one of them is `swapped`: it lays b before a, so that both
    are over the same vector. Sønderby et al., arXiv:1602.02282, section 2, for both directions.

    first: batch [*batch], event any; second: a [*sample, *batch, *event of a] → a distribution with batch
    [*sample, *batch] and the event given.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True  # each link is drawn by `draw`, which refuses where a gradient would get lost

    def __init__(
        self,
        first: Distribution,
        second: Callable[[Tensor], Distribution],
        event: Sequence[int],
        swapped: bool = False,
    ) -> None:
        self.first, self.second, self.event, self.swapped = first, second, Size(event), swapped
        numbers = prod(first.event_shape), prod(event)
        self.split_at = numbers[1] if swapped else numbers[0]
        super().__init__(first.batch_shape, Size([sum(numbers)]), validate_args=False)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b), each in the shape of its event: [..., numbers] → [..., *event of a], [..., *event of b]."""
        left, right = z[..., : self.split_at], z[..., self.split_at :]
        a, b = (right, left) if self.swapped else (left, right)
        return a.reshape(*a.shape[:-1], *self.first.event_shape), b.reshape(*b.shape[:-1], *self.event)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """The vector of both: what `split` takes apart."""
        flat = [
            v.reshape(*v.shape[: v.ndim - len(event)], -1)
            for v, event in ((a, self.first.event_shape), (b, self.event))
        ]
        return torch.cat(flat[::-1] if self.swapped else flat, -1)

    def rsample(self, sample_shape: Size | Sequence[int] = ()) -> Tensor:
        """[*sample, *batch, numbers]: each link as `draw` draws it."""
        a = draw(self.first, sample_shape)
        return self.join(a, draw(self.second(a)))

    def sample(self, sample_shape: Size | Sequence[int] = ()) -> Tensor:
        """[*sample, *batch, numbers], without gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log first(a) + log second(a)(b): [..., numbers] → [...] nats."""
        a, b = self.split(value)
        found: Tensor = self.first.log_prob(a) + self.second(a).log_prob(b)
        return found
