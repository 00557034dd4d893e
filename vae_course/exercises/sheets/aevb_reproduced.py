"""The sheet on the AEVB paper: weights with a prior, a Hamiltonian move, wake and sleep, log p(x) from draws, a test of chains."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import torch
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.parts import Formula, normal, uniform

Density = Callable[[Tensor], Tensor]

# 1. what one maximises on a minibatch when the weights have a prior

_MAP = Formula(
    "bounds weights biases prior_std examples",
    mean=lambda bounds: bounds.mean(),
    squares=lambda weights, biases: weights.square().sum() + biases.square().sum(),
    count=lambda weights, biases: weights.numel() + biases.numel(),
    spread=lambda prior_std: 2 * prior_std**2,
    constant=lambda prior_std: 0.5 * log(2 * pi * prior_std**2),  # of one weight
    log_prior=lambda squares, spread, count, constant: -squares / spread - count * constant,
    share=lambda log_prior, examples: log_prior / examples,
    objective=lambda mean, share: mean + share,
)


def _map_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, outputs: int, inputs: int, std: float, examples: int) -> Arguments:
        bounds = (-4 + normal(generator, batch)).requires_grad_()
        weights = normal(generator, outputs, inputs, gradient=True)
        return bounds, weights, normal(generator, outputs, gradient=True), std, examples

    nothing = (
        (-2 + normal(generator, 3)).requires_grad_(),
        torch.zeros(2, 2, dtype=torch.float64).requires_grad_(),
        torch.zeros(2, dtype=torch.float64).requires_grad_(),
    )
    sizes = [case(5, 4, 3, 0.7, 40), case(1, 2, 3, 1.6, 9), case(8, 3, 5, 0.2, 300), case(6, 2, 2, 1.0, 6)]
    return [*sizes, (*nothing, 0.5, 20), case(4, 6, 7, 3.0, 2000), case(3, 1, 1, 0.05, 25)]


_share, _mean, _spread, _squares = (_MAP.instead(step) for step in ("share", "mean", "spread", "squares"))
_constant, _log_prior = _MAP.instead("constant"), _MAP.instead("log_prior")
map_objective = Exercise(
    "map_objective",
    _MAP,
    _map_cases,
    wrong(
        "log p(weights) was divided by the minibatch: it is there once for all N examples, so that one example has 1/N of it",
        *_share(lambda log_prior, bounds: log_prior / len(bounds)),
        "log p(weights) stands whole beside the bound of one example: N times too much; divide it by N",
        *_share(lambda log_prior: log_prior),
        "log p(weights) was multiplied by N: divide it",
        *_share(lambda log_prior, examples: log_prior * examples),
        "log p(weights) was scaled by M/N or N/M: an example has 1/N of it, whatever the minibatch holds",
        *_share(
            lambda log_prior, bounds, examples: log_prior * len(bounds) / examples,
            lambda log_prior, bounds, examples: log_prior * examples / len(bounds),
            lambda log_prior, bounds, examples: log_prior / (len(bounds) * examples),
        ),
        "log p(weights) was subtracted: it is added to the bound, and pulls weights towards 0",
        *_share(lambda log_prior, examples: -log_prior / examples),
        "the squares of the weights were added: log p(weights) falls as they grow",
        *_log_prior(lambda squares, spread, count, constant: squares / spread - count * constant),
        "this is a loss, to be minimised: return what is maximised",
        _MAP.then(torch.neg),
        "this is the objective of all N examples: divide it by N",
        *_MAP.each(objective=[lambda mean, log_prior, examples: examples * mean + log_prior]),
        "the bounds were scaled to all N examples, and the prior to one: take both for one",
        *_mean(lambda bounds, examples: bounds.mean() * examples),
        "the bounds of the minibatch were added up: their mean stands for one example",
        *_mean(lambda bounds: bounds.sum()),
        "the sum over the minibatch was divided by N: it has M terms, so that its mean stands for one example",
        *_mean(lambda bounds, examples: bounds.sum() / examples),
        "this is the bound alone: the prior of the weights is missing",
        *_MAP.each(objective=[lambda mean: mean]),
        "s is not squared: log N divides by 2 s²",
        *_spread(lambda prior_std: 2 * prior_std),
        "s is missing below the squares: log N divides by 2 s²",
        *_spread(lambda: 2),
        "s is nowhere: the prior is N(0, s²), not N(0, 1)",
        _MAP.but(spread=lambda: 2, constant=lambda: 0.5 * log(2 * pi)),
        "s² was passed where torch's normal takes the standard deviation: Normal(0.0, s)",
        _MAP.given(prior_std=lambda s: s**2),
        "s was read as a variance: the prior is N(0, s²)",
        _MAP.given(prior_std=lambda s: s**0.5),
        "the squares were multiplied by s²: log N divides by 2 s²",
        *_spread(lambda prior_std: 2 / prior_std**2),
        "the ½ before the squares is missing",
        *_spread(lambda prior_std: prior_std**2),
        "the constant is missing: every weight adds −½ log 2π s², without which this is no log density",
        *_constant(lambda: 0),
        "the constant counts once: every weight has one of its own",
        *_log_prior(lambda squares, spread, constant: -squares / spread - constant),
        "the constant was added: it is −½ log 2π s²",
        *_constant(lambda prior_std: -0.5 * log(2 * pi * prior_std**2)),
        "the ½ of the constant is missing, or its square: ½ log 2π s², which is ½ log 2π + log s",
        *_constant(lambda prior_std: log(2 * pi * prior_std**2), lambda prior_std: 0.5 * log(2 * pi * prior_std)),
        "a part of the constant is missing: ½ log 2π s² holds 2π and s²",
        *_constant(lambda prior_std: log(prior_std), lambda: 0.5 * log(2 * pi)),
        "the biases were left out: the prior is on all weights, biases included",
        _MAP.but(squares=lambda weights: weights.square().sum(), count=lambda weights: weights.numel()),
        *_squares(lambda weights: weights.square().sum()),
        "you took absolute values: −½ w²/s² has squares",
        *_squares(lambda weights, biases: weights.abs().sum() + biases.abs().sum()),
        "you took the length of the weights as a vector: add up their squares, without a root",
        *_squares(lambda weights, biases: weights.norm() + biases.norm()),
        *_squares(lambda weights, biases: (weights.square().sum() + biases.square().sum()).sqrt()),
        "you averaged over the weights: their log densities add up",
        *_share(lambda log_prior, count, examples: log_prior / count / examples),
        *_squares(lambda weights, biases: weights.square().mean() + biases.square().mean()),
        _MAP.but(squares=lambda weights, biases: weights.square().mean() + biases.square().mean(), count=lambda: 2),
        "you returned one number for each example: return their mean, and the prior's share of one example",
        *_mean(lambda bounds: bounds),
        "the value is right, but the weights were detached: the prior pulls on them by its gradient",
        *[_MAP.given(weights=torch.detach, biases=torch.detach), _MAP.given(weights=torch.detach)],
        "the value is right, but the bounds were detached: nothing would be learnt from the examples",
        _MAP.given(bounds=torch.detach),
    ),
)


# 2. a Hamiltonian move, position first


def _position_first(slope: Density, z: Tensor, r: Tensor, step: Tensor, leapfrogs: int) -> tuple[Tensor, Tensor]:
    for _ in range(leapfrogs):
        z = z + step / 2 * r
        r = r + step * slope(z)
        z = z + step / 2 * r
    return z, r


def _momentum_first(slope: Density, z: Tensor, r: Tensor, step: Tensor, leapfrogs: int) -> tuple[Tensor, Tensor]:
    for _ in range(leapfrogs):
        r = r + step / 2 * slope(z)
        z = z + step * r
        r = r + step / 2 * slope(z)
    return z, r


def _by_parts(
    first: float, kick: float, second: float, old: bool = False, r_old: bool = False
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Leapfrogs with other shares of the step; old: the slope where z was before its first move, r_old: its last move along r before."""

    def path(slope: Density, z: Tensor, r: Tensor, step: Tensor, leapfrogs: int) -> tuple[Tensor, Tensor]:
        for _ in range(leapfrogs):
            before, r_before = z, r
            z = z + first * step * r
            r = r + kick * step * slope(before if old else z)
            z = z + second * step * (r_before if r_old else r)
        return z, r

    return path


