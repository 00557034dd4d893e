"""The sheet on the discrete VAE: Gumbel-max, its relaxation, straight-through, enumeration, the score function."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. the Gumbel-max draw


def _gumbel(u: Tensor) -> Tensor:
    return -(-u.log()).log()


def _at_index(index: Tensor, scores: Tensor) -> Tensor:
    return one_hot(index, scores.shape[-1]).to(scores.dtype)


def _hard(scores: Tensor) -> Tensor:
    return _at_index(scores.argmax(-1), scores)


def _gumbel_max(logits: Tensor, uniform: Tensor) -> Tensor:
    return _hard(logits + _gumbel(uniform))


def _largest_of(score: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """One-hot at the largest score, as a function of logits and uniform."""
    return lambda logits, u: _hard(score(logits, u))


def _all_largest(scores: Tensor, best: Tensor) -> Tensor:
    return (scores == best).to(scores.dtype)


def _open(generator: Generator, *shape: int) -> Tensor:
    """Uniform draws, away from 0 and 1: an answer may keep its logarithms finite with a tiny constant."""
    return 0.01 + 0.98 * uniform(generator, *shape)


def _gumbel_max_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, scale: float = 1.0, offset: float = 0.0) -> Arguments:
        return offset + normal(generator, *shape, scale=scale), _open(generator, *shape)

    large = [case(40, 4, offset=1000.0), case(40, 4, offset=-1000.0)]  # exp overflows, or gives 0 everywhere
    logits, u = case(6, 4)
    tied = logits[:, [0, 0, 0, 0]], u[:, [1, 2, 2, 1]]  # two largest in every row
    sizes = [case(300, 5), case(1, 2), case(6), case(3, 2, 4), case(50, 2, scale=1e-3), case(100, 10, scale=2.0)]
    return [*sizes, *large, tied]


gumbel_max = Exercise(
    "gumbel_max",
    _gumbel_max,
    _gumbel_max_cases,
    wrong(
        "this is the index of the largest: return the one-hot vector, with a 1 at that index",
        lambda logits, u: (logits + _gumbel(u)).argmax(-1),
        lambda logits, u: (logits + _gumbel(u)).argmax(-1, keepdim=True),
        lambda logits, u: (logits + _gumbel(u)).argmax(-1).double(),
        "the draw is right, but its entries are whole numbers or truth values: return the number type of logits",
        lambda logits, u: _gumbel_max(logits, u).long(),
        lambda logits, u: _gumbel_max(logits, u).bool(),
        "this is a softmax, the relaxed draw of 12.2: here the largest entry is 1 and the others are 0",
        lambda logits, u: (logits + _gumbel(u)).softmax(-1),
        "you chose the smallest: the draw is where logits + noise is largest",
        _largest_of(lambda logits, u: -logits - _gumbel(u)),
        "log(−log u) was added: it is subtracted, for the Gumbel noise is −log(−log u)",
        _largest_of(lambda logits, u: logits - _gumbel(u)),
        "the uniform draw was added as it is: turn it into Gumbel noise, −log(−log u)",
        _largest_of(lambda logits, u: logits + u),
        "your noise −log u is exponential: take −log of it once more for Gumbel noise",
        _largest_of(lambda logits, u: logits - u.log()),
        "your noise amounts to log u: Gumbel noise is −log(−log u), with two logarithms and two signs",
        _largest_of(lambda logits, u: logits + u.log()),
        "log u is negative, so that its own logarithm is NaN: flip the sign first, −log(−log u)",
        _largest_of(lambda logits, u: logits - u.log().log()),
        _largest_of(lambda logits, u: logits + u.log().log()),
        "you took 1 − u for u: that is Gumbel noise too, but the exercise asks for −log(−log u)",
        _largest_of(lambda logits, u: logits + _gumbel(1 - u)),
        "your noise is normal or logistic: only Gumbel noise, −log(−log u), gives the probabilities softmax(logits)",
        _largest_of(lambda logits, u: logits + torch.special.ndtri(u)),
        _largest_of(lambda logits, u: logits + u.log() - (-u).log1p()),
        "the noise was added to softmax(logits) or exp(logits): add it to the logits themselves",
        _largest_of(lambda logits, u: logits.softmax(-1) + _gumbel(u)),
        _largest_of(lambda logits, u: logits.exp() + _gumbel(u)),
        "a race of exponentials is right, but exp(logits) overflows or rounds to 0 for logits far from 0: compare logarithms",
        _largest_of(lambda logits, u: u.log() / logits.exp()),
        _largest_of(lambda logits, u: logits.exp() / -u.log()),
        "the noise was multiplied: it is added to the logits",
        _largest_of(lambda logits, u: logits * _gumbel(u)),
        "your draw is the largest logit, whatever u is: each category needs noise of its own",
        _largest_of(lambda logits, u: logits),
        _largest_of(lambda logits, u: logits + _gumbel(u[..., :1])),
        "the logits are missing: with the noise alone all categories are equally probable",
        _largest_of(lambda logits, u: _gumbel(u)),
        _largest_of(lambda logits, u: u),
        "you took the largest along the first axis: every row needs one 1, along the last",
        lambda logits, u: _all_largest(logits + _gumbel(u), (logits + _gumbel(u)).amax(0)),
        "you took the largest of the whole tensor: every row needs its own 1, so give argmax or max the last axis",
        lambda logits, u: _all_largest(logits + _gumbel(u), (logits + _gumbel(u)).max()),
        lambda logits, u: _at_index((logits + _gumbel(u)).argmax(), logits),
        lambda logits, u: torch.eye(logits.shape[-1], dtype=logits.dtype)[(logits + _gumbel(u)).argmax()],
        "at a tie your row has several 1s: the first largest alone has one, as argmax finds it",
        lambda logits, u: _all_largest(logits + _gumbel(u), (logits + _gumbel(u)).amax(-1, keepdim=True)),
    ),
)


# 2. the relaxed draw


def _relaxed(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    return ((logits + _gumbel(uniform)) / temperature).softmax(-1)


def _relaxed_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, temperature: float, scale: float = 1.0, offset: float = 0.0) -> Arguments:
        logits = (offset + normal(generator, *shape, scale=scale)).requires_grad_()
        return logits, _open(generator, *shape), temperature

    apart = (normal(generator, 3, 4) + torch.tensor([[12.0], [0.0], [-12.0]])).requires_grad_()
    return [
        case(5, 3, temperature=0.5),
        case(1, 2, temperature=1.0),
        case(6, temperature=2.0),
        case(3, 2, 4, temperature=0.7),
        case(4, 3, temperature=10.0, scale=3.0),
        case(20, 5, temperature=0.01, offset=12.0),
        (apart, _open(generator, 3, 4), 0.01),
    ]


def _softmax_of(score: Callable[[Tensor, Tensor, float], Tensor]) -> Answer:
    """Softmax of a score, as a function of logits, uniform and temperature."""
    return lambda logits, u, t: score(logits, u, t).softmax(-1)


def _scores(logits: Tensor, u: Tensor, t: float) -> Tensor:
    return (logits + _gumbel(u)) / t


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


relaxed_sample = Exercise(
    "relaxed_sample",
    _relaxed,
    _relaxed_cases,
    wrong(
        "you multiplied by the temperature: divide, so that a low one sharpens",
        _softmax_of(lambda logits, u, t: (logits + _gumbel(u)) * t),
        "only the logits were divided by τ: divide logits and noise together, (logits + g) / τ",
        _softmax_of(lambda logits, u, t: logits / t + _gumbel(u)),
        "only the noise was divided by τ: divide logits and noise together, (logits + g) / τ",
        _softmax_of(lambda logits, u, t: logits + _gumbel(u) / t),
        "τ scales the noise alone here: it divides the sum of logits and noise",
        _softmax_of(lambda logits, u, t: logits + t * _gumbel(u)),
        "the temperature has no effect here: divide logits + noise by it before the softmax",
        _softmax_of(lambda logits, u, t: logits + _gumbel(u)),
        "the noise is missing: this is the softmax of the logits at temperature τ, the same at every draw",
        _softmax_of(lambda logits, u, t: logits / t),
        "log(−log u) was added: it is subtracted, for the Gumbel noise is −log(−log u)",
        _softmax_of(lambda logits, u, t: (logits - _gumbel(u)) / t),
        "your noise is not Gumbel noise: that is −log(−log u), as in 12.1",
        _softmax_of(lambda logits, u, t: (logits + u) / t),
        _softmax_of(lambda logits, u, t: (logits - u.log()) / t),
        _softmax_of(lambda logits, u, t: (logits + u.log()) / t),
        _softmax_of(lambda logits, u, t: (logits + torch.special.ndtri(u)) / t),
        "the softmax is missing: these are the scores (logits + g) / τ",
        _scores,
        "the noise was added to probabilities: add it to the logits",
        _softmax_of(lambda logits, u, t: (logits.softmax(-1) + _gumbel(u)) / t),
        "you divided by τ after the softmax: the entries no longer sum to 1; divide before it",
        lambda logits, u, t: (logits + _gumbel(u)).softmax(-1) / t,
        "a softmax stands inside the softmax: divide logits + noise by τ, and apply it once",
        _softmax_of(lambda logits, u, t: (logits + _gumbel(u)).softmax(-1) / t),
        _softmax_of(lambda logits, u, t: _relaxed(logits, u, t)),
        _softmax_of(lambda logits, u, t: logits.softmax(-1) / t + _gumbel(u)),
        "the softmax runs over the first axis: the categories are the last",
        lambda logits, u, t: _scores(logits, u, t).softmax(0),
        "exp overflows at a low temperature and leaves NaN: subtract the largest entry of each row first, as torch's softmax does",
        lambda logits, u, t: _shares(_scores(logits, u, t).exp()),
        "you subtracted the largest entry of all rows, beside which another row rounds to 0/0: each row has its own largest",
        lambda logits, u, t: _shares((_scores(logits, u, t) - _scores(logits, u, t).max()).exp()),
        "a sigmoid looks at one category alone: a softmax makes them sum to 1",
        lambda logits, u, t: _scores(logits, u, t).sigmoid(),
        "this is the logarithm of the relaxed draw: return the draw itself, softmax and not log_softmax",
        lambda logits, u, t: _scores(logits, u, t).log_softmax(-1),
        "this is the hard draw of 12.1, through which no gradient flows: a softmax takes the place of the largest",
        lambda logits, u, t: _gumbel_max(logits, u),
        lambda logits, u, t: _hard(_relaxed(logits, u, t)),
        "the value is the hard one: the straight-through step is 12.3, here the relaxed draw itself is asked for",
        lambda logits, u, t: _gumbel_max(logits, u) + _relaxed(logits, u, t) - _relaxed(logits, u, t).detach(),
    ),
)


# 3. straight-through


def _straight_through(soft: Tensor) -> Tensor:
    return _hard(soft) + (soft - soft.detach())


def _with_gradient_of(value: Tensor, source: Tensor) -> Tensor:
    """The value, with the gradient of the source."""
    return value.detach() + (source - source.detach())


def _straight_through_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, scale: float = 1.0) -> Arguments:
        return (normal(generator, *shape, scale=scale).softmax(-1).requires_grad_(),)

    sure = one_hot(torch.tensor([2, 0, 1]), 3).double().requires_grad_()  # rounded to a corner, as at τ = 0.01
    even = (0.25 + torch.tensor([1e-3, -2e-3, 3e-3, -2e-3], dtype=torch.float64).expand(2, 4)).requires_grad_()
    tied = torch.tensor([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]], dtype=torch.float64).requires_grad_()
    drawn = [case(4, 3), case(1, 2), case(5), case(2, 3, 4, scale=2.0), (even,), case(3, 50, scale=0.5)]
    return [*drawn, (sure,), (tied,)]


straight_through = Exercise(
    "straight_through",
    _straight_through,
    _straight_through_cases,
    wrong(
        "the value is right, but its gradient is 0: a one-hot has none, and soft − soft cancels unless the second is detached",
        _hard,
        lambda soft: _hard(soft) + soft - soft,
        lambda soft: _straight_through(soft).detach(),
        "the value is the relaxed draw: it must be the one-hot, and only the gradient that of soft",
        lambda soft: soft,
        lambda soft: soft.detach(),
        "the value is one-hot plus soft: subtract soft.detach(), which leaves the gradient alone",
        lambda soft: _hard(soft) + soft,
        "the value is one-hot plus soft, and has no gradient: what is added must be 0 in value, soft − soft.detach()",
        lambda soft: _hard(soft) + soft.detach(),
        "the gradient has the wrong sign: the copy that is subtracted is the one to detach",
        lambda soft: _hard(soft) + soft.detach() - soft,
        "the gradient is twice that of soft: add soft − soft.detach() once",
        lambda soft: _with_gradient_of(_hard(soft), 2 * soft),
        "you masked soft with the one-hot: the value must be 1 there, not soft's entry, and every entry needs its gradient",
        lambda soft: _hard(soft) * soft,
        lambda soft: _hard(soft) * soft.detach(),
        "only the largest entry has a gradient: every entry of soft must have its own",
        lambda soft: _with_gradient_of(_hard(soft), _hard(soft) * soft),
        lambda soft: _hard(soft) * soft / soft.detach(),
        "you divided by the largest entry, which leaves the others above 0: they must be 0",
        lambda soft: soft / soft.amax(-1, keepdim=True),
        lambda soft: _with_gradient_of(soft / soft.amax(-1, keepdim=True), soft),
        "a threshold is not the largest entry: it can leave a row without a 1, or with several",
        lambda soft: _with_gradient_of(soft.round(), soft),
        lambda soft: _with_gradient_of((soft > 1 / soft.shape[-1]).double(), soft),
        "rounding leaves a row without a 1 where no entry exceeds ½, and its gradient is 0: take the largest, and soft's gradient",
        lambda soft: soft.round(),
        lambda soft: (soft > 0.5).double(),
        "you took the largest along the first axis: every row needs one 1, along the last",
        lambda soft: _with_gradient_of(_all_largest(soft, soft.amax(0)), soft),
        "you took the largest of the whole tensor: every row needs its own 1, so give argmax or max the last axis",
        lambda soft: _with_gradient_of(_all_largest(soft, soft.max()), soft),
        lambda soft: _with_gradient_of(_at_index(soft.argmax(), soft), soft),
        lambda soft: _with_gradient_of(torch.eye(soft.shape[-1], dtype=soft.dtype)[soft.argmax()], soft),
        "at a tie your row has several 1s: the first largest alone has one, as argmax finds it",
        lambda soft: _with_gradient_of(_all_largest(soft, soft.amax(-1, keepdim=True)), soft),
        "the 1 stands at the smallest entry: it belongs to the largest",
        lambda soft: _with_gradient_of(_hard(-soft), soft),
        "soft went through a softmax once more: its rows are on the simplex already, and its own gradient is asked for",
        lambda soft: _with_gradient_of(_hard(soft), soft.softmax(-1)),
    ),
)


# 4. the ELBO by enumeration


def _joint(table: Tensor, combine: Callable[[Tensor, Tensor], Tensor] = torch.add) -> Tensor:
    """Sums or products of one entry per variable, for every code, the last variable fastest: [batch, C**V]."""
    total = table[:, 0]
    for variable in table.unbind(1)[1:]:
        total = combine(total[:, :, None], variable[:, None, :]).flatten(1)
    return total


def _log_q(logits: Tensor) -> Tensor:
    return _joint(logits.log_softmax(-1))


def _log_prior(logits: Tensor) -> float:
    return -logits.shape[1] * log(logits.shape[2])


def _expected(term: Callable[[Tensor, Tensor, float], Tensor], log_q: Callable[[Tensor], Tensor] = _log_q) -> Answer:
    """Σ_z q(z|x) of a term, a function of log p(x|z), log q(z|x) and log p(z)."""

    def answer(logits: Tensor, log_likelihood: Tensor) -> Tensor:
        log_weights = log_q(logits)
        return (log_weights.exp() * term(log_likelihood, log_weights, _log_prior(logits))).sum(1)

    return answer


def _normalised_by(logarithms: Callable[[Tensor], Tensor]) -> Answer:
    """The ELBO where `logarithms` makes the log-probabilities of each variable from the logits."""
    return _expected(lambda lik, log_q, prior: lik + prior - log_q, lambda logits: _joint(logarithms(logits)))


def _integrand(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    return log_likelihood + _log_prior(logits) - _log_q(logits)


def _enumerated_elbo(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    return (_log_q(logits).exp() * _integrand(logits, log_likelihood)).sum(1)


def _reconstruction(logits: Tensor, log_likelihood: Tensor) -> Tensor:
    return (_log_q(logits).exp() * log_likelihood).sum(1)


def _entropies(logits: Tensor) -> Tensor:
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def _divergence(logits: Tensor) -> Tensor:
    return -_log_prior(logits) - _entropies(logits).sum(1)


def _at(values: Tensor, where: Tensor) -> Tensor:
    return values.gather(1, where.argmax(1, keepdim=True))[:, 0]


def _with_entropy(entropy: Callable[[Tensor], Tensor]) -> Answer:
    """Reconstruction, prior and an entropy made from the logits."""
    return lambda logits, lik: _reconstruction(logits, lik) + _log_prior(logits) + entropy(logits)


def _of_joint(function: Callable[[Tensor], Tensor]) -> Answer:
    """The ELBO where `function` makes q log q of the probability of each code."""
    return _with_entropy(lambda logits: -function(_joint(logits.softmax(-1), torch.mul)).sum(1))


def _of_each(function: Callable[[Tensor], Tensor]) -> Answer:
    """The ELBO where `function` makes p log p of each variable's probabilities."""
    return _with_entropy(lambda logits: -function(logits.softmax(-1)).sum((-2, -1)))


