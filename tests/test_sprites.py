"""Sprites: all combinations differ, each factor does what it says and nothing else, and colours are those named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import cos, pi, sin, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae_course.data import sprites as drawing
from vae_course.data.sprites import (
    COLOURED,
    FACTORS,
    PALETTE,
    SCALES,
    SHAPES,
    SYMMETRY,
    SpriteSet,
    all_factors,
    coloured_sprites,
    render,
    sprites,
)

repeatable = settings(deadline=None, derandomize=True, max_examples=40, database=None)
SIDES = (22, 28, 32)
each_side = pytest.mark.parametrize("side", SIDES)


@pytest.fixture(scope="module")
def every() -> SpriteSet:
    return sprites()


def where(some: SpriteSet, **values: int) -> Tensor:
    """The pictures in [0, 1] of a set with these values of its factors, in the order of the others."""
    chosen = torch.ones(len(some), dtype=torch.bool)
    for name, value in values.items():
        chosen &= some.factor(name) == value
    return some.images[chosen].double()


def message(call: Callable[[], object], kind: type[Exception] = ValueError) -> str:
    """The message of the exception that the call raises, which must be one line."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the whole set


def test_the_sprites_are_all_combinations_in_the_order_of_their_factors(every: SpriteSet) -> None:
    assert (every.name, len(every), every.shape) == ("sprites", 6144, (1, 28, 28))
    assert every.names == ("shape", "scale", "rotation", "column", "row") == tuple(FACTORS)
    combinations = list(product(*(range(size) for size in FACTORS.values())))
    assert [tuple(row) for row in every.factors.tolist()] == combinations
    assert (every.pictures.dtype, every.factors.dtype) == (torch.uint8, torch.int64)
    assert every.images.dtype == torch.float32
    torch.testing.assert_close(every.images * 255, every.pictures.float())


@each_side
def test_all_sprites_differ(side: int) -> None:
    pictures = sprites(side).pictures
    assert pictures.shape == (6144, 1, side, side)
    assert len({picture.numpy().tobytes() for picture in pictures}) == 6144


def test_all_combinations_of_any_sizes_are_enumerated_with_the_last_fastest() -> None:
    assert all_factors((2, 3)).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert all_factors((3,)).tolist() == [[0], [1], [2]]
    assert all_factors((2, 3, 4)).shape == (24, 3)


def test_a_sprite_is_a_smooth_white_shape_on_black(every: SpriteSet) -> None:
    assert (every.pictures.amin((1, 2, 3)) == 0).all()
    assert (every.pictures.amax((1, 2, 3)) == 255).all()
    edges = ((every.pictures > 0) & (every.pictures < 255)).sum((1, 2, 3))
    assert (edges > 0).float().mean() > 0.9


# --- shape, scale and rotation


@each_side
def test_the_shapes_of_one_scale_have_equal_areas(side: int) -> None:
    """Within 2 % over the angles; an upright edge is rounded to points of an eighth of a pixel, which costs more."""
    areas = sprites(side).images.double().sum((1, 2, 3)).reshape(3, 4, 8, 64).mean(-1)  # shape, scale, rotation
    means = areas.mean(-1)
    assert (means.amax(0) / means.amin(0) < 1.02).all()
    assert (areas.amax((0, 2)) / areas.amin((0, 2)) < 1 + 3 / side).all()


@each_side
def test_no_position_cuts_a_shape_off(side: int) -> None:
    areas = sprites(side).pictures.long().sum((1, 2, 3)).reshape(-1, 64)
    assert areas.eq(areas[:, :1]).all()


def test_areas_grow_with_the_square_of_the_scale(every: SpriteSet) -> None:
    areas = torch.stack([where(every, scale=scale).sum((1, 2, 3)).mean() for scale in range(4)])
    relative = torch.tensor([1 / 2, 2 / 3, 5 / 6, 1]).double()
    torch.testing.assert_close((areas / areas[-1]).sqrt(), relative, rtol=5e-3, atol=0)
    assert relative.tolist() == pytest.approx(SCALES)


