"""How notebooks are made: from one text source each, which is the only file that people edit.

    notebooks/source/07_name.py            → notebooks/07_name.ipynb            (a lecture, executed)
    notebooks/source/exercises/07_name.py  → notebooks/exercises/07_name.ipynb  (stubs, no outputs)
                                           → notebooks/solutions/07_name.ipynb  (solved, executed)

Sources are py:percent files (jupytext). In a sheet, lines between `### BEGIN SOLUTION` and `### END SOLUTION`
become a stub that raises NotImplementedError. A cell that states a claim is compared by nbval.

    python -m vae_course.notebooks build          make and execute what changed
    python -m vae_course.notebooks run 07         execute one lecture and the solution of its sheet
    python -m vae_course.notebooks sheets         copy each sheet once into notebooks/my-sheets
    python -m vae_course.notebooks check 07       check your copy of a sheet, one line an exercise
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from vae_course.exercises.engine import STUB_MESSAGE
from vae_course.exercises.report import TITLE, last_error_line

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = f'raise NotImplementedError("{STUB_MESSAGE}")'
COMPARED = "nbval-check-output"
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 600

Notebook = Any  # nbformat's notebooks are dictionaries with attributes


class Target(NamedTuple):
    """A notebook to be made: from which source, where, solved or not, and whether it is stored executed."""

    source: Path
    path: Path
    solved: bool
    executed: bool


def targets(root: Path = ROOT) -> Iterator[Target]:
    """Every notebook of the course, in order."""
    folder = root / "notebooks"
    for source in sorted((folder / "source").glob("*.py")):
        yield Target(source, folder / f"{source.stem}.ipynb", solved=True, executed=True)
    for source in sorted((folder / "source" / "exercises").glob("*.py")):
        yield Target(source, folder / "exercises" / f"{source.stem}.ipynb", solved=False, executed=False)
        yield Target(source, folder / "solutions" / f"{source.stem}.ipynb", solved=True, executed=True)


def from_source(target: Target) -> Notebook:
    """The notebook that a source gives, without outputs.

    Raises ValueError for a solution region that does not end, begins twice or stands in no function.
    """
    notebook = jupytext.read(target.source)
    counts: Counter[str] = Counter()
    cells = []
    for cell in notebook.cells:
        text = cell.source
        if cell.cell_type == "code":
            text = (without_markers(text) if target.solved else stubbed(text, target.source)).rstrip()
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        counts[digest] += 1
        tags = list(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            if re.search(r"^\s*(claim|check)\(", text, re.MULTILINE) and target.executed:
                tags.append(COMPARED)
            made = nbformat.v4.new_code_cell(text)
        else:
            made = nbformat.v4.new_markdown_cell(text)
        made.id = f"{digest}-{counts[digest]}"  # stable, so that a rebuild without a change makes no noise
        made.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cells.append(made)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def without_markers(text: str) -> str:
    """The cell with the solution in it."""
    return "\n".join(line for line in text.splitlines() if line.strip() not in (BEGIN, END))


def stubbed(text: str, source: Path) -> str:
    """The cell with each solution region replaced by a stub of the same indentation."""
    lines, inside = [], False
    for line in text.splitlines():
        mark = line.strip()
        if mark == BEGIN:
            if inside:
                raise ValueError(f"{source}: a solution begins inside another one; end the first with {END!r}.")
            inside = True
            lines.append(line[: line.index(BEGIN)] + STUB)
        elif mark == END:
            if not inside:
                raise ValueError(f"{source}: {END!r} stands without {BEGIN!r} before it.")
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"{source}: a solution does not end in its cell; write {END!r} after it.")
    return "\n".join(lines)


def essence(notebook: Notebook) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """What must agree between a committed notebook and its source."""
    return [(c.id, c.cell_type, c.source, tuple(c.metadata.get("tags", []))) for c in notebook.cells]


def is_current(target: Target) -> bool:
    """Whether the committed notebook is what its source gives and has been executed where it must be."""
    if not target.path.is_file():
        return False
    stored = nbformat.read(target.path, as_version=4)
    if essence(stored) != essence(from_source(target)):
        return False
    code = [cell for cell in stored.cells if cell.cell_type == "code" and cell.source]
    if not target.executed:
        return not any(cell.outputs or cell.execution_count for cell in code)
    return all(cell.execution_count for cell in code)


def make(target: Target) -> None:
    """Build one notebook, execute it if it is stored executed, and write it whole or not at all."""
    notebook = from_source(target)
    started = time.perf_counter()
    if target.executed:
        execute(notebook, target.path)
    target.path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.path.with_suffix(".part")
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, target.path)
    size = target.path.stat().st_size / 1e6
    print(f"{target.path.relative_to(ROOT)}: {time.perf_counter() - started:.0f} s, {size:.2f} MB", flush=True)


def execute(notebook: Notebook, path: Path) -> None:
    """Run all cells in a fresh kernel in the notebook's folder; raise SystemExit with the failing cell's error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.environ["VAE_COURSE_CHECKING"] = "1"
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{path.name} stops: {last_error_line(str(error))}\n\n{error}")
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # what stays is the static picture that stands in for it
    notebook.metadata["language_info"] = {"name": "python"}


