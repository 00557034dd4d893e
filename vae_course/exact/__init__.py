"""The truth where it is known: in closed form, on a grid, or by a sum over all values.

`LinearGaussian` is probabilistic PCA: log p(x), the posterior and the maximum-likelihood solution are closed forms.
`NormalMixture` and `BayesianMixture` have discrete latents. The grid integrates any model with one or two latents.
Estimators are held against these, in tests and in notebooks.
"""

from vae_course.exact.enumeration import log_joint_of_codes, split_evidence_of_codes
from vae_course.exact.expectation_maximization import Climb, expectation_maximization
from vae_course.exact.grids import (
    EvidenceSplit,
    Grid,
    kl_on_grid,
    latent_grid,
    log_evidence_on_grid,
    log_joint_by_enumeration,
    log_posterior_on_grid,
    log_prob_on_grid,
    split_evidence,
)
from vae_course.exact.linear_gaussian import LinearGaussian
from vae_course.exact.mixture import BayesianMixture, NormalMixture
from vae_course.exact.principal_components import PrincipalComponents
from vae_course.models.views import WithPosterior

__all__ = [
    "BayesianMixture",
    "Climb",
    "EvidenceSplit",
    "Grid",
    "LinearGaussian",
    "NormalMixture",
    "PrincipalComponents",
    "WithPosterior",
    "expectation_maximization",
    "kl_on_grid",
    "latent_grid",
    "log_evidence_on_grid",
    "log_joint_by_enumeration",
    "log_joint_of_codes",
    "log_posterior_on_grid",
    "log_prob_on_grid",
    "split_evidence",
    "split_evidence_of_codes",
]