@each_side
def test_the_largest_triangle_at_the_outermost_position_just_stays_inside(side: int) -> None:
    """The corner of an equilateral triangle of area A is √(4A / (3√3)) from its middle, which comes to 7 from the edge."""
    area = float(where(sprites(side), shape=2, scale=3).sum((1, 2, 3)).mean())
    assert sqrt(4 * area / (3 * sqrt(3))) == pytest.approx(side / 2 - 7, rel=0.01)


def turned(angle: float) -> tuple[Tensor, Tensor]:
    """Points of the plane and the same points turned around the origin: coordinates [2, n] each."""
    points = 1.6 * torch.rand(2, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.8
    turn = torch.tensor([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]], dtype=torch.float64)
    return points, turn @ points


@pytest.mark.parametrize("shape", range(3))
def test_a_shape_looks_the_same_after_its_period_and_not_before(shape: int) -> None:
    for steps in range(1, 9):
        points, moved = turned(SYMMETRY[shape] * steps / 8)
        same = drawing._inside(shape, *points) == drawing._inside(shape, *moved)
        if steps == 8:
            assert same.float().mean() > 0.9999
        else:
            assert same.float().mean() < 0.99


@pytest.mark.parametrize("shape", range(3))
def test_a_shape_has_area_one_around_the_origin(shape: int) -> None:
    axis = (torch.arange(2000, dtype=torch.float64) + 0.5) / 1000 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    inside = drawing._inside(shape, u, v)
    assert float(inside.sum()) / 1e6 == pytest.approx(1, abs=2e-3)
    assert float(u[inside].mean()) == pytest.approx(0, abs=1e-3)
    assert float(v[inside].mean()) == pytest.approx(0, abs=1e-3)


def test_the_shapes_are_what_their_names_say() -> None:
    """By the second moments of area 1: square 1/12 each, ellipse with axes 2 : 1, triangle of side s: s²/24 each."""
    axis = (torch.arange(2000, dtype=torch.float64) + 0.5) / 1000 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    expected = {"square": (1 / 12, 1 / 12), "ellipse": (1 / (2 * pi), 1 / (8 * pi)), "triangle": (sqrt(3) / 18,) * 2}
    assert tuple(expected) == SHAPES
    for shape, moments in enumerate(expected.values()):
        inside = drawing._inside(shape, u, v)
        assert (float(u[inside].square().mean()), float(v[inside].square().mean())) == pytest.approx(moments, rel=5e-3)
    triangle = drawing._inside(2, u, v)
    assert float(u[triangle].max() - u[triangle].min()) == pytest.approx(2 / 3**0.25, abs=3e-3)


def test_the_ellipse_turns_by_an_eighth_of_half_a_turn_at_each_step(every: SpriteSet) -> None:
    pictures = where(every, shape=1, scale=3, column=3, row=3)[:, 0]
    assert len(pictures) == 8
    axis = torch.arange(28, dtype=torch.float64)
    angles = []
    for picture in pictures:
        mass = picture / picture.sum()
        right, down = (axis - float((mass.sum(k) * axis).sum()) for k in (0, 1))
        cross = float((mass * down[:, None] * right).sum())
        spread = float((mass * (right.square() - down.square()[:, None])).sum())
        angles.append(torch.atan2(torch.tensor(2 * cross), torch.tensor(spread)) / 2)
    steps = torch.stack(angles).diff()
    steps = torch.remainder(steps + pi / 2, pi) - pi / 2
    assert float(angles[0]) == pytest.approx(0, abs=1e-6), "it starts wide"
    assert steps.abs().tolist() == pytest.approx([pi / 8] * 7, abs=0.01)
    assert steps.sign().unique().numel() == 1, "it turns to and fro"


