"""The sheet on convolutional VAEs: sizes, the sum itself, receptive fields, a mirrored decoder, a loaded beam."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, product
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from vae_course.data.finite_elements import VOID, element_stiffness
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, SumOf, normal, uniform


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


# 5. the compliance of a layout by finite elements

_SOLVERS: list[Step] = [  # which fail with different words where K is singular
    lambda stiffness, force: torch.linalg.solve(stiffness, force),
    lambda stiffness, force: torch.linalg.solve(stiffness, force[:, None])[:, 0],
    lambda stiffness, force: torch.linalg.inv(stiffness) @ force,
]


def _compliance(power: int = 3, least: float = VOID) -> Formula:
    """Of a modulus with an exponent and a least value that can be wrong."""
    return Formula(
        "density element unknowns force",
        modulus=lambda density: least + density**power * (1 - least),
        entries=lambda modulus, element: modulus[:, None, None] * element,  # [elements, 8, 8]
        rows=lambda unknowns: unknowns[:, :, None].expand(-1, -1, 8),
        columns=lambda rows: rows.mT,
        kept=lambda rows, columns: (rows >= 0) & (columns >= 0),
        at=lambda rows, columns, kept: (rows[kept], columns[kept]),
        zeros=lambda entries, force: entries.new_zeros(len(force), len(force)),
        accumulate=lambda: True,
        stiffness=lambda zeros, at, entries, kept, accumulate: zeros.index_put(at, entries[kept], accumulate),
        moved=_SOLVERS[0],
        corners=lambda moved, unknowns: pad(moved, (0, 1))[unknowns],  # of each element; 0 for number −1
        energies=lambda corners, element: torch.einsum("ei,ij,ej->e", corners, element, corners),  # of solid elements
        works=lambda force, moved: force * moved,
        compliance=lambda force, moved: force @ moved,
    )


_COMPLIANCE = _compliance()
_ENERGY = _COMPLIANCE.but(compliance=lambda modulus, energies: modulus @ energies)


def _one_by_one(
    at: Callable[[Tensor], tuple[Tensor, Tensor]] = lambda numbers: (numbers[:, None], numbers),
    block: Callable[[Tensor, Tensor], Tensor] = lambda element, kept: element[kept][:, kept],
    least: int = 0,
    adding: bool = True,
) -> Step:
    """K in a loop over the elements; at: where a block is put; least: of the numbers kept; adding: += or =."""

    def stiffness(modulus: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
        whole = element.new_zeros(len(force), len(force))
        for value, numbers in zip(modulus, unknowns, strict=True):
            kept = numbers >= least
            here = at(numbers[kept])
            if adding:
                whole[here] += value * block(element, kept)
            else:
                whole[here] = value * block(element, kept)
        return whole

    return stiffness


def _mesh(nx: int, ny: int, *held: Any) -> Tensor:
    """Numbers of the displacements of each element, [elements, 8]; held: places in [column, row, way] that are clamped."""
    free = torch.ones(nx + 1, ny + 1, 2, dtype=torch.bool)
    for place in held:
        free[place] = False
    numbers = torch.where(free, free.flatten().cumsum(0).view_as(free) - 1, -1)
    corners = [numbers[right : right + nx, down : down + ny] for right in (0, 1) for down in (0, 1)]
    return torch.cat(corners, -1).flatten(0, 1)


def _compliance_cases(generator: Generator) -> list[Arguments]:
    # On springs, for without them a K to whose unknowns the clamped displacements are added is singular, and what
    # is only rounding error can match no mistake.
    element = torch.from_numpy(element_stiffness()) + 0.3 * torch.eye(8, dtype=torch.float64)

    def case(nx: int, ny: int, *held: Any, scale: float = 1.0) -> Arguments:
        unknowns = _mesh(nx, ny, *held)
        density = (0.2 + 0.8 * uniform(generator, nx * ny)).requires_grad_()
        return density, scale * element, unknowns, normal(generator, int(unknowns.max()) + 1)

    _, _, two, force = case(2, 1, 0)
    nearly_void = torch.tensor([1.0, 1e-3], dtype=torch.float64, requires_grad=True)
    # One free element and eight that are free in one displacement each: here a wrong K too is regular.
    places = torch.arange(8)
    single = torch.where(places[:, None] == places, places, -1)
    nine = (0.2 + 0.8 * uniform(generator, 9)).requires_grad_()
    return [
        (nine, element, torch.cat([places[None], single]), normal(generator, 8)),
        case(1, 1, 0),
        case(3, 2, (0, 0)),
        case(4, 3, (0, slice(None), 0), (-1, -1, 1)),
        case(3, 2, (slice(None), 2), scale=2.0),
        (nearly_void, element, two, force),
        case(1, 3, 0),
    ]


compliance_of = Exercise(
    "compliance_of",
    _COMPLIANCE,
    _compliance_cases,
    wrong(
        "the modulus is linear in ρ here: it grows with ρ³, which makes half-filled elements poor value",
        _compliance(power=1),
        "the modulus grows with ρ³: you took ρ²",
        _compliance(power=2),
        "your modulus vanishes with ρ³: E_min is added to the cube, so that an empty element keeps K regular",
        _compliance(least=0),
        "E_min is another here: it is 10⁻⁹",
        *[_compliance(least=least) for least in (1e-3, 1e-6, 1e-4, 1e-8)],
        "every element has the same modulus here: each has its own, from its own density",
        _COMPLIANCE.given(density=lambda density: density.mean().expand_as(density)),
        _COMPLIANCE.but(entries=lambda modulus, element: modulus.mean().expand_as(modulus)[:, None, None] * element),
        "every element is solid here: multiply its matrix by its modulus, E_min + ρ³ (1 − E_min)",
        _COMPLIANCE.given(density=torch.ones_like),
        "½ f·u is the strain energy: the compliance is f·u",
        _COMPLIANCE.then(lambda compliance: 0.5 * compliance),
        "elements that share a node overwrite one another: add each one's matrix to K (accumulate=True, or += one element at a time)",
        _COMPLIANCE.but(stiffness=_one_by_one(adding=False)),
        _COMPLIANCE.but(accumulate=lambda: False),
        "index −1 is the last unknown in Python, so the clamped displacements were added to it: skip them",
        _COMPLIANCE.but(kept=lambda rows: rows >= -1),
        "an entry with one clamped displacement was kept, and index −1 adds it to the last unknown: skip rows and columns",
        *_COMPLIANCE.each(kept=[lambda rows: rows >= 0, lambda columns: columns >= 0]),
        _COMPLIANCE.but(kept=lambda rows, columns: (rows >= 0) | (columns >= 0)),
        "the clamped displacements were taken for number 0: skip them",
        _COMPLIANCE.given(unknowns=lambda numbers: numbers.clamp(min=0)),
        "number 0 was left out, so K is singular: only −1 is clamped, so keep the numbers >= 0",
        *_COMPLIANCE.but(kept=lambda rows, columns: (rows > 0) & (columns > 0)).each(moved=_SOLVERS),
        "K is still 0: K[free][:, free] is a copy, and += changes that; add to K[free[:, None], free], which is K itself",
        *_COMPLIANCE.but(stiffness=lambda zeros: zeros).each(moved=_SOLVERS),
        "K is float32 and the force float64: make it by torch.zeros(n, n, dtype=density.dtype)",
        *[f.given(density=Tensor.float, element=Tensor.float) for f in _COMPLIANCE.each(moved=_SOLVERS[:2])],
        "K[free, free] is the diagonal alone: K[free[:, None], free] is the block of those rows and columns",
        *[_COMPLIANCE.but(stiffness=_one_by_one(lambda free: (free, free), adding=adding)) for adding in (True, False)],
        "only the diagonal of each matrix was added: element[kept][:, kept] belongs to K[free[:, None], free]",
        _COMPLIANCE.given(element=lambda k: k.diagonal().diag()),
        "element[kept, kept] is the diagonal alone, and it was spread over all rows: element[kept][:, kept] is the block",
        _COMPLIANCE.given(element=lambda k: k.diagonal().expand(8, 8)),
        _COMPLIANCE.given(element=lambda k: k.diagonal()[:, None].expand(8, 8)),
        "the −1 were kept: Python takes index −1 for the last unknown, and += adds but one entry where a number occurs twice",
        _COMPLIANCE.but(stiffness=_one_by_one(least=-1)),
        "you took the first rows and columns of the element's matrix: take those of its free displacements, element[kept][:, kept]",
        _COMPLIANCE.but(stiffness=_one_by_one(block=lambda k, kept: k[: int(kept.sum()), : int(kept.sum())])),
        "you left out every element with a clamped node: skip only the rows and columns of its clamped displacements",
        *_COMPLIANCE.but(kept=lambda rows: (rows >= 0).all(1, keepdim=True).expand_as(rows)).each(moved=_SOLVERS),
        "u·u is not the compliance: that is the work of the load, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved @ moved, lambda moved: moved.norm()]),
        "you summed the displacements: the compliance weights them by the forces, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved.sum(), lambda moved: moved.abs().sum()]),
        "you took the largest displacement: the compliance is the work of the load, f·u",
        *_COMPLIANCE.each(compliance=[lambda moved: moved.max(), lambda moved: moved.abs().max()]),
        "f·u is a sum, with signs: you averaged, or took absolute values",
        *_COMPLIANCE.each(compliance=[lambda works: works.mean(), lambda works: works.abs().sum()]),
        "these are the displacements u: the compliance is f·u",
        _COMPLIANCE.but(compliance=lambda moved: moved),
        "these are the products f u, one by one: the compliance is their sum, f·u",
        _COMPLIANCE.but(compliance=lambda works: works),
        "you multiplied K by the force: K u = f must be solved for u",
        _COMPLIANCE.but(moved=lambda stiffness, force: stiffness @ force),
        "this is the reciprocal of the compliance, a stiffness: return f·u itself",
        _COMPLIANCE.then(torch.reciprocal),
        "Σ u·k u of solid elements is not f·u: each term needs the modulus of its element",
        _COMPLIANCE.but(compliance=lambda energies: energies.sum()),
        "the gradient has the wrong sign: u was detached, but it depends on the density too",
        _ENERGY.but(moved=lambda stiffness, force: torch.linalg.solve(stiffness, force).detach()),
        "the value is right, but no gradient reaches the density: something was detached, or made anew from numbers",
        _COMPLIANCE.given(density=torch.detach),
    ),
)
