"""Every notebook of a folder, several at once, each in a scratch copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from vae_course.grading.contained import Containment
from vae_course.grading.grade import Row, grade
from vae_course.grading.limits import Limits
from vae_course.grading.remote import give_up
from vae_course.grading.sheets import code_cells, sheet_of
from vae_course.grading.verdict import plain

LEFT_OUT = {".ipynb_checkpoints", "__MACOSX"}  # folders of copies that programs make


class HandIn(NamedTuple):
    """A notebook by its path in the folder, the sheet it answers, a row for each exercise; or why there are none."""

    name: str
    sheet: str | None
    rows: list[Row]
    fault: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every exercise is passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)


class Class(NamedTuple):
    """What is asked of a folder: the sheets as the course hands them out, by name, the only one or None, what is allowed."""

    blanks: Mapping[str, Path]
    only: str | None
    limits: Limits
    contained: Containment
    seed: int


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks of a folder and its sub-folders, in order; those that Jupyter or a Mac keeps beside them left out."""
    found = sorted(folder.rglob("*.ipynb"))
    return [path for path in found if path.is_file() and not LEFT_OUT & set(path.relative_to(folder).parts)]


def grade_folder(
    folder: Path,
    blanks: Mapping[str, Path],
    contained: Containment,
    limits: Limits,
    only: str | None = None,
    at_once: int = 2,
    told: Callable[[HandIn], None] = lambda found: None,
) -> Iterator[HandIn]:
    """Grade each notebook of a folder, in the order of their names; notebooks of other sheets than `only` are left out.

    blanks: the sheets as the course hands them out, by name. told: is called with each as soon as it is graded.
    """
    seed = int.from_bytes(os.urandom(4), "little")  # one for all: what the judge knows of it, it works out once
    asked = Class(blanks, only, limits, contained, seed)

    def one(path: Path) -> HandIn | None:
        found = hand_in(path, plain(path.relative_to(folder).as_posix()), asked)
        if found:
            told(found)
        return found

    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from filter(None, pool.map(one, notebooks_in(folder)))
        except BaseException:  # an interrupt: nobody waits for what still runs
            pool.shutdown(wait=False, cancel_futures=True)
            give_up()
            raise


def hand_in(path: Path, name: str, asked: Class) -> HandIn | None:
    """Grade one notebook; None if another sheet was asked for."""
    try:
        sheet = sheet_of(code_cells(path))
        if sheet is None or sheet not in asked.blanks:
            return HandIn(name, None, [], "not checked: it imports and checks no sheet of this course")
        if asked.only not in (None, sheet):
            return None
        rows = grade(path, sheet, asked.blanks[sheet], asked.limits, asked.contained, asked.seed)
        return HandIn(name, sheet, rows)
    except ValueError as error:
        return HandIn(name, None, [], f"not checked: {plain(str(error))}")
    except Exception as error:  # one hand-in stops no other
        return HandIn(name, None, [], f"not checked: {type(error).__name__}: {plain(str(error))}")
