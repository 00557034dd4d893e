"""Whether distributions check what they are given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributions import Distribution


@contextmanager
def validation(on: bool) -> Iterator[None]:
    """Let distributions validate what they are given, or not, inside a `with` block."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(on)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
