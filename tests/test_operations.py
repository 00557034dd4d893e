"""Draws that lose no gradient, divergences with the right mean, chains, and the tensors inside distributions."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    kl_divergence,
)
from torch.distributions.transforms import AffineTransform, ExpTransform

from tests.test_contract import Coupling
from vae_course.distributions.chain import Chain
from vae_course.distributions.discrete import one_hot_categorical, relaxed_categorical, straight_through_categorical
from vae_course.distributions.draws import draw, name_of, sample_with_log_prob
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.model import part
from vae_course.distributions.operations import divergence, log_prob_each, log_prob_of_factors
from vae_course.distributions.tensors import mapped, modules_in, rows_of
from vae_course.distributions.validation import validation
from vae_course.models.conditional import Classes, mlp_conditional_vae
from vae_course.models.discrete import mlp_discrete_vae
from vae_course.models.vae import mlp_vae
from vae_course.models.views import WithPosterior, WithPrior
from vae_course.objectives.bounds import elbo


def mixture(requires_grad: bool = False) -> MixtureSameFamily:
    means = torch.randn(4, 3, 2).double().requires_grad_(requires_grad)
    return MixtureSameFamily(Categorical(torch.ones(4, 3).double()), diagonal_normal(means, 0.5))


def test_a_draw_is_reparameterized_where_q_can_be() -> None:
    mean = torch.zeros(3, 2, requires_grad=True)
    draw(diagonal_normal(mean, 1.0), (5,)).sum().backward()
    assert mean.grad is not None
    assert mean.grad.tolist() == [[5, 5]] * 3


@pytest.mark.parametrize("make", [mixture, lambda grad: one_hot_categorical(torch.randn(4, 2, 3).requires_grad_(grad))])
def test_a_draw_without_a_gradient_is_refused_only_where_one_gets_lost(make: type) -> None:
    assert draw(make(False), (5,)).shape[:2] == (5, 4)
    with torch.no_grad():
        assert draw(make(True), (5,)).shape[:2] == (5, 4)
    with pytest.raises(NotImplementedError, match=r"score_function.*relaxation.*no_grad"):
        draw(make(True))


def test_the_family_is_named_without_its_wrapping() -> None:
    assert name_of(one_hot_categorical(torch.zeros(2, 3))) == "OneHotCategorical"
    assert name_of(mixture()) == "MixtureSameFamily"


def test_a_divergence_without_a_closed_form_has_the_right_mean() -> None:
    q, p = diagonal_normal(torch.tensor([0.3, -0.5]).double(), 0.7), diagonal_normal(torch.zeros(2).double(), 1.0)
    as_mixture = MixtureSameFamily(Categorical(torch.ones(1).double()), p.expand((1,)))
    draws = torch.stack([divergence(q, as_mixture, draw(q)) for _ in range(4000)])
    assert draws.std() > 0.1, "this one is an estimate"
    assert abs(float(draws.mean() - kl_divergence(q, p))) < 5 * float(draws.std()) / 4000**0.5
    assert float(divergence(q, p, draw(q))) == float(kl_divergence(q, p))


def a_chain(shift: float = 0.0, swapped: bool = False) -> Chain:
    first = diagonal_normal(torch.tensor([[0.2], [-0.4], [1.0]]).double() + shift, 0.6)
    return Chain(first, lambda a: diagonal_normal(torch.cat([a, 2 * a], -1), 0.8 + shift), event=[2], swapped=swapped)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_chain_is_the_product_of_its_links(swapped: bool) -> None:
    q = a_chain(swapped=swapped)
    z = q.sample((7,))
    assert z.shape == (7, 3, 3)
    a, b = q.split(z)
    assert (a.shape, b.shape) == ((7, 3, 1), (7, 3, 2))
    torch.testing.assert_close(q.join(a, b), z)
    torch.testing.assert_close(z[..., -1:] if swapped else z[..., :1], a)
    torch.testing.assert_close(q.log_prob(z), q.first.log_prob(a) + q.second(a).log_prob(b))


def test_a_chain_of_linear_normals_is_the_joint_normal() -> None:
    q = a_chain()
    matrix = torch.tensor([[1.0, 0, 0], [1, 1, 0], [2, 0, 1]]).double()  # of (a, noise of b)
    spread = torch.diag(torch.tensor([0.36, 0.64, 0.64]).double())
    joint = MultivariateNormal(q.first.mean @ matrix[:, :1].T, matrix @ spread @ matrix.T)
    z = q.sample((50,))
    torch.testing.assert_close(q.log_prob(z), joint.log_prob(z))


def test_the_divergence_of_chains_in_one_order_takes_the_closed_form_of_each_link() -> None:
    q, p = a_chain(), a_chain(0.3)
    z = q.rsample()
    a, _ = q.split(z)
    expected = kl_divergence(q.first, p.first) + kl_divergence(q.second(a), p.second(a))
    torch.testing.assert_close(divergence(q, p, z), expected)
    plain = torch.stack([(lambda z: q.log_prob(z) - p.log_prob(z))(q.sample()) for _ in range(6000)])
    linked = torch.stack([divergence(q, p, q.sample()) for _ in range(6000)])
    assert (linked.std(0) < plain.std(0)).all()
    error = ((plain.var(0) + linked.var(0)) / 6000).sqrt()
    assert ((plain.mean(0) - linked.mean(0)).abs() < 5 * error).all()


def test_a_link_without_a_gradient_is_named() -> None:
    first = diagonal_normal(torch.zeros(3, 1, requires_grad=True), 1.0)
    q = Chain(first, lambda a: one_hot_categorical(a[..., None, :].expand(*a.shape[:-1], 1, 2)), event=[1, 2])
    assert draw(Chain(first, lambda a: diagonal_normal(a, 1.0), event=[1])).requires_grad
    with pytest.raises(NotImplementedError, match="A draw of OneHotCategorical has no pathwise gradient"):
        draw(q)
    with torch.no_grad():
        z, log_q = sample_with_log_prob(q, (4,))
    assert (z.shape, log_q.shape) == ((4, 3, 3), (4, 3))


def test_log_probabilities_of_factors_add_up() -> None:
    normal, choices = diagonal_normal(torch.randn(4, 3), 0.5), one_hot_categorical(torch.randn(4, 2, 5))
    fields = bernoulli(torch.randn(4, 1, 2, 3))
    cases: list[tuple[Distribution, int]] = [(normal, 3), (choices, 2), (fields, 6), (Categorical(torch.ones(4, 3)), 1)]
    for q, factors in cases:
        z = q.sample()
        by_factor = log_prob_of_factors(q, z)
        assert by_factor.shape == (4, factors)
        torch.testing.assert_close(by_factor.sum(-1), q.log_prob(z))
    with pytest.raises(TypeError, match=r"MultivariateNormal does not factorise.*use elbo or log_weights"):
        log_prob_of_factors(MultivariateNormal(torch.zeros(2), torch.eye(2)), torch.zeros(2))


def test_one_example_against_many_latents_is_one_number_each() -> None:
    p = diagonal_normal(torch.randn(5, 3), 1.0)
    assert log_prob_each(p, torch.zeros(3), (5,)).shape == (5,)
    for x in (torch.zeros(1, 3), torch.zeros(5, 1, 3), torch.zeros(4, 3), torch.zeros(()), torch.zeros(5, 4)):
        with pytest.raises(ValueError, match="not one number for each example"):
            log_prob_each(p, x, (5,))


EXAMPLES = [
    diagonal_normal(torch.randn(4, 2), torch.rand(4, 2) + 0.1),
    one_hot_categorical(torch.randn(4, 2, 3)),
    relaxed_categorical(torch.randn(4, 2, 3), 0.5),
    straight_through_categorical(torch.randn(4, 2, 3), 0.5),
    MultivariateNormal(torch.randn(4, 2), torch.eye(2).expand(4, 2, 2)),
    MixtureSameFamily(Categorical(torch.rand(4, 3)), diagonal_normal(torch.randn(4, 3, 2), 0.5)),
    Independent(
        TransformedDistribution(Normal(torch.randn(4, 2), 1.0), [AffineTransform(1.0, 2.0), ExpTransform()]), 1
    ),
]


@pytest.mark.parametrize("p", EXAMPLES, ids=name_of)
def test_some_rows_of_a_distribution_are_those_of_the_whole(p: Distribution) -> None:
    some, z = rows_of(p, slice(1, 3)), p.sample()
    assert (some.batch_shape, some.event_shape) == ((2,), p.event_shape)
    torch.testing.assert_close(some.log_prob(z[1:3]), p.log_prob(z)[1:3])
    assert some.sample((7,)).shape == (7, 2, *p.event_shape)
    assert p.batch_shape == (4,), "the whole is as it was"
    assert rows_of(diagonal_normal(torch.zeros(2), 1.0), slice(1, 3)).batch_shape == ()


@pytest.mark.parametrize("p", EXAMPLES, ids=name_of)
def test_every_tensor_of_a_distribution_is_mapped(p: Distribution) -> None:
    p.log_prob(p.sample())  # transforms keep their inverse
    double = mapped(p, lambda t: t.double() if t.is_floating_point() else t)
    z = double.sample()
    assert z.dtype == torch.float64
    torch.testing.assert_close(double.log_prob(z).float(), p.log_prob(z.float()), atol=1e-4, rtol=1e-4)
    assert p.sample().dtype == torch.float32


def test_a_view_holds_the_parameters_of_all_it_is_made_of() -> None:
    cvae = mlp_conditional_vae((1, 2, 2), (4,), 2, 3, Classes(3))
    given, flow = cvae.given(torch.tensor([0, 1, 2])), Coupling()
    prior = TransformedDistribution(diagonal_normal(torch.zeros(2), 1.0), [flow])
    assert modules_in(prior) == [flow]
    own, of_flow = set(cvae.parameters()), set(flow.parameters())
    assert set(given.parameters()) == own
    assert set(WithPosterior(given, given.posterior).parameters()) == own
    assert set(WithPrior(given, prior).parameters()) == own | of_flow
    assert set(WithPosterior(WithPrior(given, prior), given.posterior).parameters()) == own | of_flow
    other = mlp_vae((1, 2, 2), (4,), 2)
    assert set(WithPosterior(given, other.posterior).parameters()) == own | set(other.parameters())


def test_a_view_moves_with_all_it_is_made_of() -> None:
    cvae = mlp_conditional_vae((1, 2, 2), (4,), 2, 3, Classes(3))
    flow = TransformedDistribution(diagonal_normal(torch.zeros(2), 1.0), [Coupling()])
    given = cvae.given(torch.tensor([0, 1, 2]))
    view = WithPosterior(WithPrior(given, flow), given.posterior)
    x = torch.zeros(3, 1, 2, 2).double()
    assert elbo(view.double(), x).value.dtype == torch.float64
    meta = view.to("meta")
    assert {p.device.type for p in meta.parameters()} == {"meta"}
    with validation(False):  # no value of a tensor on this device can be looked at
        assert meta.prior().sample().device.type == "meta"
        assert meta.likelihood(torch.zeros(3, 2, device="meta").double()).mean.device.type == "meta"


def test_a_prior_with_a_row_for_each_example_is_taken_in_parts() -> None:
    model = mlp_vae((1, 2, 2), (4,), 2)
    prior = diagonal_normal(torch.randn(6, 2), 1.0)
    some = part(WithPrior(model, prior), slice(2, 5))
    torch.testing.assert_close(some.prior().mean, prior.mean[2:5])
    assert elbo(some, torch.zeros(3, 1, 2, 2)).value.shape == (3,)


def test_a_method_of_a_model_is_taken_in_parts_and_a_function_is_left_whole() -> None:
    given = mlp_conditional_vae((1, 2, 2), (4,), 2, 3, Classes(3)).given(torch.tensor([0, 1, 2, 0]))
    x = torch.zeros(4, 1, 2, 2)
    torch.testing.assert_close(part(given.posterior, slice(1, 3))(x[1:3]).mean, given.posterior(x).mean[1:3])
    same = lambda x: x  # noqa: E731
    assert part(same, slice(1, 3)) is same


def test_a_copy_of_a_relaxed_model_has_weights_of_its_own() -> None:
    model = mlp_discrete_vae((1, 2, 2), (4,), 2, 3)
    view = model.relaxed(0.5)
    other = deepcopy(view).double()
    q = other.posterior(torch.zeros(1, 1, 2, 2).double())
    assert isinstance(q, Independent)
    assert q.base_dist.logits.dtype == torch.float64
