"""What pytest says of a sheet: one line an exercise. `notebooks/conftest.py` hands these hooks to pytest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

CHECK = re.compile(r"^check\(\w+\.(\w+), *\w+\)", re.MULTILINE)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
TITLE = "exercises"
PASSED = "passed"


def exercise_of(item: Any) -> str | None:
    """The name of the exercise that a notebook cell checks, if it is such a cell."""
    found = CHECK.search(getattr(getattr(item, "cell", None), "source", "") or "")
    return found.group(1) if found else None


def last_error_line(text: str) -> str:
    """The line of a traceback that names the error, without colours."""
    lines = [line.strip() for line in ANSI.sub("", text).splitlines()]
    named = [line for line in lines if re.match(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return named[-1] if named else next((line for line in reversed(lines) if line), "failed")


def diagnosis(text: str) -> str:
    """What the student reads: the engine's sentence, or the last line of another error."""
    line = last_error_line(text)
    return line.partition(": ")[2] if line.startswith(("ExerciseError: ", "NotDoneError: ")) else line


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any) -> Any:
    """Note the exercise and its diagnosis on the report, which travels to the process that prints."""
    outcome = yield
    report = outcome.get_result()
    name = exercise_of(item)
    if report.when == "call" and name is not None:
        sheet = Path(str(item.path)).stem
        message = PASSED if report.passed else diagnosis(str(report.longrepr))
        report.user_properties.append((TITLE, (sheet, name, message)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line for each exercise checked, in the order of the sheet."""
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    entries = [(r.nodeid, value) for r in reports for key, value in getattr(r, "user_properties", []) if key == TITLE]
    if not entries:
        return
    terminalreporter.section(TITLE)
    for sheet in sorted({value[0] for _, value in entries}):
        lines = sorted((cell_number(node), value) for node, value in entries if value[0] == sheet)
        number = sheet.split("_")[0]
        for position, (_, (_, name, message)) in enumerate(lines, start=1):
            terminalreporter.write_line(f"{number}.{position} {name}: {message}")


def cell_number(nodeid: str) -> int:
    """nbval calls its items `Cell 0`, `Cell 1`, …"""
    found = re.search(r"Cell (\d+)", nodeid)
    return int(found.group(1)) if found else 0
