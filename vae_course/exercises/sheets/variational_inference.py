"""The sheet on variational inference: code lengths, two directions of the KL divergence, mean-field normals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log, pi

import torch
from torch import Generator, Tensor

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. the bits that the wrong code costs


def _divergence(q: Tensor, p: Tensor) -> Tensor:
    """D_KL(q‖p) in nats, with 0 log 0 = 0: without axes."""
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum()


def _entropy(q: Tensor) -> Tensor:
    return -torch.xlogy(q, q).sum()


def _excess_code_length(q: Tensor, p: Tensor) -> Tensor:
    return _divergence(q, p) / log(2)


def _normalised(p: Tensor) -> Tensor:
    return p / p.sum()


def _excess_code_length_cases(generator: Generator) -> list[Arguments]:
    def drawn(symbols: int) -> Tensor:
        return _normalised(0.05 + uniform(generator, symbols))

    def with_zeros(symbols: int) -> Tensor:
        q = drawn(symbols)
        q[::3] = 0
        return _normalised(q)

    certain = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    p = drawn(4)
    rare = torch.tensor([1e-13, 0.5 - 1e-13, 0.5], dtype=torch.float64)
    small = _normalised(torch.logspace(-7, 0, 200, dtype=torch.float64))  # many entries are small and not 0
    return [
        (drawn(5), drawn(5)),
        (drawn(2), drawn(2)),
        (torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)),
        (drawn(100), drawn(100)),
        (p, p.clone()),
        (with_zeros(7), drawn(7)),
        (certain, drawn(3)),
        (drawn(3), rare),
        (small, _normalised(small * (0.5 + uniform(generator, 200)))),
    ]


def _not_averaged(q: Tensor, p: Tensor) -> Tensor:
    ratio = torch.where(q > 0, (q / p).log2(), torch.zeros_like(q))
    return ratio.sum()


def _whole_bits(q: Tensor, p: Tensor) -> Tensor:
    return (q * (-p.log2()).ceil()).sum() - _entropy(q) / log(2)


def _added(q: Tensor, p: Tensor, least: float) -> Tensor:
    return (q * ((q + least) / (p + least)).log2()).sum()


def _on_the_support(q: Tensor, p: Tensor) -> Tensor:
    return _excess_code_length(q[q > 0], _normalised(p[q > 0]))


def _jensen_shannon(q: Tensor, p: Tensor) -> Tensor:
    middle = (q + p) / 2
    return (_divergence(q, middle) + _divergence(p, middle)) / 2 / log(2)


excess_code_length = Exercise(
    "excess_code_length",
    _excess_code_length,
    _excess_code_length_cases,
    wrong(
        "these are nats: divide by log 2 to get bits, or use log2",
        lambda q, p: _divergence(q, p),
        "you multiplied by log 2: a nat is 1 / log 2 = 1.44 bits, so divide",
        lambda q, p: _divergence(q, p) * log(2),
        "this is the other direction: the symbols are drawn from q and coded with the code for p",
        lambda q, p: _excess_code_length(p, q),
        "this is the other direction, and in nats: the symbols are drawn from q, and log2 gives bits",
        lambda q, p: _divergence(p, q),
        "you weighted by p: the symbols are drawn from q",
        lambda q, p: (p * (q / p).log2()).sum(),
        "this is the whole length, the cross-entropy: subtract the entropy of q, the length of the right code",
        lambda q, p: -(q * p.log2()).sum(),
        "this is the cross-entropy, and in nats: subtract the entropy of q, and use log2",
        lambda q, p: -(q * p.log()).sum(),
        "the cross-entropy is in bits, the entropy of q in nats: divide that by log 2 too",
        lambda q, p: -(q * p.log2()).sum() - _entropy(q),
        "you subtracted the entropy of p: the right code is that for q, whose mean length is the entropy of q",
        lambda q, p: (-torch.xlogy(q, p).sum() - _entropy(p)) / log(2),
        "you took absolute values: what some symbols lose, others gain, and the two must cancel",
        lambda q, p: (torch.xlogy(q, q) - torch.xlogy(q, p)).abs().sum() / log(2),
        "this is the entropy of q, the length of the right code: return what the wrong code adds to it",
        lambda q, p: _entropy(q) / log(2),
        "this is a difference of entropies: symbols from q have the mean length −Σ q log2 p under the code for p",
        lambda q, p: (_entropy(p) - _entropy(q)) / log(2),
        "this is a difference of entropies, and in nats: symbols from q have the mean length −Σ q log2 p under the code for p",
        lambda q, p: _entropy(p) - _entropy(q),
        "this is a difference of entropies, and NaN where q is 0: symbols from q have the mean length −Σ q log2 p under the code for p",
        lambda q, p: (q * q.log2()).sum() - (p * p.log2()).sum(),
        "0 · log 0 came out as NaN: a symbol that q never draws costs nothing (torch.xlogy, or leave it out)",
        lambda q, p: (q * (q / p).log2()).sum(),
        "nan_to_num after the sum turns the whole result into 0: a symbol that q never draws costs nothing, but the others do",
        lambda q, p: (q * (q / p).log2()).sum().nan_to_num(),
        "you averaged over the symbols with equal weights: q is the weight already, so sum",
        lambda q, p: (q * (q / p).log2()).nan_to_num().mean(),
        "this is a mean over the symbols, and in nats (the default of kl_div): sum, and divide by log 2",
        lambda q, p: (q * (q / p).log()).nan_to_num().mean(),
        "kl_div takes the logarithm of its first argument: pass p.log(), not p",
        lambda q, p: (torch.xlogy(q, q) - q * p).sum() / log(2),
        "kl_div takes log p first, not p, and gives nats: pass p.log(), and divide by log 2",
        lambda q, p: (torch.xlogy(q, q) - q * p).sum(),
        "you took softmax of q and p: they are probabilities, not logits (Categorical takes them as probs)",
        lambda q, p: _excess_code_length(q.softmax(-1), p.softmax(-1)),
        "the sign is flipped: no code is shorter on average than the right one",
        lambda q, p: -_excess_code_length(q, p),
        "this is the total variation distance, which knows no code lengths: return Σ q log2(q / p)",
        lambda q, p: (q - p).abs().sum() / 2,
        "you averaged both directions: the symbols are drawn from q alone",
        lambda q, p: (_excess_code_length(q, p) + _excess_code_length(p, q)) / 2,
        "this is the Jensen-Shannon divergence: the code is that for p, not for the mean of q and p",
        _jensen_shannon,
        "you did not weight by q: a symbol counts as often as it is drawn",
        _not_averaged,
        "you did not sum over the symbols: return one number",
        lambda q, p: torch.where(q > 0, q * (q / p).log2(), torch.zeros_like(q)),
        "you rounded the lengths up to whole bits: here a symbol takes −log2 p of them, whole or not",
        _whole_bits,
        "a small number added to q and p inside the logarithm changes the lengths of the words: treat q = 0 by itself",
        lambda q, p: _added(q, p, 1e-12),
        *[lambda q, p, small=small: _added(q, p, small) for small in (1e-10, 1e-8, 1e-6)],
        "a small number added to q inside the logarithm makes every symbol dearer: treat q = 0 by itself",
        lambda q, p: (q * ((q + 1e-6) / p).log2()).sum(),
        "a floor under p hides how long the code of a rare symbol is: only q may be 0, so treat that by itself",
        lambda q, p: (q * (q.clamp(min=1e-12) / p.clamp(min=1e-12)).log2()).sum(),
        "you normalised p anew where q is 0: the code for p stays as long, even where a symbol never comes",
        _on_the_support,
    ),
)


# 2. KL between two diagonal normals


def _kl_terms(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log σ_p − log σ_q, σ_q² / σ_p² and (μ_q − μ_p)² / σ_p², each [batch, latent]."""
    ratio = log_std_p - log_std_q
    return ratio, (-2 * ratio).exp(), (mean_q - mean_p).square() * (-2 * log_std_p).exp()