def test_the_square_and_the_ellipse_are_known_at_their_middle_angle(every: SpriteSet) -> None:
    middle = where(every, rotation=4, scale=3, column=3, row=3)
    ellipse = where(every, shape=1, rotation=0, scale=3, column=3, row=3)[0, 0]
    assert middle[1, 0].equal(ellipse.T), "a quarter turn exchanges rows and columns"
    square = where(every, shape=0, rotation=0, scale=3, column=3, row=3)[0, 0]
    width, diagonal = (int((picture.sum(0) > 0).sum()) for picture in (square, middle[0, 0]))
    assert diagonal / width == pytest.approx(sqrt(2), abs=0.15)


# --- positions and mirrors


def test_a_step_of_a_column_or_row_moves_the_picture_by_two_pixels(every: SpriteSet) -> None:
    pictures = every.pictures.reshape(3, 4, 8, 8, 8, 28, 28)  # shape, scale, rotation, column, row, height, width
    right = pictures[:, :, :, 1:]
    assert right.equal(pictures[:, :, :, :-1].roll(2, -1)), "a column is not two pixels to the right of the one before"
    down = pictures[:, :, :, :, 1:]
    assert down.equal(pictures[:, :, :, :, :-1].roll(2, -2)), "a row is not two pixels below the one before"


@each_side
def test_positions_are_centred_on_the_picture(side: int) -> None:
    """The middles of the first and the last position lie 7 pixels on either side of the picture's."""
    some = sprites(side)
    axis = torch.arange(side, dtype=torch.float64) + 0.5 - side / 2
    for shape, place in product(range(3), range(8)):
        for name, along in (("column", -2), ("row", -1)):
            mass = where(some, **{"shape": shape, "scale": 3, name: place}).sum(0)[0].sum(along)
            assert float((mass * axis).sum() / mass.sum()) == pytest.approx(2 * place - 7, abs=0.02)


def test_a_mirrored_sprite_is_the_one_of_the_opposite_column_and_rotation(every: SpriteSet) -> None:
    pictures = every.pictures.reshape(3, 4, 8, 8, 8, 28, 28).short()
    opposite = (-torch.arange(8)) % 8
    mirrored = pictures.flip(-1)[:, :, opposite].flip(3)
    off = (mirrored - pictures).abs()
    assert off.max() <= 8, "more than points on an edge differ"
    assert off[:, :, 0].max() == 0, "the upright ones are symmetric"


def test_squares_and_ellipses_are_mirrored_at_the_horizontal_too_and_triangles_are_not(every: SpriteSet) -> None:
    pictures = every.pictures.reshape(3, 4, 8, 8, 8, 28, 28)[:, :, 0].flip(-2).flip(-3)
    original = every.pictures.reshape(3, 4, 8, 8, 8, 28, 28)[:, :, 0]
    assert pictures[:2].equal(original[:2])
    assert (pictures[2] != original[2]).flatten(-2).any(-1).all()


# --- colours


@pytest.fixture(scope="module")
def some_factors() -> Tensor:
    """600 combinations of the six factors, a hundred of each colour."""
    whole = all_factors(tuple(FACTORS.values()))
    chosen = whole[torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:600]]
    return torch.cat([chosen, (torch.arange(600) % 6)[:, None]], 1)


def test_a_coloured_sprite_has_the_colour_of_the_palette_inside(some_factors: Tensor) -> None:
    grey, coloured = render(some_factors[:, :5], 32), render(some_factors, 32)
    assert coloured.shape == (600, 3, 32, 32)
    for picture, mask, colour in zip(coloured, grey, some_factors[:, 5].tolist(), strict=True):
        inside = picture[:, mask[0] == 255]  # [3, pixels]
        assert inside.shape[1] > 0
        assert inside.unique(dim=1).T.tolist() == [list(PALETTE[colour])]
        assert not picture[:, mask[0] == 0].any(), "the ground is not black"


def test_a_coloured_sprite_is_the_grey_one_times_its_colour(some_factors: Tensor) -> None:
    grey, coloured = render(some_factors[:, :5], 32), render(some_factors, 32)
    colour = torch.tensor(PALETTE)[some_factors[:, 5]].double()[:, :, None, None]
    exact = grey.double() * colour / 255
    assert (coloured.double() - exact).abs().max() <= 0.5


