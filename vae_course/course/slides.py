"""A deck of slides from a lecture: reveal.js with its notes, formulas by MathJax, all files beside it, for a room without a network.

A cell tagged `slide` begins a slide, `fragment` adds to it at the next key, `notes` tells the lecturer (key S); all others are
left out, and so is the code that made a figure, unless its cell is tagged `code` too.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import nbformat

from vae_course.course.catalogue import ROOT, catalogue
from vae_course.course.sources import Kind, Notebook, targets
from vae_course.output import say

MISSING = "Slides need a few more packages: make slides installs them (the extra `slides`)."
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="assets/reveal/reset.css">
<link rel="stylesheet" href="assets/reveal/reveal.css">
<link rel="stylesheet" href="assets/deck.css">
<script>MathJax = {{tex: {{inlineMath: [["$", "$"]]}}, svg: {{fontCache: "global"}}}};</script>
<script src="assets/mathjax/tex-svg.js"></script>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="assets/reveal/reveal.js"></script>
<script src="assets/reveal/notes/notes.js"></script>
<script>
function fit({{currentSlide: slide}}) {{  // smaller figures, then smaller letters too, until the slide holds them
  const {{width, height}} = Reveal.getConfig();
  for (let step = 0; step <= 18; step++) {{
    slide.style.setProperty("--figure", Math.max(0.6, 1 - 0.1 * step));
    slide.style.fontSize = Math.min(30, 34 - step) + "px";
    if (slide.scrollHeight <= height && slide.scrollWidth <= width + 2) break;
  }}
}}
Reveal.on("ready", fit);
Reveal.on("slidechanged", fit);
MathJax.startup.promise.then(() => Reveal.initialize(
  {{hash: true, width: 1280, height: 720, margin: 0.03, center: false, transition: "none", slideNumber: "c/t", plugins: [RevealNotes]}}));
</script>
</body>
</html>
"""
STYLE = """
.reveal { font: 30px/1.35 "Source Sans 3", "Segoe UI", "DejaVu Sans", sans-serif; color: #1a1a1a; background: white; }
.reveal .slides { text-align: left; }
.reveal h1 { font-size: 2.1em; line-height: 1.1; margin: 2.2em 0 0.5em; }
.reveal h2, .reveal h3 { font-size: 1.4em; line-height: 1.15; margin: 0 0 0.4em; color: #0b4f79; }
.reveal p, .reveal ul, .reveal ol, .reveal table { margin: 0.35em 0; }
.reveal ul, .reveal ol { padding-left: 1.1em; }
.reveal table { border-collapse: collapse; font-size: 0.85em; }
.reveal th, .reveal td { padding: 4px 14px; border-bottom: 1px solid #bbb; text-align: left; }
.reveal pre { font: 0.67em/1.3 "DejaVu Sans Mono", monospace; margin: 0.4em 0; white-space: pre-wrap; }
.reveal .highlight { background: #f5f5f2; padding: 2px 12px; border-radius: 6px; }
.reveal code { font-family: "DejaVu Sans Mono", monospace; font-size: 0.85em; }
.reveal .highlight code, .reveal pre code { font-size: 1em; }
.reveal img { width: 100%; max-height: calc(21em * var(--figure, 1)); object-fit: contain; display: block; margin: 0.2em auto; }
.reveal h2 ~ .cell img, .reveal p ~ .cell img { max-height: calc(15.5em * var(--figure, 1)); }
.reveal mjx-container { font-size: 0.95em; }
.reveal details { display: none; }
.reveal .slides section .fragment { transition: none; }
"""


def deck(notebook: Notebook, title: str) -> tuple[str, int]:
    """The page of a notebook's slides, and how many they are."""
    slides: list[list[str]] = []
    for at, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if not tags & {"slide", "fragment", "notes"}:
            continue
        shown = "".join(rendered(cell, tags, caption_after(notebook, at)))
        if "slide" in tags or not slides:
            slides.append([shown])
        elif "fragment" in tags:
            slides[-1].append(f'<div class="fragment">{shown}</div>')
        else:
            slides[-1].append(f'<aside class="notes">{shown}</aside>')
    body = "\n".join(f"<section>{''.join(parts)}</section>" for parts in slides)
    return PAGE.format(title=html.escape(title), slides=body), len(slides)


def rendered(cell: Notebook, tags: set[str], caption: str) -> Iterator[str]:
    """A cell as HTML: its text, or its outputs, and its code where that has no figure, or is asked for."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    figure = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    exporter.exclude_input = figure and "code" not in tags
    one = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python"}})
    body, _ = exporter.from_notebook_node(one)
    body = re.sub(r'(?<=<img )alt="[^"]*"', "", body)
    body = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", body)
    yield f'<div class="cell">{body.replace("<img ", f"<img alt={_quoted(caption)} ")}</div>'


def caption_after(notebook: Notebook, at: int) -> str:
    """The alternative text of a figure: the text in italics that follows it, which begins with "Figure:"."""
    after = "".join(cell.source for cell in notebook.cells[at + 1 : at + 2] if cell.cell_type == "markdown")
    found = re.match(r"\*Figure: (.*?)\*\s*(\n\n|$)", after, re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _quoted(text: str) -> str:
    return f'"{html.escape(text, quote=True)}"'


def assets(folder: Path) -> None:
    """Lay reveal.js, MathJax, the styles beside the decks. Raises SystemExit where they are not installed."""
    from pygments.formatters import HtmlFormatter

    try:
        reveal = _folder("sphinx-revealjs", "revealjs/dist/reveal.js").parent.parent
        mathjax = _folder("sphinx-mathjax-offline", "mathjax/tex-svg.js").parent
    except (PackageNotFoundError, StopIteration):
        sys.exit(MISSING)
    for source, name in ((reveal / "dist", "reveal"), (reveal / "plugin/notes", "reveal/notes")):
        shutil.copytree(
            source, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map", "*.esm.js", "theme")
        )
    (folder / "mathjax").mkdir(exist_ok=True)
    shutil.copy(mathjax / "tex-svg.js", folder / "mathjax")  # one file holds all that the course's formulas need
    (folder / "deck.css").write_text(STYLE + HtmlFormatter().get_style_defs(".highlight"), encoding="utf-8")


def _folder(distribution: str, ending: str) -> Path:
    return next(Path(str(file.locate())) for file in files(distribution) or () if str(file).endswith(ending))


def slides(said: str, root: Path = ROOT) -> None:
    """Write slides/NAME.html, of one lecture or, without a name, of all."""
    folder = root / "slides"
    lectures = [catalogue(root).find(said)] if said else list(catalogue(root).lectures.values())
    assets(folder / "assets")
    for target in targets(root):
        if target.kind is Kind.LECTURE and target.lecture in lectures:
            notebook = nbformat.read(target.path, as_version=4)
            page, count = deck(notebook, target.lecture.title)
            path = folder / f"{target.lecture.stem}.html"
            path.write_text(page, encoding="utf-8")
            say(f"{path.relative_to(root)}: {count} slides")
