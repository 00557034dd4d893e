"""The course as a wheel, in an empty folder, with a console and files as Windows has them, and a notebook opened alone.

Windows itself is not here. Simulated are its console (cp1252), files whose encoding is not UTF-8 unless it is named, processes
that are spawned, and an `os` without fork and links.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nbformat
import pytest
from packaging.version import Version

from vae_course.course import build, datasets, desk
from vae_course.course.__main__ import main, refuse_without_sources
from vae_course.course.alone import BY_CELL, BY_HAND
from vae_course.course.catalogue import PACKAGE, ROOT, catalogue, home, name_of
from vae_course.course.sources import Kind, Notebook, Target, targets

SHEET = "elbo"
LEFT_BEHIND = ("my-sheets", ".ipynb_checkpoints", ".ruff_cache", "__pycache__")
WITHOUT = """
import multiprocessing, os
for name in ("fork", "forkpty", "symlink", "link"):
    delattr(os, name)
multiprocessing.set_start_method("spawn")
"""
Command = Callable[..., subprocess.CompletedProcess[str]]


def lacking() -> str:
    """Why no wheel can be built here."""
    try:
        found = version("setuptools")
    except PackageNotFoundError:
        return "setuptools, which builds wheels, is not installed"
    return "" if Version(found) >= Version("70.1") else f"setuptools {found} builds no wheels by itself"


def built(checkout: Path, kind: str) -> Path:
    """The `wheel` or `sdist` that the build backend makes of a checkout, with what is installed here."""
    program = f"from setuptools import build_meta; build_meta.build_{kind}('dist')"
    ran = subprocess.run([sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    (made,) = (checkout / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def stored() -> list[str]:
    """The notebooks of the course, by their paths in `notebooks/`."""
    return [t.path.relative_to(ROOT / "notebooks").as_posix() for t in targets() if t.path.is_file()]


def files_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course, with what must not travel: a student's sheets, and what an earlier build left."""
    if why := lacking():
        pytest.skip(why)
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("vae_course", "notebooks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    for name in ("notebooks/my-sheets/00_mine.ipynb", "build/lib/vae_course/notebooks/99_old.ipynb"):
        (copy / name).parent.mkdir(parents=True)
        (copy / name).touch()
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return built(checkout, "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH, with the wheel unpacked in it, in which Python lacks what Windows lacks."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    (site / "sitecustomize.py").write_text(WITHOUT, encoding="ascii")
    return site


@pytest.fixture
def command(installed: Path, tmp_path: Path) -> Command:
    """Runs `vae-course` of the wheel in an empty folder, with the console and the files of Windows."""

    def run(*given: str) -> subprocess.CompletedProcess[str]:
        # No locale: files are ASCII if nobody names their encoding, which is stricter than Windows.
        simulated = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
        environment = {**os.environ, **simulated, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, "-m", "vae_course.course", *given]
        ran = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, encoding="cp1252")
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    return run


def test_a_wheel_brings_the_notebooks_and_nothing_that_is_not_the_courses(wheel: Path) -> None:
    files = files_in(wheel)
    brought = {name.removeprefix("vae_course/") for name in files if name.startswith("vae_course/notebooks/")}
    assert brought == {"notebooks/course.toml", *(f"notebooks/{name}" for name in stored())}
    assert {name.split("/")[0] for name in files} == {"vae_course", "vae_course-0.1.0.dist-info"}
    assert {"vae_course/py.typed", "vae_course/checkpoints/manifest.json"} <= set(files)
    with zipfile.ZipFile(wheel) as opened:
        scripts = opened.read("vae_course-0.1.0.dist-info/entry_points.txt").decode()
    assert "vae-course = vae_course.course.__main__:main" in scripts


def test_a_source_distribution_gives_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    packed = built(checkout, "sdist")
    shutil.unpack_archive(packed, tmp_path)
    (unpacked,) = tmp_path.iterdir()
    assert not (unpacked / "notebooks/my-sheets").exists()
    assert sorted(files_in(built(unpacked, "wheel"))) == sorted(files_in(wheel))


def test_the_course_is_around_the_package_or_in_it(installed: Path) -> None:
    assert home() == PACKAGE.parent == ROOT
    assert home(installed / "vae_course") == installed / "vae_course"


def test_a_sheet_is_checked_where_the_wheel_has_copied_it(command: Command, tmp_path: Path) -> None:
    assert "holds no sheet of elbo" in command("check", SHEET).stderr
    assert f"{len(desk.blank_sheets())} sheets copied" in command("sheets").stdout
    undone = command("check", SHEET)
    assert undone.returncode == 1
    assert undone.stdout.count("not done yet") == len(undone.stdout.splitlines()) - 1 >= 3
    (solution,) = (ROOT / "notebooks/solutions").glob(f"*_{SHEET}.ipynb")
    shutil.copy(solution, tmp_path / "my-sheets")
    solved = command("check", SHEET)
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert solved.stdout.count(": passed") == len(solved.stdout.splitlines()) - 1


def test_a_class_is_graded_on_a_console_without_check_marks(command: Command, tmp_path: Path) -> None:
    (solution,) = (ROOT / "notebooks/solutions").glob("*_start_here.ipynb")
    shutil.copy(solution, tmp_path / "Ærø β.ipynb")
    ran = command("grade", ".", "start", "--out", str(Path("grades") / "here"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    row = next(line for line in ran.stdout.splitlines() if line.endswith("+"))  # the plain sign for a check mark
    assert row.split().count("+") == 4
    assert (tmp_path / "grades/here/grades.csv").is_file()


def test_a_lecture_is_executed_and_nothing_is_written(command: Command, tmp_path: Path) -> None:
    ran = command("run", "start_here")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert [Path(line.split(":")[0]).name for line in lines] == ["00_start_here.ipynb"] * 2
    assert all("claims and checks hold" in line and " 0 claims" not in line for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [["--help"], ["lab", "--help"], ["grade", "--help"], ["data", "--help"]])
def test_every_help_fits_the_console(command: Command, given: list[str]) -> None:
    ran = command(*given)
    assert ran.returncode == 0
    assert "usage: vae-course" in ran.stdout


def test_what_is_unknown_is_told_in_one_line(command: Command) -> None:
    for given, said in (
        (["check", "99"], "'99' is no lecture"),
        (["build"], "run it in a checkout of the course"),
    ):
        ran = command(*given)
        assert ran.returncode == 1
        assert said in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_a_makers_command_says_which_extras_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_course.course.__main__.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r'^vae-course prove needs jupytext: pip install "vae-course\[dev\]"$'):
        refuse_without_sources("prove")


def test_an_option_that_no_command_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "elbo", "--no-browser"])
    assert "unrecognized arguments: --no-browser" in capsys.readouterr().err


