"""The KL term of the ELBO in three pieces: what z says of x, how far the latents depend on one another, and the rest."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from vae_course.distributions.draws import draw
from vae_course.distributions.model import LatentVariableModel
from vae_course.distributions.operations import log_prior, log_prob_each, log_prob_of_factors
from vae_course.refusals import refuse_no_examples


class KlPieces(NamedTuple):
    """log q(z|x) − log p(z) in three pieces, each [batch] nats."""

    index_code: Tensor  # log q(z|x) − log q(z): in the mean, what z says about which x it came from
    total_correlation: Tensor  # log q(z) − Σ_j log q(z_j): in the mean, how far the latents are from independent
    dimension_wise: Tensor  # Σ_j [log q(z_j) − log p(z_j)]: in the mean, each latent's distance from its prior


def decompose_kl(q: Distribution, z: Tensor, p: Distribution, size: int) -> KlPieces:
    """KL(q(z|x)||p(z)) = I(x; z) + KL(q(z)||Π_j q(z_j)) + Σ_j KL(q(z_j)||p(z_j)), in the mean over x and z, at one draw each.

    Chen, Li, Grosse & Duvenaud, arXiv:1802.04942, eq. 2. q(z) = (1/size) Σ q(z|x_j) over a set; of its terms the
    batch holds the example's own, with weight 1/size, and others that stand for the rest, with equal weights: an
    unbiased estimate of q(z), hence one of its logarithm that errs downwards. Exact where the batch is the set.

    q: batch [batch], factorised; z: [batch, *event], drawn from q; size: of the set. The factors of q are the "latents".
    Where p does not factorise, the third piece holds what its latents know of one another.
    Raises ValueError for size < batch or a batch of one out of more; TypeError for a q that does not factorise.
    """
    batch = len(z)
    if size < batch or (batch == 1 and size > 1):
        raise ValueError(
            f"decompose_kl was given a batch of {batch} out of {size} examples; it needs 2 to all of them: pass size = the "
            "number of examples the batch is drawn from, and choose a batch size that leaves no last batch of 1."
        )
    pairs = log_prob_of_factors(q, z[:, None])  # [batch, batch, latent]: log q(z_ij | x_k)
    others = (size - 1) / (size * max(1, batch - 1))
    log_weight = z.new_full((batch, batch), others).fill_diagonal_(1 / size).log()
    log_q = (pairs.sum(-1) + log_weight).logsumexp(1)  # [batch]: log q(z)
    log_marginals = (pairs + log_weight[..., None]).logsumexp(1).sum(-1)  # [batch]: Σ_j log q(z_j)
    return KlPieces(q.log_prob(z) - log_q, log_q - log_marginals, log_marginals - log_prior(p, q, z))


class DecomposedElbo(NamedTuple):
    """The bound with its KL term in three pieces, each [batch] nats."""

    log_likelihood: Tensor  # log p(x|z), z ~ q(z|x)
    index_code: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor


def decomposed_elbo(model: LatentVariableModel, x: Tensor, size: int) -> DecomposedElbo:
    """The terms of the ELBO at one draw of z, the KL as `decompose_kl` splits it.

    x: [batch, *event], drawn from a set of `size` examples → four terms, [batch] nats each.
    Raises as `decompose_kl` and `elbo` do.
    """
    refuse_no_examples("decomposed_elbo", x)
    q = model.posterior(x)
    z = draw(q)  # [batch, latent]
    pieces = decompose_kl(q, z, model.prior(), size)
    return DecomposedElbo(log_prob_each(model.likelihood(z), x, q.batch_shape), *pieces)
