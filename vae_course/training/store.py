"""Weights on disk: safetensors that say how they were made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vae_course import __version__


def save(module: nn.Module, path: str | Path, **made_by: str | int | float) -> str:
    """Write the weights as safetensors, with how they were made (`made_by`) and the versions used.

    Returns the file's SHA-256. The file appears whole or not at all.
    """
    path = Path(path)
    how = {"vae_course": __version__, "torch": str(torch.__version__), **made_by}
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file(state, unfinished, metadata={"made_by": json.dumps(how, sort_keys=True)})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return checksum(path)


def load(module: nn.Module, path: str | Path, sha256: str | None = None) -> dict[str, str | int | float]:
    """Read weights that `save` wrote into `module`, all or none, and return how they were made.

    Raises FileNotFoundError, or ValueError for a file with another checksum than `sha256`, one that is damaged or
    not of this kind, and one whose names, shapes or number types differ from the module's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}: train the model, or check the path.")
    if sha256 is not None and checksum(path) != sha256:
        raise ValueError(
            f"The checkpoint {path} is not the one expected (its SHA-256 differs): fetch or make it again."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        made_by: dict[str, str | int | float] = json.loads(metadata["made_by"])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of this course, or it is damaged ({type(error).__name__}): make it again."
        ) from None
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        found, expected = (describe(tensors.get(name)) for tensors in (state, own))
        if found != expected:
            raise ValueError(
                f"The checkpoint {path} does not fit this model: {name} is {found} in the file and {expected} in the "
                "model; build the model as the checkpoint's was built."
            )
    module.load_state_dict(state)
    return made_by


MANIFEST = "manifest.json"


def manifest(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights that a folder should hold, by its name. Raises FileNotFoundError without one."""
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: the command that makes the weights writes it.")
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return known


def write_manifest(folder: Path, made: Mapping[str, str]) -> None:
    """Note the checksums of files just made beside those of the others."""
    path = folder / MANIFEST
    known = manifest(folder) if path.is_file() else {}
    path.write_text(json.dumps({**known, **made}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def describe(tensor: Tensor | None) -> str:
    """A tensor's shape and number type in words."""
    return "absent" if tensor is None else f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
