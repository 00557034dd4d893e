"""Vector quantisation: the nearest code, who gets which gradient, k-means, and priors that sum to 1 over all fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import log
from pathlib import Path

import pytest
import scipy.stats
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vae_course.distributions.families import bernoulli
from vae_course.distributions.quantised import (
    AutoregressiveCodes,
    CodeDistribution,
    IndependentCodes,
    NearestCode,
    code_counts,
    look_up,
    nearest_code,
    perplexity,
)
from vae_course.models.views import WithPrior
from vae_course.models.vq_vae import VQVAE, codebook_term, commitment_term
from vae_course.networks.codebook import Codebook, MovingCodebook
from vae_course.networks.fields import FieldDecoder, FieldEncoder, PixelCNN
from vae_course.objectives.bounds import elbo, iwae, log_mean_exp, log_weights
from vae_course.training.store import load, save

GRIDS: list[tuple[int, ...]] = [(5,), (2, 3)]
DRAWS = 40_000


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def message(call: Callable[[], object], error: type[Exception] = ValueError) -> str:
    """The message of the error that the call raises, which must be one line."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def all_fields(codes: int, grid: Sequence[int]) -> Tensor:
    """Every field of codes: int64 [codes^positions, *grid]."""
    positions = torch.Size(grid).numel()
    return torch.tensor(list(product(range(codes), repeat=positions))).reshape(-1, *grid)


def small_model(moving: bool = False, codes: int = 3, d: int = 2) -> tuple[VQVAE, Tensor]:
    """On 1×4×4 binary pictures, with 2×2 positions; the model and six pictures. The codes lie where the outputs are."""
    encoder, decoder = FieldEncoder((1, 4, 4), (4,), d), FieldDecoder((1, 4, 4), (4,), d)
    codebook = MovingCodebook(codes, d) if moving else Codebook(codes, d)
    model = VQVAE(encoder, codebook, decoder, bernoulli, (2, 2)).double()
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.mul_(3.0)
    x = torch.bernoulli(torch.full((6, 1, 4, 4), 0.5).double())
    outputs = encoder(x).detach().movedim(1, -1).flatten(0, -2)
    model.codebook.vectors.data.copy_(outputs[[0, 7, 14][:codes]])
    return model, x


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("d", [1, 3])
def test_the_nearest_code_is_that_of_a_loop_over_positions(grid: tuple[int, ...], d: int) -> None:
    z, codebook = draw(4, d, *grid), draw(6, d)
    codes = nearest_code(z, codebook)
    assert codes.shape == (4, *grid)
    assert codes.dtype == torch.int64
    for i, place in product(range(4), range(codes[0].numel())):
        point = z[i].flatten(1)[:, place]
        assert int(codes[i].flatten()[place]) == int(torch.cdist(point[None], codebook)[0].argmin())


@pytest.mark.parametrize("grid", GRIDS)
def test_the_nearest_of_a_code_is_itself(grid: tuple[int, ...]) -> None:
    codebook, codes = torch.randn(50, 8), torch.randint(50, (4, *grid))
    z = look_up(codes, codebook)
    assert z.shape == (4, 8, *grid)
    assert torch.equal(nearest_code(z, codebook), codes)


def test_between_two_equally_near_codes_either_is_right() -> None:
    codebook = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    codes = nearest_code(torch.tensor([0.0, 0.3]).reshape(1, 2, 1), codebook)
    assert int(codes) in (0, 1)


def test_looking_up_puts_the_vector_of_each_code_at_its_position() -> None:
    codebook, codes = draw(5, 3), torch.randint(5, (2, 3, 4))
    z = look_up(codes, codebook)
    for i, row, column in product(range(2), range(3), range(4)):
        assert torch.equal(z[i, :, row, column], codebook[codes[i, row, column]])


