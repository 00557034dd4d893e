"""What `make check` says of notebooks that are right, wrong, forged, endless or damaged."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import torch

from vae_course.course import lab
from vae_course.exercises.exercise import STUB_MESSAGE
from vae_course.grading.limits import Limits
from vae_course.grading.sheets import CHECK, asked, code_cells, defined_in, sheet_of
from vae_course.grading.wire import WireError, receive, send

ROOT = Path(__file__).parents[1]
NAME = "variational_autoencoder"
(BLANK,) = (ROOT / "notebooks/exercises").glob(f"*_{NAME}.ipynb")
NUMBER = BLANK.name[:2]
HEAVY = (
    "vae_course.data",
    "vae_course.notebook",
    "vae_course.training",
    "vae_course.models",
    "start(",
    "digits(",
    "held_out",
)
STUB = f'raise NotImplementedError("{STUB_MESSAGE}")'
RIGHT = {
    "reparameterize": "return mean + log_std.exp() * noise",
    "kl_to_standard_normal": "return (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)",
}

Write = Callable[[dict[str, str], Callable[[list[str]], list[str]]], Path]


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one sheet, in which a student can work; it loads no digits, so that a worker starts sooner."""
    for folder in ("exercises", "my-sheets", "source"):
        (tmp_path / "notebooks" / folder).mkdir(parents=True)
    shutil.copy(ROOT / "notebooks/course.toml", tmp_path / "notebooks")
    sheet = nbformat.read(BLANK, as_version=4)
    first = next(cell for cell in sheet.cells if cell.cell_type == "code")
    first.source = "\n".join(line for line in first.source.splitlines() if not any(heavy in line for heavy in HEAVY))
    nbformat.write(sheet, tmp_path / "notebooks/exercises" / BLANK.name)
    for source in (ROOT / "notebooks/source").glob("*.py"):
        (tmp_path / "notebooks/source" / source.name).touch()
    return tmp_path


def hand_in(
    course: Path,
    answers: dict[str, str],
    change: Callable[[list[str]], list[str]] = lambda cells: cells,
    name: str = BLANK.name,
) -> Path:
    """Write a student's notebook: bodies of answers by name, and a change of the list of cells."""
    cells = code_cells(course / "notebooks/exercises" / BLANK.name)
    for answer, body in answers.items():
        (at,) = [i for i, cell in enumerate(cells) if cell.startswith(f"def {answer}(")]
        cells[at] = cells[at].replace(STUB, body)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in change(cells)]
    path = course / "notebooks/my-sheets" / name
    nbformat.write(notebook, path)
    return path


def said(course: Path, capsys: pytest.CaptureFixture[str], seconds: float = 60.0) -> tuple[int, list[str]]:
    """How many exercises are not passed, and what is printed."""
    missing = lab.check(NAME, course, Limits(seconds=seconds))
    return missing, capsys.readouterr().out.splitlines()


EXERCISES = [exercise.answer for exercise in asked(NAME, BLANK)]


