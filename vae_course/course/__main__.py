"""The commands behind the Makefile.

python -m vae_course.course build       make and execute what changed, in notebooks/ and the README's tables
python -m vae_course.course run 05      execute one lecture and the solution of its sheet
python -m vae_course.course sheets      copy each sheet once into notebooks/my-sheets
python -m vae_course.course check 05    check your copy of a sheet, one line an exercise
python -m vae_course.course grade FOLDER   check every notebook in a folder: a table, a CSV, a page of HTML
python -m vae_course.course slides 05   write a deck of slides, slides/07_….html; without a number, of every lecture
python -m vae_course.course plateau 05  run a lecture with every training four times as long: which claims still hold?
python -m vae_course.course prove 05    break a lecture's lines, one after the other, and say which claims do not fall
"""

from __future__ import annotations

import argparse
import sys

from vae_course.course import build, lab, prove, quick, readme, slides
from vae_course.course.catalogue import catalogue
from vae_course.course.sources import targets
from vae_course.grading.limits import GB, Limits


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m vae_course.course", description="Make, run and check notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make what changed").add_argument("--force", action="store_true")
    commands.add_parser("run", help="execute one lecture").add_argument("lecture")
    commands.add_parser("sheets", help="copy the sheets into my-sheets, once")
    commands.add_parser("check", help="check your copy of a sheet").add_argument("lecture")
    grading = commands.add_parser("grade", help="check every notebook in a folder", description=lab.GRADE)
    grading.add_argument("folder", help="holds the notebooks, also in sub-folders, under any name")
    grading.add_argument("only", nargs="?", default="", help="grade the sheet of this lecture only, by number or name")
    grading.add_argument("--out", default="", help="the folder for grades.csv and grades.html; else the current one")
    grading.add_argument("--at-once", type=int, default=2, help="notebooks that run at a time (default: 2)")
    grading.add_argument("--seconds", type=float, default=60.0, help="for a cell, and for the answer to a question")
    grading.add_argument("--memory", type=float, default=3.0, help="GB that a notebook may hold (default: 3)")
    commands.add_parser("quick", help="run the notebooks that changed")
    commands.add_parser("plateau", help="train four times as long").add_argument("lecture")
    commands.add_parser("slides", help="write decks of slides").add_argument("lecture", nargs="?", default="")
    proving = commands.add_parser("prove", help="prove that a lecture's claims can fail")
    proving.add_argument("lecture")
    proving.add_argument("only", nargs="?", default="", help="the breaks whose name holds this")
    arguments = parser.parse_args()
    if arguments.command == "build":
        build.build(arguments.force)
        readme.write()
    elif arguments.command == "run":
        lecture = catalogue().find(arguments.lecture)
        for target in targets():
            if target.lecture == lecture:
                build.make(target, again=True)
        readme.write()
    elif arguments.command == "sheets":
        lab.copy_sheets()
    elif arguments.command == "quick":
        sys.exit(quick.run_changed())
    elif arguments.command == "plateau":
        sys.exit(min(prove.plateau(arguments.lecture), 1))
    elif arguments.command == "slides":
        slides.slides(arguments.lecture)
    elif arguments.command == "prove":
        sys.exit(min(prove.prove(arguments.lecture, arguments.only), 1))
    elif arguments.command == "grade":
        limits = Limits(seconds=arguments.seconds, memory=arguments.memory * GB)
        given = (arguments.folder, arguments.only, arguments.out, max(1, arguments.at_once))
        sys.exit(1 if lab.grade_class(*given, limits=limits) else 0)
    else:
        sys.exit(1 if lab.check(arguments.lecture) else 0)


if __name__ == "__main__":
    main()
