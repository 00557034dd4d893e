"""The sheet on the discrete VAE: top-k draws, a relaxed bit, ReinMax, the score function, enumeration."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import cast

import torch
from torch import Generator, Tensor
from torch.distributions import RelaxedBernoulli
from torch.nn.functional import logsigmoid, one_hot

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, normal, uniform
from vae_course.exercises.slips import SMALL

Change = Callable[[Tensor], Tensor]


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


def _open(generator: Generator, *shape: int) -> Tensor:
    """Uniform draws, away from 0 and 1: an answer may keep its logarithms finite with a tiny constant."""
    return 0.01 + 0.98 * uniform(generator, *shape)


# 1. k draws without replacement


def _gumbel(uniform: Tensor) -> Tensor:
    return -(-uniform.log()).log()


_TOP = Formula(
    "logits uniform k",
    noise=_gumbel,
    scores=lambda logits, noise: logits + noise,
    drawn=lambda scores, k: scores.topk(k).indices,
)


def _one_by_one(scores: Tensor, k: int, mask: Change) -> Tensor:
    """The largest, k times, the score of each that was found changed by the mask."""
    found = []
    for _ in range(k):
        found.append(scores.argmax(-1, keepdim=True))
        scores = scores.scatter(-1, found[-1], mask(scores.gather(-1, found[-1])))
    return torch.cat(found, -1)


def _taken_from_all(scores: Tensor, k: int) -> Tensor:
    found = []
    for _ in range(k):
        found.append(scores.argmax(-1))
        scores = scores.index_fill(-1, found[-1], -torch.inf)
    return torch.stack(found, -1)


def _top_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, categories: int, k: int, scale: float = 1.0, offset: float = 0.0) -> Arguments:
        return offset + normal(generator, batch, categories, scale=scale), _open(generator, batch, categories), k

    sizes = [case(60, 6, 3), case(1, 4, 2), case(5, 3, 1), case(40, 4, 4), case(1, 5, 1), case(30, 10, 5, scale=2.0)]
    # exp overflows, or gives 0 everywhere
    return [*sizes, case(40, 2, 2, scale=1e-3), case(40, 5, 3, offset=1000.0), case(40, 5, 3, offset=-1000.0)]


gumbel_top_k = Exercise(
    "gumbel_top_k",
    _TOP,
    _top_cases,
    wrong(
        "these are the k smallest: the first draw is where logits + noise is largest, the second where it is second largest",
        _TOP.but(drawn=lambda scores, k: scores.topk(k, largest=False).indices),
        _TOP.but(drawn=lambda scores, k: scores.argsort(-1)[..., :k]),
        "the right categories, last draw first: argsort ascends, so that the largest stands at its end",
        _TOP.but(drawn=lambda scores, k: scores.argsort(-1)[..., -k:]),
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.flip(-1)),
        "the right categories, sorted by their number: return them in the order drawn, the largest score first",
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.sort(-1).values),
        "these are the largest scores: return the categories that have them, .indices",
        _TOP.but(drawn=lambda scores, k: scores.topk(k).values),
        _TOP.but(drawn=lambda scores, k: scores.sort(-1, descending=True).values[..., :k]),
        "the draws are right, but they are no whole numbers: return indices, int64",
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.double()),
        "these are one-hot vectors: return the indices of the k draws, [batch, k]",
        _TOP.but(drawn=lambda scores, k: one_hot(scores.topk(k).indices, scores.shape[-1])),
        _TOP.but(drawn=lambda scores, k: one_hot(scores.topk(k).indices, scores.shape[-1]).double()),
        _TOP.but(drawn=lambda scores, k: one_hot(scores.topk(k).indices, scores.shape[-1]).sum(-2)),
        _TOP.but(drawn=lambda scores, k: one_hot(scores.topk(k).indices, scores.shape[-1]).sum(-2).double()),
        "these are the ranks of the first k categories: one argsort of the scores gives the categories in order, two give ranks",
        _TOP.but(drawn=lambda scores, k: scores.argsort(-1, descending=True).argsort(-1)[..., :k]),
        _TOP.but(drawn=lambda scores, k: scores.argsort(-1).argsort(-1)[..., :k]),
        "one category was drawn k times: without replacement the second draw is where the score is second largest",
        _TOP.but(drawn=lambda scores, k: scores.argmax(-1, keepdim=True).expand(-1, k)),
        "the score of a category that was drawn was set to 0, which can still be the largest: set it to −∞",
        _TOP.but(drawn=lambda scores, k: _one_by_one(scores, k, torch.zeros_like)),
        "the score of a category that was drawn was only lowered, and it can be drawn again: set it to −∞",
        _TOP.but(drawn=lambda scores, k: _one_by_one(scores, k, lambda found: found - 1)),
        "a category that one row had drawn was taken out of all rows: each row draws for itself",
        _TOP.but(drawn=_taken_from_all),
        "the axes are exchanged: the batch comes first, then the k draws",
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.T),
        "the k largest were taken along the batch, or of the whole tensor: every row has k draws of its own, along the last axis",
        _TOP.but(drawn=lambda scores, k: scores.topk(k, dim=0).indices),
        _TOP.but(drawn=lambda scores, k: scores.topk(k, dim=0).indices.T),
        _TOP.but(drawn=lambda scores, k: scores.flatten().topk(k).indices),
        "the axis of the k draws is missing where k = 1: squeeze() takes away every axis of size 1",
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.squeeze()),
        _TOP.but(drawn=lambda scores, k: scores.topk(k).indices.squeeze(-1)),
        "log(−log u) was added: it is subtracted, for the Gumbel noise is −log(−log u)",
        _TOP.but(scores=lambda logits, noise: logits - noise),
        "the uniform draw was added as it is: turn it into Gumbel noise, −log(−log u)",
        _TOP.but(noise=lambda uniform: uniform),
        "your noise −log u is exponential: take −log of it once more for Gumbel noise",
        _TOP.but(noise=lambda uniform: -uniform.log()),
        "your noise amounts to log u: Gumbel noise is −log(−log u), with two logarithms and two signs",
        _TOP.but(noise=lambda uniform: uniform.log()),
        "log u is negative, so that its own logarithm is NaN: flip the sign first, −log(−log u)",
        _TOP.but(noise=lambda uniform: -uniform.log().log()),
        _TOP.but(noise=lambda uniform: uniform.log().log()),
        "you took 1 − u for u: that is Gumbel noise too, but the exercise asks for −log(−log u)",
        _TOP.given(uniform=lambda u: 1 - u),
        "your noise is normal or logistic: only Gumbel noise, −log(−log u), gives the probabilities softmax(logits)",
        _TOP.but(noise=lambda uniform: torch.special.ndtri(uniform)),
        _TOP.but(noise=lambda uniform: uniform.logit()),
        "the noise was added to softmax(logits) or exp(logits): add it to the logits themselves",
        *[_TOP.given(logits=_softmax), _TOP.given(logits=torch.exp)],
        "a race of exponentials is right, but exp(logits) overflows or rounds to 0 for logits far from 0: compare logarithms",
        _TOP.but(drawn=lambda logits, uniform, k: (uniform.log() / logits.exp()).topk(k).indices),
        _TOP.but(drawn=lambda logits, uniform, k: (logits.exp() / -uniform.log()).topk(k).indices),
        _TOP.but(drawn=lambda logits, uniform, k: (-uniform.log() / logits.exp()).topk(k, largest=False).indices),
        _TOP.but(drawn=lambda logits, uniform, k: (-uniform.log() / logits.exp()).argsort(-1)[..., :k]),
        "the noise was multiplied: it is added to the logits",
        _TOP.but(scores=lambda logits, noise: logits * noise),
        "these are the k largest logits, whatever u is: each category needs noise of its own",
        _TOP.but(noise=lambda: 0),
        _TOP.given(uniform=lambda u: u[..., :1]),
        "the logits are missing: with the noise alone all categories are equally probable",
        _TOP.but(scores=lambda noise: noise),
        _TOP.but(scores=lambda uniform: uniform),
    ),
)


# 2. a relaxed bit and its density

_BIT = Formula(
    "logits uniform temperature",
    noise=lambda uniform: uniform.log() - (1 - uniform).log(),
    noisy=lambda logits, noise: logits + noise,
    score=lambda noisy, temperature: noisy / temperature,
    draw=lambda score: score.sigmoid(),
    log_scale=lambda temperature: log(temperature),
    log_of_noise=lambda uniform: uniform.log() + (1 - uniform).log(),  # log du/d(noise)
    log_slope=lambda score: logsigmoid(score) + logsigmoid(-score),  # log d(draw)/d(score)
    log_density=lambda log_scale, log_of_noise, log_slope: log_scale + log_of_noise - log_slope,
    both=lambda draw, log_density: (draw, log_density),
)
_BIT_BY_POWERS = _BIT.but(
    log_density=lambda draw, logits, temperature: (
        temperature * logits.exp() * (draw * (1 - draw)) ** (-temperature - 1)
        / (logits.exp() * draw**-temperature + (1 - draw) ** -temperature) ** 2
    ).log()
)  # fmt: skip


def _logistic(score: Tensor) -> Tensor:
    """The log density of the standard logistic distribution."""
    return logsigmoid(score) + logsigmoid(-score)


def _by_torch(draw: Tensor, logits: Tensor, temperature: float) -> Tensor:
    tau = torch.tensor(temperature, dtype=logits.dtype)
    return cast(Tensor, RelaxedBernoulli(tau, logits=logits, validate_args=False).log_prob(draw))


def _capped(size: float) -> list[Answer]:
    """With a small constant in the logarithms of the draw and of 1 less it, or a clamp."""
    return [
        _BIT.but(log_slope=lambda draw: (draw + size).log() + (1 - draw + size).log()),
        _BIT.but(log_slope=lambda draw: (draw * (1 - draw) + size).log()),
        _BIT.but(log_slope=lambda draw: (draw * (1 - draw)).clamp(min=size).log()),
        _BIT.but(log_slope=lambda draw: (d := draw.clamp(size, 1 - size)).log() + (1 - d).log()),
        _BIT.but(log_slope=lambda draw: draw.clamp(min=size).log() + (1 - draw).clamp(min=size).log()),
    ]


def _bit_cases(generator: Generator) -> list[Arguments]:
    def case(temperature: float, *shape: int, scale: float = 1.0) -> Arguments:
        return normal(generator, *shape, scale=scale).requires_grad_(), _open(generator, *shape), temperature

    apart = (normal(generator, 3, 4) + torch.tensor([[14.0], [0.0], [-14.0]])).requires_grad_()
    sizes = [case(0.5, 5, 3), case(1.0, 1, 2), case(2.0, 3, 1), case(10.0, 4, 3, scale=3.0), case(0.7, 2, 6)]
    return [*sizes, case(0.05, 20, 5), (apart, _open(generator, 3, 4), 0.01)]


relaxed_bit = Exercise(
    "relaxed_bit",
    _BIT,
    _bit_cases,
    wrong(
        "you multiplied by the temperature: divide, so that a low one sharpens",
        _BIT.but(score=lambda noisy, temperature: noisy * temperature),
        "only the logits were divided by τ: divide logits and noise together",
        _BIT.but(score=lambda logits, noise, temperature: logits / temperature + noise),
        "only the noise was divided by τ: divide logits and noise together",
        _BIT.but(score=lambda logits, noise, temperature: logits + noise / temperature),
        "τ scales the noise alone here: it divides the sum of logits and noise",
        _BIT.but(score=lambda logits, noise, temperature: logits + temperature * noise),
        "the temperature has no effect on the draw: divide logits + noise by it before the sigmoid",
        _BIT.but(score=lambda noisy: noisy),
        "the noise is missing: this is the sigmoid of the logits at temperature τ, the same at every draw",
        _BIT.but(noise=lambda: 0),
        "this is the noise log(1 − u) − log u: it is logistic too, but the exercise asks for log u − log(1 − u)",
        _BIT.given(uniform=lambda u: 1 - u),
        _BIT.but(noisy=lambda logits, noise: logits - noise),
        "your noise is not logistic: that is log u − log(1 − u), the difference of two Gumbel noises",
        _BIT.but(noise=_gumbel),
        _BIT.but(noise=lambda uniform: (-uniform.log()).log()),
        _BIT.but(noise=lambda uniform: uniform),
        _BIT.but(noise=lambda uniform: uniform.log()),
        _BIT.but(noise=lambda uniform: -uniform.log()),
        _BIT.but(noise=lambda uniform: (1 - uniform).log()),
        _BIT.but(noise=lambda uniform: uniform.log() + (1 - uniform).log()),
        _BIT.but(noise=lambda uniform: torch.special.ndtri(uniform)),
        "the sigmoid is missing: the first result is the score (ℓ + logit u) / τ, and the draw its sigmoid",
        _BIT.but(draw=lambda score: score),
        "the noise was added to a probability: add it to the logits",
        _BIT.given(logits=torch.sigmoid),
        "you divided by τ after the sigmoid: divide before it",
        _BIT.but(draw=lambda noisy, temperature: noisy.sigmoid() / temperature),
        "the draw is the hard bit, 0 or 1, through which no gradient flows: a sigmoid takes the place of the threshold",
        _BIT.but(draw=lambda noisy: (noisy > 0).double()),
        _BIT.but(draw=lambda score: score.sigmoid().round()),
        "a softmax makes the bits of a row share one 1: each has a sigmoid of its own",
        _BIT.but(draw=lambda score: score.softmax(-1)),
        "log τ is missing: a score changes by 1/τ where the noise changes by 1",
        _BIT.but(log_scale=lambda: 0),
        "log τ has the wrong sign: dy/du holds 1/τ, and the density is du/dy",
        _BIT.but(log_scale=lambda temperature: -log(temperature)),
        "τ was added where log τ belongs",
        _BIT.but(log_scale=lambda temperature: temperature),
        "this is the density of the score (ℓ + logit u) / τ on the real line: for y = σ(score) subtract log y + log(1 − y)",
        _BIT.but(log_slope=lambda: 0),
        "log y + log(1 − y) was added: the density is divided by the slope of the sigmoid, so subtract it",
        _BIT.but(log_density=lambda log_scale, log_of_noise, log_slope: log_scale + log_of_noise + log_slope),
        "this is log dy/du: the density of y is du/dy",
        _BIT.but(log_density=lambda log_scale, log_of_noise, log_slope: log_slope - log_scale - log_of_noise),
        "log u + log(1 − u) is missing: the noise is not uniform, u is",
        _BIT.but(log_of_noise=lambda: 0),
        "log u + log(1 − u) has the wrong sign: the noise changes by 1/(u (1 − u)) where u changes by 1, and the density is du/dy",
        _BIT.but(log_of_noise=lambda uniform: -uniform.log() - (1 - uniform).log()),
        "the term log(1 − u) or log(1 − y) is missing: the derivative of a sigmoid is σ(s) (1 − σ(s))",
        _BIT.but(log_slope=lambda score: logsigmoid(score)),
        _BIT.but(log_of_noise=lambda uniform: uniform.log()),
        _BIT.but(log_of_noise=lambda uniform: uniform.log(), log_slope=lambda score: logsigmoid(score)),
        "the logistic density was taken at the score: it is that of the noise, whose value is logit u",
        _BIT.but(log_of_noise=lambda score: _logistic(score)),
        _BIT.but(log_density=lambda log_scale, score: log_scale + _logistic(score)),
        _BIT.but(log_density=lambda log_slope: log_slope),
        "the logistic density was taken at logit + noise: the noise is centred at 0, so that its value is logit u alone",
        _BIT.but(log_of_noise=lambda noisy: _logistic(noisy)),
        "ℓ has the wrong sign in the density: the value of the noise is τ · score − ℓ, which is logit u",
        _BIT.but(log_of_noise=lambda noisy, logits: _logistic(noisy + logits)),
        "this is the log probability of a bit, y log q + (1 − y) log(1 − q): a relaxed one has a density, from du/dy",
        _BIT.but(log_density=lambda draw, logits: draw * logsigmoid(logits) + (1 - draw) * logsigmoid(-logits)),
        "the second result is the density: return its logarithm",
        _BIT.but(both=lambda draw, log_density: (draw, log_density.exp())),
        "the results are exchanged: first the draw, then its log density",
        _BIT.but(both=lambda draw, log_density: (log_density, draw)),
        "you added up the log densities of a row, or averaged them: return one for each bit",
        _BIT.but(both=lambda draw, log_density: (draw, log_density.sum(-1))),
        _BIT.but(both=lambda draw, log_density: (draw, log_density.mean(-1))),
        _BIT.but(both=lambda draw, log_density: (draw, log_density.sum())),
        "y rounds to 0 or 1 at a low temperature, and its logarithm is infinite: take log y and log(1 − y) by logsigmoid from the score",
        _BIT.but(log_slope=lambda draw: draw.log() + (1 - draw).log()),
        _BIT.but(log_slope=lambda draw: draw.log() + torch.log1p(-draw)),
        _BIT.but(log_slope=lambda draw: (draw * (1 - draw)).log()),
        _BIT.but(log_slope=lambda score: score.sigmoid().log() + (-score).sigmoid().log()),
        _BIT.but(log_slope=lambda score: (score.sigmoid() * (-score).sigmoid()).log()),
        _BIT_BY_POWERS,
        "RelaxedBernoulli's log_prob starts from y, which rounds to 0 or 1 at a low temperature: start from the score",
        _BIT.but(log_density=_by_torch),
        _BIT.but(log_density=lambda draw, logits, temperature: _by_torch(draw.detach(), logits, temperature)),
        "a small constant in the logarithm, or a clamp, caps the density where y rounds to 0 or 1: use logsigmoid of the score instead",
        *[answer for size in SMALL for answer in _capped(size)],
        *[answer for size in (1e-20, 1e-30) for answer in _capped(size)[:3]],
        "the values are right, but the draw was detached: the gradient flows through it too",
        _BIT.but(both=lambda draw, log_density: (draw.detach(), log_density)),
        "the values are right, but the log density has no gradient: with u fixed it changes with the logits",
        _BIT.but(both=lambda draw, log_density: (draw, log_density.detach())),
        "the values are right, but y was held fixed in the density: u is fixed, and y moves with the logits",
        _BIT.but(
            log_of_noise=lambda score, logits, temperature: _logistic(temperature * score.detach() - logits),
            log_slope=lambda score: _logistic(score.detach()),
        ),
    ),
    results=("draw", "log density"),
)


# 3. ReinMax

_REINMAX = Formula(
    "logits drawn",
    q=_softmax,
    middle=lambda drawn, q: (drawn + q) / 2,
    moved=lambda middle, logits: (middle.log() - logits).detach() + logits,
    at_middle=lambda moved: moved.softmax(-1),
    soft=lambda at_middle, q: 2 * at_middle - q / 2,
    slope=lambda soft: soft - soft.detach(),  # 0, with a gradient
    value=lambda drawn: drawn,
    both=lambda value, slope: value + slope,
)


def _variance(p: Tensor) -> Tensor:
    return p * (1 - p)


def _reinmax_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, scale: float = 1.0, offset: float = 0.0) -> Arguments:
        logits = offset + normal(generator, *shape, scale=scale)
        rows = logits.reshape(-1, shape[-1]).softmax(-1)
        index = torch.multinomial(rows, 1, generator=generator)[:, 0]
        return logits.requires_grad_(), one_hot(index, shape[-1]).double().reshape(shape)

    sure = normal(generator, 3, 3)
    sure[0, 0], sure[1, 2], sure[2, 1] = 1000.0, -1000.0, 1000.0
    certain = sure.requires_grad_(), torch.eye(3, dtype=torch.float64)[[0, 1, 1]]
    rare = normal(generator, 2, 3) - torch.tensor([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]])
    unlikely = rare.requires_grad_(), torch.eye(3, dtype=torch.float64)[[0, 1]]
    sizes = [case(4, 3), case(1, 2), case(5), case(2, 3, 4, scale=2.0), case(3, 20, scale=0.5)]
    return [*sizes, case(6, 4, offset=1000.0), unlikely, certain]


reinmax = Exercise(
    "reinmax",
    _REINMAX,
    _reinmax_cases,
    wrong(
        "this is straight-through, with the derivative J(q): ReinMax has 2 J(m) − ½ J(q)",
        _REINMAX.but(soft=lambda q: q),
        "the term −½ J(q) is missing: subtract half of softmax(logits)",
        _REINMAX.but(soft=lambda at_middle: 2 * at_middle),
        "this is J(m) alone: the derivative is 2 J(m) − ½ J(q)",
        _REINMAX.but(soft=lambda at_middle: at_middle),
        "the weights are off: 2 for the softmax at m and −½ for that at the logits",
        _REINMAX.but(soft=lambda at_middle, q: 2 * at_middle - q),
        _REINMAX.but(soft=lambda at_middle, q: at_middle - q / 2),
        _REINMAX.but(soft=lambda at_middle, q: (at_middle + q) / 2),
        _REINMAX.but(soft=lambda at_middle, q: (at_middle - q) / 2),
        _REINMAX.but(soft=lambda at_middle, q: at_middle + q),
        _REINMAX.but(soft=lambda at_middle, q: 1.5 * at_middle - q / 2),
        _REINMAX.but(soft=lambda at_middle: 1.5 * at_middle),
        "½ J(q) was added: it is subtracted",
        _REINMAX.but(soft=lambda at_middle, q: 2 * at_middle + q / 2),
        "the weights are exchanged: 2 belongs to the softmax at m, and −½ to that at the logits",
        _REINMAX.but(soft=lambda at_middle, q: 2 * q - at_middle / 2),
        "both terms stand at q: the first belongs at m = (drawn + q) / 2",
        _REINMAX.but(middle=lambda q: q),
        "only −½ J(q) is left: the path to the logits through the softmax at m is cut, or cancels; detach log m − logits, and add logits",
        _REINMAX.but(moved=lambda middle, logits: middle.log().detach()),
        _REINMAX.but(moved=lambda middle, logits: middle.log().detach() - logits + logits),
        _REINMAX.but(at_middle=lambda middle: middle.detach()),
        _REINMAX.but(middle=lambda drawn: drawn),
        "the gradient flows through m itself, and its derivative is ½ J(q): detach log m − logits, and add logits",
        _REINMAX.but(moved=lambda middle: middle.log()),
        _REINMAX.but(moved=lambda middle, logits: middle.log() - logits + logits),
        _REINMAX.but(at_middle=lambda middle: middle),
        "log m was left with its gradient, which adds J(q): detach the whole difference log m − logits",
        _REINMAX.but(moved=lambda middle, logits: middle.log() - logits.detach() + logits),
        "the logits were added to log m: subtract them inside the detach, so that the sum is log m in value",
        _REINMAX.but(moved=lambda middle, logits: middle.log().detach() + logits),
        "a logarithm is missing: softmax has the value m at log m, and not at m",
        _REINMAX.but(moved=lambda middle, logits: (middle - logits).detach() + logits),
        _REINMAX.but(moved=lambda middle, logits: middle.detach() + logits),
        "only the diagonals of J(m) and J(q) are here, p (1 − p): every logit moves every entry of a softmax",
        _REINMAX.but(soft=lambda logits, middle, q: (2 * _variance(middle) - _variance(q) / 2).detach() * logits),
        "m is the mean of drawn and q, and not their difference",
        _REINMAX.but(middle=lambda drawn, q: (drawn - q) / 2),
        "the value is not the one-hot: add soft − soft.detach(), which is 0, to drawn",
        _REINMAX.but(slope=lambda soft: soft),
        _REINMAX.but(both=lambda soft: soft),
        _REINMAX.but(both=lambda at_middle: at_middle),
        _REINMAX.but(both=lambda q: q),
        "the gradient has the wrong sign: the copy that is subtracted is the one to detach",
        _REINMAX.but(slope=lambda soft: soft.detach() - soft),
        "the value is right, but its gradient is 0: drawn has none, and soft − soft cancels unless the second is detached",
        _REINMAX.but(slope=lambda: 0),
        _REINMAX.but(slope=lambda soft: soft - soft),
        _REINMAX.then(torch.detach),
        "only the entry that was drawn has a gradient: every entry of soft has its own",
        _REINMAX.but(slope=lambda soft, drawn: drawn * (soft - soft.detach())),
        "you made a one-hot of the largest logit: the value is that of drawn",
        _REINMAX.but(value=lambda logits: one_hot(logits.argmax(-1), logits.shape[-1]).double()),
        "the softmax runs over the first axis: the categories are the last",
        _REINMAX.but(q=lambda logits: logits.softmax(0), at_middle=lambda moved: moved.softmax(0)),
        _REINMAX.but(q=lambda logits: logits.softmax(0)),
        _REINMAX.but(at_middle=lambda moved: moved.softmax(0)),
        "exp overflows for a logit of 1,000: softmax subtracts the largest logit first",
        _REINMAX.but(q=lambda logits: _shares(logits.exp())),
    ),
)


# 4. the score function with a leave-one-out baseline

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


# 5. the ELBO by enumeration


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
        _ELBO.but(elbo=lambda log_q, log_likelihood: (log_q + log_likelihood).logsumexp(1)),
        "the prior is missing, or that of one variable, −log C: a code has V of them, log p(z) = −V log C",
        _ELBO.but(log_prior=lambda: 0),
        _ELBO.but(log_prior=lambda logits: -log(logits.shape[2])),
        "there are C**V codes, all as probable: log p(z) = −V log C, neither −log(V · C) nor −C log V",
        _ELBO.but(log_prior=lambda logits: -log(logits.shape[1] * logits.shape[2])),
        _ELBO.but(log_prior=lambda logits: -logits.shape[2] * log(logits.shape[1])),
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
        "the softmax runs over variables and categories together: each variable has probabilities that sum to 1",
        _ELBO.but(log_each=lambda logits: logits.flatten(1).log_softmax(1).reshape(logits.shape)),
        "the probabilities of the variables were added up: they are multiplied, and their logarithms added up",
        _ELBO.but(log_q=lambda logits: _joint(logits.softmax(-1))),
        _ELBO.but(log_q=lambda logits: _joint(logits.softmax(-1)).log()),
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
