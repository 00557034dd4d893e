"""The vector-quantised VAE: a posterior that is certain, a prior over codes that is learned afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution

from vae_course.distributions.quantised import CodeDistribution, IndependentCodes, NearestCode
from vae_course.models.vae import Family
from vae_course.networks.codebook import Codebook, MovingCodebook


class VQVAE(nn.Module):
    """p(z) uniform over the codes, q(z|x) certain of the nearest, p(x|z) = family(decoder(z)).

    Van den Oord, Vinyals & Kavukcuoglu, arXiv:1711.00937. z: [d, *grid], a vector of the codebook at each position.
    The KL term is the constant positions · log K; beside another prior
    (`vae_course.models.views.WithPrior`) it is −log p(z), the length of the code in nats.

    encoder: [batch, *shape] → [batch, d, *grid]; decoder: [..., d, *grid] → what `family` takes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        codebook: Codebook | MovingCodebook,
        decoder: nn.Module,
        family: Family,
        grid: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder, self.codebook, self.decoder, self.family = encoder, codebook, decoder, family
        self.grid = tuple(grid)

    def prior(self) -> CodeDistribution:
        """Every code equally probable at every position: batch [], event [d, *grid]."""
        vectors = self.codebook.vectors
        return IndependentCodes(vectors, vectors.new_zeros(*self.grid, len(vectors)))

    def posterior(self, x: Tensor) -> NearestCode:
        """q(z|x): batch [batch], event [d, *grid]."""
        return NearestCode(self.encoder(x), self.codebook.vectors)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x|z): batch as z without its event, event [*shape]."""
        return self.family(self.decoder(z))


def codebook_term(q: NearestCode) -> Tensor:
    """‖sg[z_e] − e‖², which moves the chosen codes towards the encoder's output: [batch], no unit of probability.

    Van den Oord et al., arXiv:1711.00937, eq. 3, second term. sg: stop-gradient. A function of q and not of (model,
    x), so that the encoder runs once for all terms.
    """
    return (q.continuous.detach() - q.nearest).square().flatten(1).sum(1)


def commitment_term(q: NearestCode) -> Tensor:
    """‖z_e − sg[e]‖², which keeps the encoder's output near the chosen codes: [batch]. Eq. 3, third term, without its β."""
    return (q.continuous - q.nearest.detach()).square().flatten(1).sum(1)
