"""One row for each exercise of a sheet: what the judge says of the functions in a student's notebook."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from vae_course.exercises.engine import judge
from vae_course.exercises.exercise import ExerciseError, NotDoneError
from vae_course.grading.contained import Containment
from vae_course.grading.limits import Limits
from vae_course.grading.remote import JUDGING, There, Worker
from vae_course.grading.sheets import Asked, Cell, asked, checked_in, code_cells, peeks, student_cells
from vae_course.grading.verdict import EndedError, Verdict, plain

PASSED, WRONG, NOT_FOUND = Verdict.PASSED, Verdict.WRONG, Verdict.NOT_FOUND
NO_SUCH_NAME = re.compile(r"\bNameError\b")
SYNTAX = ("SyntaxError", "IndentationError", "TabError")
PEEKS = "passed (the notebook looks at its caller or at the course's own answers: read it)"


class Row(NamedTuple):
    """An exercise by its number and its name, the judge's word, and what is said of it."""

    number: str
    name: str
    verdict: Verdict
    said: str

    @property
    def passed(self) -> bool:
        """Whether the answer is right, and its check in its place."""
        return self.verdict is PASSED

    @property
    def shown(self) -> str:
        """What is said, in a way in which no text of a notebook can pass for the judge's."""
        claims = not self.passed and re.match(r"\W*passed\b", self.said, re.IGNORECASE)
        return f"not passed, the notebook says: {self.said}" if claims else self.said

    def __str__(self) -> str:
        return f"{self.number} {self.name}: {self.shown}"


def grade(
    notebook: Path,
    sheet: str,
    blank: Path,
    limits: Limits,
    contained: Containment | None = None,
    seed: int | None = None,
) -> list[Row]:
    """A row for each exercise of a sheet.

    blank: the sheet as the course hands it out. contained: None runs the notebook in its own folder, within the limits only.
    seed: of the cases; None draws one. Raises ValueError for a file that is no notebook.
    """
    given = code_cells(notebook)
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    cells = student_cells(given, code_cells(blank))
    grader = Grader(Worker(notebook, limits, contained), sheet, cells, seed)
    in_place, peeking = checked_in(given), peeks(given, code_cells(blank))
    rows = []
    try:
        for number, exercise in enumerate(asked(sheet, blank), start=1):
            verdict, said = grader.verdict_of(exercise)
            if verdict is PASSED and peeking:
                said = PEEKS
            if exercise.key not in in_place:
                verdict, said = Verdict.NOT_CHECKED, f"its check cell is missing (of the function itself: {said})"
            rows.append(Row(f"{blank.name[:2]}.{number}", exercise.answer, verdict, plain(said)))
    finally:
        grader.worker.stop()
    return rows


Said = tuple[Verdict, str]


class Grader:
    """Runs a notebook's cells in a worker, asks for its answers, and starts the worker anew where it ends."""

    def __init__(self, worker: Worker, sheet: str, cells: list[Cell], seed: int) -> None:
        self.worker, self.sheet, self.cells, self.seed = worker, sheet, cells, seed
        self.ended: dict[int, EndedError] = {}  # cells that do not end, and why
        self.errors: dict[int, dict[str, str]] = {}  # cells that raise
        self.demonstrations = False  # whether the sheet's own cells run that define no function
        self.ready = False

    def verdict_of(self, asked: Asked) -> Said:
        """What one exercise gets, and what is said of it."""
        try:
            found = self._judged(asked)
            if NO_SUCH_NAME.search(found[1]) and not self.demonstrations:  # perhaps of what a demonstration defines
                self.demonstrations, self.ready = True, False
                self.worker.stop()
                found = self._judged(asked)
        except EndedError as ended:
            self.ready = False
            return ended.verdict, str(ended)
        return found

    def _judged(self, asked: Asked) -> Said:
        self._run_cells()
        answer = There(self.worker, self.sheet, asked.key, asked.answer)
        fault = answer.look()
        if fault == "not found":
            return self._why_not_found(asked.answer)
        if fault is not None:
            return WRONG, fault
        with JUDGING:
            try:
                failure = judge(asked.exercise, answer, self.seed)
            except EndedError:
                raise
            except Exception as error:  # of numbers that nobody foresaw
                return (
                    Verdict.NOT_CHECKED,
                    f"not checked: its results cannot be compared, {type(error).__name__}: {error}",
                )
        return verdict_on(failure, answer.no_memory)

    def _run_cells(self) -> None:
        while not self.ready:
            self.ready = True
            for number, cell in enumerate(self.cells):
                if number in self.ended or (cell.demonstrates and not self.demonstrations):
                    continue
                try:
                    self.errors[number] = raised(self.worker.ask(do="cell", source=cell.source))
                except EndedError as ended:
                    self.ended[number], self.ready = ended, False
                    break

    def _why_not_found(self, name: str) -> Said:
        for number, cell in enumerate(self.cells):
            if name not in cell.defines:
                continue
            if number in self.ended:
                return self.ended[number].verdict, f"its cell: {self.ended[number]}"
            if error := self.errors.get(number):
                if error["kind"] in SYNTAX:
                    return WRONG, f"its cell has a syntax error, {error['text']}"
                return WRONG, f"its cell raised {error['kind']}: {error['text']}"
        return NOT_FOUND, "not found in the notebook"


def verdict_on(failure: ExerciseError | None, no_memory: bool) -> Said:
    """The word for what the judge found."""
    if failure is None:
        return PASSED, str(PASSED)
    if isinstance(failure, NotDoneError):
        return Verdict.NOT_DONE, str(failure)
    if no_memory:
        return Verdict.MEMORY, f"ran out of memory: {failure}"
    return WRONG, str(failure)


def raised(answer: object) -> dict[str, str]:
    """What a cell raised, as the worker tells it; nothing for an answer that is none."""
    if not isinstance(answer, dict) or not answer:
        return {}
    return {"kind": str(answer.get("kind")), "text": str(answer.get("text"))}
