"""Beams: the solver agrees with a dense one and with beam theory, layouts obey their constraints, the cache is safe.

Tiny meshes, no network; caches lie in a temporary folder.
"""

from __future__ import annotations

import warnings
from concurrent.futures.process import BrokenProcessPool
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vae_course.data import beams as module
from vae_course.data import finite_elements
from vae_course.data.beams import BeamSet, beams, draw_parameters, split, twins
from vae_course.data.finite_elements import (
    COARSE,
    POISSON,
    VOID,
    Array,
    Load,
    compliance,
    compliance_gradient,
    element_stiffness,
    force,
    optimise,
    respond,
    smooth,
    stiffness,
)

NX, NY = 7, 4
LOAD = Load(0.25, 70.0)


def some_density(nx: int = NX, ny: int = NY, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.05, 1, (ny, nx))


def dense(density: Array) -> Array:
    """The stiffness matrix of all displacements, assembled element by element; clamped ones come first."""
    ny, nx = density.shape
    whole = np.zeros((2 * (nx + 1) * (ny + 1),) * 2)
    for row in range(ny):
        for column in range(nx):
            corners = [(column, row), (column, row + 1), (column + 1, row), (column + 1, row + 1)]
            places = [2 * (i * (ny + 1) + j) + axis for i, j in corners for axis in (0, 1)]
            modulus = VOID + density[row, column] ** 3 * (1 - VOID)
            whole[np.ix_(places, places)] += modulus * element_stiffness()
    return whole


def free_part(whole: Array, ny: int) -> Array:
    return whole[2 * (ny + 1) :, 2 * (ny + 1) :]


# --- the solver


def test_the_stiffness_of_an_element_is_that_of_the_literature() -> None:
    """Sigmund (2001), appendix, lines 88-91: the first entries in closed form; three rigid motions store nothing."""
    k = element_stiffness()
    np.testing.assert_allclose(np.diag(k), (1 / 2 - POISSON / 6) / (1 - POISSON**2), rtol=1e-12)
    assert abs(k[0, 1]) == pytest.approx((1 / 8 + POISSON / 8) / (1 - POISSON**2))
    np.testing.assert_allclose(k, k.T, atol=1e-15)
    x, y = np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0])
    right, up, turn = (np.stack(parts, 1).ravel() for parts in ((x * 0 + 1, y * 0), (x * 0, y * 0 + 1), (-y, x)))
    for rigid in (right, up, turn):
        np.testing.assert_allclose(k @ rigid, 0, atol=1e-14)
    assert (np.linalg.eigvalsh(k) > 1e-3).sum() == 5
    pulled = np.stack([x, -POISSON * y], 1).ravel()  # uniaxial stress 1: twice its energy is σ ε = 1
    assert pulled @ k @ pulled == pytest.approx(1)


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (3, 2), (2, 5), (NX, NY)])
def test_the_banded_matrix_is_the_dense_one_and_positive_definite(nx: int, ny: int) -> None:
    density = some_density(nx, ny)
    wanted = free_part(dense(density), ny)
    band = stiffness(density)
    full = np.zeros_like(wanted)
    for below, diagonal in enumerate(band):
        for j in range(len(wanted)):
            if j + below < len(wanted):
                full[j + below, j] = full[j, j + below] = diagonal[j]
            else:
                assert diagonal[j] == 0
    np.testing.assert_allclose(full, wanted, atol=1e-13)
    np.testing.assert_allclose(wanted, wanted.T, atol=1e-15)
    assert np.linalg.eigvalsh(wanted).min() > 0
    np.linalg.cholesky(wanted)


