"""The variational autoencoder: three distributions, two of them given by networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.networks.convolutional import convolutional_networks
from vae_course.networks.multilayer import image_mlps

Family = Callable[[Tensor], Distribution]


class VAE(nn.Module):
    """p(z) = N(0, I), q(z|x) = N(μ(x), diag σ²(x)), p(x|z) = family(decoder(z)).

    Kingma & Welling, arXiv:1312.6114, section 3 and appendix C.

    encoder: [..., *image] → [..., 2·latent], the mean and the log of the standard deviation σ.
    decoder: [..., latent] → whatever `family` makes a distribution over pictures from (logits, for `bernoulli`).
    """

    zero: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int, family: Family = bernoulli) -> None:
        super().__init__()
        self.encoder, self.decoder, self.family = encoder, decoder, family
        self.register_buffer("zero", torch.zeros(latent))

    def prior(self) -> Independent[Normal]:
        """p(z) = N(0, I): batch [], event [latent]."""
        return diagonal_normal(self.zero, torch.ones_like(self.zero))

    def posterior(self, x: Tensor) -> Independent[Normal]:
        """q(z|x), the approximate posterior: batch [batch], event [latent]."""
        mean, log_std = self.encoder(x).chunk(2, dim=-1)  # each [batch, latent]
        return diagonal_normal(mean, log_std.exp())

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z): batch as z without its last axis, event [*image]."""
        return self.family(self.decoder(z))


def mlp_vae(
    image: Sequence[int],
    hidden: Sequence[int],
    latent: int,
    family: Family = bernoulli,
    activation: type[nn.Module] = nn.SiLU,
    numbers: int = 1,
) -> VAE:
    """A VAE of two mirrored MLPs; `hidden=()` makes both maps linear. numbers: how many the family takes a pixel."""
    encoder, decoder = image_mlps(image, hidden, latent, 2 * latent, activation, numbers)
    return VAE(encoder, decoder, latent, family)


def convolutional_vae(
    image: Sequence[int],
    channels: Sequence[int],
    hidden: Sequence[int],
    latent: int,
    family: Family = bernoulli,
    activation: type[nn.Module] = nn.SiLU,
    numbers: int = 1,
) -> VAE:
    """A VAE of two mirrored convolutional networks, each of `channels` halving the picture, `hidden` the MLP between.

    numbers: how many the family takes a pixel. Raises ValueError for pictures that cannot be halved that often.
    """
    encoder, decoder = convolutional_networks(image, channels, hidden, latent, 2 * latent, numbers, activation)
    return VAE(encoder, decoder, latent, family)
