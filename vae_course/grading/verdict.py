"""The words of a verdict, which the judge alone chooses, and what may be shown of a text that a notebook sent."""

from __future__ import annotations

import unicodedata
from enum import StrEnum

MOST = 400  # characters of a diagnosis


class Verdict(StrEnum):
    """What an exercise gets; the value is the word in a narrow table."""

    PASSED = "passed"
    WRONG = "wrong"
    NOT_DONE = "not done"
    NOT_FOUND = "not found"
    NOT_ENDED = "did not end"
    MEMORY = "memory"
    PROCESSES = "processes"
    WRITTEN = "bytes"
    DIED = "died"
    NOT_CHECKED = "not checked"


class EndedError(Exception):
    """A worker did not answer, or was ended; the message is a row's: why."""

    def __init__(self, verdict: Verdict, said: str) -> None:
        super().__init__(said)
        self.verdict = verdict


def plain(text: str) -> str:
    """A text as one line of at most 400 characters, without those that a terminal would obey or hide."""
    shown = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text[: 4 * MOST])
    line = " ".join(shown.split())
    return line if len(line) <= MOST else f"{line[: MOST - 1]}…"
