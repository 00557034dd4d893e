"""Device, seed and scale: each from one variable, each wrong value answered by one sentence."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from vae_course.notebook import runtime
from vae_course.progress import being_checked

SETTINGS = ("VAE_COURSE_DEVICE", "VAE_COURSE_SEED", "VAE_COURSE_SCALE", "VAE_COURSE_BUDGET")
VARIABLES = (*SETTINGS, "VAE_COURSE_CHECKING")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)


@pytest.mark.usefixtures("no_accelerator")
def test_nothing_set_is_a_laptop_with_seed_zero(capsys: pytest.CaptureFixture[str]) -> None:
    found = runtime.start()
    assert found == (torch.device("cpu"), 0, "laptop", 1.0)
    assert found.choose(laptop=1, full=2) == 1
    assert "device cpu" in capsys.readouterr().out


@pytest.mark.usefixtures("no_accelerator")
def test_the_variables_are_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in zip(SETTINGS, ("cpu", " 17 ", "full", "0.25"), strict=True):
        monkeypatch.setenv(name, value)
    found = runtime.start()
    assert found == (torch.device("cpu"), 17, "full", 0.25)
    assert found.choose(laptop=1, full=2) == 2
    assert found.epochs(laptop=1, full=10) == 2
    assert found.epochs(laptop=80) == 20
    assert found.epochs(laptop=1) == 1, "never fewer than one"
    assert capsys.readouterr().out.endswith("seed 17, scale full, trainings × 0.25\n")
    first = torch.rand(3)
    torch.manual_seed(17)
    assert torch.rand(3).equal(first)


@pytest.mark.usefixtures("one_gpu")
def test_an_accelerator_is_taken_by_itself_and_left_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.device() == torch.device("cuda")
    for name in ("cuda", "cuda:0", "cpu"):
        monkeypatch.setenv("VAE_COURSE_DEVICE", name)
        assert runtime.device() == torch.device(name)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "meta"])
def test_a_device_that_is_not_here_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_DEVICE", name)
    with pytest.raises(ValueError, match=rf"VAE_COURSE_DEVICE='{name}' is not available: this machine has cpu; unset"):
        runtime.device()


@pytest.mark.usefixtures("one_gpu")
def test_a_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_DEVICE", "cuda:1")
    with pytest.raises(ValueError, match="there are 1 devices of that type, counted from 0"):
        runtime.device()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu cuda", "0.5"])
def test_what_is_no_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_DEVICE", name)
    with pytest.raises(ValueError, match=f"'{name}' is not the name of a device") as caught:
        runtime.device()
    assert "\n" not in str(caught.value)
    assert "cpu" in str(caught.value)


@pytest.mark.parametrize("text", ["-1", "1.5", "seven", "", "1e3", str(2**32), "²"])
def test_what_is_no_seed_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_SEED", text)
    with pytest.raises(ValueError, match=f"VAE_COURSE_SEED='{text}' is not a whole number from 0") as caught:
        runtime.start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "123", str(2**32 - 1)])
def test_a_whole_number_is_a_seed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_SEED", text)
    assert runtime.seed() == int(text)
    runtime.seed_everything(runtime.seed())  # NumPy takes no larger one


@pytest.mark.parametrize("text", ["", "Full", "huge"])
def test_what_is_no_scale_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_SCALE", text)
    with pytest.raises(ValueError, match=f"VAE_COURSE_SCALE='{text}' is not known: choose 'laptop' or 'full'"):
        runtime.scale()


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002 - the global one is meant


def test_seeding_repeats_every_generator() -> None:
    runtime.seed_everything(5)
    first = draws()
    assert all(a != b for a, b in zip(first, draws(), strict=True))
    runtime.seed_everything(5)
    assert draws() == first
    runtime.seed_everything(6)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


def test_a_notebook_knows_whether_it_is_being_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not being_checked()
    monkeypatch.setenv("VAE_COURSE_CHECKING", "1")
    assert being_checked()


@pytest.mark.parametrize("text", ["0", "-1", "quick", "", "nan", "inf"])
def test_a_budget_that_is_no_number_above_zero_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_BUDGET", text)
    with pytest.raises(ValueError, match=rf"VAE_COURSE_BUDGET={text!r} is not a number above 0"):
        runtime.budget()
