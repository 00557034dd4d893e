"""What users of notebooks and of small VAE libraries meet: bad input gets a sentence, odd but right input works."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.messages import message
from vae_course.data.batches import Batches
from vae_course.data.images import data_folder
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.validation import validation
from vae_course.evaluation.bounds import bits_per_dimension, mean_elbo, rate_distortion
from vae_course.evaluation.disentanglement import entropy, factor_vae_score, mutual_information, mutual_information_gap
from vae_course.evaluation.evidence import log_evidence
from vae_course.evaluation.features import frechet_distance
from vae_course.evaluation.geometry import connected_share, principal_angles
from vae_course.evaluation.latents import active_units, kl_per_latent, posterior_means
from vae_course.evaluation.pictures import mean_squared_error, structural_similarity
from vae_course.models.vae import mlp_vae
from vae_course.networks.codebook import MovingCodebook
from vae_course.notebook.claims import claim
from vae_course.objectives.bounds import elbo, iwae, log_weights
from vae_course.objectives.decomposition import decomposed_elbo
from vae_course.threads import Threads, container_share
from vae_course.training.loop import adam_player, fit

IMAGE = (1, 4, 4)


def binary(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *(shape or IMAGE)).round()


# Bad input to bounds and estimators

ESTIMATES: dict[str, Callable[[Any, Any], object]] = {
    "elbo": elbo,
    "iwae": lambda model, x: iwae(model, x, 2),
    "log_weights": lambda model, x: log_weights(model, x, 2),
    "decomposed_elbo": lambda model, x: decomposed_elbo(model, x, 10),
    "log_evidence": lambda model, x: log_evidence(model, x, 2),
    "rate_distortion": rate_distortion,
    "mean_elbo": mean_elbo,
    "kl_per_latent": kl_per_latent,
    "active_units": active_units,
    "posterior_means": posterior_means,
}
estimates = pytest.mark.parametrize("estimate", ESTIMATES.values(), ids=ESTIMATES.keys())
DENSITIES = [name for name in ESTIMATES if name not in ("kl_per_latent", "active_units", "posterior_means")]


@estimates
def test_no_examples_are_refused_in_a_sentence(estimate: Callable[[Any, Any], object]) -> None:
    assert "no examples: " in message(lambda: estimate(mlp_vae(IMAGE, (8,), 2), binary(0)))


@estimates
@pytest.mark.parametrize(
    "x", [np.zeros((3, *IMAGE), dtype=np.float32), [[0.0] * 16], None], ids=["array", "list", "None"]
)
def test_what_is_no_tensor_is_refused_with_how_to_convert_it(estimate: Callable[[Any, Any], object], x: object) -> None:
    with pytest.raises(TypeError, match=r"it needs a tensor: convert it by torch.as_tensor"):
        estimate(mlp_vae(IMAGE, (8,), 2), x)


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("shape", [(4, 4), (16,), (1, 1, 4, 4), (2, 4, 4), (4, 1, 4)], ids=str)
def test_pictures_of_another_shape_get_no_bound(name: str, shape: tuple[int, ...]) -> None:
    """Broadcasting would answer in silence, of a wrong number of pixels."""
    with pytest.raises((ValueError, RuntimeError)):
        ESTIMATES[name](mlp_vae(IMAGE, (8,), 2), binary(5, *shape))


def test_data_that_want_scaling_are_told_so() -> None:
    vae = mlp_vae(IMAGE, (8,), 2, lambda mean: diagonal_normal(mean, 1.0, 3))
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(10)
    x = 1000 + 300 * torch.randn(20, *IMAGE)
    said = message(lambda: fit([adam_player(lambda x: -elbo(vae, x).value, vae, 1e-3)], Batches(x, size=10), 20))
    assert "scale them to [0, 1]" in said


@pytest.mark.parametrize(
    ("std", "says"), [(-0.5, "exp, or softplus"), (0.0, "scale them"), (float("inf"), "scale them")]
)
def test_a_standard_deviation_is_positive_and_finite(std: float, says: str) -> None:
    assert says in message(lambda: diagonal_normal(torch.zeros(2, 3), torch.full((2, 3), std)))


def test_a_last_batch_of_one_is_told_what_to_do() -> None:
    vae, x = mlp_vae(IMAGE, (8,), 2), binary(5)
    player = adam_player(lambda x: -decomposed_elbo(vae, x, 5).log_likelihood, vae, 1e-3)
    assert "leaves no last batch of 1" in message(lambda: fit([player], Batches(x, size=2), 1))


# Batches as others make them


def test_a_loader_of_bare_tensors_or_of_lists_trains() -> None:
    vae, x = mlp_vae(IMAGE, (8,), 2), binary(32)
    player = adam_player(lambda x: -elbo(vae, x).value, vae, 1e-3)
    for batches in (DataLoader(x, batch_size=8), DataLoader(TensorDataset(x), batch_size=8)):  # type: ignore[arg-type]
        assert len(fit([player], batches, 2)) == 2


@pytest.mark.parametrize("batch", [{"image": torch.zeros(4, 1)}, (np.zeros((4, 1)),), "text", ()], ids=type)
def test_a_batch_without_tensors_is_refused(batch: Any) -> None:
    layer = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="it needs a tensor or a tuple of tensors"):
        fit([adam_player(lambda x: layer(x).sum(1), layer, 1e-3)], [batch], 1)


def test_a_loss_of_another_number_of_tensors_is_named_with_what_the_batches_hold() -> None:
    layer = nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"the batches hold 2 tensors, \[8, 1\], \[8\]"):
        fit([adam_player(lambda x: layer(x).sum(1), layer, 1e-3)], [(torch.zeros(8, 1), torch.zeros(8))], 1)


# Measures

CODES, FACTORS = (
    torch.arange(64)[:, None] % torch.tensor([2, 4]) * 1.0,
    torch.arange(64)[:, None] % torch.tensor([2, 4]),
)
PICTURES = torch.rand(6, 1, 12, 12)
MEASURES: dict[str, tuple[Callable[..., object], tuple[Tensor, ...]]] = {
    "factor_vae_score": (lambda a, b: factor_vae_score(a, b, torch.Generator()), (CODES, FACTORS)),
    "mutual_information_gap": (mutual_information_gap, (CODES, FACTORS)),
    "frechet_distance": (frechet_distance, (torch.randn(9, 2), torch.randn(9, 2))),
    "principal_angles": (principal_angles, (torch.randn(5, 2), torch.randn(5, 2))),
    "connected_share": (connected_share, (torch.ones(4, 4),)),
    "mean_squared_error": (mean_squared_error, (PICTURES, PICTURES)),
    "structural_similarity": (structural_similarity, (PICTURES, PICTURES)),
    "bits_per_dimension": (lambda a: bits_per_dimension(a, 16, 256), (-torch.rand(5),)),
}
measures = pytest.mark.parametrize("name", MEASURES)


@measures
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_measure_refuses_numbers_that_are_not_finite(name: str, bad: float) -> None:
    measure, (first, *others) = MEASURES[name]
    measure(first, *others)
    spoilt = first.clone()
    spoilt[tuple(size - 1 for size in first.shape)] = bad
    assert "NaN or infinite numbers in 1 of" in message(lambda: measure(spoilt, *others))


@pytest.mark.parametrize(
    "columns", [CODES, FACTORS[:0], FACTORS[:, 0], -FACTORS], ids=["real", "none", "one", "below 0"]
)
def test_frequencies_are_counted_of_whole_numbers(columns: Tensor) -> None:
    assert "whole numbers from 0" in message(lambda: entropy(columns))
    assert "whole numbers from 0" in message(lambda: mutual_information(columns, columns))


@pytest.mark.parametrize("name", ["factor_vae_score", "mutual_information_gap"])
@pytest.mark.parametrize("rows", [1, 63])
def test_a_measure_refuses_sets_of_unequal_length(name: str, rows: int) -> None:
    measure, _ = MEASURES[name]
    assert "a row of each for every example" in message(lambda: measure(CODES, FACTORS[:rows]))


# Odd machines


def test_a_codebook_follows_its_points_in_another_number_type() -> None:
    codebook = MovingCodebook(4, 2)
    points = torch.randn(32, 2).to(torch.bfloat16)
    before = codebook.vectors.clone()
    codebook.update(points, torch.randint(4, (32,)))
    codebook.restart(points, least=1e9)
    assert codebook.vectors.dtype == before.dtype
    assert not torch.equal(codebook.vectors, before)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
def test_a_claim_is_printed_to_any_console(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    claim("the β-VAE's σ − μ is ≥ 0", True)
    sys.stdout.flush()
    assert b"claim" in raw.getvalue() or b"VAE" in raw.getvalue()


def test_nobody_needs_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere(path: object = None) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VAE_COURSE_DATA", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.setattr(Path, "expanduser", nowhere)
    assert data_folder().name == "vae_course"
    monkeypatch.setenv("VAE_COURSE_DATA", "~/digits")
    with pytest.raises(RuntimeError, match="give the whole path, without ~"):
        data_folder()


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_the_limit_of_a_container_is_read(files: dict[str, str], share: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_share(tmp_path) == share


@pytest.mark.parametrize(("others", "chosen"), [(0.0, 2), (0.4, 2), (1.0, 1), (2.0, 1)])
def test_threads_are_as_many_as_free_processors(others: float, chosen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks 10 s apart, over which this process has worked 5 s."""
    looks = iter([(0.0, 100.0, 50.0), (10.0, 105.0 + 10 * others, 55.0)])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("vae_course.threads.processors", lambda: 2.0)
    monkeypatch.setattr(Threads, "_now", lambda self: next(looks))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert Threads().choose() == chosen == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def test_a_number_of_threads_set_by_hand_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Threads().choose() == before
    monkeypatch.delenv("OMP_NUM_THREADS")
    threads = Threads()
    try:
        torch.set_num_threads(before + 1)
        assert threads.choose() == before + 1 == threads.choose()
    finally:
        torch.set_num_threads(before)


