"""The sheet on the conditional VAE: a class appended, a request in its own unit, Bayes' rule, a label in nats, few labels."""

from __future__ import annotations

from math import log

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. the latent with its example's class appended


def _append(z: Tensor, code: Tensor) -> Tensor:
    """[..., batch, latent] and [batch, columns] → [..., batch, latent + columns]."""
    return torch.cat([z, code.to(z).expand(*z.shape[:-1], code.shape[-1])], -1)


def _append_class(z: Tensor, y: Tensor, classes: int) -> Tensor:
    return _append(z, one_hot(y, classes))


def _classes(generator: Generator, batch: int, classes: int) -> Tensor:
    return torch.randint(classes, (batch,), generator=generator)


def _append_cases(generator: Generator) -> list[Arguments]:
    def case(classes: int, *shape: int, y: list[int] | None = None) -> Arguments:
        labels = _classes(generator, shape[-2], classes) if y is None else torch.tensor(y)
        return normal(generator, *shape, gradient=True), labels, classes

    # First where samples, batch, latents and classes are as many: a code along the wrong axis runs there.
    return [
        case(3, 3, 3, 3, y=[1, 1, 0]),
        case(4, 4, 2, y=[2, 0, 0, 1]),
        case(4, 5, 4, 2, y=[3, 1, 1, 0]),
        case(5, 2, 3, 2, y=[0, 3, 1]),
        case(3, 2, 2, 4, 1),
        case(10, 3, 1, 4),
        case(1, 2, 3, 2),
        case(10, 64, 2),
    ]


def _padded_number(z: Tensor, y: Tensor, classes: int) -> Tensor:
    return _append(z, torch.cat([y[:, None], y.new_zeros(len(y), classes - 1)], -1))


def _by_cut(z: Tensor, y: Tensor, classes: int) -> Tensor:
    return _append(z, one_hot(y + 1, classes + 1)[:, :classes])