def build(force: bool = False) -> None:
    """Make every notebook that is not current."""
    for target in targets():
        if force or not is_current(target):
            make(target)


def run(number: str) -> None:
    """Make the notebooks of one lecture, whatever their state."""
    for target in numbered(number, list(targets())):
        make(target)


def numbered(number: str, among: list[Target]) -> list[Target]:
    """The targets whose name begins with the number. Raises SystemExit if there is none."""
    found = [t for t in among if t.path.stem.split("_")[0] == number]
    if not found:
        known = ", ".join(sorted({t.path.stem.split("_")[0] for t in among}))
        sys.exit(f"There is no lecture {number!r}: choose one of {known}, as in NB={known.split(', ')[0]}.")
    return found


def copy_sheets(root: Path = ROOT) -> None:
    """Copy each sheet into `notebooks/my-sheets`, where the student works; what is there already stays untouched."""
    folder = root / "notebooks" / "my-sheets"
    folder.mkdir(exist_ok=True)
    for sheet in sorted((root / "notebooks" / "exercises").glob("*.ipynb")):
        try:
            with (folder / sheet.name).open("xb") as copy:
                copy.write(sheet.read_bytes())
        except FileExistsError:
            continue


def check(number: str, root: Path = ROOT) -> int:
    """Run the student's copy of a sheet through nbval; print one line an exercise; return how many are not passed."""
    target = next(t for t in numbered(number, [t for t in targets(root) if not t.executed]))
    sheet = root / "notebooks" / "my-sheets" / target.path.name
    if not sheet.exists():
        copy_sheets(root)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300"]
    ran = subprocess.run([*command, "--tb=no", str(sheet)], capture_output=True, text=True, cwd=root)
    lines = ran.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if re.fullmatch(rf"=+ {TITLE} =+", line)), None)
    if start is None:
        print(ran.stdout + ran.stderr)
        sys.exit(f"{sheet} could not be run: see above. If the file is damaged, move it away and run make lab.")
    report = [line for line in lines[start + 1 :] if re.match(r"\d+\.\d+ ", line)]
    print("\n".join(report))
    return sum(not line.endswith(": passed") for line in report)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vae_course.notebooks", description="Make, run and check notebooks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make what changed").add_argument("--force", action="store_true")
    commands.add_parser("run", help="execute one lecture").add_argument("number")
    commands.add_parser("sheets", help="copy the sheets into my-sheets, once")
    commands.add_parser("check", help="check your copy of a sheet").add_argument("number")
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.force)
    elif arguments.command == "run":
        run(arguments.number)
    elif arguments.command == "sheets":
        copy_sheets()
    else:
        sys.exit(1 if check(arguments.number) else 0)


if __name__ == "__main__":
    main()
