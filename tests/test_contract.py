"""The contract: every bound and estimator takes every model, with every prior it can have, through every view.

The exact log p(x) is a sum over all latents or an integral on a grid; every cell of the table is held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    Transform,
    TransformedDistribution,
    constraints,
)

from vae_course.distributions.discrete import one_hot_categorical, relaxed_categorical
from vae_course.distributions.families import bernoulli, diagonal_normal
from vae_course.distributions.model import LatentVariableModel, part
from vae_course.distributions.quantised import AutoregressiveCodes, IndependentCodes
from vae_course.evaluation.bounds import mean_elbo, rate_distortion
from vae_course.evaluation.evidence import log_evidence
from vae_course.evaluation.latents import active_units, kl_per_latent, posterior_means
from vae_course.exact.enumeration import log_joint_by_enumeration
from vae_course.exact.grids import latent_grid, log_evidence_on_grid
from vae_course.models.conditional import Classes, mlp_conditional_vae
from vae_course.models.discrete import mlp_discrete_vae
from vae_course.models.hierarchical import mlp_hierarchical_vae
from vae_course.models.vae import convolutional_vae, mlp_vae
from vae_course.models.views import WithPosterior, WithPrior
from vae_course.models.vq_vae import VQVAE
from vae_course.networks.codebook import Codebook
from vae_course.objectives.bounds import elbo, iwae, log_weights
from vae_course.objectives.decomposition import decomposed_elbo
from vae_course.randomness import seeded
from vae_course.training.store import load, save

REAL = torch.float64  # the pretended device of tests/devices changes it
N = 16  # examples: all binary pictures of 2 × 2 pixels


class Coupling(Transform, nn.Module):
    """z₂ ← z₂ exp(s(z₁)) + t(z₁): an affine coupling of two latents. Dinh et al., arXiv:1605.08803, eq. 7."""

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self) -> None:
        nn.Module.__init__(self)
        Transform.__init__(self)
        self.network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 2))

    __hash__ = nn.Module.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def _call(self, x: Tensor) -> Tensor:
        scale, shift = self.network(x[..., :1]).chunk(2, -1)
        return torch.cat([x[..., :1], x[..., 1:] * scale.exp() + shift], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        scale, shift = self.network(y[..., :1]).chunk(2, -1)
        return torch.cat([y[..., :1], (y[..., 1:] - shift) * (-scale).exp()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        scale: Tensor = self.network(x[..., :1]).chunk(2, -1)[0]
        return scale[..., 0]


class MixturePrior(nn.Module):
    """A mixture whose parameters are trained: made anew at each call. means: [components, *event]."""

    def __init__(self, components: Callable[[Tensor], Distribution], means: Tensor) -> None:
        super().__init__()
        self.components = components
        self.means, self.logits = nn.Parameter(means), nn.Parameter(torch.tensor([0.3, -0.3]).to(REAL))

    def forward(self) -> Distribution:
        return MixtureSameFamily(Categorical(logits=self.logits), self.components(self.means))


def pictures() -> Tensor:
    return torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=REAL).reshape(N, 1, 2, 2)


def lively(model: Any) -> Any:
    """In float64, the decoder's weights larger than at the start, so that z matters; q(z|x) stays about as wide as p(z)."""
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.0)
    return model.to(REAL)


def vq_model() -> VQVAE:
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh())
    decoder = nn.Sequential(nn.Conv2d(2, 1, 3, padding=1))

    class Pictures(nn.Module):  # any number of axes before an example
        def __init__(self) -> None:
            super().__init__()
            self.network = decoder

        def forward(self, z: Tensor) -> Tensor:
            made: Tensor = self.network(z.reshape(-1, *z.shape[-3:]))
            return made.reshape(*z.shape[:-3], *made.shape[1:])

    return VQVAE(encoder, Codebook(3, 2, std=0.7), Pictures(), bernoulli, grid=(2, 2))


CLASSES = torch.arange(N) % 3


def plain() -> Any:
    return lively(mlp_vae((1, 2, 2), (6,), 2))


def convolutional() -> Any:
    return lively(convolutional_vae((1, 2, 2), (3,), (), 2))


def conditional() -> Any:
    model = lively(mlp_conditional_vae((1, 2, 2), (6,), 2, 3, Classes(3)))
    return model.given(CLASSES.to(torch.get_default_device())).to(REAL)


