"""The sheet on the ELBO: the bound as a sum, a bound from above, the entropy split, an exact gap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import e, log, log2, pi

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn.functional import softplus

from vae_course.distributions.families import diagonal_normal
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, SumOf, normal, uniform
from vae_course.exercises.slips import SMALL

Change = Callable[[Tensor], Tensor]
_HALF_LOG = 0.5 * log(2 * pi)
_ENTROPY = _HALF_LOG + 0.5  # ½ log 2πe


def _reduced(bound: Formula) -> list[str | Answer]:
    """What may be done to a bound that is right."""
    minus = "this is minus the bound, a loss: return the bound itself"
    mean, total = (f"you {did} over the batch: return one number per example" for did in ("averaged", "summed"))
    return [minus, bound.then(torch.neg), mean, bound.then(torch.mean), total, bound.then(torch.sum)]


# 1. Σ_z q(z) [log p(x, z) − log q(z)]

_DISCRETE = SumOf(
    "log_joint q",
    joint=lambda log_joint, q: (q * log_joint).sum(-1),
    entropy=lambda q: -torch.xlogy(q, q).sum(-1),
)
_NAIVE = Formula(  # NaN at q(z) = 0
    "log_joint q",
    log_q=lambda q: q.log(),
    log_weight=lambda log_joint, log_q: log_joint - log_q,
    terms=lambda q, log_weight: q * log_weight,
    bound=lambda terms: terms.sum(-1),
)


def _elbo_discrete_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, states: int, scale: float = 2.0, at: float = 0.0) -> Arguments:
        log_joint = normal(generator, batch, states, scale=scale) + at
        return log_joint.requires_grad_(), normal(generator, batch, states).softmax(-1)

    holes = torch.tensor([[0, 1, 1e-4, 1], [1, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.float64)  # the last is certain
    some_zero = (0.1 + uniform(generator, 3, 4)) * holes
    posterior = normal(generator, 2, 5, scale=2.0) - 3
    # log p(x, z) = log q(z) + 0.001: the bound is so small that what is added to q, or a clamp of it, shows.
    rare = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.6, 0.4 - 3e-7, 3e-7, 0]], dtype=torch.float64)
    return [
        *(case(4, 3), case(1, 5), case(3, 1), case(2, 4, at=-900.0), case(2, 3, scale=1000.0)),
        (posterior.requires_grad_(), posterior.detach().softmax(-1)),
        (normal(generator, 3, 4, scale=2.0, gradient=True), some_zero / some_zero.sum(-1, keepdim=True)),
        ((rare.where(rare > 0, torch.ones_like(rare)).log() + 1e-3).requires_grad_(), rare),
    ]


elbo_discrete = Exercise(
    "elbo_discrete",
    _DISCRETE,
    _elbo_discrete_cases,
    wrong(
        "0 · log 0 came out as NaN: a state with q(z) = 0 contributes 0, so leave it out or use torch.xlogy",
        _NAIVE,
        "0 · log 0 is NaN and took the bound of its whole row, which you set to 0: mend each state before the sum",
        _NAIVE.then(torch.nan_to_num),
        "one NaN took the whole entropy of its row, which you set to 0: mend each state before the sum",
        _DISCRETE.but(entropy=lambda q: -(q * q.log()).sum(-1).nan_to_num(0.0)),
        "1e-6 added to q is too much: each state shifts the bound by about that; use torch.xlogy, or leave out q(z) = 0",
        _NAIVE.but(log_q=lambda q: (q + 1e-6).log()),
        "clamping q at 1e-6 changes log q(z) of the rare states: only those with q(z) = 0 need care",
        _NAIVE.but(log_q=lambda q: q.clamp(min=1e-6).log()),
        "you added a small number to q, or clamped it, as a weight too: a state with q(z) = 0 contributes 0",
        *(_NAIVE.given(q=partial(torch.add, other=s)) for s in SMALL[3:]),
        *(_NAIVE.given(q=partial(torch.clamp, min=s)) for s in SMALL[3:]),
        "log q(z) has the wrong sign: it is subtracted, so that the entropy of q is added",
        _DISCRETE.times(entropy=-1),
        "log q(z) has the wrong sign, and 0 · log 0 came out as NaN: subtract it, and let a state with q(z) = 0 contribute 0",
        _NAIVE.but(log_weight=lambda log_joint, log_q: log_joint + log_q),
        "this is the mean of log p(x, z) alone: − log q(z), the entropy of q, is missing",
        _DISCRETE.times(entropy=0),
        "this is the entropy of q alone: the mean of log p(x, z) is missing",
        _DISCRETE.times(joint=0),
        "this is log Σ q(z) p(x, z), the log of a mean: 𝓛 is a mean of logs, and log q(z) is subtracted",
        _NAIVE.but(bound=lambda log_joint, log_q: (log_joint + log_q).logsumexp(-1)),
        "you took the log of Σ q(z) p(x, z): 𝓛 is a mean of logs under q, and exp is not needed at all",
        _NAIVE.but(bound=lambda log_joint, q: (q * log_joint.exp()).sum(-1).log()),
        "this is log p(x) itself, whatever q is: 𝓛 is the bound below it that q gives",
        _NAIVE.but(bound=lambda log_joint: log_joint.logsumexp(-1)),
        "you averaged over the states: q already holds the weights, so the expectation is a sum",
        _NAIVE.but(bound=lambda log_joint, q: (q * log_joint - torch.xlogy(q, q)).mean(-1)),
        "you averaged over the states, where q already holds the weights, and 0 · log 0 came out as NaN",
        _NAIVE.but(bound=lambda terms: terms.mean(-1)),
        "every state counts the same here: the expectation weights each by q(z)",
        _NAIVE.but(bound=lambda log_weight: log_weight.mean(-1)),
        "the weights q(z) before the bracket are missing",
        _NAIVE.but(bound=lambda log_weight: log_weight.sum(-1)),
        "the weights q(z) before the bracket are missing: you left out the states with q(z) = 0, all others count the same",
        _NAIVE.but(bound=lambda q, log_weight: log_weight.where(q > 0, torch.zeros_like(q)).sum(-1)),
        "this is log Σ p(x, z) / q(z), the log of a sum: 𝓛 is a sum of logs, each with the weight q(z)",
        _NAIVE.but(bound=lambda log_weight: log_weight.logsumexp(-1)),
        "q(z) weights log p(x, z) only: it multiplies log q(z) too",
        _DISCRETE.but(entropy=lambda q: -q.log().sum(-1)),
        _DISCRETE.but(entropy=lambda q: -q.clamp(min=1e-12).log().sum(-1)),
        "you put p(x, z) where log p(x, z) belongs: log_joint is the logarithm already",
        _DISCRETE.given(log_joint=torch.exp),
        "you took the logarithm of log_joint, which is one already",
        _NAIVE.given(log_joint=torch.log),
        "you took q for log q: it holds probabilities, which sum to 1",
        _NAIVE.but(log_q=lambda q: q, terms=lambda q, log_weight: q.exp() * log_weight),
        "you subtracted q(z): subtract its logarithm",
        _NAIVE.but(log_q=lambda q: q),
        "you applied a softmax to q: it holds probabilities already, and a softmax of them is another distribution",
        _DISCRETE.given(q=partial(torch.softmax, dim=-1)),
        _NAIVE.but(log_q=lambda q: q.log_softmax(-1)),
        "you normalised the joint to p(z|x): this is −D_KL(q‖p(z|x)), which lacks log p(x)",
        _DISCRETE.given(log_joint=lambda v: v.log_softmax(-1)),
        "you let Categorical(logits=…) normalise the joint to p(z|x): this is −D_KL(q‖p(z|x)), which lacks log p(x)",
        lambda log_joint, q: -kl_divergence(Categorical(probs=q), Categorical(logits=log_joint)),
        "this is D_KL(q‖p(z|x)), the gap: the ELBO is log p(x) minus it",
        lambda log_joint, q: kl_divergence(Categorical(probs=q), Categorical(logits=log_joint)),
        "the gap D_KL(q‖p(z|x)) was added to log p(x): subtract it",
        lambda log_joint, q: 2 * log_joint.logsumexp(-1) - _DISCRETE(log_joint, q),
        "log(exp(…) / q) overflows or underflows, and is NaN at q(z) = 0: subtract logarithms, and let such a state contribute 0",
        _NAIVE.but(log_weight=lambda log_joint, q: (log_joint.exp() / q).log()),
        "you weighted by the posterior p(z|x): the expectation is over q",
        _NAIVE.but(terms=lambda log_joint, log_weight: log_joint.softmax(-1) * log_weight),
        "you weighted by p(x, z): the expectation is over q, the target of kl_div",
        _NAIVE.but(terms=lambda log_joint, log_weight: log_joint.exp() * log_weight),
        "you used the most probable state only: every state counts, with the weight q(z)",
        _NAIVE.but(bound=lambda q, log_weight: log_weight.gather(-1, q.argmax(-1, keepdim=True))[..., 0]),
        "the entropy is in bits here: all logarithms are natural",
        _DISCRETE.times(entropy=1 / log(2)),
        "you gave Categorical probabilities for logits: Categorical(probs=q) has the entropy of q",
        _DISCRETE.but(entropy=lambda q: Categorical(logits=q).entropy()),
        "you summed over the batch: the states are the last axis",
        _NAIVE.but(bound=lambda log_joint, q: (q * log_joint - torch.xlogy(q, q)).sum(0)),
        "squeeze() takes away the axis of a batch of 1 too: return [batch] for every batch",
        _DISCRETE.then(torch.squeeze),
        *_reduced(_DISCRETE),
        "[batch] + [batch, 1] gives a table of all pairs: sum both terms without keepdim=True",
        _DISCRETE.but(joint=lambda log_joint, q: (q * log_joint).sum(-1, keepdim=True)),
        _DISCRETE.but(entropy=lambda q: -torch.xlogy(q, q).sum(-1, keepdim=True)),
    ),
)


# 2. Σ_z p(z|x) [log p(x, z) − log q(z)], a bound from above


def _normalised(small: float, log_joint: Tensor) -> Tensor:
    """A posterior with a small number in the place of probabilities that underflow."""
    joint = log_joint.exp() + small
    return joint / joint.sum(-1, keepdim=True)


_ABOVE = Formula(
    "log_joint log_q",
    posterior=lambda log_joint: log_joint.softmax(-1),
    log_weight=lambda log_joint, log_q: log_joint - log_q,
    bound=lambda posterior, log_weight: (posterior * log_weight).sum(-1),
)


def _log_evidence(log_joint: Tensor) -> Tensor:
    return log_joint.logsumexp(-1)


def _divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) of rows of log-probabilities."""
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def _evidence_upper_bound_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, states: int, at: float | Tensor = 0.0) -> Arguments:
        log_joint = normal(generator, batch, states, scale=2.0) + at
        log_q = normal(generator, batch, states).log_softmax(-1)
        return log_joint.requires_grad_(), log_q

    apart = torch.tensor([[-900.0], [0.0], [900.0]], dtype=torch.float64)
    log_joint = normal(generator, 2, 5, scale=2.0) - 3
    at_posterior = log_joint.log_softmax(-1)
    return [
        *(case(4, 3), case(1, 5), case(5, 2), case(2, 4, -900.0), case(3, 4, apart), case(3, 3)),
        (log_joint.clone().requires_grad_(), at_posterior),
    ]


