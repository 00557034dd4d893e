"""What every bound asks of its distributions: a divergence, and a log-probability for each example or each factor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from vae_course.distributions.chain import Chain
from vae_course.distributions.draws import name_of


def divergence(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q || p) in closed form where one is known, else its estimate log q(z) − log p(z) at a draw z ~ q: [*batch] nats.

    Both have the same mean over z; for chains in the same order the closed form of each link is taken that has one.
    Raises ValueError where q and p are not over the same space.
    """
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"The posterior is over latents {list(q.event_shape)} and the prior over {list(p.event_shape)}: give both the "
            "same event."
        )
    if isinstance(q, Chain) and isinstance(p, Chain) and q.swapped == p.swapped and q.split_at == p.split_at:
        first, second = q.split(z)
        found = divergence(q.first, p.first, first) + divergence(q.second(first), p.second(first), second)
    else:
        try:
            found = kl_divergence(q, p)
        except NotImplementedError:
            found = q.log_prob(z) - log_prior(p, q, z)
    if found.shape != q.batch_shape:
        raise ValueError(
            f"A divergence came out as {list(found.shape)} for a posterior of batch {list(q.batch_shape)}: the prior's batch "
            f"is {list(p.batch_shape)}; it must be [] or that of the posterior."
        )
    return found


def log_prior(p: Distribution, q: Distribution, z: Tensor) -> Tensor:
    """log p(z) for a z drawn from q: [*sample, *batch] nats.

    Raises ValueError where one of the two is a density and the other gives probabilities: a relaxed draw has none under a
    categorical, so there are no importance weights.
    """
    if _is_discrete(p) != _is_discrete(q):
        kinds = (
            ("a probability of values", "a density") if _is_discrete(p) else ("a density", "a probability of values")
        )
        raise ValueError(
            f"The prior is {kinds[0]} and the posterior, {name_of(q)}, {kinds[1]}: there is no log p(z) − log q(z). Take the "
            "model itself or its straight_through, whose draws are values; or a relaxed prior (WithPrior); with the standard "
            "prior elbo works too, whose KL is that of the categoricals."
        )
    log_p: Tensor = p.log_prob(z)
    return log_p


def _is_discrete(p: Distribution) -> bool:
    """Whether p gives probabilities of single values."""
    try:
        return bool(p.support.is_discrete)  # type: ignore[union-attr]
    except NotImplementedError:
        return False


def log_prob_each(p: Distribution, x: Tensor, batch: Sequence[int]) -> Tensor:
    """log p(x), refused unless it is one number for each of `batch`: x [n, *event] with batch [..., n], or one x [*event].

    Broadcasting would hide a missing or an extra axis, and every number would be wrong. Raises ValueError.
    """
    axes = x.ndim - len(p.event_shape)
    is_x = axes in (0, 1) and x.shape[axes:] == p.event_shape and x.shape[:axes] in ((), tuple(batch[-1:]))
    is_batch = len(p.batch_shape) == len(batch) and all(n in (1, m) for n, m in zip(p.batch_shape, batch, strict=True))
    log_p = p.log_prob(x) if is_x and is_batch else None
    if log_p is None or tuple(log_p.shape) != tuple(batch):
        raise ValueError(
            f"log p(x|z) is not one number for each example: x is {list(x.shape)}, the latents are {list(batch)}, and "
            f"the likelihood has batch {list(p.batch_shape)} and event {list(p.event_shape)}. Give x as [batch, *event] "
            "(pictures with their channel axis), one for each latent, and declare all axes of one example its event."
        )
    return log_p


def log_prob_of_factors(q: Distribution, z: Tensor) -> Tensor:
    """log q of each of its independent factors: [..., *event] → [..., factors] nats; their sum is log q(z).

    The factors are the coordinates of a diagonal normal, the variables of a discrete latent, the positions of a field of
    codes. Raises TypeError for a q that does not factorise.
    """
    if isinstance(q, Independent):
        factors: Tensor = q.base_dist.log_prob(z)
        return factors.flatten(-q.reinterpreted_batch_ndims)
    if not q.event_shape:
        return q.log_prob(z)[..., None]  # one factor
    own = getattr(q, "log_prob_of_factors", None)
    if own is None:
        raise TypeError(
            f"{name_of(q)} does not factorise, so it has no log-probability for each latent: use elbo or log_weights, "
            "which take every posterior."
        )
    by_factor: Tensor = own(z)
    return by_factor
