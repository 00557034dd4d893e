"""Draws that are the same at every call and leave the generator of everybody else as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Inside a `with` block the processor's generator starts from `seed`; afterwards it goes on from where it was.

    Not `torch.manual_seed`, which would reseed the accelerators for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
