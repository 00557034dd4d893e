"""Conditional models: every y goes with its example, and p(x|y) is exact where the decoder is made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from tests.messages import message
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.evaluation.bounds import mean_elbo
from vae_course.evaluation.evidence import log_evidence
from vae_course.exact.grids import latent_grid, log_evidence_on_grid
from vae_course.models.conditional import Classes, ConditionalVAE, GivenVAE, Standardise, mlp_conditional_vae
from vae_course.objectives.bounds import elbo, iwae, log_weights
from vae_course.objectives.decomposition import decomposed_elbo
from vae_course.randomness import seeded
from vae_course.training.store import load, save

CLASSES = 3


def all_pictures() -> Tensor:
    """The sixteen binary pictures of 1×2×2 pixels: [16, 1, 2, 2]."""
    return torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64).reshape(16, 1, 2, 2)


def small_model(hidden: tuple[int, ...] = (8,)) -> ConditionalVAE:
    """On 1×2×2 pictures of three classes, its decoder scaled so that z and y matter."""
    with seeded(8):
        model = mlp_conditional_vae((1, 2, 2), hidden, 2, CLASSES, Classes(CLASSES)).double()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(3.0)
    return model


def linear_parts(model: ConditionalVAE) -> tuple[nn.Linear, nn.Linear]:
    """The encoder and the decoder of a model without hidden layers."""
    encoder, decoder = model.encoder.get_submodule("0"), model.decoder.get_submodule("0")
    assert isinstance(encoder, nn.Linear)
    assert isinstance(decoder, nn.Linear)
    return encoder, decoder


def deaf_model() -> ConditionalVAE:
    """Its likelihood ignores z: log p(x|y) is a Bernoulli of the decoder's weights for y."""
    model = small_model(hidden=())
    with torch.no_grad():
        linear_parts(model)[1].weight[:, :2] = 0
    return model


def log_evidence_in_chunks(model: GivenVAE, x: Tensor) -> object:
    return log_evidence(model, x, 100, memory=1000)


def mean_elbo_in_chunks(model: GivenVAE, x: Tensor) -> object:
    return mean_elbo(model, x, chunk=10)


def test_the_distributions_have_the_shapes_of_the_batch_and_its_samples() -> None:
    model, y = small_model(), torch.tensor([0, 2, 1, 1, 0])
    given, x = model.given(y), all_pictures()[:5]
    prior, q = given.prior(), given.posterior(x)
    assert (prior.batch_shape, prior.event_shape) == ((), (2,))
    assert (q.batch_shape, q.event_shape) == ((5,), (2,))
    assert given.posterior(x.expand(7, 5, 1, 2, 2)).batch_shape == (7, 5)
    for leading in ((), (3,), (4, 3)):
        p = given.likelihood(torch.randn(*leading, 5, 2).double())
        assert (p.batch_shape, p.event_shape) == ((*leading, 5), (1, 2, 2))
    z = torch.randn(2).double()
    torch.testing.assert_close(prior.log_prob(z), -0.5 * z.square().sum() - log(2 * torch.pi))


def test_every_condition_goes_with_its_example_along_sample_axes() -> None:
    model, y = small_model(), torch.tensor([0, 2, 1, 1])
    given, z, x = model.given(y), torch.randn(6, 4, 2).double(), all_pictures()[3:7]
    logits = given.likelihood(z).log_prob(x)
    mean = given.posterior(x.expand(6, 4, 1, 2, 2)).mean
    for sample, i in product(range(6), range(4)):
        alone = model.given(y[i : i + 1])
        torch.testing.assert_close(logits[sample, i], alone.likelihood(z[sample, i : i + 1]).log_prob(x[i])[0])
        torch.testing.assert_close(mean[sample, i], alone.posterior(x[i : i + 1]).mean[0])


def test_a_linear_model_adds_the_weights_of_its_class() -> None:
    model, x, z, y = small_model(()), all_pictures()[5:8], torch.randn(3, 2).double(), torch.tensor([2, 0, 1])
    encoder, decoder = linear_parts(model)
    numbers = x.flatten(1) @ encoder.weight[:, :4].T + CLASSES**0.5 * encoder.weight[:, 4:].T[y] + encoder.bias
    q = model.given(y).posterior(x)
    torch.testing.assert_close(q.mean, numbers[:, :2])
    torch.testing.assert_close(q.stddev, numbers[:, 2:].exp())
    logits = z @ decoder.weight[:, :2].T + CLASSES**0.5 * decoder.weight[:, 2:].T[y] + decoder.bias
    expected = bernoulli(logits.reshape(3, 1, 2, 2)).log_prob(x)
    torch.testing.assert_close(model.given(y).likelihood(z).log_prob(x), expected)


