"""The one table of the course, `notebooks/course.toml`: parts, lectures in their order, routes; and where the course is.

A lecture is known by its name; its number is its place in the table, and is computed wherever it is printed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
FIELDS = {"name", "title", "short", "able", "needs", "minutes", "seconds"}


def home(package: Path = PACKAGE) -> Path:
    """The folder with `notebooks/` in it: the checkout around the package, else the package itself, as a wheel brings it."""
    found = (folder for folder in (package.parent, package) if (folder / "notebooks" / "course.toml").is_file())
    return next(found, package.parent)


ROOT = home()


def has_sources(root: Path = ROOT) -> bool:
    """Whether the sources of the notebooks are there, from which they are made: in a checkout, not in a wheel."""
    return (root / "notebooks" / "source").is_dir()


def name_of(path: Path) -> str:
    """The name of the lecture that a notebook's file belongs to, whatever its number: `05_elbo.ipynb` → `elbo`."""
    return path.stem.partition("_")[2]


@dataclass(frozen=True)
class Lecture:
    """A row of the table. `number` has two digits; `beams`: whether its first run makes the data set of beams."""

    name: str
    number: str
    part: str
    title: str
    short: str
    able: str
    needs: tuple[str, ...]
    minutes: int
    seconds: int
    beams: bool = False

    @property
    def stem(self) -> str:
        """The name of its files without their ending: `05_elbo`."""
        return f"{self.number}_{self.name}"


@dataclass(frozen=True)
class Route:
    """A way through the course for somebody who has so much time."""

    have: str
    take: str


@dataclass(frozen=True)
class Catalogue:
    """The lectures in order, by their names, the routes, and where the course is published, if it is."""

    lectures: dict[str, Lecture]
    routes: tuple[Route, ...]
    repository: str = ""

    def find(self, said: str) -> Lecture:
        """The lecture of a number (`05`, `5`) or a name, also a part of one that fits no other (`elbo`).

        Raises SystemExit with those there are.
        """
        by_number = {lecture.number: lecture for lecture in self.lectures.values()}
        exact = by_number.get(said.zfill(2)) if said.isdecimal() else self.lectures.get(said)
        found = (
            [exact]
            if exact
            else [lecture for name, lecture in self.lectures.items() if said and not said.isdecimal() and said in name]
        )
        if len(found) != 1:
            known = ", ".join(f"{lecture.number} {lecture.name}" for lecture in found or self.lectures.values())
            why = "fits several" if found else "is no lecture"
            raise SystemExit(f"{said!r} {why}: give a number or a name, such as 05 or elbo. There are {known}.")
        return found[0]


def read(path: Path) -> Catalogue:
    """The table in a file. Raises ValueError for a name that occurs twice, an unknown one, or a missing field."""
    with path.open("rb") as file:
        table = tomllib.load(file)
    rows: list[tuple[str, dict[str, Any]]] = [
        (part["title"], row) for part in table["part"] for row in part["lectures"]
    ]
    names = [row.get("name", "?") for _, row in rows]
    lectures = {}
    for number, (part, row) in enumerate(rows):
        if missing := FIELDS - row.keys():
            raise ValueError(f"{path}: lecture {names[number]!r} has no {', '.join(sorted(missing))}.")
        if unknown := set(row["needs"]) - set(names[:number]):
            raise ValueError(f"{path}: {row['name']!r} needs {', '.join(unknown)}, which does not stand before it.")
        lectures[row["name"]] = Lecture(number=f"{number:02d}", part=part, **{**row, "needs": tuple(row["needs"])})
    if len(lectures) < len(rows):
        raise ValueError(f"{path}: a name occurs twice among {', '.join(names)}.")
    routes = tuple(Route(**route) for route in table.get("route", ()))
    return Catalogue(lectures, routes, table.get("repository", "").removesuffix("/").removesuffix(".git"))


@lru_cache(maxsize=4)
def catalogue(root: Path = ROOT) -> Catalogue:
    """The table of the course."""
    return read(root / "notebooks" / "course.toml")