def test_the_palette_is_six_colours_that_are_easy_to_tell_apart() -> None:
    assert len(PALETTE) == COLOURED["colour"] == 6
    colours = torch.tensor(PALETTE).double()
    assert (torch.cdist(colours, colours) + 1000 * torch.eye(6)).min() > 60
    assert tuple(COLOURED) == (*FACTORS, "colour")


# --- coloured sprites to train on


def test_coloured_sprites_are_drawn_without_repetition() -> None:
    train, held_out = coloured_sprites(n=2000, held_out=500)
    assert (len(train), len(held_out)) == (2000, 500)
    assert train.shape == held_out.shape == (3, 32, 32)
    assert train.name == held_out.name == "coloured sprites"
    assert train.names == tuple(COLOURED)
    rows = [tuple(row) for part in (train, held_out) for row in part.factors.tolist()]
    assert len(set(rows)) == 2500
    for part in (train, held_out):
        assert part.pictures.equal(render(part.factors, 32)), "a picture left its factors"
        for name, size in COLOURED.items():
            assert part.factor(name).bincount(minlength=size).min() > 0.4 * len(part) / size, "drawn unevenly"
    assert rows != sorted(rows)


def test_coloured_sprites_of_the_same_number_are_the_same_at_every_call() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = coloured_sprites(n=100, held_out=20)
    assert torch.get_rng_state().equal(state), "the global generator was moved"
    torch.manual_seed(2)
    second = coloured_sprites(n=100, held_out=20)
    for one, other in zip(first, second, strict=True):
        assert one.pictures.equal(other.pictures)
        assert one.factors.equal(other.factors)


def test_coloured_sprites_come_by_default_as_six_thousand_and_one_thousand() -> None:
    train, held_out = coloured_sprites()
    assert (train.pictures.shape, held_out.pictures.shape) == ((6000, 3, 32, 32), (1000, 3, 32, 32))
    assert coloured_sprites(1, 1, side=22).train.shape == (3, 22, 22)


def test_all_coloured_sprites_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "render", lambda factors, side: torch.zeros(len(factors), 3, 1, 1, dtype=torch.uint8))
    train, held_out = coloured_sprites(36_000, 864)
    together = torch.cat([train.factors, held_out.factors]).tolist()
    assert len({tuple(row) for row in together}) == 36_864


@pytest.mark.parametrize(("n", "held_out"), [(0, 10), (10, 0), (-1, 10), (36_864, 1), (36_000, 865)])
def test_more_coloured_sprites_than_there_are_or_none_are_refused(n: int, held_out: int) -> None:
    text = message(lambda: coloured_sprites(n, held_out))
    assert f"{n} + {held_out}" in text
    assert "36864" in text


# --- sets


def test_a_set_is_sliced_and_moved_with_its_factors(every: SpriteSet) -> None:
    part = every[torch.tensor([5, 6143])]
    assert (part.name, len(part), part.names) == ("sprites", 2, every.names)
    assert part.factors.tolist() == [[0, 0, 0, 0, 5], [2, 3, 7, 7, 7]]
    assert part.pictures.equal(every.pictures[[5, 6143]])
    assert every[10:13].factors.equal(every.factors[10:13])
    moved = part.to("cpu")
    assert moved.factors.equal(part.factors)
    assert moved.pictures.equal(part.pictures)


def test_a_factor_is_found_by_its_name(every: SpriteSet) -> None:
    for place, name in enumerate(FACTORS):
        assert every.factor(name).equal(every.factors[:, place])
    text = message(lambda: every.factor("colour"), KeyError)
    assert "'colour'" in text
    assert "shape, scale, rotation, column, row" in text


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        (torch.zeros(4, 1, 8, 8), "float32"),
        (torch.zeros(4, 8, 8, dtype=torch.uint8), r"[4, 8, 8]"),
    ],
)
def test_sprites_that_are_not_bytes_are_refused(pictures: Tensor, says: str) -> None:
    text = message(lambda: SpriteSet("some", pictures, torch.zeros(4, 1, dtype=torch.long), ("shape",)))
    assert text.startswith("some: sprites must be bytes")
    assert says in text


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (4,), (4, 2, 1)])
def test_factors_of_another_number_are_refused(shape: tuple[int, ...]) -> None:
    pictures = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    text = message(lambda: SpriteSet("some", pictures, torch.zeros(shape, dtype=torch.long), ("shape", "scale")))
    assert f"4 sprites came with factors {list(shape)}" in text
    assert "[4, 2]" in text


