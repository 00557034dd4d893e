"""The sheet on variational inference: code lengths, two directions of the KL divergence, mean fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log, pi

import torch
from torch import Generator, Tensor

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, normal, uniform

# 1. the bits that the wrong code costs


def _entropy(q: Tensor) -> Tensor:
    return -torch.xlogy(q, q).sum()


_EXCESS = Formula(
    "q p",
    entropy=_entropy,
    length=lambda q, p: -torch.xlogy(q, p).sum(),  # the cross-entropy
    nats=lambda length, entropy: length - entropy,
    bits=lambda nats: nats / log(2),
)
_NATS = _EXCESS.but(bits=lambda nats: nats)
_BY_RATIO = Formula(  # NaN where q is 0
    "q p",
    log_ratio=lambda q, p: (q / p).log2(),
    terms=lambda q, log_ratio: q * log_ratio,
    bits=lambda terms: terms.sum(),
)


def _normalised(p: Tensor) -> Tensor:
    return p / p.sum()


def _excess_code_length_cases(generator: Generator) -> list[Arguments]:
    def drawn(symbols: int) -> Tensor:
        return _normalised(0.05 + uniform(generator, symbols))

    p, certain = drawn(4), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    rare = torch.tensor([1e-13, 0.5 - 1e-13, 0.5], dtype=torch.float64)
    with_zeros = drawn(7)
    with_zeros[::3] = 0
    small = _normalised(torch.logspace(-7, 0, 200, dtype=torch.float64))  # many entries are small and not 0
    near = _normalised(small * (0.5 + uniform(generator, 200)))
    usual = [(drawn(symbols), drawn(symbols)) for symbols in (5, 2, 1, 100)]
    ends = [(_normalised(with_zeros), drawn(7)), (certain, drawn(3)), (drawn(3), rare)]
    return [*usual, (p, p.clone()), *ends, (small, near)]


def _with_small(small: float) -> Formula:
    """With a constant added to q and p inside the logarithm."""
    return _BY_RATIO.but(log_ratio=lambda q, p: ((q + small) / (p + small)).log2())


excess_code_length = Exercise(
    "excess_code_length",
    _EXCESS,
    _excess_code_length_cases,
    wrong(
        "these are nats: divide by log 2 to get bits, or use log2",
        _NATS,
        "you multiplied by log 2: a nat is 1 / log 2 = 1.44 bits, so divide",
        _EXCESS.but(bits=lambda nats: nats * log(2)),
        "this is the other direction: the symbols are drawn from q and coded with the code for p",
        lambda q, p: _EXCESS(p, q),
        "this is the other direction, and in nats: the symbols are drawn from q, and log2 gives bits",
        lambda q, p: _NATS(p, q),
        "you weighted by p: the symbols are drawn from q",
        _BY_RATIO.but(terms=lambda p, log_ratio: p * log_ratio),
        "this is the whole length, the cross-entropy: subtract the entropy of q, the length of the right code",
        _EXCESS.but(entropy=lambda: 0),
        "this is the cross-entropy, and in nats: subtract the entropy of q, and use log2",
        _NATS.but(entropy=lambda: 0),
        "the cross-entropy is in bits, the entropy of q in nats: divide that by log 2 too",
        _EXCESS.but(bits=lambda length, entropy: length / log(2) - entropy),
        "you subtracted the entropy of p: the right code is that for q, whose mean length is the entropy of q",
        _EXCESS.but(entropy=lambda p: _entropy(p)),
        "you took absolute values: what some symbols lose, others gain, and the two must cancel",
        _EXCESS.but(nats=lambda q, p: (torch.xlogy(q, q) - torch.xlogy(q, p)).abs().sum()),
        "this is the entropy of q, the length of the right code: return what the wrong code adds to it",
        _EXCESS.but(nats=lambda entropy: entropy),
        "this is a difference of entropies: symbols from q have the mean length −Σ q log2 p under the code for p",
        _EXCESS.but(length=lambda p: _entropy(p)),
        "this is a difference of entropies, and in nats: symbols from q have the mean length −Σ q log2 p under the code for p",
        _NATS.but(length=lambda p: _entropy(p)),
        "this is a difference of entropies, and NaN where q is 0: symbols from q have the mean length −Σ q log2 p under the code for p",
        _EXCESS.but(length=lambda p: _entropy(p), entropy=lambda q: -(q * q.log()).sum()),
        "0 · log 0 came out as NaN: a symbol that q never draws costs nothing (torch.xlogy, or leave it out)",
        _BY_RATIO,
        "nan_to_num after the sum turns the whole result into 0: a symbol that q never draws costs nothing, but the others do",
        _BY_RATIO.then(torch.nan_to_num),
        "you averaged over the symbols with equal weights: q is the weight already, so sum",
        _BY_RATIO.but(bits=lambda terms: terms.nan_to_num().mean()),
        "this is a mean over the symbols, and in nats (the default of kl_div): sum, and divide by log 2",
        _BY_RATIO.but(log_ratio=lambda q, p: (q / p).log(), bits=lambda terms: terms.nan_to_num().mean()),
        "kl_div takes the logarithm of its first argument: pass p.log(), not p",
        _EXCESS.but(length=lambda q, p: -(q * p).sum()),
        "kl_div takes log p first, not p, and gives nats: pass p.log(), and divide by log 2",
        _NATS.but(length=lambda q, p: -(q * p).sum()),
        "you took softmax of q and p: they are probabilities, not logits (Categorical takes them as probs)",
        lambda q, p: _EXCESS(q.softmax(-1), p.softmax(-1)),
        "the sign is flipped: no code is shorter on average than the right one",
        _EXCESS.then(torch.neg),
        "this is the total variation distance, which knows no code lengths: return Σ q log2(q / p)",
        lambda q, p: (q - p).abs().sum() / 2,
        "you averaged both directions: the symbols are drawn from q alone",
        lambda q, p: (_EXCESS(q, p) + _EXCESS(p, q)) / 2,
        "this is the Jensen-Shannon divergence: the code is that for p, not for the mean of q and p",
        lambda q, p: (_EXCESS(q, (q + p) / 2) + _EXCESS(p, (q + p) / 2)) / 2,
        "you did not weight by q: a symbol counts as often as it is drawn",
        _BY_RATIO.but(bits=lambda q, log_ratio: log_ratio[q > 0].sum()),
        "you did not sum over the symbols: return one number",
        _BY_RATIO.but(bits=lambda terms: terms.nan_to_num()),
        "you rounded the lengths up to whole bits: here a symbol takes −log2 p of them, whole or not",
        _EXCESS.but(bits=lambda q, p, entropy: (q * (-p.log2()).ceil()).sum() - entropy / log(2)),
        "a small number added to q and p inside the logarithm changes the lengths of the words: treat q = 0 by itself",
        *map(_with_small, (1e-12, 1e-10, 1e-8, 1e-6)),
        "a small number added to q inside the logarithm makes every symbol dearer: treat q = 0 by itself",
        _BY_RATIO.but(log_ratio=lambda q, p: ((q + 1e-6) / p).log2()),
        "a floor under p hides how long the code of a rare symbol is: only q may be 0, so treat that by itself",
        _BY_RATIO.but(log_ratio=lambda q, p: (q.clamp(min=1e-12) / p.clamp(min=1e-12)).log2()),
        "you normalised p anew where q is 0: the code for p stays as long, even where a symbol never comes",
        lambda q, p: _EXCESS(q[q > 0], _normalised(p[q > 0])),
    ),
)


# 2. KL between two diagonal normals

_KL = Formula(
    "mean_q log_std_q mean_p log_std_p",
    variance_q=lambda log_std_q: (2 * log_std_q).exp(),
    variance_p=lambda log_std_p: (2 * log_std_p).exp(),
    square=lambda mean_q, mean_p: (mean_q - mean_p).square(),
    spread=lambda variance_q, variance_p: variance_q / variance_p,
    distance=lambda square, variance_p: square / variance_p,
    fraction=lambda spread, distance: spread + distance,
    logs=lambda log_std_q, log_std_p: log_std_p - log_std_q,
    each=lambda logs, fraction: logs + 0.5 * (fraction - 1),
    kl=lambda each: each.sum(-1),
)


def _given_log_stds(change: Callable[[Tensor], Tensor]) -> Answer:
    return _KL.given(log_std_q=change, log_std_p=change)


def _kl_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float = 0.7) -> Arguments:
        return tuple(normal(generator, batch, latent, scale=scale, gradient=True) for _ in range(4))

    mean, log_std, *_ = case(3, 2)
    equal = tuple(a.detach().clone().requires_grad_() for a in (mean, log_std, mean, log_std))
    mean_q, log_std_q, *p = case(2, 3, 1.0)
    narrow = mean_q, (log_std_q.detach() - 8).requires_grad_(), *p  # q far narrower than p
    return [case(4, 3), case(1, 5), case(3, 1, 1.0), case(3, 3), case(2, 4, 1e-3), equal, narrow]


kl_diagonal_normals = Exercise(
    "kl_diagonal_normals",
    _KL,
    _kl_cases,
    wrong(
        "this is D_KL(p‖q), the other direction: the expectation is over q",
        lambda *a: _KL(*a[2:], *a[:2]),
        "you divided (μ_q − μ_p)² by σ_q²: the density whose logarithm is averaged is p's, so divide by σ_p²",
        _KL.but(distance=lambda square, variance_q: square / variance_q),
        "(μ_q − μ_p)² is not divided by σ_p²",
        _KL.but(distance=lambda square: square),
        "σ_q² is not divided by σ_p²",
        _KL.but(spread=lambda variance_q: variance_q),
        "σ_q / σ_p is not squared",
        _KL.but(spread=lambda log_std_q, log_std_p: (log_std_q - log_std_p).exp()),
        "the fraction of the variances is upside down: it is σ_q² / σ_p²",
        _KL.but(spread=lambda variance_q, variance_p: variance_p / variance_q),
        "you divided (μ_q − μ_p)² by σ_p: divide it by σ_p²",
        _KL.but(distance=lambda square, log_std_p: square / log_std_p.exp()),
        "you divided by 2 σ_p: divide by 2 σ_p²",
        _KL.but(variance_p=lambda log_std_p: log_std_p.exp()),
        "only (μ_q − μ_p)² is divided by 2 σ_p²: set brackets round σ_q² + (μ_q − μ_p)²",
        _KL.but(spread=lambda variance_q: 2 * variance_q),
        "you multiplied by σ_p², since a / 2 * b is (a / 2) · b: set brackets round 2 σ_p²",
        _KL.but(fraction=lambda square, variance_q, variance_p: (variance_q + square) * variance_p),
        "you divided σ_q² + (μ_q − μ_p)² by 2 σ_q²: divide by 2 σ_p²",
        _KL.but(fraction=lambda square, variance_q: (variance_q + square) / variance_q),
        "you wrote exp(log_std_q) for σ_q²: log_std is log σ, so σ² is exp(2 log σ)",
        _KL.but(variance_q=lambda log_std_q: log_std_q.exp()),
        "you wrote exp(log_std) for both variances: log_std is log σ, so σ² is exp(2 log σ)",
        _KL.but(variance_q=lambda log_std_q: log_std_q.exp(), variance_p=lambda log_std_p: log_std_p.exp()),
        "2 * log_std_q.exp() is 2 σ_q, not σ_q²: the 2 belongs inside the exponential",
        _KL.but(variance_q=lambda log_std_q: 2 * log_std_q.exp()),
        "2 * log_std.exp() is 2 σ, not σ², for q and for p: the 2 belongs inside the exponential",
        _KL.but(variance_q=lambda log_std_q: 2 * log_std_q.exp(), variance_p=lambda log_std_p: 2 * log_std_p.exp()),
        "you took the densities at the mean of q only: the expectation over q adds (σ_q²/σ_p² − 1)/2 per latent",
        _KL.but(each=lambda logs, distance: logs + 0.5 * distance),
        "the fraction is divided by σ_p² where 2 σ_p² belongs",
        _KL.but(each=lambda logs, fraction: logs + fraction - 0.5),
        "the ½ before the bracket (σ_q² + (μ_q − μ_p)²)/σ_p² − 1 is missing",
        _KL.but(each=lambda logs, fraction: logs + fraction - 1),
        "the factor ½ is missing: with log σ² in place of log σ the whole sum has a ½ before it",
        _KL.then(lambda kl: 2 * kl),
        "there is a ½ too much: log σ_p − log σ_q has none",
        _KL.then(lambda kl: kl / 2),
        "the ½ stands before log σ_p − log σ_q too: log σ² is 2 log σ, so there it cancels",
        _KL.but(each=lambda logs, fraction: 0.5 * (logs + fraction - 1)),
        "log σ_p − log σ_q counts twice: log σ² without its ½",
        _KL.but(each=lambda logs, fraction: 2 * logs + 0.5 * (fraction - 1)),
        "you took log_std for log σ² throughout: log_std is log σ, and σ² is exp(2 log σ)",
        _given_log_stds(lambda log_std: log_std / 2),
        "you took the variances for the standard deviations: σ is exp(log_std), σ² its square",
        _given_log_stds(lambda log_std: 2 * log_std),
        "you took exp twice: σ is exp(log_std)",
        _given_log_stds(torch.exp),
        "the −½ stands outside the sum: every latent has its own",
        _KL.but(each=lambda logs, fraction: logs + 0.5 * fraction, kl=lambda each: each.sum(-1) - 0.5),
        "the −½ is missing: for q = p the divergence must be 0",
        _KL.but(each=lambda logs, fraction: logs + 0.5 * fraction),
        "½ was added where it is subtracted: for q = p the divergence must be 0",
        _KL.but(each=lambda logs, fraction: logs + 0.5 * (fraction + 1)),
        "1 was subtracted where ½ belongs: for q = p the divergence must be 0",
        _KL.but(each=lambda logs, fraction: logs + 0.5 * fraction - 1),
        "you averaged over the latents: the KL of independent coordinates is a sum",
        _KL.but(kl=lambda each: each.mean(-1)),
        "you did not sum over the latents: the last axis is the event",
        _KL.but(kl=lambda each: each),
        "you averaged over the batch: return one number per example",
        _KL.then(torch.mean),
        "you summed over the batch too: return one number per example",
        _KL.then(torch.sum),
        "you summed over the batch in place of the latents: the last axis is the event",
        _KL.but(kl=lambda each: each.sum(0)),
        "μ_q − μ_p is not squared",
        _KL.but(square=lambda mean_q, mean_p: mean_q - mean_p),
        "you took |μ_q − μ_p| where its square belongs",
        _KL.but(square=lambda mean_q, mean_p: (mean_q - mean_p).abs()),
        "you subtracted the squares of the means: subtract first, then square",
        _KL.but(square=lambda mean_q, mean_p: mean_q**2 - mean_p**2),
        "the signs of the logarithms are exchanged: log σ_p is added, log σ_q subtracted",
        _KL.but(logs=lambda log_std_q, log_std_p: log_std_q - log_std_p),
        "log σ_p − log σ_q is missing",
        _KL.but(logs=lambda: 0),
        "the term with the means is missing: (μ_q − μ_p)² / (2 σ_p²)",
        _KL.but(square=lambda: 0),
        "the term σ_q² / (2 σ_p²) is missing",
        _KL.but(variance_q=lambda: 0),
        "this is the divergence from a standard normal p: here p has a mean and a standard deviation of its own",
        _KL.given(mean_p=torch.zeros_like, log_std_p=torch.zeros_like),
        "this is the cross-entropy −E_q[log p]: subtract the entropy of q",
        _KL.but(each=lambda log_std_p, fraction: log_std_p + 0.5 * (log(2 * pi) + fraction)),
        "the sign is flipped: a KL divergence is never negative",
        _KL.then(torch.neg),
        "no gradient reaches p: something cut its path; p is learnt too",
        _KL.given(mean_p=torch.detach, log_std_p=torch.detach),
        "you averaged both directions: the expectation is over q alone",
        lambda *a: (_KL(*a) + _KL(*a[2:], *a[:2])) / 2,
    ),
)


# 3. the normal with the moments of a mixture

_MOMENTS = Formula(
    "weights means stds",
    mean=lambda weights, means: weights @ means,
    within=lambda weights, stds: weights @ stds**2,
    between=lambda weights, means, mean: weights @ (means - mean) ** 2,
    variance=lambda within, between: within + between,
    std=lambda variance: variance.sqrt(),
    both=lambda mean, std: (mean, std),
)
_OF_PRODUCT = Formula(
    "weights means stds",
    precisions=lambda weights, stds: weights / stds**2,
    both=lambda precisions, means: (precisions @ means / precisions.sum(), precisions.sum().rsqrt()),
)


def _alone(component: Step) -> Formula:
    """The mean and the standard deviation of one component."""
    return Formula("weights means stds", k=component, both=lambda k, means, stds: (means[k], stds[k]))


def _moment_match_cases(generator: Generator) -> list[Arguments]:
    def case(k: int, scale: float = 2.0, width: float = 1.0) -> Arguments:
        stds = width * (0.2 + uniform(generator, k))
        return _normalised(0.1 + uniform(generator, k)), normal(generator, k, scale=scale), stds

    def fixed(*columns: list[float]) -> Arguments:
        return tuple(torch.tensor(column, dtype=torch.float64) for column in columns)

    modes = fixed([0.5, 0.5], [-3.0, 3.0], [0.5, 0.5])
    heavy_but_broad = fixed([0.6, 0.4], [0.0, 2.0], [2.0, 0.3])  # the heavier component has the lower peak
    return [*map(case, (3, 5, 2, 1)), case(4, 0.1, 3.0), case(4, 300.0), modes, heavy_but_broad]


moment_match = Exercise(
    "moment_match",
    _MOMENTS,
    _moment_match_cases,
    wrong(
        "you averaged the standard deviations: variances average, and the distances between the means add to them",
        _MOMENTS.but(std=lambda weights, stds: weights @ stds),
        "the variance between the components is missing: the means differ, and that widens the mixture",
        _MOMENTS.but(between=lambda: 0),
        "the variance within the components is missing: only the means count here",
        _MOMENTS.but(within=lambda: 0),
        "you returned the variance: take the square root",
        _MOMENTS.but(std=lambda variance: variance),
        "you added standard deviations: add the variances within and between, then take the square root",
        _MOMENTS.but(std=lambda weights, stds, between: weights @ stds + between.sqrt()),
        "you took the root before the average over the components: average, then take the root",
        _MOMENTS.but(std=lambda weights, means, stds, mean: weights @ (stds**2 + (means - mean) ** 2).sqrt()),
        "you squared the average of the standard deviations: average their squares",
        _MOMENTS.but(within=lambda weights, stds: (weights @ stds) ** 2),
        "this is the second moment: subtract the squared mean to get the variance",
        _MOMENTS.but(between=lambda weights, means: weights @ means**2),
        "the squared mean was added: subtract it from the second moment",
        _MOMENTS.but(between=lambda weights, means, mean: weights @ means**2 + mean**2),
        "the mean that is subtracted from the second moment is not squared",
        _MOMENTS.but(between=lambda weights, means, mean: weights @ means**2 - mean),
        "you squared weight times mean component by component: sum first, then square",
        _MOMENTS.but(between=lambda weights, means: weights @ means**2 - weights**2 @ means**2),
        "the standard deviations are not squared in the variance: average σ_k², not σ_k",
        _MOMENTS.but(within=lambda weights, stds: weights @ stds),
        "this is the standard deviation of a weighted sum of variables: a mixture draws one of them",
        _MOMENTS.but(variance=lambda weights, stds: weights**2 @ stds**2),
        "the variance is about the plain mean of the means: take it about Σ π_k μ_k",
        _MOMENTS.but(between=lambda weights, means: weights @ (means - means.mean()) ** 2),
        "the mean is that of the heaviest component: it is Σ π_k μ_k",
        _MOMENTS.but(both=lambda weights, means, std: (means[weights.argmax()], std)),
        "the components count equally: weight mean and variance by weights",
        _MOMENTS.given(weights=lambda weights: torch.ones_like(weights) / len(weights)),
        "the mean is not weighted: it is Σ π_k μ_k",
        _MOMENTS.but(
            mean=lambda means: means.mean(), between=lambda weights, means, mean: weights @ means**2 - mean**2
        ),
        "the variance between the components is not weighted: it is Σ π_k (μ_k − μ)² about the mean of the mixture",
        _MOMENTS.but(between=lambda means: means.var(correction=0)),
        "the spread of the means is weighted by π too, with no division by K − 1",
        _MOMENTS.but(between=lambda means: (means - means.mean()).square().sum() / (len(means) - 1)),
        "you averaged (μ_k − μ)² with equal weights: weight it by π_k",
        _MOMENTS.but(between=lambda means, mean: (means - mean).square().mean()),
        "this is the heaviest component alone: D_KL(p‖q) covers them all; D_KL(q‖p) may settle on one",
        _alone(lambda weights: weights.argmax()),
        "this is the component with the highest peak alone: D_KL(p‖q) covers them all",
        _alone(lambda weights, stds: (weights / stds).argmax()),
        "the two results are exchanged: return the mean first",
        _MOMENTS.then(lambda both: both[::-1]),
        "these are the moments of a sum of variables: a mixture draws one of them",
        _MOMENTS.but(mean=lambda means: means.sum(), variance=lambda stds: stds.square().sum()),
        "you weighted by the precisions, as in a product of normals: a mixture is a sum of densities",
        _OF_PRODUCT,
        "you took exp of stds: here they are standard deviations, not their logarithms",
        _MOMENTS.given(stds=torch.exp),
        "you divided by √K: this is the spread of one draw, not of a mean",
        _MOMENTS.but(std=lambda variance, weights: (variance / len(weights)).sqrt()),
        "you returned log σ: return the standard deviation itself",
        _MOMENTS.but(std=lambda variance: variance.sqrt().log()),
    ),
    results=("mean", "standard deviation"),
)


# 4. the factorised normal closest to a correlated one

_FIELD = Formula(
    "mean covariance",
    precision=lambda covariance: torch.linalg.inv(covariance),
    precisions=lambda precision: precision.diagonal(),
    stds=lambda precisions: precisions.rsqrt(),
    means=lambda mean: mean.clone(),
    both=lambda means, stds: (means, stds),
)


def _covariance(generator: Generator, d: int) -> Tensor:
    factor = normal(generator, d, d)
    return factor @ factor.T + 0.3 * torch.diag(0.5 + uniform(generator, d))


def _correlated(correlation: float, stds: list[float]) -> Tensor:
    scale = torch.tensor(stds, dtype=torch.float64)
    unit = torch.eye(len(stds), dtype=torch.float64)
    return (correlation + (1 - correlation) * unit) * scale * scale[:, None]


def _mean_field_cases(generator: Generator) -> list[Arguments]:
    covariances = [
        *(_covariance(generator, d) for d in (3, 2, 1, 6)),
        torch.diag(0.1 + 3 * uniform(generator, 4)),
        _correlated(0.999, [1.0, 2.0]),
        _correlated(0.9, [1e-2, 1.0, 30.0]),
        _correlated(-0.4, [0.5, 0.5, 1.5]),
    ]
    return [(normal(generator, len(covariance), scale=2.0), covariance) for covariance in covariances]


def _root(matrix: Tensor) -> Tensor:
    """The symmetric root of a matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.einsum("ik,k,jk->ij", vectors, values.sqrt(), vectors)


