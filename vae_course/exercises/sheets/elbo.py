"""The sheet on the ELBO: the bound as a sum, its entropy split, an exact gap, and the importance-weighted bound."""

from __future__ import annotations

from math import e, log, log2, pi

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, kl_divergence

from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. Σ_z q(z) [log p(x, z) − log q(z)]


def _elbo_discrete(log_joint: Tensor, q: Tensor) -> Tensor:
    return (q * log_joint - torch.xlogy(q, q)).sum(-1)


def _elbo_discrete_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, states: int, scale: float = 2.0, at: float = 0.0) -> Arguments:
        log_joint = normal(generator, batch, states, scale=scale) + at
        return log_joint.requires_grad_(), normal(generator, batch, states).softmax(-1)

    log_joint = normal(generator, 3, 4, scale=2.0)
    holes = torch.tensor([[0, 1, 1e-4, 1], [1, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.float64)  # the last is certain
    some_zero = (0.1 + uniform(generator, 3, 4)) * holes
    some_zero = some_zero / some_zero.sum(-1, keepdim=True)
    posterior = normal(generator, 2, 5, scale=2.0) - 3
    # log p(x, z) = log q(z) + 0.001: the bound is so small that what is added to q, or a clamp of it, shows.
    rare = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.6, 0.4 - 3e-7, 3e-7, 0]], dtype=torch.float64)
    small = rare.where(rare > 0, torch.ones_like(rare)).log() + 1e-3
    return [
        case(4, 3),
        case(1, 5),
        case(3, 1),
        case(2, 4, at=-900.0),
        case(2, 3, scale=1000.0),
        (posterior.requires_grad_(), posterior.detach().softmax(-1)),
        (log_joint.requires_grad_(), some_zero),
        (small.requires_grad_(), rare),
    ]


def _most_probable_state(log_joint: Tensor, q: Tensor) -> Tensor:
    top = q.argmax(-1, keepdim=True)
    return (log_joint - q.log()).gather(-1, top)[..., 0]


elbo_discrete = Exercise(
    "elbo_discrete",
    _elbo_discrete,
    _elbo_discrete_cases,
    wrong(
        "0 · log 0 came out as NaN: a state with q(z) = 0 contributes 0, so leave it out or use torch.xlogy",
        lambda log_joint, q: (q * (log_joint - q.log())).sum(-1),
        "0 · log 0 is NaN and took the bound of its whole row, which you set to 0: mend each state before the sum",
        lambda log_joint, q: (q * (log_joint - q.log())).sum(-1).nan_to_num(0.0),
        "one NaN took the whole entropy of its row, which you set to 0: mend each state before the sum",
        lambda log_joint, q: (q * log_joint).sum(-1) - (q * q.log()).sum(-1).nan_to_num(0.0),
        "1e-6 added to q is too much: each state shifts the bound by about that; use torch.xlogy, or leave out q(z) = 0",
        lambda log_joint, q: (q * (log_joint - (q + 1e-6).log())).sum(-1),
        "clamping q at 1e-6 changes log q(z) of the rare states: only those with q(z) = 0 need care",
        lambda log_joint, q: (q * (log_joint - q.clamp(min=1e-6).log())).sum(-1),
        "log q(z) has the wrong sign: it is subtracted, so that the entropy of q is added",
        lambda log_joint, q: (q * log_joint + torch.xlogy(q, q)).sum(-1),
        "log q(z) has the wrong sign, and 0 · log 0 came out as NaN: subtract it, and let a state with q(z) = 0 contribute 0",
        lambda log_joint, q: (q * (log_joint + q.log())).sum(-1),
        "this is the mean of log p(x, z) alone: − log q(z), the entropy of q, is missing",
        lambda log_joint, q: (q * log_joint).sum(-1),
        "this is the entropy of q alone: the mean of log p(x, z) is missing",
        lambda log_joint, q: -torch.xlogy(q, q).sum(-1),
        "this is log Σ q(z) p(x, z), the log of a mean: 𝓛 is a mean of logs, and log q(z) is subtracted",
        lambda log_joint, q: (log_joint + q.log()).logsumexp(-1),
        "you took the log of Σ q(z) p(x, z): 𝓛 is a mean of logs under q, and exp is not needed at all",
        lambda log_joint, q: (q * log_joint.exp()).sum(-1).log(),
        "this is log p(x) itself, whatever q is: 𝓛 is the bound below it that q gives",
        lambda log_joint, q: log_joint.logsumexp(-1),
        "you averaged over the states: q already holds the weights, so the expectation is a sum",
        lambda log_joint, q: (q * log_joint - torch.xlogy(q, q)).mean(-1),
        "you averaged over the states, where q already holds the weights, and 0 · log 0 came out as NaN",
        lambda log_joint, q: (q * (log_joint - q.log())).mean(-1),
        "every state counts the same here: the expectation weights each by q(z)",
        lambda log_joint, q: (log_joint - q.log()).mean(-1),
        "the weights q(z) before the bracket are missing",
        lambda log_joint, q: (log_joint - q.log()).sum(-1),
        "the weights q(z) before the bracket are missing: you left out the states with q(z) = 0, all others count the same",
        lambda log_joint, q: torch.where(q > 0, log_joint - q.log(), torch.zeros_like(q)).sum(-1),
        "this is log Σ p(x, z) / q(z), the log of a sum: 𝓛 is a sum of logs, each with the weight q(z)",
        lambda log_joint, q: (log_joint - q.log()).logsumexp(-1),
        "q(z) weights log p(x, z) only: it multiplies log q(z) too",
        lambda log_joint, q: (q * log_joint - q.log()).sum(-1),
        "you put p(x, z) where log p(x, z) belongs: log_joint is the logarithm already",
        lambda log_joint, q: (q * log_joint.exp() - torch.xlogy(q, q)).sum(-1),
        "you took the logarithm of log_joint, which is one already",
        lambda log_joint, q: (q * (log_joint.log() - q.log())).sum(-1),
        "you took q for log q: it holds probabilities, which sum to 1",
        lambda log_joint, q: (q.exp() * (log_joint - q)).sum(-1),
        "you subtracted q(z): subtract its logarithm",
        lambda log_joint, q: (q * (log_joint - q)).sum(-1),
        "you applied a softmax to q: it holds probabilities already, and a softmax of them is another distribution",
        lambda log_joint, q: _elbo_discrete(log_joint, q.softmax(-1)),
        "you normalised the joint to p(z|x): this is −D_KL(q‖p(z|x)), which lacks log p(x)",
        lambda log_joint, q: _elbo_discrete(log_joint.log_softmax(-1), q),
        "you let Categorical(logits=…) normalise the joint to p(z|x): this is −D_KL(q‖p(z|x)), which lacks log p(x)",
        lambda log_joint, q: -kl_divergence(Categorical(probs=q), Categorical(logits=log_joint)),
        "this is D_KL(q‖p(z|x)), the gap: the ELBO is log p(x) minus it",
        lambda log_joint, q: kl_divergence(Categorical(probs=q), Categorical(logits=log_joint)),
        "log(exp(…) / q) overflows or underflows, and is NaN at q(z) = 0: subtract logarithms, and let such a state contribute 0",
        lambda log_joint, q: (q * (log_joint.exp() / q).log()).sum(-1),
        "you weighted by the posterior p(z|x): the expectation is over q",
        lambda log_joint, q: (log_joint.softmax(-1) * (log_joint - q.log())).sum(-1),
        "you used the most probable state only: every state counts, with the weight q(z)",
        _most_probable_state,
        "this is minus the ELBO, a loss: return the bound itself",
        lambda log_joint, q: -_elbo_discrete(log_joint, q),
        "the entropy is in bits here: all logarithms are natural",
        lambda log_joint, q: (q * log_joint - torch.xlogy(q, q) / log(2)).sum(-1),
        "you gave Categorical probabilities for logits: Categorical(probs=q) has the entropy of q",
        lambda log_joint, q: (q * log_joint).sum(-1) + Categorical(logits=q).entropy(),
        "you summed over the batch: the states are the last axis",
        lambda log_joint, q: (q * log_joint - torch.xlogy(q, q)).sum(0),
        "you averaged over the batch too: return one number per example",
        lambda log_joint, q: _elbo_discrete(log_joint, q).mean(),
        "you summed over the batch too: return one number per example",
        lambda log_joint, q: _elbo_discrete(log_joint, q).sum(),
        "squeeze() takes away the axis of a batch of 1 too: return [batch] for every batch",
        lambda log_joint, q: _elbo_discrete(log_joint, q).squeeze(),
    ),
)


