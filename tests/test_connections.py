"""Generated connections: the same at every call, each kind changed as its recipe says, the idle columns untouched."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from torch import Tensor

from tests.messages import message
from vae_course.data.connections import COLUMNS, KINDS, RecordSet, connections


@pytest.fixture(scope="module")
def records() -> RecordSet:
    return connections(2000)


def column(records: RecordSet, kind: str, name: str) -> Tensor:
    return records.records[records.kind == KINDS.index(kind), COLUMNS.index(name)].double()


def test_as_many_of_every_kind_in_one_order_and_the_same_at_every_call(records: RecordSet) -> None:
    assert torch.equal(records.kind.bincount(), torch.full((5,), 2000))
    assert not torch.equal(records.kind, records.kind.sort().values)
    again = connections(2000)
    assert torch.equal(again.records, records.records)
    assert torch.equal(again.kind, records.kind)
    assert not torch.equal(connections(2000, number=1).records, records.records)


def test_columns_hold_what_their_names_say(records: RecordSet) -> None:
    values = dict(zip(COLUMNS, records.records.T, strict=True))
    for name in ("seconds", "bytes sent", "bytes received", "connections a minute"):
        assert (values[name] > 0).all()
    assert ((values["share refused"] > 0) & (values["share refused"] < 1)).all()
    for name, least in (("ports tried", 1), ("failed logins", 0), ("sender's port", 1024)):
        assert torch.equal(values[name], values[name].round())
        assert values[name].min() >= least
    assert values["sender's port"].max() < 65535
    assert values["hour"].min() >= 0
    assert values["hour"].max() < 24
    assert records.records.isfinite().all()


@pytest.mark.parametrize(
    ("kind", "name", "shift"),
    [
        ("flood", "connections a minute", 2.0),
        ("flood", "bytes received", -2.0),
        ("scan", "seconds", -1.5),
        ("guess", "bytes received", -1.0),
        ("leak", "bytes sent", 2.0),
        ("leak", "seconds", 1.0),
        ("leak", "connections a minute", 0.0),
    ],
)
def test_an_attack_moves_the_logarithms_by_half_of_its_full_effect(
    records: RecordSet, kind: str, name: str, shift: float
) -> None:
    """The strength is uniform from 0 to 1: its mean is one half."""
    attack, ordinary = column(records, kind, name).log(), column(records, "ordinary", name).log()
    error = ((attack.var() + ordinary.var()) / 2000) ** 0.5
    assert abs(float(attack.mean() - ordinary.mean()) - shift) < 5 * float(error)


def test_counts_are_those_of_the_recipe(records: RecordSet) -> None:
    for kind, name, mean in (
        ("ordinary", "ports tried", 1.5),
        ("scan", "ports tried", 1.5 + 20 / 3),
        ("ordinary", "failed logins", 0.1),
        ("guess", "failed logins", 2.1),
    ):
        drawn = column(records, kind, name)
        assert abs(float(drawn.mean()) - mean) < 5 * float(drawn.std()) / 2000**0.5


@pytest.mark.parametrize("name", ["sender's port", "hour"])
def test_the_idle_columns_tell_nothing_of_the_kind(records: RecordSet, name: str) -> None:
    for kind in KINDS[1:]:
        test = scipy.stats.ks_2samp(column(records, kind, name), column(records, "ordinary", name))
        assert test.pvalue > 1e-4


def test_a_weak_attack_is_an_ordinary_connection(records: RecordSet) -> None:
    """Size, pace and noise come before the attack: the least of the leaks sends what an ordinary connection sends."""
    leaks, ordinary = column(records, "leak", "bytes sent"), column(records, "ordinary", "bytes sent")
    assert leaks.quantile(0.02) < ordinary.median()


def test_refusals() -> None:
    for each, number in ((0, 0), (5, -1)):
        assert "were asked for" in message(lambda e=each, k=number: connections(e, k))  # type: ignore[misc]
    records, kind = torch.zeros(3, 9), torch.zeros(3, dtype=torch.int64)
    assert "records must be" in message(lambda: RecordSet("x", records[:, :4], kind))
    assert "records must be" in message(lambda: RecordSet("x", records, kind[:2]))
