"""The sheet on the variational autoencoder: from one reparameterized draw to the ELBO and a picture of the latents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy, logsigmoid, silu, softplus

from vae_course.distributions.families import diagonal_normal
from vae_course.exercises.exercise import Answer, Arguments, Exercise, wrong
from vae_course.exercises.modules import LEFT_BEHIND, RESULTS, behaviour
from vae_course.exercises.parts import Formula, bits, normal

# 1. z = μ + σ ε

_draw = Formula(
    "mean log_std noise",
    std=lambda log_std: log_std.exp(),
    spread=lambda std, noise: std * noise,
    z=lambda mean, spread: mean + spread,
)


def _reparameterize_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        parameters = [normal(generator, batch, latent, scale=scale, gradient=True) for _ in range(2)]
        return (*parameters, normal(generator, batch, latent))

    return [case(4, 3, 1.0), case(1, 2, 1.0), case(5, 1, 3.0), case(2, 2, 1e-3)]


reparameterize = Exercise(
    "reparameterize",
    _draw,
    _reparameterize_cases,
    wrong(
        "you multiplied the noise by log σ; take exp to get σ, which must be positive",
        _draw.but(std=lambda log_std: log_std),
        "you took exp(s/2) for σ: that is right when s is log σ², but here s is log σ",
        _draw.given(log_std=lambda s: s / 2),
        "you multiplied the noise by the variance σ²; it takes the standard deviation σ",
        _draw.given(log_std=lambda s: 2 * s),
        "no gradient reaches the mean: something cut its path; z must be computed from the mean itself",
        _draw.given(mean=torch.detach),
        "no gradient flows back from z: a detach, .data, no_grad or a sample() stands in the way",
        _draw.then(torch.detach),
        "you scaled the mean as well; only the noise is multiplied by σ",
        _draw.but(z=lambda mean, std, noise: (mean + noise) * std),
        "the noise was subtracted: the distribution is the same, but the exercise asks for μ + σ ε",
        _draw.but(z=lambda mean, spread: mean - spread),
        "you took softplus for σ: here s is log σ, so σ = exp(s)",
        _draw.but(std=lambda log_std: softplus(log_std)),
        "σ is missing: the noise must be multiplied by it",
        _draw.but(std=lambda: 1),
    ),
)


# 2. KL(N(μ, σ²) || N(0, 1)), summed over the latents

_kl = Formula(
    "mean log_std",
    square=lambda mean: mean.square(),
    variance=lambda log_std: (2 * log_std).exp(),
    one=lambda: 1,
    logarithm=lambda log_std: log_std,
    each=lambda square, variance, one, logarithm: 0.5 * (square + variance - one) - logarithm,
    divergence=lambda each: each.sum(-1),
)


def _kl_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, latent: int, scale: float) -> Arguments:
        return tuple(normal(generator, batch, latent, scale=scale, gradient=True) for _ in range(2))

    zero = torch.zeros(3, 2, dtype=torch.float64)
    return [case(4, 3, 1.0), case(1, 5, 1.0), case(3, 1, 2.0), case(2, 4, 1e-3), (zero, zero.clone())]


kl_to_standard_normal = Exercise(
    "kl_to_standard_normal",
    _kl,
    _kl_cases,
    wrong(
        "the ½ stands before μ² only: it multiplies the whole bracket",
        _kl.but(each=lambda square, variance, logarithm: 0.5 * square + variance - 1 - 2 * logarithm),
        "− log σ² is missing: without it σ is pulled to 0, not to 1",
        _kl.but(logarithm=lambda: 0),
        "one of the two is doubled only: σ² is exp(2s) where the logarithm is 2s (here s is log σ)",
        _kl.but(variance=lambda log_std: log_std.exp()),
        "log σ² is 2 log σ: you subtracted half of it",
        _kl.but(logarithm=lambda log_std: log_std / 2),
        "log σ² has the wrong sign: it is subtracted",
        _kl.but(logarithm=lambda log_std: -log_std),
        "the −1 stands outside the sum: every latent has its own",
        _kl.but(one=lambda: 0, divergence=lambda each: each.sum(-1) - 0.5),
        "μ is not squared",
        _kl.but(square=lambda mean: mean),
        "you averaged over the latents: the KL of independent coordinates is a sum",
        _kl.but(divergence=lambda each: each.mean(-1)),
        "you averaged over the batch: return one number per example; the mean is taken in fit",
        _kl.then(torch.mean),
        "you summed over the batch too: return one number per example",
        _kl.then(torch.sum),
        "the sign is flipped: a KL divergence is never negative",
        _kl.then(torch.neg),
        "the factor ½ is missing",
        _kl.then(lambda divergence: 2 * divergence),
        "you used exp(s) for the variance, as if s were log σ²; here s is log σ, and σ² is exp(2s)",
        _kl.given(log_std=lambda s: s / 2),
        "you wrote (log σ)² where log σ² = 2 log σ belongs",
        _kl.but(logarithm=lambda log_std: log_std.square() / 2),
        "this is KL(p || q), the other direction: the expectation is over q",
        _kl.but(each=lambda square, variance, logarithm: logarithm + 0.5 * ((1 + square) / variance - 1)),
        "the −1 is missing: at μ = 0, σ = 1 the divergence must be 0",
        _kl.but(one=lambda: 0),
        "you did not sum over the latents: the last axis is the event",
        _kl.but(divergence=lambda each: each),
    ),
)


# 3. log p(x|z) of a Bernoulli with logits

_bernoulli = Formula(
    "logits x",
    chosen=lambda logits, x: x * logits,
    normaliser=lambda logits: softplus(logits),
    pixels=lambda chosen, normaliser: chosen - normaliser,
    picture=lambda pixels: pixels.flatten(1).sum(-1),
)
_by_probability = Formula(
    "logits x",
    p=lambda logits: logits.sigmoid(),
    pixels=lambda p, x: x * p.log() + (1 - x) * (1 - p).log(),
    picture=lambda pixels: pixels.flatten(1).sum(-1),
)


def _bernoulli_cases(generator: Generator) -> list[Arguments]:
    def case(*shape: int, scale: float = 2.0) -> Arguments:
        return normal(generator, *shape, scale=scale, gradient=True), bits(generator, *shape)

    ink = torch.ones(2, 1, 2, 2, dtype=torch.float64)
    extreme = [(800.0, 0 * ink), (-800.0, ink), (800.0, ink)]  # the probability of a wrong pixel underflows
    sure = [((logit * ink).requires_grad_(), x) for logit, x in extreme]
    return [case(4, 1, 3, 3), case(1, 1, 2, 2), case(3, 3, 2, 2), *sure]


bernoulli_log_likelihood = Exercise(
    "bernoulli_log_likelihood",
    _bernoulli,
    _bernoulli_cases,
    wrong(
        "you averaged over pixels: independent pixels multiply, so their log-probabilities add up",
        _bernoulli.but(picture=lambda pixels: pixels.flatten(1).mean(-1)),
        "you averaged over the batch: return one number per picture",
        _bernoulli.then(torch.mean),
        "you summed over the batch too: return one number per picture",
        _bernoulli.then(torch.sum),
        "this is the cross-entropy, the log-likelihood with its sign flipped",
        _bernoulli.then(torch.neg),
        "the probability rounds to 0 or 1 where the network is sure, and its logarithm becomes −∞ or NaN: compute from the logits (softplus, logsigmoid)",
        _by_probability,
        "exp(800) overflows: log(1 + exp(ℓ)) is softplus(ℓ), which does not",
        _bernoulli.but(normaliser=lambda logits: logits.exp().log1p()),
        "binary_cross_entropy clamps log p at −100: give the logits to binary_cross_entropy_with_logits",
        _bernoulli.but(pixels=lambda logits, x: -binary_cross_entropy(logits.sigmoid(), x, reduction="none")),
        "ink and paper are exchanged: the logits are those of x = 1",
        _bernoulli.given(x=lambda x: 1 - x),
        "the sign inside softplus is wrong: log(1 − p) = −softplus(ℓ)",
        _bernoulli.but(normaliser=lambda logits: softplus(-logits)),
        "you did not sum over the pixels of a picture",
        _bernoulli.but(picture=lambda pixels: pixels),
        "you summed over the last axis only: a picture has three, channels, height and width",
        _bernoulli.but(picture=lambda pixels: pixels.sum(-1)),
        "this is the probability: return its logarithm",
        _bernoulli.then(torch.exp),
        "clamping the probability hides how wrong a sure network is: compute from the logits (softplus, logsigmoid)",
        _by_probability.but(p=lambda logits: logits.sigmoid().clamp(1e-6, 1 - 1e-6)),
        "the sigmoid was applied twice: binary_cross_entropy_with_logits and Bernoulli(logits=…) apply it themselves",
        _bernoulli.given(logits=torch.sigmoid),
        "only the ink pixels count here: a paper pixel has the log-probability log(1 − p)",
        _bernoulli.but(pixels=lambda logits, x: x * logsigmoid(logits)),
        "this is a squared error, not the log-probability of a binary pixel",
        _bernoulli.but(pixels=lambda logits, x: -(x - logits.sigmoid()).square()),
    ),
)


# 4. the ELBO of one draw

_elbo = Formula(
    "log_likelihood mean log_std z",
    at=lambda z: z,
    log_prior=lambda at: diagonal_normal(torch.zeros_like(at), torch.ones_like(at)).log_prob(at),
    std=lambda log_std: log_std.exp(),
    log_q=lambda z, mean, std: diagonal_normal(mean, std).log_prob(z),
    log_weight=lambda log_likelihood, log_prior, log_q: log_likelihood + log_prior - log_q,
    bound=lambda log_weight: log_weight.mean(0),
)


def _elbo_cases(generator: Generator) -> list[Arguments]:
    def case(samples: int, batch: int, latent: int) -> Arguments:
        mean, log_std = normal(generator, batch, latent), normal(generator, batch, latent, scale=0.5)
        z = mean + log_std.exp() * normal(generator, samples, batch, latent)
        log_likelihood = normal(generator, samples, batch, scale=10.0) - 100
        return tuple(a.requires_grad_() for a in (log_likelihood, mean, log_std, z))

    return [case(6, 4, 3), case(1, 3, 2), case(5, 1, 1)]


elbo_from_samples = Exercise(
    "elbo_from_samples",
    _elbo,
    _elbo_cases,
    wrong(
        "− log σ is missing in log q(z|x): the density of a normal is divided by σ",
        _elbo.but(bound=lambda log_weight, log_std: (log_weight - log_std.sum(-1)).mean(0)),
        "this is the reconstruction term alone: log p(z) − log q(z|x) is missing",
        _elbo.but(log_weight=lambda log_likelihood: log_likelihood),
        "you did not average over the samples: 𝓛 is the mean over the first axis",
        _elbo.but(bound=lambda log_weight: log_weight),
        "you summed over the samples: the expectation over q is their mean",
        _elbo.but(bound=lambda log_weight: log_weight.sum(0)),
        "you averaged over the batch too: return one number per example",
        _elbo.then(torch.mean),
        "this is the importance-weighted bound, log of the mean weight; the ELBO is the mean of the log weights",
        _elbo.but(bound=lambda log_weight: log_weight.logsumexp(0) - log(len(log_weight))),
        "this is estimator B, with the KL in closed form; the exercise asks for estimator A, from the densities at z",
        _elbo.but(log_weight=lambda log_likelihood, mean, log_std: log_likelihood - _kl(mean, log_std)),
        "the signs of log p(z) and log q(z|x) are exchanged: the weight is p(x|z) p(z) / q(z|x)",
        _elbo.but(log_weight=lambda log_likelihood, log_prior, log_q: log_likelihood - log_prior + log_q),
        "log q(z|x) is missing: without it this is the mean of log p(x, z)",
        _elbo.but(log_q=lambda: 0),
        "log p(z) is missing: the joint density is p(x|z) p(z)",
        _elbo.but(log_prior=lambda: 0),
        "log q(z|x) has the wrong sign: it is subtracted",
        _elbo.but(log_weight=lambda log_likelihood, log_prior, log_q: log_likelihood + log_prior + log_q),
        "you took the variance for the scale of q: a normal takes the standard deviation σ",
        _elbo.given(log_std=lambda s: 2 * s),
        "log p(z) was evaluated at the mean: evaluate it at the draws z",
        _elbo.but(at=lambda mean: mean),
        "you used the first draw only: average over all",
        _elbo.but(bound=lambda log_weight: log_weight[0]),
        "½ log 2π is missing in log p(z), once per latent: densities do not cancel their constants by themselves",
        _elbo.but(log_prior=lambda z: -0.5 * z.square().sum(-1)),
        "you took exp(s/2) for σ in q: here s is log σ, not log σ²",
        _elbo.given(log_std=lambda s: s / 2),
        "this is the loss, minus the ELBO: return the bound itself",
        _elbo.then(torch.neg),
    ),
)


# 5. an encoder with a head for the mean and one for log σ

_HEADS = Formula(
    "x trunk between mean_head std_head",
    features=lambda x, trunk, between: between(trunk(x)),
    mean=lambda features, mean_head: mean_head(features),
    log_std=lambda features, std_head: std_head(features),
    both=lambda mean, log_std: torch.cat([mean, log_std], -1),
)


def _encoder(
    output: Answer = _HEADS,
    between: Answer = silu,
    heads: int = 2,
    sizes: Callable[[int, int, int], tuple[int, int]] = lambda pixels, width, latent: (width, latent),
    kept: Any = nn.ModuleList,
    bias: bool = True,
) -> type[nn.Module]:
    """heads: how many layers the two numbers come from; sizes: of a head; kept: what the layers are in."""

    class Encoder(nn.Module):
        def __init__(self, pixels: int, width: int, latent: int) -> None:
            super().__init__()
            into, out = sizes(pixels, width, latent)
            layers = [nn.Linear(pixels, width), *[nn.Linear(into, out, bias=bias) for _ in range(heads)]]
            self.layers = kept(layers)

        def forward(self, x: Tensor) -> Any:
            trunk, *heads = self.layers
            return output(x, trunk, between, heads[0], heads[-1])

    return Encoder


class _TwoTrunks(nn.Module):
    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_std = (
            nn.Sequential(nn.Linear(pixels, width), nn.SiLU(), nn.Linear(width, latent)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mean(x), self.log_std(x)], -1)


class _OneLatent(nn.Module):
    """One σ for all latents."""

    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.trunk, self.mean, self.log_std = nn.Linear(pixels, width), nn.Linear(width, latent), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = silu(self.trunk(x))
        mean = self.mean(features)
        return torch.cat([mean, self.log_std(features).expand_as(mean)], -1)


class _OfNoPicture(nn.Module):
    """log σ as a parameter of its own, the same for all pictures."""

    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.trunk, self.mean = nn.Linear(pixels, width), nn.Linear(width, latent)
        self.log_std = nn.Parameter(torch.zeros(latent))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.mean(silu(self.trunk(x)))
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)


class _WidthOfItsOwn(nn.Module):
    """A hidden layer more."""

    def __init__(self, pixels: int, width: int, latent: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(pixels, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean, self.log_std = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        return torch.cat([self.mean(features), self.log_std(features)], -1)


def _encoder_cases(generator: Generator) -> list[Arguments]:
    def case(batch: int, pixels: int, width: int, latent: int) -> Arguments:
        return pixels, width, latent, normal(generator, batch, pixels, gradient=True)

    return [case(4, 6, 5, 3), case(1, 4, 7, 2), case(3, 5, 6, 1), case(2, 3, 4, 4)]


TwoHeads = Exercise(
    "TwoHeads",
    _encoder(),
    _encoder_cases,
    wrong(
        "mean and log σ come from one and the same layer: they are equal then; give each a layer of its own",
        _encoder(heads=1),
        "log σ stands before the mean: the layer of the mean is made first, and the means stand first",
        _encoder(_HEADS.but(both=lambda mean, log_std: torch.cat([log_std, mean], -1))),
        "mean and log σ alternate: all means come first, then all log σ",
        _encoder(_HEADS.but(both=lambda mean, log_std: torch.stack([mean, log_std], -1).flatten(-2))),
        "you returned σ: the last numbers are log σ, which a linear layer gives as it is",
        _encoder(_HEADS.but(log_std=lambda features, std_head: std_head(features).exp())),
        _encoder(_HEADS.but(log_std=lambda features, std_head: softplus(std_head(features)))),
        "an activation follows the layer of log σ: log σ may be any number",
        *[
            _encoder(_HEADS.but(log_std=lambda features, std_head, a=a: a(std_head(features))))
            for a in (torch.relu, torch.tanh, silu, torch.sigmoid)
        ],
        "an activation follows the layer of the mean: a mean may be any number",
        *[
            _encoder(_HEADS.but(mean=lambda features, mean_head, a=a: a(mean_head(features))))
            for a in (torch.relu, torch.tanh, silu, torch.sigmoid)
        ],
        "an activation follows both layers: mean and log σ may be any numbers",
        *[_encoder(_HEADS.then(a)) for a in (torch.relu, torch.tanh, silu, torch.sigmoid)],
        "log σ is clamped: for an extreme picture no gradient flows to it; a linear layer is asked for",
        *[
            _encoder(_HEADS.but(log_std=lambda features, std_head, b=b: std_head(features).clamp(-b, b)))
            for b in (0.1, 0.25)
        ],
        "you returned half the layer's numbers, as if they were log σ²: here the layer gives log σ itself",
        _encoder(_HEADS.but(log_std=lambda features, std_head: 0.5 * std_head(features))),
        "SiLU is missing between the layers: two linear layers without it are one",
        _encoder(between=nn.Identity()),
        "between the layers stands another activation: SiLU is asked for",
        *[_encoder(between=a) for a in (nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.LeakyReLU(), nn.Softplus())],
        "the two have hidden layers of their own: one hidden layer serves both",
        _TwoTrunks,
        "there is one σ for all latents: every latent has its own",
        _OneLatent,
        "log σ does not depend on the picture: it comes from the hidden layer, as the mean does",
        _OfNoPicture,
        "there is a hidden layer too many: one is asked for",
        _WidthOfItsOwn,
        "the two layers have no bias: nn.Linear as it is",
        _encoder(bias=False),
        "you added mean and log σ: return them side by side, 2 · latent numbers",
        _encoder(_HEADS.but(both=lambda mean, log_std: mean + log_std)),
        "only the mean is returned: log σ belongs beside it",
        _encoder(_HEADS.but(both=lambda mean: mean)),
        "you put the two below one another: append log σ along the last axis, not along the batch",
        _encoder(_HEADS.but(both=lambda mean, log_std: torch.cat([mean, log_std]))),
        "you returned a draw: the encoder returns the two numbers that q is made of",
        _encoder(_HEADS.but(both=lambda mean, log_std: mean + log_std.exp() * torch.ones_like(mean))),
        "the numbers are right, but no gradient flows back to x: something was detached, or made anew from numbers",
        _encoder(_HEADS.given(x=torch.detach)),
        "log σ was detached from the hidden layer: both layers train it",
        _encoder(_HEADS.but(log_std=lambda features, std_head: std_head(features.detach()))),
        LEFT_BEHIND,
        _encoder(kept=list),
    ),
    results=RESULTS,
    prepare=behaviour(3),
)


# 6. the grid of latents whose prior probability is uniform

_linspace = partial(torch.linspace, dtype=torch.float64)
_grid = Formula(
    "steps",
    i=lambda steps: torch.arange(steps, dtype=torch.float64),
    u=lambda i, steps: (i + 0.5) / steps,
    axis=lambda u: Normal(0.0, 1.0).icdf(u),
    grid=lambda axis: torch.stack(torch.meshgrid(axis, axis.flip(0), indexing="xy"), -1),
)

manifold_grid = Exercise(
    "manifold_grid",
    _grid,
    lambda generator: [(5,), (2,), (1,), (20,)],
    wrong(
        "the latents are equally spaced: space the *probabilities* equally and map them through the inverse CDF",
        _grid.but(axis=lambda steps: _linspace(-3, 3, steps)),
        "these are the probabilities themselves: map them through the inverse CDF of N(0, 1)",
        _grid.but(axis=lambda u: u),
        "the probabilities 0 and 1 map to −∞ and ∞: take the middles of equal intervals, (i + ½) / steps",
        _grid.but(u=lambda steps: _linspace(0, 1, steps)),
        "u = i / steps begins at 0, which maps to −∞: take the middles of the intervals, (i + ½) / steps",
        _grid.but(u=lambda i, steps: i / steps),
        "u = (i + 1) / steps ends at 1, which maps to ∞: take the middles of the intervals, (i + ½) / steps",
        _grid.but(u=lambda i, steps: (i + 1) / steps),
        "√2 is missing: the inverse CDF of N(0, 1) is √2 erfinv(2u − 1)",
        _grid.but(axis=lambda u: torch.erfinv(2 * u - 1)),
        "both axes run backwards: the first latent grows to the right, the second upwards",
        _grid.then(lambda grid: grid.flip(0, 1)),
        "the first latent runs from right to left: it must grow with the column",
        _grid.then(lambda grid: grid.flip(1)),
        "the latents are equally spaced: space the *probabilities* equally, and map them through the inverse CDF",
        _grid.but(axis=lambda steps: _linspace(-2, 2, steps)),
        "you left out 0 and 1 but did not take the middles: each of the steps intervals has its centre at (i + ½) / steps",
        _grid.but(u=lambda steps: _linspace(0, 1, steps + 2)[1:-1]),
        "you used the CDF where its inverse belongs: probabilities go in, latents come out",
        _grid.but(axis=lambda u: Normal(0.0, 1.0).cdf(u)),
        "the picture is upside down: row 0 is the top, where the second latent is largest",
        _grid.then(lambda grid: grid.flip(0)),
        "the two latents are exchanged: the first runs along a row, the second down a column",
        _grid.then(lambda grid: grid.flip(-1)),
        "rows and columns are exchanged, a meshgrid's doing: the first latent runs along a row, from left to right",
        _grid.then(lambda grid: grid.flip(0).transpose(0, 1)),
        "the grid is flattened: return [steps, steps, 2]",
        _grid.then(lambda grid: grid.flatten(0, 1)),
        "this is not the inverse CDF of N(0, 1): use torch.special.ndtri or Normal(0, 1).icdf",
        _grid.but(axis=lambda u: (-2 * u.log()).sqrt()),
    ),
)