# 2. the second split: E_q[log p(x, z)] + H[q]


def _entropy_split(expected_log_joint: Tensor, log_std: Tensor) -> Tensor:
    return expected_log_joint + (log_std + 0.5 * log(2 * pi * e)).sum(-1)


def _entropy_split_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float, at: float = 0.0) -> Arguments:
        log_std = normal(generator, batch, latent, scale=scale) + at
        return (normal(generator, batch, scale=10.0) - 30).requires_grad_(), log_std.requires_grad_()

    flat = torch.zeros(3, 2, dtype=torch.float64).requires_grad_()
    return [
        case(4, 3, 1.0),
        case(1, 2, 1.0),
        case(5, 1, 2.0),
        case(2, 4, 0.5, -20.0),
        (flat[:, 0].detach().requires_grad_(), flat),
    ]


def _entropy(log_std: Tensor) -> Tensor:
    return (log_std + 0.5 * log(2 * pi * e)).sum(-1)


entropy_split = Exercise(
    "entropy_split",
    _entropy_split,
    _entropy_split_cases,
    wrong(
        "you subtracted the entropy: −E_q[log q] is the entropy, so it is added",
        lambda expected_log_joint, log_std: expected_log_joint - _entropy(log_std),
        "½ per latent is missing: the entropy holds ½ log 2πe, where ½ log e comes from the mean of ½ ε²",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi)).sum(-1),
        "the constant has the wrong sign: the entropy is log σ + ½ log 2πe",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std - 0.5 * log(2 * pi * e)).sum(-1),
        "log σ has the wrong sign: a wider q has more entropy",
        lambda expected_log_joint, log_std: expected_log_joint + (0.5 * log(2 * pi * e) - log_std).sum(-1),
        "log e = 1 stands inside the ½: it contributes ½ per latent, not 1",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi) + 1).sum(-1),
        "the ½ of the squared noise has the wrong sign: −E_q[log q] = log σ + ½ log 2π + ½ per latent",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * (log(2 * pi) - 1)).sum(-1),
        "½ log 2πe stands outside the sum: every latent has its own",
        lambda expected_log_joint, log_std: expected_log_joint + log_std.sum(-1) + 0.5 * log(2 * pi * e),
        "the constant ½ log 2πe is missing, once per latent",
        lambda expected_log_joint, log_std: expected_log_joint + log_std.sum(-1),
        "log σ is missing: this is the entropy at σ = 1",
        lambda expected_log_joint, log_std: (
            expected_log_joint + log_std.shape[-1] * torch.full_like(expected_log_joint, 0.5 * log(2 * pi * e))
        ),
        "you used log σ² where log σ belongs: ½ log σ² is log σ",
        lambda expected_log_joint, log_std: expected_log_joint + (2 * log_std + 0.5 * log(2 * pi * e)).sum(-1),
        "the ½ halves log σ too: either ½ log 2πeσ², with the square, or log σ + ½ log 2πe",
        lambda expected_log_joint, log_std: expected_log_joint + (0.5 * (log_std + log(2 * pi * e))).sum(-1),
        "the ½ before log 2πe is missing",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + log(2 * pi * e)).sum(-1),
        "the ½ before log 2πeσ² is missing",
        lambda expected_log_joint, log_std: expected_log_joint + (2 * log_std + log(2 * pi * e)).sum(-1),
        "you added σ: the entropy holds its logarithm, which is what you were given",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std.exp() + 0.5 * log(2 * pi * e)).sum(-1),
        "you took the logarithm of log σ, which is one already",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std.log() + 0.5 * log(2 * pi * e)).sum(-1),
        "you averaged over the latents: the entropy of independent coordinates is a sum",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi * e)).mean(-1),
        "2πe is a product: you added e",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi + e)).sum(-1),
        "e stands inside the logarithm: you multiplied log 2π by it",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi) * e).sum(-1),
        "the ½ of the squared noise stands outside the sum: every latent has its own",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log(2 * pi)).sum(-1) + 0.5,
        "you took the logarithm to base 2: all logarithms here are natural",
        lambda expected_log_joint, log_std: expected_log_joint + (log_std + 0.5 * log2(2 * pi * e)).sum(-1),
        "this is the entropy of q alone: the expected log joint is missing",
        lambda expected_log_joint, log_std: _entropy(log_std),
        "this is minus the ELBO, a loss: return the bound itself",
        lambda expected_log_joint, log_std: -_entropy_split(expected_log_joint, log_std),
        "you did not sum over the latents: each example has one entropy",
        lambda expected_log_joint, log_std: expected_log_joint[:, None] + log_std + 0.5 * log(2 * pi * e),
        "the expected log joint was added once per latent: add it outside the sum",
        lambda expected_log_joint, log_std: (expected_log_joint[:, None] + log_std + 0.5 * log(2 * pi * e)).sum(-1),
        "len(log_std) counts the examples: ½ log 2πe stands once per latent, log_std.shape[-1] times",
        lambda expected_log_joint, log_std: expected_log_joint + log_std.sum(-1) + len(log_std) * 0.5 * log(2 * pi * e),
        "[batch] + [batch, 1] gives a table of all pairs: sum the entropy without keepdim=True",
        lambda expected_log_joint, log_std: expected_log_joint + _entropy(log_std)[:, None],
        "you subtracted D_KL(q‖N(0, I)), which belongs to the first split: E_q[log p(x, z)] holds the prior already, add H[q]",
        lambda expected_log_joint, log_std: expected_log_joint - (0.5 * ((2 * log_std).exp() - 1) - log_std).sum(-1),
        "you added the entropies of the whole batch to every example: sum over the latents only",
        lambda expected_log_joint, log_std: expected_log_joint + _entropy(log_std).sum(),
        "you averaged over the batch: return one number per example",
        lambda expected_log_joint, log_std: _entropy_split(expected_log_joint, log_std).mean(),
    ),
)


