"""What all sets of data share: tensors with one row for each example, cut and moved together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class ExampleSet:
    """A name, which figures carry, and tensors whose first axis counts the examples. Subclasses add the tensors."""

    name: str

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by the names of their fields, in their order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    def __getitem__(self, index: Tensor | slice) -> Self:
        return self._changed(lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> Self:
        """The same set on another device."""
        return self._changed(lambda tensor: tensor.to(device))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        made: dict[str, Any] = {name: change(tensor) for name, tensor in self.tensors().items()}
        return replace(self, **made)


S = TypeVar("S", bound=ExampleSet)


class Split(NamedTuple, Generic[S]):
    """A set to train on and one that training never sees."""

    train: S
    held_out: S
