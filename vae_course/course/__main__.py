"""The commands behind the Makefile.

python -m vae_course.course build       make and execute what changed, in notebooks/ and the README's tables
python -m vae_course.course run 07      execute one lecture and the solution of its sheet
python -m vae_course.course sheets      copy each sheet once into notebooks/my-sheets
python -m vae_course.course check 07    check your copy of a sheet, one line an exercise
"""

from __future__ import annotations

import argparse
import sys

from vae_course.course import build, lab, quick, readme
from vae_course.course.catalogue import catalogue
from vae_course.course.sources import targets


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m vae_course.course", description="Make, run and check notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make what changed").add_argument("--force", action="store_true")
    commands.add_parser("run", help="execute one lecture").add_argument("lecture")
    commands.add_parser("sheets", help="copy the sheets into my-sheets, once")
    commands.add_parser("check", help="check your copy of a sheet").add_argument("lecture")
    commands.add_parser("quick", help="run the notebooks that changed")
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
    else:
        sys.exit(1 if lab.check(arguments.lecture) else 0)


if __name__ == "__main__":
    main()