def _in_blocks(z: Tensor, y: Tensor, classes: int) -> Tensor:
    """Every label repeated as often as there are samples, then laid out sample by sample."""
    labels = y.repeat_interleave(z[..., 0].numel() // len(y)).reshape(z.shape[:-1])
    return torch.cat([z, one_hot(labels, classes).to(z)], -1)


def _along_samples(z: Tensor, y: Tensor, classes: int) -> Tensor:
    return _append(z, one_hot(y, classes)[:, None])


def _stacked(z: Tensor, y: Tensor, classes: int, axis: int) -> Tensor:
    return torch.cat([z, one_hot(y, classes).to(z).expand(*z.shape[:-1], classes)], axis)


append_class = Exercise(
    "append_class",
    _append_class,
    _append_cases,
    wrong(
        "the class number itself stands in every column: it would make class 9 nine times class 1; use a one-hot code",
        lambda z, y, classes: _append(z, y[:, None].expand(-1, classes)),
        "the class number stands in the first column, with zeros after it: use a one-hot code, a 1 in the column of the class",
        _padded_number,
        "you appended the class number, one column: a one-hot code has `classes` columns",
        lambda z, y, classes: _append(z, y[:, None]),
        "the one-hot code stands in front of z: append it",
        lambda z, y, classes: torch.cat(_append_class(z, y, classes).split([z.shape[-1], classes], -1)[::-1], -1),
        "the 1 stands in a column beside the right one: classes are counted from 0, so class c has column c",
        _by_cut,
        lambda z, y, classes: _append(z, torch.arange(1, classes + 1) == y[:, None]),
        lambda z, y, classes: _append(z, torch.eye(classes)[y - 1]),
        lambda z, y, classes: _append(z, torch.eye(classes)[(y + 1) % classes]),
        "the code has as many columns as the largest label here needs: a batch may lack a class, so give one_hot `classes`",
        lambda z, y, classes: _append(z, one_hot(y)),
        "the code has one column too many: classes are counted from 0 to classes − 1",
        lambda z, y, classes: _append(z, one_hot(y, classes + 1)),
        "the labels run along the samples, not along the batch: y[i] belongs to z[..., i, :], in every sample",
        _in_blocks,
        _along_samples,
        lambda z, y, classes: torch.cat([z, one_hot(y, classes)[:, None].expand(*z.shape[:-1], classes)], -1),
        lambda z, y, classes: torch.cat([z, one_hot(y, classes)[:, None].expand(-1, z.shape[-2], -1).to(z)], -1),
        "the one-hot code is transposed: its rows are the examples, its columns the classes",
        lambda z, y, classes: torch.cat([z, one_hot(y, classes).T.to(z).expand(*z.shape[:-1], classes)], -1),
        lambda z, y, classes: _append(z, one_hot(y, classes).T.reshape(len(y), classes)),
        lambda z, y, classes: torch.cat([z, one_hot(y, classes).T.to(z).expand(len(z), -1, -1)], -1),
        "you wrote −1 where a one-hot code has 0",
        lambda z, y, classes: _append(z, 2 * one_hot(y, classes) - 1),
        "other columns hold a 1 as well: a one-hot code has a single 1, in the column of the class",
        lambda z, y, classes: _append(z, torch.arange(classes) <= y[:, None]),
        lambda z, y, classes: _append(z, torch.ones(len(y), classes)),
        "every example has the class of the first one: example i has y[i]",
        lambda z, y, classes: _append(z, one_hot(y[:1], classes).expand(len(y), -1)),
        "the code, [batch, classes], lacks the leading axes of z: expand it to them first",
        lambda z, y, classes: torch.cat([z, one_hot(y, classes)], -1),
        "your code gets one leading axis, whatever z has: z may have none, or several; expand it to z.shape[:-1]",
        lambda z, y, classes: torch.cat([z, one_hot(y, classes).repeat(len(z), 1, 1)], -1),
        "you appended along the wrong axis (torch.cat takes the first unless told): the latents are the last axis, −1",
        lambda z, y, classes: _stacked(z, y, classes, 0),
        lambda z, y, classes: _stacked(z, y, classes, -2),
        "you added the code to the latents: append it, so that the decoder sees both",
        lambda z, y, classes: z + one_hot(y, classes),
        "you multiplied the latents by the code, which leaves one of them: append it",
        lambda z, y, classes: z * one_hot(y, classes),
        "the numbers are right, but no gradient flows back to z: something was detached, or made anew from numbers",
        lambda z, y, classes: _append_class(z.detach(), y, classes),
    ),
)


# 2. a volume fraction as the networks must be given it


def _request(fraction: Tensor, training: Tensor) -> Tensor:
    return ((fraction - training.mean()) / training.std())[:, None]


def _request_cases(generator: Generator) -> list[Arguments]:
    def fractions(n: int, low: float, high: float) -> Tensor:
        return low + (high - low) * uniform(generator, n)

    def training(n: int, low: float, high: float) -> Tensor:
        """Fractions of which some lie close together: the mean is not the median, nor the middle."""
        some = fractions(n, low, high)
        return torch.where(torch.arange(n) % 3 == 0, some, low + 0.2 * (some - low))

    return [
        (fractions(5, 0.25, 0.55), training(5, 0.25, 0.55)),
        (fractions(4, 0.1, 0.9), training(40, 0.25, 0.55)),
        (fractions(3, 0.3, 0.4), training(3, 0.2, 0.9)),
        (fractions(6, 0.25, 0.55), training(1000, 0.25, 0.55)),
        (fractions(1, 0.25, 0.55), training(20, 0.25, 0.55)),
        (torch.tensor([0.0, 1.0], dtype=torch.float64), training(8, 0.3, 0.6)),
    ]


def _spread(fraction: Tensor) -> Tensor:
    """What std() gives, which for one number is NaN, without its warning."""
    return fraction.std() if len(fraction) > 1 else fraction.new_tensor(torch.nan)


def _by(fraction: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    return ((fraction - centre) / width)[:, None]


request = Exercise(
    "request",
    _request,
    _request_cases,
    wrong(
        "the fraction is given raw: the networks were trained on standardised ones, and take 0.5 for half a standard "
        "deviation above the mean",
        lambda v, training: v[:, None],
        "you standardised by the mean and spread of the request itself (of one fraction: NaN): the training set's count",
        lambda v, training: _by(v, v.mean(), _spread(v)),
        "you subtracted the mean of the requested fractions: subtract that of the training fractions",
        lambda v, training: _by(v, v.mean(), training.std()),
        "you divided by the spread of the requested fractions: divide by that of the training fractions",
        lambda v, training: _by(v, training.mean(), _spread(v)),
        "you divided by the variance: divide by its root, the standard deviation",
        lambda v, training: _by(v, training.mean(), training.var()),
        "your standard deviation divides by n (NumPy's default): the networks were trained with n − 1, torch's default",
        lambda v, training: _by(v, training.mean(), training.std(correction=0)),
        "you multiplied by the standard deviation: divide by it",
        lambda v, training: ((v - training.mean()) * training.std())[:, None],
        "this is the way back, from a standardised condition to a fraction: subtract the mean, then divide",
        lambda v, training: (training.mean() + v * training.std())[:, None],
        "you scaled by the least and the largest training fraction: subtract the mean and divide by the standard deviation",
        lambda v, training: _by(v, training.min(), training.max() - training.min()),
        "the fraction is centred only: divide by the standard deviation of the training fractions as well",
        lambda v, training: (v - training.mean())[:, None],
        "the fraction is scaled only: subtract the mean of the training fractions first",
        lambda v, training: (v / training.std())[:, None],
        "brackets: subtract the mean first, then divide the difference",
        lambda v, training: (v - training.mean() / training.std())[:, None],
        "the request is in per cent here, the training set is not: both are fractions",
        lambda v, training: _by(100 * v, training.mean(), training.std()),
        lambda v, training: 100 * v[:, None],
        "the sign is flipped: a fraction above the mean has a positive condition",
        lambda v, training: -_request(v, training),
        "the numbers are right, but a network takes [batch, 1], one row for each example: add an axis at the end",
        lambda v, training: _request(v, training)[:, 0],
        "the numbers are right, but stand in one row, [1, batch]: the batch is the first axis",
        lambda v, training: _request(v, training).T,
    ),
)


# 3. log p(y|x) by Bayes' rule


def _posterior(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    return (log_likelihood + log_prior).log_softmax(-1)


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
    never = _prior(generator, 3)
    never = torch.cat([never, torch.tensor([-torch.inf], dtype=torch.float64)])  # a class that does not occur
    # First where the batch is as large as there are classes: the wrong axis runs there.
    return [
        case(4, 4),
        case(5, 3),
        case(1, 10),
        case(3, 1),
        case(3, 2, level=-1000),
        case(4, 3, level=1000),
        case(3, 4, scale=800),
        ((_table(generator, 3, 3) + apart).requires_grad_(), _prior(generator, 3).requires_grad_()),
        (_table(generator, 4, 4, level=-100), never),
    ]


def _naive(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    joint = log_likelihood.exp() * log_prior.exp()
    return (joint / joint.sum(-1, keepdim=True)).log()


def _naive_in_logs(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    joint = log_likelihood + log_prior
    return joint - joint.exp().sum(-1, keepdim=True).log()


def _one_maximum(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    joint = log_likelihood + log_prior
    joint = joint - joint.max()
    return joint - joint.exp().sum(-1, keepdim=True).log()


_TINY = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-15, 1e-16, 1e-20, 1e-30)
_LOWEST = (-1e2, -1e3, -1e4, -1e5, -1e6, -1e8, -1e9, -1e10, -1e12, -1e20, -1e30, -torch.finfo(torch.double).max)


def _floored(lowest: float, clamp: bool = False) -> Answer:
    """The logarithm of the probabilities, which a small number keeps from 0."""

    def answer(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
        p = (log_likelihood + log_prior).softmax(-1)
        return (p.clamp(min=lowest) if clamp else p + lowest).log()

    return answer


def _finite_prior(lowest: float) -> Answer:
    return lambda log_likelihood, log_prior: _posterior(log_likelihood, log_prior.clamp(min=lowest))


def _finite_result(lowest: float) -> Answer:
    return lambda log_likelihood, log_prior: _posterior(log_likelihood, log_prior).clamp(min=lowest)


class_posterior = Exercise(
    "class_posterior",
    _posterior,
    _posterior_cases,
    wrong(
        "you normalised over the batch: for each picture the probabilities of its classes, a row, sum to 1",
        lambda ll, prior: (ll + prior).log_softmax(0),
        lambda ll, prior: (ll + prior).softmax(0),
        "log p(y) is missing, or the same for every class here: add the prior before you normalise",
        lambda ll, prior: ll.log_softmax(-1),
        "you subtracted log p(y): probabilities multiply, so their logarithms add up",
        lambda ll, prior: (ll - prior).log_softmax(-1),
        "these are the probabilities: return their logarithms",
        lambda ll, prior: (ll + prior).softmax(-1),
        "you multiplied two logarithms: the product p(x|y) p(y) is a sum of logarithms",
        lambda ll, prior: (ll * prior).log_softmax(-1),
        "exp overflows or rounds to 0 at ±1,000 nats, and a softmax rounds to 0 too: stay in logarithms, with log_softmax",
        _naive,
        _naive_in_logs,
        lambda ll, prior: (ll + prior).softmax(-1).log(),
        "a number added inside the logarithm, or a clamp, hides how improbable a class is: stay in logarithms, with log_softmax",
        lambda ll, prior: ((ll + prior).softmax(-1) + 1e-12).log(),
        *[_floored(e) for e in _TINY],
        *[_floored(e, clamp=True) for e in _TINY],
        "−∞ was replaced by a finite number: a class that never occurs keeps −∞, and log_softmax can carry it",
        lambda ll, prior: _posterior(ll, prior.clamp(min=-1e9)),
        *[_finite_prior(lowest) for lowest in _LOWEST],
        *[_finite_result(lowest) for lowest in _LOWEST],
        "you subtracted the largest number of the whole batch: pictures differ, subtract each row's own",
        _one_maximum,
        "you subtracted the largest logarithm only: subtract the logarithm of the sum, logsumexp",
        lambda ll, prior: (ll + prior) - ((ll + prior).max(-1, keepdim=True).values),
        "this is log p(x, y): subtract log p(x), the log-sum-exp over the classes",
        lambda ll, prior: ll + prior,
        "the prior came after normalising: p(x) = Σ p(x|y) p(y) needs it too, so add log p(y) first",
        lambda ll, prior: ll.log_softmax(-1) + prior,
        "this is log p(x|y) − log p(x): log p(y) is missing in the numerator",
        lambda ll, prior: ll - (ll + prior).logsumexp(-1, keepdim=True),
        "the prior counts twice: add log p(y) once",
        lambda ll, prior: ((ll + prior).log_softmax(-1) + prior).log_softmax(-1),
        lambda ll, prior: (ll + prior).log_softmax(-1) + prior,
        "you added p(y) to a logarithm: add log p(y), as it is given",
        lambda ll, prior: (ll + prior.exp()).log_softmax(-1),
        "the sums were subtracted along the classes: keep the axis, logsumexp(-1, keepdim=True)",
        lambda ll, prior: (ll + prior) - ((ll + prior).logsumexp(-1)),
        "the sign is flipped: the logarithm of a probability is at most 0",
        lambda ll, prior: -_posterior(ll, prior),
        "the numbers are right, but no gradient flows back: something was detached, or made anew from numbers",
        lambda ll, prior: _posterior(ll, prior).detach(),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
)


# 4. what a label tells, in nats


def _log_evidence(log_likelihood: Tensor) -> Tensor:
    """log p(x) under a uniform p(y)."""
    return log_likelihood.logsumexp(-1) - log(log_likelihood.shape[-1])


def _of_label(log_likelihood: Tensor, y: Tensor) -> Tensor:
    return log_likelihood.gather(-1, y[:, None])[:, 0]


def _label_value(log_likelihood: Tensor, y: Tensor) -> Tensor:
    return _of_label(log_likelihood, y) - _log_evidence(log_likelihood)


def _label_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, classes: int, scale: float = 2.0, level: float = 0.0) -> Arguments:
        return _table(generator, batch, classes, scale, level), _classes(generator, batch, classes)

    apart = torch.tensor([[-1500.0], [0.0], [1500.0], [300.0]], dtype=torch.float64)
    # First where the batch is as large as there are classes: the wrong axis runs there.
    return [
        (_table(generator, 4, 4), torch.tensor([1, 3, 3, 0])),
        case(6, 3),
        case(1, 10),
        case(3, 2),
        case(4, 5, level=-1000),
        case(4, 3, level=1000),
        case(5, 4, scale=800),
        (_table(generator, 4, 3) + apart, _classes(generator, 4, 3)),
    ]


def _others(log_likelihood: Tensor, y: Tensor) -> Tensor:
    """Log-sum-exp over the classes other than the label's."""
    labelled = one_hot(y, log_likelihood.shape[-1]).bool()
    return log_likelihood.masked_fill(labelled, -torch.inf).logsumexp(-1)


label_value = Exercise(
    "label_value",
    _label_value,
    _label_cases,
    wrong(
        "you subtracted the mean of the logarithms: log p(x) is the logarithm of the mean of p(x|y)",
        lambda ll, y: _of_label(ll, y) - ll.mean(-1),
        lambda ll, y: _of_label(ll, y) - (ll.sum(-1) - _of_label(ll, y)) / (ll.shape[-1] - 1),
        "this is log p(y|x), at most 0: the sum needs p(y) = 1/classes, which adds log classes to the result",
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(-1),
        "this is the cross-entropy, −log p(y|x): flip its sign and subtract log p(y) = −log classes",
        lambda ll, y: ll.logsumexp(-1) - _of_label(ll, y),
        "log classes has the wrong sign: dividing the sum by classes subtracts it from log p(x), so the result gains it",
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(-1) - log(ll.shape[-1]),
        "you subtracted the log-likelihood of the best class: subtract log p(x), in which every class counts",
        lambda ll, y: _of_label(ll, y) - ll.max(-1).values,
        "the sign is flipped: a label under which the picture is more probable has a positive value",
        lambda ll, y: -_label_value(ll, y),
        "this is in bits: return nats, natural logarithms throughout",
        lambda ll, y: _label_value(ll, y) / log(2),
        "you took the most probable class: the label's own counts, also where the model believes in another",
        lambda ll, y: ll.max(-1).values - _log_evidence(ll),
        "you reduced over the batch: return one number per picture",
        lambda ll, y: _label_value(ll, y).mean(),
        lambda ll, y: _label_value(ll, y).sum(),
        "the numbers are right, but gather left an axis of one: take it away, to get [batch]",
        lambda ll, y: _label_value(ll, y)[:, None],
        "gather leaves [batch, 1]; minus [batch] that broadcasts to [batch, batch]: take the axis of one away first",
        lambda ll, y: ll.gather(-1, y[:, None]) - _log_evidence(ll),
        "this is log p(x|y) alone: subtract log p(x), that of the picture without its label",
        lambda ll, y: _of_label(ll, y),
        "rows and columns are exchanged where you pick: for picture i it is log_likelihood[i, y[i]]",
        lambda ll, y: ll[y, torch.arange(len(y))] - _log_evidence(ll),
        lambda ll, y: ll.gather(0, y[None])[0] - _log_evidence(ll),
        "log_likelihood[:, y] picks every label for every picture, [batch, batch]: picture i has the label y[i] only",
        lambda ll, y: ll[:, y] - _log_evidence(ll)[:, None],
        lambda ll, y: ll[:, y] - _log_evidence(ll),
        "exp overflows or rounds to 0 at ±1,000 nats, and a softmax rounds to 0 too: use logsumexp or log_softmax",
        lambda ll, y: _of_label(ll, y) - ll.exp().mean(-1).log(),
        lambda ll, y: (_of_label(ll, y).exp() / ll.exp().mean(-1)).log(),
        lambda ll, y: _of_label(ll.softmax(-1), y).log() + log(ll.shape[-1]),
        "you summed over the batch: log p(x) is a sum over the classes of one picture, the last axis",
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(0) + log(len(ll)),
        "classes is the size of the last axis, not ten, and not the size of the batch",
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(-1) + log(10),
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(-1) + log(len(ll)),
        "you divided the logarithm by classes: the logarithm of a mean is logsumexp − log classes",
        lambda ll, y: _of_label(ll, y) - ll.logsumexp(-1) / ll.shape[-1],
        "your sum leaves out the label's own class: p(x) sums over every class",
        lambda ll, y: _of_label(ll, y) - _others(ll, y) + log(ll.shape[-1] - 1),
        lambda ll, y: _of_label(ll, y) - _others(ll, y) + log(ll.shape[-1]),
        lambda ll, y: _of_label(ll, y) - _others(ll, y),
        "this is the ratio p(x|y) / p(x): return its logarithm, without overflow",
        lambda ll, y: _label_value(ll, y).exp(),
    ),
)


# 5. the bound without a label


def _bound(logits: Tensor, bounds: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (bounds - log(bounds.shape[-1]) - log_q)).sum(-1)


def _bound_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, classes: int, scale: float = 1.5, level: float = 0.0, sure: float = 1.0) -> Arguments:
        logits = (sure * _table(generator, batch, classes, 1.5)).requires_grad_()
        return logits, _table(generator, batch, classes, scale, level).requires_grad_()

    certain = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, 1000.0]], dtype=torch.float64)
    undecided = torch.zeros(3, 4, dtype=torch.float64)
    # First where the batch is as large as there are classes: the wrong axis runs there.
    return [
        case(4, 4),
        case(5, 3),
        case(1, 10),
        case(3, 1),
        case(3, 4, scale=20.0, level=-100.0),
        (undecided.requires_grad_(), _table(generator, 3, 4).requires_grad_()),
        (certain.requires_grad_(), _table(generator, 2, 3, scale=5.0, level=-90.0).requires_grad_()),
        case(4, 3, scale=5.0, sure=700.0),
    ]


def _mean_over_q(logits: Tensor, values: Tensor) -> Tensor:
    return (logits.softmax(-1) * values).sum(-1)


def _entropy(logits: Tensor) -> Tensor:
    return -_mean_over_q(logits, logits.log_softmax(-1))


def _uniform(bounds: Tensor) -> Tensor:
    """log p(y)."""
    return torch.full_like(bounds, -log(bounds.shape[-1]))


def _over_batch(logits: Tensor, bounds: Tensor) -> Tensor:
    log_q = logits.log_softmax(0)
    return (log_q.exp() * (bounds + _uniform(bounds) - log_q)).sum(-1)


def _best(logits: Tensor, bounds: Tensor) -> Tensor:
    return _of_label(bounds, logits.argmax(-1))


def _weighted(logits: Tensor, bounds: Tensor, log_q: Tensor) -> Tensor:
    """The bound with weights from the logits and its own log q."""
    return _mean_over_q(logits, bounds + _uniform(bounds) - log_q)


unlabelled_bound = Exercise(
    "unlabelled_bound",
    _bound,
    _bound_cases,
    wrong(
        "the entropy of q(y|x) was subtracted: − log q(y|x) adds it",
        lambda logits, bounds: _mean_over_q(logits, bounds + _uniform(bounds)) - _entropy(logits),
        "the entropy of q(y|x) is missing: the term − log q(y|x)",
        lambda logits, bounds: _mean_over_q(logits, bounds + _uniform(bounds)),
        "two terms are missing, log p(y) and − log q(y|x): the mean of the bounds alone is no bound on log p(x)",
        lambda logits, bounds: _mean_over_q(logits, bounds),
        "log p(y) = −log classes is missing: `bounds` bound log p(x|y), not log p(x, y)",
        lambda logits, bounds: _mean_over_q(logits, bounds) + _entropy(logits),
        "log p(y) counts once for every class: it stands inside the mean over q, so it counts once in all",
        lambda logits, bounds: _mean_over_q(logits, bounds) + _entropy(logits) + _uniform(bounds).sum(-1),
        "classes is the size of the last axis, not ten, and not the size of the batch",
        lambda logits, bounds: _mean_over_q(logits, bounds - log(10)) + _entropy(logits),
        lambda logits, bounds: _mean_over_q(logits, bounds - log(len(bounds))) + _entropy(logits),
        "log p(y) has the wrong sign: p(y) = 1/classes has the logarithm −log classes",
        lambda logits, bounds: _mean_over_q(logits, bounds - _uniform(bounds)) + _entropy(logits),
        "q is normalised over the batch: for each picture the probabilities of its classes sum to 1",
        _over_batch,
        "the logits have no say here: this is the bound of the best q(y|x), softmax(bounds), the largest there can be; "
        "use the q that is given",
        lambda logits, bounds: _log_evidence(bounds),
        lambda logits, bounds: bounds.logsumexp(-1),
        "you took the logarithm of Σ q exp(bounds): take the mean of the logarithms over q, and add its entropy",
        lambda logits, bounds: (logits.log_softmax(-1) + bounds).logsumexp(-1),
        lambda logits, bounds: (logits.log_softmax(-1) + bounds + _uniform(bounds)).logsumexp(-1),
        "only the most probable class counts here: take the mean over all classes, weighted with q(y|x)",
        lambda logits, bounds: _best(logits, bounds) + _uniform(bounds)[:, 0],
        lambda logits, bounds: _best(logits, bounds),
        lambda logits, bounds: _best(logits, bounds) + _uniform(bounds)[:, 0] + _entropy(logits),
        lambda logits, bounds: _best(logits, bounds) + _uniform(bounds)[:, 0] - logits.log_softmax(-1).max(-1).values,
        "every class has the weight 1/classes in your mean of the bounds: the weights are q(y|x)",
        lambda logits, bounds: bounds.mean(-1) + _uniform(bounds)[:, 0] + _entropy(logits),
        "you averaged over the classes: the weights q(y|x) sum to 1 already, so sum",
        lambda logits, bounds: _bound(logits, bounds) / bounds.shape[-1],
        "the numbers are right, but the weights q(y|x) were detached: q learns through them",
        lambda logits, bounds: _bound(logits.detach(), bounds),
        lambda logits, bounds: _weighted(logits.detach(), bounds, logits.log_softmax(-1)),
        lambda logits, bounds: _mean_over_q(logits.detach(), bounds + _uniform(bounds)) + _entropy(logits),
        "the numbers are right, but no gradient reaches the bounds, and through them the model",
        lambda logits, bounds: _bound(logits, bounds.detach()),
        "softmax was taken twice: it turns the logits into q, and q must not pass through it again",
        lambda logits, bounds: _bound(logits.softmax(-1), bounds),
        "0 · log 0 became NaN where q rounds to 0: take log q from the logits, by log_softmax",
        lambda logits, bounds: _weighted(logits, bounds, logits.softmax(-1).log()),
        "the values are right, but the slope of q log q at q = 0 is infinite and the gradient NaN: use log_softmax",
        lambda logits, bounds: (
            _mean_over_q(logits, bounds + _uniform(bounds)) + torch.special.entr(logits.softmax(-1)).sum(-1)
        ),
        "you took the logits for log q: they need not be normalised, log_softmax does that",
        lambda logits, bounds: _weighted(logits, bounds, logits),
        "this is minus the bound, the loss: return the bound itself",
        lambda logits, bounds: -_bound(logits, bounds),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
)