def _halves_joined(slope: Density, z: Tensor, r: Tensor, step: Tensor, leapfrogs: int) -> tuple[Tensor, Tensor]:
    """With the last whole step of z not cut to a half."""
    z = z + step / 2 * r
    for _ in range(leapfrogs):
        r = r + step * slope(z)
        z = z + step * r
    return z, r


def _through(path: Callable[..., tuple[Tensor, Tensor]]) -> Answer:
    return _MOVE.but(end=lambda slope, z, momentum, each, leapfrogs: path(slope, z, momentum, each, leapfrogs))


_MOVE = Formula(
    "log_p slope z momentum uniform step leapfrogs",
    each=lambda step: step[:, None],
    end=lambda slope, z, momentum, each, leapfrogs: _position_first(slope, z, momentum, each, leapfrogs),
    at=lambda end: end[0],
    after=lambda end: end[1],
    kinetic=lambda momentum: 0.5 * momentum.square().sum(-1),
    kinetic_after=lambda after: 0.5 * after.square().sum(-1),
    before=lambda log_p, z, kinetic: -log_p(z) + kinetic,
    energy=lambda log_p, at, kinetic_after: -log_p(at) + kinetic_after,
    probability=lambda before, energy: (before - energy).clamp(max=0).exp(),
    taken=lambda uniform, probability: uniform < probability,
    moved=lambda taken, at, z: torch.where(taken[:, None], at, z),
    both=lambda moved, probability: (moved, probability),
)


def _normal_density(precision: Tensor, log_scale: float = 0.0) -> tuple[Density, Density]:
    return lambda z: log_scale - 0.5 * ((z @ precision) * z).sum(-1), lambda z: -z @ precision


def _two_hills(centre: Tensor) -> tuple[Density, Density]:
    """½ N(a, I) + ½ N(−a, I), up to a factor."""
    return (
        lambda z: -0.5 * z.square().sum(-1) + torch.log(torch.cosh(z @ centre)),
        lambda z: -z + torch.tanh(z @ centre)[:, None] * centre,
    )


def _quartic() -> tuple[Density, Density]:
    return lambda z: -0.25 * z.pow(4).sum(-1), lambda z: -z.pow(3)


def _box(size: float) -> tuple[Density, Density]:
    """The same density everywhere inside, none outside."""
    return lambda z: torch.where((z.abs() < size).all(-1), 0.0, -torch.inf).double(), torch.zeros_like


