"""environment.yml, pyproject.toml and the bootstrap agree, and the bootstrap tries what it says."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import bootstrap
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


def test_every_requirement_is_valid_and_named_once() -> None:
    requirements = [
        *PROJECT["dependencies"],
        *(r for group in PROJECT["optional-dependencies"].values() for r in group),
    ]
    names = [Requirement(r).name.lower() for r in requirements]
    assert len(set(names)) == len(names)
    assert {"torch", "torchvision", "nbval", "ipywidgets"} <= set(names)


def test_no_package_index_is_written_down() -> None:
    for name in ("pyproject.toml", "environment.yml", "Makefile", "bootstrap.py"):
        assert not re.search(r"https?://", (ROOT / name).read_text()), name


def test_torch_and_torchvision_come_from_one_index() -> None:
    assert list(bootstrap.steps("")) == [["-e", f"{ROOT}[dev]"]]
    first, second = bootstrap.steps("file:///wheels")
    assert first == ["--index-url", "file:///wheels", "torch", "torchvision"]
    assert second == ["-e", f"{ROOT}[dev]"]
    assert list(bootstrap.steps("", ["browser"])) == [["-e", f"{ROOT}[dev,browser]"]]


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
    for command in ("lab", "test", "check", "notebooks", "run", "browser", "bench", "lint"):
        assert f"make {command} " in ran.stdout


def test_my_sheets_are_ignored_by_git() -> None:
    assert "notebooks/my-sheets/" in (ROOT / ".gitignore").read_text().splitlines()
