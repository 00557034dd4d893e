"""The sheet on convolutional VAEs: sizes, the sum itself, receptive fields, a mirrored decoder, a loaded beam."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from math import ceil, prod

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from vae_course.data.finite_elements import VOID, element_stiffness
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import normal, uniform

# 1. the size that a layer leaves


def _size(size: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return (size + 2 * padding - kernel) // stride + 1


def _whole(generator: Generator, low: int, high: int, *shape: int) -> Tensor:
    """Whole numbers from low to high, both included."""
    return torch.randint(low, high + 1, shape, generator=generator)


def _size_cases(generator: Generator) -> list[Arguments]:
    layers = [(3, 2, 1), (4, 2, 1), (5, 3, 2), (7, 4, 3), (2, 5, 0), (3, 1, 1), (1, 1, 0), (6, 3, 0)]
    runs = [(_whole(generator, 10, 60, 1) + torch.arange(8), *layer) for layer in layers]
    return [*runs, (torch.tensor([28]), 3, 2, 1), (torch.tensor([3, 4, 1000]), 5, 4, 1)]


output_size = Exercise(
    "output_size",
    _size,
    _size_cases,
    wrong(
        "the + 1 is missing: a kernel of the picture's size has one place, not none",
        lambda n, k, s, p: (n + 2 * p - k) // s,
        "the padding counts once here: it is added on both sides, 2 · padding",
        lambda n, k, s, p: (n + p - k) // s + 1,
        "the padding is missing: it adds 2 · padding to the size",
        lambda n, k, s, p: (n - k) // s + 1,
        "the padding was subtracted: it makes the picture larger",
        lambda n, k, s, p: (n - 2 * p - k) // s + 1,
        "you rounded up: a kernel that would leave the padded picture has no place, so round down",
        lambda n, k, s, p: ((n + 2 * p - k) / s).ceil().long() + 1,
        lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1,
        "you rounded to the nearest whole number: a place that is not whole does not count, so round down",
        lambda n, k, s, p: ((n + 2 * p - k) / s).round().long() + 1,
        lambda n, k, s, p: ((n + 2 * p - k) / s + 0.5).long() + 1,
        "this is a true division, which leaves fractions: a size is whole; // rounds down and keeps int64",
        lambda n, k, s, p: (n + 2 * p - k) / s + 1,
        "the numbers are right, but floats: return int64, with // or .long()",
        lambda n, k, s, p: ((n + 2 * p - k) / s).floor() + 1,
        "the + 1 stands before the division: it counts the first place, after the steps of length stride",
        lambda n, k, s, p: (n + 2 * p - k + 1) // s,
        "the number that you divide is one too large: subtract kernel, not kernel − 1; the + 1 comes after the division",
        lambda n, k, s, p: (n + 2 * p - k + 1) // s + 1,
        "you subtracted kernel + 1: the last place begins `kernel` before the end, so subtract kernel alone",
        lambda n, k, s, p: (n + 2 * p - k - 1) // s + 1,
        "the kernel was added: it needs room, so it is subtracted",
        lambda n, k, s, p: (n + 2 * p + k) // s + 1,
        "the kernel is missing: its last place begins kernel rows before the end",
        lambda n, k, s, p: (n + 2 * p) // s + 1,
        "the stride is missing: divide by it, before the + 1",
        lambda n, k, s, p: n + 2 * p - k + 1,
        "this is the size at stride 1 without padding: both count",
        lambda n, k, s, p: n - k + 1,
        "dividing by the stride is not enough: kernel and padding count too",
        lambda n, k, s, p: n // s,
        lambda n, k, s, p: -(-n // s),
        lambda n, k, s, p: n // s + 1,
        "you rounded each term by itself: add and subtract first, then divide and round once",
        lambda n, k, s, p: n // s + 2 * p // s - k // s + 1,
        "brackets: the stride divides the size as well",
        lambda n, k, s, p: n + (2 * p - k) // s + 1,
        lambda n, k, s, p: n + 2 * p - k // s + 1,
        "brackets: you divided by stride + 1; divide by the stride, and add 1 to the result",
        lambda n, k, s, p: (n + 2 * p - k) // (s + 1),
        "the padding was added after the division: it belongs to the picture, before the division",
        lambda n, k, s, p: (n - k) // s + 2 * p + 1,
        "this is the size that a transposed convolution makes: here a convolution is asked for",
        lambda n, k, s, p: (n - 1) * s - 2 * p + k,
    ),
)


# 2. a convolution from its sum


def _patches(x: Tensor, height: int, width: int) -> Tensor:
    """[batch, channels, i, j, a, b]: x(i + a, j + b)."""
    return x.unfold(2, height, 1).unfold(3, width, 1)


def _correlate(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("ncijab,ocab->noij", _patches(x, *weight.shape[2:]), weight)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _correlate(x, weight) + bias[:, None, None]


def _convolve_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, inputs: int, outputs: int, kernel: tuple[int, int], result: tuple[int, int]) -> Arguments:
        height, width = (k + r - 1 for k, r in zip(kernel, result, strict=True))
        shapes = [(batch, inputs, height, width), (outputs, inputs, *kernel), (outputs,)]
        return tuple(normal(generator, *shape, gradient=True) for shape in shapes)

    # Where the result has as many rows and columns as maps, a bias along the wrong axis runs.
    return [
        case(2, 3, 4, (2, 3), (4, 4)),
        case(1, 1, 3, (3, 3), (3, 3)),
        case(3, 2, 2, (1, 2), (2, 2)),
        case(2, 3, 1, (3, 3), (1, 1)),
        case(2, 2, 3, (3, 2), (4, 5)),
    ]


def _wrapped(x: Tensor, weight: Tensor, sign: int) -> Tensor:
    """Σ w(a, b) x(i ± a, j ± b) with indices that run round the picture, of the picture's size."""
    height, width = weight.shape[2:]
    shifted = [x.roll((-sign * a, -sign * b), (2, 3)) for a in range(height) for b in range(width)]
    return torch.einsum("tncij,oct->noij", torch.stack(shifted), weight.flatten(2))