def _move_cases(generator: Generator) -> list[Arguments]:
    def case(
        density: tuple[Density, Density], chains: int, latent: int, step: float, leapfrogs: int, scale: float = 1.0
    ) -> Arguments:
        z, r = normal(generator, chains, latent, scale=scale), normal(generator, chains, latent)
        steps = step * (0.6 + 0.8 * uniform(generator, chains))
        return *density, z, r, uniform(generator, chains), steps, leapfrogs

    root = normal(generator, 3, 3)
    skew = root @ root.T + 0.5 * torch.eye(3, dtype=torch.float64)
    skew = 2 * skew / torch.linalg.eigvalsh(skew)[-1]
    narrow = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
    inside = case(_box(1.5), 12, 2, 0.8, 2)
    inside = (*inside[:2], 1.4 * torch.tanh(inside[2]), *inside[3:])
    far = case(_normal_density(narrow, -900.0), 10, 2, 0.8, 3)
    return [
        case(_normal_density(skew), 3, 3, 1.0, 3),  # as many chains as latents
        case(_normal_density(narrow), 14, 2, 0.85, 4),
        case(_two_hills(torch.tensor([1.5, -1.0], dtype=torch.float64)), 16, 2, 1.2, 2, 2.0),
        case(_quartic(), 12, 1, 1.1, 3),
        *[inside, far, case(_normal_density(narrow), 1, 2, 0.5, 1)],
    ]


_probability, _taken, _moved = (_MOVE.instead(step) for step in ("probability", "taken", "moved"))


def _tested_each_time(
    log_p: Density, slope: Density, z: Tensor, momentum: Tensor, uniform: Tensor, each: Tensor, leapfrogs: int
) -> tuple[Tensor, Tensor]:
    probability = torch.ones_like(uniform)
    for _ in range(leapfrogs):
        at, after = _position_first(slope, z, momentum, each, 1)
        change = log_p(at) - log_p(z) + 0.5 * (momentum.square() - after.square()).sum(-1)
        probability = change.clamp(max=0).exp()
        taken = (uniform < probability)[:, None]
        z, momentum = torch.where(taken, at, z), torch.where(taken, after, momentum)
    return z, probability


leapfrog_move = Exercise(
    "leapfrog_move",
    _MOVE,
    _move_cases,
    wrong(
        "this is the leapfrog of the lecture, the momentum first: here the position goes first, by half a step",
        _through(_momentum_first),
        "z goes a whole step before and after the slope, two in all: half a step each",
        _through(_by_parts(1, 1, 1)),
        "z goes a whole step, and none after the slope (or none before): half a step on each side, or the move cannot be undone",
        *[_through(_by_parts(1, 1, 0)), _through(_by_parts(0, 1, 1))],
        "z stays half a step behind: after the slope comes its second half, along the new momentum",
        _through(_by_parts(0.5, 1, 0)),
        "two halves between two slopes were joined to a whole step, but z goes only half a step after the last slope",
        _through(_halves_joined),
        "the momentum changed by half a step: between two halves for z it takes a whole one",
        _through(_by_parts(0.5, 0.5, 0.5)),
        "the slope was taken where z was before its half step: take it where z is now",
        _through(_by_parts(0.5, 1, 0.5, old=True)),
        "the second half step of z went along the old momentum: it goes along the new one",
        _through(_by_parts(0.5, 1, 0.5, r_old=True)),
        "z and the momentum were both moved from their old values, a whole step each: that is Euler's step, not a leapfrog",
        _through(_by_parts(1, 1, 0, old=True)),
        "the slope was subtracted: z runs uphill on log p, so add it",
        _through(_by_parts(0.5, -1, 0.5)),
        "there is a step too few, or too many: take `leapfrogs` of them",
        *[_MOVE.given(leapfrogs=lambda n: n - 1), _MOVE.given(leapfrogs=lambda n: n + 1)],
        "you took one leapfrog: take `leapfrogs` of them before you accept or refuse",
        _MOVE.given(leapfrogs=lambda n: 1),
        "you accepted or refused after every leapfrog: only the end of the path is proposed",
        _MOVE.but(
            both=lambda log_p, slope, z, momentum, uniform, each, leapfrogs: _tested_each_time(
                log_p, slope, z, momentum, uniform, each, leapfrogs
            )
        ),
        "`step` met the latents: each chain has a step of its own, step[:, None]",
        _MOVE.but(each=lambda step: step),
        "all chains went by one step: each has its own",
        *[
            _MOVE.given(step=lambda step: step.mean().expand_as(step)),
            _MOVE.given(step=lambda step: step[:1].expand_as(step)),
        ],
        "the sign of log p is flipped in the energy: H = −log p(z) + ½ |r|²",
        _MOVE.but(
            before=lambda log_p, z, kinetic: log_p(z) + kinetic,
            energy=lambda log_p, at, kinetic_after: log_p(at) + kinetic_after,
        ),
        "the ½ of the momentum's energy is missing: H = −log p(z) + ½ |r|²",
        _MOVE.but(
            kinetic=lambda momentum: momentum.square().sum(-1), kinetic_after=lambda after: after.square().sum(-1)
        ),
        "the momentum's energy is ½ |r|², a square: you took its length, or absolute values",
        _MOVE.but(
            kinetic=lambda momentum: 0.5 * momentum.norm(dim=-1), kinetic_after=lambda after: 0.5 * after.norm(dim=-1)
        ),
        _MOVE.but(
            kinetic=lambda momentum: 0.5 * momentum.abs().sum(-1), kinetic_after=lambda after: 0.5 * after.abs().sum(-1)
        ),
        "you compared log p alone, or with the old momentum on both sides: H has the momentum's energy too, before and after",
        _MOVE.but(kinetic_after=lambda kinetic: kinetic),
        "you compared the momenta alone: H has −log p too",
        _MOVE.but(before=lambda kinetic: kinetic, energy=lambda kinetic_after: kinetic_after),
        "H and H′ are exchanged: the probability is exp(H − H′), near 1 where the energy hardly grows",
        *_probability(lambda before, energy: (energy - before).clamp(max=0).exp()),
        "the energies of all chains were added up or averaged: each chain is accepted or refused for itself",
        _MOVE.but(
            kinetic=lambda momentum: 0.5 * momentum.square().sum(),
            kinetic_after=lambda after: 0.5 * after.square().sum(),
        ),
        *_probability(
            lambda before, energy: (before - energy).sum().clamp(max=0).exp().expand_as(before),
            lambda before, energy: (before - energy).mean().clamp(max=0).exp().expand_as(before),
        ),
        "one uniform number decided for all chains: each has its own",
        *_taken(lambda uniform, probability: uniform[:1] < probability),
        "accepted and refused are exchanged: a chain moves where u is below its probability, and torch.where takes the first where that is true",
        *_taken(lambda uniform, probability: uniform > probability),
        *_moved(lambda taken, at, z: torch.where(taken[:, None], z, at)),
        "you accepted with no regard to u: where the probability is above a half, or where the energy fell",
        *_taken(lambda probability: probability > 0.5, lambda probability: probability >= 1),
        "every proposal was accepted: where u is above the probability the chain stays",
        *_moved(lambda at: at),
        "no proposal was accepted: where u is below the probability the chain goes to the end of its path",
        *_moved(lambda z: z),
        "a chain that was refused became 0, or NaN: it stays where it was",
        *_moved(lambda taken, at: at * taken[:, None], lambda taken, at: torch.where(taken[:, None], at, torch.nan)),
        "the chains that were refused are left out: they stay where they were, and count again",
        *_moved(lambda taken, at: at[taken]),
        "a probability is above 1: it is min(1, e^(H − H′))",
        *_probability(lambda before, energy: (before - energy).exp()),
        "these are logarithms of probabilities: return the probabilities",
        _MOVE.but(both=lambda moved, before, energy: (moved, (before - energy).clamp(max=0))),
        "the second result says who was accepted: return the probabilities with which they were",
        _MOVE.but(both=lambda moved, taken: (moved, taken.double())),
        _MOVE.but(both=lambda moved, taken: (moved, taken)),
        "the second result is the mean: return the probability of each chain",
        _MOVE.but(both=lambda moved, probability: (moved, probability.mean())),
        "the second result is 1 less the probability: return that of being accepted",
        _MOVE.but(both=lambda moved, probability: (moved, 1 - probability)),
        "you returned the momentum: return z and the probability",
        _MOVE.but(both=lambda moved, after: (moved, after)),
        "e^(−H) is 0 where log p lies near −900, and 0/0 is NaN: take exp of the difference H − H′",
        *_probability(lambda before, energy: ((-energy).exp() / (-before).exp()).clamp(max=1)),
    ),
    results=("z", "probability"),
)