mean_field_of_normal = Exercise(
    "mean_field_of_normal",
    _FIELD,
    _mean_field_cases,
    wrong(
        "these are the standard deviations of the marginals, which minimise D_KL(p‖q): for D_KL(q‖p) invert Σ first",
        _FIELD.but(stds=lambda covariance: covariance.diagonal().sqrt()),
        "these are the variances of the marginals: take 1 / √Λ_ii, with the precision Λ = Σ⁻¹",
        _FIELD.but(stds=lambda covariance: covariance.diagonal()),
        "these are the variances 1 / Λ_ii: take the square root",
        _FIELD.but(stds=lambda precisions: 1 / precisions),
        "these are the variances, halved: ** binds before /, so write ** -0.5",
        _FIELD.but(stds=lambda precisions: precisions**-1 / 2),
        "you took √Λ_ii: a large precision is a small standard deviation, 1 / √Λ_ii",
        _FIELD.but(stds=lambda precisions: precisions.sqrt()),
        "these are the precisions Λ_ii: the standard deviations are 1 / √Λ_ii",
        _FIELD.but(stds=lambda precisions: precisions),
        "you returned 1 / Λ_ii²: the variance is 1 / Λ_ii, and its root is asked for",
        _FIELD.but(stds=lambda precisions: precisions**-2),
        "you took 1 / √Σ_ii: invert the matrix first, then take the diagonal",
        _FIELD.but(stds=lambda covariance: covariance.diagonal().rsqrt()),
        "you took 1 / Σ_ii for the standard deviation: invert the matrix first, then take 1 / √Λ_ii",
        _FIELD.but(stds=lambda covariance: 1 / covariance.diagonal()),
        "the diagonal of the Cholesky factor is the spread given the coordinates before: here all others are given",
        _FIELD.but(stds=lambda covariance: torch.linalg.cholesky(covariance).diagonal()),
        "you inverted the diagonal of the Cholesky factor of Σ: take that of Λ = Σ⁻¹ itself, then 1 / √Λ_ii",
        _FIELD.but(stds=lambda covariance: 1 / torch.linalg.cholesky(covariance).diagonal()),
        "you took the diagonal of the Cholesky factor of Λ: take the diagonal of Λ itself, then 1 / √Λ_ii",
        _FIELD.but(stds=lambda precision: 1 / torch.linalg.cholesky(precision).diagonal()),
        "you took the root of the matrix, then its diagonal: invert Σ, take the diagonal, then 1 / √Λ_ii",
        _FIELD.but(stds=lambda covariance: _root(covariance).diagonal()),
        "you took the root of the matrix Λ before its diagonal: take the diagonal of Λ, then 1 / √Λ_ii",
        _FIELD.but(stds=lambda precision: 1 / _root(precision).diagonal()),
        "these are the spreads along the principal axes: q factorises along the coordinates",
        _FIELD.but(stds=lambda covariance: torch.linalg.eigvalsh(covariance).sqrt()),
        "all coordinates got the spread of the narrowest direction: each has its own, 1 / √Λ_ii",
        _FIELD.but(stds=lambda mean, covariance: torch.linalg.eigvalsh(covariance).min().sqrt().expand_as(mean)),
        "you summed the rows of Λ: take its diagonal",
        _FIELD.but(stds=lambda precision: precision.sum(1).abs().rsqrt()),
        "you returned Λμ for the means: they are those of p, μ itself",
        _FIELD.but(means=lambda mean, precision: precision @ mean),
        "you returned Σμ for the means: they are those of p, μ itself",
        _FIELD.but(means=lambda mean, covariance: covariance @ mean),
        "the means are those of p, not 0",
        _FIELD.but(means=lambda mean: torch.zeros_like(mean)),
        "you divided the means by the standard deviations: they are those of p, μ itself",
        _FIELD.but(means=lambda mean, stds: mean / stds),
        "these are log σ: return the standard deviations themselves",
        _FIELD.but(stds=lambda precisions: precisions.rsqrt().log()),
        "you returned a matrix: return the standard deviations alone, [d]",
        _FIELD.but(stds=lambda precisions: precisions.rsqrt().diag()),
        "you averaged the standard deviations over the coordinates: each has its own",
        _FIELD.but(stds=lambda precisions: precisions.rsqrt().mean().expand_as(precisions)),
        "the two results are exchanged: return the means first",
        _FIELD.then(lambda both: both[::-1]),
    ),
    results=("means", "standard deviations"),
)


