"""Categorical latents against sums over all their values: exact evidence, exact bounds, exact gradients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from math import log, nan

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, kl_divergence

from vae_course.data.toys import linear_gaussian
from vae_course.distributions.discrete import (
    enumerate_one_hot,
    one_hot_categorical,
    relaxed_categorical,
    straight_through_categorical,
)
from vae_course.distributions.families import diagonal_normal
from vae_course.exact.enumeration import log_joint_by_enumeration, split_evidence_by_enumeration
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.inference.gradients import gradient_draws, leave_one_out, no_baseline, pathwise, score_function
from vae_course.models.discrete import DiscreteVAE, mlp_discrete_vae
from vae_course.models.views import WithPosterior, WithPrior
from vae_course.objectives.bounds import elbo, iwae, log_joint, log_mean_exp, log_weights
from vae_course.randomness import seeded

DRAWS = 40_000


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def small_model(variables: int = 3, categories: int = 3) -> DiscreteVAE:
    """On 1×2×2 pictures, its weights scaled so that z matters and q(z|x) is far from uniform and from p(z|x)."""
    with seeded(8):
        model = mlp_discrete_vae((1, 2, 2), (6,), variables, categories).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def all_pictures() -> Tensor:
    """The sixteen binary pictures of 1×2×2 pixels: [16, 1, 2, 2]."""
    return torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64).reshape(16, 1, 2, 2)


def assert_mean_is(draws: Tensor, expected: Tensor, sigmas: float = 5.0) -> None:
    """The mean over the first axis lies within five of its standard errors of what is expected."""
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - expected).abs() <= sigmas * error + 1e-12).all()


def message(call: Callable[[], object], error: type[Exception] = ValueError) -> str:
    """The message of the error that the call raises, which must be one line."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("variables", "categories"), [(1, 1), (1, 4), (3, 1), (2, 3), (4, 2)])
def test_the_values_are_all_there_in_order_with_the_last_variable_fastest(variables: int, categories: int) -> None:
    z = enumerate_one_hot(variables, categories, like=draw(1))
    assert z.shape == (categories**variables, variables, categories)
    assert z.dtype == torch.float64
    assert ((z == 0) | (z == 1)).all()
    assert torch.equal(z.sum(-1), torch.ones_like(z[..., 0]))
    assert z.argmax(-1).tolist() == [list(row) for row in product(range(categories), repeat=variables)]


def test_too_many_values_are_refused() -> None:
    assert len(enumerate_one_hot(5, 10, like=torch.zeros(1, dtype=torch.uint8))) == 100_000
    text = message(lambda: enumerate_one_hot(17, 2, like=draw(1)))
    assert "17 variables of 2 categories have 131,072 values" in text
    assert "100,000" in message(lambda: enumerate_one_hot(1, 100_001, like=draw(1)))


def test_a_categorical_sums_to_one_and_has_the_probabilities_of_the_softmax() -> None:
    logits = 2 * draw(5, 2, 3)  # five of them
    q = one_hot_categorical(logits)
    assert (q.batch_shape, q.event_shape) == ((5,), (2, 3))
    p = q.log_prob(enumerate_one_hot(2, 3, like=logits)[:, None]).exp()  # [9, 5]
    by_hand = (logits[:, 0].softmax(-1)[..., None] * logits[:, 1].softmax(-1)[:, None]).flatten(1).T
    torch.testing.assert_close(p, by_hand)
    torch.testing.assert_close(p.sum(0), torch.ones(5).double())


def test_logits_need_not_be_normalised() -> None:
    logits, z = draw(4, 2, 3), enumerate_one_hot(2, 3, like=draw(1))[:, None]
    shift = draw(4, 2, 1)
    torch.testing.assert_close(one_hot_categorical(logits + shift).log_prob(z), one_hot_categorical(logits).log_prob(z))
    for made in (relaxed_categorical, straight_through_categorical):
        torch.manual_seed(1)
        first = made(logits, 0.5).rsample()
        torch.manual_seed(1)
        torch.testing.assert_close(made(logits + shift, 0.5).rsample(), first)


