"""The notebooks' files: what is committed is what the sources give, and no claim is compared with nothing."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vae_course.course import build, desk, lab, readme
from vae_course.course.build import BEGIN, COMPARED, END, STUB, is_current
from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import CHECK, Kind, Target, exercises_of, targets

TARGETS = list(targets())
EXECUTED = [t for t in TARGETS if t.executed]
SHEETS = [t for t in TARGETS if t.kind is Kind.SHEET]
LEAST_CLAIMS = 8


def name(target: Target) -> str:
    return str(target.path.relative_to(ROOT))


@pytest.mark.parametrize("target", TARGETS, ids=name)
def test_a_committed_notebook_is_what_its_source_gives(target: Target) -> None:
    assert is_current(target), f"{target.path} differs from its source or is not executed: run make notebooks"


@pytest.mark.parametrize("target", EXECUTED, ids=name)
def test_every_claim_has_a_stored_output_to_be_compared_with(target: Target) -> None:
    cells = nbformat.read(target.path, as_version=4).cells
    claims = [c for c in cells if c.cell_type == "code" and any(call in c.source for call in ("claim(", "check("))]
    for cell in claims:
        assert COMPARED in cell.metadata.tags, cell.source
        assert cell.execution_count, cell.source
        printed = "".join(o.get("text", "") for o in cell.outputs).splitlines()
        assert printed, cell.source
        assert all(line.startswith("✓ ") for line in printed), cell.source  # measured figures stand in other cells
    if target.kind is Kind.LECTURE:
        assert sum(cell.source.count("claim(") for cell in claims) >= LEAST_CLAIMS


@pytest.mark.parametrize("target", EXECUTED, ids=name)
def test_an_executed_notebook_is_small_and_holds_no_error_and_no_dead_widget(target: Target) -> None:
    assert target.path.stat().st_size <= 1_000_000
    for cell in nbformat.read(target.path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert build.WIDGET not in output.get("data", {})
            text = output.get("data", {}).get("text/plain", "")
            assert " at 0x" not in text or text.startswith("Interactive("), text  # an address tells a reader nothing
            assert not (output.output_type == "stream" and output.name == "stderr"), output.text


@pytest.mark.parametrize("target", EXECUTED, ids=name)
def test_code_cells_are_short_and_figures_have_alternative_text(target: Target) -> None:
    cells = nbformat.read(target.path, as_version=4).cells
    for position, cell in enumerate(cells):
        if cell.cell_type == "code" and target.kind is Kind.LECTURE:
            assert len(cell.source.splitlines()) <= 24, cell.source
            shown = any("image/png" in output.get("data", {}) for output in cell.outputs)
            following = cells[position + 1].source if position + 1 < len(cells) else ""
            assert not shown or "*Figure: " in following, cell.source


@pytest.mark.parametrize("target", SHEETS, ids=name)
def test_a_sheet_shows_no_solution_and_every_exercise_has_a_check_and_hints(target: Target) -> None:
    notebook = nbformat.read(target.path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert BEGIN not in text
    assert END not in text
    checks = CHECK.findall(text)
    assert 3 <= len(checks) <= 6
    assert checks == exercises_of(target.source)
    for answer in checks:
        (cell,) = [c for c in notebook.cells if re.search(rf"^(def|class) {answer}\b", c.source, re.MULTILINE)]
        assert STUB in cell.source
    assert text.count("Hint 3") == len(checks)


def test_a_source_with_an_open_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end in its cell"):
        build.stubbed(f"def f():\n    {BEGIN}\n    return 1\n", Path("open.py"))


def test_a_stub_keeps_the_indentation_and_is_python() -> None:
    stub = build.stubbed(f"def f(x):\n    {BEGIN}\n    return x\n    {END}", Path("sheet.py"))
    assert stub == f"def f(x):\n    {STUB}"
    ast.parse(stub)


def test_the_tables_of_the_readme_are_those_of_the_course() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_tables(text) == text, "run make notebooks"


def test_the_minutes_in_the_table_are_those_measured() -> None:
    assert list(build.outgrown_lectures()) == []


def test_every_lecture_has_its_source_and_every_source_its_lecture() -> None:
    names = set(catalogue().lectures)
    assert {path.stem for path in (ROOT / "notebooks/source").glob("*.py")} == names
    assert {path.stem for path in (ROOT / "notebooks/source/exercises").glob("*.py")} <= names


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of the notebooks' folder, in which a student can work."""
    (tmp_path / "notebooks").mkdir()
    for path in ("course.toml", "conftest.py"):
        shutil.copy(ROOT / "notebooks" / path, tmp_path / "notebooks")
    for folder in ("source", "exercises"):
        shutil.copytree(ROOT / "notebooks" / folder, tmp_path / "notebooks" / folder)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.parametrize("number", [target.lecture.number for target in SHEETS])
def test_an_unsolved_sheet_reports_every_exercise_as_not_done(
    course: Path, number: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_COURSE_BUDGET", "0.01")  # the pictures of a sheet need not be good ones here
    missing = lab.check(number, course)
    file, *lines = capsys.readouterr().out.splitlines()
    assert file.startswith(f"my-sheets/{number}_")
    assert missing == len(lines) >= 3
    assert all(line.endswith(": not done yet") for line in lines)
    assert [line.split()[0] for line in lines] == [f"{number}.{i + 1}" for i in range(len(lines))]


def test_a_students_copy_is_never_overwritten(course: Path) -> None:
    desk.copy_sheets(course)
    mine = course / "notebooks" / "my-sheets" / "01_autoencoders.ipynb"
    mine.write_text("my work")
    desk.copy_sheets(course)
    assert mine.read_text() == "my work"


def test_a_copy_made_under_another_number_is_still_the_students_sheet(course: Path) -> None:
    mine = course / "notebooks" / "my-sheets"
    mine.mkdir()
    (mine / "99_autoencoders.ipynb").write_text("my work")
    desk.copy_sheets(course)
    assert not (mine / "01_autoencoders.ipynb").exists()
    assert desk.my_sheets(course)["autoencoders"] == [mine / "99_autoencoders.ipynb"]


def test_a_claim_that_prints_something_else_than_is_stored_fails(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("print('✓ one')", metadata={"tags": [COMPARED]}, execution_count=1)
    for stored, outcome in (("✓ one\n", "1 passed"), ("✓ two\n", "1 failed")):
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored)]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "claim.ipynb")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "claim.ipynb"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert outcome in ran.stdout


def test_a_lecture_stops_at_its_first_failing_cell_and_says_why(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(s) for s in ("x = 1", "raise ValueError('the reason')", "print(x)")]
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "09_broken.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-rs", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 1 passed, 1 skipped" in ran.stdout
    assert "an earlier cell of 09_broken.ipynb failed: ValueError: the reason" in ran.stdout