def _kl_each(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    ratio, variance, distance = _kl_terms(mean_q, log_std_q, mean_p, log_std_p)
    return ratio + 0.5 * (variance + distance - 1)


def _kl(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    return _kl_each(mean_q, log_std_q, mean_p, log_std_p).sum(-1)


def _kl_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float = 0.7) -> Arguments:
        return tuple(normal(generator, batch, latent, scale=scale, gradient=True) for _ in range(4))

    def equal(batch: int, latent: int) -> Arguments:
        mean, log_std = normal(generator, batch, latent), normal(generator, batch, latent)
        return tuple(a.clone().requires_grad_() for a in (mean, log_std, mean, log_std))

    def narrow(batch: int, latent: int) -> Arguments:  # q far narrower than p
        mean_q, log_std_q, mean_p, log_std_p = (normal(generator, batch, latent) for _ in range(4))
        return tuple(a.requires_grad_() for a in (mean_q, log_std_q - 8, mean_p, log_std_p))

    return [case(4, 3), case(1, 5), case(3, 1, 1.0), case(3, 3), case(2, 4, 1e-3), equal(3, 2), narrow(2, 3)]


def _trace_and_determinants(mean_q: Tensor, log_std_q: Tensor, mean_p: Tensor, log_std_p: Tensor) -> Tensor:
    ratio, variance, distance = _kl_terms(mean_q, log_std_q, mean_p, log_std_p)
    return 0.5 * (ratio + variance + distance - 1).sum(-1)


kl_diagonal_normals = Exercise(
    "kl_diagonal_normals",
    _kl,
    _kl_cases,
    wrong(
        "this is D_KL(p‖q), the other direction: the expectation is over q",
        lambda mean_q, log_std_q, mean_p, log_std_p: _kl(mean_p, log_std_p, mean_q, log_std_q),
        "you divided (μ_q − μ_p)² by σ_q²: the density whose logarithm is averaged is p's, so divide by σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] - a[2]) ** 2 * (-2 * a[1]).exp())).sum(-1),
        "(μ_q − μ_p)² is not divided by σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] - a[2]) ** 2)).sum(-1),
        "σ_q² is not divided by σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * ((2 * a[1]).exp() - 1 + (a[0] - a[2]) ** 2 * (-2 * a[3]).exp())).sum(-1),
        "σ_q / σ_p is not squared",
        lambda *a: (
            _kl_terms(*a)[0] + 0.5 * ((-_kl_terms(*a)[0]).exp() - 1 + (a[0] - a[2]) ** 2 * (-2 * a[3]).exp())
        ).sum(-1),
        "the fraction of the variances is upside down: it is σ_q² / σ_p²",
        lambda *a: (
            _kl_terms(*a)[0] + 0.5 * ((2 * _kl_terms(*a)[0]).exp() - 1 + (a[0] - a[2]) ** 2 * (-2 * a[3]).exp())
        ).sum(-1),
        "you divided (μ_q − μ_p)² by σ_p: divide it by σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] - a[2]) ** 2 * (-a[3]).exp())).sum(-1),
        "you divided by 2 σ_p: divide by 2 σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * ((2 * a[1]).exp() + (a[0] - a[2]) ** 2) * (-a[3]).exp() - 0.5).sum(-1),
        "only (μ_q − μ_p)² is divided by 2 σ_p²: set brackets round σ_q² + (μ_q − μ_p)²",
        lambda *a: (_kl_terms(*a)[0] + (2 * a[1]).exp() + 0.5 * _kl_terms(*a)[2] - 0.5).sum(-1),
        "you multiplied by σ_p², since a / 2 * b is (a / 2) · b: set brackets round 2 σ_p²",
        lambda *a: (_kl_terms(*a)[0] + ((2 * a[1]).exp() + (a[0] - a[2]) ** 2) / 2 * (2 * a[3]).exp() - 0.5).sum(-1),
        "you divided σ_q² + (μ_q − μ_p)² by 2 σ_q²: divide by 2 σ_p²",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (a[0] - a[2]) ** 2 * (-2 * a[1]).exp()).sum(-1),
        "you wrote exp(log_std_q) for σ_q²: log_std is log σ, so σ² is exp(2 log σ)",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (a[1].exp() + (a[0] - a[2]) ** 2) * (-2 * a[3]).exp() - 0.5).sum(-1),
        "you wrote exp(log_std) for both variances: log_std is log σ, so σ² is exp(2 log σ)",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (a[1].exp() + (a[0] - a[2]) ** 2) / a[3].exp() - 0.5).sum(-1),
        "2 * log_std_q.exp() is 2 σ_q, not σ_q²: the 2 belongs inside the exponential",
        lambda *a: (_kl_terms(*a)[0] + (2 * a[1].exp() + (a[0] - a[2]) ** 2) / (2 * (2 * a[3]).exp()) - 0.5).sum(-1),
        "2 * log_std.exp() is 2 σ, not σ², for q and for p: the 2 belongs inside the exponential",
        lambda *a: (_kl_terms(*a)[0] + (2 * a[1].exp() + (a[0] - a[2]) ** 2) / (2 * (2 * a[3].exp())) - 0.5).sum(-1),
        "you took the densities at the mean of q only: the expectation over q adds (σ_q²/σ_p² − 1)/2 per latent",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * _kl_terms(*a)[2]).sum(-1),
        "the fraction is divided by σ_p² where 2 σ_p² belongs",
        lambda *a: (_kl_terms(*a)[0] + _kl_terms(*a)[1] + _kl_terms(*a)[2] - 0.5).sum(-1),
        "the ½ before the bracket (σ_q² + (μ_q − μ_p)²)/σ_p² − 1 is missing",
        lambda *a: (_kl_terms(*a)[0] + _kl_terms(*a)[1] + _kl_terms(*a)[2] - 1).sum(-1),
        "the factor ½ is missing: with log σ² in place of log σ the whole sum has a ½ before it",
        lambda *a: 2 * _kl(*a),
        "there is a ½ too much: log σ_p − log σ_q has none",
        lambda *a: 0.5 * _kl(*a),
        "the ½ stands before log σ_p − log σ_q too: log σ² is 2 log σ, so there it cancels",
        _trace_and_determinants,
        "log σ_p − log σ_q counts twice: log σ² without its ½",
        lambda *a: (2 * _kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] + _kl_terms(*a)[2] - 1)).sum(-1),
        "you took log_std for log σ² throughout: log_std is log σ, and σ² is exp(2 log σ)",
        lambda mean_q, log_std_q, mean_p, log_std_p: _kl(mean_q, 0.5 * log_std_q, mean_p, 0.5 * log_std_p),
        "you took the variances for the standard deviations: σ is exp(log_std), σ² its square",
        lambda mean_q, log_std_q, mean_p, log_std_p: _kl(mean_q, 2 * log_std_q, mean_p, 2 * log_std_p),
        "you took exp twice: σ is exp(log_std)",
        lambda mean_q, log_std_q, mean_p, log_std_p: _kl(mean_q, log_std_q.exp(), mean_p, log_std_p.exp()),
        "the −½ stands outside the sum: every latent has its own",
        lambda *a: (_kl_each(*a) + 0.5).sum(-1) - 0.5,
        "the −½ is missing: for q = p the divergence must be 0",
        lambda *a: (_kl_each(*a) + 0.5).sum(-1),
        "½ was added where it is subtracted: for q = p the divergence must be 0",
        lambda *a: (_kl_each(*a) + 1).sum(-1),
        "1 was subtracted where ½ belongs: for q = p the divergence must be 0",
        lambda *a: (_kl_each(*a) - 0.5).sum(-1),
        "you averaged over the latents: the KL of independent coordinates is a sum",
        lambda *a: _kl_each(*a).mean(-1),
        "you did not sum over the latents: the last axis is the event",
        lambda *a: _kl_each(*a),
        "you averaged over the batch: return one number per example",
        lambda *a: _kl(*a).mean(),
        "you summed over the batch too: return one number per example",
        lambda *a: _kl(*a).sum(),
        "you summed over the batch in place of the latents: the last axis is the event",
        lambda *a: _kl_each(*a).sum(0),
        "μ_q − μ_p is not squared",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] - a[2]) * (-2 * a[3]).exp())).sum(-1),
        "you took |μ_q − μ_p| where its square belongs",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] - a[2]).abs() * (-2 * a[3]).exp())).sum(-1),
        "you subtracted the squares of the means: subtract first, then square",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1 + (a[0] ** 2 - a[2] ** 2) * (-2 * a[3]).exp())).sum(
            -1
        ),
        "the signs of the logarithms are exchanged: log σ_p is added, log σ_q subtracted",
        lambda *a: (-_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] + _kl_terms(*a)[2] - 1)).sum(-1),
        "log σ_p − log σ_q is missing",
        lambda *a: (0.5 * (_kl_terms(*a)[1] + _kl_terms(*a)[2] - 1)).sum(-1),
        "the term with the means is missing: (μ_q − μ_p)² / (2 σ_p²)",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[1] - 1)).sum(-1),
        "the term σ_q² / (2 σ_p²) is missing",
        lambda *a: (_kl_terms(*a)[0] + 0.5 * (_kl_terms(*a)[2] - 1)).sum(-1),
        "this is the divergence from a standard normal p: here p has a mean and a standard deviation of its own",
        lambda mean_q, log_std_q, mean_p, log_std_p: (0.5 * (mean_q**2 + (2 * log_std_q).exp() - 1) - log_std_q).sum(
            -1
        ),
        "this is the cross-entropy −E_q[log p]: subtract the entropy of q",
        lambda *a: (a[3] + 0.5 * (log(2 * pi) + _kl_terms(*a)[1] + _kl_terms(*a)[2])).sum(-1),
        "the sign is flipped: a KL divergence is never negative",
        lambda *a: -_kl(*a),
        "no gradient reaches p: something cut its path; p is learnt too",
        lambda mean_q, log_std_q, mean_p, log_std_p: _kl(mean_q, log_std_q, mean_p.detach(), log_std_p.detach()),
        "you averaged both directions: the expectation is over q alone",
        lambda mean_q, log_std_q, mean_p, log_std_p: (
            0.5 * (_kl(mean_q, log_std_q, mean_p, log_std_p) + _kl(mean_p, log_std_p, mean_q, log_std_q))
        ),
    ),
)


