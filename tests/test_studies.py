"""Long trainings: stopped and taken up they end with the same bits; results say how they were made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vae_course.data.batches import Batches
from vae_course.studies import __main__ as command
from vae_course.studies import cifar_codes, results
from vae_course.studies.long import train_long
from vae_course.training.loop import Player
from vae_course.training.snapshot import keep, take_up

Trained = tuple[list[dict[str, float]], dict[str, Tensor]]


def long(path: Path, epochs: int, rule: type[torch.optim.Optimizer] = torch.optim.Adam, of: int = 4) -> Trained:
    """A training with noise from torch's generator, batch norm, and an order of its own."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    data = torch.randn(20, 3)
    player = Player(lambda x: (net(x + torch.randn_like(x)) - x[:, :1]).square()[:, 0], rule(net.parameters(), lr=0.1))  # type: ignore[call-arg]
    batches = Batches(data, size=6, seed=1)
    rows = train_long([player], {"net": net}, batches, epochs, lambda epoch: 0.1 / epoch, path, {"epochs": of})
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows], net.state_dict()


@pytest.mark.parametrize("rule", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_a_training_taken_up_ends_with_the_same_bits(rule: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    rows, weights = long(tmp_path / "whole", 4, rule)
    long(tmp_path / "parts", 1, rule)
    long(tmp_path / "parts", 3, rule)
    again, others = long(tmp_path / "parts", 4, rule)
    assert again == rows
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_training_that_is_done_is_not_trained_further(tmp_path: Path) -> None:
    rows, weights = long(tmp_path / "whole", 4)
    again, others = long(tmp_path / "whole", 4)
    assert again == rows
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_snapshot_of_another_training_is_refused(tmp_path: Path) -> None:
    long(tmp_path / "whole", 1)
    with pytest.raises(ValueError, match=r"another training \(epochs differ\): name another folder"):
        long(tmp_path / "whole", 1, of=5)


def test_a_snapshot_that_does_not_fit_or_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    keep(path, {"net": nn.Linear(2, 2)}, [], {})
    with pytest.raises(ValueError, match="does not fit net"):
        take_up(path, {"net": nn.Linear(3, 2)}, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="delete it to start anew"):
        take_up(path, {"net": nn.Linear(2, 2)}, {})
    assert take_up(tmp_path / "nothing", {}, {}) == []


def test_a_result_comes_back_with_how_it_was_made(tmp_path: Path) -> None:
    results.write("study", {"bits": 4.5}, {"command": "run it"}, tmp_path)
    assert results.stored("study", tmp_path) == {"bits": 4.5}
    made_by = results.provenance("study", tmp_path)
    assert made_by["command"] == "run it"
    assert made_by["versions"]["torch"] == str(torch.__version__)
    with pytest.raises(FileNotFoundError, match=r"no result of a study 'other'.*; there is study"):
        results.stored("other", tmp_path)


# --- the codes of CIFAR-10


def test_the_model_of_colour_codes_has_the_shapes_it_says_and_trains() -> None:
    torch.manual_seed(0)
    x = (torch.rand(8, *cifar_codes.SHAPE) * 255).round() / 255
    model = cifar_codes.code_model()
    cifar_codes.start_on_outputs(model, x)
    q = model.posterior(x)
    assert q.codes.shape == (8, 10, 8, 8)
    assert len(q.codes.unique()) > 256  # of 512: the codes start on outputs
    before = cifar_codes.vq_loss(model, x)
    assert before.shape == (8,)
    before.mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_prior_of_colour_codes_is_a_distribution_in_the_order_it_says() -> None:
    """A code never changes the probability of those at places above it, nor of the books before its own at its place."""
    torch.manual_seed(0)
    prior = cifar_codes.PlacePrior(8, 2)
    torch.nn.init.normal_(prior.book)
    codes = torch.randint(cifar_codes.SIZE, (1, 10, 8, 8))
    other = codes.clone()
    other[0, 4, 3, 5] = (other[0, 4, 3, 5] + 1) % cifar_codes.SIZE
    moved = (prior(codes) != prior(other)).any(1)[0]  # [10, 8, 8]
    places = torch.arange(64).reshape(8, 8)
    assert not moved[:, places < 3 * 8 + 5].any()
    assert not moved[:5, 3, 5].any()
    assert moved[5:, 3, 5].all()
    assert moved[:, 3, 6].all()
    log_p = prior(codes).log_softmax(1).gather(1, codes[:, None])
    assert torch.allclose(cifar_codes.nats_of_codes(prior, codes), -log_p.sum((1, 2, 3, 4)), rtol=1e-4)


def test_tables_of_codes_that_never_change_cost_nothing_and_of_uniform_ones_nine_bits() -> None:
    torch.manual_seed(0)
    still = torch.zeros(2_000, 10, 8, 8, dtype=torch.long)
    assert cifar_codes.bits_by_tables(still, still) < 0.01
    drawn = torch.randint(cifar_codes.SIZE, (3_000, 10, 8, 8))
    bits = cifar_codes.bits_by_tables(drawn[:2_900], drawn[2_900:])
    assert bits == pytest.approx(640 * 9 / 3072, rel=0.03)


def test_the_command_refuses_other_arguments_and_missing_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["cifar_codes"]) == 2
    assert "usage: python -m vae_course.studies cifar_codes" in capsys.readouterr().err
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    assert command.main(["cifar_codes", str(tmp_path / "out")]) == 1
    assert "CIFAR10 is not in" in capsys.readouterr().err
