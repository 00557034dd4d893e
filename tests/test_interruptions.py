"""The stop button in a real kernel: one line, queued cells that stop, later cells that say which to run again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

SETUP = """
import torch
from torch import nn
from vae_course.notebook.runtime import start
from vae_course.notebook.claims import claim
from vae_course.training.loop import adam_player, fit
run = start()
layer = nn.Linear(2, 1)
player = adam_player(lambda x: layer(x).square().sum(1), layer, 1e-3)
number = 1_000_000
"""
TRAINING = "history = fit([player], [(torch.ones(4, 2),)] * 50, epochs=number)"


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    environment = {**os.environ, "VAE_COURSE_CHECKING": "1", "OMP_NUM_THREADS": "1"}
    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[str, str, str]:
    """(status, what was printed, the error as it is shown)"""
    printed, shown = [], []

    def listen(message: Any) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        if message["msg_type"] == "error":
            shown.append("\n".join(content["traceback"]))

    reply = client.execute_interactive(code, output_hook=listen, timeout=60)
    return reply["content"]["status"], "".join(printed), "\n".join(shown)


def interrupt_after(manager: KernelManager, seconds: float) -> None:
    def stop() -> None:
        time.sleep(seconds)
        manager.interrupt_kernel()

    threading.Thread(target=stop, daemon=True).start()


def test_after_the_stop_button_cells_say_what_to_run_again(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    manager, client = kernel
    assert run(client, SETUP)[0] == "ok"
    interrupt_after(manager, 2.0)
    status, _, shown = run(client, TRAINING)
    assert status == "error", "queued cells must stop"
    assert shown.startswith("The training was interrupted after ")
    assert "of 1000000 epochs: run this cell again" in shown
    assert "\n" not in shown
    status, _, shown = run(client, "min(history['loss'])")
    assert status == "error"
    assert "(The cell that begins with 'history = fit([player], [(torch.ones(4, 2),)] * 50" in shown
    assert "was interrupted: run it again first.)" in shown
    _, printed, _ = run(client, "claim('one is one', True)")
    assert "one is one (but the cell that begins with" in printed
    _, _, shown = run(client, "claim('one is two', False)")
    assert "does not hold: one is two; but the cell that begins with" in shown
    assert run(client, "1 + 1")[0] == "ok"


def test_once_it_has_run_to_its_end_nothing_is_said_any_more(
    kernel: tuple[KernelManager, BlockingKernelClient],
) -> None:
    manager, client = kernel
    run(client, SETUP)
    interrupt_after(manager, 1.5)
    cell = "import time\nfor _ in range(stop_at if 'stop_at' in globals() else 10**6):\n    time.sleep(1e-4)"
    status, _, shown = run(client, cell)
    assert (status, shown) == ("error", "This cell was interrupted: run it again.")
    run(client, "stop_at = 3")
    assert run(client, cell)[0] == "ok"
    run(client, "number = 2")
    assert run(client, TRAINING)[0] == "ok"
    _, printed, _ = run(client, "claim('one is one', True)")
    assert "one is one" in printed
    assert "interrupted" not in printed


def test_an_error_without_an_interruption_has_its_traceback(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    _, client = kernel
    _, _, shown = run(client, "def f():\n    return 1 / 0\nf()")
    assert "ZeroDivisionError" in shown
