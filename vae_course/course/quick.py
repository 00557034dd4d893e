"""Which notebooks have to be run again: those that changed themselves, or whose imported modules did, since they passed."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat

from vae_course.course.catalogue import ROOT
from vae_course.course.sources import targets
from vae_course.output import say

PASSED = ".venv/passed.json"
NBVAL = (
    "-m",
    "pytest",
    "--nbval-lax",
    "--nbval-current-env",
    "--nbval-cell-timeout",
    "300",
    "-n",
    "2",
    "--dist",
    "loadscope",
)


def imported(code: str) -> set[str]:
    """The modules of the package that some code imports: `vae_course.data.images`, …"""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vae_course":
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "vae_course"}
    return found


def files_of(modules: Iterable[str], root: Path = ROOT) -> set[Path]:
    """The files that these modules, and what they import, are made of; whole folders where data lie beside them."""
    wanted, files = list(modules), set[Path]()
    while wanted:
        path = root / Path(*wanted.pop().split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file() and file not in files:
                files.add(file)
                files |= {
                    beside for beside in file.parent.iterdir() if beside.suffix in (".js", ".json", ".safetensors")
                }
                wanted += imported(file.read_text(encoding="utf-8"))
    return files


def fingerprint(notebook: Path, root: Path = ROOT) -> str:
    """What a notebook's run depends on, as a checksum."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    digest = hashlib.sha256(notebook.read_bytes())
    for file in sorted(files_of(imported(code), root)):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def run_changed(root: Path = ROOT) -> int:
    """Run the changed notebooks through nbval; note those that pass; return the exit status."""
    store = root / PASSED
    known: dict[str, str] = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    now = {t.path.relative_to(root).as_posix(): fingerprint(t.path, root) for t in targets(root) if t.executed}
    changed = [path for path, mark in now.items() if known.get(path) != mark]
    say(
        f"{len(changed)} of {len(now)} notebooks changed, or what they import: {', '.join(changed) or 'none'}",
    )
    if not changed:
        return 0
    ran = subprocess.run([sys.executable, *NBVAL, *changed], cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ran.returncode == 0:
        store.write_text(json.dumps(now, indent=1), encoding="utf-8")
    return ran.returncode
