"""One loop for every algorithm, and checkpoints that say how they were made.

A player is a loss and the optimizer of what it may change. A VAE has one player; wake-sleep and
adversarial models have two.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from vae_course import __version__, runtime

Loss = Callable[..., Tensor]


class Player(NamedTuple):
    """A loss `(*batch) -> [batch]`, the optimizer that lowers it, and a learning-rate schedule stepped once a batch."""

    loss: Loss
    optimizer: Optimizer
    schedule: LRScheduler | None = None
    name: str = "loss"


def adam_player(loss: Loss, module: nn.Module, rate: float, steps: int, name: str = "loss") -> Player:
    """A player that moves `module` by Adam, its learning rate rising to `rate` and falling to 0 in one cycle of `steps`.

    Kingma & Ba, arXiv:1412.6980, with β₂ = 0.99, which forgets early gradients sooner and suits short runs; Smith &
    Topin, arXiv:1708.07120. steps = epochs * len(batches). Raises ValueError for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"adam_player was given {steps} steps; it needs at least 1: epochs * len(batches).")
    adam = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    if steps < 3:  # too few for a cycle
        return Player(loss, adam, None, name)
    rise = max(0.2, 2 / steps)  # OneCycleLR divides by zero where the rise is a single step
    schedule = OneCycleLR(adam, max_lr=rate, total_steps=steps, pct_start=rise, cycle_momentum=False)
    return Player(loss, adam, schedule, name)


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
    history = History()
    bar = tqdm(range(1, epochs + 1), unit="epoch", delay=2, leave=False, disable=runtime.being_checked())
    try:
        for epoch in bar:
            started = time.perf_counter()
            total, count = torch.zeros(len(players)), 0
            for batch in batches:
                with validation(epoch == 1 and count == 0):
                    losses = torch.stack([step(player, batch) for player in players])
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


def step(player: Player, batch: tuple[Tensor, ...]) -> Tensor:
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
    if player.schedule is not None:
        player.schedule.step()
    return loss


def refuse_divergence(losses: Mapping[str, float], epoch: int) -> None:
    """Raise FloatingPointError if a loss is NaN or infinite."""
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            raise FloatingPointError(
                f"The {name} of epoch {epoch} is {value}: training diverged or the data holds NaN; "
                "check the data, then lower the learning rate."
            )


@contextmanager
def validation(on: bool) -> Iterator[None]:
    """Let distributions validate what they are given, or not, inside a `with` block."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(on)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def save(module: nn.Module, path: str | Path, **made_by: str | int | float) -> str:
    """Write the weights as safetensors, with how they were made (`made_by`) and the versions used.

    Returns the file's SHA-256. The file appears whole or not at all.
    """
    path = Path(path)
    how = {"vae_course": __version__, "torch": str(torch.__version__), **made_by}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file(state, unfinished, metadata={"made_by": json.dumps(how, sort_keys=True)})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return checksum(path)


def load(module: nn.Module, path: str | Path, sha256: str | None = None) -> dict[str, str | int | float]:
    """Read weights that `save` wrote into `module`, all or none, and return how they were made.

    Raises FileNotFoundError, or ValueError for a file with another checksum than `sha256`, one that is damaged or
    not of this kind, and one whose names, shapes or number types differ from the module's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}: train the model, or check the path.")
    if sha256 is not None and checksum(path) != sha256:
        raise ValueError(
            f"The checkpoint {path} is not the one expected (its SHA-256 differs): fetch or make it again."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        made_by: dict[str, str | int | float] = json.loads(metadata["made_by"])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of this course, or it is damaged ({type(error).__name__}): make it again."
        ) from None
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        found, expected = (describe(tensors.get(name)) for tensors in (state, own))
        if found != expected:
            raise ValueError(
                f"The checkpoint {path} does not fit this model: {name} is {found} in the file and {expected} in the "
                "model; build the model as the checkpoint's was built."
            )
    module.load_state_dict(state)
    return made_by


def describe(tensor: Tensor | None) -> str:
    """A tensor's shape and number type in words."""
    return "absent" if tensor is None else f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
