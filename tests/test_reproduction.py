"""The study of the AEVB paper: its set-up, that a training stopped goes on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from scipy.io import savemat
from torch import Tensor
from torch.distributions import Normal

from vae_course.inference.monte_carlo_em import PosteriorChains
from vae_course.models.vae import VAE
from vae_course.studies import aevb, aevb_evidence
from vae_course.studies.aevb import Curve
from vae_course.studies.results import FOLDER, provenance, stored
from vae_course.training.loop import fit


def pictures(n: int, height: int = 28, width: int = 28) -> Tensor:
    return torch.rand(n, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_names_tell_what_differs_from_the_paper() -> None:
    assert Curve("mnist", "aevb", 20).name == "mnist_aevb_20"
    assert Curve("mnist", "aevb", 20, step=0.1, binary=True).name == "mnist_aevb_20_step0.1_binary"
    names = [curve.name for curve in [*aevb.PAPER, *aevb.BLOCKS, *aevb.CHOICES]]
    assert len(set(names)) == len(names) == 18 + 4 + 6


def test_a_grey_pixel_has_the_mean_log_probability_of_binary_ones() -> None:
    x, logits = pictures(1), torch.randn(1, 1, 28, 28)
    p = aevb.grey_bernoulli(logits)
    ones, zeros = torch.ones_like(x), torch.zeros_like(x)
    each = x * p.base_dist.log_prob(ones) + (1 - x) * p.base_dist.log_prob(zeros)
    assert torch.allclose(p.log_prob(x), each.sum())


def test_networks_give_log_variances() -> None:
    """The encoder's second half is log σ², so that σ is the root of its exponential; so is the second channel of a face's decoder."""
    torch.manual_seed(0)
    vae = aevb.model_of(Curve("mnist", "aevb", 3), (1, 28, 28))
    assert isinstance(vae.encoder, aevb.FromLogVariance)
    raw = vae.encoder.network(pictures(4))
    q = vae.posterior(pictures(4))
    assert torch.allclose(q.mean, raw[:, :3])
    assert torch.allclose(q.variance, raw[:, 3:].exp(), rtol=1e-5)
    plain = aevb.model_of(Curve("mnist", "aevb", 3, log_std=True), (1, 28, 28))
    assert torch.allclose(plain.posterior(pictures(4)).stddev, plain.encoder(pictures(4))[:, 3:].exp())
    numbers = torch.randn(2, 2, 28, 20)
    face = aevb.face_normal(numbers)
    assert torch.allclose(face.variance, numbers[:, 1:].exp(), rtol=1e-5)
    assert 0 < face.mean.min() < face.mean.max() < 1


def test_weights_start_with_the_spread_asked_for_biases_too() -> None:
    torch.manual_seed(0)
    vae = aevb.model_of(Curve("frey", "aevb", 5, spread=0.3), (1, 28, 20))
    for weight in vae.parameters():
        if weight.numel() > 150:  # few numbers have a spread of their own
            assert float(weight.detach().std()) == pytest.approx(0.3, rel=0.2)


def test_decay_is_the_gradient_of_the_priors_share() -> None:
    torch.manual_seed(0)
    vae = aevb.model_of(Curve("mnist", "aevb", 2), (1, 28, 28))
    (player,) = aevb.players_of(Curve("mnist", "aevb", 2), vae, examples=50)
    weight = vae.decoder.network[0].weight  # type: ignore[union-attr, index]
    share = -Normal(0.0, 1.0).log_prob(weight).sum() / 50
    (gradient,) = torch.autograd.grad(share, weight)
    (group,) = player.optimizer.param_groups
    assert torch.allclose(gradient, group["weight_decay"] * weight)
    wake, sleep = aevb.players_of(Curve("mnist", "wake_sleep", 2), vae, 50)
    moved = {id(p) for group in wake.optimizer.param_groups for p in group["params"]}
    assert moved == {id(p) for p in vae.decoder.parameters()}
    assert not moved & {id(p) for group in sleep.optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep"])
def test_a_curve_taken_up_ends_with_the_same_rows(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aevb, "BETWEEN", 200)
    data, curve = (pictures(100), pictures(20)), Curve("mnist", algorithm, 2)

    def rows(samples: int, folder: str) -> list[dict[str, float]]:
        (tmp_path / folder).mkdir(exist_ok=True)
        found, _ = aevb.train_curve(curve, data, samples, tmp_path / folder)
        return [{key: value for key, value in row.items() if key != "seconds"} for row in found]

    whole = rows(600, "whole")
    rows(200, "parts")
    assert rows(600, "parts") == whole
    assert [row["samples"] for row in whole] == [200, 400, 600]
    assert whole[-1]["train"] > whole[0]["train"]


def test_a_result_holds_rows_at_growing_distances_and_how_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aevb, "BETWEEN", 100)
    monkeypatch.setattr(aevb, "data_of", lambda name: (pictures(100), pictures(10)))
    results = aevb.make(tmp_path / "snapshots", ["mnist_aevb_3"], samples=400, results=tmp_path / "results")
    assert [path.name for path in results.iterdir()] == ["mnist_aevb_3.json"]
    assert [row["samples"] for row in stored("mnist_aevb_3", results)["curve"]] == [100, 200, 300, 400]
    made_by = provenance("mnist_aevb_3", results)
    assert made_by["command"] == "python -m vae_course.studies aevb FOLDER mnist_aevb_3"
    assert made_by["samples"] == 400
    rows = [{"samples": 10.0 * k, "test": -1.0, "train": -1.0} for k in range(1, 101)]
    kept = [row["samples"] for row in aevb.thinned(rows)]
    assert kept[0] == 10
    assert kept[-1] == 1000
    assert len(kept) < 50


def test_names_and_data_that_are_not_there_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    for study in (aevb, aevb_evidence):
        with pytest.raises(ValueError, match="There is no curve 'mnist': choose from"):
            study.make(tmp_path, ["mnist"])
    with pytest.raises(FileNotFoundError, match=r"frey_rawface.mat is missing: put"):
        aevb.data_of("frey")
    with pytest.raises(FileNotFoundError, match="MNIST is not in"):
        aevb_evidence.make(tmp_path, [])


def test_faces_are_split_at_random_or_by_blocks_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each picture of this film has its own grey value, so that the parts can be told apart."""
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    film = torch.arange(1965).remainder(256).expand(560, -1).byte()
    savemat(tmp_path / "frey_rawface.mat", {"ff": film.numpy()})
    for name in ("frey", "frey_blocks"):
        train, test = aevb.data_of(name)
        assert train.shape == (1565, 1, 28, 20)
        assert test.shape == (400, 1, 28, 20)
    steps = (test[:, 0, 0, 0] * 255).round().diff()
    assert int(((steps != 1) & (steps != -255)).sum()) == 3  # four blocks


