"""What the stop button leaves behind: one line, queued cells that stop, and later cells that say what was interrupted.

A cell that was stopped has not made what the next ones need. So until the same cell has run to its end, a cell that fails
says first which cell to run again, and so does a claim.
"""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython

from vae_course.training.loop import TrainingInterrupted

_open: dict[str, str] = {}  # the cells that were stopped, by their id or else their source → their first line of code


def watch_interruptions() -> None:
    """Let the notebook of this process speak of interruptions; calls after the first change nothing."""
    shell = get_ipython()
    if shell is None or _ran in shell.events.callbacks["post_run_cell"]:
        return
    shell.set_custom_exc((KeyboardInterrupt, Exception), _show)
    shell.events.register("post_run_cell", _ran)


def unfinished() -> str:
    """A sentence on the cell that was stopped, empty if there is none."""
    for beginning in _open.values():
        return f"the cell that begins with {beginning!r} was interrupted: run it again first"
    return ""


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: int | None = None
) -> Any:
    """What a failed cell shows, in the place of IPython's traceback where that would mislead."""
    if isinstance(error, KeyboardInterrupt):
        said = str(error) if isinstance(error, TrainingInterrupted) else "this cell was interrupted: run it again."
        shell._showtraceback(kind, error, [said[0].upper() + said[1:]])
    elif why := unfinished():
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}", f"({why[0].upper()}{why[1:]}.)"])
    else:
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)


def _ran(result: Any) -> None:
    source: str = result.info.raw_cell
    cell = getattr(result.info, "cell_id", None) or source
    if isinstance(result.error_in_exec, KeyboardInterrupt):
        code = (line for line in source.splitlines() if line.strip() and not line.startswith("#"))
        _open[cell] = next(code, "")[:60]
    elif result.success:
        _open.pop(cell, None)
