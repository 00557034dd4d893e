"""The VAE with categorical latents: the same three distributions, two of them over one-hot rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, OneHotCategorical

from vae_course.distributions.discrete import one_hot_categorical, relaxed_categorical, straight_through_categorical
from vae_course.distributions.families import bernoulli
from vae_course.models.vae import Family
from vae_course.models.views import WithPosterior
from vae_course.networks.multilayer import image_mlps


class DiscreteVAE(nn.Module):
    """p(z) uniform, q(z|x) = Π_v Categorical(logits_v(x)), p(x|z) = family(decoder(z)).

    z: [variables, categories], a one-hot row a variable: categories^variables values. Its posterior has no `rsample`,
    hence no pathwise gradient; `relaxed` and `straight_through` are the same model with a posterior that has one.

    encoder: [..., *image] → [..., variables · categories] logits; decoder: [..., variables · categories] → what
    `family` takes.
    """

    zero: Tensor

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, variables: int, categories: int, family: Family = bernoulli
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.family = encoder, decoder, family
        self.register_buffer("zero", torch.zeros(variables, categories))

    def prior(self) -> Independent[OneHotCategorical]:
        """Every value equally probable: batch [], event [variables, categories]."""
        return one_hot_categorical(self.zero)

    def logits(self, x: Tensor) -> Tensor:
        """What q(z|x) is made from: [batch, *image] → [batch, variables, categories]."""
        return self.encoder(x).unflatten(-1, tuple(self.zero.shape))  # type: ignore[no-any-return]

    def posterior(self, x: Tensor) -> Distribution:
        """q(z|x): batch [batch], event [variables, categories]."""
        return one_hot_categorical(self.logits(x))

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z), also for rows z between the corners: batch as z without its last two axes, event [*image]."""
        return self.family(self.decoder(z.flatten(-2)))

    def relaxed(self, temperature: float) -> WithPosterior:
        """The model with the softmax relaxation for its posterior: differentiable, and no longer a bound on log p(x)."""
        return WithPosterior(self, partial(self._posterior_from, relaxed_categorical, temperature))

    def straight_through(self, temperature: float) -> WithPosterior:
        """The model with one-hot draws and the relaxation's gradient: its ELBO is exact, its gradient is biased."""
        return WithPosterior(self, partial(self._posterior_from, straight_through_categorical, temperature))

    def _posterior_from(
        self, family: Callable[[Tensor, float], Distribution], temperature: float, x: Tensor
    ) -> Distribution:
        return family(self.logits(x), temperature)


def mlp_discrete_vae(
    image: Sequence[int],
    hidden: Sequence[int],
    variables: int,
    categories: int,
    family: Family = bernoulli,
    activation: type[nn.Module] = nn.SiLU,
) -> DiscreteVAE:
    """A discrete VAE of two mirrored MLPs; `hidden=()` makes both maps linear."""
    code = variables * categories
    encoder, decoder = image_mlps(image, hidden, code, code, activation)
    return DiscreteVAE(encoder, decoder, variables, categories, family)