def test_lab_lays_out_an_empty_folder_and_overwrites_nothing(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[list[str]] = []
    monkeypatch.setattr("jupyterlab.labapp.main", opened.append)
    root, folder = home(installed / "vae_course"), tmp_path / "a course"
    desk.open_lab(str(folder), ["--no-browser"], root)
    assert opened == [[f"--notebook-dir={folder}", "--no-browser"]]
    names = set(stored())
    sheets = {f"my-sheets/{path.name}" for path in desk.blank_sheets().values()}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.ipynb")} == names | sheets
    for name in ("00_start_here.ipynb", "my-sheets/00_start_here.ipynb"):
        (folder / name).write_text("mine", encoding="ascii")
    (folder / "my-sheets/07_elbo.ipynb").rename(folder / "my-sheets/late work on elbo.ipynb")
    (folder / "01_autoencoders.ipynb").unlink()
    desk.open_lab(str(folder), [], root)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"{len(names)} notebooks copied, 0 were there (0 differ from the course's and stay as they are); "
                          f"{len(sheets)} sheets copied into my-sheets.")  # fmt: skip
    assert second.endswith(f"1 notebooks copied, {len(names) - 1} were there (1 differ from the course's and stay as they "
                           "are); 0 sheets copied into my-sheets.")  # fmt: skip
    assert (
        (folder / "00_start_here.ipynb").read_text() == (folder / "my-sheets/00_start_here.ipynb").read_text() == "mine"
    )


