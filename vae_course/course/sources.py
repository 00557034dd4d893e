"""Text sources of notebooks: where they are, their cells, and what is measured of them.

notebooks/source/NAME.py            → notebooks/05_NAME.ipynb            (a lecture, executed)
notebooks/source/exercises/NAME.py  → notebooks/exercises/05_NAME.ipynb  (stubs, no outputs)
                                    → notebooks/solutions/05_NAME.ipynb  (solved, executed)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from vae_course.course.catalogue import ROOT, Lecture, catalogue

WORDS, LINES = 100, 6  # read in a minute: words of text, lines of code run and understood
CHECK = re.compile(r"^check\(\w+\.(\w+), *\w+\)", re.MULTILINE)

Notebook = Any  # nbformat's notebooks are dictionaries with attributes


class Kind(Enum):
    """What a notebook is, by the folder it lies in."""

    LECTURE = ""
    SHEET = "exercises"
    SOLUTION = "solutions"


class Target(NamedTuple):
    """A notebook to be made: of which lecture, what it is, from which source, where."""

    lecture: Lecture
    kind: Kind
    source: Path
    path: Path

    @property
    def executed(self) -> bool:
        """Whether it is stored with its outputs."""
        return self.kind is not Kind.SHEET


def targets(root: Path = ROOT) -> Iterator[Target]:
    """Every notebook of the course whose source is there: lectures, then sheets with their solutions, in order."""
    folder = root / "notebooks"
    for kinds, sources in (
        ((Kind.LECTURE,), folder / "source"),
        ((Kind.SHEET, Kind.SOLUTION), folder / "source/exercises"),
    ):
        for lecture in catalogue(root).lectures.values():
            source = sources / f"{lecture.name}.py"
            if source.is_file():
                for kind in kinds:
                    yield Target(lecture, kind, source, folder / kind.value / f"{lecture.stem}.ipynb")


@lru_cache(maxsize=128)
def _cells(source: Path, changed: int) -> Notebook:
    import jupytext  # of the dev extras, while the files and their names are wanted without them

    return jupytext.read(source)


def cells_of(source: Path) -> list[Any]:
    """The cells of a source as they are written."""
    return list(_cells(source, source.stat().st_mtime_ns).cells)


def exercises_of(source: Path) -> list[str]:
    """The exercises of a sheet's source, in order, by the names of their checks."""
    return [name for cell in cells_of(source) if cell.cell_type == "code" for name in CHECK.findall(cell.source)]


def stated_minutes(source: Path) -> int:
    """The minutes that the exercises of a sheet are said to take, together."""
    text = "\n".join(cell.source for cell in cells_of(source) if cell.cell_type == "markdown")
    return sum(map(int, re.findall(r"^\*(\d+) minutes\.", text, re.MULTILINE)))


def headings_of(source: Path) -> list[str]:
    """The numbered headings of a source (`## · Title`), in order, without their number."""
    text = "\n".join(cell.source for cell in cells_of(source) if cell.cell_type == "markdown")
    return re.findall(r"^## · (.+)$", text, re.MULTILINE)


class Length(NamedTuple):
    """How long a text is: words (a formula counts as one), and lines of code that hold something."""

    words: int
    lines: int

    @property
    def minutes(self) -> int:
        """Minutes to read it and run it cell by cell, rounded up to five: a minute for 100 words, one for six lines."""
        return 5 * ceil((self.words / WORDS + self.lines / LINES) / 5)


def length_of(cells: list[Any]) -> Length:
    """The length of some cells."""
    words = lines = 0
    for cell in cells:
        if cell.cell_type == "code":
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
        else:
            text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " formula ", cell.source, flags=re.DOTALL)
            words += len(re.findall(r"[^\W_][\w’'-]*", re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)))
    return Length(words, lines)
