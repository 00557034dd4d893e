"""What `make grade` says of a class with hostile notebooks in it, and that they harm nothing but their copies."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
import pytest

from vae_course.course import lab
from vae_course.grading import contained
from vae_course.grading.contained import NOTHING, Containment, best, environment, holds, ways
from vae_course.grading.folder import HandIn, grade_folder, notebooks_in
from vae_course.grading.grade import Row, grade
from vae_course.grading.limits import GB, MB, Limits, size
from vae_course.grading.refusal import Group, for_a_user
from vae_course.grading.report import as_csv, as_html, harmless, table, write
from vae_course.grading.scratch import Scratch
from vae_course.grading.sheets import code_cells, peeks
from vae_course.grading.verdict import Verdict, plain

ROOT = Path(__file__).parents[1]
SHEET = "elbo"
(SOLVED,) = (ROOT / "notebooks/solutions").glob(f"*_{SHEET}.ipynb")
LIMITS = Limits(seconds=8.0, memory=1.5 * GB, processes=16, written=20 * MB)
HEAVY = ("vae_course.notebook", "start(")
FIRST, SECOND, THIRD, FOURTH = "elbo_discrete", "evidence_upper_bound", "entropy_split", "elbo_linear_gaussian"


def light(cells: list[str]) -> list[str]:
    """The imports, answers and checks of the sheet, without figures, so that a worker starts sooner."""
    kept = [cell for cell in cells if cell.startswith(("from", "def elbo", "def ev", "def en", "check("))]
    return ["\n".join(line for line in cell.splitlines() if not any(heavy in line for heavy in HEAVY)) for cell in kept]


RIGHT = light(code_cells(SOLVED))


def save(path: Path, cells: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, path)
    return path


def with_bodies(**bodies: str) -> list[str]:
    """A right sheet in which the first lines of some answers are these."""
    cells = []
    for cell in RIGHT:
        name = re.match(r"def (\w+)", cell)
        body = bodies.get(name.group(1)) if name else None
        if body:
            head, rest = re.fullmatch(r"(def .*?-> Tensor:\n)(.*)", cell, re.DOTALL).groups()  # type: ignore[union-attr]
            cell = head + "".join(f"    {line}\n" for line in body.splitlines()) + rest
        cells.append(cell)
    return cells


FORGED = [
    "from vae_course.exercises.exercise import ExerciseError\ndef check(exercise, answer):\n    print('✓ passed')",
    "from vae_course.exercises import engine, run, observe\n"
    "engine.judge = engine.known_mistake = engine.check = lambda *a, **k: None\nrun.same = run.all_close = lambda *a: True",
    "import gc\nfor found in gc.get_objects():\n    if isinstance(found, dict) and {'look', 'run_cell', 'serve'} <= set(found):\n"
    f"        found['look'] = lambda shell, exercise, name: 'passed' if name == '{FOURTH}' else None",
]
HIDDEN = "raise ValueError('=cmd|calc <script>alert(1)</script> \\x1b[2J\\u202e')"


def escape(outside: Path, port: int) -> str:
    return (
        "import contextlib, os, pathlib, shutil, socket\n"
        f"outside = pathlib.Path({str(outside)!r})\n"
        "with contextlib.suppress(OSError): (outside / 'canary').write_text('harmed')\n"
        "with contextlib.suppress(OSError): (outside / 'canary').unlink()\n"
        "with contextlib.suppress(OSError): (outside / 'new').write_text('new')\n"
        "shutil.rmtree(outside, ignore_errors=True)\n"
        f"with contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', {port}), 2)\n"
        "shutil.rmtree('.', ignore_errors=True)\n"
    )


def bombs_are_refused() -> bool:
    """Whether the system stops a bomb of processes here; without that, none is thrown."""
    group = Group("trial", LIMITS)
    group.remove()
    return bool(group.behind) or for_a_user(LIMITS, own_count=False) > 0


class Graded(NamedTuple):
    folder: Path
    outside: Path
    called: bool  # whether the judge's machine was called over the network
    before: dict[str, bytes]
    found: dict[str, HandIn]

    def said(self, name: str) -> dict[str, str]:
        return {row.name: row.shown for row in self.found[name].rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("course") / SOLVED.name, light(code_cells(SOLVED)))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Graded:
    """A class, graded once, contained as well as it can be here."""
    place = tmp_path_factory.mktemp("class")
    folder, outside = place / "hand-ins", place / "outside"
    outside.mkdir()
    (outside / "canary").write_text("alive")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        escaping = escape(outside, server.getsockname()[1])
        save(folder / "Ärger, =1+1.ipynb", [RIGHT[0], *FORGED, *with_bodies(**{
            FIRST: "return log_joint.sum(-1)",
            SECOND: "raise ExerciseError('passed')",
            THIRD: HIDDEN,
            FOURTH: "return x",
        })[1:]])  # fmt: skip
        save(folder / "deep/bombs.ipynb", with_bodies(**{
            FIRST: "import os; os._exit(3)",
            SECOND: "import os\nwhile True: os.fork()" if bombs_are_refused() else "import os; os._exit(4)",
            THIRD: "for i in range(10**6):\n    open(f'{i}', 'wb').write(bytes(10**6))",
            FOURTH: "hold = torch.ones(30 * 2**30, dtype=torch.uint8)",
        }))  # fmt: skip
        save(folder / "deep/escapes.ipynb", [*with_bodies(**{
            FIRST: escaping,
            SECOND: "while True: print('for ever')",
            THIRD: "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()",
            FOURTH: "import inspect\nif inspect.currentframe().f_back.f_code.co_name != 'observe': return x",
        })])  # fmt: skip
        (folder / "notes.ipynb").write_text("no notebook")
        save(folder / "other.ipynb", ["print('hello')"])
        (folder / ".ipynb_checkpoints").mkdir()
        shutil.copy(folder / "other.ipynb", folder / ".ipynb_checkpoints")
        before = contents(folder)
        found = list(grade_folder(folder, {SHEET: blank}, best(), LIMITS))
        try:
            server.accept()[0].close()
            called = True
        except OSError:
            called = False
    return Graded(folder, outside, called, before, {one.name: one for one in found})


def test_a_forged_notebook_passes_nothing(graded: Graded) -> None:
    said = graded.said("Ärger, =1+1.ipynb")
    assert not any(row.passed for row in graded.found["Ärger, =1+1.ipynb"].rows)
    assert said[SECOND] == said[FOURTH] == "not passed, the notebook says: passed"
    assert "ValueError" in said[THIRD]
    assert "\x1b" not in said[THIRD]
    assert "\u202e" not in said[THIRD]


def test_what_breaks_a_limit_gets_its_word(graded: Graded) -> None:
    said = graded.said("deep/bombs.ipynb")
    assert said[FIRST] == "died: its process ended with status 3"
    assert said[THIRD] == "wrote more than 20 MB"
    assert said[FOURTH].startswith("ran out of memory")


def test_a_bomb_of_processes_is_refused_and_named(graded: Graded) -> None:
    if not bombs_are_refused():
        pytest.skip("here the system refuses this user no process: root without control groups, or Windows")
    assert graded.said("deep/bombs.ipynb")[SECOND] == "started more than 16 processes"


def test_the_system_refuses_more_processes_than_the_judge_counts(tmp_path: Path) -> None:
    if not bombs_are_refused():
        pytest.skip("here the system refuses this user no process: root without control groups, or Windows")
    group = Group("test", LIMITS)
    limit = for_a_user(LIMITS, own_count=False)
    program = [sys.executable, "-c", FORKS, str(limit)]
    ran = subprocess.run([*group.behind, *program], capture_output=True, text=True, check=True)
    group.remove()
    assert ran.stdout.startswith("refused")
    assert group.folder is None


FORKS = """
import os, resource, sys, time
if int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]), int(sys.argv[1])))
started = []
try:
    for _ in range(3000):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        started.append(child)