# 3. wake and sleep, each with its own gradient


def _log_normal(residual: Tensor) -> Tensor:
    """log N(r; 0, 1), summed over the last axis."""
    return -0.5 * (residual.square() + log(2 * pi)).sum(-1)


_WAKE_SLEEP = Formula(
    "x prior_mean decoder encoder log_std noise noise_z noise_x",
    std=lambda log_std: log_std.exp(),
    drawn=lambda x, encoder, std, noise: x @ encoder.T + std * noise,
    z=lambda drawn: drawn.detach(),
    log_prior=lambda z, prior_mean: _log_normal(z - prior_mean),
    log_likelihood=lambda z, x, decoder: _log_normal(x - z @ decoder.T),
    wake=lambda log_prior, log_likelihood: -(log_prior + log_likelihood),
    dream=lambda prior_mean, noise_z: (prior_mean + noise_z).detach(),
    dreamt=lambda dream, decoder, noise_x: (dream @ decoder.T + noise_x).detach(),
    log_q=lambda dream, dreamt, encoder, std: _log_q(dream, dreamt, encoder, std),
    sleep=lambda log_q: -log_q,
    both=lambda wake, sleep: (wake, sleep),
)


def _log_q(z: Tensor, x: Tensor, encoder: Tensor, std: Tensor) -> Tensor:
    return _log_normal((z - x @ encoder.T) / std) - std.log().sum()


def _wake_sleep_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, dreams: int, latent: int, pixels: int) -> Arguments:
        parameters = (
            normal(generator, latent, gradient=True),
            normal(generator, pixels, latent, gradient=True),
            normal(generator, latent, pixels, scale=0.5, gradient=True),
            normal(generator, latent, scale=0.5, gradient=True),
        )
        noises = [(batch, latent), (dreams, latent), (dreams, pixels)]
        return normal(generator, batch, pixels), *parameters, *(normal(generator, *shape) for shape in noises)

    return [case(4, 4, 2, 3), case(5, 3, 3, 2), case(1, 6, 1, 4), case(6, 1, 4, 5), case(3, 3, 2, 1)]


_wake, _sleep, _dream, _dreamt, _likelihood, _q = (
    _WAKE_SLEEP.instead(step) for step in ("wake", "sleep", "dream", "dreamt", "log_likelihood", "log_q")
)


def _leaking(awake: bool = False, z: bool = False, x: str = "") -> Answer:
    """awake: through the draw of the wake loss; z: through the dreamt z, where q is asked for it; x: through the dreamt x,
    into the decoder alone or by z into the prior as well."""

    def dreamt(prior_mean: Tensor, noise_z: Tensor, decoder: Tensor, noise_x: Tensor) -> Tensor:
        of = prior_mean + noise_z if x == "both" else (prior_mean + noise_z).detach()
        made = of @ decoder.T + noise_x
        return made if x else made.detach()

    return _WAKE_SLEEP.but(
        z=lambda drawn: drawn if awake else drawn.detach(),
        dream=lambda prior_mean, noise_z: prior_mean + noise_z if z else (prior_mean + noise_z).detach(),
        dreamt=dreamt,
    )


