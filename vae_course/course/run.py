"""Execute one lecture and the solution of its sheet: in a checkout they are made and stored, elsewhere nothing is written."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import nbformat

from vae_course.course import build, readme
from vae_course.course.catalogue import ROOT, Lecture, catalogue, has_sources
from vae_course.course.sources import Kind, Notebook, targets
from vae_course.output import say


def run(said: str, root: Path = ROOT) -> None:
    """Execute a lecture, by its number or name, and its sheet's solution. Raises SystemExit at the first cell that fails."""
    lecture = catalogue(root).find(said)
    if has_sources(root) and find_spec("jupytext"):
        for target in targets(root):
            if target.lecture == lecture:
                build.make(target, root, again=True)
        readme.write(root)
    else:
        run_aside(lecture, root)


def run_aside(lecture: Lecture, root: Path = ROOT) -> None:
    """Execute copies of the stored notebooks in an empty folder; say how long each took and how many lines held."""
    stored = [root / "notebooks" / kind.value / f"{lecture.stem}.ipynb" for kind in (Kind.LECTURE, Kind.SOLUTION)]
    if not stored[0].is_file():
        sys.exit(f"There is no {stored[0]}.")
    for path in filter(Path.is_file, stored):
        notebook, began = nbformat.read(path, as_version=4), time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="vae-course-run-") as folder:
            build.execute(notebook, Path(folder) / path.name)
        say(
            f"{path.relative_to(root)}: {time.perf_counter() - began:.0f} s, {checked(notebook)} claims and checks hold"
        )


def checked(notebook: Notebook) -> int:
    """How many claims and checks an executed notebook has printed."""
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    return len(re.findall(r"^✓ ", printed, re.MULTILINE))
