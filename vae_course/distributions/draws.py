"""A draw that loses no gradient in silence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent


def draw(q: Distribution, sample_shape: Sequence[int] = ()) -> Tensor:
    """z ~ q, [*sample, *batch, *event]: reparameterized where q can be, so that gradients reach its parameters.

    A q without a reparameterized draw is sampled where no gradient can get lost: under `torch.no_grad()`, or where it
    depends on no parameter. Raises NotImplementedError elsewhere, with what to do.
    """
    if q.has_rsample:
        return q.rsample(Size(sample_shape))
    z: Tensor = q.sample(Size(sample_shape))
    if torch.is_grad_enabled() and q.log_prob(z).requires_grad:
        raise NotImplementedError(
            f"A draw of {name_of(q)} has no pathwise gradient by its parameters, and what is to be raised or lowered would "
            "lose it in silence: use the score function (vae_course.inference.gradients.score_function), a relaxation "
            "(model.relaxed, model.straight_through), or torch.no_grad() where no gradient is wanted."
        )
    return z


def sample_with_log_prob(q: Distribution, sample_shape: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Draws z ~ q, as `draw` makes them, and log q(z): [*sample, *batch, *event], [*sample, *batch] nats."""
    z = draw(q, sample_shape)
    return z, q.log_prob(z)


def name_of(q: Distribution) -> str:
    """The family of a distribution, in a word: torch's, where ours is a variant of it."""
    kind = type(q.base_dist if isinstance(q, Independent) else q)
    public = next(base.__name__ for base in kind.__mro__ if not base.__name__.startswith("_"))
    return kind.__name__.lstrip("_") if public == "Distribution" else public
