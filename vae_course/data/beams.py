"""Generated cantilever beams: layouts of material found by topology optimisation, one for each of many loads.

A course's own data set: nothing is downloaded. `finite_elements.optimise` finds each layout; 1,500 of them are made
at first use by two worker processes and kept in `data_folder()`. The solver that made them measures others:
`finite_elements.compliance(layout, load)`.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from vae_course.data.finite_elements import (
    COARSE,
    ITERATIONS,
    MOVE,
    PENALTY,
    POISSON,
    RADIUS,
    VOID,
    Array,
    Load,
    make_layouts,
)
from vae_course.data.images import data_folder
from vae_course.data.sets import ExampleSet, Split
from vae_course.processor import to_float64
from vae_course.progress import progress

NAME = "generated cantilever beams"
PARAMETERS = ("volume fraction", "load point", "load angle")
SEED = 19880501  # the loads and the split never move with VAE_COURSE_SEED
VERSION = 2  # of the cached file: raise it when the layouts change for a reason that `_recipe` does not show
VOLUMES = (0.25, 0.55)
NEAR = (0.01, 1e-4, 2.5)  # twins differ by no more than this in volume fraction, load point and angle
CHUNK = 10  # layouts that a worker makes before it reports

Arrays = dict[str, NDArray[np.generic]]
_DAMAGE = (ValueError, KeyError, TypeError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class BeamSet(ExampleSet):
    """Layouts as bytes, [n, 1, ny, nx], what was asked of each and what was reached; 255 is solid, row 0 the top.

    parameters [n, 3]: volume fraction; load point, 0 (bottom) to 1 (top) of the right edge; angle, degrees in 0 to
    180 from the beam's axis. compliance [n], in load² / (modulus × thickness), and volume [n], the fraction reached,
    are those of the bytes divided by 255. Raises ValueError for other shapes or number types.
    """

    layouts: Tensor
    parameters: Tensor
    compliance: Tensor
    volume: Tensor

    def __post_init__(self) -> None:
        n = len(self.layouts)
        if self.layouts.ndim != 4 or self.layouts.shape[1] != 1 or self.layouts.dtype != torch.uint8:
            raise ValueError(
                f"{self.name}: layouts must be bytes [n, 1, ny, nx]; these are {list(self.layouts.shape)} "
                f"{str(self.layouts.dtype).removeprefix('torch.')}."
            )
        shapes = [list(each.shape) for each in (self.parameters, self.compliance, self.volume)]
        if shapes != [[n, 3], [n], [n]]:
            raise ValueError(
                f"{self.name}: {n} layouts came with parameters, compliance and volume {shapes}: "
                f"give [{n}, 3], [{n}] and [{n}]."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width of one layout."""
        return tuple(self.layouts.shape[1:])

    @property
    def images(self) -> Tensor:
        """The densities as pictures in [0, 1], [n, 1, ny, nx]."""
        return self.layouts.float() / 255

    def load(self, index: int) -> Load:
        """The load that one layout was made for."""
        _, point, angle = self.parameters[index].tolist()
        return Load(point, angle)


def draw_parameters(n: int, ny: int = 24) -> NDArray[np.float32]:
    """Volume fraction, load point and angle, [n, 3], the same at every call; fewer are the first of more.

    Volume fraction uniform in 0.25 to 0.55, load point uniform on the ny + 1 nodes, angle uniform in 0 to 180 degrees.
    """
    uniform = np.random.default_rng(SEED).random((n, 3))
    volume = VOLUMES[0] + (VOLUMES[1] - VOLUMES[0]) * uniform[:, 0]
    point = np.floor((ny + 1) * uniform[:, 1]) / ny
    return np.stack([volume, point, 180 * uniform[:, 2]], 1).astype(np.float32)


def beams(n: int = 1500, nx: int = 48, ny: int = 24, *, iterations: int = ITERATIONS, workers: int = 2) -> BeamSet:
    """n optimised cantilevers of nx × ny elements: made at first use, then read from `data_folder()`.

    workers: processes that make them; 1 works in this one. A file that is damaged or of another version is said to
    be so and made again. Raises ValueError unless n, nx, ny, iterations and workers are at least 1.
    """
    if min(n, nx, ny, iterations, workers) < 1:
        raise ValueError(
            f"beams was given n {n}, {nx} × {ny} elements, {iterations} iterations and {workers} workers: "
            f"each must be >= 1."
        )
    recipe = _recipe(n, nx, ny, iterations)
    path = data_folder() / "beams" / f"{n}_of_{nx}x{ny}_after_{iterations}.npz"
    arrays = _read(path, recipe)
    if arrays is None:
        arrays = _make(draw_parameters(n, ny), nx, ny, iterations, workers)
        _write(path, recipe, arrays)
    return BeamSet(NAME, **{key: torch.from_numpy(array) for key, array in arrays.items()})