# Odd but right


@pytest.mark.parametrize("image", [(1, 4, 7), (3, 5, 2), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("latent", [1, 3])
def test_pictures_of_every_shape_train(image: tuple[int, int, int], latent: int) -> None:
    vae, x = mlp_vae(image, (8,), latent), binary(9, *image)
    history = fit([adam_player(lambda x: -elbo(vae, x).value, vae, 1e-3)], Batches(x, size=4), 2)
    assert len(history) == 2
    assert log_evidence(vae, x, 3).value.shape == (9,)


def test_a_hundred_thousand_latents_and_a_batch_of_one() -> None:
    vae = mlp_vae(IMAGE, (), 100_000)
    assert elbo(vae, binary(1)).value.shape == (1,)


def test_compiled_and_reloaded_models_are_the_same() -> None:
    vae, x = mlp_vae(IMAGE, (8,), 2), binary(4)
    again = mlp_vae(IMAGE, (8,), 2)
    again.load_state_dict(vae.state_dict())
    bounds = []
    with validation(True):  # torch.compile switches it off for good; the tests after this one want it back
        compiled: Any = torch.compile(vae, backend="eager")
        for model in (vae, compiled, again):
            torch.manual_seed(1)
            bounds.append(elbo(model, x).value)
    assert torch.equal(bounds[0], bounds[1])
    assert torch.equal(bounds[0], bounds[2])
