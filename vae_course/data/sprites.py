"""Sprites: small pictures of one shape, drawn by this module, of which every factor is known and can be enumerated.

| factor | values |
|---|---|
| shape | square, ellipse (2 : 1), equilateral triangle, of equal area to a few hundredths |
| scale | 4 side lengths, from half the largest to the largest |
| rotation | 8 angles, within the symmetry of the shape: 90°, 180°, 120° |
| column, row | 8 positions each, two pixels apart |
| colour | 6 colours (coloured sprites only), on black |

The rotation stops short of the angle at which a shape looks as it did at first, so that no two combinations give the
same picture. The idea of such a set: Matthey et al., dSprites (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sqrt

import torch
from torch import Tensor

from vae_course.data.images import SPLIT_SEED
from vae_course.data.sets import ExampleSet, Split

FACTORS = {"shape": 3, "scale": 4, "rotation": 8, "column": 8, "row": 8}
COLOURED = FACTORS | {"colour": 6}
SHAPES = ("square", "ellipse", "triangle")
SYMMETRY = (pi / 2, pi, 2 * pi / 3)  # the angle after which each shape looks the same again
SCALES = (0.5, 2 / 3, 5 / 6, 1.0)
STEP = 2  # pixels between neighbouring positions
# Okabe & Ito, Color Universal Design (2008): orange, sky blue, green, yellow, blue, vermilion.
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0))
FINE = 8  # points a pixel's side at which a shape is looked up, for smooth edges


@dataclass(frozen=True)
class SpriteSet(ExampleSet):
    """Pictures as bytes, [n, channels, side, side], and the value of each factor, [n, factors], counted from 0.

    Raises ValueError for other shapes or number types.
    """

    pictures: Tensor
    factors: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pictures.ndim != 4 or self.pictures.dtype != torch.uint8:
            raise ValueError(
                f"{self.name}: sprites must be bytes [n, channels, side, side]; these are {list(self.pictures.shape)} "
                f"{str(self.pictures.dtype).removeprefix('torch.')}."
            )
        if self.factors.shape != (len(self.pictures), len(self.names)):
            raise ValueError(
                f"{self.name}: {len(self.pictures)} sprites came with factors {list(self.factors.shape)}: give "
                f"[{len(self.pictures)}, {len(self.names)}]."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width of one picture."""
        return tuple(self.pictures.shape[1:])

    @property
    def images(self) -> Tensor:
        """The pictures in [0, 1], floating point."""
        return self.pictures.float() / 255

    def factor(self, name: str) -> Tensor:
        """The values of one factor, [n]. Raises KeyError for a name that is not in `names`."""
        if name not in self.names:
            raise KeyError(f"{self.name} have no factor {name!r}; they have {', '.join(self.names)}.")
        return self.factors[:, self.names.index(name)]


def sprites(side: int = 28) -> SpriteSet:
    """All 6,144 grey sprites, [6144, 1, side, side], in the order of their factors, the last one fastest."""
    factors = all_factors(tuple(FACTORS.values()))
    return SpriteSet("sprites", render(factors, side), factors, tuple(FACTORS))


def coloured_sprites(n: int = 6_000, held_out: int = 1_000, side: int = 32) -> Split[SpriteSet]:
    """n sprites to train on and `held_out` others, drawn without repetition from all 36,864; the same at every call.

    [n, 3, side, side]. Raises ValueError unless both are at least 1 and there are that many.
    """
    every = all_factors(tuple(COLOURED.values()))
    if min(n, held_out) < 1 or n + held_out > len(every):
        raise ValueError(
            f"{n} + {held_out} coloured sprites were asked for; there are {len(every)}, and 1 is the least."
        )
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(SPLIT_SEED))
    factors = every[order[: n + held_out]]
    drawn = SpriteSet("coloured sprites", render(factors, side), factors, tuple(COLOURED))
    return Split(drawn[:n], drawn[n:])


def all_factors(sizes: Sequence[int]) -> Tensor:
    """Every combination of factors with these numbers of values, [combinations, factors], the last one fastest."""
    return torch.cartesian_prod(*(torch.arange(size) for size in sizes)).reshape(-1, len(sizes))


