"""What a graded folder looks like: a table in the terminal, a CSV, a page of HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from html import escape
from itertools import count
from pathlib import Path

from vae_course.grading.folder import HandIn
from vae_course.grading.verdict import Verdict

WIDEST = 40  # letters of a name in the terminal
RUNS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that begins with one for a formula
STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 80em; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 2em } th, td { border: 1px solid #bbb; padding: .4em .6em; text-align: left;
vertical-align: top } td { max-width: 24em; overflow-wrap: anywhere } thead th { background: #eee } tbody th { font-weight: 600 }
.passed { background: #dcecf9 } .not-done, .not-found { background: #f4f4f4; color: #555 } .other { background: #fdebd0 }
"""


def by_sheet(found: Iterable[HandIn]) -> dict[str, list[HandIn]]:
    """Hand-ins that have rows, by the sheet they answer."""
    sheets: dict[str, list[HandIn]] = {}
    for one in found:
        if one.sheet:
            sheets.setdefault(one.sheet, []).append(one)
    return sheets


def table(found: Sequence[HandIn]) -> list[str]:
    """Lines for the terminal: for each sheet a row a hand-in and a column an exercise, and below it the diagnoses."""
    lines: list[str] = []
    for sheet, hand_ins in by_sheet(found).items():
        heads = [sheet, *(row.number for row in hand_ins[0].rows)]
        rows = [[shortened(one.name), *(_word(row.verdict) for row in one.rows)] for one in hand_ins]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines += ["", *("  ".join(map(str.ljust, row, widths)).rstrip() for row in [heads, *rows])]
        for one in hand_ins:
            told = [f"  {row}" for row in one.rows if row.shown != Verdict.PASSED]
            lines += ["", one.name, *told] if told else []
    faults = [f"{one.name}: {one.fault}" for one in found if one.fault]
    return [*lines, "", *faults] if faults else lines


def shortened(name: str) -> str:
    """A name that fits a column: its end, which tells hand-ins of one folder apart."""
    return name if len(name) <= WIDEST else f"…{name[1 - WIDEST :]}"


def _word(verdict: Verdict) -> str:
    return {Verdict.PASSED: "✓", Verdict.WRONG: "wrong"}.get(verdict, str(verdict))


def as_csv(found: Sequence[HandIn]) -> str:
    """A row a hand-in and a column an exercise, with the diagnosis in each cell; no cell runs as a formula."""
    most = max((len(one.rows) for one in found), default=0)
    single = [one for one in found if one.sheet] if len(by_sheet(found)) == 1 else []
    heads = (
        [f"{row.number} {row.name}" for row in single[0].rows] if single else [f"exercise {i + 1}" for i in range(most)]
    )
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\r\n")
    writer.writerow(["notebook", "sheet", "passed", "exercises", *heads])
    for one in found:
        passed = sum(row.passed for row in one.rows)
        cells = [row.shown for row in one.rows] or [one.fault or ""]
        writer.writerow(
            [harmless(cell) for cell in (one.name, one.sheet or "", str(passed), str(len(one.rows)), *cells)]
        )
    return page.getvalue()


def harmless(cell: str) -> str:
    """A cell that a spreadsheet shows as text: an apostrophe stands before what would run."""
    return f"'{cell}" if cell.lstrip().startswith(RUNS) or cell.startswith(RUNS) else cell


def as_html(found: Sequence[HandIn], said: str) -> str:
    """A page that needs nothing else, and in which all that comes from a notebook is text. said: how it was contained."""
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Grades</title>',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>Grades</h1>',
        f"<p>{escape(said)}</p>",
    ]
    for sheet, hand_ins in by_sheet(found).items():
        heads = "".join(f"<th>{escape(f'{row.number} {row.name}')}</th>" for row in hand_ins[0].rows)
        parts.append(
            f"<h2>{escape(sheet)}</h2><table><thead><tr><th>notebook</th><th>passed</th>{heads}</tr></thead><tbody>"
        )
        parts += map(_html_row, hand_ins)
        parts.append("</tbody></table>")
    if faults := [f"<li>{escape(f'{one.name}: {one.fault}')}</li>" for one in found if one.fault]:
        parts.append(f"<h2>Not checked</h2><ul>{''.join(faults)}</ul>")
    return "\n".join([*parts, "</body></html>", ""])


def _html_row(one: HandIn) -> str:
    cells = "".join(f'<td class="{_class(row.verdict)}">{escape(row.shown)}</td>' for row in one.rows)
    passed = f"{sum(row.passed for row in one.rows)} of {len(one.rows)}"
    return f"<tr><th>{escape(one.name)}</th><td>{passed}</td>{cells}</tr>"


def _class(verdict: Verdict) -> str:
    plainly = (Verdict.PASSED, Verdict.NOT_DONE, Verdict.NOT_FOUND)
    return verdict.value.replace(" ", "-") if verdict in plainly else "other"


def write(found: Sequence[HandIn], folder: Path, said: str) -> list[Path]:
    """Write grades.csv and grades.html into a folder, or with the first number at which neither is there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        stem = "grades" if number == 1 else f"grades-{number}"
        paths = [folder / f"{stem}.csv", folder / f"{stem}.html"]
        if not any(path.exists() or path.is_symlink() for path in paths):
            break
    # With a mark at its beginning that tells spreadsheet programs that the file is UTF-8.
    for path, text, encoding in zip(paths, (as_csv(found), as_html(found, said)), ("utf-8-sig", "utf-8"), strict=True):
        with path.open("x", encoding=encoding, errors="replace", newline="") as file:
            file.write(text)
    return paths