@pytest.mark.parametrize("point", [0.0, 0.25, 0.4, 1.0])
@pytest.mark.parametrize("voids", [False, True])
def test_the_displacements_are_in_equilibrium_with_the_load(point: float, voids: bool) -> None:
    density = some_density()
    if voids:
        density[1:3, 2:5] = 0
    load = Load(point, 70.0)
    found = respond(density, load)
    forces = force(load, NX, NY)
    moved = found.displacements.swapaxes(0, 1).reshape(-1)
    assert (found.displacements[:, 0] == 0).all()
    residual = free_part(dense(density), NY) @ moved[2 * (NY + 1) :] - forces
    assert np.linalg.norm(residual) <= 1e-8 * np.linalg.norm(forces)
    assert found.compliance == pytest.approx(moved[2 * (NY + 1) :] @ forces)
    modulus = VOID + density**3 * (1 - VOID)
    assert found.compliance == pytest.approx(float((modulus * found.energies).sum()), rel=1e-8)


def test_a_load_acts_at_its_point_in_its_direction() -> None:
    edge = {point: force(Load(point, 30.0), 2, 4).reshape(2, 5, 2) for point in (0.0, 0.25, 0.375, 1.0)}
    direction = np.array([np.sqrt(3) / 2, 1 / 2])
    for point, row in ((0.0, 4), (0.25, 3), (1.0, 0)):
        np.testing.assert_allclose(edge[point][1, row], direction)
        np.testing.assert_allclose(edge[point].sum((0, 1)), direction)
    np.testing.assert_allclose(edge[0.375][1, 2:4], [direction / 2, direction / 2])
    assert all((forces[0] == 0).all() for forces in edge.values())
    up = respond(np.ones((4, 8)), Load(0.0, 90.0)).displacements
    assert up[4, 8, 1] == up[:, 8, 1].max() > 0, "the load at the bottom lifts the lowest node of the right edge most"
    out = respond(np.ones((4, 8)), Load(0.5, 0.0)).displacements
    assert out[2, 8, 0] > 0


def test_a_slender_solid_beam_bends_as_timoshenko_says() -> None:
    """δ = L³ / (3 E I) + L / (κ G A), thickness and modulus 1, κ = 10 (1 + ν) / (12 + 11 ν) (Cowper 1966)."""
    length, height = 100, 10
    bending = length**3 / (3 * height**3 / 12)
    shear = length * 2 * (1 + POISSON) / (10 * (1 + POISSON) / (12 + 11 * POISSON) * height)
    found = respond(np.ones((height, length)), Load(0.5, 90.0))
    assert found.compliance == pytest.approx(bending + shear, rel=0.02)
    assert found.displacements[5, -1, 1] == pytest.approx(found.compliance)
    assert abs(found.displacements[5, -1, 0]) < 1e-6 * found.compliance
    pulled = respond(np.ones((height, length)), Load(0.5, 0.0))
    assert pulled.displacements[:, -20, 0].mean() == pytest.approx((length - 19) / height, rel=0.02)


def test_an_empty_beam_is_a_billion_times_softer_than_a_solid_one() -> None:
    solid, empty = (compliance(np.full((3, 4), value), LOAD) for value in (1.0, 0.0))
    assert empty * VOID == pytest.approx(solid, rel=1e-6)


def test_the_gradient_of_the_compliance_is_that_of_finite_differences() -> None:
    density, step = some_density() * 0.9, 1e-5
    gradient = compliance_gradient(density, LOAD)
    for place in [(0, 0), (NY - 1, NX - 1), (1, 3), (2, 5)]:
        change = np.zeros_like(density)
        change[place] = step
        numeric = (compliance(density + change, LOAD) - compliance(density - change, LOAD)) / (2 * step)
        assert gradient[place] == pytest.approx(numeric, rel=1e-5)
    assert (gradient < 0).all()


def test_a_mirrored_or_opposite_load_on_the_mirrored_beam_has_the_same_compliance() -> None:
    density = some_density()
    here = compliance(density, LOAD)
    assert compliance(density[::-1], LOAD.mirrored()) == pytest.approx(here, rel=1e-10)
    assert compliance(density, Load(LOAD.point, LOAD.angle + 180)) == pytest.approx(here, rel=1e-10)
    assert compliance(density[::-1], LOAD) != pytest.approx(here, rel=1e-3)


