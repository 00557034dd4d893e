"""Plane-stress finite elements of a loaded cantilever, and the layout of material that makes it stiffest.

The beam is clamped at its left edge and covered by nx × ny bilinear square elements of side 1 and thickness 1.
A layout is a density in [0, 1] for each element, `[ny, nx]`, its first row at the top, as in a picture. Units are
free: the modulus of solid material, the side of an element and the load are 1, so displacements are in units of
load / (modulus × thickness) and compliances in load² / (modulus × thickness). Needs NumPy and SciPy alone, so that
worker processes start quickly.

Sources. Power law (SIMP): Bendsøe & Sigmund, Topology Optimization (2003), section 1.1; with a least modulus, as here:
Sigmund, Struct. Multidisc. Optim. 33 (2007), 401-424. Compliance, its gradient and the optimality criteria: Sigmund,
Struct. Multidisc. Optim. 21 (2001), 120-127. Density filter: Bruns & Tortorelli, Comput. Methods Appl. Mech. Engrg.
190 (2001), and Bourdin, Int. J. Numer. Meth. Engng 50 (2001).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.sparse import csr_array

Array = NDArray[np.float64]

POISSON = 0.3
VOID = 1e-9  # modulus of an empty element, as a share of the solid's: keeps the stiffness matrix regular
PENALTY = 3.0  # exponent of the density in the modulus
RADIUS = 1.5  # of the density filter, in elements
MOVE = 0.2  # the most that a design density changes in one iteration
LEAST = 1e-3  # smallest design density: from 0 the update, a product, could not return
COARSE = 20  # iterations on a grid of half as many elements a side, which take a tenth of the time
ITERATIONS = 32  # those, and 12 on the grid itself


class Load(NamedTuple):
    """A unit force on the right edge, so that a load and its opposite (angle + 180) have the same compliance.

    point: height on the edge, 0 at the bottom to 1 at the top; a point between two nodes is shared by them, as the
    linear shape functions say. angle: degrees from the beam's axis, so that 0 pulls outwards and 90 lifts.
    """

    point: float
    angle: float

    def mirrored(self) -> Load:
        """The load seen in a mirror on the beam's axis; its angle is given in 0 to 180 if this one's is."""
        return Load(1 - self.point, 180 - self.angle)


class Response(NamedTuple):
    """How a beam answers a load."""

    compliance: float  # f·u
    displacements: Array  # [ny + 1, nx + 1, 2]: of the nodes, to the right and upwards
    energies: Array  # [ny, nx]: u_e·k u_e, twice the strain energy that an element would store if it were solid


class Layout(NamedTuple):
    """What `optimise` found."""

    density: Array  # [ny, nx], filtered
    compliance: float
    volume: float  # share of the rectangle that is filled
    history: Array  # compliance on this grid: of the start, and after each iteration


class _Mesh(NamedTuple):
    """What depends on the numbers of elements only. Nodes are numbered down each column, columns from the left."""

    unknowns: NDArray[np.intp]  # [elements, 8]: displacements of an element's nodes; the clamped ones are < 0
    slots: NDArray[np.intp]  # [elements * 36]: where an element's entries lie in the band; clamped ones beyond it
    clamped: int  # number of displacements held at 0
    free: int  # number of the others
    band: int  # half bandwidth
    smoothing: csr_array  # [elements, elements]: the density filter, its rows sum to 1
    spreading: csr_array  # its transpose


def element_stiffness() -> Array:
    """Stiffness of one solid element, [8, 8]: ∫ Bᵀ D B in plane stress, exact with 2×2 Gauss points.

    Its nodes: upper left, lower left, upper right, lower right; at each the displacement to the right, then upwards.
    """
    elastic = np.array([[1, POISSON, 0], [POISSON, 1, 0], [0, 0, (1 - POISSON) / 2]]) / (1 - POISSON**2)
    corners = np.array([[-1, 1], [-1, -1], [1, 1], [1, -1]])
    total = np.zeros((8, 8))
    for point in np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / np.sqrt(3):
        slopes = corners * (1 + corners[:, ::-1] * point[::-1]) / 2  # [4, 2]: of the shape functions, at side 1
        strain = np.zeros((3, 8))
        strain[0, 0::2] = strain[2, 1::2] = slopes[:, 0]
        strain[1, 1::2] = strain[2, 0::2] = slopes[:, 1]
        total += strain.T @ elastic @ strain / 4
    return total


_SOLID = element_stiffness()
_ROWS, _COLUMNS = np.tril_indices(8)


@lru_cache(maxsize=8)
def _mesh(nx: int, ny: int) -> _Mesh:
    column, row = (index.ravel() for index in np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"))
    nodes = (column * (ny + 1) + row)[:, None] + np.array([0, 1, ny + 1, ny + 2])
    clamped, free, band = 2 * (ny + 1), 2 * nx * (ny + 1), 2 * (ny + 2) + 1
    unknowns = (2 * nodes[:, :, None] + np.arange(2)).reshape(nx * ny, 8) - clamped
    lower, upper = unknowns[:, _ROWS], unknowns[:, _COLUMNS]
    slots = np.where(upper >= 0, upper * (band + 1) + lower - upper, free * (band + 1))
    reach = int(RADIUS)
    weights_of: list[Array] = []  # of pairs of elements
    rows_of: list[NDArray[np.intp]] = []
    columns_of: list[NDArray[np.intp]] = []
    for right in range(-reach, reach + 1):
        for down in range(-reach, reach + 1):
            weight = RADIUS - np.hypot(right, down)
            there = (column + right >= 0) & (column + right < nx) & (row + down >= 0) & (row + down < ny)
            here = np.flatnonzero(there)
            if weight > 0:
                weights_of.append(np.full(len(here), weight))
                rows_of.append(here)
                columns_of.append(here + right * ny + down)
    weights, rows, columns = np.concatenate(weights_of), np.concatenate(rows_of), np.concatenate(columns_of)
    weights = weights / np.bincount(rows, weights)[rows]
    smoothing = csr_array((weights, (rows, columns)), shape=(nx * ny, nx * ny))
    return _Mesh(unknowns, slots.ravel(), clamped, free, band, smoothing, csr_array(smoothing.T))


def stiffness(density: ArrayLike) -> Array:
    """Stiffness matrix of the free displacements, lower band `[2 (ny + 2) + 2, 2 nx (ny + 1)]` as LAPACK keeps it.

    Entry `[i - j, j]` is K_ij with E = E_min + ρ³ (1 - E_min), modified SIMP. Displacements are numbered down each
    column of nodes, columns from the left, the clamped one left out. Raises ValueError for a density out of [0, 1].
    """
    checked = _checked_density(density)
    return _assemble(_mesh(*checked.shape[::-1]), _modulus(checked.ravel(order="F")))


def _assemble(mesh: _Mesh, modulus: Array) -> Array:
    entries = np.multiply.outer(modulus, _SOLID[_ROWS, _COLUMNS]).ravel()
    size = mesh.free * (mesh.band + 1)
    filled = np.asarray(np.bincount(mesh.slots, entries, minlength=size + 1)[:size], dtype=np.float64)
    return filled.reshape(mesh.free, mesh.band + 1).T  # in the order of LAPACK: nothing is copied on the way there


def _modulus(density: Array) -> Array:
    return VOID + density**PENALTY * (1 - VOID)


def force(load: Load, nx: int, ny: int) -> Array:
    """The load on the free displacements, in the order of `stiffness`: [2 nx (ny + 1)].

    Raises ValueError for a load point out of [0, 1] or an angle that is not finite.
    """
    point, angle = (float(value) for value in load)
    if not (0 <= point <= 1 and np.isfinite(angle)):
        raise ValueError(
            f"The load has point {point:.4g} and angle {angle:.4g}: give a point from 0 (bottom of the right edge) "
            f"to 1 (top) and a finite angle in degrees."
        )
    nodes = np.zeros((ny + 1, 2))  # of the right edge, from the top
    above = min(int((1 - point) * ny), ny - 1)
    share = (1 - point) * ny - above
    direction = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    nodes[above], nodes[above + 1] = (1 - share) * direction, share * direction
    return np.concatenate([np.zeros(2 * (nx - 1) * (ny + 1)), nodes.ravel()])


def _solve(mesh: _Mesh, density: Array, forces: Array) -> tuple[Array, Array]:
    """Displacements [free] and energies [elements], for a flat density in the order of the elements."""
    factor = cholesky_banded(_assemble(mesh, _modulus(density)), overwrite_ab=True, lower=True, check_finite=False)
    moved = np.zeros(mesh.free + mesh.clamped)  # the clamped behind the free: an index < 0 finds them
    moved[: mesh.free] = cho_solve_banded((factor, True), forces, check_finite=False)
    of_element = moved[mesh.unknowns]
    return moved[: mesh.free], ((of_element @ _SOLID) * of_element).sum(1)


def respond(density: ArrayLike, load: Load) -> Response:
    """Solve K u = f for a density [ny, nx] in [0, 1]: compliance, displacements of the nodes, energies of elements.

    Raises ValueError for a density of another shape or range, and for a load that is not on the right edge.
    """
    checked = _checked_density(density)
    ny, nx = checked.shape
    forces = force(load, nx, ny)
    moved, energies = _solve(_mesh(nx, ny), checked.ravel(order="F"), forces)
    nodes = np.concatenate([np.zeros(2 * (ny + 1)), moved]).reshape(nx + 1, ny + 1, 2).swapaxes(0, 1)
    return Response(float(forces @ moved), nodes, energies.reshape(nx, ny).T)


def compliance(density: ArrayLike, load: Load) -> float:
    """Compliance c = f·u = Σ_e E(ρ_e) u_e·k u_e of a density [ny, nx] in [0, 1]: small if stiff (Sigmund 2001, eq. 1).

    In units of load² / (modulus × thickness). Raises ValueError as `respond` does.
    """
    return respond(density, load).compliance


def compliance_gradient(density: ArrayLike, load: Load) -> Array:
    """∂c/∂ρ_e = -3 ρ_e² (1 - E_min) u_e·k u_e, [ny, nx] (Sigmund 2001, eq. 4). Raises ValueError as `respond` does."""
    checked = _checked_density(density)
    return _slope(checked) * respond(checked, load).energies


def _slope(density: Array) -> Array:
    return -PENALTY * density ** (PENALTY - 1) * (1 - VOID)


def smooth(density: ArrayLike) -> Array:
    """The density filter: means over the elements whose centres are nearer than 1.5, weighted 1.5 - distance.

    [ny, nx] to [ny, nx] (Bruns & Tortorelli 2001; Bourdin 2001). Raises ValueError for a density out of [0, 1].
    """
    checked = _checked_density(density)
    ny, nx = checked.shape
    filtered: Array = _mesh(nx, ny).smoothing @ checked.ravel(order="F")
    return filtered.reshape(nx, ny).T


def optimise(volume: float, load: Load, nx: int = 48, ny: int = 24, iterations: int = ITERATIONS) -> Layout:
    """A stiff layout with this share of material, by optimality criteria: a fixed number of steps, nothing random.

    Lowers c(ρ) subject to mean ρ = volume over the design x, ρ = `smooth(x)`. Where both sides are even, the first
    `COARSE` iterations run from a uniform start on half as many elements a side, and the others refine what they
    found; else all run on the grid itself. The problem is not convex: another start can end in another layout.
    Raises ValueError for a volume out of [0.01, 1], a load that is not on the right edge, and fewer than one element
    a side or one iteration.
    """
    if not 0.01 <= volume <= 1:
        raise ValueError(f"The volume fraction is {volume:.4g}: choose one from 0.01 to 1.")
    if min(nx, ny, iterations) < 1:
        raise ValueError(f"optimise was given {nx} × {ny} elements and {iterations} iterations: each must be >= 1.")
    if nx % 2 == 0 and ny % 2 == 0 and iterations > COARSE:
        half = _descend(np.full(nx * ny // 4, float(volume)), volume, load, nx // 2, ny // 2, COARSE)[0]
        start = half.reshape(nx // 2, ny // 2).repeat(2, 0).repeat(2, 1).ravel()
        iterations -= COARSE
    else:
        start = np.full(nx * ny, float(volume))
    _, density, history = _descend(start, volume, load, nx, ny, iterations)
    return Layout(density.reshape(nx, ny).T, history[-1], float(density.mean()), np.array(history))


def _descend(
    design: Array, volume: float, load: Load, nx: int, ny: int, iterations: int
) -> tuple[Array, Array, list[float]]:
    """Iterations on one grid: the last design, its density, and the compliance before and after each iteration."""
    mesh, forces = _mesh(nx, ny), force(load, nx, ny)
    weights: Array = mesh.spreading @ np.full(nx * ny, 1 / (nx * ny))  # mean of ρ = weights · x
    density: Array = mesh.smoothing @ design
    history = []
    for _ in range(iterations):
        moved, energies = _solve(mesh, density, forces)
        history.append(float(forces @ moved))
        gradient: Array = mesh.spreading @ (_slope(density) * energies)
        design = _update(design, gradient, weights, volume)
        density = mesh.smoothing @ design
    history.append(float(forces @ _solve(mesh, density, forces)[0]))
    return design, density, history


def _update(design: Array, gradient: Array, weights: Array, volume: float) -> Array:
    """x √(-∂c/∂x / (λ ∂V/∂x)) within the move limits (Sigmund 2001, eq. 2); bisection for 1/√λ meets the volume."""
    low, high = np.maximum(design - MOVE, LEAST), np.minimum(design + MOVE, 1)
    wanted = design * np.sqrt(np.maximum(-gradient, 0) / weights)
    wanted *= volume / (weights @ wanted)
    below, above = 0.0, 1.0
    moved = np.empty_like(design)

    def filled(scale: float) -> float:
        np.multiply(wanted, scale, out=moved)
        np.maximum(moved, low, out=moved)
        np.minimum(moved, high, out=moved)
        return float(weights @ moved)

    while filled(above) < volume and above < 1e9:
        below, above = above, 2 * above
    while above - below > 1e-9 * above:
        middle = (below + above) / 2
        below, above = (middle, above) if filled(middle) < volume else (below, middle)
    filled(above)
    return moved


def _checked_density(density: ArrayLike) -> Array:
    checked = np.asarray(density, dtype=np.float64)
    if checked.ndim != 2 or checked.size == 0:
        raise ValueError(
            f"A density is a table [ny, nx] of elements; this one is {list(checked.shape)}: pass one layout."
        )
    low, high = checked.min(), checked.max()
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise ValueError(
            f"Densities must lie in [0, 1]; these reach from {low:.4g} to {high:.4g}: divide bytes by 255."
        )
    return checked


def compliance_ratio(density: ArrayLike, load: Load) -> float:
    """The compliance of a layout over that of the layout that `optimise` finds for its volume and this load.

    1 is as stiff as the optimiser's; a black-and-white layout can be under 1, since grey material is dear under SIMP.
    Raises ValueError as `respond` does, and for a layout with less than a hundredth of the rectangle filled.
    """
    checked = _checked_density(density)
    ny, nx = checked.shape
    return compliance(checked, load) / optimise(float(checked.mean()), load, nx, ny).compliance


def make_layouts(task: tuple[NDArray[np.float32], int, int, int]) -> tuple[NDArray[np.uint8], Array, Array]:
    """Optimise for each row (volume fraction, load point, angle) of a table [n, 3]: what a worker process does.

    task: the table, nx, ny, iterations. Returns bytes [n, ny, nx], 255 solid, and the compliance [n] and volume
    fraction [n] of these bytes. One thread: the matrices are small, and the numbers do not depend on the worker.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    parameters, nx, ny, iterations = task
    loads = [Load(float(point), float(angle)) for _, point, angle in parameters]
    with threadpool_limits(1):
        found = [optimise(float(row[0]), load, nx, ny, iterations) for row, load in zip(parameters, loads, strict=True)]
        layouts = np.rint(255 * np.stack([each.density for each in found])).astype(np.uint8)
        pairs = zip(layouts / 255, loads, strict=True)
        return layouts, np.array([compliance(*pair) for pair in pairs]), layouts.mean((1, 2)) / 255
