"""What a study measured, in a small file beside it: the figures, the command, the data, the versions, the time it took."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vae_course import __version__

FOLDER = Path(__file__).parent


def write(name: str, figures: Mapping[str, object], made_by: Mapping[str, object], folder: Path = FOLDER) -> Path:
    """Write `NAME.json`: the figures, and how they were made with the versions used. It appears whole or not at all."""
    versions = {"vae_course": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
    how = {**made_by, "versions": versions, "threads": torch.get_num_threads()}
    path = folder / f"{name}.json"
    unfinished = path.with_suffix(".part")
    try:
        text = json.dumps({"made_by": how, "figures": dict(figures)}, indent=1, ensure_ascii=False)
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def stored(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The figures of a study. Raises FileNotFoundError for one that has not been run."""
    return _read(name, folder)["figures"]  # type: ignore[no-any-return]


def provenance(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """How the figures were made: command, data, versions, seconds. Raises as `stored`."""
    return _read(name, folder)["made_by"]  # type: ignore[no-any-return]


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json"))) or "none"
        raise FileNotFoundError(f"There is no result of a study {name!r} in {folder}; there is {known}.")
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read