def test_a_desk_is_the_folder_with_the_sheets(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert desk.desk() == ROOT / "notebooks"
    assert desk.desk(home(installed / "vae_course")) == tmp_path
    (tmp_path / desk.MINE).mkdir()
    assert desk.desk() == tmp_path


def test_a_copy_that_is_interrupted_leaves_no_half(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        desk.copied(tmp_path, tmp_path / "copy.ipynb")  # a folder cannot be read
    assert not (tmp_path / "copy.ipynb").exists()


def test_laying_out_a_desk_does_not_load_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vae_course.course import desk; "
        "desk.lay_out(Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stderr


def test_data_says_what_is_there_and_downloads_by_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, bool]] = []

    def from_torchvision(name: str, *, train: bool, download: bool) -> list[int]:
        asked.append((name, download))
        if name == "MNIST" or download:
            return [0] * 10
        raise FileNotFoundError

    class Beams:
        name, layouts = "beams", range(1500)

    monkeypatch.setattr(datasets, "from_torchvision", from_torchvision)
    monkeypatch.setattr(datasets, "beams", Beams)
    datasets.data()
    assert not any(download for _, download in asked)
    *_, beams, mnist, fashion, _ = capsys.readouterr().out.splitlines()
    assert (beams, mnist) == ("beams: 1,500, there", "MNIST: 10 + 10 pictures, there and unaltered")
    assert fashion == "FashionMNIST: not there; vae-course data fashionmnist downloads it"
    asked.clear()
    datasets.data("cifar10")
    assert asked == [("CIFAR10", True)] * 2
    with pytest.raises(SystemExit, match="'imagenet' is no data set to be downloaded: there are mnist, fashionmnist"):
        datasets.data("imagenet")


def test_every_file_is_opened_in_an_encoding_that_is_named() -> None:
    """But for those of the Linux kernel, which are ASCII, and for what holds no text."""
    unnamed = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _opens_text(node):
                unnamed.append(f"{path.relative_to(PACKAGE).as_posix()}: {ast.unparse(node)}")
    linux = ("threads.py", "grading/limits.py", "grading/inside.py", "grading/refusal.py", "course/prove.py")
    assert not [call for call in unnamed if not call.startswith(linux)]


def _opens_text(call: ast.Call) -> bool:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if isinstance(call.func, ast.Name):
        opens, given = call.func.id == "open", call.args[1:]
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name | ast.Call | ast.BinOp):
        if call.func.attr in ("read_text", "write_text"):
            return "encoding" not in named
        owner = call.func.value
        opens = call.func.attr == "open" and not (isinstance(owner, ast.Name) and owner.id in ("Image", "os"))
        given = call.args
    else:
        return False
    mode = named.get("mode") or (given[0] if given else None)
    return opens and "encoding" not in named and not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


LINE = "# %% [markdown]\n# # [[this]]\n\n# %%\nx = 1\n"
TABLE = """{repository}[[part]]
title = "I"
lectures = [
  {{ name = "first", title = "First", short = "first", able = "a", needs = [], minutes = 5, seconds = 5 }},
]
"""


def opened_alone(root: Path, repository: str) -> tuple[Target, list[Notebook]]:
    """The cells of a lecture of one line of code, in a course that is published there."""
    source = root / "notebooks" / "source"
    source.mkdir(parents=True, exist_ok=True)
    table = TABLE.format(repository=f'repository = "{repository}"\n' if repository else "")
    (root / "notebooks/course.toml").write_text(table, encoding="utf-8")
    (source / "first.py").write_text(LINE, encoding="utf-8")
    catalogue.cache_clear()
    (target,) = targets(root)
    return target, build.from_source(target, root).cells


def test_a_notebook_says_under_its_title_how_the_package_is_got(tmp_path: Path) -> None:
    _, (title, line, code) = opened_alone(tmp_path, "")
    assert title.source == "# 00 · First"
    assert line.source == BY_HAND
    assert code.source == "x = 1"
    for target in targets():
        assert [cell.source for cell in build.from_source(target).cells][1] == BY_HAND


def test_where_the_course_is_published_a_cell_installs_the_package_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, (_, line, install, _) = opened_alone(tmp_path, "https://github.com/someone/course.git")
    badge, said = line.source.split("\n\n")
    assert said == BY_CELL
    assert "colab.research.google.com/github/someone/course/blob/main/notebooks/00_first.ipynb" in badge
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(install.source, {})
    assert commands == []  # it is installed here
    exec(install.source.replace("vae_course", "no_such_package"), {})
    (command,) = commands
    assert command[1:] == ["-m", "pip", "install", "--quiet", "vae-course @ git+https://github.com/someone/course"]
    build.make(target, tmp_path)
    printed = [cell.get("outputs") for cell in nbformat.read(target.path, as_version=4).cells]
    assert printed == [None, None, [], []]


def test_a_badge_is_for_what_colab_can_open(tmp_path: Path) -> None:
    _, (_, line, _, _) = opened_alone(tmp_path, "https://forge.example/someone/course")
    assert line.source == BY_CELL


def test_a_line_under_the_title_changes_no_code() -> None:
    target = next(each for each in targets() if each.kind is Kind.LECTURE and name_of(each.path) == SHEET)
    stored = nbformat.read(target.path, as_version=4)
    assert build.code_of(build.from_source(target)) == build.code_of(stored)
