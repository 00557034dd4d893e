"""Normal and Bernoulli families, and the KL divergences that torch lacks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
    register_kl,
)
from torch.nn.functional import softplus


def diagonal_normal(mean: Tensor, std: Tensor | float, event_axes: int = 1) -> Independent[Normal]:
    """N(mean, diag(std²)), independent along the last `event_axes` axes.

    mean: [..., *event]; std: the same shape, or one that broadcasts to it.
    While distributions validate (torch's default), raises ValueError if a standard deviation is not positive and finite, or
    if a parameter is NaN.
    """
    std = torch.as_tensor(std, dtype=mean.dtype, device=mean.device)
    if Distribution._validate_args:
        _refuse_nan("mean", mean)
        _refuse_std(std)
    refuse_few_axes("diagonal_normal", mean, event_axes)
    return Independent(Normal(mean, std.expand_as(mean), validate_args=False), event_axes)


def bernoulli(logits: Tensor, event_axes: int = 3) -> Independent[Bernoulli]:
    """Bernoulli(sigmoid(logits)), independent along the last `event_axes` axes (3: channels, height, width).

    logits: [..., *event]. While distributions validate, its `log_prob` raises ValueError for a value that is
    neither 0 nor 1.
    """
    if Distribution._validate_args:
        _refuse_nan("logits", logits)
    refuse_few_axes("bernoulli", logits, event_axes)
    return Independent(_BinaryBernoulli(logits=logits), event_axes)


class _BinaryBernoulli(Bernoulli):
    """A Bernoulli that says in one sentence why a grey pixel has no probability."""

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(logits=logits, validate_args=False)
        self._validate_args = Distribution._validate_args if validate_args is None else validate_args

    def _validate_sample(self, value: Tensor) -> None:
        if not bool(((value == 0) | (value == 1)).all()):
            raise ValueError(
                f"A Bernoulli likelihood was given values from {float(value.min()):.4g} to {float(value.max()):.4g}, "
                "not all of them 0 or 1: it has no probability for grey pixels; draw binary ones with "
                "vae_course.data.images.binarize, or choose a likelihood for continuous pixels."
            )

    def log_prob(self, value: Tensor) -> Tensor:
        """x l - log(1 + e^l), with l the logit: half the passes over memory that torch's takes."""
        if self._validate_args:
            self._validate_sample(value)
        return value * self.logits - softplus(self.logits)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _BinaryBernoulli:
        return _BinaryBernoulli(self.logits.expand(batch_shape), validate_args=self._validate_args)


def refuse_few_axes(family: str, parameter: Tensor, event_axes: int) -> None:
    """Raise ValueError where a parameter has fewer axes than one example is said to have."""
    if parameter.ndim < event_axes:
        raise ValueError(
            f"{family} was given {list(parameter.shape)} for events of {event_axes} axes: give pictures as [..., channels, "
            "height, width], or say how many axes one example has (event_axes)."
        )


def _refuse_nan(name: str, parameter: Tensor) -> None:
    if bool(parameter.isnan().any()):
        raise ValueError(
            f"The {name} given to a distribution has NaN in {int(parameter.isnan().sum())} of {parameter.numel()} places: "
            "training has diverged or the input held NaN; look at the input, then lower the learning rate."
        )


def _refuse_std(std: Tensor) -> None:
    _refuse_nan("standard deviation", std)
    if bool(((std > 0) & std.isfinite()).all()):
        return
    least, most = std.min().item(), std.max().item()
    if least < 0:
        wrong, advice = least, "let the network return log σ and take exp, or softplus"
    else:
        wrong = least if least == 0 else most
        advice = (
            "if it is exp(log σ), then log σ is far from 0, as it is for data far from 0: scale them to [0, 1], or to mean 0 and "
            "deviation 1"
        )
    raise ValueError(
        f"A normal distribution was given a standard deviation of {wrong:.4g}; it must be positive and finite: {advice}."
    )


def _as_multivariate(p: Independent[Normal]) -> MultivariateNormal:
    base = p.base_dist
    if not isinstance(base, Normal) or p.event_shape != base.batch_shape[-1:]:
        raise NotImplementedError(
            f"Only a diagonal normal over vectors has this KL divergence in closed form, not {p}."
        )
    return MultivariateNormal(base.loc, scale_tril=torch.diag_embed(base.scale))


@register_kl(Independent, MultivariateNormal)  # type: ignore[untyped-decorator]
def _kl_diagonal_full(q: Independent[Normal], p: MultivariateNormal) -> Tensor:
    return kl_divergence(_as_multivariate(q), p)


@register_kl(MultivariateNormal, Independent)  # type: ignore[untyped-decorator]
def _kl_full_diagonal(q: MultivariateNormal, p: Independent[Normal]) -> Tensor:
    return kl_divergence(q, _as_multivariate(p))
