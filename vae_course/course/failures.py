"""The line of a traceback that names the error."""

from __future__ import annotations

import re

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def last_error_line(text: str) -> str:
    """The line of a traceback that names the error, without colours."""
    lines = [line.strip() for line in ANSI.sub("", text).splitlines()]
    named = [line for line in lines if re.match(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return named[-1] if named else next((line for line in reversed(lines) if line), "failed")
