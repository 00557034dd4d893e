"""Your own data: a folder of pictures, a table with gaps, an array → tensors, with one sentence for what is wrong with them.

Nothing here writes a file. A reading that is missing is NaN; a picture keeps the number of grey levels that its file had.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vae_course.data.images import check_images
from vae_course.data.sets import ExampleSet

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LEVELS = {"1": 2, "L": 256, "P": 256, "RGB": 256, "RGBA": 256, "LA": 256, "I;16": 65_536, "I;16B": 65_536, "I": 65_536}
_PLAIN = {"P": "RGB", "RGBA": "RGB", "LA": "L"}  # a palette or transparency resolved
GAPS = ("", "na", "n/a", "nan", "null", "none", "-", "?")  # what stands for a missing reading, in lower case


@dataclass(frozen=True)
class Pictures(ExampleSet):
    """Pictures in [0, 1], [n, channels, height, width], and for each the number [n] of the subfolder that it lay in.

    levels: of the files, as k / (levels - 1); groups: the names of the subfolders, "" for the folder itself.
    Raises ValueError for what is no picture, and another number of groups than pictures.
    """

    images: Tensor
    group: Tensor
    groups: tuple[str, ...]
    levels: int

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.group.shape != self.images.shape[:1]:
            raise ValueError(f"{self.name}: {len(self.images)} pictures came with groups {list(self.group.shape)}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height, width of one picture."""
        return tuple(self.images.shape[1:])


@dataclass(frozen=True)
class Table(ExampleSet):
    """Readings [n, columns] with NaN at gaps, and the names of the columns.

    Raises ValueError for another shape or number of names.
    """

    values: Tensor
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.is_floating_point() or self.values.shape[1] != len(self.columns):
            raise ValueError(
                f"{self.name}: a table is floating point, [rows, {len(self.columns)} columns]; this is {list(self.values.shape)}."
            )

    @property
    def observed(self) -> Tensor:
        """Which readings are there, [n, columns] of bool."""
        return ~self.values.isnan()


def pictures_in(folder: str | Path) -> Pictures:
    """All pictures in a folder and its subfolders, in the order of their names, as [n, channels, height, width] in [0, 1].

    Grey files give one channel, others three (a palette and transparency are resolved). 16-bit files must be grey.
    Raises FileNotFoundError for no folder or no pictures, ValueError for a file that cannot be read, and for pictures of several
    sizes, channels or depths, with the first file that differs.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: give the folder that holds the pictures.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise FileNotFoundError(
            f"There are no pictures in {folder}: it looks for files that end in {', '.join(ENDINGS)}."
        )
    read = [_picture(path) for path in paths]
    for path, (pixels, levels) in zip(paths, read, strict=True):
        if (pixels.shape, levels) != (read[0][0].shape, read[0][1]):
            raise ValueError(
                f"The pictures in {folder} differ: {paths[0].name} is {_said(*read[0])} and {path.name} is "
                f"{_said(pixels, levels)}; cut or scale them to one size, and save all in one format."
            )
    owners = [path.parent.relative_to(folder).as_posix().removeprefix(".") for path in paths]
    groups = tuple(dict.fromkeys(owners))
    levels = read[0][1]
    images = torch.from_numpy(np.stack([pixels for pixels, _ in read])) / (levels - 1)
    return Pictures(folder.name, images, torch.tensor([groups.index(owner) for owner in owners]), groups, levels)


def _picture(path: Path) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], int]:
    """The levels of a picture's pixels, [channels, height, width], and how many levels there could be."""
    try:
        with Image.open(path) as image:
            mode, levels = image.mode, LEVELS.get(image.mode, 0)
            plain = _PLAIN.get(mode, mode)
            pixels = np.asarray(image if plain == mode else image.convert(plain), dtype=np.float32)
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a picture ({' '.join(str(error).split())}): remove or replace it."
        ) from None
    if not levels:
        raise ValueError(f"{path} has pixels of the kind {mode!r}: save it as grey or RGB, with 8 bits or 16 (grey).")
    return (pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)), levels


def _said(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], levels: int) -> str:
    channels, height, width = pixels.shape
    return f"{width} × {height}, {'grey' if channels == 1 else 'in colour'}, of {levels} levels"


