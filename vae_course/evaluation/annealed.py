"""log p(x) by annealed importance sampling: a second opinion, which needs no good q."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from vae_course.distributions.model import LatentVariableModel, part
from vae_course.distributions.validation import validation
from vae_course.inference.hamiltonian import hamiltonian_step
from vae_course.objectives.bounds import log_joint
from vae_course.progress import bar
from vae_course.refusals import refuse_no_examples


class Annealed(NamedTuple):
    """An estimate of log p(x) and its standard error, each [batch] nats; how many proposals were accepted, [batch]."""

    value: Tensor
    standard_error: Tensor
    accepted: Tensor


def annealed_log_evidence(
    model: LatentVariableModel,
    x: Tensor,
    chains: int,
    temperatures: int,
    step: float = 0.4,
    leapfrogs: int = 3,
    memory: int = 2_000_000,
) -> Annealed:
    """log p(x) from chains that go from q(z|x) to p(z|x) through q(z|x)^(1-t) p(x, z)^t, t = 0, …, 1.

    At each temperature log w grows by (t' − t) (log p(x, z) − log q(z|x)), then a step of Hamiltonian Monte Carlo moves
    z at t'. The mean of w is p(x), whatever q. Neal (2001), *Annealed importance sampling*, arXiv:physics/9803008;
    Wu, Burda, Salakhutdinov & Grosse (2017), arXiv:1611.04273, for decoders.

    x: [batch, *event]; step: of the chain, in standard deviations of q(z|x); memory: the most pixels at a time. The
    standard error is that of `log_evidence`, over chains. Raises ValueError for fewer than 2 chains or 1 temperature, or
    no examples.
    """
    if chains < 2 or temperatures < 1:
        raise ValueError(
            f"annealed_log_evidence was asked for {chains} chains and {temperatures} temperatures; it needs 2 and 1 at least."
        )
    refuse_no_examples("annealed_log_evidence", x)
    size = max(1, memory // (chains * x[0].numel()))
    slices = [slice(start, start + size) for start in range(0, len(x), size)]
    parts = []
    with validation(False), bar(len(slices) * temperatures, "temperature", "log p(x)") as shown:
        for rows in slices:
            log_w, accepted = _anneal(part(model, rows), x[rows], chains, temperatures, step, leapfrogs, shown.update)
            relative = (log_w - log_w.amax(0)).exp()
            error = relative.std(0) / relative.mean(0) / chains**0.5
            parts.append(Annealed(log_w.logsumexp(0) - log(chains), error, accepted))
    return Annealed(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _anneal(
    model: LatentVariableModel,
    x: Tensor,
    chains: int,
    temperatures: int,
    step: float,
    leapfrogs: int,
    tick: Callable[[], object],
) -> tuple[Tensor, Tensor]:
    """log w [chains, batch], and the mean acceptance [batch]."""
    with torch.no_grad():
        q = model.posterior(x)
        z, scale = q.sample((chains,)), step * q.stddev  # [chains, batch, latent], [batch, latent]
    log_w = torch.zeros(z.shape[:2], dtype=z.dtype, device=z.device)
    accepted = torch.zeros_like(log_w)
    for number in range(temperatures):
        with torch.no_grad():
            log_w = log_w + (log_joint(model, x, z) - q.log_prob(z)) / temperatures
        t = (number + 1) / temperatures
        if number + 1 < temperatures:  # the last move would change nothing

            def between(z: Tensor, t: float = t) -> Tensor:
                return (1 - t) * q.log_prob(z) + t * log_joint(model, x, z)

            moved = hamiltonian_step(between, z, scale, leapfrogs)
            z, accepted = moved.z, accepted + moved.accepted
        tick()
    return log_w, (accepted / max(1, temperatures - 1)).mean(0)
