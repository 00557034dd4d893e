"""A pretended accelerator, and what is run on it."""

from __future__ import annotations

import torch
from packaging.version import Version

LEAST_TORCH = "2.9"  # whose means for a new device it is made with


def too_old() -> str:
    """Why nothing can be run on it here; empty where it can."""
    if Version(torch.__version__) >= Version(LEAST_TORCH):
        return ""
    return f"the pretended accelerator needs torch {LEAST_TORCH} or newer; this is {torch.__version__}"
