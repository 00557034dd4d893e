"""The sheet on few labels: a code that learns as it goes, a code that mixes models, the bound without a label."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import log

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from vae_course.exercises.exercise import Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, SumOf, normal

# 1. the length of a code whose model learns as it goes

_ONLINE = Formula(
    "bounds sizes",
    ends=lambda sizes: list(accumulate(sizes, initial=0)),
    rows=lambda bounds: bounds,
    parts=lambda rows, ends: [rows[k, a:b] for k, (a, b) in enumerate(pairwise(ends))],
    length=lambda parts: -torch.cat(parts).sum(),
)


def _online_cases(generator: Generator) -> list[Arguments]:
    def case(*sizes: int) -> Arguments:
        """A model is better on what it has learnt, and mostly than the one before; for some pictures an earlier one is best."""
        models, pictures = len(sizes) + 1, sum(sizes)
        learnt = torch.arange(models)[:, None] > torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        level = -200.0 + 20 * torch.arange(models, dtype=torch.float64)[:, None] + 30 * learnt
        return level + 40 * normal(generator, models, pictures), list(sizes)

    return [case(2, 2, 3), case(1, 1, 2, 4), case(5), case(3, 1), case(4, 4, 4, 4), case(1), case(2, 7, 1)]


prequential_length = Exercise(
    "prequential_length",
    _ONLINE,
    _online_cases,
    wrong(
        "you coded every block with a model that has learnt it already: the receiver, who has not seen it, cannot decode that",
        _ONLINE.given(bounds=lambda bounds: bounds[1:]),
        "you coded everything with the last model, which has learnt all of it: the receiver does not have that model yet",
        _ONLINE.but(length=lambda bounds: -bounds[-1].sum()),
        "you coded everything with the first model: from the second block on a better one is known on both sides",
        _ONLINE.but(length=lambda bounds: -bounds[0].sum()),
        "you coded every picture with the model that suits it best: the receiver does not know which that is",
        _ONLINE.but(length=lambda bounds: -bounds.amax(0).sum()),
        "you coded every picture with the best of the models known by then: the receiver does not know which that is",
        lambda bounds, sizes: -_known(bounds, sizes).amax(0).sum(),
        "you coded every block with the best of the models known by then: the receiver does not know which that is",
        _ONLINE.but(
            parts=lambda rows, ends: [max(rows[: k + 1, a:b], key=torch.sum) for k, (a, b) in enumerate(pairwise(ends))]
        ),
        "you averaged over the models: each block has one, that which has learnt the blocks before it",
        _ONLINE.but(length=lambda bounds: -bounds.mean(0).sum()),
        "this is the mean of a picture: a code's length is the sum over all of them",
        _ONLINE.but(length=lambda parts: -torch.cat(parts).mean()),
        "you averaged within each block: a code's length is the sum over all pictures",
        _ONLINE.but(length=lambda parts: -torch.stack([part.mean() for part in parts]).sum()),
        "you took the mean over the blocks of their means: a code's length is the sum over all pictures",
        _ONLINE.but(length=lambda parts: -torch.stack([part.mean() for part in parts]).mean()),
        "you averaged the blocks' lengths: they are sent one after another, so add them",
        _ONLINE.but(length=lambda parts: -torch.stack([part.sum() for part in parts]).mean()),
        "this is in bits: return nats, as the bounds are",
        _ONLINE.then(lambda length: length / log(2)),
        "you multiplied by log 2: the bounds are in nats already",
        _ONLINE.then(lambda length: length * log(2)),
        "the sign is flipped: the bounds bound log p from below, so a length is minus their sum",
        _ONLINE.then(torch.neg),
        "the first block was left out: it has to be sent too, by the model that has seen nothing",
        _ONLINE.but(length=lambda parts: -torch.cat([part[:0] for part in parts[:1]] + parts[1:]).sum()),
        "the last block was left out: all blocks are sent",
        _ONLINE.but(length=lambda parts: -torch.cat([*parts[:-1], parts[-1][:0]]).sum()),
        "every block was taken from the first picture on: block k begins where block k − 1 ends",
        _ONLINE.but(parts=lambda rows, sizes: [rows[k, :size] for k, size in enumerate(sizes)]),
        "block k was taken from k times its own size on: the blocks before it may have other sizes, so add these up",
        _ONLINE.but(parts=lambda rows, sizes: [rows[k, k * size : (k + 1) * size] for k, size in enumerate(sizes)]),
        "you used the sizes as places: block k ends at the sum of the sizes up to it",
        _ONLINE.but(parts=lambda rows, sizes: [rows[k, a:b] for k, (a, b) in enumerate(pairwise([0, *sizes]))]),
        "every block was sent with all the blocks before it: each picture is sent once",
        _ONLINE.but(parts=lambda rows, ends: [rows[k, :b] for k, b in enumerate(ends[1:])]),
        "model k codes all pictures from its block on in your sum: each picture is sent once",
        _ONLINE.but(parts=lambda rows, ends: [rows[k, a:] for k, a in enumerate(ends[:-1])]),
        "you added up all models' bounds for every picture: each block is coded once, by one model",
        _ONLINE.but(length=lambda bounds: -bounds.sum()),
    ),
)


def _known(bounds: Tensor, sizes: list[int]) -> Tensor:
    """The bounds, −∞ where the model has learnt the picture."""
    block = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return bounds.masked_fill(torch.arange(len(sizes) + 1)[:, None] > block, -torch.inf)


# 2. a code that mixes models

_MIXED = Formula(
    "lengths",
    before=lambda lengths: lengths.cumsum(1) - lengths,  # [models, blocks]: what each model has needed so far
    log_weight=lambda before: (-before).log_softmax(0),
    mixed=lambda log_weight, lengths: -(log_weight - lengths).logsumexp(0),
)


def _mixed_cases(generator: Generator) -> list[Arguments]:
    def case(models: int, blocks: int, scale: float = 1.5, level: float = 3.0) -> Arguments:
        return (level + scale * normal(generator, models, blocks).abs(),)

    crossing = torch.tensor([[900.0, 400.0, 300.0], [500.0, 450.0, 700.0]], dtype=torch.float64)
    return [case(3, 3), case(2, 4), case(4, 2), case(1, 3), case(3, 1), case(2, 5, 300.0, 5000.0), (crossing,)]


_PROBABILITIES = _MIXED.but(
    log_weight=lambda before: (-before).exp() / (-before).exp().sum(0),
    mixed=lambda log_weight, lengths: -(log_weight * (-lengths).exp()).sum(0).log(),
)

mixture_code = Exercise(
    "mixture_code",
    _MIXED,
    _mixed_cases,
    wrong(
        "the weights already know the block that they code: use what the models needed for the blocks before it",
        _MIXED.but(before=lambda lengths: lengths.cumsum(1)),
        "the weights stay equal: a model that was good so far weighs more, in proportion to the probability it gave",
        _MIXED.but(log_weight=lambda before: before * 0 - log(len(before))),
        "the weights look at the last block only: they are in proportion to the probability of all blocks so far",
        _MIXED.but(before=lambda lengths: torch.cat([lengths[:, :1] * 0, lengths[:, :-1]], 1)),
        "the weights know all blocks: before block b, the receiver knows only those before it",
        _MIXED.but(before=lambda lengths: lengths.sum(1, keepdim=True).expand_as(lengths)),
        "this is the best model of each block: the receiver does not know which that is, and telling costs nats",
        _MIXED.but(mixed=lambda lengths: lengths.min(0).values),
        "this is the model that was best so far: a mixture weighs them all, and pays less where that one fails",
        _MIXED.but(mixed=lambda lengths, before: lengths.gather(0, before.argmin(0)[None])[0]),
        "you averaged the lengths: a mixture averages the probabilities, exp(−length), and then takes −log",
        _MIXED.but(mixed=lambda log_weight, lengths: (log_weight.exp() * lengths).sum(0)),
        _MIXED.but(mixed=lambda lengths: lengths.mean(0)),
        "the weights are upside down: a model that has needed more nats weighs less, exp(−length)",
        _MIXED.but(log_weight=lambda before: before.log_softmax(0)),
        "the weights are not normalised: they are probabilities of the models, and sum to 1 for every block",
        _MIXED.but(log_weight=lambda before: -before),
        "the weights sum to 1 over the blocks: for every block they sum to 1 over the models",
        _MIXED.but(log_weight=lambda before: (-before).log_softmax(1)),
        "the lengths came in with a plus: the probability of a block is exp(−length)",
        _MIXED.but(mixed=lambda log_weight, lengths: -(log_weight + lengths).logsumexp(0)),
        "this is the total of all blocks: return one length for each block",
        _MIXED.then(torch.sum),
        "this is what has been sent by the end of each block: return what each block adds",
        _MIXED.then(lambda mixed: mixed.cumsum(0)),
        "the sum runs over the blocks: for every block, sum over the models",
        _MIXED.but(mixed=lambda log_weight, lengths: -(log_weight - lengths).logsumexp(1)),
        "the sign is flipped: a length is −log of a probability",
        _MIXED.then(torch.neg),
        "this is in bits: return nats, as the lengths are",
        _MIXED.then(lambda mixed: mixed / log(2)),
        "exp(−length) rounds to 0 at a thousand nats: stay in logarithms, with log_softmax and logsumexp",
        _PROBABILITIES,
        _MIXED.but(mixed=lambda log_weight, lengths: -(log_weight.exp() * (-lengths).exp()).sum(0).log()),
    ),
)


def _table(generator: Generator, batch: int, classes: int, scale: float = 2.0, level: float = 0.0) -> Tensor:
    """Log-likelihoods about `level`, which float32 can hold without error."""
    drawn = level + normal(generator, batch, classes, scale=scale)
    return (drawn * 64).round() / 64


# 3. the bound without a label

_BOUND = Formula(
    "logits bounds log_prior",
    log_q=lambda logits: logits.log_softmax(-1),
    q=lambda log_q: log_q.exp(),
    log_p=lambda log_prior: log_prior,
    inside=lambda bounds, log_p, log_q: bounds + log_p - log_q,
    bound=lambda q, inside: (q * inside).sum(-1),
)
_TERMS = SumOf(
    "logits bounds log_prior",
    mean=lambda logits, bounds: (logits.softmax(-1) * bounds).sum(-1),
    log_p=lambda logits, log_prior: (logits.softmax(-1) * log_prior).sum(-1),
    entropy=lambda logits: -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1),
)
_OF_BEST = _TERMS.but(mean=lambda logits, bounds: _at_best(logits, bounds))


def _at_best(logits: Tensor, values: Tensor) -> Tensor:
    """What stands at the most probable class."""
    return values.gather(-1, logits.argmax(-1, keepdim=True))[:, 0]


def _bound_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, classes: int, scale: float = 1.5, level: float = 0.0, sure: float = 1.0) -> Arguments:
        logits = (sure * _table(generator, batch, classes, 1.5)).requires_grad_()
        bounds = _table(generator, batch, classes, scale, level).requires_grad_()
        return logits, bounds, normal(generator, classes).log_softmax(0)

    certain = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, 1000.0]], dtype=torch.float64)
    undecided = torch.zeros(3, 4, dtype=torch.float64)
    many = _table(generator, 2, 50)
    # First where the batch is as large as there are classes: the wrong axis runs there.
    ordinary = [case(4, 4), case(5, 3), case(1, 10), case(3, 1), case(3, 4, scale=20.0, level=-100.0)]
    even = undecided.requires_grad_(), _table(generator, 3, 4).requires_grad_(), normal(generator, 4).log_softmax(0)
    likely = _table(generator, 2, 3, scale=5.0, level=-90.0).requires_grad_()
    sure = certain.requires_grad_(), likely, normal(generator, 3).log_softmax(0)
    uniform = torch.full((50,), -log(50), dtype=torch.float64)
    nothing = many, many.log_softmax(-1) + log(50), uniform  # the bound is 0, so that what is added to each q shows
    return [*ordinary, even, sure, case(4, 3, scale=5.0, sure=700.0), nothing]


unlabelled_bound = Exercise(
    "unlabelled_bound",
    _BOUND,
    _bound_cases,
    wrong(
        "the entropy of q(y|x) was subtracted: − log q(y|x) adds it",
        _TERMS.times(entropy=-1),
        "the entropy of q(y|x) is missing: the term − log q(y|x)",
        _TERMS.times(entropy=0),
        "two terms are missing, log p(y) and − log q(y|x): the mean of the bounds alone is no bound on log p(x)",
        _TERMS.term("mean"),
        "log p(y) is missing: `bounds` bound log p(x|y), not log p(x, y)",
        _TERMS.times(log_p=0),
        "log p(y) counts once for every class: it stands inside the mean over q, each class with its own weight",
        _TERMS.but(log_p=lambda log_prior: log_prior.sum()),
        "log p(y) is averaged without the weights: it stands inside the mean over q",
        _TERMS.but(log_p=lambda log_prior: log_prior.mean()),
        "p(y) is taken for uniform here: use the log p(y) that is given",
        _TERMS.but(log_p=lambda bounds: -log(bounds.shape[-1])),
        "log p(y) has the wrong sign: it is added to the bound on log p(x|y)",
        _TERMS.times(log_p=-1),
        "this is p(y) where log p(y) belongs: log_prior is a logarithm already, add it as it is",
        _TERMS.but(log_p=lambda logits, log_prior: (logits.softmax(-1) * log_prior.exp()).sum(-1)),
        "you took the logarithm of log p(y), which is a logarithm already: add it as it is given",
        _BOUND.given(log_prior=torch.log),
        "log p(y) runs along the batch here: it belongs to the classes, the last axis",
        _BOUND.given(log_prior=lambda log_prior: log_prior[:, None]),
        "D_KL(q(y|x)‖p(y)) was added: it is subtracted, so that log p(y) is added and log q(y|x) subtracted",
        _TERMS.times(log_p=-1, entropy=-1),
        "this is the KL divergence the other way round, weighted with p(y): all three terms are a mean over q(y|x)",
        _BOUND.but(
            bound=lambda q, bounds, log_p, log_q: (q * bounds).sum(-1) - (log_p.exp() * (log_p - log_q)).sum(-1)
        ),
        "q is normalised over the batch: for each picture the probabilities of its classes sum to 1",
        _BOUND.but(log_q=lambda logits: logits.log_softmax(0)),
        "a sigmoid gives every class a probability of its own: a picture has one class, so take the softmax over them",
        _BOUND.but(log_q=lambda logits: logsigmoid(logits)),
        "you summed over the batch: for each picture, sum over its classes, the last axis",
        _BOUND.but(bound=lambda q, inside: (q * inside).sum(0)),
        "the logits have no say here: this is the bound of the best q(y|x), softmax(bounds), the largest there can be; use the q that is given",
        *_BOUND.each(bound=[lambda bounds, log_p: (bounds + log_p).logsumexp(-1), lambda bounds: bounds.logsumexp(-1)]),
        "you took the logarithm of Σ q exp(bounds): take the mean of the logarithms over q, and add its entropy",
        _BOUND.but(bound=lambda log_q, bounds: (log_q + bounds).logsumexp(-1)),
        _BOUND.but(bound=lambda log_q, bounds, log_p: (log_q + bounds + log_p).logsumexp(-1)),
        "only the most probable class counts here: take the mean over all classes, weighted with q(y|x)",
        _OF_BEST,
        _OF_BEST.times(entropy=0),
        _OF_BEST.term("mean"),
        _OF_BEST.but(entropy=lambda logits: -logits.log_softmax(-1).max(-1).values),
        _BOUND.but(bound=lambda logits, bounds, log_p: _at_best(logits, bounds + log_p)),
        _BOUND.but(bound=lambda logits, inside: _at_best(logits, inside)),
        "every class has the weight 1/classes in your mean of the bounds: the weights are q(y|x)",
        _TERMS.but(mean=lambda bounds: bounds.mean(-1)),
        _BOUND.but(bound=lambda inside: inside.mean(-1)),
        "the weights q(y|x) are missing: this is the plain sum over the classes",
        _BOUND.but(bound=lambda inside: inside.sum(-1)),
        "you averaged over the classes: the weights q(y|x) sum to 1 already, so sum",
        _BOUND.but(bound=lambda q, inside: (q * inside).mean(-1)),
        "the numbers are right, but the weights q(y|x) were detached: q learns through them",
        _BOUND.given(logits=torch.detach),
        _BOUND.but(q=lambda log_q: log_q.exp().detach()),
        _TERMS.within("mean", logits=torch.detach),
        "the numbers are right, but no gradient reaches the bounds, and through them the model",
        _BOUND.given(bounds=torch.detach),
        "softmax was taken twice: it turns the logits into q, and q must not pass through it again",
        _BOUND.given(logits=lambda logits: logits.softmax(-1)),
        "q stands where log q belongs, or log q where q does: q weights the classes, and its logarithm is subtracted",
        _BOUND.but(log_q=lambda logits: logits.softmax(-1)),
        _BOUND.but(q=lambda logits: logits.softmax(-1), inside=lambda bounds, log_p, q: bounds + log_p - q),
        _BOUND.but(q=lambda log_q: log_q),
        "the weights are the logits: they are q(y|x), softmax(logits)",
        _BOUND.but(q=lambda logits: logits),
        "the entropy is in bits beside bounds in nats: natural logarithms throughout",
        _TERMS.times(entropy=1 / log(2)),
        "0 · log 0 became NaN where q rounds to 0: take log q from the logits, by log_softmax",
        _BOUND.but(log_q=lambda logits: logits.softmax(-1).log(), q=lambda logits: logits.softmax(-1)),
        "the values are right, but the slope of q log q at q = 0 is infinite and the gradient NaN: use log_softmax",
        _TERMS.but(entropy=lambda logits: torch.special.entr(logits.softmax(-1)).sum(-1)),
        "you took the logits for log q: they need not be normalised, log_softmax does that",
        _BOUND.but(log_q=lambda logits: logits, q=lambda logits: logits.softmax(-1)),
        "this is minus the bound, the loss: return the bound itself",
        _BOUND.then(torch.neg),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
)