@pytest.mark.parametrize(
    ("density", "says"),
    [
        (np.full((2, 3), 1.5), "from 1.5 to 1.5: divide bytes by 255"),
        (np.full((2, 3), -0.1), "from -0.1"),
        (np.full((2, 3), nan), "nan"),
        (np.ones(6), r"\[6\]: pass one layout"),
        (np.ones((1, 2, 3)), r"\[1, 2, 3\]"),
        (np.ones((0, 3)), r"\[0, 3\]"),
    ],
)
def test_what_is_no_density_is_refused(density: Array, says: str) -> None:
    for use in (compliance, compliance_gradient, respond, lambda rho, _: smooth(rho), lambda rho, _: stiffness(rho)):
        with pytest.raises(ValueError, match=says) as caught:
            use(density, LOAD)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("point", "angle"), [(-0.1, 0.0), (1.01, 0.0), (nan, 0.0), (0.5, nan), (0.5, float("inf"))])
def test_a_load_beside_the_edge_is_refused(point: float, angle: float) -> None:
    with pytest.raises(ValueError, match=rf"point {point:.4g} and angle {angle:.4g}: give a point from 0") as caught:
        compliance(some_density(), Load(point, angle))
    assert "\n" not in str(caught.value)


# --- the optimiser


def test_the_filter_weighs_neighbours_by_their_distance() -> None:
    spike = np.zeros((5, 6))
    spike[2, 2] = 1
    side, corner = 0.5, 1.5 - np.sqrt(2)
    around = np.array([[corner, side, corner], [side, 1.5, side], [corner, side, corner]])
    np.testing.assert_allclose(smooth(spike)[1:4, 1:4], around / around.sum())
    assert smooth(spike).sum() == pytest.approx(1)
    np.testing.assert_allclose(smooth(np.full((5, 6), 0.3)), 0.3)
    assert smooth(np.eye(1, 2))[0, 0] == pytest.approx(1.5 / 2)


@pytest.mark.parametrize("load", [Load(0.5, 90.0), Load(0.0, 30.0), Load(1.0, 135.0), Load(0.25, 0.0)])
@pytest.mark.parametrize("volume", [0.25, 0.5])
@pytest.mark.parametrize("iterations", [20, 32])
def test_the_compliance_falls_in_every_iteration_and_the_volume_is_met(
    load: Load, volume: float, iterations: int
) -> None:
    found = optimise(volume, load, 16, 8, iterations)
    refined = iterations > COARSE
    assert found.history.shape == (iterations - COARSE + 1 if refined else iterations + 1,)
    assert (np.diff(found.history) < 0).all()
    assert found.compliance == found.history[-1] == pytest.approx(compliance(found.density, load))
    uniform = compliance(np.full((8, 16), volume), load)
    assert refined or found.history[0] == pytest.approx(uniform)
    assert found.compliance < 0.5 * uniform
    assert found.volume == pytest.approx(volume, abs=1e-3)
    assert found.density.mean() == pytest.approx(found.volume)
    assert found.density.shape == (8, 16)
    assert found.density.min() >= 0
    assert found.density.max() <= 1


def test_a_coarse_start_ends_about_as_stiff_as_as_many_iterations_on_the_grid_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refined = [optimise(0.4, Load(point, 60.0), 24, 12).compliance for point in (0.0, 0.3, 0.8)]
    monkeypatch.setattr("vae_course.data.finite_elements.COARSE", 99)
    plain = [optimise(0.4, Load(point, 60.0), 24, 12).compliance for point in (0.0, 0.3, 0.8)]
    np.testing.assert_allclose(refined, plain, rtol=0.06)
    assert refined != plain


def test_odd_sides_start_on_the_grid_itself() -> None:
    assert optimise(0.4, LOAD, 9, 6, 24).history.shape == (25,)