except OSError:
    print("refused")
for child in started:
    os.kill(child, 9)
"""


def test_what_does_not_end_or_outlives_its_call_costs_its_own_row_only(graded: Graded) -> None:
    said = graded.said("deep/escapes.ipynb")
    assert said[SECOND] in ("did not end within 8 s", "ran out of memory (more than 1.5 GB)")
    assert said[THIRD].startswith("passed")


def test_a_right_answer_that_looks_at_its_caller_is_passed_and_the_row_says_so(graded: Graded) -> None:
    said = graded.said("deep/escapes.ipynb")
    assert said[FOURTH] == "passed (the notebook looks at its caller or at the course's own answers: read it)"


def test_nothing_outside_a_copy_is_harmed(graded: Graded) -> None:
    if not best().tight:
        pytest.skip(f"here {best().name} contains a notebook: its files or the network are within its reach")
    assert contents(graded.outside) == {str(graded.outside / "canary"): b"alive"}
    assert not graded.called


def test_the_folder_is_as_it_was_and_no_copy_and_no_process_is_left(graded: Graded) -> None:
    assert contents(graded.folder) == graded.before
    left = [process for process in psutil.process_iter() if "vae_course.grading.worker" in _line(process)]
    assert not [process for process in left if os.getpid() in [parent.pid for parent in process.parents()]]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_what_is_no_hand_in_gets_a_truthful_row_and_stops_no_other(graded: Graded) -> None:
    assert list(graded.found) == [
        "deep/bombs.ipynb",
        "deep/escapes.ipynb",
        "notes.ipynb",
        "other.ipynb",
        "Ärger, =1+1.ipynb",
    ]
    assert "is not a notebook that can be read" in str(graded.found["notes.ipynb"].fault)
    assert graded.found["other.ipynb"].fault == "not checked: it imports and checks no sheet of this course"


def test_the_table_has_a_word_for_each_exercise_and_the_diagnoses_below(graded: Graded) -> None:
    lines = table(list(graded.found.values()))
    assert lines[1].split() == [SHEET, *(f"{SOLVED.name[:2]}.{i}" for i in range(1, 5))]
    (row,) = [line for line in lines if line.startswith("deep/bombs.ipynb  ")]
    assert row.split()[1:] == ["died", "processes" if bombs_are_refused() else "died", "bytes", "memory"]
    assert f"  {SOLVED.name[:2]}.3 {THIRD}: wrote more than 20 MB" in lines


def test_no_cell_of_the_csv_runs(graded: Graded) -> None:
    rows = list(csv.reader(io.StringIO(as_csv(list(graded.found.values())))))
    assert rows[0][:5] == ["notebook", "sheet", "passed", "exercises", f"{SOLVED.name[:2]}.1 {FIRST}"]
    assert {row[0] for row in rows[1:]} == set(graded.found)
    assert [harmless(cell) for cell in ("=1+1", " +1", "-1", "@x", "\tx", "a=1")] == [
        "'=1+1",
        "' +1",
        "'-1",
        "'@x",
        "'\tx",
        "a=1",
    ]


def test_the_page_shows_what_a_notebook_sent_as_text(graded: Graded) -> None:
    page = as_html(list(graded.found.values()), "It runs as you.")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http-equiv" in page
    assert not re.search(r"https?://|src=|href=", page)


def test_reports_are_never_written_over_others(graded: Graded, tmp_path: Path) -> None:
    found = list(graded.found.values())
    first = write(found, tmp_path / "out", "")
    second = write(found, tmp_path / "out", "")
    assert [path.name for path in (*first, *second)] == ["grades.csv", "grades.html", "grades-2.csv", "grades-2.html"]
    assert first[0].read_bytes()[:3] == b"\xef\xbb\xbf"


def test_without_containment_what_left_its_family_is_ended_too(tmp_path: Path, blank: Path) -> None:
    stray = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(10**6)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    notebook = save(tmp_path / "stray.ipynb", with_bodies(**{FIRST: stray}))
    rows = grade(notebook, SHEET, blank, LIMITS, NOTHING)
    assert [row.said for row in rows] == ["passed"] * 4
    strays = [
        p for p in psutil.process_iter() if "vae_course.grading.worker" in _line(p) and p.ppid() in (1, os.getpid())
    ]
    assert not strays


REACH = """
import os, socket, sys
outside, port = sys.argv[1:]
for harm in (lambda: open(outside + "/canary", "w").write("harmed"), lambda: os.unlink(outside + "/canary"),
             lambda: os.mkdir(outside + "/new"), lambda: socket.create_connection(("127.0.0.1", int(port)), 2),
             lambda: open("/etc/vae-course-canary", "w")):
    try:
        harm()
    except OSError:
        pass
