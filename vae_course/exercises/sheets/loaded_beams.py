"""The sheet on loaded beams: the error of an angle, layouts of equal volume, the density filter, the compliance of a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, floor, log, pi
from operator import add, mul
from typing import Any

import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Generator, Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from vae_course.data.finite_elements import VOID, element_stiffness
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, named, normal, uniform


def _constant(value: Any) -> Step:
    return lambda: value


# 1. the error of an angle whose opposite is the same


def _turned(full: float) -> Step:
    """A difference of angles led into half a turn on either side of 0."""
    return named(lambda gap: torch.remainder(gap + full / 2, full) - full / 2, "gap")


# Four ways to write the same, in which different slips are made.
_ANGLE = Formula(
    "cosine sine angle",
    radians=lambda cosine, sine: torch.atan2(sine, cosine),
    twice=lambda radians: torch.rad2deg(radians),
    found=lambda twice: twice / 2,  # in (-90, 90]
    gap=lambda found, angle: found - angle,  # in (-270, 90]
    turned=_turned(180),
    error=lambda turned: turned.abs(),
)
_LEAST = _ANGLE.but(turned=lambda gap: gap.abs() % 180, error=lambda turned: torch.minimum(turned, 180 - turned))
_DOUBLED = Formula(
    "cosine sine angle",
    radians=lambda cosine, sine: torch.atan2(sine, cosine),
    twice=lambda radians: torch.rad2deg(radians),
    true=lambda angle: 2 * angle,
    gap=lambda twice, true: twice - true,
    turned=_turned(360),
    error=lambda turned: turned.abs() / 2,
)
_BETWEEN = Formula(  # the angle between two vectors
    "cosine sine angle",
    turns=lambda angle: torch.deg2rad(2 * angle),
    length=lambda cosine, sine: torch.hypot(cosine, sine),
    across=lambda cosine, length: cosine / length,
    up=lambda sine, length: sine / length,
    product=lambda turns, across, up: across * turns.cos() + up * turns.sin(),
    between=lambda product: torch.rad2deg(product.acos()),
    error=lambda between: between / 2,
)


def _of_angle(**steps: Sequence[Step]) -> list[Formula]:
    """With another step in each of the ways that have it, and where nothing is wrapped."""
    ways = (_ANGLE, _LEAST, _DOUBLED, _BETWEEN, _ANGLE.but(turned=lambda gap: gap))
    return [other for way in ways if all(name in way.steps for name in steps) for other in way.each(**steps)]


def _angle_cases(generator: Generator) -> list[Arguments]:
    def case(angle: Tensor, gap: Tensor) -> Arguments:
        twice = torch.deg2rad(2 * (angle + gap))
        length = 0.3 + 1.7 * uniform(generator, len(angle))  # a regression's two outputs need not lie on the circle
        return length * twice.cos(), length * twice.sin(), angle

    def near(values: Tensor, by: float) -> Tensor:
        return values + by * (2 * uniform(generator, len(values)) - 1)

    # Every quarter of the circle, and gaps of either sign that reach over its ends; none where the error has a corner.
    grid = torch.cartesian_prod(torch.tensor([8.0, 50, 97, 130, 172]), torch.tensor([-80.0, -50, -12, 12, 50, 80]))
    angles, gaps = near(grid[:, 0], 5), near(grid[:, 1], 6)
    one, few = (180 * uniform(generator, n) for n in (1, 7))
    return [case(angles, gaps), case(one, near(torch.full((1,), 30), 20)), case(few, near(torch.full((7,), -45), 40))]


_NOT_HALVED = [way.but(found=lambda twice: twice) for way in (_ANGLE, _LEAST, _ANGLE.but(turned=lambda gap: gap))]

angle_error = Exercise(
    "angle_error",
    _ANGLE,
    _angle_cases,
    wrong(
        "2α was compared with α: halve what atan2 gives, or double the true angle and halve the error",
        *_NOT_HALVED,
        _NOT_HALVED[0].but(turned=_turned(360)),
        _NOT_HALVED[1].but(turned=lambda gap: gap.abs(), error=lambda turned: torch.minimum(turned, 360 - turned)),
        _NOT_HALVED[1].but(turned=lambda gap: gap.abs()),
        *_NOT_HALVED[2].each(found=[lambda twice: twice % 360, lambda twice: twice % 180]),
        *[way.but(found=lambda twice: 2 * twice) for way in (_ANGLE, _ANGLE.but(turned=lambda gap: gap))],
        _DOUBLED.but(true=lambda angle: angle),
        *_BETWEEN.but(turns=lambda angle: torch.deg2rad(angle)).each(
            error=[lambda between: between / 2, lambda between: between]
        ),
        "this is the error of 2α: halve it, so that it reaches 90 and not 180",
        _DOUBLED.but(error=lambda turned: turned.abs()),
        "errors above 45 degrees are folded back: doubled angles wrap at 360, angles at 180, and asin of a cross product cannot tell them apart",
        *_DOUBLED.but(turned=_turned(180)).each(error=[lambda turned: turned.abs() / 2, lambda turned: turned.abs()]),
        _ANGLE.but(turned=_turned(90)),
        _BETWEEN.but(
            between=lambda turns, across, up: torch.rad2deg((up * turns.cos() - across * turns.sin()).abs().asin())
        ),
        "atan2 gives radians and the angle is in degrees: torch.rad2deg first",
        *_of_angle(twice=[lambda radians: radians]),
        *_ANGLE.but(twice=lambda radians: radians).each(turned=[_turned(pi), _turned(2 * pi)]),
        *_LEAST.but(twice=lambda radians: radians, turned=lambda gap: gap.abs() % pi).each(
            error=[lambda turned: torch.minimum(turned, pi - turned)]
        ),
        *[way.but(found=lambda radians: radians) for way in (_ANGLE, _LEAST)],
        "degrees were turned into radians where radians must become degrees: torch.rad2deg of what atan2 gives",
        *_of_angle(twice=[lambda radians: torch.deg2rad(radians)]),
        "the result is in radians: degrees are asked for",
        *[way.then(torch.deg2rad) for way in (_ANGLE, _LEAST.but(turned=lambda gap: gap.abs()))],
        "this is the error of 2α in radians: halve it, and turn it into degrees",
        _ANGLE.then(lambda error: torch.deg2rad(2 * error)),
        "radians were turned into degrees twice, or degrees taken for radians",
        _ANGLE.then(torch.rad2deg),
        *_of_angle(twice=[lambda radians: torch.rad2deg(torch.rad2deg(radians))]),
        "the true angle is in degrees already, but cos and sin take radians: torch.deg2rad for them, and for them alone",
        *_BETWEEN.each(turns=[lambda angle: 2 * angle, lambda angle: torch.rad2deg(2 * angle)]),
        *[way.given(angle=change) for way in (_ANGLE, _LEAST) for change in (torch.rad2deg, torch.deg2rad)],
        "opposite quadrants of 2α are taken for one: torch.atan2 tells them apart, not atan(sine / cosine), nor a remainder by 180 before halving",
        *_of_angle(
            radians=[lambda cosine, sine: torch.atan(sine / cosine), lambda cosine, sine: (sine / cosine).atan() % pi]
        ),
        "atan(cosine / sine) is upside down, and cannot tell quadrants apart: torch.atan2(sine, cosine)",
        *_of_angle(radians=[lambda cosine, sine: torch.atan(cosine / sine)]),
        "sine and cosine are exchanged: torch.atan2(sine, cosine), and in a product each meets its own",
        *_of_angle(radians=[lambda cosine, sine: torch.atan2(cosine, sine)]),
        _NOT_HALVED[0].but(radians=lambda cosine, sine: torch.atan2(cosine, sine)),
        *_BETWEEN.each(product=[lambda turns, across, up: across * turns.sin() + up * turns.cos()]),
        "acos of the cosine alone knows 2α up to its sign: torch.atan2 takes the sine as well",
        *_of_angle(
            radians=[
                lambda cosine, sine: torch.acos(cosine / torch.hypot(cosine, sine)),
                lambda cosine: torch.acos(cosine.clamp(-1, 1)),
                lambda cosine: torch.acos(cosine),
                lambda cosine, sine: torch.atan2(sine.abs(), cosine),
            ]
        ),
        "the angles were added, or the sign of the sine is reversed: found − angle, by torch.atan2(sine, cosine)",
        *_of_angle(radians=[lambda cosine, sine: torch.atan2(-sine, cosine)]),
        *[way.but(gap=lambda found, angle: found + angle) for way in (_ANGLE, _ANGLE.but(turned=lambda gap: gap))],
        *_BETWEEN.each(product=[lambda turns, across, up: across * turns.cos() - up * turns.sin()]),
        "asin of the sine alone cannot tell left from right: torch.atan2 takes the cosine as well",
        *_of_angle(
            radians=[
                lambda cosine, sine: torch.asin(sine / torch.hypot(cosine, sine)),
                lambda sine: torch.asin(sine.clamp(-1, 1)),
                lambda sine: torch.asin(sine),
            ]
        ),
        "the two outputs need not have the length 1: divide their product by it, or take torch.atan2, which needs none",
        *_BETWEEN.each(length=[lambda: 1.0, lambda cosine, sine: cosine**2 + sine**2]),
        *_of_angle(radians=[lambda cosine, sine: 2 * torch.atan2(sine, 1 + cosine)]),
        _BETWEEN.but(length=lambda: 1.0, between=lambda product: torch.rad2deg(product.clamp(-1, 1).acos())),
        "a full turn of 360 degrees was taken: α + 180 is the same load, so wrap at 180",
        _ANGLE.but(turned=_turned(360)),
        _LEAST.but(turned=lambda gap: gap.abs(), error=lambda turned: torch.minimum(turned, 360 - turned)),
        _LEAST.but(turned=lambda gap: gap.abs() % 360, error=lambda turned: torch.minimum(turned, 360 - turned)),
        _DOUBLED.but(turned=_turned(720)),
        "the difference is not wrapped: 179 and 1 degree are 2 apart, as α + 180 is the same load (torch.fmod keeps the sign: % 180)",
        _ANGLE.but(turned=lambda gap: gap),
        _ANGLE.but(turned=lambda gap: torch.fmod(gap + 90, 180) - 90),
        _ANGLE.but(turned=lambda gap: gap, found=lambda twice: (twice / 2) % 360),
        _ANGLE.but(turned=lambda gap: gap, found=lambda twice: (twice / 2) % 180),
        "the remainder alone leaves errors up to 180: beyond 90 the way round the other side is shorter, 180 − d",
        *_ANGLE.each(turned=[lambda gap: gap % 180, lambda gap: -gap % 180, lambda gap: gap.abs() % 180]),
        _ANGLE.but(turned=lambda gap: torch.where(gap < 0, gap + 180, gap)),
        "beyond 90 degrees the error counts down, 180 − d: you took the remainder by 90, or d − 90",
        *_ANGLE.each(error=[lambda gap: gap % 90, lambda gap: gap.abs() % 90, lambda gap: -gap % 90]),
        _LEAST.but(error=lambda turned: torch.where(turned > 90, turned - 90, turned)),
        "the error is cut off at 90 degrees: beyond it counts down, 180 − d",
        *_LEAST.each(error=[lambda gap: gap.abs().clamp(max=90), lambda turned: turned.clamp(max=90)]),
        _ANGLE.but(found=lambda twice: (twice / 2) % 180, error=lambda gap: gap.abs().clamp(max=90)),
        "the difference has a sign where it is compared with 90: take its absolute value first",
        *[
            other
            for way in (_ANGLE.but(found=lambda twice: (twice / 2) % 180), _ANGLE)
            for other in way.each(
                error=[
                    lambda gap: torch.where(gap.abs() > 90, 180 - gap, gap).abs(),
                    lambda gap: torch.where(gap.abs() > 90, gap - 180, gap).abs(),
                    lambda gap: torch.minimum(gap, 180 - gap),
                ]
            )
        ],
        *_ANGLE.but(found=lambda twice: (twice / 2) % 180).each(
            error=[
                lambda gap: torch.where(gap > 90, 180 - gap, gap).abs(),
                lambda gap: torch.minimum(gap, 180 - gap).abs(),
            ]
        ),
        "the difference is in degrees: it wraps at 180, not at π",
        *_LEAST.but(turned=lambda gap: gap.abs() % pi).each(error=[lambda turned: torch.minimum(turned, pi - turned)]),
        _LEAST.but(error=lambda turned: torch.minimum(turned, pi - turned)),
        *_ANGLE.each(turned=[_turned(pi), _turned(2 * pi)]),
        "of two ways round the shorter one counts: the smaller of d and 180 − d",
        _LEAST.but(error=lambda turned: torch.maximum(turned, 180 - turned)),
        _LEAST.but(error=lambda turned: 180 - turned),
        "the two angles can be more than 180 degrees apart, and 180 − d is negative then: take the remainder by 180 first",
        _LEAST.but(turned=lambda gap: gap.abs()),
        "the error has a sign here: take its absolute value, at the end",
        *_ANGLE.each(error=[lambda turned: turned, lambda turned: -turned]),
        "this is 90 minus the error",
        _ANGLE.then(lambda error: 90 - error),
        "the error is halved once too often: α is half of 2α, once",
        _ANGLE.then(lambda error: error / 2),
        "these are angles, not errors: subtract the true angle",
        *_ANGLE.each(
            error=[
                lambda found: found,
                lambda found: found % 180,
                lambda twice: twice,
                lambda twice: twice % 360,
                lambda radians: radians,
            ]
        ),
        "this is a sine or cosine of the error, or of its double: lead it back to the angle, in degrees",
        *_BETWEEN.each(
            error=[
                lambda product: product,
                lambda product: 1 - product,
                lambda product: torch.rad2deg(1 - product),
                lambda product: (1 - product) / 2,
            ]
        ),
        *_ANGLE.each(error=[lambda gap: torch.deg2rad(gap).sin().abs(), lambda gap: torch.deg2rad(gap).cos().abs()]),
        "this is the distance of two points, or its direction: compare the angles that the points stand for",
        *_BETWEEN.each(
            error=[
                lambda cosine, sine, turns: torch.hypot(cosine - turns.cos(), sine - turns.sin()),
                lambda across, up, turns: torch.hypot(across - turns.cos(), up - turns.sin()),
                lambda cosine, sine, turns: torch.rad2deg(torch.atan2(sine - turns.sin(), cosine - turns.cos())) / 2,
                lambda cosine, sine, turns: (
                    torch.rad2deg(torch.atan2(sine - turns.sin(), cosine - turns.cos())).abs() / 2
                ),
            ]
        ),
        "one number stands for all loads: return an error for each",
        *_ANGLE.each(
            error=[
                lambda turned: turned.abs().mean(),
                lambda turned: turned.abs().sum(),
                lambda turned: turned.abs().min(),
                lambda turned: turned.abs().max(),
                lambda turned: turned.square().mean().sqrt(),
            ]
        ),
        "the errors are squared: return their absolute values",
        _ANGLE.then(torch.square),
    ),
    tolerance=1e-3,  # degrees
)


# 2. layouts of equal volume

Ends = tuple[float | Tensor, float | Tensor]


def _bisected(level: Callable[[Tensor], Tensor], wanted: Any, ends: Ends, halvings: int, last: str) -> Tensor:
    """Where a growing function of a number for each layout passes what is wanted; last: what is returned of the interval."""
    shape = level(torch.zeros((), dtype=torch.float64))
    low, high = (torch.zeros_like(shape) + end for end in ends)
    middle = low
    for _ in range(halvings):
        middle = (low + high) / 2
        below = level(middle) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return {"centre": (low + high) / 2, "low": low, "high": high, "middle": middle}[last]


_VOLUME = Formula(
    "logits volume",
    axes=lambda: (1, 2),
    mean=lambda axes: lambda numbers: numbers.mean(axes, keepdim=True),
    made=lambda logits: lambda shift: torch.sigmoid(logits + shift),
    level=lambda made, mean: lambda shift: mean(made(shift)),
    wanted=lambda volume: volume,
    ends=_constant((-30.0, 30.0)),
    halvings=_constant(40),
    last=_constant("centre"),
    shift=_bisected,
    densities=lambda made, shift: made(shift),
)
_AT_ONCE = Formula(  # without a search
    "logits volume",
    grey=lambda logits: torch.sigmoid(logits),
    mean=lambda grey: grey.mean((1, 2), keepdim=True),
    slope=lambda grey: (grey * (1 - grey)).mean((1, 2), keepdim=True),
    middle=lambda logits: logits.mean((1, 2), keepdim=True),
    goal=lambda volume: log(volume / (1 - volume)),  # the logit of the volume
    shift=lambda: 0.0,
    densities=lambda logits, shift: torch.sigmoid(logits + shift),
)
_ENDS = (20.0, 25.0, 30.0, 50.0, 100.0)


def _followed(steps: int, rate: Callable[[Tensor], Any]) -> Answer:
    """b moved again and again by what is missing times a rate, of the densities."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        shift = torch.zeros(len(logits), 1, 1, dtype=torch.float64)
        for _ in range(steps):
            densities = torch.sigmoid(logits + shift)
            shift = shift + rate(densities) * (volume - densities.mean((1, 2), keepdim=True))
        return torch.sigmoid(logits + shift)

    return answer


