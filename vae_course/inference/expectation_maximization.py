"""Expectation maximisation, for models whose posterior and whose maximisation are closed forms."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor


class Maximizable(Protocol):
    """A model with an exact log p(x) and an exact step of expectation maximisation."""

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x): [batch, observed] → [batch] nats."""
        ...

    def em_step(self, x: Tensor) -> Self:
        """The model after one step on x."""
        ...


M = TypeVar("M", bound=Maximizable)


class Climb(NamedTuple, Generic[M]):
    """Where expectation maximisation ended, and the mean log p(x) on the way, nats per example: one more than steps."""

    model: M
    log_evidence: list[float]


def expectation_maximization(model: M, x: Tensor, steps: int) -> Climb[M]:
    """Repeat `em_step`: the mean log p(x) rises from step to step or stays.

    Dempster, Laird & Rubin, J. R. Statist. Soc. B 39 (1977). x: [n, observed]. Raises ValueError for steps < 1.
    """
    if steps < 1:
        raise ValueError(f"expectation_maximization was asked for {steps} steps; it needs at least 1.")
    climb = [float(model.log_evidence(x).mean())]
    for _ in range(steps):
        model = model.em_step(x)
        climb.append(float(model.log_evidence(x).mean()))
    return Climb(model, climb)