@pytest.mark.parametrize(("z", "codebook"), [((2, 3, 4), (5, 4)), ((2, 3), (5, 3)), ((2, 4, 4, 3), (5, 3))])
def test_other_numbers_of_channels_are_refused(z: tuple[int, ...], codebook: tuple[int, ...]) -> None:
    for call in (nearest_code, NearestCode):
        text = message(lambda call=call: call(torch.zeros(z), torch.zeros(codebook)))  # type: ignore[misc]
        assert str(list(z)) in text
        assert str(list(codebook)) in text


@pytest.mark.parametrize("grid", GRIDS)
def test_the_posterior_is_certain_of_the_nearest_code(grid: tuple[int, ...]) -> None:
    continuous, codebook = draw(4, 3, *grid), draw(6, 3)
    q = NearestCode(continuous, codebook)
    assert (q.batch_shape, q.event_shape) == ((4,), (3, *grid))
    expected = look_up(nearest_code(continuous, codebook), codebook)
    for z in (q.rsample(), q.sample(), q.nearest):
        assert torch.equal(z, expected)
    assert torch.equal(q.rsample((2, 5)), expected.expand(2, 5, *expected.shape))
    assert q.log_prob(expected).tolist() == [0.0] * 4
    assert q.log_prob(expected.expand(7, 4, 3, *grid)).shape == (7, 4)
    assert q.entropy().tolist() == [0.0] * 4
    elsewhere = expected.clone()
    elsewhere[1, :, -1] = codebook[(int(q.codes[1].flatten()[-1]) + 1) % 6].reshape(3, *[1] * (len(grid) - 1))
    assert q.log_prob(elsewhere).tolist() == [0.0, -torch.inf, 0.0, 0.0]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_straight_through_gradient_is_that_of_the_decoder_at_the_code(grid: tuple[int, ...]) -> None:
    continuous, codebook, weights = draw(4, 3, *grid).requires_grad_(), draw(6, 3).requires_grad_(), draw(4, 3, *grid)
    q = NearestCode(continuous, codebook)
    at_code = q.nearest.detach().requires_grad_()

    def decoded(z: Tensor) -> Tensor:
        return (weights * z.sin() + z.pow(3)).sum()

    (through,) = torch.autograd.grad(decoded(q.rsample()), continuous)
    torch.testing.assert_close(through, torch.autograd.grad(decoded(at_code), at_code)[0], atol=0, rtol=0)
    gradients = torch.autograd.grad(decoded(q.rsample()), (continuous, codebook), allow_unused=True)
    assert gradients[1] is None
    (many,) = torch.autograd.grad(decoded(q.rsample((5,))[2]), continuous)
    torch.testing.assert_close(many, through)


def moved_by(model: VQVAE, value: Tensor) -> set[str]:
    """The parts of the model whose parameters get a gradient other than 0."""
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    return {
        name.split(".")[0]
        for name, gradient in zip(parameters, gradients, strict=True)
        if gradient is not None and bool((gradient != 0).any())
    }


def test_every_term_moves_its_own_part_of_the_model() -> None:
    model, x = small_model()
    q = model.posterior(x)
    assert moved_by(model, codebook_term(q).sum()) == {"codebook"}
    assert moved_by(model, commitment_term(q).sum()) == {"encoder"}
    assert moved_by(model, elbo(model, x).value.sum()) == {"encoder", "decoder"}
    assert not elbo(model, x).kl.requires_grad
    moving, _ = small_model(moving=True)
    assert moved_by(moving, elbo(moving, x).value.sum()) == {"encoder", "decoder"}
    assert moved_by(moving, commitment_term(moving.posterior(x)).sum()) == {"encoder"}
    assert not codebook_term(moving.posterior(x)).requires_grad