@pytest.mark.parametrize("algorithm", ["aevb", "wake_sleep", "mcem"])
def test_the_players_of_figure_3_move_what_they_should(algorithm: str) -> None:
    torch.manual_seed(0)
    vae, x, rows = aevb_evidence.small_vae(), pictures(20), torch.arange(20)
    chains = PosteriorChains(vae, 20)
    players = aevb_evidence.players_of(algorithm, vae, chains, 20)
    assert len(players) == {"aevb": 1, "wake_sleep": 2, "mcem": 5}[algorithm]
    before = {name: value.clone() for name, value in [*vae.state_dict().items(), ("z", chains.z)]}
    fit(players, [(x, rows)], 1)
    after = {**vae.state_dict(), "z": chains.z}
    moved = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == ({"decoder", "z"} if algorithm == "mcem" else {"encoder", "decoder"})
    assert isinstance(vae, VAE)


def test_log_p_is_estimated_at_the_marks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aevb_evidence, "BETWEEN", 100)
    monkeypatch.setattr(aevb_evidence, "MARKS", (1, 3))
    monkeypatch.setattr(aevb_evidence, "MEASURED", 5)
    setting = aevb_evidence.Setting("mcem", 100)
    rows = aevb_evidence.train_setting(setting, (pictures(100), pictures(10)), 300, tmp_path)
    assert [row["samples"] for row in rows if "test paper" in row] == [100, 300]
    assert {"test defended", "train paper", "train defended", "test accepted"} < rows[0].keys()


def test_the_papers_points_are_stored_with_their_source() -> None:
    points = stored("aevb_paper")
    assert set(points["bound"]) == {curve.name for curve in aevb.PAPER}
    assert set(points["evidence"]) == {setting.name for setting in aevb_evidence.PAPER}
    assert "1312.6114" in provenance("aevb_paper")["source"]
    at_ten_million = dict(map(tuple, points["bound"]["mnist_aevb_20"]))[10_000_000]
    assert at_ten_million == -104.8
    assert json.loads((FOLDER / "aevb_paper.json").read_text(encoding="utf-8"))