# 3. the ELBO of the linear-Gaussian model in closed form


def _elbo_by_the_gap(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    # No term of the closed form that the exercise asks for is in here: the identity grades it.
    return _exact_log_evidence(x, weight, bias, std) - _exact_gap(x, weight, bias, std, mean, log_std)


def _exact_log_evidence(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor) -> Tensor:
    return LinearGaussian(weight, bias, std).log_evidence(x)


def _exact_gap(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    posterior = LinearGaussian(weight, bias, std).posterior(x)
    gap: Tensor = kl_divergence(diagonal_normal(mean, log_std.exp()), posterior)
    return gap


def _reverse_gap(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    posterior = LinearGaussian(weight, bias, std).posterior(x)
    gap: Tensor = kl_divergence(posterior, diagonal_normal(mean, log_std.exp()))
    return gap


def _elbo_linear_gaussian_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, observed: int, latent: int, std: float, spread: float = 1.0) -> Arguments:
        weight, bias = normal(generator, observed, latent), normal(generator, observed)
        x = normal(generator, batch, observed, scale=2.0)
        mean = normal(generator, batch, latent, scale=spread).requires_grad_()
        log_std = normal(generator, batch, latent, scale=0.5).requires_grad_()
        return x, weight.requires_grad_(), bias, torch.tensor(std, dtype=torch.float64), mean, log_std

    def at_the_posterior() -> Arguments:  # one latent: q can be the posterior, and the bound is log p(x)
        x, weight, bias, std, _, _ = case(3, 4, 1, 0.7)
        with torch.no_grad():
            posterior = LinearGaussian(weight, bias, std).posterior(x)
        log_std = (0.5 * posterior.variance.log()).clone().requires_grad_()
        return x, weight, bias, std, posterior.mean.clone().requires_grad_(), log_std

    def ignored_latent() -> Arguments:  # the decoder ignores z, and q is the prior
        x, weight, bias, std, mean, log_std = case(2, 3, 2, 1.5)
        zeros = [torch.zeros_like(a, requires_grad=True) for a in (weight, mean, log_std)]
        return x, zeros[0], bias, std, zeros[1], zeros[2]

    return [
        case(4, 5, 3, 0.6),
        case(1, 3, 2, 2.0),
        case(3, 1, 2, 0.8),
        case(2, 3, 3, 0.1),
        case(2, 4, 1, 1.7, 20.0),
        at_the_posterior(),
        ignored_latent(),
    ]


def _squared_error(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor) -> Tensor:
    return (x - mean @ weight.T - bias).square().sum(-1)


def _log_normaliser(x: Tensor, std: Tensor) -> Tensor:
    return x.shape[-1] * (std.log() + 0.5 * log(2 * pi))


def _log_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    log_density: Tensor = diagonal_normal(mean, std).log_prob(x)
    return log_density


def _at_the_mean(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor) -> Tensor:
    return _log_normal(x, mean @ weight.T + bias, std)


def _spread(weight: Tensor, std: Tensor, log_std: Tensor) -> Tensor:
    return ((2 * log_std).exp() * weight.square().sum(0)).sum(-1) / (2 * std**2)


def _kl_to_prior(mean: Tensor, log_std: Tensor) -> Tensor:
    return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(-1)


def _kl_from_prior(mean: Tensor, log_std: Tensor) -> Tensor:
    return (log_std + 0.5 * (1 + mean.square()) * (-2 * log_std).exp() - 0.5).sum(-1)


def _closed_form(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) - _kl_to_prior(mean, log_std)


def _std_for_variance(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return _closed_form(x, weight, bias, std.sqrt(), mean, log_std)


def _spread_in_the_variance(
    x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    variance = std**2 + (2 * log_std).exp() @ weight.square().T  # [batch, observed]
    return _log_normal(x, mean @ weight.T + bias, variance.sqrt()) - _kl_to_prior(mean, log_std)


def _prior_at_the_mean(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    log_prior = (-0.5 * mean.square() - 0.5 * log(2 * pi)).sum(-1)
    return _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) + log_prior + _entropy(log_std)


elbo_linear_gaussian = Exercise(
    "elbo_linear_gaussian",
    _elbo_by_the_gap,
    _elbo_linear_gaussian_cases,
    wrong(
        "the likelihood was evaluated at z = m, which is too optimistic: the spread of q costs Σ s_j² ‖w_j‖² / 2σ² more",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _kl_to_prior(mean, log_std)
        ),
        "the term of the spread, Σ s_j² ‖w_j‖² / 2σ², has the wrong sign: noise in z lowers the mean log-likelihood",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) + _spread(weight, std, log_std) - _kl_to_prior(mean, log_std)
        ),
        "the ½ in the term of the spread is missing: it is Σ s_j² ‖w_j‖² / 2σ²",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - 2 * _spread(weight, std, log_std) - _kl_to_prior(mean, log_std)
        ),
        "the term of the spread is not divided by the variance σ² of the likelihood",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - std**2 * _spread(weight, std, log_std)
            - _kl_to_prior(mean, log_std)
        ),
        "the term of the spread holds s_j, the standard deviation of q: it takes the variance s_j² = exp(2 log s_j)",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, 0.5 * log_std) - _kl_to_prior(mean, log_std)
        ),
        "you multiplied two sums: each s_j² belongs to its own column w_j, so multiply first and then sum",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - (2 * log_std).exp().sum(-1) * weight.square().sum() / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "you squared the sum Σ_j s_j w_j: the noises of the latents are independent, so their squares add up, Σ s_j² ‖w_j‖²",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - (log_std.exp() @ weight.T).square().sum(-1) / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "the norm of w_j is not squared in the term of the spread",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - (2 * log_std).exp() @ weight.norm(dim=0) / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "you squared the sum of each column of W: sum the squares of its entries, which is ‖w_j‖²",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - (2 * log_std).exp() @ weight.sum(0).square() / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "you squared the sum Σ_j s_j² w_j: square W before the product, as each s_j² meets ‖w_j‖²",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - ((2 * log_std).exp() @ weight.T).square().sum(-1) / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "you divided the term of the spread by 2σ: the likelihood has the variance, 2σ²",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - std * _spread(weight, std, log_std) - _kl_to_prior(mean, log_std)
        ),
        "the columns of W are missing in the term of the spread: W stretches the noise of z_j by ‖w_j‖",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - (2 * log_std).exp().sum(-1) / (2 * std**2)
            - _kl_to_prior(mean, log_std)
        ),
        "D_KL(q‖p(z)) has the wrong sign: it is subtracted",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) + _kl_to_prior(mean, log_std)
        ),
        "this is D_KL(p(z)‖q), the other direction: the expectation is over q",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) - _kl_from_prior(mean, log_std)
        ),
        "this is E_q[log p(x|z)] alone: subtract D_KL(q‖p(z))",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std)
        ),
        "the ½ in D_KL(q‖p(z)) is missing: it is Σ ½ (m² + s² − 1 − 2 log s)",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) - 2 * _kl_to_prior(mean, log_std)
        ),
        "you averaged D_KL(q‖p(z)) over the latents: that of independent coordinates is a sum",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean)
            - _spread(weight, std, log_std)
            - _kl_to_prior(mean, log_std) / mean.shape[-1]
        ),
        "you took exp(log s) for the variance of q throughout, as if log_std were log s²: the variance is exp(2 log s)",
        lambda x, weight, bias, std, mean, log_std: _closed_form(x, weight, bias, std, mean, 0.5 * log_std),
        "you took log_std for log s² in D_KL(q‖p(z)): s² = exp(2 log s), and log s² = 2 log s",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) - _kl_to_prior(mean, 0.5 * log_std)
        ),
        "log s² is 2 log s: in D_KL(q‖p(z)) you subtracted ½ log s, where ½ log s² = log s is right",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) - 0.5 * log_std.sum(-1)
        ),
        "in D_KL(q‖p(z)) you took exp(log s), which is s, for s² = exp(2 log s)",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + 0.5 * ((2 * log_std).exp() - log_std.exp()).sum(-1)
        ),
        "in D_KL(q‖p(z)) you took s² for the scale of q: Normal takes the standard deviation s = exp(log s)",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) - _kl_to_prior(mean, 2 * log_std)
        ),
        "log s has the wrong sign in D_KL(q‖p(z)): it is subtracted there",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) - 2 * log_std.sum(-1)
        ),
        "log p(z) was evaluated at z = m: under q it has the mean −½ Σ (m² + s²) and its constants",
        _prior_at_the_mean,
        "you added the entropy of q to E_q[log p(x|z)]: E_q[log p(z)] is missing, and both together are −D_KL(q‖p(z))",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) - _spread(weight, std, log_std) + _entropy(log_std)
        ),
        "½ log 2πσ² is missing, once per observed dimension: a density has its constants",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + _log_normaliser(x, std)
        ),
        "½ log 2π is missing in log p(x|z), once per observed dimension",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + x.shape[-1] * 0.5 * log(2 * pi)
        ),
        "log σ is missing in log p(x|z), once per observed dimension",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + x.shape[-1] * std.log()
        ),
        "½ log 2πσ² stands outside the sum over the observed dimensions: each has its own",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + _log_normaliser(x, std) - 0.5 * (2 * pi * std**2).log()
        ),
        "you counted ½ log 2πσ² once per latent: log p(x|z) has one per observed dimension",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std)
            + (x.shape[-1] - mean.shape[-1]) * (std.log() + 0.5 * log(2 * pi))
        ),
        "you used σ where the variance σ² belongs in log p(x|z): std is the standard deviation",
        _std_for_variance,
        "you wrote ½ log 2πσ: the constant holds the variance, ½ log 2πσ²",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + 0.5 * x.shape[-1] * std.log()
        ),
        "you averaged the squared error over the observed dimensions: log-densities of independent dimensions add up",
        lambda x, weight, bias, std, mean, log_std: (
            -(x - mean @ weight.T - bias).square().mean(-1) / (2 * std**2)
            - _log_normaliser(x, std)
            - _spread(weight, std, log_std)
            - _kl_to_prior(mean, log_std)
        ),
        "the ½ before the squared error is missing",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) - _squared_error(x, weight, bias, mean) / (2 * std**2)
        ),
        "the ½ is missing before both the squared error and the term of the spread: divide by 2σ²",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std)
            - _squared_error(x, weight, bias, mean) / (2 * std**2)
            - _spread(weight, std, log_std)
        ),
        "the bias b is missing: the mean of x is W z + b",
        lambda x, weight, bias, std, mean, log_std: _closed_form(x, weight, torch.zeros_like(bias), std, mean, log_std),
        "the bias b has the wrong sign: the residual is x − W m − b",
        lambda x, weight, bias, std, mean, log_std: _closed_form(x, weight, -bias, std, mean, log_std),
        "you averaged log p(x|z) over the observed dimensions: those of independent dimensions add up",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std, mean) / x.shape[-1]
            - _spread(weight, std, log_std)
            - _kl_to_prior(mean, log_std)
        ),
        "you gave log N(x; W m + b, σ² I) the variance for its scale: Normal takes the standard deviation, std as it is",
        lambda x, weight, bias, std, mean, log_std: (
            _at_the_mean(x, weight, bias, std**2, mean) - _spread(weight, std, log_std) - _kl_to_prior(mean, log_std)
        ),
        "you put the spread of q into the variance of x: E_q[log p(x|z)] keeps σ² and loses Σ s_j² ‖w_j‖² / 2σ²",
        _spread_in_the_variance,
        "the −1 in D_KL(q‖p(z)) is missing, once per latent: at m = 0, s = 1 it must be 0",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) - 0.5 * mean.shape[-1]
        ),
        "m² is missing in D_KL(q‖p(z))",
        lambda x, weight, bias, std, mean, log_std: (
            _closed_form(x, weight, bias, std, mean, log_std) + 0.5 * mean.square().sum(-1)
        ),
        "this is log p(x): the bound lies below it by D_KL(q‖p(z|x))",
        lambda x, weight, bias, std, mean, log_std: _exact_log_evidence(x, weight, bias, std),
        "this is −D_KL(q‖p(z|x)), minus the gap: log p(x) is missing",
        lambda x, weight, bias, std, mean, log_std: -_exact_gap(x, weight, bias, std, mean, log_std),
        "D_KL(q‖p(z|x)) was added to log p(x): the ELBO is a lower bound",
        lambda x, weight, bias, std, mean, log_std: (
            _exact_log_evidence(x, weight, bias, std) + _exact_gap(x, weight, bias, std, mean, log_std)
        ),
        "the gap is D_KL(q‖p(z|x)); you took D_KL(p(z|x)‖q)",
        lambda x, weight, bias, std, mean, log_std: (
            _exact_log_evidence(x, weight, bias, std) - _reverse_gap(x, weight, bias, std, mean, log_std)
        ),
        "this is minus the ELBO, a loss: return the bound itself",
        lambda x, weight, bias, std, mean, log_std: -_closed_form(x, weight, bias, std, mean, log_std),
        "you averaged over the batch: return one number per example",
        lambda x, weight, bias, std, mean, log_std: _closed_form(x, weight, bias, std, mean, log_std).mean(),
        "you summed over the batch too: return one number per example",
        lambda x, weight, bias, std, mean, log_std: _closed_form(x, weight, bias, std, mean, log_std).sum(),
    ),
)


