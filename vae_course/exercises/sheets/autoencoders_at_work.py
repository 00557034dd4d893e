"""The sheet on autoencoders at work: corrupted pixels, decibels, a map of errors, a denoising loss, the area under a curve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, Step, bits, normal, uniform

# 1. salt and pepper

_corrupt = Formula(
    "x uniforms share",
    low=lambda share: share / 2,
    high=lambda share: 1 - share / 2,
    pepper=lambda uniforms, low: uniforms < low,
    salt=lambda uniforms, high: uniforms >= high,
    salted=lambda x, salt: x.masked_fill(salt, 1.0),
    result=lambda salted, pepper: salted.masked_fill(pepper, 0.0),
)
_twice = _corrupt.but(low=lambda share: share, high=lambda share: 1 - share)
_exchanged = _corrupt.but(result=lambda x, pepper, salt: x.masked_fill(pepper, 1.0).masked_fill(salt, 0.0))
_salt_last = _corrupt.but(result=lambda x, pepper, salt: x.masked_fill(pepper, 0.0).masked_fill(salt, 1.0))


def _salt_and_pepper_cases(generator: Generator) -> list[Arguments]:
    def case(share: float, *shape: int) -> Arguments:
        return uniform(generator, *shape), uniform(generator, *shape), share

    x, uniforms, _ = case(0.0, 2, 1, 5, 4)
    uniforms[:, :, 0] = 0  # a uniform may be 0
    quarters = torch.arange(16, dtype=torch.float64).remainder(4).reshape(1, 1, 4, 4) / 4
    plain = [case(0.3, 4, 1, 6, 6), case(0.6, 3, 3, 5, 4), case(0.5, 1, 1, 3, 3)]
    ink = bits(generator, 2, 1, 28, 28), uniform(generator, 2, 1, 28, 28), 0.1
    all_replaced, grey = case(1.0, 3, 2, 4, 4), 0.5 + 0.1 * uniform(generator, 1, 1, 4, 4)
    return [*plain, ink, (x, uniforms, 0.0), all_replaced, (grey, quarters, 0.5), case(0.4, 1, 1, 1, 1)]


salt_and_pepper = Exercise(
    "salt_and_pepper",
    _corrupt,
    _salt_and_pepper_cases,
    wrong(
        "twice as many pixels as asked for were replaced: p is the share of both kinds together, so each has p/2",
        _twice,
        _salt_last.but(low=lambda share: share, high=lambda share: 1 - share),
        _twice.but(salt=lambda uniforms, high: uniforms > high),
        "there is salt only: where u < p/2 the pixel becomes 0",
        *[_corrupt.but(result=lambda salted: salted), _twice.but(result=lambda salted: salted)],
        _corrupt.but(result=lambda x, pepper: x.masked_fill(pepper, 1.0)),
        "there is pepper only: where u ≥ 1 − p/2 the pixel becomes 1",
        *[_corrupt.but(salted=lambda x: x), _twice.but(salted=lambda x: x)],
        "1 was added to a pixel, or subtracted from it: salt is 1 and pepper 0, whatever stood there",
        _corrupt.but(result=lambda x, pepper, salt: x + salt.double() - pepper.double()),
        _corrupt.but(result=lambda x, pepper, salt: x * ~pepper + salt),
        _corrupt.but(result=lambda salted, pepper: salted - pepper.double()),
        "salt and pepper are exchanged: small uniforms make 0, large ones 1",
        _exchanged,
        "the uniform itself was written into the picture: it only decides; what is written is 0 or 1",
        _corrupt.but(result=lambda x, uniforms, pepper, salt: torch.where(pepper | salt, uniforms, x)),
        _corrupt.but(result=lambda x, uniforms, pepper, salt: torch.where(pepper | salt, x, uniforms)),
        "one uniform decides for a whole picture or row: every pixel has its own",
        _corrupt.given(uniforms=lambda u: u[:, :1, :1, :1].expand_as(u)),
        _corrupt.given(uniforms=lambda u: u[:, :, :, :1].expand_as(u)),
        _corrupt.given(uniforms=lambda u: u[:, :, :1].expand_as(u)),
        "all channels of a place were decided by one uniform: each channel has its own",
        _corrupt.given(uniforms=lambda u: u[:, :1].expand_as(u)),
        "the share of each kind is right, its place is not: pepper is for u < p/2 and salt for u ≥ 1 − p/2",
        _corrupt.but(salt=lambda uniforms, low, share: (uniforms >= low) & (uniforms < share)),
        _exchanged.but(salt=lambda uniforms, low, share: (uniforms >= low) & (uniforms < share)),
        _corrupt.but(pepper=lambda uniforms, high, share: (uniforms >= 1 - share) & (uniforms < high)),
        "uniforms on a threshold went the wrong way: u < p/2 is pepper and u ≥ 1 − p/2 is salt, so that a share of 0 changes nothing",
        _corrupt.but(pepper=lambda uniforms, low: uniforms <= low),
        _corrupt.but(salt=lambda uniforms, high: uniforms > high),
        _corrupt.but(pepper=lambda uniforms, low: uniforms <= low, salt=lambda uniforms, high: uniforms > high),
        "the picture was compared with the thresholds: compare the uniforms with them",
        _corrupt.but(pepper=lambda x, low: x < low, salt=lambda x, high: x >= high),
        *[_corrupt.but(salt=lambda x, high: x >= high), _corrupt.but(pepper=lambda x, low: x < low)],
        "torch.where has its values in another order: the condition, what is taken where it is true, what is taken elsewhere",
        _corrupt.but(result=lambda x, pepper, salt: torch.where(pepper, torch.where(salt, x, 1.0), 0.0)),
        _corrupt.but(result=lambda x, pepper, salt: torch.where(salt, torch.where(pepper, x, 0.0), 1.0)),
        _corrupt.but(result=lambda x, pepper, salt: torch.where(pepper, torch.where(salt, 1.0, x), 0.0)),
        _corrupt.but(result=lambda x, pepper, salt: torch.where(pepper, 0.0, torch.where(salt, x, 1.0))),
        _corrupt.but(result=lambda x, pepper, salt: torch.where(salt, torch.where(pepper, 0.0, x), 1.0)),
        _corrupt.but(result=lambda x, pepper, salt: torch.where(salt, 1.0, torch.where(pepper, x, 0.0))),
        "all replaced pixels got the same value: half of them become 0, half of them 1",
        _corrupt.but(result=lambda x, pepper, salt: x.masked_fill(pepper | salt, 0.0)),
        _corrupt.but(result=lambda x, pepper, salt: x.masked_fill(pepper | salt, 1.0)),
        "salt has another threshold, 1 − p/2: p alone is divided by 2, not 1 − p",
        _corrupt.but(high=lambda share: (1 - share) / 2),
        "one kind has the whole share p and the other half of it: each has p/2",
        *(order.but(high=lambda share: 1 - share) for order in (_corrupt, _salt_last)),
        *(order.but(low=lambda share: share) for order in (_corrupt, _salt_last)),
        "picture and noise were blended: a pixel is either replaced or kept as it is",
        _corrupt.but(result=lambda x, uniforms, share: (1 - share) * x + share * (uniforms >= 0.5)),
        _corrupt.but(result=lambda x, uniforms, share: (1 - share) * x + share * uniforms),
        _corrupt.but(result=lambda x, share: (1 - share) * x),
        "nothing of the picture is left: pixels between the thresholds keep the value that they have in x",
        _corrupt.given(x=lambda x: torch.full_like(x, 0.5)),
        _corrupt.but(salted=lambda uniforms, salt: uniforms.masked_fill(salt, 1.0)),
        *[_corrupt.given(x=torch.zeros_like), _corrupt.given(x=torch.ones_like)],
        "no pixel was replaced: return the changed copy, and note that p // 2 is 0 where p / 2 is meant",
        _corrupt.but(result=lambda x: x.clone()),
    ),
)


# 2. the peak signal-to-noise ratio

_psnr = Formula(
    "reconstruction x peak",
    difference=lambda reconstruction, x: reconstruction - x,
    squares=lambda difference: difference.square(),
    mse=lambda squares: squares.flatten(1).mean(1),
    ratio=lambda mse, peak: peak**2 / mse,
    bels=lambda ratio: ratio.log10(),
    decibels=lambda bels: 10 * bels,
)


def _psnr_cases(generator: Generator) -> list[Arguments]:
    def case(peak: float, std: float, *shape: int) -> Arguments:
        x = peak * uniform(generator, *shape)
        lengths = torch.linspace(0.5, 2, shape[0], dtype=torch.float64)[:, None, None, None]
        return x + peak * std * lengths * normal(generator, *shape), x, peak

    same = uniform(generator, 3, 1, 4, 4)
    coloured = case(2.0, 0.2, 3, 3, 4, 5)
    coloured[0][:, 0] += 0.5  # one channel is worse than the others
    plain = [case(1.0, 0.1, 4, 1, 5, 6), case(255.0, 0.05, 3, 3, 4, 2), case(1.0, 0.3, 1, 1, 3, 4)]
    return [*plain, coloured, case(1.0, 1e-4, 2, 1, 6, 6), case(1.0, 1.5, 3, 1, 1, 1), (same.clone(), same, 1.0)]


def _kept_finite(change: Callable[[Tensor], Tensor]) -> Formula:
    """change: of the MSE, so that it is not 0."""
    return _psnr.but(ratio=lambda mse, peak: peak**2 / change(mse))


peak_signal_to_noise = Exercise(
    "peak_signal_to_noise",
    _psnr,
    _psnr_cases,
    wrong(
        "this is the natural logarithm, or that to base 2: decibels take log₁₀",
        *[_psnr.but(bels=lambda ratio: ratio.log()), _psnr.but(bels=lambda ratio: ratio.log2())],
        "the factor 20 belongs to the ratio of peak and *root* mean squared error: squared quantities take 10",
        _psnr.but(decibels=lambda bels: 20 * bels),
        _psnr.but(ratio=lambda mse, peak: peak / mse, decibels=lambda bels: 20 * bels),
        "you took a root and kept the factor 10: use either 10 log₁₀ of peak² / MSE or 20 log₁₀ of peak / √MSE",
        _psnr.but(ratio=lambda mse, peak: peak / mse.sqrt()),
        _psnr.but(ratio=lambda mse, peak: peak**2 / mse.sqrt()),
        "the logarithm is of the whole ratio, peak² / MSE, and 10 stands before it",
        _psnr.but(decibels=lambda mse, peak: 10 * peak**2 / mse.log10()),
        _psnr.but(decibels=lambda mse, peak: peak**2 / mse.log10()),
        _psnr.but(decibels=lambda ratio: (10 * ratio).log10()),
        "the peak is not squared: the ratio is peak² / MSE",
        _psnr.but(ratio=lambda mse, peak: peak / mse),
        "the peak is ignored: its square stands above the MSE, and is 1 for grey in [0, 1] only",
        *[_psnr.given(peak=lambda peak: 1), _psnr.given(peak=lambda peak: 255)],
        "you summed the squared errors: MSE is their mean over the pixels of a picture",
        _psnr.but(mse=lambda squares: squares.flatten(1).sum(1)),
        "you summed over the channels: the MSE is their mean too",
        _psnr.but(mse=lambda squares: squares.sum(1).mean((1, 2))),
        "you averaged the error over the batch: every picture has its own MSE and its own PSNR",
        _psnr.but(mse=lambda squares: squares.mean()),
        _psnr.but(mse=lambda squares: squares.mean().expand(len(squares))),
        "you averaged the decibels of the batch: return one number per picture",
        _psnr.then(torch.mean),
        "the fraction is upside down, or the sign is flipped: a smaller error has more decibels",
        _psnr.but(ratio=lambda mse, peak: mse / peak**2),
        "you averaged absolute differences: MSE is the mean of their squares",
        _psnr.but(mse=lambda difference: difference.abs().flatten(1).mean(1)),
        _psnr.but(mse=lambda difference: difference.abs().flatten(1).mean(1).square()),
        "you averaged the differences with their signs, so that they cancel: square each one first",
        _psnr.but(mse=lambda difference: difference.flatten(1).mean(1).square()),
        _psnr.but(mse=lambda difference: difference.flatten(1).mean(1).abs()),
        "the largest value of the pictures at hand was taken for the peak: it is the largest *possible* one, the argument",
        _psnr.but(ratio=lambda mse, x: x.flatten(1).amax(1) ** 2 / mse),
        _psnr.but(ratio=lambda mse, x: x.max() ** 2 / mse),
        _psnr.but(ratio=lambda mse, reconstruction: reconstruction.flatten(1).amax(1) ** 2 / mse),
        "equal pictures were kept from infinity, by a constant beside the MSE or a cap: there the PSNR is infinite",
        *(_kept_finite(partial(torch.add, other=small)) for small in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)),
        *(_kept_finite(partial(torch.clamp, min=small)) for small in (1e-10, 1e-12)),
        *(_psnr.then(partial(torch.nan_to_num, posinf=cap)) for cap in (0, 100)),
        "these are bels: a decibel is a tenth of a bel, so multiply by 10",
        _psnr.but(decibels=lambda bels: bels),
        "you averaged over some axes of a picture only: its MSE is over channels, height and width",
        _psnr.but(mse=lambda squares: squares.mean((2, 3))),
        *[_psnr.but(mse=lambda squares: squares.mean(-1)), _psnr.but(mse=lambda squares: squares.mean(1))],
        "you averaged the decibels of channels or pixels: average the squared errors of the whole picture first",
        _psnr.but(mse=lambda squares: squares.mean((2, 3)), decibels=lambda bels: 10 * bels.mean(1)),
        _psnr.but(mse=lambda squares: squares, decibels=lambda bels: 10 * bels.mean((1, 2, 3))),
    ),
)


# 3. the map of errors


def _smooth(values: Tensor, height: int, width: int, stride: int = 1) -> Tensor:
    """The mean over a window about each pixel, of those that lie in the picture."""
    return avg_pool2d(values, (height, width), stride, (height // 2, width // 2), count_include_pad=False)


_error_map = Formula(
    "reconstruction x window",
    difference=lambda reconstruction, x: reconstruction - x,
    squares=lambda difference: difference.square().sum(1),
    height=lambda window: window,
    width=lambda window: window,
    stride=lambda: 1,
    reach=lambda window: window // 2,
    means=lambda squares, height, width, stride: _smooth(squares, height, width, stride),
)


def _filled(mode: str, squares: Tensor, window: int, reach: int) -> Tensor:
    """The means where the border is filled with copies of other pixels."""
    return avg_pool2d(pad(squares[:, None], [reach] * 4, mode=mode)[:, 0], window, 1)


def _slices(e: Tensor, before: int, after: int, wrap: bool = False) -> Tensor:
    """Means over slices from i − before to i + after, the end excluded."""

    def span(i: int) -> slice:
        return slice(i - before if wrap else max(0, i - before), max(0, i + after))

    rows = [[e[:, span(i), span(j)].mean((1, 2)) for j in range(e.shape[2])] for i in range(e.shape[1])]
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def _error_map_cases(generator: Generator) -> list[Arguments]:
    def case(window: int, *shape: int, scale: float = 1.0) -> Arguments:
        return scale * uniform(generator, *shape), scale * uniform(generator, *shape), window

    sizes = [(3, 3, 1, 6, 5), (3, 2, 3, 4, 7), (5, 1, 2, 5, 5), (1, 2, 3, 4, 3), (7, 2, 1, 28, 28), (1, 1, 1, 1, 1)]
    extreme = [case(3, 1, 1, 3, 9, scale=100.0), case(5, 4, 1, 7, 6, scale=0.01)]
    return [*(case(*size) for size in sizes), *extreme]


error_map = Exercise(
    "error_map",
    _error_map,
    _error_map_cases,
    wrong(
        "the squared errors were not averaged over the window",
        _error_map.but(means=lambda squares: squares),
        "you averaged over the channels: the squared errors of a pixel's channels are summed",
        _error_map.but(squares=lambda difference: difference.square().mean(1)),
        "these are absolute errors: square the differences",
        _error_map.but(squares=lambda difference: difference.abs().sum(1)),
        "the channels' differences were summed with their signs before the square: square first, then sum over the channels",
        _error_map.but(squares=lambda difference: difference.sum(1).square()),
        "you smoothed before the square, the pictures or their difference, so that errors of opposite sign cancel: square first",
        _error_map.but(means=lambda difference, window: _smooth(difference, window, window).square().sum(1)),
        _error_map.but(means=lambda difference, window: _smooth(difference.sum(1), window, window).square()),
        "at the border zeros beyond the picture were counted: divide by the number of pixels that exist (count_include_pad=False)",
        _error_map.but(means=lambda squares, window, reach: avg_pool2d(squares, window, 1, reach)),
        "you summed over the window: divide by the number of its pixels that lie in the picture",
        _error_map.but(means=lambda squares, window, reach: window**2 * avg_pool2d(squares, window, 1, reach)),
        "the map is smaller than the picture: pad by window // 2 on each side, so that the borders have their pixels too",
        _error_map.but(means=lambda squares, window: avg_pool2d(squares, window, 1)),
        "the windows do not overlap: avg_pool2d steps by a whole window unless it is given stride=1",
        _error_map.but(stride=lambda window: window),
        _error_map.but(means=lambda squares, window, reach: avg_pool2d(squares, window, padding=reach)),
        _error_map.but(means=lambda squares, window: avg_pool2d(squares, window)),
        "the border was filled with copies of other pixels (replicate, reflect or circular): average over those that exist",
        *(_error_map.but(means=partial(_filled, mode)) for mode in ("replicate", "reflect", "circular")),
        "the window is a line: it is square, as many rows high as columns wide",
        *[_error_map.but(height=lambda: 1), _error_map.but(width=lambda: 1)],
        "you averaged over the pictures of the batch too: every picture has its own map",
        _error_map.then(lambda means: means.mean(0).expand_as(means)),
        _error_map.then(lambda means: means.mean(0)),
        "the border is left 0: near it the window is cut off, and its mean is over the pixels that exist",
        _error_map.but(means=lambda squares, window, reach: pad(avg_pool2d(squares, window, 1), [reach] * 4)),
        "a root was taken, of every pixel or of the means: average the squared errors as they are",
        _error_map.but(squares=lambda difference: difference.square().sum(1).sqrt()),
        _error_map.then(torch.sqrt),
        "this is the largest error in the window: take the mean",
        _error_map.but(means=lambda squares, window, reach: max_pool2d(squares, window, 1, reach)),
        "`window` was taken for how far it reaches to each side: it is the whole width, and reaches window // 2",
        _error_map.given(window=lambda window: 2 * window + 1),
        "the result still has a channel axis: return [batch, height, width]",
        _error_map.then(lambda means: means[:, None]),
        _error_map.but(squares=lambda difference: difference.square()),
        "the window ends a pixel early: a slice excludes its end, so from the centre it goes to window // 2 + 1",
        _error_map.but(means=lambda squares, reach: _slices(squares, reach, reach)),
        "the window begins or ends at the pixel: the pixel is its centre, with window // 2 on either side",
        _error_map.but(means=lambda squares, window: _slices(squares, 0, window)),
        _error_map.but(means=lambda squares, window: _slices(squares, window - 1, 1)),
        "the start of a slice is negative near the border, and counts from the other end: take max(0, …)",
        _error_map.but(means=lambda squares, reach: _slices(squares, reach, reach + 1, wrap=True)),
    ),
)


# 4. the loss of a denoising autoencoder

Model = Callable[[Tensor], Tensor]
_denoising = Formula(
    "model x noise",
    noisy=lambda x, noise: x + noise,
    output=lambda model, noisy: model(noisy),
    target=lambda x: x,
    error=lambda output, target: output - target,
    squares=lambda error: error.square(),
    loss=lambda squares: squares.flatten(1).sum(1),
)


def _model(generator: Generator, noise: Tensor, kind: str) -> Model:
    """A network, a convolution, the identity, or a picture that does not depend on the input.

    The convolution refuses flat pictures.

    The engine follows gradients to tensors among the arguments, but what matters here is the gradient of the model's
    parameters. So they depend on the noise, and the input is detached: the noise's gradient is then theirs alone.
    """
    size = noise[0].numel()
    first, second = normal(generator, size, size), normal(generator, size, size)
    kernel = normal(generator, noise.shape[1], noise.shape[1], 3, 3)

    def network(x: Tensor) -> Tensor:
        tuned = 1 + noise.flatten()[0].sin()  # computed at each call: a graph serves one gradient only
        if kind == "network":
            return ((x.detach().flatten(1) @ first * tuned).tanh() @ second / 4).reshape(x.shape)
        if kind == "convolution":
            return conv2d(x.detach(), kernel * tuned, padding=1).tanh()
        return (x.detach() if kind == "identity" else torch.full_like(x, 0.3)) * tuned / tuned.detach()

    return network


def _denoising_cases(generator: Generator) -> list[Arguments]:
    def case(kind: str, scale: float, *shape: int) -> Arguments:
        x, noise = uniform(generator, *shape), normal(generator, *shape, scale=scale, gradient=True)
        return _model(generator, noise, kind), x, noise

    convolved = case("convolution", 0.5, 4, 2, 4, 3)
    shapes = [(0.5, 5, 1, 2, 3), (1.0, 1, 1, 3, 3), (0.3, 3, 3, 2, 2), (0.0, 3, 1, 2, 2), (20.0, 2, 1, 4, 2)]
    simple = [case("identity", 0.5, 4, 1, 3, 4), case("constant", 0.5, 2, 2, 2, 3)]
    return [convolved, *(case("network", scale, *shape) for scale, *shape in shapes), *simple]


denoising_loss = Exercise(
    "denoising_loss",
    _denoising,
    _denoising_cases,
    wrong(
        "the target is the noisy picture: the identity map has loss 0 there, so the model learns to copy; compare with the clean one",
        _denoising.but(target=lambda noisy: noisy),
        "the model was given the clean picture: it never sees noise, so it cannot learn to remove it",
        _denoising.but(noisy=lambda x: x),
        "the model was given pictures without their four axes: give it x + noise as it is, and flatten the difference",
        _denoising.but(noisy=lambda x, noise: (x + noise).flatten(1), target=lambda x: x.flatten(1)),
        lambda model, x, noise: (model((x + noise).flatten()) - x.flatten()).square().sum(),
        _denoising.but(output=lambda model, noisy: torch.stack([model(picture) for picture in noisy])),
        "the model was given the noise alone: it is given the noisy picture, x + noise",
        _denoising.but(noisy=lambda noise: noise),
        "input and target are exchanged: noisy in, clean out",
        _denoising.but(noisy=lambda x: x, target=lambda x, noise: x + noise),
        "the output was taken for the noise (compared with it, or added to the noisy picture or subtracted): this model returns the clean picture",
        _denoising.but(target=lambda noise: noise),
        _denoising.but(output=lambda model, noisy: noisy + model(noisy)),
        "the noisy picture was compared with the clean one: the model's output is to be compared, model(x + noise)",
        _denoising.but(output=lambda noisy: noisy),
        "you averaged over pixels: ‖…‖² is their sum",
        _denoising.but(loss=lambda squares: squares.flatten(1).mean(1)),
        "you averaged over the batch: return one number per picture; the training loop takes the mean",
        _denoising.then(torch.mean),
        _denoising.but(loss=lambda squares: squares.mean()),
        "you summed over the batch too: return one number per picture",
        _denoising.then(torch.sum),
        "no gradient reaches the parameters of the model: a detach, .data, no_grad, .item() or torch.tensor(…) stands in the way",
        _denoising.then(torch.detach),
        "the noisy picture was clamped to [0, 1]: give it to the model as it is",
        _denoising.but(noisy=lambda x, noise: (x + noise).clamp(0, 1)),
        "the output was clamped to [0, 1]: no gradient comes back from pixels beyond, so compare it as it is",
        _denoising.but(output=lambda model, noisy: model(noisy).clamp(0, 1)),
        "the noise was multiplied: it is added to the picture",
        *[_denoising.but(noisy=lambda x, noise: x * noise), _denoising.but(noisy=lambda x, noise: x * (1 + noise))],
        "the noise was subtracted: add it to the picture",
        _denoising.but(noisy=lambda x, noise: x - noise),
        "another error was subtracted: the loss is ‖model(x + noise) − x‖² alone",
        _denoising.but(squares=lambda error, noisy, x: error.square() - (noisy - x).square()),
        _denoising.but(squares=lambda error, model, x: error.square() - (model(x) - x).square()),
        "the target went through the model: compare with the clean picture itself",
        *[_denoising.but(target=lambda model, x: model(x)), _denoising.but(target=lambda model, x: model(x).detach())],
        "you took the square root: ‖…‖² is asked for",
        _denoising.then(torch.sqrt),
        "you squared the sum, in which differences of opposite sign cancel: square every difference, then sum",
        _denoising.but(loss=lambda error: error.flatten(1).sum(1).square()),
        "these are absolute errors, not squared ones",
        _denoising.but(squares=lambda error: error.abs()),
    ),
)


# 5. the area under the ROC curve

_area = Formula(
    "scores anomalous",
    a=lambda scores, anomalous: scores[anomalous][:, None],
    b=lambda scores, anomalous: scores[~anomalous],
    m=lambda a: len(a),
    n=lambda scores: len(scores),
    apart=lambda a, b: a - b,
    won=lambda apart: (apart > 0).double(),
    tied=lambda apart: (apart == 0).double(),
    tie=lambda: 0.5,
    pairs=lambda m, n: m * (n - m),
    area=lambda won, tied, tie, pairs: (won + tie * tied).sum() / pairs,
)
_tie_as_lost, _tie_as_won = _area.but(tie=lambda: 0), _area.but(tie=lambda: 1)
_ALL_PAIRS: list[Step] = [lambda n: n**2, lambda n: n * (n - 1), lambda n: n * (n - 1) / 2]
_by_ranks = _area.but(
    ranks=lambda scores: (scores[:, None] > scores).sum(1) + 0.5 * (scores[:, None] == scores).sum(1) + 0.5,
    least=lambda m: m * (m + 1) / 2,
    probability=lambda ranks, anomalous, least, pairs: (ranks[anomalous].sum() - least) / pairs,
)
_decision = Formula(
    "scores anomalous",
    threshold=lambda: 0.5,
    alarms=lambda scores, threshold: scores > threshold,
    share=lambda alarms, anomalous: (alarms == anomalous).double().mean(),
)
_DECISIONS = [
    _decision,
    _decision.but(alarms=lambda scores, threshold: scores >= threshold),
    _decision.but(share=lambda alarms, anomalous: alarms[anomalous].double().mean()),
]
_THRESHOLDS: list[Step] = [lambda: 0.5, lambda: 0.0, lambda scores: scores.mean(), lambda scores: scores.median()]
_curve = Formula(
    "scores anomalous",
    thresholds=lambda scores: scores,
    ends=lambda scores: scores.new_tensor([inf, -inf]),  # no alarm, and alarm for all
    falling=lambda thresholds, ends: torch.cat([thresholds, ends]).sort(descending=True).values[:, None],
    alarms=lambda scores, falling: scores >= falling,
    hits=lambda alarms, anomalous: alarms[:, anomalous].double().mean(1),
    false_alarms=lambda alarms, anomalous: alarms[:, ~anomalous].double().mean(1),
    area=lambda hits, false_alarms: torch.trapezoid(hits, false_alarms),
)
_without_ends = _curve.but(ends=lambda scores: scores[:0])
_average_precision = _without_ends.but(
    precision=lambda alarms, anomalous: alarms[:, anomalous].double().sum(1) / alarms.sum(1),
    average=lambda precision, hits: (precision * hits.diff(prepend=hits.new_zeros(1))).sum(),
)
_precision_in_order = Formula(
    "scores anomalous",
    flags=lambda scores, anomalous: anomalous[scores.argsort(descending=True, stable=True)],
    precision=lambda flags: flags.double().cumsum(0) / torch.arange(1, len(flags) + 1),
    average=lambda precision, flags: precision[flags].mean(),
)


def _nearly(close: Callable[[Tensor, Tensor], Tensor]) -> list[Formula]:
    """Pairs that are close count as ties, without and with a win beside."""
    near = _area.but(tied=lambda a, b: close(a, b).double())
    return [near, near.but(won=lambda a, b: ((a > b) & ~close(a, b)).double())]


def _in_order(order: Callable[[Tensor], Tensor]) -> Answer:
    """order: from the lowest score to the highest, one place for each example even where scores are equal."""
    return _area.given(scores=lambda scores: order(scores).argsort().double())


def _grid(steps: int, scores: Tensor) -> Tensor:
    """Thresholds from the least score to the largest."""
    return torch.linspace(float(scores.min()), float(scores.max()), steps, dtype=torch.float64)


def _area_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, anomalies: int, step: float, shift: float) -> Arguments:
        """Errors with a heavy tail; step > 0 rounds them, which makes ties."""
        anomalous = torch.zeros(n, dtype=torch.bool)
        anomalous[torch.randperm(n, generator=generator)[:anomalies]] = True
        scores = (normal(generator, n) + shift * anomalous).exp() - 0.5
        return ((scores / step).round() * step if step else scores), anomalous

    shuffled = torch.randperm(12, generator=generator)
    rising = torch.arange(12, dtype=torch.float64)
    late = rising >= 7
    whole = torch.tensor([1.0, 1, 1, 0, 0, 1, 2, 2], dtype=torch.float64)
    flags = torch.tensor([1, 0, 0, 1, 0, 1, 0, 1], dtype=torch.bool)
    near = 0.5 + 1e-9 * torch.arange(8, dtype=torch.float64)  # one number in float32
    order = torch.randperm(8, generator=generator)
    flat = torch.full((6,), 3.0, dtype=torch.float64), flags[:6]
    two = torch.tensor([1e6, -1e6], dtype=torch.float64), torch.tensor([True, False])
    plain = [case(30, 10, 0.0, 1.0), case(40, 16, 0.5, 0.8), (whole, flags)]
    uneven = [case(25, 1, 1.0, 0.5), case(400, 60, 0.0, 0.6), case(60, 30, 1.0, -0.7)]
    apart = [(rising[shuffled], late[shuffled]), (rising[shuffled] - 20, ~late[shuffled])]
    return [*plain, *uneven, *apart, (near[order], flags[order]), flat, two]


area_under_roc = Exercise(
    "area_under_roc",
    _area,
    _area_cases,
    wrong(
        "anomalous and normal are exchanged (it counts that the anomaly has the *higher* score), or the arguments of torch.trapezoid: y (hits) comes first, x (false alarms) second",
        _area.then(lambda area: 1 - area),
        _curve.but(area=lambda hits, false_alarms: torch.trapezoid(false_alarms, hits)),
        _without_ends.but(area=lambda hits, false_alarms: torch.trapezoid(false_alarms, hits)),
        _tie_as_lost.but(won=lambda apart: (apart < 0).double()),
        _tie_as_won.but(won=lambda apart: (apart < 0).double()),
        "ties were counted 0, as by > alone or by a staircase under the curve: a tie counts ½",
        _tie_as_lost,
        "ties were counted 1, as by ≥ or by a staircase over the curve: a tie counts ½",
        _tie_as_won,
        "scores that differ a little are no tie: compare them as they are, in float64, with > and ==",
        *_nearly(torch.isclose),
        *(a for size in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3) for a in _nearly(partial(torch.isclose, rtol=0, atol=size))),
        _area.given(scores=lambda scores: scores.float()),
        "a and b met entry by entry: a[:, None] against b makes all pairs",
        lambda scores, anomalous: (scores[anomalous] > scores[~anomalous]).double().mean(),
        lambda scores, anomalous: (scores[~anomalous] < scores[anomalous]).double().mean(),
        "you divided by pairs of all examples: there are m (n − m) pairs of an anomaly and a normal example",
        *(area.but(pairs=pairs) for area in (_area, _tie_as_lost) for pairs in _ALL_PAIRS),
        "divide the number of pairs won, Mann and Whitney's U, by that of all pairs, m (n − m)",
        *[_area.but(pairs=lambda: 1), _area.but(pairs=lambda m: m), _area.but(pairs=lambda m, n: n - m)],
        "the rank sum was divided as it stands: subtract its least value first, m (m + 1) / 2 for ranks from 1",
        *[_by_ranks.but(least=lambda: 0), _by_ranks.but(least=lambda m: m)],
        "ranks and what is subtracted do not fit: ranks from 1 take m (m + 1) / 2, ranks from 0 take m (m − 1) / 2",
        *[_by_ranks.but(least=lambda m: m + m * (m + 1) / 2), _by_ranks.but(least=lambda m: m * (m - 1) / 2)],
        "equal scores were put in some order: give them their mean rank, or move along the curve over all of them at once",
        *[_in_order(lambda s: s.argsort(stable=True)), _in_order(lambda s: s.argsort())],
        _in_order(lambda s: s.argsort(descending=True, stable=True).flip(0)),
        _in_order(lambda s: s.argsort(descending=True).flip(0)),
        _in_order(lambda s: torch.from_numpy(s.numpy().argsort())),
        _in_order(lambda s: torch.from_numpy((-s).numpy().argsort().copy()).flip(0)),
        "argsort returns positions, not ranks: the ranks are the argsort of the argsort",
        _area.given(scores=lambda scores: scores.argsort().double()),
        "this is the share of right decisions, or of hits, at one threshold: the area takes all of them, and false alarms too",
        *(decision.but(threshold=threshold) for decision in _DECISIONS for threshold in _THRESHOLDS),
        "this is the average precision, the area under the precision-recall curve: it changes with the share of anomalies",
        *[_average_precision, _precision_in_order],
        "only the two means were compared: count the pairs in which the anomaly has the higher score",
        _area.but(area=lambda a, b: a.mean() - b.mean()),
        _area.but(area=lambda a, b: (a.mean() > b.mean()).double()),
        "examples were compared with all others: compare each anomaly with the normal examples only",
        _area.but(a=lambda scores: scores[:, None], b=lambda scores: scores, area=lambda won: won.mean()),
        _area.but(b=lambda scores: scores, area=lambda won: won.mean()),
        "this runs from −1 to 1 (Gini's coefficient is 2 A − 1): return the probability A",
        _area.then(lambda area: 2 * area - 1),
        "an area below ½ was turned round: it says that the score is worse than chance, so keep it",
        _area.then(lambda area: torch.maximum(area, 1 - area)),
        "the curve does not reach both of its corners: it runs from (0, 0), no alarm, to (1, 1), alarm for all",
        _without_ends,
        _without_ends.but(thresholds=lambda scores: torch.cat([scores.unique()[1:], scores.max()[None] + 1])),
        "the area is negative: the false alarms fall along your curve, so sort the thresholds from the highest score down",
        *[_area.then(torch.neg), _without_ends.then(torch.neg)],
        "the thresholds stand on a grid and miss what lies between: take every score as a threshold",
        *(curve.but(thresholds=partial(_grid, n)) for n in (10, 11, 50, 100, 101) for curve in (_curve, _without_ends)),
    ),
)
