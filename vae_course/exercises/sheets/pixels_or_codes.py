"""The sheet on pixels or codes: masks of a deeper network, a bound from any fields, sums kept, codes drawn in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy, logsigmoid, softplus

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, bits, normal, uniform
from vae_course.exercises.slips import SMALL

# 1. masks of a network with two hidden layers, for pixels in any order

_MASKS = Formula(
    "m_first m_second order",
    place=lambda order: order,
    inputs=lambda m_first, place: place < m_first[:, None],
    between=lambda m_first, m_second: m_first <= m_second[:, None],
    outputs=lambda m_second, place: m_second <= place[:, None],
    masks=lambda inputs, between, outputs: (inputs, between, outputs),
)


def _masks_cases(generator: Generator) -> list[Arguments]:
    def case(first: int, second: int, pixels: int, most: int = 1) -> Arguments:
        numbers = (torch.randint(1, pixels + 1 - most, (size,), generator=generator) for size in (first, second))
        return (*numbers, torch.randperm(pixels, generator=generator))

    turned = torch.tensor([2, 0, 3, 1, 4])  # its own inverse it is not
    ends = torch.tensor([0, 5, 3, 1]), torch.tensor([5, 0, 2, 4, 3, 3]), turned  # units that see nothing, and all
    return [case(6, 6, 6), case(9, 5, 7), ends, case(2, 1, 2), case(20, 15, 10), case(8, 8, 8, most=0)]


deep_masks = Exercise(
    "deep_masks",
    _MASKS,
    _masks_cases,
    wrong(
        "a unit sees one place too many: with the number m it sees the places 0 to m − 1",
        _MASKS.but(inputs=lambda m_first, place: place <= m_first[:, None]),
        "a unit sees one place too few: with the number m it sees the places 0 to m − 1",
        _MASKS.but(inputs=lambda m_first, place: place < m_first[:, None] - 1),
        "the first layer sees the pixels that come later: those with places below m",
        _MASKS.but(inputs=lambda m_first, place: place >= m_first[:, None]),
        _MASKS.but(inputs=lambda m_first, place: place > m_first[:, None]),
        "equal numbers were kept apart between the hidden layers: a unit with m may hear one with m, which has seen no more",
        _MASKS.but(between=lambda m_first, m_second: m_first < m_second[:, None]),
        "the second layer hears units of larger numbers, which have seen too much: those up to its own",
        _MASKS.but(between=lambda m_first, m_second: m_first >= m_second[:, None]),
        _MASKS.but(between=lambda m_first, m_second: m_first > m_second[:, None]),
        "the second layer hears every unit of the first: those with a number up to its own may be heard",
        _MASKS.but(between=lambda m_first, m_second: (m_first >= 0) & (m_second[:, None] >= 0)),
        "the second layer hears units of equal number alone: smaller ones have seen no more than it may",
        _MASKS.but(between=lambda m_first, m_second: m_first == m_second[:, None]),
        "the second layer was masked by where the units of the first stand: compare with their numbers",
        _MASKS.but(between=lambda m_second, m_first: torch.arange(len(m_first)) < m_second[:, None]),
        "the logits lose units: with m ≤ its place a unit has seen earlier pixels alone",
        _MASKS.but(outputs=lambda m_second, place: m_second < place[:, None]),
        "the logits hear units that have seen the pixel itself: m may be as large as its place, no larger",
        _MASKS.but(outputs=lambda m_second, place: m_second <= place[:, None] + 1),
        "the logits hear units of larger numbers: those with m up to the pixel's place",
        _MASKS.but(outputs=lambda m_second, place: m_second >= place[:, None]),
        _MASKS.but(outputs=lambda m_second, place: m_second > place[:, None]),
        "these comparisons, m ≥ place and place > m, are for places counted from 1: here the first place is 0",
        _MASKS.but(
            inputs=lambda m_first, place: place <= m_first[:, None],
            outputs=lambda m_second, place: m_second < place[:, None],
        ),
        "the logits were masked by the numbers of the first layer: they hear the second",
        _MASKS.but(outputs=lambda m_first, place: m_first <= place[:, None]),
        "the order was ignored: the place of pixel i is order[i]",
        _MASKS.but(place=lambda order: torch.arange(len(order))),
        "order was taken for the list of pixels by place: order[i] is the place of pixel i",
        _MASKS.but(place=lambda order: order.argsort()),
        "the places run in reverse: place 0 comes first",
        _MASKS.but(place=lambda order: len(order) - 1 - order),
        "the order was used in the first mask alone: the logits of pixel i stand at order[i] too",
        _MASKS.but(outputs=lambda m_second, order: m_second <= torch.arange(len(order))[:, None]),
        "the order was used in the last mask alone: the pixels of the first stand at order[i] too",
        _MASKS.but(inputs=lambda m_first, order: torch.arange(len(order)) < m_first[:, None]),
        "the masks are transposed: a row for each unit that hears, a column for each that is heard",
        _MASKS.then(lambda masks: tuple(mask.T for mask in masks)),
        "the mask between the hidden layers is transposed: a row for each unit of the second",
        _MASKS.but(masks=lambda inputs, between, outputs: (inputs, between.T, outputs)),
        "True and False are exchanged: True is for what is seen",
        _MASKS.then(lambda masks: tuple(~mask for mask in masks)),
        "the masks are numbers: return truth values, as a comparison gives them",
        _MASKS.then(lambda masks: tuple(mask.double() for mask in masks)),
        _MASKS.then(lambda masks: tuple(mask.float() for mask in masks)),
        "the order of the results is another: return the masks from the pixels upwards",
        _MASKS.then(lambda masks: masks[::-1]),
    ),
    results=("first mask", "mask between", "last mask"),
)


# 2. a bound from any fields


def _again(same: Tensor) -> Tensor:
    """Which draws have their like before them. same: [samples, samples, batch] → [samples, batch]."""
    earlier = torch.ones(len(same), len(same), dtype=torch.bool).tril(-1)
    return (same & earlier[:, :, None]).any(1)


def _once(same: Tensor, log_joint: Tensor, left_out: float = -torch.inf) -> Tensor:
    """Log of the sum over the draws that have no like one before them."""
    return torch.where(_again(same), left_out, log_joint).logsumexp(0)


def _pairs(value: Tensor) -> Tensor:
    """Which draws of an example have the same number: [samples, batch] → [samples, samples, batch]."""
    return value[:, None] == value[None]


_FIELDS = Formula(
    "codes log_joint",
    equal=lambda codes: codes[:, None] == codes[None],  # [samples, samples, batch, positions]
    same=lambda equal: equal.all(-1),
    log_p=_once,
    bound=lambda log_p: log_p,
)
_fields, _same = _FIELDS.instead("log_p"), _FIELDS.instead("same")


def _next_to(same: Tensor, log_joint: Tensor) -> Tensor:
    """With what is like the draw just before it left out."""
    again = torch.stack([same[s, s - 1] if s else torch.zeros_like(same[0, 0]) for s in range(len(same))])
    return torch.where(again, -torch.inf, log_joint).logsumexp(0)


def _never_again(same: Tensor, log_joint: Tensor) -> Tensor:
    """With every field left out that was drawn more than once."""
    return torch.where(same.sum(1) > 1, -torch.inf, log_joint).logsumexp(0)


def _over_the_batch(codes: Tensor, log_joint: Tensor) -> Tensor:
    """Each field once among the draws of all examples."""
    samples, batch, positions = codes.shape
    flat = codes.reshape(-1, positions)
    again = _again((flat[:, None] == flat).all(-1)[..., None]).reshape(samples, batch)
    return torch.where(again, -torch.inf, log_joint).logsumexp(0)


def _summed(same: Tensor, value: Tensor) -> Tensor:
    """The sum over different fields."""
    return torch.where(_again(same), 0.0, value).sum(0)


def _count(same: Tensor) -> Tensor:
    """How many different fields each example has."""
    return (~_again(same)).sum(0)


def _left_out_at(value: float, same: Tensor, log_joint: Tensor) -> Tensor:
    return _once(same, log_joint, value)


def _as_many(same: Tensor, log_joint: Tensor) -> Tensor:
    """The first draws, as many as there are different fields."""
    top = torch.arange(len(same))[:, None] < _count(same)
    return torch.where(top, log_joint, -torch.inf).logsumexp(0)


def _fields_cases(generator: Generator) -> list[Arguments]:
    def case(
        samples: int,
        batch: int,
        size: int,
        positions: int,
        scale: float = 1.5,
        at: float | Tensor = 0.0,
        step: float = 0.0,
    ) -> Arguments:
        codes = torch.randint(size, (samples, batch, positions), generator=generator)
        number = (codes * size ** torch.arange(positions)).sum(-1)  # the same field has the same log p(x, z)
        table = at + normal(generator, batch, size**positions, scale=scale)
        if step:
            table = (table / step).round() * step  # different fields with one log p(x, z)
        return codes, table.gather(1, number.T).T.contiguous()

    return [
        case(12, 4, 2, 3),
        case(8, 8, 3, 2),
        case(15, 3, 2, 4, step=1.0),
        case(6, 5, 4, 2, at=-900.0),
        case(9, 3, 2, 3, scale=1000.0, at=-1e4 * torch.arange(1, 4)[:, None]),
        case(1, 3, 2, 2),
        case(20, 1, 2, 2),
        case(5, 2, 60, 3),
    ]


sum_of_fields = Exercise(
    "sum_of_fields",
    _FIELDS,
    _fields_cases,
    wrong(
        "a field that was drawn twice counts twice here: p(x) holds p(x, z) once for each z",
        *_fields(lambda log_joint: log_joint.logsumexp(0)),
        "you divided by the number of draws: p(x) is a sum over fields, and no draw has a weight here",
        *_fields(lambda log_joint: log_joint.logsumexp(0) - torch.tensor(len(log_joint)).double().log()),
        _FIELDS.but(bound=lambda log_p, log_joint: log_p - torch.tensor(len(log_joint)).double().log()),
        "you divided by the number of different fields: p(x) is their sum",
        _FIELDS.but(bound=lambda log_p, same: log_p - _count(same).double().log()),
        "this is the mean of the logarithms: add the probabilities, then take the logarithm",
        *_fields(lambda log_joint: log_joint.mean(0)),
        _FIELDS.but(bound=lambda same, log_joint: _summed(same, log_joint) / _count(same)),
        "this is the sum of the logarithms: add the probabilities, then take the logarithm",
        *_fields(lambda log_joint: log_joint.sum(0), lambda same, log_joint: _summed(same, log_joint)),
        "this is the likeliest field alone: every other one adds to the bound",
        *_fields(lambda log_joint: log_joint.amax(0)),
        "exp rounds to 0 or overflows on the way: stay in logarithms, by logsumexp",
        _FIELDS.but(log_p=lambda same, log_joint: _once(same, log_joint).exp().log()),
        *_fields(lambda same, log_joint: _summed(same, log_joint.exp()).log()),
        "the largest of the whole batch was subtracted, and other examples round to 0: each has its own, or take logsumexp",
        *_fields(lambda same, log_joint: _summed(same, (log_joint - log_joint.max()).exp()).log() + log_joint.max()),
        "what is left out must add 0, whose logarithm is −∞: 0, or a finite number, adds its exponential",
        *_fields(*[partial(_left_out_at, value) for value in (0.0, -1.0, -10.0, -100.0, -1000.0)]),
        "you counted the different fields and took as many draws from the top: take each one where it comes first",
        *_fields(_as_many),
        "a field that was drawn again was left out altogether: it counts once",
        *_fields(_never_again),
        "only draws next to each other were compared: a field may come back later",
        *_fields(_next_to),
        "a field was left out because another example has it: each example has its own sum",
        *_fields(_over_the_batch),
        "a draw was left out only where every example repeats its field: each example has its own",
        *_same(lambda equal: equal.all(-1).all(-1, keepdim=True).expand(equal.shape[:3])),
        "fields with one log p(x, z) were taken for the same: compare their codes",
        *_same(lambda log_joint: _pairs(log_joint)),
        "fields that share a code at some place were taken for the same: all places must agree",
        *_same(lambda equal: equal.any(-1)),
        "the first place alone was compared: all must agree",
        *_same(lambda equal: equal[..., 0]),
        "the last place alone was compared: all must agree",
        *_same(lambda equal: equal[..., -1]),
        "fields with one sum of codes were taken for the same: compare place by place",
        *_same(lambda codes: _pairs(codes.sum(-1))),
        "the codes were sorted before they were compared: which code stands where matters",
        *_same(lambda codes: (codes.sort(-1).values[:, None] == codes.sort(-1).values[None]).all(-1)),
        "this is the probability of the likeliest draws, no logarithm: return nats",
        _FIELDS.then(torch.exp),
        "you summed over the examples: the draws run along axis 0",
        *_fields(lambda log_joint: log_joint.logsumexp(1)),
        "the sign is flipped: this is log p(x) from below, not a cost",
        _FIELDS.then(torch.neg),
        "you averaged over the batch: return one number for each example",
        _FIELDS.then(torch.mean),
    ),
)


# 3. binary pixels, with the sums kept


def _shown(x: Tensor, weight: Tensor) -> Tensor:
    """What each pixel adds to the sums: [batch, pixels, hidden]."""
    return x[:, :, None] * weight.T


def _activations_kept(x: Tensor, weight: Tensor, bias_hidden: Tensor) -> Tensor:
    """With the sigmoid of the sums kept in place of the sums."""
    hidden = bias_hidden.expand(len(x), -1).sigmoid()
    rows = [hidden]
    for i in range(x.shape[1] - 1):
        hidden = (hidden + x[:, i, None] * weight[:, i]).sigmoid()
        rows.append(hidden)
    return torch.stack(rows, 1)


def _moved(rows: Tensor) -> Tensor:
    """Each row of the pixel before, and zeros for the first: [batch, pixels, hidden]."""
    return torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], 1)


_NADE = Formula(
    "x weight bias_hidden output bias",
    added=lambda x, weight: _shown(x, weight),
    before=lambda added: added.cumsum(1) - added,  # of the pixels before each
    sums=lambda before, bias_hidden: bias_hidden + before,
    hidden=lambda sums: sums.sigmoid(),
    logits=lambda hidden, output, bias: (hidden * output).sum(-1) + bias,
    each=lambda x, logits: -softplus((1 - 2 * x) * logits),
    log_p=lambda each: each.sum(-1),
)
_before, _hidden, _logits, _each = (_NADE.instead(name) for name in ("before", "hidden", "logits", "each"))


def _with_small(small: float, x: Tensor, logits: Tensor) -> Tensor:
    p = logits.sigmoid()
    return x * (p + small).log() + (1 - x) * (1 - p + small).log()


def _with_clamp(small: float, x: Tensor, logits: Tensor) -> Tensor:
    p = logits.sigmoid().clamp(small, 1 - small)
    return x * p.log() + (1 - x) * (1 - p).log()


def _nade_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, pixels: int, hidden: int, scale: float = 1.0, out: float = 1.0) -> Arguments:
        return (
            bits(generator, batch, pixels),
            normal(generator, hidden, pixels, scale=scale, gradient=True),
            normal(generator, hidden, gradient=True),
            normal(generator, pixels, hidden, scale=out, gradient=True),
            normal(generator, pixels, gradient=True),
        )

    dark = torch.zeros(2, 6, dtype=torch.float64), *case(2, 6, 5)[1:]
    return [case(6, 5, 5), case(4, 7, 3), case(1, 4, 6), dark, case(5, 9, 4, 2.0, 300.0), case(3, 1, 2)]


nade_log_prob = Exercise(
    "nade_log_prob",
    _NADE,
    _nade_cases,
    wrong(
        "a pixel sees itself: the sums of pixel i hold the pixels before it, j < i",
        *_before(lambda added: added.cumsum(1)),
        "every pixel sees all pixels: the sums of pixel i hold those before it",
        *_before(lambda added: added.sum(1, keepdim=True).expand_as(added)),
        "the pixels after were taken for those before",
        *_before(lambda added: added.sum(1, keepdim=True) - added.cumsum(1)),
        "every other pixel is seen, the later ones too: those before alone",
        *_before(lambda added: added.sum(1, keepdim=True) - added),
        "the pixel just before is missing: all j < i count",
        *_before(lambda added: _moved(added.cumsum(1) - added)),
        "only the pixel just before is seen: the sums add up all of them",
        *_before(lambda added: _moved(added)),
        "nothing before a pixel is seen: add what each pixel brings to the sums",
        *_before(lambda added: 0 * added),
        "W was added up whatever the pixels are: column j counts where pixel j is 1",
        _NADE.but(added=lambda x, weight: _shown(torch.ones_like(x), weight)),
        "the pixels before were averaged: their sum is meant",
        *_before(lambda added: (added.cumsum(1) - added) / torch.arange(added.shape[1]).clamp(min=1)[:, None]),
        "what was kept went through the sigmoid: keep the sums, and take their sigmoid anew for each pixel",
        *_hidden(_activations_kept),
        "the sigmoid of the hidden units is missing",
        *_hidden(lambda sums: sums),
        "the hidden units have another activation: the sigmoid",
        *_hidden(lambda sums: sums.tanh(), lambda sums: sums.relu()),
        "the bias c of the hidden units is missing",
        _NADE.given(bias_hidden=lambda c: 0 * c),
        "c was added at every pixel: the sums begin at c, once",
        _NADE.but(
            sums=lambda before, bias_hidden: (
                before + bias_hidden * (1 + torch.arange(before.shape[1]).double())[:, None]
            )
        ),
        "c was added after the sigmoid: it belongs to the sums",
        _NADE.but(sums=lambda before: before, hidden=lambda sums, bias_hidden: sums.sigmoid() + bias_hidden),
        "the bias b of the pixels is missing",
        _NADE.given(bias=lambda b: 0 * b),
        "the hidden units are not heard: b alone makes no picture",
        *_logits(lambda hidden, bias: 0 * hidden.sum(-1) + bias),
        "W was used on the way out too: that has a weight of its own, V",
        *_logits(lambda hidden, weight, bias: (hidden * weight.T).sum(-1) + bias),
        "the hidden units were averaged: each has its weight, and they are added up",
        *_logits(lambda hidden, output, bias: (hidden * output).mean(-1) + bias),
        "only the ones are counted: a pixel that is 0 has a probability too, 1 − p",
        *_each(lambda x, logits: x * logsigmoid(logits)),
        "only the zeros are counted: a pixel that is 1 has the probability p",
        *_each(lambda x, logits: (1 - x) * logsigmoid(-logits)),
        "1 and 0 are exchanged: sigmoid(b + V h) is the probability of a 1",
        *_each(lambda x, logits: -softplus((2 * x - 1) * logits)),
        "these are the logits of what is seen, not normalised: x ℓ − softplus(ℓ)",
        *_each(lambda x, logits: x * logits, lambda x, logits: (2 * x - 1) * logits),
        "log(1 − sigmoid) is −∞, or 0 · ∞ is NaN, where a logit is large: use logsigmoid or softplus",
        *_each(
            lambda x, logits: x * logits.sigmoid().log() + (1 - x) * (1 - logits.sigmoid()).log(),
            lambda x, logits: torch.where(x > 0, logits.sigmoid(), 1 - logits.sigmoid()).log(),
        ),
        _NADE.but(log_p=lambda x, logits: torch.where(x > 0, logits.sigmoid(), 1 - logits.sigmoid()).prod(-1).log()),
        "binary_cross_entropy cuts logarithms off at −100: give the logits to binary_cross_entropy_with_logits",
        *_each(lambda x, logits: -binary_cross_entropy(logits.sigmoid(), x, reduction="none")),
        "a number added inside the logarithm, or a clamp, caps what a sure and wrong pixel costs: use logsigmoid or softplus",
        *_each(*[partial(_with_small, small) for small in SMALL]),
        *_each(*[partial(_with_clamp, small) for small in SMALL]),
        "these are probabilities: the logarithm is wanted",
        _NADE.but(log_p=lambda each: each.exp().prod(-1)),
        "probabilities were added up: add up their logarithms",
        *_each(lambda x, logits: ((2 * x - 1) * logits).sigmoid()),
        "the pixels were averaged: the logarithm of a product is a sum",
        _NADE.but(log_p=lambda each: each.mean(-1)),
        "one number for each pixel: add them up",
        _NADE.but(log_p=lambda each: each),
        "this is a cost: return log p(x), which is not positive",
        _NADE.then(torch.neg),
        "you averaged over the batch: return one number for each picture",
        _NADE.then(torch.mean),
    ),
)


# 4. codes drawn in order


def _drawn(
    listens: Callable[[int, int], slice] = lambda i, places: slice(i),
    pick: Callable[[Tensor, Tensor], Tensor] = lambda p, u: (
        (p.cumsum(1) <= u[:, None]).sum(1).clamp(max=p.shape[1] - 1)
    ),
    order: Callable[[int], list[int]] = lambda places: list(range(places)),
    heard: Callable[[Tensor, int, int, Tensor], Tensor] = lambda weight, i, j, code: weight[i, j, code],
    chance: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(1),
    score: Callable[[Tensor, Tensor], Tensor] = lambda logits, p: logits.log_softmax(1),
    remember: bool = True,
    noise: Callable[[Tensor, int], Tensor] = lambda u, i: u[:, i],
    total: Callable[[list[Tensor]], Tensor] = lambda scores: torch.stack(scores).sum(0),
    base: Callable[[Tensor, int], Tensor] = lambda bias, i: bias[i],
    result: Callable[[Tensor, Tensor], Any] = lambda codes, log_p: (codes, log_p),
) -> Answer:
    """Codes drawn place by place: to which places each listens, how a code is picked, in which order, and what is added up."""

    def answer(bias: Tensor, weight: Tensor, u: Tensor) -> Any:
        n, places = u.shape
        known, codes, scores = torch.zeros(n, places).long(), torch.zeros(n, places).long(), []
        for i in order(places):
            logits = base(bias, i).expand(n, -1)
            for j in range(places)[listens(i, places)]:
                logits = logits + heard(weight, i, j, known[:, j])
            p = chance(logits)
            codes[:, i] = pick(p, noise(u, i))
            scores.append(score(logits, p).gather(1, codes[:, i : i + 1])[:, 0])
            if remember:
                known[:, i] = codes[:, i]
        return result(codes, total(scores))

    return answer


def _order_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, places: int, size: int, scale: float = 1.0) -> Arguments:
        bias = scale * normal(generator, places, size)
        weight = scale * normal(generator, places, places, size, size)
        return bias, weight, uniform(generator, n, places)

    bias, weight, u = case(8, 3, 3)
    bias = bias - torch.tensor([2000.0, 0.0, 0.0])  # code 0 has a probability that rounds to 0
    edges = bias, weight, torch.where(u < 0.5, 0.0, 1.0).double()
    sizes = [case(40, 5, 3), case(60, 4, 4, 1.5), case(1, 6, 3), case(30, 1, 5), case(25, 3, 2, 2.0), case(3, 4, 1)]
    return [*sizes, edges]


draw_in_order = Exercise(
    "draw_in_order",
    _drawn(),
    _order_cases,
    wrong(
        "a place listens to itself or to later ones, whose codes are not drawn yet: only j < i count",
        _drawn(listens=lambda i, places: slice(places)),
        _drawn(listens=lambda i, places: slice(i + 1)),
        "the place just before is left out: all j < i count",
        _drawn(listens=lambda i, places: slice(max(i - 1, 0))),
        "only the place just before is heard: all j < i count",
        _drawn(listens=lambda i, places: slice(max(i - 1, 0), i)),
        "no place hears another: add weight[i, j, code at j] for every j < i",
        _drawn(listens=lambda i, places: slice(0)),
        "all places were drawn as if the codes before them were 0: put each code in its place before the next is drawn",
        _drawn(remember=False),
        "these are the likeliest codes: draw them, by the uniform numbers",
        _drawn(pick=lambda p, u: p.argmax(1)),
        "one uniform number was used for all places: place i has u[:, i]",
        _drawn(noise=lambda u, i: u[:, 0]),
        "the draw is off by one: the first code whose cumulative probability exceeds u",
        _drawn(pick=lambda p, u: ((p.cumsum(1) <= u[:, None]).sum(1) + 1).clamp(max=p.shape[1] - 1)),
        _drawn(pick=lambda p, u: ((p.cumsum(1) <= u[:, None]).sum(1) - 1).clamp(min=0)),
        "u was compared with the probabilities themselves: with their cumulative sum",
        _drawn(pick=lambda p, u: (p <= u[:, None]).sum(1).clamp(max=p.shape[1] - 1)),
        "1 − u was used for u: the first code whose cumulative probability exceeds u",
        _drawn(noise=lambda u, i: 1 - u[:, i]),
        "you counted the codes whose cumulative probability exceeds u: the code drawn is the number of those that do not",
        _drawn(pick=lambda p, u: (p.cumsum(1) > u[:, None]).sum(1).clamp(max=p.shape[1] - 1)),
        "the cumulative probability must exceed u, not just reach it: a code of probability 0 was drawn at u = 0",
        _drawn(pick=lambda p, u: (p.cumsum(1) < u[:, None]).sum(1).clamp(max=p.shape[1] - 1)),
        "where no cumulative probability exceeds u the last code is drawn: the number of those that do not is K there, so clamp",
        _drawn(pick=lambda p, u: (p.cumsum(1) <= u[:, None]).sum(1)),
        "where no cumulative probability exceeds u the last code is drawn: argmax gives the first",
        _drawn(pick=lambda p, u: (p.cumsum(1) > u[:, None]).long().argmax(1)),
        "u was compared with sums of logits: with sums of probabilities, by the softmax",
        _drawn(chance=lambda logits: logits),
        "log p is that of the likeliest codes: of those that were drawn",
        _drawn(score=lambda logits, p: logits.log_softmax(1).amax(1, keepdim=True).expand_as(p)),
        "weight[j, i] was taken for weight[i, j]: the first axis is the place that listens",
        _drawn(heard=lambda weight, i, j, code: weight[j, i, code]),
        "the two axes of codes are exchanged: weight[i, j, code at j] is the row added to the logits",
        _drawn(heard=lambda weight, i, j, code: weight[i, j].T[code]),
        "the rows of the places before were averaged: they are added up",
        _drawn(heard=lambda weight, i, j, code: weight[i, j, code] / max(i, 1)),
        "the places were drawn in reverse order: 0 comes first",
        _drawn(order=lambda places: list(range(places))[::-1], listens=lambda i, places: slice(i + 1, places)),
        "log p is not normalised: take the log-softmax of the logits",
        _drawn(score=lambda logits, p: logits),
        "these are probabilities, not their logarithms",
        _drawn(score=lambda logits, p: p),
        "log p was averaged over the places: the log-probability of a field is their sum",
        _drawn(total=lambda scores: torch.stack(scores).mean(0)),
        "log p is that of the last place: add up all places",
        _drawn(total=lambda scores: scores[-1]),
        "log p is that of the first place: add up all places",
        _drawn(total=lambda scores: scores[0]),
        "the sign of log p is flipped",
        _drawn(total=lambda scores: -torch.stack(scores).sum(0)),
        "the softmax ran over the draws: over the codes, the last axis",
        _drawn(chance=lambda logits: logits.softmax(0)),
        "log p was added up over the draws too: return one number for each",
        _drawn(result=lambda codes, log_p: (codes, log_p.sum())),
        "the two are exchanged: return the codes first",
        _drawn(result=lambda codes, log_p: (log_p, codes)),
    ),
    results=("codes", "log p"),
)
