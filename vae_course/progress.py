"""Progress bars for what takes longer than two seconds, silent while a notebook is being checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def being_checked() -> bool:
    """Whether nbval or the builder runs this notebook, so that progress bars and the like keep silent."""
    return os.environ.get("VAE_COURSE_CHECKING", "") == "1"


def progress(over: Iterable[T], unit: str, name: str | None = None) -> tqdm[T]:
    """A bar over an iterable; it appears after a second, shows the time left, and leaves nothing."""
    return tqdm(over, desc=name, unit=unit, delay=1, leave=False, disable=being_checked())


def bar(total: int | None, unit: str, name: str | None = None) -> tqdm[int]:
    """A bar of `total` steps, if their number is known, that its `update()` moves: once a step."""
    return tqdm(range(0), desc=name, unit=unit, total=total, delay=1, leave=False, disable=being_checked())
