"""A wheel also brings the notebooks, the sheets, their solutions and the table of the course: `vae_course/notebooks/`.

All else about the package stands in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BROUGHT = ("course.toml", "[0-9]*.ipynb", "exercises/[0-9]*.ipynb", "solutions/[0-9]*.ipynb")


class WithNotebooks(build_py):
    """Copies the notebooks into the package that is built; an editable install uses those of the checkout."""

    def run(self) -> None:
        """Build the package, then copy: the folder anew, as an earlier build may have left others there."""
        super().run()
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, "vae_course", "notebooks"), ignore_errors=True)
            for source, goal in self.notebooks():
                self.mkpath(str(goal.parent))
                self.copy_file(str(source), str(goal))

    def notebooks(self) -> list[tuple[Path, Path]]:
        """Each file, and where it goes."""
        folder = Path("notebooks")
        found = [path for pattern in BROUGHT for path in sorted(folder.glob(pattern))]
        return [(path, Path(self.build_lib, "vae_course", path)) for path in found]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """The files that a build makes."""
        made = super().get_outputs(include_bytecode)
        return made if self.editable_mode else [*made, *(str(goal) for _, goal in self.notebooks())]

    def get_source_files(self) -> list[str]:
        """The files that an sdist needs."""
        return [*super().get_source_files(), *(str(source) for source, _ in self.notebooks())]


setup(cmdclass={"build_py": WithNotebooks})