def discrete() -> Any:
    return lively(mlp_discrete_vae((1, 2, 2), (6,), 2, 3))


def hierarchical() -> Any:
    return lively(mlp_hierarchical_vae((1, 2, 2), (6,), (1, 1)))


MODELS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "convolutional": convolutional,
    "conditional": conditional,
    "chain": hierarchical,
    "discrete": discrete,
    "relaxed": lambda: discrete().relaxed(0.7),
    "straight-through": lambda: discrete().straight_through(0.7),
    "vq": lambda: lively(vq_model()),
}
CONTINUOUS = ("plain", "convolutional", "conditional", "chain")


def mixture_for(kind: str) -> Any:
    if kind in CONTINUOUS:
        return MixturePrior(lambda means: diagonal_normal(means, 0.8), torch.randn(2, 2).to(REAL))
    return MixturePrior(one_hot_categorical, torch.randn(2, 2, 3).to(REAL))


def with_prior(kind: str, prior: str, model: Any) -> Any:
    """The model with another prior of the same latents."""
    if prior == "standard":
        return model
    if prior == "mixture":
        return WithPrior(model, mixture_for(kind))
    if prior == "flow":
        base = diagonal_normal(torch.zeros(2).to(REAL), 1.0)
        return WithPrior(model, TransformedDistribution(base, [Coupling().to(REAL)]))
    if prior == "relaxed":
        return WithPrior(model, relaxed_categorical(torch.zeros(2, 3).to(REAL), 0.7))
    vectors, network = model.codebook.vectors, nn.Linear(4, 12).to(REAL)
    if prior == "table":
        return WithPrior(model, IndependentCodes(vectors, torch.randn(2, 2, 3).to(REAL)))
    causal = torch.ones(4, 4).tril(-1).to(REAL)

    def logits_of(codes: Tensor) -> Tensor:
        before = codes.flatten(1).to(REAL)[:, None] * causal  # [n, position, what stands before it]
        rows: Tensor = torch.stack([network(before[:, i])[:, 3 * i : 3 * i + 3] for i in range(4)], -1)
        fields: Tensor = rows.unflatten(-1, (2, 2))
        return fields

    return WithPrior(model, AutoregressiveCodes(vectors, (2, 2), logits_of))


PRIORS = dict.fromkeys(CONTINUOUS, ("standard", "mixture", "flow")) | {
    "discrete": ("standard", "mixture"),
    "straight-through": ("standard", "mixture"),
    "relaxed": ("standard", "mixture", "relaxed"),
    "vq": ("standard", "table", "autoregressive"),
}