def _enumerated_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, variables: int, categories: int, spread: float = 3.0, level: float = -20.0) -> Arguments:
        logits = normal(generator, batch, variables, categories) + 0.5
        log_likelihood = normal(generator, batch, categories**variables, scale=spread) + level
        return logits.requires_grad_(), log_likelihood.requires_grad_()

    sure = normal(generator, 2, 2, 3)
    sure[0, 0, 1], sure[1, 1, 0] = -1000.0, 1000.0
    certain = sure.requires_grad_(), (normal(generator, 2, 9) - 5000).requires_grad_()
    likely = case(4, 2, 2, 0.1, level=-1.0)  # exp of these is not 0
    return [case(3, 2, 3), case(2, 1, 4), case(1, 3, 2), likely, case(2, 4, 3), case(1, 1, 2), certain]


enumerated_elbo = Exercise(
    "enumerated_elbo",
    _enumerated_elbo,
    _enumerated_cases,
    wrong(
        "your first variable changes fastest: in log_likelihood the last one does, as in the digits of a number",
        lambda logits, lik: _enumerated_elbo(logits.flip(1), lik),
        "the sum over the codes stands inside the logarithm, as in log p(x): in the ELBO q(z|x) averages logarithms",
        lambda logits, lik: lik.logsumexp(1) + _log_prior(logits),
        lambda logits, lik: _integrand(logits, lik).logsumexp(1),
        lambda logits, lik: lik.logsumexp(1),
        "the prior is missing, or that of one variable, −log C: a code has V of them, log p(z) = −V log C",
        _expected(lambda lik, log_q, prior: lik - log_q),
        lambda logits, lik: _expected(lambda lik, log_q, _: lik - log(logits.shape[2]) - log_q)(logits, lik),
        "log p(z) counts once for every code: it stands in the bracket, which q(z|x) weights",
        lambda logits, lik: (_log_q(logits).exp() * (lik - _log_q(logits)) + _log_prior(logits)).sum(1),
        "you took exp of log_likelihood: the bracket averages logarithms",
        _expected(lambda lik, log_q, prior: lik.exp() + prior - log_q),
        _expected(lambda lik, log_q, prior: lik.exp() + prior),
        _expected(lambda lik, log_q, prior: lik.exp() - log_q),
        _expected(lambda lik, log_q, prior: lik.exp()),
        "the prior has the wrong sign: log p(z) = −V log C is negative, and it is added",
        _expected(lambda lik, log_q, prior: lik - prior - log_q),
        "log q(z|x) has the wrong sign: it is subtracted",
        _expected(lambda lik, log_q, prior: lik + prior + log_q),
        "log q(z|x) is missing, or both it and log p(z): the bracket has three terms",
        _expected(lambda lik, log_q, prior: lik + prior),
        _reconstruction,
        "you averaged over the variables: entropy and KL of independent variables are sums",
        _with_entropy(lambda logits: _entropies(logits).mean(1)),
        lambda logits, lik: _reconstruction(logits, lik) - _divergence(logits) / logits.shape[1],
        "the logits were taken for log q as they are: normalise each variable first, with log_softmax over its categories",
        _normalised_by(lambda table: table),
        lambda logits, lik: (_log_q(logits).exp() * (lik + _log_prior(logits) - _joint(logits))).sum(1),
        "the softmax runs over the variables: normalise over the categories, the last axis",
        _normalised_by(lambda table: table.log_softmax(1)),
        "every code has the same weight here: weight it by its q(z|x)",
        lambda logits, lik: _integrand(logits, lik).mean(1),
        lambda logits, lik: _integrand(logits, lik).sum(1),
        "you weighted by q(z|x) and then took the mean over the codes: the weights sum to 1 already, so add up",
        lambda logits, lik: (_log_q(logits).exp() * _integrand(logits, lik)).mean(1),
        "a single code counts here: the expectation is over all of them, each weighted by q(z|x)",
        lambda logits, lik: _at(_integrand(logits, lik), _log_q(logits)),
        lambda logits, lik: _integrand(logits, lik).amax(1),
        lambda logits, lik: _at(_integrand(logits, lik), lik),
        "0 · log 0 is NaN where a probability rounds to 0: take log q from log_softmax, never from the probability",
        _of_joint(lambda q: q * q.log()),
        _of_each(lambda p: p * p.log()),
        _normalised_by(lambda table: table.softmax(-1).log()),
        "the value is right, but its gradient is NaN where a probability rounds to 0: take the logarithm from log_softmax",
        _of_joint(lambda q: torch.xlogy(q, q)),
        _of_joint(lambda q: -torch.special.entr(q)),
        _of_joint(lambda q: torch.where(q > 0, q * q.log(), 0.0)),
        _of_each(lambda p: torch.xlogy(p, p)),
        _of_each(lambda p: torch.where(p > 0, p * p.log(), 0.0)),
        "the value is right, but the weights q(z|x) were detached: the gradient to the logits goes through them",
        lambda logits, lik: (_log_q(logits).detach().exp() * _integrand(logits, lik)).sum(1),
        "the KL was added, or the signs of log p(z) and log q(z|x) are exchanged: the KL is subtracted",
        lambda logits, lik: _reconstruction(logits, lik) + _divergence(logits),
        "exp overflows for a logit of 1,000: log_softmax subtracts the largest logit first",
        _normalised_by(lambda table: table - table.exp().sum(-1, keepdim=True).log()),
        _normalised_by(lambda table: _shares(table.exp()).log()),
        "you took the mean or the sum over the batch too: return one number per example",
        lambda logits, lik: _enumerated_elbo(logits, lik).mean(),
        lambda logits, lik: _enumerated_elbo(logits, lik).sum(),
    ),
)


