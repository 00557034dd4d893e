"""Printing to whatever a stream can hold."""

from __future__ import annotations

import sys

PLAIN = str.maketrans({"✓": "+", "✗": "x", "−": "-", "·": "-", "→": "->", "–": "-", "≥": ">=", "≤": "<="})


def say(text: str) -> None:
    """Print a line, in plainer characters where the stream lacks those of the text, as a Windows console may."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    print(text)
