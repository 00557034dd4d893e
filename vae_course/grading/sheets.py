"""What a sheet asks, and what a student's notebook holds of it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import nbformat

from vae_course.exercises.exercise import Exercise

LARGEST = 50 * 10**6  # bytes of a notebook
CHECK = re.compile(r"^check\(\s*\w+\.(\w+)\s*,\s*(\w+)\s*\)\s*$", re.MULTILINE)
BUILDS = re.compile(r"^(?:import|from|def|class|async)\b|^@", re.MULTILINE)
SHEET = re.compile(r"^from vae_course\.exercises\.sheets import (\w+)", re.MULTILINE)

PEEK = re.compile(
    r"\.reference\b|\b_getframe\b|\bcurrentframe\b|\bf_back\b|\binspect\.stack\b|\b(?:exercises\.sheets|right_answers)\b"
)


class Asked(NamedTuple):
    """An exercise of a sheet: its name in the sheet's module, the name of the answer, the exercise."""

    key: str
    answer: str
    exercise: Exercise


class Cell(NamedTuple):
    """A code cell of a student's notebook: its code without checks, which names it defines, whether it only demonstrates.

    A demonstration is a cell of the sheet itself, unchanged, that imports nothing and defines no function.
    """

    source: str
    defines: frozenset[str]
    demonstrates: bool


def code_cells(path: Path) -> list[str]:
    """The sources of a notebook's code cells. Raises ValueError for a file that is no notebook."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST // 10**6} MB; clear its outputs")
        notebook = nbformat.read(path, as_version=4)
        return [str(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    except Exception as error:  # nbformat raises what its parts raise
        raise ValueError(
            f"{path.name} is not a notebook that can be read: {(str(error).splitlines() or [type(error).__name__])[0][:120]}"
        ) from error


def sheet_of(cells: list[str]) -> str | None:
    """The name of the sheet that a notebook answers, by what it imports or checks; None for another notebook."""
    found = SHEET.search("\n".join(cells))
    return found.group(1) if found else None


def asked(sheet: str, blank: Path) -> list[Asked]:
    """The exercises of a sheet in its order, by the checks of the blank sheet."""
    module = import_module(f"vae_course.exercises.sheets.{sheet}")
    return [
        Asked(key, answer, getattr(module, key)) for cell in code_cells(blank) for key, answer in CHECK.findall(cell)
    ]


def checked_in(cells: list[str]) -> set[str]:
    """The keys of the exercises whose check stands in a cell."""
    return {key for cell in cells for key, _ in CHECK.findall(cell)}


def student_cells(cells: list[str], blank: list[str]) -> list[Cell]:
    """The code cells of a student's notebook as the worker runs them: without checks."""
    own = {cell.strip() for cell in blank}
    sources = [(cell.strip() in own, CHECK.sub("", cell).strip()) for cell in cells]
    return [
        Cell(source, defined_in(source), unchanged and not BUILDS.search(source))
        for unchanged, source in sources
        if source
    ]


def peeks(cells: list[str], blank: list[str]) -> bool:
    """Whether a cell of the student's own names the caller's frame, or the course's answers."""
    own = {cell.strip() for cell in blank}
    written = (line for cell in cells if cell.strip() not in own for line in cell.splitlines())
    return any(PEEK.search(line) for line in written if not SHEET.match(line) and not CHECK.match(line))


def defined_in(source: str) -> frozenset[str]:
    """The names of functions and classes that a cell defines, and of variables it assigns, also where it is no Python."""
    pattern = r"^(?:async\s+def|def|class)\s+(\w+)|^(\w+)(?:\s*:[^=\n]+)?\s*=(?!=)"
    return frozenset(name for pair in re.findall(pattern, source, re.MULTILINE) for name in pair if name)