# 5. a sweep of coordinate ascent

_UPDATE = Formula(  # of coordinate i, from the means m as they stand
    "i mean precision m",
    row=lambda i, precision: precision[i],
    away=lambda m, mean: m - mean,
    total=lambda row, away: row @ away,
    pull=lambda i, row, away, total: total - row[i] * away[i],  # Σ_{j ≠ i} Λ_ij (m_j − μ_j)
    best=lambda i, mean, row, pull: mean[i] - pull / row[i],
)


def _sweeping(update: Answer = _UPDATE, order: Callable[[int], Iterable[int]] = range) -> Answer:
    """One sweep with the given update, coordinate after coordinate, each from the newest values."""

    def sweep(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
        m = start.clone()
        for i in order(len(start)):
            m[i] = update(i, mean, precision, m)
        return m

    return sweep


def _with(**steps: Step) -> Answer:
    """One sweep, with some steps of the update exchanged."""
    return _sweeping(_UPDATE.but(**steps))


_sweep = _sweeping()


def _sweep_cases(generator: Generator) -> list[Arguments]:
    def case(precision: Tensor, scale: float = 2.0) -> Arguments:
        d = len(precision)
        return normal(generator, d), precision, normal(generator, d, scale=scale)

    mean = normal(generator, 3)
    return [
        *(case(_covariance(generator, d)) for d in (3, 2, 1, 6)),
        case(torch.linalg.inv(_correlated(0.95, [1.0, 1.5])), 3.0),
        case(torch.diag(0.1 + 3 * uniform(generator, 4))),
        case(torch.linalg.inv(_correlated(0.5, [0.01, 1.0, 20.0])), 100.0),
        (mean, _covariance(generator, 3), mean.clone()),
    ]


coordinate_ascent_sweep = Exercise(
    "coordinate_ascent_sweep",
    _sweep,
    _sweep_cases,
    wrong(
        "you computed every coordinate from the old values: use the newest ones of those already updated",
        lambda mean, precision, start: torch.stack([_UPDATE(i, mean, precision, start) for i in range(len(start))]),
        "the sum includes j = i: leave the coordinate itself out",
        _with(pull=lambda total: total),
        "you took off Λ_ii alone: the term of j = i is Λ_ii (m_i − μ_i)",
        _with(pull=lambda i, row, total: total - row[i]),
        "you added the term of j = i once more: subtract it from the sum over all j",
        _with(pull=lambda i, row, away, total: total + row[i] * away[i]),
        "you started from m_i: the best value is μ_i minus the pull of the others, wherever m_i was",
        _with(best=lambda i, m, row, pull: m[i] - pull / row[i]),
        "this is a gradient step of size 1: divide by Λ_ii, and you land on the best value at once",
        _with(best=lambda i, m, total: m[i] - total),
        "this is one gradient step for all coordinates at once: update one after the other, and divide by Λ_ii",
        lambda mean, precision, start: start - precision @ (start - mean),
        "this is a gradient step of size 0.1: no step size is needed, each coordinate in turn goes to its best value",
        lambda mean, precision, start: start - 0.1 * precision @ (start - mean),
        "each coordinate took a gradient step of size 0.1: divide by Λ_ii instead, and it lands on its best value",
        _with(best=lambda i, m, total: m[i] - 0.1 * total),
        "you subtracted the pull of the others from m_i: divide it by Λ_ii, and subtract it from μ_i",
        _with(best=lambda i, m, pull: m[i] - pull),
        "you used the old values, and let j = i pull too: take the newest values of the others alone",
        lambda mean, precision, start: mean - precision @ (start - mean) / precision.diagonal(),
        "you divided by the variance Σ_ii: divide by the precision Λ_ii",
        _with(best=lambda i, mean, precision, pull: mean[i] - pull / torch.linalg.inv(precision)[i, i]),
        "you multiplied by Σ_ii in place of 1 / Λ_ii: they differ unless the coordinates are independent",
        _with(best=lambda i, mean, precision, pull: mean[i] - pull * torch.linalg.inv(precision)[i, i]),
        "you inverted the precision: the update is written in Λ, and Λ is what comes in",
        _sweeping(_UPDATE.given(precision=torch.linalg.inv)),
        "μ_i is missing: the update starts from it",
        _with(best=lambda i, row, pull: -pull / row[i]),
        "the sign is flipped: the pull of the others is subtracted",
        _with(best=lambda i, mean, row, pull: mean[i] + pull / row[i]),
        "you divided μ_i by Λ_ii as well: only the pull of the others is",
        _with(best=lambda i, mean, row, pull: (mean[i] - pull) / row[i]),
        "you returned the distances from μ: add μ again",
        lambda mean, precision, start: _sweep(mean, precision, start) - mean,
        "the division by Λ_ii is missing",
        _with(best=lambda i, mean, pull: mean[i] - pull),
        "you multiplied by Λ_ii: divide by it",
        _with(best=lambda i, mean, row, pull: mean[i] - pull * row[i]),
        "you divided by √Λ_ii: divide by Λ_ii",
        _with(best=lambda i, mean, row, pull: mean[i] - pull / row[i].sqrt()),
        "you divided each Λ_ij by Λ_jj: divide by Λ_ii, that of the coordinate being updated",
        _with(row=lambda i, precision: precision[i] / precision.diagonal()),
        "μ_j is not subtracted: the others pull by their distance m_j − μ_j",
        _with(away=lambda m: m),
        "you subtracted μ_i from m_j: each coordinate has its own mean, m_j − μ_j",
        _with(away=lambda i, m, mean: m - mean[i]),
        "only the coordinates after i pull in your sum: those before it pull too, from their new values",
        _with(pull=lambda i, row, away: row[i + 1 :] @ away[i + 1 :]),
        "you swept backwards: from the first coordinate to the last",
        _sweeping(order=lambda d: reversed(range(d))),
        "you updated the first coordinate only: go on to the last (is the return inside the loop?)",
        _sweeping(order=lambda d: range(1)),
        "you updated the last coordinate only: a sweep updates all of them",
        _sweeping(order=lambda d: range(d - 1, d)),
        "you left the last coordinate out: a sweep updates all of them",
        _sweeping(order=lambda d: range(d - 1)),
        "you left the first coordinate out: counting begins at 0",
        _sweeping(order=lambda d: range(1, d)),
        "these are two sweeps: make one",
        _sweeping(order=lambda d: [*range(d), *range(d)]),
        "this is μ, where the sweeps end: begin at start, and let the coordinates after i pull too, from their old values",
        lambda mean, precision, start: mean.clone(),
        "the means have not moved: return the updated ones",
        lambda mean, precision, start: start.clone(),
        "you began at 0: begin at start",
        lambda mean, precision, start: _sweep(mean, precision, torch.zeros_like(start)),
    ),
)

# 6. mean field for a normal whose mean and precision are unknown

_SWEEP = Formula(
    "x mu_0 lambda_0 a_0 b_0 precision",
    count=lambda x, lambda_0: lambda_0 + len(x),  # the prior counts as lambda_0 points
    m=lambda x, mu_0, lambda_0, count: (lambda_0 * mu_0 + x.sum()) / count,
    v=lambda count, precision: 1 / (count * precision),
    a=lambda x, a_0: a_0 + (len(x) + 1) / 2,
    points=lambda x, m, v: ((x - m) ** 2 + v).sum(),  # E[Σ (x_i − μ)²]
    pull=lambda mu_0, lambda_0, m, v: lambda_0 * ((m - mu_0) ** 2 + v),  # E[λ₀ (μ − μ₀)²]
    b=lambda b_0, points, pull: b_0 + (points + pull) / 2,
    parts=lambda m, v, a, b: (m, v, a, b),
)


def _sweep_of_two_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, lambda_0: float, precision: float, shift: float = 1.0) -> Arguments:
        numbers = (float(normal(generator, 1)), lambda_0, 1.5 + float(uniform(generator, 1)), 0.7, precision)
        return shift + normal(generator, n, scale=1.3), *(torch.tensor(one, dtype=torch.float64) for one in numbers)

    return [
        case(6, 2.0, 0.8),
        case(1, 0.5, 1.7),
        case(40, 3.0, 0.05, -4.0),
        case(3, 25.0, 6.0),
        case(9, 1e-3, 2.0, 50.0),
    ]