# 5. the score function with a leave-one-out baseline


def _leave_one_out(cost: Tensor) -> Tensor:
    return (cost.sum() - cost) / (len(cost) - 1)


def _score_gradient(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    return _weighted(cost - _leave_one_out(cost), logits, codes)


def _codes(logits: Tensor, codes: Tensor) -> Tensor:
    return one_hot(codes, len(logits)).to(logits.dtype)


def _weighted(weights: Tensor, logits: Tensor, codes: Tensor) -> Tensor:
    return (weights[:, None] * (_codes(logits, codes) - logits.softmax(0))).mean(0)


def _by_weights(weights: Callable[[Tensor], Tensor]) -> Answer:
    """The mean of weights times scores; weights: a function of the costs."""
    return lambda logits, codes, cost: _weighted(weights(cost), logits, codes)


def _by_scores(scores: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """The mean of cost less baseline times what `scores` makes of one-hot codes and logits."""
    return lambda logits, codes, cost: (
        (cost - _leave_one_out(cost))[:, None] * scores(_codes(logits, codes), logits)
    ).mean(0)


def _last_draw(logits: Tensor, codes: Tensor, cost: Tensor) -> Tensor:
    """Assigned by index, where of equal codes one stays."""
    return torch.zeros_like(logits).index_put((codes,), (cost - _leave_one_out(cost)) / len(cost))


def _score_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, categories: int, offset: float = 0.0, scale: float = 3.0) -> Arguments:
        logits = normal(generator, categories) + 0.3
        codes = torch.multinomial(logits.softmax(0), samples, replacement=True, generator=generator)
        return logits, codes, normal(generator, samples, scale=scale) + offset

    logits, codes, cost = case(4, 4)
    lacking = (logits, codes.clamp(max=2), cost)  # nothing has the last category
    logits, codes, cost = case(5, 3)
    equal = (logits, codes, torch.full_like(cost, 5.0))  # a constant cost has no gradient
    two = (logits[:2], torch.tensor([1, 0]), normal(generator, 2))
    return [lacking, case(7, 3), two, case(40, 10), case(6, 2, offset=1000.0), case(9, 5, scale=1e-2), equal]


score_gradient = Exercise(
    "score_gradient",
    _score_gradient,
    _score_cases,
    wrong(
        "the baseline is missing: subtract from each cost the mean of the others",
        _by_weights(lambda cost: cost),
        _by_weights(lambda cost: len(cost) * cost),
        _by_weights(lambda cost: -cost),
        "baseline and softmax are both missing: subtract the mean of the other costs, and take one-hot − softmax(logits)",
        lambda logits, codes, cost: (cost[:, None] * _codes(logits, codes)).mean(0),
        lambda logits, codes, cost: (cost[:, None] * _codes(logits, codes)).sum(0),
        "your baseline contains the draw's own cost, which shrinks the estimate by (n − 1)/n in expectation: leave it out",
        _by_weights(lambda cost: cost - cost.mean()),
        "you summed over the draws: take the mean",
        lambda logits, codes, cost: _score_gradient(logits, codes, cost) * len(cost),
        "you summed over the draws, and your baseline contains the draw's own cost: take the mean, and leave it out",
        lambda logits, codes, cost: _weighted(cost - cost.mean(), logits, codes) * len(cost),
        "you divided by n − 1 outside too: the estimate is the mean of n terms, n − 1 stands only in the baseline",
        lambda logits, codes, cost: _score_gradient(logits, codes, cost) * len(cost) / (len(cost) - 1),
        "the sign is flipped: it is cost − baseline, times one-hot − softmax",
        lambda logits, codes, cost: -_score_gradient(logits, codes, cost),
        _by_scores(lambda of_code, logits: logits.softmax(0) - of_code),
        "the baseline was added: subtract it",
        _by_weights(lambda cost: cost + _leave_one_out(cost)),
        "your baseline is the sum of the other costs: divide it by n − 1",
        _by_weights(lambda cost: cost - (cost.sum() - cost)),
        "brackets: you divided only the draw's own cost by n − 1; write (cost.sum() - cost) / (n - 1)",
        _by_weights(lambda cost: cost - (cost.sum() - cost / (len(cost) - 1))),
        "you divided the sum of the other costs by n: there are n − 1 of them",
        _by_weights(lambda cost: cost - (cost.sum() - cost) / len(cost)),
        "you divided the sum of all costs by n − 1: leave the draw's own cost out of the sum",
        _by_weights(lambda cost: cost - cost.sum() / (len(cost) - 1)),
        "your baseline is one of the costs, the same for all draws: take the mean of the other n − 1",
        _by_weights(lambda cost: cost - cost.median()),
        _by_weights(lambda cost: cost - cost.min()),
        _by_weights(lambda cost: cost - cost.max()),
        _by_weights(lambda cost: cost - cost[0]),
        "you standardised the costs: that changes the length of the gradient",
        _by_weights(lambda cost: (cost - cost.mean()) / cost.std()),
        _by_weights(lambda cost: (cost - cost.mean()) / (cost.std() + 1e-8)),
        _by_weights(lambda cost: (cost - cost.mean()) / cost.std(correction=0)),
        _by_weights(lambda cost: (cost - cost.mean()) / (cost.std(correction=0) + 1e-8)),
        _by_weights(lambda cost: (cost - _leave_one_out(cost)) / cost.std()),
        _by_weights(lambda cost: (cost - _leave_one_out(cost)) / (cost.std() + 1e-8)),
        "the weights [n] met the categories, the last axis: give them one more axis, weights[:, None]",
        lambda logits, codes, cost: ((cost - _leave_one_out(cost)) * (_codes(logits, codes) - logits.softmax(0))).mean(
            0
        ),
        lambda logits, codes, cost: ((_codes(logits, codes) - logits.softmax(0)) * (cost - _leave_one_out(cost))).mean(
            0
        ),
        "one_hot has as many columns as the largest code needs: the draws may lack a category, so give it len(logits)",
        lambda logits, codes, cost: (
            (cost - _leave_one_out(cost))[:, None] * (one_hot(codes) - logits.softmax(0))
        ).mean(0),
        "gradient[codes] += … keeps one draw of each category: add them all up (index_add, or a one-hot matrix)",
        _last_draw,
        "this is the gradient by the probabilities: by the logits the score is one-hot − softmax(logits)",
        _by_scores(lambda of_code, logits: of_code / logits.softmax(0)),
        "you multiplied by log q(z): the score is its derivative by the logits, one-hot − softmax(logits)",
        _by_scores(lambda of_code, logits: of_code * logits.log_softmax(0)),
        "you weighted each draw by q(z) as well: the draws come from q, so that each counts once",
        _by_scores(lambda of_code, logits: (of_code @ logits.softmax(0))[:, None] * (of_code - logits.softmax(0))),
    ),
)