def frequencies(z: Tensor) -> Tensor:
    """How often each category is the largest: [draws, variables, categories] → [variables, categories]."""
    return torch.nn.functional.one_hot(z.argmax(-1), z.shape[-1]).double().mean(0)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_draws_have_the_frequencies_of_the_softmax_at_every_temperature(temperature: float) -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]]).double()
    p = logits.softmax(-1)
    error = (p * (1 - p) / DRAWS).sqrt()
    draws = {
        "exact": one_hot_categorical(logits).sample((DRAWS,)),
        "straight-through": straight_through_categorical(logits, temperature).rsample((DRAWS,)),
        "relaxed": relaxed_categorical(logits, temperature).rsample((DRAWS,)),
    }
    for name, z in draws.items():
        assert z.shape == (DRAWS, 2, 3), name
        assert ((frequencies(z) - p).abs() < 5 * error).all(), name


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_a_relaxed_draw_is_the_softmax_of_logits_and_gumbel_noise_over_the_temperature(temperature: float) -> None:
    """The difference of two Gumbel variables is logistic: τ (log z_1 − log z_2) − (l_1 − l_2) has variance π²/3."""
    logits = torch.tensor([[0.7, -0.4]]).double()
    z = relaxed_categorical(logits, temperature).rsample((DRAWS,))[:, 0]
    noise = temperature * (z[:, 0].log() - z[:, 1].log()) - 1.1
    assert_mean_is(noise, torch.zeros(()).double())
    assert_mean_is(noise.square(), torch.tensor(torch.pi**2 / 3).double())
    torch.testing.assert_close(z.sum(-1), torch.ones(DRAWS).double())


def test_a_colder_draw_is_nearer_to_a_corner() -> None:
    logits = draw(2, 4)
    far = [float((1 - relaxed_categorical(logits, t).rsample((2000,)).amax(-1)).mean()) for t in (0.05, 0.5, 2.0, 20.0)]
    assert far == sorted(far)
    assert far[0] < 0.05
    assert far[-1] > 0.6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.05, 0.7, 3.0])
def test_straight_through_draws_are_exactly_one_hot(temperature: float, dtype: torch.dtype) -> None:
    z = straight_through_categorical(3 * torch.randn(4, 3, 5, dtype=dtype), temperature).rsample((500,))
    assert z.dtype == dtype
    assert ((z == 0) | (z == 1)).all()
    assert (z.sum(-1) == 1).all()


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_the_straight_through_gradient_is_that_of_the_relaxed_draw_with_the_same_noise(temperature: float) -> None:
    logits, weights = draw(4, 3, 5).requires_grad_(), draw(4, 3, 5)
    gradients, values = [], []
    for made in (straight_through_categorical, relaxed_categorical):
        torch.manual_seed(3)
        z = made(logits, temperature).rsample((6,))
        values.append(z.detach())
        gradients.append(torch.autograd.grad((weights * z).sum(), logits)[0])
    assert gradients[0].abs().sum() > 0.1
    torch.testing.assert_close(gradients[0], gradients[1])
    assert torch.equal(values[0].argmax(-1), values[1].argmax(-1))


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 3.0])
def test_the_density_of_a_relaxed_variable_integrates_to_one_over_the_simplex(temperature: float) -> None:
    limit = 20 * (1 + 1 / temperature)
    t = torch.linspace(-limit, limit, 20_001, dtype=torch.float64)  # z = sigmoid(t): dz = z (1 − z) dt
    z = torch.stack([t.sigmoid(), (-t).sigmoid()], -1)[:, None]
    q = relaxed_categorical(torch.tensor([[0.8, -0.5]]).double(), temperature)
    density = q.log_prob(z).exp() * z.prod(-1)[:, 0]
    assert float(density.sum() * (t[1] - t[0])) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("made", [relaxed_categorical, straight_through_categorical])
