"""Stand-ins for somebody's own data, written to files: a folder of pictures, a table of pump readings with gaps."""

from __future__ import annotations

import csv
from math import prod
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae_course.data.images import SPLIT_SEED
from vae_course.data.signals import SENSORS, healthy_signals
from vae_course.data.sprites import FACTORS, all_factors, render
from vae_course.refusals import refuse_no_examples

EVERY = 8  # samples between two readings of a pump
DECIMALS = 4


def write_pictures(folder: str | Path, things: int = 40, each: int = 50, side: int = 28) -> Path:
    """Grey 8-bit PNG files of sprites, a subfolder for each thing: one shape of one size and rotation, at `each` places.

    The same at every call. Returns the folder. Raises FileExistsError for a folder that holds something, ValueError for more
    things than 96 or places than 64.
    """
    sizes = tuple(FACTORS.values())
    if not (1 <= things <= prod(sizes[:3]) and 1 <= each <= prod(sizes[3:])):
        raise ValueError(
            f"{things} things at {each} places were asked for: there are {prod(sizes[:3])} and {prod(sizes[3:])}."
        )
    folder, generator = _empty(folder), torch.Generator().manual_seed(SPLIT_SEED)
    chosen = all_factors(sizes[:3])[torch.randperm(prod(sizes[:3]), generator=generator)[:things]]
    for number, thing in enumerate(chosen):
        places = all_factors(sizes[3:])[torch.randperm(prod(sizes[3:]), generator=generator)[:each]]
        (folder / f"thing {number:02d}").mkdir()
        for place, picture in enumerate(render(torch.cat([thing.expand(each, 3), places], dim=1), side)):
            Image.fromarray(picture[0].numpy()).save(folder / f"thing {number:02d}" / f"{place:02d}.png")
    return folder


def pump_readings(n: int) -> tuple[Tensor, tuple[str, ...]]:
    """n rows of eight pressures and eight flows of a healthy pump, [n, 16], whole, and the names of the columns."""
    signals = healthy_signals(n).signals[:, :, ::EVERY]  # [n, 2, 8]
    names = tuple(f"{sensor} {time}" for sensor in SENSORS for time in range(signals.shape[2]))
    return signals.flatten(1), names


def with_gaps(values: Tensor, share: float) -> Tensor:
    """The same with each reading missing (NaN) by that probability, but never a whole row; the same at every call.

    Raises ValueError for a share outside [0, 1), or no rows.
    """
    refuse_no_examples("with_gaps", values)
    if not 0 <= share < 1:
        raise ValueError(f"A share of {share} of the readings cannot be missing: give one in [0, 1).")
    uniform = torch.rand(values.shape, generator=torch.Generator().manual_seed(SPLIT_SEED + 2))
    kept = (uniform >= share) | (uniform == uniform.amax(1, keepdim=True))
    return torch.where(kept.to(values.device), values, torch.nan)


def write_table(path: str | Path, values: Tensor, columns: tuple[str, ...], gap: str = "") -> Path:
    """A table as comma-separated values with four decimals, `gap` where a reading is missing. Returns the path.

    Raises FileExistsError for a file that is there.
    """
    path = Path(path)
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in values.tolist():
            writer.writerow([gap if number != number else f"{number:.{DECIMALS}f}" for number in row])
    return path


def _empty(folder: str | Path) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files already: name a new folder, as nothing here is overwritten.")
    return folder
