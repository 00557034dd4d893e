"""How pytest --nbval-lax reports notebooks: lectures up to the first cell that fails, sheets cell by cell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vae_course.course.failures import last_error_line

SHEETS = {"my-sheets", "exercises"}
broken: dict[Path, str] = {}  # a lecture -> the error of its first failing cell


def pytest_configure(config: pytest.Config) -> None:
    os.environ["VAE_COURSE_CHECKING"] = "1"  # the kernels inherit it: no progress bars
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path in broken:
        pytest.skip(f"an earlier cell of {item.path.name} failed: {broken[item.path]}")


def pytest_exception_interact(node: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if node.path.suffix == ".ipynb" and node.path.parent.name not in SHEETS:
        broken.setdefault(
            node.path,
            last_error_line(str(node.repr_failure(call.excinfo))) if call.excinfo else "",
        )
