"""One row for each exercise of a sheet: what the judge says of the functions in a student's notebook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from vae_course.exercises.engine import judge
from vae_course.grading.remote import EndedError, There, Worker
from vae_course.grading.sheets import Asked, Cell, asked, checked_in, code_cells, student_cells

PASSED = "passed"
SECONDS = 60.0


class Row(NamedTuple):
    """An exercise by its number, its name, and what is said of it."""

    number: str
    name: str
    said: str

    @property
    def passed(self) -> bool:
        """Whether the answer is right, and its check in its place."""
        return self.said == PASSED

    def __str__(self) -> str:
        return f"{self.number} {self.name}: {self.said}"


def grade(notebook: Path, sheet: str, blank: Path, seconds: float = SECONDS) -> list[Row]:
    """A row for each exercise of a sheet. seconds: for a cell, and for the answer to a question about a function.

    blank: the sheet as the course hands it out. Raises ValueError for a file that is no notebook.
    """
    given = code_cells(notebook)
    grader = Grader(Worker(notebook.parent, seconds), sheet, student_cells(given, code_cells(blank)))
    in_place = checked_in(given)
    rows = []
    try:
        for number, exercise in enumerate(asked(sheet, blank), start=1):
            said = grader.said_of(exercise)
            if exercise.key not in in_place:
                said = f"its check cell is missing (of the function itself: {said})"
            rows.append(Row(f"{blank.name[:2]}.{number}", exercise.answer, said))
    finally:
        grader.worker.stop()
    return rows


class Grader:
    """Runs a notebook's cells in a worker, asks for its answers, and starts the worker anew where it ends."""

    def __init__(self, worker: Worker, sheet: str, cells: list[Cell]) -> None:
        self.worker, self.sheet, self.cells = worker, sheet, cells
        self.ended: dict[int, str] = {}  # cells that do not end, and why
        self.errors: dict[int, dict[str, str]] = {}  # cells that raise
        self.demonstrations = False  # whether the sheet's own cells run that define no function
        self.ready = False

    def said_of(self, asked: Asked) -> str:
        """What is said of one exercise."""
        try:
            said = self._judged(asked)
            if "NameError" in said and not self.demonstrations:  # perhaps of something that a demonstration defines
                self.demonstrations, self.ready = True, False
                self.worker.stop()
                said = self._judged(asked)
        except EndedError as ended:
            self.ready = False
            return str(ended)
        return said

    def _judged(self, asked: Asked) -> str:
        self._run_cells()
        answer = There(self.worker, self.sheet, asked.key, asked.answer)
        fault = answer.look()
        if fault == "not found":
            return self._why_not_found(asked.answer)
        if fault is not None:
            return fault
        failure = judge(asked.exercise, answer, int.from_bytes(os.urandom(4), "little"))
        return PASSED if failure is None else str(failure)

    def _run_cells(self) -> None:
        while not self.ready:
            self.ready = True
            for number, cell in enumerate(self.cells):
                if number in self.ended or (cell.demonstrates and not self.demonstrations):
                    continue
                try:
                    self.errors[number] = self.worker.ask(do="cell", source=cell.source)
                except EndedError as ended:
                    self.ended[number], self.ready = str(ended), False
                    break

    def _why_not_found(self, name: str) -> str:
        for number, cell in enumerate(self.cells):
            if name not in cell.defines:
                continue
            if number in self.ended:
                return f"its cell: {self.ended[number]}"
            if error := self.errors.get(number):
                kind = (
                    "a syntax error"
                    if error["kind"] in ("SyntaxError", "IndentationError", "TabError")
                    else error["kind"]
                )
                return (
                    f"its cell has {kind}, {error['text']}"
                    if kind == "a syntax error"
                    else f"its cell raised {kind}: {error['text']}"
                )
        return "not found in the notebook"
