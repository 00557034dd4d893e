"""The student's side of grading: runs the notebook's cells, calls its functions, and tells what came of it.

    python -m vae_course.grading.worker BYTES TASKS

It may write so many bytes into a file and start so many tasks. Requests come on the standard input, answers go to the
standard output.

It compares nothing and knows no verdict: whatever a notebook overwrites here is overwritten here only.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from vae_course.exercises.exercise import Exercise, ExerciseError
from vae_course.exercises.run import Here, refuse_signature
from vae_course.grading.wire import receive, send


def run_cell(shell: InteractiveShell, source: str) -> dict[str, str]:
    """Run a cell as a notebook does; what it raised."""
    result = shell.run_cell(source, store_history=False, silent=True)
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return {}
    where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else ""
    return {"kind": type(error).__name__, "text": where or " ".join(str(error).split())}


def exercise_named(sheet: str, key: str) -> Exercise:
    """The exercise of a sheet."""
    found: Exercise = getattr(import_module(f"vae_course.exercises.sheets.{sheet}"), key)
    return found


def look(shell: InteractiveShell, exercise: Exercise, name: str) -> str | None:
    """What is wrong with an answer before it is called, if it is there at all."""
    if name not in shell.user_ns:
        return "not found"
    try:
        refuse_signature(exercise, exercise.prepare(shell.user_ns[name]))
    except ExerciseError as error:
        return str(error)
    return None


def answer(shell: InteractiveShell, request: dict[str, Any]) -> Any:
    """What a request asks for."""
    if request["do"] == "cell":
        return run_cell(shell, request["source"])
    exercise = exercise_named(request["sheet"], request["key"])
    if request["do"] == "look":
        return look(shell, exercise, request["name"])
    here = Here(exercise.prepare(shell.user_ns[request["name"]]))
    if request["do"] == "observe":
        return list(here.observations(exercise, request["seed"]))
    return [list(pair) for pair in here.swapped(exercise, request["seed"], request["position"])]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    settings = Config()
    settings.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=settings)
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        send(answers, answer(shell, request))


def limit_itself(written: int, tasks: int) -> None:
    """No file above so many bytes, no more than so many tasks (0: any number), and no dump of the memory."""
    if sys.platform != "win32":
        import resource

        most = written + 2**20  # above what the judge counts, so that it is the judge who says so
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if tasks:
            resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))


def main() -> None:
    """Serve on the standard input and output; what the notebook prints goes nowhere."""
    limit_itself(*map(int, sys.argv[1:]))
    given, taken = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.path.insert(0, str(Path.cwd()))  # as in a notebook: modules beside it
    sys.argv = ["notebook"]
    with os.fdopen(given, "rb") as requests, os.fdopen(taken, "wb") as answers:
        serve(requests, answers)


if __name__ == "__main__":
    main()
