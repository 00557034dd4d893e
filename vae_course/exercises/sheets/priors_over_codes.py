"""The sheet on priors over codes: rate and distortion in bits, a causal convolution, codes drawn in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from math import log
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, pad, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, normal, uniform

Change = Callable[[Tensor], Tensor]

# 1. rate and distortion, in bits per dimension

_SPLIT = Formula(
    "log_likelihood log_prior dimensions levels",
    step=lambda levels: log(levels),  # of a density on [0, 1) that is cut into `levels` pieces
    nats=lambda log_likelihood, dimensions, step: -log_likelihood / dimensions + step,
    code=lambda log_prior, dimensions: -log_prior / dimensions,
    bits=lambda: log(2),
    parts=lambda nats, code, bits: (nats / bits, code / bits),
)


def _split_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, dimensions: int, levels: int) -> Arguments:
        log_likelihood = dimensions * normal(generator, batch)
        return log_likelihood, -dimensions * (0.1 + uniform(generator, batch)), dimensions, levels

    return [case(5, 784, 256), case(1, 3072, 256), case(4, 49, 16), case(7, 12, 2), case(3, 1, 4)]


split_bits = Exercise(
    "split_bits",
    _SPLIT,
    _split_cases,
    wrong(
        "these are nats: divide by log 2 for bits",
        _SPLIT.but(bits=lambda: 1.0),
        "the distortion is that of a density: add log2(levels), what it costs to say which of the grey levels",
        _SPLIT.but(step=lambda: 0.0),
        "log(levels) has the wrong sign: a piece of width 1 / levels holds less than the density says",
        _SPLIT.but(step=lambda levels: -log(levels)),
        "log(levels) was added once a picture: every dimension is cut into levels",
        _SPLIT.but(nats=lambda log_likelihood, dimensions, step: (-log_likelihood + step) / dimensions),
        "a grey level's piece is 1 / levels wide, not 1 / (levels − 1)",
        _SPLIT.but(step=lambda levels: log(max(levels - 1, 1))),
        "the code is discrete: log(levels) belongs to the distortion alone",
        _SPLIT.but(code=lambda log_prior, dimensions, step: -log_prior / dimensions + step),
        "log(levels) belongs to the distortion, not to the rate",
        _SPLIT.but(
            nats=lambda log_likelihood, dimensions: -log_likelihood / dimensions,
            code=lambda log_prior, dimensions, step: -log_prior / dimensions + step,
        ),
        "the signs are flipped: what is likely costs few bits",
        _SPLIT.but(
            nats=lambda log_likelihood, dimensions, step: log_likelihood / dimensions + step,
            code=lambda log_prior, dimensions: log_prior / dimensions,
        ),
        _SPLIT.but(code=lambda log_prior, dimensions: log_prior / dimensions),
        _SPLIT.but(nats=lambda log_likelihood, dimensions, step: log_likelihood / dimensions + step),
        "these are bits a picture: divide by the number of dimensions",
        _SPLIT.but(
            nats=lambda log_likelihood, dimensions, step: -log_likelihood + dimensions * step,
            code=lambda log_prior: -log_prior,
        ),
        "the rate is in bits a picture, the distortion in bits per dimension: divide both",
        _SPLIT.but(code=lambda log_prior: -log_prior),
        "the two are exchanged: return the distortion first",
        _SPLIT.then(lambda parts: parts[::-1]),
        "log(levels) is in nats and was added after the division by log 2: take log2(levels), or add before",
        _SPLIT.but(
            nats=lambda log_likelihood, dimensions: -log_likelihood / dimensions,
            parts=lambda nats, code, bits, step: (nats / bits + step, code / bits),
        ),
        "log2(levels) was divided by log 2 once more",
        _SPLIT.but(step=lambda levels: log(levels) / log(2)),
        "256 levels are built in: take `levels`",
        _SPLIT.but(step=lambda: log(256)),
        "the second is the sum of both: return the rate alone",
        _SPLIT.but(parts=lambda nats, code, bits: (nats / bits, (nats + code) / bits)),
        "you averaged over the batch: return one number per picture",
        _SPLIT.then(lambda parts: tuple(part.mean() for part in parts)),
    ),
    results=("distortion", "rate"),
)


# 2. a causal convolution

_MASK = Formula(
    "kernel centre",
    down=lambda kernel: torch.arange(-(kernel // 2), kernel // 2 + 1)[:, None],  # how far below the centre
    right=lambda down: down.T,  # how far to the right of it
    seen=lambda down, right: (down < 0) | ((down == 0) & (right < 0)),
    own=lambda centre: centre,
    mask=lambda down, right, own, seen: torch.where((down == 0) & (right == 0), own, seen).double(),
)
_NO_WEIGHT = (
    "the weight is not trained: make it an nn.Parameter in __init__, or let an nn.Conv2d that is an attribute hold it"
)
_EXCHANGED = "channels_in and channels_out are exchanged: the weight is [channels_out, channels_in, kernel, kernel], and nn.Conv2d takes channels_in first"
_NO_WHOLE = "no parameter is a whole weight, [channels_out, channels_in, kernel, kernel]: the forbidden entries belong to it, without effect"
_TRAINED = "a second parameter has the size of the kernel: one weight is enough, and a mask must not be trained, so register it as a buffer"
_NO_BIAS = "the bias is missing, or no parameter: it is one number for each output channel, and trained"
_BIAS_AXES = "the bias is [channels_out], with no axis of size 1 in front: add axes where you use it"


def _behaviour(handed_in: Any) -> Answer:
    """What a convolution does, with sentences of its own for parameters that are not a weight and a bias."""
    answer = behaviour(4)(handed_in)

    @wraps(answer)
    def told(*arguments: Any) -> Any:
        if error := _of_parameters(handed_in(*arguments[:4]), *arguments[:3]):
            raise ExerciseError(error)
        return answer(*arguments)

    return told


def _of_parameters(module: nn.Module, channels_in: int, channels_out: int, kernel: int) -> str | None:
    trained = [p for p in module.parameters() if p.requires_grad]
    total, size = sum(p.numel() for p in trained), channels_out * channels_in * kernel**2
    first = {p.shape[:1] == (channels_out,) for p in trained}
    if total <= channels_out:
        return _NO_WEIGHT
    if not any(p.numel() == size and p.shape[:1] == (channels_out,) for p in trained):
        return _EXCHANGED if any(p.shape[:2] == (channels_in, channels_out) for p in trained) else _NO_WHOLE
    if sum(p.shape[-2:] == (kernel, kernel) for p in trained) > 1:
        return _TRAINED
    if total == size:
        return _NO_BIAS
    return _BIAS_AXES if total == size + channels_out and first != {True} else None


def _convolved(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    return layer._conv_forward(x, weight, layer.bias)  # type: ignore[no-any-return]


def _causal(
    mask: Answer = _MASK,
    weight: Callable[[Any], Tensor] = lambda layer: layer.weight * layer.mask,
    forward: Callable[[Any, Tensor, Tensor], Tensor] = _convolved,
    padding: Callable[[int], Any] = lambda kernel: kernel // 2,
    build: Callable[[Any], Any] = lambda layer: None,
    channels: Callable[[int, int], tuple[int, int]] = lambda made_from, made: (made_from, made),
    **options: Any,
) -> type[nn.Module]:
    """A convolution: its mask, of kernel and centre; the weight it takes; what it does with that; its padding, of the kernel;
    what is done when it is built; which channels it is built with, and which options of nn.Conv2d."""

    class CausalConvolution(nn.Conv2d):
        mask: Tensor

        def __init__(self, channels_in: int, channels_out: int, kernel: int, centre: bool) -> None:
            given = {"padding": padding(kernel), **options}
            super().__init__(*channels(channels_in, channels_out), kernel, **given)
            self.centre = centre
            self.register_buffer("mask", mask(kernel, centre))
            build(self)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x, weight(self))

    return CausalConvolution


def _masks(*masks: Answer) -> list[type[nn.Module]]:
    return [_causal(mask) for mask in masks]


def _weights(*weights: Callable[[Any], Tensor], **parts: Any) -> list[type[nn.Module]]:
    return [_causal(weight=weight, **parts) for weight in weights]


def _around(before: Change = torch.clone, after: Change = torch.clone) -> type[nn.Module]:
    """With something done to the picture or to the output."""
    return _causal(forward=lambda layer, x, weight: after(_convolved(layer, before(x), weight)))


def _triangle(triangle: Callable[[Tensor, int], Tensor], without_diagonal: int) -> list[Answer]:
    """Of places in a sequence, with the diagonal where `centre` is True, and always with it."""

    def answer(kernel: int, centre: bool, always: bool = False) -> Tensor:
        ones = torch.ones(kernel, kernel, dtype=torch.float64)
        return triangle(ones, 0 if centre or always else without_diagonal)

    return [answer, partial(answer, always=True)]


def _plain(layer: Any) -> Tensor:
    return layer.weight  # type: ignore[no-any-return]


def _masked_data(layer: Any) -> Tensor:
    layer.weight.data.mul_(layer.mask)
    return layer.weight  # type: ignore[no-any-return]


def _slices_from(axis: int) -> Callable[[Any], Tensor]:
    """The weight masked by the right slices, of two axes that begin at another one than the height."""

    def weight(layer: Any) -> Tensor:
        half = layer.kernel_size[0] // 2
        mask = torch.ones_like(layer.weight).movedim((axis, axis + 1), (0, 1))
        mask[half + 1 :] = 0
        mask[half, half + layer.centre :] = 0
        return layer.weight * mask.movedim((0, 1), (axis, axis + 1))  # type: ignore[no-any-return]

    return weight


def _with_another(*parameters: Callable[[Any], Tensor]) -> list[type[nn.Module]]:
    """With one more parameter."""

    def built_with(made: Callable[[Any], Tensor]) -> type[nn.Module]:
        return _causal(build=lambda layer: layer.register_parameter("other", nn.Parameter(made(layer))))

    return [built_with(made) for made in parameters]


def _lower(weight: Tensor) -> Tensor:
    """A triangle between output channels and input channels."""
    return torch.ones_like(weight[:, :, 0, 0]).tril()[:, :, None, None]


def _shifted(down: int, right: int) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """The picture moved, and what leaves it cut off."""
    return lambda layer, x, weight: _convolved(layer, pad(x, (right, -right, down, -down)), weight)


def _padded(left: bool, above: bool) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """All the padding on the left, or above, as for a sequence."""

    def forward(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
        half = layer.kernel_size[0] // 2
        sides = [(2 * half, 0) if one else (half, half) for one in (left, above)]
        return conv2d(pad(x, (*sides[0], *sides[1])), weight, layer.bias)

    return forward


def _causal_cases(generator: Generator) -> list[Arguments]:
    def case(channels_in: int, channels_out: int, kernel: int, centre: bool, batch: int, *sides: int) -> Arguments:
        return channels_in, channels_out, kernel, centre, normal(generator, batch, channels_in, *sides, gradient=True)

    # First where sides and output channels are as many as the kernel is wide: a mask on the picture runs there, and a
    # bias along it. Half a kernel is always less than the channels: so does a mask of these.
    return [
        case(2, 3, 3, False, 4, 3, 3),
        case(2, 3, 3, True, 4, 3, 3),
        case(3, 4, 5, False, 2, 6, 7),
        case(4, 3, 5, True, 1, 7, 6),
        case(4, 5, 7, True, 2, 7, 8),
        case(2, 4, 3, True, 1, 4, 5),
    ]


CausalConvolution = Exercise(
    "CausalConvolution",
    _causal(),
    _causal_cases,
    wrong(
        "the centre is the wrong way round: it has an effect where `centre` is True",
        *_masks(_MASK.given(centre=lambda centre: not centre)),
        "`centre` is ignored: the centre is hidden where it is False (type A) and seen where it is True (type B)",
        *_masks(_MASK.given(centre=lambda centre: True), _MASK.given(centre=lambda centre: False)),
        "rows and columns are exchanged: reading order is row by row, so whole rows are seen, not whole columns",
        *_masks(_MASK.then(torch.t)),
        *_weights(lambda layer: (layer.weight * layer.mask).mT),
        "you kept the rows below the centre: those above, row 0 the first, come before it in reading order",
        *_masks(_MASK.then(lambda mask: mask.flip(0, 1)), _MASK.then(lambda mask: mask.flip(0))),
        "0 and 1 are exchanged in the mask: 1 is for what is seen",
        *_masks(_MASK.then(lambda mask: 1 - mask)),
        "the whole row of the centre is seen: of its row only what lies to the left",
        *_masks(_MASK.but(seen=lambda down: down <= 0), _MASK.but(seen=lambda down: down <= 0, own=lambda: True)),
        "the left part of the centre's own row is missing: those pixels come before it too",
        *_masks(_MASK.but(seen=lambda down: down < 0), _MASK.but(seen=lambda down: down < 0, own=lambda: False)),
        "one place too many is seen: k² // 2 places lie before the centre, and the centre is one more only where `centre` is True",
        *_masks(
            lambda kernel, centre: (torch.arange(kernel**2).view(kernel, kernel) <= kernel**2 // 2 + centre).double()
        ),
        "one place too few is seen: a slice ends before its last number, so [:half] holds the half places left of the centre",
        *_masks(
            lambda kernel, centre: (torch.arange(kernel**2).view(kernel, kernel) < kernel**2 // 2 - 1 + centre).double()
        ),
        *_masks(_MASK.but(seen=lambda down, right: (down < 0) | ((down == 0) & (right < -1)))),
        "a row above the centre is missing: a slice ends before its last number, so [:half] holds the half rows above",
        *_masks(_MASK.but(seen=lambda down, right: (down < -1) | ((down == 0) & (right < 0)))),
        "the future is seen: mask the weight in every forward; masked in __init__ alone, it is filled again when it is set or trained",
        *_weights(_plain),
        *_masks(_MASK.but(seen=lambda: True)),
        "a mask of the gradient does not hide the future: whatever the forbidden entries hold must have no effect, so mask the weight in forward",
        *_weights(_plain, build=lambda layer: layer.weight.register_hook(lambda slope: slope * layer.mask)),
        "the rows above are missing: all of their pixels come before the centre",
        *_masks(_MASK.but(seen=lambda down, right: (down == 0) & (right < 0))),
        "of the rows above only the part to the left is seen: they come before the centre as a whole",
        *_masks(_MASK.but(seen=lambda down, right: (down <= 0) & (right < 0))),
        *_masks(_MASK.but(seen=lambda down, right: (down <= 0) & (right <= 0))),
        "every row is seen to the left of the centre: the rows above count whole, those below not at all",
        *_masks(_MASK.but(seen=lambda right: right < 0), _MASK.but(seen=lambda right: right <= 0)),
        "the rows below are seen too: they come after the centre",
        *_masks(_MASK.but(seen=lambda down, right: (down != 0) | (right < 0))),
        "this is a triangle, a mask between positions of a sequence: in a kernel the rows above the centre are seen whole",
        *_masks(*_triangle(torch.tril, -1), *_triangle(torch.triu, 1)),
        "left and right are exchanged: of the centre's own row the part to the left is seen",
        *_masks(_MASK.then(lambda mask: mask.flip(1))),
        "the mask runs along channels: its rows and columns are the last two axes of the weight, mask[:, :, row, column]",
        *_weights(_slices_from(0), _slices_from(1), lambda layer: layer.weight * _lower(layer.weight)),
        "the kernel is turned round: conv2d does not flip it, row 0 meets the row above",
        *_weights(
            lambda layer: layer.weight.flip(2, 3) * layer.mask, lambda layer: (layer.weight * layer.mask).flip(2, 3)
        ),
        "the mask was multiplied with the picture: it belongs to the weight, so that every position has its own past",
        _causal(weight=_plain, forward=lambda layer, x, weight: _convolved(layer, x * layer.mask, weight)),
        _causal(forward=lambda layer, x, weight: _convolved(layer, x * layer.mask, weight)),
        "the mask was multiplied with the output: it belongs to the weight",
        _causal(weight=_plain, forward=lambda layer, x, weight: _convolved(layer, x, weight) * layer.mask),
        _causal(forward=lambda layer, x, weight: _convolved(layer, x, weight) * layer.mask),
        "the mask was added to the weight: multiply, so that a forbidden entry counts 0",
        *_weights(lambda layer: layer.weight + layer.mask),
        "forbidden entries became −∞ or a large negative number, as before a softmax: in a sum what has no effect is 0",
        *_weights(lambda layer: layer.weight.masked_fill(layer.mask == 0, -torch.inf)),
        *_weights(lambda layer: layer.weight.masked_fill(layer.mask == 0, -1e9)),
        "the weight was divided by how many places are seen: the output is their sum, no mean",
        *_weights(lambda layer: layer.weight * layer.mask / layer.mask.sum()),
        "shifting the picture does not hide the future: the entries of the weight that see it must have no effect",
        *[_causal(weight=_plain, forward=_shifted(*by)) for by in ((1, 0), (0, 1), (1, 1))],
        "the output is right, but gradients reach forbidden entries: the product of weight and mask must be part of the graph, not written into .data",
        *_weights(_masked_data),
        "no gradient reaches the weight: multiply it by the mask as it is, not its .data, and make no new nn.Parameter in forward",
        *_weights(lambda layer: layer.weight.detach() * layer.mask),
        "no gradient reaches the parameters: the output was detached, or made without a graph",
        _around(after=torch.detach),
        "no gradient flows back to the picture x: the layers below would learn nothing",
        _around(before=torch.detach),
        _NO_WEIGHT,
        _causal(build=lambda layer: layer.weight.requires_grad_(False)),
        _EXCHANGED,
        _causal(channels=lambda made_from, made: (made, made_from)),
        _NO_WHOLE,
        *[_causal(channels=lambda made_from, made: (1, made)), _causal(channels=lambda made_from, made: (1, 1))],
        _TRAINED,
        *_with_another(lambda layer: layer.mask, lambda layer: layer.mask[None, None], lambda layer: 1 * layer.weight),
        _NO_BIAS,
        _causal(bias=False),
        _BIAS_AXES,
        _causal(build=lambda layer: setattr(layer, "bias", nn.Parameter(layer.bias[None, :, None, None]))),
        "the bias is not added: conv2d takes it as its third argument",
        _causal(forward=lambda layer, x, weight: layer._conv_forward(x, weight, None)),
        "the bias is a single number: each output channel has its own",
        _causal(
            build=lambda layer: layer.register_parameter("bias", nn.Parameter(layer.bias[:1].detach())),
            forward=lambda layer, x, weight: layer._conv_forward(x, weight, None) + layer.bias,
        ),
        "the bias counts twice: conv2d adds it already",
        _causal(forward=lambda layer, x, weight: _convolved(layer, x, weight) + layer.bias[:, None, None]),
        "the bias runs along height or width: it has one number for each output channel, so add it as [channels_out, 1, 1]",
        _causal(forward=lambda layer, x, weight: layer._conv_forward(x, weight, None) + layer.bias),
        _causal(forward=lambda layer, x, weight: layer._conv_forward(x, weight, None) + layer.bias[:, None]),
        "padding is missing: with kernel // 2 zeros on every side the output is as large as the picture",
        _causal(padding=lambda kernel: 0),
        "there is too much padding: kernel // 2 zeros on every side",
        *[
            _causal(padding=size)
            for size in (lambda kernel: kernel, lambda kernel: kernel - 1, lambda kernel: kernel // 2 + 1)
        ],
        "the padding is right for one kernel only: kernel // 2 zeros on every side",
        *[_causal(padding=lambda kernel: 1), _causal(padding=lambda kernel: 2)],
        "only two sides are padded: kernel // 2 zeros above and below, left and right",
        *[_causal(padding=lambda kernel: (kernel // 2, 0)), _causal(padding=lambda kernel: (0, kernel // 2))],
        "you padded one side for two, above or on the left, as for a sequence, so that the output is shifted: pad all sides alike",
        *[_causal(forward=_padded(*sides)) for sides in ((True, True), (False, True), (True, False))],
        *[_causal(weight=_plain, forward=_padded(*sides)) for sides in ((True, True), (False, True))],
        "the border is not zero: pad with zeros, not with a copy of the picture",
        *[_causal(padding_mode=mode) for mode in ("reflect", "replicate", "circular")],
        "an activation follows: the convolution alone is asked for, its output may be any number",
        *[_around(after=a) for a in (torch.relu, torch.tanh, torch.sigmoid, silu)],
        "an activation comes first: the picture goes into the convolution as it is",
        *[_around(before=a) for a in (torch.relu, silu)],
    ),
    results=RESULTS,
    prepare=_behaviour,
)


# 3. codes drawn in order


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

    return [case(40, 5, 3), case(60, 4, 4, 1.5), case(1, 6, 3), case(30, 1, 5), case(25, 3, 2, 2.0), case(3, 4, 1)]


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
