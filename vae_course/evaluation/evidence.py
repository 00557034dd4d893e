"""log p(x) by importance sampling, with its error, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_course.distributions.model import LatentVariableModel, part
from vae_course.distributions.validation import validation
from vae_course.objectives.bounds import log_weights
from vae_course.progress import bar
from vae_course.randomness import seeded
from vae_course.refusals import refuse_no_examples


class LogEvidence(NamedTuple):
    """An estimate of log p(x), [batch] nats, and its standard error, [batch] nats."""

    value: Tensor
    standard_error: Tensor


@torch.no_grad()
def log_evidence(model: LatentVariableModel, x: Tensor, samples: int, memory: int = 2_000_000) -> LogEvidence:
    """log p(x) by importance sampling from q(z|x): log of the mean of `samples` weights, in bounded memory.

    Burda et al., arXiv:1509.00519, eq. 8, used as an estimate. In expectation it lies below log p(x), the less so
    the more samples. The standard error is sd(w) / (√samples · mean(w)) (the delta method): it means something only
    where the weights' variance is finite, that is, where q is wide enough.

    x: [batch, *event]; memory: the most numbers that one tensor may hold on the way, those of hidden layers too; two
    million are fastest on two processor cores. Every example is validated at one draw of z; the others go without, which
    saves a third. Raises ValueError for fewer than 2 samples, or no examples.
    """
    if samples < 2:
        raise ValueError(f"log_evidence was asked for {samples} samples; an estimate with an error needs at least 2.")
    refuse_no_examples("log_evidence", x)
    of_draw, of_example = widths(model, x)
    draws = max(1, min(samples, memory // of_draw))  # per chunk of one example
    examples = max(1, memory // max(draws * of_draw, of_example))
    found = LogEvidence(x.new_empty(len(x)), x.new_empty(len(x)))  # filled in place: small results would lie in the way
    chunks = [slice(start, start + examples) for start in range(0, len(x), examples)]
    for rows in chunks:
        log_weights(part(model, rows), x[rows], 1)  # refuses what the families refuse
    steps = len(chunks) * -(-samples // draws)
    with validation(False), bar(steps, "chunk", "log p(x)") as shown:
        for rows in chunks:
            estimate = _log_evidence(part(model, rows), x[rows], samples, draws, shown.update)
            found.value[rows], found.standard_error[rows] = estimate
    return found


def widths(model: LatentVariableModel, x: Tensor) -> tuple[int, int]:
    """How many numbers the largest tensor holds on the way to the importance weights: for one draw, and for one example.

    Measured by running two small cases of each and looking at the tensors that every operation returns.
    """
    base = _sizes(model, x[:1], 2)
    by_draw = [(more - few) // 2 for more, few in zip(_sizes(model, x[:1], 4), base, strict=False)]
    by_example = [more - few for more, few in zip(_sizes(model, x[:2], 2), base, strict=False)] if len(x) > 1 else [1]
    return max(1, *by_draw), max(1, *by_example)


def _sizes(model: LatentVariableModel, x: Tensor, samples: int) -> list[int]:
    seen = _Sizes()
    with seeded(), seen:
        log_weights(part(model, slice(0, len(x))), x, samples)
    return seen.sizes


class _Sizes(TorchDispatchMode):
    """Notes how many numbers each tensor holds that an operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.sizes += [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        return made


def _log_evidence(
    model: LatentVariableModel, x: Tensor, samples: int, draws: int, tick: Callable[[], object]
) -> LogEvidence:
    log_sum = x.new_full((len(x),), -torch.inf)  # log Σ w
    log_squares = log_sum.clone()  # log Σ w²
    for start in range(0, samples, draws):
        log_w = log_weights(model, x, min(draws, samples - start))  # [draws, batch]
        log_sum = torch.logaddexp(log_sum, log_w.logsumexp(0))
        log_squares = torch.logaddexp(log_squares, (2 * log_w).logsumexp(0))
        tick()
    relative_second_moment = (log_squares - 2 * log_sum + log(samples)).exp()  # mean(w²) / mean(w)², at least 1
    standard_error = ((relative_second_moment - 1).clamp(min=0) / (samples - 1)).sqrt()
    return LogEvidence(log_sum - log(samples), standard_error)