mean_and_precision_sweep = Exercise(
    "mean_and_precision_sweep",
    _SWEEP,
    _sweep_of_two_cases,
    wrong(
        "v is the variance of q(μ): return 1 / ((λ₀ + n) E[τ]), not the precision",
        _SWEEP.but(parts=lambda m, v, a, b: (m, 1 / v, a, b)),
        "v is the variance of q(μ), not the standard deviation",
        _SWEEP.but(parts=lambda m, v, a, b: (m, v.sqrt(), a, b)),
        "E[τ] is missing in v: the precision of q(μ) is (λ₀ + n) E[τ]",
        _SWEEP.but(v=lambda count: 1 / count),
        "you divided (λ₀ + n) by E[τ] in the precision of q(μ): multiply",
        _SWEEP.but(v=lambda count, precision: precision / count),
        "the prior is missing in the precision of q(μ): λ₀ points come to the n",
        _SWEEP.but(v=lambda x, precision: 1 / (len(x) * precision)),
        "the prior of μ is forgotten throughout: λ₀ and μ₀ enter m, v and b",
        _SWEEP.but(count=lambda x: len(x), m=lambda x: x.mean(), pull=lambda: 0),
        "m is the plain mean of the points: μ₀ counts as λ₀ more of them",
        _SWEEP.but(m=lambda x: x.mean()),
        "m is (λ₀ μ₀ + Σ x_i) / (λ₀ + n): divide by λ₀ + n, not by n",
        _SWEEP.but(m=lambda x, mu_0, lambda_0: (lambda_0 * mu_0 + x.sum()) / len(x)),
        "μ₀ is not weighted by λ₀ in m",
        _SWEEP.but(m=lambda x, mu_0, count: (mu_0 + x.sum()) / count),
        "a gains n/2 from the points and ½ from the prior of μ, whose density holds √τ: the ½ is missing",
        _SWEEP.but(a=lambda x, a_0: a_0 + len(x) / 2),
        "a gains (n + 1)/2, half of that many logarithms of τ: the ½ before it is missing",
        _SWEEP.but(a=lambda x, a_0: a_0 + len(x) + 1),
        "v is missing in b: E[(x_i − μ)²] is (x_i − m)² + v",
        _SWEEP.but(points=lambda x, m: ((x - m) ** 2).sum(), pull=lambda mu_0, lambda_0, m: lambda_0 * (m - mu_0) ** 2),
        "v is missing in the sum over the points in b: E[(x_i − μ)²] is (x_i − m)² + v",
        _SWEEP.but(points=lambda x, m: ((x - m) ** 2).sum()),
        "v is missing in the prior's term of b: E[(μ − μ₀)²] is (m − μ₀)² + v",
        _SWEEP.but(pull=lambda mu_0, lambda_0, m: lambda_0 * (m - mu_0) ** 2),
        "v counts once for each point in b: it stands inside the sum",
        _SWEEP.but(points=lambda x, m, v: ((x - m) ** 2).sum() + v),
        "the prior's term is missing in b: λ₀ E[(μ − μ₀)²]",
        _SWEEP.but(pull=lambda: 0),
        "λ₀ is missing before E[(μ − μ₀)²] in b",
        _SWEEP.but(pull=lambda mu_0, m, v: (m - mu_0) ** 2 + v),
        "the ½ is missing in b",
        _SWEEP.but(b=lambda b_0, points, pull: b_0 + points + pull),
        "b₀ is missing: b starts from it",
        _SWEEP.but(b=lambda points, pull: (points + pull) / 2),
        "you averaged over the points in b: sum",
        _SWEEP.but(points=lambda x, m, v: ((x - m) ** 2 + v).mean()),
        "b was made from the old values, about μ₀: take m and v as just updated",
        _SWEEP.but(points=lambda x, mu_0, v: ((x - mu_0) ** 2 + v).sum(), pull=lambda lambda_0, v: lambda_0 * v),
        "the fourth result is b, not E[τ] = a / b",
        _SWEEP.but(parts=lambda m, v, a, b: (m, v, a, a / b)),
        "a and b are exchanged: return m, v, a, b",
        _SWEEP.but(parts=lambda m, v, a, b: (m, v, b, a)),
    ),
    results=("m", "v", "a", "b"),
)
