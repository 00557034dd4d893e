"""The notebooks' files: what is committed is what the sources give, and no claim is compared with nothing."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vae_course import notebooks
from vae_course.exercises import report
from vae_course.notebooks import BEGIN, COMPARED, END, ROOT, STUB, Target, from_source, is_current, targets

TARGETS = list(targets())
EXECUTED = [t for t in TARGETS if t.executed]
SHEETS = [t for t in TARGETS if not t.executed]
LEAST_CLAIMS = {
    "00_start_here": 8,
    "01_autoencoders": 8,
    "02_autoencoders_at_work": 40,
    "03_latent_variable_models": 20,
    "04_variational_inference": 20,
    "05_elbo": 25,
    "06_reparameterization": 25,
    "07_variational_autoencoder": 10,
    "08_likelihoods_and_evaluation": 25,
    "09_convolutional_vae": 25,
    "10_beta_vae": 25,
    "11_conditional_vae": 20,
    "12_discrete_vae": 20,
    "13_vq_vae": 20,
}


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
    stated = sum(cell.source.count("claim(") for cell in claims)
    assert stated >= LEAST_CLAIMS.get(target.path.stem, 0) or target.path.parent.name == "solutions"


@pytest.mark.parametrize("target", EXECUTED, ids=name)
def test_an_executed_notebook_is_small_and_holds_no_error_and_no_dead_widget(target: Target) -> None:
    assert target.path.stat().st_size <= 1_000_000
    for cell in nbformat.read(target.path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert notebooks.WIDGET not in output.get("data", {})
            assert not (output.output_type == "stream" and output.name == "stderr"), output.text


@pytest.mark.parametrize("target", EXECUTED, ids=name)
def test_code_cells_are_short_and_figures_have_alternative_text(target: Target) -> None:
    cells = nbformat.read(target.path, as_version=4).cells
    for position, cell in enumerate(cells):
        if cell.cell_type == "code" and target.path.parent.name == "notebooks":
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
    checks = report.CHECK.findall(text)
    assert (3 if target.path.stem.startswith("00") else 4) <= len(checks) <= 6
    assert text.count(STUB) == len(checks)
    assert text.count("Hint 3") == len(checks)


def test_a_source_with_an_open_solution_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "open.py"
    source.write_text(f"# %%\ndef f():\n    {BEGIN}\n    return 1\n")
    with pytest.raises(ValueError, match="does not end in its cell"):
        from_source(Target(source, tmp_path / "open.ipynb", solved=False, executed=False))


def test_a_stub_keeps_the_indentation_and_is_python() -> None:
    stub = notebooks.stubbed(f"def f(x):\n    {BEGIN}\n    return x\n    {END}", Path("sheet.py"))
    assert stub == f"def f(x):\n    {STUB}"
    ast.parse(stub)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of the notebooks' folder, in which a student can work."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("my-sheets", "0*.ipynb"))
    for sheet in (ROOT / "notebooks" / "exercises").glob("*.ipynb"):
        (tmp_path / "notebooks" / "exercises").mkdir(exist_ok=True)
        shutil.copy(sheet, tmp_path / "notebooks" / "exercises")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.parametrize("number", ["00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13"])
def test_an_unsolved_sheet_reports_every_exercise_as_not_done(
    course: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = notebooks.check(number, course)
    lines = capsys.readouterr().out.splitlines()
    assert missing == len(lines) >= 3
    assert all(line.endswith(": not done yet") for line in lines)
    assert [line.split()[0] for line in lines] == [f"{number}.{i + 1}" for i in range(len(lines))]


def test_a_solved_exercise_a_mistake_and_an_exception_each_get_their_line(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebooks.copy_sheets(course)
    sheet = course / "notebooks" / "my-sheets" / "07_variational_autoencoder.ipynb"
    notebook = nbformat.read(sheet, as_version=4)
    answers = {
        "def reparameterize": "return mean + log_std.exp() * noise",
        "def kl_to_standard_normal": "return (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).mean(-1)",
        "def importance_weighted_bound": "return log_weights.logsumexp(0) - undefined",
    }
    notebook.cells = [c for c in notebook.cells if c.cell_type == "code"]
    for cell in notebook.cells:
        for start, answer in answers.items():
            if cell.source.startswith(start):
                cell.source = cell.source.replace(STUB, answer)
    keep = ("from math", "def ", "check(")
    notebook.cells = [c for c in notebook.cells if c.source.startswith(keep)]  # without the pictures, for speed
    nbformat.write(notebook, sheet)
    assert notebooks.check("07", course) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "07.1 reparameterize: passed"
    assert "you averaged over the latents" in lines[1]
    assert lines[2].endswith("not done yet")
    assert "raised NameError" in lines[4]


def test_a_students_copy_is_never_overwritten(course: Path) -> None:
    notebooks.copy_sheets(course)
    mine = course / "notebooks" / "my-sheets" / "01_autoencoders.ipynb"
    mine.write_text("my work")
    notebooks.copy_sheets(course)
    assert mine.read_text() == "my work"


def test_an_unknown_number_is_told_the_known_ones() -> None:
    with pytest.raises(
        SystemExit, match=r"no lecture '99': choose one of 00, 01, 02, 03, 04, 05, 06, 07, 08, 09, 10, 11, 12, 13"
    ):
        notebooks.check("99")


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
