"""The sheet on priors over codes: rate and distortion in bits, a causal convolution, codes completed."""

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

    dense = torch.tensor([6.0 * 49, 4.0 * 49], dtype=torch.float64), *case(2, 49, 16)[1:]  # costs fewer than no bits
    return [case(5, 784, 256), case(1, 3072, 256), case(4, 49, 16), case(7, 12, 2), case(3, 1, 4), dense]


split_bits = Exercise(
    "split_bits",
    _SPLIT,
    _split_cases,
    wrong(
        "these are nats: divide by log 2 for bits",
        _SPLIT.but(bits=lambda: 1.0),
        "you multiplied by log 2: a nat is 1 / log 2 bits, so divide",
        _SPLIT.but(bits=lambda: 1 / log(2)),
        "you divided by log(levels), the unit of digits with `levels` values: bits take log 2",
        _SPLIT.but(bits=lambda levels: log(levels)),
        _SPLIT.but(parts=lambda nats, code, bits, levels: (nats / bits, code / log(levels))),
        "the distortion was cut off at 0, or its sign taken away: where the density is high it is negative",
        _SPLIT.but(parts=lambda nats, code, bits: ((nats / bits).clamp(min=0), code / bits)),
        _SPLIT.but(parts=lambda nats, code, bits: ((nats / bits).abs(), code / bits)),
        "the distortion is that of a density: add log2(levels), what it costs to say which of the grey levels",
        _SPLIT.but(step=lambda: 0.0),
        "log(levels) has the wrong sign: a piece of width 1 / levels holds less than the density says",
        _SPLIT.but(step=lambda levels: -log(levels)),
        "log(levels) was added once a picture: every dimension is cut into levels",
        _SPLIT.but(nats=lambda log_likelihood, dimensions, step: (-log_likelihood + step) / dimensions),
        "log2(levels) was added `dimensions` times to bits per dimension: once",
        _SPLIT.but(nats=lambda log_likelihood, dimensions, step: -log_likelihood / dimensions + dimensions * step),
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
        _SPLIT.but(nats=lambda log_likelihood, step: -log_likelihood + step, code=lambda log_prior: -log_prior),
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
        "the first is the sum of both: return the distortion alone",
        _SPLIT.but(parts=lambda nats, code, bits: ((nats + code) / bits, code / bits)),
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


# 3. codes completed, and what the codes drawn have not heard

Rows = Callable[[Tensor, Tensor, int, int, Tensor, Tensor], Tensor]


def _first_above(p: Tensor, u: Tensor) -> Tensor:
    """The first code whose cumulative probability exceeds u."""
    return (p.cumsum(1) <= u[:, None]).sum(1).clamp(max=p.shape[1] - 1)


def _neighbours(
    beside: bool = True,
    over: bool = True,
    edge: bool = False,
    wrap: tuple[bool, bool] = (False, False),
    only: Callable[[Tensor], Tensor] | None = None,
) -> Rows:
    """What is added to the bias: the rows of the left neighbour (`beside`) and of that above (`over`).

    edge: a missing neighbour counts as code 0; wrap: an index of −1 is used for it; only: which neighbours count, of whether
    they are unknown.
    """

    def rows(codes: Tensor, unknown: Tensor, r: int, c: int, left: Tensor, above: Tensor) -> Tensor:
        total = torch.zeros(len(codes), len(left), dtype=left.dtype)
        for wanted, table, at, there, around in (
            (beside, left, (r, c - 1), c > 0, wrap[0]),
            (over, above, (r - 1, c), r > 0, wrap[1]),
        ):
            if wanted and (there or around):
                row = table[codes[:, at[0], at[1]]]
                total = total + (row if only is None else row * only(unknown[:, at[0], at[1]])[:, None])
            elif wanted and edge:
                total = total + table[0]
        return total

    return rows


def _from_the_row_above(codes: Tensor, unknown: Tensor, r: int, c: int, left: Tensor, above: Tensor) -> Tensor:
    """The left neighbour of the first column taken from the end of the row above."""
    total = _neighbours()(codes, unknown, r, c, left, above)
    return total + left[codes[:, r - 1, -1]] if c == 0 and r > 0 else total


def _transposed(beside: bool, over: bool) -> Rows:
    return lambda codes, unknown, r, c, left, above: _neighbours()(
        codes, unknown, r, c, left.T if beside else left, above.T if over else above
    )


Parts = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _of_drawn_and_known(scores: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
    """log q, of what was drawn, and log w = log p − log q, which leaves what is known."""
    return torch.where(unknown, scores, 0.0).flatten(1).sum(1), torch.where(unknown, 0.0, scores).flatten(1).sum(1)


def _then_parts(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Parts:
    return lambda scores, unknown: change(*_of_drawn_and_known(scores, unknown))


def _completed(
    rows: Rows = _neighbours(),  # noqa: B008
    hears: Callable[[Tensor, Tensor], Tensor] = lambda codes, known: codes,
    place: Callable[[Tensor, Tensor, Tensor], Tensor] = torch.where,
    pick: Callable[[Tensor, Tensor], Tensor] = _first_above,
    noise: Callable[[Tensor, int, int], Tensor] = lambda u, r, c: u[:, r, c],
    base: Callable[[Tensor], Tensor] = lambda bias: bias,
    chance: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(1),
    score: Callable[[Tensor, Tensor], Tensor] = lambda logits, p: logits.log_softmax(1),
    parts: Parts = _of_drawn_and_known,
    result: Callable[[Tensor, Tensor, Tensor], Any] = lambda codes, log_q, log_w: (codes, log_q, log_w),
) -> Answer:
    """Fields gone through in reading order: what a place hears, of which field; what is put there, of (unknown, drawn, known);
    how a code is picked; and what the scores of all places become."""

    def answer(bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor) -> Any:
        codes, unknown, scores = known.clone(), known < 0, torch.zeros_like(u)
        for r in range(known.shape[1]):
            for c in range(known.shape[2]):
                logits = base(bias) + rows(hears(codes, known), unknown, r, c, left, above)
                p = chance(logits)
                codes[:, r, c] = place(unknown[:, r, c], pick(p, noise(u, r, c)), known[:, r, c])
                at = codes[:, r, c].clamp(min=0)
                scores[:, r, c] = score(logits, p).gather(1, at[:, None])[:, 0]
        return result(codes, *parts(scores, unknown))

    return answer


def _put_in_last(bias: Tensor, left: Tensor, above: Tensor, known: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whole fields drawn, and the known codes put into them afterwards."""
    codes, log_q, log_w = _completed()(bias, left, above, torch.full_like(known, -1), u)
    return torch.where(known < 0, codes, known), log_q, log_w


def _complete_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, height: int, width: int, size: int, share: float, scale: float = 1.0) -> Arguments:
        bias, left, above = (scale * normal(generator, *shape) for shape in ((size,), (size, size), (size, size)))
        codes = torch.randint(size, (n, height, width), generator=generator)
        known = torch.where(uniform(generator, n, height, width) < share, codes, -1)
        return bias, left, above, known, uniform(generator, n, height, width)

    bias, left, above, known, u = case(8, 2, 3, 3, 0.3)
    bias = torch.cat(
        [bias[:1] - 2000, bias[1:]]
    )  # code 0 has a probability that rounds to 0, and is not among the known
    edges = bias, left, above, torch.where(known == 0, 1, known), torch.where(u < 0.5, 0.0, 1.0).double()
    return [
        case(40, 4, 4, 3, 0.5),
        case(25, 3, 5, 4, 0.4, 1.5),
        case(30, 5, 2, 3, 0.6, 2.0),
        case(1, 4, 3, 5, 0.5),
        case(12, 3, 3, 3, 0.0),  # nothing is known
        case(12, 3, 3, 3, 1.1),  # all is known
        case(8, 1, 1, 4, 0.5),
        edges,
    ]


complete_codes = Exercise(
    "complete_codes",
    _completed(),
    _complete_cases,
    wrong(
        "the known codes were drawn anew: keep them, and draw where `known` is −1",
        _completed(place=lambda unknown, drawn, known: drawn),
        _completed(
            place=lambda unknown, drawn, known: drawn,
            parts=lambda scores, unknown: (scores.flatten(1).sum(1), torch.zeros_like(scores[:, 0, 0])),
        ),
        "the known codes were put in at the end: what comes after them must hear them, so put each in as its place comes",
        _put_in_last,
        "a known code 0 was drawn anew: known are all codes from 0 up",
        lambda bias, left, above, known, u: _completed()(bias, left, above, torch.where(known > 0, known, -1), u),
        "known and unknown are exchanged: draw where `known` is −1, keep what is 0 or more",
        _completed(place=lambda unknown, drawn, known: torch.where(unknown, known, drawn)),
        "a place heard −1, which indexes the last row of a table: put each draw into the field before the next place is looked at",
        _completed(hears=lambda codes, known: known),
        "the draws were heard as code 0: put each into the field before the next place is looked at",
        _completed(hears=lambda codes, known: known.clamp(min=0)),
        "a neighbour that was drawn is not heard: it counts like a known one",
        _completed(rows=_neighbours(only=lambda unknown: ~unknown)),
        "a neighbour that is known is not heard: it counts like one that was drawn",
        _completed(rows=_neighbours(only=lambda unknown: unknown)),
        "left and above are exchanged: `left` is for the code before in the same row",
        _completed(rows=lambda codes, unknown, r, c, left, above: _neighbours()(codes, unknown, r, c, above, left)),
        "the axes of a table are exchanged: left[k] is the row that a left neighbour k adds to the logits",
        *[_completed(rows=_transposed(*which)) for which in ((True, True), (True, False), (False, True))],
        "a missing neighbour was taken for code 0: at the border nothing is added",
        _completed(rows=_neighbours(edge=True)),
        "an index of −1 wraps round to the other side of the field: at the border nothing is added",
        *[_completed(rows=_neighbours(wrap=wrap)) for wrap in ((True, True), (True, False), (False, True))],
        "the end of the row above was taken for the left neighbour of a first column: there nothing is added",
        _completed(rows=_from_the_row_above),
        "the neighbour above is not heard",
        _completed(rows=_neighbours(over=False)),
        "the left neighbour is not heard",
        _completed(rows=_neighbours(beside=False)),
        "no neighbour is heard: the bias alone gives every place the same probabilities",
        _completed(rows=_neighbours(beside=False, over=False)),
        "the bias is missing: every place adds it",
        _completed(base=torch.zeros_like),
        "these are the likeliest codes: draw them, by the uniform numbers",
        _completed(pick=lambda p, u: p.argmax(1)),
        "u was compared with the probabilities themselves: with their cumulative sum",
        _completed(pick=lambda p, u: (p <= u[:, None]).sum(1).clamp(max=p.shape[1] - 1)),
        "the draw is off by one: the first code whose cumulative probability exceeds u",
        _completed(pick=lambda p, u: (_first_above(p, u) + 1).clamp(max=p.shape[1] - 1)),
        _completed(pick=lambda p, u: (_first_above(p, u) - 1).clamp(min=0)),
        "1 − u was used for u: the first code whose cumulative probability exceeds u",
        _completed(noise=lambda u, r, c: 1 - u[:, r, c]),
        "the cumulative probability must exceed u, not just reach it: a code of probability 0 was drawn at u = 0",
        _completed(pick=lambda p, u: (p.cumsum(1) < u[:, None]).sum(1).clamp(max=p.shape[1] - 1)),
        "where no cumulative probability exceeds u the last code is drawn: the number of those that do not is K there, so clamp",
        _completed(pick=lambda p, u: (p.cumsum(1) <= u[:, None]).sum(1)),
        "where no cumulative probability exceeds u the last code is drawn: argmax gives the first",
        _completed(pick=lambda p, u: (p.cumsum(1) > u[:, None]).long().argmax(1)),
        "u was compared with sums of logits: with sums of probabilities, by the softmax",
        _completed(chance=lambda logits: logits),
        "one uniform number was used for all places: each has its own",
        _completed(noise=lambda u, r, c: u[:, 0, 0]),
        "log q is that of all codes: of those that were drawn alone",
        _completed(parts=_then_parts(lambda drawn, known: (drawn + known, known))),
        "log w is log p(z), that of all codes: subtract log q, and what is known stays",
        _completed(parts=_then_parts(lambda drawn, known: (drawn, drawn + known))),
        "log q is that of all codes, and log w 0: a known code is not drawn, so it does not belong to q",
        _completed(parts=_then_parts(lambda drawn, known: (drawn + known, 0 * known))),
        "log q was subtracted once more: log w = log p(z) − log q, and log p(z) holds it too",
        _completed(parts=_then_parts(lambda drawn, known: (drawn, known - drawn))),
        "log q and log w are exchanged: q is for the codes drawn",
        _completed(parts=_then_parts(lambda drawn, known: (known, drawn))),
        "log w has the wrong sign: it is log p(z) − log q",
        _completed(parts=_then_parts(lambda drawn, known: (drawn, -known))),
        "log q has the wrong sign: it is the logarithm of a probability",
        _completed(parts=_then_parts(lambda drawn, known: (-drawn, known))),
        "log w is 0, as if the fields followed p(z | known): log p(z) − log q leaves the known codes",
        _completed(parts=_then_parts(lambda drawn, known: (drawn, 0 * known))),
        "the weights were normalised over the fields: their mean is the probability of the known codes, so leave them as they are",
        _completed(parts=_then_parts(lambda drawn, known: (drawn, known.log_softmax(0)))),
        "the signs are flipped: these are costs, and logarithms of probabilities are wanted",
        _completed(parts=_then_parts(lambda drawn, known: (-drawn, -known))),
        "these are q and w themselves: return their logarithms",
        _completed(parts=_then_parts(lambda drawn, known: (drawn.exp(), known.exp()))),
        "probabilities were added up: add up their logarithms",
        _completed(score=lambda logits, p: p),
        "a log-probability is not normalised: take the log-softmax of the logits",
        _completed(score=lambda logits, p: logits),
        "the places were averaged: the logarithm of a product is a sum",
        _completed(
            parts=lambda scores, unknown: _of_drawn_and_known(scores / scores[0].numel(), unknown),
        ),
        _completed(
            parts=lambda scores, unknown: tuple(  # type: ignore[arg-type,return-value]
                (scores * which).flatten(1).sum(1) / which.flatten(1).sum(1).clamp(min=1)
                for which in (unknown, ~unknown)
            ),
        ),
        "the softmax ran over the fields: over the codes, the last axis",
        _completed(chance=lambda logits: logits.softmax(0)),
        "this is the logarithm of the mean weight: return one log w for each field",
        _completed(
            result=lambda codes, log_q, log_w: (
                codes,
                log_q,
                (log_w.logsumexp(0) - log(len(log_w))).expand(len(log_w)),
            )
        ),
        _completed(result=lambda codes, log_q, log_w: (codes, log_q, log_w.logsumexp(0) - log(len(log_w)))),
        "log q and log w were added up over the fields too: return one number for each",
        _completed(result=lambda codes, log_q, log_w: (codes, log_q.sum(), log_w.sum())),
        "the order of the results is another: return the codes, log q, log w",
        _completed(result=lambda codes, log_q, log_w: (log_q, log_w, codes)),
    ),
    results=("codes", "log q", "log w"),
)