def _recipe(n: int, nx: int, ny: int, iterations: int) -> str:
    """All that the layouts depend on: a cached file with another recipe is outdated."""
    solver = {"coarse": COARSE, "penalty": PENALTY, "radius": RADIUS, "move": MOVE, "poisson": POISSON, "void": VOID}
    draws = {"seed": SEED, "volumes": VOLUMES}
    sizes = {"n": n, "nx": nx, "ny": ny, "iterations": iterations}
    return json.dumps({"version": VERSION, **sizes, **solver, **draws}, sort_keys=True)


def _make(parameters: NDArray[np.float32], nx: int, ny: int, iterations: int, workers: int) -> Arrays:
    chunks = [(rows, nx, ny, iterations) for rows in np.split(parameters, range(CHUNK, len(parameters), CHUNK))]
    made = _each(chunks, min(workers, len(chunks)))
    found = [next(made) for _ in progress(range(len(chunks)), unit=f"{CHUNK} beams", name=NAME)]
    layouts, stiffness, volume = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return {
        "layouts": layouts[:, None],
        "parameters": parameters,
        "compliance": stiffness.astype(np.float32),
        "volume": volume.astype(np.float32),
    }


_Chunk = tuple[NDArray[np.float32], int, int, int]


def _each(chunks: list[_Chunk], workers: int) -> Iterator[tuple[NDArray[np.uint8], Array, Array]]:
    """The chunks in order, by worker processes; those that no worker could do are done here."""
    done = 0
    if workers > 1:
        try:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                for part in pool.map(make_layouts, chunks):
                    yield part
                    done += 1
        except BrokenProcessPool:  # a script without `if __name__ == "__main__"`, or read from standard input
            warnings.warn(
                f"The worker processes for the {NAME} ended early, so this process makes the rest: in a script, call "
                f'beams() under `if __name__ == "__main__":`, or pass workers=1.',
                RuntimeWarning,
                stacklevel=2,
            )
    for chunk in chunks[done:]:
        yield make_layouts(chunk)


def _checksum(recipe: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(recipe.encode())
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def _read(path: Path, recipe: str) -> Arrays | None:
    """The arrays of a file that is whole and of this recipe, else None; a file that is not is said to be so."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        kept, checksum = str(arrays.pop("recipe")), str(arrays.pop("checksum"))
        if kept != recipe:
            why = "is of another version"
        elif checksum != _checksum(kept, arrays):
            why = "is damaged (checksum differs)"
        else:
            return arrays
    except _DAMAGE as error:
        why = f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"
    warnings.warn(f"{path} {why}: it is made again.", RuntimeWarning, stacklevel=3)
    return None


def _write(path: Path, recipe: str, arrays: Arrays) -> None:
    """Whole or not at all: written beside its place, then moved there."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                marks = {"recipe": np.array(recipe), "checksum": np.array(_checksum(recipe, arrays))}
                np.savez_compressed(file, allow_pickle=False, **marks, **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"The {NAME} could not be kept in {path.parent} ({error.strerror or error}) and will be made anew next time: "
            f"set VAE_COURSE_DATA to a folder that you may write to.",
            RuntimeWarning,
            stacklevel=3,
        )


def twins(parameters: Tensor) -> NDArray[np.intp]:
    """The group of each row of parameters [n, 3], [n]: two beams are in one if a chain of near twins joins them.

    Near twins have the same load point, volume fractions within 0.01 and angles within 2.5 degrees, either as they
    are or one of them in the mirror: point p to 1 - p, angle a to 180 - a. An angle and its opposite are one load.
    """
    rows = to_float64(parameters).numpy()
    mirrored = np.stack([rows[:, 0], 1 - rows[:, 1], 180 - rows[:, 2]], 1)
    near = np.zeros((len(rows), len(rows)), dtype=bool)
    for other in (rows, mirrored):
        apart = np.abs(rows[:, None] - other)
        apart[..., 2] %= 180
        apart[..., 2] = np.minimum(apart[..., 2], 180 - apart[..., 2])
        near |= (apart <= NEAR).all(-1)
    groups: NDArray[np.intp] = connected_components(csr_array(near), directed=False)[1].astype(np.intp)
    return groups


def split(beams: BeamSet, held_out: int) -> Split[BeamSet]:
    """Hold out `held_out` beams, shuffled by groups of near `twins`, none parted; the same split at every call.

    Raises ValueError unless a beam is left on either side and whole groups make up that number.
    """
    if not 1 <= held_out < len(beams):
        raise ValueError(f"{held_out} of {len(beams)} beams cannot be held out: choose 1 to {len(beams) - 1}.")
    groups = twins(beams.parameters)
    sizes = np.bincount(groups)
    out = np.zeros(len(sizes), dtype=bool)
    left = held_out
    order = np.random.default_rng(SEED).permutation(len(sizes))
    for group in order:
        if sizes[group] <= left:
            out[group] = True
            left -= int(sizes[group])
    if left:
        raise ValueError(
            f"{held_out} of {len(beams)} beams cannot be held out without parting near twins: "
            f"choose {held_out - left or int(sizes.min())}."
        )
    shuffled = np.random.default_rng(SEED + 1).permutation(len(beams))
    chosen = out[groups[shuffled]]
    return Split(beams[torch.from_numpy(shuffled[~chosen])], beams[torch.from_numpy(shuffled[chosen])])
