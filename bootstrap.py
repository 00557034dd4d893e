"""Build the environment of the course in `.venv` with nothing but Python: `python3 bootstrap.py`.

Only the standard library may be imported here. Installers are tried in this order: uv on the
PATH, uv fetched by pip, pip itself. pip is looked for as a module, in `ensurepip`, in the wheels
that Debian keeps for `venv`, and last in Debian's own archive (no root needed).

`TORCH_INDEX`, if set, is the package index from which torch and torchvision are taken together.

`python3 bootstrap.py --oldest` builds `.oldest` instead: the oldest Python and the lowest versions that pyproject.toml allows,
from wheels alone. That takes uv, and that Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV, OLDEST = ROOT / ".venv", ROOT / ".oldest"
OLDEST_PYTHON = (3, 11)

Command = list[str]
INSTALL = ["pip", "install", "--compile-bytecode", "--python"]  # compiled once: imports take half the time


def main() -> None:
    """Create `.venv` if need be, install the course into it, and leave a stamp for make; or build `.oldest`."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"The course needs Python 3.11 or newer; {sys.executable} is {found}: try PYTHON=python3.12.")
    python = python_in(VENV)
    if not python.exists():
        venv.create(VENV, with_pip=False, symlinks=os.name != "nt")
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:] == ["--oldest"]:
            build_oldest(find_uv(python, Path(folder)))
            return
        installer = find_installer(python, Path(folder))
        for requirements in steps(os.environ.get("TORCH_INDEX", ""), sys.argv[1:]):
            run([*installer, *requirements])
    (VENV / "installed").touch()


def steps(torch_index: str, extras: Sequence[str] = ()) -> Iterator[Command]:
    """The arguments of each call of the installer, in order. extras: groups of requirements beside `dev`."""
    if torch_index:
        yield ["--index-url", torch_index, "torch", "torchvision"]
    yield ["-e", f"{ROOT}[{','.join(['dev', *extras])}]"]


def python_in(environment: Path) -> Path:
    """The Python of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build_oldest(uv: str | None) -> None:
    """Build `.oldest` anew: the lowest versions of what pyproject.toml names, each as a wheel."""
    if uv is None:
        sys.exit("The lowest versions are chosen by uv, which could not be fetched: install uv, and try again.")
    oldest, chosen = ".".join(map(str, OLDEST_PYTHON)), OLDEST / "requirements.txt"
    shutil.rmtree(OLDEST, ignore_errors=True)
    run([uv, "venv", "--python", oldest, str(OLDEST)])
    lowest = ["--extra", "dev", "--resolution", "lowest-direct", "--no-build", "--quiet"]
    run([uv, "pip", "compile", str(ROOT / "pyproject.toml"), *lowest, "--python-version", oldest, "-o", str(chosen)])
    install = [uv, *INSTALL, str(python_in(OLDEST)), "--no-deps"]
    run([*install, "--no-build", "-r", str(chosen)])
    run([*install, "-e", str(ROOT)])


def find_installer(python: Path, folder: Path) -> Command:
    """A command that installs the packages named after it into the environment of `python`."""
    if uv := find_uv(python, folder):
        return [uv, *INSTALL, str(python)]
    return [*find_pip(python, folder), "install"]


def find_uv(python: Path, folder: Path) -> str | None:
    """uv on the PATH, or fetched by pip; None where neither can be."""
    if uv := shutil.which("uv"):
        return uv
    fetched = folder / "uv" / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    if runs([*find_pip(python, folder), "install", "--quiet", "--target", str(folder / "uv"), "uv"]):
        return str(fetched)
    return None


def find_pip(python: Path, folder: Path) -> Command:
    """A command that is pip, running in the environment of `python`."""
    candidates: Sequence[Callable[[], Iterator[Command]]] = (
        lambda: pip_modules(python),
        lambda: pip_wheels(python, Path("/usr/share/python-wheels")),
        lambda: pip_wheels(python, debian_wheel(folder)),
    )
    for candidate in candidates:
        for command in candidate():
            if runs([*command, "--version"]):
                return command
    sys.exit(
        "No installer was found: install uv, or pip for python3 (Debian: apt install python3-venv), and try again."
    )


def pip_modules(python: Path) -> Iterator[Command]:
    """pip as a module of the new environment: present already, or put there by ensurepip."""
    yield [str(python), "-m", "pip"]
    if runs([str(python), "-m", "ensurepip", "--default-pip"]):
        yield [str(python), "-m", "pip"]


def pip_wheels(python: Path, folder: Path) -> Iterator[Command]:
    """pip run in place from a wheel, which is a zip file that Python can import from."""
    for wheel in sorted(folder.glob("pip-*.whl"), reverse=True):
        yield [str(python), str(wheel / "pip")]


def debian_wheel(folder: Path) -> Path:
    """Fetch Debian's wheel of pip without installing its package, and say where it is."""
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        subprocess.run(["apt-get", "download", "-qq", "python3-pip-whl"], cwd=folder, check=False)
        for package in folder.glob("python3-pip-whl*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=False)
    return folder / "usr" / "share" / "python-wheels"


def runs(command: Command) -> bool:
    """Whether the command succeeds; its output is of no interest."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def run(command: Command) -> None:
    """Run a command whose failure ends the build."""
    print("+", " ".join(command), flush=True)
    if code := subprocess.run(command).returncode:
        sys.exit(
            f"Building the environment failed (exit {code}): see the lines above, then run the same command again."
        )


if __name__ == "__main__":
    main()