def test_the_terms_are_the_squared_distances_and_their_halves_of_the_gradient() -> None:
    model, x = small_model()
    q, vectors = model.posterior(x), model.codebook.vectors
    codes, outputs = q.codes.tolist(), q.continuous.detach()
    by_hand, pull = torch.zeros(6).double(), torch.zeros_like(vectors)
    for i, row, column in product(range(6), range(2), range(2)):
        off = outputs[i, :, row, column] - vectors[codes[i][row][column]].detach()
        by_hand[i] += off.square().sum()
        pull[codes[i][row][column]] -= 2 * off
    for term in (codebook_term(q), commitment_term(q)):
        torch.testing.assert_close(term.detach(), by_hand)
    torch.testing.assert_close(torch.autograd.grad(codebook_term(q).sum(), vectors)[0], pull)
    (towards,) = torch.autograd.grad(commitment_term(q).sum(), q.continuous)
    torch.testing.assert_close(towards, 2 * (q.continuous - q.nearest).detach())


def test_a_codebook_has_the_size_and_spread_asked_for() -> None:
    for made in (Codebook(2000, 3, std=0.2), MovingCodebook(2000, 3, std=0.2)):
        assert made.vectors.shape == (2000, 3)
        assert float(made.vectors.detach().std()) == pytest.approx(0.2, rel=0.05)
    assert [name for name, _ in Codebook(4, 2).named_parameters()] == ["vectors"]
    assert list(MovingCodebook(4, 2).parameters()) == []


@pytest.mark.parametrize("grid", GRIDS)
def test_a_step_that_forgets_everything_is_a_step_of_k_means(grid: tuple[int, ...]) -> None:
    z = draw(40, 3, *grid)
    points = z.movedim(1, -1).flatten(0, -2)
    codebook = MovingCodebook(4, 3, decay=0.0).double()
    codebook.vectors.copy_(points[[0, 11, 22, 33]])
    k_means = KMeans(4, init=codebook.vectors.numpy().copy(), n_init=1, max_iter=1, tol=0.0).fit(points.numpy())
    codebook.update(z, nearest_code(z, codebook.vectors))
    torch.testing.assert_close(codebook.vectors, torch.as_tensor(k_means.cluster_centers_))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95])
def test_several_steps_are_the_averages_of_a_loop(decay: float) -> None:
    codebook = MovingCodebook(5, 2, decay).double()
    codebook.vectors[4] = 100.0  # never chosen
    codebook.sums[4] = 100.0
    counts, sums = [1.0] * 5, [row.clone() for row in codebook.vectors]
    for _ in range(6):
        z = draw(3, 2, 4)
        codes = nearest_code(z, codebook.vectors)
        expected = codebook.vectors.clone()
        for k in range(5):
            chosen = [z[i, :, t] for i, t in product(range(3), range(4)) if int(codes[i, t]) == k]
            counts[k] = decay * counts[k] + (1 - decay) * len(chosen)
            sums[k] = decay * sums[k] + (1 - decay) * sum(chosen, torch.zeros(2).double())
            if counts[k] > 0:
                expected[k] = sums[k] / counts[k]
        codebook.update(z, codes)
        torch.testing.assert_close(codebook.vectors, expected)
        torch.testing.assert_close(codebook.counts, torch.tensor(counts).double())
        torch.testing.assert_close(codebook.sums, torch.stack(sums))


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_code_that_is_never_chosen_stays_where_it_is(decay: float) -> None:
    codebook = MovingCodebook(3, 2, decay).double()
    before = codebook.vectors.clone()
    for _ in range(60):
        codebook.update(draw(5, 2, 3), torch.randint(2, (5, 3)))
    torch.testing.assert_close(codebook.vectors[2], before[2])
    assert float(codebook.counts[2]) < 1e-6
    assert (codebook.vectors[:2] - before[:2]).abs().min() > 1e-3
    assert codebook.vectors.isfinite().all()


def test_moving_averages_carry_no_gradient_and_no_optimizer_moves_them() -> None:
    model, x = small_model(moving=True)
    assert isinstance(model.codebook, MovingCodebook)
    q = model.posterior(x)
    model.codebook.update(q.continuous, q.codes)
    for buffer in model.codebook.buffers():
        assert not buffer.requires_grad
        assert buffer.grad_fn is None
    assert not any(name.startswith("codebook") for name, _ in model.named_parameters())
    (elbo(model, x).value + commitment_term(model.posterior(x))).sum().backward()


