"""A training of hours, an epoch at a time: stop it when you like, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vae_course.output import say
from vae_course.training.loop import Player, fit
from vae_course.training.snapshot import Part, keep, take_up

Rows = list[dict[str, float]]


class Shuffled(Protocol):
    """An epoch's batches, in an order drawn from a generator of their own, as `Batches`."""

    generator: torch.Generator

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """One epoch."""
        ...


def train_long(
    players: Sequence[Player],
    modules: Mapping[str, nn.Module],
    batches: Shuffled,
    epochs: int,
    rate: Callable[[int], float],
    path: Path,
    about: Mapping[str, object],
    watch: Callable[[int], Mapping[str, float]] | None = None,
) -> Rows:
    """`fit` for one epoch after another with the learning rate `rate(epoch)`, a snapshot in `path` after each.

    modules: all that the training moves, by name; watch: the number of an epoch → figures for its row, measured after it. A training of the same kind (`about`) that `path` holds is taken up,
    and ends with the same bits as one that was never stopped. Returns a row an epoch. Raises as `take_up` and `fit`.
    """
    parts: dict[str, Part] = {
        **modules,
        **{f"optimizer of {player.name}": player.optimizer for player in players},
        "order": batches.generator,
        "draws": torch.default_generator,
    }
    rows = take_up(path, parts, about)
    for epoch in range(len(rows) + 1, epochs + 1):
        for player in players:
            for group in player.optimizer.param_groups:
                group["lr"] = rate(epoch)
        (row,) = fit(players, batches, 1, watch=partial(watch, epoch) if watch else None).rows
        rows.append({**row, "epoch": epoch})
        keep(path, parts, rows, about)
        say(
            f"{path.stem}, epoch {epoch} of {epochs}: "
            + ", ".join(f"{k} {v:.5g}" for k, v in row.items() if k != "epoch")
        )
    return rows