# 4. the importance-weighted bound from groups of k draws


def _iwae_bound(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    return (_groups(log_joint - log_q, k).logsumexp(1) - log(k)).mean(0)


def _groups(log_weights: Tensor, k: int) -> Tensor:
    return log_weights.reshape(-1, k, log_weights.shape[1])  # [groups, k, batch]


def _iwae_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, k: int, at: float | Tensor = 0.0, scale: float = 2.0) -> Arguments:
        log_q = normal(generator, samples, batch)
        log_joint = log_q + normal(generator, samples, batch, scale=scale) + at
        return log_joint.requires_grad_(), log_q.requires_grad_(), k

    examples = torch.tensor([0.0, -2000.0, 1500.0], dtype=torch.float64)  # of very different sizes
    draws = torch.tensor([0.0, -2000.0, 1500.0, 20.0], dtype=torch.float64)[:, None]
    return [
        case(12, 4, 3),
        case(5, 2, 5),
        case(6, 1, 2),
        case(4, 3, 1),
        case(8, 2, 4, -900.0),
        case(6, 2, 3, 900.0),
        case(6, 3, 2, examples),
        case(4, 1, 2, draws),
    ]


def _self_normalised(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    groups = _groups(log_joint - log_q, k)
    return (groups.softmax(1) * groups).sum(1).mean(0)


def _ratio_of_means(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    return (_groups(log_joint, k).logsumexp(1) - _groups(log_q, k).logsumexp(1)).mean(0)


def _global_maximum(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    log_weights = log_joint - log_q
    top = log_weights.max()
    return (top + _groups((log_weights - top).exp(), k).mean(1).log()).mean(0)


def _maximum_of_example(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    log_weights = log_joint - log_q
    top = log_weights.amax(0)  # [batch]
    return (top + _groups((log_weights - top).exp(), k).mean(1).log()).mean(0)


def _maximum_lost(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    groups = _groups(log_joint - log_q, k)
    return (groups - groups.amax(1, keepdim=True)).exp().mean(1).log().mean(0)


def _mixed_examples(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    log_weights = log_joint - log_q
    return (log_weights.reshape(-1, log_weights.shape[1], k).logsumexp(-1) - log(k)).mean(0)


def _outer_first(log_joint: Tensor, log_q: Tensor, k: int) -> Tensor:
    means = _groups(log_joint - log_q, k).mean(1)  # [groups, batch]
    return means.logsumexp(0) - log(len(means))


iwae_bound = Exercise(
    "iwae_bound",
    _iwae_bound,
    _iwae_cases,
    wrong(
        "you took the log of the mean weight over all draws: that is the bound of k = samples; average the logs of the "
        "groups",
        lambda log_joint, log_q, k: (log_joint - log_q).logsumexp(0) - log(len(log_q)),
        "you summed the weights of all draws and divided by k: sum within each group of k, then average the logs of "
        "the groups",
        lambda log_joint, log_q, k: (log_joint - log_q).logsumexp(0) - log(k),
        "this is the mean of the log weights, the ELBO or k = 1: within a group take the log of the mean weight",
        lambda log_joint, log_q, k: (log_joint - log_q).mean(0),
        "− log k is missing: this is the log of the sum of k weights, not of their mean",
        lambda log_joint, log_q, k: _groups(log_joint - log_q, k).logsumexp(1).mean(0),
        "you added log k: dividing by k subtracts it",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) + log(k)).mean(0),
        "you subtracted the log of the number of all draws: a group has k",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) - log(len(log_q))).mean(0),
        "you subtracted the log of the number of groups: the mean within a group divides by k",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) - log(len(log_q) // k)).mean(0),
        "you subtracted the logarithm to base 2: all logarithms here are natural",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) - log2(k)).mean(0),
        "divide the sum by k inside the logarithm: subtract log k instead of dividing by k",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) / k).mean(0),
        "Σ w̃ log w is not a bound: it is a mean of log w under normalised weights; take the log of the mean of w",
        _self_normalised,
        "you averaged log w with softmax weights over all draws: take the log of the mean weight within each group of k",
        lambda log_joint, log_q, k: ((log_joint - log_q).softmax(0) * (log_joint - log_q)).sum(0),
        "log q(z|x) has the wrong sign: the weight is p(x, z) / q(z|x)",
        lambda log_joint, log_q, k: _iwae_bound(log_joint, -log_q, k),
        "the weight is upside down: it is p(x, z) / q(z|x)",
        lambda log_joint, log_q, k: _iwae_bound(log_q, log_joint, k),
        "you divided the logarithms: log w is log p(x, z) − log q(z|x)",
        lambda log_joint, log_q, k: _iwae_bound(log_joint / log_q, torch.zeros_like(log_q), k),
        "the sign is flipped inside the exponential: you used the loss where log w belongs, so the worst draw counts most",
        lambda log_joint, log_q, k: -_iwae_bound(log_q, log_joint, k),
        "log q(z|x) is missing: the weight is p(x, z) / q(z|x)",
        lambda log_joint, log_q, k: _iwae_bound(log_joint, torch.zeros_like(log_q), k),
        "this is a ratio of means, Σ p(x, z) / Σ q(z|x): divide draw by draw, then average",
        _ratio_of_means,
        "your groups take every (samples/k)-th row: k consecutive rows form a group, so reshape to [groups, k, batch]",
        lambda log_joint, log_q, k: ((log_joint - log_q).unflatten(0, (k, -1)).logsumexp(0) - log(k)).mean(0),
        "you made k groups of samples/k rows (chunk does that): make groups of k rows, as split does",
        lambda log_joint, log_q, k: ((log_joint - log_q).unflatten(0, (k, -1)).logsumexp(1) - log(k)).mean(0),
        "you made k groups and took the mean of the samples/k weights in each: a group holds k",
        lambda log_joint, log_q, k: (
            (log_joint - log_q).unflatten(0, (k, -1)).logsumexp(1) - log(len(log_q) // k)
        ).mean(0),
        "your groups take every (samples/k)-th row, and you divided by the number of groups: k consecutive rows form a group",
        lambda log_joint, log_q, k: (
            (log_joint - log_q).unflatten(0, (k, -1)).logsumexp(0) - log(len(log_q) // k)
        ).mean(0),
        "the reshape to [groups, batch, k] mixes the examples: the draws run slowest, so the shape is [groups, k, batch]",
        _mixed_examples,
        "the reshape to [batch, groups, k] mixes the examples: transpose first, or reshape to [groups, k, batch]",
        lambda log_joint, log_q, k: ((log_joint - log_q).reshape(log_q.shape[1], -1, k).logsumexp(-1) - log(k)).mean(
            -1
        ),
        "your groups overlap: each row belongs to one group, so start a new one every k rows",
        lambda log_joint, log_q, k: ((log_joint - log_q).unfold(0, k, 1).logsumexp(-1) - log(k)).mean(0),
        "exp overflows or underflows for weights far from 1: subtract the largest first, or use logsumexp",
        lambda log_joint, log_q, k: _groups((log_joint - log_q).exp(), k).mean(1).log().mean(0),
        "1e-10 inside the logarithm hides the underflow and exp still overflows: subtract the largest first, or use logsumexp",
        lambda log_joint, log_q, k: (_groups((log_joint - log_q).exp(), k).mean(1) + 1e-10).log().mean(0),
        "clamping the log weights at ±700 changes them where exp overflows or underflows: subtract the largest first",
        lambda log_joint, log_q, k: _groups((log_joint - log_q).clamp(-700, 700).exp(), k).mean(1).log().mean(0),
        "you subtracted the largest log weight of all: examples and groups differ, subtract the largest of each group",
        _global_maximum,
        "you subtracted the largest log weight of an example's draws: a group without it underflows, subtract each group's own",
        _maximum_of_example,
        "the largest log weight was subtracted and not added back: add it to the log of the mean",
        _maximum_lost,
        "the two means are exchanged: the log of the mean weight is within a group, the mean of the logs over the groups",
        _outer_first,
        "you summed over the groups: average them",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) - log(k)).sum(0),
        "you divided the sum over the groups by k: there are samples/k groups",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(1) - log(k)).sum(0) / k,
        "you summed over the groups, and subtracted log k once: take log k from each group, and average the groups",
        lambda log_joint, log_q, k: _groups(log_joint - log_q, k).logsumexp(1).sum(0) - log(k),
        "the two axes are exchanged: in [groups, k, batch] logsumexp runs over axis 1, the mean over axis 0",
        lambda log_joint, log_q, k: (_groups(log_joint - log_q, k).logsumexp(0) - log(k)).mean(0),
        "this is the log of the mean weight over all draws, with an exp that overflows: take logsumexp within each group of k",
        lambda log_joint, log_q, k: (log_joint - log_q).exp().mean(0).log(),
        "you used the first group only: average over all groups",
        lambda log_joint, log_q, k: (log_joint - log_q)[:k].logsumexp(0) - log(k),
        "this is the largest log weight of each group; all k draws count",
        lambda log_joint, log_q, k: _groups(log_joint - log_q, k).amax(1).mean(0),
        "you did not average over the groups",
        lambda log_joint, log_q, k: _groups(log_joint - log_q, k).logsumexp(1) - log(k),
        "you averaged over the batch too: return one number per example",
        lambda log_joint, log_q, k: _iwae_bound(log_joint, log_q, k).mean(),
        "this is minus the bound, a loss: return the bound itself",
        lambda log_joint, log_q, k: -_iwae_bound(log_joint, log_q, k),
    ),
)


