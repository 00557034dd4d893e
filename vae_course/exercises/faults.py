"""What is wrong with an answer that is no known mistake: what was done to the right result, or to a known mistake's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import log

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vae_course.exercises.exercise import Arguments, Exercise, ExerciseError
from vae_course.exercises.run import (
    Answering,
    Here,
    Outcome,
    close,
    draw_cases,
    names_of,
    outcome_of,
    same_values,
    swapped_cases,
)
from vae_course.exercises.words import describe_all, has, is_, shape_of

Afterwards = Callable[[Tensor, int], Tensor]  # (a right result, how many examples) → a wrong one
AFTERWARDS: Sequence[tuple[Afterwards, str]] = (
    (lambda v, n: -v, "the sign is flipped"),
    (lambda v, n: v.sum(), "all numbers were added up: return one for each example"),
    (lambda v, n: v.mean(), "all numbers were averaged: return one for each example"),
    (lambda v, n: v / n, "the result was divided by the number of examples: each has its own"),
    (lambda v, n: v * n, "the result was multiplied by the number of examples: each has its own"),
    (lambda v, n: v / log(2), "this is in bits: the task asks for natural logarithms, in nats"),
    (lambda v, n: v * log(2), "the result was multiplied by log 2, as if it were in bits: it is in nats"),
    (lambda v, n: v.exp(), "this is exp of the result: stay with its logarithm"),
    (lambda v, n: v.log(), "this is the logarithm of the result"),
    (lambda v, n: v.sqrt(), "this is the root of the result"),
    (lambda v, n: v.square(), "this is the square of the result"),
    (lambda v, n: v[..., None], "an axis of size 1 is too many at the end: reduce without keepdim=True"),
    (
        lambda v, n: v.squeeze(),
        "an axis of size 1 is missing: squeeze() takes away every one, that of a batch of 1 too",
    ),
    (lambda v, n: v.transpose(-2, -1), "two axes of the result are exchanged"),
    (lambda v, n: v[:, None].expand(n, n), "[batch, 1] met [batch], which makes a table of all pairs: check keepdim"),
    (lambda v, n: v[None].expand(n, n), "[batch, 1] met [batch], which makes a table of all pairs: check keepdim"),
    (lambda v, n: v.flip(-1), "the last axis is in the reverse order"),
)


def done_afterwards(given: list[Outcome], base: list[Outcome], cases: list[Arguments], tolerance: float) -> str | None:
    """What turns one result into another, on every case: the sentence of AFTERWARDS, or None."""
    if len(given) != len(base):
        return None
    telling = any(bool(v.isfinite().any()) for mine in given for v in mine.values)  # NaN is like NaN
    for change, said in AFTERWARDS:
        triples = zip(given, base, cases, strict=True)
        if telling and all(_gives(change, mine, right, case, tolerance) for mine, right, case in triples):
            return said
    return None


def _gives(change: Afterwards, given: Outcome, base: Outcome, case: Arguments, tolerance: float) -> bool:
    n = next((len(a) for a in case if isinstance(a, Tensor) and a.ndim), 1)
    if len(given.values) != len(base.values) or not all(v.is_floating_point() for v in base.values):
        return False
    try:
        made = [change(v, n) for v in base.values]
    except (RuntimeError, IndexError):
        return False
    return all(close(mine, other, tolerance) for mine, other in zip(given.values, made, strict=True))


def two_at_once(
    given: list[Outcome],
    right: list[Outcome],
    some: Sequence[tuple[str, list[Outcome]]],
    others: Sequence[tuple[str, list[Outcome]]],
    tolerance: float,
) -> tuple[str, str] | None:
    """Two errors, one of either list, whose effects add up to what is seen: their sentences, or None."""
    seen, truth = flat(given), flat(right)
    if seen is None or truth is None or seen.shape != truth.shape or not bool(seen.isfinite().all()):
        return None
    near = 1e-6 * (1 + truth.abs() + seen.abs()) + tolerance
    first, second = (
        [(said, effect - truth) for said, effect in _flat_effects(list_, truth)] for list_ in (some, others)
    )
    for one, its in first:
        rest = seen - truth - its
        for two, other in second:
            if one != two and bool(((rest - other).abs() <= near).all()):
                return one, two
    return None


def _flat_effects(effects: Sequence[tuple[str, list[Outcome]]], truth: Tensor) -> Iterator[tuple[str, Tensor]]:
    for message, made in effects:
        effect = flat(made)
        if effect is not None and effect.shape == truth.shape and bool(effect.isfinite().all()):
            yield message, effect


def flat(outcomes: list[Outcome]) -> Tensor | None:
    """All values of all cases in a row; None where one is no real number."""
    values = [v.flatten().double() for outcome in outcomes for v in outcome.values if v.is_floating_point()]
    return torch.cat(values) if values else None


def generic(exercise: Exercise, given: list[Outcome], right: list[Outcome], seed: int) -> str:
    """The fault of an answer that ran on every case and is wrong: one line, the most telling that can be found."""
    cases = draw_cases(exercise, seed)
    if same_values(given, right, exercise.tolerance):
        return wrong_gradient_or_state(exercise, given, right, cases)
    pairs = [(g.values[i], e.values[i]) for g, e in zip(given, right, strict=True) for i in range(len(e.values))]
    if message := off_by_a_rule(pairs):
        return message
    return numbers(exercise, given, right, cases)


def wrong_kind(exercise: Exercise, given: list[Outcome], right: list[Outcome], cases: list[Arguments]) -> str | None:
    """A wrong shape or number type, or NaN."""
    for outcome, truth, case in zip(given, right, cases, strict=True):
        for name, value, wanted in zip(exercise.results, outcome.values, truth.values, strict=True):
            if value.shape != wanted.shape:
                hint = ": you reduced over every axis, or squeezed one away" if value.ndim == 0 else ""
                return (
                    f"the {name} {has(name)} the shape {shape_of(value)} where {shape_of(wanted)} is right{hint} "
                    f"(for {describe_all(names_of(exercise), case)})"
                )
            if value.is_floating_point() != wanted.is_floating_point():
                return f"the {name} {has(name)} the number type {value.dtype}; return {wanted.dtype}"
            if wanted.is_floating_point() and bool(value.isfinite().logical_not().any() & wanted.isfinite().all()):
                return f"the {name} {is_(name)} NaN or infinite where all should be finite (for {describe_all(names_of(exercise), case)})"
    return None


def lost_gradient(exercise: Exercise, given: list[Outcome], right: list[Outcome], cases: list[Arguments]) -> str | None:
    """The argument that no gradient at all flows back to, though one should."""
    for outcome, truth, case in zip(given, right, cases, strict=True):
        live = [n for n, a in zip(names_of(exercise), case, strict=True) if isinstance(a, Tensor) and a.requires_grad]
        for name, gradient, wanted in zip(live, outcome.gradients, truth.gradients, strict=True):
            if wanted is not None and bool(wanted.any()) and (gradient is None or not bool(gradient.any())):
                return f"the value is right, but no gradient flows back to {name}: something was detached or made anew"
    return None


def wrong_gradient_or_state(
    exercise: Exercise, given: list[Outcome], right: list[Outcome], cases: list[Arguments]
) -> str:
    """The values are right: it must be the gradients, or what was done to a module."""
    names = names_of(exercise)
    for outcome, truth, case in zip(given, right, cases, strict=True):
        live = [n for n, a in zip(names, case, strict=True) if isinstance(a, Tensor) and a.requires_grad]
        for name, gradient, wanted in zip(live, outcome.gradients, truth.gradients, strict=True):
            if not close(gradient, wanted, exercise.tolerance):
                return _of_gradient(name, gradient, wanted, describe_all(names_of(exercise), case))
        if not all(map(close, outcome.states, truth.states)):
            return "the returned value is right, but the model's parameters afterwards are not"
    raise AssertionError("a wrong answer without a difference")


def _of_gradient(name: str, gradient: Tensor | None, wanted: Tensor | None, case: str) -> str:
    assert gradient is not None  # or lost_gradient has said so
    if wanted is None or not bool(wanted.any()):
        return f"the value is right, but a gradient flows back to {name} where none should: detach it"
    where = f"the value is right, but its gradient with respect to {name}"
    if not bool(gradient.isfinite().all()) and bool(wanted.isfinite().all()):
        return f"{where} is NaN or infinite: an overflow, or a square root, logarithm or division at 0, on the way (for {case})"
    telling = wanted.abs() > 1e-6
    ratio = gradient[telling] / wanted[telling]
    if len(ratio) > 1 and close(ratio, ratio[:1].expand_as(ratio)):
        return f"{where} is {float(ratio[0]):.4g} times the right one: a part of the path was detached or counted twice"
    apart = (gradient - wanted).abs().flatten()
    worst = int(apart.argmax())
    return (
        f"{where} is not: {float(gradient.flatten()[worst]):.4g} where {float(wanted.flatten()[worst]):.4g} is right, so a part of "
        f"the path was detached, or is another function with the same value (for {case})"
    )


def ignored_argument(exercise: Exercise, answering: Answering, seed: int) -> str | None:
    """The tensor argument that has no effect on an answer, though it should have."""
    right = Here(exercise.prepare(exercise.reference))
    for position, name in enumerate(names_of(exercise)):
        cases = list(swapped_cases(exercise, seed, position))
        if any(isinstance(a, nn.Module | Optimizer) for a in cases[0][0]) or not isinstance(
            cases[0][0][position], Tensor
        ):
            continue
        moved_answer = moved_right = False
        both = (who.swapped(exercise, seed, position) for who in (answering, right))
        for pair, of_answer, of_right in zip(cases, *both, strict=False):
            try:
                mine, theirs = (
                    [outcome_of(exercise, seen, case).values for seen, case in zip(seen_by, pair, strict=True)]
                    for seen_by in (of_answer, of_right)
                )
            except ExerciseError:
                continue
            moved_answer = moved_answer or not all(map(close, *mine))
            moved_right = moved_right or not all(map(close, *theirs))
        if moved_right and not moved_answer:
            return f"your function's result does not depend on {name}; it should"
    return None


def off_by_a_rule(pairs: list[tuple[Tensor, Tensor]]) -> str | None:
    """A mean for a sum or the other way round, a constant factor or a constant, common to all cases; None for whole numbers."""
    if not all(wanted.is_floating_point() for _, wanted in pairs):
        return None
    given = torch.cat([g.flatten().double() for g, _ in pairs])
    wanted = torch.cat([e.flatten().double() for _, e in pairs])
    telling = wanted.abs() > 1e-6
    if int(telling.sum()) < 3:
        return None
    ratio = given[telling] / wanted[telling]
    right_there = close(ratio, torch.ones_like(ratio))  # wrong only where 0 is right
    if close(ratio, ratio[:1].expand_as(ratio)) and not right_there:
        return f"your result is {float(ratio[0]):.6g} times the right one, everywhere: a constant factor is off"
    difference = given - wanted
    if close(difference, difference[:1].expand_as(difference)):
        return f"your result is the right one plus {float(difference[0]):.6g}, everywhere: a constant is off"
    whole = [(g[e.abs() > 1e-6] / e[e.abs() > 1e-6]) for g, e in pairs]
    if not right_there and all(len(r) == 0 or close(r, r[:1].expand_as(r)) for r in whole):
        sizes = [float(r[0]) for r in whole if len(r) and float(r[0]) != 0]
        if len({round(s, 6) for s in sizes}) > 1:
            if _whole_numbers([1 / s for s in sizes]):
                return (
                    "your result is the right one divided by a size of the input: you took a mean where a sum is meant"
                )
            if _whole_numbers(sizes):
                return "your result is the right one times a size of the input: you took a sum where a mean is meant"
    return None


def _whole_numbers(sizes: list[float]) -> bool:
    return all(abs(size - round(size)) < 1e-5 * size and round(size) >= 1 for size in sizes)


def numbers(exercise: Exercise, given: list[Outcome], right: list[Outcome], cases: list[Arguments]) -> str:
    """The number that is farthest off in the first case that is wrong, beside the right one."""
    for outcome, truth, case in zip(given, right, cases, strict=True):
        for name, value, wanted in zip(exercise.results, outcome.values, truth.values, strict=True):
            if not close(value, wanted, exercise.tolerance):
                apart = (value.double() - wanted.double()).abs().nan_to_num(torch.inf)
                index = [int(i) for i in torch.unravel_index(apart.argmax(), apart.shape)]
                got, expected = float(value[tuple(index)]), float(wanted[tuple(index)])
                digits = 6 if f"{got:.6g}" != f"{expected:.6g}" else 12
                place = f"at {index}, " if index else ""
                return (
                    f"the {name} {is_(name)} {got:.{digits}g} where {expected:.{digits}g} is right "
                    f"({place}for {describe_all(names_of(exercise), case)})"
                )
    raise AssertionError("a wrong answer without a difference")
