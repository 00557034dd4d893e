"""Where a worker works: the student's folder, or a scratch copy of what it needs of it, removed afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from vae_course.grading.limits import MB

LARGEST, MOST = 5 * MB, 20 * MB  # bytes of one file beside a notebook, and of all that are copied


class Scratch:
    """A temporary folder with a copy of a notebook and of the small files beside it, where a worker works.

    Copied are regular files of the same folder, up to 5 MB each and 20 MB in all; no other notebooks, links or sub-folders.
    copied: False leaves the worker in the notebook's own folder; only what is temporary is written here.
    """

    def __init__(self, notebook: Path, copied: bool) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="vae-course-")).resolve()
        self.temporary = self.root / "tmp"
        self.temporary.mkdir()
        self.work = self.root / "work" if copied else notebook.parent
        if copied:
            self.work.mkdir()
            for path in beside(notebook):
                shutil.copyfile(path, self.work / path.name)

    def remove(self) -> None:
        """Remove it, whatever was made of it."""
        if os.name == "posix":  # by commands that follow no link and find an end to any depth
            for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                subprocess.run([*command, str(self.root)], stderr=subprocess.DEVNULL, check=False)
        else:
            shutil.rmtree(self.root, ignore_errors=True)


def beside(notebook: Path) -> list[Path]:
    """The files that go with a notebook into a scratch copy, itself first."""
    others = [
        path
        for path in sorted(notebook.parent.iterdir())
        if path.suffix != ".ipynb" and path.is_file() and not path.is_symlink()
    ]
    found, room = [], float(MOST)
    for path in [notebook, *others]:
        taken = path.stat().st_size
        if taken <= min(LARGEST, room):
            found.append(path)
            room -= taken
    return found
