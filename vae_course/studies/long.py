"""A training of hours, an epoch at a time: stop it when you like, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from vae_course.data.batches import Batches
from vae_course.output import say
from vae_course.training.loop import Player, fit
from vae_course.training.snapshot import Part, keep, take_up

Rows = list[dict[str, float]]


def train_long(
    player: Player,
    modules: Mapping[str, nn.Module],
    batches: Batches,
    epochs: int,
    rate: Callable[[int], float],
    path: Path,
    about: Mapping[str, object],
    watch: Callable[[], Mapping[str, float]] | None = None,
) -> Rows:
    """`fit` for one epoch after another with the learning rate `rate(epoch)`, a snapshot in `path` after each.

    modules: all that the training moves, by name. A training of the same kind (`about`) that `path` holds is taken up,
    and ends with the same bits as one that was never stopped. Returns a row an epoch. Raises as `take_up` and `fit`.
    """
    parts: dict[str, Part] = {
        **modules,
        "optimizer": player.optimizer,
        "order": batches.generator,
        "draws": torch.default_generator,
    }
    rows = take_up(path, parts, about)
    for epoch in range(len(rows) + 1, epochs + 1):
        for group in player.optimizer.param_groups:
            group["lr"] = rate(epoch)
        (row,) = fit([player], batches, 1, watch=watch).rows
        rows.append({**row, "epoch": epoch})
        keep(path, parts, rows, about)
        say(
            f"{path.stem}, epoch {epoch} of {epochs}: "
            + ", ".join(f"{k} {v:.5g}" for k, v in row.items() if k != "epoch")
        )
    return rows
