"""The table of the course: numbers are places, references become working links, an insertion touches little."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from vae_course.course import build
from vae_course.course.catalogue import ROOT, catalogue, read
from vae_course.course.references import Resolver, anchor, course_map
from vae_course.course.sources import Kind, Notebook, Target, length_of, targets

LINK = re.compile(r"\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)*)\)")


def headings(path: Path) -> set[str]:
    """The fragments of the headings of a notebook, as JupyterLab makes them."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace(" ", "-") for heading in found}


def links(path: Path) -> set[str]:
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return {link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)}


@pytest.mark.parametrize(
    "path", [t.path for t in targets()] + [ROOT / "README.md"], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_every_link_leads_somewhere(path: Path) -> None:
    found = links(path) if path.suffix == ".ipynb" else set(LINK.findall(path.read_text(encoding="utf-8")))
    for link in found:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, fragment = link.partition("#")
        goal = (path.parent / file).resolve() if file else path
        assert goal.is_file(), link
        if fragment:
            assert unquote(fragment) in headings(goal), link


@pytest.mark.parametrize("path", [t.path for t in targets()], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_reference_is_left_unresolved(path: Path) -> None:
    assert "[[" not in "".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")


TABLE = """
[[part]]
title = "I"
lectures = [
  { name = "first", title = "First", short = "first", able = "a", needs = [], minutes = 5, seconds = 5 },
  { name = "second", title = "Second", short = "second", able = "b", needs = ["first"], minutes = 5, seconds = 50 },
]
"""
INSERTED = (
    '  { name = "between", title = "Between", short = "between", able = "c", needs = [], minutes = 5, seconds = 5 },'
)
SOURCE = """# %% [markdown]
# # [[this]]
#
# Needs [[needs]], takes [[time]].

# %% [markdown]
# ## · A heading, with a comma
#
# See section [[#A heading]], lecture [[first]] section [[first#A heading]] and exercise [[first:add]].

# %%
print("hello")
"""
SHEET = """# %% [markdown]
# # [[this]]
#
# [[count]], [[minutes]] minutes in all: make check NB=[[this]].

# %% [markdown]
# ## · Add two numbers •
#
# *10 minutes.* See lecture [[second]].

# %%
def add(a, b):
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION


# %%
check(sheet.add, add)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A course of two lectures, the first with a sheet, built without being executed."""
    source = tmp_path / "notebooks" / "source"
    (source / "exercises").mkdir(parents=True)
    (tmp_path / "notebooks" / "course.toml").write_text(TABLE, encoding="utf-8")
    for name in ("first", "second"):
        (source / f"{name}.py").write_text(SOURCE, encoding="utf-8")
    (source / "exercises" / "first.py").write_text(SHEET, encoding="utf-8")
    return tmp_path


def text_of(target: Target, root: Path) -> str:
    return "\n".join(cell.source for cell in build.from_source(target, root).cells)


def test_references_become_numbers_and_links(small: Path) -> None:
    first, second, sheet, solution = targets(small)
    assert [t.path.relative_to(small / "notebooks").as_posix() for t in (first, second, sheet, solution)] == [
        "00_first.ipynb",
        "01_second.ipynb",
        "exercises/00_first.ipynb",
        "solutions/00_first.ipynb",
    ]
    text = text_of(second, small)
    assert text.startswith("# 01 · Second\n\nNeeds lecture [00](00_first.ipynb), takes 5 minutes to read and run")
    assert "## 1 · A heading, with a comma" in text
    assert "See section [1](#1-·-A-heading,-with-a-comma)" in text.replace("%C2%B7", "·")
    assert "lecture [00](00_first.ipynb) section [1](00_first.ipynb#1-" in text
    assert "exercise [00.1](exercises/00_first.ipynb#00.1-" in text
    text = text_of(sheet, small)
    assert text.startswith("# Sheet 00 · First\n\nOne exercise, 10 minutes in all: make check NB=00.")
    assert "## 00.1 · Add two numbers •" in text
    assert "See lecture [01](../01_second.ipynb)" in text
    assert build.STUB in text
    assert "return a + b" in text_of(solution, small)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("[[third]]", "no lecture 'third': known are first, second"),
        ("[[first#Nothing]]", "0 sections of 'first' begin with 'Nothing'"),
        ("[[first:subtract]]", "'first' has no exercise 'subtract'; it has add"),
    ],
)
def test_a_reference_to_nothing_is_refused(small: Path, reference: str, said: str) -> None:
    target = next(targets(small))
    with pytest.raises(ValueError, match=re.escape(said)):
        Resolver(target, small).text(reference)


