"""The sheet on convolutional VAEs: sizes, the sum itself, receptive fields, a mirrored decoder, pictures of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce, wraps
from itertools import accumulate, pairwise, product
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import (
    adaptive_avg_pool2d,
    avg_pool2d,
    elu,
    gelu,
    hardswish,
    interpolate,
    leaky_relu,
    max_pool2d,
    mish,
    pad,
    relu6,
    selu,
    silu,
    softplus,
)

from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.modules import LEFT_BEHIND, RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, SumOf, normal


def _whole(generator: Generator, low: int, high: int, *shape: int) -> Tensor:
    """Whole numbers from low to high, both included."""
    return torch.randint(low, high + 1, shape, generator=generator)


# 1. the size that a layer leaves

_SIZE = Formula(
    "size kernel stride padding",
    room=lambda size, kernel, padding: size + 2 * padding - kernel,
    steps=lambda room, stride: room // stride,
    places=lambda steps: steps + 1,
)


def _size_cases(generator: Generator) -> list[Arguments]:
    layers = [(3, 2, 1), (4, 2, 1), (5, 3, 2), (7, 4, 3), (2, 5, 0), (3, 1, 1), (1, 1, 0), (6, 3, 0)]
    runs = [(_whole(generator, 10, 60, 1) + torch.arange(8), *layer) for layer in layers]
    return [*runs, (torch.tensor([28]), 3, 2, 1), (torch.tensor([3, 4, 1000]), 5, 4, 1)]


output_size = Exercise(
    "output_size",
    _SIZE,
    _size_cases,
    wrong(
        "the + 1 is missing: a kernel of the picture's size has one place, not none",
        _SIZE.but(places=lambda steps: steps),
        "the padding counts once here: it is added on both sides, 2 · padding",
        _SIZE.but(room=lambda size, kernel, padding: size + padding - kernel),
        "the padding is missing: it adds 2 · padding to the size",
        _SIZE.but(room=lambda size, kernel: size - kernel),
        "you rounded up: a kernel that would leave the padded picture has no place, so round down",
        _SIZE.but(steps=lambda room, stride: (room / stride).ceil().long()),
        _SIZE.but(steps=lambda room, stride: -(-room // stride)),
        "the numbers are right, but floats: return int64, with // or .long()",
        _SIZE.but(steps=lambda room, stride: (room / stride).floor()),
        "the padding was subtracted: it makes the picture larger",
        _SIZE.but(room=lambda size, kernel, padding: size - 2 * padding - kernel),
        "you rounded to the nearest whole number: a place that is not whole does not count, so round down",
        _SIZE.but(steps=lambda room, stride: (room / stride).round().long()),
        _SIZE.but(steps=lambda room, stride: (room / stride + 0.5).long()),
        "this is a true division, which leaves fractions: a size is whole; // rounds down and keeps int64",
        _SIZE.but(steps=lambda room, stride: room / stride),
        "the + 1 stands before the division: it counts the first place, after the steps of length stride",
        _SIZE.but(places=lambda room, stride: (room + 1) // stride),
        "the + 1 is subtracted, or counted twice: the first place is one more than the steps",
        *_SIZE.each(places=[lambda steps: steps - 1, lambda steps: steps + 2]),
        "the number that you divide is one too large: subtract kernel, not kernel − 1; the + 1 comes after the division",
        _SIZE.given(kernel=lambda k: k - 1),
        "you subtracted kernel + 1: the last place begins `kernel` before the end, so subtract kernel alone",
        _SIZE.given(kernel=lambda k: k + 1),
        "the kernel was added: it needs room, so it is subtracted",
        _SIZE.given(kernel=lambda k: -k),
        "the kernel is missing: its last place begins kernel rows before the end",
        _SIZE.given(kernel=lambda k: 0),
        "the stride is missing: divide by it, before the + 1",
        _SIZE.but(steps=lambda room: room),
        "this is the size at stride 1 without padding: both count",
        _SIZE.but(steps=lambda size, kernel: size - kernel),
        "dividing by the stride is not enough: kernel and padding count too",
        *_SIZE.each(places=[lambda size, stride: size // stride, lambda size, stride: -(-size // stride)]),
        _SIZE.but(room=lambda size: size),
        "you rounded each term by itself: add and subtract first, then divide and round once",
        lambda n, k, s, p: n // s + 2 * p // s - k // s + 1,
        "brackets: the stride divides the size as well",
        *[lambda n, k, s, p: n + (2 * p - k) // s + 1, lambda n, k, s, p: n + 2 * p - k // s + 1],
        "brackets: you divided by stride + 1; divide by the stride, and add 1 to the result",
        _SIZE.but(places=lambda room, stride: room // (stride + 1)),
        "the padding was added after the division: it belongs to the picture, before the division",
        lambda n, k, s, p: (n - k) // s + 2 * p + 1,
        "you took another padding, 1 or half the kernel: it is an argument, and stands on both sides, 2 · padding",
        _SIZE.given(padding=lambda p: 1),
        _SIZE.but(room=lambda size, kernel: size + 2 * (kernel // 2) - kernel),
        "two arguments are exchanged: kernel, stride and padding come in this order",
        lambda n, k, s, p: _SIZE(n, s, k, p),
        lambda n, k, s, p: _SIZE(n, p, s, k),
        lambda n, k, s, p: _SIZE(n, k, p, s),
        "this is the size that a transposed convolution makes: here a convolution is asked for",
        lambda n, k, s, p: (n - 1) * s - 2 * p + k,
    ),
)


# 2. a convolution from its sum


def _correlate(x: Tensor, weight: Tensor) -> Tensor:
    height, width = weight.shape[2:]
    patches = x.unfold(2, height, 1).unfold(3, width, 1)  # [batch, channels, i, j, a, b]: x(i + a, j + b)
    return torch.einsum("ncijab,ocab->noij", patches, weight)


def _padded(x: Tensor, weight: Tensor, less: int) -> Tensor:
    """The sum over a picture with half a kernel of zeros around it, or with a row and column less there."""
    height, width = weight.shape[2:]
    return _correlate(pad(x, ((width - less) // 2, width // 2, (height - less) // 2, height // 2)), weight)


def _last_entry(weight: Tensor) -> Tensor:
    """Kernels with zeros in the place of every entry but the last."""
    return pad(weight[..., -1:, -1:], (weight.shape[3] - 1, 0, weight.shape[2] - 1, 0))


_CONVOLUTION = SumOf("x weight bias", products=_correlate, bias_of_map=lambda bias: bias[:, None, None])
_LOOP = Formula(  # over the entries (a, b) of a kernel
    "x weight bias",
    rows=lambda x, weight: x.shape[2] - weight.shape[2] + 1,
    columns=lambda x, weight: x.shape[3] - weight.shape[3] + 1,
    part=lambda x, rows, columns: lambda a, b: x[:, :, a : a + rows, b : b + columns],
    entry=lambda weight: lambda a, b: weight[:, :, a, b],
    axes=lambda: "nchw,oc->nohw",
    term=lambda axes, part, entry: lambda a, b: torch.einsum(axes, part(a, b), entry(a, b)),
    start=lambda bias: bias[:, None, None],
    total=lambda weight, term, start: sum((term(a, b) for a, b in product(*map(range, weight.shape[2:]))), start=start),
)
_FROM_ZEROS = _LOOP.but(
    start=lambda x, bias, rows, columns: x.new_zeros(len(x), len(bias), rows, columns),
    with_bias=lambda total, bias: total + bias[:, None, None],
)


def _looped(**step: Step) -> list[Formula]:
    """A loop with another step, from the bias on and from zeros: where it fails tells the error."""
    return [_LOOP.but(**step), _FROM_ZEROS.but(**step)]


def _convolve_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, inputs: int, outputs: int, kernel: tuple[int, int], result: tuple[int, int]) -> Arguments:
        height, width = (k + r - 1 for k, r in zip(kernel, result, strict=True))
        shapes = [(batch, inputs, height, width), (outputs, inputs, *kernel), (outputs,)]
        return tuple(normal(generator, *shape, gradient=True) for shape in shapes)

    # Where the result has as many rows and columns as maps, a bias along the wrong axis runs.
    square = [case(2, 3, 4, (2, 3), (4, 4)), case(1, 1, 3, (3, 3), (3, 3)), case(3, 2, 2, (1, 2), (2, 2))]
    return [*square, case(2, 3, 1, (3, 3), (1, 1)), case(2, 2, 3, (3, 2), (4, 5))]


convolve = Exercise(
    "convolve",
    _CONVOLUTION,
    _convolve_cases,
    wrong(
        "your kernel is flipped: torch's convolution is a cross-correlation, w(a, b) meets x(i + a, j + b)",
        _CONVOLUTION.given(weight=lambda w: w.flip(2, 3)),
        "your kernel is upside down: its row a meets row i + a of the picture",
        _CONVOLUTION.given(weight=lambda w: w.flip(2)),
        "your kernel is reversed from left to right: its column b meets column j + b of the picture",
        _CONVOLUTION.given(weight=lambda w: w.flip(3)),
        "your kernel is transposed: its first index runs down the picture, its second to the right",
        _CONVOLUTION.given(weight=lambda w: w.transpose(2, 3)),
        "a and b are exchanged in the kernel's index: weight[o, c, a, b], whose a runs down the picture and b to the right",
        *_looped(entry=lambda weight: lambda a, b: weight[:, :, b, a]),
        "a and b are exchanged in the picture's slice: a moves it down, axis 2, and b to the right, axis 3",
        *_looped(part=lambda x, rows, columns: lambda a, b: x[:, :, b : b + rows, a : a + columns]),
        "a slice must be as large as the result, rows from a to a + height − k + 1: yours ends elsewhere",
        *_looped(part=lambda x, rows, columns: lambda a, b: x[:, :, a:rows, b:columns]),
        *_looped(part=lambda x: lambda a, b: x[:, :, a:, b:]),
        "the first two axes of the weight are exchanged: it is [out, in, k, l], weight[o, c] for map o and channel c",
        *_looped(axes=lambda: "nchw,co->nohw"),
        "you added the bias in every term of the sum: each map has one, added once to the whole sum",
        _CONVOLUTION.but(bias_of_map=lambda weight, bias: weight[0].numel() * bias[:, None, None]),
        "you added the bias once for every input channel: each map has one, added after the sum over the channels",
        _CONVOLUTION.but(bias_of_map=lambda weight, bias: weight.shape[1] * bias[:, None, None]),
        "you added the bias once for every entry of a kernel: each map has one, added after the sum over a and b",
        _CONVOLUTION.but(bias_of_map=lambda weight, bias: weight[0, 0].numel() * bias[:, None, None]),
        "the bias is missing: bias[o] is added to every entry of map o",
        _CONVOLUTION.times(bias_of_map=0),
        "the bias was subtracted: it is added",
        _CONVOLUTION.times(bias_of_map=-1),
        "the bias runs along the width: it belongs to the maps, bias[:, None, None]",
        _CONVOLUTION.but(bias_of_map=lambda bias: bias),
        "the bias runs along the height: it belongs to the maps, bias[:, None, None]",
        _CONVOLUTION.but(bias_of_map=lambda bias: bias[:, None]),
        "you averaged over the channels: the convolution is a sum over them",
        _CONVOLUTION.given(weight=lambda w: w / w.shape[1]),
        "you averaged over the entries of a kernel: the convolution is a sum over a and b",
        _CONVOLUTION.given(weight=lambda w: w / w[0, 0].numel()),
        "you averaged over channels and kernel entries: the convolution is a sum over c, a and b",
        _CONVOLUTION.given(weight=lambda w: w / w[0].numel()),
        "only the first input channel counts here: sum over all of them",
        _CONVOLUTION.given(x=lambda x: x[:, :1], weight=lambda w: w[:, :1]),
        "each pass of a loop replaced the sum instead of adding to it: only its last pass is left",
        _CONVOLUTION.given(x=lambda x: x[:, -1:], weight=lambda w: w[:, -1:]),
        _CONVOLUTION.given(weight=_last_entry),
        _CONVOLUTION.given(x=lambda x: x[:, -1:], weight=lambda w: _last_entry(w[:, -1:])),
        "every channel met the kernel of the first one: map o has a kernel for each input channel, weight[o, c]",
        _CONVOLUTION.given(weight=lambda w: w[:, :1].expand_as(w)),
        "every map was made with the kernels of the first one: map o has its own, weight[o]",
        _CONVOLUTION.given(weight=lambda w: w[:1].expand_as(w)),
        "your indices run round the edge of the picture: where the kernel would leave it, there is no output",
        _LOOP.but(part=lambda x: lambda a, b: x.roll((-a, -b), (2, 3))),
        "you took x(i − a, j − b), and negative indices count from the other edge: the sum has x(i + a, j + b)",
        _LOOP.but(part=lambda x, rows, columns: lambda a, b: x.roll((a, b), (2, 3))[:, :, :rows, :columns]),
        "you padded the picture to keep its size: without padding height − k + 1 rows remain",
        _CONVOLUTION.but(products=lambda x, weight: _padded(x, weight, less=1)),
        _CONVOLUTION.but(products=lambda x, weight: _padded(x, weight, less=0)),
        "the last row and column are missing: a kernel has height − k + 1 places, not height − k",
        _CONVOLUTION.then(lambda y: y[..., :-1, :-1]),
        "the last row, or the last column, is missing: a kernel has height − k + 1 places down and width − l + 1 across",
        *map(_CONVOLUTION.then, (lambda y: y[..., :-1, :], lambda y: y[..., :-1])),
        "the numbers are right, but no gradient flows back: something was detached, or made anew from numbers",
        _CONVOLUTION.then(torch.detach),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
)


# 3. the receptive field of a stack of layers


def _shifted(of_layers: Tensor, first: int = 1) -> Tensor:
    """What belongs to the layer before, and something else for the first."""
    return pad(of_layers[:-1], (1, 0), value=first)


_FIELD = Formula(
    "kernels strides",
    products=lambda strides: strides.cumprod(0),
    steps=lambda products: _shifted(products),
    widths=lambda kernels, steps: (kernels - 1) * steps,
    field=lambda widths: 1 + widths.sum(),
)
_BY_LATER = _FIELD.but(steps=lambda products: products[-1] // products)  # by the strides of the layers after


def _field_cases(generator: Generator) -> list[Arguments]:
    short = [([3], [2]), ([4, 4, 4, 3], [2, 2, 2, 1]), ([3, 5, 2, 7], [3, 1, 4, 2])]
    listed = [*short, ([5, 1, 3], [1, 2, 3]), ([3] * 12, [2] * 12), ([7, 2], [1, 1])]
    drawn = [(_whole(generator, 2, 7, n), _whole(generator, 1, 3, n)) for n in (3, 5)]
    return [*[(torch.tensor(kernels), torch.tensor(strides)) for kernels, strides in listed], *drawn]


receptive_field = Exercise(
    "receptive_field",
    _FIELD,
    _field_cases,
    wrong(
        "the strides are missing: after a stride of 2, one step to a neighbour is two steps in the picture",
        _FIELD.given(strides=torch.ones_like),
        "this is the sum of the kernels: neighbouring kernels overlap, and the strides are missing",
        _FIELD.but(field=lambda kernels: kernels.sum()),
        "your product includes the layer's own stride: only the layers before it stretch its steps",
        _FIELD.but(steps=lambda products: products),
        "a kernel of k entries makes k − 1 steps: you counted k",
        _FIELD.given(kernels=lambda k: k + 1),
        _FIELD.but(field=lambda kernels, steps: kernels @ steps),
        "a kernel of k entries makes k − 1 steps: you counted k − 2 or k + 1",
        *[_FIELD.given(kernels=lambda k: k - 1), _FIELD.given(kernels=lambda k: k + 2)],
        "the strides are in the wrong order: a layer's steps are stretched by the layers before it, the first comes first",
        _FIELD.given(strides=lambda s: s.flip(0)),
        "you multiplied by the strides of the later layers: the earlier ones stretch a layer's steps",
        _BY_LATER,
        "the kernels are in the wrong order: the first entry is that of the first layer",
        _FIELD.given(kernels=lambda k: k.flip(0)),
        "the 1 is missing: the output itself is one pixel wide before any kernel widens it",
        _FIELD.then(lambda field: field - 1),
        "the field is one too large: it begins with 1, the output itself, and each kernel adds k − 1 steps",
        _FIELD.then(lambda field: field + 1),
        "this is the product of the kernels: kernels add, and strides multiply",
        _FIELD.but(field=lambda kernels: kernels.prod()),
        "this is the product of the strides, the distance between neighbours: the field counts the kernels too",
        _FIELD.but(field=lambda strides: strides.prod()),
        "each layer has the stride of the one before it alone: all layers before it stretch its steps, a product",
        _FIELD.but(steps=lambda strides: _shifted(strides)),
        "each layer has its own stride here: it takes the product of the strides before it",
        _FIELD.but(steps=lambda strides: strides),
        "every layer has the product of all strides here: each takes that of the layers before it",
        _FIELD.but(steps=lambda strides: strides.prod()),
        "the strides were added: a stride of 2 after one of 2 makes steps of 4, so they multiply",
        _FIELD.but(steps=lambda strides: _shifted(strides).cumsum(0)),
        _FIELD.but(steps=lambda strides: _shifted(strides.cumsum(0))),
        "a row of r outputs spans (r − 1) · stride + kernel inputs: you took r · stride + kernel",
        *[f.but(field=lambda products, kernels, steps: products[-1] + kernels @ steps) for f in (_FIELD, _BY_LATER)],
        "a row of r outputs spans (r − 1) · stride + kernel inputs: you took r · stride + kernel − 1",
        *[f.but(field=lambda products, widths: products[-1] + widths.sum()) for f in (_FIELD, _BY_LATER)],
        "the recursion must begin with one output, r = 1: you began with 0",
        _FIELD.but(field=lambda products, widths: 1 + widths.sum() - products[-1]),
        "this is the field to one side of the middle: count both sides, k − 1 steps a layer and not half of them",
        *[_FIELD.given(kernels=lambda k: k // 2 + 1), _FIELD.given(kernels=lambda k: (k + 1) // 2)],
        "you counted as many steps to either side of a middle: an even kernel has none, and makes k − 1 steps in all",
        *[_FIELD.given(kernels=lambda k: k // 2 * 2 + 1), _FIELD.given(kernels=lambda k: (k - 1) // 2 * 2 + 1)],
        _FIELD.given(kernels=lambda k: 2 * k - 1),
        "only the last layer counts here: add up the steps of all layers",
        _FIELD.given(kernels=lambda k: k[-1:], strides=lambda s: s[-1:]),
        _FIELD.but(field=lambda widths: 1 + widths[-1]),
        "the first layer is left out: its kernel adds k − 1 steps, and its stride stretches those of the others",
        _FIELD.given(kernels=lambda k: k[1:], strides=lambda s: s[1:]),
        _FIELD.but(field=lambda widths: 1 + widths[1:].sum()),
        "the last layer is left out: its kernel adds k − 1 steps of the longest kind",
        _FIELD.given(kernels=lambda k: k[:-1], strides=lambda s: s[:-1]),
        "the first stride is in none of your products: a layer takes those of all layers before it, the first included",
        _FIELD.but(steps=lambda products: _shifted(products // products[0])),
        "your product is shifted by one layer: it leaves out the first stride and takes the layer's own; take those before it",
        _FIELD.but(steps=lambda products: products // products[0]),
        "your product stops one layer early: the stride of the layer just before counts as well",
        _FIELD.but(steps=lambda products: _shifted(_shifted(products))),
        _FIELD.but(steps=lambda products, strides: _shifted(_shifted(products), int(strides[:-1].prod()))),
        "this is the number of pixels in the field: return its side",
        _FIELD.then(torch.square),
        "you returned the field after each layer: return that of the last, one number without axes",
        _FIELD.but(field=lambda widths: 1 + widths.cumsum(0)),
        "the number is right, but has an axis: return a tensor without axes",
        _FIELD.then(lambda field: field[None]),
        "the number is right, but a float: return int64; every term is whole",
        _FIELD.then(lambda field: field.double()),
    ),
)


# 4. the decoder that mirrors an encoder

# What rules of another size give, in the order in which output_size names them.
_NO_ONE, _ONE_PADDING, _NO_PADDING, _ROUNDED_UP, _, *_OTHERS = (m.answers for m in output_size.mistakes)


def _mirrored(down: Answer = _SIZE) -> Formula:
    """The sizes and the output paddings; down: a rule for the size that a layer leaves."""
    return Formula(
        "size kernels strides paddings",
        picture=lambda size: torch.tensor(size),
        layers=lambda kernels, strides, paddings: torch.stack([kernels, strides, paddings], 1),
        each=lambda picture, layers: accumulate(layers.tolist(), lambda n, layer: down(n, *layer), initial=picture),
        sizes=lambda each: torch.stack([*each]),
        n_in=lambda sizes: sizes[:-1],
        n_out=lambda sizes: sizes[1:],
        steps=lambda n_out, strides: (n_out - 1) * strides,
        cut=lambda paddings: 2 * paddings,
        made=lambda steps, cut, kernels: steps - cut + kernels,
        lost=lambda n_in, made: n_in - made,
        scale=lambda strides: _shifted(strides.cumprod(0)),  # of the picture's rows in each layer's
        gaps=lambda lost: lost.flip(0),
        both=lambda sizes, gaps: (sizes, gaps),
    )


_MIRROR = _mirrored()


def _mirror_cases(generator: Generator) -> list[Arguments]:
    listed = [
        (28, [3, 3, 3], [2, 2, 2], [1, 1, 1]),
        (20, [3], [3], [0]),
        (46, [5, 4, 3, 3], [3, 2, 1, 2], [1, 1, 1, 1]),
        (10, [3, 5], [1, 1], [1, 0]),
        (32, [4, 4, 4], [2, 2, 2], [1, 1, 1]),
        (59, [2, 4, 3], [3, 2, 2], [0, 2, 0]),
    ]

    def drawn(layers: int) -> Arguments:
        size = int(_whole(generator, 60, 99))
        return size, *[_whole(generator, low, high, layers) for low, high in [(2, 5), (1, 3), (0, 1)]]

    return [*[(size, *map(torch.tensor, layers)) for size, *layers in listed], drawn(3), drawn(2)]


mirror = Exercise(
    "mirror",
    _MIRROR,
    _mirror_cases,
    wrong(
        "the output paddings are in the encoder's order: the decoder's first layer undoes the encoder's last",
        _MIRROR.but(gaps=lambda lost: lost),
        "an output padding of stride − 1 is the largest: give back only the rows that the floor lost",
        *_MIRROR.each(gaps=[lambda strides: strides.flip(0) - 1, lambda strides: strides - 1]),
        "without output padding the decoder ends smaller than the picture: give back the rows that the floor lost",
        _MIRROR.but(gaps=lambda lost: 0 * lost),
        "the output paddings have the wrong sign: they are added, size_in less what the layer makes without them",
        _MIRROR.but(gaps=lambda lost: -lost.flip(0)),
        "an output padding is not just 0 or 1: a stride of 3 can lose two rows",
        _MIRROR.but(gaps=lambda lost: lost.flip(0).clamp(max=1)),
        "the last layer gets all the output padding here: each layer gives back what its own floor lost",
        _MIRROR.but(gaps=lambda lost: pad(lost.sum()[None], (len(lost) - 1, 0))),
        _MIRROR.but(gaps=lambda lost, scale: pad((lost * scale).sum()[None], (len(lost) - 1, 0))),
        "losses pile up here: a decoder's layer starts from the size that the one before it reaches with its output padding",
        _MIRROR.but(gaps=lambda lost, scale: (lost * scale).flip(0).cumsum(0) // scale.flip(0)),
        "this is not what the floor lost: that is the remainder of size + 2 · padding − kernel by the stride",
        _MIRROR.but(lost=lambda n_in, strides: n_in % strides),
        _MIRROR.but(lost=lambda n_in, n_out, strides: n_in - n_out * strides),
        _MIRROR.but(lost=lambda n_in, kernels, strides: (n_in - kernels) % strides),
        _MIRROR.but(lost=lambda n_in, paddings, strides: (n_in + 2 * paddings) % strides),
        _MIRROR.but(lost=lambda n_in, kernels, paddings, strides: (n_in + paddings - kernels) % strides),
        "the sizes run from the code up, but kernels, strides and paddings from the picture down: reverse all or none",
        _MIRROR.but(
            n_in=lambda sizes: sizes.flip(0)[1:], n_out=lambda sizes: sizes.flip(0)[:-1], gaps=lambda lost: lost
        ),
        "a transposed convolution of n entries makes n − 1 steps: you multiplied the stride by n",
        _MIRROR.but(steps=lambda n_out, strides: n_out * strides),
        "the kernel is missing in the size of the transposed convolution: the last entry still spreads over a kernel",
        _MIRROR.but(made=lambda steps, cut: steps - cut),
        "the padding was added in the transposed convolution: there it cuts rows off, 2 · padding of them",
        _MIRROR.but(cut=lambda paddings: -2 * paddings),
        "the padding counts once in the transposed convolution: it cuts rows off on both sides, 2 · padding",
        _MIRROR.but(cut=lambda paddings: paddings),
        "the padding is missing in the transposed convolution: it cuts off 2 · padding rows",
        _MIRROR.but(cut=lambda: 0),
        "each output padding is one too large: a transposed convolution makes (n − 1) · stride − 2 · padding + kernel rows without it",
        _MIRROR.but(made=lambda steps, cut, kernels: steps - cut + kernels - 1),
        "the transposed convolution makes another size: (n_out − 1) · stride − 2 · padding + kernel rows, without output padding",
        *_MIRROR.each(steps=[lambda n_out: n_out - 1, lambda n_out, strides: (n_out + 1) * strides]),
        _MIRROR.but(made=lambda steps, cut, kernels: steps - cut - kernels),
        _MIRROR.but(made=lambda steps, cut, kernels: steps - cut + kernels + 1),
        "n_in and n_out are exchanged: the transposed convolution leads back, from n_out to n_in",
        _MIRROR.but(n_in=lambda sizes: sizes[1:], n_out=lambda sizes: sizes[:-1]),
        "the sizes run from the code up: begin with the picture",
        _MIRROR.but(both=lambda sizes, gaps: (sizes.flip(0), gaps)),
        "the two orders are exchanged: the sizes begin with the picture, the output paddings with the decoder's first layer",
        _MIRROR.but(both=lambda sizes, lost: (sizes.flip(0), lost)),
        "the picture's own size is missing: the sizes begin with it, layers + 1 in all",
        _MIRROR.but(both=lambda n_out, gaps: (n_out, gaps)),
        "the last size is missing: what the last layer leaves counts too, layers + 1 in all",
        _MIRROR.but(both=lambda n_in, gaps: (n_in, gaps)),
        "the two results are exchanged: sizes first, then output paddings",
        _MIRROR.then(lambda both: both[::-1]),
        "the sizes are rounded up: a convolution rounds down, which is why rows are lost",
        *map(_mirrored, _ROUNDED_UP),
        "the + 1 is missing in the sizes: see output_size",
        *map(_mirrored, _NO_ONE),
        "the padding counts once in the sizes: it is added on both sides, 2 · padding",
        *map(_mirrored, _ONE_PADDING),
        "the padding is missing in the sizes: it adds 2 · padding before the division",
        *map(_mirrored, _NO_PADDING),
        "the sizes follow another rule than output_size: each layer leaves ⌊(n + 2p − k) / s⌋ + 1 rows of n",
        *[_mirrored(rule) for rules in _OTHERS for rule in rules],
        "every layer starts from the picture here: each takes the size that the one before it left",
        _MIRROR.but(each=lambda picture, layers: [picture, *(_SIZE(picture, *layer) for layer in layers.tolist())]),
        "the encoder's layers are in the reverse order: the first entry is that of the first layer",
        _MIRROR.but(layers=lambda kernels, strides, paddings: torch.stack([kernels, strides, paddings], 1).flip(0)),
        "the numbers are right, but floats: return int64, with // in place of /",
        _MIRROR.then(lambda both: tuple(numbers.double() for numbers in both)),
    ),
    results=("sizes", "output_paddings"),
)


# 5. an encoder for pictures of any size

_LAZY = "a lazy layer takes its size from the first picture that it sees: give every layer its sizes in __init__, nn.Linear(widths[-1], outputs) at last"
_NORMALISED = (
    "a normalisation or dropout layer is added: convolutions, SiLU, the mean and one linear layer are asked for"
)
_KERNEL = "a convolution has another kernel: 3 × 3 is asked for"
_TOO_WIDE = "the linear layer takes more numbers than the mean leaves: over all positions, it leaves one for each channel, widths[-1] in all"
_HIDDEN = "a linear layer is too many: one follows the mean, from widths[-1] to outputs"
_NOT_LINEAR = "the last layer is a convolution: nn.Linear on the mean, whose height and width are gone"
_STAGES = "the number of stages is fixed: there are as many as widths, one or more; loop over the widths"
_NORMS = (nn.BatchNorm2d, nn.BatchNorm1d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm, nn.Dropout, nn.Dropout2d)


def _behaviour(handed_in: Any) -> Answer:
    """What an encoder does, with sentences of its own for layers that no right one has."""
    answer = behaviour(3)(handed_in)

    @wraps(answer)
    def told(*arguments: Any) -> Any:
        try:
            module = handed_in(*arguments[:3])
        except (IndexError, ValueError) as raised:
            if "out of range" in str(raised) or "unpack" in str(raised):
                raise ExerciseError(_STAGES) from None
            raise
        if error := _of_layers(module, *arguments[1:3]):
            raise ExerciseError(error)
        return answer(*arguments)

    return told


def _of_layers(module: nn.Module, widths: Sequence[int], outputs: int) -> str | None:
    parameters = [*module.parameters()]
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        return _LAZY
    if any(isinstance(layer, _NORMS) for layer in module.modules()):
        return _NORMALISED
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    if (outputs, widths[-1], 1, 1) in [tuple(layer.weight.shape) for layer in layers]:
        return _NOT_LINEAR
    if any(layer.kernel_size != (3, 3) for layer in layers):
        return _KERNEL
    taken = [p.shape[1] for p in parameters if p.ndim == 2]
    if len(taken) > 1:
        return _HIDDEN
    # A width that is no multiple is another error: the first width for the last, or a hidden layer.
    return _TOO_WIDE if taken and all(n > widths[-1] and n % widths[-1] == 0 for n in taken) else None


_POOLED = Formula(
    "x layers activation linear",
    stage=lambda activation: lambda layer, maps: activation(layer(maps)),
    maps=lambda x, layers, stage: reduce(lambda maps, layer: stage(layer, maps), layers, x),
    pooled=lambda maps: maps.mean((2, 3)),
    output=lambda linear, pooled: linear(pooled),
)


def _pairs(channels: Sequence[int]) -> list[tuple[int, int]]:
    return [*pairwise(channels)]


def _pooled(
    output: Answer = _POOLED,
    activation: Answer = silu,
    channels: Callable[[int, Sequence[int]], Any] = lambda taken, widths: _pairs([taken, *widths]),
    last: Callable[[Any, int], nn.Module] = lambda widths, outputs: nn.Linear(widths[-1], outputs),
    build: Callable[..., Any] = nn.Conv2d,
    kept: Any = nn.ModuleList,
    **options: Any,
) -> type[nn.Module]:
    """channels: those that each convolution takes and makes; last: the linear layer; build: a convolution; kept: what they are in."""

    class Encoder(nn.Module):
        def __init__(self, channels_in: int, widths: Sequence[int], outputs: int) -> None:
            super().__init__()
            given = {"kernel_size": 3, "stride": 2, "padding": 1, **options}
            self.layers = kept([build(*pair, **given) for pair in channels(channels_in, widths)])
            self.linear = last(widths, outputs)

        def forward(self, x: Tensor) -> Any:
            return output(x, self.layers, activation, self.linear)

    return Encoder


def _pools(*pools: Step) -> list[type[nn.Module]]:
    """With something else than the mean over the positions."""
    return [_pooled(other) for other in _POOLED.each(pooled=pools)]


def _pooled_outputs(*outputs: Step) -> list[type[nn.Module]]:
    """With something else than the linear layer on the mean."""
    return [_pooled(other) for other in _POOLED.each(output=outputs)]


def _stages(*stages: Step, **options: Any) -> list[type[nn.Module]]:
    """With another order within a stage, or something more in it."""
    return [_pooled(other, **options) for other in _POOLED.each(stage=stages)]


def _shrinking(shrink: Answer) -> list[type[nn.Module]]:
    """With something else than the stride to shrink the maps, after the activation or before it."""
    after: Step = lambda activation: lambda layer, maps: shrink(activation(layer(maps)))  # noqa: E731
    before: Step = lambda activation: lambda layer, maps: activation(shrink(layer(maps)))  # noqa: E731
    return _stages(after, before, stride=1)


def _resized(side: int, mode: str) -> type[nn.Module]:
    """Every picture brought to one size first, and all numbers that are left given to the linear layer, or their mean."""
    return _pooled(lambda x, *others: _POOLED(interpolate(x, (side, side), mode=mode), *others))


def _beheaded(x: Tensor, layers: Any, activation: Answer) -> Tensor:
    """The maps before the last activation."""
    *first, last = layers
    return last(reduce(lambda maps, layer: activation(layer(maps)), first, x))  # type: ignore[no-any-return]


def _divided(by: float) -> Step:
    return lambda maps: maps.sum((2, 3)) / by


def _windowed(side: int) -> Step:
    return lambda maps: avg_pool2d(maps, side).flatten(1)


def _unstrided(position: int) -> Callable[[list[nn.Conv2d]], nn.ModuleList]:
    """One of the convolutions with stride 1."""

    def kept(layers: list[nn.Conv2d]) -> nn.ModuleList:
        layers[position].stride = (1, 1)
        return nn.ModuleList(layers)

    return kept


def _wide(times: int) -> Callable[[Sequence[int], int], nn.Module]:
    """A linear layer that takes so many numbers of each channel."""
    return lambda widths, outputs: nn.Linear(times * widths[-1], outputs)


def _activated_mean(activation: Answer) -> Step:
    return lambda maps: activation(maps.mean((2, 3)))


def _hidden(size: Callable[[int, int], int], between: nn.Module) -> type[nn.Module]:
    """With a hidden layer after the mean."""

    def last(widths: Sequence[int], outputs: int) -> nn.Module:
        wide = size(widths[-1], outputs)
        return nn.Sequential(nn.Linear(widths[-1], wide), between, nn.Linear(wide, outputs))

    return _pooled(last=last)


def _normalised(norm: Callable[[int], nn.Module]) -> type[nn.Module]:
    """With a layer behind every convolution."""
    return _pooled(build=lambda taken, made, **given: nn.Sequential(nn.Conv2d(taken, made, **given), norm(made)))


def _two_stages(taken: int, widths: Sequence[int]) -> list[tuple[int, int]]:
    first, second = widths
    return [(taken, first), (first, second)]


def _pooled_cases(generator: Generator) -> list[Arguments]:
    def case(channels_in: int, widths: tuple[int, ...], outputs: int, batch: int, *sides: int) -> Arguments:
        return channels_in, widths, outputs, normal(generator, batch, channels_in, *sides, gradient=True)

    # First where all widths are as many: one layer for all stages runs there. No bias of a convolution is as long as the last
    # layer's, for parameters of one shape are told apart by their order alone.
    return [
        case(3, (3, 3), 4, 2, 5, 8),
        case(1, (4, 6), 3, 2, 9, 7),
        case(3, (5,), 2, 3, 6, 4),
        case(1, (3, 5, 4), 2, 1, 12, 11),
    ]


_OTHER_ACTIVATIONS = (
    *(torch.relu, torch.tanh, torch.sigmoid, softplus, elu, leaky_relu, gelu, nn.LeakyReLU(0.2), hardswish, mish),
    *(nn.GELU(approximate="tanh"), selu, relu6),
)

PooledEncoder = Exercise(
    "PooledEncoder",
    _pooled(),
    _pooled_cases,
    wrong(
        "you summed over the positions: a larger picture gives larger numbers then; take the mean",
        *_pools(lambda maps: maps.sum((2, 3))),
        *_pooled_outputs(lambda linear, maps: linear(maps.movedim(1, -1)).sum((1, 2))),
        "you took the largest, the least or the median over the positions: the mean is asked for",
        *_pools(
            lambda maps: maps.amax((2, 3)),
            lambda maps: maps.amin((2, 3)),
            lambda maps: maps.flatten(2).median(2).values,
        ),
        "the sum was divided by another number: by the positions of the last maps, maps.shape[2] · maps.shape[3]",
        *[
            _pooled(_POOLED.but(pooled=lambda maps, x: maps.sum((2, 3)) / (x.shape[2] * x.shape[3]))),
            *_pools(*[_divided(n) for n in (4, 9, 16, 49, 784)]),
            *_pools(lambda maps: maps.sum((2, 3)) / maps.shape[1], lambda maps: maps.sum((2, 3)) / len(maps)),
        ],
        "one of the two sides was summed, not averaged: the mean over height and width",
        *_pools(lambda maps: maps.mean(3).sum(2), lambda maps: maps.sum(3).mean(2)),
        "reshape does not move axes: channels are axis 1 of [batch, channels, height, width]; movedim or permute moves them",
        *_pools(
            lambda maps: maps.reshape(len(maps), -1, maps.shape[1]).mean(1),
            lambda maps: maps.reshape(len(maps), *maps.shape[2:], maps.shape[1]).mean((1, 2)),
        ),
        "the mean over the positions is missing: it comes before the linear layer, which takes one number of each channel",
        *_pools(
            lambda maps: maps,
            lambda maps: maps.movedim(1, -1),
            lambda maps: maps.movedim(1, -1).flatten(1, 2),
            lambda maps: maps.flatten(2),
        ),
        "a window of fixed size was averaged: the mean runs over all positions, how many there may be",
        *_pools(*[_windowed(side) for side in (2, 3, 4, 7)]),
        "you took one position of the maps: the mean over all is asked for",
        *_pools(
            lambda maps: maps[:, :, 0, 0],
            lambda maps: maps[:, :, -1, -1],
            lambda maps: maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2],
        ),
        "the mean runs over the channels: over the positions, height and width, axes 2 and 3",
        *_pools(lambda maps: maps.mean(1), lambda maps: maps.mean(1).flatten(1), lambda maps: maps.flatten(2).mean(1)),
        "the mean runs over one side only: over height and width, axes 2 and 3",
        *_pools(
            lambda maps: maps.mean(2),
            lambda maps: maps.mean(3),
            lambda maps: maps.mean(2).flatten(1),
            lambda maps: maps.mean(3).flatten(1),
            lambda maps: maps.mean(-1),
        ),
        "the mean runs over other axes: over height and width, axes 2 and 3 of [batch, channels, height, width]",
        *_pools(lambda maps: maps.mean((1, 2)), lambda maps: maps.mean((1, 3)), lambda maps: maps.mean((1, 2, 3))),
        "the mean runs over the batch as well: each picture has a code of its own",
        *_pools(
            lambda maps: maps.mean((0, 2, 3)),
            lambda maps: maps.mean((0, 2, 3)).expand(maps.shape[:2]),
            lambda maps: maps.mean((0, 2, 3), keepdim=True).flatten(1),
            lambda maps: maps.mean(),
        ),
        "height and width are still there, of size 1: .flatten(1), or no keepdim, before the linear layer",
        *_pools(lambda maps: maps.mean((2, 3), keepdim=True), lambda maps: adaptive_avg_pool2d(maps, 1)),
        "squeeze() takes away the axis of a batch of 1 as well: .flatten(1), or squeeze of axes 2 and 3",
        *_pools(lambda maps: maps.mean((2, 3)).squeeze(), lambda maps: adaptive_avg_pool2d(maps, 1).squeeze()),
        "all positions go into the linear layer, whose size fits one picture size only: take their mean first",
        *_pools(lambda maps: maps.flatten(1)),
        _TOO_WIDE,
        *[
            _pooled(other, last=_wide(n))
            for other in _POOLED.each(pooled=[lambda maps: maps.flatten(1), lambda maps: maps.mean(2).flatten(1)])
            for n in (4, 7, 16, 49)
        ],
        _pooled(
            _POOLED.but(pooled=lambda maps: adaptive_avg_pool2d(maps, 2).flatten(1)),
            last=_wide(4),
        ),
        _LAZY,
        *[
            _pooled(
                _POOLED.but(pooled=lambda maps: maps.flatten(1)), last=lambda widths, outputs: nn.LazyLinear(outputs)
            ),
            _pooled(build=lambda taken, made, **given: nn.LazyConv2d(made, **given)),
        ],
        "every picture is brought to one size first: its own is asked for, the mean makes sizes comparable",
        *[_resized(side, mode) for side in (28, 32) for mode in ("nearest", "bilinear")],
        "SiLU is missing: without an activation all convolutions together are one linear map",
        _pooled(activation=nn.Identity()),
        "SiLU follows the last convolution only: it follows every one",
        _pooled(
            _POOLED.but(
                stage=lambda: lambda layer, maps: layer(maps),
                pooled=lambda maps, activation: activation(maps).mean((2, 3)),
            )
        ),
        "SiLU is missing after the last convolution: it follows every one, before the mean",
        _pooled(_POOLED.but(maps=_beheaded)),
        "SiLU follows the mean, not the last convolution: activations first, then their mean",
        _pooled(_POOLED.but(maps=_beheaded, pooled=lambda maps, activation: activation(maps.mean((2, 3))))),
        "another activation stands where SiLU is asked for",
        *[_pooled(activation=a) for a in _OTHER_ACTIVATIONS],
        "SiLU stands before each convolution: it follows each",
        *_stages(lambda activation: lambda layer, maps: layer(activation(maps))),
        "one activation more than asked for: none on the mean, and none on the result, whose numbers may have any size and sign",
        *[_pooled(_POOLED.then(a)) for a in (silu, torch.relu, torch.tanh, torch.sigmoid, softplus, leaky_relu)],
        *[_pooled(_POOLED.then(partial(a, dim=1))) for a in (torch.softmax, torch.log_softmax)],
        *[_pooled(_POOLED.but(pooled=_activated_mean(a))) for a in (silu, torch.relu, torch.tanh)],
        LEFT_BEHIND,
        *[_pooled(kept=list), _pooled(kept=tuple)],
        "the padding is missing: one row and column of zeros on every side, padding=1",
        _pooled(padding=0),
        "the padding is another one: zeros, one row and column of them on every side, padding=1",
        *[_pooled(padding=2), *(_pooled(padding_mode=mode) for mode in ("replicate", "circular", "reflect"))],
        "the stride is missing: each convolution halves height and width, stride=2",
        *[_pooled(stride=1), _pooled(kept=_unstrided(0)), _pooled(kept=_unstrided(-1))],
        "the stride is another one: stride=2",
        _pooled(stride=3),
        "the maps are shrunk by pooling: the convolutions do it themselves, stride=2",
        *_shrinking(partial(avg_pool2d, kernel_size=2)),
        *_shrinking(partial(max_pool2d, kernel_size=2)),
        *_shrinking(partial(max_pool2d, kernel_size=3, stride=2, padding=1)),
        *_shrinking(partial(avg_pool2d, kernel_size=2, ceil_mode=True)),
        *_shrinking(partial(max_pool2d, kernel_size=2, ceil_mode=True)),
        _KERNEL,
        *[_pooled(kernel_size=kernel, padding=padding) for kernel in (4, 5, 1) for padding in (kernel // 2, 1)],
        "all stages share one layer: make a new one for each width",
        _pooled(kept=lambda layers: nn.ModuleList(layers[:1] * len(layers))),
        "each convolution takes what the one before it made, channels_in only the first",
        _pooled(channels=lambda taken, widths: [(taken, made) for made in widths]),
        _pooled(channels=lambda taken, widths: [(taken, widths[0]), *((widths[0], made) for made in widths[1:])]),
        "in and out are exchanged: nn.Conv2d and nn.Linear take first the number that comes in, then the number that they make",
        _pooled(channels=lambda taken, widths: [pair[::-1] for pair in _pairs([taken, *widths])]),
        _pooled(last=lambda widths, outputs: nn.Linear(outputs, widths[-1])),
        "the first convolution takes channels_in channels, not a fixed number of them",
        *[
            _pooled(channels=lambda taken, widths: _pairs([1, *widths])),
            _pooled(channels=lambda taken, widths: _pairs([3, *widths])),
        ],
        "the convolution from channels_in to widths[0] is missing: one for each width",
        _pooled(channels=lambda taken, widths: _pairs(widths)),
        "a stage is missing: one for each width",
        _pooled(
            channels=lambda taken, widths: _pairs([taken, *widths[:-1]]),
            last=lambda widths, outputs: nn.Linear([0, *widths][-2] or 3, outputs),
        ),
        _pooled(channels=lambda taken, widths: _pairs([taken, *widths[:-1]])),
        _pooled(channels=lambda taken, widths: [(taken, widths[-1])]),
        _pooled(
            channels=lambda taken, widths: [(taken, widths[0])],
            last=lambda widths, outputs: nn.Linear(widths[0], outputs),
        ),
        "a stage is too many: one for each width",
        _pooled(channels=lambda taken, widths: _pairs([taken, *widths, widths[-1]])),
        _pooled(channels=lambda taken, widths: _pairs([taken, taken, *widths])),
        _pooled(channels=lambda taken, widths: _pairs([taken, widths[0], *widths])),
        "the widths are in the reverse order: the first stage makes widths[0] channels",
        _pooled(
            channels=lambda taken, widths: _pairs([taken, *reversed(widths)]),
            last=lambda widths, outputs: nn.Linear(widths[0], outputs),
        ),
        _pooled(channels=lambda taken, widths: _pairs([taken, *reversed(widths)])),
        "the linear layer takes another number of channels than the last convolution makes, widths[-1]",
        _pooled(last=lambda widths, outputs: nn.Linear(widths[0], outputs)),
        "a bias is missing: nn.Conv2d and nn.Linear as they are, each with its own",
        *[
            _pooled(bias=False),
            _pooled(last=lambda widths, outputs: nn.Linear(widths[-1], outputs, bias=False)),
            _pooled(bias=False, last=lambda widths, outputs: nn.Linear(widths[-1], outputs, bias=False)),
        ],
        _HIDDEN,
        *[
            _hidden(size, between)
            for size in (lambda width, outputs: width, lambda width, outputs: outputs, lambda width, outputs: 2 * width)
            for between in (nn.SiLU(), nn.ReLU(), nn.Identity())
        ],
        "the linear layer is missing: it makes `outputs` numbers of the mean",
        *_pooled_outputs(lambda pooled: pooled),
        _pooled(last=lambda widths, outputs: nn.Identity()),
        "your module returned several tensors: return one, [batch, outputs]",
        *_pooled_outputs(lambda linear, pooled: linear(pooled).chunk(2, 1)),
        _NORMALISED,
        *[_normalised(norm) for norm in (nn.BatchNorm2d, nn.InstanceNorm2d, lambda width: nn.GroupNorm(1, width))],
        _normalised(lambda width: nn.Dropout(0.1)),
        _STAGES,
        _pooled(channels=lambda taken, widths: [(taken, widths[0]), (widths[0], widths[1])]),
        _pooled(channels=_two_stages),
        _NOT_LINEAR,
        _pooled(
            _POOLED.but(output=lambda linear, pooled: linear(pooled[:, :, None, None]).flatten(1)),
            last=lambda widths, outputs: nn.Conv2d(widths[-1], outputs, 1),
        ),
        _pooled(
            _POOLED.but(output=lambda linear, maps: linear(maps).mean((2, 3))),
            last=lambda widths, outputs: nn.Conv2d(widths[-1], outputs, 1),
        ),
        "the picture is scaled first: it goes into the first convolution as it is",
        *[
            _pooled(_POOLED.given(x=change))
            for change in (lambda x: 2 * x - 1, lambda x: x - 0.5, lambda x: (x - 0.5) / 0.5, lambda x: x / 255)
        ],
        "the result is right, but no gradient flows back to x: something was detached, or made anew from numbers",
        _pooled(_POOLED.given(x=torch.detach)),
        "the maps were detached: the convolutions learn nothing",
        *_pools(lambda maps: maps.detach().mean((2, 3))),
        "the result was detached: nothing learns",
        _pooled(_POOLED.then(torch.detach)),
    ),
    results=RESULTS,
    prepare=_behaviour,
)
