"""One loop for every algorithm.

A player is a loss and the optimizer of what it may change. A VAE has one player; wake-sleep and
adversarial models have two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from vae_course.distributions.validation import validation
from vae_course.progress import bar
from vae_course.threads import look_again

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
    """What `fit` recorded: one row an epoch. `history["loss"]` is a column."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def __getitem__(self, name: str) -> list[float]:
        if self.rows and name not in self.rows[0]:
            raise KeyError(f"The history has no column {name!r}; it has {', '.join(self.rows[0])}.")
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


class TrainingInterrupted(KeyboardInterrupt):
    """A training was stopped by hand; the message says how far it came, `history` holds its whole epochs."""

    def __init__(self, history: History, epochs: int) -> None:
        self.history = history
        super().__init__(
            f"the training was interrupted after {len(history)} of {epochs} epochs: run this cell again to train to the end."
        )

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [str(self)]


def fit(
    players: Sequence[Player],
    batches: Iterable[Tensor | Sequence[Tensor]],
    epochs: int,
    watch: Callable[[], Mapping[str, float]] | None = None,
) -> History:
    """Train: every player takes one step on every batch, `epochs` times over.

    A batch is the tensors that the losses take, or one tensor alone.

    The loss of a player has the unit of its values (nats, for a bound); the history holds its mean over all
    examples of an epoch, whatever the sizes of the batches, and the figures that `watch()` returns after it.
    Distributions validate what they are given on the first batch only: that costs a tenth of a step.

    Raises ValueError for a loss that is not [batch], for batches without an example and for epochs < 1;
    FloatingPointError if an epoch's loss is not finite; TrainingInterrupted, a KeyboardInterrupt, if it is stopped by
    hand: the weights stay as they are then.
    """
    if epochs < 1:
        raise ValueError(f"fit was asked for {epochs} epochs; it needs at least 1.")
    schedules = [schedule_of(player, batches, epochs) for player in players]
    history = History()
    steps = epochs * len(batches) if isinstance(batches, Sized) else None
    with bar(steps, "batch") as shown:
        try:
            for epoch in range(1, epochs + 1):
                shown.set_description(f"epoch {epoch} of {epochs}", refresh=False)
                history.rows.append(one_epoch(players, schedules, batches, epoch, shown.update, watch))
                told = {player.name: f"{history.rows[-1][player.name]:.4g}" for player in players}
                shown.set_postfix(told, refresh=False)
                look_again()
        except KeyboardInterrupt:
            raise TrainingInterrupted(history, epochs) from None
    return history


def one_epoch(
    players: Sequence[Player],
    schedules: Sequence[LRScheduler | None],
    batches: Iterable[Tensor | Sequence[Tensor]],
    epoch: int,
    tick: Callable[[], object],
    watch: Callable[[], Mapping[str, float]] | None,
) -> dict[str, float]:
    """One pass over the batches; its row of the history. tick: called after each batch."""
    started = time.perf_counter()
    total, count = torch.zeros(len(players)), 0
    for batch in map(as_tensors, batches):
        first = epoch == 1 and count == 0
        if first:
            for player in players:
                refuse_other_arguments(player, batch)
        with validation(first):
            losses = torch.stack([step(*playing, batch) for playing in zip(players, schedules, strict=True)])
        total = total.to(losses) + losses * len(batch[0])
        count += len(batch[0])
        tick()
    if count == 0:
        raise ValueError("fit was given no examples: the batches are empty (or a generator already used up).")
    row = {player.name: value for player, value in zip(players, (total / count).tolist(), strict=True)}
    refuse_divergence(row, epoch)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        return {"epoch": epoch, **row, "seconds": seconds, **(watch() if watch else {})}


def as_tensors(batch: object) -> tuple[Tensor, ...]:
    """A batch as the arguments of a loss: a tensor alone is one of them. Raises TypeError for what holds no tensors."""
    parts = (batch,) if isinstance(batch, Tensor) else batch
    if not isinstance(parts, tuple | list) or not parts or not all(isinstance(part, Tensor) for part in parts):
        kind = type(batch).__name__
        held = f" of {', '.join(type(part).__name__ for part in parts)}" if isinstance(parts, tuple | list) else ""
        raise TypeError(
            f"fit was given a batch that is a {kind}{held}; it needs a tensor or a tuple of tensors: convert arrays by "
            "torch.as_tensor, and take the tensors that the loss needs out of a dictionary."
        )
    return tuple(parts)


def refuse_other_arguments(player: Player, batch: tuple[Tensor, ...]) -> None:
    """Raise TypeError if the loss does not take as many tensors as a batch has."""
    try:
        takes = signature(player.loss)
    except ValueError:  # a built-in function
        return
    try:
        takes.bind(*batch)
    except TypeError:
        shapes = ", ".join(str(list(part.shape)) for part in batch)
        raise TypeError(
            f"The loss {player.name!r} takes {takes}; the batches hold {len(batch)} tensors, {shapes}: write a loss that takes "
            "them all, or give batches of what it takes."
        ) from None


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