evidence_upper_bound = Exercise(
    "evidence_upper_bound",
    _ABOVE,
    _evidence_upper_bound_cases,
    wrong(
        "you weighted by q: that is the ELBO, a bound from below; here the mean is over the posterior",
        _ABOVE.but(posterior=lambda log_q: log_q.exp()),
        "you weighted by p(x, z), which does not add up to 1: divide by p(x), which a softmax over the states does",
        _ABOVE.but(posterior=lambda log_joint: log_joint.exp()),
        "exp overflows or underflows for log-joints far from 0: softmax subtracts the largest first",
        _ABOVE.but(posterior=lambda log_joint: log_joint.exp() / log_joint.exp().sum(-1, keepdim=True)),
        *[_ABOVE.but(posterior=partial(_normalised, small)) for small in SMALL],
        "you normalised over the batch: each example has its own posterior, over the states, the last axis",
        _ABOVE.but(posterior=lambda log_joint: log_joint.softmax(0)),
        "you normalised over the whole batch: each example has its own posterior, over the states, the last axis",
        _ABOVE.but(posterior=lambda log_joint: log_joint.flatten().softmax(0).reshape(log_joint.shape)),
        "you took the softmax of −log p(x, z): that gives the least probable state the most weight",
        _ABOVE.but(posterior=lambda log_joint: (-log_joint).softmax(-1)),
        "you took the softmax of the log weights: those are p(x, z) / q(z), normalised; the posterior is p(x, z), normalised",
        _ABOVE.but(posterior=lambda log_joint, log_q: (log_joint - log_q).softmax(-1)),
        "every state counts the same here: the mean weights each by p(z|x)",
        _ABOVE.but(bound=lambda log_weight: log_weight.mean(-1)),
        "the weights p(z|x) before the bracket are missing",
        _ABOVE.but(bound=lambda log_weight: log_weight.sum(-1)),
        "you averaged over the states: the posterior holds the weights already, so the mean is a sum",
        _ABOVE.but(bound=lambda posterior, log_weight: (posterior * log_weight).mean(-1)),
        "this is log p(x) itself, whatever q is: the bound above it is wanted",
        _ABOVE.but(bound=lambda log_joint: _log_evidence(log_joint)),
        "this is D_KL(p(z|x)‖q), how far above log p(x) the bound lies: log p(x) is missing",
        _ABOVE.but(bound=lambda log_joint, log_q: _divergence(log_joint.log_softmax(-1), log_q)),
        "this is log p(x) + D_KL(q‖p(z|x)): above too, but the mean over the posterior gives the other direction",
        _ABOVE.but(
            bound=lambda log_joint, log_q: _log_evidence(log_joint) + _divergence(log_q, log_joint.log_softmax(-1))
        ),
        "D_KL(p(z|x)‖q) was subtracted from log p(x): the bound lies above, so it is added",
        _ABOVE.but(
            bound=lambda log_joint, log_q: _log_evidence(log_joint) - _divergence(log_joint.log_softmax(-1), log_q)
        ),
        "log q(z) has the wrong sign: it is subtracted, as in the ELBO",
        _ABOVE.but(log_weight=lambda log_joint, log_q: log_joint + log_q),
        "− log q(z) is missing",
        _ABOVE.but(log_weight=lambda log_joint: log_joint),
        "log p(x, z) is missing in the bracket: this is the cross-entropy of q under the posterior",
        _ABOVE.but(log_weight=lambda log_q: -log_q),
        "you subtracted q(z): subtract its logarithm, which is what you were given",
        _ABOVE.but(log_weight=lambda log_joint, log_q: log_joint - log_q.exp()),
        "you took the logarithm of log_q, which is one already",
        _ABOVE.given(log_q=torch.log),
        "you put p(x, z) where log p(x, z) belongs: log_joint is the logarithm already",
        _ABOVE.but(log_weight=lambda log_joint, log_q: log_joint.exp() - log_q),
        "the bracket holds log p(z|x) in place of log p(x, z): log p(x) is lost",
        _ABOVE.but(
            log_weight=lambda log_joint, log_q: log_joint.log_softmax(-1) - log_q,
            bound=lambda posterior, log_weight: (posterior.detach() * log_weight).sum(-1),
        ),
        "this is the log of the mean weight, which lies higher still: take the mean of the log weights",
        _ABOVE.but(bound=lambda log_joint, log_weight: (log_joint.log_softmax(-1) + log_weight).logsumexp(-1)),
        "this is the log of the sum of the weights: take the mean of their logarithms",
        _ABOVE.but(bound=lambda log_weight: log_weight.logsumexp(-1)),
        "you used the most probable state only: every state counts, with the weight p(z|x)",
        _ABOVE.but(
            bound=lambda log_joint, log_weight: log_weight.gather(-1, log_joint.argmax(-1, keepdim=True))[..., 0]
        ),
        "you detached the posterior: it depends on log_joint too, and the gradient must pass through both",
        _ABOVE.but(bound=lambda posterior, log_weight: (posterior.detach() * log_weight).sum(-1)),
        "you summed over the batch: the states are the last axis",
        _ABOVE.but(bound=lambda posterior, log_weight: (posterior * log_weight).sum(0)),
        "squeeze() takes away the axis of a batch of 1 too: return [batch] for every batch",
        _ABOVE.then(torch.squeeze),
        *_reduced(_ABOVE),
        "the axis of the states is still there: sum without keepdim=True",
        _ABOVE.but(bound=lambda posterior, log_weight: (posterior * log_weight).sum(-1, keepdim=True)),
    ),
)


