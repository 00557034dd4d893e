"""Batches by index from tensors that are in memory already, on whatever device they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_course.refusals import refuse_no_tensor

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batches:
    """Shuffled batches of tensors that share their first axis; one pass over it is an epoch.

    The last batch is smaller where `size` does not divide the number of examples: none is dropped.
    `augment(first, generator)` is applied to the first tensor of each batch, drawn anew every time.
    `seed=None` takes a seed from torch's global generator; the order then depends on nothing else.

    Raises TypeError for what is no tensor, ValueError for none, tensors of different lengths, no examples, or size < 1.
    """

    def __init__(self, *tensors: Tensor, size: int, seed: int | None = None, augment: Augment | None = None) -> None:
        for tensor in tensors:
            refuse_no_tensor("Batches", tensor)
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise ValueError(f"Batches needs tensors of one common length; it was given lengths {sorted(lengths)}.")
        if lengths == {0}:
            raise ValueError("Batches was given tensors without a single example.")
        if size < 1:
            raise ValueError(f"Batches was given the size {size}; it must be at least 1.")
        self.tensors, self.size, self.augment = tensors, size, augment
        self.generator = torch.Generator(tensors[0].device)
        self.generator.manual_seed(int(torch.randint(2**31, ())) if seed is None else seed)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self.tensors[0]) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        first = self.tensors[0]
        order = torch.randperm(len(first), generator=self.generator, device=first.device)
        for index in order.split(self.size):
            batch = [tensor[index] for tensor in self.tensors]
            if self.augment is not None:
                batch[0] = self.augment(batch[0], self.generator)
            yield tuple(batch)
