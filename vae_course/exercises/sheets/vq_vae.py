"""The sheet on the VQ-VAE: nearest codes, perplexity, a causal convolution, the straight-through line, two terms, averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from math import log
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, normalize, pad, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, ExerciseError, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, named, normal, uniform
from vae_course.exercises.slips import SMALL

Change = Callable[[Tensor], Tensor]

# 1. the nearest code of every position

_NEAREST = Formula(
    "z codebook",
    vectors=lambda z: z.movedim(1, -1),  # [batch, height, width, d]
    differences=lambda vectors, codebook: vectors[..., None, :] - codebook,
    distances=lambda differences: differences.square().sum(-1),
    codes=lambda distances: distances.argmin(-1),
)


def _cut(z: Tensor) -> Tensor:
    """Vectors of d numbers in the order of memory."""
    return z.reshape(len(z), *z.shape[2:], z.shape[1])


def _map_of_codes(generator: Generator, shape: tuple[int, ...], size: int, gradient: bool = False) -> Arguments:
    """z [batch, d, height, width] and a codebook [size, d] whose codes have different lengths."""
    lengths = torch.linspace(0.5, 2, size, dtype=torch.float64)[:, None]
    codebook = (lengths * normal(generator, size, shape[1])).requires_grad_(gradient)
    return normal(generator, *shape, gradient=gradient), codebook


def _nearest_cases(generator: Generator) -> list[Arguments]:
    shapes = [((3, 4, 6, 6), 4), ((4, 3, 6, 5), 8), ((1, 2, 4, 7), 16), ((2, 1, 3, 3), 5), ((1, 3, 1, 1), 4)]
    tiny = tuple(1e-3 * a for a in _map_of_codes(generator, (2, 5, 4, 3), 6))
    large = tuple(1e3 * a for a in _map_of_codes(generator, (2, 2, 3, 4), 6))
    single = _map_of_codes(generator, (2, 3, 2, 2), 1)
    return [*(_map_of_codes(generator, shape, size) for shape, size in shapes), tiny, large, single]


nearest_code = Exercise(
    "nearest_code",
    _NEAREST,
    _nearest_cases,
    wrong(
        "this is the farthest code: take the argmin of the distance",
        _NEAREST.but(codes=lambda distances: distances.argmax(-1)),
        "z was cut into vectors in the order of memory: move the channel axis to the end first (movedim or permute)",
        _NEAREST.but(vectors=_cut),
        _NEAREST.but(vectors=lambda z: z.reshape(z.shape[1], -1).T.reshape(_cut(z).shape)),
        "height and width are exchanged: the axes of the result are batch, height, width",
        _NEAREST.but(vectors=lambda z: z.permute(0, 3, 2, 1)),
        _NEAREST.then(lambda codes: codes.mT.reshape(codes.shape)),
        "you took the largest inner product: without ‖e‖² a long code wins too often",
        _NEAREST.but(distances=lambda vectors, codebook: -vectors @ codebook.T),
        "the square is not expanded right: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²",
        _NEAREST.but(distances=lambda vectors, codebook: codebook.square().sum(-1) - vectors @ codebook.T),
        _NEAREST.given(codebook=torch.neg),
        "vectors were scaled to length 1, as for a cosine: in a distance their lengths count",
        *[_NEAREST.given(z=normalize, codebook=normalize), _NEAREST.given(z=normalize)],
        "you summed absolute differences: the distance is Euclidean, so sum their squares",
        _NEAREST.but(distances=lambda differences: differences.abs().sum(-1)),
        "the differences were summed with their signs, so they cancel: square each one first",
        _NEAREST.but(distances=lambda differences: differences.sum(-1).square()),
        _NEAREST.but(distances=lambda differences: differences.sum(-1).abs()),
        _NEAREST.but(distances=lambda differences: differences.sum(-1)),
        "you compared z with the codebook's columns: the codes are its rows, [K, d]; check each transpose",
        lambda z, e: torch.cdist(z.movedim(1, -1).flatten(0, 2), e.T).argmin(1).reshape(len(z), *z.shape[2:]),
        _NEAREST.given(codebook=torch.t),
        "you summed the squares over the positions too: every position has its own code",
        _NEAREST.but(distances=lambda differences: differences.square().sum((1, 2, 4))),
    ),
)


# 2. the perplexity of an epoch

_PERPLEXITY = Formula(
    "codes size",
    counts=lambda codes, size: torch.bincount(codes.flatten(), minlength=size).double(),
    p=lambda counts, codes: counts / codes.numel(),
    entropy=lambda p: -torch.xlogy(p, p).sum(),
    perplexity=lambda entropy: entropy.exp(),
)
_ENTROPY = _PERPLEXITY.but(perplexity=lambda entropy: entropy)


def _mean_over(groups: Callable[[Tensor], Iterable[Tensor]], of: Formula = _PERPLEXITY) -> Answer:
    """The mean of what `of` gives for each group of codes."""
    return lambda codes, size: torch.stack([of(group, size) for group in groups(codes)]).mean()


def _with_constants(in_log: float = 0, to_counts: float = 0) -> Formula:
    """The entropy by log, with a constant added inside it, or to the counts."""
    return _PERPLEXITY.but(
        p=lambda counts: (counts + to_counts) / (counts + to_counts).sum(),
        entropy=lambda p: -(p * (p + in_log).log()).sum(),
    )


def _perplexity_cases(generator: Generator) -> list[Arguments]:
    def case(batches: int, batch: int, positions: int, size: int, used: int) -> Arguments:
        # Small codes are more frequent than large ones; every one below `used` occurs.
        drawn = (used * torch.rand(batches * batch * positions, generator=generator).square()).long()
        drawn[:used] = torch.arange(used)
        shuffled = drawn[torch.randperm(len(drawn), generator=generator)]
        return shuffled.reshape(batches, batch, positions), size

    alike = torch.full((2, 2, 3), 2)
    parted = torch.arange(4)[:, None, None].expand(4, 3, 2).contiguous()  # every batch has a code of its own
    some = [case(4, 3, 20, 40, 40), case(3, 5, 4, 12, 7), case(1, 8, 6, 10, 6), case(5, 1, 4, 6, 4)]
    few_used = [case(3, 4, 16, 512, 9), case(1, 1, 4, 5, 3)]
    return [*some, *few_used, (alike, 5), (torch.zeros_like(alike), 1), (parted, 8)]


perplexity = Exercise(
    "perplexity",
    _PERPLEXITY,
    _perplexity_cases,
    wrong(
        "you averaged over batches, pictures or positions: count the codes of the whole epoch together, then one perplexity",
        *[
            _mean_over(groups)
            for groups in (list, lambda codes: codes.flatten(0, 1), lambda codes: codes.movedim(-1, 0))
        ],
        _PERPLEXITY.but(entropy=_mean_over(list, _ENTROPY)),
        "this is the perplexity of one batch: count the codes of all batches",
        *[_PERPLEXITY.given(codes=lambda codes: codes[-1]), _PERPLEXITY.given(codes=lambda codes: codes[0])],
        "a code that never occurs makes 0 · log 0 = NaN: it must count nothing (torch.special.xlogy, or drop it)",
        _with_constants(),
        "a constant was added inside the logarithm or to the counts: give a code that never occurs the term 0 instead",
        *[_with_constants(in_log=constant) for constant in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)],
        *[_with_constants(to_counts=constant) for constant in (1, 0.5, 0.1, 1e-2, 1e-3)],
        "logarithm and power have different bases: exp belongs to nats (log), 2 to bits (log2)",
        _PERPLEXITY.but(perplexity=lambda entropy: 2**entropy),
        _PERPLEXITY.but(perplexity=lambda entropy: (entropy / log(2)).exp()),
        "this is the entropy: the perplexity is exp of the entropy in nats",
        *[_ENTROPY, _PERPLEXITY.but(perplexity=lambda entropy: entropy / log(2))],
        "the sign is flipped: the entropy is −Σ p log p, and a perplexity is at least 1",
        _PERPLEXITY.but(perplexity=lambda entropy: (-entropy).exp()),
        "you counted the codes in use, or their share: the perplexity weighs them by their frequency",
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).sum().double()),
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).sum()),
        _PERPLEXITY.but(perplexity=lambda p: (p > 0).double().mean()),
        "you divided by K: the perplexity itself is asked for, between 1 and K",
        _PERPLEXITY.but(perplexity=lambda entropy, size: entropy.exp() / size),
        "1/Σ p² is another effective number of codes: the perplexity is exp(−Σ p log p)",
        _PERPLEXITY.but(perplexity=lambda p: 1 / p.square().sum()),
        "you averaged p log p over the codes: the entropy is their sum",
        _PERPLEXITY.but(entropy=lambda p: -torch.xlogy(p, p).mean()),
        "the counts were not divided by how many codes there are in all: the frequencies must sum to 1",
        _PERPLEXITY.but(p=lambda counts, size: counts / size),
        _PERPLEXITY.but(p=lambda counts, codes: counts / codes[..., 0].numel()),
        _PERPLEXITY.but(p=lambda counts, codes: counts / len(codes)),
        _PERPLEXITY.but(p=lambda counts: counts),
        _PERPLEXITY.but(p=lambda counts: counts, entropy=lambda p: -(p * p.log()).sum()),
    ),
)


# 3. a causal convolution

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


# 4. the straight-through line


def _through(z: Tensor, e: Tensor) -> Tensor:
    return z + (e - z).detach()


_CODE = _NEAREST.but(
    chosen=lambda codebook, codes: codebook[codes],  # [batch, height, width, d]
    e=lambda chosen: chosen.movedim(-1, 1),
)
_LINE = _CODE.but(line=_through)


def _quantise_cases(generator: Generator) -> list[Arguments]:
    shapes = [((3, 3, 3, 3), 5), ((2, 3, 4, 4), 5), ((2, 4, 2, 3), 8), ((1, 1, 2, 5), 3), ((4, 2, 1, 1), 6)]
    z, codebook = _map_of_codes(generator, (2, 2, 3, 2), 4)
    exact = _CODE(z, codebook).clone().requires_grad_(), codebook.requires_grad_()
    small = tuple((1e-3 * a).requires_grad_() for a in _map_of_codes(generator, (2, 3, 2, 2), 4))
    return [*(_map_of_codes(generator, shape, size, gradient=True) for shape, size in shapes), exact, small]


quantise = Exercise(
    "quantise",
    _LINE,
    _quantise_cases,
    wrong(
        "the value is right, but no gradient reaches z: it goes to the codebook instead; detach the way from z to its code",
        _CODE,
        "the value is right, but no gradient flows back: z must keep its own, and only what is added to it is detached",
        _CODE.then(torch.detach),
        "z gets its gradient, but the codebook gets one too: detach the code as well, not z alone",
        _LINE.but(line=lambda z, e: z + (e - z.detach())),
        "this is z: its value must be that of the nearest code",
        *[_LINE.but(line=lambda z: z.clone()), _LINE.but(line=lambda z: z.detach())],
        _LINE.but(line=lambda z, e: e + (z - e).detach()),
        "you added the code to z: what is added is the way from z to its code, e − z",
        *[_LINE.but(line=lambda z, e: z + e.detach()), _LINE.but(line=lambda z, e: z + e)],
        "the sign of the way from z to its code is flipped: it is e − z",
        *[_LINE.but(line=lambda z, e: z + (z - e).detach()), _LINE.but(line=lambda z, e: z + (z - e))],
        _LINE.but(line=lambda z, e: z - (e - z).detach()),
        "the gradient to z has the wrong sign: z stands in the sum with a plus, its detached copy with a minus",
        _LINE.but(line=lambda z, e: e.detach() + z.detach() - z),
        _LINE.but(line=lambda z, e: e + (z.detach() - z)),
        _LINE.but(line=lambda z, e: (e + z).detach() - z),
        "you reshaped the codes to the shape of z: move their last axis to place 1 instead (movedim or permute)",
        _LINE.but(e=lambda z, chosen: chosen.reshape(z.shape)),
        _CODE.but(e=lambda z, chosen: chosen.reshape(z.shape)),
        "the codes have their axis d last, z has it at place 1: move it back before you subtract",
        _LINE.but(e=lambda chosen: chosen),
        "height and width of the codes are exchanged: [batch, height, width, d] goes back with permute(0, 3, 1, 2)",
        _LINE.but(e=lambda chosen: chosen.permute(0, 3, 2, 1)),
        "z was cut into vectors in the order of memory: move the channel axis to the end before the search",
        *[_LINE.but(vectors=_cut), _LINE.but(vectors=_cut, e=lambda z, chosen: chosen.reshape(z.shape))],
        "these are not the nearest codes: take the argmin of ‖z − e‖² over the codes",
        _LINE.but(codes=lambda distances: distances.argmax(-1)),
        _LINE.but(distances=lambda vectors, codebook: -vectors @ codebook.T),
    ),
)


# 5. the codebook term and the commitment term

_TERMS = Formula(
    "z nearest beta",
    to_code=lambda z, nearest: z.detach() - nearest,
    to_z=lambda z, nearest: z - nearest.detach(),
    codebook=lambda to_code: to_code.square().flatten(1).sum(1),
    commitment=lambda to_z: to_z.square().flatten(1).sum(1),
    terms=lambda codebook, commitment, beta: (codebook, beta * commitment),
)


def _measured(measure: Change) -> Answer:
    """Another measure of the difference in both terms."""
    return _TERMS.but(codebook=lambda to_code: measure(to_code), commitment=lambda to_z: measure(to_z))


def _terms_cases(generator: Generator) -> list[Arguments]:
    def case(beta: float, *shape: int, scale: float = 1.0) -> Arguments:
        z, e = (normal(generator, *shape, scale=scale, gradient=True) for _ in range(2))
        return z, e, beta

    plain = [case(0.25, 4, 3, 2, 5), case(2.0, 1, 2, 3, 1), case(0.0, 2, 2, 2, 2)]
    return [*plain, case(1.0, 3, 1, 1, 1, scale=10.0), case(0.5, 3, 4, 1, 2, scale=0.01)]


vq_terms = Exercise(
    "vq_terms",
    _TERMS,
    _terms_cases,
    wrong(
        "you summed absolute differences: both terms are squared distances",
        _measured(lambda way: way.abs().flatten(1).sum(1)),
        "β stands on the codebook term: it belongs to the commitment term, which moves the encoder",
        _TERMS.but(terms=lambda codebook, commitment, beta: (beta * codebook, commitment)),
        "the two terms are exchanged: return the codebook term first",
        _TERMS.then(lambda terms: terms[::-1]),
        "β multiplies both terms: only the commitment term has it",
        _TERMS.but(terms=lambda codebook, commitment, beta: (beta * codebook, beta * commitment)),
        "β is missing: it multiplies the commitment term",
        _TERMS.given(beta=lambda beta: 1.0),
        "β was squared with the difference: it multiplies the square",
        _TERMS.given(beta=lambda beta: beta**2),
        "a stop-gradient is missing: detach z in the codebook term and the code in the commitment term",
        _TERMS.but(to_code=lambda z, nearest: z - nearest, to_z=lambda z, nearest: z - nearest),
        *[_TERMS.but(to_code=lambda z, nearest: z - nearest), _TERMS.but(to_z=lambda z, nearest: z - nearest)],
        "the stop-gradients are exchanged: the codebook term moves the code, so there z is detached",
        _TERMS.but(terms=lambda codebook, commitment, beta: (commitment, beta * codebook)),
        "both terms detach z: the commitment term detaches the code",
        _TERMS.but(terms=lambda codebook, beta: (codebook, beta * codebook)),
        "both terms detach the code: the codebook term detaches z",
        _TERMS.but(terms=lambda commitment, beta: (commitment, beta * commitment)),
        "too much is detached: the codebook term detaches z alone, the commitment term the code alone",
        _TERMS.but(to_code=lambda z, nearest: (z - nearest).detach(), to_z=lambda z, nearest: (z - nearest).detach()),
        _TERMS.but(to_code=lambda z, nearest: (z - nearest).detach()),
        _TERMS.but(to_z=lambda z, nearest: (z - nearest).detach()),
        "the straight-through line came first: past it the codebook term moves the encoder, away from its code, and no code is moved",
        lambda z, nearest, beta: _TERMS(z, _through(z, nearest), beta),
        "z was replaced by the straight-through line, whose value is the code itself: both terms are 0 and the code gets no gradient",
        lambda z, nearest, beta: _TERMS(_through(z, nearest), nearest, beta),
        "you averaged over channels or positions: both terms are sums over d, height and width",
        _measured(lambda way: way.square().flatten(1).mean(1)),
        _measured(lambda way: way.square().sum(1).flatten(1).mean(1)),
        _measured(lambda way: way.square().mean(1).flatten(1).sum(1)),
        "you reduced over the batch too: return one number per picture",
        *[_measured(lambda way: way.square().mean()), _measured(lambda way: way.square().sum())],
        "this is the length of the difference: the terms take its square",
        _measured(lambda way: way.flatten(1).norm(dim=1)),
        _measured(lambda way: way.norm(dim=1).flatten(1).sum(1)),
        "the commitment term is 0: it is β ‖z − sg[e]‖², and without it the encoder may run away from the codes",
        _TERMS.given(beta=lambda beta: 0.0),
    ),
    results=("codebook term", "commitment term"),
)


# 6. one step of the moving averages


def _quotient(m: Tensor, n: Tensor) -> Tensor:
    """m / n, and m itself where n = 0."""
    return torch.where(n[:, None] > 0, m / torch.where(n > 0, n, 1)[:, None], m)


def _naive(m: Tensor, n: Tensor) -> Tensor:
    return m / n[:, None]


_EMA = Formula(
    "counts sums z codes decay",
    held=lambda z: z.detach(),
    n=lambda counts, codes: torch.bincount(codes, minlength=len(counts)).double(),
    s=lambda counts, codes, held: held.new_zeros(len(counts), held.shape[1]).index_add(0, codes, held),
    keep=lambda decay: decay,
    take=lambda decay: 1 - decay,
    N=lambda counts, n, keep, take: keep * counts + take * n,
    m=lambda sums, s, keep, take: keep * sums + take * s,
    codebook=lambda m, N: _quotient(m, N),
    state=lambda N, m, codebook: (N, m, codebook),
)


def _divided(by: Callable[[Tensor, Tensor], Tensor], of: str = "m N") -> Formula:
    """The codebook as another quotient, of the sums and counts named."""
    return _EMA.but(codebook=named(lambda m, n: by(m, n), of))


def _over(denominator: Change, of: str = "m N") -> Formula:
    """The sums divided by what is made of the counts."""
    return _divided(lambda m, n: m / denominator(n)[:, None], of)


def _means_of_codes(by: Callable[[Tensor, Tensor], Tensor]) -> list[Formula]:
    """The codebook as a moving average of codes: of those of the batch, and of the new ones."""
    return [
        _EMA.but(codebook=lambda sums, counts, s, n, keep, take: keep * by(sums, counts) + take * by(s, n)),
        _EMA.but(codebook=lambda sums, counts, m, N, keep, take: keep * by(sums, counts) + take * by(m, N)),
    ]


def _moved_if_used(sums: Tensor, counts: Tensor, s: Tensor, n: Tensor, decay: float) -> Tensor:
    """A moving average of codes, where one that the batch does not use stays as it was."""
    old = _quotient(sums, counts)
    return torch.where(n[:, None] > 0, decay * old + (1 - decay) * _quotient(s, n), old)


def _last(counts: Tensor, codes: Tensor, held: Tensor) -> Tensor:
    """Sums assigned by index, where of equal codes the last one stays."""
    return held.new_zeros(len(counts), held.shape[1]).index_put((codes,), held)


def _ema_cases(generator: Generator) -> list[Arguments]:
    def case(size: int, used: int, d: int, n: int, decay: float, empty: int = 0) -> Arguments:
        """Codes from `used` on have nothing in the batch; the last `empty` have no count either."""
        counts = torch.linspace(3, 0.3, size, dtype=torch.float64) + 0.2 * uniform(generator, size)
        counts[size - empty :] = 0
        sums = counts[:, None] * normal(generator, size, d)
        codes = torch.cat([torch.arange(used), torch.randint(used, (max(n - used, 0),), generator=generator)])[:n]
        shuffled = codes[torch.randperm(n, generator=generator)]
        return counts, sums, normal(generator, n, d, gradient=True), shuffled, decay

    counts, sums, *rest = case(6, 4, 2, 9, 0.75, empty=2)
    sums[-1] = 1 + sums[0].abs()  # without a count, but not zero
    sizes = [(5, 4, 3, 12, 0.9), (3, 3, 2, 9, 0.0), (4, 4, 2, 1, 0.99), (1, 1, 1, 4, 0.5), (5, 2, 2, 6, 0.0)]
    return [*(case(*numbers) for numbers in sizes), (counts, sums, *rest), case(8, 8, 4, 30, 0.3)]


ema_update = Exercise(
    "ema_update",
    _EMA,
    _ema_cases,
    wrong(
        "a gradient flows from the averages back to z: detach z, or every step keeps the graphs of all earlier ones",
        _EMA.but(held=lambda z: z),
        "γ and 1 − γ are exchanged: γ, near 1, stands before the old state",
        _EMA.given(decay=lambda decay: 1 - decay),
        "m_k takes the sum of its vectors in the batch: you took their mean, so that their number counts twice",
        _EMA.but(m=lambda sums, s, n, keep, take: keep * sums + take * _quotient(s, n)),
        "your codebook is a moving average of codes, which forgets how many vectors each had: it is m_k / N_k",
        *[_EMA.but(codebook=_moved_if_used), *_means_of_codes(_quotient), *_means_of_codes(_naive)],
        "you divided by the counts of this batch: the codebook is m_k / N_k, average by average",
        *[_over(lambda n: n.clamp(min=1), of="m n"), _divided(_naive, of="m n")],
        "γ or 1 − γ is missing, in the counts or in the sums: N ← γ N + (1 − γ) n, and likewise m",
        _EMA.but(N=lambda counts, n, take: counts + take * n),
        _EMA.but(N=lambda counts, n, keep: keep * counts + n),
        _EMA.but(m=lambda sums, s, take: sums + take * s),
        _EMA.but(m=lambda sums, s, keep: keep * sums + s),
        *[_EMA.but(keep=lambda: 1), _EMA.but(take=lambda: 1), _EMA.but(keep=lambda: 1, take=lambda: 1)],
        "the old state is ignored: this is k-means on the batch alone, right only at γ = 0",
        _EMA.given(decay=lambda decay: 0.0),
        "your codebook takes the old counts, the old sums or both: divide the new m_k by the new N_k",
        *[_divided(by, of) for of in ("sums counts", "m counts", "sums N") for by in (_quotient, _naive)],
        "a code with N_k = 0 was divided by 0: return m_k there",
        _divided(_naive),
        "a code with N_k = 0 came out as 0, or kept its old place: return m_k there, after its step",
        _EMA.but(codebook=lambda m, N: _quotient(m, N) * (N > 0)[:, None]),
        _EMA.but(codebook=lambda m, N, sums, counts: _quotient(m, N).where(N[:, None] > 0, _quotient(sums, counts))),
        "the counts were raised to 1 before the division: averages between 0 and 1 are right as they are",
        _over(partial(torch.clamp, min=1)),
        "a small constant stands in the denominator: divide by N_k itself, and where it is 0 return m_k",
        *[_over(partial(torch.add, other=small)) for small in SMALL[:7]],
        *[_over(partial(torch.clamp, min=small)) for small in SMALL[:7]],
        _over(lambda n: (n + 1e-5) / (n.sum() + 1e-5 * len(n)) * n.sum()),
        "an assignment by index keeps one vector of each code: add them all up (index_add, or a one-hot matrix)",
        _EMA.but(s=_last),
        _EMA.but(s=_last, n=lambda counts, codes: torch.zeros_like(counts).index_fill(0, codes, 1)),
        "you divided by the size of the batch: n_k is a count, and the sum of its vectors a sum",
        _EMA.but(m=lambda sums, s, z, keep, take: keep * sums + take * s / len(z)),
        _EMA.but(take=lambda decay, z: (1 - decay) / len(z)),
        "a code that the batch does not use must decay as well: you left its state as it was",
        _EMA.but(
            N=lambda counts, n, keep, take: torch.where(n > 0, keep * counts + take * n, counts),
            m=lambda sums, s, n, keep, take: torch.where(n[:, None] > 0, keep * sums + take * s, sums),
        ),
    ),
    results=("counts", "sums", "codebook"),
)
