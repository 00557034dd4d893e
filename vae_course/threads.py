"""How many threads torch takes: as many as there are free processors, at least one.

Two threads on two processors are faster than one, unless other programs want them too: then each operation waits for a
thread that has no processor, and a training can take ten times as long. So what others use is looked at again between the
cells of a notebook and the epochs of a training. A number set by hand (`OMP_NUM_THREADS`, `torch.set_num_threads`) stays.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import torch

LEAST_SECONDS = 0.3  # over less, the counts of the operating system say little


def processors() -> float:
    """How many processors this process may use: its affinity and, in a container, its share."""
    try:
        allowed = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # not on every system
        allowed = float(os.cpu_count() or 1)
    return min(allowed, container_share())


def container_share(root: Path = Path("/sys/fs/cgroup")) -> float:
    """The processors that a container's limit allows, infinite without one: control groups of version 2 or 1."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        share = float(quota) / float(period)
    except (OSError, ValueError):  # no limit: "max", or no such file
        return float("inf")
    return share if share > 0 else float("inf")


class Threads:
    """Chooses the number of threads from what others have used since the last look."""

    def __init__(self) -> None:
        self.most = max(1, min(torch.get_num_threads(), round(processors())))
        self.chosen: int | None = None if "OMP_NUM_THREADS" in os.environ else torch.get_num_threads()
        self.looked = self._now()

    def choose(self) -> int:
        """Look at what others use and set the number of threads; returns it."""
        mine = torch.get_num_threads()
        if self.chosen is None or mine != self.chosen:
            self.chosen = None  # set by hand
            return mine
        before, now = self.looked, self._now()
        elapsed = now[0] - before[0]
        if elapsed >= LEAST_SECONDS:
            others = max(0.0, (now[1] - before[1]) - (now[2] - before[2])) / elapsed
            self.looked = now
            self.chosen = max(1, min(self.most, round(processors() - others)))
            torch.set_num_threads(self.chosen)
        return self.chosen

    def _now(self) -> tuple[float, float, float]:
        """Seconds passed, those that all processors have worked, and those that they have worked for this process."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        own = os.times()
        children = own.children_user + own.children_system
        return time.perf_counter(), sum(times[:8]) - idle, own.user + own.system + children


_threads: Threads | None = None


def watch_threads() -> int:
    """Begin to choose the number of threads of this process; returns the first choice."""
    global _threads
    if _threads is None:
        _threads = Threads()
        if _threads.chosen is not None:
            time.sleep(LEAST_SECONDS)  # for a first look
    return _threads.choose()


def look_again(cell: object = None) -> None:
    """Choose anew, if somebody has begun to: between two cells (which Jupyter then passes), or two epochs."""
    if _threads is not None:
        _threads.choose()
