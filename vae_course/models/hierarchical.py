"""A VAE with two levels of latents: the same three distributions, the first two of them chains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_course.distributions.chain import Chain
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.models.vae import Family
from vae_course.networks.multilayer import image_mlps, mlp


class HierarchicalVAE(nn.Module):
    """p(z₂) = N(0, I), p(z₁|z₂) normal, p(x|z₁); q(z₁|x) and q(z₂|z₁) normal: one latent z = (z₁, z₂), a chain.

    Rezende, Mohamed & Wierstra, arXiv:1401.4082, section 2; Burda et al., arXiv:1509.00519, section 3, for this q. The
    prior runs down and the posterior up; both lay z₁ before z₂.

    encoder: [..., *image] → [..., 2·l₁], upwards: [..., l₁] → [..., 2·l₂], downwards: [..., l₂] → [..., 2·l₁], each the
    mean and the log of the standard deviation; decoder: [..., l₁] → what `family` takes. latents: (l₁, l₂).
    """

    zero: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        upwards: nn.Module,
        downwards: nn.Module,
        decoder: nn.Module,
        latents: tuple[int, int],
        family: Family = bernoulli,
    ) -> None:
        super().__init__()
        self.encoder, self.upwards, self.downwards, self.decoder = encoder, upwards, downwards, decoder
        self.latents, self.family = latents, family
        self.register_buffer("zero", torch.zeros(latents[1]))

    def prior(self) -> Chain:
        """p(z₂) p(z₁|z₂): batch [], event [l₁ + l₂]."""
        top = diagonal_normal(self.zero, torch.ones_like(self.zero))
        return Chain(top, lambda z2: _normal(self.downwards(z2)), event=[self.latents[0]], swapped=True)

    def posterior(self, x: Tensor) -> Chain:
        """q(z₁|x) q(z₂|z₁): batch [batch], event [l₁ + l₂]."""
        return Chain(_normal(self.encoder(x)), lambda z1: _normal(self.upwards(z1)), event=[self.latents[1]])

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z₁): batch as z without its last axis, event [*image]."""
        return self.family(self.decoder(z[..., : self.latents[0]]))


def _normal(parameters: Tensor) -> Independent[Normal]:
    mean, log_std = parameters.chunk(2, dim=-1)
    return diagonal_normal(mean, log_std.exp())


def mlp_hierarchical_vae(
    image: Sequence[int],
    hidden: Sequence[int],
    latents: tuple[int, int],
    family: Family = bernoulli,
    activation: type[nn.Module] = nn.SiLU,
) -> HierarchicalVAE:
    """Two levels, four MLPs of the same hidden layers."""
    low, high = latents
    encoder, decoder = image_mlps(image, hidden, low, 2 * low, activation)
    upwards = mlp(low, *hidden, 2 * high, activation=activation)
    downwards = mlp(high, *hidden, 2 * low, activation=activation)
    return HierarchicalVAE(encoder, upwards, downwards, decoder, latents, family)
