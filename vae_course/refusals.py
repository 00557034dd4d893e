"""What bounds, networks and measures refuse: no tensor, no examples, numbers that are not finite, sets of unequal length."""

from __future__ import annotations

from torch import Tensor


def refuse_no_tensor(asked: str, x: object) -> None:
    """Raise TypeError, with the name of what was asked, unless x is a tensor."""
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        raise TypeError(
            f"{asked} was given a {kind}; it needs a tensor: convert it by torch.as_tensor(x, dtype=torch.float32)."
        )


def refuse_no_examples(asked: str, x: Tensor) -> None:
    """Raise ValueError, with the name of what was asked, if x has no examples; TypeError unless it is a tensor."""
    refuse_no_tensor(asked, x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(
            f"{asked} was given no examples: x is {list(x.shape)}; give [batch, *event], with one at least."
        )


def refuse_unusable(measure: str, **given: Tensor) -> None:
    """Raise ValueError, with the measure's name, unless all have one length along the first axis, are not empty, and finite."""
    for x in given.values():
        refuse_no_tensor(measure, x)
    if len({len(x) for x in given.values()}) > 1:
        lengths = " and ".join(f"{name} {list(x.shape)}" for name, x in given.items())
        raise ValueError(f"{measure} was given {lengths}: it needs a row of each for every example.")
    for name, x in given.items():
        if x.numel() == 0:
            raise ValueError(f"{measure} was given {name} {list(x.shape)}: give one example at least.")
        lost = (~x.isfinite()).flatten(1).any(1) if x.ndim > 1 else ~x.isfinite()
        if bool(lost.any()):
            raise ValueError(
                f"{measure} was given {name} with NaN or infinite numbers in {int(lost.sum())} of {len(x)} examples (the first "
                f"is {int(lost.nonzero()[0, 0])}): find out where they come from, or leave these examples out."
            )
