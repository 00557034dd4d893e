"""What is said of a student's sheet, and of a folder of hand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

from vae_course.course.catalogue import ROOT, catalogue, has_sources
from vae_course.course.desk import MINE, blank_sheets, copy_sheets, desk, lecture_of, my_sheets
from vae_course.grading.contained import best, you
from vae_course.grading.folder import HandIn, grade_folder, notebooks_in
from vae_course.grading.grade import grade
from vae_course.grading.limits import Limits
from vae_course.grading.report import table, write
from vae_course.output import say


def check(said: str, root: Path = ROOT, limits: Limits = Limits()) -> int:  # noqa: B008 - a tuple, never changed
    """Judge the student's sheet of a lecture, or a file; print one line an exercise; return how many are not passed.

    said: the lecture's number or name, or the path of a notebook.
    """
    given = Path(said) if said.endswith(".ipynb") else None
    if given is not None and not given.is_file():
        sys.exit(f"There is no file {said}.")
    name = lecture_of(given) if given else catalogue(root).find(said).name
    blank = blank_sheets(root).get(name)
    if blank is None:
        sys.exit(f"{name or said}: there is no such sheet; there are {', '.join(blank_sheets(root))}.")
    if given is None and has_sources(root):
        copy_sheets(root)
    files = [given] if given else my_sheets(root).get(name, [])
    if not files:
        sys.exit(
            f"{desk(root) / MINE} holds no sheet of {name}: go to the folder of your notebooks, give the path of one, "
            f"or let `vae-course sheets` copy the sheets into {desk(root)}."
        )
    return sum(_check_file(file, name, blank, limits) for file in files)


def _check_file(file: Path, name: str, blank: Path, limits: Limits) -> int:
    say(f"{file.absolute().parent.name}/{file.name}")
    try:
        rows = grade(file, name, blank, limits)
    except ValueError as error:
        say(f"{error} If it is damaged, move it away and run `vae-course sheets`.")
        return 1
    for row in rows:
        say(str(row))
    return sum(not row.passed for row in rows)


def grade_class(
    folder: str,
    said: str = "",
    out: str = "",
    at_once: int = 2,
    root: Path = ROOT,
    limits: Limits = Limits(),  # noqa: B008 - a tuple, never changed
) -> int:
    """Judge every notebook of a folder; print a table, write a CSV and a page; return how many notebooks are not passed.

    said: the only lecture, by number or name; "" for all. out: where the files are written; "" for the current folder.
    """
    if not folder or not Path(folder).is_dir():
        sys.exit(f"{folder!r} is no folder: give the one that holds the notebooks.")
    only = catalogue(root).find(said).name if said else None
    blanks = blank_sheets(root)
    if only is not None and only not in blanks:
        sys.exit(f"{only}: there is no such sheet; there are {', '.join(blanks)}.")
    contained = best()
    warning = f"{you()}. {contained.said[0].upper()}{contained.said[1:]}"
    say(warning)
    many = len(notebooks_in(Path(folder)))
    say(f"{many} notebook{'s' * (many != 1)} in {folder}, {at_once} at a time:")
    try:
        found = list(grade_folder(Path(folder), blanks, contained, limits, only, at_once, _tell))
    except KeyboardInterrupt:
        sys.exit("Interrupted: what ran has been ended, and nothing was written.")
    if not found:
        sys.exit(
            f"{folder} holds no notebook" + (f" of the sheet {only}: leave the name out to grade all." if only else ".")
        )
    for line in table(found):
        say(line)
    if left := many - len(found):
        say(f"\nLeft out, as they answer other sheets: {left} notebook{'s' * (left != 1)}.")
    say("")
    for path in write(found, Path(out or "."), warning):
        say(f"Written: {path}")
    return sum(not one.passed for one in found)


def _tell(found: HandIn) -> None:
    passed = sum(row.passed for row in found.rows)
    say(f"  {found.name}: {found.fault or f'{passed} of {len(found.rows)} passed'}")
