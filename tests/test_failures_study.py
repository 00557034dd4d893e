"""The study behind the lecture on what else fails: its models are distributions, its rows hold what they say, it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vae_course.distributions.families import bernoulli
from vae_course.studies import failures, results
from vae_course.studies.failures import Data


@pytest.fixture
def data() -> Data:
    """Pictures of the right size with few digits' worth of ink."""
    torch.manual_seed(0)
    grey = torch.rand(40, 1, 28, 28) * (torch.rand(1, 1, 28, 28) < 0.2)
    return Data(grey[:30], grey[30:], (grey[30:] > 0.5).float())


def test_the_belief_net_sums_to_one_over_the_pixels_that_it_may_choose() -> None:
    net = failures.BeliefNet().double()
    torch.manual_seed(0)
    with torch.no_grad():
        net.weight.normal_()
        net.bias[2:] = -200.0  # two pixels are free, the others are paper
    x = torch.zeros(4, 784, dtype=torch.float64)
    x[:, :2] = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert float(net.log_prob(x.reshape(4, 1, 28, 28)).detach().exp().sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", [*failures.COST])
def test_every_model_is_timed_and_judged(name: str, data: Data) -> None:
    row = failures.cost_row(failures.COST[name], data, seed=0, epochs=1)
    assert set(row) == {"nats", "numbers", "seconds", "seconds_a_log_p", "seconds_a_draw"}
    assert row["nats"] < 0
    assert row["numbers"] >= 784
    again = failures.cost_row(failures.COST[name], data, seed=0, epochs=1)
    assert again["nats"] == pytest.approx(row["nats"])


def test_a_setting_changes_what_it_says(data: Data) -> None:
    deep = failures.train_setting(failures.SENSITIVITY["3 hidden layers"], bernoulli, failures._of_digits(data), 1)
    plain = failures.train_setting(failures.SENSITIVITY["as it is"], bernoulli, failures._of_digits(data), 1)
    linear = [sum(isinstance(m, torch.nn.Linear) for m in vae.encoder.modules()) for vae in (plain, deep)]
    assert linear == [2, 4]
    torch.manual_seed(0)
    wide = failures.train_setting(failures.Setting(start=2.0, rate=1e-9), bernoulli, failures._of_digits(data), 1)
    torch.manual_seed(0)
    usual = failures.train_setting(failures.Setting(rate=1e-9), bernoulli, failures._of_digits(data), 1)
    ratio = wide.posterior(data.binary).stddev / usual.posterior(data.binary).stddev
    assert torch.allclose(ratio.log(), torch.tensor(2.0), atol=1e-3)


def test_a_training_that_diverges_is_a_row_too(data: Data) -> None:
    assert failures.sensitivity_row(failures.Setting(rate=1e6), data, seed=0, epochs=3) == {"diverged": 1.0}


def test_a_study_that_was_stopped_keeps_its_rows(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("SENSITIVITY", "SMOOTHNESS"):
        monkeypatch.setattr(failures, table, {"as it is": failures.Setting(hidden=(8,))})
    monkeypatch.setattr(failures, "COST", {"VAE": failures.plain_vae})
    monkeypatch.setattr(failures, "write", lambda name, figures, how: results.write(name, figures, how, tmp_path))
    threads = torch.get_num_threads()
    failures.make(tmp_path / "rows", {table: {1: 2} for table in failures.SEEDS}, data)
    first = results.stored("failures", tmp_path)
    assert len(first["cost"]["VAE"]["1"]) == 2
    kept = json.loads((tmp_path / "rows" / "sensitivity.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(failures, "sensitivity_row", lambda *_: pytest.fail("measured again"))
    failures.make(tmp_path / "rows", {table: {1: 2} for table in failures.SEEDS}, data)
    assert results.stored("failures", tmp_path) == first
    assert list(kept) == ["as it is, 1 epochs, seed 0", "as it is, 1 epochs, seed 1"]
    torch.set_num_threads(threads)


def test_the_stored_tables_hold_every_setting_and_say_how_they_were_made() -> None:
    figures, made_by = results.stored("failures"), results.provenance("failures")
    for table, settings in {
        "sensitivity": failures.SENSITIVITY,
        "smoothness": failures.SMOOTHNESS,
        "cost": failures.COST,
    }.items():
        assert list(figures[table]) == list(settings)
        for rows in figures[table].values():
            assert {int(epochs): len(seeds) for epochs, seeds in rows.items()} == failures.SEEDS[table]
    assert made_by["command"] == failures.COMMAND
    assert made_by["data"].startswith("MNIST-5k")