def test_divergences_are_those_of_the_categoricals(made: Callable[[Tensor, float], Distribution]) -> None:
    logits, others = 2 * draw(4, 2, 3), draw(2, 3)
    q, p = one_hot_categorical(logits), one_hot_categorical(others)
    z = enumerate_one_hot(2, 3, like=logits)[:, None]
    by_sum = (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum(0)
    exact = kl_divergence(Categorical(logits=logits), Categorical(logits=others)).sum(-1)
    torch.testing.assert_close(by_sum, exact)
    torch.testing.assert_close(kl_divergence(q, p), exact)
    for temperature in (0.1, 4.0):
        torch.testing.assert_close(kl_divergence(made(logits, temperature), p), exact)


def test_a_straight_through_draw_has_the_probability_of_its_category() -> None:
    logits, z = 2 * draw(4, 2, 3), enumerate_one_hot(2, 3, like=draw(1))[:, None]
    straight = straight_through_categorical(logits, 0.4)
    torch.testing.assert_close(straight.log_prob(z), one_hot_categorical(logits).log_prob(z))
    torch.testing.assert_close(straight.entropy(), one_hot_categorical(logits).entropy())


@pytest.mark.parametrize("temperature", [0.0, -1.0, nan])
def test_a_temperature_must_be_above_zero(temperature: float) -> None:
    model, x = small_model(), all_pictures()
    for call in (
        lambda: relaxed_categorical(draw(2, 3), temperature),
        lambda: straight_through_categorical(draw(2, 3), temperature),
        lambda: elbo(model.relaxed(temperature), x),
        lambda: elbo(model.straight_through(temperature), x),
    ):
        assert f"the temperature {temperature}; it must be above 0" in message(call)


def test_a_categorical_without_relaxation_says_why_it_has_no_pathwise_gradient() -> None:
    model, x = small_model(), all_pictures()
    for call in (
        lambda: elbo(model, x),
        lambda: iwae(model, x, 3),
        lambda: model.posterior(x).rsample((2,)),
    ):
        text = message(call, NotImplementedError)
        assert "relax" in text
        assert "score function" in text
    assert not model.posterior(x).has_rsample
    assert "no pathwise" in message(lambda: pathwise(model.posterior(x), torch.sum, 2), NotImplementedError)
    assert model.straight_through(1.0).posterior(x).has_rsample
    assert model.relaxed(1.0).posterior(x).has_rsample


@pytest.mark.parametrize(("variables", "categories"), [(1, 3), (3, 3), (4, 2)])
def test_shapes_are_rows_of_categories(variables: int, categories: int) -> None:
    model, x = small_model(variables, categories), all_pictures()
    prior, q = model.prior(), model.posterior(x)
    assert (prior.batch_shape, prior.event_shape) == ((), (variables, categories))
    assert (q.batch_shape, q.event_shape) == ((16,), (variables, categories))
    p = model.likelihood(draw(7, 16, variables, categories))
    assert (p.batch_shape, p.event_shape) == ((7, 16), (1, 2, 2))
    z = enumerate_one_hot(variables, categories, like=x)
    torch.testing.assert_close(prior.log_prob(z), torch.full((len(z),), -variables * log(categories)).double())
    torch.testing.assert_close(q.log_prob(z[:, None]), one_hot_categorical(model.logits(x)).log_prob(z[:, None]))


@torch.no_grad()
def test_the_joint_is_that_of_a_loop_over_all_values() -> None:
    model, x = small_model(2, 3), all_pictures()[3:8]
    joint = log_joint_by_enumeration(model, x)
    assert joint.shape == (5, 9)
    for number, (first, second) in enumerate(product(range(3), repeat=2)):
        z = torch.zeros(2, 3).double()
        z[0, first] = z[1, second] = 1
        by_hand = model.likelihood(z).log_prob(x) - 2 * log(3)
        torch.testing.assert_close(joint[:, number], by_hand)


@torch.no_grad()
def test_the_evidence_is_the_bound_and_the_divergence_from_the_posterior() -> None:
    model, x = small_model(), all_pictures()
    joint, split = log_joint_by_enumeration(model, x), split_evidence_by_enumeration(model, x)
    log_q = model.posterior(x).log_prob(enumerate_one_hot(3, 3, like=x)[:, None]).T
    log_posterior = joint.log_softmax(1)
    torch.testing.assert_close(split.log_evidence, joint.exp().sum(1).log())
    torch.testing.assert_close(split.kl, kl_divergence(Categorical(logits=log_q), Categorical(logits=log_posterior)))
    torch.testing.assert_close(split.elbo + split.kl, split.log_evidence, atol=1e-12, rtol=0)
    expected = (log_q.exp() * joint).sum(1) + Categorical(logits=log_q).entropy()
    torch.testing.assert_close(split.elbo, expected)
    assert (split.kl > 0.01).all()


@pytest.mark.parametrize(("variables", "categories"), [(1, 4), (3, 3)])
@torch.no_grad()
def test_p_x_of_all_pictures_sums_to_one(variables: int, categories: int) -> None:
    log_p = split_evidence_by_enumeration(small_model(variables, categories), all_pictures()).log_evidence
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-12)


