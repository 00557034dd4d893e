"""The judge's hold on a worker: requests with a time limit, and what the worker died of."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_course.exercises.exercise import Exercise
from vae_course.exercises.observe import Alien, Observation, Raised
from vae_course.grading.wire import WireError, receive, send

START = 120.0  # seconds for a worker to import torch, on a slow disk


class EndedError(Exception):
    """A worker did not answer; the message is a row's: why."""


class Worker:
    """A process that runs the cells of one notebook and calls its functions."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process, or start it anew."""
        self.stop()
        self.scratch = tempfile.TemporaryDirectory(prefix="vae-course-")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vae_course.grading.worker"],
            cwd=self.folder,
            env=environment(self.scratch.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.answers: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process.stdout, self.answers), daemon=True).start()
        self.fresh = True
        return self.process

    @staticmethod
    def _listen(answers: Any, into: queue.Queue[Any]) -> None:
        try:
            while True:
                into.put(receive(answers))
        except (EOFError, OSError):
            into.put(EndedError("the kernel died (memory?)"))
        except WireError as error:
            into.put(EndedError(f"the kernel sent {error}"))

    def ask(self, **request: Any) -> Any:
        """The worker's answer. Raises EndedError, with the process stopped, if none comes."""
        process = self.process or self.start()
        with contextlib.suppress(OSError):  # then the listener says so
            send(process.stdin, request)  # type: ignore[arg-type]
        seconds, self.fresh = self.seconds + (START if self.fresh else 0), False
        try:
            found = self.answers.get(timeout=seconds)
        except queue.Empty:
            found = EndedError(f"did not end within {self.seconds:g} s")
        if isinstance(found, EndedError):
            self.stop()
            raise found
        return found

    def stop(self) -> None:
        """End the process, if it runs."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        self.scratch.cleanup()
        self.process = None


def environment(scratch: str) -> dict[str, str]:
    """What the worker's process sees: the notebook is being checked, on the processor, on one thread, with no screen."""
    fixed = {
        "VAE_COURSE_CHECKING": "1", "VAE_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
        "IPYTHONDIR": scratch, "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    return {**os.environ, **fixed}


class There:
    """An answer in a worker."""

    def __init__(self, worker: Worker, sheet: str, key: str, name: str) -> None:
        self.worker = worker
        self.asked = {"sheet": sheet, "key": key, "name": name}

    def look(self) -> str | None:
        """What is wrong with the answer before it is called; "not found" if it is not there."""
        found = self.worker.ask(do="look", **self.asked)
        return None if found is None else str(found)

    def observations(self, exercise: Exercise, seed: int) -> Iterator[Observation]:
        """Of the cases of a seed, in order."""
        for row in self.worker.ask(do="observe", seed=seed, **self.asked):
            yield observation(row)

    def swapped(self, exercise: Exercise, seed: int, position: int) -> Iterator[tuple[Observation, Observation]]:
        """Of the pairs of `swapped_cases`."""
        for one, other in self.worker.ask(do="swapped", seed=seed, position=position, **self.asked):
            yield observation(one), observation(other)


def observation(row: Any) -> Observation:
    """An observation as it came over the wire. Raises EndedError for what is none."""
    try:
        container, values, after, gradients, states, printed, raised = row
        seen = Observation(
            container=str(container),
            values=[value if isinstance(value, Tensor) else Alien(*map(str, value)) for value in values],
            after=_tensors(after),
            gradients=_tensors(gradients),
            states=[state for state in _tensors(states) if state is not None],
            printed=bool(printed),
            raised=_raised(raised),
        )
    except (TypeError, ValueError) as error:
        raise EndedError("the kernel sent no result of a function") from error
    return seen


def _tensors(values: Any) -> list[Tensor | None]:
    if not all(value is None or isinstance(value, Tensor) for value in values):
        raise TypeError
    return list(values)


def _raised(row: Any) -> Raised | None:
    if row is None:
        return None
    kinds, text, by, own, at, said = row
    found = [value for value in _tensors(at) if value is not None]
    return Raised(tuple(map(str, kinds)), str(text), str(by), str(own), tuple(found), bool(said))
