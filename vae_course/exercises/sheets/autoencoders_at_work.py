"""The sheet on autoencoders at work: corrupted pixels, decibels, a map of errors, a denoising loss, the area under a curve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d, pad

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import bits, normal, uniform

# 1. salt and pepper


def _salt_and_pepper(x: Tensor, uniforms: Tensor, share: float) -> Tensor:
    return _replaced(x, uniforms < share / 2, uniforms >= 1 - share / 2)


def _replaced(x: Tensor, pepper: Tensor, salt: Tensor) -> Tensor:
    return x.masked_fill(salt, 1.0).masked_fill(pepper, 0.0)


def _by_masks(rule: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Answer:
    """rule: of x, the uniforms, and the masks of pepper and of salt."""
    return lambda x, uniforms, share: rule(x, uniforms, uniforms < share / 2, uniforms >= 1 - share / 2)


def _by_uniforms(change: Callable[[Tensor], Tensor]) -> Answer:
    """change: of the uniforms, before the thresholds."""
    return lambda x, uniforms, share: _salt_and_pepper(x, change(uniforms).expand_as(x), share)


def _salt_and_pepper_cases(generator: Generator) -> list[Arguments]:
    def case(share: float, *shape: int) -> Arguments:
        return uniform(generator, *shape), uniform(generator, *shape), share

    x, uniforms, _ = case(0.0, 2, 1, 5, 4)
    uniforms[:, :, 0] = 0  # a uniform may be 0
    quarters = torch.arange(16, dtype=torch.float64).remainder(4).reshape(1, 1, 4, 4) / 4
    return [
        case(0.3, 4, 1, 6, 6),
        case(0.6, 3, 3, 5, 4),
        case(0.5, 1, 1, 3, 3),
        (bits(generator, 2, 1, 28, 28), uniform(generator, 2, 1, 28, 28), 0.1),
        (x, uniforms, 0.0),
        case(1.0, 3, 2, 4, 4),
        (0.5 + 0.1 * uniform(generator, 1, 1, 4, 4), quarters, 0.5),
        case(0.4, 1, 1, 1, 1),
    ]


salt_and_pepper = Exercise(
    "salt_and_pepper",
    _salt_and_pepper,
    _salt_and_pepper_cases,
    wrong(
        "twice as many pixels as asked for were replaced: p is the share of both kinds together, so each has p/2",
        lambda x, u, p: _replaced(x, u < p, u >= 1 - p),
        lambda x, u, p: x.masked_fill(u < p, 0.0).masked_fill(u >= 1 - p, 1.0),
        lambda x, u, p: _replaced(x, u < p, u > 1 - p),
        "there is salt only: where u < p/2 the pixel becomes 0",
        lambda x, u, p: x.masked_fill(u >= 1 - p / 2, 1.0),
        lambda x, u, p: x.masked_fill(u >= 1 - p, 1.0),
        lambda x, u, p: x.masked_fill(u < p / 2, 1.0),
        "there is pepper only: where u ≥ 1 − p/2 the pixel becomes 1",
        lambda x, u, p: x.masked_fill(u < p / 2, 0.0),
        lambda x, u, p: x.masked_fill(u < p, 0.0),
        "1 was added to a pixel, or subtracted from it: salt is 1 and pepper 0, whatever stood there",
        _by_masks(lambda x, u, pepper, salt: x + salt.double() - pepper.double()),
        _by_masks(lambda x, u, pepper, salt: x * ~pepper + salt),
        _by_masks(lambda x, u, pepper, salt: x - pepper.double() + salt * (1 - x)),
        "salt and pepper are exchanged: small uniforms make 0, large ones 1",
        _by_masks(lambda x, u, pepper, salt: _replaced(x, salt, pepper)),
        "the uniform itself was written into the picture: it only decides; what is written is 0 or 1",
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper | salt, u, x)),
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper | salt, x, u)),
        "one uniform decides for a whole picture or row: every pixel has its own",
        _by_uniforms(lambda u: u[:, :1, :1, :1]),
        _by_uniforms(lambda u: u[:, :, :, :1]),
        _by_uniforms(lambda u: u[:, :, :1]),
        "all channels of a place were decided by one uniform: each channel has its own",
        _by_uniforms(lambda u: u[:, :1]),
        "the share of each kind is right, its place is not: pepper is for u < p/2 and salt for u ≥ 1 − p/2",
        lambda x, u, p: _replaced(x, u < p / 2, (u >= p / 2) & (u < p)),
        lambda x, u, p: _replaced(x, (u >= p / 2) & (u < p), u < p / 2),
        lambda x, u, p: _replaced(x, (u >= 1 - p) & (u < 1 - p / 2), u >= 1 - p / 2),
        "uniforms on a threshold went the wrong way: u < p/2 is pepper and u ≥ 1 − p/2 is salt, so that a share of 0 changes nothing",
        lambda x, u, p: _replaced(x, u <= p / 2, u >= 1 - p / 2),
        lambda x, u, p: _replaced(x, u < p / 2, u > 1 - p / 2),
        lambda x, u, p: _replaced(x, u <= p / 2, u > 1 - p / 2),
        "the picture was compared with the thresholds: compare the uniforms with them",
        lambda x, u, p: _replaced(x, x < p / 2, x >= 1 - p / 2),
        lambda x, u, p: _replaced(x, u < p / 2, x >= 1 - p / 2),
        lambda x, u, p: _replaced(x, x < p / 2, u >= 1 - p / 2),
        "torch.where has its values in another order: the condition, what is taken where it is true, what is taken elsewhere",
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper, torch.where(salt, x, 1.0), 0.0)),
        _by_masks(lambda x, u, pepper, salt: torch.where(salt, torch.where(pepper, x, 0.0), 1.0)),
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper, torch.where(salt, 1.0, x), 0.0)),
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper, 0.0, torch.where(salt, x, 1.0))),
        _by_masks(lambda x, u, pepper, salt: torch.where(salt, torch.where(pepper, 0.0, x), 1.0)),
        _by_masks(lambda x, u, pepper, salt: torch.where(salt, 1.0, torch.where(pepper, x, 0.0))),
        "all replaced pixels got the same value: half of them become 0, half of them 1",
        _by_masks(lambda x, u, pepper, salt: x.masked_fill(pepper | salt, 0.0)),
        _by_masks(lambda x, u, pepper, salt: x.masked_fill(pepper | salt, 1.0)),
        "salt has another threshold, 1 − p/2: p alone is divided by 2, not 1 − p",
        lambda x, u, p: _replaced(x, u < p / 2, u >= (1 - p) / 2),
        "one kind has the whole share p and the other half of it: each has p/2",
        lambda x, u, p: _replaced(x, u < p / 2, u >= 1 - p),
        lambda x, u, p: x.masked_fill(u < p / 2, 0.0).masked_fill(u >= 1 - p, 1.0),
        lambda x, u, p: _replaced(x, u < p, u >= 1 - p / 2),
        lambda x, u, p: x.masked_fill(u < p, 0.0).masked_fill(u >= 1 - p / 2, 1.0),
        "picture and noise were blended: a pixel is either replaced or kept as it is",
        lambda x, u, p: (1 - p) * x + p * (u >= 0.5),
        lambda x, u, p: (1 - p) * x + p * u,
        lambda x, u, p: (1 - p) * x,
        "nothing of the picture is left: pixels between the thresholds keep the value that they have in x",
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper, 0.0, torch.where(salt, 1.0, 0.5)).double()),
        _by_masks(lambda x, u, pepper, salt: torch.where(pepper, 0.0, torch.where(salt, 1.0, u))),
        _by_masks(lambda x, u, pepper, salt: salt.double()),
        _by_masks(lambda x, u, pepper, salt: (~pepper).double()),
        "no pixel was replaced: return the changed copy, and note that p // 2 is 0 where p / 2 is meant",
        lambda x, u, p: x.clone(),
    ),
)


# 2. the peak signal-to-noise ratio


def _mse(reconstruction: Tensor, x: Tensor) -> Tensor:
    return (reconstruction - x).square().flatten(1).mean(1)


def _decibels(ratio: Tensor) -> Tensor:
    return 10 * ratio.log10()


def _psnr_of(error: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """error: what stands where the mean squared error belongs."""
    return lambda reconstruction, x, peak: _decibels(peak**2 / error(reconstruction, x))


def _psnr_from(rule: Callable[[Tensor, float], Tensor]) -> Answer:
    """rule: of the mean squared errors, [batch], and the peak."""
    return lambda reconstruction, x, peak: rule(_mse(reconstruction, x), peak)


_psnr = _psnr_from(lambda mse, peak: _decibels(peak**2 / mse))


def _psnr_with_peak(own: Callable[[Tensor], Tensor]) -> Answer:
    """own: the peak, of the pictures."""
    return lambda reconstruction, x, peak: _decibels(own(x).square() / _mse(reconstruction, x))


def _psnr_cases(generator: Generator) -> list[Arguments]:
    def case(peak: float, std: float, *shape: int) -> Arguments:
        x = peak * uniform(generator, *shape)
        lengths = torch.linspace(0.5, 2, shape[0], dtype=torch.float64)[:, None, None, None]
        return x + peak * std * lengths * normal(generator, *shape), x, peak

    same = uniform(generator, 3, 1, 4, 4)
    coloured = case(2.0, 0.2, 3, 3, 4, 5)
    coloured[0][:, 0] += 0.5  # one channel is worse than the others
    return [
        case(1.0, 0.1, 4, 1, 5, 6),
        case(255.0, 0.05, 3, 3, 4, 2),
        case(1.0, 0.3, 1, 1, 3, 4),
        coloured,
        case(1.0, 1e-4, 2, 1, 6, 6),
        case(1.0, 1.5, 3, 1, 1, 1),
        (same.clone(), same, 1.0),
    ]


def _psnr_plus(small: float) -> Answer:
    return _psnr_of(lambda r, x: _mse(r, x) + small)


def _psnr_clamped(small: float) -> Answer:
    return _psnr_of(lambda r, x: _mse(r, x).clamp(min=small))


def _psnr_capped(cap: float) -> Answer:
    return _psnr_from(lambda m, p: _decibels(p**2 / m).nan_to_num(posinf=cap))


peak_signal_to_noise = Exercise(
    "peak_signal_to_noise",
    _psnr,
    _psnr_cases,
    wrong(
        "this is the natural logarithm, or that to base 2: decibels take log₁₀",
        _psnr_from(lambda mse, peak: 10 * (peak**2 / mse).log()),
        _psnr_from(lambda mse, peak: 10 * (peak**2 / mse).log2()),
        "the factor 20 belongs to the ratio of peak and *root* mean squared error: squared quantities take 10",
        _psnr_from(lambda mse, peak: 20 * (peak**2 / mse).log10()),
        _psnr_from(lambda mse, peak: 20 * (peak / mse).log10()),
        "you took a root and kept the factor 10: use either 10 log₁₀ of peak² / MSE or 20 log₁₀ of peak / √MSE",
        _psnr_from(lambda mse, peak: 10 * (peak / mse.sqrt()).log10()),
        _psnr_from(lambda mse, peak: 10 * (peak**2 / mse.sqrt()).log10()),
        "the logarithm is of the whole ratio, peak² / MSE, and 10 stands before it",
        _psnr_from(lambda mse, peak: 10 * peak**2 / mse.log10()),
        _psnr_from(lambda mse, peak: peak**2 / mse.log10()),
        _psnr_from(lambda mse, peak: (10 * peak**2 / mse).log10()),
        "the peak is not squared: the ratio is peak² / MSE",
        _psnr_from(lambda mse, peak: _decibels(peak / mse)),
        "the peak is ignored: its square stands above the MSE, and is 1 for grey in [0, 1] only",
        _psnr_from(lambda mse, peak: _decibels(1 / mse)),
        _psnr_from(lambda mse, peak: _decibels(255**2 / mse)),
        "you summed the squared errors: MSE is their mean over the pixels of a picture",
        _psnr_of(lambda r, x: (r - x).square().flatten(1).sum(1)),
        "you summed over the channels: the MSE is their mean too",
        _psnr_of(lambda r, x: (r - x).square().sum(1).mean((1, 2))),
        "you averaged the error over the batch: every picture has its own MSE and its own PSNR",
        _psnr_of(lambda r, x: (r - x).square().mean()),
        _psnr_of(lambda r, x: (r - x).square().mean().expand(len(x))),
        "you averaged the decibels of the batch: return one number per picture",
        lambda *a: _psnr(*a).mean(),
        "the fraction is upside down, or the sign is flipped: a smaller error has more decibels",
        _psnr_from(lambda mse, peak: _decibels(mse / peak**2)),
        "you averaged absolute differences: MSE is the mean of their squares",
        _psnr_of(lambda r, x: (r - x).abs().flatten(1).mean(1)),
        _psnr_of(lambda r, x: (r - x).abs().flatten(1).mean(1).square()),
        "you averaged the differences with their signs, so that they cancel: square each one first",
        _psnr_of(lambda r, x: (r - x).flatten(1).mean(1).square()),
        _psnr_of(lambda r, x: (r - x).flatten(1).mean(1).abs()),
        "the largest value of the pictures at hand was taken for the peak: it is the largest *possible* one, the argument",
        _psnr_with_peak(lambda x: x.flatten(1).amax(1)),
        _psnr_with_peak(lambda x: x.max()),
        lambda r, x, peak: _decibels(r.flatten(1).amax(1).square() / _mse(r, x)),
        "equal pictures were kept from infinity, by a constant beside the MSE or a cap: there the PSNR is infinite",
        _psnr_of(lambda r, x: _mse(r, x) + 1e-8),
        *map(_psnr_plus, (1e-4, 1e-5, 1e-6, 1e-7, 1e-10, 1e-12)),
        *map(_psnr_clamped, (1e-10, 1e-12)),
        *map(_psnr_capped, (0, 100)),
        "these are bels: a decibel is a tenth of a bel, so multiply by 10",
        _psnr_from(lambda mse, peak: (peak**2 / mse).log10()),
        "you averaged over some axes of a picture only: its MSE is over channels, height and width",
        _psnr_of(lambda r, x: (r - x).square().mean((2, 3))),
        _psnr_of(lambda r, x: (r - x).square().mean(-1)),
        _psnr_of(lambda r, x: (r - x).square().mean(1)),
        "you averaged the decibels of channels or pixels: average the squared errors of the whole picture first",
        lambda r, x, peak: _psnr_of(lambda r, x: (r - x).square().mean((2, 3)))(r, x, peak).mean(1),
        lambda r, x, peak: _decibels(peak**2 / (r - x).square()).mean((1, 2, 3)),
    ),
)


# 3. the map of errors


def _squares(reconstruction: Tensor, x: Tensor) -> Tensor:
    return (reconstruction - x).square().sum(1)


def _smooth(values: Tensor, window: int) -> Tensor:
    return avg_pool2d(values, window, 1, window // 2, count_include_pad=False)


def _map_by(
    smooth: Callable[[Tensor, int], Tensor] = _smooth, squares: Callable[[Tensor, Tensor], Tensor] = _squares
) -> Answer:
    """smooth: of [batch, height, width] and the window; squares: of both pictures."""
    return lambda reconstruction, x, window: smooth(squares(reconstruction, x), window)


_error_map = _map_by()


def _slices(e: Tensor, window: int, before: int = 0, after: int = 0, wrap: bool = False) -> Tensor:
    """Means over slices that begin `before` sooner and end `after` later than they should."""
    reach = window // 2

    def span(i: int) -> slice:
        start = i - reach - before
        return slice(start if wrap else max(0, start), max(0, i + reach + 1 + after))

    rows = [[e[:, span(i), span(j)].mean((1, 2)) for j in range(e.shape[2])] for i in range(e.shape[1])]
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def _border_left(e: Tensor, window: int) -> Tensor:
    """Means where the whole window lies in the picture, 0 elsewhere."""
    reach = window // 2
    return pad(avg_pool2d(e, window, 1), [reach] * 4)


def _over_batch(e: Tensor, window: int) -> Tensor:
    return _smooth(e, window).mean(0)


def _padded(mode: str) -> Callable[[Tensor, int], Tensor]:
    def smooth(e: Tensor, window: int) -> Tensor:
        return avg_pool2d(pad(e[:, None], [window // 2] * 4, mode=mode)[:, 0], window, 1)

    return smooth


def _smoothed_first(reconstruction: Tensor, x: Tensor, window: int) -> Tensor:
    return _squares(_smooth(reconstruction, window), _smooth(x, window))


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
        lambda r, x, window: _squares(r, x),
        "you averaged over the channels: the squared errors of a pixel's channels are summed",
        _map_by(squares=lambda r, x: (r - x).square().mean(1)),
        "these are absolute errors: square the differences",
        _map_by(squares=lambda r, x: (r - x).abs().sum(1)),
        "the channels' differences were summed with their signs before the square: square first, then sum over the channels",
        _map_by(squares=lambda r, x: (r - x).sum(1).square()),
        "you smoothed before the square, the pictures or their difference, so that errors of opposite sign cancel: square first",
        _smoothed_first,
        lambda r, x, window: _smooth((r - x).sum(1), window).square(),
        "at the border zeros beyond the picture were counted: divide by the number of pixels that exist "
        "(count_include_pad=False)",
        _map_by(lambda e, window: avg_pool2d(e, window, 1, window // 2)),
        "you summed over the window: divide by the number of its pixels that lie in the picture",
        _map_by(lambda e, window: window**2 * avg_pool2d(e, window, 1, window // 2)),
        "the map is smaller than the picture: pad by window // 2 on each side, so that the borders have their pixels too",
        _map_by(lambda e, window: avg_pool2d(e, window, 1)),
        "the windows do not overlap: avg_pool2d steps by a whole window unless it is given stride=1",
        _map_by(lambda e, window: avg_pool2d(e, window, padding=window // 2, count_include_pad=False)),
        _map_by(lambda e, window: avg_pool2d(e, window, padding=window // 2)),
        _map_by(lambda e, window: avg_pool2d(e, window)),
        "the border was filled with copies of other pixels (replicate, reflect or circular): average over those that exist",
        _map_by(_padded("replicate")),
        _map_by(_padded("reflect")),
        _map_by(_padded("circular")),
        "the window is a line: it is square, as many rows high as columns wide",
        _map_by(lambda e, window: avg_pool2d(e, (1, window), 1, (0, window // 2), count_include_pad=False)),
        _map_by(lambda e, w: avg_pool2d(e, (w, 1), 1, (w // 2, 0), count_include_pad=False)),
        "you averaged over the pictures of the batch too: every picture has its own map",
        _map_by(lambda e, window: _over_batch(e, window).expand_as(e)),
        _map_by(_over_batch),
        "the border is left 0: near it the window is cut off, and its mean is over the pixels that exist",
        _map_by(_border_left),
        "a root was taken, of every pixel or of the means: average the squared errors as they are",
        _map_by(squares=lambda r, x: (r - x).square().sum(1).sqrt()),
        lambda r, x, window: _error_map(r, x, window).sqrt(),
        "this is the largest error in the window: take the mean",
        _map_by(lambda e, window: max_pool2d(e, window, 1, window // 2)),
        "`window` was taken for how far it reaches to each side: it is the whole width, and reaches window // 2",
        _map_by(lambda e, window: _smooth(e, 2 * window + 1)),
        "the result still has a channel axis: return [batch, height, width]",
        lambda r, x, window: _error_map(r, x, window)[:, None],
        lambda r, x, window: _smooth((r - x).square(), window),
        "the window ends a pixel early: a slice excludes its end, so from the centre it goes to window // 2 + 1",
        _map_by(partial(_slices, after=-1)),
        "the window begins or ends at the pixel: the pixel is its centre, with window // 2 on either side",
        _map_by(lambda e, window: _slices(e, window, before=-(window // 2), after=window // 2)),
        _map_by(lambda e, window: _slices(e, window, before=window // 2, after=-(window // 2))),
        "the start of a slice is negative near the border, and counts from the other end: take max(0, …)",
        _map_by(partial(_slices, wrap=True)),
    ),
)


# 4. the loss of a denoising autoencoder

Model = Callable[[Tensor], Tensor]


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().flatten(1).sum(1)


def _loss_of(given: Callable[[Tensor, Tensor], Tensor], target: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """given: the model's input, target: what its output is compared with; both of x and the noise."""
    return lambda model, x, noise: _distance(model(given(x, noise)), target(x, noise))