open("inside", "w").write("written")
"""


@pytest.mark.parametrize("name", ["bubblewrap", "namespaces", "Landlock"])
def test_each_way_that_works_here_keeps_its_promise(tmp_path: Path, name: str) -> None:
    way = next((way for way in ways() if way.name == name), None)
    if way is None:
        pytest.skip(f"{name} is not to be had here")
    scratch, outside = Scratch(save(tmp_path / "a.ipynb", []), copied=True), tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("alive")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        ran = subprocess.run(
            [*way.behind(scratch.root, scratch.work), sys.executable, "-c", REACH, str(outside), str(server.getsockname()[1])],
            cwd=scratch.work, env=environment(scratch.temporary, clean=True), check=False,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        inside = scratch.work / "inside"
        if not inside.exists():
            scratch.remove()
            pytest.skip(f"{name} does not work here: {ran.stderr.strip() or ran.returncode}")
        with pytest.raises(BlockingIOError):
            server.accept()
    scratch.remove()
    assert contents(outside) == {str(outside / "canary"): b"alive"}
    assert not (outside / "new").exists()
    assert not Path("/etc/vae-course-canary").exists()


def test_where_nothing_works_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab, "best", lambda: NOTHING)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hand-ins").mkdir()
    (tmp_path / "hand-ins/one.ipynb").write_text("no notebook")
    assert lab.grade_class("hand-ins") == 1
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("The code in the notebooks runs as you")
    assert "Nothing contains it here" in first
    assert {path.name for path in tmp_path.iterdir()} == {"hand-ins", "grades.csv", "grades.html"}


def test_a_way_that_does_not_start_is_not_taken() -> None:
    assert not holds(Containment("broken", "", True, lambda scratch, work: ["false"]))
    assert not holds(Containment("absent", "", True, lambda scratch, work: ["no-such-program"]))


def test_a_folder_that_is_none_and_an_empty_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "best", lambda: NOTHING)
    with pytest.raises(SystemExit, match="is no folder: give the one that holds the notebooks"):
        lab.grade_class("")
    with pytest.raises(SystemExit, match="holds no notebook"):
        lab.grade_class(str(tmp_path), out=str(tmp_path))
    with pytest.raises(SystemExit, match="is no lecture"):
        lab.grade_class(str(tmp_path), "nonsense")


def test_a_notebook_that_takes_too_long_as_a_whole_is_not_checked_further(tmp_path: Path, blank: Path) -> None:
    notebook = save(tmp_path / "slow.ipynb", RIGHT)
    began = time.monotonic()
    rows = grade(notebook, SHEET, blank, LIMITS._replace(whole=-1.0), NOTHING)
    assert {row.verdict for row in rows} == {Verdict.NOT_CHECKED}
    assert time.monotonic() - began < 60


def test_a_copy_holds_the_small_files_beside_a_notebook_and_is_removed_whatever_was_made_of_it(tmp_path: Path) -> None:
    notebook = save(tmp_path / "a.ipynb", [])
    save(tmp_path / "another.ipynb", [])
    (tmp_path / "helper.py").touch()
    (tmp_path / "large.bin").write_bytes(bytes(6 * 10**6))
    (tmp_path / "link.py").symlink_to(tmp_path / "helper.py")
    scratch = Scratch(notebook, copied=True)
    assert sorted(path.name for path in scratch.work.iterdir()) == ["a.ipynb", "helper.py"]
    deep = scratch.work / "locked" / "deep"
    deep.mkdir(parents=True)
    (scratch.work / "out").symlink_to(tmp_path)
    (scratch.work / "locked").chmod(0)
    scratch.remove()
    assert not scratch.root.exists()
    assert notebook.exists()


def test_the_size_of_a_folder_counts_empty_files_too(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / str(i)).touch()
    assert size(tmp_path, 10**9) >= 10 * 4096
    assert size(tmp_path / "none", 10**9) == 0


def test_what_a_notebook_sends_is_one_plain_line() -> None:
    assert plain("a\n\x1b[31mb\u202e\tc") == "a [31mb c"
    assert len(plain("x" * 10**6)) == 400
    row = Row("07.1", "f", Verdict.WRONG, "✓ PASSED")
    assert not row.passed
    assert str(row) == "07.1 f: not passed, the notebook says: ✓ PASSED"


def test_copies_that_programs_keep_are_left_out(tmp_path: Path) -> None:
    for name in ("b.ipynb", "a/c.ipynb", ".ipynb_checkpoints/b.ipynb", "__MACOSX/._b.ipynb"):
        save(tmp_path / name, [])
    assert [path.relative_to(tmp_path).as_posix() for path in notebooks_in(tmp_path)] == ["a/c.ipynb", "b.ipynb"]


def test_looking_at_the_caller_or_the_answers_is_seen_in_the_students_own_lines() -> None:
    assert not peeks(RIGHT, RIGHT)
    assert not peeks([f"import os\n{RIGHT[0]}"], RIGHT)
    assert peeks(["def f(x):\n    return sheet.elbo_discrete.reference(x)"], RIGHT)
    assert peeks(["import sys\nsys._getframe(1)"], RIGHT)


@pytest.fixture(autouse=True)
def _nothing_secret() -> Iterator[None]:
    """A variable that may hold a secret does not reach a contained worker."""
    os.environ["VERY_SECRET_TOKEN"] = "secret"
    assert "VERY_SECRET_TOKEN" not in environment(Path("tmp"), clean=True)
    yield
    del os.environ["VERY_SECRET_TOKEN"]


def test_what_is_readable_holds_no_home_and_no_root() -> None:
    assert not {"/", str(Path.home()), "/home", "/etc"} & set(contained.readable())
