"""Families of distributions with their event axes declared, so that `log_prob` is one number per example.

`torch.distributions` are the currency of the course. What is here only fixes which axes are the event: a picture
`[batch, channels, height, width]` has a log-density `[batch]`, in nats. `families` holds those for latents and binary
pixels, `pixels` those for grey and coloured ones, `discrete` one-hot latents and their relaxation, `quantised` fields of
code vectors and priors over them.
"""

from vae_course.distributions.discrete import (
    enumerate_one_hot,
    one_hot_categorical,
    relaxed_categorical,
    straight_through_categorical,
)
from vae_course.distributions.families import bernoulli, diagonal_normal, sample_with_log_prob
from vae_course.distributions.pixels import (
    NormalWithLearnedStd,
    continuous_bernoulli,
    discretized_logistic,
    grey_categorical,
    normal_with_std,
)
from vae_course.distributions.quantised import (
    AutoregressiveCodes,
    CodeDistribution,
    IndependentCodes,
    NearestCode,
    code_counts,
    look_up,
    nearest_code,
    perplexity,
)

__all__ = [
    "AutoregressiveCodes",
    "CodeDistribution",
    "IndependentCodes",
    "NearestCode",
    "NormalWithLearnedStd",
    "bernoulli",
    "code_counts",
    "continuous_bernoulli",
    "diagonal_normal",
    "discretized_logistic",
    "enumerate_one_hot",
    "grey_categorical",
    "look_up",
    "nearest_code",
    "normal_with_std",
    "one_hot_categorical",
    "perplexity",
    "relaxed_categorical",
    "sample_with_log_prob",
    "straight_through_categorical",
]
