"""`python -m vae_course.checkpoints digits`, or sprites: make the stored models anew."""

from __future__ import annotations

import sys

from vae_course.checkpoints.digit_vaes import make_digit_vaes
from vae_course.checkpoints.sprite_vaes import make_sprite_vaes
from vae_course.output import say

COMMANDS = {"digits": make_digit_vaes, "sprites": make_sprite_vaes}


def main(arguments: list[str]) -> int:
    """Make what is named; 2 for another name."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python -m vae_course.checkpoints {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    for name, checksum in COMMANDS[arguments[0]]().items():
        say(f"{checksum}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
