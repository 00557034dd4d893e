"""The sheet on the discrete VAE: Gumbel-max, its relaxation, straight-through, enumeration, the score function."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from vae_course.exercises.exercise import Answer, Arguments, Exercise, Mistake, wrong
from vae_course.exercises.parts import Formula, normal, uniform

Change = Callable[[Tensor], Tensor]


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


def _open(generator: Generator, *shape: int) -> Tensor:
    """Uniform draws, away from 0 and 1: an answer may keep its logarithms finite with a tiny constant."""
    return 0.01 + 0.98 * uniform(generator, *shape)


# The largest entry of every row


def _at_index(index: Tensor, scores: Tensor) -> Tensor:
    return one_hot(index, scores.shape[-1]).to(scores.dtype)


def _hard(scores: Tensor) -> Tensor:
    return _at_index(scores.argmax(-1), scores)


def _wrong_largest(choosing: Callable[[Change], Answer]) -> tuple[Mistake, ...]:
    """choosing: makes an answer of what makes 0 and 1 of scores."""
    return wrong(
        "you took the largest along the first axis: every row needs one 1, along the last",
        choosing(lambda scores: (scores == scores.amax(0)).to(scores.dtype)),
        "you took the largest of the whole tensor: every row needs its own 1, so give argmax or max the last axis",
        choosing(lambda scores: (scores == scores.max()).to(scores.dtype)),
        choosing(lambda scores: _at_index(scores.argmax(), scores)),
        choosing(lambda scores: torch.eye(scores.shape[-1], dtype=scores.dtype)[scores.argmax()]),
        "at a tie your row has several 1s: the first largest alone has one, as argmax finds it",
        choosing(lambda scores: (scores == scores.amax(-1, keepdim=True)).to(scores.dtype)),
    )


# 1. the Gumbel-max draw


def _gumbel(uniform: Tensor) -> Tensor:
    return -(-uniform.log()).log()


_DRAW = Formula(
    "logits uniform",
    noise=_gumbel,
    scores=lambda logits, noise: logits + noise,
    draw=_hard,
)


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
    _DRAW,
    _gumbel_max_cases,
    (
        *wrong(
            "this is the index of the largest: return the one-hot vector, with a 1 at that index",
            _DRAW.but(draw=lambda scores: scores.argmax(-1)),
            _DRAW.but(draw=lambda scores: scores.argmax(-1, keepdim=True)),
            _DRAW.but(draw=lambda scores: scores.argmax(-1).double()),
            "the draw is right, but its entries are whole numbers or truth values: return the number type of logits",
            *[_DRAW.then(Tensor.long), _DRAW.then(Tensor.bool)],
            "this is a softmax, the relaxed draw, as in relaxed_sample: here the largest entry is 1 and the others are 0",
            _DRAW.but(draw=lambda scores: scores.softmax(-1)),
            "you chose the smallest: the draw is where logits + noise is largest",
            _DRAW.but(draw=lambda scores: _hard(-scores)),
            "log(−log u) was added: it is subtracted, for the Gumbel noise is −log(−log u)",
            _DRAW.but(scores=lambda logits, noise: logits - noise),
            "the uniform draw was added as it is: turn it into Gumbel noise, −log(−log u)",
            _DRAW.but(noise=lambda uniform: uniform),
            "your noise −log u is exponential: take −log of it once more for Gumbel noise",
            _DRAW.but(noise=lambda uniform: -uniform.log()),
            "your noise amounts to log u: Gumbel noise is −log(−log u), with two logarithms and two signs",
            _DRAW.but(noise=lambda uniform: uniform.log()),
            "log u is negative, so that its own logarithm is NaN: flip the sign first, −log(−log u)",
            _DRAW.but(noise=lambda uniform: -uniform.log().log()),
            _DRAW.but(noise=lambda uniform: uniform.log().log()),
            "you took 1 − u for u: that is Gumbel noise too, but the exercise asks for −log(−log u)",
            _DRAW.given(uniform=lambda u: 1 - u),
            "your noise is normal or logistic: only Gumbel noise, −log(−log u), gives the probabilities softmax(logits)",
            _DRAW.but(noise=lambda uniform: torch.special.ndtri(uniform)),
            _DRAW.but(noise=lambda uniform: uniform.logit()),
            "the noise was added to softmax(logits) or exp(logits): add it to the logits themselves",
            *[_DRAW.given(logits=_softmax), _DRAW.given(logits=torch.exp)],
            "a race of exponentials is right, but exp(logits) overflows or rounds to 0 for logits far from 0: compare logarithms",
            _DRAW.but(scores=lambda logits, uniform: uniform.log() / logits.exp()),
            _DRAW.but(scores=lambda logits, uniform: logits.exp() / -uniform.log()),
            "the noise was multiplied: it is added to the logits",
            _DRAW.but(scores=lambda logits, noise: logits * noise),
            "your draw is the largest logit, whatever u is: each category needs noise of its own",
            _DRAW.but(noise=lambda: 0),
            _DRAW.given(uniform=lambda u: u[..., :1]),
            "the logits are missing: with the noise alone all categories are equally probable",
            _DRAW.but(scores=lambda noise: noise),
            _DRAW.but(scores=lambda uniform: uniform),
        ),
        *_wrong_largest(lambda choose: _DRAW.but(draw=lambda scores: choose(scores))),
    ),
)


# 2. the relaxed draw

_RELAXED = Formula(
    "logits uniform temperature",
    noise=_gumbel,
    noisy=lambda logits, noise: logits + noise,
    scores=lambda noisy, temperature: noisy / temperature,
    draw=lambda scores: scores.softmax(-1),
)


def _relaxed_cases(generator: Generator) -> list[Arguments]:
    def case(temperature: float, *shape: int, scale: float = 1.0, offset: float = 0.0) -> Arguments:
        logits = (offset + normal(generator, *shape, scale=scale)).requires_grad_()
        return logits, _open(generator, *shape), temperature

    apart = (normal(generator, 3, 4) + torch.tensor([[12.0], [0.0], [-12.0]])).requires_grad_()
    sizes = [case(0.5, 5, 3), case(1.0, 1, 2), case(2.0, 6), case(0.7, 3, 2, 4), case(10.0, 4, 3, scale=3.0)]
    return [*sizes, case(0.01, 20, 5, offset=12.0), (apart, _open(generator, 3, 4), 0.01)]


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


relaxed_sample = Exercise(
    "relaxed_sample",
    _RELAXED,
    _relaxed_cases,
    wrong(
        "you multiplied by the temperature: divide, so that a low one sharpens",
        _RELAXED.but(scores=lambda noisy, temperature: noisy * temperature),
        "only the logits were divided by τ: divide logits and noise together, (logits + g) / τ",
        _RELAXED.but(scores=lambda logits, noise, temperature: logits / temperature + noise),
        "only the noise was divided by τ: divide logits and noise together, (logits + g) / τ",
        _RELAXED.but(scores=lambda logits, noise, temperature: logits + noise / temperature),
        "τ scales the noise alone here: it divides the sum of logits and noise",
        _RELAXED.but(scores=lambda logits, noise, temperature: logits + temperature * noise),
        "the temperature has no effect here: divide logits + noise by it before the softmax",
        _RELAXED.but(scores=lambda noisy: noisy),
        "the noise is missing: this is the softmax of the logits at temperature τ, the same at every draw",
        _RELAXED.but(noise=lambda: 0),
        "log(−log u) was added: it is subtracted, for the Gumbel noise is −log(−log u)",
        _RELAXED.but(noisy=lambda logits, noise: logits - noise),
        "your noise is not Gumbel noise: that is −log(−log u), as in gumbel_max",
        _RELAXED.but(noise=lambda uniform: uniform),
        _RELAXED.but(noise=lambda uniform: -uniform.log()),
        _RELAXED.but(noise=lambda uniform: uniform.log()),
        _RELAXED.but(noise=lambda uniform: torch.special.ndtri(uniform)),
        "the softmax is missing: these are the scores (logits + g) / τ",
        _RELAXED.but(draw=lambda scores: scores),
        "the noise was added to probabilities: add it to the logits",
        _RELAXED.given(logits=_softmax),
        "you divided by τ after the softmax: the entries no longer sum to 1; divide before it",
        _RELAXED.but(draw=lambda noisy, temperature: noisy.softmax(-1) / temperature),
        "a softmax stands inside the softmax: divide logits + noise by τ, and apply it once",
        _RELAXED.but(noisy=lambda logits, noise: (logits + noise).softmax(-1)),
        _RELAXED.then(_softmax),
        _RELAXED.but(scores=lambda logits, noise, temperature: logits.softmax(-1) / temperature + noise),
        "the softmax runs over the first axis: the categories are the last",
        _RELAXED.but(draw=lambda scores: scores.softmax(0)),
        "exp overflows at a low temperature and leaves NaN: subtract the largest entry of each row first, as torch's softmax does",
        _RELAXED.but(draw=lambda scores: _shares(scores.exp())),
        "you subtracted the largest entry of all rows, beside which another row rounds to 0/0: each row has its own largest",
        _RELAXED.but(draw=lambda scores: _shares((scores - scores.max()).exp())),
        "a sigmoid looks at one category alone: a softmax makes them sum to 1",
        _RELAXED.but(draw=lambda scores: scores.sigmoid()),
        "this is the logarithm of the relaxed draw: return the draw itself, softmax and not log_softmax",
        _RELAXED.but(draw=lambda scores: scores.log_softmax(-1)),
        "this is the hard draw, as in gumbel_max, through which no gradient flows: a softmax takes the place of the largest",
        _RELAXED.but(draw=lambda noisy: _hard(noisy)),
        _RELAXED.then(_hard),
        "the value is the hard one, as in the exercise straight_through: here the relaxed draw itself is asked for",
        _RELAXED.then(lambda soft: _hard(soft) + soft - soft.detach()),
    ),
)


# 3. straight-through

_THROUGH = Formula(
    "soft",
    value=lambda soft: _hard(soft),
    slope=lambda soft: soft - soft.detach(),  # 0, with a gradient
    both=lambda value, slope: value.detach() + slope,
)


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
    _THROUGH,
    _straight_through_cases,
    (
        *wrong(
            "the value is right, but its gradient is 0: a one-hot has none, and soft − soft cancels unless the second is detached",
            _THROUGH.but(slope=lambda: 0),
            _THROUGH.but(slope=lambda soft: soft - soft),
            _THROUGH.then(torch.detach),
            "the value is the relaxed draw: it must be the one-hot, and only the gradient that of soft",
            _THROUGH.but(both=lambda soft: soft),
            _THROUGH.but(both=lambda soft: soft.detach()),
            "the value is one-hot plus soft: subtract soft.detach(), which leaves the gradient alone",
            _THROUGH.but(slope=lambda soft: soft),
            "the value is one-hot plus soft, and has no gradient: what is added must be 0 in value, soft − soft.detach()",
            _THROUGH.but(slope=lambda soft: soft.detach()),
            "the gradient has the wrong sign: the copy that is subtracted is the one to detach",
            _THROUGH.but(slope=lambda soft: soft.detach() - soft),
            "the gradient is twice that of soft: add soft − soft.detach() once",
            _THROUGH.but(slope=lambda soft: 2 * (soft - soft.detach())),
            "you masked soft with the one-hot: the value must be 1 there, not soft's entry, and every entry needs its gradient",
            _THROUGH.but(both=lambda value, soft: value * soft),
            _THROUGH.but(both=lambda value, soft: value * soft.detach()),
            "only the largest entry has a gradient: every entry of soft must have its own",
            _THROUGH.but(slope=lambda value, soft: value * (soft - soft.detach())),
            _THROUGH.but(both=lambda value, soft: value * soft / soft.detach()),
            "you divided by the largest entry, which leaves the others above 0: they must be 0",
            _THROUGH.but(both=lambda soft: soft / soft.amax(-1, keepdim=True)),
            _THROUGH.but(value=lambda soft: soft / soft.amax(-1, keepdim=True)),
            "a threshold is not the largest entry: it can leave a row without a 1, or with several",
            _THROUGH.but(value=lambda soft: soft.round()),
            _THROUGH.but(value=lambda soft: (soft > 1 / soft.shape[-1]).double()),
            "rounding leaves a row without a 1 where no entry exceeds ½, and its gradient is 0: take the largest, and soft's gradient",
            _THROUGH.but(both=lambda soft: soft.round()),
            _THROUGH.but(both=lambda soft: (soft > 0.5).double()),
            "the 1 stands at the smallest entry: it belongs to the largest",
            _THROUGH.but(value=lambda soft: _hard(-soft)),
            "soft went through a softmax once more: its rows are on the simplex already, and its own gradient is asked for",
            _THROUGH.but(slope=lambda soft: soft.softmax(-1) - soft.softmax(-1).detach()),
        ),
        *_wrong_largest(lambda choose: _THROUGH.but(value=lambda soft: choose(soft))),
    ),
)


# 4. the ELBO by enumeration


def _joint(table: Tensor, combine: Callable[[Tensor, Tensor], Tensor] = torch.add) -> Tensor:
    """Sums or products of one entry per variable, for every code, the last variable fastest: [batch, C**V]."""
    total = table[:, 0]
    for variable in table.unbind(1)[1:]:
        total = combine(total[:, :, None], variable[:, None, :]).flatten(1)
    return total


_ELBO = Formula(
    "logits log_likelihood",
    log_each=lambda logits: logits.log_softmax(-1),
    log_q=lambda log_each: _joint(log_each),
    log_prior=lambda logits: -logits.shape[1] * log(logits.shape[2]),
    bracket=lambda log_likelihood, log_prior, log_q: log_likelihood + log_prior - log_q,
    q=lambda log_q: log_q.exp(),
    elbo=lambda q, bracket: (q * bracket).sum(1),
)
_BY_ENTROPY = _ELBO.but(
    reconstruction=lambda q, log_likelihood: (q * log_likelihood).sum(1),
    entropies=lambda log_each: -(log_each.exp() * log_each).sum(-1),  # of each variable
    entropy=lambda entropies: entropies.sum(1),
    bound=lambda reconstruction, log_prior, entropy: reconstruction + log_prior + entropy,
)


def _of_joint(q_log_q: Change) -> Answer:
    """With the entropy from the probability of each code."""
    return _BY_ENTROPY.but(entropy=lambda logits: -q_log_q(_joint(logits.softmax(-1), torch.mul)).sum(1))


def _of_each(p_log_p: Change) -> Answer:
    """With the entropy from the probabilities of each variable."""
    return _BY_ENTROPY.but(entropies=lambda logits: -p_log_p(logits.softmax(-1)).sum(-1))


def _at(values: Tensor, where: Tensor) -> Tensor:
    return values.gather(1, where.argmax(1, keepdim=True))[:, 0]


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
    _ELBO,
    _enumerated_cases,
    wrong(
        "your first variable changes fastest: in log_likelihood the last one does, as in the digits of a number",
        _ELBO.given(logits=lambda logits: logits.flip(1)),
        "the sum over the codes stands inside the logarithm, as in log p(x): in the ELBO q(z|x) averages logarithms",
        _ELBO.but(elbo=lambda log_likelihood, log_prior: log_likelihood.logsumexp(1) + log_prior),
        _ELBO.but(elbo=lambda bracket: bracket.logsumexp(1)),
        _ELBO.but(elbo=lambda log_likelihood: log_likelihood.logsumexp(1)),
        "the prior is missing, or that of one variable, −log C: a code has V of them, log p(z) = −V log C",
        _ELBO.but(log_prior=lambda: 0),
        _ELBO.but(log_prior=lambda logits: -log(logits.shape[2])),
        "log p(z) counts once for every code: it stands in the bracket, which q(z|x) weights",
        _ELBO.but(elbo=lambda q, log_likelihood, log_q, log_prior: (q * (log_likelihood - log_q) + log_prior).sum(1)),
        "you took exp of log_likelihood: the bracket averages logarithms",
        _ELBO.given(log_likelihood=torch.exp),
        _ELBO.but(bracket=lambda log_likelihood, log_prior: log_likelihood.exp() + log_prior),
        _ELBO.but(bracket=lambda log_likelihood, log_q: log_likelihood.exp() - log_q),
        _ELBO.but(bracket=lambda log_likelihood: log_likelihood.exp()),
        "the prior has the wrong sign: log p(z) = −V log C is negative, and it is added",
        _ELBO.but(bracket=lambda log_likelihood, log_prior, log_q: log_likelihood - log_prior - log_q),
        "log q(z|x) has the wrong sign: it is subtracted",
        _ELBO.but(bracket=lambda log_likelihood, log_prior, log_q: log_likelihood + log_prior + log_q),
        "log q(z|x) is missing, or both it and log p(z): the bracket has three terms",
        _ELBO.but(bracket=lambda log_likelihood, log_prior: log_likelihood + log_prior),
        _ELBO.but(bracket=lambda log_likelihood: log_likelihood),
        "you averaged over the variables: entropy and KL of independent variables are sums",
        _BY_ENTROPY.but(entropy=lambda entropies: entropies.mean(1)),
        _BY_ENTROPY.but(log_prior=lambda logits: -log(logits.shape[2]), entropy=lambda entropies: entropies.mean(1)),
        "the logits were taken for log q as they are: normalise each variable first, with log_softmax over its categories",
        _ELBO.but(log_each=lambda logits: logits),
        _ELBO.but(bracket=lambda logits, log_likelihood, log_prior: log_likelihood + log_prior - _joint(logits)),
        "the softmax runs over the variables: normalise over the categories, the last axis",
        _ELBO.but(log_each=lambda logits: logits.log_softmax(1)),
        "every code has the same weight here: weight it by its q(z|x)",
        _ELBO.but(elbo=lambda bracket: bracket.mean(1)),
        _ELBO.but(elbo=lambda bracket: bracket.sum(1)),
        "you weighted by q(z|x) and then took the mean over the codes: the weights sum to 1 already, so add up",
        _ELBO.but(elbo=lambda q, bracket: (q * bracket).mean(1)),
        "a single code counts here: the expectation is over all of them, each weighted by q(z|x)",
        _ELBO.but(elbo=lambda bracket, log_q: _at(bracket, log_q)),
        _ELBO.but(elbo=lambda bracket: bracket.amax(1)),
        _ELBO.but(elbo=lambda bracket, log_likelihood: _at(bracket, log_likelihood)),
        "0 · log 0 is NaN where a probability rounds to 0: take log q from log_softmax, never from the probability",
        _of_joint(lambda q: q * q.log()),
        _of_each(lambda p: p * p.log()),
        _ELBO.but(log_each=lambda logits: logits.softmax(-1).log()),
        "the value is right, but its gradient is NaN where a probability rounds to 0: take the logarithm from log_softmax",
        _of_joint(lambda q: torch.xlogy(q, q)),
        _of_joint(lambda q: -torch.special.entr(q)),
        _of_joint(lambda q: torch.where(q > 0, q * q.log(), 0.0)),
        _of_each(lambda p: torch.xlogy(p, p)),
        _of_each(lambda p: torch.where(p > 0, p * p.log(), 0.0)),
        "the value is right, but the weights q(z|x) were detached: the gradient to the logits goes through them",
        _ELBO.but(q=lambda log_q: log_q.detach().exp()),
        "the KL was added, or the signs of log p(z) and log q(z|x) are exchanged: the KL is subtracted",
        _ELBO.but(bracket=lambda log_likelihood, log_prior, log_q: log_likelihood - log_prior + log_q),
        "exp overflows for a logit of 1,000: log_softmax subtracts the largest logit first",
        _ELBO.but(log_each=lambda logits: logits - logits.exp().sum(-1, keepdim=True).log()),
        _ELBO.but(log_each=lambda logits: _shares(logits.exp()).log()),
        "you took the mean or the sum over the batch too: return one number per example",
        *[_ELBO.then(torch.mean), _ELBO.then(torch.sum)],
    ),
)


# 5. the score function with a leave-one-out baseline

_SCORE = Formula(
    "logits codes cost",
    baseline=lambda cost: (cost.sum() - cost) / (len(cost) - 1),
    weights=lambda cost, baseline: cost - baseline,
    chosen=lambda codes, logits: one_hot(codes, len(logits)).to(logits.dtype),
    q=lambda logits: logits.softmax(0),
    score=lambda chosen, q: chosen - q,
    terms=lambda weights, score: weights[:, None] * score,
    gradient=lambda terms: terms.mean(0),
)
_PLAIN = _SCORE.but(baseline=lambda: 0)


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
    _SCORE,
    _score_cases,
    wrong(
        "the baseline is missing: subtract from each cost the mean of the others",
        _PLAIN,
        _PLAIN.but(gradient=lambda terms: terms.sum(0)),
        _PLAIN.then(torch.neg),
        "baseline and softmax are both missing: subtract the mean of the other costs, and take one-hot − softmax(logits)",
        _PLAIN.but(score=lambda chosen: chosen),
        _PLAIN.but(score=lambda chosen: chosen, gradient=lambda terms: terms.sum(0)),
        "your baseline contains the draw's own cost, which shrinks the estimate by (n − 1)/n in expectation: leave it out",
        _SCORE.but(baseline=lambda cost: cost.mean()),
        "you summed over the draws: take the mean",
        _SCORE.but(gradient=lambda terms: terms.sum(0)),
        "you summed over the draws, and your baseline contains the draw's own cost: take the mean, and leave it out",
        _SCORE.but(baseline=lambda cost: cost.mean(), gradient=lambda terms: terms.sum(0)),
        "you divided by n − 1 outside too: the estimate is the mean of n terms, n − 1 stands only in the baseline",
        _SCORE.but(gradient=lambda terms: terms.sum(0) / (len(terms) - 1)),
        "the sign is flipped: it is cost − baseline, times one-hot − softmax",
        _SCORE.then(torch.neg),
        _SCORE.but(score=lambda chosen, q: q - chosen),
        "the baseline was added: subtract it",
        _SCORE.but(weights=lambda cost, baseline: cost + baseline),
        "your baseline is the sum of the other costs: divide it by n − 1",
        _SCORE.but(baseline=lambda cost: cost.sum() - cost),
        "brackets: you divided only the draw's own cost by n − 1; write (cost.sum() - cost) / (n - 1)",
        _SCORE.but(baseline=lambda cost: cost.sum() - cost / (len(cost) - 1)),
        "you divided the sum of the other costs by n: there are n − 1 of them",
        _SCORE.but(baseline=lambda cost: (cost.sum() - cost) / len(cost)),
        "you divided the sum of all costs by n − 1: leave the draw's own cost out of the sum",
        _SCORE.but(baseline=lambda cost: cost.sum() / (len(cost) - 1)),
        "your baseline is one of the costs, the same for all draws: take the mean of the other n − 1",
        _SCORE.but(baseline=lambda cost: cost.median()),
        _SCORE.but(baseline=lambda cost: cost.min()),
        _SCORE.but(baseline=lambda cost: cost.max()),
        _SCORE.but(baseline=lambda cost: cost[0]),
        "you standardised the costs: that changes the length of the gradient",
        _SCORE.but(weights=lambda cost: (cost - cost.mean()) / cost.std()),
        _SCORE.but(weights=lambda cost: (cost - cost.mean()) / (cost.std() + 1e-8)),
        _SCORE.but(weights=lambda cost: (cost - cost.mean()) / cost.std(correction=0)),
        _SCORE.but(weights=lambda cost: (cost - cost.mean()) / (cost.std(correction=0) + 1e-8)),
        _SCORE.but(weights=lambda cost, baseline: (cost - baseline) / cost.std()),
        _SCORE.but(weights=lambda cost, baseline: (cost - baseline) / (cost.std() + 1e-8)),
        "the weights [n] met the categories, the last axis: give them one more axis, weights[:, None]",
        _SCORE.but(terms=lambda weights, score: weights * score),
        _SCORE.but(terms=lambda weights, score: score * weights),
        "one_hot has as many columns as the largest code needs: the draws may lack a category, so give it len(logits)",
        _SCORE.but(chosen=lambda codes: one_hot(codes)),
        "gradient[codes] += … keeps one draw of each category: add them all up (index_add, or a one-hot matrix)",
        _SCORE.but(gradient=lambda q, codes, weights: torch.zeros_like(q).index_put((codes,), weights / len(codes))),
        "this is the gradient by the probabilities: by the logits the score is one-hot − softmax(logits)",
        _SCORE.but(score=lambda chosen, q: chosen / q),
        "you multiplied by log q(z): the score is its derivative by the logits, one-hot − softmax(logits)",
        _SCORE.but(score=lambda chosen, logits: chosen * logits.log_softmax(0)),
        "you weighted each draw by q(z) as well: the draws come from q, so that each counts once",
        _SCORE.but(score=lambda chosen, q: (chosen @ q)[:, None] * (chosen - q)),
    ),
)