def test_right_wrong_and_failing_answers_each_get_their_line(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    averaged = RIGHT["kl_to_standard_normal"].replace(".sum(-1)", ".mean(-1)")
    hand_in(course, {**RIGHT, "kl_to_standard_normal": averaged, "elbo_from_samples": "return undefined"})
    missing, (file, *lines) = said(course, capsys)
    assert file == f"my-sheets/{BLANK.name}"
    assert [line.split(":")[0] for line in lines] == [f"{NUMBER}.{i} {name}" for i, name in enumerate(EXERCISES, 1)]
    by_name = dict(zip(EXERCISES, (line.partition(": ")[2] for line in lines), strict=True))
    assert by_name["reparameterize"] == "passed"
    assert "you averaged over the latents" in by_name["kl_to_standard_normal"]
    assert "NameError: name 'undefined' is not defined" in by_name["elbo_from_samples"]
    assert missing == len(EXERCISES) - 1


@pytest.mark.parametrize("body", ["while True: pass", "import os; os._exit(1)"])
def test_an_answer_that_does_not_end_or_kills_the_kernel_costs_only_its_own_line(
    course: Path, capsys: pytest.CaptureFixture[str], body: str
) -> None:
    hand_in(course, {"reparameterize": body, "kl_to_standard_normal": RIGHT["kl_to_standard_normal"]})
    _, lines = said(course, capsys, seconds=8.0)
    ended = "did not end within 8 s" if "while" in body else "died: its process ended with status 1"
    assert lines[1] == f"{NUMBER}.1 reparameterize: {ended}"
    assert lines[2] == f"{NUMBER}.2 kl_to_standard_normal: passed"
    assert len(lines) == 1 + len(EXERCISES)


def test_a_cell_that_does_not_end_costs_what_it_defines(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def loop(cells: list[str]) -> list[str]:
        return [cell + "\nwhile True:\n    pass" if cell.startswith("def reparameterize") else cell for cell in cells]

    hand_in(course, RIGHT, loop)
    _, lines = said(course, capsys, seconds=8.0)
    assert lines[1] == f"{NUMBER}.1 reparameterize: its cell: did not end within 8 s"
    assert lines[2] == f"{NUMBER}.2 kl_to_standard_normal: passed"


def test_a_syntax_error_is_named_as_such(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand_in(course, {**RIGHT, "reparameterize": "return mean + (log_std.exp() * noise"})
    _, lines = said(course, capsys)
    assert lines[1].startswith(f"{NUMBER}.1 reparameterize: its cell has a syntax error, line 2: ")
    assert lines[2] == f"{NUMBER}.2 kl_to_standard_normal: passed"


def test_a_deleted_or_doubled_check_moves_no_number(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(cells: list[str]) -> list[str]:
        kept = [cell for cell in cells if not cell.startswith("check(sheet.reparameterize")]
        return [copy for cell in kept for copy in [cell] * (2 if cell.startswith("check(sheet.kl_") else 1)]

    hand_in(course, RIGHT, change)
    missing, lines = said(course, capsys)
    assert lines[1] == f"{NUMBER}.1 reparameterize: its check cell is missing (of the function itself: passed)"
    assert lines[2] == f"{NUMBER}.2 kl_to_standard_normal: passed"
    assert missing == len(EXERCISES) - 1
    assert len(lines) == 1 + len(EXERCISES)


FORGERIES = [
    "def check(exercise, answer):\n    print('✓')",
    "from vae_course.exercises import engine, run\nengine.judge = lambda *a: None\nrun.same = lambda *a: True",
    "import vae_course.grading.worker as worker\nworker.look = lambda *a: None",
    "import sys\nfor name in list(sys.modules):\n    if name.startswith('vae_course'): del sys.modules[name]",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_check_convinces_nobody(course: Path, capsys: pytest.CaptureFixture[str], forgery: str) -> None:
    hand_in(course, {"reparameterize": "return noise"}, lambda cells: [cells[0], forgery, *cells[1:]])
    missing, lines = said(course, capsys)
    assert missing == len(EXERCISES)
    assert not lines[1].endswith("passed")


def test_a_deleted_answer_is_not_found(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand_in(course, RIGHT, lambda cells: [cell for cell in cells if not cell.startswith("def reparameterize")])
    _, lines = said(course, capsys)
    assert lines[1] == f"{NUMBER}.1 reparameterize: not found in the notebook"


def test_an_answer_may_use_what_a_demonstration_defines(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(cells: list[str]) -> list[str]:
        return [*cells[:1], "one = 1.0", *cells[1:]]

    hand_in(course, {"reparameterize": "return mean + one * log_std.exp() * noise"}, change)
    assert said(course, capsys)[1][1] == f"{NUMBER}.1 reparameterize: passed"


@pytest.mark.parametrize("minor", [0, 2, 4, 5])
def test_notebooks_of_other_programs_are_read(course: Path, capsys: pytest.CaptureFixture[str], minor: int) -> None:
    path = hand_in(course, RIGHT)
    notebook = json.loads(path.read_text())
    notebook |= {"nbformat_minor": minor, "metadata": {"colab": {"provenance": []}, "accelerator": "GPU"}}
    for cell in notebook["cells"]:
        cell["metadata"] = {"id": "aB3", "colab": {"base_uri": "https://localhost"}}
        if minor < 5:
            del cell["id"]
    path.write_text(json.dumps(notebook))
    assert said(course, capsys)[1][1].endswith("passed")


def test_much_printing_is_no_error(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printing = "for i in range(400_000):\n        print(i)\n    return mean + log_std.exp() * noise"
    hand_in(course, {**RIGHT, "reparameterize": printing})
    assert said(course, capsys)[1][1] == f"{NUMBER}.1 reparameterize: passed"


def test_neither_a_home_nor_a_plain_path_is_needed(
    course: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent/home")
    moved = course.rename(course.parent / "Müllers 'Kurs' (2)")
    hand_in(moved, RIGHT)
    assert said(moved, capsys)[1][1].endswith("passed")


def test_the_file_that_is_checked_is_the_students_whatever_its_name(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = hand_in(course, RIGHT, name=f"Müller_{NUMBER}_{NAME} (1).ipynb")
    _, lines = said(course, capsys)
    assert lines[0] == f"my-sheets/{mine.name}"
    assert lines[1].endswith("passed")
    assert list(mine.parent.iterdir()) == [mine], "no blank sheet beside it"
    elsewhere = mine.rename(course / "Müller.ipynb")
    lab.check(str(elsewhere), course)
    assert capsys.readouterr().out.splitlines()[1].endswith("passed")


def test_a_damaged_file_is_said_to_be_so_and_stays(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = course / "notebooks/my-sheets" / BLANK.name
    mine.write_text("my work")
    missing, lines = said(course, capsys)
    assert missing == 1
    assert "is not a notebook that can be read" in lines[1]
    assert mine.read_text() == "my work"


def test_messages_are_data() -> None:
    pipe = io.BytesIO()
    told = {"a": [1, 2.5, None, True, "ä"], "x": torch.randn(2, 3).T, "n": torch.tensor(3), "e": torch.zeros(0, 2)}
    send(pipe, told)
    pipe.seek(0)
    found = receive(pipe)
    assert found["a"] == told["a"]
    for name in ("x", "n", "e"):
        torch.testing.assert_close(found[name], told[name])
    with pytest.raises(EOFError):
        receive(pipe)
    with pytest.raises(TypeError, match="is no data"):
        send(io.BytesIO(), {"f": print})
    with pytest.raises(WireError):
        receive(io.BytesIO(b"\xff" * 64))
    with pytest.raises(WireError):
        receive(io.BytesIO(bytes([4, *[0] * 7, 4, *[0] * 7]) + b"nullnull"))


def test_a_sheet_is_known_by_its_contents() -> None:
    assert sheet_of(code_cells(BLANK)) == NAME
    assert sheet_of(["import torch"]) is None
    assert CHECK.findall("check(sheet.a, b)\n") == [("a", "b")]
    assert defined_in("def f(x):\n    y = 1\nclass G: pass\nz: int = 3\nw == 2\n(") == {"f", "G", "z"}