def _constant_rate(rate: float) -> Callable[[Tensor], float]:
    return lambda densities: rate


def _newton(densities: Tensor) -> Tensor:
    return 1 / (densities * (1 - densities)).mean((1, 2), keepdim=True)


def _one_ended(end: float, lower: bool) -> Answer:
    """Bisection in which one end stays where it was."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        low = torch.full((len(logits), 1, 1), -end, dtype=torch.float64)
        high, middle = -low, 0 * low
        for _ in range(50):
            middle = (low + high) / 2
            below = torch.sigmoid(logits + middle).mean((1, 2), keepdim=True) < volume
            low, high = (torch.where(below, middle, low), high) if lower else (low, torch.where(below, high, middle))
        return torch.sigmoid(logits + middle)

    return answer


def _of_grid(shifts: int, end: float) -> Answer:
    """The best of some equally spaced shifts."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        grid = torch.linspace(-end, end, shifts, dtype=torch.float64)
        means = torch.sigmoid(logits[:, None] + grid[:, None, None]).mean((2, 3))
        return torch.sigmoid(logits + grid[(means - volume).abs().argmin(1)][:, None, None])

    return answer


def _scaled_again(times: int) -> Answer:
    """Densities scaled to the volume and cut off at 1, again and again."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        densities = torch.sigmoid(logits)
        for _ in range(times):
            densities = (densities * volume / densities.mean((1, 2), keepdim=True)).clamp(max=1)
        return densities

    return answer


def _stopped(near: float, end: float) -> Answer:
    """Bisection for one layout after the other that stops where its volume is near."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        found = []
        for one in logits:
            low, high = -end, end
            densities = torch.sigmoid(one)
            while abs(float(densities.mean()) - volume) >= near:
                middle = (low + high) / 2
                densities = torch.sigmoid(one + middle)
                low, high = (middle, high) if densities.mean() < volume else (low, middle)
            found.append(densities)
        return torch.stack(found)

    return answer


