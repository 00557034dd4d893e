"""Likelihoods of grey and coloured pixels: what each takes a pixel to be decides its unit.

| family | a pixel is | unit |
|---|---|---|
| `continuous_bernoulli` | a number in [0, 1] | log-density |
| `diagonal_normal`, `NormalWithLearnedStd`, `normal_with_std` | a real number | log-density |
| `grey_categorical`, `discretized_logistic` | one of `levels` grey values k / (levels - 1) | log-probability |

A family makes a distribution over pictures from what a decoder returns, [..., numbers × channels, height, width],
where `numbers` is how many each pixel takes. `bernoulli` is in `vae_course.distributions.families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, ContinuousBernoulli, Distribution, Independent, Normal, constraints
from torch.nn.functional import logsigmoid

from vae_course.distributions.families import diagonal_normal, refuse_few_axes


class NormalWithLearnedStd(nn.Module):
    """The family N(mean, σ² I) of pictures whose σ is learned: one for all pixels, or one for each.

    Rybkin, Daniilidis & Levine, arXiv:2006.13202 (one σ). One number a pixel.
    shape: of σ, `()` or one that broadcasts to [channels, height, width]; std: its start.
    The parameter is `tenth`, log σ / 10: Adam moves any parameter by about the learning rate a step, and log σ has
    farther to go than a weight. Raises ValueError unless std > 0.
    """

    def __init__(self, shape: Sequence[int] = (), std: float = 0.3) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f"NormalWithLearnedStd was given std = {std}; it must be positive.")
        self.tenth = nn.Parameter(torch.full(tuple(shape), log(std) / 10))

    @property
    def log_std(self) -> Tensor:
        """log σ, of the shape given; gradients flow through it."""
        return 10 * self.tenth

    @property
    def std(self) -> Tensor:
        """σ, detached, of the shape given."""
        return self.log_std.detach().exp()

    def forward(self, mean: Tensor) -> Independent[Normal]:
        """mean: [..., channels, height, width] → event [channels, height, width]."""
        return diagonal_normal(mean, self.log_std.exp().expand(mean.shape[-3:]), event_axes=3)


def normal_with_std(parameters: Tensor) -> Independent[Normal]:
    """N(mean, diag σ²) where the decoder gives both: two numbers a pixel, the mean and log σ.

    parameters: [..., 2 · channels, height, width], the means first. Kingma & Welling, arXiv:1312.6114, appendix C.2.
    Raises ValueError for an odd number of channels.
    """
    mean, log_std = _halves(parameters, "normal_with_std")
    return diagonal_normal(mean, log_std.exp(), event_axes=3)


def continuous_bernoulli(logits: Tensor, event_axes: int = 3) -> Independent[ContinuousBernoulli]:
    """p(x) ∝ λ^x (1 - λ)^(1-x) on [0, 1], λ = sigmoid(logits): the density that cross-entropy on grey pixels lacks.

    With l the logit, log p(x) = l x - log((e^l - 1) / l). Loaiza-Ganem & Cunningham, arXiv:1907.06845, eq. 4 and 5.
    One number a pixel. Its mean is 1 / (1 - e^-l) - 1/l, not λ.
    """
    refuse_few_axes("continuous_bernoulli", logits, event_axes)
    return Independent(_ContinuousBernoulli(logits=logits), event_axes)


class _ContinuousBernoulli(ContinuousBernoulli):
    """torch's, from logits throughout: torch clamps λ near 0 and 1, and is off at large logits."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.logits * (value - 0.5) - _log_sinhc(self.logits / 2)

    @property
    def mean(self) -> Tensor:
        small = self.logits.abs() < 1e-2
        size = torch.where(small, torch.ones_like(self.logits), self.logits.abs())
        above = 1 / -torch.expm1(-size) - 1 / size
        return torch.where(small, 0.5 + self.logits / 12, torch.where(self.logits > 0, above, 1 - above))

    @property
    def variance(self) -> Tensor:
        e = torch.exp(-self.logits.abs().clamp(min=1e-2))
        large = 1 / self.logits.square().clamp(min=1e-4) - e / (1 - e).square()
        return torch.where(self.logits.abs() < 1e-2, torch.full_like(self.logits, 1 / 12), large)

    def entropy(self) -> Tensor:
        return _log_sinhc(self.logits / 2) - self.logits * (self.mean - 0.5)

    def icdf(self, u: Tensor) -> Tensor:
        size = self.logits.abs().clamp(min=1e-3)
        x = 1 + torch.log(u + (1 - u) * torch.exp(-size)) / size  # for l > 0
        x = torch.where(self.logits < 0, 1 - x, x)
        return torch.where(self.logits.abs() < 1e-3, u, x).clamp(0, 1)


def _log_sinhc(h: Tensor) -> Tensor:
    """log(sinh(h) / h), without overflow and with its gradient at 0."""
    size = h.abs()
    small = size < 0.1
    safe = torch.where(small, torch.ones_like(h), size)
    large = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
    square = h.square()
    return torch.where(small, square / 6 - square.square() / 180 + square**3 / 2835, large)