def table_in(path: str | Path, gaps: Sequence[str] = ()) -> Table:
    """A file of comma-separated numbers whose first line names the columns → readings [rows, columns], NaN at gaps.

    gaps: texts that stand for a missing reading, such as "-999", besides an empty field, NA, NaN, null, none, - and ?.
    Raises FileNotFoundError for no file; ValueError for a file without rows or names, a row of another length, text among the
    numbers, and a column without a single reading, with the line and the column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: give the path of a table.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        rows = [(reader.line_num, row) for row in reader if row]
    if len(rows) < 2:
        raise ValueError(f"{path.name} has {len(rows)} lines: it needs a line of names and one of numbers at least.")
    columns = tuple(name.strip() for name in rows[0][1])
    if all(_is_number(name) for name in columns):
        raise ValueError(
            f"{path.name} begins with numbers ({', '.join(columns[:3])}): its first line must name the columns."
        )
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ValueError(f"{path.name} has two columns named {twice!r}: give each its own name.")
    missing = {*GAPS, *(gap.strip().lower() for gap in gaps)}
    values = [_numbers(path.name, line, row, columns, missing) for line, row in rows[1:]]
    return array(np.array(values, dtype=np.float32), path.stem, columns)


def _numbers(file: str, line: int, row: list[str], columns: tuple[str, ...], missing: set[str]) -> list[float]:
    if len(row) != len(columns):
        raise ValueError(
            f"{file}, line {line} has {len(row)} fields for {len(columns)} columns: is a comma used as a decimal point?"
        )
    numbers = []
    for name, field in zip(columns, row, strict=True):
        text = field.strip()
        if text.lower() in missing:
            numbers.append(float("nan"))
        elif _is_number(text):
            numbers.append(float(text))
        else:
            raise ValueError(
                f"{file}, line {line}: {name!r} holds the text {text!r}; leave that column out, or number its values."
            )
    return numbers


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def array(values: ArrayLike, name: str = "array", columns: Sequence[str] = ()) -> Table:
    """Any array [rows, columns] of numbers as a table; NaN are gaps.

    Raises ValueError for other shapes, no rows, infinite numbers, a row or a column without a reading.
    """
    found = np.asarray(values, dtype=np.float32)
    if found.ndim != 2 or found.size == 0:
        raise ValueError(f"{name} is {list(found.shape)}: a table is [rows, columns], with one of each at least.")
    if np.isinf(found).any():
        raise ValueError(f"{name} holds {int(np.isinf(found).sum())} infinite numbers: find out where they come from.")
    names = tuple(columns) or tuple(f"column {i}" for i in range(found.shape[1]))
    empty = [n for n, lost in zip(names, np.isnan(found).all(0).astype(bool), strict=False) if lost]
    if empty:
        raise ValueError(f"{name} has no reading at all in {', '.join(map(repr, empty))}: leave that column out.")
    bare = int(np.isnan(found).all(1).sum())
    if bare:
        raise ValueError(f"{name} has {bare} rows without a reading: leave them out.")
    return Table(name, torch.from_numpy(found.copy()), names)


def held_out_groups(group: Tensor, share: float, seed: int) -> Tensor:
    """Which examples to hold out, [n] of bool: whole groups, drawn at random, until at least `share` of the examples are.

    group: [n], a number for what must stay on one side: a patient, a machine, a day, an original and its copies.
    Raises ValueError for a share outside (0, 1), or fewer than two groups; the last group always stays to train on.
    """
    names, index = group.unique(return_inverse=True)
    if not 0 < share < 1 or len(names) < 2:
        raise ValueError(
            f"A share of {share} of {len(names)} groups cannot be held out: give a share in (0, 1), and two groups."
        )
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    sizes = index.cpu().bincount()[order]
    before = sizes.cumsum(0) - sizes  # held out before each group
    chosen = (before < share * len(group)) & (torch.arange(len(names)) < len(names) - 1)
    return torch.zeros(len(names), dtype=torch.bool).scatter(0, order, chosen).to(index.device)[index]


def fingerprint(*tensors: Tensor) -> str:
    """The SHA-256 of tensors, their shapes and number types: the same for the same data on every machine."""
    digest = hashlib.sha256()
    for tensor in tensors:
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{list(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