wake_and_sleep = Exercise(
    "wake_and_sleep",
    _WAKE_SLEEP,
    _wake_sleep_cases,
    wrong(
        "awake, a gradient leaks into the encoder through z: hold the draw still",
        _leaking(awake=True),
        "asleep, a gradient leaks into the decoder through the dreamt x: hold the dream still",
        _leaking(x="decoder"),
        "asleep, a gradient leaks into the prior through the dreamt z: hold the dream still",
        _leaking(z=True),
        "asleep, gradients leak into prior and decoder through the dream: hold it still, z and x",
        *[_leaking(z=True, x="both"), _leaking(x="both")],
        "gradients leak on both sides, awake into the encoder and asleep through the dream: hold every draw still",
        *[_leaking(awake=True, z=True, x="both"), _leaking(awake=True, x="both")],
        *[_leaking(awake=True, z=True), _leaking(awake=True, x="decoder")],
        "awake, the decoder itself was held still, so that nobody learns: it is the draw z that is held",
        *_likelihood(lambda z, x, decoder: _log_normal(x - z @ decoder.detach().T)),
        _WAKE_SLEEP.but(
            z=lambda drawn: drawn, log_likelihood=lambda z, x, decoder: _log_normal(x - z @ decoder.detach().T)
        ),
        "asleep, the encoder itself was held still, so that nobody learns: it is the dream that is held",
        *_q(lambda dream, dreamt, encoder, std: _log_q(dream, dreamt, encoder.detach(), std.detach())),
        *_q(lambda dream, dreamt, encoder, std: _log_q(dream, dreamt, encoder.detach(), std)),
        "asleep, you looked at data: q learns from dreams, z̃ of the prior and x̃ of the decoder",
        *_q(lambda z, x, encoder, std: _log_q(z, x, encoder, std)),
        "awake, log p(z) is missing: the prior has a mean that learns too",
        *_wake(lambda log_likelihood: -log_likelihood),
        "awake, log p(x | z) is missing",
        *_wake(lambda log_prior: -log_prior),
        "the wake loss has −log q(z|x) of the bound, and its gradient moves the encoder: awake it is −log p(x, z) alone",
        *_wake(
            lambda log_prior, log_likelihood, z, x, encoder, std: (
                _log_q(z, x, encoder, std) - log_prior - log_likelihood
            )
        ),
        *_wake(
            lambda log_prior, log_likelihood, z, x, encoder, std: (
                _log_q(z, x, encoder, std).detach() - log_prior - log_likelihood
            )
        ),
        "the sleep loss has log p(z̃, x̃) in it, and its gradient moves the decoder: asleep it is −log q(z̃ | x̃) alone",
        *_sleep(
            lambda log_q, dream, dreamt, prior_mean, decoder: (
                _log_normal(dream - prior_mean) + _log_normal(dreamt - dream @ decoder.T) - log_q
            )
        ),
        "the sleep loss is the decoder's, −log p(x̃ | z̃): asleep the encoder learns, by −log q(z̃ | x̃)",
        *_sleep(lambda dream, dreamt, decoder: -_log_normal(dreamt - dream @ decoder.T)),
        "these are log p(x, z) and log q, to be maximised: return losses",
        _WAKE_SLEEP.but(both=lambda wake, sleep: (-wake, -sleep)),
        "the wake loss has the wrong sign: −log p(x, z)",
        *_wake(lambda log_prior, log_likelihood: log_prior + log_likelihood),
        "the sleep loss has the wrong sign: −log q(z̃ | x̃)",
        *_sleep(lambda log_q: log_q),
        "one of the two terms of the wake loss has the wrong sign: −log p(z) − log p(x | z)",
        *_wake(
            lambda log_prior, log_likelihood: log_prior - log_likelihood,
            lambda log_prior, log_likelihood: log_likelihood - log_prior,
        ),
        "the two losses are exchanged: wake first",
        _WAKE_SLEEP.but(both=lambda wake, sleep: (sleep, wake)),
        "log σ was taken for σ: σ is its exp",
        _WAKE_SLEEP.but(drawn=lambda x, encoder, log_std, noise: x @ encoder.T + log_std * noise),
        "σ² was taken for σ: exp(log σ), not exp(2 log σ)",
        _WAKE_SLEEP.but(std=lambda log_std: (2 * log_std).exp()),
        "log σ² was read where log σ is given: σ is exp(log σ)",
        _WAKE_SLEEP.but(std=lambda log_std: (log_std / 2).exp()),
        "z is the mean of q(z | x): awake it is a draw, with `noise`",
        _WAKE_SLEEP.but(drawn=lambda x, encoder: x @ encoder.T),
        "the noise of the wake draw is not scaled by σ",
        _WAKE_SLEEP.but(drawn=lambda x, encoder, noise: x @ encoder.T + noise),
        "the dreamt x is the mean of p(x | z̃): a dream is a draw, with `noise_x`",
        *_dreamt(lambda dream, decoder: (dream @ decoder.T).detach()),
        "the dreamt z is the prior's mean: a dream is a draw, with `noise_z`",
        *_dream(lambda prior_mean, noise_z: prior_mean.detach().expand_as(noise_z)),
        "the dreamt z is drawn from N(0, I): the prior's mean is missing",
        *_dream(lambda noise_z: noise_z),
        "log p(z) was taken of N(0, I): the prior's mean is missing",
        _WAKE_SLEEP.but(log_prior=lambda z: _log_normal(z)),
        "the prior's mean is missing, awake and asleep",
        _WAKE_SLEEP.but(log_prior=lambda z: _log_normal(z), dream=lambda noise_z: noise_z),
        "σ is missing in log q(z̃ | x̃): divide the distance by it, and subtract log σ",
        *_q(lambda dream, dreamt, encoder: _log_normal(dream - dreamt @ encoder.T)),
        "−log σ is missing in log q(z̃ | x̃): a wide density is low",
        *_q(lambda dream, dreamt, encoder, std: _log_normal((dream - dreamt @ encoder.T) / std)),
        "log σ has the wrong sign in log q(z̃ | x̃): a wide density is low",
        *_q(lambda dream, dreamt, encoder, std: _log_normal((dream - dreamt @ encoder.T) / std) + std.log().sum()),
        "log 2π is missing: a log density has −½ log 2π for each coordinate",
        _WAKE_SLEEP.but(
            log_prior=lambda z, prior_mean: -0.5 * (z - prior_mean).square().sum(-1),
            log_likelihood=lambda z, x, decoder: -0.5 * (x - z @ decoder.T).square().sum(-1),
            log_q=lambda dream, dreamt, encoder, std: (
                -0.5 * ((dream - dreamt @ encoder.T) / std).square().sum(-1) - std.log().sum()
            ),
        ),
        "you averaged over the pixels: log p(x | z) is a sum over them",
        *_likelihood(lambda z, x, decoder: _log_normal(x - z @ decoder.T) / x.shape[1]),
        "you averaged or summed over the batch: return one number for each example, and for each dream",
        _WAKE_SLEEP.but(both=lambda wake, sleep: (wake.mean(), sleep.mean())),
        _WAKE_SLEEP.but(both=lambda wake, sleep: (wake.sum(), sleep.sum())),
    ),
    results=("wake loss", "sleep loss"),
)


