"""Which claims of a lecture fall when a line is broken: each break in a forked copy of one plain run of the lecture.

The lecture runs once, from top to bottom, on one thread of the processor. Before a cell that a break edits, or at the first
call of a function that it edits, the process forks; the copy applies the edit and goes on until the claims of that break have
spoken. At most two copies run at once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from vae_course.course.breaks import Break, breaks_of, cell_of, edited, owner_of, unproven
from vae_course.course.build import from_source
from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import Kind, Target, targets
from vae_course.notebook import claims
from vae_course.output import say

COPIES = 2
STANDS, FELL, UNDEFINED = "stands", "fell", "is NaN"


class Proof:
    """One run of a lecture, and of its broken copies."""

    def __init__(self, cells: list[str], breaks: list[Break], folder: Path) -> None:
        self.cells, self.breaks, self.folder = cells, breaks, folder
        self.said: dict[str, str] = {}
        self.untrue: list[str] = []  # what does not hold without any break
        self.running: dict[int, int] = {}  # process → break
        self.started: set[int] = set()
        self.mine: int | None = None  # the break that this process is a copy for

    def run(self) -> None:
        """Run the lecture; afterwards `said` holds its claims and the folder what the copies found."""
        claims.claim = self.hear
        edits: dict[int, list[int]] = {at: [] for at in range(len(self.cells))}
        for number, edit in enumerate(self.breaks):
            if edit.where:
                self.watch(number)
            else:
                edits[cell_of(edit, self.cells)].append(number)
        namespace: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown: None}
        at = 0
        while at < len(self.cells):
            code = self.cells[at]
            if self.mine is None:
                for number in edits[at]:
                    if self.fork(number):
                        edit = self.breaks[number]
                        code = code.replace(edit.old, edit.new)
                        break
            try:
                exec(compile(code, f"cell {at}", "exec"), namespace)
            except Exception:
                if self.mine is None:
                    raise
                self.leave(traceback.format_exc(limit=-2).strip())
            if self.mine is not None and self.answered():
                self.leave()
            at += 1
        if self.mine is not None:
            self.leave()
        self.wait(0)

    def hear(self, sentence: str, holds: bool | Tensor, **shown: object) -> None:
        """What stands in for `claim`."""
        self.said[sentence] = STANDS if bool(holds) else UNDEFINED if any(map(_undefined, shown.values())) else FELL
        if self.mine is None and not bool(holds):
            numbers = "; ".join(f"{name} = {claims.readable(value)}" for name, value in shown.items())
            self.untrue.append(f"untrue    {sentence} ({numbers})")

    def answered(self) -> bool:
        """Whether all claims of this copy's break have spoken."""
        assert self.mine is not None
        return all(any(said.startswith(start) for said in self.said) for start in self.breaks[self.mine].falls)

    def watch(self, number: int) -> None:
        """Fork at the first call of the function that a break edits."""
        owner, name = owner_of(self.breaks[number])
        original = inspect.getattr_static(owner, name)

        def at_first_call(function: Callable[..., Any], broken: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def called(*given: Any, **named: Any) -> Any:
                if self.mine is None and number not in self.started:
                    self.fork(number)
                return (broken if self.mine == number else function)(*given, **named)

            return called

        broken: Any = edited(self.breaks[number])
        if isinstance(original, property):
            made: Any = property(at_first_call(original.fget, broken.fget))  # type: ignore[arg-type]
        elif isinstance(original, staticmethod | classmethod):
            made = type(original)(at_first_call(original.__func__, broken.__func__))
        else:
            made = at_first_call(original, broken)
        setattr(owner, name, made)
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("vae_course"):
                for key, value in list(vars(module).items()):
                    if value is original:
                        setattr(module, key, made)

    def fork(self, number: int) -> bool:
        """Start a copy for a break; whether this is the copy."""
        self.started.add(number)
        self.wait(COPIES - 1)
        sys.stdout.flush()
        if process := os.fork():
            self.running[process] = number
            return False
        self.mine, self.said = number, {}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return True

    def wait(self, most: int) -> None:
        """Wait until at most so many copies run."""
        while len(self.running) > most:
            self.running.pop(os.wait()[0], None)

    def leave(self, error: str = "") -> NoReturn:
        """End this copy, leaving what its claims said."""
        (self.folder / f"{self.mine}.json").write_text(json.dumps({"said": self.said, "error": error}))
        os._exit(0)


def _undefined(value: object) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isnan().any())
    if isinstance(value, list | tuple):
        return any(map(_undefined, value))
    try:
        return math.isnan(value)  # type: ignore[arg-type]
    except TypeError:
        return False


