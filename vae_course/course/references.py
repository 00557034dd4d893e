"""References by name in the text of sources, which become numbers and working links when a notebook is built.

| written | becomes |
|---|---|
| `[[elbo]]` | the number of a lecture, with a link |
| `[[elbo#Two ways]]`, `[[#Two ways]]` | the number of the section whose heading begins so, of another lecture or of this one |
| `[[elbo:entropy_split]]`, `[[:entropy_split]]` | the number of an exercise, by the name of its check |
| `[[this]]` | the number of this lecture, without a link |
| `[[needs]]`, `[[time]]` | what the table says that a lecture needs, and how long it takes |
| `[[map]]` | the parts and the lectures in them |
| `[[sheet]]` | the sheet of this lecture, with a link |
| `[[count]]`, `[[minutes]]` | how many exercises a sheet has, and how long they take together |

Headings: `# [[this]]` becomes the title; `## · Words` gets the number of its section, in a sheet that of its exercise.
In code, a line that ends with `### COURSE MAP` is replaced by the parts and lectures of the table as a dictionary.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from vae_course.course.catalogue import ROOT, Lecture, catalogue
from vae_course.course.sources import Kind, Target, exercises_of, headings_of, stated_minutes

REFERENCE = re.compile(r"\[\[([\w ]*)(?:([#:])([^\]]+))?\]\]")
MAP = "### COURSE MAP"
COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def anchor(heading: str) -> str:
    """The fragment of a link to a heading, as JupyterLab makes them: its text with hyphens for spaces."""
    return "#" + quote(heading.replace(" ", "-"), safe="-·:,.?!()'’…")


class Resolver:
    """Turns the references of one notebook into numbers and links. Raises ValueError for what is not there."""

    def __init__(self, target: Target, root: Path = ROOT, prefix: str = "") -> None:
        """prefix: of the links, for a text that does not stand in `notebooks/`."""
        self.target, self.root, self.prefix, self.lectures = target, root, prefix, catalogue(root).lectures

    def text(self, source: str) -> str:
        """A Markdown cell with its references resolved; headings must have been numbered before."""
        return REFERENCE.sub(lambda found: self._resolve(*found.groups(default="")), source)

    def title(self) -> str:
        """The first heading of this notebook."""
        lecture = self.target.lecture
        return (
            f"# {lecture.number} · {lecture.title}"
            if self.target.kind is Kind.LECTURE
            else (f"# Sheet {lecture.number} · {lecture.title}")
        )

    def heading(self, position: int, words: str) -> str:
        """The heading of a section, or of an exercise, counted from 1."""
        own = f"{self.target.lecture.number}." if self.target.kind is not Kind.LECTURE else ""
        return f"## {own}{position} · {words}"

    def _resolve(self, name: str, mark: str, where: str) -> str:
        own = self.target.lecture
        if not mark and name in ("this", "needs", "time", "count", "minutes", "map", "sheet"):
            return self._fact(name)
        if name and name not in self.lectures:
            raise ValueError(
                f"{self.target.source}: there is no lecture {name!r}: known are {', '.join(self.lectures)}."
            )
        lecture = self.lectures[name] if name else own
        if mark == "#":
            return self._section(lecture, where)
        if mark == ":":
            return self._exercise(lecture, where)
        return self._link(lecture.number, Kind.LECTURE, lecture)

    def _fact(self, name: str) -> str:
        lecture, sheet = self.target.lecture, self._source(self.target.lecture, Kind.SHEET)
        if name == "this":
            return lecture.number
        if name == "needs":
            return self._needs(lecture)
        if name == "map":
            return "; ".join(f"part {part}: {', '.join(names)}" for part, names in course_map(self.root).items())
        if name == "time":
            return f"{lecture.minutes} minutes to read and run cell by cell, {duration(lecture.seconds)} of computing on a laptop"
        if name == "minutes":
            return str(stated_minutes(sheet))
        many = len(exercises_of(sheet))
        counted = f"{COUNTED[many]} exercise{'s' if many > 1 else ''}"
        if name == "sheet":
            link = self._link(f"sheet {lecture.number}", Kind.SHEET, lecture)
            return f"{link}, {counted}; work in your copy, `my-sheets/{lecture.stem}.ipynb`"
        return counted.capitalize()

    def _needs(self, lecture: Lecture) -> str:
        if not lecture.needs:
            return "one course in probability, one in PyTorch"
        links = [self._link(self.lectures[n].number, Kind.LECTURE, self.lectures[n]) for n in lecture.needs]
        word = "lecture" if len(links) == 1 else "lectures"
        return f"{word} {', '.join(links[:-1])}{' and ' if len(links) > 1 else ''}{links[-1]}"

    def _section(self, lecture: Lecture, begins: str) -> str:
        headings = headings_of(self._source(lecture, Kind.LECTURE))
        found = [i for i, heading in enumerate(headings, start=1) if heading.startswith(begins)]
        if len(found) != 1:
            raise ValueError(
                f"{self.target.source}: {len(found)} sections of {lecture.name!r} begin with {begins!r}: {'; '.join(headings)}."
            )
        heading = f"{found[0]} · {self.text(headings[found[0] - 1])}"
        return self._link(str(found[0]), Kind.LECTURE, lecture, anchor(re.sub(r"\]\([^)]*\)|\[", "", heading)))

    def _exercise(self, lecture: Lecture, name: str) -> str:
        names = exercises_of(self._source(lecture, Kind.SHEET))
        if name not in names:
            raise ValueError(
                f"{self.target.source}: {lecture.name!r} has no exercise {name!r}; it has {', '.join(names)}."
            )
        position = names.index(name)
        heading = f"{lecture.number}.{position + 1} · {headings_of(self._source(lecture, Kind.SHEET))[position]}"
        return self._link(f"{lecture.number}.{position + 1}", Kind.SHEET, lecture, anchor(heading))

    def _link(self, text: str, kind: Kind, lecture: Lecture, fragment: str = "") -> str:
        here, there = self.target.kind, kind
        if (
            not self.prefix
            and lecture == self.target.lecture
            and (here is there or {here, there} == {Kind.SHEET, Kind.SOLUTION})
        ):
            return f"[{text}]({fragment})" if fragment else text
        up = "../" if here is not Kind.LECTURE else self.prefix
        folder = f"{there.value}/" if there.value else ""
        return f"[{text}]({up}{folder}{lecture.stem}.ipynb{fragment})"

    def _source(self, lecture: Lecture, kind: Kind) -> Path:
        folder = self.root / "notebooks" / "source"
        return (folder if kind is Kind.LECTURE else folder / "exercises") / f"{lecture.name}.py"


def duration(seconds: int) -> str:
    """Seconds in words, roughly."""
    if seconds < 20:
        return "a few seconds"
    if seconds <= 40:
        return "half a minute"
    if seconds <= 70:
        return "a minute"
    return "a minute and a half" if seconds <= 100 else f"{round(seconds / 60)} minutes"


def course_map(root: Path = ROOT) -> dict[str, list[str]]:
    """Part → its lectures with their numbers, for the map of the course."""
    parts: dict[str, list[str]] = {}
    for lecture in catalogue(root).lectures.values():
        if lecture.part:
            parts.setdefault(lecture.part, []).append(f"{lecture.number} {lecture.short}")
    return parts
