"""environment.yml, pyproject.toml and the bootstrap agree, and the bootstrap tries what it says."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import bootstrap
from vae_course.course.__main__ import parser
from vae_course.course.catalogue import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_installs_the_same_project_for_the_same_python() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "vae-course"
    assert environment["channels"] == ["conda-forge"]
    *packages, pip = environment["dependencies"]
    assert pip == {"pip": ["-e .[dev]"]}
    assert {Requirement(package).name for package in packages} == {"python", "pip"}
    python = next(Requirement(p) for p in packages if p.startswith("python"))
    assert str(python.specifier) == PROJECT["requires-python"] == ">=" + ".".join(map(str, bootstrap.OLDEST_PYTHON))


def requirements() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def of_a_newer_python(requirement: Requirement) -> bool:
    return "python_version" in str(requirement.marker)


def test_every_requirement_is_valid_and_named_once() -> None:
    names = [each.name.lower() for each in requirements() if not of_a_newer_python(each)]
    assert len(set(names)) == len(names)
    assert {"torch", "torchvision", "nbval", "ipywidgets"} <= set(names)


def test_every_requirement_says_the_least_that_will_do_and_more_for_a_newer_python_only() -> None:
    least: dict[str, Version] = {}
    for each in requirements():
        (found,) = [s.version for s in each.specifier if s.operator in (">=", "==")]
        if of_a_newer_python(each):
            assert Version(found) > least[each.name], each
        least.setdefault(each.name, Version(found))


def test_what_students_and_teachers_need_is_no_extra() -> None:
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert {"jupyterlab", "ipykernel", "nbclient", "nbformat", "psutil"} <= names
    assert PROJECT["scripts"] == {"vae-course": "vae_course.course.__main__:main"}


def test_no_package_index_is_written_down() -> None:
    for name in ("pyproject.toml", "environment.yml", "Makefile", "bootstrap.py"):
        assert not re.search(r"https?://", (ROOT / name).read_text()), name


def test_torch_and_torchvision_come_from_one_index() -> None:
    assert list(bootstrap.steps("")) == [["-e", f"{ROOT}[dev]"]]
    first, second = bootstrap.steps("file:///wheels")
    assert first == ["--index-url", "file:///wheels", "torch", "torchvision"]
    assert second == ["-e", f"{ROOT}[dev]"]
    assert list(bootstrap.steps("", ["browser"])) == [["-e", f"{ROOT}[dev,browser]"]]


def test_the_oldest_environment_takes_the_lowest_versions_and_wheels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run", ran.append)
    monkeypatch.setattr(bootstrap, "OLDEST", tmp_path / ".oldest")
    bootstrap.build_oldest("uv")
    made, chosen, others, course = ran
    assert made[:4] == ["uv", "venv", "--python", "3.11"]
    assert {"lowest-direct", "--no-build"} <= set(chosen)
    assert {"--no-build", "--no-deps"} <= set(others)
    assert course[-2:] == ["-e", str(ROOT)]
    with pytest.raises(SystemExit, match="install uv"):
        bootstrap.build_oldest(None)


def test_a_machine_without_an_installer_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "runs", lambda command: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SystemExit, match="No installer was found: install uv, or pip"):
        bootstrap.find_installer(tmp_path / "python", tmp_path)


def test_a_wheel_of_pip_is_run_in_place(tmp_path: Path) -> None:
    (tmp_path / "pip-23.0.1-py3-none-any.whl").touch()
    assert list(bootstrap.pip_wheels(Path("python"), tmp_path)) == [
        ["python", str(tmp_path / "pip-23.0.1-py3-none-any.whl" / "pip")]
    ]


def test_make_help_lists_the_commands() -> None:
    ran = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT)
    for command in ("lab", "test", "check", "notebooks", "run", "browser", "bench", "lint", "data", "grade", "oldest"):
        assert f"make {command} " in ran.stdout


def test_the_makefile_is_a_face_of_the_command() -> None:
    """Every command of `vae-course` is called by a target, and by nothing but its name."""
    top = parser()
    (commands,) = [action.choices for action in top._actions if action.dest == "command"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\(COURSE\) (\w+)", makefile)) == set(commands or ())


def test_my_sheets_are_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"notebooks/my-sheets/", ".oldest/"} <= set(ignored)
