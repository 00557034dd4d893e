"""Generated signals of a pump with two sensors, and four faults, each with a known beginning.

A healthy pump: the pressure swings at its own speed, p(t) = a sin(2π f t + φ) + (a/3) sin(4π f t + 2φ), and the flow follows it,
q(t) = 0.8 p(t − lag), with a fixed lag of 5 samples. Load a, speed f and phase φ differ from signal to signal; both sensors have
the same small noise.

| fault | what it does from its beginning on |
|---|---|
| drift | the pressure's zero moves upwards in a straight line, from 0 at the beginning |
| frozen | the flow's value at the beginning is repeated |
| burst | both sensors are noisy for 10 samples |
| late | the flow follows the pressure 2 samples later than it should: away from the switch, each sensor by itself looks healthy |

The recipes are ours, not those of any real pump.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from vae_course.data.images import SPLIT_SEED
from vae_course.data.sets import ExampleSet

LENGTH = 64  # samples
SENSORS = ("pressure", "flow")
FAULTS = ("healthy", "drift", "frozen", "burst", "late")
LAG, TOO_LATE = 5, 2  # samples: the flow behind the pressure; how much more in a late one
NOISE = 0.05  # standard deviation of either sensor
RISE = 0.25  # of the pressure's zero, by the end of a drift
BURST_NOISE, BURST_LENGTH = 0.15, 10


@dataclass(frozen=True)
class SignalSet(ExampleSet):
    """Signals [n, 2, length], the number of the fault [n] (0: healthy), and the sample at which it begins [n].

    A healthy signal has a beginning too, which means nothing.

    Raises ValueError for other shapes.
    """

    signals: Tensor
    fault: Tensor
    begin: Tensor

    def __post_init__(self) -> None:
        n = len(self.signals)
        if self.signals.ndim != 3 or self.signals.shape[1] != 2 or not self.fault.shape == self.begin.shape == (n,):
            raise ValueError(
                f"{self.name}: signals must be [n, 2, length] with a fault and a beginning each; these are "
                f"{list(self.signals.shape)}, {list(self.fault.shape)} and {list(self.begin.shape)}."
            )


def healthy_signals(n: int) -> SignalSet:
    """n signals of a healthy pump, to train on: the same at every call with this n. Raises ValueError for fewer than one."""
    _check(n)
    return _draw(torch.zeros(n, dtype=torch.int64), torch.Generator().manual_seed(SPLIT_SEED))


def faulty_signals(each: int) -> SignalSet:
    """`each` signals of every kind, the healthy first, in the order of FAULTS: none of them in `healthy_signals`.

    The same at every call with this number. Raises ValueError for fewer than one.
    """
    _check(each)
    fault = torch.arange(len(FAULTS)).repeat_interleave(each)
    return _draw(fault, torch.Generator().manual_seed(SPLIT_SEED + 1))


def _check(n: int) -> None:
    if n < 1:
        raise ValueError(f"{n} signals were asked for: give a number of at least 1.")


def _draw(fault: Tensor, generator: torch.Generator) -> SignalSet:
    n = len(fault)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator, dtype=torch.float64)

    load, speed, phase = uniform(0.6, 1.0), uniform(2.0, 4.0) / LENGTH, uniform(0, 2 * pi)
    begin = torch.randint(LENGTH // 4, LENGTH // 2, (n,), generator=generator)
    time = torch.arange(LENGTH, dtype=torch.float64)
    after = time >= begin[:, None]  # [n, length]

    def swing(moment: Tensor) -> Tensor:
        angle = 2 * pi * speed * moment + phase
        return load * (angle.sin() + (2 * angle).sin() / 3)

    is_late = ((fault == FAULTS.index("late"))[:, None] & after).double()
    pressure, flow = swing(time), 0.8 * swing(time - LAG - TOO_LATE * is_late)
    pressure = pressure + NOISE * torch.randn(n, LENGTH, generator=generator, dtype=torch.float64)
    flow = flow + NOISE * torch.randn(n, LENGTH, generator=generator, dtype=torch.float64)
    since = (time - begin[:, None]).clamp(min=0) / (LENGTH - 1 - begin[:, None])  # 0 at the beginning, 1 at the end
    pressure = pressure + torch.where(fault[:, None] == FAULTS.index("drift"), RISE * since, 0.0)
    last = flow.gather(1, begin[:, None])
    flow = torch.where((fault == FAULTS.index("frozen"))[:, None] & after, last, flow)
    both = torch.stack([pressure, flow], 1)
    bursting = (fault == FAULTS.index("burst"))[:, None] & after & (time < begin[:, None] + BURST_LENGTH)
    noise = BURST_NOISE * torch.randn(both.shape, generator=generator, dtype=torch.float64)
    both = both + noise * bursting[:, None]
    return SignalSet("generated pump signals", both.float(), fault, begin)