class Same(nn.Module):
    """q(z|x) of a model, under another name."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Distribution:
        q: Distribution = self.model.posterior(x)
        return q

    def part(self, rows: slice) -> Same:
        return Same(part(self.model, rows))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda model: model,
    "a posterior's view": lambda model: WithPosterior(model, model.posterior),
    "a view of views": lambda model: WithPosterior(
        WithPrior(WithPosterior(model, Same(model)), model.prior), model.posterior
    ),
}

CELLS = [(kind, prior, view) for kind in MODELS for prior in PRIORS[kind] for view in VIEWS]


@lru_cache(maxsize=2)  # the tests of a cell stand together
def cell(kind: str, prior: str, view: str) -> Any:
    with seeded(5):
        return VIEWS[view](with_prior(kind, prior, MODELS[kind]()))


def has_densities(kind: str, prior: str) -> bool:
    """Whether q(z|x) and p(z) are densities over the same space: a relaxed draw has no probability under a categorical."""
    return kind != "relaxed" or prior == "relaxed"


def differentiable(kind: str) -> bool:
    return kind != "discrete"


@torch.no_grad()
def exact_log_evidence(model: Any, kind: str, prior: str) -> Tensor | None:
    """log p(x) of every picture, or None where it is not known."""
    x = pictures()
    if kind == "relaxed":
        return None
    if kind == "conditional":
        grid = latent_grid(2, limit=7.0, steps=121)
        per_class = [log_evidence_on_grid(conditional_on(model, c), x[c == CLASSES], grid) for c in range(3)]
        found = torch.empty(N).double()
        for c, values in enumerate(per_class):
            found[c == CLASSES] = values
        return found
    if kind in CONTINUOUS:
        return log_evidence_on_grid(model, x, latent_grid(2, limit=9.0, steps=201))
    return log_joint_by_enumeration(model, x).logsumexp(1)


class conditional_on:
    """A model given as many equal conditions as there are latents asked about."""

    def __init__(self, model: Any, condition: int) -> None:
        self.model, self.which = model, CLASSES.tolist().index(condition)

    def prior(self) -> Distribution:
        p: Distribution = self.model.prior()
        return p

    def likelihood(self, z: Tensor) -> Distribution:
        one = part(self.model, slice(self.which, self.which + 1))
        p: Distribution = one.likelihood(z[:, None])  # [points, 1]
        assert isinstance(p, Independent)
        return bernoulli(p.base_dist.logits[:, 0])


def calls() -> Iterator[tuple[str, Callable[[LatentVariableModel, Tensor], Any]]]:
    yield "elbo", lambda model, x: elbo(model, x).value
    yield "log_weights", lambda model, x: log_weights(model, x, 3)
    yield "iwae", lambda model, x: iwae(model, x, 3)
    yield "log_evidence", lambda model, x: log_evidence(model, x, 5).value
    yield "rate_distortion", lambda model, x: torch.stack(list(rate_distortion(model, x, 2)))
    yield "mean_elbo", lambda model, x: torch.tensor(mean_elbo(model, x)["elbo"]).expand(len(x))
    yield "decomposed_elbo", lambda model, x: torch.stack(list(decomposed_elbo(model, x, len(x))))
    yield "kl_per_latent", kl_per_latent
    yield "active_units", active_units
    yield "posterior_means", posterior_means


BOUNDS = ("elbo", "log_weights", "iwae", "log_evidence", "rate_distortion", "mean_elbo")
CALLS = dict(calls())


def must_work(name: str, kind: str, prior: str) -> bool:
    """Every bound wherever there are densities; the rest wherever q factorises and has a mean."""
    if name in ("elbo", "rate_distortion", "mean_elbo") and (kind, prior) == ("relaxed", "standard"):
        return True  # its KL is that of the categoricals, by registration
    if name in BOUNDS:
        return has_densities(kind, prior)
    factorises, has_mean = kind != "chain", kind not in ("chain", "relaxed")
    return {
        "decomposed_elbo": factorises and has_densities(kind, prior),
        "kl_per_latent": factorises and (has_densities(kind, prior) or prior == "standard"),
        "active_units": has_mean,
        "posterior_means": has_mean,
    }[name]


@pytest.mark.parametrize(("kind", "prior", "view"), CELLS)
def test_every_call_gives_one_number_an_example_or_refuses_in_a_sentence(kind: str, prior: str, view: str) -> None:
    model, x = cell(kind, prior, view), pictures()
    for name, call in CALLS.items():
        with torch.no_grad():
            if not must_work(name, kind, prior):
                with pytest.raises((NotImplementedError, TypeError, ValueError)) as refused:
                    call(model, x)
                assert any(word in str(refused.value) for word in ("use ", "Take ", "average ")), (name, refused.value)
                continue
            found = call(model, x)
        assert torch.as_tensor(found).isfinite().all(), name
        if name in BOUNDS:
            assert found.shape[-1] == N, name


@pytest.mark.parametrize(("kind", "prior"), [c[:2] for c in CELLS if has_densities(*c[:2]) and c[2] == "itself"])
@torch.no_grad()
def test_the_bounds_lie_below_log_p_x_and_the_mean_log_weight_is_the_elbo(kind: str, prior: str) -> None:
    model, x = cell(kind, prior, "itself"), pictures()
    terms = [elbo(model, x) for _ in range(600)]
    bound = torch.stack([term.value for term in terms])  # [1500, N]
    weights = log_weights(model, x, 6000)
    error = (bound.var(0) / len(bound) + weights.var(0) / len(weights)).sqrt()
    assert ((bound.mean(0) - weights.mean(0)).abs() <= 5 * error + 1e-9).all()
    exact = exact_log_evidence(model, kind, prior)
    if exact is None:
        return
    assert (bound.mean(0) <= exact + 5 * error).all()
    tight = torch.stack([iwae(model, x, 5) for _ in range(100)])
    assert (tight.mean(0) <= exact + 5 * tight.std(0) / 10 + 1e-9).all()
    assert (tight.mean(0) >= bound.mean(0) - 5 * (error + tight.std(0) / 10) - 1e-9).all()
    found = log_evidence(model, x, 4000)
    if kind == "vq":  # q is certain of one z, so the weights see no other
        torch.testing.assert_close(found.value, bound[0])
        assert (found.value < exact).all()
    else:
        assert ((found.value - exact).abs() < 5 * found.standard_error + 0.01).all()


@pytest.mark.parametrize(("kind", "prior", "view"), [c for c in CELLS if c[2] != "itself"])
@torch.no_grad()
def test_a_view_says_what_the_model_says(kind: str, prior: str, view: str) -> None:
    model, x = cell(kind, prior, "itself"), pictures()
    for name, call in CALLS.items():
        if must_work(name, kind, prior):
            with seeded(2):
                expected = call(model, x)
            with seeded(2):
                torch.testing.assert_close(call(cell(kind, prior, view), x), expected)


@pytest.mark.parametrize(
    ("kind", "prior", "view"), [c for c in CELLS if differentiable(c[0]) and has_densities(*c[:2])]
)
def test_gradients_reach_encoder_decoder_and_prior(kind: str, prior: str, view: str) -> None:
    model, x = cell(kind, prior, view), pictures()
    for loss in (-elbo(model, x).value, -iwae(model, x, 3)):
        model.zero_grad()
        loss.mean().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
        apart = "codebook" if kind == "vq" else "downwards" if prior != "standard" else "-"
        still = [
            name for name in still if apart not in name
        ]  # codes have their own term; another prior has no `downwards`
        assert not still


@pytest.mark.parametrize("prior", PRIORS["discrete"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_choice_refuses_to_lose_its_gradient_in_silence(prior: str, view: str) -> None:
    model, x = cell("discrete", prior, view), pictures()
    for call in (elbo, lambda m, x: log_weights(m, x, 3), lambda m, x: decomposed_elbo(m, x, N)):
        with pytest.raises(NotImplementedError, match=r"score_function.*relaxation.*no_grad"):
            call(model, x)


@pytest.mark.parametrize(("kind", "prior", "view"), CELLS)
@torch.no_grad()
def test_in_parts_it_is_what_it_is_as_a_whole(kind: str, prior: str, view: str) -> None:
    model, x = cell(kind, prior, view), pictures()
    whole, rows = model.posterior(x), slice(5, 11)
    some = part(model, rows)
    q = some.posterior(x[rows])
    assert tuple(q.batch_shape) == (6,)
    with seeded(3):
        z = whole.sample()
    expected, found = model.likelihood(z), some.likelihood(z[rows])
    torch.testing.assert_close(found.log_prob(x[rows]), expected.log_prob(x)[rows])
    torch.testing.assert_close(q.log_prob(z[rows]), whole.log_prob(z)[rows])
    if must_work("posterior_means", kind, prior):
        torch.testing.assert_close(posterior_means(model, x, chunk=5), posterior_means(model, x))
    if must_work("kl_per_latent", kind, prior) and prior == "standard":
        torch.testing.assert_close(kl_per_latent(model, x, chunk=5), kl_per_latent(model, x))
    if has_densities(kind, prior):
        draws = [torch.stack([rate_distortion(model, x, chunk=c).distortion.mean() for _ in range(25)]) for c in (5, N)]
        error = (draws[0].var() / 25 + draws[1].var() / 25).sqrt()
        assert (draws[0].mean() - draws[1].mean()).abs() <= 5 * error + 1e-9
        assert log_evidence(model, x, 7, memory=40).value.shape == (N,)


@pytest.mark.parametrize(("kind", "prior", "view"), CELLS)
def test_a_saved_and_loaded_model_is_the_same(kind: str, prior: str, view: str, tmp_path: Path) -> None:
    model, x = cell(kind, prior, view), pictures()
    with seeded(6):
        other = VIEWS[view](with_prior(kind, prior, MODELS[kind]()))
    if prior in ("table", "autoregressive"):
        pytest.skip("this prior is a distribution fitted afterwards, which the test draws anew")
    save(model, tmp_path / "weights")
    load(other, tmp_path / "weights")
    with torch.no_grad():
        with seeded(1):
            expected = elbo(model, x) if must_work("elbo", kind, prior) else None
        with seeded(1):
            found = elbo(other, x) if must_work("elbo", kind, prior) else None
    if expected is not None and found is not None:
        torch.testing.assert_close(found.value, expected.value)
    assert len(list(model.parameters())) == len(list(other.parameters())) > 0


def wrong(model: Any, x: Tensor) -> list[str]:
    """What every bound says of an x that does not fit."""
    said = []
    for call in (elbo, lambda m, x: iwae(m, x, 3), lambda m, x: log_evidence(m, x, 3), mean_elbo, rate_distortion):
        with torch.no_grad(), pytest.raises(ValueError, match=r"\[") as refused:
            call(model, x)
        said.append(str(refused.value))
    return said


@pytest.mark.parametrize("shape", [(4, 4), (4,)])
def test_pictures_without_a_channel_axis_are_refused(shape: tuple[int, ...]) -> None:
    """The Bernoulli's event has three axes: the batch would become one of them, and every number be wrong."""
    model = mlp_vae(shape, (8,), 2)
    for sentence in wrong(model, torch.zeros(50, *shape)):
        assert "log p(x|z) is not one number for each example" in sentence or "for events of 3 axes" in sentence
        assert "channel" in sentence