def verdict(edit: Break, number: int, folder: Path) -> tuple[bool, str]:
    """Whether a break made fall what it should, and the line that says so."""
    path = folder / f"{number}.json"
    if not path.is_file():
        return False, f"no place  {edit.name}: never reached, or its process died"
    found = json.loads(path.read_text())
    standing = []
    for start in edit.falls:
        heard = {said: how for said, how in found["said"].items() if said.startswith(start)}
        if FELL not in heard.values():
            standing.append(f"{start!r} {', '.join(sorted(set(heard.values()))) or 'was not said'}")
    if not standing:
        return True, f"falls     {edit.name}"
    if found["error"]:
        return False, f"CRASHES   {edit.name}: {found['error'].splitlines()[-1]}"
    return False, f"SURVIVES  {edit.name}: {'; '.join(standing)}"


def prove(said: str, only: str = "", root: Path = ROOT) -> int:
    """Prove the claims of a lecture; print a line a break, and the claims without one; how many troubles there are.

    only: the breaks whose name holds this.
    """
    if not hasattr(os, "fork"):
        sys.exit("This command forks processes, which this system does not do: use Linux.")
    target, began = target_of(said, root), time.perf_counter()
    lecture = target.lecture
    breaks = [edit for edit in breaks_of(lecture.name, root) if only in edit.name]
    with tempfile.TemporaryDirectory() as folder:
        proof = Proof(code_of(target, root), breaks, Path(folder))
        run_plainly(proof, target)
        verdicts = [verdict(edit, number, Path(folder)) for number, edit in enumerate(breaks)]
    for line in [*proof.untrue, *(line for _, line in verdicts)]:
        say(line)
    without = [] if only else unproven(list(proof.said), breaks)
    for sentence in without:
        say(f"no break  {sentence}")
    seconds = time.perf_counter() - began
    troubles = len(proof.untrue) + sum(not fell for fell, _ in verdicts) + len(without)
    say(f"{lecture.stem}: {len(proof.said)} claims, {len(breaks)} breaks, {troubles} troubles, {seconds:.0f} s")
    return troubles


def plateau(said: str, budget: float = 4.0, root: Path = ROOT) -> int:
    """Run a lecture with every training `budget` times as long; print the claims that do not hold then; how many they are."""
    target, began = target_of(said, root), time.perf_counter()
    os.environ["VAE_COURSE_BUDGET"] = str(budget)
    proof = Proof(code_of(target, root), [], Path())
    run_plainly(proof, target)
    for line in proof.untrue:
        say(line)
    seconds = time.perf_counter() - began
    held = len(proof.said) - len(proof.untrue)
    say(f"{target.lecture.stem}: {held} of {len(proof.said)} claims hold at {budget:g} × the budget, {seconds:.0f} s")
    return len(proof.untrue)


def target_of(said: str, root: Path) -> Target:
    """The notebook of a lecture, by its number or name."""
    lecture = catalogue(root).find(said)
    (target,) = (t for t in targets(root) if t.lecture == lecture and t.kind is Kind.LECTURE)
    return target


def run_plainly(proof: Proof, target: Target) -> None:
    """Run a lecture in this process, in its folder, silently, on one thread of the processor."""
    os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="agg", VAE_COURSE_CHECKING="1", VAE_COURSE_DEVICE="cpu")
    torch.set_num_threads(1)
    with (
        contextlib.chdir(target.path.parent),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        proof.run()


def code_of(target: Target, root: Path = ROOT) -> list[str]:
    """The code cells of a notebook, as it is built."""
    return [cell.source for cell in from_source(target, root).cells if cell.cell_type == "code"]
