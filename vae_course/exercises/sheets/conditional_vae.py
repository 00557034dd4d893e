"""The sheet on the conditional VAE: a decoder with a class, a request in its own unit, Bayes' rule, a label, a prior given y."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import LEFT_BEHIND, RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, named, normal, uniform

# 1. a decoder that is given the class

_DECODER = Formula(
    "z y classes power first between second",
    code=lambda y, classes: one_hot(y, classes),
    scaled=lambda code, classes, power, z: code if power is None else classes**power * code.to(z),
    beside=lambda scaled, z: scaled.expand(*z.shape[:-1], scaled.shape[-1]),
    joined=lambda z, beside: torch.cat([z, beside], -1),
    logits=lambda joined, first, between, second: second(between(first(joined))),
)
_SILU_FIRST = _DECODER.but(joined=lambda z, beside: silu(torch.cat([z, beside], -1)))


def _one_each(classes: int) -> int:
    return classes


def _decoder(
    logits: Answer = _DECODER,
    power: float | None = 0.5,
    columns: Callable[[int], int] = _one_each,
    between: Answer = silu,
    kept: Any = nn.ModuleList,
) -> type[nn.Module]:
    """power: of `classes`, by which the code is scaled, None if it stays whole; columns: of it; kept: what the layers are in."""

    class Decoder(nn.Module):
        def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
            super().__init__()
            self.classes = classes
            self.layers = kept([nn.Linear(latent + columns(classes), width), nn.Linear(width, pixels)])

        def forward(self, z: Tensor, y: Tensor) -> Any:
            first, second = self.layers
            return logits(z, y, self.classes, power, first, between, second)

    return Decoder


def _decoders(*columns: Callable[[int], int], **steps: Sequence[Step]) -> list[type[nn.Module]]:
    """Decoders with each of several steps, for each size of the code, whether or not that is scaled."""
    sizes, powers = columns or (_one_each,), (0.5, 0, None)
    return [_decoder(logits, power, size) for logits in _DECODER.each(**steps) for size in sizes for power in powers]


def _decoder_cases(generator: Generator) -> list[Arguments]:
    def case(classes: int, *shape: int, y: list[int] | None = None) -> Arguments:
        labels = _classes(generator, shape[-2], classes) if y is None else torch.tensor(y)
        return shape[-1], classes, 7, 5, normal(generator, *shape, gradient=True), labels

    # First where samples, batch, latents and classes are as many: a code along the wrong axis runs there.
    chosen = [case(3, 3, 3, 3, y=[1, 1, 0]), case(4, 4, 2, y=[2, 0, 0, 1]), case(4, 5, 4, 2, y=[3, 1, 1, 0])]
    others = [case(5, 2, 3, 2, y=[0, 3, 1]), case(3, 2, 2, 4, 1), case(10, 3, 1, 4), case(1, 2, 3, 2)]
    return [*chosen, *others, case(10, 64, 2)]


def _classes(generator: Generator, batch: int, classes: int) -> Tensor:
    return torch.randint(classes, (batch,), generator=generator)


def _in_blocks(z: Tensor, scaled: Tensor) -> Tensor:
    """Every code repeated as often as there are samples, then laid out sample by sample."""
    return scaled.repeat_interleave(z[..., 0].numel() // len(scaled), 0).reshape(*z.shape[:-1], -1)


class _Embedded(nn.Module):
    """A table that is trained in place of the one-hot code."""

    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, classes)
        self.decoder = nn.Sequential(nn.Linear(latent + classes, width), nn.SiLU(), nn.Linear(width, pixels))

    def forward(self, z: Tensor, y: Tensor) -> Any:
        return self.decoder(torch.cat([z, self.table(y).expand(*z.shape[:-1], -1)], -1))


class _Late(nn.Module):
    """The code appended after the first layer."""

    def __init__(self, latent: int, classes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.classes = classes
        self.first, self.second = nn.Linear(latent, width), nn.Linear(width + classes, pixels)

    def forward(self, z: Tensor, y: Tensor) -> Any:
        code = self.classes**0.5 * one_hot(y, self.classes).to(z)
        return self.second(torch.cat([silu(self.first(z)), code.expand(*z.shape[:-1], -1)], -1))


ConditionalDecoder = Exercise(
    "ConditionalDecoder",
    _decoder(),
    _decoder_cases,
    wrong(
        "the class number itself stands in every column: it would make class 9 nine times class 1; use a one-hot code",
        *_decoders(code=[lambda y, classes: y[:, None].expand(-1, classes)]),
        "the class number stands in the first column, with zeros after it: use a one-hot code, a 1 in the column of the class",
        *_decoders(code=[lambda y, classes: y[:, None] * one_hot(0 * y, classes)]),
        "you appended the class number, one column: a one-hot code has `classes` columns",
        *_decoders(lambda c: 1, _one_each, code=[lambda y: y[:, None]]),
        *_decoders(lambda c: 1, code=[lambda y, classes: y[:, None] / classes]),
        "the one-hot code stands in front of z: append it",
        *_decoders(joined=[lambda z, beside: torch.cat([beside, z], -1)]),
        "the 1 stands in a column beside the right one: classes are counted from 0, so class c has column c",
        *_decoders(code=[lambda y, classes: one_hot(y + 1, classes + 1)[:, :classes]]),
        *_decoders(code=[lambda y, classes: torch.eye(classes)[y - 1]]),
        *_decoders(code=[lambda y, classes: torch.eye(classes)[(y + 1) % classes]]),
        *_decoders(code=[lambda y, classes: torch.arange(1, classes + 1) == y[:, None]]),
        "the code has as many columns as the largest label here needs: a batch may lack a class, so give one_hot `classes`",
        *_decoders(code=[lambda y: one_hot(y)]),
        "the code has one column too many: classes are counted from 0 to classes − 1",
        *_decoders(_one_each, lambda c: c + 1, code=[lambda y, classes: one_hot(y, classes + 1)]),
        "the labels run along the samples, not along the batch: y[i] belongs to z[..., i, :], in every sample",
        *_decoders(beside=[_in_blocks, lambda z, scaled: scaled[:, None].expand(-1, z.shape[-2], -1)]),
        *_decoders(beside=[lambda z, scaled: scaled[:, None].expand(*z.shape[:-1], scaled.shape[-1])]),
        "the one-hot code is transposed: its rows are the examples, its columns the classes",
        *_decoders(beside=[lambda z, scaled: scaled.T.expand(*z.shape[:-1], scaled.shape[-1])]),
        *_decoders(beside=[lambda z, scaled: scaled.T.expand(len(z), -1, -1)]),
        *_decoders(code=[lambda y, classes: one_hot(y, classes).T.reshape(len(y), classes)]),
        "you wrote −1 where a one-hot code has 0",
        *_decoders(code=[lambda y, classes: 2 * one_hot(y, classes) - 1]),
        "other columns hold a 1 as well: a one-hot code has a single 1, in the column of the class",
        *_decoders(code=[lambda y, classes: torch.arange(classes) <= y[:, None]]),
        *_decoders(code=[lambda y, classes: torch.ones(len(y), classes)]),
        "every example has the class of the first one: example i has y[i]",
        *_decoders(code=[lambda y, classes: one_hot(y[:1], classes).expand(len(y), -1)]),
        "the code, [batch, classes], lacks the leading axes of z: expand it to them first",
        *_decoders(joined=[lambda z, scaled: torch.cat([z, scaled], -1)]),
        "your code gets one leading axis, whatever z has: z may have none, or several; expand it to z.shape[:-1]",
        *_decoders(joined=[lambda z, scaled: torch.cat([z, scaled.repeat(len(z), 1, 1)], -1)]),
        "you appended along the wrong axis (torch.cat takes the first unless told): the latents are the last axis, −1",
        *_decoders(joined=[lambda z, beside: torch.cat([z, beside]), lambda z, beside: torch.cat([z, beside], -2)]),
        "you added the code to the latents: append it, so that the decoder sees both",
        *_decoders(_one_each, lambda c: 0, joined=[lambda z, scaled: z + scaled]),
        "you multiplied the latents by the code, which leaves one of them: append it",
        *_decoders(_one_each, lambda c: 0, joined=[lambda z, scaled: z * scaled]),
        "the numbers are right, but no gradient flows back to z: something was detached, or made anew from numbers",
        *_decoders(joined=[lambda z, beside: torch.cat([z.detach(), beside], -1)]),
        "the one-hot code is not scaled: times √classes it is as loud as z, whose entries have mean square 1",
        _decoder(power=0),
        "the code alone is scaled, by √classes: you took another factor, or scaled z too",
        *[_decoder(power=power) for power in (1, -0.5, -1, 2)],
        *_decoders(joined=[lambda z, beside, classes: classes**0.5 * torch.cat([z, beside], -1)]),
        *_decoders(joined=[lambda z, beside, classes: torch.cat([classes**0.5 * z, beside], -1)]),
        "SiLU is missing between the layers: two linear layers without it are one",
        _decoder(between=nn.Identity()),
        "between the layers stands another activation: SiLU is asked for",
        *[_decoder(between=a) for a in (nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.LeakyReLU())],
        *[_decoder(between=a) for a in (nn.Softplus(), nn.ELU(), nn.LeakyReLU(0.2), nn.GELU("tanh"))],
        "an activation stands before the first layer: it belongs between the two",
        *[_decoder(_SILU_FIRST), _decoder(_SILU_FIRST, between=nn.Identity())],
        "something follows the last layer: the decoder returns logits, which may be any numbers",
        *[_decoder(_DECODER.then(a)) for a in (nn.SiLU(), nn.Sigmoid(), nn.ReLU(), nn.Tanh(), nn.Softmax(-1))],
        "the code is learnt here, an nn.Embedding: a one-hot code has no parameters",
        _Embedded,
        "the code was appended to the hidden layer: append it to z",
        _Late,
        LEFT_BEHIND,
        _decoder(kept=list),
    ),
    results=RESULTS,
    prepare=behaviour(4),
)


# 2. a volume fraction as the networks must be given it

_REQUEST = Formula(
    "fraction training",
    mean=lambda training: training.mean(),
    std=lambda training: training.std(),
    given=lambda fraction, mean, std: (fraction - mean) / std,
    column=lambda given: given[:, None],
)


def _request_cases(generator: Generator) -> list[Arguments]:
    def fractions(n: int, low: float, high: float) -> Tensor:
        return low + (high - low) * uniform(generator, n)

    def training(n: int, low: float, high: float) -> Tensor:
        """Fractions that lie close together at the lower end: the mean is not the median, nor the middle."""
        places = torch.linspace(0, 1, n, dtype=torch.float64).square()
        shuffled = places[torch.randperm(n, generator=generator)]
        return low + (high - low) * shuffled + 1e-3 * uniform(generator, 1)

    return [
        (fractions(5, 0.25, 0.55), training(5, 0.25, 0.55)),
        (fractions(4, 0.1, 0.9), training(40, 0.25, 0.55)),
        (fractions(3, 0.3, 0.4), training(3, 0.2, 0.9)),
        (fractions(6, 0.25, 0.55), training(1000, 0.25, 0.55)),
        (fractions(1, 0.25, 0.55), training(20, 0.25, 0.55)),
        (torch.tensor([0.0, 1.0], dtype=torch.float64), training(8, 0.3, 0.6)),
        (fractions(4, 0.3, 0.31), training(7, 0.3, 0.305)),  # so narrow that a number added to the deviation shows
    ]


def _spread(fraction: Tensor) -> Tensor:
    """What std() gives, which for one number is NaN, without its warning."""
    return fraction.std() if len(fraction) > 1 else fraction.new_tensor(torch.nan)


request = Exercise(
    "request",
    _REQUEST,
    _request_cases,
    wrong(
        "the fraction is given raw: the networks were trained on standardised ones, and take 0.5 for half a standard deviation above the mean",
        _REQUEST.but(given=lambda fraction: fraction),
        "you standardised by the mean and spread of the request itself (of one fraction: NaN): the training set's count",
        _REQUEST.but(mean=lambda fraction: fraction.mean(), std=_spread),
        "you subtracted the mean of the requested fractions: subtract that of the training fractions",
        _REQUEST.but(mean=lambda fraction: fraction.mean()),
        "you divided by the spread of the requested fractions: divide by that of the training fractions",
        _REQUEST.but(std=_spread),
        "the request was mixed with the training fractions: mean and spread are those of the training fractions alone",
        lambda fraction, training: _REQUEST(fraction, torch.cat([fraction, training])),
        "you divided by the variance: divide by its root, the standard deviation",
        _REQUEST.but(std=lambda training: training.var()),
        "your standard deviation divides by n (NumPy's default): the networks were trained with n − 1, torch's default",
        _REQUEST.but(std=lambda training: training.std(correction=0)),
        "you multiplied by the standard deviation: divide by it",
        _REQUEST.but(given=lambda fraction, mean, std: (fraction - mean) * std),
        "this is the way back, from a standardised condition to a fraction: subtract the mean, then divide",
        _REQUEST.but(given=lambda fraction, mean, std: mean + fraction * std),
        "you scaled by the least and the largest training fraction: subtract the mean and divide by the standard deviation",
        _REQUEST.but(mean=lambda training: training.min(), std=lambda training: training.max() - training.min()),
        "the fraction is centred only: divide by the standard deviation of the training fractions as well",
        _REQUEST.but(given=lambda fraction, mean: fraction - mean),
        "the fraction is scaled only: subtract the mean of the training fractions first",
        _REQUEST.but(given=lambda fraction, std: fraction / std),
        "brackets: subtract the mean first, then divide the difference",
        _REQUEST.but(given=lambda fraction, mean, std: fraction - mean / std),
        "the request is in per cent here, the training set is not: both are fractions",
        _REQUEST.but(given=lambda fraction, mean, std: (100 * fraction - mean) / std),
        _REQUEST.but(given=lambda fraction: 100 * fraction),
        "a request outside the training fractions was clamped to them: return what was asked for, in the networks' unit",
        lambda fraction, training: _REQUEST(fraction.clamp(training.min(), training.max()), training),
        _REQUEST.then(lambda column: column.clamp(-3, 3)),
        "the sign is flipped: a fraction above the mean has a positive condition",
        _REQUEST.then(torch.neg),
        "the numbers are right, but a network takes [batch, 1], one row for each example: add an axis at the end",
        _REQUEST.but(column=lambda given: given),
        "the numbers are right, but stand in one row, [1, batch]: the batch is the first axis",
        _REQUEST.but(column=lambda given: given[None]),
    ),
)


# 3. log p(y|x) by Bayes' rule

_POSTERIOR = Formula(
    "log_likelihood log_prior",
    ll=lambda log_likelihood: log_likelihood,
    joint=lambda ll, log_prior: ll + log_prior,
    evidence=lambda joint: joint.logsumexp(-1, keepdim=True),
    posterior=lambda joint, evidence: joint - evidence,
)
_BY_SOFTMAX = _POSTERIOR.but(posterior=lambda joint: joint.log_softmax(-1))
_NAIVE = _POSTERIOR.but(evidence=lambda joint: joint.exp().sum(-1, keepdim=True).log())
_TINY = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-30)
_LOWEST = (-1e2, -1e3, -1e4, -1e5, -1e6, -1e8, -1e9, -1e10, -1e12, -1e20, -1e30, -torch.finfo(torch.double).max)


def _table(generator: Generator, batch: int, classes: int, scale: float = 2.0, level: float = 0.0) -> Tensor:
    """Log-likelihoods about `level`, which float32 can hold without error."""
    drawn = level + normal(generator, batch, classes, scale=scale)
    return (drawn * 64).round() / 64


def _prior(generator: Generator, classes: int) -> Tensor:
    return normal(generator, classes).log_softmax(0)


def _posterior_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, classes: int, scale: float = 2.0, level: float = 0.0) -> Arguments:
        table = _table(generator, batch, classes, scale, level)
        return table.requires_grad_(), _prior(generator, classes).requires_grad_()

    apart = torch.tensor([[-1500.0], [0.0], [1500.0]], dtype=torch.float64)  # pictures of very different sizes
    never = torch.cat([_prior(generator, 3), torch.tensor([-torch.inf], dtype=torch.float64)])  # one does not occur
    # First where the batch is as large as there are classes: the wrong axis runs there.
    ordinary = [case(4, 4), case(5, 3), case(1, 10), case(3, 1)]
    extreme = [case(3, 2, level=-1000), case(4, 3, level=1000), case(3, 4, scale=800)]
    far = (_table(generator, 3, 3) + apart).requires_grad_(), _prior(generator, 3).requires_grad_()
    return [*ordinary, *extreme, far, (_table(generator, 4, 4, level=-100), never)]


def _floored(e: float) -> list[Answer]:
    """The logarithm of the probabilities, which a small number keeps from 0."""
    return [_BY_SOFTMAX.then(lambda p: (p.exp() + e).log()), _BY_SOFTMAX.then(lambda p: p.exp().clamp(min=e).log())]


class_posterior = Exercise(
    "class_posterior",
    _BY_SOFTMAX,
    _posterior_cases,
    wrong(
        "you normalised over the batch: for each picture the probabilities of its classes, a row, sum to 1",
        *_BY_SOFTMAX.each(posterior=[lambda joint: joint.log_softmax(0), lambda joint: joint.softmax(0)]),
        "log p(y) is missing, or the same for every class here: add the prior before you normalise",
        _BY_SOFTMAX.but(joint=lambda ll: ll),
        "you subtracted log p(y): probabilities multiply, so their logarithms add up",
        _BY_SOFTMAX.but(joint=lambda ll, log_prior: ll - log_prior),
        "these are the probabilities: return their logarithms",
        _BY_SOFTMAX.but(posterior=lambda joint: joint.softmax(-1)),
        "you multiplied two logarithms: the product p(x|y) p(y) is a sum of logarithms",
        _BY_SOFTMAX.but(joint=lambda ll, log_prior: ll * log_prior),
        "exp overflows or rounds to 0 at ±1,000 nats, and a softmax rounds to 0 too: stay in logarithms, with log_softmax",
        lambda ll, log_prior: (ll.exp() * log_prior.exp() / (ll.exp() * log_prior.exp()).sum(-1, keepdim=True)).log(),
        _NAIVE,
        _BY_SOFTMAX.but(posterior=lambda joint: joint.softmax(-1).log()),
        "a number added inside the logarithm, or a clamp, hides how improbable a class is: stay in logarithms, with log_softmax",
        *[answer for e in _TINY for answer in _floored(e)],
        "−∞ was replaced by a finite number: a class that never occurs keeps −∞, and log_softmax can carry it",
        *[_BY_SOFTMAX.given(log_prior=partial(torch.clamp, min=lowest)) for lowest in _LOWEST],
        *[_BY_SOFTMAX.then(partial(torch.clamp, min=lowest)) for lowest in _LOWEST],
        "you subtracted the largest number of the whole batch: pictures differ, subtract each row's own",
        _NAIVE.but(joint=lambda ll, log_prior: ll + log_prior - (ll + log_prior).max()),
        "you subtracted the largest logarithm only: subtract the logarithm of the sum, logsumexp",
        _POSTERIOR.but(evidence=lambda joint: joint.max(-1, keepdim=True).values),
        "this is log p(x, y): subtract log p(x), the log-sum-exp over the classes",
        _POSTERIOR.but(posterior=lambda joint: joint),
        "this is log p(x), one number for each picture: subtract it from log p(x, y)",
        *_POSTERIOR.each(posterior=[lambda evidence: evidence[:, 0], lambda evidence: evidence]),
        "this is the most probable class, a number: return log p(y|x) of every class",
        _BY_SOFTMAX.but(posterior=lambda joint: joint.argmax(-1)),
        "the prior came after normalising: p(x) = Σ p(x|y) p(y) needs it too, so add log p(y) first",
        _POSTERIOR.but(evidence=lambda ll: ll.logsumexp(-1, keepdim=True)),
        "this is log p(x|y) − log p(x): log p(y) is missing in the numerator",
        _POSTERIOR.but(posterior=lambda ll, evidence: ll - evidence),
        "the prior counts twice: add log p(y) once",
        _BY_SOFTMAX.but(again=lambda posterior, log_prior: (posterior + log_prior).log_softmax(-1)),
        _BY_SOFTMAX.but(again=lambda posterior, log_prior: posterior + log_prior),
        "you added p(y) to a logarithm: add log p(y), as it is given",
        _BY_SOFTMAX.given(log_prior=torch.exp),
        "you took the logarithm of log p(y), which is a logarithm already: add it as it is given",
        _BY_SOFTMAX.given(log_prior=torch.log),
        "log p(y) runs along the batch here: it belongs to the classes, the last axis",
        _BY_SOFTMAX.given(log_prior=lambda log_prior: log_prior[:, None]),
        "the sums were subtracted along the classes: keep the axis, logsumexp(-1, keepdim=True)",
        _POSTERIOR.but(evidence=lambda joint: joint.logsumexp(-1)),
        "the sign is flipped: the logarithm of a probability is at most 0",
        _BY_SOFTMAX.then(torch.neg),
        "the numbers are right, but no gradient flows back: something was detached, or made anew from numbers",
        _BY_SOFTMAX.then(torch.detach),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
    written=_POSTERIOR,
)


# 4. what a label tells, in nats

_VALUE = Formula(
    "log_likelihood log_prior y",
    ll=lambda log_likelihood: log_likelihood,
    joint=lambda ll, log_prior: ll + log_prior,
    labelled=lambda ll, y: ll.gather(-1, y[:, None])[:, 0],
    evidence=lambda joint: joint.logsumexp(-1),
    value=lambda labelled, evidence: labelled - evidence,
)


def _label_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, classes: int, scale: float = 2.0, level: float = 0.0) -> Arguments:
        table = _table(generator, batch, classes, scale, level)
        return table, _prior(generator, classes), _classes(generator, batch, classes)

    apart = torch.tensor([[-1500.0], [0.0], [1500.0], [300.0]], dtype=torch.float64)
    # First where the batch is as large as there are classes: the wrong axis runs there.
    square = _table(generator, 4, 4), _prior(generator, 4), torch.tensor([1, 3, 3, 0])
    one = _table(generator, 1, 10), _prior(generator, 10), torch.tensor([4])
    few = case(6, 3), one, case(3, 2)  # of the ten classes one occurs
    levels = case(4, 5, level=-1000), case(4, 3, level=1000)
    far = _table(generator, 5, 4, 800)  # the label's probability rounds to 0
    mixed = _table(generator, 4, 3) + apart, _prior(generator, 3), _classes(generator, 4, 3)
    return [square, *few, *levels, (far, _prior(generator, 4), far.argmin(-1)), mixed]


label_value = Exercise(
    "label_value",
    _VALUE,
    _label_cases,
    wrong(
        "you subtracted a mean of the logarithms: log p(x) is the logarithm of a mean of p(x|y), with the weights p(y)",
        _VALUE.but(evidence=lambda ll: ll.mean(-1)),
        _VALUE.but(evidence=lambda ll, log_prior: (log_prior.exp() * ll).sum(-1)),
        "you subtracted the sum of the logarithms: log p(x) is the logarithm of a sum, logsumexp",
        *_VALUE.each(evidence=[lambda ll: ll.sum(-1), lambda joint: joint.sum(-1)]),
        "p(y) is taken for uniform here: each class of the sum has its own weight, log_prior",
        _VALUE.but(evidence=lambda ll: ll.logsumexp(-1) - log(ll.shape[-1])),
        "p(y) is missing in the sum: add log_prior to the log-likelihoods before logsumexp",
        _VALUE.but(evidence=lambda ll: ll.logsumexp(-1)),
        "this is log p(y|x), at most 0: subtract log p(y) of the label to have what the label tells",
        _VALUE.but(labelled=lambda joint, y: joint.gather(-1, y[:, None])[:, 0]),
        "log p(y) of the label was subtracted once too often: log p(x|y) − log p(x) has none",
        _VALUE.but(labelled=lambda ll, log_prior, y: (ll - log_prior).gather(-1, y[:, None])[:, 0]),
        "log p(y) was added to log p(y|x): subtract it, to have what the picture and the label tell of each other",
        _VALUE.but(labelled=lambda joint, log_prior, y: (joint + log_prior).gather(-1, y[:, None])[:, 0]),
        "values below 0 were cut off, or their sign was taken away: a label may make its picture less probable",
        *[_VALUE.then(torch.relu), _VALUE.then(torch.abs)],
        "log_prior was subtracted in the sum: p(x|y) is multiplied by p(y), so the logarithms are added",
        _VALUE.but(joint=lambda ll, log_prior: ll - log_prior),
        "you added p(y) to a logarithm: add log p(y), as it is given",
        _VALUE.given(log_prior=torch.exp),
        "you took the logarithm of log p(y), which is a logarithm already: add it as it is given",
        _VALUE.given(log_prior=torch.log),
        "log p(y) runs along the batch here: it belongs to the classes, the last axis",
        _VALUE.given(log_prior=lambda log_prior: log_prior[:, None]),
        "this is the cross-entropy, −log p(y|x): flip its sign and subtract log p(y)",
        _VALUE.but(value=lambda joint, evidence, y: evidence - joint.gather(-1, y[:, None])[:, 0]),
        "you subtracted the log-likelihood of the best class: subtract log p(x), in which every class counts",
        _VALUE.but(evidence=lambda ll: ll.max(-1).values),
        "the sign is flipped: a label under which the picture is more probable has a positive value",
        _VALUE.then(torch.neg),
        "this is in bits: return nats, natural logarithms throughout",
        _VALUE.then(lambda value: value / log(2)),
        "you took the most probable class: the label's own counts, also where the model believes in another",
        _VALUE.but(labelled=lambda ll: ll.max(-1).values),
        "you reduced over the batch: return one number per picture",
        *[_VALUE.then(torch.mean), _VALUE.then(torch.sum)],
        "the numbers are right, but gather left an axis of one: take it away, to get [batch]",
        _VALUE.then(lambda value: value[:, None]),
        "gather leaves [batch, 1]; minus [batch] that broadcasts to [batch, batch]: take the axis of one away first",
        _VALUE.but(value=lambda labelled, evidence: labelled[:, None] - evidence),
        "this is log p(x|y) alone: subtract log p(x), that of the picture without its label",
        _VALUE.but(value=lambda labelled: labelled),
        "rows and columns are exchanged where you pick: for picture i it is log_likelihood[i, y[i]]",
        *_VALUE.each(labelled=[lambda ll, y: ll[y, torch.arange(len(y))], lambda ll, y: ll.gather(0, y[None])[0]]),
        "log_likelihood[:, y] picks every label for every picture, [batch, batch]: picture i has the label y[i] only",
        _VALUE.but(value=lambda ll, y, evidence: ll[:, y] - evidence[:, None]),
        _VALUE.but(value=lambda ll, y, evidence: ll[:, y] - evidence),
        "log_likelihood[y] picks whole rows, by the label: picture i has row i, and its label the column y[i]",
        _VALUE.but(labelled=lambda ll, y: ll[y]),
        "a batch may lack a class: one_hot needs the number of classes, the size of the last axis",
        *_VALUE.each(labelled=[lambda ll, y: (ll * one_hot(y)).sum(-1), lambda ll, y: (one_hot(y) * ll).sum(-1)]),
        "exp overflows or rounds to 0 at ±1,000 nats, and a softmax rounds to 0 too: use logsumexp or log_softmax",
        _VALUE.but(evidence=lambda joint: joint.exp().sum(-1).log()),
        _VALUE.but(evidence=lambda ll, log_prior: (ll.exp() * log_prior.exp()).sum(-1).log()),
        lambda ll, log_prior, y: (ll + log_prior).softmax(-1).gather(-1, y[:, None])[:, 0].log() - log_prior[y],
        "you summed over the batch: log p(x) is a sum over the classes of one picture, the last axis",
        _VALUE.but(evidence=lambda joint: joint.logsumexp(0)),
        _VALUE.but(evidence=lambda joint, y: joint.logsumexp(0)[y]),
        "your sum leaves out the label's own class: p(x) sums over every class",
        _VALUE.but(evidence=lambda joint, y: joint.scatter(-1, y[:, None], -torch.inf).logsumexp(-1)),
        "this is the ratio p(x|y) / p(x): return its logarithm, without overflow",
        _VALUE.then(torch.exp),
    ),
)


# 5. the bound where the prior depends on the condition

_GIVEN = Formula(
    "log_likelihood mean log_std prior_mean prior_log_std",
    apart=lambda mean, prior_mean: mean - prior_mean,
    ratio=lambda log_std, prior_log_std: (2 * (log_std - prior_log_std)).exp(),  # of the variances, q's over p's
    squares=lambda apart, prior_log_std: apart.square() * (-2 * prior_log_std).exp(),
    logs=lambda log_std, prior_log_std: prior_log_std - log_std,
    kl=lambda logs, ratio, squares: logs + (ratio + squares - 1) / 2,
    total=lambda kl: kl.sum(-1),
    bound=lambda log_likelihood, total: log_likelihood - total,
)


def _given_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float = 0.6) -> Arguments:
        of_q = [normal(generator, batch, latent, scale=s, gradient=True) for s in (1.5, scale)]
        of_p = [normal(generator, batch, latent, scale=s, gradient=True) for s in (1.5, scale)]
        return (-3 * normal(generator, batch).square()).requires_grad_(), *of_q, *of_p

    return [case(3, 3), case(4, 2), case(1, 5), case(6, 1), case(2, 4, 2.0)]


def _with_small(small: float) -> list[Answer]:
    """With a small number beside the prior's variance: under both, or under the difference of the means alone."""

    def widened(prior_log_std: Tensor) -> Tensor:
        return (prior_log_std.mul(2).exp() + small).log() / 2

    def over_both(log_std: Tensor, apart: Tensor, prior_log_std: Tensor) -> Tensor:
        return ((2 * log_std).exp() + apart.square()) / (2 * widened(prior_log_std)).exp()

    return [
        _GIVEN.given(prior_log_std=widened),
        _GIVEN.but(kl=named(lambda *of: of[3] + (over_both(*of[:3]) - 1) / 2, "log_std apart prior_log_std logs")),
        _GIVEN.but(squares=lambda apart, prior_log_std: apart.square() / (2 * widened(prior_log_std)).exp()),
    ]