# 3. the second split: E_q[log p(x, z)] + H[q]

_SPLIT = SumOf(
    "expected_log_joint log_std",
    joint=lambda expected_log_joint: expected_log_joint,
    entropy=lambda log_std: (log_std + _ENTROPY).sum(-1),
)


def _latent(entropy: Change) -> Answer:
    """Another entropy of one latent, as a function of log σ."""
    return _SPLIT.but(entropy=lambda log_std: entropy(log_std).sum(-1))


def _entropy_split_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float, at: float = 0.0) -> Arguments:
        log_std = normal(generator, batch, latent, scale=scale) + at
        return (normal(generator, batch, scale=10.0) - 30).requires_grad_(), log_std.requires_grad_()

    flat = tuple(torch.zeros(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3,), (3, 2)))
    return [case(4, 3, 1.0), case(1, 2, 1.0), case(5, 1, 2.0), case(2, 4, 0.5, -20.0), flat]


entropy_split = Exercise(
    "entropy_split",
    _SPLIT,
    _entropy_split_cases,
    wrong(
        "you subtracted the entropy: −E_q[log q] is the entropy, so it is added",
        _SPLIT.times(entropy=-1),
        "½ per latent is missing: the entropy holds ½ log 2πe, where ½ log e comes from the mean of ½ ε²",
        _latent(lambda s: s + _HALF_LOG),
        "the constant has the wrong sign: the entropy is log σ + ½ log 2πe",
        _latent(lambda s: s - _ENTROPY),
        "log σ has the wrong sign: a wider q has more entropy",
        _latent(lambda s: _ENTROPY - s),
        "log e = 1 stands inside the ½: it contributes ½ per latent, not 1",
        _latent(lambda s: s + _HALF_LOG + 1),
        "the ½ of the squared noise has the wrong sign: −E_q[log q] = log σ + ½ log 2π + ½ per latent",
        _latent(lambda s: s + _HALF_LOG - 0.5),
        "½ log 2πe stands outside the sum: every latent has its own",
        _SPLIT.but(entropy=lambda log_std: log_std.sum(-1) + _ENTROPY),
        "the constant ½ log 2πe is missing, once per latent",
        _latent(lambda s: s),
        "½ log 2π is missing, once per latent: the entropy is log σ + ½ log 2π + ½",
        _latent(lambda s: s + 0.5),
        "2 or π is missing in ½ log 2πe",
        *[_latent(lambda s: s + 0.5 * log(pi * e)), _latent(lambda s: s + 0.5 * log(2 * e))],
        "log σ is missing: this is the entropy at σ = 1",
        _latent(lambda s: torch.full_like(s, _ENTROPY)),
        "you used log σ² where log σ belongs: ½ log σ² is log σ",
        _latent(lambda s: 2 * s + _ENTROPY),
        "you wrote (log σ)² for log σ²: log σ² = 2 log σ, and half of that is log σ",
        *[_latent(lambda s: s**2 + _ENTROPY), _latent(lambda s: 0.5 * s**2 + _ENTROPY)],
        "the ½ halves log σ too: either ½ log 2πeσ², with the square, or log σ + ½ log 2πe",
        _latent(lambda s: 0.5 * s + _ENTROPY),
        "the ½ before log 2πe is missing",
        _latent(lambda s: s + 2 * _ENTROPY),
        "the ½ before log 2πeσ² is missing",
        _latent(lambda s: 2 * s + 2 * _ENTROPY),
        "you added σ: the entropy holds its logarithm, which is what you were given",
        *[_latent(lambda s: s.exp() + _ENTROPY), _latent(lambda s: 0.5 * s.exp() + _ENTROPY)],
        "you took the logarithm of log σ, which is one already",
        _latent(lambda s: s.log() + _ENTROPY),
        "you took softplus for σ: here s is log σ, so σ = exp(s)",
        _latent(lambda s: softplus(s).log() + _ENTROPY),
        "you averaged over the latents: the entropy of independent coordinates is a sum",
        _SPLIT.but(entropy=lambda log_std: (log_std + _ENTROPY).mean(-1)),
        "2πe is a product: you added e",
        _latent(lambda s: s + 0.5 * log(2 * pi + e)),
        "e stands inside the logarithm: you multiplied log 2π by it",
        _latent(lambda s: s + _HALF_LOG * e),
        "the ½ of the squared noise stands outside the sum: every latent has its own",
        _SPLIT.but(entropy=lambda log_std: (log_std + _HALF_LOG).sum(-1) + 0.5),
        "you took the logarithm to base 2: all logarithms here are natural",
        _latent(lambda s: s + 0.5 * log2(2 * pi * e)),
        "the entropy is in bits here, the expected log joint in nats: divide nothing by log 2",
        _SPLIT.times(entropy=1 / log(2)),
        "this is the entropy of q alone: the expected log joint is missing",
        _SPLIT.times(joint=0),
        "you did not sum over the latents: each example has one entropy",
        lambda expected_log_joint, log_std: expected_log_joint[:, None] + log_std + _ENTROPY,
        "the expected log joint was added once per latent: add it outside the sum",
        lambda expected_log_joint, log_std: (expected_log_joint[:, None] + log_std + _ENTROPY).sum(-1),
        "len(log_std) counts the examples: ½ log 2πe stands once per latent, log_std.shape[-1] times",
        _SPLIT.but(entropy=lambda log_std: log_std.sum(-1) + len(log_std) * _ENTROPY),
        "you subtracted D_KL(q‖N(0, I)), which belongs to the first split: E_q[log p(x, z)] holds the prior already, add H[q]",
        _latent(lambda s: s - 0.5 * ((2 * s).exp() - 1)),
        "you added D_KL(q‖N(0, I)): E_q[log p(x, z)] holds the prior already, add H[q]",
        _latent(lambda s: 0.5 * ((2 * s).exp() - 1) - s),
        "you added up or averaged the entropies of the whole batch: each example has its own, sum over the latents only",
        _SPLIT.but(entropy=lambda log_std: (log_std + _ENTROPY).sum()),
        _SPLIT.but(entropy=lambda log_std: (log_std + _ENTROPY).sum(-1).mean()),
        *_reduced(_SPLIT),
        "[batch] + [batch, 1] gives a table of all pairs: sum the entropy without keepdim=True",
        _SPLIT.but(entropy=lambda log_std: (log_std + _ENTROPY).sum(-1, keepdim=True)),
    ),
)


