"""Generated records of network connections, of five kinds: four kinds of attack and what is none.

An ordinary connection has a size and a pace of its own, both normal; its columns follow them, with noise. An attack begins as an
ordinary connection and is changed by its strength u, uniform from 0 to 1: a weak one is hard to tell from none.

| kind | what it changes |
|---|---|
| ordinary | nothing |
| flood | far more connections a minute, many of them refused, hardly an answer |
| scan | many ports, short connections, many of them refused |
| guess | failed logins, more connections a minute, short answers |
| leak | many more bytes sent, in longer connections |

Two columns tell nothing of the kind: the port of the sender and the hour. The recipes are ours, not those of any real network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from vae_course.data.images import SPLIT_SEED
from vae_course.data.sets import ExampleSet

KINDS = ("ordinary", "flood", "scan", "guess", "leak")
COLUMNS = (
    "seconds", "bytes sent", "bytes received", "connections a minute", "share refused", "ports tried", "failed logins",
    "sender's port", "hour",
)  # fmt: skip


@dataclass(frozen=True)
class RecordSet(ExampleSet):
    """Records [n, columns], each column in its own unit, and the number of the kind [n], in the order of KINDS.

    Raises ValueError for other shapes.
    """

    records: Tensor
    kind: Tensor

    def __post_init__(self) -> None:
        if self.records.ndim != 2 or self.records.shape[1] != len(COLUMNS) or self.kind.shape != self.records.shape[:1]:
            raise ValueError(
                f"{self.name}: records must be [n, {len(COLUMNS)}] with a kind each; these are "
                f"{list(self.records.shape)} and {list(self.kind.shape)}."
            )


def connections(each: int, number: int = 0) -> RecordSet:
    """`each` records of every kind, shuffled: the same at every call with this size and number, others with another number.

    Raises ValueError for fewer than one record, or a number below 0.
    """
    if each < 1 or number < 0:
        raise ValueError(
            f"{each} records of each kind were asked for, in set {number}: give at least 1, and a set from 0."
        )
    generator = torch.Generator().manual_seed(SPLIT_SEED + number)
    kind = torch.arange(len(KINDS)).repeat_interleave(each)
    kind = kind[torch.randperm(len(kind), generator=generator)]
    return RecordSet("generated connections", _draw(kind, generator).float(), kind)


def _draw(kind: Tensor, generator: Generator) -> Tensor:
    n = len(kind)

    def normal() -> Tensor:
        return torch.randn(n, generator=generator, dtype=torch.float64)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)

    size, pace, strength = normal(), normal(), uniform(0, 1)
    flood, scan, guess, leak = (strength * (kind == k) for k in range(1, 5))  # [n] each: 0 where it is another kind
    seconds = 1 + size - 0.5 * pace - 2 * flood - 3 * scan - guess + 2 * leak + 0.3 * normal()  # logarithms, to here …
    sent = 6 + 0.8 * size + 0.4 * normal() + 4 * leak - scan
    received = 8 + 1.2 * size + 0.4 * normal() - 4 * flood - 3 * scan - 2 * guess
    pace = 1.5 + 0.8 * pace + 0.3 * normal() + 4 * flood + 2 * guess  # … and here
    refused = (normal() - 3 + 4 * flood + 4 * scan + guess).sigmoid()
    ports = 1 + torch.poisson(0.5 + 20 * scan**2, generator)
    failed = torch.poisson(0.1 + 4 * guess, generator)
    port, hour = uniform(1024, 65535).floor(), uniform(0, 24)
    return torch.stack([seconds.exp(), sent.exp(), received.exp(), pace.exp(), refused, ports, failed, port, hour], 1)
