"""The loop: what it averages, steps, records, refuses and survives; and checkpoints that load whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR

from vae_course import __version__
from vae_course.data.batches import Batches
from vae_course.distributions.validation import validation
from vae_course.training import store
from vae_course.training.loop import Player, TrainingInterrupted, adam_player, fit
from vae_course.training.store import checksum, load, save

Batch = tuple[Tensor, ...]


class Scale(nn.Module):
    """One number w, and the loss (w·x)² of each example."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start))

    def loss(self, x: Tensor) -> Tensor:
        return (self.w * x).square()


def sgd(module: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(module.parameters(), lr=lr)


def batches(*sizes: int) -> list[Batch]:
    """Batches of 1, 2, 3, … of the given sizes."""
    return [(part,) for part in torch.arange(1.0, sum(sizes) + 1).split(list(sizes))]


def test_an_epoch_is_the_mean_over_all_examples_whatever_the_sizes_of_the_batches() -> None:
    model = Scale()
    history = fit([Player(model.loss, sgd(model, lr=0.0))], batches(4, 4, 1), epochs=2)
    mean = sum(i * i for i in range(1, 10)) / 9
    of_batches = (sum(i * i for i in range(1, 5)) / 4 + sum(i * i for i in range(5, 9)) / 4 + 81) / 3
    assert history["loss"] == pytest.approx([mean, mean])
    assert abs(mean - of_batches) > 5, "the data must tell the two means apart"


def test_a_batch_is_one_gradient_step_on_its_mean() -> None:
    model, w = Scale(), 1.0
    fit([Player(model.loss, sgd(model, lr=0.01))], batches(3, 2), epochs=1)
    for mean_square in ((1 + 4 + 9) / 3, (16 + 25) / 2):
        w -= 0.01 * 2 * w * mean_square
    assert model.w.item() == pytest.approx(w)


def test_a_loss_is_recorded_before_its_step() -> None:
    model = Scale()
    history = fit([Player(model.loss, sgd(model))], [(torch.ones(5),)], epochs=2)
    assert history["loss"] == pytest.approx([1.0, 0.8**2])


def test_two_players_change_only_their_own_weights() -> None:
    first, second = Scale(1.0), Scale(2.0)

    def product(x: Tensor) -> Tensor:
        return first.w * second.w * x  # the gradient reaches both

    history = fit(
        [Player(product, sgd(first), name="first"), Player(product, sgd(second, lr=0.0), name="second")],
        [(torch.ones(4),)],
        epochs=3,
    )
    assert first.w.item() == pytest.approx(1.0 - 3 * 0.1 * 2.0)  # no gradient is left over from the other's step
    assert second.w.item() == 2.0
    assert history["first"] == pytest.approx([2.0, 1.6, 1.2])
    assert history["second"] == pytest.approx([1.6, 1.2, 0.8])  # it plays after the first has stepped


def test_two_players_reach_their_balance() -> None:
    chaser, runner = Scale(3.0), Scale(-2.0)

    def chase(x: Tensor) -> Tensor:
        return (chaser.w - runner.w.detach()).square() * x

    def run(x: Tensor) -> Tensor:
        return (runner.w - 1.0).square() * x

    fit([Player(chase, sgd(chaser)), Player(run, sgd(runner), name="run")], [(torch.ones(2),)], epochs=100)
    assert (chaser.w.item(), runner.w.item()) == pytest.approx((1.0, 1.0), abs=1e-3)


def test_the_history_has_a_row_an_epoch_and_a_column_a_figure() -> None:
    model = Scale()
    seen: list[tuple[float, bool]] = []

    def watch() -> dict[str, float]:
        seen.append((model.w.item(), torch.is_grad_enabled()))
        return {"w": model.w.item()}

    history = fit([Player(model.loss, sgd(model), name="square")], [(torch.ones(5),)], epochs=3, watch=watch)
    assert len(history) == 3
    assert [list(row) for row in history.rows] == [["epoch", "square", "seconds", "w"]] * 3
    assert history["epoch"] == [1, 2, 3]
    assert history["w"] == pytest.approx([0.8, 0.64, 0.512])
    assert seen == [(value, False) for value in history["w"]]
    with pytest.raises(KeyError, match=r"no column 'loss'.*square"):
        history["loss"]


def test_a_schedule_is_stepped_once_a_batch() -> None:
    model = Scale()
    optimizer = sgd(model, lr=1e-3)
    asked: list[int] = []

    def halving(optimizer: Optimizer, steps: int) -> LRScheduler:
        asked.append(steps)
        return StepLR(optimizer, step_size=1, gamma=0.5)

    fit([Player(model.loss, optimizer, halving)], batches(2, 2, 1), epochs=2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.5**6)
    assert asked == [6], "fit counts the steps: epochs times batches"


def test_a_schedule_over_an_unknown_number_of_batches_is_refused() -> None:
    model = nn.Linear(2, 1)
    player = adam_player(lambda x: model(x).square().sum(1), model, 1e-2)
    with pytest.raises(TypeError, match="needs the number of steps, and generator has no length"):
        fit([player], ((torch.ones(3, 2),) for _ in range(3)), epochs=1)


def test_an_optimizer_that_calls_its_loss_several_times_is_a_player_too() -> None:
    model = Scale()
    lbfgs = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    history = fit([Player(model.loss, lbfgs)], [(torch.ones(5),)], epochs=2)
    assert history["loss"] == pytest.approx([1.0, 0.0], abs=1e-8)


def test_a_batch_may_hold_several_tensors() -> None:
    model = Scale()
    x, y = torch.arange(6.0), torch.arange(6.0) + 1

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return (y - x) * model.w

    history = fit([Player(loss, sgd(model, lr=0.0))], Batches(x, y, size=4, seed=0), epochs=1)
    assert history["loss"] == pytest.approx([1.0])


def test_ctrl_c_stops_the_cell_and_keeps_the_weights_and_the_whole_epochs() -> None:
    model, undisturbed, calls = Scale(), Scale(), 0
    before = Distribution._validate_args

    def loss(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:  # the second batch of epoch 3
            raise KeyboardInterrupt
        return model.loss(x)

    with pytest.raises(TrainingInterrupted, match="interrupted after 2 of 10 epochs: run this cell again") as stopped:
        fit([Player(loss, sgd(model, lr=0.01))], batches(2, 1), epochs=10)
    history = stopped.value.history
    fit([Player(undisturbed.loss, sgd(undisturbed, lr=0.01))], [*batches(2, 1), *batches(2, 1), *batches(2)], epochs=1)
    assert history["epoch"] == [1, 2]
    assert len(history["loss"]) == 2
    assert model.w.item() == undisturbed.w.item()  # five steps were taken, and none is taken back
    assert Distribution._validate_args is before


def used_up() -> Iterator[Batch]:
    yield (torch.ones(3),)


def test_batches_without_an_example_are_refused() -> None:
    model = Scale()
    player = Player(model.loss, sgd(model))
    with pytest.raises(ValueError, match="batches are empty"):
        fit([player], [], epochs=1)
    with pytest.raises(ValueError, match="generator already used up"):
        fit([player], used_up(), epochs=2)


def test_zero_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="0 epochs"):
        fit([Player(Scale().loss, sgd(Scale()))], batches(2), epochs=0)


def the_mean(values: Tensor) -> Tensor:
    return values.mean()


def a_column(values: Tensor) -> Tensor:
    return values[:, None]


def one_too_few(values: Tensor) -> Tensor:
    return values[1:]


@pytest.mark.parametrize("change", [the_mean, a_column, one_too_few])
def test_a_loss_that_is_not_one_number_per_example_is_refused(change: Callable[[Tensor], Tensor]) -> None:
    model = Scale()

    def loss(x: Tensor) -> Tensor:
        return change(model.loss(x))

    with pytest.raises(ValueError, match=r"'mine' returned the shape \[.*\] for 5 examples.*takes the mean itself"):
        fit([Player(loss, sgd(model), name="mine")], [(torch.ones(5),)], epochs=1)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_loss_that_is_not_finite_ends_training(value: float) -> None:
    model = Scale()
    with pytest.raises(FloatingPointError, match=r"square of epoch 1 is .*learning rate"):
        fit([Player(lambda x: model.w * x * value, sgd(model), name="square")], [(torch.ones(5),)], epochs=3)


def test_training_that_diverges_names_the_epoch() -> None:
    model = Scale()
    with pytest.raises(FloatingPointError, match=r"of epoch ([2-9]|\d\d) is (inf|nan)"):
        fit([Player(model.loss, sgd(model, lr=1e5))], [(torch.ones(5),)], epochs=50)


@pytest.mark.parametrize("default", [True, False])
def test_distributions_validate_on_the_first_batch_only_and_afterwards_as_before(default: bool) -> None:
    model = Scale()
    seen: list[bool] = []

    def loss(x: Tensor) -> Tensor:
        seen.append(Distribution._validate_args)
        return model.loss(x)

    with validation(default):
        fit([Player(loss, sgd(model))], batches(2, 2), epochs=2)
        assert Distribution._validate_args is default
    assert seen == [True, False, False, False]


def test_validation_is_restored_after_an_error() -> None:
    before = Distribution._validate_args
    model = Scale()
    for poison in (lambda x: model.w * x * nan, lambda x: model.w * x.mean()):
        with pytest.raises((ValueError, FloatingPointError)):
            fit([Player(poison, sgd(model))], batches(2, 2), epochs=2)
        assert Distribution._validate_args is before


def test_a_short_training_shows_no_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    model = Scale()
    fit([Player(model.loss, sgd(model))], batches(2, 2), epochs=20)
    assert capfd.readouterr().err == ""


# --- checkpoints


def network(seed: int, hidden: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Bitwise equal, names and number types included."""
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and a[name].equal(b[name]) for name in a)


def test_a_checkpoint_gives_back_the_same_bits_and_how_it_was_made(tmp_path: Path) -> None:
    trained, fresh, path = network(0), network(1), tmp_path / "net.safetensors"
    trained(torch.randn(8, 3))  # moves the running mean of the batch norm, which is state too
    assert not same(state(trained), state(fresh))
    digest = save(trained, path, command="make checkpoint", epochs=12, lr=0.5)
    assert digest == checksum(path)
    made_by = load(fresh, path, sha256=digest)
    assert same(state(trained), state(fresh))
    assert made_by == {
        "command": "make checkpoint",
        "epochs": 12,
        "lr": 0.5,
        "vae_course": __version__,
        "torch": str(torch.__version__),
    }


def test_the_same_weights_make_the_same_file(tmp_path: Path) -> None:
    assert save(network(0), tmp_path / "a") == save(network(0), tmp_path / "b") != save(network(1), tmp_path / "c")


def test_saving_leaves_one_file_and_replaces_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(network(0), path)
    old = path.read_bytes()
    with path.open("rb") as reader:  # somebody reads the old file meanwhile
        save(network(1), str(path))
        assert reader.read() == old
    assert os.listdir(tmp_path) == ["net.safetensors"]
    target = network(0)
    load(target, path)
    assert same(state(target), state(network(1)))


def test_a_failed_save_leaves_the_old_file_and_no_partial_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    digest = save(network(0), path)

    def full_disk(tensors: dict[str, Tensor], filename: Path, metadata: dict[str, str]) -> None:
        filename.write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(store, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(network(1), path)
    assert os.listdir(tmp_path) == ["net.safetensors"]
    assert checksum(path) == digest


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def cut_in_its_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def random_bytes(path: Path) -> None:
    path.write_bytes(bytes(torch.randint(256, (500,), generator=torch.Generator().manual_seed(0)).tolist()))


def without_metadata(path: Path) -> None:
    save_file(state(network(0)), path)


def with_other_metadata(path: Path) -> None:
    save_file(state(network(0)), path, metadata={"format": "pt"})


def with_garbled_metadata(path: Path) -> None:
    save_file(state(network(0)), path, metadata={"made_by": "{not json"})


def of_another_shape(path: Path) -> None:
    save(network(0, hidden=5), path)


def of_another_number_type(path: Path) -> None:
    save(network(0).double(), path)


def with_another_name(path: Path) -> None:
    module = network(0)
    save(nn.Sequential(module[0], module[1], nn.Sequential(module[2])), path)


def with_a_name_missing(path: Path) -> None:
    save(network(0)[:2], path)


def with_a_name_too_many(path: Path) -> None:
    save(network(0).append(nn.Linear(2, 2)), path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncated, "damaged"),
        (cut_in_its_header, "damaged"),
        (emptied, "damaged"),
        (random_bytes, "damaged"),
        (without_metadata, "not a checkpoint of this course"),
        (with_other_metadata, "not a checkpoint of this course"),
        (with_garbled_metadata, "not a checkpoint of this course"),
        (of_another_shape, r"0\.bias is \[5\] float32 in the file and \[4\] float32 in the model"),
        (of_another_number_type, r"float64 in the file and .* float32 in the model"),
        (with_another_name, "absent"),
        (with_a_name_missing, "absent in the file"),
        (with_a_name_too_many, "absent in the model"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_changes_nothing(
    spoil: Callable[[Path], None], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    save(network(0), path)
    spoil(path)
    target = network(1)
    before = state(target)
    with pytest.raises(ValueError, match=says) as caught:
        load(target, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert same(state(target), before)


def test_a_checkpoint_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    expected = save(network(0), path, epochs=1)
    save(network(0), path, epochs=2)
    target = network(1)
    before = state(target)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        load(target, path, sha256=expected)
    assert same(state(target), before)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nowhere"):
        load(network(0), tmp_path / "nowhere")


@pytest.mark.parametrize("steps", range(1, 12))
def test_an_adam_player_takes_any_number_of_steps(steps: int) -> None:
    model = nn.Linear(2, 1)
    player = adam_player(lambda x: model(x).square().sum(1), model, 1e-2)
    fit([player], [(torch.ones(3, 2),)], epochs=steps)
    assert player.optimizer.param_groups[0]["lr"] <= 1e-2
