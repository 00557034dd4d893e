"""How a worker is contained on this machine: bubblewrap, else namespaces and Landlock, else Landlock, else not at all."""

from __future__ import annotations

import os
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from vae_course.data.images import data_folder

PACKAGE = Path(__file__).resolve().parents[1]
SYSTEM = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store",
    *(f"/etc/{name}" for name in (
        "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "passwd", "group", "nsswitch.conf",
    )),
]  # fmt: skip
PASSED_ON = {"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT"}
TRIAL = """
import socket, sys, vae_course.grading.worker
open("inside", "w").close()
try:
    open(sys.argv[1], "w").close()
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5)
except OSError:
    sys.exit(0)
sys.exit(9)
"""


class Containment(NamedTuple):
    """What contains a worker. said: what is contained, and what is not; behind: the command that a worker is started behind.

    tight: whether files outside the scratch copy, and TCP, are out of reach; own_count: whether the worker's user has a
    namespace in which its processes are counted.
    """

    name: str
    said: str
    tight: bool
    behind: Callable[[Path, Path], list[str]]  # of the scratch folder, and the folder in it to work in
    own_count: bool = False


def you() -> str:
    """In whose name a notebook's code runs."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return "The code in the notebooks runs as you" + (", and you are root: grade as a user, if you can" if root else "")


def readable() -> list[str]:
    """What a worker reads: the system's programs and libraries, the Python environment, the package, the data sets."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    if site.ENABLE_USER_SITE:
        python.append(site.getusersitepackages())
    ours = [str(PACKAGE), str(data_folder())]
    named = [*SYSTEM, *python, *(str(Path(path).resolve()) for path in python), *ours]
    return [path for path in dict.fromkeys(named) if path != "/" and os.path.exists(path)]


def behind_bubblewrap(scratch: Path, work: Path) -> list[str]:
    """A new root that holds what is readable and the scratch copy; no network, processes of its own."""
    seen = [part for path in readable() for part in ("--ro-bind", path, path)]
    temporary = str(scratch / "tmp")
    return [
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--proc", "/proc", "--dev", "/dev", "--bind", temporary, "/dev/shm", "--bind", temporary, "/tmp"),
        *seen,
        *("--bind", str(scratch), str(scratch), "--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/", "--chdir", str(work), "--"),
    ]  # fmt: skip


def _inside(ways: str, scratch: Path) -> list[str]:
    return [sys.executable, "-m", "vae_course.grading.inside", ways, str(scratch), *readable(), "--"]


def behind_namespaces(scratch: Path, work: Path) -> list[str]:
    """The same files, read-only but for the scratch copy; no network, processes of their own; Landlock where it is."""
    ways = "mounts,landlock" if landlock_abi() >= 3 else "mounts"
    own = ("--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
    return ["unshare", *own, *_inside(ways, scratch)]


def behind_landlock(scratch: Path, work: Path) -> list[str]:
    """The kernel refuses other files, and TCP where it can."""
    return _inside("landlock", scratch)


def landlock_abi() -> int:
    """The version of Landlock in this kernel, 0 where there is none, or no library for it."""
    if sys.platform != "linux" or find_spec("landlockpy") is None:
        return 0
    from landlockpy import abi_version

    return abi_version()


def ways() -> list[Containment]:
    """The ways that this machine might have, best first."""
    abi = landlock_abi()
    found = []
    if sys.platform == "linux" and shutil.which("bwrap"):
        says = (
            "bubblewrap contains it: it reads the system, Python and the course, nothing else of yours, writes in a scratch "
            "copy only, has no network, and all that it starts ends with it. What a fault of the kernel allows is not contained."
        )
        found.append(Containment("bubblewrap", says, True, behind_bubblewrap, True))
    if sys.platform == "linux" and all(map(shutil.which, ("unshare", "mount", "setpriv"))):
        reads = "reads nothing else of yours" if abi >= 3 else "can read your files"
        says = (
            f"Namespaces contain it: it writes in a scratch copy only, {reads}, has no network, and all that it starts ends "
            "with it. Sockets in the file system, and what a fault of the kernel allows, are not contained."
        )
        found.append(Containment("namespaces", says, True, behind_namespaces, True))
    if abi >= 3:
        net = (
            "TCP and UDP are refused"
            if abi >= 10
            else "TCP is refused, UDP is not"
            if abi >= 4
            else "nothing is refused"
        )
        says = (
            "Landlock contains its files: it reads the system, Python and the course, and writes in a scratch copy only. Of "
            f"the network, {net}. Permissions of your files, sockets in the file system, and processes that hide from the "
            "judge are not contained."
        )
        found.append(Containment("Landlock", says, abi >= 4, behind_landlock))
    return found


NOTHING = Containment(
    "nothing",
    "nothing contains it here: it can read and change your files and use the network. Only its time, memory, processes and "
    "written bytes are watched. Grade notebooks of people you trust, or do it on Linux with bubblewrap.",
    False,
    lambda scratch, work: [],
)


@lru_cache(maxsize=1)
def best() -> Containment:
    """The best way that works here; each is tried, by a program that writes beside its scratch copy and calls the judge."""
    return next((way for way in ways() if holds(way)), NOTHING)


def holds(way: Containment) -> bool:
    """Whether a worker starts in it, and what it should not reach is out of reach."""
    with (
        tempfile.TemporaryDirectory(prefix="vae-course-trial-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        scratch, outside = Path(folder).resolve() / "scratch", Path(folder).resolve() / "outside"
        for path in (scratch, scratch / "tmp", scratch / "work"):
            path.mkdir()
        program = [sys.executable, "-c", TRIAL, str(outside), str(server.getsockname()[1] if way.tight else 9)]
        try:
            ended = subprocess.run(
                [*way.behind(scratch, scratch / "work"), *program],
                cwd=scratch / "work", env=environment(scratch / "tmp", True), timeout=120,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
        return ended.returncode == 0 and (scratch / "work" / "inside").exists() and not outside.exists()


def environment(temporary: Path, clean: bool) -> dict[str, str]:
    """What the worker's process sees: the notebook is being checked, on the processor, on one thread, with no screen.

    clean: without the variables that may hold secrets, and with a home of its own.
    """
    fixed = {
        "VAE_COURSE_CHECKING": "1", "VAE_COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
        "IPYTHONDIR": str(temporary), "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    if not clean:
        return {**os.environ, **fixed}
    kept = {name: value for name, value in os.environ.items() if name.upper() in PASSED_ON or name.startswith("LC_")}
    ours = {name: value for name, value in os.environ.items() if name.startswith("VAE_COURSE_")}
    home = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(temporary))
    found = {**kept, **ours, **home, "VAE_COURSE_DATA": str(data_folder()), "PYTHONDONTWRITEBYTECODE": "1", **fixed}
    if not PACKAGE.is_relative_to(Path(sys.prefix).resolve()):
        found["PYTHONPATH"] = str(PACKAGE.parent)
    return found