# 4. log p(x) from draws of the posterior

_FROM_DRAWS = Formula(
    "first second log_joint",
    fitted=lambda first: first,
    mean=lambda fitted: fitted.mean(0),
    centred=lambda fitted, mean: fitted - mean,
    number=lambda fitted: len(fitted) - 1,
    covariance=lambda centred, number: centred.T @ centred / number,
    away=lambda second, mean: second - mean,
    square=lambda away, covariance: (away * torch.linalg.solve(covariance, away.T).T).sum(-1),
    log_det=lambda covariance: torch.logdet(covariance),
    constant=lambda first: first.shape[1] * log(2 * pi),
    log_q=lambda square, log_det, constant: -0.5 * (square + log_det + constant),
    log_ratio=lambda log_q, log_joint: log_q - log_joint,
    reciprocal=lambda log_ratio: log_ratio.logsumexp(0) - log(len(log_ratio)),
    log_p=lambda reciprocal: -reciprocal,
)


def _draws_cases(generator: Generator) -> list[Arguments]:
    def case(fit: int, draws: int, latent: int, log_p: float, rough: float = 0.5) -> Arguments:
        """Draws of a normal; log p(x, z) is log p(x) and its log density, and a little of something else."""
        mean, root = normal(generator, latent), normal(generator, latent, latent)
        covariance = 0.3 * (root @ root.T + 0.5 * torch.eye(latent, dtype=torch.float64))
        posterior = MultivariateNormal(mean, covariance)
        first, second = (
            mean + normal(generator, n, latent) @ torch.linalg.cholesky(covariance).T for n in (fit, draws)
        )
        return first, second, log_p + posterior.log_prob(second) + normal(generator, draws, scale=rough)

    ordinary = [case(20, 20, 2, -4.0), case(30, 12, 3, 2.0), case(6, 40, 2, -7.0), case(12, 1, 2, -3.0)]
    return [*ordinary, case(9, 15, 1, -5.0), case(25, 30, 3, -900.0), case(25, 30, 2, 800.0), case(60, 50, 5, -20.0)]