def test_permuting_examples_and_conditions_together_permutes_the_bound() -> None:
    model, x, y = deaf_model(), all_pictures(), torch.arange(16) % CLASSES
    order = torch.randperm(16)
    before, after = elbo(model.given(y), x), elbo(model.given(y[order]), x[order])
    torch.testing.assert_close(after.value, before.value[order])
    torch.testing.assert_close(after.kl, before.kl[order])
    other = elbo(model.given(y[order]), x)
    assert (other.value - before.value).abs().max() > 0.1


@torch.no_grad()
def test_where_the_likelihood_ignores_z_log_p_of_x_given_y_is_exact() -> None:
    """With q(z|x, y) = p(z) every weight is p(x|y)."""
    model, x = deaf_model(), all_pictures()
    encoder, decoder = linear_parts(model)
    encoder.weight.zero_()
    encoder.bias.zero_()
    total = torch.zeros(()).double()
    for k, p in enumerate((0.2, 0.5, 0.3)):
        given = model.given(torch.full((16,), k))
        logits = (CLASSES**0.5 * decoder.weight[:, 2 + k] + decoder.bias).reshape(1, 2, 2)
        exact = bernoulli(logits).log_prob(x)
        estimate = log_evidence(given, x, 5)
        torch.testing.assert_close(estimate.value, exact)
        assert (estimate.standard_error < 1e-6).all()
        torch.testing.assert_close(log_weights(given, x, 4), exact.expand(4, -1))
        torch.testing.assert_close(iwae(given, x, 3), exact)
        torch.testing.assert_close(elbo(given, x).value, exact)
        total += p * estimate.value.exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_p_of_x_given_y_sums_to_one_over_all_pictures_on_a_grid() -> None:
    model, x, grid = small_model(), all_pictures(), latent_grid(2, steps=161)
    log_p = torch.stack([log_evidence_on_grid(model.given(torch.full((161**2,), k)), x, grid) for k in range(CLASSES)])
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(CLASSES).double())
    assert (log_p[0] - log_p[1]).abs().max() > 0.1, "y must matter here"


@torch.no_grad()
def test_estimates_and_bounds_given_y_agree_with_the_grid() -> None:
    model, x, y, grid = small_model(), all_pictures(), torch.arange(16) % CLASSES, latent_grid(2, steps=161)
    model.encoder.get_parameter("2.bias")[2:] += 0.7  # wide enough for weights of a finite variance
    every = torch.stack([log_evidence_on_grid(model.given(torch.full((161**2,), k)), x, grid) for k in range(CLASSES)])
    exact = every.gather(0, y[None])[0]
    estimate = log_evidence(model.given(y), x, 5000)
    assert (estimate.standard_error < 0.05).all()
    assert ((estimate.value - exact).abs() < 5 * estimate.standard_error).all()
    draws = torch.stack([elbo(model.given(y), x).value for _ in range(500)])
    assert (draws.mean(0) < exact + 5 * draws.std(0) / 500**0.5).all()
    weights = log_weights(model.given(y), x, 5000)
    off = weights.mean(0) - draws.mean(0)
    assert (off.abs() < 5 * (draws.var(0) / 500 + weights.var(0) / 5000).sqrt()).all()


@pytest.mark.parametrize("estimate", [log_evidence_in_chunks, mean_elbo_in_chunks])
def test_estimators_that_split_x_take_known_conditions_too(estimate: Callable[[GivenVAE, Tensor], object]) -> None:
    estimate(small_model().given(torch.arange(16) % CLASSES), all_pictures())


def test_the_rate_is_that_of_the_posterior_given_y() -> None:
    model, x, y = small_model(), all_pictures(), torch.arange(16) % CLASSES
    q = model.given(y).posterior(x)
    kl = kl_divergence(q, diagonal_normal(torch.zeros(2).double(), 1.0))
    torch.testing.assert_close(elbo(model.given(y), x).kl, kl)
    terms = decomposed_elbo(model.given(y), x, 16)
    assert all(term.shape == (16,) for term in terms)


def test_every_part_of_a_conditional_model_learns() -> None:
    model, x, y = small_model(), all_pictures(), torch.arange(16) % CLASSES
    gradients = torch.autograd.grad(elbo(model.given(y), x).value.sum(), list(model.parameters()))
    assert all(bool((gradient != 0).any()) for gradient in gradients)
    first = dict(model.named_parameters())["decoder.0.weight"]
    (gradient,) = torch.autograd.grad(elbo(model.given(torch.zeros(16).long()), x).value.sum(), first)
    assert (gradient[:, 2] != 0).any()
    assert (gradient[:, 3:] == 0).all(), "the weights of other classes must not move"


