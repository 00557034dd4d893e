"""A trained model on disk beside a page that says where it comes from: data, seed, versions, command, checksum."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import torch
from torch import nn

from vae_course import __version__
from vae_course.training.store import checksum, load, save

Value = str | int | float


def keep_model(module: nn.Module, path: str | Path, data: str, **about: Value) -> Path:
    """Write NAME.safetensors and NAME.json beside it, and return the path of the page.

    path: NAME, with or without an ending. data: the fingerprint of what was trained on (`vae_course.data.own.fingerprint`).
    about: whatever else belongs to the story, such as the seed and the held-out bound.
    Raises FileExistsError where one of the two is there already: nothing is overwritten.
    """
    weights, page = _pair(path)
    for file in (weights, page):
        if file.exists():
            raise FileExistsError(f"{file} is there already: choose another name, as nothing is overwritten.")
    versions = {"python": platform.python_version(), "torch": str(torch.__version__), "vae_course": __version__}
    story = {"data": data, "versions": versions, "command": " ".join(sys.argv), **about}
    story["sha256"] = save(module, weights, data=data)
    page.write_text(json.dumps(story, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return page


def take_model(module: nn.Module, path: str | Path, data: str | None = None) -> dict[str, object]:
    """Read the weights that `keep_model` wrote into a module built alike, and return what the page says.

    data: the fingerprint of the data at hand, where it must be that of the data trained on.
    Raises FileNotFoundError where one of the two files is missing; ValueError where the weights are not those of the page, or the
    data are others, and as `vae_course.training.store.load`. The module stays as it was then.
    """
    weights, page = _pair(path)
    if not page.is_file():
        raise FileNotFoundError(f"There is no {page}: without it nobody knows what {weights.name} was trained on.")
    story: dict[str, object] = json.loads(page.read_text(encoding="utf-8"))
    if weights.is_file() and checksum(weights) != story["sha256"]:
        raise ValueError(
            f"{weights} is not the file that {page.name} tells of (its SHA-256 differs): find the right one."
        )
    if data is not None and data != story["data"]:
        raise ValueError(
            f"{weights.name} was trained on other data than these (their fingerprints differ): see {page}."
        )
    load(module, weights)
    return story


def _pair(path: str | Path) -> tuple[Path, Path]:
    path = Path(path)
    return path.with_suffix(".safetensors"), path.with_suffix(".json")
