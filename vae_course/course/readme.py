"""The tables of the README that follow from the course's own table: lectures, and routes through them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from vae_course.course.catalogue import ROOT, Lecture, catalogue
from vae_course.course.references import Resolver
from vae_course.course.sources import Kind, Target, exercises_of, stated_minutes
from vae_course.output import say

MARKS = {
    name: (f"<!-- {name}: made from notebooks/course.toml -->", f"<!-- end of {name} -->")
    for name in ("lectures", "routes")
}


def with_tables(text: str, root: Path = ROOT) -> str:
    """The README with its tables as they follow from the course. Raises ValueError where a mark is missing."""
    for name, rows in (("lectures", lectures(root)), ("routes", routes(root))):
        begin, end = MARKS[name]
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"README.md needs the marks {begin!r} and {end!r}, once each.")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{rows}\n{end}{rest.partition(end)[2]}"
    return text


def write(root: Path = ROOT) -> None:
    """Write the tables into the README, if they have changed."""
    path = root / "README.md"
    text = path.read_text(encoding="utf-8")
    if (made := with_tables(text, root)) != text:
        path.write_text(made, encoding="utf-8")
        say("README.md: tables written")


def lectures(root: Path = ROOT) -> str:
    """A row for each lecture: what one can do afterwards, minutes, seconds, claims, exercises."""
    lines = [
        "| | lecture | you will be able to | minutes | run* | claims | sheet |",
        "|---|---|---|---|---|---|---|",
    ]
    for lecture in catalogue(root).lectures.values():
        run = f"{lecture.seconds} s{'†' if lecture.beams else ''}"
        row = (
            lecture.number,
            f"[{lecture.title}](notebooks/{lecture.stem}.ipynb)",
            lecture.able,
            str(lecture.minutes),
            run,
            str(claims(root / "notebooks" / f"{lecture.stem}.ipynb")),
            sheet(lecture, root),
        )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def sheet(lecture: Lecture, root: Path) -> str:
    """How many exercises a lecture's sheet has and how long they take, with a link."""
    source = root / "notebooks" / "source" / "exercises" / f"{lecture.name}.py"
    if not source.is_file():
        return "–"
    many = len(exercises_of(source))
    return f"[{many} exercises](notebooks/exercises/{lecture.stem}.ipynb), {stated_minutes(source)} min"


def claims(notebook: Path) -> int:
    """How many claims a notebook has printed."""
    cells = nbformat.read(notebook, as_version=4).cells
    printed = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    return len(re.findall(r"^✓ ", printed, re.MULTILINE))


def routes(root: Path = ROOT) -> str:
    """A row for each route, its references as numbers with links."""
    folder = root / "notebooks"
    first = next(iter(catalogue(root).lectures.values()))
    resolver = Resolver(
        Target(first, Kind.LECTURE, folder / "course.toml", folder / "README"), root, prefix="notebooks/"
    )
    rows = [f"| {route.have} | {resolver.text(route.take)} |" for route in catalogue(root).routes]
    return "\n".join(["| you have | take |", "|---|---|", *rows])
