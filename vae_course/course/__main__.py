"""The command `vae-course`, also `python -m vae_course.course`.

For students and teachers, with nothing but the package:

vae-course lab [FOLDER]      copy lectures and sheets into a folder, once, and open JupyterLab there
vae-course sheets [FOLDER]   copy each sheet once into my-sheets
vae-course check 05          check your copy of a sheet, one line an exercise; also: check path/to/a.ipynb
vae-course grade FOLDER      check every notebook in a folder: a table, a CSV, a page of HTML
vae-course run 05            execute one lecture and the solution of its sheet
vae-course data [NAME]       say which data sets are there, and make the beams; with a name: download that set
vae-course bench             time log p(x), training and convolutions, each beside the plain way

For makers, in a checkout with the dev extras:

vae-course build             make and execute what changed, in notebooks/ and the README's tables
vae-course quick             run the notebooks that changed, or whose modules did
vae-course slides [05]       write a deck of slides, slides/05_….html; without a number, of every lecture
vae-course plateau 05        run a lecture with every training four times as long: which claims still hold?
vae-course prove 05          break a lecture's lines, one after the other, and say which claims do not fall
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from vae_course.course.catalogue import ROOT, has_sources
from vae_course.output import say

GRADE = (
    "The code in the notebooks runs as you. With bubblewrap on the PATH (Linux) it reads the system, Python and the course, "
    "writes in a scratch copy only, and has no network. Without it, namespaces do the same where the system allows them to "
    "users, though sockets in the file system stay within reach; else Landlock contains files, and TCP from Linux 6.7 on, but "
    "no UDP, no permissions of files, no sockets in the file system. Elsewhere, and on macOS and Windows, nothing is contained: the code can read and change your "
    "files and use the network. Everywhere time, memory, processes and written bytes are watched, and the first line printed "
    "says what holds here."
)
LECTURE = "its number or its name, also a part of one"
MAKERS = {  # command -> what it imports of the dev extras
    "build": ("jupytext",),
    "quick": ("jupytext", "nbval", "xdist"),
    "slides": ("jupytext",),
    "plateau": ("jupytext",),
    "prove": ("jupytext",),
}


def parser() -> argparse.ArgumentParser:
    """The commands and what they take."""
    top = argparse.ArgumentParser(
        prog="vae-course",
        description="Work with the course: open it, check and grade sheets, run and make notebooks.",
        epilog="build, quick, slides, plateau and prove are for makers: they need a checkout and the dev extras.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    lab = commands.add_parser(
        "lab",
        help="copy lectures and sheets into a folder, once, and open JupyterLab there",
        epilog="Other options, such as --no-browser or --port=8890, go to JupyterLab.",
    )
    sheets = commands.add_parser("sheets", help="copy the sheets into my-sheets, once")
    for each in (lab, sheets):
        each.add_argument("folder", nargs="?", default="", help="else the current one, or notebooks/ of a checkout")
    check = commands.add_parser("check", help="check your copy of a sheet")
    check.add_argument("lecture", help=f"{LECTURE}; or the path of a notebook")
    grade = commands.add_parser("grade", help="check every notebook in a folder", description=GRADE)
    grade.add_argument("folder", help="holds the notebooks, also in sub-folders, under any name")
    grade.add_argument("only", nargs="?", default="", help="grade the sheet of this lecture only, by number or name")
    grade.add_argument("--out", default="", help="the folder for grades.csv and grades.html; else the current one")
    grade.add_argument("--at-once", type=int, default=2, help="notebooks that run at a time (default: 2)")
    grade.add_argument("--seconds", type=float, default=60.0, help="for a cell, and for the answer to a question")
    grade.add_argument("--memory", type=float, default=3.0, help="GB that a notebook may hold (default: 3)")
    commands.add_parser("run", help="execute a lecture and its sheet's solution").add_argument("lecture", help=LECTURE)
    data = commands.add_parser("data", help="say which data sets are there, make the beams; download one by its name")
    data.add_argument("name", nargs="?", default="", help="mnist, fashionmnist or cifar10")
    commands.add_parser("bench", help="time log p(x), training and convolutions")
    commands.add_parser("build", help="make what changed").add_argument("--force", action="store_true")
    commands.add_parser("quick", help="run the notebooks that changed")
    slides = commands.add_parser("slides", help="write decks of slides")
    slides.add_argument("lecture", nargs="?", default="", help=LECTURE)
    commands.add_parser("plateau", help="train four times as long").add_argument("lecture", help=LECTURE)
    proving = commands.add_parser("prove", help="prove that a lecture's claims can fail")
    proving.add_argument("lecture", help=LECTURE)
    proving.add_argument("only", nargs="?", default="", help="the breaks whose name holds this")
    return top


def main(given: Sequence[str] | None = None) -> None:
    """Carry out one command."""
    arguments, others = parser().parse_known_args(given)
    if others and (arguments.command != "lab" or not all(option.startswith("-") for option in others)):
        parser().error(f"unrecognized arguments: {' '.join(others)}")
    if arguments.command in MAKERS:
        refuse_without_sources(arguments.command)
        made_by_makers(arguments)
    else:
        used_by_all(arguments, others)


def refuse_without_sources(command: str, root: Path = ROOT) -> None:
    """Say what a maker's command needs and end, where it is missing."""
    if not has_sources(root):
        sys.exit(f"vae-course {command} works on the sources of the notebooks: run it in a checkout of the course.")
    if missing := [name for name in MAKERS[command] if find_spec(name) is None]:
        sys.exit(f'vae-course {command} needs {", ".join(missing)}: pip install "vae-course[dev]"')


def used_by_all(arguments: argparse.Namespace, others: Sequence[str]) -> None:
    """A command of students and teachers. Imported is what it needs: some load torch, which takes seconds."""
    if arguments.command == "lab":
        from vae_course.course.desk import open_lab

        open_lab(arguments.folder, others)
    elif arguments.command == "sheets":
        from vae_course.course.desk import copy_sheets, desk

        folder = Path(arguments.folder) if arguments.folder else desk()
        say(f"{copy_sheets(folder=folder)} sheets copied into {folder / 'my-sheets'}")
    elif arguments.command == "check":
        from vae_course.course.lab import check

        sys.exit(1 if check(arguments.lecture) else 0)
    elif arguments.command == "grade":
        from vae_course.course.lab import grade_class
        from vae_course.grading.limits import GB, Limits

        limits = Limits(seconds=arguments.seconds, memory=arguments.memory * GB)
        given = (arguments.folder, arguments.only, arguments.out, max(1, arguments.at_once))
        sys.exit(1 if grade_class(*given, limits=limits) else 0)
    elif arguments.command == "run":
        from vae_course.course.run import run

        run(arguments.lecture)
    elif arguments.command == "data":
        from vae_course.course.datasets import data

        data(arguments.name)
    else:
        from vae_course.course.bench import bench

        bench()


def made_by_makers(arguments: argparse.Namespace) -> None:
    """A command of makers."""
    from vae_course.course import build, prove, quick, readme, slides

    if arguments.command == "build":
        build.build(arguments.force)
        readme.write()
    elif arguments.command == "quick":
        sys.exit(quick.run_changed())
    elif arguments.command == "slides":
        slides.slides(arguments.lecture)
    elif arguments.command == "plateau":
        sys.exit(min(prove.plateau(arguments.lecture), 1))
    else:
        sys.exit(min(prove.prove(arguments.lecture, arguments.only), 1))


if __name__ == "__main__":
    main()
