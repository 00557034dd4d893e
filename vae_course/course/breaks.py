"""Breaks: small edits of a lecture's code, or of the package's, each with the claims that must fall by it.

notebooks/source/breaks/NAME.toml lists those of the lecture NAME:

    [[break]]
    name = "the prior is forgotten"
    old = "log_prior(z) + log_likelihood"        # stands once in the lecture's code,
    new = "log_likelihood"
    falls = ["the bound is below log p(x)"]      # how the sentences of the claims begin

    [[break]]
    name = "KL × 2"
    where = "vae_course.objectives.bounds:Elbo.value"   # or once in a function or method of the package
    …

A break changes one operator, factor, index or argument of the mathematics that the sentence names.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vae_course.course.catalogue import ROOT

FIELDS = {"name", "old", "new", "falls", "where", "teaches"}


class Break(NamedTuple):
    """One edit: its name, the old text and the new, the beginnings of the claims that must fall, and where it applies.

    where: empty for the lecture's code, else `module:function` or `module:Class.method`. teaches: shown to the reader.
    """

    name: str
    old: str
    new: str
    falls: tuple[str, ...]
    where: str = ""
    teaches: bool = False


def breaks_of(name: str, root: Path = ROOT) -> list[Break]:
    """The breaks of a lecture; none without a file. Raises ValueError for what is not a break."""
    path = root / "notebooks/source/breaks" / f"{name}.toml"
    if not path.is_file():
        return []
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("break", [])
    for row in rows:
        if not {"name", "old", "new", "falls"} <= row.keys() <= FIELDS or not row["falls"] or row["old"] == row["new"]:
            raise ValueError(
                f"{path}: {row.get('name', row)!r} needs name, old, another new, and falls that name a claim."
            )
    names = [row["name"] for row in rows]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{path}: two breaks have one name: {', '.join(sorted(n for n in names if names.count(n) > 1))}."
        )
    return [Break(**{**row, "falls": tuple(row["falls"])}) for row in rows]


def claims_in(code: str) -> Iterator[str]:
    """How the sentences of the claims in some code begin: up to the first number that is filled in."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "claim" and node.args:
            yield _beginning(node.args[0])


def _beginning(sentence: ast.expr) -> str:
    if isinstance(sentence, ast.Constant) and isinstance(sentence.value, str):
        return sentence.value
    if isinstance(sentence, ast.JoinedStr) and sentence.values and isinstance(sentence.values[0], ast.Constant):
        return str(sentence.values[0].value)
    if isinstance(sentence, ast.BinOp):
        return _beginning(sentence.left)
    return ""


def names(beginning: str, claim: str) -> bool:
    """Whether what a break says of a claim, and how the claim begins in the code, fit together."""
    return claim.startswith(beginning) or (claim != "" and beginning.startswith(claim))


def cell_of(edit: Break, cells: list[str]) -> int:
    """The cell that an edit of the lecture changes. Raises ValueError unless its old text stands once, there."""
    found = [at for at, code in enumerate(cells) for _ in range(code.count(edit.old))]
    if len(found) != 1:
        raise ValueError(
            f"break {edit.name!r}: {edit.old!r} stands {len(found)} times in the lecture's code; it must stand once."
        )
    return found[0]


def owner_of(edit: Break) -> tuple[Any, str]:
    """The module or class that holds the function which an edit changes, and its name there. Raises ValueError without one."""
    module, _, path = edit.where.partition(":")
    *outer, name = path.split(".")
    try:
        owner: Any = importlib.import_module(module)
        for part in outer:
            owner = getattr(owner, part)
        inspect.getattr_static(owner, name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"break {edit.name!r}: there is no {edit.where}.") from None
    return owner, name


def source_of(edit: Break) -> str:
    """The source of the function that an edit changes."""
    owner, name = owner_of(edit)
    found: Any = inspect.getattr_static(owner, name)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    return textwrap.dedent(inspect.getsource(inspect.unwrap(found)))


def edited(edit: Break) -> Callable[..., Any] | property:
    """The function with the edit in it. Raises ValueError unless the old text stands once in it."""
    source, (owner, name) = source_of(edit), owner_of(edit)
    if source.count(edit.old) != 1:
        raise ValueError(
            f"break {edit.name!r}: {edit.old!r} stands {source.count(edit.old)} times in {edit.where}; it must stand once."
        )
    module = importlib.import_module(edit.where.partition(":")[0])
    made: dict[str, Any] = {}
    namespace = {**vars(module), "__class__": owner}
    future = "from __future__ import annotations\n"
    if inspect.isclass(owner):  # so that super() finds its class
        source = "def _made(__class__):\n" + textwrap.indent(source + f"\nreturn {name}", "    ")
        exec(compile(future + source.replace(edit.old, edit.new), edit.where, "exec"), namespace, made)
        function: Callable[..., Any] = made["_made"](owner)
        return function
    exec(compile(future + source.replace(edit.old, edit.new), edit.where, "exec"), namespace, made)
    function = made[name]
    return function


def unproven(sentences: list[str], breaks: list[Break]) -> list[str]:
    """The claims that no break makes fall."""
    return [claim for claim in sentences if not any(names(start, claim) for edit in breaks for start in edit.falls)]


def complaints(name: str, cells: list[str], root: Path = ROOT) -> list[str]:
    """What is wrong with the breaks of a lecture, without running it: edits without a place, claims without a break, and the
    reverse."""
    found, breaks = [], breaks_of(name, root)
    sentences = [sentence for code in cells for sentence in claims_in(code)]
    for edit in breaks:
        try:
            if edit.where:
                edited(edit)
            else:
                at = cell_of(edit, cells)
                compile(cells[at].replace(edit.old, edit.new), edit.name, "exec")
        except (SyntaxError, ValueError) as error:
            found.append(str(error))
        for start in edit.falls:
            if not any(names(start, sentence) for sentence in sentences):
                found.append(f"break {edit.name!r}: no claim begins {start!r}.")
    return found + [f"no break makes it fall: {sentence}" for sentence in unproven(sentences, breaks)]
