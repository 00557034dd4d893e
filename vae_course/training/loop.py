"""One loop for every algorithm.

A player is a loss and the optimizer of what it may change. A VAE has one player; wake-sleep and
adversarial models have two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from vae_course.distributions.validation import validation
from vae_course.progress import progress

Loss = Callable[..., Tensor]
Schedule = Callable[[Optimizer, int], LRScheduler | None]


class Player(NamedTuple):
    """A loss `(*batch) -> [batch]`, the optimizer that lowers it, and how its learning rate goes.

    schedule: (optimizer, steps of the whole training) → what is stepped once a batch. `fit` knows the steps and makes it.
    """

    loss: Loss
    optimizer: Optimizer
    schedule: Schedule | None = None
    name: str = "loss"


def adam_player(loss: Loss, module: nn.Module, rate: float, name: str = "loss") -> Player:
    """A player that moves `module` by Adam, its learning rate rising to `rate` and falling to 0 in one cycle.

    Kingma & Ba, arXiv:1412.6980, with β₂ = 0.99, which forgets early gradients sooner and suits short runs.
    """
    adam = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    return Player(loss, adam, one_cycle, name)


def one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """The rate rises from a 25th to the optimizer's own in a fifth of the steps, then falls to 0; none for 1 or 2 steps.

    Smith & Topin, arXiv:1708.07120.
    """
    if steps < 3:
        return None
    rise = max(0.2, 2 / steps)  # OneCycleLR divides by zero where the rise is a single step
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=rates, total_steps=steps, pct_start=rise, cycle_momentum=False)


class History:
    """What `fit` recorded: one row an epoch, and whether it was interrupted. `history["loss"]` is a column."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.interrupted = False

    def __getitem__(self, name: str) -> list[float]:
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"The history has no column {name!r}; it has {', '.join(self.rows[0])}.")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


def fit(
    players: Sequence[Player],
    batches: Iterable[tuple[Tensor, ...]],
    epochs: int,
    watch: Callable[[], Mapping[str, float]] | None = None,
) -> History:
    """Train: every player takes one step on every batch, `epochs` times over.

    The loss of a player has the unit of its values (nats, for a bound); the history holds its mean over all
    examples of an epoch, whatever the sizes of the batches, and the figures that `watch()` returns after it.
    Distributions validate what they are given on the first batch only: that costs a tenth of a step.
    Ctrl-C ends training early: the weights stay as they are, and the history of the whole epochs is returned.

    Raises ValueError for a loss that is not [batch], for batches without an example and for epochs < 1;
    FloatingPointError if an epoch's loss is not finite.
    """
    if epochs < 1:
        raise ValueError(f"fit was asked for {epochs} epochs; it needs at least 1.")
    schedules = [schedule_of(player, batches, epochs) for player in players]
    history = History()
    bar = progress(range(1, epochs + 1), unit="epoch")
    try:
        for epoch in bar:
            started = time.perf_counter()
            total, count = torch.zeros(len(players)), 0
            for batch in batches:
                with validation(epoch == 1 and count == 0):
                    losses = torch.stack([step(*playing, batch) for playing in zip(players, schedules, strict=True)])
                total = total.to(losses) + losses * len(batch[0])
                count += len(batch[0])
            if count == 0:
                raise ValueError("fit was given no examples: the batches are empty (or a generator already used up).")
            row = {player.name: value for player, value in zip(players, (total / count).tolist(), strict=True)}
            refuse_divergence(row, epoch)
            seconds = time.perf_counter() - started
            with torch.no_grad():
                history.rows.append({"epoch": epoch, **row, "seconds": seconds, **(watch() if watch else {})})
            bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()}, refresh=False)
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"Interrupted after {len(history)} of {epochs} epochs: the weights and the history so far are kept.")
    return history


def schedule_of(player: Player, batches: object, epochs: int) -> LRScheduler | None:
    """The player's schedule over the steps of this training. Raises TypeError for batches whose number is unknown."""
    if player.schedule is None:
        return None
    if not isinstance(batches, Sized):
        raise TypeError(
            f"The player {player.name!r} has a learning-rate schedule, which needs the number of steps, and "
            f"{type(batches).__name__} has no length: give Batches, a DataLoader or a list."
        )
    return player.schedule(player.optimizer, epochs * len(batches)) if len(batches) else None


def step(player: Player, schedule: LRScheduler | None, batch: tuple[Tensor, ...]) -> Tensor:
    """One step of one player; returns the mean loss of the batch before it, detached."""

    def objective() -> float:
        player.optimizer.zero_grad()
        values = player.loss(*batch)  # [batch]
        if values.shape != batch[0].shape[:1]:
            raise ValueError(
                f"The loss {player.name!r} returned the shape {list(values.shape)} for {len(batch[0])} examples; "
                "fit expects one number per example and takes the mean itself."
            )
        mean = values.mean()
        mean.backward()
        return mean.detach()  # type: ignore[return-value] # a float here would wait for the GPU at every step

    loss = torch.as_tensor(player.optimizer.step(objective))
    if schedule is not None:
        schedule.step()
    return loss


def refuse_divergence(losses: Mapping[str, float], epoch: int) -> None:
    """Raise FloatingPointError if a loss is NaN or infinite."""
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            raise FloatingPointError(
                f"The {name} of epoch {epoch} is {value}: training diverged or the data holds NaN; "
                "check the data, then lower the learning rate."
            )