@pytest.mark.parametrize("shape", [(3, 5, 1, 4, 4), (5, 1, 1, 4, 4)])
def test_extra_axes_are_refused(shape: tuple[int, ...]) -> None:
    wrong(mlp_vae((1, 4, 4), (8,), 2), torch.zeros(shape))


@pytest.mark.parametrize(("of_q", "of_x"), [(50, 1), (1, 50), (50, 49)])
def test_another_batch_is_refused(of_q: int, of_x: int) -> None:
    q = diagonal_normal(torch.zeros(of_q, 2), 1.0)
    wrong(WithPosterior(mlp_vae((1, 4, 4), (8,), 2), lambda x: q), torch.zeros(of_x, 1, 4, 4))


def test_a_likelihood_that_leaves_an_axis_undeclared_is_refused() -> None:
    model = mlp_vae((1, 4, 4), (8,), 2, family=lambda mean: Independent(Normal(mean, 1.0), 2))
    wrong(model, torch.zeros(5, 1, 4, 4))


def test_a_prior_over_another_space_is_refused() -> None:
    model = WithPrior(mlp_vae((1, 4, 4), (8,), 3), diagonal_normal(torch.zeros(1), 1.0))
    with pytest.raises(ValueError, match=r"latents \[3\] and the prior over \[1\]"):
        elbo(model, torch.zeros(5, 1, 4, 4))


