"""Mixtures against Bayes' rule by hand, integrals on a grid, and scikit-learn."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log, nan, pi, sqrt
from warnings import catch_warnings, simplefilter

import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_course.exact.enumeration import log_joint_by_enumeration
from vae_course.exact.grids import latent_grid
from vae_course.exact.mixture import BayesianMixture, NormalMixture
from vae_course.inference.expectation_maximization import expectation_maximization
from vae_course.models.views import WithPosterior


def spd(components: int, observed: int) -> Tensor:
    """Random covariances: [components, observed, observed]."""
    root = torch.randn(components, observed, observed).double()
    return 0.3 * torch.eye(observed).double() + 0.3 * root @ root.mT


def a_mixture(components: int = 3, observed: int = 2) -> NormalMixture:
    """A mixture whose components differ in everything and overlap."""
    weights = torch.linspace(1, 2, components).double()
    means = 1.5 * torch.randn(components, observed).double()
    return NormalMixture(weights / weights.sum(), means, spd(components, observed))


def draws(model: NormalMixture, n: int) -> Tensor:
    return model.likelihood(model.prior().sample((n,))).sample()


def density(x: list[float], mean: list[float], covariance: list[list[float]]) -> float:
    """N(x; mean, covariance) in the plane, written out."""
    (a, b), (_, d) = covariance
    determinant = a * d - b * b
    u, v = x[0] - mean[0], x[1] - mean[1]
    squares = (d * u * u - 2 * b * u * v + a * v * v) / determinant
    return exp(-squares / 2) / (2 * pi * sqrt(determinant))


def test_responsibilities_are_bayes_rule_by_hand() -> None:
    model = a_mixture()
    x = draws(model, 20)
    probs, log_p = model.posterior(x).probs, model.log_evidence(x)
    assert probs.shape == (20, 3)
    for i, point in enumerate(x.tolist()):
        joint = [
            float(model.weights[k]) * density(point, model.means[k].tolist(), model.covariances[k].tolist())
            for k in range(3)
        ]
        assert float(log_p[i]) == pytest.approx(log(sum(joint)), abs=1e-10)
        assert probs[i].tolist() == pytest.approx([one / sum(joint) for one in joint], abs=1e-10)


def test_the_density_of_a_mixture_adds_up_to_one_over_the_plane() -> None:
    model, grid = a_mixture(), latent_grid(2, limit=15.0)
    total = model.log_evidence(grid.points).logsumexp(0) + grid.log_cell
    assert float(total) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("components", "observed"), [(3, 2), (1, 2), (4, 1), (2, 5)])
def test_the_sum_over_all_values_of_the_latent_is_the_evidence_and_its_softmax_the_posterior(
    components: int, observed: int
) -> None:
    model = a_mixture(components, observed)
    x = draws(model, 7)
    joint = log_joint_by_enumeration(model, x)
    assert joint.shape == (7, components)
    torch.testing.assert_close(joint.logsumexp(1), model.log_evidence(x), atol=1e-10, rtol=0)
    torch.testing.assert_close(joint.softmax(1), model.posterior(x).probs, atol=1e-10, rtol=0)


def test_the_enumeration_asks_for_no_posterior() -> None:
    model = a_mixture()
    x = draws(model, 4)
    blind = WithPosterior(model, lambda x: pytest.fail("the posterior was asked for"))
    torch.testing.assert_close(log_joint_by_enumeration(blind, x), log_joint_by_enumeration(model, x))


def test_a_point_far_from_every_component_has_a_finite_density() -> None:
    model, far = a_mixture(), torch.tensor([[1e4, -1e4]]).double()
    assert model.log_evidence(far).isfinite().all()
    assert float(model.posterior(far).probs.sum()) == pytest.approx(1)


def climbs(climb: list[float]) -> bool:
    """Whether no value is below its predecessor, up to rounding."""
    return all(after >= before - 1e-10 * max(1, abs(before)) for before, after in pairwise(climb))


@pytest.mark.parametrize("seed", range(8))
def test_log_p_x_never_falls_under_em(seed: int) -> None:
    x = draws(a_mixture(), 120)
    torch.manual_seed(seed)
    start = a_mixture(components=2 + seed % 3)
    assert climbs(expectation_maximization(start, x, steps=60).log_evidence)


@pytest.mark.parametrize(
    ("offset", "spread", "first"),
    [(4.0, 1.0, 0.5), (0.0, 100.0, 0.5), (0.0, 0.05, 0.5), (0.0, 1.0, 1e-12), (5.0, 30.0, 1 - 1e-9)],
)
def test_log_p_x_never_falls_from_an_awkward_start(offset: float, spread: float, first: float) -> None:
    x = draws(a_mixture(), 120)
    means = offset + torch.tensor([[0.0, 0.0], [0.5, 0.0]]).double()
    covariances = spread**2 * torch.eye(2).double().expand(2, 2, 2)
    start = NormalMixture(torch.tensor([first, 1 - first]).double(), means, covariances)
    assert climbs(expectation_maximization(start, x, steps=30).log_evidence)


def test_a_step_of_em_is_the_weighted_moments_by_loops() -> None:
    model = a_mixture()
    x = draws(model, 25)
    after, r = model.em_step(x), model.posterior(x).probs
    for k in range(3):
        count = sum(float(r[i, k]) for i in range(25))
        mean, covariance = torch.zeros(2).double(), torch.zeros(2, 2).double()
        for i in range(25):
            mean += r[i, k] * x[i] / count
        for i in range(25):
            covariance += r[i, k] * torch.outer(x[i] - mean, x[i] - mean) / count
        assert float(after.weights[k]) == pytest.approx(count / 25)
        torch.testing.assert_close(after.means[k], mean)
        torch.testing.assert_close(after.covariances[k], covariance)


def test_one_component_is_the_normal_of_the_data_after_a_step() -> None:
    x = torch.randn(30, 3).double() @ torch.randn(3, 3).double() + 4
    fitted = a_mixture(1, 3).em_step(x)
    torch.testing.assert_close(fitted.means[0], x.mean(0))
    torch.testing.assert_close(fitted.covariances[0], x.T.cov(correction=0))
    torch.testing.assert_close(fitted.em_step(x).covariances, fitted.covariances)


@pytest.mark.parametrize(("components", "observed", "steps"), [(3, 2, 1), (3, 2, 40), (2, 4, 15)])
def test_em_is_that_of_scikit_learn(components: int, observed: int, steps: int) -> None:
    x, start = draws(a_mixture(components, observed), 200), a_mixture(components, observed)
    ours = expectation_maximization(start, x, steps)
    theirs = GaussianMixture(
        components,
        tol=0,
        reg_covar=0,
        max_iter=steps,
        weights_init=start.weights.numpy(),
        means_init=start.means.numpy(),
        precisions_init=start.covariances.inverse().numpy(),
        random_state=0,
    )
    with catch_warnings():
        simplefilter("ignore")  # it did not converge: it was stopped
        theirs.fit(x.numpy())
    assert theirs.n_iter_ == steps
    for name, tensor in (("weights_", "weights"), ("means_", "means"), ("covariances_", "covariances")):
        torch.testing.assert_close(
            ours.model.get_buffer(tensor), torch.from_numpy(getattr(theirs, name)), atol=1e-8, rtol=1e-8
        )
    assert ours.log_evidence[-1] == pytest.approx(theirs.score(x.numpy()), abs=1e-9)


def test_the_weights_can_be_differentiated_by_without_a_warning() -> None:
    weights = torch.tensor([0.3, 0.7]).double().requires_grad_()
    with catch_warnings():
        simplefilter("error")
        model = NormalMixture(weights, torch.tensor([[0.0], [1.0]]).double(), torch.ones(2, 1, 1).double())
    (gradient,) = torch.autograd.grad(model.log_evidence(torch.zeros(1, 1).double()).sum(), weights)
    assert gradient.isfinite().all()


def test_em_does_not_change_the_model_it_starts_from() -> None:
    model = a_mixture()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.em_step(draws(model, 50))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_component_on_one_point_has_collapsed() -> None:
    x = torch.cat([torch.randn(20, 2), torch.tensor([[50.0, 50.0]])]).double()
    covariances = torch.eye(2).double().expand(2, 2, 2)
    start = NormalMixture(torch.tensor([0.5, 0.5]).double(), torch.tensor([[0.0, 0.0], [50.0, 50.0]]), covariances)
    with pytest.raises(FloatingPointError, match=r"^A component of the mixture collapsed .*start from other means"):
        start.double().em_step(x)


def test_a_component_without_any_point_has_collapsed() -> None:
    means = torch.tensor([[0.0, 0.0], [1e4, 1e4]]).double()
    start = NormalMixture(torch.tensor([0.5, 0.5]).double(), means, torch.eye(2).double().expand(2, 2, 2))
    with pytest.raises(FloatingPointError, match="collapsed"):
        start.em_step(torch.randn(20, 2).double())


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0, 0.0], [nan, 1.0]])
def test_weights_that_are_no_probabilities_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^NormalMixture was given weights \[.*must be positive and add up to 1\.$"):
        NormalMixture(torch.tensor(weights).double(), torch.zeros(2, 2).double(), torch.eye(2).double().expand(2, 2, 2))


@pytest.mark.parametrize(
    ("weights", "covariances"), [((3,), (2, 4, 4)), ((2,), (4, 4)), ((2,), (2, 4)), ((), (2, 4, 4))]
)
def test_other_shapes_are_refused_with_those_expected(weights: tuple[int, ...], covariances: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"means \[2, 4\].*it needs means \[components, observed\], weights \["):
        NormalMixture(torch.ones(weights), torch.zeros(2, 4), torch.ones(covariances))


def test_means_without_an_axis_for_the_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^NormalMixture was given means \[2\]"):
        NormalMixture(torch.ones(2) / 2, torch.zeros(2), torch.ones(2, 1, 1))


def test_axes_of_very_different_scales_are_no_collapse() -> None:
    x = torch.randn(200, 2).double() * torch.tensor([1.0, 1e-5]).double()
    one = NormalMixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    torch.testing.assert_close(one.em_step(x).covariances[0], torch.cov(x.T, correction=0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_the_evidence_of_two_components_is_the_integral_over_their_means(n: int) -> None:
    prior_std, std, x = 1.5, 0.6, 2 * torch.randn(n).double()
    grid = latent_grid(2, limit=12.0, steps=601)
    log_prior = -0.5 * (grid.points / prior_std).square().sum(1) - log(2 * pi * prior_std**2)
    each = -0.5 * ((x[:, None, None] - grid.points) / std) ** 2 - 0.5 * log(2 * pi * std**2)  # [n, points, 2]
    joint = log_prior + (each.logsumexp(2) - log(2)).sum(0)
    integral = joint.logsumexp(0) + grid.log_cell
    exact = BayesianMixture(2, prior_std, std).log_evidence(x)
    torch.testing.assert_close(exact, integral, atol=1e-7, rtol=0)


@pytest.mark.parametrize("components", [2, 3, 7])
def test_the_evidence_has_the_precision_of_its_data(components: int) -> None:
    x = torch.tensor([0.7], dtype=torch.float64)
    exact = -0.5 * log(2 * pi * 4.25) - 0.5 * 0.49 / 4.25
    assert float(BayesianMixture(components, 2.0, 0.5).log_evidence(x)) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("n", [1, 4, 30])
def test_the_evidence_of_one_component_is_a_normal_with_equal_covariances(n: int) -> None:
    prior_std, std, x = 3.0, 0.5, 2 + torch.randn(n).double()
    covariance = std**2 * torch.eye(n).double() + prior_std**2 * torch.ones(n, n).double()
    exact = MultivariateNormal(torch.zeros(n).double(), covariance).log_prob(x)
    torch.testing.assert_close(BayesianMixture(1, prior_std, std).log_evidence(x), exact, atol=1e-9, rtol=1e-12)


def test_one_point_has_the_same_evidence_under_any_number_of_components() -> None:
    x = torch.tensor([0.7]).double()
    for components in (1, 2, 7):
        value = float(BayesianMixture(components, 2.0, 0.5).log_evidence(x))
        assert value == pytest.approx(-0.5 * log(2 * pi * 4.25) - 0.5 * 0.49 / 4.25)


def test_the_evidence_does_not_depend_on_the_order_of_the_points() -> None:
    x, model = torch.randn(8).double(), BayesianMixture(3, 2.0, 0.5)
    torch.testing.assert_close(model.log_evidence(x.flip(0)), model.log_evidence(x))


@pytest.mark.parametrize(("components", "n", "count"), [(2, 21, "2,097,152"), (3, 13, "1,594,323")])
def test_too_many_assignments_are_refused_with_their_number(components: int, n: int, count: str) -> None:
    with pytest.raises(ValueError, match=rf"{components} components and {n} points have {count}.*at most 1,048,576"):
        BayesianMixture(components, 1.0, 1.0).log_evidence(torch.zeros(n).double())


@pytest.mark.parametrize(
    ("components", "prior_std", "std"), [(0, 1.0, 1.0), (2, 0.0, 1.0), (2, 1.0, -1.0), (2, nan, 1.0)]
)
def test_a_mixture_with_latent_means_needs_components_and_spreads(
    components: int, prior_std: float, std: float
) -> None:
    with pytest.raises(ValueError, match=rf"given {components} components.*at least 1 component and positive"):
        BayesianMixture(components, prior_std, std)