def _fitted_by(make: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """log q of the second draws made otherwise: make(first, second)."""
    return _FROM_DRAWS.but(log_q=lambda first, second: make(first, second))


def _by_torch(**of: Callable[[Tensor], Tensor]) -> Answer:
    """With MultivariateNormal, given one matrix of the first draws under its name."""
    ((name, matrix),) = of.items()
    return _fitted_by(
        lambda first, second: MultivariateNormal(first.mean(0), **{name: matrix(first)}).log_prob(second)  # type: ignore[arg-type]
    )


def _of_each(first: Tensor, second: Tensor) -> Tensor:
    """log q of every latent for itself."""
    std = first.std(0)
    return -0.5 * ((second - first.mean(0)) / std).square() - std.log() - 0.5 * log(2 * pi)


def _cov(first: Tensor) -> Tensor:
    matrix: Tensor = torch.atleast_2d(torch.cov(first.T))
    return matrix


_reciprocal, _covariance, _log_p = (_FROM_DRAWS.instead(step) for step in ("reciprocal", "covariance", "log_p"))
evidence_from_draws = Exercise(
    "evidence_from_draws",
    _FROM_DRAWS,
    _draws_cases,
    wrong(
        "q was fitted to the draws that you average over: it is too high there; fit it to the first, average over the second",
        _FROM_DRAWS.but(fitted=lambda second: second),
        "q was fitted to all draws, those that you average over among them: fit it to the first alone",
        _FROM_DRAWS.but(fitted=lambda first, second: torch.cat([first, second])),
        "you averaged logarithms: the mean of q/p(x, z) is taken first, then its logarithm",
        *_reciprocal(lambda log_ratio: log_ratio.mean(0)),
        "this is −log p(x): the mean estimates 1/p(x)",
        *_log_p(lambda reciprocal: reciprocal),
        "these are importance weights p(x, z)/q, which need draws of q: under the posterior it is the mean of q/p(x, z) that is 1/p(x)",
        *_log_p(lambda log_ratio: (-log_ratio).logsumexp(0) - log(len(log_ratio))),
        "the weights p(x, z)/q were averaged, and the sign of the logarithm flipped: the mean of q/p(x, z) is 1/p(x)",
        *_log_p(lambda log_ratio: log(len(log_ratio)) - (-log_ratio).logsumexp(0)),
        "log L is missing: take the mean of the draws, not their sum",
        *_reciprocal(lambda log_ratio: log_ratio.logsumexp(0)),
        "log L has the wrong sign: a mean divides by L",
        *_reciprocal(lambda log_ratio: log_ratio.logsumexp(0) + log(len(log_ratio))),
        "you divided by the number of draws that q was fitted to: the mean is over the second",
        *_reciprocal(lambda log_ratio, first: log_ratio.logsumexp(0) - log(len(first))),
        "exp overflows or underflows for log p(x, z) far from 0: use logsumexp",
        *_reciprocal(lambda log_ratio: log_ratio.exp().mean(0).log()),
        *_log_p(lambda log_q, log_joint: -(log_q.exp() / log_joint.exp()).mean().log()),
        "the largest logarithm was subtracted and not added again",
        *_reciprocal(lambda log_ratio: (log_ratio - log_ratio.amax()).exp().mean(0).log()),
        "this is the largest of the terms alone: add them all up",
        *_reciprocal(lambda log_ratio: log_ratio.amax(0)),
        "q is missing: E[1/p(x, z)] under the posterior is no 1/p(x); the ratio is q(z)/p(x, z)",
        _FROM_DRAWS.but(log_ratio=lambda log_joint: -log_joint),
        "p(x, z) is missing: the ratio is q(z)/p(x, z)",
        _FROM_DRAWS.but(log_ratio=lambda log_q: log_q),
        "q and p(x, z) were multiplied: divide",
        _FROM_DRAWS.but(log_ratio=lambda log_q, log_joint: log_q + log_joint),
        "q was fitted as a product over the latents: its covariance has the entries off the diagonal too",
        *_covariance(lambda centred, number: torch.diag(centred.square().sum(0) / number)),
        "log q has one number for each latent: a density of all latents is asked for, with its full covariance",
        _FROM_DRAWS.but(log_ratio=lambda first, second, log_joint: _of_each(first, second) - log_joint[:, None]),
        "q has the covariance I: fit it to the draws",
        *_covariance(lambda first: torch.eye(first.shape[1], dtype=first.dtype)),
        "q is the prior N(0, I): fit its mean and its covariance to the first draws",
        _FROM_DRAWS.but(
            mean=lambda first: torch.zeros_like(first[0]),
            covariance=lambda first: torch.eye(first.shape[1], dtype=first.dtype),
        ),
        "the mean was not subtracted: this is the matrix of second moments, not the covariance",
        *_covariance(lambda fitted, number: fitted.T @ fitted / number, lambda fitted: fitted.T @ fitted / len(fitted)),
        "q has its mean at 0: it is that of the first draws",
        _FROM_DRAWS.but(away=lambda second: second),
        "the covariance divides by n: the exercise asks for n − 1",
        _FROM_DRAWS.but(number=lambda fitted: len(fitted)),
        "the covariance was passed as its Cholesky factor: give it by name, covariance_matrix=",
        _by_torch(scale_tril=_cov),
        "the covariance was passed as a precision: that is its inverse",
        _by_torch(precision_matrix=_cov),
        "torch.cov takes the variables as rows: give it first.T",
        _by_torch(covariance_matrix=torch.cov),
        "with one latent torch.cov returns a number without axes: torch.atleast_2d makes a matrix of it",
        _by_torch(covariance_matrix=lambda first: torch.cov(first.T)),
        "½ log det of the covariance is missing in log q",
        _FROM_DRAWS.but(log_det=lambda: 0),
        "log det of the covariance has the wrong sign in log q: a wide density is low",
        _FROM_DRAWS.but(log_det=lambda covariance: -torch.logdet(covariance)),
        "log 2π is missing in log q, or counts once: −½ log 2π for each latent",
        *_FROM_DRAWS.each(constant=[lambda: 0, lambda: log(2 * pi)]),
        "these are the terms of the draws: average them",
        *_log_p(lambda log_ratio: -log_ratio),
        "this is p(x), or 1/p(x): return log p(x)",
        *_log_p(lambda reciprocal: (-reciprocal).exp(), lambda reciprocal: reciprocal.exp()),
    ),
    tolerance=1e-3,  # nats: `fitted_normal` adds 1e-6 to the diagonal
)


# 5. whether chains have arrived

_ARRIVED = Formula(
    "z slope",
    product=lambda z, slope: z * slope,
    excess=lambda product: product + 1,
    of_chains=lambda excess: excess.mean(0),  # [chains, latent]
    mean=lambda of_chains: of_chains.mean(0),
    error=lambda of_chains: of_chains.std(0) / len(of_chains) ** 0.5,
    errors=lambda mean, error: mean / error,
)


def _arrived_cases(generator: Generator) -> list[Arguments]:
    def case(draws: int, chains: int, latent: int, right: float = 1.0, sticky: float = 0.8) -> Arguments:
        """Chains that move slowly; p(z) is normal, its slope times `right`."""
        z = [normal(generator, chains, latent)]
        for _ in range(draws - 1):
            z.append(sticky * z[-1] + (1 - sticky**2) ** 0.5 * normal(generator, chains, latent))
        place = 0.5 + torch.arange(latent, dtype=torch.float64)
        width = 0.5 + uniform(generator, latent)
        drawn = torch.stack(z)
        return place + width * drawn, -right * drawn / width

    sizes = [case(5, 5, 5), case(8, 6, 2, 1.5), case(1, 7, 3), case(10, 2, 1, 0.7), case(4, 9, 2, 2.0, 0.0)]
    return [*sizes, case(30, 12, 3, 1.1, 0.95)]


def _deviation(values: Tensor) -> Tensor:
    """std(0), which warns of a single value."""
    return ((values - values.mean(0)).square().sum(0) / (len(values) - 1)).sqrt()


_error, _product, _excess, _of_chains = (_ARRIVED.instead(step) for step in ("error", "product", "excess", "of_chains"))
errors_off = Exercise(
    "errors_off",
    _ARRIVED,
    _arrived_cases,
    wrong(
        "draws of one chain were taken for independent: each resembles the one before; the means of the chains are independent, so count those",
        *_error(
            lambda excess: excess.flatten(0, 1).std(0) / excess[..., 0].numel() ** 0.5,
            lambda excess: excess.flatten(0, 1).std(0, correction=0) / excess[..., 0].numel() ** 0.5,
        ),
        "the error was taken over the draws, of means over the chains: the draws of a chain depend on each other, the chains do not",
        *_error(lambda excess: _deviation(excess.mean(1)) / len(excess) ** 0.5),
        "this is the error of a single draw's deviation over √chains: take the deviation of the chains' means",
        *_error(lambda excess: excess.flatten(0, 1).std(0) / excess.shape[1] ** 0.5),
        "the deviation was not divided by √chains: the error of a mean of n numbers is theirs over √n",
        *_error(lambda of_chains: of_chains.std(0)),
        "the deviation was divided by the number of chains: its root",
        *_error(lambda of_chains: of_chains.std(0) / len(of_chains)),
        "the deviation of the chains' means was divided by √draws: it is of as many numbers as there are chains",
        *_error(lambda of_chains, z: of_chains.std(0) / len(z) ** 0.5),
        "the deviation of the chains' means was divided by √(draws · chains): the draws are averaged in them already",
        *_error(lambda of_chains, z: of_chains.std(0) / (len(z) * len(of_chains)) ** 0.5),
        "you divided by the variance: the error is a root",
        *_error(lambda of_chains: of_chains.var(0) / len(of_chains), lambda of_chains: of_chains.var(0)),
        "the variance of the chains' means divides by n: the exercise asks for n − 1",
        *_error(lambda of_chains: of_chains.std(0, correction=0) / len(of_chains) ** 0.5),
        "all latents have one error in your answer: each has its own",
        *_error(lambda of_chains: of_chains.std() / len(of_chains) ** 0.5),
        "the mean was compared with +1: by parts, E[z ∂ log p] = −∫ p dz",
        *_excess(lambda product: product - 1),
        "the mean was compared with 0: by parts, E[z ∂ log p] = −∫ p dz",
        *_excess(lambda product: product),
        "the mean was compared with minus the number of latents: that is right for the sum over them; each has −1",
        *_excess(lambda product, z: product + z.shape[-1]),
        "the sign is flipped: above 0 where the mean lies above what it should be",
        *_excess(lambda product: -product - 1),
        "the sign of the slope is flipped",
        *_excess(lambda product: 1 - product),
        "this is the mean slope: it is 0 for draws of p too, but it says nothing of their width; multiply it by z",
        _ARRIVED.but(excess=lambda slope: slope),
        "this is the mean of z: multiply it by the slope",
        *_product(lambda z: z),
        "the mean was subtracted from z: E[z ∂ log p] is asked for, with z as it is",
        *_product(
            lambda z, slope: (z - z.mean((0, 1))) * slope,
            lambda z, slope: (z - z.mean(0)) * slope,
        ),
        "you squared z or the slope: multiply the one by the other",
        *_product(lambda slope: -slope.square(), lambda z: -z.square()),
        "you multiplied the means: E[z ∂ log p] is the mean of the products",
        *_of_chains(lambda z, slope: z.mean(0) * slope.mean(0) + 1),
        "only the last draw of each chain was used: all count, in the chain's mean",
        *_of_chains(lambda excess: excess[-1]),
        "only the second half of each chain was used: that is for the caller; all draws given count",
        *_of_chains(lambda excess: excess[len(excess) // 2 :].mean(0)),
        "you summed over the draws: take the mean of each chain",
        *_of_chains(lambda product: product.sum(0) + 1),
        "the latents were added up: return one number for each",
        _ARRIVED.but(
            excess=lambda product, z: product.sum(-1, keepdim=True) + z.shape[-1],
            errors=lambda mean, error: (mean / error)[0],
        ),
        _ARRIVED.but(excess=lambda product, z: product.sum(-1, keepdim=True) + z.shape[-1]),
        "these are the means: divide each by its error",
        _ARRIVED.but(errors=lambda mean: mean),
        "these are the errors: divide the means by them",
        _ARRIVED.but(errors=lambda error: error),
        "the ratio is upside down: the mean over its error",
        _ARRIVED.but(errors=lambda mean, error: error / mean),
        "the sign is lost: return it, it says to which side",
        *[_ARRIVED.then(torch.abs), _ARRIVED.then(torch.square)],
        "you averaged over the latents: return one number for each",
        _ARRIVED.then(torch.mean),
        "these are numbers of single chains: their mean over its error",
        _ARRIVED.but(errors=lambda of_chains, error: of_chains / error),
    ),
)