def _noisy(x: Tensor, noise: Tensor) -> Tensor:
    return x + noise


def _clean(x: Tensor, noise: Tensor) -> Tensor:
    return x


_denoising = _loss_of(_noisy, _clean)


def _of_errors(rule: Callable[[Tensor], Tensor]) -> Answer:
    """rule: of the difference between the output and the clean pictures."""
    return lambda model, x, noise: rule(model(x + noise) - x)


def _one_by_one(model: Model, x: Tensor, noise: Tensor) -> Tensor:
    """Every picture without its batch axis."""
    return torch.stack([(model(x[i] + noise[i]) - x[i]).square().sum() for i in range(len(x))])


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
        _loss_of(_noisy, _noisy),
        "the model was given the clean picture: it never sees noise, so it cannot learn to remove it",
        _loss_of(_clean, _clean),
        "the model was given pictures without their four axes: give it x + noise as it is, and flatten the difference",
        lambda model, x, noise: _distance(model((x + noise).flatten(1)), x.flatten(1)),
        lambda model, x, noise: (model((x + noise).flatten()) - x.flatten()).square().sum(),
        _one_by_one,
        "the model was given the noise alone: it is given the noisy picture, x + noise",
        _loss_of(lambda x, noise: noise, _clean),
        "input and target are exchanged: noisy in, clean out",
        _loss_of(_clean, _noisy),
        "the output was taken for the noise (compared with it, or added to the noisy picture or subtracted): this model returns the clean picture",
        _loss_of(_noisy, lambda x, noise: noise),
        lambda model, x, noise: _distance(x + noise + model(x + noise), x),
        "the noisy picture was compared with the clean one: the model's output is to be compared, model(x + noise)",
        lambda model, x, noise: _distance(x + noise, x),
        "you averaged over pixels: ‖…‖² is their sum",
        _of_errors(lambda e: e.square().flatten(1).mean(1)),
        "you averaged over the batch: return one number per picture; the training loop takes the mean",
        _of_errors(lambda e: e.square().flatten(1).sum(1).mean()),
        _of_errors(lambda e: e.square().mean()),
        "you summed over the batch too: return one number per picture",
        _of_errors(lambda e: e.square().sum()),
        "no gradient reaches the parameters of the model: a detach, .data, no_grad, .item() or torch.tensor(…) stands in the way",
        lambda model, x, noise: _denoising(model, x, noise).detach(),
        "the noisy picture was clamped to [0, 1]: give it to the model as it is",
        _loss_of(lambda x, noise: (x + noise).clamp(0, 1), _clean),
        "the output was clamped to [0, 1]: no gradient comes back from pixels beyond, so compare it as it is",
        lambda model, x, noise: _distance(model(x + noise).clamp(0, 1), x),
        "the noise was multiplied: it is added to the picture",
        _loss_of(lambda x, noise: x * noise, _clean),
        _loss_of(lambda x, noise: x * (1 + noise), _clean),
        "the noise was subtracted: add it to the picture",
        _loss_of(lambda x, noise: x - noise, _clean),
        "another error was subtracted: the loss is ‖model(x + noise) − x‖² alone",
        lambda model, x, noise: _denoising(model, x, noise) - _distance(x + noise, x),
        lambda model, x, noise: _denoising(model, x, noise) - _distance(model(x), x),
        "the target went through the model: compare with the clean picture itself",
        lambda model, x, noise: _distance(model(x + noise), model(x)),
        lambda model, x, noise: _distance(model(x + noise), model(x).detach()),
        "you took the square root: ‖…‖² is asked for",
        _of_errors(lambda e: e.square().flatten(1).sum(1).sqrt()),
        "you squared the sum, in which differences of opposite sign cancel: square every difference, then sum",
        _of_errors(lambda e: e.flatten(1).sum(1).square()),
        "these are absolute errors, not squared ones",
        _of_errors(lambda e: e.abs().flatten(1).sum(1)),
    ),
)


