"""One-hot categorical latents, their softmax relaxation, and the straight-through draw between the two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import (
    Independent,
    OneHotCategorical,
    RelaxedOneHotCategorical,
    kl_divergence,
    register_kl,
)
from torch.nn.functional import one_hot


def one_hot_categorical(logits: Tensor) -> Independent[OneHotCategorical]:
    """Independent categorical variables as one-hot rows: P(z_v = e_c) = softmax(logits_v)_c.

    logits: [..., variables, categories], which need not be normalised; event [variables, categories].
    """
    return Independent(_OneHot(logits=logits), 1)


class _OneHot(OneHotCategorical):
    """A one-hot categorical that says in one sentence what it has no probability for, and why no pathwise gradient."""

    def _validate_sample(self, value: Tensor) -> None:
        if not bool(((value == 0) | (value == 1)).all() & (value.sum(-1) == 1).all()):
            raise ValueError(
                "A categorical over one-hot rows was asked for the probability of other rows: they have none. A relaxed "
                "posterior has no importance weights beside this prior: take elbo, whose KL is that of the categoricals; or "
                "the model itself, or its straight_through, whose draws are one-hot; or a relaxed prior (WithPrior)."
            )

    def expand(self, batch_shape: Any, _instance: Any = None) -> _OneHot:
        return _OneHot(logits=self.logits.expand((*batch_shape, self.logits.shape[-1])))

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        raise NotImplementedError(
            "A categorical draw jumps from one value to another, so it has no reparameterized draw and no pathwise "
            "gradient: relax it (relaxed, straight_through), use the score function, or enumerate."
        )


def relaxed_categorical(logits: Tensor, temperature: float) -> Independent[RelaxedOneHotCategorical]:
    """softmax((logits + g) / τ), g standard Gumbel noise: near the corners of the simplex for small τ, differentiable.

    Jang, Gu & Poole, arXiv:1611.01144, eq. 2; Maddison, Mnih & Teh, arXiv:1611.00712. Its `log_prob` is a density on
    the simplex, not the probability of a category. logits: [..., variables, categories].
    Raises ValueError unless τ > 0.
    """
    return Independent(RelaxedOneHotCategorical(_positive(temperature, logits), logits=logits), 1)


def straight_through_categorical(logits: Tensor, temperature: float) -> Independent[OneHotCategorical]:
    """One-hot draws of the categorical whose gradient is that of the relaxed draw with the same noise.

    Values, log-probabilities and KL are those of `one_hot_categorical`: what it estimates is exact, the gradient is
    biased. Jang, Gu & Poole, arXiv:1611.01144, section 2.2. Raises ValueError unless τ > 0.
    """
    return Independent(_StraightThrough(_positive(temperature, logits), logits), 1)


class _StraightThrough(_OneHot):
    """A one-hot categorical with a differentiable draw."""

    has_rsample = True

    def __init__(self, temperature: Tensor, logits: Tensor) -> None:
        self.temperature = temperature
        super().__init__(logits=logits)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _StraightThrough:
        shape = (*batch_shape, self.logits.shape[-1])
        return _StraightThrough(self.temperature, self.logits.expand(shape))

    def rsample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        soft = RelaxedOneHotCategorical(self.temperature, logits=self.logits).rsample(Size(sample_shape))
        hard = one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
        return hard + (soft - soft.detach())


def _positive(temperature: float, like: Tensor) -> Tensor:
    if not temperature > 0:
        raise ValueError(f"A relaxed categorical was given the temperature {temperature}; it must be above 0.")
    return torch.as_tensor(temperature, dtype=like.dtype, device=like.device)


@register_kl(RelaxedOneHotCategorical, OneHotCategorical)  # type: ignore[untyped-decorator]
def _kl_relaxed(q: RelaxedOneHotCategorical, p: OneHotCategorical) -> Tensor:
    return _kl_of_choices(q, p)


def _kl_of_choices(q: RelaxedOneHotCategorical, p: OneHotCategorical) -> Tensor:
    """The KL divergence of the categoricals that q relaxes and p: not that of q's density, so no bound follows."""
    return kl_divergence(OneHotCategorical(logits=q.logits), p)


def enumerate_one_hot(variables: int, categories: int, like: Tensor) -> Tensor:
    """Every value of `variables` one-hot rows, the last one changing fastest: [categories^variables, variables, categories].

    Raises ValueError for more than 100,000 values.
    """
    refuse_too_many(f"{variables} variables of {categories} categories", categories**variables)
    numbers = torch.cartesian_prod(*[torch.arange(categories, device=like.device)] * variables)
    return one_hot(numbers.reshape(-1, variables), categories).to(like)


def refuse_too_many(what: str, values: int) -> None:
    """Raise ValueError for more than 100,000 values to be enumerated."""
    if values > 100_000:
        raise ValueError(f"{what} have {values:,} values; at most 100,000 can be enumerated: take a smaller model.")
