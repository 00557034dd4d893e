"""The inside of a containment: takes rights from this process for good, then becomes the command that follows.

    python -m vae_course.grading.inside WAYS SCRATCH READABLE… -- COMMAND…

WAYS: `mounts` makes every mount but the scratch copy read-only, in namespaces that `unshare` has made; `landlock` lets the
kernel refuse every file that is not readable or scratch, and TCP where it can; `mounts,landlock` does both.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]


def mounts() -> list[tuple[str, set[str]]]:
    """Every mount: where, and its options."""
    rows = [row.split() for row in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [(row[4].encode().decode("unicode_escape"), set(row[5].split(","))) for row in rows]


def read_only(scratch: str) -> None:
    """Make every mount read-only and without devices, but the scratch copy and the harmless devices."""
    kept = [scratch, *(device for device in DEVICES if os.path.exists(device))]
    for path in kept:
        _mount("--bind", path, path)
    for path, options in mounts():
        if path not in kept:
            _mount("-o", ",".join(["remount", "bind", *sorted(options - {"rw"} | {"ro", "nodev", "nosuid"})]), path)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", "-n", *arguments], check=True, stderr=subprocess.DEVNULL)


def landlock(scratch: str, readable: Sequence[str]) -> None:
    """Let the kernel refuse all files but these, all TCP, and signals and abstract sockets to others, as far as it can."""
    from landlockpy import AccessFS, Ruleset, Scope

    read = AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.EXECUTE
    with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
        rules.allow_path(scratch, rules.handled_fs)
        for path in [*readable, "/proc"]:
            with contextlib.suppress(FileNotFoundError):
                rules.allow_path(path, read if os.path.isdir(path) else read & ~AccessFS.READ_DIR)
        for path in DEVICES:
            with contextlib.suppress(FileNotFoundError):
                rules.allow_path(path, AccessFS.READ_FILE | AccessFS.WRITE_FILE)
        rules.restrict()


def main() -> None:
    """Take the rights away, then run the command. Raises CalledProcessError or OSError where that is not possible."""
    ways, scratch, *rest = sys.argv[1:]
    readable, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    if "mounts" in ways.split(","):
        read_only(scratch)
        os.chdir(os.getcwd())  # entered anew, through the mount that can be written
    if "mounts" in ways.split(",") or os.geteuid() == 0:
        command = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--", *command]
    if "landlock" in ways.split(","):
        landlock(scratch, readable)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