# 4. the ELBO of the linear-Gaussian model in closed form

_GIVEN = "x weight bias std mean log_std"
_FIT = SumOf(  # E_q[log p(x|z)]
    _GIVEN,
    error=lambda x, weight, bias, std, mean: -(x - mean @ weight.T - bias).square().sum(-1) / (2 * std**2),
    density=lambda x, std: -(std.log() + _HALF_LOG) * x.shape[-1],
    spread=lambda weight, std, log_std: -((2 * log_std).exp() @ weight.square().sum(0)) / (2 * std**2),
)
_MINUS_KL = SumOf(
    _GIVEN,
    centre=lambda mean: -0.5 * mean.square().sum(-1),
    width=lambda log_std: -0.5 * (2 * log_std).exp().sum(-1),
    volume=lambda log_std: log_std.sum(-1),
    one=lambda mean: 0.5 * mean.shape[-1],
)
_BOUND = _FIT.but(**_MINUS_KL.steps)
_PARTS = SumOf(_GIVEN, squares=_FIT.but(density=lambda: 0), density=_FIT.steps["density"], minus_kl=_MINUS_KL)
_BY_THE_GAP = Formula(  # No term of the closed form that the exercise asks for is in here: the identity grades it.
    _GIVEN,
    model=lambda weight, bias, std: LinearGaussian(weight, bias, std),
    q=lambda mean, log_std: diagonal_normal(mean, log_std.exp()),
    posterior=lambda model, x: model.posterior(x),
    evidence=lambda model, x: model.log_evidence(x),
    gap=lambda q, posterior: kl_divergence(q, posterior),
    bound=lambda evidence, gap: evidence - gap,
)
_UNDIVIDED: tuple[Change, ...] = (torch.ones_like, partial(torch.full_like, fill_value=0.5**0.5))  # σ² = 1, 2σ² = 1