# 5. the leading term of the gap of the importance-weighted bound


def _predicted_gap(log_weights: Tensor, k: int) -> Tensor:
    weights = _scaled(log_weights)
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _scaled(log_weights: Tensor) -> Tensor:
    return (log_weights - log_weights.amax(0)).exp()


def _predicted_gap_cases(generator: Generator) -> list[Arguments]:
    examples = torch.tensor([0.0, -2000.0, 1500.0], dtype=torch.float64)
    draws = torch.tensor([0.0, -2000.0, 1500.0, 0.0, 20.0], dtype=torch.float64)[:, None]
    return [
        (normal(generator, 7, 3), 4),
        (normal(generator, 2, 1), 1),
        (normal(generator, 10, 2, scale=3.0), 10),
        (normal(generator, 6, 2) - 900, 3),
        (normal(generator, 6, 2) + 900, 2),
        (normal(generator, 4, 3) + examples, 5),
        (normal(generator, 5, 2) + draws, 2),
        (torch.full((4, 2), -3.0, dtype=torch.float64), 2),  # q is the posterior: no variance, no gap
    ]


def _naive_gap(log_weights: Tensor, k: int) -> Tensor:
    weights = log_weights.exp()
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _shifted_by_mean(log_weights: Tensor, k: int) -> Tensor:
    weights = (log_weights - log_weights.mean(0)).exp()
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _shifted_by_all(log_weights: Tensor, k: int) -> Tensor:
    weights = (log_weights - log_weights.max()).exp()
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _shifted_by_row(log_weights: Tensor, k: int) -> Tensor:
    weights = (log_weights - log_weights.amax(1, keepdim=True)).exp()
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _divided_too_late(log_weights: Tensor, k: int) -> Tensor:
    weights = log_weights.exp() / log_weights.exp().max()
    return weights.var(0) / weights.mean(0).square() / (2 * k)