def render(factors: Tensor, side: int = 28) -> Tensor:
    """Draw sprites: factors [n, 5] → bytes [n, 1, side, side]; [n, 6], with a colour → [n, 3, side, side].

    Raises ValueError for other factors, values outside the table above, or a side under 22 pixels or odd.
    """
    sizes = tuple(COLOURED.values())[: factors.shape[-1] if factors.ndim else 0]
    if (
        factors.ndim != 2
        or len(sizes) < len(FACTORS)
        or factors.shape[1] > len(COLOURED)
        or factors.is_floating_point()
    ):
        raise ValueError(
            f"Sprites were given factors {list(factors.shape)} {str(factors.dtype).removeprefix('torch.')}: give whole "
            f"numbers [n, 5] ({', '.join(FACTORS)}) or [n, 6] (and colour)."
        )
    if len(factors) and not bool(((factors >= 0) & (factors < torch.tensor(sizes, device=factors.device))).all()):
        raise ValueError(
            f"A factor of a sprite is out of range: {', '.join(COLOURED)} take {', '.join(map(str, sizes))} values from 0."
        )
    shape, scale, rotation, column, row = factors.cpu().long()[:, :5].unbind(1)
    centred = _centred(side)[shape, scale, rotation]  # [n, canvas, canvas]
    middle = (centred.shape[-1] - side) // 2
    pixels = torch.arange(side)
    offset = STEP * (FACTORS["column"] - 1) // 2
    rows = middle + offset - STEP * row[:, None] + pixels  # [n, side]: row 0 is at the top
    columns = middle + offset - STEP * column[:, None] + pixels
    grey = centred[torch.arange(len(factors))[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
    if factors.shape[1] == len(FACTORS):
        return grey
    colour = torch.tensor(PALETTE)[factors[:, 5].cpu().long()]  # [n, 3]
    return (grey.int() * colour.int()[:, :, None, None]).div(255).round().byte()


@lru_cache(maxsize=4)
def _centred(side: int) -> Tensor:
    """Every shape, scale and rotation in the middle of a canvas wide enough to be moved over: bytes [3, 4, 8, c, c]."""
    reach = STEP * (FACTORS["column"] - 1) // 2  # pixels from the middle to the outermost position
    if side < 22 or side % 2:
        raise ValueError(f"Sprites cannot be drawn on {side} × {side} pixels: choose an even side from 22 on.")
    canvas = side + 2 * reach
    widest = (side / 2 - reach) / sqrt(4 / (3 * sqrt(3)))  # the root of the area whose triangle just stays inside
    axis = (torch.arange(canvas * FINE) + 0.5) / FINE - canvas / 2
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    drawn = torch.empty(len(SHAPES), len(SCALES), FACTORS["rotation"], canvas, canvas)
    for shape, period in enumerate(SYMMETRY):
        for rotation in range(FACTORS["rotation"]):
            angle = torch.tensor(period * rotation / FACTORS["rotation"], dtype=torch.float64)
            u, v = right * angle.cos() - down * angle.sin(), right * angle.sin() + down * angle.cos()
            for scale, relative in enumerate(SCALES):
                inside = _inside(shape, u / (relative * widest), v / (relative * widest))
                drawn[shape, scale, rotation] = (
                    inside.float().unfold(0, FINE, FINE).unfold(1, FINE, FINE).mean((-2, -1))
                )
    return (drawn * 255).round().byte()


def _inside(shape: int, u: Tensor, v: Tensor) -> Tensor:
    """Which points lie in the shape of area 1 around the origin."""
    if SHAPES[shape] == "square":
        return (u.abs() < 0.5) & (v.abs() < 0.5)
    if SHAPES[shape] == "ellipse":  # semi-axes a and a/2: area π a² / 2 = 1
        return u.square() + (2 * v).square() < 2 / pi
    distance = 1 / sqrt(3 * sqrt(3))  # from the middle of an equilateral triangle of area 1 to its sides
    sides = [u * torch.tensor(a).sin() + v * torch.tensor(a).cos() < distance for a in (0.0, 2 * pi / 3, 4 * pi / 3)]
    return sides[0] & sides[1] & sides[2]