elbo_given = Exercise(
    "elbo_given",
    _GIVEN,
    _given_cases,
    wrong(
        "this is the KL to N(0, I): the prior depends on the condition, so use its mean and its σ",
        _GIVEN.given(prior_mean=lambda t: 0 * t, prior_log_std=lambda t: 0 * t),
        _GIVEN.given(prior_mean=torch.zeros_like, prior_log_std=torch.zeros_like),
        "the prior's mean is missing: z is compared with prior_mean, not with 0",
        _GIVEN.given(prior_mean=lambda t: 0 * t),
        _GIVEN.given(prior_mean=torch.zeros_like),
        "the prior's σ is missing: it need not be 1",
        _GIVEN.given(prior_log_std=lambda t: 0 * t),
        _GIVEN.given(prior_log_std=torch.zeros_like),
        "this is the KL of the prior from q, the other direction: the expectation is over q, so the squares are divided by the prior's variance",
        lambda ll, m, s, a, b: _GIVEN(ll, a, b, m, s),
        "the values are right, but no gradient reaches the prior: it has parameters of its own, which this term trains",
        _GIVEN.given(prior_mean=torch.detach, prior_log_std=torch.detach),
        _GIVEN.given(prior_mean=torch.detach),
        _GIVEN.given(prior_log_std=torch.detach),
        "the values are right, but no gradient reaches q: through it the encoder learns",
        _GIVEN.given(mean=torch.detach, log_std=torch.detach),
        "these are log σ, not log σ²: the standard deviation is exp(log σ), the variance exp(2 log σ)",
        _GIVEN.given(log_std=lambda t: t / 2, prior_log_std=lambda t: t / 2),
        _GIVEN.but(
            ratio=lambda log_std, prior_log_std: (log_std - prior_log_std).exp(),
            squares=lambda apart, prior_log_std: apart.square() * (-prior_log_std).exp(),
        ),
        "you took log σ for log σ² in the logarithms only: the term is log b − log s, without ½",
        _GIVEN.but(logs=lambda log_std, prior_log_std: (prior_log_std - log_std) / 2),
        "log σ was taken for σ: exp it first",
        _GIVEN.given(log_std=lambda t: t.abs().log(), prior_log_std=lambda t: t.abs().log()),
        "you averaged over the latents: the KL of independent coordinates is a sum",
        _GIVEN.but(total=lambda kl: kl.mean(-1)),
        "you reduced over the batch: return one number for each example",
        _GIVEN.then(torch.mean),
        _GIVEN.then(torch.sum),
        "you summed over the batch where the latents are meant: the last axis",
        _GIVEN.but(bound=lambda log_likelihood, kl: log_likelihood - kl.sum()),
        "the KL was added: the bound is the log-likelihood minus the KL",
        _GIVEN.but(bound=lambda log_likelihood, total: log_likelihood + total),
        "this is minus the bound, the loss: return the bound itself",
        _GIVEN.then(torch.neg),
        "this is the KL alone: subtract it from log_likelihood",
        _GIVEN.but(bound=lambda total: total),
        "this is minus the KL: add log_likelihood",
        _GIVEN.but(bound=lambda total: -total),
        "−½ is missing: where q is the prior the KL is 0",
        _GIVEN.but(kl=lambda logs, ratio, squares: logs + (ratio + squares) / 2),
        "a ½ is missing: ratio and squares and the 1 are halved, the logarithms are not",
        _GIVEN.but(kl=lambda logs, ratio, squares: logs + ratio + squares - 1),
        "the logarithms have the wrong sign: a q narrower than the prior pays log b − log s",
        _GIVEN.but(logs=lambda log_std, prior_log_std: log_std - prior_log_std),
        "the squared difference of the means is divided by q's variance: divide by the prior's",
        _GIVEN.but(squares=lambda apart, log_std: apart.square() * (-2 * log_std).exp()),
        "the squared difference of the means is not divided: divide it by the prior's variance",
        _GIVEN.but(squares=lambda apart: apart.square()),
        "a small number was added to the prior's variance, or that raised to it: exp(2 log b) is positive already",
        *[answer for small in (1e-6, 1e-5, 1e-4, 1e-3) for answer in _with_small(small)],
        "the difference of the means is not squared",
        _GIVEN.but(squares=lambda apart, prior_log_std: apart * (-2 * prior_log_std).exp()),
        _GIVEN.but(squares=lambda apart, prior_log_std: apart.abs() * (-2 * prior_log_std).exp()),
        "the ratio of the variances is upside down: q's over the prior's",
        _GIVEN.but(ratio=lambda log_std, prior_log_std: (2 * (prior_log_std - log_std)).exp()),
        "the log-likelihood was added once for each latent: it is one number for each example",
        _GIVEN.but(bound=lambda log_likelihood, kl: (log_likelihood[:, None] - kl).sum(-1)),
    ),
)
