"""The sheet on collapse and holes: what open units are worth, a decoder with a window, the least KL, both sides, a report."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import torch
from torch import Generator, Tensor, nn

from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import RESULTS, behaviour
from vae_course.exercises.parts import Formula, Step, normal, uniform

# 1. what the units of a linear VAE are worth, and what they cost

_WORTH = Formula(
    "eigenvalues std latents",
    ranked=lambda eigenvalues: eigenvalues.sort(descending=True).values,
    taken=lambda ranked, latents: ranked[:latents],
    ratio=lambda taken, std: taken / std**2,
    kept=lambda ratio: ratio.clamp(min=1),
    worth=lambda kept: 0.5 * (kept - 1 - kept.log()).sum(),
    rate=lambda kept: 0.5 * kept.log().sum(),
    both=lambda worth, rate: (worth, rate),
)


def _worth_cases(generator: Generator) -> list[Arguments]:
    def case(size: int, latents: int, std: float) -> Arguments:
        return 3 * uniform(generator, size) + 0.01, std, latents

    closed = (0.1 * uniform(generator, 4) + 0.01, 0.9, 3)  # nothing opens
    opened = (1 + uniform(generator, 5), 0.3, 2)  # all could
    return [case(8, 5, 0.9), case(6, 6, 1.1), case(9, 4, 0.7), case(5, 1, 0.8), closed, opened, case(12, 9, 1.2)]


def _worth_with(**steps: Sequence[Step]) -> list[Formula]:
    return _WORTH.each(**steps)


worth_and_rate = Exercise(
    "worth_and_rate",
    _WORTH,
    _worth_cases,
    wrong(
        "a direction with λ below σ² was opened: its unit stays closed, and adds nothing to either sum",
        *_worth_with(kept=[lambda ratio: ratio]),
        "you took σ where the variance belongs: r is λ / σ²",
        *_worth_with(ratio=[lambda taken, std: taken / std]),
        "you compared and divided nothing: r is λ / σ², not λ",
        *_worth_with(ratio=[lambda taken: taken]),
        "every direction above σ² was opened: there are only so many latents",
        *_worth_with(taken=[lambda ranked: ranked]),
        "the units took the first eigenvalues as they came: they hold those with the largest",
        *_worth_with(ranked=[lambda eigenvalues: eigenvalues]),
        "the units took the smallest eigenvalues: they hold the largest",
        *_worth_with(ranked=[lambda eigenvalues: eigenvalues.sort().values]),
        "the ½ of the worth is missing",
        *_worth_with(worth=[lambda kept: (kept - 1 - kept.log()).sum()]),
        "the ½ of the rate is missing",
        *_worth_with(rate=[lambda kept: kept.log().sum()]),
        "both ½ are missing",
        _WORTH.but(worth=lambda kept: (kept - 1 - kept.log()).sum(), rate=lambda kept: kept.log().sum()),
        "the 1 of the worth is missing: at r = 1 a unit is worth nothing",
        *_worth_with(worth=[lambda kept: 0.5 * (kept - kept.log()).sum()]),
        "the logarithm of the worth has the wrong sign: ½ (r − 1 − log r)",
        *_worth_with(worth=[lambda kept: 0.5 * (kept - 1 + kept.log()).sum()]),
        "this is the distortion saved, ½ (r − 1): what the unit costs, ½ log r, comes off it",
        *_worth_with(worth=[lambda kept: 0.5 * (kept - 1).sum()]),
        "the rate has the wrong sign: a KL is not negative",
        *_worth_with(rate=[lambda kept: -0.5 * kept.log().sum()]),
        "that rate is the worth again: the KL of an open unit is ½ log r",
        *_worth_with(rate=[lambda worth: worth]),
        "you returned the rate first: the worth comes first",
        *_worth_with(both=[lambda worth, rate: (rate, worth)]),
        "you averaged over the units: both are sums over them",
        *_worth_with(both=[lambda worth, rate, latents: (worth / latents, rate / latents)]),
    ),
    results=("worth", "rate"),
)


# 2. a decoder that sees a window of earlier pixels

_WINDOW = Formula(
    "z x window weight bias context",
    place=lambda x: torch.arange(x.shape[1]),
    back=lambda place: place[:, None] - place,  # [i, j]: how far pixel j lies before pixel i
    seen=lambda back, window: (back >= 1) & (back <= window),
    used=lambda context, seen: context * seen,
    from_z=lambda z, weight, bias: z @ weight.T + bias,
    from_x=lambda x, used: x @ used.T,
    logits=lambda from_z, from_x: from_z + from_x,
)


def _window(formula: Answer = _WINDOW, bias: bool = True, frozen: bool = False) -> type[nn.Module]:
    """bias: whether f has one; frozen: whether the weights of the pixels are not trained."""

    class Decoder(nn.Module):
        def __init__(self, latent: int, pixels: int, window: int) -> None:
            super().__init__()
            self.window = window
            self.weight = nn.Parameter(torch.zeros(pixels, latent))
            self.bias = nn.Parameter(torch.zeros(pixels)) if bias else None
            self.context = nn.Parameter(torch.zeros(pixels, pixels), requires_grad=not frozen)

        def forward(self, z: Tensor, x: Tensor) -> Any:
            offset = 0.0 if self.bias is None else self.bias
            return formula(z, x, self.window, self.weight, offset, self.context)

    return Decoder


def _window_with(**steps: Sequence[Step]) -> list[type[nn.Module]]:
    return [_window(other) for other in _WINDOW.each(**steps)]


def _window_cases(generator: Generator) -> list[Arguments]:
    def case(latent: int, pixels: int, window: int, batch: int) -> Arguments:
        x = (uniform(generator, batch, pixels) < 0.5).double()
        return latent, pixels, window, normal(generator, batch, latent, gradient=True), x

    return [case(2, 7, 3, 4), case(3, 9, 2, 5), case(1, 6, 4, 1), case(4, 5, 3, 6), case(2, 8, 20, 3), case(5, 6, 2, 2)]


WindowDecoder = Exercise(
    "WindowDecoder",
    _window(),
    _window_cases,
    wrong(
        "a pixel sees itself, and so needs nothing else: j must be less than i",
        *_window_with(seen=[lambda back, window: (back >= 0) & (back <= window)]),
        "a pixel sees itself in place of the one farthest back: j runs from i − window to i − 1",
        *_window_with(seen=[lambda back, window: (back >= 0) & (back < window)]),
        "the window is one pixel short: j = i − window is in it",
        *_window_with(seen=[lambda back, window: (back >= 1) & (back < window)]),
        "the window is one pixel too long: the last one in it is i − window",
        *_window_with(seen=[lambda back, window: (back >= 1) & (back <= window + 1)]),
        "every earlier pixel is seen: only the last `window` of them may be",
        *_window_with(seen=[lambda back: back >= 1]),
        "only one pixel is seen: all of the last `window`",
        *_window_with(seen=[lambda back: back == 1, lambda back, window: back == window]),
        "pixels see later pixels: those do not exist yet when this one is drawn",
        *_window_with(seen=[lambda back, window: (back <= -1) & (back >= -window)]),
        "pixels see the window on both sides: later ones do not exist yet",
        *_window_with(seen=[lambda back, window: (back != 0) & (back.abs() <= window)]),
        "there is no mask: every pixel sees all, itself and later ones among them",
        *_window_with(used=[lambda context: context]),
        "rows and columns are exchanged: W[i, j] weighs pixel j in the logit of pixel i, so it is x @ W.T",
        *_window_with(from_x=[lambda x, used: x @ used]),
        "the mask was applied to the pixels' sum: it belongs to the weights, before they are used",
        *_window_with(from_x=[lambda x, context, seen: (x @ context.T) * seen.any(1)]),
        "z is not used: add f(z)",
        *_window_with(logits=[lambda from_x: from_x]),
        "the pixels are not used: add W x",
        *_window_with(logits=[lambda from_z: from_z]),
        "the two parts were multiplied: a logit is their sum",
        *_window_with(logits=[lambda from_z, from_x: from_z * from_x]),
        "these are probabilities: return the logits",
        *_window_with(logits=[lambda from_z, from_x: (from_z + from_x).sigmoid()]),
        "f has no bias: nn.Linear(latent, pixels) has one",
        _window(bias=False),
        "W is frozen: it is a parameter, and training must move it",
        _window(frozen=True),
        "f(z) was detached: the gradient must reach z",
        *_window_with(from_z=[lambda z, weight, bias: z.detach() @ weight.T + bias]),
    ),
    results=RESULTS,
    prepare=behaviour(3),
)


# 3. the least KL of a family whose widths are bounded

_LEAST = Formula(
    "narrowest widest",
    std=lambda narrowest, widest: torch.minimum(torch.maximum(torch.ones_like(widest), narrowest), widest),
    units=lambda std: 0.5 * (std.square() - 1 - 2 * std.log()),  # at μ = 0
    delta=lambda units: units.sum(),
)


def _least_cases(generator: Generator) -> list[Arguments]:
    def case(units: int, low: float, high: float) -> Arguments:
        narrowest = low + (high - low) * uniform(generator, units)
        widest = (narrowest * (1.2 + uniform(generator, units))).requires_grad_()
        return narrowest.requires_grad_(), widest

    return [
        case(3, 0.1, 0.4),
        case(4, 1.1, 3.0),
        case(5, 0.2, 2.0),
        case(1, 0.05, 0.3),
        case(6, 0.3, 1.5),
        case(2, 0.5, 0.9),
    ]


least_kl = Exercise(
    "least_kl",
    _LEAST,
    _least_cases,
    wrong(
        "you took the widest σ everywhere: where 1 lies between the two bounds, or below both, another σ has a smaller KL",
        *_LEAST.each(std=[lambda widest: widest]),
        "you took the narrowest σ everywhere: the least KL is at the σ nearest to 1",
        *_LEAST.each(std=[lambda narrowest: narrowest]),
        "you only thought of σ below 1: where the narrowest is above 1, it is the best",
        *_LEAST.each(std=[lambda widest: widest.clamp(max=1)]),
        "you only thought of σ above 1: where the widest is below 1, it is the best",
        *_LEAST.each(std=[lambda narrowest: narrowest.clamp(min=1)]),
        "you took the middle of the two bounds: the least KL is at the σ nearest to 1",
        *_LEAST.each(std=[lambda narrowest, widest: (narrowest + widest) / 2]),
        "this is the largest KL at μ = 0: the least is asked for, at the σ nearest to 1",
        *_LEAST.each(delta=[lambda narrowest, widest: torch.maximum(_at(narrowest), _at(widest)).sum()]),
        "you took the smaller of the KLs at the two bounds: between them lies σ = 1 where one is below 1 and one above",
        *_LEAST.each(delta=[lambda narrowest, widest: torch.minimum(_at(narrowest), _at(widest)).sum()]),
        "the ½ is missing",
        _LEAST.then(lambda delta: 2 * delta),
        "log σ² is 2 log σ: its 2 is missing",
        *_LEAST.each(units=[lambda std: 0.5 * (std.square() - 1 - std.log())]),
        "the 1 is missing: at σ = 1 the KL is 0",
        *_LEAST.each(units=[lambda std: 0.5 * (std.square() - 2 * std.log())]),
        "the sign of log σ is flipped: ½ (σ² − 1 − log σ²)",
        *_LEAST.each(units=[lambda std: 0.5 * (std.square() - 1 + 2 * std.log())]),
        "σ is not squared: ½ (σ² − 1 − log σ²)",
        *_LEAST.each(units=[lambda std: 0.5 * (std - 1 - 2 * std.log())]),
        "you returned one number for each unit: the KL of all together is their sum",
        *_LEAST.each(delta=[lambda units: units]),
        "you averaged over the units: the KL of all together is their sum",
        *_LEAST.each(delta=[lambda units: units.mean()]),
        "the least of the units was taken: all of them are paid",
        *_LEAST.each(delta=[lambda units: units.min()]),
    ),
)


def _at(std: Tensor) -> Tensor:
    return 0.5 * (std.square() - 1 - 2 * std.log())


# 4. the divergence of the aggregate posterior, from both sides

_SIDES = Formula(
    "log_pairs log_p",
    n=lambda log_pairs: len(log_pairs),
    own=lambda n: torch.eye(n).bool(),
    others=lambda log_pairs, own: log_pairs.masked_fill(own, -torch.inf),
    log_without=lambda others, n: others.logsumexp(1) - log(n - 1),
    log_with=lambda log_pairs, n: log_pairs.logsumexp(1) - log(n),
    low=lambda log_without, log_p: (log_without - log_p).mean(),
    high=lambda log_with, log_p: (log_with - log_p).mean(),
    both=lambda low, high: (low, high),
)


def _sides_cases(generator: Generator) -> list[Arguments]:
    def case(n: int, spread: float, at: float = 0.0) -> Arguments:
        z, mean = normal(generator, n, 3), normal(generator, n, 3, scale=spread)
        z = mean + 0.4 * z
        pairs = torch.distributions.Normal(mean, 0.4).log_prob(z[:, None]).sum(-1)
        log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        return pairs + at, log_p + at

    return [
        case(6, 1.0),
        case(2, 0.8),
        case(9, 0.5),
        case(4, 30.0),
        case(5, 1.0, -900.0),
        case(7, 1.2, 900.0),
        case(3, 0.3),
    ]


divergence_from_both_sides = Exercise(
    "divergence_from_both_sides",
    _SIDES,
    _sides_cases,
    wrong(
        "the draw's own posterior is left out of neither: in the first result it must not count",
        *_SIDES.each(log_without=[lambda log_with: log_with]),
        "the draw's own posterior is left out of both: in the second result it counts like the others",
        *_SIDES.each(log_with=[lambda log_without: log_without]),
        "the mean without the own posterior is over n − 1 others, not n",
        *_SIDES.each(log_without=[lambda others, n: others.logsumexp(1) - log(n)]),
        "the mean with the own posterior is over n, not n − 1",
        *_SIDES.each(log_with=[lambda log_pairs, n: log_pairs.logsumexp(1) - log(n - 1)]),
        "the sums are not divided: log n and log (n − 1) are missing",
        _SIDES.but(log_without=lambda others: others.logsumexp(1), log_with=lambda log_pairs: log_pairs.logsumexp(1)),
        "the logarithms were added where they come off: a mean divides by n",
        _SIDES.but(
            log_without=lambda others, n: others.logsumexp(1) + log(n - 1),
            log_with=lambda log_pairs, n: log_pairs.logsumexp(1) + log(n),
        ),
        "you summed over the draws: row i holds the posteriors at draw i, sum along axis 1",
        _SIDES.but(
            log_without=lambda others, n: others.logsumexp(0) - log(n - 1),
            log_with=lambda log_pairs, n: log_pairs.logsumexp(0) - log(n),
        ),
        "the own posterior was set to 0, which is the logarithm of 1: its weight is 0, so its logarithm −∞",
        *_SIDES.each(others=[lambda log_pairs, own: log_pairs.masked_fill(own, 0.0)]),
        "you averaged the log densities: q(z) is a mean of densities, its logarithm comes afterwards",
        _SIDES.but(
            log_without=lambda log_pairs, own, n: log_pairs.masked_fill(own, 0.0).sum(1) / (n - 1),
            log_with=lambda log_pairs: log_pairs.mean(1),
        ),
        "log p(z) is missing: a divergence is from the prior",
        _SIDES.but(low=lambda log_without: log_without.mean(), high=lambda log_with: log_with.mean()),
        "the signs are turned: log q(z) − log p(z)",
        _SIDES.but(
            low=lambda log_without, log_p: (log_p - log_without).mean(),
            high=lambda log_with, log_p: (log_p - log_with).mean(),
        ),
        "this is the KL of each q(z|x), which holds the information too: put the mean over the posteriors in its place",
        *_SIDES.each(high=[lambda log_pairs, log_p: (log_pairs.diagonal() - log_p).mean()]),
        "the two results stand in the other order: first without the own posterior",
        *_SIDES.each(both=[lambda low, high: (high, low)]),
        "you added up over the draws: a divergence is a mean over them",
        *_SIDES.each(both=[lambda low, high, n: (low * n, high * n)]),
        "exp overflows or underflows: use logsumexp",
        _SIDES.but(
            log_without=lambda log_pairs, own, n: (log_pairs.exp().masked_fill(own, 0.0).sum(1) / (n - 1)).log(),
            log_with=lambda log_pairs: log_pairs.exp().mean(1).log(),
        ),
        "subtracting the own density from the sum loses the others where it is by far the largest: mask it before the sum",
        *_SIDES.each(
            log_without=[
                lambda log_pairs, n: (
                    log_pairs.logsumexp(1)
                    + torch.log1p(-(log_pairs.diagonal() - log_pairs.logsumexp(1)).exp())
                    - log(n - 1)
                )
            ]
        ),
    ),
    results=("low", "high"),
)


# 5. what a report with forgiven nats says of the ELBO

_REPORT = Formula(
    "distortion excess free",
    least=lambda excess, free: torch.where(excess > 0, excess + free, torch.zeros_like(excess)),
    most=lambda excess, free: excess + free,
    lowest=lambda distortion, most: -distortion - most.sum(),
    highest=lambda distortion, least: -distortion - least.sum(),
    both=lambda lowest, highest: (lowest, highest),
)


def _report_cases(generator: Generator) -> list[Arguments]:
    def case(units: int, free: float, at: float) -> Arguments:
        excess = (2 * uniform(generator, units) - at).clamp(min=0)
        return 90 + 5 * uniform(generator, 1)[0], excess, free

    none_above = (80 + uniform(generator, 1)[0], torch.zeros(3).double(), 0.7)
    all_above = (85 + uniform(generator, 1)[0], 0.1 + uniform(generator, 4), 0.4)
    return [case(8, 0.5, 1.0), case(6, 0.3, 0.8), case(10, 1.2, 1.2), none_above, all_above, case(7, 0.25, 1.0)]


bound_from_report = Exercise(
    "bound_from_report",
    _REPORT,
    _report_cases,
    wrong(
        "the forgiven nats are missing: a unit with an excess has a KL of λ more than that",
        *_REPORT.each(both=[lambda distortion, excess: (-distortion - excess.sum(), -distortion - excess.sum())]),
        "units without an excess were taken to have the KL 0: they may have any up to λ, which the lowest value must allow for",
        *_REPORT.each(most=[lambda least: least]),
        "units without an excess were taken to have the KL λ: they may have any down to 0, which the highest value must allow for",
        *_REPORT.each(least=[lambda most: most]),
        "in the highest value the units with an excess have a KL of excess + λ: λ is missing there",
        *_REPORT.each(least=[lambda excess: excess]),
        "in the lowest value every unit was allowed λ in place of its KL: excess + λ where there is an excess",
        *_REPORT.each(most=[lambda excess, free: torch.full_like(excess, free)]),
        "λ counts once for each unit, not once for all of them",
        *_REPORT.each(
            both=[
                lambda distortion, excess, free: (-distortion - excess.sum() - free, -distortion - excess.sum()),
                lambda distortion, excess, free: (-distortion - excess.sum() - free, -distortion - excess.sum() - free),
            ]
        ),
        "the forgiven nats were taken off the KL: they were forgiven already, so they are added",
        *_REPORT.each(
            both=[
                lambda distortion, excess, free: (
                    -distortion - (excess - free).sum(),
                    -distortion - (excess - free).clamp(min=0).sum(),
                )
            ]
        ),
        "the two results stand in the other order: the lowest first",
        *_REPORT.each(both=[lambda lowest, highest: (highest, lowest)]),
        "the signs are turned: these are costs, the ELBO is minus distortion minus KL",
        *_REPORT.each(both=[lambda lowest, highest: (-lowest, -highest)]),
        "as costs, and so in the other order: the ELBO is minus distortion minus KL",
        *_REPORT.each(both=[lambda lowest, highest: (-highest, -lowest)]),
        "the distortion came in with the wrong sign: log p(x|z) is minus the distortion",
        _REPORT.but(
            lowest=lambda distortion, most: distortion - most.sum(),
            highest=lambda distortion, least: distortion - least.sum(),
        ),
        "the distortion is missing",
        _REPORT.but(lowest=lambda most: -most.sum(), highest=lambda least: -least.sum()),
        "you averaged over the units: their KLs add up",
        _REPORT.but(
            lowest=lambda distortion, most: -distortion - most.mean(),
            highest=lambda distortion, least: -distortion - least.mean(),
        ),
    ),
    results=("lowest", "highest"),
)