def _padded(x: Tensor, weight: Tensor) -> Tensor:
    """The sum over a picture with zeros around it, of the picture's size."""
    height, width = weight.shape[2:]
    return _correlate(pad(x, ((width - 1) // 2, width // 2, (height - 1) // 2, height // 2)), weight)


def _last_corner(x: Tensor, weight: Tensor) -> Tensor:
    """What the last entry of a kernel meets."""
    return x[:, :, weight.shape[2] - 1 :, weight.shape[3] - 1 :]


convolve = Exercise(
    "convolve",
    _convolve,
    _convolve_cases,
    wrong(
        "your kernel is flipped: torch's convolution is a cross-correlation, w(a, b) meets x(i + a, j + b)",
        lambda x, w, b: _convolve(x, w.flip(2, 3), b),
        "your kernel is upside down: its row a meets row i + a of the picture",
        lambda x, w, b: _convolve(x, w.flip(2), b),
        "your kernel is reversed from left to right: its column b meets column j + b of the picture",
        lambda x, w, b: _convolve(x, w.flip(3), b),
        "your kernel is transposed: its first index runs down the picture, its second to the right",
        lambda x, w, b: _convolve(x, w.transpose(2, 3), b),
        "you added the bias in every term of the sum: each map has one, added once to the whole sum",
        lambda x, w, b: _correlate(x, w) + w[0].numel() * b[:, None, None],
        "you added the bias once for every input channel: each map has one, added after the sum over the channels",
        lambda x, w, b: _correlate(x, w) + w.shape[1] * b[:, None, None],
        "you added the bias once for every entry of a kernel: each map has one, added after the sum over a and b",
        lambda x, w, b: _correlate(x, w) + w[0, 0].numel() * b[:, None, None],
        "the bias is missing: bias[o] is added to every entry of map o",
        lambda x, w, b: _correlate(x, w),
        "the bias was subtracted: it is added",
        lambda x, w, b: _correlate(x, w) - b[:, None, None],
        "the bias runs along the width: it belongs to the maps, bias[:, None, None]",
        lambda x, w, b: _correlate(x, w) + b,
        "the bias runs along the height: it belongs to the maps, bias[:, None, None]",
        lambda x, w, b: _correlate(x, w) + b[:, None],
        "you averaged over the channels: the convolution is a sum over them",
        lambda x, w, b: _convolve(x, w / w.shape[1], b),
        "you averaged over the entries of a kernel: the convolution is a sum over a and b",
        lambda x, w, b: _convolve(x, w / w[0, 0].numel(), b),
        "you averaged over channels and kernel entries: the convolution is a sum over c, a and b",
        lambda x, w, b: _convolve(x, w / w[0].numel(), b),
        "only the first input channel counts here: sum over all of them",
        lambda x, w, b: _convolve(x[:, :1], w[:, :1], b),
        "each pass of a loop replaced the sum instead of adding to it: only its last pass is left",
        lambda x, w, b: _convolve(x[:, -1:], w[:, -1:], b),
        lambda x, w, b: _convolve(_last_corner(x, w), w[..., -1:, -1:], b),
        lambda x, w, b: _convolve(_last_corner(x, w)[:, -1:], w[:, -1:, -1:, -1:], b),
        "every channel met the kernel of the first one: map o has a kernel for each input channel, weight[o, c]",
        lambda x, w, b: _convolve(x, w[:, :1].expand_as(w), b),
        "every map was made with the kernels of the first one: map o has its own, weight[o]",
        lambda x, w, b: _convolve(x, w[:1].expand_as(w), b),
        "your indices run round the edge of the picture: where the kernel would leave it, there is no output",
        lambda x, w, b: _wrapped(x, w, 1) + b[:, None, None],
        "you took x(i − a, j − b), and negative indices count from the other edge: the sum has x(i + a, j + b)",
        lambda x, w, b: (
            _wrapped(x, w, -1)[..., : x.shape[2] - w.shape[2] + 1, : x.shape[3] - w.shape[3] + 1] + b[:, None, None]
        ),
        "you padded the picture to keep its size: without padding height − k + 1 rows remain",
        lambda x, w, b: _padded(x, w) + b[:, None, None],
        lambda x, w, b: _convolve(pad(x, [w.shape[3] // 2] * 2 + [w.shape[2] // 2] * 2), w, b),
        "the last row and column are missing: a kernel has height − k + 1 places, not height − k",
        lambda x, w, b: _convolve(x, w, b)[..., :-1, :-1],
        "the numbers are right, but no gradient flows back: something was detached, or made anew from numbers",
        lambda x, w, b: _convolve(x, w, b).detach(),
    ),
    tolerance=1e-5,  # a result filled into a float32 tensor gives float64 gradients with its rounding
)


# 3. the receptive field of a stack of layers


def _field(kernels: Tensor, strides: Tensor) -> Tensor:
    return _field_with(kernels, [prod(strides[:layer].tolist()) for layer in range(len(strides))])


def _field_with(kernels: Tensor, steps: list[int] | Tensor) -> Tensor:
    """1 + Σ (k - 1) · step."""
    return 1 + ((kernels - 1) * torch.as_tensor(steps)).sum()


def _of_some(layers: slice, kept: slice) -> Answer:
    """1 + Σ (k - 1) · (product of the strides before) over the `layers` of the stack that is `kept`."""

    def answer(kernels: Tensor, strides: Tensor) -> Tensor:
        k, s = kernels[kept].tolist(), strides[kept].tolist()
        terms = [(kernel - 1) * prod(s[:layer]) for layer, kernel in enumerate(k)]
        return torch.tensor(1 + sum(terms[layers]))

    return answer


def _strides_from(window: Callable[[int], slice]) -> Answer:
    """Layer l, counted from 0, takes the product of the strides in `window(l)`."""
    return lambda kernels, strides: _field_with(
        kernels, [prod(strides[window(layer)].tolist()) for layer in range(len(strides))]
    )


def _backwards(grow: Callable[[int, int, int], int], first: int = 1) -> Answer:
    """A recursion from the last layer to the first: field, kernel, stride → field."""

    def answer(kernels: Tensor, strides: Tensor) -> Tensor:
        field = first
        for kernel, stride in zip(kernels.tolist()[::-1], strides.tolist()[::-1], strict=True):
            field = grow(field, kernel, stride)
        return torch.tensor(field)

    return answer


def _field_cases(generator: Generator) -> list[Arguments]:
    listed = [
        ([3], [2]),
        ([4, 4, 4, 3], [2, 2, 2, 1]),
        ([3, 5, 2, 7], [3, 1, 4, 2]),
        ([5, 1, 3], [1, 2, 3]),
        ([3] * 12, [2] * 12),
        ([7, 2], [1, 1]),
    ]
    drawn = [(_whole(generator, 2, 7, n), _whole(generator, 1, 3, n)) for n in (3, 5)]
    return [*[(torch.tensor(kernels), torch.tensor(strides)) for kernels, strides in listed], *drawn]


receptive_field = Exercise(
    "receptive_field",
    _field,
    _field_cases,
    wrong(
        "the strides are missing: after a stride of 2, one step to a neighbour is two steps in the picture",
        lambda k, s: 1 + (k - 1).sum(),
        "this is the sum of the kernels: neighbouring kernels overlap, and the strides are missing",
        lambda k, s: k.sum(),
        "your product includes the layer's own stride: only the layers before it stretch its steps",
        lambda k, s: _field_with(k, s.cumprod(0)),
        "a kernel of k entries makes k − 1 steps: you counted k",
        lambda k, s: _field_with(k + 1, [1, *s.cumprod(0)[:-1].tolist()]),
        _backwards(lambda r, k, s: r * s + k, first=0),
        "the strides are in the wrong order: a layer's steps are stretched by the layers before it, the first comes first",
        lambda k, s: _field(k, s.flip(0)),
        "you multiplied by the strides of the later layers: the earlier ones stretch a layer's steps",
        lambda k, s: _field(k.flip(0), s.flip(0)),
        "the kernels are in the wrong order: the first entry is that of the first layer",
        lambda k, s: _field(k.flip(0), s),
        "the 1 is missing: the output itself is one pixel wide before any kernel widens it",
        lambda k, s: _field(k, s) - 1,
        "this is the product of the kernels: kernels add, and strides multiply",
        lambda k, s: k.prod(),
        "this is the product of the strides, the distance between neighbours: the field counts the kernels too",
        lambda k, s: s.prod(),
        "each layer has the stride of the one before it alone: all layers before it stretch its steps, a product",
        lambda k, s: _field_with(k, [1, *s[:-1].tolist()]),
        "each layer has its own stride here: it takes the product of the strides before it",
        lambda k, s: _field_with(k, s),
        "every layer has the product of all strides here: each takes that of the layers before it",
        lambda k, s: _field_with(k, s.prod()),
        "the strides were added: a stride of 2 after one of 2 makes steps of 4, so they multiply",
        lambda k, s: _field_with(k, list(accumulate([1, *s[:-1].tolist()]))),
        lambda k, s: _field_with(k, [1, *s.cumsum(0)[:-1].tolist()]),
        "a row of r outputs spans (r − 1) · stride + kernel inputs: you took r · stride + kernel",
        _backwards(lambda r, k, s: r * s + k),
        "a row of r outputs spans (r − 1) · stride + kernel inputs: you took r · stride + kernel − 1",
        _backwards(lambda r, k, s: r * s + k - 1),
        "the recursion must begin with one output, r = 1: you began with 0",
        _backwards(lambda r, k, s: (r - 1) * s + k, first=0),
        "this is the field to one side of the middle: count both sides, k − 1 steps a layer and not half of them",
        lambda k, s: 1 + (_field(2 * (k // 2) + 1, s) - 1) // 2,
        lambda k, s: 1 + (_field(2 * ((k - 1) // 2) + 1, s) - 1) // 2,
        "you counted as many steps to either side of a middle: an even kernel has none, and makes k − 1 steps in all",
        lambda k, s: _field(2 * (k // 2) + 1, s),
        lambda k, s: _field(2 * ((k - 1) // 2) + 1, s),
        "only the last layer counts here: add up the steps of all layers",
        _of_some(slice(None), slice(-1, None)),
        _of_some(slice(-1, None), slice(None)),
        "the first layer is left out: its kernel adds k − 1 steps, and its stride stretches those of the others",
        _of_some(slice(1, None), slice(None)),
        _of_some(slice(None), slice(1, None)),
        "the last layer is left out: its kernel adds k − 1 steps of the longest kind",
        _of_some(slice(None), slice(-1)),
        "the first stride is in none of your products: a layer takes those of all layers before it, the first included",
        _strides_from(lambda layer: slice(1, layer)),
        "your product is shifted by one layer: it leaves out the first stride and takes the layer's own; take those before it",
        _strides_from(lambda layer: slice(1, layer + 1)),
        "your product stops one layer early: the stride of the layer just before counts as well",
        _strides_from(lambda layer: slice(layer - 1)),
        _strides_from(lambda layer: slice(max(layer - 1, 0))),
        "this is the number of pixels in the field: return its side",
        lambda k, s: _field(k, s) ** 2,
        "you returned the field after each layer: return that of the last, one number without axes",
        lambda k, s: torch.stack([_field(k[: n + 1], s[: n + 1]) for n in range(len(k))]),
        "the number is right, but has an axis: return a tensor without axes",
        lambda k, s: _field(k, s)[None],
        "the number is right, but a float: return int64; every term is whole",
        lambda k, s: _field(k, s).double(),
    ),
)


# 4. the decoder that mirrors an encoder

Sizing = Callable[[int, int, int, int], float]  # size, kernel, stride, padding → size


def _down(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _up(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size - 1) * stride - 2 * padding + kernel


def _mirror_by(
    down: Sizing = _down,
    up: Sizing = _up,
    result: Callable[[list[int], list[int]], tuple[list[int], list[int]]] = lambda sizes, gaps: (sizes, gaps[::-1]),
) -> Answer:
    """An answer with these rules; `result` takes the sizes and, in the encoder's order, what the decoder misses."""

    def answer(size: int, kernels: Tensor, strides: Tensor, paddings: Tensor) -> tuple[Tensor, Tensor]:
        layers = list(zip(kernels.tolist(), strides.tolist(), paddings.tolist(), strict=True))
        sizes = [size]
        for layer in layers:
            sizes.append(int(down(sizes[-1], *layer)))
        gaps = [int(before - up(after, *layer)) for (before, after), layer in zip(pairwise(sizes), layers, strict=True)]
        first, second = result(sizes, gaps)
        return torch.tensor(first), torch.tensor(second)

    return answer


_mirror = _mirror_by()


def _paddings_by(rule: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Answer:
    """The right sizes, with output paddings that `rule` makes of the sizes, kernels, strides and paddings."""

    def answer(size: int, kernels: Tensor, strides: Tensor, paddings: Tensor) -> tuple[Tensor, Tensor]:
        sizes: Tensor = _mirror(size, kernels, strides, paddings)[0]
        return sizes, rule(sizes, kernels, strides, paddings)

    return answer


def _decoded(sizes: Tensor, kernels: Tensor, strides: Tensor, paddings: Tensor) -> list[int]:
    """The sizes of a decoder without output padding, from the code up."""
    decoded = [int(sizes[-1])]
    for layer in zip(kernels.tolist()[::-1], strides.tolist()[::-1], paddings.tolist()[::-1], strict=True):
        decoded.append(_up(decoded[-1], *layer))
    return decoded


def _mirror_cases(generator: Generator) -> list[Arguments]:
    listed = [
        (28, [3, 3, 3], [2, 2, 2], [1, 1, 1]),
        (20, [3], [3], [0]),
        (48, [5, 4, 3, 3], [3, 2, 1, 2], [1, 1, 1, 1]),
        (10, [3, 5], [1, 1], [1, 0]),
        (32, [4, 4, 4], [2, 2, 2], [1, 1, 1]),
        (59, [2, 4, 3], [3, 2, 2], [0, 2, 0]),
    ]
    cases: list[Arguments] = [(size, *map(torch.tensor, layers)) for size, *layers in listed]
    for layers in (3, 2):
        size = int(_whole(generator, 60, 99))
        ranges = [(2, 5), (1, 3), (0, 1)]
        cases.append((size, *[_whole(generator, low, high, layers) for low, high in ranges]))
    return cases


mirror = Exercise(
    "mirror",
    _mirror,
    _mirror_cases,
    wrong(
        "the output paddings are in the encoder's order: the decoder's first layer undoes the encoder's last",
        _mirror_by(result=lambda sizes, gaps: (sizes, gaps)),
        "an output padding of stride − 1 is the largest: give back only the rows that the floor lost",
        _paddings_by(lambda sizes, k, s, p: s.flip(0) - 1),
        _paddings_by(lambda sizes, k, s, p: s - 1),
        "without output padding the decoder ends smaller than the picture: give back the rows that the floor lost",
        _paddings_by(lambda sizes, k, s, p: torch.zeros_like(s)),
        "the output paddings have the wrong sign: they are added, size_in less what the layer makes without them",
        _mirror_by(result=lambda sizes, gaps: (sizes, [-gap for gap in gaps[::-1]])),
        "an output padding is not just 0 or 1: a stride of 3 can lose two rows",
        _mirror_by(result=lambda sizes, gaps: (sizes, [min(gap, 1) for gap in gaps[::-1]])),
        "the last layer gets all the output padding here: each layer gives back what its own floor lost",
        _mirror_by(result=lambda sizes, gaps: (sizes, [0] * (len(gaps) - 1) + [sum(gaps)])),
        _paddings_by(
            lambda sizes, k, s, p: torch.tensor([0] * (len(s) - 1) + [int(sizes[0]) - _decoded(sizes, k, s, p)[-1]])
        ),
        "losses pile up here: a decoder's layer starts from the size that the one before it reaches with its output padding",
        _paddings_by(lambda sizes, k, s, p: (sizes.flip(0) - torch.tensor(_decoded(sizes, k, s, p)))[1:]),
        "this is not what the floor lost: that is the remainder of size + 2 · padding − kernel by the stride",
        _paddings_by(lambda sizes, k, s, p: (sizes[:-1] % s).flip(0)),
        _paddings_by(lambda sizes, k, s, p: (sizes[:-1] - sizes[1:] * s).flip(0)),
        _paddings_by(lambda sizes, k, s, p: ((sizes[:-1] - k) % s).flip(0)),
        _paddings_by(lambda sizes, k, s, p: ((sizes[:-1] + 2 * p) % s).flip(0)),
        _paddings_by(lambda sizes, k, s, p: ((sizes[:-1] + p - k) % s).flip(0)),
        "the sizes run from the code up, but kernels, strides and paddings from the picture down: reverse all or none",
        _paddings_by(lambda sizes, k, s, p: sizes.flip(0)[1:] - ((sizes.flip(0)[:-1] - 1) * s - 2 * p + k)),
        "a transposed convolution of n entries makes n − 1 steps: you multiplied the stride by n",
        _mirror_by(up=lambda n, k, s, p: n * s - 2 * p + k),
        "the kernel is missing in the size of the transposed convolution: the last entry still spreads over a kernel",
        _mirror_by(up=lambda n, k, s, p: (n - 1) * s - 2 * p),
        "the padding was added in the transposed convolution: there it cuts rows off, 2 · padding of them",
        _mirror_by(up=lambda n, k, s, p: (n - 1) * s + 2 * p + k),
        "the padding counts once in the transposed convolution: it cuts rows off on both sides, 2 · padding",
        _mirror_by(up=lambda n, k, s, p: (n - 1) * s - p + k),
        "the padding is missing in the transposed convolution: it cuts off 2 · padding rows",
        _mirror_by(up=lambda n, k, s, p: (n - 1) * s + k),
        "each output padding is one too large: a transposed convolution makes (n − 1) · stride − 2 · padding + kernel rows without it",
        _mirror_by(up=lambda n, k, s, p: (n - 1) * s - 2 * p + k - 1),
        "the sizes run from the code up: begin with the picture",
        _mirror_by(result=lambda sizes, gaps: (sizes[::-1], gaps[::-1])),
        "the two orders are exchanged: the sizes begin with the picture, the output paddings with the decoder's first layer",
        _mirror_by(result=lambda sizes, gaps: (sizes[::-1], gaps)),
        "the picture's own size is missing: the sizes begin with it, layers + 1 in all",
        _mirror_by(result=lambda sizes, gaps: (sizes[1:], gaps[::-1])),
        "the last size is missing: what the last layer leaves counts too, layers + 1 in all",
        _mirror_by(result=lambda sizes, gaps: (sizes[:-1], gaps[::-1])),
        "the two results are exchanged: sizes first, then output paddings",
        _mirror_by(result=lambda sizes, gaps: (gaps[::-1], sizes)),
        "the sizes are rounded up: a convolution rounds down, which is why rows are lost",
        _mirror_by(down=lambda n, k, s, p: ceil((n + 2 * p - k) / s) + 1),
        "the + 1 is missing in the sizes: see 09.1",
        _mirror_by(down=lambda n, k, s, p: (n + 2 * p - k) // s),
        "the padding counts once in the sizes: it is added on both sides, 2 · padding",
        _mirror_by(down=lambda n, k, s, p: (n + p - k) // s + 1),
        "the padding is missing in the sizes: it adds 2 · padding before the division",
        _mirror_by(down=lambda n, k, s, p: (n - k) // s + 1),
        "the numbers are right, but floats: return int64, with // in place of /",
        lambda n, k, s, p: tuple(r.double() for r in _mirror(n, k, s, p)),
    ),
    results=("sizes", "output_paddings"),
)


# 5. the compliance of a layout by finite elements


def _modulus(density: Tensor, power: int = 3) -> Tensor:
    return VOID + density**power * (1 - VOID)


def _pairs(unknowns: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each entry of each element's matrix: twice [elements, 8, 8]."""
    return unknowns[:, :, None].expand(-1, -1, 8), unknowns[:, None, :].expand(-1, 8, -1)


def _assembled(modulus: Tensor, element: Tensor, unknowns: Tensor, free: int, accumulating: bool = True) -> Tensor:
    """K of the free displacements: what belongs to a clamped one goes to a row beyond them, and is cut off."""
    entries = modulus[:, None, None] * element
    pairs = _pairs(torch.where(unknowns < 0, free, unknowns))
    whole: Tensor = entries.new_zeros(free + 1, free + 1).index_put(pairs, entries, accumulate=accumulating)
    return whole[:free, :free]


def _last_wins(modulus: Tensor, element: Tensor, unknowns: Tensor, free: int) -> Tensor:
    stiffness = element.new_zeros(free, free)
    for value, numbers in zip(modulus, unknowns, strict=True):
        kept = numbers >= 0
        rows, columns = torch.meshgrid(numbers[kept], numbers[kept], indexing="ij")
        stiffness = stiffness.index_put((rows, columns), value * element[kept][:, kept])
    return stiffness


def _one_by_one(block: Callable[[Tensor, Tensor], Tensor], skipping: bool = True) -> Answer:
    """K by += of an element's block; block: of the element's matrix and which of its displacements are kept."""

    def stiffness(modulus: Tensor, element: Tensor, unknowns: Tensor, free: int) -> Tensor:
        whole = element.new_zeros(free, free)
        for value, numbers in zip(modulus, unknowns, strict=True):
            kept = numbers >= 0 if skipping else numbers >= -1
            there = numbers[kept]
            whole[there[:, None], there] += value * block(element, kept)
        return whole

    return stiffness


def _without_edges(modulus: Tensor, element: Tensor, unknowns: Tensor, free: int) -> Tensor:
    inside = (unknowns >= 0).all(1)
    return _assembled(modulus[inside], element, unknowns[inside], free)


def _wrapping(
    modulus: Tensor,
    element: Tensor,
    unknowns: Tensor,
    free: int,
    kept: Callable[[Tensor, Tensor], Tensor] = lambda rows, columns: rows >= -1,
) -> Tensor:
    """Index −1 is the last one; kept: which rows and columns are not skipped."""
    rows, columns = _pairs(unknowns)
    here = kept(rows, columns)
    entries = (modulus[:, None, None] * element)[here]
    whole: Tensor = element.new_zeros(free, free).index_put((rows[here], columns[here]), entries, accumulate=True)
    return whole


def _moved(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
    moved: Tensor = torch.linalg.solve(_assembled(_modulus(density), element, unknowns, len(force)), force)
    return moved


def _energies(moved: Tensor, element: Tensor, unknowns: Tensor) -> Tensor:
    """u_e · k u_e of every element."""
    of_element = torch.cat([moved, moved.new_zeros(1)])[torch.where(unknowns < 0, len(moved), unknowns)]
    return torch.einsum("ei,ij,ej->e", of_element, element, of_element)


def _compliance_by(modulus: Callable[[Tensor], Tensor] = _modulus, stiffness: Answer = _assembled) -> Answer:
    def answer(density: Tensor, element: Tensor, unknowns: Tensor, force: Tensor) -> Tensor:
        moved: Tensor = torch.linalg.solve(stiffness(modulus(density), element, unknowns, len(force)), force)
        return force @ moved

    return answer


_compliance = _compliance_by()


def _compliance_of_moved(measure: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """What `measure` makes of the displacements and the force."""
    return lambda density, element, unknowns, force: measure(_moved(density, element, unknowns, force), force)


def _mesh(nx: int, ny: int, held: Callable[[int, int, int], bool]) -> Tensor:
    """Numbers of the displacements of each element, [elements, 8]; held: of column, row and direction of a node."""
    numbers, free = {}, 0
    for column in range(nx + 1):
        for row in range(ny + 1):
            for way in (0, 1):
                numbers[column, row, way] = -1 if held(column, row, way) else free
                free += not held(column, row, way)
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    return torch.tensor(
        [
            [numbers[column + right, row + down, way] for right, down in corners for way in (0, 1)]
            for column in range(nx)
            for row in range(ny)
        ]
    )


def _compliance_cases(generator: Generator) -> list[Arguments]:
    # On springs, for without them a K to whose unknowns the clamped displacements are added is singular, and what
    # is only rounding error can match no mistake.
    element = torch.from_numpy(element_stiffness()) + 0.3 * torch.eye(8, dtype=torch.float64)

    def case(nx: int, ny: int, held: Callable[[int, int, int], bool], scale: float = 1.0) -> Arguments:
        unknowns = _mesh(nx, ny, held)
        density = (0.2 + 0.8 * uniform(generator, nx * ny)).requires_grad_()
        return density, scale * element, unknowns, normal(generator, int(unknowns.max()) + 1)

    def at_the_left(column: int, row: int, way: int) -> bool:
        return column == 0

    _, _, two, force = case(2, 1, at_the_left)
    nearly_void = torch.tensor([1.0, 1e-3], dtype=torch.float64, requires_grad=True)
    # One free element and eight that are free in one displacement each: here a wrong K too is regular.
    places = torch.arange(8)
    single = torch.where(places[:, None] == places, places, -1)
    nine = (0.2 + 0.8 * uniform(generator, 9)).requires_grad_()
    return [
        (nine, element, torch.cat([places[None], single]), normal(generator, 8)),
        case(1, 1, at_the_left),
        case(3, 2, lambda column, row, way: column == row == 0),
        case(4, 3, lambda column, row, way: (column == 0 and way == 0) or (column == 4 and row == 3 and way == 1)),
        case(3, 2, lambda column, row, way: row == 2, scale=2.0),
        (nearly_void, element, two, force),
        case(1, 3, at_the_left),
    ]


compliance_of = Exercise(
    "compliance_of",
    _compliance,
    _compliance_cases,
    wrong(
        "the modulus is linear in ρ here: it grows with ρ³, which makes half-filled elements poor value",
        _compliance_by(lambda d: _modulus(d, 1)),
        "the modulus grows with ρ³: you took ρ²",
        _compliance_by(lambda d: _modulus(d, 2)),
        "your modulus vanishes with ρ³: E_min is added to the cube, so that an empty element keeps K regular",
        _compliance_by(lambda d: d**3),
        "every element has the same modulus here: each has its own, from its own density",
        _compliance_by(lambda d: _modulus(d.mean()).expand_as(d)),
        _compliance_by(lambda d: _modulus(d).mean().expand_as(d)),
        "every element is solid here: multiply its matrix by its modulus, E_min + ρ³ (1 − E_min)",
        _compliance_by(lambda d: torch.ones_like(d)),
        "½ f·u is the strain energy: the compliance is f·u",
        lambda d, k, n, f: 0.5 * _compliance(d, k, n, f),
        "elements that share a node overwrite one another: add each one's matrix to K (accumulate=True, or += one element at a time)",
        _compliance_by(stiffness=_last_wins),
        _compliance_by(stiffness=partial(_assembled, accumulating=False)),
        "index −1 is the last unknown in Python, so the clamped displacements were added to it: skip them",
        _compliance_by(stiffness=_wrapping),
        "an entry with one clamped displacement was kept, and index −1 adds it to the last unknown: skip rows and columns",
        _compliance_by(stiffness=partial(_wrapping, kept=lambda rows, columns: rows >= 0)),
        _compliance_by(stiffness=partial(_wrapping, kept=lambda rows, columns: columns >= 0)),
        _compliance_by(stiffness=partial(_wrapping, kept=lambda rows, columns: (rows >= 0) | (columns >= 0))),
        "the clamped displacements were taken for number 0: skip them",
        _compliance_by(stiffness=lambda m, k, n, free: _assembled(m, k, n.clamp(min=0), free)),
        "element[kept, kept] is the diagonal alone, and it was spread over all rows: element[kept][:, kept] is the block",
        _compliance_by(stiffness=_one_by_one(lambda k, kept: k[kept, kept])),
        _compliance_by(stiffness=_one_by_one(lambda k, kept: k[kept, kept][:, None])),
        "the −1 were kept: Python takes index −1 for the last unknown, and += adds but one entry where a number occurs twice",
        _compliance_by(stiffness=_one_by_one(lambda k, kept: k, skipping=False)),
        "you took the first rows and columns of the element's matrix: take those of its free displacements, element[kept][:, kept]",
        _compliance_by(stiffness=_one_by_one(lambda k, kept: k[: int(kept.sum()), : int(kept.sum())])),
        "you left out every element with a clamped node: skip only the rows and columns of its clamped displacements",
        _compliance_by(stiffness=_without_edges),
        lambda d, k, n, f: f @ torch.linalg.inv(_without_edges(_modulus(d), k, n, len(f))) @ f,
        "u·u is not the compliance: that is the work of the load, f·u",
        _compliance_of_moved(lambda u, f: u @ u),
        _compliance_of_moved(lambda u, f: u.norm()),
        "you summed the displacements: the compliance weights them by the forces, f·u",
        _compliance_of_moved(lambda u, f: u.sum()),
        _compliance_of_moved(lambda u, f: u.abs().sum()),
        "these are the displacements u: the compliance is f·u",
        _compliance_of_moved(lambda u, f: u),
        "you multiplied K by the force: K u = f must be solved for u",
        lambda d, k, n, f: f @ _assembled(_modulus(d), k, n, len(f)) @ f,
        "this is the reciprocal of the compliance, a stiffness: return f·u itself",
        _compliance_of_moved(lambda u, f: 1 / (f @ u)),
        "Σ u·k u of solid elements is not f·u: each term needs the modulus of its element",
        lambda d, k, n, f: _energies(_moved(d, k, n, f), k, n).sum(),
        "the gradient has the wrong sign: u was detached, but it depends on the density too",
        lambda d, k, n, f: (_modulus(d) * _energies(_moved(d.detach(), k, n, f), k, n)).sum(),
        "the value is right, but no gradient reaches the density: something was detached, or made anew from numbers",
        lambda d, k, n, f: _compliance(d.detach(), k, n, f),
    ),
)
