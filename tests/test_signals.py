"""Generated pump signals: the same at every call, healthy up to the beginning of a fault, and faulty as stated after it."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from tests.messages import message
from vae_course.data import signals
from vae_course.data.images import SPLIT_SEED
from vae_course.data.signals import (
    BURST_LENGTH,
    BURST_NOISE,
    FAULTS,
    LAG,
    LENGTH,
    NOISE,
    RISE,
    SENSORS,
    TOO_LATE,
    SignalSet,
    faulty_signals,
    healthy_signals,
)

EACH = 40
PRESSURE, FLOW = range(2)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def faulty() -> SignalSet:
    return faulty_signals(EACH)


@pytest.fixture(scope="module")
def unharmed() -> SignalSet:
    """The signals of `faulty` as they would have been without their faults: drawn with the same random numbers."""
    none = torch.zeros(EACH * len(FAULTS), dtype=torch.int64)
    return signals._draw(none, torch.Generator().manual_seed(SPLIT_SEED + 1))


def of(kind: str, found: SignalSet) -> SignalSet:
    return found[found.fault == FAULTS.index(kind)]


def harm(kind: str, faulty: SignalSet, unharmed: SignalSet) -> tuple[Tensor, Tensor]:
    """What a fault added, [n, 2, length], and which samples lie at or after its beginning, [n, length]."""
    chosen = faulty.fault == FAULTS.index(kind)
    after = torch.arange(LENGTH) >= faulty.begin[chosen][:, None]
    return (faulty.signals - unharmed.signals)[chosen].double(), after


# --- the healthy pump, fitted anew


class Fit(NamedTuple):
    """Load, turns in the whole length, phase: [n, 3]; both sensors less the healthy model: [n, 2, length]."""

    parameters: Array
    residuals: Array


def model(parameters: Array) -> Array:
    """Both sensors of a healthy pump without noise: [..., 3] → [..., 2, length]."""
    load, turns, phase = (parameters[..., i, None, None] for i in range(3))
    angle = 2 * pi * turns * (np.arange(64) - np.array([[0], [5]])) / 64 + phase
    swing: Array = load * (np.sin(angle) + np.sin(2 * angle) / 3)
    swing *= np.array([[1.0], [0.8]])
    return swing


def fit(found: SignalSet, which: Tensor) -> Fit:
    """Least squares of load, speed and phase on the samples `which`, [n, 2, length], from the best start of a grid."""
    x, mask = found.signals.double().numpy(), which.numpy()
    turns, phases = np.meshgrid(np.linspace(1.9, 4.1, 45), np.arange(24) * 2 * pi / 24)
    grid = np.stack([np.ones(turns.size), turns.ravel(), phases.ravel()], 1)
    shapes = model(grid).reshape(len(grid), -1)
    products, squares = shapes @ (mask * x).reshape(len(x), -1).T, shapes**2 @ mask.reshape(len(x), -1).T
    best = (products.clip(0) ** 2 / squares).argmax(0)
    start = np.column_stack([(products / squares)[best, np.arange(len(x))], grid[best, 1:]])

    def one(i: int) -> Array:
        def residuals(p: Array) -> Array:
            return np.asarray((model(p) - x[i])[mask[i]])

        return np.asarray(least_squares(residuals, start[i], method="lm").x)

    parameters = np.stack([one(i) for i in range(len(x))])
    return Fit(parameters, x - model(parameters))


def assert_noise(residuals: Array, variance: float = NOISE**2, fitted: int = 0) -> None:
    """Normal numbers of this variance, of which `fitted` degrees of freedom were used up."""
    freedom = residuals.size - fitted
    assert abs(float(np.square(residuals).sum()) / freedom / variance - 1) < 5 * (2 / freedom) ** 0.5
    assert abs(float(residuals.mean())) < 5 * (variance / residuals.size) ** 0.5


@pytest.fixture(scope="module")
def healthy_fit() -> Fit:
    return fit(healthy_signals(150), torch.ones(150, 2, 64, dtype=torch.bool))


def test_the_table_says_what_the_recipe_says() -> None:
    assert (LENGTH, LAG, TOO_LATE, BURST_LENGTH) == (64, 5, 2, 10)
    assert (NOISE, RISE, BURST_NOISE) == (0.05, 0.25, 0.15)
    assert SENSORS == ("pressure", "flow")
    assert FAULTS == ("healthy", "drift", "frozen", "burst", "late")


def test_a_healthy_signal_is_two_harmonics_and_a_flow_that_follows_with_the_same_small_noise(healthy_fit: Fit) -> None:
    for sensor in (PRESSURE, FLOW):
        assert_noise(healthy_fit.residuals[:, sensor], fitted=225)
    r = healthy_fit.residuals
    for one, other in ((r[:, 0], r[:, 1]), (r[..., 1:], r[..., :-1]), (r[1:], r[:-1])):
        assert (
            abs(float((one * other).mean())) < 5 * NOISE**2 / one.size**0.5 + 0.05 * NOISE**2
        )  # a fit ties them a little
    assert scipy.stats.kstest(r.ravel()[:4000] / NOISE, "norm").pvalue > 1e-4


@pytest.mark.parametrize(("which", "low", "high"), [(0, 0.6, 1.0), (1, 2.0, 4.0), (2, 0.0, 2 * pi)])
def test_load_speed_and_phase_differ_uniformly_from_signal_to_signal(
    which: int, low: float, high: float, healthy_fit: Fit
) -> None:
    value = healthy_fit.parameters[:, which]
    if which == 2:
        value = value % (2 * pi)
    assert low - 0.03 < value.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < value.max() < high + 0.03
    assert scipy.stats.kstest(value, scipy.stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_load_speed_and_phase_are_drawn_independently(healthy_fit: Fit) -> None:
    correlation = np.corrcoef(healthy_fit.parameters.T) - np.eye(3)
    assert np.abs(correlation).max() < 5 / 150**0.5


# --- what is drawn


def test_the_signals_are_the_same_at_every_call_and_move_no_generator() -> None:
    state = torch.get_rng_state()
    first = healthy_signals(7), faulty_signals(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    for a, b in zip(first, (healthy_signals(7), faulty_signals(3)), strict=True):
        for name in ("signals", "fault", "begin"):
            assert torch.equal(getattr(a, name), getattr(b, name))


def test_shapes_number_types_and_the_order_of_faults() -> None:
    train, test = healthy_signals(7), faulty_signals(3)
    assert train.signals.shape == (7, 2, LENGTH)
    assert test.signals.shape == (15, 2, LENGTH)
    assert train.fault.tolist() == [0] * 7
    assert test.fault.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    for part in (train, test):
        assert part.signals.dtype == torch.float32
        assert part.fault.dtype == part.begin.dtype == torch.int64
        assert len(part) == len(part.signals)
        assert part.signals.isfinite().all()
    assert len(healthy_signals(1)) == 1
    assert len(faulty_signals(1)) == 5


def test_no_signal_is_both_trained_on_and_tested(faulty: SignalSet, unharmed: SignalSet) -> None:
    train = healthy_signals(500).signals.flatten(1)
    for test in (faulty, unharmed):
        assert float(torch.cdist(test.signals.flatten(1), train).min()) > 0.3
    assert float(torch.cdist(train, train).fill_diagonal_(torch.inf).min()) > 0.3
    for n in (1, 5, EACH * len(FAULTS)):  # as many of each: the same draws, had they the same seed
        assert float(torch.cdist(unharmed.signals.flatten(1), healthy_signals(n).signals.flatten(1)).min()) > 0.3


def test_faults_begin_uniformly_in_the_second_quarter(faulty: SignalSet) -> None:
    assert set(faulty.begin.tolist()) == set(range(16, 32))
    counts = torch.bincount(faulty.begin)[16:].double()
    assert float((counts - 12.5).square().sum() / 12.5) < 45  # chi square with 15 degrees of freedom
    for kind in FAULTS:
        assert len(of(kind, faulty).begin.unique()) > 5


# --- before its beginning a fault is not there


@pytest.mark.parametrize("kind", FAULTS)
def test_before_its_beginning_a_faulty_signal_is_a_healthy_one(
    kind: str, faulty: SignalSet, unharmed: SignalSet
) -> None:
    difference, after = harm(kind, faulty, unharmed)
    assert (difference * ~after[:, None] == 0).all()
    chosen = of(kind, faulty)
    before = ~after[:, None].expand(-1, 2, -1)
    assert_noise(fit(chosen, before).residuals[before.numpy()], fitted=3 * EACH)


def test_a_healthy_signal_stays_healthy_to_the_end(faulty: SignalSet, unharmed: SignalSet) -> None:
    assert torch.equal(of("healthy", faulty).signals, unharmed.signals[:EACH])
    everything = torch.ones(EACH, 2, 64, dtype=torch.bool)
    assert_noise(fit(of("healthy", faulty), everything).residuals, fitted=3 * EACH)


@pytest.mark.parametrize(("kind", "sensor"), [("drift", FLOW), ("frozen", PRESSURE), ("late", PRESSURE)])
def test_the_other_sensor_is_not_touched(kind: str, sensor: int, faulty: SignalSet, unharmed: SignalSet) -> None:
    difference, _ = harm(kind, faulty, unharmed)
    assert (difference[:, sensor] == 0).all()
    assert (difference[:, 1 - sensor] != 0).any(1).all()


# --- what a fault does from its beginning on


def test_a_drift_moves_the_pressure_upwards_in_a_straight_line_to_its_rise_at_the_end(
    faulty: SignalSet, unharmed: SignalSet
) -> None:
    difference, after = harm("drift", faulty, unharmed)
    begin = of("drift", faulty).begin[:, None]
    line = 0.25 * (torch.arange(64) - begin).double() / (63 - begin)
    torch.testing.assert_close(difference[:, PRESSURE], line * after, atol=1e-6, rtol=0)
    torch.testing.assert_close(difference[:, PRESSURE, -1], torch.full((EACH,), RISE).double(), atol=1e-6, rtol=0)


def test_the_drift_of_the_pressure_is_seen_against_what_the_flow_tells(faulty: SignalSet) -> None:
    """Fitted to the flow and to the pressure before the beginning; what lies above is the line, and noise."""
    chosen = of("drift", faulty)
    after = torch.arange(64) >= chosen.begin[:, None]
    residuals = fit(chosen, torch.stack([~after, torch.ones_like(after)], 1)).residuals[:, PRESSURE]
    line = ((torch.arange(64) - chosen.begin[:, None]).clamp(min=0) / (63 - chosen.begin[:, None])).double().numpy()
    rise = float((residuals * line).sum() / (line * line).sum())
    assert abs(rise - RISE) < 0.01
    above = (residuals - RISE * line)[after.numpy()]
    assert NOISE**2 < float(np.square(above).mean()) < 1.4 * NOISE**2  # the fit errs a little as well


def test_a_frozen_flow_repeats_one_healthy_value_exactly(faulty: SignalSet, unharmed: SignalSet) -> None:
    chosen = of("frozen", faulty)
    for signal, healthy, begin in zip(
        chosen.signals, unharmed.signals[faulty.fault == FAULTS.index("frozen")], chosen.begin.tolist(), strict=True
    ):
        assert signal[FLOW, begin:].unique().numel() == 1
        assert signal[FLOW, begin] == healthy[FLOW, begin]
        assert signal[FLOW, : begin + 1].unique().numel() == begin + 1


def test_a_burst_adds_noise_to_both_sensors_for_ten_samples(faulty: SignalSet, unharmed: SignalSet) -> None:
    difference, after = harm("burst", faulty, unharmed)
    over = torch.arange(64) >= of("burst", faulty).begin[:, None] + 10
    during = (after & ~over)[:, None].expand(-1, 2, -1)
    assert during.sum() == EACH * 2 * 10
    assert (difference[~during] == 0).all()
    added = difference[during].reshape(EACH, 2, 10)
    assert (added != 0).all()
    for sensor in (PRESSURE, FLOW):
        assert_noise(added[:, sensor].numpy(), 0.15**2)
    for one, other in ((added[:, 0], added[:, 1]), (added[..., 1:], added[..., :-1]), (added[1:], added[:-1])):
        assert abs(float((one * other).mean())) < 5 * BURST_NOISE**2 / one.numel() ** 0.5
    assert scipy.stats.kstest(added.flatten().numpy() / BURST_NOISE, "norm").pvalue > 1e-4


def test_the_noise_of_a_burst_is_that_of_sensor_and_burst_together(faulty: SignalSet) -> None:
    chosen = of("burst", faulty)
    time, begin = torch.arange(64), chosen.begin[:, None]
    during = ((time >= begin) & (time < begin + 10))[:, None].expand(-1, 2, -1)
    residuals = fit(chosen, ~during).residuals
    assert_noise(residuals[~during.numpy()], fitted=3 * EACH)
    assert_noise(residuals[during.numpy()], 0.15**2 + NOISE**2)


def test_a_late_flow_is_the_healthy_flow_two_samples_later(faulty: SignalSet, unharmed: SignalSet) -> None:
    chosen = faulty.fault == FAULTS.index("late")
    late, healthy = faulty.signals[chosen, FLOW].double(), unharmed.signals[chosen, FLOW].double()
    after = torch.arange(64) >= faulty.begin[chosen][:, None]
    difference = (late - healthy.roll(2, 1))[after]
    assert_noise(difference.numpy(), 2 * NOISE**2)
    for other in (1, 3):
        assert float((late - healthy.roll(other, 1))[after].square().mean()) > 3 * NOISE**2


def lag(signal: Tensor, begin: int, end: int) -> int:
    """By how many samples the flow from begin to end follows the pressure: where their correlation is greatest."""
    flow = signal[FLOW, begin:end]
    candidates = [torch.stack([signal[PRESSURE, begin - k : end - k], flow]) for k in range(12)]
    return int(torch.stack([torch.corrcoef(both)[0, 1] for both in candidates]).argmax())


@pytest.mark.parametrize(("kind", "samples"), [("healthy", 5), ("late", 7)])
def test_the_flow_follows_the_pressure_with_its_lag(kind: str, samples: int, faulty: SignalSet) -> None:
    chosen = of(kind, faulty)
    after = [lag(signal, begin, 64) for signal, begin in zip(chosen.signals, chosen.begin.tolist(), strict=True)]
    assert np.median(after) == samples
    assert abs(np.mean(after) - samples) < 0.5
    before = [lag(signal, 12, b) for signal, b in zip(chosen.signals, chosen.begin.tolist(), strict=True) if b > 24]
    assert np.median(before) == 5


def test_each_sensor_of_a_late_signal_by_itself_is_that_of_a_healthy_pump(faulty: SignalSet) -> None:
    chosen = of("late", faulty)
    after = torch.arange(64) >= chosen.begin[:, None]
    for sensor in (PRESSURE, FLOW):
        alone = torch.zeros(EACH, 2, 64, dtype=torch.bool)
        alone[:, sensor] = after
        assert_noise(fit(chosen, alone).residuals[alone.numpy()], fitted=3 * EACH)
    both = after[:, None].expand(-1, 2, -1)
    assert float(np.square(fit(chosen, both).residuals[both.numpy()]).mean()) > 2 * NOISE**2


# --- the set


def test_a_part_of_a_set_keeps_signals_faults_and_beginnings_together(faulty: SignalSet) -> None:
    for index in (torch.tensor([3, 199, 3]), slice(10, 60, 7), faulty.fault == 2):
        part = faulty[index]
        assert part.name == faulty.name
        assert torch.equal(part.signals, faulty.signals[index])
        assert torch.equal(part.fault, faulty.fault[index])
        assert torch.equal(part.begin, faulty.begin[index])
        assert len(part) == len(part.fault)


def test_a_set_goes_to_another_device_as_a_whole(faulty: SignalSet) -> None:
    there = faulty.to("meta")
    assert {there.signals.device.type, there.fault.device.type, there.begin.device.type} == {"meta"}
    assert len(there) == len(faulty)
    assert faulty.signals.device.type == "cpu"


@pytest.mark.parametrize("call", [healthy_signals, faulty_signals])
def test_fewer_than_one_signal_is_refused(call: Callable[[int], SignalSet]) -> None:
    for n in (0, -1):
        assert "at least 1" in message(lambda n=n: call(n))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "fault", "begin"),
    [
        ((5, 64), (5,), (5,)),
        ((5, 3, 64), (5,), (5,)),
        ((5, 1, 64), (5,), (5,)),
        ((5, 2, 64, 1), (5,), (5,)),
        ((5, 2, 64), (4,), (5,)),
        ((5, 2, 64), (5,), (4,)),
        ((5, 2, 64), (4,), (4,)),
        ((5, 2, 64), (5, 1), (5,)),
        ((5, 2, 64), (5,), ()),
    ],
)
def test_sets_of_other_shapes_are_refused(
    values: tuple[int, ...], fault: tuple[int, ...], begin: tuple[int, ...]
) -> None:
    text = message(lambda: SignalSet("mine", torch.zeros(values), torch.zeros(fault), torch.zeros(begin)))
    assert text.startswith("mine: ")
    for shape in (values, fault, begin):
        assert str(list(shape)) in text
