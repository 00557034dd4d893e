"""How notebooks are made: from one text source each, which is the only file that people edit.

Sources are py:percent files (jupytext). References by name become numbers and links (`references`). In a sheet, lines
between `### BEGIN SOLUTION` and `### END SOLUTION` become a stub that raises NotImplementedError. A cell that states a
claim is compared by nbval. A notebook whose code stays as it was keeps its outputs, also under another number.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import pprint
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from vae_course.course.alone import cells_for_alone
from vae_course.course.catalogue import ROOT, catalogue, name_of
from vae_course.course.failures import last_error_line
from vae_course.course.references import MAP, Resolver, course_map
from vae_course.course.sources import Kind, Notebook, Target, cells_of, length_of, targets
from vae_course.exercises.exercise import STUB_MESSAGE
from vae_course.output import say

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = f'raise NotImplementedError("{STUB_MESSAGE}")'
COMPARED = "nbval-check-output"
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 600


def from_source(target: Target, root: Path = ROOT) -> Notebook:
    """The notebook that a source gives, without outputs; under its title, how it is opened alone.

    Raises ValueError for a solution region that does not end, begins twice or stands in no function, and for a reference
    to what is not there.
    """
    resolver = Resolver(target, root)
    counts: Counter[str] = Counter()
    cells: list[Notebook] = []
    sections = 0

    def identity(text: str) -> str:  # from the source: neither a rebuild nor another number makes noise
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        counts[digest] += 1
        return f"{digest}-{counts[digest]}"

    for cell in cells_of(target.source):
        text, tags = cell.source, list(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            text = stubbed(text, target.source) if target.kind is Kind.SHEET else without_markers(text)
            text = with_map(text, root).rstrip()
            if re.search(r"^\s*(claim|check)\(", text, re.MULTILINE) and target.executed:
                tags.append(COMPARED)
            made = nbformat.v4.new_code_cell(text)
        else:
            lines = []
            for line in text.splitlines():
                if line.startswith("## · "):
                    sections += 1
                    line = resolver.heading(sections, line.removeprefix("## · "))
                lines.append(resolver.title() if line == "# [[this]]" else line)
            made = nbformat.v4.new_markdown_cell(resolver.text("\n".join(lines)))
        made.id = identity(cell.source)
        made.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cells.append(made)
        if len(cells) == 1:  # the title
            for extra in cells_for_alone(target, root):
                extra.id = identity(extra.source)
                cells.append(extra)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def without_markers(text: str) -> str:
    """The cell with the solution in it."""
    return "\n".join(line for line in text.splitlines() if line.strip() not in (BEGIN, END))


def with_map(text: str, root: Path = ROOT) -> str:
    """The cell with the table's parts and lectures in the place of the line that is marked for them."""
    name = re.search(rf"^(\w+)\b.*{MAP}$", text, re.MULTILINE)
    if name is None:
        return text
    value = pprint.pformat(course_map(root), width=100, sort_dicts=False)
    return text.replace(name.group(0), f"{name.group(1)} = {value}")


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


def code_of(notebook: Notebook) -> list[tuple[str, tuple[str, ...]]]:
    """What outputs come from."""
    return [(c.source, tuple(c.metadata.get("tags", []))) for c in notebook.cells if c.cell_type == "code"]


def has_run(notebook: Notebook) -> bool:
    """Whether every code cell has been executed."""
    return all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source)


def is_current(target: Target, root: Path = ROOT) -> bool:
    """Whether the committed notebook is what its source gives and has been executed where it must be."""
    if not target.path.is_file():
        return False
    stored = nbformat.read(target.path, as_version=4)
    if essence(stored) != essence(from_source(target, root)):
        return False
    if not target.executed:
        return not any(cell.outputs or cell.execution_count for cell in stored.cells if cell.cell_type == "code")
    return has_run(stored)


def make(target: Target, root: Path = ROOT, again: bool = False) -> None:
    """Build one notebook and write it whole or not at all; execute it if its code has changed, or `again`."""
    notebook = from_source(target, root)
    started = time.perf_counter()
    if target.executed and (again or not keep_outputs(notebook, target.path)):
        execute(notebook, target.path)
    target.path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.path.with_suffix(".part")
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, target.path)
    size = target.path.stat().st_size / 1e6
    say(f"{target.path.relative_to(root)}: {time.perf_counter() - started:.0f} s, {size:.2f} MB")


def keep_outputs(notebook: Notebook, path: Path) -> bool:
    """Take the outputs of the stored notebook if its code is the same; whether it was."""
    if not path.is_file():
        return False
    stored = nbformat.read(path, as_version=4)
    if code_of(stored) != code_of(notebook) or not has_run(stored):
        return False
    ran = iter([cell for cell in stored.cells if cell.cell_type == "code"])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            before = next(ran)
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


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
            data = output.get("data", {})
            data.pop(WIDGET, None)  # what stays is the static picture that stands in for it
            if "image/png" in data:
                data["image/png"] = lighter(data["image/png"])
    notebook.metadata["language_info"] = {"name": "python"}


def lighter(picture: str) -> str:
    """A PNG in base64 with at most 256 colours, chosen to keep the rare ones (a ring, a dot), where that is smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):  # transparent
        return picture
    stored = io.BytesIO()
    few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(stored, "PNG", optimize=True)
    fewer = base64.b64encode(stored.getvalue()).decode()
    return min(picture, fewer, key=len)


def build(force: bool = False, root: Path = ROOT) -> None:
    """Make every notebook that is not current, move those whose number has changed, and write the README's tables."""
    renumber(root)
    for target in targets(root):
        if force or not is_current(target, root):
            make(target, root, again=force)
    for outgrown in outgrown_lectures(root):
        say(outgrown)


def renumber(root: Path = ROOT) -> None:
    """Give every notebook the number that its lecture has now; remove those whose lecture is gone from the table."""
    wanted = {(target.path.parent, target.lecture.name): target.path for target in targets(root)}
    moves = []
    for kind in Kind:
        for path in sorted((root / "notebooks" / kind.value).glob("[0-9][0-9]_*.ipynb")):
            goal = wanted.get((path.parent, name_of(path)))
            if goal is None:
                path.unlink()
                say(f"{path.relative_to(root)}: removed, the table has no such lecture")
            elif goal != path:
                aside = path.with_suffix(".moving")
                path.rename(aside)
                moves.append((aside, goal))
    for aside, goal in moves:  # in two steps, as one may take the other's place
        aside.rename(goal)


def outgrown_lectures(root: Path = ROOT) -> Iterator[str]:
    """A sentence for each lecture whose minutes in the table are not those measured."""
    for lecture in catalogue(root).lectures.values():
        source = root / "notebooks" / "source" / f"{lecture.name}.py"
        if source.is_file() and (measured := length_of(cells_of(source)).minutes) != lecture.minutes:
            yield f"notebooks/course.toml: {lecture.name} takes {measured} minutes, not {lecture.minutes}"
