"""A student's desk: the folder with the lectures and with copies of the sheets, and JupyterLab opened there.

In a checkout it is `notebooks/`. Elsewhere it is a folder into which the notebooks are copied from the installed package,
under the same names. What lies there already is never overwritten.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vae_course.course.catalogue import ROOT, has_sources, name_of
from vae_course.output import say

MINE = "my-sheets"
FOLDERS = ("", "exercises", "solutions")  # of notebooks/, copied under the same names


def desk(root: Path = ROOT) -> Path:
    """Where a student works: in the current folder if it holds my-sheets, else in a checkout's notebooks, else in the current one."""
    here = Path.cwd()
    return root / "notebooks" if has_sources(root) and not (here / MINE).is_dir() else here


def blank_sheets(root: Path = ROOT) -> dict[str, Path]:
    """The sheets as the course hands them out, by the names of their lectures."""
    return {name_of(path): path for path in sorted((root / "notebooks/exercises").glob("*.ipynb"))}


def lecture_of(notebook: Path) -> str:
    """The lecture whose sheet a file answers: by its contents, else by its name."""
    from vae_course.grading.sheets import code_cells, sheet_of  # loads torch, which a desk alone does without

    try:
        return sheet_of(code_cells(notebook)) or name_of(notebook)
    except ValueError:  # damaged
        return name_of(notebook)


def my_sheets(root: Path = ROOT, folder: Path | None = None) -> dict[str, list[Path]]:
    """The student's files by lecture, whatever they are called."""
    found: dict[str, list[Path]] = {}
    for path in sorted(((folder or desk(root)) / MINE).glob("*.ipynb")):
        found.setdefault(lecture_of(path), []).append(path)
    return found


def copy_sheets(root: Path = ROOT, folder: Path | None = None) -> int:
    """Copy each sheet once into my-sheets, where the student works; returns how many.

    What is there already stays untouched, also under another number or name.
    """
    mine = _made((folder or desk(root)) / MINE)
    missing = {name: sheet for name, sheet in blank_sheets(root).items() if not (mine / sheet.name).exists()}
    known = my_sheets(root, folder) if missing and any(mine.glob("*.ipynb")) else {}
    return sum(copied(sheet, mine / sheet.name) for name, sheet in missing.items() if name not in known)


def lay_out(folder: Path, root: Path = ROOT) -> str:
    """Copy lectures, sheets and solutions into a folder, and the sheets into its my-sheets; returns a line on what was done."""
    done: Counter[str] = Counter()
    if folder.resolve() != (root / "notebooks").resolve():
        for kind in FOLDERS:
            for notebook in sorted((root / "notebooks" / kind).glob("[0-9]*.ipynb")):
                copy = _made(folder / kind) / notebook.name
                if copied(notebook, copy):
                    done["new"] += 1
                else:
                    done["kept"] += 1
                    done["other"] += copy.read_bytes() != notebook.read_bytes()
    sheets = copy_sheets(root, folder)
    return (
        f"{folder}: {done['new']} notebooks copied, {done['kept']} were there ({done['other']} differ from the course's "
        f"and stay as they are); {sheets} sheets copied into {MINE}."
    )


def copied(source: Path, goal: Path) -> bool:
    """Copy a file whole or not at all; False where there is one of that name."""
    try:
        with goal.open("xb") as copy:
            try:
                copy.write(source.read_bytes())
            except BaseException:  # an interrupt, or a full disk
                copy.close()
                goal.unlink()
                raise
    except FileExistsError:
        return False
    return True


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"{folder} cannot be made ({error.strerror}): choose another folder.")
    return folder


def open_lab(said: str, options: Sequence[str], root: Path = ROOT) -> None:
    """Lay out the notebooks in a folder, without one on the desk, and open JupyterLab there. options: JupyterLab's own."""
    from jupyterlab.labapp import main

    folder = Path(said).expanduser().absolute() if said else desk(root)
    say(lay_out(folder, root))
    main([f"--notebook-dir={folder}", *options])
