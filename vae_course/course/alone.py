"""What stands under the title of a notebook that may be opened alone: how to get the package, and where known, a cell that does it.

`repository` in the table of the course says where it is published. Without it there is a line of text, no code and no badge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import Notebook, Target

BY_HAND = (
    "*Opened alone, this notebook needs the package of the course, `vae_course`: `pip install` the folder of the course, or "
    "its wheel, and restart the kernel.*"
)
BY_CELL = (
    "*Opened alone, this notebook needs the package of the course: the next cell installs it where it is missing.*"
)
INSTALL = """import subprocess
import sys
from importlib.util import find_spec

if find_spec("vae_course") is None:
    package = "vae-course @ git+{repository}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", package], check=True)"""
COLAB = "https://colab.research.google.com"


def cells_for_alone(target: Target, root: Path = ROOT) -> Iterator[Notebook]:
    """The cells that follow the title."""
    repository = catalogue(root).repository
    if not repository:
        yield nbformat.v4.new_markdown_cell(BY_HAND)
        return
    yield nbformat.v4.new_markdown_cell("\n\n".join(filter(None, (badge(repository, target.path, root), BY_CELL))))
    yield nbformat.v4.new_code_cell(INSTALL.format(repository=repository))


def badge(repository: str, path: Path, root: Path) -> str:
    """A picture that opens a notebook in Colab, which knows GitHub's repositories only; nothing for others."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", repository)
    if not found:
        return ""
    link = f"{COLAB}/github/{found.group(1)}/blob/main/{path.relative_to(root).as_posix()}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({link})"
