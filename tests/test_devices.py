"""Lectures, bounds and training on a pretended accelerator, which refuses what accelerators refuse and counts waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices import too_old

pytestmark = pytest.mark.skipif(bool(too_old()), reason=too_old())

ROOT = Path(__file__).parents[1]
KINDS = ("gpu", "apple")


def run(*arguments: str) -> str:
    """What a process of its own prints: the pretended device stays with a process for good."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "QUIET": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-2000:]
    return ran.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_bound_and_measure_gives_there_what_it_gives_here(kind: str) -> None:
    assert "outcomes are as on the processor" in run("tests.devices.contract", kind)


@pytest.mark.parametrize("name", ["variational_autoencoder", "convolutional_vae", "discrete_vae"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lecture_runs_there(kind: str, name: str) -> None:
    assert "claims do not hold after so short a training" in run("tests.devices.pretend", kind, name)


def test_nothing_waits_in_an_inner_loop() -> None:
    """`tests.devices.waits` prints how often the processor waited, for a few steps and for many more."""
    waits = dict(line.rsplit(" ", 1) for line in run("tests.devices.waits").splitlines())
    assert int(waits["fit, 2 epochs of 5 batches"]) == int(waits["fit, 2 epochs of 50 batches"])
    per_epoch = int(waits["fit, 12 epochs of 5 batches"]) - int(waits["fit, 2 epochs of 5 batches"])
    assert per_epoch == 10, "one wait an epoch, for its losses"
    assert waits["log_evidence, 100 draws in chunks of 50"] == waits["log_evidence, 5000 draws in chunks of 50"]
    chunks = [int(waits[f"log_evidence, {n} chunks of examples"]) for n in (2, 4)]
    assert chunks[1] - chunks[0] == 2 * 8, "eight waits a chunk, in which its examples are validated"
