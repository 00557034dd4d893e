"""A notebook is run again when it changes, or a module that it imports, however far away."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from vae_course.course.quick import files_of, fingerprint, imported


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A notebook that imports a module that imports another."""
    package = tmp_path / "vae_course"
    (package / "room").mkdir(parents=True)
    for file, text in {
        "__init__.py": "",
        "room/__init__.py": "",
        "room/near.py": "from vae_course.room.far import value",
        "room/far.py": "value = 1",
        "room/other.py": "value = 2",
        "room/script.js": "1",
    }.items():
        (package / file).write_text(text)
    cell = nbformat.v4.new_code_cell("from vae_course.room.near import value")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "00_lecture.ipynb")
    return tmp_path


def test_imports_are_found_wherever_they_stand() -> None:
    code = "import torch\nif True:\n    from vae_course.data import images\nimport vae_course.progress"
    assert imported(code) == {"vae_course.data", "vae_course.data.images", "vae_course.progress"}


def test_the_files_of_a_module_are_those_of_all_that_it_imports(project: Path) -> None:
    files = {file.name for file in files_of({"vae_course.room.near"}, project)}
    assert files == {"near.py", "far.py", "script.js"}


@pytest.mark.parametrize(
    ("file", "moves"),
    [("room/far.py", True), ("room/near.py", True), ("room/script.js", True), ("room/other.py", False)],
)
def test_a_fingerprint_moves_with_what_matters(project: Path, file: str, moves: bool) -> None:
    notebook = project / "00_lecture.ipynb"
    before = fingerprint(notebook, project)
    path = project / "vae_course" / file
    path.write_text(path.read_text() + "\n# changed")
    assert (fingerprint(notebook, project) != before) is moves