@pytest.mark.parametrize("numbers", [1, 2])
def test_the_networks_have_room_for_the_features_and_the_numbers(numbers: int) -> None:
    def family(parameter: Tensor) -> Distribution:
        mean, log_std = parameter.chunk(2, -3) if numbers == 2 else (parameter, torch.zeros_like(parameter))
        return diagonal_normal(mean, log_std.exp(), event_axes=3)

    model = mlp_conditional_vae((1, 3, 2), (7, 5), 2, 4, nn.Flatten(), family, nn.Tanh, numbers)
    shapes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert shapes == [(7, 10), (5, 7), (4, 5), (5, 6), (7, 5), (6 * numbers, 7)]
    given = model.given(torch.randn(5, 2, 2))
    assert given.likelihood(torch.randn(3, 5, 2)).sample().shape == (3, 5, 1, 3, 2)
    assert elbo(given, torch.randn(5, 1, 3, 2)).value.shape == (5,)
    assert isinstance(model.encoder.get_submodule("1"), nn.Tanh)


def test_one_condition_for_each_example_is_asked_for() -> None:
    model, x = small_model(), all_pictures()
    given = model.given(torch.tensor([0, 1, 2]))
    for call in (lambda: given.posterior(x), lambda: given.likelihood(torch.zeros(4, 3, 5, 2).double())):
        text = message(call)
        assert "given 3 conditions" in text
        assert "one condition for each example" in text
    assert "given 3 conditions" in message(lambda: given.likelihood(torch.zeros(2).double()))
    assert "[..., 1, 2, 2]" in message(lambda: given.posterior(torch.zeros(3, 1, 2, 3).double()))
    assert "torch.float32" in message(lambda: given.posterior(torch.zeros(3, 1, 2, 2)))


def test_classes_are_one_hot_rows_of_mean_square_one() -> None:
    rows = Classes(4)(torch.tensor([3, 0, 0]))
    assert rows.tolist() == [[0, 0, 0, 2], [2, 0, 0, 0], [2, 0, 0, 0]]
    torch.testing.assert_close(Classes(10)(torch.arange(10)).square().mean(1), torch.ones(10))
    assert rows.dtype == torch.get_default_dtype()
    assert Classes(4)(torch.zeros(0, dtype=torch.long)).shape == (0, 4)


@pytest.mark.parametrize("y", [[0, 4], [-1, 0], [0.0, 1.0], [[0], [1]], 2])
def test_other_class_numbers_are_refused(y: object) -> None:
    for call in (lambda: Classes(4)(torch.tensor(y)), lambda: small_model().given(torch.tensor(y))):
        assert "Classes must be whole numbers [batch] from 0 to" in message(call)


def test_standardised_conditions_have_mean_zero_and_deviation_one() -> None:
    volumes = 0.3 + 0.4 * torch.rand(200, 1).double()
    training_set = torch.cat([volumes, 50 + 20 * torch.randn(200, 1).double()], 1)
    describe = Standardise(training_set)
    made = describe(training_set)
    torch.testing.assert_close(made.mean(0), torch.zeros(2).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(made.std(0), torch.ones(2).double())
    torch.testing.assert_close(describe.back(made), training_set)
    new = torch.tensor([[0.5, 40.0]]).double()
    torch.testing.assert_close(describe.back(describe(new)), new)
    torch.testing.assert_close(describe(new), (new - training_set.mean(0)) / training_set.std(0))


def test_the_unit_of_the_conditions_is_stored_with_the_model(tmp_path: Path) -> None:
    def model(volumes: Tensor) -> ConditionalVAE:
        return mlp_conditional_vae((1, 2, 2), (4,), 2, 1, Standardise(volumes))

    first, other = model(0.3 + 0.4 * torch.rand(50, 1)), model(torch.rand(50, 1))
    assert {"describe.mean", "describe.std"} <= first.state_dict().keys()
    assert not any(name.startswith("describe") for name, _ in first.named_parameters())
    save(first, tmp_path / "model.safetensors")
    load(other, tmp_path / "model.safetensors")
    z, volume = torch.randn(3, 2), torch.tensor([[0.3], [0.5], [0.7]])
    x = torch.ones(3, 1, 2, 2)
    torch.testing.assert_close(
        other.given(volume).likelihood(z).log_prob(x), first.given(volume).likelihood(z).log_prob(x)
    )


def test_a_volume_in_its_own_unit_and_one_that_another_set_measures_in_percent_agree() -> None:
    volumes = 0.3 + 0.4 * torch.rand(50, 1).double()
    share, percent = Standardise(volumes), Standardise(100 * volumes)
    torch.testing.assert_close(share(volumes), percent(100 * volumes))


@pytest.mark.parametrize("shape", [(1, 2), (5,), (5, 2, 1)])
def test_conditions_that_do_not_vary_are_refused(shape: tuple[int, ...]) -> None:
    assert str(list(shape)) in message(lambda: Standardise(torch.randn(shape)))
    flat = torch.randn(6, 2)
    flat[:, 1] = 3.0
    assert "vary" in message(lambda: Standardise(flat))


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 1), (5, 1)])
def test_another_number_of_features_is_refused(shape: tuple[int, ...]) -> None:
    describe = Standardise(torch.randn(9, 2))
    text = message(lambda: describe(torch.randn(shape)))
    assert str(list(shape)) in text
    assert "[batch, 2]" in text
