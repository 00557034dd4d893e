"""What a student works with: copies of the sheets, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path

from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import name_of
from vae_course.grading.grade import SECONDS, grade
from vae_course.grading.sheets import code_cells, sheet_of
from vae_course.output import say


def blank_sheets(root: Path = ROOT) -> dict[str, Path]:
    """The sheets as the course hands them out, by the names of their lectures."""
    return {name_of(path): path for path in sorted((root / "notebooks/exercises").glob("*.ipynb"))}


def lecture_of(notebook: Path) -> str:
    """The lecture whose sheet a file answers: by its contents, else by its name."""
    try:
        return sheet_of(code_cells(notebook)) or name_of(notebook)
    except ValueError:  # damaged
        return name_of(notebook)


def my_sheets(root: Path = ROOT) -> dict[str, list[Path]]:
    """The student's files by lecture, whatever they are called."""
    found: dict[str, list[Path]] = {}
    for path in sorted((root / "notebooks/my-sheets").glob("*.ipynb")):
        found.setdefault(lecture_of(path), []).append(path)
    return found


def copy_sheets(root: Path = ROOT) -> None:
    """Copy each sheet into `notebooks/my-sheets`, where the student works; what is there already stays untouched."""
    folder = root / "notebooks" / "my-sheets"
    folder.mkdir(exist_ok=True)
    mine = my_sheets(root)
    for name, sheet in blank_sheets(root).items():
        if name in mine:
            continue
        try:
            with (folder / sheet.name).open("xb") as copy:
                copy.write(sheet.read_bytes())
        except FileExistsError:
            continue


def check(said: str, root: Path = ROOT, seconds: float = SECONDS) -> int:
    """Judge the student's sheet of a lecture, or a file; print one line an exercise; return how many are not passed.

    said: the lecture's number or name, or the path of a notebook. seconds: for each cell, and for each question to an answer.
    """
    if said.endswith(".ipynb"):
        files = [Path(said)]
        if not files[0].is_file():
            sys.exit(f"There is no file {said}.")
        name = lecture_of(files[0])
    else:
        copy_sheets(root)
        name = catalogue(root).find(said).name
        files = my_sheets(root).get(name, [])
    blank = blank_sheets(root).get(name)
    if blank is None:
        sys.exit(f"{name or said}: there is no such sheet; there are {', '.join(blank_sheets(root))}.")
    return sum(_check_file(file, name, blank, seconds) for file in files)


def _check_file(file: Path, name: str, blank: Path, seconds: float) -> int:
    say(f"{file.parent.name}/{file.name}")
    try:
        rows = grade(file, name, blank, seconds)
    except ValueError as error:
        say(f"{error} If it is damaged, move it away and run make lab.")
        return 1
    for row in rows:
        say(str(row))
    return sum(not row.passed for row in rows)
