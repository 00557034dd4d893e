"""The number of processes at which the system itself refuses more: a bomb multiplies faster than anything can look at it.

Of a user it is a limit of the worker (`RLIMIT_NPROC`); the system asks nothing of root's, so that root gets a control group.
Both count threads too. Where there is neither (root in a container, Windows), processes are only watched.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import time
from pathlib import Path

import psutil

from vae_course.grading.limits import Limits, everyone

GROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))  # of the first version, of the second
ROOM = 256  # for what the user's other programs may start meanwhile, where they are counted too


def tasks(limits: Limits) -> int:
    """Processes and threads at which the system is to refuse more: above what the judge counts, so that it is the judge who says so."""
    return 4 * limits.processes + 64


def for_a_user(limits: Limits, own_count: bool) -> int:
    """The limit for the worker of a user, 0 for none. own_count: whether it has a user namespace of its own."""
    if sys.platform == "win32" or os.geteuid() == 0:
        return 0
    if own_count and sys.platform == "linux" and _release() >= (5, 14):  # counted for each namespace since then
        return tasks(limits)
    return tasks(limits) + ROOM + _threads_of(os.getuid())


def _release() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _threads_of(user: int) -> int:
    found = 0
    for process in everyone():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                found += process.num_threads()
    return found


class Group:
    """A control group for the worker of root. behind: the command that puts what it starts into it; empty where there is none."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.folder: Path | None = None
        self.behind: list[str] = []
        if sys.platform != "linux" or os.geteuid() != 0:
            return
        for groups in GROUPS:
            folder = groups / f"vae-course-{name}"
            try:
                if (groups / "cgroup.subtree_control").exists():
                    (groups / "cgroup.subtree_control").write_text("+pids")
                folder.mkdir()
                self.folder = folder
                (folder / "pids.max").write_text(str(tasks(limits)))
            except OSError:
                self.remove()
                continue
            self.behind = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(folder / "cgroup.procs")]
            return

    def remove(self) -> None:
        """Remove it, once all in it has ended."""
        for _ in range(50):
            if self.folder is None:
                return
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:  # a process is still on its way out
                time.sleep(0.02)
                continue
            self.folder = None