def _fullest(count: Callable[[float], int], of_batch: bool) -> Answer:
    """1 for the elements of the largest logits, 0 for the others; count: how many, of a number that is not whole."""

    def answer(logits: Tensor, volume: float) -> Tensor:
        rows = logits.flatten()[None] if of_batch else logits.flatten(1)
        rank = rows.argsort(1, descending=True).argsort(1)
        return (rank < count(volume * rows.shape[1])).double().reshape(logits.shape)

    return answer


def _by_roots(logits: Tensor, volume: float) -> Tensor:
    """A right answer with few calls of torch: each of them is tried with a slip in it, and a bisection has hundreds."""
    shifts = [brentq(_missing, -30, 30, (one, volume), 1e-13) for one in logits.numpy()]
    return torch.sigmoid(logits + torch.tensor(shifts, dtype=torch.float64)[:, None, None])


def _missing(shift: float, logits: Any, volume: float) -> float:
    return float(expit(logits + shift).mean() - volume)


def _volume_cases(generator: Generator) -> list[Arguments]:
    def case(volume: float, *shape: int, spread: float = 3.0, apart: float = 2.0) -> Arguments:
        logits = normal(generator, *shape, scale=spread) + normal(generator, shape[0], 1, 1, scale=apart)
        return logits.clamp(-20, 20), volume

    signs = torch.where(uniform(generator, 2, 4, 8) < 0.4, 1.0, -1.0)
    # One layout nearly full and one nearly empty: here b is beyond -20, and beyond 20.
    full_and_empty = (20 - uniform(generator, 2, 5, 4)) * torch.tensor([1.0, -1], dtype=torch.float64)[:, None, None]
    return [
        case(0.3, 4, 4, 4),  # batch, height and width are as many: a shift along the wrong axis runs here
        case(0.45, 3, 5, 7, spread=2.0, apart=4.0),
        case(0.1, 1, 6, 4),
        (signs * (20 - 3 * uniform(generator, 2, 4, 8)), 0.75),
        (full_and_empty, 0.1),
        (full_and_empty, 0.9),
        case(0.88, 5, 3, 4, spread=1.0),
    ]