def grey_categorical(logits: Tensor, levels: int) -> Independent[Categorical]:
    """Any probabilities at all for the grey levels of each pixel: P(x = k / (levels - 1)) = softmax(logits)_k.

    logits: [..., levels · channels, height, width], the levels of a channel next to one another: `levels` numbers a
    pixel. Raises ValueError for fewer than 2 levels, or channels that they do not divide; `log_prob` for a value that
    is no grey level, while distributions validate.
    """
    _refuse_levels(levels)
    if logits.ndim < 3 or logits.shape[-3] % levels:
        raise ValueError(
            f"grey_categorical was given {list(logits.shape)} for {levels} levels: it needs [..., {levels} × channels, "
            "height, width]."
        )
    return Independent(_GreyCategorical(logits=logits.unflatten(-3, (-1, levels)).movedim(-3, -1)), 3)


class _GreyCategorical(Categorical):
    """A categorical whose values are the grey levels 0, 1/(L-1), …, 1, not their numbers."""

    @property
    def _steps(self) -> int:
        return int(self.logits.shape[-1]) - 1

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.unit_interval

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            _refuse_other_levels(value, self._steps)
        number = (value * self._steps).round().long()[..., None]
        number, log_p = torch.broadcast_tensors(number, self.logits)  # torch's logits are normalised
        chosen: Tensor = log_p.gather(-1, number[..., :1])[..., 0]
        return chosen

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        number: Tensor = super().sample(sample_shape)  # type: ignore[no-untyped-call]
        return number.to(self.logits.dtype) / self._steps

    @property
    def mean(self) -> Tensor:
        grey = torch.arange(self._steps + 1, dtype=self.logits.dtype, device=self.logits.device) / self._steps
        mean: Tensor = self.probs @ grey
        return mean

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits.dtype) / self._steps


def discretized_logistic(parameters: Tensor, levels: int) -> Independent[Distribution]:
    """Probabilities of grey levels from a logistic density: P(x) = S((x + h - μ) / s) - S((x - h - μ) / s).

    S is the logistic function, h = ½ / (levels - 1) half a level; the lowest level takes the whole lower tail, the
    highest the upper one. Kingma et al., arXiv:1606.04934; Salimans et al., arXiv:1701.05517, eq. 2 (one component).
    parameters: [..., 2 · channels, height, width], first the locations μ, then log s: two numbers a pixel.
    Raises ValueError for fewer than 2 levels or an odd number of channels; `log_prob` for a value that is no grey
    level, while distributions validate.
    """
    _refuse_levels(levels)
    location, log_scale = _halves(parameters, "discretized_logistic")
    return Independent(_DiscretizedLogistic(location, log_scale.exp(), levels), 3)


class _DiscretizedLogistic(Distribution):
    """One pixel's grey level. log P = log S(a) + log S(-b) + log(1 - e^(b-a)): no difference of equals is taken."""

    arg_constraints: ClassVar[Any] = {"location": constraints.real, "scale": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, location: Tensor, scale: Tensor, levels: int) -> None:
        self.location, self.scale, self.steps = location, scale, levels - 1
        super().__init__(location.shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _DiscretizedLogistic:
        return _DiscretizedLogistic(self.location.expand(batch_shape), self.scale.expand(batch_shape), self.steps + 1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            _refuse_other_levels(value, self.steps)
        half = 0.5 / self.steps
        above = logsigmoid((value + half - self.location) / self.scale)  # log S(a): all the mass up to this level
        below = logsigmoid((self.location - value + half) / self.scale)  # log S(-b): all the mass from this level on
        width = (2 * half / self.scale).expand_as(above)
        inside = above + below + torch.log(-torch.expm1(-width))
        return torch.where(value < half, above, torch.where(value > 1 - half, below, inside))

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - torch's own signature
        with torch.no_grad():
            uniform = torch.rand(
                self._extended_shape(sample_shape), dtype=self.location.dtype, device=self.location.device
            )
            drawn = self.location + self.scale * torch.logit(uniform, eps=1e-6)
            return (drawn.clamp(0, 1) * self.steps).round() / self.steps

    @property
    def mean(self) -> Tensor:
        """Σ_{k>0} P(level >= k) / (levels - 1), sixteen levels at a time: all at once take as many times the memory."""
        edges = (torch.arange(self.steps, dtype=self.location.dtype, device=self.location.device) + 0.5) / self.steps
        total = torch.zeros_like(self.location)
        for some in edges.split(16):
            total = total + torch.sigmoid((self.location[..., None] - some) / self.scale[..., None]).sum(-1)
        return total / self.steps


def _halves(parameters: Tensor, name: str) -> tuple[Tensor, Tensor]:
    if parameters.ndim < 3 or parameters.shape[-3] % 2:
        raise ValueError(
            f"{name} was given {list(parameters.shape)}: it needs two numbers a pixel, [..., 2 × channels, height, width]."
        )
    first, second = parameters.chunk(2, dim=-3)
    return first, second


def _refuse_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"There were {levels} grey levels given; a pixel needs at least 2.")


def _refuse_other_levels(value: Tensor, steps: int) -> None:
    number = value * steps
    if not bool(((number - number.round()).abs() < 1e-3).all() & (value >= 0).all() & (value <= 1).all()):
        raise ValueError(
            f"A likelihood of {steps + 1} grey levels was given other values, from {float(value.min()):.4g} to "
            f"{float(value.max()):.4g}: round them with vae_course.data.images.quantize(images, {steps + 1})."
        )