def test_a_lecture_is_inserted_by_one_line_and_its_own_files(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others move up; what was executed stays executed, as their code has not changed."""
    ran: list[str] = []

    def run(notebook: Notebook, path: Path) -> None:
        ran.append(path.name)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count = 1

    monkeypatch.setattr(build, "execute", run)
    build.build(root=small)
    assert sorted(ran) == ["00_first.ipynb", "00_first.ipynb", "01_second.ipynb"]
    ran.clear()
    build.build(root=small)
    assert ran == []
    table = small / "notebooks" / "course.toml"
    table.write_text(TABLE.replace('  { name = "second', INSERTED + '\n  { name = "second'), encoding="utf-8")
    shutil.copy(small / "notebooks/source/first.py", small / "notebooks/source/between.py")
    catalogue.cache_clear()
    build.build(root=small)
    assert ran == ["01_between.ipynb"]
    assert sorted(p.name for p in (small / "notebooks").glob("*.ipynb")) == [
        "00_first.ipynb",
        "01_between.ipynb",
        "02_second.ipynb",
    ]
    assert "# 02 · Second" in (small / "notebooks/02_second.ipynb").read_text(encoding="utf-8")
    assert "../02_second.ipynb" in (small / "notebooks/exercises/00_first.ipynb").read_text(encoding="utf-8")
    table.write_text(TABLE, encoding="utf-8")
    (small / "notebooks/source/between.py").unlink()
    catalogue.cache_clear()
    ran.clear()
    build.build(root=small)
    assert ran == []
    assert sorted(p.name for p in (small / "notebooks").glob("*.ipynb")) == ["00_first.ipynb", "01_second.ipynb"]


@pytest.mark.parametrize("said", ["01", "1", "autoencoders"])
def test_a_lecture_is_found_by_number_and_by_name(said: str) -> None:
    assert catalogue().find(said).name == "autoencoders"


@pytest.mark.parametrize(("said", "why"), [("99", "is no lecture"), ("vae", "fits several"), ("", "is no lecture")])
def test_what_is_no_lecture_is_told_those_there_are(said: str, why: str) -> None:
    with pytest.raises(SystemExit, match=f"^{said!r} {why}: give a number or a name.*convolutional_vae"):
        catalogue().find(said)


def test_a_part_of_a_name_that_fits_one_lecture_is_enough() -> None:
    assert catalogue().find("vq").name == "vq_vae"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('needs = ["first"]', 'needs = ["third"]', "'second' needs third"),
        ('name = "second"', 'name = "first"', "occurs twice"),
        ('able = "b", ', "", "'second' has no able"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "course.toml").write_text(TABLE.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read(tmp_path / "course.toml")


def test_minutes_are_words_and_lines() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("one two three $a + b$ four " * 100),
        nbformat.v4.new_code_cell("x = 1\n\ny = 2\n" * 30),
    ]
    length = length_of(cells)
    assert (length.words, length.lines) == (500, 60)
    assert length.minutes == 15  # 5 + 10


def test_the_map_has_a_column_for_each_part() -> None:
    parts = course_map()
    assert [name.split(" ")[0] for name in parts] == ["I", "II", "III", "IV", "V"]
    framed = sum(map(len, parts.values()))
    assert framed == len(catalogue().lectures) - 2  # all but the first and the last, which belong to no part


def test_an_anchor_keeps_what_jupyterlab_keeps() -> None:
    assert unquote(anchor("2 · p(x) is a sum, or an integral?")) == "#2-·-p(x)-is-a-sum,-or-an-integral?"
    assert Kind.LECTURE.value == ""
