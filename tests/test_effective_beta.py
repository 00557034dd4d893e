"""The β of a loss: losses of a known β, and losses that have none and are told so."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import log, pi, sqrt
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy, mse_loss

from vae_course.data.toys import linear_gaussian
from vae_course.distributions.families import diagonal_normal
from vae_course.distributions.pixels import NormalWithLearnedStd, continuous_bernoulli
from vae_course.evaluation.effective_beta import EffectiveBeta, ModelLoss, effective_beta
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.models.vae import VAE, convolutional_vae, mlp_vae

PIXELS, LATENTS, BATCH = 6, 3, 10
IMAGE = (1, 2, 3)


def normal_vae(std: float = 1.0) -> VAE:
    """A VAE in float32 whose likelihood is N(decoder(z), std² I)."""

    def family(mean: Tensor) -> Independent[Normal]:
        return diagonal_normal(mean, std, event_axes=3)

    return mlp_vae(IMAGE, (4,), LATENTS, family=family)


def bernoulli_vae() -> VAE:
    return mlp_vae(IMAGE, (4,), LATENTS)


Terms: TypeAlias = "Callable[[Distribution, Tensor, Independent[Normal], Tensor], Tensor]"


def a_loss(terms: Terms) -> ModelLoss:
    """A loss from p(x|z), x, q(z|x) and KL(q(z|x) || p(z)), z drawn once."""

    def loss(model: Any, x: Tensor) -> Tensor:
        q = model.posterior(x)
        return terms(model.likelihood(q.rsample()), x, q, kl_divergence(q, model.prior()))

    return loss


def squared_error(p: Distribution, x: Tensor) -> Tensor:
    return (x - p.mean).square().flatten(1).sum(1)


def message(call: Callable[[], object], kind: type[Exception] = ValueError) -> str:
    """The message of the exception that the call raises, which must be one line."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- losses of a known β


@pytest.mark.parametrize("make", [bernoulli_vae, normal_vae])
@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 4.0, 1000.0])
def test_the_loss_of_a_beta_vae_has_its_beta(beta: float, make: Callable[[], VAE]) -> None:
    found = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x) + beta * kl), make())
    assert found.beta == pytest.approx(beta, abs=1e-9, rel=1e-9)
    assert found.likelihood_weight == pytest.approx(1, rel=1e-9)
    assert found.kl_weight == pytest.approx(beta, abs=1e-9)
    assert found.constant == pytest.approx(0, abs=1e-8)
    assert 0 <= found.residual < 1e-10


def test_the_numbers_of_an_effective_beta_have_their_places() -> None:
    found = effective_beta(a_loss(lambda p, x, q, kl: -3 * p.log_prob(x) + 6 * kl + 5), normal_vae())
    assert EffectiveBeta._fields == ("beta", "likelihood_weight", "kl_weight", "constant", "residual")
    assert found[:4] == pytest.approx((2, 3, 6, 5), rel=1e-9)
    assert all(type(number) is float for number in found)


@pytest.mark.parametrize("std", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_a_squared_error_beside_the_kl_has_its_beta_over_twice_the_variance(beta: float, std: float) -> None:
    """‖x - μ‖² = 2σ² (-log p(x|z)) + a constant."""
    found = effective_beta(a_loss(lambda p, x, q, kl: squared_error(p, x) + beta * kl), normal_vae(std))
    assert found.beta == pytest.approx(beta / (2 * std**2), rel=1e-9)
    assert found.likelihood_weight == pytest.approx(2 * std**2, rel=1e-9)
    assert found.constant == pytest.approx(-(std**2) * PIXELS * log(2 * pi * std**2), rel=1e-8)


@pytest.mark.parametrize("beta", [0.02, 1.0, 8.0])
def test_a_squared_error_beside_the_kl_is_the_bound_for_the_right_variance(beta: float) -> None:
    found = effective_beta(a_loss(lambda p, x, q, kl: squared_error(p, x) + beta * kl), normal_vae(std=sqrt(beta / 2)))
    assert found.beta == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("std", [0.3, 1.0])
@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_means_over_pixels_and_latents_multiply_beta_by_their_ratio(beta: float, std: float) -> None:
    """Mean squared error over batch and pixels, β times the mean of the KL over batch and latents."""
    found = effective_beta(
        a_loss(lambda p, x, q, kl: mse_loss(p.mean, x) + beta * kl.mean() / LATENTS), normal_vae(std)
    )
    assert found.beta == pytest.approx(beta * PIXELS / LATENTS / (2 * std**2), rel=1e-9)
    assert found.likelihood_weight == pytest.approx(2 * std**2 / PIXELS, rel=1e-9)


@pytest.mark.parametrize("batch", [1, 2, 10, 128])
def test_a_sum_over_the_batch_beside_a_mean_depends_on_the_batch(batch: int) -> None:
    model = bernoulli_vae()
    too_little = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x).sum() + kl.mean()), model, batch)
    too_much = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x).mean() + kl.sum()), model, batch)
    assert too_little.beta == pytest.approx(1 / batch, rel=1e-9)
    assert too_much.beta == pytest.approx(batch, rel=1e-9)
    both = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x).sum() + kl.sum()), model, batch)
    assert both.beta == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_a_factor_before_the_whole_loss_changes_no_beta(factor: float) -> None:
    found = effective_beta(a_loss(lambda p, x, q, kl: factor * (-p.log_prob(x) + 2 * kl)), normal_vae())
    assert found.beta == pytest.approx(2, rel=1e-9)
    assert found.likelihood_weight == pytest.approx(factor, rel=1e-9)