def _elbo_linear_gaussian_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, observed: int, latent: int, std: float, spread: float = 1.0) -> Arguments:
        weight, bias = normal(generator, observed, latent, gradient=True), normal(generator, observed)
        mean = normal(generator, batch, latent, scale=spread, gradient=True)
        log_std = normal(generator, batch, latent, scale=0.5, gradient=True)
        x = normal(generator, batch, observed, scale=2.0)
        return x, weight, bias, torch.tensor(std, dtype=torch.float64), mean, log_std

    # one latent: q can be the posterior, and the bound is log p(x)
    x, weight, bias, std, _, _ = case(3, 4, 1, 0.7)
    posterior = LinearGaussian(weight.detach(), bias, std).posterior(x)
    q = [v.clone().requires_grad_() for v in (posterior.mean, 0.5 * posterior.variance.log())]
    # the decoder ignores z, and q is the prior
    ignored = [torch.zeros_like(v, requires_grad=True) if v.requires_grad else v for v in case(2, 3, 2, 1.5)]
    some = case(4, 5, 3, 0.6), case(1, 3, 2, 2.0), case(3, 1, 2, 0.8), case(2, 3, 3, 0.1), case(2, 4, 1, 1.7, 20.0)
    return [*some, (x, weight, bias, std, *q), tuple(ignored)]


