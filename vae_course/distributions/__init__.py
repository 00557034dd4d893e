"""Families of distributions with their event axes declared, so that `log_prob` is one number per example.

`torch.distributions` are the currency of the course. What is here only fixes which axes are the event: a picture
`[batch, channels, height, width]` has a log-density `[batch]`, in nats. `families` holds those for latents and binary
pixels, `pixels` those for grey and coloured ones.
"""

from vae_course.distributions.families import bernoulli, diagonal_normal, sample_with_log_prob
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    continuous_bernoulli,
    discretized_logistic,
    grey_categorical,
    normal_with_std,
)

__all__ = [
    "NormalWithLearnedStd",
    "bernoulli",
    "continuous_bernoulli",
    "diagonal_normal",
    "discretized_logistic",
    "grey_categorical",
    "normal_with_std",
    "sample_with_log_prob",
]
