"""Words for messages: shapes, arguments, articles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def describe_all(names: Sequence[str], arguments: Sequence[Any]) -> str:
    """The arguments by name, with their shapes, for a message."""
    return ", ".join(f"{name} {describe(a)}" for name, a in zip(names, arguments, strict=True))


def describe(argument: Any) -> str:
    """One argument, for a message."""
    if isinstance(argument, Tensor) and argument.ndim and argument.dtype == torch.int64 and argument.numel() <= 6:
        return f"= {argument.tolist()}"
    if isinstance(argument, Tensor):
        return shape_of(argument) if argument.ndim else f"{float(argument.detach()):.4g}"
    return repr(argument) if isinstance(argument, int | float | str) else a_or_an(type(argument).__name__)


def shape_of(tensor: Tensor) -> str:
    """The shape in brackets, or a word where there is none."""
    return str(list(tensor.shape)) if tensor.ndim else "without axes"


def is_(name: str) -> str:
    """The verb for one result or for several."""
    return "are" if name.endswith("s") and not name.startswith("number of") else "is"


def has(name: str) -> str:
    """The verb for one result or for several."""
    return "have" if name.endswith("s") and not name.startswith("number of") else "has"


def a_or_an(noun: str) -> str:
    """The noun with its article; an abbreviation is read letter by letter."""
    vowel = noun[:1] in "AEFHILMNORSX" if noun.isupper() else noun[:1] in "aeioAEIO" or noun == "ndarray"
    return f"{'an' if vowel else 'a'} {noun}"
