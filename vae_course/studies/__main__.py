"""`python -m vae_course.studies cifar_codes FOLDER`: run a study, or take it up where it was stopped."""

from __future__ import annotations

import sys
from pathlib import Path

from vae_course.output import say
from vae_course.studies.cifar_codes import make as make_cifar_codes

STUDIES = {"cifar_codes": make_cifar_codes}


def main(arguments: list[str]) -> int:
    """Run what is named with snapshots in the folder named; 2 for other arguments, 1 for data that is missing."""
    if len(arguments) != 2 or arguments[0] not in STUDIES:
        print(f"usage: python -m vae_course.studies {'|'.join(STUDIES)} FOLDER", file=sys.stderr)
        return 2
    try:
        say(f"written: {STUDIES[arguments[0]](Path(arguments[1]))}")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last whole epoch.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