def test_too_many_values_of_a_model_are_refused() -> None:
    model = mlp_discrete_vae((1, 2, 2), (), 17, 2).double()
    for call in (log_joint_by_enumeration, split_evidence_by_enumeration):
        assert "take a smaller model" in message(lambda call=call: call(model, all_pictures()))  # type: ignore[misc]


@torch.no_grad()
def test_the_mean_of_the_straight_through_bound_is_the_enumerated_one() -> None:
    model, pictures = small_model(), all_pictures()[::5]
    exact = split_evidence_by_enumeration(model, pictures)
    for temperature in (0.2, 2.0):
        many = pictures.repeat(10_000, 1, 1, 1)
        draws = elbo(model.straight_through(temperature), many)
        assert_mean_is(draws.value.reshape(10_000, -1), exact.elbo)
        prior_gap = kl_divergence(model.posterior(pictures), model.prior())
        torch.testing.assert_close(draws.kl[: len(pictures)], prior_gap)


@torch.no_grad()
def test_the_relaxed_bound_is_another_number() -> None:
    model, pictures = small_model(), all_pictures()[::5]
    exact = split_evidence_by_enumeration(model, pictures).elbo
    value = elbo(model.relaxed(1.0), pictures.repeat(10_000, 1, 1, 1)).value.reshape(10_000, -1)
    off = (value.mean(0) - exact).abs() / (value.std(0) / 100)
    assert off.max() > 10


@torch.no_grad()
def test_every_log_weight_is_that_of_its_draw() -> None:
    model, x = small_model(), all_pictures()
    bound = model.straight_through(0.6)
    torch.manual_seed(4)
    weights = log_weights(bound, x, 7)
    torch.manual_seed(4)
    z = bound.posterior(x).rsample((7,))
    number = (z.argmax(-1) * torch.tensor([9, 3, 1])).sum(-1)  # [7, 16], in the order of enumeration
    log_q = one_hot_categorical(model.logits(x)).log_prob(z)
    expected = log_joint_by_enumeration(model, x).gather(1, number.T).T - log_q
    torch.testing.assert_close(weights, expected)
    torch.manual_seed(4)
    torch.testing.assert_close(iwae(bound, x, 7), log_mean_exp(expected))


@torch.no_grad()
def test_the_importance_weighted_bound_lies_between_the_elbo_and_the_evidence_in_the_mean() -> None:
    model, pictures = small_model(), all_pictures()[::5]
    exact = split_evidence_by_enumeration(model, pictures)
    bounds = [
        iwae(model.straight_through(1.0), pictures.repeat(2000, 1, 1, 1), k).reshape(2000, -1) for k in (1, 4, 16)
    ]
    assert_mean_is(bounds[0], exact.elbo)
    error = torch.stack([bound.std(0) / 2000**0.5 for bound in bounds])
    mean = torch.stack([bound.mean(0) for bound in bounds])
    assert (mean <= exact.log_evidence + 5 * error).all()
    assert (mean.diff(dim=0) > 0).all()
    assert_mean_is(log_weights(model.straight_through(1.0), pictures, DRAWS).exp(), exact.log_evidence.exp())