# 3. the normal with the moments of a mixture


def _moments(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the mixture."""
    mean = weights @ means
    return mean, weights @ (stds**2 + (means - mean) ** 2)


def _moment_match(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = _moments(weights, means, stds)
    return mean, variance.sqrt()


def _moment_match_cases(generator: Generator) -> list[Arguments]:
    def case(weights: Tensor, scale: float = 2.0, width: float = 1.0) -> Arguments:
        k = len(weights)
        return weights, normal(generator, k, scale=scale), width * (0.2 + uniform(generator, k))

    def drawn(k: int) -> Tensor:
        return _normalised(0.1 + uniform(generator, k))

    symmetric = torch.tensor([0.5, 0.5], dtype=torch.float64)
    modes = torch.tensor([-3.0, 3.0], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    peaked = torch.tensor([0.6, 0.4], dtype=torch.float64)  # the heavier component has the lower peak
    broad_and_narrow = torch.tensor([0.0, 2.0], dtype=torch.float64), torch.tensor([2.0, 0.3], dtype=torch.float64)
    return [
        case(drawn(3)),
        case(drawn(5)),
        case(drawn(2)),
        case(drawn(1)),
        case(drawn(4), 0.1, 3.0),
        case(drawn(4), 300.0),
        (symmetric, *modes),
        (peaked, *broad_and_narrow),
    ]


def _of_component(k: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    return means[k], stds[k]


def _about(mean: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    return mean, (weights @ (stds**2 + means**2) - mean**2).sqrt()


def _product(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    precisions = weights / stds**2
    return precisions @ means / precisions.sum(), precisions.sum().rsqrt()


def _unbiased_between(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    between = (means - means.mean()).square().mean()
    return weights @ means, (weights @ stds**2 + between).sqrt()


def _between(weights: Tensor, means: Tensor) -> Tensor:
    return weights @ (means - weights @ means) ** 2


moment_match = Exercise(
    "moment_match",
    _moment_match,
    _moment_match_cases,
    wrong(
        "you averaged the standard deviations: variances average, and the distances between the means add to them",
        lambda weights, means, stds: (weights @ means, weights @ stds),
        "the variance between the components is missing: the means differ, and that widens the mixture",
        lambda weights, means, stds: (weights @ means, (weights @ stds**2).sqrt()),
        "the variance within the components is missing: only the means count here",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ (means - weights @ means) ** 2).sqrt(),
        ),
        "you returned the variance: take the square root",
        _moments,
        "you added standard deviations: add the variances within and between, then take the square root",
        lambda weights, means, stds: (
            weights @ means,
            weights @ stds + (weights @ (means - weights @ means) ** 2).sqrt(),
        ),
        "you took the root before the average over the components: average, then take the root",
        lambda weights, means, stds: (
            weights @ means,
            weights @ (stds**2 + (means - weights @ means) ** 2).sqrt(),
        ),
        "you squared the average of the standard deviations: average their squares",
        lambda weights, means, stds: (
            weights @ means,
            ((weights @ stds) ** 2 + _between(weights, means)).sqrt(),
        ),
        "this is the second moment: subtract the squared mean to get the variance",
        lambda weights, means, stds: (weights @ means, (weights @ (stds**2 + means**2)).sqrt()),
        "the squared mean was added: subtract it from the second moment",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ (stds**2 + means**2) + (weights @ means) ** 2).sqrt(),
        ),
        "the mean that is subtracted from the second moment is not squared",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ (stds**2 + means**2) - weights @ means).sqrt(),
        ),
        "you squared weight times mean component by component: sum first, then square",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ stds**2 + means**2 @ weights - (weights**2) @ (means**2)).sqrt(),
        ),
        "the standard deviations are not squared in the variance: average σ_k², not σ_k",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ (stds + (means - weights @ means) ** 2)).sqrt(),
        ),
        "this is the standard deviation of a weighted sum of variables: a mixture draws one of them",
        lambda weights, means, stds: (weights @ means, (weights**2 @ stds**2).sqrt()),
        "the variance is about the plain mean of the means: take it about Σ π_k μ_k",
        lambda weights, means, stds: (weights @ means, (weights @ (stds**2 + (means - means.mean()) ** 2)).sqrt()),
        "the mean is that of the heaviest component: it is Σ π_k μ_k",
        lambda weights, means, stds: (means[weights.argmax()], _moment_match(weights, means, stds)[1]),
        "the components count equally: weight mean and variance by weights",
        lambda weights, means, stds: _moment_match(torch.ones_like(weights) / len(weights), means, stds),
        "the mean is not weighted: it is Σ π_k μ_k",
        lambda weights, means, stds: _about(means.mean(), weights, means, stds),
        "the variance between the components is not weighted: it is Σ π_k (μ_k − μ)² about the mean of the mixture",
        _unbiased_between,
        "the spread of the means is weighted by π too, with no division by K − 1",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ stds**2 + (means - means.mean()).square().sum() / (len(means) - 1)).sqrt(),
        ),
        "you averaged (μ_k − μ)² with equal weights: weight it by π_k",
        lambda weights, means, stds: (
            weights @ means,
            (weights @ stds**2 + (means - weights @ means).square().mean()).sqrt(),
        ),
        "this is the heaviest component alone: D_KL(p‖q) covers them all; D_KL(q‖p) may settle on one",
        lambda weights, means, stds: _of_component(weights.argmax(), means, stds),
        "this is the component with the highest peak alone: D_KL(p‖q) covers them all",
        lambda weights, means, stds: _of_component((weights / stds).argmax(), means, stds),
        "the two results are exchanged: return the mean first",
        lambda weights, means, stds: _moment_match(weights, means, stds)[::-1],
        "these are the moments of a sum of variables: a mixture draws one of them",
        lambda weights, means, stds: (means.sum(), stds.square().sum().sqrt()),
        "you weighted by the precisions, as in a product of normals: a mixture is a sum of densities",
        _product,
        "you took exp of stds: here they are standard deviations, not their logarithms",
        lambda weights, means, stds: _moment_match(weights, means, stds.exp()),
        "you divided by √K: this is the spread of one draw, not of a mean",
        lambda weights, means, stds: (
            weights @ means,
            _moment_match(weights, means, stds)[1] / len(weights) ** 0.5,
        ),
        "you returned log σ: return the standard deviation itself",
        lambda weights, means, stds: (weights @ means, _moment_match(weights, means, stds)[1].log()),
    ),
    results=("mean", "standard deviation"),
)


# 4. the factorised normal closest to a correlated one


def _precision_diagonal(covariance: Tensor) -> Tensor:
    diagonal: Tensor = torch.linalg.inv(covariance).diagonal()
    return diagonal


def _mean_field(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    return mean.clone(), _precision_diagonal(covariance).rsqrt()


def _covariance(generator: Generator, d: int) -> Tensor:
    factor = normal(generator, d, d)
    return factor @ factor.T + 0.3 * torch.diag(0.5 + uniform(generator, d))


def _correlated(correlation: float, stds: list[float]) -> Tensor:
    scale = torch.tensor(stds, dtype=torch.float64)
    unit = torch.eye(len(stds), dtype=torch.float64)
    return (correlation + (1 - correlation) * unit) * scale * scale[:, None]


def _mean_field_cases(generator: Generator) -> list[Arguments]:
    covariances = [
        _covariance(generator, 3),
        _covariance(generator, 2),
        _covariance(generator, 1),
        _covariance(generator, 6),
        torch.diag(0.1 + 3 * uniform(generator, 4)),
        _correlated(0.999, [1.0, 2.0]),
        _correlated(0.9, [1e-2, 1.0, 30.0]),
        _correlated(-0.4, [0.5, 0.5, 1.5]),
    ]
    return [(normal(generator, len(covariance), scale=2.0), covariance) for covariance in covariances]


def _marginal(covariance: Tensor) -> Tensor:
    return covariance.diagonal().sqrt()


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors @ torch.diag(values.sqrt()) @ vectors.T
    return root


def _row_sums(covariance: Tensor) -> Tensor:
    sums: Tensor = torch.linalg.inv(covariance).sum(1)
    return sums.abs().rsqrt()


mean_field_of_normal = Exercise(
    "mean_field_of_normal",
    _mean_field,
    _mean_field_cases,
    wrong(
        "these are the standard deviations of the marginals, which minimise D_KL(p‖q): for D_KL(q‖p) invert Σ first",
        lambda mean, covariance: (mean.clone(), _marginal(covariance)),
        "these are the variances of the marginals: take 1 / √Λ_ii, with the precision Λ = Σ⁻¹",
        lambda mean, covariance: (mean.clone(), covariance.diagonal().clone()),
        "these are the variances 1 / Λ_ii: take the square root",
        lambda mean, covariance: (mean.clone(), 1 / _precision_diagonal(covariance)),
        "these are the variances, halved: ** binds before /, so write ** -0.5",
        lambda mean, covariance: (mean.clone(), _precision_diagonal(covariance) ** -1 / 2),
        "you took √Λ_ii: a large precision is a small standard deviation, 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), _precision_diagonal(covariance).sqrt()),
        "these are the precisions Λ_ii: the standard deviations are 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), _precision_diagonal(covariance).clone()),
        "you returned 1 / Λ_ii²: the variance is 1 / Λ_ii, and its root is asked for",
        lambda mean, covariance: (mean.clone(), _precision_diagonal(covariance) ** -2),
        "you took 1 / √Σ_ii: invert the matrix first, then take the diagonal",
        lambda mean, covariance: (mean.clone(), covariance.diagonal().rsqrt()),
        "you took 1 / Σ_ii for the standard deviation: invert the matrix first, then take 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), 1 / covariance.diagonal()),
        "the diagonal of the Cholesky factor is the spread given the coordinates before: here all others are given",
        lambda mean, covariance: (mean.clone(), torch.linalg.cholesky(covariance).diagonal().clone()),
        "you inverted the diagonal of the Cholesky factor of Σ: take that of Λ = Σ⁻¹ itself, then 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), 1 / torch.linalg.cholesky(covariance).diagonal()),
        "you took the diagonal of the Cholesky factor of Λ: take the diagonal of Λ itself, then 1 / √Λ_ii",
        lambda mean, covariance: (
            mean.clone(),
            1 / torch.linalg.cholesky(torch.linalg.inv(covariance)).diagonal(),
        ),
        "you took the root of the matrix, then its diagonal: invert Σ, take the diagonal, then 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), _root(covariance).diagonal().clone()),
        "you took the root of the matrix Λ before its diagonal: take the diagonal of Λ, then 1 / √Λ_ii",
        lambda mean, covariance: (mean.clone(), 1 / _root(torch.linalg.inv(covariance)).diagonal()),
        "these are the spreads along the principal axes: q factorises along the coordinates",
        lambda mean, covariance: (mean.clone(), torch.linalg.eigvalsh(covariance).sqrt()),
        "all coordinates got the spread of the narrowest direction: each has its own, 1 / √Λ_ii",
        lambda mean, covariance: (
            mean.clone(),
            torch.linalg.eigvalsh(covariance).min().sqrt().expand(len(mean)),
        ),
        "you summed the rows of Λ: take its diagonal",
        lambda mean, covariance: (mean.clone(), _row_sums(covariance)),
        "you returned Λμ for the means: they are those of p, μ itself",
        lambda mean, covariance: (
            torch.linalg.solve(covariance, mean),
            _precision_diagonal(covariance).rsqrt(),
        ),
        "you returned Σμ for the means: they are those of p, μ itself",
        lambda mean, covariance: (covariance @ mean, _precision_diagonal(covariance).rsqrt()),
        "the means are those of p, not 0",
        lambda mean, covariance: (torch.zeros_like(mean), _precision_diagonal(covariance).rsqrt()),
        "you divided the means by the standard deviations: they are those of p, μ itself",
        lambda mean, covariance: (
            mean / _precision_diagonal(covariance).rsqrt(),
            _precision_diagonal(covariance).rsqrt(),
        ),
        "these are log σ: return the standard deviations themselves",
        lambda mean, covariance: (mean.clone(), -0.5 * _precision_diagonal(covariance).log()),
        "you returned a matrix: return the standard deviations alone, [d]",
        lambda mean, covariance: (mean.clone(), torch.diag(_precision_diagonal(covariance).rsqrt())),
        "you averaged the standard deviations over the coordinates: each has its own",
        lambda mean, covariance: (
            mean.clone(),
            _precision_diagonal(covariance).rsqrt().mean().expand(len(mean)),
        ),
        "the two results are exchanged: return the means first",
        lambda mean, covariance: _mean_field(mean, covariance)[::-1],
    ),
    results=("means", "standard deviations"),
)


# 5. a sweep of coordinate ascent

Update = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # of coordinate i, from the means as they stand


def _sweeping(update: Update, order: Callable[[int], Iterable[int]] = range) -> Answer:
    """One sweep with the given update, coordinate after coordinate, each from the newest values."""

    def sweep(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
        m = start.clone()
        for i in order(len(start)):
            m[i] = update(i, mean, precision, m)
        return m

    return sweep


def _pull(i: int, mean: Tensor, precision: Tensor, m: Tensor) -> Tensor:
    """Σ_{j ≠ i} Λ_ij (m_j − μ_j): without axes."""
    return precision[i] @ (m - mean) - precision[i, i] * (m[i] - mean[i])


def _update(i: int, mean: Tensor, precision: Tensor, m: Tensor) -> Tensor:
    return mean[i] - _pull(i, mean, precision, m) / precision[i, i]


def _sweep(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    result: Tensor = _sweeping(_update)(mean, precision, start)
    return result


def _sweep_cases(generator: Generator) -> list[Arguments]:
    def case(precision: Tensor, scale: float = 2.0) -> Arguments:
        d = len(precision)
        return normal(generator, d), precision, normal(generator, d, scale=scale)

    mean = normal(generator, 3)
    return [
        case(_covariance(generator, 3)),
        case(_covariance(generator, 2)),
        case(_covariance(generator, 1)),
        case(_covariance(generator, 6)),
        case(torch.linalg.inv(_correlated(0.95, [1.0, 1.5])), 3.0),
        case(torch.diag(0.1 + 3 * uniform(generator, 4))),
        case(torch.linalg.inv(_correlated(0.5, [0.01, 1.0, 20.0])), 100.0),
        (mean, _covariance(generator, 3), mean.clone()),
    ]


def _all_at_once(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    return torch.stack([_update(i, mean, precision, start) for i in range(len(start))])


def _by_covariance(i: int, mean: Tensor, precision: Tensor, m: Tensor) -> Tensor:
    return _update(i, mean, torch.linalg.inv(precision), m)


def _centred_on_itself(i: int, mean: Tensor, precision: Tensor, m: Tensor) -> Tensor:
    others = precision[i] @ m - precision[i, i] * m[i]
    return mean[i] - (others - mean[i] * (precision[i].sum() - precision[i, i])) / precision[i, i]


def _divided_by_the_others(mean: Tensor, precision: Tensor, start: Tensor) -> Tensor:
    """Σ_{j ≠ i} Λ_ij (m_j − μ_j) / Λ_jj is subtracted."""
    m = start.clone()
    for i in range(len(start)):
        share = precision[i] / precision.diagonal()
        m[i] = mean[i] - (share @ (m - mean) - (m[i] - mean[i]))
    return m


coordinate_ascent_sweep = Exercise(
    "coordinate_ascent_sweep",
    _sweep,
    _sweep_cases,
    wrong(
        "you computed every coordinate from the old values: use the newest ones of those already updated",
        _all_at_once,
        "the sum includes j = i: leave the coordinate itself out",
        _sweeping(lambda i, mean, precision, m: mean[i] - precision[i] @ (m - mean) / precision[i, i]),
        "you took off Λ_ii alone: the term of j = i is Λ_ii (m_i − μ_i)",
        _sweeping(
            lambda i, mean, precision, m: mean[i] - (precision[i] @ (m - mean) - precision[i, i]) / precision[i, i]
        ),
        "you added the term of j = i once more: subtract it from the sum over all j",
        _sweeping(
            lambda i, mean, precision, m: mean[i] - precision[i] @ (m - mean) / precision[i, i] - (m[i] - mean[i])
        ),
        "you started from m_i: the best value is μ_i minus the pull of the others, wherever m_i was",
        _sweeping(lambda i, mean, precision, m: m[i] - _pull(i, mean, precision, m) / precision[i, i]),
        "this is a gradient step of size 1: divide by Λ_ii, and you land on the best value at once",
        _sweeping(lambda i, mean, precision, m: m[i] - precision[i] @ (m - mean)),
        "this is one gradient step for all coordinates at once: update one after the other, and divide by Λ_ii",
        lambda mean, precision, start: start - precision @ (start - mean),
        "this is a gradient step of size 0.1: no step size is needed, each coordinate in turn goes to its best value",
        lambda mean, precision, start: start - 0.1 * precision @ (start - mean),
        "each coordinate took a gradient step of size 0.1: divide by Λ_ii instead, and it lands on its best value",
        _sweeping(lambda i, mean, precision, m: m[i] - 0.1 * precision[i] @ (m - mean)),
        "you subtracted the pull of the others from m_i: divide it by Λ_ii, and subtract it from μ_i",
        _sweeping(lambda i, mean, precision, m: m[i] - _pull(i, mean, precision, m)),
        "you used the old values, and let j = i pull too: take the newest values of the others alone",
        lambda mean, precision, start: mean - precision @ (start - mean) / precision.diagonal(),
        "you divided by the variance Σ_ii: divide by the precision Λ_ii",
        _sweeping(
            lambda i, mean, precision, m: mean[i] - _pull(i, mean, precision, m) / torch.linalg.inv(precision)[i, i]
        ),
        "you multiplied by Σ_ii in place of 1 / Λ_ii: they differ unless the coordinates are independent",
        _sweeping(
            lambda i, mean, precision, m: mean[i] - _pull(i, mean, precision, m) * torch.linalg.inv(precision)[i, i]
        ),
        "you inverted the precision: the update is written in Λ, and Λ is what comes in",
        _sweeping(_by_covariance),
        "μ_i is missing: the update starts from it",
        _sweeping(lambda i, mean, precision, m: -_pull(i, mean, precision, m) / precision[i, i]),
        "the sign is flipped: the pull of the others is subtracted",
        _sweeping(lambda i, mean, precision, m: mean[i] + _pull(i, mean, precision, m) / precision[i, i]),
        "you divided μ_i by Λ_ii as well: only the pull of the others is",
        _sweeping(lambda i, mean, precision, m: (mean[i] - _pull(i, mean, precision, m)) / precision[i, i]),
        "you returned the distances from μ: add μ again",
        lambda mean, precision, start: _sweep(mean, precision, start) - mean,
        "the division by Λ_ii is missing",
        _sweeping(lambda i, mean, precision, m: mean[i] - _pull(i, mean, precision, m)),
        "you multiplied by Λ_ii: divide by it",
        _sweeping(lambda i, mean, precision, m: mean[i] - _pull(i, mean, precision, m) * precision[i, i]),
        "you divided by √Λ_ii: divide by Λ_ii",
        _sweeping(lambda i, mean, precision, m: mean[i] - _pull(i, mean, precision, m) / precision[i, i].sqrt()),
        "you divided each Λ_ij by Λ_jj: divide by Λ_ii, that of the coordinate being updated",
        _divided_by_the_others,
        "μ_j is not subtracted: the others pull by their distance m_j − μ_j",
        _sweeping(lambda i, mean, precision, m: mean[i] - _pull(i, 0 * mean, precision, m) / precision[i, i]),
        "you subtracted μ_i from m_j: each coordinate has its own mean, m_j − μ_j",
        _sweeping(_centred_on_itself),
        "only the coordinates after i pull in your sum: those before it pull too, from their new values",
        _sweeping(
            lambda i, mean, precision, m: mean[i] - precision[i, i + 1 :] @ (m - mean)[i + 1 :] / precision[i, i]
        ),
        "you swept backwards: from the first coordinate to the last",
        _sweeping(_update, lambda d: reversed(range(d))),
        "you updated the first coordinate only: go on to the last (is the return inside the loop?)",
        _sweeping(_update, lambda d: range(1)),
        "you updated the last coordinate only: a sweep updates all of them",
        _sweeping(_update, lambda d: range(d - 1, d)),
        "you left the last coordinate out: a sweep updates all of them",
        _sweeping(_update, lambda d: range(d - 1)),
        "you left the first coordinate out: counting begins at 0",
        _sweeping(_update, lambda d: range(1, d)),
        "these are two sweeps: make one",
        _sweeping(_update, lambda d: [*range(d), *range(d)]),
        "this is μ, where the sweeps end: begin at start, and let the coordinates after i pull too, from their old values",
        lambda mean, precision, start: mean.clone(),
        "the means have not moved: return the updated ones",
        lambda mean, precision, start: start.clone(),
        "you began at 0: begin at start",
        lambda mean, precision, start: _sweep(mean, precision, torch.zeros_like(start)),
    ),
)