def test_a_constant_changes_the_constant_alone() -> None:
    without, with_it = (
        effective_beta(a_loss(lambda p, x, q, kl, c=c: -p.log_prob(x) + 2 * kl + c), normal_vae())  # type: ignore[misc]
        for c in (0.0, 100.0)
    )
    assert with_it[:3] == pytest.approx(without[:3], rel=1e-9)
    assert with_it.constant - without.constant == pytest.approx(100, rel=1e-9)


def test_binary_cross_entropy_is_the_likelihood_of_binary_pixels() -> None:
    def terms(p: Distribution, x: Tensor, q: Independent[Normal], kl: Tensor) -> Tensor:
        return binary_cross_entropy(p.mean, x, reduction="none").flatten(1).sum(1) + kl

    def averaged(p: Distribution, x: Tensor, q: Independent[Normal], kl: Tensor) -> Tensor:
        value: Tensor = binary_cross_entropy(p.mean, x) + kl.mean()
        return value

    assert effective_beta(a_loss(terms), bernoulli_vae()).beta == pytest.approx(1, rel=1e-9)
    assert effective_beta(a_loss(averaged), bernoulli_vae()).beta == pytest.approx(PIXELS, rel=1e-9)


def test_cross_entropy_on_grey_pixels_lacks_the_normaliser() -> None:
    def terms(p: Distribution, x: Tensor, q: Independent[Normal], kl: Tensor) -> Tensor:
        logits = p.base_dist.logits  # type: ignore[attr-defined]
        value: Tensor = -(x * logits - nn.functional.softplus(logits)).flatten(1).sum(1) + kl
        return value

    model = mlp_vae(IMAGE, (4,), LATENTS, family=continuous_bernoulli)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(5)
    assert "Declare the likelihood" in message(lambda: effective_beta(a_loss(terms), model))


def test_the_divergence_of_the_paper_written_out_is_the_kl() -> None:
    """Kingma & Welling, appendix B: KL = -½ Σ (1 + log σ² - μ² - σ²)."""

    def terms(p: Distribution, x: Tensor, q: Independent[Normal], kl: Tensor) -> Tensor:
        mean, variance = q.mean, q.variance
        return -p.log_prob(x) - 0.5 * (1 + variance.log() - mean.square() - variance).sum(1)

    assert effective_beta(a_loss(terms), bernoulli_vae()).beta == pytest.approx(1, rel=1e-9)


def test_a_forgotten_half_before_the_divergence_is_a_beta_of_two() -> None:
    def terms(p: Distribution, x: Tensor, q: Independent[Normal], kl: Tensor) -> Tensor:
        return -p.log_prob(x) - (1 + q.variance.log() - q.mean.square() - q.variance).sum(1)

    assert effective_beta(a_loss(terms), bernoulli_vae()).beta == pytest.approx(2, rel=1e-9)


@pytest.mark.parametrize("shape", [(), (1, 1, 1), IMAGE])
def test_a_learned_standard_deviation_is_taken_as_it_stands(shape: tuple[int, ...]) -> None:
    family = NormalWithLearnedStd(shape, std=0.25)
    model = mlp_vae(IMAGE, (4,), LATENTS, family=family)
    sigma = float(family.std.flatten()[0])
    loss = a_loss(lambda p, x, q, kl: squared_error(p, x) + kl)
    assert effective_beta(loss, model).beta == pytest.approx(1 / (2 * sigma**2), rel=1e-6)
    assert effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x) + kl), model).beta == pytest.approx(1, rel=1e-9)


def test_one_error_for_all_pixels_is_refused_where_each_has_its_own_variance() -> None:
    family = NormalWithLearnedStd(IMAGE)
    with torch.no_grad():
        family.tenth.copy_(torch.linspace(-0.2, 0, PIXELS).reshape(IMAGE))
    model = mlp_vae(IMAGE, (4,), LATENTS, family=family)
    refused = a_loss(lambda p, x, q, kl: squared_error(p, x) + kl)
    assert "Declare the likelihood" in message(lambda: effective_beta(refused, model))


