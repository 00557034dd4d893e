"""Every slider of the course, moved in a browser: `make browser`. Needs Chromium on the PATH and playwright.

Not among the tests that `make test` runs: they need no browser.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: run make browser")
from playwright.sync_api import Locator, Page, sync_playwright

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")

PICTURE = ".vae-course-picture"
LINEAR = "LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 0.7)"
WIDGETS = {
    "bottleneck_slider": "bottleneck_slider({k: torch.rand(6, 1, 28, 28) for k in (1, 2, 8)}, torch.rand(6, 1, 28, 28))",
    "code_explorer": "code_explorer(lambda c: c.sum().sigmoid().expand(1, 1, 28, 28), torch.randn(99, 2), torch.arange(99) % 3)",
    "kl_directions": "kl_directions(diagonal_normal(torch.zeros(1).double(), 1.5))",
    "elbo_bar": f"elbo_bar({LINEAR}, torch.ones(2).double())",
    "gradient_clouds": "gradient_clouds()",
    "denoising_explorer": "denoising_explorer({8: lambda y: 0.5 * y, 32: lambda y: y}, torch.rand(6, 1, 28, 28), "
    "torch.randn(6, 1, 28, 28))",
    "likelihood_explorer": "likelihood_explorer(torch.ones(1, 28, 28), torch.rand(1, 28, 28))",
    "temperature_explorer": "temperature_explorer(torch.tensor([1.0, 0.0, -1.0]), torch.tensor([1.0, 0.2, 0.6]))",
    "codebook_explorer": "codebook_explorer(torch.randn(200, 2))",
    "traversal_explorer": "traversal_explorer({'VAE': mlp_vae((1, 28, 28), (16,), 3)}, torch.rand(1, 28, 28))",
    "class_and_style_explorer": "class_and_style_explorer(mlp_conditional_vae((1, 28, 28), (16,), 3, 10, Classes(10)))",
    "beam_explorer": "beam_explorer(lambda z: (z.sum() + torch.ones(1, 1, 12, 24)).sigmoid(), torch.zeros(2), "
    "{'volume': torch.ones(2), 'load': torch.eye(2)[0]}, lambda z: Load(0.5, 90.0))",
}
PADS = {"filter_pad": ("filter_pad(torch.rand(1, 28, 28))", ".vae-course-kernel")}
IMPORTS = """import torch
from vae_course.distributions import diagonal_normal
from vae_course.data.finite_elements import Load
from vae_course.exact import LinearGaussian
from vae_course.models.conditional import Classes, mlp_conditional_vae
from vae_course.models.vae import mlp_vae
from vae_course.notebook.widgets import *"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab over a folder with one notebook for each widget."""
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    pads = {name: pad for name, (pad, _) in PADS.items()}
    for name, expression in {**WIDGETS, **pads, "self_test": "self_test()"}.items():
        cell = nbformat.v4.new_code_cell(f"{IMPORTS}\n{expression}")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / f"{name}.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--notebook-dir={folder}",
    ]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status", process, folder / "log.txt")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    for _ in range(240):
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(address, timeout=2)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(log.read_text()[-2000:])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser.new_page(viewport={"width": 1400, "height": 1000})
        browser.close()


@pytest.mark.parametrize("name", WIDGETS)
def test_moving_a_slider_changes_the_picture(name: str, server: str, page: Page) -> None:
    run_notebook(page, server, name)
    handles = page.locator(".noUi-handle")
    assert handles.count() >= 1
    for number in range(handles.count()):
        before = page.locator(PICTURE).first.get_attribute("src")
        drag(page, handles.nth(number))
        wait_for_another_picture(page, before)
    take_screenshot(page, name)


@pytest.mark.parametrize("name", PADS)
def test_a_click_on_a_pad_changes_the_picture(name: str, server: str, page: Page) -> None:
    run_notebook(page, server, name)
    before = page.locator(PICTURE).first.get_attribute("src")
    page.locator(PADS[name][1]).click(position={"x": 20, "y": 20})
    wait_for_another_picture(page, before)
    take_screenshot(page, name)


def test_a_choice_in_the_self_test_shows_its_reply(server: str, page: Page) -> None:
    run_notebook(page, server, "self_test", until=".vae-course-total")
    assert page.get_by_text("0 of 8 right").is_visible()
    page.locator("input[type=radio]").nth(0).click()
    page.get_by_text("Not so.").wait_for(timeout=20_000)
    page.locator("input[type=radio]").nth(1).click()
    page.get_by_text("1 of 8 right").wait_for(timeout=20_000)
    take_screenshot(page, "self_test")


def run_notebook(page: Page, server: str, name: str, until: str = PICTURE) -> None:
    """Open one notebook, run its cell, and wait for its picture, or for what else is named."""
    page.goto(f"{server}/lab/tree/{name}.ipynb?reset", wait_until="domcontentloaded")
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(1000)  # the kernel is there; its first cell may be run
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator(until).first.wait_for(timeout=120_000)


def wait_for_another_picture(page: Page, before: str | None) -> None:
    """Return once the first picture is no longer the one before."""
    changed = "([picture, before]) => document.querySelector(picture).src !== before"
    page.wait_for_function(changed, arg=[PICTURE, before], timeout=20_000)


def take_screenshot(page: Page, name: str) -> None:
    """Keep what is on the screen, if a folder for that is named."""
    if folder := os.environ.get("VAE_COURSE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def drag(page: Page, handle: Locator) -> None:
    """Move a slider to the right by a hand's breadth, or to the left where it stands at the right end."""
    box, track = handle.bounding_box(), handle.locator("xpath=../../..").bounding_box()
    assert box is not None
    assert track is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    step = 60 if x + 60 < track["x"] + track["width"] else -60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + step, y, steps=6)
    page.mouse.up()