@torch.no_grad()
def test_with_the_exact_posterior_every_log_weight_is_log_p_x() -> None:
    model, x = small_model(1, 5), all_pictures()
    best = WithPosterior(
        model, lambda x: straight_through_categorical(log_joint_by_enumeration(model, x)[:, None], 0.5)
    )
    split = split_evidence_by_enumeration(best, x)
    weights = log_weights(best, x, 30)
    torch.testing.assert_close(weights, split.log_evidence.expand(30, -1), atol=1e-12, rtol=0)
    torch.testing.assert_close(split.elbo, split.log_evidence, atol=1e-12, rtol=0)
    torch.testing.assert_close(split.kl, torch.zeros(16).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(split.log_evidence, split_evidence_by_enumeration(model, x).log_evidence)


def test_the_exact_posterior_is_a_maximum_of_the_bound() -> None:
    model, x = small_model(1, 5), all_pictures()
    free = log_joint_by_enumeration(model, x).detach()[:, None].requires_grad_()
    bound = split_evidence_by_enumeration(WithPosterior(model, lambda x: one_hot_categorical(free)), x).elbo
    (gradient,) = torch.autograd.grad(bound.sum(), free)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def exact_gradient(model: DiscreteVAE, x: Tensor, logits: Tensor) -> Tensor:
    """∇ of the enumerated bound of one picture by the logits of q, [variables, categories]."""
    free = logits.clone().requires_grad_()
    split = split_evidence_by_enumeration(WithPosterior(model, lambda x: one_hot_categorical(free[None])), x[None])
    return torch.autograd.grad(split.elbo.sum(), free)[0]


@pytest.mark.parametrize("baseline", [no_baseline, leave_one_out])
def test_the_score_function_has_the_gradient_of_the_enumerated_bound(baseline: Callable[[Tensor], Tensor]) -> None:
    model, x, logits = small_model(), all_pictures()[6], draw(3, 3)

    def estimate(rows: Tensor) -> Tensor:
        q = one_hot_categorical(rows)
        return score_function(q, lambda z: log_joint(model, x, z) - q.log_prob(z), 4, baseline)

    (draws,) = gradient_draws(estimate, [logits], 20_000)
    exact = exact_gradient(model, x, logits)
    assert exact.abs().max() > 0.05
    assert_mean_is(draws, exact)


def test_the_straight_through_gradient_by_the_logits_is_biased() -> None:
    model, x, logits = small_model(), all_pictures()[6], 2 * draw(3, 3)

    def estimate(rows: Tensor) -> Tensor:
        q = straight_through_categorical(rows, 1.0)
        return pathwise(q, lambda z: log_joint(model, x, z), 1) - kl_divergence(q, model.prior()) - 3 * log(3)

    (draws,) = gradient_draws(estimate, [logits], 20_000)
    off = (draws.mean(0) - exact_gradient(model, x, logits)).abs() / (draws.std(0) / 20_000**0.5)
    assert off.max() > 10


def test_the_straight_through_gradient_of_the_decoder_is_unbiased() -> None:
    model, x = small_model(), all_pictures()[::5]
    parameters = list(model.decoder.parameters())
    exact = torch.autograd.grad(split_evidence_by_enumeration(model, x).elbo.mean(), parameters)
    bound, many = model.straight_through(0.5), x.repeat(200, 1, 1, 1)
    draws = [torch.autograd.grad(elbo(bound, many).value.mean(), parameters) for _ in range(80)]
    for estimates, expected in zip(zip(*draws, strict=True), exact, strict=True):
        assert expected.abs().max() > 1e-3
        assert_mean_is(torch.stack(estimates), expected)


def test_gradients_of_the_enumerated_bound_agree_with_finite_differences() -> None:
    model, x = small_model(2, 3), all_pictures()[::5]
    parameters = list(model.parameters())
    for part in ("log_evidence", "elbo", "kl"):

        def value(part: str = part) -> Tensor:
            found: Tensor = getattr(split_evidence_by_enumeration(model, x), part).mean()
            return found

        gradients = torch.autograd.grad(value(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            direction, step = torch.randn_like(parameter), 1e-6
            with torch.no_grad():
                parameter.add_(step * direction)
                above = value()
                parameter.sub_(2 * step * direction)
                below = value()
                parameter.add_(step * direction)
            slope = torch.zeros(()).double() if gradient is None else (gradient * direction).sum()
            torch.testing.assert_close(slope, (above - below) / (2 * step), atol=1e-7, rtol=1e-6)


def test_the_views_have_the_parameters_of_the_model_and_its_other_distributions() -> None:
    model, x, z = small_model(), all_pictures(), draw(16, 3, 3)
    for view in (model.relaxed(0.5), model.straight_through(0.5)):
        assert [id(p) for p in view.parameters()] == [id(p) for p in model.parameters()]
        torch.testing.assert_close(view.likelihood(z).log_prob(x), model.likelihood(z).log_prob(x))
        one_hot = model.prior().sample((4,))
        torch.testing.assert_close(view.prior().log_prob(one_hot), model.prior().log_prob(one_hot))


@pytest.mark.parametrize("temperature", [0.4, 2.0])
def test_the_gradient_of_a_view_reaches_the_encoder_through_draw_and_divergence(temperature: float) -> None:
    model, x = small_model(), all_pictures()
    parameters = list(model.parameters())
    views = ((model.relaxed, relaxed_categorical), (model.straight_through, straight_through_categorical))
    for view, made in views:
        torch.manual_seed(3)
        gradients = torch.autograd.grad(elbo(view(temperature), x).value.sum(), parameters)
        torch.manual_seed(3)
        q = made(model.logits(x), temperature)
        z = q.rsample()
        by_hand = model.likelihood(z).log_prob(x) - kl_divergence(one_hot_categorical(model.logits(x)), model.prior())
        for gradient, expected in zip(gradients, torch.autograd.grad(by_hand.sum(), parameters), strict=True):
            assert (gradient != 0).any()
            torch.testing.assert_close(gradient, expected)


@torch.no_grad()
def test_another_prior_changes_the_prior_alone() -> None:
    model, x, logits = small_model(), all_pictures(), draw(3, 3)
    view = WithPrior(model.straight_through(1.0), one_hot_categorical(logits))
    z = one_hot_categorical(model.logits(x)).sample((4,))
    torch.testing.assert_close(view.prior().log_prob(z), one_hot_categorical(logits).log_prob(z))
    torch.testing.assert_close(view.posterior(x).log_prob(z), model.posterior(x).log_prob(z))
    torch.testing.assert_close(view.likelihood(z).log_prob(x), model.likelihood(z).log_prob(x))
    torch.testing.assert_close(elbo(view, x).kl, kl_divergence(model.posterior(x), one_hot_categorical(logits)))
    split = split_evidence_by_enumeration(view, x)
    assert float(split.log_evidence.exp().sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(split.elbo + split.kl, split.log_evidence, atol=1e-12, rtol=0)
    assert len(list(view.parameters())) == len(list(model.parameters()))


@torch.no_grad()
def test_the_aggregate_posterior_is_the_prior_with_the_highest_mean_bound() -> None:
    """The bound with prior p is one with the mean of q(z|x) less KL(mean q || p)."""
    model, x = small_model(1, 4), all_pictures()
    mean = model.posterior(x).mean.mean(0)  # [1, 4]
    best = split_evidence_by_enumeration(WithPrior(model, one_hot_categorical(mean.log())), x).elbo.mean()
    uniform = split_evidence_by_enumeration(model, x).elbo.mean()
    torch.testing.assert_close(best - uniform, kl_divergence(one_hot_categorical(mean.log()), model.prior()))


@torch.no_grad()
def test_the_views_take_models_with_normal_latents_too() -> None:
    data = linear_gaussian(6, 4, 2, torch.Generator().manual_seed(1))
    model = LinearGaussian(data.weight, data.bias, data.std)
    same = WithPosterior(WithPrior(model, model.prior()), model.posterior)
    torch.testing.assert_close(log_weights(same, data.x, 5), model.log_evidence(data.x).expand(5, -1))
    moved = WithPrior(model, diagonal_normal(torch.ones(2).double(), 2.0))
    q = model.posterior(data.x)
    torch.testing.assert_close(elbo(moved, data.x).kl, kl_divergence(q, diagonal_normal(torch.ones(2).double(), 2.0)))


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_the_networks_have_a_number_for_every_category(hidden: tuple[int, ...]) -> None:
    model = mlp_discrete_vae((1, 3, 2), hidden, 4, 3)
    sizes = [6, *hidden, 12]
    expected = sum((a + 1) * b for a, b in pairwise(sizes))
    assert sum(p.numel() for p in model.encoder.parameters()) == expected
    assert model.logits(torch.ones(5, 1, 3, 2)).shape == (5, 4, 3)
    assert model.likelihood(torch.ones(2, 5, 4, 3)).event_shape == (1, 3, 2)
    assert model.state_dict()["zero"].shape == (4, 3)