def test_moving_averages_are_saved_and_loaded(tmp_path: Path) -> None:
    model, x = small_model(moving=True)
    assert isinstance(model.codebook, MovingCodebook)
    for _ in range(3):
        q = model.posterior(x)
        model.codebook.update(q.continuous, q.codes)
    assert {"codebook.vectors", "codebook.counts", "codebook.sums"} <= model.state_dict().keys()
    save(model, tmp_path / "model.safetensors")
    other, _ = small_model(moving=True)
    assert not torch.equal(other.codebook.vectors, model.codebook.vectors)
    load(other, tmp_path / "model.safetensors")
    for name in ("vectors", "counts", "sums"):
        assert torch.equal(getattr(other.codebook, name), getattr(model.codebook, name))
    torch.testing.assert_close(elbo(other, x).value, elbo(model, x).value)


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_outside_zero_to_one_is_refused(decay: float) -> None:
    assert f"the decay {decay}" in message(lambda: MovingCodebook(3, 2, decay))


@pytest.mark.parametrize("grid", GRIDS)
def test_only_dead_codes_are_put_on_outputs_of_the_encoder(grid: tuple[int, ...]) -> None:
    codebook, z = MovingCodebook(6, 2).double(), draw(5, 2, *grid).requires_grad_()
    codebook.counts.copy_(torch.tensor([3.0, 0.1, 1.0, 0.99, 5.0, 0.0]))
    codebook.sums.copy_(codebook.vectors * codebook.counts[:, None])
    before = {name: buffer.clone() for name, buffer in codebook.named_buffers()}
    assert codebook.restart(z, least=1.0) == 3
    alive, dead = [0, 2, 4], [1, 3, 5]
    for name, buffer in codebook.named_buffers():
        assert torch.equal(buffer[alive], before[name][alive]), name
        assert not buffer.requires_grad, name
    points = z.detach().movedim(1, -1).flatten(0, -2)
    assert (torch.cdist(codebook.vectors[dead], points).amin(1) < 1e-12).all()
    torch.testing.assert_close(codebook.counts[dead], torch.ones(3).double())
    torch.testing.assert_close(codebook.sums[dead], codebook.vectors[dead])
    assert codebook.restart(z, least=1.0) == 0


def test_a_restarted_code_starts_with_the_least_count() -> None:
    codebook, z = MovingCodebook(3, 2, decay=0.5).double(), draw(5, 2, 4)
    assert codebook.restart(z, least=2.0) == 3
    put = codebook.vectors.clone()
    codebook.update(draw(2, 2, 3), torch.zeros(2, 3, dtype=torch.long))
    torch.testing.assert_close(codebook.vectors[1:], put[1:])  # the average of what it was put on stays
    torch.testing.assert_close(codebook.counts, torch.tensor([4.0, 1.0, 1.0]).double())


def test_restarts_are_drawn_from_all_outputs() -> None:
    codebook, z = MovingCodebook(400, 1).double(), torch.arange(6.0).double().reshape(2, 1, 3)
    assert codebook.restart(z, least=1.5) == 400
    times = torch.bincount(codebook.vectors[:, 0].long(), minlength=6).double()
    assert ((times - 400 / 6).abs() < 5 * (400 * 5 / 36) ** 0.5).all()


def test_restarting_with_all_codes_in_use_moves_none_and_draws_nothing_else() -> None:
    codebook = MovingCodebook(4, 2)
    before = {name: buffer.clone() for name, buffer in codebook.named_buffers()}
    assert codebook.restart(torch.randn(3, 2, 5), least=0.5) == 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in codebook.named_buffers())


