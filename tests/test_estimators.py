"""Estimators against exact answers: log p(x) within its stated error, and errors that mean what they say."""

from __future__ import annotations

from math import log, log2, prod

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.model import LatentVariableModel
from vae_course.evaluation import evidence
from vae_course.evaluation.bounds import RateDistortion, bits_per_dimension, mean_elbo, rate_distortion
from vae_course.evaluation.evidence import log_evidence
from vae_course.evaluation.latents import active_units, kl_per_latent, posterior_means
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.variational import DiagonalNormalFamily, NormalFamily
from vae_course.models.vae import mlp_vae
from vae_course.models.views import WithPosterior
from vae_course.objectives.bounds import elbo, log_mean_exp


def known_model(n: int = 6) -> tuple[LinearGaussian, Tensor]:
    """A linear-Gaussian model with four observed dimensions and two latents, and data drawn from it."""
    data = linear_gaussian(n, 4, 2, torch.Generator().manual_seed(7))
    return LinearGaussian(data.weight, data.bias, data.std), data.x


def widened(model: LinearGaussian, factor: float = 1.4) -> WithPosterior:
    """The model with a q that is wider than its posterior and off its mean."""

    def wide(x: Tensor) -> Distribution:
        exact = model.posterior(x)
        return MultivariateNormal(exact.mean + 0.05, scale_tril=factor * exact.scale_tril)

    return WithPosterior(model, wide)


def test_log_evidence_lies_within_four_of_its_standard_errors() -> None:
    model, x = known_model(n=200)
    estimate = log_evidence(widened(model), x, samples=1000)
    assert estimate.value.shape == estimate.standard_error.shape == (200,)
    off = (estimate.value - model.log_evidence(x)).abs() / estimate.standard_error
    assert (estimate.standard_error < 0.05).all()
    assert (off < 4).all()
    assert (off < 2).float().mean() > 0.9


def test_log_evidence_with_the_exact_posterior_has_no_error() -> None:
    model, x = known_model()
    estimate = log_evidence(model, x, samples=20)
    torch.testing.assert_close(estimate.value, model.log_evidence(x), atol=1e-10, rtol=0)
    assert (estimate.standard_error < 1e-6).all()


@pytest.mark.parametrize("memory", [1, 30, 5000])
def test_log_evidence_in_little_memory_is_right_too(memory: int) -> None:
    model, x = known_model(n=8)
    estimate = log_evidence(widened(model), x, samples=400, memory=memory)
    assert ((estimate.value - model.log_evidence(x)).abs() < 4 * estimate.standard_error).all()
    assert (estimate.standard_error < 0.1).all()


