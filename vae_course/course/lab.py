"""What a student works with: copies of the sheets, and what is said of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.report import TITLE
from vae_course.course.sources import name_of


def my_sheet(name: str, root: Path = ROOT) -> Path | None:
    """The student's copy of a lecture's sheet, whatever number it was copied under."""
    found = [
        path for path in sorted((root / "notebooks/my-sheets").glob("[0-9][0-9]_*.ipynb")) if name_of(path) == name
    ]
    return found[0] if found else None


def copy_sheets(root: Path = ROOT) -> None:
    """Copy each sheet into `notebooks/my-sheets`, where the student works; what is there already stays untouched."""
    folder = root / "notebooks" / "my-sheets"
    folder.mkdir(exist_ok=True)
    for sheet in sorted((root / "notebooks" / "exercises").glob("*.ipynb")):
        if my_sheet(name_of(sheet), root):
            continue
        try:
            with (folder / sheet.name).open("xb") as copy:
                copy.write(sheet.read_bytes())
        except FileExistsError:
            continue


def check(said: str, root: Path = ROOT) -> int:
    """Run the student's copy of a sheet through nbval; print one line an exercise; return how many are not passed."""
    lecture = catalogue(root).find(said)
    copy_sheets(root)
    sheet = my_sheet(lecture.name, root)
    if sheet is None:
        sys.exit(f"Lecture {lecture.number}, {lecture.name}, has no sheet of exercises.")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300"]
    ran = subprocess.run([*command, "--tb=no", str(sheet)], capture_output=True, text=True, cwd=root)
    lines = ran.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if re.fullmatch(rf"=+ {TITLE} =+", line)), None)
    if start is None:
        print(ran.stdout + ran.stderr)
        sys.exit(f"{sheet} could not be run: see above. If the file is damaged, move it away and run make lab.")
    report = [line for line in lines[start + 1 :] if re.match(r"\d+\.\d+ ", line)]
    print("\n".join(report))
    return sum(not line.endswith(": passed") for line in report)
