"""The sheet on more than was given: pixel shuffle, a colour with a known grey, one window of SSIM, an exact enlarger, a mean or
a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate, silu

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, normal, uniform

# 1. pixel shuffle

_shuffle = Formula(
    "x factor",
    split=lambda x, factor: x.unflatten(1, (-1, factor, factor)),  # [batch, c, u, v, h, w]
    laid=lambda split: split.permute(0, 1, 4, 2, 5, 3),  # [batch, c, h, u, w, v]
    merged=lambda laid: laid.flatten(4, 5).flatten(2, 3),
)


def _laid(*axes: int) -> Formula:
    """With the axes in another order."""
    return _shuffle.but(laid=lambda split: split.permute(*axes))


def _shuffle_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, channels: int, factor: int, height: int, width: int) -> Arguments:
        return normal(generator, batch, channels * factor**2, height, width), factor

    plain = [case(2, 1, 2, 3, 4), case(3, 2, 2, 2, 3), case(2, 3, 3, 3, 2), case(1, 2, 2, 4, 4)]
    return [*plain, case(2, 3, 1, 2, 3), case(1, 1, 4, 1, 1), case(4, 1, 3, 5, 1)]


pixel_shuffle = Exercise(
    "pixel_shuffle",
    _shuffle,
    _shuffle_cases,
    wrong(
        "you reshaped without moving axes: the numbers of a row follow each other, so neighbours in a channel stay neighbours; permute first",
        _shuffle.but(merged=lambda x, factor: x.reshape(len(x), -1, factor * x.shape[2], factor * x.shape[3])),
        "rows and columns within a block are exchanged: channel f·u + v goes to row u, column v of its block",
        _laid(0, 1, 4, 3, 5, 2),
        "each channel became a small picture of its own, laid out as tiles: the f² channels of one pixel become one block",
        _laid(0, 1, 2, 4, 3, 5),
        "rows are interleaved, columns lie side by side as tiles: a pixel's place j and the place v in its block make column f·j + v",
        _laid(0, 1, 4, 2, 3, 5),
        "columns are interleaved, rows lie below each other as tiles: a pixel's place i and the place u in its block make row f·i + u",
        _laid(0, 1, 2, 4, 5, 3),
        "the input's channels were split in another order: the f² channels of one output channel stand together, c·f² + f·u + v",
        _shuffle.but(split=lambda x, factor: x.unflatten(1, (factor, factor, -1)).movedim(3, 1)),
        _shuffle.but(split=lambda x, factor: x.unflatten(1, (factor, -1, factor)).movedim(2, 1)),
        "one channel of each f² was repeated over its block: every pixel of a block has its own channel",
        _shuffle.but(
            split=lambda x, factor: x.unflatten(1, (-1, factor, factor))[:, :, :1, :1].expand(
                -1, -1, factor, factor, -1, -1
            )
        ),
        "a block holds the mean of its channels f² times: every pixel of a block has its own channel",
        _shuffle.but(
            split=lambda x, factor: (
                x.unflatten(1, (-1, factor**2)).mean(2)[:, :, None, None].expand(-1, -1, factor, factor, -1, -1)
            )
        ),
        "the blocks are upside down: u counts rows from the top",
        _shuffle.but(split=lambda x, factor: x.unflatten(1, (-1, factor, factor)).flip(2)),
        "the blocks are mirrored: v counts columns from the left",
        _shuffle.but(split=lambda x, factor: x.unflatten(1, (-1, factor, factor)).flip(3)),
        "the blocks are turned by 180°: channel 0 goes to the top left corner",
        _shuffle.but(split=lambda x, factor: x.unflatten(1, (-1, factor, factor)).flip(2, 3)),
        "height and width are exchanged: [height, u] make the rows, [width, v] the columns",
        _laid(0, 1, 5, 3, 4, 2),
        _laid(0, 1, 5, 2, 4, 3),
    ),
)


# 2. a colour with a known grey

_LUMA = (0.299, 0.587, 0.114)


def _weighted(*weights: float) -> Callable[[Tensor], Tensor]:
    """The weighted sum of the channels, [batch, 1, height, width]."""
    return lambda colour: (torch.tensor(weights, dtype=colour.dtype)[:, None, None] * colour).sum(1, keepdim=True)


_along = torch.tensor(_LUMA, dtype=torch.float64)[:, None, None]
_recolour = Formula(
    "grey colour",
    luma=_weighted(*_LUMA),
    lacks=lambda grey, luma: grey - luma,
    result=lambda colour, lacks: colour + lacks,
)


def _recolour_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int) -> Arguments:
        batch, height, width = shape
        return uniform(generator, batch, 1, height, width), uniform(generator, batch, 3, height, width)

    bright, vivid = case(2, 3, 3)
    return [
        case(3, 4, 5),
        (0.9 + 0.1 * bright, vivid),
        (0.1 * bright, vivid),
        case(1, 2, 2),
        case(3, 3, 1),
        case(1, 1, 1),
    ]


recolour = Exercise(
    "recolour",
    _recolour,
    _recolour_cases,
    wrong(
        "the sign is flipped: add what the luma lacks, grey − luma",
        _recolour.but(lacks=lambda grey, luma: luma - grey),
        "the grey was added without taking the colour's own luma away: add the difference",
        _recolour.but(lacks=lambda grey: grey),
        "the luma is the plain mean of the channels: green counts for most, 0.587",
        _recolour.but(luma=lambda colour: colour.mean(1, keepdim=True)),
        "the weights stand in the order blue, green, red: the channels are red, green, blue",
        _recolour.but(luma=_weighted(*reversed(_LUMA))),
        "these are the weights of Rec. 709, for high-definition video: the task gives those of Rec. 601",
        _recolour.but(luma=_weighted(0.2126, 0.7152, 0.0722)),
        "the colour was multiplied by grey / luma: the luma is right, and C_B and C_R are not those of the colour",
        _recolour.but(result=lambda colour, grey, luma: colour * grey / luma),
        "the colour was multiplied by the grey, as the lecture paints: the luma of the result is then not the grey",
        _recolour.but(result=lambda colour, grey: colour * grey),
        "each channel got its weight's share: the shares add up to the difference, but the luma weighs them again",
        _recolour.but(result=lambda colour, lacks: colour + _along * lacks),
        "the shortest way to the right luma, along the weights, changes C_B and C_R: add the same to all three channels",
        _recolour.but(result=lambda colour, lacks: colour + _along * lacks / _along.square().sum()),
        "one channel alone was changed: that shifts the colour; add the same to all three",
        *[
            _recolour.but(result=lambda colour, lacks, i=i: colour + torch.eye(3)[i][:, None, None] * lacks / _LUMA[i])
            for i in range(3)
        ],
        "the difference was spread over the channels, a third each: add all of it to each",
        _recolour.but(result=lambda colour, lacks: colour + lacks / 3),
        "the result was clamped to [0, 1]: it then has another luma than the grey; leave that to the screen",
        _recolour.then(lambda result: result.clamp(0, 1)),
        "only the grey is left: C_B and C_R of the colour are to be kept",
        _recolour.but(result=lambda grey, colour: grey.expand_as(colour)),
        "the luma was averaged over the picture: every pixel has its own",
        _recolour.but(luma=lambda colour: _weighted(*_LUMA)(colour).mean((2, 3), keepdim=True)),
        "the difference was averaged over the picture: every pixel lacks its own",
        _recolour.but(lacks=lambda grey, luma: (grey - luma).mean((2, 3), keepdim=True)),
        "this is grey, C_B, C_R: return red, green, blue",
        _recolour.but(
            result=lambda grey, colour, luma: torch.cat(
                [grey, (colour[:, 2:] - luma) / 1.772, (colour[:, :1] - luma) / 1.402], 1
            )
        ),
        "nothing was changed: the luma of the result must be the grey",
        _recolour.but(result=lambda colour: colour.clone()),
    ),
)


# 3. one window of the structural similarity

_window = Formula(
    "a b weights",
    mean_a=lambda a, weights: (weights * a).sum(-1),
    mean_b=lambda b, weights: (weights * b).sum(-1),
    variance_a=lambda a, weights, mean_a: (weights * (a - mean_a[:, None]).square()).sum(-1),
    variance_b=lambda b, weights, mean_b: (weights * (b - mean_b[:, None]).square()).sum(-1),
    covariance=lambda a, b, weights, mean_a, mean_b: (weights * (a - mean_a[:, None]) * (b - mean_b[:, None])).sum(-1),
    c1=lambda: 0.01**2,
    c2=lambda: 0.03**2,
    light=lambda mean_a, mean_b, c1: (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1),
    structure=lambda covariance, variance_a, variance_b, c2: (2 * covariance + c2) / (variance_a + variance_b + c2),
    result=lambda light, structure: light * structure,
)


def _window_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, n: int, contrast: float = 1.0) -> Arguments:
        distance = torch.linspace(-2, 2, n, dtype=torch.float64) if n > 1 else torch.zeros(1, dtype=torch.float64)
        weights = torch.softmax(-distance.square() + 0.3 * normal(generator, n), 0)
        a = uniform(generator, batch, n)
        b = contrast * (0.6 * a + 0.4 * uniform(generator, batch, n))
        return a, b, weights

    alike, other, weights = case(3, 9)
    opposite = (alike, 1 - alike, weights)
    faint = (0.02 * alike, 0.03 * other, weights)
    paper = (torch.zeros(2, 9, dtype=torch.float64), 0.1 * other[:2], weights)
    return [
        case(4, 25),
        case(3, 9, 0.5),
        opposite,
        faint,
        paper,
        (alike, alike.clone(), weights),
        case(1, 4),
        case(2, 1),
    ]


window_similarity = Exercise(
    "window_similarity",
    _window,
    _window_cases,
    wrong(
        "the weights are ignored: means, variances and covariance are weighted sums",
        _window.given(weights=lambda w: torch.full_like(w, 1 / len(w))),
        "the means are not weighted: they are weighted sums too",
        _window.but(mean_a=lambda a: a.mean(-1), mean_b=lambda b: b.mean(-1)),
        "the covariance is not centred: subtract the means before you multiply",
        _window.but(covariance=lambda a, b, weights: (weights * a * b).sum(-1)),
        "the variances are not centred: these are means of squares",
        _window.but(
            variance_a=lambda a, weights: (weights * a * a).sum(-1),
            variance_b=lambda b, weights: (weights * b * b).sum(-1),
        ),
        "nothing is centred: variances and covariance are of what differs from the means",
        _window.but(
            variance_a=lambda a, weights: (weights * a * a).sum(-1),
            variance_b=lambda b, weights: (weights * b * b).sum(-1),
            covariance=lambda a, b, weights: (weights * a * b).sum(-1),
        ),
        "c₁ and c₂ are exchanged: c₁ = 0.01² stands beside the means",
        _window.but(c1=lambda: 0.03**2, c2=lambda: 0.01**2),
        "the constants are not squared: c₁ = 0.01², c₂ = 0.03²",
        _window.but(c1=lambda: 0.01, c2=lambda: 0.03),
        "the constants are left out: two pieces of paper would give 0 / 0",
        _window.but(c1=lambda: 0.0, c2=lambda: 0.0),
        "the same constant stands in both factors: c₂ = 0.03² is for the second",
        *[_window.but(c2=lambda: 0.01**2), _window.but(c1=lambda: 0.03**2)],
        "the first factor lacks its 2: equal means must give 1",
        _window.but(light=lambda mean_a, mean_b, c1: (mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)),
        "the second factor lacks its 2: equal windows must give 1",
        _window.but(
            structure=lambda covariance, variance_a, variance_b, c2: (covariance + c2) / (variance_a + variance_b + c2)
        ),
        "both factors lack their 2: equal windows must give 1",
        _window.but(
            light=lambda mean_a, mean_b, c1: (mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1),
            structure=lambda covariance, variance_a, variance_b, c2: (covariance + c2) / (variance_a + variance_b + c2),
        ),
        "the product of the standard deviations stands where the covariance belongs: that compares contrasts, not places",
        _window.but(covariance=lambda variance_a, variance_b: (variance_a * variance_b).sqrt()),
        "the covariance lost its sign: a picture and its negative are dissimilar",
        _window.but(
            structure=lambda covariance, variance_a, variance_b, c2: (
                (2 * covariance.abs() + c2) / (variance_a + variance_b + c2)
            )
        ),
        "standard deviations stand under the fraction: it takes variances",
        _window.but(
            structure=lambda covariance, variance_a, variance_b, c2: (
                (2 * covariance + c2) / (variance_a.sqrt() + variance_b.sqrt() + c2)
            )
        ),
        "this is a correlation: the second factor divides by the sum of the variances, and so compares contrasts too",
        _window.but(
            structure=lambda covariance, variance_a, variance_b, c2: (
                (covariance + c2 / 2) / ((variance_a * variance_b).sqrt() + c2 / 2)
            )
        ),
        "the factors were averaged: multiply them",
        _window.but(result=lambda light, structure: (light + structure) / 2),
        "the factors were added: multiply them",
        _window.but(result=lambda light, structure: light + structure),
        "the second factor is missing: a window and its blurred self would be equal",
        _window.but(result=lambda light: light),
        "the first factor is missing: a window and a brighter one would be equal",
        _window.but(result=lambda structure: structure),
        "the means under the first fraction are not squared",
        _window.but(light=lambda mean_a, mean_b, c1: (2 * mean_a * mean_b + c1) / (mean_a + mean_b + c1)),
        "the weights were squared in the variances: each squared difference has its weight once",
        _window.but(
            variance_a=lambda a, weights, mean_a: (weights * (a - mean_a[:, None])).square().sum(-1),
            variance_b=lambda b, weights, mean_b: (weights * (b - mean_b[:, None])).square().sum(-1),
            covariance=lambda a, b, weights, mean_a, mean_b: (
                weights**2 * (a - mean_a[:, None]) * (b - mean_b[:, None])
            ).sum(-1),
        ),
        "the windows were averaged: return one number for each",
        _window.then(torch.mean),
    ),
)


# 4. an enlarger that is exact

_enlarger = Formula(
    "small factor first between second",
    made=lambda small, first, between, second: second(between(first(small))),  # [batch, f², h, w]
    mean=lambda made: made.mean(1, keepdim=True),
    centred=lambda made, mean: made - mean,
    blocks=lambda centred, small: centred + small,
    picture=lambda blocks, factor: _shuffle(blocks, factor),
)


def _enlarger_of(
    forward: Answer = _enlarger,
    between: Answer = silu,
    kernel: int = 3,
    bias: bool = True,
    outputs: Callable[[int], int] = lambda factor: factor**2,
) -> type[nn.Module]:
    """kernel: the side of both; outputs: channels of the second, for a factor."""

    class Enlarger(nn.Module):
        def __init__(self, factor: int, channels: int) -> None:
            super().__init__()
            self.factor = factor
            self.first = nn.Conv2d(1, channels, kernel, padding=kernel // 2, bias=bias)
            self.second = nn.Conv2d(channels, outputs(factor), kernel, padding=kernel // 2, bias=bias)

        def forward(self, small: Tensor) -> Any:
            return forward(small, self.factor, self.first, between, self.second)

    return Enlarger


def _enlarger_cases(generator: Generator) -> list[Arguments]:
    def case(factor: int, channels: int, *shape: int) -> Arguments:
        batch, height, width = shape
        return factor, channels, uniform(generator, batch, 1, height, width, gradient=True)

    return [case(2, 5, 3, 4, 3), case(3, 4, 2, 3, 5), case(2, 3, 1, 2, 2), case(4, 2, 2, 1, 3)]


ExactEnlarger = Exercise(
    "ExactEnlarger",
    _enlarger_of(),
    _enlarger_cases,
    wrong(
        "the mean of the f² channels is not subtracted: what they add to a block must have the mean 0",
        _enlarger_of(_enlarger.but(centred=lambda made: made)),
        "y is not in the result: add it after the mean is subtracted",
        _enlarger_of(_enlarger.but(blocks=lambda centred: centred)),
        _enlarger_of(
            _enlarger.but(
                made=lambda small, first, between, second: second(between(first(small))) + small,
                blocks=lambda centred: centred,
            )
        ),
        "the mean was taken over the pixels of each channel: a block is made of the f² channels of one pixel, so average over the channels",
        _enlarger_of(_enlarger.but(mean=lambda made: made.mean((2, 3), keepdim=True))),
        "the mean was taken over all channels and pixels of a picture: every block has its own",
        _enlarger_of(_enlarger.but(mean=lambda made: made.mean((1, 2, 3), keepdim=True))),
        "the mean was taken over the batch: the pictures have nothing to do with each other",
        _enlarger_of(_enlarger.but(mean=lambda made: made.mean(0, keepdim=True))),
        "the sum of the channels was subtracted: subtract their mean",
        _enlarger_of(_enlarger.but(mean=lambda made: made.sum(1, keepdim=True))),
        "y was divided by f²: each pixel of a block gets y, whose mean is then y",
        _enlarger_of(_enlarger.but(blocks=lambda centred, small, factor: centred + small / factor**2)),
        "the result starts from a bicubic picture, whose block means are not y: start from y, repeated",
        _enlarger_of(
            _enlarger.but(
                picture=lambda centred, small, factor: (
                    interpolate(small, scale_factor=factor, mode="bicubic") + _shuffle(centred, factor)
                )
            )
        ),
        "the channels were reshaped into the picture: a block is made of the f² channels of one pixel, by pixel shuffle",
        _enlarger_of(
            _enlarger.but(picture=lambda blocks, factor: blocks.reshape(len(blocks), 1, factor * blocks.shape[2], -1))
        ),
        "rows and columns within a block are exchanged: use nn.PixelShuffle",
        _enlarger_of(_enlarger.but(picture=lambda blocks, factor: _laid(0, 1, 4, 3, 5, 2)(blocks, factor))),
        "SiLU is missing between the convolutions: two linear layers without it are one",
        _enlarger_of(between=nn.Identity()),
        "between the convolutions stands another activation: SiLU is asked for",
        *[_enlarger_of(between=a) for a in (nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.LeakyReLU())],
        "an activation follows the second convolution: what is left open may be negative",
        *[
            _enlarger_of(
                _enlarger.but(made=lambda small, first, between, second, a=a: a(second(between(first(small)))))
            )
            for a in (nn.SiLU(), nn.ReLU(), nn.Sigmoid(), nn.Tanh())
        ],
        "something follows the sum with y: the block means are then no longer y",
        *[_enlarger_of(_enlarger.then(a)) for a in (nn.Sigmoid(), nn.ReLU(), nn.SiLU(), nn.Tanh())],
        _enlarger_of(_enlarger.then(lambda picture: picture.clamp(0, 1))),
        "the convolutions have another size: 3 × 3 is asked for",
        *[_enlarger_of(kernel=1), _enlarger_of(kernel=5)],
        "the convolutions have no bias: leave it in",
        _enlarger_of(bias=False),
        "the second convolution makes one channel, repeated over the block: it takes f² channels, one for each pixel of a block",
        _enlarger_of(
            _enlarger.but(centred=lambda made, mean, factor: (made - mean).expand(-1, factor**2, -1, -1)),
            outputs=lambda factor: 1,
        ),
        "y was detached, so that no gradient flows back through it",
        _enlarger_of(_enlarger.given(small=lambda small: small.detach().requires_grad_())),
        _enlarger_of(_enlarger.but(blocks=lambda centred, small: centred + small.detach())),
    ),
    results=RESULTS,
    prepare=behaviour(2),
)


# 5. a mean or a choice

_choice = Formula(
    "p colours",
    apart=lambda colours: (colours[:, None] - colours).square().sum(-1),  # [colours, colours]
    mean=lambda p, colours: p @ colours,
    least=lambda p, mean, colours: (p * (mean[:, None] - colours).square().sum(-1)).sum(-1),
    drawn=lambda p, apart: ((p @ apart) * p).sum(-1),
    likely=lambda p, apart: (p * apart[p.argmax(-1)]).sum(-1),
    result=lambda least, drawn, likely: (least, drawn, likely),
)


def _choice_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, colours: int, channels: int = 3, sharp: float = 1.0) -> Arguments:
        p = torch.softmax(sharp * normal(generator, batch, colours), -1)
        return p, uniform(generator, colours, channels)

    certain = torch.eye(4, dtype=torch.float64)[:3]
    coins = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8]], dtype=torch.float64)
    coins = coins + torch.tensor([[1e-3, -1e-3, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)  # no tie
    lonely = torch.tensor([[0.4, 0.3, 0.3]], dtype=torch.float64)  # the most probable colour lies far from the others
    three = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.1, 0.9], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return [
        (lonely, three),
        case(4, 6),
        case(3, 5, sharp=2.0),
        (certain, uniform(generator, 4, 3)),
        (coins, uniform(generator, 3, 3)),
        case(1, 2),
        case(2, 3, 5),
    ]


mean_or_choice = Exercise(
    "mean_or_choice",
    _choice,
    _choice_cases,
    wrong(
        "a draw has the error of the mean here: truth and draw scatter both, so it has twice as much (j and k go both over all colours)",
        _choice.but(drawn=lambda least: least),
        _choice.but(drawn=lambda p, apart: ((p @ apart.triu()) * p).sum(-1)),
        "a draw has four times the error of the mean here: variances of independent draws add up, they are not doubled as lengths",
        _choice.but(drawn=lambda least: 4 * least),
        "this draw takes every colour equally often: it takes colour j with probability p_j",
        _choice.but(drawn=lambda p, apart: (p @ apart).mean(-1)),
        "truth and draw took the same colour: they are independent, so the sum runs over all pairs, p_j p_k",
        _choice.but(drawn=lambda p, apart: torch.zeros_like(p[:, 0])),
        "the third is the probability that the most probable colour is wrong: how wrong counts too, in squared distance",
        _choice.but(likely=lambda p: 1 - p.amax(-1)),
        "the third is the distance from the mean to the most probable colour: the truth scatters around the mean besides",
        _choice.but(likely=lambda p, mean, colours: (colours[p.argmax(-1)] - mean).square().sum(-1)),
        "the third is of the least probable colour",
        _choice.but(likely=lambda p, apart: (p * apart[p.argmin(-1)]).sum(-1)),
        "the third is that of the colour with the least error: the most probable one is another, in general",
        _choice.but(likely=lambda p, apart: (p @ apart).amin(-1)),
        "the third is the distance to the most probable colour averaged over colours: weight it by p",
        _choice.but(likely=lambda p, apart: apart[p.argmax(-1)].mean(-1)),
        "the mean is that of the colours, each counted once: weight them by p",
        _choice.but(mean=lambda p, colours: colours.mean(0).expand(len(p), -1)),
        "the first is E‖c‖²: the squared length of the mean has to be subtracted",
        _choice.but(least=lambda p, colours: (p * colours.square().sum(-1)).sum(-1)),
        "the first is the mean distance from the mean colour without the weights p",
        _choice.but(least=lambda mean, colours: (mean[:, None] - colours).square().sum(-1).mean(-1)),
        "the channels were averaged: a squared distance is the sum over them",
        lambda p, colours: tuple(v / colours.shape[1] for v in _choice(p, colours)),
        "these are distances, not squared",
        _choice.but(
            apart=lambda colours: torch.cdist(colours, colours),
            least=lambda p, mean, colours: (p * (mean[:, None] - colours).norm(dim=-1)).sum(-1),
        ),
        "the batch was averaged: return one number for each picture",
        lambda p, colours: tuple(v.mean() for v in _choice(p, colours)),
        "draw and most probable colour are exchanged: the order is mean, draw, most probable",
        _choice.but(result=lambda least, drawn, likely: (least, likely, drawn)),
    ),
    results=("error of the mean", "error of a draw", "error of the most probable"),
)