def test_a_mirrored_load_gives_the_mirrored_layout() -> None:
    load = Load(0.25, 50.0)
    here, there = (optimise(0.4, each, 16, 8, 30) for each in (load, load.mirrored()))
    np.testing.assert_allclose(there.density[::-1], here.density, atol=1e-5)
    assert np.abs(here.density[::-1] - here.density).max() > 0.5
    middle = optimise(0.4, Load(0.5, 90.0), 16, 8, 30).density
    np.testing.assert_allclose(middle[::-1], middle, atol=1e-5)


def test_the_same_task_gives_the_same_layout() -> None:
    first, second = (optimise(0.4, LOAD, 12, 6, 10) for _ in range(2))
    np.testing.assert_array_equal(first.density, second.density)
    np.testing.assert_array_equal(first.history, second.history)


def test_all_the_material_is_a_solid_beam() -> None:
    assert optimise(1.0, LOAD, 6, 4, 2).density == pytest.approx(np.ones((4, 6)))


@pytest.mark.parametrize(
    ("volume", "sizes", "says"),
    [
        (0.0, (4, 4, 4), "volume fraction is 0: choose one from 0.01 to 1"),
        (1.2, (4, 4, 4), "volume fraction is 1.2"),
        (nan, (4, 4, 4), "volume fraction is nan"),
        (0.5, (0, 4, 4), "0 × 4 elements"),
        (0.5, (4, 4, 0), "0 iterations: each must be >= 1"),
    ],
)
def test_a_task_without_a_solution_is_refused(volume: float, sizes: tuple[int, int, int], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        optimise(volume, LOAD, *sizes)
    assert "\n" not in str(caught.value)


# --- the set


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache of a test lies."""
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("VAE_COURSE_CHECKING", "1")
    return tmp_path / "beams"


def few(n: int = 5, workers: int = 1) -> BeamSet:
    return beams(n, 8, 4, iterations=3, workers=workers)


def same(first: BeamSet, second: BeamSet) -> bool:
    return all(
        getattr(first, part).equal(getattr(second, part)) for part in ("layouts", "parameters", "compliance", "volume")
    )


def test_a_set_holds_what_was_asked_and_what_the_solver_measures() -> None:
    some = few()
    assert (some.name, len(some), some.shape) == ("generated cantilever beams", 5, (1, 4, 8))
    assert (some.layouts.dtype, some.parameters.dtype) == (torch.uint8, torch.float32)
    assert some.parameters.numpy() == pytest.approx(draw_parameters(5, 4))
    for index in range(5):
        density = some.layouts[index, 0].numpy() / 255
        assert float(some.compliance[index]) == pytest.approx(compliance(density, some.load(index)), rel=1e-5)
        assert float(some.volume[index]) == pytest.approx(density.mean(), rel=1e-5)
    assert (some.volume - some.parameters[:, 0]).abs().max() < 1e-3
    assert some.images.dtype == torch.float32
    assert some.images.max() <= 1


def test_parameters_cover_their_ranges_and_fewer_are_the_first_of_more() -> None:
    volume, point, angle = draw_parameters(1500).T
    assert 0.25 <= volume.min() < 0.26 < 0.54 < volume.max() <= 0.55
    assert 0 <= angle.min() < 2 < 178 < angle.max() <= 180
    counts = np.bincount(np.rint(point * 24).astype(int))
    assert len(counts) == 25
    assert (np.abs(counts - 60) <= 5 * np.sqrt(60)).all()
    np.testing.assert_allclose(point * 24, np.rint(point * 24), atol=1e-5)
    np.testing.assert_array_equal(draw_parameters(7), draw_parameters(1500)[:7])


def test_worker_processes_make_what_this_one_makes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    alone = few()
    for path in folder.iterdir():
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(few(workers=2), alone)
    torch.manual_seed(7)
    assert same(few(3), alone[:3])


def test_a_set_is_made_once_and_then_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    made = few()
    assert len(list(folder.iterdir())) == 1, "something besides the cache was left"
    monkeypatch.setattr(module, "_make", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(few(), made)


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_damaged_cache_is_made_again_and_said_to_be(folder: Path) -> None:
    made = few()
    whole = only(folder).read_bytes()
    for content in (b"", b"not an archive", whole[:-30], whole[:100], whole[:200] + bytes(200) + whole[400:]):
        only(folder).write_bytes(content)
        with pytest.warns(RuntimeWarning, match=r"damaged.*made again") as caught:
            assert same(few(), made)
        assert str(only(folder)) in str(caught[0].message)
        assert same(few(), made)


@pytest.mark.filterwarnings("ignore:.*made again")
def test_no_changed_byte_of_the_cache_reaches_the_set(folder: Path) -> None:
    """Some bytes of an archive, such as its dates, matter to nobody."""
    made = few()
    whole = only(folder).read_bytes()
    for place in range(0, len(whole), 29):
        changed = bytearray(whole)
        changed[place] ^= 255
        only(folder).write_bytes(changed)
        assert same(few(), made)


@pytest.mark.parametrize("change", ["a layout", "no compliance", "no recipe"])
def test_an_altered_cache_is_made_again(change: str, folder: Path) -> None:
    made = few()
    with np.load(only(folder)) as file:
        arrays = dict(file)
    if change == "a layout":
        arrays["layouts"][0, 0, 0, 0] ^= 1
    else:
        del arrays[change.removeprefix("no ")]
    np.savez(only(folder), **arrays)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert same(few(), made)


@pytest.mark.parametrize(("name", "value"), [("VERSION", 0), ("SEED", 1), ("PENALTY", 2.0)])
def test_a_cache_of_another_version_is_made_again(
    name: str, value: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(module, name, value)
        few()
    with pytest.warns(RuntimeWarning, match=r"another version.*made again"):
        outdated = few()
    only(folder).unlink()
    assert same(outdated, few())


def test_a_folder_that_cannot_be_written_costs_the_cache_alone(tmp_path: Path, folder: Path) -> None:
    folder.write_text("a file where the folder would be")
    with pytest.warns(RuntimeWarning, match="could not be kept .* VAE_COURSE_DATA"):
        assert len(few()) == 5
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupted_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", stop)
    with pytest.raises(KeyboardInterrupt):
        few()
    assert not list(folder.iterdir())


def test_broken_workers_are_replaced_by_this_process(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise BrokenProcessPool

    monkeypatch.setattr(module, "CHUNK", 2)
    alone = few()
    only(folder).unlink()
    monkeypatch.setattr(module, "ProcessPoolExecutor", Broken)
    with pytest.warns(RuntimeWarning, match=r"ended early.*__main__.*workers=1"):
        assert same(few(workers=2), alone)


@pytest.mark.parametrize("name", ["n", "nx", "ny", "iterations", "workers"])
def test_a_set_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"0 .*each must be >= 1|n 0") as caught:
        beams(**{"n": 2, "nx": 4, "ny": 4, "iterations": 1, "workers": 1, name: 0})
    assert "\n" not in str(caught.value)


# --- sets and splits


def listed(parameters: Tensor) -> BeamSet:
    n = len(parameters)
    layouts = torch.zeros(n, 1, 2, 3, dtype=torch.uint8)
    return BeamSet("listed", layouts, parameters, torch.arange(n), torch.zeros(n))


def test_a_set_is_sliced_and_moved_with_all_its_parts() -> None:
    some = listed(torch.from_numpy(draw_parameters(9)))
    part = some[torch.tensor([3, 8])].to("cpu")
    assert (part.name, len(part), part.compliance.tolist()) == ("listed", 2, [3, 8])
    assert part.parameters.equal(some.parameters[[3, 8]])
    assert some[:2].volume.shape == (2,)
    assert some.load(4) == Load(*some.parameters[4, 1:].tolist())


@pytest.mark.parametrize(
    ("layouts", "parameters", "says"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, 3), r"bytes \[n, 1, ny, nx\]; these are \[2, 1, 3, 3\] float32"),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, 3), r"these are \[2, 3, 3\]"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(3, 3), r"2 layouts came with .*\[3, 3\]"),
    ],
)
def test_parts_that_do_not_fit_are_refused(layouts: Tensor, parameters: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=f"some: .*{says}|some: {says}"):
        BeamSet("some", layouts, parameters, torch.zeros(2), torch.zeros(2))


def test_twins_are_near_as_they_are_or_in_the_mirror() -> None:
    rows = [
        [0.40, 0.25, 30.0],
        [0.405, 0.25, 31.0],  # near the first
        [0.40, 0.75, 150.0],  # the first in the mirror
        [0.41, 0.75, 147.2],  # near the second in the mirror: in the chain
        [0.40, 0.25, 40.0],  # another angle
        [0.45, 0.25, 30.0],  # another volume
        [0.40, 0.50, 30.0],  # another point
        [0.40, 0.50, 150.0],  # its mirror
        [0.30, 0.0, 0.5],
        [0.30, 0.0, 179.5],  # an angle and its opposite are one load
    ]
    groups = twins(torch.tensor(rows)).tolist()
    assert len(set(groups[:4])) == 1
    assert len({groups[0], groups[4], groups[5], groups[6]}) == 4
    assert groups[6] == groups[7]
    assert groups[8] == groups[9]


def test_a_split_keeps_twins_together_and_loses_none() -> None:
    drawn = torch.from_numpy(draw_parameters(60))
    mirror = torch.stack([drawn[:, 0], 1 - drawn[:, 1], 180 - drawn[:, 2]], 1)
    whole = listed(torch.cat([drawn, mirror]))
    parts = split(whole, 30)
    assert (len(parts.train), len(parts.held_out)) == (90, 30)
    train, held_out = (set(part.compliance.int().tolist()) for part in parts)
    assert train | held_out == set(range(120))
    assert not train & held_out
    assert {index % 60 for index in train}.isdisjoint({index % 60 for index in held_out})
    assert (parts.train.compliance.diff() < 0).any(), "the beams still lie in order"
    torch.manual_seed(5)
    assert same(split(whole, 30).held_out, parts.held_out)


def test_near_twins_of_the_course_are_few_and_a_fifth_can_be_held_out() -> None:
    whole = listed(torch.from_numpy(draw_parameters(1500)))
    groups = twins(whole.parameters)
    assert np.bincount(groups).max() <= 15
    parts = split(whole, 300)
    assert (len(parts.train), len(parts.held_out)) == (1200, 300)
    sides = [set(groups[part.compliance.int().numpy()].tolist()) for part in parts]
    assert sides[0].isdisjoint(sides[1])


@pytest.mark.parametrize("held_out", [0, -1, 4, 9])
def test_a_split_leaves_a_beam_on_either_side(held_out: int) -> None:
    with pytest.raises(ValueError, match=f"{held_out} of 4 beams cannot be held out: choose 1 to 3"):
        split(listed(torch.from_numpy(draw_parameters(4))), held_out)


def test_a_split_that_would_part_twins_is_refused() -> None:
    pairs = listed(torch.tensor([[0.3, 0.5, 20.0], [0.3, 0.5, 20.0], [0.5, 0.5, 20.0], [0.5, 0.5, 20.0]]))
    with pytest.raises(ValueError, match=r"1 of 4 .*parting near twins: choose 2"):
        split(pairs, 1)
    with pytest.raises(ValueError, match=r"3 of 4 .*parting near twins: choose 2"):
        split(pairs, 3)
    assert len(split(pairs, 2).train) == 2


def test_workers_need_no_torch() -> None:
    """They import the solver alone, so they start in a moment."""
    source = Path(finite_elements.__file__).read_text()
    assert "import torch" not in source
    assert "from vae_course" not in source
