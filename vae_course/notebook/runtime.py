"""Where and how a notebook runs: the device, the seed, the scale and the budget, each from one variable.

| variable | values | meaning |
|---|---|---|
| `VAE_COURSE_DEVICE` | `cpu`, `cuda`, `cuda:1`, `mps`, … | the device; unset: an accelerator if there is one |
| `VAE_COURSE_SEED` | a whole number from 0 | the seed of all training in a notebook; unset: 0 |
| `VAE_COURSE_SCALE` | `laptop`, `full` | small data and short training, or all of it; unset: `laptop` |
| `VAE_COURSE_BUDGET` | a number above 0 | every training that many times as long: `0.1` for a quick look, `4` to see what stays; unset: 1 |
"""

from __future__ import annotations

import os
import random
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from IPython.core.getipython import get_ipython

from vae_course.notebook.interruptions import watch_interruptions
from vae_course.output import say
from vae_course.threads import look_again, watch_threads

Scale = Literal["laptop", "full"]
T = TypeVar("T")


class Runtime(NamedTuple):
    """What `start` found: the device, the seed, the scale and the budget of this run."""

    device: torch.device
    seed: int
    scale: Scale
    budget: float = 1.0

    def choose(self, *, laptop: T, full: T) -> T:
        """The first value on a laptop, the second at full scale."""
        return full if self.scale == "full" else laptop

    def epochs(self, *, laptop: float, full: float | None = None) -> int:
        """How long to train: that many epochs (or steps) times the budget, at least 1; `full` unset: the same at full scale."""
        chosen = laptop if full is None else self.choose(laptop=laptop, full=full)
        return max(1, round(chosen * self.budget))


def start() -> Runtime:
    """Read the four variables, seed Python, NumPy and torch, and say what was found.

    Raises ValueError for a value that is not in the table above.
    """
    runtime = Runtime(device(), seed(), scale(), budget())
    seed_everything(runtime.seed)
    watch_interruptions()
    threads = watch_threads()
    if (shell := get_ipython()) is not None and look_again not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", look_again)
    where = "" if runtime.device.type != "cpu" else f" ({threads} thread{'s' if threads > 1 else ''})"
    length = "" if runtime.budget == 1 else f", trainings × {runtime.budget:g}"
    say(f"device {runtime.device}{where}, seed {runtime.seed}, scale {runtime.scale}{length}")
    return runtime


def device() -> torch.device:
    """The device that `VAE_COURSE_DEVICE` names, else an accelerator if there is one, else the processor.

    Raises ValueError if the device named is unknown or not present on this machine.
    """
    name = os.environ.get("VAE_COURSE_DEVICE", "").strip()
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if not name:
        return accelerator or torch.device("cpu")
    present = "cpu" if accelerator is None else f"cpu and {accelerator.type}"
    advice = f"this machine has {present}; unset the variable or choose one of them"
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise ValueError(f"VAE_COURSE_DEVICE={name!r} is not the name of a device: {advice}.") from None
    if chosen.type != "cpu" and (accelerator is None or chosen.type != accelerator.type):
        raise ValueError(f"VAE_COURSE_DEVICE={name!r} is not available: {advice}.")
    if chosen.type != "cpu" and (chosen.index or 0) >= torch.accelerator.device_count():
        raise ValueError(
            f"VAE_COURSE_DEVICE={name!r} is not available: there are {torch.accelerator.device_count()} "
            f"devices of that type, counted from 0; choose a smaller index."
        )
    return chosen


def seed() -> int:
    """The seed that `VAE_COURSE_SEED` gives; 0 if it is unset. Raises ValueError unless it is a whole number >= 0."""
    text = os.environ.get("VAE_COURSE_SEED", "0").strip()
    if not text.isdecimal() or int(text) >= 2**32:
        raise ValueError(
            f"VAE_COURSE_SEED={text!r} is not a whole number from 0 to {2**32 - 1}: choose one, such as 0."
        )
    return int(text)


def scale() -> Scale:
    """The scale that `VAE_COURSE_SCALE` names; `laptop` if it is unset. Raises ValueError for another name."""
    text = os.environ.get("VAE_COURSE_SCALE", "laptop").strip()
    if text == "laptop":
        return "laptop"
    if text == "full":
        return "full"
    raise ValueError(f"VAE_COURSE_SCALE={text!r} is not known: choose 'laptop' or 'full'.")


def budget() -> float:
    """The factor that `VAE_COURSE_BUDGET` gives; 1 if it is unset. Raises ValueError unless it is a number above 0."""
    text = os.environ.get("VAE_COURSE_BUDGET", "1").strip()
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"VAE_COURSE_BUDGET={text!r} is not a number above 0: choose one, such as 0.1, 1 or 4.")
    return found


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - scikit-learn and others draw from the global generator
    torch.manual_seed(seed)
