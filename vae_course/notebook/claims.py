"""Claims: sentences with a quantity in them, which the notebook checks before it prints them."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_course.notebook.interruptions import unfinished
from vae_course.output import say


class ClaimError(AssertionError):
    """A claim of a notebook does not hold; the message shows the sentence and the numbers."""


def claim(sentence: str, holds: bool | Tensor, **shown: object) -> None:
    """Print `✓ sentence` if it holds; else raise ClaimError with the sentence and the numbers in `shown`.

    The sentence names no measured figure, so that the printed line is the same on every machine and at every
    scale; the figures come in as keywords and appear only in the error.
    Raises TypeError unless `holds` is a single truth value.
    """
    if isinstance(holds, Tensor):
        if holds.numel() != 1 or holds.dtype != torch.bool:
            raise TypeError(
                f"claim was given a tensor {list(holds.shape)} {holds.dtype}; reduce it with .all() or .any()."
            )
        holds = bool(holds)
    elif not isinstance(holds, bool):
        if type(holds).__name__ not in ("bool", "bool_"):  # NumPy's truth values are not Python's
            raise TypeError(f"claim was given {holds!r}; it needs one truth value, such as a comparison.")
        holds = bool(holds)
    why = unfinished()
    if not holds:
        numbers = "; ".join(f"{name} = {readable(value)}" for name, value in shown.items())
        told = f" ({numbers})" if numbers else ""
        raise ClaimError(f"does not hold: {sentence}{told}" + (f"; but {why}" if why else ""))
    say(f"✓ {sentence}" + (f" (but {why})" if why else ""))


def readable(value: object) -> str:
    """A number or a few, with five digits."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().tolist() if value.numel() <= 12 else f"tensor {list(value.shape)}"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(readable, value)) + "]"
    return str(value)
