"""The sheet on cleaning: corrupted pixels, decibels, a training step, a denoiser that is told σ, its error without a clean picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor, autograd, nn
from torch.nn.functional import binary_cross_entropy_with_logits as logistic_cross_entropy
from torch.nn.functional import silu
from torch.optim import SGD, Optimizer

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import RESULTS, behaviour
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


# 3. one training step of a denoising autoencoder


def _summed(per_pixel: Tensor) -> Tensor:
    return per_pixel.flatten(1).sum(-1)


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    return _summed((output - target).square())


def _calls(order: str) -> Step:
    """What moves the parameters, in this order."""

    def moved(optimizer: Optimizer, loss: Tensor) -> None:
        calls: dict[str, Step] = {"clear": optimizer.zero_grad, "backward": loss.backward, "step": optimizer.step}
        for name in order.split():
            calls[name]()

    return moved


_step = Formula(
    "model optimizer x noise",
    noisy=lambda x, noise: x + noise,
    target=lambda x: x,
    output=lambda model, noisy: model(noisy),
    losses=lambda output, target: _squared_error(output, target),
    loss=lambda losses: losses.mean(),
    moved=_calls("clear backward step"),
    result=lambda losses: losses.detach(),
)


def _denoising_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int) -> Arguments:
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 6), nn.Unflatten(1, (1, 2, 3)))
        for parameter in model.double().parameters():
            parameter.data = 0.5 * normal(generator, *parameter.shape)
            parameter.grad = normal(generator, *parameter.shape)  # left over from an earlier step
        pictures = uniform(generator, batch, 1, 2, 3), normal(generator, batch, 1, 2, 3)
        return model, SGD(model.parameters(), 0.05), *pictures

    return [case(5), case(1), case(3)]


denoising_step = Exercise(
    "denoising_step",
    _step,
    _denoising_cases,
    wrong(
        "the target is the noisy picture, so the model learns to copy the noise: compare with the clean one",
        _step.but(target=lambda noisy: noisy),
        "the model was given the clean picture: it never sees noise, so it cannot learn to remove it",
        _step.but(noisy=lambda x: x),
        "input and target are exchanged: noisy in, clean out",
        _step.but(output=lambda model, x: model(x), target=lambda noisy: noisy),
        "the model was given the noise alone: it is given the noisy picture, x + noise",
        _step.but(noisy=lambda noise: noise),
        "the gradients of the step before were not cleared: call optimizer.zero_grad() before backward()",
        *(_step.but(moved=_calls(order)) for order in ("backward step", "backward step clear")),
        "the parameters did not move: optimizer.step() or backward() is missing, or step() came before backward() or after zero_grad()",
        _step.but(moved=_calls("clear backward")),
        "step() came before everything else, and moved along the gradients of the step before: clear, backward, step",
        _step.but(moved=_calls("step clear backward")),
        "you descended the sum over the batch: its gradient grows with the batch; take the mean over pictures",
        _step.but(loss=lambda losses: losses.sum()),
        "you descended the mean over pixels too: that divides the learning rate by the number of pixels",
        _step.but(loss=lambda losses, x: losses.mean() / x[0].numel()),
        "this is the loss after the step: return the one that was descended, from before it",
        _step.but(result=lambda model, noisy, x: _squared_error(model(noisy), x)),
        "the noise was subtracted: add it to the picture, as the exercise says",
        _step.but(noisy=lambda x, noise: x - noise),
        "the target is the noise: this model is to return the clean picture",
        *_step.each(target=[lambda noise: noise, lambda noise: -noise]),
        "the noisy picture was clamped to [0, 1]: give it to the model as it is",
        _step.but(noisy=lambda x, noise: (x + noise).clamp(0, 1)),
        "the output was clamped to [0, 1], or went through a sigmoid: compare it as it is",
        _step.but(output=lambda model, noisy: model(noisy).clamp(0, 1)),
        _step.but(output=lambda model, noisy: model(noisy).sigmoid()),
        "the parameters moved uphill: descend the loss, not minus the loss",
        _step.but(loss=lambda losses: -losses.mean()),
        "the parameters moved twice: one call of optimizer.step() is one step",
        _step.but(moved=_calls("clear backward step step")),
        "you averaged over pixels too, in what you descend and in what you return: sum over them",
        _step.but(losses=lambda output, x: (output - x).square().mean((1, 2, 3))),
        "the noise was multiplied: it is added to the picture",
        *_step.each(noisy=[lambda x, noise: x * noise, lambda x, noise: x * (1 + noise)]),
        "the loss is no squared error: sum the squares, not absolute differences, a root of the sum or a cross-entropy",
        _step.but(losses=lambda output, x: _summed((output - x).abs())),
        _step.but(losses=lambda output, x: (output - x).flatten(1).norm(dim=-1)),
        _step.but(losses=lambda output, x: _summed(logistic_cross_entropy(output, x, reduction="none"))),
        "there is a ½ too much: descend the mean of the squared errors as they are",
        _step.but(losses=lambda output, x: _squared_error(output, x) / 2),
    ),
)


# 4. a denoiser that is told the level of the noise

_TOLD = Formula(
    "y std first between second",
    own=lambda std: std[:, None, None, None],
    plane=lambda y, own: own.expand_as(y),
    joined=lambda y, plane: torch.cat([y, plane], 1),
    found=lambda joined, first, between, second: second(between(first(joined))),
    correction=lambda own, found: own * found,
    result=lambda y, correction: y + correction,
)


def _denoiser(
    result: Answer = _TOLD, between: Answer = silu, seen: int = 2, kernel: int = 3, bias: bool = True
) -> type[nn.Module]:
    """seen: the channels that the first layer takes."""

    class Denoiser(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(seen, channels, kernel, padding=kernel // 2, bias=bias)
            self.second = nn.Conv2d(channels, 1, kernel, padding=kernel // 2, bias=bias)

        def forward(self, y: Tensor, std: Tensor) -> Tensor:
            answer: Tensor = result(y, std, self.first, between, self.second)
            return answer

    return Denoiser


def _told_cases(generator: Generator) -> list[Arguments]:
    def case(channels: int, batch: int, height: int, width: int) -> Arguments:
        return channels, uniform(generator, batch, 1, height, width), 0.1 + uniform(generator, batch)

    # First where batch, height and width are as many: σ along the wrong axis runs there.
    square, other = case(3, 4, 4, 4), case(5, 3, 5, 4)
    none = 4, uniform(generator, 2, 1, 5, 6), torch.zeros(2, dtype=torch.float64)
    return [square, other, none, case(2, 1, 6, 3), case(8, 2, 3, 7), case(2, 3, 1, 1)]


def _told(**steps: list[Step]) -> list[type[nn.Module]]:
    return [_denoiser(answer) for answer in _TOLD.each(**steps)]


ToldDenoiser = Exercise(
    "ToldDenoiser",
    _denoiser(),
    _told_cases,
    wrong(
        "the network is not told σ: append a plane that holds it to the picture, as a second channel",
        _denoiser(_TOLD.but(joined=lambda y: y), seen=1),
        "the plane holds σ², or log σ: it is to hold σ itself",
        *_told(plane=[lambda y, own: own.square().expand_as(y), lambda y, own: own.log().expand_as(y)]),
        "the plane stands before the picture: the picture is the first channel, σ the second",
        *_told(joined=[lambda y, plane: torch.cat([plane, y], 1)]),
        "the plane holds the σ of the first picture, or one mean of all: each picture has its own",
        *_told(plane=[lambda y, own: own[:1].expand_as(y), lambda y, own: own.mean().expand_as(y)]),
        "σ was added to the picture, or multiplied with it, for the plane: the second channel holds σ alone",
        *_told(plane=[lambda y, own: y + own, lambda y, own: y * own]),
        "σ runs along the width, not along the batch: give it three more axes, std[:, None, None, None]",
        *_told(own=[lambda std: std]),
        *_told(correction=[lambda std, found: std * found]),
        *_told(plane=[lambda y, std: std.expand_as(y)]),
        "the correction is not multiplied by σ: without noise nothing should change",
        *_told(correction=[lambda found: found]),
        "the correction is multiplied by σ², or divided by σ: times σ is asked for",
        *_told(correction=[lambda own, found: own.square() * found, lambda own, found: found / own]),
        "the picture itself is missing: return y + σ n, not the correction alone",
        *_told(result=[lambda correction: correction, lambda own, found: found]),
        "the correction was subtracted: add it",
        *_told(result=[lambda y, correction: y - correction]),
        "the picture was multiplied by σ too: σ belongs to the correction alone",
        *_told(result=[lambda y, own, found: own * (y + found)]),
        "the output was clamped to [0, 1]: return it as it is",
        *_told(result=[lambda y, correction: (y + correction).clamp(0, 1)]),
        "SiLU is missing between the layers: two convolutions without it are one",
        _denoiser(between=nn.Identity()),
        "between the layers stands another activation: SiLU is asked for",
        *[_denoiser(between=a) for a in (nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.LeakyReLU(), nn.ELU())],
        "an activation follows the last layer: the correction may be any number",
        *_told(correction=[lambda own, found: own * silu(found), lambda own, found: own * found.tanh()]),
        *_told(correction=[lambda own, found: own * found.relu(), lambda own, found: own * found.sigmoid()]),
        "the convolutions have another size: 3 × 3 with padding 1",
        *[_denoiser(kernel=kernel) for kernel in (1, 5, 7)],
        "the convolutions lack their biases",
        _denoiser(bias=False),
    ),
    results=RESULTS,
    prepare=behaviour(1),
)


# 5. the error of a denoiser, estimated without a clean picture

Pictures = Callable[[Tensor], Tensor]
_stein = Formula(
    "model y std probe",
    given=lambda y: y.detach().requires_grad_(),
    output=lambda model, given: model(given),
    seen=lambda output, probe: output * probe,
    gradient=lambda seen, given: autograd.grad(seen.sum(), given, retain_graph=True)[0],
    trace=lambda gradient, probe: _summed(gradient * probe),
    step=lambda output, y: _summed((output.detach() - y).square()),
    pixels=lambda y: y[0].numel(),
    energy=lambda pixels, std: pixels * std**2,
    cost=lambda trace, std: 2 * std**2 * trace,
    risk=lambda step, energy, cost: step - energy + cost,
)


def _network(generator: Generator, shape: tuple[int, ...]) -> Pictures:
    """A network whose Jacobian is not symmetric and changes from place to place."""
    size = shape[0] * shape[1] * shape[2]
    first, second = normal(generator, size, size), normal(generator, size, size)
    return lambda y: ((y.flatten(1) @ first).tanh() @ second / size).reshape(y.shape)


def _stein_cases(generator: Generator) -> list[Arguments]:
    def case(std: float, batch: int, *shape: int) -> Arguments:
        probe = 2 * bits(generator, batch, *shape) - 1
        return _network(generator, shape), normal(generator, batch, *shape), std, probe

    return [
        case(0.3, 4, 1, 3, 4),
        case(1.5, 3, 3, 2, 2),
        case(0.7, 1, 2, 3, 2),
        case(0.0, 2, 1, 2, 2),
        case(0.1, 5, 1, 4, 4),
    ]


stein_risk = Exercise(
    "stein_risk",
    _stein,
    _stein_cases,
    wrong(
        "the trace is missing: without it, copying the noise would have the least error",
        _stein.but(risk=lambda step, energy: step - energy),
        "n σ² is missing: the step is measured from the noisy picture, which is that far from the clean one",
        _stein.but(risk=lambda step, cost: step + cost),
        "this is the step from the noisy picture alone: it is not the error, n σ² and the trace are missing",
        _stein.but(risk=lambda step: step),
        "σ² was subtracted once: n σ² is meant, once for every pixel",
        _stein.but(pixels=lambda: 1),
        "n counts the pixels of the whole batch: those of one picture are meant",
        _stein.but(pixels=lambda y: y.numel()),
        "n counts height × width, one side, or the channels only: it is the pixels of a picture with all its channels",
        *_stein.each(pixels=[lambda y: y[0, 0].numel(), lambda y: y.shape[-1], lambda y: y.shape[1]]),
        "n is the size of the batch: it is the pixels of a picture",
        _stein.but(pixels=lambda y: len(y)),
        "n σ² was added: it is subtracted",
        _stein.but(risk=lambda step, energy, cost: step + energy + cost),
        "the trace was subtracted: it is added; a denoiser pays for following the noise",
        _stein.but(risk=lambda step, energy, cost: step - energy - cost),
        "the factor 2 before the trace is missing: it comes from the product in the square",
        _stein.but(cost=lambda trace, std: std**2 * trace),
        "σ stands for σ² before the trace",
        _stein.but(cost=lambda trace, std: 2 * std * trace),
        "σ stands for σ² in n σ²",
        _stein.but(energy=lambda pixels, std: pixels * std),
        "σ stands for σ² in both places",
        _stein.but(cost=lambda trace, std: 2 * std * trace, energy=lambda pixels, std: pixels * std),
        "the trace has no σ² before it",
        _stein.but(cost=lambda trace: 2 * trace),
        "the probe was used once: Jᵀb is a picture; times b again, and summed, it is bᵀJb",
        _stein.but(trace=lambda gradient: _summed(gradient)),
        "the output was not multiplied by the probe before the gradient was taken",
        _stein.but(seen=lambda output: output),
        "without the probe this is the sum of all entries of the Jacobian, not of its diagonal",
        _stein.but(seen=lambda output: output, trace=lambda gradient: _summed(gradient)),
        "this is ‖Jᵀb‖², the square of the gradient: bᵀJb is the gradient times the probe",
        _stein.but(trace=lambda gradient: _summed(gradient.square())),
        "the trace was summed over the batch: each picture has its own",
        _stein.but(trace=lambda gradient, probe: (gradient * probe).sum()),
        "the trace is a mean over pixels: it is a sum",
        _stein.but(trace=lambda gradient, probe: (gradient * probe).flatten(1).mean(1)),
        "the step is a mean over pixels: ‖…‖² is a sum",
        _stein.but(step=lambda output, y: (output.detach() - y).square().flatten(1).mean(1)),
        "the trace is that of the step r(x̃) − x̃: subtract n σ² there, or take the trace of r; not both",
        _stein.but(seen=lambda output, given, probe: (output - given) * probe),
        "the step was replaced by the answer: ‖r(x̃) − x̃‖² is meant, not ‖r(x̃)‖²",
        _stein.but(step=lambda output: _summed(output.detach().square())),
        "the root of the step was taken: ‖…‖² is meant",
        _stein.but(step=lambda output, y: _summed((output.detach() - y).square()).sqrt()),
        "the estimate was cut off at 0: single estimates may be negative, and cutting makes their mean wrong",
        _stein.then(partial(torch.clamp, min=0)),
        _stein.then(torch.abs),
        "you averaged over the batch: return one estimate per picture",
        _stein.then(torch.mean),
        "you divided by the number of pixels: the error of a picture is a sum over its pixels",
        _stein.but(risk=lambda step, energy, cost, pixels: (step - energy + cost) / pixels),
    ),
)
