"""What the latents of a model carry: their means, which are active, what each costs."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, OneHotCategorical, kl_divergence

from vae_course.distributions.draws import draw, name_of
from vae_course.distributions.model import LatentVariableModel, part
from vae_course.distributions.operations import log_prior, log_prob_of_factors
from vae_course.refusals import refuse_no_examples


@torch.no_grad()
def posterior_means(model: LatentVariableModel, x: Tensor, chunk: int = 1_000) -> Tensor:
    """E_q(z|x)[z]: [n, *event] → [n, *latent].

    Raises NotImplementedError for a q whose mean has no closed form, ValueError for no examples.
    """
    refuse_no_examples("posterior_means", x)
    means = []
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        q = part(model, rows).posterior(x[rows])
        try:
            means.append(q.mean)
        except NotImplementedError:
            raise NotImplementedError(
                f"{name_of(q)} has no mean in closed form: average draws, model.posterior(x).sample((100,)).mean(0)."
            ) from None
    return torch.cat(means)


def active_units(model: LatentVariableModel, x: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latents carry something about x: Var_x(E_q(z|x)[z]) > threshold, [*latent] of bool.

    Burda et al., arXiv:1509.00519, section 5.2. Raises ValueError for fewer than 2 examples, and as `posterior_means`.
    """
    refuse_no_examples("active_units", x)
    if len(x) < 2:
        raise ValueError(f"active_units was given {len(x)} examples; a variance over x needs at least 2.")
    return posterior_means(model, x).var(0) > threshold


@torch.no_grad()
def kl_per_latent(model: LatentVariableModel, x: Tensor, chunk: int = 1_000) -> Tensor:
    """KL(q(z_j|x) || p(z_j)) averaged over x, for each latent j: [n, *event] → [latent] nats.

    In closed form where there is one, else at one draw of z for each x. Where the prior factorises too, their sum is the
    KL term of the ELBO. Where it does not (a mixture, a flow), p(z_j) is p(z_j | the other latents), normalised on a grid
    from −10 to 10, or over the categories: what latent j costs beside the others, which does not add up to that term.
    Raises TypeError for a q that does not factorise, ValueError for no examples.
    """
    refuse_no_examples("kl_per_latent", x)
    total = torch.zeros(())
    for start in range(0, len(x), chunk):
        rows = slice(start, start + chunk)
        costs = _kl_of_factors(part(model, rows).posterior(x[rows]), model.prior())
        total = total.to(costs) + costs.sum(0)
    return total / len(x)


def _kl_of_factors(q: Distribution, p: Distribution) -> Tensor:
    """[n, factors] nats."""
    if isinstance(q, Independent) and isinstance(p, Independent):
        try:
            return kl_divergence(q.base_dist, p.base_dist.expand(q.base_dist.batch_shape)).flatten(1)
        except NotImplementedError:
            pass
    z = draw(q)
    log_q = log_prob_of_factors(q, z)
    try:
        log_p = log_prob_of_factors(p, z)
    except TypeError:
        log_p = _log_prob_given_the_others(q, p, z)
    return log_q - log_p


def _log_prob_given_the_others(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """log p(z_j | z_k, k ≠ j) for every j: z [n, latent] → [n, latent], or one-hot rows [n, variables, categories]."""
    if isinstance(q, Independent) and isinstance(q.base_dist, OneHotCategorical):
        values, log_step = torch.eye(z.shape[-1]).to(z), 0.0
    else:
        values, log_step = torch.linspace(-10, 10, 401).to(z), log(20 / 400)
    whole = log_prior(p, q, z)  # [n]
    columns = []
    for j in range(z.shape[1]):
        others = z.expand(len(values), *z.shape).clone()
        others[:, :, j] = values[:, None]
        columns.append(whole - p.log_prob(others).logsumexp(0) - log_step)
    return torch.stack(columns, 1)