def test_other_models_and_pictures_work_too() -> None:
    loss = a_loss(lambda p, x, q, kl: -p.log_prob(x) + 3 * kl)
    data = linear_gaussian(2, 4, 2, torch.Generator().manual_seed(7))
    exact = LinearGaussian(data.weight, data.bias, data.std)
    assert effective_beta(loss, exact).beta == pytest.approx(3, rel=1e-9)
    assert effective_beta(loss, convolutional_vae((1, 4, 4), (2,), (), 2)).beta == pytest.approx(3, rel=1e-9)


# --- what is left alone


def test_the_model_and_the_global_generator_are_left_alone() -> None:
    family = NormalWithLearnedStd()
    model = mlp_vae(IMAGE, (4,), LATENTS, family=family)
    before, state = deepcopy(model.state_dict()), torch.get_rng_state()
    first = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x) + kl), model)
    assert torch.get_rng_state().equal(state)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        assert tensor.equal(before[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.manual_seed(1)
    assert effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x) + kl), model) == first


def test_the_loss_is_shown_pictures_of_the_model_in_double_precision() -> None:
    shown: list[Tensor] = []

    def loss(model: Any, x: Tensor) -> Tensor:
        shown.append(x)
        q = model.posterior(x)
        assert q.mean.shape == (4, LATENTS)
        value: Tensor = kl_divergence(q, model.prior()) - model.likelihood(q.rsample()).log_prob(x)
        return value

    effective_beta(loss, bernoulli_vae(), batch=4)
    assert len(shown) > 10
    assert {(tuple(x.shape), x.dtype) for x in shown} == {((4, *IMAGE), torch.float64)}
    assert set(torch.stack(shown).unique().tolist()) == {0.0, 1.0}
    assert not shown[0].equal(shown[1])


# --- losses without a β