def _spread(of: Callable[[Tensor, Tensor], Tensor]) -> SumOf:
    """Another Σ s_j² ‖w_j‖², a function of s and of W."""
    return _BOUND.but(spread=lambda weight, std, log_std: -of(log_std.exp(), weight) / (2 * std**2))


def _blurred(x: Tensor, weight: Tensor, bias: Tensor, std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """The log-density of x where z is drawn from q."""
    variance = std**2 + (2 * log_std).exp() @ weight.square().T
    log_density: Tensor = diagonal_normal(mean @ weight.T + bias, variance.sqrt()).log_prob(x)
    return log_density


elbo_linear_gaussian = Exercise(
    "elbo_linear_gaussian",
    _BY_THE_GAP,
    _elbo_linear_gaussian_cases,
    wrong(
        "the likelihood was evaluated at z = m, which is too optimistic: the spread of q costs Σ s_j² ‖w_j‖² / 2σ² more",
        _BOUND.times(spread=0),
        "the term of the spread, Σ s_j² ‖w_j‖² / 2σ², has the wrong sign: noise in z lowers the mean log-likelihood",
        _BOUND.times(spread=-1),
        "the ½ in the term of the spread is missing: it is Σ s_j² ‖w_j‖² / 2σ²",
        _BOUND.times(spread=2),
        "the term of the spread is not divided by the variance σ² of the likelihood",
        *(_BOUND.within("spread", std=undivided) for undivided in _UNDIVIDED),
        "the term of the spread holds s_j, the standard deviation of q: it takes the variance s_j² = exp(2 log s_j)",
        _spread(lambda s, w: s @ w.square().sum(0)),
        "you multiplied two sums: each s_j² belongs to its own column w_j, so multiply first and then sum",
        _spread(lambda s, w: s.square().sum(-1) * w.square().sum()),
        "you squared the sum Σ_j s_j w_j: the noises of the latents are independent, so their squares add up, Σ s_j² ‖w_j‖²",
        _spread(lambda s, w: (s @ w.T).square().sum(-1)),
        "the norm of w_j is not squared in the term of the spread",
        _spread(lambda s, w: s.square() @ w.norm(dim=0)),
        "you squared the sum of each column of W: sum the squares of its entries, which is ‖w_j‖²",
        _spread(lambda s, w: s.square() @ w.sum(0).square()),
        "you squared the sum Σ_j s_j² w_j: square W before the product, as each s_j² meets ‖w_j‖²",
        _spread(lambda s, w: (s.square() @ w.T).square().sum(-1)),
        "you divided the term of the spread by 2σ: the likelihood has the variance, 2σ²",
        _BOUND.within("spread", std=torch.sqrt),
        "the columns of W are missing in the term of the spread: W stretches the noise of z_j by ‖w_j‖",
        _spread(lambda s, w: s.square().sum(-1)),
        "D_KL(q‖p(z)) has the wrong sign: it is subtracted",
        _PARTS.times(minus_kl=-1),
        "this is D_KL(p(z)‖q), the other direction: the expectation is over q",
        lambda *given: _FIT(*given) - kl_divergence(Normal(0.0, 1.0), Normal(given[4], given[5].exp())).sum(-1),
        "this is E_q[log p(x|z)] alone: subtract D_KL(q‖p(z))",
        _PARTS.times(minus_kl=0),
        "the ½ in D_KL(q‖p(z)) is missing: it is Σ ½ (m² + s² − 1 − 2 log s)",
        _PARTS.times(minus_kl=2),
        "the ½ stands before a part of D_KL(q‖p(z)) only: it multiplies the whole bracket, (m² + s² − 1 − 2 log s)",
        _BOUND.times(width=2, volume=2, one=2),
        "you averaged D_KL(q‖p(z)) over the latents: that of independent coordinates is a sum",
        lambda *given: _FIT(*given) + _MINUS_KL(*given) / given[4].shape[-1],
        "you took exp(log s) for the variance of q throughout, as if log_std were log s²: the variance is exp(2 log s)",
        _BOUND.given(log_std=lambda s: 0.5 * s),
        "exp is missing in the variance of q: s² = exp(2 log s), and log_std is a logarithm",
        _spread(lambda s, w: 2 * s.log() @ w.square().sum(0)).but(width=lambda log_std: -log_std.sum(-1)),
        "you took softplus for s: here s = exp(log_std)",
        _BOUND.given(log_std=lambda s: softplus(s).log()),
        "you took log_std for log s² in D_KL(q‖p(z)): s² = exp(2 log s), and log s² = 2 log s",
        _PARTS.within("minus_kl", log_std=lambda s: 0.5 * s),
        "log s² is 2 log s: in D_KL(q‖p(z)) you subtracted ½ log s, where ½ log s² = log s is right",
        _BOUND.times(volume=0.5),
        "you wrote (log s)² in D_KL(q‖p(z)), where log s² = 2 log s belongs",
        _BOUND.but(volume=lambda log_std: 0.5 * log_std.square().sum(-1)),
        "in D_KL(q‖p(z)) you took exp(log s), which is s, for s² = exp(2 log s)",
        _BOUND.but(width=lambda log_std: -0.5 * log_std.exp().sum(-1)),
        "in D_KL(q‖p(z)) you took s² for the scale of q: Normal takes the standard deviation s = exp(log s)",
        _PARTS.within("minus_kl", log_std=lambda s: 2 * s),
        "log s has the wrong sign in D_KL(q‖p(z)): it is subtracted there",
        _BOUND.times(volume=-1),
        "log p(z) was evaluated at z = m: under q it has the mean −½ Σ (m² + s²) and its constants",
        _BOUND.times(width=0),
        "you added the entropy of q to E_q[log p(x|z)]: E_q[log p(z)] is missing, and both together are −D_KL(q‖p(z))",
        _BOUND.but(centre=lambda: 0, width=lambda: 0, one=lambda mean: _ENTROPY * mean.shape[-1]),
        "½ log 2πσ² is missing, once per observed dimension: a density has its constants",
        _BOUND.times(density=0),
        "½ log 2π is missing in log p(x|z), once per observed dimension",
        _BOUND.but(density=lambda x, std: -std.log() * x.shape[-1]),
        "log σ is missing in log p(x|z), once per observed dimension",
        _BOUND.but(density=lambda x: -_HALF_LOG * x.shape[-1]),
        "½ log 2πσ² stands outside the sum over the observed dimensions: each has its own",
        _BOUND.but(density=lambda std: -(std.log() + _HALF_LOG)),
        "you counted ½ log 2πσ² once per latent: log p(x|z) has one per observed dimension",
        _BOUND.but(density=lambda mean, std: -(std.log() + _HALF_LOG) * mean.shape[-1]),
        "you counted ½ log 2πσ² once per example of the batch: log p(x|z) has one per observed dimension",
        _BOUND.but(density=lambda x, std: -(std.log() + _HALF_LOG) * len(x)),
        "the constant of a normal density is ½ log 2πσ²: 2 or π is missing in yours",
        _BOUND.but(density=lambda x, std: -(std.log() + 0.5 * log(pi)) * x.shape[-1]),
        _BOUND.but(density=lambda x, std: -(std.log() + 0.5 * log(2)) * x.shape[-1]),
        "you used σ where the variance σ² belongs in log p(x|z): std is the standard deviation",
        _BOUND.given(std=torch.sqrt),
        "you wrote ½ log 2πσ: the constant holds the variance, ½ log 2πσ²",
        _BOUND.within("density", std=torch.sqrt),
        "the division of the squares by σ² is missing: it is (…) / 2σ²",
        *(_PARTS.within("squares", std=undivided) for undivided in _UNDIVIDED),
        "you multiplied the squares by σ²: / 2 * std**2 does that; write / (2 * std**2)",
        *[_PARTS.within("squares", std=torch.reciprocal), _PARTS.within("squares", std=lambda std: 0.5 / std)],
        "you averaged the squared error over the observed dimensions: log-densities of independent dimensions add up",
        lambda *given: _BOUND.times(error=1 / given[0].shape[-1])(*given),
        "the ½ before the squared error is missing",
        _BOUND.times(error=2),
        "the ½ is missing before both the squared error and the term of the spread: divide by 2σ²",
        _PARTS.times(squares=2),
        "the bias b is missing: the mean of x is W z + b",
        _BOUND.given(bias=torch.zeros_like),
        "the bias b has the wrong sign: the residual is x − W m − b",
        _BOUND.given(bias=torch.neg),
        "you averaged log p(x|z) over the observed dimensions: those of independent dimensions add up",
        lambda *given: _BOUND.times(error=1 / given[0].shape[-1], density=1 / given[0].shape[-1])(*given),
        "you gave log N(x; W m + b, σ² I) the variance for its scale: Normal takes the standard deviation, std as it is",
        _BOUND.but(density=lambda x, std: -(2 * std.log() + _HALF_LOG) * x.shape[-1]).within("error", std=torch.square),
        "you put the spread of q into the variance of x: E_q[log p(x|z)] keeps σ² and loses Σ s_j² ‖w_j‖² / 2σ²",
        _MINUS_KL.but(fit=_blurred),
        "the −1 in D_KL(q‖p(z)) is missing, once per latent: at m = 0, s = 1 it must be 0",
        _BOUND.times(one=0),
        "the −1 in D_KL(q‖p(z)) stands outside the sum over the latents: each has its own",
        _BOUND.but(one=lambda: 0.5),
        "m² is missing in D_KL(q‖p(z))",
        _BOUND.times(centre=0),
        "this is log p(x): the bound lies below it by D_KL(q‖p(z|x))",
        _BY_THE_GAP.but(bound=lambda evidence: evidence),
        "this is −D_KL(q‖p(z|x)), minus the gap: log p(x) is missing",
        _BY_THE_GAP.but(bound=lambda gap: -gap),
        "D_KL(q‖p(z|x)) was added to log p(x): the ELBO is a lower bound",
        _BY_THE_GAP.but(bound=lambda evidence, gap: evidence + gap),
        "the gap is D_KL(q‖p(z|x)); you took D_KL(p(z|x)‖q)",
        _BY_THE_GAP.but(gap=lambda q, posterior: kl_divergence(posterior, q)),
        *_reduced(_BOUND),
        "[batch] + [batch, 1] gives a table of all pairs: sum every term without keepdim=True",
        lambda *given: _FIT(*given)[:, None] + _MINUS_KL(*given),
        lambda *given: _FIT(*given) + _MINUS_KL(*given)[:, None],
        "one term was averaged or added up over the batch, the other was not: each example has its own of both",
        lambda *given: _FIT(*given) + _MINUS_KL(*given).mean(),
        lambda *given: _FIT(*given) + _MINUS_KL(*given).sum(),
        lambda *given: _FIT(*given).mean() + _MINUS_KL(*given),
        "the squared error stands for log p(x|z) here: σ², the constants and the spread of q are missing",
        *(_BOUND.but(density=lambda: 0, spread=lambda: 0).given(std=undivided) for undivided in _UNDIVIDED),
    ),
    written=_BOUND,
)
