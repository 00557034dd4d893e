"""What a worker may use, and the watch on it: memory, processes and written bytes, of it and of all that it starts."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from vae_course.grading.verdict import EndedError, Verdict

GB, MB = 10**9, 10**6
PAUSE = 0.1  # seconds between two looks, or ten times what a look takes
BLOCK = 4096  # bytes that a file or a folder costs at least
ITERATING = threading.Lock()  # psutil keeps one table of processes for all threads
MARK = "VAE_COURSE_WORKER"  # the variable by which a process that left its family is known


class Limits(NamedTuple):
    """What one hand-in may use.

    seconds: for a cell, and for a question about a function; whole: for a notebook; memory: resident bytes of the worker and
    all that it starts; processes: of these, itself counted; written: bytes in the scratch copy, or sent to the disk.
    """

    seconds: float = 60.0
    whole: float = 900.0
    memory: float = 3 * GB
    processes: int = 32
    written: float = 200 * MB


class Watch(threading.Thread):
    """Looks at a process and all that it starts until it ends, or until a limit is crossed, and then ends them.

    crossed: the limit that was, None as long as none is. folder: where written bytes are counted.
    """

    def __init__(self, process: int, mark: str, folder: Path, limits: Limits) -> None:
        super().__init__(daemon=True)
        self.family = Family(process, mark)
        self.folder, self.limits = folder, limits
        self.crossed: EndedError | None = None
        self.over = threading.Event()
        self.looking = threading.Lock()

    def run(self) -> None:
        """Look again and again."""
        pause = PAUSE
        while not self.over.wait(pause):
            began = time.perf_counter()
            self.look()
            pause = max(PAUSE, 10 * (time.perf_counter() - began))

    def look(self) -> EndedError | None:
        """Look once; the limit that is crossed, if one is, with the processes ended."""
        with self.looking:
            if self.crossed is None:
                try:
                    self.crossed = self._crossed()
                except Exception as error:  # what cannot be watched does not run
                    self.crossed = EndedError(Verdict.NOT_CHECKED, f"not checked: it could not be watched, {error}")
                if self.crossed is not None:
                    self.family.end()
            return self.crossed

    def _crossed(self) -> EndedError | None:
        limits, members = self.limits, self.family.members()
        if len(members) > limits.processes:
            return EndedError(Verdict.PROCESSES, f"started more than {limits.processes} processes")
        if total(resident, members) > limits.memory and total(own_share, members) > limits.memory:
            return EndedError(Verdict.MEMORY, f"ran out of memory (more than {limits.memory / GB:g} GB)")
        if max(size(self.folder, limits.written), total(sent_to_disk, members)) > limits.written:
            return EndedError(Verdict.WRITTEN, f"wrote more than {limits.written / MB:g} MB")
        return None

    def stop(self) -> None:
        """Look no more, and end the process with all that it started."""
        self.over.set()
        with self.looking:
            self.family.end()


class Family:
    """A process and all that it starts, also what has left its parent since it was seen."""

    def __init__(self, process: int, mark: str) -> None:
        self.first, self.mark = process, mark
        self.known: set[psutil.Process] = set()

    def members(self) -> list[psutil.Process]:
        """Those that live."""
        children: dict[int, list[psutil.Process]] = defaultdict(list)
        waiting = []
        for process in everyone():
            with contextlib.suppress(psutil.Error):
                children[process.ppid()].append(process)
                if process.pid == self.first or process in self.known:
                    waiting.append(process)
        found = set()
        while waiting:
            if (process := waiting.pop()) not in found:
                found.add(process)
                waiting += children[process.pid]
        for process in found - self.known:
            end_first(process)
        self.known = found
        return [member for member in found if _lives(member)]

    def end(self) -> None:
        """Kill them all, and those that bear the mark. Waits until they are gone, five seconds at most."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if hasattr(os, "killpg"):
                with contextlib.suppress(OSError):
                    os.killpg(self.first, 9)
            living = {*self.members(), *(one for one in self._marked() if _lives(one))}
            for member in living:
                with contextlib.suppress(psutil.Error):
                    member.kill()
            if not living:
                return
            time.sleep(0.01)

    def _marked(self) -> Iterator[psutil.Process]:
        for process in everyone():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark:
                    yield process


def everyone() -> list[psutil.Process]:
    """All processes of the machine."""
    with ITERATING:
        return list(psutil.process_iter())


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def end_first(process: psutil.Process) -> None:
    """Let the system end this process before others where the machine's memory ends (Linux)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")


def total(measure: Callable[[psutil.Process], float], members: list[psutil.Process]) -> float:
    """The sum of a measure; one that has ended, or may not be looked at, counts nothing."""
    found = 0.0
    for member in members:
        with contextlib.suppress(psutil.Error, OSError):
            found += measure(member)
    return found


def resident(process: psutil.Process) -> float:
    """Bytes in memory; what processes share is counted in each of them."""
    return float(process.memory_info().rss)


def own_share(process: psutil.Process) -> float:
    """Bytes in memory, those that processes share divided among them where the system tells (Linux)."""
    try:
        rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return 1024.0 * next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    except (OSError, StopIteration):
        return resident(process)


def sent_to_disk(process: psutil.Process) -> float:
    """Bytes written to a disk, also into a file that was deleted while open; 0 where the system counts other things."""
    return float(process.io_counters().write_bytes) if sys.platform == "linux" else 0.0


def size(folder: Path, enough: float) -> float:
    """Bytes that a folder takes, at least a block for each file and folder in it; stops to count when it is enough."""
    found, waiting = 0.0, [str(folder)]
    while waiting and found <= enough:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        state = entry.stat(follow_symlinks=False)
                        found += max(BLOCK, 512 * getattr(state, "st_blocks", state.st_size // 512))
                        if stat.S_ISDIR(state.st_mode):
                            waiting.append(entry.path)
        except OSError:  # gone, or a path that is too long
            continue
    return found