def _relative_std(log_weights: Tensor) -> Tensor:
    weights = _scaled(log_weights)
    return weights.std(0) / weights.mean(0)


def _log_mean(log_weights: Tensor) -> Tensor:
    return log_weights.logsumexp(0) - log(len(log_weights))


predicted_gap = Exercise(
    "predicted_gap",
    _predicted_gap,
    _predicted_gap_cases,
    wrong(
        "exp overflows or underflows for weights far from 1: subtract the largest log weight first, it cancels in the ratio",
        _naive_gap,
        "you subtracted the largest log weight of the whole batch: examples differ, subtract each one's own, max over axis 0",
        _shifted_by_all,
        "you subtracted less than the largest log weight, such as the mean or the first: a draw far above still overflows",
        _shifted_by_mean,
        "you subtracted the largest log weight of each row, over the examples: the draws run along axis 0, max over that one",
        _shifted_by_row,
        "you divided by the largest weight after exp, which had overflowed: subtract each example's largest log weight before exp",
        _divided_too_late,
        "the variance is that of scaled weights, the mean is not: both must be of the same weights, for the scale to cancel",
        lambda log_weights, k: _scaled(log_weights).var(0) / (2 * _log_mean(log_weights)).exp() / (2 * k),
        "this is the variance of log w: the formula has that of the weights w themselves, relative to their squared mean",
        lambda log_weights, k: log_weights.var(0) / (2 * k),
        "you used the log weights: the variance and the mean are those of the weights w",
        lambda log_weights, k: log_weights.var(0) / log_weights.mean(0).square() / (2 * k),
        "the 2 is missing: the second-order term of the logarithm has ½",
        lambda log_weights, k: 2 * _predicted_gap(log_weights, k),
        "k is missing: the mean of k weights has a variance k times smaller",
        lambda log_weights, k: k * _predicted_gap(log_weights, k),
        "/ 2 * k multiplies by k: write / (2 * k)",
        lambda log_weights, k: k**2 * _predicted_gap(log_weights, k),
        "you divided by k²: the variance of a mean of k weights is Var(w) / k",
        lambda log_weights, k: _predicted_gap(log_weights, k) / k,
        "you squared 2k as well: only the mean weight, p(x), is squared",
        lambda log_weights, k: _predicted_gap(log_weights, k) / (2 * k),
        "you divided by the number of samples: k is the number of draws in the bound, another number",
        lambda log_weights, k: _predicted_gap(log_weights, len(log_weights)),
        "p(x)² is missing: only the variance relative to the squared mean weight counts (and exp overflows here)",
        lambda log_weights, k: log_weights.exp().var(0) / (2 * k),
        "you scaled the weights by the largest and did not divide by their squared mean: p(x)² takes the scale out again",
        lambda log_weights, k: _scaled(log_weights).var(0) / (2 * k),
        "the mean weight is not squared: Var(w) / p(x)² has no unit",
        lambda log_weights, k: _scaled(log_weights).var(0) / _scaled(log_weights).mean(0) / (2 * k),
        "you squared the variance too: in Var(w) / p(x)² only the mean is squared",
        lambda log_weights, k: (_scaled(log_weights).var(0) / _scaled(log_weights).mean(0)).square() / (2 * k),
        "you divided by the mean of w²: p(x)² is the square of the mean",
        lambda log_weights, k: _scaled(log_weights).var(0) / _scaled(log_weights).square().mean(0) / (2 * k),
        "you divided by the squared sum of the weights, as softmax does: p(x) is their mean, a factor n² away",
        lambda log_weights, k: _scaled(log_weights).var(0) / _scaled(log_weights).sum(0).square() / (2 * k),
        "this is the mean of w²: the variance subtracts the squared mean, and equal weights have no gap",
        lambda log_weights, k: _scaled(log_weights).square().mean(0) / _scaled(log_weights).mean(0).square() / (2 * k),
        "you divided by n in the variance: the unbiased sample variance divides by n − 1",
        lambda log_weights, k: (
            _scaled(log_weights).var(0, correction=0) / _scaled(log_weights).mean(0).square() / (2 * k)
        ),
        "you took the standard deviation: the gap goes with the variance",
        lambda log_weights, k: _relative_std(log_weights) / (2 * k),
        "you divided the standard deviation by the squared mean: the variance stands above",
        lambda log_weights, k: _scaled(log_weights).std(0) / _scaled(log_weights).mean(0).square() / (2 * k),
        "this is the standard error of log p(x) with k draws, its scatter: the gap is its mean shortfall, half the square of that",
        lambda log_weights, k: _relative_std(log_weights) / k**0.5,
        "this is the gap of the ELBO divided by k: the leading term comes from the variance of the weights",
        lambda log_weights, k: (_log_mean(log_weights) - log_weights.mean(0)) / k,
        "this is the gap of the ELBO as the samples show it, k = 1: predict that of k draws from the variance of the weights",
        lambda log_weights, k: _log_mean(log_weights) - log_weights.mean(0),
        "the sign is flipped: log p(x) − 𝓛_k is not negative",
        lambda log_weights, k: -_predicted_gap(log_weights, k),
        "this is the predicted bound, log p(x) minus the gap: return the gap",
        lambda log_weights, k: _log_mean(log_weights) - _predicted_gap(log_weights, k),
        "you averaged over the batch: return one number per example",
        lambda log_weights, k: _predicted_gap(log_weights, k).mean(),
    ),
)
