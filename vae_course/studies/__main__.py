"""`python -m vae_course.studies STUDY FOLDER [PART …]`: run a study, or take it up where it was stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vae_course.output import say
from vae_course.studies import aevb, aevb_evidence, cifar_codes, failures

WHOLE: dict[str, Callable[[Path], Path]] = {"cifar_codes": cifar_codes.make, "failures": failures.make}
IN_PARTS: dict[str, Callable[[Path, Sequence[str]], Path]] = {"aevb": aevb.make, "aevb_evidence": aevb_evidence.make}
USAGE = f"usage: python -m vae_course.studies {'|'.join(WHOLE)} FOLDER, or {'|'.join(IN_PARTS)} FOLDER [PART …]"


def main(arguments: list[str]) -> int:
    """Run what is named, with snapshots in the folder named; 2 for other arguments, 1 for data that is missing."""
    study, *rest = arguments or [""]
    if not (study in WHOLE and len(rest) == 1) and not (study in IN_PARTS and rest):
        print(USAGE, file=sys.stderr)
        return 2
    folder, parts = Path(rest[0]), rest[1:]
    try:
        say(f"written: {IN_PARTS[study](folder, parts) if study in IN_PARTS else WHOLE[study](folder)}")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last snapshot.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
