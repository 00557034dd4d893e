"""Looking at data before a model does: range, levels, gaps, what is constant, what recurs, what two parts share.

Tables and pictures alike are tensors [examples, *event], with NaN where a reading is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import torch
from torch import Tensor

from vae_course.refusals import refuse_no_examples

OFTEN = 10  # a value recurs if it occurs so many times
NEIGHBOUR, NEAR = 10, 0.1  # a near copy: closer than a tenth of the typical distance to the tenth neighbour
MOST_LEVELS = 70_000  # more different values are no grid: 16 bits make 65,536


@dataclass(frozen=True)
class Column:
    """What was seen of the numbers of one column, or of all pixels of a set of pictures.

    present: how many were not missing; levels: how many different ones; step: the distance of two neighbouring levels, where all
    are whole multiples of it apart, else None; commonest, share, next_share: the value that occurs most, its share, and that of the
    next; recurs: the share of the numbers whose value occurs OFTEN times or more.
    """

    name: str
    present: int
    low: float
    high: float
    levels: int
    step: float | None
    commonest: float
    share: float
    next_share: float
    recurs: float

    @property
    def bits(self) -> float | None:
        """log₂ of how many levels fit between the lowest and the highest; None where there is no step."""
        return None if self.step is None else log2(round((self.high - self.low) / self.step) + 1)

    @property
    def on_a_grid(self) -> bool:
        """Whether most of the numbers take values that recur, so that a density of them has no upper limit."""
        return self.recurs > 0.5


@dataclass(frozen=True)
class Look:
    """What was seen of a set of data: `numbers` in all, of which `gaps` are missing; `constant` coordinates with one value
    in all examples; `repeated` examples that occurred before; a Column for each column of a table, or one for all pixels.
    """

    name: str
    examples: int
    numbers: int
    gaps: int
    constant: int
    repeated: int
    columns: tuple[Column, ...]
    pictures: bool

    def table(self) -> list[dict[str, str | int | float]]:
        """A row for each column, to be printed or written to a file."""
        return [
            {
                "column": c.name,
                "gaps": round(1 - c.present * len(self.columns) / self.numbers, 3),
                "low": c.low,
                "high": c.high,
                "levels": c.levels,
                "bits": "–" if c.bits is None else round(c.bits, 1),
                "commonest": c.commonest,
                "share": round(c.share, 3),
            }
            for c in self.columns
        ]


def look(x: Tensor, name: str = "data", columns: Sequence[str] = ()) -> Look:
    """What there is to see in data: [n, *event], NaN at gaps. A table is [n, columns]; anything else is taken as pictures.

    Raises ValueError for no examples, infinite numbers, or another number of names than columns; TypeError for no tensor.
    """
    refuse_no_examples("look", x)
    if bool(x.isinf().any()):
        raise ValueError(f"{name} holds {int(x.isinf().sum())} infinite numbers: find out where they come from.")
    flat = x.detach().cpu().flatten(1)
    table = x.ndim == 2
    if table and columns and len(columns) != flat.shape[1]:
        raise ValueError(f"{name} has {flat.shape[1]} columns and came with {len(columns)} names.")
    names = tuple(columns) or tuple(f"column {i}" for i in range(flat.shape[1]))
    seen = [_column(n, flat[:, i]) for i, n in enumerate(names)] if table else [_column("pixels", flat)]
    return Look(
        name=name,
        examples=len(x),
        numbers=flat.numel(),
        gaps=int(flat.isnan().sum()),
        constant=int((flat.nan_to_num(torch.inf).amin(0) == flat.nan_to_num(-torch.inf).amax(0)).sum()),
        repeated=len(x) - len(set(_rows(flat))),
        columns=tuple(seen),
        pictures=not table,
    )


def _column(name: str, x: Tensor) -> Column:
    present = x[~x.isnan()]
    if len(present) == 0:
        return Column(name, 0, float("nan"), float("nan"), 0, None, float("nan"), 0.0, 0.0, 0.0)
    values, counts = present.unique(return_counts=True)
    by_count = counts.sort(descending=True)
    shares = by_count.values.double() / len(present)
    return Column(
        name=name,
        present=len(present),
        low=float(values[0]),
        high=float(values[-1]),
        levels=len(values),
        step=_step(values.double()),
        commonest=float(values[by_count.indices[0]]),
        share=float(shares[0]),
        next_share=float(shares[1]) if len(shares) > 1 else 0.0,
        recurs=float(shares[by_count.values >= OFTEN].sum()),
    )


def _step(values: Tensor) -> float | None:
    """The least distance of sorted values, if all distances are whole multiples of it within a hundredth."""
    if not 2 <= len(values) <= MOST_LEVELS:
        return None
    step = float(values.diff().min())
    multiples = (values - values[0]) / step
    return step if bool(((multiples - multiples.round()).abs() < 0.01).all()) else None


def _rows(flat: Tensor) -> list[bytes]:
    """The bytes of each example; gaps are alike, and so are 0 and -0."""
    alike = torch.where(flat.isnan(), torch.nan, flat + 0.0).numpy()
    return [row.tobytes() for row in alike]


@dataclass(frozen=True)
class Overlap:
    """What held-out examples share with those trained on: how many of `held_out` occur there exactly, and how many nearly.

    nearest: [held_out], the number of each one's nearest training example; distance: [held_out], to it, as the root mean square over
    what both have; typical: the median distance of a training example to its NEIGHBOUR-th neighbour. Near: under NEAR times that.
    """

    held_out: int
    exact: int
    near: int
    nearest: Tensor
    distance: Tensor
    typical: float


def overlap(train: Tensor, held_out: Tensor, sample: int = 500, chunk: int = 500) -> Overlap:
    """Which held-out examples occur in training, exactly or nearly: [n, *event], [m, *event], NaN at gaps.

    Each coordinate of a table counts in units of its own deviation in training. sample: how many training examples the typical
    distance is taken from. A copy that was moved by a pixel is not near. Where the data fill a line or a plane, a hundredth or more
    of honest examples are as close.
    Raises ValueError for no examples or another event.
    """
    refuse_no_examples("overlap", train)
    refuse_no_examples("overlap", held_out)
    if train.shape[1:] != held_out.shape[1:]:
        raise ValueError(
            f"overlap was given examples {list(train.shape[1:])} and {list(held_out.shape[1:])}: both parts need the same columns."
        )
    a, b = train.detach().cpu().flatten(1), held_out.detach().cpu().flatten(1)
    known = set(_rows(a))
    same = torch.tensor([row in known for row in _rows(b)])
    scale = _deviations(a.double()) if train.ndim == 2 else torch.ones(a.shape[1], dtype=torch.float64)
    a, b = a.double() / scale, b.double() / scale
    few = a[:: max(1, len(a) // sample)]
    rank = min(NEIGHBOUR + 1, len(a))  # the first is the example itself
    typical = float(_distances(few, a).kthvalue(rank, dim=1).values.median())
    found = [_distances(part, a).min(dim=1) for part in b.split(chunk)]
    distance, nearest = torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])
    near = int(((distance < NEAR * typical) & ~same).sum())
    return Overlap(len(b), int(same.sum()), near, nearest, distance, typical)


def _deviations(x: Tensor) -> Tensor:
    """The standard deviation of each column over what is present; 1 where there is none."""
    mean = x.nanmean(0)
    variance = (x - mean).square().nanmean(0)
    return torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """[n, d], [m, d] → [n, m]: root mean square differences over the coordinates that both have; infinite where none."""
    here, there = (~a.isnan()).double(), (~b.isnan()).double()
    a, b = a.nan_to_num(0.0), b.nan_to_num(0.0)
    squares = a.square() @ there.T + here @ b.square().T - 2 * a @ b.T
    shared = here @ there.T
    return torch.where(shared > 0, (squares.clamp(min=0) / shared.clamp(min=1)).sqrt(), torch.inf)
