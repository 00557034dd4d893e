"""What a student works with: copies of the sheets, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path

from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import name_of
from vae_course.grading.contained import best, you
from vae_course.grading.folder import HandIn, grade_folder, notebooks_in
from vae_course.grading.grade import grade
from vae_course.grading.limits import Limits
from vae_course.grading.report import table, write
from vae_course.grading.sheets import code_cells, sheet_of
from vae_course.output import say

GRADE = (
    "The code in the notebooks runs as you. With bubblewrap on the PATH (Linux) it reads the system, Python and the course, "
    "writes in a scratch copy only, and has no network. Without it, namespaces do the same where the system allows them to "
    "users, though sockets in the file system stay within reach; else Landlock contains files, and TCP from Linux 6.7 on, but "
    "no UDP, no permissions of files, no sockets in the file system. Elsewhere, and on macOS and Windows, nothing is contained: the code can read and change your "
    "files and use the network. Everywhere time, memory, processes and written bytes are watched, and the first line printed "
    "says what holds here."
)


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


def check(said: str, root: Path = ROOT, limits: Limits = Limits()) -> int:  # noqa: B008 - a tuple, never changed
    """Judge the student's sheet of a lecture, or a file; print one line an exercise; return how many are not passed.

    said: the lecture's number or name, or the path of a notebook.
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
    return sum(_check_file(file, name, blank, limits) for file in files)


def _check_file(file: Path, name: str, blank: Path, limits: Limits) -> int:
    say(f"{file.parent.name}/{file.name}")
    try:
        rows = grade(file, name, blank, limits)
    except ValueError as error:
        say(f"{error} If it is damaged, move it away and run make lab.")
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
        sys.exit(
            f"FOLDER={folder!r} is no folder: give the one that holds the notebooks, make grade FOLDER=path/to/it."
        )
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
        sys.exit(f"{folder} holds no notebook" + (f" of the sheet {only}: leave NB out to grade all." if only else "."))
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
