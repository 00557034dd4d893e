"""The judge's hold on a worker: requests with a time limit, and what the worker died of."""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any
from weakref import WeakSet

from torch import Tensor

from vae_course.exercises.exercise import Exercise
from vae_course.exercises.observe import Alien, Observation, Raised
from vae_course.grading.contained import Containment, environment
from vae_course.grading.limits import MARK, Limits, Watch
from vae_course.grading.refusal import Group, for_a_user
from vae_course.grading.scratch import Scratch
from vae_course.grading.verdict import EndedError, Verdict, plain
from vae_course.grading.wire import WireError, receive, send

NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|unable to allocate", re.IGNORECASE)
JUDGING = (
    threading.Lock()
)  # held while an answer is judged, let go while its worker is asked: judges share torch and streams
NO_RESULT = "died: it sent no result of a function"
START = 120.0  # seconds for a worker to import torch, on a slow disk


class Worker:
    """A process that runs the cells of one notebook and calls its functions, within limits.

    contained: behind what it starts, in a scratch copy of what it needs; None leaves it in the notebook's own folder.
    """

    def __init__(self, notebook: Path, limits: Limits, contained: Containment | None) -> None:
        self.notebook, self.limits, self.contained = notebook, limits, contained
        self.process: subprocess.Popen[bytes] | None = None
        self.until = time.monotonic() + limits.whole
        LIVE.add(self)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process, or start it anew."""
        self.stop()
        self.scratch = Scratch(self.notebook, copied=self.contained is not None)
        mark = token_hex()
        self.group = Group(mark[:12], self.limits)
        behind, own_count = list(self.group.behind), False
        if self.contained:
            behind += self.contained.behind(self.scratch.root, self.scratch.work)
            own_count = self.contained.own_count
        most = [str(int(self.limits.written)), str(for_a_user(self.limits, own_count))]
        self.process = subprocess.Popen(
            [*behind, sys.executable, "-m", "vae_course.grading.worker", *most],
            cwd=self.scratch.work,
            env=environment(self.scratch.temporary, clean=self.contained is not None) | {MARK: mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.watch = Watch(self.process.pid, mark, self.scratch.root, self.limits)
        self.watch.start()
        self.answers: queue.Queue[Any] = queue.Queue(maxsize=2)  # who sends unasked is not listened to for long
        self.listener = threading.Thread(target=self._listen, args=(self.process, self.answers), daemon=True)
        self.listener.start()
        self.fresh = True
        return self.process

    @staticmethod
    def _listen(process: subprocess.Popen[bytes], into: queue.Queue[Any]) -> None:
        try:
            while True:
                into.put([receive(process.stdout)])  # type: ignore[arg-type]
        except (EOFError, OSError):
            into.put(None)
        except WireError as error:
            into.put(EndedError(Verdict.DIED, f"died: it sent {error}"))

    def ask(self, **request: Any) -> Any:
        """The worker's answer. Raises EndedError, with the process stopped, if none comes."""
        if time.monotonic() > self.until:
            self.stop()
            minutes = self.limits.whole / 60
            raise EndedError(Verdict.NOT_CHECKED, f"not checked: the notebook took more than {minutes:g} minutes")
        process = self.process or self.start()
        with contextlib.suppress(OSError):  # then the listener says so
            send(process.stdin, request)  # type: ignore[arg-type]
        seconds, self.fresh = self.limits.seconds + (START if self.fresh else 0), False
        try:
            found = self.answers.get(timeout=seconds)
        except queue.Empty:
            found = EndedError(Verdict.NOT_ENDED, f"did not end within {self.limits.seconds:g} s")
        found = self.watch.look() or (EndedError(Verdict.DIED, died(process)) if found is None else found)
        if isinstance(found, EndedError):
            self.stop()
            raise found
        return found[0]

    def stop(self) -> None:
        """End the process, if it runs, and all that it started."""
        if self.process is None:
            return
        self.watch.stop()
        self.process.kill()
        self.process.wait()
        until = time.monotonic() + 2
        while self.listener.is_alive() and time.monotonic() < until:  # what waits in the queue lets it go on to the end
            with contextlib.suppress(queue.Empty):
                self.answers.get(timeout=0.02)
        if not self.listener.is_alive():
            for stream in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
        self.scratch.remove()
        self.group.remove()
        self.process = None


LIVE: WeakSet[Worker] = WeakSet()


def give_up() -> None:
    """End every worker for good: what is not judged by now stays unchecked."""
    for worker in list(LIVE):
        worker.until = 0.0
        if worker.process is not None:
            worker.watch.stop()


def died(process: subprocess.Popen[bytes]) -> str:
    """What a process died of, whose pipe has ended."""
    try:
        status = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return "died: it closed its pipe"
    number = -status if status < 0 else status - 128
    if number == 9:
        return "died: it was killed, perhaps because the machine's memory ended"
    if 0 < number < 65:
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(number).name}"
    return f"died: its process ended with status {status}"


class There:
    """An answer in a worker, for a judge that holds `JUDGING`. no_memory: whether it was refused memory."""

    def __init__(self, worker: Worker, sheet: str, key: str, name: str) -> None:
        self.worker = worker
        self.asked = {"sheet": sheet, "key": key, "name": name}
        self.no_memory = False

    def look(self) -> str | None:
        """What is wrong with the answer before it is called; "not found" if it is not there."""
        found = self.worker.ask(do="look", **self.asked)
        return None if found is None else plain(str(found))

    def observations(self, exercise: Exercise, seed: int) -> Iterator[Observation]:
        """Of the cases of a seed, in order."""
        for row in self._ask(do="observe", seed=seed):
            seen = observation(row)
            if seen.raised and ("MemoryError" in seen.raised.kinds or NO_MEMORY.search(seen.raised.text)):
                self.no_memory = True
            yield seen

    def swapped(self, exercise: Exercise, seed: int, position: int) -> Iterator[tuple[Observation, Observation]]:
        """Of the pairs of `swapped_cases`."""
        for pair in self._ask(do="swapped", seed=seed, position=position):
            if not isinstance(pair, list) or len(pair) != 2:
                raise EndedError(Verdict.DIED, NO_RESULT)
            yield observation(pair[0]), observation(pair[1])

    def _ask(self, **request: Any) -> list[Any]:
        JUDGING.release()
        try:
            found = self.worker.ask(**request, **self.asked)
        finally:
            JUDGING.acquire()
        if not isinstance(found, list):
            raise EndedError(Verdict.DIED, NO_RESULT)
        return found


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
        raise EndedError(Verdict.DIED, NO_RESULT) from error
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
