"""A training that can be stopped and taken up again: everything that moves, in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

Part = nn.Module | Optimizer | torch.Generator


def keep(path: Path, parts: Mapping[str, Part], rows: list[dict[str, float]], about: Mapping[str, object]) -> None:
    """Write weights, optimizer states and generators, the rows recorded so far, and what the training is (`about`).

    The file appears whole or not at all. The options of an optimizer, such as its rate, are the program's to set.
    """
    tensors = {f"{name}/{key}": tensor for name, part in parts.items() for key, tensor in _tensors(part).items()}
    notes = {"rows": json.dumps(rows), "about": json.dumps(dict(about), sort_keys=True)}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file({key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}, unfinished, notes)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def take_up(path: Path, parts: Mapping[str, Part], about: Mapping[str, object]) -> list[dict[str, float]]:
    """Set all parts as `keep` found them and return the rows recorded; the empty list where there is no file.

    Raises ValueError for a file that is damaged, of another training (`about` differs), or that does not fit the parts.
    """
    if not path.is_file():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        rows: list[dict[str, float]] = json.loads(notes["rows"])
        other = json.loads(notes["about"])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(
            f"{path} is no snapshot, or damaged ({type(error).__name__}): delete it to start anew."
        ) from None
    own = json.loads(json.dumps(dict(about)))
    if other != own:
        differ = ", ".join(sorted(key for key in own.keys() | other.keys() if own.get(key) != other.get(key)))
        raise ValueError(f"{path} is the snapshot of another training ({differ} differ): name another folder.")
    for name, part in parts.items():
        mine = {key.removeprefix(f"{name}/"): t for key, t in tensors.items() if key.startswith(f"{name}/")}
        try:
            _set(part, mine)
        except (RuntimeError, KeyError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"The snapshot {path} does not fit {name} ({why}): name another folder.") from None
    return rows


def _tensors(part: Part) -> dict[str, Tensor]:
    """What of a part moves, by name."""
    if isinstance(part, nn.Module):
        return part.state_dict()
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}
    state: dict[int, dict[str, Any]] = part.state_dict()["state"]
    return {f"{i}/{key}": torch.as_tensor(value) for i, of_one in state.items() for key, value in of_one.items()}


def _set(part: Part, tensors: Mapping[str, Tensor]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(tensors)
    elif isinstance(part, torch.Generator):
        part.set_state(tensors["state"])
    else:
        whole = part.state_dict()
        whole["state"] = {}
        for key, tensor in tensors.items():
            number, _, entry = key.partition("/")
            whole["state"].setdefault(int(number), {})[entry] = tensor
        part.load_state_dict(whole)