def test_the_divergence_from_the_uniform_prior_is_positions_times_log_k() -> None:
    model, x = small_model()
    expected = torch.full((6,), 4 * log(3)).double()
    torch.testing.assert_close(elbo(model, x).kl.double(), expected)
    torch.testing.assert_close(kl_divergence(model.posterior(x), model.prior()).double(), expected)
    z = model.prior().sample((7, 2))
    assert z.shape == (7, 2, 2, 2, 2)
    torch.testing.assert_close(model.prior().log_prob(z).double(), torch.full((7, 2), -4 * log(3)).double())
    assert (model.prior().batch_shape, model.prior().event_shape) == ((), (2, 2, 2))
    assert not z.requires_grad


def test_the_bound_is_log_likelihood_at_the_code_less_the_divergence() -> None:
    model, x = small_model()
    q = model.posterior(x)
    at_code = model.likelihood(q.nearest).log_prob(x)
    torch.testing.assert_close(elbo(model, x).log_likelihood, at_code)
    expected = at_code - 4 * log(3)
    torch.testing.assert_close(log_weights(model, x, 3), expected.expand(3, -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(iwae(model, x, 3), expected, atol=1e-5, rtol=0)


def autoregressive(codebook: Tensor, grid: tuple[int, int] = (2, 2)) -> AutoregressiveCodes:
    """A prior whose positions depend on each other."""
    network = PixelCNN(len(codebook), width=6, blocks=1, kernel=3).to(codebook.dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.5)
    return AutoregressiveCodes(codebook, grid, network)


def independent(codebook: Tensor, grid: tuple[int, ...] = (2, 2)) -> IndependentCodes:
    return IndependentCodes(codebook, torch.randn(*grid, len(codebook)).to(codebook))


@pytest.mark.parametrize("grid", [(4,), (2, 2), (1, 3)])
def test_independent_codes_have_the_product_of_their_softmaxes(grid: tuple[int, ...]) -> None:
    logits, codebook = 2 * draw(*grid, 3), draw(3, 2)
    prior, fields = IndependentCodes(codebook, logits), all_fields(3, grid)
    assert (prior.batch_shape, prior.event_shape) == ((), (2, *grid))
    p = logits.softmax(-1).flatten(0, -2)
    by_hand = torch.stack([torch.stack([p[i, k] for i, k in enumerate(one)]).prod() for one in fields.flatten(1)])
    torch.testing.assert_close(prior.code_log_prob(fields), by_hand.log())
    torch.testing.assert_close(prior.code_log_prob(fields).exp().sum(), torch.ones(()).double())


@pytest.mark.parametrize("grid", [(2, 2), (1, 3), (3, 1)])
def test_autoregressive_codes_sum_to_one_over_all_fields(grid: tuple[int, int]) -> None:
    prior, fields = autoregressive(draw(3, 2), grid), all_fields(3, grid)
    log_p = prior.code_log_prob(fields).detach()
    assert log_p.shape == (len(fields),)
    torch.testing.assert_close(log_p.exp().sum(), torch.ones(()).double())
    assert float(log_p.exp().max()) > 3 / len(fields), "the prior must not be uniform here"


@torch.no_grad()
def test_autoregressive_codes_are_the_product_of_what_the_network_says_of_each_prefix() -> None:
    """By hand, each conditional asked for with what comes later set to 0."""
    prior, fields = autoregressive(draw(3, 2)), all_fields(3, (2, 2))
    by_hand = torch.zeros(len(fields)).double()
    for i in range(4):
        prefix = fields.flatten(1).clone()
        chosen = prefix[:, i].clone()
        prefix[:, i:] = 0
        log_p = prior.logits_of(prefix.reshape(-1, 2, 2)).log_softmax(1).flatten(2)[:, :, i]
        by_hand += log_p.gather(1, chosen[:, None])[:, 0]
    torch.testing.assert_close(prior.code_log_prob(fields), by_hand)


@pytest.mark.parametrize("made", [autoregressive, independent])
@torch.no_grad()
def test_samples_have_the_frequencies_of_the_enumerated_fields(made: Callable[[Tensor], CodeDistribution]) -> None:
    prior = made(draw(3, 2))
    p = prior.code_log_prob(all_fields(3, (2, 2))).exp()
    codes = prior.draw(DRAWS)
    assert codes.shape == (DRAWS, 2, 2)
    number = (codes.flatten(1) * torch.tensor([27, 9, 3, 1])).sum(1)
    counts = torch.bincount(number, minlength=81).double()
    assert ((counts - DRAWS * p).abs() < 5 * (DRAWS * p * (1 - p)).sqrt() + 1).all()
    often = DRAWS * p > 5
    statistic = float(((counts - DRAWS * p).square() / (DRAWS * p))[often].sum())
    assert scipy.stats.chi2.sf(statistic, int(often.sum()) - 1) > 1e-4


@pytest.mark.parametrize("made", [autoregressive, independent])
@torch.no_grad()
def test_the_log_probability_of_code_vectors_is_that_of_their_numbers(
    made: Callable[[Tensor], CodeDistribution],
) -> None:
    prior, fields = made(draw(3, 2)), all_fields(3, (2, 2))
    z = look_up(fields, prior.codebook)
    log_p = prior.code_log_prob(fields)
    torch.testing.assert_close(prior.log_prob(z), log_p)
    torch.testing.assert_close(prior.log_prob(z.reshape(3, 27, 2, 2, 2)), log_p.reshape(3, 27))
    torch.testing.assert_close(prior.log_prob(z[5]), log_p[5])
    z[4:, 1, 1, 0] += 0.01
    assert prior.log_prob(z[4:]).tolist() == [-torch.inf] * 77
    torch.testing.assert_close(prior.log_prob(z[:4]), log_p[:4])


@pytest.mark.parametrize("made", [autoregressive, independent])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_samples_are_code_vectors_of_the_shape_asked_for(
    made: Callable[[Tensor], CodeDistribution], shape: tuple[int, ...]
) -> None:
    prior = made(draw(4, 3).requires_grad_())
    z = prior.sample(shape)
    assert z.shape == (*shape, 3, 2, 2)
    assert not z.requires_grad
    assert prior.log_prob(z).shape == shape
    assert prior.log_prob(z).isfinite().all()


@torch.no_grad()
def test_a_sample_is_the_vectors_of_the_codes_drawn() -> None:
    for prior in (autoregressive(draw(4, 3)), independent(draw(4, 3))):
        torch.manual_seed(2)
        codes = prior.draw(6)
        torch.manual_seed(2)
        assert torch.equal(prior.sample((2, 3)).flatten(0, 1), look_up(codes, prior.codebook))


def test_a_base_of_code_distributions_has_no_probabilities_of_its_own() -> None:
    base = CodeDistribution(draw(3, 2), (), (2, 2))
    with pytest.raises(NotImplementedError):
        base.code_log_prob(torch.zeros(1, 2, 2, dtype=torch.long))
    with pytest.raises(NotImplementedError):
        base.draw(1)


@pytest.mark.parametrize("made", [autoregressive, independent])
@torch.no_grad()
def test_the_bound_with_another_prior_is_the_joint_at_the_code_and_below_the_evidence(
    made: Callable[[Tensor], CodeDistribution],
) -> None:
    model, x = small_model()
    prior = made(model.codebook.vectors.detach())
    q, fields = model.posterior(x), all_fields(3, (2, 2))
    at_code = model.likelihood(q.nearest).log_prob(x) + prior.code_log_prob(q.codes)
    view = WithPrior(model, prior)
    torch.testing.assert_close(elbo(view, x).value, at_code)
    torch.testing.assert_close(elbo(view, x).kl, -prior.code_log_prob(q.codes))
    torch.testing.assert_close(log_weights(view, x, 2), at_code.expand(2, -1))
    likelihood = model.likelihood(look_up(fields, model.codebook.vectors)[:, None])
    joint = likelihood.log_prob(x) + prior.code_log_prob(fields)[:, None]  # [81, 6]
    number = (q.codes.flatten(1) * torch.tensor([27, 9, 3, 1])).sum(1)
    torch.testing.assert_close(at_code, joint.gather(0, number[None])[0])
    assert (at_code < joint.logsumexp(0)).all()


@torch.no_grad()
def test_the_mean_likelihood_of_prior_draws_is_the_enumerated_evidence() -> None:
    model, x = small_model()
    prior = autoregressive(model.codebook.vectors.detach())
    fields = all_fields(3, (2, 2))
    likelihood = model.likelihood(look_up(fields, model.codebook.vectors)[:, None])
    evidence = (likelihood.log_prob(x) + prior.code_log_prob(fields)[:, None]).logsumexp(0)
    draws = model.likelihood(prior.sample((4000, 1))).log_prob(x)  # [4000, 6]
    error = draws.exp().std(0) / (draws.exp().mean(0) * 4000**0.5)
    assert ((log_mean_exp(draws) - evidence).abs() < 5 * error).all()


def test_a_fitted_prior_learns_and_moves_no_code() -> None:
    model, x = small_model()
    logits = torch.zeros(2, 2, 3).double().requires_grad_()
    prior = IndependentCodes(model.codebook.vectors, logits)
    value = elbo(WithPrior(model, prior), x).kl.sum()
    gradients = torch.autograd.grad(value, (logits, model.codebook.vectors), allow_unused=True)
    one_hot = nn.functional.one_hot(model.posterior(x).codes, 3).double()
    torch.testing.assert_close(gradients[0], (1 / 3 - one_hot).sum(0))
    assert gradients[1] is None


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_perplexity_of_even_use_is_the_size_and_of_one_code_one(size: int) -> None:
    assert float(perplexity(torch.arange(size).repeat(4), size)) == pytest.approx(size)
    assert float(perplexity(torch.full((3, 2, 2), size - 1), size)) == pytest.approx(1)
    assert float(perplexity(torch.arange(size), size + 5)) == pytest.approx(size)


def test_the_perplexity_is_exp_of_the_entropy_of_scipy() -> None:
    codes = torch.multinomial(torch.tensor([0.6, 0.2, 0.15, 0.05, 0.0]), 500, replacement=True).reshape(5, 10, 10)
    counts = torch.bincount(codes.flatten(), minlength=5)
    assert float(perplexity(codes, 5)) == pytest.approx(float(torch.tensor(scipy.stats.entropy(counts)).exp()))
    assert 1 < float(perplexity(codes, 5)) < 4


def test_code_counts_count_every_code() -> None:
    codes = torch.tensor([[[0, 2], [2, 5]], [[5, 5], [0, 5]]])
    counts = code_counts(codes, 7)
    assert counts.tolist() == [2, 0, 2, 0, 0, 4, 0]
    assert counts.dtype == torch.int64


@pytest.mark.parametrize("codes", [[0, 3], [-1, 0], []])
def test_codes_outside_the_codebook_or_none_are_refused(codes: list[int]) -> None:
    for call in (code_counts, perplexity):
        text = message(lambda call=call: call(torch.tensor(codes, dtype=torch.long), 3))  # type: ignore[misc]
        assert "from 0 to 2" in text


def test_sounds_have_a_bound_too() -> None:
    def family(logits: Tensor) -> torch.distributions.Distribution:
        return bernoulli(logits, event_axes=2)

    model = VQVAE(FieldEncoder((1, 16), (4, 4), 2), Codebook(3, 2), FieldDecoder((1, 16), (4, 4), 2), family, (4,))
    x = torch.bernoulli(torch.full((5, 1, 16), 0.5))
    terms = elbo(model, x)
    assert terms.log_likelihood.shape == (5,)
    torch.testing.assert_close(terms.kl, torch.full((5,), 4 * log(3)))
    assert model.likelihood(model.prior().sample((7,))).sample().shape == (7, 1, 16)
    assert log_weights(model, x, 3).shape == (3, 5)