@pytest.mark.parametrize("memory", [1, 4, 7, 12, 60, 84, 200, 10_000])
def test_however_the_weights_are_split_the_estimate_is_the_same(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights come from a table; each must be used once, and no chunk may hold more than `memory` numbers."""
    samples, pixels = 17, 4
    table = 3 * torch.randn(samples, 5, dtype=torch.float64) - 1000
    x = torch.arange(5.0).double()[:, None].expand(5, pixels)  # an example is its own number
    used = [0] * 5

    def from_table(model: LatentVariableModel, x: Tensor, samples: int) -> Tensor:
        if samples == 1 and Distribution._validate_args:  # the draw that validates
            return torch.zeros(1, len(x)).double()
        assert samples * prod(x.shape) <= max(memory, pixels)
        columns = []
        for which in x[:, 0].long().tolist():
            columns.append(table[used[which] : used[which] + samples, which])
            used[which] += samples
        return torch.stack(columns, -1)

    monkeypatch.setattr(evidence, "log_weights", from_table)
    monkeypatch.setattr(evidence, "widths", lambda model, x: (pixels, pixels))
    model, _ = known_model()
    estimate = log_evidence(model, x, samples, memory)
    assert used == [samples] * 5
    weights = (table + 1000).exp()
    torch.testing.assert_close(estimate.value, log_mean_exp(table))
    torch.testing.assert_close(estimate.standard_error, weights.std(0) / (samples**0.5 * weights.mean(0)))


def test_the_stated_error_is_the_spread_over_repeats() -> None:
    model, x = known_model(n=3)
    for one in x:
        repeats = log_evidence(widened(model), one.expand(800, -1), samples=300)
        ratio = float(repeats.value.std() / repeats.standard_error.mean())
        assert 0.8 < ratio < 1.2


def test_more_samples_shrink_the_stated_error_like_one_over_the_root() -> None:
    model, x = known_model()
    few, many = (log_evidence(widened(model), x, samples).standard_error.mean() for samples in (500, 50_000))
    assert 8 < float(few / many) < 12.5


def test_log_evidence_works_in_float32_far_from_zero() -> None:
    """On pictures log p(x) is far below zero: weights themselves would underflow."""
    vae, x = mlp_vae((1, 28, 28), hidden=(8,), latent=2), torch.bernoulli(torch.full((3, 1, 28, 28), 0.5))
    estimate = log_evidence(vae, x, samples=50)
    assert (estimate.value < -400).all()
    assert estimate.value.isfinite().all()
    assert estimate.standard_error.isfinite().all()
    assert not estimate.value.requires_grad


@pytest.mark.parametrize("samples", [0, 1])
def test_an_error_needs_two_samples(samples: int) -> None:
    model, x = known_model()
    with pytest.raises(ValueError, match=f"{samples} samples.*at least 2"):
        log_evidence(model, x, samples)


@pytest.mark.parametrize("chunk", [1, 3, 4, 10, 1000])
def test_the_mean_elbo_weights_a_ragged_chunk_rightly(chunk: int) -> None:
    """Where the likelihood ignores z, the ELBO has no noise."""
    x = torch.arange(20.0).double().reshape(10, 2)
    deaf = LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 2.0)

    def q(x: Tensor) -> Distribution:
        return diagonal_normal(x[:, :1], 0.5)

    model = WithPosterior(deaf, q)
    log_likelihood, kl = elbo(model, x)
    means = mean_elbo(model, x, samples=2, chunk=chunk)
    assert means["log_likelihood"] == pytest.approx(float(log_likelihood.mean()))
    assert means["kl"] == pytest.approx(float(kl.mean()))
    assert means["elbo"] == pytest.approx(float((log_likelihood - kl).mean()))


def test_the_mean_elbo_averages_its_draws() -> None:
    model, x = known_model()
    bound = widened(model)
    draws = torch.stack([elbo(bound, x).value.mean() for _ in range(2000)])
    many = mean_elbo(bound, x, samples=2000)["elbo"]
    assert abs(many - float(draws.mean())) < 5 * float(draws.std()) * (2 / 2000) ** 0.5


def factorised(x: Tensor) -> Independent[Normal]:
    """A q over two latents that differs between examples and is not the posterior."""
    mean = torch.stack([0.3 * x[:, 0], -0.2 * x[:, 1]], -1)
    return diagonal_normal(mean, torch.stack([0.4 + 0.1 * x[:, 2].abs(), 0.5 + 0.0 * x[:, 3]], -1))


def test_rate_and_distortion_are_those_of_the_exact_model() -> None:
    """The rate is the KL, without noise; the distortion of many draws is -(ELBO + KL) of the closed form."""
    model, x = known_model()
    bound = WithPosterior(model, factorised)
    kl = kl_divergence(factorised(x), model.prior())
    draws = torch.stack([rate_distortion(bound, x).distortion for _ in range(200)])
    many = rate_distortion(bound, x, samples=1000)
    assert RateDistortion._fields == ("rate", "distortion")
    assert many.rate.shape == many.distortion.shape == (6,)
    torch.testing.assert_close(many.rate, kl)
    exact = -(model.elbo(x, factorised(x)) + kl)
    assert ((many.distortion - exact).abs() < 5 * draws.std(0) / 1000**0.5).all()


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_rate_and_distortion_sum_to_minus_the_elbo_in_the_order_of_x(chunk: int) -> None:
    """Where the likelihood ignores z, the ELBO has no noise."""
    x = torch.randn(10, 2).double()
    deaf = WithPosterior(LinearGaussian(torch.zeros(2, 1).double(), torch.zeros(2).double(), 2.0), one_latent)
    parts, terms = rate_distortion(deaf, x, samples=2, chunk=chunk), elbo(deaf, x)
    torch.testing.assert_close(parts.rate + parts.distortion, -terms.value)
    torch.testing.assert_close(parts.rate, terms.kl)
    torch.testing.assert_close(parts.distortion, -terms.log_likelihood)


def one_latent(x: Tensor) -> Distribution:
    return diagonal_normal(x[:, :1], 0.5)


def test_the_distortion_is_the_mean_over_draws() -> None:
    model, x = known_model()
    bound = WithPosterior(model, factorised)
    torch.manual_seed(5)
    by_hand = -torch.stack([elbo(bound, x).log_likelihood for _ in range(3)]).mean(0)
    torch.manual_seed(5)
    torch.testing.assert_close(rate_distortion(bound, x, samples=3).distortion, by_hand)


@pytest.mark.parametrize("factor", [1.0, 1.4])
def test_the_mean_rate_is_the_information_of_z_about_x_and_how_far_all_z_lie_from_the_prior(factor: float) -> None:
    """E[KL(q(z|x) || p(z))] = I(x; z) + KL(q(z) || p(z)); only for the exact posterior is the last term 0."""
    model, x = known_model(n=20_000)
    q = (widened(model, factor) if factor > 1 else model).posterior(x)
    assert isinstance(q, MultivariateNormal)
    noise, identity = q.covariance_matrix[0], torch.eye(2).double()
    spread = identity - model.posterior(x[:1]).covariance_matrix[0]  # of the means, for x drawn from the model
    offset = torch.full((2,), 0.05 if factor > 1 else 0.0).double()
    every_z = MultivariateNormal(offset, spread + noise)
    information = 0.5 * float(torch.logdet(spread + noise) - torch.logdet(noise))
    off = float(kl_divergence(every_z, MultivariateNormal(torch.zeros(2).double(), identity)))
    rate = rate_distortion(widened(model, factor) if factor > 1 else model, x, chunk=20_000).rate
    assert abs(float(rate.mean()) - information - off) < 5 * float(rate.std()) / 20_000**0.5
    assert off == pytest.approx(0, abs=1e-12) if factor == 1 else off > 0.001


def test_rate_and_distortion_carry_no_gradient() -> None:
    vae, x = mlp_vae((1, 2, 2), hidden=(4,), latent=2), torch.ones(5, 1, 2, 2)
    parts = rate_distortion(vae, x, samples=2, chunk=2)
    assert not parts.rate.requires_grad
    assert not parts.distortion.requires_grad
    assert parts.rate.dtype == torch.float32


@pytest.mark.parametrize("samples", [0, -1])
def test_a_distortion_needs_a_draw(samples: int) -> None:
    model, x = known_model()
    for call in (rate_distortion, mean_elbo):
        with pytest.raises(ValueError, match=f"{samples} samples.*at least 1") as caught:
            call(model, x, samples)
        assert "\n" not in str(caught.value)


def test_the_mean_elbo_is_the_mean_of_rate_and_distortion() -> None:
    model, x = known_model()
    bound = WithPosterior(model, factorised)
    torch.manual_seed(5)
    means = mean_elbo(bound, x, samples=3, chunk=4)
    torch.manual_seed(5)
    rate, distortion = rate_distortion(bound, x, samples=3, chunk=4)
    assert list(means) == ["elbo", "log_likelihood", "kl"]
    assert means["kl"] == pytest.approx(float(rate.mean()))
    assert means["log_likelihood"] == pytest.approx(-float(distortion.mean()))
    assert means["elbo"] == pytest.approx(-float((rate + distortion).mean()))
    assert all(type(mean) is float for mean in means.values())


@pytest.mark.parametrize("levels", [1, 2, 10, 256])
@pytest.mark.parametrize("dimensions", [1, 3072])
def test_equally_likely_grey_levels_have_the_bits_of_their_number(levels: int, dimensions: int) -> None:
    log_p = torch.tensor([-dimensions * log(levels)]).double()
    assert bits_per_dimension(log_p, dimensions).tolist() == pytest.approx([log2(levels)])
    density = torch.zeros(2, 3).double()  # of the uniform density on [0, 1), of dequantised pictures
    bits = bits_per_dimension(density, dimensions, levels)
    assert bits.shape == (2, 3)
    assert bits.flatten().tolist() == pytest.approx([log2(levels)] * 6)


def test_bits_per_dimension_are_linear_in_the_nats() -> None:
    assert float(bits_per_dimension(torch.tensor(-8 * log(2)), 4)) == pytest.approx(2)
    assert float(bits_per_dimension(torch.tensor(0.0), 4)) == 0
    assert float(bits_per_dimension(torch.tensor(4 * log(8)), 4, levels=8)) == pytest.approx(0, abs=1e-6)


def test_the_bits_of_dequantised_pictures_are_no_fewer_than_those_of_the_grey_levels() -> None:
    """For q(x) on [0, 1)² with a slope in every cell, and exactly as many where q is constant in each."""
    levels, fine = 4, 64
    u = (torch.arange(fine).double() + 0.5) / fine  # the midpoint rule over u, in either direction
    places = (torch.arange(levels)[:, None] + u).flatten() / levels  # (k + u) / L
    sloped = torch.exp(2 * places[:, None] - 3 * places * places[:, None])
    table = torch.rand(levels, levels).double()
    constant = table.repeat_interleave(fine, 0).repeat_interleave(fine, 1)
    for density, equal in ((sloped, False), (constant, True)):
        q = density / density.mean()  # of integral 1
        cells = q.reshape(levels, fine, levels, fine)
        probability = cells.mean((1, 3)) / levels**2  # of the grey levels: q integrated over a cell
        assert float(probability.sum()) == pytest.approx(1)
        exact = bits_per_dimension(probability.log(), 2)
        mean = bits_per_dimension(cells.log(), 2, levels).mean((1, 3))
        if equal:
            torch.testing.assert_close(mean, exact)
        else:
            assert (mean > exact + 1e-4).all()


@pytest.mark.parametrize(("dimensions", "levels"), [(0, 1), (-1, 1), (3, 0), (3, -256)])
def test_bits_need_a_dimension_and_a_level(dimensions: int, levels: int) -> None:
    with pytest.raises(ValueError, match=f"{dimensions} dimensions and {levels} levels") as caught:
        bits_per_dimension(torch.zeros(2), dimensions, levels)
    assert "\n" not in str(caught.value)


def made_q(x: Tensor) -> Distribution:
    """Latent 0 follows x, latent 1 barely does, latent 2 is the prior, latent 3 has a mean but no news of x."""
    zero = torch.zeros_like(x[:, 0])
    mean = torch.stack([x[:, 0], 0.02 * x[:, 1], zero, zero + 3], -1)
    std = torch.tensor([0.1, 0.9, 1.0, 0.5], dtype=x.dtype)
    return diagonal_normal(mean, std)


def made_model() -> WithPosterior:
    return WithPosterior(LinearGaussian(torch.randn(2, 4).double(), torch.zeros(2).double(), 1.0), made_q)


def test_a_unit_is_active_if_its_mean_follows_x() -> None:
    x = torch.randn(500, 2).double()
    assert active_units(made_model(), x).tolist() == [True, False, False, False]
    assert active_units(made_model(), x, threshold=1e-5).tolist() == [True, True, False, False]
    assert active_units(made_model(), x, threshold=2.0).tolist() == [False] * 4


def test_active_units_need_two_examples() -> None:
    with pytest.raises(ValueError, match=r"1 examples.*at least 2"):
        active_units(made_model(), torch.randn(1, 2).double())


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_posterior_means_come_in_the_order_of_x(chunk: int) -> None:
    x = torch.randn(10, 2).double()
    torch.testing.assert_close(posterior_means(made_model(), x, chunk), made_q(x).mean)


def test_the_divergences_of_the_latents_sum_to_that_of_the_elbo() -> None:
    x = torch.randn(50, 2).double()
    parts = kl_per_latent(made_model(), x)
    assert parts.shape == (4,)
    assert float(parts.sum()) == pytest.approx(float(elbo(made_model(), x).kl.mean()))
    assert float(parts[2]) == pytest.approx(0, abs=1e-12)
    assert float(parts[3]) == pytest.approx(0.5 * (9 + 0.25 - 1) - torch.tensor(0.5).log().item())


def test_the_divergences_of_correlated_latents_are_refused() -> None:
    model, x = known_model()
    with pytest.raises(TypeError, match=r"MultivariateNormal does not factorise.*use elbo or log_weights"):
        kl_per_latent(model, x)


def test_no_tensor_on_the_way_to_log_p_x_is_larger_than_the_memory_allows() -> None:
    """Hidden layers count: here they are two hundred times as wide as the pictures."""
    model, x = mlp_vae((1, 1, 2), (400,), 2), torch.zeros(200, 1, 1, 2)
    assert evidence.widths(model, x) == (400, 800)
    seen = evidence._Sizes()
    with seen:
        log_evidence(model, x, samples=500, memory=20_000)
    assert max(seen.sizes) <= 20_000


def test_a_q_with_a_row_for_each_example_is_taken_in_parts() -> None:
    model, x = known_model(n=30)
    exact = model.posterior(x)
    for family in (DiagonalNormalFamily(exact.mean, 0.5), NormalFamily(exact.mean, 0.5)):
        view = WithPosterior(model, family)
        found = log_evidence(view, x, samples=4000, memory=1000)
        assert ((found.value - model.log_evidence(x)).abs() < 5 * found.standard_error).all()
        torch.testing.assert_close(posterior_means(view, x, chunk=7), exact.mean)
        assert [name for name, _ in view.named_parameters() if name.startswith("q.")]