def test_the_grid_refuses_what_the_bounds_refuse() -> None:
    with pytest.raises(ValueError, match="not one number for each example"):
        log_evidence_on_grid(
            mlp_vae((4, 4), (8,), 2), torch.zeros(5, 4, 4), latent_grid(2, steps=5, like=torch.zeros(1))
        )


def test_no_examples_are_refused_in_a_sentence() -> None:
    model, none = mlp_vae((1, 4, 4), (8,), 2), torch.zeros(0, 1, 4, 4)
    for call in (
        lambda: log_evidence(model, none, 5),
        lambda: mean_elbo(model, none),
        lambda: kl_per_latent(model, none),
    ):
        with pytest.raises(ValueError, match="no examples"):
            call()


def table() -> str:
    """What works and what is refused: a row for each model and prior, a column for each call."""
    lines = [f"{'model':<18}{'prior':<15}" + "".join(f"{name:>17}" for name in CALLS)]
    for kind, prior in dict.fromkeys((kind, prior) for kind, prior, _ in CELLS):
        said = []
        for call in CALLS.values():
            works = 0
            for view in VIEWS:
                try:
                    with torch.no_grad():
                        works += bool(torch.as_tensor(call(cell(kind, prior, view), pictures())).isfinite().all())
                except (NotImplementedError, TypeError, ValueError):
                    continue
            said.append(f"{works} of {len(VIEWS)} views" if works else "refused")
        lines.append(f"{kind:<18}{prior:<15}" + "".join(f"{text:>17}" for text in said))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