# 5. the area under the ROC curve


def _by_pairs(tie: float = 0.5, divide: Callable[[int, int], float] = lambda m, k: m * k) -> Answer:
    """tie: what a tie counts; divide: by what, of the numbers of anomalies and of normal examples."""

    def answer(scores: Tensor, anomalous: Tensor) -> Tensor:
        apart = scores[anomalous][:, None] - scores[~anomalous]
        won = (apart > 0).double() + tie * (apart == 0).double()
        return won.sum() / divide(*apart.shape)

    return answer


_area = _by_pairs()


def _all_pairs(m: int, k: int) -> float:
    return (m + k) * (m + k - 1)


def _tied(tie: Callable[[Tensor, Tensor], Tensor], first: bool = False) -> Answer:
    """tie: of a and b, what is a tie; first: whether a tie is no win."""

    def answer(scores: Tensor, anomalous: Tensor) -> Tensor:
        a, b = scores[anomalous][:, None], scores[~anomalous]
        ties = tie(a, b)
        won = (a > b) & ~ties if first else a > b
        return won.double().mean() + 0.5 * ties.double().mean()

    return answer


def _nearly(apart: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: (a - b).abs() < apart


def _rank_sum(scores: Tensor, anomalous: Tensor) -> Tensor:
    """The sum of the ranks of anomalies, from 1, ties sharing their mean rank."""
    below = (scores[:, None] > scores).sum(1) + 0.5 * (scores[:, None] == scores).sum(1) + 0.5
    total: Tensor = below[anomalous].sum()
    return total


def _by_rank_sum(subtracted: Callable[[int], float]) -> Answer:
    """subtracted: of the number of anomalies."""

    def answer(scores: Tensor, anomalous: Tensor) -> Tensor:
        m = int(anomalous.sum())
        return (_rank_sum(scores, anomalous) - subtracted(m)) / (m * (len(scores) - m))

    return answer


def _by_order(order: Callable[[Tensor], Tensor]) -> Answer:
    """order: from the lowest score to the highest, one place for each example even where scores are equal."""
    return lambda scores, anomalous: _area(order(scores).argsort().double(), anomalous)


def _accuracy(threshold: Callable[[Tensor], Tensor | float], above: Callable[..., Tensor] = torch.gt) -> Answer:
    return lambda scores, anomalous: (above(scores, threshold(scores)) == anomalous).double().mean()


def _hits(threshold: Callable[[Tensor], Tensor | float]) -> Answer:
    return lambda scores, anomalous: (scores > threshold(scores))[anomalous].double().mean()


_THRESHOLDS: list[Callable[[Tensor], Tensor | float]] = [lambda s: 0.5, lambda s: 0.0, torch.mean, torch.median]


def _along(thresholds: Callable[[Tensor], Tensor], ends: bool = True, swapped: bool = False) -> Answer:
    """The area by trapezoids through the rates at some thresholds, with or without the corners (0, 0) and (1, 1).

    swapped: the arguments of torch.trapezoid are exchanged.
    """

    def answer(scores: Tensor, anomalous: Tensor) -> Tensor:
        alarms = scores >= thresholds(scores).sort(descending=True).values[:, None]
        hits, false = (alarms[:, group].double().mean(1) for group in (anomalous, ~anomalous))
        if ends:
            corner = torch.zeros(1, dtype=torch.float64)
            hits, false = (torch.cat([corner, rates, corner + 1]) for rates in (hits, false))
        return torch.trapezoid(false, hits) if swapped else torch.trapezoid(hits, false)

    return answer


def _grid(steps: int) -> Callable[[Tensor], Tensor]:
    return lambda s: torch.linspace(float(s.min()), float(s.max()), steps, dtype=torch.float64)


def _average_precision(scores: Tensor, anomalous: Tensor) -> Tensor:
    """The sum of precisions, each weighted by the recall gained at its threshold."""
    alarms = scores >= scores.unique().flip(0)[:, None]
    recall = alarms[:, anomalous].double().mean(1)
    precision = alarms[:, anomalous].sum(1) / alarms.sum(1).double()
    area: Tensor = (precision * recall.diff(prepend=recall.new_zeros(1))).sum()
    return area


def _precision_in_order(scores: Tensor, anomalous: Tensor) -> Tensor:
    flags = anomalous[scores.argsort(descending=True, stable=True)].double()
    area: Tensor = (flags * flags.cumsum(0) / torch.arange(1, len(flags) + 1)).sum() / flags.sum()
    return area


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
    return [
        case(30, 10, 0.0, 1.0),
        case(40, 16, 0.5, 0.8),
        (whole, flags),
        case(25, 1, 1.0, 0.5),
        case(400, 60, 0.0, 0.6),
        case(60, 30, 1.0, -0.7),
        (rising[shuffled], late[shuffled]),
        (rising[shuffled] - 20, ~late[shuffled]),
        (near[order], flags[order]),
        (torch.full((6,), 3.0, dtype=torch.float64), flags[:6]),
        (torch.tensor([1e6, -1e6], dtype=torch.float64), torch.tensor([True, False])),
    ]


area_under_roc = Exercise(
    "area_under_roc",
    _area,
    _area_cases,
    wrong(
        "anomalous and normal are exchanged (it counts that the anomaly has the *higher* score), "
        "or the arguments of torch.trapezoid: y (hits) comes first, x (false alarms) second",
        lambda s, a: 1 - _area(s, a),
        _along(lambda s: s, swapped=True),
        _along(lambda s: s, ends=False, swapped=True),
        lambda s, a: (s[a][:, None] < s[~a]).double().mean(),
        lambda s, a: (s[a][:, None] <= s[~a]).double().mean(),
        "ties were counted 0, as by > alone or by a staircase under the curve: a tie counts ½",
        _by_pairs(tie=0),
        "ties were counted 1, as by ≥ or by a staircase over the curve: a tie counts ½",
        _by_pairs(tie=1),
        "scores that differ a little are no tie: compare them as they are, in float64, with > and ==",
        _tied(torch.isclose),
        _tied(torch.isclose, first=True),
        *[_tied(_nearly(apart), first) for apart in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3) for first in (False, True)],
        lambda s, a: _area(s.float(), a),
        "a and b met entry by entry: a[:, None] against b makes all pairs",
        lambda s, a: (s[a] > s[~a]).double().mean(),
        lambda s, a: (s[~a] < s[a]).double().mean(),
        "you divided by pairs of all examples: there are m (n − m) pairs of an anomaly and a normal example",
        _by_pairs(divide=lambda m, k: (m + k) ** 2),
        *[
            _by_pairs(tie=tie, divide=divide)
            for tie in (0.5, 0)
            for divide in (lambda m, k: (m + k) ** 2, _all_pairs, lambda m, k: _all_pairs(m, k) / 2)
        ],
        "divide the number of pairs won, Mann and Whitney's U, by that of all pairs, m (n − m)",
        _by_pairs(divide=lambda m, k: 1),
        _by_pairs(divide=lambda m, k: m),
        _by_pairs(divide=lambda m, k: k),
        "the rank sum was divided as it stands: subtract its least value first, m (m + 1) / 2 for ranks from 1",
        _by_rank_sum(lambda m: 0),
        _by_rank_sum(lambda m: m),
        "ranks and what is subtracted do not fit: ranks from 1 take m (m + 1) / 2, ranks from 0 take m (m − 1) / 2",
        _by_rank_sum(lambda m: m + m * (m + 1) / 2),
        _by_rank_sum(lambda m: m * (m - 1) / 2),
        "equal scores were put in some order: give them their mean rank, or move along the curve over all of them at once",
        _by_order(lambda s: s.argsort(stable=True)),
        _by_order(lambda s: s.argsort(descending=True, stable=True).flip(0)),
        _by_order(lambda s: s.argsort()),
        _by_order(lambda s: s.argsort(descending=True).flip(0)),
        _by_order(lambda s: torch.from_numpy(s.numpy().argsort())),
        _by_order(lambda s: torch.from_numpy((-s).numpy().argsort().copy()).flip(0)),
        "argsort returns positions, not ranks: the ranks are the argsort of the argsort",
        lambda s, a: _area(s.argsort().double(), a),
        "this is the share of right decisions, or of hits, at one threshold: the area takes all of them, and false alarms too",
        _accuracy(_THRESHOLDS[0]),
        *[_accuracy(threshold, above) for threshold in _THRESHOLDS for above in (torch.gt, torch.ge)],
        *[_hits(threshold) for threshold in _THRESHOLDS],
        "this is the average precision, the area under the precision-recall curve: it changes with the share of anomalies",
        _average_precision,
        _precision_in_order,
        "only the two means were compared: count the pairs in which the anomaly has the higher score",
        lambda s, a: s[a].mean() - s[~a].mean(),
        lambda s, a: (s[a].mean() > s[~a].mean()).double(),
        "examples were compared with all others: compare each anomaly with the normal examples only",
        lambda s, a: (s[:, None] > s).double().mean(),
        lambda s, a: (s[a][:, None] > s).double().mean(),
        "this runs from −1 to 1 (Gini's coefficient is 2 A − 1): return the probability A",
        lambda s, a: 2 * _area(s, a) - 1,
        "an area below ½ was turned round: it says that the score is worse than chance, so keep it",
        lambda s, a: torch.maximum(_area(s, a), 1 - _area(s, a)),
        "the curve does not reach both of its corners: it runs from (0, 0), no alarm, to (1, 1), alarm for all",
        _along(lambda s: s, ends=False),
        _along(lambda s: torch.cat([s.unique()[1:], s.max()[None] + 1]), ends=False),
        "the area is negative: the false alarms fall along your curve, so sort the thresholds from the highest score down",
        lambda s, a: -_area(s, a),
        lambda s, a: -_along(lambda s: s, ends=False)(s, a),
        "the thresholds stand on a grid and miss what lies between: take every score as a threshold",
        _along(_grid(100)),
        *[_along(_grid(steps), ends) for steps in (10, 11, 50, 101) for ends in (True, False)],
    ),
)
