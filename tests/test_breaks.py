"""Breaks apply, claims have one, and a break that leaves a claim standing is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vae_course.course import breaks, prove
from vae_course.course.breaks import Break, cell_of, claims_in, complaints, edited, names, unproven
from vae_course.course.sources import Kind, Target, targets

PROVEN = [t for t in targets() if t.kind is Kind.LECTURE and breaks.breaks_of(t.lecture.name)]


@pytest.mark.parametrize("target", PROVEN, ids=lambda target: target.lecture.name)
def test_every_break_applies_and_every_claim_has_one(target: Target) -> None:
    assert complaints(target.lecture.name, prove.code_of(target)) == []


def test_claims_are_known_by_how_they_begin() -> None:
    code = 'claim("a is b", x > 0)\nclaim(f"the {n} draws", y)\nclaim("long "\n      "sentence", z)\nclaim(f"{n} draws", y)\nclam("c")'
    assert list(claims_in(code)) == ["a is b", "the ", "long sentence", ""]
    assert names("the 5 draws", "the ")
    assert names("a is", "a is b")
    assert not names("a is c", "a is b")
    assert not names("5 draws", "")
    edit = Break("one", "x", "y", ("a is",))
    assert unproven(["a is b", "b is c"], [edit]) == ["b is c"]


def test_an_edit_stands_once() -> None:
    cells = ["a = 1 + 1", "b = 1 - 1"]
    assert cell_of(Break("one", "1 - 1", "1", ("",)), cells) == 1
    with pytest.raises(ValueError, match="stands 4 times"):
        cell_of(Break("one", "1", "2", ("",)), cells)
    with pytest.raises(ValueError, match="stands 0 times"):
        edited(Break("one", "no such text", "", ("",), "vae_course.objectives.bounds:log_mean_exp"))
    with pytest.raises(ValueError, match="there is no"):
        edited(Break("one", "a", "b", ("",), "vae_course.objectives.bounds:nothing"))


def test_functions_methods_and_properties_are_edited() -> None:
    function = edited(Break("one", "log_values.shape[axis]", "1", ("",), "vae_course.objectives.bounds:log_mean_exp"))
    assert callable(function)
    made = edited(Break("two", "- self.kl", "+ self.kl", ("",), "vae_course.objectives.bounds:Elbo.value"))
    assert isinstance(made, property)


LECTURE = """# %%
from math import log

from vae_course.notebook.claims import claim
from vae_course.objectives.bounds import log_mean_exp
import torch

values = torch.tensor([1.0, 3.0]).log()

# %%
mean = float(log_mean_exp(values).exp())
claim("the mean of 1 and 3 is 2", abs(mean - 2) < 1e-6, mean=mean)
claim("it is positive", mean > 0)

# %%
half = mean / 2
claim("half of it is 1", abs(half - 1) < 1e-6, half=half)
"""

BREAKS = """
[[break]]
name = "no division"
where = "vae_course.objectives.bounds:log_mean_exp"
old = "- log("
new = "- 0 * log("
falls = ["the mean of", "half of it"]

[[break]]
name = "a third"
old = "mean / 2"
new = "mean / 3"
falls = ["half of it"]

[[break]]
name = "survivor"
old = "mean / 2"
new = "mean * 0.5"
falls = ["half of it"]

[[break]]
name = "crash"
old = "[1.0, 3.0]"
new = "[1.0, 3.0] + 1"
falls = ["half of it"]

[[break]]
name = "not a number"
old = "]).log()"
new = "]).neg().log()"
falls = ["the mean of"]
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    source = tmp_path / "notebooks/source"
    (source / "breaks").mkdir(parents=True)
    table = (
        '[[part]]\ntitle = ""\nlectures = [{ name = "means", title = "Means", short = "means", minutes = 5, seconds = 1, '
        'needs = [], able = "divide" }]\n'
    )
    (tmp_path / "notebooks/course.toml").write_text(table)
    (source / "means.py").write_text(LECTURE)
    (source / "breaks/means.toml").write_text(BREAKS)
    return tmp_path


def test_what_falls_survives_crashes_and_has_no_break_is_told_apart(course: Path) -> None:
    code = f"from pathlib import Path; from vae_course.course.prove import prove; prove('means', root=Path({str(course)!r}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert lines[0] == "falls no division", ran.stderr[-500:]
    assert lines[1] == "falls a third"
    assert lines[2].startswith("SURVIVES survivor: 'half of it' stands")
    assert lines[3].startswith("CRASHES crash: TypeError")
    assert lines[4] == "SURVIVES not a number: 'the mean of' is NaN"
    assert lines[5] == "no break it is positive"
    assert lines[6].startswith("00_means: 3 claims, 5 breaks, 4 troubles")