# --- rendering


combinations = st.lists(
    st.tuples(*(st.integers(0, size - 1) for size in COLOURED.values())), min_size=1, max_size=12
).map(torch.tensor)


@repeatable
@given(factors=combinations, side=st.sampled_from(SIDES), seed=st.integers(0, 2**31), colour=st.booleans())
def test_each_picture_depends_on_its_own_factors_alone(factors: Tensor, side: int, seed: int, colour: bool) -> None:
    factors = factors if colour else factors[:, :5]
    order = torch.randperm(len(factors), generator=torch.Generator().manual_seed(seed))
    copy = factors.clone()
    pictures = render(factors, side)
    assert render(factors[order], side).equal(pictures[order])
    assert render(factors[:1], side).equal(pictures[:1])
    assert factors.equal(copy)
    assert (pictures.shape, pictures.dtype) == ((len(factors), 3 if colour else 1, side, side), torch.uint8)


def test_a_drawn_picture_may_be_changed_without_changing_the_next_one() -> None:
    factors = torch.tensor([[0, 3, 0, 3, 3]])
    first = render(factors)
    copy = first.clone()
    first.zero_()
    assert render(factors).equal(copy)


def test_no_factors_are_no_pictures() -> None:
    assert render(torch.zeros(0, 5, dtype=torch.long)).shape == (0, 1, 28, 28)
    assert render(torch.zeros(0, 6, dtype=torch.long), 32).shape == (0, 3, 32, 32)


@pytest.mark.parametrize(
    "factors",
    [
        torch.zeros(4, 4, dtype=torch.long),
        torch.zeros(4, 7, dtype=torch.long),
        torch.zeros(5, dtype=torch.long),
        torch.zeros(2, 2, 5, dtype=torch.long),
        torch.zeros(4, 5),
        torch.zeros((), dtype=torch.long),
    ],
    ids=lambda factors: f"{list(factors.shape)} {factors.dtype}",
)
def test_factors_of_another_shape_or_type_are_refused(factors: Tensor) -> None:
    text = message(lambda: render(factors))
    assert f"factors {list(factors.shape)}" in text
    assert "whole numbers [n, 5]" in text


@pytest.mark.parametrize("place", range(6))
def test_a_factor_out_of_range_is_refused(place: int) -> None:
    largest = torch.tensor([[size - 1 for size in COLOURED.values()]])
    render(largest)
    for value in (-1, int(largest[0, place]) + 1):
        factors = largest.clone()
        factors[0, place] = value
        text = message(lambda factors=factors: render(factors))  # type: ignore[misc]
        assert "out of range" in text
        assert "3, 4, 8, 8, 8, 6 values" in text


@pytest.mark.parametrize("side", [18, 0, -2, 21, 27])
def test_a_side_that_is_odd_or_too_small_is_refused(side: int) -> None:
    for call in (
        lambda: sprites(side),
        lambda: coloured_sprites(3, 3, side),
        lambda: render(torch.zeros(1, 5).long(), side),
    ):
        text = message(call)
        assert f"{side} × {side}" in text
        assert "even side from 22" in text


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_factors_may_be_any_whole_numbers(dtype: torch.dtype) -> None:
    factors = torch.tensor([[2, 1, 5, 7, 7, 4], [0, 3, 1, 0, 2, 1], [1, 0, 0, 1, 1, 0]])
    assert render(factors.to(dtype)).equal(render(factors))