to_volume = Exercise(
    "to_volume",
    _VOLUME,
    _volume_cases,
    wrong(
        "the densities were scaled by volume / mean, and some exceed 1: shift the logits, then take the sigmoid",
        _AT_ONCE.but(densities=lambda grey, mean, volume: grey * volume / mean),
        "the densities were scaled and cut off at 1: shift the logits, then take the sigmoid",
        _AT_ONCE.but(densities=lambda grey, mean, volume: (grey * volume / mean).clamp(max=1)),
        *_VOLUME.but(
            made=lambda logits: lambda scale: (torch.sigmoid(logits) * scale).clamp(max=1), halvings=_constant(80)
        ).each(ends=[_constant((0.0, end)) for end in (10.0, 100.0, 1e3, 1e6, 1e9)]),
        *map(_scaled_again, (2, 5, 10, 20, 50, 100)),
        "the densities were scaled, or what is missing to 1 was: shift the logits, then take the sigmoid",
        _AT_ONCE.but(
            densities=lambda grey, mean, volume: torch.where(
                mean > volume, grey * volume / mean, 1 - (1 - grey) * (1 - volume) / (1 - mean)
            )
        ),
        "the densities were shifted, and some leave [0, 1]: shift the logits, then take the sigmoid",
        _AT_ONCE.but(densities=lambda grey, mean, volume: grey + volume - mean),
        "the densities were shifted and cut off at 0 and 1: shift the logits, then take the sigmoid",
        _AT_ONCE.but(densities=lambda grey, mean, volume: (grey + volume - mean).clamp(0, 1)),
        _VOLUME.but(made=lambda logits: lambda shift: (torch.sigmoid(logits) + shift).clamp(0, 1)),
        "one shift serves the whole batch: each layout has its own b, so average over height and width only",
        _VOLUME.but(axes=_constant((0, 1, 2))),
        _VOLUME.but(level=lambda made, mean: lambda shift: mean(made(shift)).amax(0, keepdim=True)),
        _VOLUME.but(level=lambda made, mean: lambda shift: mean(made(shift)).amin(0, keepdim=True)),
        "all layouts got the shift of the first: each has its own, found from the whole interval again",
        _VOLUME.but(level=lambda made, mean: lambda shift: mean(made(shift))[:1]),
        "each row or each column has a shift of its own: one number for a layout, so average over both, dim=(1, 2)",
        *_VOLUME.each(axes=[_constant((1,)), _constant((2,))]),
        "you averaged over the layouts: each has its own volume, the mean over height and width, dim=(1, 2)",
        *_VOLUME.each(axes=[_constant((0,)), _constant((0, 1)), _constant((0, 2))]),
        "the shifts run along the width: b[:, None, None] gives each layout its own",
        *_VOLUME.but(level=lambda made: lambda shift: made(shift).mean((1, 2))).each(
            ends=[_constant((-end, end)) for end in _ENDS]
        ),
        _VOLUME.but(densities=lambda made, shift: made(shift[:, 0, 0])),
        "the bisection runs the wrong way, or its ends are exchanged: where the mean is below the volume, the middle becomes the lower end",
        *_VOLUME.but(level=lambda made, mean: lambda shift: -mean(made(shift)), wanted=lambda volume: -volume).each(
            ends=[_constant((-end, end)) for end in _ENDS]
        ),
        *_VOLUME.each(ends=[_constant((end, -end)) for end in _ENDS]),
        "the interval is too narrow: b can reach 25 in size, 20 for the logits and 5 for the volume",
        *_VOLUME.each(
            ends=[
                _constant((-end, end))
                for end in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 16.0, 18.0, 20.0)
            ]
        ),
        *_VOLUME.each(
            ends=[
                lambda logits: (logits.amin((1, 2), True), logits.amax((1, 2), True)),
                lambda logits: (-logits.amax((1, 2), True), -logits.amin((1, 2), True)),
                lambda logits: (float(logits.min()), float(logits.max())),
                lambda logits: (-float(logits.max()), -float(logits.min())),
            ]
        ),
        "the interval holds one sign only: a layout with too much material needs b < 0, one with too little b > 0",
        *_VOLUME.each(ends=[_constant((0.0, end)) for end in (10.0, *_ENDS)]),
        *_VOLUME.each(ends=[_constant((-end, 0.0)) for end in (10.0, *_ENDS)]),
        "the bisection stops too early: each step halves the interval, so go on until the volume is within 10⁻⁶ (40 steps do)",
        *[
            _VOLUME.but(ends=_constant((-end, end)), halvings=_constant(steps), last=_constant(last))
            for last in ("centre", "middle", "low", "high")
            for end in _ENDS[1:]
            for steps in (10, 13, 14, 15, 16)
        ],
        *[_stopped(near, end) for near in (1e-2, 1e-3, 1e-4) for end in (25.0, 30.0, 50.0)],
        "only one end of the interval moves: where the mean is below the volume, the lower one, elsewhere the upper one",
        *[_one_ended(end, lower) for end in _ENDS for lower in (True, False)],
        "the grid of shifts is too coarse: halve an interval instead, each step brings b twice as near",
        *[_of_grid(shifts, end) for end in (20.0, 25.0, 30.0) for shifts in (51, 101, 201, 501, 1001, 2001)],
        "b follows what is missing in steps that do not arrive: halve an interval instead",
        *[_followed(steps, _constant_rate(rate)) for rate in (0.1, 0.5, 1.0) for steps in (10, 20, 50, 100)],
        "Newton's method runs away where the sigmoids are flat: halve an interval instead",
        *[_followed(steps, _newton) for steps in (2, 3, 5, 8, 10, 20, 30, 50, 100)],
        "the layout is gone: each is uniform now; shift its logits, logits + b",
        _AT_ONCE.but(densities=lambda grey, volume: torch.full_like(grey, volume)),
        "the shift was found for logits + b, and subtracted in the end: use one sign throughout",
        _VOLUME.but(densities=lambda logits, shift: torch.sigmoid(logits - shift)),
        "the sigmoid is missing at the end: these are the shifted logits, and densities are asked for",
        _VOLUME.but(densities=lambda logits, shift: logits + shift),
        "these are the shifts: return the densities, sigmoid(logits + b)",
        *_VOLUME.each(densities=[lambda shift: shift, lambda shift: shift.flatten()]),
        "the sigmoid was taken twice: the logits are shifted, not the densities",
        _VOLUME.but(made=lambda logits: lambda shift: torch.sigmoid(torch.sigmoid(logits) + shift)),
        _VOLUME.but(densities=lambda made, shift: torch.sigmoid(made(shift))),
        "the mean of the logits was brought to the volume: it is the mean of sigmoid(logits + b) that counts",
        *_AT_ONCE.but(shift=lambda middle, volume: volume - middle).each(
            densities=[lambda logits, shift: torch.sigmoid(logits + shift), lambda logits, shift: logits + shift]
        ),
        "the mean logit was brought to the logit of the volume: the mean of sigmoids is not the sigmoid of the mean; search for b",
        *_AT_ONCE.each(shift=[lambda middle, goal: goal - middle, lambda logits, goal: goal - logits.mean()]),
        "b = logit(volume) − logit(mean) meets the volume of a uniform layout only, and log(volume / mean) not even that: search for b",
        _AT_ONCE.but(shift=lambda mean, goal: goal - torch.logit(mean)),
        _AT_ONCE.but(shift=lambda grey, goal: goal - torch.logit(grey.mean())),
        _AT_ONCE.but(shift=lambda mean, volume: (volume / mean).log()),
        "the logit of the volume is the shift of logits that are 0: search for b",
        _AT_ONCE.but(shift=lambda goal: goal),
        "a difference of volumes is no shift of logits: search for b",
        *_AT_ONCE.each(shift=[lambda mean, volume: volume - mean, lambda volume: volume, lambda volume: volume - 0.5]),
        "this is one step of Newton's method: the volume is not met yet, and a step from far away overshoots; bisect",
        _AT_ONCE.but(shift=lambda mean, slope, volume: (volume - mean) / slope),
        "you made the layouts black and white by a threshold: shift the logits, and leave the densities grey",
        *[_fullest(count, of_batch) for count in (round, ceil, floor) for of_batch in (False, True)],
        *_AT_ONCE.each(
            densities=[
                lambda logits, volume: (logits > logits.flatten(1).quantile(1 - volume, 1)[:, None, None]).double(),
                lambda logits, volume: (logits >= logits.flatten(1).quantile(1 - volume, 1)[:, None, None]).double(),
                lambda logits, volume: (logits > logits.quantile(1 - volume)).double(),
            ]
        ),
        _VOLUME.but(
            made=lambda logits: lambda cut: (torch.sigmoid(logits) > -cut).double(), ends=_constant((-1.0, 0.0))
        ),
        "a quantile became the threshold of ½: that share of elements lies above ½ then, and the mean density is another",
        _AT_ONCE.but(shift=lambda logits, volume: -logits.flatten(1).quantile(1 - volume, 1)[:, None, None]),
        _VOLUME.but(level=lambda made, mean: lambda shift: mean((made(shift) > 0.5).double())),
        "the volume was met by a power of the densities: shift the logits instead",
        _VOLUME.but(
            made=lambda logits: lambda shift: torch.sigmoid(logits) ** torch.exp(-shift), ends=_constant((-50.0, 50.0))
        ),
        _AT_ONCE.but(densities=lambda grey, mean, volume: grey ** (log(volume) / mean.log())),
        "the logits were scaled, not shifted: that makes a layout sharper or softer, and not every volume is within its reach",
        *[
            _VOLUME.but(made=lambda logits: lambda scale: torch.sigmoid(logits * scale), ends=_constant(ends))
            for ends in ((0.0, 1.0), (0.0, 10.0), (0.0, 100.0), (-10.0, 10.0), (-30.0, 30.0), (-100.0, 100.0))
        ],
        *[
            _VOLUME.but(made=lambda logits: lambda scale: torch.sigmoid(logits / scale), ends=_constant(ends))
            for ends in ((0.0, 1.0), (0.0, 10.0), (0.0, 100.0), (0.01, 10.0), (0.1, 10.0))
        ],
        "the sum of the densities was brought to the volume: the volume is their mean",
        _VOLUME.but(mean=lambda axes: lambda numbers: numbers.sum(axes, keepdim=True)),
        "the median was brought to the volume: the volume is the mean",
        _VOLUME.but(level=lambda made: lambda shift: made(shift).flatten(1).median(1).values[:, None, None]),
        "1 − volume was met, the share of what is empty: the mean density is the volume",
        _VOLUME.but(wanted=lambda volume: 1 - volume),
        "material and void are exchanged: the density is sigmoid(logits + b), not 1 − it",
        _VOLUME.then(lambda densities: 1 - densities),
        _VOLUME.given(logits=torch.neg),
        "the densities are unchanged: shift the logits until each layout has the volume",
        _AT_ONCE,
        "tanh is not the sigmoid: densities lie in [0, 1]",
        _VOLUME.but(made=lambda logits: lambda shift: torch.tanh(logits + shift)),
        "these are shares of the layout that add up to 1, a softmax: each element has a sigmoid of its own",
        _AT_ONCE.but(densities=lambda logits: logits.flatten(1).softmax(1).view_as(logits)),
        _AT_ONCE.but(
            densities=lambda logits, volume: volume * logits[0].numel() * logits.flatten(1).softmax(1).view_as(logits)
        ),
    ),
    tolerance=3e-5,  # of one density, where the mean may be off by 1e-6
    written=_by_roots,
)