FREE_BITS = 1.0
MISTAKES: dict[str, Terms] = {
    "squared error": lambda p, x, q, kl: squared_error(p, x) + kl,
    "absolute error": lambda p, x, q, kl: (x - p.mean).abs().flatten(1).sum(1) + kl,
    "root of the squared error": lambda p, x, q, kl: squared_error(p, x).sqrt() + kl,
    "KL squared": lambda p, x, q, kl: -p.log_prob(x) + kl.square(),
    "KL to a target": lambda p, x, q, kl: -p.log_prob(x) + (kl - 5).abs(),
    "free bits": lambda p, x, q, kl: -p.log_prob(x) + kl.clamp(min=kl.median().item()),
    "free bits a latent": lambda p, x, q, kl: (
        -p.log_prob(x) + (-0.5 * (1 + q.variance.log() - q.mean.square() - q.variance)).clamp(min=FREE_BITS).sum(1)
    ),
    "σ for σ²": lambda p, x, q, kl: -p.log_prob(x) - 0.5 * (1 + q.stddev.log() - q.mean.square() - q.stddev).sum(1),
    "(log σ)² for log σ²": lambda p, x, q, kl: (
        -p.log_prob(x) - 0.5 * (1 + q.stddev.log().square() - q.mean.square() - q.variance).sum(1)
    ),
    "μ for μ²": lambda p, x, q, kl: -p.log_prob(x) - 0.5 * (1 + q.variance.log() - q.mean - q.variance).sum(1),
    "no log σ²": lambda p, x, q, kl: -p.log_prob(x) - 0.5 * (1 - q.mean.square() - q.variance).sum(1),
    "the other divergence": lambda p, x, q, kl: (
        -p.log_prob(x) + kl_divergence(diagonal_normal(torch.zeros_like(q.mean), 1.0), q)
    ),
    "only the norm of the mean": lambda p, x, q, kl: -p.log_prob(x) + q.mean.square().sum(1),
    "only the mean of the batch": lambda p, x, q, kl: -p.log_prob(x) + kl.mean(),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_loss_that_is_no_such_sum_is_refused(name: str) -> None:
    text = message(lambda: effective_beta(a_loss(MISTAKES[name]), bernoulli_vae()))
    assert "not a·(-log p(x|z)) + b·KL + c" in text
    assert "of its spread" in text


def test_a_mistake_of_the_divergence_is_found_in_one_number_for_the_batch() -> None:
    for name in ("σ for σ²", "free bits a latent", "squared error"):
        loss = a_loss(lambda p, x, q, kl, terms=MISTAKES[name]: terms(p, x, q, kl).mean())  # type: ignore[misc]
        assert "of its spread" in message(lambda loss=loss: effective_beta(loss, bernoulli_vae()))  # type: ignore[misc]


def test_a_small_mistake_is_found_too() -> None:
    loss = a_loss(lambda p, x, q, kl: -p.log_prob(x) + kl + 1e-4 * q.mean.square().sum(1))
    assert "of its spread" in message(lambda: effective_beta(loss, bernoulli_vae()))


@pytest.mark.parametrize("weight", [-1.0, -1e-6, 0.0])
def test_a_loss_that_does_not_reward_reconstruction_is_refused(weight: float) -> None:
    text = message(lambda: effective_beta(a_loss(lambda p, x, q, kl: -weight * p.log_prob(x) + kl), bernoulli_vae()))
    assert "does not reward a good reconstruction" in text
    assert "sign of its first term" in text


def test_a_negative_weight_of_the_divergence_is_a_negative_beta() -> None:
    found = effective_beta(a_loss(lambda p, x, q, kl: -p.log_prob(x) - kl), bernoulli_vae())
    assert found.beta == pytest.approx(-1, rel=1e-9)


def test_a_loss_without_a_likelihood_is_refused() -> None:
    def loss(model: Any, x: Tensor) -> Tensor:
        return kl_divergence(model.posterior(x), model.prior())

    assert "never called model.likelihood(z)" in message(lambda: effective_beta(loss, bernoulli_vae()))


def two_draws(model: Any, x: Tensor) -> Tensor:
    q = model.posterior(x)
    twice = torch.stack([model.likelihood(q.rsample()).log_prob(x) for _ in range(2)])
    return kl_divergence(q, model.prior()) - twice.mean(0)


def a_draw_from_the_prior(model: Any, x: Tensor) -> Tensor:
    p = model.likelihood(model.posterior(x).rsample())
    value: Tensor = -p.log_prob(x) - model.likelihood(torch.zeros(len(x), LATENTS).double()).log_prob(x)
    return value


@pytest.mark.parametrize("loss", [two_draws, a_draw_from_the_prior])
def test_two_draws_are_refused(loss: ModelLoss) -> None:
    text = message(lambda: effective_beta(loss, bernoulli_vae()))
    assert "two different z" in text
    assert "draw z once" in text


def several_draws(model: Any, x: Tensor) -> Tensor:
    q = model.posterior(x)
    log_p: Tensor = model.likelihood(q.rsample((4,))).log_prob(x)
    return kl_divergence(q, model.prior()) - log_p.mean(0)


def test_several_draws_for_each_picture_are_refused_in_one_sentence() -> None:
    assert "draw" in message(lambda: effective_beta(several_draws, bernoulli_vae()))


def test_one_z_may_be_asked_for_twice() -> None:
    def loss(model: Any, x: Tensor) -> Tensor:
        q = model.posterior(x)
        z = q.rsample()
        twice = model.likelihood(z).log_prob(x) + model.likelihood(z).log_prob(x)
        value: Tensor = kl_divergence(q, model.prior()) - twice
        return value

    assert effective_beta(loss, bernoulli_vae()).beta == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("name", ["encoder", "decoder", "zero", "train"])
def test_a_loss_that_asks_the_model_for_more_is_told_what_it_may_use(name: str) -> None:
    def loss(model: Any, x: Tensor) -> Tensor:
        value: Tensor = getattr(model, name)
        return value

    text = message(lambda: effective_beta(loss, bernoulli_vae()), AttributeError)
    assert repr(name) in text
    assert "prior(), posterior(x) and likelihood(z)" in text


SHAPES: dict[str, tuple[Terms, list[int]]] = {
    "one a pixel": (lambda p, x, q, kl: (x - p.mean).square(), [BATCH, *IMAGE]),
    "one a latent": (lambda p, x, q, kl: q.mean, [BATCH, LATENTS]),
    "a column": (lambda p, x, q, kl: kl[:, None], [BATCH, 1]),
    "some": (lambda p, x, q, kl: kl[1:], [BATCH - 1]),
    "one": (lambda p, x, q, kl: kl.mean()[None], [1]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_loss_of_another_shape_is_refused(name: str) -> None:
    terms, shape = SHAPES[name]
    text = message(lambda: effective_beta(a_loss(terms), bernoulli_vae()))
    assert f"returned {shape} for {BATCH} pictures" in text


class CorrelatedPrior(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(2, 3)

    def prior(self) -> Distribution:
        return MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())

    def likelihood(self, z: Tensor) -> Distribution:
        return diagonal_normal(self.decoder(z), 1.0)


def test_another_family_of_priors_is_refused() -> None:
    loss = a_loss(lambda p, x, q, kl: -p.log_prob(x) + kl)
    text = message(lambda: effective_beta(loss, CorrelatedPrior()), TypeError)
    assert "not MultivariateNormal" in text