# 3. the density filter


def _beside(table: Tensor, weights: Tensor) -> Tensor:
    """Σ_j w_ij table_j with zeros around the table, for weights of odd sides."""
    down, right = (side // 2 for side in weights.shape)
    return conv2d(table[None, None], weights[None, None], padding=(down, right))[0, 0]


_FILTER = Formula(
    "design radius",
    reach=lambda radius: ceil(radius),
    steps=lambda reach: torch.arange(-reach, reach + 1, dtype=torch.float64),
    distance=lambda steps: torch.hypot(steps[:, None], steps),
    near=lambda distance, radius: (distance < radius).double(),
    weights=lambda radius, distance: (radius - distance).clamp(min=0),
    ones=lambda design: torch.ones_like(design),
    sums=lambda design, weights: _beside(design, weights),
    totals=lambda ones, weights: _beside(ones, weights),
    filtered=lambda sums, totals: sums / totals,
)
_PAIRS = Formula(  # with the distances of all pairs of elements, [elements, elements]
    "design radius",
    numbers=lambda design: torch.arange(design.numel(), dtype=torch.float64),
    side=lambda design: design.shape[1],
    rows=lambda numbers, side: numbers // side,
    columns=lambda numbers, side: numbers % side,
    distance=lambda rows, columns: torch.hypot(rows[:, None] - rows, columns[:, None] - columns),
    weights=lambda radius, distance: (radius - distance).clamp(min=0),
    shares=lambda weights: weights / weights.sum(1, keepdim=True),
    filtered=lambda design, shares: (shares @ design.flatten()).view_as(design),
)


_KERNELS = _FILTER.each(reach=[lambda radius: int(radius), lambda radius: ceil(radius)])  # within R, and beyond


def _weighted(*weights: Step, step: str = "weights") -> list[Formula]:
    """Other weights, in a kernel that ends within the radius and in one that reaches beyond."""
    return [other for kernel in _KERNELS for other in kernel.each(**{step: weights})]


def _bells() -> list[Formula]:
    def bell(width: float, cut: bool) -> Step:
        def weights(radius: float, distance: Tensor, near: Tensor) -> Tensor:
            return torch.exp(-0.5 * (distance / (width * radius)) ** 2) * (near if cut else 1)

        return weights

    return _weighted(*[bell(width, cut) for width in (1.0, 0.5**0.5, 0.5, 1 / 3) for cut in (False, True)])


def _surrounded(mode: str) -> list[Answer]:
    """The design continued beyond its rim."""

    def answer(reach: Callable[[float], int], design: Tensor, radius: float) -> Tensor:
        by = reach(radius)
        weights = _FILTER.but(reach=_constant(by), filtered=lambda weights: weights)(design, radius)
        return conv2d(pad(design[None, None], (by,) * 4, mode=mode), (weights / weights.sum())[None, None])[0, 0]

    return [partial(answer, int), partial(answer, ceil)]


def _rolled(kept: Callable[[int, int], bool]) -> list[Answer]:
    """Indices that run round the rim, in rows and in columns; kept: a neighbour's, of how many there are."""

    def answer(reach: Callable[[float], int], design: Tensor, radius: float) -> Tensor:
        sums = totals = torch.zeros_like(design)
        by = reach(radius)
        for down in range(-by, by + 1):
            for right in range(-by, by + 1):
                there = [
                    torch.tensor([kept(i + step, n) for i in range(n)])
                    for n, step in zip(design.shape, (down, right), strict=True)
                ]
                weight = max(0.0, radius - (down**2 + right**2) ** 0.5) * (there[0][:, None] & there[1])
                sums, totals = sums + weight * design.roll((-down, -right), (0, 1)), totals + weight
        return sums / totals

    return [partial(answer, int), partial(answer, ceil)]


def _inside(design: Tensor, weights: Tensor) -> Tensor:
    """Sums where the whole kernel lies in the grid."""
    return conv2d(design[None, None], weights[None, None])[0, 0]


def _inner(design: Tensor, sums: Tensor, totals: Tensor, reach: int) -> Tensor:
    """Means where the whole kernel lies in the grid, and the design elsewhere."""
    down, right = ((torch.arange(n) >= reach) & (torch.arange(n) < n - reach) for n in design.shape)
    return torch.where(down[:, None] & right, sums / totals, design)


def _inner_alone(design: Tensor, sums: Tensor, totals: Tensor, reach: int) -> Tensor:
    """Means where the whole kernel lies in the grid, and 0 elsewhere."""
    return _inner(torch.zeros_like(design), sums, totals, reach)


def _in_place(design: Tensor, radius: float) -> Tensor:
    """One element after the other, each from what the ones before have become."""
    shares = _PAIRS.but(filtered=lambda shares: shares)(design, radius)
    table = design.flatten()
    for number, row in enumerate(shares):
        table = torch.where(torch.arange(len(table)) == number, row @ table, table)
    return table.view_as(design)


def _extreme(sign: int, design: Tensor, radius: float) -> Tensor:
    """The largest or the least of a square around each element."""
    by = ceil(radius) - 1
    return sign * max_pool2d(sign * design[None, None], 2 * by + 1, 1, by)[0, 0]


def _filter_cases(generator: Generator) -> list[Arguments]:
    sizes = [(5, 7, 1.5), (6, 5, 2.3), (8, 6, 3.0), (4, 6, 1.2), (5, 5, 1.0), (7, 9, 2.7), (3, 9, 1.5)]
    return [(uniform(generator, ny, nx, gradient=True), radius) for ny, nx, radius in sizes]


_AXES: list[Step] = [  # distances along rows alone, columns alone, or both but not across
    lambda steps: torch.where(steps[:, None] == 0, steps.abs(), torch.inf),
    lambda steps: torch.where(steps == 0, steps.abs()[:, None], torch.inf),
    lambda steps: torch.where((steps == 0) | (steps[:, None] == 0), torch.hypot(steps[:, None], steps), torch.inf),
]

filtered = Exercise(
    "filtered",
    _FILTER,
    _filter_cases,
    wrong(
        "the rim is too dark: divide by the weights of the elements that exist, not by those of the whole kernel",
        _FILTER.but(totals=lambda weights: weights.sum()),
        "the weights are not normalised: divide by their sum",
        _FILTER.but(totals=lambda: 1.0),
        "the design is mirrored at its rim: only elements of the grid count; zeros around it, and divide by the weights that are left",
        *_surrounded("reflect"),
        "the rim is repeated outwards: only elements of the grid count; zeros around it, and divide by the weights that are left",
        *_surrounded("replicate"),
        "neighbours are taken from the other side of the grid: beyond the rim there are none",
        *_surrounded("circular"),
        *_rolled(lambda i, n: True),
        "index −1 is the last row or column in Python, so the first ones found neighbours at the other end: skip negative indices",
        *_rolled(lambda i, n: i < n),
        "all elements within the radius weigh alike: the weight falls with the distance, R − |i − j|",
        *_weighted(lambda near: near, lambda distance, radius: (distance <= radius).double()),
        "all elements of a square weigh alike: the weight is max(0, R − |i − j|)",
        *_weighted(lambda distance: torch.ones_like(distance)),
        _FILTER.but(reach=lambda: 1, weights=lambda distance: torch.ones_like(distance)),
        "all elements weigh alike, and the rim is divided by a whole kernel: the weight is max(0, R − |i − j|), over the elements that exist",
        *[
            other.but(totals=lambda weights: weights.sum())
            for other in _weighted(lambda distance: torch.ones_like(distance), lambda near: near)
        ],
        _FILTER.but(reach=lambda: 1, weights=lambda distance: torch.ones_like(distance), totals=lambda: 9.0),
        "the weights are those of a normal density: the filter's fall linearly, R − |i − j|, to 0 at R",
        *_bells(),
        *[bell.but(totals=lambda weights: weights.sum()) for bell in _bells()],
        "the weights fall exponentially or like 1 / distance: the filter's fall linearly, R − |i − j|, to 0 at R",
        *_weighted(
            lambda radius, distance: torch.exp(-distance / radius),
            lambda radius, distance, near: torch.exp(-distance / radius) * near,
            lambda distance: torch.exp(-distance),
            lambda distance, near: torch.exp(-distance) * near,
            lambda distance: 1 / (1 + distance),
            lambda distance, near: near / (1 + distance),
        ),
        "the distance is squared: its root is missing in R − |i − j|",
        *_weighted(lambda radius, distance: (radius - distance.square()).clamp(min=0)),
        "the weights are curved: they fall linearly, R − |i − j|, without a square or a root of it",
        *_weighted(
            lambda radius, distance: (radius**2 - distance.square()).clamp(min=0),
            lambda radius, distance: (radius - distance).clamp(min=0).square(),
            lambda radius, distance: (radius - distance).square(),
            lambda radius, distance: (radius**2 - distance.square()).clamp(min=0).sqrt(),
        ),
        "the distance is that of a walk along rows and columns, |Δrow| + |Δcolumn|: take the Euclidean one",
        *_weighted(lambda steps: steps.abs()[:, None] + steps.abs(), step="distance"),
        "the distance is the larger of the two steps: take the Euclidean one",
        *_weighted(lambda steps: torch.maximum(steps.abs()[:, None], steps.abs()), step="distance"),
        "the weights are a product, down times across: take R minus the Euclidean distance",
        *_weighted(lambda radius, steps: torch.outer(*[(radius - steps.abs()).clamp(min=0)] * 2)),
        "only elements of one's own row or column are averaged: the distance counts both steps",
        *_weighted(*_AXES, step="distance"),
        "the radius is rounded: R − |i − j| takes it as it is",
        *_FILTER.each(
            weights=[
                lambda radius, distance: (int(radius) - distance).clamp(min=0),
                lambda radius, distance: (ceil(radius) - distance).clamp(min=0),
                lambda radius, distance: (round(radius) - distance).clamp(min=0),
            ]
        ),
        "the radius is off by one or by a half: distances run from centre to centre, and the weight is R − |i − j|",
        *[_FILTER.given(radius=partial(add, by)) for by in (1, 0.5, -0.5)],
        *_weighted(
            lambda radius, distance: (radius + 1 - distance).clamp(min=0),
            lambda radius, distance: (radius - 1 - distance).clamp(min=0),
            lambda radius, distance: (radius + 0.5 - distance).clamp(min=0),
        ),
        "the radius is doubled or halved: R is the distance from the middle at which the weight reaches 0",
        *[_FILTER.given(radius=partial(mul, by)) for by in (2, 0.5)],
        *_weighted(lambda radius, distance: (radius - distance / 2).clamp(min=0)),
        "the weights are negative beyond R: max(0, ·) is missing",
        *_weighted(lambda radius, distance: radius - distance),
        "beyond R the weights grow again: max(0, ·), not an absolute value",
        *_weighted(lambda radius, distance: (radius - distance).abs()),
        "the element itself weighs R, the most of all: you gave it another weight, or none",
        *_weighted(
            lambda radius, distance: torch.where(distance == 0, 0.0, radius - distance).clamp(min=0),
            lambda radius, distance: torch.where(distance == 0, 1.0, radius - distance).clamp(min=0),
        ),
        _FILTER.but(
            weights=lambda radius, distance: torch.where(distance == 0, 0.0, radius - distance).clamp(min=0),
            filtered=lambda design, sums, totals: torch.where(totals > 0, sums / totals.clamp(min=1e-9), design),
        ),
        "the weights grow with the distance: the nearest elements weigh most, R − |i − j|",
        *_weighted(
            lambda distance, near: distance * near,
            lambda distance: distance,
            lambda radius, distance: (distance - radius).clamp(min=0),
        ),
        "the padding is missing: with zeros on every side the result is as large as the design",
        *[k.but(filtered=lambda design, weights: _inside(design, weights / weights.sum())) for k in _KERNELS],
        "you divided by a number of elements: divide by the sum of their weights",
        *[
            other
            for kernel in _KERNELS
            for other in kernel.each(
                totals=[
                    lambda ones, near: _beside(ones, near),
                    lambda near: near.sum(),
                    lambda weights: weights.numel(),
                    lambda design: design.numel(),
                    lambda weights: weights.mean(),
                    lambda ones, weights: _beside(ones, torch.ones_like(weights)),
                ]
            )
        ],
        "you divided by the largest weight: divide by the sum of the weights",
        _FILTER.but(totals=lambda radius: radius),
        "the weights were normalised along the wrong index: divide by Σ_j w_ij at i, after the sum, not at j before it",
        _PAIRS.but(shares=lambda weights: weights / weights.sum(0)),
        "you divided by the weights of all pairs: each element i has a sum of its own, over j",
        _PAIRS.but(shares=lambda weights: weights / weights.sum()),
        "you divided twice: once, by the weights of the elements that exist",
        _FILTER.but(filtered=lambda sums, totals, weights: sums / totals / weights.sum()),
        _FILTER.but(filtered=lambda sums, totals: sums / totals.square()),
        "a softmax of the weights reaches beyond R, and is not their share: divide them by their sum",
        _PAIRS.but(shares=lambda weights: weights.softmax(1)),
        "elements are numbered along rows by flatten(): element k lies in row k // nx and column k % nx",
        *_PAIRS.each(side=[lambda design: design.shape[0]]),
        _PAIRS.but(
            rows=lambda numbers, design: numbers % design.shape[0],
            columns=lambda numbers, design: numbers // design.shape[0],
        ),
        _PAIRS.but(
            rows=lambda numbers, side: numbers // side, columns=lambda numbers, design: numbers % design.shape[0]
        ),
        "the last neighbours, below and on the right, are missing: a range ends before its last number, so range(−reach, reach + 1)",
        _KERNELS[0].but(
            weights=lambda radius, distance, steps: (
                (radius - distance).clamp(min=0) * ((steps < steps[-1])[:, None] & (steps < steps[-1]))
            ),
        ),
        "your kernel is too small: all elements nearer than R count, so reach ⌈R⌉ steps to every side",
        *_FILTER.each(
            reach=[
                lambda: 1,
                lambda radius: int(radius) - 1,
                lambda radius: max(0, ceil(radius) - 2),
                lambda radius: int(radius) // 2,
                lambda radius: round(radius / 2),
            ]
        ),
        "the rim is not averaged: its elements are means too, over the elements that exist",
        *[kernel.but(filtered=_inner) for kernel in (*_KERNELS, _FILTER.but(reach=lambda: 1))],
        *[kernel.but(filtered=_inner_alone) for kernel in _KERNELS],
        "you wrote new densities into the table that you still read from: make a new one",
        _in_place,
        "the filter was applied twice: once is asked for",
        lambda design, radius: _FILTER(_FILTER(design, radius), radius),
        "the design is unchanged: each density becomes a mean over those around it",
        lambda design, radius: design.clone(),
        "the largest or the least neighbour was taken: a weighted mean is asked for",
        *[partial(_extreme, sign) for sign in (1, -1)],
        "these are the sums of the weights: the weighted mean of the densities is asked for",
        _FILTER.but(filtered=lambda totals: totals),
        "the values are right, but no gradient reaches the design: something was detached, or made anew from numbers",
        _FILTER.given(design=torch.detach),
    ),
)


# 4. the compliance of a layout by finite elements

_SOLVERS: list[Step] = [  # which fail with different words where K is singular
    lambda stiffness, force: torch.linalg.solve(stiffness, force),
    lambda stiffness, force: torch.linalg.solve(stiffness, force[:, None])[:, 0],
    lambda stiffness, force: torch.linalg.inv(stiffness) @ force,
]


def _compliance(power: int = 3, least: float = VOID) -> Formula:
    """Of a modulus with an exponent and a least value that can be wrong."""
    return Formula(
        "density element unknowns force",
        modulus=lambda density: least + density**power * (1 - least),
        entries=lambda modulus, element: modulus[:, None, None] * element,  # [elements, 8, 8]
        rows=lambda unknowns: unknowns[:, :, None].expand(-1, -1, 8),
        columns=lambda rows: rows.mT,
        kept=lambda rows, columns: (rows >= 0) & (columns >= 0),
        at=lambda rows, columns, kept: (rows[kept], columns[kept]),
        zeros=lambda entries, force: entries.new_zeros(len(force), len(force)),
        accumulate=lambda: True,
        stiffness=lambda zeros, at, entries, kept, accumulate: zeros.index_put(at, entries[kept], accumulate),
        moved=_SOLVERS[0],
        corners=lambda moved, unknowns: pad(moved, (0, 1))[unknowns],  # of each element; 0 for number −1
        energies=lambda corners, element: torch.einsum("ei,ij,ej->e", corners, element, corners),  # of solid elements
        works=lambda force, moved: force * moved,
        compliance=lambda force, moved: force @ moved,
    )


_COMPLIANCE = _compliance()
_ENERGY = _COMPLIANCE.but(compliance=lambda modulus, energies: modulus @ energies)


def _one_by_one(
    at: Callable[[Tensor], tuple[Tensor, Tensor]] = lambda numbers: (numbers[:, None], numbers),
    block: Callable[[Tensor, Tensor], Tensor] = lambda element, kept: element[kept][:, kept],
    least: int = 0,
    adding: bool = True,
) -> Step:
    """K in a loop over the elements; at: where a block is put; least: of the numbers kept; adding: += or =."""

    def stiffness(modulus: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
        whole = element.new_zeros(len(force), len(force))
        for value, numbers in zip(modulus, unknowns, strict=True):
            kept = numbers >= least
            here = at(numbers[kept])
            if adding:
                whole[here] += value * block(element, kept)
            else:
                whole[here] = value * block(element, kept)
        return whole

    return stiffness


def _mesh(nx: int, ny: int, *held: Any) -> Tensor:
    """Numbers of the displacements of each element, [elements, 8]; held: places in [column, row, way] that are clamped."""
    free = torch.ones(nx + 1, ny + 1, 2, dtype=torch.bool)
    for place in held:
        free[place] = False
    numbers = torch.where(free, free.flatten().cumsum(0).view_as(free) - 1, -1)
    corners = [numbers[right : right + nx, down : down + ny] for right in (0, 1) for down in (0, 1)]
    return torch.cat(corners, -1).flatten(0, 1)


def _compliance_cases(generator: Generator) -> list[Arguments]:
    # On springs, for without them a K to whose unknowns the clamped displacements are added is singular, and what
    # is only rounding error can match no mistake.
    element = torch.from_numpy(element_stiffness()) + 0.3 * torch.eye(8, dtype=torch.float64)

    def case(nx: int, ny: int, *held: Any, scale: float = 1.0) -> Arguments:
        unknowns = _mesh(nx, ny, *held)
        density = (0.2 + 0.8 * uniform(generator, nx * ny)).requires_grad_()
        return density, scale * element, unknowns, normal(generator, int(unknowns.max()) + 1)

    _, _, two, force = case(2, 1, 0)
    nearly_void = torch.tensor([1.0, 1e-3], dtype=torch.float64, requires_grad=True)
    # One free element and eight that are free in one displacement each: here a wrong K too is regular.
    places = torch.arange(8)
    single = torch.where(places[:, None] == places, places, -1)
    nine = (0.2 + 0.8 * uniform(generator, 9)).requires_grad_()
    return [
        (nine, element, torch.cat([places[None], single]), normal(generator, 8)),
        case(1, 1, 0),
        case(3, 2, (0, 0)),
        case(4, 3, (0, slice(None), 0), (-1, -1, 1)),
        case(3, 2, (slice(None), 2), scale=2.0),
        (nearly_void, element, two, force),
        case(1, 3, 0),
    ]


compliance_of = Exercise(
    "compliance_of",
    _COMPLIANCE,
    _compliance_cases,
    wrong(
        "the modulus is linear in ρ here: it grows with ρ³, which makes half-filled elements poor value",
        _compliance(power=1),
        "the modulus grows with ρ³: you took ρ²",
        _compliance(power=2),
        "your modulus vanishes with ρ³: E_min is added to the cube, so that an empty element keeps K regular",
        _compliance(least=0),
        "E_min is another here: it is 10⁻⁹",
        *[_compliance(least=least) for least in (1e-3, 1e-6, 1e-4, 1e-8)],
        "every element has the same modulus here: each has its own, from its own density",
        _COMPLIANCE.given(density=lambda density: density.mean().expand_as(density)),
        _COMPLIANCE.but(entries=lambda modulus, element: modulus.mean().expand_as(modulus)[:, None, None] * element),
        "every element is solid here: multiply its matrix by its modulus, E_min + ρ³ (1 − E_min)",
        _COMPLIANCE.given(density=torch.ones_like),
        "½ f·u is the strain energy: the compliance is f·u",
        _COMPLIANCE.then(lambda compliance: 0.5 * compliance),
        "elements that share a node overwrite one another: add each one's matrix to K (accumulate=True, or += one element at a time)",
        _COMPLIANCE.but(stiffness=_one_by_one(adding=False)),
        _COMPLIANCE.but(accumulate=lambda: False),
        "index −1 is the last unknown in Python, so the clamped displacements were added to it: skip them",
        _COMPLIANCE.but(kept=lambda rows: rows >= -1),
        "an entry with one clamped displacement was kept, and index −1 adds it to the last unknown: skip rows and columns",
        *_COMPLIANCE.each(kept=[lambda rows: rows >= 0, lambda columns: columns >= 0]),
        _COMPLIANCE.but(kept=lambda rows, columns: (rows >= 0) | (columns >= 0)),
        "the clamped displacements were taken for number 0: skip them",
        _COMPLIANCE.given(unknowns=lambda numbers: numbers.clamp(min=0)),
        "number 0 was left out, so K is singular: only −1 is clamped, so keep the numbers >= 0",
        *_COMPLIANCE.but(kept=lambda rows, columns: (rows > 0) & (columns > 0)).each(moved=_SOLVERS),
        "K is still 0: K[free][:, free] is a copy, and += changes that; add to K[free[:, None], free], which is K itself",
        *_COMPLIANCE.but(stiffness=lambda zeros: zeros).each(moved=_SOLVERS),
        "K is float32 and the force float64: make it by torch.zeros(n, n, dtype=density.dtype)",
        *[f.given(density=Tensor.float, element=Tensor.float) for f in _COMPLIANCE.each(moved=_SOLVERS[:2])],
        "K[free, free] is the diagonal alone: K[free[:, None], free] is the block of those rows and columns",
        *[_COMPLIANCE.but(stiffness=_one_by_one(lambda free: (free, free), adding=adding)) for adding in (True, False)],
        "only the diagonal of each matrix was added: element[kept][:, kept] belongs to K[free[:, None], free]",
        _COMPLIANCE.given(element=lambda k: k.diagonal().diag()),
        "element[kept, kept] is the diagonal alone, and it was spread over all rows: element[kept][:, kept] is the block",
        _COMPLIANCE.given(element=lambda k: k.diagonal().expand(8, 8)),
        _COMPLIANCE.given(element=lambda k: k.diagonal()[:, None].expand(8, 8)),
        "the −1 were kept: Python takes index −1 for the last unknown, and += adds but one entry where a number occurs twice",
        _COMPLIANCE.but(stiffness=_one_by_one(least=-1)),
        "you took the first rows and columns of the element's matrix: take those of its free displacements, element[kept][:, kept]",
        _COMPLIANCE.but(stiffness=_one_by_one(block=lambda k, kept: k[: int(kept.sum()), : int(kept.sum())])),
        "you left out every element with a clamped node: skip only the rows and columns of its clamped displacements",
        *_COMPLIANCE.but(kept=lambda rows: (rows >= 0).all(1, keepdim=True).expand_as(rows)).each(moved=_SOLVERS),
        "u·u is not the compliance: that is the work of the load, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved @ moved, lambda moved: moved.norm()]),
        "you summed the displacements: the compliance weights them by the forces, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved.sum(), lambda moved: moved.abs().sum()]),
        "you took the largest displacement: the compliance is the work of the load, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved.max(), lambda moved: moved.abs().max()]),
        "f·u is a sum, with signs: you averaged, or took absolute values",
        *_COMPLIANCE.each(compliance=[lambda works: works.mean(), lambda works: works.abs().sum()]),
        "these are the displacements u: the compliance is f·u",
        _COMPLIANCE.but(compliance=lambda moved: moved),
        "these are the products f u, one by one: the compliance is their sum, f·u",
        _COMPLIANCE.but(compliance=lambda works: works),
        "you multiplied K by the force: K u = f must be solved for u",
        _COMPLIANCE.but(moved=lambda stiffness, force: stiffness @ force),
        "this is the reciprocal of the compliance, a stiffness: return f·u itself",
        _COMPLIANCE.then(torch.reciprocal),
        "Σ u·k u of solid elements is not f·u: each term needs the modulus of its element",
        _COMPLIANCE.but(compliance=lambda energies: energies.sum()),
        "the gradient has the wrong sign: u was detached, but it depends on the density too",
        _ENERGY.but(moved=lambda stiffness, force: torch.linalg.solve(stiffness, force).detach()),
        "the value is right, but no gradient reaches the density: something was detached, or made anew from numbers",
        _COMPLIANCE.given(density=torch.detach),
    ),
)
